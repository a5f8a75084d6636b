"""Where numbers lie in memory, and drawings whose patterns the reader is to write."""

import re
from itertools import pairwise, product

import numpy as np

from ..kit.canvas import GREY, INK, RIGHT, WHITE, WRONG, canvas, dark, on, tint
from ..kit.cells import TOKEN_HUES
from ..patterns.drawing import draw_pattern
from ..patterns.plan import plan

SIZES = {"seq": 4, "head": 2, "dim": 3, "group": 2, "down": 2, "row": 2, "across": 2, "column": 2}
PATTERNS = ("seq (dim head) -> head seq dim", "(group seq) dim -> seq (group dim)",
            "(row down) (column across) -> (row column) (down across)")

PLACE, LEFT, MOST = 31, 26, 30           # pixels: a place in memory, where the first begins; as many as a page holds


def in_memory(tensors, words, word):
    """The memory of each tensor as a row, with the steps from number to number of one word, its heads in a row.

    `tensors` map a name to a tensor (1, head, seq, dim), one word of `words` for each place of seq; `word` counts
    from 0. Raises ValueError for other shapes, more than 30 numbers, or a tensor that skips places of its memory.
    """
    for name, x in tensors.items():
        if x.ndim != 4 or len(x) != 1 or x.shape[2] != len(words) or not 2 <= x.numel() <= MOST:
            raise ValueError(f"in_memory draws tensors (1, head, seq, dim) of 2 to {MOST} numbers for {len(words)} "
                             f"words, got {name} {tuple(x.shape)}")
        if 1 + sum((size - 1) * step for size, step in zip(x.shape, x.stride())) != x.numel():
            raise ValueError(f"in_memory draws numbers that lie side by side, got {name} with strides {x.stride()}: "
                             f"pass {name}.contiguous()")
    if len(words) > len(TOKEN_HUES) or word not in range(len(words)):
        raise ValueError(f"in_memory draws up to {len(TOKEN_HUES)} words and one of them by its number, got "
                         f"{len(words)} and {word!r}")
    walks = {name: _walk(x, word) for name, x in tensors.items()}
    able = [name for name, walk in walks.items() if len(set(np.diff(walk))) < 2]
    unable = [name for name in walks if name not in able]
    told = ", not in ".join(" and ".join(names) for names in (able or ["none"], unable) if names)
    c = canvas(72 + 160 * len(tensors),
               f"One axis has one stride: view can join the numbers of {words[word]} in {told}",
               "Row = memory from place 0 on, colour = word, paler = higher head. Arcs = from number to number of "
               f"{words[word]}.")
    told = [_memory(c, 122 + 160 * row, name, x, word) for row, (name, x) in enumerate(tensors.items())]
    return c.done(f"The memory of {len(tensors)} tensors, and the steps between the numbers of {words[word]}: "
                  f"{'; '.join(told)}.")


def _walk(x, word):
    """The places in memory of one word's numbers, head after head."""
    _, head, seq, dim = x.stride()
    return [head * h + seq * word + dim * d for h, d in product(range(x.shape[1]), range(x.shape[3]))]


def _memory(c, top, name, x, word):
    """One row of memory under its name, arcs over it; what it shows, in a few words."""
    walk, held = _walk(x, word), x.as_strided((x.numel(),), (1,)).tolist()
    steps = [after - before for before, after in pairwise(walk)]
    one = len(set(steps)) < 2
    strides = ", ".join(f"{axis} {step:+d}" for axis, step in zip(("head", "seq", "dim"), x.stride()[1:]))
    c.run(LEFT, top - 16, [(f"{name}  ", INK, "bold"), (f"strides: {strides}", GREY)], 11.5)
    c.say(LEFT + PLACE * MOST, top - 16, "✓ one step: view can" if one else "✗ two steps: view cannot", 11.5,
          dark(RIGHT if one else WRONG), "right", weight="bold")
    for index in product(*map(range, x.shape[1:])):
        place = sum(at * step for at, step in zip(index, x.stride()[1:]))
        fill = tint(TOKEN_HUES[index[1]], 0.72 * index[0] / max(x.shape[1] - 1, 1))
        mine = index[1] == word
        c.box(LEFT + PLACE * place + 1.5, top + 46, PLACE - 3, 34, fill, edge=INK if mine else WHITE, px=2.2 * mine)
        c.say(LEFT + PLACE * (place + 0.5), top + 63, f"{held[place]}", 10, on(fill), "center", "center_baseline",
              weight="bold" if mine else "normal")
    for before, step in zip(walk, steps):
        a, b = (LEFT + PLACE * (place + 0.5) for place in (before, before + step))
        turn, high = np.linspace(0, np.pi, 31), min(30, 9 + 2.4 * abs(step))
        color = dark(TOKEN_HUES[word]) if step == steps[0] else dark(WRONG)
        c.curve((a + b) / 2 - np.cos(turn) * (b - a) / 2, top + 43 - high * np.sin(turn), color, 1.8)
        c.say((a + b) / 2, top + 40 - high, f"{step:+d}", 9.5, color, "center", weight="bold")
    return f"{name} {', '.join(f'{step:+d}' for step in steps)}, {'one step' if one else 'not one step'}"


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
