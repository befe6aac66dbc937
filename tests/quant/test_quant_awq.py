"""Activation-aware scales: what they save, and when there are none."""

from __future__ import annotations

import torch
from layers import output_error, random_layer
from torch import Tensor

from quant import awq, rtn
from quant.spec import QuantSpec

SPEC = QuantSpec(4, 128)


def test_scaled_columns_lose_less_on_inputs_that_were_not_seen() -> None:
    weight, inputs = random_layer(tokens=4096)
    seen, unseen = inputs[:3072], inputs[3072:]
    scales = awq.find_scales([weight], [SPEC], seen.T @ seen, seen.abs().mean(0))
    held = rtn.quantize(weight * scales, SPEC).dequantize() / scales
    assert output_error(held, weight, unseen) < 0.7 * output_error(rtn.quantize(weight, SPEC), weight, unseen)


def test_large_inputs_get_large_scales() -> None:
    weight, inputs = random_layer()
    magnitude = inputs.abs().mean(0)
    scales = awq.find_scales([weight], [SPEC], inputs.T @ inputs, magnitude)
    assert scales[magnitude.argmax()] == scales.max() > 1 > scales.min()


def test_inputs_that_are_all_alike_get_no_scales() -> None:
    weight, _ = random_layer()
    assert torch.equal(awq.find_scales([weight], [SPEC], torch.eye(256), torch.ones(256)), torch.ones(256))


def test_tied_columns_share_a_scale() -> None:
    weight, inputs = random_layer()

    def tie(scales: Tensor) -> Tensor:
        return scales.view(2, 128).mean(0).repeat(2)

    scales = awq.find_scales([weight], [SPEC], inputs.T @ inputs, inputs.abs().mean(0), tie)
    assert torch.equal(scales[:128], scales[128:])
    assert not torch.equal(scales, torch.ones(256))
