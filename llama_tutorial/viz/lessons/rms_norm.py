"""Figures of the norm: vectors brought to the circle, what it forgets and what not, and why a stream needs it."""

import numpy as np

from ..kit.canvas import (
    BLUE,
    CYAN,
    FAINT,
    GOLD,
    GREEN,
    GREY,
    INK,
    MAUVE,
    ORANGE,
    PURPLE,
    RED,
    RIGHT,
    WHITE,
    WRONG,
    Scale,
    canvas,
    dark,
    numbers,
    tint,
)

WORDS = (MAUVE, BLUE, RED, GREEN, CYAN, GOLD, PURPLE, ORANGE)            # the hues of the first, second … word
UNIT = 52                                # pixels that stand for 1 in the plane
ROUND = UNIT * np.sqrt(2)                # the radius of RMS 1 in the plane: x² + y² = 2
TURN = np.linspace(0, 2 * np.pi, 181)


def stream_growth(plain, normed):
    """How large the stream is after each layer, without and with a norm, as roads of that thickness.

    `plain` and `normed` map a name to the RMS (layer) of the stream: at first, then after every layer.
    """
    roads = {(name, told): numbers(sizes) for told, group in (("no norm", plain), ("with RMSNorm", normed))
             for name, sizes in group.items()}
    layers = {len(sizes) for sizes in roads.values()}
    if not 2 <= len(roads) <= 6 or len(layers) != 1 or layers == {1}:
        raise ValueError(f"stream_growth draws 2 to 6 streams through equally many layers, got lengths "
                         f"{[len(sizes) for sizes in roads.values()]}: pass one RMS per layer for each")
    layers, ends = layers.pop() - 1, [float(numbers(sizes)[-1]) for sizes in plain.values()]
    thick = min(13, 250 / max(sizes.max() for sizes in roads.values()))
    high = [max(76, sizes.max() * thick + 46) for sizes in roads.values()]
    c = canvas(140 + sum(high), f"The faults of {layers} layers multiply to "
               f"{' or '.join(f'{end:.{1 if end > 1 else 2}f}' for end in ends)}; a norm before each layer stops that",
               "Thickness = RMS of the vector, one scale for all; a stripe = one layer.")
    x, top = Scale((0, layers), (216, 880)), 84
    for ((name, told), sizes), room, hue in zip(roads.items(), high, (RED, GOLD, BLUE, CYAN, GREEN, PURPLE)):
        y, half = top + room / 2, sizes * thick / 2
        c.band(x(np.arange(layers + 1)), y - half, y + half, hue)
        for layer in range(1, layers):
            c.line(x(layer), y - half[layer], x(layer), y + half[layer], WHITE, 1.2)
        c.say(26, y - 3, name, 12, dark(hue), weight="bold")
        c.say(26, y + 16, told, 10, GREY)
        c.say(200, y, f"{sizes[0]:.3g}", 11, GREY, "right", "center_baseline")
        c.say(900, y, f"{sizes[-1]:.2f}", 16, dark(hue), va="center_baseline", weight="bold")
        top += room
    c.axis(x, top + 4, np.linspace(0, layers, 4), [f"{tick:.0f}" for tick in np.linspace(0, layers, 4)], label="layer")
    told = "; ".join(f"{name}, {told}: {sizes[-1]:.2f}" for (name, told), sizes in roads.items())
    return c.done(f"Roads as thick as the stream's RMS through {layers} layers, starting at 1 and ending at: {told}.")


