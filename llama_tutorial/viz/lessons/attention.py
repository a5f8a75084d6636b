"""Figures of lesson 05: ropes and their matrix, the mask, why √dim, shared keys, and what is done again."""

import numpy as np

from ..kit.canvas import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    HUES,
    INK,
    MAUVE,
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
    tint,
    to_rgb,
)
from ..kit.cells import TOKEN_HUES, checked_weights, gap_for, is_causal, strongest, token_color, weight_cells

# -------------------------- Attention as ropes: one query with the values it mixes, and all queries beside their matrix


BANDED, SHADE = "#fbf1d5", "#f2f3f8"
ROW = 86  # pixels from one row of ropes to the next


def one_query(weights, values, tokens, query=-1):
    """One word asks: ropes as thick as its weights hang from it to the values and meet in their weighted mean.

    `weights` (key), `values` (key dim), none negative, at most 6 tokens of at most 3 numbers; words after `query`,
    the number of the one that asks, are grey and get no rope.
    """
    weights, values = numbers(weights), numbers(values)
    words, asks = [printable(str(token)) for token in tokens], range(len(tokens))[query]
    fits = values.ndim == 2 and weights.shape == values.shape[:1] == (len(words),) and values.shape[1] <= 3
    if not fits or len(words) > 6 or (weights < 0).any() or (values < 0).any() or not values.any():
        raise ValueError(
            "one_query takes weights (key) and values (key dim), none negative, of at most 6 tokens with "
            f"at most 3 numbers each, got {weights.shape} and {values.shape} for {len(words)} tokens"
        )
    best, answer = int(weights.argmax()), weights @ values
    c = canvas(
        674,
        f"“{words[asks]}” asks, and “{words[best]}” answers loudest, with weight {weights[best]:.2f}",
        "A rope is as thick as its weight, bars are a word’s value; below, the ropes meet in the weighted mean.",
    )
    for y, name in ((104, "query"), (283, "weight"), (315, "key"), (414, "value"), (628, "answer")):
        c.say(26, y, name, color=GREY)
    xs, seen = 150 + min(180, 800 / len(words)) * np.arange(len(words)), np.arange(len(words)) <= asks
    middle, scale = xs[seen].mean(), 81 / max(values.max(), answer.max())
    c.say(middle, 112, words[asks], 16, dark(TOKEN_HUES[asks]), "center", weight="bold", mono=True)
    edge = middle - 65 * weights.sum()
    for x, weight, hue in zip(xs, weights, TOKEN_HUES):
        for y, end, color in ((128, 296, hue), (562, 438, tint(hue, 0.62))):
            if weight > 0.001:
                c.rope(edge + 65 * weight, y, x, end, 130 * weight, color)
        edge += 130 * weight
    for i, x in enumerate(xs):
        _word_below(
            c,
            x,
            words[i],
            weights[i],
            values[i] * scale,
            values[i],
            TOKEN_HUES[i] if seen[i] else None,
            "left" if x < middle else "right",
        )
    _stacked(c, middle, weights[:, None] * values * scale, answer)
    for row, column in enumerate(values.T):
        terms = [
            (f"{weight:.2f}×{value:g}", dark(hue))
            for weight, value, hue, said in zip(weights, column, TOKEN_HUES, seen)
            if said
        ]
        joined = [piece for term in terms for piece in ((" + ", GREY), term)][1:]
        c.run(
            middle + 104,
            642 + 25 * (row - values.shape[1] + 1),
            [*joined, (f" = {answer[row]:.2f}", INK, "bold")],
            11.5,
            mono=True,
        )
    told = ", ".join(f"{word} {weight:.2f}" for word, weight, said in zip(words, weights, seen) if said)
    mean = ", ".join(f"{part:.2f}" for part in answer)
    return c.done(
        f"Ropes from the query of “{words[asks]}” to its keys, as thick as the weights {told}; they meet "
        f"in the weighted mean of the values, ({mean})."
    )


def _word_below(c, x, word, weight, heights, value, hue, side):
    """A key with its weight and the bars of its value; without a hue, a word not yet said."""
    color, text = hue or tint(GREY, 0.86), dark(hue) if hue else tint(GREY, 0.4)
    c.say(x, 320, word, 13.5, text, "center", weight="bold", mono=True)
    half = 65 * weight
    if not hue:
        c.say(x, 270, "not yet said:\nno rope", 10, GREY, "center", linespacing=1.4)
    elif half > 26:
        c.say(x, 281, f"{weight:.2f}", 12.5, WHITE, "center", weight="bold")
    else:
        out = -1 if side == "left" else 1
        c.say(x + out * (half + 7), 288, f"{weight:.2f}", 12.5, text, "right" if out < 0 else "left", weight="bold")
    left = x - 16.5 * len(value)
    for i, (height, number) in enumerate(zip(heights, value)):
        c.bar(left + 33 * i + 1, 430 - height, 31, height, color)
        c.say(left + 33 * i + 16.5, 424 - height, f"{number:g}", 10.5, text, "center")
    c.line(left - 3, 430, left + 33 * len(value) + 3, 430, INK if hue else tint(GREY, 0.6), 1.4)


