"""A mask that holds from where the answer begins: what the model thinks before it is free."""

from __future__ import annotations

from collections.abc import Sequence

from localchat.engine.sampling import TokenMask
from localchat.engine.token_mask import Mask
from localchat.text.chat_text import ChatText
from localchat.text.stream_decoder import StreamDecoder
from localchat.text.thinking import ThinkingMarks, ThinkingReader

_BREAKS = 2  # of lines, between thinking and answer


class AnswerMask:
    """`inner`, for a model that may think first.

    Where the answer might begin, the marks of thinking are allowed beside what `inner` allows; after thinking also the
    empty line that models write there.

    Args:
        size: number of the model's logits.
        opened: the prompt ends within what the model thinks.
    """

    def __init__(self, inner: TokenMask, text: ChatText, marks: ThinkingMarks, size: int, *, opened: bool) -> None:
        self._inner, self._text, self._marks = inner, text, marks
        self._reader = ThinkingReader(marks, opened=opened)
        self._characters = StreamDecoder(text.tokenizer)
        self._openings = [id for id in _openings(text, marks) if id < size]
        whole = {
            id for id in self._openings if text.tokenizer.token_bytes(id).decode("utf-8", "replace") == marks.opening
        }
        self._marking = whole | text.mark_tokens.keys()
        self._breaks = _breaks(text)
        self._breaks_left = 0
        self._answering, self._free = False, opened
        self._mask: Mask | None = None

    def allowed(self) -> Mask | None:
        if self._free and not self._answering:
            return None
        inner = self._inner.allowed()
        if self._answering or inner is None:
            return inner
        if self._mask is None:
            self._mask = inner.copy()
            self._mask[self._openings] = True
            self._mask[[id for id, count in self._breaks if count <= self._breaks_left]] = True
        return self._mask

    def accept(self, token: int) -> None:
        self._mask = None
        if self._answering:
            self._inner.accept(token)
        elif not self._free and token not in self._marking and allows(self._inner, token):
            self._answering = bool(self._text.tokenizer.token_bytes(token).strip())
            self._inner.accept(token)
        else:
            self._read(token)

    def _read(self, token: int) -> None:
        """A token of the thinking, of the marks around it, or the space after it."""
        was_thinking = self._reader.thinking
        piece = self._text.mark_tokens.get(token) or self._characters.push(token)
        answer = "".join(part.text for part in self._reader.push(piece) if not part.thinking)
        if was_thinking and not self._reader.thinking:
            self._breaks_left = _BREAKS
        self._breaks_left -= piece.count("\n")
        self._free, self._answering = not self._reader.waits, self._reader.answering
        for id in self._text.tokenizer.encode_after(answer):  # of a token that ended the thinking as well
            self._inner.accept(id)


def allows(mask: TokenMask, token: int) -> bool:
    """Whether this token may come next."""
    allowed = mask.allowed()
    return allowed is None or bool(allowed[token])


def _openings(text: ChatText, marks: ThinkingMarks) -> Sequence[int]:
    """The tokens with which a mark begins that opens thinking, or the header of a part."""
    wanted = marks.headers or (marks.opening,)
    control = [id for id, name in text.mark_tokens.items() if any(mark.startswith(name) for mark in wanted)]
    return control or [id for mark in wanted for id in text.tokenizer.encode_after(mark)[:1]]


def _breaks(text: ChatText) -> Sequence[tuple[int, int]]:
    """The tokens of line breaks, where so many are one token."""
    ids = [(text.tokenizer.encode_after("\n" * count), count) for count in range(1, _BREAKS + 1)]
    return [(each[0], count) for each, count in ids if len(each) == 1]
