"""The check names every mistake of its catalogue, blames no right solution, and is not fooled by hostile code."""

import html.parser
import os
import random
import re
import subprocess
import sys
import types

import einops
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from check_mistakes import MISTAKES
from check_variants import RIGHT, PublishedNorm, rope
from torch import nn

from llama_tutorial import (
    CheckFailed,
    LlamaAttention,
    LlamaRMSNorm,
    LlamaRotaryEmbedding,
    NotWritten,
    check,
)
from llama_tutorial.attention import attend, causal_mask
from llama_tutorial.classroom.bugs import bug, catalogue, find
from llama_tutorial.classroom.check import judge
from llama_tutorial.classroom.properties import exercises
from llama_tutorial.rms_norm import rms_norm
from llama_tutorial.rotary import rotate

# A cache is lesson 11's: what shows only with one is told after a pass.
SEEN_LATER = {"attention.counted_from_key_zero", "attention.is_causal_always"}
# Mathematically the same: exp(−1e−9) is exp(0).
TWINS = {"attention.filled_with_zero", "attention.filled_with_a_tiny_number"}


def fails(obj, exercise=None) -> CheckFailed:
    with pytest.raises(CheckFailed) as caught:
        check(obj, exercise)
    return caught.value


# ------------------------------------------------------------------------------------------------- the whole catalogue


@pytest.mark.thorough
@pytest.mark.parametrize("name", exercises())
def test_every_mistake_is_found_and_named(name):
    exercise, seen = exercises()[name], 0
    for mistake, wrong in exercise.wrong():
        report, seen = judge(wrong, exercise), seen + 1
        if name == "LlamaAttention" and mistake.name in SEEN_LATER:
            assert report.passed and any(mistake.name in note for note in report.notes), report
            continue
        assert not report.passed, f"{mistake.name} survived"
        assert mistake.name in report.bugs, f"{mistake.name} was not named: {report}"
        twins = {"attention.counted_from_key_zero", "attention.is_causal_always"}
        assert set(report.bugs) in ({mistake.name}, TWINS, twins), report.bugs
        assert report.diagnosis == find(report.bug).says
    assert seen >= 4


@pytest.mark.thorough
@pytest.mark.parametrize("obj, exercise", RIGHT, ids=[f"{obj.__name__}-{exercise}" for obj, exercise in RIGHT])
def test_no_right_solution_is_blamed(obj, exercise):
    assert check(obj, exercise).passed


@pytest.mark.thorough
@pytest.mark.parametrize("exercise", MISTAKES)
def test_mistakes_in_another_hand_are_named(exercise):
    source, mistakes = MISTAKES[exercise]
    assert check(written(source), exercise).passed
    for name, there, instead in mistakes:
        assert there in source
        error = fails(written(source.replace(there, instead)), exercise)
        assert error.bug == name or name in error.bugs, f"{there} → {instead}: {error.bugs}, not {name}\n{error}"


def written(source):
    """The class that a cell with this source defines."""
    found = {"__name__": "__main__"}
    exec(compile(source, "<cell>", "exec"), found)
    return [value for value in found.values() if getattr(value, "__module__", "") == "__main__"][-1]


def test_there_are_enough_of_both():
    assert len(catalogue()) >= 60 and len(RIGHT) >= 30
    for name, mistake in catalogue().items():
        assert re.fullmatch(r"(norm|rotary|attention|checkpoint)\.[a-z0-9_]+", name)
        assert len(mistake.symptom) > 10 and mistake.says.endswith(".") and mistake.symptom.endswith(".")
        assert mistake.spellings and all(part in exercises() for part, _ in mistake.spellings)


# ----------------------------------------------------------------------------------------------------- a short sample


@pytest.mark.parametrize("name", exercises())
def test_the_lessons_own_passes(name):
    report = check(exercises()[name].reference)
    assert report.passed and report.exercise == name
    assert all(line.held for line in report.lines) and report.lines


