"""The plan of a drawn pattern: which cell stands where, which number it holds, and out of which others it is made.

    p = plan("batch seq (head dim) -> batch head seq dim", batch=1, seq=3, head=3, dim=2)
    x, out = p.boards
    [cell.number for cell in out.cells][:6]        # 0, 1, 6, 7, 12, 13: places in x
    out.across, out.down                           # head and dim run across, seq runs down

Positions are counted in cells, right and down from a tensor's first cell. Nothing here knows how to draw.
"""

import re
from dataclasses import dataclass
from itertools import product
from math import inf, prod

import numpy as np

REDUCTIONS = ("mean", "sum", "max", "min", "prod", "any", "all")
OPERATIONS = ("rearrange", "reduce", "repeat", "einsum")
ACROSS, DOWN = "across", "down"
MERGED, APART = 0.3, 0.5                 # gaps, in cells: within parentheses, and between axes of their own
WIDE, HIGH, MANY = 28, 24, 144           # what a page holds of one tensor: cells across, down, in all
FIRM, TURN = 100, 10                     # what it costs to leave rows and columns, and to turn an axis


@dataclass(frozen=True)
class Axis:
    """A named axis as it runs: its size, and the gap between its blocks."""

    name: str
    size: int
    gap: float


@dataclass(frozen=True)
class Span:
    """What a heading stands over: one place of an axis, from `start` on, `length` cells long."""

    tier: int
    start: float
    length: float
    name: str
    index: int


@dataclass(frozen=True)
class Cell:
    """One element: `place` is its own place in memory, `sources` the places that it comes from.

    Sources are places in x; in the result of an einsum, pairs of a place in x and a place in y.
    """

    column: float
    row: float
    index: dict
    place: int
    sources: tuple
    copy: bool = False

    @property
    def number(self):
        """The place in x of the element that stands here."""
        return self.sources[0]


@dataclass(frozen=True)
class Board:
    """One tensor laid out: `shape` as drawn, `full` as it is, its axes across and down, its cells in memory order."""

    name: str
    names: tuple
    shape: tuple
    full: tuple
    across: tuple
    down: tuple
    cells: tuple

    @property
    def width(self):
        return _steps(self.across)[1]

    @property
    def height(self):
        return _steps(self.down)[1]


@dataclass(frozen=True)
class Plan:
    """A pattern, ready to be drawn: the boards of its operands, then that of the result."""

    pattern: str
    op: str
    how: str                             # the reduction of a reduce, or ""
    sizes: dict                          # as drawn
    full: dict                           # as they are
    given: dict                          # what the call has to say
    boards: tuple
    color: str | None
    shade: str | None
    lost: tuple                          # axes that vanish
    new: tuple                           # axes that appear
    corner: tuple | None                 # einsum: which operand stands left of the result, which above it

    @property
    def out(self):
        return self.boards[-1]

    @property
    def moved(self):
        """The cells of the result that hold another element than a mere reshape of x puts there; copies count."""
        return [cell for cell in self.out.cells if cell.copy or cell.number != cell.place]

    @property
    def misplaced(self):
        """How many elements a mere reshape of x leaves at another place than the pattern does."""
        return sum(cell.number != cell.place for cell in self.out.cells)


# ---------------------------------------------------------------------------------------------- reading a pattern


def parse(pattern):
    """The operands and the result of a pattern, each a list of axes; an axis is a tuple of names, `1` an empty one."""
    if "..." in pattern or "…" in pattern:
        raise ValueError(f"'...' can be any number of axes, so it cannot be drawn: write them out, 'batch seq' for "
                         f"example, in {pattern!r}")
    if pattern.count("->") != 1:
        raise ValueError(f"a pattern has one arrow, 'batch seq -> seq batch', got {pattern!r}: write it so")
    before, after = pattern.split("->")
    return [_side(part, pattern) for part in before.split(",")], _side(after, pattern)


