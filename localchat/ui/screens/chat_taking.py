"""The part of the chat screen that concerns taking chats along, private chats, and locking."""

from __future__ import annotations

from pathlib import Path

from textual import work

from localchat.errors import LocalChatError
from localchat.history.exporting import ExportFormat
from localchat.translation import _
from localchat.ui.screens.chat_part import ChatPart
from localchat.ui.taking import export_as_wished, has_words, write_export
from localchat.ui.visible_text import one_line


class TakingPart(ChatPart):
    """What leaves the program, and what must not."""

    async def action_private_chat(self) -> None:
        self.save_draft()
        self.session.begin_private_chat()
        await self.show_chat()
        self.close_overlay()
        self.composer.focus()

    def action_lock(self) -> None:
        self._app.lock_history()

    @work
    async def action_export_chat(self, where: str = "") -> None:
        """Write the open chat into a file.

        Args:
            where: a path, whose ending says the format, or a format; empty asks for both.
        """
        from localchat.ui.screens.export import ExportScreen

        if not has_words(self.session):
            self.notify(_("There is nothing to export yet."), severity="warning")
            return
        if not where:
            await self.app.push_screen_wait(ExportScreen(self.session.title, self._write_export))
            return
        try:
            self._say_written(export_as_wished(self.session, where))
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)

    def action_import_chats(self, where: str = "") -> None:
        """Add the conversations of a file; without one, write the command for the user to complete."""
        if where:
            self._import(Path(where).expanduser())
        else:
            self.composer.show_draft("/import ")
            self.composer.focus()

    @work(thread=True)
    def _import(self, path: Path) -> None:
        from localchat.history.importing import import_file

        try:
            said = str(import_file(self.session.saved, path))
        except LocalChatError as error:
            self.app.call_from_thread(self.notify, str(error), severity="error", markup=False)
            return
        self.app.call_from_thread(self.notify, one_line(said), timeout=10, markup=False)
        self.app.call_from_thread(self.show_chats)

    def _write_export(self, path: Path, kind: ExportFormat) -> None:
        """
        Raises:
            LocalChatError: it cannot be written.
        """
        write_export(self.session, path, kind)
        self._say_written(path)

    def _say_written(self, path: Path) -> None:
        self.notify(_("Written to {path}.").format(path=one_line(str(path))), timeout=6, markup=False)
