"""The picture of a training run: what the model needs per byte, whom it passes, and what it writes on the way."""

import re
import textwrap

import numpy as np

from ..kit.canvas import BLUE, GREY, INK, RED, WHITE, Scale, canvas, dark, numbers, printable, tint

EARLY = 5  # steps that are added before the logarithm, so that the first ones have room


def learning_curve(steps, bits, rivals, samples, words=None, prompt=""):
    """Bits per byte of unseen text against the step, with what else compresses it, and samples hung from the curve.

    `steps` and `bits` are two lists of equal length, `rivals` maps a name to its bits per byte, `samples` maps some
    of the steps to what the model wrote there after `prompt`, each a list of texts: the first is shown, and with
    `words`, a set, the share of words among all of them is said and other words are underlined red. Raises ValueError
    where the lists differ in length, a sample's step is not in `steps`, or there are over four.
    """
    steps, bits = numbers(steps), numbers(bits)
    if steps.shape != bits.shape or steps.ndim != 1 or not set(samples) <= set(steps.tolist()):
        raise ValueError(f"steps and bits must be equally long and hold the steps {list(samples)}, got {steps}")
    if not 1 <= len(samples) <= 4:
        raise ValueError(f"samples must be one to four, got {len(samples)}: more do not fit beneath the curve")
    passed = {name: _passed(steps, bits, level) for name, level in rivals.items()}
    best = max((name for name in rivals if passed[name] is not None), key=lambda name: -rivals[name], default=None)
    title = f"From {bits[0]:.2f} to {bits[-1]:.2f} bits per byte of text it has never seen"
    ahead = [name for name, at in passed.items() if at is None]
    if best:
        title = f"By step {passed[best]:,.0f} the model squeezes unseen text harder than {best} does"
    if best and ahead:
        title = f"In {steps[-1]:,.0f} steps the model passes every rival but {' and '.join(ahead)}"
    c = canvas(696, title, "Bits per byte on held-out text, log steps; beneath: what it writes "
               + ("(underlined: no such word)." if words is not None else "at those steps."))
    x = Scale((EARLY, steps[-1] + EARLY), (92, 748), log=True)
    y = Scale((max(bits.max(), *rivals.values()) + 0.1, min(bits.min(), *rivals.values()) - 0.1), (100, 445))
    c.say(84, y(bits[0]), f"{bits[0]:.2f}", color=dark(BLUE), ha="right", va="center_baseline")
    for name, level in rivals.items():
        c.line(92, y(level), 976, y(level), tint(GREY, 0.6), 1, dash=(5, 3))
        c.say(84, y(level), f"{level:.2f}", color=GREY, ha="right", va="center_baseline")
        c.say(976, y(level) + (16 if name in ahead else -6), name, color=GREY, ha="right")
    lefts = _columns(x(np.array([*samples]) + EARLY), 976)
    for (step, texts), left, right in zip(samples.items(), lefts, [*lefts[1:], 976]):
        at = int(np.flatnonzero(steps == step)[0])
        c.rope(x(step + EARLY), y(bits[at]), left, 500, 1.3, tint(BLUE, 0.45))
        c.line(left, 500, left, 682, tint(BLUE, 0.45), 1.3)
        _sample(c, left + 10, right - left - 20, f"{step:,.0f}", bits[at], texts, words, prompt)
    c.curve(x(steps + EARLY), y(bits), BLUE, 4, cap="round")
    for name, at in passed.items():
        if at is not None:
            c.ring(x(at + EARLY), y(rivals[name]), 3.5, BLUE, 1.5, BLUE)
            told = f"passed at {at:,.0f}"
            c.say(x(at + EARLY) - 8, y(rivals[name]) + 17, told, 9.5, dark(BLUE), ha="right", halo=WHITE)
    for step in samples:
        c.ring(x(step + EARLY), y(bits[int(np.flatnonzero(steps == step)[0])]), 6, BLUE, 2.2)
    c.say(x(steps[-1] + EARLY) + 14, y(bits[-1]) + 5, f"{bits[-1]:.2f}", 12, dark(BLUE), weight="bold", halo=WHITE)
    axis = [tick for tick in (0, 10, 30, 100, 300, 1000, 3000, 10000) if tick <= steps[-1]]
    c.bar(82, 474, 20, 22, WHITE)
    c.axis(x, 472, [tick + EARLY for tick in axis], [f"{tick:,}" for tick in axis])
    c.say(766, 490, "step", color=GREY)
    beaten = [name for name, at in passed.items() if at is not None]
    return c.done(
        f"Held-out bits per byte fall from {bits[0]:.2f} at step 0 to {bits[-1]:.2f} at step {steps[-1]:,.0f}"
        + (f", passing {', '.join(beaten)}" if beaten else "")
        + (f", but not {', '.join(f'{name} at {rivals[name]:.2f}' for name in ahead)}" if ahead else "")
        + "; it writes " + ", ".join(f"at step {step:,} “{_short(texts[0])}”" for step, texts in samples.items()) + "."
    )


def _short(text, count=30):
    """The first letters of a sample, for its description."""
    text = " ".join(printable(word) for word in text.split())
    return text[:count] + "…" * (len(text) > count)


