"""The beginning of a reply that is given to the model, so that it goes on from there."""

from __future__ import annotations

from collections.abc import Sequence

from localchat.engine.context import Fitted
from localchat.errors import ContextOverflow
from localchat.messages import Message, ReplyOptions
from localchat.text.chat_text import ChatText
from localchat.text.tokenizer import Piece, Tokenizer
from localchat.translation import _


def encode_up_to(
    text: ChatText,
    line: Sequence[int],
    messages: Sequence[Message],
    prefill: str,
    thinking: str = "",
    think: bool | None = None,
) -> list[int]:
    """Token ids of a conversation, and of the thinking and the text with which the reply begins.

    Args:
        line: prompt and reply, from which the ids of the beginning are taken if they fit: those that the model read and
            wrote last, or those that are known of this one.
        think: see `ChatText.encode`. Thinking that is there already was switched on when it was written.

    Raises:
        BadTemplate: the template refuses this conversation.
        InvalidSetting: the template cannot be told whether to think.
    """
    prompt = text.encode(messages, _told(text, thinking, think))
    prompt += _thinking_ids(text, text.thinks_after(prompt), thinking, ended=bool(prefill))
    written = line[len(prompt) :] if prefill and list(line[: len(prompt)]) == prompt else ()
    return prompt + beginning_ids(text.tokenizer, prefill, written)


def begun_tokens(text: ChatText, prompt: Sequence[int], messages: Sequence[Message], options: ReplyOptions) -> int:
    """How many tokens at the end of the prompt that was made of these messages are the beginning of the reply."""
    if options.line:
        return options.begun
    if not (options.prefill or options.thinking):
        return 0
    return len(prompt) - len(text.encode(messages, _told(text, options.thinking, options.think)))


def exact_line(options: ReplyOptions, messages: Sequence[Message], context_length: int) -> Fitted:
    """The prompt that was given as tokens.

    Raises:
        ContextOverflow: it fills the context.
    """
    if len(options.line) >= context_length:
        raise ContextOverflow(
            _("The context is full up to this place: there is no room to go on from it."),
            _("Raise context_length in the settings."),
        )
    return Fitted(list(options.line), messages)


def _told(text: ChatText, thinking: str, think: bool | None) -> bool | None:
    """What the template is told of thinking."""
    return True if thinking and text.template.switch is not None else think


def _thinking_ids(text: ChatText, opened: bool, thinking: str, *, ended: bool) -> list[int]:
    """Ids of what the model had thought before it goes on.

    Args:
        opened: the prompt has begun it already.
        ended: text follows, which is no part of it.
    """
    marks = text.marks
    if marks is None or not (thinking or (opened and ended)):
        return []
    pieces: list[Piece] = [] if opened else [*text.tokenizer.split_at_specials(marks.opening), "\n"]
    pieces.append(thinking)
    if ended:
        pieces += ["\n", *text.tokenizer.split_at_specials(marks.closing), "\n\n"]
    merged: list[Piece] = []
    for piece in pieces:  # neighbours in plain text are cut into tokens as one
        if isinstance(piece, str) and merged and isinstance(merged[-1], str):
            merged[-1] += piece
        elif piece:
            merged.append(piece)
    return [
        id for piece in merged for id in (text.tokenizer.encode_after(piece) if isinstance(piece, str) else [piece.id])
    ]


def beginning_ids(tokenizer: Tokenizer, text: str, written: Sequence[int]) -> list[int]:
    """Ids of `text` as the beginning of a reply.

    Args:
        written: ids of the reply that was written last. As far as they spell `text` they are taken as they are: a model
            cuts its words differently than the tokenizer does, and going on with what it wrote itself is then the same
            as never having stopped; its keys and values are known, too.
    """
    wanted = text.encode("utf-8", "replace")
    taken, spelled = 0, 0
    data = b""
    for count, token in enumerate(written, 1):
        piece = tokenizer.token_bytes(token)
        data += piece.removeprefix(b" ") if count == 1 and tokenizer.strips_space else piece
        if not piece or not wanted.startswith(data):
            break
        if not _is_inside_character(wanted, len(data)):
            taken, spelled = count, len(data)
    return [*written[:taken], *tokenizer.encode_after(wanted[spelled:].decode())]


def _is_inside_character(data: bytes, index: int) -> bool:
    """Whether the byte at `index` goes on with a character of UTF-8 that began before it."""
    return index < len(data) and data[index] & 0xC0 == 0x80
