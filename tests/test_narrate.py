"""`viz.narrate` tells what ran, changes nothing about it, and leaves nothing behind."""

import ast
import contextlib
import functools
import html.parser
import importlib
import json
import re
import sys
import threading
import weakref
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import einops
import numpy as np
import pytest
import torch
from einops import einsum, pack, rearrange, reduce, repeat, unpack
from einops.layers.torch import EinMix, Rearrange, Reduce
from torch import nn
from torch.utils.checkpoint import checkpoint

import llama_tutorial
from llama_tutorial import LlamaConfig, LlamaForCausalLM, cli
from llama_tutorial.viz import narrate
from llama_tutorial.viz.patterns.story import Story

PACKAGE = Path(llama_tutorial.__file__).parent
PREPARED, PER_LAYER = 5, 4  # einops calls of a model: angles brought beside the heads once; q, k, v split and merged
OPERATIONS = ("rearrange", "reduce", "repeat", "einsum", "pack", "unpack")
SHAPE = dict(vocab_size=31, hidden_size=24, intermediate_size=37, num_attention_heads=6, num_key_value_heads=2)


def llama(layers=2):
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(num_hidden_layers=layers, **SHAPE))


@pytest.fixture
def model():
    return llama()


@pytest.fixture
def ids():
    return torch.randint(0, 31, (3, 7), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def x():
    return torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(2))


def state():
    """What a narration must leave as it was: the mode stack and the stance of compiled functions."""
    from torch._dynamo import eval_frame

    return torch.overrides._get_current_function_mode_stack(), eval_frame._stance


def hooks(model):
    return sum(len(found) for module in model.modules() for name, found in vars(module).items() if "hooks" in name)


@pytest.fixture(autouse=True)
def nothing_stays():
    before = state()
    assert before[0] == []
    yield
    assert state() == before


# ---------------------------------------------------------------------------------------------- every call


def calls_counted(run):
    """(operation, pattern, line, file) of every call that code outside of einops makes, counted by the profiler."""
    codes, found = {getattr(einops, name).__code__: name for name in OPERATIONS}, []

    def on(frame, event, _):
        caller = frame.f_back
        if event == "call" and frame.f_code in codes and "einops" not in Path(caller.f_code.co_filename).parts[-2:-1]:
            known = frame.f_locals
            pattern = known["pattern"] if "pattern" in known else known["tensors_and_pattern"][-1]
            found.append((codes[frame.f_code], pattern, caller.f_lineno, caller.f_code.co_filename))

    sys.setprofile(on)
    try:
        run()
    finally:
        sys.setprofile(None)
    return found


def calls_written():
    """(operation, regular expression of its pattern, first line, last line, file) of every call in the source."""
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in OPERATIONS:
                strings = [part for part in node.args if isinstance(part, ast.Constant | ast.JoinedStr)]
                pattern = next(part for part in strings if "->" in ast.unparse(part))
                parts = [pattern] if isinstance(pattern, ast.Constant) else pattern.values
                text = "".join(re.escape(p.value) if isinstance(p, ast.Constant) else r"[1 ]*" for p in parts)
                yield node.func.id, text, node.lineno, node.end_lineno, str(path)


@pytest.mark.parametrize("masked", [False, True])
def test_the_story_is_every_call_of_the_source(model, ids, masked):
    given = {"attention_mask": torch.ones(3, 7, dtype=torch.long)} if masked else {}
    with narrate(model) as story:
        model(ids, **given)
    counted = calls_counted(lambda: model(ids, **given))
    assert len(counted) == len(story) == PREPARED + PER_LAYER * 2 + 2 * masked
    assert [(step.op, step.pattern, *step.where[1:]) for step in story] == counted
    written = list(calls_written())
    for op, pattern, line, path in counted:
        assert any(op == o and re.fullmatch(text, pattern) and first <= line <= last and path == file
                   for o, text, first, last, file in written), (op, pattern, line, path)
    assert not any(step.notes or step.failed for step in story)


def test_what_a_step_says(model, ids):
    with narrate(model) as story:
        model(ids)
    step = story[5]
    assert (step.op, step.pattern) == ("rearrange", "batch seq (head dim) -> batch head seq dim")
    assert (step.inputs, step.output, step.view, step.number) == ([(3, 7, 24)], (3, 6, 7, 4), True, 6)
    assert step.sizes == {"batch": 3, "seq": 7, "head": 6, "dim": 4} and step.given == {"dim": 4}
    assert step.module == "model.layers.0.self_attn"
    assert (step.where[0], Path(step.where[2]).name) == ("forward", "attention.py")
    assert story[4].view is False and story[3].op == "repeat" and story[12].module == "model.layers.1.self_attn"
    with narrate(model.model.norm, torch_ops=True) as story:
        model.model.norm(torch.ones(3, 24))
        reduce(torch.ones(3, 24), "batch dim -> batch", "mean")
    assert [(step.op, step.module) for step in story] == [("rms_norm", "LlamaRMSNorm"), ("reduce", "")]
    assert story[1].how == "mean"


