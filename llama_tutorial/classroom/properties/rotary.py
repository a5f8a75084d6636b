"""What must hold of rotary embeddings, of the module and of each function that it is made of."""

import math

import torch

from ...rotary import LlamaRotaryEmbedding, rotary_frequencies, rotate, slow_the_slow_hands
from ..guard import Fault, call
from . import Case, Exercise, built, collect, normal, reached, tells_gradient, wrong_versions

LINEAR = {"rope_type": "linear", "factor": 4.0}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}
YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 256}


def _with_yarn(subject, *args, **settings):
    """What a subject gives with yarn. Left for later, it may say `raise NotImplementedError`: the rest is written."""
    try:
        return subject(*args, **settings)
    except NotImplementedError as error:
        raise Fault("It is not written yet.") from error


def _lengths(x):
    return x.square().sum(-1).sqrt()


def _tells_length(found, wanted):
    factor = found / wanted
    worst = (factor - 1).abs().argmax()
    return f"A rotation keeps the length of a vector; yours multiplies one by {factor.flatten()[worst]:.3f}."


# ------------------------------------------------------------------------------------------------------------- rotate
# A subject is called as rotate(x, (cos, sin)).

ROTATE: list[Case] = []
case = collect(ROTATE)


def _rotation(seed, *shape):
    angles = 3 * normal(seed, *shape)
    return angles.cos(), angles.sin()


@case("an angle of 0 leaves the vector as it is", "batch head seq dim")
def angle_zero(turn):
    return turn(normal(1, 2, 3, 5, 14), (torch.ones(5, 7), torch.zeros(5, 7)))


@case("a quarter turn: dimension i becomes −(i + dim/2), and i + dim/2 becomes i", "seq dim")
def quarter_turn(turn):
    return turn(torch.arange(1.0, 71).reshape(5, 14), (torch.zeros(5, 7), torch.ones(5, 7)))


@case("lengths stay as they are", "batch head seq", tell=_tells_length)
def lengths(turn):
    return _lengths(turn(normal(2, 2, 3, 5, 14), _rotation(3, 5, 7)))


@case("every pair turns by its own angle", "batch head seq dim")
def own_angles(turn):
    return turn(normal(4, 2, 3, 5, 14), _rotation(5, 5, 7))


@case("rows of a batch may have angles of their own", "batch head seq dim")
def rows(turn):
    return turn(normal(6, 2, 3, 5, 14), _rotation(7, 2, 5, 7))


@case("x may come without heads, and without a batch")
def fewer_axes(turn):
    return turn(normal(8, 2, 5, 14), _rotation(9, 5, 7)), turn(normal(10, 5, 14), _rotation(11, 5, 7))


@case("331 tokens", "head seq dim")
def long(turn):
    return turn(normal(12, 3, 331, 26), _rotation(13, 331, 13))


@case("bfloat16 comes back as bfloat16", "batch seq dim", tolerance=2e-2)
def bfloat16(turn):
    return turn(normal(14, 2, 5, 14).bfloat16(), _rotation(15, 5, 7))


@case("gradients reach x", "batch seq dim", tell=tells_gradient)
def gradients(turn):
    x = normal(16, 2, 5, 14).requires_grad_()
    return reached((turn(x, _rotation(17, 5, 7)) * normal(18, 2, 5, 14)).sum(), x=x)


def adapt_function(function):
    return lambda x, rotation: call(function, x, rotation)


# -------------------------------------------------------------------------------------------------------- frequencies
# A subject is called as frequencies(dim, theta, scaling) and gives (inv_freq, attention factor).

FREQUENCIES: list[Case] = []
case = collect(FREQUENCIES)


