"""The command `tellapart`: exit codes, and one line for every mistake. The work is in `commands`.

A person's mistake ends with exit code 2 and one line on stderr; a traceback is shown only with --debug.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path

from tellapart.errors import InputError
from tellapart.version import __version__


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 2 for a user's mistake, 1 for ours, 128 + signal if stopped.

    >>> main(["search", "no/such/run", "red fruit"])
    2
    """
    arguments = sys.argv[1:] if argv is None else argv
    if arguments == ["--version"]:  # which needs no more than the loss does
        print(__version__)
        return 0
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller, as by >&-
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows "?" for it
    try:
        from tellapart.cli import commands  # here, because it needs more than the loss does

        with commands.told():
            commands.run([word for word in arguments if word != "--debug"])
        sys.stdout.flush()
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        return _explain(error)
    except KeyboardInterrupt:
        return _say("stopped.", 128 + signal.SIGINT)
    return 0


def _explain(error: Exception) -> int:
    """Say in one line what went wrong; the exit code."""
    if isinstance(error, ModuleNotFoundError) and error.name in sys.stdlib_module_names:
        return _say(f"this Python has no module {error.name}, which Linux and macOS have. Use one of these.", 2)
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("tellapart"):
        return _say(f"the package {error.name} is missing. Install it with: pip install 'tellapart[tool]'", 2)
    if isinstance(error, BrokenPipeError):  # the reader of our output left, as in `tellapart … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, OSError):
        where = error.filename or "input or output"
        error = InputError(f"{where}: {error.strerror}. Check the path, its permissions and the room on the disk.")
    if isinstance(error, InputError):
        return _say(" ".join(str(error).split()), 2)
    from tellapart.training import Interrupted

    if isinstance(error, Interrupted):
        return _say(f"{error}. Continue with: {error.again}", 128 + error.signal_number)
    what = f"{type(error).__name__}: {error}"
    return _say(f"internal error, {what}. Run it again with --debug and report what it says.", 1)


def _say(message: str, code: int) -> int:
    print(f"tellapart: {message.encode('utf-8', 'replace').decode()}", file=sys.stderr)
    return code