def _side(text, pattern):
    """The axes of one side of a pattern."""
    axes, inside = [], None
    for token in re.findall(r"[()]|[^\s()]+", text):
        if token in "()":
            if (token == "(") != (inside is None):
                raise ValueError(f"parentheses open and close once, not within others, got {pattern!r}: "
                                 "write '(head dim)'")
            if token == ")":
                axes.append(tuple(inside))
            inside = [] if token == "(" else None
        elif token.isdigit() and token != "1":
            raise ValueError(f"an axis is drawn by its name, got {token} in {pattern!r}: write a word in its place and "
                             f"give its size, word={token}")
        elif token != "1" and not token.isidentifier():
            raise ValueError(f"an axis is a word, got {token!r} in {pattern!r}: use letters")
        elif inside is None:
            axes.append(() if token == "1" else (token,))
        elif token != "1":
            inside.append(token)
    if inside is not None:
        raise ValueError(f"a parenthesis stays open in {pattern!r}: close it")
    twice = {name for name in _names(axes) if _names(axes).count(name) > 1}
    if twice:
        raise ValueError(f"an axis stands once on a side, got {' and '.join(sorted(twice))} twice in {pattern!r}: "
                         "name them apart")
    return axes


def _names(axes):
    """The names of all axes of a side, in memory order."""
    return [name for axis in axes for name in axis]


def _operation(op, operands, result, pattern):
    """The operation (and the reduction) that a pattern means, given or inferred, with its lost and new axes."""
    before = list(dict.fromkeys(name for axes in operands for name in _names(axes)))
    lost = tuple(name for name in before if name not in _names(result))
    new = tuple(name for name in _names(result) if name not in before)
    if op is not None and op not in OPERATIONS + REDUCTIONS:
        raise ValueError(f"op is one of {', '.join(OPERATIONS + REDUCTIONS)}, got {op!r}: choose one, or leave it out")
    kind = "reduce" if op in REDUCTIONS else op or (
        "einsum" if len(operands) > 1 else "reduce" if lost else "repeat" if new else "rearrange")
    wrong = [*(lost if kind in ("rearrange", "repeat") else ()), *(new if kind != "repeat" else ())]
    if wrong:
        raise ValueError(f"{kind} keeps {'what it is given' if kind == 'repeat' else 'to the axes on the left'}, and "
                         f"{' and '.join(wrong)} stands on one side of {pattern!r} only: name it on both, or choose "
                         "another op")
    if len(operands) > 2 or len(operands) == 2 and kind != "einsum":
        raise ValueError(f"einsum is drawn of at most two tensors and all else of one, got {len(operands)} in "
                         f"{pattern!r}: draw one step at a time")
    if kind == "einsum" and any(len(axis) != 1 for axes in (*operands, result) for axis in axes):
        raise ValueError(f"einsum takes plain names, got a parenthesis or a 1 in {pattern!r}: rearrange before it")
    how = "sum" if kind == "einsum" and len(operands) == 1 else op if op in REDUCTIONS else "mean"
    return kind, how if kind == "reduce" or kind == "einsum" and len(operands) == 1 else "", lost, new


# ---------------------------------------------------------------------------------------------- sizes


def _shapes(x, count):
    """The shapes of the operands: of a tensor, of a list of equal tensors (one axis more), of an einsum's tensors."""
    if x is None:
        return None
    if count == 1:
        return [_shape(x)]
    if not isinstance(x, tuple | list) or len(x) != count:
        raise ValueError(f"this einsum takes {count} tensors, got {type(x).__name__}: pass x=(first, second)")
    return [_shape(each) for each in x]


def _shape(x):
    """The shape of anything like a tensor; a list of tensors is stacked, as einops does."""
    if isinstance(x, tuple | list) and x and all(hasattr(each, "shape") for each in x):
        shapes = {tuple(each.shape) for each in x}
        if len(shapes) > 1:
            raise ValueError(f"a list of tensors is stacked, got the shapes {sorted(shapes)}: give them one shape")
        return (len(x), *shapes.pop())
    return tuple(int(size) for size in (x.shape if hasattr(x, "shape") else np.shape(x)))


