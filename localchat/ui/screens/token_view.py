"""A reply token by token: how sure the model was, what else it might have said, and a branch from there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content

from localchat.errors import LocalChatError
from localchat.events import Event, PromptProgress
from localchat.recording import Recording, TokenExplained
from localchat.translation import _, plural
from localchat.ui.ink import ACCENT, FAINT, MUTED
from localchat.ui.screens.dialog import ClosesOnce
from localchat.ui.token_colors import STEPS, Ramp
from localchat.ui.token_view import MEASURES, TokenView
from localchat.ui.widgets.split_line import SplitLine
from localchat.ui.widgets.status_line import meter
from localchat.ui.widgets.token_page import TokenPage
from localchat.ui.widgets.token_panel import TokenPanel
from localchat.ui.widgets.token_plots import TokenPlots

WIDE, TALL, MIDDLE = 110, 40, 28
"""Columns from which the panel stands beside the text, and rows from which there is more room for the plots."""

SHOW_S = 0.2
"""How often what came is shown: laying out a long reply takes a while."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Another token is wanted at a place of the reply; see `TokenExplained` for part and before."""

    part: int
    before: int
    token: int


class TokenViewScreen(ClosesOnce[Branch | None]):
    """Returns the branch that the user wants; None when they only looked.

    Args:
        title: of the model that wrote the reply.
        explain: tells of its tokens; leaving the screen ends it.
        export: takes them along, as JSON.
    """

    CSS_PATH = "../tokens.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(-1)", "Token before", id="tokens.before", show=False),
        Binding("right,l", "move(1)", "Next token", id="tokens.after", show=False),
        Binding("up,k", "point(-1)", "Choice above", id="tokens.choice_above", show=False),
        Binding("down,j", "point(1)", "Choice below", id="tokens.choice_below", show=False),
        Binding("n", "next_unsure(1)", "Next unsure token", id="tokens.unsure", show=False),
        Binding("N", "next_unsure(-1)", "Unsure token before", id="tokens.unsure_before", show=False),
        Binding("home", "go_to(0)", "First token", id="tokens.first", show=False),
        Binding("end", "go_to(-1)", "Last token", id="tokens.last", show=False),
        Binding("pageup", "page(-1)", "A page up", id="tokens.page_up", show=False),
        Binding("pagedown", "page(1)", "A page down", id="tokens.page_down", show=False),
        Binding("c", "measure", "What the colours mean", id="tokens.measure", show=False),
        Binding("e", "export", "Export as JSON", id="tokens.export", show=False),
        Binding("enter", "branch", "Go on from this choice", id="tokens.branch", show=False),
        Binding("escape,q", "dismiss(None)", "Back", id="tokens.leave", show=False),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (MIDDLE, "-middle"), (TALL, "-tall")]  # noqa: RUF012
    AUTO_FOCUS = "TokenPage"

    def __init__(
        self,
        title: str,
        recording: Recording,
        explain: Callable[[], AsyncGenerator[Event]],
        export: Callable[[str], object],
    ) -> None:
        super().__init__()
        self._title = title
        self._explain = explain
        self._export = export
        self._tokens = TokenView(recording)
        self._index = 0
        self._choice = 0
        self._progress: float | None = 0.0
        self._waiting: list[TokenExplained] = []

    def compose(self) -> ComposeResult:
        with Vertical(id="token-view"):
            yield SplitLine(id="token-title")
            yield SplitLine(id="token-legend")
            with Container(id="token-desk"):
                yield TokenPage(self._tokens)
                yield TokenPanel(self._tokens)
            yield TokenPlots(self._tokens)
            yield SplitLine(id="token-keys")

    def on_resize(self) -> None:
        self._show_keys()

    def on_mount(self) -> None:
        self._show_head()
        self._read()

    # ---- what is told

    @work
    async def _read(self) -> None:
        showing = self.set_interval(SHOW_S, self._show_waiting)
        try:
            async with aclosing(self._explain()) as events:
                async for event in events:
                    if isinstance(event, TokenExplained):
                        self._waiting.append(event)
                    elif isinstance(event, PromptProgress):
                        self._progress = event.done / event.total if event.total else None
        except LocalChatError as error:
            self.notify(str(error), severity="warning", timeout=10, markup=False)
            if not self._tokens.tokens and not self._waiting:
                self.dismiss(None)
                return
        showing.stop()
        self._progress = None
        self._show_waiting()

    def _show_waiting(self) -> None:
        first = not self._tokens.tokens
        if self._waiting:
            self._tokens.add(self._waiting)
            self._waiting = []
            self._page.show()
            self._go_to(0 if first else self._index, keep_choice=not first)
        self._show_head()

    # ---- showing

    @property
    def _page(self) -> TokenPage:
        return self.query_one(TokenPage)

    def _show_head(self) -> None:
        written = [token for token in self._tokens.tokens if token.origin == "written"]
        facts = [self._title, _token_count(self._tokens.recording.tokens)]
        if written:
            entropy = sum(token.token.entropy for token in written) / len(written)
            facts.append(_("{bits} bits of entropy a token").format(bits=f"{entropy:.2f}"))
        left = Content(" · ").join([Content.styled(facts[0], "bold"), *(Content.styled(f, MUTED) for f in facts[1:])])
        right = Content()
        if self._progress is not None:
            reading = _("Reading the reply again")
            right = Content.assemble((reading, MUTED), " ", meter(self._progress), (f" {self._progress:.0%}", MUTED))
        self.query_one("#token-title", SplitLine).show(left, right)
        self.query_one("#token-legend", SplitLine).show(self._legend(), Content())

    def _legend(self) -> Content:
        styles = Ramp.of(self.app.theme_variables).styles
        steps = [Content.styled("  ", styles[step]) for step in range(1, STEPS + 1)]
        meaning = _("Colour: {measure}").format(measure=_(MEASURES[self._tokens.measure]))
        ends = (_("sure"), _("unsure, underlined"))
        return Content.assemble((f"{meaning}   ", MUTED), (f"{ends[0]} ", FAINT), *steps, (f" {ends[1]}", FAINT))

    def _show_keys(self) -> None:
        keys = (
            ("← →", _("Token")),
            ("n", _("Unsure")),
            ("↑ ↓", _("Choice")),
            ("enter", _("Go on")),
            ("c", _("Colours")),
            ("e", _("Export")),
        )
        shown = [Content.assemble((key, ACCENT), " ", (label, MUTED)) for key, label in keys]
        last = Content.assemble(("esc", ACCENT), " ", (_("Back"), MUTED))
        gap = "   " if self.size.width >= 90 else "  "
        self.query_one("#token-keys", SplitLine).show(Content(gap).join(shown), last)

    def _go_to(self, index: int, *, keep_choice: bool = False) -> None:
        """Put the focus on this token, and point at what stands there."""
        if not self._tokens.tokens:
            return
        self._index = index = min(max(index, 0), len(self._tokens) - 1)
        if not keep_choice:
            standing = self._tokens.tokens[index].token.chosen.token
            choices = [choice.token for choice in self._tokens.choices(index)]
            self._choice = choices.index(standing)
        self._page.focus_token(index)
        self._show_token()

    def _show_token(self) -> None:
        self.query_one(TokenPanel).show(self._index, self._choice)
        self.query_one(TokenPlots).show(self._index)

    # ---- what the user asks

    def action_move(self, step: int) -> None:
        self._go_to(self._index + step)

    def action_go_to(self, index: int) -> None:
        self._go_to(index if index >= 0 else len(self._tokens) - 1)

    def action_page(self, direction: int) -> None:
        if self._tokens.tokens:
            rows = max(1, self._page.page_rows - 2)
            self._go_to(self._page.token_rows_away(self._index, direction * rows))

    def action_next_unsure(self, step: int) -> None:
        found = self._tokens.next_unsure(self._index, step)
        if found is not None:
            self._go_to(found)
        elif self._tokens.tokens:
            self.notify(_("No token that the model was unsure of lies there."), timeout=2)

    def action_point(self, step: int) -> None:
        if self._tokens.tokens:
            most = len(self._tokens.choices(self._index)) - 1
            self._choice = min(max(self._choice + step, 0), most)
            self._show_token()

    def action_measure(self) -> None:
        names = list(MEASURES)
        self._tokens.measure = names[(names.index(self._tokens.measure) + 1) % len(names)]
        self._page.show()
        self._show_token()
        self._show_head()

    def action_export(self) -> None:
        if self._progress is None:
            self._export(self._tokens.as_json())
        else:
            self.notify(_("The reply is still being read."), timeout=2)

    def action_branch(self) -> None:
        if self._tokens.tokens:
            token = self._tokens.tokens[self._index]
            choice = self._tokens.choices(self._index)[self._choice]
            self.dismiss(Branch(token.part, token.before, choice.token))

    @on(TokenPage.Chosen)
    @on(TokenPlots.Chosen)
    def _chosen(self, event: TokenPage.Chosen | TokenPlots.Chosen) -> None:
        self._go_to(event.index)

    @on(TokenPanel.Pointed)
    def _pointed(self, event: TokenPanel.Pointed) -> None:
        self._choice = event.choice
        self._show_token()


def _token_count(count: int) -> str:
    return plural("{count} token", "{count} tokens", count).format(count=count)
