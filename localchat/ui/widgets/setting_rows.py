"""Settings as rows: a name, a field that fits what it holds, and a line that explains it or says what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Checkbox, Input, Select, Static, TextArea

from localchat.known_settings import Setting, Value
from localchat.messages import Limits
from localchat.translation import _
from localchat.ui.visible_text import one_line, visible_text


class SettingRow(Vertical):
    """One setting.

    Args:
        remark: added to its explanation, such as where it is overridden.
    """

    def __init__(self, setting: Setting, value: Value | None, remark: str = "") -> None:
        super().__init__(id=f"row-{setting.key}", classes="setting")
        self.setting = setting
        self.before = None if value == "" else value
        self._remark = remark

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Static(_(self.setting.label), classes="label", markup=False)
            yield self.field()
        yield Static(self._explanation(), classes="explanation", markup=False)

    def _explanation(self) -> str:
        return " ".join(part for part in (_(self.setting.comment), self._remark) if part)

    def field(self) -> Widget:
        """The widget that holds the value; its id is the setting's key."""
        raise NotImplementedError

    def value(self) -> Value | None:
        """What the field holds; None for nothing.

        Raises:
            ValueError: it is not allowed; the text of the error says what is.
        """
        raise NotImplementedError

    def check(self) -> bool:
        """Show whether what the field holds is allowed."""
        explanation = self.query_one(".explanation", Static)
        try:
            self.value()
        except ValueError as error:
            self.add_class("-wrong")
            explanation.update(f"! {error}")
            return False
        self.remove_class("-wrong")
        explanation.update(self._explanation())
        return True

    def matches(self, wanted: str) -> bool:
        """Whether someone who looks for this means it."""
        words = f"{self.setting.key} {_(self.setting.label)} {_(self.setting.comment)} {self.setting.label}".casefold()
        return all(word in words for word in wanted.casefold().split())


class NumberRow(SettingRow):
    """A number within limits; empty leaves it to `default`, which is shown."""

    def __init__(self, setting: Setting, value: Value | None, default: str, remark: str = "") -> None:
        super().__init__(setting, value, remark)
        self._default = default

    def field(self) -> Widget:
        text = "" if self.before is None else f"{self.before:g}" if isinstance(self.before, float) else str(self.before)
        return Input(text, placeholder=self._default, compact=True, id=self.setting.key)

    def value(self) -> Value | None:
        text = self.query_one(Input).value.strip()
        if not text:
            return None
        limits = self.setting.kind
        assert isinstance(limits, Limits)
        for kind in (int, float):
            try:
                number = kind(text)
            except ValueError:
                continue
            if limits.allows(number):
                return number
        raise ValueError(_("Must be {limits}.").format(limits=limits))

    @on(Input.Changed)
    def _typed(self) -> None:
        self.check()


class Switch(Checkbox):
    """A sign and a word for on and off: Textual's own sign differs only by its colour."""

    BUTTON_LEFT = ""
    BUTTON_RIGHT = ""

    def __init__(self, value: bool, *, id: str) -> None:
        super().__init__("", value, compact=True, id=id)
        self._show_value(value)

    def _show_value(self, value: bool) -> None:
        self.BUTTON_INNER = "● " if value else "○ "
        self.label = _("Yes") if value else _("No")

    def watch_value(self) -> None:
        self._show_value(self.value)
        super().watch_value()


class SwitchRow(SettingRow):
    """Yes or no."""

    def field(self) -> Widget:
        return Switch(bool(self.before), id=f"{self.setting.key}-switch")

    def value(self) -> Value | None:
        return self.query_one(Checkbox).value


class ChoiceRow(SettingRow):
    """One of several; the first of `choices` may be (words, ""), which stands for nothing chosen."""

    def __init__(
        self, setting: Setting, value: Value | None, choices: Sequence[tuple[str, str]], remark: str = ""
    ) -> None:
        super().__init__(setting, value, remark)
        self._choices = [(one_line(words), name) for words, name in choices]
        if isinstance(self.before, str) and self.before not in (name for _words, name in choices):
            self._choices.append((one_line(self.before), self.before))  # a path, or what was removed since

    def field(self) -> Widget:
        present = str(self.before or self._choices[0][1])
        return Select(self._choices, value=present, allow_blank=False, compact=True, id=self.setting.key)

    def value(self) -> Value | None:
        select: Select[str] = self.query_one(Select)
        return self.before if select.is_blank() else str(select.value) or None  # blank until it is laid out


class TextRow(SettingRow):
    """A text of several lines."""

    def __init__(self, setting: Setting, value: Value | None, placeholder: str, remark: str = "") -> None:
        super().__init__(setting, value, remark)
        self._placeholder = placeholder

    def compose(self) -> ComposeResult:
        yield Static(_(self.setting.label), classes="label", markup=False)
        yield self.field()
        yield Static(self._explanation(), classes="explanation", markup=False)

    def field(self) -> Widget:
        return TextArea(
            visible_text(str(self.before or "")),
            id=self.setting.key,
            compact=True,
            highlight_cursor_line=False,
            tab_behavior="focus",
            placeholder=self._placeholder,
        )

    def value(self) -> Value | None:
        return self.query_one(TextArea).text.strip() or None


def changed_values(rows: Sequence[SettingRow]) -> tuple[dict[str, Value | None], list[str]]:
    """What is different now, by key, and the labels of rows that hold something that is not allowed."""
    values: dict[str, Value | None] = {}
    wrong: list[str] = []
    for row in rows:
        try:
            new = row.value()
        except ValueError:
            wrong.append(_(row.setting.label))
            continue
        if new != row.before:
            values[row.setting.key] = new
    return values, wrong


def fold_choices(screen: Screen[Any]) -> bool:
    """Fold the list of choices that is open; False when none is."""
    unfolded = [select for select in screen.query(Select) if select.expanded]
    for select in unfolded:
        select.expanded = False
    return bool(unfolded)


def rest(rows: Sequence[SettingRow]) -> None:
    """Let the cursors of the fields be still where animations are not wanted."""
    for row in rows:
        for field in (*row.query(Input), *row.query(TextArea)):
            field.cursor_blink = row.app.animation_level != "none"
