"""Every setting: in groups, found by a word, checked as it is typed, and kept when it is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import PurePath
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Input, Select, Static

from localchat.config import Config
from localchat.known_settings import SETTINGS, Setting, Value
from localchat.messages import Limits, SamplingOptions
from localchat.paths import config_file
from localchat.translation import LANGUAGES, _, wanted
from localchat.ui.places import short_path
from localchat.ui.reply_language_choice import reply_language_choices
from localchat.ui.screens.dialog import Dialog
from localchat.ui.thinking_choice import thinking_choices
from localchat.ui.widgets.setting_rows import (
    ChoiceRow,
    NumberRow,
    SettingRow,
    SwitchRow,
    TextRow,
    changed_values,
    fold_choices,
    rest,
)


class SettingsScreen(Dialog[dict[str, Value | None]]):
    """Returns what was changed to something allowed, setting by setting; None takes one back to its default.

    Args:
        theme: the one that is on.
        recommended: the sampling options that an empty field leaves to the loaded model.
        models: names of the installed models, with their titles.
        sought: what the search begins with.
    """

    CSS_PATH: ClassVar[list[str | PurePath]] = ["../dialogs.tcss", "../settings.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f3", "close", "Close", id="settings.close", show=False, priority=True),
        Binding("ctrl+f", "search", "Search", id="settings.search", show=False, priority=True),
    ]

    def __init__(
        self,
        config: Config,
        themes: Sequence[str],
        theme: str,
        recommended: Mapping[str, float],
        models: Sequence[tuple[str, str]] = (),
        sought: str = "",
    ) -> None:
        super().__init__()
        self._config = config
        self._recommended = recommended
        self._themes = themes
        self._theme = theme
        self._models = models
        self._sought = sought

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="settings"):
            yield Static(_("Settings"), classes="heading", markup=False)
            yield Input(self._sought, placeholder=_("Search settings"), compact=True, id="sought")
            with VerticalScroll(can_focus=False):
                for group, settings in groupby(SETTINGS.values(), key=lambda setting: setting.group):
                    with Vertical(classes="group"):
                        yield Static(_(group), classes="group-heading", markup=False)
                        for setting in settings:
                            yield self._row(setting)
                elsewhere = _("Keys are changed with /keys, and F5 holds what this chat has of its own.")
                yield Static(elsewhere, classes="explanation", markup=False)
            hint = _("Empty leaves it to the model. Esc closes and keeps what is allowed, in {path}.")
            yield Static(hint.format(path=short_path(config_file())), classes="hint", markup=False)

    def _row(self, setting: Setting) -> SettingRow:
        value = self._value(setting)
        remark = self._remark(setting)
        if isinstance(setting.kind, Limits):
            return NumberRow(setting, value, self._default(setting), remark)
        if setting.kind is bool:
            return SwitchRow(setting, value, remark)
        if setting.key == "system_prompt":
            return TextRow(setting, value, _("None"), remark)
        return ChoiceRow(setting, value, list(self._choices(setting)), remark)

    def _value(self, setting: Setting) -> Value | None:
        if setting.table == "sampling":
            return self._config.sampling.get(setting.key)
        value: Value | None = self._theme if setting.key == "theme" else getattr(self._config, setting.key)
        return value

    def _remark(self, setting: Setting) -> str:
        """Said when the environment goes before the file."""
        if self._config.sources.get(setting.key) != setting.variable:
            return ""
        return _("{variable} in the environment goes before it at every start.").format(variable=setting.variable)

    def _default(self, setting: Setting) -> str:
        if setting.table == "sampling":
            default = self._recommended.get(setting.key, getattr(SamplingOptions(), setting.key))
            return _("random") if default is None else f"{default:g}"
        return _("no limit") if setting.key == "max_tokens" else _("as fits")

    def _choices(self, setting: Setting) -> Iterator[tuple[str, str]]:
        if setting.key == "theme":
            yield from ((name, name) for name in self._themes)
        elif setting.key == "language":
            yield _("The system's ({language})").format(language=LANGUAGES[wanted("")]), ""
            yield from ((name, code) for code, name in LANGUAGES.items())
        elif setting.key == "thinking":
            yield from thinking_choices()
        elif setting.key == "reply_language":
            yield from reply_language_choices()
        else:
            yield _("None") if setting.key == "draft_model" else _("Whichever is here"), ""
            yield from ((title, name) for name, title in self._models)

    @property
    def _rows(self) -> list[SettingRow]:
        return list(self.query(SettingRow))

    def on_mount(self) -> None:
        rest(self._rows)
        self.query_one("#sought", Input).cursor_blink = self.app.animation_level != "none"
        self.query_one(VerticalScroll).call_after_refresh(self.query_one(VerticalScroll).scroll_home, animate=False)

    def action_search(self) -> None:
        self.query_one("#sought", Input).focus()

    @on(Input.Changed, "#sought")
    def _search(self, event: Input.Changed) -> None:
        for row in self._rows:
            row.display = row.matches(event.value)
        for group in self.query(".group"):
            group.display = any(row.display for row in group.query(SettingRow))

    @on(Input.Submitted, "#sought")
    def _go_to_found(self) -> None:
        self.focus_next()

    @on(Select.Changed, "#theme")
    def _theme_chosen(self, event: Select.Changed) -> None:
        """Show it at once; the app keeps whatever theme is on."""
        self.app.theme = str(event.value)

    def action_close(self) -> None:
        if fold_choices(self):
            return
        values, wrong = changed_values(self._rows)
        values.pop("theme", None)
        for label in wrong:
            self.notify(_("{setting} was left as it was.").format(setting=label), severity="warning", markup=False)
        self.dismiss(values)

    def wrong_rows(self) -> list[str]:
        """Keys whose present text is not allowed."""
        return [row.setting.key for row in self._rows if row.has_class("-wrong")]
