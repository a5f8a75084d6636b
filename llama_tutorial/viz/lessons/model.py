"""Where the parameters are: a whole model as areas, one layer opened, and the shares at several sizes."""

import re

import numpy as np

from ..kit.canvas import BLUE, GREY, INK, MAUVE, ORANGE, PURPLE, WHITE, canvas, dark, tint

PARTS = {"embedding": MAUVE, "attention": BLUE, "MLP": ORANGE, "head": PURPLE}


def model_area(models, opened=12):
    """The first model as areas, its layer `opened` enlarged, and the shares of all models as bars.

    `models`: 1 to 4 names, each with the model's named parameters ({name: tensor or shape}, Hugging Face's
    names); only shapes are read, so tensors may be on the meta device.
    """
    counts = {name: _count(parameters) for name, parameters in models.items()}
    first, names = next(iter(counts)), list(counts)
    count, matrices = counts[first], _matrices(models[first], opened)
    if not 1 <= len(names) <= 4 or not 2 <= count["layers"] <= 48 or len(matrices) < 7:
        raise ValueError("model_area draws 1 to 4 models, each as its named parameters, the first with 2 to 48 layers "
                         f"of which number {opened} is opened, got {names}, {count['layers']} layers, its matrices "
                         f"{sorted(matrices)}: pass {{'135M': dict(model.named_parameters())}}")
    tables = "two tables" if count["head"] else "one table"
    c = canvas(808 + 42 * len(names), f"{count['total']:,} parameters: {tables} of words, "
               f"{count['layers']} equal layers and a dot of norms")
    per = _overview(c, count, opened)
    zoom = _layer(c, matrices, per)
    c.subtitle.set_text(f"Area = parameters (a pixel above = {per:,.{int(per < 10)}f}). Layer {opened} opened below, "
                        f"{zoom:.0f} × larger; each matrix: in high, out wide.")
    _shares(c, counts)
    shares = "; ".join(f"{name}: {each['total']:,} parameters, " + ", ".join(
        f"{part} {each[part] / each['total']:.0%}" for part in PARTS if each[part]) for name, each in counts.items())
    return c.done(f"The parameters of a Llama as areas. {shares}; all norms at most "
                  f"{max(each['norms'] / each['total'] for each in counts.values()):.2%}.")


def staircase(names, means, changes, spreads):
    """How a number falls or rises, one swap at a time: a tread for each state, a whisker at each paired change.

    `names`: the first state, then the swaps; `means`: the number after each; `changes` and `spreads`: of each swap.
    """
    if not 2 <= len(names) == len(means) == len(changes) + 1 == len(spreads) + 1 <= 8:
        raise ValueError("staircase draws 2 to 8 states, a mean for each, and for each but the first a change and its "
                         f"spread, got {len(names)}, {len(means)}, {len(changes)} and {len(spreads)}")
    clear = [abs(change) > spread for change, spread in zip(changes, spreads)]
    c = canvas(490, f"{names[0]} {means[0]:.2f}, in the end {means[-1]:.2f}: no two swaps are worth the same",
               "Bits per byte of unseen text; floor not 0. Whisker = spread of the paired change. Grey: within it.")
    low, high, wide = min(means), max(means), 948 / len(names)
    heights = [390 - 230 * (mean - low) / max(high - low, 1e-6) for mean in means]
    for i, (name, mean, y) in enumerate(zip(names, means, heights)):
        x, known = 26 + wide * i, i == 0 or clear[i - 1]
        hue = MAUVE if i == 0 else (BLUE if changes[i - 1] < 0 else ORANGE) if known else GREY
        c.bar(x, y, wide - 2, 440 - y, tint(hue, 0.72))
        c.bar(x, y - 2, wide - 2, 4, hue)
        c.say(x + wide / 2, 430, f"{mean:.3f}", 12, INK, "center", weight="bold")
        c.say(x + wide / 2, 464, name, 11.5, dark(hue) if known else GREY, "center", weight="bold")
        if i:
            reach = 230 * spreads[i - 1] / max(high - low, 1e-6)
            c.line(x + wide / 2, y - reach, x + wide / 2, y + reach, INK, 1.8)
            for end in (y - reach, y + reach):
                c.line(x + wide / 2 - 7, end, x + wide / 2 + 7, end, INK, 1.8)
            c.say(x + wide / 2, y - reach - 12, f"{changes[i - 1]:+.3f} ± {spreads[i - 1]:.3f}".replace("-", "−"), 11,
                  dark(hue) if known else GREY, "center")
    said = "; ".join(f"{name} {mean:.3f} ({change:+.3f} ± {spread:.3f})"
                     for name, mean, change, spread in zip(names[1:], means[1:], changes, spreads))
    return c.done(f"A staircase of bits per byte, one swap at a time. {names[0]} {means[0]:.3f}; {said}.")


