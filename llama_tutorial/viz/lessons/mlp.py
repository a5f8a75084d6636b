"""The figures of the gated MLP: a unit as a shutter before an offer, all units together, what they say of a plane."""

import numpy as np

from ..kit.canvas import (
    BLUE,
    CYAN,
    GREEN,
    GREY,
    INK,
    MAUVE,
    RED,
    SIGNED,
    WHITE,
    Scale,
    canvas,
    dark,
    numbers,
    on,
    printable,
    signed,
    tint,
)

WORDS = (MAUVE, BLUE, RED, GREEN, CYAN)                  # the hues of the words, first to fifth
SHUTTER = np.array([0.74, 0.73, 0.79])                   # the grey of a shut gate


def gate_doors(words, x, gate, up):
    """One hidden unit of a gated MLP, silu(gate · x) times up · x, as a door per word.

    `words`: 2 to 5; `x` (word, 2): their vectors; `gate` and `up` (2): the unit's rows of the two weights.
    """
    words, x, gate, up = _one_unit("gate_doors", words, x, gate, up)
    lift, offer = _silu(x @ gate), x @ up
    passed = lift * offer
    most, wall = np.abs(passed).argmax(), np.where(lift < 0, np.abs(passed), -1).argmax()
    leaks = lift[wall] < 0
    c = canvas(396 if leaks else 360, "A gate multiplies what each word offers, and may amplify it: "
               f"{_count(passed[most])} at “{words[most]}”" +
               (f", {_count(passed[wall])} at “{words[wall]}”" if leaks else ""),
               "A door per word. Width: what up offers. The gate lifts the grey shutter; the coloured opening is what "
               "passes.")
    apart = 948 / len(words)
    high, wide = 136 / max(1, 1.12 * lift.max()), min(0.75 * apart, 140) / np.abs(offer).max()
    for place, (word, hue) in enumerate(zip(words, WORDS)):
        _door(c, 26 + apart * (place + 0.5), word, hue, lift[place], offer[place], high, wide)
    if leaks:
        c.run(26, 376, [("Below the floor:", INK, "bold"), (f" a gate shut on “{words[wall]}” stands at "
                        f"{_count(lift[wall], 2)}, not at 0, so a little leaks with its sign turned.", GREY)])
    told = "; ".join(f"{word} {_count(g, 2)} × {_count(u)} = {_count(g * u)}"
                     for word, g, u in zip(words, lift, offer))
    return c.done(f"One gated hidden unit as one door per word, gate × up = what passes: {told}.")


def gate_planes(words, x, gate, up):
    """The same unit over all inputs of two numbers: gate × up = product as maps of a plane, and the gate's curve.

    `words`: 2 to 5; `x` (word, 2): their vectors; `gate` and `up` (2): the unit's rows of the two weights.
    """
    words, x, gate, up = _one_unit("gate_planes", words, x, gate, up)
    passed = _silu(x @ gate) * (x @ up)
    c = canvas(366, "Two straight lines cut the plane in four: what goes on is large where gate and offer both are",
               "One hidden unit over a plane of inputs. White: gate open, grey: shut. Blue: plus, orange: minus, "
               "black line: zero.")
    _maps(c, words, x, gate, up)
    _curve(c, words, x @ gate)
    return c.done("One gated hidden unit over a plane of inputs, gate times up is the product, with words as dots: "
                  f"{', '.join(f'{word} {_count(value)}' for word, value in zip(words, passed))}.")


