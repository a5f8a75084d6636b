"""What must hold of every component, as cases that run it, one file per component.

A case takes a subject (a learner's code behind one plain call, or the lesson's) and returns tensors. Its sentence is
the property; it holds when the learner's tensors equal the lesson's. Cases stand from the simplest to the whole: each
of the first ones switches most mechanisms off, so that the first that fails says most.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module

import torch
from torch import Tensor
from torch.func import functional_call

from ..bugs import catalogue
from ..guard import Fault, call

COMPONENTS = ("norm", "rotary", "attention", "checkpoint")


@dataclass(frozen=True)
class Case:
    """One property: its sentence, how to see it, the names of the axes, and what is close enough.

    `tell(found, wanted)` may say what is wrong in better words than a comparison can. `needs` names an argument
    without which a free function cannot have the property. `later`: what a later lesson asks for is told, not judged.
    """

    says: str
    run: Callable[[Callable], Tensor | tuple[Tensor, ...]]
    axes: str = ""
    tolerance: float = 3e-4
    tell: Callable[[Tensor, Tensor], str] | None = None
    needs: str = ""
    later: bool = False


@dataclass(frozen=True)
class Exercise:
    """Something a learner writes: the lesson's own version, how a case calls it, its cases and its wrong versions.

    `wrong()` gives (bug, object) pairs, each object of the kind the learner hands in.
    """

    name: str
    reference: Callable
    adapt: Callable[[Callable], Callable]
    cases: tuple[Case, ...]
    wrong: Callable[[], list]


def collect(cases: list):
    """A decorator that turns a function of a subject into a Case at the end of `cases`."""

    def case(says, axes="", **more):
        def enter(run):
            cases.append(Case(says, run, axes, **more))
            return run

        return enter

    return case


def wrong_versions(exercise: str, lift=None) -> Callable[[], list]:
    """What gives the wrong versions of an exercise: the catalogue's own, and those of its parts.

    `lift` says how a wrong part (first) becomes a wrong version of an exercise (second).
    """
    ways = {(exercise, exercise): lambda wrong: wrong} | (lift or {})
    return lambda: [
        (bug, ways[part, exercise](version))
        for bug in catalogue().values()
        for part, version in bug.spellings
        if (part, exercise) in ways
    ]


def normal(seed: int, *shape: int, dtype=torch.float32) -> Tensor:
    """Normal numbers that are the same on every call."""
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32).to(dtype)


# -------------------------------------------------------------------------------------------------- what is handed in


@cache
def exercises() -> dict[str, Exercise]:
    """Every exercise by name."""
    found = {}
    for component in COMPONENTS:
        found |= {exercise.name: exercise for exercise in import_module(f"{__name__}.{component}").EXERCISES}
    return found


def find(obj, name: str | None) -> tuple[Exercise, str]:
    """The exercise of that name, or the one that `obj` is called after, and the method it asks for ("" for all).

    Raises ValueError that says the nearest name, TypeError for what is no class, function or module.
    """
    if isinstance(obj, str):
        raise TypeError(f"check takes the object, not its name: check({obj}), got {obj!r}")
    if not isinstance(name, str | None):
        raise TypeError(f"exercise must be a name, such as 'LlamaRMSNorm.forward', got {name!r}")
    if not callable(obj):
        raise TypeError(f"check judges a class, a function or a module, got {type(obj).__name__}")
    told = name or called(obj)
    owner, _, method = told.partition(".")
    known = exercises()
    if owner not in known or (method and not callable(getattr(known[owner].reference, method, None))):
        near = get_close_matches(told, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the exercises are {', '.join(known)}"
        cure = "" if name else '; say which with check(yours, "NAME")'
        raise ValueError(f"there is no exercise {told!r}: {hint}{cure}")
    return known[owner], method


def called(obj) -> str:
    """The name under which an object was defined: "LlamaRMSNorm", "LlamaRMSNorm.forward", "rotate"."""
    if isinstance(obj, torch.nn.Module):
        return type(obj).__name__
    name = getattr(obj, "__qualname__", type(obj).__name__)
    return name.rpartition("<locals>.")[2]


def handed_in(obj, exercise: Exercise, method: str):
    """`obj` as the kind that the exercise judges: a class (or what makes its instances), or a function.

    A function that is to stand for a method is put into the lesson's class.
    """
    reference = exercise.reference
    if not inspect.isclass(reference) or inspect.isclass(obj):
        return obj
    if isinstance(obj, torch.nn.Module):
        return type(obj)
    owner = getattr(inspect.unwrap(obj), "__globals__", {}).get(called(obj).partition(".")[0])
    if method and inspect.isclass(owner) and vars(owner).get(method) is obj:
        return owner
    parameters = _parameters(obj)
    if not method and not (set(parameters[:1]) & {"self", *_parameters(reference.forward)[1:2]}):
        return obj  # a factory: it makes the module
    return _as_method(obj, reference, method or "forward", parameters)


def _parameters(function) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def _as_method(function, reference, method, parameters):
    """The lesson's class with `function` for a method; what it asks for by an attribute's name it is given."""
    if parameters[:1] == ["self"]:
        return type(reference.__name__, (reference,), {method: function})
    own = _parameters(getattr(reference, method))[1:]
    asked = [name for name in parameters if name not in own]

    def stand_in(self, *args, **kwargs):
        return function(*args, **kwargs, **{name: getattr(self, name) for name in asked if hasattr(self, name)})

    kind = type(reference.__name__, (reference,), {method: stand_in})
    kind.takes = frozenset(parameters) | {method}
    return kind


def takes(obj, name: str) -> bool:
    """Whether an object can be asked about `name`: everything can, save a free function that does not take it."""
    return not name or not hasattr(obj, "takes") or name in obj.takes


def built(kind, *args, **kwargs):
    """An instance of a learner's class; Fault if it is no nn.Module."""
    module = kind(*args, **kwargs)
    if not isinstance(module, torch.nn.Module):
        raise Fault(f"{getattr(kind, '__name__', 'It')} must make an nn.Module, got {type(module).__name__}.")
    return module


def own_weights(module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """`weights`, once the module is found to have parameters of these names and shapes; Fault otherwise."""
    found = dict(module.named_parameters(remove_duplicate=False))
    for name, weight in weights.items():
        if name not in found:
            has = ", ".join(found) or "none"
            raise Fault(f"It has no parameter {name!r}, under which published weights are stored; it has {has}.")
        if found[name].shape != weight.shape:
            raise Fault(
                f"The parameter {name!r} has the shape {tuple(found[name].shape)}; "
                f"published weights have {tuple(weight.shape)}."
            )
    return weights


def run_with(module, weights: dict[str, Tensor], *args, **kwargs):
    """What the module gives with these weights, run on copies; gradients reach the weights given."""

    def run(args, kwargs, weights):
        return functional_call(module, weights, args, kwargs)

    return call(run, args, kwargs, own_weights(module, weights))


def reached(value, **inputs):
    """The gradients of a number with respect to the inputs; Fault where one has none."""
    if not value.requires_grad:
        raise Fault("No gradient flows through it: something is detached, or made with .data, .item() or no_grad().")
    grads = torch.autograd.grad(value, list(inputs.values()), allow_unused=True)
    for name, grad in zip(inputs, grads):
        if grad is None:
            raise Fault(f"No gradient reaches {name}, so training cannot change it: is it detached, or not used?")
    return grads


def tells_gradient(found: Tensor, wanted: Tensor) -> str:
    return "A gradient differs from the lesson's, as it does wherever the output differs."
