"""Text from the keyboard, a pipe or a file on stdin, whatever its encoding."""

import os
import sys


def from_stdin(what: str, one_line: bool = False) -> str:
    """What stands on stdin as text, all of it or its next line, without the mark with which some files begin.

    It is read as UTF-8, and what is not UTF-8 in the encoding that the locale or PYTHONIOENCODING names. Windows pipes
    in another encoding than the one that its locale names, so there only PYTHONIOENCODING counts.
    """
    source = getattr(sys.stdin, "buffer", sys.stdin)
    try:
        given = "" if source is None else source.readline() if one_line else source.read()
    except OSError as error:
        raise ValueError(f"{what} cannot be read from stdin: {error}") from None
    if isinstance(given, bytes):
        given = decoded(given, f"{what} on stdin", sys.stdin.encoding)
    return given.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def decoded(given: bytes, what: str, otherwise: str) -> str:
    """Bytes of UTF-8, or else of the encoding that someone has named, as text; ValueError where they are neither."""
    try:
        return given.decode()
    except UnicodeDecodeError as error:
        told = f"{what} must be UTF-8, got byte {given[error.start]:#04x} at {error.start}: save it as UTF-8"
    named = os.name != "nt" or "PYTHONIOENCODING" in os.environ
    try:
        if named and b"\0" not in given:  # in UTF-16, which every one of the old encodings would take for letters
            return given.decode(otherwise)
    except UnicodeDecodeError:
        pass
    raise ValueError(f"{told}, or name its encoding in PYTHONIOENCODING")


def read_line() -> str:
    """A line from the user, asked for where someone sits at the keyboard; empty at the end."""
    if sys.stdin is None or not sys.stdin.isatty():
        return from_stdin("a message", one_line=True).strip()
    try:
        return input("> ").strip()
    except EOFError:
        return ""
