"""Searching: an index over titles and messages, and the conversations in which all words of a search occur.

Triggers note what changed in the table `unindexed`; the index follows in small steps, the newest first, before every
search and whenever the program has time. So saving a growing reply costs nothing here, and a long history from before
there was an index opens as quickly as any.

An entry of the index is numbered by conversation and message at once: the conversation's `seq` shifted by 32 bits, plus
the message's `seq`, or 0 for the title.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass

from localchat.history.part import HistoryPart
from localchat.history.records import Conversation
from localchat.history.search_words import Search, words_of
from localchat.history.titles import MARKS

CATCH_UP_S = 0.02
"""Time that a search may spend on the index before it looks."""

STEP = 16
"""Messages that are indexed between two looks at the clock."""

LONGEST_EXCERPT = 400
"""Characters of a message that an excerpt may have; whoever shows it cuts it to the room there is."""

BEFORE_FOUND = 24
"""Characters that an excerpt keeps before the first word that was found."""

_NEXT = """
SELECT unindexed.id, messages.content, messages.attachments, conversations.title
FROM unindexed JOIN conversations ON conversations.seq = unindexed.id >> 32
    LEFT JOIN messages ON messages.seq = unindexed.id & 0xffffffff
ORDER BY unindexed.id DESC LIMIT ?
"""

_CHATS = "SELECT DISTINCT rowid >> 32 FROM search_index WHERE search_index MATCH ?"

_NEWEST = """
SELECT rowid & 0xffffffff FROM search_index
WHERE search_index MATCH ? AND rowid BETWEEN (? << 32) + 1 AND (? << 32) + 0xffffffff ORDER BY rowid DESC LIMIT 1
"""
"""The newest message of a conversation that matches. Values: the match, the conversation's `seq` twice."""

_LISTED = """
SELECT * FROM conversations WHERE seq IN (SELECT value FROM json_each(?)) AND deleted_at IS NULL
ORDER BY archived_at IS NOT NULL, updated_at DESC, seq DESC LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A conversation in which all words of a search occur.

    Attributes:
        message_id: the newest message with all of them, or else with the first; None when only the title has them.
        excerpt: of that message, from a little before the first word found; one line.
    """

    conversation: Conversation
    message_id: str | None
    excerpt: str


class Searching(HistoryPart):
    """Keeping the index, and asking it."""

    def find(self, typed: str, limit: int = 30) -> list[Found]:
        """The conversations that a search finds, archived ones last, else the latest first; at most `limit`.

        Args:
            typed: words, all of which must occur in the title or in a message (any version of it, or the name of a
                file given with it); see `search_words` for what a word is.
        """
        search = Search(typed)
        if not search:
            return []
        self.index_some(CATCH_UP_S)
        phrases = [phrase.match for phrase in search.phrases]
        together = " AND ".join(phrases)
        have_together = self._chats(together)
        chats = have_together if len(phrases) == 1 else self._chats_with_each(phrases)
        rows = self._database.rows(_LISTED, json.dumps(list(chats)), limit)
        return [self._found(row, [together] if row["seq"] in have_together else phrases, search) for row in rows]

    def index_some(self, seconds: float) -> bool:
        """Index what changed, for about so long; returns whether anything is left to do."""
        until = time.monotonic() + seconds
        while self._database.rows("SELECT 1 FROM unindexed LIMIT 1"):
            with self._database.writing() as connection:
                _index(connection, STEP)
            if time.monotonic() >= until:
                return bool(self._database.rows("SELECT 1 FROM unindexed LIMIT 1"))
        return False

    def unindexed(self) -> int:
        """How many titles and messages a search does not know yet."""
        return int(self._database.rows("SELECT count(*) FROM unindexed")[0][0])

    def _chats(self, match: str) -> set[int]:
        """The `seq` of the conversations in which something matches."""
        return {row[0] for row in self._database.rows(_CHATS, match)}

    def _chats_with_each(self, matches: Sequence[str]) -> set[int]:
        """The `seq` of the conversations in which each of these matches somewhere."""
        chats = self._chats(matches[0])
        for match in matches[1:]:
            if chats:
                chats &= self._chats(match)
        return chats

    def _found(self, row: sqlite3.Row, matches: Sequence[str], search: Search) -> Found:
        """The conversation with the newest message for the first of these that matches one."""
        conversation = Conversation.from_row(row)
        tries = (self._database.rows(_NEWEST, match, row["seq"], row["seq"]) for match in matches)
        newest = next((rows for rows in tries if rows), None)
        if newest is None:
            return Found(conversation, None, "")
        message = self._database.rows("SELECT id, content, attachments FROM messages WHERE seq = ?", newest[0][0])[0]
        return Found(conversation, message["id"], excerpt(_searchable(message), search))


def excerpt(text: str, search: Search) -> str:
    """One line of the text, from a little before the first word found, without the marks of Markdown."""
    spans = search.spans(text)
    start = max(0, spans[0][0] - BEFORE_FOUND) if spans else 0
    if start:  # from the beginning of a word, where there is one
        start = next((i + 1 for i in range(start, spans[0][0]) if text[i].isspace()), start)
    lines = text[start : start + LONGEST_EXCERPT].replace("**", "").splitlines()
    line = " ".join(" ".join(MARKS.sub("", line) for line in lines).split())
    return f"…{line}" if start else line


def _index(connection: sqlite3.Connection, count: int) -> None:
    for row in connection.execute(_NEXT, (count,)).fetchall():
        is_title = not row["id"] & 0xFFFFFFFF
        words = words_of(row["title"] if is_title else _searchable(row))
        connection.execute("INSERT OR REPLACE INTO search_index (rowid, words) VALUES (?, ?)", (row["id"], words))
        connection.execute("DELETE FROM unindexed WHERE id = ?", (row["id"],))


def _searchable(row: sqlite3.Row) -> str:
    """What of a message can be found: what was written, and the names of the files given with it."""
    names = [attachment["name"] for attachment in json.loads(row["attachments"])]
    return "\n".join([row["content"], *names])
