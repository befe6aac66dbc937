"""`localchat write ACTION [FILE]`: a text, in its file if need be, with or without asking about each change."""

from __future__ import annotations

import json as json_library
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from localchat import translation
from localchat.commands.ask import visible
from localchat.commands.edge import INTERRUPTED
from localchat.commands.kept_edits import keep_decisions
from localchat.commands.model_choice import chosen_model
from localchat.commands.personas import system_prompt
from localchat.commands.progress import say
from localchat.commands.write_review import ask_about, print_changes
from localchat.commands.writer import Written, write
from localchat.config import load_config
from localchat.errors import InvalidSetting, LocalChatError
from localchat.translation import _, plural
from localchat.writing.action import Action
from localchat.writing.actions import actions_file, all_actions, find_action
from localchat.writing.answers import explained
from localchat.writing.changes import applied
from localchat.writing.review import Review
from localchat.writing.text_file import TextFile, read_text_file, text_file, write_text_file


@dataclass(frozen=True, slots=True)
class _Output:
    """Where the result goes."""

    in_place: bool
    diff: bool
    json: bool
    interactive: bool

    @property
    def is_review(self) -> bool:
        """Whether it is about changes, and not about the text that they make."""
        return self.in_place or self.diff or self.interactive


def register(app: typer.Typer) -> None:
    @app.command("write")
    def write_(
        action: Annotated[
            str | None,
            typer.Argument(help="What to do: rewrite, proofread, translate ...; without it, all are listed."),
        ] = None,
        file: Annotated[Path | None, typer.Argument(help="The text; without it or with -, standard input.")] = None,
        in_place: Annotated[bool, typer.Option("--in-place", "-i", help="Write the result into the file.")] = False,
        diff: Annotated[bool, typer.Option("--diff", help="Show what would change, word by word.")] = False,
        json: Annotated[bool, typer.Option("--json", help="Print one JSON object: the text and its changes.")] = False,
        interactive: Annotated[bool, typer.Option("--interactive", help="Ask about each change.")] = False,
        model: Annotated[str | None, typer.Option("-m", "--model", help="An installed model, or a path.")] = None,
        tone: Annotated[str | None, typer.Option(help="For tone: formal, friendly, polite ... or your own.")] = None,
        to: Annotated[str | None, typer.Option(help="Language of the result: en, zh, or a name.")] = None,
        like: Annotated[Path | None, typer.Option(help="A text whose style the result is to have.")] = None,
        set_: Annotated[
            list[str] | None, typer.Option("--set", help="NAME=VALUE, for a variable of an action of your own.")
        ] = None,
        temperature: Annotated[float | None, typer.Option(help="0 always takes the likeliest token.")] = None,
        seed: Annotated[int | None, typer.Option(help="The same seed gives the same result.")] = None,
    ) -> None:
        """Rewrite, shorten, proofread, translate ... a text."""
        if action is None:
            _list()
            return
        found = find_action(action)
        output = _Output(in_place, diff, json, interactive)
        variables = _variables(set_ or [], tone, to)
        found.check(variables)
        _check(found, file, output)
        flags = {"temperature": temperature, "seed": seed}
        sampling = {name: value for name, value in flags.items() if value is not None}
        source = _source(file)
        config = load_config()
        done = write(
            found,
            source.text,
            variables,
            sampling,
            chosen_model(model or config.model),
            config.context_length,
            system_prompt("", None, None, like),
        )
        _report(done)
        if output.is_review and not json:
            _review(done, source, file, output)
        elif json:
            _print_json(done, source, file if in_place else None)
        else:
            _print_text(done, source)
        if done.stopped:
            raise typer.Exit(INTERRUPTED)


def _list() -> None:
    actions = all_actions()
    width = max(map(len, actions)) + 2
    for action in actions.values():
        own = _(" (yours)") if action.is_own else ""
        print(f"{action.name:{width}}{action.described(translation.spoken())}{own}")
    say("\n" + _("Your own go into {path}.").format(path=actions_file()))


