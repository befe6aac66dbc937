"""What of a conversation fits the model's window, and what was left out: never silently.

The policy: the system prompt and the newest message always stay; the oldest turns go first. Turns go in steps of a
quarter of the window, so that the kept part stays the same for many questions and its keys and values can be reused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from localchat.errors import ContextOverflow
from localchat.messages import Message
from localchat.translation import _

REPLY_RESERVE = 512
"""Tokens kept free for the reply when the window is large; a quarter of the window when it is small."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A prompt that fits.

    Attributes:
        token_ids: the prompt, ready for the model.
        left_out: how many messages at the beginning of the conversation it lacks.
    """

    token_ids: list[int]
    left_out: int


def fit(
    messages: Sequence[Message],
    encode: Callable[[Sequence[Message]], list[int]],
    context_length: int,
    max_tokens: int | None = None,
) -> Fitted:
    """Choose which messages the model sees.

    Args:
        messages: the conversation, ending with the message to answer.
        encode: renders messages with the model's template and returns token ids.
        context_length: tokens that fit, prompt and reply together.
        max_tokens: length of the reply that the caller asked for, if any.

    Raises:
        ContextOverflow: system prompt and newest message alone are too long.
    """
    reserve = min(max_tokens or REPLY_RESERVE, REPLY_RESERVE, max(1, context_length // 4))
    budget = context_length - reserve
    whole = encode(messages)
    if len(whole) <= budget:
        return Fitted(whole, 0)

    system = [m for m in messages[:1] if m.role == "system"]
    turns = messages[len(system) :]
    # A conversation is cut before a question, so that a reply never stands without the question it answers.
    cuts = [i for i, m in enumerate(turns) if i and m.role == "user"]

    step = max(1, context_length // 4)
    excess = -(-(len(whole) - budget) // step) * step
    wanted = min(max(len(whole) - excess, 0), budget)

    best: tuple[int, list[int]] | None = None
    low, high = 0, len(cuts) - 1
    while low <= high:  # the smallest cut that is short enough; longer cuts are shorter prompts
        middle = (low + high) // 2
        ids = encode([*system, *turns[cuts[middle] :]])
        if len(ids) <= wanted:
            best = cuts[middle], ids
            high = middle - 1
        else:
            low = middle + 1
    if best is None and cuts:  # nothing reaches the comfortable size: the newest question alone, if it fits at all
        ids = encode([*system, *turns[cuts[-1] :]])
        if len(ids) <= budget:
            best = cuts[-1], ids
    if best is None:
        newest = len(encode([*system, *turns[cuts[-1] if cuts else 0 :]]))
        raise ContextOverflow(
            _(
                "Your message needs {newest} tokens with the system prompt, but the model reads {budget} at "
                "most (its context is {context_length}, of which {reserve} stay free for the reply)."
            ).format(
                newest=f"{newest:,}", budget=f"{budget:,}", context_length=f"{context_length:,}", reserve=f"{reserve:,}"
            ),
            _("Shorten it, or send it in parts; it is kept as you wrote it."),
        )
    return Fitted(best[1], best[0])
