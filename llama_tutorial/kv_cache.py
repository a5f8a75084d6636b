"""Generation

Choose a token, feed it back, and never compute the same key twice.
"""

# Exported from notebooks/11_generation.ipynb; edit the lesson, not this file.

__all__ = ["KVCache", "with_room", "check_update", "make_cache"]

import torch
from jaxtyping import Float
from torch import Tensor

from .config import check_number, check_tensor


class KVCache:
    """The keys and values of one layer, kept so that no token is computed twice.

    `update(k, v)` adds those of new tokens, each (batch, kv, new, dim), and returns all of them; `len(cache)` is the
    number of tokens kept, which is the position of the next. Room is doubled when it runs out, so adding a token
    copies nothing but itself (where gradients flow, every update copies what backward needs). Raises ValueError past
    `max_length` and for another shape than what is kept, TypeError for another dtype. Source: Pope et al. 2022.
    """

    def __init__(self, max_length: int | None = None):
        self.max_length = max_length if max_length is None else check_number("max_length", max_length, whole=True)
        self.length = 0
        self.k = self.v = None

    def __len__(self):
        return self.length

    def update(
        self, k: Float[Tensor, "batch kv new dim"], v: Float[Tensor, "batch kv new dim"]
    ) -> tuple[Float[Tensor, "batch kv key dim"], Float[Tensor, "batch kv key dim"]]:
        """Keep the keys and values of new tokens, and return those of all tokens so far."""
        check_update(self, k, v)
        start, end = self.length, self.length + k.shape[2]
        self.k, self.v = with_room(self.k, k, end), with_room(self.v, v, end)
        self.k[:, :, start:end], self.v[:, :, start:end] = k, v
        self.length = end
        return self.k[:, :, :end], self.v[:, :, :end]


def with_room(kept: Tensor | None, new: Tensor, length: int) -> Tensor:
    """A store with room for `length` tokens that may be written to: the one there is, or a copy, twice as large.

    What backward still needs is copied, and so is what was made in inference mode once that has ended.
    """
    if kept is None:
        return new.new_empty((*new.shape[:2], length, new.shape[3]))
    room = kept.shape[2]
    same_mode = torch.compiler.is_compiling() or kept.is_inference() == torch.is_inference_mode_enabled()
    if length <= room and same_mode and not kept.requires_grad:
        return kept
    larger = kept.new_empty((*kept.shape[:2], room if length <= room else max(length, 2 * room), kept.shape[3]))
    larger[:, :, :room] = kept
    return larger


def check_update(cache, k, v):
    """Refuse keys and values that are not alike, do not fit what the cache holds, or are too many."""
    check_tensor("k", k, "floats", ("batch", "kv", "new", "dim"))
    check_tensor("v, beside k,", v, "floats", tuple(k.shape))
    end = len(cache) + k.shape[2]
    if cache.max_length is not None and end > cache.max_length:
        raise ValueError(f"the cache holds {cache.max_length} tokens, got {k.shape[2]} more after {len(cache)}")
    if cache.k is None:
        return
    batch, kv, _, dim = cache.k.shape
    check_tensor("k, beside what the cache holds,", k, "floats", (batch, kv, "new", dim))
    if not cache.k.dtype == cache.v.dtype == k.dtype == v.dtype:
        raise TypeError(f"the cache holds {cache.k.dtype}, got {k.dtype} and {v.dtype}: use one dtype for one cache")


def make_cache(layers: int, max_length: int | None = None) -> list[KVCache]:
    """An empty cache for every layer, as the model takes it."""
    return [KVCache(max_length) for _ in range(check_number("layers", layers, whole=True))]