def _stacked(c, middle, parts, answer):
    """The weighted mean: what every word gives to each of its numbers, one on the other."""
    left = middle - 32.5 * len(answer)
    for i, total in enumerate(answer):
        y = 656.0
        for part, hue in zip(parts[:, i], TOKEN_HUES):
            c.bar(left + 65 * i + 1, y - part, 62, part, hue)
            if part > 6 and y < 656:  # a seam, where it does not hide what is thin
                c.line(left + 65 * i + 1, y, left + 65 * i + 63, y, WHITE, 1.4)
            y -= part
        c.say(left + 65 * i + 32, y - 8, f"{total:.2f}", 13, INK, "center", weight="bold")
    c.line(left - 5, 656, left + 65 * len(answer) + 5, 656, INK, 1.6)


def ropes(weights, tokens, highlight=None):
    """The same weights twice: as ropes that hang from every query to its keys, and as a matrix.

    `weights` (query key), square, at most 6 tokens; the row number `highlight` is banded.
    """
    weights, tokens = checked_weights(weights, tokens, (2,))
    n, words, causal = len(tokens), [printable(token) for token in tokens], is_causal(weights)
    if n > 6 or len(weights) != n:
        raise ValueError(
            f"ropes draws square weights of at most 6 tokens, got {weights.shape}: more ropes "
            "are too thin to read, use attention_map"
        )
    row, column = strongest(weights) if highlight is None else (highlight, weights[highlight].argmax())
    c = canvas(
        166 + ROW * n,
        f"Every row of the matrix is one set of ropes: “{words[row]}” hangs on "
        f"“{words[column]}” by {weights[row, column]:.2f}",
        "Row = who asks, column = who is asked. Left: ropes as thick as the weights; right: the same weights.",
    )
    xs, left, pitch, top = 160 + 320 / max(1, n - 1) * np.arange(n), 556, min(80, 420 / n), 138
    if highlight is not None:
        c.box(14, top - 2 + ROW * row, 972, ROW, BANDED, 8)
    c.say(26, top - 20, "query", color=GREY)
    c.say(531, top + ROW * (row + 0.5) - 2, "=", 16, ha="center", va="center_baseline", weight="bold")
    for i, (word, hue) in enumerate(zip(words, TOKEN_HUES)):
        for x in (xs[i], left + pitch * (i + 0.5) - 2):
            c.say(x, top - 20, word, 11, dark(hue), "center", weight="bold", mono=True)
        y = top + ROW * i
        c.say(26, y + ROW / 2 - 2, word, 11, dark(hue), va="center_baseline", weight="bold", mono=True)
        if i:
            c.line(116, y - 2, 506, y - 2, FAINT)
        edge = weights[i] @ xs - 27 * weights[i].sum()  # at the query side by side
        for x, weight, rope_hue in zip(xs, weights[i], TOKEN_HUES):
            if weight > 0.002:
                c.rope(edge + 27 * weight, y + 9, x, y + 73, 54 * weight, rope_hue)
            edge += 54 * weight
    weight_cells(c, left, top, pitch, ROW, weights, causal)
    rows = "; ".join(
        " ".join([f"{word}:", *(f"{weight:.2f}" for weight in line)]) for word, line in zip(words, weights)
    )
    return c.done(f"Attention weights as ropes and as a matrix, row by row: {rows}.")


# ------------------------------------------------------------- One row follows one thing: why there are several heads


def one_head_or_two(sentences, values):
    """What the last word of two sentences hears through one head and through two.

    `sentences` maps each sentence to two pairs (weights (head key), heard (2)), the first of one head, the second of
    two; `values` maps a word to the number that it tells, and other words tell nothing.
    """
    told = {text: [(numbers(weights), numbers(heard)) for weights, heard in ways] for text, ways in sentences.items()}
    shapes = {(weights.shape, heard.shape) for ways in told.values() for weights, heard in ways}
    key = {len(text.split()) for text in told}
    if len(told) != 2 or len(key) != 1 or shapes != {((heads, *key), (2,)) for heads in (1, 2)}:
        raise ValueError(
            "one_head_or_two takes two sentences of equally many words, each with (weights (head key), heard (2)) "
            f"of one head and of two, got {len(told)} sentences with {sorted(shapes)}"
        )
    one, two = (np.stack([ways[i][1] for ways in told.values()]) for i in (0, 1))
    same, apart = np.allclose(one[0], one[1]), not np.allclose(two[0], two[1])
    c = canvas(
        520,
        "One head mixes the two animals, and who chased whom is lost; two heads tell them apart"
        if same and apart
        else "What the last word hears through one head, and through two",
        f"Rope = weight. {', '.join(f'“{word}” tells {value:g}' for word, value in values.items())}; right: "
        "what the last word has heard, a number for each half of the value.",
    )
    for column, (name, good) in enumerate((("one head", not same), ("two heads", apart))):
        left = 26 + 500 * column
        end = c.run(left, 112, [(name, INK, "bold")], 15)
        verdict = "another answer for each sentence" if good else "the same answer for both sentences"
        c.say(end + 14, 112, f"{'✓' if good else '✗'} {verdict}", 11, dark(BLUE if good else RED), weight="bold")
        for row, (text, ways) in enumerate(told.items()):
            _heads_of_a_sentence(c, left, 132 + 190 * row, text.split(), *ways[column], values)
    said = "; ".join(
        f"{text}: one head hears {', '.join(f'{part:.2f}' for part in ways[0][1])}, two heads "
        f"{', '.join(f'{part:.2f}' for part in ways[1][1])}"
        for text, ways in told.items()
    )
    return c.done(f"What the last word hears through one head and through two; {said}.")


