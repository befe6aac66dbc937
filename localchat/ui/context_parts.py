"""What a prompt is put together from: the messages that the model is given, and what of the conversation each holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from localchat.documents.document import Document, with_documents
from localchat.history.records import StoredMessage
from localchat.messages import Message


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of what a message says.

    Attributes:
        end: where it ends in the message's content, in characters.
        file: name of the file that it is the text of; "" for what was written.
        source: id of the stored message that it comes from; None for what is not sent yet, and the system prompt.
    """

    end: int
    text: str
    file: str = ""
    source: str | None = None


@dataclass(frozen=True, slots=True)
class PromptPart:
    """One message as the model is given it."""

    message: Message
    segments: tuple[Segment, ...]


def prompt_parts(line: Iterable[StoredMessage], system_prompt: str) -> list[PromptPart]:
    """What the model is given: replies that hold nothing are left out, and what then stands side by side is one turn
    (many chat templates insist that user and assistant alternate)."""
    parts: list[PromptPart] = []
    if system_prompt.strip():
        parts.append(PromptPart(Message("system", system_prompt), (Segment(len(system_prompt), system_prompt),)))
    for stored in line:
        documents = [Document.from_record(record) for record in stored.attachments]
        part = PromptPart(stored.as_message(), _segments(stored.content, documents, stored.id))
        if part.message.content.strip():
            _add(parts, part)
    return parts


def with_draft(parts: Sequence[PromptPart], text: str, documents: Sequence[Document]) -> list[PromptPart]:
    """The same with the message that is being written at its end, be it empty."""
    whole = list(parts)
    _add(whole, PromptPart(Message("user", with_documents(text, documents)), _segments(text, documents, None)))
    return whole


def _add(parts: list[PromptPart], part: PromptPart) -> None:
    before = parts[-1] if parts and parts[-1].message.role == part.message.role else None
    if before is None:
        parts.append(part)
        return
    old, new = before.message, part.message
    begin = f"{old.content}\n\n"
    pinned = old.pinned or new.pinned
    merged = Message(old.role, begin + new.content, pinned=pinned, summary=new.summary or old.summary)
    moved = tuple(replace(segment, end=segment.end + len(begin)) for segment in part.segments)
    parts[-1] = PromptPart(merged, before.segments + moved)


def _segments(text: str, documents: Sequence[Document], source: str | None) -> tuple[Segment, ...]:
    """As `with_documents` puts them together: the files, and then what was written."""
    segments: list[Segment] = []
    end = 0
    for document in documents:
        end += len(document.for_model()) + (2 if end else 0)
        segments.append(Segment(end, "", document.name, source))
    if text.strip() or not documents:
        end += len(text) + (2 if end else 0)
        segments.append(Segment(end, text, "", source))
    return tuple(segments)
