"""Figures of the faster model: where a token's time goes, what a launch costs, and weights as whole numbers."""

import numpy as np

from ..kit.canvas import (
    BLUE,
    CYAN,
    FAINT,
    GREEN,
    GREY,
    HUES,
    INK,
    MAUVE,
    ORANGE,
    RED,
    Scale,
    canvas,
    dark,
    numbers,
    signed,
    tint,
)

WAYS = {"ours": MAUVE, "transformers": GREY, "faster": CYAN, "compiled": BLUE, "8 bits": ORANGE}
KINDS = {"products": BLUE, "attention": CYAN, "the rest": ORANGE, "merged": GREEN}


def token_times(models, limits):
    """Milliseconds a token by each way, for one or two models, with the shortest time in which the weights are read.

    `models`: the model's name → {way: milliseconds}; `limits`: the model's name → {what is read: milliseconds}.
    """
    if not 1 <= len(models) <= 2 or set(models) != set(limits) or not all(models.values()):
        raise ValueError(f"token_times takes one or two models with ways and limits, got {[*models]} and {[*limits]}")
    most = max(map(len, models.values()))
    gains = "; ".join(_gain(name, ways, limits[name]) for name, ways in models.items())
    if gains.count(BARE) == 2:  # said once
        gains = BARE.join(gains.split(BARE)[:2]) + gains.split(BARE)[2]
    c = canvas(150 + 34 * most, gains,
               "Bars: milliseconds a token. Dashed: what as many weights take without a model around them.")
    wide = 948 / len(models)
    for column, (name, ways) in enumerate(models.items()):
        left = 26 + column * wide
        c.say(left, 98, name, 12.5, weight="bold")
        top = 1.12 * max(*ways.values(), *limits[name].values())
        x = Scale((0, top), (left + 140, left + wide - 86))
        for row, (way, ms) in enumerate(ways.items()):
            y = 116 + 34 * row
            c.say(left + 130, y + 12, way, 10.5, INK, "right", "center_baseline")
            c.bar(x(0), y, max(x(ms) - x(0), 1), 24, WAYS.get(way, HUES[row % 8]))
        foot = 116 + 34 * len(ways) - 4
        for what, ms in limits[name].items():
            for row, end in enumerate(map(x, ways.values())):
                if not end < x(ms) < end + 74:  # where the bar's own number stands
                    c.line(x(ms), 110 + 34 * row, x(ms), 144 + 34 * row, RED, 1.6, (4, 3))
            c.say(x(ms), foot + 16, f"{what}: {ms:.2g} ms", 10, dark(RED),
                  "left" if x(ms) < left + wide * 0.55 else "right")
            foot += 15
        for row, ms in enumerate(ways.values()):
            c.say(x(ms) + 8, 128 + 34 * row, f"{ms:.3g} ms", 11, INK, "left", "center_baseline", "bold", halo="white")
    told = [f"{name}: " + ", ".join(f"{way} {ms:.3g} ms" for way, ms in ways.items()) + "; beside it "
            + ", ".join(f"{what} {ms:.2g} ms" for what, ms in limits[name].items()) for name, ways in models.items()]
    return c.done(f"Milliseconds a token. {'. '.join(told)}.")


BARE = " of a token is one bare product"


def _gain(name, ways, limits):
    """What the quickest way gains over the first; where that is hardly anything, how much of it is a bare product."""
    first, best = next(iter(ways)), min(ways, key=ways.get)
    if ways[first] < 1.1 * ways[best]:
        return f"{name}: {min(max(limits.values()) / ways[first], 1):.0%}{BARE}"
    return f"{name}: {best} {ways[first] / ways[best]:.1f}× as fast as {first}"


