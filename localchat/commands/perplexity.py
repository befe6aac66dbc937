"""`localchat perplexity MODEL FILE`: how well a model predicts a text, as llama.cpp's tool measures it."""

from __future__ import annotations

import json as json_library
from pathlib import Path
from typing import Annotated

import typer

from localchat.commands.cache_flag import CacheFlag
from localchat.commands.model_choice import chosen_model
from localchat.commands.progress import ProgressLine
from localchat.commands.text_files import read_text
from localchat.translation import _


def register(app: typer.Typer) -> None:
    @app.command()
    def perplexity(
        model: Annotated[str, typer.Argument(help="An installed model, or a path; a GGUF runs at its own precision.")],
        file: Annotated[Path, typer.Argument(help="A text in UTF-8.")],
        context: Annotated[int, typer.Option(help="Tokens of a chunk.")] = 512,
        chunks: Annotated[int | None, typer.Option(min=1, help="Score only the first N chunks.")] = None,
        cache: CacheFlag = "auto",
        json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Measure the perplexity of a text: each chunk from an empty cache, scored on its second half."""
        text = read_text(file)
        path = chosen_model(model)
        with ProgressLine() as line:
            line.show(_("Loading"), None)
            from localchat.evaluation.perplexity import Perplexity, begin_id, measure_perplexity
            from localchat.model.device import configure_threads
            from localchat.model.load import load_model
            from localchat.text.chat_text import load_chat_text

            configure_threads()
            loaded = load_model(path, cache=cache)
            tokenizer = load_chat_text(path).tokenizer
            ids = tokenizer.encode(text)
            total = min(chunks or len(ids), max(1, len(ids) // context))

            def show(so_far: Perplexity) -> None:
                line.show(
                    _("Scoring"),
                    so_far.chunks / total,
                    _("perplexity {perplexity}").format(perplexity=f"{so_far.perplexity:.3f}"),
                )

            result = measure_perplexity(
                loaded,
                ids,
                context=context,
                chunks=chunks,
                bos_id=begin_id(tokenizer),
                on_chunk=show,
            )
        if json:
            print(
                json_library.dumps(
                    {
                        "model": loaded.name,
                        "file": str(file),
                        "cache": loaded.cache_kind,
                        "tokens_scored": result.tokens_scored,
                        "chunks": result.chunks,
                        "nll": result.nll,
                        "perplexity": result.perplexity,
                    },
                    ensure_ascii=False,
                )
            )
        else:
            over = _("{perplexity} over {tokens} tokens in {chunks} chunks")
            print(over.format(perplexity=f"{result.perplexity:.4f}", tokens=result.tokens_scored, chunks=result.chunks))