def _against(frequencies, dim, theta, scaling=None):
    """Each frequency times theta^(2i/dim), which is 1 where nothing is scaled: a slow hand counts like a fast one."""
    inv_freq, _ = frequencies(dim, theta, scaling)
    if inv_freq.shape != (dim // 2,) or inv_freq.dtype != torch.float32:
        return inv_freq
    return (inv_freq.double() * theta ** (torch.arange(0, dim, 2).double() / dim)).float()


@case("hand i turns theta^(−2i/dim) a token", "pair")
def plain(frequencies):
    return _against(frequencies, 64, 10000.0)


@case("any even dim", "pair")
def dims(frequencies):
    return tuple(_against(frequencies, dim, 10000.0) for dim in (2, 14, 26))


@case("theta is used", "pair")
def theta(frequencies):
    return tuple(_against(frequencies, 26, base) for base in (100.0, 500000.0))


@case("the attention factor is 1")
def factor(frequencies):
    return torch.tensor([float(frequencies(14, 10000.0, scaling)[1]) for scaling in (None, LINEAR, LLAMA3)])


@case("linear scaling slows every hand by the factor", "pair")
def linear(frequencies):
    return _against(frequencies, 64, 10000.0, LINEAR)


@case("older files write `type` for `rope_type`; `default` is no scaling", "pair")
def spellings(frequencies):
    older, default = {"type": "linear", "factor": 2.0}, {"rope_type": "default"}
    return _against(frequencies, 26, 10000.0, older), _against(frequencies, 26, 10000.0, default)


@case("llama3 scaling keeps the fast hands and slows the slow ones", "pair")
def llama3(frequencies):
    return _against(frequencies, 64, 10000.0, LLAMA3)


@case("lesson 14: yarn scaling slows the hands in its own way, and gives the attention factor", later=True)
def yarn(frequencies):
    inv_freq, factor = _with_yarn(frequencies, 64, 10000.0, YARN)
    return _against(lambda *_: (inv_freq, factor), 64, 10000.0), torch.tensor([float(factor)])


def adapt_frequencies(function):
    def frequencies(dim, theta, scaling):
        found = call(function, dim, theta, scaling)
        if not isinstance(found, tuple) or len(found) != 2:
            raise Fault(f"It must return the pair (inv_freq, attention factor), got {type(found).__name__}.")
        return found

    return frequencies


# ----------------------------------------------------------------------------------------------------- llama3 scaling
# A subject is called as slow(inv_freq, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings).

SLOW: list[Case] = []
case = collect(SLOW)


def _slowed(slow, *numbers):
    """By what each hand of a 64-wide head was slowed."""
    inv_freq = rotary_frequencies(64)[0]
    return slow(inv_freq, *numbers) / inv_freq


@case("hands of many turns are kept, hands of less than one are slowed by the factor", "pair")
def ends(slow):
    share, turns = _slowed(slow, 8.0, 1.0, 4.0, 256), rotary_frequencies(64)[0] * 256 / (2 * math.pi)
    return share[(turns > 4) | (turns < 1)] if share.shape == turns.shape else share


@case("hands between are blended in proportion to their turns", "pair")
def between(slow):
    return _slowed(slow, 8.0, 1.0, 4.0, 256)


@case("other factors and lengths", "pair")
def others(slow):
    return _slowed(slow, 32.0, 1.0, 4.0, 8192), _slowed(slow, 4.0, 2.0, 32.0, 1000)


def adapt_slow(function):
    return lambda *numbers: call(function, *numbers)


# ---------------------------------------------------------------------------------------------------------- the module
# A subject is called as rotary(x, positions, theta=…, scaling=…), and as rotary.angles(positions, dim).

MODULE: list[Case] = []
case = collect(MODULE)


@case("position 0 leaves the vector as it is", "batch dim")
def position_zero(rotary):
    return rotary(normal(20, 2, 5, 14))[:, 0]


@case("lengths stay as they are", "batch seq", tell=_tells_length)
def lengths_of_tokens(rotary):
    return _lengths(rotary(normal(21, 2, 11, 14)))


@case("dimensions 0 and dim/2 are the fastest hand: one radian a token", "seq dim")
def fastest(rotary):
    x = torch.zeros(5, 14)
    x[:, 0], x[:, 7] = 1.0, 0.5
    return rotary(x)


@case("hand i turns theta^(−2i/dim) a token", "batch seq dim")
def every_hand(rotary):
    return rotary(normal(22, 2, 11, 14))


def _tells_distance(found, wanted):
    return f"Three tokens apart, the score at (103, 100) is off by {found[-1]:.3g} from the score at (3, 0)."


@case("a score knows the distance only", needs="positions", tell=_tells_distance)
def distance(rotary):
    q, k = normal(23, 1, 26), normal(24, 1, 26)
    places = [(3, 0), (10, 7), (103, 100)]
    scores = [(rotary(q, torch.tensor([i])) * rotary(k, torch.tensor([j]))).sum() for i, j in places]
    return torch.stack(scores[1:]) - scores[0]


@case("positions may be given, one list for all rows or one each", "", needs="positions")
def given_positions(rotary):
    x = normal(25, 2, 5, 14)
    one, each = torch.tensor([3, 100, 7, 0, 1]), torch.tensor([[0, 1, 2, 3, 4], [7, 7, 0, 30, 2]])
    return rotary(x, one), rotary(x, each), rotary(normal(35, 2, 3, 5, 14), each)


@case("heads share the positions of their token", "batch head seq dim")
def heads(rotary):
    return rotary(normal(26, 2, 3, 5, 14))


@case("331 tokens, 64 dimensions", "seq dim", tolerance=5e-4)
def long_text(rotary):
    return rotary(normal(27, 331, 64))


@case("theta is used", "seq dim", needs="theta")
def theta_used(rotary):
    return rotary(normal(28, 31, 26), theta=500000.0)


@case("linear scaling slows every hand by the factor", "seq dim", needs="scaling")
def linear_scaling(rotary):
    return rotary(normal(29, 31, 26), scaling=LINEAR)


@case("llama3 scaling keeps the fast hands and slows the slow ones", "seq dim", tolerance=5e-4, needs="scaling")
def llama3_scaling(rotary):
    return rotary(normal(30, 311, 64), scaling=LLAMA3)


@case("angles(positions) gives (cos, sin) in float32, one a pair", "seq pair", tolerance=5e-4, needs="angles")
def angles(rotary):
    return rotary.angles(torch.arange(31), 14)


@case("bfloat16 comes back as bfloat16, turned by exact angles", "seq dim", tolerance=2e-2)
def bfloat16_positions(rotary):
    return rotary(normal(31, 331, 26).bfloat16())


@case("moved to bfloat16, the module keeps its frequencies exact", "seq dim", tolerance=2e-2)
def moved(rotary):
    return rotary(normal(32, 331, 26).bfloat16(), to=torch.bfloat16)


@case("gradients reach x", "batch seq dim", tell=tells_gradient)
def gradients_of_module(rotary):
    x = normal(33, 2, 5, 14).requires_grad_()
    return reached((rotary(x) * normal(34, 2, 5, 14)).sum(), x=x)


@case("lesson 14: with yarn, cos and sin are multiplied by the attention factor", needs="scaling", later=True)
def yarn_scaling(rotary):
    return _with_yarn(rotary, normal(36, 2, 53, 64), scaling=YARN)


class adapt_class:
    """A learner's class as one call."""

    def __init__(self, kind):
        self.kind = kind

    def __call__(self, x, positions=None, to=None, **settings):
        module = built(self.kind, x.shape[-1], **settings)
        module = module if to is None else module.to(to)
        return call(module, x) if positions is None else call(module, x, positions)

    def angles(self, positions, dim):
        module = built(self.kind, dim)
        if not callable(getattr(module, "angles", None)):
            raise Fault("It has no method `angles`, with which the model makes (cos, sin) once for all layers.")
        found = call(module.angles, positions)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise Fault(f"angles must return the pair (cos, sin), got {type(found).__name__}.")
        return tuple(found)


# ----------------------------------------------------------------------------------------------------- wrong versions


def module_with(turn=rotate, frequencies=rotary_frequencies, name="LlamaRotaryEmbedding"):
    """The lesson's module with one of its parts replaced."""

    class Wrong(LlamaRotaryEmbedding):
        def __init__(self, dim, theta=10000.0, scaling=None):
            super().__init__(dim, theta, scaling)
            self.inv_freq, self.attention_factor = frequencies(dim, theta, scaling)

        def _apply(self, fn, recurse=True):
            frequencies, module = self.inv_freq, super()._apply(fn, recurse)
            self.inv_freq = frequencies
            return module

        def forward(self, x, positions=None):
            return turn(x, self.angles(torch.arange(x.shape[-2]) if positions is None else positions))

    return Wrong


def frequencies_with(slow):
    """The lesson's frequencies with another llama3 scaling."""

    def frequencies(dim, theta=10000.0, scaling=None):
        if (scaling or {}).get("rope_type") != "llama3":
            return rotary_frequencies(dim, theta, scaling)
        numbers = {name: value for name, value in scaling.items() if name != "rope_type"}
        return slow(rotary_frequencies(dim, theta)[0], **numbers), 1.0

    return frequencies


LIFT = {  # how a wrong part (first) becomes a wrong version of an exercise (second)
    ("slow_the_slow_hands", "rotary_frequencies"): frequencies_with,
    ("slow_the_slow_hands", "LlamaRotaryEmbedding"): lambda wrong: module_with(frequencies=frequencies_with(wrong)),
    ("rotary_frequencies", "LlamaRotaryEmbedding"): lambda wrong: module_with(frequencies=wrong),
    ("rotate", "LlamaRotaryEmbedding"): lambda wrong: module_with(turn=wrong),
}


EXERCISES = tuple(
    Exercise(reference.__name__, reference, adapt, tuple(cases), wrong_versions(reference.__name__, LIFT))
    for reference, adapt, cases in (
        (rotate, adapt_function, ROTATE),
        (slow_the_slow_hands, adapt_slow, SLOW),
        (rotary_frequencies, adapt_frequencies, FREQUENCIES),
        (LlamaRotaryEmbedding, adapt_class, MODULE),
    )
)