def by_name(x):
    x = rearrange(x, "b s (h d) -> b h s d", h=4)
    x = repeat(x, "b h s d -> b h (s 2) d")
    x = reduce(x, "b h s d -> b s d", "max")
    return einsum(x, x, "b s d, b t d -> b s t")


def by_module(x):
    x = einops.rearrange(x, "b s (h d) -> b h s d", h=4)
    x = einops.repeat(x, "b h s d -> b h (s 2) d")
    x = einops.reduce(x, "b h s d -> b s d", "max")
    return einops.einsum(x, x, "b s d, b t d -> b s t")


def by_another_name(x, move=rearrange, calls={"again": repeat}):  # noqa: B006
    x = functools.partial(move, pattern="b s (h d) -> b h s d")(x, h=4)
    x = calls["again"](x, "b h s d -> b h (s 2) d")
    x = getattr(einops, "red" + "uce")(tensor=x, pattern="b h s d -> b s d", reduction="max")
    return (lambda *given: einsum(*given))(x, x, "b s d, b t d -> b s t")


PATTERNS = ["b s (h d) -> b h s d", "b h s d -> b h (s 2) d", "b h s d -> b s d", "b s d, b t d -> b s t"]
SHAPES = [(2, 4, 3, 2), (2, 4, 6, 2), (2, 6, 2), (2, 6, 6)]


@pytest.mark.parametrize("function", [by_name, by_module, by_another_name])
def test_however_it_was_imported(x, function):
    with narrate() as story:
        function(x)
    assert [step.pattern for step in story] == PATTERNS and [step.output for step in story] == SHAPES
    assert [step.op for step in story] == ["rearrange", "repeat", "reduce", "einsum"]
    assert [step.view for step in story] == [True, False, False, False]
    assert {step.module for step in story} == {""}


def test_layers_pack_and_unpack(x):
    mix = EinMix("b s (h d) -> b s (h e)", weight_shape="h d e", h=2, d=4, e=5)
    model = nn.Sequential(Rearrange("b s d -> b d s"), Rearrange("b d s -> b s d"), mix, Reduce("b s e -> b e", "max"))
    with narrate(model) as story:
        model(x)
        line = sys._getframe().f_lineno - 1
        packed, shapes = pack([x, x[:, 0]], "b * d")
        unpack(packed, shapes, "b * d")
        unpack(packed, [[1], [-1]], "b * d")
        rearrange([x, x], "two b s d -> b (two s) d")
    assert [(step.op, step.module, step.output, step.view) for step in story] == [
        ("Rearrange", "0", (2, 8, 3), True), ("Rearrange", "1", (2, 3, 8), True), ("EinMix", "2", (2, 3, 10), False),
        ("Reduce", "3", (2, 10), False), ("pack", "", (2, 4, 8), False),
        ("unpack", "", [(2, 3, 8), (2, 8)], True), ("unpack", "", [(2, 1, 8), (2, 3, 8)], True),
        ("rearrange", "", (2, 6, 8), False),
    ]
    assert story[2].pattern == mix.pattern and story[2].sizes == {"b": 2, "s": 3, "h": 2, "d": 4, "e": 5}
    assert story[3].how == "max"
    assert story[7].inputs == [(2, 3, 8), (2, 3, 8)] and story[7].sizes == {"two": 2, "b": 2, "s": 3, "d": 8}
    assert {step.where[1] for step in story[:4]} == {line}
    assert {step.where[2] for step in story} == {__file__}


def own_reduction(x):
    return reduce(x, "b s (h d) -> b d", lambda y, axes: rearrange(y, "... -> ...").amax(axes), d=2)


def recomputed(x):
    y = checkpoint(lambda y: rearrange(y.sin(), "b s d -> b d s").sin(), x.requires_grad_(), use_reentrant=False)
    y.sum().backward()


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("run, told", [
    (lambda x: rearrange(x, "b s d -> b s d"), [("rearrange", (2, 3, 8), True)]),
    (lambda x: reduce(x, "b s (d 2) -> b s d", "sum"), [("reduce", (2, 3, 4), False)]),
    (lambda x: rearrange([x], "one b s d -> b (one s) d"), [("rearrange", (2, 3, 8), False)]),
    (lambda x: repeat(x, "b s d -> b s d r", r=5), [("repeat", (2, 3, 8, 5), True)]),
    (lambda x: rearrange(x.to("meta"), "b s d -> b d s"), [("rearrange", (2, 8, 3), True)]),
    (lambda x: rearrange(x.to("meta"), "b s d -> (d b) s"), [("rearrange", (16, 3), False)]),
    (lambda x: torch.vmap(lambda y: rearrange(y, "s d -> d s"))(x), [("rearrange", (8, 3), None)]),
    (lambda x: torch.vmap(Rearrange("s d -> d s"))(x), [("Rearrange", (8, 3), None)]),
    (lambda x: torch.func.jvp(lambda y: rearrange(y, "b s d -> b (s d)"), (x,), (x,)), [("rearrange", (2, 24), None)]),
    (own_reduction, [("reduce", (2, 2), False), ("rearrange", (2, 2, 3, 4), True)]),
    (recomputed, [("rearrange", (2, 8, 3), True)]),
    (lambda x: unpack(x[:, :0], [], "b * d"), [("unpack", [], None)]),
    (lambda x: rearrange(np.zeros((2, 3)), "a b -> b a"), []),
])
def test_odd_calls(x, run, told):
    with narrate() as story:
        run(x)
    assert [(step.op, step.output, step.view) for step in story] == told


