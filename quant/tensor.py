"""A quantized matrix: codes and scales in the tile layout of `quant.pack`, and what they mean as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from quant import pack
from quant.spec import ROW_GROUP, QuantSpec

_BLOCK_WEIGHTS = 1 << 20  # dequantized at a time: fewer cost more in calls than the cache saves


def stored_bytes(spec: QuantSpec, rows: int, columns: int) -> int:
    """What a matrix of this shape takes in `spec`: `QuantTensor.nbytes`, before there is one."""
    scale = 4 if spec.group_size == ROW_GROUP else 2 if spec.symmetric else 4  # with its minimum
    return pack.padded(rows) * (columns * spec.bits // 8 + spec.groups(columns) * scale)


@dataclass(frozen=True, eq=False)
class QuantTensor:
    """A matrix [out_features N, in_features K] in int4 or int8.

    int4 is `w = code * scale + minimum`, or `(code - 8) * scale` when symmetric; int8 is `w = code * scale`.

    Attributes:
        packed: uint8 codes, shape `pack.packed_shape(bits, N, K)`.
        scales: float16 (float32 for one scale per row), shape `pack.scales_shape(N, groups)`.
        minimums: float16, the shape of `scales`; None when symmetric.
    """

    spec: QuantSpec
    shape: tuple[int, int]
    packed: Tensor
    scales: Tensor
    minimums: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of codes, scales and minimums, padding included."""
        return sum(part.nbytes for part in self.parts().values())

    @property
    def device(self) -> torch.device:
        return self.packed.device

    def to(self, device: torch.device | str) -> QuantTensor:
        parts = {name: part.to(device) for name, part in self.parts().items()}
        return QuantTensor.from_parts(self.spec, self.shape, parts)

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """All weights [N, K], computed in float32 and then rounded to `dtype`."""
        result = torch.empty(self.shape, dtype=dtype, device=self.device)
        for start, block in self.blocks(_BLOCK_WEIGHTS):
            codes = pack.unpack(block.packed, self.spec.bits)
            minimums = None if block.minimums is None else pack.unpack_scales(block.minimums)
            weights = self._weights(codes, pack.unpack_scales(block.scales), minimums)
            result[start : start + block.shape[0]] = weights[: block.shape[0]]
        return result

    def rows(self, ids: Tensor) -> Tensor:
        """Weights of the rows `ids` (int64 [T]), float32 [T, K]; reads only the bytes of these rows.

        Raises:
            IndexError: an id is negative or not below N.
        """
        if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= self.shape[0]):
            raise IndexError(f"row ids must lie in 0..{self.shape[0] - 1}")
        codes = pack.unpack_rows(self.packed, self.spec.bits, ids)
        minimums = None if self.minimums is None else pack.unpack_scale_rows(self.minimums, ids)
        return self._weights(codes, pack.unpack_scale_rows(self.scales, ids), minimums)

    def reordered(self, order: Tensor) -> QuantTensor:
        """The same matrix with row `order[i]` (int64 [N]) as row i; no value changes, as groups lie along K."""
        parts = {
            "packed": pack.pack(pack.unpack_rows(self.packed, self.spec.bits, order), self.spec.bits),
            "scales": pack.pack_scales(pack.unpack_scale_rows(self.scales, order)),
        }
        if self.minimums is not None:
            parts["minimums"] = pack.pack_scales(pack.unpack_scale_rows(self.minimums, order))
        return QuantTensor.from_parts(self.spec, (len(order), self.shape[1]), parts)

    def blocks(self, weights: int) -> list[tuple[int, QuantTensor]]:
        """Views of whole tiles of rows with about `weights` weights each, and the row that each starts at."""
        tiles = max(1, weights // (pack.TILE_ROWS * self.shape[1]))
        result = []
        for tile in range(0, self.packed.shape[0], tiles):
            start, part = tile * pack.TILE_ROWS, slice(tile, tile + tiles)
            rows = min(tiles * pack.TILE_ROWS, self.shape[0] - start)
            minimums = None if self.minimums is None else self.minimums[part]
            shape = (rows, self.shape[1])
            result.append((start, QuantTensor(self.spec, shape, self.packed[part], self.scales[part], minimums)))
        return result

    def parts(self) -> dict[str, Tensor]:
        """The tensors to store, by name."""
        parts = {"packed": self.packed, "scales": self.scales}
        return parts if self.minimums is None else {**parts, "minimums": self.minimums}

    @classmethod
    def from_parts(cls, spec: QuantSpec, shape: tuple[int, int], parts: Mapping[str, Tensor]) -> QuantTensor:
        """The inverse of `parts`.

        Raises:
            ValueError: a part is missing, unknown, or has a shape or dtype that `spec` and `shape` do not give.
        """
        rows, columns = shape
        if rows <= 0 or not spec.accepts(columns):
            raise ValueError(f"a matrix of shape {(rows, columns)} cannot be {spec}")
        scale_dtype = torch.float32 if spec.group_size == ROW_GROUP else torch.float16
        scales = (pack.scales_shape(rows, spec.groups(columns)), scale_dtype)
        expected = {"packed": (pack.packed_shape(spec.bits, rows, columns), torch.uint8), "scales": scales}
        if not spec.symmetric:
            expected["minimums"] = scales
        if set(parts) != set(expected):
            raise ValueError(f"a matrix in {spec} has the parts {sorted(expected)}, not {sorted(parts)}")
        for name, (part_shape, dtype) in expected.items():
            part = parts[name]
            if tuple(part.shape) != part_shape or part.dtype != dtype:
                raise ValueError(
                    f"{name} of a matrix {(rows, columns)} in {spec} must be {dtype} {part_shape}, "
                    f"not {part.dtype} {tuple(part.shape)}"
                )
        contiguous = {name: part.contiguous() for name, part in parts.items()}
        return cls(spec, (rows, columns), contiguous["packed"], contiguous["scales"], contiguous.get("minimums"))

    @classmethod
    def from_codes(cls, spec: QuantSpec, codes: Tensor, scales: Tensor, minimums: Tensor | None) -> QuantTensor:
        """Pack what an algorithm found.

        Args:
            codes: [N, K], int8: 0..15 for int4 with minimums, -8..7 for symmetric int4, -127..127 for int8.
            scales: [N, groups], rounded here to how they are stored; `minimums` the same, None when symmetric.

        Raises:
            ValueError: a scale or minimum is not finite or beyond float16; or as `from_parts`.
        """
        if spec.bits == 4:
            codes = (codes + 8 if spec.symmetric else codes).view(torch.uint8)
        dtype = torch.float32 if spec.group_size == ROW_GROUP else torch.float16
        parts = {"packed": pack.pack(codes, spec.bits), "scales": pack.pack_scales(scales.to(dtype))}
        if minimums is not None:
            parts["minimums"] = pack.pack_scales(minimums.to(dtype))
        if not all(bool(torch.isfinite(part).all()) for name, part in parts.items() if name != "packed"):
            raise ValueError("a weight is not a finite number, or so large that a scale does not fit float16")
        return cls.from_parts(spec, (codes.shape[0], codes.shape[1]), parts)

    def _weights(self, codes: Tensor, scales: Tensor, minimums: Tensor | None) -> Tensor:
        """Codes [rows, K], scales and minimums [rows, groups] to float32 [rows, K]."""
        rows, columns, groups = *codes.shape, scales.shape[1]
        weights = codes.to(torch.float32).view(rows, groups, columns // groups)
        if self.spec.bits == 4 and self.spec.symmetric:
            weights -= 8  # before scaling: a negative scale times zero is then -0, as it is in GGUF's Q4_0
        weights *= scales.to(torch.float32).unsqueeze(-1)
        if minimums is not None:
            weights += minimums.to(torch.float32).unsqueeze(-1)
        return weights.view(rows, columns)
