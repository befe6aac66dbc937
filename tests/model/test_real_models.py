"""What quantized kernels and a smaller cache cost on the two real models, against the same weights in float32.

The figures are printed whether the tests pass or not. "as in the file" holds every matrix with the file's own values
where our formats can, so that what is measured is the arithmetic; "int4" and "int8" round the matrices of the layers to
nearest and the vocabulary matrices to int8, as `localchat import --bits` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from localchat.engine.kv_cache import KVCache
from localchat.model.decoder import Decoder, Weight
from localchat.model.device import configure_threads
from localchat.model.load import cache_dtype
from localchat.model.sources import GGUFSource
from localchat.text.chat_text import load_chat_text
from quant import rtn
from quant.spec import QuantSpec

TOKENS = 256
Convert = Callable[[GGUFSource, str], Weight]


@dataclass(frozen=True)
class Bound:
    """The least share of tokens with the same likeliest successor, and the largest mean KL divergence in nats."""

    top1: float
    divergence: float


def _as_in_the_file(source: GGUFSource, name: str) -> Weight:
    if len(source.plan[name].shape) == 1:
        return source.float32(name)
    return source.exact(name) or rtn.quantize(source.float32(name), QuantSpec(8, 32))


def _rounded(bits: int) -> Convert:
    def convert(source: GGUFSource, name: str) -> Weight:
        weight = source.float32(name)
        if weight.ndim == 1:
            return weight
        return rtn.quantize(weight, QuantSpec.default(8 if name in ("embedding", "output") else bits))

    return convert


CONVERSIONS: dict[str, Convert] = {"as in the file": _as_in_the_file, "int8": _rounded(8), "int4": _rounded(4)}


@torch.inference_mode()
def _logits(source: GGUFSource, convert: Convert, ids: Tensor, dtype: torch.dtype) -> Tensor:
    decoder = Decoder(source.spec, {name: convert(source, name) for name in source.plan})
    cache = KVCache(source.spec, TOKENS, dtype)
    # In two chunks, so that attention over a cache that is not empty is measured too.
    return torch.cat([decoder(piece, cache, all_logits=True) for piece in ids.split(TOKENS // 2)])


def _compare(path: Path, texts: dict[str, Path], bounds: dict[str, Bound], capsys: pytest.CaptureFixture[str]) -> None:
    configure_threads()
    source, tokenizer = GGUFSource(path), load_chat_text(path).tokenizer
    ids = {
        language: torch.tensor(tokenizer.encode(text.read_text("utf-8")[2000:6000])[:TOKENS])
        for language, text in texts.items()
    }
    exact = {name: _logits(source, GGUFSource.float32, each, torch.float32) for name, each in ids.items()}
    missed = []
    for name, bound in bounds.items():
        for language, expected in exact.items():
            given = _logits(source, CONVERSIONS[name], ids[language], cache_dtype(torch.device("cpu")))
            top1 = float((given.argmax(-1) == expected.argmax(-1)).float().mean())
            reference = expected.log_softmax(-1)
            divergence = float((reference.exp() * (reference - given.log_softmax(-1))).sum(-1).mean())
            with capsys.disabled():
                print(f"\n{path.name}, {name}, {language}: top-1 agreement {top1:.3f}, mean KL {divergence:.5f}", end="")
            if not (top1 >= bound.top1 and divergence <= bound.divergence):
                missed.append((name, language, top1, divergence))
    assert not missed


def test_smollm2_keeps_its_predictions(smollm2_gguf: Path, shared_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {"English": shared_dir / "data/wikitext-2-test.txt"}
    bounds = {"as in the file": Bound(0.97, 0.002), "int8": Bound(0.95, 0.005), "int4": Bound(0.75, 0.25)}
    _compare(smollm2_gguf, texts, bounds, capsys)


def test_qwen_keeps_its_predictions(qwen_gguf: Path, shared_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {
        "English": shared_dir / "data/wikitext-2-test.txt",
        "Chinese": shared_dir / "data/sanguo-first-40-chapters.txt",
    }
    bounds = {"as in the file": Bound(0.97, 0.002), "int8": Bound(0.95, 0.005), "int4": Bound(0.75, 0.25)}
    _compare(qwen_gguf, texts, bounds, capsys)
