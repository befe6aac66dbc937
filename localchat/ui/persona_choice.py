"""Personas as the composer offers them."""

from __future__ import annotations

from localchat.errors import InvalidSetting
from localchat.translation import spoken
from localchat.ui.completion import Completion
from localchat.writing.personas import all_personas


def persona_completions(typed: str) -> list[Completion]:
    """Those whose name or title has what was typed."""
    try:
        personas = all_personas()
    except InvalidSetting:
        return []  # what is wrong with the file is said when the command runs
    language, wanted = spoken(), typed.casefold()
    return [
        Completion(persona.name, persona.name, f"{persona.title(language)} · {persona.description(language)}")
        for persona in personas.values()
        if wanted in persona.name.casefold() or wanted in persona.title(language).casefold()
    ]
