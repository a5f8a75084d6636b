"""The contest: what an entry may do, what is told of it, and what is refused, with budgets of a moment."""

import ast
import json
import os
import re
import time
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from llama_tutorial import authoring, cli, training
from llama_tutorial.classroom.course.pieces import collect
from llama_tutorial.classroom.my_llama import package
from llama_tutorial.classroom.my_llama.package import lay_out
from llama_tutorial.contest import entry, exam, lines, standing
from llama_tutorial.corpus import Corpus

LEARN = {"a": "the cat sat on the mat and the dog ran to the log. " * 60}
HELD_OUT = {"b": "a zebra quickly jumped over seven lazy ox and fled. " * 40}
# A tiny model that is honest, and how it learns: it counts which token follows which.
HONEST = """
import torch
from torch import nn

class Pairs(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(size, size))

    def forward(self, ids):
        return self.table[ids]

def enter(vocab_size, seed):
    return Pairs(vocab_size)

@torch.no_grad()
def train(model, sources, seconds, seed):
    for ids in sources:
        model.table[ids[:-1], ids[1:]] = 3.0
"""
# The same, but for one line of `forward`.
DISHONEST = {
    "the next token": "out = self.table[ids]; out[:, :-1].scatter_(2, ids[:, 1:, None], 50.0); return out",
    "a mean of all": "return self.table[ids] + nn.functional.one_hot(ids, len(self.table)).float().mean(1, True)",
    "the next window": "return self.table[ids] + nn.functional.one_hot(ids.roll(-1, 0), len(self.table))",
}  # fmt: skip


