"""Figures of order: a sentence shuffled through attention, and one vector's dials in two orders of storage."""

import numpy as np

from .canvas import FAINT, GREY, HUES, INK, RED, WRONG, canvas, dark, numbers, on, tint


def shuffled(words, order, before, after, tolerance=1e-4):
    """A sentence and its words in another order, with what attention gives for each; a thread joins a word to itself.

    `order` (seq): which word stands at each place after shuffling; `before`, `after` (seq dim): the outputs, at most
    6 words with 3 numbers each.
    """
    before, after, order = numbers(before), numbers(after), [int(place) for place in order]
    if not before.shape == after.shape or not 2 <= len(words) == len(before) <= 6 or before.shape[1] > 3 or (
            sorted(order) != list(range(len(words)))):
        raise ValueError("shuffled draws 2 to 6 words, an order of them, and outputs (seq dim) of at most 3 numbers, "
                         f"got {len(words)} words, order {order}, {before.shape} and {after.shape}")
    same = np.abs(after - before[order]).max(1) <= tolerance
    count = "every word hears" if same.all() else "no word hears" if not same.any() else (
        f"{same.sum()} of {len(words)} words hear")
    c = canvas(362, f"Shuffle the sentence, and {count} what it heard before",
               "Under each word its output, what it hears of the others; a thread joins the word with itself.")
    apart = 810 / len(words)
    xs = 150 + apart * (np.arange(len(words)) + 0.5)
    for place, word in enumerate(order):
        c.rope(xs[word], 170, xs[place], 232, 2.4, tint(HUES[word], 0.3), plumb=10)
    for name, y, at, row in (("as written", 96, range(len(words)), before), ("shuffled", 252, order, after)):
        c.say(26, y + 4, name, 10.5, GREY, va="center_baseline")
        c.say(26, y + 46, "output", 10.5, GREY, va="center_baseline")
        for x, word, output in zip(xs, at, row):
            _heard(c, x, y, words[word], HUES[word], output, y > 200 and not same[order.index(word)])
    for x, stays in zip(xs, same):
        c.say(x, 340, "= as before" if stays else "≠ before", 10, INK, "center")
    heard = ", ".join(f"“{words[word]}” {'the same' if stays else 'another one'}" for word, stays in zip(order, same))
    return c.done(f"“{' '.join(words)}” and “{' '.join(words[word] for word in order)}”: compared with its output in "
                  f"the first, each word has in the second: {heard}.")


def _heard(c, x, y, word, hue, output, changed):
    """A word and beneath it its output, a cell per number, darker if it changed."""
    c.say(x, y + 4, word, 13, dark(hue), "center", "center_baseline", "bold")
    left, fill = x - 27 * len(output), tint(hue, 0.3 if changed else 0.72)
    for i, value in enumerate(output):
        c.box(left + 54 * i + 2, y + 28, 50, 36, fill, 5)
        c.say(left + 54 * i + 27, y + 46, f"{value:.2f}".replace("-", "−"), 10.5, on(fill), "center", "center_baseline")


