"""The part of the app that concerns the clipboard."""

from __future__ import annotations

from textual import work
from textual.app import App

from localchat.translation import _
from localchat.ui.clipboard import copy_tools, copy_with_tool, osc52


class CopyingPart(App[None]):
    """Copying, by whatever can."""

    def copy_to_clipboard(self, text: str) -> None:
        """What Textual calls for a selection; quiet, as everywhere."""
        self._hand_to_terminal(text)
        self._hand_to_tool(text)

    @work
    async def copy_text(self, text: str, said: str = "") -> None:
        """Copy, and say so, and how: only a tool of the system tells whether it worked."""
        self._hand_to_terminal(text)
        tool = await copy_with_tool(text, copy_tools())
        said = said or _("The message was copied.")
        way = _("With {tool}.").format(tool=tool) if tool else _("Through the terminal (OSC 52).")
        self.notify(f"{said} {way}", timeout=3, markup=False)

    @work
    async def _hand_to_tool(self, text: str) -> None:
        await copy_with_tool(text, copy_tools())

    def _hand_to_terminal(self, text: str) -> None:
        self._clipboard = text  # what is pasted inside of the app
        if self._driver is not None:
            self._driver.write(osc52(text))
