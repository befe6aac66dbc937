"""Downloads from a hub on this machine: cut, wrong, lying, gated, and the ones that simply work."""

from __future__ import annotations

import errno
import itertools
import json
import random
import re
import shutil
from pathlib import Path

import pytest
from hub_server import CHECKPOINT, REPOSITORY, WEIGHTS, HubServer
from huggingface_hub import constants

from localchat.errors import (
    BadWeights,
    DownloadFailed,
    InvalidSetting,
    LocalChatError,
    ModelNotFound,
    StorageFailed,
    UnsupportedModel,
)
from localchat.hub.hub_download import HubDownload
from localchat.hub.hub_name import HubName, parse_hub_name
from localchat.hub.pull_events import PullProgress


class StoppedError(Exception):
    """What the caller's check raises."""


class Fetch:
    """One fetch: what came, and what was told on the way."""

    def __init__(self, file: str = "", revision: str = "main", stop_at: int | None = None) -> None:
        self.seen: list[PullProgress] = []
        self.stop_at = stop_at
        with HubDownload(HubName(REPOSITORY, file, revision), on_progress=self.seen.append, check=self._check) as it:
            self.found = it.find()
            self.path = it.fetch()

    def _check(self) -> None:
        here = [p.done for p in self.seen if p.stage == "download" and p.total > 100_000]
        if self.stop_at is not None and here and here[-1] >= self.stop_at:
            raise StoppedError


def files(home: Path) -> Path:
    return home / "cache/downloads/hub-someone--Tiny-Model/files"


def complete(home: Path) -> set[str]:
    return {path.name for path in files(home).iterdir() if not path.name.endswith((".part", ".sum"))}


def test_a_checkpoint_is_fetched_without_pickle_and_without_what_is_not_needed(hub: HubServer, home: Path) -> None:
    fetch = Fetch()
    assert fetch.path == files(home)
    assert complete(home) == {"config.json", "tokenizer.json", "model.safetensors"}
    assert (fetch.path / "model.safetensors").read_bytes() == WEIGHTS
    assert {path for path, _ in hub.asked} == complete(home)
    assert fetch.found.name == "Tiny-Model"
    assert fetch.found.licence == "apache-2.0"
    assert fetch.found.origin == f"hf:{REPOSITORY}@{'a' * 40}"


@pytest.mark.parametrize("seed", range(3))
def test_a_download_cut_ten_times_at_random_ends_with_the_right_bytes_and_never_starts_from_zero(
    hub: HubServer, seed: int
) -> None:
    rng = random.Random(seed)
    small = [len(content) for name, content in CHECKPOINT.items() if name in ("config.json", "tokenizer.json")]
    hub.cuts = [*small, *(rng.randrange(1, 36_000) for _ in range(10))]  # the small files come whole
    fetch = Fetch()
    assert not hub.cuts
    assert (fetch.path / "model.safetensors").read_bytes() == WEIGHTS
    begun = hub.ranges_of("model.safetensors")
    assert len(begun) == 11
    assert begun[0] == 0
    assert all(later > earlier for earlier, later in itertools.pairwise(begun)), begun
    assert hub.sent["model.safetensors"] == len(WEIGHTS), "some bytes travelled twice"


def test_a_stopped_download_goes_on_in_the_next_call(hub: HubServer, home: Path) -> None:
    hub.pause_s = 0.02
    with pytest.raises(StoppedError):
        Fetch(stop_at=100_000)
    hub.pause_s = 0.0
    kept = (files(home) / "model.safetensors.part").stat().st_size
    assert 100_000 <= kept < len(WEIGHTS)
    assert "model.safetensors" not in complete(home)
    fetch = Fetch()
    assert hub.ranges_of("model.safetensors")[-1] == kept
    assert (fetch.path / "model.safetensors").read_bytes() == WEIGHTS
    downloads = [p for p in fetch.seen if p.stage == "download" and p.total == len(WEIGHTS)]
    assert downloads[0].done == kept, "what was there is not told as fetched now"


