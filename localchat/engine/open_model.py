"""A model that is ready to answer, with the cache of the conversation that it answered last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localchat.engine.digests import Digests
from localchat.engine.kv_cache import KVCache
from localchat.messages import ModelInfo
from localchat.model.load import LoadedModel
from localchat.text.chat_text import ChatText


@dataclass(slots=True)
class OpenModel:
    """What an engine holds of one model.

    Attributes:
        cache: keys and values of the conversation that was answered last.
        token_ids: the ids that the cache holds, in order.
        line: prompt and reply that came last; the reply's last token is not in the cache.
        digests: of its content, for those who want to know whether it is the same.
    """

    loaded: LoadedModel
    text: ChatText
    info: ModelInfo
    cache: KVCache
    token_ids: list[int]
    line: list[int]
    digests: Digests

    def rewind(self, prompt: Sequence[int]) -> int:
        """Cut the cache back to what it shares with `prompt`, or further; returns how many tokens need no reading.

        The last token is always read again: its logits begin the reply.
        """
        shared = 0
        for known, wanted in zip(self.token_ids, prompt[:-1], strict=False):
            if known != wanted:
                break
            shared += 1
        kept = self.cache.truncate(shared)
        del self.token_ids[kept:]
        return kept
