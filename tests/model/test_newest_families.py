"""The newest families from a checkpoint folder to an installed model that runs, and where that ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import CONFIGS, reference_model, save_checkpoint
from tokenizers import Tokenizer, decoders, models
from torch.nn import functional as F
from transformers import PreTrainedModel

from localchat.engine.caches import cache_for
from localchat.errors import UnsupportedModel
from localchat.export.exporter import export_model
from localchat.hub.importer import import_model
from localchat.model.load import load_model
from localchat.model.memory import read_footprint
from localchat.model.sources import open_source
from localchat.text.byte_letters import LETTER_OF_BYTE

TOKENS = torch.randint(0, 97, (60,), generator=torch.Generator().manual_seed(7))
WIDE: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4}
MODELS = {
    "gpt_oss": ("gpt_oss", WIDE | {"head_dim": 16}),
    "gemma4_text": ("gemma4_text, inputs of every layer, shared keys", WIDE | {"hidden_size_per_layer_input": 32}),
    "minicpm3": ("minicpm3", WIDE | {"num_key_value_heads": 4, "kv_lora_rank": 32, "q_lora_rank": 32}),
}


@pytest.fixture
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    base, changes = MODELS[request.param]
    return reference_model(type(CONFIGS[base])(**{**CONFIGS[base].to_dict(), **changes}))


@pytest.fixture
def installed(model: PreTrainedModel, tmp_path: Path, home: Path) -> Path:
    assert home  # where it is installed
    folder = save_checkpoint(model, tmp_path / "tiny")
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(LETTER_OF_BYTE.values())}, merges=[]))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    return import_model(folder, "tiny", bits=8).folder


@pytest.mark.parametrize("model", MODELS, indirect=True)
def test_an_installed_model_answers_as_its_source_at_once_and_token_by_token(
    model: PreTrainedModel, installed: Path
) -> None:
    loaded = load_model(installed)
    with torch.inference_mode():
        expected = model(TOKENS[None]).logits[0].log_softmax(-1)
        for pieces in (TOKENS.split(60), TOKENS.split(1)):
            cache = cache_for(loaded, 100)
            given = torch.cat([loaded.decoder(piece, cache, all_logits=True) for piece in pieces]).log_softmax(-1)
            divergence = F.kl_div(given, expected, log_target=True, reduction="none").sum(-1)
            assert divergence.median() < 6e-3  # some tokens go to other experts


@pytest.mark.parametrize("model", MODELS, indirect=True)
def test_the_memory_that_an_installed_model_needs_is_planned(model: PreTrainedModel, installed: Path) -> None:
    plan = read_footprint(installed).plan(2048)
    file_bytes = (installed / "model.safetensors").stat().st_size
    assert plan.cache > 0
    assert plan.weights <= file_bytes
    assert model.num_parameters() < 4 * file_bytes


@pytest.mark.parametrize("form", ["gguf", "compressed-tensors"])
@pytest.mark.parametrize("model", MODELS, indirect=True)
def test_what_other_programs_would_run_otherwise_is_not_exported(installed: Path, form: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel):
        export_model(installed, form, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_large_matrix_in_half_precision_is_rounded_without_a_copy_in_float32(tmp_path: Path) -> None:
    model = reference_model(CONFIGS["gemma4_text, inputs of every layer, shared keys"])
    source = open_source(save_checkpoint(model.to(torch.bfloat16), tmp_path))
    stored = source.floats("embedding")
    assert stored.dtype == torch.bfloat16
    assert torch.equal(stored.float(), source.float32("embedding"))
