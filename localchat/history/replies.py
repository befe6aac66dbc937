"""Replies while they are written: begun, saved as they grow, finished, and found again after a crash."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from localchat.history import owners
from localchat.history.part import no_message, storable
from localchat.history.recordings import Recordings
from localchat.history.records import EndStatus, StoredMessage
from localchat.recording import Recording


class Replies(Recordings):
    """The life of a reply."""

    def begin_reply(self, conversation_id: str, parent_id: str | None, model: str | None) -> str:
        """Add an empty reply that this process is about to write, under the message it answers; returns its id."""
        owner = owners.current()
        with self._database.writing() as connection:
            return self._insert(connection, conversation_id, parent_id, "assistant", "", "writing", model, owner)

    def resume_reply(self, reply_id: str) -> None:
        """This process goes on with a reply that has ended; it keeps its text and its place."""
        owner = owners.current()
        with self._database.writing() as connection:
            done = connection.execute(
                "UPDATE messages SET status = 'writing', finished_at = NULL, error = '', owner_pid = ?,"
                " owner_started = ? WHERE id = ? AND role = 'assistant' AND status <> 'writing'",
                (*owner, reply_id),
            )
            if not done.rowcount:
                raise no_message()
            connection.execute("DELETE FROM recordings WHERE message_id = ?", (reply_id,))  # of less than it will be
            # Sets the version too, so that other windows show it.
            connection.execute(
                "UPDATE conversations SET updated_at = ?"
                " WHERE id = (SELECT conversation_id FROM messages WHERE id = ?)",
                (self._now(), reply_id),
            )

    def checkpoint(self, reply_id: str, text: str, thinking: str = "") -> None:
        """Save the reply's text and thinking so far (all of it). Does nothing once the reply is finished."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE messages SET content = ?, thinking = ? WHERE id = ? AND status = 'writing'",
                (storable(text), storable(thinking), reply_id),
            )

    def finish(
        self,
        reply_id: str,
        text: str,
        status: EndStatus = "complete",
        *,
        thinking: str = "",
        stats: Mapping[str, Any] | None = None,
        error: str = "",
        recording: Recording | None = None,
    ) -> StoredMessage:
        """End a reply with all of its text.

        Args:
            thinking: what the model wrote for itself before the reply.
            stats: what it cost, as JSON can hold it: `dataclasses.asdict(reply_done)`.
            error: what went wrong, for status "error" or "interrupted".
            recording: what makes it again.
        """
        now, figures = self._now(), json.dumps(dict(stats or {}))
        with self._database.writing() as connection:
            done = connection.execute(
                "UPDATE messages SET content = ?, thinking = ?, status = ?, finished_at = ?, stats = ?, error = ?,"
                " owner_pid = NULL, owner_started = NULL WHERE id = ? AND role = 'assistant'",
                (storable(text), storable(thinking), status, now, figures, storable(error), reply_id),
            )
            if not done.rowcount:
                raise no_message()
            if recording is not None:
                self._record(connection, reply_id, recording)
            reply = self.message(reply_id)
            connection.execute("UPDATE conversations SET updated_at = ? WHERE id = ?", (now, reply.conversation_id))
            return reply

    def recover(self) -> int:
        """Mark replies whose writing process is gone as interrupted, with the text they have; returns how many.

        Done at opening. A long-lived window may call it when it meets a reply that another one is writing.
        """
        now, count = self._now(), 0
        with self._database.writing() as connection:
            for row in self._database.rows("SELECT * FROM messages WHERE status = 'writing'"):
                if owners.is_alive(row["owner_pid"], row["owner_started"]):
                    continue
                count += 1
                connection.execute(
                    "UPDATE messages SET status = 'interrupted', finished_at = ?, owner_pid = NULL,"
                    " owner_started = NULL WHERE id = ?",
                    (now, row["id"]),
                )
                # Sets the version too, so that open windows show it; the place in the list stays.
                connection.execute(
                    "UPDATE conversations SET updated_at = updated_at WHERE id = ?", (row["conversation_id"],)
                )
        return count
