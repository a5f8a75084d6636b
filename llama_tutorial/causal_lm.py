"""The language model

The table that turned ids into vectors also scores every next id, and the loss says how surprised it was.
"""

# Exported from notebooks/09_causal_lm.ipynb; edit the lesson, not this file.

__all__ = ["LlamaForCausalLM", "next_token_loss"]

from collections.abc import Mapping

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Integer
from torch import Tensor, nn

from .config import LlamaConfig, check_tensor
from .model import LlamaModel, check_ids, init_weights


class LlamaForCausalLM(nn.Module):
    """Llama with its head: ids (batch, seq) → logits (batch, seq, vocab), the scores of every next token.

    With `tie_word_embeddings`, `lm_head.weight` and `model.embed_tokens.weight` are one tensor.
    Arguments and errors are those of `LlamaModel`. Source: Touvron et al. 2023; tying after Press and Wolf 2017.
    """

    def __init__(self, config: LlamaConfig | Mapping):
        super().__init__()
        self.config = LlamaConfig(config)
        self.model = LlamaModel(self.config)
        self.lm_head = nn.Linear(self.config.hidden_size, self.config.vocab_size, bias=False)
        init_weights(self.lm_head, self.config.initializer_range)
        self.tie_weights()

    def tie_weights(self):
        """Make input and output embedding one tensor, where the config says so."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(
        self,
        input_ids: Integer[Tensor, "batch seq"],
        attention_mask: Tensor | None = None,
        positions: Integer[Tensor, "*batch seq"] | None = None,
        cache=None,
    ) -> Float[Tensor, "batch seq vocab"]:
        return self.lm_head(self.model(input_ids, attention_mask, positions, cache))

    def _apply(self, fn, recurse=True):
        """Stay tied where moving makes new tensors, as from the meta device."""
        super()._apply(fn, recurse)
        self.tie_weights()
        return self


def next_token_loss(
    logits: Float[Tensor, "batch seq vocab"], input_ids: Integer[Tensor, "batch seq"]
) -> Float[Tensor, ""]:
    """Mean surprise in nats: the logits at each place are judged by the id at the next place.

    Raises TypeError or ValueError for what are no logits and ids, where there is no next place, or where the shapes
    do not belong together.
    """
    check_tensor("logits", logits, "floats", ("batch", "seq", "vocab"))
    check_ids(input_ids, logits.shape[-1])
    if logits.shape[:-1] != input_ids.shape or input_ids.shape[1] < 2:
        raise ValueError(
            f"next_token_loss takes logits (batch, seq, vocab) and ids (batch, seq) with seq ≥ 2, "
            f"got {tuple(logits.shape)} and {tuple(input_ids.shape)}"
        )
    scores = rearrange(logits[:, :-1], "batch seq vocab -> (batch seq) vocab")
    targets = rearrange(input_ids[:, 1:], "batch seq -> (batch seq)")
    return F.cross_entropy(scores, targets.long())
