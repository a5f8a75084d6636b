"""What goes wrong in rotary embeddings, in the part where it goes wrong.

`rotate` takes x (..., seq, dim) and (cos, sin), each (seq, pair) or (batch, seq, pair); `rotary_frequencies` takes
dim, theta and scaling and gives (inv_freq, attention factor).
"""

import math

import torch
from einops import rearrange, repeat

from ...rotary import LlamaRotaryEmbedding, check_scaling, rotary_frequencies, rotate, slow_the_slow_hands
from . import also, bug

SILENT = (
    "None that the loss shows: trained from scratch, it is the same. "
    "Published weights give gibberish after the first token."
)


def _fit(rotation, x):
    """cos and sin with an axis for each axis of x between batch and seq."""
    heads = "1 " * (x.ndim - rotation[0].ndim)
    return (rearrange(part.to(x.dtype), f"... seq pair -> ... {heads}seq pair") for part in rotation)


def _halves(x):
    return rearrange(x, "... (two pair) -> two ... pair", two=2)


def _joined(first, second):
    return torch.cat([first, second], dim=-1)


# ------------------------------------------------------------------------------------------------------------- rotate


@bug(
    "rotate",
    symptom="Position 0 is right, then the error grows; published weights start well and end in gibberish. "
    "Trained from scratch it is as good.",
    says="You match the interleaved layout: your pairs are neighbours, (2i, 2i + 1). Published Llama weights pair "
    "i with i + dim/2: `(two pair)`, not `(pair two)`.",
)
def interleaved(x, rotation):
    cos, sin = _fit(rotation, x)
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = [even * cos - odd * sin, odd * cos + even * sin]
    return rearrange(turned, "two ... pair -> ... (pair two)")


@bug(
    "rotate",
    symptom="None that the loss shows. Published weights give gibberish after the first token.",
    says="You read neighbours (2i, 2i + 1) and write them back as halves: the numbers change places even at "
    "position 0. Use `(two pair)` for both.",
)
def reads_neighbours_writes_halves(x, rotation):
    cos, sin = _fit(rotation, x)
    even, odd = x[..., 0::2], x[..., 1::2]
    return _joined(even * cos - odd * sin, odd * cos + even * sin)


@bug(
    "rotate",
    symptom="The loss is a little worse, and nothing else shows.",
    says="The angles are laid out for neighbours, a a b b c c, but the halves are swapped: mixed layouts, so that "
    "lengths change. Lay the angles out as a b c a b c.",
)
def interleaved_angles(x, rotation):
    cos, sin = (repeat(part, "... pair -> ... (pair two)", two=2) for part in _fit(rotation, x))
    first, second = _halves(x)
    return x * cos + _joined(-second, first) * sin


@bug(
    "rotate",
    symptom="The loss is a little worse, and nothing else shows.",
    says="The angles are laid out for halves, a b c a b c, but neighbours are swapped: mixed layouts, so that "
    "lengths change. Pair i with i + dim/2 in both.",
)
def neighbours_with_angles_of_halves(x, rotation):
    cos, sin = (repeat(part, "... pair -> ... (two pair)", two=2) for part in _fit(rotation, x))
    even, odd = x[..., 0::2], x[..., 1::2]
    return x * cos + rearrange([-odd, even], "two ... pair -> ... (pair two)") * sin


@bug(
    "rotate",
    symptom="The loss is a little worse, and nothing else shows.",
    says="A minus sign is lost: lengths are not kept. The first half is first·cos − second·sin.",
)
def lost_minus(x, rotation):
    cos, sin = _fit(rotation, x)
    first, second = _halves(x)
    return _joined(first * cos + second * sin, second * cos + first * sin)


@bug(
    "rotate",
    symptom="The loss is a little worse, and nothing else shows.",
    says="There is one minus sign too many: lengths are not kept. The second half is second·cos + first·sin.",
)
def two_minuses(x, rotation):
    cos, sin = _fit(rotation, x)
    first, second = _halves(x)
    return _joined(first * cos - second * sin, second * cos - first * sin)


@bug(
    "rotate",
    symptom=SILENT,
    says="You turn by −θ: the minus sign stands in the second half instead of the first. It works from scratch and "
    "cannot load checkpoints. first·cos − second·sin, second·cos + first·sin.",
)
def backwards(x, rotation):
    cos, sin = _fit(rotation, x)
    first, second = _halves(x)
    return _joined(first * cos + second * sin, second * cos - first * sin)


@bug(
    "rotate",
    symptom="The loss is worse: half of the numbers no longer say where a token stands.",
    says="cos and sin have changed places: at position 0 the vector must stay as it is.",
)
def cos_and_sin_swapped(x, rotation):
    sin, cos = _fit(rotation, x)
    first, second = _halves(x)
    return _joined(first * cos - second * sin, second * cos + first * sin)


@also("cos_and_sin_swapped", "LlamaRotaryEmbedding")
class angles_give_sin_and_cos(LlamaRotaryEmbedding):
    def angles(self, positions):
        cos, sin = super().angles(positions)
        return sin, cos


