"""The command line as people and scripts use it: real processes, the real small model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def home(smollm2_home: Path, tmp_path: Path) -> Path:
    """A home of one's own with SmolLM2 in it."""
    (tmp_path / "home/data/models").mkdir(parents=True)
    shutil.copytree(smollm2_home / "data/models/smollm2-135m", tmp_path / "home/data/models/smollm2-135m")
    return tmp_path / "home"


def environment(home: Path) -> dict[str, str]:
    return {**{k: v for k, v in os.environ.items() if not k.startswith("LOCALCHAT_")}, "LOCALCHAT_HOME": str(home)}


def run(home: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "localchat", *arguments]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, env=environment(home), check=False, timeout=300
    )


def test_ask_prints_the_answer_and_nothing_else(home: Path) -> None:
    question = "What is the capital of France? Answer with one word."
    done = run(home, "ask", "-m", "smollm2-135m", "--temperature", "0", question)
    assert done.returncode == 0
    assert "Paris" in done.stdout
    assert done.stdout.endswith("\n")
    assert done.stderr == ""


def test_a_question_needs_no_verb(home: Path) -> None:
    assert "Paris" in run(home, "What is the capital of France? Answer with one word.", "--temperature", "0").stdout


def test_ask_reads_standard_input_and_files(home: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("The secret word is pineapple.", encoding="utf-8")
    done = run(
        home, "ask", "--json", "-n", "3", "Repeat:", "-f", str(tmp_path / "notes.txt"), stdin="It grows on trees.\n"
    )
    answer = json.loads(done.stdout)
    short = json.loads(run(home, "ask", "--json", "-n", "3", "Repeat:").stdout)
    assert answer["prompt_tokens"] > short["prompt_tokens"] + 10


def test_ask_json_has_the_documented_fields(home: Path) -> None:
    answer = json.loads(run(home, "ask", "--json", "--seed", "5", "-n", "4", "Hello").stdout)
    assert set(answer) == {
        "text",
        "finish_reason",
        "prompt_tokens",
        "cached_tokens",
        "completion_tokens",
        "seed",
        "model",
        "time_to_first_token_s",
        "decode_tokens_per_second",
        "drafted_tokens",
        "accepted_tokens",
    }
    assert (answer["seed"], answer["completion_tokens"], answer["finish_reason"]) == (5, 4, "length")


def test_ask_goes_on_with_the_last_conversation(home: Path) -> None:
    first = json.loads(run(home, "ask", "--json", "-n", "4", "My name is Ada.").stdout)
    second = json.loads(run(home, "ask", "--json", "-n", "4", "-c", "What is my name?").stdout)
    assert second["prompt_tokens"] > first["prompt_tokens"] + first["completion_tokens"]


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["ask", "-m", "no-such-model", "hi"], 1, "no model 'no-such-model'"),
        (["ask", "--temperature", "9", "hi"], 1, "temperature"),
        (["ask", "--bogus"], 2, "bogus"),
        (["ask"], 2, "no question"),
        (["import", "/no/such/file.gguf"], 1, "/no/such/file.gguf"),
        (["models", "show", "none"], 1, "none"),
        (["models", "remove", "../up"], 1, "../up"),
        (["perplexity", "smollm2-135m", "/no/such/text"], 1, "/no/such/text"),
        (["pull", "no-such-model"], 1, "no-such-model"),
    ],
)
def test_mistakes_get_one_sentence_and_a_status(home: Path, arguments: list[str], status: int, sentence: str) -> None:
    done = run(home, *arguments)
    assert done.returncode == status
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_debug_shows_the_traceback(home: Path) -> None:
    assert "Traceback" in run(home, "--debug", "ask", "-m", "no-such-model", "hi").stderr


def test_wrong_settings_name_the_key_the_file_and_the_line(home: Path) -> None:
    (home / "config").mkdir()
    (home / "config/config.toml").write_text("# mine\n[sampling]\ntemperature = 99\n", encoding="utf-8")
    done = run(home, "ask", "hi")
    assert done.returncode == 1
    assert all(part in done.stderr for part in ("temperature", "config.toml", "line 3", "99"))


def test_a_broken_pipe_is_quiet(home: Path) -> None:
    command = f"'{sys.executable}' -m localchat ask -n 200 'Tell me a long story.' | head -c 20"
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        env=environment(home),
        check=True,
        stdin=subprocess.DEVNULL,
    )
    assert len(done.stdout) == 20
    assert done.stderr == ""


def test_ctrl_c_is_quiet_and_keeps_what_was_written(home: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "localchat", "ask", "--temperature", "0", "Write a very long story about a cat."],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    seen = child.stdout.read(20)
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=60)
    assert child.returncode == 130
    assert stderr == ""

    from localchat.history.store import HistoryStore

    with HistoryStore(home / "data/history.db") as store:
        (conversation,) = store.conversations()
        reply = store.branch(conversation.id)[-1]
    assert reply.status == "stopped"
    assert reply.content.startswith(seen)


