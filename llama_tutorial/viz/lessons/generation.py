"""Figures of generation: how a token is chosen, what is computed again, and what that costs."""

import numpy as np

from ..kit.canvas import (
    BLUE,
    CYAN,
    FAINT,
    GREY,
    HUES,
    INK,
    ORANGE,
    RED,
    RIGHT,
    WHITE,
    WRONG,
    Scale,
    canvas,
    dark,
    numbers,
    on,
    printable,
    tint,
    to_rgb,
)

LEFT, WIDE, HIGH = 165, 600, 44          # a strip: its left edge, the pixels of probability 1, its height
RANKED = (*HUES, tint(HUES[0], 0.4), tint(HUES[1], 0.4))    # the likeliest token's hue, the second's …
OTHERS = "#c4c8d1"


def surprise_along(texts):
    """How much each token of some texts surprised a reader, writer by writer; where a text repeats itself is shaded.

    `texts`: name → (surprises in nats, booleans that say where a token belongs to what was said before).
    """
    rows = {name: (numbers(each[0]).ravel(), numbers(each[1]).ravel() > 0) for name, each in texts.items()}
    if not 1 <= len(rows) <= 6 or any(len(some) < 2 or len(some) != len(said) for some, said in rows.values()):
        raise ValueError("surprise_along takes 1 to 6 texts, each with at least 2 surprises and as many marks of "
                         f"repeats, got {[(len(some), len(said)) for some, said in rows.values()]}")
    means = {name: some.mean() for name, (some, _) in rows.items()}
    calm, wild = min(means, key=means.get), max(means, key=means.get)
    longest, top = max(len(some) for some, _ in rows.values()), min(10, max(some.max() for some, _ in rows.values()))
    c = canvas(132 + 104 * len(rows), f"{calm} surprises least, {means[calm]:.2f} nats a token; {wild} most, "
               f"{means[wild]:.2f}",
               "One bar = one token: −ln of the share that the model gave it. Shaded = said before, in the same words.")
    x = Scale((0, longest), (130, 848))
    for row, (name, (some, said)) in enumerate(rows.items()):
        foot, hue = 168 + 104 * row, HUES[(2, 0, 5, 6, 7, 4)[row]]
        for start, end in _runs(said):
            c.bar(x(start), foot - 78, x(end) - x(start), 78, tint(RED, 0.8))
        wide = (x(1) - x(0)) * 0.78
        for place, value in enumerate(some):
            c.bar(x(place), foot - 76 * min(value, top) / top, wide, 76 * min(value, top) / top, hue)
        c.line(130, foot, 848, foot, FAINT)
        c.say(116, foot - 30, name, 12.5, dark(hue), "right", weight="bold")
        c.say(862, foot - 38, f"{means[name]:.2f} a token", 12.5, dark(hue), weight="bold")
        c.say(862, foot - 20, f"{100 * said.mean():.0f} % said before", 10, GREY)
    c.say(848, 132 + 104 * len(rows) - 40 + 22, "token by token →", 10, GREY, "right")
    told = "; ".join(f"{name} {means[name]:.2f} nats a token, {100 * said.mean():.0f} % said before"
                     for name, (_, said) in rows.items())
    return c.done(f"Surprise along {len(rows)} texts: {told}.")


