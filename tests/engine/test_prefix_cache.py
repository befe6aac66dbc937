"""Only what is new of a conversation is read, after other chats, other branches and a restart; no reply changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from localchat.engine import prefix_cache
from localchat.engine.cache_blocks import BLOCK
from localchat.engine.facade import Engine
from localchat.engine.open_model import OpenModel
from localchat.engine.prefix_cache import BlockMemory, Budgets
from localchat.engine.prefix_store_files import bytes_taken, delete_snapshots_of, snapshots_dir
from localchat.errors import Stopped
from localchat.events import ReplyDone
from localchat.messages import CacheChoice, Message, ReplyOptions
from localchat.recording import ReplyRecorded, TokenChosen
from localchat.weights.model_folder import QUANTIZATION_NAME, WEIGHTS_DIGEST

NO_DISK = Budgets(disk=0)
NOTHING = Budgets(memory=0, disk=0)


def chat(topic: str, turns: int = 3) -> list[Message]:
    """About 300 tokens."""
    messages = []
    for turn in range(turns):
        story = f"In part {turn} of the story of the {topic} the people of the village came together. " * 4
        messages += [Message("user", story), Message("assistant", f"That was part {turn} of the {topic}.")]
    return [*messages, Message("user", "What happens next?")]


def open_engine(folder: Path, budgets: Budgets, kind: CacheChoice = "full") -> Engine:
    engine = Engine()
    engine.load(folder, 2048, cache_kind=kind, budgets=budgets)
    return engine


class Answer:
    """A short greedy reply, how sure the model was of its tokens, and how many of the prompt's were known."""

    def __init__(self, engine: Engine, messages: Sequence[Message], of: str = "") -> None:
        options = ReplyOptions({"temperature": 0.0}, max_tokens=4, probabilities=2, speculate=False, chat=of)
        self.sure = []
        for event in engine.reply(messages, options):
            if isinstance(event, TokenChosen):
                self.sure.append((event.chosen, event.alternatives))
            elif isinstance(event, ReplyRecorded):
                self.tokens = list(event.recording["reply"])
            elif isinstance(event, ReplyDone):
                self.prompt, self.cached = event.prompt_tokens, event.cached_tokens
        engine.flush()

    @property
    def new(self) -> int:
        return self.prompt - self.cached

    def same_as(self, other: Answer) -> bool:
        return self.tokens == other.tokens and self.sure == other.sure


@pytest.fixture(scope="module")
def fresh(smollm2_folder: Path) -> dict[str, Answer]:
    """Of each chat, the answer of an engine that knew nothing."""
    return {topic: Answer(open_engine(smollm2_folder, NOTHING), chat(topic)) for topic in ("mill", "ferry", "ring")}


@pytest.mark.usefixtures("home")
def test_after_a_restart_less_than_a_block_is_read_again(smollm2_folder: Path, fresh: dict[str, Answer]) -> None:
    before = Answer(open_engine(smollm2_folder, Budgets()), chat("mill"), of="a")
    assert before.same_as(fresh["mill"])
    again = Answer(open_engine(smollm2_folder, Budgets()), chat("mill"), of="a")
    assert again.cached >= 2 * BLOCK
    assert again.new <= BLOCK
    assert again.same_as(fresh["mill"])


@pytest.mark.usefixtures("home")
def test_quantized_keys_and_values_outlive_a_restart_too(smollm2_folder: Path) -> None:
    before = Answer(open_engine(smollm2_folder, Budgets(), "int8"), chat("mill"), of="a")
    again = Answer(open_engine(smollm2_folder, Budgets(), "int8"), chat("mill"), of="a")
    assert again.new <= BLOCK
    assert again.same_as(before)
    assert Answer(open_engine(smollm2_folder, Budgets()), chat("mill"), of="a").cached < BLOCK  # of another kind


@pytest.mark.usefixtures("home")
def test_changing_between_three_chats_reads_only_what_is_new(smollm2_folder: Path, fresh: dict[str, Answer]) -> None:
    engine = open_engine(smollm2_folder, NO_DISK)
    for topic in fresh:
        assert Answer(engine, chat(topic)).cached < BLOCK
    for topic, wanted in fresh.items():
        answer = Answer(engine, chat(topic))
        assert answer.new <= BLOCK
        assert answer.same_as(wanted)
    assert not snapshots_dir().exists()


@pytest.mark.usefixtures("home")
def test_a_question_far_up_is_edited_and_the_old_branch_taken_up_again(smollm2_folder: Path) -> None:
    engine, plain = open_engine(smollm2_folder, NO_DISK), open_engine(smollm2_folder, NOTHING)
    old = chat("mill")
    edited = [*old[:4], Message("user", "Tell me of something else. " * 16), *old[5:]]
    Answer(engine, old)
    branch = Answer(engine, edited)
    assert branch.cached >= BLOCK  # up to the edit
    assert branch.same_as(Answer(plain, edited))
    back = Answer(engine, old)
    assert back.new <= BLOCK
    assert back.same_as(Answer(plain, old))