def rows_below(groups, width):
    """Weights that read the same vector, apart and as rows of one: `groups` of name → rows, `width` columns."""
    if not 1 <= len(groups) <= 2 or not all(2 <= len(group) <= 3 for group in groups):
        raise ValueError(f"rows_below takes one or two groups of two or three weights, got {groups}")
    apart, fused = sum(map(len, groups)), len(groups)
    tallest = max(sum(group.values()) for group in groups)
    unit, hues = 212 / tallest, (BLUE, CYAN, MAUVE, ORANGE, RED, HUES[3])
    c = canvas(432, f"{apart} products of matrices become {fused}, and no number lies in memory twice",
               "Rows to scale; each layer keeps a view of its own. Squares = the vector that is read.")
    hue = iter(hues)
    for column, group in enumerate(groups):
        left, y, high = 40 + 490 * column, 132, 230 + 26 * 2
        c.say(left, 100, "apart", 10.5, GREY)
        c.say(left + 270, 100, "one below the other", 10.5, GREY)
        total, at = sum(group.values()), 132 + 22
        for name, rows in group.items():
            color = next(hue)
            tall = rows * unit
            _vector(c, left, y, color)
            c.box(left, y + 12, 120, tall, tint(color, 0.55), 2)
            c.say(left + 60, y + 12 + tall / 2, name, 10.5, dark(color), "center", "center_baseline", "bold")
            c.say(left + 128, y + 12 + tall / 2, f"{rows:,} rows", 9.5, GREY, "left", "center_baseline")
            c.bar(left + 270, at, 120, tall, tint(color, 0.55))
            c.say(left + 330, at + tall / 2, name, 10.5, dark(color), "center", "center_baseline", "bold")
            y, at = y + tall + 26, at + tall
        _vector(c, left + 270, 132 + 10, INK)
        c.arrow(left + 205, 132 + high / 2 - 20, left + 258, 132 + high / 2 - 20, GREY, 2, 10)
        c.say(left + 398, 154 + total * unit / 2, f"{total:,} rows", 9.5, GREY, "left", "center_baseline")
        c.say(left, 414, f"{len(group)} products of {width:,} columns → 1", 10.5, INK, weight="bold")
    told = "; ".join(", ".join(f"{name} {rows}" for name, rows in group.items()) for group in groups)
    return c.done(f"Weights of {width} columns, apart and with their rows one below the other: {told}; {apart} "
                  f"products become {fused}.")


def _vector(c, x, y, color):
    """The vector that a product reads, as a row of small squares."""
    for i in range(12):
        c.bar(x + 10 * i, y, 8, 7, tint(color, 0.2))


def places_read(filled, ways, places=2048):
    """A store of `places`, the first of them filled, and what each way reads: name → (places, milliseconds)."""
    if not 1 <= len(ways) <= 4 or not 0 < filled <= places:
        raise ValueError(f"places_read takes 1 to 4 ways and a part of {places} places, got {len(ways)} and {filled}")
    slow, fast = (pick(ways, key=lambda name: ways[name][1]) for pick in (max, min))
    c = canvas(120 + 66 * len(ways), f"{filled:,} tokens are there: reading all {places:,} places takes "
               f"{ways[slow][1] / ways[fast][1]:.1f} times as long",
               f"A store with room for {places:,} tokens. Cyan = filled, hatched = read for nothing, white = not read.")
    x = Scale((0, places), (170, 836))
    for row, (name, (read, ms)) in enumerate(ways.items()):
        y = 96 + 66 * row
        c.say(158, y + 17, name, 11, INK, "right", "center_baseline", "bold")
        c.bar(x(0), y, x(places) - x(0), 34, "white", edge=FAINT, px=1.5)
        if read > filled:
            c.hatch(x(filled), y, x(read) - x(filled), 34, tint(RED, 0.25), 6)
            c.bar(x(filled), y, x(read) - x(filled), 34, None, edge=tint(RED, 0.25), px=1)
        c.bar(x(0), y, x(filled) - x(0), 34, CYAN)
        c.say(850, y + 14, f"{ms:.3g} ms", 13, dark(RED if name == slow else CYAN), weight="bold")
        c.say(850, y + 31, f"{read:,} places", 10, GREY)
    told = ", ".join(f"{name} {read} places in {ms:.3g} ms" for name, (read, ms) in ways.items())
    return c.done(f"A store of {places} places with {filled} filled: {told}.")