def _runs(flags):
    """Where stretches of True begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, int), [0]])))
    return list(zip(edges[::2], edges[1::2]))


def film_strip(words, weights, choices):
    """A model that writes, step by step: what enters, the keys and values kept, whom it looks at, what is chosen.

    `words` of the text, the written ones included; `weights`, for each of 2 to 4 steps, that of the newest word for
    every word so far; `choices`, for each step, (word, probability) of some candidates, the chosen one first.
    """
    words, weights = [printable(word) for word in words], [numbers(each).ravel() for each in weights]
    first, steps = len(weights[0]), len(weights)
    if not 2 <= steps <= 4 or len(choices) != steps or [len(each) for each in weights] != [
            first + i for i in range(steps)] or not first + steps - 1 <= len(words) <= 14:
        raise ValueError("film_strip takes up to 14 words, 2 to 4 rows of weights, each one longer than the one "
                         f"before, and candidates for each, got {len(words)}, {[len(each) for each in weights]} and "
                         f"{len(choices)}")
    c = canvas(540, f"One word enters, one plank is added: step {steps} reads 1 word and looks at {len(weights[-1])}",
               "Cyan = keys and values kept; dark = new in this step; ropes = whom it looks at; strip = what may "
               "come next.")
    wide, gap = 226, 14
    plank = min(20, 204 / (first + steps - 1))
    for step, (row, candidates) in enumerate(zip(weights, choices)):
        left = 26 + step * (wide + gap)
        _frame(c, left, wide, plank, words[: len(row)], row, candidates, step)
    c.say(26, 458, "Where the new word stands, as a hand of a clock: right ✓, in a cache that counts from 0 again ✗.",
          10.5, GREY)
    for step, row in enumerate(weights):
        left, place = 26 + step * (wide + gap), len(row) - 1
        for x, at, hue, name in ((20, place, RIGHT, "✓"), (140, 0, WRONG, "✗")):
            c.dial(left + x, 500, 19, at * 2 * np.pi / 16, hue)
            c.say(left + x + 27, 505, f"{name} {at}", 11, dark(hue), weight="bold")
        if step + 1 < steps:
            c.arrow(left + wide - 34, 398, left + wide + gap - 1, 398, INK, 2)
    return c.done(f"A film of {steps} steps of generation. " + " ".join(
        f"Step {step + 1}: “{words[len(row) - 1]}” enters at position {len(row) - 1}, looks most at "
        f"“{words[int(row.argmax())]}”, and “{printable(some[0][0])}” is chosen, which had {_percent(some[0][1])}."
        for step, (row, some) in enumerate(zip(weights, choices))) + " A wrong cache puts each of them at position 0.")


def _frame(c, left, wide, plank, words, row, candidates, step):
    """One picture of the film: shelf, ropes, strip."""
    c.box(left, 84, wide, 346, WHITE, 8, edge=FAINT, px=1.4)
    c.say(left + 11, 106, f"step {step + 1} reads", 10, GREY)
    c.say(left + 11 + c.measure(f"step {step + 1} reads ", 10), 106, words[-1], 11.5, dark(CYAN), weight="bold",
          mono=True)
    begin, last = left + 11, len(words) - 1
    asks = begin + (last + 0.5) * plank
    for place, (word, weight) in enumerate(zip(words, row)):
        x, new = begin + place * plank, place == last
        c.box(x + 1, 120, plank - 2, 104, CYAN if new else tint(CYAN, 0.72), 3)
        c.say(x + plank / 2, 218, word[:13], min(10, plank * 0.62), WHITE if new else INK, "center", "bottom",
              mono=True, rotation=90)
        c.rope(x + plank / 2, 226, asks, 292, max(0.6, 15 * weight), tint(BLUE, 0.35), plumb=4)
    c.box(asks - 9, 290, 18, 18, BLUE, 4)
    c.say(asks - 14 if last > 4 else asks + 14, 304, "its query", 9.5, dark(BLUE), "right" if last > 4 else "left")
    x, all_of_it = left + 11, wide - 22
    for number, (word, share) in enumerate(candidates):
        hue = ORANGE if number == 0 else tint(ORANGE, 0.45 + 0.12 * min(number, 3))
        c.bar(x, 330, max(share * all_of_it - 1, 0.5), 30, hue)
        if c.measure(printable(word), 9.5, mono=True) + 4 < share * all_of_it:
            c.say(x + share * all_of_it / 2, 345, printable(word), 9.5, on(hue), "center", "center_baseline", mono=True)
        x += share * all_of_it
    c.bar(x, 330, left + wide - 11 - x, 30, "#e9ebef")
    word, share = candidates[0]
    c.say(left + 11, 384, "chosen", 10, GREY)
    c.say(left + 11, 404, f"{printable(word)}  {_percent(share)}", 12, dark(ORANGE), weight="bold", mono=True)


def padded_rows(texts, side="left"):
    """Texts of unlike length in one batch: padding hatched, each word's position beneath it, what comes next behind.

    `texts`: for each row its words; `side` of the padding, "left" or "right".
    """
    rows = [[printable(word) for word in text] for text in texts]
    if side not in ("left", "right") or not 1 <= len(rows) <= 5 or not all(rows) or max(map(len, rows)) > 12:
        raise ValueError("padded_rows takes 1 to 5 texts of 1 to 12 words and a side, left or right, got "
                         f"{[len(row) for row in rows]} and {side!r}")
    longest = max(map(len, rows))
    cell = min(110, 800 / (longest + 1))
    end = "each newest word stands last" if side == "left" else "a shorter row ends in padding"
    c = canvas(104 + 74 * len(rows), f"Padded on the {side}: {end}",
               "Hatched = padding, unseen; beneath each word its position; arrow = the column that is read.")
    for number, row in enumerate(rows):
        y, pads = 92 + 74 * number, longest - len(row)
        start = pads if side == "left" else 0
        for place in range(longest):
            x, real = 40 + place * cell, start <= place < start + len(row)
            if real:
                word = row[place - start]
                c.box(x + 2, y, cell - 4, 34, tint(CYAN, 0.72), 4)
                size = min(11, 11 * (cell - 10) / c.measure(word, 11, mono=True))
                c.say(x + cell / 2, y + 17, word, size, INK, "center", "center_baseline", mono=True)
                c.say(x + cell / 2, y + 50, f"{place - start}", 10, dark(CYAN), "center", weight="bold")
            else:
                c.hatch(x + 2, y, cell - 4, 34, tint(GREY, 0.3))
                c.say(x + cell / 2, y + 50, "–", 10, GREY, "center")
        good = side == "left" or not pads
        c.arrow(44 + longest * cell, y + 17, 78 + longest * cell, y + 17, RIGHT if good else WRONG, 2.4)
        c.say(86 + longest * cell, y + 22, "✓ next" if good else "✗ next after padding", 11,
              dark(RIGHT if good else WRONG), weight="bold")
    return c.done(f"{len(rows)} texts padded on the {side} to {longest} words; padding before or behind them: "
                  f"{', '.join(str(longest - len(row)) for row in rows)}. Positions count real words only.")


def sampling_strips(logits, labels, temperatures=(0.5, 1.0, 1.5), top_k=5, top_p=0.9, prompt=""):
    """The next token's probabilities as strips of length 1: at some temperatures, then cut by greedy, k and p.

    `logits` (vocab), `labels` one string per token of the vocabulary; 1 to 4 temperatures above 0; the cuts are
    drawn at temperature 1.
    """
    scores, labels, temperatures = numbers(logits).ravel(), list(labels), sorted(temperatures)
    if scores.size != len(labels) or scores.size < 2 or not 1 <= len(temperatures) <= 4 or min(temperatures) <= 0:
        raise ValueError("sampling_strips takes logits (vocab) of one text, as many labels, and 1 to 4 temperatures "
                         f"above 0, got shape {np.shape(logits)}, {len(labels)} labels and {temperatures}")
    order = np.argsort(-scores, kind="stable")
    names = [printable(labels[i]) for i in order[: len(RANKED)]]
    at, cuts_top = [_softmax(scores[order] / t) for t in temperatures], 104 + 92 * len(temperatures)
    c = canvas(cuts_top + 296,
               f"Temperature moves the favourite from {_percent(at[0][0])} to {_percent(at[-1][0])}; "
               "greedy, top-k and top-p cut the tail",
               f"{scores.size:,} candidates{_after(prompt)}; width = probability, each strip adds up to 1; "
               "equal tokens = e^entropy.")
    for row, (t, shares) in enumerate(zip(temperatures, at)):
        _strip(c, 104 + 92 * row, shares, names, tell=row == len(at) - 1)
        if row:
            _ribbons(c, 104 + 92 * row - 48, at[row - 1], shares, len(names))
        _margins(c, 104 + 92 * row, f"T = {t:g}", "as it is" if t == 1 else "sharper" if t < 1 else "flatter",
                 f"like {_equal(shares):,.0f} equal tokens", f"favourite {_percent(shares[0])}")
    c.line(24, cuts_top - 12, 976, cuts_top - 12, FAINT)
    kept = _cuts(c, cuts_top + 16, _softmax(scores[order]), names, top_k, top_p)
    return c.done(f"Strips of probability over {scores.size:,} tokens{_after(prompt)}: at temperature "
                  f"{', '.join(f'{t:g}' for t in temperatures)} the favourite, “{names[0]}”, holds "
                  f"{', '.join(_percent(each[0]) for each in at)}; {kept}.")


def _cuts(c, y, shares, names, top_k, top_p):
    """The lower half of `sampling_strips`: what greedy, top-k and top-p leave; returns that in words."""
    held, top_k = np.minimum(np.cumsum(shares), 1), min(top_k, len(shares))
    in_p = 1 + int((held[:-1] < top_p).sum())
    told = []
    for name, why, kept in (("greedy", "the favourite only", 1), (f"top-k = {top_k}", "a fixed number", top_k),
                            (f"top-p = {top_p:g}", "a fixed mass", in_p)):
        tokens, share = f"{kept:,} token{'s' * (kept > 1)}", _percent(held[kept - 1])
        _cut(c, y, shares, names, held[kept - 1])
        _margins(c, y, name, why, f"keeps {share}", f"{tokens}, rescaled to 1")
        told.append(f"{name} keeps {tokens} with {share}")
        y += 84
    _leaders(c, y - 84 + HIGH, shares, names)
    return ", ".join(told)


def _softmax(scores):
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def _equal(shares):
    """How many equally likely tokens would be as uncertain: e to the entropy."""
    some = shares[shares > 0]
    return np.exp(-(some * np.log(some)).sum())


def _percent(share):
    return f"{100 * share:.0f} %" if share >= 0.00995 else f"{100 * share:.2g} %"


def _after(prompt):
    """“ after …” with the end of the prompt, as long as there is room."""
    return f" after “{'…' * (len(prompt) > 26)}{prompt[-26:]}”" if prompt else ""


def _edges(shares, named):
    """Where the named pieces of a strip begin and end, and where the strip ends, in pixels."""
    return LEFT + WIDE * np.concatenate([[0], np.cumsum(shares[:named]), [1]])


def _strip(c, y, shares, names, tell):
    """One strip: a piece per named token, then all others; `tell` how many those are."""
    edges = _edges(shares, len(names))
    for name, hue, x, end in zip(names, RANKED, edges, edges[1:]):
        _piece(c, x, y, end, hue, name)
    others = len(shares) - len(names)
    if others:
        _piece(c, edges[-2], y, edges[-1], OTHERS, f"{others:,} others" if tell else "", mono=False)


def _gap(x, end):
    """White between neighbours, so that they stay apart in grey; none at the end of a strip."""
    return min(1.4, (end - x) / 3) if end < LEFT + WIDE - 0.5 else 0


def _piece(c, x, y, end, hue, name, mono=True):
    """One token's part of a strip, with its name where that fits."""
    c.bar(x, y, end - x - _gap(x, end), HIGH, hue)
    size, weight = (11.5, "bold") if mono else (10.5, "normal")
    if name and c.measure(name, size, weight, mono) + 6 < end - x:
        c.say((x + end) / 2, y + HIGH / 2, name, size, on(hue), "center", "center_baseline", weight, mono)


