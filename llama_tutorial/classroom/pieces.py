"""A student's definition taken out of the cells of a notebook, with the imports and helpers that it needs."""

import ast
import builtins
import re
import symtable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
NAME = "my_llama"
BY_HAND = ("__init__", "__main__", "cli")


class Unfit(ValueError):
    """Why a student's code cannot stand in a module, in one sentence."""


# ------------------------------------------------------------------------------------------------ what is ours


@cache
def modules() -> tuple[str, ...]:
    """The modules that the lessons export, by name."""
    return tuple(sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem not in BY_HAND))


def source_of(module: str) -> str:
    """The text of one of our modules."""
    return (PACKAGE / f"{module}.py").read_text(encoding="utf-8")


@cache
def homes() -> dict[str, str]:
    """The module of every name that a lesson defines at the top."""
    found = {}
    for module in modules():
        for node in ast.parse(source_of(module)).body:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                found |= {name: module for name in bound(node) if not name.startswith("__")}
    return found


def lesson_of(module: str) -> str:
    """The lesson that exports a module, such as "03_rms_norm"."""
    found = re.search(r"^# Exported from notebooks/(\w+)\.ipynb", source_of(module), re.MULTILINE)
    return found[1] if found else ""


def ours(name: str, lesson: str) -> str:
    """Our own definition of a function, a class or a method (`LlamaRMSNorm.forward`), as text."""
    head, _, method = name.partition(".")
    text = source_of(homes()[head])
    nodes = [node for node in ast.parse(text).body if head in bound(node)]
    if method:
        nodes = [node for node in nodes[-1].body if getattr(node, "name", "") == method]
    code = segment(text.splitlines(), nodes[-1])
    indent = len(code) - len(code.lstrip())
    return "\n".join(line[indent:] for line in code.splitlines())


# ------------------------------------------------------------------------------------------------ a student's part


@dataclass(frozen=True)
class Piece:
    """A definition that a student wrote, with the imports and helpers that it needs."""

    name: str
    imports: tuple[str, ...]
    helpers: dict[str, str]
    code: str


def collect(name: str, cells, module: str | None) -> Piece:
    """What a student's cells define as `name`, with what it needs from the other cells.

    `module` is the one of ours that it shall stand in, whose other names are at hand there; None for an answer that
    stands nowhere. Of several definitions of a name the last cell's counts. Raises Unfit for a name that nobody
    defines, or a value of the notebook that a module cannot see.
    """
    known = _bindings(cells)
    if name not in known:
        raise Unfit(f"no cell defines {name}")
    spare = _bindings([source_of(module)]) if module else {}
    imports, helpers, code = [], {}, ""
    queue, seen = [name], set()
    while queue:
        wanted = queue.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        place, lines, node = known.get(wanted) or (0, [], None)
        if wanted != name:
            imported = isinstance(node, ast.Import | ast.ImportFrom)
            at_hand = homes().get(wanted) if module is None or homes().get(wanted) == module else None
            if at_hand and not (imported and module is None):
                if module is None:
                    imports.append(f"from .{at_hand} import {wanted}")
                continue
            if node is None and wanted in spare and isinstance(spare[wanted][2], ast.Import | ast.ImportFrom):
                node, imported = spare[wanted][2], True
            if imported:
                imports.append(import_line(node, wanted, module))
                continue
            if node is None and wanted in homes():
                imports.append(f"from .{homes()[wanted]} import {wanted}")
                continue
            if node is None and hasattr(builtins, wanted):
                continue
            if node is None:
                raise Unfit(f"it uses {wanted}, which no cell defines at its top")
            if isinstance(node, ast.Assign | ast.AnnAssign) and _calls(node.value):
                raise Unfit(
                    f"it uses {wanted}, a value that the notebook computed: pass it as an argument, or make it inside"
                )
        if isinstance(node, ast.Import | ast.ImportFrom):
            raise Unfit(f"{name} is imported: what is checked and kept is what you write yourself")
        text = segment(lines, node)
        if wanted == name:
            code = text
        else:
            helpers[wanted] = (place, node.lineno, text)
        queue += sorted(_free(text))
    ordered = sorted(helpers.items(), key=lambda item: item[1][:2])
    return Piece(name, tuple(sorted(set(imports))), {key: value[2] for key, value in ordered}, code)


def _bindings(cells) -> dict[str, tuple[int, list[str], ast.stmt]]:
    """The statement at the top of a cell that binds each name: which cell, its lines, the node."""
    found = {}
    for place, cell in enumerate(cells):
        text = "\n".join("" if re.match(r"\s*[%!?]", line) else line for line in cell.splitlines())
        try:
            body = ast.parse(text).body
        except SyntaxError:
            continue
        found |= {name: (place, text.splitlines(), node) for node in body for name in bound(node)}
    return found


def bound(node: ast.stmt) -> list[str]:
    """The names that a statement binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.split(".")[0] for alias in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return []
    return [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]


def segment(lines: list[str], node: ast.stmt) -> str:
    """The text of a statement, its decorators and the comments right above it."""
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]) - 1
    while first and lines[first - 1].startswith("#"):
        first -= 1
    return "\n".join(lines[first : node.end_lineno])


def _free(text: str) -> set[str]:
    """The names that a piece of code takes from around it."""
    top = symtable.symtable(text, "cell", "exec")
    own = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    found = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    tables = list(top.get_children())
    while tables:
        table = tables.pop()
        found |= {each.get_name() for each in table.get_symbols() if each.is_referenced() and each.is_global()}
        tables += table.get_children()
    return {name for name in found - own if not (name.startswith("__") and name.endswith("__"))}


def _calls(value: ast.expr | None) -> bool:
    """Whether an expression computes something when it is read; a function that it only defines does not count."""
    if value is None or isinstance(value, ast.Lambda):
        return False
    return isinstance(value, ast.Call) or any(_calls(each) for each in ast.iter_child_nodes(value))


def import_line(node: ast.Import | ast.ImportFrom, name: str, module: str | None) -> str:
    """The import of one name, as it stands in a module of `my_llama`."""
    from .. import _HOME

    alias = next(each for each in node.names if (each.asname or each.name.split(".")[0]) == name)
    shown = alias.name + (f" as {alias.asname}" if alias.asname else "")
    if isinstance(node, ast.Import):
        return f"import {shown}"
    if node.level:
        return f"from .{node.module} import {shown}"
    head, _, rest = (node.module or "").partition(".")
    home = rest or _HOME.get(alias.name, "")
    if head not in (NAME, "llama_tutorial") or home not in modules():
        return f"from {node.module} import {shown}"
    if home == module:
        raise Unfit(f"it imports {alias.name} from {node.module}, which is the finished one")
    return f"from .{home} import {shown}"


def unwritten(piece: Piece, names) -> bool:
    """Whether one of the functions named is still to be written: its body ends in `raise NotImplementedError`."""
    from .cut import functions

    known = functions(piece.code)
    for name in names:
        for node in known.get(name, []):
            last = node.body[-1]
            raised = getattr(last.exc, "func", last.exc) if isinstance(last, ast.Raise) else None
            if isinstance(raised, ast.Name) and raised.id == "NotImplementedError":
                return True
    return False
