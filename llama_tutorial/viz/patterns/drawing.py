"""A picture of any einops pattern: what stands where before and after, and what a mere reshape would do instead.

    draw_pattern("batch seq (head dim) -> batch head seq dim", batch=1, seq=3, head=3, dim=2, wrong=True)
    draw_pattern(["(two pair) -> two pair", "(pair two) -> two pair"], two=2, pair=4)
    draw_pattern("query dim, key dim -> query key", (q, k))
"""

import re
import sys
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from matplotlib.colors import to_hex, to_rgb

from ..kit.canvas import BLUE, FAINT, GREY, INK, ORANGE, RIGHT, WHITE, WRONG, canvas, dark, tint
from ..kit.cells import HUE_NAMES, axis_hues, place_hues
from .plan import plan, plan_pair, spans

PAGE, WIDEST, EDGE = 1040, 1300, 26      # pixels: a page, the widest figure, the margin
PITCHES = (44, 40, 36)                   # from one cell to the next, the largest that a page allows
LABEL, CALL, TITLE = 10, 13, 10.5        # points: of headings, of the call, of what stands above a tensor
GAPS = {"→": 62, "|": 44, "·": 46, "=": 54, "": 48}                      # before a tensor, by what stands there
SPACE = "\N{NO-BREAK SPACE}"
COPY, PALEST = 0.4, 0.72                 # how pale a copy is, and the last place of the shaded axis
LINE, RULE, NARROW = 20, 6, 13           # pixels: a line of headings, the bar under one, a number in a strip
GONE = 5                                 # pixels: the hatched bar of an axis that is summed


def draw_pattern(pattern, x=None, *, op=None, color=None, shade=None, wrong=False, untitled=False, names=None,
                 **sizes):
    """A figure of a pattern of rearrange, reduce, repeat or einsum, or of two patterns for comparison.

    Sizes are given (`head=3`) or taken from the tensor x (for an einsum a pair of tensors), which is drawn smaller
    where a page cannot hold it. `op` is inferred from the axes unless given ("max", say, for a reduce). `color` and
    `shade` choose the axes that hue and paleness tell. `wrong=True` adds the reshape that learners write instead.
    `untitled=True` leaves the pattern for the reader to find; not for an einsum, nor for two patterns. `names` are
    those of an einsum's tensors, by default the caller's own variables, else x and y.
    """
    if isinstance(pattern, str):
        p = plan(pattern, x, op=op, color=color, shade=shade, **sizes)
        if wrong and p.op != "rearrange":
            raise ValueError(f"wrong=True sets reshape beside rearrange, and {pattern!r} is for {p.op}: leave it out")
        if untitled and len(p.boards) > 2:
            raise ValueError("untitled=True is for one tensor, not for an einsum, which needs the names: leave it out")
        if len(p.boards) > 2:
            return draw_plan(p, names or _variables(x, sys._getframe(1)))
        return _moves(p, wrong, untitled)
    if untitled:
        raise ValueError("untitled=True is for one pattern, not for two that are compared: leave it out")
    if len(pattern) != 2 or wrong:
        raise ValueError(f"two patterns are compared, without wrong=True, got {len(pattern)}, wrong={wrong}: draw "
                         "them one by one")
    plans = plan_pair(pattern, x, op, color, shade, sizes)
    if any(len(p.boards) > 2 for p in plans):
        raise ValueError("two patterns are compared where one tensor goes in, not for einsum: draw them one by one")
    if plans[0].boards[0].full != plans[1].boards[0].full:
        raise ValueError(f"two patterns are compared over the same x, got the shapes {plans[0].boards[0].full} and "
                         f"{plans[1].boards[0].full}: change the sizes")
    return _compare(plans)


def draw_plan(p, names=None):
    """The figure of one plan; `names` are those of an einsum's tensors."""
    return _einsum(p, _fitting(names)) if len(p.boards) > 2 else _moves(p, False, strip=bool(p.moved))


def _fitting(names):
    """Two short names, or x and y."""
    names = tuple(map(str, names or ()))
    short = all(0 < len(name) <= 12 and name.isprintable() and name != "out" for name in names)
    return names if len(names) == 2 and short else ("x", "y")


def _variables(x, frame):
    """The names that tensors have where `draw_pattern` was called, or None where one has none."""
    known = {id(value): name for name, value in reversed(frame.f_locals.items()) if not name.startswith("_")}
    return [known[id(each)] for each in x] if x is not None and all(id(each) in known for each in x) else None


