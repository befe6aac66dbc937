"""Who is writing a reply: a process, known by its number and the moment it started, since numbers are used again."""

from __future__ import annotations

import os

_CLOCK_SLACK_S = 2.0  # the system computes start times from the boot time, which moves a little with the clock


def current() -> tuple[int, float]:
    """Number and start time (seconds since 1970) of this process."""
    # Not at the top: the first frame waits for this package, and only a reply needs psutil.
    import psutil

    pid = os.getpid()
    return pid, float(psutil.Process(pid).create_time())


def is_alive(pid: int, started: float) -> bool:
    """Whether that very process still runs."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return False
        return bool(abs(process.create_time() - started) <= _CLOCK_SLACK_S)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # it exists and is not ours to look at; better to leave a live reply alone