def _solve(pattern, operands, result, shapes, sizes):
    """The size of every axis, from the sizes given and from the shapes."""
    known, names = dict(sizes), [*dict.fromkeys(name for axes in (*operands, result) for name in _names(axes))]
    for name, size in sizes.items():
        if name not in names:
            raise ValueError(f"{pattern!r} has no axis {name!r}, only {', '.join(names)}: leave {name}={size} out")
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise ValueError(f"a size is a whole number from 1, got {name}={size!r}: change it")
    for axes, shape in zip(operands, shapes or ()):
        if len(axes) != len(shape):
            raise ValueError(f"x has the {len(shape)} axes {shape}, and {pattern!r} names {len(axes)}: name as many")
        for axis, size in zip(axes, shape):
            open_, rest = [name for name in axis if name not in known], prod(known.get(name, 1) for name in axis)
            if len(open_) == 1 and size and size % rest == 0:
                known[open_[0]] = size // rest
            elif not open_ and rest != size or open_ and (not size or size % rest):
                told = " · ".join(f"{name}={known[name]}" if name in known else name for name in axis) or "1"
                raise ValueError(f"an axis of x has {size} places, which is not {told}, in {pattern!r} and shape "
                                 f"{shape}: change the sizes or x")
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(f"{pattern!r} is drawn with small sizes, and {', '.join(missing)} has none: "
                         f"give {', '.join(f'{name}=3' for name in missing)}" + ("" if shapes else ", or a tensor"))
    return {name: int(known[name]) for name in names}


def _small(operands, result, full, most, outside=False):
    """Sizes at which a large tensor can be drawn, if possible in at most so many cells; two places stay two.

    Only of an axis that comes first everywhere is a single place drawn: it tells as much. `outside`: of every axis
    that stands there alone, until the first that does not.
    """
    if most == inf:
        return full
    names, last = list(full), _names(operands[0])[-1:]
    drawn = [name for name in names if full[name] > 1]
    sizes = {name: min(full[name], 3 if name not in last else 2 if len(drawn) > 2 else 4) for name in names}
    if len(drawn) > 3 and all(axes and axes[0] == (names[0],) for axes in (*operands, result)):
        sizes[names[0]] = 1
    for before, after in zip(operands[0], result) if outside else ():
        if before != after or len(before) > 1:
            break
        sizes |= dict.fromkeys(before, 1)
    for name in names:
        if max(prod(sizes[each] for each in _names(axes)) for axes in (*operands, result)) > most:
            sizes[name] = min(sizes[name], 2)
    return sizes


def _given(kind, operands, new, full, sizes, x):
    """The sizes that the call itself has to name."""
    if x is not None:
        return dict(sizes)
    split = [name for axis in operands[0] for name in axis[:-1]] if kind != "einsum" else []
    return {name: full[name] for name in (*split, *new)}


# ---------------------------------------------------------------------------------------------- directions


def _roles(axes, sizes, firm):
    """How the axes of one side want to run: (names, direction, what the other direction costs).

    The last axis makes columns, the one before rows, then panels across and down in turn.
    """
    drawn = [(i, tuple(name for name in axis if sizes[name] > 1)) for i, axis in enumerate(axes)]
    drawn = [(i, names) for i, names in drawn if names]
    if len(drawn) == 1:                  # (5,) is a row, but (5, 1) a column
        (i, names), = drawn
        return [(names, DOWN, 3) if i + 1 < len(axes) else (names, ACROSS, 2)]
    return [(names, DOWN if turn % 2 else ACROSS, firm if turn < 2 else 1)
            for turn, (_, names) in enumerate(reversed(drawn))]


def _two_sided(before, after, sizes, firm):
    """Directions on both sides, cheapest first: rows and columns stay what they are, and few axes turn."""
    roles = [(side, *role) for side, axes in enumerate((before, after))
             for role in _roles(axes, sizes, firm if side else FIRM)]
    found = []
    for ways in product(*[(way,) if cost >= FIRM else (ACROSS, DOWN) for _, _, way, cost in roles]):
        sides, price = ({}, {}), 0
        for (side, names, wish, cost), way in zip(roles, ways):
            sides[side].update(dict.fromkeys(names, way))
            price += cost * (way != wish) * (1 + 0.05 * side)         # in doubt the result as it is
        price += TURN * sum(sides[1].get(name, way) != way for name, way in sides[0].items())
        found.append((price, len(found), sides))
    return [(sides, None) for _, _, sides in sorted(found, key=lambda each: each[:2])]