def whole_mlp(words, x, gate, up, down, word):
    """One word's way through a gated MLP: a door per unit, and a rope that carries the unit's column of down.

    `words`: 2 to 5; `x` (word, hidden): 2 to 8 numbers each; `gate`, `up` (unit, hidden): 2 to 12 units; `down`
    (hidden, unit); `word`: which of the words is drawn.
    """
    words, (x, gate, up, down) = [printable(each) for each in words], map(numbers, (x, gate, up, down))
    inner, hidden = gate.shape if gate.ndim == 2 else (0, 0)
    fits = x.shape == (len(words), hidden) and up.shape == gate.shape and down.shape == (hidden, inner)
    if not (fits and 2 <= len(words) <= 5 and 2 <= hidden <= 8 and 2 <= inner <= 12 and 0 <= word < len(words)):
        raise ValueError("whole_mlp draws one of 2 to 5 words with x (word, hidden), 2 to 8 wide, through 2 to 12 "
                         f"units, gate and up (unit, hidden), down (hidden, unit); got {len(words)} words, "
                         f"x {x.shape}, gate {gate.shape}, up {up.shape}, down {down.shape}, word {word}: pass "
                         "a smaller MLP")
    lifts, offers = _silu(x @ gate.T), x @ up.T
    lift, offer, answers = lifts[word], offers[word], (lifts * offers) @ down.T
    passed = lift * offer
    if not passed.any():
        raise ValueError(f"whole_mlp needs a unit that passes something, got 0 from all {inner} at {words[word]!r}")
    thick, hue = np.abs(passed), WORDS[word]
    tall = 13 * max(hidden, 6)
    c = canvas(394 + tall + 20 * hidden,
               f"“{words[word]}” stands before {inner} doors, {(lift > 0).sum()} of them open: the thickest "
               f"rope is {100 * thick.max() / thick.sum():.0f} % of what passes",
               "Door: as wide as up offers, lifted by the gate. Rope: as thick as what passes. Blue: plus, orange: "
               "minus.")
    _strips(c, 26, 112, 13, words, x, word)
    for line, pieces in enumerate((
            ((f"Every unit reads all of “{words[word]}”, for its gate and for up.", GREY),),
            (("A rope carries the unit's column of ", GREY), ("down", INK, "bold"), (".", GREY)),
            (("Each row of the block, colour × width, adds up to one number.", GREY),),
            (("The other words go through the same doors, each alone.", GREY),))):
        c.run(440, 112 + 23 * line, [(f"{line + 1}  ", INK, "bold"), *pieces])
    # the doors, under one road from which all of them read
    apart, floor, base = 948 / inner, 272 + tall, 362 + tall
    middles = 26 + apart * (np.arange(inner) + 0.5)
    left, road = 26 + 58 * word + 17, 128 + tall
    c.line(left, 110 + 13 * hidden, left, road, tint(hue, 0.35), 5)
    c.curve([min(left, middles[0]), middles[-1]], [road, road], tint(hue, 0.35), 5, cap="round")
    high, wide = 84 / max(1, 1.1 * lift.max()), min(0.74 * apart, 80) / np.abs(offer).max()
    for x0 in middles:
        c.arrow(x0, road, x0, road + 17, tint(hue, 0.35), 2, 8)
    # ropes, side by side above the columns that they carry
    widest = max(thick.max(), (thick[1:] + thick[:-1]).max() / 2)   # no two ropes overlap where they leave their doors
    block = min(600, min(apart - 2, 110) * thick.sum() / widest)
    edges = 638 - block + block * np.concatenate([[0], np.cumsum(thick)]) / thick.sum()
    shades = signed(down * np.sign(passed) / np.abs(down).max())
    for unit, x0 in enumerate(middles):
        half = (edges[unit + 1] - edges[unit]) / 2
        start = floor + max(0, -lift[unit]) * high
        c.ribbon((x0 - half, x0 + half), start, edges[unit : unit + 2], base, _passes(passed[unit]), alpha=0.5)
        _leaf(c, x0, floor, 92, lift[unit], offer[unit], high, wide)
        c.say(x0, floor - 110, _count(passed[unit]), 10.5, dark(_passes(passed[unit])), "center", weight="bold")
        for row in range(hidden):
            c.bar(edges[unit], base + 20 * row, 2 * half, 20, tuple(shades[row, unit]))
        if unit:
            c.line(edges[unit], base, edges[unit], base + 20 * hidden, WHITE, 1)
    c.line(26, floor, 974, floor, INK, 1.6)
    for row in range(1, hidden):
        c.line(edges[0], base + 20 * row, edges[-1], base + 20 * row, WHITE, 2)
    c.say(668, base + 10 * hidden, "=", 19, ha="center", va="center_baseline", weight="bold")
    _strips(c, 694, base, 20, words, answers, word, wide=46)
    told = ", ".join(_count(value) for value in answers[word])
    return c.done(f"The vector of {words[word]} through a gated MLP of {inner} units; what passes their doors is "
                  f"{', '.join(map(_count, passed))}, each times its column of down, and the sum is {told}. The other "
                  "words go their own way.")


