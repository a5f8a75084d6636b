"""`my_llama`, the student's own package: at first every module is lent, and what passes its check takes its place.

A module that is lent executes ours under its own name, so that its imports of siblings lead to the student's parts
and no answer lies open as a copy.
"""

import ast
import hashlib
import json
import re
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from ..course import SUFFIX, lessons
from ..course.pieces import (
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

MARKER = ".exercises.json"  # in my_llama: what is the student's, and the hash of every file as we wrote it

LENT = '''"""Lent: lesson {lesson}'s module, until yours stands here. It is `check` that writes it."""

from llama_tutorial.classroom import stand_in

stand_in(__name__)
'''
FIRST = '''"""Your Llama: what you wrote and checked, and what is lent until you have."""

from llama_tutorial.classroom import stand_in

stand_in(__name__)
'''
WHOLE = '''"""Your Llama: every part that the course left to you is yours."""

from importlib import import_module

__version__ = "{version}"

# In which module each public name is defined.
_HOME = {homes}

__all__ = sorted([*_HOME, "__version__"])


{functions}
'''


def stand_in(name: str) -> None:
    """Execute our module of the same name as the module `name` of the student's package."""
    module = sys.modules[name]
    package, _, last = name.rpartition(".")
    path = PACKAGE / f"{last if package else '__init__'}.py"
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), vars(module))
    if not package:  # what is no lesson's stays with us
        vars(module)["_HOME"] = _homes_there(module._HOME)
        module.__all__ = sorted([*module._HOME, "__version__"])


def _homes_there(homes_here: dict) -> dict:
    """The public names that a student's package has as well, and their modules."""
    return {name: home for name, home in homes_here.items() if home.split(".")[0] in (*modules(), *FOLDERS)}


# ------------------------------------------------------------------------------------------------ the package


def lay_out(directory) -> list[str]:
    """Write what is missing of `my_llama` in a directory, renew what is older than ours, and say so.

    No file is touched that somebody edited. Raises ValueError where a folder of that name is there that we did not
    make.
    """
    folder = Path(directory) / NAME
    if folder.exists() and not (folder / MARKER).is_file():
        raise ValueError(
            f"{folder} is there, and was not made by llama-tutorial (it has no {MARKER}): rename it, and a new one is "
            "made from your notebooks"
        )
    folder.mkdir(parents=True, exist_ok=True)
    record = read_record(folder)
    record["seed"] = seed_of(directory)
    before = dict(record["written"])
    for name in FOLDERS:
        _copy_folder(PACKAGE / name, folder, record)
    for module in ("__init__", *modules()):
        store(folder, record, module)
    _remove_strays(folder, record)
    write_record(folder, record)
    files = [f"{module}.py" for module in modules()]
    made = sum(name in record["written"] and name not in before for name in files)
    renewed = sum(record["written"].get(name, old) != old for name, old in before.items())
    told = [f"{made} modules lent to {folder}"] if made else []
    return told + ([f"{renewed} files of {folder} renewed: the course has become newer"] if renewed else [])


def _copy_folder(source: Path, folder: Path, record: dict) -> None:
    """Put a folder of ours beside the student's modules, and renew what nobody edited there."""
    (folder / source.name).mkdir(exist_ok=True)
    for path in source.glob("*.py"):
        place, name = folder / source.name / path.name, f"{source.name}/{path.name}"
        _renew(place, _turned(path.read_text(encoding="utf-8")), name, record)


def _renew(place: Path, text: str, name: str, record: dict) -> bool:
    """Write a file that is missing, or that is still as we wrote it; False where somebody edited it."""
    if place.exists() and _hash(place.read_bytes()) != record["written"].get(name):
        return False
    if _hash(text.encode()) != record["written"].get(name) or not place.exists():
        _write(place, text)
        record["written"][name] = _hash(text.encode())
    return True


def _remove_strays(folder: Path, record: dict) -> None:
    """Remove modules of an older course that nobody edited and that are no part of this one."""
    for name, written in list(record["written"].items()):
        place = folder / name
        home = name.removesuffix(".py").split("/")[0]
        if home not in ("__init__", *modules(), *FOLDERS) and place.is_file() and _hash(place.read_bytes()) == written:
            place.unlink()
            del record["written"][name]


def read_record(folder: Path) -> dict:
    """What is known of a student's package: parts that are theirs, answers that passed, their seed, and our files."""
    try:
        record = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        passed = [str(name) for name in record.get("passed", [])]
        found = {"kept": dict(record["kept"]), "written": dict(record["written"]), "passed": passed}
        return found | {"seed": _whole_number(record.get("seed"))}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {"kept": {}, "written": {}, "passed": [], "seed": None}


