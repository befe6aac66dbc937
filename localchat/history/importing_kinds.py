"""Kinds of parts that are no text, of which an import keeps a name."""

from __future__ import annotations

from localchat.translation import _

IMAGE, AUDIO, VIDEO, FILE, TOOL, OTHER = "image", "audio", "video", "file", "tool result", "other"


def kind_name(kind: str) -> str:
    """What people call a kind of part."""
    return {
        IMAGE: _("image"),
        AUDIO: _("recording"),
        VIDEO: _("video"),
        FILE: _("file"),
        TOOL: _("result of a tool"),
        OTHER: _("part of another kind"),
    }[kind]
