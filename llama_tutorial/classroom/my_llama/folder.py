"""A student's folder judged again: its notebooks, exercise by exercise, and `my_llama` made from what passes."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ..course import SUFFIX, Exercise, lessons
from ..course.cut import functions
from ..course.pieces import (
    NAME,
    Lent,
    Piece,
    Unfit,
    collect,
    definition,
    homes,
    lesson_of,
    modules,
    same_code,
    unwritten,
)
from .judging import Remembered, job_of
from .package import MARKER, lay_out, must_agree, plain, read_record, store, store_all, write_record
from .progress import upcoming, written
from .speaking import spoken

MARKS = {"passed": "✓", "failed": "✗", "not written": "○"}


@dataclass(frozen=True)
class Verdict:
    """What became of one exercise: its `state` is "passed", "failed" or "not written".

    `bug`, `step` and `line` are those of the check, the line as it stands in the student's cell; `anew` says whether
    it was judged this time, and not known from before.
    """

    lesson: str
    name: str
    kind: str
    state: str
    told: str = ""
    bug: str | None = None
    step: str | None = None
    line: dict | None = None
    anew: bool = True

    def __str__(self):
        what = "" if self.kind in ("implement", "notebook", "module") else f" ({self.kind})"
        where = f" Line {self.line['number']}: {self.line['text']}" if self.line and self.bug else ""
        why = " ".join(self.told.split()) + where
        return f"{MARKS[self.state]} {self.name}{what}" + (f": {why}" if why else "")


@dataclass(frozen=True)
class Answer:
    """One name that an exercise asks for: what is known of it already, or the job that will tell, and its piece."""

    name: str
    state: str = ""
    told: str = ""
    job: dict | None = None
    piece: Piece | None = None


class Folder:
    """A student's folder. While nothing in it has changed, nor the checker, all that was said of it is said again."""

    def __init__(self, directory):
        self.directory, self.folder = Path(directory), Path(directory) / NAME
        if not any(self.directory.glob(f"*{SUFFIX}.ipynb")):
            raise ValueError(f"no exercise notebook in {directory}: llama-tutorial exercises {directory} writes them")
        self.remembered = Remembered(self.folder)
        self.before = self.remembered.found.get("folder", {})
        if self.before.get("state") != self._state():
            self.before = {}

    def _state(self) -> str:
        """What decides all verdicts, beside the checker."""
        told = hashlib.sha256()
        for path in sorted([*self.directory.glob(f"*{SUFFIX}.ipynb"), *self.folder.glob("*.py"), self.folder / MARKER]):
            try:
                text = json.dumps(code_of(path)) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
            except (ValueError, OSError) as error:
                text = f"{error}"
            told.update(json.dumps([path.name, text]).encode())
        return told.hexdigest()

    def judge(self) -> Iterator[Verdict]:
        """Yield the verdict on every exercise, each once it is known, and make `my_llama` from what passes.

        Of a lesson whose notebook is missing or cannot be read, `my_llama` keeps what it has.
        """
        if self.before:
            yield from (Verdict(**each, anew=False) for each in self.before["verdicts"])
            return
        lay_out(self.directory)
        verdicts = []
        for verdict in _judge(self.directory, self.remembered):
            verdicts.append({key: value for key, value in asdict(verdict).items() if key != "anew"})
            yield verdict
        again = {"verdicts": verdicts, "speech": self.speech(), "following": self.following(), "state": self._state()}
        if self.remembered.certain:
            self.remembered.found["folder"] = again
            self.remembered.write()

    def speech(self) -> list[str]:
        """What the model of the student's parts says, once all parts of a lesson are theirs; lines to print."""
        if self.before:
            return self.before["speech"]
        record = read_record(self.folder)
        whole = [lesson for lesson in lessons() if written(lesson, record)]
        told = [f"Every part of {', '.join(whole)} is yours, and the model speaks with them:"] if whole else []
        return told + (spoken(self.folder, record, self.remembered) if whole else [])

    def following(self) -> dict | None:
        """What comes next."""
        return self.before["following"] if self.before else upcoming(self.directory)


