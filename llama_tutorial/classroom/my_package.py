"""`my_llama`, the student's own package: at first every module is lent, and what passes its check takes its place.

A module that is lent executes ours under its own name, so that its imports of siblings lead to the student's parts
and no answer lies open as a copy.
"""

import ast
import hashlib
import json
import re
import sys
from dataclasses import asdict
from pathlib import Path

from .exercises import lessons
from .pieces import (
    FOLDERS,
    NAME,
    PACKAGE,
    Piece,
    Unfit,
    bound,
    homes,
    import_line,
    lesson_of,
    modules,
    segment,
    source_of,
)

MARKER = ".exercises.json"  # in my_llama: which parts are the student's, and the hash of every file as we wrote it

LENT = '''"""Lent: lesson {lesson}'s module, until yours stands here. It is `check` that writes it."""

from llama_tutorial.classroom.my_package import stand_in

stand_in(__name__)
'''
FIRST = '''"""Your Llama: what you wrote and checked, and what is lent until you have."""

from llama_tutorial.classroom.my_package import stand_in

stand_in(__name__)
'''


def stand_in(name: str) -> None:
    """Execute our module of the same name as the module `name` of the student's package."""
    module = sys.modules[name]
    package, _, last = name.rpartition(".")
    path = PACKAGE / f"{last if package else '__init__'}.py"
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), vars(module))
    if not package:  # what is no lesson's stays with us
        vars(module)["_HOME"] = {name: home for name, home in module._HOME.items() if home in modules()}
        module.__all__ = sorted([*module._HOME, "__version__"])


# ------------------------------------------------------------------------------------------------ the package


