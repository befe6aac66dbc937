"""Checkpoints that are quantized already: GPTQ, AWQ, compressed-tensors, MLX. Their values arrive unchanged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from packed_writing import Grid, awq, compressed_tensors, gptq, make_grid, mlx, write_quantized
from safetensors.torch import load_file, save_file
from tiny_models import SIZES, reference_model
from tokenizers import Tokenizer, decoders, models
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaConfig, Phi3Config, PreTrainedModel, Qwen2Config

from localchat.engine.caches import cache_for
from localchat.engine.kv_cache import KVCache
from localchat.errors import BadWeights, LocalChatError, UnsupportedModel
from localchat.hub.importer import _converted, import_model
from localchat.model.decoder import Decoder
from localchat.model.load import load_model
from localchat.model.sources import open_source
from localchat.text.byte_letters import LETTER_OF_BYTE
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

TOKENS = torch.randint(0, SIZES["vocab_size"], (60,), generator=torch.Generator().manual_seed(7))
_SIZES = SIZES | {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA, QWEN2 = LlamaConfig(**_SIZES), Qwen2Config(**_SIZES)
BOUND = 1e-4


def ct_config(bits: int, group: int, symmetric: bool, **weights: Any) -> dict[str, Any]:
    strategy = {"strategy": "group", "group_size": group} if group > 0 else {"strategy": "channel"}
    told = {"num_bits": bits, "type": "int", "symmetric": symmetric, **strategy, "observer": "minmax", "dynamic": False}
    group_0 = {"targets": ["Linear"], "weights": told | weights, "input_activations": None, "output_activations": None}
    return {
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "quantization_status": "compressed",
            "config_groups": {"group_0": group_0},
            "ignore": ["lm_head"],
            "kv_cache_scheme": None,
            "sparsity_config": {},
            "global_compression_ratio": 1.5,
            "version": "0.12.0",
        }
    }


def gptq_config(bits: int, group: int, **more: Any) -> dict[str, Any]:
    told = {"bits": bits, "group_size": group, "damp_percent": 0.01, "desc_act": False, "sym": True, "lm_head": False}
    return {"quantization_config": {"quant_method": "gptq", "true_sequential": True, **told, **more}}


def awq_config(group: int, **more: Any) -> dict[str, Any]:
    told = {"bits": 4, "group_size": group, "zero_point": True, "version": "gemm", "modules_to_not_convert": None}
    return {"quantization_config": {"quant_method": "awq", **told, **more}}


def mlx_config(bits: int, group: int, **more: Any) -> dict[str, Any]:
    told = {"group_size": group, "bits": bits, **more}
    return {"quantization": told, "quantization_config": told}


def case(
    name: str,
    pack: Callable[[Grid], dict[str, Tensor]],
    config: dict[str, Any],
    bits: int,
    group: int,
    spec: QuantSpec | None,
    **grid: Any,
) -> Any:
    """A checkpoint, and what its matrices must become; None for int8 of the dequantized weights."""
    return pytest.param(pack, config, {"bits": bits, "group": group, **grid}, spec, id=name)


def ct(symmetric: bool) -> Callable[[Grid], dict[str, Tensor]]:
    return lambda grid: compressed_tensors(grid, symmetric)


SYMMETRIC, FREE = {"symmetric": True}, {"symmetric": False, "mantissa": 6}  # then -zero * scale is a float16 exactly
CASES = [
    case("GPTQ int4", gptq, gptq_config(4, 128), 4, 128, QuantSpec(4, 128, True), **SYMMETRIC),
    case("GPTQ int4 free", gptq, gptq_config(4, 32, sym=False), 4, 32, QuantSpec(4, 32), **FREE),
    case(
        "GPTQ int4, second format",
        lambda grid: gptq(grid, 2),
        gptq_config(4, 64, checkpoint_format="gptq_v2"),
        4,
        64,
        QuantSpec(4, 64),
        **FREE,
    ),
    case("GPTQ int4 by row", gptq, gptq_config(4, -1), 4, -1, QuantSpec(4, 128, True), **SYMMETRIC),
    case("GPTQ int8", gptq, gptq_config(8, 64), 8, 64, QuantSpec(8, 64), **SYMMETRIC),
    case("GPTQ by activation", gptq, gptq_config(4, 64, desc_act=True), 4, 64, None, scattered=True, **SYMMETRIC),
    case("AWQ", awq, awq_config(64), 4, 64, QuantSpec(4, 64), **FREE),
    case("compressed-tensors int4", ct(True), ct_config(4, 32, True), 4, 32, QuantSpec(4, 32, True), **SYMMETRIC),
    case("compressed-tensors int4 free", ct(False), ct_config(4, 128, False), 4, 128, QuantSpec(4, 128), **FREE),
    case("compressed-tensors int8 by row", ct(True), ct_config(8, -1, True), 8, -1, QuantSpec(8, 128), **SYMMETRIC),
    case(
        "compressed-tensors by activation",
        ct(True),
        ct_config(4, 32, True, actorder="group"),
        4,
        32,
        None,
        scattered=True,
        **SYMMETRIC,
    ),
    case("MLX int4", mlx, mlx_config(4, 64), 4, 64, QuantSpec(4, 64), biased=True, symmetric=False),
    case(
        "MLX int4 bfloat16",
        mlx,
        mlx_config(4, 32),
        4,
        32,
        QuantSpec(4, 32),
        biased=True,
        symmetric=False,
        dtype=torch.bfloat16,
    ),
    case("MLX int8", mlx, mlx_config(8, 64), 8, 64, None, biased=True, symmetric=False),
]


def on_grid(bits: int, group: int, **more: Any) -> Callable[[Tensor], Grid]:
    return lambda weight: make_grid(weight, bits, group, **more)


def expected_logits(model: PreTrainedModel) -> Tensor:
    with torch.inference_mode():
        return model(TOKENS[None]).logits[0]


@pytest.mark.parametrize("family", [LLAMA, QWEN2], ids=["llama", "qwen2"])
@pytest.mark.parametrize(("pack", "config", "grid", "spec"), CASES)
def test_the_values_of_a_quantized_checkpoint_arrive_unchanged(
    family: LlamaConfig,
    pack: Callable[[Grid], dict[str, Tensor]],
    config: dict[str, Any],
    grid: dict[str, Any],
    spec: QuantSpec | None,
    tmp_path: Path,
) -> None:
    model = reference_model(family)
    write_quantized(model, tmp_path, on_grid(**grid), pack, config)
    source = open_source(tmp_path)
    state = model.state_dict()
    weights: dict[str, Tensor] = {}
    for name, entry in source.plan.items():
        weights[name] = source.float32(name)
        assert torch.equal(weights[name], state[entry.name]), name
        if len(entry.shape) != 2:
            continue
        moved, converted = source.moved(name), _converted(source, name, None)
        assert isinstance(converted, QuantTensor)
        if spec is None or name in ("embedding", "output"):
            assert moved is None
            assert converted.spec == QuantSpec(8, 32)
            error = (converted.dequantize() - weights[name]).norm() / weights[name].norm()
            assert error < 0.012, "more than eight bits cost"
        else:
            assert moved is not None
            assert moved.spec == converted.spec == spec
            assert torch.equal(converted.dequantize(), weights[name]), f"{name} was rounded a second time"
    decoder = Decoder(source.spec, weights)
    with torch.inference_mode():
        logits = decoder(TOKENS, KVCache(decoder.spec, 100), all_logits=True)
    expected = expected_logits(model)
    assert expected.std() > 0.5
    assert (logits - expected).abs().max() < BOUND


@pytest.mark.parametrize(("pack", "config"), [(awq, awq_config(64)), (gptq, gptq_config(4, 64, sym=False))])
def test_zero_points_cost_no_more_than_the_rounding_of_a_minimum(
    pack: Callable[[Grid], dict[str, Tensor]], config: dict[str, Any], tmp_path: Path
) -> None:
    model = reference_model(LLAMA)
    grids = write_quantized(model, tmp_path, on_grid(4, 64, symmetric=False), pack, config)
    source = open_source(tmp_path)
    moved = source.moved("layers.1.down")
    assert moved is not None
    grid = grids["model.layers.1.mlp.down_proj"]
    assert grid.zeros is not None
    most = (torch.from_numpy(grid.zeros) * grid.scales.float())[:, grid.groups] * 2**-11
    error = (moved.dequantize() - grid.weights()).abs()
    assert bool((error <= most * 1.001).all())
    assert bool(error.any()), "the bound would test nothing"


@pytest.mark.parametrize("version", [1, 2])
def test_a_zero_point_of_zero_is_read_as_such_in_both_formats_of_gptq(version: int, tmp_path: Path) -> None:
    def to_grid(weight: Tensor) -> Grid:
        grid = make_grid(weight, 4, 64, **FREE)
        assert grid.zeros is not None
        grid.zeros[::3] = 0
        return grid

    model = reference_model(LLAMA)
    config = gptq_config(4, 64, sym=False, checkpoint_format="gptq" if version == 1 else "gptq_v2")
    write_quantized(model, tmp_path, to_grid, lambda grid: gptq(grid, version), config)
    found = open_source(tmp_path).float32("layers.0.gate")
    assert torch.equal(found, model.model.layers[0].mlp.gate_proj.weight)


def test_matrices_that_a_family_stores_as_one_are_taken_apart_without_a_loss(tmp_path: Path) -> None:
    model = reference_model(Phi3Config(**_SIZES, bos_token_id=1, eos_token_id=2, pad_token_id=0))
    write_quantized(model, tmp_path, on_grid(4, 64, **FREE), awq, awq_config(64))
    source = open_source(tmp_path)
    layer = model.model.layers[1]
    for fused, parts in (
        (layer.self_attn.qkv_proj, ("query", "key", "value")),
        (layer.mlp.gate_up_proj, ("gate", "up")),
    ):
        moved = [source.moved(f"layers.1.{part}") for part in parts]
        assert torch.equal(torch.cat([tensor.dequantize() for tensor in moved if tensor]), fused.weight)
        assert torch.equal(torch.cat([source.float32(f"layers.1.{part}") for part in parts]), fused.weight)


@pytest.mark.parametrize(
    ("pack", "config", "grid"),
    [
        (awq, awq_config(64), {"bits": 4, "group": 64, **FREE}),
        (gptq, gptq_config(8, 128), {"bits": 8, "group": 128, **SYMMETRIC}),
        (ct(True), ct_config(4, -1, True), {"bits": 4, "group": -1, **SYMMETRIC}),
        (mlx, mlx_config(4, 32), {"bits": 4, "group": 32, "biased": True, "symmetric": False}),
    ],
    ids=["AWQ", "GPTQ", "compressed-tensors", "MLX"],
)
@pytest.mark.usefixtures("home")
def test_an_installed_checkpoint_answers_as_the_float_model_of_the_same_values(
    pack: Callable[[Grid], dict[str, Tensor]], config: dict[str, Any], grid: dict[str, Any], tmp_path: Path
) -> None:
    model = reference_model(LLAMA)
    write_quantized(model, tmp_path, on_grid(**grid), pack, config)
    vocabulary = {letter: i for i, letter in enumerate(LETTER_OF_BYTE.values())}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    loaded = load_model(import_model(tmp_path, "tiny").folder)
    with torch.inference_mode():
        logits = loaded.decoder(TOKENS, cache_for(loaded, 100), all_logits=True)
    expected = expected_logits(model)
    divergence = F.kl_div(logits.log_softmax(-1), expected.log_softmax(-1), log_target=True, reduction="batchmean")
    assert divergence < 2e-3, "more than the rounding of activations and of the vocabulary"


def test_an_embedding_and_an_output_that_are_quantized_are_read_too(tmp_path: Path) -> None:
    model = reference_model(LLAMA)
    more = {"also": ("model.embed_tokens", "lm_head")}
    write_quantized(model, tmp_path, on_grid(4, 32, symmetric=False, biased=True), mlx, mlx_config(4, 32), **more)
    source = open_source(tmp_path)
    assert torch.equal(source.float32("embedding"), model.get_input_embeddings().weight)
    moved = source.moved("output")
    assert moved is not None
    assert torch.equal(moved.dequantize(), model.get_output_embeddings().weight)


def test_matrices_of_mlx_may_have_bits_of_their_own(tmp_path: Path) -> None:
    model = reference_model(LLAMA)
    name = "model.layers.0.mlp.down_proj"
    config = mlx_config(4, 64, mode="affine", **{name: {"group_size": 32, "bits": 8}, "lm_head": False})
    down = model.get_submodule(name).weight

    def to_grid(weight: Tensor) -> Grid:
        bits, group = (8, 32) if weight is down.data or torch.equal(weight, down) else (4, 64)
        return make_grid(weight, bits, group, symmetric=False, biased=True)

    write_quantized(model, tmp_path, to_grid, mlx, config)
    source = open_source(tmp_path)
    for ours, theirs in (("layers.0.down", name), ("layers.1.down", "model.layers.1.mlp.down_proj")):
        assert torch.equal(source.float32(ours), model.get_submodule(theirs).weight), ours


def test_what_was_left_in_full_precision_gets_eight_bits(tmp_path: Path) -> None:
    model = reference_model(LLAMA)
    kept = "model.layers.1.mlp.down_proj"
    write_quantized(model, tmp_path, on_grid(4, 32, symmetric=True), ct(True), ct_config(4, 32, True), keep=(kept,))
    converted = _converted(open_source(tmp_path), "layers.1.down", None)
    assert isinstance(converted, QuantTensor)
    assert converted.spec == QuantSpec(8, 32)


def test_groups_that_ours_cannot_hold_are_rounded_to_eight_bits(tmp_path: Path) -> None:
    model = reference_model(LLAMA)
    write_quantized(model, tmp_path, on_grid(4, 16, symmetric=True), gptq, gptq_config(4, 16))
    source = open_source(tmp_path)
    assert source.moved("layers.0.up") is None
    assert torch.equal(source.float32("layers.0.up"), model.model.layers[0].mlp.up_proj.weight)


def test_scales_beyond_float16_are_not_squeezed_into_it(tmp_path: Path) -> None:
    model = reference_model(LLAMA)
    for layer in model.model.layers:
        layer.mlp.up_proj.weight.data *= 1e-7
    grid = on_grid(4, 32, symmetric=True, dtype=torch.bfloat16, mantissa=7)
    write_quantized(model, tmp_path, grid, ct(True), ct_config(4, 32, True))
    source = open_source(tmp_path)
    assert source.moved("layers.0.up") is None
    assert source.moved("layers.0.down") is not None
    assert torch.equal(source.float32("layers.0.up"), model.model.layers[0].mlp.up_proj.weight)


@pytest.mark.parametrize(
    ("file", "told", "pack"),
    [
        ("quantize_config.json", {"bits": 4, "group_size": 64, "desc_act": False, "damp_percent": 0.01}, gptq),
        ("quant_config.json", {"w_bit": 4, "q_group_size": 64, "zero_point": True, "version": "GEMM"}, awq),
    ],
)
def test_the_files_of_older_programs_are_read_and_another_name_of_the_weights_is_taken(
    file: str, told: dict[str, Any], pack: Callable[[Grid], dict[str, Tensor]], tmp_path: Path
) -> None:
    model = reference_model(LLAMA)
    write_quantized(model, tmp_path, on_grid(4, 64, **FREE), pack, {})
    (tmp_path / file).write_text(json.dumps(told))
    (tmp_path / "model.safetensors").rename(tmp_path / "model-4bit-64g.safetensors")
    source = open_source(tmp_path)
    assert torch.equal(source.float32("layers.0.query"), model.model.layers[0].self_attn.q_proj.weight)


def changed(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    config = json.loads(json.dumps(config))
    *keys, last = path.split("/")
    table = config["quantization_config"]
    for key in keys:
        table = table[key]
    table[last] = value
    return config


CT = ct_config(4, 32, True)
WEIGHTS = "config_groups/group_0/weights"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (gptq_config(3, 128), "bits = 3 is not supported"),
        (gptq_config(4, 0), "group_size = 0"),
        (gptq_config(4, 128, checkpoint_format="marlin"), "'marlin' is not supported"),
        (gptq_config(4, 128, dynamic={"-:mlp": {}}), "dynamic"),
        (gptq_config(4, 128, colour="red"), "colour = 'red' is not understood"),
        (awq_config(128, version="gemv"), "'gemv' is not supported, only 'gemm'"),
        (awq_config(128, zero_point=False), "zero_point = False"),
        (awq_config(128, bits=8), "bits = 8"),
        (changed(CT, "format", "int-quantized"), "'int-quantized' is not supported"),
        (changed(CT, "kv_cache_scheme", {"num_bits": 8}), "kv_cache_scheme"),
        (changed(CT, "config_groups/group_1", {}), "only a single group"),
        (changed(CT, "config_groups/group_0/input_activations", {"num_bits": 8}), "input_activations"),
        (changed(CT, f"{WEIGHTS}/num_bits", 3), "num_bits = 3"),
        (changed(CT, f"{WEIGHTS}/type", "float"), "'float'"),
        (changed(CT, f"{WEIGHTS}/strategy", "block"), "'block'"),
        (changed(CT, "sparsity_config", {"format": "sparse-24-bitmask"}), "sparse-24"),
        (changed(CT, "transform_config", {"config_groups": {}, "x": 1}), "transform_config"),
        (mlx_config(6, 64), "bits = 6"),
        (mlx_config(4, 64, mode="mxfp4"), "'mxfp4'"),
        (mlx_config(4, 64, **{"model.layers.0.mlp.down_proj": {"bits": 6, "group_size": 64}}), "bits = 6"),
        (
            {"quantization_config": {"quant_method": "bitsandbytes", "bits": 4}},
            "'bitsandbytes', which is not understood",
        ),
        ({"quantization_config": {"quant_method": "fp8"}}, "'fp8'"),
        ({"quantization_config": "gptq"}, "not a table"),
        ({**mlx_config(4, 64), "quantization": {"bits": 8, "group_size": 64}}, "contradicts itself"),
    ],
)
def test_a_description_that_is_not_understood_is_refused_by_name(
    config: dict[str, Any], said: str, tmp_path: Path
) -> None:
    LLAMA.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    with pytest.raises(UnsupportedModel, match=said):
        open_source(tmp_path)


DOWN = "model.layers.0.mlp.down_proj"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop(f"{DOWN}.qzeros"), "lacks qzeros"),
        (lambda t: t.update({f"{DOWN}.qweight": t[f"{DOWN}.qweight"].float()}), "qweight is torch.float32"),
        (lambda t: t.update({f"{DOWN}.qweight": t[f"{DOWN}.qweight"][:-1].clone()}), "shape"),
        (lambda t: t.update({f"{DOWN}.scales": t[f"{DOWN}.scales"][:-1].clone()}), "its scales are"),
        (lambda t: t.update({f"{DOWN}.scales": t[f"{DOWN}.scales"] * torch.nan}), "not a number"),
        (lambda t: t.update({f"{DOWN}.qzeros": t[f"{DOWN}.qzeros"][:, 1:].clone()}), "its zero points are"),
        (lambda t: t.update({f"{DOWN}.g_idx": t[f"{DOWN}.g_idx"] + 1}), "a group that is not there"),
        (lambda t: t.update({f"{DOWN}.g_idx": t[f"{DOWN}.g_idx"][1:].clone()}), "group|g_idx"),
        (lambda t: t.update({f"{DOWN}.g_idx": t[f"{DOWN}.g_idx"].float()}), "g_idx is torch.float32"),
        (lambda t: t.update({f"{DOWN}.extra": torch.zeros(3)}), "does not use"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    change: Callable[[dict[str, Tensor]], object], said: str, tmp_path: Path
) -> None:
    write_quantized(reference_model(LLAMA), tmp_path, on_grid(4, 64, **SYMMETRIC), gptq, gptq_config(4, 64))
    tensors = load_file(tmp_path / "model.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(LocalChatError, match=said):
        open_source(tmp_path).moved("layers.0.down")


def test_a_group_size_that_does_not_divide_a_row_is_refused(tmp_path: Path) -> None:
    write_quantized(reference_model(LLAMA), tmp_path, on_grid(4, 64, **SYMMETRIC), gptq, gptq_config(4, 96))
    with pytest.raises(BadWeights, match="cannot be divided into groups of 96"):
        open_source(tmp_path).moved("layers.0.down")


def test_a_description_without_quantized_matrices_is_refused(tmp_path: Path) -> None:
    reference_model(LLAMA).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | gptq_config(4, 64)))
    with pytest.raises(BadWeights, match="no matrix is quantized"):
        open_source(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_sharded_checkpoint_of_any_precision_is_read_as_it_is(dtype: torch.dtype, tmp_path: Path) -> None:
    model = reference_model(LLAMA).to(dtype)
    model.save_pretrained(tmp_path, max_shard_size="200KB")
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 2
    source = open_source(tmp_path)
    for name, entry in source.plan.items():
        assert torch.equal(source.float32(name), model.state_dict()[entry.name].float()), name
        assert not source.is_quantized(name)
    next(tmp_path.glob("model-00002-of-*")).unlink()
    with pytest.raises(BadWeights, match="is missing"):
        open_source(tmp_path)
