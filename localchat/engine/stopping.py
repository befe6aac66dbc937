"""Stop strings over streamed text: a reply ends before any of them, however they fall across its pieces."""

from __future__ import annotations

from collections.abc import Sequence

from localchat.errors import InvalidSetting
from localchat.translation import _


class StopStrings:
    """Finds the first of several strings in a text that comes in pieces.

    The first is the one that is complete first; of two that are complete at the same character, the longer one. What
    comes out does not depend on how the text was cut. Text that may be the beginning of a stop string is held back
    until it is known not to be.

    Args:
        stops: the strings; none is allowed to be empty.

    Raises:
        InvalidSetting: one is empty.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        if not all(stops):
            raise InvalidSetting(_("A stop string is empty."), _("Leave it out, or write the text that ends a reply."))
        self._stops = [_Matcher(stop) for stop in stops]
        self._held = ""
        self._hit = False

    def push(self, text: str) -> tuple[str, bool]:
        """The text goes on with `text`.

        Returns:
            What is safe to show now, and whether a stop string was found; after that nothing is safe any more.
        """
        if self._hit:
            return "", True
        unseen = self._held + text
        for index, character in enumerate(text):
            found = 0
            for stop in self._stops:
                if stop.advance(character):
                    found = max(found, len(stop.text))
            if found:
                end = len(self._held) + index + 1
                self._hit, self._held = True, ""
                return unseen[: end - found], True
        held = max((stop.matched for stop in self._stops), default=0)
        self._held = unseen[len(unseen) - held :]
        return unseen[: len(unseen) - held], False

    def flush(self) -> str:
        """The text has ended: what was held back after all."""
        held, self._held = self._held, ""
        for stop in self._stops:
            stop.matched = 0
        return held


class _Matcher:
    """Counts how much of one string the text so far ends with (Knuth, Morris and Pratt, 1977)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.matched = 0
        self._shorter = [0] * (len(text) + 1)  # [n]: the next shorter prefix that the first n characters end with
        length = 0
        for n in range(2, len(text) + 1):
            length = self._extend(length, text[n - 1])
            self._shorter[n] = length

    def advance(self, character: str) -> bool:
        """Whether the text, with `character` after it, ends with the whole string."""
        self.matched = self._extend(self.matched, character)
        if self.matched < len(self.text):
            return False
        self.matched = 0
        return True

    def _extend(self, length: int, character: str) -> int:
        while length and self.text[length] != character:
            length = self._shorter[length]
        return length + 1 if self.text[length] == character else 0