def kernel_lanes(lanes):
    """What ran when, a lane for each way: name → [(kind, begin, end), …] in microseconds, kind as in KINDS."""
    if not 1 <= len(lanes) <= 4 or not all(lanes.values()):
        raise ValueError(f"kernel_lanes takes 1 to 4 lanes with kernels in them, got {[*lanes]}")
    begins = {name: min(begin for _, begin, _ in lane) for name, lane in lanes.items()}
    spans = {name: max(end for _, _, end in lane) - begins[name] for name, lane in lanes.items()}
    counts = {name: len(lane) for name, lane in lanes.items()}
    ends = [*lanes][0], [*lanes][-1]
    c = canvas(150 + 78 * len(lanes), f"One layer, one token: {counts[ends[0]]} launches in {spans[ends[0]]:.0f} µs; "
               + f"{ends[1]}, {counts[ends[1]]} in {spans[ends[1]]:.0f} µs",
               "Each block = one kernel, as wide as it lasts. Grey between: Python and PyTorch prepare the next one.")
    x = Scale((0, max(spans.values())), (150, 770))
    for row, (name, lane) in enumerate(lanes.items()):
        y = 96 + 78 * row
        c.say(138, y + 22, name, 12, INK, "right", "center_baseline", "bold")
        c.bar(150, y + 4, x(spans[name]) - 150, 36, FAINT)
        for kind, begin, end in lane:
            left = x(begin - begins[name])
            c.bar(left, y, max(x(end - begins[name]) - left, 1.2), 44, KINDS[kind])
        busy = sum(end - begin for _, begin, end in lane)
        c.say(x(spans[name]) + 10, y + 18, f"{counts[name]} launches", 11.5, INK, weight="bold")
        c.say(x(spans[name]) + 10, y + 36, f"{spans[name]:.0f} µs, {busy / spans[name]:.0%} computing", 10, GREY)
    foot = 96 + 78 * len(lanes)
    c.axis(x, foot - 10, [tick for tick in range(0, 2000, 50 if max(spans.values()) < 400 else 200)
                          if tick <= max(spans.values())], label="µs")
    at = 150
    for kind, hue in ((kind, hue) for kind, hue in KINDS.items() if any(
            kind == each for lane in lanes.values() for each, *_ in lane)):
        c.bar(at, foot + 24, 14, 14, hue)
        at = c.run(at + 20, foot + 36, [(kind, dark(hue), "bold")], 10.5) + 24
    told = "; ".join(f"{name} {counts[name]} launches in {spans[name]:.0f} microseconds" for name in lanes)
    return c.done(f"Timeline of one layer's kernels: {told}.")


