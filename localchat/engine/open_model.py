"""A model that is ready to answer, with the cache of the conversation that it answered last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localchat.engine.digests import Digests
from localchat.engine.kv_cache import KVCache
from localchat.engine.landmarks import Landmarks
from localchat.engine.masking import Masks
from localchat.engine.sampling import Sampler, TokenMask
from localchat.engine.speculation import Speculator
from localchat.events import ModelInfo
from localchat.messages import SamplingOptions
from localchat.model.decoder import Check
from localchat.model.load import LoadedModel
from localchat.text.chat_text import ChatText

if TYPE_CHECKING:
    from localchat.engine.prefix_cache import PrefixCache


@dataclass(slots=True)
class OpenModel:
    """What an engine holds of one model.

    Attributes:
        cache: keys and values of the conversation that was answered last.
        token_ids: the ids that the cache holds, in order.
        line: prompt and reply that came last; the reply's last token is not in the cache.
        digests: of its content, for those who want to know whether it is the same.
        speculator: what guesses ahead of it.
        prefixes: keys and values of other conversations.
        masks: what replies are held to.
    """

    loaded: LoadedModel
    text: ChatText
    info: ModelInfo
    cache: KVCache
    token_ids: list[int]
    line: list[int]
    digests: Digests
    speculator: Speculator
    prefixes: PrefixCache
    masks: Masks = field(init=False)

    def __post_init__(self) -> None:
        self.masks = Masks(self.text, self.loaded.spec.vocab_size)

    def rewind(self, prompt: Sequence[int], check: Check = lambda: None) -> int:
        """Let the cache hold what is known of the beginning of `prompt`; returns how many tokens need no reading.

        The last token is always read again: its logits begin the reply.
        """
        return self.prefixes.rewind(self, prompt, check)

    def sampler(self, sampling: SamplingOptions, prompt: Sequence[int], *, mask: TokenMask | None = None) -> Sampler:
        """What chooses the tokens of a reply to `prompt`."""
        return Sampler(sampling, prompt, mask=mask, landmarks=Landmarks(self.text.tokenizer))

    def keep(self, chat: str) -> None:
        """Let what the cache holds outlive the engine, where it belongs to a saved conversation."""
        if chat:
            self.prefixes.keep(self, chat)
