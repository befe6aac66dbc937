"""Settings: where they come from, which mistakes are told how, and saving one while the rest of the file stays."""

from __future__ import annotations

import os
import random
import stat
import tomllib
from pathlib import Path

import pytest

from localchat import paths, translation
from localchat.config import Config, load_config, save_setting
from localchat.errors import InvalidSetting, StorageFailed
from localchat.known_settings import SETTINGS, Value, key_setting
from localchat.messages import sampling_keys


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def _load(file: Path, text: str, **env: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return load_config(file, env)


def _refusal(file: Path, text: str | bytes, **env: str) -> str:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidSetting) as caught:
        load_config(file, env)
    return str(caught.value)


def _line(file: Path, text: str) -> int:
    """Number of the line that has this text."""
    return next(number for number, line in enumerate(file.read_text("utf-8").splitlines(), 1) if text in line)


# ---- reading


def test_without_file_and_environment_there_are_the_defaults(file: Path) -> None:
    assert load_config(file, {}) == Config()
    assert not file.exists()


def test_every_setting_is_read_from_the_file(file: Path) -> None:
    config = _load(
        file,
        """
        model = "qwen2.5-0.5b"     # a comment
        system_prompt = '''
请用中文回答。
# not a comment'''
        max_tokens = 500
        "context_length" = 4_096
        theme = "textual-light"
        enter_sends = false
        sidebar = false
        cache = "int8"
        overflow = "summary"
        titles = false
        thinking = "off"
        reply_language = "en"
        language = "zh"
        linear = true
        lock_after = 5
        keep_edits = "off"
        cache_memory = 500
        cache_disk = 0
        loop_guard = false
        speculation = false
        draft_model = "smollm2-135m"
        unload_after = 3

        [sampling]
        temperature = 0
        top_k = 20
        top_p = 0.9
        min_p = 0.0
        repetition_penalty = 1.1
        frequency_penalty = -0.5
        presence_penalty = 2
        typical_p = 0.9
        xtc_probability = 0.5
        xtc_threshold = 0.2
        mirostat_tau = 5
        mirostat_eta = 0.2
        dry_multiplier = 0.8
        dry_base = 2
        dry_allowed_length = 3
        dry_breakers = 0
        seed = 9223372036854775807

        [keys]
        "chat.new" = "ctrl+t"
        reply.again = "ctrl+g,f7"
        """,
    )
    assert (config.model, config.system_prompt) == ("qwen2.5-0.5b", "请用中文回答。\n# not a comment")
    assert (config.max_tokens, config.context_length) == (500, 4096)
    assert (config.theme, config.enter_sends, config.sidebar) == ("textual-light", False, False)
    assert config.sampling == {
        "temperature": 0, "top_k": 20, "top_p": 0.9, "min_p": 0.0, "repetition_penalty": 1.1,
        "frequency_penalty": -0.5, "presence_penalty": 2, "typical_p": 0.9, "xtc_probability": 0.5,
        "xtc_threshold": 0.2, "mirostat_tau": 5, "mirostat_eta": 0.2, "dry_multiplier": 0.8, "dry_base": 2,
        "dry_allowed_length": 3, "dry_breakers": 0, "seed": 2**63 - 1,
    }  # fmt: skip
    assert (config.titles, config.language, config.linear, config.lock_after) == (False, "zh", True, 5)
    assert (config.thinking, config.reply_language, config.keep_edits) == ("off", "en", "off")
    assert (config.cache_memory, config.cache_disk) == (500, 0)
    assert (config.cache, config.overflow) == ("int8", "summary")
    assert config.keys == {"chat.new": "ctrl+t", "reply.again": "ctrl+g,f7"}
    assert (config.loop_guard, config.unload_after) == (False, 3)
    assert (config.speculation, config.draft_model) == (False, "smollm2-135m")
    assert config.sources.keys() == SETTINGS.keys() | config.keys.keys()
    assert config.sources["system_prompt"] == f"{file}, line 3"
    assert config.sources["context_length"] == f"{file}, line 7"
    assert config.sources["seed"] == f"{file}, line {_line(file, 'seed =')}"
    assert config.sources["reply.again"] == f"{file}, line {_line(file, 'reply.again')}"


def test_every_sampling_option_can_be_set() -> None:
    assert {setting.key for setting in SETTINGS.values() if setting.table == "sampling"} == set(sampling_keys())


