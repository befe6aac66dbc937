"""The schema of the history, as numbered steps that never change once released.

Step n takes a database from `user_version` n - 1 to n, in one transaction. To change the schema, add a step;
tests/history/test_migrations.py holds the hash of every released one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

APPLICATION_ID = 0x6C636874  # "lcht"; tells our databases from those of other programs

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE conversations (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            title TEXT NOT NULL CHECK (title <> ''),
            renamed INTEGER NOT NULL DEFAULT 0 CHECK (renamed IN (0, 1)),
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            model TEXT,
            system_prompt TEXT,
            sampling TEXT NOT NULL DEFAULT '{}',
            draft TEXT NOT NULL DEFAULT '',
            pinned INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1)),
            deleted_at REAL,
            leaf_id TEXT REFERENCES messages (id) DEFERRABLE INITIALLY DEFERRED
        )""",
        "CREATE INDEX conversations_by_update ON conversations (updated_at)",
        "CREATE INDEX conversations_by_leaf ON conversations (leaf_id)",
        # No ON DELETE CASCADE between messages: a long chat would exceed SQLite's limit of 1000 nested actions.
        """CREATE TABLE messages (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            conversation_id TEXT NOT NULL REFERENCES conversations (id),
            parent_id TEXT,
            role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant')),
            content TEXT NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('complete', 'writing', 'stopped', 'interrupted', 'error')),
            created_at REAL NOT NULL,
            finished_at REAL,
            model TEXT,
            error TEXT NOT NULL DEFAULT '',
            stats TEXT NOT NULL DEFAULT '{}',
            owner_pid INTEGER,
            owner_started REAL,
            UNIQUE (id, conversation_id),
            FOREIGN KEY (parent_id, conversation_id) REFERENCES messages (id, conversation_id)
        )""",
        "CREATE INDEX messages_by_parent ON messages (conversation_id, parent_id, seq)",
        "CREATE INDEX messages_being_written ON messages (seq) WHERE status = 'writing'",
        # Counts every change that a list of conversations or an open transcript shows; drafts and checkpoints do not.
        "CREATE TABLE changes (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL)",
        "INSERT INTO changes VALUES (1, 0)",
        """CREATE TRIGGER conversation_added AFTER INSERT ON conversations
            BEGIN UPDATE changes SET version = version + 1; END""",
        """CREATE TRIGGER conversation_removed AFTER DELETE ON conversations
            BEGIN UPDATE changes SET version = version + 1; END""",
        """CREATE TRIGGER conversation_changed
            AFTER UPDATE OF title, updated_at, model, system_prompt, sampling, pinned, deleted_at, leaf_id
            ON conversations BEGIN UPDATE changes SET version = version + 1; END""",
        f"PRAGMA application_id = {APPLICATION_ID}",
    ),
    (
        "ALTER TABLE conversations ADD COLUMN folder TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE conversations ADD COLUMN archived_at REAL",
        # Titles: 0 made of the first message, 1 made by the model; `renamed` says that it is the user's own.
        "ALTER TABLE conversations ADD COLUMN titled INTEGER NOT NULL DEFAULT 0 CHECK (titled IN (0, 1))",
        # What this conversation has of its own besides model, system prompt and sampling: context_length, preset, ...
        "ALTER TABLE conversations ADD COLUMN options TEXT NOT NULL DEFAULT '{}'",
        # Files given with a message: [{"name": ..., "kind": ..., "text": ...}].
        "ALTER TABLE messages ADD COLUMN attachments TEXT NOT NULL DEFAULT '[]'",
        "DROP TRIGGER conversation_changed",
        """CREATE TRIGGER conversation_changed
            AFTER UPDATE OF title, updated_at, model, system_prompt, sampling, pinned, deleted_at, leaf_id, folder,
                archived_at, options
            ON conversations BEGIN UPDATE changes SET version = version + 1; END""",
    ),
    # What a model wrote for itself before a reply.
    ("ALTER TABLE messages ADD COLUMN thinking TEXT NOT NULL DEFAULT ''",),
    # Files that wait in the composer with the draft, in the form that messages keep them in. Beside the conversations,
    # so that listing those does not read them.
    (
        """CREATE TABLE draft_files (
            conversation_id TEXT PRIMARY KEY REFERENCES conversations (id) ON DELETE CASCADE,
            attachments TEXT NOT NULL)""",
    ),
    (
        # Numbered by conversation and message at once (see history.search), so that a search reads no other table to
        # tell which conversations it found.
        """CREATE VIRTUAL TABLE search_index USING fts5 (
            words, tokenize = 'ascii', columnsize = 0, prefix = '2 3'
        )""",
        "CREATE TABLE unindexed (id INTEGER PRIMARY KEY)",
        "INSERT INTO unindexed SELECT seq << 32 FROM conversations",
        """INSERT INTO unindexed SELECT conversations.seq << 32 | messages.seq
            FROM messages JOIN conversations ON conversations.id = messages.conversation_id""",
        """CREATE TRIGGER title_added AFTER INSERT ON conversations
            BEGIN INSERT OR IGNORE INTO unindexed VALUES (new.seq << 32); END""",
        """CREATE TRIGGER title_changed AFTER UPDATE OF title ON conversations WHEN new.title <> old.title
            BEGIN INSERT OR IGNORE INTO unindexed VALUES (new.seq << 32); END""",
        """CREATE TRIGGER title_removed AFTER DELETE ON conversations BEGIN
            DELETE FROM unindexed WHERE id = old.seq << 32;
            DELETE FROM search_index WHERE rowid = old.seq << 32;
        END""",
        # A reply is indexed when it is finished.
        """CREATE TRIGGER words_added AFTER INSERT ON messages WHEN new.status <> 'writing' BEGIN
            INSERT OR IGNORE INTO unindexed
                SELECT seq << 32 | new.seq FROM conversations WHERE id = new.conversation_id;
        END""",
        """CREATE TRIGGER words_changed AFTER UPDATE OF content, status, attachments ON messages
            WHEN new.status <> 'writing'
            AND (old.status = 'writing' OR new.content <> old.content OR new.attachments <> old.attachments)
            BEGIN
            INSERT OR IGNORE INTO unindexed
                SELECT seq << 32 | new.seq FROM conversations WHERE id = new.conversation_id;
        END""",
        """CREATE TRIGGER words_removed AFTER DELETE ON messages BEGIN
            DELETE FROM unindexed
                WHERE id = (SELECT seq << 32 | old.seq FROM conversations WHERE id = old.conversation_id);
            DELETE FROM search_index
                WHERE rowid = (SELECT seq << 32 | old.seq FROM conversations WHERE id = old.conversation_id);
        END""",
        # Folders whose conversations the list hides.
        "CREATE TABLE folded (folder TEXT PRIMARY KEY)",
    ),
    # What makes a reply again (see localchat.recording). Beside the messages, so that showing those does not read it.
    (
        """CREATE TABLE recordings (
            message_id TEXT PRIMARY KEY REFERENCES messages (id) ON DELETE CASCADE,
            depth INTEGER NOT NULL,
            recording BLOB NOT NULL)""",
    ),
    (
        # The text that a conversation is about: as its file had it when it was read or written last (`saved`), and as
        # it is now. Beside the conversations, so that listing those does not read it.
        """CREATE TABLE documents (
            conversation_id TEXT PRIMARY KEY REFERENCES conversations (id) ON DELETE CASCADE,
            path TEXT NOT NULL,
            encoding TEXT NOT NULL,
            mark BLOB NOT NULL,
            saved TEXT NOT NULL,
            text TEXT NOT NULL)""",
        "CREATE INDEX documents_by_path ON documents (path)",
        # What was proposed for a text and what its writer took of it, as JSON; kept where that was agreed to.
        "CREATE TABLE edits (seq INTEGER PRIMARY KEY, created_at REAL NOT NULL, edit TEXT NOT NULL)",
    ),
    (
        # Pinned: the model keeps seeing it when older messages no longer fit. Summary: of the conversation down to this
        # message, for when what it covers no longer fits.
        "ALTER TABLE messages ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1))",
        "ALTER TABLE messages ADD COLUMN summary TEXT NOT NULL DEFAULT ''",
    ),
)


def schema_version(connection: sqlite3.Connection) -> int:
    """`user_version` of the database; 0 is a new one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def is_foreign(connection: sqlite3.Connection) -> bool:
    """Whether the database belongs to another program: it has tables, and not our mark."""
    # In this order: another window that makes the file at this moment adds the tables and the mark in one step.
    if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None:
        return False
    return bool(connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Bring the database to the newest schema, one transaction a step; safe when several processes try at once."""
    while schema_version(connection) < len(migrations):
        connection.execute("BEGIN IMMEDIATE")
        try:
            step = schema_version(connection)  # again, under the lock: another window may have been faster
            if step < len(migrations):
                for statement in migrations[step]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {step + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
