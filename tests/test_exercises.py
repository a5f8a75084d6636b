"""Exercises: cut without a leak, never written over, solved with our own bodies, and kept in my_llama."""

import ast
import functools
import importlib
import json
import linecache
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from llama_tutorial import classroom, cli
from llama_tutorial.classroom import course as exercises
from llama_tutorial.classroom.course import cut, pieces
from llama_tutorial.classroom.course import notebook as student
from llama_tutorial.classroom.judge.check import judge, judge_answer
from llama_tutorial.classroom.judge.parts import answers, find
from llama_tutorial.classroom.my_llama import (
    desk,
    folder,
    handed_out,
    judging,
    keeping,
    package,
    progress,
)
from llama_tutorial.commands import classroom as commands
from llama_tutorial.lab import find_lessons

LESSONS = tuple(exercises.lessons())
AFTER_03 = LESSONS[LESSONS.index("03_rms_norm") + 1]
ALL = [(lesson, exercise) for lesson in LESSONS for exercise in exercises.lessons()[lesson]]
PARTS = sum(map(len, package.parts().values()))
ANSWERS = [(lesson, exercise) for lesson, exercise in ALL if exercise.answers]


def answers_of(lesson: str, kind: str):
    """TRANSFER or WRONG of a lesson's file in tests/answers; an empty list where there is no such file."""
    path = Path(__file__).with_name("answers") / f"{lesson}.py"
    return runpy.run_path(str(path)).get(kind, []) if path.is_file() else []


TRANSFER = {name: answer for lesson in LESSONS for name, answer in dict(answers_of(lesson, "TRANSFER")).items()}
WRONG = [each for lesson in LESSONS for each in answers_of(lesson, "WRONG")]


def solve(notebook: dict, lesson: str) -> dict:
    """The student's notebook with our bodies and answers in it."""
    cells = [cell for cell in exercises.read_lesson(lesson)["cells"] if cell["cell_type"] == "code"]
    cells.sort(key=student.is_exported)  # of a name that the page defines twice, what is exported counts
    original = {name: cell["source"] for cell in cells for name in pieces.defined_in(student._readable(cell["source"]))}
    others = {
        exercise.starter: TRANSFER.get(exercise.name, exercise.solution)
        for exercise in exercises.lessons()[lesson]
        if not exercise.exported
    }
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        if cell["source"] in others:
            cell["source"] = others[cell["source"]]
        elif "raise NotImplementedError" in cell["source"]:
            name = pieces.defined_in(cell["source"])[-1]
            text = re.sub(r"\A(#\|[^\n]*\n)+", "", original[name])
            cell["source"] = student.to_my_package(text)
    return notebook


# ------------------------------------------------------------------------------------------------ cutting


CELL = '''from math import pi


def area(radius: float) -> float:  # what stands beside the signature stays
    """The area of a disc."""
    # the answer is pi r squared
    check_radius(radius)
    if radius < 0:
        raise ValueError("a radius is not negative")
    # so we square it
    squared = radius * radius
    return pi * squared
    # and that was it


class Disc:
    """A disc."""

    def __init__(self, radius):
        self.radius = radius

    def area(
        self, times: int = 1
    ) -> float:
        return times * area(self.radius)

    def __repr__(self):
        return "a disc"'''

LEFT = '''from math import pi


def area(radius: float) -> float:  # what stands beside the signature stays
    """The area of a disc."""
    check_radius(radius)
    if radius < 0:
        raise ValueError("a radius is not negative")
    raise NotImplementedError("Say \\"pi\\" times r².")


class Disc:
    """A disc."""

    def __init__(self, radius):
        self.radius = radius

    def area(
        self, times: int = 1
    ) -> float:
        raise NotImplementedError("As often as asked.")

    def __repr__(self):
        return "a disc"'''


def test_a_body_goes_and_signature_docstring_and_checks_stay():
    result = cut.cut(CELL, {"area": 'Say "pi" times r².', "Disc.area": "As often as asked."})
    assert result.source == LEFT
    gone = {"squared = radius * radius", "return pi * squared", "return times * area(self.radius)"}
    comments = {"# the answer is pi r squared", "# so we square it", "# and that was it"}
    assert set(result.removed) == gone | comments


def test_a_long_task_takes_lines_of_its_own():
    source = cut.cut("class A:\n    def f(self):\n        return 1", {"A.f": "x" * 90}).source
    assert source.splitlines()[2:] == ["        raise NotImplementedError(", f'            "{"x" * 90}"', "        )"]
    assert pieces.unwritten(source, ["A.f"])


@pytest.mark.parametrize(
    "source, name, told",
    [
        ("def f(): return 1", "f", "on one line"),
        ("def f():\n    return 1\n\ndef f():\n    return 2", "f", "more than once"),
        ("if True:\n    def f():\n        return 1", "f", "no function at the top"),
        ("def f():\n    return 1", "g", "no function at the top"),
        ("class A:\n    x = 1", "A", "no function at the top"),
        ('def f():\n    """Only said."""', "f", "nothing to write"),
        ("def f(x):\n    check_x(x); return x", "f", "two statements on line 2"),
        ('def f(x):\n    """Doc."""; return x', "f", "two statements on line 2"),
    ],
)
def test_what_cannot_be_cut_is_refused(source, name, told):
    with pytest.raises(ValueError, match=told):
        cut.cut(source, {name: "Do it."})


def test_a_line_that_stands_elsewhere_is_a_leak_unless_it_is_short():
    removed = ["weights = scores.softmax(dim=-1)", "return x", "check_positions(positions, x)"]
    page = ["Write `weights = scores.softmax(dim=-1)`!", "return x", "def check_positions(positions, x):"]
    assert cut.leaks(removed, page) == ["weights = scores.softmax(dim=-1)"]
    assert cut.leaks(removed, ["weights = scores.softmax(dim=-2)"]) == []


# ------------------------------------------------------------------------------------------------ marks


def page(*cells):
    """A lesson as plain JSON; a cell is a source, with or without its metadata."""
    pairs = [cell if isinstance(cell, tuple) else (cell, {}) for cell in cells]
    built = [{"cell_type": "code", "source": source, "metadata": metadata} for source, metadata in pairs]
    return {"cells": [{"cell_type": "markdown", "source": "# Title", "metadata": {}}, *built], "metadata": {}}


def task(name, kind="implement"):
    return exercises.Exercise(name, kind, "Write it.", 1, 1, 1, ("a", "b", "c"))


ONE, TWO = "#| export\ndef one():\n    return 'one of the two of them'", "#| export\ndef two():\n    return 'two'"


def test_a_mark_in_the_metadata_decides():
    marked = student.marked(page((ONE, {"exercise": ["one"]}), TWO), [task("one")])
    assert {place: [each.name for each in here] for place, here in marked.items()} == {1: ["one"]}


def test_without_marks_the_names_of_the_texts_decide():
    marked = student.marked(page(ONE, TWO, "def one(): pass"), [task("one"), task("two"), task("three", "predict")])
    assert {place: [each.name for each in here] for place, here in marked.items()} == {1: ["one"], 2: ["two"]}


@pytest.mark.parametrize(
    "told, cells, names",
    [
        ("has no text", [(ONE, {"exercise": ["one"]})], []),
        ("no exported cell defines or marks two", [(ONE, {"exercise": ["one"]}), TWO], ["one", "two"]),
        ("no exported cell defines or marks three", [ONE], ["one", "three"]),
        ("more than one exported cell defines one", [ONE, ONE], ["one"]),
        ("is not exported", [("def one():\n    return 1", {"exercise": ["one"]})], ["one"]),
    ],
)
def test_a_mark_and_its_text_belong_together(told, cells, names):
    with pytest.raises(ValueError, match=told):
        student.marked(page(*cells), [task(name) for name in names])


def test_a_page_that_gives_the_answer_away_is_refused():
    with pytest.raises(ValueError, match="stands elsewhere on the student's page: \"return 'one of the two of them'\""):
        student.student_notebook(page(ONE, "def demo():\n    return 'one of the two of them'"), "99_x", [task("one")])


def test_lesson_03_is_marked_by_its_metadata():
    marks = [cell["metadata"].get("exercise") for cell in exercises.read_lesson("03_rms_norm")["cells"]]
    assert [mark for mark in marks if mark] == [["rms_norm"], ["LlamaRMSNorm.forward"]]


# ------------------------------------------------------------------------------------------------ the texts


@pytest.mark.parametrize("lesson, exercise", ALL, ids=lambda value: getattr(value, "name", None))
def test_a_text_is_whole(lesson, exercise):
    assert exercise.kind in exercises.KINDS
    assert 1 <= exercise.difficulty <= 5 and 1 <= exercise.importance <= 5 and 1 <= exercise.minutes <= 60
    assert len(exercise.hints) == 3 and all(exercise.hints) and exercise.hints[1].startswith("*")
    assert "\n" not in exercise.task and exercise.task.endswith(".")
    if exercise.exported:
        assert not exercise.starter and not exercise.answers
    else:
        assert exercise.text and (exercise.title or exercise.kind == "implement")
        assert set(exercise.answers) <= set(pieces.defined_in(exercise.starter))
        assert bool(exercise.solution) == (exercise.kind != "transfer") and (exercise.why or not exercise.solution)
    assert bool(exercise.worked) == (exercise.kind == "transfer")


def test_there_are_enough_of_every_kind():
    for lesson in ("04_rotary", "05_attention", "14_real_weights"):
        assert {exercise.kind for exercise in exercises.lessons()[lesson]} == set(exercises.KINDS)
    assert len(exercises.lessons()["04_rotary"]) + len(exercises.lessons()["05_attention"]) >= 10


