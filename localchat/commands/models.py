"""`localchat models [list | show NAME | remove NAME]`: what is installed and what can be fetched."""

from __future__ import annotations

import json as json_library
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from localchat.errors import ModelNotFound
from localchat.hub.catalogue import catalogue
from localchat.hub.installed import InstalledModel, installed_models, remove_model
from localchat.paths import models_dir


def register(app: typer.Typer) -> None:
    models = typer.Typer(help="List, show or remove models.", invoke_without_command=True)
    app.add_typer(models, name="models")

    @models.callback()
    def default(context: typer.Context) -> None:
        """List, show or remove models."""
        if context.invoked_subcommand is None:
            _list()

    @models.command("list")
    def list_() -> None:
        """List installed models, and those that `localchat pull` can fetch."""
        _list()

    @models.command()
    def show(
        name: Annotated[str, typer.Argument(help="An installed model.")],
        json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Show what is known of an installed model."""
        _show(_find(name), json)

    @models.command()
    def remove(name: Annotated[str, typer.Argument(help="An installed model.")]) -> None:
        """Remove an installed model from this machine."""
        remove_model(name)


def _list() -> None:
    installed = installed_models()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, justify in (("name", "left"), ("precision", "left"), ("size", "right"), ("context", "right")):
        table.add_column(column, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("")
    for model in installed:
        size = f"{model.file_bytes / 1e6:,.0f} MB"
        if model.damage:
            table.add_row(model.name, "", "", "", f"damaged: {model.damage}")
        else:
            table.add_row(model.name, model.precision, size, f"{model.context_length:,}", model.title)
    names = {model.name for model in installed}
    for entry in catalogue():
        if entry.name not in names:
            size = f"{entry.source.download_bytes / 1e6:,.0f} MB"
            hint = f"not here yet: localchat pull {entry.name}"
            table.add_row(entry.name, f"int{entry.bits}", size, f"{entry.context_length:,}", hint)
    Console(soft_wrap=True, markup=False, highlight=False).print(table)


def _find(name: str) -> InstalledModel:
    for model in installed_models():
        if model.name == name:
            return model
    raise ModelNotFound(f"There is no model {name!r} here.", "`localchat models` lists what is installed.")


def _show(model: InstalledModel, as_json: bool) -> None:
    quantization = json_library.loads((model.path / "quantization.json").read_text("utf-8")) if not model.damage else {}
    facts = {
        "name": model.name,
        "title": model.title,
        "damage": model.damage,
        "licence": model.licence,
        "architecture": model.architecture,
        "parameters": model.parameters,
        "precision": model.precision,
        "method": quantization.get("method", ""),
        "bits_per_weight": round(model.bits_per_weight, 3),
        "file_bytes": model.file_bytes,
        "context_length": model.context_length,
        "sampling": dict(model.sampling),
        "source": quantization.get("source", {}),
        "created_at": model.created_at,
        "path": str(models_dir() / model.name),
    }
    if as_json:
        print(json_library.dumps(facts, ensure_ascii=False))
        return
    for key, value in facts.items():
        if value not in ("", {}):
            shown = f"{value:,}" if isinstance(value, int) else value
            if isinstance(value, dict):
                shown = ", ".join(f"{k} {v}" for k, v in value.items())
            print(f"{key.replace('_', ' '):16} {shown}")