@pytest.mark.parametrize(
    "bug, exercise",
    [
        ("norm.eps_outside_root", "rms_norm"),
        ("norm.gain_ignored", "LlamaRMSNorm"),
        ("norm.squares_in_own_dtype", "LlamaRMSNorm"),
        ("rotary.interleaved", "rotate"),
        ("rotary.scaling_unused", "rotary_frequencies"),
        ("rotary.backwards", "LlamaRotaryEmbedding"),
        ("attention.diagonal_masked", "causal_mask"),
        ("attention.no_scale", "attend"),
        ("attention.kv_tiled", "attend_by_hand"),
        ("attention.repeats_time", "attend"),
        ("attention.merged_without_swap", "LlamaAttention"),
        ("checkpoint.lists_lm_head_when_tied", "tensor_shapes"),
        ("checkpoint.o_like_q", "tensor_shapes"),
        ("checkpoint.the_way_back", "to_halves"),
        ("checkpoint.one_head_for_all", "to_halves"),
    ],
)
def test_a_mistake_is_named(bug, exercise):
    wrong = next(wrong for mistake, wrong in exercises()[exercise].wrong() if mistake.name == bug)
    error = fails(wrong, exercise)
    assert isinstance(error, AssertionError)
    assert error.bug == bug and error.bugs == (bug,)
    assert str(error) == find(bug).says == error.report.diagnosis


SAMPLE = {"by_complex_numbers", "fused", "rope", "in_float64", "ByViewAndTranspose"}


@pytest.mark.parametrize("obj, exercise", [each for each in RIGHT if each[0].__name__ in SAMPLE])
def test_a_right_solution_passes(obj, exercise):
    assert check(obj, exercise).passed


# ------------------------------------------------------------------------------------------- what no catalogue explains


def cubed(x, weight, eps):
    return weight * x / (x.abs().pow(3).mean(-1, keepdim=True) + eps) ** (1 / 3)


def thrice(x, rotation):
    return 3 * rotate(x, rotation)


def other_order(q, k, v, mask=None):
    return attend(q, k, v, mask).flip(1)


def transposed(q, k, v, mask=None):
    return attend(q, k, v, mask).transpose(1, 2)


def wrong_late(x, rotation):
    out = rotate(x, rotation).clone()
    out[..., 200:, :] += 1
    return out


def in_double(x, rotation):
    return rotate(x.double(), rotation)


def nan_in_one_place(q, k, v, mask=None):
    out = attend(q, k, v, mask).clone()
    out[:, :, -1] = torch.nan
    return out


def forgets_return(x, rotation):
    rotate(x, rotation)


def breaks(x, rotation):
    cos, sin = rotation
    return x @ cos  # the shapes do not fit


@pytest.mark.parametrize(
    "wrong, exercise, told",
    [
        (cubed, "rms_norm", "factor that depends on seq only|Largest at"),
        (thrice, "rotate", "3 times what it should be"),
        (other_order, "attend", "another order along head: you have head 4, 5, 2, 3, 0, 1"),
        (transposed, "attend", "head and query have changed places"),
        (wrong_late, "rotate", "Right at seq 0–199, wrong at seq 200–330"),
        (in_double, "rotate", "returned float64, where float32 belongs"),
        (nan_in_one_place, "attend", "56 of 168 numbers|are NaN"),
        (forgets_return, "rotate", "is a `return` missing"),
        (breaks, "rotate", r"raised RuntimeError: .* in your line `return x @ cos"),
    ],
)
def test_what_is_not_known_is_described_and_not_guessed(wrong, exercise, told):
    error = fails(wrong, exercise)
    assert error.bug is None and error.bugs == ()
    assert re.search(told, str(error)), str(error)


def test_two_mistakes_at_once_are_not_called_one():
    def both(q, k, v, mask=None):
        return attend(q * 2, k, v, torch.ones(q.shape[2], k.shape[2], dtype=torch.bool))

    assert fails(both, "attend").bug is None


def test_a_mistake_is_named_though_some_inputs_are_refused():
    def narrow(x, rotation):
        cos, sin = rotation  # no axis for heads, and float32 whatever x is
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos - first * sin], dim=-1)

    error = fails(narrow, "rotate")
    assert error.bug == "rotary.two_minuses"
    assert "Besides, not so: rows of a batch may have angles of their own. It raised RuntimeError" in str(error)


def test_names_of_parameters_and_their_shapes_are_asked_for():
    class Renamed(nn.Module):
        def __init__(self, hidden_size, eps=1e-5):
            super().__init__()
            self.gain, self.eps = nn.Parameter(torch.ones(hidden_size)), eps

        def forward(self, x):
            return rms_norm(x, self.gain, self.eps)

    told = str(fails(Renamed, "LlamaRMSNorm"))
    assert "no parameter 'weight'" in told and "it has gain" in told


# ------------------------------------------------------------------------------------------------------- hostile code


