"""Attention as ropes: one query with the values it mixes, and all queries beside their matrix."""

import numpy as np

from .canvas import FAINT, GREY, INK, WHITE, canvas, dark, numbers, printable, tint
from .cells import TOKEN_HUES, checked_weights, is_causal, strongest, weight_cells

BANDED = "#fbf1d5"
ROW = 86                                 # pixels from one row of ropes to the next


def one_query(weights, values, tokens, query=-1):
    """One word asks: ropes as thick as its weights hang from it to the values and meet in their weighted mean.

    `weights` (key), `values` (key dim), none negative, at most 6 tokens of at most 3 numbers; words after `query`,
    the number of the one that asks, are grey and get no rope.
    """
    weights, values = numbers(weights), numbers(values)
    words, asks = [printable(str(token)) for token in tokens], range(len(tokens))[query]
    fits = values.ndim == 2 and weights.shape == values.shape[:1] == (len(words),) and values.shape[1] <= 3
    if not fits or len(words) > 6 or (weights < 0).any() or (values < 0).any() or not values.any():
        raise ValueError("one_query takes weights (key) and values (key dim), none negative, of at most 6 tokens with "
                         f"at most 3 numbers each, got {weights.shape} and {values.shape} for {len(words)} tokens")
    best, answer = int(weights.argmax()), weights @ values
    c = canvas(674, f"“{words[asks]}” asks, and “{words[best]}” answers loudest, with weight {weights[best]:.2f}",
               "A rope is as thick as its weight, bars are a word’s value; below, the ropes meet in the weighted mean.")
    for y, name in ((104, "query"), (283, "weight"), (315, "key"), (414, "value"), (628, "answer")):
        c.say(26, y, name, color=GREY)
    xs, seen = 150 + min(180, 800 / len(words)) * np.arange(len(words)), np.arange(len(words)) <= asks
    middle, scale = xs[seen].mean(), 81 / max(values.max(), answer.max())
    c.say(middle, 112, words[asks], 16, dark(TOKEN_HUES[asks]), "center", weight="bold", mono=True)
    edge = middle - 65 * weights.sum()
    for x, weight, hue in zip(xs, weights, TOKEN_HUES):
        for y, end, color in ((128, 296, hue), (562, 438, tint(hue, 0.62))):
            if weight > 0.001:
                c.rope(edge + 65 * weight, y, x, end, 130 * weight, color)
        edge += 130 * weight
    for i, x in enumerate(xs):
        _word_below(c, x, words[i], weights[i], values[i] * scale, values[i], TOKEN_HUES[i] if seen[i] else None,
                    "left" if x < middle else "right")
    _stacked(c, middle, weights[:, None] * values * scale, answer)
    for row, column in enumerate(values.T):
        terms = [(f"{weight:.2f}×{value:g}", dark(hue)) for weight, value, hue, said
                 in zip(weights, column, TOKEN_HUES, seen) if said]
        joined = [piece for term in terms for piece in ((" + ", GREY), term)][1:]
        c.run(middle + 104, 642 + 25 * (row - values.shape[1] + 1), [*joined, (f" = {answer[row]:.2f}", INK, "bold")],
              11.5, mono=True)
    told = ", ".join(f"{word} {weight:.2f}" for word, weight, said in zip(words, weights, seen) if said)
    mean = ", ".join(f"{part:.2f}" for part in answer)
    return c.done(f"Ropes from the query of “{words[asks]}” to its keys, as thick as the weights {told}; they meet "
                  f"in the weighted mean of the values, ({mean}).")


