"""Why the hub did not give what was asked for, told in a sentence: huggingface-hub's exceptions are read here only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx2
from huggingface_hub import constants, get_token
from huggingface_hub import errors as hub

from localchat.errors import DownloadFailed, LocalChatError, ModelNotFound
from localchat.hub.hub_name import HubName
from localchat.hub.transfer_errors import TransferCut, offline
from localchat.translation import _, mark

_TOKEN = mark("put it into HF_TOKEN or log in with `hf auth login`")


@contextlib.contextmanager
def hub_errors(name: HubName) -> Iterator[None]:
    """Turn what huggingface-hub raises into ours.

    Raises:
        TransferCut: trying again may help. ModelNotFound, DownloadFailed: it does not.
    """
    try:
        yield
    except (hub.OfflineModeIsEnabled, hub.HFValidationError, httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise _translated(error, name) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # not JSON, or JSON of another kind
        raise DownloadFailed(
            _("The hub's answer about {repository} is not understood ({error}).").format(
                repository=name.repository, error=error
            ),
            _("Is HF_ENDPOINT the address of a model hub?"),
        ) from error


def _translated(error: Exception, name: HubName) -> LocalChatError:
    """The order matters: the kinds derive from each other."""
    if isinstance(error, hub.OfflineModeIsEnabled):
        return DownloadFailed(
            _("{name} is not on this machine, and HF_HUB_OFFLINE forbids asking for it.").format(name=name),
            _("Unset HF_HUB_OFFLINE."),
        )
    if isinstance(error, hub.HFValidationError):
        return ModelNotFound(
            _("{name} cannot be the name of a model of the hub ({error}).").format(name=name, error=error)
        )
    if isinstance(error, hub.GatedRepoError):
        return _gated(name)
    if isinstance(error, hub.DisabledRepoError):
        return DownloadFailed(
            _("The hub has closed {repository}: nobody can fetch it.").format(repository=name.repository)
        )
    if isinstance(error, hub.RevisionNotFoundError):
        return ModelNotFound(
            _("{repository} has no revision {revision}.").format(
                repository=name.repository, revision=repr(name.revision)
            ),
            _("Leave @REVISION out for the newest."),
        )
    if isinstance(error, hub.EntryNotFoundError):
        return ModelNotFound(
            _("{repository} has no such file any more.").format(repository=name.repository),
            _("Try again: it may have changed just now."),
        )
    if isinstance(error, hub.RepositoryNotFoundError):
        return ModelNotFound(
            _("The hub has no repository {repository}, or it is private.").format(repository=name.repository),
            _("Check the spelling.")
            if get_token()
            else _("Check the spelling; for a private one, get a token and {token}.").format(token=_(_TOKEN)),
        )
    if isinstance(error, httpx2.HTTPStatusError | hub.HfHubHTTPError):
        return _by_status(error.response.status_code, name)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return DownloadFailed(
            _("The model could not be fetched: the hub's certificate is not trusted here."),
            _("Behind a company proxy, name its certificate in SSL_CERT_FILE."),
        )
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError):
        return offline(str(error) or type(error).__name__, TransferCut)
    if isinstance(error, httpx2.TransportError):
        return TransferCut(
            _("The model could not be fetched: the connection was cut ({reason}).").format(
                reason=str(error) or type(error).__name__
            ),
            _("Check the network, then try again."),
        )
    return DownloadFailed(_("The model could not be fetched: {error}.").format(error=error))


def _gated(name: HubName) -> LocalChatError:
    page = f"{constants.ENDPOINT}/{name.repository}"
    if get_token() is None:
        return DownloadFailed(
            _("The authors of {repository} ask you to accept their licence first.").format(repository=name.repository),
            _("Accept it at {page}, make a token in your account there, and {token}; then try again.").format(
                page=page, token=_(_TOKEN)
            ),
        )
    return DownloadFailed(
        _("The authors of {repository} have not given your account access to it.").format(repository=name.repository),
        _(
            "Accept their licence at {page} (some grant access by hand, which takes a while), then try "
            "again; the token must be one that may read such models."
        ).format(page=page),
    )


def _by_status(status: int, name: HubName) -> LocalChatError:
    if status == 401:
        return DownloadFailed(
            _("The hub refuses your token: it is wrong or has ended."),
            _("Make a new one and {token}.").format(token=_(_TOKEN)),
        )
    if status == 403:
        return DownloadFailed(
            _("The hub does not let you read {repository}.").format(repository=name.repository),
            _("Does your token allow it?") if get_token() else _("Get a token and {token}.").format(token=_(_TOKEN)),
        )
    if status in (408, 429) or status >= 500:
        return TransferCut(
            _("The model could not be fetched: the hub is busy (HTTP {status}).").format(status=status),
            _("Try again in a while."),
        )
    return DownloadFailed(_("The model could not be fetched: the hub answered HTTP {status}.").format(status=status))
