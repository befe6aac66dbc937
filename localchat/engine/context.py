"""What of a conversation fits the model's window, and what was left out: never silently.

The policy: the system prompt, the newest message and pinned exchanges always stay; the oldest exchanges go first. They
go in steps of a quarter of the window, so that the kept part stays the same for many questions and its keys and values
can be reused. Where a summary of what goes is at hand and wanted, it stands in its place as an exchange of its own,
which every chat template can write.

There are no attention sinks (Xiao et al., 2023) to keep: those spare a model that goes on from a cache whose beginning
was thrown away. Here the kept part is read anew from its beginning, which is the real one: the template's first tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from localchat.errors import ContextOverflow
from localchat.messages import Message, Overflow
from localchat.translation import _

REPLY_RESERVE = 512
"""Tokens kept free for the reply when the window is large; a quarter of the window when it is small."""

ENGLISH = "What have we talked about so far?"
CHINESE = "我们到目前为止谈了些什么？"
"""The question that a summary answers in the prompt, in the language of the summary."""

_HAN = re.compile("[\u3400-\u9fff]")

Encode = Callable[[Sequence[Message]], list[int]]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A prompt that fits.

    Attributes:
        token_ids: the prompt, ready for the model.
        messages: what it says: those that stay, and the exchange that holds the summary.
        gone: the messages that it lacks, by their places in the conversation.
        summarised: so many of them are covered by the summary.
        summary_at: place of the summary in `messages`; None where there is none.
    """

    token_ids: list[int]
    messages: Sequence[Message]
    gone: tuple[int, ...] = ()
    summarised: int = 0
    summary_at: int | None = None

    @property
    def left_out(self) -> int:
        """How many messages it lacks."""
        return len(self.gone)


