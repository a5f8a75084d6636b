"""What a model is filled with and how it is spared work: nothing drawn, nothing collected, nothing read too early."""

import gc
from contextlib import contextmanager

import torch
import torch.overrides
from torch import Tensor


class NothingDrawn(torch.overrides.TorchFunctionMode):
    """Inside it, fresh weights are not drawn: they are about to be replaced."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


@contextmanager
def nothing_collected():
    """Inside it the garbage collector rests: a thousand new modules would send it through all of PyTorch's objects."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def not_finite(weight: Tensor, new: Tensor, view: bool) -> str | None:
    """What to tell of a tensor in its file, or of what its conversion made of it; None where all is well."""
    if not looks_finite(weight, view):
        return "numbers that are not finite"
    smaller = torch.finfo(new.dtype).max < torch.finfo(weight.dtype).max
    if not smaller or all(end.isfinite() for end in new.aminmax()):
        return None
    largest = max(abs(end.item()) for end in weight.aminmax())
    if largest < float("inf"):
        kind = str(new.dtype).removeprefix("torch.")
        return f"{largest:.6g}, for which {kind} has no room, so that it became infinite (load it with another dtype)"
    return "numbers that are not finite"


def looks_finite(weight: Tensor, view: bool = False) -> bool:
    """Whether there is no NaN and no infinity in a tensor, or in some rows of one of more than 16,384 numbers.

    They stand at equal distances. Of a `view` it is the first alone: no more of the file is read before it is needed.
    """
    large = weight.numel() > 16384
    some = weight[:1] if view and large else weight[:: 1 + weight.numel() // 16384]
    return all(end.isfinite() for end in some.aminmax())
