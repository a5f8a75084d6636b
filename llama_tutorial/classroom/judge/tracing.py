"""Where it goes wrong in code that makes no tensors, but a dict of shapes by name: the first line that spoils it.

A failing answer runs once more under `sys.settrace`. After each line of the learner's, the dicts, numbers and strings
among its frame's names are looked at; the learner's own text says which statement a line belongs to.
"""

import ast
import linecache
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from . import guard
from .parts import Case, Part, Step
from .steps import Line, Place, _learner

MOST = 5000  # lines; what runs longer is not located
COMPREHENSIONS = ("<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>")


@dataclass(frozen=True)
class Group(Step):
    """A step whose `value` is a dict: the shapes of the names that hold `pattern`, unless an earlier group's.

    Where the pattern captures a number, the numbers are compared, in the place of names and shapes.
    """

    pattern: str = ""


@dataclass(frozen=True)
class Moment:
    """A frame after one of the learner's lines.

    `caller` is the line that called it and that line's frame, if they are the learner's. `gained` and `held` are what
    its dicts have got by this line, and hold, as (name, shape); `empty` the names of those that hold nothing. `values`
    are its numbers, strings and rows of numbers.
    """

    line: Line
    frame: int
    caller: tuple[Line, int] | None
    gained: list[tuple[str, tuple]]
    held: set[tuple[str, tuple]]
    empty: list[str]
    values: dict[str, object]

    def texts(self) -> list[str]:
        """The names that its dicts have gained, and its strings."""
        return [key for key, _ in self.gained] + [value for value in self.values.values() if isinstance(value, str)]


class Trace:
    """Keeps a moment for every line of the learner's that runs inside it; who traced before traces afterwards."""

    def __init__(self):
        self.moments: list[Moment] = []
        self.frames: dict = {}  # of each frame its number, the line that it is in, and who called it
        self.known: dict = {}  # every dict by its id: itself, so that the id stays its own, and what it held last

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
        above = frame.f_back
        while above and above not in self.frames:
            above = above.f_back
        caller = (Line(above.f_code.co_filename, above.f_lineno), self.frames[above][0]) if above else None
        self.frames[frame] = [len(self.frames), None, caller]
        return self.ran

    def ran(self, frame, event, result):
        if len(self.moments) == MOST:
            return None
        number, before, caller = self.frames[frame]
        if before and event in ("line", "return"):
            self.look(Line(frame.f_code.co_filename, before), number, caller, dict(frame.f_locals), result)
        self.frames[frame][1] = frame.f_lineno
        return self.ran

    def look(self, line, frame, caller, names, result):
        gained, held = [], set()
        for each in (*names.values(), result):
            pairs = each.items() if isinstance(each, dict) else each if isinstance(each, list) else ()
            now = [tuple(pair) for pair in list(pairs) if isinstance(pair, tuple) and len(pair) == 2]
            now = {name: tuple(shape) for name, shape in now if isinstance(name, str) and _row(shape)}
            before = self.known.get(id(each), (each, {}))[1]
            gained += [(name, shape) for name, shape in now.items() if before.get(name) != shape]
            held |= set(now.items())
            if now or before:
                self.known[id(each)] = each, now
        empty = [name for name, value in names.items() if isinstance(value, dict) and not value]
        values = {name: value for name, value in names.items() if isinstance(value, int | str) or _row(value)}
        self.moments.append(Moment(line, frame, caller, gained, held, empty, values))


def _row(value) -> bool:
    """Whether it is a row of whole numbers, as a shape is."""
    return isinstance(value, tuple | list | range) and len(value) < 1000 and all(type(each) is int for each in value)


