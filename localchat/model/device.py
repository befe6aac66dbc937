"""Which device computes, and with how many threads."""

from __future__ import annotations

import os

import psutil
import torch


def pick_device() -> torch.device:
    """The device of this machine that runs the decoder. The CPU: it is the only one with kernels so far."""
    return torch.device("cpu")


def physical_cores() -> int:
    """Physical cores that this process may use: hyperthreads share the units that matrix products wait for."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or allowed, allowed))


def configure_threads() -> int:
    """Set torch's threads to OMP_NUM_THREADS where the user set it, else to the physical cores; return the number."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(asked) if asked.isdecimal() and int(asked) > 0 else physical_cores()
    torch.set_num_threads(threads)
    return threads
