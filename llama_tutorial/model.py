"""The model

Ids become vectors, the vectors pass through all layers, and one last norm makes them readable.
"""

# Exported from notebooks/08_model.ipynb; edit the lesson, not this file.

__all__ = ["positions_and_mask", "init_weights", "LlamaModel"]

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor, nn

from .attention import causal_mask
from .config import LlamaConfig
from .decoder_layer import LlamaDecoderLayer
from .doors import Cache, check_call, explained
from .rms_norm import LlamaRMSNorm
from .rotary import LlamaRotaryEmbedding, Prepared


def positions_and_mask(
    attention_mask: Tensor | None, past: int, seq: int, device=None
) -> tuple[Int[Tensor, "*batch seq"], Bool[Tensor, "batch 1 query key"] | None]:
    """Where each token stands and what it may see, with padding (False or 0 in `attention_mask`) left out.

    `attention_mask` is (batch, past + seq). Without it, tokens stand at past … past + seq − 1 and the mask is None,
    which attention reads as causal. Every query sees itself, so that padding never makes a row of nothing.
    """
    if attention_mask is None:
        return torch.arange(past, past + seq, device=device), None
    real = attention_mask.bool()
    positions = (real.long().cumsum(dim=-1) - 1).clamp(min=0)[:, past:]
    itself = torch.eye(seq, past + seq, dtype=torch.bool, device=real.device).roll(past, dims=1)
    visible = causal_mask(seq, past + seq, device=real.device) & rearrange(real, "batch key -> batch 1 1 key")
    return positions, visible | itself


def init_weights(module: nn.Module, std: float):
    """Fresh weights of one linear layer or embedding: N(0, std²), biases zero."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=std)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


@explained
class LlamaModel(nn.Module):
    """Llama without its head: ids (batch, seq) → hidden states (batch, seq, hidden), after the last norm.

    `attention_mask` (batch, past + seq), bool or 0/1, is False at padding; `positions` (seq) or (batch, seq) replace
    the ones that follow from it; `cache` (lesson 11) is a list with one cache per layer, whose length is the past.
    Raises TypeError for ids that are not integers and ValueError for a wrong rank, an empty sequence, an id outside
    the vocabulary, a mask, positions or cache that do not fit, or, with `dynamic` scaling, a text of more than
    `max_position_embeddings` tokens. Source: Touvron et al. 2023.
    """

    def __init__(self, config: LlamaConfig | Mapping):
        super().__init__()
        self.config = config = LlamaConfig(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(LlamaDecoderLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = LlamaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary_emb = LlamaRotaryEmbedding(config.head_dim, config.rope_theta, config.rope_scaling)
        self.apply(partial(init_weights, std=config.initializer_range))

    def forward(
        self,
        input_ids: Integer[Tensor, "batch seq"],
        attention_mask: Bool[Tensor, "batch key"] | Integer[Tensor, "batch key"] | None = None,
        positions: Integer[Tensor, " seq"] | Integer[Tensor, "batch seq"] | None = None,
        cache: Sequence[Cache] | None = None,
    ) -> Float[Tensor, "batch seq hidden"]:
        check_call(self, input_ids, attention_mask, positions, cache)
        past, seq = 0 if cache is None else len(cache[0]), input_ids.shape[1]
        counted, mask = positions_and_mask(attention_mask, past, seq, input_ids.device)
        x = self.embed_tokens(input_ids.long())
        rotation = Prepared(self.rotary_emb.angles(counted if positions is None else positions), x.dtype)
        for layer, layer_cache in zip(self.layers, cache or [None] * len(self.layers)):
            x = layer(x, rotation, mask, layer_cache)
        return self.norm(x)
