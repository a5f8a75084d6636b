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


def lessons(seed: int | None = None) -> dict[str, tuple[Exercise, ...]]:
    """The exercises of each lesson that has some, by the lesson's name, as the learner with that seed has them."""
    return _lessons(seed)


@cache
def _lessons(seed: int | None) -> dict[str, tuple[Exercise, ...]]:
    found: dict[str, tuple[Exercise, ...]] = {}
    for component in classroom.discovered().values():  # of a lesson with several modules, one after the other
        here = tuple(exercise.of(seed) for exercise in component.exercises)
        found |= {component.lesson: found.get(component.lesson, ()) + here} if here else {}
    return found


def by_name(seed: int | None = None) -> dict[str, tuple[str, Exercise]]:
    """The lesson and the exercise of every name that is written: a function, a class, a method or an answer."""
    return _by_name(seed)


@cache
def _by_name(seed: int | None) -> dict[str, tuple[str, Exercise]]:
    found: dict[str, tuple[str, Exercise]] = {}
    for lesson, exercises in lessons(seed).items():
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


def build(lesson: str, seed: int | None = None) -> dict:
    """The exercise notebook of a lesson, for the learner with that seed, which its metadata then says."""
    from .notebook import student_notebook

    notebook = student_notebook(read_lesson(lesson), lesson, lessons(seed)[lesson])
    if seed is not None:
        notebook["metadata"]["seed"] = seed
    return notebook


def solution(name: str, passed: bool = False, seed: int | None = None) -> str:
    """Our solution of an exercise, as text; KeyError names the nearest exercise where there is none of that name.

    A transfer exercise shows its worked answer to who has `passed` it, and says before that what to do.
    """
    if name not in by_name():
        raise KeyError(known_names(name))
    lesson, exercise = by_name(seed)[name]
    if exercise.exported:
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