@pytest.mark.usefixtures("home")
def test_without_a_budget_nothing_but_the_text_at_hand_is_known(smollm2_folder: Path) -> None:
    engine = open_engine(smollm2_folder, NOTHING)
    for topic in ("mill", "ferry"):
        Answer(engine, chat(topic), of="a")
    assert Answer(engine, chat("mill"), of="a").cached < BLOCK
    assert bytes_taken() == 0


@pytest.mark.usefixtures("home")
def test_a_reply_of_no_saved_chat_leaves_nothing_on_disk(smollm2_folder: Path, home: Path) -> None:
    engine = open_engine(smollm2_folder, Budgets())
    Answer(engine, chat("mill"))
    assert not list(home.rglob("*"))
    Answer(engine, chat("ferry"), of="a")
    Answer(engine, chat("mill"))
    assert Answer(open_engine(smollm2_folder, Budgets()), chat("mill")).cached < BLOCK
    assert Answer(open_engine(smollm2_folder, Budgets()), chat("ferry")).new <= BLOCK


@pytest.mark.usefixtures("home")
def test_after_its_snapshots_were_deleted_a_chat_is_read_again(smollm2_folder: Path, fresh: dict[str, Answer]) -> None:
    engine = open_engine(smollm2_folder, Budgets())
    Answer(engine, chat("mill"), of="a")
    delete_snapshots_of("a")
    engine.forget("a")
    assert bytes_taken() == 0
    again = Answer(open_engine(smollm2_folder, Budgets()), chat("mill"), of="a")
    assert again.cached < BLOCK
    assert again.same_as(fresh["mill"])


@pytest.mark.usefixtures("home")
def test_other_weights_and_other_versions_know_nothing_of_it(
    smollm2_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Answer(open_engine(smollm2_folder, Budgets()), chat("mill"), of="a")
    shutil.copytree(smollm2_folder, tmp_path / "same")
    assert Answer(open_engine(tmp_path / "same", Budgets()), chat("mill")).new <= BLOCK
    about = json.loads((tmp_path / "same" / QUANTIZATION_NAME).read_text())
    about[WEIGHTS_DIGEST] = "0" * 64
    (tmp_path / "same" / QUANTIZATION_NAME).write_text(json.dumps(about))
    assert Answer(open_engine(tmp_path / "same", Budgets()), chat("mill")).cached < BLOCK
    for name in ("cache", "localchat"):
        real = prefix_cache.circumstances
        with monkeypatch.context() as patch:
            patch.setattr(prefix_cache, "circumstances", lambda model, name=name, real=real: {**real(model), name: "x"})
            assert Answer(open_engine(smollm2_folder, Budgets()), chat("mill")).cached < BLOCK, name


@pytest.mark.usefixtures("home")
def test_a_damaged_snapshot_is_read_again_and_written_anew(smollm2_folder: Path, fresh: dict[str, Answer]) -> None:
    Answer(open_engine(smollm2_folder, Budgets()), chat("mill"), of="a")
    largest = max(snapshots_dir().rglob("*.safetensors"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[-100] ^= 1
    largest.write_bytes(content)
    for most_new in (10_000, BLOCK):
        answer = Answer(open_engine(smollm2_folder, Budgets()), chat("mill"), of="a")
        assert answer.same_as(fresh["mill"])
        assert answer.new <= most_new


@pytest.mark.usefixtures("home")
def test_a_stop_while_blocks_come_from_disk_leaves_a_whole_beginning(
    smollm2_folder: Path, fresh: dict[str, Answer]
) -> None:
    Answer(open_engine(smollm2_folder, Budgets()), chat("mill"), of="a")
    engine = open_engine(smollm2_folder, Budgets())
    model: OpenModel = engine._ready()
    calls = 0

    def stop_at_the_second() -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise Stopped

    with pytest.raises(Stopped):
        model.rewind([*model.text.encode(chat("mill")), 5], stop_at_the_second)
    assert model.cache.length == len(model.token_ids) < BLOCK
    assert Answer(engine, chat("mill")).same_as(fresh["mill"])


@pytest.mark.usefixtures("home")
def test_layers_that_see_a_window_resume_as_well(smollm2_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(smollm2_folder, tmp_path / "sliding")
    config = json.loads((tmp_path / "sliding/config.json").read_text())
    config |= {"layer_kinds": (["sliding"] * 4 + ["full"]) * 6, "sliding_window": 64}
    (tmp_path / "sliding/config.json").write_text(json.dumps(config))
    first = Answer(open_engine(tmp_path / "sliding", Budgets()), chat("mill"), of="a")
    again = Answer(open_engine(tmp_path / "sliding", Budgets()), chat("mill"), of="a")
    assert again.new <= BLOCK
    assert again.same_as(first)


def test_memory_lets_the_longest_unused_go() -> None:
    import torch

    block = (torch.zeros(100),)  # 400 bytes
    memory = BlockMemory()
    memory.limit = 1000
    for key in ("a", "b"):
        memory.put(key, block)
    assert memory.get("a") is block
    memory.put("c", block)
    assert [key in memory for key in "abc"] == [True, False, True]
    assert memory.nbytes == 800
    memory.put("a", block)
    memory.discard("c")
    assert memory.nbytes == 400
