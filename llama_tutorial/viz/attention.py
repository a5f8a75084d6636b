"""Attention weights as a matrix: one head with its numbers, or several as small maps."""

import numpy as np

from .canvas import BLUE, FAINT, GREEN, GREY, INK, MAUVE, canvas, dark, printable, probability
from .cells import checked_weights, gap_for, is_causal, strongest, token_color, weight_cells


def attention_map(weights, tokens, title=None):
    """Attention weights as a matrix: row = who asks, column = who is asked; several heads as small maps.

    `weights` (query key) or (head query key) after the softmax; `tokens` names the keys, and the queries are
    the last of them. Up to 14 tokens carry their numbers; at most 64 tokens and 16 heads are drawn.
    """
    weights, tokens = checked_weights(weights, tokens, (2, 3))
    if weights.ndim == 3 and len(weights) > 1:
        return _head_maps(weights, tokens, title)
    weights = weights.reshape(weights.shape[-2:])
    (query, key), words, causal = weights.shape, [printable(t) for t in tokens], is_causal(weights)
    row, column = strongest(weights)
    look = f"“{words[key - query + row]}” gives “{words[column]}” {weights[row, column]:.2f}"
    c, left, top, wide, high = _labelled(words, query)
    best = ", the most that any word gives another" if query > 1 else ""
    c.title.set_text(title or f"{look} of its attention{best}")
    sums = ", each row adds up to 1" if np.allclose(weights.sum(-1), 1, atol=0.01) else ""
    blank = " Blank: 0.00." if 8 < key <= 14 else ""
    c.subtitle.set_text(f"Row = who asks, column = who is asked{sums}. Boxed: the largest weight on another "
                        f"word.{blank}")
    weight_cells(c, left, top, wide, high, weights, causal)
    gap = gap_for(key)
    c.box(left + wide * column, top + high * row, wide - gap, high - gap, None, gap, edge=INK, px=2)
    right = left + wide * key + 26
    c.say(right, top - 18, "looks most at", color=GREY)
    for i, line in enumerate(weights):
        most = np.flatnonzero(line > line.max() - 0.001)[:2]               # two where they are equal
        names = [(f"{words[j]} ", token_color(j, key), "bold") for j in most]
        c.run(right, top + high * (i + 0.5) - gap / 2, [*names, (f"{line.max():.2f}", GREY)],
              min(11, high / 1.6), va="center_baseline")
    last = weights[-1].argmax()
    return c.done(f"Matrix of attention weights, {query} by {key} ({' '.join(words)}): {look}; the last "
                  f"word, “{words[-1]}”, looks most at “{words[last]}” with {weights[-1, last]:.2f}.")


def _labelled(words, query):
    """A canvas with the words along two sides; also the matrix's corner (x, y) and the pitch of its cells."""
    key, probe = len(words), canvas(100)
    longest = max(probe.measure(word, weight="bold", mono=True) for word in words)
    left = 44 + min(longest, 150)
    wide = min(124, (1000 - left - 210) / key)
    high, flat = min(wide, 66), longest < wide - 4
    top = 140 if flat else 116 + longest * 0.9
    c, gap = canvas(top + high * query + 30), gap_for(key)
    for i, word in enumerate(words):
        color, x, row = token_color(i, key), left + wide * (i + 0.5) - gap / 2, i - key + query
        _column_label(c, x, top - 18 if flat else top - 12, word, wide, flat, color)
        if row >= 0:
            c.say(left - 18, top + high * (row + 0.5) - gap / 2, word, min(10.5, high * 0.6), color,
                  "right", "center_baseline", "bold", mono=True)
    return c, left, top, wide, high


def _column_label(c, x, y, word, pitch, flat, color, weight="bold"):
    """A word above a column: flat where it fits, else rising to the right."""
    size = 10.5 if flat else min(10.5, pitch * 0.6)
    c.say(x, y, word, size, color, "center" if flat else "left", weight=weight, mono=True,
          rotation=0 if flat else 60, rotation_mode="anchor")


