"""The wheel as a user installs it: it carries the lessons, and its lab copies them and never writes over an edit."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run([*PIP, "wheel", "--no-deps", "-w", folder, root], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    """The wheel installed in a folder that stands before this checkout on the path."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([*PIP, "install", "--quiet", "--no-deps", "--target", folder, wheel], check=True)
    return folder


def test_the_wheel_carries_the_lessons_the_settings_and_the_model_and_no_more(root, wheel):
    with zipfile.ZipFile(wheel) as archive:
        for lesson in (root / "notebooks").glob("*.ipynb"):
            assert archive.read(f"llama_tutorial/notebooks/{lesson.name}") == lesson.read_bytes()
        inside = archive.namelist()
    tracked = subprocess.run(["git", "ls-files", "llama_tutorial"], cwd=root, capture_output=True, text=True)
    assert [path for path in tracked.stdout.splitlines() if path not in inside] == []
    tops = {name.split("/")[0] for name in inside}
    assert tops == {"llama_tutorial", f"{wheel.name.split('-py3')[0]}.dist-info"}


def test_the_installed_lab_copies_trusts_and_never_overwrites(root, site, tmp_path, start_lab):
    mine = tmp_path / "mine"
    mine.mkdir()
    lessons = sorted(path.name for path in (root / "notebooks").glob("*.ipynb"))

    lab = start_lab(mine, PYTHONPATH=str(site))
    page = json.loads(lab.get("api/contents/00_start_here.ipynb"))
    assert sorted(path.name for path in mine.glob("*.ipynb")) == lessons
    cells = [cell for cell in page["content"]["cells"] if cell["cell_type"] == "code"]
    assert cells and all(cell["metadata"]["trusted"] for cell in cells)
    assert lab.stop() == 0
    assert "Traceback" not in lab.log.read_text()
    assert f"{len(lessons)} lessons copied to {mine}" in lab.log.read_text()

    edited = mine / lessons[1]
    edited.write_text("mine")
    again = start_lab(mine, PYTHONPATH=str(site))
    again.get("api/contents")
    assert edited.read_text() == "mine"
    assert f"{lessons[1]}: kept as you left it" in again.log.read_text()
    assert again.stop() == 0


def test_the_installed_model_talks_without_the_checkout(site, tmp_path):
    command = [sys.executable, "-m", "llama_tutorial", "generate", "The for statement", "--max-new-tokens", "8"]
    environment = os.environ | {"PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("The for statement") and len(done.stdout.strip()) > len("The for statement")
