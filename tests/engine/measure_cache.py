"""What each kind of cache costs: memory, and the divergence of the logits from those of exact arithmetic.

    python -m tests.engine.measure_cache MODEL... [--context 1024] [--chunks 4]

The reference computes in float32 with the weights as they are stored, keys and values in float32. Against it stand the
same with a quantized cache, which shows what the cache alone costs; and the kernels of this machine with each kind of
cache, which round activations as well: what that costs is the first of them.

The texts are those of assets/calibration and assets/passport, in English and in Chinese. Every chunk is read from an
empty cache, and its second half is scored, as `localchat perplexity` does.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch

from localchat.commands.model_choice import chosen_model
from localchat.engine.caches import cache_for
from localchat.engine.kv_cache import KVCache
from localchat.engine.quantized_cache import QuantizedKVCache
from localchat.evaluation.divergence import compare_logits
from localchat.evaluation.perplexity import begin_id, scored_blocks, text_chunks
from localchat.model.cache_room import CacheKind, layer_bytes
from localchat.model.decoder import Decoder, Forward
from localchat.model.device import configure_threads
from localchat.model.load import LoadedModel, load_model
from localchat.model.stored import from_stored
from localchat.paths import assets_dir
from localchat.text.chat_text import load_chat_text
from localchat.weights.model_folder import open_model_folder
from quant.tensor import QuantTensor

KINDS: tuple[CacheKind, ...] = ("full", "int8", "int4")
TEXTS = ("calibration/english.txt", "passport/en.txt", "calibration/chinese.txt", "passport/zh.txt")


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something whose logits are compared with the reference's."""

    name: str
    decoder: Forward
    cache: Callable[[], KVCache]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+")
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--chunks", type=int, default=4)
    asked = parser.parse_args()
    configure_threads()
    for name in asked.models:
        path = chosen_model(name)
        model = load_model(path, context_length=max(asked.context, 64))
        print(f"{model.name}, {model.kernel}, chunks of {asked.context} tokens", flush=True)
        _print_memory(model)
        tokenizer = load_chat_text(path).tokenizer
        text = "\n".join((assets_dir() / text).read_text("utf-8") for text in TEXTS)
        chunks = text_chunks(tokenizer.encode(text), asked.context, None, begin_id(tokenizer))
        _print_divergence(path, model, chunks[:: max(1, len(chunks) // asked.chunks)][: asked.chunks])


def _print_divergence(path: Path, model: LoadedModel, chunks: list[list[int]]) -> None:
    spec, context = model.spec, len(chunks[0])
    stored = from_stored(open_model_folder(path), spec, lambda _done, _total: None)
    exact = Decoder(spec, {name: w.dequantize() if isinstance(w, QuantTensor) else w for name, w in stored.items()})
    reference = Candidate("float32", exact, lambda: KVCache(spec, context))
    candidates = [Candidate(f"float32, {kind}", exact, _torch_cache(model, context, kind)) for kind in KINDS[1:]]
    candidates += [Candidate(f"kernels, {kind}", model.decoder, _cache(model, context, kind)) for kind in KINDS]
    found: dict[str, list[tuple[float, float, float]]] = {each.name: [] for each in candidates}
    for chunk in chunks:
        ids = torch.tensor(chunk)
        wanted, targets = _logits(reference, ids)
        for each in candidates:
            result = compare_logits([(wanted, _logits(each, ids)[0], targets)], len(targets))
            found[each.name].append((result.mean_kl, result.p99_kl, result.same_top))
    for name, results in found.items():
        kl, p99, same = (fmean(column) for column in zip(*results, strict=True))
        print(f"  {name:14} KL {kl:.6f}, 99 of 100 below {p99:.5f}, the same likeliest token {same:.4f}", flush=True)


def _cache(model: LoadedModel, context: int, kind: CacheKind) -> Callable[[], KVCache]:
    return lambda: cache_for(model, context, kind)


def _torch_cache(model: LoadedModel, context: int, kind: CacheKind) -> Callable[[], KVCache]:
    return lambda: QuantizedKVCache(model.spec, context, kind)


@torch.inference_mode()
def _logits(candidate: Candidate, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Those that score the second half of a chunk, and the tokens that came."""
    blocks = list(scored_blocks(candidate.decoder, candidate.cache(), ids))
    return torch.cat([logits for logits, _ in blocks]), torch.cat([targets for _, targets in blocks])


def _print_memory(model: LoadedModel) -> None:
    for context in sorted({2048, 8192, model.spec.context_length}):
        layers = range(model.spec.num_layers)
        held = [sum(layer_bytes(model.spec, i, context, kind, 2) for i in layers) for kind in KINDS]
        shares = ", ".join(
            f"{kind} {each / 1e6:.1f} MB ({each / held[0]:.4f})" for kind, each in zip(KINDS, held, strict=True)
        )
        print(f"  {context} tokens: {shares}", flush=True)


if __name__ == "__main__":
    main()
