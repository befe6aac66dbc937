"""`localchat ask` where a reply goes round in circles, and its flags for the choice of words."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path

import typer
from typer.testing import CliRunner

from localchat.commands.cut_back import cut_back_in_words
from localchat.commands.sampling_flags import takes_sampling
from localchat.history.store import HistoryStore
from localchat.messages import sampling_keys
from tests.commands.test_commands import home, run

__all__ = ["home"]

SONG = "Write the lyrics of a love song."


def test_a_reply_that_goes_round_in_circles_is_ended_and_kept_without_them(home: Path) -> None:
    done = run(home, "ask", "--temperature", "0", "-n", "400", SONG)
    assert done.returncode == 0
    assert "went round in circles and was ended" in done.stderr
    with HistoryStore(home / "data/history.db") as store:
        reply = store.branch(store.conversations(limit=1)[0].id)[-1]
    assert reply.stats["finish_reason"] == "loop"
    assert done.stdout.startswith(reply.content.rstrip())
    assert len(reply.content) < len(done.stdout)


def test_every_sampling_option_is_a_flag_and_only_those_given_are_passed_on() -> None:
    passed: list[object] = []

    @takes_sampling
    def command(name: str = "", *, sampling: Mapping[str, float]) -> None:
        passed.extend([name, sampling])

    app = typer.Typer()
    app.command()(command)
    assert set(inspect.signature(command).parameters) == {"name", *sampling_keys()}
    ran = CliRunner().invoke(app, ["--dry-multiplier", "0.8", "--seed", "0", "--name", "x"])
    assert ran.exit_code == 0
    assert passed == ["x", {"dry_multiplier": 0.8, "seed": 0}]
    assert CliRunner().invoke(app, ["--top-k", "1.5"]).exit_code == 2


def test_what_is_said_of_it_ends_with_the_last_whole_words() -> None:
    said = cut_back_in_words("Once upon a time, by the sea, there was a lighthouse with one window.\n")
    assert "“there was a lighthouse with one window.”" in said
    assert "“短。”" in cut_back_in_words("短。")
