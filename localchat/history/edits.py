"""What was proposed for texts and what their writers took of it: kept where they agreed, for tuning a model later."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from localchat.history.part import HistoryPart, storable

_READ_AT_ONCE = 200


class Edits(HistoryPart):
    """In the order in which they were decided about. What one holds, `localchat.writing.decided` says."""

    def keep_edits(self, edits: Sequence[Mapping[str, Any]]) -> None:
        now = self._now()
        with self._database.writing() as connection:
            connection.executemany(
                "INSERT INTO edits (created_at, edit) VALUES (?, ?)",
                [(now, storable(json.dumps(edit, ensure_ascii=False))) for edit in edits],
            )

    def edits(self) -> Iterator[dict[str, Any]]:
        """All of them, the oldest first, each with `created_at` in seconds since 1970."""
        last = 0
        while found := self._database.rows(
            "SELECT * FROM edits WHERE seq > ? ORDER BY seq LIMIT ?", last, _READ_AT_ONCE
        ):
            for row in found:
                yield {"created_at": row["created_at"], **json.loads(row["edit"])}
            last = int(found[-1]["seq"])

    def count_edits(self) -> int:
        return int(self._database.rows("SELECT count(*) FROM edits")[0][0])

    def erase_edits(self) -> int:
        """Remove all of them for good, from the file's free pages and from its log too; returns how many there were."""
        self._database.rows("PRAGMA secure_delete = ON")
        with self._database.writing() as connection:
            count = connection.execute("DELETE FROM edits").rowcount
        self._database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        return count