def _heads_of_a_sentence(c, left, top, words, weights, heard, values):
    """One sentence: its words, ropes from the last one to those that it hears, and what it has heard."""
    xs, hues = left + 60 + 94 * np.arange(len(words)), [BLUE, MAUVE] if len(weights) == 2 else [PURPLE]
    c.box(left, top, 462, 172, SHADE, 8)
    for x, word in zip(xs, words):
        ink = INK if word in values or word == words[-1] else GREY
        c.say(x, top + 32, word, 12, ink, "center", weight="bold", mono=True)
        if word in values:
            c.say(x, top + 52, f"tells {values[word]:g}", 10, GREY, "center")
    heard_of = [(x, weight, hue) for row, hue in zip(weights, hues) for x, weight in zip(xs, row) if weight > 0.03]
    for i, (x, weight, hue) in enumerate(sorted(heard_of)):  # the farthest hangs lowest
        end = xs[-1] + 26 * (0.5 - i / max(1, len(heard_of) - 1))
        c.curve(*_hanging(x, end, top + 60, 78 - 40 * i), hue, 20 * weight)
        c.say(x - 6 - 10 * weight, top + 80, f"{weight:.2f}", 10.5, dark(hue), "right", weight="bold")
    for i, number in enumerate(heard):
        hue = hues[i % len(hues)]
        c.box(left + 388, top + 82 + 40 * i, 62, 32, hue, 5)
        c.say(left + 419, top + 98 + 40 * i, f"{number:.2f}", 13, on(hue), "center", "center_baseline", "bold")


def _hanging(x0, x1, y, depth):
    """The points of a rope that hangs from (x0, y) to (x1, y − 20), so many pixels deep."""
    at = np.linspace(0, 1, 60)
    return x0 + (x1 - x0) * (3 * at**2 - 2 * at**3), y - 20 * at + depth * (1 - (2 * at - 1) ** 4)


# ----------------------------------- Attention weights as a matrix: one head with its numbers, or several as small maps


def attention_map(weights, tokens, title=None):
    """Attention weights as a matrix: row = who asks, column = who is asked; several heads as small maps.

    `weights` (query key) or (head query key) after the softmax; `tokens` names the keys, and the queries are
    the last of them. Up to 14 tokens carry their numbers; at most 64 tokens and 16 heads are drawn.
    """
    weights, tokens = checked_weights(weights, tokens, (2, 3))
    if weights.ndim == 3 and len(weights) > 1:
        return _head_maps(weights, tokens, title)
    weights = weights.reshape(weights.shape[-2:])
    (query, key), words, causal = weights.shape, [printable(t) for t in tokens], is_causal(weights)
    row, column = strongest(weights)
    look = f"“{words[key - query + row]}” gives “{words[column]}” {weights[row, column]:.2f}"
    c, left, top, wide, high = _labelled(words, query)
    best = ", the most that any word gives another" if query > 1 else ""
    c.title.set_text(title or f"{look} of its attention{best}")
    sums = ", each row adds up to 1" if np.allclose(weights.sum(-1), 1, atol=0.01) else ""
    blank = " Blank: 0.00." if 8 < key <= 14 else ""
    c.subtitle.set_text(
        f"Row = who asks, column = who is asked{sums}. Boxed: the largest weight on another word.{blank}"
    )
    weight_cells(c, left, top, wide, high, weights, causal)
    gap = gap_for(key)
    c.box(left + wide * column, top + high * row, wide - gap, high - gap, None, gap, edge=INK, px=2)
    right = left + wide * key + 26
    c.say(right, top - 18, "looks most at", color=GREY)
    for i, line in enumerate(weights):
        most = np.flatnonzero(line > line.max() - 0.001)[:2]  # two where they are equal
        names = [(f"{words[j]} ", token_color(j, key), "bold") for j in most]
        c.run(
            right,
            top + high * (i + 0.5) - gap / 2,
            [*names, (f"{line.max():.2f}", GREY)],
            min(11, high / 1.6),
            va="center_baseline",
        )
    last = weights[-1].argmax()
    return c.done(
        f"Matrix of attention weights, {query} by {key} ({' '.join(words)}): {look}; the last "
        f"word, “{words[-1]}”, looks most at “{words[last]}” with {weights[-1, last]:.2f}."
    )


def _labelled(words, query):
    """A canvas with the words along two sides; also the matrix's corner (x, y) and the pitch of its cells."""
    key, probe = len(words), canvas(100)
    longest = max(probe.measure(word, weight="bold", mono=True) for word in words)
    left = 44 + min(longest, 150)
    wide = min(124, (1000 - left - 210) / key)
    high, flat = min(wide, 66), longest < wide - 4
    top = 140 if flat else 116 + longest * 0.9
    c, gap = canvas(top + high * query + 30), gap_for(key)
    for i, word in enumerate(words):
        color, x, row = token_color(i, key), left + wide * (i + 0.5) - gap / 2, i - key + query
        _column_label(c, x, top - 18 if flat else top - 12, word, wide, flat, color)
        if row >= 0:
            c.say(
                left - 18,
                top + high * (row + 0.5) - gap / 2,
                word,
                min(10.5, high * 0.6),
                color,
                "right",
                "center_baseline",
                "bold",
                mono=True,
            )
    return c, left, top, wide, high


