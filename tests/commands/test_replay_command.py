"""`localchat replay` and `localchat ask --probabilities`, as a user runs them."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from localchat.commands.replay import find_reply
from localchat.errors import InvalidSetting
from localchat.history.store import HistoryStore
from tests.commands.test_commands import environment, run


@pytest.fixture(scope="module")
def asked(smollm2_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose history holds one conversation with two replies."""
    home = tmp_path_factory.mktemp("replay") / "home"
    (home / "data/models").mkdir(parents=True)
    (home / "data/models/smollm2-135m").symlink_to(smollm2_home / "data/models/smollm2-135m")
    assert run(home, "ask", "-n", "12", "--seed", "5", "Tell me about whales.").returncode == 0
    assert run(home, "ask", "-c", "-n", "12", "--temperature", "1.4", "--seed", "6", "Again, please.").returncode == 0
    return home


@pytest.fixture
def home(asked: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    shutil.copytree(asked, tmp_path / "home", symlinks=True)
    return tmp_path / "home"


def history(home: Path) -> HistoryStore:
    return HistoryStore(home / "data/history.db")


def tokens_of_last(home: Path) -> int:
    """How many the last reply has: a model may end before its limit."""
    with history(home) as store:
        return int(store.branch(store.everything()[0].id)[-1].stats["completion_tokens"])


def test_the_last_reply_is_identical(asked: Path) -> None:
    done = run(asked, "replay")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"identical: {tokens_of_last(asked)} tokens\n", "")


def test_a_reply_is_named_by_its_id_or_by_its_conversation_and_number(asked: Path) -> None:
    with history(asked) as store:
        chat = store.everything()[0]
        first, second = [m for m in store.branch(chat.id) if m.role == "assistant"]
        names = {first.id: first, first.id[-10:]: first, f"{chat.id[-12:]}:1": first}
        names |= {chat.id[-12:]: second, "last": second, "last:2": second}
        for name, expected in names.items():
            assert find_reply(store, name) == expected


def test_another_token_is_shown_with_both_texts_and_what_changed(home: Path) -> None:
    with history(home) as store:
        reply = store.branch(store.everything()[0].id)[-1].id
        kept = store.recording(reply)
        assert kept is not None
        around = {**kept.circumstances, "kernel": "another kernel", "weights": "f" * 64}
        changed = replace(kept, reply=[*kept.reply[:1], 504, *kept.reply[2:]], circumstances=around)
        store.finish(reply, "text", recording=changed)
    done = run(home, "replay", "last")
    assert done.returncode == 1
    assert done.stdout.startswith(f"differs at token 2 of {len(kept.reply)}\n")
    assert "\n  then: The" in done.stdout and "\n  now:  " in done.stdout
    assert "kernel: another kernel → " in done.stdout and "weights: ffffffffffff… → " in done.stdout
    assert "Traceback" not in done.stderr


def test_a_reply_that_is_not_there_is_refused(asked: Path) -> None:
    with history(asked) as store:
        for name in ("nothing", "last:9", "last:0", "last:x", ":1", ""):
            with pytest.raises(InvalidSetting, match="There is no reply"):
                find_reply(store, name)
        with pytest.raises(InvalidSetting, match="That is a question"):
            find_reply(store, store.branch(store.everything()[0].id)[0].id)


def test_a_reply_without_a_recording_is_one_sentence(home: Path) -> None:
    with history(home) as store, store._database.writing() as connection:
        connection.execute("DELETE FROM recordings")
    done = run(home, "replay")
    assert (done.returncode, done.stdout) == (1, "") and "was not kept" in done.stderr


def test_ask_tells_how_sure_it_was_of_every_token(home: Path) -> None:
    done = run(home, "ask", "--json", "--probabilities", "3", "-n", "6", "--temperature", "1", "--seed", "5", "Hello")
    answer = json.loads(done.stdout)
    assert len(answer["tokens"]) == answer["completion_tokens"] == 6
    assert answer["text"].startswith(answer["tokens"][0]["text"])
    for token in answer["tokens"]:
        assert 0 < token["plain_probability"] <= 1 and 0 < token["probability"] <= 1 and token["entropy"] >= 0
        assert len(token["alternatives"]) == 3
    with history(home) as store:
        kept = store.recording(store.branch(store.everything()[0].id)[-1].id)
    assert kept is not None and len(kept.probabilities) == 6


def test_probabilities_need_json(asked: Path) -> None:
    done = run(asked, "ask", "--probabilities", "3", "Hello")
    assert done.returncode == 2 and "--json" in done.stderr


def test_a_reply_ended_by_an_interrupt_is_kept_with_what_makes_it_again(home: Path) -> None:
    arguments = ["ask", "-n", "400", "--temperature", "1.3", "--seed", "3", "Tell me a long story about whales."]
    with subprocess.Popen(
        [sys.executable, "-m", "localchat", *arguments],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as asking:
        assert asking.stdout is not None and asking.stderr is not None
        begun = asking.stdout.read(20)
        asking.send_signal(signal.SIGINT)
        text = (begun + asking.stdout.read()).decode()
        said = asking.stderr.read().decode()
    assert asking.returncode == 130 and "Traceback" not in said, said
    with history(home) as store:
        reply = store.branch(store.everything()[0].id)[-1]
        kept = store.recording(reply.id)
    assert (reply.status, reply.content) == ("stopped", text.removesuffix("\n"))
    assert reply.stats["finish_reason"] == "stopped"
    assert kept is not None and 0 < len(kept.reply) < 400 and not kept.ended
    assert run(home, "replay").stdout == f"identical: {len(kept.reply)} tokens\n"