@bug(
    "rotate",
    symptom="The loss is a little worse: half of every vector is only stretched.",
    says="The second half uses the first one after that was overwritten. Keep both as they were, then turn.",
)
def first_half_overwritten(x, rotation):
    cos, sin = _fit(rotation, x)
    first, second = _halves(x)
    first = first * cos - second * sin
    second = second * cos + first * sin
    return _joined(first, second)


# -------------------------------------------------------------------------------------------------------- frequencies


def _scaled(inv_freq, scaling):
    kind, numbers = check_scaling(scaling)
    if kind == "linear":
        inv_freq = inv_freq / numbers["factor"]
    if kind == "llama3":
        inv_freq = slow_the_slow_hands(inv_freq, **numbers)
    return inv_freq, 1.0


@bug(
    "rotary_frequencies",
    symptom=SILENT,
    says="The exponent is i/dim, half of what it should be: inv_freq[1] is theta^(−2/dim). "
    "Count arange(0, dim, 2), or divide by dim/2.",
)
def exponent_i_over_dim(dim, theta=10000.0, scaling=None):
    return _scaled(1.0 / theta ** (torch.arange(dim // 2).float() / dim), scaling)


@bug(
    "rotary_frequencies",
    symptom=SILENT,
    says="The hands are counted from 1: inv_freq[0] must be 1, the fastest hand, so i starts at 0.",
)
def counted_from_one(dim, theta=10000.0, scaling=None):
    return _scaled(1.0 / theta ** (torch.arange(1, dim // 2 + 1).float() * 2 / dim), scaling)


@also("counted_from_one", "rotary_frequencies")
def counted_from_one_by_twos(dim, theta=10000.0, scaling=None):
    return _scaled(1.0 / theta ** (torch.arange(1, dim + 1, 2).float() / dim), scaling)


@bug(
    "rotary_frequencies",
    symptom="The loss is worse: nearly all hands whirl round within one token.",
    says="The sign of the exponent is lost: the hands get faster, not slower. It is 1 / theta^(2i/dim).",
)
def exponent_positive(dim, theta=10000.0, scaling=None):
    return _scaled(theta ** (torch.arange(0, dim, 2).float() / dim), scaling)


@bug(
    "rotary_frequencies",
    symptom="None with the usual base. Llama 3 (theta = 500,000) is right at position 0 and worse with every token.",
    says="theta is not used: a base of 10,000 stands in its place. Use the theta you were given.",
)
def theta_hard_coded(dim, theta=10000.0, scaling=None):
    return rotary_frequencies(dim, 10000.0, scaling)


@bug(
    "rotary_frequencies",
    symptom="None in short prompts. In long ones Llama 3.1 and later lose the thread.",
    says="The scaling is read but never used: with a linear factor of 4 every hand must turn 4 times slower.",
)
def scaling_unused(dim, theta=10000.0, scaling=None):
    return rotary_frequencies(dim, theta)


@bug(
    "rotary_frequencies",
    symptom="None in short prompts of scaled models; in long ones they lose the thread sooner than without.",
    says="The frequencies are multiplied by the factor. It stretches the wavelengths, so frequencies are divided.",
)
def scaling_multiplied(dim, theta=10000.0, scaling=None):
    plain, one = rotary_frequencies(dim, theta)
    slowed = rotary_frequencies(dim, theta, scaling)[0]
    return plain * (plain / slowed), one


@also("scaling_multiplied", "rotary_frequencies")
def linear_scaling_multiplied(dim, theta=10000.0, scaling=None):
    if (scaling or {}).get("rope_type", (scaling or {}).get("type")) != "linear":
        return rotary_frequencies(dim, theta, scaling)
    return rotary_frequencies(dim, theta)[0] * scaling["factor"], 1.0


@bug(
    "rotary_frequencies",
    symptom="Llama 3.1 and later are worse from the second token on: their fast hands, too, are slowed.",
    says="`llama3` is treated like `linear`: all hands are slowed. Fast hands must stay as they are.",
)
def llama3_as_linear(dim, theta=10000.0, scaling=None):
    inv_freq, one = rotary_frequencies(dim, theta)
    return inv_freq / (scaling or {}).get("factor", 1.0), one


# ----------------------------------------------------------------------------------------------------- llama3 scaling


@bug(
    "slow_the_slow_hands",
    symptom="Llama 3.1 and later are worse from the second token on.",
    says="The ends are swapped: the fast hands are slowed and the slow ones kept. `keep` is 1 for hands of many turns.",
)
def llama3_ends_swapped(inv_freq, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings):
    turns = original_max_position_embeddings / (2 * math.pi / inv_freq)
    keep = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0, 1)
    return keep * inv_freq / factor + (1 - keep) * inv_freq


@bug(
    "slow_the_slow_hands",
    symptom="Llama 3.1 and later write nonsense: fast hands whirl many times faster than in training.",
    says="The blend is not cut off at 0 and 1: hands beyond both ends are extrapolated. Use clamp(0, 1).",
)
def llama3_not_clamped(inv_freq, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings):
    turns = original_max_position_embeddings / (2 * math.pi / inv_freq)
    keep = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor)
    return (1 - keep) * inv_freq / factor + keep * inv_freq


@bug(
    "slow_the_slow_hands",
    symptom="Llama 3.1 and later are slightly worse in long texts.",
    says="A wavelength is 2π / inv_freq: without 2π every hand seems to turn 6.28 times as often as it does.",
)
def llama3_without_two_pi(inv_freq, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings):
    turns = original_max_position_embeddings * inv_freq
    keep = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0, 1)
    return (1 - keep) * inv_freq / factor + keep * inv_freq


@bug(
    "slow_the_slow_hands",
    symptom="Llama 3.1 and later are slightly worse in long texts.",
    says="Between the ends you jump from kept to slowed. Those hands are blended in proportion to their turns.",
)
def llama3_without_blend(inv_freq, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings):
    turns = original_max_position_embeddings / (2 * math.pi / inv_freq)
    return torch.where(turns > high_freq_factor, inv_freq, inv_freq / factor)


@also("llama3_without_blend", "slow_the_slow_hands")
def llama3_kept_between(inv_freq, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings):
    turns = original_max_position_embeddings / (2 * math.pi / inv_freq)
    return torch.where(turns < low_freq_factor, inv_freq / factor, inv_freq)


# ---------------------------------------------------------------------------------------------------------- the module


@bug(
    "LlamaRotaryEmbedding",
    symptom="The loss is that of a model without positions.",
    says="The vectors come back as they went in, at every position. Turn them by their angles.",
)
class never_turned(LlamaRotaryEmbedding):
    def forward(self, x, positions=None):
        return x


@bug(
    "LlamaRotaryEmbedding",
    symptom="None until text is padded on the left or a cache is used: then every new token stands at position 0.",
    says="The positions that you were given are not used: you always count from 0. Use `positions` where it is given.",
)
class positions_ignored(LlamaRotaryEmbedding):
    def forward(self, x, positions=None):
        return rotate(x, self.angles(torch.arange(x.shape[-2])))


@bug(
    "LlamaRotaryEmbedding",
    symptom="None: scores know distance only. With a cache, old and new tokens may be counted differently.",
    says="You count from 1. It is harmless for scores, but position 0 is the first token's, and must turn nothing.",
)
class starts_at_one(LlamaRotaryEmbedding):
    def forward(self, x, positions=None):
        if positions is None:
            positions = torch.arange(1, x.shape[-2] + 1)
        return rotate(x, self.angles(positions))


@bug(
    "LlamaRotaryEmbedding",
    symptom="The same as no rotary at all: every token of a head is turned alike.",
    says="You count along the head axis: permuting heads changes the result, permuting positions does not. "
    "Tokens stand on the axis before the last: x.shape[-2].",
)
class counts_heads(LlamaRotaryEmbedding):
    def forward(self, x, positions=None):
        if x.ndim < 4:
            return super().forward(x, positions)
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


@bug(
    "LlamaRotaryEmbedding",
    symptom="In bfloat16 the error grows with the position; beyond 256 neighbours share one position.",
    says="Positions or angles are computed in bfloat16, which cannot tell 300 from 301. Compute them in float32 and "
    "convert cos and sin at the end.",
)
class angles_in_own_dtype(LlamaRotaryEmbedding):
    def forward(self, x, positions=None):
        if positions is None:
            positions = torch.arange(x.shape[-2])
        angles = positions.to(x.dtype)[..., None] * self.inv_freq.to(x.dtype)
        return rotate(x, (angles.cos(), angles.sin()))


@bug(
    "LlamaRotaryEmbedding",
    symptom="A model moved to bfloat16 gets worse with the length of the text.",
    says="Moved to bfloat16, the module takes its frequencies along, and they are then off by up to 0.4 %. "
    "Keep inv_freq in float32.",
)
class frequencies_follow_dtype(LlamaRotaryEmbedding):
    def _apply(self, fn, recurse=True):
        return torch.nn.Module._apply(self, fn, recurse)


@bug(
    "LlamaRotaryEmbedding",
    symptom="In bfloat16 the next layer refuses its input, or everything runs in float32, at twice the memory.",
    says="The result is float32 whatever went in: cos and sin are, and drag x along. Convert to x's dtype.",
)
class comes_back_in_float32(LlamaRotaryEmbedding):
    def forward(self, x, positions=None):
        return super().forward(x.float(), positions)


@bug(
    "LlamaRotaryEmbedding",
    symptom="None that the loss shows. Published weights give gibberish after the first token.",
    says="Angles are taken in degrees: the fastest hand must turn by one radian a token, not by 1/57 of it.",
)
class in_degrees(LlamaRotaryEmbedding):
    def angles(self, positions):
        angles = torch.deg2rad(positions.float()[..., None] * self.inv_freq)
        return angles.cos(), angles.sin()