def landscapes(planes, reach):
    """Functions of two numbers as relief, from the farthest row to the nearest: what bends, and what stays flat.

    `planes`: two or three names, each with its plane (a, b), both axes evenly from −reach to reach.
    """
    planes = {printable(name): numbers(plane) for name, plane in planes.items()}
    shapes = {plane.shape for plane in planes.values()}
    if not 2 <= len(planes) <= 3 or len(shapes) > 1 or any(len(set(shape)) != 1 or len(shape) != 2 for shape in shapes):
        raise ValueError("landscapes draws two or three square planes (a, b) of one size, got "
                         f"{({name: plane.shape for name, plane in planes.items()})}: ask each at one grid")
    flat = [name for name, plane in planes.items() if _is_flat(plane)]
    bent = [name for name in planes if name not in flat]
    title = [f"{said}: {', '.join(names)}" for said, names in (("Flat", flat), ("Bent", bent)) if names]
    c = canvas(400, ". ".join(title), "Height: one number of the answer, for a across and b into the depth, both "
               f"up to ±{reach:g}. Blue: plus, orange: minus.")
    apart = 948 / len(planes)
    for column, (name, plane) in enumerate(planes.items()):
        _relief(c, 26 + column * apart, apart - 40, name, plane, reach)
    return c.done(f"Reliefs over a plane of two inputs. {'. '.join(title)}.")


def product_planes(answers, reach, trained):
    """What models that learned a · b on the square up to ±trained answer on the square up to ±reach, after the truth.

    `answers`: one to three models' names, each with its plane (a, b), both axes evenly from −reach to reach.
    """
    answers = {printable(name): numbers(plane) for name, plane in answers.items()}
    sizes = {plane.shape for plane in answers.values()}
    if not 1 <= len(answers) <= 3 or len(sizes) > 1 or any(len(set(size)) != 1 or len(size) != 2 for size in sizes):
        raise ValueError("product_planes draws one to three square planes (a, b) of one size, got "
                         f"{({name: plane.shape for name, plane in answers.items()})}: ask each model at one grid")
    if not 0 < trained < reach:
        raise ValueError(f"product_planes asks further out than was trained, got reach {reach}, trained {trained}")
    along = np.linspace(-reach, reach, len(next(iter(answers.values()))))
    planes = {"a · b": np.outer(along, along), **answers}
    corner = [f"{_count(plane[-1, -1])} by {name}" for name, plane in answers.items()]
    gap = 26
    side = min(300, (948 - gap * (len(planes) - 1)) / len(planes))
    c = canvas(side + 172, f"Learned inside the dashed square, asked outside it: what is {reach:g} · {reach:g}?",
               f"Blue: plus, orange: minus, up to ±{reach * reach:g}. Dashed: the training square, "
               f"up to ±{trained:g}. Number: the answer at ({reach:g}, {reach:g}), the corner.")
    for column, (name, plane) in enumerate(planes.items()):
        left, top = 26 + column * (side + gap), 112
        right, down = Scale((-reach, reach), (left, left + side)), Scale((reach, -reach), (top, top + side))
        c.run(left, 100, [(name, INK, "bold"), ("   the truth" if not column else "", GREY)], 12)
        steps = np.sign(plane) * np.ceil(np.abs(plane) / reach ** 2 * 9 - 1e-9) / 9
        c.image(left, top, side, side, signed(steps.T[::-1]))
        c.bar(left, top, side, side, None, edge=tint(GREY, 0.4))
        c.bar(right(-trained), down(trained), right(trained) - right(-trained), down(-trained) - down(trained), None,
              edge=INK, px=2, dash=(4, 2))
        c.say(left + side - 8, top + 14, _count(plane[-1, -1]), 13, INK, "right", "center_baseline", "bold",
              halo=WHITE)
        for tick in (-reach, -trained, trained, reach):
            c.say(right(tick), top + side + 10, _count(tick, 0), 9.5, GREY, "center", "top")
        c.say(left + side / 2, top + side + 28, "a  across, b  upward", 10, GREY, "center", "top")
    return c.done(f"The plane of a · b, and what was learned of it within ±{trained:g}: at ({reach:g}, {reach:g}) "
                  f"the truth is {reach * reach:g}, answered are {', '.join(corner)}.")


def _one_unit(figure, words, x, gate, up):
    """What two figures of one unit take, as labels and arrays; ValueError where it is something else."""
    words, x, gate, up = [printable(word) for word in words], numbers(x), numbers(gate), numbers(up)
    if not 2 <= len(words) <= 5 or x.shape != (len(words), 2) or gate.shape != (2,) or up.shape != (2,):
        raise ValueError(f"{figure} draws 2 to 5 words with x (word, 2), gate (2) and up (2), got "
                         f"{len(words)} words, x {x.shape}, gate {gate.shape} and up {up.shape}: pass one "
                         "hidden unit that reads two numbers")
    if not (np.any(x @ gate) and np.any(x @ up)):
        raise ValueError(f"{figure} needs a unit that answers, got gate · x or up · x = 0 for every word")
    return words, x, gate, up