# ---------------------------------------------------------------------------------------------- colours


def _contrast(one, other):
    """The contrast of two colours, from 1 to 21, as the web's guidelines define it."""
    linear = np.array([to_rgb(one), to_rgb(other)])
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    deep, light = sorted(linear @ (0.2126, 0.7152, 0.0722))
    return (light + 0.05) / (deep + 0.05)


def _word(hue):
    """`hue` as the colour of a word: dark enough to read on white."""
    color = dark(hue)
    while _contrast(color, WHITE) < 4.7:
        color = to_hex([0.96 * part for part in to_rgb(color)])
    return color


def _on(fill):
    """The colour of a number on `fill`."""
    return max(INK, WHITE, key=lambda color: _contrast(color, fill))


def _pale(hue, place, size):
    """`hue`, paler the higher the place."""
    return tint(hue, PALEST * place / max(size - 1, 1))


class _Look:
    """The colours of one plan: of a cell by its index, of a heading by its axis, of a word by what it names."""

    def __init__(self, p, names=("x", "y")):
        self.p, self.names, self.hues, self.gone = p, dict(zip("xy", names)), axis_hues([*p.full]), ()
        if len(p.boards) > 2:
            self._einsum(p)
        else:
            self.words = {p.color: self.hues[p.color]} if p.color else {}
            self.places = place_hues(p.color, self.hues[p.color], p.sizes[p.color]) if p.color else (BLUE,)

    def _einsum(self, p):
        """An operand wears the hue of the last axis that it alone brings into the result."""
        inputs, kept = [board.names for board in p.boards[:2]], [n for n in p.out.names if p.sizes[n] > 1]
        self.shades, self.fills = {}, {}
        for board, names, other in zip(p.boards, inputs, inputs[::-1]):
            own, both = ([n for n in kept if n in names and (n in other) == shared] for shared in (False, True))
            self.shades[board.name] = (own or both or [None])[-1]
            self.fills[board.name] = self.hues[own[-1]] if own else None
        if not self.fills["x"] or self.fills["x"] == self.fills["y"]:
            self.fills["x"] = ORANGE if self.fills["y"] == BLUE else BLUE
        if not self.fills["y"]:
            self.fills["y"] = BLUE if self.fills["x"] == ORANGE else ORANGE
        self.words = {name: self.hues[name] for name, size in p.sizes.items() if size > 1}
        self.gone = tuple(name for name in p.lost if name in self.words)

    def of(self, index):
        """The colour of the element of x at `index`."""
        color, shade = self.p.color, self.p.shade
        return _pale(self.places[index.get(color, 0)], index.get(shade, 0), self.p.sizes.get(shade, 1))

    def operand(self, name, index):
        """The colour of an element of an einsum's operand, or of its part in the result."""
        shade = self.shades[name]
        return _pale(self.fills[name], index.get(shade, 0), self.p.sizes.get(shade, 1))

    def name(self, board):
        """The name of a tensor, as its caller calls it."""
        return self.names.get(board.name, board.name)

    def heading(self, name, index=None):
        """The colour and weight of a heading."""
        if name not in self.words:
            return GREY, "normal"
        if len(self.p.boards) > 2 or index is None:
            return _word(self.words[name]), "bold"
        return _word(self.places[index]), "bold"

    def call(self, text):
        """The pieces of a call, or of its second line, its coloured axes coloured."""
        before, quote, after = text.partition('"') if '"' in text.partition("->")[0] else ("", "", text)
        return [(before + quote, INK), *(self.axis(part, INK) for part in re.split(r"(\w+)", after))]

    def axis(self, name, plain):
        """A piece of text, coloured where it is the name of a coloured axis."""
        return (name, _word(self.words[name]), "bold", name in self.gone) if name in self.words else (name, plain)


# ---------------------------------------------------------------------------------------------- a tensor


def _mono(text, size=LABEL):
    """The width of a text in monospace, in pixels."""
    return 0.8362 * size * len(text)


@cache
def _sans(text, size=TITLE, weight="normal"):
    """The width of a text in pixels."""
    return _pen().measure(text, size, weight)


@cache
def _pen():
    """A canvas on which nothing is drawn."""
    return canvas(10)


