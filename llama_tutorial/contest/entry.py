"""An entry of the contest: what a package brings, and how its model is made and trained within the budget."""

import importlib
import importlib.util
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..classroom.course.pieces import NAME
from .exam import VOCAB, Refused
from .lines import course_lines, package_lines

# Lesson 10's shape.
SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


class Clock:
    """The CPU-seconds of this process since it was made: all its threads, and the children that have ended."""

    def __init__(self, budget: float):
        self.budget, self.begun = budget, self.now()

    @staticmethod
    def now() -> float:
        """What the system says; it knows of children where it is not Windows."""
        return time.process_time() + sum(os.times()[2:4])

    def spent(self) -> float:
        """How many of them are spent."""
        return self.now() - self.begun

    def left(self) -> float:
        """How many of them are left."""
        return self.budget - self.spent()


@dataclass(frozen=True)
class Entry:
    """What takes part: a model to be made, a way to train it, and a function that counts (all lines, their own)."""

    name: str
    make: Callable
    train: Callable
    lines: Callable


def run_within(trainer, clock: Clock):
    """Take as many steps as fit, each with the schedule of a run of so many: the guess is renewed at every step.

    On a terminal a bar shows how much of the budget is spent.
    """
    from tqdm import tqdm

    costs, shape = [], "{desc}{percentage:3.0f}%|{bar}| {n:.0f} of {total:.0f} CPU-seconds"
    with tqdm(total=clock.budget, file=sys.stderr, disable=None, leave=False, bar_format=shape) as bar:
        while not costs or clock.left() > max(costs[-8:]):
            before = clock.spent()
            loss = trainer.advance()
            costs.append(clock.spent() - before)
            usual = sum(costs[-64:]) / len(costs[-64:])
            trainer.recipe = replace(trainer.recipe, steps=trainer.step + max(1, int(clock.left() / max(usual, 1e-6))))
            told = f"step {trainer.step:,} of about {trainer.recipe.steps:,}, loss {loss:.2f}"
            bar.set_description(told, refresh=False)
            bar.update(clock.spent() - bar.n)
    return trainer.model


def course_entry() -> Entry:
    """The course's own: lesson 10's shape and recipe, stopped at the budget."""
    from .. import training
    from ..causal_lm import LlamaForCausalLM

    def make(vocab_size, seed):
        return LlamaForCausalLM(SHAPE | {"vocab_size": vocab_size})

    def train(model, sources, clock, seed):
        return run_within(training.Trainer(model, sources, training.Recipe(seed=seed)), clock)

    return Entry("llama_tutorial", make, train, lambda: (course_lines(), 0))


# ------------------------------------------------------------------------------------------------ of a package


def found(given: str) -> Path:
    """The folder or the file of a package: a path, a folder with a my_llama in it, or a name that can be imported."""
    path = Path(given)
    if path.is_dir() and not (path / "__init__.py").is_file() and (path / NAME / "__init__.py").is_file():
        path = path / NAME
    if path.is_dir():
        if not (path / "__init__.py").is_file():
            raise ValueError(f"{given} is no package, it has no __init__.py: llama-tutorial exercises DIR makes one")
        return path.resolve()
    if path.is_file() and path.suffix == ".py":
        return path.resolve()
    spec = importlib.util.find_spec(given) if given.isidentifier() else None
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        raise ValueError(f"there is no package {given}: give its folder, its file NAME.py, or a name to import")
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin


@contextmanager
def package_entry(path: Path) -> Iterator[Entry]:
    """The entry of a package, which is imported while the block runs. ValueError where it brings no model."""
    name, folder = path.stem, path.is_dir()
    if name in sys.modules or not name.isidentifier():
        raise ValueError(f"a package called {name} cannot be imported beside the course's own: give it another name")
    first = path / "__init__.py" if folder else path
    where = {"submodule_search_locations": [str(path)]} if folder else {}
    spec = importlib.util.spec_from_file_location(name, first, **where)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        with in_words(path, "importing it"):
            spec.loader.exec_module(module)
            yours = part(module, "challenge") or module
            enter, train = getattr(yours, "enter", None), getattr(yours, "train", None)
            school = None if train else part(module, "training")
            shaped = None if enter else getattr(part(module, "causal_lm") or module, "LlamaForCausalLM", None)
        if enter is None and shaped is None:
            raise ValueError(f"{path} brings no model: give it a challenge.py with enter(vocab_size, seed)")
        make = made_by(path, enter, shaped)
        learn = trained_by(path, train, school)
        yield Entry(name, make, learn, lambda: loaded_lines(name, path if folder else path.parent, train or school))
    finally:
        for each in [each for each in sys.modules if each.partition(".")[0] == name]:
            del sys.modules[each]


def part(module, name: str):
    """A module of a package; None where it has none."""
    there = hasattr(module, "__path__") and importlib.util.find_spec(f"{module.__name__}.{name}")
    return importlib.import_module(f"{module.__name__}.{name}") if there else None


def made_by(path, enter, shaped) -> Callable:
    """How a package's model is made: by `enter`, or as its LlamaForCausalLM in lesson 10's shape."""

    def make(vocab_size, seed):
        with in_words(path, "enter(vocab_size, seed)" if enter else "making its LlamaForCausalLM"):
            return enter(vocab_size, seed) if enter else shaped(SHAPE | {"vocab_size": vocab_size})

    return make


def trained_by(path, train, school) -> Callable:
    """How a package's model is trained: by `train`, or by the course's recipe in its own Trainer, if it has one."""
    from .. import training

    trainer, recipe = (getattr(school, name, getattr(training, name)) for name in ("Trainer", "Recipe"))

    def learn(model, sources, clock, seed):
        if train:
            with in_words(path, "train(model, sources, seconds, seed)"):
                return train(model, sources, clock.left(), seed)
        if not hasattr(getattr(model, "model", None), "layers") or not hasattr(model, "lm_head"):
            raise ValueError(f"{path.name}: the course's recipe trains a model that has model.layers and lm_head; "
                             "for another one write train(model, sources, seconds, seed)")  # fmt: skip
        with in_words(path, "training by the course's recipe"):
            return run_within(trainer(model, sources, recipe(seed=seed)), clock)

    return learn


def loaded_lines(name: str, root: Path, trains) -> tuple[int, int]:
    """The lines of what was imported of a package; with the course's trainer, where the package has none."""
    loaded = [module for each, module in sys.modules.items() if each.partition(".")[0] == name]
    files = {Path(module.__file__).resolve() for module in loaded if getattr(module, "__file__", None)}
    total, own = package_lines(root, sorted(path for path in files if path.suffix == ".py" and root in path.parents))
    return total + (0 if trains else course_lines(["training"])), own


@contextmanager
def in_words(path: Path, doing: str):
    """What goes wrong in a package is a ValueError in one sentence, with the last line of the package's own."""
    try:
        yield
    except Refused:
        raise
    except (Exception, SystemExit) as error:
        places = traceback.extract_tb(error.__traceback__)
        places = [each for each in places if Path(each.filename).is_relative_to(path)]
        where = f" ({Path(places[-1].filename).name}, line {places[-1].lineno})" if places else ""
        told = f"{path.name}: {doing} ended with {type(error).__name__}{where}: {error}"
        raise ValueError(told.removesuffix(": ")) from error
