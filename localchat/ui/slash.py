"""Slash commands: what a line that begins with a slash asks for, and what could complete it.

The commands are the actions that have a `slash` name; nothing is listed here a second time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from localchat.translation import _
from localchat.ui.actions import ACTIONS, Action
from localchat.ui.completion import Completion, Offer
from localchat.ui.slash_paths import path_completions

_COMMAND = re.compile(r"/([a-z][a-z-]*)(?:\s+(.*))?\s*$", re.DOTALL)
_MENTION = re.compile(r"(?:^|(?<=\s))@")

COMMANDS: Mapping[str, Action] = {action.slash: action for action in ACTIONS if action.slash}

ArgumentChoices = Mapping[str, Callable[[str], Iterable[Completion]]]
"""By a command's name: what could complete the beginning of its argument."""


def parse(text: str) -> tuple[str, str] | None:
    """A command's name and its argument; None for what is no command, such as a path."""
    found = _COMMAND.match(text)
    return (found[1], (found[2] or "").strip()) if found else None


def unknown(name: str) -> str:
    """What is said about a command that does not exist."""
    return _("There is no command /{name}. With a space before the slash it is sent as it is.").format(name=name)


def file_offer(before: str) -> Offer | None:
    """Files that could be meant by what follows the last @ in the line that the cursor is in; None when there are
    none."""
    line = before.rpartition("\n")[2]
    mentions = list(_MENTION.finditer(line))
    if not mentions:
        return None
    start = mentions[-1].end()
    found = path_completions(line[start:])
    return Offer(start, line[start:], found, is_file=True) if found else None


def command_offer(line: str, choices: ArgumentChoices, takes_argument: Callable[[Action], bool]) -> Offer | None:
    """What could complete a line that begins with a slash: a command, or its argument; None when nothing could."""
    name, blank, argument = line[1:].partition(" ")
    if not blank:
        actions = _matching(name)
        found = [_completion(action, takes_argument(action)) for action in actions]
        return Offer(0, line, found, expects=name not in COMMANDS) if found else None
    if name not in choices:
        return None
    argument = argument.lstrip()
    found = list(choices[name](argument))
    return Offer(len(line) - len(argument), argument, found, expects=bool(argument)) if found else None


def _matching(typed: str) -> list[Action]:
    """Commands whose name begins with what was typed, then those that have it further in."""
    first = [action for name, action in COMMANDS.items() if name.startswith(typed)]
    return first + [action for name, action in COMMANDS.items() if typed in name and action not in first]


def _completion(action: Action, takes_argument: bool) -> Completion:
    name = f"/{action.slash}"
    text, label = (f"{name} ", f"{name} …") if takes_argument else (name, name)
    return Completion(text, label, f"{_(action.title)} · {_(action.explanation)}", not takes_argument)