def locate_names(part: Part, kind, case: Case) -> tuple[Place | None, bool]:
    """Where one case leaves the way of the part's groups, as steps.locate asks; and whether every name is right."""
    subject, calls = part.adapt(kind), []

    def traced(*args):
        with Trace() as trace:
            result = subject(*args)
        calls.append((args, trace.moments, result))
        return result

    guard.usual()
    try:
        case.run(traced)
    except (Exception, SystemExit):  # it is told elsewhere
        pass
    for args, moments, result in calls:
        found = {name: tuple(shape) if _row(shape) else shape for name, shape in result.items()}
        wrong = Wrong.first(part.steps(*args), found)
        if wrong:
            line = Search(moments, wrong, args).line()
            reached = next((group.name for group in reversed(wrong.before) if group.value), "the config")
            missing = "missing" if wrong.shape is None else "wrong"
            place = Place(wrong.group, reached, line, line, wrong.says, None, case=case, what="names and shapes",
                          missing=missing)  # fmt: skip
            return (place if line else None), False
    return None, bool(calls)


@dataclass(frozen=True)
class Wrong:
    """The first group that is not as it should be, and its first wrong name: with its shape there, and the right one.

    `shape` is None where the name is missing, `right` where it belongs to no tensor. `model` and `found` are all right
    names, and all of the learner's; `numbers` what its layers are numbered, where that is what is wrong.
    """

    group: Group
    before: list[Group]
    model: dict[str, tuple]
    found: dict[str, tuple]
    says: str
    name: str = ""
    shape: tuple | None = None
    right: tuple | None = None
    numbers: list[int] | None = None

    @classmethod
    def first(cls, groups: list[Group], found: dict) -> "Wrong | None":
        model = {name: shape for group in groups for name, shape in group.value.items() if isinstance(name, str)}
        left = dict(found)
        for i, group in enumerate(groups):
            context = group, groups[:i], model, found
            if re.compile(group.pattern).groups:
                there = [re.search(group.pattern, name) for name in found]
                numbers, wanted = sorted({int(each[1]) for each in there if each}), sorted(group.value)
                if numbers != wanted:
                    told = f"Your layers are numbered {_in_words(numbers)}, where {_in_words(wanted)} belong."
                    return cls(*context, told, shape=() if numbers else None, right=(), numbers=numbers)
                continue
            mine = {name: left.pop(name) for name in list(left) if re.search(group.pattern, name)}
            for name, right in group.value.items():
                if name in mine and mine[name] != right:
                    told = f"{name} is {mine[name]}, where the model holds {right}."
                    return cls(*context, told, name, mine[name], right)
            absent = next((name for name in group.value if name not in mine), "")
            lost = f"{absent} {group.value[absent]} is missing" if absent else ""
            for name, shape in mine.items():
                if name not in group.value:
                    told = f"{name} {shape} belongs to no tensor of this model" + (f", and {lost}." if lost else ".")
                    return cls(*context, told, name, shape)
            if lost:
                return cls(*context, f"{lost}.", absent, right=group.value[absent])
        return None


def _in_words(numbers) -> str:
    told = [str(number) for number in numbers]
    return ", ".join([*told[:6], "…"] if len(told) > 6 else told) or "not at all"


# -------------------------------------------------------------------------------------------------------- which line


