"""The SQL that walks a conversation's tree of messages."""

from __future__ import annotations

BRANCH = """
WITH RECURSIVE line (id, parent_id, height) AS (
    SELECT id, parent_id, 0 FROM messages WHERE id = (SELECT leaf_id FROM conversations WHERE id = ?)
    UNION ALL
    SELECT messages.id, messages.parent_id, height + 1 FROM line JOIN messages ON messages.id = line.parent_id
)
SELECT messages.* FROM line JOIN messages ON messages.id = line.id ORDER BY height DESC
"""
"""The messages from the first to the leaf of a conversation. Values: its id."""

LINE_TO = """
WITH RECURSIVE line (id, parent_id, height) AS (
    SELECT id, parent_id, 0 FROM messages WHERE id = ?
    UNION ALL
    SELECT messages.id, messages.parent_id, height + 1 FROM line JOIN messages ON messages.id = line.parent_id
)
SELECT messages.* FROM line JOIN messages ON messages.id = line.id ORDER BY height DESC
"""
"""The messages from the first down to one, whichever branch is on show. Values: its id."""

SIBLINGS = """
SELECT other.id FROM messages AS me JOIN messages AS other
    ON other.conversation_id = me.conversation_id AND other.parent_id IS me.parent_id
WHERE me.id = ? ORDER BY other.seq
"""
"""A message and those with the same parent, oldest first. Values: its id."""

NEWEST_UNDER = """
WITH RECURSIVE under (id, seq) AS (
    SELECT id, seq FROM messages WHERE id = ?
    UNION ALL
    SELECT messages.id, messages.seq FROM under JOIN messages
        ON messages.conversation_id = ? AND messages.parent_id = under.id
)
SELECT id FROM under ORDER BY seq DESC LIMIT 1
"""
"""The newest message at or under one (its children would be newer). Values: its id, its conversation."""
