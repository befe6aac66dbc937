"""A progress bar on standard error: only on a terminal, and gone when the work is done."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn


class ProgressLine:
    """One line that shows what is going on. Silent where standard error is no terminal."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[detail]}"),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task: TaskID = self._progress.add_task("", total=None, detail="")

    def __enter__(self) -> ProgressLine:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the line away, before something else is written to the terminal."""
        self._progress.stop()

    def note(self, sentence: str) -> None:
        """A line that stays, above the bar; written to standard error even when that is no terminal."""
        self._progress.console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def show(self, what: str, fraction: float | None, detail: str = "") -> None:
        """`fraction` of `what` is done (None while unknown); `detail` stands behind the bar."""
        total = None if fraction is None else 1.0
        self._progress.update(self._task, description=what, total=total, completed=fraction or 0.0, detail=detail)


def say(sentence: str) -> None:
    """One line on standard error, for people only: nothing when it is no terminal."""
    if sys.stderr.isatty():
        print(sentence, file=sys.stderr)
