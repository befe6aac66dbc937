"""The context as one bar: what is always there, the conversation, the message being written, and what is free."""

from __future__ import annotations

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from localchat.translation import _
from localchat.ui.context_rows import LedgerView, borders
from localchat.ui.figures import short_count
from localchat.ui.ink import ACCENT, FAINT, MUTED, WARNING


class ContextBar(Widget):
    """Each part has a texture of its own, so that the bar reads without colour; under it stand their figures."""

    def __init__(self, view: LedgerView, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._view = view

    def show_view(self, view: LedgerView) -> None:
        self._view = view
        self.refresh(layout=True)

    def render(self) -> Content:
        return Content("\n").join(self._lines(self.content_size.width))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        return len(self._lines(width))

    def _lines(self, width: int) -> list[Content]:
        """The bar, and as many lines of legend as its entries take, none of them broken."""
        parts = self._parts()
        cells = borders([tokens for _sign, _style, _words, tokens in parts], width)
        bar = Content.assemble(
            *((sign * count, style) for (sign, style, _w, _t), count in zip(parts, cells, strict=True))
        )
        lines = [bar]
        for sign, style, words, tokens in parts:
            entry = Content.assemble((sign, style), (f" {words} {short_count(tokens)}", MUTED))
            if not tokens:
                continue
            if len(lines) > 1 and lines[-1].cell_length + entry.cell_length + 3 <= width:
                lines[-1] = Content.assemble(lines[-1], "   ", entry)
            else:
                lines.append(entry)
        return lines

    def _parts(self) -> list[tuple[str, str, str, int]]:
        view, ledger = self._view, self._view.ledger
        stays = [row for row in view.rows if not row.gone]
        fixed = sum(row.tokens for row in stays if row.kind in ("system", "template", "summary"))
        pinned = sum(row.tokens for row in stays if row.pinned)
        draft = view.tokens_of_draft
        over = max(0, ledger.prompt_tokens - ledger.context_length)
        return [
            ("▓", ACCENT, _("always there"), fixed),
            ("◆", ACCENT, _("pinned"), pinned),
            ("█", MUTED, _("conversation"), ledger.prompt_tokens - fixed - pinned - draft),
            ("▒", WARNING, _("your message"), draft),
            ("░", FAINT, _("free for the reply"), view.free),
            ("!", WARNING, _("too much"), over),
        ]
