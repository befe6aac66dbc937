"""Which heading a chat stands under in the list: Today, Yesterday, a weekday, a month."""

from __future__ import annotations

from datetime import datetime, timedelta

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def day_heading(moment: float, now: float) -> str:
    """Both in seconds since 1970; days are those of the user's own clock."""
    then, today = datetime.fromtimestamp(moment).date(), datetime.fromtimestamp(now).date()
    if then >= today:
        return "Today"
    if then == today - timedelta(days=1):
        return "Yesterday"
    if then > today - timedelta(days=7):
        return WEEKDAYS[then.weekday()]
    month = MONTHS[then.month - 1]
    return month if then.year == today.year else f"{month} {then.year}"
