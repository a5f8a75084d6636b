"""Generation

Choose a token, feed it back, and never compute the same key twice.
"""

# Exported from notebooks/11_generation.ipynb; edit the lesson, not this file.

__all__ = ["keep_top_k", "keep_top_p", "draw", "sample", "check_sampling", "check_logits"]

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .doors import check_number, check_tensor


def keep_top_k(logits: Float[Tensor, "batch vocab"], top_k: int) -> Float[Tensor, "batch vocab"]:
    """Set all logits but the `top_k` highest of each row to −inf; equals of the last one stay too."""
    least = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[:, -1:]
    return logits.masked_fill(logits < least, -torch.inf)


def keep_top_p(logits: Float[Tensor, "batch vocab"], top_p: float) -> Float[Tensor, "batch vocab"]:
    """Keep the likeliest tokens of each row until they hold a share `top_p`, the one that crosses it included.

    The favourite always stays, and 1 keeps all. Shares are added up in float32 at least: in bfloat16, sums near 1 lie
    1/256 apart, and a smaller share may leave its sum as it was. Source: Holtzman et al. 2020, "nucleus sampling".
    """
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    chance = ordered.softmax(dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))
    before = chance.cumsum(dim=-1) - chance
    beyond = (before >= top_p) & (before > 0) & (top_p < 1)  # rounding must not cut what exact sums would keep
    return torch.full_like(logits, -torch.inf).scatter(-1, order, ordered.masked_fill(beyond, -torch.inf))


def draw(
    logits: Float[Tensor, "batch vocab"],
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    generator: torch.Generator | None,
) -> Int[Tensor, " batch"]:
    """Draw as `sample` does, without a look at settings and logits; `generate` calls it for every token."""
    if temperature < 1e-20:  # so little is 0: the division would overflow
        return logits.argmax(dim=-1)
    scores = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
    if top_k is not None:
        scores = keep_top_k(scores, top_k)
    if top_p is not None:
        scores = keep_top_p(scores, top_p)
    return torch.multinomial(scores.softmax(dim=-1), 1, generator=generator)[:, 0]


def sample(
    logits: Float[Tensor, "batch vocab"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Int[Tensor, " batch"]:
    """Draw one token a row from softmax(logits / temperature), cut to the top k, then to the top p.

    Temperature 0 takes the likeliest. Raises ValueError for a negative temperature, a top_k below 1, a top_p
    outside (0, 1] or logits that are not numbers (batch, vocab), TypeError where no number is given.
    """
    check_sampling(temperature, top_k, top_p)
    check_logits(logits)
    return draw(logits, temperature, top_k, top_p, generator)


def check_sampling(temperature=1.0, top_k=None, top_p=None):
    """TypeError for settings that are no numbers, ValueError for numbers that mean nothing."""
    check_number("temperature", temperature, "[0, ∞)")
    if top_k is not None:
        check_number("top_k", top_k, "[1, ∞)", whole=True)
    if top_p is not None:
        check_number("top_p", top_p, "(0, 1]")


def check_logits(logits):
    """TypeError unless floats; ValueError unless (batch, vocab) and the highest of every row is a number."""
    check_tensor("logits", logits, "floats", ("batch", "vocab"))
    highest = logits.amax(dim=-1)
    if not highest.isfinite().all():
        raise ValueError(f"the highest logit of every row must be a number, got {highest.tolist()}: look at the model")
