"""`localchat compare A B --text FILE`: two models side by side."""

from __future__ import annotations

import json as json_library
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from localchat.commands.cache_flag import CacheFlag
from localchat.commands.model_choice import chosen_model
from localchat.commands.progress import ProgressLine
from localchat.commands.text_files import read_text
from localchat.translation import _
from localchat.ui.figures import size


def register(app: typer.Typer) -> None:
    @app.command()
    def compare(
        a: Annotated[str, typer.Argument(help="An installed model, or a path. The other is compared with this one.")],
        b: Annotated[str, typer.Argument(help="Another.")],
        text: Annotated[Path, typer.Option(help="A text in UTF-8 that both read.")],
        context: Annotated[int, typer.Option(help="Tokens of a chunk.")] = 512,
        chunks: Annotated[int | None, typer.Option(min=1, help="Score only the first N chunks.")] = None,
        cache: CacheFlag = "auto",
        json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Compare two models: perplexity, speed, size, and how far B's predictions are from A's. --cache is of B."""
        content = read_text(text)
        paths = chosen_model(a), chosen_model(b)
        with ProgressLine() as line:
            line.show(_("Loading"), None)
            from localchat.evaluation.comparison import compare_models

            result = compare_models(*paths, content, context=context, chunks=chunks, cache=cache, on_progress=line.show)
        result = {"text": str(text), **result}
        if json:
            print(json_library.dumps(result, ensure_ascii=False))
        else:
            _print(result)


def _print(result: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    one, other = result["models"]
    for name in (one["model"], other["model"]):
        table.add_column(name, justify="right")
    rows: dict[str, Callable[[Mapping[str, Any]], str]] = {
        _("perplexity"): lambda model: f"{model['perplexity']:.3f}",
        _("bits a byte of text"): lambda model: f"{model['bits_per_byte']:.3f}",
        _("bits a weight"): lambda model: f"{model['bits_per_weight']:.2f}",
        _("size"): lambda model: size(model["file_bytes"]),
        _("peak memory"): lambda model: size(model["peak_rss_bytes"]),
        _("reading, tokens/s"): lambda model: f"{model['prefill_tokens_per_second']:,.0f}",
        _("writing, tokens/s"): lambda model: f"{model['decode_tokens_per_second']:,.1f}",
    }
    for label, shown in rows.items():
        table.add_row(label, shown(one), shown(other))
    console = Console(soft_wrap=True, markup=False, highlight=False)
    console.print(table)
    if (divergence := result["divergence"]) is None:
        console.print(
            "\n"
            + _("They cut this text into different tokens: their perplexities are not alike, so compare bits a byte.")
        )
        return
    console.print(
        "\n"
        + _(
            "{other} against {one}, {tokens} tokens: mean KL {mean}, 99th percentile {percentile}, "
            "same top token {same}"
        ).format(
            other=other["model"],
            one=one["model"],
            tokens=f"{divergence['tokens']:,}",
            mean=f"{divergence['mean_kl']:.5f}",
            percentile=f"{divergence['p99_kl']:.4f}",
            same=f"{divergence['same_top']:.1%}",
        )
    )
