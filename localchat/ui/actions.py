"""Every action of the chat screen, once: bindings, the command palette, the key bar and the help are made of this.

The ids are stable, so that a user's keymap may rebind them. `ctrl+m` and `ctrl+i` are Enter and Tab: never bound.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that the user can ask for.

    No binding has priority: those overtake characters that are still on their way to the composer.

    Attributes:
        id: name for keymaps.
        keys: as Textual names them, separated by commas; empty for palette only.
        name: method `action_<name>` of the screen.
        label: one or two words, for the key bar.
        title: a verb phrase, for palette and help.
        explanation: one sentence, for palette and help.
        group: heading in the help.
    """

    id: str
    keys: str
    name: str
    label: str
    title: str
    explanation: str
    group: str

    def binding(self) -> Binding:
        return Binding(self.keys, self.name, self.title, id=self.id, show=False)


ACTIONS = (
    Action("chat.new", "ctrl+n", "new_chat", "New", "New chat", "Start with an empty page.", "Chats"),
    Action("chats.toggle", "ctrl+b", "toggle_chats", "Chats", "Show or hide chats", "Fold the list away.", "Chats"),
    Action("chats.search", "ctrl+f", "search_chats", "Find", "Search chats", "Titles and messages.", "Chats"),
    Action("chat.previous", "alt+up", "previous_chat", "", "Previous chat", "The one above in the list.", "Chats"),
    Action("chat.next", "alt+down", "next_chat", "", "Next chat", "The one below in the list.", "Chats"),
    Action("chat.rename", "f2", "rename_chat", "Rename", "Rename chat", "Give this chat a title of yours.", "Chats"),
    Action("chat.delete", "f8", "delete_chat", "Delete", "Delete chat", "It can be brought back.", "Chats"),
    Action(
        "chat.undelete", "alt+z", "undelete_chat", "", "Undo delete", "Bring back the chat that was deleted.", "Chats"
    ),
    Action("reply.stop", "escape", "stop", "Stop", "Stop", "End the reply; what was written is kept.", "Replies"),
    Action(
        "reply.again", "ctrl+r", "regenerate", "Again", "Another reply", "The present one stays reachable.", "Replies"
    ),
    Action(
        "reply.previous", "alt+left", "previous_version", "", "Previous version", "Of the reply in focus.", "Replies"
    ),
    Action("reply.next", "alt+right", "next_version", "", "Next version", "Of the reply in focus.", "Replies"),
    Action(
        "message.copy", "ctrl+y", "copy_message", "Copy", "Copy message", "The one in focus, or the last.", "Replies"
    ),
    Action("transcript.top", "ctrl+home", "scroll_top", "", "To the beginning", "Of this chat.", "Reading"),
    Action("transcript.end", "ctrl+end", "scroll_end", "", "To the end", "And follow the reply again.", "Reading"),
    Action("app.model", "ctrl+o", "choose_model", "Model", "Choose model", "Load another, or fetch one.", "Program"),
    Action(
        "app.settings",
        "f3,ctrl+comma",
        "settings",
        "Settings",
        "Settings",
        "How replies are written, and how this looks.",
        "Program",
    ),
    Action("draft.editor", "f4", "edit_draft", "", "Write in $EDITOR", "Takes the draft along.", "Program"),
    Action("app.help", "f1", "help", "Help", "Help", "All keys.", "Program"),
)

BY_ID = {action.id: action for action in ACTIONS}


def bindings() -> list[Binding]:
    return [action.binding() for action in ACTIONS]


def key_names(keys: str) -> str:
    """Keys as people write them: Ctrl+N, F2, Alt+Up."""
    names = [key.replace("comma", ",").replace("escape", "esc") for key in keys.split(",")]
    return ", ".join("+".join(part.capitalize() for part in name.split("+")) for name in names)
