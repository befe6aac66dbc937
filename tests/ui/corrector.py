"""A pretended model that corrects a few mistakes, and a desk with a text open beside its conversation."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from localchat.messages import Message
from localchat.ui.screens.choice import ChoiceScreen
from localchat.ui.widgets.document_area import DocumentArea
from localchat.ui.widgets.document_pane import DocumentPane
from localchat.ui.widgets.review_panel import ReviewPanel
from localchat.ui.widgets.review_view import ReviewView
from tests.ui.conftest import Desk, Opener
from tests.ui.fake_engine import FakeEngine, Script

CORRECTIONS = {"are quiet": "is quiet", "we likes": "we like", "我门": "我们", "secnd": "second"}
WRONG = "The garden are quiet and we likes it.\n\n我门在院子里种了很多花。\n\nThe secnd line.\n"
RIGHT = "The garden is quiet and we like it.\n\n我们在院子里种了很多花。\n\nThe second line.\n"
SUMMARY = "A garden with flowers."


def answer(messages: Sequence[Message]) -> Script:
    """Another version of what is asked about; a summary of it; or, in a conversation, a few words."""
    question, _blank, text = messages[-1].content.partition("\n\n")
    if not text:
        return Script(["Nobody minds."])
    if question.startswith(("Summarise", "请用")):
        return Script([SUMMARY])
    for wrong, right in CORRECTIONS.items():
        text = text.replace(wrong, right)
    return Script(re.findall(r".{1,6}", text, re.DOTALL))


def correcting() -> FakeEngine:
    engine = FakeEngine()
    engine.answer = answer
    return engine


class TextDesk(Desk):
    """A desk with a text on it."""

    @property
    def pane(self) -> DocumentPane:
        assert self.screen.pane is not None
        return self.screen.pane

    @property
    def area(self) -> DocumentArea:
        return self.pane.area

    @property
    def review(self) -> ReviewView:
        return self.app.screen.query_one(ReviewView)

    async def open(self, path: Path) -> None:
        await self.run(f"/doc {path}")
        await self.until(lambda: self.screen.pane is not None and self.pane.document is not None, "the text is open")
        await self.until(lambda: self.area.has_focus)

    async def run(self, command: str) -> None:
        """A slash command, whatever is offered to complete it."""
        composer = self.screen.composer
        composer.focus()
        composer.show_draft(command)
        composer.action_send()
        await self.until(lambda: composer.text != command, f"{command} ran")

    async def work(self, action: str) -> None:
        """Have this done, and wait until its changes are asked about."""
        await self.run(f"/write {action}")
        await self.until(self.is_asked, "the changes are asked about")

    def is_asked(self) -> bool:
        panels = list(self.app.screen.query(ReviewPanel))
        return bool(panels) and panels[0].is_mounted and panels[0].writing.is_over and self.review.has_focus

    async def asked_to_choose(self) -> None:
        await self.until(lambda: isinstance(self.app.screen, ChoiceScreen) and self.app.focused is not None)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def finished(self) -> None:
        await self.until(lambda: not self.pane.is_working, "back to the text")
        await self.until(lambda: self.area.display)


@asynccontextmanager
async def open_text(
    open_desk: Opener, path: Path, content: str | bytes = WRONG, **options: Any
) -> AsyncIterator[TextDesk]:
    """The app with this text open, which is written into its file first."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    options.setdefault("size", (120, 30))
    async with open_desk(options.pop("engine", None) or correcting(), **options) as plain:
        desk = TextDesk(plain.app, plain.pilot, plain.engine, plain.store, plain.shelf)
        await desk.open(path)
        yield desk
