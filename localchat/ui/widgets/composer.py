"""Where the user writes: one line that grows to eight, and then scrolls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea
from textual.widgets.text_area import Location

from localchat.ui.attachments import LONG_PASTE
from localchat.ui.completion import Completion, Offer
from localchat.ui.dropped import dropped_paths
from localchat.ui.prompt_history import PromptHistory
from localchat.ui.visible_text import visible_text
from localchat.ui.widgets.completions import Completions
from localchat.ui.widgets.draft_area import DraftArea


class Composer(DraftArea):
    """A text area in which Enter sends.

    Args:
        completions: the list that this shows what could complete its text in.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send", id="composer.send", show=False),
        Binding("shift+enter,alt+enter,ctrl+j", "line_break", "Break the line", id="composer.line_break", show=False),
    ]

    @dataclass
    class Sent(Message):
        """The user wants this text answered, or this command done. It may be blank."""

        text: str

    class Edited(Message):
        """The draft changed by the user's hand."""

    class RecallWanted(Message):
        """Up was pressed at the upper edge: the screen answers with `recall`."""

    class UndoWanted(Message):
        """Undo was asked for and there is nothing to undo in the text."""

    @dataclass
    class FilesDropped(Message):
        """Paths of files were pasted, which is how a terminal tells that files were dropped on it."""

        paths: Sequence[Path]

    @dataclass
    class LongPaste(Message):
        """So much was pasted that it had better be a file."""

        text: str

    class PasteTakenBack(Message):
        """Undo right after a paste that became a file: it is text after all, and in the composer again."""

    class FilesWanted(Message):
        """Backspace was pressed before the first character."""

    def __init__(self, completions: Completions, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.completer: Callable[[str], Offer | None] = lambda _before: None
        self._completions = completions
        self._closed_at: int | None = None
        self._asked_for_file = False
        self._recalled: PromptHistory | None = None
        self._paste_as_file: str | None = None

    # ---- the text

    def show_draft(self, text: str) -> None:
        """Replace the text by a draft."""
        self._recalled = None
        self._show(text)

    def _show(self, text: str) -> None:
        self._paste_as_file = None
        self.load_text(visible_text(text))
        self.move_cursor(self.document.end)

    @property
    def draft(self) -> str:
        """What the user is writing: the text, unless that is an earlier question just looked at."""
        return self._recalled.draft if self._is_browsing and self._recalled is not None else self.text

    def action_send(self) -> None:
        self.post_message(self.Sent(self.text))

    def action_line_break(self) -> None:
        self._insert("\n")

    def _insert(self, text: str) -> None:
        result = self._replace_via_keyboard(text, *self.selection)
        if result is not None:
            self.move_cursor(result.end_location)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        event.stop()
        self._show_completions()
        self.post_message(self.Edited())

    def action_delete_left(self) -> None:
        if self.cursor_location == (0, 0) and self.selection.is_empty:
            self.post_message(self.FilesWanted())
        else:
            super().action_delete_left()

    # ---- pasting and undoing

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        text = visible_text(event.text)
        if paths := dropped_paths(event.text):
            self.post_message(self.FilesDropped(paths))
        elif len(text) >= LONG_PASTE:
            self.post_message(self.LongPaste(text))
        else:
            self._insert(text)
            return
        self._paste_as_file = text

    def action_undo(self) -> None:
        if self._paste_as_file is not None:
            text, self._paste_as_file = self._paste_as_file, None
            self.post_message(self.PasteTakenBack())
            self._insert(text)
        elif self.history._undo_stack:  # Textual offers no public question
            super().action_undo()
        else:
            self.post_message(self.UndoWanted())

    # ---- earlier questions

    @property
    def _is_browsing(self) -> bool:
        """Whether the text is an earlier question, as it was sent."""
        return self._recalled is not None and self.text == visible_text(self._recalled.shown)

    def recall(self, prompts: Sequence[str]) -> None:
        """Show the latest of these; up and down walk through them, and back to the draft."""
        self._recalled = PromptHistory(prompts, self.text)
        self._walk(1)

    def _walk(self, step: int) -> None:
        walk = self._recalled
        if walk is not None and walk.move(step):
            self._show(walk.shown)
            if step > 0:  # on the first line, so that the same key goes on
                self.move_cursor((0, len(self.document[0])))

    def action_cursor_up(self, select: bool = False) -> None:
        at_edge = not select and self.navigator.is_first_wrapped_line(self.cursor_location)
        if at_edge and self._is_browsing:
            self._walk(1)
        elif at_edge and self.cursor_location == (0, 0):
            self.post_message(self.RecallWanted())
        else:
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        if self._is_browsing and not select and self.navigator.is_last_wrapped_line(self.cursor_location):
            self._walk(-1)
        else:
            super().action_cursor_down(select)

    # ---- completing

    def begin_mention(self) -> None:
        """Write the sign after which a file is named, and show the files."""
        self.focus()
        if self._completions.offer is not None and self._completions.offer.is_file:
            return
        row, column = self.cursor_location
        before = self.document[row][:column]
        self._insert("@" if not before or before[-1].isspace() else " @")
        self._asked_for_file = True

    def _show_completions(self) -> None:
        """Show what could complete the text now, unless the user closed the list for this very word."""
        found = None
        if self.selection.is_empty:
            found = self.completer(self.document.get_text_range((0, 0), self.cursor_location))
        self._asked_for_file = self._asked_for_file and found is not None
        if found is None or found.start != self._closed_at:
            self._closed_at = None
            self._completions.show(found)

    def take(self, completion: Completion, *, acts: bool) -> None:
        """Write what was completed; `acts` does at once what it stands for, when nothing remains to be chosen."""
        offer = self._completions.offer
        if offer is None:
            return  # closed between the click and its arrival here
        row = self.cursor_location[0]
        start: Location = (row, offer.start)
        if offer.is_file and completion.is_final:
            self._completions.show(None)
            self.edit_away((row, offer.start - 1))
            self.post_message(self.FilesDropped([Path(completion.text).expanduser()]))
            return
        self.replace(completion.text, start, self.cursor_location, maintain_selection_offset=False)
        self.move_cursor((row, offer.start + len(completion.text)))
        self._show_completions()
        if acts and completion.is_final:
            self._completions.show(None)
            self.action_send()

    def edit_away(self, start: Location) -> None:
        """Take out what stands between `start` and the cursor."""
        self.delete(start, self.cursor_location, maintain_selection_offset=False)

    def on_blur(self) -> None:
        self._completions.show(None)

    def on_focus(self) -> None:
        self._show_completions()

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "shift+\r":  # xterm's modifyOtherKeys, as tmux passes it on
            event.stop()
            event.prevent_default()
            self.action_line_break()
            return
        if event.key in ("enter", "tab", "up", "down", "escape") and self._key_in_list(event.key):
            event.stop()
            event.prevent_default()
            return
        # Not priority bindings: those overtake characters that are still on their way here, and would send half of
        # what was typed by a quick hand or committed by an IME.
        active = self.screen.active_bindings.get(event.key) if not event.is_printable else None
        if active is not None and active.node is self and active.binding.action in ("send", "line_break"):
            event.stop()
            event.prevent_default()
            await self.run_action(active.binding.action)
            return
        self._paste_as_file = self._paste_as_file if event.key == "ctrl+z" else None
        await super()._on_key(event)

    def _key_in_list(self, key: str) -> bool:
        """Let a key act in the list of completions; False when that is closed or the key means nothing there."""
        if key in ("enter", "tab"):
            self._show_completions()  # the characters before this key may not have reached the list yet
        offer, chosen = self._completions.offer, self._completions.chosen
        if offer is None or chosen is None:
            return False
        if key == "escape":
            self._closed_at = offer.start
            self._completions.show(None)
            if self._asked_for_file and offer.is_file and not offer.typed:
                self.edit_away((self.cursor_location[0], offer.start - 1))
        elif key in ("up", "down"):
            self._completions.move(-1 if key == "up" else 1)
        elif key == "enter" and not (offer.expects or self._completions.was_moved):
            return False
        else:
            self.take(chosen, acts=key == "enter")
        return True