def _judge(directory: Path, remembered: Remembered) -> Iterator[Verdict]:
    record, found, answers = read_record(directory / NAME), {}, {}
    for lesson, exercises in lessons(record["seed"]).items():
        path = directory / f"{lesson}{SUFFIX}.ipynb"
        if not path.is_file():
            continue
        try:
            cells = code_of(path)
        except ValueError as error:
            found[lesson] = Verdict(lesson, path.name, "notebook", "failed", str(error))
            continue
        found[lesson] = None
        for exercise in exercises:
            answers[exercise.name] = [_prepare(each, exercise, cells, record, lesson) for each in _names(exercise)]
    jobs = []
    for answer in [answer for here in answers.values() for answer in here]:
        jobs += [answer.job] if answer.job and answer.job not in jobs else []
    coming, known = remembered.judge(jobs), []
    try:
        for lesson, broken in found.items():
            if broken:
                yield broken
                continue
            pieces, passed = [], []
            for exercise in lessons()[lesson]:
                while any(jobs.index(each.job) >= len(known) for each in answers[exercise.name] if each.job):
                    known.append(next(coming))
                verdict, right = _verdict(lesson, exercise, answers[exercise.name], jobs, known)
                pieces += [each.piece for each in right if each.piece and each.piece not in pieces]
                passed += [each.name for each in right if not each.piece]
                yield verdict
            yield from _kept(lesson, directory / NAME, record, pieces, passed)
    finally:
        coming.close()
    for module in store_all(directory / NAME, record):
        told = f"{NAME}/{module}.py was edited by hand and stays as it is"
        yield Verdict(lesson_of(module) if module in modules() else "", module, "module", "failed", told)


def _kept(lesson: str, folder: Path, record: dict, pieces: list[Piece], passed: list[str]) -> Iterator[Verdict]:
    """Put what passed in a lesson into the record and the package, in place of what stood there of it."""
    exercises = lessons()[lesson]
    answers = {name for exercise in exercises for name in exercise.answers}
    record["passed"] = [name for name in record["passed"] if name not in answers] + passed
    heads = dict.fromkeys(each.name.split(".")[0] for each in exercises if each.exported)
    for head in heads:
        record["kept"].get(homes()[head], {}).pop(head, None)
    for piece in pieces:
        module = homes()[piece.name]
        try:
            must_agree(piece, record, module)
            record["kept"].setdefault(module, {})[piece.name] = plain(piece)
        except Unfit as error:
            yield Verdict(lesson, piece.name, "implement", "failed", f"not kept: {error}")
    for module in dict.fromkeys(homes()[head] for head in heads):
        store(folder, record, module)
    write_record(folder, record)


def counted(verdicts) -> str:
    """How many verdicts there are of each kind, in one line."""
    count = {state: sum(verdict.state == state for verdict in verdicts) for state in MARKS}
    return f"{count['passed']} passed, {count['failed']} failed, {count['not written']} not written yet"


def code_of(path: Path) -> list[str]:
    """The code cells of a notebook; ValueError where it is none, or was cut off."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f": {error}" if isinstance(error, OSError | ValueError) else ""
        raise ValueError(
            f"it cannot be read as a notebook{why}. Rename it, and llama-tutorial exercises writes it anew; what "
            f"stood in {NAME} stays"
        ) from None


def _names(exercise: Exercise) -> list[str]:
    return [exercise.name.split(".")[0]] if exercise.exported else list(exercise.answers)


def _prepare(name: str, exercise: Exercise, cells: list[str], record: dict, lesson: str) -> Answer:
    """How one answer is to be judged: a state that is known already, or a job for a fresh process."""
    module = homes()[name] if exercise.exported else None
    try:
        code = definition(name, cells)
        if module is None:
            own = exercise.kind == "implement"
            if same_code(code, definition(name, [exercise.starter])) or (own and unwritten(code, functions(code))):
                return Answer(name, "not written")
            seed = record["seed"] if exercise.seeded else None
            return Answer(name, job=job_of(collect(name, cells, None), None, name, cells, seed))
        if unwritten(code, [exercise.name]):
            return Answer(name, "not written")
        if unwritten(code, [each.name for each in lessons()[lesson] if each.name.split(".")[0] == name]):
            return Answer(name, "not written", "it waits for the rest of its class")
        piece = collect(name, cells, module)
        return Answer(name, job=job_of(piece, module, name, cells), piece=piece)
    except Lent:
        if module and name in record["kept"].get(module, {}):  # written once, and taken from there since
            piece = Piece(**record["kept"][module][name])
            return Answer(name, job=job_of(piece, module, name), piece=piece)
        return Answer(name, "not written", "skipped: what your notebook imports is lent")
    except Unfit as error:
        return Answer(name, "failed", str(error))


def _verdict(lesson: str, exercise: Exercise, answers: list[Answer], jobs, known) -> tuple[Verdict, list[Answer]]:
    """The verdict on an exercise, the worst on one of its answers, and which of its answers are right."""
    told, right = [], []
    for answer in answers:
        found, anew = known[jobs.index(answer.job)] if answer.job else ({}, True)
        found = {"state": answer.state, "told": answer.told} | found
        right += [answer] if found["state"] == "passed" else []
        owner = "" if len(answers) == 1 or found["state"] == "passed" or not found["told"] else f"{answer.name}: "
        more = {key: found.get(key) for key in ("bug", "step", "line")} | {"anew": anew}
        told.append(Verdict(lesson, exercise.name, exercise.kind, found["state"], owner + found["told"], **more))
    worst = next((each for want in ("failed", "not written") for each in told if each.state == want), told[0])
    return worst, right
