"""Markdown written by a model: streamed at a steady pace, with code highlighted, and never trusted.

Links do not open, HTML is text, and every line break of the model is kept (poems, addresses and Chinese prose lose
their shape when soft breaks become spaces).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import cache
from typing import Any, ClassVar

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
from pygments.token import Token  # type: ignore[import-untyped]
from pygments.util import ClassNotFound  # type: ignore[import-untyped]
from textual.app import ComposeResult
from textual.content import Content
from textual.highlight import HighlightTheme, highlight
from textual.widgets import Label, Markdown, Static
from textual.widgets._markdown import MarkdownBlock, MarkdownFence, MarkdownTable, MarkdownTableContent

FRAME_S = 1 / 20
"""Shortest time between two updates of a streaming reply."""

LONGEST_FRAME_S = 0.4
"""Longest time between them, however slow the machine: a reader notices half a second."""

BREATH = 3
"""An update that took t seconds, layout included, is followed by this many t of rest: a long conversation costs more
to lay out, and the engine needs the processor more."""

LONGEST_HIGHLIGHTED = 20_000
"""Characters of a code block above which colours cost more than they give."""


class CodeColors(HighlightTheme):
    """Quiet: words of the language in the accent colour, text and numbers beside it, remarks dim."""

    STYLES: ClassVar[dict[Any, str]] = {  # type: ignore[misc]
        Token.Comment: "$foreground 55% italic",
        Token.Comment.Preproc: "$secondary",
        Token.Keyword: "$primary",
        Token.Keyword.Constant: "$secondary",
        Token.Literal.Number: "$secondary",
        Token.Literal.String: "$secondary",
        Token.Literal.String.Doc: "$foreground 55% italic",
        Token.Name.Builtin.Pseudo: "$foreground 80% italic",
        Token.Name.Class: "bold",
        Token.Name.Constant: "$secondary",
        Token.Name.Decorator: "$primary",
        Token.Name.Function: "bold",
        Token.Name.Tag: "$primary",
        Token.Name.Attribute: "$secondary",
        Token.Operator.Word: "$primary",
        Token.Generic.Heading: "bold",
        Token.Generic.Deleted: "$text-error",
        Token.Generic.Inserted: "$text-success",
    }


def _keep_line_breaks(state: StateCore) -> None:
    for token in state.tokens:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"


@cache
def markdown_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.core.ruler.push("keep_line_breaks", _keep_line_breaks)
    return parser


class CodeBlock(MarkdownFence):
    """A code block under the name of its language."""

    def compose(self) -> ComposeResult:
        yield Static(self._language, classes="language", markup=False)
        yield Label(self._highlighted_code, id="code-content", expand=True)

    @property
    def _language(self) -> str:
        return self.lexer.split()[0] if self.lexer.strip() else "text"

    def set_content(self, content: Content) -> None:
        """Also the name of the language, which may come in pieces."""
        super().set_content(content)
        for label in self.query(".language").results(Static):
            label.update(self._language)

    @classmethod
    def highlight(cls, code: str, language: str, ansi: bool = False, dark: bool = False) -> Content:
        """Colours for languages that are known by name; guessing costs time and guesses wrong."""
        name = language.split()[0] if language.strip() else "text"
        try:
            get_lexer_by_name(name)
        except ClassNotFound:
            name = "text"
        if len(code) > LONGEST_HIGHLIGHTED:
            name = "text"
        if ansi:
            return super().highlight(code, name, ansi, dark)
        return highlight(code, language=name, theme=CodeColors)


class TableContent(MarkdownTableContent):
    """Cells without tooltips: those would read a model's words as markup."""

    def compose(self) -> ComposeResult:
        for cell in super().compose():
            cell.tooltip = None
            yield cell

    async def _update_rows(self, updated_rows: list[list[Content]]) -> None:
        if updated_rows:
            await super()._update_rows(updated_rows)
        for cell in self.children:
            cell.tooltip = None


class Table(MarkdownTable):
    """A table of such cells."""

    def compose(self) -> ComposeResult:
        self._headers, self._rows = self._get_headers_and_rows()
        yield TableContent(self._headers, self._rows)


class ReplyMarkdown(Markdown):
    """The text of a reply. `write` adds to its end; `finish` waits until everything is on screen."""

    BLOCKS: dict[str, type[MarkdownBlock]] = {  # noqa: RUF012
        **Markdown.BLOCKS,
        "fence": CodeBlock,
        "code_block": CodeBlock,
        "table_open": Table,
    }

    def __init__(self, text: str = "") -> None:
        super().__init__(text, parser_factory=markdown_parser, open_links=False)
        self._waiting: list[str] = []
        self._writer: asyncio.Task[None] | None = None

    def write(self, text: str) -> None:
        """Show `text` within a frame or two; never blocks."""
        self._waiting.append(text)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())

    async def finish(self) -> None:
        """Wait until everything is on screen, and lay it out anew if reading it in pieces gave other blocks than
        reading it at once (a line of dashes may turn the paragraph above it into a heading)."""
        if self._writer is None:
            return
        await self._writer
        whole = [token for token in markdown_parser().parse(self.source) if token.level == 0 and token.nesting >= 0]
        if self.is_attached and len(whole) != len(self.children):
            await self.update(self.source)

    async def _write_all(self) -> None:
        while self._waiting and self.is_attached:
            text = "".join(self._waiting)
            self._waiting.clear()
            began = time.monotonic()
            await self.append(text)
            await self._laid_out()
            took = time.monotonic() - began
            await asyncio.sleep(min(LONGEST_FRAME_S, max(FRAME_S, BREATH * took)))

    async def _laid_out(self) -> None:
        """Wait until what was appended is on screen."""
        done = asyncio.Event()
        if self.call_after_refresh(done.set):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), LONGEST_FRAME_S)
