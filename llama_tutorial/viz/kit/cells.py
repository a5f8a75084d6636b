"""What the figures share: the hue of a token and of an axis, the cells of a matrix of weights, the check of weights."""

from zlib import crc32

import numpy as np

from .canvas import (
    BLUE,
    CYAN,
    GOLD,
    GREEN,
    GREY,
    HUES,
    INK,
    MAUVE,
    ORANGE,
    PURPLE,
    RED,
    dark,
    numbers,
    probability,
    tint,
)

TOKEN_HUES = (MAUVE, BLUE, RED, GREEN, CYAN, GOLD, PURPLE, ORANGE)       # of the first, second … token
VIOLET, BROWN = "#5544AA", "#885522"     # two hues more, for axes
AXIS_HUES = {                            # one hue for each axis of docs/axes.md, in every drawing of it
    "batch": GREY, "seq": VIOLET, "tokens": VIOLET, "positions": VIOLET, "query": BLUE, "key": ORANGE, "new": ORANGE,
    "dim": GREEN, "hidden": GREEN, "head": MAUVE, "kv": PURPLE, "group": BROWN, "pair": CYAN, "two": GOLD,
    "inner": ORANGE, "out": ORANGE, "vocab": BROWN, "window": GOLD, "rows": BLUE, "cols": ORANGE,
}
OTHER_AXES = (BLUE, ORANGE, PURPLE, GREEN, GOLD, CYAN, BROWN, RED)       # for other words, by their letters
OF_WORDS = ("seq", "tokens", "positions", "query", "key")                # axes whose places are tokens
HUE_NAMES = {BLUE: "blue", RED: "red", GREEN: "green", GOLD: "gold", CYAN: "cyan", PURPLE: "purple", BROWN: "brown",
             ORANGE: "orange", MAUVE: "grey-violet", VIOLET: "violet", GREY: "grey"}


def axis_hues(names):
    """The hue of every named axis: its own throughout the course; that of another word depends on its letters.

    Where another axis here has it, the word takes the next that is free.
    """
    hues = {name: AXIS_HUES[name] for name in names if name in AXIS_HUES}
    for name in sorted({*names} - {*hues}):
        start = crc32(name.encode()) % len(OTHER_AXES)
        order = OTHER_AXES[start:] + OTHER_AXES[:start]
        hues[name] = next((hue for hue in order if hue not in hues.values()), order[0])
    return hues


def place_hues(name, hue, size):
    """The hues of an axis' places: of tokens their own, else eight that begin with the axis' hue, else its shades."""
    if size > len(HUES):
        return tuple(tint(hue, 0.7 * place / (size - 1)) for place in range(size))
    if name in OF_WORDS:
        return TOKEN_HUES[:size]
    start = HUES.index(hue) + 1 if hue in HUES else 0
    others = [each for each in HUES[start:] + HUES[:start] if each != hue]
    return (hue, *others)[:size]


def weight_cells(c, left, top, wide, high, weights, causal):
    """The weights as rounded cells with numbers, from 15 tokens on as a heatmap; later words cut off."""
    (query, key), gap = weights.shape, gap_for(weights.shape[1])
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


def checked_weights(weights, tokens, ranks):
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


def is_causal(weights):
    """Whether no query gives weight to a later key."""
    query, key = weights.shape[-2:]
    return not (np.triu(weights, key - query + 1) > 1e-6).any()


def strongest(weights):
    """The (query, key) with the largest weight on another word, or on any where there is only one."""
    query, key = weights.shape
    others = np.where(np.eye(query, key, key - query, dtype=bool), -1, weights)
    return np.unravel_index((others if key > 1 else weights).argmax(), weights.shape)


def token_color(token, count):
    """A token's own hue as a text colour while there are hues enough, else ink."""
    return dark(TOKEN_HUES[token]) if count <= len(TOKEN_HUES) else INK


def gap_for(count):
    """Pixels between cells: none from 15 tokens on, where the cells become a heatmap."""
    return 4 if count <= 14 else 0
