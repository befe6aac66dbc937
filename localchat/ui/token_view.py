"""What is known of the tokens of a reply, in the order in which it is told, and as the token view shows it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Literal

from localchat.recording import Recording, TokenExplained, TokenProbability
from localchat.translation import mark
from localchat.ui.token_colors import doubt, doubt_of_entropy
from localchat.ui.token_text import BREAK, TokenText
from localchat.ui.visible_text import visible_text

Measure = Literal["drawn", "plain", "entropy"]

MEASURES: dict[Measure, str] = {
    "drawn": mark("probability as drawn"),
    "plain": mark("probability before filters"),
    "entropy": mark("entropy"),
}
"""What the colours mean: `mark`ed."""

UNSURE = 0.5
"""A token less probable than this, by the plain softmax, is one that the model was unsure of."""


class TokenView:
    """The tokens that are known so far.

    Attributes:
        measure: what is shown as colour.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.parts = recording.parts
        self.tokens: list[TokenExplained] = []
        self.text = TokenText([])
        greedy = all(part.sampling.get("temperature") == 0 for part in self.parts)
        self.measure: Measure = "plain" if greedy else "drawn"

    def add(self, tokens: Iterable[TokenExplained]) -> None:
        self.tokens += tokens
        self.text = TokenText(self.tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    def doubt(self, index: int) -> float:
        """From 0 to 1: of all the tokens that make up the character which this one stands on."""
        shared = [self.tokens[each].token for each in self.text.sharing(index)]
        if self.measure == "entropy":
            return doubt_of_entropy(max(token.entropy for token in shared))
        return doubt(math.prod(self._probability(token.chosen) for token in shared))

    def _probability(self, token: TokenProbability) -> float:
        return token.plain_probability if self.measure == "plain" else token.probability

    def is_unsure(self, index: int) -> bool:
        return self.tokens[index].token.chosen.plain_probability < UNSURE

    def next_unsure(self, index: int, step: int) -> int | None:
        """The next token after this (before it, when `step` is -1) that the model was unsure of."""
        ahead = range(index + step, len(self.tokens) if step > 0 else -1, step)
        return next((each for each in ahead if self.is_unsure(each)), None)

    def choices(self, index: int) -> list[TokenProbability]:
        """What might have stood there, the likeliest first, and what does stand there."""
        token = self.tokens[index].token
        others = list(token.alternatives)
        return others if any(each.token == token.chosen.token for each in others) else [*others, token.chosen]

    def seconds(self, index: int) -> float | None:
        """How long this token took to write; None where that is not known, as of the first of a part."""
        token = self.tokens[index]
        part = self.parts[token.part]
        place = token.before - len(part.prompt)
        return part.times[place] / 10_000 if 0 < place < len(part.times) else None

    def as_json(self) -> str:
        """For whoever wants to count for themselves."""
        facts: dict[str, Any] = {
            "sampling": dict(self.recording.sampling),
            "circumstances": dict(self.recording.circumstances),
            "tokens": [self._as_object(index) for index in range(len(self.tokens))],
        }
        return json.dumps(facts, ensure_ascii=False, indent=1) + "\n"

    def _as_object(self, index: int) -> dict[str, Any]:
        token = self.tokens[index]
        return {
            **asdict(token.token.chosen),
            "completes": token.text,
            "origin": token.origin,
            "thinking": token.thinking,
            "entropy": token.token.entropy,
            "seconds": self.seconds(index),
            "alternatives": [asdict(each) for each in token.token.alternatives],
        }


def readable(text: str) -> str:
    """A token in one line: the white space around it by signs."""
    text = visible_text(text).replace("\n", BREAK).replace("\t", "⇥")
    inner = text.strip(" ")
    before = len(text) - len(text.lstrip(" "))
    return "␣" * before + inner + "␣" * (len(text) - before - len(inner))


def percent(probability: float) -> str:
    """81%, 0.4%; a dash for what cannot be."""
    if probability <= 0:
        return "–"
    if probability < 0.0005:
        return "<0.1%"
    return f"{probability:.1%}" if probability < 0.095 else f"{probability:.0%}"