def _run(c, x, y, pieces, size):
    """One line of monospace in many colours: pieces (text, colour[, weight[, whether its axis is summed]])."""
    for text, color, *rest in pieces:
        c.say(x, y, text, size, color, weight=(rest or ["normal"])[0], mono=True)
        if any(rest[1:]):
            c.hatch(x, y + 4, _mono(text, size), GONE, color, 4, 1.3)
        x += _mono(text, size)


def _short(name, width):
    """A name and its size in points, so that it stands within `width` pixels."""
    size = max(7, min(LABEL, LABEL * width / _mono(name)))
    return (name if _mono(name, size) <= width + 1 else name[: max(1, int(width / _mono("m", size)) - 1)] + "…"), size


@dataclass
class _Frame:
    """One tensor in the figure: its board, what is written about it, and where it comes to stand."""

    board: object
    look: _Look
    mark: str = ""                       # what stands before it: → · = |
    title: list = field(default_factory=list)                            # lines above: (text, colour[, weight])
    numbers: list | None = None          # where they are not the board's own: the reshape
    strip: bool = False
    mono: bool = False                   # the title is a call, its lines are pieces
    loose: float = 1                     # cells of a reduce are wider
    x: float = 0
    y: float = 0

    def measure(self, pitch, digits):
        """Settle the sizes at this pitch; `digits` are the axes whose name stands once, over plain digits."""
        self.px, self.py, self.gap, self.digits = self.loose * pitch, pitch, round(pitch / 9), digits
        self.w, self.h = self.board.width * self.px - self.gap, self.board.height * self.py - self.gap
        self.left = sum(self._label(axis) for axis in self.board.down) + 4 * bool(self.board.down)
        self.tiers = sum(self._tier(k) for k in range(len(self.board.across)))
        self.lift = self.tiers           # how far above the cells the title stands: above all headings of a row
        self.below = 30 * self.strip + 18 * len(self._shape()) + 12
        numbers = NARROW * len(self.board.cells)
        wide = max(self.w, numbers) if numbers <= max(1.25 * self.w, 240) else self.w
        self.each = min(22, wide / len(self.board.cells))
        self.body = max([self.w, self.strip * self.each * len(self.board.cells),
                         *(_mono("".join(text for text, *_ in line), TITLE) for line in self._shape())])
        self.head = max([0, *(_mono("".join(text for text, *_ in line), TITLE) if self.mono else
                              _sans(line[0], TITLE, (*line, "normal")[2]) for line in self.title)])

    @property
    def top(self):
        return self.lift + 19 * len(self.title) + 20 * bool(self.title)

    def named(self, pitch):
        """The axes across whose places have room for the name of the axis."""
        spare = round(pitch / 9) + 2
        return {span.name: all(_mono(f"{each.name}{each.index}") <= each.length * self.loose * pitch - spare
                               for each in spans(self.board.across) if each.name == span.name)
                for span in spans(self.board.across)}

    def _label(self, axis):
        inner = axis is self.board.down[-1]
        return _mono(f"{axis.name}{axis.size - 1}") + (8 if inner else 20) + 8 * (inner and axis.name in self.look.gone)

    def _tier(self, k):
        axis, inner = self.board.across[k], k == len(self.board.across) - 1
        return LINE + RULE * (not inner) + (LINE + RULE if axis.name in self.digits else 0)

    def _shape(self):
        name = "reshaped" if self.numbers else self.look.name(self.board)
        whole = [(f"{name}  ", INK, "bold"), (f"{self.board.full}", INK)]
        return [whole] + [[(f"drawn {self.board.shape}", GREY)]] * (self.board.shape != self.board.full)

    # ---- drawing ----

    def draw(self, c):
        """Everything that belongs to this tensor."""
        for k, line in enumerate(self.title):
            y = self.y - self.lift - 18 - 19 * (len(self.title) - 1 - k)
            if self.mono:
                _run(c, self.x, y, line, TITLE)
            else:
                c.say(self.x, y, line[0], TITLE, line[1], weight=(*line, "normal")[2])
        self._headings(c)
        self._labels(c)
        for cell in self.board.cells:
            self._cell(c, cell)
        bottom = self.y + self.h
        if self.strip:
            self._strip(c, bottom + 14)
            bottom += 30
        for k, line in enumerate(self._shape()):
            _run(c, self.x, bottom + 24 + 18 * k, line, TITLE)

    def box(self, column, row, width=1, height=1):
        """The pixels of a rectangle of cells: left, top, width, height."""
        return (self.x + column * self.px, self.y + row * self.py,
                width * self.px - self.gap, height * self.py - self.gap)

    def _headings(self, c):
        """Names over the cells, tier by tier, a bar under the outer ones."""
        found, y = spans(self.board.across), self.y - self.tiers
        for k, axis in enumerate(self.board.across):
            here, digits = [span for span in found if span.tier == k], axis.name in self.digits
            if digits:                   # the name once over all of its places
                for first, last in zip(here[:: axis.size], here[axis.size - 1 :: axis.size]):
                    self._heading(c, y, first.start, last.start + last.length, axis.name, axis.name, None, True)
                y += LINE + RULE
            inner = k == len(self.board.across) - 1
            for span in here:
                text = f"{span.index}" if digits else f"{axis.name}{span.index}"
                self._heading(c, y, span.start, span.start + span.length, text, axis.name, span.index, not inner)
            y += LINE + RULE * (not inner)

    def _heading(self, c, y, start, end, text, name, index, bar):
        left, right = self.x + start * self.px, self.x + end * self.px - self.gap
        color, weight = self.look.heading(name, index)
        text, size = _short(text, right - left)
        c.say((left + right) / 2, y + 11, text, size, color, "center", weight=weight, mono=True)
        if name in self.look.gone:
            c.hatch(left, y + 14, right - left, GONE, color, 4, 1.3)
        elif bar:
            c.line(left, y + 17, right, y + 17, color, 2.4 if weight == "bold" and index is not None else 1.2)

    def _labels(self, c):
        """Names beside the rows, the outer ones before a bar."""
        found, right = spans(self.board.down), self.x - 4
        for k in reversed(range(len(self.board.down))):
            axis, inner = self.board.down[k], k == len(self.board.down) - 1
            for span in [span for span in found if span.tier == k]:
                _, top, _, high = self.box(0, span.start, 1, span.length)
                color, weight = self.look.heading(axis.name, span.index)
                gone = axis.name in self.look.gone
                if gone:
                    c.hatch(right - 6 - 4 * (not inner), top, GONE, high, color, 4, 1.3)
                elif not inner:
                    c.line(right - 8, top, right - 8, top + high, color, 2.4 if weight == "bold" else 1.2)
                end = right - (14 if not inner else 12 if gone else 4)
                c.say(end, top + high / 2, f"{axis.name}{span.index}", LABEL, color, "right", "center_baseline",
                      weight, mono=True)
            right -= self._label(axis)

    def _cell(self, c, cell):
        left, top, w, h = self.box(cell.column, cell.row)
        if len(self.look.p.boards) > 2:
            return self._einsum_cell(c, cell, left, top, w, h)
        number = self.numbers[cell.place] if self.numbers else cell.number
        fill = self.look.of(self.look.p.boards[0].cells[number].index)
        if cell.copy:
            fill, edge = tint(fill, COPY), dark(tint(fill, 0.2))
            c.box(left, top, w, h, fill, edge=edge, px=1.5, dash=(2.2, 1.6))
        else:
            c.box(left, top, w, h, fill)
        if self.look.p.how and self.board is self.look.p.out:
            c.say(left + w / 2, top + h * 0.32, self.look.p.how, 8.5, _on(fill), "center", "center_baseline", "bold")
            text = _range(cell.sources)
            return c.say(left + w / 2, top + h * 0.70, text, min(8.5, 8.5 * (w - 4) / _sans(text, 8.5)), _on(fill),
                         "center", "center_baseline")
        c.say(left + w / 2, top + h / 2 + 1, f"{number}", 10, _on(fill), "center", "center_baseline")
        if self.numbers is not None and number != cell.number:
            c.say(left + w - 6, top + 6, "×", 8, _on(fill), "center", "center_baseline", "bold")

    def _einsum_cell(self, c, cell, left, top, w, h):
        """A cell of an operand, or of the result: cut from corner to corner into the colours of both."""
        if self.board is not self.look.p.out:
            return c.box(left, top, w, h, self.look.operand(self.board.name, cell.index))
        whole = c.box(left, top, w, h, self.look.operand("x", cell.index))
        half = c.band([left, left + w], [top + h, top], [top + h, top + h], self.look.operand("y", cell.index))
        half.set_clip_path(whole)
        c.line(left, top + h, left + w, top, WHITE, 1.4)

    def _strip(self, c, y):
        """The numbers in the order in which they are read."""
        for k, cell in enumerate(self.board.cells):
            number = self.numbers[k] if self.numbers else cell.number
            fill = self.look.of(self.look.p.boards[0].cells[number].index)
            c.bar(self.x + k * self.each, y, self.each, 17, fill, edge=WHITE, px=1)
            if self.each >= NARROW and number < 100:
                c.say(self.x + (k + 0.5) * self.each, y + 8.5, f"{number}", 6.5, _on(fill), "center", "center_baseline")


