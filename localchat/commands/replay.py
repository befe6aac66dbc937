"""`localchat replay`: a reply is made again and compared, token by token."""

from __future__ import annotations

import json as json_library
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from localchat.commands.passphrase import open_history
from localchat.commands.progress import ProgressLine
from localchat.config import load_config
from localchat.errors import InvalidSetting
from localchat.events import PromptProgress
from localchat.history.records import StoredMessage
from localchat.history.store import HistoryStore
from localchat.hub.installed import find_model
from localchat.recording import Recording, Replayed, changed
from localchat.translation import _
from localchat.ui.replay_report import report

DIFFERS = 1
"""Exit status."""
_ROOM = 32  # tokens; another reply is followed a little further than the recorded one


def register(app: typer.Typer) -> None:
    @app.command()
    def replay(
        message: Annotated[
            str,
            typer.Argument(
                help="`last`, or the id of a message or a conversation as `localchat history list` shows it; "
                "ID:2 is the second reply of the conversation."
            ),
        ] = "last",
        model: Annotated[
            str | None, typer.Option("-m", "--model", help="Another model than the one that wrote the reply.")
        ] = None,
        json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Make a reply again from what was kept with it, and say whether it is the same. Status 1 when it is not."""
        with open_history() as store:
            reply = find_reply(store, message)
            recording = store.recording(reply.id)
        if recording is None:
            raise InvalidSetting(
                _("What would make this reply again was not kept."),
                _("That is so for replies that were imported, broke off, or were written by an earlier version."),
            )
        if not recording.tokens and not recording.ended:
            raise InvalidSetting(_("This reply has no tokens: it was stopped before the first."))
        replayed = _replay(recording, model or reply.model or "")
        if json:
            print(json_library.dumps(_as_object(reply, recording, replayed), ensure_ascii=False))
        else:
            print("\n".join(report(recording, replayed)))
        if replayed.differs:
            raise typer.Exit(DIFFERS)


def find_reply(store: HistoryStore, wanted: str) -> StoredMessage:
    """The reply that was meant: `last`, the end of a message's id, or of a conversation's with the number of a reply.

    Raises:
        InvalidSetting: there is none, or more than one.
    """
    name, colon, number = wanted.partition(":")
    conversations = store.everything()
    if name == "last":
        chosen = conversations[:1]
    else:
        chosen = [conversation for conversation in conversations if name and conversation.id.endswith(name)]
    if len(chosen) > 1:
        raise _ambiguous(wanted)
    if not chosen:
        return _one([] if colon or not name else store.messages_ending_with(name), wanted)
    replies = [message for message in store.branch(chosen[0].id) if message.role == "assistant"]
    if not colon:
        return _one(replies[-1:], wanted)
    return _one([reply for place, reply in enumerate(replies, 1) if str(place) == number], wanted)


def _one(found: Sequence[StoredMessage], wanted: str) -> StoredMessage:
    if len(found) > 1:
        raise _ambiguous(wanted)
    if not found:
        raise InvalidSetting(
            _("There is no reply {wanted!r}.").format(wanted=wanted), _("`localchat history list` shows their ids.")
        )
    if found[0].role != "assistant":
        raise InvalidSetting(_("That is a question. Only what a model wrote can be made again."))
    return found[0]


def _ambiguous(wanted: str) -> InvalidSetting:
    return InvalidSetting(
        _("More than one id ends with {wanted!r}.").format(wanted=wanted), _("`localchat history list` shows them.")
    )


def _replay(recording: Recording, model: str) -> Replayed:
    config = load_config()
    path, length = find_model(model), config.context_length
    if length is not None:  # a conversation may have a longer one of its own
        length = max(length, *(len(part.line) + _ROOM for part in recording.parts))
    with ProgressLine() as line:
        line.show(_("Starting"), None)
        from localchat.engine.facade import Engine

        engine = Engine()
        engine.load(path, length, cache_kind=config.cache, on_progress=lambda p: line.show(_(p.stage), p.fraction))
        for event in engine.replay(recording):
            if isinstance(event, PromptProgress):
                line.show(_("Making the reply again"), event.done / event.total)
            else:
                return event
    raise AssertionError("a replay ends with its result")


def _as_object(reply: StoredMessage, recording: Recording, replayed: Replayed) -> dict[str, object]:
    facts = asdict(replayed)
    tokens = facts.pop("tokens")
    return {
        "message": reply.id,
        "identical": not replayed.differs,
        "tokens": recording.tokens,
        "same_tokens": tokens,
        **{key: facts[key] for key in ("same", "then", "now", "chosen_then", "chosen_now")},
        "changed": changed(recording.circumstances, replayed.circumstances),
        "circumstances_then": dict(recording.circumstances),
        "circumstances_now": dict(replayed.circumstances),
        "seed": recording.sampling.get("seed"),
    }
