"""Markdown written by a model: streamed at a steady pace, with code highlighted, and never trusted.

Links do not open, HTML is text, and every line break of the model is kept (poems, addresses and Chinese prose lose
their shape when soft breaks become spaces).
"""

from __future__ import annotations

import asyncio
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
from textual.widgets._markdown import MarkdownBlock, MarkdownFence

FRAME_S = 1 / 24
"""Shortest time between two updates of a streaming reply."""

BREATH = 4
"""An update that took t seconds is followed by at least this many t of rest: the engine needs the processor more."""

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
        yield Static(self.lexer.split()[0] if self.lexer.strip() else "text", classes="language", markup=False)
        yield Label(self._highlighted_code, id="code-content", expand=True)

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


class ReplyMarkdown(Markdown):
    """The text of a reply. `write` adds to its end; `finish` waits until everything is on screen."""

    BLOCKS: dict[str, type[MarkdownBlock]] = {  # noqa: RUF012
        **Markdown.BLOCKS,
        "fence": CodeBlock,
        "code_block": CodeBlock,
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
        if self._writer is not None:
            await self._writer

    async def _write_all(self) -> None:
        while self._waiting and self.is_attached:
            text = "".join(self._waiting)
            self._waiting.clear()
            began = time.monotonic()
            await self.append(text)
            await asyncio.sleep(max(FRAME_S, BREATH * (time.monotonic() - began)))
