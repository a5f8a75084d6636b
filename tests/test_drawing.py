"""`llama-tutorial figures DIR`: every figure of the lessons as a file, and what it shows as a line."""

import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from llama_tutorial import cli

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def test_every_stored_figure_is_written_once_with_what_it_shows(tmp_path, capsys):
    assert cli.run_command(["figures", str(tmp_path / "new")]) == 0
    assert "figures.md says what each shows" in capsys.readouterr().out
    index = (tmp_path / "new/figures.md").read_text(encoding="utf-8")
    named = dict(re.findall(r"^- `(\w+)`: (.+)$", index, re.MULTILINE))
    assert {path.stem for path in (tmp_path / "new").glob("*.png")} == set(named) and len(named) > 100
    for lesson in NOTEBOOKS.glob("*.ipynb"):
        assert f"# {lesson.stem}\n" in index
        pages = ["".join(output.get("data", {}).get("text/html", ""))
                 for cell in json.loads(lesson.read_text())["cells"] for output in cell.get("outputs", [])]  # fmt: skip
        wanted = {data for page in pages for data in re.findall(r'src="data:image/png;base64,([^"]+)"', page)}
        assert len(wanted) == sum(name.startswith(lesson.stem) for name in named), lesson.stem
    for path in (tmp_path / "new").glob("*.png"):
        assert Image.open(io.BytesIO(path.read_bytes())).width >= 620


def test_a_lesson_that_is_none_and_a_file_for_a_folder_are_told(tmp_path, capsys):
    assert cli.run_command(["figures", str(tmp_path), "--lesson", "99"]) == 2
    assert "no lesson '99'" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert cli.run_command(["figures", str(tmp_path / "file")]) == 2
    assert "is a file" in capsys.readouterr().err


@pytest.mark.thorough
def test_with_svg_a_lesson_is_run_and_draws_both(tmp_path):
    assert cli.run_command(["figures", str(tmp_path), "--lesson", "06", "--svg"]) == 0
    drawn = {path.stem for path in tmp_path.glob("*.png")}
    assert drawn and {path.stem for path in tmp_path.glob("*.svg")} == drawn
    for path in tmp_path.glob("*.svg"):
        root = ElementTree.parse(path).getroot()
        assert root.tag.endswith("svg") and len(list(root.iter())) > 50