def norm_circle(words, x, normed, scaled):
    """Word vectors sliding along their own rays to the circle of RMS 1, then stretched by the gain.

    `x`, `normed`, `scaled` (word 2): before the norm, divided by their RMS, and multiplied by the gain.
    """
    x, normed, scaled = numbers(x), numbers(normed), numbers(scaled)
    if not 1 <= len(words) <= len(WORDS) or {x.shape, normed.shape, scaled.shape} != {(len(words), 2)}:
        raise ValueError(f"norm_circle draws up to {len(WORDS)} words in a plane, got {len(words)} words and shapes "
                         f"{x.shape}, {normed.shape}, {scaled.shape}: pass three tensors (word 2)")
    before, after, reach = _rms(x), _rms(normed), np.abs(normed).sum(0)
    gain = np.divide(np.abs(scaled).sum(0), reach, where=reach > 0, out=np.ones(2))
    c = canvas(560, f"RMSNorm keeps where a vector points and forgets how long it is: all end at RMS {after.max():.2f}",
               "Ring = before, arrow = after, on one ray. Circle = every vector of RMS 1. One scale for both planes.")
    left, right, y = 336, 792, 326
    _plane(c, left, y, 254, 206, "÷ RMS", f"{before.min():.2f} to {before.max():.2f} becomes {after.max():.2f}")
    _loop(c, left, y, (1, 1))
    _plane(c, right, y, 178, 112, "× gain", f"{gain[0]:.3g} across, {gain[1]:.3g} up")
    _loop(c, right, y, gain)
    c.curve(right + ROUND * np.cos(TURN), y + ROUND * np.sin(TURN), GREY, 1.2, (4, 3))
    for word, hue, long, unit, out in zip(words, WORDS, x, normed, scaled):
        far = long if np.hypot(*long) > np.hypot(*unit) else unit
        c.line(left, y, left + UNIT * long[0], y - UNIT * long[1], tint(hue, 0.62), 4)
        _vector(c, left, y, unit, hue, word, far, far)
        c.ring(left + UNIT * long[0], y - UNIT * long[1], 5.5, hue, 2.6)
        _vector(c, right, y, out, hue, word, out, out / np.square(gain))
    for row, (name, values) in enumerate((("RMS before", before), ("÷ RMS", after), ("× gain", _rms(scaled)))):
        c.say(668, 492 + 25 * row, name, 10.5, GREY, "right")
        for column, (value, hue) in enumerate(zip(values, WORDS)):
            c.say(720 + 58 * column, 492 + 25 * row, f"{value:.2f}", 11, dark(hue), "right", weight="bold")
    for column, (word, hue) in enumerate(zip(words, WORDS)):
        c.say(720 + 58 * column, 466, word, 10, dark(hue), "right")
    sizes = ", ".join(f"{word} {value:.2f}" for word, value in zip(words, before))
    return c.done(f"Arrows of {len(words)} words, of RMS {sizes}, slide along their rays to the circle of RMS 1; the "
                  f"gain ({gain[0]:.3g}, {gain[1]:.3g}) then turns the circle into an ellipse.")


def norm_pulled(x, pull, back):
    """A pull on a normed vector of two numbers, split along x and across it, and the part that comes back to x.

    `x`, `pull`, `back` (2): the vector, the gradient of its normed copy (no gain, no eps), and what x receives of it.
    """
    x, pull, back = numbers(x), numbers(pull), numbers(back)
    if {x.shape, pull.shape, back.shape} != {(2,)} or x.min() < 0 or not x.any():
        raise ValueError(f"norm_pulled draws one vector of two numbers from 0 up, got x {x.tolist()}, pull "
                         f"{pull.tolist()} and back {back.tolist()}: pass three tensors (2)")
    size = _rms(x)
    y, along = x / size, x * (pull @ x) / (x @ x)
    across = pull - along
    c = canvas(640, f"What pulls along x is lost; what turns x comes back, divided by {size:.3g}",
               "Circle = every vector of RMS 1, where y has to stay. Dashes: the pull is the sum of its two parts.")
    unit, left, base = min(76, 304 / x.max()), 190, 470

    def at(vector):
        return left + unit * vector[0], base - unit * vector[1]

    c.line(left - 140, base, left + 380, base, FAINT, 1.2)
    c.line(left, base + 130, left, base - 360, FAINT, 1.2)
    rim = unit * np.sqrt(2)
    c.curve(left + rim * np.cos(TURN), base + rim * np.sin(TURN), dark(BLUE), 1.8)
    c.line(left, base, *at(x), tint(BLUE, 0.62), 4)
    c.arrow(left, base, *at(y), BLUE, 4, head=15)
    c.ring(*at(x), 5.5, BLUE, 2.6)
    c.say(at(x)[0] - 14, at(x)[1] - 8, "x", 13, dark(BLUE), "right", weight="bold", halo=WHITE)
    c.say(at(y)[0] - 16, at(y)[1] - 8, "y", 13, dark(BLUE), "right", weight="bold", halo=WHITE)
    c.line(*at(y + pull), *at(y + along), GREY, 1.2, (4, 3))
    c.line(*at(y + pull), *at(y + across), GREY, 1.2, (4, 3))
    for part, hue in ((along, GREY), (across, RED), (pull, GOLD)):
        c.arrow(*at(y), *at(y + part), hue, 3.4, head=12)
    c.arrow(*at(x), *at(x + back), GREEN, 3.4, head=9)
    rows = (("the pull on y", pull, GOLD, "where y should go"),
            ("its part along x", along, GREY, "lost: y stays on the circle"),
            ("its part across x", across, RED, "turns y"),
            (f"that ÷ {size:.3g}", back, GREEN, "what comes back to x"))
    for row, (name, part, hue, told) in enumerate(rows):
        top = 190 + 76 * row
        c.say(606, top, name, 13, dark(hue), weight="bold")
        c.say(606, top + 22, told, 10.5, GREY)
        for column, value in enumerate(part):
            c.say(866 + 104 * column, top, f"{value:.3f}".replace("-", "−"), 13, dark(hue), "right", weight="bold")
    told = "; ".join(f"{name} {_pair(part)}" for name, part, *_ in rows)
    return c.done(f"A vector x {_pair(x)} and its normed copy y on the circle of RMS 1: {told}.")


