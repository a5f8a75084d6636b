"""What a mask is for: a leak that an edit finds, and what goes into the forbidden places."""

import numpy as np

from .canvas import BLUE, GREY, INK, PURPLE, RED, canvas, dark, numbers, printable, tint

SHADE = "#f2f3f8"


def leak(changes, tokens, place, new):
    """How far the guess at every word moves when the word number `place` becomes `new`: up in red, down in blue.

    `changes` maps two names, first of the attention without a mask, to one number per token; at most 10 tokens.
    """
    (bad, up), (good, down) = ((name, numbers(each)) for name, each in changes.items())
    words = [printable(str(token)) for token in tokens]
    if not up.shape == down.shape == (len(words),) or not 1 <= place < len(words) <= 10 or not up.any():
        raise ValueError("leak takes two lists of changes, each one number for 2 to 10 tokens, and the place of an "
                         f"edit after the first, got {up.shape} and {down.shape} for {len(words)} tokens at {place}")
    moved = up[place - 1]
    c = canvas(524, f"Change word {place}, and the guess before it moves: by {_amount(moved)} with {bad}, "
               f"by {_amount(down[place - 1])} with {good}",
               f"Bar = how far the scores of the next word move, at each word, when “{words[place]}” becomes “{new}”.")
    pitch = 850 / len(words)
    xs, scale = 150 + pitch * np.arange(len(words)), 1 / max(up.max() / 186, down.max() / 96)
    c.bar(xs[place] - pitch / 2, 88, pitch, 420, SHADE)
    for name, values, base, way, hue in ((bad, up, 326, -1, RED), (good, down, 390, 1, BLUE)):
        c.say(26, base + 22 * way + 4, name, 12, dark(hue), weight="bold")
        for x, value in zip(xs, values):
            c.bar(x - 27, min(base, base + way * value * scale), 54, value * scale, hue)
            c.say(x, base + way * (value * scale + 9), _amount(value), 11, dark(hue), "center",
                  "bottom" if way < 0 else "top", "bold" if value in (0, up.max()) else "normal")
        c.line(112, base, 976, base, INK, 1.4)
    _edited(c, xs, words, place, new)
    if up[: place - 1].max(initial=0) < 0.5 * moved and moved * scale > 90 and place > 2:
        c.say(xs[place - 1] - 40, 326 - moved * scale + 16, f"Word {place - 1} must guess word {place}.\n"
              "Here it has read it.", 11, dark(RED), "right", va="top", linespacing=1.5)
    clean = not down[:place].any()
    c.say(xs[0] - 27, 452, "Exactly 0 before the edit:\nno later word can reach back." if clean else
          "Not 0 before the edit:\nthis one leaks as well.", 11, dark(BLUE), va="top", linespacing=1.5)
    if place < len(words) - 2:
        c.say(xs[place] + pitch / 2 + 12, 452, "From the edit on,\nguesses may change.", 11, dark(BLUE), va="top",
              linespacing=1.5)
    told = "; ".join(f"{name}: {', '.join(map(_amount, each))}" for name, each in ((bad, up), (good, down)))
    return c.done(f"How far the guesses at {len(words)} words move when word {place}, “{words[place]}”, becomes "
                  f"“{new}”; {told}.")


def _edited(c, xs, words, place, new):
    """The words between the two rows of bars with their numbers, one struck out for the new one."""
    for i, (x, word) in enumerate(zip(xs, words)):
        gone = i == place
        c.say(x, 349, word, 11, tint(GREY, 0.3) if gone else INK, "center", weight="bold", mono=True)
        c.say(x, 376, new if gone else f"{i}", 11 if gone else 10, dark(PURPLE) if gone else GREY, "center",
              weight="bold" if gone else "normal", mono=gone)
    half = c.measure(words[place], 11, "bold", True) / 2 + 3
    c.line(xs[place] - half, 345, xs[place] + half, 345, dark(PURPLE), 2)


def _amount(value):
    """A change in three figures: exactly 0 is “0”, and what is smaller than shown says so."""
    return "0" if value == 0 else "<0.001" if value < 0.001 else f"{value:.3f}" if value < 0.01 else f"{value:.2f}"