def test_an_input_that_is_written_to_is_found():
    def in_place(x, weight, eps):
        x /= (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()
        return x * weight

    assert "wrote into a tensor" in str(fails(in_place, "rms_norm"))


def test_an_input_that_is_returned_is_no_answer():
    assert "It returned its input" in str(fails(lambda x, rotation: x, "rotate"))
    assert fails(lambda x, positions=None: x, "LlamaRotaryEmbedding.forward").bug == "rotary.never_turned"


def test_dropout_is_found():
    class Dropped(LlamaRMSNorm):
        def forward(self, x):
            return super().forward(x) * (1 + 1e-4 * torch.randn(()))

    assert "second time" in str(fails(Dropped, "LlamaRMSNorm"))


def test_memory_from_call_to_call_is_found():
    calls = []

    def remembers(x, weight, eps):
        calls.append(1)
        return rms_norm(x, weight, eps) * (1 + 1e-5 * len(calls))

    assert "second time" in str(fails(remembers, "rms_norm"))


def test_a_table_kept_for_another_theta_is_found():
    table = {}

    class Cached(LlamaRotaryEmbedding):
        def angles(self, positions):
            key = (self.dim, tuple(positions.flatten().tolist()))
            return table.setdefault(key, super().angles(positions))

    lines = fails(Cached, "LlamaRotaryEmbedding").report.lines
    assert [line.says for line in lines if not line.held] == ["linear scaling slows every hand by the factor"]


def test_what_is_replaced_while_it_runs_is_put_back_and_told():
    original = F.softmax, torch.Tensor.softmax, einops.rearrange

    def patches(q, k, v, mask=None):
        F.softmax = torch.Tensor.softmax = einops.rearrange = lambda *args, **kwargs: 0
        return attend(q, k, v, mask)

    told = str(fails(patches, "attend"))
    assert "softmax" in told and "rearrange" in told and "replaces" in told
    assert (F.softmax, torch.Tensor.softmax, einops.rearrange) == original
    assert "softmax" not in vars(torch.Tensor)


@pytest.mark.parametrize("home, name", [(torch, "softmax"), (F, "rms_norm"), (einops, "reduce")])
def test_what_was_replaced_before_is_told(monkeypatch, home, name):
    monkeypatch.setattr(home, name, lambda *args, **kwargs: None)
    assert f"{name} is not the library's own" in str(fails(rms_norm))


def test_one_library_function_in_the_place_of_another_is_told(monkeypatch):
    monkeypatch.setattr(torch, "softmax", torch.log_softmax)
    assert "torch.softmax is not the library's own" in str(fails(rms_norm))


def test_global_settings_and_random_numbers_are_as_before():
    def careless(x, weight, eps):
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.set_num_threads(1)
        torch.manual_seed(7), random.seed(7), np.random.seed(7)
        torch.set_grad_enabled(True)
        print("careless", file=sys.stderr)
        return rms_norm(x, weight, eps)

    torch.manual_seed(3), random.seed(3), np.random.seed(3)
    wanted = torch.rand(1), random.random(), np.random.rand()
    torch.manual_seed(3), random.seed(3), np.random.seed(3)
    threads = torch.get_num_threads()
    with torch.no_grad():
        report = check(careless, "rms_norm")
        assert not torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32 and torch.get_num_threads() == threads
    assert (torch.rand(1), random.random(), np.random.rand()) == wanted
    assert report.printed.startswith("careless") and "default dtype" in report.notes[0]


def test_nothing_is_written_to_the_screen(capsys):
    def talks(x, weight, eps):
        print("hello")
        return x

    error = fails(talks, "rms_norm")
    assert capsys.readouterr() == ("", "")
    assert "Your code printed: hello" in repr(error.report)


def test_a_check_under_inference_mode_judges_all_the_same():
    with torch.inference_mode():
        assert check(LlamaRMSNorm).passed


def test_weights_that_are_written_to_are_found():
    class Writes(LlamaRMSNorm):
        def forward(self, x):
            out = super().forward(x)
            self.weight.data.mul_(2)
            return out

    assert "wrote into a tensor" in str(fails(Writes, "LlamaRMSNorm"))


@pytest.mark.parametrize("error", [SystemExit("no"), RecursionError("deep"), ValueError("two\nlines")])
def test_what_is_raised_is_told(error):
    def raises(x, rotation):
        raise error

    told = str(fails(raises, "rotate"))
    assert type(error).__name__ in told and "in your line `raise error`" in told and "\n" not in told


def test_ctrl_c_ends_the_check():
    original = F.softmax

    def stopped(x, rotation):
        F.softmax = None
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(stopped, "rotate")
    assert F.softmax is original and torch.is_grad_enabled()


def test_a_detached_result_is_found():
    assert "No gradient" in str(fails(lambda x, weight, eps: rms_norm(x, weight, eps).detach(), "rms_norm"))


# ------------------------------------------------------------------------------------------------------- collaborators


def notebook(source: str) -> dict:
    """What a notebook knows after a cell with this source."""
    module = types.ModuleType("__main__")
    exec(compile(source, "<cell>", "exec"), vars(module))
    return vars(module)


CELL = """
import torch
from llama_tutorial.rotary import LlamaRotaryEmbedding as Ours

def rotate(x, rotation):
    {body}

class LlamaRotaryEmbedding(Ours):
    def forward(self, x, positions=None):
        positions = torch.arange(x.shape[-2]) if positions is None else positions
        return rotate(x, self.angles(positions))
"""


def test_one_component_is_judged_at_a_time():
    cell = notebook(CELL.format(body="raise NotImplementedError"))
    theirs = cell["rotate"]
    assert check(cell["LlamaRotaryEmbedding"]).passed
    assert cell["rotate"] is theirs
    with pytest.raises(NotWritten, match="rotate is not written yet"):
        check(theirs)


def test_a_helper_that_only_shares_a_name_stays():
    source = """
from llama_tutorial.rms_norm import LlamaRMSNorm as Ours
def rms_norm(x, weight):
    return weight * x / (x.float().pow(2).mean(-1, keepdim=True) + 0).sqrt().to(x.dtype)
def rotate(x, rotation):
    return -x
class LlamaRMSNorm(Ours):
    def forward(self, x):
        wide = x.float()
        return self.weight * rotate((wide / -(wide.pow(2).mean(-1, keepdim=True) + self.eps).sqrt()).to(x.dtype), 0)
"""
    cell = notebook(source)  # `rotate` here is their own: judged with the lesson's it fails, as it stands it passes
    assert check(cell["LlamaRMSNorm"]).passed
    assert cell["rotate"](1, 0) == -1


# ------------------------------------------------------------------------------------------------------- the interface


def test_the_exercise_is_found_from_the_object():
    assert check(LlamaRMSNorm).exercise == "LlamaRMSNorm"
    assert check(LlamaRMSNorm(7)).exercise == "LlamaRMSNorm"
    assert check(LlamaRMSNorm.forward).exercise == "LlamaRMSNorm.forward"
    assert check(PublishedNorm.forward, "LlamaRMSNorm.forward").passed  # by its own class
    assert check(causal_mask).exercise == "causal_mask"
    assert check(rope, "LlamaRotaryEmbedding.forward").exercise == "LlamaRotaryEmbedding.forward"
    assert check(lambda hidden_size, eps=1e-5: LlamaRMSNorm(hidden_size, eps), "LlamaRMSNorm").passed


@pytest.mark.parametrize(
    "obj, exercise, error, told",
    [
        (rope, None, ValueError, "there is no exercise 'rope'.*say which with check"),
        (rope, "LlamaRotaryEmbeding", ValueError, "did you mean 'LlamaRotaryEmbedding'"),
        (rope, "LlamaRotaryEmbedding.backward", ValueError, "there is no exercise"),
        ("LlamaRMSNorm", None, TypeError, "the object, not its name"),
        (rope, rope, TypeError, "exercise must be a name"),
        (torch.ones(2), None, TypeError, "a class, a function or a module, got Tensor"),
    ],
)
def test_a_wrong_call_says_the_rule(obj, exercise, error, told):
    with pytest.raises(error, match=told):
        check(obj, exercise)


def test_what_is_not_written_is_one_quiet_line():
    class LlamaRMSNorm(nn.Module):  # noqa: N801
        def __init__(self, hidden_size, eps=1e-5):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(hidden_size))

        def forward(self, x):
            raise NotImplementedError("divide by the root mean square")

    with pytest.raises(NotWritten) as caught:
        check(LlamaRMSNorm)
    assert isinstance(caught.value, CheckFailed) and caught.value.bug is None
    assert caught.value._render_traceback_() == ["· LlamaRMSNorm.forward is not written yet."]
    del LlamaRMSNorm.forward
    with pytest.raises(NotWritten, match="^forward is not written yet"):
        check(LlamaRMSNorm)


