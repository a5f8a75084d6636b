"""Errors in words, after the fact.

A signature says what a function takes: `Float[Tensor, "batch seq hidden"]`. Where a call fails, the same signature says
what was wrong with it. A call that works pays for a `try` and nothing else.
"""

from functools import wraps
from inspect import signature
from pathlib import Path
from types import NoneType
from typing import Protocol, get_args, get_origin, runtime_checkable

import torch
from torch import Tensor, nn

KINDS = {"Float": "floats", "Integer": "integers", "Int": "integers", "Bool": "bool", "Real": "integers or floats"}
# What a mistaken call raises somewhere inside PyTorch or einops.
TROUBLE = (RuntimeError, TypeError, ValueError, IndexError, AttributeError)
HERE = str(Path(__file__).parent)


@runtime_checkable
class Cache(Protocol):
    """What attention asks of a cache: all keys and values for the new ones, and the position of the next token."""

    def update(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]: ...

    def __len__(self) -> int: ...


def explained(thing):
    """Where a call fails, or gives no floats, say which argument is not what the signature asks for.

    TypeError for another kind of thing, ValueError for another shape. Where nothing is wrong with the arguments, the
    error passes as it came. An axis has the size that the module keeps under its name (`dim`) or with `_size` behind it
    (`hidden_size`), or else the one it has in an earlier argument. Decorates a function, or a class of modules, whose
    `forward` stays as it is.
    """
    call = thing.__call__ if isinstance(thing, type) else thing

    @wraps(call)
    def door(*args, **kwargs):
        try:
            result = call(*args, **kwargs)
        except TROUBLE as error:
            if torch.compiler.is_dynamo_compiling():
                raise  # the compiler tells the error as it came, for it cannot follow what is asked below
            refuse(type(args[0]).forward if isinstance(thing, type) else thing, args, kwargs, sentence(error))
            raise
        if isinstance(result, Tensor) and not (result.numel() and result.is_floating_point()):
            refuse(type(args[0]).forward if isinstance(thing, type) else thing, args, kwargs)
        return result

    if isinstance(thing, type):
        thing.__call__ = door
        return thing
    return door


def sentence(error) -> str:
    """What an error says, where it was raised in this folder; else nothing."""
    trace = error.__traceback__
    while trace.tb_next:
        trace = trace.tb_next
    return str(error) if trace.tb_frame.f_code.co_filename.startswith(HERE) else ""


def refuse(function, args, kwargs, said=""):
    """Raise for the first argument that is not what the signature says; return where all are.

    So the outermost call that was given something wrong has the last word, unless what is `said` already is about the
    same argument.
    """
    try:
        given = signature(function).bind(*args, **kwargs).arguments
    except TypeError:
        return  # Python itself says which argument is missing
    owner = given.pop("self", None)
    known, seen = Sizes(owner), ""
    told = "" if owner is None else f" of {type(owner).__name__}"
    for name, value in given.items():
        hint = signature(function).parameters[name].annotation
        if value is None and NoneType in get_args(hint):
            continue
        try:
            expect(name + told, value, hint, known)
        except (TypeError, ValueError) as error:
            if said.startswith(name):
                return
            raise type(error)(f"{error}{seen if isinstance(error, ValueError) else ''}") from None
        seen += f", beside {name} {tuple(value.shape)}" if isinstance(value, Tensor) else ""
    if isinstance(owner, nn.Module):
        expect_dtype(told, owner, given)


class Sizes(dict):
    """The sizes of axes by name: those met in the arguments, or those that a module keeps; None for others."""

    def __init__(self, owner=None):
        super().__init__()
        self.owner = owner if isinstance(owner, nn.Module) else None

    def __missing__(self, axis):
        kept = (getattr(self.owner, name, None) for name in (f"{axis}_size", axis))
        return next((size for size in kept if isinstance(size, int)), None)


