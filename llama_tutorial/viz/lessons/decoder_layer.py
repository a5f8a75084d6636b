"""The residual stream: a road that every layer reads and adds to, what can be read off it early, the gradients."""

import numpy as np

from ..kit.canvas import (
    BLUE,
    FAINT,
    GREY,
    INK,
    MAUVE,
    ORANGE,
    WHITE,
    canvas,
    dark,
    numbers,
    on,
    printable,
    tint,
)


def residual_road(x, attention, mlp):
    """The stream as a road as thick as its RMS, and what each part of each layer adds as ropes.

    `x` (..., dim): what goes into layer 0; `attention` and `mlp`: one such tensor per layer, what that part
    added. The road is their running sum, all on one scale.
    """
    start, ropes = numbers(x), [numbers(part) for pair in zip(attention, mlp) for part in pair]
    if not 1 <= len(attention) == len(mlp) <= 6 or any(rope.shape != start.shape for rope in ropes):
        raise ValueError("residual_road draws 1 to 6 layers, for each what attention and what the MLP added, shaped "
                         f"like x {start.shape}, got {len(attention)} and {len(mlp)}: {[r.shape for r in ropes]}")
    road, adds = _rms(np.cumsum([start, *ropes], axis=0)), _rms(ropes)
    c = canvas(546, f"Layers never replace the stream, they add to it: {road[0]:.2f} at the start, {road[-1]:.2f} "
               "at the end", "Thickness = RMS, one scale. Each part reads the road through a norm (dot) and writes "
               "a rope back, the MLP after attention.")
    middle, apart = 296, 800 / len(adds)
    scale = min(124 / road.max(), 0.5 * apart / adds.max())
    for i, add in enumerate(adds):
        up, hue, name = (-1, BLUE, "attention") if i % 2 == 0 else (1, ORANGE, "MLP")
        left, edges = 116 + apart * i, middle + up * scale / 2 * road[[i, i + 1]]
        _part(c, left, apart, edges, middle + up * 160, add * scale, hue, name, f"{add:.2f}")
        if up < 0:
            c.say(left + 0.38 * apart, 93, f"layer {i // 2}", color=GREY, ha="center")
    _surface(c, road * scale, 116 + apart * np.arange(len(adds)), apart, middle)
    c.say(26, middle - scale * road[0] / 2 - 9, f"{road[0]:.2f}", 13, weight="bold")
    c.say(26, middle + scale * road[0] / 2 + 19, "embedding", color=GREY)
    c.say(962, middle, f"{road[-1]:.2f}", 13, WHITE, "right", "center_baseline", "bold")
    c.run(26, 524, [("RMS does not add like lengths: ", INK, "bold"), (f"the start and all ropes would make "
          f"{road[0] + adds.sum():.2f}, but they point different ways and make {road[-1]:.2f}.", GREY)])
    said = "; ".join(f"layer {i}: {a:.2f} and {m:.2f}" for i, (a, m) in enumerate(zip(adds[::2], adds[1::2])))
    return c.done(f"The residual stream as a road: RMS {road[0]:.2f} before layer 0, {road[-1]:.2f} after layer "
                  f"{len(mlp) - 1}. Attention and MLP add, {said}.")


def _part(c, left, apart, edges, box, px, hue, name, said):
    """One part of a layer: its box, the thread that reads the road, the rope px thick that is written back."""
    up, wide = np.sign(box - edges[0]), min(0.98 * apart + 24, 112)
    reads, writes = left + 0.1 * apart, left + 0.6 * apart
    _bend(c, reads, box, left - 0.09 * apart, edges[0] - up * 2, tint(hue, 0.35), 2.2)
    _bend(c, writes, box, writes + 0.32 * apart + px / 3, edges[0] - up * px * 0.42, tint(hue, 0.14), max(px, 1.2))
    c.ring(reads, box - up * 27, 4.6, WHITE, 1.5, INK)
    middle, size = left + 0.38 * apart, 12 if wide > 96 else 10.5
    c.box(middle - wide / 2, box - (34 if up < 0 else 0), wide, 34, hue, 5)
    c.say(middle, box + up * 17, name, size, WHITE, "center", "center_baseline", "bold")
    c.say(writes + px / 2 + 8, box - up * 27, said, 11.5, dark(hue), va="center_baseline", weight="bold", halo=WHITE)


def _bend(c, x0, y0, x1, y1, color, px):
    """A rope from a box, which it leaves straight, to the road, which it joins along its way."""
    t = np.linspace(0, 1, 60)[:, None]
    points = np.array([[x0, y0], [x0, y0 + 0.66 * (y1 - y0)], [x1 - 0.7 * (x1 - x0), y1], [x1, y1]])
    along = np.concatenate([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], axis=1) @ points
    c.curve(along[:, 0], along[:, 1], color, px)


def _surface(c, road, lefts, apart, middle):
    """The road itself, `road` pixels thick between the parts; after each join it is what the stream has become."""
    xs = np.linspace(26, 974, 1200)
    rise = np.clip((xs[:, None] - lefts - 0.5 * apart) / (0.44 * apart), 0, 1)
    half = (road[0] + (rise**2 * (3 - 2 * rise)) @ np.diff(road)) / 2
    c.band(xs, middle - half, middle + half, tint(MAUVE, 0.36))


def read_early(texts, wanted, shares):
    """What a stack of layers would write if it were read out after each of them, the right letters filled.

    `texts`: one string for no layer, one for the first alone, and so on; `wanted`: what it should be; `shares`:
    the share that is right at each depth over many texts (depths).
    """
    shares = numbers(shares)
    if not 2 <= len(texts) == len(shares) <= 9 or any(not 0 < len(wanted) == len(text) <= 30 for text in texts):
        raise ValueError("read_early draws 2 to 9 depths, a share for each, and texts as long as the one wanted, of 1 "
                         f"to 30 letters, got {len(shares)} shares for texts of {[len(text) for text in texts]}")
    c = canvas(132 + 42 * len(texts), f"Read out after every layer: {shares[0]:.2f} right before the first, "
               f"{shares[-1]:.2f} after the last", f"Filled = the right letter. “{printable(wanted)}” is wanted. "
               "Bar = share that is right over many texts.")
    step = 640 / len(wanted)
    c.say(974, 100, "right", color=GREY, ha="right")
    for depth, (text, share) in enumerate(zip(texts, shares)):
        y = 110 + 42 * depth
        c.say(128, y + 17, f"after layer {depth - 1}" if depth else "embedding", 10.5, GREY, "right", "center_baseline")
        for i, (letter, right) in enumerate(zip(text, wanted)):
            fill = BLUE if letter == right else WHITE
            c.box(140 + step * i, y, step - 3, 34, fill, 4, edge=BLUE if letter == right else FAINT)
            c.say(140 + step * i + (step - 3) / 2, y + 17, printable(letter), 12, on(fill) if letter == right else GREY,
                  "center", "center_baseline", "bold" if letter == right else "normal", mono=True)
        c.bar(800, y + 9, 120, 16, FAINT)
        c.bar(800, y + 9, 120 * share, 16, BLUE)
        c.say(974, y + 17, f"{share:.2f}", 12, INK, "right", "center_baseline", "bold")
    said = "; ".join(f"{f'after layer {i - 1}' if i else 'embedding'}: {text} ({share:.2f})"
                     for i, (text, share) in enumerate(zip(texts, shares)))
    return c.done(f"What is read out at each depth, and the share that is right. {said}. Wanted: {wanted}.")


def _rms(parts):
    """The root mean square of every array in a list."""
    return np.array([np.sqrt(np.square(part).mean()) for part in parts])
