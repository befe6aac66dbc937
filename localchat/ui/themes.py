"""Our two themes: ink on paper and its night side, with jade as the one accent colour.

Textual's own themes work too; every style in `app.tcss` speaks of roles (`$foreground`, `$primary`, `$surface`).
"""

from __future__ import annotations

from textual.theme import Theme

DARK = "localchat-dark"
LIGHT = "localchat-light"

THEMES = (
    Theme(
        name=DARK,
        primary="#6fc2a8",
        secondary="#8aa8b8",
        accent="#6fc2a8",
        warning="#d9a95f",
        error="#dd7f76",
        success="#6fc2a8",
        foreground="#e8e6e1",
        background="#141518",
        surface="#1d1f23",
        panel="#191a1e",
        dark=True,
        variables={
            "block-cursor-background": "#2b4a42",
            "block-cursor-foreground": "#e8e6e1",
            "block-cursor-text-style": "none",
            "block-cursor-blurred-background": "#23262b",
            "block-cursor-blurred-text-style": "none",
            "input-cursor-background": "#6fc2a8",
            "input-cursor-foreground": "#141518",
            "input-selection-background": "#6fc2a8 30%",
            "border": "#6fc2a8",
            "scrollbar": "#33363c",
            "scrollbar-hover": "#4a4e56",
            "scrollbar-active": "#6fc2a8",
            "scrollbar-background": "#141518",
            "scrollbar-background-hover": "#141518",
            "scrollbar-background-active": "#141518",
            "footer-background": "#141518",
            "footer-key-foreground": "#6fc2a8",
            "button-focus-text-style": "bold",
        },
    ),
    Theme(
        name=LIGHT,
        primary="#1d7561",
        secondary="#4d6a78",
        accent="#1d7561",
        warning="#8a5a06",
        error="#b03a30",
        success="#1d7561",
        foreground="#25241f",
        background="#fbfaf7",
        surface="#f1efe9",
        panel="#f5f3ee",
        dark=False,
        variables={
            "block-cursor-background": "#cfe6dd",
            "block-cursor-foreground": "#25241f",
            "block-cursor-text-style": "none",
            "block-cursor-blurred-background": "#e6e3db",
            "block-cursor-blurred-text-style": "none",
            "input-cursor-background": "#1d7561",
            "input-cursor-foreground": "#fbfaf7",
            "input-selection-background": "#1d7561 25%",
            "border": "#1d7561",
            "scrollbar": "#d5d1c6",
            "scrollbar-hover": "#bbb6a8",
            "scrollbar-active": "#1d7561",
            "scrollbar-background": "#fbfaf7",
            "scrollbar-background-hover": "#fbfaf7",
            "scrollbar-background-active": "#fbfaf7",
            "footer-background": "#fbfaf7",
            "footer-key-foreground": "#1d7561",
            "button-focus-text-style": "bold",
        },
    ),
)