def _maps(c, words, x, gate, up):
    """Gate × up = product as three maps of the same plane, with the words as dots."""
    reach, side, top = 1.5 * np.abs(x).max(), 212, 134
    plane = (np.arange(424) + 0.5) / 212 * reach - reach
    across, along = np.meshgrid(plane, -plane)
    lift, offer = _silu(across * gate[0] + along * gate[1]), across * up[0] + along * up[1]
    ajar = _bands(np.clip(lift, 0, None))[..., None] ** 0.7
    colors = (SHUTTER + (1 - SHUTTER) * ajar, signed(_bands(offer)), signed(_bands(lift * offer)))
    for column, (name, formula, image, rows) in enumerate((
            ("gate", "silu(w · x)", colors[0], (gate,)), ("up", "v · x", colors[1], (up,)),
            ("product", "what goes on", colors[2], (gate, up)))):
        left = 26 + column * (side + 36)
        c.run(left, 122, [(name + "  ", INK, "bold"), (formula, GREY)], 12)
        c.image(left, top, side, side, image)
        right = Scale((-reach, reach), (left, left + side))
        down = Scale((reach, -reach), (top, top + side))
        for row in rows:
            far = np.array([-row[1], row[0]]) / np.abs(row).max() * reach
            c.line(right(-far[0]), down(-far[1]), right(far[0]), down(far[1]), INK, 1.4)
        c.bar(left, top, side, side, None, edge=tint(GREY, 0.4))
        for word, hue, (a, b) in zip(words, WORDS, x):
            c.ring(right(a), down(b), 6, WHITE, 2, hue)
            c.say(right(a), down(b) - 13, word, 10.5, dark(hue), "center", weight="bold", halo=WHITE)
        if column:
            c.say(left - 18, top + side / 2, "×="[column - 1], 19, ha="center", va="center_baseline", weight="bold")


def _curve(c, words, z):
    """The gate's own curve with the words on it, beside ReLU, which has a corner and a dead half."""
    reach = max(2.2, 1.15 * np.abs(z).max())
    right, down = Scale((-reach, reach), (804, 974)), Scale((reach, -0.9), (134, 346))
    c.run(790, 122, [("silu", INK, "bold"), ("  lifts the shutter", GREY)], 12)
    c.line(804, down(0), 974, down(0), GREY)
    c.line(right(0), 134, right(0), 346, GREY)
    zs = np.linspace(-reach, reach, 200)
    c.curve(right(zs), down(np.maximum(zs, 0)), tint(GREY, 0.3), 1.4, dash=(3, 2))
    c.curve(right(zs), down(_silu(zs)), INK, 3, cap="round")
    for hue, at in zip(WORDS, z):
        c.ring(right(at), down(_silu(at)), 6, WHITE, 2, hue)
    ends = np.floor(reach)
    for tick in (-ends, ends):
        c.line(right(tick), down(0), right(tick), down(0) - np.copysign(5, -tick), GREY)
        c.say(right(tick), down(0) - np.copysign(9, -tick), _count(tick, 0), 9.5, GREY, "center",
              "bottom" if tick < 0 else "top")
    c.say(right(0) - 8, down(ends), f"{ends:.0f}", 9.5, GREY, "right", "center_baseline")
    c.say(974, down(0) + 30, "w · x", 10, GREY, "right", "top")
    c.say(right(0) - 8, 190, "dashed:\nReLU", 10, GREY, "right", "top", linespacing=1.35)


def _door(c, x, word, hue, lift, offer, high, wide):
    """One word's door: |offer| wide, opened by lift; a negative lift shows beneath the floor."""
    width, floor, color = wide * abs(offer), 298, _passes(lift * offer)
    c.say(x, floor - 164, word, 13, dark(hue), "center", weight="bold")
    _leaf(c, x, floor, 150, lift, offer, high, wide)
    c.line(x - 84, floor, x + 84, floor, INK, 1.6)
    said = _count(lift * offer)
    if lift * high > 24 and width > c.measure(said, 13, "bold") + 6:
        c.say(x, floor - lift * high / 2, said, 13, on(color), "center", "center_baseline", "bold")
    tones = {True: dark(SIGNED[-1]), False: dark(SIGNED[0])}
    c.run(x, floor + 44, [(_count(lift, 2), INK, "bold"), (" × ", GREY), (_count(offer), tones[offer >= 0], "bold"),
                          (" = ", GREY), (said, tones[lift * offer >= 0], "bold")], 11, "center")


