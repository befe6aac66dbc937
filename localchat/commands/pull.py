"""`localchat pull NAME`: fetch a model of the catalogue, verify it, quantize it, install it."""

from __future__ import annotations

from typing import Annotated

import typer

from localchat.commands.progress import ProgressLine, say
from localchat.errors import LocalChatError
from localchat.hub.catalogue import CatalogueEntry, find
from localchat.hub.installation import pull_entry
from localchat.hub.pull_events import PullDone, PullEvent, PullFailed, PullProgress, to_json
from localchat.hub.pull_job import ending_is_interrupting

STAGES = {
    "resolve": "Looking it up",
    "download": "Fetching",
    "verify": "Checking",
    "quantize": "Quantizing",
    "done": "",
}


def register(app: typer.Typer) -> None:
    @app.command()
    def pull(
        name: Annotated[str, typer.Argument(help="A name of the catalogue; `localchat models` lists them.")],
        json: Annotated[bool, typer.Option("--json", help="Write progress as JSON lines to standard output.")] = False,
    ) -> int:
        """Fetch a model of the catalogue, verify it, quantize it and install it."""
        with ending_is_interrupting():
            if not json:
                pull_with_progress(find(name))
                print(name)
                return 0
            try:
                pull_entry(find(name), _emit)
            except LocalChatError as error:
                _emit(PullFailed.of(error))
                return 1
            _emit(PullDone(name))
            return 0


def pull_with_progress(entry: CatalogueEntry) -> None:
    """Fetch and install `entry`, with a progress line on a terminal."""
    megabytes = entry.source.download_bytes / 1e6
    say(f"Fetching {entry.title} by {entry.publisher} ({entry.licence}): {megabytes:.0f} MB, once.")
    with ProgressLine() as line:
        pull_entry(entry, lambda progress: line.show(STAGES[progress.stage], _fraction(progress), _detail(progress)))


def _emit(event: PullEvent) -> None:
    print(to_json(event), flush=True)


def _fraction(progress: PullProgress) -> float | None:
    return progress.done / progress.total if progress.total else None


def _detail(progress: PullProgress) -> str:
    if progress.note:
        return progress.note
    if progress.stage != "download" or not progress.total:
        return ""
    parts = [f"{progress.done / 1e6:.0f} of {progress.total / 1e6:.0f} MB"]
    if progress.bytes_per_second:
        parts.append(f"{progress.bytes_per_second / 1e6:.1f} MB/s")
    if progress.seconds_left is not None:
        minutes, seconds = divmod(round(progress.seconds_left), 60)
        parts.append(f"{minutes}:{seconds:02d} left")
    return "  ".join(parts)
