"""Looking inside a reply: how sure the model was of every token of it, and whether it would write the same again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from localchat.errors import LocalChatError
from localchat.events import Event
from localchat.recording import Recording
from localchat.translation import _
from localchat.ui.answering import Answering
from localchat.ui.shown import ShownMessage
from localchat.ui.turn import ModelSource

if TYPE_CHECKING:
    from localchat.ui.session import ChatSession

ALTERNATIVES = 10
"""Tokens whose probabilities are asked for at every place."""


class Inside:
    """What can be asked of replies that were recorded. Questions that come meanwhile wait for the engine."""

    def __init__(self, session: ChatSession, answering: Answering) -> None:
        self._session = session
        self._answering = answering

    @property
    def chosen(self) -> ModelSource | None:
        """The model that answers."""
        return self._answering.chosen

    def recording(self, reply_id: str) -> Recording:
        """What makes this reply again.

        Raises:
            LocalChatError: it is still being written, has no tokens, or that was not kept.
        """
        if self._answering.turn_of(reply_id) is not None:
            raise LocalChatError(_("This reply is still being written."), _("Esc stops it."))
        recording = self._session.store.recording(reply_id)
        if recording is None:
            raise LocalChatError(
                _("What would make this reply again was not kept."),
                _("That is so for replies that were imported, broke off, or were written by an earlier version."),
            )
        if not recording.tokens and not recording.ended:
            raise LocalChatError(_("This reply has no tokens: it was stopped before the first."))
        return recording

    async def explain(self, recording: Recording, writer: ModelSource | None) -> AsyncGenerator[Event]:
        """How sure the model was of every token; see `EngineLink.explain`.

        Args:
            writer: the model that wrote it; None is the one that is chosen.
        """
        borrowed = self._answering.borrow(writer)
        async with borrowed as engine, aclosing(engine.explain(recording, ALTERNATIVES)) as events:
            async for event in events:
                yield event

    async def replay(self, recording: Recording, writer: ModelSource | None) -> AsyncGenerator[Event]:
        """Make a reply again; see `EngineLink.replay`."""
        async with self._answering.borrow(writer) as engine, aclosing(engine.replay(recording)) as events:
            async for event in events:
                yield event

    def branch(
        self, reply_id: str, recording: Recording, part: int, before: int, token: int, writer: ModelSource | None
    ) -> ShownMessage:
        """Another reply beside this one, that is the same up to a place and goes on from there with another token.

        Args:
            part, before: the place, as in `TokenExplained`.
        """
        return self._session.branching.go_on_from(reply_id, recording.parts[part], before, token, writer)
