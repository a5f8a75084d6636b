"""A picture of splitting an axis or merging two, beside the reshape that learners write in its place."""

import re

import numpy as np
from einops import rearrange

from .canvas import (
    BLUE,
    CYAN,
    GOLD,
    GREEN,
    GREY,
    INK,
    MAUVE,
    ORANGE,
    PURPLE,
    RED,
    RIGHT,
    WRONG,
    canvas,
    dark,
    on,
    tint,
)

HUES = (MAUVE, BLUE, RED, GREEN, CYAN, GOLD, PURPLE, ORANGE)             # of the first, second … row
CELL, PITCH = 32, 36


def draw_heads(pattern, rows=None, **sizes):
    """What a pattern with one `(outer inner)` does to the numbers 0, 1, 2 …, and what reshape does instead.

    "batch seq (head dim) -> batch head seq dim" splits, its mirror image merges; `sizes` gives every axis but
    batch, which is 1; `rows` names the places of the axis that is neither outer nor inner.
    """
    sizes = {"batch": 1, **sizes}
    x, right, wrong, row, outer = _moved(pattern, sizes)
    seq, groups, width = right.shape
    if seq > 8 or groups > 4 or groups * width > 6:
        raise ValueError(f"draw_heads draws at most 8 rows of 6 numbers, got {seq} of {groups} × {width}: use less")
    kind = "word" if rows else row
    rows, shapes = rows or [f"{row} {i}" for i in range(seq)], [_shape(side, sizes) for side in pattern.split("->")]
    moved, total, call = int((wrong != right).sum()), right.size, f"x.reshape{shapes[1]}"
    c = canvas(306 + PITCH * seq, f"Same shape, but {call} puts {moved} of {total} numbers in the wrong place",
               f"Row and colour = {kind}, paler = later {outer}, number = place in x. Strip = the numbers in order.")
    pieces = re.split(r"(\w+)", f'rearrange(x, "{pattern}")')
    c.run(26, 100, [(part, dark(BLUE), "bold") if part == outer else (part, INK) for part in pieces], 12, mono=True)
    wide, split = groups * (width * PITCH + 9), "(" in pattern.split("->")[0]
    colors = {right[i, g, d]: tint(HUES[i], 0.72 * g / max(groups - 1, 1)) for i, g, d in np.ndindex(right.shape)}
    for place, (grid, name, told, below, ink, apart) in enumerate((
            (x, "x", "", "", INK, not split),
            (right, "rearrange", "every row keeps its colour", "sorted, then cut", dark(RIGHT), split),
            (wrong, "not reshape", f"{moved} strangers (×)", "the order of x, only cut", dark(WRONG), split))):
        left, step, y = 106 + place * (wide + (880 - 3 * wide) / 2), width * PITCH + 9 * apart, 208 + PITCH * seq
        c.say(left, 146, name, 12, ink, weight="bold", mono=True)
        c.say(left, 166, told, 10.5, ink)
        for g in range(groups):
            c.say(left + g * step + width * PITCH / 2 - 2, 192, f"{outer} {g}", 9.5, GREY, "center")
            c.line(left + g * step, 199, left + g * step + width * PITCH - 4, 199, GREY, 1.6)
        for i, label in enumerate(rows):
            c.say(left - 10, 224 + i * PITCH, label, 10.5, dark(HUES[i]), "right", "center_baseline", "bold")
        for i, g, d in np.ndindex(grid.shape):
            _cell(c, left + g * step + d * PITCH, 208 + i * PITCH, grid[i, g, d], right[i, g, d], colors)
        for i, number in enumerate(right.transpose(1, 0, 2).flat if split and place == 1 else
                                   right.flat if place == 1 else sorted(right.flat)):
            c.bar(left + i * groups * width * PITCH / total, y + 14, groups * width * PITCH / total, 16, colors[number],
                  edge="white", px=1)
        c.say(left, y + 50, f"{shapes[place > 0]}", 10.5, mono=True)
        c.say(left, y + 70, below, 10.5, ink)
    return c.done(f'rearrange "{pattern}" of {total} numbers keeps every row together; {call} has the same shape and '
                  f"puts {moved} numbers elsewhere.")


def _cell(c, x, y, number, wanted, colors):
    """A number in the colour of its row, with a × where another one is wanted."""
    c.box(x, y, CELL, CELL, colors[number])
    if number == wanted:
        c.say(x + CELL / 2, y + CELL / 2, f"{number}", 10, on(colors[number]), "center", "center_baseline")
    else:
        c.say(x + CELL / 2 - 2, y + CELL / 2 + 4, f"{number}", 10, on(colors[number]), "center", "center_baseline")
        c.say(x + CELL - 5, y + 7, "×", 9, on(colors[number]), "center", "center_baseline", "bold")


def _shape(side, sizes):
    """The shape that one side of a pattern has: sizes of axes, multiplied within parentheses."""
    axes = re.findall(r"\([^)]*\)|\w+", side)
    return tuple(int(np.prod([sizes[name] for name in re.findall(r"\w+", axis)])) for axis in axes)


def _moved(pattern, sizes):
    """x, its rearrangement and its reshape, each as (row outer inner), and the names of the first two."""
    before, after = pattern.split("->")
    found, names = re.findall(r"\((\w+) (\w+)\)", pattern), re.findall(r"\w+", before)
    rows = [name for name in names if found and name not in (*found[0], "batch")]
    if len(found) != 1 or len(rows) != 1 or sorted(names) != sorted(re.findall(r"\w+", after)):
        raise ValueError("draw_heads draws one pair (outer inner) and one axis beside it, as in "
                         f"'batch seq (head dim) -> batch head seq dim', got {pattern!r}")
    (outer, inner), row, sizes = found[0], rows[0], {name: sizes[name] for name in names}
    x = np.arange(np.prod([*sizes.values()])).reshape(_shape(before, sizes))
    right, batch = rearrange(x, pattern, **sizes), "(batch " if "batch" in names else "("
    view = f"-> {batch}{row}) {outer} {inner}"
    return (rearrange(x, before + view, **sizes), rearrange(right, after + view, **sizes),
            rearrange(x.reshape(right.shape), after + view, **sizes), row, outer)
