"""Judge a student's pieces in fresh processes, each within limits, and remember the verdicts."""

import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from importlib import import_module, invalidate_caches
from importlib.metadata import version
from pathlib import Path

from ..course.pieces import FOLDERS, NAME, PACKAGE, Piece
from .package import MARKER, lay_out

SECONDS = 120.0  # that one answer may take, beside the limit of the check itself
MEMORY = 8 * 2**30  # bytes that the process may map beside what it has when it begins, where the system can say so
AGAIN = 75  # the exit status of a process that wants a fresh one for what is left
VERDICTS = ".verdicts.json"  # in my_llama: what was found of each text, so that it is not judged again
HEAD = "from llama_tutorial.classroom import stand_in\n\nstand_in(__name__)\n"


# ------------------------------------------------------------------------------------------------ what is judged


def job_of(piece: Piece, module: str | None, exercise: str, cells=(), seed: int | None = None) -> dict:
    """What a fresh process needs to judge a piece: a `module` of ours with this one piece in it, or an answer's own.

    Every block of code is told with the line at which it begins in its cell, so that what is said of it is found.
    `seed` is the learner's, where the exercise varies with it.
    """
    head = "\n".join([HEAD if module else "", *piece.imports]) + "\n"
    blocks = [(_line_of(code, cells), code) for code in (*piece.helpers.values(), piece.code)]
    job = {"module": module or "_answer", "head": head, "blocks": blocks, "name": piece.name, "exercise": exercise}
    return job if seed is None else job | {"seed": seed}


def _line_of(code: str, cells) -> int:
    """The line at which some code begins in the last of the cells that holds it; 1 where none does."""
    lines = code.splitlines()
    for cell in reversed(list(cells)):
        theirs = cell.splitlines()
        for first in range(len(theirs) - len(lines) + 1):
            if all(mine in ("", line) for mine, line in zip(lines, theirs[first:])):  # what is left out is empty there
                return first + 1
    return 1


# ------------------------------------------------------------------------------------------------ fresh processes


def judge_afresh(jobs) -> Iterator[dict]:
    """Yield what becomes of each job, as soon as it is known: its state, what is told, bug, step and line.

    The state is "passed", "not written" or "failed". One process serves all jobs; where one of them ends it, or takes
    too long, that one has failed, and a new process goes on with the next.
    """
    done = 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        lay_out(place)
        (Path(place) / NAME / MARKER).unlink()  # so that nothing is kept from there
        while done < len(jobs):
            for result in _serve_in(place, jobs[done:]):
                done += 1
                yield result


