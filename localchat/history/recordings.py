"""What makes replies again, kept beside them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from localchat.history.part import HistoryPart
from localchat.recording import Recording

_OF_LINE = """
WITH RECURSIVE line (id, parent_id, height) AS (
    SELECT id, parent_id, 0 FROM messages WHERE id = ?
    UNION ALL
    SELECT messages.id, messages.parent_id, height + 1 FROM line JOIN messages ON messages.id = line.parent_id
)
SELECT line.id, depth, recording FROM line JOIN recordings ON recordings.message_id = line.id ORDER BY height DESC
"""


DEEPEST = 15
"""So many are read besides the one that is wanted, however long the conversation."""


class Recordings(HistoryPart):
    """Each is packed against the one of the reply before it on its branch, with which its prompt usually begins: that
    lies one deeper, until one is packed alone again."""

    def recording(self, reply_id: str) -> Recording | None:
        """What makes this reply again.

        None when that was not kept, as of a reply whose process died, or no longer can be read, as an earlier reply
        that its prompt began with was written anew.
        """
        rows = self._database.rows(_OF_LINE, reply_id)
        return self._read(rows) if rows and rows[-1]["id"] == reply_id else None

    def _record(self, connection: sqlite3.Connection, reply_id: str, recording: Recording) -> None:
        earlier = [row for row in self._database.rows(_OF_LINE, reply_id) if row["id"] != reply_id]
        before = self._read(earlier) if earlier and earlier[-1]["depth"] < DEEPEST else None
        depth = earlier[-1]["depth"] + 1 if before is not None else 0
        packed = recording.pack(before.line if before is not None else ())
        connection.execute("INSERT OR REPLACE INTO recordings VALUES (?, ?, ?)", (reply_id, depth, packed))

    @staticmethod
    def _read(line: Sequence[sqlite3.Row]) -> Recording | None:
        """The last of a line."""
        recording: Recording | None = None
        for row in line[-1 - line[-1]["depth"] :]:
            recording = Recording.unpack(row["recording"], recording.line if recording is not None else ())
        return recording
