"""`Engine`: messages in, a stream of events out. Plain and synchronous; knows nothing of processes or screens.

engine = Engine()
engine.load("models/smollm2-135m")
for event in engine.reply([Message("user", "Hello")], ReplyOptions()):
    ...
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event as StopSignal

import torch

from localchat.engine.answer import answer
from localchat.engine.caches import cache_facts, cache_for
from localchat.engine.context_ledger import ledger
from localchat.engine.digests import Digests
from localchat.engine.explaining import explain
from localchat.engine.kv_cache import KVCache
from localchat.engine.open_model import OpenModel
from localchat.engine.prefix_cache import Budgets, PrefixCache
from localchat.engine.replay import replay
from localchat.engine.speculation import Speculator
from localchat.errors import BadTemplate, LocalChatError, Stopped
from localchat.events import (
    Event,
    LoadProgress,
    ModelInfo,
    PromptProgress,
    PromptSize,
)
from localchat.ledger import ContextLedger
from localchat.messages import CacheChoice, Message, ReplyOptions
from localchat.model.decoder import Check
from localchat.model.device import configure_threads
from localchat.model.load import LoadedModel, load_model
from localchat.recording import Recording, Replayed, ReplyExplained, TokenExplained
from localchat.text.chat_text import ChatText, load_chat_text
from localchat.translation import _, mark

WARM_UP = (Message("user", "Hello"),)
"""Read once after loading: the first question then pays neither for the first use of every kernel nor for the system
prompt of the model's own template, whose keys and values stay in the cache."""