def _count(parameters):
    """How many numbers each part holds, by the names of the parameters; `layers` says how many there are."""
    count = dict.fromkeys((*PARTS, "norms", "total"), 0)
    keys = {"embed_tokens": "embedding", "self_attn": "attention", "mlp": "MLP", "lm_head": "head", "norm": "norms"}
    for name, each in parameters.items():
        part = next((part for key, part in keys.items() if key in name and "norm." not in name), "norms")
        count[part] += int(np.prod(_shape(each)))
        count["total"] += int(np.prod(_shape(each)))
    count["layers"] = len({found[1] for found in map(re.compile(r"layers\.(\d+)\.").search, parameters) if found})
    count["shape"] = next((" × ".join(f"{n:,}" for n in _shape(each)) for name, each in parameters.items()
                           if "embed_tokens" in name), "")
    count["norm count"] = sum("norm." in name for name in parameters)
    return count


def _matrices(parameters, layer):
    """The weights of one layer by their short names, as (in, out)."""
    found = {name: re.search(rf"layers\.{layer}\.\w+\.(\w+)_proj\.weight", name) for name in parameters}
    return {match[1]: _shape(parameters[name])[::-1] for name, match in found.items() if match}


def _shape(each):
    return tuple(getattr(each, "shape", each))


def _short(count):
    for unit, digits, name in ((1e9, 2, "B"), (1e6, 1, "M"), (1e3, 1, "k")):
        if count >= unit:
            return f"{count / unit:.{digits}f} {name}"
    return f"{count}"


def _overview(c, count, opened, top=112, high=178):
    """The whole model on one scale; returns how many parameters a pixel stands for."""
    layers, gaps = count["layers"], 2.4 * (count["layers"] + bool(count["head"]))
    per = (count["total"] - count["norms"]) / ((948 - gaps) * high)
    wide, slab = count["embedding"] / per / high, (count["attention"] + count["MLP"]) / per / high / layers
    _table(c, 26, top, wide, high, MAUVE, "embedding", count,
           "" if count["head"] else "used twice: on the\nway in and on the\nway out")
    left, split = 26 + wide + 2.4, high * count["attention"] / (count["attention"] + count["MLP"])
    end = c.run(left, top - 12, [("attention ", dark(BLUE), "bold"), (_short(count["attention"]), dark(BLUE)),
                                 ("   MLP ", dark(ORANGE), "bold"), (_short(count["MLP"]), dark(ORANGE)),
                                 (f"   in {layers} equal layers", GREY)], 11)
    for i in range(layers):
        x, pale = left + i * (slab + 2.4), 0 if i == opened else 0.38
        c.bar(x, top, slab, split - 1, tint(BLUE, pale))
        c.bar(x, top + split + 1, slab, high - split - 1, tint(ORANGE, pale))
        if slab > 15 or i % 4 == 0:
            c.say(x + slab / 2, top + high + 15, f"{i}", 9, INK if i == opened else GREY, "center",
                  weight="bold" if i == opened else "normal")
    if count["head"]:
        _table(c, left + layers * (slab + 2.4), top, count["head"] / per / high, high, PURPLE, "head", count)
    dot = max(np.sqrt(count["norms"] / per), 1)
    if end < 974 - 190:
        c.bar(974 - dot, top - 12 - dot, dot, dot, INK)
        c.say(974 - dot - 8, top - 12, f"all {count['norm count']} norms: {count['norms']:,}", color=GREY, ha="right")
    if not count["head"]:
        _tied(c, 26 + wide / 2, top + high)
    x = left + opened * (slab + 2.4)
    c.band([26, x, x + slab, 974], top + high + np.array([92, 46, 46, 92]), [top + high + 92] * 4, tint(MAUVE, 0.86))
    return per


def _table(c, x, y, wide, high, hue, name, count, said=""):
    """The embedding or the head: its name, shape and count, or its name alone, upright, where it is narrow."""
    c.bar(x, y, wide, high, hue)
    if wide < 120:
        if wide > 18:
            c.say(x + wide / 2, y + high / 2, name, 12, WHITE, "center", "center", "bold", rotation=90)
        return
    lines = [(name, 14, "bold"), (count["shape"], 11, "normal"), (_short(count[name]), 11, "normal")]
    for (line, size, weight), down in zip(lines, (44, 68, 88)):
        c.say(x + wide / 2, y + down, line, size, WHITE, "center", weight=weight)
    for i, line in enumerate(said.split("\n")):
        c.say(x + wide / 2, y + 116 + 16 * i, line, 10, WHITE, "center")


def _tied(c, x, y):
    """The way back from the last layer to the embedding: the tied head."""
    color, foot = dark(MAUVE), y + 34
    c.curve([966, 966, 40 + x, 40 + x], [y + 20, foot, foot, foot], color, 1.6)
    c.arrow(x, foot, x, y + 5, color, 1.6)
    c.line(x - 0.8, foot, 40 + x, foot, color, 1.6)
    for left, text, mono in ((x + 14, " tied head: the same table scores the next word ", False),
                             (808, " batch seq vocab ", True)):
        c.bar(left, foot - 9, c.measure(text, 10.5, mono=mono), 18, WHITE)
        c.say(left, foot, text, 10.5, color, va="center_baseline", mono=mono)


