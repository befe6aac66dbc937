"""What is said about a reply that was made again."""

from __future__ import annotations

from collections.abc import Sequence

from localchat.recording import CIRCUMSTANCES, Recording, Replayed, TokenProbability, changed
from localchat.translation import _, plural
from localchat.ui.visible_text import visible_text


def report(recording: Recording, replayed: Replayed) -> list[str]:
    """In sentences: identical, or the first token that differs and why it may."""
    count = recording.tokens
    others = changed(recording.circumstances, replayed.circumstances)
    if not replayed.differs:
        lines = [plural("identical: {count} token", "identical: {count} tokens", count).format(count=count)]
        if others:
            lines.append(_("although these are others now: {names}").format(names=_named(others)))
        return lines
    return [
        _("differs at token {place} of {count}").format(place=replayed.tokens + 1, count=count),
        "",
        _("  same: {text}").format(text=_shown(replayed.same)),
        _("  then: {text}").format(text=_shown(replayed.then) or _("(the end)")),
        _("  now:  {text}").format(text=_shown(replayed.now) or _("(the end)")),
        "",
        *_sureness(replayed.chosen_then, replayed.chosen_now),
        *_why(recording, replayed, others),
    ]


def _sureness(then: TokenProbability | None, now: TokenProbability | None) -> list[str]:
    tokens = ((_("The token then"), then), (_("The token now"), now))
    return [
        _("{which}: {text}, probability now {probability:.3g} ({plain:.3g} before temperature and filters)").format(
            which=which,
            text=repr(visible_text(token.text)),
            probability=token.probability,
            plain=token.plain_probability,
        )
        for which, token in tokens
        if token is not None
    ]


def _why(recording: Recording, replayed: Replayed, others: Sequence[str]) -> list[str]:
    if not others:
        reason = _(
            "Why it may: nothing that was recorded is another one now. Where a kernel rounds differently by how many "
            "tokens it reads at once, two tokens that are nearly as likely can change places."
        )
        return ["", reason]
    then, now = recording.circumstances, replayed.circumstances
    named = [f"  {_(CIRCUMSTANCES[name])}: {_short(then[name])} → {_short(now[name])}" for name in others]
    return ["", _("Why it may: these are others now."), *named]


def _named(others: Sequence[str]) -> str:
    return ", ".join(_(CIRCUMSTANCES[name]) for name in others)


def _short(value: str) -> str:
    """A digest by its beginning."""
    return f"{value[:12]}…" if len(value) == 64 else value


def _shown(text: str) -> str:
    """In one line."""
    return visible_text(text).replace("\n", "⏎").replace("\t", " ")
