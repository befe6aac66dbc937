"""What layers keep of a text other than keys and values, and the way back to what they kept earlier.

Such a state is made of all tokens before and cannot be cut. So states of some earlier places are held on to: of those
where longer pieces of text began, as there a conversation is most often taken up again.
"""

from __future__ import annotations

from torch import Tensor

State = tuple[Tensor, ...]


class LayerStates:
    """States by layer, after the tokens that are counted. None is ever written to, so that all may be held on to."""

    def __init__(self, most_marks: int) -> None:
        self._most_marks = most_marks
        self._now: dict[int, State] = {}
        self._next: dict[int, State] = {}
        self._marks: list[tuple[int, dict[int, State]]] = []  # earlier lengths, ascending

    @property
    def nbytes(self) -> int:
        """Memory taken, bytes; what is the same in several places counts once."""
        held = [self._now, self._next, *(states for _, states in self._marks)]
        tensors = {id(each): each for states in held for state in states.values() for each in state}
        return sum(each.nbytes for each in tensors.values())

    def of(self, layer: int) -> State | None:
        """None before the first token."""
        return self._now.get(layer)

    def put(self, layer: int, state: State) -> None:
        """After the tokens that are read now."""
        self._next[layer] = state

    def advance(self, length: int, count: int) -> None:
        """Count `count` tokens after the first `length`."""
        if count > 1 and self._now and (not self._marks or self._marks[-1][0] < length):
            self._marks.append((length, self._now))
            if len(self._marks) > self._most_marks:
                del self._marks[self._closest()]
        self._now, self._next = {**self._now, **self._next}, {}

    def earlier(self, length: int) -> int:
        """The greatest length, at most `length`, that there is a way back to."""
        return max((place for place, _ in self._marks if place <= length), default=0)

    def go_back(self, length: int) -> None:
        """To one that `earlier` gave."""
        self._marks = [mark for mark in self._marks if mark[0] <= length]
        self._now, self._next = self._marks[-1][1] if self._marks else {}, {}

    def _closest(self) -> int:
        """Of all marks but the last, the one without which the others lie most evenly."""
        places = [0, *(place for place, _ in self._marks)]
        return min(range(len(self._marks) - 1), key=lambda i: places[i + 2] - places[i])
