"""RMSNorm

Every vector is brought to length √dim before a layer reads it, then stretched by a learned gain.
"""

# Exported from notebooks/03_rms_norm.ipynb; edit the lesson, not this file.

__all__ = ["rms_norm", "LlamaRMSNorm"]

import torch
import torch.nn.functional as F
from einops import reduce
from jaxtyping import Float
from torch import Tensor, nn

from .doors import check_number, explained


def rms_norm(x: Float[Tensor, "*batch dim"], weight: Float[Tensor, " dim"], eps: float) -> Float[Tensor, "*batch dim"]:
    """Divide each vector by its root mean square, then multiply by the gain.

    x / sqrt(mean(x²) + eps) · weight, over the last axis. The division is done in float32 at least
    and comes back to x's dtype before the gain. Source: Zhang and Sennrich 2019, equation 4.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    mean_square = reduce(wide * wide, "... dim -> ... 1", "mean")
    inv_rms = torch.rsqrt(mean_square + eps)
    return weight * (wide * inv_rms).to(x.dtype)


@explained
class LlamaRMSNorm(nn.Module):
    """Root-mean-square norm with a learned gain: (..., hidden_size) → the same shape.

    `weight` (hidden_size) starts at one; `eps` is added to the mean square, inside the root.
    Raises ValueError for another width. Source: Zhang and Sennrich 2019.
    """

    def __init__(self, hidden_size: int, eps: float = 1e-5):
        super().__init__()
        self.hidden_size = check_number("hidden_size", hidden_size, whole=True)
        self.eps = check_number("eps", eps, "[0, ∞)")
        self.weight = nn.Parameter(torch.ones(hidden_size))

    def forward(self, x: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch hidden"]:
        return self.weight * F.rms_norm(x, self.weight.shape, eps=self.eps)

    def extra_repr(self):
        return f"{self.hidden_size}, eps={self.eps}"