def test_no_two_exercises_share_a_name():
    names = [exercise.name for _, exercise in ALL]
    answers = [name for _, exercise in ALL if exercise.kind != "implement" for name in exercise.answers]
    assert len(names) == len(set(names)) and len(answers) == len(set(answers))
    assert not set(answers) & {part for name in names for part in name.split(".")[:1]} - set(names)


def test_the_docs_list_every_exercise(root):
    text = (root / "docs" / "exercises.md").read_text()
    assert [lesson for lesson in LESSONS if f"### {lesson}\n\n{exercises.overview(lesson)}\n" not in text] == []


@functools.cache
def code_of_a_student(lesson: str) -> list[str]:
    """The code cells of a lesson's student notebook."""
    return [cell["source"] for cell in exercises.build(lesson)["cells"] if cell["cell_type"] == "code"]


def namespace(code: str, lesson: str) -> dict:
    """Execute an answer with the imports of its lesson's student notebook, names of lessons from ours."""
    cells = code_of_a_student(lesson)
    space = {"__package__": "llama_tutorial"}
    for name in pieces.defined_in(code):
        piece = pieces.collect(name, [*cells, code], None)
        exec("\n".join(piece.imports), space)
    exec(code, space)
    return space


def verdict(name, space):
    try:
        return judge_answer(space[name], name).diagnosis
    except NotImplementedError as error:
        return f"not written: {error}"


@pytest.mark.parametrize("lesson, exercise", ANSWERS, ids=lambda value: getattr(value, "name", None))
def test_an_exercise_can_be_solved_and_is_not_solved_at_first(lesson, exercise):
    solved = namespace(TRANSFER.get(exercise.name, exercise.solution), lesson)
    assert {name: verdict(name, solved) for name in exercise.answers} == dict.fromkeys(exercise.answers, "")
    unsolved = namespace(exercise.starter, lesson)
    assert [name for name in exercise.answers if not verdict(name, unsolved)] == []


@pytest.mark.parametrize("name", TRANSFER)
def test_a_worked_answer_is_right_says_why_and_is_of_another_kind(name):
    lesson, exercise = exercises.by_name()[name]
    solved = namespace(exercise.worked, lesson)
    assert {name: verdict(name, solved) for name in exercise.answers} == dict.fromkeys(exercise.answers, "")
    assert not pieces.same_code(exercise.worked, TRANSFER[name])
    lines = exercise.worked.splitlines()
    assert sum(line.strip().startswith("# ") for line in lines) >= 2 and max(map(len, lines)) <= 120


SEEDED = [exercise.name for _, exercise in ALL if exercise.seeded]
SEEDS = tuple(range(11))  # no exercise has more choices


def varied(name, seed):
    return exercises.by_name(seed)[name][1]


def test_what_varies_with_a_seed_is_enough_and_its_texts_vary_together():
    assert len(SEEDED) >= 4 and len({exercises.by_name()[name][0] for name in SEEDED}) >= 3
    for name in SEEDED:
        plain, one, again, other = (varied(name, seed) for seed in (None, 7, 7, 8))
        assert exercises.by_name()[name][1] is plain and set(plain.seeded(7)) >= {"task", "text", "hints", "starter"}
        for field in ("task", "text", "hints", "starter", "worked"):
            texts = [getattr(each, field) for each in (plain, one, other)]
            assert field == "hints" or len(set(texts)) == 3, (name, field)
            assert getattr(again, field) == texts[1]
        same = ("name", "kind", "title", "difficulty", "importance", "minutes")
        assert all(getattr(one, field) == getattr(plain, field) for field in same)
        assert one.answers.keys() == plain.answers.keys()


@pytest.mark.parametrize("name", SEEDED)
def test_the_judge_follows_the_seed(name):
    """Every learner's own worked answer passes; the one without a seed and the next learner's do not."""
    lesson = exercises.by_name()[name][0]
    solved = {seed: namespace(varied(name, seed).worked, lesson) for seed in (None, *SEEDS)}
    for seed in SEEDS:
        exercise = varied(name, seed)
        test_a_text_is_whole(lesson, exercise)
        assert max(map(len, [*exercise.starter.splitlines(), *exercise.worked.splitlines()])) <= 120
        right = {each: judge_answer(solved[seed][each], each, seed) for each in exercise.answers}
        assert [report.diagnosis for report in right.values() if not report.passed] == []
        for another in (None, seed + 1 if seed + 1 in SEEDS else seed - 1):
            told = judge_answer(solved[another][name], name, seed).diagnosis
            assert told.endswith(".") and "raised" not in told, (seed, another)
        unsolved = namespace(exercise.starter, lesson)
        assert all(judge_answer(unsolved[each], each, seed).diagnosis for each in exercise.answers)


def test_every_transfer_exercise_is_among_those():
    assert {exercise.name for _, exercise in ALL if exercise.kind == "transfer"} == set(TRANSFER)


@pytest.mark.parametrize("name, answer, told", WRONG)
def test_a_wrong_answer_is_told_why(name, answer, told):
    part = None if name in answers() else find(answer, name)
    report = judge_answer(answer, name) if part is None else judge(answer, *part)
    assert not report.passed and told.lower() in report.diagnosis.lower(), report.diagnosis


def test_check_judges_answers_too(capsys):
    from llama_tutorial import CheckFailed, NotWritten, check

    assert "2π" not in repr(check(2 * 8 * 128 * 80 * 2, "bytes_a_token"))
    with pytest.raises(CheckFailed, match="the base; the slowest hand"):
        check(500000, "slowest_turn")
    with pytest.raises(NotWritten):
        check(..., "slowest_turn")

    def keeps_lengths(turn):
        raise NotImplementedError

    with pytest.raises(NotWritten, match="keeps_lengths is not written yet"):
        check(keeps_lengths)


def test_a_verdict_begins_with_a_capital_unless_it_begins_with_the_answers_own_name():
    wrong = judge_answer(lambda one, other: True, "reads_alike")
    assert wrong.diagnosis.startswith("reads_alike") and wrong.diagnosis.endswith(".")
    assert judge_answer(525336576, "bytes_untied").diagnosis.startswith("That is one table")


# ------------------------------------------------------------------------------------------------ the notebooks


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_students_notebook_is_clean(lesson):
    import nbformat

    notebook = exercises.build(lesson)
    nbformat.validate(nbformat.from_dict(notebook))
    assert notebook == exercises.build(lesson)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    for cell in code:
        ast.parse(cell["source"])
        assert "#|" not in cell["source"]
        assert max(map(len, cell["source"].splitlines())) <= 120, cell["source"]
    text = "\n".join(cell["source"] for cell in notebook["cells"])
    assert text.count("### Exercise, ") == len(exercises.lessons()[lesson]) == text.count("Step by step")
    for module in pieces.modules():
        assert f"from llama_tutorial.{module} " not in text
    for _, exercise in [pair for pair in ALL if pair[0] == lesson]:
        for name in exercise.answers or [exercise.name.split(".")[0]]:
            assert f"check({name}" in text


@pytest.mark.parametrize("lesson", LESSONS)
def test_no_line_that_was_cut_stands_in_a_hint(lesson):
    notebook, texts = exercises.read_lesson(lesson), exercises.lessons()[lesson]
    removed = []
    for place, here in student.marked(notebook, texts).items():
        removed += cut.cut(notebook["cells"][place]["source"], {each.name: each.task for each in here}).removed
    assert removed or not any(each.exported for each in texts)
    assert cut.leaks(removed, [hint for exercise in texts for hint in exercise.hints]) == []


@pytest.mark.parametrize("lesson", LESSONS)
def test_an_answer_takes_no_name_from_its_lesson(lesson):
    code = [cell["source"] for cell in exercises.read_lesson(lesson)["cells"] if cell["cell_type"] == "code"]
    taken = {name for source in code for name in pieces.defined_in(source)}
    others = [exercise for exercise in exercises.lessons()[lesson] if exercise.kind != "implement"]  # those are cut
    assert taken & {name for exercise in others for name in exercise.answers} == set()


def test_exercises_stand_below_their_heading_or_before_the_last_words():
    texts = [exercises.by_name()["slowest_turn"][1]]
    prose = [
        {"cell_type": "markdown", "metadata": {}, "source": text}
        for text in ("# T", "So far.\n\n## Exercises\n\nA table.\n\n## Quiz\n\nAsk.", "## To remember")
    ]
    built = student.student_notebook({"cells": prose, "metadata": {}}, "99_x", texts)
    told = [cell["source"].split("\n")[0] for cell in built["cells"] if cell["cell_type"] == "markdown"]
    assert told[2:] == ["So far.", "### Exercise, predict: The slowest hand of Llama 3", "## Quiz", "## To remember"]
    assert "A table." not in str(built)
    built = student.student_notebook({"cells": prose[::2], "metadata": {}}, "99_x", texts)
    told = [cell["source"].split("\n")[0] for cell in built["cells"] if cell["cell_type"] == "markdown"]
    assert told[2:] == ["## Exercises", "### Exercise, predict: The slowest hand of Llama 3", "## To remember"]


def test_imports_of_lessons_lead_to_the_students_package():
    before = (
        "from llama_tutorial.config import LlamaConfig\nfrom llama_tutorial import check\n"
        "from llama_tutorial import talk\nfrom llama_tutorial.viz import show\nimport torch  # llama_tutorial\n"
        "import llama_tutorial.rotary as r\npatch('llama_tutorial.attention.attend', 'llama_tutorial is ours')"
    )
    after = before.replace("llama_tutorial.config", "my_llama.config").replace("llama_tutorial.rot", "my_llama.rot")
    after = after.replace("from llama_tutorial import talk", "from my_llama import talk")
    after = after.replace("llama_tutorial.attention.attend", "my_llama.attention.attend")
    assert student.to_my_package(before) == after
    assert student.to_my_package("%time x") == "%time x"