def _range(sources):
    """A few words for the places that a cell is made of."""
    steps = {b - a for a, b in zip(sources, sources[1:])}
    if len(sources) > 1 and steps == {1}:
        return f"{sources[0]}–{sources[-1]}"
    return " ".join(map(str, sources)) if len(sources) < 4 else f"{sources[0]}, {sources[1]} … {sources[-1]}"


# ---------------------------------------------------------------------------------------------- the figure


def _place(grid, over=False, x=0.0, y=0.0):
    """Put the frames of a grid (rows of frames, None where nothing stands) at their places; its width and height.

    `over`: what is written above a tensor may run on above its neighbour.
    """
    columns = list(zip(*grid))
    gaps = [max(GAPS[frame.mark] for frame in column if frame) if k else 0 for k, column in enumerate(columns)]
    right = x
    for gap, column in zip(gaps, columns):
        left = right + gap + max(frame.left for frame in column if frame)
        for frame in filter(None, column):
            frame.x = left
        right = left + max(frame.body if over else max(frame.body, frame.head) for frame in column if frame)
    right = max([right, *(frame.x + frame.head for row in grid for frame in row if frame)])
    bottom = y
    for k, row in enumerate(grid):
        frames = [frame for frame in row if frame]
        for frame in frames:
            frame.lift = max(each.tiers for each in frames)
        top = bottom + max(frame.top for frame in frames) + (34 if k and frames[0].mark else 16 if k else 0)
        for frame in frames:
            frame.y = top
        bottom = top + max(frame.h for frame in frames) + max(frame.below for frame in frames)
    return right - x, bottom - y


