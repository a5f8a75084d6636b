"""Generation

Choose a token, feed it back, and never compute the same key twice.
"""

# Exported from notebooks/11_generation.ipynb; edit the lesson, not this file.

__all__ = ["KVCache", "grown", "make_cache"]

from jaxtyping import Float
from torch import Tensor


class KVCache:
    """The keys and values of one layer, kept so that no token is computed twice.

    `update(k, v)` adds those of new tokens, each (batch, kv, new, dim), and returns all of them; `len(cache)` is the
    number of tokens kept, which is the position of the next. With `max_length`, ValueError past it. Room is doubled
    when it runs out, so adding a token copies nothing but itself.
    """

    def __init__(self, max_length: int | None = None):
        if max_length is not None and (not isinstance(max_length, int) or max_length < 1):
            raise ValueError(f"max_length must be a whole number of at least 1, or None, got {max_length!r}")
        self.max_length = max_length
        self.length = 0
        self.k = self.v = None

    def __len__(self):
        return self.length

    def update(
        self, k: Float[Tensor, "batch kv new dim"], v: Float[Tensor, "batch kv new dim"]
    ) -> tuple[Float[Tensor, "batch kv key dim"], Float[Tensor, "batch kv key dim"]]:
        start, end = self.length, self.length + k.shape[2]
        if self.max_length is not None and end > self.max_length:
            raise ValueError(f"the cache holds {self.max_length} tokens, got {k.shape[2]} more after {start}")
        self.k, self.v = grown(self.k, k, end), grown(self.v, v, end)
        self.k[:, :, start:end], self.v[:, :, start:end] = k, v
        self.length = end
        return self.k[:, :, :end], self.v[:, :, :end]


def grown(kept, new, length):
    """A store with room for `length` tokens: the one there is, or one of at least twice its size."""
    if kept is None:
        return new.new_empty((*new.shape[:2], length, new.shape[3]))
    if kept.shape[0] != new.shape[0]:
        raise ValueError(f"the cache holds a batch of {kept.shape[0]}, got one of {new.shape[0]}")
    if length <= kept.shape[2]:
        return kept
    larger = kept.new_empty((*kept.shape[:2], max(length, 2 * kept.shape[2]), kept.shape[3]))
    larger[:, :, : kept.shape[2]] = kept
    return larger


def make_cache(layers: int, max_length: int | None = None) -> list[KVCache]:
    """An empty cache for every layer, as the model takes it."""
    return [KVCache(max_length) for _ in range(layers)]
