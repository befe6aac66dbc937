"""`localchat edits`: what is kept of decisions about changes, counted, exported and erased; and `localchat doc`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localchat.commands.app import run
from localchat.commands.edge import guarded
from localchat.commands.kept_edits import keep_decisions
from localchat.commands.writer import Written
from localchat.config import save_setting
from localchat.history.store import HistoryStore
from localchat.paths import history_file
from localchat.writing.actions import find_action
from localchat.writing.review import Review
from localchat.writing.work import Work


@pytest.fixture(autouse=True)
def at_home(home: Path) -> Path:
    return home


def status(*arguments: str) -> int:
    return guarded(lambda: run(list(arguments)), debug=False)


def decide() -> None:
    """Have a change proposed at the terminal, and take it."""
    work = Work(find_action("proofread"), "我门很高兴，但是天气很冷。")
    work.answered("我们很高兴，但是天气很冷。", "stop")
    review = Review(work.text, work.changes())
    review.decide("accepted")
    keep_decisions(review, Written(work, "small", stopped=False))


def test_decisions_at_the_terminal_are_kept_only_where_that_was_agreed_to() -> None:
    decide()
    save_setting("keep_edits", "off")
    decide()
    assert not history_file().exists()
    save_setting("keep_edits", "on")
    decide()
    with HistoryStore(history_file()) as store:
        assert [edit["kept"] for edit in store.edits()] == ["我们很高兴，但是天气很冷。"]


def test_edits_are_counted_exported_and_erased(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_setting("keep_edits", "on")
    decide()
    decide()
    assert status("edits", "count") == 0
    assert capfd.readouterr().out == "2 edits are kept.\nMore will be.\n"
    target = tmp_path / "edits.jsonl"
    assert status("edits", "export", str(target)) == 0
    lines = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert [line["proposed"] for line in lines] == ["我们很高兴，但是天气很冷。"] * 2
    assert "我们" in target.read_text(encoding="utf-8")
    capfd.readouterr()
    assert status("edits", "export", "-") == 0
    assert len(capfd.readouterr().out.splitlines()) == 2
    assert status("edits", "erase") == 0
    assert capfd.readouterr().out == "2 edits were erased.\n"
    assert status("edits", "count") == 0
    assert capfd.readouterr().out.startswith("0 edits are kept.")


@pytest.mark.parametrize("name", ["no/such/folder/text.md", "."])
def test_what_is_no_text_is_said_before_there_is_a_window(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    assert status("doc", str(tmp_path / name)) == 1
    assert str(tmp_path.name) in capfd.readouterr().err