def _settle(frames, grids, pitches=PITCHES):
    """The first grid, at the largest pitch, that a page holds, or else a figure; and its size."""
    for width in (PAGE, WIDEST):
        for grid in grids:
            for pitch in pitches:
                named = [frame.named(pitch) for frame in frames]
                digits = {name for each in named for name, fits in each.items() if not fits}
                for frame in frames:
                    frame.measure(pitch, digits)
                size = _place(*grid)
                if size[0] <= width - 2 * EDGE:
                    return grid, size
    raise ValueError(f"a figure is at most {WIDEST} pixels wide, and this one takes {size[0] + 2 * EDGE:.0f}: give "
                     "smaller sizes or shorter names")


def _mark(c, before, frame):
    """What stands between two tensors."""
    if before.y < frame.y:
        x, y = frame.x + 14, frame.y - frame.top - 34
        if frame.mark == "→":
            c.arrow(x, y + 2, x, y + 30)
        elif frame.mark != "|":
            c.say(x, y + 17, frame.mark, 20, INK, "center", "center_baseline", "bold")
        return
    start, end = before.x + before.body, frame.x - frame.left
    middle, y = (start + end) / 2, frame.y + min(before.h, frame.h) / 2
    if frame.mark == "→":
        c.arrow(middle - 18, y, middle + 18, y)
    elif frame.mark == "|":
        c.line(middle, frame.y - frame.top, middle, frame.y + frame.h + frame.below - 8, FAINT, 1.5)
    elif frame.mark:
        c.say(middle, y, frame.mark, 20, INK, "center", "center_baseline", "bold")


def _wrap(text, width):
    """A text as lines of at most `width` pixels."""
    lines, taken = [[]], 0
    for word in text.split(" "):
        long = _sans(word)
        if lines[-1] and taken + long > width:
            lines, taken = [*lines, []], 0
        lines[-1].append(word)
        taken += long + _sans(" ")
    if len(lines) > 1 and taken < width / 4:
        return _wrap(text, 0.9 * width)  # no lonely word on the last line
    return [" ".join(line) for line in lines]