def _layer(c, matrices, per, middle=526, road=688):
    """One layer at true shapes above the stream; returns how much larger than above it is drawn."""
    q, k, v, o = (matrices[name] for name in "qkvo")
    gate, up, down = (matrices[name] for name in ("gate", "up", "down"))
    across = sum(matrix[1] for matrix in (q, k, v, o, gate, down))
    unit = min(684 / across, 268 / max(down[0], 2 * gate[0]))
    space = (935 - unit * across) / 264                     # the gaps share what the matrices leave
    c.bar(26, road - 6, 948, 12, tint(MAUVE, 0.66))
    x, stops = 26 + 30 * space, [(26 + 14 * space, road)]
    first = _read(c, x, x + 28 * space, middle, road, BLUE)
    x = first
    for name, matrix in zip("qkv", (q, k, v)):
        x = _matrix(c, x, middle, matrix, unit, BLUE, name) + 3
    c.say(26 + 30 * space + 10, middle + q[0] * unit / 2 + 17, f"k, v: {k[0]} × {k[1]} each", 10, GREY)
    stops.append((x - 3 + 19 * space, middle))
    c.line(x - 3, middle, x - 3 + 38 * space, middle, tint(BLUE, 0.35), 2.5)
    x = _matrix(c, x - 3 + 38 * space, middle, o, unit, BLUE, "o")
    c.say((first + x) / 2, middle - q[0] * unit / 2 - 11, "mixing: no parameters", 10, GREY, "center")
    stops.append((_write(c, x, x + 28 * space, middle, road, BLUE), road))
    x = stops[-1][0] + 34 * space
    x = _read(c, x, x + 28 * space, middle, road, ORANGE)
    _matrix(c, x, middle - gate[0] * unit / 2 - 1, gate, unit, ORANGE, "gate")
    x = _matrix(c, x, middle + up[0] * unit / 2 + 1, up, unit, ORANGE, "up")
    c.say(x, middle + up[0] * unit + 18, "silu(gate) × up: no parameters", 10, GREY, "right")
    stops.append((x + 15 * space, middle))
    c.line(x, middle, x + 32 * space, middle, tint(ORANGE, 0.35), 2.5)
    x = _matrix(c, x + 32 * space, middle, down, unit, ORANGE, "down")
    stops.append((_write(c, x, x + 18 * space, middle, road, ORANGE), road))
    words = ("batch seq hidden", "batch head seq dim", "batch seq hidden", "batch seq inner", "batch seq hidden")
    for (x, y), axes in zip(stops, words):
        c.line(x, y + 14, x, road + 20, tint(GREY, 0.5), 1, (2, 2.4))
        for i, axis in enumerate(axes.split()):
            c.say(min(x, 968), road + 31 + 13 * i, axis, 10, dark(MAUVE), "center", mono=True)
    return unit**2 * per


def _read(c, x, into, middle, road, hue):
    """The thread by which a part reads the road, through a norm; returns where it arrives."""
    c.curve([x, x, into], [road, middle, middle], tint(hue, 0.35), 2.5)
    c.bar(x - 3, road - 35, 6, 6, INK)
    c.say(x + 9, road - 28, "norm", 10, GREY)
    return into


def _write(c, out, x, middle, road, hue):
    """The rope by which a part adds to the road; returns its place."""
    c.curve([out, x, x], [middle, middle, road], tint(hue, 0.35), 6)
    c.ring(x, road, 10, INK, 1.8)
    c.line(x - 6, road, x + 6, road, INK, 1.8)
    c.line(x, road - 6, x, road + 6, INK, 1.8)
    return x


def _matrix(c, left, middle, shape, unit, hue, name):
    """A weight, `in` high and `out` wide, centred on the stream; returns its right edge."""
    high, wide = shape[0] * unit, shape[1] * unit
    said = f"{shape[0]} × {shape[1]}"
    c.bar(left, middle - high / 2, wide, high, hue)
    fits = wide > c.measure(said, 10) + 4
    c.say(left + wide / 2, middle - (8 if fits else 0), name, 13, WHITE, "center", "center_baseline", "bold")
    if fits:
        c.say(left + wide / 2, middle + 11, said, 10, WHITE, "center", "center_baseline")
    return left + wide


def _shares(c, counts, top=802):
    """One bar per model: what share of the parameters each part holds."""
    c.run(152, top - 14, [*((f"{part}   ", dark(hue), "bold") for part, hue in PARTS.items()),
                          ("share of all parameters (norms: too thin to draw)", GREY)])
    for row, (name, count) in enumerate(counts.items()):
        y, x = top + 42 * row, 152
        c.say(26, y + 13, name, 15, va="center_baseline", weight="bold")
        c.say(140, y + 13, "untied" if count["head"] else "tied", color=GREY, ha="right", va="center_baseline")
        for part, hue in PARTS.items():
            wide = 658 * count[part] / count["total"]
            c.bar(x, y, max(wide - 1.5, 0), 26, hue)
            if wide > 38:
                share = f"{100 * count[part] / count['total']:.0f} %"
                c.say(x + wide / 2, y + 13, share, 11, WHITE, "center", "center_baseline", "bold")
            x += wide
        c.say(822, y + 13, f"{count['total']:,}", 13, va="center_baseline", weight="bold")
