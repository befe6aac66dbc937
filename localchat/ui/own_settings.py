"""What one chat, or a preset, has of its own instead of the settings: model, system prompt, sampling, context."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from localchat.errors import InvalidSetting
from localchat.events import ModelInfo
from localchat.history.records import Conversation
from localchat.history.store import HistoryStore
from localchat.known_settings import SETTINGS, Value, thinks
from localchat.messages import SAMPLING_LIMITS
from localchat.reply_language import ANY
from localchat.translation import _, mark, spoken
from localchat.ui.figures import short_count
from localchat.writing.personas import Persona, find_persona

OWN_KEYS = ("model", "system_prompt", "context_length", "thinking", "reply_language", *SAMPLING_LIMITS)
"""The settings that a chat may have of its own, in the order of the screen."""

_REPLY_LANGUAGES = {"zh": mark("in Chinese"), "en": mark("in English"), ANY: mark("in any language")}
_THINKING = {"on": mark("with thinking"), "off": mark("without thinking")}


@dataclass(frozen=True, slots=True)
class OwnSettings:
    """None, or a missing key, is what the settings say.

    Attributes:
        system_prompt: "" is none, also where the settings have one.
        context_length: tokens.
        thinking: "on" or "off".
        reply_language: "zh", "en" or "any".
        preset: the preset that all of this was taken from; "" is none.
        persona: name of the one that the system prompt was taken from; "" is none.
    """

    model: str | None = None
    system_prompt: str | None = None
    context_length: int | None = None
    sampling: Mapping[str, float] = field(default_factory=dict)
    preset: str = ""
    thinking: str | None = None
    persona: str = ""
    reply_language: str | None = None

    @classmethod
    def of(cls, chat: Conversation | None) -> OwnSettings:
        """Those of this chat; of an empty page, none."""
        if chat is None:
            return cls()
        context, preset = chat.options.get("context_length"), chat.options.get("preset", "")
        thinking = chat.options.get("thinking")
        thinking = thinking if thinking in _THINKING else None
        persona, language = str(chat.options.get("persona", "")), chat.options.get("reply_language")
        language = language if language in _REPLY_LANGUAGES else None
        return cls(chat.model, chat.system_prompt, context, chat.sampling, str(preset), thinking, persona, language)

    def keep(self, store: HistoryStore, chat_id: str) -> None:
        """Let the chat have these."""
        store.set_model(chat_id, self.model)
        store.set_system_prompt(chat_id, self.system_prompt)
        store.set_sampling(chat_id, self.sampling)
        store.set_option(chat_id, "context_length", self.context_length)
        store.set_option(chat_id, "preset", self.preset or None)
        store.set_option(chat_id, "persona", self.persona or None)
        store.set_option(chat_id, "thinking", self.thinking)
        store.set_option(chat_id, "reply_language", self.reply_language)

    @classmethod
    def from_values(cls, values: Mapping[str, Any], preset: str = "") -> OwnSettings:
        """Of values by the names of settings; None is the settings' own."""
        sampling = {key: values[key] for key in SAMPLING_LIMITS if values.get(key) is not None}
        return cls(
            model=values.get("model"),
            system_prompt=values.get("system_prompt"),
            context_length=values.get("context_length"),
            sampling=sampling,
            preset=preset,
            thinking=values.get("thinking") or None,
            reply_language=values.get("reply_language") or None,
        )

    def changed(self, **values: Any) -> OwnSettings:
        """These with some values changed, which makes them no longer those of a preset."""
        changed = OwnSettings.from_values({**self.values(), **values})
        return replace(changed, persona="" if "system_prompt" in values else self.persona)

    def taking(self, persona: Persona) -> OwnSettings:
        """These with the system prompt and the sampling options of a persona."""
        changed = self.changed(system_prompt=persona.prompt(spoken()), **persona.sampling)
        return replace(changed, persona=persona.name)

    def values(self) -> dict[str, Value]:
        """What is set, by the names of settings."""
        plain = {
            "model": self.model,
            "system_prompt": self.system_prompt,
            "context_length": self.context_length,
            "thinking": self.thinking,
            "reply_language": self.reply_language,
        }
        return {key: value for key, value in plain.items() if value is not None} | dict(self.sampling)

    def think(self, usual: bool | None, model: ModelInfo | None) -> bool | None:
        """Whether a reply of this model begins with thinking; None where that cannot be told, or is left to it.

        Args:
            usual: what the settings say.
        """
        if model is None or not model.thinking_switch:
            return None
        return usual if self.thinking is None else thinks(self.thinking)

    def language(self, usual: str) -> str:
        """The language that replies are held to; "" where it is left to the model.

        Args:
            usual: what the settings say.
        """
        meant = usual if self.reply_language is None else self.reply_language
        return "" if meant == ANY else meant

    def summary(self, model: ModelInfo | None = None) -> str:
        """A few words for the title line, without the model, which stands there anyway; "" when nothing differs.

        Args:
            model: the one that is loaded; what cannot be told to it is left out.
        """
        if self.preset:
            return self.preset
        parts = [_persona_title(self.persona) or _("own prompt")] if self.system_prompt is not None else []
        if self.thinking is not None and (model is None or model.thinking_switch):
            parts.append(_(_THINKING[self.thinking]))
        if self.reply_language is not None:
            parts.append(_(_REPLY_LANGUAGES[self.reply_language]))
        if len(self.sampling) > 2:
            parts.append(_("own choice of words"))
        else:
            parts += [f"{_(SETTINGS[key].label).lower()} {value:g}" for key, value in self.sampling.items()]
        if self.context_length is not None:
            parts.append(_("context {tokens}").format(tokens=short_count(self.context_length)))
        return " · ".join(parts)


def _persona_title(name: str) -> str:
    """What the persona is called; its name where it is no longer there."""
    try:
        return find_persona(name).title(spoken()) if name else ""
    except InvalidSetting:
        return name
