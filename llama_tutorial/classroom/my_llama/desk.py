"""A student's desk: the notebooks and `my_llama/` are laid out, and each notebook is made ready when it begins."""

import json
import linecache
import sys
import tempfile
from importlib import invalidate_caches
from pathlib import Path

from .. import course
from ..course.pieces import NAME
from .package import lay_out, seed_of
from .progress import is_course, progress
from .watching import watch

AGENTS = """# For an assistant in this folder

Somebody learns here how Llama works, by writing its parts. What they write themselves is what they learn.

Please do:

- ask what they expect, what they see, and which line they doubt, before you explain anything;
- have them run `check(...)`, and read with them what it says: it names the mistake, or the line from which the numbers
  go wrong;
- point to the hints, which fold out one from another above each exercise: the first, then the second;
- explain an idea on another example than the one asked for, with small numbers;
- run `llama-tutorial check .` (`--json` for you) to see how far they are.

Please do not:

- write the body of an exercise, or say its lines, or answer what is to be predicted;
- show `llama-tutorial solution NAME` unless they ask for that by name;
- edit anything in `my_llama/`: `check` writes it from the notebooks;
- change a task, a hint or a `check` cell of a notebook.

`llama-tutorial reset NAME .` puts an exercise back as it was handed out, and keeps what stood there.
"""


def write_exercises(directory, seed: int | None = None) -> list[str]:
    """Write the exercise notebooks that are missing and `my_llama/`; say, a line each, what was done or left alone.

    `seed` varies the numbers in some exercises; a folder keeps the one that it began with. No file of the student's
    is written to: a notebook that has become newer comes beside theirs and is named. Raises ValueError for the folder
    in which the lessons themselves lie and for one that began with another seed, OSError where it cannot be written.
    """
    from ...lab import copy_lessons, find_lessons

    directory = Path(directory)
    if directory.resolve() == find_lessons()[0].resolve():
        raise ValueError(f"{directory} holds the lessons themselves: give a folder of your own, such as my_course")
    if is_course(directory):
        known = seed_of(directory)
        if seed not in (None, known):
            began = "without a seed" if known is None else f"with the seed {known}"
            raise ValueError(f"the exercises in {directory} began {began}: for the seed {seed} give another folder")
        seed = known
    with tempfile.TemporaryDirectory() as fresh:
        for lesson in course.lessons():
            text = json.dumps(course.build(lesson, seed), indent=1, ensure_ascii=False) + "\n"
            (Path(fresh) / f"{lesson}{course.SUFFIX}.ipynb").write_bytes(text.encode())
        told = copy_lessons(fresh, directory, what="exercise notebooks")
    told += lay_out(directory)
    try:
        with (directory / "AGENTS.md").open("x", encoding="utf-8", newline="\n") as file:
            file.write(AGENTS)
        told.append(f"{directory / 'AGENTS.md'} tells an assistant how to help without giving the answer")
    except FileExistsError:
        pass
    return told


def begin(say=print) -> None:
    """Make a student's notebook ready: `my_llama` can be imported, and what is not yet written says so in one line.

    A `my_llama` that is missing is laid out anew, and one that an older course wrote is renewed.
    """
    here = Path.cwd()
    missing = not (here / NAME).exists()
    if not is_course(here):
        say(f"There is no {NAME} in {here}, which the cells below import: llama-tutorial exercises DIR makes a folder")
        say("with this notebook and its my_llama; open the notebook there.")
    else:
        try:
            lay_out(here)
        except (OSError, ValueError) as error:
            say(f"{error}")
        if missing:
            invalidate_caches()
            say(f"{NAME} was missing and is laid out anew, all of it lent: llama-tutorial check . puts yours back")
        if str(here) not in sys.path and "" not in sys.path:
            sys.path.insert(0, str(here))
        say(progress(here))
    try:
        shell = get_ipython()  # noqa: F821
    except NameError:
        shell = None
    if shell is not None:
        shell.set_custom_exc((NotImplementedError,), _in_one_line)
        watch(shell, say)


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