# ------------------------------------------------------------------------------------------------ what is the student's


def test_nothing_of_a_student_is_written_over(tmp_path):
    told = desk.write_exercises(tmp_path)
    assert told == [
        f"{len(LESSONS)} exercise notebooks copied to {tmp_path}",
        f"{len(pieces.modules())} modules lent to {tmp_path / 'my_llama'}",
        f"{tmp_path / 'AGENTS.md'} tells an assistant how to help without giving the answer",
    ]
    assert desk.write_exercises(tmp_path) == []
    mine, module = tmp_path / "03_rms_norm_exercises.ipynb", tmp_path / "my_llama" / "rms_norm.py"
    mine.write_text("mine")
    module.write_text("mine")
    assert desk.write_exercises(tmp_path) == [f"{mine.name}: kept as you left it"]
    assert mine.read_text() == module.read_text() == "mine"


def with_seeds(tmp_path, *seeds):
    """A folder for each of some seeds, laid out by the command line; None for no seed."""
    folders = [tmp_path / f"course_{seed}_{place}" for place, seed in enumerate(seeds)]
    for place, seed in zip(folders, seeds):
        assert cli.run_command(["exercises", str(place), *([] if seed is None else ["--seed", f"{seed}"])]) == 0
    return folders


def test_a_seed_gives_a_learner_numbers_of_their_own(tmp_path):
    folders = with_seeds(tmp_path, None, 7, 7, 8)
    plain, one, same, other = (
        {path.name: path.read_text() for path in place.glob("*_exercises.ipynb")} for place in folders
    )
    assert one == same and plain == {
        f"{lesson}_exercises.ipynb": json.dumps(exercises.build(lesson), indent=1, ensure_ascii=False) + "\n"
        for lesson in LESSONS
    }
    assert all(plain[name] != one[name] != other[name] != plain[name] for name in plain)
    metadata = [json.loads(text["03_rms_norm_exercises.ipynb"])["metadata"] for text in (plain, one)]
    assert "seed" not in metadata[0] and metadata[1]["seed"] == 7
    for name in SEEDED:
        lesson = exercises.by_name()[name][0]
        cells = [cell["source"] for cell in json.loads(one[f"{lesson}_exercises.ipynb"])["cells"]]
        assert varied(name, 7).starter in cells and any(varied(name, 7).text in cell for cell in cells)
    assert [package.seed_of(place) for place in folders] == [None, 7, 7, 8]


def test_a_folder_keeps_its_seed(tmp_path, capsys):
    plain, seven = with_seeds(tmp_path, None, 7)
    assert desk.write_exercises(seven) == desk.write_exercises(seven, 7) == desk.write_exercises(plain) == []
    capsys.readouterr()
    assert cli.run_command(["exercises", str(seven), "--seed", "8"]) == 2
    assert "began with the seed 7: for the seed 8 give another folder" in capsys.readouterr().err
    assert cli.run_command(["exercises", str(plain), "--seed", "0"]) == 2
    assert "began without a seed" in capsys.readouterr().err
    shutil.rmtree(seven / "my_llama")
    package.lay_out(seven)
    assert package.read_record(seven / "my_llama")["seed"] == package.seed_of(seven) == 7
    record = package.read_record(seven / "my_llama")
    package.write_record(seven / "my_llama", record | {"seed": "seven"})
    assert package.seed_of(seven) is None


def test_check_and_solution_and_reset_follow_the_seed_of_a_folder(tmp_path, monkeypatch, capsys):
    from llama_tutorial import CheckFailed, check

    seven, eight = with_seeds(tmp_path, 7, 8)
    own = namespace(varied("head_norm", 7).worked, "03_rms_norm")["head_norm"]
    monkeypatch.chdir(seven)
    assert check(own).passed
    with pytest.raises(CheckFailed, match="head_norm with 3 heads and 5 of values"):
        check(own, save=eight / "my_llama")
    monkeypatch.chdir(eight)
    with pytest.raises(CheckFailed, match="head_norm with 3 heads and 5 of values"):
        check(own)
    assert varied("head_norm", 7).worked in keeping.keep(own, "head_norm", seven)
    capsys.readouterr()
    assert cli.run_command(["solution", "head_norm", str(seven)]) == 0
    assert capsys.readouterr().out == varied("head_norm", 7).worked + "\n"
    path = seven / "03_rms_norm_exercises.ipynb"
    put(seven, "03_rms_norm", "head_norm", varied("head_norm", 7).worked)
    assert cli.run_command(["reset", "head_norm", str(seven)]) == 0
    assert varied("head_norm", 7).starter in cells_of(path)


def test_a_folder_is_judged_by_its_seed(tmp_path, monkeypatch):
    """What is not yet written is told from each learner's own text, and each job says whose it is."""
    seven, eight = with_seeds(tmp_path, 7, 8)
    given = []

    def judge_afresh(jobs):
        given.extend(jobs)
        yield from answering("passed")(jobs)

    monkeypatch.setattr(judging, "judge_afresh", judge_afresh)
    monkeypatch.setattr(keeping, "spoken", lambda *_: [])
    states(seven, head_norm="not written", squaring_weights="not written")
    assert given == []
    for place in (seven, eight):
        put(place, "03_rms_norm", "head_norm", varied("head_norm", 7).worked)
        put(place, "03_rms_norm", "size_three_four", "size_three_four = 2.26")
        list(folder.Folder(place).judge())
    assert [(job["name"], job.get("seed")) for job in given] == [
        (name, seed) for wanted in (7, 8) for name, seed in (("size_three_four", None), ("head_norm", wanted))
    ]


def test_a_newer_lesson_comes_beside_the_students(tmp_path, monkeypatch):
    desk.write_exercises(tmp_path)
    mine = tmp_path / "04_rotary_exercises.ipynb"
    mine.write_text("mine")
    older = exercises.build
    monkeypatch.setattr(exercises, "build", lambda *asked: older(*asked) | {"nbformat_minor": 4})
    told = desk.write_exercises(tmp_path)
    assert f"{mine.name}: kept as you left it; the newer lesson is 04_rotary_exercises.new.ipynb" in told
    assert mine.read_text() == "mine"
    assert json.loads((tmp_path / "04_rotary_exercises.new.ipynb").read_text())["nbformat_minor"] == 4


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path, root):
    (tmp_path / "my_llama").mkdir()
    with pytest.raises(ValueError, match="was not made by llama-tutorial"):
        desk.write_exercises(tmp_path)
    with pytest.raises(ValueError, match="holds the lessons themselves"):
        desk.write_exercises(root / "notebooks")


# ------------------------------------------------------------------------------------------------ a student's part


def collected(*cells, name="rms_norm", module="rms_norm"):
    return pieces.collect(name, cells, module)


def test_a_part_takes_its_imports_and_helpers_along():
    piece = collected(
        "import torch, math\nfrom einops import reduce as mean_of\nfrom my_llama.config import check_number",
        "HALF = 1 / 2",
        "def size(x):\n    return helper(x) ** HALF\n\ndef unused():\n    return nothing_at_all\nprint(size)",
        "%time\nfrom llama_tutorial import LlamaConfig\n\ndef helper(x):\n    return mean_of(x, 'a b -> a', 'mean')",
        "# mine\ndef rms_norm(x, weight, eps):\n    check_number('eps', eps), LlamaConfig\n    return size(x)",
    )
    assert piece.imports == (
        "from .config import LlamaConfig", "from .config import check_number", "from einops import reduce as mean_of",
    )  # fmt: skip
    assert list(piece.helpers) == ["HALF", "size", "helper"]
    assert piece.code.startswith("# mine\ndef rms_norm(")


def test_the_last_cell_that_defines_a_name_counts_and_what_stood_above_it():
    piece = collected("K = 1\ndef rms_norm(x):\n    return x", "def rms_norm(x):\n    return K * x", "K = 2")
    assert piece.code.endswith("return K * x") and piece.helpers == {"K": "K = 1"}
    below = collected("from my_llama.rms_norm import rms_norm", "def rms_norm(x):\n    return x")
    assert below.code.endswith("return x")
    with pytest.raises(pieces.Lent):
        collected("def rms_norm(x):\n    return x", "from my_llama.rms_norm import rms_norm")


@pytest.mark.parametrize(
    "value, cells",
    [
        (8.0, ["grown = 1.0\nfor part in range(3):\n    grown = grown + grown\nprint(grown)"]),
        (8.0, ["grown = 1.0", "for part in range(3):\n    grown *= 2"]),
        (6, ["grown = 1", "grown = 2\ngrown *= 2; print()\ngrown = grown + 2"]),
        (5, ["n = 0\nsum_of = 0\nfor x in [1, 2]:\n    n += 1\n    sum_of += n * x\ngrown = sum_of"]),
        ([0, 1], ["grown = []\nfor x in range(2):\n    grown.append(x)"]),
        (4, ["found = {}\nfound['x'] = 4\nif found:\n    grown = found['x']\nelse:\n    grown = 0"]),
        (9, ["for i in range(10**12):\n    t = i", "grown = 8", "for i in [1]:\n    t = i\n    grown += t"]),
        (2, ["grown = 1", "if grown > 3:\n    grown = 7", "with open('/dev/null'):\n    t = 1\ngrown += 1"]),
        (3, ["import math\nmath.sqrt(4)\ngrown = math.isqrt(9)"]),
    ],
)
def test_a_value_is_what_it_has_become(value, cells):
    piece, space = collected(*cells, name="grown", module=None), {}
    for text in (*piece.imports, *piece.helpers.values(), piece.code):
        exec(text, space)
    assert space["grown"] == value and "print()" not in piece.code.splitlines()


