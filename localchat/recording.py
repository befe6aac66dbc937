"""What a reply was made of, so that it can be made again and compared, and how sure the model was of each token."""

from __future__ import annotations

import hashlib
import json
import zlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

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
    """One reply, or what was added last to one that went on.

    Attributes:
        prompt: token ids that the model was given, the beginning of the reply included where it had one.
        reply: those that it wrote.
        ended: the model itself ended the reply, with a token that is not in it.
        sampling: all fields of `SamplingOptions`, the seed included.
        circumstances: by the names of `CIRCUMSTANCES`; empty is not known.
        probabilities: where they were asked for, of every token of the reply: its probability, the plain one, the
            entropy in bits, and the alternatives, each with its id and two probabilities. See `TokenChosen`.
    """

    prompt: Sequence[int]
    reply: Sequence[int]
    ended: bool
    sampling: Mapping[str, Any]
    circumstances: Mapping[str, str]
    probabilities: Sequence[Any] = field(default_factory=list)

    def pack(self, line: Sequence[int] = ()) -> bytes:
        """A compact form, in which the prompt lacks the tokens that it begins with as `line` does.

        A conversation of n turns then takes room for n turns, although every prompt holds all before it.
        """
        shared = _shared(self.prompt, line)
        content = asdict(self) | {"prompt": list(self.prompt[shared:]), "shared": shared, "check": _check(self.prompt)}
        return zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 9)

    @classmethod
    def unpack(cls, data: bytes, line: Sequence[int] = ()) -> Recording | None:
        """The inverse of `pack`; None when `line` no longer is what it was, or the data is damaged."""
        try:
            content = json.loads(zlib.decompress(data))
            shared, check = content.pop("shared"), content.pop("check")
            recording = cls(**content)
        except (zlib.error, ValueError, TypeError, KeyError, AttributeError):
            return None
        whole = [*line[:shared], *recording.prompt]
        return replace(recording, prompt=whole) if _check(whole) == check else None

    @property
    def line(self) -> list[int]:
        """Prompt and reply: what the next prompt of the conversation is likely to begin with."""
        return [*self.prompt, *self.reply]


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
