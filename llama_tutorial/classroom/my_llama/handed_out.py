"""An exercise put back as it was handed out; what stood in its place is kept beside it."""

import ast
import json
import re
from pathlib import Path

from ..course import SUFFIX, Exercise, build, by_name, known_names
from ..course.cut import functions
from ..course.pieces import NAME, bound, defined_in, homes, segment
from .package import MARKER, read_record, seed_of, store_all, write_record


def reset(name: str, directory) -> list[str]:
    """Put an exercise of a student's folder back as it was handed out, and say what was done, a line each.

    The notebook as it was is copied beside it first, under a name that no file has. Raises KeyError for a name that no
    exercise has, ValueError where its notebook is missing or cannot be read.
    """
    if name not in by_name():
        raise KeyError(known_names(name))
    seed = seed_of(directory)
    lesson, exercise = by_name(seed)[name]
    path = Path(directory) / f"{lesson}{SUFFIX}.ipynb"
    if not path.is_file():
        raise ValueError(f"there is no {path}: llama-tutorial exercises {directory} writes it")
    text = path.read_text(encoding="utf-8")
    try:
        notebook = json.loads(text)
        cells = [cell | {"source": "".join(cell["source"])} for cell in notebook["cells"]]
    except (ValueError, KeyError, TypeError):
        told = f"{path} cannot be read as a notebook: rename it, and llama-tutorial exercises writes it anew"
        raise ValueError(told) from None
    cells = _put_back(cells, name, exercise, build(lesson, seed)["cells"])
    if [cell["source"] for cell in cells] == ["".join(cell["source"]) for cell in notebook["cells"]]:
        return [f"nothing to do: {exercise.name} is as it was handed out"]
    backup = _beside(path, text)
    _write(path, json.dumps(notebook | {"cells": cells}, indent=1, ensure_ascii=False) + "\n")
    _forget(exercise, Path(directory) / NAME)
    return [
        f"{exercise.title or exercise.name} in {path} is as it was handed out; open it anew where it is open",
        f"What you had stands in {backup}",
    ]


def _put_back(cells: list[dict], name: str, exercise: Exercise, handed_out: list[dict]) -> list[dict]:
    """A notebook's cells with the exercise's own as it was handed out, and no other that defines its names."""
    names = set(exercise.answers) if exercise.answers else {exercise.name.split(".")[0]}
    first = next(cell for cell in handed_out if cell["cell_type"] == "code" and names & set(defined_in(cell["source"])))
    mine = [i for i, cell in enumerate(cells) if cell["cell_type"] == "code" and _defines(cell["source"], names)]
    same = [i for i, cell in enumerate(cells) if cell.get("id") == first["id"]]
    check = [i for i, cell in enumerate(cells) if re.search(rf"check\(({'|'.join(names)})\b", cell["source"])]
    if same or mine:
        place = same[0] if same else mine[-1]
        source = _one_of_several(name, cells[place]["source"], first["source"])
        cells[place] = cells[place] | {"source": source, "outputs": [], "execution_count": None}
    else:
        place = check[0] if check else len(cells)
        cells.insert(place, dict(first))
    left = []
    for i, cell in enumerate(cells):
        if i != place and cell["cell_type"] == "code" and _defines(cell["source"], names):
            cell = cell | {"source": _without(cell["source"], names), "outputs": [], "execution_count": None}
            if not cell["source"].strip():
                continue
        left.append(cell)
    return left


def _one_of_several(name: str, old: str, new: str) -> str:
    """The cell as handed out; but of a class of which several methods are asked, only this one is put back."""
    owner, _, method = name.partition(".")
    if not method or new.count("raise NotImplementedError(") < 2:
        return new
    try:
        theirs, ours = functions(old)[name], functions(new)[name]
    except (SyntaxError, KeyError):
        return new
    lines = old.splitlines()
    lines[theirs[-1].lineno - 1 : theirs[-1].end_lineno] = segment(new.splitlines(), ours[-1]).splitlines()
    return "\n".join(lines)


def _defines(source: str, names: set[str]) -> bool:
    try:
        return bool(names & {name for node in ast.parse(source).body for name in bound(node)})
    except SyntaxError:
        any_of_them = "|".join(names)
        return bool(re.search(rf"^(def|class)\s+({any_of_them})\b|^({any_of_them})\s*[:=]", source, re.MULTILINE))


def _without(source: str, names: set[str]) -> str:
    """A cell without the statements that define the names; nothing of one that cannot be read."""
    try:
        nodes = [node for node in ast.parse(source).body if names & set(bound(node))]
    except SyntaxError:
        return ""
    lines = source.splitlines()
    for node in reversed(nodes):
        del lines[node.end_lineno - len(segment(lines, node).splitlines()) : node.end_lineno]
    return "\n".join(lines)


def _beside(path: Path, text: str) -> Path:
    """Write a text beside a notebook, under a name that nothing has."""
    for number in range(1, 10_000):
        place = path.with_name(f"{path.stem}.before_reset_{number}.ipynb")
        try:
            with place.open("x", encoding="utf-8", newline="") as file:
                file.write(text)
            return place
        except FileExistsError:
            continue
    raise ValueError(f"{path.parent} is full of {path.stem}.before_reset_…: remove some")


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".tmp")
    fresh.write_text(text, encoding="utf-8", newline="\n")
    fresh.replace(path)


def _forget(exercise: Exercise, folder: Path) -> None:
    """Lend again what the exercise had put into the package."""
    if not (folder / MARKER).is_file():
        return
    record, head = read_record(folder), exercise.name.split(".")[0]
    if exercise.exported:
        record["kept"].get(homes()[head], {}).pop(head, None)
    record["passed"] = [name for name in record["passed"] if name not in exercise.answers]
    write_record(folder, record)
    store_all(folder, record)
