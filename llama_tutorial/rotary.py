"""Rotary position embeddings

Each pair of numbers is a clock hand, turned by the token's position, so that a dot product sees distance.
"""

# Exported from notebooks/04_rotary.ipynb; edit the lesson, not this file.

__all__ = [
    "Rotation", "SCALINGS", "rotate", "Prepared", "slow_all_hands", "slow_the_slow_hands", "yarn",
    "slowed_hands", "grown", "dynamic", "check_scaling", "tokens_per_radian", "rotary_frequencies",
    "LlamaRotaryEmbedding",
]

import math
from collections.abc import Mapping

import torch
from einops import rearrange, repeat
from jaxtyping import Float, Real
from torch import Tensor, nn

from .doors import check_choice, check_even, check_number, check_positions, check_rotation, explained

Rotation = tuple[Float[Tensor, "*positions pair"], Float[Tensor, "*positions pair"]]  # (cos, sin)


def rotate(x: Float[Tensor, "*batch seq dim"], rotation: Rotation) -> Float[Tensor, "*batch seq dim"]:
    """Turn every pair (i, i + dim/2) of x by its angle; lengths stay as they are.

    `rotation` is (cos, sin), each (seq, dim/2) or (batch, seq, dim/2); axes of x between batch and seq are
    heads and share it. Source: Su et al. 2021, equation 34, in the pairing of Hugging Face's Llama files.
    """
    if getattr(rotation, "dtype", None) == x.dtype and x.ndim == 4:
        return rotation.turn(x)  # a model has prepared it: the same numbers, in fewer steps
    check_rotation(rotation, x)  # angles of one token would be taken for all
    heads = "1 " * (x.ndim - rotation[0].ndim)
    cos, sin = (rearrange(part.to(x.dtype), f"... seq pair -> ... {heads}seq pair") for part in rotation)
    first, second = rearrange(x, "... (two pair) -> two ... pair", two=2)
    turned = [first * cos - second * sin, second * cos + first * sin]
    return rearrange(turned, "two ... pair -> ... (two pair)")


class Prepared(tuple):
    """The pair (cos, sin), prepared once to turn vectors (batch, head, seq, dim) of one dtype in every layer."""

    def __new__(cls, rotation: Rotation, dtype: torch.dtype):
        ready = super().__new__(cls, rotation)
        cos, sin = (rearrange(part.to(dtype), "... seq pair -> ... 1 seq pair") for part in rotation)
        ready.cos = repeat(cos, "... pair -> ... (two pair)", two=2)
        ready.sin = rearrange([-sin, sin], "two ... pair -> ... (two pair)")
        ready.dtype = dtype
        return ready

    def turn(self, x: Float[Tensor, "batch head seq dim"]) -> Float[Tensor, "batch head seq dim"]:
        """What `rotate` gives: each number times cos, plus its partner half a vector away times sin."""
        return x * self.cos + x.roll(x.shape[-1] // 2, dims=-1) * self.sin


def slow_all_hands(inv_freq: Float[Tensor, " pair"], factor: float) -> Float[Tensor, " pair"]:
    """Linear scaling: every hand turns slower by `factor`. Source: Chen et al. 2023."""
    return inv_freq / factor


def slow_the_slow_hands(
    inv_freq: Float[Tensor, " pair"],
    factor: float,
    low_freq_factor: float,
    high_freq_factor: float,
    original_max_position_embeddings: float,
) -> Float[Tensor, " pair"]:
    """Llama 3's scaling: hands that turn often within the training length stay, the others slow by `factor`.

    At least `high_freq_factor` turns: kept. At most `low_freq_factor`: slowed. Between: blended in proportion.
    Source: Grattafiori et al. 2024, section 3.4, and the code published with Llama 3.1.
    """
    turns = original_max_position_embeddings / (2 * math.pi / inv_freq)
    keep = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0, 1)
    return (1 - keep) * inv_freq / factor + keep * inv_freq


def yarn(
    inv_freq: Float[Tensor, " pair"],
    theta: float,
    factor: float,
    original_max_position_embeddings: float,
    attention_factor: float | None = None,
    mscale: float | None = None,
    mscale_all_dim: float | None = None,
    beta_fast: float = 32.0,
    beta_slow: float = 1.0,
    truncate: bool = True,
) -> tuple[Float[Tensor, " pair"], float]:
    """YaRN: `slowed_hands` are slowed by `factor`; cos and sin grow, so that scores in long texts stay as sharp.

    Returns inv_freq and the attention factor, by which cos and sin are multiplied: `grown(factor)` unless it
    is given, or `mscale` and `mscale_all_dim` are. Source: Peng et al. 2023, sections 3.2 and 3.4.
    """
    dim, length = 2 * len(inv_freq), original_max_position_embeddings
    keep = 1 - slowed_hands(dim, theta, length, beta_fast, beta_slow, truncate)
    inv_freq = 1.0 / (factor * tokens_per_radian(dim, theta)) * (1 - keep) + inv_freq * keep
    if attention_factor is None:
        both = mscale and mscale_all_dim
        attention_factor = grown(factor, mscale) / grown(factor, mscale_all_dim) if both else grown(factor)
    return inv_freq, attention_factor