@pytest.mark.parametrize("call, sizes", [
    (lambda x: reduce(x, "b s (d 2) -> b s d", "sum"), {"b": 2, "s": 3, "d": 4}),
    (lambda x: rearrange(x, "b ... d -> d ... b"), {"b": 2, "d": 8}),
    (lambda x: unpack(x, [[1], [2]], "b * d"), {"b": 2, "d": 8}),
    (lambda x: repeat(x, "b s(h d)->b s h d  new", h=4, new=5), {"b": 2, "s": 3, "h": 4, "d": 2, "new": 5}),
    (lambda x: rearrange(x, "b s (h d) -> b h s d", h=3), {"b": 2, "s": 3, "h": 3}),
    (lambda x: rearrange(x, "b s -> s b"), {}),
    (lambda x: rearrange(x[0, 0], "a ... b -> b ... a"), {}),
])
def test_sizes_are_those_that_pattern_and_shapes_tell(x, call, sizes):
    with narrate() as story, contextlib.suppress(einops.EinopsError):
        call(x)
    assert story[0].sizes == sizes


def test_under_other_modes(x):
    class Other(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    with Other(), narrate() as story, Other(), torch.inference_mode():
        rearrange(x, "b s d -> b d s")
        with torch.autocast("cpu", torch.bfloat16):
            assert einsum(x, x, "b s d, b t d -> b s t").dtype == torch.bfloat16
        with torch.device("meta"):
            assert rearrange(torch.zeros(2, 3), "b s -> s b").is_meta
    assert [step.output for step in story] == [(2, 8, 3), (2, 3, 3), (3, 2)]
    assert {step.where[0] for step in story} == {"test_under_other_modes"}


def test_torch_operations_between(model, ids):
    with narrate(model, torch_ops=True) as story:
        model(ids)
    ops = Counter(step.op for step in story)
    assert ops == {"embedding": 1, "linear": 2 * 7 + 1, "scaled_dot_product_attention": 2, "silu": 2, "rms_norm": 5,
                   "rearrange": 12, "repeat": 1}
    step = next(step for step in story if step.op == "scaled_dot_product_attention")
    assert (step.inputs, step.output) == ([(3, 6, 7, 4), (3, 2, 7, 4), (3, 2, 7, 4)], (3, 6, 7, 4))
    assert (step.pattern, step.sizes, step.view, step.where[0]) == ("", {}, None, "attend")
    with narrate(torch_ops=True) as story:
        a = torch.ones(2, 2)
        a @ a, a.softmax(-1), torch.einsum("ab,cb->ac", a, a), nn.functional.softmax(input=a, dim=0)
        nn.functional.layer_norm(a, (2,)), nn.RMSNorm(2)(a), nn.functional.cross_entropy(a, torch.tensor([0, 1]))
    told = "matmul softmax torch.einsum softmax layer_norm rms_norm cross_entropy"
    assert [step.op for step in story] == told.split() and story[3].inputs == [(2, 2)]


# ---------------------------------------------------------------------------------------------- nothing changes


def test_outputs_and_gradients_are_the_same(model, ids):
    found = []
    for narrated in (False, True):
        model.zero_grad()
        with ExitStack() as stack:
            if narrated:
                stack.enter_context(narrate(model, torch_ops=True))
            logits = model(ids)
            logits.square().mean().backward()
        found.append([logits, *(weight.grad for weight in model.parameters())])
    assert all(torch.equal(off, on) for off, on in zip(*found))


def test_nothing_is_patched(model, ids):
    def parts():
        names = [vars(einops), vars(einops.layers.torch), vars(nn.Module), vars(torch.Tensor)]
        names += [vars(importlib.import_module(name)) for name in ("llama_tutorial.attention", "einops.einops")]
        return [dict(name) for name in names] + [getattr(einops, name).__code__ for name in OPERATIONS]

    before = parts()
    with narrate(model):
        model(ids)
        assert parts() == before
    assert parts() == before and hooks(model) == 0


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, StopIteration])
def test_an_error_passes_and_leaves_nothing(model, ids, error):
    def fail(module, args, output):
        raise error("mine")

    handle = model.model.layers[1].mlp.register_forward_hook(fail)
    with pytest.raises((error, RuntimeError), match="mine|StopIteration"):
        with narrate(model) as story:
            model(ids)
    handle.remove()
    assert len(story) == PREPARED + 2 * PER_LAYER and hooks(model) == 0 and state()[0] == []


