"""`localchat ask` with an answer that is held to a form or a language: real processes, the real small model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from localchat.history.store import HistoryStore
from localchat.text.scripts import Script, scripts

SCHEMA = {"type": "object", "properties": {"capital": {"enum": ["Paris", "Rome"]}}, "required": ["capital"]}


@pytest.fixture
def home(smollm2_folder: Path, tmp_path: Path) -> Path:
    (tmp_path / "home/data/models").mkdir(parents=True)
    (tmp_path / "home/data/models/smollm2-135m").symlink_to(smollm2_folder)
    return tmp_path / "home"


def ask(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("LOCALCHAT_")}
    command = [sys.executable, "-m", "localchat", "ask", "-n", "40", "--temperature", "0", *arguments]
    environment = {**clean, "LOCALCHAT_HOME": str(home)}
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False, timeout=300
    )


def test_an_answer_follows_the_schema_in_a_file(home: Path, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA | {"additionalProperties": False}), encoding="utf-8")
    done = ask(home, "--schema", str(tmp_path / "schema.json"), "The capital of France, as JSON.")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["capital"] in ("Paris", "Rome")


def test_an_answer_stays_in_the_language_and_the_prompt_is_kept_without_its_line(home: Path) -> None:
    done = ask(home, "--json", "--language", "en", "-s", "Be brief.", "你好！请介绍一下你自己。")
    assert not scripts(json.loads(done.stdout)["text"].partition("`")[0]) & {Script.HAN, Script.EAST, Script.OTHER}
    store = HistoryStore(home / "data/history.db")
    assert store.conversations(limit=1)[0].system_prompt == "Be brief."
    store.close()


def test_what_cannot_be_followed_is_said_before_anything_is_loaded_or_kept(home: Path, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"type": "person"}', encoding="utf-8")
    refused = ask(home, "--schema", str(tmp_path / "schema.json"), "Hi")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "localchat: The JSON schema cannot be followed: Invalid type: person. Correct or simplify it.\n"
    )
    assert not (home / "data/history.db").exists()
    assert ask(home, "--regex", "a", "--schema", str(tmp_path / "schema.json"), "Hi").returncode == 2
    assert ask(home, "--language", "fr", "Hi").returncode == 2