def fills(ways, tokens, query):
    """One row of weights under some ways to forbid the words after `query`, each with the scores beneath its bars.

    `ways` maps 1 to 3 names to (scores (key), weights (key)), the scores as they went into the softmax.
    """
    ways = {name: (numbers(scores), numbers(weights)) for name, (scores, weights) in ways.items()}
    words, panels = [printable(str(token)) for token in tokens], []
    if not 1 <= len(ways) <= 3 or any(part.shape != (len(words),) for way in ways.values() for part in way) \
            or not 0 <= query < len(words) - 1 <= 7:
        raise ValueError("fills takes 1 to 3 ways, each (scores (key), weights (key)), and a query that is not the "
                         f"last of at most 8 tokens, got {len(ways)} ways for {len(words)} tokens and query={query}")
    worst = max(weights[query + 1 :].sum() for _, weights in ways.values())
    c = canvas(436, f"0 is a score like any other: with it, “{words[query]}” gives {worst:.0%} to words not yet said",
               f"The row of “{words[query]}”. Bars: its weights; beneath: the scores that went into the softmax. "
               "Only exp(−∞) is 0.")
    pitch = min(90, (886 - 34 * (len(ways) - 1)) / len(ways) / len(words))
    wide, highest = pitch * len(words), max(weights.max() for _, weights in ways.values())
    for y, name in ((352 - 70, "weight"), (408, "score")):
        c.say(26, y, name, color=GREY)
    for number, (name, (scores, weights)) in enumerate(ways.items()):
        left = 90 + number * (wide + 34)
        panels.append(_panel(c, left, pitch, name, words, query, scores, weights, 150 / highest))
    told = "; ".join(f"{name}: {', '.join(f'{weight:.2f}' for weight in weights)} ({verdict})"
                     for (name, (_, weights)), verdict in zip(ways.items(), panels))
    return c.done(f"Weights of “{words[query]}” over {' '.join(words)} under {len(ways)} ways to forbid the later "
                  f"words; {told}.")


def _panel(c, left, pitch, name, words, query, scores, weights, scale):
    """One way to forbid: bars, hatched where they lie in the future; returns its verdict in words."""
    future, total = weights[query + 1 :].sum(), weights.sum()
    verdict = (f"{future:.0%} lies in the future" if future > 0.0005 else f"the row adds up to {total:.2f}, not 1"
               if abs(total - 1) > 0.005 else "all weight lies in the past")
    wrong = verdict != "all weight lies in the past"
    start, wide = left + pitch * (query + 1), pitch * (len(words) - query - 1)
    c.bar(start, 152, wide, 272, SHADE)
    c.say(start + wide / 2, 171, "future", 10, GREY, "center")
    c.say(left, 108, name, 12.5, dark(RED if wrong else BLUE), weight="bold")
    c.say(left, 130, f"{'✗' if wrong else '✓'} {verdict}", 11, dark(RED if wrong else BLUE))
    for i, (word, score, weight) in enumerate(zip(words, scores, weights)):
        x, high, late = left + pitch * i, weight * scale, i > query
        color = dark(RED) if late and wrong else dark(BLUE)
        if late:
            c.bar(x + 5, 352 - high, pitch - 10, high, tint(RED, 0.55))
            c.hatch(x + 5, 352 - high, pitch - 10, high, RED, 6)
        else:
            c.bar(x + 5, 352 - high, pitch - 10, high, BLUE)
        c.say(x + pitch / 2, 345 - high, f"{weight:.2f}" if weight else "0", 10.5, color, "center")
        c.say(x + pitch / 2, 373, word, min(10, 10 * (pitch - 4) / c.measure(word, 10, "bold", True)), INK, "center",
              weight="bold", mono=True)
        text = "−∞" if score == -np.inf else f"{score:.1f}".replace("-", "−")
        c.say(x + pitch / 2, 408, text, 11, color if late else INK, "center", weight="bold" if late else "normal",
              mono=True)
    c.line(left, 352, left + pitch * len(words), 352, INK, 1.4)
    return verdict
