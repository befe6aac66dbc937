"""What a writing action is: the prompts that ask for it, and what its answers are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from localchat.errors import InvalidSetting
from localchat.translation import _

Result = Literal["replace", "new", "append"]
"""replace: another version of the text; new: a text of its own, such as a summary; append: what follows the text."""
Cut = Literal["paragraph", "large", "combine", "end"]
"""How a long text is done. paragraph: one after the other; large: several paragraphs at once, the answers one below the
other; combine: as large, and the answers are given to the action again until one is left; end: only the end is read."""

PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
"""Where a prompt takes a variable. Other braces are text."""


@dataclass(frozen=True, slots=True)
class Variable:
    """Something that the user may choose.

    Attributes:
        wordings: by value and language, what stands in the prompt for a value; another value stands there as it is.
    """

    default: str
    wordings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def worded(self, value: str, language: str) -> str:
        return self.wordings.get(value.strip().lower(), {}).get(language, value)


@dataclass(frozen=True, slots=True)
class Example:
    """A text and a good answer: small models follow these rather than words."""

    text: str
    result: str
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked, in one language."""

    instruction: str
    examples: tuple[Example, ...] = ()

    def filled(self, text: str, variables: Mapping[str, str]) -> str:
        values = {**variables, "text": text}
        return PLACE.sub(lambda place: values[place[1]], self.instruction).strip()


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done with a text.

    Attributes:
        description: by language.
        prompts: by language; at least one.
        sampling: where the user chose nothing.
        length: of an answer relative to its text, at least and at most; another is not taken.
        similarity: of an answer to its text, at least and at most, from 0 to 1; another is not taken.
        goes_on: the text is not given as a question, but as what the model has written itself so far.
        translates: the answer is in the other language unless the user names one.
        is_own: it is the user's.
    """

    name: str
    description: Mapping[str, str]
    prompts: Mapping[str, Prompt]
    result: Result = "replace"
    cut: Cut = "paragraph"
    sampling: Mapping[str, float] = field(default_factory=lambda: {"temperature": 0.3})
    length: tuple[float, float] = (0.0, 10.0)
    similarity: tuple[float, float] = (0.0, 1.0)
    goes_on: bool = False
    translates: bool = False
    variables: Mapping[str, Variable] = field(default_factory=dict)
    is_own: bool = False

    def prompt(self, language: str) -> tuple[str, Prompt]:
        """The prompt for texts in a language, and the language that it is in."""
        chosen = language if language in self.prompts else next(iter(self.prompts))
        return chosen, self.prompts[chosen]

    def described(self, language: str) -> str:
        """What it does, for people who speak `language`."""
        return self.description.get(language) or next(iter(self.description.values()), "")

    def check(self, chosen: Mapping[str, str]) -> None:
        """Raises InvalidSetting when a variable is chosen that the action does not have."""
        for name in chosen:
            if name not in self.variables and name != "language":
                raise InvalidSetting(
                    _("The action {action} has no variable {name}.").format(action=self.name, name=name),
                    _("It has: {names}.").format(names=", ".join(["language", *self.variables])),
                )