def _einsum(operands, result, sizes):
    """Directions of an einsum, cheapest first, and which operand stands left of the result, which above it.

    An axis of the result runs one way wherever it stands. Where both operands bring axes of their own, those of one
    run down and those of the other across, as in a product of matrices, and what is summed runs across in the left
    one and down in the upper one: three axes, two and two in three tensors, cannot all cross without one that bends.
    """
    first, second = ([name for name in _names(axes) if sizes[name] > 1] for axes in operands)
    kept = [name for name in _names(result) if sizes[name] > 1]
    own = [name for name in kept if (name in first) != (name in second)]
    if not {*own} & {*first} or not {*own} & {*second}:
        return _plain_einsum([first, second, kept])
    corner = (0, 1) if own[-1] in second else (1, 0)
    left, above = ((first, second)[i] for i in corner)
    shared, found = [name for name in kept if name not in own], []
    for ways in product((ACROSS, DOWN), repeat=len(shared)):
        whole = dict(zip(shared, ways)) | {name: DOWN if name in left else ACROSS for name in own}
        sides = [{name: whole.get(name, way) for name in names} for names, way in ((left, ACROSS), (above, DOWN))]
        turns = sum(a == b for a, b in zip(ways, ways[1:])) + sum(way == DOWN for way in ways[-1:])
        found.append((turns, len(found), ((*(sides[i] for i in corner), whole), corner)))
    return [ways for _, _, ways in sorted(found, key=lambda each: each[:2])]


def _plain_einsum(tensors):
    """Directions of an einsum in which every axis can run one way, cheapest first."""
    names, found = [*dict.fromkeys(name for each in tensors for name in each)], []
    for ways in product((ACROSS, DOWN), repeat=len(names)):
        whole, price = dict(zip(names, ways)), 0
        for each in tensors:
            run = [whole[name] for name in each]
            price += (run[-1:] == [DOWN]) + (run[-2:-1] == [ACROSS]) + 5 * (len(run) > 1 and len({*run}) == 1)
        found.append((price, len(found), ((whole, whole, whole), None)))
    return [ways for _, _, ways in sorted(found, key=lambda each: each[:2])]


# ---------------------------------------------------------------------------------------------- boards


def _steps(axes):
    """How far one place of each axis is from the next, and how long all of them are together."""
    steps, length = {}, 1.0
    for axis in reversed(axes):
        steps[axis.name] = length + axis.gap
        length = axis.size * length + (axis.size - 1) * axis.gap
    return steps, length


def spans(axes):
    """What stands over the cells of nested axes, outermost tier first."""
    steps, length = _steps(axes)
    found = []
    for tier, axis in enumerate(axes):
        length = steps[axis.name] - axis.gap
        for index in product(*(range(each.size) for each in axes[: tier + 1])):
            start = sum(steps[each.name] * i for each, i in zip(axes, index))
            found.append(Span(tier, start, length, axis.name, index[-1]))
    return found


def _running(axes, sizes, ways, way):
    """The axes that run `way`, outermost first, with wider gaps at outer boundaries."""
    here = [(name, i) for i, axis in enumerate(axes) for name in axis if sizes[name] > 1 and ways[name] == way]
    found, gap = [], 0.0
    for k in reversed(range(len(here))):
        found.insert(0, Axis(here[k][0], sizes[here[k][0]], gap))
        gap += (MERGED if here[k - 1][1] == here[k][1] else APART) if k else 0
    return tuple(found)


def _place(index, names, sizes):
    """The place in memory of the element at `index`."""
    place = 0
    for name in names:
        place = place * sizes[name] + index[name]
    return place


def _indices(names, sizes):
    """Every index of the named axes, in memory order."""
    return [dict(zip(names, index)) for index in product(*(range(sizes[name]) for name in names))]


