"""The catalogue: what ships, and what a wrong file is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from localchat.errors import InvalidSetting, ModelNotFound
from localchat.hub.catalogue import HubSource, catalogue, default_entry, find, read_catalogue
from localchat.hub.hub_name import HubName
from localchat.paths import assets_dir

GOOD = """
[[model]]
name = "tiny"
title = "Tiny"
description = "For tests."
publisher = "Nobody"
licence = "Apache-2.0"
languages = ["en", "zh"]
parameters = 1000
context_length = 128
bits = 4
installed_bytes = 700
memory_bytes = 900
default = true

[model.source]
kind = "package"
package = "tiny-model"
version = "1.0"
member_suffix = ".gguf"
bytes = 600
sha256 = "abababababababababababababababababababababababababababababababab"
download_bytes = 500

[model.sampling]
temperature = 0.2
"""


def read(tmp_path: Path, text: str) -> object:
    path = tmp_path / "models.toml"
    path.write_text(text, encoding="utf-8")
    return read_catalogue(path)


def test_what_ships_is_valid_and_has_one_default() -> None:
    assert default_entry() in catalogue()
    assert find(default_entry().name) == default_entry()


def test_no_network_address_is_in_what_ships() -> None:
    assert not re.search(r"\w+://", (assets_dir() / "models.toml").read_text(encoding="utf-8"))


def test_an_unknown_name_is_told_the_closest() -> None:
    name = default_entry().name
    with pytest.raises(ModelNotFound) as failed:
        find(name[:-1])
    assert failed.value.hint == f"Did you mean {name}?"
    with pytest.raises(ModelNotFound, match=re.escape(name)):
        find("zzzzzzzz")


def test_a_good_file_is_read_as_it_says(tmp_path: Path) -> None:
    (entry,) = read(tmp_path, GOOD)  # type: ignore[misc]
    assert (entry.name, entry.languages, entry.bits, entry.default) == ("tiny", ("en", "zh"), 4, True)
    assert (entry.source.package, entry.source.bytes, entry.source.transfer) == ("tiny-model", 600, "pip")
    assert entry.sampling == {"temperature": 0.2}


HUB = """
[model.source]
kind = "hub"
repository = "someone/Tiny-Model"
file = "deep/tiny-Q8_0.gguf"
revision = "v1"
download_bytes = 500
gated = true
"""


def test_a_model_may_come_from_the_hub(tmp_path: Path) -> None:
    text = GOOD[: GOOD.index("[model.source]")] + HUB
    (entry,) = read(tmp_path, text)  # type: ignore[misc]
    assert entry.source == HubSource(HubName("someone/Tiny-Model", "deep/tiny-Q8_0.gguf", "v1"), 500, gated=True)
    for line, instead, said in (
        ("someone/Tiny-Model", "someone", "repository is 'hf:someone:deep"),
        ("deep/", "../", "repository is"),
        ('"v1"', '"a b"', "repository is"),
        ("gated = true", "gated = 1", "gated is 1"),
        ("gated = true", "sha256 = 1", "unknown key 'sha256'"),
    ):
        with pytest.raises(InvalidSetting, match=said):
            read(tmp_path, text.replace(line, instead, 1))


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        ("parameters = 1000", "", "tiny.*'parameters' is missing"),
        ("parameters = 1000", "parameters = true", "parameters is True"),
        ("parameters = 1000", "parameters = 0", "above 0"),
        ("bits = 4", "bits = 3", "bits is 3, but must be 4 or 8"),
        ('title = "Tiny"', 'title = "Tiny"\ncolour = "red"', "unknown key 'colour'"),
        ('name = "tiny"', 'name = "../tiny"', "name is '../tiny'"),
        ('languages = ["en", "zh"]', "languages = []", "languages"),
        ('kind = "package"', 'kind = "torrent"', "kind is 'torrent'"),
        ('kind = "package"', 'kind = "package"\ntransfer = "post"', "'pip' or 'ranged'"),
        ('package = "tiny-model"', 'package = "--index-url=x"', "package is"),
        ('package = "tiny-model"', 'package = "x @ file:///x"', "package is"),
        ('version = "1.0"', 'version = ">=1"', "version is"),
        ('member_suffix = ".gguf"', 'member_suffix = "/../x.gguf"', "member_suffix is"),
        ("abababab", "xyxyxyxy", "sha256 is"),
        ("temperature = 0.2", "temperature = 9", "temperature is 9, but must be a number from 0 to 5"),
        ("temperature = 0.2", "heat = 1", "unknown key 'heat'; allowed are temperature"),
        ("default = true", "default = false", "0 models have default"),
        ("[[model]]", "[model]", "model"),
        ('title = "Tiny"', "title = ", "cannot be read"),
    ],
)
def test_a_wrong_file_is_told_where_and_what_is_allowed(tmp_path: Path, line: str, instead: str, said: str) -> None:
    assert line in GOOD
    with pytest.raises(InvalidSetting, match=said):
        read(tmp_path, GOOD.replace(line, instead, 1))


def test_a_name_may_be_used_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="'tiny' is used twice"):
        read(tmp_path, GOOD + GOOD)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="cannot be read"):
        read_catalogue(tmp_path / "none.toml")
