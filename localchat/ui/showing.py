"""From what the history holds of a message to what the screen shows of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from localchat.history.records import Siblings, StoredMessage
from localchat.history.store import HistoryStore
from localchat.ui.answering import Answering
from localchat.ui.shown import ReplyFigures, ReplyStatus, ShownMessage


def shown_message(
    stored: StoredMessage, store: HistoryStore, answering: Answering, title_of: Callable[[str], str]
) -> ShownMessage:
    """The message as it is now: what is being written of it may not be in the history yet.

    Args:
        title_of: the title of a model, by its name.
    """
    siblings = store.siblings(stored.id)
    turn = answering.turn_of(stored.id)
    status: ReplyStatus
    if stored.status == "error":
        status = "failed"
    elif stored.status == "writing":
        status = "elsewhere" if turn is None else "writing" if turn is answering.writing else "waiting"
    else:
        status = stored.status
    return ShownMessage(
        id=stored.id,
        role="user" if stored.role == "user" else "assistant",
        text=turn.text if turn is not None else stored.content,
        status=status,
        error=stored.error,
        figures=_figures(stored.stats),
        version=siblings.index + 1,
        versions=len(siblings.ids),
        writer=_writer(stored, siblings, store, title_of),
        files=tuple(each["name"] for each in stored.attachments),
        thinking=turn.thinking if turn is not None else stored.thinking,
        pinned=stored.pinned,
        summary=stored.summary,
    )


def _writer(stored: StoredMessage, siblings: Siblings, store: HistoryStore, title_of: Callable[[str], str]) -> str:
    """The model that wrote it, where the versions are not all by the same one: its title, or its name where several
    have the same title."""
    if stored.model is None or len(siblings.ids) == 1:
        return ""
    models = {model for each in siblings.ids if (model := store.message(each).model) is not None}
    if len(models) == 1:
        return ""
    title = title_of(stored.model)
    return title if [title_of(model) for model in models].count(title) == 1 else stored.model


def _figures(stats: Mapping[str, Any]) -> ReplyFigures | None:
    if not stats:
        return None
    return ReplyFigures(
        tokens=int(stats.get("completion_tokens", 0)),
        seconds=float(stats.get("seconds", 0.0)),
        tokens_per_second=float(stats.get("decode_tokens_per_second", 0.0)),
        left_out=int(stats.get("left_out", 0)),
        summarised=int(stats.get("summarised", 0)),
        finish_reason=str(stats.get("finish_reason", "")),
        thinking_tokens=int(stats.get("thinking_tokens", 0)),
        thinking_seconds=float(stats.get("thinking_seconds", 0.0)),
    )