def _board(name, axes, sizes, full, ways, sources):
    """One tensor laid out, `sources` telling of each index what it is made of and whether it is a copy."""
    across, down = (_running(axes, sizes, ways, way) for way in (ACROSS, DOWN))
    right, below, names = _steps(across)[0], _steps(down)[0], _names(axes)
    cells = tuple(Cell(sum(right[axis.name] * index[axis.name] for axis in across),
                       sum(below[axis.name] * index[axis.name] for axis in down), index, place, *sources(index))
                  for place, index in enumerate(_indices(names, sizes)))
    shape, whole = (tuple(prod(each[name] for name in axis) for axis in axes) for each in (sizes, full))
    return Board(name, tuple(names), shape, whole, across, down, cells)


def _sources(operands, lost, new, sizes):
    """A function from an index of the result to the places it comes from, and to whether it is a copy."""
    inputs = [_names(axes) for axes in operands]

    def of(index):
        places = [tuple(_place(index | gone, names, sizes) for names in inputs) for gone in _indices(lost, sizes)]
        return (tuple(places) if len(inputs) > 1 else tuple(place for place, in places),
                any(index[name] for name in new))
    return of


def _lay_out(operands, result, lost, new, sizes, full):
    """The boards at the first directions with which they fit on a page, or None."""
    if max(prod(sizes[name] for name in _names(axes)) for axes in (*operands, result)) > MANY:
        return None
    options = (_einsum(operands, result, sizes) if len(operands) > 1 else
               _two_sided(operands[0], result, sizes, 3 if lost else FIRM))
    found = []
    for ways, corner in options:
        boards = []
        for name, axes, way in zip(("x", "y"), operands, ways):
            names = _names(axes)
            boards.append(_board(name, axes, sizes, full, way,
                                 lambda index, names=names: ((_place(index, names, sizes),), False)))
        boards.append(_board("out", result, sizes, full, ways[-1], _sources(operands, lost, new, sizes)))
        if all(board.width <= WIDE and board.height <= HIGH for board in boards):
            found.append((tuple(boards), corner))
            if corner is None or boards[corner[0]].width + boards[-1].width <= WIDE:
                return found[-1]
    return found[0] if found else None


def plan(pattern, x=None, *, op=None, color=None, shade=None, **sizes):
    """The Plan of a pattern; a tensor that a page cannot hold is planned smaller, sizes that it cannot are refused."""
    return _plans([pattern], x, op, color, shade, [sizes])[0]


def plan_small(pattern, x, op, sizes):
    """The Plan of a pattern in few cells; an axis that stands outside and stays there is left out."""
    return _plans([pattern], x, op, None, None, [sizes], (48, 24, 12))[0]


def stillness(pattern, x, op, sizes):
    """Why nothing moves in a pattern over x, in one line; "" where something does."""
    operands, result = parse(pattern)
    _operation(op, operands, result, pattern)
    full = _solve(pattern, operands, result, _shapes(x, len(operands)), sizes)
    before, after = ([tuple(name for name in axis if full[name] > 1) for axis in axes]
                     for axes in (operands[0], result))
    if len(operands) > 1 or sum(before, ()) != sum(after, ()):
        return ""
    merged, split = ([axis for axis in here if len(axis) > 1 and axis not in there]
                     for here, there in ((result, operands[0]), (operands[0], result)))
    sized = {name: f"{name} (size 1)" if size == 1 else name for name, size in full.items()}
    told = [" and ".join(sized[name] for name in axis) + " become one axis" for axis in merged]
    told += ["one axis becomes " + " and ".join(sized[name] for name in axis) for axis in split]
    if told:
        several = any(sum(full[name] > 1 for name in axis) > 1 for axis in (*merged, *split))
        return f"{', '.join(told)}: {'the numbers keep their order' if several else 'nothing moves'}"
    added = after.count(()) - before.count(())
    many, verb = ("an axis", "is") if abs(added) == 1 else (f"{abs(added)} axes", "are")
    if added:
        return f"{many} of size 1 {verb} {'added' if added > 0 else 'dropped'}: nothing moves"
    return f"{'an axis of size 1' if before != after else 'no axis'} changes its place: nothing moves"


def plan_pair(patterns, x, op, color, shade, sizes):
    """The plans of two patterns, drawn at the same sizes and coloured alike; each takes the sizes of its own axes."""
    words = [set(re.findall(r"\w+", each)) for each in patterns]
    nowhere = {name for name in sizes if name not in words[0] | words[1]}
    return _plans(patterns, x, op, color, shade, [
        {name: size for name, size in sizes.items() if name in own | nowhere} for own in words])