@pytest.mark.parametrize(
    "text", ["sampling.top_k = 3", "sampling = { top_k = 3 }", "[sampling]\ntop_k = 3", '["sampling"]\n"top_k" = 3']
)
def test_sampling_may_be_written_in_any_way_that_toml_has(file: Path, text: str) -> None:
    assert _load(file, text).sampling == {"top_k": 3}


@pytest.mark.parametrize(
    "text", ["", "\n\n# nothing\n", "[sampling]\n", "sampling = {}", "\ufefftheme = 'x'\n[sampling]"]
)
def test_files_with_next_to_nothing_in_them_are_fine(file: Path, text: str) -> None:
    assert _load(file, text).sampling == {}


def test_the_environment_goes_before_the_file(file: Path) -> None:
    config = _load(
        file,
        'theme = "a"\nmodel = "m"\n[sampling]\ntemperature = 0.1\ntop_k = 5\n',
        LOCALCHAT_THEME="b",
        LOCALCHAT_TEMPERATURE="0.9",
        LOCALCHAT_SEED="7",
        LOCALCHAT_ENTER_SENDS="No",
        LOCALCHAT_MAX_TOKENS="10",
        LOCALCHAT_MODEL="",
        LOCALCHAT_HOME="/elsewhere",
    )
    assert (config.theme, config.model, config.enter_sends, config.max_tokens) == ("b", "m", False, 10)
    assert config.sampling == {"temperature": 0.9, "top_k": 5, "seed": 7}
    assert config.sources["theme"] == "LOCALCHAT_THEME"
    assert config.sources["model"] == f"{file}, line 2"