def slowed_hands(
    dim: int, theta: float, length: float, beta_fast: float = 32.0, beta_slow: float = 1.0, truncate: bool = True
) -> Float[Tensor, " pair"]:
    """By which share YaRN slows each of the dim/2 hands.

    It is 0 for hands that turn `beta_fast` times or more within the training length, 1 for those that turn
    `beta_slow` times or less, a ramp between them. Source: Peng et al. 2023, section 3.2.
    """
    if theta == 1:
        raise ValueError("theta must not be 1 with yarn: all hands would turn alike")
    low, high = (
        dim * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(theta))  # the hand that turns so often
        for turns in (beta_fast, beta_slow)
    )
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    high = high + 0.001 if high == low else high
    return ((torch.arange(dim // 2, device="cpu").float() - low) / (high - low)).clamp(0, 1)


def grown(factor: float, mscale: float = 1.0) -> float:
    """By how much YaRN lets cos and sin grow: 0.1 · mscale · ln(factor) + 1. Source: Peng et al., section 3.4."""
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


def dynamic(inv_freq: Float[Tensor, " pair"], factor: float) -> Float[Tensor, " pair"]:
    """Dynamic scaling within the training length: every hand stays. Source: Peng et al. 2023, section 3.3.

    Beyond it, all hands would slow anew with every token, by `factor` and the text's length, and keys in a
    cache would not fit: `LlamaModel` refuses a text longer than `max_position_embeddings`. Alone, rotary
    embedding and attention know no such length, and turn every position as without scaling.
    """
    return inv_freq


# How the hands are slowed for text longer than the training text, by the name that published files give it.
SCALINGS = {
    "default": lambda inv_freq: inv_freq, "dynamic": dynamic, "linear": slow_all_hands,
    "llama3": slow_the_slow_hands, "yarn": yarn,
}  # fmt: skip


def check_scaling(scaling: Mapping | None) -> tuple[str, dict[str, float]]:
    """The kind of a `rope_scaling` entry and its numbers; ValueError for unknown, missing or impossible ones."""
    return check_choice("rope_scaling", scaling, SCALINGS)


def tokens_per_radian(dim: int, theta: float) -> Float[Tensor, " pair"]:
    """How many tokens each of the dim/2 hands needs to turn by one radian: theta^(2i/dim), float32."""
    return theta ** (torch.arange(0, dim, 2, device="cpu").float() / dim)


def rotary_frequencies(
    dim: int, theta: float = 10000.0, scaling: Mapping | None = None
) -> tuple[Float[Tensor, " pair"], float]:
    """How far each of the dim/2 hands turns per token, in radians (float32), and the attention factor.

    Hand i turns theta^(−2i/dim). `scaling` stretches the wavelengths for text longer than the training text:
    None, or {"rope_type": NAME, …} with a name of `SCALINGS` and the numbers that its function takes. The
    attention factor, by which cos and sin grow, is 1 for all but yarn.
    Raises ValueError for an odd dim, a base that is not positive, an unknown scaling or a missing number.
    """
    inv_freq = 1.0 / tokens_per_radian(check_even("dim", dim), check_number("theta", theta))
    kind, numbers = check_scaling(scaling)
    if kind == "yarn":
        return yarn(inv_freq, theta, **numbers)
    return SCALINGS[kind](inv_freq, **numbers), 1.0


@explained
class LlamaRotaryEmbedding(nn.Module):
    """Turns vectors by their position: (..., seq, dim) → the same shape. It has no weights.

    `dim` is the width that is turned (a head's width inside attention), `theta` the base of the wavelengths,
    `scaling` as in `rotary_frequencies`. `inv_freq` (dim/2) stays float32 whatever dtype the model takes.
    Raises ValueError for an odd dim, another width, or positions that do not fit. Source: Su et al. 2021.
    """

    def __init__(self, dim: int, theta: float = 10000.0, scaling: Mapping | None = None):
        super().__init__()
        self.dim, self.theta, self.scaling = dim, theta, scaling
        inv_freq, self.attention_factor = rotary_frequencies(dim, theta, scaling)
        here = torch.empty(0).device  # where tensors are made now; never meta, which holds no numbers
        inv_freq = inv_freq if here.type == "meta" else inv_freq.to(here)
        self.register_buffer("inv_freq", inv_freq, persistent=False)

    @explained
    def angles(self, positions: Real[Tensor, "*batch seq"]) -> Rotation:
        """(cos, sin) of every hand at every position, float32, each positions.shape + (dim/2,)."""
        angles = rearrange(positions.float(), "... seq -> ... seq 1") * self.inv_freq.to(positions.device)
        return angles.cos() * self.attention_factor, angles.sin() * self.attention_factor

    def forward(
        self, x: Float[Tensor, "*batch seq dim"], positions: Real[Tensor, "*rows seq"] | None = None
    ) -> Float[Tensor, "*batch seq dim"]:
        """Turn x (..., seq, dim) to `positions`, (seq) or (batch, seq); 0 … seq − 1 unless given."""
        if positions is None:
            positions = torch.arange(x.shape[-2], device=x.device)
        check_positions(positions, x)
        return rotate(x, self.angles(positions))

    def _apply(self, fn, recurse=True):
        """Follow the module to its device, never to its dtype: a bfloat16 frequency is off by up to 0.4 %."""
        super()._apply(fn, recurse)
        self.inv_freq = rotary_frequencies(self.dim, self.theta, self.scaling)[0].to(self.inv_freq.device)
        return self

    def extra_repr(self):
        return f"dim={self.dim}, theta={self.theta}, scaling={self.scaling}"
