"""The decoder layer

Two parts read the residual stream through a norm and add to it what they found.
"""

# Exported from notebooks/07_decoder_layer.ipynb; edit the lesson, not this file.

__all__ = ["LlamaDecoderLayer"]

from collections.abc import Mapping

from jaxtyping import Bool, Float
from torch import Tensor, nn

from .attention import LlamaAttention
from .config import LlamaConfig
from .doors import Cache
from .mlp import LlamaMLP
from .rms_norm import LlamaRMSNorm
from .rotary import Rotation


class LlamaDecoderLayer(nn.Module):
    """One layer: x + attention(norm(x)), then x + mlp(norm(x)); (batch, seq, hidden) → the same shape.

    `rotation`, `mask` and `cache` go to `LlamaAttention`, which says what they are and what it raises.
    `post_attention_layernorm` is named after the place where it stands; what it norms is the MLP's input.
    Source: Touvron et al. 2023; pre-norm after Xiong et al. 2020.
    """

    def __init__(self, config: LlamaConfig | Mapping):
        super().__init__()
        config = LlamaConfig(config)
        self.input_layernorm = LlamaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = LlamaAttention(config)
        self.post_attention_layernorm = LlamaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = LlamaMLP(config)

    def forward(
        self,
        x: Float[Tensor, "batch seq hidden"],
        rotation: Rotation | None = None,
        mask: Bool[Tensor, "*any"] | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "batch seq hidden"]:
        x = x + self.self_attn(self.input_layernorm(x), rotation, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))
