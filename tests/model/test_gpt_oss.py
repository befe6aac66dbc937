"""gpt-oss as it is published: experts in MXFP4, in checkpoints and in GGUF files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from published_configurations import PUBLISHED
from safetensors.torch import load_file, save_file
from tiny_gguf import write_gguf
from tiny_models import GPT_OSS, SIZES, reference_model
from torch import Tensor
from transformers import GptOssConfig, PreTrainedModel

from localchat.engine.kv_cache import KVCache
from localchat.errors import UnsupportedModel
from localchat.hub.importer import _converted
from localchat.model import attention
from localchat.model.attention import AttentionRule, sliding_mask, written_out
from localchat.model.configuration import spec_from_huggingface
from localchat.model.decoder import Decoder
from localchat.model.plan import refusal
from localchat.model.sources import WeightSource, open_source
from quant.kernels import native
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

TOKENS = torch.randint(0, SIZES["vocab_size"], (60,), generator=torch.Generator().manual_seed(7))
CONFIG = GptOssConfig(**GPT_OSS | {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 8})
BOUND = 1e-4


def _packed(folder: Path) -> PreTrainedModel:
    """A checkpoint with its experts in MXFP4, and the model of transformers with what they mean."""
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    model = reference_model(CONFIG)
    model.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    generator, weights = torch.Generator().manual_seed(3), model.state_dict()
    for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
        experts, inner, rows = tensors.pop(name).shape
        blocks = torch.randint(0, 256, (experts, rows, inner // 32, 16), generator=generator, dtype=torch.uint8)
        scales = torch.randint(120, 126, (experts, rows, inner // 32), generator=generator, dtype=torch.uint8)
        tensors |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
        weights[name].copy_(convert_moe_packed_tensors(blocks, scales, dtype=torch.float32))
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    path = folder / "config.json"
    told = {"quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}}
    path.write_text(json.dumps(json.loads(path.read_text()) | told))
    return model


def _logits(source: WeightSource, weights: dict[str, Any]) -> Tensor:
    decoder = Decoder(source.spec, weights)
    with torch.inference_mode():
        logits: Tensor = decoder(TOKENS, KVCache(source.spec, 100), all_logits=True)
    return logits


def _expected(model: PreTrainedModel) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = model(TOKENS[None]).logits[0]
    return logits


def test_a_checkpoint_with_packed_experts_gives_the_logits_of_transformers(tmp_path: Path) -> None:
    model, source = _packed(tmp_path), open_source(tmp_path)
    logits = _logits(source, {name: source.float32(name) for name in source.plan})
    assert (logits - _expected(model)).abs().max() < BOUND


def test_packed_experts_are_installed_without_a_value_changing(tmp_path: Path) -> None:
    _packed(tmp_path)
    source = open_source(tmp_path)
    experts = [name for name in source.plan if ".experts." in name and not name.endswith("bias")]
    assert len(experts) == 3 * 6 * 3
    for name in experts:
        installed = _converted(source, name, None)
        assert isinstance(installed, QuantTensor)
        assert installed.spec == QuantSpec(8, 32)
        assert torch.equal(installed.dequantize(), source.float32(name))


def test_a_gguf_in_mxfp4_is_installed_without_a_value_changing(tmp_path: Path) -> None:
    source = open_source(write_gguf(reference_model(CONFIG), tmp_path / "tiny.gguf", "MXFP4"))
    matrices = [name for name, each in source.plan.items() if len(each.shape) == 2]
    assert "layers.1.experts.2.gate" in matrices
    for name in matrices:
        installed = _converted(source, name, None)
        assert isinstance(installed, QuantTensor)
        assert torch.equal(installed.dequantize(), source.float32(name))


@pytest.mark.skipif(native.refusal() is not None, reason=f"the CPU kernels are {native.refusal()}")
def test_native_plans_leave_it_to_torch(tmp_path: Path) -> None:
    _packed(tmp_path)
    source = open_source(tmp_path)
    decoder = Decoder(source.spec, {name: _converted(source, name, None) for name in source.plan})
    assert "quick_gelu" in str(refusal(decoder))


def test_a_configuration_that_says_nothing_of_rope_has_that_of_the_family() -> None:
    published = PUBLISHED["gpt-oss-20b"]
    plain = {key: value for key, value in published.items() if not key.startswith("rope_")}
    assert spec_from_huggingface(plain) == spec_from_huggingface(published)


def test_a_sink_takes_its_share_of_the_attention() -> None:
    generator = torch.Generator().manual_seed(1)
    queries, keys = torch.randn(4, 3, 8, generator=generator), torch.randn(2, 5, 8, generator=generator)
    values, sinks = torch.randn(2, 5, 8, generator=generator), torch.randn(4, generator=generator)
    attended = written_out(queries, keys, values, None, AttentionRule(sinks=sinks))
    for head in range(4):
        scores = queries[head] @ keys[head // 2].T / 8**0.5
        weights = scores.exp() / (scores.exp().sum(-1, keepdim=True) + sinks[head].exp())
        torch.testing.assert_close(attended[head], weights @ values[head // 2])


def test_scores_that_would_take_much_memory_are_written_out_a_few_queries_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = torch.Generator().manual_seed(2)
    queries, keys = torch.randn(4, 7, 8, generator=generator), torch.randn(2, 9, 8, generator=generator)
    rule, mask = (
        AttentionRule(softcap=3.0, sinks=torch.randn(4)),
        sliding_mask(2, 0, 7, 4, torch.float32, queries.device),
    )
    for each in (mask, None):
        at_once = written_out(queries, keys, keys, each, rule)
        with monkeypatch.context() as patched:
            patched.setattr(attention, "_SCORES_AT_ONCE", 4 * 9 * 3)
            torch.testing.assert_close(written_out(queries, keys, keys, each, rule), at_once)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"swiglu_alpha": 1.5}, "swiglu_alpha"),
        ({"swiglu_limit": -7.0}, "gate_limit"),
        ({"num_experts_per_tok": 64}, "64 for a token"),
        ({"norm_topk_prob": False}, "norm_topk_prob"),
        ({"layer_types": ["chunked_attention"] * 24}, "layer_types"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedModel, match=named):
        spec_from_huggingface({**PUBLISHED["gpt-oss-20b"], **change})
