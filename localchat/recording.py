"""What a reply was made of, so that it can be made again and compared, and how sure the model was of each token."""

from __future__ import annotations

import hashlib
import json
import zlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from localchat.translation import mark

CIRCUMSTANCES: Mapping[str, str] = {
    "weights": mark("weights"),
    "template": mark("chat template"),
    "tokenizer": mark("tokenizer"),
    "precision": mark("precision"),
    "cache": mark("precision of the cache"),
    "kernel": mark("kernel"),
    "device": mark("device"),
    "threads": mark("threads"),
    "localchat": mark("version of localchat"),
    "torch": mark("version of torch"),
    "machine": mark("kind of machine"),
}
"""What may make another reply of the same tokens, and its name: `mark`ed."""


@dataclass(frozen=True, slots=True)
class TokenProbability:
    """A token that may stand at one place of a reply.

    Attributes:
        text: what it stands for; bytes that are no whole character are written `\\xe4`.
        probability: with which it was drawn, after penalties, temperature and filters; 0 where those exclude it.
        plain_probability: by the softmax of the model's logits, before all of these.
    """

    token: int
    text: str
    probability: float
    plain_probability: float


@dataclass(frozen=True, slots=True)
class TokenChosen:
    """A token became part of the reply; the text that it completes follows. Only where probabilities are asked for.

    Attributes:
        entropy: of the softmax of the model's logits, in bits.
        alternatives: the likeliest tokens by that softmax, the chosen one among them where it belongs there.
    """

    chosen: TokenProbability
    entropy: float
    alternatives: tuple[TokenProbability, ...]


@dataclass(frozen=True, slots=True)
class TokenExplained:
    """A token of a recorded reply, in order.

    Attributes:
        text: the characters that it completes; often a word, sometimes none.
        thinking: they belong to what the model thought before it answered.
        origin: "given": with this the reply was begun by somebody else; "end": it ended the reply.
        part: which one of `Recording.parts` it belongs to, from 0.
        before: how many tokens of that part's line stand before it.
    """

    token: TokenChosen
    text: str
    thinking: bool
    origin: Literal["written", "given", "end"]
    part: int
    before: int


@dataclass(frozen=True, slots=True)
class ReplyExplained:
    """Every token of the reply has been explained.

    Attributes:
        kept: by the probabilities that were kept with it: the model has other weights now.
    """

    kept: bool


