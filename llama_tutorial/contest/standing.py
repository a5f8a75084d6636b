"""An entry enters: it trains, is examined and measured, beside the course's own."""

from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

BUDGET = 110.0  # CPU-seconds; two minutes on a laptop
AGAIN = "llama-tutorial challenge --seed 0"  # measures the numbers below once more
# The course's own entry, measured by that command on two shared cores with the pinned versions.
COURSE = {"seed": 0, "bits_per_byte": 1.821, "parameters": 869_504, "cpu_seconds": 109.9, "python": "3.11"}
SEEDS = {0: 1.821, 1: 1.819, 2: 1.811}  # its bits per byte by seed


@dataclass(frozen=True)
class Result:
    """What became of an entry. `own_lines` are those that the package's maker wrote, `over` the seconds too many."""

    name: str
    seed: int
    bits_per_byte: float
    parameters: int
    lines: int
    own_lines: int
    cpu_seconds: float
    budget: float
    over: float


def course() -> dict:
    """The course's own entry as it is stored; its lines are counted."""
    from .lines import course_lines

    return {"name": "llama_tutorial", **COURSE, "lines": course_lines(), "budget": BUDGET, "measured_by": AGAIN}


def compete(package: str | None = None, seed: int = 0, budget: float = BUDGET, to=None, begun=None) -> Result:
    """Train an entry within a budget of CPU-seconds on one thread, and examine it; `to` hears what the package prints.

    `begun` is called when the package is found and the work begins. Raises ValueError for a package that cannot take
    part or fails, Refused for a model that does not count.
    """
    import torch

    from .entry import Clock, course_entry, found, package_entry
    from .exam import VOCAB, textbook

    path = None if package in (None, "llama_tutorial") else found(package)
    if begun:
        begun()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tokenizer, sources = textbook()
    clock = Clock(budget)
    quiet = redirect_stdout(to) if to else nullcontext()
    try:
        with quiet, package_entry(path) if path else nullcontext(course_entry()) as entry:
            torch.manual_seed(seed)
            made = checked(entry.make(VOCAB, seed), entry, "enter")
            model = entry.train(made, [source.clone() for source in sources], clock, seed)
            seconds = clock.spent()
            model = checked(made if model is None else model, entry, "train").eval()
            score, parameters = examined(model, tokenizer, seed, path)
            lines, own = entry.lines()
            over = max(0.0, seconds - budget)
            return Result(entry.name, seed, score, parameters, lines, own, seconds, budget, over)
    finally:
        torch.set_num_threads(threads)


def checked(model, entry, hook):
    """The model; ValueError unless it is a module of PyTorch."""
    from torch import nn

    if not isinstance(model, nn.Module):
        told = f"{hook} must return a model, a torch.nn.Module"
        raise ValueError(f"{entry.name}: {told}, got a {type(model).__name__}")
    return model


def examined(model, tokenizer, seed, path):
    """The exam's score and the parameters; what the model raises or why it is refused, with the name of the package."""
    from .entry import in_words
    from .exam import Refused, examine, parameter_count

    try:
        with in_words(path or Path("llama_tutorial"), "its model, in the exam,"):
            return examine(model, tokenizer, seed), parameter_count(model)
    except Refused as error:
        raise Refused(f"{path.stem if path else 'llama_tutorial'} is refused: {error}") from None
