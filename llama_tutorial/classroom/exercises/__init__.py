"""The exercises of every lesson: their texts, the notebooks that are cut from them, and what the answers are worth.

A lesson's exercises stand in `lesson_NN.py`; `docs/exercises.md` tells how one is marked and written.
"""

import json
from functools import cache
from importlib import import_module
from pathlib import Path

from .texts import KINDS, Exercise, dots

__all__ = ["KINDS", "Exercise", "by_name", "judge", "lessons", "overview", "solution"]

SUFFIX = "_exercises"


@cache
def lessons() -> dict[str, tuple[Exercise, ...]]:
    """The exercises of each lesson that has some, by the lesson's name."""
    from ...lab import find_lessons

    found = {}
    for path in sorted(find_lessons()[0].glob("[0-9][0-9]_*.ipynb")):
        module = Path(__file__).with_name(f"lesson_{path.stem[:2]}.py")
        if module.is_file():
            found[path.stem] = import_module(f".{module.stem}", __name__).EXERCISES
    return found


@cache
def by_name() -> dict[str, tuple[str, Exercise]]:
    """The lesson and the exercise of every name that is written: a function, a class, a method or an answer."""
    found: dict[str, tuple[str, Exercise]] = {}
    for lesson, exercises in lessons().items():
        for exercise in exercises:
            for name in {exercise.name, exercise.name.split(".")[0], *exercise.answers}:
                found.setdefault(name, (lesson, exercise))
    return found


def is_answer(name) -> bool:
    """Whether a name is an answer to a predict, find-the-bug or transfer exercise."""
    found = by_name().get(name) if isinstance(name, str) else None
    return bool(found and name in found[1].answers)


def judge(answer, name: str) -> str:
    """What is wrong with an answer, in one sentence; "" for a right one.

    `name` is one that `is_answer`. Raises NotImplementedError for an answer that is still to be written.
    """
    if answer is ...:
        raise NotImplementedError(by_name()[name][1].task)
    try:
        return by_name()[name][1].answers[name](answer)
    except NotImplementedError:
        raise
    except Exception as error:
        told = " ".join(str(error).split()) or "no message"
        return f"{name} raised {type(error).__name__}: {told:.300}"


def report_on(answer, name: str):
    """The report on an answer, as `check` shows it; a right one is told what it teaches."""
    from .. import guard
    from ..report import NOT_WRITTEN, Report

    exercise = by_name()[name][1]
    with guard.sandbox() as printed:
        try:
            told = judge(answer, name)
        except NotImplementedError:
            return Report(name, False, f"{name} {NOT_WRITTEN}")
    notes = [exercise.why] if exercise.why and not told else []
    sentence = told if told.split(" ")[0] in exercise.answers else told[:1].upper() + told[1:]
    sentence += "." * bool(told)
    return Report(name, not told, sentence, notes=notes, printed=" ".join(printed.getvalue().split())[:200])


# ------------------------------------------------------------------------------------------------ the notebooks


def read_lesson(lesson: str) -> dict:
    """A lesson's notebook, every source one string."""
    from ...lab import find_lessons

    notebook = json.loads((find_lessons()[0] / f"{lesson}.ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def build(lesson: str) -> dict:
    """The exercise notebook of a lesson."""
    from .notebook import student_notebook

    return student_notebook(read_lesson(lesson), lesson, lessons()[lesson])


def solution(name: str) -> str:
    """Our solution of an exercise, as text; KeyError names the nearest exercise where there is none of that name."""
    from difflib import get_close_matches

    from ..pieces import ours

    if name not in by_name():
        near = get_close_matches(name, by_name(), n=3, cutoff=0.5)
        raise KeyError(f"no exercise {name!r}; " + (f"did you mean {' or '.join(near)}?" if near else known()))
    lesson, exercise = by_name()[name]
    if exercise.kind == "implement":
        return ours(name, lesson)
    if exercise.kind == "transfer":
        return (
            f"{exercise.name} is a transfer exercise of {lesson}: its answer stands nowhere in the package, "
            f"the check alone knows it. The last hint: {exercise.hints[-1]}"
        )
    return f"{exercise.solution}\n\n# {exercise.why}"


def overview(lesson: str) -> str:
    """A lesson's exercises as a markdown table: what a page may show of them."""
    rows = ["| Exercise | Kind | Difficulty | Importance | Minutes |", "|---|---|---|---|---|"]
    for exercise in lessons()[lesson]:
        name = exercise.title or f"`{exercise.name}`"
        told = (name, exercise.kind, dots(exercise.difficulty), dots(exercise.importance), str(exercise.minutes))
        rows.append(f"| {' | '.join(told)} |")
    return "\n".join(rows)


def known() -> str:
    """Every exercise, in the order of the lessons, in one line."""
    return "known: " + ", ".join(exercise.name for exercises in lessons().values() for exercise in exercises)
