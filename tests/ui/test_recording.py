"""The session keeps what makes a reply again."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict

from localchat.history.store import HistoryStore
from localchat.messages import Event, Message, ReplyDone, ReplyOptions
from localchat.recording import Recording, ReplyRecorded
from localchat.ui.session import ChatSession
from tests.ui.fake_engine import FakeEngine, Script
from tests.ui.test_session import settled

RECORDING = Recording([1, 2], [3, 4], True, {"seed": 1}, {"kernel": "reference"})


class RecordingEngine(FakeEngine):
    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncGenerator[Event]:
        async for event in super().reply(messages, options):
            if isinstance(event, ReplyDone):
                yield ReplyRecorded(asdict(RECORDING))
            yield event


async def test_a_reply_in_the_app_can_be_made_again(store: HistoryStore) -> None:
    session = ChatSession(RecordingEngine(Script(["a", "b"])), store)
    session.load_model("/nowhere/tiny", "tiny")
    session.send("Hi")
    await settled(session)
    assert store.recording(store.branch(session.chat_id or "")[-1].id) == RECORDING
    await session.close()
