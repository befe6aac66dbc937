"""Whether a text in Markdown is within code, while it is being written."""

from __future__ import annotations

_FENCES = "`~"
_FENCE = 3


class CodeSpans:
    """Reads a reply character by character.

    A fence of three or more backticks or tildes at the beginning of a line opens a block, which the same mark closes;
    backticks elsewhere open code within a line, closed by as many, by the end of the line at the latest.
    """

    def __init__(self) -> None:
        self._fence = ""  # the mark of the open block
        self._inline = 0  # backticks that opened the code within the line
        self._run = ""  # of marks, up to here
        self._indent = True  # nothing but space and marks so far in this line

    @property
    def inside(self) -> bool:
        """Whether the next character is part of code; after a mark, as if the mark were complete."""
        return self._after_run()[:2] != ("", 0)

    def push(self, text: str) -> None:
        """The text goes on."""
        for character in text:
            if character in _FENCES and (not self._run or character == self._run[0]):
                self._run += character
                continue
            self._fence, self._inline, self._indent = self._after_run()
            self._run = character if character in _FENCES else ""
            if character == "\n":
                self._inline, self._indent = 0, True
            elif not self._run and not (character.isspace() or (self._indent and character in ">-*+.0123456789")):
                self._indent = False

    def _after_run(self) -> tuple[str, int, bool]:
        """Fence, inline mark and indentation, when the run of marks ends here."""
        run = self._run
        if not run:
            return self._fence, self._inline, self._indent
        if self._fence:
            closes = self._indent and run[0] == self._fence[0] and len(run) >= len(self._fence)
            return ("" if closes else self._fence), 0, False
        if self._indent and len(run) >= _FENCE and not self._inline:
            return run, 0, False
        if run[0] == "~":
            return "", self._inline, False
        if not self._inline:
            return "", len(run), False
        return "", 0 if len(run) == self._inline else self._inline, False
