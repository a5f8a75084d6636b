"""The figures of the gated MLP: one unit as a shutter before an offer; a plain and a gated MLP learn a · b."""

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
    """One hidden unit of a gated MLP, silu(gate · x) times up · x: over a plane, and as a door per word.

    `words`: 2 to 5; `x` (word, 2): their vectors; `gate` and `up` (2): the unit's rows of the two weights.
    """
    words, x, gate, up = [printable(word) for word in words], numbers(x), numbers(gate), numbers(up)
    if not 2 <= len(words) <= 5 or x.shape != (len(words), 2) or gate.shape != (2,) or up.shape != (2,):
        raise ValueError("gate_doors draws 2 to 5 words with x (word, 2), gate (2) and up (2), got "
                         f"{len(words)} words, x {x.shape}, gate {gate.shape} and up {up.shape}: pass one "
                         "hidden unit that reads two numbers")
    if not (np.any(x @ gate) and np.any(x @ up)):
        raise ValueError("gate_doors needs a unit that answers, got gate · x or up · x = 0 for every word")
    lift, offer = _silu(x @ gate), x @ up
    passed = lift * offer
    most, wall = np.abs(passed).argmax(), np.where(lift < 0, np.abs(passed), -1).argmax()
    leaks = lift[wall] < 0
    c = canvas(712 if leaks else 676, "A gate multiplies what each word offers, and may amplify it: "
               f"{_count(passed[most])} at “{words[most]}”" +
               (f", {_count(passed[wall])} at “{words[wall]}”" if leaks else ""),
               "One hidden unit over a plane of inputs. White: gate open, grey: shut. Blue: plus, orange: minus, "
               "black line: zero.")
    _maps(c, words, x, gate, up)
    _curve(c, words, x @ gate)
    c.run(26, 398, [("A door per word.", INK, "bold"), (" Width: what up offers. The gate lifts the grey shutter; the "
                                                        "coloured opening is what passes.", GREY)])
    apart = 948 / len(words)
    high, wide = 136 / max(1, 1.12 * lift.max()), min(0.75 * apart, 140) / np.abs(offer).max()
    for place, (word, hue) in enumerate(zip(words, WORDS)):
        _door(c, 26 + apart * (place + 0.5), word, hue, lift[place], offer[place], high, wide)
    if leaks:
        c.run(26, 690, [("Below the floor:", INK, "bold"), (f" a gate shut on “{words[wall]}” stands at "
                        f"{_count(lift[wall], 2)}, not at 0, so a little leaks with its sign turned.", GREY)])
    told = "; ".join(f"{word} {_count(g, 2)} × {_count(u)} = {_count(g * u)}"
                     for word, g, u in zip(words, lift, offer))
    return c.done("One gated hidden unit over a plane of inputs and as one door per word, "
                  f"gate × up = what passes: {told}.")


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
    width, floor, top = wide * abs(offer), 612, 612 - 150
    color = SIGNED[-1] if lift * offer >= 0 else SIGNED[0]
    c.say(x, top - 14, word, 13, dark(hue), "center", weight="bold")
    c.bar(x - width / 2, top, width, floor - top, tuple(SHUTTER))
    for slat in np.arange(floor - max(lift, 0) * high - 10, top, -10):
        c.line(x - width / 2, slat, x + width / 2, slat, WHITE, 1.2)
    c.bar(x - width / 2, floor, width, -lift * high, color)
    c.curve(np.array([-1, -1, 1, 1]) * (width / 2 + 2) + x, [floor, top - 2, top - 2, floor], INK, 4)
    c.line(x - 84, floor, x + 84, floor, INK, 1.6)
    said = _count(lift * offer)
    if lift * high > 24 and width > c.measure(said, 13, "bold") + 6:
        c.say(x, floor - lift * high / 2, said, 13, on(color), "center", "center_baseline", "bold")
    tones = {True: dark(SIGNED[-1]), False: dark(SIGNED[0])}
    c.run(x, floor + 44, [(_count(lift, 2), INK, "bold"), (" × ", GREY), (_count(offer), tones[offer >= 0], "bold"),
                          (" = ", GREY), (said, tones[lift * offer >= 0], "bold")], 11, "center")


def _bands(value, count=9):
    """`value` over its largest, rounded away from 0 to steps of 1/count."""
    return np.sign(value) * np.ceil(np.abs(value) / np.abs(value).max() * count) / count


def _silu(z):
    return z / (1 + np.exp(-z))


def _count(value, digits=1):
    """A number with a true minus sign and never −0."""
    return f"{round(float(value), digits) + 0.0:.{digits}f}".replace("-", "−")
