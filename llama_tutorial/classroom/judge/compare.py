"""Comparing what a learner's code gave with what it should give, and saying in words what differs."""

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .guard import MEMORY, Fault, out_of_memory, own_line


@dataclass(frozen=True)
class Outcome:
    """What one case gave: its tensors, or the exception that ended it."""

    tensors: tuple[Tensor, ...] = ()
    error: BaseException | None = None

    @classmethod
    def of(cls, case, subject):
        """Run `case` on `subject`."""
        try:
            result = case.run(subject)
            found = result if isinstance(result, tuple) else (result,)
            for part in found:
                if not isinstance(part, Tensor):
                    raise Fault(f"It returned {_kind(part)}, where a tensor belongs.")
            return cls(tuple(part.detach().clone() for part in found))
        except (Exception, SystemExit) as error:
            return cls(error=error)

    def formed_like(self, other):
        """Whether both hold tensors, of the same shapes and dtypes."""
        forms = [[(part.shape, part.dtype) for part in outcome.tensors] for outcome in (self, other)]
        return not self.error and forms[0] == forms[1]


def _kind(value):
    if value is None:
        return "None (is a `return` missing?)"
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, tuple | list) else "")


def same(one: Outcome, other: Outcome, tolerance: float) -> bool:
    """Whether two outcomes agree: the same exception, or tensors of one shape and dtype within the tolerance.

    The tolerance is relative to the largest number; NaN agrees with NaN.
    """
    if one.error or other.error:
        return type(one.error) is type(other.error) and str(one.error) == str(other.error)
    pairs = list(zip(one.tensors, other.tensors))
    return len(one.tensors) == len(other.tensors) and all(close(a, b, tolerance) for a, b in pairs)


def close(found: Tensor, wanted: Tensor, tolerance: float) -> bool:
    """Whether two tensors agree in shape, in dtype and, within the tolerance, in every number."""
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return False
    if not found.is_floating_point() and not found.is_complex():
        return torch.equal(found, wanted)
    return torch.allclose(found.double(), wanted.double(), rtol=0, atol=_slack(wanted, tolerance), equal_nan=True)


def _slack(wanted, tolerance):
    finite = wanted[wanted.isfinite()]
    return tolerance * max(1.0, finite.abs().max().item() if len(finite) else 1.0)


# ------------------------------------------------------------------------------------------------- what differs


def relation(found: Tensor, wanted: Tensor, axes: list[str], tolerance: float, sizes) -> tuple[str, tuple | None]:
    """How a value of a learner's relates to a step of the lesson's, and (expected, yours) where both have one shape.

    The learner's axes may stand in another order, and may be joined: a layout in which its numbers lie near the
    step's is looked for. `sizes` are numbers that a factor may be, by name.
    """
    mine = _laid_out(found, wanted)
    if mine is None:
        return f"Your value there has the shape {tuple(found.shape)}, the step {tuple(wanted.shape)}.", None
    if close(mine, wanted.to(mine.dtype), tolerance):
        return "The numbers are the step's, and your axes stand in another order.", (wanted.double(), mine.double())
    told = differs(mine, wanted.to(mine.dtype), axes, tolerance, sizes)
    if axes and axes[-1] == "key" and mine.isfinite().all():
        sums = mine.double().sum(-1)
        if (wanted.double().sum(-1) - 1).abs().max() < 1e-3 < (sums - 1).abs().max():
            told = f"Your rows sum to {sums.min():.3f} … {sums.max():.3f}, where each must sum to 1."
    return told, (wanted.double(), mine.double())


def _laid_out(found: Tensor, wanted: Tensor) -> Tensor | None:
    """`found` with its axes in the step's order: of the orders of the right shape, the one that lies nearest."""
    if found.numel() != wanted.numel():
        return None
    if found.ndim != wanted.ndim:
        return found.reshape(wanted.shape) if found.squeeze().shape == wanted.squeeze().shape else None
    orders = [order for order in itertools.permutations(range(found.ndim))
              if tuple(found.shape[axis] for axis in order) == tuple(wanted.shape)]  # fmt: skip
    if not orders:
        return None
    far = [(found.permute(order).double() - wanted.double()).abs().nan_to_num(1e9, 1e9).mean() for order in orders]
    return found.permute(orders[far.index(min(far))])