def _column_label(c, x, y, word, pitch, flat, color, weight="bold"):
    """A word above a column: flat where it fits, else rising to the right."""
    size = 10.5 if flat else min(10.5, pitch * 0.6)
    c.say(
        x,
        y,
        word,
        size,
        color,
        "center" if flat else "left",
        weight=weight,
        mono=True,
        rotation=0 if flat else 60,
        rotation_mode="anchor",
    )


def _head_maps(weights, tokens, title):
    """The small maps of several heads, each named after its habit, under one set of labels."""
    (head, query, key), words, causal = weights.shape, [printable(t) for t in tokens], is_causal(weights)
    if head > 16:
        raise ValueError(f"attention_map draws at most 16 heads in one figure, got {head}: pass weights[:16]")
    found, columns = [_habit(each) for each in weights], head if head < 5 else 3 if head in (5, 6, 9) else 4
    named, probe = sum(share > 0 for _, share, _ in found), canvas(100)
    pitch = min(44, (1000 - 160 - 28 * (columns - 1)) / columns / key)
    size = min(10.5, pitch * 0.6)
    longest = max(probe.measure(word, size, mono=True) for word in words) if pitch > 11 else 40
    inside = causal and query == key and pitch * key > 150  # there names fit into the corner
    left, down = 36 + longest, pitch * query + (26 if inside else 40)
    top = (100 if inside else 120) + longest * (0.9 if pitch > 11 else 0.5)
    c = canvas(
        top - (-head // columns) * down + 4,
        title or _what_heads_do(found),
        "Row = who asks, column = who is asked, deeper = more weight; number = mean weight on the habit.",
    )
    for number, habit in enumerate(found):
        x, y = left + number % columns * (pitch * key + 28), top + number // columns * down
        c.image(x, y, pitch * key, pitch * query, probability(weights[number]))
        c.curve([x, x, x + pitch * key], [y, y + pitch * query, y + pitch * query], habit[2] or FAINT, 2)
        _name_head(c, x + pitch * key * inside, y, number, habit, inside)
        if number < columns:
            _head_columns(c, x, y - (8 if inside else 28), pitch, words)
        if number % columns == 0:
            _head_rows(c, x - 8, y, pitch, words[key - query :])
    said = "; ".join(
        f"head {number}: {name}" + (f" {share:.2f}" if share else "") for number, (name, share, _) in enumerate(found)
    )
    return c.done(f"Attention weights of {head} heads over {key} words, {named} of them with a named habit: {said}.")


HABITS = {"itself": "itself", "previous": "the word before it", "first": "the first word"}


def _what_heads_do(found):
    """A title for the habits of heads: the one that stands out, or how many can be named."""
    named = [(number, name, share) for number, (name, share, _) in enumerate(found) if share]
    if len(named) == 1:
        number, name, share = named[0]
        return f"In head {number} a word hears {HABITS[name]}, by {share:.2f} in the mean; the others mix"
    kinds = [name for name in HABITS if name in {name for _, name, _ in named}]
    told = ": " + ", ".join(HABITS[name] for name in kinds) if kinds else ""
    return f"{len(named)} of {len(found)} heads have one habit each{told}" if named else "No head has a habit to name"


def _name_head(c, x, y, number, habit, inside):
    """The number of a head and its habit: in the corner above the diagonal, or else above the map."""
    name, share, hue = habit
    color, weight, score = (dark(hue), "bold", f"{share:.2f}") if share else (GREY, "normal", "")
    if not inside:
        c.run(x, y - 9, [(f"head {number}  ", GREY), (f"{name} ", color, weight), (score, color)], 10)
        return
    c.say(x, y + 14, f"head {number}", 10, GREY, "right")
    c.say(x, y + 32, name, 10, color, "right", weight=weight)
    c.say(x, y + 50, score, 10, color, "right")


def _head_columns(c, x, y, pitch, words):
    if pitch <= 11:
        c.say(x, y, "key →", 10, GREY)
    for i, word in enumerate(words if pitch > 11 else ()):
        _column_label(c, x + pitch * (i + 0.5), y, word, pitch, False, GREY, "normal")


def _head_rows(c, x, y, pitch, words):
    if pitch <= 11:
        c.say(x, y + 10, "query ↓", 10, GREY, "right")
    for i, word in enumerate(words if pitch > 11 else ()):
        c.say(x, y + pitch * (i + 0.5), word, min(10.5, pitch * 0.6), GREY, "right", "center_baseline", mono=True)


def _habit(weights):
    """(name, mean weight, hue) of what a head mostly looks at; ("mixed", 0, None) if at nothing by half."""
    query, key = weights.shape
    rows, at = np.arange(query), np.arange(query) + key - query
    later = at >= 2  # before that, first, previous and itself are the same word
    if not later.any():
        return "mixed", 0, None
    habits = [
        ("itself", weights[rows, at], GREEN),
        ("previous", weights[rows, at - 1], BLUE),
        ("first", weights[:, 0], MAUVE),
    ]
    name, share, hue = max(
        ((name, float(each[later].mean()), hue) for name, each, hue in habits), key=lambda habit: habit[1]
    )
    return (name, share, hue) if share >= 0.5 else ("mixed", 0, None)


# ------------------------------- What a mask is for: a leak that an edit finds, and what goes into the forbidden places


def leak(changes, tokens, place, new):
    """How far the guess at every word moves when the word number `place` becomes `new`: up in red, down in blue.

    `changes` maps two names, first of the attention without a mask, to one number per token; at most 10 tokens.
    """
    (bad, up), (good, down) = ((name, numbers(each)) for name, each in changes.items())
    words = [printable(str(token)) for token in tokens]
    if not up.shape == down.shape == (len(words),) or not 1 <= place < len(words) <= 10 or not up.any():
        raise ValueError(
            "leak takes two lists of changes, each one number for 2 to 10 tokens, and the place of an "
            f"edit after the first, got {up.shape} and {down.shape} for {len(words)} tokens at {place}"
        )
    moved = up[place - 1]
    c = canvas(
        524,
        f"Change word {place}, and the guess before it moves: by {_amount(moved)} with {bad}, "
        f"by {_amount(down[place - 1])} with {good}",
        f"Bar = how far the scores of the next word move, at each word, when “{words[place]}” becomes “{new}”.",
    )
    amounts = _amounts([*up, *down])
    pitch = 850 / len(words)
    xs, scale = 150 + pitch * np.arange(len(words)), 1 / max(up.max() / 186, down.max() / 96)
    c.bar(xs[place] - pitch / 2, 88, pitch, 420, SHADE)
    for name, values, base, way, hue in ((bad, up, 326, -1, RED), (good, down, 390, 1, BLUE)):
        c.say(26, base + 22 * way + 4, name, 12, dark(hue), weight="bold")
        for x, value in zip(xs, values):
            c.bar(x - 27, min(base, base + way * value * scale), 54, value * scale, hue)
            c.say(
                x,
                base + way * (value * scale + 9),
                amounts[value],
                11,
                dark(hue),
                "center",
                "bottom" if way < 0 else "top",
                "bold" if value in (0, up.max()) else "normal",
            )
        c.line(112, base, 976, base, INK, 1.4)
    _edited(c, xs, words, place, new)
    if up[: place - 1].max(initial=0) < 0.5 * moved and moved * scale > 90 and place > 2:
        c.say(
            xs[place - 1] - 40,
            326 - moved * scale + 16,
            f"Word {place - 1} must guess word {place}.\nHere it has read it.",
            11,
            dark(RED),
            "right",
            va="top",
            linespacing=1.5,
        )
    clean = not down[:place].any()
    c.say(
        xs[0] - 27,
        452,
        "Exactly 0 before the edit:\nno later word can reach back."
        if clean
        else "Not 0 before the edit:\nthis one leaks as well.",
        11,
        dark(BLUE),
        va="top",
        linespacing=1.5,
    )
    if place < len(words) - 2:
        c.say(
            xs[place] + pitch / 2 + 12,
            452,
            "From the edit on,\nguesses may change.",
            11,
            dark(BLUE),
            va="top",
            linespacing=1.5,
        )
    told = "; ".join(f"{name}: {', '.join(map(_amount, each))}" for name, each in ((bad, up), (good, down)))
    return c.done(
        f"How far the guesses at {len(words)} words move when word {place}, “{words[place]}”, becomes “{new}”; {told}."
    )


def _edited(c, xs, words, place, new):
    """The words between the two rows of bars with their numbers, one struck out for the new one."""
    for i, (x, word) in enumerate(zip(xs, words)):
        gone = i == place
        c.say(x, 349, word, 11, tint(GREY, 0.3) if gone else INK, "center", weight="bold", mono=True)
        c.say(
            x,
            376,
            new if gone else f"{i}",
            11 if gone else 10,
            dark(PURPLE) if gone else GREY,
            "center",
            weight="bold" if gone else "normal",
            mono=gone,
        )
    half = c.measure(words[place], 11, "bold", True) / 2 + 3
    c.line(xs[place] - half, 345, xs[place] + half, 345, dark(PURPLE), 2)


def _amount(value):
    """A change in three figures: exactly 0 is “0”, and what is smaller than shown says so."""
    return "0" if value == 0 else "<0.001" if value < 0.001 else f"{value:.3f}" if value < 0.01 else f"{value:.2f}"


def _amounts(values):
    """Each change as text: a digit more for changes that differ and would read the same."""
    said = {value: _amount(value) for value in values}
    alike = [text for text in said.values()]
    return {value: f"{value:.3f}" if "." in text and alike.count(text) > 1 and value >= 0.01 else text
            for value, text in said.items()}


def fills(ways, tokens, query):
    """One row of weights under some ways to forbid the words after `query`, each with the scores beneath its bars.

    `ways` maps 1 to 3 names to (scores (key), weights (key)), the scores as they went into the softmax.
    """
    ways = {name: (numbers(scores), numbers(weights)) for name, (scores, weights) in ways.items()}
    words, panels = [printable(str(token)) for token in tokens], []
    if (
        not 1 <= len(ways) <= 3
        or any(part.shape != (len(words),) for way in ways.values() for part in way)
        or not 0 <= query < len(words) - 1 <= 7
    ):
        raise ValueError(
            "fills takes 1 to 3 ways, each (scores (key), weights (key)), and a query that is not the "
            f"last of at most 8 tokens, got {len(ways)} ways for {len(words)} tokens and query={query}"
        )
    worst = max(weights[query + 1 :].sum() for _, weights in ways.values())
    c = canvas(
        436,
        f"0 is a score like any other: with it, “{words[query]}” gives {worst:.0%} to words not yet said",
        f"The row of “{words[query]}”. Bars: its weights; beneath: the scores that went into the softmax. "
        "Only exp(−∞) is 0.",
    )
    pitch = min(90, (886 - 34 * (len(ways) - 1)) / len(ways) / len(words))
    wide, highest = pitch * len(words), max(weights.max() for _, weights in ways.values())
    for y, name in ((352 - 70, "weight"), (408, "score")):
        c.say(26, y, name, color=GREY)
    for number, (name, (scores, weights)) in enumerate(ways.items()):
        left = 90 + number * (wide + 34)
        panels.append(_panel(c, left, pitch, name, words, query, scores, weights, 150 / highest))
    told = "; ".join(
        f"{name}: {', '.join(f'{weight:.2f}' for weight in weights)} ({verdict})"
        for (name, (_, weights)), verdict in zip(ways.items(), panels)
    )
    return c.done(
        f"Weights of “{words[query]}” over {' '.join(words)} under {len(ways)} ways to forbid the later words; {told}."
    )


def _panel(c, left, pitch, name, words, query, scores, weights, scale):
    """One way to forbid: bars, hatched where they lie in the future; returns its verdict in words."""
    future, total = weights[query + 1 :].sum(), weights.sum()
    verdict = (
        f"{future:.0%} lies in the future"
        if future > 0.0005
        else f"the row adds up to {total:.2f}, not 1"
        if abs(total - 1) > 0.005
        else "all weight lies in the past"
    )
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
        c.say(
            x + pitch / 2,
            373,
            word,
            min(10, 10 * (pitch - 4) / c.measure(word, 10, "bold", True)),
            INK,
            "center",
            weight="bold",
            mono=True,
        )
        text = "−∞" if score == -np.inf else f"{score:.1f}".replace("-", "−")
        c.say(
            x + pitch / 2,
            408,
            text,
            11,
            color if late else INK,
            "center",
            weight="bold" if late else "normal",
            mono=True,
        )
    c.line(left, 352, left + pitch * len(words), 352, INK, 1.4)
    return verdict


# -------------------------------- Why scores are divided by √dim: how far they spread, and what a softmax makes of them


def root_dim(scores):
    """Scores of random queries and keys for some sizes of a head, as they are and divided by √dim.

    `scores` maps 1 to 4 sizes dim to undivided scores (query key). Left of each half the scores, right of it the mean
    of all rows of weights, sorted, and how many equal keys would be as undecided (e to the entropy).
    """
    scores = {dim: numbers(each) for dim, each in scores.items()}
    keys = {each.shape[-1] for each in scores.values() if each.ndim == 2}
    if not 1 <= len(scores) <= 4 or len(keys) != 1 or any(each.ndim != 2 for each in scores.values()):
        raise ValueError(
            "root_dim takes 1 to 4 sizes, each with scores (query key) over the same number of keys, got "
            f"{ {dim: each.shape for dim, each in scores.items()} }"
        )
    divided, last, told = {dim: each / dim**0.5 for dim, each in scores.items()}, max(scores), []
    halves = [
        (scores, RED, "q · k", "spreads with dim: the softmax picks one"),
        (divided, BLUE, "q · k / √dim", "spreads alike at every dim"),
    ]
    c = canvas(
        176 + 150 * len(scores),
        f"Undivided, a head of {last:,} numbers gives its best key "
        f"{_rows(scores[last])[0][0]:.2f}; divided by √dim, {_rows(divided[last])[0][0]:.2f}",
        f"Random queries over {keys.pop()} keys. Histogram: all scores; bars: the weights of a row, sorted, "
        "mean of all rows.",
    )
    for half, (each, hue, name, why) in enumerate(halves):
        left = 116 + 448 * half
        c.run(left, 108, [(name, dark(hue), "bold"), (f"   {why}", GREY)], 11.5)
        reach = _round_up(3.1 * max(part.std() for part in each.values()))
        for x, label in ((left, "scores"), (left + 208, "weights")):
            c.say(x, 136, label, color=GREY)
        for row, (dim, part) in enumerate(each.items()):
            y = 262 + 150 * row
            _histogram(c, left, y, part, reach, hue)
            told.append(f"{name} at {dim:,}: " + _sorted_row(c, left + 208, y, part, hue))
    for row, dim in enumerate(scores):
        c.say(26, 206 + 150 * row, "dim", color=GREY)
        c.say(26, 232 + 150 * row, f"{dim:,}", 16, weight="bold")
    return c.done(
        f"Scores and weights of random queries for heads of {', '.join(f'{dim:,}' for dim in scores)} "
        f"numbers, undivided and divided by √dim; {'; '.join(told)}."
    )


def _rows(scores):
    """The mean of the sorted rows of weights, and e to the mean entropy of a row."""
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    weights = powers / powers.sum(-1, keepdims=True)
    entropy = -(weights * np.log(np.maximum(weights, 1e-300))).sum(-1).mean()
    return np.sort(weights, axis=-1)[:, ::-1].mean(0), np.exp(entropy)


def _round_up(value):
    """The next number of 1, 2, 4, 5 or 10 times a power of ten."""
    power = 10 ** np.floor(np.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 10) if step * power >= value * 0.999)


