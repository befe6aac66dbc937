"""`localchat models [list | show NAME | measure NAME | remove NAME]`: what is installed and what can be fetched."""

from __future__ import annotations

import json as json_library
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from localchat.commands.model_facts import memory_needed, model_facts, print_facts
from localchat.commands.progress import ProgressLine
from localchat.errors import BadWeights, ModelNotFound
from localchat.hub.catalogue import catalogue
from localchat.hub.installed import InstalledModel, installed_models, remove_model
from localchat.model.memory import USUAL_CONTEXT, free_memory
from localchat.translation import _
from localchat.ui.figures import size


def register(app: typer.Typer) -> None:
    models = typer.Typer(help="List, show, measure or remove models.", invoke_without_command=True)
    app.add_typer(models, name="models")

    @models.callback()
    def default(context: typer.Context) -> None:
        """List, show, measure or remove models."""
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
        """Show what is known of an installed model: what it is, the memory it needs, what quantization cost."""
        facts = model_facts(_find(name))
        if json:
            print(json_library.dumps(facts, ensure_ascii=False))
        else:
            print_facts(facts, _console())

    @models.command()
    def measure(
        name: Annotated[str, typer.Argument(help="An installed model.")],
        source: Annotated[
            Path, typer.Option(help="What it was made of: a GGUF file, or a Hugging Face checkpoint folder.")
        ],
        json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Measure what quantization cost, speed and memory, and keep the figures beside the model."""
        model = _find(name)
        if model.damage:
            raise BadWeights(
                _("The model {name} is damaged: {damage}.").format(name=name, damage=model.damage),
                _("Fetch or import it again."),
            )
        with ProgressLine() as line:
            line.show(_("Opening"), None)
            from localchat.evaluation.passport import measure_passport
            from localchat.weights.model_folder import add_to_quantization

            passport = measure_passport(source.expanduser(), model.path, on_progress=line.show)
            add_to_quantization(model.path, {"passport": passport})
        if json:
            print(json_library.dumps(passport, ensure_ascii=False))
        else:
            print_facts(model_facts(model), _console())

    @models.command()
    def remove(name: Annotated[str, typer.Argument(help="An installed model.")]) -> None:
        """Remove an installed model from this machine."""
        remove_model(name)


def _console() -> Console:
    return Console(soft_wrap=True, markup=False, highlight=False)


def _list() -> None:
    installed = installed_models()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in (_("name"), _("precision")):
        table.add_column(column, no_wrap=True)
    for column in (_("size"), _("memory"), _("context")):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for model in installed:
        if model.damage:
            table.add_row(model.name, "", "", "", "", _("damaged: {reason}").format(reason=model.damage))
        else:
            context = f"{model.context_length:,}"
            table.add_row(
                model.name, model.precision, size(model.file_bytes), memory_needed(model.path), context, model.title
            )
    names = {model.name for model in installed}
    for entry in catalogue():
        if entry.name not in names:
            table.add_row(
                entry.name,
                f"int{entry.bits}",
                size(entry.source.download_bytes),
                size(entry.memory_bytes),
                f"{entry.context_length:,}",
                _("not here yet"),
            )
    console = _console()
    console.print(table)
    sentence = _("Memory is for {tokens} tokens of context; {free} are free now.")
    console.print(f"\n{sentence.format(tokens=f'{USUAL_CONTEXT:,}', free=size(free_memory()))}", style="dim")


def _find(name: str) -> InstalledModel:
    for model in installed_models():
        if model.name == name:
            return model
    raise ModelNotFound(
        _("There is no model {name} here.").format(name=repr(name)), _("`localchat models` lists what is installed.")
    )
