"""Where it goes wrong: the last line up to which a learner's numbers are the lesson's, and the step that is missing.

While a failing answer runs once more, every tensor that a line of the learner's makes is kept, with that line and with
what it was made of. A step of the lesson counts as reached when a line holds its numbers in some layout: einsum or
view, complex numbers, float64 and pieces that a loop makes make no difference. It goes wrong where that graph leaves
the way.
"""

import inspect
import itertools
import linecache
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from . import guard
from .compare import close, names_of, relation
from .parts import Case, Part, Step

JUDGE, LESSONS = str(Path(__file__).parents[1]), str(Path(__file__).parents[2])
PRODUCTS = ("linear", "matmul", "einsum", "mm", "bmm", "__matmul__")
TOLERANCE = 2e-4
SORTS = ("sort", "topk")  # beside the values they give an order, which is right where the values are
BLANK = ("empty", "empty_like", "new_empty", "zeros", "zeros_like", "new_zeros")  # they wait for what is moved
CHECKS = ("doors/checks.py", "doors\\checks.py")  # what looks at the input makes no step
BUILDING = ("__init__", "_apply", "__new__")  # what is made there is early: mostly weights, which are no step


@dataclass(frozen=True)
class Line:
    """A line of a learner's: its file, its number and its text."""

    file: str
    number: int

    @property
    def text(self):
        return linecache.getline(self.file, self.number).strip()

    def around(self, many: int) -> list[tuple[int, str]]:
        """The lines about this one, each with its number."""
        lines = linecache.getlines(self.file)
        first, last = max(1, self.number - many), min(len(lines), self.number + many)
        return [(number, lines[number - 1].rstrip("\n")) for number in range(first, last + 1)]

    def __str__(self):
        return f"line {self.number} (`{self.text:.90}`)"


@dataclass(frozen=True)
class Made:
    """A tensor that a learner's line made."""

    line: Line
    scope: str  # the learner's function that it stands in
    value: Tensor
    function: str  # of the library
    early: bool  # while the module was built
    number: int  # how many were made before it
    inputs: frozenset[int]  # the numbers of those that it was made of


@dataclass(frozen=True)
class Place:
    """Where an answer leaves the lesson's way.

    `step` is the missing one, `reached` the last that is there, if any, and `until` its line; `line` is where it goes
    wrong, `says` how the value there relates to the step. `pair` is (expected, yours) where both have one shape.
    `heals`: with the missing step put after `until`, the case came out right. `case` and `value`: the case that showed
    it, and the learner's tensor that was held against the step. `what` is compared, and the step is `missing` or wrong.
    """

    step: Step
    reached: str
    until: Line | None
    line: Line
    says: str
    pair: tuple[Tensor, Tensor] | None
    heals: bool = False
    case: Case | None = None
    value: Tensor | None = None
    afterwards: bool = False  # the answer was there, and is changed
    what: str = "numbers"
    missing: str = "missing"

    def __str__(self):
        if self.afterwards:
            where = "" if self.line == self.until else f", in {self.line}"
            return f"In {self.until} you have the answer, and change it afterwards{where}. {self.says}"
        missing = f"the next step is {self.missing}: {self.step.name}."
        if self.until is None:
            told = f"It goes wrong in {self.line}: the first step is {self.missing}: {self.step.name}."
        elif self.line != self.until:
            told = (
                f"Up to {self.until} your {self.what} are the lesson's ({self.reached}). "
                f"It goes wrong in {self.line}: {missing}"
            )
        else:
            told = f"In {self.until} your {self.what} are the lesson's up to this: {self.reached}. Then {missing}"
        mend = " With that step put there, all the rest of yours is right." if self.heals else ""
        return f"{told} {self.says}".strip() + mend