def _histogram(c, left, y, scores, reach, hue):
    """All scores on an axis from −reach to reach, 172 × 96 pixels, the mode at full height."""
    count, edges = np.histogram(scores, np.linspace(-reach, reach, 44))
    x = Scale((-reach, reach), (left, left + 172))
    for number, start, end in zip(count / count.max(), edges, edges[1:]):
        c.bar(x(start), y - 96 * number, x(end) - x(start) + 0.3, 96 * number, hue)
    c.axis(x, y, [-reach, 0, reach], [f"{tick:g}".replace("-", "−") for tick in (-reach, 0, reach)], color=FAINT)
    c.say(left + 172, y - 86, f"± {scores.std():.1f}", 10.5, dark(hue), "right")


def _sorted_row(c, left, y, scores, hue):
    """The weights from the largest to the smallest key; returns the figures in words."""
    weights, like = _rows(scores)
    wide = 168 / len(weights)
    c.line(left - 4, y - 100, left - 4, y, FAINT)
    for level, text in ((100, "1"), (0, "0")):
        c.say(left - 10, y - level, text, 9.5, GREY, "right", "center_baseline")
    for i, weight in enumerate(weights):
        c.bar(left + wide * i, y - 100 * weight, wide - 1.6, 100 * weight, hue)
    c.line(left - 4, y, left + 168, y, FAINT)
    c.say(left + 168, y - 84, f"best key {weights[0]:.2f}", 12, dark(hue), "right", weight="bold")
    c.say(left + 168, y - 64, f"like {like:.1f} of {len(weights)} keys", 10.5, dark(hue), "right")
    return f"best key {weights[0]:.2f}, like {like:.1f} keys"