def expect(name, value, hint, known):
    """TypeError unless a value is of the kind of its annotation, ValueError unless it has the shape.

    `known` are the sizes of axes by name; those met here are added. Of an annotation in other words nothing is asked.
    """
    hints = (hint,) if get_origin(hint) is tuple else get_args(hint) or (hint,)
    if get_origin(hints[0]) is tuple:  # (cos, sin)
        return expect_pair(name, value, get_args(hints[0]), known)
    if hints[0] is Cache:
        return expect_cache(name, value)
    hints = [one for one in hints if one is not NoneType]
    kinds = dict.fromkeys(KINDS.get(getattr(one, "__name__", "").partition("[")[0]) for one in hints)
    axes = [named_axes(one) for one in hints]
    if None in kinds or not all(axes):
        return
    shapes = [tuple(axis if known[axis] is None else known[axis] for axis in each) for each in axes]
    check_tensor(name, value, " or ".join(kinds), *dict.fromkeys(shapes))
    for each in axes:
        if len(each) == value.ndim and "..." not in each:
            known.update(zip(each, value.shape))


def named_axes(hint) -> list[str]:
    """The axes of a tensor's annotation, "..." for any at the front; empty where they are given in other words."""
    axes = ["..." if axis[0] == "*" else axis for axis in getattr(hint, "dim_str", "").split()]
    return [] if "..." in axes[1:] else axes


def expect_pair(name, value, parts, known):
    """TypeError or ValueError unless a value is such a tuple of tensors."""
    if not isinstance(value, tuple | list) or len(value) != len(parts):
        got = f"{len(value)} parts" if isinstance(value, tuple | list) else type(value).__name__
        raise TypeError(f"{name} must be {len(parts)} tensors, as the pair (cos, sin) that `angles` gives, got {got}")
    for part, hint in zip(value, parts):
        expect(f"each part of {name}", part, hint, known)


def expect_cache(name, value):
    """TypeError unless a value can be asked as a cache is."""
    try:
        signature(value.update).bind(None, None), len(value)
    except (AttributeError, TypeError, ValueError):
        kind = type(value).__name__
        raise TypeError(f"{name} must be the cache of one layer, such as a KVCache, got {kind}") from None


def expect_dtype(told, module, given):
    """TypeError for floats of another dtype than the module's weights, where no autocast brings them together."""
    weights = [weight.dtype for weight in module.parameters() if weight.is_floating_point()]
    for name, value in given.items():
        other = isinstance(value, Tensor) and value.is_floating_point() and [value.dtype] != weights[:1]
        if other and weights and not torch.is_autocast_enabled(value.device.type):
            raise TypeError(
                f"{name}{told} must be {weights[0]} as the weights are, got {value.dtype}: move one with .to(dtype)"
            ) from None


def check_tensor(name, x, kinds, *shapes):
    """TypeError unless x is a tensor of `kinds`, such as "floats or integers"; ValueError unless it has a given shape.

    A shape holds sizes, and words where any size but zero will do; it may begin with "..." for any further axes.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor of {kinds}, got {type(x).__name__}")
    kind = "floats" if x.is_floating_point() else "complex" if x.is_complex() else "integers"
    if ("bool" if x.dtype == torch.bool else kind) not in kinds:
        raise TypeError(f"{name} must be a tensor of {kinds}, got {x.dtype}")
    if 0 in x.shape or not any(has_shape(tuple(x.shape), shape) for shape in shapes):
        told = " or ".join(dict.fromkeys(str(shape).replace("'", "") for shape in shapes))
        raise ValueError(f"{name} must be {told} with no empty axis, got {tuple(x.shape)}")


def has_shape(found, shape):
    """Whether sizes fit a shape as `check_tensor` takes it."""
    if shape[0] == "...":
        found, shape = found[len(found) + 1 - len(shape) :], shape[1:]
    return len(found) == len(shape) and all(isinstance(want, str) or size == want for size, want in zip(found, shape))
