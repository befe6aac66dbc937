"""Text that the user names on the command line."""

from __future__ import annotations

from pathlib import Path

from localchat.errors import InvalidSetting
from localchat.translation import _


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Raises:
        InvalidSetting: it cannot be read, or is not such a text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidSetting(
            _("{path} is not text in UTF-8.").format(path=path), _("Convert it first, for example with iconv.")
        ) from error
    except OSError as error:
        raise InvalidSetting(_("{path} cannot be read: {reason}.").format(path=path, reason=error.strerror)) from error