def test_names_are_right_after_an_interrupt_that_was_caught(model, ids):
    def interrupt(module, args):
        raise KeyboardInterrupt

    with narrate(model) as story:
        handle = model.model.layers[0].mlp.register_forward_pre_hook(interrupt)
        try:
            model(ids)
        except KeyboardInterrupt:
            handle.remove()
        model(ids)
        rearrange(torch.ones(2, 3), "a b -> b a")
    assert [step.module for step in story[PREPARED + PER_LAYER : -1]] == [step.module for step in narrated(model, ids)]


def narrated(model, *given):
    with narrate(model) as story:
        model(*given)
    return story


def test_what_is_not_a_module_is_refused(x):
    with pytest.raises(TypeError, match="takes the model whose modules it names, or nothing, got Tensor"):
        with narrate(x):
            pass


def test_a_shape_error_passes_and_its_row_is_marked(x):
    call = functools.partial(rearrange, x, "b s (h d) -> b h s d", h=3)
    with pytest.raises(einops.EinopsError) as plain:
        call()
    with pytest.raises(einops.EinopsError) as told, narrate() as story:
        rearrange(x, "b s d -> b d s")
        call()
    assert str(told.value) == str(plain.value)
    assert [step.failed for step in story] == [False, True]
    assert re.split("  +", str(story).splitlines()[-1])[-3:-1] == ["(2, 3, 8) → …", "failed here"]
    assert story[1].pattern in str(story)


@pytest.mark.parametrize("call", [
    lambda x: rearrange(x, "b s d -> b s d", d=9),
    lambda x: rearrange(x, "b s -> s b"),
    lambda x: Rearrange("b s (h d) -> b h s d", h=3)(x),
    lambda x: reduce(x.long(), "b s d -> b", "mean"),
    lambda x: reduce(x[:0], "b s d -> s", "max"),
    lambda x: einsum(x, x, "b s d, b d t -> b s t"),
    lambda x: pack([x, x[0]], "b * d"),
    lambda x: unpack(x, [[2], [4]], "b * d"),
])
def test_a_call_that_failed_and_was_caught_is_marked_too(x, call):
    with narrate() as story:
        with pytest.raises(Exception):  # noqa: B017
            call(x)
        rearrange(x, "b s d -> b d s")
    assert [step.failed for step in story] == [True, False]
    assert story[0].view is None and "failed here" in str(story) and "failed here" in story._repr_html_()


def test_a_torch_operation_that_failed_is_marked(x):
    with pytest.raises(RuntimeError), narrate(torch_ops=True) as story:
        x @ x
    assert [(step.op, step.failed) for step in story] == [("matmul", True)]


def test_no_tensor_is_kept_alive(x):
    alive = []

    def layer(x):
        x = rearrange(x + 1, "b s d -> b (s d)")
        alive.append(weakref.ref(x))
        return rearrange(x, "b (s d) -> b s d", d=8).exp()

    with narrate():
        for _ in range(9):
            x = layer(x)
        rearrange(x, "b s d -> b d s")
        assert sum(each() is not None for each in alive) == 0


# ---------------------------------------------------------------------------------------------- threads and overlaps


def in_thread(run):
    errors = []

    def guarded():
        try:
            run()
            assert state()[0] == []
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    return lambda: (thread.join(60), errors)[1]


def test_threads_that_do_not_narrate_are_not_recorded(model, ids, x):
    with narrate(model) as story:
        def midway(module, args):
            assert in_thread(lambda: (model.model.norm(torch.ones(2, 24)), rearrange(x, "b s d -> b d s")))() == []

        handle = model.model.layers[0].mlp.register_forward_pre_hook(midway)
        model(ids)
        handle.remove()
    assert [step.row() for step in story] == [
        step.row() for step in narrated(model, ids)]


def test_overlapping_narrations_of_two_threads(x):
    before, steps = state(), [threading.Event() for _ in range(3)]
    stories = {}

    def first():
        with narrate() as stories["first"]:
            steps[0].set()
            assert steps[1].wait(30)
            rearrange(x, "b s d -> b d s")
        steps[2].set()

    def second():
        assert steps[0].wait(30)
        with narrate() as stories["second"]:
            steps[1].set()
            assert steps[2].wait(30)
            assert state()[1].stance == "force_eager"
            rearrange(x, "b s d -> d b s")

    ends = [in_thread(first), in_thread(second)]
    assert [end() for end in ends] == [[], []]
    assert [[step.pattern for step in stories[name]] for name in ("first", "second")] == [
        ["b s d -> b d s"], ["b s d -> d b s"]]
    assert state() == before


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_overlapping_narrations_of_one_thread_end_in_any_order(model, ids, x, first_to_end):
    narrations = [narrate(model), narrate(model)]
    stories = [narration.__enter__() for narration in narrations]
    model(ids)
    narrations[first_to_end].__exit__(None, None, None)
    rearrange(x, "b s d -> b d s")
    narrations[1 - first_to_end].__exit__(None, None, None)
    rearrange(x, "b s d -> b d s")
    assert [len(story) for story in stories] == ([13, 14] if first_to_end == 0 else [14, 13])
    assert [step.module for step in stories[0][:13]] == [step.module for step in narrated(model, ids)]
    assert hooks(model) == 0


