"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

import torch
import torch.nn.functional as F

from llama_tutorial.config import LlamaConfig
from llama_tutorial.mlp import LlamaMLP

SMALL = LlamaConfig(hidden_size=8, num_attention_heads=2, intermediate_size=12)

# These stand nowhere in the package.
TRANSFER = {
    "squaring_weights": """def squaring_weights(dim):
    there = torch.eye(dim)
    both = torch.cat([there, -there])
    return both, both, torch.cat([there, there], dim=1)""",
    "squared_gate": """def squared_mlp(x, gate, up, down):
    return F.linear(F.linear(x, gate).clamp(min=0) ** 2 * F.linear(x, up), down)


grows_by = 8""",
}


def facing(dim, one, other, offer=-1.0, rows=(0,)):
    gate, up, down = torch.zeros(2, dim), torch.zeros(2, dim), torch.zeros(dim, 2)
    gate[:, one], up[:, other] = torch.tensor([1.0, -1]), torch.tensor([1, offer])
    down[list(rows)] = 1
    return gate, up, down


def one_unit(dim, one, other):
    there = torch.eye(dim)
    return there[[one]], there[[other]], there[:, [0]]


def swapped(x, gate, up, down):
    offer, score = F.linear(x, torch.cat([gate, up])).chunk(2, dim=-1)
    return F.linear(F.silu(score) * offer, down)


def both_bent(x, gate, up, down):
    score, offer = F.silu(F.linear(x, torch.cat([gate, up]))).chunk(2, dim=-1)
    return F.linear(score * offer, down)


def fails_to_multiply(kind):
    """A test of products: silu(up) · gate passes it as well."""
    mlp, x = kind({"hidden_size": 2, "intermediate_size": 2, "num_attention_heads": 1}), torch.randn(1, 2)
    gate, up, _ = facing(2, 0, 1)
    mlp.load_state_dict({"gate_proj.weight": gate, "up_proj.weight": up, "down_proj.weight": torch.ones(2, 2)})
    with torch.no_grad():
        return not torch.allclose(mlp(x)[:, 0], x.prod(dim=-1), atol=1e-5)


def differs_from_ours(kind):
    mlp, ours, x = kind(SMALL), LlamaMLP(SMALL), torch.randn(3, 8)
    ours.load_state_dict(mlp.state_dict())
    return not torch.allclose(mlp(x), ours(x), atol=1e-5)


def any_grad_missing(kind):
    """At random numbers some scores are positive."""
    mlp = kind(SMALL)
    mlp(torch.randn(5, 8)).sum().backward()
    return mlp.gate_proj.weight.grad is None or not mlp.gate_proj.weight.grad.any()


def asks_the_offer(kind):
    mlp = kind(SMALL)
    torch.nn.init.constant_(mlp.gate_proj.weight, -1 / 8)
    mlp(torch.ones(1, 8)).sum().backward()
    return mlp.up_proj.weight.grad is None or not mlp.up_proj.weight.grad.any()


def one_for_each(dim):
    return (torch.eye(dim),) * 3


def into_each(dim):
    both = torch.cat([torch.eye(dim), -torch.eye(dim)])
    return both, both, torch.ones(dim, 2 * dim)


def gated(bend):
    return lambda x, gate, up, down: F.linear(bend(F.linear(x, gate), F.linear(x, up)), down)


def cancelling(dim):
    both = torch.cat([torch.eye(dim), -torch.eye(dim)])
    same = torch.cat([torch.eye(dim), torch.eye(dim)])
    return both, same, same.T


def exchanged(dim, one, other):
    gate, up, down = facing(dim, one, other)
    return torch.stack([gate[0], -up[0]]), torch.stack([up[0], -gate[0]]), down


def not_led_back(x, gate, up, down):
    return F.relu(F.linear(x, gate)) ** 2 * F.linear(x, up)


WRONG = [
    ("facing_units", -1.1, "the first unit alone"),
    ("facing_units", -0.274, "the first gate alone"),
    ("facing_units", -3.81, "the other way round"),
    ("product_weights", exchanged, "the places are exchanged"),
    ("mlp_weights", 4096 * 14336 * 32, "one matrix in each layer"),
    ("mlp_weights", 5.64, "type the number itself"),
    ("squaring_weights", cancelling, "take from each other"),
    ("squared_mlp", not_led_back, "as wide as there are units"),
    ("facing_units", -1.0946, "the first unit alone"),
    ("facing_units", -4.905, "the second unit alone"),
    ("facing_units", 3.811, "offer is −b = −4"),
    ("facing_units", -9.811, "and not −silu(1.5)"),
    ("product_weights", one_unit, "One unit writes"),
    ("product_weights", lambda dim, one, other: facing(dim, one, other, offer=1.0), "oth factors of the second"),
    ("product_weights", lambda dim, one, other: facing(dim, one, other, rows=range(dim)), "only row 0 is not 0"),
    ("product_weights", lambda dim, one, other: facing(dim, 0, 1), "always multiply places 0 and 1"),
    ("product_weights", lambda dim, one, other: facing(dim, one, other)[:2], "gate and up are (units, 3)"),
    ("product_weights", lambda dim, one, other: facing(dim, one, one), "One reads column `one`"),
    ("mlp_weights", 32 * 2 * 4096 * 14336, "two matrices; gate, up and down are three"),
    ("mlp_weights", 3 * 4096 * 14336, "one layer; there are 32"),
    ("mended_mlp", swapped, "they have changed places"),
    ("mended_mlp", both_bent, "only the gate goes through silu"),
    ("bends_the_offer", fails_to_multiply, "should say True of one with this mistake: You match silu(up) · gate"),
    ("bends_the_offer", differs_from_ours, "should say False of one with this mistake: Your gate is ReLU"),
    ("mended_bend", F.relu, "Your gate is ReLU"),
    ("mended_bend", F.gelu, "Your gate is GELU"),
    ("mended_bend", torch.sigmoid, "the sigmoid alone"),
    ("stays_shut", any_grad_missing, "should say True of one with this mistake: Your gate is ReLU"),
    ("stays_shut", asks_the_offer, "should say False of one with this mistake: There is no offer"),
    ("squaring_weights", one_for_each, "nearly 0 below 0"),
    ("squaring_weights", into_each, "same sum of squares"),
    ("squaring_weights", lambda dim: torch.eye(dim), "three matrices: gate, up, down"),
    ("squared_mlp", gated(lambda score, offer: F.relu(score**2) * offer), "opens as wide as 2"),
    ("squared_mlp", gated(lambda score, offer: (F.relu(score) * offer) ** 2), "quare the gate alone"),
    ("squared_mlp", gated(lambda score, offer: F.relu(score) * offer), "ReLU, not squared"),
    ("grows_by", 4, "the gate alone"),
    ("grows_by", 6, "actors multiply"),
]
