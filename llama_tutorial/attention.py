"""Attention

Every token asks, every earlier token answers, and the answers are mixed by how well they fit.
"""

# Exported from notebooks/05_attention.ipynb; edit the lesson, not this file.

__all__ = ["causal_mask", "attend_by_hand", "attend", "attend_with_one_query", "places", "LlamaAttention"]

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from .config import LlamaConfig
from .doors import Cache, check_mask, explained
from .rotary import LlamaRotaryEmbedding, Rotation, check_scaling, rotate


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

    `mask` is True where a query may look, broadcast to (batch, head, query, key); None is causal. A query that may
    look at nothing gets zeros.
    Source: Vaswani et al. 2017, equation 1; Ainslie et al. 2023 for the groups.
    """
    if mask is None:
        mask = causal_mask(q.shape[2], k.shape[2], device=q.device)
    q = rearrange(q, "batch (kv group) query dim -> batch kv group query dim", kv=k.shape[1])
    scores = einsum(q, k, "batch kv group query dim, batch kv key dim -> batch kv group query key")
    scores = rearrange(scores, "batch kv group query key -> batch (kv group) query key") / math.sqrt(q.shape[-1])
    scores = scores.masked_fill(~mask, -math.inf)
    weights = scores.softmax(dim=-1, dtype=torch.promote_types(q.dtype, torch.float32)).to(q.dtype)
    weights = weights.masked_fill(~mask, 0.0)  # where a query may look at nothing, softmax has no number
    weights = rearrange(weights, "batch (kv group) query key -> batch kv group query key", kv=k.shape[1])
    mixed = einsum(weights, v, "batch kv group query key, batch kv key dim -> batch kv group query dim")
    return rearrange(mixed, "batch kv group query dim -> batch (kv group) query dim")


def attend(
    q: Float[Tensor, "batch head query dim"],
    k: Float[Tensor, "batch kv key dim"],
    v: Float[Tensor, "batch kv key dim"],
    mask: Bool[Tensor, "*any"] | None = None,
) -> Float[Tensor, "batch head query dim"]:
    """`attend_by_hand`, computed by PyTorch's fused kernel, in which a group of queries shares its keys and values.

    The kernel's own causal switch counts queries from key 0, which is right only where all keys are queries.
    """
    if mask is None and q.shape[2] == k.shape[2]:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    if mask is None and q.shape[2] > 1:
        mask = causal_mask(q.shape[2], k.shape[2], device=q.device)
    mask = mask if mask is None else torch.atleast_2d(mask)  # the kernel reads no mask of keys alone
    half = q.dtype in (torch.bfloat16, torch.float16)
    if half and q.shape[2] == 1 and _for_all_heads(mask):
        return attend_with_one_query(q, k, v, mask)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)


def attend_with_one_query(q, k, v, mask):
    """`attend` for the next token: the queries of a group are the rows of one small matrix, which reads a key once.

    The kernel reads the keys anew for every head, and in half precision most of its time goes into that.
    """
    rows = rearrange(q, "batch (kv group) 1 dim -> batch kv group dim", kv=k.shape[1])
    mixed = F.scaled_dot_product_attention(rows, k, v, attn_mask=mask)
    return rearrange(mixed, "batch kv group dim -> batch (kv group) 1 dim")


def _for_all_heads(mask):
    """Whether one mask serves all heads: there is none, or its axis of heads is 1 or missing."""
    return mask is None or mask.ndim < 3 or mask.shape[-3] == 1


def places(x: Float[Tensor, "batch seq hidden"], cache: Cache | None) -> Int[Tensor, " seq"]:
    """Where these tokens stand: after those that the cache holds, or from 0 on."""
    past = 0 if cache is None else len(cache)
    return torch.arange(past, past + x.shape[1], device=x.device)


@explained
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
        self.hidden_size, self.head_dim, bias = config.hidden_size, config.head_dim, config.attention_bias
        self.rope = (config.head_dim, config.rope_theta, config.rope_scaling)
        check_scaling(config.rope_scaling)
        self.q_proj = nn.Linear(config.hidden_size, config.num_attention_heads * config.head_dim, bias=bias)
        self.k_proj = nn.Linear(config.hidden_size, config.num_key_value_heads * config.head_dim, bias=bias)
        self.v_proj = nn.Linear(config.hidden_size, config.num_key_value_heads * config.head_dim, bias=bias)
        self.o_proj = nn.Linear(config.num_attention_heads * config.head_dim, config.hidden_size, bias=bias)

    @property
    def rotary_emb(self) -> LlamaRotaryEmbedding:
        """What turns queries and keys where no rotation is given; a model gives one, and never makes this."""
        return LlamaRotaryEmbedding(*self.rope)

    def forward(
        self,
        x: Float[Tensor, "batch seq hidden"],
        rotation: Rotation | None = None,
        mask: Bool[Tensor, "*any"] | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "batch seq hidden"]:
        if rotation is None:
            rotation = self.rotary_emb.angles(places(x, cache))
        q = rearrange(self.q_proj(x), "batch seq (head dim) -> batch head seq dim", dim=self.head_dim)
        k = rearrange(self.k_proj(x), "batch seq (kv dim) -> batch kv seq dim", dim=self.head_dim)
        v = rearrange(self.v_proj(x), "batch seq (kv dim) -> batch kv seq dim", dim=self.head_dim)
        q, k = rotate(q, rotation), rotate(k, rotation)
        if mask is not None:
            check_mask(mask, q, cache)  # a mask of floats would be added to the scores
        if cache is not None:
            k, v = cache.update(k, v)
            mask = mask if mask is None else mask[..., -k.shape[2] :]  # a cache may have let go of the first keys
        mixed = attend(q, k, v, mask)
        return self.o_proj(rearrange(mixed, "batch head seq dim -> batch seq (head dim)"))
