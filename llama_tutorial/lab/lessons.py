"""Find the lessons, copy them without ever touching a reader's file, and start JupyterLab on the first."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

FIRST = "00_start_here.ipynb"
MINE = "my_lessons"  # in a checkout, where its reader's copies lie
RECORD = ".llama_tutorial.json"  # beside the copies: the hash of each lesson as it was copied
CONFIG = Path(__file__).with_name("config")


def find_lessons() -> tuple[Path, bool]:
    """The folder of the lessons, and whether it is a checkout's own.

    An installed package carries them beside its modules, a checkout beside the package. Raises
    FileNotFoundError where there are neither.
    """
    package = Path(__file__).resolve().parents[1]
    installed, checkout = package / "notebooks", package.parent / "notebooks"
    if installed.is_dir():
        return installed, False
    if checkout.is_dir() and (package.parent / "pyproject.toml").is_file():
        return checkout, True
    raise FileNotFoundError(f"no lessons: neither {installed} nor {checkout} is there; reinstall")


def copy_lessons(source, directory, what: str = "lessons") -> list[str]:
    """Copy the lessons that are missing from `directory` and say, a line each, what was done or left alone.

    `what` is what they are called in the first line. No existing file is ever written to. A lesson that the
    reader edited stays as it is; where the packaged one has changed since it was copied, the new one is written
    beside it as NAME.new.ipynb. Raises OSError where the directory cannot be written.
    """
    source, directory = Path(source), Path(directory)
    if directory.is_file():
        raise NotADirectoryError(f"{directory} is a file: give a folder, new or old")
    directory.mkdir(parents=True, exist_ok=True)
    record = _read_record(directory / RECORD)
    known = dict(record)
    told, copied = [], 0
    for lesson in sorted(source.glob("*.ipynb")):
        packaged = lesson.read_bytes()
        mine = directory / lesson.name
        newer = directory / f"{lesson.stem}.new.ipynb"
        if _write_if_absent(mine, packaged):
            copied += 1
            record[lesson.name] = _hash(packaged)
        elif _same(mine, packaged):
            record[lesson.name] = _hash(packaged)
        elif record.get(lesson.name, _hash(packaged)) == _hash(packaged):
            told.append(f"{lesson.name}: kept as you left it")
        elif _write_if_absent(newer, packaged) or _same(newer, packaged):
            told.append(f"{lesson.name}: kept as you left it; the newer lesson is {newer.name}")
        else:
            told.append(f"{lesson.name}: kept as you left it, like {newer.name}; rename that for the newest")
    if record != known:
        _write_record(directory / RECORD, record)
    if copied:
        told.insert(0, f"{copied} {what} copied to {directory}")
    return told


def trust(directory, source=None) -> int:
    """Sign the lessons in `directory`, so that Jupyter shows their stored outputs; return how many.

    With `source`, only those that are the packaged ones, byte for byte: what a reader edited is theirs to
    trust. Only Jupyter's database of signatures is written, no notebook.
    """
    import nbformat
    from nbformat.sign import NotebookNotary

    notary, signed = NotebookNotary(), 0
    for path in sorted(Path(directory).glob("*.ipynb")):
        packaged = Path(source) / path.name.replace(".new.ipynb", ".ipynb") if source else path
        if packaged.is_file() and _same(path, packaged.read_bytes()):
            notary.sign(nbformat.read(path, as_version=4))
            signed += 1
    return signed


def lab_command(browser: bool = True, port: int | None = None, directory=None, notebook: str = FIRST) -> list[str]:
    """The command line that starts this interpreter's JupyterLab on a notebook, the first lesson unless told.

    A `directory` has a workspace of its own, so that the tabs and kernels of another one are not opened again.
    """
    own = f"/workspaces/lessons-{_hash(str(directory).encode())[:12]}" if directory else ""
    command = [sys.executable, "-m", __package__, f"--LabApp.default_url=/lab{own}/tree/{notebook}"]
    command += ["--ServerApp.answer_yes=True"]  # Ctrl-C stops without a question
    if not browser:
        command.append("--no-browser")
    if port is not None:
        command.append(f"--port={port}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    return command


def lab_environment() -> dict[str, str]:
    """The environment, our settings last on Jupyter's search path: defaults, which the reader's own beat."""
    from jupyter_core.paths import jupyter_config_path

    return os.environ | {"JUPYTER_CONFIG_PATH": os.pathsep.join([*jupyter_config_path(), str(CONFIG)])}


def open_lab(directory=None, browser: bool = True, port: int | None = None, say=print, notebook: str = "") -> int:
    """Start JupyterLab on the lessons and return its exit status once it ends (Ctrl-C ends it).

    The lessons are first copied to `directory`: by default the current one, in a checkout its my_lessons/, which git
    ignores. JupyterLab changes a notebook that is merely opened, so a reader reads a copy; who edits the lessons of a
    checkout names its notebooks/. With a `notebook` of the directory, that one is opened and nothing is copied. Raises
    FileNotFoundError where no lessons are found, OSError where they cannot be copied.
    """
    source, checkout = find_lessons()
    directory = Path(directory or (source.parent / MINE if checkout else ".")).resolve()
    if notebook:
        pass
    elif directory == source:
        trust(directory)
    else:
        for line in copy_lessons(source, directory):
            say(line)
        trust(directory, source)
    say(f"JupyterLab opens {Path(directory) / (notebook or FIRST)}; Ctrl-C here ends it.")
    sys.stdout.flush()
    command, environment = lab_command(browser, port, directory, notebook or FIRST), lab_environment()
    if os.name == "posix":  # become JupyterLab, so that every signal reaches it
        os.chdir(directory)
        os.execve(command[0], command, environment)
    lab = subprocess.Popen(command, cwd=directory, env=environment)
    while True:
        try:
            return lab.wait()
        except KeyboardInterrupt:  # the lab got it too, and ends by itself
            continue


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _same(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _write_if_absent(path: Path, content: bytes) -> bool:
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def _read_record(path: Path) -> dict[str, str]:
    try:
        lessons = json.loads(path.read_text(encoding="utf-8"))["lessons"]
        return {str(name): str(value) for name, value in lessons.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write_record(path: Path, record: dict[str, str]) -> None:
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps({"lessons": record}, indent=1) + "\n", encoding="utf-8")
    fresh.replace(path)
