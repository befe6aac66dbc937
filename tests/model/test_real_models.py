"""What quantized kernels and a smaller cache cost on the two real models, against the same weights in float32.

The figures are printed whether the tests pass or not. "as in the file" holds every matrix with the file's own values
where our formats can, so that what is measured is the arithmetic; "int4" and "int8" round the matrices of the layers to
nearest and the vocabulary matrices to int8, as `localchat import --bits` does. SmolLM2's file is in Q4_1, which
rounding to our int4 finds again: int4 costs that model next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from localchat.engine.kv_cache import KVCache, NativeKVCache
from localchat.hub.importer import target_spec
from localchat.model.decoder import Decoder, Forward, Weight
from localchat.model.device import configure_threads
from localchat.model.load import QUANTIZED_CACHE_DTYPE
from localchat.model.plan import Plan, refusal
from localchat.model.sources import GGUFSource
from localchat.model.spec import ModelSpec
from localchat.text.chat_text import load_chat_text
from quant import rtn
from quant.spec import QuantSpec

TOKENS = 256
Weights = Mapping[str, Weight]


@dataclass(frozen=True)
class Bound:
    """The least share of tokens with the same likeliest successor, and the largest mean KL divergence in nats."""

    top1: float
    divergence: float


def _as_in_the_file(source: GGUFSource, weights: Mapping[str, Tensor]) -> Weights:
    matrices = [name for name, weight in weights.items() if weight.ndim == 2]
    held = {name: source.moved(name) or rtn.quantize(weights[name], QuantSpec(8, 32)) for name in matrices}
    return {**weights, **held}


def _rounded(bits: int, weights: Mapping[str, Tensor]) -> Weights:
    return {
        name: rtn.quantize(each, target_spec(name, bits)) if each.ndim == 2 else each for name, each in weights.items()
    }


@torch.inference_mode()
def _logits(spec: ModelSpec, weights: Weights, texts: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    decoder = Decoder(spec, weights)
    compiled = None if refusal(decoder) else Plan(decoder)
    forward: Forward = compiled or decoder
    results = []
    for ids in texts:
        cache = NativeKVCache(spec, TOKENS) if compiled else KVCache(spec, TOKENS, dtype)
        # In two chunks, so that attention over a cache that is not empty is measured too.
        pieces = [forward(piece, cache, all_logits=True) for piece in ids.split(TOKENS // 2)]
        results.append(torch.cat(pieces).log_softmax(-1))
    return results


def _compare(path: Path, texts: dict[str, Path], bounds: dict[str, Bound], capsys: pytest.CaptureFixture[str]) -> None:
    configure_threads()
    source, tokenizer = GGUFSource(path), load_chat_text(path).tokenizer
    ids = [torch.tensor(tokenizer.encode(text.read_text("utf-8")[2000:6000])[:TOKENS]) for text in texts.values()]
    dense = {name: source.float32(name) for name in source.plan}
    exact = _logits(source.spec, dense, ids, torch.float32)
    missed = []
    for name, bound in bounds.items():
        weights = _as_in_the_file(source, dense) if name == "as in the file" else _rounded(int(name[3:]), dense)
        given = _logits(source.spec, weights, ids, QUANTIZED_CACHE_DTYPE)
        for language, ours, expected in zip(texts, given, exact, strict=True):
            top1 = float((ours.argmax(-1) == expected.argmax(-1)).float().mean())
            divergence = float((expected.exp() * (expected - ours)).sum(-1).mean())
            with capsys.disabled():
                print(
                    f"\n{path.name}, {name}, {language}: top-1 agreement {top1:.3f}, mean KL {divergence:.5f}", end=""
                )
            if not (top1 >= bound.top1 and divergence <= bound.divergence):
                missed.append((name, language, top1, divergence))
    assert not missed


def test_smollm2_keeps_its_predictions(
    smollm2_gguf: Path, shared_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {"English": shared_dir / "data/wikitext-2-test.txt"}
    bounds = {"as in the file": Bound(0.97, 0.002), "int8": Bound(0.97, 0.003), "int4": Bound(0.97, 0.002)}
    _compare(smollm2_gguf, texts, bounds, capsys)


def test_qwen_keeps_its_predictions(qwen_gguf: Path, shared_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {
        "English": shared_dir / "data/wikitext-2-test.txt",
        "Chinese": shared_dir / "data/sanguo-first-40-chapters.txt",
    }
    bounds = {"as in the file": Bound(0.97, 0.002), "int8": Bound(0.96, 0.004), "int4": Bound(0.68, 0.2)}
    _compare(qwen_gguf, texts, bounds, capsys)
