"""The outermost edge of every command: errors become one sentence on stderr and an exit status, never a traceback."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable

from localchat.errors import LocalChatError
from localchat.translation import _

FAILED, WRONG_USAGE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141


def guarded(action: Callable[[], int | None], debug: bool) -> int:
    """Run `action` and return the exit status of the process."""
    try:
        return action() or 0
    except LocalChatError as error:
        return _say(str(error), debug)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away, as `head` does. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except MemoryError:
        return _say(_("There is not enough memory for this. Close other programs or choose a smaller model."), debug)
    except OSError as error:
        return _say(_storage_sentence(error), debug)
    except Exception as error:
        what = _("This should not have happened ({error}).").format(error=f"{type(error).__name__}: {error}")
        return _say(
            _("{what} Run it again with --debug for the details, and please report them.").format(what=what), debug
        )


def _say(sentence: str, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"localchat: {sentence}", file=sys.stderr)
    return FAILED


def _storage_sentence(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return _("The disk is full{where}. Free some space and try again.").format(where=where)
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return _("A file or folder is not writable or readable{where}. Check its permissions.").format(where=where)
        case _:
            refused = _("The system refused something: {reason}{where}.")
            return refused.format(reason=error.strerror or error, where=where)
