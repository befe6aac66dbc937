"""The history: conversations as trees of messages, saved as they happen.

Every method is one short transaction, so a killed program loses at most what it had not passed in yet, and several
windows may work on one file. Methods may be called from any thread; they take turns.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from localchat.errors import HistoryUnavailable
from localchat.history import owners
from localchat.history.database import Database
from localchat.history.queries import BRANCH, NEWEST_UNDER, SIBLINGS, search_clause
from localchat.history.records import Conversation, EndStatus, Siblings, StoredMessage
from localchat.history.titles import UNTITLED, title_from
from localchat.messages import Role

PURGE_AFTER_DAYS = 30.0


class HistoryStore:
    """The conversations in one file.

    Opening makes the file if need be, migrates it, marks replies whose writer died as interrupted, and purges what
    was deleted more than `PURGE_AFTER_DAYS` ago.

    Args:
        path: usually `paths.history_file()`.
        now: the clock, seconds since 1970.

    Raises (every method too):
        HistoryUnavailable: the file cannot be opened, read or written, or a conversation or message is not in it.
    """

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self._open(Database(path), now)

    @classmethod
    def in_memory(cls, *, now: Callable[[], float] = time.time) -> HistoryStore:
        """A history that ends with the program, for when the file cannot be used; `is_saved` is False."""
        store = cls.__new__(cls)
        store._open(Database(None), now)
        return store

    def _open(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now
        try:
            # Under one lock, and even when nothing is to be done: a file that cannot be written is found out now.
            with database.writing():
                self.recover()
                self.purge_deleted()
        except BaseException:
            database.close()
            raise

    @property
    def path(self) -> Path | None:
        return self._database.path

    @property
    def is_saved(self) -> bool:
        """False for a history in memory."""
        return self.path is not None

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> HistoryStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- the list of conversations

    def create_conversation(
        self,
        *,
        title: str = "",
        model: str | None = None,
        system_prompt: str | None = None,
        sampling: Mapping[str, float] | None = None,
    ) -> Conversation:
        """A new, empty conversation. A title given here counts as the user's own."""
        conversation_id, now = _new_id(), self._now()
        own = title_from(title, width=200) if title.strip() else UNTITLED
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO conversations (id, title, renamed, created_at, updated_at, model, system_prompt, sampling)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    conversation_id,
                    own,
                    bool(title.strip()),
                    now,
                    now,
                    model,
                    None if system_prompt is None else _storable(system_prompt),
                    json.dumps(dict(sampling or {})),
                ),
            )
            return self.conversation(conversation_id)

    def conversation(self, conversation_id: str) -> Conversation:
        """One conversation, deleted ones too."""
        found = self._database.rows("SELECT * FROM conversations WHERE id = ?", conversation_id)
        if not found:
            raise HistoryUnavailable("This conversation is no longer in the history.", "Start a new one.")
        return Conversation.from_row(found[0])

    def conversations(self, search: str = "", limit: int = 500) -> list[Conversation]:
        """Conversations that are not deleted, the latest first; at most `limit` and all pinned ones.

        Args:
            search: words, all of which must occur in the title or in a message (any branch), as typed except for the
                case of letters A to Z. One Chinese character is a word too. The first 1000 characters count.
        """
        clause, values = search_clause(_storable(search))
        found = self._database.rows(
            "SELECT * FROM (SELECT *, row_number() OVER (ORDER BY updated_at DESC, seq DESC) AS place"
            f" FROM conversations WHERE deleted_at IS NULL{clause}) WHERE place <= ? OR pinned ORDER BY place",
            *values,
            limit,
        )
        return [Conversation.from_row(row) for row in found]

    def rename(self, conversation_id: str, title: str) -> Conversation:
        """Give it the user's own title; an empty one goes back to the title made of the first message."""
        if title.strip():
            self._set(conversation_id, title=title_from(title, width=200), renamed=True)
        else:
            first = self._database.rows(
                "SELECT content FROM messages WHERE conversation_id = ? AND role = 'user' ORDER BY seq LIMIT 1",
                conversation_id,
            )
            self._set(conversation_id, title=title_from(first[0][0]) if first else UNTITLED, renamed=False)
        return self.conversation(conversation_id)

    def delete(self, conversation_id: str) -> None:
        """Take it out of the list; `undelete` brings it back until it is purged."""
        self._set(conversation_id, deleted_at=self._now())

    def undelete(self, conversation_id: str) -> None:
        self._set(conversation_id, deleted_at=None)

    def purge_deleted(self, days: float = PURGE_AFTER_DAYS) -> int:
        """Remove for good what was deleted more than `days` ago; returns how many conversations that were."""
        before = self._now() - days * 86400
        doomed = "SELECT id FROM conversations WHERE deleted_at < ?"
        with self._database.writing() as connection:
            connection.execute(f"DELETE FROM messages WHERE conversation_id IN ({doomed})", (before,))
            return connection.execute("DELETE FROM conversations WHERE deleted_at < ?", (before,)).rowcount

    def discard_if_empty(self, conversation_id: str) -> bool:
        """Remove a conversation without a message, a draft or a title of the user's; returns whether it was removed."""
        with self._database.writing() as connection:
            removed = connection.execute(
                "DELETE FROM conversations WHERE id = ? AND leaf_id IS NULL AND trim(draft) = '' AND NOT renamed",
                (conversation_id,),
            )
            return removed.rowcount > 0

    def version(self) -> int:
        """A number that grows with every change that a list or a transcript shows, made by this or another window.

        Keep it and compare: cheap enough to ask every second. Drafts and checkpoints of growing replies do not count.
        """
        return int(self._database.rows("SELECT version FROM changes")[0][0])

    def changed_since(self, version: int) -> bool:
        return self.version() != version

    # ---- one conversation's own settings

    def draft(self, conversation_id: str) -> str:
        return self.conversation(conversation_id).draft

    def set_draft(self, conversation_id: str, draft: str) -> None:
        """Keep what is in the composer. Does not move the conversation in the list."""
        self._set(conversation_id, draft=_storable(draft))

    def set_model(self, conversation_id: str, model: str | None) -> None:
        self._set(conversation_id, model=model)

    def set_system_prompt(self, conversation_id: str, system_prompt: str | None) -> None:
        self._set(conversation_id, system_prompt=None if system_prompt is None else _storable(system_prompt))

    def set_sampling(self, conversation_id: str, sampling: Mapping[str, float]) -> None:
        self._set(conversation_id, sampling=json.dumps(dict(sampling)))

    def set_pinned(self, conversation_id: str, pinned: bool) -> None:
        self._set(conversation_id, pinned=pinned)

    def _set(self, conversation_id: str, **columns: Any) -> None:
        assignments = ", ".join(f"{name} = ?" for name in columns)
        with self._database.writing() as connection:
            done = connection.execute(
                f"UPDATE conversations SET {assignments} WHERE id = ?", (*columns.values(), conversation_id)
            )
            if not done.rowcount:
                raise HistoryUnavailable("This conversation is no longer in the history.", "Start a new one.")

    # ---- messages

    def add_message(
        self,
        conversation_id: str,
        parent_id: str | None,
        role: Role,
        content: str,
        *,
        clears_draft: bool = False,
    ) -> StoredMessage:
        """Add a complete message under `parent_id` (None: the first) and show its branch.

        A first user message gives the conversation its title unless it was renamed. A deleted conversation comes back:
        what somebody writes in one window is not lost because another window deleted it.

        Args:
            clears_draft: the message is what was in the composer; the draft ends in the same transaction.
        """
        with self._database.writing() as connection:
            message_id = self._insert(connection, conversation_id, parent_id, role, content, "complete", None)
            if role == "user" and parent_id is None:
                self._derive_title(connection, conversation_id, content)
            if clears_draft:
                connection.execute("UPDATE conversations SET draft = '' WHERE id = ?", (conversation_id,))
            return self.message(message_id)

    def edit(self, message_id: str, content: str) -> StoredMessage:
        """Add `content` beside an existing message, as a sibling of the same role; the old one stays reachable."""
        with self._database.writing():
            old = self.message(message_id)
            return self.add_message(old.conversation_id, old.parent_id, old.role, content)

    def begin_reply(self, conversation_id: str, parent_id: str | None, model: str | None) -> str:
        """Add an empty reply that this process is about to write, under the message it answers; returns its id."""
        owner = owners.current()
        with self._database.writing() as connection:
            return self._insert(connection, conversation_id, parent_id, "assistant", "", "writing", model, owner)

    def checkpoint(self, reply_id: str, text: str) -> None:
        """Save the reply's text so far (all of it). Does nothing once the reply is finished."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE messages SET content = ? WHERE id = ? AND status = 'writing'", (_storable(text), reply_id)
            )

    def finish(
        self,
        reply_id: str,
        text: str,
        status: EndStatus = "complete",
        *,
        stats: Mapping[str, Any] | None = None,
        error: str = "",
    ) -> StoredMessage:
        """End a reply with all of its text.

        Args:
            stats: what it cost and what replays it, as JSON can hold it: `dataclasses.asdict(reply_done)`.
            error: what went wrong, for status "error" or "interrupted".
        """
        now = self._now()
        with self._database.writing() as connection:
            done = connection.execute(
                "UPDATE messages SET content = ?, status = ?, finished_at = ?, stats = ?, error = ?,"
                " owner_pid = NULL, owner_started = NULL WHERE id = ? AND role = 'assistant'",
                (_storable(text), status, now, json.dumps(dict(stats or {})), _storable(error), reply_id),
            )
            if not done.rowcount:
                raise _no_message()
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

    def message(self, message_id: str) -> StoredMessage:
        found = self._database.rows("SELECT * FROM messages WHERE id = ?", message_id)
        if not found:
            raise _no_message()
        return StoredMessage.from_row(found[0])

    def branch(self, conversation_id: str) -> list[StoredMessage]:
        """The messages on show, from the first to the conversation's leaf."""
        found = self._database.rows(
            BRANCH,
            conversation_id,
        )
        return [StoredMessage.from_row(row) for row in found]

    def siblings(self, message_id: str) -> Siblings:
        """The message and its alternatives (other replies to, or other versions after, the same parent)."""
        found = self._database.rows(
            SIBLINGS,
            message_id,
        )
        if not found:
            raise _no_message()
        ids = tuple(row[0] for row in found)
        return Siblings(ids, ids.index(message_id))

    def select_sibling(self, message_id: str) -> str:
        """Show the branch through this message, down to the newest message under it; returns the new leaf's id."""
        with self._database.writing() as connection:
            conversation_id = self.message(message_id).conversation_id
            leaf = self._database.rows(
                NEWEST_UNDER,
                message_id,
                conversation_id,
            )[0][0]
            connection.execute("UPDATE conversations SET leaf_id = ? WHERE id = ?", (leaf, conversation_id))
            return str(leaf)

    def problems(self) -> list[str]:
        """What a full check of the file finds; empty when it is sound. Slow, it reads all of it."""
        return self._database.problems()

    def _insert(
        self,
        connection: sqlite3.Connection,
        conversation_id: str,
        parent_id: str | None,
        role: Role,
        content: str,
        status: str,
        model: str | None,
        owner: tuple[int, float] | None = None,
    ) -> str:
        self.conversation(conversation_id)
        if parent_id is not None and self.message(parent_id).conversation_id != conversation_id:
            raise ValueError(f"message {parent_id} belongs to another conversation than {conversation_id}")
        message_id, now = _new_id(), self._now()
        connection.execute(
            "INSERT INTO messages (id, conversation_id, parent_id, role, content, status, created_at, finished_at,"
            " model, owner_pid, owner_started) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                message_id,
                conversation_id,
                parent_id,
                role,
                _storable(content),
                status,
                now,
                None if owner else now,
                model,
                *(owner or (None, None)),
            ),
        )
        connection.execute(
            "UPDATE conversations SET leaf_id = ?, updated_at = ?, deleted_at = NULL WHERE id = ?",
            (message_id, now, conversation_id),
        )
        return message_id

    def _derive_title(self, connection: sqlite3.Connection, conversation_id: str, content: str) -> None:
        connection.execute(
            "UPDATE conversations SET title = ? WHERE id = ? AND NOT renamed",
            (title_from(_storable(content)), conversation_id),
        )


def _no_message() -> HistoryUnavailable:
    return HistoryUnavailable("This message is no longer in the history.", "Open the conversation again.")


def _new_id() -> str:
    """32 hexadecimal digits, the first 12 the time in milliseconds: unique among windows, roughly in order."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def _storable(text: str) -> str:
    """The text with what UTF-8 cannot hold (halves of surrogate pairs, from a broken paste) replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")
