"""The language that replies are held to: what can be chosen, and what the model is told of it.

Masking tokens (`localchat.engine.language_mask`) keeps a model from the other language; a line in the system prompt
lets it want the right one. Each alone is worse than both.
"""

from __future__ import annotations

REPLY_LANGUAGES = ("zh", "en")
ANY = "any"
"""What a chat says whose model is to choose, whatever the settings say."""

_LINES = {"zh": "请始终用中文回答。", "en": "Always answer in English."}


def told(system_prompt: str, language: str) -> str:
    """The system prompt with the line that asks for this language; "" asks for none."""
    line = _LINES.get(language, "")
    return "\n\n".join(part for part in (system_prompt, line) if part)
