"""The conversation as plain lines, for screen readers, Braille displays and simple terminals.

Everything is text in the order in which it happens: nothing is drawn over, nothing is said by colour or place alone,
and no figure changes on a line that was read already. Commands begin with a slash (`linear_commands`).
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from typing import TextIO

from localchat.config import Config
from localchat.engine.client import EngineLink
from localchat.errors import LocalChatError
from localchat.history.store import HistoryStore
from localchat.translation import _, mark, plural
from localchat.ui.dropped import dropped_paths
from localchat.ui.engine_state import EngineState, describe
from localchat.ui.linear_commands import Commands
from localchat.ui.linear_context import say_what_goes
from localchat.ui.linear_input import Keyboard
from localchat.ui.model_shelf import ModelChoice, ModelShelf
from localchat.ui.own_settings import OwnSettings
from localchat.ui.preferences import Preferences
from localchat.ui.session import ChatSession
from localchat.ui.session_events import EngineChanged, ReplyEnded, ReplyGrew, SessionEvent, Trouble
from localchat.ui.shown import ShownMessage, footnote
from localchat.ui.turn import ModelSource
from localchat.ui.visible_text import one_line, visible_text

WELCOME = mark("localchat, in plain lines. /help lists what can be done. An empty line or /quit ends it.")
SAID_PHASES = frozenset({"loading", "restarting", "failed"})
"""States of the engine that get a line of their own; the others are heard from what follows."""


class LinearChat:
    """One conversation after the other, line by line.

    Args:
        keyboard: where lines come from.
        out: where everything is written.
    """

    def __init__(
        self,
        engine: EngineLink,
        store: HistoryStore,
        config: Config,
        *,
        shelf: ModelShelf | None = None,
        keyboard: Keyboard | None = None,
        out: TextIO | None = None,
    ) -> None:
        self.config = config
        self.shelf = shelf or ModelShelf()
        self.session = ChatSession(engine, store, Preferences.of(config))
        self.session.model_for = self._model_for
        self.usual_model: ModelChoice | None = None
        self.leaving = False
        self._out = out or sys.stdout
        self._keyboard = keyboard or Keyboard()
        self._commands = Commands(self)
        self._phase = ""
        self._writing = ""
        self._ended = asyncio.Event()
        self._begun = False
        self._thinking = False

    async def run(self, troubles: list[str]) -> None:
        """Talk until the user leaves."""
        self.say(_(WELCOME))
        for trouble in troubles:
            self.say(f"! {trouble}")
        self.session.listen(self._on_session)
        try:
            self._start_engine()
            while not self.leaving:
                await asyncio.sleep(0)  # what the engine told meanwhile is said before the next question
                line = self._keyboard.read(_("You: "))
                if line is None:
                    break
                if line.strip():
                    await self._take(line.strip())
                elif self.session.files.documents:
                    self.say(_("Write what is to be done with the file, or /detach."))
                else:
                    break
        finally:
            await self.session.close()

    def say(self, text: str = "") -> None:
        """One line, or several."""
        print(visible_text(text), file=self._out, flush=True)

    def take_config(self, config: Config) -> None:
        """Let these settings hold from now on."""
        self.config = config
        self.session.preferences = Preferences.of(config)

    async def _take(self, line: str) -> None:
        try:
            if dropped := dropped_paths(line):
                await self._commands.attach(dropped)
            elif line.startswith("/") and not line.startswith("//"):
                await self._commands.run(line[1:])
            else:
                await say_what_goes(self, line.removeprefix("/"))
                _question, reply = self.session.send(line.removeprefix("/"))
                await self.hear(reply)
        except LocalChatError as error:
            self.say(f"! {error}")

    # ---- models

    def _start_engine(self) -> None:
        try:
            self.use(self.shelf.to_start(self.config.model))
        except LocalChatError as error:
            self.say(f"! {error}")
            self.say(_("“localchat pull” fetches a model, and “localchat models” lists what can be fetched."))

    def use(self, choice: ModelChoice) -> None:
        """Let this model answer where no chat says otherwise."""
        self.usual_model = choice
        source = self._source(choice, OwnSettings())
        self.session.load_model(source.path, source.name, source.context_length, source.draft)

    def _source(self, choice: ModelChoice, own: OwnSettings) -> ModelSource:
        assert choice.path is not None
        context = own.context_length or self.config.context_length
        named = (str(model.path) for model in self.shelf.installed() if model.name == self.config.draft_model)
        return ModelSource(str(choice.path), choice.name, context, next(named, self.config.draft_model or None))

    def _model_for(self, chat_id: str) -> ModelSource | None:
        own = OwnSettings.of(self.session.store_of(chat_id).conversation(chat_id))
        named = (model for model in self.shelf.installed() if model.name == own.model and not model.damage)
        choice = next(named, self.usual_model) if own.model is not None else self.usual_model
        return self._source(choice, own) if choice is not None else None

    # ---- replies

    async def hear(self, reply: ShownMessage) -> None:
        """Write the reply as it comes, until it ends; Esc and Ctrl+C stop it."""
        self._writing, self._begun, self._thinking = reply.id, False, False
        self._ended.clear()
        if reply.text:
            self._grow(reply.text, False)
        with self._keyboard.stops(self._stop):
            await self._ended.wait()
        self._writing = ""
        final = self.session.message(reply.id)
        if self._begun:
            self._write("\n")
        if words := footnote(final):
            self.say(f"({words})")

    def _stop(self) -> None:
        self.session.stop()

    def _write(self, text: str) -> None:
        print(visible_text(text), end="", file=self._out, flush=True)

    def _on_session(self, event: SessionEvent) -> None:
        match event:
            case EngineChanged(state):
                self._show_engine(state)
            case ReplyGrew(reply_id=reply_id, text=text, thinking=thinking) if reply_id == self._writing:
                self._grow(text, thinking)
            case ReplyEnded(reply_id=reply_id) if reply_id == self._writing:
                self._ended.set()
            case Trouble(text):
                self.say(f"! {text}")

    def _grow(self, text: str, thinking: bool) -> None:
        """What a model thinks is not read out; that it thinks is said once."""
        if not self._begun:
            self._begun = True
            self._write(f"{one_line(self.session.engine_state.model_name) or _('Model')}: ")
        if not thinking:
            self._write(text)
        elif not self._thinking:
            self._write(_("(thinking) "))
        self._thinking = thinking

    def _show_engine(self, state: EngineState) -> None:
        if state.phase == self._phase:
            return
        was_loading, self._phase = self._phase in SAID_PHASES, state.phase
        if state.phase == "loading":
            self.say(f"({_('Loading {model}').format(model=state.model_name)})")
        elif state.phase in SAID_PHASES:
            self.say(f"({describe(replace(state, fraction=None))})")
        elif state.phase == "ready" and was_loading and state.model is not None:
            tokens = state.model.context_length
            words = _("{model} is ready: {precision}, {tokens} tokens of context.")
            self.say(f"({words.format(model=state.model_name, precision=state.model.precision, tokens=tokens)})")

    def read_out(self) -> None:
        """The open conversation, from its beginning."""
        messages = self.session.messages()
        self.say(plural("{count} message.", "{count} messages.", len(messages)).format(count=len(messages)))
        for message in messages:
            who = _("You") if message.role == "user" else message.writer or _("Model")
            files = _("(with {files}) ").format(files=", ".join(message.files)) if message.files else ""
            self.say(f"{who}: {files}{message.text}")


def run(engine: EngineLink, store: HistoryStore, config: Config, troubles: list[str]) -> None:
    """Talk until the user leaves."""
    asyncio.run(LinearChat(engine, store, config).run(troubles))
