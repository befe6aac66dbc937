"""Conversations on disk from the shell: found by the next process, counted, and deleted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from test_commands import run as run_process

from localchat.commands.app import run as run_command
from localchat.paths import config_dir, ensure

LONG = "The people of the village came together to hear the story of the mill. " * 12

Run = Callable[..., str]


@pytest.fixture
def own_home(home: Path, smollm2_home: Path) -> Path:
    """A home of one's own with SmolLM2 in it."""
    shutil.copytree(smollm2_home / "data/models/smollm2-135m", home / "data/models/smollm2-135m")
    return home


@pytest.fixture
def run(own_home: Path, capfd: pytest.CaptureFixture[str]) -> Run:  # noqa: ARG001
    """Run a command in this process; nothing in its memory is there for the next."""

    def run(*arguments: str) -> str:
        capfd.readouterr()
        assert run_command(list(arguments)) == 0
        return capfd.readouterr().out

    return run


def ask(run: Run, *arguments: str) -> int:
    """How many tokens of the prompt were known."""
    return int(json.loads(run("ask", "--json", "-n", "2", "--temperature", "0", *arguments))["cached_tokens"])


def snapshots(home: Path) -> list[Path]:
    return [path for path in (home / "cache").rglob("*") if path.is_file()]


def test_ask_goes_on_from_what_an_earlier_process_read(own_home: Path, run: Run) -> None:
    done = run_process(own_home, "ask", "--json", "-n", "2", LONG)
    assert json.loads(done.stdout)["cached_tokens"] < 128
    assert ask(run, "-c", "And then?") >= 128
    assert snapshots(own_home) != []
    run("history", "delete", run("history", "list").split()[0])
    assert snapshots(own_home) == []


def test_cache_says_what_there_is_and_clears_it(own_home: Path, run: Run) -> None:
    (own_home / "cache/snapshots/model").mkdir(parents=True)
    (own_home / f"cache/snapshots/model/{'0' * 16}-{'1' * 16}-{'2' * 16}-5.safetensors").write_bytes(bytes(2_000_000))
    assert run("cache").startswith(f"{own_home / 'cache/snapshots'}, 2 MB of at most ")
    assert run("cache", "clear") == "2 MB are free again.\n"
    assert snapshots(own_home) == []


def test_a_budget_of_nothing_clears_it_too(own_home: Path, run: Run) -> None:
    ask(run, LONG)
    assert snapshots(own_home) != []
    (ensure(config_dir()) / "config.toml").write_text("cache_disk = 0\n")
    assert ask(run, LONG) < 128
    assert snapshots(own_home) == []
    assert "of at most 0 MB" in run("cache")


def test_encrypting_the_history_takes_what_was_read_off_the_disk(
    own_home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sqlcipher3")
    ask(run, LONG)
    assert snapshots(own_home) != []
    monkeypatch.setattr("localchat.commands.history.new_passphrase", lambda: "correct horse")
    run("history", "encrypt")
    assert snapshots(own_home) == []
    monkeypatch.setenv("LOCALCHAT_PASSPHRASE", "correct horse")
    assert ask(run, LONG) < 128
    assert snapshots(own_home) == []
