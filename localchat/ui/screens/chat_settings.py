"""The part of the chat screen that concerns settings: the program's, this chat's own, presets, models, keys, help."""

from __future__ import annotations

from localchat.ui.screens.chat_part import ChatPart


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

    def action_keys(self) -> None:
        self._app.show_keys()

    def action_help(self) -> None:
        self._app.show_help()