def _word_below(c, x, word, weight, heights, value, hue, side):
    """A key with its weight and the bars of its value; without a hue, a word not yet said."""
    color, text = hue or tint(GREY, 0.86), dark(hue) if hue else tint(GREY, 0.4)
    c.say(x, 320, word, 13.5, text, "center", weight="bold", mono=True)
    half = 65 * weight
    if not hue:
        c.say(x, 270, "not yet said:\nno rope", 10, GREY, "center", linespacing=1.4)
    elif half > 26:
        c.say(x, 281, f"{weight:.2f}", 12.5, WHITE, "center", weight="bold")
    else:
        out = -1 if side == "left" else 1
        c.say(x + out * (half + 7), 288, f"{weight:.2f}", 12.5, text, "right" if out < 0 else "left", weight="bold")
    left = x - 16.5 * len(value)
    for i, (height, number) in enumerate(zip(heights, value)):
        c.bar(left + 33 * i + 1, 430 - height, 31, height, color)
        c.say(left + 33 * i + 16.5, 424 - height, f"{number:g}", 10.5, text, "center")
    c.line(left - 3, 430, left + 33 * len(value) + 3, 430, INK if hue else tint(GREY, 0.6), 1.4)


def _stacked(c, middle, parts, answer):
    """The weighted mean: what every word gives to each of its numbers, one on the other."""
    left = middle - 32.5 * len(answer)
    for i, total in enumerate(answer):
        y = 656.0
        for part, hue in zip(parts[:, i], TOKEN_HUES):
            c.bar(left + 65 * i + 1, y - part, 62, part, hue, edge=WHITE, px=1.4)
            y -= part
        c.say(left + 65 * i + 32, y - 8, f"{total:.2f}", 13, INK, "center", weight="bold")
    c.line(left - 5, 656, left + 65 * len(answer) + 5, 656, INK, 1.6)


def ropes(weights, tokens, highlight=None):
    """The same weights twice: as ropes that hang from every query to its keys, and as a matrix.

    `weights` (query key), square, at most 6 tokens; the row number `highlight` is banded.
    """
    weights, tokens = checked_weights(weights, tokens, (2,))
    n, words, causal = len(tokens), [printable(token) for token in tokens], is_causal(weights)
    if n > 6 or len(weights) != n:
        raise ValueError(f"ropes draws square weights of at most 6 tokens, got {weights.shape}: more ropes "
                         "are too thin to read, use attention_map")
    row, column = strongest(weights) if highlight is None else (highlight, weights[highlight].argmax())
    c = canvas(166 + ROW * n, f"Every row of the matrix is one set of ropes: “{words[row]}” hangs on "
               f"“{words[column]}” by {weights[row, column]:.2f}",
               "Row = who asks, column = who is asked. Left: ropes as thick as the weights; right: the same "
               "weights.")
    xs, left, pitch, top = 160 + 320 / max(1, n - 1) * np.arange(n), 556, min(80, 420 / n), 138
    if highlight is not None:
        c.box(14, top - 2 + ROW * row, 972, ROW, BANDED, 8)
    c.say(26, top - 20, "query", color=GREY)
    c.say(531, top + ROW * (row + 0.5) - 2, "=", 16, ha="center", va="center_baseline", weight="bold")
    for i, (word, hue) in enumerate(zip(words, TOKEN_HUES)):
        for x in (xs[i], left + pitch * (i + 0.5) - 2):
            c.say(x, top - 20, word, 11, dark(hue), "center", weight="bold", mono=True)
        y = top + ROW * i
        c.say(26, y + ROW / 2 - 2, word, 11, dark(hue), va="center_baseline", weight="bold", mono=True)
        if i:
            c.line(116, y - 2, 506, y - 2, FAINT)
        edge = weights[i] @ xs - 27 * weights[i].sum()                     # at the query side by side
        for x, weight, rope_hue in zip(xs, weights[i], TOKEN_HUES):
            if weight > 0.002:
                c.rope(edge + 27 * weight, y + 9, x, y + 73, 54 * weight, rope_hue)
            edge += 54 * weight
    weight_cells(c, left, top, pitch, ROW, weights, causal)
    rows = "; ".join(" ".join([f"{word}:", *(f"{weight:.2f}" for weight in line)])
                     for word, line in zip(words, weights))
    return c.done(f"Attention weights as ropes and as a matrix, row by row: {rows}.")