def _head_maps(weights, tokens, title):
    """The small maps of several heads, each named after its habit, under one set of labels."""
    (head, query, key), words, causal = weights.shape, [printable(t) for t in tokens], is_causal(weights)
    if head > 16:
        raise ValueError(f"attention_map draws at most 16 heads in one figure, got {head}: pass weights[:16]")
    found, columns = [_habit(each) for each in weights], head if head < 5 else 3 if head in (5, 6, 9) else 4
    named, probe = sum(share > 0 for _, share, _ in found), canvas(100)
    pitch = min(44, (1000 - 160 - 28 * (columns - 1)) / columns / key)
    size = min(10.5, pitch * 0.6)
    longest = max(probe.measure(word, size, mono=True) for word in words) if pitch > 11 else 40
    inside = causal and query == key and pitch * key > 150               # there names fit into the corner
    left, down = 36 + longest, pitch * query + (26 if inside else 40)
    top = (100 if inside else 120) + longest * (0.9 if pitch > 11 else 0.5)
    c = canvas(top - (-head // columns) * down + 4,
               title or f"{named} of {head} heads {'does' if named == 1 else 'do'} something you can name",
               "Row = who asks, column = who is asked, deeper = more weight; number = mean weight on the "
               "habit.")
    for number, habit in enumerate(found):
        x, y = left + number % columns * (pitch * key + 28), top + number // columns * down
        c.image(x, y, pitch * key, pitch * query, probability(weights[number]))
        c.curve([x, x, x + pitch * key], [y, y + pitch * query, y + pitch * query], habit[2] or FAINT, 2)
        _name_head(c, x + pitch * key * inside, y, number, habit, inside)
        if number < columns:
            _head_columns(c, x, y - (8 if inside else 28), pitch, words)
        if number % columns == 0:
            _head_rows(c, x - 8, y, pitch, words[key - query :])
    said = "; ".join(f"head {number}: {name}" + (f" {share:.2f}" if share else "")
                     for number, (name, share, _) in enumerate(found))
    return c.done(f"Attention weights of {head} heads over {key} words, {named} of them with a named habit: "
                  f"{said}.")


def _name_head(c, x, y, number, habit, inside):
    """The number of a head and its habit: in the corner above the diagonal, or else above the map."""
    name, share, hue = habit
    color, weight, score = (dark(hue), "bold", f"{share:.2f}") if share else (GREY, "normal", "")
    if not inside:
        c.run(x, y - 9, [(f"head {number}  ", GREY), (f"{name} ", color, weight), (score, color)], 10)
        return
    c.say(x, y + 14, f"head {number}", 10, GREY, "right")
    c.say(x, y + 32, name, 10, color, "right", weight=weight)
    c.say(x, y + 50, score, 10, color, "right")


def _head_columns(c, x, y, pitch, words):
    if pitch <= 11:
        c.say(x, y, "key →", 10, GREY)
    for i, word in enumerate(words if pitch > 11 else ()):
        _column_label(c, x + pitch * (i + 0.5), y, word, pitch, False, GREY, "normal")


def _head_rows(c, x, y, pitch, words):
    if pitch <= 11:
        c.say(x, y + 10, "query ↓", 10, GREY, "right")
    for i, word in enumerate(words if pitch > 11 else ()):
        c.say(x, y + pitch * (i + 0.5), word, min(10.5, pitch * 0.6), GREY, "right", "center_baseline",
              mono=True)


def _habit(weights):
    """(name, mean weight, hue) of what a head mostly looks at; ("mixed", 0, None) if at nothing by half."""
    query, key = weights.shape
    rows, at = np.arange(query), np.arange(query) + key - query
    later = at >= 2                      # before that, first, previous and itself are the same word
    if not later.any():
        return "mixed", 0, None
    habits = [("itself", weights[rows, at], GREEN), ("previous", weights[rows, at - 1], BLUE),
              ("first", weights[:, 0], MAUVE)]
    name, share, hue = max(((name, float(each[later].mean()), hue) for name, each, hue in habits),
                           key=lambda habit: habit[1])
    return (name, share, hue) if share >= 0.5 else ("mixed", 0, None)
