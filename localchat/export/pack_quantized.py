"""The format pack-quantized of the package compressed-tensors: tensors of a matrix, and the entry in config.json.

Codes are stored with half of their range added, 8 of 4 bits or 4 of 8 bits to an int32, the first one lowest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from quant import pack
from quant.spec import ROW_GROUP, QuantSpec
from quant.tensor import QuantTensor


def nearest_spec(spec: QuantSpec) -> QuantSpec:
    """The spec that the format has and that changes a matrix in `spec` least."""
    return QuantSpec(4 if spec.bits == 4 and spec.symmetric else 8, spec.group_size, symmetric=True)


def packed_tensors(module: str, codes: Tensor, scales: Tensor, bits: int) -> dict[str, Tensor]:
    """What stands in a checkpoint for the weight of `module`.

    Args:
        codes: int8 [N, K], signed.
        scales: [N, groups].
    """
    unsigned = codes.view(torch.uint8) + (1 << bits - 1)  # wraps, as it should
    if bits == 4:
        unsigned = unsigned[:, ::2] | unsigned[:, 1::2] << 4
    return {
        f"{module}.weight_packed": unsigned.contiguous().view(torch.int32),
        f"{module}.weight_scale": scales.contiguous(),
        f"{module}.weight_shape": torch.tensor(codes.shape, dtype=torch.int64),
    }


def signed_codes(weight: QuantTensor) -> tuple[Tensor, Tensor]:
    """Codes as the format has them, int8 [N, K], and scales [N, groups] of a symmetric matrix."""
    rows = weight.shape[0]
    codes = pack.unpack(weight.packed, weight.spec.bits)[:rows]
    return codes.view(torch.int8) - 8 if weight.spec.bits == 4 else codes, pack.unpack_scales(weight.scales)[:rows]


def packed_nbytes(shape: tuple[int, ...], spec: QuantSpec) -> int:
    """Bytes of `packed_tensors` of a matrix."""
    rows, columns = shape
    scale = 4 if spec.group_size == ROW_GROUP else 2
    return rows * (columns * spec.bits // 8 + spec.groups(columns) * scale) + 16


def quantization_config(modules: Mapping[str, QuantSpec | None]) -> dict[str, Any]:
    """The entry `quantization_config`, which names for each spec its modules; those with None are dense."""
    by_spec: dict[QuantSpec, list[str]] = {}
    for module, spec in modules.items():
        if spec is not None:
            by_spec.setdefault(spec, []).append(module)
    groups = {f"group_{number}": _group(spec, names) for number, (spec, names) in enumerate(by_spec.items())}
    if len(by_spec) == 1:
        groups["group_0"]["targets"] = ["Linear"]
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": [module for module, spec in modules.items() if spec is None],
        "kv_cache_scheme": None,
    }


def _group(spec: QuantSpec, targets: list[str]) -> dict[str, Any]:
    by_row = spec.group_size == ROW_GROUP
    weights = {
        "num_bits": spec.bits,
        "type": "int",
        "symmetric": True,
        "strategy": "channel" if by_row else "group",
        "group_size": None if by_row else spec.group_size,
        "dynamic": False,
    }
    return {"targets": targets, "weights": weights, "input_activations": None, "output_activations": None}
