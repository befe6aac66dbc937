"""What a prompt is made of, before it is sent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ContextLedger:
    """Answer to a ledger request: what the prompt would be made of, in tokens of the model's own template.

    The parts of the messages that stay, the summary and the template together are the prompt.

    Attributes:
        parts: of each message given, the tokens of each of its parts; those that are left out have theirs too.
        gone: the messages that are left out, by their places.
        summarised: so many of them have a summary that stands for them.
        summary: tokens of that.
        template: what the template writes around the messages that stay.
        reserve: tokens that are kept free for the reply.
        refusal: why the question would not be answered; "" when it would.
    """

    parts: tuple[tuple[int, ...], ...]
    gone: tuple[int, ...]
    summarised: int
    summary: int
    template: int
    prompt_tokens: int
    reserve: int
    context_length: int
    refusal: str = ""