def test_a_report_as_text():
    report = check(LlamaRMSNorm)
    lines = repr(report).splitlines()
    assert lines[0] == f"✓ LlamaRMSNorm: all {len(report.lines)} properties hold."
    assert lines[1] == "  ✓ vectors are divided by their root mean square"
    assert len(lines) == 1 + len(report.lines) and report.bug is None and report.seconds < 60
    text = repr(fails(find("attention.filled_with_zero").spellings[0][1], "attend").report)
    assert text.startswith("✗ attend: not yet, 2 of 14 properties hold.\n  Hidden scores are filled with 0")
    assert "Symptom: the loss is better" in text and "attention.filled_with_a_tiny_number" in text
    assert "  ✗ equal scores share the weight among the keys so far: Up to 86% of a query's weight" in text


class Parsed(html.parser.HTMLParser):
    """Which tags a page has, and that each is closed."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.alt = set(), [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.open += [] if tag == "img" else [tag]
        self.alt += dict(attrs).get("alt", "")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_report_as_a_page():
    passed = Parsed(check(LlamaRMSNorm)._repr_html_())
    assert passed.open == [] and "details" in passed.tags and "img" not in passed.tags


@pytest.mark.thorough
def test_a_report_of_a_mistake_carries_a_picture():
    page = fails(find("attention.filled_with_zero").spellings[0][1], "attend").report._repr_html_()
    failed = Parsed(page)
    assert failed.open == [] and not {"script", "style", "svg"} & failed.tags
    assert "Three heatmaps over query and key" in failed.alt and "attention.filled_with_zero" in page
    assert "&#x27;" in page or "&lt;" not in page


@pytest.mark.thorough
def test_a_notebook_shows_the_report_and_no_traceback():
    code = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.kernel = None
shell.run_cell('''
from llama_tutorial import check, LlamaRMSNorm
class LlamaRMSNorm(LlamaRMSNorm):
    def forward(self, x):
        return x
check(LlamaRMSNorm)
''')
"""
    environment = os.environ | {"MPLBACKEND": "agg"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300)
    assert "✗ LlamaRMSNorm: not yet" in done.stdout and "CheckFailed: Not so: " in done.stdout
    assert "Traceback" not in done.stdout + done.stderr and "check.py" not in done.stdout


