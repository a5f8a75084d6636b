"""What a model without a memory computes again when one more word is to be written."""

import numpy as np

from .canvas import BLUE, FAINT, GREY, INK, RED, canvas, dark, numbers, tint, to_rgb

AGAIN, NEW, SIDE = tint(RED, 0.35), dark(BLUE), 400


def done_again(before, after):
    """The attention of n words beside that of n − 1: red what came out the same again, blue what is new.

    `before` (n − 1, n − 1) and `after` (n, n) are causal weights (query key) of one head, 3 ≤ n ≤ 256; a weight
    counts as done again where both agree to a millionth.
    """
    before, after = numbers(before), numbers(after)
    n = len(after)
    if after.shape != (n, n) or before.shape != (n - 1, n - 1) or not 3 <= n <= 256:
        raise ValueError("done_again takes the weights (query key) of n − 1 words and of n, 3 to 256, got "
                         f"{before.shape} and {after.shape}: pass weights[:-1, :-1] of one head, or a run before")
    there, again = np.tri(n, dtype=bool), np.zeros((n, n), bool)
    again[:-1, :-1] = there[:-1, :-1] & (np.abs(before - after[:-1, :-1]) < 1e-6)
    rows = (again.sum(1) == there.sum(1))                                # a query whose whole row came out the same
    old, total = int(again.sum()), int(there.sum())
    c = canvas(616, f"Word {n}: {old:,} of {total:,} weights are computed again, and only "
               f"{total - old:,} are new",
               "Red = the same number as one word earlier, computed once more; blue = new. Keys and values: "
               "a cell per word.")
    colors = np.ones((n, n, 3))
    colors[there], colors[again] = to_rgb(NEW), to_rgb(AGAIN)
    left, top = 350, 150
    c.image(left, top, SIDE, SIDE, colors)
    c.curve([left, left, left + SIDE], [top, top + SIDE, top + SIDE], FAINT, 1.2)
    c.say(left, 128, "weights", 12.5, weight="bold")
    c.say(left + SIDE, top + 40, f"{total - old:,} new", 20, NEW, "right", weight="bold")
    c.say(left + SIDE, top + 68, f"{old:,} again", 13, dark(RED), "right", weight="bold")
    for row, text in ((0.5, "1"), (n - 0.5, f"{n}")):
        c.say(left - 8, top + SIDE * row / n, text, 10, GREY, "right", "center_baseline")
    c.say(left + SIDE / 2, top + SIDE + 22, "key", 10.5, GREY, "center")
    c.say(left - 14, top + SIDE / 2, "query", 10.5, GREY, "right", "center_baseline", rotation=90)
    for x, name in ((84, "keys"), (184, "values"), (842, "answers")):
        _column(c, x, top, name, rows)
    c.arrow(254, top + SIDE / 2, 292, top + SIDE / 2, GREY)
    c.arrow(774, top + SIDE / 2, 812, top + SIDE / 2, GREY)
    kept = int(rows.sum())
    return c.done(f"Attention over {n} words beside that over {n - 1}: {old:,} of {total:,} weights, {kept} of {n} "
                  f"keys, values and answers come out the same as one word earlier; {total - old:,} weights and one "
                  "row of each are new.")


def _column(c, x, top, name, same):
    """Keys, values or answers as a column of cells: red where its row came out the same, blue where not."""
    colors = np.array([[to_rgb(AGAIN if each else NEW)] for each in same])
    c.image(x, top, 46, SIDE, colors)
    c.say(x + 23, 128, name, 12.5, INK, "center", weight="bold")
    c.say(x + 23, top + SIDE + 24, f"{int((~same).sum())} new", 11, NEW, "center", weight="bold")
    c.say(x + 23, top + SIDE + 43, f"{int(same.sum())} again", 10.5, dark(RED), "center")
