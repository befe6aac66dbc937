"""The flag `--cache`: how keys and values of what is read are held."""

from __future__ import annotations

from typing import Annotated

import typer

from localchat.messages import CacheChoice

_OPTION = typer.Option("--cache", help="Hold keys and values in full, in int8 or in int4; auto lets the memory decide.")

CacheFlag = Annotated[CacheChoice, _OPTION]
"""Of commands that measure, which take "auto" where nothing is said."""

CacheWish = Annotated[CacheChoice | None, _OPTION]
"""Of commands that answer, which then take the setting."""
