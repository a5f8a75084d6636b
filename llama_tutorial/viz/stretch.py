"""Figures of the wavelengths: another base, scaling, and what lies beyond the trained length."""

import numpy as np

from .canvas import BLUE, FAINT, GREEN, GREY, INK, ORANGE, PURPLE, RED, WHITE, Scale, canvas, dark, tint
from .dial import TURN, hands, rounded, sector, smooth, speeds_of


def wavelengths(inv_freq, scaled, trained=8192, factor=8):
    """What each way of scaling does to every hand: threads from its tokens per turn before to those after.

    `inv_freq` (pair) before; `scaled` maps a name to the inv_freq (pair) after; the model was trained on
    `trained` tokens and now reads `factor` times as many.
    """
    before, after = speeds_of(inv_freq), {name: speeds_of(each) for name, each in scaled.items()}
    if not 1 <= len(after) <= 4 or any(len(each) != len(before) for each in after.values()):
        got = {name: len(each) for name, each in after.items()}
        raise ValueError(f"wavelengths draws 1 to 4 ways of scaling, each of inv_freq's {len(before)} hands, "
                         f"got {got}: scale the inv_freq that you pass")
    late = int((TURN / before > trained).sum())
    c = canvas(160 + 168 * len(after),
               f"{late} of {len(before)} hands never finish a turn in training; scaling should slow those "
               "and spare the rest",
               "A dot per pair, at the tokens it needs for one turn; filled: it turns at least once within "
               "the bar’s length.")
    slowest = max((TURN / each).max() for each in (before, *after.values()))
    x = Scale((TURN / before[0], slowest * 1.2), (236, 970), log=True)
    said = [f"{name}: {_scaling_panel(c, x, 120 + 168 * row, name, before, each, trained, factor, _hue(row + 1))}"
            for row, (name, each) in enumerate(after.items())]
    ticks = 10.0 ** np.arange(1, np.floor(np.log10(slowest)) + 1)
    labels = [f"{tick / 1e6:g} million" if tick >= 1e6 else f"{tick:,.0f}" for tick in ticks]
    c.axis(x, c.height - 46, ticks, labels)
    c.say(26, c.height - 27, "tokens for one turn", color=GREY)
    return c.done(f"Tokens that {len(before)} hands need for one turn, before and after scaling from "
                  f"{trained:,} to {trained * factor:,} tokens: {'; '.join(said)}.")


def _scaling_panel(c, x, y, name, before, after, trained, factor, hue):
    """One way of scaling: dots before above, dots after below; returns its verdict in words."""
    ratio, below = before / after, y + 80
    kept, full = ratio < 1.001, np.abs(ratio / factor - 1) < 0.001
    words = _verdict(before, after, kept, full)
    c.say(26, y + 12, name, 12, dark(hue), weight="bold")
    c.say(26, y + 24, "\n".join(words), 10, GREY, va="top", linespacing=1.4)
    for row in (y, below):
        c.line(x.pixels[0], row, x.pixels[1], row, FAINT)
    between = int((~kept & ~full).sum())
    if kept.any() and full.any() and between:
        low, high = TURN / before[kept].min(), TURN / before[full].max()
        c.ribbon((x(low), x(high)), y, (x(low), x(high * factor)), below, tint(GREY, 0.88))
        ends = np.array([low, low, high * factor, high * factor])
        c.curve(x(ends), below + np.array([10, 15, 15, 10]), GREY, 1.2)
        c.say(x(trained * factor) - 14, below + 32, f"a gap with {hands(between)}", 10, GREY, "right")
    for first, second in zip(x(TURN / before), x(TURN / after)):
        c.rope(first, y, second, below, 1.6, tint(hue, 0.35), plumb=8)
    for speeds, row, length, color in ((before, y, trained, GREY), (after, below, trained * factor, hue)):
        for turn in TURN / speeds:
            c.ring(x(turn), row, 4.2, color, 1.8, color if turn <= length else WHITE)
        c.line(x(length), row - 13, x(length), row + 13, INK, 3)
    c.say(x(trained), y - 19, f"trained on {trained:,}", 10, ha="center")
    c.say(x(trained * factor) + 8, below + 32, f"now reading {trained * factor:,}", 10)
    return " ".join(words)


def _verdict(before, after, kept, full):
    """What became of the hands, in two or three short lines."""
    ratio, between = before / after, ~kept & ~full
    if not kept.any():
        old, new = (f"{np.degrees(speeds.max()):.0f}°" for speeds in (before, after))
        return (f"every hand slows by {ratio.min():.3g}: two", f"neighbours now differ by {new}",
                f"at most, no longer {old}")
    lines = [f"{hands(kept.sum())} {'keeps its' if kept.sum() == 1 else 'keep their'} speed"]
    if between.any():
        lines.append(f"{between.sum()} slow by {ratio[between].min():.2g} to {ratio[between].max():.2g}")
    if full.any():
        lines.append(f"{full.sum()} slow by {ratio[full].mean():.3g}")
    return tuple(", ".join(lines).replace(", ", ",|").split("|"))


