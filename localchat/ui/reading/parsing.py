"""Markdown to blocks. HTML is text, and every line break of the model is kept: poems, addresses and Chinese prose lose
their shape when soft breaks become spaces."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from textual.content import Content, Span
from textual.style import Style

from localchat.ui.reading.blocks import Block, Heading, ListItem, Paragraph, Quote, Rule
from localchat.ui.reading.code import CodeBlock
from localchat.ui.reading.tables import Alignment, Table

BULLETS = "•◦▪"
_TASK = re.compile(r"\[([ xX])\] ")
_STYLES = {"em": "italic", "strong": "bold", "s": "strike"}


@cache
def markdown_parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


@dataclass(frozen=True, slots=True)
class Unit:
    """A block that stands for itself, or one entry of a list: the pieces in which a page grows.

    Attributes:
        line: of the text, where it begins.
        fence: what closes it, when it is a fenced code block.
    """

    block: Block
    line: int
    fence: str = ""


def parse(text: str, group: int = 0) -> list[Unit]:
    """The blocks of a text.

    Args:
        group: of the list that the text begins with; later lists get other numbers.
    """
    units: list[Unit] = []
    tokens = _Tokens(markdown_parser().parse(text))
    while (token := tokens.peek()) is not None:
        line = token.map[0] if token.map else 0
        if token.type in ("bullet_list_open", "ordered_list_open"):
            units += tokens.entries(group + line, 0)
        else:
            fence = token.markup if token.type == "fence" else ""
            units += [Unit(block, line, fence) for block in tokens.block(0)]
    return units


class _Tokens:
    """Reads the parser's tokens from first to last."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._place = 0

    def peek(self) -> Token | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def _next(self) -> Token:
        self._place += 1
        return self._tokens[self._place - 1]

    def _until(self, kind: str) -> Iterator[Token]:
        """The tokens before the one of this kind, which is passed over."""
        while (token := self._tokens[self._place]).type != kind:
            yield token
        self._place += 1

    def block(self, depth: int) -> list[Block]:
        """The next block; several for a list. `depth`: how many bullet lists it is in."""
        token = self._next()
        match token.type:
            case "paragraph_open":
                return [Paragraph(self._inline("paragraph_close"))]
            case "heading_open":
                return [Heading(int(token.tag[1:]), self._inline("heading_close"))]
            case "hr":
                return [Rule()]
            case "fence" | "code_block":
                return [CodeBlock(token.info, token.content.removesuffix("\n"))]
            case "blockquote_open":
                return [Quote(self._blocks("blockquote_close", depth))]
            case "bullet_list_open" | "ordered_list_open":
                self._place -= 1
                return [unit.block for unit in self.entries(token.map[0] if token.map else 0, depth)]
            case "table_open":
                return [self._table()]
        return []

    def _blocks(self, end: str, depth: int) -> list[Block]:
        return [block for _ in self._until(end) for block in self.block(depth)]

    def entries(self, group: int, depth: int) -> list[Unit]:
        """The entries of the list that begins here."""
        token = self._next()
        bullets = token.type == "bullet_list_open"
        units: list[Unit] = []
        for _ in self._until(token.type.replace("open", "close")):
            entry = self._next()
            blocks = self._blocks("list_item_close", depth + bullets)
            mark = BULLETS[depth % len(BULLETS)] if bullets else f"{entry.info}{entry.markup}"
            task = _take_task(blocks) if bullets else ""
            units.append(Unit(ListItem(task or mark, blocks, group), entry.map[0] if entry.map else 0))
        return units

    def _inline(self, end: str) -> Content:
        contents = [inline_content(self._next()) for _ in self._until(end)]
        return Content().join(contents)

    def _table(self) -> Table:
        rows: list[list[Content]] = []
        alignments: list[Alignment] = []
        for _ in self._until("table_close"):
            token = self._next()
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "th_open":
                alignments.append(_alignment(token))
            elif token.type == "inline":
                rows[-1].append(inline_content(token))
        return Table(rows[0], rows[1:], alignments)


def _alignment(token: Token) -> Alignment:
    style = str(token.attrs.get("style", ""))
    return "center" if "center" in style else "right" if "right" in style else "left"


def _take_task(blocks: list[Block]) -> str:
    """The box of a task, taken from its text; empty when it is none."""
    first = blocks[0] if blocks else None
    if not isinstance(first, Paragraph) or (found := _TASK.match(first.content.plain)) is None:
        return ""
    first.content = first.content[found.end() :]
    return "☐" if found.group(1) == " " else "☑"


def inline_content(token: Token) -> Content:
    """The text of an inline token, with its styles. Links are shown by their words and know their address."""
    texts: list[str] = []
    spans: list[Span] = []
    open_spans: list[tuple[int, tuple[str | Style, ...]]] = []
    place = 0
    for child in token.children or ():
        kind, text = child.type, ""
        styles: tuple[str | Style, ...] = ()
        if kind == "text":
            text = child.content
        elif kind in ("hardbreak", "softbreak"):
            text = "\n"
        elif kind == "code_inline":
            text, styles = child.content, ("$primary on $surface",)
        elif kind == "image":
            text, styles = f"🖼 {child.content or child.attrs.get('src', '')}", _link(str(child.attrs.get("src", "")))
        elif kind == "link_open":
            open_spans.append((place, _link(str(child.attrs.get("href", "")))))
        elif kind.endswith("_open"):
            open_spans.append((place, (_STYLES[kind.removesuffix("_open")],)))
        elif kind.endswith("_close"):
            start, closed = open_spans.pop()
            spans += [Span(start, place, style) for style in closed]
        texts.append(text)
        spans += [Span(place, place + len(text), style) for style in styles]
        place += len(text)
    return Content("".join(texts), spans)


def _link(address: str) -> tuple[str | Style, ...]:
    return "$primary underline", Style.from_meta({"@click": ("link", (address,)), "address": address})
