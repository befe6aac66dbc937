"""The commands of the linear mode that concern files: those that go with a question, and chats as files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from localchat.documents.document import Document
from localchat.errors import LocalChatError
from localchat.translation import _, plural
from localchat.ui.background import in_background
from localchat.ui.dropped import dropped_paths
from localchat.ui.taking import export_as_wished, has_words

if TYPE_CHECKING:
    from localchat.ui.linear import LinearChat


class FileCommands:
    """What the user does with files in the conversation of `chat`."""

    def __init__(self, chat: LinearChat) -> None:
        self._chat = chat

    async def attach(self, paths: Sequence[Path]) -> None:
        """Read these files and let them wait for the next question."""
        from localchat.documents.reading import read_document

        for path in paths:
            try:
                document = await in_background(partial(read_document, path))
            except LocalChatError as error:
                self._chat.say(f"! {error}")
                continue
            self._chat.session.files.add(document)
            await self._chat.session.costs.measure([document])
            words = _("{file} goes with your next question.")
            self._chat.say(words.format(file=self._named(document)))

    def waiting(self) -> str:
        """One line about the files that wait for the next question; "" when there are none."""
        files = self._chat.session.files.documents
        names = ", ".join(self._named(document) for document in files)
        words = plural("With your next question goes {files}.", "With your next question go {files}.", len(files))
        return words.format(files=names) if files else ""

    def _named(self, document: Document) -> str:
        tokens = self._chat.session.costs.of(document)
        if tokens is None:
            return _("“{name}”").format(name=document.name)
        words = plural("“{name}” ({count} token)", "“{name}” ({count} tokens)", tokens)
        return words.format(name=document.name, count=tokens)

    async def _attach(self, argument: str) -> None:
        if argument:
            await self.attach(dropped_paths(argument) or [Path(argument.strip("\"'")).expanduser()])
        else:
            self._chat.say(self.waiting() or _("Write the path of a file after /attach."))

    def _detach(self, argument: str) -> None:
        files = self._chat.session.files
        places = [place for place, document in enumerate(files.documents) if argument in ("", document.name)]
        if not places:
            self._chat.say(_("There is no such file.") if argument else _("No file waits for your next question."))
        for place in reversed(places):
            name = files.documents[place].name
            files.remove(place)
            self._chat.say(_("“{name}” was taken out again.").format(name=name))

    def _export(self, argument: str) -> None:
        session = self._chat.session
        if not has_words(session):
            self._chat.say(_("There is nothing to export yet."))
            return
        self._chat.say(_("Written to {path}.").format(path=export_as_wished(session, argument or "markdown")))

    async def _import(self, argument: str) -> None:
        from localchat.history.importing import import_file

        if not argument:
            self._chat.say(_("Write the path of a file after /import."))
            return
        path = Path(argument.strip("\"'")).expanduser()
        self._chat.say(str(await in_background(partial(import_file, self._chat.session.saved, path))))
