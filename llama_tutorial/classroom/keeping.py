"""After a check: what a student wrote is judged once more in a fresh process and takes its place in `my_llama`."""

import inspect
import linecache
from pathlib import Path

from .cut import functions
from .judging import job_of, judge_afresh
from .my_package import must_agree, parts, plain, read_record, store
from .pieces import NAME, Piece, Unfit, collect, homes, lesson_of, ours, unwritten


def keep(obj, exercise: str | None, folder) -> str:
    """Put what passed its check into the package `my_llama` in `folder`, and say so in one line.

    `obj` is the student's function or class and `exercise` the name it was checked as. Its cell is found by the file
    of its code; imports and helpers are added, all of it is judged once more in a fresh process, and only then
    written. What cannot be kept is said, never raised.
    """
    folder = Path(folder) if Path(folder).name == NAME else Path(folder) / NAME
    own = getattr(obj, "__name__", type(obj).__name__)
    head = (exercise or own).split(".")[0]
    module = homes().get(head, "")
    if head not in parts().get(module, ()):
        return ""
    if own != head and (isinstance(obj, type) or "." in (exercise or "")):
        return f"not kept: it is called {own}; name it {head}, and the package can hold it"
    try:
        piece = collect(own, [*_history(), _cell_of(obj)], module)
        if unwritten(piece.code, functions(piece.code)):
            return f"kept once all of {head} is written"
        if own != head:
            piece = Piece(head, piece.imports, piece.helpers, f"{piece.code}\n\n\n{head} = {own}")
        record = read_record(folder)
        must_agree(piece, record, module)
        return _keep(piece, module, folder, record)
    except (Unfit, OSError) as error:
        return f"not kept: {error}"


def _keep(piece: Piece, module: str, folder: Path, record: dict) -> str:
    head, place = piece.name, f"{NAME}/{module}.py"
    if record["kept"].get(module, {}).get(head) != plain(piece):
        state, told = judge_afresh([job_of(piece, module)])[0]
        if state != "passed":
            return f"not kept: by itself, in a fresh process, it does not pass: {told}"
        record["kept"].setdefault(module, {})[head] = plain(piece)
    if not store(folder, record, module):
        return f"not kept: {place} was edited by hand and stays; move it, and `llama-tutorial check` writes yours"
    if _in_a_notebook():
        from IPython.display import HTML, display

        from .exercises.notebook import side_by_side

        display(HTML(side_by_side(head, piece.code, ours(head, lesson_of(module)))))
    return f"✓ yours now stands in {place}"


def _history() -> list[str]:
    """The cells that this notebook has run."""
    try:
        return [str(cell) for cell in get_ipython().user_ns.get("In", [])]  # noqa: F821
    except NameError:
        return []


def _cell_of(obj) -> str:
    """The cell, or the file, in which a function or class was written, by the file of its code."""
    kind = obj if isinstance(obj, type) or hasattr(obj, "__code__") else type(obj)
    if isinstance(kind, type):
        methods = [inspect.unwrap(value) for value in vars(kind).values() if callable(value)]
        codes = [method.__code__ for method in methods if hasattr(method, "__code__")]
        files = {code.co_filename for code in codes if code.co_qualname.startswith(kind.__qualname__ + ".")}
        if len(files) != 1:
            raise Unfit(f"the methods of {kind.__name__} were written in {len(files)} places: write them in one cell")
    else:
        files = {inspect.unwrap(kind).__code__.co_filename}
    text = "".join(linecache.getlines(files.pop()))
    if not text:
        raise Unfit(f"the cell that defines {getattr(kind, '__name__', kind)} cannot be found: run it once more")
    return text


def _in_a_notebook() -> bool:
    """Whether this runs in a notebook, which shows HTML."""
    try:
        return get_ipython().__class__.__name__ == "ZMQInteractiveShell"  # noqa: F821
    except NameError:
        return False
