"""How far a student is, by what stands in the record of their `my_llama`."""

from pathlib import Path

from ..course import SUFFIX, Exercise, lessons
from ..course.pieces import NAME, homes
from .package import MARKER, parts, read_record


def is_course(directory) -> bool:
    """Whether a directory is one in which somebody does the exercises."""
    directory = Path(directory)
    return (directory / NAME / MARKER).is_file() or any(directory.glob(f"*{SUFFIX}.ipynb"))


def record_of(directory) -> dict:
    """What is known of the package in a student's folder."""
    return read_record(Path(directory) / NAME)


def done(exercise: Exercise, record: dict) -> bool:
    """Whether all that an exercise asks for has passed."""
    if not exercise.exported:
        return set(exercise.answers) <= set(record["passed"])
    head = exercise.name.split(".")[0]
    return head in record["kept"].get(homes()[head], {})


def written(lesson: str, record: dict) -> bool:
    """Whether every part of the package that a lesson leaves to the student is theirs."""
    asked = [exercise for exercise in lessons().get(lesson, ()) if exercise.exported]
    return bool(asked) and all(done(exercise, record) for exercise in asked)


def progress(directory) -> str:
    """How much of the package beside a notebook is the student's, in one line."""
    kept = record_of(directory)["kept"]
    whole = sum(map(len, parts().values()))
    mine = sum(name in kept.get(module, {}) for module, names in parts().items() for name in names)
    others = "the others are lent" if mine < whole else "and nothing of it is lent"
    return f"{NAME}: {mine} of {whole} parts are yours, {others}"


def upcoming(directory) -> dict | None:
    """The first exercise that is not done: its lesson, notebook, name, title and minutes; None where all are done."""
    record = record_of(directory)
    for lesson, here in lessons().items():
        for each in here:
            if not done(each, record):
                title = f"{each.title} ({each.kind})" if each.title else each.name
                told = {"lesson": lesson, "notebook": f"{lesson}{SUFFIX}.ipynb", "name": each.name, "title": title}
                return told | {"minutes": each.minutes}
    return None


def in_words(following: dict | None, directory) -> str:
    """What comes next in a folder, how long it may take, and how to open it; in a line or a few."""
    if following is None:
        return "All exercises are done."
    place = Path(directory) / following["notebook"]
    missing = "" if place.is_file() else f"\nIt is missing there: llama-tutorial exercises {directory}"
    return (
        f"Next: {following['title']}, about {following['minutes']} minutes, in {place}{missing}\n"
        f"Open it with: llama-tutorial lab {directory}"
    )
