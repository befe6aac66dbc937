"""What an installed model may be called: the name is a folder's, so nothing that could lead out of `models/`."""

from __future__ import annotations

import re

from localchat.errors import InvalidSetting
from localchat.translation import _

# Letters of any script. 64 characters of three bytes each still leave room for a suffix in a file name of 255 bytes.
_NAME = re.compile(r"[^\W_](?:[\w.-]{0,62}[\w-])?")

# Windows opens a device, not a file, for these, whatever comes after the first dot.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)


def is_model_name(name: str) -> bool:
    """Whether `name` may be an installed model's."""
    return bool(_NAME.fullmatch(name)) and not _DEVICE.fullmatch(name)


def check_model_name(name: str) -> str:
    """`name` itself when it may be an installed model's.

    Raises:
        InvalidSetting: it may not.
    """
    if not is_model_name(name):
        raise InvalidSetting(
            _("{name} cannot be the name of a model.").format(name=repr(name)),
            _("Use up to 64 letters, digits, '.', '_' and '-', beginning with a letter or a digit."),
        )
    return name