# ----------------- Grouped queries as shelves: which query heads share keys and values, and what a cache of them weighs


NAMES = {"MHA": "multi-head", "GQA": "grouped-query", "MQA": "multi-query"}


def shelves(models, tokens=8192, bytes_each=2):
    """Query heads on the shelves that hold their keys and values, for MHA, GQA and MQA, and the bytes of a cache.

    `models` maps a name to a config with `num_hidden_layers`, `num_attention_heads`, `num_key_value_heads` and
    `head_dim`, 1 to 3 of them; the shelves are those of the first, which has at most 9 query heads in groups.
    """
    first = next(iter(models.values()))
    heads, shared = first["num_attention_heads"], first["num_key_value_heads"]
    if not 1 <= len(models) <= 3 or not 1 < shared < heads <= 9 or heads % shared:
        raise ValueError(
            "shelves draws 1 to 3 models, the first with at most 9 query heads in more groups than one, "
            f"got {heads} query heads and {shared} key-value heads: put such a model first"
        )
    saved, many = heads // shared, [heads, shared, 1]
    c = canvas(
        274 + 116 * len(models),
        f"{heads} query heads share {shared} shelves of keys and values: the cache is {saved} times smaller",
        f"Heads on a plank ask the same K and V. Bars: bytes of one token (right: {tokens:,} tokens); "
        "dark = as published.",
    )
    told = []
    for column, (kind, kv) in enumerate(zip(NAMES, many)):
        left = 26 + 326 * column
        end = c.run(left, 116, [(kind, INK, "bold")], 15)
        c.say(end + 12, 116, f"{NAMES[kind]}: {kv} shel{'f' if kv == 1 else 'ves'}", color=GREY)
        _planks(c, left, heads, kv)
    for row, (name, config) in enumerate(models.items()):
        y = 288 + 116 * row
        end = c.run(26, y + 4, [(f"{name}", INK, "bold"), ("   ", INK)], 11)
        c.line(end, y, 974, y, FAINT)
        for column, (kind, kv) in enumerate(zip(NAMES, _kinds(config))):
            told.append(f"{name} {kind} " + _cache(c, 26 + 326 * column, y, config, kv, tokens, bytes_each))
    return c.done(
        f"{heads} query heads over {', '.join(map(str, many))} shelves of keys and values; a token takes "
        f"{', '.join(told)}."
    )