def _ribbons(c, y, before, after, named):
    """What becomes of every piece from one temperature to the next."""
    top, bottom = _edges(before, named), _edges(after, named)
    for i in range(named + (len(before) > named)):
        hue = RANKED[i] if i < named else OTHERS
        c.ribbon((top[i], top[i + 1]), y, (bottom[i], bottom[i + 1]), y + 48, tint(hue, 0.78 if i < named else 0.6))
    wide = np.minimum(np.diff(top), np.diff(bottom))
    for i in range(1, named + 1):
        if min(wide[i - 1], wide[i]) > 6:                    # a seam, where it does not hide the ribbons
            c.rope(top[i], y, bottom[i], y + 48, 1, WHITE, plumb=0)


def _margins(c, y, name, why, fact, detail):
    """The words at both ends of a strip."""
    c.say(24, y + 17, name, 13, weight="bold")
    c.say(24, y + 36, why, color=GREY)
    c.say(LEFT + WIDE + 22, y + 17, fact, min(13, 13 * 190 / c.measure(fact, 13, "bold")), weight="bold")
    c.say(LEFT + WIDE + 22, y + 36, detail, min(10.5, 10.5 * 190 / c.measure(detail)), GREY)


def _cut(c, y, shares, names, kept):
    """A strip of which only the part up to `kept` counts: the rest is pale and hatched."""
    edges, line = _edges(shares, len(names)), LEFT + WIDE * kept
    pieces = zip([*names, ""], [*RANKED[: len(names)], OTHERS], edges, edges[1:])
    for name, hue, x, end in pieces:
        if x < line - 0.5:
            _piece(c, x, y, min(end, line), hue, name)
        if end > max(x, line) + 0.5:
            start = max(x, line)
            _piece(c, start, y, end, tint(hue, 0.88), "")
            c.hatch(start, y, end - start - _gap(start, end), HIGH, tint(hue, 0.4))
            if x >= line - 0.5:
                _name_on_hatching(c, start, y, end, name, hue)
    c.line(line, y - 8, line, y + HIGH + 9, INK, 3)


