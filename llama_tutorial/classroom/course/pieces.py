"""A student's definition taken out of the cells of a notebook, with the imports and helpers that it needs."""

import ast
import builtins
import re
import symtable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from .cut import functions

PACKAGE = Path(__file__).resolve().parents[2]
NAME = "my_llama"
BY_HAND = ("__init__", "__main__", "cli")
FOLDERS = ("doors", "published", "runs")  # what lessons stand on, and training; a student's package has copies
DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
COMPOUND = (ast.For, ast.While, ast.If, ast.With, ast.Try, ast.Match)
VALUE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, *COMPOUND)  # what gives a value, and changes it
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
    stands nowhere. Of several definitions of a name the last cell's counts, with all that changes the value after it:
    a loop that adds to it, say. Raises Unfit for a name that nobody defines, or a value of the notebook that a module
    cannot see.
    """
    cells = list(cells)
    code, last = definition(name, cells), _bindings(cells)[name][-1][0]
    known = _bindings(cells) | _bindings(cells[: last + 1])  # what stood above, or else what came later
    imports, helpers = set(), {}
    queue, seen = sorted(free_names(code)), {name}
    while queue:
        wanted = queue.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        statements = known.get(wanted, [])
        line = _brought(wanted, [node for _, _, node in statements], module)
        if line is None:
            text = _text(statements)
            helpers[wanted] = (statements[-1][0], statements[-1][2].lineno, text)
            queue += sorted(free_names(text))
        elif line:
            imports.add(line)
    ordered = sorted(helpers.items(), key=lambda item: item[1][:2])
    return Piece(name, tuple(sorted(imports)), {key: value[2] for key, value in ordered}, code)


def definition(name: str, cells) -> str:
    """The code that defines `name`, by the last cell that does; Unfit where none does, Lent where that imports it."""
    mine = _bindings(cells).get(name)
    if not mine:
        raise Unfit(f"{name} is defined in no cell")
    if is_import(mine[-1][2]):
        raise Lent(f"{name} is imported: what counts is what you write yourself")
    return _text(mine)


def _brought(name: str, nodes: list[ast.stmt], module: str | None) -> str | None:
    """The import that brings a name to a piece: "" where it is there anyway, None where its code must come along.

    `nodes` are the student's statements that bind the name and change its value, none if there are none.
    """
    home, node = homes().get(name), nodes[-1] if nodes else None
    if module and name in defined(module):
        return ""
    if is_import(node):
        return import_line(node, name, module)
    if home and (module is None or node is None):
        return f"from .{home} import {name}"
    if module and any(map(_calls, nodes)) and not isinstance(node, DEFINITION):
        raise Unfit(f"it uses {name}, a value that the notebook computed: pass it as an argument, or make it inside")
    if node is not None:
        return None
    ours = _bindings([source_of(module)]).get(name) if module else None
    if ours and is_import(ours[-1][2]):
        return import_line(ours[-1][2], name, module)
    if hasattr(builtins, name):
        return ""
    raise Unfit(f"it uses {name}, which no cell defines at its top")


def _bindings(cells) -> dict[str, list[tuple[int, list[str], ast.stmt]]]:
    """What stands behind each name at the top of the cells: the last statement that binds it, and what changes it then.

    Of each statement, which cell, its lines, the node. What a def, a class or an import binds, no statement changes.
    """
    found: dict[str, list] = {}
    for each in _statements(cells):
        changes, needed, written = _deeds(each[2])
        held = {name: found.get(name, []) for name in changes}
        held = {name: made for name, made in held.items() if not made or isinstance(made[-1][2], VALUE)}
        found |= {name: [each] for name in bound(each[2])}
        for name in (name for name in held if held[name] or changes[name]):
            sources = (needed | {name}) - (written - needed)  # a loop that adds to one name may count by another
            before = {id(one[2]): one for source in sources & held.keys() for one in held[source]}
            found[name] = sorted(before.values(), key=lambda one: (one[0], one[2].lineno, one[2].col_offset)) + [each]
    return found


def _statements(cells):
    """Every statement at the top of a cell: which cell, its lines, the node. What does not parse is passed over."""
    for place, cell in enumerate(cells):
        lines, nodes = _parsed(cell)
        yield from ((place, lines, node) for node in nodes)


@lru_cache(2048)
def _parsed(cell: str) -> tuple[list[str], list[ast.stmt]]:
    text = "\n".join("" if re.match(r"\s*[%!?]", line) else line for line in cell.splitlines())
    try:
        return text.splitlines(), ast.parse(text).body
    except SyntaxError:
        return [], []


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


@lru_cache(8192)
def _deeds(node: ast.stmt) -> tuple[dict[str, bool], set[str], set[str]]:
    """What a statement changes, what it needs for that, and what it surely writes."""
    changed, written = _changed(node), set()
    return changed, _needs(node, written) if changed else set(), written


def _changed(node: ast.stmt) -> dict[str, bool]:
    """The names whose values a statement changes or makes on its way, and whether it gives them a value by itself.

    `total += 1` and `found.append(1)` change a value that is there; a loop, a `with` or an `if` may also make one.
    """
    if isinstance(node, DEFINITION) or is_import(node):
        return {}
    changed = dict.fromkeys(_written_into(node), False)
    if isinstance(node, ast.Assign | ast.AnnAssign):  # `x = 2 * x` is made of what x held
        read = free_names(ast.unparse(node.value)) if node.value else set()
        return changed | {name: False for name in bound(node) if name in read}
    if isinstance(node, ast.AugAssign):
        return changed | ({node.target.id: False} if isinstance(node.target, ast.Name) else {})
    if isinstance(node, ast.Expr):
        return changed
    symbols = symtable.symtable(ast.unparse(node), "cell", "exec").get_symbols()
    return changed | {symbol.get_name(): True for symbol in symbols if symbol.is_assigned()}


def _needs(node: ast.AST, written: set[str]) -> set[str]:
    """The names that a statement reads before it writes them itself; what it surely writes is added to `written`."""
    if isinstance(node, DEFINITION) or is_import(node):
        needed = set() if is_import(node) else free_names(ast.unparse(node)) - written
        written |= set(bound(node))
        return needed
    heads = [each for each in ast.iter_child_nodes(node) if isinstance(each, ast.expr | ast.withitem)]
    read = {node.target.id} if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) else set()
    for each in (getattr(head, "context_expr", head) for head in heads):
        if not isinstance(each, ast.Name | ast.Tuple | ast.List) or isinstance(each.ctx, ast.Load):
            read |= free_names(ast.unparse(each))
    needed = read - written
    stored = (each for head in heads for each in ast.walk(head) if isinstance(each, ast.Name))
    written |= {each.id for each in stored if isinstance(each.ctx, ast.Store)}
    for block in ("body", "orelse", "handlers", "finalbody", "cases"):
        inside = written if isinstance(node, ast.With) else set(written)  # a loop or a branch may not run
        for each in getattr(node, block, []):
            needed |= _needs(each, inside)
    return needed


def _written_into(node: ast.AST) -> set[str]:
    """The names of what a statement writes into: `found` in `found[0] = 1` and in a line `found.append(1)`."""
    if isinstance(node, (*DEFINITION, ast.Lambda)):
        return set()
    parts = []
    if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
        parts = [node.value]
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        parts = [node.value.func.value] if isinstance(node.value.func, ast.Attribute) else []
    names = set().union(*map(_written_into, ast.iter_child_nodes(node)))
    for part in parts:
        while isinstance(part, ast.Subscript | ast.Attribute):
            part = part.value
        names |= {part.id} if isinstance(part, ast.Name) else set()
    return names


def _text(statements) -> str:
    """The text of some statements, those of one cell as far apart as they stand there."""
    cells: dict[int, list[str]] = {}
    for place, lines, node in statements:
        last = node.end_lineno
        first = last - len(segment(lines, node).splitlines())
        kept = cells.setdefault(place, [""] * len(lines))
        kept[first:last] = lines[first:last]
    return "\n".join("\n".join(kept).strip("\n") for kept in cells.values())


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