def bases(speeds, trained):
    """What another base does: the tokens each hand needs for a turn, and beneath, on one axis, score against distance.

    `speeds`: base θ → inv_freq (pair), two of them; `trained`: base θ → tokens of the longest text in training.
    """
    hands_of = {base: speeds_of(each) for base, each in speeds.items()}
    if len(speeds) != 2 or set(trained) != set(speeds) or len({len(each) for each in hands_of.values()}) != 1:
        raise ValueError("bases compares two bases over equally many pairs, with a trained length for each, got "
                         f"{list(speeds)} and {list(trained)}: pass {{10000: …, 500000: …}} twice")
    (low, high), turns = sorted(speeds), {base: TURN / each for base, each in hands_of.items()}
    end = 2.2 * max(each.max() for each in turns.values())
    ds, x, y = np.geomspace(1, end, 500), Scale((1, end), (150, 964), log=True), Scale((1, -0.3), (292, 512))
    curves = {base: smooth(each, ds)[0] for base, each in hands_of.items()}
    zero = {base: ds[np.argmax(curve < 0)] for base, curve in curves.items()}
    times = _two_digits(zero[high] / zero[low])
    c = canvas(578, f"With θ = {high:,} the score falls over {times} times as many tokens as with θ = {low:,}",
               "Above: a dot per hand, at the tokens it needs for one turn. Below, on the same axis: the score of a "
               "word with itself, smoothed.")
    for first, second in zip(turns[low], turns[high]):
        c.rope(x(first), 122, x(second), 198, 1.6, tint(GREY, 0.55), plumb=8)
    for base, row, hue, out in ((low, 122, PURPLE, -1), (high, 198, BLUE, 1)):
        for turn in turns[base]:
            c.ring(x(turn), row, 4.2, hue, 1.8, hue if turn <= trained[base] else WHITE)
        p, late = x(trained[base]), int((turns[base] > trained[base]).sum())
        c.line(p, row - 13, p, row + 13, INK, 3)
        c.say(p + 10, row + (out * 19 if out > 0 else -13) + (6 if out > 0 else 0), f"trained on {trained[base]:,}: "
              f"{late} hands do not get round", 10)
        c.say(26, row, f"θ = {base:,}", 11.5, dark(hue), va="center_baseline", weight="bold")
        c.line(p, 226, p, y(0), tint(hue, 0.4), 1.2, (2, 2.4))
        c.curve(x(ds), y(curves[base]), hue, 3.4, cap="round", dash=None if base == high else (4, 1.4))
        c.say(x(zero[base]), y(0) + 30, f"down to 0 at about {_two_digits(zero[base]):,}", 10, dark(hue), "center",
              halo=WHITE)
    c.line(x.pixels[0], y(0), x.pixels[1], y(0), GREY)
    for value in (0, 0.5, 1):
        c.say(138, y(value), f"{value:g}", 9.5, GREY, "right", "center_baseline")
    c.axis(x, 520, 10.0 ** np.arange(np.floor(np.log10(end)) + 1), label="tokens for one turn · tokens apart")
    return c.done(f"Two bases: with θ = {low:,} the slowest hand turns in {turns[low][-1]:,.0f} tokens and the score "
                  f"sinks to 0 at about {_two_digits(zero[low]):,}; with θ = {high:,} in {turns[high][-1]:,.0f} and at "
                  f"about {_two_digits(zero[high]):,}.")


def _two_digits(value):
    """A number rounded to its first two digits."""
    unit = 10 ** max(0, int(np.floor(np.log10(value)) - 1))
    return int(round(value / unit) * unit)


