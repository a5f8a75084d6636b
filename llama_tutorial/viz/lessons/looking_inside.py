"""Looking inside: what heads look at and what they cost, the guess layer by layer, dials by use, induction, patching.

Layers and heads are counted from 0; 2.1 is head 1 of layer 2.
"""

import numpy as np

from ..kit.canvas import (
    BLUE,
    CYAN,
    FAINT,
    GOLD,
    GREEN,
    GREY,
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
    on,
    printable,
    probability,
    signed,
    tint,
)
from ..kit.dials import TURN, rounded, sector, speeds_of

HUES = {"previous": BLUE, "itself": GREEN, "first": MAUVE, "same word": CYAN, "line end": GOLD, "induction": RED,
        "all alike": PURPLE}  # fmt: skip
MIXED = "mixed"


def _hue(name):
    """The hue of a pattern by its name; a pattern that is not in the list is orange, none is grey."""
    return GREY if name == MIXED else HUES.get(name, ORANGE)


def inside_heads(weights, found):
    """All heads' maps of one text as triangles, each with its pattern and score in the empty corner.

    `weights` (layer head query key), causal; `found` as nested lists (layer, head) of (pattern, score), the pattern
    "mixed" where a head has none. A column is a layer, so that depth runs to the right.
    """
    weights = numbers(weights)
    if weights.ndim != 4 or [*map(len, found)] != [weights.shape[1]] * len(weights):
        raise ValueError(f"inside_heads takes weights (layer head query key) and a name for each head, got weights "
                         f"{weights.shape} and names for {[*map(len, found)]} heads")
    layers, heads, named = len(weights), weights.shape[1], [each for row in found for each in row if each[0] != MIXED]
    pitch = min((1000 - 104) / layers, 220)
    side = pitch - 14
    c = canvas(130 + heads * pitch + 34, f"{len(named)} of {layers * heads} heads do something that has a name",
               "Row = who asks, column = who is asked, darkest from 0.5 up. Name and number: a score over many texts, "
               "not over this one.")
    for layer in range(layers):
        c.say(90 + layer * pitch + side / 2, 104, f"layer {layer}", 11, GREY, "center")
        for head in range(heads):
            x, y, (name, score) = 90 + layer * pitch, 118 + head * pitch, found[layer][head]
            hue = _hue(name)
            c.image(x, y, side, side, probability(np.minimum(2 * weights[layer, head], 1)))
            c.curve([x, x, x + side], [y, y + side, y + side], FAINT if name == MIXED else hue, 2.4)
            bold = "normal" if name == MIXED else "bold"
            c.say(x + side - 2, y + 15, name, 10.5, GREY if name == MIXED else dark(hue), "right", weight=bold)
            if name != MIXED:
                c.say(x + side - 2, y + 33, f"{score:.2f}", 10.5, dark(hue), "right")
            if layer == 0:
                c.say(78, y + side / 2, f"head {head}", 11, GREY, "right", "center_baseline")
    told = "; ".join(f"{layer}.{head} {name} {score:.2f}" for layer, row in enumerate(found)
                     for head, (name, score) in enumerate(row) if name != MIXED)  # fmt: skip
    c.run(90, c.height - 18, [piece for name in dict.fromkeys(name for name, _ in named)
                              for piece in ((f"{name}  ", dark(_hue(name)), "bold"), (f"{LOOKS.get(name, '')}     ",
                                            GREY))], 10)  # fmt: skip
    return c.done(f"Attention maps of {layers} layers of {heads} heads, {len(named)} of them with a name: {told}.")


LOOKS = {"previous": "the token before", "itself": "its own token", "first": "the first token",
         "same word": "the same token, earlier", "line end": "a line's end", "induction": "what followed it last time",
         "all alike": "everything, alike"}  # fmt: skip