def _start(heads, sentence, size):
    """A canvas with the lines `heads` (pieces, points), the grey sentence below, and room for `size`; with its top."""
    wide = max([460, size[0] + 2 * EDGE, *(_mono("".join(t for t, *_ in line), pt) + 2 * EDGE for line, pt in heads)])
    lines = _wrap(sentence, wide - 2 * EDGE)
    top = 36 + 24 * len(heads) + 19 * len(lines) + 10
    c = canvas(top + size[1] + 6, width=np.ceil(wide))
    for k, (pieces, points) in enumerate(heads):
        _run(c, EDGE, 36 + 24 * k, pieces, points)
    for k, line in enumerate(lines):
        c.say(EDGE, 38 + 24 * len(heads) + 19 * k, line, TITLE, GREY)
    return c, top


def _call(p, look=None):
    """The call that does what the figure shows."""
    sizes = "".join(f", {name}={size}" for name, size in p.given.items())
    if p.op == "einsum":
        names = (look.name(board) if look else board.name for board in p.boards[:-1])
        return f'einsum({", ".join(names)}, "{p.pattern}")'
    how = f', "{p.how}"' if p.how else ""
    return f'{p.op}(x, "{p.pattern}"{how}{sizes})'


def _heads(p, look, points=CALL):
    """The call as one or two coloured lines, in as many points as a figure's width allows."""
    text = _call(p, look)
    fitting = [pt for pt in (points, points - 1, points - 2) if _mono(text, pt) <= PAGE - 2 * EDGE]
    if fitting:
        return [(look.call(text), fitting[0])]
    before, arrow, after = text.partition("-> ")
    longest = max(before, f"    {arrow}{after}", key=len)
    if _mono(longest, points - 2) > WIDEST - 2 * EDGE:
        raise ValueError(f"a call is at most two lines of {WIDEST} pixels, got {text}: use shorter names")
    return [(look.call(before.rstrip()), points - 2), (look.call(f"    {arrow}{after}"), points - 2)]


def _undrawn(p):
    """Which axes are not drawn, in words: those of size 1, and what was made smaller."""
    single = [f"{name}{SPACE}={SPACE}1" for name, size in p.full.items() if size == 1]
    if re.search(r"\b1\b|\(\s*\)", p.pattern):
        single.append("other axes of size 1" if single else "axes of size 1")
    told = f" ({' and '.join(single)}: not drawn)" if single else ""
    smaller = [f"{name}{SPACE}{size}{SPACE}of{SPACE}{p.full[name]}"
               for name, size in p.sizes.items() if size < p.full[name]]
    return told + "." + (f" Drawn smaller than it is: {', '.join(smaller)}." if smaller else "")


def _sentence(p, strip=False):
    """How to read the figure of a rearrange, reduce or repeat."""
    parts = [f"colour = {p.color}"] * bool(p.color) + [f"paler = higher {p.shade}"] * bool(p.shade)
    told = ", ".join([*parts, "number = place in x", *["strip = the numbers in order"] * strip])
    if p.new:
        told += f"; {' and '.join(p.new)} {_verb(p.new)} new: dashed cells are copies, their number says of which cell"
    if p.how:
        many, gone = len(p.out.cells[0].sources), " and ".join(p.lost) or "nothing"
        told += f"; {gone} {_verb(p.lost)} gone: each new cell is the {p.how} of {many} old cell{'s' * (many > 1)}"
    return told[0].upper() + told[1:] + _undrawn(p)


def _verb(names):
    return "are" if len(names) > 1 else "is"


def _moves(p, wrong, untitled=False, strip=False):
    """The figure of a rearrange, reduce or repeat; `strip` sets the numbers in memory order beneath."""
    look, differs = _Look(p), wrong and p.misplaced > 0
    strip = differs or strip and not p.how
    frames = [_Frame(p.boards[0], look, strip=strip),
              _Frame(p.out, look, "→", strip=strip, loose=1.5 if p.how else 1)]
    grids, total = [([frames], False), ([[frame] for frame in frames], False)], len(p.out.cells)
    if differs:
        green, red = _word(RIGHT), _word(WRONG)
        frames[1].title = [(p.op, green, "bold"), (f"each {p.color} keeps", green), ("its colour", green)]
        frames.append(_Frame(p.out, look, "|", strip=True, numbers=list(range(total))))
        frames[2].title = [(f"not x.reshape{p.out.full}", red, "bold"),
                           (f"same shape, {p.misplaced} of {total} numbers", red),
                           ("in the wrong place (×)", red)]
        grids = [(each, False) for each in ([frames], [[frames[0], None], frames[1:]], [[frame] for frame in frames])]
    sentence = _sentence(p, strip)
    if wrong and not differs:
        sentence += f" Here x.reshape{p.out.full} does the same: all {total} numbers keep their order."
    grid, size = _settle(frames, grids)
    heads = [([(f'{p.op}(x, " ? ")', INK)], CALL)] if untitled else _heads(p, look)
    c, top = _start(heads, sentence, size)
    _place(*grid, EDGE, top)
    _draw(c, frames)
    alt = _alt(p, differs)
    return c.done(alt.replace(_call(p), f"{p.op} by a pattern to be found") if untitled else alt)


