"""Does a chat ever forget silently? `python -m tests.engine.measure_forgotten MODEL [--contexts 512 1024]`

A fact stands in the first question, others follow until it no longer fits, and then it is asked for: through the
session of the interface and the engine's own process. Told before: the line over the composer would name what goes.
Told after: the reply says how many messages it lacked, or is refused. Right: the reply holds the fact.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from localchat.engine.client import EngineClient
from localchat.history.store import HistoryStore
from localchat.hub.installed import find_model
from localchat.messages import Overflow
from localchat.ui.context import ChatContext
from localchat.ui.preferences import Preferences
from localchat.ui.session import ChatSession

FACTS = {
    "en": (
        "By the way, my sister is called Ottilie. What is a good breakfast?",
        "What is my sister called?",
        "Ottilie",
    ),
    "zh": ("顺便说一下，我的妹妹叫欧阳晓月。早餐吃什么好？", "我的妹妹叫什么名字？", "晓月"),
}
FILLERS = {
    "en": ("What colour is the sea?", "Name three trees.", "Why do cats sleep?", "How is tea made?", "What is a hill?"),
    "zh": ("大海是什么颜色？", "说出三种树。", "猫为什么爱睡觉？", "怎么泡茶？", "什么是山？"),
}


class Run:
    """One conversation under one policy."""

    def __init__(self, session: ChatSession, language: str) -> None:
        self.session = session
        self.first, self.question, self.fact = FACTS[language]
        self.fillers = FILLERS[language]

    async def until_ready(self) -> None:
        while self.session.is_answering or self.session.engine_state.phase != "ready":
            await asyncio.sleep(0.05)

    async def ask(self, text: str) -> tuple[bool, bool, str]:
        """Told before, told after, and the reply."""
        await self.until_ready()
        context: ChatContext = self.session.context
        told = False
        if not context.surely_fits(text):
            view = await context.ledger(text)
            told = view is not None and bool(view.named() or view.ledger.refusal)
        _question, reply = self.session.send(text)
        await self.until_ready()
        message = self.session.message(reply.id)
        figures = message.figures
        after = message.status == "failed" or (figures is not None and figures.left_out > 0)
        return told, after, message.text

    async def go(self, *, pin: bool) -> tuple[bool, bool, bool, int]:
        """Told before and after, right, and how many questions it took until the first one no longer fitted."""
        await self.ask(self.first)
        if pin:
            self.session.context.toggle_pin(self.session.messages()[0].id)
        for turn in range(60):
            told, after, _text = await self.ask(self.fillers[turn % len(self.fillers)])
            if told != after:
                return told, after, False, turn
            if after:
                break
            await self.session.context.summing.rest()
        told, after, text = await self.ask(self.question)
        return told, after, self.fact in text, turn


async def measure(model: Path, contexts: list[int]) -> None:
    engine = EngineClient(log=Path(tempfile.mkdtemp()) / "engine.log")
    print(f"{'policy':10} {'language':9} {'context':>7} {'turns':>5}  told before  told after  right")
    kinds: list[tuple[str, Overflow, bool]] = [
        ("oldest", "oldest", False),
        ("pinned", "oldest", True),
        ("summary", "summary", False),
        ("stop", "stop", False),
    ]
    for context in contexts:
        for language in FACTS:
            for name, overflow, pin in kinds:
                store = HistoryStore.in_memory()
                wishes = Preferences(sampling={"temperature": 0.0}, max_tokens=60, overflow=overflow)
                session = ChatSession(engine, store, wishes)
                session.load_model(str(model), model.name, context)
                told, after, right, turns = await Run(session, language).go(pin=pin)
                print(f"{name:10} {language:9} {context:7} {turns:5}  {told!s:11}  {after!s:10}  {right}", flush=True)
    await engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--contexts", type=int, nargs="+", default=[512, 1024])
    given = parser.parse_args()
    asyncio.run(measure(find_model(given.model), given.contexts))


if __name__ == "__main__":
    main()
