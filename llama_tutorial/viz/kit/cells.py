"""What the figures of attention share: a token's hue, the cells of a matrix of weights, the check of weights."""

import numpy as np

from .canvas import BLUE, CYAN, GOLD, GREEN, GREY, INK, MAUVE, ORANGE, PURPLE, RED, dark, numbers, probability, tint

TOKEN_HUES = (MAUVE, BLUE, RED, GREEN, CYAN, GOLD, PURPLE, ORANGE)       # of the first, second … token


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
