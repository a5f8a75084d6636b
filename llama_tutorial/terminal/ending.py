"""How a command line ends: its exit status, and a mistake in one line."""

import os
import sys

from .writing import never_fail

PROGRAM = "llama-tutorial"


def run(app, argv: list[str]) -> int:
    """Run a command line of a typer application and return its exit status; a mistake is one line on stderr.

    0 done, 1 failed, 2 a mistake in what was given, 130 interrupted.
    """
    never_fail(sys.stdout, sys.stderr)
    debug = "--debug" in argv
    argv = [word for word in argv if word != "--debug"]
    try:
        status = app(argv, prog_name=PROGRAM, standalone_mode=False)
        if sys.stdout:  # None where it was closed from the start
            sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except BrokenPipeError:  # whoever read us has stopped, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            raise
        print(f"{PROGRAM}: {in_one_line(error)}", file=sys.stderr)
        mistake = isinstance(error, (ValueError, TypeError, KeyError, IndexError, OSError))
        return getattr(error, "exit_code", 2 if mistake else 1)


def in_one_line(error: Exception) -> str:
    """What an error says, in one line."""
    if hasattr(error, "format_message"):  # a mistake in the options
        command = getattr(getattr(error, "ctx", None), "command_path", PROGRAM)
        text = f"{error.format_message()} ({command} --help)"
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror + (f": {error.filename}" if error.filename else "")
    elif isinstance(error, KeyError) and error.args:
        text = str(error.args[0])
    else:
        text = str(error)
    return " ".join(text.split()) or type(error).__name__
