"""What files cost of the context, in tokens of the model that is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from localchat.documents.document import Document
from localchat.engine.client import EngineLink
from localchat.errors import LocalChatError
from localchat.messages import Message
from localchat.ui.engine_state import EngineState

_SLICE = 20_000
"""Characters that are measured at once: the engine must never be kept from a stop for long."""

_BASE = [Message("user", ".")]


class TokenCosts:
    """Measures while the engine has nothing else to do, and remembers.

    Args:
        state: of the engine, now.
    """

    def __init__(self, engine: EngineLink, state: Callable[[], EngineState]) -> None:
        self._engine = engine
        self._state = state
        self._known: dict[tuple[str, int], int] = {}  # by model and hash: no text is held here

    def of(self, document: Document) -> int | None:
        """None while it was not measured with this model."""
        return self._known.get((self._state().model_name, hash(document)))

    async def measure(self, documents: Sequence[Document]) -> bool:
        """Measure what is not known yet; whether anything new is known now."""
        learned = False
        for document in documents:
            if self.of(document) is None and (tokens := await self._tokens(document.for_model())) is not None:
                self._known[self._state().model_name, hash(document)] = tokens
                learned = True
        return learned

    async def _tokens(self, text: str) -> int | None:
        """None when the engine is busy with something better, or is none."""
        total = 0
        try:
            for start in range(0, len(text), _SLICE):
                if self._state().phase != "ready":
                    return None
                part = Message("user", f".{text[start : start + _SLICE]}")
                size, base = await self._engine.measure([part]), await self._engine.measure(_BASE)
                total += size.tokens - base.tokens
        except LocalChatError:
            return None
        return total