# ---------------------------------------------------------------------------------------------- compiled functions


def test_a_compiled_model_tells_the_same_and_compiles_once(ids):
    model, compiled = llama(1), []

    def backend(graph, _):
        compiled.append(graph)
        return graph.forward

    fast = torch.compile(model, backend=backend)
    wanted, count = fast(ids), len(compiled)
    plain = narrated(model, ids)
    for given in (fast, model):
        with narrate(given) as story:
            assert torch.equal(fast(ids), wanted)
        assert [step.row() for step in story] == [step.row() for step in plain]
    with narrate() as story:
        torch.compile(lambda x: rearrange(x, "a b -> b a"), backend=backend)(ids)
    assert len(story) == 1 and len(compiled) == count
    fast(ids)
    assert len(compiled) == count > 0

    @functools.partial(torch.compile, backend=backend)
    def inside(x):
        with narrate():
            return rearrange(x, "a b -> b a")

    with pytest.raises(RuntimeError, match="narrate cannot listen inside a compiled function: put the with block"):
        inside(ids)


# ---------------------------------------------------------------------------------------------- notes


def two_sizes(x):
    first = rearrange(x, "b h d -> b d h")
    return first, [rearrange(x, "b s h -> b h s") for _ in range(2)]


def halves(x):
    yield rearrange(x, "b h d -> b d h")
    yield rearrange(x, "b s h -> b h s")


def test_a_letter_of_two_sizes_is_noted_once_per_line(x):
    with narrate() as story:
        two_sizes(x), two_sizes(x)
    line = two_sizes.__code__.co_firstlineno + 1
    note = [f"`h` was 3 at line {line} and is now 8"]
    assert [step.notes for step in story] == [[], note, [], [], [], []]
    assert {step.where[0] for step in story} == {"two_sizes"}
    assert f"\n   ↳ {note[0]}\n" in str(story) and "`h` was 3" in story._repr_html_()


def test_a_generator_is_one_call_and_two_calls_are_two(x):
    with narrate() as story:
        for part in halves(x):
            rearrange(part, "one two three -> three one two")
    assert [len(step.notes) for step in story] == [0, 0, 1, 0]
    assert story[2].notes[0].startswith("`h` was 3")

    def turned(x):
        return rearrange(x, "... h -> h ...")

    with narrate() as story:
        turned(torch.ones(2, 3)), turned(torch.ones(5, 7))
    assert [step.notes for step in story] == [[], []]


# ---------------------------------------------------------------------------------------------- how it reads


KERNEL = ["scores", "scale", "mask", "softmax", "weighted sum"]


def test_the_table_is_aligned(model, ids):
    lines = str(narrated(model, ids)).splitlines()
    assert lines[0].split() == ["module", "operation", "pattern", "shapes", "where"]
    assert len(lines) == 1 + 13 + 2 * (1 + len(KERNEL))
    starts = [lines[0].index(head) for head in lines[0].split()]
    inner = [line for line in lines[1:] if line[: starts[0]].isspace()]
    assert len(inner) == 2 * (1 + len(KERNEL)) and all(line[starts[1]] in "↳·" for line in inner)
    for line in [line for line in lines[1:] if line not in inner]:
        assert all(line[start - 1] == " " and (start == starts[0] or line[start] != " ") for start in starts)
        assert line == line.rstrip()
    assert "6   model.layers.0.self_attn  " in lines[6] and "  forward:" in lines[6]
    assert lines[7][starts[0]] == " "                      # the same module again


def test_a_story_is_a_sequence(model, ids):
    story = narrated(model, ids)
    assert [step.number for step in story[2:5]] == [3, 4, 5] and isinstance(story[2:5], Story)
    assert story[-1] is list(story)[12] and story[0] in story
    assert str(Story()) == "no einops call on a tensor was heard in this thread"
    assert str(Story()) in Story()._repr_html_()


def test_layers_that_repeat_are_told_once(ids):
    story = narrated(llama(5), ids)
    folded = story.folded()
    once = PREPARED + PER_LAYER
    assert [step.number for step in folded] == [*range(1, once + 1)] and len(story) == PREPARED + 5 * PER_LAYER
    assert folded[-1].notes == ["layers 1 … 4 the same"] and story[once - 1].notes == []
    assert narrated(llama(2), ids).folded()[-1].notes == ["model.layers.1 the same"]
    odd = llama(5)
    odd.model.layers[2].input_layernorm = Rearrange("batch seq dim -> batch seq dim")
    folded = narrated(odd, ids).folded()
    assert [step.notes for step in folded if step.notes] == [["model.layers.1 the same"], ["model.layers.4 the same"]]
    assert len(folded) == PREPARED + PER_LAYER + (1 + PER_LAYER) + PER_LAYER


