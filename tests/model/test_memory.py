"""The memory plan: what it says of a model, and what it makes of a machine that has too little."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from localchat.engine.facade import Engine
from localchat.errors import BadWeights, NotEnoughMemory
from localchat.model.cache_room import CacheKind
from localchat.model.load import load_model
from localchat.model.memory import Footprint, Room, fitting_room, free_memory, read_footprint
from localchat.model.spec import ModelSpec

SPEC = ModelSpec(
    family="llama",
    vocab_size=32_000,
    hidden_size=2048,
    intermediate_size=8192,
    num_layers=16,
    num_heads=32,
    num_key_value_heads=8,
    head_dim=64,
    rms_norm_eps=1e-5,
    rope_theta=10_000.0,
    context_length=131_072,
    tied_embeddings=True,
)
INT4 = Footprint(SPEC, 1_000_000_000, bits_per_weight=5.5, number_bytes=2)
INT8 = replace(INT4, weight_bytes=1_600_000_000, bits_per_weight=8.5)
MB = 1_000_000

PEAK = """
import json, sys
from localchat.openmp import wait_briefly
wait_briefly()
from localchat.engine.facade import Engine
from localchat.engine.generate import prefill_steps
from localchat.evaluation.speed import peak_rss_bytes
engine = Engine()
engine.load(sys.argv[1], int(sys.argv[2]))
model = engine._model
words = list(range(100, 3000))
ids = (words * 8)[: int(sys.argv[2]) - model.cache.length]
for _ in prefill_steps(model.loaded.decoder, model.cache, ids):
    pass
