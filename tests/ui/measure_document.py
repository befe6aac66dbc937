"""What a letter costs in a long text, and a decision among many changes: `python -m tests.ui.measure_document`."""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import tempfile
import time
from pathlib import Path

from localchat.config import Config
from localchat.history.store import HistoryStore
from localchat.ui.app import LocalChatApp
from tests.ui.conftest import TINY, FakeShelf
from tests.ui.corrector import WRONG, TextDesk, correcting

SIZES = (5_000, 50_000)
KEYS = 20


async def measure(folder: Path, size: int) -> tuple[float, float, float]:
    """Milliseconds of the processor for a letter in the text, and for a decision; how many changes there were."""
    path = folder / f"{size}.txt"
    # Lines of their own, as people write them: one that comes a hundred times is no landmark in a comparison.
    parts = (re.sub("garden|花|line", rf"\\g<0> {number}", WRONG) for number in range(size // len(WRONG)))
    path.write_text("\n".join(parts), encoding="utf-8")
    with HistoryStore.in_memory() as store:
        config = Config(keep_edits="off")
        app = LocalChatApp(correcting(), store, config, shelf=FakeShelf(TINY), document=path)
        async with app.run_test(size=(120, 40)) as pilot:
            desk = TextDesk(app, pilot, correcting(), store, FakeShelf())
            await desk.until(lambda: desk.screen.pane is not None and desk.pane.document is not None)
            letter = await _median(desk, "x")
            text = desk.area.text
            await desk.screen.review_versions(text.replace("secnd", "second"), "measured")
            await desk.until(desk.is_asked)
            return letter, await _median(desk, "a"), len(desk.review.review.changes)


async def _median(desk: TextDesk, key: str) -> float:
    times = []
    for _ in range(KEYS):
        began = time.process_time()
        await desk.press(key)
        times.append((time.process_time() - began) * 1000)
    return statistics.median(times)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LOCALCHAT_HOME"] = folder
        print(f"{'characters':>12}{'ms a letter':>14}{'changes':>10}{'ms a decision':>16}")
        for size in SIZES:
            letter, decision, changes = asyncio.run(measure(Path(folder), size))
            print(f"{size:>12,}{letter:>14.1f}{changes:>10,}{decision:>16.1f}")


if __name__ == "__main__":
    main()
