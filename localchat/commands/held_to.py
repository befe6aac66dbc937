"""What a command lets a reply be held to: a JSON schema, a regular expression, a grammar; a language."""

from __future__ import annotations

from pathlib import Path

import typer

from localchat.constraint import Constraint, ConstraintKind
from localchat.errors import UnreadableFile
from localchat.reply_language import ANY, REPLY_LANGUAGES
from localchat.translation import _


def chosen_constraint(schema: Path | None, regex: str | None, grammar: Path | None) -> Constraint | None:
    """The one that was given.

    Raises:
        typer.BadParameter: more than one was given.
        UnreadableFile: a file cannot be read.
        BadConstraint: it cannot be followed; that is known before a model is loaded.
    """
    given: list[tuple[ConstraintKind, str]] = []
    if schema is not None:
        given.append(("schema", _text(schema)))
    if regex is not None:
        given.append(("regex", regex))
    if grammar is not None:
        given.append(("grammar", _text(grammar)))
    if len(given) > 1:
        raise typer.BadParameter(_("Give one of --schema, --regex and --grammar."))
    if not given:
        return None
    from localchat.engine.constraint_mask import check  # only here: few questions want the library

    constraint = Constraint(*given[0])
    check(constraint)
    return constraint


def chosen_language(flag: str | None, setting: str) -> str:
    """The language that replies are held to; "" leaves it to the model.

    Raises:
        typer.BadParameter: the flag names another one.
    """
    if flag is not None and flag not in (*REPLY_LANGUAGES, ANY):
        raise typer.BadParameter(_("--language is one of {names}.").format(names=", ".join((*REPLY_LANGUAGES, ANY))))
    chosen = setting if flag is None else flag
    return "" if chosen == ANY else chosen


def _text(path: Path) -> str:
    try:
        return path.expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else _("it is not UTF-8 text")
        raise UnreadableFile(_("{path} cannot be read ({reason}).").format(path=path, reason=reason)) from error
