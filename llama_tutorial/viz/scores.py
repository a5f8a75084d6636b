"""Why scores are divided by √dim: how far they spread, and what a softmax makes of them."""

import numpy as np

from .canvas import BLUE, FAINT, GREY, RED, Scale, canvas, dark, numbers


def root_dim(scores):
    """Scores of random queries and keys for some sizes of a head, as they are and divided by √dim.

    `scores` maps 1 to 4 sizes dim to undivided scores (query key). Left of each half the scores, right of it the mean
    of all rows of weights, sorted, and how many equal keys would be as undecided (e to the entropy).
    """
    scores = {dim: numbers(each) for dim, each in scores.items()}
    keys = {each.shape[-1] for each in scores.values() if each.ndim == 2}
    if not 1 <= len(scores) <= 4 or len(keys) != 1 or any(each.ndim != 2 for each in scores.values()):
        raise ValueError("root_dim takes 1 to 4 sizes, each with scores (query key) over the same number of keys, got "
                         f"{ {dim: each.shape for dim, each in scores.items()} }")
    divided, last, told = {dim: each / dim**0.5 for dim, each in scores.items()}, max(scores), []
    halves = [(scores, RED, "q · k", "spreads with dim: the softmax picks one"),
              (divided, BLUE, "q · k / √dim", "spreads alike at every dim")]
    c = canvas(176 + 150 * len(scores), f"Undivided, a head of {last:,} numbers gives its best key "
               f"{_rows(scores[last])[0][0]:.2f}; divided by √dim, {_rows(divided[last])[0][0]:.2f}",
               f"Random queries over {keys.pop()} keys. Histogram: all scores; bars: the weights of a row, sorted, "
               "mean of all rows.")
    for half, (each, hue, name, why) in enumerate(halves):
        left = 116 + 448 * half
        c.run(left, 108, [(name, dark(hue), "bold"), (f"   {why}", GREY)], 11.5)
        reach = _round_up(3.1 * max(part.std() for part in each.values()))
        for x, label in ((left, "scores"), (left + 208, "weights")):
            c.say(x, 136, label, color=GREY)
        for row, (dim, part) in enumerate(each.items()):
            y = 262 + 150 * row
            _histogram(c, left, y, part, reach, hue)
            told.append(f"{name} at {dim:,}: " + _sorted_row(c, left + 208, y, part, hue))
    for row, dim in enumerate(scores):
        c.say(26, 206 + 150 * row, "dim", color=GREY)
        c.say(26, 232 + 150 * row, f"{dim:,}", 16, weight="bold")
    return c.done(f"Scores and weights of random queries for heads of {', '.join(f'{dim:,}' for dim in scores)} "
                  f"numbers, undivided and divided by √dim; {'; '.join(told)}.")


def _rows(scores):
    """The mean of the sorted rows of weights, and e to the mean entropy of a row."""
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    weights = powers / powers.sum(-1, keepdims=True)
    entropy = -(weights * np.log(np.maximum(weights, 1e-300))).sum(-1).mean()
    return np.sort(weights, axis=-1)[:, ::-1].mean(0), np.exp(entropy)


def _round_up(value):
    """The next number of 1, 2, 4, 5 or 10 times a power of ten."""
    power = 10 ** np.floor(np.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 10) if step * power >= value * 0.999)


def _histogram(c, left, y, scores, reach, hue):
    """All scores on an axis from −reach to reach, 172 × 96 pixels, the mode at full height."""
    count, edges = np.histogram(scores, np.linspace(-reach, reach, 44))
    x = Scale((-reach, reach), (left, left + 172))
    for number, start, end in zip(count / count.max(), edges, edges[1:]):
        c.bar(x(start), y - 96 * number, x(end) - x(start) + 0.3, 96 * number, hue)
    c.axis(x, y, [-reach, 0, reach], [f"{tick:g}".replace("-", "−") for tick in (-reach, 0, reach)], color=FAINT)
    c.say(left + 172, y - 86, f"± {scores.std():.1f}", 10.5, dark(hue), "right")


def _sorted_row(c, left, y, scores, hue):
    """The weights from the largest to the smallest key; returns the figures in words."""
    weights, like = _rows(scores)
    wide = 168 / len(weights)
    c.line(left - 4, y - 100, left - 4, y, FAINT)
    for level, text in ((100, "1"), (0, "0")):
        c.say(left - 10, y - level, text, 9.5, GREY, "right", "center_baseline")
    for i, weight in enumerate(weights):
        c.bar(left + wide * i, y - 100 * weight, wide - 1.6, 100 * weight, hue)
    c.line(left - 4, y, left + 168, y, FAINT)
    c.say(left + 168, y - 84, f"best key {weights[0]:.2f}", 12, dark(hue), "right", weight="bold")
    c.say(left + 168, y - 64, f"like {like:.1f} of {len(weights)} keys", 10.5, dark(hue), "right")
    return f"best key {weights[0]:.2f}, like {like:.1f} keys"
