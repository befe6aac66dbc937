"""Which device computes, and with how many threads.

CUDA goes before MPS and MPS before the CPU; LOCALCHAT_DEVICE (`cpu`, `cuda` or `mps`) asks for one of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from localchat.errors import InvalidSetting, LocalChatError
from localchat.translation import _, mark
from quant.kernels import native

_USE_CPU = mark("Set LOCALCHAT_DEVICE=cpu to use the processor.")


def pick_device() -> torch.device:
    """The device of this machine that runs the decoder.

    Raises:
        InvalidSetting: LOCALCHAT_DEVICE is no device, or one that is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    asked = os.environ.get("LOCALCHAT_DEVICE") or next(name for name in there if there[name])
    if asked not in there:
        raise InvalidSetting(
            _("LOCALCHAT_DEVICE is {asked}.").format(asked=repr(asked)), _("It may be cpu, cuda or mps.")
        )
    if not there[asked]:
        raise InvalidSetting(
            _("LOCALCHAT_DEVICE asks for {asked}, but torch {version} finds no such device here.").format(
                asked=asked, version=torch.__version__
            ),
            _(_USE_CPU),
        )
    return torch.device(asked)


@contextmanager
def within_memory(device: torch.device) -> Iterator[None]:
    """Say what to do when the work inside does not fit into the memory of `device`.

    Raises:
        LocalChatError: it does not.
    """
    try:
        yield
    except RuntimeError as error:  # MPS raises no other type
        if device.type == "cpu" or "out of memory" not in str(error):
            raise
        raise LocalChatError(
            _("The model does not fit into the memory of the {type} device.").format(type=device.type), _(_USE_CPU)
        ) from error


def physical_cores() -> int:
    """Physical cores that this process may use: hyperthreads share the units that matrix products wait for."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or allowed, allowed))


def configure_threads() -> int:
    """Have torch and the CPU kernels use OMP_NUM_THREADS threads where that is set, else one for each physical core.

    Returns:
        The number.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(asked) if asked.isdecimal() and int(asked) > 0 else physical_cores()
    torch.set_num_threads(threads)
    native.set_threads(threads)
    return threads
