"""A lesson's way from text to notebook to module, and the proof that the three agree."""

import ast
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import textwrap
from difflib import SequenceMatcher
from itertools import dropwhile, takewhile
from pathlib import Path

WIDTH = 110
ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "llama_tutorial"
NOTEBOOKS = ROOT / "notebooks"

# The model itself, small to whole: what a reader of the package reads first.
CORE = "config rms_norm rotary attention mlp decoder_layer model causal_lm".split()
# Files at the package's top that are written by hand; every other one is a lesson's export.
BY_HAND = {"__init__.py", "__main__.py", "cli.py"}
# What a lesson may import before the lesson that exports it: the shipped model, and its voice.
EXEMPT = {"talk", "load_shipped"}
# Cell metadata that differs from run to run or from editor to editor.
FLEETING = "execution collapsed scrolled trusted ExecuteTime lines_to_next_cell autoscroll".split()


# ----------------------------------------------------------------------------------------------- the lessons


def lesson_files(names=()) -> list[Path]:
    """The lesson notebooks named, in order; all of them when no name is given.

    A name is a path, a number ("04") or a stem ("04_rotary"). Raises FileNotFoundError for a name that
    fits no lesson, and when this is not a checkout.
    """
    if not (ROOT / "pyproject.toml").is_file() or not NOTEBOOKS.is_dir():
        raise FileNotFoundError(f"no notebooks/ beside {PACKAGE}: lessons are edited in a checkout")
    known = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    found = []
    for name in map(str, names):
        if name.endswith(".ipynb") and Path(name).is_file():
            found.append(Path(name).resolve())
            continue
        fits = [path for path in known if path.stem == name or path.stem.split("_")[0] == name]
        if not fits:
            raise FileNotFoundError(f"no lesson {name!r}; known: {', '.join(path.stem for path in known)}")
        found += fits
    return found if names else known


def _read(path) -> dict:
    """A notebook as plain JSON, every source one string."""
    return _joined(Path(path).read_text(encoding="utf-8"))


def _joined(text: str) -> dict:
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def _code_cells(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and cell["source"].strip()]


def _title(notebook: dict) -> tuple[str, str]:
    """The title line without its number, and the text of the quote below it."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown" and cell["source"].startswith("# "):
            lines = cell["source"].splitlines()
            title = re.sub(r"^#\s+(Lesson\s+)?(\d+\s*[-–—·.:]?\s*)?", "", lines[0]).strip()
            below = dropwhile(lambda line: not line.startswith(">"), lines)
            quote = takewhile(lambda line: line.startswith(">"), below)
            return title, " ".join(line[1:].strip() for line in quote).strip()
    return "", ""


# ------------------------------------------------------------------------------------------- text → notebook


def from_text(text_path, notebook_path=None) -> Path:
    """Write the notebook of a jupytext percent file and return its path (notebooks/NAME.ipynb by default).

    Where the notebook exists, cells whose source is unchanged keep their id, outputs and count, and a cell
    edited in place keeps its id. Needs jupytext, which no extra installs. Raises FileNotFoundError without
    the text.
    """
    import jupytext
    import nbformat

    text_path = Path(text_path)
    path = Path(notebook_path) if notebook_path else NOTEBOOKS / f"{text_path.stem}.ipynb"
    notebook = jupytext.reads(text_path.read_text(encoding="utf-8"), fmt="py:percent")
    before = nbformat.read(path, as_version=4) if path.exists() else None
    old = before.cells if before else []
    if before and "nbdev" in before.metadata:  # a text script does not carry it
        notebook.metadata.setdefault("nbdev", before.metadata["nbdev"])

    def key(cell):
        return cell.cell_type, cell.source

    new = notebook.cells
    kept = {}
    pairs = SequenceMatcher(None, [*map(key, old)], [*map(key, new)], autojunk=False)
    for op, a, b, c, d in pairs.get_opcodes():
        if op in ("equal", "replace"):
            kept.update(zip(range(c, d), old[a:b]))
    used = {cell.id for cell in kept.values()}
    for position, cell in enumerate(new):
        before = kept.get(position)
        if before is not None and before.cell_type == cell.cell_type:
            cell.id = before.id
            if before.source == cell.source and cell.cell_type == "code":
                cell.outputs, cell.execution_count = before.outputs, before.execution_count
            continue
        salt = 0
        while True:  # an id tells where the cell was first written and what it said
            cell.id = hashlib.sha256(f"{position}:{salt}:{cell.source}".encode()).hexdigest()[:8]
            if cell.id not in used:
                break
            salt += 1
        used.add(cell.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(notebook, path)
    return path


# ---------------------------------------------------------------------------------------------- run and tidy


def run(notebook_path, timeout: int = 1800) -> int:
    """Execute a lesson from the top in its own folder, tidy it, store it; return how many cells ran.

    `timeout` is in seconds a cell. Raises RuntimeError naming the cell that fails or writes to stderr; the
    file then stays as it was.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError
    from traitlets.config import Config

    path = Path(notebook_path).resolve()
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        config=Config({"KernelManager": {"transport_encryption": "auto"}}),
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError) as error:
        raise RuntimeError(f"{path.name}: {error}") from None
    problems = _outputs_out_of_step(_joined(nbformat.writes(notebook)), path.name)
    red = [problem for problem in problems if "stderr is stored" in problem]
    if red:
        raise RuntimeError("\n".join(red))
    _write(notebook, path)
    return len([cell for cell in notebook.cells if cell.cell_type == "code" and cell.execution_count])


