"""The table of families: what differs between them, and where each of our tensors lies in a source of weights.

A family is one entry of `FAMILIES`. Everything else in this project asks the entry, never the family's name.
`localchat.model.configuration` reads the sources' own descriptions into a `ModelSpec`; `tensor_plan` then says which
tensor of the source becomes which of ours.

Our tensors: `embedding` [vocab_size, hidden_size], `output` (the same shape; absent when tied), `output_norm`, and in
`layers.{i}.` the norms `attention_norm`, `mlp_norm`, the matrices [out, in] `query`, `key`, `value`,
`attention_output`, `gate`, `up`, `down`, and, where the family has any, `query.bias`, `key.bias`, `value.bias`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from localchat.errors import BadWeights, UnsupportedModel
from localchat.model.spec import ModelSpec

SourceKind = Literal["gguf", "huggingface"]


@dataclass(frozen=True, slots=True)
class Family:
    """What sets one family apart.

    Attributes:
        name: `general.architecture` of GGUF files and `model_type` of Hugging Face configurations.
        attention_bias: query, key and value projections have a bias.
        gguf_interleaved: GGUF files hold query and key rows in the order of llama.cpp's interleaved rope, in which
            channel 2i turns with 2i + 1; ours turns i with i + head_dim / 2.
        inert_keys: keys of the Hugging Face configuration that this family writes and that change no logits.
    """

    name: str
    attention_bias: bool
    gguf_interleaved: bool
    inert_keys: frozenset[str] = frozenset()


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family("llama", attention_bias=False, gguf_interleaved=True),
        # The window's size and layers mean nothing unless `use_sliding_window` is set, which is refused.
        Family(
            "qwen2",
            attention_bias=True,
            gguf_interleaved=False,
            inert_keys=frozenset({"sliding_window", "max_window_layers"}),
        ),
    )
}


def family(name: object) -> Family:
    """The entry of that name.

    Raises:
        UnsupportedModel: there is none.
    """
    if not isinstance(name, str) or name not in FAMILIES:
        raise UnsupportedModel(
            f"This version runs the families {', '.join(sorted(FAMILIES))}, but the model says it is {name!r}."
        )
    return FAMILIES[name]


@dataclass(frozen=True, slots=True)
class TensorSource:
    """Where one of our tensors comes from.

    Attributes:
        name: in the source.
        shape: what ours must have, and the source too.
        row_order: row i of ours is row `row_order[i]` of the source; None keeps the order. It holds for rows of a
            quantized matrix as well, as groups lie along the other axis.
    """

    name: str
    shape: tuple[int, ...]
    row_order: npt.NDArray[np.int64] | None = None


_LAYER_NAMES: Mapping[str, Mapping[str, str]] = {
    "gguf": {
        "attention_norm": "blk.{i}.attn_norm",
        "query": "blk.{i}.attn_q",
        "key": "blk.{i}.attn_k",
        "value": "blk.{i}.attn_v",
        "attention_output": "blk.{i}.attn_output",
        "mlp_norm": "blk.{i}.ffn_norm",
        "gate": "blk.{i}.ffn_gate",
        "up": "blk.{i}.ffn_up",
        "down": "blk.{i}.ffn_down",
    },
    "huggingface": {
        "attention_norm": "model.layers.{i}.input_layernorm",
        "query": "model.layers.{i}.self_attn.q_proj",
        "key": "model.layers.{i}.self_attn.k_proj",
        "value": "model.layers.{i}.self_attn.v_proj",
        "attention_output": "model.layers.{i}.self_attn.o_proj",
        "mlp_norm": "model.layers.{i}.post_attention_layernorm",
        "gate": "model.layers.{i}.mlp.gate_proj",
        "up": "model.layers.{i}.mlp.up_proj",
        "down": "model.layers.{i}.mlp.down_proj",
    },
}
_OUTER_NAMES: Mapping[str, Mapping[str, str]] = {
    "gguf": {"embedding": "token_embd", "output": "output", "output_norm": "output_norm"},
    "huggingface": {"embedding": "model.embed_tokens", "output": "lm_head", "output_norm": "model.norm"},
}
# Read elsewhere or computed again: rope factors are in the spec, and a tied output is the embedding a second time.
_SPARE_TENSORS: Mapping[str, re.Pattern[str]] = {
    "gguf": re.compile(r"rope_freqs\.weight"),
    "huggingface": re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq"),
}


def tensor_shapes(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the decoder, in the order in which it uses them."""
    hidden, inner = spec.hidden_size, spec.intermediate_size
    layer: dict[str, tuple[int, ...]] = {
        "attention_norm": (hidden,),
        "query": (spec.query_size, hidden),
        "key": (spec.key_value_size, hidden),
        "value": (spec.key_value_size, hidden),
    }
    if spec.attention_bias:
        layer |= {f"{name}.bias": (layer[name][0],) for name in ("query", "key", "value")}
    layer |= {
        "attention_output": (hidden, spec.query_size),
        "mlp_norm": (hidden,),
        "gate": (inner, hidden),
        "up": (inner, hidden),
        "down": (hidden, inner),
    }
    shapes: dict[str, tuple[int, ...]] = {"embedding": (spec.vocab_size, hidden)}
    shapes |= {f"layers.{i}.{name}": shape for i in range(spec.num_layers) for name, shape in layer.items()}
    shapes["output_norm"] = (hidden,)
    if not spec.tied_embeddings:
        shapes["output"] = (spec.vocab_size, hidden)
    return shapes


