"""Rotary position embeddings

Each pair of numbers is a clock hand, turned by the token's position, so that a dot product sees distance.
"""

# Exported from notebooks/04_rotary.ipynb; edit the lesson, not this file.

__all__ = [
    "Rotation", "SCALINGS", "rotate", "slow_the_slow_hands", "check_scaling", "check_positions",
    "check_rotation", "rotary_frequencies", "LlamaRotaryEmbedding",
]

import math
from collections.abc import Mapping

import torch
from einops import rearrange
from jaxtyping import Float, Num
from torch import Tensor, nn

from .config import check_mapping, check_number, check_tensor

Rotation = tuple[Float[Tensor, "*positions pair"], Float[Tensor, "*positions pair"]]  # (cos, sin)


def rotate(x: Float[Tensor, "*batch seq dim"], rotation: Rotation) -> Float[Tensor, "*batch seq dim"]:
    """Turn every pair (i, i + dim/2) of x by its angle; lengths stay as they are.

    `rotation` is (cos, sin), each (seq, dim/2) or (batch, seq, dim/2); axes of x between batch and seq are
    heads and share it. Source: Su et al. 2021, equation 34, in the pairing of published Llama weights.
    """
    heads = "1 " * (x.ndim - rotation[0].ndim)
    cos, sin = (rearrange(part.to(x.dtype), f"... seq pair -> ... {heads}seq pair") for part in rotation)
    first, second = rearrange(x, "... (two pair) -> two ... pair", two=2)
    turned = [first * cos - second * sin, second * cos + first * sin]
    return rearrange(turned, "two ... pair -> ... (two pair)")


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


SCALINGS = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}


def check_scaling(scaling: Mapping | None) -> tuple[str, dict[str, float]]:
    """The kind of a `rope_scaling` entry and its numbers; ValueError for what is unknown, missing or impossible."""
    scaling = check_mapping(scaling, "rope_scaling") or {"rope_type": "default"}
    kind = scaling.get("rope_type", scaling.get("type"))
    if not isinstance(kind, str) or kind not in SCALINGS:
        raise ValueError(f"rope_scaling must give its rope_type, one of {', '.join(SCALINGS)}, got {scaling}")
    missing = [name for name in SCALINGS[kind] if scaling.get(name) is None]
    if missing:
        raise ValueError(f"rope_scaling of type {kind!r} needs the numbers {', '.join(missing)}, got {scaling}")
    numbers = {name: check_number(f"{name} of rope_scaling", scaling[name]) for name in SCALINGS[kind]}
    if kind == "llama3" and not numbers["low_freq_factor"] < numbers["high_freq_factor"]:
        raise ValueError(f"rope_scaling needs low_freq_factor < high_freq_factor, got {numbers}")
    return kind, numbers


def check_positions(positions, x):
    """TypeError unless numbers, ValueError unless (seq) or (batch, seq) for x (batch, ..., seq, dim)."""
    seq, rows = x.shape[-2], [1, len(x)] if x.ndim > 2 else []
    check_tensor("positions", positions, "integers or floats", (seq,), *((batch, seq) for batch in rows))


def check_rotation(rotation, batch, seq, pair):
    """TypeError unless the rotation is (cos, sin), ValueError unless each is (seq, pair) or (batch, seq, pair)."""
    if not isinstance(rotation, tuple | list) or len(rotation) != 2:
        raise TypeError(f"rotation must be the pair (cos, sin) that `angles` gives, got {type(rotation).__name__}")
    for part in rotation:
        check_tensor("each part of rotation", part, "floats", (seq, pair), (1, seq, pair), (batch, seq, pair))


def rotary_frequencies(
    dim: int, theta: float = 10000.0, scaling: Mapping | None = None
) -> tuple[Float[Tensor, " pair"], float]:
    """How far each of the dim/2 hands turns per token, in radians (float32), and the attention factor.

    Hand i turns theta^(−2i/dim). `scaling` stretches the wavelengths for text longer than the training text:
    None, {"rope_type": "linear", "factor": …} (Chen et al. 2023), or {"rope_type": "llama3", "factor": …,
    "low_freq_factor": …, "high_freq_factor": …, "original_max_position_embeddings": …} (Grattafiori et al. 2024).
    Raises ValueError for an odd dim, a base that is not positive, another kind of scaling or a missing number.
    """
    if check_number("dim", dim, whole=True) % 2:
        raise ValueError(f"dim must be even, got {dim}: rotary embeddings turn pairs of numbers")
    check_number("theta", theta)
    inv_freq = 1.0 / theta ** (torch.arange(0, dim, 2, device="cpu").float() / dim)
    kind, numbers = check_scaling(scaling)
    if kind == "linear":
        inv_freq = inv_freq / numbers["factor"]
    if kind == "llama3":
        inv_freq = slow_the_slow_hands(inv_freq, **numbers)
    return inv_freq, 1.0


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
        self.register_buffer("inv_freq", inv_freq, persistent=False)

    def angles(self, positions: Num[Tensor, "*batch seq"]) -> Rotation:
        """(cos, sin) of every hand at every position, float32, each positions.shape + (dim/2,)."""
        check_tensor("positions", positions, "integers or floats", ("...", "seq"))
        angles = rearrange(positions.float(), "... seq -> ... seq 1") * self.inv_freq.to(positions.device)
        return angles.cos() * self.attention_factor, angles.sin() * self.attention_factor

    def forward(
        self, x: Float[Tensor, "*batch seq dim"], positions: Num[Tensor, "*batch2 seq"] | None = None
    ) -> Float[Tensor, "*batch seq dim"]:
        """Turn x (..., seq, dim) to `positions`, (seq) or (batch, seq); 0 … seq − 1 unless given."""
        check_tensor("the input of LlamaRotaryEmbedding", x, "floats", ("...", "seq", self.dim))
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