def test_when_the_network_goes_away_it_is_said_and_the_next_call_goes_on(hub: HubServer, home: Path) -> None:
    whole = [len(CHECKPOINT["config.json"]), len(CHECKPOINT["tokenizer.json"])]
    hub.cuts = [*whole, 150_000, 0, 0, 0, 0, 0, 0, 0]
    with pytest.raises(DownloadFailed, match="cut") as failed:
        Fetch()
    assert "try again" in failed.value.hint
    assert (files(home) / "model.safetensors.part").read_bytes() == WEIGHTS[:150_000]
    hub.cuts.clear()
    Fetch()
    assert hub.ranges_of("model.safetensors")[-1] == 150_000


def test_a_hub_that_is_not_there_is_no_network(hub: HubServer) -> None:
    hub.close()
    with pytest.raises(DownloadFailed, match="no network"):
        Fetch()


def test_a_busy_hub_is_asked_again(hub: HubServer) -> None:
    hub.busy = 3
    assert Fetch().path.is_dir()


def test_an_address_that_ends_is_asked_for_anew_and_the_download_goes_on(hub: HubServer) -> None:
    hub.expire_after = 1
    hub.cuts = [10_000] * 5
    hub.revisions["main"].pop("config.json")
    hub.revisions["main"] = {"tiny-Q8_0.gguf": WEIGHTS}
    assert Fetch().path.read_bytes() == WEIGHTS
    assert hub.ranges_of("tiny-Q8_0.gguf") == [0, 10_000, 20_000, 30_000, 40_000, 50_000]


def test_an_address_that_never_serves_is_given_up(hub: HubServer) -> None:
    hub.revisions["main"] = {"tiny-Q8_0.gguf": WEIGHTS}
    hub.refuse = 403
    with pytest.raises(DownloadFailed, match=r"refuses it \(HTTP 403\)"):
        Fetch()


@pytest.mark.parametrize("path", ["model.safetensors", "config.json"])
def test_wrong_bytes_are_removed_and_nothing_of_them_counts_as_there(hub: HubServer, home: Path, path: str) -> None:
    hub.corrupt = {path}
    with pytest.raises(DownloadFailed, match="not those that were announced"):
        Fetch()
    assert path not in complete(home)
    assert not (files(home) / f"{path}.part").exists()
    hub.corrupt.clear()
    assert (Fetch().path / path).read_bytes() == CHECKPOINT[path]


@pytest.mark.parametrize("size", [len(WEIGHTS) - 1, len(WEIGHTS) + 1, 10**15])
def test_a_listing_that_lies_about_a_size_is_refused_before_a_byte_travels(hub: HubServer, size: int) -> None:
    hub.sizes["model.safetensors"] = size
    with pytest.raises((DownloadFailed, StorageFailed), match=r"contradicts itself|no room"):
        Fetch()
    assert hub.ranges_of("model.safetensors") == []


def test_an_address_with_another_hash_than_the_listing_is_refused_before_a_byte_travels(hub: HubServer) -> None:
    hub.other_etags = {"model.safetensors"}
    with pytest.raises(DownloadFailed, match="contradicts itself"):
        Fetch()
    assert hub.ranges_of("model.safetensors") == []


@pytest.mark.parametrize("size", [len(WEIGHTS) - 1, len(WEIGHTS) + 1])
def test_a_size_that_is_wrong_everywhere_is_noticed_at_the_end(hub: HubServer, home: Path, size: int) -> None:
    hub.sizes["model.safetensors"] = hub.head_sizes["model.safetensors"] = size
    with pytest.raises(DownloadFailed):
        Fetch()
    assert "model.safetensors" not in complete(home)


def test_a_server_without_ranges_is_read_from_the_beginning(hub: HubServer) -> None:
    hub.revisions["main"] = {"tiny-Q8_0.gguf": WEIGHTS}
    hub.ranges = False
    hub.cuts = [10_000]
    assert Fetch().path.read_bytes() == WEIGHTS


def test_a_part_that_is_complete_needs_no_more_bytes(hub: HubServer, home: Path) -> None:
    Fetch()
    (files(home) / "model.safetensors").rename(files(home) / "model.safetensors.part")
    assert (Fetch().path / "model.safetensors").read_bytes() == WEIGHTS
    assert hub.sent["model.safetensors"] == len(WEIGHTS)