@dataclass(frozen=True, slots=True)
class ReplyRecorded:
    """What makes the reply again, before it is done: a `Recording` as JSON can hold it."""

    recording: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Replayed:
    """A recorded reply was made again.

    Attributes:
        tokens: how many were the same, from the first.
        differs: whether another one then came, or an end where there was none.
        same, then, now: text before that place, the reply from there on as it was recorded, and as it is now.
        chosen_then, chosen_now: the two tokens; the text of one that ends a reply is empty.
        circumstances: of this time, to compare with those recorded.
    """

    tokens: int
    differs: bool
    circumstances: Mapping[str, str]
    same: str = ""
    then: str = ""
    now: str = ""
    chosen_then: TokenProbability | None = None
    chosen_now: TokenProbability | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """One reply. One that went on has parts, each of which was written by itself; this is the last.

    Attributes:
        prompt: token ids that the model was given, the beginning of the reply included where it had one.
        reply: those that it wrote.
        ended: the model itself ended the reply, with a token that is not in it.
        sampling: all fields of `SamplingOptions`, the seed included.
        circumstances: by the names of `CIRCUMSTANCES`; empty is not known.
        probabilities: where they were asked for, of every token of the reply: its probability, the plain one, the
            entropy in bits, and the alternatives, each with its id and two probabilities. See `TokenChosen`.
        times: of every token of the reply, tenths of a millisecond since the one before.
        begun: so many tokens at the end of the prompt are the beginning of the reply.
        masked: what the reply was held to, by masking tokens: see `localchat.engine.masking`; empty is nothing.
        earlier: what had been written of the reply before it went on.
    """

    prompt: Sequence[int]
    reply: Sequence[int]
    ended: bool
    sampling: Mapping[str, Any]
    circumstances: Mapping[str, str]
    probabilities: Sequence[Any] = field(default_factory=list)
    times: Sequence[int] = field(default_factory=list)
    begun: int = 0
    masked: Mapping[str, Any] = field(default_factory=dict)
    earlier: Recording | None = None

    @classmethod
    def of(cls, told: ReplyRecorded, earlier: Recording | None = None) -> Recording:
        """What an engine told of a reply, or of the part of it that came after `earlier`."""
        return replace(cls(**told.recording), earlier=earlier)

    def pack(self, line: Sequence[int] = ()) -> bytes:
        """A compact form, in which the prompt lacks the tokens that it begins with as `line` does.

        A conversation of n turns then takes room for n turns, although every prompt holds all before it.
        """
        return zlib.compress(json.dumps(self.as_object(line), separators=(",", ":")).encode(), 9)

    def as_object(self, line: Sequence[int] = ()) -> dict[str, Any]:
        """As JSON can hold it; the prompt as in `pack`."""
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        if self.earlier is not None:
            content["earlier"] = self.earlier.as_object(line)
            line = self.earlier.line
        shared = _shared(self.prompt, line)
        return content | {"prompt": list(self.prompt[shared:]), "shared": shared, "check": _check(self.prompt)}

    @classmethod
    def unpack(cls, data: bytes, line: Sequence[int] = ()) -> Recording | None:
        """The inverse of `pack`; None when `line` no longer is what it was, or the data is damaged."""
        try:
            return cls.from_object(json.loads(zlib.decompress(data)), line)
        except (zlib.error, ValueError, TypeError, KeyError, AttributeError):
            return None

    @classmethod
    def from_object(cls, content: dict[str, Any], line: Sequence[int] = ()) -> Recording:
        """The inverse of `as_object`.

        Raises:
            ValueError: `line` no longer is what it was.
        """
        if content.get("earlier") is not None:
            content["earlier"] = earlier = cls.from_object(content["earlier"], line)
            line = earlier.line
        shared, check = content.pop("shared"), content.pop("check")
        recording = cls(**content)
        whole = [*line[:shared], *recording.prompt]
        if _check(whole) != check:
            raise ValueError("another line")
        return replace(recording, prompt=whole)

    @property
    def line(self) -> list[int]:
        """Prompt and reply: what the next prompt of the conversation is likely to begin with."""
        return [*self.prompt, *self.reply]

    @property
    def parts(self) -> list[Recording]:
        """Those that the reply was written in, the first first."""
        return [*(self.earlier.parts if self.earlier is not None else ()), self]

    @property
    def tokens(self) -> int:
        """How many the model wrote, in all parts."""
        return sum(len(part.reply) for part in self.parts)

    @property
    def given(self) -> Sequence[int]:
        """The tokens at the end of the prompt that somebody else put into the reply."""
        if self.earlier is None:
            return self.prompt[len(self.prompt) - self.begun :]
        before = self.earlier.line
        return self.prompt[len(before) :] if list(self.prompt[: len(before)]) == before else ()

    def cut(self, length: int) -> Recording | None:
        """As it was when its line had so many tokens, all of the prompt; None when the model had written nothing."""
        count = length - len(self.prompt)
        if count <= 0:
            return self.earlier
        probabilities, times = self.probabilities[:count], self.times[:count]
        return replace(self, reply=self.reply[:count], ended=False, probabilities=probabilities, times=times)


def changed(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Names of circumstances that are known to be others now."""
    return [name for name in CIRCUMSTANCES if then.get(name) and now.get(name) and then[name] != now[name]]


def _shared(ids: Sequence[int], others: Sequence[int]) -> int:
    count = 0
    for mine, other in zip(ids, others, strict=False):
        if mine != other:
            break
        count += 1
    return count


def _check(ids: Sequence[int]) -> str:
    return hashlib.sha256(array("I", ids).tobytes()).hexdigest()[:16]