def _name_on_hatching(c, x, y, end, name, hue):
    """The name of a token that is cut away, on a patch of its own so that the lines do not cross it."""
    wide = c.measure(name, 11.5, "bold", True)
    if name and wide + 6 < end - x:
        c.box((x + end - wide) / 2 - 3, y + 12, wide + 6, 20, tint(hue, 0.88))
        c.say((x + end) / 2, y + HIGH / 2, name, 11.5, dark(hue), "center", "center_baseline", "bold", True)


def _leaders(c, y, shares, names):
    """The names that found no room in their pieces, beneath the last strip, each on its thread."""
    edges = _edges(shares, len(names))
    loose = [i for i, name in enumerate(names) if c.measure(name, 11.5, "bold", True) + 6 >= edges[i + 1] - edges[i]]
    widths = [c.measure(names[i], 10.5, "bold", True) for i in loose]
    total, x = sum(widths) + 18 * (len(loose) - 1), 0
    if loose:
        middle = (edges[loose[0]] + edges[loose[-1] + 1]) / 2
        x = min(max(LEFT, middle - total / 2), 984 - total)
    for i, wide in zip(loose, widths):
        c.rope((edges[i] + edges[i + 1]) / 2, y + 2, x + wide / 2, y + 34, 1.4, RANKED[i])
        c.say(x + wide / 2, y + 49, names[i], 10.5, dark(RANKED[i]), "center", weight="bold", mono=True)
        x += wide + 18


