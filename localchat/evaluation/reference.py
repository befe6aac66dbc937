"""Running source weights in float32, one layer in memory at a time, so that a model can be measured against a source
several times larger than memory.

All chunks go through the first layer, then all through the second, and so on: every weight is read once. What is held
is one layer, the output matrix (and before it the embedding), and the hidden states of all chunks, `tokens *
hidden_size` float32; where layers share keys and values, also those of every chunk, and what layers are told of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from localchat.engine.kv_cache import KVCache
from localchat.model.decoder import Check, Decoder, DecoderLayer
from localchat.model.families import tensor_shapes
from localchat.model.sources import WeightSource


class Reference:
    """Hidden states of some chunks, which become logits a few at a time.

    Args:
        chunks: token ids, all of them of one length; each is read from an empty cache.
        on_progress: called with the share of the layers that is done, 0 to 1.
        check: called between any two layers of a chunk; what it raises passes through.
    """

    @torch.inference_mode()
    def __init__(
        self,
        source: WeightSource,
        chunks: Sequence[Sequence[int]],
        *,
        on_progress: Callable[[float], None],
        check: Check,
    ) -> None:
        spec = source.spec
        self._decoder = _without_layers(source)
        tokens = [torch.tensor(chunk) for chunk in chunks]
        self._states = [self._decoder.embed(each, 0) for each in tokens]
        told: list[Tensor | None] = [None] * len(tokens)
        if self._decoder.per_layer is not None:
            told = [self._decoder.per_layer(*each) for each in zip(tokens, self._states, strict=True)]
        self._decoder.embedding, self._decoder.per_layer = nn.Identity(), None  # may be gigabytes, not read again
        # Never advanced: every chunk begins at their start, and may use the same, unless later layers come back to it.
        caches = [KVCache(spec, len(chunks[0])) for _ in (chunks if spec.shared_key_value_layers else chunks[:1])]
        angles = self._decoder.rope.at(0, len(chunks[0]), len(chunks[0]))
        for index in range(spec.num_layers):
            layer = _layer(source, index)
            for number, state in enumerate(self._states):
                check()
                self._states[number] = layer(state, angles, caches[number % len(caches)], told[number])
            on_progress((index + 1) / spec.num_layers)

    @torch.inference_mode()
    def logits(self, chunk: int, start: int, stop: int) -> Tensor:
        """After the tokens from `start` to `stop` of a chunk by its number: float32 [stop - start, vocab_size]."""
        return self._decoder.logits(self._states[chunk][start:stop])


def _without_layers(source: WeightSource) -> Decoder:
    """The decoder of `source` with zeros for the layers' weights, which take no memory."""
    weights = {name: torch.zeros(1).expand(shape) for name, shape in tensor_shapes(source.spec).items()}
    return Decoder(
        source.spec,
        {name: each if name.startswith("layers.") else source.float32(name) for name, each in weights.items()},
    )


def _layer(source: WeightSource, index: int) -> DecoderLayer:
    names = [name for name in source.plan if name.startswith(f"layers.{index}.")]
    return DecoderLayer(source.spec, {name: source.float32(name) for name in names}, index, torch.device("cpu"))