def _serve_in(place: str, jobs) -> Iterator[dict]:
    """What one process says of the first of some jobs, all of them where it lives so long."""
    (Path(place) / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    report, errors = Path(place) / "report.jsonl", Path(place) / "errors.txt"
    report.write_text("", encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": package_path(), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONSTARTUP", None)
    command = [sys.executable, "-m", "llama_tutorial.classroom.my_llama.judging"]
    told, why = 0, ""
    with errors.open("wb") as to_errors, report.open(encoding="utf-8") as lines:
        process = subprocess.Popen(
            command, cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=to_errors
        )
        try:
            heard, rest = time.monotonic(), ""
            while True:
                ended = process.poll() is not None
                *whole, rest = (rest + lines.read()).split("\n")
                for line in map(json.loads, whole):
                    heard = time.monotonic()
                    if line:  # the first is empty: the process is ready
                        told += 1
                        yield line
                if ended or told == len(jobs):
                    break
                if time.monotonic() - heard > SECONDS:
                    why = f"it was still running after {SECONDS:.0f} s"
                    break
                time.sleep(0.02)
        finally:
            process.kill()
            process.wait()
    if told < len(jobs) and (not told or process.returncode != AGAIN):
        yield _failed(why or _how_it_ended(process.returncode, errors.read_text(encoding="utf-8", errors="replace")))


def _how_it_ended(status: int, errors: str) -> str:
    by = f"by signal {-status}, as it does to whoever takes too much memory" if status < 0 else ""
    return f"the system ended its process {by}" if by else f"its process ended with status {status}: {errors[-300:]}"


def _failed(told: str) -> dict:
    return {"state": "failed", "told": told.strip(), "bug": None, "step": None, "line": None, "ended": True}


def package_path() -> str:
    """What a child process needs on PYTHONPATH so that it imports this very package."""
    return os.pathsep.join([str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])


# ------------------------------------------------------------------------------------------------ in the process


def _serve() -> None:
    """In the fresh process: judge the jobs that lie in this folder, one line of the report for each."""
    sys.path.insert(0, os.getcwd())
    from llama_tutorial import check

    with open("jobs.json", encoding="utf-8") as file:
        jobs = json.load(file)
    _limit_memory()
    with open("report.jsonl", "a", encoding="utf-8") as report:
        report.write("{}\n")
        report.flush()
        for job in jobs:
            verdict = _verdict(job, check)
            report.write(json.dumps(verdict) + "\n")
            report.flush()
            if verdict["ended"]:
                os._exit(AGAIN)


def _verdict(job: dict, check) -> dict:
    """What `check` says of a job, whose code is put into a fresh `my_llama` around it."""
    for name in [name for name in sys.modules if name.split(".")[0] == NAME]:
        del sys.modules[name]
    path = Path(NAME) / f"{job['module']}.py"
    before = path.read_bytes() if path.exists() else b""
    try:
        path.write_text(job["head"], encoding="utf-8")
        invalidate_caches()
        module = import_module(f"{NAME}.{job['module']}")
        for block in job["blocks"]:
            _execute(*block, vars(module))
        check(getattr(module, job["name"]), job["exercise"], save=False, seed=job.get("seed"))
        return {"state": "passed", "told": "", "bug": None, "step": None, "line": None, "ended": False}
    except BaseException as error:
        written = type(error).__name__ not in ("NotWritten", "NotImplementedError")
        kind = "" if isinstance(error, AssertionError) or not written else f"{type(error).__name__}: "
        line = getattr(error, "line", None)
        return {
            "state": "failed" if written else "not written",
            "told": kind + (str(error).strip() or type(error).__name__),
            "bug": getattr(error, "bug", None),
            "step": getattr(error, "step", None),
            "line": {"number": line[0], "text": line[1]} if line else None,
            "ended": isinstance(error, MemoryError),
        }
    finally:
        path.write_bytes(before)


def _execute(line: int, code: str, space: dict) -> None:
    """Run a block of a student's code with the line numbers of its cell; tracebacks can show its text."""
    import linecache

    text = "\n" * (line - 1) + code + "\n"
    file = f"<cell {hashlib.sha256(text.encode()).hexdigest()[:12]}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec", dont_inherit=True), space)


def _limit_memory() -> None:
    """Refuse this process more than MEMORY beside what it has, on systems that can."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = pages * resource.getpagesize() + MEMORY
        if hard == resource.RLIM_INFINITY or wanted < hard:
            resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    except (ImportError, OSError, ValueError):
        pass


# ------------------------------------------------------------------------------------------------ what is remembered


class Remembered:
    """The verdicts that a folder has seen, by what was judged; all are forgotten where the checker has changed."""

    def __init__(self, folder: Path):
        self.path, self.found = folder / VERDICTS, {}
        self.certain = True  # whether nothing was cut short, so that on another day all would be the same
        try:
            known = json.loads(self.path.read_text(encoding="utf-8"))
            self.found = dict(known["found"]) if known["by"] == checker() else {}
        except (OSError, ValueError, KeyError, TypeError):
            pass

    def judge(self, jobs) -> Iterator[tuple[dict, bool]]:
        """Yield the verdict on each job and whether it was judged just now; what is known is not judged again."""
        new = judge_afresh([job for job in jobs if _key(job) not in self.found])
        try:
            for job in jobs:
                known = self.found.get(_key(job))
                verdict = known or next(new)
                if verdict["ended"]:
                    self.certain = False
                elif not known:
                    self.found[_key(job)] = verdict
                yield verdict, not known
        finally:
            new.close()
            self.write()

    def write(self) -> None:
        """Keep what was found; a folder that cannot be written forgets."""
        try:
            fresh = self.path.with_name(self.path.name + ".tmp")
            fresh.write_text(json.dumps({"by": checker(), "found": self.found}, ensure_ascii=False), encoding="utf-8")
            fresh.replace(self.path)
        except OSError:
            pass


def _key(job) -> str:
    return hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()[:32]


@cache
def checker() -> str:
    """What decides a verdict beside the student's code: our sources, and the versions of what they stand on."""
    told = hashlib.sha256(f"{platform.python_version()} {version('torch')} {version('einops')}".encode())
    folders = [PACKAGE / name for name in (*FOLDERS, "classroom")]
    for path in sorted([*PACKAGE.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))]):
        told.update(f"{path.relative_to(PACKAGE)}".encode() + path.read_bytes())
    return told.hexdigest()[:32]


if __name__ == "__main__":
    from llama_tutorial.classroom.my_llama.judging import _serve as serve

    serve()
