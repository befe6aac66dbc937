"""What a reader takes for one character: a letter with its marks, an emoji with its joined parts, a flag.

Deleting, and moving the cursor, go by these and never by code points (Unicode Standard Annex 29, as far as Rich cuts
it, which Textual draws with; Rich leaves the two letters of a flag apart).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from rich.cells import split_graphemes


def boundaries(line: str) -> list[int]:
    """Indices between characters, with 0 and the length of the line."""
    if line.isascii():
        return list(range(len(line) + 1))
    found = [0]
    flag_begins = False
    for start, end, _ in split_graphemes(line)[0]:
        is_letter = "\U0001f1e6" <= line[start] <= "\U0001f1ff"
        if flag_begins and is_letter:
            found[-1] = end
            flag_begins = False
        else:
            found.append(end)
            flag_begins = is_letter
    return found


def floor(line: str, column: int) -> int:
    """The last boundary at or before `column`."""
    places = boundaries(line)
    return places[bisect_right(places, column) - 1]


def before(line: str, column: int) -> int:
    """The boundary before `column`, which is past 0."""
    places = boundaries(line)
    return places[bisect_left(places, column) - 1]


def after(line: str, column: int) -> int:
    """The boundary after `column`, which is short of the end."""
    places = boundaries(line)
    return places[bisect_right(places, column)]