def _draw(c, frames):
    """The tensors and what stands between them."""
    for before, frame in zip(frames, frames[1:]):
        if frame.mark:
            _mark(c, before, frame)
    for frame in frames:
        frame.draw(c)


def _alt(p, differs=False):
    """The figure in one sentence; of the numbers only those that move."""
    sizes = ", ".join(f"{name} {size}" for name, size in p.sizes.items() if size > 1)
    told = f"{_call(p)}{f', drawn with {sizes}' if sizes else ''}: x of shape {p.boards[0].shape} becomes {p.out.shape}"
    total, moved, first = len(p.out.cells), p.moved, p.out.cells[0].sources
    if p.how:
        many = len(first)
        return f"{told}, each cell the {p.how} of {many} old one{'s' * (many > 1)}, the first of {_range(first)}."
    copies = sum(cell.copy for cell in moved)
    shown = ", ".join(f"{cell.number} at {cell.place}" for cell in moved[:4]) + " …" * (len(moved) > 4)
    if copies:
        told += f", {copies} of its {total} numbers are copies, so that it holds {shown}"
    else:
        told += f"; {len(moved)} of {total} numbers move: {shown}" if moved else "; no number changes its place"
    if differs:
        told += (f"; x.reshape{p.out.full} has the same shape and puts {p.misplaced} of {total} numbers in the wrong "
                 "place")
    return told + "."


# ---------------------------------------------------------------------------------------------- einsum


def _einsum(p, names):
    """The figure of an einsum of two tensors: left of the result and above it, or all in a row."""
    look, boxed = _Look(p, names), {name: min(1, size - 1) for name, size in p.sizes.items() if name in p.out.names}
    frames = [_Frame(board, look, "" if p.corner else mark) for board, mark in zip(p.boards, ("", "·", "="))]
    x, y, out = frames
    if p.corner:
        left, above = (frames[i] for i in p.corner)
        grids = [([[None, above], [left, out]], False)]
    else:
        grids = [(each, False) for each in ([[x, y, out]], [[x, y], [out, None]], [[x], [y], [out]])]
    grid, size = _settle(frames, grids, pitches=(42, 38, 34, 30))
    formula = _formula(p, boxed, look)
    told = ["".join(text for text, _ in line) for line in formula]
    inside = bool(p.corner) and max(map(_mono, told)) < above.x - above.left - 30 and above.top + above.h > 102
    lines = [[look.axis(name, GREY) if name else (text, GREY) for text, name in line] for line in formula]
    heads = _heads(p, look) + [([piece for line in lines for piece in line], LABEL)] * (not inside)
    c, top = _start(heads, _einsum_sentence(p, look), size)
    _place(*grid, EDGE, top)
    for k, line in enumerate(lines if inside else ()):                   # in the empty corner
        _run(c, EDGE, above.y + (above.h - above.tiers) / 2 + 24 * (k - 1), line, LABEL)
    _draw(c, frames)
    for frame in frames:
        _box(c, frame, boxed)
    shapes = " and ".join(f"{look.name(board)} of shape {board.shape}" for board in p.boards[:2])
    return c.done(f"{_call(p, look)}: {shapes} give {p.out.shape}; {''.join(told)}.")


def _formula(p, boxed, look):
    """What the boxed cell is made of, in three lines of pieces: (text, name of the axis or None)."""
    def of(board, before):
        drawn = [name for name in board.names if p.sizes[name] > 1]
        parts = [[(name, name), (f"{boxed.get(name, '')}{' ' * (name != drawn[-1])}", None)] for name in drawn]
        name = look.name(board) if look.name(board).isidentifier() else f"({look.name(board)})"
        return [(f"{before}{name}[", None), *(piece for pair in parts for piece in pair)]
    gone = [name for name in p.lost if p.sizes[name] > 1]
    total = [piece for k, name in enumerate(gone) for piece in ((" and " if k else "sum over ", None), (name, name))]
    x, y, out = (of(board, before) for board, before in zip(p.boards, (" of " * bool(gone), "× ", "boxed: ")))
    return [[*out, ("] ", None)], [("= ", None), *total, *x, ("] ", None)], [*y, ("]", None)]]


