"""What is judged: the parts of a component, their cases and steps, and the mistakes that are known.

A component is one file of `classroom/components/`, named as the module that its lesson exports. It makes one
`Component`, and everything else is found from there: nothing is listed anywhere.
"""

import ast
import inspect
import linecache
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache, cached_property
from importlib import import_module

from torch import Tensor

from .. import discovered

EDITED = "<the lesson, with "  # how the file name of a wrong version begins


@dataclass(frozen=True)
class Case:
    """One property: its sentence, how to see it, the names of the axes, and what is close enough.

    `run` takes a subject (a learner's code behind one plain call, or the lesson's) and returns tensors; the property
    holds when the learner's equal the lesson's. `tell(found, wanted)` may say what is wrong in better words than a
    comparison can. `needs` names an argument without which a free function cannot have the property. `later`: what a
    later lesson asks for is told, not judged. `degenerate`: by its numbers steps cannot be told apart (zeros, quarter
    turns), so that other cases are asked first where it goes wrong.
    """

    says: str
    run: Callable[[Callable], Tensor | tuple[Tensor, ...]]
    axes: str = ""
    tolerance: float = 3e-4
    tell: Callable[[Tensor, Tensor], str] | None = None
    needs: str = ""
    later: bool = False
    degenerate: bool = False


class Cases(list):
    """The cases of a part, from the simplest to the whole: used as a decorator it adds one at the end.

    Each of the first ones switches most mechanisms off, so that the first that fails says most.
    """

    def __call__(self, says: str, axes: str = "", **more):
        def enter(run):
            self.append(Case(says, run, axes, **more))
            return run

        return enter

    def without(self, *names: str) -> "Cases":
        """These cases less those of the functions named; ValueError for a name that none has."""
        unknown = set(names) - {case.run.__name__ for case in self}
        if unknown:
            raise ValueError(f"no case is called {', '.join(sorted(unknown))}")
        return Cases(case for case in self if case.run.__name__ not in names)


@dataclass(frozen=True)
class Step:
    """One value on the lesson's way, as words say it.

    `after` names the steps that it is made of; unless given, the one before it. A `waypoint` is one that right ways
    need not pass through. `inside` names a library function that makes the step unseen, within itself. `shaped`: the
    numbers alone are not enough, their shape must be the step's, unless what is made of them is there. `early`: the
    lesson makes it while the module is built. `ordered`: the numbers must come in the step's own order and dtype, for
    they are those of the input, moved.
    """

    name: str
    value: Tensor
    after: tuple[str, ...] | None = None
    waypoint: bool = False
    inside: str = ""
    axes: str = ""
    shaped: bool = False
    early: bool = False
    ordered: bool = False


@dataclass(frozen=True)
class Bug:
    """One mistake: its identifier, what one sees of it, what to do, the step that it spoils, and its spellings.

    A spelling is the name that it stands in and either what it writes there for what, or a whole wrong version. Where
    spellings, or parts, spoil different steps, `step` lists them.
    """

    name: str
    symptom: str
    says: str
    step: str | tuple[str, ...]
    spellings: list[tuple[str, Mapping[str, str] | Callable]] = field(default_factory=list)

    @property
    def steps(self) -> tuple[str, ...]:
        return (self.step,) if isinstance(self.step, str) else self.step


@dataclass(frozen=True)
class Part:
    """Something a learner writes: the lesson's own version, how a case calls it, its cases, and its steps.

    `adapt` turns what a learner hands in into the subject of the cases. `steps`, called as a subject is, gives what
    the lesson computes on the way; `look` finds where a case leaves it, where that is not seen by the tensors that are
    made (steps.py). `of` is the part whose mistakes it can have, itself unless it is an answer; `unseen` never show.
    """

    name: str
    reference: Callable
    adapt: Callable[[Callable], Callable]
    cases: tuple[Case, ...]
    component: "Component"
    steps: Callable[..., Sequence[Step]] | None = None
    of: str = ""
    look: Callable | None = None
    unseen: tuple[str, ...] = ()

    def wrong(self) -> list[tuple[Bug, Callable]]:
        """Every mistake that this part can have, with a version that makes it; mistakes come once for each spelling."""
        unseen = {f"{self.component.name}.{name}" for name in self.unseen}
        return [each for each in self.component.wrong(self.of or self.name) if each[0].name not in unseen]


