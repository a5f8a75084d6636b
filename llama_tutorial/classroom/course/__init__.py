"""The exercises of every lesson: their texts, the notebooks that are cut from them, and what the answers are worth.

A lesson's exercises stand in the file of its component; `docs/exercises.md` tells how one is marked and written.
"""

import json
from functools import cache

from ... import classroom
from ...lab import find_lessons
from .exercise import KINDS, Exercise, dots
from .pieces import ours

__all__ = ["KINDS", "SUFFIX", "Exercise", "build", "by_name", "known_names", "lessons", "overview", "solution"]

SUFFIX = "_exercises"


@cache
def lessons() -> dict[str, tuple[Exercise, ...]]:
    """The exercises of each lesson that has some, by the lesson's name."""
    components = classroom.discovered().values()
    return {component.lesson: component.exercises for component in components if component.exercises}


@cache
def by_name() -> dict[str, tuple[str, Exercise]]:
    """The lesson and the exercise of every name that is written: a function, a class, a method or an answer."""
    found: dict[str, tuple[str, Exercise]] = {}
    for lesson, exercises in lessons().items():
        for exercise in exercises:
            for name in {exercise.name, exercise.name.split(".")[0], *exercise.answers}:
                found.setdefault(name, (lesson, exercise))
    return found


# ------------------------------------------------------------------------------------------------ the notebooks


def read_lesson(lesson: str) -> dict:
    """A lesson's notebook, every source one string."""
    notebook = json.loads((find_lessons()[0] / f"{lesson}.ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def build(lesson: str) -> dict:
    """The exercise notebook of a lesson."""
    from .notebook import student_notebook

    return student_notebook(read_lesson(lesson), lesson, lessons()[lesson])


def solution(name: str, passed: bool = False) -> str:
    """Our solution of an exercise, as text; KeyError names the nearest exercise where there is none of that name.

    A transfer exercise shows its worked answer to who has `passed` it, and says before that what to do.
    """
    if name not in by_name():
        raise KeyError(known_names(name))
    lesson, exercise = by_name()[name]
    if exercise.kind == "implement":
        return ours(name, lesson)
    if exercise.kind != "transfer":
        return f"{exercise.solution}\n\n# {exercise.why}"
    if passed and exercise.worked:
        return exercise.worked
    if passed:
        return f"{exercise.name} has passed its check: yours is a right answer, and there is no other to show."
    after = ", and once it has passed, an answer of another kind is shown here" if exercise.worked else ""
    return (
        f"{exercise.name} is a transfer exercise: write it in {lesson}{SUFFIX}.ipynb, where its hints fold out, and "
        f"check({exercise.name}) judges it{after}."
    )


def overview(lesson: str) -> str:
    """A lesson's exercises as a markdown table: what a page may show of them."""
    rows = ["| Exercise | Kind | Difficulty | Importance | Minutes |", "|---|---|---|---|---|"]
    for exercise in lessons()[lesson]:
        name = exercise.title or f"`{exercise.name}`"
        told = (name, exercise.kind, dots(exercise.difficulty), dots(exercise.importance), str(exercise.minutes))
        rows.append(f"| {' | '.join(told)} |")
    return "\n".join(rows)


def known_names(name: str) -> str:
    """What to say of a name that no exercise has: the nearest ones, or all."""
    from difflib import get_close_matches

    near = get_close_matches(name, by_name(), n=3, cutoff=0.5)
    all_of_them = ", ".join(exercise.name for exercises in lessons().values() for exercise in exercises)
    return f"no exercise {name!r}; " + (f"did you mean {' or '.join(near)}?" if near else f"known: {all_of_them}")
