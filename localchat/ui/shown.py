"""What the screen shows of a conversation: plain data, made by the session from the history."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from localchat.ui.figures import duration, short_count, speed

ReplyStatus = Literal["waiting", "writing", "elsewhere", "complete", "stopped", "interrupted", "failed"]
"""elsewhere: another window is writing it."""


@dataclass(frozen=True, slots=True)
class ReplyFigures:
    """What is worth knowing about a finished reply."""

    tokens: int = 0
    seconds: float = 0.0
    tokens_per_second: float = 0.0
    left_out: int = 0
    finish_reason: str = ""


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """One message of the branch that is on screen. `version` of `versions`: its place among its siblings."""

    id: str
    role: Literal["user", "assistant"]
    text: str
    status: ReplyStatus = "complete"
    error: str = ""
    figures: ReplyFigures | None = None
    version: int = 1
    versions: int = 1

    def grown(self, text: str) -> ShownMessage:
        return replace(self, text=self.text + text)


@dataclass(frozen=True, slots=True)
class ShownChat:
    """One line of the list of chats. `day` is its group; `snippet` is where a search found it."""

    id: str
    title: str
    day: str
    snippet: str = ""


def footnote(message: ShownMessage) -> str:
    """The one dim line under a reply."""
    parts: list[str] = []
    figures = message.figures
    if figures is not None and figures.tokens:
        tokens = "1 token" if figures.tokens == 1 else f"{short_count(figures.tokens)} tokens"
        parts += [tokens, duration(figures.seconds), speed(figures.tokens_per_second)]
    if message.status == "stopped":
        parts.append("stopped")
    elif message.status == "interrupted":
        parts.append("interrupted")
    elif message.status == "failed":
        parts.append(message.error or "no reply")
    elif message.status == "elsewhere":
        parts.append("another window is writing this")
    elif figures is not None and figures.finish_reason == "length":
        parts.append("reached the limit of tokens")
    elif figures is not None and figures.finish_reason == "context":
        parts.append("the context is full")
    if figures is not None and figures.left_out:
        count = figures.left_out
        parts.append("1 older message left out" if count == 1 else f"{count} older messages left out")
    return " · ".join(part for part in parts if part)