def _pair(vector):
    return "(" + ", ".join(f"{value:.3g}" for value in vector) + ")"


def _rms(x):
    return np.sqrt(np.square(x).mean(-1))


def _plane(c, x, y, reach, rise, name, told):
    """Two axes through (x, y) under a heading."""
    c.line(x - reach, y, x + reach, y, FAINT, 1.2)
    c.line(x, y - rise, x, y + min(rise, 180), FAINT, 1.2)
    c.run(x - reach, y - rise - 12, [(f"{name}  ", INK, "bold"), (told, GREY)], 12)


def _loop(c, x, y, gain):
    """The circle of RMS 1, stretched by the gain."""
    xs, ys = x + ROUND * gain[0] * np.cos(TURN), y + ROUND * gain[1] * np.sin(TURN)
    c.band(xs, np.full(len(xs), y), ys, tint(BLUE, 0.9))
    c.curve(xs, ys, dark(BLUE), 1.8)


def _vector(c, x, y, vector, hue, word, tip, toward):
    """An arrow from (x, y), and its word just beyond `tip` in the direction `toward`."""
    c.arrow(x, y, x + UNIT * vector[0], y - UNIT * vector[1], hue, 4, head=15)
    along = toward / max(np.hypot(*toward), 1e-9)
    ha = "left" if along[0] > 0.4 else "right" if along[0] < -0.4 else "center"
    c.say(x + UNIT * tip[0] + 10 * along[0], y - UNIT * tip[1] - 16 * along[1], word, 12, dark(hue), ha,
          "center_baseline", "bold", halo=WHITE)


def same_or_changed(inputs, outputs):
    """Vectors as bars before and after each norm, with a verdict: equal to what the first input gave, or not.

    `inputs` maps a name to a vector (dim), `outputs` a norm's name to its results (input dim) in that order.
    """
    ins = {name: numbers(vector) for name, vector in inputs.items()}
    outs = {name: numbers(result) for name, result in outputs.items()}
    wanted = (len(ins), *next(iter(ins.values())).shape)
    if len(wanted) != 2 or any(result.shape != wanted for result in outs.values()):
        raise ValueError(f"same_or_changed draws {len(ins)} results of one vector each, got "
                         f"{ {name: result.shape for name, result in outs.items()} }: pass (input dim) for each norm")
    off = {name: np.abs(result - result[0]).max(-1) for name, result in outs.items()}
    told = [_noticed(what, {name: error[i] > 1e-4 for name, error in off.items()}) for i, what in enumerate(ins) if i]
    title = "; ".join(told)
    c = canvas(236 + 114 * len(outs), title[:1].upper() + title[1:],
               "Bars = the numbers of one vector, each input at its own scale. Band = ± RMS. Black tick = the result "
               "in the first column.")
    wide = (1000 - 190) / len(ins)
    for column, (name, vector) in enumerate(ins.items()):
        left = 190 + wide * column
        c.run(left, 104, [(f"{name}  ", INK, "bold"), (f"RMS {_rms(vector):.2f}", GREY)], 12)
        _bars(c, left, 158, vector, MAUVE, 34 / np.abs(vector).max())
    c.say(26, 156, "in", 12, weight="bold")
    c.say(26, 166, f"one vector,\n{wanted[1]} numbers", 10, GREY, va="top", linespacing=1.3)
    for row, (name, results) in enumerate(outs.items()):
        y, hue = 278 + 114 * row, (BLUE, GREEN, PURPLE, GOLD)[row % 4]
        c.say(26, y + 4, name, 12, dark(hue), weight="bold")
        for column, result in enumerate(results):
            left = 190 + wide * column
            _bars(c, left, y, result, hue, 46 / np.abs(outs[name]).max(), ticks=results[0] if column else None)
            if column:
                same = off[name][column] < 1e-4
                c.say(left + 158, y - 6, "= same" if same else "≠ changed", 11, dark(RIGHT if same else WRONG),
                      weight="bold")
                c.say(left + 158, y + 14, f"off by {off[name][column]:.2f}", 10, GREY)
    return c.done(f"Bars of one vector through {' and '.join(outs)}: {title}.")


