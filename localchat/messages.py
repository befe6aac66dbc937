"""The words that the parts of localchat speak to each other: messages, and what is asked of a reply.

Plain frozen dataclasses without behaviour, so that the interface, the engine process and the commands share them
without sharing anything heavier. What the engine answers is in `localchat.events`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from localchat.constraint import Constraint
from localchat.errors import InvalidSetting
from localchat.translation import _

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "context", "stopped", "loop"]
"""stop: the model ended, or a stop string came; length: max_tokens; context: the window is full; stopped: the user;
loop: it went round in circles, and was cut back to where that began."""


CacheChoice = Literal["auto", "full", "int8", "int4"]
"""How keys and values of what was read are held: in full, as integers, or as the memory allows."""

Overflow = Literal["oldest", "summary", "stop"]
"""What happens when a conversation no longer fits: the oldest exchanges go; they go, and their summary stands for them
where there is one; or the question is refused. Pinned ones, the system prompt and the newest message always stay."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation, as the model sees it.

    Attributes:
        thinking: what a reply was preceded by, without marks.
        pinned: it stays, with the exchange that it belongs to, when older ones are left out.
        summary: of the conversation down to this message, for when what it covers is left out; "" is none.
    """

    role: Role
    content: str
    thinking: str = ""
    pinned: bool = False
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a number may be."""

    low: float
    high: float
    whole: bool = False

    def __str__(self) -> str:
        kind = _("a whole number") if self.whole else _("a number")
        if math.isinf(self.high):
            return _("{kind} of at least {low}").format(kind=kind, low=f"{self.low:g}")
        return _("{kind} from {low} to {high}").format(kind=kind, low=f"{self.low:g}", high=f"{self.high:g}")

    def allows(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        return math.isfinite(value) and self.low <= value <= self.high


SAMPLING_LIMITS: Mapping[str, Limits] = {
    "temperature": Limits(0.0, 5.0),
    "top_k": Limits(0, 1_000_000, whole=True),
    "top_p": Limits(0.0, 1.0),
    "min_p": Limits(0.0, 1.0),
    "typical_p": Limits(0.0, 1.0),
    "xtc_probability": Limits(0.0, 1.0),
    "xtc_threshold": Limits(0.0, 1.0),
    "mirostat_tau": Limits(0.0, 20.0),
    "mirostat_eta": Limits(0.0, 1.0),
    "repetition_penalty": Limits(0.1, 10.0),
    "frequency_penalty": Limits(-2.0, 2.0),
    "presence_penalty": Limits(-2.0, 2.0),
    "dry_multiplier": Limits(0.0, 10.0),
    "dry_base": Limits(1.0, 4.0),
    "dry_allowed_length": Limits(1, 100, whole=True),
    "dry_breakers": Limits(0, 1, whole=True),
    "seed": Limits(0, 2**63 - 1, whole=True),
}


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How the next token is chosen; the order of the stages is documented in `localchat.engine.sampling`.

    Attributes:
        temperature: 0 takes the most likely token, always.
        top_k: keep the k most likely tokens; 0 keeps all.
        top_p: keep the smallest set of tokens whose probability reaches p; 1 keeps all.
        min_p: keep tokens at least min_p times as likely as the likeliest; 0 keeps all.
        typical_p: keep the tokens that surprise most nearly as expected, until their probability reaches p; 1 keeps
            all.
        xtc_probability: how often XTC leaves out the likeliest tokens, so that a less obvious one comes; 0 is off.
        xtc_threshold: XTC leaves out the tokens that have at least this probability, but the last of them.
        mirostat_tau: the mean surprise of a token, in bits, that mirostat steers to in place of all filters; 0 is off.
        mirostat_eta: how fast mirostat follows.
        repetition_penalty: divide (multiply, when negative) the logits of tokens seen before; 1 is off.
        frequency_penalty: subtract this from a logit for every time its token was written in this reply; 0 is off.
        presence_penalty: subtract this from the logit of every token written in this reply; 0 is off.
        dry_multiplier: subtract this times `dry_base ** (n - dry_allowed_length)` from the logit of a token that would
            go on with a repetition of n tokens; 0 is off.
        dry_base: how fast that grows with the length of the repetition.
        dry_allowed_length: repetitions of fewer tokens go free.
        dry_breakers: 1 lets no repetition reach across the end of a line, a colon, a quotation mark or an asterisk;
            with 0 it may, which also ends loops of very short lines.
        seed: of the random numbers; None draws a fresh one, which the reply reports.
    """

    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    typical_p: float = 1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    mirostat_tau: float = 0.0
    mirostat_eta: float = 0.1
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_breakers: int = 1
    seed: int | None = None

    def __post_init__(self) -> None:
        for key, limits in SAMPLING_LIMITS.items():
            value = getattr(self, key)
            if not (limits.allows(value) or (key == "seed" and value is None)):
                sentence = _("{key} is {found}, but must be {allowed}.")
                raise InvalidSetting(sentence.format(key=key, found=repr(value), allowed=limits))


def sampling_options(chosen: Mapping[str, float]) -> SamplingOptions:
    """Options from what was chosen somewhere, the defaults for the rest.

    Raises:
        InvalidSetting: a name is not one of the options, or a value is out of its range.
    """
    if unknown := sorted(set(chosen) - set(SAMPLING_LIMITS)):
        raise InvalidSetting(
            _("There is no sampling option {unknown!r}; there are {sampling_limits}.").format(
                unknown=unknown[0], sampling_limits=", ".join(SAMPLING_LIMITS)
            )
        )
    options: Mapping[str, Any] = chosen
    return SamplingOptions(**options)


@dataclass(frozen=True, slots=True)
class ReplyOptions:
    """What the caller asks of one reply.

    Attributes:
        sampling: the fields of `SamplingOptions` that the user chose; the model's own recommendation fills the rest.
        max_tokens: at most so many tokens are written; None leaves it to the model and the context.
        stop: the reply ends before any of these strings.
        prefill: how the reply begins. The model goes on from there, and the events carry only what it adds.
        thinking: what the model had thought before that; without `prefill` it goes on thinking.
        think: whether it thinks before it answers, where its template can be told (`ModelInfo.thinking_switch`); None
            leaves it to the model.
        probabilities: for every token, tell how sure the model was (`TokenChosen`), and of so many tokens how likely
            each was in its place; 0 is off.
        speculate: tokens that may come next are guessed and read with the last one, where that is faster. It changes
            none of them.
        known: prompt and reply that `prefill` is from, as token ids: it is then made of the same ones.
        line: token ids to go on from, exactly, instead of the messages; the last `begun` of them are the beginning of
            the reply, whose text comes as the first events.
        overflow: what happens when the conversation no longer fits.
        chat: the id of the saved conversation that the reply belongs to. What the model read is then kept on disk, so
            that the conversation goes on at once after a restart; without one nothing is.
        constraint: what the answer must match.
        reply_language: "zh" or "en": other tokens than those of this language are masked; "" is off, and so it is
            beside a constraint.
        loop_guard: end a reply that goes round in circles, and take the circles back.
    """

    sampling: Mapping[str, float] = field(default_factory=dict)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    prefill: str = ""
    thinking: str = ""
    think: bool | None = None
    probabilities: int = 0
    speculate: bool = True
    known: Sequence[int] = ()
    line: Sequence[int] = ()
    begun: int = 0
    overflow: Overflow = "oldest"
    chat: str = ""
    constraint: Constraint | None = None
    reply_language: str = ""
    loop_guard: bool = False


def sampling_keys() -> tuple[str, ...]:
    """Names of all sampling options, in the order in which settings screens and help list them."""
    return tuple(f.name for f in fields(SamplingOptions))
