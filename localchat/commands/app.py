"""The command line as a whole: global options, the verbs, and `localchat "question"` as a short way to ask."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from localchat import __version__
from localchat.commands.edge import INTERRUPTED, WRONG_USAGE
from localchat.commands.help_texts import HELP, prepare_pages, translated_command, usage_sentence
from localchat.commands.settings import lenient_config
from localchat.errors import LocalChatError
from localchat.translation import _

VERBS = (
    "ask",
    "write",
    "personas",
    "pull",
    "import",
    "export",
    "quantize",
    "models",
    "bench",
    "perplexity",
    "compare",
    "doc",
    "edits",
    "history",
    "replay",
    "cache",
    "doctor",
    "locate",
)

app = typer.Typer(
    name="localchat",
    help="Chat with a language model that runs on this machine. Without a command, the app opens.",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": [*HELP]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"localchat {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,  # noqa: ARG001
    linear: Annotated[
        bool, typer.Option("--linear", help="Plain lines instead of a screen, for screen readers.")
    ] = False,
) -> None:
    """Chat with a language model that runs on this machine. Without a command, the app opens."""
    if context.invoked_subcommand is None:
        from localchat.commands.chat import open_app

        open_app(linear)


for verb in VERBS:
    module = importlib.import_module(
        f"localchat.commands.{verb}_" if verb == "import" else f"localchat.commands.{verb}"
    )
    module.register(app)


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit status."""
    lenient_config()  # for its language; what is wrong is said by the command that needs them
    if _is_question(arguments):
        arguments = ["ask", *arguments]
    if {*HELP}.intersection(arguments) or arguments in (["history"], ["edits"]):  # which shows its help
        prepare_pages()
    try:
        status = translated_command(app)(arguments, standalone_mode=False)
    except typer.Abort:
        return INTERRUPTED
    except typer.Exit as leave:
        return leave.exit_code
    except TyperException as error:
        if complaint := usage_sentence(error):  # none when the help was shown instead
            print(f"localchat: {LocalChatError(complaint, _('See `localchat --help`.'))}", file=sys.stderr)
        return WRONG_USAGE
    return status if isinstance(status, int) else 0


def _is_question(arguments: list[str]) -> bool:
    """`localchat "Why is the sky blue?"` asks; `echo question | localchat` does too."""
    if not arguments:
        return not sys.stdin.isatty()
    first = arguments[0]
    return first not in VERBS and not first.startswith("-")