def test_a_truncated_gguf_is_refused_and_the_models_stay(home: Path, smollm2_gguf: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    with smollm2_gguf.open("rb") as file:
        cut.write_bytes(file.read(5_000_000))
    done = run(home, "import", str(cut))
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert [path.name for path in (home / "data/models").iterdir()] == ["smollm2-135m"]


def test_a_home_that_cannot_be_written_is_one_sentence(home: Path, smollm2_gguf: Path) -> None:
    (home / "data/models/smollm2-135m").rename(home / "kept")
    (home / "data/models").rmdir()
    (home / "data/models").write_text("a file where the folder should be")
    done = run(home, "import", str(smollm2_gguf), "--name", "other")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(home / "data/models") in done.stderr


def test_an_unwritable_history_does_not_keep_ask_from_answering(home: Path) -> None:
    (home / "data/history.db").mkdir()
    done = run(home, "ask", "--temperature", "0", "What is the capital of France? Answer with one word.")
    assert "Paris" in done.stdout
    assert done.returncode == 0
    assert "history" in done.stderr


def test_models_lists_shows_and_removes(home: Path) -> None:
    assert "smollm2-135m" in run(home, "models").stdout
    facts = json.loads(run(home, "models", "show", "smollm2-135m", "--json").stdout)
    assert facts["parameters"] == 134_515_008
    assert run(home, "models", "remove", "smollm2-135m").returncode == 0
    assert not (home / "data/models/smollm2-135m").exists()


def test_bench_json_has_the_documented_fields(home: Path) -> None:
    short = ["--prompt", "32", "--generate", "4", "--repeat", "1"]
    done = run(home, "bench", "smollm2-135m", *short, "--cache", "int8", "--json")
    facts = json.loads(done.stdout)
    assert set(facts) == {
        "model",
        "architecture",
        "device",
        "kernel",
        "threads",
        "parameters",
        "file_bytes",
        "bits_per_weight",
        "cache",
        "prompt_tokens",
        "prefill_tokens_per_second",
        "generated_tokens",
        "decode_tokens_per_second",
        "time_to_first_token_s",
        "load_s",
        "peak_rss_bytes",
    }
    assert facts["cache"] == "int8"
    assert (facts["prompt_tokens"], facts["generated_tokens"]) == (32, 4)
    assert facts["decode_tokens_per_second"] > 0


def test_bench_measures_what_guessing_ahead_gains(home: Path) -> None:
    options = ("--prompt", "64", "--generate", "24", "--repeat", "1", "--json", "--speculate")
    measured = json.loads(run(home, "bench", "smollm2-135m", *options).stdout)["speculation"]
    assert measured.keys() == {"open", "copying"}
    copying = measured["copying"]
    assert 0 < copying["accepted_tokens"] <= copying["drafted_tokens"]
    assert min(copying["plain_tokens_per_second"], copying["tokens_per_second"]) > 0


def test_ask_has_a_smaller_model_guess_ahead(home: Path) -> None:
    question = ("ask", "--temperature", "0", "-n", "12", "Count from one to five.")
    done = run(home, *question, "--draft", "smollm2-135m")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run(home, *question).stdout
    done = run(home, *question, "--draft", "nothing-of-the-sort")
    assert (done.returncode, "nothing-of-the-sort" in done.stderr) == (1, True)


def test_perplexity_is_that_of_this_model(home: Path, shared_dir: Path) -> None:
    text = shared_dir / "data/wikitext-2-test.txt"
    done = run(home, "perplexity", "smollm2-135m", str(text), "--chunks", "2", "--json")
    result = json.loads(done.stdout)
    assert set(result) == {"model", "file", "cache", "tokens_scored", "chunks", "nll", "perplexity"}
    assert (result["chunks"], result["tokens_scored"]) == (2, 2 * 255)
    assert 10 < result["perplexity"] < 40


def test_doctor_finds_nothing_wrong_and_names_the_kernels(home: Path) -> None:
    done = run(home, "doctor")
    assert done.returncode == 0, done.stdout
    assert "kernel" in done.stdout
    assert "cannot open a socket" in done.stdout


def test_locate_names_every_place(home: Path) -> None:
    lines = run(home, "locate").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["config", "history", "models", "cache", "logs"]
    assert all(str(home) in line for line in lines)


def test_ending_the_engine_of_ask_by_a_kill_leaves_the_question_in_the_history(home: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "localchat", "ask", "-n", "2000", "Tell me a very long story."],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.read(5)
    child.kill()  # at once: a small model's story may be over in half a second
    child.wait()

    from localchat.history.store import HistoryStore

    with HistoryStore(home / "data/history.db") as store:
        (conversation,) = store.conversations()
        question, reply = store.branch(conversation.id)
    assert question.content == "Tell me a very long story."
    assert reply.status == "interrupted"
