"""The part of the chat screen that concerns writing actions: on the text of the chat, on a message, on a draft."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textual import work

from localchat.errors import LocalChatError
from localchat.translation import _
from localchat.ui.screens.chat_document import DocumentPart
from localchat.ui.visible_text import visible_text

if TYPE_CHECKING:
    from localchat.ui.widgets.review_panel import ReviewPanel
    from localchat.ui.writing_task import Wish


@dataclass(frozen=True, slots=True)
class Target:
    """What an action is for.

    Attributes:
        text: all of it.
        parts: what of it can be meant, in words, with the characters from where to where; the likeliest first.
    """

    kind: Literal["document", "message", "draft"]
    text: str
    parts: tuple[tuple[str, int, int], ...]


class WorkingPart(DocumentPart):
    """What the user has done with texts."""

    @work
    async def action_work_on(self, words: str = "") -> None:
        """Do something with the text, the message or the draft that has the focus.

        Args:
            words: an action with a value for it, or a wish; empty asks for them.
        """
        from localchat.ui.screens.writing_menu import WritingMenu
        from localchat.ui.writing_choice import chosen_in_words
        from localchat.ui.writing_task import Wish
        from localchat.writing.actions import all_actions

        if self.pane is not None and self.pane.is_working:
            self.notify(
                _("The changes that are there come first: Enter takes them over, Esc gives them up."), timeout=5
            )
            return
        target = self._target()
        if target is None:
            self.notify(_("There is nothing to work on yet: no text, no draft, no message."), timeout=4)
            return
        try:
            chosen, part = chosen_in_words(words) if words else None, 0
            if chosen is None:
                menu = WritingMenu(all_actions(), [part[0] for part in target.parts])
                if (answer := await self.app.push_screen_wait(menu)) is None:
                    return
                chosen, part = answer
            _words, start, end = target.parts[part]
            await self._do(target, Wish(chosen.action, target.text, start, end, chosen.variables))
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)

    def _target(self) -> Target | None:
        view, draft = self.transcript.focused_view, self.composer.draft
        if view is not None and view.message.text.strip():
            return _whole("message", visible_text(view.message.text), _("This message"))
        if self.composer.has_focus and draft.strip():
            return _whole("draft", draft, _("My draft"))
        if self.pane is not None and self.pane.area.text.strip():
            return self._document_target()
        last = self.transcript.last_reply()
        if last is not None and last.message.text.strip():
            return _whole("message", visible_text(last.message.text), _("The last reply"))
        return None

    def _document_target(self) -> Target:
        """The selection; or the text, or the paragraph in which the cursor stands."""
        assert self.pane is not None
        text = self.pane.area.text
        start, end = self.pane.area.selected_range
        whole = (_("The whole text"), 0, len(text))
        if text[start:end].strip():
            return Target("document", text, ((_("The selection"), start, end), whole))
        first, last = text.rfind("\n", 0, start) + 1, text.find("\n", start)
        paragraph = (_("This paragraph"), first, len(text) if last < 0 else last)
        parts = (whole, paragraph) if text[first : paragraph[2]].strip() else (whole,)
        return Target("document", text, parts)

    async def _do(self, target: Target, wish: Wish) -> None:
        task = self.session.document.task(wish)
        if target.kind == "document":
            assert self.pane is not None
            self.go_to_text()
            await self.pane.begin_work(task)
            return
        from localchat.ui.screens.review import ReviewScreen

        takes = _("Into the draft") if target.kind == "draft" else _("Into the composer")
        ended = await self.app.push_screen_wait(ReviewScreen(task, takes))
        if ended is None or ended.how == "give_up":
            return
        if ended.how == "copy":
            self._app.copy_text(ended.text, _("The text was copied."))
        else:
            self.write_into_composer(ended.text)
        await self._keep_decisions(ended)

    async def on_review_panel_ended(self, event: ReviewPanel.Ended) -> None:
        """The user decided about what was made of the text."""
        if self.pane is None or self.pane.panel is None:
            return
        event.stop()
        await self.pane.end_work()
        area = self.pane.area
        area.focus()
        if event.how == "copy":
            self._app.copy_text(event.text, _("The text was copied."))
        elif event.how == "message":
            self.write_into_composer(event.text)
            self.go_to_conversation()
        elif event.how in ("take", "save"):
            if event.review is None:
                wish = event.writing.wish
                area.change_text(f"{area.text[: wish.end].rstrip()}\n\n{event.text.strip()}\n{area.text[wish.end :]}")
            elif event.text != area.text:
                area.change_text(event.text)
            self.on_document_pane_edited()
            if event.how == "save":
                self.action_save_document()
        if event.how != "give_up":
            self._ask_to_keep(event)

    @work
    async def _ask_to_keep(self, ended: ReviewPanel.Ended) -> None:
        await self._keep_decisions(ended)

    async def _keep_decisions(self, ended: ReviewPanel.Ended) -> None:
        from localchat.ui.kept_edits import keep_decisions

        try:
            await keep_decisions(self._app, ended, is_private=self.session.is_private)
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)

    def write_into_composer(self, text: str) -> None:
        """Let the user send this, or change it first."""
        self.composer.show_draft(text)
        self.composer.focus()
        self.save_draft()

    def action_quote_text(self) -> None:
        """Begin a question about what is selected in the text."""
        selected = self.pane.area.selected_text.strip() if self.pane is not None else ""
        if not selected:
            self.notify(_("Select a passage of the text first."), timeout=4)
            return
        quoted = "\n".join(f"> {line}".rstrip() for line in selected.split("\n"))
        self.write_into_composer(f"{quoted}\n\n{self.composer.draft}")
        self.go_to_conversation()

    async def action_put_into_text(self) -> None:
        """Write the message in focus, or the last reply, into the text where its cursor stands."""
        view = self.transcript.focused_view or self.transcript.last_reply()
        if self.pane is None:
            self.notify(_("This chat is about no text. /doc opens one."), timeout=4)
        elif view is not None and view.message.text and not self.pane.is_working:
            await self._put_in(visible_text(view.message.text))

    async def _put_in(self, text: str) -> None:
        """At the cursor; in place of a selection, whose changes are decided about."""
        assert self.pane is not None
        area = self.pane.area
        start, end = area.selected_range
        if start == end:
            area.put_in(text)
            self.go_to_text()
        else:
            await self.review_versions(f"{area.text[:start]}{text.strip()}{area.text[end:]}", _("The reply"))

    async def review_versions(self, other: str, name: str) -> None:
        assert self.pane is not None
        self.go_to_text()
        await self.pane.begin_work(self.session.document.other_version(self.pane.area.text, other, name))


def _whole(kind: Literal["message", "draft"], text: str, words: str) -> Target:
    return Target(kind, text, ((words, 0, len(text)),))
