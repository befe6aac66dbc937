"""From a name of the hub to an installed model: by the command, by the app's job, by the catalogue."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hub_server import REPOSITORY, HubServer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig

from localchat.errors import BadWeights, DownloadFailed, InvalidSetting, UnsupportedModel
from localchat.hub.catalogue import HubSource, default_entry
from localchat.hub.hub_name import HubName
from localchat.hub.installation import pull_entry, pull_from_hub
from localchat.hub.installed import installed_models
from localchat.hub.pull_events import PullDone, PullProgress
from localchat.hub.pull_job import PullJob
from localchat.model.sources import open_source
from localchat.paths import models_dir
from localchat.text.byte_letters import LETTER_OF_BYTE

NAME = HubName(REPOSITORY)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A tiny llama with everything that a repository has, 600 kB of weights."""
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=258,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        eos_token_id=1,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    vocabulary = {"<s>": 0, "</s>": 1, **{letter: 2 + i for i, letter in enumerate(LETTER_OF_BYTE.values())}}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(False), decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>"}')
    (folder / "pytorch_model.bin").write_bytes(b"pickle" * 2000)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def tiny(hub: HubServer, checkpoint: dict[str, bytes]) -> HubServer:
    hub.revisions["main"] = dict(checkpoint)
    return hub


def environment(hub: HubServer, home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "HF_ENDPOINT": hub.root,
        "HF_HOME": str(home / "theirs"),
        "LOCALCHAT_HOME": str(home),
        "OMP_NUM_THREADS": "1",
    }


def left_over(home: Path) -> list[str]:
    return [path.name for path in (home / "cache/downloads").rglob("*") if path.is_file() and path.name != "lock"]


def test_the_command_installs_a_model_from_the_endpoint_of_the_environment(
    tiny: HubServer, home: Path, tmp_path: Path, checkpoint: dict[str, bytes]
) -> None:
    size = len(checkpoint["model.safetensors"])
    tiny.cuts = [10**9] * 4 + [size // 3, size // 3]
    command = [sys.executable, "-m", "localchat", "pull", str(NAME), "--json"]
    done = subprocess.run(command, env=environment(tiny, home), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == {"event": "done", "name": "tiny-model"}
    (model,) = installed_models()
    assert (model.name, model.licence, model.architecture) == ("tiny-model", "apache-2.0", "llama")
    assert model.origin == f"{NAME}@{'a' * 40}"
    assert tiny.ranges_of("model.safetensors")[0] == 0
    assert all(begun > 0 for begun in tiny.ranges_of("model.safetensors")[1:])
    assert left_over(home) == []
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes(checkpoint[name])
    assert open_source(tmp_path).spec == open_source_of(models_dir() / "tiny-model")


def open_source_of(folder: Path) -> object:
    from localchat.model.stored import stored_spec
    from localchat.weights.model_folder import open_model_folder

    return stored_spec(open_model_folder(folder))


async def test_the_apps_job_is_stopped_and_goes_on(
    tiny: HubServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(tiny, home).items():
        monkeypatch.setenv(name, value)
    tiny.pause_s = 0.05
    job = PullJob(str(NAME))
    async for event in job.events():
        if isinstance(event, PullProgress) and event.stage == "download" and event.done > 100_000:
            await job.cancel()
    assert not installed_models()
    tiny.pause_s = 0.0
    events = [event async for event in PullJob(str(NAME)).events()]
    assert events[-1] == PullDone("tiny-model")
    begun = tiny.ranges_of("model.safetensors")
    assert len(begun) == 2
    assert begun[1] > 100_000


def test_what_is_installed_is_not_fetched_again(tiny: HubServer) -> None:
    assert pull_from_hub(NAME) == "tiny-model"
    assert tiny.asked
    tiny.asked.clear()
    assert pull_from_hub(NAME) == "tiny-model"
    assert tiny.asked == []


def test_another_model_of_the_same_name_is_never_replaced(tiny: HubServer, checkpoint: dict[str, bytes]) -> None:
    pull_from_hub(NAME)
    tiny.revisions["v1"] = {**checkpoint, "generation_config.json": b'{"temperature": 0.5}'}
    with pytest.raises(InvalidSetting, match=r"installed as tiny-model already.*--name"):
        pull_from_hub(replace(NAME, revision="v1"))
    assert pull_from_hub(replace(NAME, revision="v1"), "second") == "second"
    assert {model.name: dict(model.sampling) for model in installed_models()} == {
        "second": {"temperature": 0.5},
        "tiny-model": {},
    }


@pytest.mark.parametrize("path", ["model.safetensors", "config.json", "tokenizer.json"])
def test_nothing_of_a_lying_download_is_installed(tiny: HubServer, path: str) -> None:
    tiny.corrupt = {path}
    with pytest.raises(DownloadFailed):
        pull_from_hub(NAME)
    assert not models_dir().exists()


def test_weights_that_are_no_weights_are_refused_and_not_installed(tiny: HubServer) -> None:
    tiny.revisions["main"]["model.safetensors"] = b"\xff" * 5000
    with pytest.raises(BadWeights):
        pull_from_hub(NAME)
    assert installed_models() == []


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"model_type": "mamba"}),
        ("config.json", {"quantization_config": {"quant_method": "fp8"}}),
        ("config.json", {"colour": "red"}),
        ("tokenizer.json", {"decoder": {"type": "Runes"}}),
    ],
)
def test_a_model_that_cannot_be_run_is_refused_before_its_weights_travel(
    tiny: HubServer, file: str, change: dict[str, object]
) -> None:
    tiny.revisions["main"][file] = json.dumps(json.loads(tiny.revisions["main"][file]) | change).encode()
    with pytest.raises(UnsupportedModel):
        pull_from_hub(NAME)
    assert tiny.ranges_of("model.safetensors") == []


def test_bits_are_as_asked(tiny: HubServer) -> None:  # noqa: ARG001
    pull_from_hub(NAME, bits=8)
    assert [model.precision for model in installed_models()] == ["int8"]


def test_an_entry_of_the_catalogue_may_come_from_the_hub(tiny: HubServer, home: Path) -> None:
    entry = replace(default_entry(), name="mine", title="My Model", bits=8, source=HubSource(NAME, 600_000))
    seen: list[PullProgress] = []
    pull_entry(entry, seen.append)
    (model,) = installed_models()
    assert (model.name, model.title, model.licence, model.precision) == ("mine", "My Model", entry.licence, "int8")
    assert {progress.stage for progress in seen} == {"resolve", "download", "quantize"}
    assert left_over(home) == []
    tiny.listings.clear()
    pull_entry(entry)
    assert tiny.listings == []