class Engine:
    """One loaded model and the cache of one conversation."""

    def __init__(self) -> None:
        self._model: OpenModel | None = None

    def load(
        self,
        path: str | Path,
        context_length: int | None = None,
        draft: str | Path | None = None,
        *,
        cache_kind: CacheChoice = "auto",
        budgets: Budgets | None = None,
        on_progress: Callable[[LoadProgress], None] = lambda _: None,
        stop: StopSignal | None = None,
    ) -> ModelInfo:
        """Load the model in a folder of ours or in a GGUF file; the one before is let go first.

        Args:
            path: the folder or file.
            context_length: tokens of context to allow, at most the model's own; None takes the model's own, or as many
                as there is memory for.
            cache_kind: how keys and values are to be held.
            budgets: of the memory and the disk that other conversations may take.
            draft: a smaller model of the same vocabulary, which guesses what this one is about to write. Where it
                cannot, `ModelInfo.draft_problem` says why.

        Raises:
            Stopped: `stop` was set.
            NotEnoughMemory: it does not fit into what is free; nothing was loaded.
            LocalChatError: the model cannot be loaded, with the reason.
        """
        began = time.perf_counter()
        check = _checker(stop)
        self.unload()
        threads = configure_threads()
        path = Path(path).expanduser()
        loaded = load_model(
            path,
            context_length=context_length,
            cache=cache_kind,
            on_progress=lambda stage, fraction: on_progress(LoadProgress(stage, fraction)),
            check=check,
        )
        text = load_chat_text(path)
        cache = cache_for(loaded, loaded.context_length)
        on_progress(LoadProgress(mark("Warming up"), 1.0))
        token_ids = _warm_up(loaded, text, cache, check)
        digests = Digests(path, text)
        digests.begin()
        speculator = Speculator(loaded)
        if draft:
            speculator.load_draft(Path(draft).expanduser(), text.tokenizer, loaded.context_length, check)
        info = ModelInfo(
            name=loaded.name,
            architecture=loaded.spec.family,
            precision=loaded.precision,
            device=str(loaded.device),
            kernel=loaded.kernel,
            threads=threads,
            parameters=loaded.parameters,
            file_bytes=loaded.file_bytes,
            bits_per_weight=loaded.bits_per_weight,
            context_length=loaded.context_length,
            load_s=time.perf_counter() - began,
            sampling=loaded.sampling,
            thinking_switch=text.template.switch is not None,
            speculation=speculator.refusal or "",
            draft=speculator.draft.name if speculator.draft else "",
            draft_problem=str(speculator.draft_problem or ""),
            **cache_facts(loaded, cache_kind),
        )
        prefixes = PrefixCache(budgets or Budgets())
        self._model = OpenModel(loaded, text, info, cache, token_ids, token_ids[:], digests, speculator, prefixes)
        return info

    def unload(self) -> None:
        """Let the model and its cache go. What is on its way to the disk still gets there."""
        self._model = None

    def flush(self, seconds: float = 10.0) -> None:
        """Wait until what is to be kept of conversations is on disk, at most so long."""
        if (model := self._model) is not None:
            model.prefixes.flush(seconds)

    def forget(self, chat: str) -> None:
        """Let nothing come to disk any more of a conversation that was deleted."""
        if self._model is not None:
            self._model.prefixes.forget(chat)

    def measure(self, messages: Sequence[Message]) -> PromptSize:
        """Count the tokens of a conversation with the model's own template, without reading them."""
        model = self._ready()
        return PromptSize(len(model.text.encode(messages)), model.info.context_length)

    def ledger(
        self, messages: Sequence[Message], options: ReplyOptions, ends: Sequence[Sequence[int]] = (), ahead: int = 0
    ) -> ContextLedger:
        """What a reply would be given: see `context_ledger.ledger`."""
        model = self._ready()
        return ledger(model.text, messages, options, model.info.context_length, ends, ahead)

    def reply(
        self, messages: Sequence[Message], options: ReplyOptions, *, stop: StopSignal | None = None
    ) -> Iterator[Event]:
        """Answer the last message: `PromptFitted`, `PromptProgress`..., `TextDelta`..., `ReplyRecorded`, `ReplyDone`.

        Before the last two, `TextCut` comes where the reply went round in circles. Where probabilities are asked for,
        `TokenChosen` comes before the text that a token completes. What the cache already holds of the prompt is not
        read again. A stop ends the reply with its text so far.

        Raises:
            ContextOverflow: the last message is too long for the model.
            BadTemplate: the model's template refuses this conversation.
            BadConstraint: the reply cannot be held to what it is to match.
            InvalidSetting: a sampling option is out of its range, or `think` is set and the model has no such switch.
        """
        return answer(self._ready(), messages, options, _checker(stop))

    def replay(self, recording: Recording, *, stop: StopSignal | None = None) -> Iterator[PromptProgress | Replayed]:
        """Make a recorded reply again, as far as it stays the same: `PromptProgress`..., `Replayed`.

        Raises:
            Stopped: `stop` was set.
            InvalidSetting: it was recorded with other tokens or options than this model and this version have.
        """
        return replay(self._ready(), recording, _checker(stop))

    def explain(
        self, recording: Recording, alternatives: int, *, stop: StopSignal | None = None
    ) -> Iterator[PromptProgress | TokenExplained | ReplyExplained]:
        """How sure the model was of every token: `PromptProgress` and `TokenExplained`..., `ReplyExplained`.

        Args:
            alternatives: so many of the likeliest tokens are told at every place.

        Raises:
            Stopped: `stop` was set.
            InvalidSetting: it was recorded with other weights, tokens or options than this model has.
        """
        return explain(self._ready(), recording, alternatives, _checker(stop))

    def _ready(self) -> OpenModel:
        if self._model is None:
            raise LocalChatError(_("No model is loaded."), _("Choose one first."))
        return self._model


@torch.inference_mode()
def _warm_up(loaded: LoadedModel, text: ChatText, cache: KVCache, check: Check) -> list[int]:
    """Read `WARM_UP` and one token more; returns the ids that the cache then holds."""
    try:
        ids = text.encode(WARM_UP)[: cache.context_length - 1]
    except BadTemplate:  # it will say so when there is a real question
        ids = [0]
    ids.append(ids[-1])
    loaded.decoder(torch.tensor(ids[:-1]), cache, check=check)
    loaded.decoder(torch.tensor(ids[-1:]), cache, check=check)
    return ids


def _checker(stop: StopSignal | None) -> Check:
    def check() -> None:
        if stop is not None and stop.is_set():
            raise Stopped

    return check
