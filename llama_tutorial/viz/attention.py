"""Figures of attention: the weights as a matrix, as ropes, and as words to hover over."""

import html

import numpy as np

from .canvas import (
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
    canvas,
    dark,
    numbers,
    printable,
    probability,
    tint,
)

TOKEN_HUES = (MAUVE, BLUE, RED, GREEN, CYAN, GOLD, PURPLE, ORANGE)       # of the first, second … token
BANDED = "#fbf1d5"
ROW = 86                                 # pixels from one row of ropes to the next


def attention_map(weights, tokens, title=None):
    """Attention weights as a matrix: row = who asks, column = who is asked; several heads as small maps.

    `weights` (query key) or (head query key) after the softmax; `tokens` names the keys, and the queries are
    the last of them. Up to 14 tokens carry their numbers; at most 64 tokens and 16 heads are drawn.
    """
    weights, tokens = _checked(weights, tokens, (2, 3))
    if weights.ndim == 3 and len(weights) > 1:
        return _head_maps(weights, tokens, title)
    weights = weights.reshape(weights.shape[-2:])
    (query, key), words, causal = weights.shape, [printable(t) for t in tokens], _is_causal(weights)
    row, column = _strongest(weights)
    look = f"“{words[key - query + row]}” gives “{words[column]}” {weights[row, column]:.2f}"
    c, left, top, wide, high = _labelled(words, query)
    best = ", the most that any word gives another" if query > 1 else ""
    c.title.set_text(title or f"{look} of its attention{best}")
    sums = ", each row adds up to 1" if np.allclose(weights.sum(-1), 1, atol=0.01) else ""
    blank = " Blank: 0.00." if 8 < key <= 14 else ""
    c.subtitle.set_text(f"Row = who asks, column = who is asked{sums}. Boxed: the largest weight on another "
                        f"word.{blank}")
    _cells(c, left, top, wide, high, weights, causal)
    gap = _gap(key)
    c.box(left + wide * column, top + high * row, wide - gap, high - gap, None, gap, edge=INK, px=2)
    right = left + wide * key + 26
    c.say(right, top - 18, "looks most at", color=GREY)
    for i, line in enumerate(weights):
        most = np.flatnonzero(line > line.max() - 0.001)[:2]               # two where they are equal
        names = [(f"{words[j]} ", _label_color(j, key), "bold") for j in most]
        c.run(right, top + high * (i + 0.5) - gap / 2, [*names, (f"{line.max():.2f}", GREY)],
              min(11, high / 1.6), va="center_baseline")
    last = weights[-1].argmax()
    return c.done(f"Matrix of attention weights, {query} by {key} ({' '.join(words)}): {look}; the last "
                  f"word, “{words[-1]}”, looks most at “{words[last]}” with {weights[-1, last]:.2f}.")


def _labelled(words, query):
    """A canvas with the words along two sides; also the matrix's corner (x, y) and the pitch of its cells."""
    key, probe = len(words), canvas(100)
    longest = max(probe.measure(word, weight="bold", mono=True) for word in words)
    left = 44 + min(longest, 150)
    wide = min(124, (1000 - left - 210) / key)
    high, flat = min(wide, 66), longest < wide - 4
    top = 140 if flat else 116 + longest * 0.9
    c, gap = canvas(top + high * query + 30), _gap(key)
    for i, word in enumerate(words):
        color, x, row = _label_color(i, key), left + wide * (i + 0.5) - gap / 2, i - key + query
        _column_label(c, x, top - 18 if flat else top - 12, word, wide, flat, color)
        if row >= 0:
            c.say(left - 18, top + high * (row + 0.5) - gap / 2, word, min(10.5, high * 0.6), color,
                  "right", "center_baseline", "bold", mono=True)
    return c, left, top, wide, high


def _column_label(c, x, y, word, pitch, flat, color, weight="bold"):
    """A word above a column: flat where it fits, else rising to the right."""
    size = 10.5 if flat else min(10.5, pitch * 0.6)
    c.say(x, y, word, size, color, "center" if flat else "left", weight=weight, mono=True,
          rotation=0 if flat else 60, rotation_mode="anchor")


