"""What the composer is for while it holds no new question: an edited one, the beginning of a reply, or a summary.

It is kept in the history beside the draft, so that neither a restart nor a look at another chat ends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from localchat.ui.session_events import ChatsChanged, ContextChanged

if TYPE_CHECKING:
    from localchat.ui.session import ChatSession


@dataclass(frozen=True, slots=True)
class Composing:
    """One such purpose.

    Attributes:
        kind: edit: the composer holds another version of a question; begin: the beginning of a reply; summary: the one
            that stands for the conversation down to a message.
        message_id: the question, or that message; empty when it is not sent yet.
        parked: what was in the composer before: a draft, or the question that is not sent yet.
    """

    kind: Literal["edit", "begin", "summary"]
    message_id: str
    parked: str = ""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Composing | None:
        """From a conversation's options."""
        kept = options.get("composing")
        return cls(**kept) if kept is not None else None


class ComposerPurpose:
    """Begins, ends and fulfils what the composer of the open chat is for."""

    def __init__(self, session: ChatSession) -> None:
        self._session = session
        self._known: tuple[str | None, Composing | None] = (None, None)

    @property
    def current(self) -> Composing | None:
        """None: the composer holds a new question, as usual.

        Read once when a chat is opened: what another window does with its composer later is no concern of this one.
        """
        if self._known[0] != self._session.chat_id:
            chat = self._session.chat
            self._known = (self._session.chat_id, Composing.of(chat.options) if chat is not None else None)
        return self._known[1]

    def edit(self, message_id: str | None, draft: str) -> bool:
        """Put a question (the one that this reply answers, or the last one) into the composer, to ask it differently.

        Returns False when there is none.
        """
        question = self._session.branching.question_of(message_id)
        if question is not None:
            self._begin(Composing("edit", question.id, draft), question.content)
        return question is not None

    def begin_reply(self, message_id: str | None, draft: str) -> bool:
        """Let the composer take the beginning of a reply: to the question that it holds, or else to one that was asked.

        Returns False when there is no question.
        """
        if message_id is None and draft.strip():
            self._begin(Composing("begin", "", draft), "")
            return True
        question = self._session.branching.question_of(message_id)
        if question is not None:
            self._begin(Composing("begin", question.id, draft), "")
        return question is not None

    def edit_summary(self, message_id: str, draft: str) -> None:
        """Put the summary that is kept with this message into the composer."""
        self._begin(Composing("summary", message_id, draft), self._session.store.message(message_id).summary)

    def give_up(self) -> None:
        """Back to the draft that was there before."""
        current = self.current
        if current is not None:
            self._keep(None, current.parked)

    def fulfil(self, text: str) -> None:
        """Do what the composer is for with what it holds."""
        current, session = self.current, self._session
        assert current is not None
        if current.kind == "summary":
            session.store.set_summary(current.message_id, text.strip())
            self._keep(None, current.parked)
            session.tell(ContextChanged(session.entered(), current.message_id))
        elif current.kind == "edit":
            session.branching.edit(current.message_id, text)
            self._keep(None, current.parked)
        elif current.message_id:
            session.branching.answer(current.message_id, prefill=text.rstrip(" "))
            self._keep(None, current.parked)
        else:
            session.send(current.parked, prefill=text.rstrip(" "))
            self._keep(None, "")

    def _begin(self, composing: Composing, text: str) -> None:
        self._session.entered()
        self._keep(composing, text)
        self._session.tell(ChatsChanged())

    def _keep(self, composing: Composing | None, text: str) -> None:
        chat_id = self._session.chat_id
        assert chat_id is not None
        self._session.store.set_composing(chat_id, None if composing is None else asdict(composing), text)
        self._known = (chat_id, composing)
