"""Output that follows a JSON schema, a regular expression or a grammar, by masks from llguidance.

The library is given the bytes of every token and no tokenizer of its own, so that all kinds of vocabularies work, and
nothing is fetched. It computes a mask in well under a millisecond (Earley's algorithm over the bytes, walking the trie
of the vocabulary), so that nothing has to be prepared while the model runs.
"""

from __future__ import annotations

import json

import llguidance
import numpy as np

from localchat.constraint import Constraint
from localchat.engine.token_mask import Mask
from localchat.errors import BadConstraint
from localchat.text.tokenizer import Tokenizer
from localchat.translation import _

MOST_CHARACTERS = 50_000
"""Of a constraint. Preparing one takes time that grows with the square of its length, up to two seconds for these, and
no stop is heard meanwhile."""

_MOST_LEXER_STATES = 50_000  # a kilobyte or two each
_SAID = 200  # characters of the library's reason
_SPACE_IN_JSON = r"\x20|\n\x20{0,24}"
"""One space, or a line break and its indentation: what people write. Endless space, the library's own choice, is a trap
in which small models stay until the context is full."""


class Vocabulary:
    """The tokens of a model as llguidance wants them. Takes up to a second to make.

    Raises:
        BadConstraint: no token of the vocabulary ends a reply.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        if not tokenizer.stop_ids:
            raise BadConstraint(
                _("The model has no token that ends a reply, and cannot be held to a form."), _("Choose another model.")
            )
        wrapper = llguidance.TokenizerWrapper(_Tokens(tokenizer))
        ends = sorted(tokenizer.stop_ids)
        self.library = llguidance.LLTokenizer(wrapper, eos_token=ends)


class _Tokens:
    """What the library asks of a tokenizer, by the names that it uses."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id = min(tokenizer.stop_ids)
        self.bos_token_id = tokenizer.bos_id
        self.special_token_ids = sorted(tokenizer.control_ids)
        names = {token.id: b"\xff" + token.text.encode() for token in tokenizer.spec.control}
        self.tokens = [names.get(id) or tokenizer.token_bytes(id) for id in range(tokenizer.vocab_size)]
        self._by_bytes = {data: id for id, data in enumerate(self.tokens) if data}
        self._longest = max(map(len, self._by_bytes))

    def __call__(self, text: str | bytes) -> list[int]:
        """Ids that spell this text, and nothing before it: some vocabularies would put a space there."""
        data = text.encode() if isinstance(text, str) else text
        ids = self._tokenizer.encode_after(data.decode("utf-8", "replace"))
        return ids if b"".join(self.tokens[id] for id in ids) == data else self._spelled(data)

    def _spelled(self, data: bytes) -> list[int]:
        """The longest token that fits, again and again."""
        ids: list[int] = []
        ends = range(self._longest, 0, -1)
        while data and (end := next((end for end in ends if data[:end] in self._by_bytes), 0)):
            ids.append(self._by_bytes[data[:end]])
            data = data[end:]
        return ids


class ConstraintMask:
    """The tokens with which an answer goes on to match; at its end, those that end a reply.

    Args:
        size: of the masks: the number of the model's logits.

    Raises:
        BadConstraint: the constraint cannot be read, is too large, or nothing matches it.
    """

    def __init__(self, vocabulary: Vocabulary, size: int, constraint: Constraint) -> None:
        self._constraint, self._size = constraint, size
        grammar = _grammar(constraint)
        self._matcher = llguidance.LLMatcher(vocabulary.library, grammar, log_level=0, limits=_limits())
        self._mask: Mask | None = None
        self.allowed()
        if self._matcher.is_stopped() and not self._matcher.is_accepting():
            raise _refused(constraint, _("nothing can match it"))

    def allowed(self) -> Mask:
        """See `TokenMask`.

        Raises:
            BadConstraint: the reply no longer matches, or finding out became too costly.
        """
        if self._mask is None:
            bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
            if self._matcher.is_error():
                raise _refused(self._constraint, _reason(self._matcher.get_error()))
            known = np.unpackbits(bits, count=min(8 * len(bits), self._size), bitorder="little")
            self._mask = np.zeros(self._size, np.bool_)
            self._mask[: len(known)] = known
        return self._mask

    def accept(self, token: int) -> None:
        self._mask = None
        self._matcher.consume_token(token)  # what does not match shows in the next mask


def check(constraint: Constraint) -> None:
    """See whether the library can read a constraint, without a vocabulary.

    Raises:
        BadConstraint: it cannot.
    """
    is_error, said = llguidance.LLMatcher.validate_grammar_with_warnings(_grammar(constraint), limits=_limits())
    if is_error:
        raise _refused(constraint, _reason(said[0]))


def _limits() -> llguidance.LLParserLimits:
    return llguidance.LLParserLimits(max_lexer_states=_MOST_LEXER_STATES, verbose_errors=False)


def _grammar(constraint: Constraint) -> str:
    if len(constraint.text) > MOST_CHARACTERS:
        raise _refused(constraint, _("it is longer than {most} characters").format(most=f"{MOST_CHARACTERS:,}"))
    if constraint.kind == "regex":
        return llguidance.LLMatcher.grammar_from_regex(constraint.text)
    if constraint.kind == "grammar":
        return llguidance.LLMatcher.grammar_from_lark(constraint.text)
    try:
        json.loads(constraint.text)
        return llguidance.LLMatcher.grammar_from_json_schema(
            constraint.text, overrides={"whitespace_pattern": _SPACE_IN_JSON}
        )
    except (ValueError, RecursionError) as error:
        raise _refused(constraint, _reason(str(error))) from error


def _refused(constraint: Constraint, reason: str) -> BadConstraint:
    sentences = {
        "schema": _("The JSON schema cannot be followed: {reason}."),
        "regex": _("The regular expression cannot be followed: {reason}."),
        "grammar": _("The grammar cannot be followed: {reason}."),
    }
    return BadConstraint(sentences[constraint.kind].format(reason=reason), _("Correct or simplify it."))


def _reason(said: str) -> str:
    """The point of what the library says, which may be many lines with a picture of the place."""
    _before, _mark, error = said.rpartition("\nerror: ")
    line = (error or said).strip().partition("\n")[0]
    line = line.strip().rstrip(".")
    if line in ("", "NoExtensionBias"):
        return _("nothing can match it")
    return line if len(line) <= _SAID else f"{line[: _SAID - 1]}…"
