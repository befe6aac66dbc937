"""`localchat quantize SOURCE`: make a small model of one in full precision, with care, and measure what it cost."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from localchat.commands.progress import ProgressLine, say
from localchat.translation import _


def register(app: typer.Typer) -> None:
    @app.command()
    def quantize(
        source: Annotated[Path, typer.Argument(help="A Hugging Face checkpoint folder, or a GGUF file.")],
        bits: Annotated[int, typer.Option(help="4 or 8, of the layers.")] = 4,
        group_size: Annotated[
            int, typer.Option(help="Weights that share a scale, 32, 64 or 128; `best` chooses its own.")
        ] = 32,
        method: Annotated[str, typer.Option(help="rtn, search, awq, gptq or best.")] = "best",
        budget: Annotated[
            float | None,
            typer.Option(help="Bits a weight over the whole model, which `best` spends where they matter most."),
        ] = None,
        name: Annotated[
            str | None, typer.Option(help="Name to install it under; by default made from the path.")
        ] = None,
        calibration: Annotated[
            Path | None, typer.Option(help="A text in UTF-8 that is like what the model will read.")
        ] = None,
        passport: Annotated[bool, typer.Option(help="Measure the result against the source.")] = True,
    ) -> None:
        """Quantize a model with care: slower than `import`, and closer to the source."""
        from localchat.quantizing.options import METHODS, QuantizeOptions

        if method not in METHODS:
            raise typer.BadParameter(
                _("--method is {method}, but must be one of {names}.").format(method=method, names=", ".join(METHODS))
            )
        options = QuantizeOptions(bits, group_size, method, budget)
        with ProgressLine() as line:
            line.show(_("Opening"), None)
            from localchat.model.device import configure_threads
            from localchat.quantizing.quantizer import quantize_model

            configure_threads()
            installed = quantize_model(
                source, name, options=options, calibration_file=calibration, on_progress=_Shown(line).show
            )
            if passport:
                from localchat.evaluation.passport import measure_passport
                from localchat.weights.model_folder import add_to_quantization

                measured = measure_passport(source, installed.folder, on_progress=_Shown(line).show, check=lambda: None)
                add_to_quantization(installed.folder, {"passport": measured})
        if not installed.has_own_template:
            print(_("localchat: The model brings no chat template, so a plain one is used."), file=sys.stderr)
        if passport:
            say(_("`localchat models show {name}` says what quantizing it cost.").format(name=installed.name))
        print(installed.name)


class _Shown:
    """Work on the progress line, with the time that is left by what was done since this began."""

    def __init__(self, line: ProgressLine) -> None:
        self._line = line
        self._began: tuple[float, float] | None = None  # when, and the share that was done

    def show(self, what: str, share: float) -> None:
        now = time.monotonic()
        if self._began is None:
            self._began = now, share
        began, first = self._began
        detail = ""
        if share - first > 0.02:
            minutes, seconds = divmod(round((now - began) * (1 - share) / (share - first)), 60)
            detail = _("{time} left").format(time=f"{minutes}:{seconds:02d}")
        self._line.show(what, share, detail)