def _variables(pairs: Sequence[str], tone: str | None, to: str | None) -> dict[str, str]:
    chosen = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise typer.BadParameter(_("--set is {pair!r}, but must be NAME=VALUE.").format(pair=pair))
        chosen[name] = value
    if tone is not None:
        chosen["tone"] = tone
    if to is not None:
        chosen["language"] = to
    return chosen


def _check(action: Action, file: Path | None, output: _Output) -> None:
    """Say before anything is loaded what cannot be."""
    if output.is_review and action.result == "new":
        raise InvalidSetting(
            _("{action} makes a text of its own, which is no change to yours.").format(action=action.name),
            _("Leave out --in-place, --diff and --interactive."),
        )
    if output.in_place and (file is None or str(file) == "-"):
        raise typer.BadParameter(_("--in-place needs a file."))
    if output.interactive and output.json:
        raise typer.BadParameter(_("--interactive and --json exclude each other."))


def _source(file: Path | None) -> TextFile:
    if file is not None and str(file) != "-":
        source = read_text_file(file)
    elif sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        raise typer.BadParameter(_("There is no text. Name a file, or give it on standard input."))
    else:
        source = text_file(sys.stdin.buffer.read(), _("standard input"))
    if not source.text.strip():
        raise LocalChatError(_("The text is empty."))
    return source


def _report(done: Written) -> None:
    """Say which parts stay as they are because the model's answers were no good; never silently."""
    left = [outcome for outcome in done.work.outcomes if outcome.objection]
    if done.stopped:
        print(_("Stopped: what follows was left as it is."), file=sys.stderr)
    if left:
        sentence = plural(
            "{count} of {pieces} parts stays as it is: {reason}.",
            "{count} of {pieces} parts stay as they are: {reason}.",
            len(left),
        )
        reasons = dict.fromkeys(explained(outcome.objection) for outcome in left)
        print(
            sentence.format(count=len(left), pieces=len(done.work.outcomes), reason="; ".join(reasons)),
            file=sys.stderr,
        )


def _review(done: Written, source: TextFile, file: Path | None, output: _Output) -> None:
    """Show the changes, ask about them, or both; then write what was accepted."""
    review = Review(source.text, done.work.changes())
    if output.interactive:
        ask_about(review)
    elif output.diff:
        print_changes(review)
    if output.in_place:
        assert file is not None
        if not output.interactive and not done.stopped:
            review.decide("accepted")
        changed = write_text_file(file, source, review.text)
        say(
            plural("{count} change was made in {path}.", "{count} changes were made in {path}.", len(review.accepted))
            .format(count=len(review.accepted), path=file) if changed
            else _("{path} is as it was.").format(path=file)
        )  # fmt: skip
    elif output.interactive:
        sys.stdout.buffer.write(source.encoded(review.text))
    if output.interactive:
        keep_decisions(review, done)


def _print_text(done: Written, source: TextFile) -> None:
    text = done.work.result()
    if not text:
        raise LocalChatError(_("Nothing came of it."), _("Try another model."))
    if done.work.action.result == "replace" and not sys.stdout.isatty():
        sys.stdout.buffer.write(source.encoded(text))  # a filter: what goes through it keeps its encoding
        return
    print(visible(text) if sys.stdout.isatty() else text, end="" if text.endswith("\n") else "\n")


def _print_json(done: Written, source: TextFile, file: Path | None) -> None:
    work = done.work
    text = work.result()
    found = [
        {"start": change.start, "end": change.end, "old": change.old, "new": change.new} for change in work.changes()
    ]
    left = [
        {"start": outcome.piece.start, "end": outcome.piece.end, "reason": outcome.objection}
        for outcome in work.outcomes
        if outcome.objection
    ]
    facts = {"action": work.action.name, "model": done.model, "result": work.action.result, "text": text}
    if file is not None and not done.stopped:
        write_text_file(file, source, applied(source.text, work.changes()))
    print(json_library.dumps({**facts, "changes": found, "left": left, "stopped": done.stopped}, ensure_ascii=False))