def test_what_changes_a_value_that_a_part_needs_comes_along_or_is_refused():
    part = "def rms_norm(x):\n    return K * size(x)"
    size = "def size(x):\n    return 1\nfor size in [2]:\n    pass"
    piece = collected("K = 2\nK += 1", size, part)
    assert piece.helpers == {"K": "K = 2\nK += 1", "size": "def size(x):\n    return 1"}
    with pytest.raises(pieces.Unfit, match="it uses K, a value that the notebook computed"):
        collected("K = 2\nfor i in range(3):\n    K += i", size, part)


def test_the_line_of_a_value_is_found_where_other_lines_stand_between():
    cell = "# mine\nother = 1\ngrown = 1\nprint(grown)\ngrown *= 2"
    assert judging._line_of(collected(cell, name="grown", module=None).code, [cell]) == 3


PREDICTED = [pytest.param(lesson, each, id=each.name) for lesson, each in ALL if each.kind == "predict"]


@pytest.mark.parametrize("lesson, exercise", PREDICTED)
def test_a_typed_answer_is_right_as_check_takes_it_out_of_its_notebook(lesson, exercise):
    cells = [*code_of_a_student(lesson), exercise.solution]
    for name in exercise.answers:
        piece, space = pieces.collect(name, cells, None), {"__package__": "llama_tutorial"}
        for text in (*piece.imports, *piece.helpers.values(), piece.code):
            exec(text, space)
        assert verdict(name, space) == ""


def test_names_of_the_same_module_are_at_hand_and_others_are_imported():
    code = "class LlamaAttention:\n    def forward(self, x: Rotation):\n        return attend(rotate(x), torch.ones(1))"
    piece = collected(code, name="LlamaAttention", module="attention")
    assert piece.imports == ("from .rotary import Rotation", "from .rotary import rotate", "import torch")
    assert piece.helpers == {}


@pytest.mark.parametrize(
    "told, cells",
    [
        ("it uses nobody, which no cell defines", ["def rms_norm(x):\n    return nobody"]),
        ("it uses x, a value that the notebook computed", ["x = torch.randn(3)", "def rms_norm():\n    return x"]),
        ("rms_norm is imported", ["from my_llama.rms_norm import rms_norm"]),
        ("rms_norm is defined in no cell", ["x = 1"]),
        ("the finished one", ["from llama_tutorial.rms_norm import rms_norm as r\ndef rms_norm(x):\n    return r(x)"]),
        ("it takes all of my_llama", ["import my_llama", "rms_norm = my_llama.rms_norm.rms_norm"]),
        ("it takes all of llama_tutorial", ["import llama_tutorial as l\ndef rms_norm(x):\n    return l.rms_norm(x)"]),
    ],
)
def test_what_no_module_can_hold_is_refused(told, cells):
    with pytest.raises(pieces.Unfit, match=told):
        collected(*cells)


def own(text: str, name: str):
    """An object defined in a cell that only linecache knows, as in a notebook."""
    file = f"/nowhere/cell_{abs(hash(text))}.py"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space = {"__name__": "__main__"}
    exec(compile(text, file, "exec"), space)
    return space[name]


MINE = """import torch
from torch import nn


def rms_norm(x, weight, eps):
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return weight * (wide / (wide.pow(2).mean(-1, keepdim=True) + eps).sqrt()).to(x.dtype)


class LlamaRMSNorm(nn.Module):
    def __init__(self, hidden_size, eps=1e-5):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(hidden_size)), eps

    def forward(self, x):
        return rms_norm(x, self.weight, self.eps)
"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A student's folder, in which a fresh process passes everything."""
    desk.write_exercises(tmp_path)
    monkeypatch.setattr(judging, "judge_afresh", answering("passed"))
    monkeypatch.setattr(keeping, "spoken", lambda *_: ["  It speaks."])
    return tmp_path


def answering(state, told=""):
    """What stands for the fresh processes: each job gets the same verdict."""

    def judge_afresh(jobs):
        for _ in jobs:
            yield {"state": state, "told": told, "bug": None, "step": None, "line": None, "ended": False}

    return judge_afresh


def test_what_passes_is_kept_part_by_part(course, monkeypatch):
    module = course / "my_llama" / "rms_norm.py"
    assert keeping.keep(own(MINE, "rms_norm"), "rms_norm", course) == "✓ yours now stands in my_llama/rms_norm.py"
    assert "stand_in(__name__)" in module.read_text() and "wide.pow(2)" in module.read_text()
    assert progress.progress(course) == f"my_llama: 1 of {PARTS} parts are yours, the others are lent"
    told = keeping.keep(own(MINE, "LlamaRMSNorm"), "LlamaRMSNorm.forward", course / "my_llama").splitlines()
    assert told[1:] == ["Every part of 03_rms_norm is yours, and the model speaks with them:", "  It speaks."]
    text = module.read_text()
    assert "stand_in" not in text and "llama_tutorial" not in text and "Zhang" not in text
    ast.parse(text)
    monkeypatch.syspath_prepend(course)
    try:
        my_llama, layers = importlib.import_module("my_llama"), importlib.import_module("my_llama.decoder_layer")
        small = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 9}
        layer = layers.LlamaDecoderLayer(my_llama.LlamaConfig(small))
        assert layer(torch.ones(1, 2, 8)).shape == (1, 2, 8)
        assert type(layer.input_layernorm).forward.__code__.co_filename == str(module)
        assert my_llama.LlamaRMSNorm is type(layer.input_layernorm) and not hasattr(my_llama, "check")
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "my_llama"]:
            del sys.modules[name]


def test_a_function_of_another_name_is_kept_under_the_right_one(course):
    mine = own(MINE.replace("rms_norm(", "my_norm("), "my_norm")
    assert keeping.keep(mine, "rms_norm", course).startswith("✓")
    assert "rms_norm = my_norm" in (course / "my_llama" / "rms_norm.py").read_text()