def score_and_cost(found, costs):
    """Each head's score beside what its loss costs: bars to the left and to the right, the costliest on top.

    `found` as in `inside_heads`; `costs` (layer head): how far the loss rises with that head set to its mean.
    """
    costs = numbers(costs)
    rows = sorted(((cost, layer, head) for (layer, head), cost in np.ndenumerate(costs)), reverse=True)
    (best, layer, head), high = rows[0], 23
    cheap = [1 for cost, at, of in rows if found[at][of][0] != MIXED and cost < 0.02]
    named = sum(name != MIXED for row in found for name, _ in row)
    c = canvas(140 + high * len(rows), f"A name is no price: {len(cheap)} of the {named} heads with a name cost less "
               f"than 0.02 nats, {layer}.{head} costs {best:.2f}",
               "Left: how much of its attention lies on its pattern. Right: how far the loss rises when the head says "
               "its mean, whatever it reads.")
    middle, left, right = 470, Scale((0, 1), (0, 290)), Scale((0, max(best, 1e-9)), (0, 350))
    c.say(middle - 38, 96, "score", 10.5, GREY, "right")
    c.say(middle + 38, 96, "cost in nats", 10.5, GREY)
    for i, (cost, layer, head) in enumerate(rows):
        y, (name, score) = 106 + high * i, found[layer][head]
        hue = _hue(name)
        c.say(middle, y + high / 2, f"{layer}.{head}", 10.5, INK, "center", "center_baseline", mono=True)
        if name != MIXED:
            wide = float(left(score))
            c.bar(middle - 30 - wide, y + 3, wide, high - 6, tint(hue, 0.25))
            c.run(middle - 38 - wide, y + high / 2, [(f"{name} ", dark(hue), "bold"), (f"{score:.2f}", dark(hue))],
                  10, "right", va="center_baseline")
        wide = float(right(max(cost, 0)))
        c.bar(middle + 30, y + 3, max(wide, 0.8), high - 6, FAINT if name == MIXED else tint(hue, 0.25))
        c.say(middle + 38 + wide, y + high / 2, f"{cost + 0.0:.3f}".replace("-", "−"), 10, INK if cost > 0.02 else GREY,
              va="center_baseline")
    told = "; ".join(f"{layer}.{head} {found[layer][head][0]} costs {cost:.3f}" for cost, layer, head in rows)
    return c.done(f"Score and cost of {len(rows)} heads: {told}.")


# ----------------------------------------------------------------------------------------------- the guess, early


