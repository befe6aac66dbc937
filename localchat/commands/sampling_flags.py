"""A flag for every sampling option, for commands that ask a model."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from localchat.known_settings import SETTINGS
from localchat.messages import SAMPLING_LIMITS, sampling_keys


def takes_sampling(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command a flag for every sampling option; those that were given reach it as `sampling`, by their names."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        flags = {key: given.pop(key) for key in sampling_keys()}
        command(**given, sampling={key: value for key, value in flags.items() if value is not None})

    own = inspect.signature(command, eval_str=True)
    others = [parameter for name, parameter in own.parameters.items() if name != "sampling"]
    parameters = [*others, *map(_flag, sampling_keys())]
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _flag(key: str) -> inspect.Parameter:
    kind = int if SAMPLING_LIMITS[key].whole else float
    annotation = Annotated[kind | None, typer.Option(help=SETTINGS[key].comment)]  # type: ignore[valid-type]
    return inspect.Parameter(key, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=annotation)