def _leaf(c, x, floor, tall, lift, offer, high, wide):
    """A frame, its shutter and what is open of it, |offer| wide, `tall` pixels high."""
    width, top = wide * abs(offer), floor - tall
    c.bar(x - width / 2, top, width, tall, tuple(SHUTTER))
    for slat in np.arange(floor - max(lift, 0) * high - 10, top, -10):
        c.line(x - width / 2, slat, x + width / 2, slat, WHITE, 1.2)
    c.bar(x - width / 2, floor, width, -lift * high, _passes(lift * offer))
    px = 4 if tall > 100 else 3
    c.curve(np.array([-1, -1, 1, 1]) * (width / 2 + px / 2) + x, [floor, top - 2, top - 2, floor], INK, px)


def _passes(value):
    """The hue of a signed number that goes on."""
    return SIGNED[-1] if value >= 0 else SIGNED[0]


def _strips(c, left, top, high, words, values, word, wide=34):
    """The vectors of all words side by side, one of them wide and with its numbers, the others as they stand by."""
    colors = signed(values / np.abs(values).max())
    for place, (label, hue, rows) in enumerate(zip(words, WORDS, colors)):
        chosen = place == word
        width = wide if chosen else 14
        x0 = left + 58 * place + (0 if chosen else 10) + (wide - 34) * (place > word)
        for row, color in enumerate(rows):
            shade = tuple(color if chosen else 0.45 * color + 0.55)
            c.bar(x0, top + high * row, width, high - 1.5, shade)
            if chosen and high > 16:
                c.say(x0 + width / 2, top + high * (row + 0.5), _count(values[place, row]), 9.5, on(shade), "center",
                      "center_baseline")
        edge, px, color, size, weight = (hue, 2, dark(hue), 10.5, "bold") if chosen else (
            tint(GREY, 0.6), 1, GREY, 9.5, "normal")
        c.bar(x0, top, width, high * len(rows) - 1.5, None, edge=edge, px=px)
        c.say(x0 + width / 2, top - 8, label, size, color, "center", weight=weight)


def _is_flat(plane):
    """Whether a plane's second differences are nothing beside the plane."""
    bends = max(np.abs(np.diff(plane, 2, axis=axis)).max() for axis in (0, 1))
    return max(bends, np.abs(np.diff(np.diff(plane, axis=0), axis=1)).max()) < 1e-4 * (np.abs(plane).max() + 1e-9)


def _relief(c, left, wide, name, plane, reach):
    """Ridge behind ridge, the farthest first: a across, b into the depth, where all is smaller."""
    count = len(plane)
    c.run(left, 104, [(name, INK, "bold")], 12)
    rows = np.arange(0, count, max(1, (count - 1) // 30))
    far = (1 - 0.3 * rows / (count - 1))[:, None]
    ys = -150 * (1 - far) / 0.3 - 62 / np.abs(plane).max() * plane[:, rows].T * far
    ys *= min(1, 238 / np.ptp(ys))
    ys += 246 - (ys.max() + ys.min()) / 2
    xs = left + wide / 2 + wide * (np.linspace(0, 1, count) - 0.5) * far
    for x, y, row in zip(xs[::-1], ys[::-1], rows[::-1]):
        value, pale = plane[:, row], 0.5 * row / (count - 1)
        c.band(x, y, np.full(count, 376.0), WHITE)
        for color, sign in ((SIGNED[-1], 1), (SIGNED[0], -1)):
            near = np.maximum.reduce([np.roll(sign * value, step) for step in (-1, 0, 1)]) >= 0
            c.curve(x, np.where(near, y, np.nan), tint(color, pale), 1.6)


def _bands(value, count=9):
    """`value` over its largest, rounded away from 0 to steps of 1/count."""
    return np.sign(value) * np.ceil(np.abs(value) / np.abs(value).max() * count) / count


def _silu(z):
    return z / (1 + np.exp(-z))


def _count(value, digits=1):
    """A number with a true minus sign and never −0."""
    return f"{round(float(value), digits) + 0.0:.{digits}f}".replace("-", "−")
