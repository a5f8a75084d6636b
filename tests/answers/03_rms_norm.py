"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

import torch

# These stand nowhere in the package.
TRANSFER = {
    "head_norm": """from einops import rearrange


def head_norm(x, weight, eps):
    heads = rearrange(x, "batch seq (head dim) -> batch seq head dim", dim=len(weight))
    return rearrange(rms_norm(heads, weight, eps), "batch seq head dim -> batch seq (head dim)")""",
    "gain_folded": """def gain_folded(matrix, gain):
    return matrix * gain""",
    "partial_norm": """def partial_norm(x, weight, eps):
    few = x[..., : x.shape[-1] // 4]
    return weight * x / torch.sqrt(few.pow(2).mean(dim=-1, keepdim=True) + eps)""",
}


def straight_on(x, weight, eps, gradient):
    return weight * gradient / (x.square().mean(dim=-1, keepdim=True) + eps).sqrt()


def each_its_own(x, weight, eps, gradient):
    size = (x.square().mean(dim=-1, keepdim=True) + eps).sqrt()
    pull = weight * gradient
    return pull / size - pull * x * x / (len(weight) * size**3)


def summed(x, weight, eps):
    return weight * x / (x.square().sum(dim=-1, keepdim=True) + eps).sqrt()


def repaired_outside(x, weight, eps):
    wide = x if x.dtype == torch.float64 else x.float()
    power = wide.square().sum(dim=-1, keepdim=True)
    return weight * (x.shape[-1] ** 0.5 * wide / torch.sqrt(power + eps)).to(x.dtype)


def first_alone(x, weight, eps):
    few = x.shape[-1] // 4
    normed = x[..., :few] / (x[..., :few].square().mean(dim=-1, keepdim=True) + eps).sqrt()
    return weight * torch.cat([normed, x[..., few:]], dim=-1)


def as_on_paper(x, weight, eps, gradient):
    size = (x.square().mean(dim=-1, keepdim=True) + eps).sqrt()
    pull = weight * gradient
    return pull / size - pull * x * x / (2 * size**3)


def divided_twice(x, weight, eps, gradient):
    size = (x.square().mean(dim=-1, keepdim=True) + eps).sqrt()
    pull = weight * gradient
    return pull / size - x * (pull * x).mean(dim=-1, keepdim=True) / (2 * size**3)