def _cells(c, left, top, wide, high, weights, causal):
    """The weights as rounded cells with numbers, from 15 tokens on as a heatmap; later words cut off."""
    (query, key), gap = weights.shape, _gap(weights.shape[1])
    if gap:
        unseen = np.triu(np.ones((query, key), bool), key - query + 1) & causal
        colors = [[None if unseen[i, j] else tint(TOKEN_HUES[j], 0.9 * (1 - weights[i, j])) if key <= 8 else
                   probability(max(weights[i, j], 0.04)) for j in range(key)] for i in range(query)]
        blank = 0.005 if key > 8 else 0
        texts = [[f"{weight:.2f}" if weight >= blank else "" for weight in line] for line in weights]
        bold = [["bold" if weight > line.max() - 0.001 else "normal" for weight in line] for line in weights]
        c.cells(left, top, colors, texts, (wide - gap, high - gap), gap, min(11, wide / 4.6), bold)
    else:
        c.image(left, top, wide * key, high * query, probability(weights))
    if causal and query > 1:
        xs = np.repeat(left + wide * np.arange(key - query + 1, key + 1) - gap / 2, 2)
        ys = np.repeat(top + high * np.arange(query + 1) - gap / 2, 2)
        c.curve(xs[:-1], ys[1:-2], INK, 1.6)
    if causal and query > 3:
        c.say(left + wide * key - gap, top + (high - gap) / 2, "later words: weight 0", 10, GREY, "right",
              "center_baseline")


