"""What the catalogue says of the hub's models, against their architectures' numbers.

`catalogue_configs.json` has for each the config.json that its authors publish (scaling factors of phi-4-mini left out),
and the parameters that its files hold, which may store a tied output a second time.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from localchat.hub.catalogue import HubSource, catalogue, find
from localchat.hub.importer import target_spec
from localchat.model.configuration import spec_from_huggingface
from localchat.model.families import parameter_count, tensor_shapes
from localchat.model.memory import USUAL_CONTEXT, Footprint

CONFIGS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "catalogue_configs.json").read_text())
OF_HUB = [entry.name for entry in catalogue() if isinstance(entry.source, HubSource)]


def test_every_model_of_the_hub_is_checked() -> None:
    assert set(OF_HUB) == set(CONFIGS)


@pytest.mark.parametrize("name", OF_HUB)
def test_an_entry_says_what_its_architecture_says(name: str) -> None:
    entry, published = find(name), CONFIGS[name]
    spec = spec_from_huggingface(published["config"])
    assert entry.parameters == parameter_count(spec)
    assert entry.context_length == spec.context_length
    assert entry.source.download_bytes == pytest.approx(2 * published["stored_parameters"], rel=0.03)  # in bfloat16
    layout = {}
    size = 0.0
    for ours, shape in tensor_shapes(spec).items():
        target = target_spec(ours, entry.bits)
        quantized = len(shape) == 2 and target.accepts(shape[1])
        size += math.prod(shape) * (target.bits_per_weight / 8 if quantized else 4)
        layout |= {ours: target.to_metadata()} if quantized else {}
    assert entry.installed_bytes == pytest.approx(size, rel=0.01)
    plan = Footprint.of_folder(spec, layout, int(size), entry.parameters).plan(USUAL_CONTEXT)
    assert entry.memory_bytes == pytest.approx(plan.total, rel=0.02)


def test_there_is_a_choice_for_every_machine_and_bilingual_models_come_first() -> None:
    entries = catalogue()
    bilingual = [{"zh", "en"} <= set(entry.languages) for entry in entries]
    assert bilingual == sorted(bilingual, reverse=True)
    for machine, least in ((4e9, 1e9), (8e9, 4e9), (16e9, 12e9)):
        assert any(
            entry.memory_bytes < 0.7 * machine and entry.parameters > least
            for entry, both in zip(entries, bilingual, strict=True)
            if both
        )
    sizes = [entry.parameters for entry in entries]
    assert min(sizes) < 0.2e9
    assert max(sizes) > 14e9
