"""What an exercise is, and the few judges that its answers need."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .cut import cut

KINDS = ("implement", "predict", "find the bug", "transfer")

Judge = Callable[[object], str]  # takes an answer, gives "" for a right one or one sentence that says what is wrong


@dataclass(frozen=True)
class Exercise:
    """One exercise of a lesson.

    `name` is the qualified name of what is cut (kind "implement") or a word of its own; `difficulty` and
    `importance` run from 1 to 5; `hints` are a ladder of three. What is not cut from an exported cell brings its
    `starter`, the code that a student finds, and `answers`: each name that the student defines, with its judge.
    `solution` is code that defines them all, `why` what it teaches. A transfer exercise publishes neither; `worked`
    is its answer of another kind, shown once the learner's has passed. `seeded` takes a learner's seed and gives the
    fields that vary with it, by name.
    """

    name: str
    kind: str
    task: str
    difficulty: int
    importance: int
    minutes: int
    hints: tuple[str, str, str]
    title: str = ""
    text: str = ""
    starter: str = ""
    answers: Mapping[str, Judge] = field(default_factory=dict)
    solution: str = ""
    why: str = ""
    worked: str = ""
    seeded: Callable[[int], Mapping[str, object]] | None = None

    @property
    def exported(self) -> bool:
        """Whether what is written takes the place of what a lesson exports: it then stands in the student's package."""
        return self.kind == "implement" and not self.answers

    def of(self, seed: int | None) -> "Exercise":
        """The exercise of the learner with that seed; as it stands for None, or where nothing varies."""
        return self if seed is None or self.seeded is None else replace(self, **self.seeded(seed))


def dots(count: int) -> str:
    """A number from 1 to 5 as dots."""
    return "●" * count + "○" * (5 - count)


def own(reference: Callable, task: str, method: str = "") -> dict[str, str]:
    """Name, kind, task, starter and solution of an exercise that asks for what no lesson exports: a function of the
    component's file, or a method of a class there."""
    source, name = inspect.getsource(reference).rstrip(), reference.__name__ + (f".{method}" if method else "")
    starter = cut(source, {name: task}).source
    return {"name": name, "kind": "implement", "task": task, "starter": starter, "solution": source}


def typed_number(truth: float, tolerance: float, slips: Mapping[float, str] | None = None) -> Judge:
    """A judge of a number: right within a share `tolerance`; a slip is named by the value that it gives."""

    def judge(answer) -> str:
        answer = answer.item() if getattr(answer, "ndim", None) == 0 else answer  # a tensor or an array of one number
        if isinstance(answer, bool) or not isinstance(answer, int | float):
            return f"the answer is a number, got {answer!r:.60}"
        if math.isclose(answer, truth, rel_tol=tolerance):
            return ""
        for value, told in (slips or {}).items():
            if math.isclose(answer, value, rel_tol=tolerance):
                return told
        if math.isclose(answer, truth, rel_tol=10 * tolerance):
            return f"{answer!r} is near, but not near enough: keep more digits until the end"
        if truth == int(truth) and 0.5 < answer / (truth or 1) < 2:  # the quotient of two small numbers gives it away
            return f"{answer!r} is too {'small' if answer < truth else 'large'}: not the right number"
        size = f"{answer / truth:.3g} times" if truth and answer else "not"
        return f"{answer!r} is {size} the right number"

    return judge


def chosen(seed: int, choices: Sequence):
    """The choice of the learner with that seed; who has the next number has another."""
    return choices[seed % len(choices)]


def said(condition, told: str) -> str:
    """The sentence where the condition fails, as a judge gives it; nothing where it holds."""
    return "" if condition else told


def first_fault(*faults: str) -> str:
    """The first sentence that is not empty."""
    return next((fault for fault in faults if fault), "")


def same_tensor(name: str, mine, wanted, tolerance: float = 1e-5) -> str:
    """What is wrong with a tensor beside the one that was wanted, in one sentence, or nothing."""
    import torch

    if not isinstance(mine, torch.Tensor):
        return f"{name} should return a tensor, got {type(mine).__name__}"
    if mine.shape != wanted.shape:
        return f"{name} should return {tuple(wanted.shape)}, got {tuple(mine.shape)}"
    if mine.dtype != wanted.dtype:
        return f"{name} should return {wanted.dtype}, got {mine.dtype}"
    if torch.allclose(mine.double(), wanted.double(), rtol=tolerance, atol=tolerance):
        return ""
    differ = ~torch.isclose(mine.double(), wanted.double(), rtol=tolerance, atol=tolerance)
    first = [int(place) for place in differ.nonzero()[0]]
    got, want = mine[tuple(first)].item(), wanted[tuple(first)].item()
    share = f"{differ.double().mean().item():.0%}"
    return f"{name} differs in {share} of its numbers, first at {first}: {got:.4g} where {want:.4g} belongs"
