"""The gated MLP

Each token thinks on its own: one projection makes an offer, another multiplies it.
"""

# Exported from notebooks/06_mlp.ipynb; edit the lesson, not this file.

__all__ = ["LlamaMLP"]

from collections.abc import Mapping

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .config import LlamaConfig
from .doors import explained


@explained
class LlamaMLP(nn.Module):
    """SwiGLU: down(silu(gate(x)) · up(x)), (..., hidden) → the same shape.

    Raises TypeError or ValueError for a wrong dtype or width. Source: Shazeer 2020, equation 6.
    """

    def __init__(self, config: LlamaConfig | Mapping):
        super().__init__()
        config = LlamaConfig(config)
        hidden, inner, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        self.hidden_size = hidden
        self.gate_proj = nn.Linear(hidden, inner, bias=bias)
        self.up_proj = nn.Linear(hidden, inner, bias=bias)
        self.down_proj = nn.Linear(inner, hidden, bias=bias)

    def forward(self, x: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch hidden"]:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
