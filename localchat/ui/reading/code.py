"""Blocks of code: coloured, under the name of their language and the key that copies them.

A block that is still being written is coloured a piece at a time, so that its next line costs the same whether ten or
a thousand are above it; when it is finished, it is coloured as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

from pygments.lexers import get_lexer_by_name
from pygments.token import Token
from pygments.util import ClassNotFound
from rich.cells import cell_len
from textual.content import Content
from textual.highlight import HighlightTheme, highlight
from textual.style import Style

from localchat.translation import _
from localchat.ui.ink import FAINT
from localchat.ui.reading.blocks import Block
from localchat.ui.reading.lines import Line, fold

LONGEST_HIGHLIGHTED = 20_000
"""Characters of a code block above which colours cost more than they give."""

PIECE = 16
"""Lines that are coloured together while the block is being written."""

FILL = "on $surface"
_MARGIN = Content("  ")


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


class CodeBlock(Block):
    """A fenced or indented block.

    Attributes:
        index: place among the code blocks of its page, from 0.
        code: its lines, without the break after the last.
        is_open: more may come.
    """

    def __init__(self, info: str, code: str, *, is_open: bool = False) -> None:
        self.index = 0
        self.code = code
        self.is_open = is_open
        words = info.split()
        self.language = words[0] if words else ""
        self._done: list[Line] = []
        self._done_lines = 0
        self._done_width = 0

    def lay_out(self, width: int) -> Sequence[Line]:
        inner = max(2, width - 2 * len(_MARGIN))
        rows = self._grown(inner) if self.is_open else self._laid_out(self.code, inner)
        return [self._head(width), *rows, Line(Content(), fill=FILL)]

    def _head(self, width: int) -> Line:
        name = Content.styled(self.language or _("text"), FAINT)
        copy = Content.assemble(("c", "$primary"), (" " + _("copy"), FAINT))
        copy = copy.stylize(Style.from_meta({"@click": ("copy_code", (self.index,))}))
        room = width - 2 * len(_MARGIN) - copy.cell_length - 1
        name = name if cell_len(name.plain) <= room else name.truncate(max(1, room), ellipsis=True)
        row = Content.assemble(_MARGIN, name, " " * max(1, room + 1 - name.cell_length), copy).truncate(width)
        return Line(row, decoration=len(row), fill=FILL)

    def _grown(self, width: int) -> list[Line]:
        """The rows of a block that is being written; those of finished pieces are kept."""
        if width != self._done_width:
            self._done, self._done_lines, self._done_width = [], 0, width
        lines = self.code.split("\n")
        while len(lines) - self._done_lines > PIECE:
            piece = lines[self._done_lines : self._done_lines + PIECE]
            self._done += self._laid_out("\n".join(piece), width)
            self._done_lines += PIECE
        return [*self._done, *self._laid_out("\n".join(lines[self._done_lines :]), width)]

    def _laid_out(self, code: str, width: int) -> list[Line]:
        language = "" if len(self.code) > LONGEST_HIGHLIGHTED else self.language
        return [
            row.indented(_MARGIN)
            for line in colored(code, language).split("\n", allow_blank=True)
            for row in (Line(part.content, 0, part.joint, FILL) for part in fold(line.expand_tabs(4), width))
        ]


@lru_cache(maxsize=256)
def colored(code: str, language: str) -> Content:
    """Code in colours, for languages that are known by name; guessing costs time and guesses wrong."""
    try:
        get_lexer_by_name(language or "text")
    except ClassNotFound:
        language = ""
    if not language:
        return Content(code)
    content = highlight(code, language=language, theme=CodeColors)
    return content if content.plain.rstrip("\n") == code.rstrip("\n") else Content(code)
