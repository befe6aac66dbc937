"""Where the words of a search stand in rows, also where a row ends in the middle of one."""

from __future__ import annotations

from collections.abc import Sequence

from localchat.history.search_words import Search
from localchat.ui.reading.lines import Line

Span = tuple[int, int]


def marks(rows: Sequence[Line], search: Search) -> dict[int, list[Span]]:
    """By row: the places, in its characters, of what was searched for."""
    if not search:
        return {}
    text = ""
    starts: list[int] = []
    for row in rows:
        text += row.joint if starts else ""
        starts.append(len(text))
        text += row.content.plain[row.decoration :]
    found: dict[int, list[Span]] = {}
    y = 0
    for start, end in search.spans(text):
        while y + 1 < len(rows) and starts[y + 1] <= start:
            y += 1
        place = y
        while place < len(rows) and starts[place] < end:
            row = rows[place]
            shift = row.decoration - starts[place]
            span = (max(start + shift, row.decoration), min(end + shift, len(row.content.plain)))
            if span[0] < span[1]:
                found.setdefault(place, []).append(span)
            place += 1
    return found
