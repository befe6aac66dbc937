"""The text that the open chat is about, beside the chat: an editor, or what a writing action makes of it."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.style import Style
from textual.widgets import TextArea

from localchat.translation import _, plural
from localchat.ui.actions import BY_ID
from localchat.ui.figures import short_count
from localchat.ui.ink import ACCENT, FAINT, MUTED, PLAIN, WARNING
from localchat.ui.open_document import OpenDocument
from localchat.ui.visible_text import one_line
from localchat.ui.widgets.document_area import DocumentArea
from localchat.ui.widgets.review_panel import ReviewPanel
from localchat.ui.widgets.split_line import SplitLine
from localchat.ui.writing_task import WritingTask
from localchat.writing.tokens import is_word, tokens

LONGEST_COUNTED = 100_000
"""Characters up to which words are counted."""


class DocumentPane(Vertical):
    """Shows an `OpenDocument`; knows nothing of where it is kept."""

    class Edited(Message):
        """The text, or the place of the cursor in it, is another one."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.document: OpenDocument | None = None
        self.panel: ReviewPanel | None = None
        self._remark = ""
        self._count = Content()

    def compose(self) -> ComposeResult:
        yield SplitLine(id="text-head")
        yield DocumentArea(id="text")
        yield SplitLine(id="text-foot")

    def on_mount(self) -> None:
        self.area = self.query_one(DocumentArea)

    async def show_document(self, document: OpenDocument, remark: str = "") -> None:
        """Show this one; what was going on with another one ends."""
        await self.end_work()
        self._remark = remark
        self.document = document
        if self.area.text != document.lines.shown:
            self.area.show_text(document.lines.shown, document.place)
        self.count()

    def show_lines(self) -> None:
        """What stands over and under the text."""
        if (document := self.document) is None:
            return
        name = [(one_line(document.path.name), f"{PLAIN} bold")]
        if document.has_unsaved:
            name.append((f"  ● {_('not saved')}", WARNING))
        self.query_one("#text-head", SplitLine).show(Content.assemble(*name), self._count)
        if self._remark:
            left = Content.styled(self._remark, WARNING)
        else:
            keys = [("text.work", _("Work on it")), ("text.save", _("Save")), ("text.switch", _("Chat"))]
            left = Content("   ").join(self._key(action, label) for action, label in keys)
        self.query_one("#text-foot", SplitLine).show(left, Content.styled(_kind(document), FAINT))

    def _key(self, action_id: str, label: str) -> Content:
        """The key of an action as it is bound now; a click does what the key does."""
        action = BY_ID[action_id]
        keys = self.app._keymap.get(action_id, action.keys)  # no public reader in Textual 8
        key = keys.split(",")[0].replace("ctrl+", "^")
        shown = key.upper() if key[:1] == "f" and key[1:].isdigit() else key
        item = Content.assemble((shown, ACCENT), " ", (label, MUTED))
        return item.stylize(Style.from_meta({"@click": f"screen.{action.name}"}))

    def show_remark(self, remark: str) -> None:
        """Something about the text that stays true until the next time it is saved."""
        self._remark = remark
        self.show_lines()

    def count(self) -> None:
        """Count the words anew, and show how many there are."""
        text = self.area.text
        if len(text) > LONGEST_COUNTED:
            size = plural("{count} character", "{count} characters", len(text)).format(count=short_count(len(text)))
        else:
            words = sum(map(is_word, tokens(text)))
            size = plural("{count} word", "{count} words", words).format(count=short_count(words))
        self._count = Content.styled(size, MUTED)
        self.show_lines()

    @on(TextArea.Changed)
    @on(TextArea.SelectionChanged)
    def _changed(self, event: TextArea.Changed | TextArea.SelectionChanged) -> None:
        event.stop()
        self.post_message(self.Edited())

    # ---- writing actions

    @property
    def is_working(self) -> bool:
        """Whether an action is under way or its changes are being decided about."""
        return self.panel is not None

    async def begin_work(self, writing: WritingTask) -> ReviewPanel:
        """Show what comes of this in place of the text."""
        await self.end_work()
        takes = _("Put it below") if writing.wish.action.result == "new" else _("Take over")
        self.panel = ReviewPanel(writing, takes, saves=True)
        self.area.display = False
        await self.mount(self.panel, after=self.area)
        self.query_one("#text-foot").display = False
        return self.panel

    async def end_work(self) -> None:
        """Back to the text."""
        if self.panel is not None:
            panel, self.panel = self.panel, None
            await panel.remove()
            self.area.display = True
            self.query_one("#text-foot").display = True


def _kind(document: OpenDocument) -> str:
    """How the file is written, where that is not what everybody expects."""
    file = document.file
    encoding = file.encoding.upper() + (" BOM" if file.mark and file.encoding == "utf-8" else "")
    kinds = [] if encoding == "UTF-8" else [encoding]
    if "\r\n" in file.text:
        kinds.append("CRLF")
    return " · ".join(kinds)
