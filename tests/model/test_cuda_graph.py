"""A token recorded once and replayed gives what the decoder gives.

There is no CUDA here, so a recorder of torch's operations stands in for a graph. Like a graph, it runs the same
operations on the same tensors at every replay, with every number that was Python's at the time of recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from test_decoder import _weights
from test_model_spec import SPEC
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from localchat.engine.kv_cache import KVCache
from localchat.errors import ContextOverflow, Stopped
from localchat.model import cache_room, cuda_graph
from localchat.model.attention import AttentionRule
from localchat.model.cache_room import CacheKind
from localchat.model.cuda_graph import GraphedDecoder
from localchat.model.decoder import Decoder
from localchat.model.spec import ModelSpec
from quant import rtn
from quant.spec import QuantSpec

TOKENS = torch.randint(0, SPEC.vocab_size, (60,), generator=torch.Generator().manual_seed(1))
HOST_READS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::item"}


class BlockCache:
    """The least that a graph needs of a cache: blocks that double, and plain attention for what is not replayed."""

    kind: CacheKind = "full"

    def __init__(self, spec: ModelSpec, context_length: int) -> None:
        self.length, self.context_length, self.firsts = 0, context_length, [0] * spec.num_layers
        self._keys = [
            torch.zeros(spec.layer_key_value_heads(i), 16, spec.layer_head_dim(i)) for i in range(spec.num_layers)
        ]
        self._values = [torch.zeros_like(keys) for keys in self._keys]

    def blocks(self, count: int) -> tuple[list[Tensor], list[Tensor]]:
        if self.length + count > self.context_length:
            raise ContextOverflow("The context is full.")
        while self.length + count > self._keys[0].shape[1]:
            for blocks in (self._keys, self._values):
                blocks[:] = [torch.cat((block, torch.full_like(block, 1e4)), dim=1) for block in blocks]
        return self._keys, self._values

    def attend(
        self, layer: int, queries: Tensor, keys: Tensor | None, values: Tensor | None, rule: AttentionRule
    ) -> Tensor:
        end = self.length + queries.shape[1]
        for block, new in zip(self.blocks(queries.shape[1]), (keys, values), strict=True):
            if new is not None:
                block[layer][:, self.length : end] = new
        shared = queries.shape[0] // self._keys[layer].shape[0]
        known, read = (block[layer][:, :end].repeat_interleave(shared, 0) for block in (self._keys, self._values))
        scores = queries @ known.mT * (rule.scale or queries.shape[2] ** -0.5)
        if rule.softcap is not None:
            scores = (scores / rule.softcap).tanh() * rule.softcap
        ahead = torch.arange(end) - torch.arange(self.length, end)[:, None]
        hidden = (ahead > 0) if rule.window is None else (ahead > 0) | (ahead <= -rule.window)
        scores = scores.masked_fill(hidden, -torch.inf)
        if rule.sinks is not None:
            scores = torch.cat((scores, rule.sinks.view(-1, 1, 1).expand(-1, scores.shape[1], 1)), dim=-1)
        return scores.softmax(-1)[..., :end] @ read

    def advance(self, count: int) -> None:
        self.length += count


class Tape(TorchDispatchMode):
    """Every operation while it is on, with its operands and results."""

    def __init__(self) -> None:
        super().__init__()
        self._steps: list[tuple[Any, Any, Any, list[Tensor]]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert function.name() not in HOST_READS, "waits for the device, which cannot be recorded"
        results = function(*args, **(kwargs or {}))
        self._steps.append((function, args, kwargs or {}, tree_leaves(results)))
        return results

    def replay(self) -> None:
        for function, args, kwargs, results in self._steps:
            for old, new in zip(results, tree_leaves(function(*args, **kwargs)), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Tape]]:
    tapes: list[Tape] = []

    def record(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        with Tape() as tape:
            result = run()
        tapes.append(tape)

        def replay() -> Tensor:
            result.fill_(torch.nan)
            tape.replay()
            return result

        return replay

    monkeypatch.setattr(cuda_graph, "record", record)
    monkeypatch.setattr(cuda_graph, "_FIRST_SPAN", 16)
    yield tapes


OTHER_WAYS = {
    "positions": "rotary",
    "layer_kinds": ("sliding", "full", "sliding"),
    "sliding_window": 7,
    "local_rope_theta": 100.0,
    "rope_long_factors": (2.0, 3.0, 4.0, 5.0),
    "original_context_length": 20,
    "attention_softcap": 3.0,
    "attention_scale": 0.5,
    "embedding_scale": 2.0,
    "logit_softcap": 4.0,
}


TWO_SIZES = {
    "positions": "rotary",
    "layer_kinds": ("sliding", "full", "sliding"),
    "sliding_window": 7,
    "local_rope_theta": 100.0,
    "full_head_dim": 16,
    "full_key_value_heads": 1,
    "rope_factors": (1.0,) * 2 + (1e30,) * 6,
    "keys_as_values": True,
    "value_norm": True,
    "layer_scale": True,
    "shared_key_value_layers": 1,
}
LATENTS = {
    "positions": "rotary",
    "query_rank": 6,
    "key_value_rank": 8,
    "plain_head_dim": 4,
    "value_head_dim": 8,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "rotary_dim": 8,
}


@torch.inference_mode()
@pytest.mark.parametrize(
    "ways",
    [
        {},
        OTHER_WAYS,
        OTHER_WAYS | {"attention_softcap": None},
        OTHER_WAYS | {"attention_sinks": True},
        {"positions": "learned", "norm": "layer"},
        TWO_SIZES,
        LATENTS,
    ],
)
def test_replayed_tokens_have_the_logits_of_the_decoder(ways: dict[str, Any], recordings: list[Tape]) -> None:
    spec = SPEC.from_dict(SPEC.to_dict() | ways)
    decoder = Decoder(spec, _weights(spec))
    graphed, cache, plain = GraphedDecoder(decoder), BlockCache(spec, 64), KVCache(spec, 64)
    for piece in (TOKENS[:10], *TOKENS[10:40].split(1), TOKENS[40:45], *TOKENS[45:].split(1)):
        torch.testing.assert_close(graphed(piece, cache), decoder(piece, plain), rtol=1e-4, atol=1e-5)
    assert cache.length == len(TOKENS)
    assert graphed.reason is None
    assert len(recordings) == 3  # spans of 16, 32 and 64 tokens


@torch.inference_mode()
def test_replayed_tokens_follow_the_blocks_of_windows_when_they_move(
    recordings: list[Tape], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = replace(SPEC, layer_kinds=("sliding", "full", "sliding"), sliding_window=7)
    decoder, ids = Decoder(spec, _weights(spec)), TOKENS.repeat(9)
    expected = Decoder(spec, _weights(spec))(ids, KVCache(spec, 1000), all_logits=True)
    monkeypatch.setattr(cache_room, "SLACK", 130)
    graphed, cache = GraphedDecoder(decoder), KVCache(spec, 1000)
    graphed(ids[:200], cache)
    for place in range(200, 540):
        logits = graphed(ids[place : place + 1], cache)
        torch.testing.assert_close(logits, expected[place], rtol=1e-4, atol=1e-5)
    assert cache.firsts == [384, 0, 384]
    assert len(recordings) == 3  # spans of 256, 512 and 1024 tokens


@torch.inference_mode()
def test_quantized_layers_can_be_replayed(recordings: list[Tape], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALCHAT_KERNEL", "torch")
    spec = SPEC.from_dict(SPEC.to_dict() | {"hidden_size": 64, "intermediate_size": 96})
    weights = {
        name: rtn.quantize(weight, QuantSpec(4)) if weight.ndim == 2 and weight.shape[1] % 32 == 0 else weight
        for name, weight in _weights(spec).items()
        if isinstance(weight, Tensor)
    }
    decoder = Decoder(spec, weights)
    graphed, cache, plain = GraphedDecoder(decoder), BlockCache(spec, 64), KVCache(spec, 64)
    for token in TOKENS[:12].split(1):
        torch.testing.assert_close(graphed(token, cache), decoder(token, plain), rtol=1e-2, atol=1e-2)
    assert len(recordings) == 1


@torch.inference_mode()
def test_a_shorter_conversation_gets_a_shorter_span_again(recordings: list[Tape]) -> None:
    decoder = Decoder(SPEC, _weights())
    graphed, cache, plain = GraphedDecoder(decoder), BlockCache(SPEC, 64), KVCache(SPEC, 64)
    graphed(TOKENS[:30], cache)
    graphed(TOKENS[30:31], cache)
    cache.length = 3
    decoder(TOKENS[:3], plain)
    torch.testing.assert_close(graphed(TOKENS[3:4], cache), decoder(TOKENS[3:4], plain), rtol=1e-4, atol=1e-5)
    assert len(recordings) == 2


@torch.inference_mode()
def test_another_cache_is_not_mixed_up_with_the_first(recordings: list[Tape]) -> None:
    decoder = Decoder(SPEC, _weights())
    graphed, caches, plains = GraphedDecoder(decoder), [], []
    for index in range(2):
        caches.append(BlockCache(SPEC, 64))
        plains.append(KVCache(SPEC, 64))
        graphed(TOKENS[index : index + 5], caches[index])
        decoder(TOKENS[index : index + 5], plains[index])
    for index in (0, 1, 0):
        logits = graphed(TOKENS[20:21], caches[index])
        torch.testing.assert_close(logits, decoder(TOKENS[20:21], plains[index]), rtol=1e-4, atol=1e-5)
    assert len(recordings) == 3


@torch.inference_mode()
def test_what_cannot_be_recorded_runs_as_before_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = []

    def fail(_: object) -> None:
        attempts.append(1)
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nCompile with ...")

    monkeypatch.setattr(cuda_graph, "record", fail)
    decoder = Decoder(SPEC, _weights())
    graphed, cache, plain = GraphedDecoder(decoder), BlockCache(SPEC, 64), KVCache(SPEC, 64)
    for token in TOKENS[:4].split(1):
        torch.testing.assert_close(graphed(token, cache), decoder(token, plain), rtol=1e-4, atol=1e-5)
    expected = "CUDA cannot record a token (CUDA error: operation not permitted when stream is capturing)"
    assert graphed.reason == expected
    assert len(attempts) == 1


@torch.inference_mode()
def test_several_logits_are_never_replayed(recordings: list[Tape]) -> None:
    graphed = GraphedDecoder(Decoder(SPEC, _weights()))
    assert graphed(TOKENS[:1], BlockCache(SPEC, 64), all_logits=True).shape == (1, SPEC.vocab_size)
    assert not recordings


@pytest.mark.usefixtures("recordings")
def test_a_stop_leaves_the_cache_as_it_was() -> None:
    def stop() -> None:
        raise Stopped

    graphed, cache = GraphedDecoder(Decoder(SPEC, _weights())), BlockCache(SPEC, 64)
    with pytest.raises(Stopped):
        graphed(TOKENS[:1], cache, check=stop)
    assert cache.length == 0


@pytest.mark.usefixtures("recordings")
def test_a_full_context_is_reported() -> None:
    graphed, cache = GraphedDecoder(Decoder(SPEC, _weights())), BlockCache(SPEC, 10)
    graphed(TOKENS[:10], cache)
    with pytest.raises(ContextOverflow):
        graphed(TOKENS[10:11], cache)
