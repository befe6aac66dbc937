"""What a reply tells the screen when something in it is clicked; apart from the reply, which is imported late."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message


@dataclass
class LinkChosen(Message):
    """A link: its address is to be handed over, never opened."""

    address: str


@dataclass
class CodeChosen(Message):
    """The word "copy" above a code block."""

    code: str