def _passed(steps, bits, level):
    """The step at which the curve falls below a level for good, on a line between the measured points; or None."""
    above = np.flatnonzero(bits >= level)
    if len(above) == 0 or above[-1] == len(bits) - 1:
        return None
    i = above[-1]
    share = (bits[i] - level) / (bits[i] - bits[i + 1])
    return float(np.round(steps[i] + share * (steps[i + 1] - steps[i])))


def _columns(xs, right, width=200):
    """Where the samples hang: plumb beneath their points, or as near as columns of that width allow."""
    lefts = np.minimum(xs, right - width * np.arange(len(xs), 0, -1))
    for i in range(1, len(lefts)):
        lefts[i] = max(lefts[i], lefts[i - 1] + width)
    return np.maximum(lefts, 26)


def _sample(c, left, wide, step, bits, texts, words, prompt):
    """What was written at a step: its score, the share of words, and the first text, unknown words underlined."""
    text = texts[0]
    shown = " ".join(printable(word) for word in (prompt + text).split())
    every = [word for each in texts for word in _words(each)]
    real = [word for word in every if words is None or word.lower() in words]
    share = f"  {len(real) / max(1, len(every)):.0%} words" if words is not None else ""
    c.run(left, 526, [(f"step {step}  ", INK, "bold"), (f"{bits:.2f}", dark(BLUE), "bold"), (share, GREY)], 10)
    em = c.measure("m" * 20, 8.6, mono=True) / 20
    written = 0
    for row, line in enumerate(textwrap.wrap(shown, int(min(wide, 230) / em), max_lines=7, placeholder=" …")):
        y, column = 550 + row * 20, 0
        for word in line.split(" "):
            known = words is None or written < len(prompt) or all(part.lower() in words for part in _words(word))
            x = left + column * em
            c.say(x, y, word, 8.6, GREY if written < len(prompt) else INK if known else dark(RED), mono=True)
            if not known:
                c.line(x, y + 5, x + len(word) * em, y + 5, RED, 1.4, dash=(1.5, 1.5))
            column, written = column + len(word) + 1, written + len(word) + 1


def _words(text):
    """The words of a text: runs of letters."""
    return re.findall(r"[A-Za-z]+", text)


def learning_rates(rates, bits, dots, levels):
    """Bits per byte after short runs against the learning rate, a log axis: a U, and other optimisers as dots.

    `rates` and `bits` are two lists of equal length, `dots` maps a name to (rate, bits), `levels` maps a name to bits
    per byte that a dashed line marks; what lies far above the highest of them is cut off, with an arrow. Raises
    ValueError for fewer than three rates, lists of different lengths, or rates that do not grow.
    """
    rates, bits = numbers(rates), numbers(bits)
    if rates.ndim != 1 or rates.shape != bits.shape or len(rates) < 3 or (np.diff(rates) <= 0).any() or rates[0] <= 0:
        raise ValueError(f"rates must be three or more growing numbers, one for each of bits, got {rates}")
    best = int(np.nanargmin(bits))
    below = [name for name, (_, level) in dots.items() if level < bits[best]]
    title = f"The best rate is in the middle: {rates[best]:g} gives {bits[best]:.2f} bits per byte"
    told = f"; {below[0]} lies below the valley" if below else ""
    c = canvas(430, title, f"The same model and pages, one run for each rate{told}.")
    ceiling = max(levels.values()) + 0.25
    every = [*bits[np.isfinite(bits)], *levels.values(), *(level for _, level in dots.values())]
    x = Scale((rates[0], rates[-1]), (150, 860), log=True)
    y = Scale((ceiling, min(every) - 0.12), (100, 360))
    for name, level in levels.items():
        c.line(100, y(level), 976, y(level), tint(GREY, 0.6), 1, dash=(5, 3))
        c.say(92, y(level), f"{level:.2f}", color=GREY, ha="right", va="center_baseline")
        c.say(976, y(level) - 6, name, color=GREY, ha="right")
    high = ~(bits <= ceiling)
    c.curve(x(rates), y(np.where(high, ceiling, bits)), BLUE, 3.5, cap="round")
    for rate, level, cut in zip(rates, bits, high):
        at, top = x(rate), 100 if cut else y(level)
        if cut:
            c.arrow(at, 112, at, 92, BLUE, 2)
        else:
            c.ring(at, top, 6, BLUE, 2.2, BLUE if level == bits[best] else WHITE)
        words = f"{level:.2f}" if np.isfinite(level) else "no number"
        c.say(at + (12 if cut else 0), top + (8 if cut else -13), words, 10.5, dark(BLUE),
              ha="left" if cut else "center", weight="bold" if level == bits[best] else "normal", halo=WHITE)
    for name, (rate, level) in dots.items():
        c.ring(x(rate), y(level), 8, RED, 2.2, RED)
        c.say(x(rate) + 16, y(level) + 4, f"{name}: {level:.2f}", 11, dark(RED), weight="bold", halo=WHITE)
    c.axis(x, 386, list(rates), [f"{rate:g}" for rate in rates])
    c.say(x(rates[-1]) + 40, 404, "rate", color=GREY)
    return c.done(
        f"Bits per byte by learning rate: {', '.join(f'{level:.2f} at {rate:g}' for rate, level in zip(rates, bits))}"
        + "".join(f"; {name} {level:.2f}" for name, (_, level) in dots.items()) + "."
    )
