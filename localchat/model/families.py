"""Where each of our tensors, which `localchat.model.tensor_shapes` lists, lies in a source of weights."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from localchat.errors import BadWeights, UnsupportedModel
from localchat.model.family import GUESSING_LAYERS, Family, Fused, SourceKind, Stacked
from localchat.model.family_table import FAMILIES, family
from localchat.model.spec import ModelSpec
from localchat.model.tensor_shapes import Shapes, parameter_count, tensor_shapes
from localchat.translation import _

__all__ = ["FAMILIES", "Family", "SourceKind", "family", "parameter_count", "tensor_shapes"]

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TensorSource:
    """Where one of our tensors comes from, and what becomes of it on the way; in the order of the attributes.

    Attributes:
        name: in the source.
        shape: what ours must have.
        row_order: row i of ours is row `row_order[i]` of the source, which may have more; None takes all in their
            order. It holds for rows of a quantized matrix as well, as groups lie along the other axis.
        stored_shape: what the source must have; None for `shape`.
        index: ours is that one of a stack of matrices.
        transposed: the source has rows for columns.
        added: a number that ours has more everywhere.
        logarithm: the source has the logarithm of ours with the sign turned.
    """

    name: str
    shape: tuple[int, ...]
    row_order: Rows | None = None
    stored_shape: tuple[int, ...] | None = None
    index: int | None = None
    transposed: bool = False
    added: float = 0.0
    logarithm: bool = False

    def of(self, stored: Tensor) -> Tensor:
        """Ours, from the source's, or from the one of the stack that is meant."""
        ours = stored.mT.contiguous() if self.transposed else stored
        if self.row_order is not None:
            ours = ours[torch.from_numpy(self.row_order)]
        if self.logarithm:
            ours = -ours.exp()
        return (ours + self.added if self.added else ours).reshape(self.shape)


_LAYER_NAMES: Mapping[str, Mapping[str, str]] = {
    "gguf": {
        "attention_norm": "blk.{i}.attn_norm",
        "query": "blk.{i}.attn_q",
        "key": "blk.{i}.attn_k",
        "value": "blk.{i}.attn_v",
        "query_norm": "blk.{i}.attn_q_norm",
        "key_norm": "blk.{i}.attn_k_norm",
        "attention_output": "blk.{i}.attn_output",
        "sinks": "blk.{i}.attn_sinks",
        "post_attention_norm": "blk.{i}.post_attention_norm",
        "mlp_norm": "blk.{i}.ffn_norm",
        "router": "blk.{i}.ffn_gate_inp",
        "gate": "blk.{i}.ffn_gate",
        "up": "blk.{i}.ffn_up",
        "down": "blk.{i}.ffn_down",
        "post_mlp_norm": "blk.{i}.post_ffw_norm",
    },
    "huggingface": {
        "attention_norm": "model.layers.{i}.input_layernorm",
        "query": "model.layers.{i}.self_attn.q_proj",
        "key": "model.layers.{i}.self_attn.k_proj",
        "value": "model.layers.{i}.self_attn.v_proj",
        "query_norm": "model.layers.{i}.self_attn.q_norm",
        "key_norm": "model.layers.{i}.self_attn.k_norm",
        "attention_output": "model.layers.{i}.self_attn.o_proj",
        "sinks": "model.layers.{i}.self_attn.sinks",
        "mlp_norm": "model.layers.{i}.post_attention_layernorm",
        "router": "model.layers.{i}.mlp.gate",
        "gate": "model.layers.{i}.mlp.gate_proj",
        "up": "model.layers.{i}.mlp.up_proj",
        "down": "model.layers.{i}.mlp.down_proj",
        "experts.gate": "model.layers.{i}.mlp.experts.{e}.gate_proj",
        "experts.up": "model.layers.{i}.mlp.experts.{e}.up_proj",
        "experts.down": "model.layers.{i}.mlp.experts.{e}.down_proj",
    },
}
_WITHOUT_SUFFIX: Mapping[str, frozenset[str]] = {
    "gguf": frozenset({"mix.speeds", "mix.fading_bias"}),
    "huggingface": frozenset({"sinks", "scale", "mix.speeds", "mix.fading_bias"}),
}
_STACKED: Mapping[str, tuple[Stacked, ...]] = {
    "gguf": tuple(Stacked(f"blk.{{i}}.ffn_{part}_exps", (part,)) for part in ("gate", "up", "down")),
    "huggingface": (),
}
_OUTER_NAMES: Mapping[str, Mapping[str, str]] = {
    "gguf": {
        "embedding": "token_embd",
        "position_embedding": "position_embd",
        "output": "output",
        "output_norm": "output_norm",
    },
    "huggingface": {"embedding": "model.embed_tokens", "output": "lm_head", "output_norm": "model.norm"},
}
# Read elsewhere or computed again: rope factors are in the spec, a causal mask is one, and a tied output is the
# embedding a second time.
_SPARE_TENSORS: Mapping[str, re.Pattern[str]] = {
    "gguf": re.compile(r"rope_(freqs|factors_long|factors_short)\.weight"),
    "huggingface": re.compile(
        r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq"
        r"|(transformer\.)?h\.\d+\.attn\.(masked_)?bias"
        r"|gpt_neox\.layers\.\d+\.attention\.((masked_)?bias|rotary_emb\.inv_freq)"
    ),
}