class Component:
    """All that the check knows of one lesson: of the module that it exports, and of its own functions beside that.

    `name` is the module's; a lesson that exports none says which `lesson` it is, and makes up a name. `by_hand` are
    edits of the module's text that put the plain arithmetic where a library's kernel stands, so that mistakes in single
    steps can be made there.
    """

    def __init__(self, name: str, by_hand: Mapping[str, str] | None = None, lesson: str = ""):
        self.name, self.text, self.space = name, "", {"__name__": "llama_tutorial.classroom"}
        if not lesson:
            module = import_module(f"llama_tutorial.{name}")
            self.space = {"__name__": module.__name__, "__package__": module.__package__}
            self.text = inspect.getsource(module)
            lesson = re.search(r"^# Exported from notebooks/(\w+)\.ipynb", self.text, re.MULTILINE)[1]
        self.lesson = lesson
        for old, new in (by_hand or {}).items():
            self.text = replaced_once(self.text, old, new, f"{name}, by hand")
        self.parts: dict[str, Part] = {}
        self.bugs: dict[str, Bug] = {}
        self.exercises: tuple = ()

    def part(self, reference: Callable, adapt: Callable, cases: Cases, steps=None, look=None, unseen=()) -> Part:
        """Enter a part; ValueError for a second one of its name. `unseen` names mistakes that never show in it.

        A reference that the lesson does not export is one of its own functions, and is written in the component's file.
        """
        name = reference.__name__
        if name in self.parts:
            raise ValueError(f"{self.name} has a part {name} already")
        if name not in self.nodes:
            own = vars(sys.modules[reference.__module__])
            self.space = {key: value for key, value in own.items() if not key.startswith("__")} | self.space
            self.text += "\n\n\n" + inspect.getsource(reference)
            del self.nodes
            vars(self).pop("made_of", None)
        self.parts[name] = Part(name, reference, adapt, tuple(cases), self, steps, look=look, unseen=unseen)
        return self.parts[name]

    def like(self, name: str, part: str, without: Sequence[str] = (), adapt=None, steps=None) -> Part:
        """An answer that is judged as a part is, save for the cases that its exercise leaves out.

        `adapt` makes a subject of the answer, of the lesson's own and of wrong versions; `steps` are the answer's.
        """
        known = self.parts[part]
        cases = tuple(Cases(known.cases).without(*without))
        adapt, steps = adapt or known.adapt, steps or known.steps
        return Part(name, known.reference, adapt, cases, self, steps, part, known.look, known.unseen)

    def probe(
        self, part: str, yes: Sequence[str], no: Sequence[str] = (), because: Mapping[str, str] | None = None
    ) -> Callable[[Callable], str]:
        """A judge of probes: what says True of every version with a mistake of `yes`, and False of the lesson's own and
        of those of `no`. So a probe is tried on the catalogue itself, and on copies of what it hands in.

        `because` gives a mistake's name, or "" for the lesson's own, what a probe that misjudges it should look at."""

        def judge(answer) -> str:
            hint = (because or {}).get
            told = [(False, "the lesson's own", self.parts[part].reference, hint("", ""))]
            for names, wanted in ((no, False), (yes, True)):
                for bug, name in ((self.bugs[f"{self.name}.{name}"], name) for name in names):
                    says = f"one with this mistake: {bug.says.rstrip('.')}"  # a new one, whatever a probe does to it
                    told += [(wanted, says, self.version(part, spelling), hint(name, ""))
                             for spelling in bug.spellings if spelling[0] in {part, *self.made_of[part]}]  # fmt: skip
            for wanted, name, version, more in told:
                if bool(answer(version)) != wanted:
                    return f"it should say {wanted} of {name}" + (f". {more}" if more else "")
            return ""

        return judge

    def bug(self, name: str, where: str, *wrong, step: str | tuple[str, ...], symptom: str, says: str) -> None:
        """Enter a mistake: in the definition `where` of the lesson, each of `wrong` is a spelling of it.

        A spelling is a dict of what stands there (exactly once) and what is written instead, or a function or class.
        """
        name = f"{self.name}.{name}"
        if name in self.bugs:
            raise ValueError(f"a mistake has one name, and {name} is there already: add a spelling with also()")
        self.bugs[name] = Bug(name, symptom, says, step)
        self.also(name, where, *wrong)

    def also(self, name: str, where: str, *wrong) -> None:
        """Enter further spellings of a mistake, perhaps in another definition."""
        bug = self.bugs[name if "." in name else f"{self.name}.{name}"]
        if not any(where == part or where in self.made_of[part] for part in self.parts):
            raise ValueError(f"{bug.name} stands in {where}, which no part of {self.name} is made of")
        for each in wrong:
            if not callable(each):
                self.edited(self.text, where, each, bug.name)  # so that a text that is gone is told at once
            bug.spellings.append((where, each))

    def gaps(self) -> list[str]:
        """What is only half registered, a sentence each; nothing where all fits together."""
        heads = {exercise.name.partition(".")[0] for exercise in self.exercises if exercise.kind == "implement"}
        told = [f"{name} is an exercise and no part: nothing judges it" for name in heads - self.parts.keys()]
        told += [f"{name} is a part and no exercise implements it" for name in self.parts.keys() - heads]
        told += [f"{part.name} has no cases" for part in self.parts.values() if not part.cases]
        tried = {bug.name for part in self.parts for bug, _ in self.wrong(part)}
        told += [f"{name} is tried in no part" for name in self.bugs.keys() - tried]
        told += [f"{part} has no mistakes" for part in self.parts if not self.wrong(part)]
        for exercise in self.exercises:
            if not exercise.exported and not exercise.answers:
                told.append(f"{exercise.name} has no answers")
            told += [f"{name} has no judge" for name, judge in exercise.answers.items()
                     if not callable(judge) and not isinstance(judge, Part)]  # fmt: skip
        return sorted(told)

    # ---------------------------------------------------------------------------------------------- wrong versions

    @cached_property
    def nodes(self) -> dict[str, ast.stmt]:
        """The statement that defines each name at the top of the module."""
        found = {}
        for node in ast.parse(self.text).body:
            targets = node.targets if isinstance(node, ast.Assign) else [node]
            for target in targets:
                name = getattr(target, "name", getattr(target, "id", ""))
                found |= {name: node} if name else {}
        return found

    @cached_property
    def made_of(self) -> dict[str, set[str]]:
        """The names of the module that each definition reaches, directly or through others."""
        direct = {
            name: {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} & self.nodes.keys() - {name}
            for name, node in self.nodes.items()
        }
        reached = {}
        for name in direct:
            found, queue = set(), [*direct[name]]
            while queue:
                each = queue.pop()
                if each not in found:
                    found.add(each)
                    queue += direct[each]
            reached[name] = found
        return reached

    def edited(self, text: str, where: str, edits: Mapping[str, str], owner: str) -> str:
        """The module's text with edits made within one definition; ValueError for a text that is not there once."""
        node = next((n for n in ast.parse(text).body if getattr(n, "name", "") == where), None)
        if node is None:
            raise ValueError(f"{owner}: {self.name} defines no {where}")
        lines = text.splitlines(keepends=True)
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]) - 1
        own = "".join(lines[first : node.end_lineno])
        for old, new in edits.items():
            own = replaced_once(own, old, new, f"{owner} in {where}")
        return "".join([*lines[:first], own, *lines[node.end_lineno :]])

    def version(self, part: str, *mistakes: tuple[str, object], told: str = "") -> Callable:
        """The lesson's `part` with mistakes made in it, or in what it is made of.

        Raises ValueError where two mistakes write in the same place.
        """
        text = self.text
        for where, wrong in mistakes:
            if not callable(wrong):
                text = self.edited(text, where, wrong, told or self.name)
        replaced = {where: wrong for where, wrong in mistakes if callable(wrong)}
        if len(replaced) < sum(callable(wrong) for _, wrong in mistakes):
            raise ValueError("two whole versions of one definition")
        file = f"{EDITED}{told or self.name}: {abs(hash(text)):x}>"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        space = self.space | {"__file__": file}
        exec(compile(text, file, "exec", dont_inherit=True), space)
        spoilt = {where for where, _ in mistakes}
        whole = [name for name in self.parts if name != part and not spoilt & {name, *self.made_of[name]}]
        space |= {name: self.parts[name].reference for name in whole} | replaced  # one part is judged at a time
        return space[part]

    @cache  # noqa: B019 – components live as long as the program
    def wrong(self, part: str) -> list[tuple[Bug, Callable]]:
        """Every mistake that a part can have, with a version that makes it, one for each spelling."""
        return [
            (bug, self.version(part, spelling, told=bug.name))
            for bug in self.bugs.values()
            for spelling in bug.spellings
            if spelling[0] == part or spelling[0] in self.made_of[part]
        ]


