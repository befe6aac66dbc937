"""GPTQ: the order of errors on inputs that it has not seen, and inputs that are hard to factorize."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from layers import output_error, random_layer
from torch import Tensor

from quant import gptq, rtn, search
from quant.observe import Moments, Observer
from quant.spec import QuantSpec

FOUR = [QuantSpec(4, size, symmetric) for size in (32, 64, 128) for symmetric in (False, True)]
EIGHT = [QuantSpec(8, size) for size in (0, 32, 64, 128)]


def errors(weight: Tensor, seen: Tensor, unseen: Tensor, spec: QuantSpec) -> tuple[float, float, float]:
    """Of rounding, of the weighted search and of GPTQ."""
    hessian = seen.T @ seen
    results = (
        rtn.quantize(weight, spec),
        search.quantize(weight, spec, hessian.diagonal()),
        gptq.quantize(weight, spec, gptq.factorize(hessian, spec.group_size)),
    )
    rounded, searched, compensated = (output_error(result, weight, unseen) for result in results)
    return rounded, searched, compensated


@pytest.mark.parametrize("spec", FOUR, ids=str)
def test_gptq_is_better_than_the_search_and_the_search_than_rounding(spec: QuantSpec) -> None:
    weight, inputs = random_layer(tokens=4096)
    rounded, searched, compensated = errors(weight, inputs[:3072], inputs[3072:], spec)
    assert compensated < 0.8 * searched < 0.8 * rounded


def test_the_factor_is_that_of_the_paper() -> None:
    _, inputs = random_layer()
    hessian = inputs.T @ inputs / len(inputs)
    factor = gptq.factorize(hessian, 32, damping=0.01)
    damped = hessian + 0.01 * hessian.diagonal().diag() + 0.001 * hessian.diagonal().mean() * torch.eye(256)
    inverse = torch.linalg.inv(damped.double())[factor.order][:, factor.order]
    theirs = torch.linalg.cholesky(inverse, upper=True).float()
    torch.testing.assert_close(factor.upper, theirs, rtol=1e-3, atol=1e-3)
    each = gptq.factorize(hessian, 1, damping=0.01)
    torch.testing.assert_close(
        gptq.pivots(hessian, damping=0.01)[each.order], each.upper.diagonal() ** -2, rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("spec", EIGHT, ids=str)
def test_gptq_is_better_with_eight_bits_too(spec: QuantSpec) -> None:
    weight, inputs = random_layer(tokens=4096)
    rounded, _, compensated = errors(weight, inputs[:3072], inputs[3072:], spec)
    assert compensated < 0.8 * rounded


def test_the_order_holds_on_layers_of_a_real_model(smollm2_gguf: Path) -> None:
    from localchat.model.sources import open_source
    from localchat.paths import assets_dir
    from localchat.quantizing.layerwise import Layerwise
    from localchat.text.chat_text import load_chat_text

    source = open_source(smollm2_gguf)
    layers = Layerwise(source, 512)
    text = (assets_dir() / "calibration/english.txt").read_text("utf-8")
    ids = torch.tensor(load_chat_text(smollm2_gguf).tokenizer.encode(text)[: 8 * 512])
    with torch.no_grad():
        states = layers.embed(ids.split(512))
        states = [layers.run(layers.layer(0, layers.weights(0)), state) for state in states]
        for name in ("query", "attention_output", "gate"):
            layer = layers.layer(1, layers.weights(1))
            inputs: list[Tensor] = []
            layer.get_submodule(name).register_forward_pre_hook(lambda _m, given, into=inputs: into.append(given[0]))
            for state in states:
                layers.run(layer, state)
            # The file's own blocks of 32 are left: a gain on every column, as a norm before it may have.
            columns = inputs[0].shape[1]
            gain = torch.logspace(-0.15, 0.15, columns)[
                torch.randperm(columns, generator=torch.Generator().manual_seed(0))
            ]
            weight = (layers.weights(1)[name] / gain)[:192]
            seen, unseen = torch.cat(inputs[:7]) * gain, torch.cat(inputs[7:]) * gain
            rounded, searched, compensated = errors(weight, seen, unseen, QuantSpec(4))
            assert compensated < searched < rounded, name
            assert compensated < 0.7 * rounded, name


def test_groups_keep_their_place_whatever_the_order_of_columns() -> None:
    weight, inputs = random_layer()
    weight = weight + torch.arange(8).repeat_interleave(32)  # every group around a number of its own
    tensor = gptq.quantize(weight, QuantSpec(4), gptq.factorize(inputs.T @ inputs, 32))
    assert (tensor.dequantize() - weight).abs().max() < 0.5


@pytest.mark.parametrize("tokens", [0, 1, 40])
@pytest.mark.parametrize("spec", [QuantSpec(4), QuantSpec(8, 0)], ids=str)
def test_few_or_no_inputs_are_enough_to_go_on(tokens: int, spec: QuantSpec) -> None:
    weight, inputs = random_layer()
    seen = inputs[:tokens]
    tensor = gptq.quantize(weight, spec, gptq.factorize(seen.T @ seen, spec.group_size))
    rounded = rtn.quantize(weight, spec)
    assert output_error(tensor, weight, torch.eye(256)) < 3 * output_error(rounded, weight, torch.eye(256))


def test_a_column_that_is_always_zero_does_no_harm() -> None:
    weight, inputs = random_layer()
    inputs[:, 17] = 0
    rounded, _, compensated = errors(weight, inputs[:1024], inputs[1024:], QuantSpec(4))
    assert compensated < rounded


def test_what_an_observer_saw_is_what_gptq_needs() -> None:
    _, inputs = random_layer()
    layer = torch.nn.Linear(256, 96, bias=False)
    with Observer({"layer": layer}) as observer:
        layer(inputs)
    moments: Moments = observer.moments["layer"]
    seen = gptq.factorize(moments.hessian, 32)
    known = gptq.factorize(inputs.T @ inputs / len(inputs), 32)
    assert torch.equal(seen.order, known.order)
    torch.testing.assert_close(seen.upper, known.upper, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e9])
def test_a_weight_that_cannot_be_held_is_refused(bad: float) -> None:
    weight, inputs = random_layer()
    weight[40, 7] = bad
    with pytest.raises(ValueError, match="finite"):
        gptq.quantize(weight, QuantSpec(4), gptq.factorize(inputs.T @ inputs, 32))


def test_a_hessian_that_is_none_is_refused() -> None:
    for wrong in (torch.zeros(3, 4), torch.full((32, 32), torch.nan)):
        with pytest.raises(ValueError, match="square"):
            gptq.factorize(wrong, 32)
    with pytest.raises(ValueError, match="columns"):
        gptq.quantize(torch.zeros(16, 64), QuantSpec(4), gptq.factorize(torch.eye(32), 32))