def reserve_for(context_length: int, max_tokens: int | None) -> int:
    """Tokens that are kept free for a reply."""
    return min(max_tokens or REPLY_RESERVE, REPLY_RESERVE, max(1, context_length // 4))


def fit(
    messages: Sequence[Message],
    encode: Encode,
    context_length: int,
    max_tokens: int | None = None,
    overflow: Overflow = "oldest",
    ahead: int = 0,
) -> Fitted:
    """Choose which messages the model sees.

    Args:
        messages: the conversation, ending with the message to answer.
        encode: renders messages with the model's template and returns token ids.
        context_length: tokens that fit, prompt and reply together.
        max_tokens: length of the reply that the caller asked for, if any.
        overflow: what is done with those that do not fit.
        ahead: choose as if the conversation were so many tokens longer.

    Raises:
        ContextOverflow: what must stay is too long, or something would have to go and `overflow` is "stop".
    """
    reserve = reserve_for(context_length, max_tokens)
    budget = context_length - reserve - ahead
    whole = encode(messages)
    if len(whole) <= budget:
        return Fitted(whole, messages)
    if overflow == "stop":
        raise _full(len(whole), budget, context_length, reserve)
    step = max(1, context_length // 4)
    excess = -(-(len(whole) - budget) // step) * step
    wanted = min(max(len(whole) - excess, 0), budget)

    cuts = _Cuts(messages, summarises=overflow == "summary")
    best: Fitted | None = None
    low, high = 1, cuts.last
    while low <= high:  # the smallest cut that is short enough; longer cuts are shorter prompts
        middle = (low + high) // 2
        fitted = cuts.at(middle, encode)
        if len(fitted.token_ids) <= wanted:
            best, high = fitted, middle - 1
        else:
            low = middle + 1
    if best is not None:
        return best
    shortest = cuts.at(cuts.last, encode)  # nothing reaches the comfortable size: only what must stay, if it fits
    if len(shortest.token_ids) > budget and shortest.summary_at is not None:
        shortest = _Cuts(messages, summarises=False).at(cuts.last, encode)
    if len(shortest.token_ids) <= budget and shortest.gone:
        return shortest
    raise _too_long(len(shortest.token_ids), budget, context_length, reserve, pinned=cuts.keeps_pinned)


class _Cuts:
    """The ways to shorten a conversation: before each exchange, so that a reply never stands without its question."""

    def __init__(self, messages: Sequence[Message], *, summarises: bool) -> None:
        self._messages = messages
        self._summarises = summarises
        first = 1 if messages[0].role == "system" else 0
        starts = [first, *(i for i in range(first + 1, len(messages)) if messages[i].role == "user")]
        self._exchanges = [range(a, b) for a, b in zip(starts, [*starts[1:], len(messages)], strict=True)]
        self._pinned = [any(messages[i].pinned for i in exchange) for exchange in self._exchanges]

    @property
    def last(self) -> int:
        """The cut that leaves the newest question alone, with what is pinned."""
        return len(self._exchanges) - 1

    @property
    def keeps_pinned(self) -> bool:
        return any(self._pinned[:-1])

    def at(self, cut: int, encode: Encode) -> Fitted:
        """Without the exchanges before this one, but for those that are pinned."""
        messages = self._messages
        gone = tuple(i for exchange in self._going(cut) for i in exchange)
        head = [m for m in messages[:1] if m.role == "system"]
        summary = self._summary_of(gone)
        turn = [] if summary is None else _as_exchange(messages[summary].summary)
        kept = [m for i, m in enumerate(messages) if i >= len(head) and i not in set(gone)]
        prompt = [*head, *turn, *kept]
        covered = sum(i <= summary for i in gone) if summary is not None else 0
        return Fitted(encode(prompt), prompt, gone, covered, len(head) + 1 if turn else None)

    def _going(self, cut: int) -> list[range]:
        return [exchange for exchange, stays in zip(self._exchanges[:cut], self._pinned, strict=False) if not stays]

    def _summary_of(self, gone: tuple[int, ...]) -> int | None:
        """The message whose summary covers all that is gone and the least beyond it, or else the latest one."""
        places = [i for i, m in enumerate(self._messages) if m.summary] if self._summarises and gone else []
        beyond = [i for i in places if i >= gone[-1]]
        return beyond[0] if beyond else places[-1] if places else None


def _as_exchange(summary: str) -> list[Message]:
    """A summary as a question and its answer, which every template can write: some know no system message."""
    return [Message("user", CHINESE if _HAN.search(summary) else ENGLISH), Message("assistant", summary)]


def _full(tokens: int, budget: int, context_length: int, reserve: int) -> ContextOverflow:
    return ContextOverflow(
        _(
            "The conversation has {tokens} tokens with your message, and the model reads {budget} at most (its context "
            "is {context_length}, of which {reserve} stay free for the reply). Nothing is left out, as you wished."
        ).format(
            tokens=f"{tokens:,}", budget=f"{budget:,}", context_length=f"{context_length:,}", reserve=f"{reserve:,}"
        ),
        _("Start a new chat, or let the oldest messages go: the setting “overflow”."),
    )


def _too_long(newest: int, budget: int, context_length: int, reserve: int, *, pinned: bool) -> ContextOverflow:
    sentence = (
        _(
            "Your message needs {newest} tokens with the system prompt and what is pinned, but the model reads "
            "{budget} at most (its context is {context_length}, of which {reserve} stay free for the reply)."
        )
        if pinned
        else _(
            "Your message needs {newest} tokens with the system prompt, but the model reads {budget} at "
            "most (its context is {context_length}, of which {reserve} stay free for the reply)."
        )
    )
    return ContextOverflow(
        sentence.format(
            newest=f"{newest:,}", budget=f"{budget:,}", context_length=f"{context_length:,}", reserve=f"{reserve:,}"
        ),
        _("Unpin something, or shorten it; it is kept as you wrote it.")
        if pinned
        else _("Shorten it, or send it in parts; it is kept as you wrote it."),
    )
