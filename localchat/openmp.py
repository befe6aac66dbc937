"""How torch's threads wait for each other. To be settled before torch is imported, as OpenMP asks only once."""

from __future__ import annotations

import os


def wait_briefly() -> None:
    """Let threads that wait spin for some microseconds and then give their core away, unless the user chose otherwise.

    By default they spin on. When any other program wants one of the cores, a spinning thread keeps it from the very
    thread that it waits for: with one of two cores busy, a token of SmolLM2-135M took 40 ms this way and 105 ms by
    default, and half a second and more by default when several programs wanted both. The price is a third of the
    default's speed on a quiet machine; without any spin it is higher.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault(
            "GOMP_SPINCOUNT", "500"
        )  # GNU's OpenMP, which torch uses on Linux; goes before the policy
