"""`localchat history` as people and scripts use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from localchat.commands.app import run as run_command
from localchat.commands.edge import guarded
from localchat.history.store import HistoryStore
from tests.history.samples import chatgpt, fill, node


@pytest.fixture
def full_home(tmp_path: Path) -> Path:
    """A home with one conversation."""
    with HistoryStore(tmp_path / "home" / "data" / "history.db") as store:
        fill(store)
    return tmp_path / "home"


@dataclass
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run `localchat history` with a home, where nobody can be asked for a passphrase."""
    monkeypatch.setattr("localchat.commands.passphrase._has_terminal", lambda: False)

    def run(home: Path, *arguments: str, passphrase: str = "") -> Done:
        monkeypatch.setenv("LOCALCHAT_HOME", str(home))
        monkeypatch.setenv("LOCALCHAT_PASSPHRASE", passphrase)
        capfd.readouterr()
        status = guarded(lambda: run_command(["history", *arguments]), debug=False)
        return Done(status, *capfd.readouterr())

    return run


Run = Callable[..., Done]


def test_a_history_goes_to_another_machine_and_nothing_is_added_twice(
    run: Run, full_home: Path, tmp_path: Path
) -> None:
    assert run(full_home, "export", str(tmp_path / "all.json")).stdout == f"{tmp_path / 'all.json'}\n"
    other = tmp_path / "other"
    assert run(other, "import", str(tmp_path / "all.json")).stdout == "1 conversation was added.\n"
    assert run(other, "import", str(tmp_path / "all.json")).stdout == (
        "0 conversations were added; 1 were here already.\n"
    )
    listed = json.loads(run(other, "list", "--json", "明月").stdout)
    assert listed["title"] == "菠萝 & Co."
    assert run(other, "list", "nowhere-to-be-found").stdout == ""


def test_conversations_are_exported_deleted_and_restored_by_the_ids_that_are_listed(
    run: Run, full_home: Path, tmp_path: Path
) -> None:
    chat_id, *_, title = run(full_home, "list").stdout.strip().split("  ")
    assert title == "菠萝 & Co."
    page = run(full_home, "export", "-", "--format", "markdown", "--chat", chat_id)
    assert page.stdout.startswith("# 菠萝 & Co.\n")
    run(full_home, "export", str(tmp_path / "out"), "--format", "html")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["菠萝 & Co.html"]
    assert run(full_home, "delete", chat_id).stdout == "“菠萝 & Co.” was deleted.\n"
    assert run(full_home, "list").stdout == ""
    run(full_home, "restore", chat_id)
    assert chat_id in run(full_home, "list").stdout


def test_what_chatgpt_exports_is_imported_and_what_is_only_named_is_said(
    run: Run, full_home: Path, tmp_path: Path
) -> None:
    picture = {"content_type": "multimodal_text", "parts": [{"content_type": "image_asset_pointer"}, "A cat?"]}
    tree = chatgpt(node("q", None, "user", at=1.0, content=picture), node("a", "q", "assistant", "Yes.", at=2.0))
    (tmp_path / "conversations.json").write_text(json.dumps([tree]), encoding="utf-8")
    done = run(full_home, "import", str(tmp_path / "conversations.json"))
    assert done.stdout == ("1 conversation was added. Of parts that are no text only the names were kept: image (1).\n")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("import", "/no/such/file"), 1, "/no/such/file"),
        (("delete", "zzz"), 1, "no conversation 'zzz'"),
        (("export", "x.md", "--chat", "zzz"), 1, "no conversation 'zzz'"),
        (("export", "x", "--format", "docx"), 2, "docx"),
        (("decrypt",), 1, "not encrypted"),
        (("encrypt",), 1, "no terminal"),
    ],
)
def test_mistakes_get_one_sentence(
    run: Run, full_home: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = run(full_home, *arguments)
    assert done.returncode == status
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_encrypted_history_wants_its_passphrase_from_every_command(run: Run, full_home: Path) -> None:
    pytest.importorskip("sqlcipher3")
    from localchat.history.recrypt import recrypt

    recrypt(full_home / "data" / "history.db", None, "open sesame")
    missing = run(full_home, "list")
    assert missing.returncode == 1
    assert "LOCALCHAT_PASSPHRASE" in missing.stderr
    assert "not the passphrase" in run(full_home, "list", passphrase="wrong").stderr
    assert "菠萝" in run(full_home, "list", passphrase="open sesame").stdout
    assert "plain again" in run(full_home, "decrypt", passphrase="open sesame").stdout
    assert "菠萝" in run(full_home, "list").stdout
