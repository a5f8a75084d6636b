"""Four small models that learnt a rule each, for lesson 13: what they are asked, and how often a rule is theirs.

Each has two layers with two heads and was trained for ten seconds, on texts of sixteen random digits, to give a digit
at every place. `tests/make_mysteries.py` makes them anew; whoever looks there before the exercises spoils them.
"""

from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Int
from safetensors.torch import load_file
from torch import Tensor, nn

from ..causal_lm import LlamaForCausalLM

FOLDER = Path(__file__).parents[1] / "assets" / "mysteries"
SHAPE = {"vocab_size": 10, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2,
         "num_attention_heads": 2, "num_key_value_heads": 2, "tie_word_embeddings": False}  # fmt: skip


def mystery(name: str) -> nn.Module:
    """The model of that name, one of W, X, Y and Z; raises ValueError for another name."""
    file = FOLDER / f"{name}.safetensors"
    if name not in ("W", "X", "Y", "Z"):
        raise ValueError(f"a mystery is called W, X, Y or Z, got {name!r}")
    model = LlamaForCausalLM(SHAPE)
    model.load_state_dict({key: value.float() for key, value in load_file(file).items()})
    return model.eval()


@cache
def digits() -> Int[Tensor, "batch seq"]:
    """The 256 texts of sixteen digits that all of them are asked, the same on every machine."""
    return torch.randint(10, (256, 16), generator=torch.Generator().manual_seed(1))


def back(by: int):
    """The rule that repeats the digit `by` places back."""
    return lambda ids: F.pad(ids[:, :-by], (by, 0), value=-1)


def latest(wanted):
    """The rule that repeats the latest digit for which `wanted` holds."""

    def rule(ids):
        places = torch.where(wanted(ids), torch.arange(ids.shape[1]), -1).cummax(dim=1).values
        return torch.where(places >= 0, ids.gather(1, places.clamp(min=0)), -1)

    return rule


def commonest(ids):
    """The digit that came most often so far, of several the largest."""
    return (100 * F.one_hot(ids, 10).cumsum(dim=1) + torch.arange(10)).argmax(dim=-1)


# Each takes ids (batch, seq) and gives a digit for each place, −1 where it has nothing to say.
RULES = {
    "the first": lambda ids: ids[:, :1].expand_as(ids),
    "two back": back(2),
    "three back": back(3),
    "the highest so far": lambda ids: ids.cummax(dim=1).values,
    "the lowest so far": lambda ids: ids.cummin(dim=1).values,
    "the commonest so far": commonest,
    "the latest of 5 or more": latest(lambda ids: ids >= 5),
    "the latest below 5": latest(lambda ids: ids < 5),
}


@torch.no_grad()
def share_right(model, rule: str) -> float:
    """How often the model's best guess is what the rule says, among the places where the rule says something."""
    wanted = RULES[rule](digits())
    return (model(digits()).argmax(dim=-1) == wanted)[wanted >= 0].float().mean().item()