@pytest.mark.parametrize(
    "text, name, exercise, told",
    [
        (MINE.replace("LlamaRMSNorm", "Mine"), "Mine", "LlamaRMSNorm", "it is called Mine; name it LlamaRMSNorm"),
        (MINE.replace("return rms_norm(x, self.weight, self.eps)", "raise NotImplementedError"), "LlamaRMSNorm", None,
         "kept once all of LlamaRMSNorm is written"),
        (MINE.replace("+ eps", "+ E") + "\nE = float('1e-5')", "rms_norm", None, "a value that the notebook computed"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_said(course, text, name, exercise, told):
    before = (course / "my_llama" / "rms_norm.py").read_text()
    assert told in keeping.keep(own(text, name), exercise, course)
    assert (course / "my_llama" / "rms_norm.py").read_text() == before


def test_a_module_edited_by_hand_stays(course):
    module = course / "my_llama" / "rms_norm.py"
    module.write_text("mine")
    assert "edited by hand and stays" in keeping.keep(own(MINE, "rms_norm"), "rms_norm", course)
    assert module.read_text() == "mine"


def test_what_fails_by_itself_is_not_kept(course, monkeypatch):
    monkeypatch.setattr(judging, "judge_afresh", answering("failed", "NameError: y"))
    assert "does not pass: NameError: y" in keeping.keep(own(MINE, "rms_norm"), "rms_norm", course)
    assert progress.progress(course).startswith("my_llama: 0 of")


def test_two_helpers_of_one_name_are_told(course):
    first = "def helper():\n    return 1\n\n\ndef rms_norm(x):\n    return helper()\n"
    second = "def helper():\n    return 2\n\n\nclass LlamaRMSNorm:\n    def forward(self):\n        return helper()\n"
    assert keeping.keep(own(first, "rms_norm"), None, course).startswith("✓")
    told = "not kept: your rms_norm has another helper: give yours another name"
    assert keeping.keep(own(second, "LlamaRMSNorm"), None, course) == told


@pytest.mark.parametrize(
    "line, told",
    [
        ("from functools import reduce", "not kept: the lesson has another reduce: give yours another name"),
        ("from einops.einops import reduce", "✓ yours now stands in my_llama/rms_norm.py"),
    ],
)
def test_an_import_of_another_thing_under_the_lessons_name_is_told(course, line, told):
    mine = own(f"{line}\n\n\ndef rms_norm(x):\n    return reduce(x)\n", "rms_norm")
    assert keeping.keep(mine, None, course) == told


# ------------------------------------------------------------------------------------------------ the command line


@pytest.mark.parametrize(
    "words, told",
    [
        (["solution", "rotat"], "did you mean rotate"),
        (["exercises", "/dev/null/here"], "/dev/null"),
        (["exercises", "notebooks"], "holds the lessons themselves"),
        (["check", "no/such/folder"], "llama-tutorial exercises no/such/folder writes them"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(words, told, capsys, root, monkeypatch):
    monkeypatch.chdir(root)
    assert cli.run_command(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("llama-tutorial: ") and err.count("\n") == 1 and told in err


def test_solutions_are_shown_and_those_of_transfer_are_not(capsys):
    for name, told in [
        ("rotate", "first * cos - second * sin"),
        ("LlamaRMSNorm.forward", "def forward(self"),
        ("slowest_turn", "500000 ** (2 * 63 / 128)"),
        ("leaks", "def leaks(attend)"),
        ("window_mask", "write it in 05_attention_exercises.ipynb"),
    ]:
        assert cli.run_command(["solution", name]) == 0
        assert told in capsys.readouterr().out


def test_a_folder_that_nobody_has_worked_in(tmp_path, capsys):
    assert cli.run_command(["exercises", str(tmp_path)]) == 0
    assert cli.run_command(["check", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    lesson, exercise = ALL[0]
    title = f"{exercise.title} ({exercise.kind})" if exercise.title else exercise.name
    first = f"Next: {title}, about {exercise.minutes} minutes, in {tmp_path / f'{lesson}_exercises.ipynb'}\n"
    following = first + f"Open it with: llama-tutorial lab {tmp_path}\n"
    assert out.count(following) == 2
    assert out.endswith(f"0 passed, 0 failed, {len(ALL)} not written yet\n" + following)


# ------------------------------------------------------------------------------------------------ going on without


def offered(cell: str) -> str:
    """The code that an exercise offers to whom goes on without it."""
    return cell.partition("Go on without it")[2].partition("```python\n")[2].partition("\n```")[0]


@pytest.mark.parametrize("lesson", LESSONS)
def test_whoever_goes_on_without_an_exercise_loses_no_name(lesson):
    cells = exercises.build(lesson)["cells"]
    known = set().union(*(student._bound_in(cell["source"]) for cell in cells if cell["cell_type"] == "code"))
    ways = [i for i, cell in enumerate(cells) if offered(cell["source"])]
    assert len(ways) == sum(bool(cell["metadata"].get("exercise")) for cell in cells if cell["cell_type"] == "code")
    for i in ways:
        now = [
            offered(cells[i]["source"]) if j == i + 1 else cell["source"]
            for j, cell in enumerate(cells)
            if cell["cell_type"] == "code" or j == i + 1
        ]
        there = set()
        for source in now:
            free = pieces.free_names(student._readable(source)) & known
            there |= student._bound_in(source)
            assert free <= there | known_later(source, now, known), (free - there, source)


def known_later(source, cells, known) -> set:
    """What functions of a cell look up only once they are called, and a later cell defines."""
    after = cells[cells.index(source) + 1 :]
    return set().union(*(student._bound_in(each) for each in after)) if "def " in source else set()


@pytest.mark.parametrize("lesson", LESSONS)
def test_no_cell_of_the_page_imports_what_the_student_writes(lesson):
    heads = {each.name.split(".")[0] for each in exercises.lessons()[lesson]}
    for cell in code_of_a_student(lesson):
        imports = [node for node in ast.parse(cell).body if pieces.is_import(node)]
        assert not heads & {name for node in imports for name in pieces.bound(node)}


def lent_to(course, module, name, monkeypatch):
    """What a notebook gets that imports a name from the student's package."""
    monkeypatch.syspath_prepend(course)
    forget_my_llama()
    try:
        return getattr(importlib.import_module(f"my_llama.{module}"), name)
    finally:
        forget_my_llama()


def forget_my_llama():
    for name in [name for name in sys.modules if name.split(".")[0] == "my_llama"]:
        del sys.modules[name]


def test_what_is_lent_is_not_claimed_as_the_students(course, monkeypatch):
    lent = lent_to(course, "rotary", "rotate", monkeypatch)
    assert keeping.keep(lent, "rotate", course).startswith("○ this rotate is ours, lent")
    norm = lent_to(course, "rms_norm", "LlamaRMSNorm", monkeypatch)
    assert keeping.keep(norm, "LlamaRMSNorm", course).startswith("○ this LlamaRMSNorm is ours")
    assert progress.record_of(course)["kept"] == {}
    keeping.keep(own(MINE, "rms_norm"), "rms_norm", course)
    mine = lent_to(course, "rms_norm", "rms_norm", monkeypatch)
    assert keeping.keep(mine, "rms_norm", course) == (
        "✓ yours stands in my_llama/rms_norm.py, and that is the one you have checked"
    )


def put(course, lesson, name, source):
    """Write `source` into the cell of a notebook that defines `name`."""
    path = course / f"{lesson}_exercises.ipynb"
    notebook = json.loads(path.read_text())
    cell = next(c for c in notebook["cells"] if c["cell_type"] == "code" and name in student._bound_in(c["source"]))
    cell["source"] = source
    path.write_text(json.dumps(notebook))


def states(course, **wanted):
    found = {each.name: each for each in folder.Folder(course).judge()}
    assert {name: found[name].state for name in wanted} == wanted
    return found


NORM, CLASS = MINE.split("\n\n\nclass ")[0], "from torch import nn\n\n\nclass " + MINE.split("\n\n\nclass ")[1]


def test_the_command_line_says_of_what_is_skipped_what_the_notebook_says(course):
    put(course, "03_rms_norm", "rms_norm", "from my_llama.rms_norm import rms_norm")
    found = states(course, rms_norm="not written")
    assert "skipped" in found["rms_norm"].told
    put(course, "03_rms_norm", "rms_norm", NORM)
    states(course, rms_norm="passed")
    put(course, "03_rms_norm", "rms_norm", "from my_llama.rms_norm import rms_norm")
    states(course, rms_norm="passed")
    assert "wide.pow(2)" in (course / "my_llama" / "rms_norm.py").read_text()


# ------------------------------------------------------------------------------------------------ names of helpers


def test_no_page_takes_a_likely_name_from_a_students_helper():
    for lesson in LESSONS:
        cells = exercises.build(lesson)["cells"]
        first = next((i for i, cell in enumerate(cells) if cell["metadata"].get("exercise") not in (None, "text")), 0)
        for cell in cells[first:]:
            if cell["cell_type"] == "code" and "exercise" not in cell["metadata"]:
                nodes = ast.parse(cell["source"]).body
                defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
                assert not defined & student.LIKELY, lesson
    assert "def lesson_scores(positions)" in "\n".join(code_of_a_student("04_rotary"))


def test_a_function_of_the_pages_is_renamed_where_it_is_meant():
    later = (
        "def scores(x):\n    return x\ny = scores(2) + x.scores\nprint(f'scores {scores(y):.2f} {scores}', scores=y)\n"
        'print(\'scores\', f"""a\n{scores(1)}""")'
    )
    built = student.student_notebook(page(ONE, later, "scores = 3"), "99_x", [task("one")])
    told = [cell["source"] for cell in built["cells"] if cell["cell_type"] == "code"][-2:]
    assert told == [
        "def lesson_scores(x):\n    return x\ny = lesson_scores(2) + x.scores\n"
        "print(f'scores {lesson_scores(y):.2f} {lesson_scores}', scores=y)\n"
        'print(\'scores\', f"""a\n{lesson_scores(1)}""")',
        "lesson_scores = 3",
    ]
    built = student.student_notebook(page("def scores():\n    return 1", ONE), "99_x", [task("one")])
    assert "def scores():" in str(built)


def test_a_page_that_exports_a_likely_name_is_refused(monkeypatch):
    monkeypatch.setattr(student, "LIKELY", frozenset({"grown"}))
    with pytest.raises(ValueError, match="04_rotary exports grown, as a student is likely to call a helper"):
        exercises.build("04_rotary")


def test_a_cell_of_the_page_that_takes_a_helper_is_told(monkeypatch):
    from llama_tutorial.classroom.my_llama import watching

    told, space = [], {"__name__": "__main__"}
    watcher = watching.Watcher({"rotate"}, told.append)

    def run(cell):
        exec(cell, space)
        watcher.after(space, cell)

    pages = "def turn(x):\n    return 2 * x"
    monkeypatch.setattr(watching, "pages", lambda: {pages, "y = 1"})
    run("def turn(x):\n    return x")
    run("def rotate(x):\n    return [turn(each) for each in x]")
    run("def turn(x):\n    return 1 * x  # mended by the student")
    run("y = 1")
    assert told == []
    run("def rotate(x):\n    return [turn(each) for each in x]")
    run(pages)
    assert len(told) == 1 and "gives turn another meaning, and your rotate calls it" in told[0]
    run("x = 1")
    assert len(told) == 1


def test_the_pages_cells_are_known():
    from llama_tutorial.classroom.my_llama.watching import pages

    cells = [cell for cell in exercises.build("03_rms_norm")["cells"] if cell["cell_type"] == "code"]
    mine = [cell["source"] for cell in cells if "exercise" in cell["metadata"]]
    assert cells[-1]["source"] in pages() and mine and not pages() & {*mine, "x = 1"}


# ------------------------------------------------------------------------------------------------ a folder


def test_a_notebook_that_was_cut_off_is_one_line_and_the_others_are_judged(course, capsys):
    put(course, "03_rms_norm", "rms_norm", NORM)
    put(course, "04_rotary", "slowest_turn", "slowest_turn = 3")
    states(course, rms_norm="passed", slowest_turn="passed")
    broken = course / "03_rms_norm_exercises.ipynb"
    broken.write_text(broken.read_text()[:3000])
    put(course, "04_rotary", "hands_round", "hands_round = 3")
    assert cli.run_command(["check", str(course)]) == 1
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if "✗" in line]
    assert len(lines) == 1 and "03_rms_norm_exercises.ipynb: it cannot be read as a notebook" in lines[0]
    assert "✓ hands_round" in out and "✓ slowest_turn" in out
    assert "wide.pow(2)" in (course / "my_llama" / "rms_norm.py").read_text()


def test_a_package_that_is_missing_is_made_anew(course, monkeypatch):
    import shutil

    put(course, "03_rms_norm", "rms_norm", NORM)
    states(course, rms_norm="passed")
    monkeypatch.chdir(course)
    monkeypatch.syspath_prepend("")
    shutil.rmtree("my_llama")
    told = []
    desk.begin(told.append)
    assert "was missing and is laid out anew" in told[0] and "llama-tutorial check . puts yours back" in told[0]
    assert "stand_in" in (course / "my_llama" / "rms_norm.py").read_text()
    shutil.rmtree("my_llama")
    states(course, rms_norm="passed")
    assert "wide.pow(2)" in (course / "my_llama" / "rms_norm.py").read_text()
    (course / "my_llama" / ".exercises.json").unlink()
    desk.begin(told.append)
    assert "rename it, and a new one is made from your notebooks" in told[-2]


def test_a_notebook_that_lies_elsewhere_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = []
    desk.begin(told.append)
    assert "llama-tutorial exercises DIR makes a folder" in told[0] and not (tmp_path / "my_llama").exists()


def test_what_an_older_course_lent_is_renewed_and_what_was_edited_stays(course):
    home = course / "my_llama"
    record = package.read_record(home)
    older = "from llama_tutorial.classroom.my_package import stand_in\n\nstand_in(__name__)\n"
    for name in ("rotary.py", "doors/checks.py", "gone.py", "__init__.py"):
        (home / name).write_text(older)
        record["written"][name] = package._hash(older.encode())
    record["written"]["mlp.py"] = package._hash(older.encode())
    package.write_record(home, record)
    (home / "mlp.py").write_text("mine")
    told = desk.write_exercises(course)
    assert told == [f"3 files of {home} renewed: the course has become newer"]
    assert "my_package" not in (home / "rotary.py").read_text() + (home / "__init__.py").read_text()
    assert "def check_" in (home / "doors" / "checks.py").read_text() and not (home / "gone.py").exists()
    assert (home / "mlp.py").read_text() == "mine"
    assert desk.write_exercises(course) == []


def test_a_students_package_trains_its_own_model(tmp_path):
    package.lay_out(tmp_path)
    code = """
import sys
sys.path.insert(0, "")
from my_llama import generation, training
from my_llama.runs import directory, texts
built, text = [], texts.Text([["the cat sat. " * 99]], ["the dog sat."], "")
directory.Trainer = lambda model, *rest: built.append(type(model).__module__) or training.Trainer(model, *rest)
shape = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
directory.train_directory("run", text, dict(steps=3, batch=2, context=8), shape=shape, vocab_size=270)
print(built, type(generation.load_directory("run")[0]).__module__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.stdout == "['my_llama.causal_lm'] my_llama.causal_lm\n", done.stderr


def test_a_note_for_assistants_is_written_once(tmp_path):
    (tmp_path / "AGENTS.md").write_text("mine")
    desk.write_exercises(tmp_path)
    assert (tmp_path / "AGENTS.md").read_text() == "mine"
    (tmp_path / "AGENTS.md").unlink()
    desk.write_exercises(tmp_path)
    assert "write the body of an exercise" in (tmp_path / "AGENTS.md").read_text()


def test_each_verdict_is_said_before_the_next_is_known(course, capsys, monkeypatch):
    put(course, "03_rms_norm", "rms_norm", NORM)
    put(course, "03_rms_norm", "size_three_four", "size_three_four = 1")
    seen = []

    def judge_afresh(jobs):
        for verdict in answering("passed")(jobs):
            seen.append(capsys.readouterr().out)
            yield verdict

    monkeypatch.setattr(judging, "judge_afresh", judge_afresh)
    assert cli.run_command(["check", str(course)]) == 0
    assert "03_rms_norm" not in seen[0] and seen[1].startswith("03_rms_norm\n  ✓ rms_norm\n")
    assert f"Next: {ALL[0][1].title or ALL[0][1].name}" in capsys.readouterr().out


def test_what_has_not_changed_is_not_judged_again(course, capsys, monkeypatch):
    judged = []

    def judge_afresh(jobs):
        judged.extend(job["name"] for job in jobs)
        yield from answering("passed")(jobs)

    monkeypatch.setattr(judging, "judge_afresh", judge_afresh)
    put(course, "03_rms_norm", "rms_norm", NORM)
    put(course, "04_rotary", "slowest_turn", "slowest_turn = 3")
    assert cli.run_command(["check", str(course)]) == 0
    assert judged == ["rms_norm", "slowest_turn"]
    said = capsys.readouterr().out
    assert cli.run_command(["check", str(course)]) == 0
    assert judged == ["rms_norm", "slowest_turn"] and capsys.readouterr().out == said and "again" not in said
    assert cli.run_command(["check", str(course), "--verbose"]) == 0
    assert "✓ rms_norm (not judged again: nothing has changed)" in capsys.readouterr().out
    put(course, "04_rotary", "slowest_turn", "slowest_turn = 4")
    assert cli.run_command(["check", str(course), "--verbose"]) == 0
    assert judged[2:] == ["slowest_turn"]
    out = capsys.readouterr().out
    assert "✓ rms_norm (not judged again" in out and "✓ slowest_turn (predict)\n" in out
    put(course, "03_rms_norm", "rms_norm", NORM.replace("wide = ", "wide = 1 * "))
    assert cli.run_command(["check", str(course)]) == 0
    assert judged[3:] == ["rms_norm"]
    monkeypatch.setattr(judging, "checker", lambda: "another")
    assert cli.run_command(["check", str(course)]) == 0
    assert judged[4:] == ["rms_norm", "slowest_turn"]


def test_the_checker_is_known_by_its_sources(tmp_path, monkeypatch, root):
    import shutil

    shutil.copytree(root / "llama_tutorial", tmp_path / "ours", ignore=shutil.ignore_patterns("assets", "__pycache__"))
    monkeypatch.setattr(judging, "PACKAGE", tmp_path / "ours")
    before = judging.checker.__wrapped__()
    assert before == judging.checker.__wrapped__()
    for name in ("rms_norm.py", "doors/checks.py", "classroom/judge/check.py", "classroom/components/rms_norm.py"):
        with (tmp_path / "ours" / name).open("a") as file:
            file.write("\n")
        before, after = judging.checker.__wrapped__(), before
        assert before != after, name


def test_json_tells_all_of_every_exercise(course, capsys, monkeypatch):
    def judge_afresh(jobs):
        line = {"number": 7, "text": "y = x"}
        for _ in jobs:
            found = {"state": "failed", "told": "No.", "bug": "rms_norm.no_eps", "step": "a step"}
            yield found | {"line": line, "ended": False}

    monkeypatch.setattr(judging, "judge_afresh", judge_afresh)
    put(course, "03_rms_norm", "rms_norm", NORM)
    for _ in range(2):
        assert cli.run_command(["check", str(course), "--json"]) == 1
        told = json.loads(capsys.readouterr().out)
        assert next(each for each in told["exercises"] if each["name"] == "rms_norm") == {
            "lesson": "03_rms_norm", "name": "rms_norm", "kind": "implement", "state": "failed", "told": "No.",
            "bug": "rms_norm.no_eps", "step": "a step", "line": {"number": 7, "text": "y = x"},
        }  # fmt: skip
        assert len(told["exercises"]) == len(ALL) and told["next"]["name"] == ALL[0][1].name and told["speech"] == []
    assert cli.run_command(["check", str(course)]) == 1
    assert "✗ rms_norm: No. Line 7: y = x\n" in capsys.readouterr().out


def test_what_was_cut_short_is_tried_again(course, capsys, monkeypatch):
    def judge_afresh(jobs):
        for verdict in answering("failed", "it was still running")(jobs):
            yield verdict | {"ended": True}

    put(course, "03_rms_norm", "rms_norm", NORM)
    monkeypatch.setattr(judging, "judge_afresh", judge_afresh)
    assert cli.run_command(["check", str(course)]) == 1
    monkeypatch.setattr(judging, "judge_afresh", answering("passed"))
    assert cli.run_command(["check", str(course)]) == 0


# ------------------------------------------------------------------------------------------------ put back


def cells_of(path):
    return [cell["source"] for cell in json.loads(path.read_text())["cells"]]


def test_an_exercise_is_put_back_and_nothing_is_lost(course, capsys):
    path = course / "03_rms_norm_exercises.ipynb"
    fresh = cells_of(path)
    assert handed_out.reset("rms_norm", course) == ["nothing to do: rms_norm is as it was handed out"]
    for source in (NORM, "def rms_norm(x, weight, eps:\n    return x", "from my_llama.rms_norm import rms_norm"):
        put(course, "03_rms_norm", "rms_norm", source)
        if source == NORM:
            states(course, rms_norm="passed")
            assert "wide.pow(2)" in (course / "my_llama" / "rms_norm.py").read_text()
        before = path.read_text()
        assert cli.run_command(["reset", "rms_norm", str(course)]) == 0
        out = capsys.readouterr().out.splitlines()
        kept = out[-1].removeprefix("What you had stands in ")
        assert open(kept).read() == before and str(course) in kept
        assert cells_of(path) == fresh
        assert "wide.pow(2)" not in (course / "my_llama" / "rms_norm.py").read_text()
    assert len(list(course.glob("03_rms_norm_exercises.before_reset_*.ipynb"))) == 3
    states(course, rms_norm="not written")


def test_a_second_definition_goes_and_helpers_stay(course):
    path = course / "03_rms_norm_exercises.ipynb"
    fresh = cells_of(path)
    notebook = json.loads(path.read_text())
    more = {"cell_type": "code", "metadata": {}, "id": "mine", "outputs": [], "execution_count": 3}
    notebook["cells"] += [
        more | {"source": "def half(x):\n    return x / 2\n\n\n# mine\ndef rms_norm(x, w, eps):\n    return half(x)"},
        more | {"id": "mine2", "source": "def rms_norm(x, weight, eps):\n    return 3"},
    ]
    path.write_text(json.dumps(notebook))
    handed_out.reset("rms_norm", course)
    assert cells_of(path) == [*fresh, "def half(x):\n    return x / 2\n\n"]


def test_one_method_is_put_back_and_the_other_stays(course):
    path = course / "04_rotary_exercises.ipynb"
    solve_in(course, "04_rotary")
    solved = next(cell for cell in cells_of(path) if cell.count("class LlamaRotaryEmbedding"))
    handed_out.reset("LlamaRotaryEmbedding.forward", course)
    now = next(cell for cell in cells_of(path) if cell.count("class LlamaRotaryEmbedding"))
    assert now.count("raise NotImplementedError") == 1
    assert now.partition("def forward")[0] == solved.partition("def forward")[0]
    handed_out.reset("LlamaRotaryEmbedding", course)
    now = next(cell for cell in cells_of(path) if cell.count("class LlamaRotaryEmbedding"))
    assert now.count("raise NotImplementedError") == 2


def test_an_exercise_whose_cell_was_deleted_comes_back_above_its_check(course):
    path = course / "03_rms_norm_exercises.ipynb"
    fresh = cells_of(path)
    notebook = json.loads(path.read_text())
    notebook["cells"] = [c for c in notebook["cells"] if "def mended_norm" not in c["source"]]
    path.write_text(json.dumps(notebook))
    handed_out.reset("looks_at_the_mean", course)
    assert cells_of(path) == fresh


@pytest.mark.parametrize(
    "words, told",
    [
        (["reset", "rms_nor"], "did you mean rms_norm"),
        (["reset", "rotate", "{}"], "04_rotary_exercises.ipynb: llama-tutorial exercises"),
    ],
)
def test_what_cannot_be_put_back_is_said(words, told, tmp_path, capsys):
    assert cli.run_command([word.format(tmp_path) for word in words]) == 2
    assert told in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ what is shown


def test_the_lab_of_a_folder_of_exercises_opens_the_first_that_is_not_done(course, monkeypatch, root):
    from llama_tutorial.lab import lessons as lab

    class Started(Exception):
        pass

    def start(program, command, environment):
        raise Started(*[word for word in command if "default_url" in word])

    monkeypatch.setattr(lab.os, "execve", start)
    before = sorted(course.rglob("*"))

    def opened(directory):
        monkeypatch.chdir(root)
        with pytest.raises(Started) as started:
            commands.open_lab_of(directory, False, None)
        return str(started.value).rpartition("/")[2]

    assert opened(course) == f"{LESSONS[0]}_exercises.ipynb"
    record = progress.record_of(course)
    record["passed"] = [name for lesson, each in ALL if lesson <= "03_rms_norm" for name in each.answers]
    for module, names in package.parts().items():
        record["kept"][module] = dict.fromkeys(names, {}) if pieces.lesson_of(module) <= "03_rms_norm" else {}
    package.write_record(course / "my_llama", record)
    assert opened(course) == f"{AFTER_03}_exercises.ipynb"
    assert sorted(course.rglob("*")) == before
    (course / f"{AFTER_03}_exercises.ipynb").unlink()
    assert opened(course) == f"{LESSONS[0]}_exercises.ipynb"
    assert opened(course / "new") == "00_start_here.ipynb" and (course / "new" / "00_start_here.ipynb").is_file()


def test_who_has_passed_a_transfer_exercise_is_shown_another_answer(course, capsys, monkeypatch):
    lesson, exercise = exercises.by_name()["head_norm"]
    worked = exercises.Exercise(**{**vars(exercise), "worked": "def head_norm():\n    ..."})
    monkeypatch.setitem(exercises.by_name(), "head_norm", (lesson, worked))
    assert cli.run_command(["solution", "head_norm", str(course)]) == 0
    out = capsys.readouterr().out
    assert "write it in 03_rms_norm_exercises.ipynb" in out and "once it has passed" in out and out.count("\n") == 1
    assert keeping.keep(lambda x: x, "head_norm", course) == "An answer of another kind:\n\ndef head_norm():\n    ..."
    assert cli.run_command(["solution", "head_norm", str(course)]) == 0
    assert capsys.readouterr().out == "def head_norm():\n    ...\n"


def test_the_end_of_a_notebook_names_the_next(course):
    told = []
    for each in exercises.lessons()["03_rms_norm"]:
        for name in each.answers:
            told.append(keeping.keep(1, name, course))
    keeping.keep(own(MINE, "rms_norm"), "rms_norm", course)
    last = keeping.keep(own(MINE, "LlamaRMSNorm"), "LlamaRMSNorm", course)
    assert last.endswith("All exercises of 03_rms_norm are done. Next: 04_rotary_exercises.ipynb")
    worked = {each.worked for each in exercises.lessons()["03_rms_norm"] if each.worked}
    assert set(told) == {"", *(f"An answer of another kind:\n\n{text}" for text in worked)}
    assert progress.upcoming(course)["name"] == ALL[0][1].name


# ------------------------------------------------------------------------------------------------ the whole path


def run_notebook(path, *more: str):
    """Execute a notebook in its folder, with `more` cells at its end; returns what each cell printed, by its source.

    It stops at the first error, which is returned as (source, output).
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from traitlets.config import Config

    notebook = nbformat.read(path, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in more]
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        config=Config({"KernelManager": {"transport_encryption": "auto"}}),
        resources={"metadata": {"path": str(path.parent)}},
    )
    error = None
    try:
        client.execute()
    except CellExecutionError:
        failed = [cell for cell in notebook.cells if any(o.output_type == "error" for o in cell.get("outputs", []))]
        error = failed[0].source, next(output for output in failed[0].outputs if output.output_type == "error")
    printed = {
        cell.source: "".join(o.text for o in cell.outputs if o.output_type == "stream")
        for cell in notebook.cells
        if cell.cell_type == "code"
    }
    return printed, error


def solve_in(folder, lesson, change=lambda text: text):
    path = folder / f"{lesson}_exercises.ipynb"
    notebook = solve(json.loads(path.read_text()), lesson)
    path.write_text(change(json.dumps(notebook)))
    return path


@pytest.mark.thorough
def test_a_notebook_runs_to_the_first_part_that_is_not_written_and_says_so_in_a_line(tmp_path):
    desk.write_exercises(tmp_path)
    for lesson in LESSONS:
        printed, (source, error) = run_notebook(tmp_path / f"{lesson}_exercises.ipynb")
        assert "0 of" in "".join(printed.values())
        assert source.startswith("check(") and error.ename == "NotWritten"
        told, more, name = error.traceback[0], error.traceback[1:], re.match(r"check\((\w+)", source)[1]
        assert told.startswith(f"· {name}") and told.endswith(" is not written yet.") and more == []
    path = tmp_path / "03_rms_norm_exercises.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"] = [cell for cell in notebook["cells"] if not cell["source"].startswith("check(")]
    path.write_text(json.dumps(notebook))
    _, (source, error) = run_notebook(path)
    task = exercises.by_name()["rms_norm"][1].task
    assert "rms_norm(x" in source and error.traceback == [f"○ Not yet written: rms_norm. {task}"]
    theirs = {"id": "theirs", "source": "import torch\n\ntorch.empty(1, device='meta').cpu()"}
    path.write_text(json.dumps(notebook | {"cells": [*notebook["cells"][:3], notebook["cells"][2] | theirs]}))
    _, (source, error) = run_notebook(path)
    assert error.ename == "NotImplementedError" and "Traceback" in "".join(error.traceback)


def written(path, name, body):
    """Write a body where a function is to be written, as a student does; returns the cell."""
    lesson = path.name.removesuffix("_exercises.ipynb")
    handed_out = next(cell for cell in code_of_a_student(lesson) if f"def {name}(" in cell)
    lines = handed_out.splitlines()
    place = next(i for i, line in enumerate(lines) if "raise NotImplementedError" in line)
    lines[place : place + 1] = body.splitlines()
    put(path.parent, lesson, name, "\n".join(lines))
    return lines


RIGHT = "\n".join(NORM.splitlines()[-2:])
WRONG = RIGHT.replace("wide.pow(2).mean(-1, keepdim=True)", "wide.pow(2).median(-1, keepdim=True).values")


@pytest.mark.thorough
def test_the_whole_path_from_the_first_try_to_a_model_of_ones_own_that_speaks(tmp_path, capsys):
    """Write, fail, read the line, mend, pass, see my_llama grow, go on to the next notebook, and hear it speak."""
    assert cli.run_command(["exercises", str(tmp_path)]) == 0
    capsys.readouterr()
    mine = tmp_path / "my_llama"
    path = tmp_path / "03_rms_norm_exercises.ipynb"
    number = written(path, "rms_norm", WRONG).index(WRONG.splitlines()[-1]) + 1
    _, (source, error) = run_notebook(path)
    assert source == "check(rms_norm)" and error.ename == "CheckFailed"
    assert f"line {number} (" in error.evalue and "the mean of the squares" in error.evalue
    assert cli.run_command(["check", str(tmp_path), "--json"]) == 1
    told = next(each for each in json.loads(capsys.readouterr().out)["exercises"] if each["name"] == "rms_norm")
    assert told["state"] == "failed" and told["step"] == "the mean of the squares" and told["told"] == error.evalue
    assert told["line"] == {"number": number, "text": WRONG.splitlines()[-1].strip()}

    done, following = 0, []
    for lesson in LESSONS:
        modules = [each for each in package.parts() if pieces.lesson_of(each) == lesson]
        path = solve_in(tmp_path, lesson, lambda text: text.replace("Turn every pair", "MINE: turn every pair"))
        if lesson == "03_rms_norm":
            written(path, "rms_norm", RIGHT)
        source_of_rotate = "from my_llama.rotary import rotate as theirs\nprint(theirs.__doc__[:4])"
        printed, error = run_notebook(path, *[source_of_rotate] * (lesson > "05"))
        assert error is None, error
        said = "".join(text for source, text in printed.items() if source.startswith("check("))
        for module in modules:
            assert said.count(f"✓ yours now stands in my_llama/{module}.py") == len(package.parts()[module])
            assert "stand_in" not in (mine / f"{module}.py").read_text()
            done += len(package.parts()[module])
        spoken = f"Every part of {lesson} is yours, and the model speaks with them:\n  The for statement"
        assert said.count(spoken) == bool(modules)
        assert progress.progress(tmp_path).startswith(f"my_llama: {done} of {PARTS}")
        following += [line for line in said.splitlines() if "Next: " in line or "of the course are done" in line]
    assert printed[source_of_rotate] == "MINE\n"
    coming = [f"{each}_exercises.ipynb" for each in LESSONS[1:]]
    assert [line.rpartition("Next: ")[2] for line in following[:-1]] == coming
    assert following[-1] == "All exercises of the course are done."
    assert "your LlamaRMSNorm.forward 110 times" in said and "your attend 50 times" in said
    assert "my_llama needs nothing of ours any more" in said

    grown = {path.name: path.read_bytes() for path in mine.glob("*.py")}
    assert not any(b"llama_tutorial" in text for text in grown.values())
    assert cli.run_command(["check", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"{len(ALL)} passed, 0 failed, 0 not written yet\n" in out and "your attend 50 times" in out
    assert out.endswith("All exercises are done.\n")
    assert {path.name: path.read_bytes() for path in mine.glob("*.py")} == grown

    code = """
import sys
sys.modules["llama_tutorial"] = None
import my_llama
from my_llama import talk
from my_llama.model import LlamaModel
used = LlamaModel(dict(hidden_size=8, num_attention_heads=2, intermediate_size=8, num_hidden_layers=1, vocab_size=9))
layer = used.layers[0]
print([type(part).forward.__code__.co_filename.rpartition("my_llama/")[2]
       for part in (layer.input_layernorm, layer.self_attn, layer.self_attn.rotary_emb)])
talk("The for statement", 8)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == ""
    files, _, said = done.stdout.partition("\n")
    assert files == "['rms_norm.py', 'attention.py', 'rotary.py']"
    assert "The for statement" in said

    wrong = tmp_path / "04_rotary_exercises.ipynb"
    wrong.write_text(wrong.read_text().replace("cos - second * sin", "cos + second * sin"))
    assert cli.run_command(["check", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "✗ rotate: " in out and f"{len(ALL) - 1} passed, 1 failed" in out
    assert f"Next: rotate, about {exercises.by_name()['rotate'][1].minutes} minutes" in out
    assert "MINE" not in (mine / "rotary.py").read_text() and "stand_in" not in (mine / "model.py").read_text()
    assert all("stand_in" in (mine / lent).read_text() for lent in ("rotary.py", "generation.py"))  # once more


@pytest.mark.thorough
def test_a_skipped_cell_runs_on_and_its_check_claims_nothing(tmp_path):
    """In a real kernel, with my_llama deleted before: it is made anew, and what the text offers loses no name."""
    import shutil

    desk.write_exercises(tmp_path)
    shutil.rmtree(tmp_path / "my_llama")
    path = tmp_path / "04_rotary_exercises.ipynb"
    notebook = json.loads(path.read_text())
    for cell, below in zip(notebook["cells"], notebook["cells"][1:]):
        if offered(cell["source"]):
            below["source"] = offered(cell["source"])
        if cell["source"].startswith("def mended_rotate"):
            break
    place = notebook["cells"].index(cell)
    path.write_text(json.dumps(notebook | {"cells": notebook["cells"][:place]}))
    printed, error = run_notebook(path)
    assert error is None or "slowest_turn" in error[0], error
    said = {source: text for source, text in printed.items() if source.startswith("check(") and "ours" in text}
    assert list(said) == [f"check({name})" for name in package.parts()["rotary"]]
    assert all(text.startswith("○ this ") and "✓" not in text for text in said.values())
    assert "my_llama was missing and is laid out anew" in "".join(printed.values())
    assert "0 of" in progress.progress(tmp_path)
    states(tmp_path, rotate="not written", **{"LlamaRotaryEmbedding.angles": "not written"})


def answer(text, name):
    return {"module": "_answer", "head": "\n", "blocks": [(1, text)], "name": name, "exercise": name}


@pytest.mark.thorough
def test_one_that_ends_its_process_takes_no_other_with_it():
    texts = ["import os\nos._exit(3)\nleaks = 1", "slowest_turn = 500000", "slowest_turn = 2559277"]
    jobs = [answer(text, name) for text, name in zip(texts, ["leaks", "slowest_turn", "slowest_turn"])]
    ended, wrong, right = judging.judge_afresh(jobs)
    assert (ended["state"], wrong["state"], right["state"]) == ("failed", "failed", "passed")
    assert "ended with status 3" in ended["told"] and "a turn is 2π" in wrong["told"]


def test_a_fresh_process_judges_by_the_seed_of_its_job():
    lesson, own = "03_rms_norm", varied("head_norm", 7)
    piece = pieces.collect("head_norm", [*code_of_a_student(lesson), own.worked], None)
    jobs = [judging.job_of(piece, None, "head_norm", (), seed) for seed in (7, 8, None)]
    right, wrong, plain = judging.judge_afresh(jobs)
    assert right["state"] == "passed" and wrong["state"] == plain["state"] == "failed"
    assert "3 heads and 5 of values" in wrong["told"] and "3 heads differs" in plain["told"]


@pytest.mark.thorough
def test_one_that_never_ends_or_takes_all_memory_fails_and_the_next_is_judged(monkeypatch):
    monkeypatch.setattr(judging, "SECONDS", 25.0)
    hold = "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n"  # so that the check itself ends nothing
    texts = [hold + "while True:\n    pass", "import torch\nx = torch.empty(2**32)", "slowest_turn = 2559277"]
    endless, large, right = judging.judge_afresh([answer(text, "slowest_turn") for text in texts])
    assert endless["state"] == "failed" and endless["told"] == "it was still running after 25 s" and endless["ended"]
    assert large["state"] == "failed" and "memory" in large["told"]
    assert right["state"] == "passed"


def test_the_readme_counts_the_exercises(root):
    assert {path.stem for path in find_lessons()[0].glob("*.ipynb")} == set(LESSONS)
    assert all({each.kind for each in exercises.lessons()[lesson]} == set(exercises.KINDS) for lesson in LESSONS)
    told = f"Every lesson has exercises of all four kinds, {len(ALL)} in all."
    assert told in " ".join((root / "README.md").read_text().split())


def test_what_a_page_defines_of_a_lessons_own_functions_is_what_is_judged():
    for lesson, here in exercises.lessons().items():
        cells = [cell["source"] for cell in exercises.read_lesson(lesson)["cells"] if cell["cell_type"] == "code"]
        for exercise in here:
            if exercise.kind == "implement" and exercise.answers:
                name = exercise.name.partition(".")[0]
                defining = [cell for cell in cells if re.search(rf"^(def|class) {name}\b", cell, re.MULTILINE)]
                shown = [pieces.definition(name, [cell]) for cell in defining]
                assert all(pieces.same_code(each, exercise.solution) for each in shown), f"{lesson}: {name}"


def test_two_components_of_one_lesson_share_its_notebook(monkeypatch):
    found = dict(classroom.discovered())
    more = classroom.discovered()["rms_norm"].exercises[2:3]
    found["another"] = SimpleNamespace(lesson="03_rms_norm", exercises=more)
    monkeypatch.setattr(classroom, "discovered", lambda: found)
    names = [each.name for each in exercises._lessons.__wrapped__(None)["03_rms_norm"]]
    assert names == [each.name for each in exercises.lessons()["03_rms_norm"]] + [more[0].name]


TIMES = re.compile(
    r"\*\*Time:\*\* (?:(?P<read>\d+) minutes to read(?:, (?P<done>\d+) for the exercises)?|"
    r"part one, (?P<read1>\d+) minutes to read and (?P<done1>\d+) for its exercises; "
    r"part two, (?P<read2>\d+) and (?P<done2>\d+))\."
)


def minutes(lesson: str) -> tuple[list[int], list[int]]:
    """What a lesson's head says: the minutes to read, and for the exercises, of each part."""
    told = "\n".join(cell["source"] for cell in exercises.read_lesson(lesson)["cells"][:8])
    found = TIMES.search(told)
    assert found, f"{lesson}: its head does not say the minutes as the others do"
    each = found.groupdict()
    return tuple([int(each[kind + part]) for part in ("", "1", "2") if each[kind + part]] for kind in ("read", "done"))


@pytest.mark.parametrize("lesson", [path.stem for path in sorted(find_lessons()[0].glob("*.ipynb"))])
def test_a_head_and_the_readme_say_how_long_a_lesson_takes(lesson, root):
    read, done = minutes(lesson)
    assert sum(done) == sum(exercise.minutes for exercise in exercises.lessons().get(lesson, ()))
    row = next(line for line in (root / "README.md").read_text().splitlines() if line.startswith(f"| `{lesson}` |"))
    told = " + ".join(map(str, read)) + (" / " + " + ".join(map(str, done)) if done else "")
    assert row.endswith(f"| {told} |"), f"{lesson} takes {told} minutes, and the README says another number"
