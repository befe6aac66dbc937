"""Quantized checkpoints as other programs write them, packed here element by element from the formats' definitions.

Nothing of this is shared with the reader: words are built with shifts and additions from codes in numpy.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

Codes = npt.NDArray[np.int64]
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # nibble i of a word holds column AWQ_ORDER[i]


@dataclass
class Grid:
    """A matrix on a grid. codes [N, K] 0..2^bits - 1; scales [N, G]; zeros [N, G] or biases [N, G]; groups [K]."""

    bits: int
    codes: Codes
    scales: Tensor
    zeros: Codes | None
    biases: Tensor | None
    groups: Codes

    def weights(self) -> Tensor:
        codes, scales = torch.from_numpy(self.codes).float(), self.scales.float()[:, self.groups]
        if self.zeros is None:
            assert self.biases is not None
            return codes * scales + self.biases.float()[:, self.groups]
        return (codes - torch.from_numpy(self.zeros).float()[:, self.groups]) * scales


def make_grid(
    weight: Tensor,
    bits: int,
    group: int,
    *,
    symmetric: bool,
    dtype: torch.dtype = torch.float16,
    scattered: bool = False,
    biased: bool = False,
    mantissa: int = 10,
) -> Grid:
    """`weight` [N, K] rounded to a grid.

    Args:
        scattered: the columns of a group do not follow each other.
        mantissa: bits of a scale after the first.
    """
    rows, columns = weight.shape
    size = columns if group < 0 else group
    order = np.random.default_rng(columns).permutation(columns) if scattered else np.arange(columns)
    groups = np.empty(columns, np.int64)
    groups[order] = np.arange(columns) // size
    grouped = weight[:, torch.from_numpy(order)].reshape(rows, columns // size, size).double()
    low, high = grouped.amin(-1).clamp(max=0), grouped.amax(-1).clamp(min=0)
    top = 2**bits - 1
    scales = (2 * torch.maximum(-low, high) / (top - 1)) if symmetric else (high - low) / top
    exponent = torch.floor(torch.log2(scales))
    scales = (torch.round(scales / 2**exponent * 2**mantissa) / 2**mantissa * 2**exponent).to(dtype)
    s = scales.double()
    biases = low.to(dtype) if biased else None
    zeros = torch.full_like(s, 2 ** (bits - 1)) if symmetric else torch.round(-low / s).clamp(1, top)
    origin = -biases.double() / s if biases is not None else zeros
    codes = torch.round(grouped / s[..., None] + origin[..., None]).clamp(0, top).reshape(rows, columns)
    placed = np.empty((rows, columns), np.int64)
    placed[:, order] = codes.long().numpy()
    return Grid(bits, placed, scales, None if biased else zeros.long().numpy(), biases, groups)


def words(codes: Codes, bits: int, order: tuple[int, ...] | None = None) -> Tensor:
    """Codes [rows, n] to int32 [rows, n * bits / 32], the first code in the lowest bits, or those of `order`."""
    each = 32 // bits
    assert codes.shape[1] % each == 0
    packed = np.zeros((codes.shape[0], codes.shape[1] // each), np.int64)
    for word in range(packed.shape[1]):
        for place in range(each):
            column = word * each + (order[place] if order else place)
            packed[:, word] += codes[:, column] << (bits * place)
    return torch.from_numpy(packed.astype(np.uint32).view(np.int32).copy())


def gptq(grid: Grid, version: int = 1) -> dict[str, Tensor]:
    assert grid.zeros is not None
    stored = (grid.zeros - (1 if version == 1 else 0)) & (2**grid.bits - 1)
    return {
        "qweight": words(grid.codes, grid.bits).T.contiguous(),
        "qzeros": words(stored.T, grid.bits),
        "scales": grid.scales.T.contiguous(),
        "g_idx": torch.from_numpy(grid.groups.astype(np.int32)),
    }


def awq(grid: Grid) -> dict[str, Tensor]:
    assert grid.zeros is not None
    return {
        "qweight": words(grid.codes.T, 4, AWQ_ORDER),
        "qzeros": words(grid.zeros.T, 4, AWQ_ORDER),
        "scales": grid.scales.T.contiguous(),
    }


def compressed_tensors(grid: Grid, symmetric: bool) -> dict[str, Tensor]:
    parts = {
        "weight_packed": words(grid.codes, grid.bits),
        "weight_scale": grid.scales,
        "weight_shape": torch.tensor(grid.codes.shape),
    }
    if not symmetric:
        assert grid.zeros is not None
        parts["weight_zero_point"] = words(grid.zeros.T, grid.bits).T.contiguous()
    if (np.diff(grid.groups) < 0).any():
        parts["weight_g_idx"] = torch.from_numpy(grid.groups.astype(np.int32))
    return parts


def mlx(grid: Grid) -> dict[str, Tensor]:
    assert grid.biases is not None
    packed = words(grid.codes, grid.bits).view(torch.uint32)
    return {"weight": packed, "scales": grid.scales, "biases": grid.biases}


def write_quantized(
    model: PreTrainedModel,
    folder: Path,
    to_grid: Callable[[Tensor], Grid],
    pack: Callable[[Grid], dict[str, Tensor]],
    config: dict[str, Any],
    *,
    also: tuple[str, ...] = (),
    keep: tuple[str, ...] = (),
) -> dict[str, Grid]:
    """Save `model` with the matrices of its layers on a grid, and set its weights to what they are there.

    Args:
        also, keep: modules beyond the layers that are quantized too, and modules that are not.

    Returns:
        Name of each module that was quantized to its grid.
    """
    grids: dict[str, Grid] = {}
    for name, module in model.named_modules():
        wanted = isinstance(module, torch.nn.Linear) and name != "lm_head"
        if (wanted or name in also) and name not in keep:
            grids[name] = to_grid(module.weight.data)
            module.weight.data = grids[name].weights()
    model.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    for name, grid in grids.items():
        del tensors[f"{name}.weight"]
        tensors |= {f"{name}.{part}": tensor for part, tensor in pack(grid).items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return grids
