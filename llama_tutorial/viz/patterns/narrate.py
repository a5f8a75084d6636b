"""A forward pass told in named axes: every einops call as it happens, without touching einops or the model.

    with narrate(model) as story:
        model(ids)
    story                                # module, operation, pattern, shapes, view or copy, place in the source
    story[2].sizes                       # {'batch': 1, 'seq': 7, 'head': 9, 'dim': 64}
"""

import ast
import dis
import inspect
import linecache
import math
import os
import sys
import threading
from contextlib import ExitStack, contextmanager
from functools import lru_cache

import einops
import einops.layers.torch
import torch
from torch.overrides import TorchFunctionMode

from .inside import product, within_attention
from .story import Step, Story, axes_of

# The code objects that are an einops call, with the name of the operation.
_CALLS = {getattr(einops, name).__code__: name for name in "rearrange reduce repeat einsum pack unpack".split()}
_CALLS |= {getattr(einops.layers.torch, name).forward.__code__: name for name in ("Rearrange", "Reduce", "EinMix")}
_ONE_TENSOR = ("rearrange", "reduce", "repeat", "Rearrange", "Reduce")
_TORCH = frozenset("linear matmul bmm mm addmm einsum softmax log_softmax silu embedding rsqrt rms_norm layer_norm "
                   "cross_entropy scaled_dot_product_attention".split())
_KERNEL = "scaled_dot_product_attention"
_LIBRARIES = tuple(os.path.dirname(library.__file__) + os.sep for library in (einops, torch))
_COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")
_MODULE_CALL = torch.nn.Module._call_impl.__code__
_PAUSING = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


@contextmanager
def narrate(model: torch.nn.Module | None = None, *, torch_ops: bool = False):
    """Record every einops call on tensors that this thread makes while the block runs; gives the Story.

    Between them it tells attention's kernel, step by step, in lines without a number.

        with narrate(model) as story:
            model(ids)
        print(story)

    `model` lends the steps the names of its modules. `torch_ops=True` also numbers the matrix products, norms, softmax
    and kernels in between, the products with their axes. Outputs, gradients and errors are as without it; compiled
    functions run uncompiled meanwhile, in every thread. Calls on numpy arrays pass unseen. Raises TypeError for a model
    that is no module, RuntimeError inside a compiled function.
    """
    if not isinstance(model, torch.nn.Module | None):
        raise TypeError(f"narrate takes the model whose modules it names, or nothing, got {type(model).__name__}: "
                        "call the model inside the with block")
    with ExitStack() as undo:
        undo.enter_context(_uncompiled())
        teller = _Teller(Story(), model, torch_ops)
        undo.callback(teller.close)
        undo.enter_context(_heard_by(teller))
        yield teller.story


# ---------------------------------------------------------------------------------------------- hearing


class _Ear(TorchFunctionMode):
    """Hears every torch function of a thread, and tells all narrations there of those that einops calls."""

    def __init__(self):
        super().__init__()
        self.tellers = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        caller, kwargs = sys._getframe(1), kwargs or {}
        call = _einops_call(caller)
        begun = [teller.begin(call, caller, func, args, kwargs) for teller in self.tellers]
        result = func(*args, **kwargs)
        for step, memory in filter(None, begun):
            _end(step, memory, func, result)
        return result


_THREAD = threading.local()


@contextmanager
def _heard_by(teller):
    """One mode for all narrations of a thread, so that they may end in any order."""
    ear = vars(_THREAD).setdefault("ear", _Ear())
    if not ear.tellers:
        ear.__enter__()
    ear.tellers.append(teller)
    try:
        yield
    finally:
        ear.tellers.remove(teller)
        if not ear.tellers:
            ear.__exit__(None, None, None)


_LOCK, _NARRATIONS, _STANCE = threading.Lock(), 0, None


@contextmanager
def _uncompiled():
    """Have compiled functions run as they are written: the first narration sets this stance, the last takes it back."""
    global _NARRATIONS, _STANCE
    with _LOCK:
        if _NARRATIONS == 0:
            try:
                _STANCE = torch.compiler.set_stance("force_eager")
            except RuntimeError:
                raise RuntimeError("narrate cannot listen inside a compiled function: put the with block around the "
                                   "call of that function") from None
            _STANCE.__enter__()
        _NARRATIONS += 1
    try:
        yield
    finally:
        with _LOCK:
            _NARRATIONS -= 1
            if _NARRATIONS == 0:
                _STANCE.__exit__(None, None, None)
                _STANCE = None


# ---------------------------------------------------------------------------------------------- telling


