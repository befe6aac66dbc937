"""The header of a GGUF file: a cursor that cannot leave the file, and the values that lie under it.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The `gguf` package reads the same, but takes 5 to 15 s over a
vocabulary of 150 000 words. What a file claims is never believed: every length is held against the bytes that are
left before anything of that length is made.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from localchat.errors import BadWeights
from localchat.translation import _

_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    _BOOL: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_NUMPY = {0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?", 10: "<u8", 11: "<i8", 12: "<f8"}
_MAX_STRINGS = 1 << 22  # in one array; the largest vocabularies have a 16th of it
_U64 = struct.Struct("<Q")


def shown(name: str) -> str:
    """A name from the file as it may stand in a message, which must stay short and on one line."""
    return repr(name if len(name) <= 64 else f"{name[:61]}...")


class HeaderReader:
    """Reads a mapped GGUF header front to back; every method raises BadWeights rather than leave the file."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self._data = data
        self.position = 0

    def fail(self, what: str) -> NoReturn:
        raise BadWeights(
            _("{path} is not a usable GGUF file: {what}.").format(path=self.path, what=what), _("Fetch the file again.")
        )

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self._data)

    @property
    def left(self) -> int:
        return self.size - self.position

    def take(self, size: int, what: str) -> int:
        """Step over `size` bytes and return where they start."""
        if size > self.left:
            self.fail(_("it ends at byte {size}, within {what}").format(size=self.size, what=what))
        start = self.position
        self.position += size
        return start

    def uint32(self, what: str) -> int:
        return int.from_bytes(self._data[(start := self.take(4, what)) : start + 4], "little")

    def uint64(self, what: str) -> int:
        return int.from_bytes(self._data[(start := self.take(8, what)) : start + 8], "little")

    def count(self, least_bytes: int, what: str) -> int:
        """A number of things that take at least `least_bytes` each."""
        count = self.uint64(_("the number of {what}").format(what=what))
        if count * least_bytes > self.left:
            self.fail(
                _("it claims {count} {what}, more than its {size} bytes can hold").format(
                    count=count, what=what, size=self.size
                )
            )
        return count

    def string(self, what: str) -> str:
        length = self.count(1, _("bytes of {what}").format(what=what))
        start = self.take(length, what)
        try:
            return str(self._data[start : start + length], "utf-8")
        except UnicodeDecodeError:
            return self.fail(_("{what} is not UTF-8 text").format(what=what))

    def value(self, kind: int, what: str) -> Any:
        """A value of metadata type `kind`: int, float, bool, str, list of str, or a numpy array of numbers."""
        if kind == _STRING:
            return self.string(what)
        if kind == _ARRAY:
            return self._array(what)
        if (layout := _SCALARS.get(kind)) is None:
            self.fail(_("{what} has the unknown type {kind}").format(what=what, kind=kind))
        start = self.take(layout.size, what)
        if kind == _BOOL and self._data[start] > 1:
            self.fail(_("{what} is neither true nor false").format(what=what))
        return layout.unpack_from(self._data, start)[0]

    def _array(self, what: str) -> list[str] | np.ndarray[Any, Any]:
        kind = self.uint32(what)
        if kind == _STRING:
            return self._strings(self.count(8, _("strings in {what}").format(what=what)), what)
        if (dtype := _NUMPY.get(kind)) is None:
            self.fail(
                _("{what} is an array of the type {kind}, which no array can have here").format(what=what, kind=kind)
            )
        item = np.dtype(dtype)
        count = self.count(item.itemsize, _("numbers in {what}").format(what=what))
        start = self.take(count * item.itemsize, what)
        bytes_of_array = np.frombuffer(self._data, np.uint8, count * item.itemsize, start)
        if kind == _BOOL and bytes_of_array.size and bytes_of_array.max() > 1:
            self.fail(_("{what} has an entry that is neither true nor false").format(what=what))
        return bytes_of_array.copy().view(item)

    def _strings(self, count: int, what: str) -> list[str]:
        if count > _MAX_STRINGS:
            self.fail(_("it claims {count} strings in {what}").format(count=count, what=what))
        data, position, size = self._data, self.position, len(self._data)
        length_at: Callable[[mmap.mmap, int], tuple[int]] = _U64.unpack_from
        strings = []
        try:
            for _string in range(count):
                start = position + 8
                position = start + length_at(data, position)[0]
                if position > size:
                    break
                strings.append(str(data[start:position], "utf-8"))
        except UnicodeDecodeError:
            self.fail(_("entry {count} of {what} is not UTF-8 text").format(count=len(strings), what=what))
        except struct.error:  # fewer than 8 bytes left for the next length
            position = size + 1
        if position > size:
            self.fail(
                _("it ends at byte {size}, within entry {count} of {what}").format(
                    size=size, count=len(strings), what=what
                )
            )
        self.position = position
        return strings
