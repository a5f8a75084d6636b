"""Figures of the rotary embedding: its dials, their two hands, the table of their readings, distance alone."""

import numpy as np

from .canvas import (
    BLUE,
    FAINT,
    GREY,
    HUES,
    INK,
    RED,
    RIGHT,
    SIGNED,
    WHITE,
    WRONG,
    Scale,
    canvas,
    dark,
    numbers,
    on,
    signed,
    tint,
)
from .dial import TURN, columns, pair_of_hands, rounded, score_at, sector, smooth, speeds_of


def dials(inv_freq, positions=(0, 1, 10, 100), pairs=8):
    """Clocks at a few positions, and beneath them the score of a word with itself against distance.

    `inv_freq` (pair): radians per token, fastest first; at most `pairs` of them are drawn, evenly picked.
    """
    speeds = speeds_of(inv_freq)
    if not 2 <= pairs <= 8 or not 1 <= len(positions) <= 6 or min(positions) < 0:
        raise ValueError("dials draws 2 to 8 pairs at 1 to 6 positions from 0 on, "
                         f"got pairs={pairs}, positions={tuple(positions)}: draw fewer, or two figures")
    some = speeds[:: max(1, len(speeds) // pairs)][:pairs]
    turns, bottom = TURN / some, 110 + 80 * len(positions)
    ends = f"{rounded(turns[0])} to {rounded(turns[-1])}"
    c = canvas(bottom + 372,
               f"Fast hands tell neighbours apart, slow hands tell far from near: {ends} tokens a turn",
               f"One dial per pair of numbers ({len(some)} of a head’s {len(speeds)}). "
               "Shaded: how far its hand has turned since position 0 (+1: after one turn).")
    xs = columns(turns)
    _faces(c, xs, some, positions, [score_at(speeds, p) for p in positions])
    c.say(84, bottom + 46, "tokens for\none turn", color=GREY, ha="right", va="center", linespacing=1.35)
    size = 13 if turns[-1] < 1e5 else 11
    for x, turn, hue in zip(xs, turns, HUES):
        c.say(x, bottom + 50, rounded(turn), size, dark(hue), "center", weight="bold")
    _score_curve(c, speeds, turns, xs, positions, bottom + 64)
    scores = ", ".join(f"{score_at(speeds, p):.2f} at {p:,}" for p in positions)
    return c.done(f"Dials of {len(some)} of {len(speeds)} rotary pairs at {len(positions)} positions, whose "
                  f"hands need {ends} tokens for one turn; the score of a word with itself at position 0 is "
                  f"{scores}.")


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
    line, spread = smooth(speeds, ds)
    x = Scale((start, end), (column(start), column(end)), log=True)
    lowest = min(-0.3, (line - 2 * spread).min(), score_at(speeds, whole).min())
    y = Scale((1, lowest), (top + 42, top + 252))
    c.band(x(ds), y(line - 2 * spread), y(line + 2 * spread), tint(BLUE, 0.86))
    for place, turn, hue in zip(xs, turns, HUES):
        c.rope(place, top, x(turn), top + 254, 1.4, tint(hue, 0.35), dash=(2, 2.4))
    for first in range(0, len(whole) - 1, max(1, len(whole) // 24)):   # the exact score, fading as it blurs
        part = whole[first : first + max(1, len(whole) // 24) + 1]
        c.curve(x(part), y(score_at(speeds, part)), tint(INK, 0.45), 1.3, alpha=1 - first / len(whole))
    c.line(x.pixels[0], y(0), x.pixels[1], y(0), GREY)
    c.curve(x(ds), y(line), INK, 3.4, cap="round")
    c.bar(978 - 560, top + 24, 560, 54, WHITE)
    for value in (0, 0.5, 1):
        c.say(x.pixels[0] - 11, y(value), f"{value:g}", 9.5, GREY, "right", "center_baseline")
    c.say(978, top + 44, "Score of a word with itself, some tokens on", 11, ha="right", halo=WHITE)
    c.say(978, top + 66, f"the mean of {len(speeds)} cosines, smoothed; band: two standard deviations of the "
          "ripples", 9.5, GREY, "right", halo=WHITE)
    for position in positions:
        if start <= position <= end:
            score = score_at(speeds, position)
            c.ring(x(position), y(score), 5.5, px=2.4)
            c.say(x(position) + 10, y(score) - 8, f"{score:.2f}", 9.5, halo=WHITE)
    c.axis(x, top + 258, 10 ** np.arange(np.ceil(np.log10(start)), np.log10(end)), label="tokens apart")

def two_hands(inv_freq, apart=((10, 0), (100, 90)), pairs=8):
    """The hands of a query and of a key on each dial, for pairs of positions (query, key) equally far apart.

    `inv_freq` (pair): radians per token, fastest first. Under each dial the cosine of the angle between its
    hands; the mean over all pairs is the score of a word with itself.
    """
    speeds, gaps = speeds_of(inv_freq), {query - key for query, key in apart}
    if not 2 <= pairs <= 8 or not 1 <= len(apart) <= 4 or len(gaps) != 1 or min(gaps) <= 0:
        raise ValueError("two_hands draws 2 to 8 pairs for 1 to 4 (query, key), the query ahead, all equally far "
                         f"apart, got pairs={pairs}, apart={apart}: choose other positions")
    some, (gap,), bottom = speeds[:: max(1, len(speeds) // pairs)][:pairs], gaps, 104 + 112 * len(apart)
    c = canvas(bottom + 116, f"{gap} tokens apart, the same angles between the hands wherever it happens",
               f"Black: the query’s hand. Hollow: the key’s. Shaded: {gap} tokens’ worth of turning (paler beneath: "
               "whole turns).")
    xs = 178 + 104 * np.arange(len(some))
    for row, (query, key) in enumerate(apart):
        y = 152 + 112 * row
        c.run(26, y - 8, [("query at ", GREY), (f"{query}", INK, "bold")])
        c.run(26, y + 14, [("key at ", GREY), (f"{key}", INK, "bold")])
        for x, speed, hue in zip(xs, some, HUES):
            pair_of_hands(c, x, y, 43, query * speed, key * speed, hue)
    cosines, mean = np.cos(gap * some), score_at(speeds, gap)
    for y, name, values, size in ((bottom + 26, "cosine", [f"{value:+.2f}" for value in cosines], 13),
                                  (bottom + 48, "a turn in", [rounded(TURN / speed) for speed in some], 10)):
        c.say(26, y, name, color=GREY)
        for x, text, hue in zip(xs, values, HUES):
            c.say(x, y, text.replace("-", "−"), size, dark(hue) if size > 10 else GREY, "center",
                  weight="bold" if size > 10 else "normal", mono=size > 10)
    end = c.run(xs[0] - 43, bottom + 92, [(f"The mean cosine of all {len(speeds)} dials, the score of a word with "
                                           f"itself {gap} tokens on:  ", INK)], 11.5)
    c.say(end, bottom + 92, f"{mean:.2f}", 16, weight="bold", mono=True)
    return c.done(f"Dials of {len(some)} of {len(speeds)} pairs with a query’s and a key’s hand, at the positions "
                  f"{', '.join(map(str, apart))}: each dial’s angle is the same in every row; the mean cosine "
                  f"is {mean:.2f}.")


def distance_only(places, turned, added):
    """A word as query and as key, a few times equally far apart: turned by its position, and with it added.

    `places`: pairs (query, key) of positions; `turned` and `added` (place two dim): at each place the query's and
    the key's vector of two numbers, up and right. The scores are their dot products.
    """
    turned, added = numbers(turned), numbers(added)
    if not turned.shape == added.shape == (len(places), 2, 2) or not 1 <= len(places) <= 3:
        raise ValueError("distance_only draws 1 to 3 places with tensors (place two dim) of 2 vectors of 2 numbers, "
                         f"got {len(places)} places, {turned.shape} and {added.shape}: stack query and key")
    gap, lengths = places[0][0] - places[0][1], np.hypot(*turned[0].T)
    scores = [[float(query @ key) for query, key in each] for each in (turned, added)]
    c = canvas(398, f"Words {gap} apart score the same everywhere if the position turns them, not if it is added",
               "One word twice, as query (black) and as key (hollow tip), at the positions m and n above each picture.")
    c.line(506, 92, 506, 376, FAINT, 1.4)
    for left, hue, title in ((26, RIGHT, "✓ the position turns the word"), (532, WRONG, "✗ the position is added")):
        c.say(left, 106, title, 12, dark(hue), weight="bold")
    for i, (m, n) in enumerate(places):
        for left, hue, score in ((26, RIGHT, f"{scores[0][i]:.3f}"), (532, WRONG, f"{scores[1][i]:,.0f}")):
            x = left + 72 + 150 * i
            c.say(x, 140, f"m={m} n={n}", 10, GREY, "center", mono=True)
            c.say(x, 338, score, 17, dark(hue), "center", weight="bold", mono=True)
        _turned(c, 98 + 150 * i, 232, 62, *turned[i])
        _added(c, 604 + 150 * i, 226, 60, *added[i], lengths.max())
    c.say(26, 372, "the angle is the same, and so is the score", color=GREY)
    c.say(532, 372, "disc: the word’s own length, drowned by the index", color=GREY)
    said = [", ".join(f"{score:,.3f}".rstrip("0").rstrip(".") for score in row) for row in scores]
    return c.done(f"A word as query and as key at {', '.join(map(str, places))}: turned by its position it scores "
                  f"{said[0]}; with the position added it scores {said[1]}.")


def _turned(c, x, y, r, query, key):
    """One picture of the left half of `distance_only`: two arrows in a dial and the angle between them."""
    ahead, behind = (np.arctan2(hand[1], hand[0]) for hand in (query, key))
    gap = (ahead - behind) % TURN
    sector(c, x, y, r, behind, gap, tint(BLUE, 0.66))
    c.ring(x, y, r, tint(BLUE, 0.3), 1.8, None)
    c.line(x, y - r, x, y - 0.86 * r, GREY, 1.2)
    for hand, hollow in ((key, True), (query, False)):
        _arrow(c, x, y, r * 0.97 * hand / np.hypot(*hand), BLUE if hollow else INK, hollow)
    middle = behind + gap / 2
    c.say(x + 0.56 * r * np.sin(middle), y - 0.56 * r * np.cos(middle), f"{np.degrees(gap):.0f}°", 10, dark(BLUE),
          "center", "center_baseline")


def _added(c, x, y, r, query, key, length):
    """One picture of the right half of `distance_only`: two arrows as long as the picture allows, and the disc."""
    scale = 2 * r / max(np.hypot(*query), np.hypot(*key))
    x, y = x - 0.7 * r, y + 0.9 * r
    c.ring(x, y, max(2.2, scale * length), tint(BLUE, 0.3), 1.2, tint(BLUE, 0.8))
    for hand, hollow in ((query, False), (key, True)):
        _arrow(c, x, y, scale * hand, RED if hollow else INK, hollow)


def _arrow(c, x, y, hand, color, hollow):
    """An arrow from (x, y) by `hand` = (up, right) pixels, its head hollow for a key."""
    up, right = hand
    c.arrow(x, y, x + right, y - up, color, 3.4 if hollow else 4.2, head=16)
    if hollow:
        back = np.array([right, -up]) / np.hypot(up, right)
        c.arrow(*(np.array([x + right, y - up]) - 12 * back), *(np.array([x + right, y - up]) - 4.4 * back), WHITE,
                0.1, head=8)


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
        c.say(x, 196, rounded(turns[column]), 9.5, dark(hue), "center", weight="bold")
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


def _ends(turns, seq):
    """How many hands go round at least twice in `seq` positions, how many stay within an eighth of a turn."""
    return int((turns * 2 <= seq - 1).sum()), int((turns >= 8 * (seq - 1)).sum())
