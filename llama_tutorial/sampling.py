"""Generation

Choose a token, feed it back, and never compute the same key twice.
"""

# Exported from notebooks/11_generation.ipynb; edit the lesson, not this file.

__all__ = ["keep_top_k", "keep_top_p", "sample", "check_sampling"]

import torch
from jaxtyping import Float, Int
from torch import Tensor


def keep_top_k(logits: Float[Tensor, "batch vocab"], top_k: int) -> Float[Tensor, "batch vocab"]:
    """Set all logits but the `top_k` highest of each row to −inf; equals of the last one stay too."""
    least = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[:, -1:]
    return logits.masked_fill(logits < least, -torch.inf)


def keep_top_p(logits: Float[Tensor, "batch vocab"], top_p: float) -> Float[Tensor, "batch vocab"]:
    """Keep the likeliest tokens of each row until they hold a share `top_p`, the one that crosses it included.

    Source: Holtzman et al. 2020, "nucleus sampling".
    """
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    chance = ordered.softmax(dim=-1)
    before = chance.cumsum(dim=-1) - chance
    ordered = ordered.masked_fill(before >= top_p, -torch.inf)
    return torch.full_like(logits, -torch.inf).scatter(-1, order, ordered)


def sample(
    logits: Float[Tensor, "batch vocab"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Int[Tensor, " batch"]:
    """Draw one token a row from softmax(logits / temperature), cut to the top k, then to the top p.

    Temperature 0 takes the likeliest. Raises ValueError for a negative temperature, a top_k below 1 or a top_p
    outside (0, 1].
    """
    check_sampling(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(dim=-1)
    scores = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
    if top_k is not None:
        scores = keep_top_k(scores, top_k)
    if top_p is not None:
        scores = keep_top_p(scores, top_p)
    return torch.multinomial(scores.softmax(dim=-1), 1, generator=generator)[:, 0]


def check_sampling(temperature, top_k, top_p):
    """ValueError for settings that mean nothing."""
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature must be 0 (the likeliest) or positive, got {temperature}")
    if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
        raise ValueError(f"top_k must be a whole number of at least 1, or None for all, got {top_k!r}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must lie in (0, 1], or be None for all, got {top_p}")
