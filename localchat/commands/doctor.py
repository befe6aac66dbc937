"""`localchat doctor`: what this machine offers, what is used, and what is wrong."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from localchat import __version__, paths
from localchat.commands import cache
from localchat.commands.columns import padded
from localchat.config import load_config
from localchat.errors import LocalChatError
from localchat.history.encryption import is_encrypted
from localchat.history.store import HistoryStore
from localchat.hub.installed import installed_models
from localchat.translation import _, mark, plural


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
            verdict = _("problem") if finding.problem else _("ok")
            print(padded(verdict, 8), padded(_(finding.topic), 14), finding.found)
            if finding.problem:
                healthy = False
                print(padded("", 8), padded("", 14), finding.problem)
        return 0 if healthy else 1


def examine() -> Iterator[Finding]:
    """Look at everything, one finding at a time; nothing is changed, except that an old history is migrated."""
    yield Finding("localchat", f"{__version__}, Python {platform.python_version()}, {platform.platform(terse=True)}")
    yield _machine()
    yield from _guard(mark("settings"), _settings)
    yield from _guard(mark("folders"), _folders)
    yield from _guard(mark("history"), _history)
    yield from _guard(mark("chats on disk"), _snapshots)
    yield from _guard(mark("models"), _models)
    yield from _guard(mark("kernels"), _kernels)
    yield from _guard(mark("network"), _network)


def _guard(topic: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except LocalChatError as error:
        yield Finding(topic, error.message, error.hint or _("See above."))


def _machine() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    cores = psutil.cpu_count(logical=False) or os.cpu_count()
    sizes = {"total": f"{memory.total / 2**30:.0f}", "free": f"{memory.available / 2**30:.0f}"}
    return Finding(
        mark("machine"), _("{cores} cores, {total} GB of memory, {free} GB free").format(cores=cores, **sizes)
    )


def _settings() -> Iterator[Finding]:
    load_config()
    path = paths.config_file()
    yield Finding("settings", str(path) if path.exists() else _("defaults ({path} does not exist)").format(path=path))


def _folders() -> Iterator[Finding]:
    places = ((mark("data"), paths.data_dir()), (mark("cache"), paths.cache_dir()), (mark("state"), paths.state_dir()))
    for name, folder in places:
        existing = folder
        while not existing.exists():
            existing = existing.parent
        free = shutil.disk_usage(existing).free
        problem = ""
        if not os.access(existing, os.W_OK):
            problem = _("{folder} is not writable: nothing can be kept there.").format(folder=existing)
        elif free < 1 << 30:
            problem = _("Less than 1 GB is free.")
        found = _("{folder}, {free} GB free").format(folder=folder, free=f"{free / 2**30:.0f}")
        yield Finding(name, found, problem)


def _history() -> Iterator[Finding]:
    if not paths.history_file().exists():
        yield Finding("history", _("none yet"))
        return
    if is_encrypted(paths.history_file()):
        yield Finding("history", _("encrypted, {size} MB").format(size=_megabytes(paths.history_file())))
        return
    with HistoryStore(paths.history_file()) as store:
        problems = store.problems()
        count = sum(store.count_listed())
    found = plural("{count} conversation, {size} MB", "{count} conversations, {size} MB", count)
    size = _megabytes(paths.history_file())
    yield Finding("history", found.format(count=count, size=size), "; ".join(problems))


def _snapshots() -> Iterator[Finding]:
    yield Finding(mark("chats on disk"), cache.in_words())


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f}"


def _models() -> Iterator[Finding]:
    models = installed_models()
    if not models:
        yield Finding("models", _("none yet; the app offers one at its first start"))
    for model in models:
        found, hint = f"{model.precision}, {model.file_bytes / 1e6:.0f} MB", ""
        if model.damage:
            hint = _("Remove it with `localchat models remove {name}`, then fetch or import it again.")
            found = model.damage
        yield Finding(mark("model"), f"{model.name}: {found}", hint.format(name=model.name))


def _kernels() -> Iterator[Finding]:
    import torch

    from localchat.model.device import configure_threads, pick_device
    from quant import kernels
    from quant.kernels import native

    device = pick_device()
    threads = _("{version}, {threads} threads, device {device}")
    yield Finding("torch", threads.format(version=torch.__version__, threads=configure_threads(), device=device))
    if sets := native.instruction_sets():
        found = _("built with {kind}").format(kind=sets[0])
        if sets[1:]:
            found = _("built with {kind}; this processor also runs {others}").format(
                kind=sets[0], others=", ".join(sets[1:])
            )
        yield Finding("kernels", found)
    elif device.type == "cpu":
        compiler = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
        hint = _("Install localchat again when a C++ compiler (g++) is there.")
        if compiler is not None:
            hint = _("Install localchat again: {compiler} is there now.").format(compiler=compiler)
        found = _("{reason}; products run through torch, several times slower").format(reason=native.refusal())
        yield Finding("kernels", found, hint)
    decided: set[str] = set()  # candidates after the chosen one were not needed
    for line in kernels.report(device):
        if line.format not in decided:
            found = _("chosen") if line.chosen else line.reason
            yield Finding(mark("kernel"), f"{line.format}: {line.name}: {found}")
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
        _("the engine process cannot open a socket (tried just now)")
        if refused
        else _("the engine could open a socket"),
        "" if refused else _("This should not be: please report it."),
    )
