"""Where a number inside attention comes from: two vectors, their products pair by pair, the sum, the softmax row."""

import math

import numpy as np

from ..kit.canvas import BLUE, FAINT, GREY, INK, ORANGE, canvas, dark, numbers, on, printable, probability, signed


def explain(trace, name="scores", layer=0, head=0, query=-1, key=0, words=None, batch=0):
    """One score or probability of a recorded run, taken apart with its real numbers; a figure whose `alt` is the text.

    `trace`: from `record`, with queries, keys and scores of that layer; `name`: "scores" or "probs"; `words`: the
    tokens as text, for labels. Rotary's pairs (dimension i and i + dim/2) stand together. Raises ValueError for
    another name or a place outside of the text, NotRecorded for what the trace does not hold.
    """
    if name not in ("scores", "probs"):
        raise ValueError(f"explain takes apart 'scores' and 'probs', got {name!r}")
    q, k, scores = (trace[part if part in trace.runs[-1] else f"layers.{layer}.{part}"][batch]
                    for part in ("queries", "keys", "scores"))
    heads, queries, keys = scores.shape
    for word, place, size in (("head", head, heads), ("query", query, queries), ("key", key, keys)):
        if not -size <= place < size:
            raise ValueError(f"{word} is {place}, and there are {size}")
    head, query, key = head % heads, query % queries, key % keys
    words = [printable(str(each)) for each in words] if words is not None else [str(place) for place in range(keys)]
    if len(words) != keys:
        raise ValueError(f"{keys} keys need as many words, got {len(words)}")
    row = numbers(scores[head, query])
    if not np.isfinite(row[key]):
        raise ValueError(f"“{words[key]}” comes after “{words[query + keys - queries]}”: its score is −∞ and no sum")
    asked, found = numbers(q[head, query]), numbers(k[head * k.shape[0] // heads, key])
    asker, answer = words[query + keys - queries], words[key]
    products = asked * found
    pairs = products.reshape(2, -1).sum(0) if len(products) % 2 == 0 else products
    total, score = products.sum(), row[key]
    shares = np.exp(row - row[np.isfinite(row)].max())
    shares /= shares.sum()
    alt = _told(asker, answer, layer, head, pairs, total, score, shares, key, len(products))
    c = canvas(560, f"“{asker}” asks, “{answer}” answers: score {_number(score, '.2f')}, "
               f"attention {100 * shares[key]:.0f} %",
               f"Layer {layer}, head {head}. Above: query and key, pair by pair; bar: what a pair adds to the sum. "
               "Beneath: the whole row.")
    _vectors(c, asked, found, pairs, asker, answer)
    scaled = "" if math.isclose(score, total, rel_tol=1e-4) else f"   ÷ √{len(products)} = {_number(score, '.2f')}"
    largest = int(np.abs(pairs).argmax())
    c.run(26, 372, [(f"sum of {len(pairs)} pairs = {_number(total, '.2f')}", INK, "bold"), (scaled, INK, "bold"),
                    (f"    the largest part is pair {largest}: {_number(pairs[largest], '+.2f')}", GREY)], 12)
    _row(c, row, shares, words, key)
    return c.done(alt)


def _number(value, spec):
    """A number with a true minus, and none before a zero."""
    return f"{round(float(value), int(spec[-2])) + 0.0:{spec}}".replace("-", "−")


def _told(asker, answer, layer, head, pairs, total, score, shares, key, dim):
    order = np.argsort(-np.abs(pairs))[:3]
    parts = ", ".join(f"pair {i} {_number(pairs[i], '+.2f')}" for i in order)
    scaled = "" if math.isclose(score, total, rel_tol=1e-4) else f", divided by √{dim} {_number(score, '.2f')}"
    return (f"Layer {layer}, head {head}: “{asker}” asks and “{answer}” answers. Query times key, number by number, "
            f"sums to {_number(total, '.2f')} ({parts}, the other {max(len(pairs) - 3, 0)} pairs "
            f"{_number(pairs.sum() - pairs[order].sum(), '+.2f')}){scaled}; softmax over the row makes it "
            f"{100 * shares[key]:.1f} % of the attention.")


def _vectors(c, asked, found, pairs, asker, answer):
    """Two rows of cells a vector, a column a pair, and under each column the bar that it adds."""
    two = 2 if len(asked) % 2 == 0 else 1
    wide = min(52, 860 / len(pairs))
    left, top = 116, 96
    for vector, name, word, y in ((asked, "query", asker, top), (found, "key", answer, top + 76)):
        c.say(26, y + 24, name, 10.5, GREY)
        c.say(26, y + 42, word[:9], 12, dark(BLUE), weight="bold", mono=True)
        size = np.abs(vector).max() or 1
        for i, cells in enumerate(vector.reshape(two, -1)):
            for column, value in enumerate(cells):
                color = tuple(signed(value / size))
                c.bar(left + column * wide, y + 32 * i, wide - 2, 30, color)
                if wide > 34:
                    c.say(left + (column + 0.5) * wide - 1, y + 32 * i + 15, _number(value, ".1f"), 9, on(color),
                          "center", "center_baseline")
    base, unit = 300, 44 / (np.abs(pairs).max() or 1)
    c.say(26, base + 4, "adds", 10.5, GREY)
    c.line(left, base, left + wide * len(pairs), base, FAINT)
    for column, value in enumerate(pairs):
        high = abs(value) * unit
        x, y = left + column * wide, base - high if value > 0 else base
        c.bar(x, y, wide - 2, max(high, 0.5), BLUE if value > 0 else ORANGE)
        if wide > 34:
            c.say(x + wide / 2 - 1, y - 5 if value > 0 else y + high + 13, _number(value, "+.1f"), 9, INK, "center")


def _row(c, row, shares, words, key):
    """The whole row of scores as bars of probability, the key's own outlined."""
    seen = np.flatnonzero(np.isfinite(row))
    wide = min(90, 948 / len(seen))
    c.say(26, 404, f"softmax over the {len(seen)} words that may be seen", 10.5, GREY)
    for column, place in enumerate(seen):
        x = 26 + column * wide
        high = 66 * shares[place] / shares.max()
        c.bar(x, 500 - high, wide - 3, max(high, 0.7), BLUE if place == key else tuple(probability(0.35)))
        bold = "bold" if place == key else "normal"
        if wide > 30 or place == key:
            c.say(x + wide / 2 - 1, 494 - high, f"{shares[place]:.2f}", 9.5, INK, "center", weight=bold)
            size = min(10.5, 10.5 * (wide - 4) / max(c.measure(words[place], 10.5, mono=True), 1)) if wide > 30 else 9
            c.say(x + wide / 2 - 1, 517, words[place], max(size, 6.5), dark(BLUE) if place == key else INK, "center",
                  weight=bold, mono=True)
            c.say(x + wide / 2 - 1, 533, _number(row[place], ".2f"), 9, GREY, "center")
    c.say(26, 550, "beneath each word its score", 9, GREY)
