"""The few styles that text in widgets uses. Shares of the foreground blend with whatever is behind, in every theme."""

from __future__ import annotations

PLAIN = "$foreground"
MUTED = "$foreground 65%"
FAINT = "$foreground 45%"
ACCENT = "$primary"
WARNING = "$text-warning"
ERROR = "$text-error"
