"""The check names every mistake of its catalogue, blames no right solution, and is not fooled by hostile code."""

import copy
import html.parser
import inspect
import linecache
import os
import random
import re
import signal
import subprocess
import sys
import types
from dataclasses import replace

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
    checkpoint,
)
from llama_tutorial.attention import attend, causal_mask
from llama_tutorial.classroom import discovered
from llama_tutorial.classroom.course import by_name
from llama_tutorial.classroom.course.exercise import Exercise
from llama_tutorial.classroom.judge import guard, tracing
from llama_tutorial.classroom.judge.check import judge
from llama_tutorial.classroom.judge.parts import Cases, Component, catalogue, find_bug, parts
from llama_tutorial.rms_norm import rms_norm
from llama_tutorial.rotary import rotate

# A cache is lesson 11's: what shows only with one is told after a pass.
SEEN_LATER = {
    "attention.counted_from_key_zero": {"LlamaAttention"},
    "attention.is_causal_always": {"LlamaAttention"},
    "attention.mask_unchecked": {"LlamaAttention"},
    "attention.mask_checked_too_late": {"LlamaAttention"},
    "attention.fewer_see_all": {"LlamaAttention"},
    "attention.counts_on_from_zero": {"LlamaAttention"},
    "attention.cache_not_read": {"LlamaAttention"},
    "attention.cache_left_out": {"LlamaAttention"},
    "attention.nothing_is_no_number": {"attend", "attend_by_hand"},
    "attention.mask_on_the_usual_device": {"LlamaAttention", "attend", "attend_by_hand"},
}
# Mathematically the same: exp(−1e−9) is exp(0).
TWINS = (  # mistakes that give the same numbers, so that both are told
    {"attention.filled_with_zero", "attention.filled_with_a_tiny_number"},
    {"attention.counted_from_key_zero", "attention.is_causal_always"},
    {"model.sees_padding", "model.mask_not_passed"},
    {"model.rotation_not_passed", "model.positions_ignored"},
    {"causal_lm.tied_by_copying", "causal_lm.never_tied"},
    {"sampling.one_too_many", "sampling.p_before_k"},
    {"inside.first_counted", "inside.wraps_round"},  # what wraps round is a later token, to which nobody listens
)


def wrong_version(bug: str, part: str):
    return next(wrong for mistake, wrong in parts()[part].wrong() if mistake.name == bug)


def fails(obj, exercise=None) -> CheckFailed:
    with pytest.raises(CheckFailed) as caught:
        check(obj, exercise)
    return caught.value


# ------------------------------------------------------------------------------------------------- the whole catalogue


@pytest.mark.thorough
@pytest.mark.parametrize("name", parts())
def test_every_mistake_is_found_and_named(name):
    part, seen = parts()[name], 0
    for mistake, wrong in part.wrong():
        report, seen = judge(wrong, part), seen + 1
        if name in SEEN_LATER.get(mistake.name, ()):
            assert report.passed and any(mistake.name in note for note in report.notes), report
            continue
        assert not report.passed, f"{mistake.name} survived"
        assert mistake.name in report.bugs, f"{mistake.name} was not named: {report}"
        if any(where == name for where, _ in mistake.spellings):  # of what it is made of, two may look alike in it
            assert set(report.bugs) in ({mistake.name}, *TWINS), report.bugs
        assert report.diagnosis == find_bug(report.bug).says
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
    assert len(catalogue()) >= 60 and len(RIGHT) >= 60
    for name, mistake in catalogue().items():
        owner, _, own = name.partition(".")
        assert owner in discovered() and re.fullmatch("[a-z0-9_]+", own) and mistake.spellings
        assert len(mistake.symptom) > 10 and mistake.says.endswith(".") and mistake.symptom.endswith(".")


# ----------------------------------------------------------------------------------------------------- a short sample


