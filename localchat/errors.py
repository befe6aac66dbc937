"""Everything that may go wrong and that the user can do something about.

One root, so that the edges (interface, commands, server) catch one type. `str(error)` is one or two sentences:
what happened and what to do next. Anything that is not a `LocalChatError` is a defect and shows as one.
"""

from __future__ import annotations


class LocalChatError(Exception):
    """Root of all expected errors.

    Args:
        message: what happened, one sentence with its full stop.
        hint: what to do next, one sentence; empty when there is nothing to do.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        gap = "" if message.endswith("。") else " "  # a Chinese full stop has its space within
        super().__init__(f"{message}{gap}{hint}".strip())


class ModelNotFound(LocalChatError):
    """No installed model, catalogue entry or file has this name."""


class UnsupportedModel(LocalChatError):
    """The model is understood well enough to know that it would run wrong."""


class BadWeights(LocalChatError):
    """A weights file is truncated, damaged, or claims sizes that it does not have."""


class BadLogits(LocalChatError):
    """The model computed something that is not a number, or forbade every token."""


class BadTemplate(LocalChatError):
    """A chat template cannot be parsed or rendered, or refuses this conversation."""


class BadConstraint(LocalChatError):
    """A JSON schema, regular expression or grammar cannot be read or followed."""


class DownloadFailed(LocalChatError):
    """The network, the index or the bytes were not what they should be."""


class ContextOverflow(LocalChatError):
    """The newest message alone does not fit the model's context."""


class NotEnoughMemory(LocalChatError):
    """A model does not fit into what is free; nothing was loaded, and the hint says what would fit."""


class InvalidSetting(LocalChatError):
    """A setting has a value that is not allowed; says which key, where, and what is allowed."""


class EngineDied(LocalChatError):
    """The engine process ended while it was needed."""


class HistoryUnavailable(LocalChatError):
    """The history cannot be opened or written."""


class UnreadableFile(LocalChatError):
    """A file that was given with a question is not there, or holds nothing that can be read as text."""


class HistoryLocked(HistoryUnavailable):
    """The history is encrypted, and the passphrase is missing or another one."""


class UnreadableImport(LocalChatError):
    """A file of conversations from elsewhere is damaged, or of a kind that is not known; says where."""


class StorageFailed(LocalChatError):
    """A folder is read-only or the disk is full."""


class Stopped(LocalChatError):
    """The user stopped what was going on; nothing is wrong."""

    def __init__(self) -> None:
        super().__init__("Stopped.")