def recomputed(without, cached):
    """Which positions a model computed in which step, without a cache and with one.

    Both are boolean (step, position), True where a position went through the model in that step.
    """
    without, cached = numbers(without) > 0, numbers(cached) > 0
    if without.ndim != 2 or without.shape != cached.shape or not without.any() or not cached.any():
        raise ValueError("recomputed takes two boolean arrays (step, position) of equal shape with True where a "
                         f"position is computed, got {without.shape} and {cached.shape}")
    again = _again(without)
    corner_free = int(without[: max(1, round(0.4 * len(without)))].any(0).sum()) <= 0.45 * without.shape[1]
    top = 112 if corner_free else 258
    c = canvas(top + 448, f"Without a cache, {100 * again.sum() / without.sum():.0f} % of the work is repetition",
               "One row = one step, one column = one position; filled = its keys and values are computed in that step.")
    for left, name, hue, computed in ((66, "no cache", RED, without), (558, "with a cache", CYAN, cached)):
        _triangle(c, left, top, computed)
        repeats, right = int(_again(computed).sum()), left + 400
        c.say(right, 125, name, 13, dark(hue), "right", weight="bold")
        c.say(right, 175, f"{int(computed.sum()):,}", 34, dark(hue), "right", weight="bold")
        c.say(right, 200, "positions computed", 11, ha="right")
        c.say(right, 221, f"{repeats:,} of them not for the first time" if repeats else "each of them once",
              10, GREY, "right")
        if not repeats:
            c.say(right, 239, "pale = read, not computed", 10, GREY, "right")
    return c.done(f"Positions computed in {len(without):,} steps of generation: without a cache "
                  f"{int(without.sum()):,}, {int(again.sum()):,} of them not for the first time, which fills the area "
                  f"under a diagonal; with a cache {int(cached.sum()):,}, the diagonal alone.")


def _again(computed):
    """Where a position is computed that an earlier step has computed."""
    before = np.cumsum(computed, axis=0) - computed
    return computed & (before > 0)


