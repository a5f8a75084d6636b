"""What a check expected beside what it found."""

import numpy as np

from .canvas import GREY, INK, RED, canvas, dark, numbers, on, signed

MOST = 64                                # rows and columns that are drawn; of more, evenly spaced ones


def expected_and_yours(expected, yours, title="", axes=("row", "column")):
    """Two matrices of one shape as heatmaps, their difference between them, in one scale of colours.

    `axes` names rows and columns. Numbers that are not finite are drawn black. ValueError for other shapes.
    """
    expected, yours = numbers(expected), numbers(yours)
    if expected.ndim != 2 or expected.shape != yours.shape or 0 in expected.shape:
        raise ValueError(f"expected and yours must be matrices of one shape, got {expected.shape} and {yours.shape}")
    expected, yours = (part[_evenly(len(part))][:, _evenly(part.shape[1])] for part in (expected, yours))
    difference = yours - expected
    scale = _largest(expected) or _largest(yours) or 1.0
    wrong = np.mean(~(np.abs(difference) <= 1e-3 * scale))
    rows, columns = expected.shape
    w, h = 290, min(290, max(60, 29 * rows, 290 * rows / columns))
    black = "" if np.isfinite(difference).all() else ", black not finite"
    c = canvas(150 + h, title, f"Blue is positive, orange negative, up to ±{scale:.3g}{black}; "
               f"down: {axes[0]}, across: {axes[1]}.")
    for place, (name, values) in enumerate({"expected": expected, "difference": difference, "yours": yours}.items()):
        x, color = 26 + place * (w + 39), dark(RED) if name == "difference" and wrong else INK
        c.say(x, 104, name, 11, color, weight="bold")
        c.bar(x - 1, 117, w + 2, h + 2, GREY)
        c.image(x, 118, w, h, _colors(values / scale))
        if columns <= 8 and rows <= 16:
            _write(c, x, 118, w / columns, h / rows, values, scale)
        if place < 2:
            c.say(x + w + 19, 118 + h / 2, "+="[place], 15, GREY, "center", "center_baseline")
    return c.done(f"Three heatmaps over {axes[0]} and {axes[1]}: what was expected, the difference, and yours; "
                  f"{wrong:.0%} of the numbers differ.")


def _write(c, x, y, w, h, values, scale):
    """The numbers themselves, where there is room for them."""
    for i, line in enumerate(values):
        for j, value in enumerate(line):
            text = f"{value:.2f}" if np.isfinite(value) else "NaN" if np.isnan(value) else "∞"
            if abs(value) >= 0.005 or not np.isfinite(value):
                color, size = on(_colors(values[i, j : j + 1] / scale)[0]), min(7.5, 0.32 * h)
                c.say(x + (j + 0.5) * w, y + (i + 0.5) * h, text, size, color, "center", "center_baseline")


def _largest(values):
    return np.abs(values[np.isfinite(values)]).max(initial=0.0)


def _evenly(size):
    return np.linspace(0, size - 1, min(size, MOST)).round().astype(int)


def _colors(values):
    colors = signed(np.nan_to_num(values))
    colors[~np.isfinite(values)] = 0
    return colors
