"""Drawings whose patterns the reader is to write."""

import re

import numpy as np

from ..patterns.drawing import draw_pattern
from ..patterns.plan import plan

SIZES = {"seq": 4, "head": 2, "dim": 3, "group": 2, "down": 2, "row": 2, "across": 2, "column": 2}
PATTERNS = ("seq (dim head) -> head seq dim", "(group seq) dim -> seq (group dim)",
            "(row down) (column across) -> (row column) (down across)")


def riddle(number, pattern=None):
    """A drawing without its pattern; with the reader's `pattern`, that pattern's drawing beside it.

    `number` counts from 0. Raises ValueError for a number without a riddle, and what `draw_pattern` raises for a
    pattern that cannot be drawn.
    """
    if number not in range(len(PATTERNS)):
        raise ValueError(f"riddles have the numbers 0 to {len(PATTERNS) - 1}, got {number!r}")
    wanted = PATTERNS[number]
    sizes = {name: size for name, size in SIZES.items() if re.search(rf"\b{name}\b", wanted)}
    if pattern is None:
        return draw_pattern(wanted, untitled=True, **sizes)
    return draw_pattern((wanted, pattern), np.zeros(plan(wanted, **sizes).boards[0].full), **sizes)
