"""The language model

The table that turned ids into vectors also scores every next id, and the loss says how surprised it was.
"""

# Exported from notebooks/09_causal_lm.ipynb; edit the lesson, not this file.

__all__ = ["LlamaForCausalLM", "next_token_loss"]

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn

from .config import LlamaConfig
from .doors import Cache, Later, check_next
from .model import LlamaModel, init_weights


class LlamaForCausalLM(nn.Module):
    """Llama with its head: ids (batch, seq) → logits (batch, seq, vocab), the scores of every next token.

    With `tie_word_embeddings`, `lm_head.weight` and `model.embed_tokens.weight` are one tensor.
    Arguments and errors are those of `LlamaModel`. Source: Touvron et al. 2023; tying after Press and Wolf 2017.
    """

    generate = Later("generation")  # lesson 11
    from_pretrained = Later("checkpoint", of="class")  # lesson 14
    save_pretrained = Later("checkpoint")

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
        attention_mask: Bool[Tensor, "batch key"] | Integer[Tensor, "batch key"] | None = None,
        positions: Integer[Tensor, " seq"] | Integer[Tensor, "batch seq"] | None = None,
        cache: Sequence[Cache] | None = None,
    ) -> Float[Tensor, "batch seq vocab"]:
        return self.lm_head(self.model(input_ids, attention_mask, positions, cache))

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        """Stay tied where loading puts new tensors in the place of the old ones, as `assign=True` does."""
        names = [f"{prefix}model.embed_tokens.weight", f"{prefix}lm_head.weight"]
        tables = [state_dict[name] for name in names if name in state_dict]
        if self.config.tie_word_embeddings and tables:
            state_dict.update(dict.fromkeys(names, nn.Parameter(tables[0].detach())))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _apply(self, fn, recurse=True):
        """Stay tied where moving makes new tensors, as from the meta device."""
        super()._apply(fn, recurse)
        self.tie_weights()
        return self


def next_token_loss(
    logits: Float[Tensor, "batch seq vocab"], input_ids: Integer[Tensor, "batch seq"]
) -> Float[Tensor, ""]:
    """Mean surprise in nats: the logits at each place are judged by the id at the next place, in float32 at least.

    Raises TypeError or ValueError for what are no logits and ids, where there is no next place, or where the shapes
    do not belong together.
    """
    check_next(logits, input_ids)
    targets = F.pad(input_ids[:, 1:].long(), (0, 1), value=-100)  # nothing comes after the last place: left out
    scores = rearrange(logits, "batch seq vocab -> (batch seq) vocab")
    scores = scores.to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(scores, rearrange(targets, "batch seq -> (batch seq)"), ignore_index=-100)