class Watch(TorchFunctionMode):
    """Keeps every tensor that a learner's line makes, and what it was made of.

    A call of a lesson's function counts as one: of what is made inside, only what comes last is kept. `instead` puts
    another value in the place of the nth tensor.
    """

    def __init__(self, instead: tuple[int, Callable] | None = None):
        super().__init__()
        self.made: list[Made] = []
        self.instead, self.calls = instead, []
        self.numbers: dict[int, int] = {}  # of each tensor object
        self.alive: list[Tensor] = []  # so that no two of them have one identity
        self.merged: dict[int, int] = {}  # what was made inside a call, and what stands for it

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        parts = args[:1] if function is Tensor.__setitem__ else result if isinstance(result, tuple | list) else [result]
        if not any(isinstance(part, Tensor) for part in parts):
            return result
        line, scope, early, call = _learner(sys._getframe(1))
        if line is None:
            return result
        inputs = {self.number_of(each) for each in tree_leaves((args, kwargs))} - {None}
        for part in parts:
            if isinstance(part, Tensor) and part.numel():
                if self.instead and self.instead[0] == len(self.alive):
                    result = self.instead[1](part) if part is result else result
                self.keep(part if part is not result else result, line, scope, function, early, inputs, call)
        return result

    def keep(self, part, line, scope, function, early, inputs, call):
        number = len(self.alive)
        if call is not None and self.calls and self.calls[-1] == (line, call):
            inside = self.made.pop()
            self.merged[inside.number] = number
            inputs = (inputs - {inside.number}) | inside.inputs
        name = getattr(function, "__name__", "")
        value = part.detach().clone()  # it may be written to
        self.made.append(Made(line, scope, value, name, early, number, frozenset(inputs)))
        self.calls.append((line, call) if call is not None else None)
        self.alive.append(part)
        self.numbers[id(part)] = number

    def number_of(self, part) -> int | None:
        number = self.numbers.get(id(part)) if isinstance(part, Tensor) else None
        while number in self.merged:
            number = self.merged[number]
        return number


def _learner(frame) -> tuple[Line | None, str, bool, int | None]:
    """The learner's line that a frame is called from, unless the judge stands between, and its function; whether it
    builds a module; and the place of the call in that line, where a function of a lesson stands between."""
    line, scope, lesson, call, building = None, "", False, None, False
    while frame:
        file = frame.f_code.co_filename
        if file.startswith(JUDGE) or (line is None and file.endswith(CHECKS)):
            break
        if not guard.lent(file) and not file.startswith("<frozen"):
            if line is None:
                if not linecache.getline(file, frame.f_lineno):
                    break
                line, scope = Line(file, frame.f_lineno), frame.f_code.co_qualname
                call = frame.f_lasti if lesson else None
            building = building or frame.f_code.co_name in BUILDING
        if file.startswith(LESSONS):
            lesson, building = True, building or frame.f_code.co_name in BUILDING
        frame = frame.f_back
    return line, scope, building, call


class _Watched:
    """A subject whose calls are watched."""

    def __init__(self, subject, instead=None):
        self.subject, self.calls, self.instead = subject, [], instead

    def __call__(self, *args, **kwargs):
        watch = Watch(self.instead if not self.calls else None)
        self.calls.append((args, kwargs, watch, None))
        with watch:
            result = self.subject(*args, **kwargs)
        self.calls[-1] = (args, kwargs, watch, result)
        return result


def locate(part: Part, kind, failed: list[Case]) -> Place | None:
    """Where the learner's `kind` leaves the lesson's way, by the first of the failed cases that shows it.

    None where every step is there, and only the order or the form of what comes out is another.
    """
    for case in sorted(failed, key=lambda case: case.degenerate) if part.steps else ():
        try:
            place, whole = (part.look or _locate)(part, kind, case)
        except (Exception, SystemExit):  # what cannot be watched is not located
            continue
        if place or whole:
            return place
    return None