def test_another_revision_keeps_what_is_the_same_and_never_mixes_what_is_not(hub: HubServer, home: Path) -> None:
    Fetch()
    hub.asked.clear()
    changed = WEIGHTS[::-1]
    hub.revisions["v1"] = {**CHECKPOINT, "config.json": b'{"model_type": "qwen2"}', "model.safetensors": changed}
    fetch = Fetch(revision="v1")
    assert fetch.found.origin.endswith("b" * 40)
    assert [path for path, _ in hub.asked] == ["config.json", "model.safetensors"]
    assert (fetch.path / "model.safetensors").read_bytes() == changed
    hub.revisions["main"] = {name: CHECKPOINT[name] for name in ("config.json", "tokenizer.json")}
    hub.revisions["main"]["model-00001-of-00001.safetensors"] = WEIGHTS
    assert Fetch().path.is_dir()
    assert complete(home) == set(hub.revisions["main"]), "a file that is gone lies there still"


def test_a_revision_that_is_not_there_is_said(hub: HubServer) -> None:
    with pytest.raises(ModelNotFound, match="no revision 'v9'"):
        Fetch(revision="v9")
    assert not hub.asked


def test_the_token_goes_to_the_hub_and_never_to_the_server_of_bytes(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.gated, hub.tokens, hub.granted = True, {"hf_good"}, {"hf_good"}
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    assert Fetch().path.is_dir()
    assert hub.listings == ["hf_good"]
    assert hub.leaked == []


def test_a_stored_token_is_used(hub: HubServer, home: Path) -> None:
    hub.gated, hub.tokens, hub.granted = True, {"hf_stored"}, {"hf_stored"}
    home.mkdir(exist_ok=True)
    (home / "token").write_text("hf_stored")
    assert Fetch().path.is_dir()


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (None, "accept their licence first.*HF_TOKEN"),
        ("hf_other", "have not given your account access.*Accept their licence"),
        ("hf_wrong", "refuses your token"),
    ],
)
def test_a_gated_model_says_what_is_missing(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, token: str | None, said: str
) -> None:
    hub.gated, hub.tokens, hub.granted = True, {"hf_good", "hf_other"}, {"hf_good"}
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(DownloadFailed, match=said):
        Fetch()
    assert not hub.asked


@pytest.mark.parametrize(("token", "said"), [(None, "get a token"), ("hf_other", "Check the spelling.$")])
def test_a_private_or_missing_repository_is_said(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, token: str | None, said: str
) -> None:
    hub.private, hub.tokens = True, {"hf_other"}
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(ModelNotFound, match="no repository") as failed:
        Fetch()
    assert re.search(said, failed.value.hint)


def test_offline_nothing_is_asked(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadFailed, match="HF_HUB_OFFLINE forbids"):
        Fetch()
    assert not hub.listings


def test_offline_what_the_hubs_own_cache_has_is_used(
    hub: HubServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import hf_hub_download

    for name in ("config.json", "tokenizer.json"):
        hf_hub_download(REPOSITORY, name)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    before = list(hub.asked)
    fetch = Fetch()
    assert (fetch.path / "config.json").read_bytes() == CHECKPOINT["config.json"]
    assert fetch.path.is_relative_to(home / "their-cache")
    assert hub.asked == before


def test_a_full_disk_is_said_before_the_weights_travel(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=(64 << 20) + 200_000))
    with pytest.raises(StorageFailed, match="no room"):
        Fetch()
    assert hub.ranges_of("model.safetensors") == []


def test_a_disk_that_fills_up_on_the_way_is_said_and_what_came_is_kept(hub: HubServer, home: Path) -> None:
    def full(progress: PullProgress) -> None:
        if progress.total == len(WEIGHTS) and progress.done > 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    hub.pause_s = 0.01
    with HubDownload(HubName(REPOSITORY), on_progress=full) as download, pytest.raises(StorageFailed, match="No space"):
        download.find()
        download.fetch()
    assert (files(home) / "model.safetensors.part").stat().st_size > 0


@pytest.mark.parametrize(
    ("card", "licence"),
    [({"license": "other", "license_name": "tiny-community"}, "tiny-community"), ({}, ""), ({"license": "mit"}, "mit")],
)
def test_the_licence_is_what_the_card_says(hub: HubServer, card: dict[str, str], licence: str) -> None:
    hub.card = card
    with HubDownload(HubName(REPOSITORY)) as download:
        assert download.find().licence == licence


