"""How a case runs what a learner handed in: made, given weights, and called on copies."""

import inspect

import torch
from torch import Tensor
from torch.func import functional_call

from .guard import Fault, Misnamed, call
from .parts import Part, called


def normal(seed: int, *shape: int, dtype=torch.float32) -> Tensor:
    """Normal numbers that are the same on every call."""
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32).to(dtype)


def handed_in(obj, part: Part, method: str):
    """`obj` as the kind that the part is: a class (or what makes its instances), or a function.

    A function that is to stand for a method is put into the lesson's class.
    """
    reference = part.reference
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
    """`weights`, once the module is found to have parameters of these names and shapes and no others."""
    found = dict(module.named_parameters(remove_duplicate=False))
    for name, weight in weights.items():
        if name not in found:
            has = ", ".join(found) or "none"
            told = f"It has no parameter {name!r}, under which published weights are stored; it has {has}."
            raise Misnamed(told, name)
        if found[name].shape != weight.shape:
            raise Misnamed(
                f"The parameter {name!r} has the shape {tuple(found[name].shape)}; "
                f"published weights have {tuple(weight.shape)}.",
                name,
            )
    others = [name for name in found if name not in weights]
    if others:
        told = f"It has parameters of which published weights know nothing: {', '.join(others)}."
        raise Misnamed(told, others[0])
    return weights


def run_with(module, weights: dict[str, Tensor], *args, **kwargs):
    """What the module gives with these weights, run on copies; gradients reach the weights given."""

    def run(args, kwargs, weights):
        return functional_call(module, weights, args, kwargs, tie_weights=False)  # every name is given

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
