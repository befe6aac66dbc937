"""What the writing actions make of ten paragraphs: `python -m tests.writing.measure_actions MODEL [ACTION]...`.

Prints Markdown: for each action, each paragraph's text and what became of it, and how many stayed as they were.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

from localchat.commands.model_choice import chosen_model
from localchat.engine.facade import Engine
from localchat.events import ModelInfo, ReplyDone, TextDelta
from localchat.messages import FinishReason
from localchat.openmp import wait_briefly
from localchat.writing.action import Action
from localchat.writing.actions import all_actions
from localchat.writing.work import Request, Work


def answer(engine: Engine, request: Request) -> tuple[str, FinishReason]:
    text, reason = "", "stopped"
    for event in engine.reply(request.messages, request.options):
        if isinstance(event, TextDelta) and not event.thinking:
            text += event.text
        elif isinstance(event, ReplyDone):
            reason = event.finish_reason
    return text, reason  # type: ignore[return-value]


def done(engine: Engine, model: ModelInfo, action: Action, text: str) -> tuple[str, str]:
    """The result, and why the text stayed as it is."""
    work = Work(action, text, context_length=model.context_length, thinking_switch=model.thinking_switch)
    while request := work.request():
        work.answered(*answer(engine, request))
    return work.result(), "; ".join(outcome.objection for outcome in work.outcomes if outcome.objection)


def main(name: str, wanted: list[str]) -> None:
    wait_briefly()
    paragraphs: list[Mapping[str, str]] = tomllib.loads(
        Path(__file__).with_name("paragraphs.toml").read_text(encoding="utf-8")
    )["paragraph"]
    engine = Engine()
    model = engine.load(chosen_model(name), 4096)
    print(f"# {model.name}, {model.precision}\n", flush=True)
    for paragraph in paragraphs:
        print(f"- **{paragraph['name']}**: {paragraph['text']}")
    for action in all_actions().values():
        if wanted and action.name not in wanted:
            continue
        print(f"\n## {action.name}\n", flush=True)
        for paragraph in paragraphs:
            result, objection = done(engine, model, action, paragraph["text"])
            words = f"*left as it is ({objection})*" if objection else result.replace("\n", " ⏎ ")
            print(f"- **{paragraph['name']}**: {words}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
