"""The pictures of wrong models that learn: curves without names, who hears whom, and which probe sees which mistake."""

import numpy as np

from ..kit.canvas import (
    BLUE,
    CYAN,
    FAINT,
    GOLD,
    GREEN,
    GREY,
    HUES,
    INK,
    ORANGE,
    PURPLE,
    RED,
    RIGHT,
    WHITE,
    Scale,
    canvas,
    dark,
    numbers,
    tint,
)

CURVES = (BLUE, ORANGE, GREEN, RED, PURPLE, CYAN, GOLD, INK)


def blind_curves(steps, curves, title=None):
    """Losses against steps: `curves` maps a letter or a name to numbers (seed, mark), one for each of `steps`.

    Left the means; a lens enlarges where they end: there, a dot for each seed, a bar from best to worst, and a stroke
    at the mean. With one seed each, the names stand at the ends instead. The title, unless given, counts who ends lower
    than the rest. Raises ValueError unless there are two
    to eight curves with a number for each step.
    """
    steps, given = numbers(list(steps)), {name: numbers(each) for name, each in curves.items()}
    fits = all(each.ndim == 2 and each.shape[1] == len(steps) for each in given.values())
    if not (2 <= len(given) <= len(CURVES) and fits and len(steps) > 1):
        raise ValueError(f"curves must be two to eight, each (seed, {len(steps)}), got "
                         f"{ {name: each.shape for name, each in given.items()} }")
    count = ("One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight")
    ends = {name: each[:, -1] for name, each in given.items()}
    seeded = max(map(len, given.values())) > 1
    means = np.sort([each.mean() for each in ends.values()])
    lower = int(np.argmax(np.diff(means))) + 1
    c = canvas(486, title or f"{count[len(given) - 1]} models, one of them right. {count[lower - 1]} "
               f"end{'s' * (lower == 1)} lower than the other {count[len(given) - lower - 1].lower()}: which is it?",
               "Loss on the exam while they learn, in nats a letter" + seeded * ". Right, enlarged: the end, a dot for "
               "each seed" + ".")
    begin = 1 if len(steps) > 2 else 0  # the first mark, before any step, is the same for all
    steps, given = steps[begin:], {name: each[:, begin:] for name, each in given.items()}
    every, last = np.concatenate([each.mean(0) for each in given.values()]), np.concatenate([*ends.values()])
    room = 0.08 * (last.max() - last.min()) + 0.005
    low, high = last.min() - room, last.max() + room
    x, top, bottom = Scale((steps[0], steps[-1]), (84, 470 if seeded else 850)), 104, 412
    y, z = Scale((max(every.max(), high), min(every.min(), low)), (top, bottom)), Scale((high, low), (top, bottom))
    left, right = 560, 968
    if seeded:
        c.band([476, left], [y(high), top], [y(low), bottom], tint(GREY, 0.88))
        c.bar(left, top, right - left, bottom - top, tint(GREY, 0.88))
        c.line(476, y(high), 476, y(low), GREY, 3)
    for each, hue in zip(given.values(), CURVES):
        c.curve(x(steps), y(each.mean(0)), hue, 2.6, cap="round")
    c.axis(x, bottom, steps[:: max(1, len(steps) // 6)], label="step")
    spread = max(every.max(), high) - min(every.min(), low)
    ticks = np.arange(0, 12, 0.2 if spread < 1.2 else 0.5)
    c.axis(y, 84, [tick for tick in ticks if y.values[1] <= tick <= y.values[0]],
           [f"{tick:.1f}" for tick in ticks if y.values[1] <= tick <= y.values[0]], side="left")
    step = 0.1 if high - low < 0.6 else 0.5
    for tick in (tick for tick in np.arange(0, 12, step) if seeded and low <= tick <= high):
        c.line(left, z(tick), right, z(tick), WHITE, 2)
        c.say(left + 6, z(tick) - 5, f"{tick:.1f}", 9.5, GREY)
    for column, ((name, seeds), hue) in enumerate(zip(ends.items(), CURVES)):
        if not seeded:
            c.say(860, y(seeds.mean()), f"{name}  {seeds.mean():.2f}", 12, dark(hue), va="center_baseline",
                  weight="bold")
            continue
        at = left + 34 + (column + 0.5) * (right - left - 40) / len(ends)
        c.box(at - 9, z(seeds.max()) - 6, 18, z(seeds.min()) - z(seeds.max()) + 12, tint(hue, 0.62), 9)
        c.line(at - 15, z(seeds.mean()), at + 15, z(seeds.mean()), dark(hue), 3)
        for seed in seeds:
            c.ring(at, z(seed), 3, dark(hue), 1, dark(hue))
        c.say(at, bottom + 26, name, 15 if len(name) == 1 else 12, dark(hue), "center", weight="bold")
    told = ", ".join(f"{name} {row.mean():.2f} ({row.min():.2f} to {row.max():.2f})" for name, row in ends.items())
    return c.done(f"Exam losses of {len(given)} models without names over {steps[-1]:.0f} steps; they end at {told}.")


def edit_maps(maps):
    """Who hears whom: `maps` holds names and numbers (edited, moved), a row for each token that is edited.

    Blue is a move at or after the edit, red with a cross one before it. Raises ValueError for more than four maps, or
    for maps that are not square and of one size up to 16.
    """
    given = {name: numbers(each) for name, each in maps.items()}
    sizes = {each.shape for each in given.values()}
    if not 1 <= len(given) <= 4 or len(sizes) != 1 or len({*next(iter(sizes))}) != 1 or next(iter(sizes))[0] > 16:
        raise ValueError(f"maps must be one to four squares of one size up to 16, got {sorted(sizes)}")
    (size, _), = sizes
    wrong = {name: int((np.tril(each, -1) > 1e-4).sum()) for name, each in given.items()}
    c = canvas(356, "A causal model has a triangle; every cell below it has read the future",
               "Row: the token that I edited. Column: the place whose scores moved; the darker, the farther.")
    side, gap = 224, 12
    cell = side / size
    for number, (name, each) in enumerate(given.items()):
        left, top = 40 + number * (side + gap), 116
        c.say(left, top - 14, name, 9.5, dark(RED) if wrong[name] else INK, weight="bold")
        c.bar(left, top, side, side, FAINT)
        for row in range(size):
            for column in range(size):
                strength = np.clip((np.log10(max(each[row, column], 1e-9)) + 4) / 5, 0, 1)
                early = column < row
                hue = WHITE if each[row, column] <= 1e-4 else tint(RED if early else BLUE, 0.75 * (1 - strength))
                at = left + column * cell + 0.75, top + row * cell + 0.75
                c.bar(*at, cell - 1.5, cell - 1.5, hue)
                if early and each[row, column] > 1e-4:
                    c.say(at[0] + cell / 2 - 0.75, at[1] + cell / 2 - 0.75, "×", 8, dark(RED), "center",
                          "center_baseline", "bold")
        if number == 0:
            c.say(32, top + cell / 2, "0", 9, GREY, "right", "center_baseline")
            c.say(32, top + side - cell / 2, f"{size - 1}", 9, GREY, "right", "center_baseline")
    told = "; ".join(f"{name}: {count} of {size * (size - 1) // 2} places before an edit move" if count else
                     f"{name}: nothing before an edit moves" for name, count in wrong.items())
    return c.done(f"Maps of which places move when a token is edited. {told}.")


def probes_and_bugs(diagnoses):
    """Which probe sees which mistake: a row for each model, a column for each probe.

    `diagnoses` maps a model's name to an object whose `rows` have `probe` and `state` ("fails", "holds", …); the first
    row is the right model. What only tells ("told"), and judges nothing, is left out. Raises ValueError for none.
    """
    if not diagnoses:
        raise ValueError("diagnoses must hold at least one model")
    states = {name: {row.probe: row.state for row in each.rows} for name, each in diagnoses.items()}
    probes = [probe for probe in next(iter(states.values()))
              if all(found.get(probe) != "told" for found in states.values())]
    size, left, top = 40, 262, 192
    c = canvas(top + 34 * len(states) + 28, "Most mistakes break a law; a few make another model, and only a reference "
               "sees them", "× = the probe fails, · = it holds, blank = it could not be asked.")
    for column, probe in enumerate(probes):
        c.say(left + column * size + size / 2 - 4, top - 12, probe, 10, INK, rotation=48, rotation_mode="anchor")
    for row, (name, found) in enumerate(states.items()):
        y, seen = top + row * 34, sum(state == "fails" for state in found.values())
        c.say(left - 16, y + 16, name, 10.5, INK if seen else dark(RIGHT if not row else PURPLE), "right",
              "center_baseline", "normal" if seen else "bold")
        for column, probe in enumerate(probes):
            state = found.get(probe, "not asked")
            fails = state == "fails"
            at = left + column * size
            c.box(at, y, size - 4, 30, RED if fails else WHITE if state == "not asked" else tint(HUES[0], 0.88), 4)
            c.say(at + size / 2 - 2, y + 15, {"fails": "×", "holds": "·"}.get(state, ""), 13 if fails else 11,
                  WHITE if fails else GREY, "center", "center_baseline", "bold" if fails else "normal")
        told = f"seen by {seen}" if seen else "right" if not row else "seen by none"
        c.say(left + len(probes) * size + 12, y + 16, told, 10, GREY if seen else dark(RIGHT if not row else PURPLE),
              va="center_baseline")
    listed = "; ".join(f"{name}: " + (", ".join(p for p, state in found.items() if state == "fails") or "none")
                       for name, found in states.items())
    return c.done(f"Which of {len(probes)} probes fail for which model. {listed}.")