def _head_maps(weights, tokens, title):
    """The small maps of several heads, each named after its habit, under one set of labels."""
    (head, query, key), words, causal = weights.shape, [printable(t) for t in tokens], _is_causal(weights)
    if head > 16:
        raise ValueError(f"attention_map draws at most 16 heads in one figure, got {head}: pass weights[:16]")
    found, columns = [_habit(each) for each in weights], head if head < 5 else 3 if head in (5, 6, 9) else 4
    named, probe = sum(share > 0 for _, share, _ in found), canvas(100)
    pitch = min(44, (1000 - 160 - 28 * (columns - 1)) / columns / key)
    size = min(10.5, pitch * 0.6)
    longest = max(probe.measure(word, size, mono=True) for word in words) if pitch > 11 else 40
    inside = causal and query == key and pitch * key > 150               # there names fit into the corner
    left, down = 36 + longest, pitch * query + (26 if inside else 40)
    top = (100 if inside else 120) + longest * (0.9 if pitch > 11 else 0.5)
    c = canvas(top - (-head // columns) * down + 4,
               title or f"{named} of {head} heads {'does' if named == 1 else 'do'} something you can name",
               "Row = who asks, column = who is asked, deeper = more weight; number = mean weight on the "
               "habit.")
    for number, habit in enumerate(found):
        x, y = left + number % columns * (pitch * key + 28), top + number // columns * down
        c.image(x, y, pitch * key, pitch * query, probability(weights[number]))
        c.curve([x, x, x + pitch * key], [y, y + pitch * query, y + pitch * query], habit[2] or FAINT, 2)
        _name_head(c, x + pitch * key * inside, y, number, habit, inside)
        if number < columns:
            _head_columns(c, x, y - (8 if inside else 28), pitch, words)
        if number % columns == 0:
            _head_rows(c, x - 8, y, pitch, words[key - query :])
    said = "; ".join(f"head {number}: {name}" + (f" {share:.2f}" if share else "")
                     for number, (name, share, _) in enumerate(found))
    return c.done(f"Attention weights of {head} heads over {key} words, {named} of them with a named habit: "
                  f"{said}.")


def ropes(weights, tokens, highlight=None):
    """The same weights twice: as ropes that hang from every query to its keys, and as a matrix.

    `weights` (query key), square, at most 6 tokens; the row number `highlight` is banded.
    """
    weights, tokens = _checked(weights, tokens, (2,))
    n, words, causal = len(tokens), [printable(token) for token in tokens], _is_causal(weights)
    if n > 6 or len(weights) != n:
        raise ValueError(f"ropes draws square weights of at most 6 tokens, got {weights.shape}: more ropes "
                         "are too thin to read, use attention_map")
    row, column = _strongest(weights) if highlight is None else (highlight, weights[highlight].argmax())
    c = canvas(166 + ROW * n, f"Every row of the matrix is one set of ropes: “{words[row]}” hangs on "
               f"“{words[column]}” by {weights[row, column]:.2f}",
               "Row = who asks, column = who is asked. Left: ropes as thick as the weights; right: the same "
               "weights.")
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
        edge = weights[i] @ xs - 27 * weights[i].sum()                     # at the query side by side
        for x, weight, rope_hue in zip(xs, weights[i], TOKEN_HUES):
            if weight > 0.002:
                c.rope(edge + 27 * weight, y + 9, x, y + 73, 54 * weight, rope_hue)
            edge += 54 * weight
    _cells(c, left, top, pitch, ROW, weights, causal)
    rows = "; ".join(" ".join([f"{word}:", *(f"{weight:.2f}" for weight in line)])
                     for word, line in zip(words, weights))
    return c.done(f"Attention weights as ropes and as a matrix, row by row: {rows}.")


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
        c.say(x, y + pitch * (i + 0.5), word, min(10.5, pitch * 0.6), GREY, "right", "center_baseline",
              mono=True)


def attention_html(weights, tokens, query=-1, more=None):
    """One line per head with the words shaded by their weight: hover for numbers, unfold for more queries.

    `weights` (query key) or (head query key), queries = keys; `query` is the number of the word that asks,
    `more` those to unfold, by default the four before it. No scripts: it survives in an untrusted notebook.
    """
    weights, tokens = _checked(weights, tokens, (2, 3))
    weights = weights.reshape(-1, *weights.shape[-2:])
    if weights.shape[1] != len(tokens) or not -len(tokens) <= query < len(tokens):
        raise ValueError("attention_html needs one row per token and a query among them, got "
                         f"{weights.shape} and query={query} for {len(tokens)} tokens: pass all rows, and a "
                         "token's number")
    query %= len(tokens)
    more = range(max(0, query - 4), query) if more is None else [each % len(tokens) for each in more]
    return HoverText(weights, [printable(token) for token in tokens], query, list(more))


class HoverText:
    """Attention in words: HTML for a notebook (`_repr_html_`), and one line per head as its repr."""

    def __init__(self, weights, words, query, more):
        self.weights, self.words, self.query, self.more = weights, words, query, more
        self.most = [int(head[query].argmax()) for head in weights]

    def _title(self):
        best = max(self.most, key=lambda most: (most != self.query, self.most.count(most)))
        how = f"in {self.most.count(best)} of {len(self.most)} heads"
        if len(self.most) == 1:
            how = f"with {self.weights[0, self.query, best]:.2f} of its attention"
        return f"“{self.words[self.query]}” looks most at “{self.words[best]}” {how}"

    def __repr__(self):
        lines = [f"head {number}: {self.words[self.query]} → {self.words[most]} {head[self.query, most]:.2f}"
                 for number, (head, most) in enumerate(zip(self.weights, self.most))]
        return "\n".join([self._title(), *lines])

    def _repr_html_(self):
        lines = ['<div style="font-family:sans-serif;font-size:14px;line-height:2.1">'
                 f'<div style="font-size:17px">{html.escape(self._title())}</div>'
                 '<div style="opacity:0.7">One line is one head; framed = who asks; deeper blue = more '
                 'weight; hover over a word for its number, ▾ unfolds.</div>']
        names = html.escape(", ".join(self.words[query] for query in self.more))
        hint = f'<span style="opacity:0.5;padding-left:24px">▾ {names}</span>' if self.more else ""
        for number, head in enumerate(self.weights):
            others = "".join(f'<div>{_NAME % ""}{self._line(head, query)}</div>' for query in self.more)
            lines.append(f'<details><summary style="display:block;cursor:pointer">{_NAME % f"head {number}"}'
                         f'{self._line(head, self.query)}{hint}</summary>{others}</details>')
        return "\n".join(lines) + "</div>"

    def _line(self, head, query):
        causal, most = _is_causal(head), int(head[query].argmax())
        spans = [self._span(word, head[query, key], query, key, causal and key > query)
                 for key, word in enumerate(self.words)]
        return "".join(spans) + ('<span style="opacity:0.7;padding-left:12px">→ '
                                 f'{html.escape(self.words[most])} {head[query, most]:.2f}</span>')

    def _span(self, word, weight, query, key, unseen):
        frame = "#8a8f98" if key == query else "transparent"
        shade = "opacity:0.35" if unseen else f"background-color:rgba(23,79,148,{weight:.2f})"
        shade += ";color:#ffffff" if weight > 0.5 else ""
        note = "not yet said" if unseen else f"{self.words[query]} → {word}: {weight:.3f}"
        return (f'<span title="{html.escape(note)}" style="{shade};border:2px solid {frame};'
                f'border-radius:4px;padding:1px 5px;margin:1px">{html.escape(word)}</span>')


_NAME = '<span style="display:inline-block;width:64px;font-weight:bold">%s</span>'


def _checked(weights, tokens, ranks):
    """weights and tokens as an array and a list, or a ValueError that says what is wrong with them."""
    weights, tokens = numbers(weights), [str(token) for token in tokens]
    fits = weights.ndim in ranks and 1 <= weights.shape[-2] <= weights.shape[-1] == len(tokens)
    if not fits:
        axes = " or ".join({2: "(query key)", 3: "(head query key)"}[rank] for rank in ranks)
        raise ValueError(f"attention weights are {axes} with one token per key, got shape {weights.shape} "
                         f"with {len(tokens)} tokens: pass one sequence, as in weights[0]")
    if len(tokens) > 64:
        raise ValueError(f"at most 64 tokens fit into a picture, got {len(tokens)}: pass "
                         "weights[..., :64, :64] and tokens[:64]")
    if not ((weights >= 0) & (weights <= 1.001)).all():
        raise ValueError("attention weights lie between 0 and 1, got "
                         f"{weights.min():.3g} to {weights.max():.3g}: pass the softmax of the scores")
    return weights, tokens


def _is_causal(weights):
    """Whether no query gives weight to a later key."""
    query, key = weights.shape[-2:]
    return not (np.triu(weights, key - query + 1) > 1e-6).any()


def _strongest(weights):
    """The (query, key) with the largest weight on another word, or on any where there is only one."""
    query, key = weights.shape
    others = np.where(np.eye(query, key, key - query, dtype=bool), -1, weights)
    return np.unravel_index((others if key > 1 else weights).argmax(), weights.shape)


def _habit(weights):
    """(name, mean weight, hue) of what a head mostly looks at; ("mixed", 0, None) if at nothing by half."""
    query, key = weights.shape
    rows, at = np.arange(query), np.arange(query) + key - query
    later = at >= 2                      # before that, first, previous and itself are the same word
    if not later.any():
        return "mixed", 0, None
    habits = [("itself", weights[rows, at], GREEN), ("previous", weights[rows, at - 1], BLUE),
              ("first", weights[:, 0], MAUVE)]
    name, share, hue = max(((name, float(each[later].mean()), hue) for name, each, hue in habits),
                           key=lambda habit: habit[1])
    return (name, share, hue) if share >= 0.5 else ("mixed", 0, None)


def _label_color(token, count):
    """A token's own hue as a text colour while there are hues enough, else ink."""
    return dark(TOKEN_HUES[token]) if count <= len(TOKEN_HUES) else INK


def _gap(count):
    """Pixels between cells: none from 15 tokens on, where the cells become a heatmap."""
    return 4 if count <= 14 else 0