@pytest.mark.parametrize("name", parts())
def test_the_lessons_own_passes(name):
    report = check(parts()[name].reference)
    assert report.passed and report.exercise == name
    assert all(line.held for line in report.lines) and report.lines


@pytest.mark.parametrize(
    "bug, exercise",
    [
        ("rms_norm.eps_outside_root", "rms_norm"),
        ("rms_norm.gain_ignored", "LlamaRMSNorm"),
        ("rms_norm.squares_in_own_dtype", "LlamaRMSNorm"),
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
    error = fails(wrong_version(bug, exercise), exercise)
    assert isinstance(error, AssertionError)
    assert error.bug == bug and error.bugs == (bug,)
    assert str(error) == find_bug(bug).says == error.report.diagnosis


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
        (other_order, "attend", "the answer, and change it afterwards. The numbers are right, but in another order"),
        (transposed, "attend", "head and query have changed places"),
        (wrong_late, "rotate", "Right at seq 0–199, wrong at seq 200–330"),
        (in_double, "rotate", "returned float64, where float32 belongs"),
        (nan_in_one_place, "attend", "56 of 168 numbers|are NaN"),
        (forgets_return, "rotate", "is a `return` missing"),
        (breaks, "rotate", r"raised RuntimeError: .* in your line \d+: `return x @ cos"),
    ],
)
def test_what_is_not_known_is_described_and_not_guessed(wrong, exercise, told):
    error = fails(wrong, exercise)
    assert error.bug is None and error.bugs == ()
    assert re.search(told, str(error)), str(error)


def written_in(source, name):
    """What a cell with this source defines as `name`; its lines can be read, as a notebook's."""
    file = f"<cell {abs(hash(source)):x}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space = {"__name__": "__main__"}
    exec(compile(source, file, "exec"), space)
    return space[name]


THE_LINE = """import math
import torch
from torch import nn
from einops import rearrange, einsum
from llama_tutorial.attention import LlamaAttention as Ours, causal_mask
from llama_tutorial.rotary import rotate
def scaled(scores, dim):
    return SCALED
class LlamaAttention(Ours):
    def forward(self, x, rotation=None, mask=None, cache=None):
        B, T, C = x.shape
        q = self.q_proj(x).view(B, T, -1, self.head_dim).transpose(1, 2)
        k = self.k_proj(x).view(B, T, -1, self.head_dim).transpose(1, 2)
        v = self.v_proj(x).view(B, T, -1, self.head_dim).transpose(1, 2)
        if rotation is None:
            rotation = self.rotary_emb.angles(torch.arange(T))
        q, k = rotate(q, rotation), rotate(k, rotation)
        group = q.shape[1] // k.shape[1]
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        scores = scaled(einsum(q, k, "b h q d, b h k d -> b h q k"), self.head_dim)
        mask = causal_mask(T, T) if mask is None else mask
        scores = scores.masked_fill(~mask, -math.inf)
        weights = WEIGHTS
        mixed = weights @ v
        return self.o_proj(MERGED)
"""


MERGED = "mixed.transpose(1, 2).flatten(2)"


def attention_with(scaled="scores / math.sqrt(dim)", weights="scores.softmax(-1)", merged=MERGED):
    source = THE_LINE.replace("SCALED", scaled).replace("WEIGHTS", weights).replace("MERGED", merged)
    return written_in(source, "LlamaAttention")


def test_what_no_mistake_explains_is_shown_by_its_line():
    assert check(attention_with(), "LlamaAttention").passed
    error = fails(attention_with(scaled="scores / (dim ** 0.5 * 1.7)"), "LlamaAttention")
    assert error.bug is None and error.line == (8, "return scores / (dim ** 0.5 * 1.7)")
    assert error.step == "q · k / √dim" and "line 20" in str(error) or "line 8" in str(error)
    assert "0.5882 times what it should be" in str(error)
    error = fails(attention_with(weights="(2 * scores).softmax(-1)"), "LlamaAttention")
    assert error.bug is None and error.line[0] == 23 and "weights" in error.step
    error = fails(attention_with(weights="scores.softmax(-1) * 0.5"), "LlamaAttention")
    assert error.line[0] == 23
    error = fails(attention_with(merged="mixed.transpose(1, 2).flip(2).flatten(2)"), "LlamaAttention")
    assert error.bug is None and error.line[0] == 25 and error.step == "the output of o_proj"