def all_heads_at_once(x, weight, eps):
    full = weight.repeat(x.shape[-1] // len(weight))
    return full * x / (x.square().mean(dim=-1, keepdim=True) + eps).sqrt()


def cut_across(x, weight, eps):
    heads = x.unflatten(-1, (len(weight), -1))
    return (weight[:, None] * heads / (heads.square().mean(dim=-2, keepdim=True) + eps).sqrt()).flatten(-2)


def first_four(x, weight, eps):
    return weight * x / (x[..., :4].square().mean(dim=-1, keepdim=True) + eps).sqrt()


def is_small(norm):
    return norm(torch.randn(3, 64), torch.ones(64), 1e-6).square().mean() < 0.5


def not_one(norm):
    x = torch.randn(3, 100)
    return not torch.allclose(norm(x, torch.ones(100), 1e-6).square().mean(-1), torch.ones(3), atol=1e-3)


def not_gathered(x, weight, eps, gradient):
    size = (x.square().mean(dim=-1, keepdim=True) + eps).sqrt()
    return weight * gradient / size - weight * gradient * x * x / size**3


def moved_by_five(norm):
    x, ones = torch.randn(4, 64), torch.ones(64)
    return not torch.allclose(norm(x, ones, 1e-5), norm(x + 5, ones, 1e-5), atol=1e-3)


def fives_not_ones(norm):
    return not torch.allclose(norm(torch.full((1, 8), 5.0), torch.ones(8), 1e-5), torch.ones(1, 8), atol=1e-3)


def divided_late(x, weight, eps):
    wide = x if x.dtype == torch.float64 else x.float()
    power = torch.sqrt(wide.square().sum(dim=-1, keepdim=True) + eps) / x.shape[-1]
    return weight * (wide / power).to(x.dtype)


def all_along_x(x, weight, eps, gradient):
    size = (x.square().mean(dim=-1, keepdim=True) + eps).sqrt()
    pull, unit = weight * gradient, x / x.norm(dim=-1, keepdim=True)
    return (pull - unit * (unit * pull).sum(dim=-1, keepdim=True)) / size


def every_fourth(x, weight, eps):
    return weight * x / (x[..., ::4].square().mean(dim=-1, keepdim=True) + eps).sqrt()


def not_cut(x, weight, eps):
    return weight * (x / (x.square().mean(dim=-1, keepdim=True) + eps).sqrt())


def as_many_heads_as_gains(x, weight, eps):
    return not_cut(x.unflatten(-1, (len(weight), -1)), weight, eps).flatten(-2)


def no_one_left(x, weight, eps):
    return weight * x / (x[..., : x.shape[-1] // 4].square().mean(dim=-1) + eps).sqrt()


WRONG = [
    ("size_three_four", 0.8, "and then the gain"),
    ("size_three_four", 0.849, "that is the first number"),
    ("looks_at_the_mean", lambda norm: False, "should say True of"),
    ("looks_at_the_mean", moved_by_five, "should say False of the lesson's own"),
    ("looks_at_the_mean", fives_not_ones, "should say False of one with this mistake: The squares are summed"),
    ("slope_far_out", 1.81, "turns it less, not more"),
    ("slope_far_out", 0.0, "a step in x₁ alone also turns x"),
    ("slope_far_out", 0.64, "still to be divided by r"),
    ("slope_far_out", 0.181, "is the slope at (3, 4)"),
    ("slope_far_out", 0.0283, "r grows with x₁ too"),
    ("slope_far_out", 0.0079, "over two numbers"),
    ("slope_far_out", -0.0136, "grows with x₂"),
    ("slope_far_out", 0.0128, "the length 50"),
    ("norm_backward", straight_on, "The size is held fixed"),
    ("norm_backward", each_its_own, "Each number takes away only what it does to itself"),
    ("norm_backward", not_gathered, "Each number takes away only what it does to itself"),
    ("norm_backward", all_along_x, "as if eps were 0"),
    ("norm_backward", as_on_paper, "Each number takes away only what it does to itself"),
    ("norm_backward", divided_twice, "divided by dim twice"),
    ("mended_size", summed, "√dim too small"),
    ("mended_size", divided_late, "after the root"),
    ("mended_size", repaired_outside, "counts dim times less"),
    ("too_small_by_root_dim", not_one, "should say False of"),
    ("too_small_by_root_dim", lambda norm: False, "should say True of"),
    ("too_small_by_root_dim", is_small, "whatever dim is"),
    ("head_norm", all_heads_at_once, "all heads share one size"),
    ("head_norm", not_cut, "cut x into heads"),
    ("head_norm", as_many_heads_as_gains, "the gain has the width of one head"),
    ("head_norm", cut_across, "cut the wrong way"),
    ("gain_folded", lambda matrix, gain: matrix @ gain, "one vector is left"),
    ("gain_folded", lambda matrix, gain: gain[:, None] * matrix, "rows were scaled, which are what comes out"),
    ("gain_folded", lambda matrix, gain: matrix / gain, "divided by the gain"),
    ("gain_folded", lambda matrix, gain: matrix.mul_(gain), "wrote into a tensor"),
    ("partial_norm", first_four, "4 equal parts"),
    ("partial_norm", no_one_left, "unless a 1 is left"),
    ("partial_norm", every_fourth, "every 4th number"),
    ("partial_norm", first_alone, "divide all of them"),
    (
        "partial_norm",
        lambda x, w, eps: w * x / (x[..., : len(w) // 4].square().sum(-1, True) / len(w) + eps) ** 0.5,
        "as many as you look at",
    ),
    ("partial_norm", lambda x, w, eps: w * x / (x.square().mean(-1, True) + eps) ** 0.5, "the plain norm"),
]