def _locate(part: Part, kind, case: Case) -> tuple[Place | None, bool]:
    """Where one case leaves the way; and whether it runs through, with every step on it."""
    watched, whole = _Watched(part.adapt(kind)), True
    guard.usual()
    try:
        case.run(watched)
    except (Exception, SystemExit):  # it is told elsewhere; what was made before says where
        whole = False
    for number, (args, kwargs, watch, result) in enumerate(watched.calls):
        steps, made = list(part.steps(*args, **kwargs)), watch.made
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        found = _missing(steps, made, given)
        if found is None:
            changed = _changed(steps, made, result)
            if changed:
                at, suspect = changed
                last, line = steps[-1], made[suspect].line
                says, pair = _against(result, last, steps)
                return Place(last, "", made[at].line, line, says, pair, False, case, result, True), whole
            whole = whole and bool(made)
            continue
        step, last, at, gap, suspect = found
        heals = number == 0 and at is not None and _heals(part, kind, case, steps[last], step, made[at])
        until = None if gap is None else made[at if heals else gap].line
        line = until if heals or suspect is None else made[suspect].line
        if line is None:
            whole = False
            continue
        yours = made[at].value if heals or suspect is None else _theirs(made, suspect, step)
        says, pair = _against(yours, step, steps)
        reached = steps[last].name if at is not None else ""
        return Place(step, reached, until, line, says, pair, heals, case, yours), whole
    return None, whole and bool(watched.calls)


BUILT = "the parameters, by name and shape"


def where_built(kind, parameter: str) -> Place | None:
    """The line of a class's `__init__` that makes a parameter, or that should have made it."""
    init = inspect.unwrap(kind.__init__) if isinstance(kind, type) else None
    code = getattr(init, "__code__", None)
    if code is None or code.co_filename.startswith(guard.installed_folders()):
        return None
    numbers = sorted({number for _, _, number in code.co_lines() if number})
    lines = [Line(code.co_filename, number) for number in numbers if linecache.getline(code.co_filename, number)]
    name = parameter.split(".")[0]
    found = [line for line in lines if name in line.text]
    if parameter.endswith("bias") and not any("bias=True" in each.text or "bias=False" in each.text for each in found):
        found = [line for line in lines if "bias =" in line.text] or found
    found += [line for line in lines if "nn." in line.text] + lines[:1]
    return Place(Step(BUILT, torch.empty(0)), "", None, found[0], "", None) if found else None


def passes_through(part: Part, kind, case: Case, value: Tensor | None) -> bool:
    """Whether a version's case makes a tensor of these numbers on its way; where none was seen, it may."""
    if value is None:
        return True
    watched = _Watched(part.adapt(kind))
    guard.usual()
    try:
        case.run(watched)
    except (Exception, SystemExit):  # what was made before it counts
        pass
    return any(watch.made and _Numbers(watch.made, part.steps(*args, **kwargs)).known([Step("theirs", value)])
               for args, kwargs, watch, _ in watched.calls)  # fmt: skip


def _against(yours: Tensor, step: Step, steps: list[Step]) -> tuple[str, tuple | None]:
    """How a learner's value relates to a step, and (expected, yours) where both have one shape."""
    if yours.dtype == torch.bool and step.value.dtype != torch.bool:
        return "", None  # what a comparison gives says nothing of numbers
    if step.ordered and yours.numel() == step.value.numel():
        if yours.dtype != step.value.dtype:
            return f"It is {str(yours.dtype)[6:]} there, where {str(step.value.dtype)[6:]} belongs.", None
        yours = yours.reshape(step.value.shape)
    return relation(yours, step.value, names_of(step.axes, step.value), TOLERANCE, _sizes(steps))


def _sizes(steps) -> dict[str, int]:
    """How long every axis that the steps name is."""
    named = [zip(step.axes.split(), step.value.shape) for step in steps if len(step.axes.split()) == step.value.ndim]
    return {name: size for axes in named for name, size in axes if name != "one"}