def tidy(notebook_path) -> None:
    """Take out of a notebook what differs from run to run: versions, times, widgets, editor state."""
    import nbformat

    _write(nbformat.read(notebook_path, as_version=4), Path(notebook_path))


def _write(notebook, path: Path) -> None:
    import nbformat
    from nbstripout import strip_output

    fleeting = [f"cell.metadata.{key}" for key in FLEETING]
    notebook = strip_output(notebook, keep_output=True, keep_count=True, keep_id=True, extra_keys=fleeting)
    nbdev = dict(notebook.metadata.get("nbdev", {}))
    for cell in notebook.cells:  # nbdev reads `default_exp` in the notebook's metadata, not on its title
        if cell.cell_type == "markdown" and "default_exp" in cell.metadata.get("nbdev", {}):
            nbdev |= cell.metadata.pop("nbdev")
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
        }
    )
    if nbdev:
        notebook.metadata["nbdev"] = nbdev
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for cell in notebook.cells:
        if not cell.metadata.get("jupyter", True):
            del cell.metadata["jupyter"]
        for output in cell.get("outputs", []):
            if output.output_type == "error":  # a traceback names files of this machine
                output.traceback = [f"{output.ename}: {output.evalue}"]
            if not output.get("metadata", True):
                output.metadata = nbformat.from_dict({})
    nbformat.validate(notebook)
    text = nbformat.writes(notebook)
    path.write_bytes((text.rstrip("\n") + "\n").encode())


# ---------------------------------------------------------------------------------------- notebook → modules


def export(notebook_path, package_dir=None) -> list[Path]:
    """Write the modules of one lesson into `package_dir` (the package by default) and return their paths.

    `#| export` sends a cell to the lesson's own module, named by `default_exp` in the notebook's metadata
    (`{"nbdev": {"default_exp": "rotary"}}`); `#| export NAME` sends it to NAME.py. Raises ValueError for an
    exported cell that is no plain Python or that imports from `llama_tutorial` itself.
    """
    from nbdev.export import nb_export
    from nbdev.maker import ModuleMaker

    notebook_path = Path(notebook_path)
    package_dir = Path(package_dir or PACKAGE)
    notebook = _read(notebook_path)
    written: list[Path] = []

    class QuietMaker(ModuleMaker):
        """A module that reads as if written by hand: docstring, its lesson, `__all__`, imports, the cells."""

        def __init__(self, dest, name, nb_path, **_):
            super().__init__(dest, name, nb_path)

        def make(self, cells, all_cells=None, lib_path=None):
            sources = [cell.source for cell in cells if cell.cell_type == "code"]
            for source in sources:
                _must_be_python(source, notebook_path.name)
            names = list(self.make_all([c for c in all_cells if c.cell_type == "code"]))
            text = _module_text(notebook, notebook_path.name, sources, names)
            self.fname.write_bytes(text.encode())
            written.append(self.fname)

    if _exports_to_default(notebook) and not _default_exp(notebook):
        raise ValueError(
            f"{notebook_path.name}: `#| export` needs a module: put "
            '{"nbdev": {"default_exp": "NAME"}} into the notebook\'s metadata'
        )
    nb_export(str(notebook_path), lib_path=str(package_dir), mod_maker=QuietMaker)
    return written


