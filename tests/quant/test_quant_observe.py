"""Observers: sums over everything that came, no further than needed, and gone afterwards."""

from __future__ import annotations

import torch
from torch import nn

from quant.observe import Observer, OutputGradients


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 4))


def test_moments_are_sums_over_all_inputs() -> None:
    model, inputs = two_layers(), torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(1))
    with Observer({"first": model[0]}) as observer:
        for batch in inputs:
            model(batch)
    rows = inputs.view(15, 8)
    moments = observer.moments["first"]
    assert moments.tokens == 15
    torch.testing.assert_close(moments.hessian, rows.T @ rows / 15)
    torch.testing.assert_close(moments.mean_magnitude, rows.abs().mean(0))


def test_a_run_goes_no_further_than_the_last_module_that_is_watched() -> None:
    model, called = two_layers(), []
    model[1].register_forward_hook(lambda *_: called.append("second"))
    with Observer({"first": model[0]}) as observer:
        observer.run(lambda: model(torch.ones(2, 8)))
        assert observer.moments["first"].tokens == 2
        assert not called
        model(torch.ones(2, 8))
        assert called


def test_nothing_is_watched_after_the_end() -> None:
    model = two_layers()
    with Observer({"first": model[0]}) as observer:
        pass
    model(torch.ones(2, 8))
    assert observer.moments["first"].tokens == 0
    assert not observer.moments["first"].hessian.any()


def test_gradients_of_outputs_are_squared_and_summed_by_row() -> None:
    model, inputs = two_layers(), torch.randn(5, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
    with OutputGradients({"first": model[0], "second": model[1]}) as flow:
        for _ in range(2):
            model(inputs).square().sum().backward()
    output = model(inputs).detach()
    torch.testing.assert_close(flow.squares["second"], 2 * (2 * output).square().sum(0))
    assert flow.squares["first"].shape == (6,)