def test_only_one_process_fetches_and_the_other_says_who(hub: HubServer) -> None:  # noqa: ARG001
    name = HubName(REPOSITORY)
    seen: list[PullProgress] = []

    def give_up() -> None:
        if seen:
            raise StoppedError

    with (
        HubDownload(name),
        pytest.raises(StoppedError),
        HubDownload(name, on_progress=seen.append, check=give_up),
    ):
        pass
    assert "already fetching it" in seen[0].note


def test_what_is_discarded_leaves_no_bytes(hub: HubServer, home: Path) -> None:  # noqa: ARG001
    with HubDownload(HubName(REPOSITORY)) as download:
        download.find()
        download.fetch()
        download.discard()
    assert not files(home).exists()


def test_a_model_that_is_not_understood_is_refused_before_its_weights_travel(hub: HubServer) -> None:
    def refuse(folder: Path) -> None:
        assert json.loads((folder / "config.json").read_text()) == {"model_type": "llama"}
        raise UnsupportedModel("No.")

    with HubDownload(HubName(REPOSITORY)) as download:
        download.find()
        with pytest.raises(UnsupportedModel):
            download.fetch(refuse)
    assert hub.ranges_of("model.safetensors") == []


@pytest.mark.parametrize(
    "answer",
    [
        b"not json",
        b"[]",
        b'{"id": "a/b"}',
        b'{"id": "a/b", "sha": "../x", "siblings": []}',
        b'{"id": "a/b", "sha": "%s", "siblings": [{"rfilename": "config.json"}]}' % (b"a" * 40),
        b'{"id": "a/b", "sha": "%s", "siblings": [{"rfilename": "x", "size": -1, "blobId": "%s"}]}'
        % (b"a" * 40, b"b" * 40),
        b'{"id": "a/b", "sha": "%s", "siblings": [{"rfilename": "x", "size": 5, "blobId": "zz"}]}' % (b"a" * 40),
    ],
)
def test_an_answer_that_is_no_listing_is_refused(hub: HubServer, answer: bytes) -> None:
    hub.answer = answer
    with pytest.raises(DownloadFailed, match="not understood"):
        Fetch()


SHARDS = {f"model-0000{i}-of-00002.safetensors": WEIGHTS[i * 1000 : i * 1000 + 9000] for i in (1, 2)}


def test_the_shards_that_the_index_names_are_fetched(hub: HubServer, home: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    rest = {name: CHECKPOINT[name] for name in ("config.json", "tokenizer.json")}
    extra = {"consolidated.safetensors": WEIGHTS[:5000]}
    hub.revisions["main"] = {**rest, **SHARDS, **extra, "model.safetensors.index.json": json.dumps(index).encode()}
    Fetch()
    assert complete(home) == {*rest, *SHARDS, "model.safetensors.index.json"}


@pytest.mark.parametrize("shard", ["../../outside.safetensors", "absent.safetensors", "pytorch_model.bin", "x\\y", 3])
def test_an_index_that_names_something_else_is_refused(hub: HubServer, shard: object) -> None:
    hub.revisions["main"] = {**CHECKPOINT, **SHARDS}
    del hub.revisions["main"]["model.safetensors"]
    hub.revisions["main"]["model.safetensors.index.json"] = json.dumps({"weight_map": {"a": shard}}).encode()
    with pytest.raises(BadWeights, match="does not fit its files"):
        Fetch()


GGUF = {f"tiny-{kind}.gguf": WEIGHTS[: 5000 + i] for i, kind in enumerate(("Q2_K", "Q4_K_M", "Q6_K", "Q8_0", "F16"))}


def test_of_several_gguf_files_the_finest_that_fits_is_taken_and_said(hub: HubServer) -> None:
    hub.revisions["main"] = {**GGUF, "mmproj-tiny-Q8_0.gguf": WEIGHTS[:5000], "README.md": b""}
    fetch = Fetch()
    assert fetch.path.name == "tiny-Q8_0.gguf"
    assert "tiny-Q8_0.gguf is taken" in fetch.found.why
    assert fetch.found.origin == f"hf:{REPOSITORY}:tiny-Q8_0.gguf@{'a' * 40}"


def test_a_small_machine_gets_a_coarser_file(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"big-Q8_0.gguf": 9_000_000_000, "big-Q6_K.gguf": 7_000_000_000, "big-Q4_K_M.gguf": 5_000_000_000}
    hub.revisions["main"] = dict.fromkeys(sizes, WEIGHTS[:100])
    hub.sizes.update(sizes)
    for gigabytes, taken in ((16, "big-Q8_0.gguf"), (11, "big-Q4_K_M.gguf")):
        monkeypatch.setattr("psutil.virtual_memory", lambda total=gigabytes * 10**9: type("M", (), {"total": total}))
        with HubDownload(HubName(REPOSITORY)) as download:
            assert download.find().origin.startswith(f"hf:{REPOSITORY}:{taken}@")
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("M", (), {"total": 4 * 10**9}))
    with HubDownload(HubName(REPOSITORY)) as download, pytest.raises(ModelNotFound, match="small enough") as failed:
        download.find()
    assert "big-Q4_K_M.gguf (5.0 GB)" in failed.value.hint


