"""What the model would see if the message were sent now, part by part, with the tokens that each costs."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from localchat.errors import LocalChatError
from localchat.translation import _, mark, plural
from localchat.ui.context_rows import NAMES, LedgerRow, LedgerView
from localchat.ui.ink import ACCENT, FAINT, MUTED, PLAIN, WARNING
from localchat.ui.screens.dialog import Dialog
from localchat.ui.visible_text import one_line
from localchat.ui.widgets.context_bar import ContextBar
from localchat.ui.widgets.message_marks import PIN

if TYPE_CHECKING:
    from localchat.ui.session import ChatSession

_POLICIES = {
    "oldest": mark("When it is full, the oldest messages go first."),
    "summary": mark("When it is full, the oldest messages go, and a summary stands for them."),
    "stop": mark("When it is full, nothing more is sent."),
}
NAME_CELLS = 13


class ContextScreen(Dialog[str | None]):
    """Returns the message that the user wants to go to.

    Args:
        draft: what stands in the composer.
    """

    CSS_PATH: ClassVar[list[str | PurePath]] = ["../dialogs.tcss", "../ledger.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Close", id="context.close", show=False),
        Binding("p", "pin", "Pin or unpin", id="context.pin", show=False),
    ]

    def __init__(self, session: ChatSession, draft: str, view: LedgerView) -> None:
        super().__init__()
        self._session = session
        self._draft = draft
        self._view = view

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="ledger"):
            yield Static(classes="heading", id="ledger-total", markup=False)
            yield ContextBar(self._view, id="ledger-bar")
            yield OptionList(markup=False, compact=True)
            yield Static(id="ledger-policy", markup=False)
            yield Static(_("Enter goes there · p pins · Esc closes"), classes="hint", markup=False)

    def on_mount(self) -> None:
        self._show()
        rows = self.query_one(OptionList)
        gone = (index for index, row in enumerate(self._view.rows) if row.gone)
        rows.highlighted = next(gone, len(self._view.rows) - 2)
        rows.focus()

    @on(events.Resize)
    def _resized(self) -> None:
        self.call_after_refresh(self._show)

    def _show(self) -> None:
        ledger = self._view.ledger
        heading = _("What the model sees: {tokens} of {total} tokens").format(
            tokens=f"{ledger.prompt_tokens:,}", total=f"{ledger.context_length:,}"
        )
        self.query_one("#ledger-total", Static).update(heading)
        self.query_one(ContextBar).show_view(self._view)
        rows = self.query_one(OptionList)
        at, width = rows.highlighted, rows.scrollable_content_region.width - 2
        rows.clear_options()
        rows.add_options(Option(self._line(row, width), id=str(index)) for index, row in enumerate(self._view.rows))
        rows.highlighted = at
        self.query_one("#ledger-policy", Static).update(self._policy())

    @staticmethod
    def _line(row: LedgerRow, width: int) -> Content:
        """Sign, name, first words, and the tokens at the right end."""
        tokens = Content(f"{row.tokens:,}")
        sign = "×" if row.gone else PIN if row.pinned else " "
        style = FAINT if row.gone else PLAIN
        name = Content(_(NAMES[row.kind]))
        name = name.pad_right(NAME_CELLS - name.cell_length) if name.cell_length < NAME_CELLS else name
        left = Content.assemble(
            (f"{sign} ", WARNING if row.gone else ACCENT),
            name.stylize(style),
            " ",
            Content.styled(row.text, FAINT if row.gone else MUTED),
        )
        room = max(8, width - tokens.cell_length - 2)
        if left.cell_length > room:
            left = left.truncate(room, ellipsis=True)
        gap = " " * max(1, width - left.cell_length - tokens.cell_length)
        return Content.assemble(left, gap, tokens.stylize(style))

    def _policy(self) -> Content:
        ledger, gone = self._view.ledger, self._view.gone
        if ledger.refusal:
            return Content.styled(f"! {one_line(ledger.refusal)}", WARNING)
        words = _(_POLICIES[self._session.preferences.overflow])
        if not gone:
            return Content.styled(words, MUTED)
        said = plural("{count} message is left out (×).", "{count} messages are left out (×).", len(gone))
        parts = [said.format(count=len(gone))]
        if ledger.summarised:
            parts.append(_("A summary stands for {count} of them.").format(count=ledger.summarised))
        return Content.assemble((" ".join(parts), WARNING), " ", (words, MUTED))

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        message_id = self._view.rows[event.option_index].message_id
        if message_id is not None:
            self.dismiss(message_id)

    @work(group="pin")
    async def action_pin(self) -> None:
        """Pin the message in the line, or unpin it, and count anew."""
        at = self.query_one(OptionList).highlighted
        message_id = self._view.rows[at].message_id if at is not None else None
        if message_id is None:
            return
        try:
            self._session.context.toggle_pin(message_id)
            view = await self._session.context.ledger(self._draft)
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        if view is not None:
            self._view = view
            self._show()
