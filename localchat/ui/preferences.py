"""The settings that reach a reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from localchat.config import Config
from localchat.known_settings import thinks


@dataclass(slots=True)
class Preferences:
    """Changed when the user changes them; the next reply follows.

    Attributes:
        thinking: whether models that can be told think before they answer; None leaves it to them.
        titles: the model gives conversations their titles.
    """

    system_prompt: str = ""
    sampling: Mapping[str, float] = field(default_factory=dict)
    max_tokens: int | None = None
    titles: bool = False
    thinking: bool | None = None

    @classmethod
    def of(cls, config: Config) -> Preferences:
        think = thinks(config.thinking)
        return cls(config.system_prompt, config.sampling, config.max_tokens, config.titles, think)
