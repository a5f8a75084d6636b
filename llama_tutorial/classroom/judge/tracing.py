"""Where it goes wrong in code that makes no tensors, but a dict of shapes by name: the first line whose names are wrong.

A failing answer runs once more under `sys.settrace`. After each line of the learner's, the dicts, numbers and strings
among its frame's names are looked at; which statement those lines belong to, its own text says.
"""

import ast
import linecache
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from . import guard
from .parts import Case, Part, Step
from .steps import Line, Place, _learner

MOST = 5000  # lines; what runs longer is not located
COMPREHENSIONS = ("<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>")


@dataclass(frozen=True)
class Group(Step):
    """A step whose `value` is a dict: the shapes of all names in which `pattern` is found, unless an earlier group's is.

    Where the pattern has a group of its own, what that finds is compared, each once, in the place of names and shapes.
    """

    pattern: str = ""

    def holds(self, name: str) -> bool:
        return re.search(self.pattern, name) is not None


@dataclass(frozen=True)
class Moment:
    """A frame after one of the learner's lines: what its dicts have gained and hold, as (name, shape), and its values.

    `caller` is the learner's line that called it, if one did. `values` are its numbers, strings and rows of numbers.
    """

    line: Line
    frame: int
    caller: Line | None
    gained: list[tuple[str, tuple]]
    held: set[tuple[str, tuple]]
    values: dict[str, object] = field(repr=False)
    empty: list[str]


class Trace:
    """Keeps a moment for every line of the learner's that runs inside it; what traced before traces again afterwards."""

    def __init__(self):
        self.moments: list[Moment] = []
        self.frames: dict = {}  # a frame: its number, the line that it is in, and who called it
        self.known: dict = {}  # a dict by its id: itself, so that the id stays its own, and what it held

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.called)
        return self

    def __exit__(self, *_):
        sys.settrace(self.before)

    def called(self, frame, event, _):
        line = _learner(frame)[0]
        if line is None or line.file != frame.f_code.co_filename or frame.f_code.co_name in COMPREHENSIONS:
            return None
        caller = _learner(frame.f_back)[0] if frame.f_back else None
        self.frames[frame] = [len(self.frames), None, caller]
        return self.ran

    def ran(self, frame, event, result):
        number, before, caller = self.frames[frame]
        if event in ("line", "return") and before and len(self.moments) < MOST:
            self.look(Line(frame.f_code.co_filename, before), number, caller, dict(frame.f_locals), result)
        self.frames[frame][1] = frame.f_lineno
        return self.ran

    def look(self, line, frame, caller, names, result):
        dicts = [each for each in (*names.values(), result) if isinstance(each, dict)]
        gained, held = [], set()
        for each in dicts:
            now = {name: tuple(shape) for name, shape in list(each.items()) if isinstance(name, str) and _row(shape)}
            before = self.known.get(id(each), (each, {}))[1]
            gained += [(name, shape) for name, shape in now.items() if before.get(name) != shape]
            held |= set(now.items())
            self.known[id(each)] = each, now
        values = {name: value for name, value in names.items() if isinstance(value, int | str) or _row(value)}
        empty = [name for name, value in names.items() if value == {}]
        self.moments.append(Moment(line, frame, caller, gained, held, values, empty))


def _row(value) -> bool:
    """Whether it is a row of whole numbers, as a shape is."""
    return isinstance(value, tuple | list | range) and len(value) < 1000 and all(type(each) is int for each in value)


def locate_names(part: Part, kind, case: Case) -> tuple[Place | None, bool]:
    """Where one case leaves the way of the part's groups, as steps.locate asks; and whether every name is right."""
    subject, calls = part.adapt(kind), []

    def traced(*args):
        with Trace() as trace:
            result = subject(*args)
        calls.append((args, trace, result))
        return result

    guard.usual()
    try:
        case.run(traced)
    except (Exception, SystemExit):  # it is told elsewhere
        pass
    for args, trace, result in calls:
        found = {name: tuple(shape) if _row(shape) else shape for name, shape in result.items()}
        fault = Fault.first(part.steps(*args), found)
        if fault:
            line = Search(trace.moments, fault, args).line()
            before = [group for group in fault.before if group.value]
            reached = before[-1].name if before else ""
            missing = "missing" if fault.shape is None else "wrong"
            place = Place(fault.group, reached, line if reached else None, line, fault.says, None, False, case,
                          what="names and shapes", missing=missing)  # fmt: skip
            return (place if line else None), False
    return None, bool(calls)


