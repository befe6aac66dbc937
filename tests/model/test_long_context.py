"""Longer contexts than the trained one, where the model's authors declare how to reach them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import CONFIGS, PLAIN_ROPE, reference_model, save_checkpoint
from transformers import Qwen2Config

from localchat.engine.kv_cache import KVCache
from localchat.errors import UnsupportedModel
from localchat.hub.catalogue import catalogue
from localchat.model.configuration import spec_from_huggingface
from localchat.model.load import load_model
from localchat.model.long_context import longest_context, stretched
from localchat.model.rope import Rope
from localchat.model.sources import open_source
from localchat.model.stored import to_stored
from localchat.weights.model_folder import write_model_folder

CONFIG: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
PLAIN = spec_from_huggingface(CONFIG)


def test_a_context_that_the_model_was_trained_for_leaves_it_as_it_is() -> None:
    for wanted in (None, 512, 32768):
        assert stretched(PLAIN, YARN, wanted) is PLAIN
    assert stretched(PLAIN, None, 131072) is PLAIN
    assert longest_context(PLAIN, None) == 32768


def test_the_whole_length_is_what_the_configuration_makes_of_the_authors_advice() -> None:
    by_hand = spec_from_huggingface({**CONFIG, "rope_scaling": YARN})
    assert stretched(PLAIN, YARN, 131072) == by_hand
    assert longest_context(PLAIN, YARN) == by_hand.context_length == 131072
    assert stretched(PLAIN, YARN, 1_000_000).context_length == 131072


def test_a_shorter_one_is_stretched_no_further_than_it_needs() -> None:
    half = stretched(PLAIN, YARN, 65536)
    assert half == spec_from_huggingface({**CONFIG, "rope_scaling": {**YARN, "factor": 2.0}})
    assert half.context_length == 65536
    assert half.rope_factors is not None
    assert max(half.rope_factors) == pytest.approx(2.0)


def test_every_position_turns_by_the_stretched_angles() -> None:
    plain, long = (Rope(spec, torch.device("cpu")).at(40_000, 1) for spec in (PLAIN, stretched(PLAIN, YARN, 131072)))
    factor = 0.1 * torch.log(torch.tensor(4.0)).item() + 1
    fast, slow = 0, PLAIN.head_dim // 2 - 1
    torch.testing.assert_close(long.full[0][0, fast], factor * plain.full[0][0, fast])  # turns often: kept
    quarter = Rope(PLAIN, torch.device("cpu")).at(10_000, 1)
    torch.testing.assert_close(long.full[0][0, slow], factor * quarter.full[0][0, slow], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "declared",
    ["yarn", {"rope_type": "magic", "factor": 4.0}, {"rope_type": "yarn"}, {**YARN, "factor": -1.0}, {**YARN, "x": 1}],
)
def test_what_is_not_understood_is_refused(declared: Any) -> None:
    with pytest.raises(UnsupportedModel):
        stretched(PLAIN, declared, 65536)


def test_a_rope_that_is_scaled_already_is_not_scaled_again() -> None:
    scaled = replace(PLAIN, rope_factors=(2.0,) * (PLAIN.head_dim // 2))
    with pytest.raises(UnsupportedModel, match="scaled already"):
        stretched(scaled, YARN, 65536)


# ---- loading


def tiny_folder(tmp_path: Path, **facts: Any) -> tuple[Path, dict[str, Any]]:
    """A model that was trained for 64 tokens, as it is installed; and its configuration."""
    values = CONFIGS["qwen2"].to_dict() | {"max_position_embeddings": 64}
    values.pop("rope_parameters", None)
    reference = reference_model(Qwen2Config(**values, rope_parameters=PLAIN_ROPE))
    source = open_source(save_checkpoint(reference, tmp_path))
    tensors, layout = to_stored({name: source.float32(name) for name in source.plan})
    write_model_folder(tmp_path / "tiny", {**source.spec.to_dict(), **facts}, tensors, layout, {})
    return tmp_path / "tiny", values


@torch.inference_mode()
def test_an_installed_model_is_run_as_the_reference_with_the_scaling_that_is_declared(tmp_path: Path) -> None:
    scaling = YARN | {"original_max_position_embeddings": 64}
    folder, values = tiny_folder(tmp_path, long_context=scaling)
    long = load_model(folder, context_length=256)
    assert long.context_length == 256
    scaled = Qwen2Config(**values, rope_parameters=PLAIN_ROPE | scaling)
    reference = reference_model(scaled).eval()  # the same seed, so the same weights
    text = torch.randint(0, 97, (200,), generator=torch.Generator().manual_seed(3))
    ours = long.decoder(text, KVCache(long.spec, 256, torch.float32), all_logits=True)
    assert (ours - reference(text[None]).logits[0]).abs().max() < 1e-3


def test_who_asks_for_no_more_than_the_trained_context_gets_the_model_as_it_was_trained(tmp_path: Path) -> None:
    folder, _values = tiny_folder(tmp_path, long_context=YARN | {"original_max_position_embeddings": 64})
    assert load_model(folder).context_length == load_model(folder, context_length=64).context_length == 64
    assert load_model(folder).spec.rope_factors is None
    assert load_model(folder, context_length=10_000).context_length == 256


def test_without_a_declaration_nobody_gets_more(tmp_path: Path) -> None:
    folder, _values = tiny_folder(tmp_path)
    assert load_model(folder, context_length=200).context_length == 64


def test_the_catalogue_declares_it_as_the_loader_understands_it() -> None:
    declared = [entry for entry in catalogue() if entry.long_context is not None]
    assert declared
    for entry in declared:
        spec = replace(PLAIN, context_length=entry.context_length)
        assert longest_context(spec, dict(entry.long_context or {})) == 131072