print(peak_rss_bytes())
"""


def test_the_estimate_is_within_a_tenth_of_what_the_engine_takes(smollm2_folder: Path) -> None:
    context = 1024
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(smollm2_folder), str(context)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    measured = int(done.stdout)
    assert read_footprint(smollm2_folder).plan(context).total == pytest.approx(measured, rel=0.1)


def test_the_cache_grows_with_the_context_and_the_weights_do_not() -> None:
    short, long = INT4.plan(4096), INT4.plan(8192)
    assert long.cache == pytest.approx(2 * short.cache, abs=1)
    assert long.cache >= 2 * 16 * 8 * 64 * 2 * 8192  # keys and values of every layer, float16
    assert long.weights == short.weights == 1_000_000_000
    assert long.total == long.model + long.program


def test_of_an_untied_embedding_only_some_rows_count() -> None:
    specs = {"embedding": {"bits": 8, "group_size": 32, "symmetric": True}}
    tied = Footprint.of_folder(SPEC, specs, 1_000_000_000, 1_200_000_000)
    untied = Footprint.of_folder(replace(SPEC, tied_embeddings=False), specs, 1_000_000_000, 1_200_000_000)
    assert tied.weight_bytes == 1_000_000_000
    assert 0.3 < (tied.weight_bytes - untied.weight_bytes) / (32_000 * 2048 * 8.5 / 8) < 0.9


def test_without_a_wish_the_context_is_as_long_as_fits() -> None:
    assert fitting_room("m", INT4, None, "auto", 64_000 * MB) == Room(131_072, "full")
    free = INT4.plan(16_384).model + MB
    assert fitting_room("m", INT4, None, "full", free) == Room(16_384, "full")


def test_where_it_does_not_fit_in_full_the_cache_is_quantized_for_a_longer_context() -> None:
    free = INT4.plan(32_768, "int8").model + MB
    assert fitting_room("m", INT4, None, "auto", free) == Room(32_768, "int8")
    assert fitting_room("m", INT4, 16_384, "auto", free) == Room(16_384, "full")
    assert fitting_room("m", INT4, 20_000, "auto", free) == Room(20_000, "int8")
    assert fitting_room("m", INT4, 16_384, "int4", free) == Room(16_384, "int4")
    odd = replace(INT4, spec=replace(SPEC, head_dim=72))
    assert fitting_room("m", odd, None, "auto", odd.plan(16_384).model + MB) == Room(16_384, "full")


@pytest.mark.parametrize(("kind", "share"), [("int8", 0.53), ("int4", 0.34)])
def test_a_quantized_cache_takes_its_share_of_the_memory(kind: CacheKind, share: float) -> None:
    assert 0.9 * share < INT4.plan(8192, kind).cache / INT4.plan(8192).cache <= share


def test_a_context_that_was_asked_for_is_kept_or_refused_with_the_one_that_fits() -> None:
    free = INT4.plan(32_768, "int8").model + MB
    assert fitting_room("m", INT4, 10_000, "auto", free) == Room(10_000, "full")
    assert fitting_room("m", INT4, 1 << 20, "auto", 64_000 * MB) == Room(131_072, "full")
    with pytest.raises(NotEnoughMemory) as refusal:
        fitting_room("m", INT4, 40_000, "auto", free)
    assert "40,000 tokens" in refusal.value.message
    assert refusal.value.hint == "A context of 32,768 tokens fits: set context_length to 32768."


def test_a_model_too_large_in_any_context_is_refused_with_the_bits_that_fit() -> None:
    with pytest.raises(NotEnoughMemory, match=r"In int4 it needs about .* --bits 4"):
        fitting_room("m", INT8, None, "auto", 1_450 * MB)
    with pytest.raises(NotEnoughMemory, match="choose a smaller model"):
        fitting_room("m", INT4, None, "auto", 900 * MB)
    with pytest.raises(NotEnoughMemory, match="choose a smaller model"):
        fitting_room("m", INT8, None, "auto", 300 * MB)


def test_a_load_that_does_not_fit_is_refused_before_weights_are_opened(
    smollm2_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localchat.model.load.free_memory", lambda: 100 * MB)
    monkeypatch.setattr("localchat.model.load.from_stored", lambda *_: pytest.fail("weights were opened"))
    with pytest.raises(NotEnoughMemory, match=r"smollm2-135m needs \d+ MB of memory; 100 MB are free"):
        Engine().load(smollm2_folder)


def test_a_gguf_that_would_not_fit_in_float32_is_refused_with_the_bits_that_fit(
    smollm2_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localchat.model.load.free_memory", lambda: 400 * MB)
    with pytest.raises(NotEnoughMemory, match=r"--bits 8"):
        load_model(smollm2_gguf)


def test_the_engine_allows_the_context_that_there_is_memory_for(
    smollm2_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = read_footprint(smollm2_folder).plan(8192, "int8").model + MB
    monkeypatch.setattr("localchat.model.load.free_memory", lambda: free)
    loaded = load_model(smollm2_folder)
    assert (loaded.context_length, loaded.cache_kind) == (8192, "int8")
    loaded = load_model(smollm2_folder, cache="full")
    assert (loaded.context_length, loaded.cache_kind) == (4096, "full")


def test_without_native_kernels_weights_are_there_twice(smollm2_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    footprint = read_footprint(smollm2_folder)
    free = footprint.plan(2048).model + footprint.weight_bytes // 2
    monkeypatch.setattr("localchat.model.load.free_memory", lambda: free)
    assert load_model(smollm2_folder, context_length=2048).context_length == 2048
    monkeypatch.setattr("quant.kernels.native.refusal", lambda: "there was no compiler")
    with pytest.raises(NotEnoughMemory):
        load_model(smollm2_folder, context_length=2048)


def test_a_description_that_says_nothing_of_the_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(SPEC.to_dict()))
    (tmp_path / "quantization.json").write_text("[]")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(BadWeights):
        read_footprint(tmp_path)


def test_free_memory_is_what_the_machine_has_at_most() -> None:
    assert 0 < free_memory() <= psutil.virtual_memory().total


def test_a_control_group_with_a_limit_leaves_what_is_below_it_without_its_cached_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in {
        "memory.max": "1000000\n",
        "memory.current": "900000\n",
        "memory.stat": "anon 500000\nfile 400000\ninactive_file 300000\nactive_file 50000\n",
    }.items():
        (tmp_path / name).write_text(content)
    unlimited = tmp_path / "unlimited"
    unlimited.mkdir()
    (unlimited / "memory.max").write_text("max\n")
    monkeypatch.setattr("localchat.model.memory._control_groups", lambda: [tmp_path, unlimited])
    assert free_memory() == 450_000
