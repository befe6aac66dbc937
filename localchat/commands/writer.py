"""Doing a writing action with an engine in this process, with a progress bar; Ctrl+C ends it and keeps what is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localchat.commands.progress import ProgressLine
from localchat.events import PromptProgress, ReplyDone, TextDelta
from localchat.messages import FinishReason
from localchat.translation import _
from localchat.writing.action import Action
from localchat.writing.work import Request, Work

if TYPE_CHECKING:
    from localchat.engine.facade import Engine


@dataclass(frozen=True, slots=True)
class Written:
    """What was done: the work as far as it got, the model's name, and whether the user stopped it."""

    work: Work
    model: str
    stopped: bool


def write(
    action: Action,
    text: str,
    variables: Mapping[str, str],
    sampling: Mapping[str, float],
    model: Path,
    context_length: int | None,
    system_prompt: str = "",
) -> Written:
    """Load the model and do the action on the text.

    Raises:
        KeyboardInterrupt: it was stopped before anything was done.
        LocalChatError: the model cannot be loaded or cannot answer.
    """
    with ProgressLine() as line:
        line.show(_("Starting"), None)
        from localchat.engine.facade import Engine

        engine = Engine()
        info = engine.load(model, context_length, on_progress=lambda p: line.show(_(p.stage), p.fraction))
        work = Work(
            action,
            text,
            variables,
            sampling=sampling,
            context_length=info.context_length,
            thinking_switch=info.thinking_switch,
            system_prompt=system_prompt,
        )
        try:
            while request := work.request():
                work.answered(*_answer(engine, request, work, line))
        except KeyboardInterrupt:
            if not work.outcomes or action.result == "new":
                raise
            return Written(work, info.name, stopped=True)
        return Written(work, info.name, stopped=False)


def _answer(engine: Engine, request: Request, work: Work, line: ProgressLine) -> tuple[str, FinishReason]:
    """The text of one reply, and how it ended."""
    written: list[str] = []
    reason: FinishReason = "stopped"
    count = f"{len(work.outcomes) + 1}/{work.pieces}"
    for event in engine.reply(request.messages, request.options):
        if isinstance(event, PromptProgress):
            line.show(_("Reading"), len(work.outcomes) / work.pieces, count)
        elif isinstance(event, TextDelta):
            share = min(1.0, event.tokens / request.expected_tokens)
            line.show(
                _("Thinking") if event.thinking else _("Writing"), (len(work.outcomes) + share) / work.pieces, count
            )
            if not event.thinking:
                written.append(event.text)
        elif isinstance(event, ReplyDone):
            reason = event.finish_reason
    return "".join(written), reason
