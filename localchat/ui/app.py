"""The application: one window on the history and one engine behind it.

Importing this must stay quick and must never bring torch in: the first frame waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from textual import work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from localchat.config import Config, Value, load_config, save_setting
from localchat.engine.client import EngineLink
from localchat.errors import HistoryUnavailable, InvalidSetting, LocalChatError, ModelNotFound
from localchat.history.store import HistoryStore
from localchat.paths import history_file
from localchat.ui import themes
from localchat.ui.actions import ACTIONS, key_names
from localchat.ui.model_shelf import ModelChoice, ModelShelf
from localchat.ui.screens.chat import ChatScreen
from localchat.ui.session import ChatSession, Preferences
from localchat.ui.terminal_keys import teach_terminal_keys

NOT_SAVED = "Nothing is being saved in this window"


class LocalChatApp(App[None]):
    """The window.

    Args:
        engine: answers; it is started after the first frame.
        store: the history.
        config: the settings in force.
        shelf: the models that are here or can be fetched.
        troubles: sentences to show at the start: what went wrong before there was a window.
    """

    TITLE = "localchat"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", "Quit", id="app.quit", show=False, priority=True),
        Binding("ctrl+p", "command_palette", "Actions", id="app.palette", show=False, priority=True),
    ]

    def __init__(
        self,
        engine: EngineLink,
        store: HistoryStore,
        config: Config,
        *,
        shelf: ModelShelf | None = None,
        troubles: Sequence[str] = (),
        session: ChatSession | None = None,
    ) -> None:
        super().__init__()
        teach_terminal_keys()
        self.config = config
        self.shelf = shelf or ModelShelf()
        self._troubles = list(troubles)
        self._titles: dict[str, str] = {}
        preferences = Preferences(config.system_prompt, config.sampling, config.max_tokens)
        self.session = session or ChatSession(engine, store, preferences)
        self.session.preferences = preferences
        self._store = store
        for theme in themes.THEMES:
            self.register_theme(theme)
        self._begin_with_theme(self._wanted_theme(config))
        if not config.enter_sends:
            self.set_keymap({"composer.send": "ctrl+j", "composer.line_break": "enter,shift+enter,alt+enter"})

    def _wanted_theme(self, config: Config) -> str:
        wanted = config.theme
        if wanted is None:
            return themes.DARK
        wanted = {"dark": themes.DARK, "light": themes.LIGHT}.get(wanted, wanted)
        if wanted in self.available_themes:
            return wanted
        allowed = f"one of {', '.join(sorted(self.available_themes))}"
        self._troubles.append(str(config.invalid("theme", wanted, allowed)))
        return themes.DARK

    def _begin_with_theme(self, name: str) -> None:
        """Set the theme before anything is drawn. Plain assignment would have every style sheet parsed twice."""
        theme = self.available_themes[name]
        if theme.ansi:
            self.theme = name
            return
        self.set_reactive(App.theme, name)
        self.set_class(theme.dark, "-dark-mode")
        self.set_class(not theme.dark, "-light-mode")
        self.add_class(f"-theme-{name}")
        self.stylesheet.set_variables(self.get_css_variables())

    def get_default_screen(self) -> Screen[Any]:
        remark = "" if self._store.is_saved else NOT_SAVED
        self.chat_screen = ChatScreen(self.session, sidebar=self.config.sidebar, remark=remark)
        return self.chat_screen

    def on_mount(self) -> None:
        self.theme_changed_signal.subscribe(self, self._keep_theme)
        self.call_after_refresh(self._prepare)
        for trouble in self._troubles:
            self.notify(trouble, severity="warning", timeout=20, markup=False)
        if self.config.model is None and self.shelf.is_empty():
            self._first_start()
        else:
            self.call_after_refresh(self._start_engine)

    @work(thread=True)
    def _prepare(self) -> None:
        """Import, while nobody waits, what the first reply will need."""

    # ---- models

    def model_title(self, name: str) -> str:
        """The title that people know the model by."""
        return self._titles.get(name, name)

    def _start_engine(self) -> None:
        try:
            self.load(self.shelf.to_start(self.config.model))
        except ModelNotFound as error:
            if not self.shelf.is_empty() or self.config.model is not None:
                self.notify(str(error), severity="error", timeout=20, markup=False)
            self._first_start(self.config.model)
        except LocalChatError as error:
            self.notify(str(error), severity="error", timeout=20, markup=False)

    def load(self, choice: ModelChoice) -> None:
        """Load an installed model."""
        assert choice.path is not None
        self._titles[choice.name] = choice.title
        self.session.load_model(str(choice.path), choice.name, self.config.context_length)

    @work
    async def _first_start(self, wanted: str | None = None) -> None:
        try:
            offer = self.shelf.offer(wanted)
        except LocalChatError:
            offer = None
        if offer is None or not await self._fetch(offer, first_start=True):
            self.notify("No model is loaded. Ctrl+O chooses one.", severity="warning", markup=False)

    async def _fetch(self, choice: ModelChoice, *, first_start: bool = False) -> bool:
        """Fetch a model and load it; whether that was done."""
        from localchat.ui.screens.fetch import FetchScreen

        name = await self.push_screen_wait(FetchScreen(self.shelf, choice, first_start=first_start))
        installed = next((model for model in self.shelf.installed() if model.name == name), None)
        if installed is None:
            return False
        self.load(installed)
        return True

    @work
    async def choose_model(self) -> None:
        """Let the user pick a model, fetch it if need be, load it, and remember it."""
        from localchat.ui.screens.models import ModelScreen

        current = self.session.engine_state.model_name
        choice = await self.push_screen_wait(ModelScreen(self.shelf, current))
        if choice is None:
            return
        if choice.path is not None:
            self.load(choice)
        elif not await self._fetch(choice):
            return
        self.keep("model", choice.name)

    # ---- settings

    @work
    async def show_settings(self) -> None:
        from localchat.ui.screens.settings import SettingsScreen

        model = self.session.engine_state.model
        recommended = model.sampling if model is not None else {}
        screen = SettingsScreen(self.config, sorted(self.available_themes), self.theme, recommended)
        changes = await self.push_screen_wait(screen)
        if changes is None:
            return
        for key, value in changes.values.items():
            self.keep(key, value)
        self._apply(changes.values)

    def _apply(self, values: Mapping[str, Value | None]) -> None:
        """Let the next reply follow what was changed."""
        sampling: dict[str, float] = dict(self.config.sampling)
        for key, value in values.items():
            if key in ("system_prompt", "max_tokens"):
                continue
            sampling.pop(key, None)
            if isinstance(value, (int, float)):
                sampling[key] = value
        prompt = values.get("system_prompt", self.config.system_prompt)
        longest = values.get("max_tokens", self.config.max_tokens)
        self.config = replace(
            self.config,
            sampling=sampling,
            system_prompt=prompt if isinstance(prompt, str) else "",
            max_tokens=longest if isinstance(longest, int) else None,
        )
        self.session.preferences = Preferences(self.config.system_prompt, self.config.sampling, self.config.max_tokens)

    def _keep_theme(self, theme: object) -> None:
        name = getattr(theme, "name", "")
        if name and name != self.config.theme:
            self.config = replace(self.config, theme=name)
            self.keep("theme", name)

    def keep(self, key: str, value: Value | None) -> None:
        """Write a setting into config.toml; what cannot be written is in force for this window all the same."""
        try:
            save_setting(key, value)
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)

    # ---- help, palette, clipboard

    @work
    async def show_help(self) -> None:
        from localchat.ui.screens.help import HelpScreen

        await self.push_screen_wait(HelpScreen())

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        if screen is self.chat_screen:
            for action in ACTIONS:
                keys = key_names(self._keymap.get(action.id, action.keys))
                yield SystemCommand(action.title, f"{keys} · {action.explanation}", self._command(action.name))
        yield SystemCommand("Theme", "Change the colours.", self.action_change_theme)
        yield SystemCommand("Quit", "Everything is saved.", self.action_quit)

    def _command(self, action: str) -> Any:
        async def run() -> None:
            await self.run_action(action, self.chat_screen)

        return run

    @work
    async def copy_text(self, text: str, said: str = "The message was copied.") -> None:
        """Into the clipboard, by the terminal and by the system's own tool where there is one."""
        from localchat.ui.clipboard import copy_with_system_tool

        self.copy_to_clipboard(text)
        await copy_with_system_tool(text)
        self.notify(said, timeout=2)

    # ---- the end

    async def action_quit(self) -> None:
        """Save the draft and the reply that is being written, end the engine, and go."""
        # Through the composer's queue, so that what was typed just before arrives there first.
        self.chat_screen.composer.call_later(self._leave)

    def _leave(self) -> None:
        self.chat_screen.save_draft()
        self.exit()

    async def on_unmount(self) -> None:
        await self.session.close()


def open_history(path: Path | None = None) -> tuple[HistoryStore, str]:
    """The history, or one in memory with the sentence that says why."""
    try:
        return HistoryStore(path or history_file()), ""
    except HistoryUnavailable as error:
        return HistoryStore.in_memory(), str(error)


def run(engine: EngineLink, model: str | None = None) -> int:
    """Open the app and stay in it until the user leaves; returns the exit status.

    Args:
        model: name or path; overrides the settings.
    """
    troubles: list[str] = []
    try:
        config = load_config()
    except InvalidSetting as error:
        config = Config()
        troubles.append(str(error))
    if model is not None:
        config = replace(config, model=model)
    store, trouble = open_history()
    if trouble:
        troubles.append(trouble)
    app = LocalChatApp(engine, store, config, troubles=troubles)
    try:
        app.run()
    finally:
        store.close()
    return app.return_code or 0
