"""Conversations to look at, in English and in Chinese: for snapshots and for the picture in the README."""

from __future__ import annotations

from localchat.history.store import HistoryStore

STATS = {
    "completion_tokens": 128,
    "seconds": 1.52,
    "decode_tokens_per_second": 84.2,
    "context_used": 1240,
    "finish_reason": "stop",
}

ENGLISH_QUESTION = "What is a monad, in plain words? Show me one in Python, please."
ENGLISH_REPLY = """A **monad** is a way to chain steps that each carry a little context: a value that may be missing, \
a list of possibilities, or an effect still to come.

```python
class Maybe:
    \"\"\"A value, or nothing.\"\"\"

    def then(self, step):
        return self if self.value is None else step(self.value)
```

Two laws keep it boring, which is the point:

1. Doing nothing changes nothing.
2. It does not matter how you set the *brackets*.

| monad | its context |
|---|---|
| `Maybe` | there may be no value |
| `List` | there may be several |
"""

CHINESE_QUESTION = "把这段话改得更礼貌一些：\n「明天之前把报告发给我。」"
CHINESE_REPLY = """当然可以。下面是修改后的版本：

> 您好！不知您方便的话，能否在**明天之前**把报告发给我？非常感谢。

改动有三处：

- 以问候开头，语气更*柔和*；
- 把命令改成询问，给对方留出余地；
- 以感谢结尾。

床前明月光，
疑是地上霜。
"""


def fill(store: HistoryStore, now: float) -> None:
    """Put some conversations of the last weeks into an empty history; the English one is the latest."""
    rows = (
        ("Ideas for the garden this spring", "Tomatoes along the south wall.", 32),
        ("诗词赏析：静夜思", "李白的这首诗，写的是月光与乡愁。", 1.3),
        ("A packing list for three days in the hills", "Boots, a rain jacket, a warm layer.", 1.2),
        ("Plan for Monday", "Write first, then the letters.", 0.1),
        (CHINESE_QUESTION, CHINESE_REPLY, 0.05),
        (ENGLISH_QUESTION, ENGLISH_REPLY, 0.0),
    )
    clock = store._now
    for question, reply, days in rows:
        store._now = lambda days=days: now - days * 86400  # type: ignore[misc]
        chat = store.create_conversation().id
        asked = store.add_message(chat, None, "user", question)
        for text in ("An earlier try.", reply) if reply == ENGLISH_REPLY else (reply,):
            store.finish(store.begin_reply(chat, asked.id, "tiny"), text, stats=STATS)
    store._now = clock  # type: ignore[method-assign]
