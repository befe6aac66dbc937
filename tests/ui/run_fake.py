"""Run the app with a pretended engine: `python -m tests.ui.run_fake` (with LOCALCHAT_HOME set to a scratch folder)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from localchat.config import Config
from localchat.messages import Message
from localchat.ui.app import LocalChatApp, open_history
from localchat.ui.model_shelf import ModelChoice, ModelShelf
from tests.ui.fake_engine import FakeEngine, Script

SAMPLE = """当然可以。下面是一个**礼貌**的版本，另附一小段代码：

```python
def polite(text: str) -> str:
    \"\"\"Return the text, more kindly.\"\"\"
    return f"Would you mind: {text}?"
```

1. First, *listen*.
2. Then say `please`.

> 己所不欲，勿施于人。

| key | does |
|---|---|
| Enter | sends |
| Esc | stops |

That is all there is to it. """


THOUGHT = "The user wants a kinder sentence. 先想一想：语气要更**委婉**，再给一小段代码。\n"


class FakeShelf(ModelShelf):
    """One model that is always there."""

    def is_empty(self) -> bool:
        return False

    def installed(self) -> list[ModelChoice]:
        return [ModelChoice("tiny", "SmolLM2 135M", "int4", 98_000_000, 135_000_000, path=Path("/nowhere/tiny"))]


def answer(messages: Sequence[Message]) -> Script:
    length = int(found[0]) if (found := re.findall(r"\d+", messages[-1].content)) else 1
    pieces = re.findall(r"\s*[^\s]{1,4}|\s+", SAMPLE * max(1, min(length, 50)))
    thinking = re.findall(r"\s*[^\s]{1,4}|\s+", THOUGHT * 5) if "think" in messages[-1].content else ()
    return Script(pieces, thinking, pause_s=0.012)


def main() -> None:
    engine = FakeEngine(load_s=1.0)
    engine.answer = answer
    store, _ = open_history()
    app = LocalChatApp(engine, store, Config(), shelf=FakeShelf())
    app.run()


if __name__ == "__main__":
    main()
