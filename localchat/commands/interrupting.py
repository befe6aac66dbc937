"""Ctrl+C while a reply is written: the first one ends the reply as a stop does, so that all of it is kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from localchat.events import Event
from localchat.messages import Message, ReplyOptions

if TYPE_CHECKING:
    from localchat.engine.facade import Engine


def interruptible(engine: Engine, messages: Sequence[Message], options: ReplyOptions) -> Iterator[Event]:
    """The events of a reply; after a Ctrl+C they end soon, with "stopped". A second one raises `KeyboardInterrupt`."""
    stop = threading.Event()

    def interrupted(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            signal.default_int_handler(number, frame)
        stop.set()

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield from engine.reply(messages, options, stop=stop)
    finally:
        signal.signal(signal.SIGINT, before)