class Reader(html.parser.HTMLParser):
    """Checks that every element is closed in its turn, and keeps the names and the images' descriptions."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.alts = [], Counter(), []

    def handle_starttag(self, tag, attributes):
        self.seen[tag] += 1
        if tag == "img":
            self.alts.append(dict(attributes).get("alt"))
        elif tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(story):
    reader, text = Reader(), story._repr_html_()
    reader.feed(text)
    reader.close()
    assert reader.open == [] and not {"script", "style", "svg"} & set(reader.seen)
    assert len(text) < 1_500_000
    return reader


def test_in_jupyter_each_pattern_that_moves_unfolds_once(model, ids):
    story = narrated(model, ids)
    reader, moving = read(story), {step.pattern for step in story if "1" not in step.pattern}
    kernels = sum(len(step.then) for step in story)
    assert reader.seen["img"] == len(moving) == 5 and all(reader.alts) and kernels == 2
    assert reader.seen["details"] == len(moving) + kernels
    assert reader.seen["tr"] == 1 + len(story) + reader.seen["details"] + kernels * len(KERNEL)
    assert story._repr_html_().count("an axis of size 1 is added: nothing moves") == 2      # of three: one is the same


STILL = {
    "one is added": (lambda x: rearrange(x, "b s d -> b 1 s d"), "an axis of size 1 is added: nothing moves"),
    "two are added": (lambda x: rearrange(x, "b s d -> b 1 1 s d"), "2 axes of size 1 are added: nothing moves"),
    "one head": (lambda x: rearrange(x, "b s (h d) -> b h s d", h=1),
                 "one axis becomes h (size 1) and d: nothing moves"),
    "one text": (lambda x: rearrange(x[:1], "b s d -> (b s) d"), "b (size 1) and s become one axis: nothing moves"),
    "one is dropped": (lambda x: rearrange(x[:1], "1 s d -> s d"), "an axis of size 1 is dropped: nothing moves"),
    "a mean of one": (lambda x: reduce(x[:1], "b s d -> s d", "mean"), "an axis of size 1 is dropped: nothing moves"),
    "one moves": (lambda x: rearrange(x[:1], "b s d -> s b d"), "an axis of size 1 changes its place: nothing moves"),
    "repeated once": (lambda x: repeat(x, "b s d -> b n s d", n=1), "an axis of size 1 is added: nothing moves"),
    "names": (lambda x: rearrange(x, "... -> ..."), "no axis changes its place: nothing moves"),
    "merged": (lambda x: rearrange(x, "b s d -> (b s) d"), "b and s become one axis: the numbers keep their order"),
    "split": (lambda x: rearrange(x, "b s (h d) -> b s h d", h=2),
              "one axis becomes h and d: the numbers keep their order"),
    "one word": (lambda x: rearrange(x[:, :1], "b s (h d) -> b h s d", h=2),
                 "one axis becomes h and d: the numbers keep their order"),
}


@pytest.mark.parametrize("name", STILL)
def test_where_nothing_moves_a_line_says_so_and_the_numbers_agree(x, name):
    call, told = STILL[name]
    with narrate() as story:
        out = call(x)
    given = x[:1] if story[0].inputs[0][0] == 1 else x[:, :1] if story[0].inputs == [(2, 1, 8)] else x
    assert torch.equal(out.reshape(-1), given.reshape(-1)) and told in story._repr_html_()
    assert read(story).seen["img"] == 0


@pytest.mark.parametrize("call", [
    lambda x: rearrange(x, "b s (h d) -> b h s d", h=2), lambda x: rearrange(x, "b s d -> b d s"),
    lambda x: rearrange([x, x], "two b s d -> b s (two d)"), lambda x: repeat(x, "b s d -> b s d r", r=3),
    lambda x: reduce(x, "b s d -> b s", "max"), lambda x: einsum(x, x, "b s d, b t d -> b s t"),
])
def test_what_moves_is_drawn_in_few_cells(x, call):
    from llama_tutorial.viz.patterns.plan import plan_small
    from llama_tutorial.viz.patterns.story import _shaped, stillness_of

    with narrate() as story:
        call(x)
    step = story[0]
    assert stillness_of(step) == "" and read(story).seen["img"] == 1
    p = plan_small(*_shaped(step), step.how or step.op, step.given)
    assert max(len(board.cells) for board in p.boards) <= 48
    assert p.sizes["b"] == 1 or len(step.inputs) == 2 or step.op == "reduce"      # what stands outside is left out


def test_an_ellipsis_is_drawn_in_the_words_of_the_axes(x):
    with narrate() as story:
        rearrange(x, "... (two pair) -> two ... pair", two=2)
        rearrange(x[0], "... (two pair) -> two ... pair", two=2)
        rearrange(x[None], "... (two pair) -> two ... pair", two=2)
        rearrange(x[None, None], "... seq dim -> ... dim seq")
        rearrange(x[0, 0], "... (two pair) -> two ... pair", two=2)
    from llama_tutorial.viz.patterns.story import spelt_out
    assert [spelt_out(step.pattern, step.inputs) for step in story] == [
        "batch seq (two pair) -> two batch seq pair", "seq (two pair) -> two seq pair",
        "batch head seq (two pair) -> two batch head seq pair", "a batch head seq dim -> a batch head dim seq",
        "(two pair) -> two pair"]


def test_the_tensors_of_an_einsum_are_drawn_under_their_names():
    q, k = torch.ones(2, 3), torch.ones(4, 3)
    tensors_and_pattern = [k]
    with narrate() as story:
        einsum(
            q, k, "query dim, key dim -> query key"
        )
        einsum(q + 1, k, "query dim, key dim -> query key")
        einsum(*(q, k), "query dim, key dim -> query key")
        einsum(q, q, "query dim, key dim -> query key")
        einsum(torch.ones(2, 3), tensors_and_pattern[0], "query dim, key dim -> query key")
    assert [step.names for step in story] == [
        ("q", "k"), ("q + 1", "k"), (), ("q", "q"), ("torch.ones(2, 3)", "tensors_and_pattern[0]")]
    assert [re.search(r'einsum\((.*?), &quot;', story[k : k + 1]._repr_html_())[1] for k in range(5)] == [
        "q, k", "q + 1, k", "x, y", "q, q", "x, y"]


def test_no_shape_is_broken(model, ids):
    page = re.sub('alt="[^"]+"', "", narrated(model, ids)._repr_html_())
    shapes = re.findall(r"\(\d+,[\d, ]*\)", page)
    assert len(shapes) == len(re.findall(r'nowrap">(?:→ )?(?:\d+ × )?\(\d+,[\d, ]*\),?</span>', page)) > 20 + 2 * 12


def test_layers_that_repeat_stand_out(ids):
    page = narrated(llama(5), ids).folded()._repr_html_()
    style, = re.findall(r'<td colspan="6" style="([^"]+)">layers 1 … 4 the same</td>', page)
    assert "font-weight:bold" in style and "background" in style


# ---------------------------------------------------------------------------------------------- within a kernel


def test_the_kernel_is_told_step_by_step(model, ids):
    kernel, = narrated(model, ids)[7].then
    assert (kernel.op, kernel.number, kernel.module) == ("scaled_dot_product_attention", 0, "model.layers.0.self_attn")
    assert [part.op for part in kernel.parts] == KERNEL
    assert [(part.inputs, part.output) for part in kernel.parts] == [
        ([(3, 2, 3, 7, 4), (3, 2, 7, 4)], (3, 2, 3, 7, 7)), *[([(3, 2, 3, 7, 7)], (3, 2, 3, 7, 7))] * 3,
        ([(3, 2, 3, 7, 7), (3, 2, 7, 4)], (3, 2, 3, 7, 4))]
    assert [part.pattern for part in kernel.parts] == [
        "batch kv group query dim, batch kv key dim -> batch kv group query key", "× 0.5 = 1/√4",
        "−∞ where key > query", "over key", "batch kv group query key, batch kv key dim -> batch kv group query dim"]


@pytest.mark.parametrize("more", [
    {}, {"is_causal": True}, {"attn_mask": torch.ones(5, 7).tril().bool()}, {"attn_mask": torch.randn(5, 7)},
    {"scale": 0.3}, {"enable_gqa": True}])
@pytest.mark.parametrize("axes", [(), (4,), (2, 4), (2, 2, 4)])
def test_the_steps_of_the_kernel_give_what_the_kernel_gives(axes, more):
    more, groups = dict(more), 2 if "enable_gqa" in more else 1
    if groups > 1 and not axes:
        return
    q, k = torch.randn(*axes, 5, 3), torch.randn(*axes[:-1], *(n // groups for n in axes[-1:]), 7, 3)
    v = torch.randn(*k.shape[:-1], 6)
    with narrate() as story:
        wanted = nn.functional.scaled_dot_product_attention(q, k, value=v, **more)
    (step,), mask = story, more.get("attn_mask")
    assert step.output == tuple(wanted.shape) and len(step.parts) == len(KERNEL)
    scores, _, hidden, _, mixed = step.parts
    s = einsum(q.reshape(scores.inputs[0]), k, scores.pattern) * more.get("scale", 3**-0.5)
    if hidden.pattern == "−∞ where key > query":
        s = s.masked_fill(torch.ones(5, 7).triu(1).bool(), -torch.inf)
    elif hidden.pattern == "−∞ where False":
        s = s.masked_fill(~mask, -torch.inf)
    elif hidden.pattern == "+ mask":
        s = s + mask
    assert tuple(s.shape) == scores.output == mixed.inputs[0]
    out = einsum(s.softmax(-1), v, mixed.pattern)
    assert tuple(out.shape) == mixed.output
    torch.testing.assert_close(out.reshape(wanted.shape), wanted)


@pytest.mark.parametrize("given", [(), (1, 2, 3), (torch.ones(2, 3), torch.ones(3), torch.ones(2, 3)),
                                   (torch.ones(2, 3), torch.ones(2, 4), torch.ones(2, 3), None, 0.0, False, 1, 2, 3)])
def test_a_call_that_the_kernel_refuses_raises_what_it_raises(given):
    with pytest.raises(Exception) as plain:  # noqa: B017
        nn.functional.scaled_dot_product_attention(*given)
    with pytest.raises(type(plain.value)) as told, narrate():
        nn.functional.scaled_dot_product_attention(*given)
    assert str(told.value) == str(plain.value)


def test_products_are_told_with_their_axes(model, ids):
    with narrate(model, torch_ops=True) as story:
        model(ids)
    told = {step.module.rpartition(".")[2]: step.pattern for step in story if step.op == "linear"}
    assert told == {
        "q_proj": "batch seq hidden, (head dim) hidden -> batch seq (head dim)",
        "k_proj": "batch seq hidden, (kv dim) hidden -> batch seq (kv dim)",
        "v_proj": "batch seq hidden, (kv dim) hidden -> batch seq (kv dim)",
        "o_proj": "batch seq (head dim), hidden (head dim) -> batch seq hidden",
        "gate_proj": "batch seq hidden, inner hidden -> batch seq inner",
        "up_proj": "batch seq hidden, inner hidden -> batch seq inner",
        "down_proj": "batch seq inner, hidden inner -> batch seq hidden",
        "lm_head": "batch seq hidden, vocab hidden -> batch seq vocab"}
    gated, = (step for step in story if step.module.endswith("0.mlp.up_proj"))
    assert [(step.op, step.how, step.number, step.output) for step in gated.then] == [
        ("mul", "gate · up", 0, (3, 7, 37))]
    assert "↳ mul gate · up" in str(story) and "↳ mul gate · up" in story._repr_html_()
    x, w = torch.randn(2, 3, 4), torch.randn(2, 4, 5)
    with narrate(torch_ops=True) as story:
        made = x @ w, torch.bmm(x, w), x[0] @ w[0], torch.einsum("bsd,bde->bse", [x, w]), torch.ones(2, 4) @ w[0]
        nn.functional.linear(x[0], w[0].mT.contiguous())
        x @ w[0, :, 0], x * 2, x * x[:1]
    assert [step.pattern for step in story] == [
        "batch rows dim, batch dim cols -> batch rows cols", "batch rows dim, batch dim cols -> batch rows cols",
        "rows dim, dim cols -> rows cols", "bsd,bde->bse", "rows dim, dim cols -> rows cols",
        "seq dim, out dim -> seq out", ""]
    torch.testing.assert_close(einsum(x, w, story[0].pattern), made[0])
    assert not any(step.then for step in story)


def test_what_cannot_be_drawn_stays_bare(x):
    with narrate(torch_ops=True) as story:
        x.softmax(-1)
        reduce(x, "b s (d 2) -> b s d", "sum")
        pack([x, x], "b * d")
        (lambda: einsum(torch.ones(3, 3), "i i ->"))()
    assert read(story).seen["img"] == 0
    assert "b s (d 2) -&gt; b s d" in story._repr_html_() and "&lt;lambda&gt;:" in story._repr_html_()


def test_a_long_story_stays_small(monkeypatch):
    from llama_tutorial.viz.patterns import story as module

    monkeypatch.setattr(module, "drawing", lambda step: f'<img alt="a" src="{"x" * 200_000}">')
    x = torch.ones(2, 3)
    with narrate() as story:
        for k in range(20):
            rearrange(x, f"a{k} b -> b a{k}")
    assert 5 <= read(story).seen["img"] <= 7
    assert "more steps; print the story to see them" in story._repr_html_()


# ---------------------------------------------------------------------------------------------- the command


def test_the_command_tells_the_shipped_shape(capsys):
    assert cli.run_command(["narrate", "--tokens", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "parameters 134,515,008 · layers 30 · tokens 5 · steps 125" and lines[1] == ""
    assert len(lines) == 3 + PREPARED + PER_LAYER + 1 + len(KERNEL) + 1
    assert lines[-1] == "   ↳ layers 1 … 29 the same"
    assert [line.split()[1] for line in lines if line.strip().startswith("·")] == [each.split()[0] for each in KERNEL]
    assert "(1, 5, 576) → (1, 9, 5, 64)" in lines[3 + PREPARED]


def test_the_command_tells_a_given_shape(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps({**SHAPE, "num_hidden_layers": 3, "model_type": "llama"}))
    assert cli.run_command(["narrate", "--config", str(tmp_path / "config.json"), "--torch-ops"]) == 0
    out = capsys.readouterr().out
    assert "layers 3 · tokens 16 · steps 53" in out and "layers 1 … 2 the same" in out
    assert "scaled_dot_product_attention" in out and "(1, 6, 16, 4), (1, 2, 16, 4), (1, 2, 16, 4)" in out


@pytest.mark.parametrize("text, told", [
    ("{", "must be a config.json: Expecting"), ("[1]", "must be a LlamaConfig or a dict"),
    ('{"hiden_size": 8}', "did you mean 'hidden_size'?"), ('{"model_type": "gpt2"}', "builds Llama only"),
    (None, "No such file or directory"),
])
def test_a_wrong_config_is_one_line(tmp_path, capsys, text, told):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    assert cli.run_command(["narrate", "--config", str(tmp_path / "config.json")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and told in err
