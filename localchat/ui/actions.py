"""Every action of the chat screen, once: bindings, the command palette, the key bar and the help are made of this.

The ids are stable, so that a user's keymap may rebind them. `ctrl+m` and `ctrl+i` are Enter and Tab: never bound.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding

from localchat.translation import mark

UNBOUND = "unbound"
"""The key of actions that have none, until a user gives them one."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that the user can ask for.

    No binding has priority: those overtake characters that are still on their way to the composer.

    Attributes:
        id: name for keymaps.
        keys: as Textual names them, separated by commas; empty for palette only.
        name: method `action_<name>` of the screen.
        label: one or two words, for the key bar. This and the next three are `mark`ed: `_` them where they are shown.
        title: a verb phrase, for palette and help.
        explanation: one sentence, for palette and help.
        group: heading in the help.
        slash: name of the slash command, without the slash; empty for none. What is written after the name is the
            argument, for an action whose method takes one.
    """

    id: str
    keys: str
    name: str
    label: str
    title: str
    explanation: str
    group: str
    slash: str = ""

    def binding(self) -> Binding:
        return Binding(self.keys or UNBOUND, self.name, self.title, id=self.id, show=False)


CHATS = mark("Chats")
REPLIES = mark("Replies")
READING = mark("Reading")
TEXTS = mark("Texts")
PROGRAM = mark("Program")

# fmt: off
ACTIONS = (
    # ---- chats
    Action("chat.new", "ctrl+n", "new_chat", mark("New"),
           mark("New chat"), mark("Start with an empty page."), CHATS, slash="new"),
    Action("chats.toggle", "ctrl+b", "toggle_chats", mark("Chats"),
           mark("Show or hide chats"), mark("Fold the list away."), CHATS),
    Action("chats.search", "ctrl+f", "search_chats", mark("Find"),
           mark("Search chats"), mark("Titles and messages."), CHATS, slash="find"),
    Action("found.next", "f7", "next_found", "",
           mark("Next message found"), mark("Below, with the words that were searched for."), CHATS),
    Action("found.previous", "shift+f7", "previous_found", "",
           mark("Previous message found"), mark("Above, with the words that were searched for."), CHATS),
    Action("chat.previous", "alt+up", "previous_chat", "",
           mark("Previous chat"), mark("The one above in the list."), CHATS),
    Action("chat.next", "alt+down", "next_chat", "",
           mark("Next chat"), mark("The one below in the list."), CHATS),
    Action("chat.rename", "f2", "rename_chat", mark("Rename"),
           mark("Rename chat"), mark("Give this chat a title of yours."), CHATS, slash="rename"),
    Action("chat.delete", "f8", "delete_chat", mark("Delete"),
           mark("Delete chat"), mark("It can be brought back."), CHATS, slash="delete"),
    Action("chat.undelete", "alt+z", "undelete_chat", "",
           mark("Undo delete"), mark("Bring back the chat that was deleted."), CHATS),
    Action("chat.pin", "alt+p", "pin_chat", "",
           mark("Pin or unpin chat"), mark("Pinned chats stand at the top of the list."), CHATS, slash="pin"),
    Action("chat.move", "alt+m", "move_chat", "",
           mark("Move chat to a folder"), mark("An old one or a new one."), CHATS, slash="folder"),
    Action("chat.archive", "alt+k", "archive_chat", "",
           mark("Archive chat"), mark("Out of the list; searching still finds it."), CHATS, slash="archive"),
    Action("chat.system", "", "system_prompt", "",
           mark("Set the system prompt"), mark("What the model is told before this chat."), CHATS, slash="system"),
    Action("chat.private", "alt+n", "private_chat", "",
           mark("New private chat"), mark("Kept in memory only, gone when you quit."), CHATS, slash="private"),
    Action("chat.export", "alt+x", "export_chat", "",
           mark("Export chat"), mark("As Markdown, a web page or JSON."), CHATS, slash="export"),
    Action("chats.import", "", "import_chats", "",
           mark("Import chats"), mark("From JSON of localchat, or from what ChatGPT exports."), CHATS, slash="import"),
    # ---- replies
    Action("reply.stop", "escape", "stop", mark("Stop"),
           mark("Stop"), mark("End the reply; what was written is kept."), REPLIES),
    Action("reply.again", "ctrl+r", "regenerate", mark("Again"),
           mark("Another reply"), mark("The present one stays reachable."), REPLIES, slash="again"),
    Action("reply.continue", "alt+c", "continue_reply", "",
           mark("Continue the reply"), mark("From where it ended."), REPLIES, slash="continue"),
    Action("reply.begin", "alt+w", "begin_reply", "",
           mark("Begin the reply yourself"), mark("The model goes on from your first words."), REPLIES, slash="begin"),
    Action("question.edit", "alt+e", "edit_question", "",
           mark("Edit the question"), mark("The old version stays, with its replies."), REPLIES, slash="edit"),
    Action("chat.fork", "alt+d", "fork_chat", "",
           mark("Fork this chat"), mark("A copy of it, down to the message in focus."), REPLIES, slash="fork"),
    Action("reply.compare", "alt+v", "compare_replies", "",
           mark("Two replies side by side"), mark("Another version, or another model's."), REPLIES, slash="compare"),
    Action("reply.previous", "alt+left", "previous_version", "",
           mark("Previous version"), mark("Of the reply in focus."), REPLIES),
    Action("reply.next", "alt+right", "next_version", "",
           mark("Next version"), mark("Of the reply in focus."), REPLIES),
    Action("message.copy", "ctrl+y", "copy_message", mark("Copy"),
           mark("Copy message"), mark("The one in focus, or the last."), REPLIES, slash="copy"),
    Action("reply.tokens", "", "show_tokens", "",
           mark("Look inside the reply"),
           mark("How sure the model was of every token, and what else it might have said."), REPLIES, slash="tokens"),
    Action("reply.replay", "", "replay_reply", "",
           mark("Replay the reply"), mark("Make it again, and say whether it is identical."), REPLIES, slash="replay"),
    Action("message.pin", "", "pin_message", mark("Pin"),
           mark("Pin or unpin message"), mark("The model keeps seeing it when older ones no longer fit."), REPLIES,
           slash="keep"),
    Action("chat.context", "", "context", "",
           mark("What the model sees"), mark("Every part of the context, with its tokens."), REPLIES, slash="context"),
    Action("chat.summary", "", "edit_summary", "",
           mark("Edit the summary"), mark("What stands for messages that no longer fit."), REPLIES, slash="summary"),
    # ---- texts
    Action("text.open", "", "open_document", "",
           mark("Open a text"), mark("A file to work on, beside a conversation about it."), TEXTS, slash="doc"),
    Action("text.work", "alt+a", "work_on", mark("Work on it"),
           mark("Work on a text"), mark("Rewrite, proofread, translate …: the text, the message or the draft."), TEXTS,
           slash="write"),
    Action("text.quote", "alt+q", "quote_text", "",
           mark("Ask about the selection"), mark("Quote what is selected in the text, and ask."), TEXTS, slash="quote"),
    Action("text.switch", "f9", "switch_side", mark("Text"),
           mark("To the text and back"), mark("Between a text and the conversation about it."), TEXTS),
    Action("text.save", "ctrl+s", "save_document", mark("Save"),
           mark("Save the text"), mark("Into its file, written as it was."), TEXTS, slash="save"),
    Action("text.insert", "", "put_into_text", "",
           mark("Put the reply into the text"), mark("Where its cursor stands, or as a change of what is selected."),
           TEXTS, slash="insert"),
    Action("text.close", "", "close_document", "",
           mark("Close the text"), mark("The conversation goes on without it."), TEXTS, slash="close"),
    # ---- reading
    Action("transcript.top", "ctrl+home", "scroll_top", "",
           mark("To the beginning"), mark("Of this chat."), READING),
    Action("transcript.end", "ctrl+end", "scroll_end", "",
           mark("To the end"), mark("And follow the reply again."), READING),
    Action("thinking.fold", "alt+t", "toggle_all_thinking", "",
           mark("Show or hide thinking"), mark("What models wrote for themselves before they answered."), READING,
           slash="thinking"),
    Action("code.copy", "", "copy_code", "",
           mark("Copy code"), mark("The first block of the last reply; again: the next."), READING, slash="code"),
    Action("links.list", "", "list_links", "",
           mark("List links"), mark("Of the reply in focus, or the last; to copy one."), READING, slash="links"),
    # ---- program
    Action("app.model", "ctrl+o", "choose_model", mark("Model"),
           mark("Choose model"), mark("Load another, or fetch one."), PROGRAM, slash="model"),
    Action("app.unload", "", "unload", "",
           mark("Unload the model"), mark("It gives its memory back; your next word loads it again."), PROGRAM,
           slash="unload"),
    Action("app.settings", "f3,ctrl+comma", "settings", mark("Settings"),
           mark("Settings"), mark("How replies are written, and how this looks."), PROGRAM, slash="settings"),
    Action("chat.settings", "f5", "own_settings", mark("This chat"),
           mark("Settings of this chat"), mark("Its own model, system prompt, choice of words, context."), PROGRAM),
    Action("chat.preset", "", "preset", "",
           mark("Take a preset"), mark("A named set of settings, for this chat."), PROGRAM, slash="preset"),
    Action("chat.persona", "", "persona", "",
           mark("Take a persona"), mark("Who the model is in this chat; or a text of yours whose style it takes."),
           PROGRAM, slash="persona"),
    Action("chat.think", "", "think", "",
           mark("Think or not"), mark("Whether the model of this chat thinks before it answers: on, off or auto."),
           PROGRAM, slash="think"),
    Action("chat.language", "", "reply_language", "",
           mark("Reply language"), mark("Hold the replies of this chat to one: zh, en, any or auto."), PROGRAM,
           slash="language"),
    Action("app.keys", "", "keys", "",
           mark("Change keys"), mark("Give an action another key."), PROGRAM, slash="keys"),
    Action("draft.editor", "f4", "edit_draft", "",
           mark("Write in $EDITOR"), mark("Takes the draft along."), PROGRAM, slash="editor"),
    Action("draft.attach", "f6", "attach", "",
           mark("Attach a file"), mark("Text, code, PDF or DOCX; a file dropped here is attached too."), PROGRAM,
           slash="attach"),
    Action("app.lock", "alt+l", "lock", "",
           mark("Lock"), mark("Close an encrypted history until its passphrase is given."), PROGRAM, slash="lock"),
    Action("app.help", "f1", "help", mark("Help"),
           mark("Help"), mark("All keys."), PROGRAM, slash="help"),
)
# fmt: on

BY_ID = {action.id: action for action in ACTIONS}


def bindings() -> list[Binding]:
    return [action.binding() for action in ACTIONS]


def key_names(keys: str) -> str:
    """Keys as people write them: Ctrl+N, F2, Alt+Up."""
    names = [key.replace("comma", ",").replace("escape", "esc") for key in keys.split(",")]
    return ", ".join("+".join(part.capitalize() for part in name.split("+")) for name in names)