class _Teller:
    """Writes one story. Frames stand for calls that are under way, and are let go when these have ended."""

    def __init__(self, story, model, torch_ops):
        self.story, self.torch_ops = story, torch_ops
        modules = model.named_modules() if model is not None else ()
        self.names = {id(module): _name(path, module) for path, module in modules}
        self.calls = {}                  # frame of an einops call → its step and the memory of its inputs
        self.custom = set()              # those of them whose reduction is a function of the reader's
        self.letters = {}                # frame of a function that calls einops → letter → (size, line)
        self.noted = set()

    def begin(self, call, caller, func, args, kwargs):
        """The step (and the memory of its inputs) to which a torch function belongs, if it belongs to one."""
        if call is None and self.custom:
            call = next((frame for frame in _stack(caller) if frame in self.custom), None)
        if call is not None:
            if call not in self.calls:
                self._begin(call)
            return self.calls[call]
        op = getattr(func, "__name__", "")
        if op != _KERNEL and not (self.torch_ops and (op in _TORCH or op == "mul" and _number_by_number(args))):
            return None
        given = (*args, *kwargs.values())
        tensors = [each for part in given for each in (part if isinstance(part, list | tuple) else [part])]
        inputs = [tuple(each.shape) for each in tensors if isinstance(each, torch.Tensor)]
        module, where = self._module(_stack(caller)), _where(_outside(caller))
        equation = next((each for each in args[:1] if isinstance(each, str)), "")
        step = Step("torch.einsum" if op == "einsum" else op, product(op, inputs, equation, module), inputs, None, {},
                    module, where)
        if op == "mul" and module.rpartition(".")[2].lower().endswith("mlp"):
            step.how = "gate · up"
        if op == _KERNEL:
            step.parts = _parts(args, kwargs)
        if self.story.steps and (op == "mul" or not self.torch_ops):
            self.story.steps[-1].then.append(step)
            return step, ()
        return self._add(step), ()

    def _begin(self, frame):
        running = list(_stack(frame))
        self.forget(set(running))
        op, known, caller = _CALLS[frame.f_code], frame.f_locals, _outside(frame.f_back)
        tensors, pattern, given, how = _arguments(op, known)
        inputs = [tuple(getattr(tensor, "shape", ())) for tensor in tensors]
        stacked = [(len(inputs), *inputs[0])] if isinstance(known.get("tensor"), list) else inputs
        sizes = dict(_sizes(pattern, tuple(stacked), tuple(given.items())))
        step = Step(op, pattern, inputs, None, sizes, self._module(running), _where(caller))
        step.how, step.given = how if isinstance(how, str) else getattr(how, "__name__", ""), given
        step.names = _written(caller, len(tensors)) if op == "einsum" else ()
        if op == "unpack":
            step.output = []
        if callable(how):
            self.custom.add(frame)
        self.calls[frame] = self._add(step), {_memory(tensor) for tensor in tensors} - {None}
        self._note_two_sizes(step, _function(caller), caller.f_lineno)

    def _add(self, step):
        self.story.steps.append(step)
        step.number = len(self.story)
        return step

    def _module(self, frames):
        """The name of the innermost module of the model that is being called."""
        calls = (frame for frame in frames if frame.f_code is _MODULE_CALL)
        return next((self.names[key] for call in calls if (key := id(call.f_locals["self"])) in self.names), "")

    def _note_two_sizes(self, step, function, line):
        """Note a letter that means two sizes within one call of one function, once per letter and line."""
        seen = self.letters.setdefault(function, {})
        for letter, size in step.sizes.items():
            before, at = seen.setdefault(letter, (size, line))
            if size != before and (function.f_code, letter, line) not in self.noted:
                self.noted.add((function.f_code, letter, line))
                step.notes.append(f"`{letter}` was {before} at line {at} and is now {size}")

    def forget(self, running=frozenset()):
        """Let go of the calls that are not running any more; one that did not end with a return has failed."""
        for frame in self.calls.keys() - running:
            step, _ = self.calls.pop(frame)
            if not dis.opname[frame.f_code.co_code[frame.f_lasti]].startswith("RETURN"):
                step.output = step.view = None
        self.custom &= running
        for frame in self.letters.keys() - running:
            if not frame.f_code.co_flags & _PAUSING:
                del self.letters[frame]

    def close(self):
        """Let go of everything."""
        self.forget()
        self.letters.clear()


def _number_by_number(args):
    """Whether two tensors of one shape are multiplied."""
    return len(args) == 2 and all(isinstance(each, torch.Tensor) for each in args) and (
        args[0].shape == args[1].shape and args[0].ndim > 1)


def _parts(args, kwargs):
    """The steps within a call of attention's kernel, [] for a call that it will refuse."""
    ours = {"query": "q", "key": "k", "value": "v", "attn_mask": "mask"}
    try:
        return within_attention(*args, **{ours.get(name, name): value for name, value in kwargs.items()})
    except (TypeError, ValueError, AttributeError, ZeroDivisionError):
        return []