def _directives(cell: dict) -> dict[str, str]:
    found = dict(cell.get("metadata", {}).get("nbdev", {}))
    for line in cell["source"].splitlines():
        mark = re.match(r"#\s*\|\s*(\w+):?\s*(.*)", line)
        if not mark:
            break
        found[mark[1]] = mark[2].strip()
    return found


def _default_exp(notebook: dict) -> str:
    everywhere = [notebook["metadata"].get("nbdev", {}), *map(_directives, notebook["cells"])]
    return next((d["default_exp"] for d in everywhere if d.get("default_exp")), "")


def _exports_to_default(notebook: dict) -> bool:
    return any(_directives(cell).get("export") in ("", "true") for cell in _code_cells(notebook))


def _must_be_python(source: str, lesson: str) -> ast.Module:
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        first = source.strip().splitlines()[0]
        raise ValueError(f"{lesson}: the exported cell {first!r} is not plain Python: {error.msg}") from None
    for node in ast.walk(tree):
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
            if node.level:
                raise ValueError(f"{lesson}: {ast.unparse(node)!r} is relative; write llama_tutorial.MODULE")
        if "llama_tutorial" in modules:
            raise ValueError(
                f"{lesson}: an exported cell imports from llama_tutorial itself; "
                "name the module, as in `from llama_tutorial.config import LlamaConfig`"
            )
    return tree


def _module_text(notebook: dict, lesson: str, sources: list[str], names: list[str]) -> str:
    docstring, imports, blocks = "", [], []
    for source in sources:
        tree = ast.parse(source)
        lines = source.splitlines()
        taken = set()
        for position, node in enumerate(tree.body):
            said = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if position == 0 and said and isinstance(node.value.value, str) and not docstring and not blocks:
                docstring = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            elif isinstance(node, ast.Import | ast.ImportFrom):
                imports.append("\n".join(lines[node.lineno - 1 : node.end_lineno]))
            else:
                continue
            taken |= set(range(node.lineno - 1, node.end_lineno))
        rest = "\n".join(line.rstrip() for i, line in enumerate(lines) if i not in taken).strip("\n")
        if rest.strip():
            blocks.append(rest)
    if not docstring:
        title, quote = _title(notebook)
        said = "\n\n".join(textwrap.fill(part, WIDTH - 4) for part in (title, quote) if part)
        if said:
            raw, end = ("r" if "\\" in said else ""), ("\n" if "\n" in said else "")
            docstring = f'{raw}"""{said}{end}"""'
    imports = [re.sub(r"^from\s+llama_tutorial\.(?=\w+\s)", "from .", line) for line in imports]
    head = [
        docstring,
        f"# Exported from notebooks/{lesson}; edit the lesson, not this file.",
        _all_text(names),
        "\n".join(imports),
    ]
    text = "\n\n".join(part for part in head if part) + "".join(f"\n\n\n{block}" for block in blocks) + "\n"
    return _sort_imports(text)


def _all_text(names: list[str]) -> str:
    line = f"__all__ = [{', '.join(json.dumps(name) for name in names)}]"
    if len(line) <= WIDTH:
        return line
    names = ", ".join(json.dumps(name) for name in names) + ","
    return f"__all__ = [\n{textwrap.indent(textwrap.fill(names, WIDTH - 4), '    ')}\n]"


def _sort_imports(text: str) -> str:
    """The text with its imports ordered and merged as the project's ruff settings order them."""
    rules = ["--config", str(ROOT / "pyproject.toml"), "--select", "I", "--fix", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *rules, "--stdin-filename", "module.py", "-"],
        input=text,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if done.returncode or not done.stdout:
        raise RuntimeError(f"ruff could not order the imports of a module:\n{done.stderr}{done.stdout}")
    return done.stdout


# --------------------------------------------------------------------------------------------------- in step


def check_in_step() -> list[str]:
    """Say, a line each, where lessons and package disagree or a notebook is not one clean, tidy run."""
    problems: list[str] = []
    homes: dict[str, str] = {}  # module file name → lesson
    with tempfile.TemporaryDirectory() as folder:
        for path in lesson_files():
            notebook = _read(path)
            problems += _outputs_out_of_step(notebook, path.name)
            try:
                modules = export(path, folder)
            except ValueError as error:
                problems.append(str(error))
                continue
            for module in modules:
                if module.name in homes:
                    problems.append(f"{module.name}: exported by {homes[module.name]} and by {path.name}")
                homes[module.name] = path.name
                stored = PACKAGE / module.name
                if not stored.exists():
                    problems.append(f"{module.name}: not in the package; export {path.name}")
                elif stored.read_bytes() != module.read_bytes():
                    problems.append(f"{module.name}: differs from what {path.name} exports")
    for module in sorted(PACKAGE.glob("*.py")):
        if module.name not in homes and module.name not in BY_HAND:
            problems.append(f"{module.name}: no lesson exports it; what is written by hand lives in a folder")
    return problems + _imports_ahead(homes)