def tensor_plan(spec: ModelSpec, kind: SourceKind, names: Collection[str] = ()) -> dict[str, TensorSource]:
    """For each of our tensors, in the order in which the decoder uses them, where it lies in a source of this kind.

    Args:
        names: of the source's tensors, where they may be spelled in more than one way.
    """
    entry, shapes = family(spec.family), tensor_shapes(spec)
    plan = {ours: _source(entry, spec, kind, ours, shapes) for ours in shapes}
    known = frozenset(names)
    for begin, instead in entry.spellings if kind == "huggingface" and known else ():
        for ours, source in plan.items():
            other = instead + source.name.removeprefix(begin)
            if source.name.startswith(begin) and source.name not in known and other in known:
                plan[ours] = replace(source, name=other)
    return plan


def _source(entry: Family, spec: ModelSpec, kind: SourceKind, ours: str, shapes: Shapes) -> TensorSource:
    part, suffix = (ours.removesuffix(".bias"), "bias") if ours.endswith(".bias") else (ours, "weight")
    shape, own = shapes[ours], entry.names.get(kind, {})
    added = entry.norm_offset if kind == "huggingface" and part.endswith("norm") and suffix == "weight" else 0.0
    if not part.startswith("layers."):
        return TensorSource(f"{own.get(part) or _OUTER_NAMES[kind][part]}.{suffix}", shape, added=added)
    _, layer, part = part.split(".", 2)
    if part.startswith("experts."):
        _, expert, part = part.split(".")
        for stacked in entry.stacked.get(kind, _STACKED[kind]):
            if part in stacked.parts:
                return _stacked_source(stacked, part, suffix, shape, layer, int(expert), spec.num_experts)
        return TensorSource(f"{_LAYER_NAMES[kind][f'experts.{part}'].format(i=layer, e=expert)}.{suffix}", shape)
    transposed = entry.transposed and kind == "huggingface" and len(shape) == 2
    for fused in entry.fused.get(kind, ()):
        if part in fused.parts and not spec.has_experts(int(layer)):
            sizes = {each: shapes[f"layers.{layer}.{each}"][0] for each in fused.parts}
            whole = (sum(sizes.values()), *shape[1:])
            return TensorSource(
                f"{fused.name.format(i=layer)}.{suffix}",
                shape,
                _fused_rows(fused, part, sizes, spec.head_dim),
                whole[::-1] if transposed else whole,
                transposed=transposed,
            )
    order = None
    if kind == "gguf" and entry.gguf_interleaved and part in ("query", "key"):
        order = _halves_from_pairs(shape[0] // spec.head_dim, spec.head_dim)
    name = (own.get(part) or _LAYER_NAMES[kind][part]).format(i=layer)
    name = name if part in _WITHOUT_SUFFIX[kind] else f"{name}.{suffix}"
    stored = shape[::-1] if transposed else None
    if kind == "huggingface" and part == "mix.convolution":
        stored = shape[0], 1, shape[1]
    logarithm = kind == "huggingface" and part == "mix.speeds"
    return TensorSource(name, shape, order, stored, transposed=transposed, added=added, logarithm=logarithm)


def _stacked_source(
    stacked: Stacked, part: str, suffix: str, shape: tuple[int, ...], layer: str, expert: int, num_experts: int
) -> TensorSource:
    """A matrix or a bias of one expert, where the source has those of all in one tensor."""
    count, transposed = len(stacked.parts), stacked.transposed and len(shape) == 2
    own = (count * shape[0], *shape[1:])
    order = np.arange(stacked.parts.index(part), own[0], count, dtype=np.int64) if count > 1 else None
    name = stacked.name.format(i=layer) + stacked.suffixes[suffix == "bias"]
    whole = (num_experts, *(own[::-1] if transposed else own))
    return TensorSource(name, shape, order, whole, index=expert, transposed=transposed)


def _fused_rows(fused: Fused, part: str, sizes: Mapping[str, int], head_dim: int) -> Rows:
    place = fused.parts.index(part)
    if fused.by_head:  # rows [head, part, channel]
        if len(set(sizes.values())) > 1:
            raise UnsupportedModel(
                _("The tensors {name} cannot be taken apart: key heads and heads differ in number.").format(
                    name=fused.name
                )
            )
        rows = np.arange(sum(sizes.values()), dtype=np.int64).reshape(-1, len(fused.parts), head_dim)
        return np.ascontiguousarray(rows[:, place]).reshape(-1)
    first = sum(sizes[each] for each in fused.parts[:place])
    return np.arange(first, first + sizes[part], dtype=np.int64)


def check_tensors(spec: ModelSpec, kind: SourceKind, names: Collection[str]) -> None:
    """Compare the tensors that a source has with those that the decoder needs.

    Raises:
        BadWeights: one is missing.
        UnsupportedModel: one is there that the decoder would not use, so that its answers would be wrong.
    """
    wanted = {source.name for source in tensor_plan(spec, kind, names).values()}
    if missing := sorted(wanted - set(names)):
        raise BadWeights(
            _("The model lacks {count} of its tensors, among them {missing}.").format(
                count=len(missing), missing=missing[0]
            ),
            _("Get the file again; it may be incomplete."),
        )
    unshared = replace(spec, shared_key_value_layers=0)  # some files keep what shares have no use for
    wanted |= {source.name for source in tensor_plan(unshared, kind, names).values()}
    spare, tied = _SPARE_TENSORS[kind], set(_output_names(spec, kind))
    entry = family(spec.family)
    own = re.compile(entry.spare_tensors if kind == "huggingface" else "")
    if kind == "gguf" and GUESSING_LAYERS in entry.gguf_reads:
        names = [name for name in names if _layer_of(name) < spec.num_layers]
    extra = [
        name
        for name in names
        if name not in wanted and name not in tied and not spare.fullmatch(name) and not own.fullmatch(name)
    ]
    if extra:
        raise UnsupportedModel(
            _("The model has {count} tensors that the family {family} does not use, among them {extra}.").format(
                count=len(extra), family=spec.family, extra=min(extra)
            )
        )


def _layer_of(name: str) -> int:
    """To which layer a tensor of a GGUF file belongs; -1 for those outside."""
    found = re.match(r"blk\.(\d+)\.", name)
    return -1 if found is None else int(found[1])


def _output_names(spec: ModelSpec, kind: SourceKind) -> Iterator[str]:
    name = f"{_OUTER_NAMES[kind]['output']}.weight"
    yield name
    for begin, instead in family(spec.family).spellings if kind == "huggingface" else ():
        if name.startswith(begin):
            yield instead + name.removeprefix(begin)


def _halves_from_pairs(heads: int, head_dim: int) -> Rows:
    """Row order that undoes llama.cpp's permutation: ours [head, half, pair] from theirs [head, pair, half]."""
    rows = np.arange(heads * head_dim, dtype=np.int64)
    return np.ascontiguousarray(rows.reshape(heads, head_dim // 2, 2).swapaxes(1, 2)).reshape(-1)
