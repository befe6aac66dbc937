"""Where each of our tensors lies in a source of weights.

Our tensors: `embedding` [vocab_size, hidden_size], `position_embedding` [context_length, hidden_size] where positions
are learned, `output` (the shape of the embedding; absent when tied), `output_norm`, and in `layers.{i}.` the norms
`attention_norm`, `post_attention_norm`, `mlp_norm`, `post_mlp_norm`, `query_norm`, `key_norm`, the matrices [out, in]
`query`, `key`, `value`, `attention_output`, `gate`, `up`, `down`, or instead of the last three `router` and
`experts.{e}.gate`, `.up`, `.down`; and `.bias` after the name of any that has one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from localchat.errors import BadWeights, UnsupportedModel
from localchat.model.family import Family, Fused, SourceKind
from localchat.model.family_table import FAMILIES, family
from localchat.model.spec import ModelSpec

__all__ = ["FAMILIES", "Family", "SourceKind", "family"]

Rows = npt.NDArray[np.int64]
Shapes = dict[str, tuple[int, ...]]


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
    """

    name: str
    shape: tuple[int, ...]
    row_order: Rows | None = None
    stored_shape: tuple[int, ...] | None = None
    index: int | None = None
    transposed: bool = False
    added: float = 0.0

    def of(self, stored: Tensor) -> Tensor:
        """Ours, from the source's, or from the one of the stack that is meant."""
        ours = stored.mT.contiguous() if self.transposed else stored
        if self.row_order is not None:
            ours = ours[torch.from_numpy(self.row_order)]
        return ours + self.added if self.added else ours


_LAYER_NAMES: Mapping[str, Mapping[str, str]] = {
    "gguf": {
        "attention_norm": "blk.{i}.attn_norm",
        "query": "blk.{i}.attn_q",
        "key": "blk.{i}.attn_k",
        "value": "blk.{i}.attn_v",
        "query_norm": "blk.{i}.attn_q_norm",
        "key_norm": "blk.{i}.attn_k_norm",
        "attention_output": "blk.{i}.attn_output",
        "post_attention_norm": "blk.{i}.post_attention_norm",
        "mlp_norm": "blk.{i}.ffn_norm",
        "router": "blk.{i}.ffn_gate_inp",
        "gate": "blk.{i}.ffn_gate",
        "up": "blk.{i}.ffn_up",
        "down": "blk.{i}.ffn_down",
        "experts.gate": "blk.{i}.ffn_gate_exps",
        "experts.up": "blk.{i}.ffn_up_exps",
        "experts.down": "blk.{i}.ffn_down_exps",
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


def tensor_shapes(spec: ModelSpec) -> Shapes:
    """Name and shape of every tensor of the decoder, in the order in which it uses them."""
    shapes: Shapes = {"embedding": (spec.vocab_size, spec.hidden_size)}
    if spec.positions == "learned":
        shapes["position_embedding"] = (spec.context_length, spec.hidden_size)
    for i in range(spec.num_layers):
        shapes |= {f"layers.{i}.{name}": shape for name, shape in _layer_shapes(spec, i).items()}
    shapes |= _norm_shapes(spec, "output_norm", spec.hidden_size)
    if not spec.tied_embeddings:
        shapes["output"] = (spec.vocab_size, spec.hidden_size)
    return shapes


def _layer_shapes(spec: ModelSpec, layer: int) -> Shapes:
    hidden, heads = spec.hidden_size, spec.qk_norm == "head"
    shapes: Shapes = _norm_shapes(spec, "attention_norm", hidden) if spec.pre_norms else {}
    sizes = {"query": spec.query_size, "key": spec.key_value_size, "value": spec.key_value_size}
    shapes |= {name: (size, hidden) for name, size in sizes.items()}
    if spec.attention_bias:
        shapes |= {f"{name}.bias": (size,) for name, size in sizes.items()}
    if spec.qk_norm != "none":
        shapes |= _norm_shapes(spec, "query_norm", spec.head_dim if heads else spec.query_size)
        shapes |= _norm_shapes(spec, "key_norm", spec.head_dim if heads else spec.key_value_size)
    shapes["attention_output"] = (hidden, spec.query_size)
    if spec.attention_output_bias:
        shapes["attention_output.bias"] = (hidden,)
    if spec.post_norms:
        shapes |= _norm_shapes(spec, "post_attention_norm", hidden)
    if spec.pre_norms:
        shapes |= _norm_shapes(spec, "mlp_norm", hidden)
    if spec.has_experts(layer):
        shapes["router"] = (spec.num_experts, hidden)
        for e in range(spec.num_experts):
            expert = _mlp_shapes(spec, spec.expert_intermediate_size)
            shapes |= {f"experts.{e}.{name}": shape for name, shape in expert.items()}
    else:
        shapes |= _mlp_shapes(spec, spec.intermediate_size)
    if spec.post_norms:
        shapes |= _norm_shapes(spec, "post_mlp_norm", hidden)
    return shapes


def _mlp_shapes(spec: ModelSpec, inner: int) -> Shapes:
    shapes: Shapes = {"gate": (inner, spec.hidden_size)} if spec.gated_mlp else {}
    shapes |= {"up": (inner, spec.hidden_size), "down": (spec.hidden_size, inner)}
    if spec.mlp_bias:
        shapes |= {f"{name}.bias": (shape[0],) for name, shape in shapes.items()}
    return shapes


def _norm_shapes(spec: ModelSpec, name: str, size: int) -> Shapes:
    return {name: (size,), f"{name}.bias": (size,)} if spec.norm == "layer" else {name: (size,)}


def parameter_count(spec: ModelSpec) -> int:
    """Parameters of the decoder; a tied embedding counts once."""
    return sum(int(np.prod(shape)) for shape in tensor_shapes(spec).values())


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
        name = f"{_LAYER_NAMES[kind][f'experts.{part}'].format(i=layer, e=expert)}.{suffix}"
        if kind == "gguf":
            return TensorSource(name, shape, stored_shape=(spec.num_experts, *shape), index=int(expert))
        return TensorSource(name, shape)
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
    stored = shape[::-1] if transposed else None
    return TensorSource(f"{name}.{suffix}", shape, order, stored, transposed=transposed, added=added)


def _fused_rows(fused: Fused, part: str, sizes: Mapping[str, int], head_dim: int) -> Rows:
    place = fused.parts.index(part)
    if fused.by_head:  # rows [head, part, channel]
        if len(set(sizes.values())) > 1:
            raise UnsupportedModel(
                f"The tensors {fused.name} cannot be taken apart: key heads and heads differ in number."
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
            f"The model lacks {len(missing)} of its tensors, among them {missing[0]}.",
            "Get the file again; it may be incomplete.",
        )
    spare, tied = _SPARE_TENSORS[kind], set(_output_names(spec, kind))
    own = re.compile(family(spec.family).spare_tensors if kind == "huggingface" else "")
    extra = [
        name
        for name in names
        if name not in wanted and name not in tied and not spare.fullmatch(name) and not own.fullmatch(name)
    ]
    if extra:
        raise UnsupportedModel(
            f"The model has {len(extra)} tensors that the family {spec.family} does not use, among them {min(extra)}."
        )


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
