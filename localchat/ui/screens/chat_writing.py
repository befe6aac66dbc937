"""The part of the chat screen that concerns the composer: sending, commands, drafts, earlier questions, the editor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from textual import on

from localchat.errors import HistoryUnavailable, InvalidSetting
from localchat.translation import _
from localchat.ui.actions import Action
from localchat.ui.completion import Completion, Offer
from localchat.ui.persona_choice import persona_completions
from localchat.ui.presets import read_presets
from localchat.ui.reply_language_choice import reply_language_completions
from localchat.ui.screens.chat_files import FilesPart
from localchat.ui.slash import COMMANDS, command_offer, file_offer, parse, unknown
from localchat.ui.slash_paths import path_completions
from localchat.ui.thinking_choice import thinking_completions
from localchat.ui.widgets.completions import Completions
from localchat.ui.widgets.composer import Composer

DRAFT_PAUSE_S = 0.3

DEFAULT = "default"
"""As the argument of /system: go back to the prompt in the settings."""


class WritingPart(FilesPart):
    """What the user does with the composer."""

    def on_mount(self) -> None:
        try:
            unsent = self.session.saved.unsent()
            if unsent is not None and self.session.chat_id is None:
                self.session.open_chat(unsent)
                self.show_composer()
                self.show_chats()
        except HistoryUnavailable as error:
            self.complain(error)

    # ---- sending

    @on(Composer.Sent)
    async def _send(self, event: Composer.Sent) -> None:
        self.forget_draft_timer()
        if not event.text.strip():
            if self.file_row.files:
                self.notify(_("Write what is to be done with the file."), timeout=3)
            return
        if self.session.purpose.current is not None:
            await self.fulfil_purpose(event.text)
            return
        if (command := parse(event.text)) is not None:
            await self._run_command(*command)
            return
        if self.is_reading:
            self.notify(_("A file is still being read. Press Enter again when it is there."), timeout=4)
            return
        if not await self.may_send(event.text):
            return
        try:
            question, reply = self.session.send(event.text)
        except HistoryUnavailable as error:
            self.complain(error, _("Not sent"))
            return  # the text stays in the composer
        self.composer.show_draft("")
        self.context_was_sent()
        self.show_files()
        await self.transcript.add(question, reply)
        await self.catch_up()

    # ---- commands

    async def _run_command(self, name: str, argument: str) -> None:
        action = COMMANDS.get(name)
        if action is None:
            self.notify(unknown(name), severity="warning", markup=False)
            return
        if argument and not self._takes_argument(action):
            self.notify(_("/{name} stands alone.").format(name=name), severity="warning", markup=False)
            return
        self.composer.show_draft("")
        self.save_draft()
        outcome = self._method(action)(*([argument] if argument else []))
        if inspect.iscoroutine(outcome):
            await outcome

    def _method(self, action: Action) -> Callable[..., Any]:
        return getattr(self, f"action_{action.name}")  # type: ignore[no-any-return]

    def _takes_argument(self, action: Action) -> bool:
        return bool(inspect.signature(self._method(action)).parameters)

    def _complete(self, before: str) -> Offer | None:
        purpose = self.session.purpose.current
        if purpose is not None and purpose.kind == "begin":
            return None
        if purpose is None and before.startswith("/") and "\n" not in before:
            return command_offer(before, self._argument_choices(), self._takes_argument)
        return file_offer(before)

    def _argument_choices(self) -> Mapping[str, Callable[[str], list[Completion]]]:
        models = self._model_choices
        choices = {"attach": path_completions, "model": models, "compare": models, "system": self._system_choices}
        paths = dict.fromkeys(("export", "import", "doc"), path_completions)
        own = {"preset": self._preset_choices, "persona": persona_completions, "think": thinking_completions}
        own |= {"language": reply_language_completions, "write": self._action_choices}
        return {**choices, **paths, **own, "folder": self._folder_choices}

    def _model_choices(self, typed: str) -> list[Completion]:
        return [
            Completion(model.name, model.name, f"{model.title} · {model.precision}")
            for model in self._app.shelf.installed()
            if typed.lower() in model.name.lower() and not model.damage
        ]

    def _folder_choices(self, typed: str) -> list[Completion]:
        folders = self.session.listing.folders()
        return [Completion(folder, folder, "") for folder in folders if typed.casefold() in folder.casefold()]

    def _preset_choices(self, typed: str) -> list[Completion]:
        try:
            return [Completion(name, name) for name in read_presets() if typed.casefold() in name.casefold()]
        except InvalidSetting:
            return []  # what is wrong with the file is said when the command runs

    def _action_choices(self, typed: str) -> list[Completion]:
        from localchat.ui.writing_choice import action_completions

        return action_completions(typed)

    def _system_choices(self, typed: str) -> list[Completion]:
        return [] if typed else [Completion(DEFAULT, DEFAULT, _("The one in the settings"))]

    @on(Completions.Picked)
    def _picked(self, event: Completions.Picked) -> None:
        self.composer.take(event.completion, acts=True)
        self.composer.focus()

    def action_system_prompt(self, text: str = "") -> None:
        """Tell the model this before the open chat; without a text, write the present one for the user to change."""
        session = self.session
        if not text:
            own = session.chat.system_prompt if session.chat is not None else None
            self.composer.show_draft(f"/system {session.preferences.system_prompt if own is None else own}")
            self.composer.focus()
            return
        try:
            session.set_own(session.own.changed(system_prompt=None if text == DEFAULT else text))
        except HistoryUnavailable as error:
            self.complain(error)
            return
        self.show_chats()
        self.notify(_("The next reply in this chat follows the new system prompt."), timeout=3)

    # ---- the draft

    @on(Composer.Edited)
    def _draft_changed(self) -> None:
        self.forget_draft_timer()
        if self.composer.text.strip():
            self.session.idling.touch()
        self.draft_timer = self.set_timer(DRAFT_PAUSE_S, self.save_draft)

    @on(Composer.RecallWanted)
    def _recall(self) -> None:
        try:
            self.composer.recall(self.session.prompts())
        except HistoryUnavailable as error:
            self.complain(error)

    def action_edit_draft(self) -> None:
        from localchat.ui.editor import edit_outside

        if self.session.is_private:
            self.notify(_("A private chat is not handed to another program."), timeout=4)
            return
        edited = edit_outside(self.app, self.composer.text)
        if edited is not None:
            self.composer.show_draft(edited)
            self.save_draft()
