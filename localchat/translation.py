"""The language of the interface: every sentence for the user goes through `_`, `plural` or `mark`.

    self.notify(_("“{title}” was deleted.").format(title=chat.title))
    plural("{count} message", "{count} messages", count).format(count=count)

English is the text in the code; other languages are gettext catalogues in `assets/locale/LANGUAGE/LC_MESSAGES`. Tables
that are made at import hold `mark`ed texts and translate them when they are shown.
"""

from __future__ import annotations

import gettext
from pathlib import Path

_translations: gettext.NullTranslations = gettext.NullTranslations()


def use(language: str, folder: Path) -> None:
    """Speak `language` ("en", "zh") from now on; what its catalogue in `folder` lacks stays English."""
    global _translations
    _translations = gettext.translation("localchat", folder, [language], fallback=True)


def _(text: str) -> str:
    """The text in the user's language. Fill placeholders after translating, never before."""
    return _translations.gettext(text)


def plural(one: str, many: str, count: int) -> str:
    """The form that goes with `count`, in the user's language."""
    return _translations.ngettext(one, many, count)


def mark(text: str) -> str:
    """The text as it is; marks it for translators where it is only stored, and is translated when it is shown."""
    return text
