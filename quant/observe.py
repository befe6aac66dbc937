"""Watching what layers read while calibration text runs through them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn


class Moments:
    """Sums over the inputs X [tokens, K] of one layer.

    Attributes:
        tokens: seen so far.
        second: X'X, float32 [K, K]; magnitude: the sum of |x| by column, float32 [K]. Empty before the first input.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self.second = torch.zeros(0, 0)
        self.magnitude = torch.zeros(0)

    def add(self, inputs: Tensor) -> None:
        """Count `inputs`, float [..., K]."""
        rows = inputs.detach().flatten(0, -2).float()
        if self.tokens == 0:
            self.second = torch.zeros(rows.shape[1], rows.shape[1])
            self.magnitude = torch.zeros(rows.shape[1])
        self.tokens += rows.shape[0]
        self.second.addmm_(rows.T, rows)
        self.magnitude += rows.abs().sum(0)

    @property
    def hessian(self) -> Tensor:
        """X'X a token: what GPTQ calls the Hessian, but for a factor."""
        return self.second / max(1, self.tokens)

    @property
    def mean_magnitude(self) -> Tensor:
        """Mean |x| by column: what AWQ goes by."""
        return self.magnitude / max(1, self.tokens)


class _Hooked(ABC):
    """Hooks on some modules, by name, during `with`."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self._modules = modules
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    @abstractmethod
    def _attach(self, name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        """Register the hook of one module."""

    def __enter__(self) -> Self:
        self._hooks += [self._attach(name, module) for name, module in self._modules.items()]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()


class Observer(_Hooked):
    """Collects the moments of the inputs of some modules, from `with` to the end of it.

    Args:
        modules: to watch, by any names. One that is never called keeps `tokens` 0.

    Attributes:
        moments: by the same names.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self.moments = {name: Moments() for name in modules}
        super().__init__(modules)
        self._seen: set[str] = set()
        self._stops = False

    def _attach(self, name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_pre_hook(self._hook(name))

    def run(self, forward: Callable[[], object]) -> None:
        """Call `forward`, but not beyond the point where every module has seen its input."""
        self._seen.clear()
        self._stops = True
        try:
            with suppress(_AllSeen):
                forward()
        finally:
            self._stops = False

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self.moments[name].add(inputs[0])
            self._seen.add(name)
            if self._stops and len(self._seen) == len(self.moments):
                raise _AllSeen

        return hook


class OutputGradients(_Hooked):
    """Collects the sums of squared gradients of the outputs of some modules, during `with`, by row.

    Attributes:
        squares: float32 [N] of each module; missing while nothing flowed back.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self.squares: dict[str, Tensor] = {}
        super().__init__(modules)

    def _attach(self, name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_hook(self._hook(name))

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def add(gradient: Tensor) -> None:
            square = gradient.flatten(0, -2).square().sum(0)
            self.squares[name] = self.squares[name] + square if name in self.squares else square

        def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if output.requires_grad:
                output.register_hook(add)  # type: ignore[no-untyped-call]

        return hook


class _AllSeen(Exception):
    """Nothing is wrong: what comes after is not needed."""
