"""Lines of code, without blank lines, comments and docstrings: of a text, of the course's entry, of a package."""

import ast
import hashlib
import io
import tokenize
from pathlib import Path

from ..classroom.course.pieces import CORE, Piece, bound, is_import, modules, source_of
from ..classroom.my_llama.package import blocks, read_record

COUNTED = (*CORE, "training")  # of the course's modules: the model and how it learns
SILENT = {"COMMENT", "NL", "NEWLINE", "INDENT", "DEDENT", "ENDMARKER"}
LENT = "stand_in(__name__)"  # by which a module executes the course's own
HEAD = 2  # the lines of code that this takes


def code_lines(text: str) -> set[int]:
    """The numbers of the lines of a text of Python that hold code."""
    owners = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, owners)]
    told = [node.body[0] for node in nodes if ast.get_docstring(node, clean=False) is not None]
    docstrings = {line for node in told for line in range(node.lineno, node.end_lineno + 1)}
    lines, found = text.split("\n"), set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind, first, last = tokenize.tok_name[token.type], token.start[0], token.end[0]
        if kind not in SILENT and not (kind == "STRING" and first in docstrings):
            found |= {line for line in range(first, last + 1) if lines[line - 1].strip()}
    return found


def course_lines(names=COUNTED) -> int:
    """How many lines the course's own entry has, or some modules of it."""
    return sum(len(code_lines(source_of(name))) for name in names)


def package_lines(root: Path, files: list[Path]) -> tuple[int, int]:
    """How many lines some files of a package have, with what is lent to them, and how many its maker wrote.

    What the course wrote there and an entry may not change, as the tokenizer, is left out.
    """
    record, total, own = read_record(root), 0, 0
    for path in files:
        with tokenize.open(path) as file:  # in the encoding that it names
            name, text = path.relative_to(root).as_posix(), file.read()
        module, ours = name.removesuffix(".py"), name in record["written"]
        if ours and module not in COUNTED:
            continue
        here, edited = len(code_lines(text)), record["written"].get(name) != hashlib.sha256(text.encode()).hexdigest()
        if LENT in text:
            here -= HEAD
            total += lent_lines(module, text)
        pieces = {key: Piece(**piece) for key, piece in record["kept"].get(module, {}).items()}
        put_together = ours and not edited and LENT not in text  # theirs are the parts only
        own += sum(len(code_lines(block)) for block in blocks(pieces, pieces)) if put_together else here
        total += here
    return total, own


def lent_lines(module: str, text: str) -> int:
    """How many of the course's lines a module executes before its own, without what its own replace."""
    if module not in modules():
        return 0
    ours = source_of(module)
    names = {name for node in ast.parse(text).body if not is_import(node) for name in bound(node)}
    replaced = [node for node in ast.parse(ours).body if not is_import(node) and names & set(bound(node))]
    firsts = [min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))]) for node in replaced]
    gone = {line for first, node in zip(firsts, replaced) for line in range(first, node.end_lineno + 1)}
    return len(code_lines(ours) - gone)
