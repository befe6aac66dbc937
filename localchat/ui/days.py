"""Which heading a chat stands under in the list: Today, Yesterday, a weekday, a month."""

from __future__ import annotations

from datetime import datetime, timedelta

from localchat.translation import _, mark

WEEKDAYS = (
    mark("Monday"), mark("Tuesday"), mark("Wednesday"), mark("Thursday"), mark("Friday"), mark("Saturday"),
    mark("Sunday"),
)  # fmt: skip
MONTHS = (
    mark("January"), mark("February"), mark("March"), mark("April"), mark("May"), mark("June"),
    mark("July"), mark("August"), mark("September"), mark("October"), mark("November"), mark("December"),
)  # fmt: skip


def day_heading(moment: float, now: float) -> str:
    """Both in seconds since 1970; days are those of the user's own clock."""
    then, today = datetime.fromtimestamp(moment).date(), datetime.fromtimestamp(now).date()
    if then >= today:
        return _("Today")
    if then == today - timedelta(days=1):
        return _("Yesterday")
    if then > today - timedelta(days=7):
        return _(WEEKDAYS[then.weekday()])
    month = _(MONTHS[then.month - 1])
    return month if then.year == today.year else _("{month} {year}").format(month=month, year=then.year)
