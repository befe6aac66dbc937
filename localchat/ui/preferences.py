"""The settings that reach a reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from localchat.config import Config
from localchat.events import ModelInfo
from localchat.known_settings import thinks
from localchat.messages import Overflow, ReplyOptions
from localchat.ui.own_settings import OwnSettings


@dataclass(slots=True)
class Preferences:
    """Changed when the user changes them; the next reply follows.

    Attributes:
        thinking: whether models that can be told think before they answer; None leaves it to them.
        titles: the model gives conversations their titles.
        overflow: what happens to a conversation that no longer fits.
        loop_guard: a reply that goes round in circles is ended.
        speculation: tokens that may come next are guessed, where that is faster.
        unload_after: minutes until a model that nobody asks is unloaded; 0 is never.
        reply_language: "zh" or "en"; "" and "any" leave it to the model.
    """

    system_prompt: str = ""
    sampling: Mapping[str, float] = field(default_factory=dict)
    max_tokens: int | None = None
    titles: bool = False
    thinking: bool | None = None
    overflow: Overflow = "oldest"
    loop_guard: bool = True
    unload_after: int = 0
    reply_language: str = ""
    speculation: bool = True

    @classmethod
    def of(cls, config: Config) -> Preferences:
        think = thinks(config.thinking)
        return cls(
            config.system_prompt,
            config.sampling,
            config.max_tokens,
            config.titles,
            think,
            config.overflow,
            config.loop_guard,
            config.unload_after,
            config.reply_language,
            config.speculation,
        )

    def reply_options(self, own: OwnSettings, model: ModelInfo | None) -> ReplyOptions:
        """Those of a reply in a chat that has these of its own, as far as the model can follow them."""
        return ReplyOptions(
            {**self.sampling, **own.sampling},
            self.max_tokens,
            think=own.think(self.thinking, model),
            overflow=self.overflow,
            speculate=self.speculation,
            reply_language=own.language(self.reply_language),
            loop_guard=self.loop_guard,
        )
