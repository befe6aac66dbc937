"""One token: its probability, and what else might have stood there."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from localchat.recording import TokenExplained, TokenProbability
from localchat.translation import _
from localchat.ui.figures import duration
from localchat.ui.ink import ACCENT, FAINT, MUTED, PLAIN
from localchat.ui.token_view import TokenView, percent, readable

_HEAD = 3  # rows above the list
_NUMBER = 9  # cells of a column
_WIDEST_NAME = 24
_PARTS = "▏▎▍▌▋▊▉█"
_CURSOR = "$block-cursor-foreground on $block-cursor-background"


class TokenPanel(Widget):
    """Shows a token of a `TokenView`, and one of the choices at its place as chosen."""

    class Pointed(Message):
        """A choice was clicked."""

        def __init__(self, choice: int) -> None:
            super().__init__()
            self.choice = choice

    def __init__(self, view: TokenView, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._view = view
        self._index = 0
        self._choice = 0

    def show(self, index: int, choice: int) -> None:
        self._index, self._choice = index, choice
        self.refresh()

    def render(self) -> Content:
        view, width, height = self._view, self.content_size.width, self.content_size.height
        if not view.tokens or width < 20:
            return Content()
        token, choices = view.tokens[self._index], view.choices(self._index)
        name = min(_WIDEST_NAME, max(cell_len(readable(each.text)) for each in choices), width // 3) + 1
        bar = max(0, width - 4 - name - 2 * _NUMBER)
        names = Content.assemble(" " * (3 + name + bar), *_right(_("drawn"), FAINT), *_right(_("plain"), FAINT))
        lines = [self._title(token), self._facts(token), names]
        first = self._first(height)
        for place in range(first, min(len(choices), first + max(0, height - _HEAD))):
            lines.append(self._line(choices[place], place, token, name, bar))
        return Content("\n").join(lines)

    def _title(self, token: TokenExplained) -> Content:
        place = _("{number} of {count}").format(number=self._index + 1, count=len(self._view))
        name = self._name_of(token)
        gap = max(1, self.content_size.width - cell_len(name) - cell_len(place))
        return Content.assemble((name, f"{PLAIN} bold"), " " * gap, (place, MUTED))

    def _name_of(self, token: TokenExplained) -> str:
        if token.origin == "end":
            return _("The end of the reply")
        name = f"“{readable(token.token.chosen.text)}”"
        shared = self._view.text.sharing(self._index)
        start, end = self._view.text.spans[self._index]
        if len(shared) == 1:
            return name
        whole = readable(self._view.text.text[start:end])
        place = self._index - shared.start + 1
        return _("{name}, part {place} of {count} of “{whole}”").format(
            name=name, place=place, count=len(shared), whole=whole
        )

    def _facts(self, token: TokenExplained) -> Content:
        chosen = token.token.chosen
        facts = [
            _("{percent} drawn").format(percent=percent(chosen.probability)),
            _("{percent} plain").format(percent=percent(chosen.plain_probability)),
            _("entropy {bits} bits").format(bits=f"{token.token.entropy:.1f}"),
        ]
        if token.origin == "given":
            facts.append(_("not by the model"))
        elif token.thinking:
            facts.append(_("thought"))
        if (seconds := self._view.seconds(self._index)) is not None:
            facts.append(duration(seconds) if seconds >= 1 else f"{seconds * 1000:.0f} ms")
        return Content.styled(" · ".join(facts), MUTED)

    def _first(self, height: int) -> int:
        """The choice in the first row of the list."""
        return max(0, self._choice - max(1, height - _HEAD) + 1)

    def _line(self, choice: TokenProbability, place: int, token: TokenExplained, name: int, bar: int) -> Content:
        is_chosen = choice.token == token.token.chosen.token
        share = choice.probability if self._view.measure == "drawn" else choice.plain_probability
        filled = _bar(share, bar)
        line = Content.assemble(
            (" ● " if is_chosen else "   ", ACCENT),
            (set_cell_size(readable(choice.text), name), PLAIN if is_chosen else MUTED),
            (filled, ACCENT),
            " " * (bar - len(filled)),
            *_right(percent(choice.probability), PLAIN if is_chosen else MUTED),
            *_right(percent(choice.plain_probability), FAINT),
            " ",
        )
        return line.stylize(_CURSOR) if place == self._choice else line

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place is None or not self._view.tokens:
            return
        choice = place.y - _HEAD + self._first(self.content_size.height)
        if place.y >= _HEAD and choice < len(self._view.choices(self._index)):
            self.post_message(self.Pointed(choice))


def _right(text: str, style: str) -> tuple[str, tuple[str, str]]:
    """At the right end of a column of numbers."""
    return " " * (_NUMBER - cell_len(text)), (text, style)


def _bar(share: float, cells: int) -> str:
    """A bar of at most so many cells, to the eighth of a cell."""
    eighths = round(min(max(share, 0.0), 1.0) * cells * 8)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_PARTS[rest - 1] if rest else "")
