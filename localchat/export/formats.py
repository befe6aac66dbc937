"""The formats that `localchat export` writes, by name; apart from what writes them, as that needs torch."""

from __future__ import annotations

from typing import Literal, get_args

from localchat.errors import InvalidSetting
from localchat.translation import _

Format = Literal["gguf", "compressed-tensors"]
FORMATS: tuple[Format, ...] = get_args(Format)


def as_format(name: str) -> Format:
    """The format of this name.

    Raises:
        InvalidSetting: there is none.
    """
    for format in FORMATS:
        if format == name:
            return format
    raise InvalidSetting(
        _("There is no format {name!r} to export to.").format(name=name),
        _("Take {formats}.").format(formats=_(" or ").join(FORMATS)),
    )
