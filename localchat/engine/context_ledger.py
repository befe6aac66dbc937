"""What a prompt is made of, token by token: every token belongs to one part, so that the parts add up to the prompt."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

from localchat.engine.beginning import encode_up_to
from localchat.engine.context import Fitted, fit, reserve_for
from localchat.errors import ContextOverflow
from localchat.ledger import ContextLedger
from localchat.messages import Message, ReplyOptions
from localchat.text.chat_text import ChatText
from localchat.text.prompt import Span
from localchat.text.tokenizer import Piece, Tokenizer

Parts = tuple[tuple[int, ...], ...]


def ledger(
    text: ChatText,
    messages: Sequence[Message],
    options: ReplyOptions,
    context_length: int,
    ends: Sequence[Sequence[int]] = (),
    ahead: int = 0,
) -> ContextLedger:
    """What a reply to this conversation would be given, and what would be left out.

    Args:
        ends: for each message, where in its content each of its parts ends, in characters; a message without any is
            one part.
        ahead: as if the conversation were so many tokens longer.

    Raises:
        BadTemplate, InvalidSetting: as a reply would.
    """
    encode = partial(encode_up_to, text, (), prefill=options.prefill, thinking=options.thinking, think=options.think)
    cuts = [list(ends[i]) if i < len(ends) and ends[i] else [len(m.content)] for i, m in enumerate(messages)]
    everything = count_parts(text, messages, cuts, options.think)
    refusal = ""
    try:
        fitted = fit(messages, encode, context_length, options.max_tokens, options.overflow, ahead)
    except ContextOverflow as error:
        fitted, refusal = Fitted(encode(messages), messages), str(error)
    parts, summary = _as_they_stay(text, messages, everything, cuts, fitted, options.think)
    stays = sum(sum(counts) for i, counts in enumerate(parts) if i not in fitted.gone)
    return ContextLedger(
        parts=parts,
        gone=fitted.gone,
        summarised=fitted.summarised,
        summary=summary,
        template=len(fitted.token_ids) - stays - summary,
        prompt_tokens=len(fitted.token_ids),
        reserve=reserve_for(context_length, options.max_tokens),
        context_length=context_length,
        refusal=refusal,
    )


def _as_they_stay(
    text: ChatText,
    messages: Sequence[Message],
    everything: Parts,
    cuts: Sequence[Sequence[int]],
    fitted: Fitted,
    think: bool | None,
) -> tuple[Parts, int]:
    """The parts as they are in the prompt, those of messages that are gone as they would be; and the summary's tokens.

    A template may write a message otherwise when others are gone, such as a system prompt of its own or old thoughts.
    """
    if not fitted.gone:
        return everything, 0
    places = [i for i in range(len(messages)) if i not in set(fitted.gone)]
    head = 1 if messages[0].role == "system" else 0
    sources: list[int | None] = list(places)
    if fitted.summary_at is not None:
        sources[head:head] = [None, None]
    inner = [[len(m.content)] if at is None else cuts[at] for m, at in zip(fitted.messages, sources, strict=True)]
    counted = count_parts(text, fitted.messages, inner, think)
    parts, summary = list(everything), 0
    for at, counts in zip(sources, counted, strict=True):
        if at is None:
            summary += sum(counts)
        else:
            parts[at] = counts
    return tuple(parts), summary


def count_parts(
    text: ChatText, messages: Sequence[Message], ends: Sequence[Sequence[int]], think: bool | None = None
) -> Parts:
    """Tokens of every part of every message as the template writes them; what it writes around them is in none.

    A token belongs to the part in which it begins. What a model thought before a reply counts with the reply.
    """
    pieces, spans = text.parts(messages, think)
    starts = list(_token_starts(text.tokenizer, pieces))
    return tuple(
        _counts(starts, span, message.content, message_ends)
        for message, span, message_ends in zip(messages, spans, ends, strict=True)
    )


def _counts(starts: Sequence[int], span: Span, content: str, ends: Sequence[int]) -> tuple[int, ...]:
    is_whole = span.end - span.content == len(content)
    first = span.content - (0 if is_whole else len(content) - len(content.lstrip()))
    borders = [span.begin, *(min(max(first + at, span.begin), span.end) for at in ends[:-1]), span.end]
    return tuple(bisect_left(starts, b) - bisect_left(starts, a) for a, b in pairwise(borders))


def _token_starts(tokenizer: Tokenizer, pieces: Sequence[Piece]) -> Iterator[int]:
    """Where each token of the prompt begins, in characters of the pieces' text."""
    at = 0
    for piece, ids in zip(pieces, tokenizer.encode_each(pieces), strict=True):
        length = len(piece) if isinstance(piece, str) else len(piece.text)
        if isinstance(piece, str):
            yield from (at + place for place in _starts_in(tokenizer, piece, ids))
        else:
            yield at
        at += length


def _starts_in(tokenizer: Tokenizer, text: str, ids: Sequence[int]) -> Iterator[int]:
    """Where each token of one piece of text begins."""
    lengths = [len(tokenizer.token_bytes(id)) for id in ids]
    characters = [i for i, letter in enumerate(text) for _byte in letter.encode("utf-8", "surrogatepass")]  # by byte
    at = len(characters) - sum(lengths)  # below 0 where a space was put in front, above where spaces were taken away
    at = at if at < 0 or text[:1].isspace() else 0
    for length in lengths:
        yield characters[min(max(at, 0), len(characters) - 1)] if characters else 0
        at += length
