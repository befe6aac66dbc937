"""Conversations on disk: the SQLite store, its migrations, and what it does after a crash."""
