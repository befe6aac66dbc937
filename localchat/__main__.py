"""Entry of the command `localchat`: without arguments the app opens; otherwise a command runs.

Opening the app imports nothing that it does not show: the command-line library, like torch, is left alone.
"""

from __future__ import annotations

import sys

from localchat.commands.edge import guarded
from localchat.openmp import wait_briefly


def main() -> None:
    wait_briefly()
    debug = "--debug" in sys.argv
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    if arguments == ["--linear"] or (not arguments and sys.stdin.isatty() and sys.stdout.isatty()):
        from localchat.commands.chat import open_app

        sys.exit(guarded(lambda: open_app(linear=bool(arguments)), debug))

    from localchat.commands.app import run

    sys.exit(guarded(lambda: run(arguments), debug))


if __name__ == "__main__":
    main()
