"""Changes on a terminal: each in its line, what goes struck through and red, what comes underlined and green."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from localchat.errors import InvalidSetting
from localchat.translation import _
from localchat.writing.changes import Change
from localchat.writing.review import Review

CONTEXT = 40
"""Characters of the line that are shown on each side of a change."""


def print_changes(review: Review) -> None:
    """All changes in their text on standard output: coloured on a terminal, with marks elsewhere."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(marked(review.original, review.changes, console.is_terminal and not console.no_color), end="")
    if not review.original.endswith("\n"):
        console.print()


def marked(original: str, changes: tuple[Change, ...], colours: bool) -> Text:
    """The text with its changes; without colours, in the marks that word diffs have: [-old-]{+new+}."""
    shown, at = Text(), 0
    for change in changes:
        shown.append(_printable(original[at : change.start]))
        _append(shown, change, colours)
        at = change.end
    return shown.append(_printable(original[at:]))


def ask_about(review: Review) -> None:
    """Ask about one change after the other: y, n, a (this and the rest), q (none of the rest), u (back).

    Raises:
        InvalidSetting: there is no terminal to ask at.
    """
    with _terminal() as (keyboard, screen):
        console = Console(file=screen, highlight=False, soft_wrap=True)
        while review.undecided:
            number = review.undecided[0]
            console.print()
            console.print(_in_its_line(review, number, not console.no_color))
            question = _("{number}/{count}  Make this change? [y]es, [n]o, [a]ll, [q]uit, [u]ndo ")
            console.print(question.format(number=number + 1, count=len(review.changes)), end="", markup=False)
            screen.flush()
            if not _decide(review, number, keyboard.readline()):
                return


def _decide(review: Review, number: int, answer: str) -> bool:
    """Do what was typed; false when the rest is to be left. An answer that is none is asked for again."""
    letter = answer.strip().lower()[:1]
    if letter in ("y", "n"):
        review.decide("accepted" if letter == "y" else "rejected", [number])
    elif letter == "a":
        review.decide_rest("accepted")
    elif letter == "u":
        review.undo()
    return letter != "q" and answer != ""


def _in_its_line(review: Review, number: int, colours: bool) -> Text:
    """One change between what stands around it in its line."""
    change, original = review.changes[number], review.original
    begin, end = original.rfind("\n", 0, change.start) + 1, original.find("\n", change.end)
    end = len(original) if end < 0 else end
    first, last = max(begin, change.start - CONTEXT), min(end, change.end + CONTEXT)
    style = "dim" if colours else ""
    before, after = _printable(original[first : change.start]), _printable(original[change.end : last])
    shown = Text("  ").append(f"…{before}" if first > begin else before, style=style)
    _append(shown, change, colours)
    return shown.append(f"{after}…" if last < end else after, style=style)


def _append(shown: Text, change: Change, colours: bool) -> None:
    for text, style, marks in ((change.old, "red strike", "[--]"), (change.new, "green underline", "{++}")):
        if text and colours:
            shown.append(_printable(text), style=style)
        elif text:
            shown.append(f"{marks[:2]}{_printable(text)}{marks[2:]}")


def _printable(text: str) -> str:
    """Without control characters, and with line ends as the terminal wants them."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(char for char in text if char in "\n\t" or (char.isprintable() or ord(char) > 0x9F))


@contextmanager
def _terminal() -> Iterator[tuple[TextIO, TextIO]]:
    """The terminal itself, to read from and to write to: standard input and output may be pipes."""
    names = ("CONIN$", "CONOUT$") if os.name == "nt" else ("/dev/tty", "/dev/tty")
    try:
        with Path(names[0]).open(encoding="utf-8") as keyboard, Path(names[1]).open("w", encoding="utf-8") as screen:
            yield keyboard, screen
    except OSError as error:
        raise InvalidSetting(
            _("There is no terminal to ask about the changes."), _("Leave out --interactive, or run it in a terminal.")
        ) from error
