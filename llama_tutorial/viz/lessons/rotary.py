"""Figures of lesson 04: dials, what order is good for, two orders of storage, wavelengths and longer texts."""

import numpy as np

from ..kit.canvas import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    HUES,
    INK,
    ORANGE,
    PURPLE,
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
from ..kit.cells import TOKEN_HUES
from ..kit.dials import TURN, columns, hands, pair_of_hands, rounded, score_at, sector, smooth, speeds_of

# ------------- Figures of the rotary embedding: its dials, their two hands, the table of their readings, distance alone


def dials(inv_freq, positions=(0, 1, 10, 100), pairs=8):
    """Clocks at a few positions, and beneath them the score of a word with itself against distance.

    `inv_freq` (pair): radians per token, fastest first; at most `pairs` of them are drawn, evenly picked.
    """
    speeds = speeds_of(inv_freq)
    if not 2 <= pairs <= 8 or not 1 <= len(positions) <= 6 or min(positions) < 0:
        raise ValueError(
            "dials draws 2 to 8 pairs at 1 to 6 positions from 0 on, "
            f"got pairs={pairs}, positions={tuple(positions)}: draw fewer, or two figures"
        )
    some = speeds[:: max(1, len(speeds) // pairs)][:pairs]
    turns, bottom = TURN / some, 110 + 80 * len(positions)
    ends = f"{rounded(turns[0])} to {rounded(turns[-1])}"
    c = canvas(
        bottom + 372,
        f"Fast hands tell neighbours apart, slow hands tell far from near: {ends} tokens a turn",
        f"One hand per pair of numbers ({len(some)} of a head’s {len(speeds)}). "
        "Shaded: how far it has turned since position 0 (+1: after one turn).",
    )
    xs = columns(turns)
    _faces(c, xs, some, positions, [score_at(speeds, p) for p in positions])
    c.say(84, bottom + 46, "tokens for\none turn", color=GREY, ha="right", va="center", linespacing=1.35)
    size = 13 if turns[-1] < 1e5 else 11
    for x, turn, hue in zip(xs, turns, HUES):
        c.say(x, bottom + 50, rounded(turn), size, dark(hue), "center", weight="bold")
    _score_curve(c, speeds, turns, xs, positions, bottom + 64)
    scores = ", ".join(f"{score_at(speeds, p):.2f} at {p:,}" for p in positions)
    return c.done(
        f"Dials of {len(some)} of {len(speeds)} rotary pairs at {len(positions)} positions, whose "
        f"hands need {ends} tokens for one turn; the score of a word with itself at position 0 is "
        f"{scores}."
    )


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
    line = smooth(speeds, ds)
    x = Scale((start, end), (column(start), column(end)), log=True)
    lowest = min(-0.3, line.min(), score_at(speeds, whole).min())
    y = Scale((1, lowest), (top + 42, top + 252))
    for place, turn, hue in zip(xs, turns, HUES):
        c.rope(place, top, x(turn), top + 254, 1.4, tint(hue, 0.35), dash=(2, 2.4))
    for first in range(0, len(whole) - 1, max(1, len(whole) // 24)):  # the exact score, fading as it blurs
        part = whole[first : first + max(1, len(whole) // 24) + 1]
        c.curve(x(part), y(score_at(speeds, part)), tint(INK, 0.45), 1.3, alpha=1 - first / len(whole))
    c.line(x.pixels[0], y(0), x.pixels[1], y(0), GREY)
    c.curve(x(ds), y(line), INK, 3.4, cap="round")
    c.bar(978 - 560, top + 24, 560, 54, WHITE)
    for value in (0, 0.5, 1):
        c.say(x.pixels[0] - 11, y(value), f"{value:g}", 9.5, GREY, "right", "center_baseline")
    c.say(978, top + 44, "Score of a word with itself, some tokens on", 11, ha="right", halo=WHITE)
    c.say(
        978,
        top + 66,
        f"the mean of {len(speeds)} cosines; thick: smoothed",
        9.5,
        GREY,
        "right",
        halo=WHITE,
    )
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
        raise ValueError(
            "two_hands draws 2 to 8 pairs for 1 to 4 (query, key), the query ahead, all equally far "
            f"apart, got pairs={pairs}, apart={apart}: choose other positions"
        )
    some, (gap,), bottom = speeds[:: max(1, len(speeds) // pairs)][:pairs], gaps, 104 + 112 * len(apart)
    c = canvas(
        bottom + 116,
        f"{gap} tokens apart, the same angles between the hands wherever it happens",
        f"Black: the query’s hand. Hollow: the key’s. Shaded: {gap} tokens’ worth of turning (paler beneath: "
        "whole turns).",
    )
    xs = 178 + 104 * np.arange(len(some))
    for row, (query, key) in enumerate(apart):
        y = 152 + 112 * row
        c.run(26, y - 8, [("query at ", GREY), (f"{query}", INK, "bold")])
        c.run(26, y + 14, [("key at ", GREY), (f"{key}", INK, "bold")])
        for x, speed, hue in zip(xs, some, HUES):
            pair_of_hands(c, x, y, 43, query * speed, key * speed, hue)
    cosines, mean = np.cos(gap * some), score_at(speeds, gap)
    for y, name, values, size in (
        (bottom + 26, "cosine", [f"{value:+.2f}" for value in cosines], 13),
        (bottom + 48, "a turn in", [rounded(TURN / speed) for speed in some], 10),
    ):
        c.say(26, y, name, color=GREY)
        for x, text, hue in zip(xs, values, HUES):
            c.say(
                x,
                y,
                text.replace("-", "−"),
                size,
                dark(hue) if size > 10 else GREY,
                "center",
                weight="bold" if size > 10 else "normal",
                mono=size > 10,
            )
    end = c.run(
        xs[0] - 43,
        bottom + 92,
        [(f"The mean cosine of all {len(speeds)} hands, the score of a word with itself {gap} tokens on:  ", INK)],
        11.5,
    )
    c.say(end, bottom + 92, f"{mean:.2f}", 16, weight="bold", mono=True)
    return c.done(
        f"Dials of {len(some)} of {len(speeds)} pairs with a query’s and a key’s hand, at the positions "
        f"{', '.join(map(str, apart))}: each hand’s angle is the same in every row; the mean cosine "
        f"is {mean:.2f}."
    )


def distance_only(places, turned, added):
    """A word as query and as key, a few times equally far apart: turned by its position, and with it added.

    `places`: pairs (query, key) of positions; `turned` and `added` (place two dim): at each place the query's and
    the key's vector of two numbers, up and right. The scores are their dot products.
    """
    turned, added = numbers(turned), numbers(added)
    if not turned.shape == added.shape == (len(places), 2, 2) or not 1 <= len(places) <= 3:
        raise ValueError(
            "distance_only draws 1 to 3 places with tensors (place two dim) of 2 vectors of 2 numbers, "
            f"got {len(places)} places, {turned.shape} and {added.shape}: stack query and key"
        )
    gap, lengths = places[0][0] - places[0][1], np.hypot(*turned[0].T)
    scores = [[float(query @ key) for query, key in each] for each in (turned, added)]
    c = canvas(
        398,
        f"Words {gap} apart score the same everywhere if the position turns them, not if it is added",
        "One word twice, as query (black) and as key (hollow tip), at the positions m and n above each picture.",
    )
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
    return c.done(
        f"A word as query and as key at {', '.join(map(str, places))}: turned by its position it scores "
        f"{said[0]}; with the position added it scores {said[1]}."
    )


def any_two_hands(query, key, step, places=((3, 0), (10, 7), (103, 100))):
    """A query and a key of any lengths and directions, first as they are, then turned at places equally far apart.

    `query`, `key` (two): height and width; `step`: radians a token; `places`: 1 to 3 pairs (m, n) of positions.
    """
    query, key, gaps = numbers(query), numbers(key), {m - n for m, n in places}
    lengths = np.hypot(*np.stack([query, key]).T) if query.shape == key.shape == (2,) else np.zeros(2)
    if not lengths.all() or not 1 <= len(places) <= 3 or len(gaps) != 1:
        raise ValueError(
            "any_two_hands draws two vectors of 2 numbers, not 0, at 1 to 3 places (m, n) equally far apart, "
            f"got {query.shape}, {key.shape} and {places}: choose other positions"
        )
    (gap,), starts = gaps, [np.arctan2(hand[1], hand[0]) for hand in (query, key)]
    own = _half_turn(starts[0] - starts[1])
    c = canvas(
        396,
        f"Any query and key, {gap} apart: wherever they stand, their own angle and {gap} steps lie between",
        "Black: the query’s hand. Hollow: the key’s. Grey: where they stood before they were turned.",
    )
    scores = []
    for i, (m, n) in enumerate([(0, 0), *places]):
        x, angles = 136 + 240 * i, [starts[0] + m * step, starts[1] + n * step]
        between = own + (m - n) * step
        scores.append(float(lengths.prod() * np.cos(between)))
        _two_lengths(c, x, 224, 84, lengths, angles, starts if i else None, between)
        c.say(x, 116, f"m={m} n={n}" if i else "as they are", 10.5, GREY, "center", mono=bool(i))
        degrees = [f"{np.degrees(angle):.0f}°".replace("-", "−") for angle in (own, (m - n) * step, between)]
        c.say(x, 340, f"{degrees[0]} + {degrees[1]} = {degrees[2]}" if i else degrees[0], 10.5, dark(BLUE), "center")
        c.say(x, 372, f"score {scores[-1]:.3f}".replace("-", "−"), 14, INK, "center", weight="bold")
    c.line(256, 100, 256, 380, FAINT, 1.4)
    said = ", ".join(f"{score:.3f}" for score in scores[1:])
    return c.done(
        f"A query and a key, {np.degrees(own):.0f}° between them, as they are with the score {scores[0]:.3f}, and "
        f"turned at {', '.join(map(str, places))}: {np.degrees(own + gap * step):.0f}° between them and the scores "
        f"{said}."
    )


def _half_turn(angle):
    """An angle brought between half a turn back and half a turn ahead."""
    return (angle + np.pi) % TURN - np.pi


def _two_lengths(c, x, y, r, lengths, angles, starts, between):
    """One dial of `any_two_hands`: two hands as long as they are, what lies between them, and where they began."""
    short = _half_turn(between)
    sector(c, x, y, 0.52 * r, angles[1] + min(short, 0), abs(short), tint(BLUE, 0.66))
    c.ring(x, y, r, tint(BLUE, 0.3), 1.8, None)
    c.line(x, y - r, x, y - 0.86 * r, GREY, 1.2)
    ends = lengths / lengths.max() * r * 0.97
    for start, end in zip(starts or (), ends):
        c.line(x, y, x + end * np.sin(start), y - end * np.cos(start), tint(GREY, 0.55), 1.8, (2, 2.4))
    for hollow, angle, end in ((True, angles[1], ends[1]), (False, angles[0], ends[0])):
        _arrow(c, x, y, end * np.array([np.cos(angle), np.sin(angle)]), BLUE if hollow else INK, hollow)


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
    c.say(
        x + 0.56 * r * np.sin(middle),
        y - 0.56 * r * np.cos(middle),
        f"{np.degrees(gap):.0f}°",
        10,
        dark(BLUE),
        "center",
        "center_baseline",
    )


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
        c.arrow(
            *(np.array([x + right, y - up]) - 12 * back),
            *(np.array([x + right, y - up]) - 4.4 * back),
            WHITE,
            0.1,
            head=8,
        )


def frequencies(cos, sin, position=10):
    """The tables of cosines and sines as heatmaps, under the dials that they are readings of.

    `cos`, `sin` (seq pair): at the positions 0, 1, 2 …; the dials stand at `position`.
    """
    cos, sin = numbers(cos), numbers(sin)
    if cos.ndim != 2 or cos.shape != sin.shape or not 1 <= position < len(cos) <= 512 or cos.shape[1] > 64:
        raise ValueError(
            "frequencies draws two tables (seq pair) of one shape, at most (512 64), with a row "
            f"for position {position}, got cos {cos.shape} and sin {sin.shape}: "
            "pass cos[:128], sin[:128]"
        )
    (seq, pair), turns = cos.shape, TURN / np.arctan2(sin[1], cos[1])
    c = canvas(
        680,
        f"Each column of the table is one hand, read off at {seq} positions",
        f"Rows: positions 0–{seq - 1}. Columns: the {pair} pairs, fast to slow. The hands stand at "
        f"position {position}, each face in the colour of its cell.",
    )
    for name, table, reads, plus, minus, left in (
        ("cos", cos, "how high the tip stands: ", "up", "down", 92),
        ("sin", sin, "how far right the tip stands: ", "right", "left", 556),
    ):
        end = c.run(left - 16, 110, [(name, INK, "bold")], 13, mono=True)
        c.run(
            end + 10, 110, [(reads, GREY), (plus, SIGNED[-1], "bold"), (", ", GREY), (minus, dark(SIGNED[0]), "bold")]
        )
        _table(c, left, 250, table, np.arctan2(sin[position], cos[position]), turns, position)
    often, never = _ends(turns, seq)
    return c.done(
        f"Cosines and sines of {pair} rotary pairs over {seq} positions as two heatmaps; columns "
        f"that go round at least twice: {often}; that stay within an eighth of a turn: {never}."
    )


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
        c.say(
            left - 9,
            top + (row + 0.5) * high,
            f"{row}",
            9.5,
            INK,
            "right",
            "center_baseline",
            "bold" if row == position else "normal",
            mono=True,
        )
    fast, slow = _ends(turns, seq)
    for count, edge, out, words in (
        (fast, left, 1, "fast: twice round and more"),
        (slow, left + 416, -1, "slow: still near twelve"),
    ):
        if count:
            x0, x1 = edge + out, edge + out * (count * wide - 1)
            c.curve([x0, x0, x1, x1], [top + 385, top + 390, top + 390, top + 385], GREY, 1.2)
            c.say(edge, top + 408, words, 10, GREY, "left" if out > 0 else "right")


def _ends(turns, seq):
    """How many hands go round at least twice in `seq` positions, how many stay within an eighth of a turn."""
    return int((turns * 2 <= seq - 1).sum()), int((turns >= 8 * (seq - 1)).sum())


# ------------- Figures of order: a sentence shuffled through attention, and one vector's dials in two orders of storage


def shuffled(words, order, before, after, tolerance=1e-4):
    """A sentence and its words in another order, with what attention gives for each; a thread joins a word to itself.

    `order` (seq): which word stands at each place after shuffling; `before`, `after` (seq dim): the outputs, at most
    6 words with 3 numbers each.
    """
    before, after, order = numbers(before), numbers(after), [int(place) for place in order]
    if (
        not before.shape == after.shape
        or not 2 <= len(words) == len(before) <= 6
        or before.shape[1] > 3
        or (sorted(order) != list(range(len(words))))
    ):
        raise ValueError(
            "shuffled draws 2 to 6 words, an order of them, and outputs (seq dim) of at most 3 numbers, "
            f"got {len(words)} words, order {order}, {before.shape} and {after.shape}"
        )
    same = np.abs(after - before[order]).max(1) <= tolerance
    count = (
        "every word hears"
        if same.all()
        else "no word hears"
        if not same.any()
        else (f"{same.sum()} of {len(words)} words hear")
    )
    c = canvas(
        362,
        f"Shuffle the sentence, and {count} what it heard before",
        "Under each word its output, what it hears of the others; a thread joins the word with itself.",
    )
    apart = 810 / len(words)
    xs = 150 + apart * (np.arange(len(words)) + 0.5)
    for place, word in enumerate(order):
        c.rope(xs[word], 170, xs[place], 232, 2.4, tint(TOKEN_HUES[word], 0.3), plumb=10)
    for name, y, at, row in (("as written", 96, range(len(words)), before), ("shuffled", 252, order, after)):
        c.say(26, y + 4, name, 10.5, GREY, va="center_baseline")
        c.say(26, y + 46, "output", 10.5, GREY, va="center_baseline")
        for x, word, output in zip(xs, at, row):
            _heard(c, x, y, words[word], TOKEN_HUES[word], output, y > 200 and not same[order.index(word)])
    for x, stays in zip(xs, same):
        c.say(x, 340, "= as before" if stays else "≠ before", 10, INK, "center")
    heard = ", ".join(f"“{words[word]}” {'the same' if stays else 'another one'}" for word, stays in zip(order, same))
    return c.done(
        f"“{' '.join(words)}” and “{' '.join(words[word] for word in order)}”: compared with its output in "
        f"the first, each word has in the second: {heard}."
    )


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
        raise ValueError(
            "two_pairings draws 2 to 4 angles (pair) and 1 to 4 errors that are not negative, got "
            f"{angles.shape} and {errors}"
        )
    pair = len(angles)
    c = canvas(
        452,
        f"The same {['two', 'three', 'four'][pair - 2]} hands, their numbers stored in two orders",
        "Colour = pair, paler = its second number. A bow joins the two numbers that one hand turns together.",
    )
    halves = [48 + 50 * place + (28 if place >= pair else 0) for place in range(2 * pair)]
    beside = [48 + 56 * (place // 2) * 2 + 50 * (place % 2) for place in range(2 * pair)]
    for first in range(pair):
        for second, dash in ((0, None), (1, (2.4, 1.6))):
            start, end = halves[first + pair * second], beside[2 * first + second]
            c.rope(start, 238, end, 298, 2.2, tint(HUES[first], 0.15), plumb=4, dash=dash)
    _stored(c, 196, halves, [(i % pair, i // pair, i) for i in range(2 * pair)], angles, up=True)
    _stored(c, 300, beside, [(i // 2, i % 2, i // 2 + pair * (i % 2)) for i in range(2 * pair)], angles, up=False)
    for y, name, lines in (
        (200, "(two pair)", "halves: these lessons,\nHugging Face’s files"),
        (304, "(pair two)", "neighbours: the paper,\nMeta’s own files"),
    ):
        c.say(490, y + 8, name, 13, weight="bold", mono=True)
        c.say(490, y + 20, lines, 10, GREY, va="top", linespacing=1.4)
    c.say(26, 432, 'the threads: rearrange(w, "(two pair) dim -> (pair two) dim", two=2)', 10, GREY, mono=True)
    c.line(672, 92, 672, 432, FAINT, 1.4)
    _strangers(c, 700, angles, errors)
    said = ", ".join(f"{errors[gap]:.2f} at {gap}" for gap in gaps)
    return c.done(
        f"A vector of {2 * pair} numbers stored as (two pair) and as (pair two), joined by threads; where "
        f"neighbours are turned in weights that pair halves, the error of the scores ÷ their size is {said} "
        "tokens apart."
    )


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
    c.run(
        x,
        106,
        [
            ("✗ ", dark(WRONG)),
            ("(pair two)", dark(WRONG), "bold"),
            (" on ", dark(WRONG)),
            ("(two pair)", dark(WRONG), "bold"),
            (" weights", dark(WRONG)),
        ],
        10.5,
    )
    for place in range(2 * len(angles)):
        fill = tint(HUES[place % len(angles)], 0.7 if place >= len(angles) else 0.05)
        left = x + 31 * place + 9 * (place // 2)
        c.box(left, 162, 29, 29, fill, 4)
        c.say(left + 14.5, 177, f"{place}", 10, on(fill), "center", "center_baseline")
        if place % 2:
            _bow(c, left - 16.5, left + 14.5, 160, -22, RED, angles[place // 2], dark(RED))
    c.say(x, 222, "every hand turns two strangers:", 10.5, dark(WRONG))
    c.say(x, 243, "error of the scores ÷ their size", 10.5, dark(WRONG))
    tall = 118 / max(1e-9, *errors.values())
    for i, (gap, error) in enumerate(errors.items()):
        left = x + 70 * i
        c.bar(left, 398 - tall * error, 48, tall * error, tint(WRONG, 0.25))
        c.line(left, 398, left + 48, 398, GREY, 1.2)
        c.say(left + 24, 390 - tall * error, f"{error:.2f}", 12, dark(WRONG), "center", weight="bold")
        c.say(left + 24, 418, f"{gap} apart", 9.5, GREY, "center")


# --------------------------- Figures of the wavelengths: another base, scaling, and what lies beyond the trained length


WAYS = {"linear": BLUE, "llama3": GREEN, "yarn": PURPLE}  # a way of scaling has one hue in all lessons


def wavelengths(inv_freq, scaled, trained=8192, factor=8):
    """What each way of scaling does to every hand: threads from its tokens per turn before to those after.

    `inv_freq` (pair) before; `scaled` maps a name to the inv_freq (pair) after; the model was trained on
    `trained` tokens and now reads `factor` times as many.
    """
    before, after = speeds_of(inv_freq), {name: speeds_of(each) for name, each in scaled.items()}
    if not 1 <= len(after) <= 4 or any(len(each) != len(before) for each in after.values()):
        got = {name: len(each) for name, each in after.items()}
        raise ValueError(
            f"wavelengths draws 1 to 4 ways of scaling, each of inv_freq's {len(before)} hands, "
            f"got {got}: scale the inv_freq that you pass"
        )
    late, slows = (TURN / before > trained).sum(), {name: _eased(before, each, factor) for name, each in after.items()}
    title = f"{late} of {len(before)} hands never finish a turn in training; scaling should slow those, spare the rest"
    if len(after) == 2 and all(slows.values()):
        (one, few), (other, more) = sorted(slows.items(), key=lambda each: each[1])
        title = f"From full speed to 1/{factor} of it: {other} eases {more} hands across, {one} {few}"
    c = canvas(
        160 + 168 * len(after),
        title,
        "A dot per pair, at the tokens it needs for one turn; filled: it turns at least once within the bar’s length.",
    )
    slowest = max((TURN / each).max() for each in (before, *after.values()))
    x = Scale((TURN / before[0], slowest * 1.2), (236, 970), log=True)
    said = []
    for row, (name, each) in enumerate(after.items()):
        hue = WAYS.get(name.split(",")[0], _hue(row + 1))
        told = _scaling_panel(c, x, 120 + 168 * row, name, before, each, trained, factor, hue)
        said.append(f"{name}: {told}")
    ticks = 10.0 ** np.arange(1, np.floor(np.log10(slowest)) + 1)
    labels = [f"{tick / 1e6:g} million" if tick >= 1e6 else f"{tick:,.0f}" for tick in ticks]
    c.axis(x, c.height - 46, ticks, labels)
    c.say(26, c.height - 27, "tokens for one turn", color=GREY)
    return c.done(
        f"Tokens that {len(before)} hands need for one turn, before and after scaling from "
        f"{trained:,} to {trained * factor:,} tokens: {'; '.join(said)}."
    )


def _eased(before, after, factor):
    """How many hands slow by less than the factor and more than nothing; 0 where none keeps its speed."""
    ratio = before / after
    return int(((ratio >= 1.001) & (ratio < 0.999 * factor)).sum()) if (ratio < 1.001).any() else 0


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
        return (
            f"every hand slows by {ratio.min():.3g}: two",
            f"neighbours now differ by {new}",
            f"at most, no longer {old}",
        )
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
        raise ValueError(
            "bases compares two bases over equally many pairs, with a trained length for each, got "
            f"{list(speeds)} and {list(trained)}: pass {{10000: …, 500000: …}} twice"
        )
    (low, high), turns = sorted(speeds), {base: TURN / each for base, each in hands_of.items()}
    end = 2.2 * max(each.max() for each in turns.values())
    ds, x, y = np.geomspace(1, end, 500), Scale((1, end), (150, 964), log=True), Scale((1, -0.3), (292, 512))
    curves = {base: smooth(each, ds) for base, each in hands_of.items()}
    zero = {base: ds[np.argmax(curve < 0)] for base, curve in curves.items()}
    times = _two_digits(zero[high] / zero[low])
    c = canvas(
        578,
        f"With θ = {high:,} the score falls over {times} times as many tokens as with θ = {low:,}",
        "Above: a dot per hand, at the tokens it needs for one turn. Below, on the same axis: the score of a "
        "word with itself, smoothed.",
    )
    for first, second in zip(turns[low], turns[high]):
        c.rope(x(first), 122, x(second), 198, 1.6, tint(GREY, 0.55), plumb=8)
    for base, row, hue, out in ((low, 122, PURPLE, -1), (high, 198, BLUE, 1)):
        for turn in turns[base]:
            c.ring(x(turn), row, 4.2, hue, 1.8, hue if turn <= trained[base] else WHITE)
        p, late = x(trained[base]), int((turns[base] > trained[base]).sum())
        c.line(p, row - 13, p, row + 13, INK, 3)
        c.say(
            p + 10,
            row + (out * 19 if out > 0 else -13) + (6 if out > 0 else 0),
            f"trained on {trained[base]:,}: {late} hands do not get round",
            10,
        )
        c.say(26, row, f"θ = {base:,}", 11.5, dark(hue), va="center_baseline", weight="bold")
        c.line(p, 226, p, y(0), tint(hue, 0.4), 1.2, (2, 2.4))
        c.curve(x(ds), y(curves[base]), hue, 3.4, cap="round", dash=None if base == high else (4, 1.4))
        c.say(
            x(zero[base]),
            y(0) + 30,
            f"down to 0 at about {_two_digits(zero[base]):,}",
            10,
            dark(hue),
            "center",
            halo=WHITE,
        )
    c.line(x.pixels[0], y(0), x.pixels[1], y(0), GREY)
    for value in (0, 0.5, 1):
        c.say(138, y(value), f"{value:g}", 9.5, GREY, "right", "center_baseline")
    c.axis(x, 520, 10.0 ** np.arange(np.floor(np.log10(end)) + 1), label="tokens for one turn · tokens apart")
    return c.done(
        f"Two bases: with θ = {low:,} the slowest hand turns in {turns[low][-1]:,.0f} tokens and the score "
        f"sinks to 0 at about {_two_digits(zero[low]):,}; with θ = {high:,} in {turns[high][-1]:,.0f} and at "
        f"about {_two_digits(zero[high]):,}."
    )


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
        raise ValueError(
            f"beyond_training draws 1 to 3 ways of scaling, each of inv_freq's {len(before)} hands, and 2 "
            f"to 8 pairs, got {got}, pairs={pairs}: scale the inv_freq that you pass"
        )
    new = {name: int(_new_angles(before, each, trained, reads).sum()) for name, each in ways.items()}
    cured = "; scaled, none does" if not sum(new[name] for name in scaled) else ""
    c = canvas(
        484 + 98 * len(ways),
        f"Past the trained length {new['none']} of {len(before)} hands reach angles never seen in training{cured}",
        f"Grey: angles that a hand showed in training ({trained:,} tokens). Red: angles new to it by token "
        f"{reads:,}, where the hands stand.",
    )
    picked = slice(None, None, max(1, len(before) // pairs))
    turns = (TURN / before)[picked][:pairs]
    xs = 222 + 92 * np.arange(len(turns))
    for row, (name, speeds) in enumerate(ways.items()):
        y = 142 + 98 * row
        c.say(26, y - 4, name, 13, dark(_hue(row)), weight="bold", mono=True)
        c.say(26, y + 18, _slower(before, speeds), 9.5, GREY)
        for x, old, speed in zip(xs, before[picked], speeds[picked]):
            _seen(c, x, y, 33, min(old * trained, TURN), speed * reads, old / speed)
        c.say(
            908, y, f"{new[name]} reach\nnew angles", 9.5, dark(RED) if new[name] else INK, va="center", linespacing=1.4
        )
    bottom = 120 + 98 * len(ways)
    c.say(26, bottom, "tokens for one turn", color=GREY)
    for x, turn in zip(xs, turns):
        c.say(x, bottom, rounded(turn), 10.5, INK, "center", weight="bold")
    lows = _position_curves(c, ways, xs, turns, trained, reads, bottom + 12)
    said = ", ".join(f"{name} {count}" for name, count in new.items())
    levels = ", ".join(f"{name} {low:.2f}" for name, low in lows.items())
    return c.done(
        f"Hands that reach new angles by token {reads:,} after training on {trained:,}: {said}; the smoothed "
        f"score of a word with itself as far apart: {levels}."
    )


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
    x, y, ds = (
        Scale((1, reads), (column(1), column(reads)), log=True),
        Scale((1, -0.1), (top + 36, top + 288)),
        (np.geomspace(1, reads, 400)),
    )
    c.bar(x(trained), top + 20, x(reads) - x(trained), 276, tint(RED, 0.86))
    for place in xs[turns <= reads]:
        c.line(place, top + 8, place, top + 296, FAINT, 1.4, (2, 2.4))
    c.line(x.pixels[0], y(0), x.pixels[1], y(0), GREY)
    curves = {name: smooth(speeds, ds) for name, speeds in ways.items()}
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
        c.say(
            x.pixels[1] + 10,
            above,
            f"{name} {curve[-1]:.2f}",
            10.5,
            dark(_hue(row)),
            va="center_baseline",
            weight="bold",
        )
    c.say(
        (x(trained) + x(reads)) / 2,
        top + 40,
        "longer than\never trained",
        10,
        dark(RED),
        "center",
        "top",
        linespacing=1.4,
    )
    c.say(x.pixels[1] + 12, top + 40, "Score of a word with\nitself, smoothed", 11, va="top", linespacing=1.4)
    ticks = [tick for tick in 10.0 ** np.arange(np.log10(trained)) if tick < trained / 2]
    c.axis(x, top + 300, [*ticks, trained, reads], label="tokens apart")
    return {name: curve[-1] for name, curve in curves.items()}
