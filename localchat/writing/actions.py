"""All writing actions: those that come with the program, and the user's own in `actions.toml` beside the settings.

    [polite]
    description = "Make an email more polite"
    prompt = "Rewrite this email so that it sounds {mood} and polite. Answer with the email only.\n\n{text}"
    variables.mood = "warm"

What else an action may say stands in the file of those that come with the program, which has the same form.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from localchat.errors import InvalidSetting
from localchat.paths import assets_dir, config_dir
from localchat.translation import _
from localchat.writing.action import PLACE, Action, Cut, Example, Prompt, Result, Variable
from localchat.writing.table import Table, tables

_GIVEN = ("text", "language")
"""Variables that every prompt may take."""
_PLAIN = Action("", {}, {})
"""What holds where a file says nothing."""


def actions_file() -> Path:
    """Where the user's own actions are; it need not exist."""
    return config_dir() / "actions.toml"


def all_actions() -> dict[str, Action]:
    """By name: those that come with the program, with the user's in place of those whose names they have, and after.

    Raises:
        InvalidSetting: a file is wrong; names the action and the key, what was found and what is allowed.
    """
    shipped = read_actions(assets_dir() / "actions/actions.toml", own=False)
    return shipped | (read_actions(actions_file(), own=True) if actions_file().exists() else {})


def find_action(name: str) -> Action:
    """The action of this name. Raises InvalidSetting when there is none."""
    actions = all_actions()
    if name in actions:
        return actions[name]
    close = difflib.get_close_matches(name, actions, n=1)
    hint = _("Did you mean {name}?").format(name=close[0]) if close else _("It can be: {names}.").format(
        names=", ".join(actions)
    )  # fmt: skip
    raise InvalidSetting(_("There is no writing action {name}.").format(name=repr(name)), hint)


def in_own_words(wish: str) -> tuple[Action, dict[str, str]]:
    """What somebody asks for in words of their own: the action and its variables. The answer is in any language."""
    action = read_actions(assets_dir() / "actions/wish.toml", own=False)["own"]
    return action, {"wish": wish, "language": ""}


def read_actions(path: Path, *, own: bool) -> dict[str, Action]:
    """The actions of one file, in its order. Raises as `all_actions` does."""
    return {name: _action(name, table, own) for name, table in tables(path).items()}


def _action(name: str, table: Table, own: bool) -> Action:
    variables = _variables(table)
    result = table.one_of("result", get_args(Result), _PLAIN.result)
    prompts = _prompts(table, variables, result)
    action = Action(
        name=name,
        description=table.worded("description", {"en": name}),
        prompts=prompts,
        result=result,
        cut=table.one_of("cut", get_args(Cut), _PLAIN.cut),
        sampling=table.sampling(_PLAIN.sampling),
        length=_bounds(table, "length", _PLAIN.length),
        similarity=_bounds(table, "similarity", _PLAIN.similarity),
        goes_on=result == "append" and not any("{text}" in prompt.instruction for prompt in prompts.values()),
        translates=table.take("translates", bool, _PLAIN.translates),
        variables=variables,
        is_own=own,
    )
    table.finish()
    return action


def _prompts(table: Table, variables: Mapping[str, Variable], result: Result) -> dict[str, Prompt]:
    instructions = table.worded("prompt", None)
    examples = {
        language: tuple(_example(Table(one, f"{table.where}, example {i}"), variables) for i, one in enumerate(ones, 1))
        for language, ones in table.take("examples", dict, {}).items()
    }
    known = (*_GIVEN, *variables)
    for instruction in instructions.values():
        for name in PLACE.findall(instruction):
            if name not in known:
                raise table.wrong("prompt", f"{{{name}}}", ", ".join(f"{{{one}}}" for one in known))
    if result != "append":  # the text stands at the end of a prompt that has no place for it
        instructions = {
            language: text if "{text}" in text else f"{text.rstrip()}\n\n{{text}}"
            for language, text in instructions.items()
        }
    return {language: Prompt(text, examples.get(language, ())) for language, text in instructions.items()}


def _example(table: Table, variables: Mapping[str, Variable]) -> Example:
    text, result = table.take("text", str), table.take("result", str)
    chosen = {name: table.take(name, str) for name in ("language", *variables) if name in table.values}
    table.finish()
    return Example(text.strip(), result.strip(), chosen)


def _variables(table: Table) -> dict[str, Variable]:
    """`variables.mood = "warm"`, or a table with the default and with wordings by value and language."""
    found = {}
    for name, value in table.take("variables", dict, {}).items():
        if not PLACE.fullmatch(f"{{{name}}}") or name in _GIVEN:
            raise table.wrong("variables", name, _("a name of small letters that is not taken"))
        if isinstance(value, str):
            found[name] = Variable(value)
            continue
        inner = Table(value, f"{table.where}, {name}")
        default = inner.take("default", str)
        found[name] = Variable(default, {one: inner.worded(one, None) for one in list(inner.values)})
    return found


def _bounds(table: Table, key: str, default: tuple[float, float]) -> tuple[float, float]:
    bounds = table.take(key, list, list(default))
    numbers = [value for value in bounds if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) != 2 or len(bounds) != 2 or not 0 <= numbers[0] < numbers[1]:
        raise table.wrong(key, bounds, _("two numbers, the smaller one first"))
    return float(numbers[0]), float(numbers[1])