def _plans(patterns, x, op, color, shade, sizes, few=()):
    """Plans of patterns over one x, at the largest sizes that suit them all, or in so `few` cells."""
    parsed = [parse(pattern) for pattern in patterns]
    kinds = [_operation(op, *sides, pattern) for sides, pattern in zip(parsed, patterns)]
    shapes = [_shapes(x, len(operands)) for operands, _ in parsed]
    fulls = [_solve(pattern, *sides, shape, each)
             for pattern, sides, shape, each in zip(patterns, parsed, shapes, sizes)]
    for most in few or (inf, 48, 24, 12)[: None if x is not None else 1]:
        drawn = [_small(*sides, full, most, few and kind in ("rearrange", "repeat"))
                 for sides, full, (kind, *_) in zip(parsed, fulls, kinds)]
        if most < inf:                   # an axis of both patterns is drawn at one size
            drawn[1:] = [{name: min(drawn[0].get(name, size), full[name]) for name, size in each.items()}
                         for each, full in zip(drawn[1:], fulls[1:])]
        laid = [_lay_out(*sides, lost, new, small, full)
                for sides, (_, _, lost, new), small, full in zip(parsed, kinds, drawn, fulls)]
        if all(laid):
            break
    else:
        raise ValueError(_too_large(patterns[laid.index(None)], *parsed[laid.index(None)], drawn[laid.index(None)]))
    plans = []
    for k, pattern in enumerate(patterns):
        (operands, result), (kind, how, lost, new), (boards, corner) = parsed[k], kinds[k], laid[k]
        hues = _hues(color, shade, operands, result, drawn[k], pattern)
        plans.append(Plan(pattern, kind, how, drawn[k], fulls[k], _given(kind, operands, new, fulls[k], sizes[k], x),
                          boards, *hues, lost, new, corner))
        color, shade = (hue if hue in _names(parsed[-1][0][0]) else None for hue in hues)
    return plans


def _too_large(pattern, operands, result, sizes):
    """What to say of a pattern that no page holds."""
    cells = max(prod(sizes[name] for name in _names(axes)) for axes in (*operands, result))
    told = ", ".join(f"{name}={size}" for name, size in sizes.items())
    return (f"a page holds {MANY} cells of a tensor, {WIDE} across and {HIGH} down, and {pattern!r} has {cells} with "
            f"{told}: give smaller sizes")


def _hues(color, shade, operands, result, sizes, pattern):
    """The axes of colour and paleness, which only a pattern of one tensor has."""
    if len(operands) == 1:
        return _colors(color, shade, operands[0], result, sizes, pattern)
    if color or shade:
        raise ValueError("einsum gives each tensor its own colour: leave color and shade out")
    return None, None


def _colors(color, shade, before, after, sizes, pattern):
    """The axis that is told by colour and the one along which it pales, as asked for or chosen.

    Chosen for colour is the first axis that a parenthesis holds on one side and that stands alone on the other; of
    `two` and `pair` it is `pair`, because which two belong together is the question there.
    """
    drawn = [name for name in _names(before) if sizes[name] > 1]
    for name in filter(None, (color, shade)):
        if name not in drawn:
            raise ValueError(f"color and shade are axes of x with more than one place, {', '.join(drawn)} in "
                             f"{pattern!r}, got {name!r}: choose one of them")
    if color and color == shade:
        raise ValueError(f"color and shade are two axes, got {color!r} twice: leave one out")
    alone = [{name for axis in axes if len(axis) == 1 for name in axis} for axes in (before, after)]
    moved = [name for axes, there in ((before, alone[1]), (after, alone[0]))
             for axis in axes if len(axis) > 1 for name in axis if name in there]
    if "pair" in moved:
        moved = [name for name in moved if name != "two"]
    kept = [name for name in drawn if name in _names(after)]
    color = color or next((name for name in (*moved, *kept, *drawn) if name in drawn and name != shade), None)
    rest = [name for name in kept or drawn if name != color]
    return color, shade or next((name for name in reversed(rest) if name != drawn[-1]), rest[0] if rest else None)
