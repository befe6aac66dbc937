"""An HTTP answer read by a thread of its own, so that whoever waits for it can stop waiting at any moment."""

from __future__ import annotations

import http.client
import queue
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import cast

from localchat.errors import DownloadFailed
from localchat.hub.pull_events import Check
from localchat.hub.transfer_errors import TransferCut, offline
from localchat.translation import _

_BLOCK = 1 << 16
_POLL_S = 0.1
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers of an answer."""

    status: int
    headers: Message

    def header(self, name: str) -> str:
        """Its value without spaces around it; empty when it is not there."""
        return str(self.headers.get(name, "")).strip()


_Item = Head | bytes | Exception | None


class NotFetchableError(Exception):
    """This address needs a client that knows more than we do (credentials, certificates, another scheme)."""


class HttpAnswer:
    """Ask, then read `head()` once and `blocks()` to the end; `abandon()` always.

    The proxies of the environment are used. Both methods raise TransferCut (try again), NotFetchableError (ask another
    client), DownloadFailed (it is not there), or what `check` raises.
    """

    def __init__(self, request: urllib.request.Request, context: ssl.SSLContext) -> None:
        self._request = request
        self._context = context
        self._items: queue.Queue[_Item] = queue.Queue(maxsize=64)
        self._abandoned = threading.Event()
        threading.Thread(target=self._read, daemon=True, name="download").start()

    def head(self, check: Check) -> Head:
        """Status and headers: 2xx or 416; any other status raises."""
        return cast("Head", self._next(check))

    def blocks(self, check: Check) -> Iterator[bytes]:
        """The body as it comes."""
        while (block := self._next(check)) is not None:
            yield cast("bytes", block)

    def abandon(self) -> None:
        """The thread ends by itself, at the latest when its socket times out."""
        self._abandoned.set()

    def _next(self, check: Check) -> _Item:
        while True:
            check()
            try:
                item = self._items.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if isinstance(item, Exception):
                raise _failure(item) from item
            return item

    def _read(self) -> None:
        try:
            with urllib.request.urlopen(self._request, timeout=_TIMEOUT_S, context=self._context) as response:
                going_on = self._put(Head(response.status, response.headers))
                while going_on and (block := response.read1(_BLOCK)):
                    going_on = self._put(block)
            self._put(None)
        except urllib.error.HTTPError as error:
            with error:
                self._put(Head(error.code, error.headers) if error.code == 416 else error)
            self._put(None)
        except Exception as error:  # whatever it is belongs to the thread that waits
            self._put(error)

    def _put(self, item: _Item) -> bool:
        """False when nobody wants it any more."""
        while not self._abandoned.is_set():
            try:
                self._items.put(item, timeout=_POLL_S)
                return True
            except queue.Full:
                continue
        return False


def _failure(error: Exception) -> Exception:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(error, urllib.error.HTTPError):
        if error.code in (401, 403, 404, 407, 410):
            return NotFetchableError(f"HTTP {error.code}")
        if error.code == 429 or error.code >= 500:
            return TransferCut(
                _("The model could not be fetched: the server is busy (HTTP {code}).").format(code=error.code),
                _("Try again in a while."),
            )
        return DownloadFailed(
            _("The model could not be fetched: the server answered HTTP {code}.").format(code=error.code)
        )
    if isinstance(reason, ssl.SSLCertVerificationError):
        return NotFetchableError(str(reason))
    if isinstance(error, urllib.error.URLError):
        return offline(str(reason), TransferCut)
    if isinstance(error, (OSError, http.client.HTTPException)):
        return TransferCut(
            _("The model could not be fetched: the connection was cut ({reason}).").format(reason=reason),
            _("Check the network, then try again."),
        )
    return error
