"""Dialogs close once, however often they are told to."""

from __future__ import annotations

import pytest
from textual.screen import ModalScreen

from localchat.ui.screens.chat import ChatScreen
from tests.ui.conftest import Opener


@pytest.mark.parametrize("key", ["f1", "ctrl+o", "ctrl+p"])
async def test_a_dialog_that_is_told_twice_to_close_takes_nothing_else_along(open_desk: Opener, key: str) -> None:
    async with open_desk() as desk:
        await desk.pilot.press(key)
        await desk.until(lambda: isinstance(desk.app.screen, ModalScreen))
        dialog = desk.app.screen
        dialog.dismiss()
        dialog.dismiss()
        await desk.until(lambda: isinstance(desk.app.screen, ChatScreen))
        assert desk.app.is_running