def parameter_count(spec: ModelSpec) -> int:
    """Parameters of the decoder; a tied embedding counts once."""
    return sum(int(np.prod(shape)) for shape in tensor_shapes(spec).values())


def tensor_plan(spec: ModelSpec, kind: SourceKind) -> dict[str, TensorSource]:
    """For each of our tensors, in the order in which the decoder uses them, where it lies in a source of this kind."""
    interleaved = kind == "gguf" and family(spec.family).gguf_interleaved
    orders = {
        "query": _halves_from_pairs(spec.num_heads, spec.head_dim),
        "key": _halves_from_pairs(spec.num_key_value_heads, spec.head_dim),
    }
    plan: dict[str, TensorSource] = {}
    for ours, shape in tensor_shapes(spec).items():
        part, suffix = (ours.removesuffix(".bias"), "bias") if ours.endswith(".bias") else (ours, "weight")
        if part.startswith("layers."):
            _, number, part = part.split(".")
            theirs = _LAYER_NAMES[kind][part].format(i=number)
        else:
            theirs = _OUTER_NAMES[kind][part]
        order = orders.get(part) if interleaved else None
        plan[ours] = TensorSource(f"{theirs}.{suffix}", shape, order)
    return plan


def check_tensors(spec: ModelSpec, kind: SourceKind, names: Collection[str]) -> None:
    """Compare the tensors that a source has with those that the decoder needs.

    Raises:
        BadWeights: one is missing.
        UnsupportedModel: one is there that the decoder would not use, so that its answers would be wrong.
    """
    wanted = {source.name for source in tensor_plan(spec, kind).values()}
    if missing := sorted(wanted - set(names)):
        raise BadWeights(
            f"The model lacks {len(missing)} of its tensors, among them {missing[0]}.",
            "Get the file again; it may be incomplete.",
        )
    spare = _SPARE_TENSORS[kind]
    tied = f"{_OUTER_NAMES[kind]['output']}.weight"
    extra = [name for name in names if name not in wanted and name != tied and not spare.fullmatch(name)]
    if extra:
        raise UnsupportedModel(
            f"The model has {len(extra)} tensors that the family {spec.family} does not use, among them {min(extra)}."
        )


def _halves_from_pairs(heads: int, head_dim: int) -> npt.NDArray[np.int64]:
    """Row order that undoes llama.cpp's permutation: ours [head, half, pair] from theirs [head, pair, half]."""
    rows = np.arange(heads * head_dim, dtype=np.int64)
    return np.ascontiguousarray(rows.reshape(heads, head_dim // 2, 2).swapaxes(1, 2)).reshape(-1)
