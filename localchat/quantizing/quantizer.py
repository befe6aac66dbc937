"""From a model in full precision to a quantized one that stays close to it, layer by layer.

Calibration text runs through the layers as they become quantized: what a matrix reads is observed behind the quantized
matrices before it, then it is quantized for that input. Memory holds one layer in float32, the moments of its inputs
and the hidden states of the text; everything else stays in the mapped source, or on the disk once it is finished.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from localchat.errors import BadWeights
from localchat.hub.model_names import check_model_name
from localchat.hub.new_model import Imported, fingerprint, name_from, write_model
from localchat.model.decoder import Check, Weight
from localchat.model.sources import WeightSource, open_source
from localchat.paths import ensure, models_dir
from localchat.quantizing.calibration import CHUNK_TOKENS, Calibration, load_calibration
from localchat.quantizing.folding import fold_scales
from localchat.quantizing.formats import chosen_formats, plain_formats
from localchat.quantizing.layerwise import Layerwise
from localchat.quantizing.matrix_quantizer import quantize_site
from localchat.quantizing.options import METHOD_WORDS, QuantizeOptions
from localchat.quantizing.sensitivity import measure_options
from localchat.quantizing.sites import Site, stages
from localchat.quantizing.work import QuantizeWork
from localchat.text.chat_text import load_chat_text
from localchat.translation import _
from quant.observe import Moments, Observer
from quant.spec import QuantSpec

_SENSITIVITY_CHUNKS = 4
_FOLDING_CHUNKS = 8
_SENSITIVITY_SHARE = 0.25  # of the time, about
_LAYERS_SHARE = 0.95  # done when the layers are; what is left is the vocabulary and writing

Progress = Callable[[str, float], None]
"""Called with what is being done, and the share of all work that is done, 0 to 1."""


@torch.no_grad()
def quantize_model(
    path: Path,
    name: str | None = None,
    *,
    options: QuantizeOptions,
    calibration_file: Path | None = None,
    on_progress: Progress = lambda _what, _share: None,
    check: Check = lambda: None,
) -> Imported:
    """Quantize the model at `path` and install it.

    Work that was interrupted goes on with the layer where it was, if source, options and text are the same.

    Args:
        path: a GGUF file, or the folder of a Hugging Face checkpoint.
        name: to install it under; by default made from the file's name.
        check: called often; raises to abandon.

    Raises:
        ModelNotFound, BadWeights, UnsupportedModel: the source cannot be used.
        InvalidSetting: the budget is too small for any format, or the calibration text is of no use.
        StorageFailed: the disk is full, or the folder of models cannot be written.
    """
    path = path.expanduser()
    name = check_model_name(name or name_from(path))
    source, text = open_source(path), load_chat_text(path)
    calibration = load_calibration(text.tokenizer, calibration_file) if options.needs_text else None
    about = {"options": options.to_dict(), "calibration": calibration.about() if calibration else None}
    work = QuantizeWork(ensure(models_dir()) / f".{name}.quantizing", {**about, "source": _identity(path)})
    weights = _Job(source, options, calibration, work, on_progress, check).run()
    on_progress(_("Writing"), 0.99)
    folder = write_model(path, name, source, weights, text, method=METHOD_WORDS[options.method], about=about)
    work.remove()
    return Imported(name, folder, not text.template.is_fallback)


def _identity(path: Path) -> dict[str, Any]:
    """What tells this source from another that may stand at its place later."""
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    stats = [(file.name, file.stat()) for file in files]
    return {**fingerprint(path), "files": [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]}


class _Job:
    """The work of one call of `quantize_model`."""

    def __init__(
        self,
        source: WeightSource,
        options: QuantizeOptions,
        calibration: Calibration | None,
        work: QuantizeWork,
        on_progress: Progress,
        check: Check,
    ) -> None:
        self.source, self.options, self.work = source, options, work
        self.chunks = calibration.chunks if calibration else []
        self.layers = Layerwise(source, CHUNK_TOKENS)
        self.on_progress, self.check = on_progress, check

    def run(self) -> dict[str, Weight]:
        """All weights of the model, in the order of the source's plan."""
        specs, start = self._specs()
        writer = "embedding" if self.source.spec.tied_embeddings else "output"
        looked_up = [name for name in self.source.plan if name.endswith("embedding")]
        if self.chunks and writer in looked_up:  # it waits for what it will read; there most of its damage is done
            looked_up.remove(writer)
        result = {name: self._outside(name, specs) for name in looked_up}
        states = self.layers.embed(self.chunks, result) if self.chunks else []
        count = self.source.spec.num_layers
        for index in range(count):
            self.on_progress(
                _("Layer {index} of {count}").format(index=index + 1, count=count),
                start + (_LAYERS_SHARE - start) * index / count,
            )
            layer = self._layer(index, specs, states)
            result |= {f"layers.{index}.{name}": weight for name, weight in layer.items()}
        self.on_progress(_("Vocabulary"), _LAYERS_SHARE)
        seen = self._before_output(states, result)
        for name in self.source.plan:
            if name not in result:
                result[name] = self._outside(name, specs, seen if name == writer else None)
        return {name: result[name] for name in self.source.plan}

    def _specs(self) -> tuple[dict[str, QuantSpec], float]:
        """What each matrix of the source is to become, and the share of the work that finding out took."""
        plain = plain_formats(self.source, self.options)
        if not self.options.allocates:
            return plain, 0.0
        known = self.work.formats()
        if known is not None and set(known) == set(plain):
            return known, 0.0
        options = measure_options(
            self.layers,
            self.chunks[:_SENSITIVITY_CHUNKS],
            on_progress=lambda share: self.on_progress(_("Measuring sensitivity"), _SENSITIVITY_SHARE * share),
            check=self.check,
        )
        chosen = chosen_formats(self.source, plain, options, self.options.budget)
        self.work.keep_formats(chosen)
        return chosen, _SENSITIVITY_SHARE

    def _outside(self, name: str, specs: Mapping[str, QuantSpec], seen: Moments | None = None) -> Weight:
        """A tensor outside the layers; a matrix with the moments of what it reads, if it is not only looked up."""
        self.check()
        weight = self.source.float32(name)
        if name not in specs:
            return weight.contiguous()
        return quantize_site({name: weight}, specs, seen, self.options.method)[name]

    def _before_output(self, states: Sequence[Tensor], known: Mapping[str, Weight]) -> Moments | None:
        """What the output matrix reads."""
        if not states:
            return None
        outer = self.layers.outer(known)
        with Observer({"output": outer.output}) as observer:
            for state in states:
                self.check()
                observer.run(partial(outer.logits, state))
        return observer.moments["output"]

    def _layer(self, index: int, specs: Mapping[str, QuantSpec], states: list[Tensor]) -> Mapping[str, Weight]:
        """Quantize a layer, unless that was done before, and take `states` through it."""
        done = self.work.layer(index)
        if done is None:
            prefix = f"layers.{index}."
            own = {name.removeprefix(prefix): spec for name, spec in specs.items() if name.startswith(prefix)}
            self.work.keep_layer(index, self._quantized(index, own, states))
            done = self.work.layer(index)
            assert done is not None
        if states:
            layer = self.layers.layer(index, done)
            for number, state in enumerate(states):
                self.check()
                states[number] = self.layers.run(layer, state)
        return done

    def _quantized(self, index: int, specs: Mapping[str, QuantSpec], states: Sequence[Tensor]) -> dict[str, Weight]:
        """A layer's weights by their names within it, each stage quantized for what the ones before it give."""
        dense = self.layers.weights(index)
        order = stages(dense)
        if self.options.method == "awq":
            every = [site for stage in order for site in stage]
            moments = self._observe(index, dense, every, states[:_FOLDING_CHUNKS])
            try:
                dense = fold_scales(dense, specs, moments, self.source.spec)
            except ValueError as error:
                raise BadWeights(
                    _("Layer {index} cannot be quantized: {error}.").format(index=index, error=error),
                    _("Get the model again."),
                ) from error
        result: dict[str, Weight] = {**dense}
        for stage in order:
            moments = self._observe(index, result, stage, states)
            for site in stage:
                self.check()
                matrices = {name: dense[name] for name in site.names}
                result |= quantize_site(matrices, specs, moments.get(site.names[0]), self.options.method)
        seen = {name for stage in order for site in stage for name in site.names}
        for name in (name for name in specs if name not in seen):  # part of a module that does more than multiply by it
            result |= quantize_site({name: dense[name]}, specs, None, self.options.method)
        return result

    def _observe(
        self, index: int, weights: Mapping[str, Weight], sites: Sequence[Site], states: Sequence[Tensor]
    ) -> dict[str, Moments]:
        """The moments of the inputs of `sites`, by their first names; none without text."""
        if not states:
            return {}
        layer = self.layers.layer(index, weights)
        with Observer({site.names[0]: site.module(layer) for site in sites}) as observer:
            for state in states:
                self.check()
                observer.run(partial(self.layers.run, layer, state))
        return observer.moments
