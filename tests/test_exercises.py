"""Exercises: cut without a leak, never written over, solved with our own bodies, and kept in my_llama."""

import ast
import functools
import importlib
import json
import linecache
import math
import subprocess
import sys

import pytest
import torch

from llama_tutorial import cli
from llama_tutorial.checkpoint import to_halves
from llama_tutorial.classroom import cut, desk, exercises, judging, keeping, my_package, pieces
from llama_tutorial.classroom.exercises import lesson_04, lesson_05
from llama_tutorial.classroom.exercises import notebook as student

LESSONS = tuple(exercises.lessons())
ALL = [(lesson, exercise) for lesson in LESSONS for exercise in exercises.lessons()[lesson]]
PARTS = sum(map(len, my_package.parts().values()))
ANSWERS = [(lesson, exercise) for lesson, exercise in ALL if exercise.answers]

IDS = torch.arange(9)[None]
# The answers of transfer exercises: they stand nowhere in the package.
TRANSFER = {
    "head_norm": """from einops import rearrange


def head_norm(x, weight, eps):
    heads = rearrange(x, "batch seq (head dim) -> batch seq head dim", dim=len(weight))
    return rearrange(rms_norm(heads, weight, eps), "batch seq head dim -> batch seq (head dim)")""",
    "rotate_part": """def rotate_part(x, rotation):
    turned = 2 * rotation[0].shape[-1]
    return torch.cat([rotate(x[..., :turned], rotation), x[..., turned:]], dim=-1)


laws_that_hold = {"identity at 0", "length", "distance only"}""",
    "stretched_base": """def stretched_base(theta, dim, factor):
    return theta * factor ** (dim / (dim - 2))""",
    "window_mask": """def window_mask(queries, keys, window):
    causal = causal_mask(queries, keys)
    return causal & ~causal.tril(keys - queries - window)


def window_of(attend):
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, 12, 4, generator=draw) for _ in range(3))
    before = attend(q, k, v)
    v[:, :, 2] += 1
    return int((attend(q, k, v) != before).any(dim=-1).any(dim=1).sum())""",
    "part_to_halves": """def part_to_halves(weight, heads, turned):
    rows = rearrange(weight, "(head dim) hidden -> head dim hidden", head=heads)
    moved = rearrange(rows[:, :turned], "head (pair two) hidden -> head (two pair) hidden", two=2)
    return rearrange(torch.cat([moved, rows[:, turned:]], dim=1), "head dim hidden -> (head dim) hidden")""",
    "attend_softly": """def attend_softly(q, k, v, cap):
    group = q.shape[1] // k.shape[1]
    k, v = (repeat(each, "batch kv key dim -> batch (kv group) key dim", group=group) for each in (k, v))
    scores = einsum(q, k, "batch head query dim, batch head key dim -> batch head query key") / math.sqrt(q.shape[-1])
    scores = (cap * torch.tanh(scores / cap)).masked_fill(~causal_mask(q.shape[2], k.shape[2]), -math.inf)
    return einsum(scores.softmax(dim=-1), v, "batch head query key, batch head key dim -> batch head query dim")""",
}


def solve(notebook: dict, lesson: str) -> dict:
    """The student's notebook with our bodies and answers in it."""
    original = {name: cell["source"] for cell in exercises.read_lesson(lesson)["cells"] if student.is_exported(cell)
                for name in pieces.defined_in(cell["source"])}
    others = {exercise.starter: TRANSFER.get(exercise.name, exercise.solution)
              for exercise in exercises.lessons()[lesson] if exercise.kind != "implement"}
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        if cell["source"] in others:
            cell["source"] = others[cell["source"]]
        elif "raise NotImplementedError" in cell["source"]:
            name = pieces.defined_in(cell["source"])[-1]
            text = original[name].split("\n", 1)[1]
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
    if exercise.kind == "implement":
        assert not exercise.starter and not exercise.answers
    else:
        assert exercise.title and exercise.text and set(exercise.answers) <= set(pieces.defined_in(exercise.starter))
        assert bool(exercise.solution) == bool(exercise.why) == (exercise.kind != "transfer")


def test_there_are_enough_of_every_kind():
    for lesson in ("04_rotary", "05_attention", "14_real_weights"):
        assert {exercise.kind for exercise in exercises.lessons()[lesson]} == set(exercises.KINDS)
    assert len(exercises.lessons()["04_rotary"]) + len(exercises.lessons()["05_attention"]) >= 10


def test_no_two_exercises_share_a_name():
    names = [name for _, exercise in ALL for name in {exercise.name, *exercise.answers}]
    assert len(names) == len(set(names))


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
        return exercises.judge(space[name], name)
    except NotImplementedError as error:
        return f"not written: {error}"


