"""The part of the chat screen that concerns branches: editing questions, beginning replies, copies, comparing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import events, on, work

from localchat.errors import LocalChatError
from localchat.translation import _
from localchat.ui.screens.chat_part import ChatPart
from localchat.ui.turn import ModelSource
from localchat.ui.widgets.chat_list import ChatList

if TYPE_CHECKING:
    from localchat.history.records import StoredMessage
    from localchat.ui.screens.side_by_side import SideBySideScreen


class BranchingPart(ChatPart):
    """What the user does to a conversation beyond going on with it."""

    @property
    def focused_id(self) -> str | None:
        """The message in focus; None means the last one."""
        focused = self.transcript.focused_view
        return focused.message.id if focused is not None else None

    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _show_keys_of_focus(self) -> None:
        on_message, in_list = self.transcript.focused_view is not None, isinstance(self.focused, ChatList)
        self.key_bar.show_focus("message" if on_message else "list" if in_list else "")

    def action_edit_question(self) -> None:
        self._give_composer_a_purpose(self.session.purpose.edit)

    def action_begin_reply(self) -> None:
        self._give_composer_a_purpose(self.session.purpose.begin_reply)

    def _give_composer_a_purpose(self, begin: Callable[[str | None, str], bool]) -> None:
        if self.session.purpose.current is not None:
            self.composer.focus()
            self.notify(_("The composer is taken: Enter sends what it holds, Esc gives it up."), timeout=4)
            return
        self.forget_draft_timer()
        try:
            begun = begin(self.focused_id, self.composer.draft)
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        if begun:
            self.show_composer()
            self.composer.focus()
        else:
            self.notify(_("There is no question in this chat yet."), timeout=3)

    def give_up_purpose(self) -> bool:
        """Back to the draft that was there before; False when the composer is for a new question anyway."""
        if self.session.purpose.current is None:
            return False
        self.forget_draft_timer()
        try:
            self.session.purpose.give_up()
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)
        self.show_composer()
        self.composer.focus()
        return True

    async def action_fork_chat(self) -> None:
        self.save_draft()
        try:
            fork = self.session.branching.fork(self.focused_id)
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        if fork is not None:
            await self.show_chat()
            self.composer.focus()
            self.notify(_("This is a copy: “{title}”.").format(title=self.session.title), timeout=4, markup=False)

    # ---- side by side

    @work
    async def action_compare_replies(self, name: str = "") -> None:
        """Show two versions of a reply; `name` is a model that is to write the second one."""
        try:
            reply = self.session.branching.reply_at(self.focused_id)
            if reply is None:
                self.notify(_("There is no reply in this chat yet."), timeout=3)
            elif (other := await self._other_version(reply, name)) is not None:
                taken = await self._compare(reply, other)
                self.session.branching.choose(taken or reply.id)
                await self.show_branch()
                self.composer.focus()
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)

    async def _other_version(self, reply: StoredMessage, name: str) -> str | None:
        """The version before this one, or one that another model begins to write now."""
        versions = [version.id for version in self.session.branching.versions(reply.id)]
        if len(versions) == 1 or name:
            return await self._ask_other_model(reply, name)
        return versions[versions.index(reply.id) - 1]

    async def _compare(self, reply: StoredMessage, other: str) -> str | None:
        from localchat.ui.screens.side_by_side import SideBySideScreen

        screen = SideBySideScreen(
            self.session,
            reply.id,
            other,
            title_of=self._app.model_title,
            ask_another=lambda: self._compare_another(screen, reply),
            copy=self._app.copy_text,
        )
        return await self.app.push_screen_wait(screen)

    @work
    async def _compare_another(self, screen: SideBySideScreen, reply: StoredMessage) -> None:
        try:
            version = await self._ask_other_model(reply)
            if version is not None:
                await screen.show_version(version)
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)

    async def _ask_other_model(self, reply: StoredMessage, name: str = "") -> str | None:
        """Have a model that the user picks answer the same question; the new version's id, None when there is none."""
        choices = [each for each in self._app.shelf.installed() if each.path is not None and not each.damage]
        choice = next((each for each in choices if each.name == name), None)
        if choice is None:
            others = [each for each in choices if each.name != reply.model]
            if not others:
                self.notify(_("No other model is installed. Ctrl+O fetches one."), timeout=5)
                return None
            from localchat.ui.screens.pick_model import PickModelScreen

            choice = await self.app.push_screen_wait(PickModelScreen(_("Ask another model"), others))
        if choice is None:
            return None
        source = ModelSource(str(choice.path), choice.name, self._app.config.context_length)
        return self.session.branching.ask_model(reply.id, source).id
