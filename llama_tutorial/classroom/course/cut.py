"""Take the bodies out of a lesson's functions, so that a student writes them."""

import ast
import io
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass

WIDTH = 120  # no line that is put in is longer
LEAK = 24  # a removed line of more characters than this gives an answer away wherever else it stands


@dataclass(frozen=True)
class Cut:
    """A cell without the bodies that were cut, and the lines that were taken out."""

    source: str
    removed: tuple[str, ...]


def functions(source: str) -> dict[str, list[ast.FunctionDef]]:
    """The functions of a cell by qualified name: `rotate`, and `LlamaRMSNorm.forward` for a method."""
    found: dict[str, list[ast.FunctionDef]] = {}
    for node in ast.parse(source).body:
        owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for each in node.body if owner else [node]:
            if isinstance(each, ast.FunctionDef):
                found.setdefault(owner + each.name, []).append(each)
    return found


def cut(source: str, tasks: Mapping[str, str]) -> Cut:
    """Put `raise NotImplementedError(task)` in the place of the body of each function that `tasks` names.

    Signature, docstring and the checks of the input that a body begins with stay; the rest goes, comments included.
    Raises ValueError for a name that is no function at the top of the cell or of a class there, that is defined
    twice, or whose body shares a line with what stays.
    """
    lines, known = source.splitlines(), functions(source)
    spans = []
    for name, task in tasks.items():
        nodes = known.get(name, [])
        if len(nodes) != 1:
            told = "is defined more than once in its cell" if nodes else "is no function at the top of its cell"
            raise ValueError(f"{name} {told}: only a plain def, at the top or in a class there, can be cut")
        spans.append((*_body(lines, nodes[0], name), nodes[0], task))
    removed = []
    for first, last, kept, node, task in sorted(spans, key=lambda span: span[0], reverse=True):
        removed += lines[first:last]
        indent = " " * (node.col_offset + 4)
        guards = [line for guard in kept for line in lines[guard.lineno - 1 : guard.end_lineno]]
        raised = [f"{indent}raise NotImplementedError({_quoted(task)})"]
        if len(raised[0]) > WIDTH:
            raised = [f"{indent}raise NotImplementedError(", f"{indent}    {_quoted(task)}", f"{indent})"]
        lines[first:last] = [*guards, *raised]
        removed = [line for line in removed if line not in guards]
    return Cut("\n".join(lines), tuple(line.strip() for line in removed if line.strip()))


def leaks(removed, cells) -> list[str]:
    """The removed lines that stand in one of the cells (their sources) all the same.

    Short lines tell nothing, nor do checks of the input, whose definitions stand on the page.
    """
    telling = {line for line in map(str.strip, removed) if len(line) > LEAK and not line.startswith("check_")}
    return sorted(line for line in telling if any(line in source for source in cells))


def _body(lines: list[str], node: ast.FunctionDef, name: str) -> tuple[int, int, list[ast.stmt]]:
    """Which lines are the body, docstring left out, and the checks at its beginning."""
    statements = list(node.body)
    head = _end_of_header(lines, node)
    if statements[0].lineno == head:
        raise ValueError(f"{name} is written on one line: give its body lines of its own, so that they can be cut")
    if ast.get_docstring(node, clean=False) is not None:
        head = statements.pop(0).end_lineno
    kept = []
    while statements and _is_check(statements[0]):
        kept.append(statements.pop(0))
    if not statements:
        raise ValueError(f"{name} has no body beside its docstring and its checks: there is nothing to write")
    before = kept[-1].end_lineno if kept else head
    if statements[0].lineno == before:
        raise ValueError(f"{name} has two statements on line {before}: give each its own, so that one can be cut")
    last = node.end_lineno
    for number in range(last, len(lines)):  # comments below the last statement, indented like it
        text = lines[number]
        if text.strip() and not (text.lstrip().startswith("#") and _indent(text) > node.col_offset):
            break
        if text.strip():
            last = number + 1
    return head, last, kept


def _is_check(statement: ast.stmt) -> bool:
    """Whether a statement only refuses bad input: `check_…(…)`, or an `if` whose whole body is `raise`."""
    if isinstance(statement, ast.If):
        return not statement.orelse and len(statement.body) == 1 and isinstance(statement.body[0], ast.Raise)
    called = statement.value.func if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call) else None
    return isinstance(called, ast.Name) and called.id.startswith("check_")


def _end_of_header(lines: list[str], node: ast.FunctionDef) -> int:
    """The line with the colon that ends a signature."""
    text = "\n".join(lines[node.lineno - 1 : node.end_lineno]) + "\n"
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        depth += (token.string in "([{") - (token.string in ")]}") if token.type == tokenize.OP else 0
        if token.type == tokenize.OP and token.string == ":" and depth == 0:
            return node.lineno + token.start[0] - 1
    raise AssertionError("a def without a colon does not parse")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _quoted(text: str) -> str:
    """The text as a Python string in double quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