@dataclass(frozen=True)
class Fault:
    """The first group that is not as it should be, and its first wrong name: with its shape there, and the right one.

    `shape` is None where the name is missing, `right` where it belongs to no tensor. `layers`: what they are numbered,
    where that is the fault. `model` and `found`: all right names, and all of the learner's.
    """

    group: Group
    before: list[Group]
    name: str
    shape: tuple | None
    right: tuple | None
    says: str
    model: dict[str, tuple]
    found: dict[str, tuple]
    layers: list[int] | None = None

    @classmethod
    def first(cls, groups: list[Group], found: dict) -> "Fault | None":
        model = {name: shape for group in groups for name, shape in group.value.items() if isinstance(name, str)}
        left = dict(found)
        for i, group in enumerate(groups):
            if re.compile(group.pattern).groups:
                wanted = sorted(group.value)
                numbers = sorted({int(each[1]) for name in found if (each := re.search(group.pattern, name))})
                if numbers != wanted:
                    told = f"{len(wanted)} layers are numbered {_listed(numbers)}, where {_listed(wanted)} belong."
                    return cls(group, groups[:i], "", () if numbers else None, (), told, model, found, numbers)
                continue
            mine = {name: left.pop(name) for name in list(left) if group.holds(name)}
            for name, right in group.value.items():
                if name in mine and mine[name] != right:
                    told = f"{name} is {mine[name]}, where the model holds {right}."
                    return cls(group, groups[:i], name, mine[name], right, told, model, found)
            absent = next((name for name in group.value if name not in mine), None)
            lost = "" if absent is None else f"{absent} {group.value[absent]} is missing"
            for name, shape in mine.items():
                if name not in group.value:
                    told = f"{name} {shape} belongs to no tensor of this model" + (f", and {lost}." if lost else ".")
                    return cls(group, groups[:i], name, shape, None, told, model, found)
            if lost:
                return cls(group, groups[:i], absent, None, group.value[absent], f"{lost}.", model, found)
        return None


def _listed(numbers) -> str:
    told = [str(number) for number in numbers]
    return ", ".join([*told[:6], "…"] if len(told) > 6 else told) or "not at all"


# -------------------------------------------------------------------------------------------------------- which line


