"""What goes wrong in RMSNorm. Every function takes x (..., dim), the gain (dim) and eps, as `rms_norm` does."""

import torch

from . import also, bug

SILENT = "None; the loss curve looks like that of the right norm."


def _wide(x):
    return x.to(torch.promote_types(x.dtype, torch.float32))


@bug(
    "rms_norm",
    symptom="None while the vectors are large. Published weights give slightly other logits.",
    says="eps stands outside the square root: with eps = 0.1 you match x / (rms + eps). "
    "Move it inside: x / sqrt(mean(x²) + eps).",
)
def eps_outside_root(x, weight, eps):
    wide = _wide(x)
    rms = wide.pow(2).mean(-1, keepdim=True).sqrt()
    return weight * (wide / (rms + eps)).to(x.dtype)


@bug(
    "rms_norm",
    symptom="A row of zeros, such as padding, becomes NaN, and NaN spreads to every token that looks at it.",
    says="There is no eps: a vector of zeros gives 0/0. Add eps to the mean square, before the root.",
)
def no_eps(x, weight, eps):
    wide = _wide(x)
    return weight * (wide / wide.pow(2).mean(-1, keepdim=True).sqrt()).to(x.dtype)


@also("no_eps", "rms_norm")
def no_eps_rsqrt(x, weight, eps):
    wide = _wide(x)
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True))).to(x.dtype)


@bug(
    "rms_norm",
    symptom="None with the usual eps. A model whose config gives another eps is slightly off.",
    says="The eps you were given is not used: a fixed 1e-5 (or 1e-6) stands in its place. Use eps.",
)
def eps_hard_coded(x, weight, eps):
    wide = _wide(x)
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)).to(x.dtype)


@also("eps_hard_coded", "rms_norm")
def eps_hard_coded_smaller(x, weight, eps):
    wide = _wide(x)
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


@bug(
    "rms_norm",
    symptom=SILENT,
    says="The mean is subtracted: adding 5 to x changed nothing. That is LayerNorm; RMSNorm keeps the mean.",
)
def subtracts_mean(x, weight, eps):
    wide = _wide(x)
    centred = wide - wide.mean(-1, keepdim=True)
    return weight * (centred * torch.rsqrt(centred.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)


@also("subtracts_mean", "rms_norm")
def subtracts_mean_in_own_dtype(x, weight, eps):
    return _normed(x - x.mean(-1, keepdim=True), weight, eps)


def _normed(x, weight, eps):
    wide = _wide(x)
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)


@also("subtracts_mean", "rms_norm")
def layer_norm(x, weight, eps):
    return torch.nn.functional.layer_norm(x, x.shape[-1:], weight, eps=eps)


@bug(
    "rms_norm",
    symptom="Training is much slower: every layer reads numbers that are √dim too small.",
    says="The squares are summed, not averaged: your output is √dim too small. Use the mean.",
)
def sum_for_mean(x, weight, eps):
    wide = _wide(x)
    return weight * (wide * torch.rsqrt(wide.pow(2).sum(-1, keepdim=True) + eps)).to(x.dtype)


@bug(
    "rms_norm",
    symptom="It trains, if not as well. Published weights give gibberish.",
    says="The square root is missing: doubling x halves your output, and it should not change it. "
    "Divide by the root of the mean square.",
)
def no_root(x, weight, eps):
    wide = _wide(x)
    return weight * (wide / (wide.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)


@bug(
    "rms_norm",
    symptom=SILENT,
    says="You divide by the variance's root: it differs from the mean square where the mean is not 0, "
    "and var() divides by dim − 1 besides. Square x itself: mean(x²).",
)
def variance(x, weight, eps):
    wide = _wide(x)
    return weight * (wide * torch.rsqrt(wide.var(-1, keepdim=True) + eps)).to(x.dtype)


@bug(
    "rms_norm",
    symptom=SILENT,
    says="You divide by the root of the variance, which forgets the mean: it differs from the mean square "
    "where the mean is not 0. Square x itself: mean(x²).",
)
def variance_biased(x, weight, eps):
    wide = _wide(x)
    return weight * (wide * torch.rsqrt(wide.var(-1, keepdim=True, unbiased=False) + eps)).to(x.dtype)


@bug(
    "rms_norm",
    symptom="The loss is as good or better, because every token sees later ones; a cache gives other logits.",
    says="The mean runs over the sequence: token 0 moved when I edited token 5. Average the last axis, dim.",
)
def over_sequence(x, weight, eps):
    wide = _wide(x)
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(1, keepdim=True) + eps)).to(x.dtype)


@also("over_sequence", "rms_norm")
def over_sequence_from_the_end(x, weight, eps):
    wide = _wide(x)
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-2, keepdim=True) + eps)).to(x.dtype)


@bug(
    "rms_norm",
    symptom="Every token sees all others, of other texts too. The loss looks good, generation does not.",
    says="The mean runs over all axes at once, so that tokens share one size. Average the last axis only: "
    "mean(-1, keepdim=True).",
)
def over_everything(x, weight, eps):
    wide = _wide(x)
    return weight * (wide * torch.rsqrt(wide.pow(2).mean() + eps)).to(x.dtype)


@bug(
    "rms_norm",
    symptom="An error about sizes, or, where they happen to fit, tokens divided by the size of another.",
    says="The mean drops the axis that it runs over, so that sizes no longer line up with their vectors. "
    "Keep it as 1: keepdim=True, or `... dim -> ... 1`.",
)
def axis_dropped(x, weight, eps):
    wide = _wide(x)
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1) + eps)).to(x.dtype)


@also("axis_dropped", "rms_norm")
def axis_dropped_first_factor(x, weight, eps):
    wide = _wide(x)
    return weight * (torch.rsqrt(wide.pow(2).mean(-1) + eps) * wide).to(x.dtype)


@bug(
    "rms_norm",
    symptom="None while the gain is 1, as in a fresh model. Trained weights lose what they learned here.",
    says="The gain is not used: I set weight to random numbers and nothing changed. Multiply by it.",
)
def gain_ignored(x, weight, eps):
    wide = _wide(x)
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)


@bug(
    "rms_norm",
    symptom="The first loss is worse, and published Llama weights give gibberish.",
    says="You multiply by 1 + weight, as Gemma does. Llama's gain is weight itself, which starts at 1.",
)
def one_plus_gain(x, weight, eps):
    wide = _wide(x)
    return (1 + weight) * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)


@bug(
    "rms_norm",
    symptom="In bfloat16 the logits drift; in float16 large vectors turn into zeros.",
    says="The squares are taken in x's own dtype: in bfloat16 the mean square has two good digits, and in "
    "float16 it overflows. Go up to float32 first, and come back before the gain.",
)
def squares_in_own_dtype(x, weight, eps):
    return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))


@also("squares_in_own_dtype", "rms_norm")
def squares_in_own_dtype_divided(x, weight, eps):
    return weight * (x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + eps))


@bug(
    "rms_norm",
    symptom="In bfloat16 the next layer refuses its input, or everything runs in float32, at twice the memory.",
    says="You went up to float32 and did not come back: the output must have x's dtype. Add .to(x.dtype).",
)
def stays_in_float32(x, weight, eps):
    wide = _wide(x)
    return weight.float() * wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)


@also("stays_in_float32", "rms_norm")
def always_float32(x, weight, eps):
    wide = x.float()
    return weight.float() * wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
