"""One reply that is wanted, from the moment its question is saved until it is finished."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from localchat.events import PromptFitted, ReplyDone, TextCut, TextDelta
from localchat.history.records import StoredMessage
from localchat.history.store import HistoryStore
from localchat.messages import Message, ReplyOptions
from localchat.recording import Recording
from localchat.ui.context_parts import prompt_parts

CHECKPOINT_S = 0.4
"""A reply on disk is never older than this: the promise is half a second."""


_ADDED_UP = ("completion_tokens", "thinking_tokens", "thinking_seconds")
"""Figures of a reply that went on which count the whole of it."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model that can be loaded: its folder or file, the name that the history knows it by, and the folder or file of
    a smaller one that guesses ahead."""

    path: str
    name: str
    context_length: int | None = None
    draft: str | None = None


@dataclass(slots=True)
class Turn:
    """A reply in the making.

    Attributes:
        text: everything that the user has seen of it.
        thinking: what the model wrote for itself before.
        prefill: what it began with; the model goes on from there.
        earlier: the figures of the reply that goes on.
        line, begun: token ids that it goes on from, instead of the text; see `ReplyOptions`.
        before: what makes the part again that was written earlier.
        sampling: options that only this reply is written with.
        model: who is to write it; None is the model that is chosen.
        recording: what makes it again.
    """

    chat_id: str
    question_id: str
    reply_id: str
    text: str = ""
    thinking: str = ""
    prefill: str = ""
    earlier: Mapping[str, Any] = field(default_factory=dict)
    line: Sequence[int] = ()
    begun: int = 0
    before: Recording | None = None
    sampling: Mapping[str, float] = field(default_factory=dict)
    model: ModelSource | None = None
    stopped: bool = False
    fitted: PromptFitted | None = None
    done: ReplyDone | None = None
    recording: Recording | None = None
    began: float = field(default_factory=time.monotonic)
    _saved_at: float = field(default_factory=time.monotonic)
    _saved_length: int = 0

    def begins(self, options: ReplyOptions) -> ReplyOptions:
        """The options of a reply that begins as this one does."""
        options = replace(options, sampling={**options.sampling, **self.sampling})
        if self.line:
            return replace(options, line=self.line, begun=self.begun)
        known = self.before.line if self.before is not None else ()
        return replace(options, prefill=self.prefill, thinking=self.thinking, known=known)

    def grow(self, delta: TextDelta) -> None:
        """The reply, or the thinking before it, goes on."""
        if delta.thinking:
            self.thinking += delta.text
        else:
            self.text += delta.text

    @property
    def kept_recording(self) -> Recording | None:
        """What makes again all that was written; None when that is not known of a part of it."""
        nothing_new = self.fitted is None and not self.line
        return self.recording or (self.before if nothing_new else None)

    def cut_back(self, cut: TextCut) -> None:
        """The last of what came is taken back."""
        self.text = self.text[: len(self.text) - cut.text]
        self.thinking = self.thinking[: len(self.thinking) - cut.thinking]

    def checkpoint(self, store: HistoryStore) -> None:
        """Save the text when the last time is long enough ago."""
        now = time.monotonic()
        length = len(self.text) + len(self.thinking)
        if now - self._saved_at >= CHECKPOINT_S and length != self._saved_length:
            store.checkpoint(self.reply_id, self.text, self.thinking)
            self._saved_at, self._saved_length = now, length

    def stats(self) -> dict[str, Any]:
        """What is kept beside the reply: the engine's own figures, and the seconds that the user waited."""
        seconds = round(time.monotonic() - self.began + self.earlier.get("seconds", 0.0), 3)
        if self.done is not None:
            figures = asdict(self.done)
            whole = {name: figures[name] + self.earlier.get(name, 0) for name in _ADDED_UP if name in figures}
            left_out = max(figures["left_out"], self.earlier.get("left_out", 0))
            return {**figures, **whole, "left_out": left_out, "seconds": seconds}
        if self.fitted is not None:
            fitted = self.fitted
            read = {"prompt_tokens": fitted.prompt_tokens, "left_out": fitted.left_out, "summarised": fitted.summarised}
            return {**self.earlier, **read, "seconds": seconds}
        return dict(self.earlier)


def prompt_messages(line: Iterable[StoredMessage], system_prompt: str) -> Sequence[Message]:
    """What the model is given: see `prompt_parts`."""
    return [part.message for part in prompt_parts(line, system_prompt)]
