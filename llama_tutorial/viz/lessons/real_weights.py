"""A file of weights as it lies on the disk, and what betrays that it was read wrongly."""

import re

from ..kit.canvas import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    HUES,
    INK,
    MAUVE,
    ORANGE,
    PURPLE,
    RED,
    WHITE,
    Scale,
    canvas,
    dark,
    numbers,
    printable,
    tint,
)

LEFT, RIGHT, HIGH = 26, 974, 64
KINDS = {"embed_tokens": (MAUVE, "embedding", "02"), "self_attn": (BLUE, "attention", "05"),
         "mlp": (ORANGE, "MLP", "06"), "norm": (INK, "norms", "03"), "lm_head": (PURPLE, "head", "09")}  # fmt: skip


def checkpoint_file(header, header_bytes, opened=None):
    """A safetensors file as a strip of bytes, one of its layers opened beneath, and one line of its header read.

    `header` maps a tensor's name to its "shape", "dtype" and "data_offsets", as the file says; `header_bytes` is the
    header's own length with the eight bytes that tell it; `opened` the layer to open, by default one in the middle.
    """
    told = {name: entry for name, entry in header.items() if name != "__metadata__"}
    if not told or not all("data_offsets" in entry for entry in told.values()):
        raise ValueError(f"checkpoint_file takes the header of a safetensors file, got the keys {list(header)[:5]}")
    numbers = max(entry["data_offsets"][1] for entry in told.values())
    layers = {int(found[1]) for name in told if (found := re.search(r"layers\.(\d+)\.", name))}
    opened = sorted(layers)[len(layers) // 2] if opened is None and layers else opened
    inside = {name: entry for name, entry in told.items() if f"layers.{opened}." in name}
    c = canvas(470, f"A checkpoint is {header_bytes:,} bytes that name and {numbers:,} bytes of numbers",
               f"{len(told)} tensors in the order of the file; width = bytes, a ring = the lesson that builds it.")
    _strip(c, 122, told, numbers, header_bytes)
    if inside:
        _opened(c, 250, inside, opened, numbers, header_bytes)
        _entry(c, 408, max(inside.items(), key=lambda item: _length(item[1])))
    shares = ", ".join(f"{label} {share:.0%}" for label, share in _shares(told, numbers).items())
    return c.done(f"A file of {header_bytes + numbers:,} bytes as a strip: a header, then {len(told)} tensors "
                  f"({shares}); layer {opened} is opened beneath, and the header's line of one tensor is read.")


def _length(entry):
    return entry["data_offsets"][1] - entry["data_offsets"][0]


def _kind(name):
    """Colour, label and lesson of a tensor."""
    return next((told for part, told in KINDS.items() if part in name), (INK, "other", ""))


def _shares(told, numbers):
    shares = {}
    for name, entry in told.items():
        label = _kind(name)[1]
        shares[label] = shares.get(label, 0) + _length(entry) / numbers
    return shares


def _strip(c, y, told, numbers, header_bytes):
    """The whole file to scale, and above it what each colour is."""
    scale = (RIGHT - LEFT) / (header_bytes + numbers)
    c.bar(LEFT, y, max(header_bytes * scale, 1.5), HIGH, GREY)
    start = LEFT + header_bytes * scale
    for name, entry in told.items():
        wide = _length(entry) * scale
        c.bar(start + entry["data_offsets"][0] * scale, y, wide - min(0.8, wide / 4), HIGH, _kind(name)[0])
    x, y = LEFT, y - 16
    c.bar(x, y - 11, 12, 12, GREY)
    x = c.run(x + 20, y, [("header ", GREY, "bold"), ("names", GREY)]) + 24
    shares = _shares(told, numbers)
    for color, label, lesson in KINDS.values():
        if label not in shares:
            continue
        c.ring(x + 12, y - 4, 12, color, 1.8, WHITE)
        c.say(x + 12, y - 4, lesson, 9.5, dark(color), "center", "center_baseline", "bold")
        x = c.run(x + 32, y, [(f"{label} ", dark(color), "bold"), (f"{shares[label]:.1%}", GREY)]) + 18


def _opened(c, y, inside, opened, numbers, header_bytes):
    """One layer, magnified: a row of its matrices, with their names and shapes."""
    first = min(entry["data_offsets"][0] for entry in inside.values())
    last = max(entry["data_offsets"][1] for entry in inside.values())
    scale = (RIGHT - LEFT) / (header_bytes + numbers)
    from_x, to_x = (LEFT + (header_bytes + byte) * scale for byte in (first, last))
    c.ribbon((from_x, to_x), y - 62, (LEFT, RIGHT), y - 2, tint(FAINT, 0.4))
    magnified = (RIGHT - LEFT) / (last - first)
    for name, entry in inside.items():
        color, (rows, *columns) = _kind(name)[0], entry["shape"]
        x, wide = LEFT + (entry["data_offsets"][0] - first) * magnified, _length(entry) * magnified
        c.bar(x, y, max(wide - 2, 1), HIGH, color)
        label = name.split(".")[-2].replace("_proj", "")
        if columns and wide > 50:
            c.say(x + wide / 2, y + 28, label, 11.5, WHITE, "center", weight="bold")
            c.say(x + wide / 2, y + 46, f"{rows} × {columns[0]}", 9.5, WHITE, "center")
        elif columns:
            c.say(x + wide / 2, y + 36, label, 10, WHITE, "center", weight="bold")
    told = f"layer {opened}, magnified {magnified / scale:.0f} times; its two norms are too thin to see"
    c.say(LEFT, y + HIGH + 24, told, 10.5, GREY)


def _entry(c, y, item):
    """The header's line of one tensor, read aloud."""
    name, entry = item
    first, last = entry["data_offsets"]
    color = dark(_kind(name)[0])
    c.line(LEFT, y - 34, RIGHT, y - 34, FAINT)
    c.say(LEFT, y - 8, "The header says of one of them:", 10.5, GREY)
    rest = f'{{"dtype": "{entry["dtype"]}", "shape": {entry["shape"]}, "data_offsets": [{first}, {last}]}}'
    line = [(f'"{name}": ', color, "bold"), (rest, INK)]
    size = min(10, 10 * (RIGHT - LEFT) / sum(c.measure(text, 10, *weight, mono=True) for text, _, *weight in line))
    c.run(LEFT, y + 20, line, size, mono=True)
    rows, *columns = entry["shape"]
    size = (last - first) // (rows * (columns[0] if columns else 1))
    c.say(LEFT, y + 44, f"{last - first:,} bytes = {' × '.join(map(str, entry['shape']))} numbers of {size} bytes, "
          f"from byte {first:,} after the header", 10.5, GREY)


def gaps_by_token(tokens, gaps, rounding):
    """How far the scores of wrongly read models are off at each token, on a scale of powers of ten.

    `gaps` maps the name of a mistake to one gap a token, as a share of the size of the right scores; `rounding` are
    those of a model that was read rightly and reckons in another dtype. A gap of 0 stands on a shelf of its own.
    """
    lines = {name: numbers(line) for name, line in gaps.items()}
    wanted = (len(tokens),)
    if not lines or any(line.shape != wanted for line in (*lines.values(), numbers(rounding))):
        raise ValueError(f"gaps_by_token takes one gap for each of the {len(tokens)} tokens and at least one mistake")
    exact = [name for name, line in lines.items() if line[0] == 0]
    c = canvas(484, f"{len(exact)} of {len(lines)} mistakes leave the first token exact: those only turn",
               "Height = how far the scores are off, as a share of their size; each step up is ten times more.")
    xs, high = Scale((0, max(len(tokens) - 1, 1)), (126, 712)), Scale((1e-7, 1), (356, 104), log=True)
    shelf = 396
    for power in range(-7, 1):
        c.line(96, high(10.0**power), 736, high(10.0**power), tint(FAINT, 0.3))
        if power % 2 == 0:
            told = f"{10.0 ** (power + 2):.4f}".rstrip("0").rstrip(".") + "%"
            c.say(86, high(10.0**power), told, 9.5, GREY, "right", "center_baseline")
    c.bar(96, shelf - 13, 640, 26, tint(FAINT, 0.5))
    c.say(86, shelf, "exactly 0", 10, INK, "right", "center_baseline", "bold")
    places = [float(xs(i)) for i in range(len(tokens))]
    for x, token in zip(places, tokens):
        c.say(x, 428, printable(token), 10, INK, "center", mono=True)
    c.say(26, 460, "What only turns q and k cannot be seen where nothing is turned: at position 0.", 10.5, GREY)
    ends = {"rounding": (numbers(rounding)[-1], GREY, False)}
    _line(c, places, numbers(rounding), high, shelf, GREY, dash=(3, 2))
    for hue, (name, line) in zip((RED, ORANGE, PURPLE, GREEN, BLUE, *HUES), lines.items()):
        nudge = 11 * (exact.index(name) - (len(exact) - 1) / 2) if name in exact else 0
        _line(c, [places[0] + nudge, *places[1:]], line, high, shelf, hue, exact=name in exact)
        ends[name] = (line[-1], hue, name in exact)
    _names(c, 752, {name: (float(high(max(end, 1e-7))), *more) for name, (end, *more) in ends.items()})
    firsts = ", ".join(f"{name} {line[0]:.2g} then {max(line[1:], default=0):.2g}" for name, line in lines.items())
    return c.done(f"Gaps of the scores at {len(tokens)} tokens, the first and the largest later one: {firsts}.")


def _line(c, xs, line, high, shelf, hue, exact=False, dash=None):
    """One mistake's gaps; a first gap of 0 is a ring on the shelf, with a thin line up to the second."""
    ys = [float(high(max(gap, 1e-7))) if gap else shelf for gap in line]
    start = 1 if exact else 0
    if exact and len(ys) > 1:
        c.line(xs[0], ys[0], xs[1], ys[1], hue, 1.4, (2, 2))
    c.curve(xs[start:], ys[start:], hue, 1.5 if dash else 2.6, dash)
    for x, y in zip(xs, ys):
        c.ring(x, y, 2.2 if dash else 4, hue, 1.8, WHITE if y == shelf else hue)


def _names(c, x, ends, apart=21):
    """Names beside the ends of their lines, pushed down where they would touch."""
    y = -apart
    for name, (at, hue, exact) in sorted(ends.items(), key=lambda item: item[1][0]):
        y = max(at, y + apart)
        c.line(x - 32, at, x - 5, y, tint(hue, 0.4))
        c.run(x, y, [(name, dark(hue), "bold"), ("  ○ first exact" if exact else "", GREY)], va="center_baseline")


def sorted_values(theirs, ours, name="q"):
    """One token's numbers as two readers give them, in their places and sorted: a permutation is crossing threads.

    `theirs` and `ours` are as many numbers each; a thread joins a number with the nearest of the other reader's, in
    order of size.
    """
    rows = [numbers(row) for row in (theirs, ours)]
    if rows[0].ndim != 1 or rows[0].shape != rows[1].shape:
        raise ValueError(f"sorted_values takes two rows of as many numbers, got {[row.shape for row in rows]}")
    order = [row.argsort(kind="stable") for row in rows]
    moved, same = (rows[0] != rows[1]).mean(), (rows[0][order[0]] == rows[1][order[1]]).mean()
    c = canvas(470, f"{moved:.0%} of the numbers differ; sorted, {same:.0%} are equal",
               f"Bars = {name} of one token, as each reader gives it; threads join numbers of the same rank.")
    reach = max(abs(row).max() for row in rows) or 1
    _readers(c, 96, rows, [list(each) for each in order], reach, "in their places")
    _readers(c, 290, [row[each] for row, each in zip(rows, order)], [range(len(rows[0]))] * 2, reach, "sorted")
    return c.done(f"{len(rows[0])} numbers of {name} from two readers: {moved:.0%} differ in their places, and once "
                  f"sorted {same:.0%} are equal.")


def _readers(c, top, rows, order, reach, told):
    """Two rows of bars, the right reader's above, and threads between numbers of the same rank."""
    pitch, middles = (LAST - FIRST) / len(rows[0]), (top + 36, top + 134)
    c.say(LEFT, top - 2, told, 11, INK, weight="bold")
    for above, below in zip(*order):
        hue = tint(BLUE if rows[0][above] >= 0 else ORANGE, 0.25)
        c.line(FIRST + (above + 0.5) * pitch, middles[0] + 30, FIRST + (below + 0.5) * pitch, middles[1] - 30, hue, 1.3)
    for name, middle, row in zip(("theirs", "ours"), middles, rows):
        c.say(FIRST - 14, middle, name, 10.5, GREY, "right", "center_baseline")
        c.line(FIRST, middle, LAST, middle, FAINT)
        for i, value in enumerate(row):
            high = 28 * value / reach
            c.bar(FIRST + i * pitch + 2, middle - max(high, 0), pitch - 4, abs(high), BLUE if value >= 0 else ORANGE)


FIRST, LAST = 110, 974
