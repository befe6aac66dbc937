"""The part of the app that concerns models: starting with one, choosing, fetching, and the one that a chat wants."""

from __future__ import annotations

from textual import work

from localchat.errors import HistoryUnavailable, LocalChatError, ModelNotFound
from localchat.history.records import StoredMessage
from localchat.translation import _
from localchat.ui.app_looks import LooksPart
from localchat.ui.model_shelf import ModelChoice, ModelShelf
from localchat.ui.own_settings import OwnSettings
from localchat.ui.session import ChatSession
from localchat.ui.turn import ModelSource


class ModelsPart(LooksPart):
    """What the user does with models."""

    shelf: ModelShelf
    session: ChatSession
    usual_model: ModelChoice | None = None
    """What answers in chats that have no model of their own."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, ModelChoice] = {}

    def model_title(self, name: str) -> str:
        """The title that people know the model by."""
        known = self._installed(name) if name else None
        return known.title if known is not None else name

    def start_engine(self) -> None:
        """Load what the settings name, or lead to a first model."""
        try:
            self.load(self.shelf.to_start(self.config.model))
        except ModelNotFound as error:
            if not self.shelf.is_empty() or self.config.model is not None:
                self.notify(str(error), severity="error", timeout=20, markup=False)
            self.first_start(self.config.model)
        except LocalChatError as error:
            self.notify(str(error), severity="error", timeout=20, markup=False)

    def load(self, choice: ModelChoice) -> None:
        """Load an installed model, and let it answer where no chat says otherwise."""
        self.usual_model = choice
        source = self._source(choice, OwnSettings())
        self.session.load_model(source.path, source.name, source.context_length, source.draft)

    def _source(self, choice: ModelChoice, own: OwnSettings) -> ModelSource:
        assert choice.path is not None
        self._known[choice.name] = choice
        context = own.context_length or self.config.context_length
        return ModelSource(str(choice.path), choice.name, context, self._draft())

    def _draft(self) -> str | None:
        """Where the model is that guesses ahead; what is not installed may be a path."""
        name = self.config.draft_model
        known = self._installed(name) if name else None
        return str(known.path) if known is not None else name or None

    def model_for(self, chat_id: str) -> ModelSource | None:
        """The model that is to answer in this chat, as the session asks before every reply; None is as it is."""
        try:
            own = OwnSettings.of(self.session.store_of(chat_id).conversation(chat_id))
        except HistoryUnavailable:
            own = OwnSettings()
        choice = self._installed(own.model) if own.model is not None else None
        if own.model is not None and choice is None:
            sentence = _("{model}, which this chat wants, is not installed; another model answers.")
            self.notify(sentence.format(model=own.model), severity="warning", markup=False)
        choice = choice or self.usual_model
        return self._source(choice, own) if choice is not None else None

    def writer_of(self, reply: StoredMessage) -> ModelSource | None:
        """The model that wrote this reply; None when it is the one that is chosen.

        Raises:
            ModelNotFound: it is not installed.
        """
        chosen = self.session.inside.chosen
        if chosen is not None and reply.model == chosen.name:
            return None
        choice = self._installed(reply.model or "")
        if choice is None:
            raise ModelNotFound(
                _("{model}, which wrote this reply, is not installed.").format(model=reply.model or _("The model")),
                _("Ctrl+O fetches models."),
            )
        own = OwnSettings.of(self.session.store_of(reply.conversation_id).conversation(reply.conversation_id))
        return self._source(choice, own)

    def _installed(self, name: str) -> ModelChoice | None:
        if name not in self._known:
            self._known |= {model.name: model for model in self.shelf.installed() if not model.damage}
        return self._known.get(name)

    @work
    async def first_start(self, wanted: str | None = None) -> None:
        """Offer a first model."""
        try:
            offer = self.shelf.offer(wanted)
        except LocalChatError:
            offer = None
        if offer is None or not await self._fetch(offer, first_start=True):
            self.notify(_("No model is loaded. Ctrl+O chooses one."), severity="warning", markup=False)

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
    async def choose_model(self, name: str = "") -> None:
        """Let the user pick a model (or take the one named), fetch it if need be, load it, and remember it.

        In a chat that has a model of its own, the choice is the chat's; otherwise it holds everywhere.
        """
        from localchat.ui.screens.models import ModelScreen

        if name:
            choice = next((each for each in self._all_models() if name in (each.name, each.title)), None)
            if choice is None:
                sentence = _("There is no model {name}. Ctrl+O shows them all.").format(name=name)
                self.notify(sentence, severity="error", markup=False)
        else:
            current = self.session.engine_state.model_name
            choice = await self.push_screen_wait(ModelScreen(self.shelf, current))
        if choice is None:
            return
        if choice.path is None:
            if not await self._fetch(choice):
                return
        elif self.session.own.model is not None:
            self.session.set_own(self.session.own.changed(model=choice.name))
            self.session.bring_model()
            return
        else:
            self.load(choice)
        self.keep("model", choice.name)

    def _all_models(self) -> list[ModelChoice]:
        try:
            return [model for model in self.shelf.installed() if not model.damage] + self.shelf.fetchable()
        except LocalChatError:
            return []
