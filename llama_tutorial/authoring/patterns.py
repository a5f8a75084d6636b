"""docs/patterns.md: every einops pattern of the package, drawn from itself."""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

from .lessons import PACKAGE, ROOT

DOCS = ROOT / "docs"
OPERATIONS = ("rearrange", "reduce", "repeat", "einsum")
SIZES = {"batch": 1, "kv": 2, "group": 2, "dim": 2, "query": 2, "two": 2, "pair": 2}     # 3 for every other axis
DOTS, COLORS = 130, 64                   # of a picture: dots per inch and colours, a third of a lesson's bytes
HEAD = """# Every pattern, drawn

All changes of axes in this package are einops patterns, and these are all of them, in the order of the lessons, drawn
at small sizes. `...` is drawn as one axis and `{heads}` as one `1`. Written by
`python -m llama_tutorial.authoring patterns`; to draw one of your own, call `llama_tutorial.viz.draw_pattern`.
"""


@dataclass
class Use:
    """A pattern of the package: how it is written, its operation, and the functions that use it."""

    pattern: str
    op: str
    module: str
    lesson: str
    places: list[str] = field(default_factory=list)

    @property
    def picture(self) -> str:
        """The name of its picture."""
        words = re.sub(r"\(([^)]*)\)", lambda merged: merged[1].replace(" ", "_"), self.pattern.replace("->", "to"))
        return re.sub(r"[^\w]+", "-", words.replace("...", "any")).strip("-") + ".png"


def uses(package: Path = PACKAGE) -> list[Use]:
    """All patterns that stand in a call of einops in the package, in the order of the lessons.

    The classroom is left out: it holds wrong patterns on purpose.
    """
    found = {}
    sources = [path for path in package.rglob("*.py") if "classroom" not in path.relative_to(package).parts]
    for lesson, path in sorted((_lesson(path), path) for path in sources):
        for op, pattern, place in _calls(ast.parse(path.read_text(encoding="utf-8")), ()):
            use = found.setdefault((op, pattern), Use(pattern, op, path.name, lesson))
            told = (f"`{place}`" if place else "the module") + f" in {path.name}" * (path.name != use.module)
            if told not in use.places:
                use.places.append(told)
    return list(found.values())


def _lesson(path) -> str:
    """The lesson that exports a module; what is written by hand comes last."""
    exported = re.search(r"^# Exported from notebooks/(\w+)\.ipynb", path.read_text(encoding="utf-8"), re.M)
    return exported[1] if exported else "~"


def _calls(node, names):
    """(operation, pattern, enclosing function) of every einops call with a pattern written out."""
    for child in ast.iter_child_nodes(node):
        inner = (*names, child.name) if isinstance(child, ast.FunctionDef | ast.ClassDef) else names
        if isinstance(child, ast.Call) and getattr(child.func, "id", "") in OPERATIONS:
            texts = [_text(argument) for argument in child.args]
            pattern = next((text for text in texts if "->" in text), None)
            how = f" {texts[-1]}" if child.func.id == "reduce" else ""
            if pattern:
                yield child.func.id + how, pattern, ".".join(names)
        yield from _calls(child, inner)


def _text(node) -> str:
    """A string as it is written, with the names in the braces of an f-string; "" for anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return f"{{{ast.unparse(node.value)}}}"
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def draw(use: Use):
    """The figure of a pattern at sizes that a page holds."""
    from ..viz.patterns.drawing import draw_pattern

    other = next(name for name in ("batch", "seq", "more") if not re.search(rf"\b{name}\b", use.pattern))
    pattern = re.sub(r"\{\w+\}", "1 ", use.pattern).replace("...", other)
    names = set(re.findall(r"[a-z]\w*", pattern))
    sizes = {name: SIZES.get(name, 3) for name in names} | ({"batch": 2} if "batch" in names and len(names) < 4 else {})
    return draw_pattern(pattern, op=use.op.split()[-1], **sizes)


def section(use: Use) -> str:
    """What the page says of a pattern above its picture."""
    return f"### `{use.pattern}`\n\n`{use.op}` in {', '.join(use.places)}\n"


def write(docs: Path = DOCS, package: Path = PACKAGE) -> int:
    """Write the page and its pictures; returns how many patterns there are."""
    from ..viz.kit.cards import few_colors, pixels

    folder, parts, module, found = docs / "patterns", [HEAD], None, uses(package)
    folder.mkdir(parents=True, exist_ok=True)
    for stray in {path.name for path in folder.glob("*.png")} - {use.picture for use in found}:
        (folder / stray).unlink()
    for use in found:
        if use.module != module:
            title = f"[{use.lesson}](../notebooks/{use.lesson}.ipynb)" if use.lesson != "~" else "written by hand"
            parts.append(f"## {use.module}, {title}\n")
            module = use.module
        figure = draw(use)
        few_colors(pixels(figure, DOTS), COLORS).save(folder / use.picture, optimize=True)
        parts.append(f"{section(use)}\n![{' '.join(figure.alt.split())}](patterns/{use.picture})\n")
    (docs / "patterns.md").write_text("\n".join(parts), encoding="utf-8")
    return len(found)
