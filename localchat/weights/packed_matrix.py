"""One quantized matrix of a checkpoint: codes with scales and zero points, as numbers and in our own format.

    GPTQ                qweight [K/8, N] words along K, qzeros [G, N/8] words along N, scales [G, N], g_idx [K]
    AWQ                 qweight [K, N/8] and qzeros [G, N/8] words along N in the order 0 2 4 6 1 3 5 7, scales [G, N]
    compressed-tensors  weight_packed [N, K/8] words along K, codes moved up by 8; weight_scale [N, G],
                        weight_zero_point [N/8, G] words along N, moved up too; weight_shape [2], weight_g_idx [K]
    MLX                 weight [N, K/8] words along K, scales and biases [N, G]

for 4 bits, and 4 codes a word for 8. The lowest bits of a word are its first code. The first three mean
(code - zero) * scale, MLX means code * scale + bias.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from localchat.errors import BadWeights
from localchat.translation import _
from localchat.weights.packed_format import Method, PackedFormat
from quant import pack
from quant.spec import GROUP_SIZES, QuantSpec
from quant.tensor import QuantTensor

_FLOATS = (torch.float16, torch.bfloat16, torch.float32)
_AWQ_ORDER = torch.tensor([0, 4, 1, 5, 2, 6, 3, 7])  # code i of a row is nibble _AWQ_ORDER[i] of its word

PARTS: Mapping[Method, tuple[frozenset[str], frozenset[str]]] = {
    "gptq": (frozenset({"qweight", "qzeros", "scales"}), frozenset({"g_idx"})),
    "awq": (frozenset({"qweight", "qzeros", "scales"}), frozenset()),
    "compressed-tensors": (
        frozenset({"weight_packed", "weight_scale", "weight_shape"}),
        frozenset({"weight_zero_point", "weight_g_idx"}),
    ),
    "mlx": (frozenset({"weight", "scales", "biases"}), frozenset()),
}
"""The tensors that a matrix has in each method, and those that it may have."""


@dataclass(frozen=True, slots=True)
class PackedMatrix:
    """A matrix [N, K] of codes in groups.

    Attributes:
        bits: 4 or 8. codes: uint8 [N, K].
        scales: float [N, G]. zeros: the codes that mean zero, int32 [N, G]; None where `biases` are added instead.
        groups: of each column, int64 [K]; None where they follow each other, all of one size.
    """

    bits: int
    codes: Tensor
    scales: Tensor
    zeros: Tensor | None
    biases: Tensor | None = None
    groups: Tensor | None = None

    def float32(self) -> Tensor:
        """The weights, float32 [N, K]."""
        rows, columns = self.codes.shape
        if self.groups is not None:
            assert self.zeros is not None
            return (self.codes - self.zeros[:, self.groups]) * self.scales.float()[:, self.groups]
        codes = self.codes.view(rows, self.scales.shape[1], -1)
        scales = self.scales.float().unsqueeze(-1)
        if self.biases is not None:
            return (codes * scales + self.biases.float().unsqueeze(-1)).view(rows, columns)
        assert self.zeros is not None
        return ((codes - self.zeros.unsqueeze(-1)) * scales).view(rows, columns)

    def quant_tensor(self) -> QuantTensor | None:
        """The same codes in our format, or None where it cannot hold them.

        Float32 scales and minimums (-zero * scale) are rounded to float16, by at most 2^-11 of themselves, as those of
        GGUF's Q4_K are; with 16-bit scales and zero points of 8, or in 8 bits, nothing changes. What has groups of
        scattered columns, of no multiple of 32, or values beyond float16, is left to be rounded anew.
        """
        rows, columns = self.codes.shape
        size = _our_group(columns // self.scales.shape[1])
        if self.groups is not None or size is None or columns % pack.TILE_COLUMNS:
            return None
        scales = _as_half(self._by(size, self.scales))
        if scales is None:
            return None
        parts = {"scales": pack.pack_scales(scales)}
        symmetric, codes = True, self.codes
        if self.bits == 8:
            signed = None if self.zeros is None else self._signed_codes(self.zeros)
            if signed is None:
                return None
            codes = signed
        elif self.zeros is None or not bool((self.zeros == 8).all()):
            symmetric = False
            exact = self.biases if self.zeros is None else -self.zeros * self.scales.float()
            assert exact is not None
            minimums = _as_half(self._by(size, exact))
            if minimums is None:
                return None
            parts["minimums"] = pack.pack_scales(minimums)
        parts["packed"] = pack.pack(codes, self.bits)
        return QuantTensor.from_parts(QuantSpec(self.bits, size, symmetric), (rows, columns), parts)

    def _by(self, size: int, values: Tensor) -> Tensor:
        """Values [N, G] repeated so that each stands for `size` columns."""
        times = self.codes.shape[1] // values.shape[1] // size
        return values if times == 1 else values.repeat_interleave(times, dim=1)

    def _signed_codes(self, zeros: Tensor) -> Tensor | None:
        """int8 codes around zero; None where they do not fit."""
        grouped = self.codes.view(len(self.codes), zeros.shape[1], -1)
        signed = grouped.short() - zeros.short().unsqueeze(-1)
        if int(signed.min()) < -128 or int(signed.max()) > 127:
            return None
        return signed.to(torch.int8).view_as(self.codes)


def read_matrix(name: str, form: PackedFormat, parts: Mapping[str, Tensor]) -> PackedMatrix:
    """The matrix of the module `name` from its tensors.

    Raises:
        BadWeights: shapes or types do not fit each other or the format.
    """
    bits, group_size = form.modules.get(name, (form.bits, form.group_size))
    matrix = _READERS[form.method](_Parts(name, parts), bits, form.zero_offset)
    rows, columns = matrix.codes.shape
    expected = (rows, 1 if group_size < 0 else columns // group_size)
    if group_size > 0 and columns % group_size:
        raise _wrong(
            name,
            _("rows of {columns} weights cannot be divided into groups of {group_size}").format(
                columns=columns, group_size=group_size
            ),
        )
    for what, values in ((_("scales"), matrix.scales), (_("zero points"), matrix.zeros), (_("biases"), matrix.biases)):
        if values is not None and tuple(values.shape) != expected:
            raise _wrong(
                name,
                _("its {what} are {shape}, and should be {expected}").format(
                    what=what, shape=list(values.shape), expected=list(expected)
                ),
            )
        if values is not None and not bool(torch.isfinite(values).all()):
            raise _wrong(name, _("one of its {what} is not a number").format(what=what))
    if matrix.groups is None:
        return matrix
    in_order = torch.arange(columns) // (columns if group_size < 0 else group_size)
    if torch.equal(matrix.groups, in_order):
        return PackedMatrix(bits, matrix.codes, matrix.scales, matrix.zeros)
    if matrix.groups.shape != (columns,) or int(matrix.groups.min()) < 0 or int(matrix.groups.max()) >= expected[1]:
        raise _wrong(name, _("a column belongs to a group that is not there"))
    return matrix


def matrix_shape(name: str, form: PackedFormat, parts: Mapping[str, Tensor]) -> tuple[int, int]:
    """Rows and columns of the module `name`, read from the shapes of its tensors.

    Raises:
        BadWeights: there are none of the expected kind.
    """
    bits, _group_size = form.modules.get(name, (form.bits, form.group_size))
    each, read = 32 // bits, _Parts(name, parts)
    if form.method == "gptq":
        words = read.words("qweight")
        return words.shape[1], words.shape[0] * each
    if form.method == "awq":
        words = read.words("qweight")
        return words.shape[1] * each, words.shape[0]
    words = read.words("weight" if form.method == "mlx" else "weight_packed")
    return words.shape[0], words.shape[1] * each


class _Parts:
    """The tensors of one matrix, each checked for its type when it is taken."""

    def __init__(self, name: str, parts: Mapping[str, Tensor]) -> None:
        self.name = name
        self._parts = parts

    def words(self, part: str) -> Tensor:
        """int32 words [a, b]."""
        tensor = self._parts[part]
        if tensor.dim() != 2 or tensor.dtype not in (torch.int32, torch.uint32) or 0 in tensor.shape:
            raise _wrong(
                self.name,
                _("its {part} is {dtype} {shape}").format(part=part, dtype=tensor.dtype, shape=list(tensor.shape)),
            )
        return tensor.view(torch.int32)

    def floats(self, part: str) -> Tensor:
        tensor = self._parts[part]
        if tensor.dim() != 2 or tensor.dtype not in _FLOATS:
            raise _wrong(
                self.name,
                _("its {part} is {dtype} {shape}").format(part=part, dtype=tensor.dtype, shape=list(tensor.shape)),
            )
        return tensor

    def whole_numbers(self, part: str) -> Tensor | None:
        """int64 [n]; None where the part is not there."""
        tensor = self._parts.get(part)
        if tensor is not None and (tensor.dim() != 1 or tensor.dtype not in (torch.int32, torch.int64)):
            raise _wrong(
                self.name,
                _("its {part} is {dtype} {shape}").format(part=part, dtype=tensor.dtype, shape=list(tensor.shape)),
            )
        return None if tensor is None else tensor.long()

    def has(self, part: str) -> bool:
        return part in self._parts


def _gptq(parts: _Parts, bits: int, zero_offset: int) -> PackedMatrix:
    codes = _codes(parts.words("qweight").T, bits)
    stored = _codes(parts.words("qzeros"), bits).T
    zeros = (stored.int() + zero_offset) & (2**bits - 1)  # the first format stored one less, and wrapped zero around
    scales = parts.floats("scales").T
    return PackedMatrix(bits, codes, scales, zeros, groups=parts.whole_numbers("g_idx"))


def _awq(parts: _Parts, bits: int, _group_size: int) -> PackedMatrix:
    def in_order(words: Tensor) -> Tensor:
        return _codes(words, bits).view(len(words), -1, 8)[..., _AWQ_ORDER].flatten(1)

    codes = in_order(parts.words("qweight")).T.contiguous()
    zeros = in_order(parts.words("qzeros")).T.int()
    return PackedMatrix(bits, codes, parts.floats("scales").T, zeros)


def _compressed_tensors(parts: _Parts, bits: int, _group_size: int) -> PackedMatrix:
    codes = _codes(parts.words("weight_packed"), bits)
    rows = len(codes)
    said = parts.whole_numbers("weight_shape")
    if said is None or said.tolist() != list(codes.shape):  # odd rows would be padded; ours never are
        raise _wrong(parts.name, _("its weight_shape is {found}").format(found=None if said is None else said.tolist()))
    scales = parts.floats("weight_scale")
    if parts.has("weight_zero_point"):
        zeros = _codes(parts.words("weight_zero_point").T, bits).T[:rows].int()
    else:
        zeros = torch.full(scales.shape, 2 ** (bits - 1), dtype=torch.int32)
    groups = parts.whole_numbers("weight_g_idx")
    if groups is not None and bool((groups == -1).all()):  # made, and never set
        groups = None
    return PackedMatrix(bits, codes, scales, zeros, groups=groups)


def _mlx(parts: _Parts, bits: int, _group_size: int) -> PackedMatrix:
    return PackedMatrix(bits, _codes(parts.words("weight"), bits), parts.floats("scales"), None, parts.floats("biases"))


_READERS: Mapping[Method, Callable[[_Parts, int, int], PackedMatrix]] = {
    "gptq": _gptq,
    "awq": _awq,
    "compressed-tensors": _compressed_tensors,
    "mlx": _mlx,
}


def _codes(words: Tensor, bits: int) -> Tensor:
    """Words int32 [rows, n], their lowest bits first, to codes uint8 [rows, n * 32 / bits]."""
    data = words.contiguous().view(torch.uint8)  # little-endian, as every machine that this runs on
    if bits == 8:
        return data
    return torch.stack((data & 15, data >> 4), dim=-1).flatten(1)


def _our_group(size: int) -> int | None:
    """The largest of our group sizes that divides `size`."""
    return next((ours for ours in reversed(GROUP_SIZES) if size % ours == 0), None)


def _as_half(values: Tensor) -> Tensor | None:
    """Values as float16, or None where that is off by more than its rounding of normal numbers."""
    exact, half = values.float(), values.half()
    return half if bool(((half.float() - exact).abs() <= exact.abs() * 2**-11).all()) else None


def _wrong(name: str, what: str) -> BadWeights:
    return BadWeights(
        _("The quantized matrix {name} is damaged: {what}.").format(name=name, what=what), _("Fetch the model again.")
    )