class Search:
    """Looks through the moments of a run for the line that what is wrong comes from."""

    def __init__(self, moments: list[Moment], wrong: Wrong, args: tuple):
        self.moments, self.wrong = moments, wrong
        fields = [value for arg in args if isinstance(arg, Mapping) for value in dict(arg).values()]
        self.given = {value for value in fields if type(value) is int}

    def line(self) -> Line | None:
        if not 0 < len(self.moments) < MOST:
            return None
        if self.wrong.numbers is not None:
            return self.misnumbered()
        if self.wrong.shape is None:
            return self.absent()
        return self.stranger() if self.wrong.right is None else self.misshapen()

    def gains(self, wanted) -> Moment | None:
        """The first moment at which a dict gained what `wanted(name, shape)` says True of."""
        return next((each for each in self.moments if any(wanted(*entry) for entry in each.gained)), None)

    def belongs(self, key: str, shape: tuple) -> bool:
        return any(_within(key, name) and shape == right for name, right in self.wrong.model.items())

    def known(self, text: str) -> bool:
        return any(_within(text, name) for name in self.wrong.model)

    def right_elsewhere(self, moment: Moment) -> bool:
        """Whether the same line made only what is right another time: then what it was given is to blame."""
        return any(each.line == moment.line and each.gained and all(self.belongs(*entry) for entry in each.gained)
                   for each in self.moments)  # fmt: skip

    def caller_of(self, moment: Moment) -> Moment:
        """The frame that called this one, as it stood then; this one where none did."""
        before = self.moments[: self.moments.index(moment)]
        return next((each for each in reversed(before) if each.frame == moment.caller[1]), moment)

    def spelt(self, node) -> tuple[Line, list] | None:
        """Where in a statement's own text the wrong name is spelt, or what tells most of it; and what stands beside."""
        found = [(sum(_within(text.value, name) for name in self.wrong.model), -text.lineno, i, text, beside)
                 for part in _own(node) for each in ast.walk(part) for i, (text, beside) in enumerate(_strings(each))
                 if _within(text.value, self.wrong.name)]  # fmt: skip
        if not found:
            return None
        *_, text, beside = min(found, key=lambda each: each[:3])
        return Line(node.file, text.lineno), beside

    # ------------------------------------------------------------------------------------------------- a wrong shape

    def misshapen(self):
        """The first line that gave the name its wrong shape, or the row, call or number that this line has it from."""
        name, wrong = self.wrong.name, self.wrong.shape
        made = self.gains(lambda key, shape: _within(key, name) and shape == wrong and not self.belongs(key, shape))
        if made is None:
            return None
        line, told = _head(made.line), None
        if not self.right_elsewhere(made):
            told = self.spelt(_statement(made.line))
        elif row := self.spelt(_around(made.line, ast.For)):
            told = row
        elif made.caller:
            line, made = made.caller[0], self.caller_of(made)
            told = self.spelt(_statement(line))
        line, beside = told or (line, _own(_statement(line)))
        return self.number(made, beside) or line

    def number(self, moment: Moment, parts: list) -> Line | None:
        """The line that sets the variable which a number of the shape is, if the right number stands nowhere."""
        shape, right = self.wrong.shape, self.wrong.right
        if not isinstance(shape, tuple) or len(shape) != len(right):
            return None
        place = next(i for i in range(len(shape)) if shape[i] != right[i])
        if right[place] in self.given or right[place] in moment.values.values():
            return None
        if len(parts) == 1 and isinstance(parts[0], ast.Tuple) and len(parts[0].elts) == len(shape):
            parts = [parts[0].elts[place]]
        used = {each.id for part in parts for each in ast.walk(part) if isinstance(each, ast.Name)}
        name = next((name for name in sorted(used) if moment.values.get(name) == shape[place]), None)
        if name is None:
            return None
        own = [each for each in self.moments[: self.moments.index(moment) + 1] if each.frame == moment.frame]
        since = len(own) - 1
        while since and own[since - 1].values.get(name) == shape[place]:
            since -= 1
        setter = _statement(own[since].line)
        if since == 0 and own[0].caller and name not in _sets(setter):
            return own[0].caller[0]
        return _head(own[since].line)

    # ------------------------------------------------------------------------------------------------- a name too many

    def stranger(self):
        """The first line that made the name, or the call or the `if` that let it."""
        name = self.wrong.name
        made = self.gains(lambda key, _: _within(key, name) and not self.known(key))
        made = made or self.gains(lambda key, _: key == name)
        if made is None:
            return None
        if made.caller and self.right_elsewhere(made):
            line = made.caller[0]
        elif guarding := _around(made.line, ast.If):
            return Line(made.line.file, guarding.lineno)
        else:
            texts = (each for each in self.moments if any(self.strange(text) for text in each.texts()))
            line = next(texts, made).line
        told = self.spelt(_statement(line))
        return told[0] if told else line

    def strange(self, text: str) -> bool:
        """Whether a text is part of a name of theirs, and of none of the model's."""
        return len(text) < 200 and not self.known(text) and _within(text, self.wrong.name)

    # ------------------------------------------------------------------------------------------------- a name too few

    def absent(self):
        """The line that dropped the name, that should have made it with its like, or that made what stands before."""
        wrong = self.wrong
        others = wrong.model.keys() - wrong.group.value.keys()

        def its(key):
            return _within(key, wrong.name) and not any(_within(key, name) for name in others)

        made = self.gains(lambda key, shape: its(key) and shape == wrong.right)
        if made:
            after = [each for each in self.moments[self.moments.index(made) :] if each.frame == made.frame]
            lost = (each for each in after if not any(its(key) for key, _ in each.held))
            return _head(next(lost, after[-1]).line)
        return self.beside_its_like(its) or self.never_run(its) or self.left_empty() or self.after_what_is_before()

    def beside_its_like(self, its) -> Line | None:
        """The line that made others of its group, the `if` that it did not pass, or the call that was not made."""
        for name in [each for each in self.wrong.group.value if each in self.wrong.found]:
            right = self.wrong.model[name]
            made = self.gains(lambda key, shape: _within(key, name) and shape == right and not its(key))  # noqa: B023
            if made is None:
                continue
            alone = set(_words(self.wrong.name)) - set(_words(name))
            texts = [key for key, _ in made.held] + made.texts()
            runs = {tuple(key for key, _ in each.gained) for each in self.moments if each.line == made.line} - {()}
            if made.caller and len(runs) > 1 and not any(alone & set(_words(text)) for text in texts):
                told = self.spelt(_statement(made.caller[0]))
                return told[0] if told else made.caller[0]
            guarding = _around(made.line, ast.If)
            if guarding and self.kept_out(guarding, made.line.file):
                return Line(made.line.file, guarding.lineno)
            return _head(made.line)
        return None

    def kept_out(self, guarding: ast.If, file: str) -> bool:
        """Whether an `if` was passed without entering it."""
        frames: dict[int, list[int]] = {}
        for each in self.moments:
            frames.setdefault(each.frame, []).append(each.line.number if each.line.file == file else 0)
        inside = range(guarding.body[0].lineno, guarding.body[-1].end_lineno + 1)
        test = range(guarding.lineno, guarding.body[0].lineno)
        return any(one in test and other not in test and other not in inside
                   for lines in frames.values() for one, other in zip(lines, lines[1:]))  # fmt: skip

    def never_run(self, its) -> Line | None:
        """Where the name is spelt in a function that ran: the `if` around it, or its own line."""
        for file, number in dict.fromkeys((each.line.file, each.line.number) for each in self.moments):
            for each in _function(Line(file, number)):
                if isinstance(each, ast.Constant) and isinstance(each.value, str) and its(each.value):
                    line = Line(file, each.lineno)
                    guarding = _around(line, ast.If)
                    return Line(file, guarding.lineno) if guarding else _head(line)
        return None

    def left_empty(self) -> Line | None:
        """The line that made an empty dict whose own name is part of the missing one."""
        made = (each for each in self.moments if any(_within(name, self.wrong.name) for name in each.empty))
        return next((_head(each.line) for each in made), None)

    def after_what_is_before(self) -> Line | None:
        """The last line that made names of the group before, or the first that made any."""
        found = self.wrong.found
        before = [group.value for group in self.wrong.before if group.value.keys() & found.keys()]
        near = before[-1] if before else found
        added = [each for each in self.moments if any(key in near for key, _ in each.gained)]
        return _head(added[-1 if before else 0].line) if added else None

    # ---------------------------------------------------------------------------------------- the numbers of the layers

    def misnumbered(self):
        """The line that makes the numbers of the layers, or the first text that holds a wrong one."""
        numbers, pattern = self.wrong.numbers, self.wrong.group.pattern
        counted: dict = {}
        for each in self.moments if numbers else ():
            for name, value in each.values.items():
                if _row(value) and list(value) == numbers:
                    return _head(each.line)
                if type(value) is int:
                    counted.setdefault((each.frame, name), (each.line, set()))[1].add(value)
        for (_, name), (line, values) in counted.items():
            if sorted(values) == numbers and isinstance(_statement(line), ast.For) and name in _sets(_statement(line)):
                return _head(line)

        def numbered(text):
            number = re.search(pattern, text + ".")
            return number and int(number[1]) not in self.wrong.group.value

        def unnumbered(text):
            return not self.known(text) and any(_within(text, name) for name in self.wrong.found)

        for tell in (numbered, unnumbered, lambda text: re.search(pattern, text + ".")):
            for each in self.moments:
                if any(tell(text) for text in each.texts()):
                    return _head(each.line)
        return None


