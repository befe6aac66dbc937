"""The commands of the linear mode: what the screen does with keys, by name."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from localchat.config import save_setting
from localchat.errors import LocalChatError, ModelNotFound
from localchat.known_settings import SETTINGS, Setting, Value
from localchat.messages import Limits
from localchat.translation import _, mark, spoken
from localchat.ui.linear_context import read_context
from localchat.ui.linear_files import FileCommands
from localchat.ui.own_settings import OwnSettings
from localchat.ui.places import short_path
from localchat.ui.presets import read_presets
from localchat.ui.reply_language_choice import choose_reply_language, reply_language_in_words
from localchat.ui.thinking_choice import choose_thinking, thinking_in_words
from localchat.writing.personas import all_personas, find_persona

if TYPE_CHECKING:
    from localchat.ui.linear import LinearChat

LISTED = 20
"""Chats that /chats lists."""

COMMANDS: Mapping[str, tuple[str, str]] = {
    "help": ("", mark("This list.")),
    "chats": (mark("[WORDS]"), mark("List the chats, or those in which these words are found.")),
    "open": (mark("NUMBER"), mark("Go on with a chat of the list.")),
    "new": ("", mark("Start with an empty page.")),
    "private": ("", mark("Start a chat that is not saved.")),
    "read": ("", mark("Read this chat out from its beginning.")),
    "again": ("", mark("Another reply to the last question.")),
    "continue": ("", mark("Let the last reply go on.")),
    "edit": (mark("TEXT"), mark("Ask the last question differently.")),
    "context": ("", mark("What the model would see, with the tokens of each part.")),
    "keep": ("", mark("Pin the last question, or unpin it: the model keeps seeing it when older ones no longer fit.")),
    "rename": (mark("TITLE"), mark("Give this chat a title of yours.")),
    "delete": ("", mark("Delete this chat.")),
    "undelete": ("", mark("Bring back the chat that was deleted.")),
    "attach": (mark("[PATH]"), mark("Give a file with the next question, or list those that wait for it.")),
    "detach": (mark("[NAME]"), mark("Take a file that waits out again, or all of them.")),
    "export": (mark("[PATH]"), mark("Write this chat into a file: .md, .html or .json.")),
    "import": (mark("PATH"), mark("Add the chats of a file: JSON of localchat, or what ChatGPT exports.")),
    "model": (mark("[NAME]"), mark("Take another model, or list those that are here.")),
    "unload": ("", mark("Let the model give its memory back until the next question.")),
    "system": (mark("[TEXT]"), mark("What the model is told before this chat.")),
    "think": (mark("[on|off|auto]"), mark("Whether the model thinks before it answers in this chat.")),
    "language": (mark("[zh|en|any|auto]"), mark("The language that replies in this chat are held to.")),
    "persona": (mark("[NAME]"), mark("Take a persona for this chat, or list them.")),
    "preset": (mark("[NAME]"), mark("Take a preset for this chat, or list them.")),
    "settings": ("", mark("All settings and their values.")),
    "set": (mark("KEY VALUE"), mark("Change a setting; without a value it goes back to its default.")),
    "quit": ("", mark("Leave. Everything is saved.")),
}


class Commands(FileCommands):
    """Runs a command for the conversation in `chat`."""

    def __init__(self, chat: LinearChat) -> None:
        super().__init__(chat)
        self._listed: list[str] = []

    async def run(self, line: str) -> None:
        """A command without its slash, with its argument."""
        name, _blank, argument = line.partition(" ")
        if name not in COMMANDS:
            self._chat.say(_("There is no command /{name}; /help lists them.").format(name=name))
            return
        action: Callable[[str], Awaitable[None] | None] = getattr(self, f"_{name}")
        result = action(argument.strip())
        if inspect.isawaitable(result):
            await result

    def _help(self, _argument: str) -> None:
        for name, (argument, explanation) in COMMANDS.items():
            usage = " ".join(part for part in (f"/{name}", _(argument) if argument else "") if part)
            self._chat.say(f"{usage}: {_(explanation)}")
        self._chat.say(_("A backslash at the end of a line goes on in the next. Esc or Ctrl+C stops a reply."))

    # ---- chats

    def _chats(self, argument: str) -> None:
        listing = self._chat.session.listing
        groups = listing.found(argument) if argument else listing.groups()
        chats = [chat for group in groups for chat in group.chats][:LISTED]
        self._listed = [chat.id for chat in chats]
        for number, chat in enumerate(chats, 1):
            self._chat.say(f"{number}. {chat.title} ({chat.day})")
        if not chats:
            self._chat.say(_("There is no such chat.") if argument else _("There is no chat yet."))

    def _open(self, argument: str) -> None:
        if not argument.isdigit() or not 1 <= int(argument) <= len(self._listed):
            self._chat.say(_("Say the number of a chat, as /chats lists them."))
            return
        self._chat.session.open_chat(self._listed[int(argument) - 1])
        self._chat.say(_("“{title}” is open.").format(title=self._chat.session.title))
        if waiting := self.waiting():
            self._chat.say(waiting)

    def _new(self, _argument: str) -> None:
        self._chat.session.new_chat()
        self._chat.say(_("An empty page."))

    def _private(self, _argument: str) -> None:
        self._chat.session.begin_private_chat()
        self._chat.say(_("A private chat: nothing of it is saved."))

    def _read(self, _argument: str) -> None:
        self._chat.read_out()

    def _rename(self, argument: str) -> None:
        self._chat.session.rename(self._chat.session.entered(), argument)
        self._chat.say(_("This chat is called “{title}” now.").format(title=self._chat.session.title))

    def _delete(self, _argument: str) -> None:
        session = self._chat.session
        if session.chat_id is None:
            self._chat.say(_("There is no chat to delete."))
            return
        title = session.title
        session.delete(session.chat_id)
        self._chat.say(_("“{title}” was deleted. /undelete brings it back.").format(title=title))

    def _undelete(self, _argument: str) -> None:
        if self._chat.session.undelete() is None:
            self._chat.say(_("Nothing was deleted in this session."))
        else:
            self._chat.say(_("“{title}” is open.").format(title=self._chat.session.title))

    # ---- replies

    async def _again(self, _argument: str) -> None:
        await self._hear(self._chat.session.branching.regenerate())

    async def _continue(self, _argument: str) -> None:
        await self._hear(self._chat.session.branching.go_on())

    async def _edit(self, argument: str) -> None:
        branching = self._chat.session.branching
        question = branching.question_of()
        if question is None or not argument:
            self._chat.say(_("Write the question after /edit, when there is one to replace."))
            return
        branching.edit(question.id, argument)
        await self._hear(self._chat.session.messages()[-1])

    async def _context(self, _argument: str) -> None:
        await read_context(self._chat)

    def _keep(self, _argument: str) -> None:
        session = self._chat.session
        question = session.branching.question_of()
        if question is None:
            self._chat.say(_("There is no question in this chat yet."))
        elif session.context.toggle_pin(question.id):
            self._chat.say(_("Pinned: the model keeps seeing this exchange."))
        else:
            self._chat.say(_("No longer pinned."))

    async def _hear(self, reply: Any) -> None:
        if reply is None:
            self._chat.say(_("There is no question to answer."))
        else:
            await self._chat.hear(reply)

    # ---- settings

    def _model(self, argument: str) -> None:
        here = [model for model in self._chat.shelf.installed() if not model.damage]
        if not argument:
            for model in here:
                self._chat.say(f"{model.name}: {model.title}, {model.precision}")
            return
        choice = next((model for model in here if argument in (model.name, model.title)), None)
        if choice is None:
            raise ModelNotFound(_("There is no model {name} here.").format(name=argument), _("/model lists them."))
        own = self._chat.session.own
        if own.model is None:
            self._chat.use(choice)
        else:
            self._take_own(own.changed(model=choice.name))

    def _unload(self, _argument: str) -> None:
        unloaded = self._chat.session.idling.unload()
        self._chat.say(_("The model is unloaded.") if unloaded else _("No model is loaded."))

    def _system(self, argument: str) -> None:
        self._take_own(self._chat.session.own.changed(system_prompt=argument or None))

    def _think(self, argument: str) -> None:
        session = self._chat.session
        self._chat.say(choose_thinking(session, argument) if argument else thinking_in_words(session))

    def _language(self, argument: str) -> None:
        session = self._chat.session
        self._chat.say(choose_reply_language(session, argument) if argument else reply_language_in_words(session))

    def _preset(self, argument: str) -> None:
        presets = read_presets()
        found = next((name for name in presets if name.casefold() == argument.casefold()), None)
        if found is not None:
            self._take_own(presets[found])
        elif argument:
            self._chat.say(_("There is no preset “{name}”.").format(name=argument))
        for name in presets if found is None else ():
            self._chat.say(name)

    def _persona(self, argument: str) -> None:
        if argument:
            self._take_own(self._chat.session.own.taking(find_persona(argument)))
            return
        for persona in all_personas().values():
            self._chat.say(f"{persona.name}: {persona.title(spoken())}. {persona.description(spoken())}")

    def _take_own(self, own: OwnSettings) -> None:
        self._chat.session.set_own(own)
        self._chat.session.bring_model()
        words = own.summary(self._chat.session.engine_state.model)
        self._chat.say(words or _("This chat follows the settings."))

    def _settings(self, _argument: str) -> None:
        from localchat.paths import config_file

        config = self._chat.config
        for setting in SETTINGS.values():
            value = config.sampling.get(setting.key) if setting.table else getattr(config, setting.key)
            self._chat.say(f"{setting.key}: {_shown(value)}. {_(setting.comment)}")
        self._chat.say(_("They are kept in {path}.").format(path=short_path(config_file())))

    def _set(self, argument: str) -> None:
        key, _blank, text = argument.partition(" ")
        if key not in SETTINGS:
            self._chat.say(_("There is no setting {key}; /settings lists them.").format(key=key))
            return
        value = _value(SETTINGS[key], text.strip())
        save_setting(key, value)
        self._chat.take_config(self._chat.config.changed({key: value}))
        self._chat.say(_("{key} is {value} now.").format(key=key, value=_shown(value)))

    def _quit(self, _argument: str) -> None:
        self._chat.leaving = True


def _shown(value: Value | None) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return _("not set") if value in (None, "") else str(value)


def _value(setting: Setting, text: str) -> Value | None:
    """What the text means for this setting.

    Raises:
        LocalChatError: it is not allowed.
    """
    if not text:
        return None
    if setting.kind is bool:
        yes, no = (_("yes"), "yes", "true", "on", "1"), (_("no"), "no", "false", "off", "0")
        candidates: list[Value] = [True] if text in yes else [False] if text in no else []
    elif isinstance(setting.kind, Limits):
        candidates = []
        for number in (int, float):
            try:
                candidates.append(number(text))
            except ValueError:
                continue
    else:
        candidates = [text]
    for value in candidates:
        if setting.allows(value):
            return value
    raise LocalChatError(_("{setting} must be {allowed}.").format(setting=setting.key, allowed=setting.allowed))