def test_what_goes_wrong_only_late_in_a_long_text_is_shown_by_its_line():
    late = "torch.where(torch.arange(T)[:, None] < 100, scores, scores * 1.5).softmax(-1)"
    error = fails(attention_with(weights=late), "LlamaAttention")
    assert error.bug is None and error.line[0] == 23 and "weights" in error.step


def test_a_step_that_a_loop_makes_piece_by_piece_is_found_and_a_wrong_one_is_not():
    source = """import torch
def rms_norm(x, weight, eps):
    rows = []
    for row in x.flatten(0, -2):
        mean = row.pow(2).mean()
        rows.append(row / (mean + eps))
    return weight * torch.stack(rows).reshape(x.shape)
"""
    error = fails(written_in(source, "rms_norm"))
    assert error.step == "x / √(mean + eps)" and error.line == (6, "rows.append(row / (mean + eps))")


PADDED = """import torch
import torch.nn.functional as F
def next_token_loss(logits, input_ids):
    asked = F.pad(input_ids[:, 1:].long(), (0, 1), value=-100)
    scores = logits.double() if logits.dtype == torch.float64 else logits.float()
    return F.cross_entropy(scores.flatten(0, 1), asked.flatten(), ignore_index=-100)
"""


@pytest.mark.parametrize(
    "there, instead, number",
    [("logits.float()", "logits.float() / 3", 5), ("logits.float()", "logits.float().softmax(-1)", 5)],
)
def test_targets_that_wait_for_a_wrong_loss_are_not_blamed(there, instead, number):
    assert check(written_in(PADDED, "next_token_loss")).passed
    error = fails(written_in(PADDED.replace(there, instead), "next_token_loss"))
    assert error.line[0] == number, error


DRAWN = """import torch
from llama_tutorial.sampling import keep_top_p
def draw(logits, temperature, top_k, top_p, generator):
    if temperature == 0:
        return logits.argmax(-1)
    heated = logits.float() / temperature
    if top_k:
        least = heated.topk(min(top_k, logits.shape[-1])).values[:, -1:]
        heated = heated.where(heated >= least, float("-inf"))
    if top_p:
        heated = keep_top_p(heated, top_p)
    shares = heated.exp() / heated.exp().sum(-1, keepdim=True)
    return torch.multinomial(shares, 1, generator=generator).squeeze(1)
"""


@pytest.mark.parametrize(
    "there, instead, step, number",
    [
        ("/ temperature", "/ temperature**3", "the logits over T", 6),
        ("-1:]", "-1:] + 1", "the k highest of them, the others −inf", 8),
        ("top_p)\n", "top_p / 2)\n", "those that hold p, the others −inf", 11),
        ("heated.exp() /", "heated.exp().sqrt() /", "the shares of what is left", 12),
    ],
)
def test_a_draw_is_told_the_step_that_is_missing_by_its_line(there, instead, step, number):
    assert check(written_in(DRAWN, "draw")).passed
    error = fails(written_in(DRAWN.replace(there, instead), "draw"))
    assert error.bug is None and error.step == step and error.line[0] == number, error


def test_the_line_is_added_to_a_mistake_that_has_a_name():
    error = fails(attention_with(scaled="scores"), "LlamaAttention")
    assert error.bug == "attention.no_scale" and error.step == "q · k / √dim"
    assert "It shows first in line" in repr(error.report)


