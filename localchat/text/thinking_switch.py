"""Whether a chat template can be told to let its model think or not, and how: found by trying.

No name of a variable or a model is known here. The template is given one question, and every variable that it reads
and whose name speaks of thinking is tried with the values that the template itself compares it with, or else with true
and false. What the prompt then ends with says what a value means: thinking that is closed at once is thinking switched
off. A template that closes nothing, but writes something else for true than for false, is believed by the name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import nodes

from localchat.errors import BadTemplate
from localchat.text.thinking import ThinkingMarks

QUESTION = "Hello"
"""What the template is tried with: so short that no template looks for anything in it."""

MOST_TRIED = 32
"""Renderings; a template that reads more such variables gets no switch from the later ones."""

_SPEAKS_OF_THINKING = re.compile(r"think|thought|reason", re.IGNORECASE)

Render = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, slots=True)
class ThinkingSwitch:
    """What a template is given so that its model thinks before it answers, and so that it does not."""

    on: Mapping[str, Any]
    off: Mapping[str, Any]

    def variables(self, think: bool | None) -> Mapping[str, Any]:
        """None leaves it to the template."""
        return {} if think is None else self.on if think else self.off


@dataclass(frozen=True, slots=True)
class _Trial:
    """What the template made of one value."""

    variables: Mapping[str, Any]
    prompt: str
    closed: bool
    opened: bool


def find_switch(template: nodes.Template, marks: ThinkingMarks | None, render: Render) -> ThinkingSwitch | None:
    """The switch of a parsed template; None when it has none.

    Args:
        marks: of thinking, in this template.
        render: `QUESTION` up to the beginning of the reply, with these variables.
    """
    usual = _trial(render, marks, {})
    if usual is None:
        return None
    believed: ThinkingSwitch | None = None
    left = MOST_TRIED
    for name, values in _variables(template):
        values = values[:left]
        left -= len(values)
        trials = [trial for value in values if (trial := _trial(render, marks, {name: value})) is not None]
        if (seen := _seen(trials, usual)) is not None:
            return seen
        believed = believed or _believed(trials, usual, name)
    return believed


def _seen(trials: Sequence[_Trial], usual: _Trial) -> ThinkingSwitch | None:
    """The switch, when one value closes the thinking and another does not."""
    off = next((trial for trial in trials if trial.closed), None)
    open_ended = [trial for trial in (*trials, usual) if not trial.closed]
    if off is None or not open_ended:
        return None
    on = min(open_ended, key=lambda trial: (not trial.opened, trial.prompt != usual.prompt))
    return ThinkingSwitch(on.variables, off.variables)


def _believed(trials: Sequence[_Trial], usual: _Trial, name: str) -> ThinkingSwitch | None:
    """The switch of a variable that is true or false, and makes a difference otherwise than by being written down."""
    prompts = {trial.variables[name]: trial.prompt for trial in trials if isinstance(trial.variables[name], bool)}
    if len(prompts) < 2 or prompts[True] == prompts[False]:
        return None
    if usual.prompt not in prompts.values() or "true" in prompts[True].lower():
        return None
    return ThinkingSwitch({name: True}, {name: False})


def _trial(render: Render, marks: ThinkingMarks | None, variables: Mapping[str, Any]) -> _Trial | None:
    try:
        prompt = render(variables)
    except BadTemplate:  # this value means nothing to it
        return None
    tail = prompt.rpartition(QUESTION)[2].rstrip()
    closed = marks is not None and not marks.headers and tail.endswith(marks.closing)
    return _Trial(variables, prompt, closed, marks is not None and marks.is_open_after(tail))


def _variables(template: nodes.Template) -> Iterator[tuple[str, list[Any]]]:
    """What the template reads that speaks of thinking, in its order, and the values to try it with."""
    names = [node.name for node in template.find_all(nodes.Name) if node.ctx == "load"]
    for name in dict.fromkeys(names):
        if _SPEAKS_OF_THINKING.search(name):
            yield name, _compared(template, name) or [True, False]


def _compared(template: nodes.Template, name: str) -> list[Any]:
    """The texts and numbers that it compares this variable with."""
    found: list[Any] = []
    for comparison in template.find_all(nodes.Compare):
        if name in _names(comparison):
            found += [node.value for node in comparison.find_all(nodes.Const) if isinstance(node.value, (str, int))]
    return [value for value in dict.fromkeys(found) if not isinstance(value, bool)]


def _names(node: nodes.Node) -> set[str]:
    return {each.name for each in node.find_all(nodes.Name)}