def _missing(steps: list[Step], made: list[Made], given: list[Tensor]):
    """The first step that is not there; the last one before it that is; where in `made` it is; the last tensor that is
    still on the way; and what is made next. None where nothing is missing."""
    if not made:
        return None
    numbers = _Numbers(made, steps)
    found = [numbers.place(step) for step in steps]
    there = [place is not None for place in found]
    names = [step.name for step in steps]
    before = [step.after if step.after is not None else tuple(names[max(0, i - 1) : i]) for i, step in enumerate(steps)]
    for i in reversed(range(len(steps))):  # whoever has what is made of a step has had the step
        for name in before[i] if there[i] else ():
            there[names.index(name)] = True
    used = {each.function for each in made}
    absent = [i for i, step in enumerate(steps) if not there[i] and not step.waypoint and step.inside not in used]
    if not absent:
        return None
    missing = steps[absent[0]]
    seen = [i for i in _made_of(absent[0], before, names) if found[i] is not None]
    last = max(seen, key=lambda i: (found[i], i), default=None)
    known = numbers.known([*steps, *(Step("given", each) for each in given)])
    suspect = _departure(made, known, missing, numbers)
    for step in steps:
        if suspect is not None and step.value.dtype == torch.bool:
            suspect = _wrong_way_round(made, suspect, step.value)
    if last is None:
        return missing, None, None, None, suspect
    before_it = range(len(made) if suspect is None else suspect)
    at = max((i for i in (found[last], *numbers.known([steps[last]])) if i in before_it), default=found[last])
    beside = [found[i] for i in (absent[0] - 1, absent[0] + 1) if i in range(len(steps)) and found[i] is not None]
    beside = [i for i in beside if found[last] < i and i in before_it]
    here = [i for i in known if i in before_it and made[i].scope == made[found[last]].scope]
    here = [at, *(i for i in here if suspect is None or made[i].line != made[suspect].line)]
    return missing, last, at, max(beside or here), suspect


def _departure(made: list[Made], known: set[int], missing: Step, numbers) -> int | None:
    """Which tensor leaves the way first: not on it, nothing on it is made of it, and it is made of what is on it."""
    places = {each.number: i for i, each in enumerate(made)}
    inputs = [[places[number] for number in each.inputs if number in places] for each in made]
    good = set(known)
    for i in reversed(range(len(made))):  # what leads to something on the way is on it, save a mask that does nothing
        bools = made[i].value.dtype == torch.bool  # a mask is made of masks
        good |= {each for each in inputs[i] if bools or made[each].value.dtype != torch.bool} if i in good else set()
    strays = [i for i, each in enumerate(made) if i not in good or numbers.made_again(i, missing)]
    first = [i for i in strays if not any(each in strays for each in inputs[i])]
    first = [i for i in first if missing.early or not made[i].early]
    if not first:  # all that strays is made of what was built early, such as a buffer of a part of the module
        late = [i for i in strays if not made[i].early]
        first = [i for i in late if not any(each in late for each in inputs[i])]
    if missing.value.dtype == torch.bool:
        first = [i for i in first if made[i].value.numel() == missing.value.numel()] or first
    return first[0] if first else None


def _wrong_way_round(made: list[Made], suspect: int, mask: Tensor) -> int:
    """Where a mask was made of which the suspect uses the opposite, and that is just what a query may look at: then it
    was wrong before. Else the suspect."""
    places = {each.number: i for i, each in enumerate(made)}
    for number in made[suspect].inputs & places.keys():
        used = made[places[number]]
        inverts = used.function in ("__invert__", "logical_not", "bitwise_not") and used.value.dtype == torch.bool
        if inverts and torch.equal(used.value.flatten(), mask.flatten()):
            before = [places[each] for each in used.inputs & places.keys()]
            return min(before, default=suspect)
    return suspect


def _changed(steps: list[Step], made: list[Made], result) -> tuple[int, int] | None:
    """Where the answer was there, and where it is changed; None where it came out, if in another order."""
    wanted = steps[-1].value
    numbers = _Numbers(made, steps)
    if not made or not isinstance(result, Tensor) or numbers.alike(result, _plain(result), wanted, _plain(wanted)):
        return None
    at = numbers.place(steps[-1])
    known = numbers.known(steps)
    suspect = None if at is None else next((i for i in range(at + 1, len(made)) if i not in known), None)
    return None if suspect is None else (at, suspect)


def _made_of(missing: int, before, names) -> list[int]:
    """The steps that one is made of, at whatever remove."""
    queue, found = [missing], set()
    while queue:
        for name in before[queue.pop()]:
            i = names.index(name)
            if i not in found:
                found.add(i)
                queue.append(i)
    return sorted(found)


