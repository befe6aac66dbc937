"""Every family on a CUDA device: at once, in pieces and as graphs, also where windows let go of what lies before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_models import CONFIGS, SIZES, reference_model, save_checkpoint

from localchat.engine.kv_cache import KVCache
from localchat.model import cache_room
from localchat.model.cuda_graph import GraphedDecoder
from localchat.model.decoder import Decoder
from localchat.model.sources import open_source

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")

TOKENS = torch.randint(0, SIZES["vocab_size"], (150,), generator=torch.Generator().manual_seed(7))
BOUND = 2e-4  # largest absolute error of a logit, float32 on both


@pytest.fixture(autouse=True)
def little_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of sliding layers move often."""
    monkeypatch.setattr(cache_room, "SLACK", 20)


@pytest.mark.parametrize("name", CONFIGS)
@torch.inference_mode()
def test_a_family_has_the_logits_that_it_has_on_the_processor(name: str, tmp_path: Path) -> None:
    source = open_source(save_checkpoint(reference_model(CONFIGS[name]), tmp_path))
    weights = {name: source.float32(name) for name in source.plan}
    expected = Decoder(source.spec, dict(weights))(TOKENS, KVCache(source.spec, 200), all_logits=True)
    decoder = Decoder(source.spec, weights, device="cuda")
    for pieces in (TOKENS.split(150), TOKENS.split(17)):
        cache = KVCache(source.spec, 200, torch.float32, "cuda")
        logits = torch.cat([decoder(piece, cache, all_logits=True) for piece in pieces]).cpu()
        assert (logits - expected).abs().max() < BOUND
    graphed, cache = GraphedDecoder(decoder), KVCache(source.spec, 200, torch.float32, "cuda")
    one_by_one = torch.stack([graphed(token[None], cache).cpu().reshape(-1) for token in TOKENS])
    assert (one_by_one - expected).abs().max() < BOUND