def _noticed(what, by):
    """Which norms answer differently to an input, in words."""
    yes, no = ([name for name, moved in by.items() if moved == wanted] for wanted in (True, False))
    if not yes or not no:
        all_of_them = ("both norms notice", "neither norm notices") if len(by) == 2 else ("all notice", "none notices")
        return f"{all_of_them[not yes]} {what}"
    return f"{' and '.join(yes)} {'notices' if len(yes) == 1 else 'notice'} {what}, {' and '.join(no)} " + (
        "does not" if len(no) == 1 else "do not")


def _bars(c, left, y, vector, hue, scale, ticks=None):
    """The numbers of a vector as bars about the height y, on a band of ± their RMS."""
    wide, size = 146 / len(vector), _rms(vector) * scale
    c.bar(left, y - size, 146, 2 * size, tint(MAUVE, 0.82))
    for i, value in enumerate(vector):
        x, end = left + wide * (i + 0.15), y - value * scale
        c.bar(x, min(y, end), wide * 0.7, abs(value) * scale, hue)
        if ticks is not None:
            c.line(x - 2, y - ticks[i] * scale, x + wide * 0.7 + 2, y - ticks[i] * scale, INK, 2.4)
    c.line(left, y, left + 146, y, INK, 1.2)


def norms_swapped(losses, guessing):
    """The loss of a trained model with each of its norms swapped for another, as bars beside the right norm's.

    `losses` maps what was put in to the loss, the right norm first; `guessing` is the loss of even chances.
    """
    names, found = list(losses), numbers(list(losses.values()))
    if not 2 <= len(names) <= 10 or not np.all(found > 0) or not guessing > found[0]:
        raise ValueError("norms_swapped draws the right norm and 1 to 9 others, all losses above 0 and the first below "
                         f"guessing, got {dict(zip(names, found.tolist()))} and {guessing}: pass losses in nats")
    rise = found - found[0]
    silent = int(np.sum(rise[1:] < 0.05))
    title = f"One trained model, other norms: {silent} of {len(names) - 1} swaps cost nothing, "
    c = canvas(128 + 40 * len(names), f"{title}the worst costs {rise.max():.1f}",
               "Bar = loss on a text that was written for this page. Pale: what the right norm has, too.")
    x = Scale((0, 1.02 * max(found.max(), guessing)), (254, 900))
    c.line(x(guessing), 92, x(guessing), 92 + 40 * len(names), GREY, 1.4, (4, 3))
    c.say(x(guessing), 84, f"even guessing {guessing:.2f}", 10, GREY, "center")
    for row, (name, loss) in enumerate(zip(names, found)):
        y, hue = 98 + 40 * row, RED if rise[row] >= 0.05 else BLUE
        c.bar(x(0), y, x(min(loss, found[0])) - x(0), 28, BLUE if not row else tint(hue, 0.55))
        if loss > found[0]:
            c.bar(x(found[0]), y, x(loss) - x(found[0]), 28, hue)
        c.say(242, y + 14, name, 11, dark(hue), "right", "center_baseline", "bold")
        c.say(974, y + 14, f"{loss:.2f}", 13, dark(hue), "right", "center_baseline", "bold")
    told = ", ".join(f"{name} {loss:.2f}" for name, loss in zip(names, found))
    return c.done(f"Bars of a trained model's loss with its norms swapped: {told}; even guessing has {guessing:.2f}.")