class _Numbers:
    """The tensors that were made, to be found by their numbers in some layout, or in the order of `ordered` steps."""

    def __init__(self, made: list[Made], steps: Sequence[Step]):
        self.ordered = any(step.ordered for step in steps)
        self.made = [each.value for each in made]
        self.blank = {i for i, each in enumerate(made) if self.ordered and each.function in BLANK}
        orders = (i for i, each in enumerate(made) if each.function in SORTS and not each.value.is_floating_point())
        self.blank |= set(orders) if self.ordered else set()
        self.values = [_plain(value) for value in self.made]
        self.groups: dict[tuple[Line, str], list[int]] = {}  # what a line makes by one function, once or in turns
        for i, each in enumerate(made):
            self.groups.setdefault((each.line, each.function), []).append(i)
        self.last, self.functions = steps[-1] if steps else None, [each.function for each in made]
        finite = [value.nan_to_num(0, 1, -1) for value in self.values]
        self.sums = [(float(value.sum()), float(value.abs().sum())) for value in finite]

    def place(self, step: Step) -> int | None:
        """Which tensor is the first with a step's numbers, in one piece or the last of several; None where none is."""
        wanted = _plain(step.value)
        for i, value in enumerate(self.values):
            if self._like(i, value, step, wanted):
                return i
        pieces = self.pieces(step.value, wanted)
        return pieces[-1] if pieces else None

    def pieces(self, step: Tensor, wanted: Tensor) -> list[int]:
        """The tensors that a loop makes piece by piece and that together have the numbers that are wanted."""
        for places in self.groups.values():
            if 1 < len(places) and sum(self.values[i].numel() for i in places) == wanted.numel():
                joined = torch.cat([self.values[i] for i in places])
                if self.alike(self.made[places[0]], joined, step, wanted):
                    return places
        return []

    def known(self, steps) -> set[int]:
        """The tensors that hold the numbers of one of these steps."""
        wanted = [(each, _plain(each.value)) for each in steps]
        found = {i for i, value in enumerate(self.values) if any(self._like(i, value, *each) for each in wanted)}
        if self.ordered:
            found |= {i for i, value in enumerate(self.values) if any(_piece(value, each) for _, each in wanted)}
        pieces = {i for each, numbers in wanted for i in self.pieces(each.value, numbers)}
        return found | pieces | self.blank

    def alike(self, found: Tensor, value: Tensor, step: Tensor, wanted: Tensor) -> bool:
        """Whether the plain numbers `value` of a tensor are those that are wanted."""
        if self.ordered:
            return found.dtype == step.dtype and close(value, wanted, TOLERANCE)
        if found.numel() != value.numel():  # several pieces, joined
            return _sorted_alike(value, wanted)
        return in_some_layout(found, step, pairs=self.last is None or step is not self.last.value)

    def made_again(self, i: int, missing: Step) -> bool:
        """Whether a product as large as the missing step has the numbers of an earlier one."""
        if self.functions[i] not in PRODUCTS or self.values[i].numel() != missing.value.numel():
            return False
        return any(self.functions[j] in PRODUCTS and torch.equal(self.values[j], self.values[i]) for j in range(i))

    def _like(self, i, value, step: Step, wanted):
        if value.numel() != wanted.numel() or (step.shaped and not _fits(self.made[i].shape, step.value.shape)):
            return False
        if step.value.dtype == torch.bool:
            asked = self.last is not None and step.value is self.last.value  # what is asked for has one form
            return torch.equal(value, wanted) if asked else same_mask(value, wanted)
        total, size = self.sums[i]
        finite = wanted.nan_to_num(0, 1, -1)
        slack = 5 * TOLERANCE * max(1.0, float(finite.abs().sum()))
        if abs(size - float(finite.abs().sum())) > slack or abs(total - float(finite.sum())) > slack:
            return False
        return self.alike(self.made[i], value, step.value, wanted)


