"""What this chat has of its own instead of the settings; kept with it, and as a preset for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Input, Select, Static

from localchat.config import Config
from localchat.errors import LocalChatError
from localchat.events import ModelInfo
from localchat.known_settings import SETTINGS, Value
from localchat.messages import SamplingOptions, sampling_keys
from localchat.translation import _, mark
from localchat.ui.own_settings import OwnSettings
from localchat.ui.presets import forget_preset, save_preset
from localchat.ui.reply_language_choice import own_reply_language_choices
from localchat.ui.screens.dialog import Dialog
from localchat.ui.thinking_choice import thinking_choices
from localchat.ui.visible_text import one_line
from localchat.ui.widgets.setting_rows import (
    ChoiceRow,
    NumberRow,
    SettingRow,
    TextRow,
    changed_values,
    fold_choices,
    rest,
)

_HERE = {
    "model": replace(SETTINGS["model"], comment=mark("Answers in this chat only.")),
    "system_prompt": replace(SETTINGS["system_prompt"], comment=mark("Told to the model before this chat.")),
    "context_length": replace(SETTINGS["context_length"], comment=mark("Tokens of this chat kept in view.")),
    "thinking": replace(SETTINGS["thinking"], comment=mark("Whether the model thinks before it answers.")),
    "reply_language": replace(SETTINGS["reply_language"], comment=mark("Replies keep to it; code and names are free.")),
}
"""Settings that mean something narrower here."""


class OwnSettingsScreen(Dialog[OwnSettings | None]):
    """Returns what the chat is to have.

    Args:
        models: names of the installed models, with their titles.
        recommended: the sampling options that an empty field leaves in force.
        usual_model: title of the model that answers in chats without one of their own.
        model: the one that is loaded.
    """

    CSS_PATH: ClassVar[list[str | PurePath]] = ["../dialogs.tcss", "../settings.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f5", "close", "Close", id="own.close", show=False, priority=True),
        Binding("ctrl+s", "save_preset", "Save as a preset", id="own.save", show=False, priority=True),
        Binding("ctrl+d", "forget_preset", "Delete the preset", id="own.forget", show=False, priority=True),
    ]

    def __init__(
        self,
        own: OwnSettings,
        config: Config,
        models: Sequence[tuple[str, str]],
        presets: Mapping[str, OwnSettings],
        recommended: Mapping[str, float],
        usual_model: str = "",
        model: ModelInfo | None = None,
    ) -> None:
        super().__init__()
        self._own = own
        self._config = config
        self._models = models
        self._presets = dict(presets)
        self._recommended = recommended
        self._usual_model = usual_model
        self._loaded = model

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="own"):
            yield Static(_("This chat"), classes="heading", markup=False)
            with Horizontal(id="preset-row", classes="setting"):
                yield Static(_("Preset"), classes="label", markup=False)
                yield Select(
                    self._preset_choices(), value=self._present_preset(), allow_blank=False, compact=True, id="preset"
                )
            with VerticalScroll(can_focus=False):
                yield from self._rows_for(self._own)
            yield Input(placeholder=_("Name of the preset"), compact=True, id="preset-name")
            hint = _("Empty leaves it to the settings. Esc keeps it for this chat, Ctrl+S saves it as a preset.")
            yield Static(hint, classes="hint", markup=False)

    def _preset_choices(self) -> list[tuple[str, str]]:
        return [(_("None"), ""), *((one_line(name), name) for name in self._presets)]

    def _present_preset(self) -> str:
        return self._own.preset if self._own.preset in self._presets else ""

    def _rows_for(self, own: OwnSettings) -> list[SettingRow]:
        values = own.values()
        usual = one_line(self._config.system_prompt) or _("None")
        model = _("The usual one ({model})").format(model=self._usual_model or _("none yet"))
        context = str(self._config.context_length or _("as fits"))
        rows: list[SettingRow] = [
            ChoiceRow(_HERE["model"], values.get("model"), [(model, ""), *((t, name) for name, t in self._models)]),
            TextRow(_HERE["system_prompt"], values.get("system_prompt"), usual),
            NumberRow(_HERE["context_length"], values.get("context_length"), context),
            self._thinking_row(values.get("thinking")),
            ChoiceRow(
                _HERE["reply_language"],
                values.get("reply_language"),
                own_reply_language_choices(self._config.reply_language),
            ),
        ]
        for key in sampling_keys():
            default = self._recommended.get(key, getattr(SamplingOptions(), key))
            words = _("random") if default is None else f"{default:g}"
            rows.append(NumberRow(SETTINGS[key], values.get(key), words))
        return rows

    def _thinking_row(self, value: Value | None) -> SettingRow:
        usual = dict((code, words) for words, code in thinking_choices())[self._config.thinking]
        choices = [(_("As in the settings: {value}").format(value=usual), ""), *thinking_choices()[1:]]
        cannot = self._loaded is not None and not self._loaded.thinking_switch
        remark = _("The model that is loaded cannot be told.") if cannot else ""
        return ChoiceRow(_HERE["thinking"], value, choices, remark)

    @property
    def _rows(self) -> list[SettingRow]:
        return list(self.query(SettingRow))

    def on_mount(self) -> None:
        rest(self._rows)
        self.query_one("#preset-name", Input).display = False
        self.query_one("#preset", Select).focus()

    @on(Select.Changed, "#preset")
    async def _take_preset(self, event: Select.Changed) -> None:
        name = str(event.value)
        if name != self._own.preset:
            self._own = self._presets.get(name, OwnSettings())
            await self._show(self._own)

    async def _show(self, own: OwnSettings) -> None:
        scroll = self.query_one(VerticalScroll)
        async with self.batch():
            await scroll.remove_children()
            await scroll.mount_all(self._rows_for(own))
        rest(self._rows)

    def _present(self) -> OwnSettings:
        """What the rows hold; a row that holds something not allowed stays as it was."""
        changes, wrong = changed_values(self._rows)
        for label in wrong:
            self.notify(_("{setting} was left as it was.").format(setting=label), severity="warning", markup=False)
        return self._own.changed(**changes) if changes else self._own

    def action_close(self) -> None:
        name = self.query_one("#preset-name", Input)
        if name.display:
            name.display = False
            self.query_one("#preset", Select).focus()
        elif not fold_choices(self):
            self.dismiss(self._present())

    def action_save_preset(self) -> None:
        """Ask for the name under which this is kept."""
        name = self.query_one("#preset-name", Input)
        name.value = self._own.preset
        name.display = True
        name.focus()

    @on(Input.Submitted, "#preset-name")
    def _named(self, event: Input.Submitted) -> None:
        name = one_line(event.value)
        if not name:
            return
        present = self._present()
        if self._on_disk(lambda: save_preset(name, present)):
            self._own = self._presets[name] = OwnSettings.from_values(present.values(), name)
            self.notify(_("The preset “{name}” was saved.").format(name=name), markup=False)
            self._show_presets()
        event.input.display = False

    def action_forget_preset(self) -> None:
        """Delete the preset that is chosen; this chat keeps what it had."""
        name = self._own.preset
        if name in self._presets and self._on_disk(lambda: forget_preset(name)):
            del self._presets[name]
            self._own = OwnSettings.from_values(self._own.values())
            self.notify(_("The preset “{name}” was deleted.").format(name=name), markup=False)
            self._show_presets()

    def _show_presets(self) -> None:
        select = self.query_one("#preset", Select)
        with self.prevent(Select.Changed):
            select.set_options(self._preset_choices())
            select.value = self._present_preset()
        select.focus()

    def _on_disk(self, write: Any) -> bool:
        try:
            write()
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)
            return False
        return True