def test_a_file_that_is_named_is_fetched_from_its_folder(hub: HubServer) -> None:
    hub.revisions["main"] = {**GGUF, "deep/tiny-Q5_0.gguf": WEIGHTS[:7000]}
    fetch = Fetch(file="deep/tiny-Q5_0.gguf")
    assert fetch.path.read_bytes() == WEIGHTS[:7000]
    assert fetch.found.why == ""


def test_a_file_in_several_parts_comes_with_all_of_them(hub: HubServer, home: Path) -> None:
    parts = {f"q/big-Q8_0-0000{i}-of-00003.gguf": WEIGHTS[i * 5000 : (i + 1) * 5000] for i in (1, 2, 3)}
    hub.revisions["main"] = {**GGUF, **parts}
    fetch = Fetch(file="q/big-Q8_0-00002-of-00003.gguf")
    assert fetch.path == files(home) / "big-Q8_0-00001-of-00003.gguf"
    assert fetch.found.name == "big-Q8_0"
    assert len(complete(home)) == 3


@pytest.mark.parametrize(
    ("file", "kind", "said"),
    [
        ("tiny-Q3_K.gguf", ModelNotFound, r"no file tiny-Q3_K.gguf.*tiny-Q2_K.gguf \(0.0 GB\)"),
        ("README.md", UnsupportedModel, "no GGUF file"),
        ("mmproj-x.gguf", UnsupportedModel, "no model by itself"),
    ],
)
def test_a_file_that_cannot_be_fetched_is_told_which_can(
    hub: HubServer, file: str, kind: type[LocalChatError], said: str
) -> None:
    hub.revisions["main"] = {**GGUF, "README.md": b"", "mmproj-x.gguf": b"1"}
    with pytest.raises(kind, match=said):
        Fetch(file=file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"config.json": b"{}", "pytorch_model.bin": b"x"}, "pickle only"),
        ({"README.md": b""}, "holds no model"),
        ({"config.json": b"{}", "model.safetensors": b"x"}, "cannot read text"),
        ({"a-F16.gguf": b"1", "b-F16.gguf": b"2"}, "none is the obvious choice"),
        ({"a-Q8_0.gguf": b"1", "b-Q8_0.gguf": b"2"}, "none is the obvious choice"),
        ({"config.json": b"{}", "tokenizer.json": b"", "a.safetensors": b"", "b.safetensors": b""}, "no index"),
    ],
)
def test_a_repository_without_a_usable_model_says_why(hub: HubServer, content: dict[str, bytes], said: str) -> None:
    hub.revisions["main"] = content
    with pytest.raises(LocalChatError, match=said):
        Fetch()
    assert not hub.asked


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hf:Qwen/Qwen3-0.6B", HubName("Qwen/Qwen3-0.6B")),
        ("hf:a/b@v1.0", HubName("a/b", "", "v1.0")),
        ("hf:a/b:x y/z-Q8_0.gguf", HubName("a/b", "x y/z-Q8_0.gguf")),
        ("hf:a/b:z.gguf@refs/pr/3", HubName("a/b", "z.gguf", "refs/pr/3")),
    ],
)
def test_a_name_is_read_and_written_alike(text: str, name: HubName) -> None:
    assert parse_hub_name(text) == name
    assert str(name) == text


@pytest.mark.parametrize(
    "text", ["hf:", "hf:a", "hf:/b", "hf:a/b/c", "hf:../b", "hf:a/..", "hf:a/b:", "hf:a/b@", "hf:a/b:../c", "a/b"]
)
def test_what_is_no_name_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(InvalidSetting, match="Write hf:OWNER/REPOSITORY"):
        parse_hub_name(text)
