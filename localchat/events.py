"""What the engine tells: the events of a load, of a reply and of the other requests, and the model that is loaded.

Plain frozen dataclasses without behaviour. They cross the pipe as JSON: `to_json` and `event_from_json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from localchat.ledger import ContextLedger
from localchat.messages import FinishReason
from localchat.recording import (
    Replayed,
    ReplyExplained,
    ReplyRecorded,
    TokenChosen,
    TokenExplained,
    TokenProbability,
)


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


def _token_chosen(data: dict[str, Any]) -> dict[str, Any]:
    alternatives = tuple(TokenProbability(**each) for each in data["alternatives"])
    return data | {"chosen": TokenProbability(**data["chosen"]), "alternatives": alternatives}