def _einsum_sentence(p, look):
    """How to read the figure of an einsum."""
    names = [look.name(board) for board in p.boards[:2]]
    if names[0] == names[1]:
        names = [f"{names[0]} as it stands {where}" for where in ("first", "second")]
    x, y = (f"{HUE_NAMES[look.fills[board]]} = {name}" for board, name in zip("xy", names))
    told = f"{x[0].upper()}{x[1:]}, {y}, and every cell of the result has a part of both"
    if p.lost:
        told += f"; hatched = summed: {' and '.join(p.lost)} {_verb(p.lost)} gone"
    told += _undrawn(p)
    above = p.corner and p.boards[p.corner[1]]
    last = above and [name for name in above.names if p.sizes[name] > 1][-1]
    if above and last != above.across[-1].name:
        runs = above.across[-1].name
        told += f" {look.name(above)} stands on its side, so that {runs} runs as it does in the result."
    return told


def _box(c, frame, boxed):
    """A frame about the boxed cell or its sources: about all at once where they fill a rectangle."""
    cells = [cell for cell in frame.board.cells
             if all(cell.index[name] == place for name, place in boxed.items() if name in cell.index)]
    left, top = min(cell.column for cell in cells), min(cell.row for cell in cells)
    right, bottom = max(cell.column for cell in cells) + 1, max(cell.row for cell in cells) + 1
    inside = [cell for cell in frame.board.cells if left <= cell.column < right and top <= cell.row < bottom]
    blocks = [(left, top, right - left, bottom - top)] if len(inside) == len(cells) else [
        (cell.column, cell.row, 1, 1) for cell in cells]
    for block in blocks:
        x, y, w, h = frame.box(*block)
        c.box(x - 3, y - 3, w + 6, h + 6, None, 6, edge=INK, px=2.6)


# ---------------------------------------------------------------------------------------------- two patterns


def _compare(plans):
    """Two patterns over the same numbers, one below the other or side by side, as a page allows."""
    looks = [_Look(p) for p in plans]
    pairs = [[_Frame(p.boards[0], look), _Frame(p.out, look, "→", loose=1.5 if p.how else 1)]
             for p, look in zip(plans, looks)]
    for (x, _), p, look in zip(pairs, plans, looks):
        x.title, x.mono = [look.call(_call(p))], True
    (x, out), (other, result) = pairs
    frames = [x, out, other, result]
    grid, size = _settle(frames, [([[x, out], [other, result]], True), ([[x, other], [out, result]], False),
                                  ([[frame] for frame in frames], True)])
    title, told = _contrasted(plans), [_sentence(p) for p in plans]
    if told[0] != told[1]:
        told = [f"{where}: {each}" for where, each in zip(("Above", "Below") if grid[1] else ("Left", "Right"), told)]
    else:
        told = told[:1]
    c, top = _start([([("", INK)], 14)], " ".join(told), (max(size[0], _sans(title, 14, "bold")), size[1]))
    c.say(EDGE, 36, title, 14, weight="bold")
    _place(*grid, EDGE, top)
    for pair in pairs:
        _draw(c, pair)
    return c.done(f"{title}: " + "; ".join(_alt(p).rstrip(".") for p in plans) + ".")


def _contrasted(plans):
    """What two patterns make of the same numbers."""
    one, other = (p.out.full for p in plans)
    if one != other:
        return f"Two shapes from one: {one} and {other}"
    if plans[0].boards[0].shape != plans[1].boards[0].shape:             # drawn at sizes that cannot be compared
        return f"Two ways from {plans[0].boards[0].full} to {one}"
    sources = [[cell.sources for cell in p.out.cells] for p in plans]
    differ, drawn = sum(a != b for a, b in zip(*sources)), " drawn" * (plans[0].sizes != plans[0].full)
    return f"Both give {one}, " + (f"and {differ} of {len(sources[0])} numbers{drawn} stand elsewhere" if differ else
                                   "number for number the same")