@pytest.mark.parametrize("lesson, exercise", ANSWERS, ids=lambda value: getattr(value, "name", None))
def test_an_exercise_can_be_solved_and_is_not_solved_at_first(lesson, exercise):
    solved = namespace(TRANSFER.get(exercise.name, exercise.solution), lesson)
    assert {name: verdict(name, solved) for name in exercise.answers} == dict.fromkeys(exercise.answers, "")
    unsolved = namespace(exercise.starter, lesson)
    assert [name for name in exercise.answers if not verdict(name, unsolved)] == []


@pytest.mark.parametrize(
    "name, answer, told",
    [
        ("slowest_turn", 500000, "a turn is 2π"),
        ("slowest_turn", 7.0, "times the right number"),
        ("slowest_turn", "many", "is a number"),
        ("bytes_a_token", 2621440, "only the 8 key-value heads"),
        ("moved_words", {"chased", "its"}, "'tail' looks at"),
        ("moved_words", {"The", "chased", "its", "tail"}, "the mask forbids"),
        ("moved_words", 3, "a set of some of"),
        ("laws_that_hold", {"length"}, "holds as well"),
        ("keeps_lengths", lambda turn: True, "the planted one"),
        ("knows_distance_only", lambda scores: False, "both turned"),
        ("leaks", lambda attend: False, "without a mask"),
        ("looks_at_the_mean", lambda norm: False, "LayerNorm"),
        ("window_of", lambda attend: 3, "a window of 1"),
        ("stretched_base", lambda theta, dim, factor: theta * factor, "times slower, not 4 times"),
        ("window_mask", lambda queries, keys, window: 1, "should return a tensor"),
        ("mended_rotate", lambda x, rotation: x, "differs in"),
        ("rotate_part", lambda x, rotation: x * 2, "come out as they went in"),
        ("bytes_tied", 2 * 525336576, "tied is one table"),
        ("bytes_untied", 525336576, "that is one table"),
        ("mended_pairing", lambda theirs, config: {}, "every tensor under the name"),
        ("mended_pairing", lambda theirs, config: theirs, "q_proj.weight differs in"),
        ("reads_alike", lambda one, other: True, "in the other pairing"),
        ("reads_alike", lambda one, other: torch.equal(*(f(torch.arange(9)[None]) for f in (one, other))), "rounds"),
        ("reads_alike", lambda one, other: one(IDS).allclose(other(IDS), atol=1e-3), "the 17th token"),
        ("mended_sizes", lambda fields: (1e-6, 12, 8), "its publisher meant (1e-05, 4, 16)"),
        ("part_to_halves", lambda weight, heads, turned: to_halves(weight, heads), "1 heads of 8 rows"),
        ("attend_softly", lambda q, k, v, cap: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_a_wrong_answer_is_told_why(name, answer, told):
    assert told in exercises.judge(answer, name)


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


def test_the_planted_mistakes_are_the_ones_that_probes_are_tried_on():
    x, rotation = lesson_04.tensor(7, 6), lesson_04.turn_by(7, 3)
    starter = namespace(exercises.by_name()["mended_rotate"][1].starter, "04_rotary")["mended_rotate"]
    assert starter(x, rotation).allclose(lesson_04.planted_rotate(x, rotation))
    q, k, v = lesson_05.queries_keys_values(heads=3)
    assert verdict("mended_attend", {"mended_attend": lambda q, k, v: v}).startswith("mended_attend differs")


def test_a_verdict_begins_with_a_capital_unless_it_begins_with_the_answers_own_name():
    wrong = exercises.report_on(lambda q, k, v: v, "mended_attend")
    assert wrong.diagnosis.startswith("mended_attend differs") and wrong.diagnosis.endswith(".")
    empty = exercises.report_on(lambda q, k, v: v * math.nan, "mended_attend")
    assert empty.diagnosis.startswith("Some query has no key left")


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
    assert len(removed) > 2
    assert cut.leaks(removed, [hint for exercise in texts for hint in exercise.hints]) == []


@pytest.mark.parametrize("lesson", LESSONS)
def test_an_answer_takes_no_name_from_its_lesson(lesson):
    code = [cell["source"] for cell in exercises.read_lesson(lesson)["cells"] if cell["cell_type"] == "code"]
    taken = {name for source in code for name in pieces.defined_in(source)}
    assert taken & {name for exercise in exercises.lessons()[lesson] for name in exercise.answers} == set()


def test_exercises_stand_below_their_heading_or_before_the_last_words():
    texts = [exercises.by_name()["slowest_turn"][1]]
    prose = [{"cell_type": "markdown", "metadata": {}, "source": text}
             for text in ("# T", "So far.\n\n## Exercises\n\nA table.\n\n## Quiz\n\nAsk.", "## To remember")]
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
    ]
    assert desk.write_exercises(tmp_path) == []
    mine, module = tmp_path / "03_rms_norm_exercises.ipynb", tmp_path / "my_llama" / "rms_norm.py"
    mine.write_text("mine")
    module.write_text("mine")
    assert desk.write_exercises(tmp_path) == [f"{mine.name}: kept as you left it"]
    assert mine.read_text() == module.read_text() == "mine"


def test_a_newer_lesson_comes_beside_the_students(tmp_path, monkeypatch):
    desk.write_exercises(tmp_path)
    mine = tmp_path / "04_rotary_exercises.ipynb"
    mine.write_text("mine")
    older = exercises.build
    monkeypatch.setattr(exercises, "build", lambda lesson: older(lesson) | {"nbformat_minor": 4})
    told = desk.write_exercises(tmp_path)
    assert f"{mine.name}: kept as you left it; the newer lesson is 04_rotary_exercises.new.ipynb" in told
    assert mine.read_text() == "mine"
    assert json.loads((tmp_path / "04_rotary_exercises.new.ipynb").read_text())["nbformat_minor"] == 4


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path, root):
    (tmp_path / "my_llama").mkdir()
    with pytest.raises(ValueError, match="was not made by this command"):
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
    lent = collected("def rms_norm(x):\n    return x", "from my_llama.rms_norm import rms_norm")
    assert lent.code.endswith("return x")


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
    monkeypatch.setattr(keeping, "judge_afresh", lambda jobs: [("passed", "")] * len(jobs))
    return tmp_path


def test_what_passes_is_kept_part_by_part(course, monkeypatch):
    module = course / "my_llama" / "rms_norm.py"
    assert keeping.keep(own(MINE, "rms_norm"), "rms_norm", course) == "✓ yours now stands in my_llama/rms_norm.py"
    assert "stand_in(__name__)" in module.read_text() and "wide.pow(2)" in module.read_text()
    assert my_package.progress(course) == f"my_llama: 1 of {PARTS} parts are yours, the others are lent"
    keeping.keep(own(MINE, "LlamaRMSNorm"), "LlamaRMSNorm.forward", course / "my_llama")
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
    monkeypatch.setattr(keeping, "judge_afresh", lambda jobs: [("failed", "NameError: y")])
    assert "does not pass: NameError: y" in keeping.keep(own(MINE, "rms_norm"), "rms_norm", course)
    assert my_package.progress(course).startswith("my_llama: 0 of")


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
        ("window_mask", "stands nowhere in the package"),
    ]:
        assert cli.run_command(["solution", name]) == 0
        assert told in capsys.readouterr().out


