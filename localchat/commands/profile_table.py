"""The tables of `localchat bench --profile`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from localchat.commands.columns import padded
from localchat.translation import _, mark

if TYPE_CHECKING:
    from localchat.evaluation.profile import Machine, Part, Profile


PARTS = (
    *(mark("embedding"), mark("norm"), mark("query, key, value"), mark("rope"), mark("attention")),
    *(mark("attention output"), mark("gate, up"), mark("down"), mark("output"), mark("sampling")),
)
"""What a profile calls its parts, for translators."""


def print_profile(profile: Profile, *, as_json: bool) -> None:
    """Print a profile as two tables, or as one JSON object."""
    if as_json:
        print(json.dumps(asdict(profile)))
        return
    machine = profile.machine
    reads = _("This machine reads {bandwidth} GB/s and does {operations} GOP/s in int8, with all threads.")
    print(
        reads.format(
            bandwidth=f"{machine.bytes_per_second / 1e9:.1f}", operations=f"{machine.operations_per_second / 1e9:.0f}"
        )
    )
    reading, writing = (_("While it reads"), profile.reading, True), (_("While it writes"), profile.writing, False)
    for title, parts, of_operations in (reading, writing):
        titles = (_("µs a token"), _("share"), "GOP/s" if of_operations else "GB/s", _("of ceiling"))
        print("\n" + padded(title, 20) + "".join(map(_right, titles, (11, 8, 9, 12))))
        total = sum(part.seconds for part in parts)
        for part in parts:
            print(
                f"{padded(_(part.name), 20)}{part.seconds * 1e6:>11.1f}{part.seconds / total:>8.1%}"
                + _rate(part, machine, of_operations)
            )
        whole = _sum(parts)
        print(f"{padded(_('all'), 20)}{total * 1e6:>11.1f}{1:>8.0%}" + _rate(whole, machine, of_operations))
    for name, reason in profile.fallbacks.items():
        print("\n" + _("Through torch: {name}, as it {reason}.").format(name=_(name), reason=reason))


def _right(title: str, width: int) -> str:
    return padded(title, width, right=True)


def _rate(part: Part, machine: Machine, of_operations: bool) -> str:
    amount = part.operations if of_operations else part.bytes
    ceiling = machine.operations_per_second if of_operations else machine.bytes_per_second
    if not amount or not part.seconds:
        return ""
    rate = amount / part.seconds
    return f"{rate / 1e9:>9.1f}{rate / ceiling:>12.0%}"


def _sum(parts: tuple[Part, ...]) -> Part:
    from localchat.evaluation.profile import Part

    return Part(
        "all",
        sum(part.seconds for part in parts),
        sum(part.bytes for part in parts),
        sum(part.operations for part in parts),
    )