def two_pairings(errors, angles):
    """The dials of one vector over two orders of storage, threads between them, and what the wrong order costs.

    `angles` (pair): how far the dials have turned, in radians, 2 to 4 of them; `errors`: tokens apart → error of the
    scores ÷ their size when neighbours are turned in weights that pair halves.
    """
    angles, gaps = numbers(angles), list(errors)
    if angles.ndim != 1 or not 2 <= len(angles) <= 4 or not 1 <= len(errors) <= 4 or min(errors.values()) < 0:
        raise ValueError("two_pairings draws 2 to 4 angles (pair) and 1 to 4 errors that are not negative, got "
                         f"{angles.shape} and {errors}")
    pair = len(angles)
    c = canvas(452, f"The same {['two', 'three', 'four'][pair - 2]} dials, their numbers stored in two orders",
               "Colour = pair, paler = its second number. A bow joins the two numbers that one dial turns together.")
    halves = [48 + 50 * place + (28 if place >= pair else 0) for place in range(2 * pair)]
    beside = [48 + 56 * (place // 2) * 2 + 50 * (place % 2) for place in range(2 * pair)]
    for first in range(pair):
        for second, dash in ((0, None), (1, (2.4, 1.6))):
            start, end = halves[first + pair * second], beside[2 * first + second]
            c.rope(start, 238, end, 298, 2.2, tint(HUES[first], 0.15), plumb=4, dash=dash)
    _stored(c, 196, halves, [(i % pair, i // pair, i) for i in range(2 * pair)], angles, up=True)
    _stored(c, 300, beside, [(i // 2, i % 2, i // 2 + pair * (i % 2)) for i in range(2 * pair)], angles, up=False)
    for y, name, lines in ((200, "(two pair)", "halves: these lessons,\nHugging Face’s files"),
                           (304, "(pair two)", "neighbours: the paper,\nMeta’s own files")):
        c.say(490, y + 8, name, 13, weight="bold", mono=True)
        c.say(490, y + 20, lines, 10, GREY, va="top", linespacing=1.4)
    c.say(26, 432, 'the threads: rearrange(w, "(two pair) dim -> (pair two) dim", two=2)', 10, GREY, mono=True)
    c.line(672, 92, 672, 432, FAINT, 1.4)
    _strangers(c, 700, angles, errors)
    said = ", ".join(f"{errors[gap]:.2f} at {gap}" for gap in gaps)
    return c.done(f"A vector of {2 * pair} numbers stored as (two pair) and as (pair two), joined by threads; where "
                  f"neighbours are turned in weights that pair halves, the error of the scores ÷ their size is {said} "
                  "tokens apart.")


def _stored(c, y, xs, cells, angles, up):
    """One order of storage: cells (pair, which of the two, number), and a bow with a dial for each pair."""
    for x, (pair, second, number) in zip(xs, cells):
        fill = tint(HUES[pair], 0.7 if second else 0.05)
        c.box(x - 22, y - 2, 44, 42, fill, 5)
        c.say(x, y + 19, f"{number}", 11, on(fill), "center", "center_baseline")
    for pair, angle in enumerate(angles):
        left, right = (x for x, cell in zip(xs, cells) if cell[0] == pair)
        high = (92 - 13 * pair) if up else 36
        _bow(c, left, right, y - 4 if up else y + 42, -high if up else high, HUES[pair], angle)


def _bow(c, left, right, y, high, hue, angle, rim=None):
    """A bow from left to right, `high` pixels high (negative: upward), with a dial on its crown."""
    t = np.linspace(0, np.pi, 60)
    xs, ys = (left + right) / 2 - (right - left) / 2 * np.cos(t), y + high * np.sin(t)
    c.curve(xs, ys, tint(hue, 0.1), 3)
    c.dial((left + right) / 2, y + high, 13, angle, rim or hue, px=2.4)


def _strangers(c, x, angles, errors):
    """The right part of `two_pairings`: dials that turn two strangers, and bars of the error."""
    c.run(x, 106, [("✗ ", dark(WRONG)), ("(pair two)", dark(WRONG), "bold"), (" on ", dark(WRONG)),
                   ("(two pair)", dark(WRONG), "bold"), (" weights", dark(WRONG))], 10.5)
    for place in range(2 * len(angles)):
        fill = tint(HUES[place % len(angles)], 0.7 if place >= len(angles) else 0.05)
        left = x + 31 * place + 9 * (place // 2)
        c.box(left, 162, 29, 29, fill, 4)
        c.say(left + 14.5, 177, f"{place}", 10, on(fill), "center", "center_baseline")
        if place % 2:
            _bow(c, left - 16.5, left + 14.5, 160, -22, RED, angles[place // 2], dark(RED))
    c.say(x, 222, "every dial turns two strangers:", 10.5, dark(WRONG))
    c.say(x, 243, "error of the scores ÷ their size", 10.5, dark(WRONG))
    tall = 118 / max(1e-9, *errors.values())
    for i, (gap, error) in enumerate(errors.items()):
        left = x + 70 * i
        c.bar(left, 398 - tall * error, 48, tall * error, tint(WRONG, 0.25))
        c.line(left, 398, left + 48, 398, GREY, 1.2)
        c.say(left + 24, 390 - tall * error, f"{error:.2f}", 12, dark(WRONG), "center", weight="bold")
        c.say(left + 24, 418, f"{gap} apart", 9.5, GREY, "center")
