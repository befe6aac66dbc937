"""How soon a long conversation goes on after a restart, against reading it again.

    python tests/engine/measure_resume.py MODEL [--tokens 8000] [--rounds 3] [--cache full|int8|int4]

Three processes in each round: the first keeps the conversation on disk in a home of its own, the second goes on with
it, and the third reads it again. The last two ask the same question; the ratio of their times to the first token is
printed, and whether their greedy replies have the same tokens. What was written is still in the system's memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

_TEXT = Path(__file__).parents[2] / "assets" / "calibration"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", help="a model folder or a GGUF file")
    parser.add_argument("--tokens", type=int, default=8000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache", choices=("full", "int8", "int4"), default="full")
    parser.add_argument("--step", choices=("keep", "resume", "again"))
    arguments = parser.parse_args()
    if arguments.step:
        return _step(arguments)
    ratios = []
    for number in range(1, arguments.rounds + 1):
        with tempfile.TemporaryDirectory() as home:
            kept, resumed, again = (_run(step, arguments, home) for step in ("keep", "resume", "again"))
            ratios.append(resumed["seconds"] / again["seconds"])
            same = "the same tokens" if resumed["tokens"] == again["tokens"] else "OTHER TOKENS"
            print(
                f"round {number}: {again['prompt']} tokens, of which {resumed['cached']} came from disk "
                f"({kept['megabytes']:.0f} MB in {kept['files']} files); first token after {resumed['seconds']:.3f} s "
                f"against {again['seconds']:.3f} s: 1/{1 / ratios[-1]:.0f}, {same}"
            )
    print(f"median 1/{1 / statistics.median(ratios):.0f}")
    return None


def _run(step: str, arguments: argparse.Namespace, home: str) -> dict[str, object]:
    options = ("--tokens", str(arguments.tokens), "--cache", arguments.cache, "--step", step)
    command = [sys.executable, __file__, arguments.model, *options]
    environment = {**os.environ, "LOCALCHAT_HOME": home}
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, object] = json.loads(result.stdout)
    return found


def _step(arguments: argparse.Namespace) -> None:
    from localchat.openmp import wait_briefly

    wait_briefly()
    from localchat.engine.facade import Engine
    from localchat.engine.prefix_cache import Budgets
    from localchat.engine.prefix_store_files import snapshots_dir
    from localchat.events import ReplyDone
    from localchat.messages import Message, ReplyOptions
    from localchat.recording import ReplyRecorded

    engine = Engine()
    length, step = arguments.tokens, arguments.step
    budgets = Budgets(disk=0 if step == "again" else 4_000_000_000)
    engine.load(arguments.model, length + 1000, cache_kind=arguments.cache, budgets=budgets)
    messages = _conversation(engine, length)
    greedy = ReplyOptions({"temperature": 0.0}, 32, chat="long")
    if step != "keep":
        messages += [Message("assistant", "I see."), Message("user", "What was this about? Answer in a sentence.")]
    for event in engine.reply(messages, greedy):
        if isinstance(event, ReplyRecorded):
            tokens = event.recording["reply"]
        elif isinstance(event, ReplyDone):
            done = event
    engine.flush()
    files = [path for path in snapshots_dir().rglob("*") if path.is_file()]
    found = {
        "seconds": done.time_to_first_token_s,
        "prompt": done.prompt_tokens,
        "cached": done.cached_tokens,
        "tokens": list(tokens),
        "files": len(files),
        "megabytes": sum(path.stat().st_size for path in files) / 1e6,
    }
    print(json.dumps(found))


def _conversation(engine, length: int):  # type: ignore[no-untyped-def]
    """Questions about pieces of real text, and short answers, up to about `length` tokens."""
    from localchat.messages import Message

    text = "\n".join(path.read_text("utf-8") for path in sorted(_TEXT.glob("*.txt")))
    messages = []
    for place in range(0, len(text), 1500):
        messages.append(Message("user", text[place : place + 1500]))
        if engine.measure(messages).tokens > length:
            return messages[:-2]
        messages.append(Message("assistant", f"That is part {place // 1500 + 1}."))
    raise SystemExit("there is not enough text")


if __name__ == "__main__":
    main()