@lru_cache(256)
def _call_written(code, at):
    """The words in the place of the tensors of a call, as the source has them; () where it cannot be read."""
    first, last, start, end = [*code.co_positions()][at // 2]
    if None in (first, last, start, end):
        return ()
    lines = [linecache.getline(code.co_filename, line).encode() for line in range(first, last + 1)]
    lines[-1], lines[0] = lines[-1][:end], lines[0][start:] if last > first else lines[0][start:end]
    try:
        call = ast.parse(b"".join(lines).decode().strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return ()
    if not isinstance(call, ast.Call) or any(isinstance(each, ast.Starred) for each in call.args):
        return ()
    return tuple("" if isinstance(each, ast.Constant) else ast.unparse(each) for each in call.args)


def _written(frame, count):
    """The tensors of an einsum as its caller wrote them, or ()."""
    names = _call_written(frame.f_code, frame.f_lasti)[:count]
    return names if len(names) == count and all(names) else ()


def _name(path, module):
    """The name of a module in its model, the class for the model itself."""
    return ".".join(part for part in path.split(".") if part != "_orig_mod") or type(module).__name__


def _end(step, memory, func, result):
    """What a torch function within a step made is, until the next one, what the step made."""
    if step.op == "unpack":
        if func.__name__ == "reshape":
            step.output.append(tuple(result.shape))
            step.view = step.view is not False and _memory(result) in memory
    elif isinstance(result, torch.Tensor):
        step.output = tuple(result.shape)
        step.view = _memory(result) in memory if memory else None
    elif isinstance(result, torch.Size) and step.op in _ONE_TENSOR and step.output is None:
        step.output, step.view = tuple(result), True      # so far nothing but the shape was asked for


def _arguments(op, known):
    """The tensors of an einops call, its pattern, the sizes it spells out and its reduction, from its locals."""
    if op == "einsum":
        *tensors, pattern = known["tensors_and_pattern"]     # its local `pattern` is overwritten
        return tensors, str(pattern), {}, ""
    source = vars(known["self"]) if "self" in known else known
    given = {name: size for name, size in source.get("axes_lengths", {}).items() if isinstance(size, int)}
    tensors = known.get("tensors", known.get("tensor", known.get("input")))
    tensors = list(tensors) if isinstance(tensors, list | tuple) else [tensors]
    return tensors, str(source["pattern"]), given, source.get("reduction", "")


@lru_cache(1024)
def _sizes(pattern, shapes, given):
    """The size of every named axis that pattern and shapes tell; nothing where they do not fit."""
    sizes = dict(given)
    for part, shape in zip(pattern.split("->")[0].split(","), shapes):
        axes = axes_of(part)
        for at, axis in enumerate(axes):
            if axis in (["..."], ["*"]):
                axes[at : at + 1] = [[]] * (len(shape) - len(axes) + 1)
                break
        for axis, size in zip(axes, shape if len(axes) == len(shape) else ()):
            known = math.prod(int(name) if name.isdecimal() else sizes.get(name, 1) for name in axis)
            unknown = [name for name in axis if name.isidentifier() and name not in sizes]
            if len(unknown) == 1 and known and size % known == 0:
                sizes[unknown[0]] = size // known
    return sizes


def _memory(tensor):
    """What tells tensors over the same memory from others, or None where a tensor has no memory of its own."""
    try:
        return tensor.untyped_storage()._cdata
    except (RuntimeError, AttributeError):                   # under vmap; no tensor at all
        return None


# ---------------------------------------------------------------------------------------------- frames


def _within(code):
    """Whether code is torch's, einops' or another mode's, not the reader's."""
    return code.co_filename.startswith(_LIBRARIES) or code.co_name == "__torch_function__"


def _einops_call(frame):
    """The outermost einops call between a frame and the reader's code (they call one another), or None."""
    found = None
    while frame is not None and _within(frame.f_code):
        if frame.f_code in _CALLS:
            found = frame
        frame = frame.f_back
    return found


def _outside(frame):
    """The frame of the reader's code that led to `frame`."""
    while _within(frame.f_code) and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _where(frame):
    """The place in the source at which a frame stands: function, line and file."""
    return _function(frame).f_code.co_name, frame.f_lineno, frame.f_code.co_filename


def _function(frame):
    """The function in which a comprehension stands, or the frame itself."""
    back = frame.f_back
    if frame.f_code.co_name in _COMPREHENSIONS and back is not None and frame.f_code in back.f_code.co_consts:
        return _function(back)
    return frame


def _stack(frame):
    """A frame and all that wait for it."""
    while frame is not None:
        yield frame
        frame = frame.f_back
