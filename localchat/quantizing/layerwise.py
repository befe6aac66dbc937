"""Running text through a model one layer at a time, with one layer's weights in memory and no cache of keys and values.

All chunks go through a layer before the next one is made, so that every weight of the source is read once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from localchat.errors import UnsupportedModel
from localchat.model.attention import AttentionRule, sliding_mask, written_out
from localchat.model.decoder import Decoder, DecoderLayer, Weight
from localchat.model.families import tensor_shapes
from localchat.model.rope import Rope
from localchat.model.sources import WeightSource
from localchat.translation import _

_CPU = torch.device("cpu")


class WithinChunk:
    """In the place of a cache: attention over the positions of the chunk itself, through which gradients flow back."""

    length = 0

    def __init__(self, context_length: int) -> None:
        self.context_length = context_length

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, rule: AttentionRule) -> Tensor:  # noqa: ARG002
        """As `localchat.model.attention.CacheLike`."""
        count = queries.shape[1]
        mask = None
        if not rule.is_fused or (rule.window is not None and rule.window < count):
            mask = sliding_mask(0, 0, count, rule.window, torch.float32, _CPU)
        if not rule.is_fused:
            return written_out(queries, keys, values, mask, rule)
        out = F.scaled_dot_product_attention(
            queries[None],
            keys[None],
            values[None],
            attn_mask=mask,
            is_causal=mask is None,
            scale=rule.scale,
            enable_gqa=True,
        )
        return out[0]

    def state(self, layer: int) -> None:
        """Every chunk begins anew."""

    def put_state(self, layer: int, state: tuple[Tensor, ...]) -> None:
        """Nothing is kept."""

    def advance(self, count: int) -> None:
        """Nothing is kept."""


class Layerwise:
    """The layers of a source, made when they are asked for.

    Args:
        chunk_tokens: of every chunk.
    """

    def __init__(self, source: WeightSource, chunk_tokens: int) -> None:
        self.source = source
        self.spec = source.spec
        self._cache = WithinChunk(chunk_tokens)
        self._angles = Rope(source.spec, _CPU).at(0, chunk_tokens, chunk_tokens)

    def outer(self, weights: Mapping[str, Weight] | None = None) -> Decoder:
        """The decoder with zeros for the layers' weights, which take no memory: for its `embed` and `logits`.

        Args:
            weights: instead of those of the source outside the layers.
        """
        known = weights or {}
        zeros = {name: torch.zeros(1).expand(shape) for name, shape in tensor_shapes(self.spec).items()}
        return Decoder(
            self.spec,
            {
                name: known[name] if name in known else zero if is_of_layer(name) else self.source.float32(name)
                for name, zero in zeros.items()
            },
        )

    def weights(self, index: int) -> dict[str, Tensor]:
        """The source's weights of a layer, by their names within it; float32, often mapped, so not to be written to."""
        prefix = f"layers.{index}."
        return {
            name.removeprefix(prefix): self.source.float32(name) for name in self.source.plan if name.startswith(prefix)
        }

    def layer(self, index: int, weights: Mapping[str, Weight]) -> DecoderLayer:
        """A layer of `weights` by their names within it."""
        return DecoderLayer(self.spec, {f"layers.{index}.{name}": each for name, each in weights.items()}, index, _CPU)

    def run(self, layer: DecoderLayer, state: Tensor) -> Tensor:
        """One chunk's hidden states [T, hidden_size] through a layer."""
        result: Tensor = layer(state, self._angles, self._cache)
        return result

    @torch.no_grad()
    def embed(self, chunks: Sequence[Tensor], weights: Mapping[str, Weight] | None = None) -> list[Tensor]:
        """What the first layer reads of every chunk.

        Raises:
            UnsupportedModel: later layers read more than what the one before them gives.
        """
        if not self.spec.layers_follow_each_other:
            raise UnsupportedModel(
                _(
                    "Models of the family {family} cannot be quantized on text, as their layers read more than the "
                    "one before them gives."
                ).format(family=self.spec.family),
                _("Use --method rtn, which looks at the weights alone."),
            )
        outer = self.outer(weights)
        return [outer.embed(chunk, 0) for chunk in chunks]


def is_of_layer(name: str) -> bool:
    """Whether our tensor of that name belongs to a layer."""
    return name.startswith("layers.")
