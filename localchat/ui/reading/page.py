"""The text of a reply as blocks and rows, growing at its end at a cost that does not depend on what is above."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from localchat.ui.reading.blocks import Block, Heading, ListItem, Paragraph, Quote
from localchat.ui.reading.code import CodeBlock
from localchat.ui.reading.lines import BLANK, Line
from localchat.ui.reading.parsing import Unit, parse
from localchat.ui.reading.tables import Table

OPEN = 2
"""Blocks at the end that are read again when text comes: the next line may still change the last of them, or join it to
the one before ("2" becomes "2. second")."""


class Page:
    """Markdown that grows.

    Attributes:
        source: all of its text.
    """

    def __init__(self, source: str = "") -> None:
        self.replace(source)

    def replace(self, source: str) -> None:
        """Read another text."""
        self.source = source
        self._settled: list[Block] = []
        self._open_at = 0  # place in the source from which it is read again
        self._open: list[Unit] = parse(source)
        self._group = 0  # of the list that the open part begins with
        self._width = 0
        self._rows: list[Line] = []
        self._held_break = ""  # the last character of open code: shown only once a line follows
        self._codes = 0  # code blocks in the settled part
        self._number()

    def append(self, text: str) -> None:
        """The text goes on."""
        self.source += text
        if not self._extend_code(text):
            self._open = parse(self.source[self._open_at :], self._group)
            self._mark_open_code()
            self._number()
            self._settle()

    def finish(self) -> bool:
        """Nothing more comes: read the whole text at once where reading it in pieces gave something else, such as a
        link whose address came at the end. Returns whether anything may look different."""
        whole = [unit.block for unit in parse(self.source)]
        same = list(map(_signature, whole)) == list(map(_signature, self.blocks))
        was_open = any(code.is_open for code in _codes([unit.block for unit in self._open]))
        if not same or was_open:
            self.replace(self.source)
        return not same or was_open

    def _extend_code(self, text: str) -> bool:
        """Whether `text` only made an open code block longer."""
        unit = self._open[-1] if self._open else None
        if unit is None or not isinstance(unit.block, CodeBlock) or not unit.block.is_open:
            return False
        begin = self.source.rfind("\n", 0, len(self.source) - len(text)) + 1
        if unit.fence[0] in self.source[begin:]:
            return False
        code = unit.block
        code.code = f"{code.code}{self._held_break}{text}"
        self._held_break = "\n" if code.code.endswith("\n") else ""
        code.code = code.code.removesuffix("\n")
        return True

    def _mark_open_code(self) -> None:
        """Find out whether the text ends inside a code block that begins at the left edge."""
        unit = self._open[-1] if self._open else None
        if unit is None or not isinstance(unit.block, CodeBlock) or not unit.fence:
            return
        lines = self.source[self._open_at :].split("\n")
        head, body = lines[unit.line], lines[unit.line + 1 :]
        closed = any(line.strip().startswith(unit.fence) and not line.strip(f" {unit.fence[0]}") for line in body)
        unit.block.is_open = bool(body) and head.startswith(unit.fence) and not closed
        self._held_break = "\n" if len(body) > 1 and not body[-1] else ""

    def _settle(self) -> None:
        """Take what can no longer change out of the part that is read again."""
        done = len(self._open) - OPEN
        if done <= 0:
            return
        lines = self.source[self._open_at :].split("\n")
        first_open = self._open[done]
        for unit in self._open[:done]:
            self._settled.append(unit.block)
            if self._width:
                self._rows += self._laid_out(len(self._settled) - 1)
            self._codes += sum(1 for _ in _codes([unit.block]))
        self._open_at += sum(len(line) + 1 for line in lines[: first_open.line])
        if isinstance(first_open.block, ListItem):
            self._group = first_open.block.group
        else:
            self._group += first_open.line + 1
        self._open = [Unit(unit.block, unit.line - first_open.line, unit.fence) for unit in self._open[done:]]

    def _number(self) -> None:
        for index, code in enumerate(_codes([unit.block for unit in self._open]), self._codes):
            code.index = index

    def rows(self, width: int) -> list[Line]:
        """All rows at this width. Those of settled blocks are made once."""
        blocks = self.blocks
        if width != self._width:
            self._width = width
            self._rows = [row for index in range(len(self._settled)) for row in self._laid_out(index)]
        rows = list(self._rows)
        for index in range(len(self._settled), len(blocks)):
            rows += self._laid_out(index, blocks)
        return rows

    def _laid_out(self, index: int, blocks: Sequence[Block] | None = None) -> list[Line]:
        blocks = blocks if blocks is not None else self._settled
        block = blocks[index]
        gap = [BLANK] * block.gap_after(blocks[index - 1]) if index else []
        return [*gap, *block.lay_out(self._width)]

    @property
    def blocks(self) -> list[Block]:
        return [*self._settled, *(unit.block for unit in self._open)]

    @property
    def codes(self) -> list[CodeBlock]:
        """All code blocks, also those in lists and quotes."""
        return list(_codes(self.blocks))


def _codes(blocks: Sequence[Block]) -> Iterator[CodeBlock]:
    for block in blocks:
        if isinstance(block, CodeBlock):
            yield block
        elif isinstance(block, (Quote, ListItem)):
            yield from _codes(block.blocks)


def _signature(block: Block) -> object:
    """What a reader would notice."""
    match block:
        case CodeBlock():
            return block.language, block.code
        case Quote() | ListItem():
            return type(block), getattr(block, "mark", ""), [_signature(inner) for inner in block.blocks]
        case Table():
            return [[(cell.plain, len(cell.spans)) for cell in row] for row in (block.header, *block.rows)]
        case Paragraph() | Heading():
            return type(block), block.content.plain, len(block.content.spans)
    return type(block)
