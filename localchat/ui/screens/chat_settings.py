"""The part of the chat screen that concerns settings: the program's, this chat's own, presets, models, keys, help."""

from __future__ import annotations

from localchat.errors import LocalChatError
from localchat.translation import _
from localchat.ui.reply_language_choice import choose_reply_language
from localchat.ui.screens.chat_part import ChatPart
from localchat.ui.thinking_choice import choose_thinking


class SettingsPart(ChatPart):
    """What the user does with settings. Arguments come from slash commands."""

    def action_choose_model(self, name: str = "") -> None:
        self._app.choose_model(name)

    def action_settings(self, sought: str = "") -> None:
        self._app.show_settings(sought)

    def action_own_settings(self) -> None:
        self._app.show_own_settings()

    def action_preset(self, name: str = "") -> None:
        if name:
            self._app.apply_preset(name)
        else:
            self._app.show_own_settings()

    def action_persona(self, name: str = "") -> None:
        if name:
            self._app.apply_persona(name)
        else:
            self._app.show_personas()

    def action_think(self, choice: str = "") -> None:
        """Let the model of this chat think before it answers, or not; without a choice, show the chat's settings."""
        if not choice:
            self._app.show_own_settings()
            return
        try:
            said = choose_thinking(self.session, choice)
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.show_chats()
        self.notify(said, timeout=5, markup=False)

    def action_reply_language(self, choice: str = "") -> None:
        """Hold the replies of this chat to a language, or not; without a choice, show the chat's settings."""
        if not choice:
            self._app.show_own_settings()
            return
        try:
            said = choose_reply_language(self.session, choice)
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.show_chats()
        self.notify(said, timeout=5, markup=False)

    def action_unload(self) -> None:
        """Let the model give its memory back until something is written."""
        if self.session.idling.unload():
            said = _("The model is unloaded. It comes back when you write.")
        elif self.session.is_answering:
            said = _("The model is at work. Esc stops it.")
        else:
            said = _("No model is loaded.")
        self.notify(said, timeout=5)

    def action_keys(self) -> None:
        self._app.show_keys()

    def action_help(self) -> None:
        self._app.show_help()
