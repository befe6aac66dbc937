"""`localchat history list | export | import | delete | restore | encrypt | decrypt`: the conversations as a whole."""

from __future__ import annotations

import json as json_library
import sys
from pathlib import Path
from typing import Annotated

import typer

from localchat.commands.passphrase import known_passphrase, new_passphrase, open_history
from localchat.commands.progress import ProgressLine
from localchat.engine.prefix_store_files import delete_all_snapshots, delete_snapshots_of
from localchat.errors import HistoryUnavailable, InvalidSetting
from localchat.history.encryption import cipher_driver
from localchat.history.exporting import FORMATS, ExportFormat, as_json, format_of, rendered, write_each, write_text
from localchat.history.exporting_markdown import moment
from localchat.history.records import Conversation
from localchat.history.store import HistoryStore
from localchat.paths import ensure, history_file
from localchat.translation import _, plural

MOST_FOUND = 1000
SHOWN_ID = 12


def register(app: typer.Typer) -> None:
    history = typer.Typer(help="List, export, import, delete or encrypt conversations.", no_args_is_help=True)
    app.add_typer(history, name="history")

    @history.command("list")
    def list_(
        words: Annotated[list[str] | None, typer.Argument(help="Only conversations with these words.")] = None,
        json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    ) -> None:
        """List conversations, the latest first."""
        with open_history() as store:
            found = [f.conversation for f in store.find(" ".join(words), MOST_FOUND)] if words else store.everything()
            for conversation in found:
                _show(conversation, json)

    @history.command()
    def export(
        target: Annotated[
            Path, typer.Argument(help="A folder, a file, or - for standard output. A .json file takes everything.")
        ],
        format: Annotated[
            str | None,
            typer.Option(
                "--format", help=_("{names}; by default what the file's name says.").format(names=", ".join(FORMATS))
            ),
        ] = None,
        chat: Annotated[list[str] | None, typer.Option("--chat", help="Only this one: its id, as listed.")] = None,
    ) -> None:
        """Write conversations into files: one file for each in a folder, or all of them into one JSON file."""
        kind = _kind(target, format)
        with open_history() as store:
            chosen = [_found(store, one) for one in chat] if chat else store.everything()
            _export(store, chosen, target, kind)

    @history.command("import")
    def import_(
        files: Annotated[list[Path], typer.Argument(help="JSON of localchat, or what ChatGPT exports: zip or JSON.")],
    ) -> None:
        """Add conversations from files; the same file twice adds nothing."""
        from localchat.history.importing import import_file

        with open_history() as store:
            for file in files:
                with ProgressLine() as line:
                    line.show(_("Importing"), None)
                    result = import_file(store, file)
                print(result)

    @history.command()
    def delete(ids: Annotated[list[str], typer.Argument(help="Ids, as listed.")]) -> None:
        """Delete conversations; for 30 days they can be restored."""
        with open_history() as store:
            for conversation in [_found(store, one) for one in ids]:
                store.delete(conversation.id)
                delete_snapshots_of(conversation.id)
                print(_("“{title}” was deleted.").format(title=conversation.title))

    @history.command()
    def restore(ids: Annotated[list[str], typer.Argument(help="Ids of deleted conversations.")]) -> None:
        """Bring deleted conversations back."""
        with open_history() as store:
            for conversation in [_found(store, one, deleted=True) for one in ids]:
                store.undelete(conversation.id)
                print(_("“{title}” is back.").format(title=conversation.title))

    @history.command()
    def encrypt() -> None:
        """Encrypt the history, or give an encrypted one another passphrase."""
        from localchat.history.recrypt import recrypt

        cipher_driver()  # before anybody types a passphrase
        path = history_file()
        recrypt(path, known_passphrase(path), new_passphrase())
        delete_all_snapshots()
        print(_("The history is encrypted. Without the passphrase nobody can read it, you neither."))
        print(_("Copies that were made before, such as backups, are as they were."), file=sys.stderr)

    @history.command()
    def decrypt() -> None:
        """Take the passphrase off the history."""
        from localchat.history.recrypt import recrypt

        path = history_file()
        if (passphrase := known_passphrase(path)) is None:
            raise HistoryUnavailable(_("The history is not encrypted."))
        recrypt(path, passphrase, None)
        print(_("The history is plain again: everyone who can read the file can read it."))


def _show(conversation: Conversation, json: bool) -> None:
    if json:
        facts = ("id", "title", "created_at", "updated_at", "folder", "pinned")
        print(json_library.dumps({name: getattr(conversation, name) for name in facts}, ensure_ascii=False))
    else:
        print(f"{short_id(conversation)}  {moment(conversation.updated_at)}  {conversation.title}")


def short_id(conversation: Conversation) -> str:
    """The end of an id, which is random in ours and in imported ones."""
    return conversation.id[-SHOWN_ID:]


def _found(store: HistoryStore, wanted: str, deleted: bool = False) -> Conversation:
    """The one conversation whose id is or ends like this.

    Raises:
        InvalidSetting: there is none, or more than one.
    """
    found = [
        conversation
        for conversation in store.everything(deleted=deleted)
        if wanted and conversation.id.endswith(wanted)
    ]
    if len(found) != 1:
        raise InvalidSetting(
            _("There is no conversation {wanted!r}.").format(wanted=wanted)
            if not found
            else _("More than one conversation ends with {wanted!r}.").format(wanted=wanted),
            _("`localchat history list` shows their ids."),
        )
    return found[0]


def _kind(target: Path, format: str | None) -> ExportFormat:
    if format is not None and format not in FORMATS:
        raise typer.BadParameter(_("--format is {format!r}, but must be one of {known}.").format(
            format=format, known=", ".join(FORMATS)
        ))  # fmt: skip
    return FORMATS[format] if format is not None else format_of(target) or FORMATS["json"]


def _export(store: HistoryStore, chosen: list[Conversation], target: Path, kind: ExportFormat) -> None:
    single = str(target) == "-" or (target.suffix and not target.is_dir())
    if not single:
        written = write_each(store, chosen, target, kind)
        print(plural("{count} conversation was written to {folder}.", "{count} conversations were written to {folder}.",
                     len(written)).format(count=len(written), folder=target))  # fmt: skip
        return
    if kind.name == "json":
        text = as_json(store, chosen)
    elif len(chosen) == 1:
        text = rendered(store, chosen[0], kind)
    else:
        raise typer.BadParameter(
            _("One file of this format holds one conversation. Name it with --chat, or give a folder instead.")
        )
    if str(target) == "-":
        sys.stdout.buffer.write(text.encode())
    else:
        ensure(target.parent)
        write_text(target, text)
        print(target)
