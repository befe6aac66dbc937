"""The language of the interface: every sentence for the user goes through `_`, `plural` or `mark`.

    self.notify(_("“{title}” was deleted.").format(title=chat.title))
    plural("{count} message", "{count} messages", count).format(count=count)

English is the text in the code; other languages are gettext catalogues in `assets/locale/LANGUAGE/LC_MESSAGES`. Tables
that are made at import hold `mark`ed texts and translate them when they are shown.
"""

from __future__ import annotations

import gettext
import os
from collections.abc import Mapping
from pathlib import Path

LANGUAGES: Mapping[str, str] = {"en": "English", "zh": "中文"}
"""What the interface speaks, and how each language calls itself."""

_language = "en"
_translations: gettext.NullTranslations = gettext.NullTranslations()


def wanted(setting: str, env: Mapping[str, str] | None = None) -> str:
    """The language to speak: the setting, else what the system speaks if we know it, else English."""
    env = os.environ if env is None else env
    if setting:
        return setting
    locale = env.get("LC_ALL") or env.get("LC_MESSAGES") or env.get("LANG") or ""
    language = locale.replace("-", "_").partition("_")[0].partition(".")[0].lower()
    return language if language in LANGUAGES else "en"


def use(language: str, folder: Path) -> None:
    """Speak `language` ("en", "zh") from now on; what its catalogue in `folder` lacks stays English."""
    global _language, _translations
    _language = language
    _translations = gettext.translation("localchat", folder, [language], fallback=True)


def spoken() -> str:
    """The language that is spoken now."""
    return _language


def _(text: str) -> str:
    """The text in the user's language. Fill placeholders after translating, never before."""
    return _translations.gettext(text) if text else ""  # to gettext, no text is the name of the catalogue's header


def plural(one: str, many: str, count: int) -> str:
    """The form that goes with `count`, in the user's language."""
    return _translations.ngettext(one, many, count)


def mark(text: str) -> str:
    """The text as it is; marks it for translators where it is only stored, and is translated when it is shown."""
    return text