def test_path_and_environment_are_found_by_themselves(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS.values():
        monkeypatch.delenv(setting.variable, raising=False)
    save_setting("theme", "nord")
    assert paths.config_file().is_relative_to(home)
    assert load_config().theme == "nord"
    monkeypatch.setenv("LOCALCHAT_THEME", "gruvbox")
    assert load_config().theme == "gruvbox"


# ---- mistakes


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        ("\n[sampling]\ntemperature = 9", 3, ["temperature is 9", "a number from 0 to 5"]),
        ("[sampling]\ntemperature = '0.5'", 2, ["temperature is '0.5'", "a number from 0 to 5"]),
        ("[sampling]\ntop_k = 4.5", 2, ["top_k is 4.5", "a whole number from 0 to"]),
        ("[sampling]\nseed = -1", 2, ["seed is -1", "a whole number"]),
        ("[sampling]\ntop_p = nan", 2, ["top_p is nan", "a number from 0 to 1"]),
        ("[sampling]\ntop_p = true", 2, ["top_p is true", "a number from 0 to 1"]),
        ("theme = 'x'\nenter_sends = 1", 2, ["enter_sends is 1", "true or false"]),
        ("sidebar = 'yes'", 1, ["sidebar is 'yes'", "true or false"]),
        ("theme = true", 1, ["theme is true", "a text in quotes"]),
        ("model = ['a',\n'b']", 1, ["model is ['a', 'b']", "a text in quotes"]),
        ("max_tokens = 0", 1, ["max_tokens is 0", "a whole number from 1 to"]),
        ("max_tokens = 99999999999999999999999", 1, ["max_tokens is 9999", "a whole number from 1 to"]),
        ("# x\n\nsampling = 0.5", 3, ["must be a table", "Write [sampling]"]),
        ("temperatur = 1", 1, ["temperatur", "Did you mean temperature in [sampling]?"]),
        ("context-length = 1", 1, ["context-length", "Did you mean context_length?"]),
        ("temperature = 1", 1, ["temperature", "below a line [sampling]"]),
        ("[sampling]\ntop_k = 1\ntheme = 'x'", 3, ["sampling.theme", "above the first line in brackets"]),
        ("\n[sampler]\ntop_k = 1", 2, ["sampler", "Did you mean [sampling]?"]),
        ("[sampling.more]", 1, ["sampling.more"]),
        ("[[sampling]]\ntop_k = 1", 1, ["must be a table", "Write [sampling]"]),
        ("wibble = 1", 1, ["wibble", "Known settings are model, system_prompt,"]),
        ("theme = 'a'\nmodel = unquoted\n", 2, ["cannot be read", "A line is a key"]),
        ("theme = 'a'\ntheme = 'b'", 2, ["cannot be read"]),
        ("theme = 'a'\n\nsystem_prompt = '''never\nended", 4, ["cannot be read"]),
        (b"theme = 'a'\nmodel = '\xff\xfe'\n", 2, ["UTF-8"]),
        ("theme = 'a'\r\nmodel = 3\r\n", 2, ["model is 3"]),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_line_and_what_is_allowed(
    file: Path, text: str | bytes, line: int, parts: list[str]
) -> None:
    message = _refusal(file, text)
    for part in [f"{file}, line {line}", *parts]:
        assert part in message


def test_the_first_of_several_mistakes_is_the_one_told(file: Path) -> None:
    assert "line 2" in _refusal(file, "theme = 'x'\nmax_tokens = 0\nsidebar = 1\nwibble = 2\n")


@pytest.mark.parametrize(
    ("key", "given", "allowed"),
    [
        ("temperature", "warm", "a number from 0 to 5"),
        ("temperature", "nan", "a number from 0 to 5"),
        ("temperature", "-1", "a number from 0 to 5"),
        ("top_k", "1.5", "a whole number"),
        ("sidebar", "maybe", "true or false"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(file: Path, key: str, given: str, allowed: str) -> None:
    variable = f"LOCALCHAT_{key.upper()}"
    message = _refusal(file, "", **{variable: given})
    for part in (f"{key} is {given!r} in {variable}", allowed):
        assert part in message


def test_a_folder_in_the_place_of_the_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="cannot be read"):
        load_config(tmp_path, {})


def test_a_value_that_only_its_user_can_judge_is_told_with_its_line_too(file: Path) -> None:
    config = _load(file, "\ntheme = 'no such'\n")
    error = config.invalid("theme", "no such", "one of nord, gruvbox")
    assert f"theme is 'no such' in {file}, line 2, but must be one of nord, gruvbox." in str(error)
    assert str(Config().invalid("theme", "x", "y")) == "theme is 'x', but must be y."


def test_a_long_value_is_told_by_its_beginning(file: Path) -> None:
    assert len(_refusal(file, f"enter_sends = '{'x' * 5000}'")) < 300


# ---- saving

WRITTEN = """\
# My settings, do not touch!
theme   =  "nord"   # the "blue" one #1
model = 'a#b'
   system_prompt = '''
Be brief. # always
# really'''   # why

# How it samples
[sampling]
temperature = 0.7 # warm

# last words
"""


def test_saving_into_nothing_makes_a_file_that_explains_itself(tmp_path: Path) -> None:
    file = tmp_path / "new" / "config.toml"
    save_setting("theme", "nord", file)
    save_setting("temperature", 0.5, file)
    save_setting("top_k", 40, file)
    save_setting("enter_sends", False, file)
    assert file.read_text() == (
        """\
# Settings of localchat. An environment variable such as LOCALCHAT_THEME goes before this file.

# Colours of the app.
theme = "nord"

# Enter sends; if false, Enter breaks the line and Ctrl+J sends.
enter_sends = false

[sampling]
# How daring the choice of words is; 0 always takes the likeliest.
temperature = 0.5

# Choose among the k likeliest tokens; 0 is all of them.
top_k = 40
"""
    )
    assert [place.name for place in file.parent.iterdir()] == ["config.toml"]


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("theme", "x#y", 'theme   =  "nord"   # the "blue" one #1', 'theme   =  "x#y"   # the "blue" one #1'),
        ("model", "c", "model = 'a#b'", 'model = "c"'),
        ("temperature", 1, "temperature = 0.7 # warm", "temperature = 1 # warm"),
        ("system_prompt", "One\nTwo", "'''\nBe brief. # always\n# really'''   # why", '"""\nOne\nTwo"""   # why'),
        ("system_prompt", "", "'''\nBe brief. # always\n# really'''   # why", '""   # why'),
        (
            "sidebar", True, "# really'''   # why\n\n",
            "# really'''   # why\n\n# Show the list of conversations.\nsidebar = true\n\n",
        ),
        (
            "seed", 5, "temperature = 0.7 # warm\n\n",
            f"temperature = 0.7 # warm\n\n# {SETTINGS['seed'].comment}\nseed = 5\n\n",
        ),
    ],
)  # fmt: skip
def test_saving_changes_that_one_value_and_nothing_else(file: Path, key: str, value: Value, old: str, new: str) -> None:
    assert old in WRITTEN
    file.write_text(WRITTEN)
    save_setting(key, value, file)
    assert file.read_text() == WRITTEN.replace(old, new)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "[sampling]\n# {}\ntop_k = 7\n"),
        ("[sampling]", "[sampling]\n# {}\ntop_k = 7"),
        ("[sampling]\n\n", "[sampling]\n# {}\ntop_k = 7\n\n"),
        ("sampling.top_k = 3", "sampling.top_k = 7"),
        ("sampling.seed = 3\ntheme = 'x'", "sampling.seed = 3\n\n# {}\nsampling.top_k = 7\n\ntheme = 'x'"),
        ("sampling = {top_k = 3} # mine", "# mine\nsampling.top_k = 7"),
        ("sampling = {seed = 3, top_k = 4}\n", "sampling.seed = 3\nsampling.top_k = 7\n"),
        ("sampling = {}\n", "\n[sampling]\n# {}\ntop_k = 7\n"),
        ("theme = 'x'", "theme = 'x'\n\n[sampling]\n# {}\ntop_k = 7\n"),
        ("# a\n\n\n\n", "# a\n\n[sampling]\n# {}\ntop_k = 7\n"),
    ],
)
def test_a_sampling_option_is_saved_in_the_way_the_file_is_written(file: Path, before: str, after: str) -> None:
    file.write_text(before)
    save_setting("top_k", 7, file)
    header = (
        ""
        if before
        else "# Settings of localchat. An environment variable such as LOCALCHAT_THEME goes before this file.\n\n"
    )
    assert file.read_text().strip() == (header + after.replace("{}", SETTINGS["top_k"].comment)).strip()
    assert load_config(file, {}).sampling["top_k"] == 7