class Search:
    """Looks through the moments of a run for the line that a fault comes from."""

    def __init__(self, moments: list[Moment], fault: Fault, args: tuple):
        self.moments, self.fault = moments, fault
        fields = [value for arg in args if isinstance(arg, Mapping) for value in dict(arg).values()]
        self.given = {value for value in fields if type(value) is int}

    def line(self) -> Line | None:
        fault = self.fault
        if not self.moments:
            return None
        if fault.layers is not None:
            return self.numbering()
        if fault.shape is None:
            return self.absent()
        return self.stranger() if fault.right is None else self.misshapen()

    def first(self, wanted) -> Moment | None:
        """The first moment in which a dict gained what `wanted(name, shape)` says True of."""
        return next((each for each in self.moments if any(wanted(*entry) for entry in each.gained)), None)

    def belongs(self, key: str, shape: tuple) -> bool:
        return any(_within(key, name) and shape == right for name, right in self.fault.model.items())

    def right_elsewhere(self, moment: Moment) -> bool:
        """Whether the same line gave what is right another time: then what it was given is to blame."""
        return any(each.line == moment.line and each.gained and all(self.belongs(*entry) for entry in each.gained)
                   for each in self.moments)  # fmt: skip

    def misshapen(self):
        """The first line that gave the name its wrong shape, or what that line takes the shape, or a number, from."""
        fault = self.fault
        made = self.first(
            lambda key, shape: _within(key, fault.name) and shape == fault.shape and not self.belongs(key, shape)
        )
        if made is None:
            return None
        line, parts = made.line, _own(_statement(made.line))
        if self.right_elsewhere(made):
            word = self.word(_loop(made.line))
            if word is None and made.caller:
                return _head(made.caller)
            line, parts = word or (line, parts)
        else:
            line, parts = self.word(_statement(made.line)) or (_head(line), parts)
        return self.number(made, parts) or line

    def word(self, node) -> tuple[Line, list] | None:
        """Where in a statement's own text the name is spelt, or the most telling part of it; and what stands with it."""
        found = []
        for part in _own(node):
            for each in ast.walk(part):
                for inner, beside in _spelt(each):
                    fits = sum(_within(inner.value, name) for name in self.fault.model)
                    if _within(inner.value, self.fault.name):
                        found.append((fits, -inner.lineno, inner, beside))
        if not found:
            return None
        *_, inner, beside = min(found, key=lambda each: each[:2])
        return Line(node.file, inner.lineno), beside

    def number(self, moment: Moment, parts: list) -> Line | None:
        """Where a number of the shape was made, if the right one stands nowhere: the line that sets its name."""
        shape, right = self.fault.shape, self.fault.right
        if len(shape) != len(right):
            return None
        place = next(i for i in range(len(shape)) if shape[i] != right[i])
        if right[place] in self.given or right[place] in moment.values.values():
            return None
        sole = parts[0] if len(parts) == 1 else None
        if isinstance(sole, ast.Tuple) and len(sole.elts) == len(shape):
            parts = [sole.elts[place]]
        names = {each.id for part in parts for each in ast.walk(part) if isinstance(each, ast.Name)}
        name = next((name for name in sorted(names) if moment.values.get(name) == shape[place]), None)
        if name is None:
            return None
        own = [each for each in self.moments[: self.moments.index(moment) + 1] if each.frame == moment.frame]
        since = len(own) - 1
        while since and own[since - 1].values.get(name) == shape[place]:
            since -= 1
        if since == 0 and name not in {each.id for part in _own(_statement(own[0].line)) for each in ast.walk(part)
                                       if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}:  # fmt: skip
            return moment.caller and _head(moment.caller)  # it was given
        setter = _statement(own[since].line)
        further = self.word(setter) if isinstance(setter, ast.For) else None
        return further and self.number(own[since - 1], further[1]) or (further[0] if further else _head(own[since].line))

    def stranger(self):
        """The first line that made the name, or the `if` or the call that let it."""
        fault = self.fault
        made = self.first(
            lambda key, shape: _within(key, fault.name) and not any(_within(key, name) for name in fault.model)
        ) or self.first(lambda key, shape: key == fault.name)
        if made is None:
            return None
        if made.caller and self.right_elsewhere(made):
            return _head(made.caller)
        return _guard(made.line) or self.spelt(made.line)

    def spelt(self, line: Line) -> Line:
        """Where in the statement of a line the name is spelt, or its first line."""
        word = self.word(_statement(line))
        return word[0] if word else _head(line)

    def absent(self):
        """The line that dropped a name, that should have made it with its like, or that made the names before it."""
        fault = self.fault
        like = [name for name in fault.group.value if name in fault.found]
        others = fault.model.keys() - fault.group.value.keys()

        def own(key):
            return _within(key, fault.name) and not any(_within(key, name) for name in others)

        made = self.first(lambda key, shape: own(key) and shape == fault.right)
        if made:
            after = self.moments[self.moments.index(made) :]
            after = [each for each in after if each.frame == made.frame]
            lost = (each for each in after if not any(own(key) for key, _ in each.held))
            return _head(next(lost, after[-1]).line)
        for name in like:
            made = self.first(lambda key, shape: _within(key, name) and shape == fault.model[name] and not own(key))
            if made:
                return _guard(made.line) or _head(made.line)
        for moment in self.moments:  # what was written, and never ran
            for each in _function(moment.line):
                if isinstance(each, ast.Constant) and isinstance(each.value, str) and own(each.value):
                    line = Line(moment.line.file, each.lineno)
                    return _guard(line) or _head(line)
        for moment in self.moments:
            for name in moment.empty:
                if _within(name, fault.name):
                    return _head(moment.line)
        near = [group.value for group in fault.before if group.value.keys() & fault.found.keys()]
        added = [each for each in self.moments if any(key in (near or [fault.found])[-1] for key, _ in each.gained)]
        return _head(added[-1].line) if added else None

    def numbering(self):
        """The line that makes the numbers of the layers, or the first name that holds one."""
        found, wanted = self.fault.layers, sorted(self.fault.group.value)
        counted: dict = {}
        for each in self.moments:
            for name, value in each.values.items():
                if found and _row(value) and list(value) == found:
                    return _head(each.line)
                if type(value) is int:
                    first, many = counted.setdefault((each.frame, name), (each.line, set()))
                    many.add(value)
        for (_, name), (line, many) in counted.items():
            node = _statement(line)
            if found and sorted(many) == found and isinstance(node, ast.For) and name in ast.dump(node.target):
                return _head(line)
        pattern = self.fault.group.pattern

        def counts(text, wrong):
            number = re.search(pattern, text + ".")
            return bool(number) and (not wrong or int(number[1]) not in wanted)

        for wrong in (True, False):
            for each in self.moments:
                texts = [value for value in each.values.values() if isinstance(value, str)]
                if any(counts(text, wrong) for text in [*texts, *(key for key, _ in each.gained)]):
                    return _head(each.line)
        made = self.first(lambda key, _: key in self.fault.found)
        return made and _head(made.line)


