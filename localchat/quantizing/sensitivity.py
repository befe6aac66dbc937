"""How much it would cost to hold each matrix of a model in each format, before anything is quantized.

One pass forward and one back through the source in full precision, layer by layer, over a few chunks of text. The
gradients are those of tokens drawn from the model's own predictions, whose mean square is the curvature of the KL
divergence that quantization will cause (the Fisher information; Martens, 2014, arXiv 1412.1193, section 5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from localchat.errors import BadWeights
from localchat.model.decoder import Check, DecoderLayer
from localchat.quantizing.layerwise import Layerwise
from localchat.quantizing.sites import stages
from localchat.translation import _
from quant import gptq, rtn
from quant.allocate import EIGHT_BITS, FOUR_BITS, Option, rounding_damage
from quant.observe import Moments, Observer, OutputGradients
from quant.spec import QuantSpec
from quant.tensor import stored_bytes

_ROWS = 64  # of a matrix, on which every format is tried
_VOCABULARY_ROWS = 2048
_LOGIT_ROWS = 64  # positions of which logits are held at a time
_FORMATS = (*FOUR_BITS, *EIGHT_BITS)

Options = dict[str, list[Option]]


def measure_options(
    layers: Layerwise,
    chunks: Sequence[Tensor],
    *,
    on_progress: Callable[[float], None] = lambda _: None,
    check: Check = lambda: None,
) -> Options:
    """For every matrix of the source, what each format that can hold it costs in bytes and in nats a token."""
    spec = layers.spec
    total = 3 * spec.num_layers  # going back takes twice as long
    states = layers.embed(chunks)
    inputs: list[list[Tensor]] = []
    with torch.no_grad():
        for index in range(spec.num_layers):
            inputs.append(states)
            layer = layers.layer(index, layers.weights(index))
            states = [_run(layers, layer, state, check) for state in states]
            on_progress((index + 1) / total)
    tokens = sum(len(chunk) for chunk in chunks)
    gradients, options = _vocabulary(layers, states, tokens, check)
    for index in reversed(range(spec.num_layers)):
        weights = layers.weights(index)
        layer = layers.layer(index, weights)
        sites = [site for stage in stages(weights) for site in stage]
        readers = {site.names[0]: site.module(layer) for site in sites}
        writers = {name: layer.get_submodule(name) for site in sites for name in site.names}
        with Observer(readers) as observer, OutputGradients(writers) as flow:
            for number, state in enumerate(inputs.pop()):
                check()
                gradients[number] = _back(layers, layer, state, gradients[number])
        for site in sites:
            column = _column_importance(observer.moments[site.names[0]], weights[site.names[0]].shape[1])
            for name in site.names:
                weight = weights[name]
                row = flow.squares.get(name, torch.zeros(weight.shape[0])) / tokens
                options[f"layers.{index}.{name}"] = _options(weight, row, column, _ROWS)
        on_progress((3 * spec.num_layers - 2 * index) / total)
    _add_look_ups(options, layers, chunks, gradients, tokens)
    return options


def _run(layers: Layerwise, layer: DecoderLayer, state: Tensor, check: Check) -> Tensor:
    check()
    return layers.run(layer, state)


def _back(layers: Layerwise, layer: DecoderLayer, state: Tensor, gradient: Tensor) -> Tensor:
    """The gradient of what a layer was given, from that of what it gave."""
    with torch.enable_grad():
        given = state.detach().requires_grad_()
        (before,) = torch.autograd.grad(layers.run(layer, given), given, gradient)
    return before


def _vocabulary(layers: Layerwise, states: Sequence[Tensor], tokens: int, check: Check) -> tuple[list[Tensor], Options]:
    """Gradients of what the last layer gave, and the options of the output matrix; if tied, of its use as one."""
    outer = layers.outer()
    generator = torch.Generator().manual_seed(0)
    square = torch.zeros(layers.spec.vocab_size)
    gradients = []
    with Observer({"output": outer.output}) as observer:
        for state in states:
            parts = []
            for given in torch.split(state, _LOGIT_ROWS):
                check()
                with torch.enable_grad():
                    leaf = given.detach().requires_grad_()
                    logits = outer.logits(leaf)
                    if not torch.isfinite(logits).all():
                        raise BadWeights(
                            _("The source computes something that is no number."), _("Get the model again.")
                        )
                    chances = logits.detach().softmax(-1)
                    drawn = torch.multinomial(chances, 1, generator=generator)
                    change = chances.scatter_add(1, drawn, torch.full_like(chances[:, :1], -1.0))
                    parts.append(torch.autograd.grad(logits, leaf, change)[0])
                square += change.square().sum(0)
            gradients.append(torch.cat(parts))
    name = "embedding" if layers.spec.tied_embeddings else "output"
    weight = layers.source.float32(name)
    column = _column_importance(observer.moments["output"], weight.shape[1])
    return gradients, {name: _options(weight, square / tokens, column, _VOCABULARY_ROWS)}


def _add_look_ups(
    options: Options, layers: Layerwise, chunks: Sequence[Tensor], gradients: Sequence[Tensor], tokens: int
) -> None:
    """The damage of the embedding where it is looked up: the rows of the text's own tokens, each with its gradient."""
    ids, flow = torch.cat(list(chunks)), torch.cat(list(gradients)) * layers.spec.embedding_scale
    rows = layers.source.float32("embedding")[ids]
    importance = flow.square() / tokens
    known = {option.spec: option.damage for option in options.get("embedding", [])}
    result = []
    for spec in _accepting(rows.shape[1]):
        change = rtn.quantize(rows, spec).dequantize() - rows
        damage = 0.5 * float((change.square_() * importance).sum())
        nbytes = stored_bytes(spec, layers.spec.vocab_size, rows.shape[1])
        result.append(Option(spec, nbytes, damage + known.get(spec, 0.0)))
    options["embedding"] = result


def _column_importance(moments: Moments, columns: int) -> Tensor:
    if not moments.tokens:
        return torch.zeros(columns)  # an expert that nothing was sent to
    return gptq.pivots(moments.hessian)


def _options(weight: Tensor, row: Tensor, column: Tensor, most_rows: int) -> list[Option]:
    step = max(1, weight.shape[0] // most_rows)
    tried, importance = weight[::step], row[::step]
    importance = importance * (row.sum() / importance.sum().clamp_min(1e-30))
    return [
        Option(spec, stored_bytes(spec, *weight.shape), rounding_damage(tried, spec, importance, column))
        for spec in _accepting(weight.shape[1])
    ]


def _accepting(columns: int) -> list[QuantSpec]:
    return [spec for spec in _FORMATS if spec.accepts(columns)]
