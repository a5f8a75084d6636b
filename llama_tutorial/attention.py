"""Attention

Every token asks, every earlier token answers, and the answers are mixed by how well they fit.
"""

# Exported from notebooks/05_attention.ipynb; edit the lesson, not this file.

__all__ = ["causal_mask", "attend_by_hand", "attend", "check_mask", "LlamaAttention"]

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .config import LlamaConfig, check_hidden, check_tensor
from .rotary import LlamaRotaryEmbedding, Rotation, check_rotation, rotate


def causal_mask(queries: int, keys: int, device=None) -> Bool[Tensor, "query key"]:
    """True where a query may look: at keys up to its own place. The queries are the last of the keys."""
    query = torch.arange(keys - queries, keys, device=device)
    key = torch.arange(keys, device=device)
    return key <= rearrange(query, "query -> query 1")


def attend_by_hand(
    q: Float[Tensor, "batch head query dim"],
    k: Float[Tensor, "batch kv key dim"],
    v: Float[Tensor, "batch kv key dim"],
    mask: Bool[Tensor, "*any"] | None = None,
) -> Float[Tensor, "batch head query dim"]:
    """softmax(q·k / √dim) · v, written out in named axes; each key-value head serves a group of queries.

    `mask` is True where a query may look, broadcast to (batch, head, query, key); None is causal.
    Source: Vaswani et al. 2017, equation 1; Ainslie et al. 2023 for the groups.
    """
    if mask is None:
        mask = causal_mask(q.shape[2], k.shape[2], device=q.device)
    q = rearrange(q, "batch (kv group) query dim -> batch kv group query dim", kv=k.shape[1])
    scores = einsum(q, k, "batch kv group query dim, batch kv key dim -> batch kv group query key")
    scores = rearrange(scores, "batch kv group query key -> batch (kv group) query key") / math.sqrt(q.shape[-1])
    scores = scores.masked_fill(~mask, -math.inf)
    weights = scores.softmax(dim=-1, dtype=torch.promote_types(q.dtype, torch.float32)).to(q.dtype)
    weights = rearrange(weights, "batch (kv group) query key -> batch kv group query key", kv=k.shape[1])
    mixed = einsum(weights, v, "batch kv group query key, batch kv key dim -> batch kv group query dim")
    return rearrange(mixed, "batch kv group query dim -> batch (kv group) query dim")


def attend(
    q: Float[Tensor, "batch head query dim"],
    k: Float[Tensor, "batch kv key dim"],
    v: Float[Tensor, "batch kv key dim"],
    mask: Bool[Tensor, "*any"] | None = None,
) -> Float[Tensor, "batch head query dim"]:
    """`attend_by_hand`, computed by PyTorch's fused kernel, without copying keys or values.

    The kernel's own causal switch counts queries from key 0, which is right only where all keys are queries.
    """
    queries, keys = q.shape[2], k.shape[2]
    if mask is None and queries == keys:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    if mask is None and queries > 1:
        mask = causal_mask(queries, keys, device=q.device)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)


def check_mask(mask, shape):
    """TypeError unless the mask is None or bool, ValueError unless it broadcasts to (batch, head, query, key)."""
    if mask is None:
        return
    check_tensor("mask", mask, "bool, True where a query may look", ("...",))
    if mask.ndim > 4 or any(m not in (1, n) for m, n in zip(mask.shape[::-1], shape[::-1], strict=False)):
        raise ValueError(f"mask must broadcast to (batch, head, query, key) = {shape}, got {tuple(mask.shape)}")


class LlamaAttention(nn.Module):
    """Causal self-attention with rotary positions and grouped queries: (batch, seq, hidden) → the same shape.

    `rotation` is (cos, sin) of the tokens' positions, made once by the model; alone, attention makes its own,
    counting from the cache's length or from 0. `mask` (bool, True = may look) replaces causality and broadcasts to
    (batch, head, query, key). `cache` (lesson 11) keeps the keys and values of earlier calls.
    Raises TypeError or ValueError for a wrong width, rank, dtype or mask.
    Source: Vaswani et al. 2017; Su et al. 2021; Ainslie et al. 2023.
    """

    def __init__(self, config: LlamaConfig | Mapping):
        super().__init__()
        config = LlamaConfig(config)
        hidden, bias, self.head_dim = config.hidden_size, config.attention_bias, config.head_dim
        self.q_proj = nn.Linear(hidden, config.num_attention_heads * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(hidden, config.num_key_value_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(hidden, config.num_key_value_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(config.num_attention_heads * self.head_dim, hidden, bias=bias)
        self.rotary_emb = LlamaRotaryEmbedding(self.head_dim, config.rope_theta, config.rope_scaling)

    def forward(
        self,
        x: Float[Tensor, "batch seq hidden"],
        rotation: Rotation | None = None,
        mask: Bool[Tensor, "*any"] | None = None,
        cache=None,
    ) -> Float[Tensor, "batch seq hidden"]:
        check_hidden(x, self.q_proj.in_features, "LlamaAttention", self.q_proj.weight, axes=("batch", "seq"))
        if cache is not None and not hasattr(cache, "update"):
            raise TypeError(f"cache must be the cache of one layer, such as a KVCache, got {type(cache).__name__}")
        past, (batch, seq, _) = 0 if cache is None else len(cache), x.shape
        check_mask(mask, (batch, self.q_proj.out_features // self.head_dim, seq, past + seq))
        if rotation is None:
            rotation = self.rotary_emb.angles(torch.arange(past, past + seq, device=x.device))
        check_rotation(rotation, batch, seq, self.head_dim // 2)
        q = rearrange(self.q_proj(x), "batch seq (head dim) -> batch head seq dim", dim=self.head_dim)
        k = rearrange(self.k_proj(x), "batch seq (kv dim) -> batch kv seq dim", dim=self.head_dim)
        v = rearrange(self.v_proj(x), "batch seq (kv dim) -> batch kv seq dim", dim=self.head_dim)
        q, k = rotate(q, rotation), rotate(k, rotation)
        if cache is not None:
            k, v = cache.update(k, v)
        check_mask(mask, (len(q), q.shape[1], q.shape[2], k.shape[2]))
        mixed = attend(q, k, v, mask)
        return self.o_proj(rearrange(mixed, "batch head seq dim -> batch seq (head dim)"))