def _within(key: str, name: str) -> bool:
    """Whether the words of `key` stand in `name` one after the other: "o" or "o_proj.weight" in "self_attn.o_proj.weight"."""
    part, whole = ([word for word in re.split(r"[._]", text) if word] for text in (key, name))
    return bool(part) and any(whole[i : i + len(part)] == part for i in range(len(whole)))


# ------------------------------------------------------------------------------------------------- the learner's text


@cache
def _parsed(text: str, file: str) -> tuple[list[ast.stmt], dict]:
    """The statements of a file, and what each stands in; none where Python cannot read it alone."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return [], {}
    inside = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    for node in found:
        node.file = file
    return found, inside


def _text(line: Line):
    return _parsed("".join(linecache.getlines(line.file)), line.file)


def _statement(line: Line) -> ast.stmt | None:
    """The innermost statement that a line belongs to."""
    holding = [node for node in _text(line)[0] if node.lineno <= line.number <= node.end_lineno]
    return min(holding, key=lambda node: node.end_lineno - node.lineno, default=None)


def _head(line: Line) -> Line:
    """The first line of a line's statement."""
    node = _statement(line)
    return Line(line.file, node.lineno) if node else line


def _around(line: Line, *kinds) -> ast.AST | None:
    """The innermost of some kinds of statements that a line's own stands in, within its function."""
    node, inside = _statement(line), _text(line)[1]
    while node in inside and not isinstance(inside[node], ast.FunctionDef | ast.Lambda | ast.Module):
        node = inside[node]
        if isinstance(node, kinds):
            return node
    return None


def _loop(line: Line):
    return _around(line, ast.For)


def _guard(line: Line) -> Line | None:
    """The line of the `if` that a line stands in."""
    node = _around(line, ast.If)
    return Line(line.file, node.lineno) if node else None


def _function(line: Line) -> list[ast.AST]:
    """All that stands in the function that a line belongs to."""
    node, inside = _statement(line), _text(line)[1]
    while node in inside and not isinstance(node, ast.FunctionDef):
        node = inside[node]
    return list(ast.walk(node)) if isinstance(node, ast.FunctionDef) else []


def _own(node) -> list[ast.AST]:
    """The expressions of a statement, without the statements inside it."""
    if node is None:
        return []
    return [each for each in ast.iter_child_nodes(node) if isinstance(each, ast.expr)]


def _spelt(node) -> list[tuple[ast.Constant, list]]:
    """The strings that stand in an expression directly, each with what stands beside it: a dict's value, a row."""
    if isinstance(node, ast.Dict):
        pairs = [(key, [value]) for key, value in zip(node.keys, node.values)]
    elif isinstance(node, ast.Tuple | ast.List):
        pairs = [(each, node.elts) for each in node.elts]
    elif isinstance(node, ast.Call):
        pairs = [(each, node.args) for each in node.args]
    elif isinstance(node, ast.Subscript):
        pairs = [(node.slice, [])]
    else:
        pairs = []
    return [(each, beside) for each, beside in pairs if isinstance(each, ast.Constant) and isinstance(each.value, str)]