def test_the_first_key_without_a_table_goes_above_the_tables(file: Path) -> None:
    file.write_text("# about the file\n\n# about sampling\n[sampling]\ntop_k = 1\n")
    save_setting("theme", "nord", file)
    comment = SETTINGS["theme"].comment
    assert file.read_text() == (
        f'# about the file\n\n# {comment}\ntheme = "nord"\n\n# about sampling\n[sampling]\ntop_k = 1\n'
    )


def test_taking_a_setting_out_takes_our_comment_and_leaves_the_users(file: Path) -> None:
    file.write_text("# mine\ntheme = 'a'\n")
    save_setting("sidebar", False, file)
    save_setting("seed", 3, file)
    save_setting("sidebar", None, file)
    save_setting("seed", None, file)
    assert file.read_text() == "# mine\ntheme = 'a'\n\n[sampling]\n"
    save_setting("theme", None, file)
    save_setting("theme", None, file)
    assert file.read_text() == "# mine\n\n[sampling]\n"
    assert load_config(file, {}) == Config()


def test_taking_out_one_of_an_inline_table_leaves_the_other(file: Path) -> None:
    file.write_text("sampling = { top_k = 1, seed = 2 }\n")
    save_setting("top_k", None, file)
    assert load_config(file, {}).sampling == {"seed": 2}


def test_line_ends_of_windows_stay(file: Path) -> None:
    file.write_bytes(b"# a\r\ntheme = 'x'\r\n")
    save_setting("theme", "y", file)
    save_setting("system_prompt", "one\ntwo", file)
    assert file.read_bytes().replace(b"\r\n", b"").count(b"\n") == 0
    assert (load_config(file, {}).theme, load_config(file, {}).system_prompt) == ("y", "one\ntwo")


def test_any_text_comes_back_as_it_was_saved(file: Path) -> None:
    rng = random.Random(3)
    alphabet = "ab\"'\\\n\r\t\x00\x1b\x7f\x85\u2028=#[]{} 字👩🏽"
    for _ in range(400):
        text = "".join(rng.choices(alphabet, k=rng.randrange(12)))
        save_setting("system_prompt", text, file)
        save_setting("seed", rng.randrange(2**62), file)
        assert load_config(file, {}).system_prompt == text
    save_setting("system_prompt", "half \ud83d", file)
    assert load_config(file, {}).system_prompt == "half ?"