def inside_lens(reads, guesses, chances, leads):
    """The guess after each layer for every token of a text, and over much text who leads: bars at the right.

    `reads`: the tokens; `guesses` rows from the embedding upwards of the token that leads at each place, `chances`
    (row place) their share; `leads`: for each row (share of places where the token just read leads, share where the
    right next one does). A cell is orange where the token itself leads, blue where the right next one does, and boxed
    where that leads up to the end.
    """
    chances, leads, count = numbers(chances), numbers(leads), len(reads) - 1
    rows = len(guesses)
    if chances.shape != (rows, len(reads)) or leads.shape != (rows, 2):
        raise ValueError(f"inside_lens takes {rows} rows of guesses, as many of chances (row place) and of leads "
                         f"(row 2), got {chances.shape} and {leads.shape}")
    since = [_since([row[place] for row in guesses], reads[place + 1]) for place in range(count)]
    right = sum(start < rows for start in since)
    (first, start), (last, end) = (100 * leads[[0, -1]]).round().astype(int)
    c = canvas(140 + 48 * rows + 66, f"From layer to layer the token itself gives way ({first} to {last} %) to the "
               f"right next one ({start} to {end} %)" if first > last and end > start else
               f"Itself leads at {first} % first, at {last} % last; the right next one at {start} %, at {end} %",
               "A cell: the token that leads if the model stopped there, darker = surer; boxed from where the right "
               "one stays.")  # fmt: skip
    left, wide, high, top = 134, min(680 / count, 96), 48, 124
    c.say(left - 14, top - 16, "comes next", 10.5, INK, "right", weight="bold")
    c.say(left - 14, top + rows * high + 24, "reads", 10.5, INK, "right", weight="bold")
    for place in range(count):
        x = left + (place + 0.5) * wide
        good = since[place] < rows
        _fit(c, x, top - 16, reads[place + 1], wide, dark(BLUE) if good else GREY, "bold" if good else "normal")
        _fit(c, x, top + rows * high + 24, reads[place], wide, INK)
        for row in range(rows):
            guess, y = guesses[row][place], top + (rows - 1 - row) * high
            hue = BLUE if guess == reads[place + 1] else ORANGE if guess == reads[place] else GREY
            sure = min(1.25 * chances[row, place], 1)
            color = tint(hue, 0.92 - 0.4 * sure if hue == GREY else 0.72 * (1 - sure))
            c.bar(x - wide / 2 + 1, y + 1, wide - 2, high - 2, color)
            _fit(c, x, y + high / 2 + 4, guess, wide - 4, on(color), "bold" if hue == BLUE else "normal")
        if good:
            tall = rows - since[place]
            c.box(x - wide / 2 + 1, top + 1, wide - 2, tall * high - 2, None, 5, edge=dark(BLUE), px=2.6)
    x, full = left + count * wide + 22, 1000 - 60 - (left + count * wide + 22)
    c.run(x, top - 16, [("over all text", INK, "bold")], 10.5)
    for row, (itself, good) in enumerate(leads):
        y = top + (rows - 1 - row) * high
        c.say(left - 14, y + high / 2 + 4, f"after layer {row - 1}" if row else "embedding", 10.5, GREY, "right")
        for up, share, hue in ((0, itself, ORANGE), (20, good, BLUE)):
            c.bar(x, y + 5 + up, max(full * share, 0.8), 17, hue)
            c.say(x + full * share + 5, y + 14 + up, f"{100 * share:.0f} %", 9, dark(hue), va="center_baseline")
    c.run(left, c.height - 16, [("orange: the token itself     ", dark(ORANGE), "bold"),
                                ("blue: the right next one     ", dark(BLUE), "bold"),
                                ("grey: another", GREY)], 10.5)  # fmt: skip
    told = ", ".join(f"{'after layer ' + str(row - 1) if row else 'embedding'}: itself {itself:.0%}, right {good:.0%}"
                     for row, (itself, good) in enumerate(leads))  # fmt: skip
    return c.done(f"The guess layer by layer for “{''.join(reads).strip()}”: at first most tokens guess themselves, in "
                  f"the end {right} of {count} the right next one. Over held-out text leads at the {told}.")


def _since(guesses, right):
    """The first row from which all guesses up to the end are right; as many as there are rows where the last is not."""
    start = len(guesses)
    while start and guesses[start - 1] == right:
        start -= 1
    return start


def _fit(c, x, y, token, wide, color, weight="normal"):
    """A token in its column, smaller where it is long; its end left out where it would be too small."""
    word = printable(token) if token.isprintable() or "\n" in token else "·"
    size = min(11, 11 * (wide - 6) / max(c.measure(word, 11, weight, mono=True), 1))
    if size < 7:
        letter = c.measure("n" * 20, 7, weight, mono=True) / 20
        word, size = word[: max(int((wide - 6) / letter) - 1, 1)] + "…", 7
    c.say(x, y, word, size, color, "center", weight=weight, mono=True)


# ----------------------------------------------------------------------------------------------------- dials by use


