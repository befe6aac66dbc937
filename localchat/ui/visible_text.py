"""Text from models, files and clipboards, made safe to show in a terminal.

A control character that reaches the terminal may move the cursor, change the window title or write the clipboard,
and a lone surrogate cannot be encoded at all; neither ever means anything in a conversation.
"""

from __future__ import annotations

import re

_LINE_BREAKS = re.compile("\r\n?|[\u000b\u000c\u0085\u2028\u2029]")
_CONTROLS = re.compile("[\u0000-\u0008\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def visible_text(text: str) -> str:
    """The same text without what steers terminals: C0 and C1 controls (line feed and tab stay), and the overriding
    direction marks that make text read differently from what it says (Unicode Technical Report 36, section 2.5)."""
    text = _LINE_BREAKS.sub("\n", text)
    return _SURROGATES.sub("\ufffd", _CONTROLS.sub("", text))


def one_line(text: str) -> str:
    """Visible text with every run of white space made one space: titles, previews."""
    return " ".join(visible_text(text).split())