def describe(case, found: Outcome, wanted: Outcome) -> str:
    """What differs, in a sentence or two, as far as it can be seen: no guess about the reason."""
    if isinstance(found.error, Fault):
        return str(found.error)
    if found.error:
        return raised("It", found.error)
    if len(found.tensors) != len(wanted.tensors):
        return f"It gave {len(found.tensors)} tensors, where {len(wanted.tensors)} belong."
    parts = [pair for pair in zip(found.tensors, wanted.tensors) if not close(*pair, case.tolerance)]
    mine, yours = parts[0][1], parts[0][0]
    if yours.shape == mine.shape and yours.dtype == mine.dtype and case.tell:
        told = case.tell(yours.double(), mine.double())
        if told:
            return told
    return differs(yours, mine, names_of(case.axes, mine), case.tolerance)


def raised(who: str, error) -> str:
    """What an exception says, and the learner's line that raised it."""
    line = own_line(error)
    told = " ".join(str(error).split()) or "no message"
    if out_of_memory(error):
        told = f"{who} asks for more memory than a check may use ({MEMORY / 2**30:.0f} GiB)"
    else:
        told = f"{who} raised {type(error).__name__}: {told:.300}"
    return told + (f" – in your {line}" if line else "")


def names_of(axes: str, tensor: Tensor) -> list[str]:
    """The names of a tensor's axes: those that a case gives, the last ones where there are fewer, or plain words."""
    names = axes.split()
    if len(names) >= tensor.ndim:
        return names[len(names) - tensor.ndim :]
    if tensor.ndim <= 2:
        return ["row", "column"][2 - tensor.ndim :] if tensor.ndim == 2 else ["place"] * tensor.ndim
    return [f"{word} axis" for word in ("first", "second", "third", "fourth", "fifth", "sixth")[: tensor.ndim]]


def differs(found: Tensor, wanted: Tensor, axes: list[str], tolerance: float, sizes=()) -> str:
    """The first that holds: shape, dtype, NaN, a factor, other order along an axis; else where, and by how much."""
    if found.shape != wanted.shape:
        return _shapes(found, wanted, axes, tolerance)
    if found.dtype != wanted.dtype:
        return f"It returned {_dtype(found)}, where {_dtype(wanted)} belongs."
    if wanted.dtype == torch.bool:
        return _where(found != wanted, axes) + _flags(found, wanted)
    found, wanted, slack = found.double(), wanted.double(), _slack(wanted, tolerance)
    if wanted.isinf().any() and not found.isnan().any():
        told = _infinite(found, wanted, axes)
        if told:
            return told
        found, wanted = (each.masked_fill(each.isinf(), 0) for each in (found, wanted))
    if not found.isfinite().all():
        broken = ~found.isfinite()
        word = "NaN" if found.isnan().any() else "infinite"
        return f"{int(broken.sum())} of {broken.numel()} numbers are {word}. " + _where(broken, axes, "finite", "not")
    sizes = {**dict(sizes), **dict(zip(axes, wanted.shape))}
    sizes = dict(sorted(sizes.items(), key=lambda item: item[0] not in ("dim", "hidden")))  # of two equal ones, these
    told = _factor(found, wanted, sizes, slack)
    if told:
        return told
    for look in (_factors, _reordered):
        told = look(found, wanted, axes, slack)
        if told:
            return told
    error = (found - wanted).abs()
    place = [int(i) for i in torch.unravel_index(error.argmax(), error.shape)]
    at = ", ".join(f"{axis} {i}" for axis, i in zip(axes, place))
    largest = f"Largest at {at}: {found[tuple(place)]:.4g}, expected {wanted[tuple(place)]:.4g}."
    return f"{_where(error > slack, axes)}{_growth(error, axes)} {largest if at else ''}".strip()


def _infinite(found, wanted, axes):
    """Which numbers are infinite and should not be, or the other way round."""
    told = []
    for wrong, are, belong in ((found.isinf() & ~wanted.isinf(), "infinite", "a finite one belongs"),
                               (~found.isinf() & wanted.isinf(), "finite", "an infinite one belongs")):  # fmt: skip
        if wrong.any():
            told.append(f"{int(wrong.sum())} of {wrong.numel()} numbers are {are} where {belong}.")
    wrong = found.isinf() != wanted.isinf()
    return " ".join([*told, _where(wrong, axes)]) if told else ""


def _dtype(x):
    return str(x.dtype).removeprefix("torch.")


def _shapes(found, wanted, axes, tolerance):
    named = ", ".join(axes)
    told = f"It returned the shape {tuple(found.shape)}, where ({named}) = {tuple(wanted.shape)} belongs."
    if found.ndim == wanted.ndim and sorted(found.shape) == sorted(wanted.shape):
        for i in range(found.ndim):
            for j in range(i):
                if close(found.transpose(i, j).to(wanted.dtype), wanted, tolerance):
                    return f"{told} The numbers are right; {axes[j]} and {axes[i]} have changed places."
    return told


