"""Which tensor of a source becomes which of ours."""

from __future__ import annotations

import re
from dataclasses import replace

import gguf
import numpy as np
import pytest
import torch
from test_model_spec import SPEC

from localchat.errors import BadWeights, UnsupportedModel
from localchat.model.families import FAMILIES, check_tensors, parameter_count, tensor_plan, tensor_shapes
from quant import rtn
from quant.spec import QuantSpec

EXPERTS = {"num_experts": 4, "experts_per_token": 2, "expert_intermediate_size": 8}
LATENTS = {"query_rank": 6, "key_value_rank": 8, "plain_head_dim": 4, "value_head_dim": 8, "num_key_value_heads": 1}
FURTHER: dict[str, dict[str, int]] = {
    "qwen3_moe": EXPERTS,
    "gpt_oss": EXPERTS,
    "minicpm3": {**LATENTS, "head_dim": 16, "rotary_dim": 8},
    "gemma4_text": {"per_layer_size": 4},
}


def test_every_family_and_source_names_every_tensor_once() -> None:
    for family in FAMILIES.values():
        spec = replace(
            SPEC, family=family.name, **family.spec, **{"num_key_value_heads": 6} | FURTHER.get(family.name, {})
        )
        for kind in ("gguf", "huggingface"):
            plan = tensor_plan(spec, kind)
            assert list(plan) == list(tensor_shapes(spec))
            lent = [
                (source.name, source.index, *(() if source.row_order is None else source.row_order))
                for source in plan.values()
            ]
            assert len(set(lent)) == len(plan)


@pytest.mark.parametrize("name", [name for name in FAMILIES])
def test_names_in_ggufs_are_those_of_the_format(name: str) -> None:
    spec = replace(SPEC, family=name, **FAMILIES[name].spec)
    spec = replace(spec, **FURTHER.get(name, {}))
    architecture = next(arch for arch, known in gguf.MODEL_ARCH_NAMES.items() if known == FAMILIES[name].gguf)
    known = {gguf.TENSOR_NAMES[tensor] for tensor in gguf.MODEL_TENSORS[architecture]}
    for source in tensor_plan(spec, "gguf").values():
        assert re.sub(r"blk\.\d+\.", "blk.{bid}.", source.name).rsplit(".", 1)[0] in known | {"output"}


def test_parts_of_a_fused_tensor_are_all_of_it() -> None:
    for name in ("phi3", "gpt2", "gpt_neox"):
        spec = replace(SPEC, family=name, num_key_value_heads=6, **FAMILIES[name].spec)
        for kind in ("gguf", "huggingface"):
            rows: dict[str, list[int]] = {}
            for source in tensor_plan(spec, kind).values():  # type: ignore[arg-type]
                if source.row_order is not None:
                    rows.setdefault(source.name, []).extend(source.row_order.tolist())
            assert rows
            assert all(sorted(each) == list(range(len(each))) for each in rows.values())


def test_published_checkpoints_of_gpt2_are_spelled_without_a_prefix() -> None:
    spec = replace(SPEC, family="gpt2", tied_embeddings=True, **FAMILIES["gpt2"].spec)
    names = [source.name.removeprefix("transformer.") for source in tensor_plan(spec, "huggingface").values()]
    check_tensors(spec, "huggingface", [*names, "h.0.attn.bias", "lm_head.weight"])
    assert {source.name for source in tensor_plan(spec, "huggingface", names).values()} == set(names)


def test_names_are_those_of_the_formats() -> None:
    spec = replace(SPEC, family="qwen2", attention_bias=True)
    assert tensor_plan(spec, "gguf")["layers.2.key.bias"].name == "blk.2.attn_k.bias"
    assert tensor_plan(spec, "huggingface")["layers.0.down"].name == "model.layers.0.mlp.down_proj.weight"


def test_a_tied_model_has_no_output_matrix() -> None:
    assert "output" in tensor_plan(SPEC, "gguf")
    assert "output" not in tensor_plan(replace(SPEC, tied_embeddings=True), "gguf")
    assert parameter_count(SPEC) - parameter_count(replace(SPEC, tied_embeddings=True)) == 97 * 48


def test_only_interleaved_query_and_key_rows_change_their_order() -> None:
    ordered = {name for name, source in tensor_plan(SPEC, "gguf").items() if source.row_order is not None}
    assert ordered == {f"layers.{i}.{part}" for i in range(3) for part in ("query", "key")}
    assert all(source.row_order is None for source in tensor_plan(SPEC, "huggingface").values())
    assert all(source.row_order is None for source in tensor_plan(replace(SPEC, family="qwen2"), "gguf").values())


def test_the_row_order_undoes_the_permutation_of_llama_cpp() -> None:
    order = tensor_plan(SPEC, "gguf")["layers.0.key"].row_order
    assert order is not None
    rows = np.arange(16)
    permuted = rows.reshape(2, 2, 4).swapaxes(1, 2).reshape(16)  # convert_hf_to_gguf.py: LlamaModel.permute
    assert (permuted[order] == rows).all()
    assert (permuted != rows).any()


@pytest.mark.parametrize("spec", [QuantSpec(4), QuantSpec(4, 32, symmetric=True), QuantSpec(8, 32), QuantSpec(8, 0)])
def test_rows_of_a_quantized_matrix_are_reordered_bit_for_bit(spec: QuantSpec) -> None:
    weight = torch.randn(37, 64, generator=torch.Generator().manual_seed(3))
    order = np.random.default_rng(3).permutation(37)
    tensor = rtn.quantize(weight, spec)
    ids = torch.from_numpy(order)
    assert torch.equal(tensor.reordered(ids).dequantize(), tensor.dequantize()[ids])


def _names(kind: str) -> list[str]:
    return [source.name for source in tensor_plan(SPEC, kind).values()]  # type: ignore[arg-type]


def test_a_missing_tensor_is_named() -> None:
    names = _names("gguf")
    names.remove("blk.1.ffn_up.weight")
    with pytest.raises(BadWeights, match=r"blk\.1\.ffn_up\.weight"):
        check_tensors(SPEC, "gguf", names)


def test_a_tensor_that_the_decoder_would_not_use_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModel, match=r"blk\.0\.attn_q_norm\.weight"):
        check_tensors(SPEC, "gguf", [*_names("gguf"), "blk.0.attn_q_norm.weight"])


def test_tensors_that_repeat_what_is_known_are_no_obstacle() -> None:
    check_tensors(SPEC, "gguf", [*_names("gguf"), "rope_freqs.weight"])
    tied = replace(SPEC, tied_embeddings=True)
    check_tensors(tied, "huggingface", [*_names("huggingface"), "model.layers.0.self_attn.rotary_emb.inv_freq"])
