"""The flag `--cache`: how keys and values of what is read are held."""

from __future__ import annotations

from typing import Annotated

import typer

from localchat.messages import CacheChoice

CacheFlag = Annotated[
    CacheChoice,
    typer.Option("--cache", help="Hold keys and values in full, in int8 or in int4; auto lets the memory decide."),
]
"""Where nothing is said, the commands that measure take "auto", and those that answer the setting."""
