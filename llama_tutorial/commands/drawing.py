"""All figures of the course as files, for slides: figures."""

import base64
import hashlib
import html
import json
import re
import sys
import tempfile
from pathlib import Path

from ..terminal import PROGRAM

IMAGE = re.compile(r'<img alt="([^"]*)"[^>]*? src="data:image/png;base64,([^"]+)"')


def write_figures(directory: Path, names, svg: bool) -> None:
    """Write every figure of the lessons named (all, if none is) as PNG, and with `svg` drawn anew as SVG too."""
    from ..lab.lessons import find_lessons

    lessons = [path for path in sorted(find_lessons()[0].glob("[0-9][0-9]_*.ipynb"))
               if not names or path.stem in names or path.stem[:2] in names]  # fmt: skip
    found = {name for path in lessons for name in (path.stem, path.stem[:2])}
    if unknown := [name for name in names if name not in found]:
        raise ValueError(f"no lesson {unknown[0]!r}: give a number such as 05, or none for all")
    if directory.is_file():
        raise ValueError(f"{directory} is a file: give a folder, new or old")
    directory.mkdir(parents=True, exist_ok=True)
    told, count = [], 0
    for path in lessons:
        with tempfile.TemporaryDirectory() as drawn:
            if svg:
                print(f"{PROGRAM}: {path.stem} runs, and draws", file=sys.stderr, flush=True)
            notebook = run_anew(path, drawn) if svg else json.loads(path.read_text(encoding="utf-8"))
            told.append(f"# {path.stem}\n")
            for number, (alt, png) in enumerate(pictures(notebook), 1):
                name = f"{path.stem}_{number:02}"
                (directory / f"{name}.png").write_bytes(png)
                vector = Path(drawn, f"{hashlib.sha256(png).hexdigest()}.svg")
                if vector.is_file():
                    (directory / f"{name}.svg").write_bytes(vector.read_bytes())
                told.append(f"- `{name}`: {alt}")
                count += 1
            told.append("")
    (directory / "figures.md").write_text("\n".join(told), encoding="utf-8")
    kinds = "PNG and SVG" if svg else "PNG"
    print(f"{count} figures as {kinds} in {directory}; figures.md says what each shows")


def pictures(notebook) -> dict:
    """The figures in a notebook's outputs, each once, in order: (description, bytes of the PNG)."""
    found = {}
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            page = "".join(output.get("data", {}).get("text/html", ""))
            for alt, data in IMAGE.findall(page):
                found.setdefault(data, (html.unescape(alt), base64.b64decode(data)))
    return list(found.values())


def run_anew(path: Path, drawn: str):
    """A lesson run in a fresh kernel, which leaves each figure in the folder `drawn` as SVG too."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    first = f"from llama_tutorial.viz.kit import cards\n\ncards.VECTORS = {drawn!r}"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(first))
    NotebookClient(notebook, timeout=None, resources={"metadata": {"path": drawn}}).execute()
    return notebook
