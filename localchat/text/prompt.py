"""A conversation as token ids, in which nothing that anyone wrote can pass for a control token.

A template mixes its own control tokens with the contents of messages, and only the rendered text remains. To tell the
two apart, the letters from which control tokens are made are replaced, in the contents, by private-use characters:
whatever the template cuts, joins and trims, a control token in the rendering has then been written by the template.
Afterwards the letters are put back, and what was content is encoded as plain text.

Templates also look at contents (is there a `</think>`?), and must see there what the user wrote. So the rendering with
replaced letters, put back, has to equal the plain rendering; where it does not, fewer letters are replaced: first all
but the words that the template looks for, in the end only those inside the names of control tokens.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from localchat.errors import BadTemplate
from localchat.messages import Message
from localchat.text.chat_template import ChatTemplate
from localchat.text.tokenizer import Piece, Tokenizer

_PRIVATE_USE = range(0xF0000, 0xFFFFE)  # plane 15: no font, no input method, next to no text has these
_KEEP = frozenset('"\\')  # JSON writes these differently, and no control token needs them to be replaced


def encode_chat(
    template: ChatTemplate,
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    variables: Mapping[str, Any] | None = None,
) -> list[int]:
    """Ids of the conversation and of the beginning of the assistant's turn.

    Begins with the beginning-of-text token exactly once where the tokenizer wants one, whether or not the template
    writes it.

    Args:
        variables: see `ChatTemplate.render`.

    Raises:
        BadTemplate: see `ChatTemplate.render`.
    """
    pieces = chat_pieces(template, tokenizer, messages, variables)
    ids = tokenizer.encode_pieces(pieces)
    if tokenizer.adds_bos and tokenizer.bos_id is not None and ids[:1] != [tokenizer.bos_id]:
        ids.insert(0, tokenizer.bos_id)
    return ids


def chat_pieces(
    template: ChatTemplate,
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    variables: Mapping[str, Any] | None = None,
) -> list[Piece]:
    """The rendered conversation, cut into text and control tokens; the latter are all the template's.

    Raises:
        BadTemplate: see `ChatTemplate.render`.
    """
    return _rendered(template, tokenizer, messages, variables)[0]


class Span(NamedTuple):
    """Where a message stands in a rendering: what was thought before it, and its content, perhaps trimmed, to its end.

    What the template does not write, such as old thoughts, or writes differently, takes no room.
    """

    begin: int
    content: int
    end: int


def chat_parts(
    template: ChatTemplate,
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    variables: Mapping[str, Any] | None = None,
) -> tuple[list[Piece], list[Span]]:
    """The pieces, and where in their text, control tokens by their names, each message stands.

    Raises:
        BadTemplate: see `ChatTemplate.render`.
    """
    pieces, hidden, hide = _rendered(template, tokenizer, messages, variables)
    spans: list[Span] = []
    at = 0
    for message in messages:
        start = 0 if message.role == "system" else at  # some templates write it in the last turn
        content, end = _find(hidden, hide(message.content), start, len(hidden)) or (at, at)
        thought = _find(hidden, hide(message.thinking), start, content)
        spans.append(Span(content if thought is None else thought[0], content, end))
        at = at if message.role == "system" else end
    return pieces, spans


def _find(hidden: str, text: str, start: int, end: int) -> tuple[int, int] | None:
    """Where `text` stands between these places; many templates trim it."""
    for wanted in (text, text.strip()):
        if wanted and (place := hidden.find(wanted, start, end)) >= 0:
            return place, place + len(wanted)
    return None


def _rendered(
    template: ChatTemplate, tokenizer: Tokenizer, messages: Sequence[Message], variables: Mapping[str, Any] | None
) -> tuple[list[Piece], str, Callable[[str], str]]:
    """The pieces, the rendering with hidden letters that they were made of, and how these were hidden."""
    disguise = _Disguise(tokenizer, messages, template)
    plain = failure = rendered = None
    with contextlib.suppress(BadTemplate):  # it may object to what looks like a control token: the last way decides
        plain = template.render(messages, variables=variables)
    for way in disguise.ways():
        try:
            hide = way
            hidden = [Message(m.role, hide(m.content), hide(m.thinking)) for m in messages]
            rendered = template.render(hidden, variables=variables)
        except BadTemplate as error:
            rendered, failure = None, error
            continue
        if disguise.uncover(rendered) == plain:
            break
    if rendered is None:
        assert failure is not None
        raise failure
    pieces = tokenizer.split_at_specials(rendered)
    return [disguise.uncover(piece) if isinstance(piece, str) else piece for piece in pieces], rendered, hide


class _Disguise:
    """Replaces letters of control tokens in contents, one for one, and puts them back."""

    def __init__(self, tokenizer: Tokenizer, messages: Sequence[Message], template: ChatTemplate) -> None:
        self._template = template
        self._split_at_specials = tokenizer.split_at_specials
        letters = {letter for token in tokenizer.spec.control for letter in token.text if not letter.isspace()} - _KEEP
        taken = set(template.source).union(*(message.content + message.thinking for message in messages))
        free = (chr(code) for code in _PRIVATE_USE if chr(code) not in taken)
        pairs = dict(zip(sorted(letters), free, strict=False))
        self._hide = str.maketrans(pairs)
        self._show = str.maketrans({mask: letter for letter, mask in pairs.items()})

    def uncover(self, text: str) -> str:
        """`text` with all letters put back."""
        return text.translate(self._show)

    def ways(self) -> Iterator[Callable[[str], str]]:
        """Ways to hide, from the most thorough to the most careful."""
        yield self._hide_all
        yield self._hide_but_literals
        yield self._hide_specials

    def _hide_all(self, content: str) -> str:
        return content.translate(self._hide)

    def _hide_but_literals(self, content: str) -> str:
        literals = sorted(self._template.literals, key=len, reverse=True)
        pattern = re.compile(f"({'|'.join(map(re.escape, literals))})" if literals else r"(?!)()")
        return self._hide_pieces(
            content,
            lambda text: "".join(
                part if index % 2 else part.translate(self._hide) for index, part in enumerate(pattern.split(text))
            ),
        )

    def _hide_specials(self, content: str) -> str:
        return self._hide_pieces(content, lambda text: text)

    def _hide_pieces(self, content: str, hide_text: Callable[[str], str]) -> str:
        """Hide the names of control tokens, and `hide_text` of what lies between them."""
        return "".join(
            hide_text(piece) if isinstance(piece, str) else piece.text.translate(self._hide)
            for piece in self._split_at_specials(content)
        )
