"""The decoder's tensors, each with its name and its shape.

`embedding` [vocab_size, hidden_size], `position_embedding` [context_length, hidden_size] where positions are learned,
`output` (the shape of the embedding; absent when tied), `output_norm`, and in `layers.{i}.` the norms `attention_norm`,
`post_attention_norm`, `mlp_norm`, `post_mlp_norm`, `query_norm`, `key_norm`, the matrices [out, in] `query`, `key`,
`value`, `attention_output`, `gate`, `up`, `down`, or instead of the last three `router` and `experts.{e}.gate`, `.up`,
`.down`; `attention_gate`, the shape of `query`; `sinks` [num_heads], `scale` [1]; and `.bias` after the name of any
that has one.

Where every layer is told of the tokens beside: `per_layer_embedding` [vocab_size, num_layers *
per_layer_size], `per_layer_projection` [num_layers * per_layer_size, hidden_size], `per_layer_norm` [per_layer_size],
and in a layer `beside_gate`, `beside_output` and `post_beside_norm`.

Where attention is over latents, `latent.query_down`, `.query_norm`, `.query_up`, `.key_value_down`, `.key_value_norm`,
`.key_value_up` and `.output` stand for all of its own.

A layer that keeps a state has in the place of queries, keys and values `mix.input`, `mix.output` and `mix.convolution`
[channels, taps]; with linear attention also `mix.gates`, `mix.rates` and `mix.fading` [linear_value_heads,
hidden_size], the latter's `mix.fading_bias` and `mix.speeds` [linear_value_heads] (not positive: what it is multiplied
by), and `mix.norm_of_heads` [linear_value_dim].
"""

from __future__ import annotations

import numpy as np

from localchat.model.spec import ModelSpec

Shapes = dict[str, tuple[int, ...]]


def tensor_shapes(spec: ModelSpec) -> Shapes:
    """Name and shape of every tensor of the decoder, in the order in which it uses them."""
    shapes: Shapes = {"embedding": (spec.vocab_size, spec.hidden_size)}
    if spec.positions == "learned":
        shapes["position_embedding"] = (spec.context_length, spec.hidden_size)
    if spec.per_layer_size:
        total = spec.num_layers * spec.per_layer_size
        shapes["per_layer_embedding"] = (spec.vocab_size, total)
        shapes["per_layer_projection"] = (total, spec.hidden_size)
        shapes["per_layer_norm"] = (spec.per_layer_size,)
    for i in range(spec.num_layers):
        shapes |= {f"layers.{i}.{name}": shape for name, shape in _layer_shapes(spec, i).items()}
    shapes |= _norm_shapes(spec, "output_norm", spec.hidden_size)
    if not spec.tied_embeddings:
        shapes["output"] = (spec.vocab_size, spec.hidden_size)
    return shapes


def _layer_shapes(spec: ModelSpec, layer: int) -> Shapes:
    hidden = spec.hidden_size
    shapes: Shapes = _norm_shapes(spec, "attention_norm", hidden) if spec.pre_norms else {}
    shapes |= _recurrence_shapes(spec, layer) if spec.recurs(layer) else _attention_shapes(spec, layer)
    if spec.post_norms:
        shapes |= _norm_shapes(spec, "post_attention_norm", hidden)
    if spec.pre_norms:
        shapes |= _norm_shapes(spec, "mlp_norm", hidden)
    if spec.has_experts(layer):
        shapes["router"] = (spec.num_experts, hidden)
        if spec.router_bias:
            shapes["router.bias"] = (spec.num_experts,)
        for e in range(spec.num_experts):
            expert = _mlp_shapes(spec, spec.expert_intermediate_size)
            shapes |= {f"experts.{e}.{name}": shape for name, shape in expert.items()}
    else:
        shapes |= _mlp_shapes(spec, spec.layer_intermediate_size(layer))
    if spec.post_norms:
        shapes |= _norm_shapes(spec, "post_mlp_norm", hidden)
    if beside := spec.per_layer_size:
        shapes |= {"beside_gate": (beside, hidden), "beside_output": (hidden, beside)}
        shapes |= _norm_shapes(spec, "post_beside_norm", hidden)
    if spec.layer_scale:
        shapes["scale"] = (1,)
    return shapes


def _latent_shapes(spec: ModelSpec) -> Shapes:
    hidden, heads, rank, turning = spec.hidden_size, spec.num_heads, spec.key_value_rank, spec.turning_channels
    return {
        "latent.query_down": (spec.query_rank, hidden),
        "latent.query_norm": (spec.query_rank,),
        "latent.query_up": (heads * (spec.plain_head_dim + turning), spec.query_rank),
        "latent.key_value_down": (rank + turning, hidden),
        "latent.key_value_norm": (rank,),
        "latent.key_value_up": (heads * (spec.plain_head_dim + spec.value_head_dim), rank),
        "latent.output": (hidden, heads * spec.value_head_dim),
    }


def _attention_shapes(spec: ModelSpec, layer: int) -> Shapes:
    if spec.key_value_rank:
        return _latent_shapes(spec)
    hidden, heads = spec.hidden_size, spec.qk_norm == "head"
    shapes: Shapes = {}
    head_dim = spec.layer_head_dim(layer)
    query_size, key_value_size = spec.num_heads * head_dim, spec.layer_key_value_heads(layer) * head_dim
    sizes = {"query": query_size, "key": key_value_size, "value": key_value_size}
    if spec.keys_as_values and not spec.is_sliding(layer):
        del sizes["value"]
    sizes = {name: size for name, size in sizes.items() if size}
    shapes |= {name: (size, hidden) for name, size in sizes.items()}
    if spec.attention_bias:
        shapes |= {f"{name}.bias": (size,) for name, size in sizes.items()}
    if spec.qk_norm != "none":
        shapes |= _norm_shapes(spec, "query_norm", head_dim if heads else query_size)
        if key_value_size:
            shapes |= _norm_shapes(spec, "key_norm", head_dim if heads else key_value_size)
    shapes["attention_output"] = (hidden, query_size)
    if spec.attention_output_bias:
        shapes["attention_output.bias"] = (hidden,)
    if spec.attention_sinks:
        shapes["sinks"] = (spec.num_heads,)
    if spec.attention_gate:
        shapes["attention_gate"] = (query_size, hidden)
    return shapes


def _recurrence_shapes(spec: ModelSpec, layer: int) -> Shapes:
    hidden, taps = spec.hidden_size, spec.convolution_taps
    if spec.kind(layer) == "convolution":
        return {
            "mix.input": (3 * hidden, hidden),
            "mix.convolution": (hidden, taps),
            "mix.output": (hidden, hidden),
        }
    heads, size = spec.linear_value_heads, 2 * spec.linear_key_size + spec.linear_value_size
    return {
        "mix.input": (size, hidden),
        "mix.convolution": (size, taps),
        "mix.gates": (spec.linear_value_size, hidden),
        "mix.rates": (heads, hidden),
        "mix.fading": (heads, hidden),
        "mix.fading_bias": (heads,),
        "mix.speeds": (heads,),
        "mix.norm_of_heads": (spec.linear_value_dim,),
        "mix.output": (hidden, spec.linear_value_size),
    }


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
