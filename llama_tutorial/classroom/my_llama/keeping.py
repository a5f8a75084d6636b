"""After a check: what a student wrote is judged once more in a fresh process and takes its place in `my_llama`."""

import inspect
import linecache
from html import escape
from pathlib import Path

from ..course import SUFFIX, by_name, lessons
from ..course.cut import functions
from ..course.pieces import NAME, PACKAGE, Piece, Unfit, collect, homes, lesson_of, ours, unwritten
from .judging import Remembered, job_of
from .package import complete, must_agree, parts, plain, read_record, store, store_all, write_record
from .progress import done, written
from .speaking import spoken


def keep(obj, exercise: str | None, folder) -> str:
    """Put what passed its check into the package `my_llama` in `folder`, and say so, in a line or a few.

    `obj` is the student's function, class or answer and `exercise` the name it was checked as. Its cell is found by
    the file of its code; imports and helpers are added, all of it is judged once more in a fresh process, and only
    then written. What cannot be kept, and what is ours, is said, never raised.
    """
    folder = Path(folder) if Path(folder).name == NAME else Path(folder) / NAME
    own = getattr(obj, "__name__", type(obj).__name__)
    head = (exercise or own).split(".")[0]
    record = read_record(folder)
    lesson, known = by_name(record["seed"]).get(head, ("", None))
    if known is None:
        return ""
    try:
        if not known.exported:
            told = _passed(head, known, record, folder)
        else:
            told = _kept(obj, own, exercise or "", head, record, folder)
        return "\n".join([told, *_at_the_end(lesson, record)]).strip()
    except (Unfit, OSError) as error:
        return f"not kept: {error}"


def _passed(name: str, exercise, record: dict, folder: Path) -> str:
    """Remember an answer that stands nowhere in the package, and show what its exercise has to show."""
    if name not in record["passed"]:
        record["passed"].append(name)
        write_record(folder, record)
    if not exercise.worked or not done(exercise, record):
        return ""
    if _in_a_notebook():
        summary = f"<summary>{escape(exercise.title or exercise.name)}: an answer of another kind</summary>"
        code = f'<pre style="white-space:pre-wrap">{escape(exercise.worked)}</pre>'
        _show(f"<details>{summary}{code}</details>")
        return ""
    return f"An answer of another kind:\n\n{exercise.worked}"


def _kept(obj, own: str, exercise: str, head: str, record: dict, folder: Path) -> str:
    module = homes()[head]
    place = f"{NAME}/{module}.py"
    files = _files_of(obj)
    from_there = any(Path(file) == folder.resolve() / f"{module}.py" for file in files)
    if from_there and head in record["kept"].get(module, {}):
        return f"✓ yours stands in {place}, and that is the one you have checked"
    if any(Path(file).is_relative_to(PACKAGE) or Path(file).is_relative_to(folder.resolve()) for file in files):
        return f"○ this {head} is ours, lent: nothing is kept as yours, and the exercise stays open"
    if own != head and (isinstance(obj, type) or "." in exercise):
        return f"not kept: it is called {own}; name it {head}, and the package can hold it"
    cells = [*_history(), _cell_of(obj, files)]
    piece = collect(own, cells, module)
    if unwritten(piece.code, functions(piece.code)):
        return f"kept once all of {head} is written"
    if own != head:
        piece = Piece(head, piece.imports, piece.helpers, f"{piece.code}\n\n\n{head} = {own}")
    must_agree(piece, record, module)
    changed = record["kept"].get(module, {}).get(head) != plain(piece)
    if changed:
        (found, _), *_ = Remembered(folder).judge([job_of(piece, module, head, cells)])
        if found["state"] != "passed":
            return f"not kept: by itself, in a fresh process, it does not pass: {found['told']}"
        record["kept"].setdefault(module, {})[head] = plain(piece)
    if not store(folder, record, module):
        return f"not kept: {place} was edited by hand and stays; move it, and `llama-tutorial check` writes yours"
    store_all(folder, record) if complete(record) else write_record(folder, record)
    if _in_a_notebook():
        from ..course.notebook import side_by_side

        _show(side_by_side(head, piece.code, ours(head, lesson_of(module))))
    told = f"✓ yours now stands in {place}"
    lesson = lesson_of(module)
    if written(lesson, record) and (changed or head == parts()[module][-1]):
        told += f"\nEvery part of {lesson} is yours, and the model speaks with them:\n"
        told += "\n".join(spoken(folder, record, Remembered(folder)))
    return told


def _at_the_end(lesson: str, record: dict) -> list[str]:
    """Which notebook comes next, once all exercises of this one are done."""
    if not all(done(each, record) for each in lessons()[lesson]):
        return []
    left = [name for name, here in lessons().items() if not all(done(each, record) for each in here)]
    if not left:
        return ["All exercises of the course are done."]
    following = next((name for name in left if name > lesson), left[0])
    return [f"All exercises of {lesson} are done. Next: {following}{SUFFIX}.ipynb"]


def _history() -> list[str]:
    """The cells that this notebook has run."""
    try:
        return [str(cell) for cell in get_ipython().user_ns.get("In", [])]  # noqa: F821
    except NameError:
        return []


def _files_of(obj) -> set[str]:
    """The files in which a function, or the methods of a class, were written."""
    kind = obj if isinstance(obj, type) or hasattr(obj, "__code__") else type(obj)
    if not isinstance(kind, type):
        return {inspect.unwrap(kind).__code__.co_filename}
    methods = [inspect.unwrap(value) for value in vars(kind).values() if callable(value)]
    codes = [method.__code__ for method in methods if hasattr(method, "__code__")]
    return {code.co_filename for code in codes if code.co_qualname.startswith(kind.__qualname__ + ".")}


def _cell_of(obj, files: set[str]) -> str:
    """The text of the one cell, or file, in which an object was written."""
    name = getattr(obj, "__name__", type(obj).__name__)
    if len(files) != 1:
        raise Unfit(f"the methods of {name} were written in {len(files)} places: write them in one cell")
    text = "".join(linecache.getlines(*files))
    if not text:
        raise Unfit(f"the cell that defines {name} cannot be found: run it once more")
    return text


def _show(text: str) -> None:
    from IPython.display import HTML, display

    display(HTML(text))


def _in_a_notebook() -> bool:
    """Whether this runs in a notebook, which shows HTML."""
    try:
        return get_ipython().__class__.__name__ == "ZMQInteractiveShell"  # noqa: F821
    except NameError:
        return False
