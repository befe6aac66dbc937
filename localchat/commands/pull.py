"""`localchat pull NAME | hf:OWNER/REPOSITORY`: fetch a model, verify it, quantize it, install it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from localchat.commands.columns import padded
from localchat.commands.progress import ProgressLine, say
from localchat.errors import LocalChatError
from localchat.hub.catalogue import CatalogueEntry, catalogue, find
from localchat.hub.hub_name import PREFIX, HubName, parse_hub_name
from localchat.hub.installation import pull_entry, pull_from_hub
from localchat.hub.installed import installed_models
from localchat.hub.pull_events import OnProgress, PullDone, PullEvent, PullFailed, PullProgress, to_json
from localchat.hub.pull_job import ending_is_interrupting
from localchat.translation import _, mark

STAGES = {
    "resolve": mark("Looking it up"),
    "download": mark("Fetching"),
    "verify": mark("Checking"),
    "quantize": mark("Quantizing"),
    "done": "",
}


def register(app: typer.Typer) -> None:
    @app.command()
    def pull(
        name: Annotated[
            str | None,
            typer.Argument(
                metavar="[NAME | hf:OWNER/REPOSITORY[:FILE][@REVISION]]",
                help="A name of the catalogue, or a model of the hub. Without any, the catalogue is listed.",
            ),
        ] = None,
        as_name: Annotated[
            str | None, typer.Option("--name", help="Name to install a model of the hub under; by default its own.")
        ] = None,
        bits: Annotated[
            int | None, typer.Option(help="4 or 8, for a model of the hub; see `localchat import --help`.")
        ] = None,
        json: Annotated[bool, typer.Option("--json", help="Write progress as JSON lines to standard output.")] = False,
    ) -> int:
        """Fetch a model, verify it, quantize it and install it."""
        if bits not in (None, 4, 8):
            raise typer.BadParameter(_("--bits is {bits}, but must be 4 or 8.").format(bits=bits))
        if name is None:
            _list()
            return 0
        of_hub = name.startswith(PREFIX)
        if not of_hub and (as_name or bits):
            raise typer.BadParameter(_("--name and --bits are for models of the hub; the catalogue says them itself."))
        with ending_is_interrupting():
            try:
                show = _emit if json else None
                if of_hub:
                    installed = _pull_from_hub(parse_hub_name(name), as_name, bits, show)
                else:
                    installed = _pull_entry(find(name), show)
            except LocalChatError as error:
                if not json:
                    raise
                _emit(PullFailed.of(error))
                return 1
            if json:
                _emit(PullDone(installed))
            else:
                print(installed)
            return 0


def pull_with_progress(entry: CatalogueEntry) -> None:
    """Fetch and install `entry`, with a progress line on a terminal."""
    _pull_entry(entry, None)


def _pull_entry(entry: CatalogueEntry, show: OnProgress | None) -> str:
    if show is not None:
        pull_entry(entry, show)
        return entry.name
    size = _bytes(entry.source.download_bytes)
    say(
        _("Fetching {title} by {publisher} ({licence}): {size}, once.").format(
            title=entry.title, publisher=entry.publisher, licence=entry.licence, size=size
        )
    )
    with ProgressLine() as line:
        pull_entry(entry, lambda progress: _show(line, progress))
    return entry.name


def _pull_from_hub(name: HubName, as_name: str | None, bits: int | None, show: OnProgress | None) -> str:
    if show is not None:
        return pull_from_hub(name, as_name, bits, on_progress=show)
    with ProgressLine() as line:

        def show_on_line(progress: PullProgress) -> None:
            if progress.stage == "resolve" and progress.note:
                line.note(progress.note)  # which file was chosen: worth keeping
            _show(line, progress)

        return pull_from_hub(name, as_name, bits, on_progress=show_on_line)


def _show(line: ProgressLine, progress: PullProgress) -> None:
    line.show(_(STAGES[progress.stage]), _fraction(progress), _detail(progress))


def _list() -> None:
    """The catalogue, one model a line."""
    here = {model.name for model in installed_models()}
    print(_row(_("name"), (_("to download"), _("on disk"), _("memory")), _("licence"), _("languages"), ""))
    for entry in catalogue():
        sizes = map(_bytes, (entry.source.download_bytes, entry.installed_bytes, entry.memory_bytes))
        more = len(entry.languages) - 3
        languages = " ".join(entry.languages[:3]) + (f" +{more}" if more > 0 else "")
        here_or_not = _("installed") if entry.name in here else ""
        print(_row(entry.name, sizes, entry.licence, languages, here_or_not))


def _row(name: str, sizes: Iterable[str], licence: str, languages: str, installed: str) -> str:
    columns = " ".join(padded(size, width, right=True) for size, width in zip(sizes, (11, 8, 8), strict=True))
    return f"{padded(name, 22)} {columns}  {padded(licence, 20)} {padded(languages, 14)} {installed}".rstrip()


def _bytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def _emit(event: PullEvent) -> None:
    print(to_json(event), flush=True)


def _fraction(progress: PullProgress) -> float | None:
    return progress.done / progress.total if progress.total else None


def _detail(progress: PullProgress) -> str:
    if progress.note:
        return progress.note
    if progress.stage != "download" or not progress.total:
        return ""
    parts = [_("{done} of {total}").format(done=_bytes(progress.done), total=_bytes(progress.total))]
    if progress.bytes_per_second:
        parts.append(f"{progress.bytes_per_second / 1e6:.1f} MB/s")
    if progress.seconds_left is not None:
        minutes, seconds = divmod(round(progress.seconds_left), 60)
        parts.append(_("{time} left").format(time=f"{minutes}:{seconds:02d}"))
    return "  ".join(parts)