@cache
def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[._]", text) if word)


def _within(key: str, name: str) -> bool:
    """Whether the words of `key` stand in `name` in a row, as those of "o" and "o_proj.weight" do in o_proj's."""
    part, whole = _words(key), _words(name)
    return bool(part) and any(whole[i : i + len(part)] == part for i in range(len(whole)))


# ------------------------------------------------------------------------------------------------- the learner's text


@cache
def _parsed(text: str, file: str) -> tuple[list[ast.stmt], dict]:
    """The statements of a file, and what each node stands in; none where Python cannot read it by itself."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return [], {}
    inside = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    for node in statements:
        node.file = file
    return statements, inside


def _read(line: Line):
    return _parsed("".join(linecache.getlines(line.file)), line.file)


def _statement(line: Line) -> ast.stmt | None:
    """The innermost statement that a line belongs to."""
    holding = [node for node in _read(line)[0] if node.lineno <= line.number <= node.end_lineno]
    return min(holding, key=lambda node: node.end_lineno - node.lineno, default=None)


def _head(line: Line) -> Line:
    """The first line of a line's statement."""
    node = _statement(line)
    return Line(line.file, node.lineno) if node else line


def _around(line: Line, *kinds) -> ast.stmt | None:
    """The innermost statement of these kinds that a line's own stands in, within its function."""
    node, inside = _statement(line), _read(line)[1]
    while node in inside and not isinstance(inside[node], ast.FunctionDef | ast.Module):
        node = inside[node]
        if isinstance(node, kinds):
            return node
    return None