def test_what_a_right_mask_is_made_of_is_not_where_it_goes_wrong():
    source = """import math
import torch
from einops import einsum
def mended_attend(q, k, v):
    scores = einsum(q, k, "batch head query dim, batch head key dim -> batch head query key") / math.sqrt(q.shape[-1])
    mask = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril()
    weights = (scores * mask).softmax(dim=-1)
    return einsum(weights, v, "batch head query key, batch head key dim -> batch head query dim")
"""
    error = fails(written_in(source, "mended_attend"))
    assert error.bug == "attention.filled_with_zero" and error.line[0] == 7


def test_a_step_that_is_left_out_belongs_to_the_line_before_it_and_not_to_another_functions():
    source = """import math
import torch
from torch import nn
from llama_tutorial.rotary import LlamaRotaryEmbedding
def causal_mask(queries, keys):
    return torch.arange(keys) <= torch.arange(keys - queries, keys)[:, None]
class BareAttention(nn.Module):
    def __init__(self, hidden=576, dim=64):
        super().__init__()
        self.dim, self.rotary = dim, LlamaRotaryEmbedding(dim)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(hidden, hidden, bias=False) for _ in "qkvo")
    def forward(self, x):
        q, k, v = (p(x).unflatten(-1, (-1, self.dim)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        scores = self.rotary(q) @ self.rotary(k).mT
        mask = causal_mask(x.shape[1], x.shape[1])
        weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)
        return self.o_proj((weights @ v).transpose(1, 2).flatten(2))
"""
    error = fails(written_in(source, "BareAttention"))
    assert error.bug == "attention.no_scale" and error.line[0] == 14


def test_the_copy_of_ours_in_a_students_package_is_not_the_students_own_line(tmp_path):
    from llama_tutorial.classroom.judge import guard

    assert guard.lent(str(tmp_path / "my_llama" / "doors" / "explained.py")) and guard.lent(torch.__file__)
    assert not guard.lent(str(tmp_path / "my_llama" / "attention.py"))
    assert not guard.lent(str(tmp_path / "doors" / "mine.py"))


def test_a_step_that_is_left_out_and_heals_what_follows_is_told_so():
    class Unscaled(LlamaRMSNorm):
        def forward(self, x):
            wide = x.to(torch.promote_types(x.dtype, torch.float32))
            normed = wide * torch.rsqrt((wide * wide).mean(-1, keepdim=True) + self.eps)
            return normed.to(x.dtype) * self.weight.sign()

    error = fails(Unscaled, "LlamaRMSNorm")
    assert error.step == "the gain times the normed vector" and "sign" in error.line[1]


def test_a_right_answer_is_never_watched(monkeypatch):
    from llama_tutorial.classroom.judge import steps

    monkeypatch.setattr(steps.Watch, "__enter__", lambda self: pytest.fail("watched"))
    assert check(LlamaRMSNorm).passed


def test_what_cannot_be_watched_is_told_without_a_line():
    @torch.jit.script
    def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        return weight * x / (x.pow(2).mean(-1, keepdim=True).sqrt() + 1.5 * eps)

    error = fails(rms_norm, "rms_norm")
    assert error.bug is None and error.line is None and str(error).startswith("Not so: ")


@pytest.mark.parametrize(
    "part, one, two",
    [
        ("rms_norm", "sum_for_mean", "gain_ignored"),
        ("rms_norm", "no_eps", "one_plus_gain"),
        ("attend_by_hand", "no_scale", "mask_transposed"),
        ("LlamaAttention", "only_q_turned", "softmax_over_queries"),
        ("LlamaRotaryEmbedding", "lost_minus", "counted_from_one"),
    ],
)
def test_two_mistakes_at_once_are_both_named(part, one, two):
    component = parts()[part].component
    bugs = [component.bugs[f"{component.name}.{name}"] for name in (one, two)]
    error = fails(component.version(part, *(bug.spellings[0] for bug in bugs)), part)
    assert set(error.bugs) == {bug.name for bug in bugs} and str(error).startswith("Two mistakes at once.")


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
    assert "Besides: cos and sin do not line up with x: they lack its heads." in str(error)
    assert "Give them an axis of 1 for each axis that x has between batch and seq" in str(error)


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
    assert [line.says for line in lines if not line.held] == [
        "linear scaling slows every hand by the factor",
        "angles(positions) multiplies both by the module's attention factor",
    ]


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
    assert type(error).__name__ in told and re.search(r"in your line \d+: `raise error`", told) and "\n" not in told