def _kinds(config):
    """How many key-value heads a model would have with MHA, as published, and with MQA."""
    return config["num_attention_heads"], config["num_key_value_heads"], 1


def _planks(c, left, heads, kv):
    """The query heads as discs, a plank under each group, and under it one K and one V."""
    group, gap = heads // kv, 12 if 1 < kv < heads else 7
    wide = (296 - gap * (kv - 1)) / kv
    for shelf in range(kv):
        x, hue = left + shelf * (wide + gap), HUES[shelf % len(HUES)]
        if shelf >= len(HUES):
            hue = "#99AA55"
        for i in range(group):
            at = x + wide * (i + 0.5) / group
            c.ring(at, 158, 12.5, hue, 0, hue)
            c.say(at, 158, f"{shelf * group + i}", 10, on(hue), "center", "center_baseline", "bold")
        c.bar(x, 174, wide, 6, INK)
        for y, name, pale in ((185, "K", 0.25), (215, "V", 0.55)):
            c.box(x, y, wide, 26, tint(hue, pale), 3)
            c.say(x + wide / 2, y + 13, name, 10.5, INK, "center", "center_baseline", "bold", mono=True)


def _cache(c, left, y, config, kv, tokens, bytes_each):
    """The bytes that one token takes, as a bar against one shelf for each query head; returns them in words."""
    layers, dim = config["num_hidden_layers"], config["head_dim"]
    size, published = 2 * layers * kv * dim * bytes_each, kv == config["num_key_value_heads"]
    color, weight = (INK, "bold") if published else (GREY, "normal")
    c.say(left, y + 34, f"{size:,} B", 15, color, weight="bold")
    c.say(left + 296, y + 34, _binary(size * tokens), 11, color, "right", weight=weight)
    share = kv / config["num_attention_heads"]
    c.bar(left, y + 44, 296, 14, "#eceef2")
    c.bar(left, y + 44, 296 * share, 14, dark(BLUE) if published else tint(BLUE, 0.5))
    c.say(left, y + 77, f"2 × {layers} layers × {kv} KV head{'s' * (kv > 1)} × {dim} × {bytes_each} B", 10, color)
    return f"{size:,} bytes"


