"""A file that was read: its name, what kind of file it was, and its text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal, cast

Kind = Literal["text", "pdf", "docx", "paste"]
"""text: plain, Markdown or code; paste: a long text from the clipboard, without a file."""


@dataclass(frozen=True, slots=True)
class Document:
    """What is kept of a file: the history holds it in this form, so a question stays answerable without the file."""

    name: str
    kind: Kind
    text: str

    def as_record(self) -> dict[str, str]:
        """For the history, which keeps it as JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, str]) -> Document:
        return cls(record["name"], cast(Kind, record["kind"]), record["text"])

    def for_model(self) -> str:
        """The text between marks that carry its name. No text can close its own marks early."""
        mark = "file"
        while f"</{mark}" in self.text:
            mark += "-"
        return f'<{mark} name="{self.name}">\n{self.text}\n</{mark}>'


def with_documents(question: str, documents: Iterable[Document]) -> str:
    """What the model is given: the files first, so that the question is the last that it reads."""
    parts = [document.for_model() for document in documents]
    return "\n\n".join([*parts, question] if question.strip() else parts)