def seed_of(directory) -> int | None:
    """The seed of the exercises in a folder: as its my_llama has it, or else its first notebook; None for none."""
    record = read_record(Path(directory) / NAME)
    if record["written"]:
        return record["seed"]
    for path in sorted(Path(directory).glob(f"*{SUFFIX}.ipynb")):
        try:
            return _whole_number(json.loads(path.read_text(encoding="utf-8"))["metadata"].get("seed"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return None


def _whole_number(value) -> int | None:
    return value if type(value) is int and value >= 0 else None


def write_record(folder: Path, record: dict) -> None:
    """Keep what is known of a student's package."""
    _write(folder / MARKER, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".tmp")
    fresh.write_text(text, encoding="utf-8", newline="\n")
    fresh.replace(path)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _turned(text: str) -> str:
    """Our code as it stands in the student's package."""
    return re.sub(r"\bllama_tutorial\b", NAME, text)


def parts() -> dict[str, list[str]]:
    """What a student writes of each module: the functions and classes that the exercises cut into."""
    found: dict[str, list[str]] = {}
    for exercises in lessons().values():
        for exercise in exercises:
            head = exercise.name.split(".")[0]
            if exercise.exported and head not in found.setdefault(homes()[head], []):
                found[homes()[head]].append(head)
    return found


def complete(record: dict, module: str | None = None) -> bool:
    """Whether all parts of a module are the student's, or all parts of the course."""
    wanted = parts() if module is None else {module: parts().get(module, [])}
    return all(name in record["kept"].get(home, {}) for home, names in wanted.items() for name in names)


def text_of(module: str, record: dict) -> str:
    """The text of a module as the record has it.

    The student's pieces stand on top of ours while some are missing, and by themselves once all are theirs; once the
    whole course is, every module stands by itself.
    """
    pieces = {name: Piece(**piece) for name, piece in record["kept"].get(module, {}).items()}
    if module == "__init__":
        return _first_alone() if complete(record) else FIRST
    if complete(record) or (pieces and complete(record, module)):
        return _whole(module, pieces)
    if not pieces:
        return LENT.format(lesson=lesson_of(module))
    names = [name for name in homes() if name in pieces]
    told = ", ".join(f"`{name}`" for name in names)
    imports = sorted({line for piece in pieces.values() for line in piece.imports})
    return (
        f'"""Yours: {told}; the rest is lent. Written by `check` from your notebook: edit it there, not here."""\n\n'
        "from llama_tutorial.classroom import stand_in\n\n"
        "stand_in(__name__)\n\n" + "\n".join(imports) + "\n\n\n" + "\n\n\n".join(blocks(pieces, names)) + "\n"
    )


def _first_alone() -> str:
    """The `__init__` of a package that needs ours no more."""
    from ... import _HOME, __version__

    lines = source_of("__init__").splitlines()
    functions = [node for node in ast.parse("\n".join(lines)).body if isinstance(node, ast.FunctionDef)]
    told = "\n\n\n".join(segment(lines, node) for node in functions)
    return WHOLE.format(version=__version__, homes=json.dumps(_homes_there(_HOME), indent=4), functions=told)


def blocks(pieces: dict[str, Piece], names, written=()) -> list[str]:
    """The code of pieces, each after its helpers; a helper that two of them share stands once."""
    blocks, done = [], set(written)
    for name in names:
        piece = pieces[name]
        blocks += [code for helper, code in piece.helpers.items() if helper not in done]
        done |= set(piece.helpers)
        blocks.append(piece.code)
    return blocks


def _whole(module: str, pieces: dict[str, Piece]) -> str:
    """Our module with every part that a student wrote in the place of ours: it needs ours no more."""
    text = _turned(source_of(module))
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
    names = ", ".join(f"`{name}`" for name in homes() if name in pieces)
    head = f'"""{title}, as lesson {lesson_of(module)} has it.\n"""'
    if pieces:
        head = f'"""{title}, yours: {names}.\n\nWritten by `check` from your notebook: edit it there, not here.\n"""'
    rest = [line for line in lines[body[0].end_lineno :] if not line.startswith("# Exported from notebooks/")]
    return re.sub(r"\n{4,}", "\n\n\n", head + "\n" + "\n".join(rest)).rstrip() + "\n"


def store(folder: Path, record: dict, module: str) -> bool:
    """Write a module as the record has it; False where the file was edited by hand, which is then left alone.

    The record of what was written changes with it, and is not yet written.
    """
    text = text_of(module, record)
    if "stand_in(__name__)" not in text and '/ "assets"' in text:  # it reads what lies beside it
        _copy_assets(folder)
    return _renew(folder / f"{module}.py", text, f"{module}.py", record)


def _copy_assets(folder: Path) -> None:
    """Put the weights and the tokenizer that travel with the course into the student's package."""
    if not (folder / "assets").exists():
        fresh = folder / "assets.tmp"
        shutil.copytree(PACKAGE / "assets", fresh, dirs_exist_ok=True)
        fresh.replace(folder / "assets")


def store_all(folder: Path, record: dict) -> list[str]:
    """Write every module as the record has it; returns the names of those that were edited by hand and stay."""
    edited = [module for module in ("__init__", *modules()) if not store(folder, record, module)]
    write_record(folder, record)
    return edited


# ------------------------------------------------------------------------------------------------ what passes


def plain(piece: Piece) -> dict:
    return json.loads(json.dumps(asdict(piece)))


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