def core_lines(package_dir=None) -> int:
    """How many lines the core is, from config to causal_lm, without docstrings, comments and blank lines."""
    total = 0
    for module in CORE:
        text = (Path(package_dir or PACKAGE) / f"{module}.py").read_text(encoding="utf-8")
        docstrings = set()
        for node in ast.walk(ast.parse(text)):
            owns = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            if owns and ast.get_docstring(node, clean=False) is not None:
                docstrings |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
        for number, line in enumerate(text.splitlines(), start=1):
            total += bool(line.strip()) and not line.lstrip().startswith("#") and number not in docstrings
    return total


def _outputs_out_of_step(notebook: dict, name: str) -> list[str]:
    problems = []
    code = _code_cells(notebook)
    counts = [cell.get("execution_count") for cell in code]
    if counts != list(range(1, len(code) + 1)):
        problems.append(f"{name}: execution counts are not 1…{len(code)}; run it from the top")
    ids = [cell.get("id") for cell in notebook["cells"]]
    if None in ids or len(set(ids)) != len(ids):
        problems.append(f"{name}: cell ids are missing or repeated")
    if set(notebook["metadata"]) - {"kernelspec", "language_info", "nbdev"}:
        problems.append(f"{name}: metadata beyond kernelspec, language_info and nbdev; tidy it")
    for cell in notebook["cells"]:
        where = f"{name}: cell {cell.get('execution_count') or cell.get('id')}"
        if cell["cell_type"] == "markdown" and re.search(r"!\[\s*\]\(", cell["source"]):
            problems.append(f"{where}: an image without alt text")
        tags = cell.get("metadata", {}).get("tags", [])
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            stored = json.dumps(output, ensure_ascii=False)
            html = "".join(data.get("text/html", ""))
            images = re.findall(r"<img\b[^>]*>", html)
            if output.get("name") == "stderr":
                problems.append(f"{where}: stderr is stored: {''.join(output['text']).strip()[:200]!r}")
            if output["output_type"] == "error" and "raises-exception" not in tags:
                problems.append(f"{where}: a stored error in a cell not tagged raises-exception")
            if any(not re.search(r"""\balt=("[^"]*\S[^"]*"|'[^']*\S[^']*')""", image) for image in images):
                problems.append(f"{where}: an image without alt text")
            if not images and any(kind.startswith("image/") for kind in data):
                problems.append(f"{where}: a bare image cannot carry alt text; show it as an <img alt>")
            if "/ipykernel_" in stored or str(ROOT) in stored:
                problems.append(f"{where}: a path of this machine stands in an output")
    return problems


def _imports_ahead(homes: dict[str, str]) -> list[str]:
    """Where a lesson imports what it or a later lesson exports."""
    from llama_tutorial import _HOME

    problems = []
    for path in lesson_files():
        for cell in _code_cells(_read(path)):
            try:
                tree = ast.parse(cell["source"])
            except SyntaxError:
                continue  # a magic; exported cells are judged elsewhere
            for node in ast.walk(tree):
                pairs = []  # (module, name)
                if isinstance(node, ast.ImportFrom) and node.module == "llama_tutorial":
                    pairs = [(_HOME.get(alias.name, alias.name), alias.name) for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("llama_tutorial."):
                    pairs = [(node.module.split(".")[1], alias.name) for alias in node.names]
                elif isinstance(node, ast.Import):
                    heads = [alias.name.split(".") for alias in node.names]
                    pairs = [(head[1], "") for head in heads if head[0] == "llama_tutorial" and head[1:]]
                for module, name in pairs:
                    home = homes.get(f"{module}.py", "")
                    within = home == path.name and "export" in _directives(cell)  # its own sibling modules
                    if home >= path.name and not within and name not in EXEMPT:
                        problems.append(f"{path.name}: imports {name or module}, which {home} exports")
    return problems
