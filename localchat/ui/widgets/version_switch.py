"""Where a message stands among its versions: ‹ 2/3 ›, and what a click on the signs does."""

from __future__ import annotations

from textual.content import Content
from textual.style import Style

from localchat.ui.shown import ShownMessage


def version_switch(message: ShownMessage) -> Content:
    """Empty while there is only one version."""
    if message.versions == 1:
        return Content()
    older = Content("‹").stylize(Style.from_meta({"@click": "screen.previous_version"}))
    newer = Content("›").stylize(Style.from_meta({"@click": "screen.next_version"}))
    return Content(" ").join([older, Content(f"{message.version}/{message.versions}"), newer])