def replaced_once(text: str, old: str, new: str, owner: str) -> str:
    """`text` with `old`, which must stand there exactly once, replaced by `new`."""
    if text.count(old) != 1:
        raise ValueError(f"{owner}: {old!r} stands there {text.count(old)} times, and must stand there once")
    return text.replace(old, new)


# ------------------------------------------------------------------------------------------------ what there is


@cache
def parts() -> dict[str, Part]:
    """Every part by name."""
    return {name: part for component in discovered().values() for name, part in component.parts.items()}


@cache
def answers() -> dict[str, tuple]:
    """The exercise and the judge of every answer that stands nowhere in the package, by the answer's name."""
    exercises = [exercise for component in discovered().values() for exercise in component.exercises]
    return {name: (exercise, judge) for exercise in exercises for name, judge in exercise.answers.items()}


@cache
def catalogue() -> dict[str, Bug]:
    """All mistakes by identifier, component after component."""
    return {name: bug for component in discovered().values() for name, bug in component.bugs.items()}


def find_bug(name: str) -> Bug:
    """The mistake of that identifier; KeyError that names the nearest one."""
    if name not in catalogue():
        near = get_close_matches(name, catalogue(), n=1)
        raise KeyError(f"no mistake is called {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return catalogue()[name]


def find(obj, name: str | None) -> tuple[Part, str]:
    """The part of that name, or the one that `obj` is called after, and the method it asks for ("" for all).

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
    known = parts()
    if owner not in known or (method and not callable(getattr(known[owner].reference, method, None))):
        if told == "<lambda>":
            raise ValueError('a lambda has no name: say which exercise it is with check(yours, "NAME")')
        near = get_close_matches(told, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the exercises are {', '.join(known)}"
        cure = "" if name else '; say which with check(yours, "NAME")'
        raise ValueError(f"there is no exercise {told!r}: {hint}{cure}")
    return known[owner], method


def called(obj) -> str:
    """The name under which an object was defined: "LlamaRMSNorm", "LlamaRMSNorm.forward", "rotate"."""
    name = getattr(obj, "__qualname__", type(obj).__name__)
    return name.rpartition("<locals>.")[2]