def _triangle(c, left, top, computed):
    """One panel: cyan = computed for the first time, red = again, pale = there but not computed."""
    steps, positions = computed.shape
    there = np.maximum.accumulate(computed[:, ::-1], axis=1)[:, ::-1]
    colors = np.ones((steps, positions, 3))
    colors[there] = to_rgb("#eceef2")
    colors[computed] = to_rgb(CYAN)
    colors[_again(computed)] = to_rgb(tint(RED, 0.35))
    c.image(left, top, 400, 400, colors)
    for row, text in ((0.5, "1"), (steps - 0.5, f"{steps:,}")):
        c.say(left - 8, top + 400 * row / steps, text, 10, GREY, "right", "center_baseline")
    for column, text, ha in ((0.5, "1", "center"), (positions, f"{positions:,}", "right")):
        c.say(left + 400 * column / positions, top + 419, text, 10, GREY, ha)
    c.say(left + 200, top + 419, "position", 10.5, GREY, "center")
    c.say(left - 14, top + 200, "step", 10.5, GREY, "right", "center_baseline", rotation=90)


def cache_times(context, recomputed, cached):
    """Milliseconds for one more token against the tokens so far: everything recomputed, and with the cache.

    Three lists of equal length, `context` rising; areas are the wait for all tokens, in seconds.
    """
    xs, slow, fast = (numbers(each) for each in (context, recomputed, cached))
    if not xs.shape == slow.shape == fast.shape or xs.size < 3 or (np.diff(xs) <= 0).any():
        raise ValueError("cache_times takes three lists of equal length, at least 3, the first rising, "
                         f"got shapes {xs.shape}, {slow.shape}, {fast.shape}")
    waits = [_seconds((np.diff(xs) * (times[1:] + times[:-1]) / 2).sum() / 1000) for times in (slow, fast)]
    roomy = fast.max() < 0.3 * slow.max()                    # between the curves, for words
    c = canvas(496, f"With a cache, token {xs[-1]:,.0f} takes {_ms(fast[-1])}; without one, {_ms(slow[-1])}",
               "Milliseconds for one more token against the tokens so far; area = the wait for all of them"
               + ("." if roomy else f": {waits[0]}, {waits[1]}."))
    x, y = Scale((xs[0], xs[-1]), (86, 884)), Scale((0, slow.max()), (440, 118))
    _levels(c, y, slow.max())
    for times, hue, pale, lift in ((slow, RED, 0.78, 18), (fast, CYAN, 0.5, 0)):
        c.band(x(xs), np.full(len(xs), y(0)), y(times), tint(hue, pale))
        c.curve(x(xs), y(times), hue, 4, cap="round")
        for at, value in zip(x(xs), y(times)):
            c.ring(at, value, 4, hue)
        c.say(896, min(y(times[-1]) + 5, y(fast[-1]) + 5 - lift, 436), _ms(times[-1]), 13, dark(hue), weight="bold")
    if roomy:
        level = y(min(0.4 * slow.max(), np.interp(0.52 * xs[-1], xs, slow) - 0.08 * slow.max()))
        level = min(level, y(fast.max()) - 52)
        c.say(870, level, f"recomputed each time: {waits[0]}", 13, dark(RED), "right", weight="bold")
        c.say(870, level + 20, "the whole text through the model, for one token", 10.5, dark(RED), "right")
        c.say(870, y(fast.max()) - 14, f"with the cache: {waits[1]}", 13, dark(CYAN), "right", weight="bold")
    c.axis(x, 440, np.unique([xs[0], *np.round(np.linspace(0, xs[-1], 5)[1:])]), label="tokens so far")
    return c.done(f"Time for one more token after {xs[0]:,.0f} to {xs[-1]:,.0f} tokens: from {_ms(slow[0])} to "
                  f"{_ms(slow[-1])} where everything is recomputed, {waits[0]} in all; from {_ms(fast[0])} to "
                  f"{_ms(fast[-1])} with a cache, {waits[1]} in all.")


def _levels(c, y, highest):
    """At most five grey lines at round numbers of milliseconds."""
    step = 10 ** np.floor(np.log10(highest)) / 2
    step *= max(1, np.ceil(highest / step / 5))
    for tick in np.arange(0, highest * 1.001, step):
        c.line(86, y(tick), 884, y(tick), FAINT)
        c.say(74, y(tick), f"{tick:g} ms" if tick else "0", 10, GREY, "right", "center_baseline")


def _ms(milliseconds):
    """A time in milliseconds, in two figures below ten."""
    return f"{milliseconds:.1f} ms" if milliseconds < 9.95 else f"{milliseconds:.0f} ms"


def _seconds(wait):
    """A time in seconds, in two figures below ten."""
    return f"{wait:.2g} seconds" if wait < 9.95 else f"{wait:,.0f} seconds"
