"""The part of the chat screen that concerns reading: scrolling, copying, following links."""

from __future__ import annotations

from textual import on, work

from localchat.translation import _
from localchat.ui.screens.chat_part import ChatPart
from localchat.ui.visible_text import visible_text
from localchat.ui.widgets.message_view import ReplyView
from localchat.ui.widgets.reply_messages import CodeChosen, LinkChosen


class ReadingPart(ChatPart):
    """What the user does with the transcript."""

    def action_scroll_top(self) -> None:
        self.transcript.to_top()

    def action_scroll_end(self) -> None:
        self.transcript.to_end()

    def key_pageup(self) -> None:
        self.transcript.page(-1)

    def key_pagedown(self) -> None:
        self.transcript.page(1)

    def action_focus_message(self, step: int) -> None:
        if not self.transcript.focus_message(step) and step > 0:
            self.composer.focus()

    def action_copy_message(self) -> None:
        view = self.transcript.focused_view or self.transcript.last_reply()
        if view is not None and view.message.text:
            self._app.copy_text(view.message.text)

    def action_copy_code(self) -> None:
        """Copy a code block of the reply in focus, or of the last one; the next time, the block after it."""
        view = self._reply_meant()
        if view is None:
            return
        place, codes = view.next_code()
        if not codes:
            self.notify(_("There is no code in this reply."), timeout=2)
            return
        said = _("The code was copied.")
        if len(codes) > 1:
            said = _("Code block {number} of {count} was copied.").format(number=place + 1, count=len(codes))
        self._app.copy_text(codes[place], said)

    def _reply_meant(self) -> ReplyView | None:
        focused = self.transcript.focused_view
        return focused if isinstance(focused, ReplyView) else self.transcript.last_reply()

    @work
    async def action_list_links(self) -> None:
        from localchat.ui.screens.links import LinksScreen

        view = self._reply_meant()
        links = view.body.links if view is not None and view.body is not None else []
        if not links:
            self.notify(_("There is no link in this reply."), timeout=2)
            return
        address = await self.app.push_screen_wait(LinksScreen(links))
        if address is not None:
            self._app.copy_text(visible_text(address), _("The address was copied."))

    @on(CodeChosen)
    def _code_chosen(self, event: CodeChosen) -> None:
        self._app.copy_text(event.code, _("The code was copied."))

    @on(LinkChosen)
    def _link_chosen(self, event: LinkChosen) -> None:
        """An address that a model wrote is never opened, only handed over."""
        self._app.copy_text(visible_text(event.address), _("The address was copied."))

    def action_toggle_thinking(self) -> None:
        """Fold or unfold what was thought before the reply in focus."""
        view = self.transcript.focused_view
        if isinstance(view, ReplyView) and view.thinking is not None:
            view.thinking.toggle()

    def action_toggle_all_thinking(self) -> None:
        self.transcript.unfold_thinking(not self.transcript.unfolded)