def test_a_pass_is_kept_beside_a_package_of_exercises(tmp_path, monkeypatch, capsys):
    kept = []
    fake = types.ModuleType("llama_tutorial.classroom.keeping")
    fake.keep = lambda *args: kept.append(args) or "✓ yours now stands in my_llama/rms_norm.py"
    monkeypatch.setitem(sys.modules, "llama_tutorial.classroom.keeping", fake)
    folder = tmp_path / "my_llama"
    folder.mkdir()
    with pytest.raises(ValueError, match="was not made by `llama-tutorial exercises`"):
        check(LlamaRMSNorm, save=folder)
    (folder / ".exercises.json").write_text("{}")
    check(LlamaRMSNorm, save=False), check(LlamaRMSNorm)
    assert kept == []
    check(LlamaRMSNorm, save=folder)
    assert kept == [(LlamaRMSNorm, "LlamaRMSNorm", folder)]
    assert capsys.readouterr().out == "✓ yours now stands in my_llama/rms_norm.py\n"


@pytest.mark.thorough
def test_what_attention_lacks_for_lesson_11_is_told_and_not_judged():
    class NoCache(LlamaAttention):
        def forward(self, x, rotation=None, mask=None, cache=None):
            return super().forward(x, rotation, mask)

    report = check(NoCache, "LlamaAttention")
    assert report.passed and report.lines[-1].held is None and "lesson 11" in repr(report)


def test_a_bug_has_one_name():
    def no_eps(x, weight, eps):
        return x

    no_eps.__module__ = "llama_tutorial.classroom.bugs.norm"
    catalogue()
    with pytest.raises(ValueError, match="norm.no_eps is there already"):
        bug("rms_norm", symptom="", says="")(no_eps)
    with pytest.raises(KeyError, match="did you mean 'norm.no_eps'"):
        find("norm.no_epss")


@pytest.mark.thorough
def test_importing_check_draws_nothing():
    code = "import sys; from llama_tutorial import check; print({'matplotlib', 'IPython'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "set()\n", done.stdout + done.stderr
