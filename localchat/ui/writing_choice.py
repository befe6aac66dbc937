"""What can be done with a text, as a user chooses it: an action by name and a value for it, or a wish in own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from localchat.errors import InvalidSetting
from localchat.translation import spoken
from localchat.ui.completion import Completion
from localchat.ui.visible_text import one_line
from localchat.writing.action import Action
from localchat.writing.actions import all_actions, in_own_words
from localchat.writing.language import LANGUAGE

LANGUAGES = ("zh", "en", "fr", "de", "ja", "ko", "es")
"""Offered for a translation; any other may be named."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """An action with what was chosen for it."""

    action: Action
    variables: Mapping[str, str]


def asked_variable(action: Action) -> str:
    """The variable that the user is asked for: "language" for a translation, the first of its own; "" for none."""
    return "language" if action.translates else next(iter(action.variables), "")


def offered_values(action: Action, spoken: str) -> list[tuple[str, str]]:
    """Values for that variable that can be picked, and how they are called in the language that is spoken."""
    name = asked_variable(action)
    if name == "language":
        return [(value, LANGUAGE.worded(value, spoken)) for value in LANGUAGES]
    variable = action.variables[name]
    values = list(dict.fromkeys([variable.default, *variable.wordings]))
    return [(value, variable.worded(value, spoken)) for value in values if value]


def action_completions(typed: str) -> list[Completion]:
    """What could follow /write: actions, and where one of them asks for a value, those."""
    try:
        actions = all_actions()
    except InvalidSetting:
        return []  # what is wrong with the file is said when the command runs
    name, blank, value = typed.partition(" ")
    if not blank:
        return [_completion(action) for action in actions.values() if action.name.startswith(name)]
    if name not in actions or not asked_variable(actions[name]):
        return []
    offered = offered_values(actions[name], spoken())
    return [Completion(f"{name} {each}", each, words) for each, words in offered if each.startswith(value)]


def _completion(action: Action) -> Completion:
    is_final = not asked_variable(action)
    text = action.name if is_final else f"{action.name} "
    return Completion(text, action.name, one_line(action.described(spoken())), is_final)


def chosen_in_words(words: str) -> Chosen:
    """From what was typed after /write: the name of an action and a value for it, or a wish.

    Raises:
        InvalidSetting: the user's own actions cannot be read.
    """
    name, _blank, value = words.strip().partition(" ")
    action = all_actions().get(name)
    if action is None or (value and not asked_variable(action)):
        return Chosen(*in_own_words(words.strip()))
    return Chosen(action, {asked_variable(action): value.strip()} if value else {})