def test_an_endless_loop_is_ended_and_told_with_its_line(monkeypatch):
    monkeypatch.setattr(guard, "SECONDS", 0.5)
    loop = ["while True:", "    try:", "        x = x + 0", "    except Exception:", "        pass"]
    source = "\n    ".join(["def rms_norm(x, weight, eps):", *loop])
    error = fails(written_in(source, "rms_norm"))
    assert re.search(r"still running after 0 seconds, in your line [2-4]: `.+`\. Does a loop end\?", str(error))
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0) and check(LlamaRMSNorm).passed


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarm signals")
def test_a_case_on_a_busy_machine_is_waited_for_and_one_that_computes_or_sleeps_on_is_ended(monkeypatch):
    used = [0.0]  # processor time
    monkeypatch.setattr(guard, "time", types.SimpleNamespace(process_time=lambda: used[0]))
    with guard.limits():
        for _ in range(guard.PATIENCE - 1):
            used[0] += guard.SECONDS / 4
            guard._too_long(signal.SIGALRM, inspect.currentframe())
        with pytest.raises(guard.Stopped):
            guard._too_long(signal.SIGALRM, inspect.currentframe())
    with guard.limits():
        used[0] += guard.SECONDS * 0.9
        with pytest.raises(guard.Stopped):
            guard._too_long(signal.SIGALRM, inspect.currentframe())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what a process maps")
def test_an_allocation_of_twenty_gigabytes_is_refused_and_told_with_its_line():
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    source = "import torch\ndef rms_norm(x, weight, eps):\n    return torch.ones(5 * 2**30) + x"
    told = str(fails(written_in(source, "rms_norm")))
    assert "more memory than a check may use (4 GiB) – in your line 3: `return torch.ones(5 * 2**30) + x`" in told
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_an_input_that_is_written_to_is_told_before_all_else():
    def turns_in_place(x, rotation):
        turned = rotate(x.clone(), rotation)
        return x.copy_(turned)

    assert "wrote into a tensor" in str(fails(turns_in_place, "rotate")).split(".")[1]


def test_a_function_that_prints_and_returns_nothing_is_told_so():
    class Prints(LlamaRotaryEmbedding):
        def forward(self, x, positions=None):
            print(super().forward(x, positions))

    assert "It returned None (is a `return` missing?)" in str(fails(Prints, "LlamaRotaryEmbedding"))


def test_arguments_of_other_names_pass_and_are_told_and_are_not_kept(tmp_path, monkeypatch):
    fake = types.ModuleType("llama_tutorial.classroom.my_llama.keeping")
    fake.keep = lambda *args: pytest.fail("it was handed on to be kept")
    monkeypatch.setitem(sys.modules, fake.__name__, fake)

    def rms_norm(v, g, e):
        return parts()["rms_norm"].reference(v, g, e)

    folder = tmp_path / "my_llama"
    folder.mkdir()
    (folder / ".exercises.json").write_text("{}")
    report = check(rms_norm, save=folder)
    assert report.passed and "x is v, weight is g, eps is e in yours" in report.notes[0] and "eps=…" in report.notes[0]


def test_a_number_may_be_a_tensor_of_one_number():
    assert check(torch.tensor(2 * 4 / 12.5**0.5), "size_three_four").passed
    assert "is near" in str(fails(2 * 4 / 12.5**0.5 * 1.02, "size_three_four"))


