"""Figures of the rotary embedding: its dials, what scaling does to them, the table of their readings."""

import numpy as np

from .canvas import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    HUES,
    INK,
    RED,
    SIGNED,
    WHITE,
    Scale,
    canvas,
    dark,
    numbers,
    on,
    signed,
    tint,
)

TURN = 2 * np.pi


def dials(inv_freq, positions=(0, 1, 10, 100), pairs=8):
    """Clocks at a few positions, and beneath them the score of a word with itself against distance.

    `inv_freq` (pair): radians per token, fastest first; at most `pairs` of them are drawn, evenly picked.
    """
    speeds = _speeds(inv_freq)
    if not 2 <= pairs <= 8 or not 1 <= len(positions) <= 6 or min(positions) < 0:
        raise ValueError("dials draws 2 to 8 pairs at 1 to 6 positions from 0 on, "
                         f"got pairs={pairs}, positions={tuple(positions)}: draw fewer, or two figures")
    some = speeds[:: max(1, len(speeds) // pairs)][:pairs]
    turns, bottom = TURN / some, 110 + 80 * len(positions)
    ends = f"{_count(turns[0])} to {_count(turns[-1])}"
    c = canvas(bottom + 372,
               f"Fast hands tell neighbours apart, slow hands tell far from near: {ends} tokens a turn",
               f"One dial per pair of numbers ({len(some)} of a head’s {len(speeds)}). "
               "Shaded: how far its hand has turned since position 0 (+1: after one turn).")
    xs = _columns(turns)
    _faces(c, xs, some, positions, [_score(speeds, p) for p in positions])
    c.say(84, bottom + 46, "tokens for\none turn", color=GREY, ha="right", va="center", linespacing=1.35)
    size = 13 if turns[-1] < 1e5 else 11
    for x, turn, hue in zip(xs, turns, HUES):
        c.say(x, bottom + 50, _count(turn), size, dark(hue), "center", weight="bold")
    _score_curve(c, speeds, turns, xs, positions, bottom + 64)
    scores = ", ".join(f"{_score(speeds, p):.2f} at {p:,}" for p in positions)
    return c.done(f"Dials of {len(some)} of {len(speeds)} rotary pairs at {len(positions)} positions, whose "
                  f"hands need {ends} tokens for one turn; the score of a word with itself at position 0 is "
                  f"{scores}.")


def _columns(turns):
    """Where the dials stand: 94 pixels apart, farther where there is room, but so that distance 1 fits."""
    decades = np.log10(turns[-1] / turns[0]) / (len(turns) - 1)
    apart = max(94, min(658 / (len(turns) - 1), 150 * decades / np.log10(turns[0])))
    return 200 + apart * np.arange(len(turns))


def _faces(c, xs, speeds, positions, scores):
    """The upper half of `dials`: one row of clocks per position, with the score of the whole head."""
    c.say(84, 102, "position", color=GREY, ha="right")
    c.say(978, 102, "score\nwith 0", color=GREY, ha="right", va="center", linespacing=1.35)
    c.arrow(c.run(xs[0] - 14, 102, [("fast", GREY)]) + 12, 98, xs[-1] - 28, 98, tint(GREY, 0.5), 1.2, 7)
    c.say(xs[-1] + 16, 102, "slow", color=GREY, ha="right")
    for row, (position, score) in enumerate(zip(positions, scores)):
        y = 150 + 80 * row
        c.say(84, y, f"{position:,}", 14, ha="right", va="center_baseline", weight="bold", mono=True)
        for x, speed, hue in zip(xs, speeds, HUES):
            c.dial(x, y, 33, position * speed, hue, sector=True)
            if position * speed >= TURN:
                c.say(x + 30, y + 33, f"+{int(position * speed // TURN)}", 9.5, dark(hue))
        c.say(978, y, f"{score:.2f}", 13, ha="right", va="center_baseline", mono=True)
        if position:
            c.ring(922, y)


def _score_curve(c, speeds, turns, xs, positions, top):
    """The lower half of `dials`: the mean of all cosines against distance; the axis fits the columns."""
    column = Scale((turns[0], turns[-1]), (xs[0], xs[-1]), log=True)
    decade = column(10) - column(1)
    start, end = 1.0 if column(1) > 49 else 10 ** ((50 - column(1)) / decade), 1.5 * turns[-1]
    ds, whole = np.geomspace(start, end, 400), np.arange(np.ceil(start), min(end, decade * 2.6))
    line, spread = _smooth(speeds, ds)
    x = Scale((start, end), (column(start), column(end)), log=True)
    lowest = min(-0.3, (line - 2 * spread).min(), _score(speeds, whole).min())
    y = Scale((1, lowest), (top + 42, top + 252))
    c.band(x(ds), y(line - 2 * spread), y(line + 2 * spread), tint(BLUE, 0.86))
    for place, turn, hue in zip(xs, turns, HUES):
        c.rope(place, top, x(turn), top + 254, 1.4, tint(hue, 0.35), dash=(2, 2.4))
    for first in range(0, len(whole) - 1, max(1, len(whole) // 24)):   # the exact score, fading as it blurs
        part = whole[first : first + max(1, len(whole) // 24) + 1]
        c.curve(x(part), y(_score(speeds, part)), tint(INK, 0.45), 1.3, alpha=1 - first / len(whole))
    c.line(x.pixels[0], y(0), x.pixels[1], y(0), GREY)
    c.curve(x(ds), y(line), INK, 3.4, cap="round")
    for value in (0, 0.5, 1):
        c.say(x.pixels[0] - 11, y(value), f"{value:g}", 9.5, GREY, "right", "center_baseline")
    c.say(978, top + 44, "Score of a word with itself, some tokens on", 11, ha="right", halo=WHITE)
    c.say(978, top + 66, f"the mean of {len(speeds)} cosines, smoothed; band: two standard deviations of the "
          "ripples", 9.5, GREY, "right", halo=WHITE)
    for position in positions:
        if start <= position <= end:
            score = _score(speeds, position)
            c.ring(x(position), y(score), 5.5, px=2.4)
            c.say(x(position) + 10, y(score) - 8, f"{score:.2f}", 9.5, halo=WHITE)
    c.axis(x, top + 258, 10 ** np.arange(np.ceil(np.log10(start)), np.log10(end)), label="tokens apart")


def wavelengths(inv_freq, scaled, trained=8192, factor=8):
    """What each way of scaling does to every hand: threads from its tokens per turn before to those after.

    `inv_freq` (pair) before; `scaled` maps a name to the inv_freq (pair) after; the model was trained on
    `trained` tokens and now reads `factor` times as many.
    """
    before, after = _speeds(inv_freq), {name: _speeds(each) for name, each in scaled.items()}
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
    said = [f"{name}: {_scaling_panel(c, x, 120 + 168 * row, name, before, each, trained, factor)}"
            for row, (name, each) in enumerate(after.items())]
    ticks = 10.0 ** np.arange(1, np.floor(np.log10(slowest)) + 1)
    labels = [f"{tick / 1e6:g} million" if tick >= 1e6 else f"{tick:,.0f}" for tick in ticks]
    c.axis(x, c.height - 46, ticks, labels)
    c.say(26, c.height - 27, "tokens for one turn", color=GREY)
    return c.done(f"Tokens that {len(before)} hands need for one turn, before and after scaling from "
                  f"{trained:,} to {trained * factor:,} tokens: {'; '.join(said)}.")


def _scaling_panel(c, x, y, name, before, after, trained, factor):
    """One way of scaling: dots before above, dots after below; returns its verdict in words."""
    ratio, below = before / after, y + 80
    kept, full = ratio < 1.001, np.abs(ratio / factor - 1) < 0.001
    hue, words = GREEN if kept.any() else RED, _verdict(before, after, kept, full)
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
        c.say(x(trained * factor) - 14, below + 32, f"a gap with {_hands(between)}", 10, GREY, "right")
    for first, second in zip(x(TURN / before), x(TURN / after)):
        c.rope(first, y, second, below, 1.6, tint(hue, 0.35), plumb=8)
    for speeds, row, length, color in ((before, y, trained, BLUE), (after, below, trained * factor, hue)):
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
    lines = [f"{_hands(kept.sum())} {'keeps its' if kept.sum() == 1 else 'keep their'} speed"]
    if between.any():
        lines.append(f"{between.sum()} slow by {ratio[between].min():.2g} to {ratio[between].max():.2g}")
    if full.any():
        lines.append(f"{full.sum()} slow by {ratio[full].mean():.3g}")
    return tuple(", ".join(lines).replace(", ", ",|").split("|"))


def frequencies(cos, sin, position=10):
    """The tables of cosines and sines as heatmaps, under the dials that they are readings of.

    `cos`, `sin` (seq pair): at the positions 0, 1, 2 …; the dials stand at `position`.
    """
    cos, sin = numbers(cos), numbers(sin)
    if cos.ndim != 2 or cos.shape != sin.shape or not 1 <= position < len(cos) <= 512 or cos.shape[1] > 64:
        raise ValueError("frequencies draws two tables (seq pair) of one shape, at most (512 64), with a row "
                         f"for position {position}, got cos {cos.shape} and sin {sin.shape}: "
                         "pass cos[:128], sin[:128]")
    (seq, pair), turns = cos.shape, TURN / np.arctan2(sin[1], cos[1])
    c = canvas(680, f"Each column of the table is one dial, read off at {seq} positions",
               f"Rows: positions 0–{seq - 1}. Columns: the {pair} pairs, fast to slow. The dials stand at "
               f"position {position}, each face in the colour of its cell.")
    for name, table, reads, plus, minus, left in (
            ("cos", cos, "how high the tip stands: ", "up", "down", 92),
            ("sin", sin, "how far right the tip stands: ", "right", "left", 556)):
        end = c.run(left - 16, 110, [(name, INK, "bold")], 13, mono=True)
        c.run(end + 10, 110, [(reads, GREY), (plus, SIGNED[-1], "bold"), (", ", GREY),
                              (minus, dark(SIGNED[0]), "bold")])
        _table(c, left, 250, table, np.arctan2(sin[position], cos[position]), turns, position)
    often, never = _ends(turns, seq)
    return c.done(f"Cosines and sines of {pair} rotary pairs over {seq} positions as two heatmaps; columns "
                  f"that go round at least twice: {often}; that stay within an eighth of a turn: {never}.")


def _table(c, left, top, table, angles, turns, position):
    """One heatmap, 416 × 380, with a dial over every few columns and brackets for the fast and the slow."""
    seq, pair = table.shape
    wide, high, step = 416 / pair, 380 / seq, max(1, pair // 8)
    c.image(left, top, 416, 380, signed(table))
    for column in range(1, pair):
        c.line(left + column * wide, top, left + column * wide, top + 380, WHITE)
    c.bar(left, top, 416, 380, None, edge=FAINT)
    for hue, column in zip(HUES, range(0, pair, step)):
        x, flag, face = left + (column + 0.5) * wide, min(wide * 0.8, 12), signed(table[position, column])
        c.line(x, top - 46, x, top - 7, hue, 1.6)
        c.bar(x - flag / 2, top - 7, flag, 6, hue)
        c.dial(x, 156, 22, angles[column], hue, face, px=2.4, hand=on(face))
        c.say(x, 196, _count(turns[column]), 9.5, dark(hue), "center", weight="bold")
    c.bar(left - 1, top + position * high - 1, 418, high + 2, None, edge=INK, px=1.6)
    for row in {0, position, seq - 1}:
        c.say(left - 9, top + (row + 0.5) * high, f"{row}", 9.5, INK, "right", "center_baseline",
              "bold" if row == position else "normal", mono=True)
    fast, slow = _ends(turns, seq)
    for count, edge, out, words in ((fast, left, 1, "fast: twice round and more"),
                                    (slow, left + 416, -1, "slow: still near twelve")):
        if count:
            x0, x1 = edge + out, edge + out * (count * wide - 1)
            c.curve([x0, x0, x1, x1], [top + 385, top + 390, top + 390, top + 385], GREY, 1.2)
            c.say(edge, top + 408, words, 10, GREY, "left" if out > 0 else "right")


def _speeds(inv_freq):
    """inv_freq as an array, checked: one axis of at least two speeds below half a turn per token."""
    speeds = numbers(inv_freq)
    if speeds.ndim != 1 or len(speeds) < 2 or not ((speeds > 0) & (speeds < np.pi)).all():
        raise ValueError("inv_freq has one axis (pair) of at least two speeds between 0 and π radians per "
                         f"token, got shape {speeds.shape}: pass rotary.inv_freq as it is")
    return speeds


def _score(speeds, distance):
    """The mean of the cosines of all hands, some tokens apart."""
    return np.cos(np.multiply.outer(distance, speeds)).mean(-1)


def _smooth(speeds, distances, width=0.3):
    """The score averaged over a bell of distances, 30 % wide, and how far it scatters there about its trend.

    With d·(1 + 0.3 z), z normal, every mean has a closed form; the trend is the best straight line in z.
    """
    angle = np.multiply.outer(distances, speeds)
    wide = np.square(width * angle)
    mean = np.cos(angle) * np.exp(-wide / 2)
    square = (1 + np.cos(2 * angle) * np.exp(-2 * wide)) / 2
    trend = wide * np.square(np.sin(angle)) * np.exp(-wide)
    return mean.mean(-1), np.sqrt((square - np.square(mean) - trend).clip(0).sum(-1)) / len(speeds)


def _ends(turns, seq):
    """How many hands go round at least twice in `seq` positions, how many stay within an eighth of a turn."""
    return int((turns * 2 <= seq - 1).sum()), int((turns >= 8 * (seq - 1)).sum())


def _count(value):
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def _hands(count):
    return f"{count} hand" if count == 1 else f"{count} hands"
