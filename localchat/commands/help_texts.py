"""The help of the commands, and what is wrong with a command line, in the user's language.

The texts themselves stand where the commands are: docstrings and `help=`. They are translated when a command line runs,
as only then the language is known.
"""

from __future__ import annotations

import re

import typer
from rich.text import Text
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.exceptions import TyperException
from typer.main import get_command

from localchat.translation import _, mark

HELP = ("-h", "--help")

FROM_TYPER = (
    mark("Show this message and exit."),
    mark("Install completion for the current shell."),
    mark("Show completion for the current shell, to copy it or customize the installation."),
)
"""What typer says of the options that it adds, for translators."""


def translated_command(app: typer.Typer) -> TyperGroup:
    """All the commands, with their help in the language that is spoken now."""
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    _translate(root, typer.Context(root, help_option_names=list(HELP)))
    return root


def _translate(command: TyperCommand | TyperGroup, context: typer.Context) -> None:
    command.help = _(command.help or "")
    asks_for_help = command.get_help_option(context)  # made at the first call, then kept
    for parameter in [*command.params, *([asks_for_help] if asks_for_help else [])]:
        if isinstance(parameter, (TyperArgument, TyperOption)):
            parameter.help = _(parameter.help or "")
    for each in command.commands.values() if isinstance(command, TyperGroup) else ():
        assert isinstance(each, (TyperCommand, TyperGroup))
        _translate(each, context)


def prepare_pages() -> None:
    """Headings in the user's language, and lines that break between Chinese characters.

    Imports what draws the pages of help, so this is only for when one is asked for.
    """
    from typer import rich_utils

    class Folding(rich_utils.OptionHighlighter):
        """Without spaces, a sentence is one long word to rich, which is cut off unless it may be folded."""

        def highlight(self, text: Text) -> None:
            super().highlight(text)
            text.overflow = "fold"

    rich_utils.highlighter = Folding()
    rich_utils.ARGUMENTS_PANEL_TITLE = _("Arguments")
    rich_utils.OPTIONS_PANEL_TITLE = _("Options")
    rich_utils.COMMANDS_PANEL_TITLE = _("Commands")
    rich_utils.DEFAULT_STRING = _("[default: {}]")
    rich_utils.REQUIRED_LONG_STRING = _("[required]")


COMPLAINTS = {
    r"No such option: (\S+)": mark("There is no option {what}."),
    r"No such command '(.+)'": mark("There is no command {what}."),
    r"Option '(.+)' requires an argument": mark("{what} needs a value."),
    r"Got unexpected extra argument\(?s?\)? \((.+)\)": mark("{what} is more than this command takes."),
    r"Input should be a valid (integer)": mark("It must be a whole number."),
    r"Input should be a valid (number)": mark("It must be a number."),
    r"Input should be greater than or equal to (\S+)": mark("It must be at least {what}."),
    r"Input should be less than or equal to (\S+)": mark("It must be at most {what}."),
}
"""What typer says of a command line in English only, and what we say."""


def usage_sentence(error: TyperException) -> str:
    """What is wrong with a command line."""
    if not isinstance(error, typer.BadParameter):
        return _said(error.format_message())
    if error.param is None:  # raised by a command, which speaks in whole sentences
        return error.message
    name = error.param.get_error_hint().strip("'")
    if not error.message:
        return _("{name} is missing.").format(name=name)
    return _("{name}: {problem}").format(name=name, problem=_said(error.message))


def _said(complaint: str) -> str:
    for pattern, sentence in COMPLAINTS.items():
        if found := re.match(pattern, complaint):
            return _(sentence).format(what=found[1])
    return complaint
