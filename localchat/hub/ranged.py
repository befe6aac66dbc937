"""Fetch one address into a file, going on from the bytes that are there.

The content is known by its hash, so a partial file from any earlier run, or from another server, may be continued.
Servers are not trusted: an answer that does not begin where it was asked to, or that is longer than announced, is
refused.
"""

from __future__ import annotations

import re
import ssl
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from localchat.errors import DownloadFailed
from localchat.hub.fingerprint import Fingerprint
from localchat.hub.http_answer import Head, HttpAnswer, NotFetchableError
from localchat.hub.pull_events import Check
from localchat.hub.transfer_errors import TransferCut
from localchat.translation import _

_ATTEMPTS = 4  # in a row without a single new byte


def download(
    url: str,
    target: Path,
    *,
    fingerprint: Fingerprint,
    longest: int,
    check: Check,
    on_bytes: Callable[[int], None],
    context: ssl.SSLContext,
    secrets: Mapping[str, str] = MappingProxyType({}),
    pause_s: float = 1.0,
) -> None:
    """Fetch `url` to `target`, which appears complete and verified or not at all; `target`.part is what came so far.

    Args:
        longest: bytes; more are refused.
        on_bytes: called with the bytes done, those of earlier runs included.
        context: whom to trust.
        secrets: headers that go to this address only, and not to where it redirects.
        pause_s: before the second attempt; doubled for each further one.

    Raises:
        NotFetchableError: another client may succeed.
        TransferCut: the bytes were wrong, and are removed.
        DownloadFailed: given up for now, what came is kept; or the server gives something else.
    """
    partial = target.with_name(target.name + ".part")
    if not re.match(r"https?://[^/@]+/", url):
        raise NotFetchableError(url)
    failures = 0
    while True:
        before = _size(partial)
        try:
            _attempt(url, secrets, partial, longest, context, check, on_bytes)
            break
        except TransferCut as error:
            failures = 1 if _size(partial) > before else failures + 1
            if failures >= _ATTEMPTS:
                raise DownloadFailed(error.message, error.hint) from error
            _wait(pause_s * 2 ** (failures - 1), check)
    if not fingerprint.fits(partial, check):
        partial.unlink()
        raise TransferCut(
            _("The model could not be fetched: the bytes that came are not those that were announced."),
            _("They were removed. Try again; if it stays so, the server or a proxy in between is damaged."),
        )
    partial.replace(target)


def _attempt(
    url: str,
    secrets: Mapping[str, str],
    partial: Path,
    longest: int,
    context: ssl.SSLContext,
    check: Check,
    on_bytes: Callable[[int], None],
) -> None:
    """One request, appended to `partial`. Returns when the file has all the bytes that the server announced."""
    start = _size(partial)
    headers = {"Accept-Encoding": "identity", "User-Agent": "localchat"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)
    for name, value in secrets.items():
        request.add_unredirected_header(name, value)
    answer = HttpAnswer(request, context)
    try:
        head = answer.head(check)
        if head.status == 416:  # nothing comes after what we have: it is complete, or the hash will tell
            return
        start, total = _place(head, start, longest)
        with partial.open("r+b" if partial.exists() else "w+b") as out:
            out.truncate(start)
            out.seek(start)
            done = start
            on_bytes(done)
            for block in answer.blocks(check):
                done += len(block)
                if done > (total or longest):
                    raise DownloadFailed(_("The model could not be fetched: the server sends more than it announced."))
                out.write(block)
                out.flush()  # so that nothing of it is lost when we are killed
                on_bytes(done)
        if total and done < total:
            raise TransferCut(
                _("The model could not be fetched: the connection was cut."), _("Check the network, then try again.")
            )
    finally:
        answer.abandon()


def _place(head: Head, start: int, longest: int) -> tuple[int, int]:
    """Where the answer's first byte belongs, and the size of the whole (0: not said)."""
    length = int(said) if (said := head.header("Content-Length")).isdecimal() else 0
    total = length
    if head.status == 206:
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", head.header("Content-Range"))
        if not found or int(found[1]) != start:
            raise DownloadFailed(
                _(
                    "The model could not be fetched: the server answered with another part of the file than was "
                    "asked for."
                ),
                _("Try again; a proxy in between may be damaged."),
            )
        total = int(found[2]) + 1 if found[3] == "*" else int(found[3])
    else:
        start = 0  # the server takes no ranges: from the beginning
    if total > longest:
        raise DownloadFailed(
            _("The model could not be fetched: the server announces {total} bytes, but it should be {longest}.").format(
                total=f"{total:,}", longest=f"{longest:,}"
            )
        )
    return start, total


def _wait(seconds: float, check: Check) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check()
        time.sleep(min(0.1, seconds))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
