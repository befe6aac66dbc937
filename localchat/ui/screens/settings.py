"""How replies are written and how the app looks; every value is checked as it is typed and kept when it is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Select, Static, TextArea

from localchat.config import SETTINGS, Config, Setting, Value
from localchat.messages import Limits, SamplingOptions, sampling_keys
from localchat.ui.visible_text import visible_text

NUMBERS = (*sampling_keys(), "max_tokens")
LABELS = {
    "temperature": "Temperature",
    "top_k": "Top k",
    "top_p": "Top p",
    "min_p": "Min p",
    "repetition_penalty": "Repetition penalty",
    "frequency_penalty": "Frequency penalty",
    "presence_penalty": "Presence penalty",
    "seed": "Seed",
    "max_tokens": "Longest reply",
}


@dataclass(frozen=True, slots=True)
class Changes:
    """What the user changed: setting by setting; None takes a setting back to its default."""

    values: dict[str, Value | None]


def parse_number(setting: Setting, text: str) -> Value | None:
    """The value that `text` stands for; None for nothing.

    Raises:
        ValueError: it is not allowed; the text of the error says what is.
    """
    if not text.strip():
        return None
    limits = setting.kind
    assert isinstance(limits, Limits)
    for kind in (int, float):
        try:
            value = kind(text.strip())
        except ValueError:
            continue
        if limits.allows(value):
            return value
    raise ValueError(f"Must be {limits}.")


class NumberRow(Vertical):
    """One number: its name, its value, and one line that explains it or says what is allowed."""

    def __init__(self, setting: Setting, value: float | None, default: float | None) -> None:
        super().__init__(id=f"row-{setting.key}")
        self.setting = setting
        self._default = default
        self._value = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)

    def compose(self) -> ComposeResult:
        nothing = "random" if self.setting.key == "seed" else "no limit"
        placeholder = nothing if self._default is None else f"{self._default:g}"
        with Horizontal():
            yield Static(LABELS[self.setting.key], classes="label", markup=False)
            yield Input(self._value, placeholder=placeholder, compact=True, id=self.setting.key)
        yield Static(self.setting.comment, classes="explanation", markup=False)

    def check(self, text: str) -> bool:
        """Show whether `text` is allowed."""
        explanation = self.query_one(".explanation", Static)
        try:
            parse_number(self.setting, text)
        except ValueError as error:
            self.add_class("-wrong")
            explanation.update(f"! {error}")
            return False
        self.remove_class("-wrong")
        explanation.update(self.setting.comment)
        return True


class SettingsScreen(ModalScreen[Changes]):
    """Returns what was changed to something allowed.

    Args:
        recommended: the sampling options that an empty field leaves to the loaded model.
    """

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f3", "close", "Close", id="settings.close", show=False, priority=True)
    ]

    def __init__(self, config: Config, themes: list[str], theme: str, recommended: Mapping[str, float]) -> None:
        super().__init__()
        self._config = config
        self._recommended = recommended
        self._themes = themes
        self._theme = theme

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="settings"):
            yield Static("Settings", classes="heading", markup=False)
            with VerticalScroll(can_focus=False):
                yield Static("System prompt", classes="label", markup=False)
                prompt = TextArea(
                    visible_text(self._config.system_prompt),
                    id="system_prompt",
                    compact=True,
                    highlight_cursor_line=False,
                    placeholder="Told to the model before every conversation",
                )
                yield prompt
                for key in NUMBERS:
                    value = self._config.max_tokens if key == "max_tokens" else self._config.sampling.get(key)
                    default = self._recommended.get(key, getattr(SamplingOptions(), key, None))
                    yield NumberRow(SETTINGS[key], value, default)
                with Horizontal(id="theme-row"):
                    yield Static("Theme", classes="label", markup=False)
                    yield Select(
                        [(name, name) for name in self._themes],
                        value=self._theme,
                        allow_blank=False,
                        compact=True,
                        id="theme",
                    )
            yield Static(
                "Empty leaves it to the model. Esc closes and keeps what is allowed.",
                classes="hint",
                markup=False,
            )

    def on_mount(self) -> None:
        self.query_one("#system_prompt", TextArea).cursor_blink = self.app.animation_level != "none"
        for field in self.query(Input):
            field.cursor_blink = self.app.animation_level != "none"
        self.query_one(VerticalScroll).call_after_refresh(self.query_one(VerticalScroll).scroll_home, animate=False)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        row = self.query_one(f"#row-{event.input.id}", NumberRow)
        row.check(event.value)

    @on(Select.Changed, "#theme")
    def _theme_chosen(self, event: Select.Changed) -> None:
        """Show it at once; the app keeps whatever theme is on."""
        self.app.theme = str(event.value)

    def action_close(self) -> None:
        values: dict[str, Value | None] = {}
        for row in self.query(NumberRow):
            key = row.setting.key
            old = self._config.max_tokens if key == "max_tokens" else self._config.sampling.get(key)
            try:
                new = parse_number(row.setting, row.query_one(Input).value)
            except ValueError:
                self.notify(f"{LABELS[key]} was left as it was.", severity="warning", markup=False)
                continue
            if new != old:
                values[key] = new
        prompt = self.query_one("#system_prompt", TextArea).text.strip()
        if prompt != self._config.system_prompt.strip():
            values["system_prompt"] = prompt or None
        self.dismiss(Changes(values))

    def wrong_rows(self) -> list[str]:
        """Keys whose present text is not allowed."""
        return [row.setting.key for row in self.query(NumberRow) if row.has_class("-wrong")]