def test_a_folder_that_nobody_has_worked_in(tmp_path, capsys):
    assert cli.run_command(["exercises", str(tmp_path)]) == 0
    assert cli.run_command(["check", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith(f"0 passed, 0 failed, {len(ALL)} not written yet\n")


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
        assert error.traceback == [f"· {source[6:-1]} is not written yet."]
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


@pytest.mark.thorough
def test_the_whole_path_from_exercises_to_a_model_of_ones_own_that_talks(tmp_path, capsys):
    desk.write_exercises(tmp_path)
    package = tmp_path / "my_llama"
    written = 0
    for lesson, module, last in [
        ("03_rms_norm", "rms_norm", "LlamaRMSNorm"),
        ("04_rotary", "rotary", "LlamaRotaryEmbedding"),
        ("05_attention", "attention", "LlamaAttention"),
        ("14_real_weights", "checkpoint", "to_halves"),
    ]:
        path = solve_in(tmp_path, lesson, lambda text: text.replace("Turn every pair", "MINE: turn every pair"))
        source_of_rotate = "from my_llama.rotary import rotate as theirs\nprint(theirs.__doc__[:4])"
        printed, error = run_notebook(path, *[source_of_rotate] * (lesson > "05"))
        assert error is None, error
        kept = [text for source, text in printed.items() if source.startswith("check(") and "✓ yours now" in text]
        assert len(kept) == len(my_package.parts()[module])
        assert printed[f"check({last})"] == f"✓ yours now stands in my_llama/{module}.py\n"
        assert "stand_in" not in (package / f"{module}.py").read_text()
        written += len(kept)
        assert my_package.progress(tmp_path).startswith(f"my_llama: {written} of {PARTS}")
    assert printed[source_of_rotate] == "MINE\n"

    grown = {path.name: path.read_bytes() for path in package.glob("*.py")}
    assert cli.run_command(["check", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith(f"{len(ALL)} passed, 0 failed, 0 not written yet\n")
    assert {path.name: path.read_bytes() for path in package.glob("*.py")} == grown

    code = """
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
    assert "rotate`; the rest" not in (package / "rotary.py").read_text()
    assert "MINE" not in (package / "rotary.py").read_text()


@pytest.mark.thorough
def test_one_that_ends_its_process_takes_no_other_with_it(tmp_path):
    texts = ["import os\nos._exit(3)\nleaks = 1", "slowest_turn = 500000", "slowest_turn = 2559277"]
    names = ["leaks", "slowest_turn", "slowest_turn"]
    jobs = [{"module": "_answer", "text": text, "name": name, "exercise": name} for text, name in zip(texts, names)]
    (ended, why), (wrong, told), (right, _) = judging.judge_afresh(jobs)
    assert (ended, wrong, right) == ("failed", "failed", "passed")
    assert "ended with status 3" in why and "a turn is 2π" in told
