"""Judge a student's work again, from the notebooks and in fresh processes, and make `my_llama` from what passes."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import import_module, invalidate_caches
from pathlib import Path

from .exercises import SUFFIX, lessons
from .my_package import MARKER, alone, blocks, lay_out, must_agree, plain, read_record, store, write_record
from .pieces import NAME, Piece, Unfit, collect, definition, homes, lesson_of, modules, same_code, unwritten

SECONDS = 300  # for one exercise


# ------------------------------------------------------------------------------------------------ fresh processes


def judge_afresh(jobs) -> list[tuple[str, str]]:
    """What becomes of each job in a fresh process: ("passed", ""), ("not written", …) or ("failed", why).

    A job is a dict: the `text` of a module, its name `module`, the `name` in it and the `exercise` that it is judged
    as. One process serves them all; where one of them ends it, a new process goes on with the next.
    """
    results: list[tuple[str, str]] = []
    environment = os.environ | {"PYTHONPATH": package_path(), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONSTARTUP", None)
    with tempfile.TemporaryDirectory() as place:
        lay_out(place)
        (Path(place) / NAME / MARKER).unlink()  # so that nothing is kept from there
        report = Path(place) / "report.jsonl"
        while len(results) < len(jobs):
            left = jobs[len(results) :]
            (Path(place) / "jobs.json").write_text(json.dumps(left), encoding="utf-8")
            report.write_text("", encoding="utf-8")
            command = [sys.executable, "-m", "llama_tutorial.classroom.judging"]
            try:
                done = subprocess.run(
                    command, cwd=place, env=environment, capture_output=True, text=True, timeout=SECONDS * len(left)
                )
                why = f"its process ended with status {done.returncode}: {done.stderr.strip()[-300:]}"
            except subprocess.TimeoutExpired:
                why = f"it was still running after {SECONDS} s"
            lines = report.read_text(encoding="utf-8").splitlines()
            results += [tuple(json.loads(line)) for line in lines]
            if len(results) < len(jobs):
                results.append(("failed", why))
    return results


def job_of(piece: Piece, module: str) -> dict:
    return {"module": module, "text": alone(module, piece), "name": piece.name, "exercise": piece.name}


def package_path() -> str:
    """What a child process needs on PYTHONPATH so that it imports this very package."""
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])


def _serve() -> None:
    """In the fresh process: judge the jobs that lie in this folder, one line of the report for each."""
    sys.path.insert(0, os.getcwd())
    with open("jobs.json", encoding="utf-8") as file:
        jobs = json.load(file)
    for job in jobs:
        path = Path(NAME) / f"{job['module']}.py"
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(job["text"], encoding="utf-8")
        verdict = _verdict(job)
        path.write_text(before, encoding="utf-8")
        with open("report.jsonl", "a", encoding="utf-8") as report:
            report.write(json.dumps(verdict) + "\n")


def _verdict(job: dict) -> tuple[str, str]:
    for name in [name for name in sys.modules if name.split(".")[0] == NAME]:
        del sys.modules[name]
    invalidate_caches()
    try:
        answer = getattr(import_module(f"{NAME}.{job['module']}"), job["name"])
        from llama_tutorial import check

        check(answer, job["exercise"])
        return "passed", ""
    except BaseException as error:
        written = type(error).__name__ not in ("NotWritten", "NotImplementedError")
        kind = "" if isinstance(error, AssertionError) or not written else f"{type(error).__name__}: "
        return "failed" if written else "not written", kind + (str(error).strip() or type(error).__name__)


# ------------------------------------------------------------------------------------------------ a folder


@dataclass(frozen=True)
class Verdict:
    """What became of one exercise: its `state` is "passed", "failed" or "not written"."""

    lesson: str
    name: str
    kind: str
    state: str
    told: str = ""


def judge_folder(directory) -> list[Verdict]:
    """Judge every exercise of the student's notebooks in a directory again, and make `my_llama` from what passes.

    Raises ValueError where no exercise notebook lies there.
    """
    directory, found = Path(directory), []
    for lesson, exercises in lessons().items():
        path = directory / f"{lesson}{SUFFIX}.ipynb"
        if path.is_file():
            found.append((lesson, exercises, _code_of(path)))
    if not found:
        raise ValueError(f"no exercise notebook in {directory}: llama-tutorial exercises {directory} writes them")
    lay_out(directory)
    folder = directory / NAME
    record, verdicts = read_record(folder), []
    record["kept"] = {}
    for lesson, exercises, cells in found:
        here, pieces = _judge_notebook(lesson, exercises, cells)
        verdicts += here
        for piece in pieces:
            try:
                must_agree(piece, record, homes()[piece.name])
            except Unfit as error:
                verdicts.append(Verdict(lesson, piece.name, "implement", "failed", f"not kept: {error}"))
                continue
            record["kept"].setdefault(homes()[piece.name], {})[piece.name] = plain(piece)
    write_record(folder, record)
    for module in modules():
        if not store(folder, record, module):
            told = f"{NAME}/{module}.py was edited by hand and stays as it is"
            verdicts.append(Verdict(lesson_of(module), module, "module", "failed", told))
    return verdicts


def told(verdicts) -> list[str]:
    """The verdicts, a line each, and how many there are of each kind."""
    marks = {"passed": "✓", "failed": "✗", "not written": "○"}
    lines, lesson = [], ""
    for verdict in verdicts:
        lines += [verdict.lesson] if verdict.lesson != lesson else []
        lesson = verdict.lesson
        what = "" if verdict.kind == "implement" else f" ({verdict.kind})"
        why = " ".join(verdict.told.split())
        lines.append(f"  {marks[verdict.state]} {verdict.name}{what}" + (f": {why}" if why else ""))
    count = {state: sum(verdict.state == state for verdict in verdicts) for state in marks}
    lines.append(f"{count['passed']} passed, {count['failed']} failed, {count['not written']} not written yet")
    return lines


def _code_of(path: Path) -> list[str]:
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is no notebook") from None


def _judge_notebook(lesson: str, exercises, cells) -> tuple[list[Verdict], list[Piece]]:
    """The verdicts on a notebook's exercises, in their order, and the pieces of the package that pass."""
    places, jobs, pieces = {}, [], []
    for exercise in exercises:
        head = exercise.name.split(".")[0]
        names = [head] if exercise.kind == "implement" else list(exercise.answers)
        for name in names:
            places[exercise.name, name] = _prepare(exercise, name, cells, exercises)
    for state, _told, job, _piece in places.values():
        if state == "judge" and job not in jobs:
            jobs.append(job)
    results = judge_afresh(jobs) if jobs else []
    verdicts = []
    for exercise in exercises:
        states = []
        for (owner, name), (state, told, job, piece) in places.items():
            if owner == exercise.name:
                state, told = results[jobs.index(job)] if state == "judge" else (state, told)
                states.append((state, told if name == owner or not told else f"{name}: {told}"))
                if state == "passed" and exercise.kind == "implement" and piece not in pieces:
                    pieces.append(piece)
        worst = next((each for want in ("failed", "not written") for each in states if each[0] == want), states[0])
        verdicts.append(Verdict(lesson, exercise.name, exercise.kind, *worst))
    return verdicts, pieces


def _prepare(exercise, name: str, cells, exercises) -> tuple[str, str, dict | None, Piece | None]:
    """How one answer is to be judged: a state that is known already, or a job for a fresh process."""
    try:
        code = definition(name, cells)
        if exercise.kind != "implement":
            if same_code(code, definition(name, [exercise.starter])):
                return "not written", "", None, None
            piece = collect(name, cells, None)
            text = "\n\n\n".join(["\n".join(piece.imports), *blocks({name: piece}, [name])]) + "\n"
            return "judge", "", {"module": "_answer", "text": text, "name": name, "exercise": name}, None
        if unwritten(code, [exercise.name]):
            return "not written", "", None, None
        if unwritten(code, [each.name for each in exercises if each.name.split(".")[0] == name]):
            return "not written", "it waits for the rest of its class", None, None
        piece = collect(name, cells, homes()[name])
        return "judge", "", job_of(piece, homes()[name]), piece
    except Unfit as error:
        return "failed", str(error), None, None


if __name__ == "__main__":
    from llama_tutorial.classroom.judging import _serve as serve

    serve()