def _binary(size):
    """Bytes in MiB or GiB."""
    unit, name = (2**30, "GiB") if size >= 2**30 else (2**20, "MiB")
    return f"{size / unit:,.3g} {name}"


# ------------------------------------- What a model without a memory computes again when one more word is to be written


AGAIN, NEW, SIDE = tint(GREY, 0.55), dark(BLUE), 400


def done_again(before, after):
    """The attention of n words beside that of n − 1: grey what came out the same again, blue what is new.

    `before` (n − 1, n − 1) and `after` (n, n) are causal weights (query key) of one head, 3 ≤ n ≤ 256; a weight
    counts as done again where both agree to a millionth.
    """
    before, after = numbers(before), numbers(after)
    n = len(after)
    if after.shape != (n, n) or before.shape != (n - 1, n - 1) or not 3 <= n <= 256:
        raise ValueError(
            "done_again takes the weights (query key) of n − 1 words and of n, 3 to 256, got "
            f"{before.shape} and {after.shape}: pass weights[:-1, :-1] of one head, or a run before"
        )
    there, again = np.tri(n, dtype=bool), np.zeros((n, n), bool)
    again[:-1, :-1] = there[:-1, :-1] & (np.abs(before - after[:-1, :-1]) < 1e-6)
    rows = again.sum(1) == there.sum(1)  # a query whose whole row came out the same
    old, total = int(again.sum()), int(there.sum())
    c = canvas(
        616,
        f"Word {n}: {old:,} of {total:,} weights are computed again, and only {total - old:,} are new",
        "Grey = the same number as one word earlier, computed once more; blue = new. Keys and values: a cell per word.",
    )
    colors = np.ones((n, n, 3))
    colors[there], colors[again] = to_rgb(NEW), to_rgb(AGAIN)
    left, top = 350, 150
    c.image(left, top, SIDE, SIDE, colors)
    c.curve([left, left, left + SIDE], [top, top + SIDE, top + SIDE], FAINT, 1.2)
    c.say(left, 128, "weights", 12.5, weight="bold")
    c.say(left + SIDE, top + 40, f"{total - old:,} new", 20, NEW, "right", weight="bold")
    c.say(left + SIDE, top + 68, f"{old:,} again", 13, GREY, "right", weight="bold")
    for row, text in ((0.5, "1"), (n - 0.5, f"{n}")):
        c.say(left - 8, top + SIDE * row / n, text, 10, GREY, "right", "center_baseline")
    c.say(left + SIDE / 2, top + SIDE + 22, "key", 10.5, GREY, "center")
    c.say(left - 14, top + SIDE / 2, "query", 10.5, GREY, "right", "center_baseline", rotation=90)
    for x, name in ((84, "keys"), (184, "values"), (842, "answers")):
        _column(c, x, top, name, rows)
    c.arrow(254, top + SIDE / 2, 292, top + SIDE / 2, GREY)
    c.arrow(774, top + SIDE / 2, 812, top + SIDE / 2, GREY)
    kept = int(rows.sum())
    return c.done(
        f"Attention over {n} words beside that over {n - 1}: {old:,} of {total:,} weights, {kept} of {n} "
        f"keys, values and answers come out the same as one word earlier; {total - old:,} weights and one "
        "row of each are new."
    )


def _column(c, x, top, name, same):
    """Keys, values or answers as a column of cells: grey where its row came out the same, blue where not."""
    colors = np.array([[to_rgb(AGAIN if each else NEW)] for each in same])
    c.image(x, top, 46, SIDE, colors)
    c.say(x + 23, 128, name, 12.5, INK, "center", weight="bold")
    c.say(x + 23, top + SIDE + 24, f"{int((~same).sum())} new", 11, NEW, "center", weight="bold")
    c.say(x + 23, top + SIDE + 43, f"{int(same.sum())} again", 10.5, GREY, "center")
