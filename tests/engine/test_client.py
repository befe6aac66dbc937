"""The engine in its own process, over real pipes, with the real small model."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from localchat.engine.client import EngineClient
from localchat.errors import BadWeights, ContextOverflow, EngineDied, LocalChatError, Stopped
from localchat.events import Event, Loaded, LoadProgress, PromptFitted, PromptProgress, ReplyDone, TextDelta
from localchat.messages import Message, ReplyOptions

GREEDY = ReplyOptions({"temperature": 0.0}, max_tokens=24)
LONG = ReplyOptions({"temperature": 0.0}, max_tokens=4000)
STORY = [Message("user", "Tell me a very long story about a lighthouse.")]


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[EngineClient]:
    client = EngineClient(log=tmp_path / "engine.log")
    yield client
    await client.close()


async def collect(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def done(events: list[Event]) -> ReplyDone:
    assert isinstance(events[-1], ReplyDone)
    return events[-1]


async def test_a_question_is_answered_by_the_real_model(engine: EngineClient, smollm2_folder: Path) -> None:
    loading = await collect(engine.load(str(smollm2_folder)))
    assert any(isinstance(event, LoadProgress) for event in loading)
    assert isinstance(loading[-1], Loaded)
    assert loading[-1].model.name == "smollm2-135m"
    assert loading[-1].model.precision == "int4"
    events = await collect(
        engine.reply([Message("user", "What is the capital of France? Answer with one word.")], GREEDY)
    )
    assert "Paris" in text_of(events)
    assert isinstance(events[0], PromptFitted)
    assert done(events).prompt_tokens == events[0].prompt_tokens
    assert done(events).finish_reason in ("stop", "length")


async def test_the_next_turn_reads_only_what_is_new(engine: EngineClient, smollm2_folder: Path) -> None:
    await collect(engine.load(str(smollm2_folder)))
    first = [Message("user", "What is the capital of France? Answer with one word.")]
    answer = text_of(await collect(engine.reply(first, GREEDY)))
    second = [*first, Message("assistant", answer), Message("user", "And of Italy?")]
    cached = await collect(engine.reply(second, GREEDY))
    assert done(cached).cached_tokens > 30
    await collect(engine.reply([Message("user", "Something else entirely.")], GREEDY))
    fresh = await collect(engine.reply(second, GREEDY))
    assert done(fresh).cached_tokens < done(cached).cached_tokens
    assert text_of(fresh) == text_of(cached)


async def test_the_same_seed_gives_the_same_reply(engine: EngineClient, smollm2_folder: Path) -> None:
    await collect(engine.load(str(smollm2_folder)))
    options = ReplyOptions({"temperature": 1.2, "seed": 7, "top_k": 0}, max_tokens=20)
    question = [Message("user", "Name a colour and a town.")]
    first = text_of(await collect(engine.reply(question, options)))
    assert text_of(await collect(engine.reply(question, options))) == first
    other = ReplyOptions({**options.sampling, "seed": 8}, max_tokens=20)
    assert text_of(await collect(engine.reply(question, other))) != first


async def test_a_stop_while_writing_keeps_what_was_written(engine: EngineClient, smollm2_folder: Path) -> None:
    await collect(engine.load(str(smollm2_folder)))
    events: list[Event] = []
    async for event in engine.reply(STORY, LONG):
        events.append(event)
        if isinstance(event, TextDelta) and event.tokens == 5:
            engine.stop()
    assert done(events).finish_reason == "stopped"
    assert 5 <= done(events).completion_tokens < 100
    assert text_of(events)
    assert "Paris" in text_of(
        await collect(engine.reply([Message("user", "What is the capital of France? Answer with one word.")], GREEDY))
    )


async def test_a_stop_while_reading_the_prompt_ends_the_reply(engine: EngineClient, smollm2_folder: Path) -> None:
    await collect(engine.load(str(smollm2_folder)))
    events: list[Event] = []
    try:
        async for event in engine.reply([Message("user", "word " * 6000)], LONG):
            events.append(event)
            if isinstance(event, PromptProgress):
                engine.stop()
    except Stopped:  # the engine was too slow to answer and was ended instead, which is allowed
        pass
    else:
        assert done(events).finish_reason == "stopped"
    assert not text_of(events)
    assert "Paris" in text_of(
        await collect(engine.reply([Message("user", "What is the capital of France? Answer with one word.")], GREEDY))
    )


async def test_a_stop_while_loading_ends_the_load_and_the_next_load_works(
    engine: EngineClient, smollm2_folder: Path
) -> None:
    with pytest.raises(Stopped):
        async for _ in engine.load(str(smollm2_folder)):
            engine.stop()
    assert isinstance((await collect(engine.load(str(smollm2_folder))))[-1], Loaded)


async def test_a_killed_engine_is_reported_and_comes_back_with_its_model(
    engine: EngineClient, smollm2_folder: Path
) -> None:
    await collect(engine.load(str(smollm2_folder)))
    events: list[Event] = []
    with pytest.raises(EngineDied):
        async for event in engine.reply(STORY, LONG):
            events.append(event)
            if isinstance(event, TextDelta) and event.tokens == 5:
                assert engine.pid is not None
                os.kill(engine.pid, signal.SIGKILL)
    assert text_of(events)
    again = await collect(
        engine.reply([Message("user", "What is the capital of France? Answer with one word.")], GREEDY)
    )
    assert any(isinstance(event, Loaded) for event in again)
    assert "Paris" in text_of(again)


async def test_stop_strings_end_a_reply_before_them(engine: EngineClient, smollm2_folder: Path) -> None:
    await collect(engine.load(str(smollm2_folder)))
    question = [Message("user", "Count from one to ten in digits, separated by commas.")]
    whole = text_of(await collect(engine.reply(question, GREEDY)))
    stop = whole[6:10]
    options = ReplyOptions(GREEDY.sampling, GREEDY.max_tokens, stop=(stop,))
    events = await collect(engine.reply(question, options))
    assert text_of(events) == whole[: whole.index(stop)]
    assert done(events).finish_reason == "stop"


async def test_old_messages_are_left_out_and_the_caller_is_told(engine: EngineClient, smollm2_folder: Path) -> None:
    await collect(engine.load(str(smollm2_folder), context_length=256))
    turns = [m for i in range(12) for m in (Message("user", f"Number {i}, please. " * 4), Message("assistant", "Yes."))]
    events = await collect(
        engine.reply([*turns, Message("user", "What is the capital of France? Answer with one word.")], GREEDY)
    )
    assert isinstance(events[0], PromptFitted)
    assert events[0].left_out > 0
    assert events[0].prompt_tokens < 256
    assert done(events).left_out == events[0].left_out


async def test_a_question_longer_than_the_context_is_refused_and_the_engine_lives(
    engine: EngineClient, smollm2_folder: Path
) -> None:
    await collect(engine.load(str(smollm2_folder), context_length=256))
    before = engine.pid
    with pytest.raises(ContextOverflow, match="tokens"):
        await collect(engine.reply([Message("user", "word " * 600)], GREEDY))
    assert "Paris" in text_of(
        await collect(engine.reply([Message("user", "What is the capital of France? Answer with one word.")], GREEDY))
    )
    assert engine.pid == before


async def test_a_reply_ends_where_the_context_ends(engine: EngineClient, smollm2_folder: Path) -> None:
    await collect(engine.load(str(smollm2_folder), context_length=128))
    events = await collect(engine.reply(STORY, LONG))
    assert done(events).finish_reason == "context"
    assert done(events).context_used <= 128


async def test_a_model_that_is_not_there_is_one_sentence(engine: EngineClient, tmp_path: Path) -> None:
    with pytest.raises(LocalChatError, match=r"\."):
        await collect(engine.load(str(tmp_path / "nothing.gguf")))
    (tmp_path / "bad.gguf").write_bytes(b"GGUF\3\0\0\0" + b"\xff" * 100)
    with pytest.raises(BadWeights):
        await collect(engine.load(str(tmp_path / "bad.gguf")))


async def test_measuring_counts_what_the_reply_will_read(engine: EngineClient, smollm2_folder: Path) -> None:
    await collect(engine.load(str(smollm2_folder)))
    messages = [Message("user", "你好，世界")]
    size = await engine.measure(messages)
    assert size.tokens == done(await collect(engine.reply(messages, GREEDY))).prompt_tokens


async def test_closing_ends_the_process(tmp_path: Path) -> None:
    client = EngineClient(log=tmp_path / "engine.log")
    client.spawn()
    pid = client.pid
    assert pid is not None
    await client.close()
    assert client.pid is None
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_the_engine_ends_when_the_program_that_started_it_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from localchat.engine.client import EngineClient\n"
        f"c = EngineClient(log=Path({str(tmp_path / 'log')!r})); c.spawn(); print(c.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    engine = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    _, alive = await asyncio.to_thread(psutil.wait_procs, [engine], 30)
    assert not alive


def test_the_engine_cannot_open_a_socket() -> None:
    program = (
        "import sys; from localchat.engine.process import refuse_sockets; sys.addaudithook(refuse_sockets)\n"
        "import socket\n"
        "try: socket.create_connection(('127.0.0.1', 9))\n"
        "except PermissionError: print('refused')"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "refused"