def test_any_order_of_saving_and_taking_out_gives_what_was_saved_last(file: Path) -> None:
    rng = random.Random(11)
    values: dict[str, list[Value | None]] = {
        "theme": ["a", "b#", None], "model": ["m", None], "system_prompt": ["x\ny", "", None], "sidebar": [True, None],
        "top_k": [1, 2, None], "temperature": [0, 1e-07, 0.5, None], "seed": [2**60, None],
    }  # fmt: skip
    for start in ("", WRITTEN, "sampling = { top_k = 3, seed = 1 }", "sampling.min_p = 0.5\n", "# only\n[sampling]\n"):
        file.write_text(start)
        expected = tomllib.loads(start)
        for _ in range(60):
            key = rng.choice(list(values))
            value = rng.choice(values[key])
            save_setting(key, value, file)
            table = expected.setdefault("sampling", {}) if SETTINGS[key].table else expected
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
            found = tomllib.loads(file.read_text())
            assert {"sampling": {}, **found} == {"sampling": {}, **expected}
        for comment in (line for line in start.splitlines() if line.startswith("#")):
            assert comment in file.read_text() or comment == "# really'''   # why"


def test_a_value_that_is_not_allowed_is_not_saved(file: Path) -> None:
    file.write_text("theme = 'x'\n")
    for key, value in (("temperature", 99), ("theme", 3), ("sidebar", 1), ("top_k", True), ("seed", 0.5)):
        with pytest.raises(InvalidSetting, match=f"{key} is .* must be"):
            save_setting(key, value, file)
    assert file.read_text() == "theme = 'x'\n"


def test_a_file_with_a_mistake_in_its_grammar_is_never_written_over(file: Path) -> None:
    file.write_text("theme = oops\n")
    with pytest.raises(InvalidSetting, match="line 1"):
        save_setting("sidebar", False, file)
    assert file.read_text() == "theme = oops\n"


def test_a_file_with_a_wrong_value_can_be_mended_by_saving(file: Path) -> None:
    file.write_text("[sampling]\ntemperature = 99 # hot\n")
    save_setting("temperature", 0.5, file)
    assert file.read_text() == "[sampling]\ntemperature = 0.5 # hot\n"


@pytest.mark.skipif(os.name == "nt", reason="links and modes are POSIX")
def test_a_linked_file_stays_a_link_and_keeps_its_mode(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "localchat.toml"
    real.parent.mkdir()
    real.write_text("theme = 'a'\n")
    real.chmod(0o640)
    link = tmp_path / "config.toml"
    link.symlink_to(real)
    save_setting("theme", "b", link)
    assert link.is_symlink()
    assert real.read_text() == 'theme = "b"\n'
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("theme = 'a'\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFailed, match=r"cannot be saved in .*config\.toml \(No space left on device\)"):
        save_setting("theme", "b", file)
    assert file.read_text() == "theme = 'a'\n"
    assert [place.name for place in file.parent.iterdir()] == ["config.toml"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("in the way")
    with pytest.raises(StorageFailed, match="cannot be created"):
        save_setting("theme", "b", tmp_path / "config" / "config.toml")


def test_keys_are_saved_in_their_table_and_found_again_however_they_were_written(file: Path) -> None:
    save_setting("chat.new", "ctrl+t", file, setting=key_setting("chat.new"))
    file.write_text(file.read_text() + "reply.again = 'f7'\n")
    save_setting("reply.again", "ctrl+g", file, setting=key_setting("reply.again"))
    assert load_config(file, {}).keys == {"chat.new": "ctrl+t", "reply.again": "ctrl+g"}
    save_setting("chat.new", None, file, setting=key_setting("chat.new"))
    assert load_config(file, {}).keys == {"reply.again": "ctrl+g"}


def test_a_comment_is_written_in_the_users_language_and_goes_with_its_key_in_any(file: Path) -> None:
    translation.use("zh", paths.assets_dir() / "locale")
    try:
        save_setting("theme", "nord", file)
    finally:
        translation.use("en", paths.assets_dir() / "locale")
    assert f"# {SETTINGS['theme'].comment}" not in file.read_text()
    translation.use("zh", paths.assets_dir() / "locale")
    try:
        save_setting("theme", None, file)
    finally:
        translation.use("en", paths.assets_dir() / "locale")
    assert "# " not in file.read_text().removeprefix(file.read_text().split("\n")[0])