def _function(line: Line) -> list[ast.AST]:
    """All that stands in the function that a line belongs to."""
    node, inside = _statement(line), _read(line)[1]
    while node in inside and not isinstance(node, ast.FunctionDef):
        node = inside[node]
    return list(ast.walk(node)) if isinstance(node, ast.FunctionDef) else []


def _own(node: ast.stmt | None) -> list[ast.expr]:
    """The expressions of a statement, without the statements inside it."""
    return [each for each in ast.iter_child_nodes(node) if isinstance(each, ast.expr)] if node else []


def _sets(node: ast.stmt | None) -> set[str]:
    """The names that a statement gives a value."""
    names = [each for part in _own(node) for each in ast.walk(part) if isinstance(each, ast.Name)]
    return {each.id for each in names if isinstance(each.ctx, ast.Store)}


def _strings(node: ast.AST) -> list[tuple[ast.Constant, list]]:
    """The strings that an expression holds itself, each with what stands beside it: a dict's value, or its row."""
    if isinstance(node, ast.Dict):
        pairs = [(key, [value]) for key, value in zip(node.keys, node.values)]
    elif isinstance(node, ast.Tuple | ast.List):
        pairs = [(each, node.elts) for each in node.elts]
    elif isinstance(node, ast.Call):
        pairs = [(each, node.args) for each in node.args]
    else:
        pairs = []
    return [(text, beside) for text, beside in pairs if isinstance(text, ast.Constant) and isinstance(text.value, str)]
