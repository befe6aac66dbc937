"""The settings that reach a reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from localchat.config import Config


@dataclass(slots=True)
class Preferences:
    """Changed when the user changes them; the next reply follows.

    Attributes:
        titles: the model gives conversations their titles.
    """

    system_prompt: str = ""
    sampling: Mapping[str, float] = field(default_factory=dict)
    max_tokens: int | None = None
    titles: bool = False

    @classmethod
    def of(cls, config: Config) -> Preferences:
        return cls(config.system_prompt, config.sampling, config.max_tokens, config.titles)
