"""Generation

Choose a token, feed it back, and never compute the same key twice.
"""

# Exported from notebooks/11_generation.ipynb; edit the lesson, not this file.

__all__ = ["of_another_mode", "written", "KVCache", "make_cache"]

import torch
from jaxtyping import Float
from torch import Tensor

from .doors import check_number, check_update


def of_another_mode(store: Tensor) -> bool:
    """Whether a tensor was made in inference mode and this is not it, or the other way round."""
    return not torch.compiler.is_compiling() and store.is_inference() != torch.is_inference_mode_enabled()


def written(store: Tensor | None, start: int, new: Tensor, room: int | None) -> Tensor:
    """Return a store with the new tokens behind the first `start`: the given one where it has room, or a larger copy.

    Where gradients flow, old and new are joined in another tensor, because backward still needs the old one. A store
    that was made in inference mode is copied once that has ended, because then it cannot be written to.
    """
    end = start + new.shape[2]
    if torch.is_grad_enabled() and (new.requires_grad or (store is not None and store.requires_grad)):
        return new if store is None else torch.cat([store[:, :, :start], new], dim=2)
    if store is None or end > store.shape[2] or of_another_mode(store):
        larger = new.new_empty((*new.shape[:2], room or 2 * end, new.shape[3]))
        if store is not None:
            larger[:, :, :start] = store[:, :, :start]
        store = larger
    store[:, :, start:end] = new
    return store


class KVCache:
    """The keys and values of one layer, kept so that no token is computed twice.

    `update(k, v)` adds those of new tokens, each (batch, kv, new, dim), and returns all of them; `len(cache)` is the
    number of tokens kept, which is the position of the next. New tokens are written into room that is there already:
    for `max_length` tokens, or else for twice as many as needed, and again twice when it runs out. Where gradients
    flow nothing is written over, and every update makes new tensors. Raises ValueError past `max_length` and for
    another shape than what is kept, TypeError for another dtype. Source: Pope et al. 2022.
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
        start, self.length = self.length, self.length + k.shape[2]
        self.k, self.v = written(self.k, start, k, self.max_length), written(self.v, start, v, self.max_length)
        return self.k[:, :, : self.length], self.v[:, :, : self.length]


def make_cache(layers: int, max_length: int | None = None) -> list[KVCache]:
    """An empty cache for every layer, as the model takes it."""
    return [KVCache(max_length) for _ in range(check_number("layers", layers, whole=True))]
