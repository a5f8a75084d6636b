"""What the figures of the rotary embedding share: speeds, turns, scores and where the dials stand."""

import numpy as np
from matplotlib.patches import Wedge

from .canvas import GREY, INK, WHITE, dark, numbers, tint

TURN = 2 * np.pi


def speeds_of(inv_freq):
    """inv_freq as an array, checked: one axis of at least two speeds below half a turn per token."""
    speeds = numbers(inv_freq)
    if speeds.ndim != 1 or len(speeds) < 2 or not ((speeds > 0) & (speeds < np.pi)).all():
        raise ValueError("inv_freq has one axis (pair) of at least two speeds between 0 and π radians per "
                         f"token, got shape {speeds.shape}: pass rotary.inv_freq as it is")
    return speeds


def score_at(speeds, distance):
    """The mean of the cosines of all hands, some tokens apart."""
    return np.cos(np.multiply.outer(distance, speeds)).mean(-1)


def smooth(speeds, distances, width=0.3):
    """The score averaged over a bell of distances, 30 % wide: with d·(1 + 0.3 z), z normal, it has a closed form."""
    angle = np.multiply.outer(distances, speeds)
    return (np.cos(angle) * np.exp(-np.square(width * angle) / 2)).mean(-1)


def columns(turns):
    """Where the dials stand: 94 pixels apart, farther where there is room, but so that distance 1 fits."""
    decades = np.log10(turns[-1] / turns[0]) / (len(turns) - 1)
    apart = max(94, min(658 / (len(turns) - 1), 150 * decades / np.log10(turns[0])))
    return 200 + apart * np.arange(len(turns))


def sector(c, x, y, r, start, gap, color):
    """A slice of a dial: `gap` radians clockwise from the angle `start`, 0 at twelve."""
    degrees = np.degrees([start, start + gap]) - 90
    return c._patch(Wedge((x, y), r, *degrees), color)


def pair_of_hands(c, x, y, r, query, key, hue):
    """A dial with a query's hand (black) and a key's (hollow) at their angles, what lies between them shaded."""
    gap = query - key
    c.ring(x, y, r, None, 0, tint(hue, 0.82) if gap >= TURN else WHITE)
    sector(c, x, y, r, key, gap % TURN, tint(hue, 0.45))
    c.ring(x, y, r, tint(hue, 0.3), 1.6, None)
    c.line(x, y - r, x, y - 0.82 * r, GREY, 1.2)
    for angle, color, px in ((key, dark(hue), 7), (key, WHITE, 3), (query, INK, 5)):
        reach = (0.86 if px != 3 else 0.82) * r
        c.curve([x, x + reach * np.sin(angle)], [y, y - reach * np.cos(angle)], color, px, cap="round")
    c.ring(x, y, 4, INK, 0, INK)


def rounded(value):
    """A number of tokens as text."""
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def hands(count):
    """So many hands, as text."""
    return f"{count} hand" if count == 1 else f"{count} hands"