def lay_out(directory) -> list[str]:
    """Write what is missing of `my_llama` in a directory, every module lent, and say so; no existing file is touched.

    Raises ValueError where a folder of that name is there that we did not make.
    """
    folder = Path(directory) / NAME
    if folder.exists() and not (folder / MARKER).is_file():
        raise ValueError(f"{folder} is there and was not made by this command: move it, or choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    record, made = read_record(folder), 0
    for module in ("__init__", *modules()):
        path = folder / f"{module}.py"
        text = LENT.format(lesson=lesson_of(module)) if module in modules() else FIRST
        try:
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
        except FileExistsError:
            continue
        made += module in modules()
        record["written"][path.name] = _hash(path)
    for name in FOLDERS:
        _copy_folder(PACKAGE / name, folder, record)
    write_record(folder, record)
    return [f"{made} modules lent to {folder}"] if made else []


def _copy_folder(source: Path, folder: Path, record: dict) -> None:
    """Put a folder of ours beside the student's modules, and renew what nobody edited there."""
    (folder / source.name).mkdir(exist_ok=True)
    for path in source.glob("*.py"):
        place, name = folder / source.name / path.name, f"{source.name}/{path.name}"
        if not place.exists() or _hash(place) == record["written"].get(name) != _hash(path):
            _write(place, path.read_text(encoding="utf-8"))
            record["written"][name] = _hash(place)


def read_record(folder: Path) -> dict:
    """What is known of a student's package: the parts that are theirs, and the files as we wrote them."""
    try:
        record = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        return {"kept": dict(record["kept"]), "written": dict(record["written"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"kept": {}, "written": {}}


def write_record(folder: Path, record: dict) -> None:
    _write(folder / MARKER, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".tmp")
    fresh.write_text(text, encoding="utf-8", newline="\n")
    fresh.replace(path)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def parts() -> dict[str, list[str]]:
    """What a student writes of each module: the functions and classes that the exercises cut into."""
    found: dict[str, list[str]] = {}
    for exercises in lessons().values():
        for exercise in exercises:
            head = exercise.name.split(".")[0]
            if exercise.kind == "implement" and head not in found.setdefault(homes()[head], []):
                found[homes()[head]].append(head)
    return found


def progress(directory) -> str:
    """How much of the package beside a notebook is the student's, in one line."""
    folder = Path(directory) / NAME
    if not (folder / MARKER).is_file():
        return f"There is no {NAME} beside this notebook: llama-tutorial exercises makes one. Checks work without it."
    kept = read_record(folder)["kept"]
    whole = sum(map(len, parts().values()))
    done = sum(name in kept.get(module, {}) for module, names in parts().items() for name in names)
    return f"{NAME}: {done} of {whole} parts are yours, the others are lent"


def render(module: str, pieces: dict[str, Piece]) -> str:
    """The text of a module with a student's pieces in it: on top of ours while some are missing, else by itself."""
    if not pieces:
        return LENT.format(lesson=lesson_of(module))
    names = [name for name in homes() if name in pieces]
    told = ", ".join(f"`{name}`" for name in names)
    if set(parts().get(module, ())) <= set(pieces):
        return _whole(module, pieces, told)
    imports = sorted({line for piece in pieces.values() for line in piece.imports})
    return (
        f'"""Yours: {told}; the rest is lent. Written by `check` from your notebook: edit it there, not here."""\n\n'
        "from llama_tutorial.classroom.my_package import stand_in\n\n"
        "stand_in(__name__)\n\n" + "\n".join(imports) + "\n\n\n" + "\n\n\n".join(blocks(pieces, names)) + "\n"
    )


def blocks(pieces: dict[str, Piece], names, written=()) -> list[str]:
    """The code of pieces, each after its helpers; a helper that two of them share stands once."""
    blocks, done = [], set(written)
    for name in names:
        piece = pieces[name]
        blocks += [code for helper, code in piece.helpers.items() if helper not in done]
        done |= set(piece.helpers)
        blocks.append(piece.code)
    return blocks


def _whole(module: str, pieces: dict[str, Piece], told: str) -> str:
    """Our module with every part that a student wrote in the place of ours: it needs ours no more."""
    text = source_of(module)
    lines, body = text.splitlines(), ast.parse(text).body
    done: set[str] = set()
    theirs = {}
    for node in body:
        for name in bound(node):
            if name in pieces and not isinstance(node, ast.Import | ast.ImportFrom):
                theirs[id(node)] = "\n\n\n".join(blocks(pieces, [name], done))
                done |= set(pieces[name].helpers)
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    there = {import_line(node, name, None) for node in imports for name in bound(node)}
    new = sorted({line for piece in pieces.values() for line in piece.imports} - there)
    for node in reversed(body):
        if id(node) in theirs:
            first = node.lineno - 1 - (len(segment(lines, node).splitlines()) - (node.end_lineno - node.lineno + 1))
            lines[first : node.end_lineno] = theirs[id(node)].splitlines()
        if imports and node is imports[-1]:
            lines[node.end_lineno : node.end_lineno] = new
    title = (ast.get_docstring(ast.parse(text)) or module).splitlines()[0]
    head = f'"""{title}, yours: {told}.\n\nWritten by `check` from your notebook: edit it there, not here.\n"""'
    rest = [line for line in lines[body[0].end_lineno :] if not line.startswith("# Exported from notebooks/")]
    return re.sub(r"\n{4,}", "\n\n\n", head + "\n" + "\n".join(rest)).rstrip() + "\n"


def store(folder: Path, record: dict, module: str) -> bool:
    """Write a module as the record has it; False where the file was edited by hand, which is then left alone."""
    path = folder / f"{module}.py"
    if path.exists() and _hash(path) != record["written"].get(path.name):
        return False
    pieces = {name: Piece(**piece) for name, piece in record["kept"].get(module, {}).items()}
    _write(path, render(module, pieces))
    record["written"][path.name] = _hash(path)
    write_record(folder, record)
    return True


# ------------------------------------------------------------------------------------------------ what passes


def plain(piece: Piece) -> dict:
    return json.loads(json.dumps(asdict(piece)))


def alone(module: str, piece: Piece) -> str:
    """A module with this one piece in it: ours stand in for everything else while it is judged."""
    head = "from llama_tutorial.classroom.my_package import stand_in\n\nstand_in(__name__)\n"
    return "\n\n\n".join([head + "\n".join(piece.imports), *blocks({piece.name: piece}, [piece.name])]) + "\n"


def must_agree(piece: Piece, record: dict, module: str) -> None:
    """Unfit where a name that the piece brings along stands for something else elsewhere in the module."""
    imports = [node for node in ast.parse(source_of(module)).body if isinstance(node, ast.Import | ast.ImportFrom)]
    others = {"the lesson": {name: import_line(node, name, None) for node in imports for name in bound(node)}}
    for name, other in record["kept"].get(module, {}).items():
        others |= {f"your {name}": _brings(Piece(**other))} if name != piece.name else {}
    for owner, names in others.items():
        for name, code in _brings(piece).items():
            if name in names and not _same_thing(code, names[name]):
                raise Unfit(f"{owner} has another {name}: give yours another name")


def _brings(piece: Piece) -> dict[str, str]:
    """The names that a piece brings along, helpers and imports, and the code of each."""
    imports = {name: line for line in piece.imports for name in bound(ast.parse(line).body[0])}
    return {**imports, **piece.helpers}


def _same_thing(one: str, other: str) -> bool:
    """Whether two pieces of code are the same, or import the same object by other words."""
    if one == other or not (one.startswith(("from ", "import ")) and other.startswith(("from ", "import "))):
        return one == other
    found = []
    for line in (one, other):
        space: dict = {}
        try:
            exec(line, space)
        except ImportError:
            return False
        found.append([value for name, value in space.items() if name != "__builtins__"])
    return all(mine is theirs for mine, theirs in zip(*found))