def _piece(value: Tensor, wanted: Tensor) -> bool:
    """Whether all of `value` stands somewhere in `wanted`, in one piece."""
    starts = (wanted == value[0]).nonzero().flatten().tolist() if len(value) < len(wanted) else []
    return any(torch.equal(wanted[start : start + len(value)], value) for start in starts[:9])


def _fits(shape, wanted) -> bool:
    """Whether two shapes are one, axes of size 1 at the front aside."""
    one, other = list(shape), list(wanted)
    for each in (one, other):
        while each and each[0] == 1:
            del each[0]
    return one == other


def _plain(value: Tensor) -> Tensor:
    value = torch.view_as_real(value) if value.is_complex() else value
    value = value.detach().double().flatten()
    return torch.where(value < -1e8, -math.inf, value)  # what hides a score is as good as −∞


def same_mask(value: Tensor, wanted: Tensor) -> bool:
    """Whether numbers say what a mask says: True where it is, or where it is not, or 0 and a large negative number."""
    wanted = wanted.bool()
    added = (value > -1e4) == wanted
    return any(torch.equal(each, wanted) for each in (value != 0, value == 0)) or bool(
        added.all() and (value[wanted] == 0).all()
    )


def in_some_layout(found: Tensor, wanted: Tensor, pairs: bool = True) -> bool:
    """Whether a tensor holds the numbers of another in some layout: its axes in another order, joined, or cut.

    With `pairs` the two halves of the last axis may also stand as neighbours, or as complex numbers.
    """
    found = torch.view_as_real(found) if found.is_complex() else found
    target = wanted.squeeze()
    if pairs and target.ndim and target.shape[-1] % 2 == 0 and not found.dtype == torch.bool:
        target = target.unflatten(-1, (2, -1))
    flat = _plain(found)
    for order in itertools.permutations(range(target.ndim)):
        if _aligned(found.shape, [target.shape[axis] for axis in order]):
            if close(flat, _plain(target.permute(order).reshape(-1)), TOLERANCE):
                return True
    return False


def _aligned(shape, sizes) -> bool:
    """Whether a shape comes from axes of these sizes by joining neighbours or by cutting single ones."""
    edges, edge = [1], 1
    for size in sizes:
        edge *= size
        edges.append(edge)
    edge = 1
    for size in shape:
        edge *= size
        below, above = max(e for e in edges if e <= edge), min(e for e in edges if e >= edge)
        if edge % below or above % edge:
            return False
    return True


def _sorted_alike(one: Tensor, other: Tensor) -> bool:
    return one.numel() == other.numel() and close(one.sort().values, other.sort().values, TOLERANCE)


def _heals(part, kind, case, last: Step, step: Step, at: Made) -> bool:
    """Whether all is right once the missing step stands in the place of the last one that is there."""
    before, wanted = _plain(last.value), _plain(step.value)
    if not before.numel() == wanted.numel() == at.value.numel():
        return False

    def put(there: Tensor):
        flat = _plain(there)
        mended = torch.empty_like(flat)
        mended[flat.argsort()] = wanted[before.argsort()]
        return mended.reshape(there.shape).to(there.dtype)

    watched = _Watched(part.adapt(kind), (at.number, put))
    guard.usual()
    try:
        found = case.run(watched)
    except (Exception, SystemExit):
        return False
    guard.usual()
    right = case.run(part.adapt(part.reference))
    pairs = zip(*(each if isinstance(each, tuple) else (each,) for each in (found, right)))
    return len(watched.calls) == 1 and all(close(mine, ours, 3 * case.tolerance) for mine, ours in pairs)


def _theirs(made: list[Made], suspect: int, step: Step) -> Tensor:
    """The learner's value to hold against the missing step: of its size, and from the line where it goes wrong."""
    same = [each for each in made[suspect:] if each.value.numel() == step.value.numel()]
    if step.value.dtype != torch.bool:
        same = [each for each in same if each.value.dtype != torch.bool] or same
    here = [each.value for each in same if each.line == made[suspect].line]
    return here[-1] if here else same[0].value if same else made[suspect].value
