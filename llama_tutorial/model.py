"""The model

Ids become vectors, the vectors pass through all layers, and one last norm makes them readable.
"""

# Exported from notebooks/08_model.ipynb; edit the lesson, not this file.

__all__ = [
    "positions_and_mask", "init_weights", "LlamaModel", "check_ids", "check_attention_mask",
    "check_positions", "check_cache",
]

from collections.abc import Mapping
from functools import partial

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor, nn

from .attention import causal_mask
from .config import LlamaConfig, check_tensor
from .decoder_layer import LlamaDecoderLayer
from .rms_norm import LlamaRMSNorm
from .rotary import LlamaRotaryEmbedding


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


class LlamaModel(nn.Module):
    """Llama without its head: ids (batch, seq) → hidden states (batch, seq, hidden), after the last norm.

    `attention_mask` (batch, past + seq), bool or 0/1, is False at padding; `positions` (seq) or (batch, seq) replace
    the ones that follow from it; `cache` (lesson 11) is a list with one cache per layer, whose length is the past.
    Raises TypeError for ids that are not integers and ValueError for a wrong rank, an empty sequence, an id outside
    the vocabulary, or a mask, positions or cache that do not fit. Source: Touvron et al. 2023.
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
        attention_mask: Tensor | None = None,
        positions: Integer[Tensor, "*batch seq"] | None = None,
        cache=None,
    ) -> Float[Tensor, "batch seq hidden"]:
        caches = check_cache(cache, len(self.layers))
        past = 0 if cache is None else len(cache[0])
        check_ids(input_ids, self.config.vocab_size)
        check_attention_mask(attention_mask, (len(input_ids), past + input_ids.shape[1]))
        counted, mask = positions_and_mask(attention_mask, past, input_ids.shape[1], input_ids.device)
        positions = check_positions(positions, input_ids.shape) if positions is not None else counted
        rotation = self.rotary_emb.angles(positions)
        x = self.embed_tokens(input_ids.long())
        for layer, layer_cache in zip(self.layers, caches, strict=True):
            x = layer(x, rotation, mask, layer_cache)
        return self.norm(x)


def check_ids(input_ids, vocab_size):
    """TypeError unless integers; ValueError unless (batch, seq), not empty, every id in 0 … vocab_size − 1."""
    check_tensor("input_ids", input_ids, "integers", ("batch", "seq"))
    if torch.compiler.is_compiling() or input_ids.is_meta:
        return
    low, high = input_ids.min().item(), input_ids.max().item()
    if low < 0 or high >= vocab_size:
        raise ValueError(f"input_ids must lie in 0 … {vocab_size - 1}, got {low if low < 0 else high}")


def check_attention_mask(attention_mask, shape):
    """TypeError unless None, bool or integers; ValueError unless (batch, past + seq)."""
    if attention_mask is not None:
        check_tensor("attention_mask (batch, past + seq)", attention_mask, "bool or 0/1 integers", shape)


def check_positions(positions, shape):
    """The positions; TypeError unless integers, ValueError unless (seq), (1, seq) or (batch, seq), from 0 up."""
    batch, seq = shape
    check_tensor("positions", positions, "integers", (seq,), (1, seq), (batch, seq))
    if not torch.compiler.is_compiling() and not positions.is_meta and positions.min() < 0:
        raise ValueError(f"positions must not be negative, got {positions.min().item()}")
    return positions


def check_cache(cache, layers):
    """One cache per layer, or None for each; ValueError for another number, one cache twice, or unequal lengths."""
    if cache is None:
        return [None] * layers
    own = isinstance(cache, list | tuple) and len({id(one) for one in cache if hasattr(one, "update")})
    if own != layers or len(cache) != layers:
        raise ValueError(f"cache must be a list with one cache per layer, {layers} of them: make it with make_cache")
    if len({len(one) for one in cache}) > 1:
        raise ValueError(f"the caches of all layers must hold the same tokens, got {[len(one) for one in cache]}")
    return cache