def dials_by_use(inv_freq, use, costs, trained=256):
    """The pairs of rotary as dials: upwards how full each is, downwards what it costs to do without its turning.

    `use`: name → share of each pair; the first as bars, the others, single heads, as strips. `costs`: name → how far
    the loss rises for each pair, hanging side by side. A dial's sector is what its hand sweeps within the `trained`
    length.
    """
    speeds, use = speeds_of(inv_freq), {name: numbers(each) for name, each in use.items()}
    costs, pairs = {name: numbers(each) for name, each in costs.items()}, len(speeds)
    (of_all, full), strips = next(iter(use.items())), list(use.items())[1:]
    most, dear = int(full.argmax()), int(next(iter(costs.values())).argmax())
    c = canvas(458 + (36 if strips else 0) + 32 * len(strips),
               f"Pair {most} is the fullest, but pair {dear} is the one that must turn" if most != dear else
               f"Pair {most} is the fullest, and the one that must turn",
               f"A dial: a pair of numbers, and what its hand sweeps in {trained} tokens. Above it how full the pair "
               "is, below what a change of it costs.")  # fmt: skip
    left, wide, base, hang = 190, 780 / pairs, 216, 306
    for pair in sorted({most, dear}):
        c.box(left + pair * wide + 1, 84, wide - 2, 342, tint(GREY, 0.9), 6)
    _dials(c, speeds, trained, left, wide, base + 40, (most, dear))
    for pair, share in enumerate(full):
        x, tall, bold = left + (pair + 0.5) * wide, 100 * share / full.max(), pair in (most, dear)
        c.bar(x - 15, base - tall, 30, tall, BLUE if bold else tint(BLUE, 0.45))
        c.say(x, base - tall - 7, f"{100 * share:.0f} %", 11 if bold else 9, dark(BLUE), "center",
              weight="bold" if bold else "normal")  # fmt: skip
    c.say(left - 14, base - 36, "how full", 10.5, dark(BLUE), "right", weight="bold")
    c.say(left - 14, base - 19, of_all, 10, GREY, "right")
    scale, thin = max(float(each.max()) for each in costs.values()), 34 / len(costs)
    c.say(left - 14, hang + 22, "loss rises by", 10, GREY, "right")
    for i, (name, each) in enumerate(costs.items()):
        hue = (RED, GOLD)[i % 2]
        c.say(left - 14, hang + 41 + 18 * i, name, 10.5, dark(hue), "right", weight="bold")
        for pair, cost in enumerate(each):
            x, tall = left + (pair + 0.5) * wide - 17 + thin * i, 96 * max(float(cost), 0) / scale
            c.bar(x + 1, hang, thin - 2, max(tall, 0.8), hue if i == 0 else dark(hue))
            if i and tall > 4:  # hollow, so that it is told without colour, too
                c.bar(x + 2.5, hang, thin - 5, tall - 1.5, tint(hue, 0.75))
            if i == 0 and tall > 24:
                size, weight = (11, "bold") if pair == dear else (9, "normal")
                c.say(left + (pair + 0.5) * wide, hang + tall + 14, f"{cost:.2f}", size, dark(hue), "center",
                      weight=weight)  # fmt: skip
    c.line(left, hang, left + pairs * wide, hang, GREY)
    for i, (name, each) in enumerate(strips):
        y, top = 464 + 32 * i, max(float(each.max()) for _, each in strips)
        c.say(left - 14, y + 14, name, 10.5, INK, "right", "center_baseline")
        for pair, share in enumerate(each):
            color = tuple(probability(share / top))
            c.bar(left + pair * wide + 1, y, wide - 2, 28, color)
            c.say(left + (pair + 0.5) * wide, y + 14, f"{100 * share:.0f} %", 9, on(color), "center", "center_baseline")
    if strips:
        c.say(left, 454, "how full they are in single heads", 10.5, dark(BLUE), weight="bold")
    told = "; ".join(f"{name}: most at pair {int(each.argmax())}, {each.max():.2f}" for name, each in
                     [*use.items(), *costs.items()])  # fmt: skip
    return c.done(f"{pairs} dials of rotary, above each how full it is, below what the loss rises by: {told}.")


def _dials(c, speeds, trained, left, wide, y, bold):
    """A row of dials with their numbers and how many tokens a turn takes; those in `bold` stand out."""
    for pair, speed in enumerate(speeds):
        x, strong = left + (pair + 0.5) * wide, pair in bold
        c.ring(x, y + 8, 17, None, 0, WHITE)
        sector(c, x, y + 8, 17, 0, min(speed * trained, TURN - 1e-3), tint(PURPLE, 0.25 if strong else 0.6))
        c.ring(x, y + 8, 17, tint(PURPLE, 0 if strong else 0.3), 1.8 if strong else 1.4, None)
        c.say(x, y - 17, str(pair), 10.5 if strong else 9.5, INK, "center", weight="bold" if strong else "normal")
        c.say(x, y + 41, rounded(TURN / speed), 8.5, GREY, "center")
    c.say(left - 14, y - 17, "pair", 10.5, GREY, "right")
    c.say(left - 14, y + 41, "tokens per turn", 10.5, GREY, "right")


# -------------------------------------------------------------------------------------------------------- induction


