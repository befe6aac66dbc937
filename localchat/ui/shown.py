"""What the screen shows of a conversation: plain data, made by the session from the history."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from localchat.translation import _, mark, plural
from localchat.ui.figures import duration, short_count, speed
from localchat.ui.visible_text import one_line

ReplyStatus = Literal["waiting", "writing", "elsewhere", "complete", "stopped", "interrupted", "failed"]
"""elsewhere: another window is writing it."""

_ENDINGS = {
    "stopped": mark("stopped"),
    "interrupted": mark("interrupted"),
    "elsewhere": mark("another window is writing this"),
}
_REASONS = {
    "length": mark("reached the limit of tokens"),
    "context": mark("the context is full"),
    "loop": mark("looped, cut back; /continue goes on"),
}


@dataclass(frozen=True, slots=True)
class ReplyFigures:
    """What is worth knowing about a finished reply."""

    tokens: int = 0
    seconds: float = 0.0
    tokens_per_second: float = 0.0
    left_out: int = 0
    summarised: int = 0
    finish_reason: str = ""
    thinking_tokens: int = 0
    thinking_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """One message of the branch that is on screen. `version` of `versions`: its place among its siblings.

    Attributes:
        writer: the model that wrote it, where not all versions are by the same one; else empty.
        files: names of what was given with it.
        thinking: what the model wrote for itself before it answered.
        pinned: the model keeps seeing it when older messages no longer fit.
        summary: of the conversation down to this message, for when what it covers no longer fits.
    """

    id: str
    role: Literal["user", "assistant"]
    text: str
    status: ReplyStatus = "complete"
    error: str = ""
    figures: ReplyFigures | None = None
    version: int = 1
    versions: int = 1
    writer: str = ""
    files: tuple[str, ...] = ()
    thinking: str = ""
    pinned: bool = False
    summary: str = ""

    def grown(self, text: str) -> ShownMessage:
        return replace(self, text=self.text + text)


@dataclass(frozen=True, slots=True)
class ShownChat:
    """One line of the list of chats.

    Attributes:
        day: heading of its group.
        snippet: of the message in which a search found it; empty when that was the title.
        message_id: that message.
    """

    id: str
    title: str
    day: str
    snippet: str = ""
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class ShownGroup:
    """Chats under one heading.

    Attributes:
        kind: "older" and "more" stand for chats that are not listed yet. A folder's heading is its name.
        folded: its chats are hidden.
        count: how many chats it has, where `chats` does not hold all of them.
    """

    kind: Literal["day", "pinned", "folder", "older", "more", "archive"]
    heading: str
    chats: tuple[ShownChat, ...]
    folded: bool = False
    count: int = 0

    @property
    def can_fold(self) -> bool:
        return self.kind in ("folder", "older", "more", "archive")


def footnote(message: ShownMessage) -> str:
    """The one dim line under a reply."""
    parts = [one_line(message.writer)]
    figures = message.figures
    if figures is not None and figures.tokens:
        tokens = plural("{count} token", "{count} tokens", figures.tokens).format(count=short_count(figures.tokens))
        parts += [tokens, duration(figures.seconds), speed(figures.tokens_per_second)]
    if message.status == "failed":
        parts.append(message.error or _("no reply"))
    elif message.status in _ENDINGS:
        parts.append(_(_ENDINGS[message.status]))
    elif figures is not None and figures.finish_reason in _REASONS:
        parts.append(_(_REASONS[figures.finish_reason]))
    if figures is not None and figures.left_out:
        sentence = plural("{count} older message left out", "{count} older messages left out", figures.left_out)
        parts.append(sentence.format(count=figures.left_out))
        parts.append(_("{count} of them in summary").format(count=figures.summarised) if figures.summarised else "")
    return " · ".join(part for part in parts if part)
