"""The words that the parts of localchat speak to each other: messages, options, and the events of a reply.

Plain frozen dataclasses without behaviour, so that the interface, the engine process and the commands share them
without sharing anything heavier. Events cross the pipe as JSON: `to_json` and `event_from_json`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from localchat.constraint import Constraint
from localchat.errors import InvalidSetting
from localchat.ledger import ContextLedger
from localchat.recording import (
    Replayed,
    ReplyExplained,
    ReplyRecorded,
    TokenChosen,
    TokenExplained,
    TokenProbability,
)
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


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is loaded, for the status line and for JSON output."""

    name: str
    architecture: str
    precision: str  # "int4", "int8", "float32", ...
    device: str  # "cpu", "cuda", "mps"
    kernel: str
    threads: int
    parameters: int
    file_bytes: int
    bits_per_weight: float
    context_length: int  # tokens that fit, prompt and reply together
    load_s: float
    sampling: Mapping[str, float] = field(default_factory=dict)  # what its authors recommend
    thinking_switch: bool = False  # its template can be told whether to think before a reply
    speculation: str = ""  # why no tokens are guessed; empty where they are
    draft: str = ""  # the smaller model that guesses them
    draft_problem: str = ""  # why the one that was asked for does not
    cache: str = "full"  # how keys and values are held: "full", "int8" or "int4"
    cache_note: str = ""  # what there is to say of that to whoever did not choose it


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """The model is being loaded. `fraction` is None while its length is unknown (importing libraries)."""

    stage: str
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model is ready."""

    model: ModelInfo


@dataclass(frozen=True, slots=True)
class PromptFitted:
    """The prompt is known: how many tokens, how many of them need no reading, how many old messages were left out, and
    for how many of those a summary stands."""

    prompt_tokens: int
    cached_tokens: int
    left_out: int
    context_length: int
    summarised: int = 0


@dataclass(frozen=True, slots=True)
class PromptProgress:
    """So many of the prompt's new tokens were read."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The reply goes on with `text` (whole characters); it has `tokens` tokens so far, at this speed.

    `thinking`: the text belongs to what the model thinks before it answers, not to the answer.
    """

    text: str
    tokens: int
    tokens_per_second: float
    thinking: bool = False


@dataclass(frozen=True, slots=True)
class TextCut:
    """The last so many characters that were told of the answer, and of the thinking before it, are taken back."""

    text: int
    thinking: int = 0


@dataclass(frozen=True, slots=True)
class ReplyDone:
    """The reply ended. Times in seconds, `context_used` in tokens after the reply.

    Of `completion_tokens`, `thinking_tokens` came before the answer and took `thinking_seconds`; `accepted_tokens` were
    guessed, as `drafted_tokens` were in all, and took no time of their own.
    """

    finish_reason: FinishReason
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    seed: int
    time_to_first_token_s: float
    prefill_tokens_per_second: float
    decode_tokens_per_second: float
    context_used: int
    context_length: int
    left_out: int
    sampling: Mapping[str, float | int | None]
    thinking_tokens: int = 0
    thinking_seconds: float = 0.0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    summarised: int = 0


@dataclass(frozen=True, slots=True)
class PromptSize:
    """Answer to a measure request: what these messages cost, with the model's own template."""

    tokens: int
    context_length: int


@dataclass(frozen=True, slots=True)
class Failure:
    """The request failed; the engine lives on. `kind` is the error's class name in `localchat.errors`."""

    kind: str
    message: str
    hint: str = ""


Event = (
    LoadProgress
    | Loaded
    | PromptFitted
    | PromptProgress
    | TokenChosen
    | TextDelta
    | TextCut
    | ReplyRecorded
    | ReplyDone
    | TokenExplained
    | ReplyExplained
    | Replayed
    | PromptSize
    | ContextLedger
    | Failure
)

_EVENTS: Mapping[str, type[Any]] = {kind.__name__: kind for kind in get_args(Event)}


def to_json(event: Event) -> str:
    """One line of JSON, without a line break."""
    return json.dumps({"event": type(event).__name__, **asdict(event)}, ensure_ascii=False)


def event_from_json(line: str | bytes) -> Event:
    """The inverse of `to_json`.

    Raises:
        ValueError: the line is not one of our events.
    """
    try:
        data: dict[str, Any] = json.loads(line)
        kind = _EVENTS[data.pop("event")]
        if kind is Loaded:
            data["model"] = ModelInfo(**data["model"])
        elif kind is ContextLedger:
            data["parts"], data["gone"] = tuple(map(tuple, data["parts"])), tuple(data["gone"])
        elif kind is TokenChosen:
            data = _token_chosen(data)
        elif kind is TokenExplained:
            data["token"] = TokenChosen(**_token_chosen(data["token"]))
        elif kind is Replayed:
            for key in ("chosen_then", "chosen_now"):
                data[key] = None if data[key] is None else TokenProbability(**data[key])
        return kind(**data)  # type: ignore[no-any-return]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event: {line!r}") from error


def sampling_keys() -> tuple[str, ...]:
    """Names of all sampling options, in the order in which settings screens and help list them."""
    return tuple(f.name for f in fields(SamplingOptions))


def _token_chosen(data: dict[str, Any]) -> dict[str, Any]:
    alternatives = tuple(TokenProbability(**each) for each in data["alternatives"])
    return data | {"chosen": TokenProbability(**data["chosen"]), "alternatives": alternatives}
