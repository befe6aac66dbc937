"""A conversation that begins as a copy of another one."""

from __future__ import annotations

import json
import re
from itertools import count

from localchat.history.part import HistoryPart, new_id, no_message
from localchat.history.queries import LINE_TO
from localchat.history.records import Conversation

_NUMBERED = re.compile(r"\s*\((\d+)\)$")


class Forks(HistoryPart):
    """Copying conversations."""

    def fork(self, message_id: str) -> Conversation:
        """A new conversation with the messages down to this one, on whichever branch it is, and the same settings.

        A reply that is being written is copied as far as it is on disk, as one that was stopped.
        """
        now = self._now()
        with self._database.writing() as connection:
            line = self._database.rows(LINE_TO, message_id)
            if not line:
                raise no_message()
            old = self.conversation(line[0]["conversation_id"])
            options = {key: value for key, value in old.options.items() if key != "composing"}
            fork_id, parent_id = new_id(), None
            connection.execute(
                "INSERT INTO conversations (id, title, renamed, created_at, updated_at, model, system_prompt,"
                " sampling, folder, options) VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?, ?)",
                (
                    fork_id,
                    self._free_title(old.title),
                    now,
                    now,
                    old.model,
                    old.system_prompt,
                    json.dumps(dict(old.sampling)),
                    old.folder,
                    json.dumps(options),
                ),
            )
            for row in line:
                copy = dict(row) | {"id": new_id(), "conversation_id": fork_id, "parent_id": parent_id}
                copy |= {"owner_pid": None, "owner_started": None}
                if copy["status"] == "writing":
                    copy |= {"status": "stopped", "finished_at": now}
                del copy["seq"]
                places = ", ".join("?" * len(copy))
                connection.execute(f"INSERT INTO messages ({', '.join(copy)}) VALUES ({places})", tuple(copy.values()))
                connection.execute(
                    "INSERT INTO recordings SELECT ?, depth, recording FROM recordings WHERE message_id = ?",
                    (copy["id"], row["id"]),
                )
                parent_id = copy["id"]
            connection.execute("UPDATE conversations SET leaf_id = ? WHERE id = ?", (parent_id, fork_id))
            return self.conversation(fork_id)

    def _free_title(self, title: str) -> str:
        """The title with the smallest number from 2 on that makes it different from all others."""
        base = _NUMBERED.sub("", title) or title
        taken = {row[0] for row in self._database.rows("SELECT title FROM conversations WHERE deleted_at IS NULL")}
        return next(numbered for n in count(2) if (numbered := f"{base} ({n})") not in taken)