@pytest.mark.parametrize("home, name", [(F, "softmax"), (checkpoint, "to_neighbours"), (LlamaRMSNorm, "forward")])
def test_a_name_that_an_answer_replaces_is_told_and_put_back(home, name):
    original = getattr(home, name)

    def looks_at_the_mean(norm):
        setattr(home, name, None)
        return not torch.allclose(norm(torch.full((1, 8), 5.0), torch.ones(8), 1e-5), torch.ones(1, 8), atol=1e-3)

    assert name in str(fails(looks_at_the_mean)) and getattr(home, name) is original


def test_a_mended_answer_is_judged_by_its_components_cases_and_its_mistake_named():
    def mended_norm(x, weight, eps):
        wide = x if x.dtype == torch.float64 else x.float()
        return weight * (wide / ((wide * wide).mean(-1, keepdim=True).sqrt() + eps)).to(x.dtype)

    assert fails(mended_norm).bug == "rms_norm.eps_outside_root"


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
    text = repr(fails(wrong_version("attention.filled_with_zero", "attend"), "attend").report)
    assert text.startswith("✗ attend: not yet, 3 of 13 properties hold.\n  Hidden scores are filled with 0")
    assert "Symptom: the loss is better" in text
    assert "cannot be told apart from this: Hidden scores are filled with a tiny" in text
    assert "  ✗ the weights are softmax(q·k / √dim), over the keys" in text


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


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_a_report_can_be_read_on_a_dark_page():
    page = fails(wrong_version("rms_norm.no_eps", "rms_norm"), "rms_norm").report._repr_html_()
    assert re.match('<div style="[^"]*background:#ffffff;color:#1c1e21', page)  # a card of its own
    for color in set(re.findall(r"(?<!background:)(?<=color:)#[0-9a-f]{6}", page)) | {"#1c1e21"}:
        for ground in ("#ffffff", "#fbe9eb", "#eef0f3"):
            assert (luminance(ground) + 0.05) / (luminance(color) + 0.05) >= 4.5, color


def test_the_page_of_a_failure_marks_the_line_in_the_learners_code():
    page = fails(attention_with(scaled="scores / dim"), "LlamaAttention").report._repr_html_()
    assert page.count("▸") == 1 and re.search(r"▸ +8     return scores / dim", page)


def test_a_report_as_a_page():
    passed = Parsed(check(LlamaRMSNorm)._repr_html_())
    assert passed.open == [] and "details" in passed.tags and "img" not in passed.tags


@pytest.mark.thorough
def test_a_report_of_a_mistake_carries_a_picture():
    page = fails(wrong_version("attention.filled_with_zero", "attend"), "attend").report._repr_html_()
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
    fake = types.ModuleType("llama_tutorial.classroom.my_llama.keeping")
    fake.keep = lambda *args: kept.append(args) or "✓ yours now stands in my_llama/rms_norm.py"
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
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
    told = [line.says for line in report.lines if line.held is None]
    assert report.passed and told and all("lesson 11" in says for says in told)


# ------------------------------------------------------------------------------------------------- what is registered


def test_nothing_is_half_registered():
    assert {name: component.gaps() for name, component in discovered().items()} == dict.fromkeys(discovered(), [])
    for name, (lesson, exercise) in by_name().items():
        assert exercise.kind != "implement" or name.partition(".")[0] in parts(), f"{lesson} has {name}, and no part"


def plain(function):
    return lambda *args: guard.call(function, *args)


def half_a_component() -> Component:
    component, cases = Component("rms_norm"), Cases()
    cases("it halves")(lambda norm: norm(torch.ones(1, 2), torch.ones(2), 0.0))
    component.part(rms_norm, plain, cases)
    component.bug("no_gain", "rms_norm", {"weight * (": "("}, step="", symptom="Nothing learns.", says="Multiply.")
    component.exercises = (Exercise("rms_norm", "implement", "Norm.", 1, 1, 1, ("", "", "")),)
    return component