NAMED = {"2": 2.0, "1/2": 0.5, "−1": -1.0}


def _factor(found, wanted, sizes, slack):
    """One number that all of it was multiplied by."""
    norm = (wanted * wanted).sum()
    if norm == 0:
        return ""
    if not found.any():
        return "Every number is 0."
    k = ((found * wanted).sum() / norm).item()
    if abs(k) < 1e-3 or (found - k * wanted).abs().max() > slack:
        return ""
    names = dict(NAMED)
    for axis, size in sizes.items():
        for name, value in ((axis, size), (f"√{axis}", math.sqrt(size))):
            names |= {name: value, f"1/{name}": 1 / value}
    name = next((name for name, value in names.items() if value != 1 and abs(k / value - 1) < 2e-3), "")
    return f"Every number is {k:.4g} times what it should be" + (f", and {k:.4g} is {name}." if name else ".")


def _factors(found, wanted, axes, slack):
    """One number for every place along one axis."""
    for axis, name in reversed(list(enumerate(axes))):
        if wanted.shape[axis] == 1 or wanted.numel() == wanted.shape[axis]:
            continue
        others = [i for i in range(wanted.ndim) if i != axis]
        norm = (wanted * wanted).sum(others, keepdim=True)
        k = (found * wanted).sum(others, keepdim=True) / norm.where(norm > 0, 1.0)
        if (found - k * wanted).abs().max() <= slack and k.abs().min() > 1e-3:
            k = k.flatten()
            wrong = [i for i in range(len(k)) if abs(k[i] - 1) > 1e-3]
            if not wrong:
                continue
            shown = ", ".join(f"{k[i]:.3g} at {name} {i}" for i in wrong[:4]) + (", …" if len(wrong) > 4 else "")
            return f"It is off by a factor that depends on {name} only: {shown}."
    return ""


def _reordered(found, wanted, axes, slack):
    """The right slices along one axis, in another order."""
    for axis, name in enumerate(axes):
        size = wanted.shape[axis]
        if not 1 < size <= 64:
            continue
        mine, yours = (part.movedim(axis, 0).reshape(size, -1) for part in (wanted, found))
        if mine.shape[1] < 2:
            continue
        order: list[int] = []
        for near in torch.cdist(yours, mine, p=math.inf) <= slack:
            order += [i for i in range(size) if near[i] and i not in order][:1]
        if len(order) == size:
            told = ", ".join(str(i) for i in order[:12]) + (", …" if size > 12 else "")
            return f"The numbers are right, but in another order along {name}: you have {name} {told}."
    return ""


def _where(wrong, axes, right_word="right", wrong_word="wrong"):
    """At which places along which axes something is wrong."""
    told = []
    for axis, name in enumerate(axes):
        others = [i for i in range(wrong.ndim) if i != axis]
        bad = wrong.any(dim=others) if others else wrong
        good = [i for i in range(len(bad)) if not bad[i]]
        if good and name != "batch":
            bad = [i for i in range(len(bad)) if bad[i]]
            told.append(f"{right_word} at {name} {_runs(good)}, {wrong_word} at {name} {_runs(bad)}")
    if not told:
        share = wrong.double().mean().item()
        part = "All" if share == 1 else "Nearly all" if share > 0.99 else f"{share:.0%} of the"
        return f"{part} numbers are {wrong_word}" + (f", at every {_listed(axes)}." if share < 1 and axes else ".")
    first = "; ".join(told)
    return first[0].upper() + first[1:] + "."


def _listed(words):
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _runs(places):
    """0–4, 7, 9–12: a list of places in few characters."""
    runs = []
    for i in places:
        if runs and i == runs[-1][1] + 1:
            runs[-1][1] = i
        else:
            runs.append([i, i])
    told = [f"{a}" if a == b else f"{a}–{b}" for a, b in runs]
    return ", ".join(told[:6]) + (", …" if len(told) > 6 else "")


def _flags(found, wanted):
    extra, missing = int((found & ~wanted).sum()), int((wanted & ~found).sum())
    return f" {extra} are True that should be False, {missing} are False that should be True."


def _growth(error, axes):
    """Whether the error grows along the tokens."""
    for axis, name in enumerate(axes):
        if name in ("seq", "query") and error.shape[axis] >= 16:
            others = [i for i in range(error.ndim) if i != axis]
            parts = error.mean(dim=others).tensor_split(4) if others else error.tensor_split(4)
            means = [part.mean().item() for part in parts]
            if all(b > 1.2 * a for a, b in zip(means, means[1:])):
                return f" The error grows along {name}: {', '.join(f'{mean:.2g}' for mean in means)} by quarters."
    return ""