def inside_induction(steps, first, second, film, off, intact, together, blind, head):
    """How one head learns to copy: its map at some steps over the loss curve, and what each head's absence costs.

    `steps`, and the loss of the `first` and `second` telling at each; `film`: step → (map (query key), score); `off`:
    (layer head) the loss on the second telling without that head, `intact` with all, `together` = (heads, loss) without
    several, `blind` of a blind guess; `head`: the name of the head on film.
    """
    first, second, off, shots = numbers(first), numbers(second), numbers(off), sorted(film)
    born = next((step for step in shots if film[step][1] > 0.5), shots[-1])
    c = canvas(770, f"Around step {born} a diagonal appears, and the second telling becomes easy",
               f"Random tokens told again and again. Maps: where head {head} looks, with its score. Curves: loss in "
               "nats.")  # fmt: skip
    x, y = Scale((0, max(steps)), (66, 974)), Scale((0, max(first.max(), second.max(), 1)), (500, 300))
    for level in range(int(y.values[1]) + 1):
        c.line(66, float(y(level)), 974, float(y(level)), FAINT)
        c.say(56, float(y(level)), str(level), 9.5, GREY, "right", "center_baseline")
    side, at = min(126, 940 / len(shots) - 12), np.linspace(26, 974 - min(126, 940 / len(shots) - 12), len(shots))
    for left, step in zip(at, shots):
        weights, score = film[step]
        hue = RED if score > 0.5 else GREY
        c.image(left, 86, side, side, probability(np.minimum(2 * numbers(weights), 1)))
        c.curve([left, left, left + side], [86, 86 + side, 86 + side], hue if score > 0.5 else FAINT, 2.2)
        c.say(left + side, 100, f"step {step}", 10, dark(hue), "right", weight="bold")
        c.say(left + side, 117, f"{score:.2f}", 10, dark(hue), "right")
        c.rope(left + side / 2, 88 + side, float(x(step)), float(y(np.interp(step, steps, second))), 1.2,
               tint(GREY, 0.4))  # fmt: skip
    c.curve(x(numbers(steps)), y(first), GREY, 2.2)
    c.curve(x(numbers(steps)), y(second), RED, 3.4)
    for step in shots:
        c.ring(float(x(step)), float(y(np.interp(step, steps, second))), 5, RED, 2)
    c.say(92, float(y(first.max())) + 2, "first telling: nothing to copy", 10.5, GREY)
    c.say(974, float(y(second[-1])) - 11, "told again", 11, dark(RED), "right", weight="bold")
    for step in range(0, max(steps) + 1, max(10, max(steps) // 40 * 10)):
        c.say(float(x(step)), 520, f"step {step}" if step == 0 else str(step), 9.5, GREY, "center")
    _without(c, off, intact, together, blind)
    told, worst = ", ".join(f"step {step} {film[step][1]:.2f}" for step in shots), _worst(off)
    return c.done(f"Head {head} learns induction: its score at {told}; the loss told again falls from "
                  f"{second[0]:.2f} to {second[-1]:.2f}. Intact it is {intact:.2f}, one head off {worst} costs most, "
                  f"{off.max():.2f}; without {' and '.join(together[0])} it is {together[1]:.2f}.")


def _worst(off):
    """The head whose absence costs most, as 0.3."""
    return ".".join(str(int(i)) for i in np.unravel_index(off.argmax(), off.shape))


def _without(c, off, intact, together, blind):
    """The lower part of `inside_induction`: a bar for each head that is off, for several together, and for none."""
    names, loss = together
    look = "looks" if len(names) == 1 else "look"
    what = "copying is lost" if loss > 0.75 * blind else "copying suffers most"
    y = Scale((0, max(off.max(), loss, blind) * 1.12), (720, 584))
    c.run(26, 562, [(f"Without {' and '.join(names)}, which {look} one token back, {what}", INK, "bold"),
                    ("    loss told again", GREY)], 12)  # fmt: skip
    c.line(66, float(y(blind)), 974, float(y(blind)), GREY, 1, (4, 3))
    c.say(66, float(y(blind)) - 6, f"blind guess {blind:.2f}", 9.5, GREY)
    bars = [("intact", intact, GREY)]
    bars += [(f"{layer}.{head}", off[layer, head], RED if layer else BLUE) for layer, head in np.ndindex(off.shape)]
    bars += [(" + ".join(names), loss, BLUE)] if len(names) > 1 else []
    c.line(66, 720, 974, 720, FAINT)
    wide = 840 / len(bars)
    for i, (name, loss, hue) in enumerate(bars):
        left, dear = 134 + i * wide, loss > intact + 0.3
        c.bar(left + 12, float(y(loss)), wide - 24, 720 - float(y(loss)), hue if dear else tint(hue, 0.55))
        c.say(left + wide / 2, float(y(loss)) - 6, f"{loss:.2f}", 10.5, dark(hue) if dear else GREY, "center",
              weight="bold" if dear else "normal")  # fmt: skip
        c.say(left + wide / 2, 740, name, min(10.5, 10.5 * wide / c.measure(name, 10.5)), INK, "center")


# --------------------------------------------------------------------------------------------------------- patching


def patched(words, restored, heads, change, guess):
    """Where a difference between two texts lies: how much of it one place of one layer's stream brings back.

    `words`: the changed text; `restored` (row place), the first row the embedding; `heads` (layer head) the same for a
    head alone; `change` = (place, word that stood there); `guess`: the word that the difference is about.
    """
    restored, heads, (place, old) = numbers(restored), numbers(heads), change
    rows, wide = len(restored), min(64, 600 / len(words))
    best = np.unravel_index(heads.argmax(), heads.shape)
    until = max((row for row in range(rows) if restored[row].argmax() == place), default=0)
    stays = f"until layer {until - 1}" if until else "in the embedding alone"
    end = words[restored[-1].argmax()].strip()
    c = canvas(128 + 36 * rows + 26, f"Most of the difference stays at “{words[place].strip()}” {stays}; then it is at "
               f"“{end}”", f"One place of the stream is taken from the text with “{old.strip()}”; number: how much of "
               f"“{guess.strip()}” comes back.")  # fmt: skip
    left, top, high = 124, 128, 36
    for i, word in enumerate(words):
        x = left + (i + 0.5) * wide
        _fit(c, x, top - 14, word, wide, dark(RED) if i == place else INK, "bold" if i == place else "normal")
        if i == place:
            _fit(c, x, top - 32, old, wide, dark(BLUE), "bold")
        for row in range(rows):
            share, y = restored[row, i], top + (rows - 1 - row) * high
            color = tuple(signed(np.clip(share, -1, 1)))
            c.bar(x - wide / 2 + 1, y + 1, wide - 2, high - 2, color)
            if abs(share) >= 0.05:
                c.say(x, y + high / 2, f"{share:.2f}", 10, on(color), "center", "center_baseline")
    for row in range(rows):
        y = top + (rows - 1 - row) * high + high / 2
        c.say(left - 12, y, f"after layer {row - 1}" if row else "embedding", 10.5, GREY, "right", "center_baseline")
    x0, layers, count = left + len(words) * wide + 54, *heads.shape
    c.say(x0, top - 14, "one head alone, 0 to 3", 10.5, INK, weight="bold")
    for layer, head in np.ndindex(heads.shape):
        x, y = x0 + head * 46, top + (layers - 1 - layer) * high
        color = tuple(signed(np.clip(heads[layer, head], -1, 1)))
        c.bar(x + 1, y + 1, 44, high - 2, color, edge=FAINT, px=0.8)
        if abs(heads[layer, head]) >= 0.05:
            c.say(x + 23, y + high / 2, f"{heads[layer, head]:.2f}", 10, on(color), "center", "center_baseline")
    for head in range(count):
        c.say(x0 + head * 46 + 23, top + layers * high + 16, str(head), 10, GREY, "center")
    told = "; ".join(f"{'after layer ' + str(row - 1) if row else 'embedding'}: most at “{printable(words[i])}”, "
                     f"{restored[row, i]:.2f}" for row, i in enumerate(restored.argmax(1)))  # fmt: skip
    return c.done(f"Patching “{''.join(words).strip()}” from the text with “{old.strip()}”: {told}. Of single heads "
                  f"{best[0]}.{best[1]} brings back most, {heads.max():.2f}.")
