"""`localchat doctor`: what this machine offers, what is used, and what is wrong."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import typer

from localchat import __version__, paths
from localchat.config import load_config
from localchat.errors import LocalChatError
from localchat.history.encryption import is_encrypted
from localchat.history.store import HistoryStore
from localchat.hub.installed import installed_models


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `problem` says what to do; empty when all is well."""

    topic: str
    found: str
    problem: str = ""


def register(app: typer.Typer) -> None:
    @app.command()
    def doctor() -> int:
        """Check this machine and this installation; exit status 1 when something is wrong."""
        healthy = True
        for finding in examine():
            mark = "problem" if finding.problem else "ok"
            print(f"{mark:8} {finding.topic:14} {finding.found}")
            if finding.problem:
                healthy = False
                print(f"{'':8} {'':14} {finding.problem}")
        return 0 if healthy else 1


def examine() -> Iterator[Finding]:
    """Look at everything, one finding at a time; nothing is changed, except that an old history is migrated."""
    yield Finding("localchat", f"{__version__}, Python {platform.python_version()}, {platform.platform(terse=True)}")
    yield _machine()
    yield from _guard("settings", _settings)
    yield from _guard("folders", _folders)
    yield from _guard("history", _history)
    yield from _guard("models", _models)
    yield from _guard("kernels", _kernels)
    yield from _guard("network", _network)


def _guard(topic: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except LocalChatError as error:
        yield Finding(topic, error.message, error.hint or "See above.")


def _machine() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    cores = psutil.cpu_count(logical=False) or os.cpu_count()
    return Finding(
        "machine",
        f"{cores} cores, {memory.total / 2**30:.0f} GB of memory, {memory.available / 2**30:.0f} GB free",
    )


def _settings() -> Iterator[Finding]:
    load_config()
    path = paths.config_file()
    yield Finding("settings", str(path) if path.exists() else f"defaults ({path} does not exist)")


def _folders() -> Iterator[Finding]:
    for name, folder in (("data", paths.data_dir()), ("cache", paths.cache_dir()), ("state", paths.state_dir())):
        existing = folder
        while not existing.exists():
            existing = existing.parent
        free = shutil.disk_usage(existing).free
        problem = "" if os.access(existing, os.W_OK) else f"{existing} is not writable: nothing can be kept there."
        if not problem and free < 1 << 30:
            problem = "Less than 1 GB is free."
        yield Finding(name, f"{folder}, {free / 2**30:.0f} GB free", problem)


def _history() -> Iterator[Finding]:
    if not paths.history_file().exists():
        yield Finding("history", "none yet")
        return
    if is_encrypted(paths.history_file()):
        yield Finding("history", f"encrypted, {paths.history_file().stat().st_size / 1e6:.1f} MB")
        return
    with HistoryStore(paths.history_file()) as store:
        problems = store.problems()
        count = sum(store.count_listed())
    size = paths.history_file().stat().st_size
    yield Finding("history", f"{count} conversations, {size / 1e6:.1f} MB", "; ".join(problems))


def _models() -> Iterator[Finding]:
    models = installed_models()
    if not models:
        yield Finding("models", "none yet; the app offers one at its first start")
    for model in models:
        hint = f"Remove it with `localchat models remove {model.name}` and fetch it again." if model.damage else ""
        found = f"{model.name}: {model.damage or f'{model.precision}, {model.file_bytes / 1e6:.0f} MB'}"
        yield Finding("model", found, hint)


def _kernels() -> Iterator[Finding]:
    import torch

    from localchat.model.device import configure_threads, pick_device
    from quant import kernels
    from quant.kernels import native

    device = pick_device()
    yield Finding("torch", f"{torch.__version__}, {configure_threads()} threads, device {device}")
    if sets := native.instruction_sets():
        others = f"; this processor also runs {', '.join(sets[1:])}" if sets[1:] else ""
        yield Finding("kernels", f"built with {sets[0]}{others}")
    elif device.type == "cpu":
        found = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
        hint = "Install localchat again" + (
            f": {found} is there now." if found else " when a C++ compiler (g++) is there."
        )
        yield Finding("kernels", f"{native.refusal()}; products run through torch, several times slower", hint)
    decided: set[str] = set()  # candidates after the chosen one were not needed
    for line in kernels.report(device):
        if line.format not in decided:
            yield Finding("kernel", f"{line.format}: {line.name}: {'chosen' if line.chosen else line.reason}")
        if line.chosen:
            decided.add(line.format)


def _network() -> Iterator[Finding]:
    """Start the engine's guard in a process of its own and try to get out of it."""
    import subprocess
    import sys

    attempt = (
        "import socket, sys; from localchat.engine.process import refuse_sockets; sys.addaudithook(refuse_sockets)\n"
        "try: socket.socket()\n"
        "except PermissionError: print('refused')"
    )
    run = subprocess.run([sys.executable, "-c", attempt], capture_output=True, text=True, check=False)
    refused = run.stdout.strip() == "refused"
    yield Finding(
        "network",
        "the engine process cannot open a socket (tried just now)" if refused else "the engine could open a socket",
        "" if refused else "This should not be: please report it.",
    )