def test_what_is_half_registered_is_told():
    assert half_a_component().gaps() == []
    more = half_a_component()
    more.exercises = (
        *more.exercises,
        Exercise("LlamaRMSNorm.forward", "implement", "Norm.", 1, 1, 1, ("", "", "")),
        Exercise("how_much", "predict", "Type it.", 1, 1, 1, ("", "", "")),
    )
    assert more.gaps() == ["LlamaRMSNorm is an exercise and no part: nothing judges it", "how_much has no answers"]
    fewer = half_a_component()
    fewer.exercises, fewer.bugs = (), {}
    assert fewer.gaps() == ["rms_norm has no mistakes", "rms_norm is a part and no exercise implements it"]


def test_an_edit_that_no_longer_fits_the_lesson_is_refused_by_its_name():
    component, told = half_a_component(), {"step": "", "symptom": "None.", "says": "Mend it."}
    with pytest.raises(ValueError, match=r"rms_norm.gone in rms_norm: 'x \*\* 3' stands there 0 times"):
        component.bug("gone", "rms_norm", {"x ** 3": "x"}, **told)
    with pytest.raises(ValueError, match=r"rms_norm.twice in rms_norm: 'wide \* ' stands there 2 times"):
        component.bug("twice", "rms_norm", {"wide * ": "x * "}, **told)
    with pytest.raises(ValueError, match="rms_norm.no_gain is there already"):
        component.bug("no_gain", "rms_norm", {"weight * (": "1 * ("}, **told)
    with pytest.raises(ValueError, match="stands in LlamaRMSNorm, which no part of rms_norm is made of"):
        component.bug("elsewhere", "LlamaRMSNorm", {"1e-5": "1e-6"}, **told)
    with pytest.raises(ValueError, match="no case is called nothing_like_it"):
        component.like("mended", "rms_norm", without=("nothing_like_it",))
    with pytest.raises(KeyError, match="did you mean 'rms_norm.no_eps'"):
        find_bug("rms_norm.no_epss")


@pytest.mark.thorough
def test_importing_check_draws_nothing():
    code = "import sys; from llama_tutorial import check; print({'matplotlib', 'IPython'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "set()\n", done.stdout + done.stderr


# ------------------------------------------------------------------------------------------------- names and rows

NAMES = """
def linear(name, rows, columns, bias):
    made = {f"{name}.weight": (rows, columns)}
    if bias:
        made[f"{name}.bias"] = (rows,)
    return made

def layer(c):
    q, kv = (heads * c.head_dim for heads in (c.num_attention_heads, c.num_key_value_heads))
    h, wide = c.hidden_size, c.intermediate_size
    return {
        "input_layernorm.weight": (h,),
        **linear("self_attn.q_proj", q, h, c.attention_bias),
        **linear("self_attn.k_proj", kv, h, c.attention_bias),
        **linear("self_attn.v_proj", kv, h, c.attention_bias),
        **linear("self_attn.o_proj", h, q, c.attention_bias),
        "post_attention_layernorm.weight": (h,),
        **linear("mlp.gate_proj", wide, h, c.mlp_bias),
        **linear("mlp.up_proj", wide, h, c.mlp_bias),
        **linear("mlp.down_proj", h, wide, c.mlp_bias),
    }

def tensor_shapes(c):
    table = (c.vocab_size, c.hidden_size)
    shapes = {"model.embed_tokens.weight": table}
    for i in range(c.num_hidden_layers):
        at = f"model.layers.{i}."
        shapes |= {at + name: shape for name, shape in layer(c).items()}
    shapes["model.norm.weight"] = (c.hidden_size,)
    if not c.tie_word_embeddings:
        shapes["lm_head.weight"] = table
    return shapes
"""