def with_forward(line):
    """The tiny package with another `forward`."""
    return HONEST.replace("return self.table[ids]", line)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A short textbook and a short exam."""
    corpus = Corpus(LEARN, {"c": "def f(x): return x + 1\n" * 60}, HELD_OUT)
    monkeypatch.setattr(exam, "python_corpus", lambda: corpus)


@pytest.fixture
def challenge(capsys, tmp_path, monkeypatch):
    """`challenge(text, *words)` runs the command on a file with that text: status, stdout, last lines of stderr."""
    monkeypatch.chdir(tmp_path)

    def run(text, *words):
        if text is not None:
            (tmp_path / "mine.py").write_text(text)
            words = ("--package", "mine.py", *words)
        status = cli.run_command(["challenge", "--seconds", "0.6", *map(str, words)])
        out, err = capsys.readouterr()
        return status, out, err.strip().splitlines()

    return run


def score(text, challenge):
    """The bits per byte of the tiny package."""
    status, out, err = challenge(text, "--json")
    assert status == 0, err
    return json.loads(out)["entry"]["bits_per_byte"]


# ------------------------------------------------------------------------------------------------ what is told


def test_the_courses_own_entry_keeps_to_the_budget(challenge):
    status, out, err = challenge(None, "--seconds", 3)
    assert status == 0 and err == ["llama-tutorial: it trains for 3 CPU-seconds, then it is examined"]
    table = out.splitlines()
    assert table[0].split() == ["bits", "per", "byte", "parameters", "lines", "CPU-seconds"]
    assert len({len(line) for line in table[:3]}) == 1
    name, bits, parameters, count, seconds = table[1].split()
    assert (name, parameters) == ("llama_tutorial", "869,504") and float(bits) > 0.5 and 0 < float(seconds) <= 3
    assert count == str(lines.course_lines()) and table[2].split()[-2] == count
    assert "This one had 3 CPU-seconds, the course's own 110." in out
    assert table[-1].endswith(f"Measure it here: {standing.AGAIN}")


def test_what_is_stored_of_the_courses_own_belongs_together():
    assert standing.COURSE["bits_per_byte"] == standing.SEEDS[standing.COURSE["seed"]]
    assert standing.AGAIN == f"llama-tutorial challenge --seed {standing.COURSE['seed']}"
    assert 1.6 < min(standing.SEEDS.values()) and max(standing.SEEDS.values()) < 2.02
    assert 0.95 * standing.BUDGET < standing.COURSE["cpu_seconds"] <= standing.BUDGET
    model = entry.course_entry().make(exam.VOCAB, 0)
    assert exam.parameter_count(model) == standing.COURSE["parameters"]


def test_the_shape_is_lesson_10s(root):
    cells = json.loads((root / "notebooks" / "10_training.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells)
    (shape,) = re.findall(r"^SHAPE = (\{.*?\})", code, re.M | re.S)
    assert ast.literal_eval(shape) == entry.SHAPE


def test_json_stays_json_whatever_a_package_prints(challenge):
    status, out, err = challenge("print('hello')\n" + HONEST, "--json")
    told = json.loads(out)
    assert status == 0 and err[-1] == "hello"
    mine = told["entry"]
    assert mine["name"] == "mine" and mine["parameters"] == exam.VOCAB**2 and mine["over"] == 0
    assert mine["lines"] == mine["own_lines"] == 15 and told["course"]["lines"] == lines.course_lines()


def test_a_run_that_takes_too_long_is_told_by_how_much(challenge):
    slow = HONEST + "    import time\n    end = time.process_time() + 0.8\n    while time.process_time() < end: pass\n"
    status, out, _ = challenge(slow)
    took, over = map(float, re.search(r"took (\d\.\d) of 0\.6 CPU-seconds, (\d\.\d) too many", out).groups())
    assert status == 0 and took >= 0.8 and over == pytest.approx(took - 0.6, abs=0.11)


@pytest.mark.skipif(os.name != "posix", reason="Windows does not say what children took")
def test_work_of_children_counts(challenge):
    burn = "import time; end = time.process_time() + 0.8\\nwhile time.process_time() < end: pass"
    text = HONEST + f"    import subprocess, sys\n    subprocess.run([sys.executable, '-c', '''{burn}'''])\n"
    assert "too many" in challenge(text)[1]


# ------------------------------------------------------------------------------------------------ a package of parts


def test_a_package_that_is_all_lent_is_the_courses_own(challenge, tmp_path):
    lay_out(tmp_path)
    status, out, err = challenge(None, "--package", ".", "--seed", 3)
    assert status == 0, err
    name, _, parameters, count, _ = out.splitlines()[1].split()
    assert (name, parameters, count) == ("my_llama", "869,504", str(lines.course_lines()))
    assert f"All {count} lines are lent" in out


def test_parts_of_a_learner_train_and_are_counted(challenge, tmp_path):
    lay_out(tmp_path)
    part = (
        "from llama_tutorial.classroom import stand_in\n\nstand_in(__name__)\n\n\nclass LlamaRMSNorm(nn.Module):\n"
        '    """Mine."""\n    def __init__(self, size, eps):\n        super().__init__()\n'
        '        print("my norm")  # loud\n'
        "\n        self.eps, self.weight = eps, nn.Parameter(torch.ones(size))\n\n    def forward(self, x):\n"
        "        return self.weight * x * (x.pow(2).mean(-1, keepdim=True) + self.eps).rsqrt()\n"
    )
    (tmp_path / "my_llama" / "rms_norm.py").write_text(part)
    status, out, err = challenge(None, "--package", "my_llama")
    assert status == 0 and "my norm" in err
    total = int(out.splitlines()[1].split()[-2])
    assert f"7 of the {total} lines are my_llama's own; the rest is lent." in out
    ours = "@explained" + lines.source_of("rms_norm").partition("\n@explained")[2]  # to the end of the module
    assert total == lines.course_lines() + 7 - len(lines.code_lines(ours))


def test_of_a_module_that_is_whole_the_parts_are_a_learners(challenge, tmp_path):
    lay_out(tmp_path)
    folder, parts = tmp_path / "my_llama", package.parts()["mlp"]
    record, source = package.read_record(folder), lines.source_of("mlp")
    record["kept"]["mlp"] = {name: package.plain(collect(name, [source], "mlp")) for name in parts}
    assert package.store(folder, record, "mlp") and "stand_in" not in (folder / "mlp.py").read_text()
    package.write_record(folder, record)
    out = challenge(None, "--package", folder)[1]
    theirs = sum(len(lines.code_lines(piece["code"])) for piece in record["kept"]["mlp"].values())
    assert f"{theirs} of the {lines.course_lines()} lines are my_llama's own" in out and theirs > 5
    with (folder / "mlp.py").open("a") as file:
        file.write("\n\nSEEN = 1\n")  # by hand: all of it is theirs
    edited = len(lines.code_lines((folder / "mlp.py").read_text()))
    out = challenge(None, "--package", folder)[1]
    assert f"{edited} of the {lines.course_lines() + 1} lines are my_llama's own" in out


def test_a_package_has_a_say_in_its_model_as_the_page_shows(challenge, tmp_path, root):
    lay_out(tmp_path)
    *_, code = re.findall(r"```python\n(.*?)```", (root / "docs" / "challenge.md").read_text(encoding="utf-8"), re.S)
    (tmp_path / "my_llama" / "challenge.py").write_text(code)
    status, out, err = challenge(None, "--package", "my_llama")
    assert status == 0, err
    layer = 2 * 96 * 96 + 2 * 96 * 48 + 3 * 96 * 256 + 2 * 96
    assert out.splitlines()[1].split()[2] == f"{1024 * 96 + 3 * layer + 96:,}"
    assert "4 of the " in out
    lay_out(tmp_path)
    assert (tmp_path / "my_llama" / "challenge.py").read_text() == code


def test_lines_are_counted_in_any_encoding(challenge, tmp_path):
    text = "# -*- coding: latin-1 -*-\nname = 'na\u00efve'\n" + HONEST
    (tmp_path / "other.py").write_text(text, encoding="latin-1")
    status, out, err = challenge(None, "--package", "other.py")
    assert status == 0 and "All 15 lines are other's own." in out, err


def test_what_a_package_is_given_holds_nothing_of_the_exam(challenge, tmp_path):
    spy = "    torch.save([ids for ids in sources], 'given.pt')\n    [ids.zero_() for ids in sources]\n"
    assert score(HONEST + spy, challenge) > 0
    tokenizer, sources = exam.textbook()
    given = torch.load(tmp_path / "given.pt")
    assert [ids.tolist() for ids in given] == [ids.tolist() for ids in sources]
    text = " ".join(tokenizer.decode(ids.tolist()) for ids in given)
    assert LEARN["a"] in text and "zebra" not in text


# ------------------------------------------------------------------------------------------------ who reads ahead


@pytest.mark.parametrize("how", DISHONEST)
def test_a_model_that_reads_ahead_is_refused(challenge, how):
    status, out, err = challenge(with_forward(DISHONEST[how]))
    assert (status, out) == (1, "")
    assert err[-1].startswith("llama-tutorial: mine is refused: its logits change when only later tokens")


def test_without_the_probe_who_reads_ahead_would_win(challenge, monkeypatch):
    monkeypatch.setattr(exam, "apart", lambda *_: False)
    honest, dishonest = score(HONEST, challenge), score(with_forward(DISHONEST["the next token"]), challenge)
    assert dishonest < 0.1 < 2 < honest


def test_nothing_lies_behind_the_tokens_that_a_model_is_given(challenge):
    peek = "assert ids.untyped_storage().nbytes() == ids.nbytes and ids._base is None; return self.table[ids]"
    assert score(with_forward(peek), challenge) == score(HONEST, challenge)


@pytest.mark.parametrize("line, told", [
    ("return self.table[ids] + torch.randn(1)", "it says another thing of the same tokens when asked again"),
    ("return self.table[ids][:, -1]", "it must return logits (32, 128, 1024) for ids (32, 128), got (32, 1024)"),
    ("return (self.table[ids], None)", "it must return logits (batch, seq, 1024), got a tuple"),
    ("return self.table[ids] / 0", "not all of its logits are numbers"),
])  # fmt: skip
def test_logits_that_cannot_be_believed_are_refused(challenge, line, told, monkeypatch):
    monkeypatch.setattr(exam, "python_corpus", lambda: Corpus(LEARN, LEARN, {"b": HELD_OUT["b"] * 6}))
    status, out, err = challenge(with_forward(line))
    assert (status, out) == (1, "") and err[-1].startswith(f"llama-tutorial: mine is refused: {told}")


def test_the_exam_is_lesson_10s():
    """For a model that is honest, the number is that of `bits_per_byte`."""
    model, (tokenizer, _) = entry.course_entry().make(exam.VOCAB, 0), exam.textbook()
    ids = training.token_ids(tokenizer, list(HELD_OUT.values()))
    usual = training.bits_per_byte(model, ids, sum(len(text.encode()) for text in HELD_OUT.values()))
    assert exam.examine(model, tokenizer) == pytest.approx(usual, abs=1e-6)


# ------------------------------------------------------------------------------------------------ who cannot take part


@pytest.mark.parametrize("text, told", [
    ("x = 1", "mine.py brings no model: give it a challenge.py with enter(vocab_size, seed)"),
    ("def f(:", "mine.py: importing it ended with SyntaxError: "),
    ("x = 1 / 0", "mine.py: importing it ended with ZeroDivisionError (mine.py, line 1): division by zero"),
    ("import sys\nsys.exit(3)", "mine.py: importing it ended with SystemExit (mine.py, line 2): 3"),
    ("def enter(vocab_size, seed):\n    return 5", "mine: enter must return a model, a torch.nn.Module, got a int"),
    ("def enter():\n    return 5", "mine.py: enter(vocab_size, seed) ended with TypeError: enter() takes 0 "),
    (HONEST + "    raise RuntimeError('two\\nlines')",
     "mine.py: train(model, sources, seconds, seed) ended with RuntimeError (mine.py, line 20): two lines"),
    (HONEST + "    return sources", "mine: train must return a model, a torch.nn.Module, got a list"),
    (HONEST.partition("@torch")[0],
     "mine.py: the course's recipe trains a model that has model.layers and lm_head; for another one write "
     "train(model, sources, seconds, seed)"),
    (with_forward("return missing"), "mine.py: its model, in the exam, ended with NameError (mine.py, line 11): name"),
])  # fmt: skip
def test_a_package_that_fails_says_so_in_a_line(challenge, text, told):
    status, out, err = challenge(text)
    assert (status, out, len(err)) == (2, "", 2) and told in err[-1], err
    assert err[-1].startswith("llama-tutorial: ")


@pytest.mark.parametrize("given, told", [
    ("nowhere/at/all", "there is no package nowhere/at/all: give its folder"),
    ("no_such_module", "there is no package no_such_module"),
    ("empty", "empty is no package, it has no __init__.py: llama-tutorial exercises DIR makes one"),
    ("some.txt", "there is no package some.txt"),
    ("json", "a package called json cannot be imported beside the course's own: give it another name"),
])  # fmt: skip
def test_what_is_no_package_is_told(challenge, tmp_path, given, told):
    (tmp_path / "empty").mkdir()
    (tmp_path / "some.txt").write_text("x")
    status, out, err = challenge(None, "--package", given)
    assert (status, out) == (2, "") and err[-1].startswith(f"llama-tutorial: {told}")
    assert len(err) == 1 or given == "json"  # the work begins with a package that is found


def test_ctrl_c_says_that_nothing_counts(challenge):
    status, out, err = challenge(HONEST + "    raise KeyboardInterrupt")
    assert (status, out, err[1:-1]) == (130, "", [""])  # the line on which the terminal shows ^C
    assert err[-1] == "llama-tutorial: stopped: an entry counts when its training has ended"


def test_threads_and_modules_are_as_before(challenge):
    import sys

    before = torch.get_num_threads()
    assert challenge(HONEST)[0] == 0 and challenge(HONEST + "    x")[0] == 2
    assert torch.get_num_threads() == before and "mine" not in sys.modules


# ------------------------------------------------------------------------------------------------ what is counted


def test_lines_of_code_are_those_that_hold_code():
    text = '"""Doc.\n\nMore."""\n\nimport os  # why\n\n# alone\n@decorated(\n    1,\n)\nclass A:\n    """Doc."""\n\n'
    text += '    x = """two\n\nlines"""\n\n    async def f(self): return f"""a\n{self}"""\n'
    assert sorted(lines.code_lines(text)) == [5, 8, 9, 10, 11, 14, 16, 18, 19]
    core = sum(len(lines.code_lines(lines.source_of(name))) for name in lines.CORE)
    assert core == authoring.core_lines()


def test_a_shared_table_counts_once_and_a_saved_buffer_too():
    model = nn.Sequential(nn.Embedding(7, 5), nn.Linear(5, 7, bias=False))
    assert exam.parameter_count(model) == 70
    model[1].weight = model[0].weight
    assert exam.parameter_count(model) == 35
    model[1].weight = nn.Parameter(model[0].weight.detach())  # another parameter on the same numbers
    model.register_buffer("counts", torch.zeros(11))
    model.register_buffer("angles", torch.zeros(13), persistent=False)
    assert exam.parameter_count(model) == 46


def test_the_schedule_fits_the_budget_though_steps_grow_dearer():
    now, shares = [0.0], []
    clock = SimpleNamespace(budget=60, spent=lambda: now[0], left=lambda: 60 - now[0])
    trainer = SimpleNamespace(recipe=training.Recipe(), step=0, model=None)

    def advance():
        shares.append(training.step_size(trainer.step, trainer.recipe))
        trainer.step += 1
        now[0] += 0.1 if trainer.step < 200 else 0.17
        return 1.0

    trainer.advance = advance
    entry.run_within(trainer, clock)
    assert 59.6 < now[0] <= 60 and shares[-1] < 0.02 and max(shares) == 1
    assert min(shares[30:150]) > 0.6


def test_a_clock_counts_work_and_not_sleep():
    clock = entry.Clock(1.0)
    time.sleep(0.2)
    assert clock.spent() < 0.1 and clock.left() > 0.9


def test_a_name_of_an_installed_module_is_found():
    assert entry.found("llama_tutorial").name == "llama_tutorial" and entry.found("json").name == "json"