def beyond_training(inv_freq, scaled, trained=8192, factor=8, pairs=8):
    """Which angles the hands reach in text longer than in training, and the position curve, per way of scaling.

    `inv_freq` (pair) as trained; `scaled` maps a name to the inv_freq (pair) after scaling; the model was trained on
    `trained` tokens and now reads `factor` times as many.
    """
    before, reads = speeds_of(inv_freq), trained * factor
    ways = {"none": before} | {name: speeds_of(each) for name, each in scaled.items()}
    if not 1 <= len(scaled) <= 3 or any(len(each) != len(before) for each in ways.values()) or not 2 <= pairs <= 8:
        got = {name: len(each) for name, each in ways.items()}
        raise ValueError(f"beyond_training draws 1 to 3 ways of scaling, each of inv_freq's {len(before)} hands, and 2 "
                         f"to 8 pairs, got {got}, pairs={pairs}: scale the inv_freq that you pass")
    new = {name: int(_new_angles(before, each, trained, reads).sum()) for name, each in ways.items()}
    cured = "; scaled, none does" if not sum(new[name] for name in scaled) else ""
    c = canvas(484 + 98 * len(ways), f"Past the trained length {new['none']} of {len(before)} hands reach angles "
               f"never seen in training{cured}",
               f"Grey: angles that a dial showed in training ({trained:,} tokens). Red: angles new to it by token "
               f"{reads:,}, where the hands stand.")
    picked = slice(None, None, max(1, len(before) // pairs))
    turns = (TURN / before)[picked][:pairs]
    xs = 222 + 92 * np.arange(len(turns))
    for row, (name, speeds) in enumerate(ways.items()):
        y = 142 + 98 * row
        c.say(26, y - 4, name, 13, dark(_hue(row)), weight="bold", mono=True)
        c.say(26, y + 18, _slower(before, speeds), 9.5, GREY)
        for x, old, speed in zip(xs, before[picked], speeds[picked]):
            _seen(c, x, y, 33, min(old * trained, TURN), speed * reads, old / speed)
        c.say(908, y, f"{new[name]} reach\nnew angles", 9.5, dark(RED) if new[name] else INK, va="center",
              linespacing=1.4)
    bottom = 120 + 98 * len(ways)
    c.say(26, bottom, "tokens for one turn", color=GREY)
    for x, turn in zip(xs, turns):
        c.say(x, bottom, rounded(turn), 10.5, INK, "center", weight="bold")
    lows = _position_curves(c, ways, xs, turns, trained, reads, bottom + 12)
    said = ", ".join(f"{name} {count}" for name, count in new.items())
    levels = ", ".join(f"{name} {low:.2f}" for name, low in lows.items())
    return c.done(f"Hands that reach new angles by token {reads:,} after training on {trained:,}: {said}; the smoothed "
                  f"score of a word with itself as far apart: {levels}.")


def _hue(row):
    """The colour of a way of scaling: red without, then blue, green, purple."""
    return (RED, BLUE, GREEN, PURPLE, ORANGE)[row]


def _new_angles(before, after, trained, reads):
    """Which hands point, within `reads` tokens, where they never did in training."""
    shown = before * trained
    return (shown < TURN) & (after * reads > shown * 1.0001)


def _slower(before, after):
    """What a way of scaling does, in a few words."""
    low, high = (before / after).min(), (before / after).max()
    if high < 1.001:
        return "as trained"
    return f"all {low:.3g}× slower" if high - low < 0.01 else f"up to {high:.3g}× slower"


def _seen(c, x, y, r, shown, reached, slower):
    """A dial: the angles of training grey, the new ones red, its hand at the end of the longer text."""
    c.ring(x, y, r, None, 0, tint(GREY, 0.78) if shown >= TURN else WHITE)
    if shown < TURN:
        sector(c, x, y, r, 0, shown, tint(GREY, 0.78))
        if reached > shown * 1.0001:
            sector(c, x, y, r, shown, min(reached, TURN) - shown, tint(RED, 0.2))
    c.dial(x, y, r, reached, tint(GREY, 0.3), None, hand=INK)
    if slower > 1.001:
        c.say(x, y + 48, f"{slower:.2g}× slower", 9.5, GREY, "center")


def _position_curves(c, ways, xs, turns, trained, reads, top):
    """The lower part of `beyond_training`: a smoothed score per way over distances up to `reads`; their ends."""
    column = Scale((turns[0], turns[-1]), (xs[0], xs[-1]), log=True)
    x, y, ds = Scale((1, reads), (column(1), column(reads)), log=True), Scale((1, -0.1), (top + 36, top + 288)), (
        np.geomspace(1, reads, 400))
    c.bar(x(trained), top + 20, x(reads) - x(trained), 276, tint(RED, 0.86))
    for place in xs[turns <= reads]:
        c.line(place, top + 8, place, top + 296, FAINT, 1.4, (2, 2.4))
    c.line(x.pixels[0], y(0), x.pixels[1], y(0), GREY)
    curves = {name: smooth(speeds, ds)[0] for name, speeds in ways.items()}
    lowest = curves["none"][ds <= trained].min()
    c.line(x.pixels[0], y(lowest), x.pixels[1], y(lowest), INK, 1.2, (1, 2))
    c.say(x.pixels[0] + 4, y(lowest) - 7, "lowest level in training", 10, halo=WHITE)
    for row, curve in enumerate(curves.values()):
        hue, px, dash = (_hue(row), 3.4, (4, 1.6) if row % 2 else None) if row else (tint(RED, 0.25), 7, None)
        c.curve(x(ds), y(curve), hue, px, dash)
    for value in (0, 0.5, 1):
        c.say(x.pixels[0] - 11, y(value), f"{value:g}", 9.5, GREY, "right", "center_baseline")
    above = np.inf
    for row, (name, curve) in sorted(enumerate(curves.items()), key=lambda each: each[1][1][-1]):
        above = min(y(curve[-1]), above - 19)
        c.say(x.pixels[1] + 10, above, f"{name} {curve[-1]:.2f}", 10.5, dark(_hue(row)), va="center_baseline",
              weight="bold")
    c.say((x(trained) + x(reads)) / 2, top + 40, "longer than\never trained", 10, dark(RED), "center", "top",
          linespacing=1.4)
    c.say(x.pixels[1] + 12, top + 40, "Score of a word with\nitself, smoothed", 11, va="top", linespacing=1.4)
    ticks = [tick for tick in 10.0 ** np.arange(np.log10(trained)) if tick < trained / 2]
    c.axis(x, top + 300, [*ticks, trained, reads], label="tokens apart")
    return {name: curve[-1] for name, curve in curves.items()}