ROWS = """
import torch
def to_halves(weight, heads):
    rows = weight.view(heads, -1, 2, weight.shape[1])
    moved = weight.new_empty(heads, 2, len(weight) // heads // 2, weight.shape[1])
    moved[:] = rows.transpose(1, 2)
    moved = moved.reshape(weight.shape)
    return moved
"""


def unnamed(source: str, there: str, instead: str, name: str):
    """The report on a source that is spoilt in one place, as if no mistake were known."""
    assert source.count(there) == 1
    text, file, part = source.replace(there, instead), f"<cell {instead}>", parts()[name]
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    cell = {"__name__": "__main__"}
    exec(compile(text, file, "exec"), cell)
    component = copy.copy(part.component)
    component.bugs = {}
    return judge(cell[name], replace(part, component=component))


@pytest.mark.parametrize(
    "there, instead, step, line",
    [
        ('"self_attn.o_proj", h, q', '"self_attn.o_proj", q, h', "o, which leads back", "self_attn.o_proj"),
        ("c.num_key_value_heads)", "c.num_attention_heads)", "k and v", "q, kv ="),
        ("h, wide, c.mlp_bias", "h, wide, c.attention_bias", "the biases of the MLP, if asked for", "mlp.down_proj"),
        ("if bias:", "if True:", "the biases of attention, if asked for", "if True:"),
        ("if bias:", "if False:", "the biases of attention, if asked for", "if False:"),
        ("= (rows,)", "= (columns,)", "the biases of attention, if asked for", '.bias"] = (columns,)'),
        ("(rows, columns)}", "(columns, rows)}", "q", ".weight"),
        ("range(c.num_hidden_layers)", "range(1)", "the numbering of the layers", "for i in range(1)"),
        ("layers.{i}", "layers.{i + 1}", "the numbering of the layers", "at ="),
        ("layers.{i}", "layer.{i}", "the numbering of the layers", "at ="),
        ('"input_layernorm', '"attention_norm', "the norms of a layer", "attention_norm"),
        ('        "input_layernorm.weight": (h,),\n', "", "the norms of a layer", "return {"),
        ('    shapes["model.norm.weight"] = (c.hidden_size,)\n', "", "the last norm", "shapes |="),
        ("if not c.tie", "if c.tie", "lm_head, if the tables are not tied", "if c.tie"),
        ("return shapes", "shapes.pop('model.norm.weight'); return shapes", "the last norm", "shapes.pop"),
    ],
)
def test_the_line_that_spoils_a_name_is_found(there, instead, step, line):
    report = unnamed(NAMES, there, instead, "tensor_shapes")
    assert report.step == step and line in report.line[1], report.place
    assert str(report.place) in report.diagnosis and "your names and shapes are the lesson's" in report.diagnosis


@pytest.mark.parametrize(
    "there, instead, line, told",
    [
        ("rows.transpose(1, 2)", "rows.flip(1).transpose(1, 2)", "moved[:] =", "the rows as (head pair"),
        ("return moved", "return moved.flip(0)", "return moved.flip(0)", "you have the answer, and change it"),
        ("return moved", "return moved.float()", "return moved.float()", "It is float32 there, where bfloat16"),
    ],
)
def test_rows_that_move_must_come_in_their_order(there, instead, line, told):
    report = unnamed(ROWS, there, instead, "to_halves")
    assert report.line[1].startswith(line) and told in report.diagnosis


def test_who_traced_before_traces_afterwards_and_a_pass_is_not_traced(monkeypatch):
    before, traced = sys.gettrace(), []

    def tracer(frame, event, result):
        return None

    monkeypatch.setattr(tracing.Trace, "called", lambda self, *event: traced.append(event))
    try:
        sys.settrace(tracer)
        assert unnamed(NAMES, "return made", "return  made", "tensor_shapes").passed and not traced
        assert not unnamed(NAMES, "return made", "return {}", "tensor_shapes").passed and traced
        assert sys.gettrace() is tracer
        with pytest.raises(guard.Stopped), tracing.Trace():
            raise guard.Stopped
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)
