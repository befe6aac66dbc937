"""What the model would see, line by line: from a ledger of the engine to what the interface shows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from localchat.ledger import ContextLedger
from localchat.translation import mark, plural
from localchat.ui.context_parts import PromptPart, Segment
from localchat.ui.visible_text import one_line

RowKind = Literal["system", "summary", "question", "reply", "file", "draft", "template"]

NAMES: Mapping[RowKind, str] = {
    "system": mark("System prompt"),
    "summary": mark("Summary of what is left out"),
    "question": mark("You"),
    "reply": mark("Model"),
    "file": mark("File"),
    "draft": mark("Your message"),
    "template": mark("Template around them"),
}
"""What the parts are called: `mark`ed."""

NAMED = 20
"""Characters of a message by which it is named."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A part of the prompt, or of what it lacks.

    Attributes:
        text: its first words; a file's name.
        message_id: the message that it is of, where there is one.
        gone: it is left out.
    """

    kind: RowKind
    text: str
    tokens: int
    message_id: str | None = None
    pinned: bool = False
    gone: bool = False


@dataclass(frozen=True, slots=True)
class LedgerView:
    """A ledger with the words for it."""

    ledger: ContextLedger
    rows: tuple[LedgerRow, ...]

    @property
    def gone(self) -> list[LedgerRow]:
        """Questions and replies that are left out."""
        return [row for row in self.rows if row.gone and row.kind in ("question", "reply")]

    @property
    def free(self) -> int:
        """Tokens that are left for the reply."""
        return max(0, self.ledger.context_length - self.ledger.prompt_tokens)

    @property
    def tokens_of_draft(self) -> int:
        return sum(row.tokens for row in self.rows if row.kind == "draft" or _is_of_draft(row))

    def named(self) -> str:
        """One sentence that names what will be left out; "" when nothing is."""
        gone = self.gone
        if not gone:
            return ""
        first, last = _name(gone[0].text), _name(gone[-1].text)
        if self.ledger.summarised == len(self.ledger.gone):
            words = plural(
                "{count} older message will be there in summary only: “{first}”",
                "{count} older messages will be there in summary only: “{first}” to “{last}”",
                len(gone),
            )
        else:
            words = plural(
                "{count} older message will be left out: “{first}”",
                "{count} older messages will be left out: “{first}” to “{last}”",
                len(gone),
            )
        return words.format(count=len(gone), first=first, last=last)


def ledger_view(ledger: ContextLedger, parts: Sequence[PromptPart]) -> LedgerView:
    """The ledger of these parts, of which the last is the message being written."""
    rows: list[LedgerRow] = []
    for place, part in enumerate(parts):
        for segment, tokens in zip(part.segments, ledger.parts[place], strict=True):
            rows.append(_row(part, segment, tokens, gone=place in ledger.gone))
        if place == 0 and part.message.role == "system" and ledger.summary:
            rows.append(_summary_row(ledger))
    if ledger.summary and parts[0].message.role != "system":
        rows.insert(0, _summary_row(ledger))
    rows.append(LedgerRow("template", "", ledger.template))
    return LedgerView(ledger, tuple(rows))


def ends_of(parts: Sequence[PromptPart]) -> list[list[int]]:
    """Where the segments of each message end: what the engine is asked about."""
    return [[segment.end for segment in part.segments] for part in parts]


def _row(part: PromptPart, segment: Segment, tokens: int, *, gone: bool) -> LedgerRow:
    role = part.message.role
    kind: RowKind = "system" if role == "system" else "reply" if role == "assistant" else "question"
    if segment.file:
        kind = "file"
    elif role == "user" and segment.source is None:
        kind = "draft"
    return LedgerRow(kind, one_line(segment.file or segment.text), tokens, segment.source, part.message.pinned, gone)


def _summary_row(ledger: ContextLedger) -> LedgerRow:
    return LedgerRow("summary", "", ledger.summary)


def _is_of_draft(row: LedgerRow) -> bool:
    return row.kind == "file" and row.message_id is None


def _name(text: str) -> str:
    return text if len(text) <= NAMED else f"{text[: NAMED - 1].rstrip()}…"


def borders(shares: Sequence[float], cells: int) -> list[int]:
    """How many of `cells` each share takes; what is there at all takes one, and together they are never more."""
    total = sum(shares) or 1.0
    at, edges = 0.0, [0]
    for share in shares:
        at += share
        edge = round(at / total * cells)
        edges.append(min(cells, max(edge, edges[-1] + 1)) if share > 0 else edges[-1])
    return [b - a for a, b in pairwise(edges)]
