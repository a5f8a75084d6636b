"""What knows terminals: encodings, pipes, exit statuses, mistakes told in one line. It imports nothing else of ours."""

from .ending import PROGRAM, in_one_line, run
from .reading import decoded, from_stdin, read_line
from .writing import as_written, in_place, nearest, never_fail

__all__ = [
    "PROGRAM", "as_written", "decoded", "from_stdin", "in_one_line", "in_place", "nearest", "never_fail", "read_line",
    "run",
]  # fmt: skip
