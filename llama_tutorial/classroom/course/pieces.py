"""A student's definition taken out of the cells of a notebook, with the imports and helpers that it needs."""

import ast
import builtins
import re
import symtable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .cut import functions

PACKAGE = Path(__file__).resolve().parents[2]
NAME = "my_llama"
BY_HAND = ("__init__", "__main__", "cli")
FOLDERS = ("doors", "published")  # what the lessons stand on; a student's package has copies
CORE = tuple("config rms_norm rotary attention mlp decoder_layer model causal_lm".split())  # small to whole


class Unfit(ValueError):
    """Why a student's code cannot stand in a module, in one sentence."""


class Lent(Unfit):
    """Said of a name that a student imports: what counts is what they write themselves."""


# ------------------------------------------------------------------------------------------------ what is ours


@cache
def modules() -> tuple[str, ...]:
    """The modules that the lessons export, by name."""
    return tuple(sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem not in BY_HAND))


def source_of(module: str) -> str:
    """The text of one of our modules."""
    return (PACKAGE / f"{module}.py").read_text(encoding="utf-8")


@cache
def defined(module: str) -> tuple[str, ...]:
    """The names that one of our modules defines at its top, in their order."""
    return defined_in(source_of(module))


def defined_in(text: str) -> tuple[str, ...]:
    """The names that a piece of Python defines at its top, imports left out."""
    nodes = [node for node in ast.parse(text).body if not is_import(node)]
    return tuple(dict.fromkeys(name for node in nodes for name in bound(node) if not name.startswith("__")))


@cache
def homes() -> dict[str, str]:
    """The module of every name that a lesson defines at the top; of two, the one that stands lower in the house."""
    order = CORE + tuple(module for module in modules() if module not in CORE)
    return {name: module for module in reversed(order) for name in defined(module)}


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
    cells, code = list(cells), definition(name, cells)
    last = max(place for place, _, node in _statements(cells) if name in bound(node))
    known = _bindings(cells) | _bindings(cells[: last + 1])  # what stood above, or else what came later
    imports, helpers = set(), {}
    queue, seen = sorted(free_names(code)), {name}
    while queue:
        wanted = queue.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        place, lines, node = known.get(wanted) or (0, [], None)
        line = _brought(wanted, node, module)
        if line is None:
            text = segment(lines, node)
            helpers[wanted] = (place, node.lineno, text)
            queue += sorted(free_names(text))
        elif line:
            imports.add(line)
    ordered = sorted(helpers.items(), key=lambda item: item[1][:2])
    return Piece(name, tuple(sorted(imports)), {key: value[2] for key, value in ordered}, code)


def definition(name: str, cells) -> str:
    """The code that defines `name`, by the last cell that does; Unfit where none does, Lent where that imports it."""
    mine = [each for each in _statements(cells) if name in bound(each[2])]
    if not mine:
        raise Unfit(f"{name} is defined in no cell")
    if is_import(mine[-1][2]):
        raise Lent(f"{name} is imported: what counts is what you write yourself")
    return segment(*mine[-1][1:])


def _brought(name: str, node: ast.stmt | None, module: str | None) -> str | None:
    """The import that brings a name to a piece: "" where it is there anyway, None where its code must come along.

    `node` is the student's statement that binds the name, None if there is none.
    """
    home = homes().get(name)
    if module and name in defined(module):
        return ""
    if is_import(node):
        return import_line(node, name, module)
    if home and (module is None or node is None):
        return f"from .{home} import {name}"
    if module and isinstance(node, ast.Assign | ast.AnnAssign) and _calls(node.value):
        raise Unfit(f"it uses {name}, a value that the notebook computed: pass it as an argument, or make it inside")
    if node is not None:
        return None
    ours = _bindings([source_of(module)]).get(name) if module else None
    if ours and is_import(ours[2]):
        return import_line(ours[2], name, module)
    if hasattr(builtins, name):
        return ""
    raise Unfit(f"it uses {name}, which no cell defines at its top")


def _bindings(cells) -> dict[str, tuple[int, list[str], ast.stmt]]:
    """The last statement at the top of a cell that binds each name: which cell, its lines, the node."""
    return {name: (place, lines, node) for place, lines, node in _statements(cells) for name in bound(node)}


def _statements(cells):
    """Every statement at the top of a cell: which cell, its lines, the node. What does not parse is passed over."""
    for place, cell in enumerate(cells):
        text = "\n".join("" if re.match(r"\s*[%!?]", line) else line for line in cell.splitlines())
        try:
            yield from ((place, text.splitlines(), node) for node in ast.parse(text).body)
        except SyntaxError:
            continue


def is_import(node) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def bound(node: ast.stmt) -> list[str]:
    """The names that a statement binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.split(".")[0] for alias in node.names]
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return []
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    names = [each for target in targets for each in getattr(target, "elts", [target])]
    return [each.id for each in names if isinstance(each, ast.Name)]


def segment(lines: list[str], node: ast.stmt) -> str:
    """The text of a statement, its decorators and the comments right above it."""
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]) - 1
    while first and lines[first - 1].startswith("#") and not lines[first - 1].startswith("#|"):
        first -= 1
    return "\n".join(lines[first : node.end_lineno])


def free_names(text: str) -> set[str]:
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
    from ... import _HOME

    alias = next(each for each in node.names if (each.asname or each.name.split(".")[0]) == name)
    shown = alias.name + (f" as {alias.asname}" if alias.asname else "")
    if isinstance(node, ast.Import):
        if module and alias.name.split(".")[0] in (NAME, "llama_tutorial"):
            raise Unfit(f"it takes all of {alias.name}, and so the finished parts: import what you need by its name")
        return f"import {shown}"
    if node.level:
        return f"from .{node.module} import {shown}"
    head, _, rest = (node.module or "").partition(".")
    home = rest or _HOME.get(alias.name, "")
    if head not in (NAME, "llama_tutorial") or home.split(".")[0] not in (*modules(), *FOLDERS):
        return f"from {node.module} import {shown}"
    if home == module:
        raise Unfit(f"it imports {alias.name} from {node.module}, which is the finished one")
    return f"from .{home} import {shown}"


def unwritten(code: str, names) -> bool:
    """Whether one of the functions named is still to be written: its body ends in `raise NotImplementedError`."""
    known = functions(code)
    return any(_is_open(node) for name in names for node in known.get(name, []))


def _is_open(node: ast.FunctionDef) -> bool:
    last = node.body[-1]
    raised = getattr(last.exc, "func", last.exc) if isinstance(last, ast.Raise) else None
    return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"


def same_code(one: str, other: str) -> bool:
    """Whether two texts are the same Python, comments and layout aside."""
    return ast.dump(ast.parse(one)) == ast.dump(ast.parse(other))
