"""The bottom line: the few keys that are most useful now, as many as fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from textual.content import Content
from textual.style import Style

from localchat.translation import _, mark
from localchat.ui.actions import BY_ID
from localchat.ui.ink import ACCENT, MUTED
from localchat.ui.widgets.split_line import SplitLine

IDLE = ("chat.new", "chats.toggle", "reply.again", "message.copy", "app.model", "app.settings", "chats.search")
BUSY = ("reply.stop", "chat.new", "chats.toggle", "message.copy", "app.model", "app.settings")

ON_MESSAGE = (
    ("focused.edit", "e", mark("Edit"), "screen.edit_question"),
    ("focused.again", "r", mark("Again"), "screen.regenerate"),
    ("focused.continue", "g", mark("Go on"), "screen.continue_reply"),
    ("focused.fork", "f", mark("Fork"), "screen.fork_chat"),
    ("focused.pin", "p", mark("Pin"), "screen.pin_message"),
    ("focused.tokens", "i", mark("Inside"), "screen.show_tokens"),
    ("focused.compare", "v", mark("Compare"), "screen.compare_replies"),
    ("focused.copy", "y", mark("Copy"), "screen.copy_message"),
    ("focused.older", "[", mark("Older version"), "screen.previous_version"),
    ("focused.newer", "]", mark("Newer"), "screen.next_version"),
    ("focused.work", "w", mark("Work on it"), "screen.work_on"),
)
"""Keys of a message that has the focus: id of the binding, key, label, and what a click does."""

IN_LIST = (
    ("list.pin", "p", mark("Pin"), "screen.pin_chat"),
    ("list.move", "m", mark("Folder"), "screen.move_chat"),
    ("list.archive", "a", mark("Archive"), "screen.archive_chat"),
    ("list.delete", "d", mark("Delete"), "screen.delete_chat"),
    ("list.undelete", "u", mark("Undo"), "screen.undelete_chat"),
    ("list.search", "/", mark("Search"), "screen.search_chats"),
)
"""The same for the list of chats."""

Place = Literal["", "message", "list"]
KEYS_IN: Mapping[Place, Sequence[tuple[str, str, str, str]]] = {"": (), "message": ON_MESSAGE, "list": IN_LIST}


class KeyBar(SplitLine):
    """Shows keys as they are bound now, a user's keymap included; a click does what the key does."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._busy = False
        self._place: Place = ""

    def on_mount(self) -> None:
        self.refresh_keys()

    def on_resize(self) -> None:
        self.refresh_keys()

    def show_busy(self, busy: bool) -> None:
        if busy != self._busy:
            self._busy = busy
            self.refresh_keys()

    def show_focus(self, place: Place) -> None:
        """Show what can be done where the focus is: with a message, or in the list; "" is anywhere else."""
        if place != self._place:
            self._place = place
            self.refresh_keys()

    def refresh_keys(self) -> None:
        right = [self._item("app.help")]
        palette = self._key("ctrl+p", _("Actions"), "app.command_palette")
        room = self.content_size.width - right[0].cell_length - palette.cell_length - 6
        left: list[Content] = []
        for item in self._items():
            if item.cell_length + 3 > room:
                break
            left.append(item)
            room -= item.cell_length + 3
        gap = Content("   ")
        self.show(gap.join([*left, palette]), gap.join(right))

    def _items(self) -> list[Content]:
        if (keys := KEYS_IN[self._place]) and not self._busy:
            keymap = self.app._keymap
            return [self._key(keymap.get(id, key).split(",")[0], _(label), act) for id, key, label, act in keys]
        return [self._item(action_id) for action_id in (BUSY if self._busy else IDLE)]

    def _item(self, action_id: str) -> Content:
        action = BY_ID[action_id]
        keys = self.app._keymap.get(action_id, action.keys)  # no public reader in Textual 8
        return self._key(keys.split(",")[0], _(action.label), f"screen.{action.name}")

    def _key(self, key: str, label: str, action: str) -> Content:
        shown = key.replace("ctrl+", "^").replace("escape", "esc")
        if shown.startswith("f") and shown[1:].isdigit():
            shown = shown.upper()
        item = Content.assemble((shown, ACCENT), " ", (label, MUTED))
        return item.stylize(Style.from_meta({"@click": action}))
