"""Rotary embeddings: what must hold of them, the way to them, what goes wrong in them, and their exercises."""

import inspect
import math
from dataclasses import replace
from functools import partial

import torch
from einops import einsum, rearrange
from torch import Tensor, nn

from ...rotary import LlamaRotaryEmbedding, rotary_frequencies, rotate, slow_the_slow_hands
from ..course.exercise import Exercise, chosen, first_fault, own, said, same_tensor, typed_number
from ..judge.guard import Fault, call
from ..judge.parts import Cases, Component, Step
from ..judge.steps import BUILT
from ..judge.subjects import built, normal, reached, tells_gradient

component = Component("rotary")
bug, also = component.bug, component.also
LINEAR = {"rope_type": "linear", "factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 256}
LLAMA3 = YARN | {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
SPEEDS, SCALED, ANGLES = "theta^(−2i/dim), the speeds", "the scaled speeds", "position · speed, the angles"
GROWN = "cos · the attention factor"
CROSSED = "−second, first"
FIRST, SECOND, TURNED = "first · cos − second · sin", "second · cos + first · sin", "the turned halves, joined"


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

ROTATE = Cases()


def _rotation(seed, *shape):
    angles = 3 * normal(seed, *shape)
    return angles.cos(), angles.sin()


@ROTATE("an angle of 0 leaves the vector as it is", "batch head seq dim", degenerate=True)
def angle_zero(turn):
    return turn(normal(1, 2, 3, 5, 14), (torch.ones(5, 7), torch.zeros(5, 7)))


@ROTATE("lengths stay as they are", "batch head seq", tell=_tells_length)
def lengths(turn):
    return _lengths(turn(normal(2, 2, 3, 5, 14), _rotation(3, 5, 7)))


@ROTATE("a quarter turn: dimension i becomes −(i + dim/2), and i + dim/2 becomes i", "seq dim", degenerate=True)
def quarter_turn(turn):
    return turn(torch.arange(1.0, 71).reshape(5, 14), (torch.zeros(5, 7), torch.ones(5, 7)))


@ROTATE("every pair turns by its own angle", "batch head seq dim")
def own_angles(turn):
    return turn(normal(4, 2, 3, 5, 14), _rotation(5, 5, 7))


@ROTATE("rows of a batch may have angles of their own", "batch head seq dim")
def rows(turn):
    return turn(normal(6, 2, 3, 5, 14), _rotation(7, 2, 5, 7))


@ROTATE("x may come without heads, and without a batch")
def fewer_axes(turn):
    return turn(normal(8, 2, 5, 14), _rotation(9, 5, 7)), turn(normal(10, 5, 14), _rotation(11, 5, 7))


@ROTATE("331 tokens", "head seq dim")
def long(turn):
    return turn(normal(12, 3, 331, 26), _rotation(13, 331, 13))


@ROTATE("bfloat16 comes back as bfloat16", "batch seq dim", tolerance=2e-2)
def bfloat16(turn):
    return turn(normal(14, 2, 5, 14).bfloat16(), _rotation(15, 5, 7))


@ROTATE("gradients reach x", "batch seq dim", tell=tells_gradient)
def gradients(turn):
    x = normal(16, 2, 5, 14).requires_grad_()
    return reached((turn(x, _rotation(17, 5, 7)) * normal(18, 2, 5, 14)).sum(), x=x)


def adapt_function(function):
    return lambda *given: call(function, *given)


def steps_of_a_turn(x, rotation):
    """What turns x on its way, where cos and sin are given."""
    given = [Step(name, part.to(x.dtype), (), waypoint=True) for name, part in zip(("cos", "sin"), rotation)]
    return given + _turned(x, rotation, "cos", "sin")


def _turned(x, rotation, cos_name, sin_name):
    """The steps that turn x; who writes (−second, first) · sin never sees one half alone."""
    cos, sin = (part.to(x.dtype)[(..., *[None] * (x.ndim - part.ndim), slice(None), slice(None))] for part in rotation)
    (first, second), axes = x.chunk(2, dim=-1), ("batch " + "head " * (x.ndim - 3)) * (x.ndim > 2) + "seq pair"
    return [
        Step("first", first, (), waypoint=True),
        Step("second", second, (), waypoint=True),
        Step("first · cos", first * cos, ("first", cos_name), waypoint=True),
        Step("first · sin", first * sin, ("first", sin_name), waypoint=True),
        Step("second · cos", second * cos, ("second", cos_name), waypoint=True),
        Step("second · sin", second * sin, ("second", sin_name), waypoint=True),
        # Who turns the whole vector at once passes through these.
        Step("cos, for both halves", torch.cat([cos, cos], -1), (cos_name,), waypoint=True),
        Step("sin, for both halves", torch.cat([sin, sin], -1), (sin_name,), waypoint=True),
        Step(CROSSED, torch.cat([-second, first], -1), ("first", "second"), waypoint=True),
        Step(FIRST, first * cos - second * sin, ("first · cos", "second · sin"), inside="neg", axes=axes),
        Step(SECOND, second * cos + first * sin, ("second · cos", "first · sin"), inside="neg", axes=axes),
        Step(
            TURNED,
            torch.cat([first * cos - second * sin, second * cos + first * sin], -1),
            (FIRST, SECOND),
            axes=axes.replace("pair", "dim"),
        ),
    ]


component.part(rotate, adapt_function, ROTATE, steps_of_a_turn)


# ---------------------------------------------------------------------------------- the lesson's own: a turn by speeds
# A subject is called as turn(x, speeds), with x (seq, dim) and speeds (dim/2).


def turn_hands(x, speeds):
    """Every vector of x (seq, dim), turned to its position 0, 1, 2 …"""
    angles = einsum(torch.arange(len(x)).float(), speeds, "seq, pair -> seq pair")
    cos, sin = angles.cos(), angles.sin()
    up, right = rearrange(x, "seq (two pair) -> two seq pair", two=2)
    turned = [up * cos - right * sin, right * cos + up * sin]
    return rearrange(turned, "two seq pair -> seq (two pair)")


HANDS = Cases()


@HANDS("position 0 leaves the vector as it is", "dim", degenerate=True)
def first_token(turn):
    return turn(normal(40, 5, 14), normal(41, 7).abs())[0]


@HANDS("lengths stay as they are", "seq", tell=_tells_length)
def lengths_of_hands(turn):
    return _lengths(turn(normal(42, 5, 14), normal(43, 7).abs()))


@HANDS("one hand of 0.4 radians a token", "seq dim")
def one_hand(turn):
    return turn(normal(44, 6, 2), torch.tensor([0.4]))


@HANDS("every hand has its own speed", "seq dim")
def own_speeds(turn):
    return turn(normal(45, 5, 14), torch.tensor([1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05]))


@HANDS("331 tokens", "seq dim", tolerance=5e-4)
def long_line(turn):
    return turn(normal(46, 331, 26), rotary_frequencies(26)[0])


@HANDS("gradients reach x", "seq dim", tell=tells_gradient)
def gradients_of_hands(turn):
    x = normal(47, 5, 14).requires_grad_()
    return reached((turn(x, rotary_frequencies(14)[0]) * normal(48, 5, 14)).sum(), x=x)


def steps_of_hands(x, speeds):
    """From position · speed to x turned by it."""
    positions = torch.arange(len(x)).float()
    angles = positions[:, None] * speeds
    way = [
        Step("the positions", positions, (), waypoint=True),
        Step(ANGLES, angles, (), axes="seq pair"),
        Step("cos", angles.cos(), (ANGLES,), inside="polar", axes="seq pair"),
        Step("sin", angles.sin(), (ANGLES,), inside="polar", axes="seq pair"),
    ]
    return way + _turned(x, (angles.cos(), angles.sin()), "cos", "sin")


component.part(turn_hands, adapt_function, HANDS, steps_of_hands)


# ------------------------------------------------------------------------------ the lesson's own: a quarter turn of all


def halves_turned(x):
    """Every hand of x (…, dim) a quarter turn on; Hugging Face calls it rotate_half."""
    up, right = rearrange(x, "... (two pair) -> two ... pair", two=2)
    return rearrange([-right, up], "two ... pair -> ... (two pair)")


QUARTER = Cases()


@QUARTER("one hand: (up, right) becomes (−right, up)", "dim")
def one_quarter(quarter):
    return quarter(torch.tensor([3.0, 5]))


@QUARTER("every hand of (seq, dim)", "seq dim")
def every_quarter(quarter):
    return quarter(torch.arange(1.0, 71).reshape(5, 14))


@QUARTER("x may have more axes, or fewer")
def any_quarter(quarter):
    return quarter(normal(50, 14)), quarter(normal(51, 2, 3, 5, 14))


def steps_of_a_quarter(x):
    """The two halves, and the two once they have changed places."""
    first, second = x.chunk(2, dim=-1)
    axes = {1: "dim", 2: "seq dim", 4: "batch head seq dim"}[x.ndim]
    return [
        Step("first", first, (), waypoint=True),
        Step("second", second, (), waypoint=True),
        Step(CROSSED, torch.cat([-second, first], -1), ("first", "second"), axes=axes),
    ]


component.part(halves_turned, adapt_function, QUARTER, steps_of_a_quarter)


# -------------------------------------------------------------------------------------------------------- frequencies
# A subject is called as frequencies(dim, theta, scaling) and gives (inv_freq, attention factor).

FREQUENCIES = Cases()


def _against(frequencies, dim, theta, scaling=None):
    """Each frequency times theta^(2i/dim), which is 1 where nothing is scaled: a slow hand counts like a fast one."""
    inv_freq, _ = frequencies(dim, theta, scaling)
    if not isinstance(inv_freq, Tensor) or inv_freq.shape != (dim // 2,) or inv_freq.dtype != torch.float32:
        return inv_freq
    return (inv_freq.double() * theta ** (torch.arange(0, dim, 2).double() / dim)).float()


@FREQUENCIES("hand i turns theta^(−2i/dim) a token", "pair")
def plain(frequencies):
    return _against(frequencies, 64, 10000.0)


@FREQUENCIES("any even dim", "pair")
def dims(frequencies):
    return tuple(_against(frequencies, dim, 10000.0) for dim in (2, 14, 26))


@FREQUENCIES("theta is used", "pair")
def theta(frequencies):
    return tuple(_against(frequencies, 26, base) for base in (100.0, 500000.0))


@FREQUENCIES("the attention factor is 1")
def factor(frequencies):
    return torch.tensor([float(frequencies(14, 10000.0, scaling)[1]) for scaling in (None, LINEAR, LLAMA3)])


@FREQUENCIES("linear scaling slows every hand by the factor", "pair")
def linear(frequencies):
    return _against(frequencies, 64, 10000.0, LINEAR)


@FREQUENCIES("older files write `type` for `rope_type`; `default` is no scaling", "pair")
def spellings(frequencies):
    older, default = {"type": "linear", "factor": 2.0}, {"rope_type": "default"}
    return _against(frequencies, 26, 10000.0, older), _against(frequencies, 26, 10000.0, default)


@FREQUENCIES("llama3 scaling keeps the fast hands and slows the slow ones", "pair")
def llama3(frequencies):
    return _against(frequencies, 64, 10000.0, LLAMA3)


@FREQUENCIES("yarn scaling slows the hands in its own way, and gives the attention factor", later=True)
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


def adapt_speeds(function):
    """An answer that knows no scaling and gives the speeds alone; the lesson's own versions give the pair."""

    def frequencies(dim, theta, scaling):
        if "scaling" in inspect.signature(function).parameters:
            return adapt_frequencies(function)(dim, theta, scaling)
        return call(function, dim, theta), 1.0

    return frequencies


def steps_of_frequencies(dim, theta, scaling):
    """What leads to the speeds, with the turns that llama3 scaling asks for."""
    exponents = torch.arange(0, dim, 2).float() / dim
    way = [
        Step("the exponents 2i/dim", exponents, (), waypoint=True, axes="pair"),
        Step(SPEEDS, 1.0 / theta**exponents, axes="pair"),
    ]
    if (scaling or {}).get("rope_type") == "llama3":
        numbers = {name: value for name, value in scaling.items() if name != "rope_type"}
        return way + steps_of_slowing(way[-1].value, **numbers, after=(SPEEDS,))
    if scaling and "factor" in scaling:
        way.append(Step(SCALED, rotary_frequencies(dim, theta, scaling)[0], axes="pair"))
    return way


component.part(rotary_frequencies, adapt_frequencies, FREQUENCIES, steps_of_frequencies)


# ----------------------------------------------------------------------------------------------------- llama3 scaling
# A subject is called as slow(inv_freq, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings).

SLOW = Cases()


def _slowed(slow, *numbers):
    """By what each hand of a 64-wide head was slowed."""
    inv_freq = rotary_frequencies(64)[0]
    return slow(inv_freq, *numbers) / inv_freq


@SLOW("hands of many turns are kept, hands of less than one are slowed by the factor", "pair")
def ends(slow):
    share, turns = _slowed(slow, 8.0, 1.0, 4.0, 256), rotary_frequencies(64)[0] * 256 / (2 * math.pi)
    return share[(turns > 4) | (turns < 1)] if share.shape == turns.shape else share


@SLOW("hands between are blended in proportion to their turns", "pair")
def between(slow):
    return _slowed(slow, 8.0, 1.0, 4.0, 256)


@SLOW("other factors and lengths", "pair")
def others(slow):
    return _slowed(slow, 32.0, 1.0, 4.0, 8192), _slowed(slow, 4.0, 2.0, 32.0, 1000)


def steps_of_slowing(
    inv_freq, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings, after=()
):  # fmt: skip
    """What leads from the plain speeds to llama3's."""
    turns = original_max_position_embeddings * inv_freq / (2 * math.pi)
    keep = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0, 1)
    return [
        Step("the turns in the trained length", turns, after, waypoint=True, axes="pair"),
        Step("which share is kept, 0 … 1", keep, waypoint=True, axes="pair"),
        Step(SCALED, (1 - keep) * inv_freq / factor + keep * inv_freq, axes="pair"),
    ]


component.part(slow_the_slow_hands, adapt_function, SLOW, steps_of_slowing)


# ---------------------------------------------------------------------------------------------------------- the module
# A subject is called as rotary(x, positions, theta=…, scaling=…). With a width for x it gives what `angles` gives of
# the positions, cos and sin, and the attention factor that the module keeps, or None.

MODULE = Cases()


@MODULE("position 0 leaves the vector as it is", "batch dim", degenerate=True)
def position_zero(rotary):
    return rotary(normal(20, 2, 5, 14))[:, 0]


@MODULE("lengths stay as they are", "batch seq", tell=_tells_length)
def lengths_of_tokens(rotary):
    return _lengths(rotary(normal(21, 2, 11, 14)))


@MODULE("dimensions 0 and dim/2 are the fastest hand: one radian a token", "seq dim")
def fastest(rotary):
    x = torch.zeros(5, 14)
    x[:, 0], x[:, 7] = 1.0, 0.5
    return rotary(x)


@MODULE("hand i turns theta^(−2i/dim) a token", "batch seq dim")
def every_hand(rotary):
    return rotary(normal(22, 2, 11, 14))


def _tells_distance(found, wanted):
    return f"Three tokens apart, the score at (103, 100) is off by {found[-1]:.3g} from the score at (3, 0)."


@MODULE("a score knows the distance only", needs="positions", tell=_tells_distance)
def distance(rotary):
    q, k = normal(23, 1, 26), normal(24, 1, 26)
    places = [(3, 0), (10, 7), (103, 100)]
    scores = [(rotary(q, torch.tensor([i])) * rotary(k, torch.tensor([j]))).sum() for i, j in places]
    return torch.stack(scores[1:]) - scores[0]


@MODULE("positions may be given, one list for all rows or one each", needs="positions")
def given_positions(rotary):
    x = normal(25, 2, 5, 14)
    one, each = torch.tensor([3, 100, 7, 0, 1]), torch.tensor([[0, 1, 2, 3, 4], [7, 7, 0, 30, 2]])
    return rotary(x, one), rotary(x, each), rotary(normal(35, 2, 3, 5, 14), each)


@MODULE("heads share the positions of their token", "batch head seq dim")
def heads(rotary):
    return rotary(normal(26, 2, 3, 5, 14))


@MODULE("331 tokens, 64 dimensions", "seq dim", tolerance=5e-4)
def long_text(rotary):
    return rotary(normal(27, 331, 64))


@MODULE("theta is used", "seq dim", needs="theta")
def theta_used(rotary):
    return rotary(normal(28, 31, 26), theta=500000.0)


@MODULE("linear scaling slows every hand by the factor", "seq dim", needs="scaling")
def linear_scaling(rotary):
    return rotary(normal(29, 31, 26), scaling=LINEAR)


@MODULE("llama3 scaling keeps the fast hands and slows the slow ones", "seq dim", tolerance=5e-4, needs="scaling")
def llama3_scaling(rotary):
    return rotary(normal(30, 311, 64), scaling=LLAMA3)


@MODULE("angles(positions) gives (cos, sin) in float32, one a pair", "seq pair", tolerance=5e-4, needs="angles")
def angles(rotary):
    return rotary(14, torch.arange(31))[:2]


@MODULE("angles(positions) multiplies both by the module's attention factor", "seq pair", needs="angles")
def grown_angles(rotary):
    """How long (cos, sin) is in factors. What keeps no factor or refuses yarn is told with the last property."""
    try:
        cos, sin, factor = rotary(14, torch.arange(31), scaling=YARN)
    except Exception:
        factor = None
    return torch.ones(31, 7) if factor is None else torch.hypot(cos, sin) / factor


@MODULE("bfloat16 comes back as bfloat16, turned by exact angles", "seq dim", tolerance=2e-2)
def bfloat16_positions(rotary):
    return rotary(normal(31, 331, 26).bfloat16())


@MODULE("moved to bfloat16, the module keeps its frequencies exact", "seq dim", tolerance=2e-2)
def moved(rotary):
    return rotary(normal(32, 331, 26).bfloat16(), to=torch.bfloat16)


@MODULE("gradients reach x", "batch seq dim", tell=tells_gradient)
def gradients_of_module(rotary):
    x = normal(33, 2, 5, 14).requires_grad_()
    return reached((rotary(x) * normal(34, 2, 5, 14)).sum(), x=x)


@MODULE("with yarn, cos and sin are multiplied by the attention factor", needs="scaling", later=True)
def yarn_scaling(rotary):
    return _with_yarn(rotary, normal(36, 2, 53, 64), scaling=YARN)


def adapt_class(kind):
    def rotary(x, positions=None, to=None, **settings):
        module = built(kind, x if isinstance(x, int) else x.shape[-1], **settings)
        module = module if to is None else module.to(to)
        if not isinstance(x, int):
            return call(module, x) if positions is None else call(module, x, positions)
        if not callable(getattr(module, "angles", None)):
            raise Fault("It has no method `angles`, with which the model makes (cos, sin) once for all layers.")
        found = call(module.angles, positions)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise Fault(f"angles must return the pair (cos, sin), got {type(found).__name__}.")
        return *found, getattr(module, "attention_factor", None)

    return rotary


def steps_of_module(x, positions=None, to=None, theta=10000.0, scaling=None):
    """From the speeds to the angles, and to x turned by them, unless only a width is given for x."""
    width = x if isinstance(x, int) else x.shape[-1]
    way = [replace(step, early=True) for step in steps_of_frequencies(width, theta, scaling)]
    factor = rotary_frequencies(width, theta, scaling)[1]
    positions = torch.arange(x.shape[-2]) if positions is None else positions
    angles = positions.float()[..., None] * way[-1].value
    way += [
        Step(ANGLES, angles, axes="seq pair"),
        Step("the positions", positions, (), waypoint=True),
        Step("cos", angles.cos(), (ANGLES,), inside="polar", axes="seq pair"),
        Step("sin", angles.sin(), (ANGLES,), inside="polar", axes="seq pair"),
    ]
    if factor != 1:
        way += [Step(name, step.value * factor, (step.name,), inside="polar", axes="seq pair")
                for name, step in zip((GROWN, "sin · the attention factor"), way[-2:])]  # fmt: skip
    cos, sin = way[-2:]
    return way if isinstance(x, int) else way + _turned(x, (cos.value, sin.value), cos.name, sin.name)


component.part(LlamaRotaryEmbedding, adapt_class, MODULE, steps_of_module)


# --------------------------------------------------------------------------------- the lesson's own: the module, bare
# A subject is called as rotary(x, theta=…), as above.


class BareRotary(nn.Module):
    """Turns vectors (…, seq, dim), whose tokens stand at 0, 1, 2 …; the shape stays."""

    def __init__(self, dim, theta=10000.0):
        super().__init__()
        self.speeds = torch.tensor([theta ** (-2 * i / dim) for i in range(dim // 2)])

    def forward(self, x):
        angles = einsum(torch.arange(x.shape[-2]).float(), self.speeds, "seq, pair -> seq pair")
        return rotate(x, (angles.cos(), angles.sin()))


ASKED = ("position_zero", "lengths_of_tokens", "fastest", "every_hand", "heads", "long_text", "theta_used",
         "bfloat16_positions", "gradients_of_module")  # fmt: skip
BARE = Cases(case for case in MODULE if case.run.__name__ in ASKED)

component.part(BareRotary, adapt_class, BARE, steps_of_module, unseen=("no_axis_for_heads",))


# ---------------------------------------------------------------------------------------------------- what goes wrong

UNSEEN = "None that the loss shows. Published weights give gibberish after the first token."
SILENT = UNSEEN.replace("shows.", "shows: trained from scratch, it is the same.")
WORSE = "The loss is a little worse, and nothing else shows."
LONG_TEXT = "Llama 3.1 and later are slightly worse in long texts."
READ, WRITTEN = "... (two pair) -> two ... pair", "two ... pair -> ... (two pair)"
TURN, JOIN = "turned = [first * cos - second * sin, second * cos + first * sin]", f'rearrange(turned, "{WRITTEN}")'

# fmt: off
WAY, POSITIONS = 'einsum(torch.arange(len(x)).float(), speeds, "seq, pair -> seq pair")', "torch.arange(len(x)).float()"
BARE_WAY = WAY.replace("len(x)", "x.shape[-2]").replace("speeds", "self.speeds")
HANDS_READ, HANDS_WRITTEN = "seq (two pair) -> two seq pair", "two seq pair -> seq (two pair)"

bug("interleaved", "rotate", {READ: "... (pair two) -> two ... pair", WRITTEN: "two ... pair -> ... (pair two)"},
    step=FIRST,
    symptom="Position 0 is right, then the error grows; published weights start well and end in gibberish. "
    "Trained from scratch it is as good.",
    says="You match the interleaved layout: your pairs are neighbours, (2i, 2i + 1). Published Llama weights pair "
    "i with i + dim/2: `(two pair)`, not `(pair two)`.")
bug("reads_neighbours_writes_halves", "rotate", {READ: "... (pair two) -> two ... pair"},
    step=FIRST, symptom=UNSEEN,
    says="You read neighbours (2i, 2i + 1) and write them back as halves: the numbers change places even at "
    "position 0. Use `(two pair)` for both.")
bug("interleaved_angles", "rotate",
    {TURN: 'cos, sin = (repeat(part, "... pair -> ... (pair two)", two=2) for part in (cos, sin))',
     JOIN: "x * cos + torch.cat([-second, first], dim=-1) * sin"}, step=TURNED, symptom=WORSE,
    says="The angles are laid out for neighbours, a a b b c c, but the halves are swapped: mixed layouts, so that "
    "lengths change. Lay the angles out as a b c a b c.")
bug("neighbours_with_angles_of_halves", "rotate",
    {READ: "... (pair two) -> two ... pair",
     TURN: "cos, sin = (torch.cat([part, part], dim=-1) for part in (cos, sin))",
     JOIN: 'x * cos + rearrange([-second, first], "two ... pair -> ... (pair two)") * sin'},
    step=TURNED, symptom=WORSE,
    says="The angles are laid out for halves, a b c a b c, but neighbours are swapped: mixed layouts, so that "
    "lengths change. Pair i with i + dim/2 in both.")
bug("lost_minus", "rotate", {"cos - second": "cos + second"}, step=FIRST, symptom=WORSE,
    says="A minus sign is lost: lengths are not kept. The first half is first·cos − second·sin.")
bug("two_minuses", "rotate", {"cos + first": "cos - first"}, step=SECOND, symptom=WORSE,
    says="There is one minus sign too many: lengths are not kept. The second half is second·cos + first·sin.")
bug("backwards", "rotate", {"cos - second": "cos + second", "cos + first": "cos - first"},
    step=(FIRST, "sin"), symptom=SILENT,
    says="You turn by −θ: the minus sign stands in the second half instead of the first. It works from scratch and "
    "cannot load checkpoints. first·cos − second·sin, second·cos + first·sin.")
bug("cos_and_sin_swapped", "rotate", {"cos, sin = (": "sin, cos = ("},
    step=FIRST, symptom="The loss is worse: half of the numbers no longer say where a token stands.",
    says="cos and sin have changed places: at position 0 the vector must stay as it is.")
also("cos_and_sin_swapped", "LlamaRotaryEmbedding",
    {"return angles.cos()": "return angles.sin()", ", angles.sin()": ", angles.cos()"})
bug("first_half_overwritten", "rotate",
    {"turned = [first * cos - second * sin,": "first = first * cos - second * sin\n    turned = [first,"},
    step=SECOND, symptom="The loss is a little worse: half of every vector is only stretched.",
    says="The second half uses the first one after that was overwritten. Keep both as they were, then turn.")
bug("no_axis_for_heads", "rotate", {'"1 " * (x.ndim - rotation[0].ndim)': '""'},
    {'rearrange(part.to(x.dtype), f"... seq pair -> ... {heads}seq pair")': "part.to(x.dtype)[:, None]"},
    {'rearrange(part.to(x.dtype), f"... seq pair -> ... {heads}seq pair")':
     "part.to(x.dtype)[:, None] if x.ndim == 4 else part.to(x.dtype)"},
    step=FIRST, symptom="An error as soon as x has heads, or its rows have angles of their own.",
    says="cos and sin do not line up with x: they lack its heads. Give them an axis of 1 for each axis that x has "
    "between batch and seq, just before seq, and none where x has none.")
bug("axis_for_heads_always", "rotate", {'"1 " * (x.ndim - rotation[0].ndim)': '"1 "'}, step=FIRST,
    symptom="None in a model, where x has heads. Without them the result has an axis too many.",
    says="Your axis of 1 is there even where x has no heads, and the result gets an axis too many. As many are needed "
    "as x has axes more than cos: x.ndim − cos.ndim.")
bug("cosine_of_the_cosine", "rotate",
    {"check_rotation(rotation, x)": "rotation = rotation[0].cos(), rotation[1].sin()\n    check_rotation(rotation, x)"},
    step=FIRST, symptom=WORSE,
    says="You take cosine and sine once more: the rotation that comes in is the pair (cos, sin) already, no angles.")
bug("reads_halves_writes_neighbours", "rotate", {WRITTEN: "two ... pair -> ... (pair two)"}, step=TURNED,
    symptom=UNSEEN,
    says="You read halves and write them back as neighbours (2i, 2i + 1): the numbers change places even at "
    "position 0. Use `(two pair)` for both.")
bug("joined_in_wrong_order", "rotate",
    {TURN: "turned = [second * cos + first * sin, first * cos - second * sin]"}, step=TURNED, symptom=UNSEEN,
    says="Both halves are turned rightly and joined in the wrong order: the first half comes first, also at the end.")
for name, *edits in (
    ("interleaved", {HANDS_READ: "seq (pair two) -> two seq pair", HANDS_WRITTEN: "two seq pair -> seq (pair two)"}),
    ("reads_neighbours_writes_halves", {HANDS_READ: "seq (pair two) -> two seq pair"}),
    ("reads_halves_writes_neighbours", {HANDS_WRITTEN: "two seq pair -> seq (pair two)"}),
    ("lost_minus", {"cos - right": "cos + right"}),
    ("two_minuses", {"cos + up": "cos - up"}),
    ("backwards", {"cos - right": "cos + right", "cos + up": "cos - up"}, {"einsum(": "-einsum("}),
    ("cos_and_sin_swapped", {"cos, sin =": "sin, cos ="}),
    ("first_half_overwritten", {"turned = [up * cos - right * sin,": "up = up * cos - right * sin\n    turned = [up,"}),
    ("joined_in_wrong_order", {"up * cos - right * sin, right * cos + up * sin":
                               "right * cos + up * sin, up * cos - right * sin"}),
):
    also(name, "turn_hands", *edits)
bug("quarter_back", "halves_turned", {"[-right, up]": "[right, -up]"}, step=CROSSED, symptom=SILENT,
    says="The minus stands with the wrong half: you go a quarter turn back. (up, right) becomes (−right, up).")
bug("quarter_without_minus", "halves_turned", {"[-right, up]": "[right, up]"}, step=CROSSED, symptom=WORSE,
    says="The halves change places and no sign does: that is a mirror, not a turn. What was right comes up as −right.")
bug("quarter_not_crossed", "halves_turned", {"[-right, up]": "[-up, right]"}, step=CROSSED, symptom=WORSE,
    says="The halves stay where they are. A quarter turn makes height of width: (up, right) becomes (−right, up).")
bug("half_turn", "halves_turned", {"[-right, up]": "[-right, -up]"}, step=CROSSED, symptom=WORSE,
    says="There is one minus too many: (up, right) becomes (−right, up), and a hand at twelve moves on to three.")
bug("quarter_of_two_axes", "halves_turned", {READ: HANDS_READ, WRITTEN: HANDS_WRITTEN}, step=CROSSED,
    symptom="An error as soon as x has heads or a batch.",
    says="Your pattern is for (seq, dim) alone. x may have any axes before the last: begin the pattern with `...`.")
bug("quarter_of_first_axis", "halves_turned",
    {f'rearrange(x, "{READ}", two=2)': "x.chunk(2)",
     f'rearrange([-right, up], "{WRITTEN}")': "torch.cat([-right, up])"},
    {f'rearrange([-right, up], "{WRITTEN}")': "torch.cat([-right, up])"}, step=CROSSED, symptom=WORSE,
    says="You cut or join along the first axis, and mix tokens. The halves are those of the last axis: dim=-1.")
bug("quarter_of_neighbours", "halves_turned",
    {READ: "... (pair two) -> two ... pair", WRITTEN: "two ... pair -> ... (pair two)"}, step=CROSSED, symptom=UNSEEN,
    says="Your hands are neighbours, (2i, 2i + 1). Here number i goes with number i + dim/2: `(two pair)`.")
bug("quarter_reads_neighbours", "halves_turned", {READ: "... (pair two) -> two ... pair"}, step=CROSSED, symptom=UNSEEN,
    says="You read neighbours (2i, 2i + 1) and write them back as halves. Use `(two pair)` for both.")
bug("quarter_writes_neighbours", "halves_turned", {WRITTEN: "two ... pair -> ... (pair two)"}, step=CROSSED,
    symptom=UNSEEN, says="You read halves and write them back as neighbours (2i, 2i + 1). Use `(two pair)` for both.")
bug("exponent_i_over_dim", "tokens_per_radian", {"arange(0, dim, 2,": "arange(dim // 2,"},
    step=SPEEDS, symptom=SILENT,
    says="The exponent is i/dim, half of what it should be: inv_freq[1] is theta^(−2/dim). "
    "Count arange(0, dim, 2), or divide by dim/2.")
bug("counted_from_one", "tokens_per_radian",
    {"arange(0, dim, 2,": "arange(2, dim + 2, 2,"}, {"arange(0, dim, 2,": "arange(1, dim + 1, 2,"},
    step=SPEEDS, symptom=SILENT,
    says="The hands are counted from 1: inv_freq[0] must be 1, the fastest hand, so i starts at 0.")
bug("exponent_without_dim", "tokens_per_radian", {".float() / dim": ".float()"}, step=SPEEDS, symptom=WORSE,
    says="dim is missing in the exponent: it is 2i/dim, a fraction, so that the slowest hand comes near 1/theta.")
bug("speed_for_every_number", "tokens_per_radian", {"arange(0, dim, 2,": "arange(0, 2 * dim, 2,"}, step=SPEEDS,
    symptom="An error: twice as many speeds as hands.",
    says="There is a speed for each of dim numbers. Two numbers make a hand, so there are dim/2.")
bug("doubled_twice", "tokens_per_radian", {"(torch.arange(": "(2 * torch.arange("}, step=SPEEDS, symptom=SILENT,
    says="The 2 is there twice: i counts 0, 2, 4 … and is doubled besides. Count by ones, or leave out the 2.")
bug("exponent_positive", "rotary_frequencies", {"1.0 / tokens_per_radian": "tokens_per_radian"},
    step=SPEEDS, symptom="The loss is worse: nearly all hands whirl round within one token.",
    says="The sign of the exponent is lost: the hands get faster, not slower. It is 1 / theta^(2i/dim).")
bug("theta_hard_coded", "tokens_per_radian", {"theta ** (": "10000.0 ** ("}, step=SPEEDS,
    symptom="None with the usual base. Llama 3 (theta = 500,000) is right at position 0 and worse with every token.",
    says="theta is not used: a base of 10,000 stands in its place. Use the theta you were given.")
for name, *edits in (
    ("exponent_i_over_dim", {"-2 * i": "-i"}),
    ("counted_from_one", {"range(dim // 2)": "range(1, dim // 2 + 1)"}),
    ("exponent_positive", {"-2 * i": "2 * i"}),
    ("theta_hard_coded", {"[theta ** (": "[10000.0 ** ("}),
    ("cos_and_sin_swapped", {"(angles.cos(), angles.sin())": "(angles.sin(), angles.cos())"}),
    ("backwards", {"-> seq pair\")": "-> seq pair\") * -1"}),
):
    also(name, "BareRotary", *edits)
bug("scaling_unused", "rotary_frequencies", {"check_scaling(scaling)": "check_scaling(None)"},
    step=SCALED, symptom="None in short prompts. In long ones Llama 3.1 and later lose the thread.",
    says="The scaling is read but never used: with a linear factor of 4 every hand must turn 4 times slower.")
GIVEN = "SCALINGS[kind](inv_freq, **numbers), 1.0"
bug("scaling_multiplied", "rotary_frequencies",
    {GIVEN: "inv_freq * (inv_freq / SCALINGS[kind](inv_freq, **numbers)), 1.0"},
    {"(scaling)\n": '(scaling)\n    numbers |= {"factor": 1 / numbers["factor"]} if numbers else {}\n'},
    step=SCALED,
    symptom="None in short prompts of scaled models; in long ones they lose the thread sooner than without.",
    says="The frequencies are multiplied by the factor. It stretches the wavelengths, so frequencies are divided.")
also("scaling_multiplied", "slow_all_hands", {"inv_freq / factor": "inv_freq * factor"})
bug("llama3_as_linear", "rotary_frequencies", {GIVEN: 'inv_freq / numbers.get("factor", 1.0), 1.0'},
    step=SCALED, symptom="Llama 3.1 and later are worse from the second token on: their fast hands, too, are slowed.",
    says="`llama3` is treated like `linear`: all hands are slowed. Fast hands must stay as they are.")
BLEND = "(1 - keep) * inv_freq / factor + keep * inv_freq"
bug("llama3_ends_swapped", "slow_the_slow_hands", {BLEND: "keep * inv_freq / factor + (1 - keep) * inv_freq"},
    step=SCALED, symptom="Llama 3.1 and later are worse from the second token on.",
    says="The ends are swapped: the fast hands are slowed and the slow ones kept. `keep` is 1 for hands of many turns.")
bug("llama3_not_clamped", "slow_the_slow_hands",
    {".clamp(0, 1)": ""}, {".clamp(0, 1)": ".clamp(max=1)"}, {".clamp(0, 1)": ".clamp(min=0)"}, step=SCALED,
    symptom="Llama 3.1 and later write nonsense: fast hands whirl many times faster than in training.",
    says="The blend is not cut off at 0 and 1: hands beyond both ends are extrapolated. Use clamp(0, 1).")
bug("llama3_without_two_pi", "slow_the_slow_hands", {"(2 * math.pi / inv_freq)": "(1 / inv_freq)"},
    step=SCALED, symptom=LONG_TEXT,
    says="A wavelength is 2π / inv_freq: without 2π every hand seems to turn 6.28 times as often as it does.")
bug("llama3_without_blend", "slow_the_slow_hands",
    {BLEND: "torch.where(turns > high_freq_factor, inv_freq, inv_freq / factor)"},
    {BLEND: "torch.where(turns < low_freq_factor, inv_freq / factor, inv_freq)"},
    step=SCALED, symptom=LONG_TEXT,
    says="Between the ends you jump from kept to slowed. Those hands are blended in proportion to their turns.")
bug("llama3_turns_inverted", "slow_the_slow_hands",
    {"original_max_position_embeddings / (2 * math.pi / inv_freq)":
     "(2 * math.pi / inv_freq) / original_max_position_embeddings"},
    step=SCALED, symptom="Llama 3.1 and later are worse from the second token on.",
    says="You divide the wavelength by the length: that is how many texts a turn takes. Turns are length / wavelength.")
bug("llama3_blends_wavelengths", "slow_the_slow_hands", {BLEND: "inv_freq / ((1 - keep) * factor + keep)"},
    step=SCALED, symptom=LONG_TEXT,
    says="Between the ends you blend the factor, and so the wavelengths. Blend the speeds: keep of a speed as it was, "
    "the rest of it divided by the factor.")
also("scaling_multiplied", "slow_the_slow_hands", {"* inv_freq / factor +": "* inv_freq * factor +"})
bug("llama3_share_of_high", "slow_the_slow_hands", {"/ (high_freq_factor - low_freq_factor)": "/ high_freq_factor"},
    step=SCALED, symptom=LONG_TEXT,
    says="The share that is kept does not reach 1 where hands turn high_freq_factor times: divide by the width of the "
    "gap, high − low.")
bug("llama3_length_unused", "slow_the_slow_hands",
    {"original_max_position_embeddings / (2 * math.pi / inv_freq)": "(2 * math.pi / inv_freq)"},
    step=SCALED, symptom="Llama 3.1 and later are worse from the second token on.",
    says="You compare the wavelength itself with the factors. Asked is how often a hand turns within the training "
    "length: length / wavelength.")
bug("llama3_low_unused", "slow_the_slow_hands",
    {"(turns - low_freq_factor) / (high_freq_factor - low_freq_factor)": "turns / high_freq_factor"},
    step=SCALED, symptom=LONG_TEXT,
    says="low_freq_factor is not used: the blend must begin at that many turns, not at none.")
OUT = "return rotate(x, self.angles(positions))"
bug("never_turned", "LlamaRotaryEmbedding", {OUT: "return x"},
    step=ANGLES, symptom="The loss is that of a model without positions.",
    says="The vectors come back as they went in, at every position. Turn them by their angles.")
bug("positions_ignored", "LlamaRotaryEmbedding", {"if positions is None:": "if True:"}, step=ANGLES,
    symptom="None until text is padded on the left or a cache is used: then every new token stands at position 0.",
    says="The positions that you were given are not used: you always count from 0. Use `positions` where it is given.")
bug("starts_at_one", "LlamaRotaryEmbedding", {"arange(x.shape[-2], ": "arange(1, x.shape[-2] + 1, "},
    step=ANGLES,
    symptom="None: scores know distance only. With a cache, old and new tokens may be counted differently.",
    says="You count from 1. It is harmless for scores, but position 0 is the first token's, and must turn nothing.")
also("never_turned", "BareRotary",
    {f"angles = {BARE_WAY}\n": "", "return rotate(x, (angles.cos(), angles.sin()))": "return x"})
also("starts_at_one", "BareRotary", {"arange(x.shape[-2])": "arange(1, x.shape[-2] + 1)"})
also("starts_at_one", "turn_hands", {"arange(len(x))": "arange(1, len(x) + 1)"})
bug("divided_by_speed", "turn_hands", {WAY: f"{POSITIONS}[:, None] / speeds"}, step=ANGLES,
    symptom="The loss is worse: the slow hands whirl round within one token.",
    says="You divide the position by the speed. A speed is radians a token: the angle is position times speed.")
bug("speed_added", "turn_hands", {WAY: f"{POSITIONS}[:, None] + speeds"}, step=ANGLES,
    symptom="The same as one fast hand: all hands turn one radian a token.",
    says="You add position and speed, so that all hands turn alike. The angle is position times speed.")
bug("position_unused", "turn_hands", {"torch.arange(len(x)).float()": "torch.ones(len(x))"}, step=ANGLES,
    symptom="The loss is that of a model without positions.",
    says="Every token is turned by the same angle, the speed itself. The angle is position times speed.")
bug("one_speed", "turn_hands", {"speeds, \"seq": "speeds[0].expand(len(speeds)), \"seq"}, step=ANGLES,
    symptom="The same as a clock with one hand: far tokens look near.",
    says="All your hands turn at the speed of the first. Hand i has the speed i.")
bug("not_every_speed", "turn_hands", {WAY: f"{POSITIONS} * speeds"}, step=(ANGLES, FIRST),
    symptom="An error: the size of tensor a must match the size of tensor b.",
    says="Positions are (seq) and speeds (pair): multiplied as they are, seq is set against pair. Every position meets "
    "every speed: name both axes in an einsum, or give the positions a last axis of 1.")
for name, edits in (
    ("not_every_speed", {BARE_WAY: f"{POSITIONS.replace('len(x)', 'x.shape[-2]')} * self.speeds"}),
    ("divided_by_speed", {BARE_WAY: f"{POSITIONS.replace('len(x)', 'x.shape[-2]')}[:, None] / self.speeds"}),
    ("speed_added", {BARE_WAY: f"{POSITIONS.replace('len(x)', 'x.shape[-2]')}[:, None] + self.speeds"}),
    ("position_unused", {"torch.arange(x.shape[-2]).float()": "torch.ones(x.shape[-2])"}),
    ("one_speed", {"self.speeds, \"seq": "self.speeds[0].expand(len(self.speeds)), \"seq"}),
):
    also(name, "BareRotary", edits)
bug("half_of_64", "turn_hands", {f'rearrange(x, "{HANDS_READ}", two=2)': "x[:, :32], x[:, 32:]"}, step=FIRST,
    symptom="An error with any head that is not 64 wide.",
    says="You cut after 32 numbers, which is the half of 64 only. Cut x into two halves, whatever its width.")
bug("width_hard_coded", "BareRotary", {"i / dim)": "i / 64)"}, {"range(dim // 2)": "range(32)"}, step=SPEEDS,
    symptom="None with heads 64 wide; others turn at wrong speeds, or fail.",
    says="32 or 64 of the lesson's example still stands in yours. There are dim/2 speeds, and dim is in the exponent.")
also("doubled_twice", "BareRotary", {"range(dim // 2)": "range(0, dim, 2)"})
also("exponent_without_dim", "BareRotary", {" / dim)": ")"})
bug("no_super", "BareRotary", {"super().__init__()": "pass"}, step=BUILT,
    symptom="An AttributeError as soon as the module is called.",
    says="A module begins with super().__init__(), which makes it one; without, PyTorch cannot call it.")
LINED_UP = 'rearrange(positions.float(), "... seq -> ... seq 1")'
also("not_every_speed", "LlamaRotaryEmbedding", {LINED_UP: "positions.float()"})
bug("one_list_only", "LlamaRotaryEmbedding", {LINED_UP: LINED_UP.replace("... ", "")}, step=ANGLES,
    symptom="An error as soon as text is padded and every row has positions of its own.",
    says="Your pattern is for one list of positions, (seq). Rows may have a list each: begin the pattern with `...`.")
bug("or_for_none", "LlamaRotaryEmbedding",
    {"if positions is None:\n            positions = torch": "positions = positions or torch"}, step=ANGLES,
    symptom="An error as soon as positions are given.",
    says="`or` asks whether a tensor is true, and several numbers are neither. Ask whether `positions is None`.")
# The learner's own `rotate` checks nothing, and fails elsewhere than the lesson's: each of these has two spellings.
UNCHECKED = {"return rotate(x, (angles.cos(), angles.sin()))":
    "cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)\n        up, right = x.chunk(2, dim=-1)\n        "
    "return torch.cat([up * cos - right * sin, right * cos + up * sin], dim=-1)"}
EVERY = {"range(dim // 2)": "range(dim)"}
also("speed_for_every_number", "BareRotary", EVERY, UNCHECKED | EVERY)
ROWS, WIDTH, SECOND_AXIS = ({"x.shape[-2]": count} for count in ("len(x)", "x.shape[-1]", "x.shape[1]"))
bug("counts_rows", "BareRotary", ROWS, UNCHECKED | ROWS, step=ANGLES,
    symptom="An error in every batch whose rows are not as many as its tokens.",
    says="You count along the first axis, which is the batch. Tokens stand on the axis before the last: x.shape[-2].")
bug("counts_width", "BareRotary", WIDTH, UNCHECKED | WIDTH, step=ANGLES,
    symptom="An error wherever there are not as many tokens as numbers in a vector.",
    says="You count along the last axis, the numbers of one vector. Tokens stand on the axis before it: x.shape[-2].")
also("counts_width", "turn_hands", {"len(x)": "x.shape[-1]"})
bug("counts_second_axis", "BareRotary", SECOND_AXIS, UNCHECKED | SECOND_AXIS, step=ANGLES,
    symptom="None as long as x is (batch, seq, dim). With heads, an error or angles of other tokens.",
    says="You count along axis 1, which holds the tokens only where x is (batch, seq, dim). With heads they stand "
    "further on, and without a batch before: count from the end, x.shape[-2].")
for name, count in (("counts_rows", "len(x)"), ("counts_width", "x.shape[-1]"), ("counts_second_axis", "x.shape[1]")):
    counts = {"arange(x.shape[-2], ": f"arange({count}, "}
    also(name, "LlamaRotaryEmbedding", counts, counts | {"        check_positions(positions, x)\n": ""})
bug("counts_heads", "LlamaRotaryEmbedding", {"if positions is None:": "if x.ndim == 4:\n            "
     "return rotate(x.transpose(1, 2), self.angles(torch.arange(x.shape[1]))).transpose(1, 2)\n"
     "        if positions is None:"},
    step=ANGLES, symptom="The same as no rotary at all: every token of a head is turned alike.",
    says="You count along the head axis: permuting heads changes the result, permuting positions does not. "
    "Tokens stand on the axis before the last: x.shape[-2].")
bug("angles_in_own_dtype", "LlamaRotaryEmbedding",
    {OUT: "angles = positions.to(x.dtype)[..., None] * self.inv_freq.to(x.dtype)\n        "
     "return rotate(x, (angles.cos(), angles.sin()))"}, step=ANGLES,
    symptom="In bfloat16 the error grows with the position; beyond 256 neighbours share one position.",
    says="Positions or angles are computed in bfloat16, which cannot tell 300 from 301. Compute them in float32 and "
    "convert cos and sin at the end.")
bug("frequencies_follow_dtype", "LlamaRotaryEmbedding", {".to(self.inv_freq.device)": ".to(self.inv_freq)"},
    step=ANGLES, symptom="A model moved to bfloat16 gets worse with the length of the text.",
    says="Moved to bfloat16, the module takes its frequencies along, and they are then off by up to 0.4 %. "
    "Keep inv_freq in float32.")
bug("comes_back_in_float32", "LlamaRotaryEmbedding", {OUT: OUT.replace("(x, ", "(x.float(), ")}, step=FIRST,
    symptom="In bfloat16 the next layer refuses its input, or everything runs in float32, at twice the memory.",
    says="The result is float32 whatever went in: cos and sin are, and drag x along. Convert to x's dtype.")
also("comes_back_in_float32", "rotate", {"part.to(x.dtype)": "part"})
FACTOR = " * self.attention_factor"
DEGREES = {"* self.inv_freq.to(": "* torch.deg2rad(self.inv_freq).to("}
NO_FACTOR = {f"angles.cos(){FACTOR}, angles.sin(){FACTOR}": "angles.cos(), angles.sin()"}
bug("in_degrees", "LlamaRotaryEmbedding", DEGREES, DEGREES | NO_FACTOR, step=ANGLES, symptom=UNSEEN,
    says="Angles are taken in degrees: the fastest hand must turn by one radian a token, not by 1/57 of it.")
also("in_degrees", "turn_hands", {"speeds, \"seq": "torch.deg2rad(speeds), \"seq"})
also("in_degrees", "BareRotary", {"self.speeds, \"seq": "torch.deg2rad(self.speeds), \"seq"})
bug("attention_factor_unused", "LlamaRotaryEmbedding", NO_FACTOR,
    step=GROWN, symptom="None in most models. With yarn the scores of long texts are less sharp than in training.",
    says="cos and sin come without the attention factor, which yarn asks for: multiply both by it. Elsewhere it is 1.")
# fmt: on


# ----------------------------------------------------------------------------------------------------- the exercises

SLOWEST = ("second", "third", "fourth", "fifth")
STRETCHING = "interleaved_angles neighbours_with_angles_of_halves lost_minus two_minuses first_half_overwritten".split()
STRETCHING.append("cosine_of_the_cosine")

REFUSED = (
    "rotary.no_axis_for_heads",
    "rotary.axis_for_heads_always",
)  # these may raise an error, of which no law tells


def _turns():
    """Ways to turn: the lesson's and each wrong version, by what they are called, and whether lengths stay."""
    wrong = [(f"a turn with this mistake: {bug.says.rstrip('.')}", turn, bug.name.split(".")[1] not in STRETCHING)
             for bug, turn in component.wrong("rotate") if bug.name not in REFUSED]  # fmt: skip
    return [("the lesson's rotate", rotate, True), *wrong]


def _first_mistold(name, answer, told) -> str:
    """Where a probe is wrong about one of what is told: (what it is, the thing itself, the truth)."""
    for what, it, so in told:
        says = answer(it)
        if isinstance(says, Tensor) and says.numel() != 1:
            return f"{name} gives {says.numel()} answers, and one is asked: whether it holds for all of them"
        if bool(says) != so:
            exactly = ": floats are rounded, so if you compare exactly, allow for a small tolerance"
            return f"{name} should say {so} of {what}" + exactly * (so and "lesson's" in what)
    return ""


def judge_length_probe(answer) -> str:
    planted = next(turn for bug, turn in component.wrong("rotate") if bug.name == "rotary.two_minuses")
    asked = ("the function above, as it was handed out", planted, False)
    doubled = ("one that returns x doubled", lambda x, rotation: 2 * x, False)
    return _first_mistold("keeps_lengths", answer, [asked, *_turns(), doubled])


def judge_mended_scores(answer) -> str:
    q, k, rotation = normal(0, 7, 6), normal(1, 7, 6), _rotation(2, 7, 3)
    mine, turned_q, turned_k = answer(q, k, rotation), rotate(q, rotation), rotate(k, rotation)
    slips = (
        (turned_q @ k.mT, "it is as it was: queries turn and keys do not, so a score knows where the query stands"),
        (q @ turned_k.mT, "now keys turn and queries do not: the score knows where the key stands"),
        (q @ k.mT, "now nothing turns, and a score knows nothing of positions"),
        (turned_k @ turned_q.mT, "queries and keys have changed places: a row of the scores is a query"),
        (turned_q @ turned_q.mT, "queries are asked about queries: the keys are not in it any more"),
        (
            turned_q @ rotate(k, (rotation[0], -rotation[1])).mT,
            "keys turn the other way round now, and the angle between the two is the sum of their places",
        ),
    )
    for wrong, told in slips:
        if isinstance(mine, Tensor) and mine.shape == wrong.shape and torch.allclose(mine, wrong, atol=1e-4):
            return told
    return same_tensor("mended_scores", mine, turned_q @ turned_k.mT)


def judge_distance_probe(answer) -> str:
    def scores(turn_q, turn_k):
        return lambda q, k, rotation: turn_q(q, rotation) @ turn_k(k, rotation).mT

    def as_it_is(x, rotation):
        return x

    def back(x, rotation):
        return rotate(x, (rotation[0], -rotation[1]))

    told = [
        ("the scores above, as they were handed out", scores(rotate, as_it_is), False),
        ("scores with turned keys only", scores(as_it_is, rotate), False),
        ("scores with keys that turn the other way", scores(rotate, back), False),
        ("scores where nothing turns, which know no distance but keep the law", scores(as_it_is, as_it_is), True),
    ]
    told += [(f"scores of queries and keys in {name}", scores(turn, turn), keeps) for name, turn, keeps in _turns()]
    return _first_mistold("knows_distance_only", answer, told)


WORKED_PART = """def rotate_part(x, rotation):
    # A hand is one complex number: its first number and its second, half of the turned part further on.
    # To turn it is to multiply it by cos + i · sin, whose length is 1, and the sizes of products are products:
    # lengths stay. What is not turned is multiplied by 1, an angle of 0 at all positions: the laws hold for it too.
    cos, sin = rotation
    pairs = cos.shape[-1]
    hands = torch.complex(x[..., :pairs], x[..., pairs : 2 * pairs]) * torch.complex(cos, sin)
    return torch.cat([hands.real, hands.imag, x[..., 2 * pairs :]], dim=-1)


laws_that_hold = {"identity at 0", "length", "distance only"}"""
WORKED_BASE = """def stretched_base(theta, dim, factor):
    # A search instead of algebra: the greater the base, the slower the slowest hand, so one base is the right one.
    # Go up until it is passed, then halve the way again and again, on a scale of ratios as bases are.
    # Nothing here knows the formula of the speeds: it would serve for another one as well.
    def slower(base):
        return (rotary_frequencies(dim, theta)[0][-1] / rotary_frequencies(dim, base)[0][-1]).item()

    low = high = theta
    while slower(high) < factor:
        high *= factor
    for _ in range(40):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if slower(middle) < factor else (low, middle)
    return high"""


def _slip_in_a_part(mine, x, rotation, start: int) -> str:
    """What a wrong rotate_part did, where its numbers say so."""
    (cos, sin), rest = rotation, x[..., start:]
    pairs, half = cos.shape[-1], rest.shape[-1] // 2
    far = rest.clone()
    up, right = rest[..., :pairs], rest[..., half : half + pairs]
    far[..., :pairs], far[..., half : half + pairs] = up * cos - right * sin, right * cos + up * sin
    numbers, few = 2 * pairs, pairs // 2
    slips = (
        (far, "number i is turned with number i + dim/2. Its partner stands within the turned part, at i + pair"),
        (rotate(rest[..., :numbers], rotation), "only the turned part comes back: the numbers that stay belong to it"),
        (torch.cat([x[..., start:-numbers], rotate(x[..., -numbers:], rotation)], -1),
         "the last numbers are turned, those that should stay"),
        (torch.cat([rotate(rest[..., :pairs], (cos[..., :few], sin[..., :few])), rest[..., pairs:]], -1),
         "only `pair` numbers are turned: cos has one for each pair, so twice as many turn"),
    )  # fmt: skip
    for wrong, told in slips:
        wholes = (wrong, torch.cat([x[..., :start], wrong], -1))
        if any(isinstance(mine, Tensor) and mine.shape == each.shape and torch.allclose(mine, each) for each in wholes):
            return told
    return ""


def judge_rotate_part(answer, start: int = 0) -> str:
    """The sentence on a turn of the numbers from `start` on, as many as the rotation has."""
    where = f" after {start} others" * bool(start)
    for dim, pairs in ((10, 2), (8, 4), (14, 3)):
        x, rotation, end = normal(0, 2, 5, start + dim), _rotation(1, 5, pairs), start + 2 * pairs
        first, turned, left = x[..., :start], rotate(x[..., start:end], rotation), x[..., end:]
        mine = answer(x, rotation)
        name = f"rotate_part, {pairs} pairs{where} of {start + dim} numbers,"
        fault = same_tensor(name, mine, torch.cat([first, turned, left], dim=-1))
        if isinstance(mine, Tensor) and mine.shape == (*x.shape[:-1], x.shape[-1] + pairs):
            return "only `pair` numbers are cut off to be turned: cos has one for each pair, so twice as many turn"
        told = fault and _slip_in_a_part(mine, x, rotation, start)
        if told:
            return told
        if isinstance(mine, Tensor) and mine.shape == x.shape and not torch.equal(mine[..., end:], left):
            fault = "the numbers after the turned ones should come out as they went in"
        if isinstance(mine, Tensor) and mine.shape == x.shape and not torch.equal(mine[..., :start], first):
            fault = f"the first {start} numbers should come out as they went in"
        if fault:
            return fault
    return ""


def seeded_rotate_part(seed: int) -> dict:
    """How many numbers stand before those that are turned."""
    start = chosen(seed, (2, 3, 4, 5, 6, 7, 8))
    task = f"Turn 2 · pair numbers of x after the first {start}, and leave the others as they are."
    worked = WORKED_PART.replace("x[..., :pairs], x[..., pairs : 2 * pairs]", "first, second")
    worked = worked.replace("[hands.real, hands.imag, x[..., 2 * pairs :]]", "[before, hands.real, hands.imag, after]")
    cut = f"before, first, second, after = x.tensor_split([{start}, {start} + pairs, {start} + 2 * pairs], dim=-1)"
    return {
        "task": task,
        "text": f"Some models turn only a part of a head. Yours leaves the first **{start}** numbers free of position, "
        "turns those that come next, and leaves what follows free as well. Write it. Then say which laws still hold "
        "for the whole vector: `identity at 0`, `length`, `distance only` (the score of two vectors depends on how "
        "far apart they are).",
        "hints": (
            "How many numbers are to be turned stands in the rotation: cos has one for each pair.",
            "*My sizes do not match*, or *it agrees nowhere*: number i of the **turned part** is paired with number "
            f"i + pair of it, and that part begins after {start} numbers.",
            "Cut x into the part before, the part that is turned and the part after, turn the second with `rotate`, "
            "put the three together. For the laws: a score is a sum over the parts.",
        ),
        "starter": f'''def rotate_part(x, rotation):
    """Turn numbers of x (..., seq, dim) after the first {start}; rotation is (cos, sin), each (seq, pair)."""
    raise NotImplementedError("{task}")


laws_that_hold = ...  # a set, such as {{"length"}}''',
        "answers": {"rotate_part": partial(judge_rotate_part, start=start), "laws_that_hold": judge_law},
        "worked": worked.replace("    hands =", f"    {cut}\n    hands ="),
    }


def judge_law(answer) -> str:
    laws = {"identity at 0", "length", "distance only"}
    if not isinstance(answer, set | frozenset | list | tuple) or not set(answer) <= laws:
        return f"the answer is a set of some of {sorted(laws)}, got {answer!r:.80}"
    missing = sorted(laws - set(answer))
    return said(not missing, f"{missing[0] if missing else ''!r} holds as well: try it on your rotate_part")


def judge_stretched_base(answer, place: int = 1) -> str:
    """The sentence on a base that slows one hand by a factor: the slowest, the second slowest, and so on."""
    faults, hand = [], ("", *SLOWEST)[place - 1] + " slowest hand"
    for dim, theta, factor in ((64, 10000.0, 4.0), (128, 500000.0, 8.0), (8 + 2 * place, 100.0, 3.0)):
        base = float(answer(theta, dim, factor))
        for power, told in (
            (1, "`theta · factor` would be right if that hand's exponent were 1; it is less"),
            (-1, "the base must grow: a greater base makes slower hands"),
            ((dim - 2 * place) / dim, "the power of `factor` is upside down: solve for the new base once more"),
            (dim / (dim - 1), "the i counts hands, 0 … dim/2 − 1, and the exponent is 2i/dim"),
            (dim / (dim - 2), "that slows the slowest hand by the factor; asked is another one")
            if place > 1
            else (0, ""),
        ):
            if told and math.isclose(base, theta * factor**power, rel_tol=1e-4):
                return told
        before, after = (rotary_frequencies(dim, each)[0] for each in (theta, base))
        slower = (before[-place] / after[-place]).item()
        where = f"with theta {theta:.0f}, dim {dim} and factor {factor:g}"
        told = f"{where} the {hand.strip()} became {slower:.4g} times slower, not {factor:g} times"
        faults.append(said(math.isclose(slower, factor, rel_tol=1e-3), told))
    return first_fault(*faults)


def seeded_stretched_base(seed: int) -> dict:
    """Which hand becomes exactly `factor` times slower."""
    which = chosen(seed, SLOWEST)
    place = SLOWEST.index(which) + 2
    task = f"Return the base with which the {which} slowest hand is exactly `factor` times slower."
    worked = WORKED_BASE.replace("the slowest hand, so", f"the {which} slowest, so").replace("[-1]", f"[-{place}]")
    return {
        "task": task,
        "text": f"There is a third way to longer text: leave the formula and raise the base, so that the **{which} "
        "slowest** hand becomes exactly `factor` times slower while the fastest keeps its speed, and all others are "
        "stretched more the slower they are. Which base does it?",
        "hints": (
            f"Write down the speed of the {which} slowest hand, with its exponent as a fraction of dim. Then the same "
            "with the new base, and set them in the ratio that is asked.",
            "*theta · factor is nearly right*: that hand's exponent is less than 1, so the base must grow by more than "
            f"the factor. The slowest hand has i = dim/2 − 1. Which i has the {which} slowest?",
            f"new^((dim − {2 * place})/dim) = factor · theta^((dim − {2 * place})/dim); solve for new.",
        ),
        "starter": f'''def stretched_base(theta, dim, factor) -> float:
    """The base that makes the {which} slowest of the dim/2 hands `factor` times slower and leaves the fastest."""
    raise NotImplementedError("{task}")''',
        "answers": {"stretched_base": partial(judge_stretched_base, place=place)},
        "worked": worked,
    }


HANDS_ROUND = {
    34: "nearly: the first hand has i = 0 and counts as well",
    36: "one too many: that hand needs a few tokens more than 8,192",
    43: "that many turn by one radian; a turn is 2π of them",
    44: "that many turn by one radian; a turn is 2π of them",
    17: "that is a head of 64 numbers, here it has 128; and the first hand has i = 0 and counts",
    18: "that is a head of 64 numbers; here it has 128",
    29: "those are the hands that do not get round",
    50: "that is the base 10,000; the same model has 500,000",
    64: "that is all of them: is the 2 in your exponent, 2i/128?",
}


def judge_hands_round(answer) -> str:
    if isinstance(answer, float) and math.isfinite(answer) and answer != round(answer):
        return "hands are counted, in whole numbers: if that is the greatest i, hands 0, 1, 2 … up to it get round"
    return typed_number(35, 1e-9, HANDS_ROUND)(answer)


component.exercises = (
    Exercise(
        **own(turn_hands, "Turn every vector of x to its position, all hands at once."),
        text="The loop above, without a loop. Write `turn_hands(x, speeds)`: vector n of x (seq, dim) stands at "
        "position n, and its hand i turns by n · speeds[i]. Hand i is the numbers i and i + dim/2.",
        difficulty=2, importance=5, minutes=10,
        hints=(
            "The loop knows one angle, one up and one right at a time. Which shape has each of the three when there "
            "are all positions and all hands at once?",
            "*My sizes do not match*: angles need both axes, (seq, pair), so every position must meet every speed. "
            "*Only position 0 is right*: compare your two new halves with `turn`, sign by sign; and is number 0 "
            "paired with number 1, or with the first of the second half?",
            "angles = positions × speeds, (seq, pair) → their cosines and sines → up and right = the halves of x, "
            "each (seq, pair) → new up and new right, as `turn` makes them → join them, all of up first.",
        ),
        answers={"turn_hands": component.parts["turn_hands"]},
        why="That is a whole rotary embedding. What follows gives it more axes, and a place to keep the speeds.",
    ),
    Exercise(
        **own(halves_turned, "Turn every hand of x by a quarter."),
        text="Write `halves_turned(x)`, for x with any axes before the last: every hand (up, right) becomes "
        "(−right, up). Hand i is the numbers i and i + dim/2.",
        difficulty=1, importance=3, minutes=4,
        hints=(
            "Nothing is computed but a sign: the halves only change places.",
            "*My hands go from twelve to nine*: the minus belongs to the half that comes to stand in front. *It fails "
            "with heads*: a pattern may begin with `...`, for all axes before.",
            "Cut x into up and right → minus right → join the two, minus right first.",
        ),
        answers={"halves_turned": component.parts["halves_turned"]},
        why="Most published code turns with this function: x · cos + rotate_half(x) · sin.",
    ),
    Exercise(
        name="rotate", kind="implement", difficulty=3, importance=5, minutes=12,
        task="Turn every pair (i, i + dim/2) of x by its angle.",
        hints=(
            "Your `turn_hands` does it for x (seq, dim). What must its patterns begin with, so that x may have more "
            "axes? And cos and sin are given now.",
            "*The size of tensor a (3) must match the size of tensor b (2)*: 3 are the heads, which x may have between "
            "batch and seq. cos and sin, (seq, pair) or (batch, seq, pair), lack that axis, so their batch is set "
            "beside x's heads. Give them an axis of length 1 for each axis that they lack there. If sizes do match "
            "and the numbers are wrong from position 1 on, look at the order of the two words in your pattern: "
            "`(two pair)` or `(pair two)`?",
            "cos, sin → x's dtype, with 1s for the heads → first, second = the halves → new first = first · cos − "
            "second · sin → new second = second · cos + first · sin → join, first half first.",
        ),
    ),
    Exercise(
        **own(BareRotary, "Keep the speeds of dim/2 hands.", "__init__"),
        text="The bare module, first half: keep the speeds of its dim/2 hands. Hand i turns theta^(−2i/dim) radians a "
        "token.",
        difficulty=1, importance=4, minutes=4,
        hints=(
            "The lesson made 32 speeds for 64 numbers and the base 10,000. What becomes of 64, 32 and 10,000?",
            "*An AttributeError about `_backward_hooks`*: a module begins with `super().__init__()`. *Too "
            "fast, all but hand 0*: look for the 2 and the minus in the exponent; the first i is 0.",
            "first the call of `super` → a tensor of theta to the power −2i/dim, for i = 0 … dim/2 − 1, kept in self.",
        ),
        answers={"BareRotary": component.parts["BareRotary"]},
        why="No weights: speeds are set, not learned.",
    ),
    Exercise(
        **own(BareRotary, "Turn x, whose tokens stand at 0, 1, 2 and so on.", "forward"),
        text="The bare module, second half: turn x, whose tokens stand at 0, 1, 2 …, by your `rotate`.",
        difficulty=2, importance=4, minutes=6,
        hints=(
            "`rotate` asks for x and for (cos, sin), each (seq, pair). What are they of?",
            "*rotation must be …*, an error of `rotate`: how many tokens there are stands on the last axis but one, "
            "whatever comes before it. *A score knows more than the distance*: the angle is position times speed.",
            "positions 0 … seq − 1 as floats, each times each speed: the angles → rotate x by their cosines and sines.",
        ),
        answers={"BareRotary": component.parts["BareRotary"]},
        why="Of all that a model adds to it, only scaling changes a number: the rest is for speed and for files.",
    ),
    Exercise(
        name="slow_the_slow_hands", kind="implement", difficulty=4, importance=2, minutes=20,
        task="Keep the fast hands, slow the slow ones by the factor, and blend those between.",
        hints=(
            "How many turns does a hand make in the text that the model was trained on? That number decides.",
            "*The fast hands became slow*: a wavelength is 2π / speed, so a fast hand has a short one and *many* "
            "turns. Many turns (at least `high_freq_factor`) means kept, few means slowed.",
            "turns = trained length / wavelength → keep = (turns − low) / (high − low), held between 0 and 1 → "
            "keep of the speed as it was, and the rest of it divided by the factor.",
        ),
    ),
    Exercise(
        name="rotary_frequencies", kind="implement", difficulty=3, importance=4, minutes=15,
        task="Compute the speeds, slowed as the scaling says; return them and the attention factor.",
        hints=(
            "First without any scaling: a hand that needs 10 tokens for one radian turns a tenth of a radian a token. "
            "Who knows the tokens? And what does hand 1 turn for dim = 4?",
            "*My slowest hand is much too fast*: `tokens_per_radian` gives tokens, and a speed is one divided by them. "
            "*`theta` is missing*, or *my speeds are a pair*: yarn takes the base as well, and gives back the speeds "
            "with the attention factor; the other functions give the speeds alone, and their factor is 1.",
            "refuse an odd dim and a base that is not positive, with `check_even` and `check_number` → speeds = 1 / "
            "tokens per radian → ask `check_scaling` for the kind and its numbers → yarn, of the speeds, the base and "
            "the numbers, gives both results → any other kind: its function in `SCALINGS`, of the speeds and the "
            "numbers, gives the speeds; with them goes 1.0.",
        ),
    ),
    Exercise(
        name="LlamaRotaryEmbedding.angles", kind="implement", difficulty=2, importance=4, minutes=8,
        task="Return cosines and sines of position times speed, times the attention factor.",
        hints=(
            "Every position meets every hand: the result has one axis more than `positions`.",
            "*My sizes do not match*: positions are (seq) or (batch, seq). Give them a last axis of 1, with a pattern "
            "that begins with `...`, and the hands line up along it.",
            "angles = positions as floats, with a 1 at the end, times inv_freq on the same device → the pair of "
            "their cosines and sines, each times the attention factor.",
        ),
    ),
    Exercise(
        name="LlamaRotaryEmbedding.forward", kind="implement", difficulty=1, importance=4, minutes=5,
        task="Turn x to the positions, counting from 0 where none are given.",
        hints=(
            "Two parts are ready: one makes the rotation, the other turns.",
            "*It works on short text and fails on a GPU*, or *position 0 is not left alone*: make the positions on x's "
            "device, and count them along seq, the last axis but one, from 0.",
            "where positions are None: 0 … seq − 1 → check them → rotate x by the angles of the positions.",
        ),
    ),
    Exercise(
        name="slowest_turn", kind="predict", difficulty=2, importance=4, minutes=5,
        title="The slowest hand of Llama 3",
        text="Llama 3.1 8B has heads of 128 numbers and the base 500,000. In how many tokens does its slowest hand "
        "turn once round? Within one per cent.",
        task="Type the number of tokens in which the slowest of 64 hands turns once.",
        hints=(
            "Which i has the slowest hand, and how fast does it turn?",
            "*I get 500,000, or a sixth of what is right*: the slowest hand has i = 63, not 64, and a turn is 2π "
            "radians, not one.",
            "the last i and dim give the exponent → the base to that power is the speed, radians a token → how many "
            "such steps make a whole turn?",
        ),
        starter="slowest_turn = ...  # tokens",
        answers={
            "slowest_turn": typed_number(
                2 * math.pi * 500000 ** (126 / 128),
                0.01,
                {
                    500000.0: "500,000 is the base; the slowest hand has i = 63, and a turn is 2π radians",
                    2 * math.pi * 500000: "that is i = 64; the hands are counted from 0, so the last is 63",
                    500000 ** (126 / 128): "that many tokens turn it by one radian; a turn is 2π of them",
                    2 * math.pi * 500000 ** (62 / 64): "that is a head of 64 numbers; here it has 128",
                    2 * math.pi * 500000 ** (63 / 128): "the exponent is 2i/dim: you left out the 2",
                    500000 ** (126 / 128) / (2 * math.pi): "you divided by 2π: a turn is 2π radians, and takes longer",
                    500000 ** (-126 / 128): "that is its speed, radians a token; asked is how many tokens make a turn",
                    2 * math.pi * 500000 ** (-126 / 128): "the exponent of the speed is negative; a turn is 2π / speed",
                    360 * 500000 ** (126 / 128): "speeds are radians a token, so a turn is 2π of them, not 360",
                    2 * math.pi * 10000 ** (126 / 128): "that is the base 10,000; here it is 500,000",
                },
            )
        },
        solution="slowest_turn = 2 * math.pi * 500000 ** (2 * 63 / 128)",
        why="More than two and a half million tokens: in a text of 8,192 that hand hardly moves, which is why it is "
        "free to tell of meaning rather than of place.",
    ),
    Exercise(
        name="hands_round", kind="predict", difficulty=3, importance=3, minutes=8,
        title="How many hands get round?",
        text="The same model was trained on texts of 8,192 tokens. How many of the 64 hands of a head turn at least "
        "once round within such a text?",
        task="Type how many of 64 hands turn at least once in 8,192 tokens.",
        hints=(
            "A hand gets round if its wavelength is at most 8,192 tokens.",
            "*I get 43 or 44*: that asks for one radian, and a turn is 2π of them. *I am off by one*: the first hand "
            "has i = 0 and counts.",
            "2π · 500,000^(2i/128) ≤ 8,192; take logarithms, solve for i, and count from 0.",
        ),
        starter="hands_round = ...  # a whole number",
        answers={
            "hands_round": judge_hands_round,
        },
        solution="hands_round = sum(2 * math.pi * 500000 ** (2 * i / 128) <= 8192 for i in range(64))",
        why="29 of 64 hands never went round in training. Where they point in longer text the model has never seen: "
        "that is what the scalings are for.",
    ),
    Exercise(
        name="two_hands_score", kind="predict", difficulty=2, importance=3, minutes=5,
        title="Two hands, 100 tokens apart",
        text="A vector of 4 numbers has two hands. The base is 10,000. Query and key are the same vector (1, 1, 0, 0), "
        "both hands at twelve, 100 tokens apart. What is their score, the **sum** over both hands, to two places?",
        task="Type the score of (1, 1, 0, 0) with itself, 100 tokens apart: the sum over both hands, not the mean.",
        hints=(
            "How far does each hand turn in 100 tokens? A score of a hand with itself is the cosine of its turn.",
            "*I get 2 · cos 100*: the second hand is slower. With dim = 4 its exponent is 2/4.",
            "the speeds of hands 0 and 1 → 100 times each, in radians → the sum of the two cosines.",
        ),
        starter="two_hands_score = ...  # your number",
        answers={
            "two_hands_score": typed_number(
                math.cos(100) + math.cos(1),
                0.01,
                {
                    2 * math.cos(100): "the second hand is slower: 10,000^(−2/4) is a hundredth of a radian a token",
                    math.cos(100) + math.cos(10): "10,000^(−2/4) is 0.01, not 0.1",
                    math.cos(math.radians(100)) + math.cos(math.radians(1)): "the angles are radians, not degrees",
                    math.cos(100): "that is the fast hand alone; the slow one scores as well",
                    math.cos(1): "that is the slow hand alone; the fast one scores as well",
                    2 * math.cos(1): "only the second hand is so slow; the first turns one radian a token",
                    math.cos(100) + math.cos(0.01): "the second hand's exponent is 2i/dim with i = 1, which is 2/4",
                    math.sin(100) + math.sin(1): "those are the sines, how far right; a score takes the cosines",
                    math.cos(1) + math.cos(0.01): "that is one token apart; here it is 100",
                    (math.cos(100) + math.cos(1)) / 2: "that is the mean; a dot product is the sum over both hands",
                },
            )
        },
        solution="two_hands_score = math.cos(100 * 1) + math.cos(100 * 10000 ** (-2 / 4))",
        why="The fast hand has made nearly sixteen turns and looks near; the slow one, one radian on, says otherwise.",
    ),
    Exercise(
        name="mended_rotate", kind="find the bug", difficulty=2, importance=4, minutes=10,
        title="Right at position 0, and too long or too short elsewhere",
        text="A model with this function trains, a little worse than it should. Position 0 is perfect. Mend it, and "
        "write the **probe** that exposes it without knowing the right answer: a law that every turn keeps.",
        task="Say whether a function keeps the length of the vectors that it turns.",
        hints=(
            "Turn (1, 0) by a quarter on paper, with the function as it stands. Then turn (0, 1).",
            "*My probe says True of the broken one*: at position 0 nothing turns, so it cannot fail there; and for a "
            "vector with one half zero the mistake does not show. Take random vectors at positions from 1 on.",
            "Set both halves beside those of the lesson's `turn`, sign by sign: how many minus signs has a turn? The "
            "probe compares the norms along the last axis before and after.",
        ),
        starter='''def mended_rotate(x, rotation):
    """Turn every pair (i, i + dim/2) of x; rotation is (cos, sin), each (seq, dim/2). It has a mistake: mend it."""
    cos, sin = rotation
    up, right = x.chunk(2, dim=-1)
    return torch.cat([up * cos - right * sin, right * cos - up * sin], dim=-1)


def keeps_lengths(turn) -> bool:
    """Whether turn(x, rotation) leaves the length of every vector of x (seq, dim) as it was."""
    raise NotImplementedError("Say whether a function keeps the length of the vectors that it turns.")''',
        answers={
            "mended_rotate": component.like("mended_rotate", "rotate", without=("rows", "bfloat16")),
            "keeps_lengths": judge_length_probe,
        },
        solution='''def mended_rotate(x, rotation):
    cos, sin = rotation
    up, right = x.chunk(2, dim=-1)
    return torch.cat([up * cos - right * sin, right * cos + up * sin], dim=-1)


def keeps_lengths(turn) -> bool:
    x = torch.randn(7, 8, generator=torch.Generator().manual_seed(0))
    angles = torch.arange(7.0)[:, None] * torch.tensor([1.0, 0.5, 0.1, 0.01])
    turned = turn(x, (angles.cos(), angles.sin()))
    return torch.allclose(turned.norm(dim=-1), x.norm(dim=-1), atol=1e-4)''',
        why="With two minus signs the map is a reflection mixed with a stretch, not a turn. A law needs no right "
        "answer to compare with: lengths stay.",
    ),
    Exercise(
        name="mended_scores", kind="find the bug", difficulty=2, importance=4, minutes=12,
        title="The same two words, the same distance, another score",
        text="With these scores a model learns, but worse: the same two words at the same distance score one thing at "
        "the beginning of a text and another at its end. Mend them, and write the **probe**.",
        task="Say whether scores depend on how far apart query and key stand, and on nothing else of their places.",
        hints=(
            "What is turned, and what is not?",
            "*My probe says True of the broken one*: move **all** positions by the same number, some tens of tokens, "
            "and compare all scores; moved by nothing, nothing can show.",
            "The probe: random q and k at positions 0 … 6 and the same at 50 … 56; the scores must agree to a small "
            "tolerance.",
        ),
        starter='''def mended_scores(q, k, rotation):
    """The score of every query and key, each (seq, dim), with positions turned in. It has a mistake: mend it."""
    return einsum(rotate(q, rotation), k, "query dim, key dim -> query key")


def knows_distance_only(scores) -> bool:
    """Whether scores(q, k, rotation) stay the same when all positions move; rotation is (cos, sin), (seq, dim/2)."""
    raise NotImplementedError("Say whether scores depend on the distance of query and key, not on their places.")''',
        answers={"mended_scores": judge_mended_scores, "knows_distance_only": judge_distance_probe},
        solution='''def mended_scores(q, k, rotation):
    return einsum(rotate(q, rotation), rotate(k, rotation), "query dim, key dim -> query key")


def knows_distance_only(scores) -> bool:
    draw = torch.Generator().manual_seed(0)
    q, k = torch.randn(7, 8, generator=draw), torch.randn(7, 8, generator=draw)
    speeds = torch.tensor([1.0, 0.3, 0.1, 0.02])
    here, there = (torch.arange(start, start + 7.0)[:, None] * speeds for start in (0, 50))
    one, other = (scores(q, k, (angles.cos(), angles.sin())) for angles in (here, there))
    return torch.allclose(one, other, atol=1e-3)''',
        why="Only where both are turned does the turn of the one cancel against the turn of the other, up to their "
        "distance. Values are never turned: what a word tells must not depend on where it stands.",
    ),
    Exercise(
        name="mended_frequencies", kind="find the bug", difficulty=2, importance=4, minutes=8,
        title="Works from scratch, babbles with published weights",
        text="A model trained with these frequencies is as good as any. Given published weights it writes a few good "
        "words and then nonsense. The check says when yours are the published ones.",
        task="Mend the frequencies: hand i turns theta^(−2i/dim).",
        hints=(
            "Compute the first three speeds for dim = 6 and theta = 1,000 by hand: they should be 1, 0.1 and 0.01.",
            "*Only the first is right now*: at i = 0 every wrong exponent gives 1. Compare hand 1.",
            "The exponent of hand i is 2i/dim. What does `arange(dim // 2)` count?",
        ),
        starter='''def mended_frequencies(dim, theta=10000.0):
    """The speed of each of the dim/2 hands, in radians a token (float32). It has a mistake: mend it."""
    hand = torch.arange(dim // 2).float()
    return theta ** (-hand / dim)''',
        answers={
            "mended_frequencies": component.like(
                "mended_frequencies", "rotary_frequencies",
                without=("factor", "linear", "spellings", "llama3", "yarn"), adapt=adapt_speeds,
            )
        },
        solution='''def mended_frequencies(dim, theta=10000.0):
    hand = torch.arange(dim // 2).float()
    return theta ** (-2 * hand / dim)''',
        why="Without the 2 the slowest hand is nearly a hundred times too fast. Nothing in training tells: the weights "
        "learn around it. Weights that were trained with other hands do not.",
    ),
    Exercise(
        name="rotate_part", kind="transfer", difficulty=3, importance=3, minutes=15, title="Turn a part only",
        text="Some models turn only the first numbers of a head and leave the others free of position. Write it. Then "
        "say which laws still hold for the whole vector: `identity at 0`, `length`, `distance only` (the score of two "
        "vectors depends on how far apart they are).",
        task="Turn the first 2 · pair numbers of x and leave the others as they are.",
        hints=(
            "How many numbers are to be turned stands in the rotation: cos has one for each pair.",
            "*My sizes do not match*, or *it agrees only where all is turned*: number i is paired with i + pair "
            "**within the turned part**, not with i + dim/2.",
            "Cut x into the part that is turned and the part that is not, turn the first with `rotate`, put the two "
            "together. For the laws: a score is a sum over the two parts.",
        ),
        starter='''def rotate_part(x, rotation):
    """Turn the first numbers of x (..., seq, dim); rotation is (cos, sin), each (seq, pair) with pair ≤ dim/2."""
    raise NotImplementedError("Turn the first 2 · pair numbers of x and leave the others as they are.")


laws_that_hold = ...  # a set, such as {"length"}''',
        answers={"rotate_part": judge_rotate_part, "laws_that_hold": judge_law},
        worked=WORKED_PART, seeded=seeded_rotate_part,
    ),
    Exercise(
        name="stretched_base", kind="transfer", difficulty=4, importance=2, minutes=15,
        title="Longer text by another base",
        text="There is a third way to longer text: leave the formula and raise the base, so that the **slowest** hand "
        "becomes exactly `factor` times slower while the fastest keeps its speed, and all between are stretched more "
        "the slower they are. Which base does it?",
        task="Return the base with which the slowest hand is exactly `factor` times slower.",
        hints=(
            "Write down the speed of the slowest hand, with its exponent as a fraction of dim. Then the same with the "
            "new base, and set them in the ratio that is asked.",
            "*theta · factor is nearly right*: the last exponent is (dim − 2)/dim, not 1, so the base must grow by a "
            "little more than the factor.",
            "new^((dim − 2)/dim) = factor · theta^((dim − 2)/dim); solve for new.",
        ),
        starter='''def stretched_base(theta, dim, factor) -> float:
    """The base that makes the slowest of the dim/2 hands `factor` times slower and leaves the fastest."""
    raise NotImplementedError("Return the base with which the slowest hand is exactly `factor` times slower.")''',
        answers={"stretched_base": judge_stretched_base},
        worked=WORKED_BASE, seeded=seeded_stretched_base,
    ),
)  # fmt: skip
