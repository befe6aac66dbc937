"""What happens while a model is fetched, as data: for the command's progress bar, and as JSON lines for the app.

`localchat pull NAME --json` writes `to_json` of each event on its own line; the app reads them back with
`event_from_json`. Both halves are here so that they cannot drift apart.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from localchat import errors
from localchat.errors import LocalChatError

Stage = Literal["resolve", "download", "verify", "quantize", "done"]
"""resolve: asking the index; download: bytes travel; verify: unpacked and hashed; quantize: imported; done."""


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far one stage is.

    Attributes:
        done, total: bytes; total is 0 while unknown. In stage "quantize", whatever the importer counts.
        bytes_per_second: smoothed; None until there is something to measure.
        seconds_left: of this stage; None while unknown.
        note: one short sentence when there is something to say ("process 81 is already fetching it"), else empty.
    """

    stage: Stage
    done: int = 0
    total: int = 0
    bytes_per_second: float | None = None
    seconds_left: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class PullDone:
    """The model is installed under this name."""

    name: str


@dataclass(frozen=True, slots=True)
class PullFailed:
    """It failed. `kind` is the error's class name in `localchat.errors`."""

    kind: str
    message: str
    hint: str = ""

    @classmethod
    def of(cls, error: LocalChatError) -> PullFailed:
        kind = next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
        return cls(kind.__name__, error.message, error.hint)

    def error(self) -> LocalChatError:
        """The error that this was, to be raised on the other side."""
        kind = getattr(errors, self.kind, LocalChatError)
        if not (isinstance(kind, type) and issubclass(kind, LocalChatError)):
            kind = LocalChatError
        return kind(self.message, self.hint)


PullEvent = PullProgress | PullDone | PullFailed
OnProgress = Callable[[PullProgress], None]
Check = Callable[[], None]
"""Called often; raises to abandon the work. What it raises comes out unchanged, after cleaning up."""

_EVENTS: dict[str, type[Any]] = {"progress": PullProgress, "done": PullDone, "error": PullFailed}
_NAMES = {kind: name for name, kind in _EVENTS.items()}


def to_json(event: PullEvent) -> str:
    """One line of JSON, without a line break."""
    return json.dumps({"event": _NAMES[type(event)], **asdict(event)}, ensure_ascii=False)


def event_from_json(line: str | bytes) -> PullEvent:
    """The inverse of `to_json`.

    Raises:
        ValueError: the line is not one of our events.
    """
    try:
        data: dict[str, Any] = json.loads(line)
        event: PullEvent = _EVENTS[data.pop("event")](**data)
        if isinstance(event, PullProgress) and event.stage not in get_args(Stage):
            raise ValueError(f"unknown stage {event.stage!r}")
        return event
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"not an event of a pull: {line!r}") from error
