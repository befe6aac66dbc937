"""The tables of `localchat bench --profile`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localchat.evaluation.profile import Machine, Part, Profile


def print_profile(profile: Profile, *, as_json: bool) -> None:
    """Print a profile as two tables, or as one JSON object."""
    if as_json:
        print(json.dumps(asdict(profile)))
        return
    machine = profile.machine
    print(
        f"This machine reads {machine.bytes_per_second / 1e9:.1f} GB/s and does "
        f"{machine.operations_per_second / 1e9:.0f} GOP/s in int8, with all threads."
    )
    for title, parts, of_operations in (
        ("Reading", profile.reading, True),
        ("Writing", profile.writing, False),
    ):
        print(f"\n{title:<20}{'µs a token':>11}{'share':>8}{'GOP/s' if of_operations else 'GB/s':>9}{'of ceiling':>12}")
        total = sum(part.seconds for part in parts)
        for part in parts:
            print(
                f"{part.name:<20}{part.seconds * 1e6:>11.1f}{part.seconds / total:>8.1%}"
                + _rate(part, machine, of_operations)
            )
        whole = _sum(parts)
        print(f"{'all':<20}{total * 1e6:>11.1f}{1:>8.0%}" + _rate(whole, machine, of_operations))
    for name, reason in profile.fallbacks.items():
        print(f"\nThrough torch: {name}, as it {reason}.")


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
