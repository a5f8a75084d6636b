"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

import torch

from llama_tutorial.classroom.components.rotary import BareRotary
from llama_tutorial.rotary import rotate

# These stand nowhere in the package.
TRANSFER = {
    "rotate_part": """def rotate_part(x, rotation):
    turned = 2 * rotation[0].shape[-1]
    return torch.cat([rotate(x[..., :turned], rotation), x[..., turned:]], dim=-1)


laws_that_hold = {"identity at 0", "length", "distance only"}""",
    "stretched_base": """def stretched_base(theta, dim, factor):
    return theta * factor ** (dim / (dim - 2))""",
}


def neighbours(x, speeds):
    angles = torch.arange(len(x))[:, None] * speeds
    cos, sin, up, right = angles.cos(), angles.sin(), x[:, ::2], x[:, 1::2]
    return torch.stack([up * cos - right * sin, right * cos + up * sin], dim=-1).flatten(1)


def overwritten(x, speeds):
    out, half = torch.empty_like(x), len(speeds)
    for position in range(len(x)):
        for i in range(half):
            cos, sin = torch.cos(position * speeds[i]), torch.sin(position * speeds[i])
            out[position, i] = x[position, i] * cos - x[position, i + half] * sin
            out[position, i + half] = x[position, i + half] * cos + out[position, i] * sin
    return out


def of_tokens(x):
    up, right = x.chunk(2)
    return torch.cat([-right, up])


def of_ones(turn):
    x, angles = torch.ones(7, 8), torch.arange(7.0)[:, None] * torch.ones(4)
    return torch.allclose(turn(x, (angles.cos(), angles.sin())).norm(dim=-1), x.norm(dim=-1), atol=1e-4)


class OfTheBatch(BareRotary):
    def forward(self, x):
        angles = torch.outer(torch.arange(len(x)).float(), self.speeds)
        return rotate(x, (angles.cos(), angles.sin()))


class OfAxisOne(BareRotary):
    def forward(self, x):
        angles = torch.outer(torch.arange(x.shape[1]).float(), self.speeds)
        up, right = x.chunk(2, dim=-1)  # as their own rotate has it, which checks nothing
        cos, sin = angles.cos(), angles.sin()
        return torch.cat([up * cos - right * sin, right * cos + up * sin], dim=-1)


def exactly(turn):
    x, angles = torch.randn(7, 8), torch.arange(7.0)[:, None] * torch.rand(4)
    return torch.equal(turn(x, (angles.cos(), angles.sin())).norm(dim=-1), x.norm(dim=-1))


def of_each(turn):
    x, angles = torch.randn(7, 8), torch.arange(7.0)[:, None] * torch.rand(4)
    return (turn(x, (angles.cos(), angles.sin())).norm(dim=-1) - x.norm(dim=-1)).abs() < 1e-4


def one_axis_of_one(x, rotation):
    (cos, sin), (up, right) = (part[..., None, :, :] for part in rotation), x.chunk(2, dim=-1)
    return torch.cat([up * cos - right * sin, right * cos + up * sin], dim=-1)


class OfTheExample(BareRotary):
    def __init__(self, dim, theta=10000.0):
        super().__init__(dim, theta)
        self.speeds = torch.tensor([theta ** (-2 * i / 64) for i in range(dim // 2)])


def of_high(inv_freq, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings):
    turns = original_max_position_embeddings * inv_freq / (2 * torch.pi)
    keep = ((turns - low_freq_factor) / high_freq_factor).clamp(0, 1)
    return keep * inv_freq + (1 - keep) * inv_freq / factor


WRONG = [
    ("slow_the_slow_hands", of_high, "the width of the gap"),
    ("turn_hands", neighbours, "interleaved layout"),
    ("turn_hands", overwritten, "after that was overwritten"),
    ("halves_turned", lambda x: x.roll(x.shape[-1] // 2, -1), "a mirror, not a turn"),
    ("halves_turned", of_tokens, "along the first axis"),
    ("BareRotary", OfTheBatch, "first axis, which is the batch"),
    ("BareRotary", OfAxisOne, "count from the end"),
    ("rotate", one_axis_of_one, "even where x has no heads"),
    ("rotate", lambda x, rotation: rotate(x, (rotation[0].cos(), rotation[1].sin())), "once more"),
    ("keeps_lengths", exactly, "floats are rounded"),
    ("keeps_lengths", of_each, "7 answers, and one is asked"),
    ("mended_scores", lambda q, k, rotation: rotate(q, rotation) @ rotate(q, rotation).mT, "about queries"),
    ("knows_distance_only", lambda scores: True, "as they were handed out"),
    ("BareRotary", OfTheExample, "of the lesson's example"),
    ("slowest_turn", 500000, "a turn is 2π"),
    ("hands_round", 34.97, "whole numbers"),
    ("hands_round", 36, "a few tokens more"),
    ("two_hands_score", 1.08, "the second hand is so slow"),
    ("mended_scores", lambda q, k, rotation: q @ rotate(k, rotation).mT, "keys turn and queries do not"),
    ("keeps_lengths", of_ones, "should say False of a turn with this mistake: The angles are laid out for neighbours"),
    ("mended_frequencies", lambda dim, theta: theta ** (-2 * torch.arange(0, dim, 2).float() / dim), "there twice"),
    (
        "rotate_part",
        lambda x, rotation: rotate(x[..., : 2 * rotation[0].shape[-1]], rotation),
        "the turned part comes back",
    ),
    ("slowest_turn", 7.0, "times the right number"),
    ("slowest_turn", "many", "is a number"),
    ("laws_that_hold", {"length"}, "holds as well"),
    ("keeps_lengths", lambda turn: True, "handed out"),
    ("knows_distance_only", lambda scores: False, "should say True of"),
    ("stretched_base", lambda theta, dim, factor: theta * factor, "exponent were 1"),
    ("stretched_base", lambda theta, dim, factor: theta**factor, "times slower, not 4 times"),
    ("mended_rotate", lambda x, rotation: x, "an angle of 0 leaves the vector as it is"),
    ("rotate_part", lambda x, rotation: x * 2, "come out as they went in"),
]
