"""The bottom line: the few keys that are most useful now, as many as fit."""

from __future__ import annotations

from textual.content import Content
from textual.style import Style

from localchat.ui.actions import BY_ID
from localchat.ui.ink import ACCENT, MUTED
from localchat.ui.widgets.split_line import SplitLine

IDLE = ("chat.new", "chats.toggle", "reply.again", "message.copy", "app.model", "app.settings", "chats.search")
BUSY = ("reply.stop", "chat.new", "chats.toggle", "message.copy", "app.model", "app.settings")


class KeyBar(SplitLine):
    """Shows keys as they are bound now, a user's keymap included; a click does what the key does."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._busy = False

    def on_mount(self) -> None:
        self.refresh_keys()

    def on_resize(self) -> None:
        self.refresh_keys()

    def show_busy(self, busy: bool) -> None:
        if busy != self._busy:
            self._busy = busy
            self.refresh_keys()

    def refresh_keys(self) -> None:
        right = [self._item("app.help")]
        palette = self._key("ctrl+p", "Actions", "app.command_palette")
        room = self.content_size.width - right[0].cell_length - palette.cell_length - 6
        left: list[Content] = []
        for action_id in BUSY if self._busy else IDLE:
            item = self._item(action_id)
            if item.cell_length + 3 > room:
                break
            left.append(item)
            room -= item.cell_length + 3
        gap = Content("   ")
        self.show(gap.join([*left, palette]), gap.join(right))

    def _item(self, action_id: str) -> Content:
        action = BY_ID[action_id]
        keys = self.app._keymap.get(action_id, action.keys)  # no public reader in Textual 8
        return self._key(keys.split(",")[0], action.label, f"screen.{action.name}")

    def _key(self, key: str, label: str, action: str) -> Content:
        shown = key.replace("ctrl+", "^").replace("escape", "esc")
        if shown.startswith("f") and shown[1:].isdigit():
            shown = shown.upper()
        item = Content.assemble((shown, ACCENT), " ", (label, MUTED))
        return item.stylize(Style.from_meta({"@click": action}))