def whole_numbers(weight, whole, scale):
    """A small weight (out, in), the whole numbers and the scale of each row that stand for it, and what is lost."""
    weight, whole, scale = numbers(weight), numbers(whole), numbers(scale).ravel()
    if weight.ndim != 2 or weight.shape != whole.shape or len(scale) != len(weight) or max(weight.shape) > 6:
        raise ValueError(f"whole_numbers takes a weight of at most 6 × 6, as many numbers and a scale a row, got "
                         f"{weight.shape}, {whole.shape} and {scale.shape}")
    lost = weight - whole * scale[:, None]
    steps = np.abs(lost / scale[:, None]).max()
    c = canvas(130 + 46 * len(weight), f"Each number becomes one of 255; the largest error is {steps:.2f} of a step",
               "A row's largest number becomes ±127. Right: weight − number × scale, its colours 100 times stronger.")
    high = np.abs(weight).max()
    fmt = (lambda v: f"{v:.2f}", lambda v: f"{v:.0f}", lambda v: f"{round(1000 * v, 1) + 0.0:.1f}")
    panels = (("weight", weight, weight / high), ("whole numbers", whole, weight / high),
              ("error × 1000", lost, 100 * lost / high))
    for column, (name, values, shades) in enumerate(panels):
        left = (26, 372, 718)[column]
        c.say(left, 94, name, 11.5, weight="bold")
        colors = [[tuple(color) for color in signed(np.clip(row, -1, 1))] for row in shades]
        c.cells(left, 106, colors, [[fmt[column](v) for v in row] for row in values],
                size=(252 / weight.shape[1] - 3, 40), gap=3, fontsize=9.5)
    for row, value in enumerate(scale):
        c.say(332, 106 + 43 * row + 20, "≈" if row == len(scale) // 2 else "", 16, GREY, "right", "center_baseline")
        c.say(632, 106 + 43 * row + 20, f"× {value:.4f}", 10, dark(ORANGE), "left", "center_baseline")
    return c.done(f"A weight of {weight.shape[0]} × {weight.shape[1]} as whole numbers with a scale for each row; the "
                  f"largest error is {steps:.2f} of a step.")


def scale_errors(one, each, outlier):
    """The relative error of every row with one scale for all and with a scale of its own; `outlier` is the loud row."""
    one, each = numbers(one).ravel(), numbers(each).ravel()
    if len(one) != len(each) or not 0 <= outlier < len(one) <= 24:
        raise ValueError(f"scale_errors takes as many errors of both kinds, at most 24, got {len(one)} and {len(each)}")
    quiet = [row for row in range(len(one)) if row != outlier]
    c = canvas(366, f"One loud row takes all steps: with one scale the others are wrong by {one[quiet].mean():.0%}, "
               f"with their own by {each[quiet].mean():.1%}",
               "Bars: a row's error over its own size. Left, red: one scale for all rows; right, blue: one for each.")
    pitch = 860 / len(one)
    y = Scale((0, max(one.max(), each.max()) * 1.1), (310, 104))
    for row in range(len(one)):
        left = 90 + pitch * row
        for values, hue, at in ((one, RED, 0.14), (each, BLUE, 0.52)):
            c.bar(left + at * pitch, y(values[row]), 0.34 * pitch, 310 - y(values[row]), hue)
        c.say(left + pitch / 2, 328, f"{row}", 9.5, dark(ORANGE) if row == outlier else GREY, "center",
              weight="bold" if row == outlier else "normal")
    c.line(90, 310, 950, 310, FAINT)
    for tick in np.linspace(0, max(one.max(), each.max()), 4):
        c.say(80, y(tick), f"{tick:.0%}", 9.5, GREY, "right", "center_baseline")
    c.say(90 + pitch * (outlier + 0.5), 350, "the loud row", 10, dark(ORANGE), "center", weight="bold")
    c.say(950, 350, "row", 10, GREY, "right")
    return c.done(f"Relative error of {len(one)} rows: with one scale {one[quiet].mean():.0%} in the mean of the quiet "
                  f"rows, with a scale for each row {each[quiet].mean():.1%}.")


def crossing(rows, ways):
    """Milliseconds of one product against the rows that are multiplied at once: name → times, for 2 to 4 ways."""
    rows, ways = numbers(rows), {name: numbers(times).ravel() for name, times in ways.items()}
    if not 2 <= len(ways) <= 4 or len(rows) < 3 or any(len(times) != len(rows) for times in ways.values()):
        raise ValueError(f"crossing takes 2 to 4 ways and a time for each of at least 3 numbers of rows, got {[*ways]}")
    best = [min(ways, key=lambda name: ways[name][at]) for at in (0, -1)]  # noqa: B023
    c = canvas(440, f"For {rows[0]:.0f} row {best[0]} is fastest, for {rows[-1]:.0f} rows {best[1]}",
               "One product against the rows multiplied at once; both axes in powers of two. Lower is faster.")
    low, high = min(times.min() for times in ways.values()), max(times.max() for times in ways.values())
    x, y = Scale((rows[0], rows[-1]), (90, 760), log=True), Scale((low, high), (384, 100), log=True)
    ends = sorted(((float(y(times[-1])), name) for name, times in ways.items()))
    label, at = {}, 0
    for place, name in ends:
        label[name] = at = max(place, at + 36)
    for (name, times), hue in zip(ways.items(), (MAUVE, RED, BLUE, ORANGE)):
        c.curve(x(rows), y(times), hue, 3.5, cap="round")
        for each, value in zip(x(rows), y(times)):
            c.ring(each, value, 4, hue)
        c.say(776, label[name] + 2, name, 11.5, dark(hue), weight="bold")
        c.say(776, label[name] + 18, f"{times[0]:.2g} → {times[-1]:.2g} ms", 10, dark(hue))
    c.axis(x, 384, rows, label="rows at once")
    step = 2.0 ** np.arange(np.ceil(np.log2(low)), np.floor(np.log2(high)) + 1)
    c.axis(y, 90, step, [f"{tick:.3g}" for tick in step], side="left", label="ms")
    told = "; ".join(f"{name} {times[0]:.2g} ms to {times[-1]:.2g} ms" for name, times in ways.items())
    return c.done(f"Time of one product for {rows[0]:.0f} to {rows[-1]:.0f} rows: {told}.")
