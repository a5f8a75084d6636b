"""A student's desk: the notebooks and `my_llama/` are laid out, and each notebook is made ready when it begins."""

import json
import linecache
import sys
import tempfile
from pathlib import Path

from . import exercises
from .my_package import lay_out, progress


def write_exercises(directory) -> list[str]:
    """Write the exercise notebooks that are missing and `my_llama/`; say, a line each, what was done or left alone.

    No file that exists is written to: a notebook that has become newer comes beside the student's and is named.
    Raises ValueError for the folder in which the lessons themselves lie, OSError where it cannot be written.
    """
    from ..lab import copy_lessons, find_lessons

    directory = Path(directory)
    if directory.resolve() == find_lessons()[0].resolve():
        raise ValueError(f"{directory} holds the lessons themselves: give a folder of your own, such as my_course")
    with tempfile.TemporaryDirectory() as fresh:
        for lesson in exercises.lessons():
            text = json.dumps(exercises.build(lesson), indent=1, ensure_ascii=False) + "\n"
            (Path(fresh) / f"{lesson}{exercises.SUFFIX}.ipynb").write_bytes(text.encode())
        told = copy_lessons(fresh, directory, what="exercise notebooks")
    return told + lay_out(directory)


def begin(say=print) -> None:
    """Make a student's notebook ready: `my_llama` can be imported, and what is not yet written says so in one line."""
    here = Path.cwd()
    if (here / "my_llama").is_dir() and str(here) not in sys.path and "" not in sys.path:
        sys.path.insert(0, str(here))
    try:
        shell = get_ipython()  # noqa: F821
    except NameError:
        shell = None
    if shell is not None:
        shell.set_custom_exc((NotImplementedError,), _in_one_line)
    say(progress(here))


def _in_one_line(shell, kind, error, trace, tb_offset=None):
    """How IPython shows what is not yet written: a line, no traceback. PyTorch's own errors of the kind stay whole."""
    last = trace
    while last.tb_next is not None:
        last = last.tb_next
    code = last.tb_frame.f_code
    if kind.__name__ not in linecache.getline(code.co_filename, last.tb_lineno):
        return shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
    line = f"○ Not yet written: {code.co_qualname}. {error}"
    shell._showtraceback(kind, error, [line])
    return [line]
