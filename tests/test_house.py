"""The house stands as docs/architecture.md draws it, and each of these checks is seen to fail as well."""

import contextlib
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from llama_tutorial import authoring, cli, lab
from llama_tutorial.authoring import lessons
from llama_tutorial.lab import lessons as lab_lessons

EXPORTED = [path.stem for path in sorted(lessons.PACKAGE.glob("*.py")) if path.name not in lessons.BY_HAND]


def run_python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=300)


# ------------------------------------------------------------------------------------------------ in step


def test_lessons_and_package_are_in_step():
    assert authoring.check_in_step() == []


def lesson(title, *cells, default_exp="", **metadata):
    """A notebook as a run of it would be stored; a cell is a source or a dict that says more."""
    head = f"# {title}\n> About {title}."
    built = [{"cell_type": "markdown", "id": "title", "metadata": {}, "source": head}]
    for count, cell in enumerate(cells, start=1):
        usual = {"cell_type": "code", "execution_count": count, "id": f"c{count}", "metadata": {}, "outputs": []}
        built.append(usual | (cell if isinstance(cell, dict) else {"source": cell}))
    nbdev = {"nbdev": {"default_exp": default_exp}} if default_exp else {}
    return {"cells": built, "metadata": nbdev | metadata, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A checkout of two lessons and their modules, in step; `house(name, notebook)` stores a lesson."""
    monkeypatch.setattr(lessons, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(lessons, "PACKAGE", tmp_path / "llama_tutorial")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "llama_tutorial").mkdir()

    def store(name, notebook):
        (tmp_path / "notebooks" / name).write_text(json.dumps(notebook))
        return tmp_path / "notebooks" / name

    authoring.export(store("01_one.ipynb", lesson("One", "#| export\ndef one(): pass", default_exp="one")))
    later = "#| export\nfrom llama_tutorial.one import one"
    authoring.export(store("02_two.ipynb", lesson("Two", later, "#| export\nTWO = one", default_exp="two")))
    store.path = tmp_path
    return store


def test_a_small_house_is_in_step(house):
    assert authoring.check_in_step() == []


IMAGE = {"output_type": "display_data", "metadata": {}, "data": {"text/html": '<img src="data:image/png;base64,AA==">'}}
BARE = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "AA=="}}
RED = {"output_type": "stream", "name": "stderr", "text": "a warning"}
PATH = {"output_type": "stream", "name": "stdout", "text": str(lessons.ROOT / "llama_tutorial")}
ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": []}
TWICE = [{"source": "1", "id": "same"}, {"source": "2", "id": "same"}]


@pytest.mark.parametrize(
    "told, cells",
    [
        ("execution counts are not 1…2", ["1", {"source": "2", "execution_count": 3}]),
        ("execution counts are not 1…1", [{"source": "1", "execution_count": None}]),
        ("cell ids are missing or repeated", TWICE),
        ("stderr is stored: 'a warning'", [{"source": "1", "outputs": [RED]}]),
        ("a stored error", [{"source": "1", "outputs": [ERROR]}]),
        ("an image without alt text", [{"source": "1", "outputs": [IMAGE]}]),
        ("a bare image cannot carry alt text", [{"source": "1", "outputs": [BARE]}]),
        ("an image without alt text", [{"cell_type": "markdown", "source": "![](figure.png)"}]),
        ("a path of this machine", [{"source": "1", "outputs": [PATH]}]),
        ("is not plain Python", ["#| export three\n%time 1"]),
        ("imports from llama_tutorial itself", ["#| export three\nfrom llama_tutorial import LlamaConfig"]),
        ("is relative", ["#| export three\nfrom .one import one"]),
        ("needs a module", ["#| export\nx = 1"]),
        ("one.py: exported by 00_zero.ipynb and by 01_one.ipynb", ["#| export one\nx = 1"]),
        ("three.py: not in the package", ["#| export three\nx = 1"]),
        ("00_zero.ipynb: imports one, which 01_one.ipynb exports", ["from llama_tutorial.one import one"]),
        ("00_zero.ipynb: imports two, which 02_two.ipynb exports", ["import llama_tutorial.two"]),
    ],
)
def test_each_fault_of_a_lesson_is_told(house, told, cells):
    house("00_zero.ipynb", lesson("Zero", *cells))
    problems = authoring.check_in_step()
    assert any(told in problem for problem in problems), problems


@pytest.mark.parametrize(
    "told, name, text",
    [
        ("two.py: differs from what 02_two.ipynb exports", "two.py", "TWO = 2\n"),
        ("stray.py: no lesson exports it", "stray.py", "x = 1\n"),
    ],
)
def test_each_fault_of_the_package_is_told(house, told, name, text):
    (house.path / "llama_tutorial" / name).write_text(text)
    assert any(told in problem for problem in authoring.check_in_step())


def test_metadata_that_changes_with_the_editor_is_told(house):
    house("00_zero.ipynb", lesson("Zero", "1", widgets={}))
    assert any("metadata beyond" in problem for problem in authoring.check_in_step())


def test_an_exported_module_reads_as_if_written_by_hand(house):
    cells = [
        "#| export\nimport torch\n\nfrom llama_tutorial.one import (\n    one,\n)",
        "print('not exported')",
        "#| export\nfrom math import pi\n\n_hidden = 1\n\n\ndef four():\n    return pi",
        "#| export other\n\"\"\"Its own docstring.\"\"\"\nimport math\n\nFIVE = math.pi",
    ]
    path = house("04_four.ipynb", lesson("04 · Four", *cells, default_exp="four"))
    four, other = authoring.export(path)
    origin = "# Exported from notebooks/04_four.ipynb; edit the lesson, not this file.\n\n"
    assert four.read_text() == (
        f'"""Four\n\nAbout 04 · Four.\n"""\n\n{origin}'
        '__all__ = ["four"]\n\nfrom math import pi\n\nimport torch\n\nfrom .one import (\n    one,\n)\n\n'
        "_hidden = 1\n\n\ndef four():\n    return pi\n"
    )
    assert other.read_text() == (
        f'"""Its own docstring."""\n\n{origin}'
        '__all__ = ["FIVE"]\n\nimport math\n\nFIVE = math.pi\n'
    )


def test_running_a_lesson_twice_changes_nothing_and_leaves_no_trace_of_the_machine(tmp_path):
    cells = ["x = 3\nx", "print(x)", {"source": "1 / 0", "metadata": {"tags": ["raises-exception"]}}]
    path = tmp_path / "01_one.ipynb"
    path.write_text(json.dumps(lesson("One", *cells, widgets={"state": {}})))
    assert authoring.run(path) == 3
    first = path.read_bytes()
    assert authoring.run(path) == 3
    authoring.tidy(path)
    assert path.read_bytes() == first
    stored = json.loads(first)
    assert [cell["execution_count"] for cell in stored["cells"][1:]] == [1, 2, 3]
    assert set(stored["metadata"]) == {"kernelspec", "language_info"}
    assert "version" not in stored["metadata"]["language_info"]
    assert stored["cells"][3]["outputs"][0]["traceback"] == ["ZeroDivisionError: division by zero"]
    assert lessons._outputs_out_of_step(lessons._read(path), path.name) == []


def test_a_cell_may_run_half_an_hour_and_one_that_runs_longer_fails(tmp_path):
    assert inspect.signature(authoring.run).parameters["timeout"].default == 1800
    path = tmp_path / "01_one.ipynb"
    path.write_text(json.dumps(lesson("One", "1", "import time; time.sleep(60)")))
    with pytest.raises(RuntimeError, match="timed out"):
        authoring.run(path, timeout=1)


@pytest.mark.parametrize(
    "source, told", [("1 / 0", "ZeroDivisionError"), ("import sys; print('red', file=sys.stderr)", "stderr is stored")]
)
def test_a_lesson_that_fails_or_writes_to_stderr_stays_as_it_was(tmp_path, source, told):
    path = tmp_path / "01_one.ipynb"
    path.write_text(json.dumps(lesson("One", "1", source)))
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match=told):
        authoring.run(path)
    assert path.read_bytes() == before


def test_a_lesson_from_text_keeps_what_did_not_change(tmp_path):
    pytest.importorskip("jupytext", reason="lessons from text need pip install jupytext, which no extra asks for")
    text, path = tmp_path / "01_one.py", tmp_path / "01_one.ipynb"
    head = '# %% [markdown] nbdev={"default_exp": "one"}\n# # One\n\n'
    text.write_text(head + "# %%\nx = 1\n\n# %%\nx + 1\n")
    authoring.from_text(text, path)
    before = json.loads(path.read_text())
    before["cells"][2] |= {"execution_count": 2, "outputs": [RED]}
    path.write_text(json.dumps(before))
    text.write_text(head + "# %%\nx = 2\n\n# %% [markdown]\n# New.\n\n# %%\nx + 1\n")
    authoring.from_text(text, path)
    after = json.loads(path.read_text())
    assert after["metadata"]["nbdev"] == {"default_exp": "one"}
    text.write_text(text.read_text().replace(' nbdev={"default_exp": "one"}', ""))  # as jupytext writes a notebook out
    authoring.from_text(text, path)
    assert json.loads(path.read_text())["metadata"]["nbdev"] == {"default_exp": "one"}
    assert [cell["id"] for cell in before["cells"]] == [after["cells"][i]["id"] for i in (0, 1, 3)]
    assert len({cell["id"] for cell in after["cells"]}) == 4
    assert after["cells"][3]["outputs"][0]["name"] == "stderr" and after["cells"][1]["outputs"] == []


# ------------------------------------------------------------------------------------------------ imports and style


def lint_imports(folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_imports_point_downward(root):
    done = lint_imports(root)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "module, line",
    [
        ("rms_norm.py", "from .rotary import LlamaRotaryEmbedding"),
        ("attention.py", "from .model import LlamaModel"),
        ("sampling.py", "from .tokenizer import Tokenizer"),
        ("viz/__init__.py", "from ..config import LlamaConfig"),
        ("published/files.py", "from ..config import LlamaConfig"),
        ("training.py", "from .runs.texts import Text"),
        ("classroom/course/__init__.py", "from ..my_llama.desk import begin"),  # a circle
        ("stray.py", ""),
    ],
)
def test_an_import_that_points_upward_or_round_in_a_circle_is_told(root, tmp_path, module, line):
    shutil.copytree(root / "llama_tutorial", tmp_path / "llama_tutorial", ignore=shutil.ignore_patterns("assets"))
    shutil.copy(root / "pyproject.toml", tmp_path)
    with (tmp_path / "llama_tutorial" / module).open("a") as file:
        file.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr


def test_ruff_is_content_with_everything_notebooks_included(root):
    ruff = [sys.executable, "-m", "ruff", "check", "--no-cache"]
    done = subprocess.run([*ruff, "."], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    seen = subprocess.run([*ruff, "--show-files", "."], cwd=root, capture_output=True, text=True).stdout
    assert all(str(path) in seen for path in lessons.lesson_files())


@pytest.mark.parametrize("module", EXPORTED)
def test_public_names_of_a_module_say_what_they_are(module):
    loaded = importlib.import_module(f"llama_tutorial.{module}")
    assert loaded.__doc__, f"{module} has no docstring"
    named = [getattr(loaded, name) for name in loaded.__all__]
    silent = [x.__qualname__ for x in named if (inspect.isclass(x) or inspect.isfunction(x)) and not x.__doc__]
    assert silent == []


# ------------------------------------------------------------------------------------------------ README and CI


def test_ci_runs_the_readmes_line(root):
    script = (root / ".ci" / "run").read_text()
    lines = [line for line in script.splitlines() if "pip install" in line]
    assert len(lines) == 1
    assert lines[0] in (root / "README.md").read_text().splitlines()
    assert "\npytest -m thorough\n" in script
    assert os.access(root / ".ci" / "run", os.X_OK)


def test_the_readme_counts_the_core_rightly(root):
    said = re.findall(r"(\d+) lines of code", (root / "README.md").read_text())
    assert said == [str(authoring.core_lines())]


def test_the_readme_lists_every_lesson(root):
    text = (root / "README.md").read_text()
    assert [path.stem for path in lessons.lesson_files() if f"`{path.stem}`" not in text] == []


def test_what_the_readme_says_of_a_check_is_what_it_says(root):
    from llama_tutorial import CheckFailed

    page = (root / "README.md").read_text()
    code, said = re.search(r"```python\n(.*?check\(rotate\))\n```\n\n```text\n(.*?)```", page, re.S).groups()
    with pytest.raises(CheckFailed) as caught:
        exec(code, {"__name__": "readme"})
    assert " ".join(said.split()) == f"CheckFailed: {caught.value}"


def test_lines_of_the_core_leave_out_docstrings_comments_and_blanks(tmp_path):
    text = '"""Module.\n\nMore.\n"""\n\n# a comment\nx = """not a docstring"""\n\ndef f():\n    "One."\n    return x\n'
    for module in lessons.CORE:
        (tmp_path / f"{module}.py").write_text(text)
    assert authoring.core_lines(tmp_path) == 3 * len(lessons.CORE)


# ------------------------------------------------------------------------------------------------ the public names


def test_every_public_name_is_there():
    import llama_tutorial

    assert set(llama_tutorial._HOME) | {"__version__"} == set(llama_tutorial.__all__)
    assert [name for name in llama_tutorial.__all__ if not hasattr(llama_tutorial, name)] == []
    assert set(llama_tutorial.__all__) <= set(dir(llama_tutorial))


def test_an_unknown_name_says_the_nearest():
    import llama_tutorial

    with pytest.raises(AttributeError, match="did you mean 'LlamaConfig'"):
        llama_tutorial.LlamaConfg  # noqa: B018


def test_versions_agree(root):
    import llama_tutorial

    assert f'version = "{llama_tutorial.__version__}"' in (root / "pyproject.toml").read_text()


def test_importing_loads_torch_einops_and_jaxtyping_and_nothing_else():
    code = (
        "import sys, llama_tutorial; early = {'torch'} & set(sys.modules)\n"
        "assert callable(llama_tutorial.LlamaForCausalLM.generate)\n"
        "late = {'matplotlib', 'tokenizers', 'jupyterlab', 'nbformat', 'transformers', 'rich', 'typer'}\n"
        "print(sorted(early), sorted(late & set(sys.modules)))"
    )
    done = run_python(code)
    assert done.stdout == "[] []\n", done.stdout + done.stderr


def test_signatures_hold_at_run_time():
    """One forward, one loss and one generation with every jaxtyping annotation checked by beartype."""
    code = """
import jaxtyping
with jaxtyping.install_import_hook("llama_tutorial", "beartype.beartype"):
    import torch
    from llama_tutorial import LlamaConfig, LlamaForCausalLM, LlamaMLP
    from llama_tutorial.attention import attend_by_hand
    from llama_tutorial.causal_lm import next_token_loss
config = LlamaConfig(hidden_size=28, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=3,
                     head_dim=10, intermediate_size=13, vocab_size=37)
model, ids = LlamaForCausalLM(config), torch.randint(37, (5, 11))
next_token_loss(model(ids, attention_mask=torch.ones(5, 11, dtype=torch.bool)), ids).backward()
assert model.generate(ids, max_new_tokens=3, temperature=0.7, top_k=5, top_p=0.9).shape == (5, 14)
try:
    attend_by_hand(torch.ones(2, 6, 7, 10), torch.ones(2, 3, 7, 10), torch.ones(2, 3, 8, 10), torch.ones(7, 7) > 0)
except jaxtyping.TypeCheckError:
    print("checked")
"""
    done = run_python(code)
    assert done.stdout == "checked\n", done.stdout + done.stderr


# ------------------------------------------------------------------------------------------------ the command line


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom llama_tutorial.cli import run_command\nassert run_command(['--help']) == 0\n"
        "heavy = {'torch', 'numpy', 'einops', 'matplotlib', 'nbformat', 'nbdev', 'jupyterlab', 'tokenizers'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = run_python(code)
    assert "Usage: llama-tutorial" in done.stdout
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(
    "words, told",
    [
        (["nonsense"], "No such command"),
        (["lab", "--port", "port"], "--port"),
        (["generate"], "prompt"),
        (["generate", "The", "--model", "no/such/directory"], "no/such/directory"),
        (["generate", "The", "--temperature", "-1"], "temperature"),
        (["generate", "The", "--top-p", "1.5"], "top_p"),
        (["train", "--minutes", "1", "--steps", "2"], "give one of them"),
        (["train", "--text", "no/such/file"], "no/such/file"),
        (["train", "--steps", "0", "--out", "/dev/null/here"], "steps"),
        (["export", "99"], "99"),
        (["lab", "/dev/null/here"], "/dev/null"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(words, told, capsys):
    assert cli.run_command(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("llama-tutorial: ") and err.count("\n") == 1 and told in err


@pytest.mark.parametrize(
    "error, status, told",
    [
        (ValueError("two\nlines"), 2, "two lines"),
        (KeyError("a key"), 2, "a key"),
        (FileNotFoundError(2, "No such file or directory", "x.txt"), 2, "No such file or directory: x.txt"),
        (RuntimeError("it broke"), 1, "it broke"),
        (AssertionError(), 1, "AssertionError"),
    ],
)
def test_what_a_failure_says_and_returns(error, status, told, capsys, monkeypatch):
    monkeypatch.setattr(cli, "tell_versions", lambda: (_ for _ in ()).throw(error))
    assert cli.run_command(["version"]) == status
    assert capsys.readouterr().err == f"llama-tutorial: {told}\n"
    with pytest.raises(type(error)):
        cli.run_command(["version", "--debug"])


def test_ctrl_c_is_status_130(monkeypatch):
    monkeypatch.setattr(cli, "tell_versions", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli.run_command(["version"]) == 130


@pytest.mark.skipif(os.name != "posix", reason="Windows tells of a closed pipe otherwise")
@pytest.mark.parametrize("said", ["typer.echo", "print"])
def test_a_reader_that_stops_reading_is_no_error(said):
    code = f"import typer\nfrom llama_tutorial import cli\ncli.tell_versions = lambda: {said}('x')\n"
    code += "cli.main(['version'])"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], env=buffered, **pipes) as process:
        process.stdout.close()
        assert process.stderr.read() == ""


# ------------------------------------------------------------------------------------------------ the lab


@pytest.fixture
def shelf(tmp_path):
    """Two packaged lessons and an empty directory of a reader."""
    packaged, mine = tmp_path / "packaged", tmp_path / "mine"
    packaged.mkdir()
    mine.mkdir()
    for name in ("00_start_here", "01_next"):
        (packaged / f"{name}.ipynb").write_text(json.dumps(lesson(name, "1 + 1")))
    return packaged, mine


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_where_a_folder_is_asked_for_is_told(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(NotADirectoryError, match="notes.txt is a file: give a folder"):
        lab.copy_lessons(tmp_path, tmp_path / "notes.txt")


def test_lessons_are_copied_once_and_then_left_in_silence(shelf):
    packaged, mine = shelf
    assert lab.copy_lessons(packaged, mine) == [f"2 lessons copied to {mine}"]
    assert names(mine) == [".llama_tutorial.json", "00_start_here.ipynb", "01_next.ipynb"]
    assert (mine / "01_next.ipynb").read_bytes() == (packaged / "01_next.ipynb").read_bytes()
    assert lab.copy_lessons(packaged, mine) == []


def test_an_edited_lesson_is_kept_and_said_so(shelf):
    packaged, mine = shelf
    lab.copy_lessons(packaged, mine)
    (mine / "01_next.ipynb").write_text("mine")
    assert lab.copy_lessons(packaged, mine) == ["01_next.ipynb: kept as you left it"]
    assert (mine / "01_next.ipynb").read_text() == "mine"
    assert "01_next.new.ipynb" not in names(mine)


def test_a_file_that_was_there_before_is_never_touched(shelf):
    packaged, mine = shelf
    (mine / "01_next.ipynb").write_text("mine")
    assert lab.copy_lessons(packaged, mine) == [f"1 lessons copied to {mine}", "01_next.ipynb: kept as you left it"]
    assert (mine / "01_next.ipynb").read_text() == "mine"


@pytest.mark.parametrize("edited", [True, False])
def test_a_newer_lesson_comes_beside_the_readers(shelf, edited):
    packaged, mine = shelf
    lab.copy_lessons(packaged, mine)
    if edited:
        (mine / "01_next.ipynb").write_text("mine")
    kept = (mine / "01_next.ipynb").read_bytes()
    newer = json.dumps(lesson("newer", "2 + 2"))
    (packaged / "01_next.ipynb").write_text(newer)
    told = ["01_next.ipynb: kept as you left it; the newer lesson is 01_next.new.ipynb"]
    assert lab.copy_lessons(packaged, mine) == told
    assert lab.copy_lessons(packaged, mine) == told
    assert (mine / "01_next.ipynb").read_bytes() == kept
    assert (mine / "01_next.new.ipynb").read_text() == newer
    (mine / "01_next.new.ipynb").write_text("mine too")
    assert "rename that" in lab.copy_lessons(packaged, mine)[0]
    assert (mine / "01_next.new.ipynb").read_text() == "mine too"


@pytest.mark.parametrize("record", ["", "[]", '{"lessons": 3}', "\0"])
def test_a_damaged_record_loses_nothing(shelf, record):
    packaged, mine = shelf
    lab.copy_lessons(packaged, mine)
    (mine / "01_next.ipynb").write_text("mine")
    (mine / ".llama_tutorial.json").write_text(record)
    assert lab.copy_lessons(packaged, mine) == ["01_next.ipynb: kept as you left it"]
    assert (mine / "01_next.ipynb").read_text() == "mine"


def test_copies_are_trusted_and_edited_lessons_are_not(shelf, tmp_path, monkeypatch):
    import nbformat
    from nbformat.sign import NotebookNotary

    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    packaged, mine = shelf
    lab.copy_lessons(packaged, mine)
    (mine / "01_next.ipynb").write_text(json.dumps(lesson("edited", "3 + 3")))
    before = (mine / "00_start_here.ipynb").read_bytes()
    assert lab.trust(mine, packaged) == 1
    assert (mine / "00_start_here.ipynb").read_bytes() == before
    notary = NotebookNotary()
    trusted = [notary.check_signature(nbformat.read(mine / name, as_version=4)) for name in names(mine)[1:]]
    assert trusted == [True, False]


def test_the_lab_opens_the_first_lesson_with_our_settings_last(monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "theirs")
    paths = lab_lessons.lab_environment()["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    assert paths[0] == "theirs" and paths[-1] == str(lab_lessons.CONFIG)
    settings = json.loads((lab_lessons.CONFIG / "labconfig" / "default_setting_overrides.json").read_text())
    assert settings["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"
    assert (lab_lessons.CONFIG / "jupyter_server_config.json").is_file()
    command = lab.lab_command(browser=False, port=4711)
    assert command[:3] == [sys.executable, "-m", "llama_tutorial.lab"]
    assert "--no-browser" in command and "--port=4711" in command
    assert "--LabApp.default_url=/lab/tree/00_start_here.ipynb" in command
    assert "--no-browser" not in lab.lab_command()


def test_a_checkout_has_its_own_notebooks(root):
    assert lab.find_lessons() == (root / "notebooks", True)


@pytest.mark.parametrize("asked, opened", [(None, "my_lessons"), ("notebooks", "notebooks"), ("mine", "mine")])
def test_a_reader_of_a_checkout_reads_a_copy_and_a_maintainer_names_the_notebooks(
    asked, opened, shelf, tmp_path, monkeypatch
):
    packaged, _ = shelf
    packaged = packaged.rename(tmp_path / "notebooks")
    before = {path.name: path.read_bytes() for path in packaged.iterdir()}
    started = []
    monkeypatch.setattr(lab_lessons, "find_lessons", lambda: (packaged, True))
    monkeypatch.setattr(os, "execve", lambda program, command, environment: started.append((os.getcwd(), command)))
    monkeypatch.setattr(os, "name", "posix")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "Popen", None)
    with contextlib.suppress(TypeError):  # `execve` does not come back, this one does
        lab.open_lab(asked and tmp_path / asked, say=lambda line: None)
    assert started[0][0] == str(tmp_path / opened)
    assert names(tmp_path / opened)[-2:] == ["00_start_here.ipynb", "01_next.ipynb"]
    assert {path.name: path.read_bytes() for path in packaged.iterdir()} == before
    assert (tmp_path / ".gitignore").exists() is False


def test_each_folder_has_a_workspace_of_its_own(root):
    here, there = (lab.lab_command(directory=path)[3] for path in ("/here", "/there"))
    assert here != there and here == lab.lab_command(directory="/here")[3]
    assert re.fullmatch(r"--LabApp.default_url=/lab/workspaces/lessons-\w{12}/tree/00_start_here.ipynb", here)
    assert "\nmy_lessons/\n" in (root / ".gitignore").read_text()
