"""The gated MLP: what must hold of it, the way to it, what goes wrong in it, and its exercises.

A subject is called as mlp(x, weights, **fields): weights by the names that are published, further fields of the config.
What the lesson does not export, weights that multiply, is called as multiplies(x, one, other).
"""

import inspect
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F

from ...config import LlamaConfig
from ...mlp import LlamaMLP
from ..course.exercise import Exercise, chosen, first_fault, own, same_tensor, typed_number
from ..judge.guard import Fault, call
from ..judge.parts import Cases, Component, Step
from ..judge.steps import BUILT
from ..judge.subjects import built, normal, reached, run_with, tells_gradient

component = Component("mlp")


def named(gate, up, down) -> dict:
    """Three matrices by the names under which they are published."""
    return {"gate_proj.weight": gate, "up_proj.weight": up, "down_proj.weight": down}


def weights(seed: int, hidden: int = 6, inner: int = 11, **kind) -> dict:
    """Random matrices of an MLP, by name."""
    shapes = (inner, hidden), (inner, hidden), (hidden, inner)
    return named(*(normal(seed + i, *shape, **kind) for i, shape in enumerate(shapes)))


# ------------------------------------------------------------------------------------------------- what must hold

CASES = Cases()


def runs(name: str, says: str, x, weights: dict, tolerance: float = 3e-4, **fields):
    """Enter the case `name`: what the MLP makes of x with these weights."""
    CASES(says, "seq dim", tolerance=tolerance)(lambda mlp: mlp(x, weights, **fields)).__name__ = name


WORDS = torch.tensor([[-2.0, -2], [2, 2], [1, -1], [-2, 2], [2, -2], [3, 1]])
PAPER = named(torch.tensor([[1, 0.5]]), torch.tensor([[-0.5, 1]]), torch.tensor([[1.0], [-2]]))
NOTHING = torch.zeros(11, 6)
runs("one_unit", "one hidden unit, as on paper", WORDS, PAPER)
runs("gate_of_zero", "a gate of 0 lets nothing through", normal(1, 5, 6), weights(2) | {"gate_proj.weight": NOTHING})
runs("offer_of_zero", "an offer of 0 writes nothing", normal(5, 5, 6), weights(6) | {"up_proj.weight": NOTHING})
runs("many_units", "many units: each writes along its own column of down", normal(9, 5, 6), weights(10))


BEND = "Twice the offer does not give twice the output: something bends, replaces or adds to what up gives."


@CASES("twice the offer, twice the output", "seq dim", tell=lambda found, wanted: BEND)
def linear_in_up(mlp):
    x, once = normal(13, 5, 6), weights(14)
    return mlp(x, once | {"up_proj.weight": 2 * once["up_proj.weight"]}) - 2 * mlp(x, once)


LEAK = "I edited token 3 alone, and others moved too: they share something."


@CASES("each token alone", "batch seq dim", tell=lambda found, wanted: LEAK)
def alone(mlp):
    x, given = normal(18, 2, 7, 6), weights(19)
    moved = mlp(x + torch.eye(7)[3, :, None], given) - mlp(x, given)
    return torch.cat([moved[:, :3], moved[:, 4:]], dim=1)


LARGE = named(torch.tensor([[200.0, -200]]), torch.ones(1, 2), torch.ones(2, 1))
runs("large_scores", "scores of 200 and −200 stay numbers", torch.eye(2), LARGE)


@CASES("any number of axes may stand before the last")
def any_axes(mlp):
    given = weights(23)
    return tuple(mlp(normal(26, *shape), given) for shape in ((6,), (1, 6), (2, 1, 5, 6)))


BIASES = {name.replace("weight", "bias"): normal(27, len(weight)) for name, weight in weights(28).items()}
runs("biases", "mlp_bias: gate, up and down have biases", normal(31, 5, 6), weights(28) | BIASES)
runs("other_biases", "attention_bias brings none here", normal(32, 5, 6), weights(33), attention_bias=True)
HALF, DOUBLE = {"dtype": torch.bfloat16}, {"dtype": torch.float64}
runs("bfloat16", "bfloat16 comes back as bfloat16", normal(36, 5, 6, **HALF), weights(37, **HALF), tolerance=2e-2)
runs("float64", "float64 comes back as float64", normal(40, 5, 6, **DOUBLE), weights(41, **DOUBLE))


@CASES("gradients reach the input and all three matrices", tolerance=1e-3, tell=tells_gradient)
def gradients(mlp):
    x, given = normal(44, 5, 6).requires_grad_(), {name: each.requires_grad_() for name, each in weights(45).items()}
    return reached((mlp(x, given) * normal(48, 5, 6)).sum(), x=x, **given)


runs("whole", "300 tokens, 24 wide, 64 units", normal(49, 300, 24), weights(50, 24, 64))


def adapt(kind):
    """A class as the subject of the cases."""

    def mlp(x, weights, **fields):
        inner, hidden = weights["gate_proj.weight"].shape
        sizes = {"hidden_size": hidden, "intermediate_size": inner, "num_attention_heads": 1, "head_dim": 2}
        module = built(kind, LlamaConfig(sizes, mlp_bias="gate_proj.bias" in weights, **fields))
        return run_with(module.to(x.dtype), weights, x)

    return mlp


def as_function(kind):
    """The same, where an answer is a function of x and the three matrices; all else is still a class."""
    return adapt(kind) if inspect.isclass(kind) else lambda x, weights: call(kind, x, *weights.values())


def as_bend(kind):
    """The same, where an answer is the bend alone."""

    def mlp(x, weights):
        gate, up, down = weights.values()
        return F.linear(call(kind, F.linear(x, gate)) * F.linear(x, up), down)

    return adapt(kind) if inspect.isclass(kind) else mlp


GATE, BENT, UP = "gate(x)", "silu(gate(x))", "up(x)"
PRODUCT, DOWN = "silu(gate(x)) · up(x)", "down of the product"


def steps(x, weights, **fields):
    """What is computed on the way, in its order."""

    def through(name, x):
        return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    gate, up = through("gate_proj", x), through("up_proj", x)
    product = F.silu(gate) * up
    return [
        Step(GATE, gate, (), axes="seq inner"),
        Step(BENT, F.silu(gate), (GATE,), axes="seq inner"),
        Step(UP, up, (), axes="seq inner"),
        Step(PRODUCT, product, (BENT, UP), axes="seq inner"),
        Step(DOWN, through("down_proj", product), axes="seq dim"),
    ]


def step_of_bend(x, weights):
    """The one step that an answer can take which is the bend alone."""
    return [replace(step, after=()) for step in steps(x, weights) if step.name == BENT]


component.part(LlamaMLP, adapt, CASES, steps)


# What no lesson exports: weights with which two units multiply.


def product_weights(dim, one, other):
    """(gate, up, down): the MLP of that width puts x[one] · x[other] into place 0, and 0 into every other place."""
    gate, up, down = torch.zeros(2, dim), torch.zeros(2, dim), torch.zeros(dim, 2)
    gate[0, one], gate[1, one] = 1, -1
    up[0, other], up[1, other] = 1, -1
    down[0] = 1
    return gate, up, down


PRODUCTS = Cases()


def multiplied(name: str, says: str, x, one: int = 0, other: int = 1):
    """Enter the case `name`: what comes out at these inputs."""
    PRODUCTS(says, "seq dim", tolerance=1e-4)(lambda multiplies: multiplies(x, one, other)).__name__ = name


multiplied("on_paper", "−4 times 5, beside a 7", torch.tensor([[-4.0, 5, 7]]))
multiplied("both_signs", "2 times 3, with every sign", torch.tensor([[2.0, 3], [-2, 3], [2, -3], [-2, -3]]))
multiplied("nothing", "0 times anything", torch.tensor([[0.0, 5], [5, 0]]))
multiplied("other_places", "places 3 and 1 of five, multiplied into place 0", normal(54, 9, 5), 3, 1)
multiplied("squared", "a place times itself", normal(55, 9, 3), 2, 2)
multiplied("whole", "many random pairs", 3 * normal(56, 200, 4), 0, 3)


def adapt_weights(answer):
    """A function that gives three matrices, as what the MLP makes with them."""

    def multiplies(x, one, other):
        dim, given = x.shape[-1], call(answer, x.shape[-1], one, other)
        if not isinstance(given, tuple | list) or not all(isinstance(each, torch.Tensor) for each in given):
            raise Fault(f"It should return three matrices, gate, up, down; got {type(given).__name__}.")
        shapes = [tuple(each.shape) for each in given]
        inner = shapes[0][0] if shapes and shapes[0] else 2
        if shapes != [(inner, dim), (inner, dim), (dim, inner)]:
            raise Fault(f"gate and up are (units, {dim}), down is ({dim}, units); got {', '.join(map(str, shapes))}.")
        return adapt(LlamaMLP)(x, named(*(each.to(x.dtype) for each in given)))

    return multiplies


component.part(product_weights, adapt_weights, PRODUCTS)


# ------------------------------------------------------------------------------------------------- what goes wrong

SILENT = "None in training, where the loss is as good. Published weights give gibberish."
REFUSED = "Published weights cannot be loaded: a tensor is missing, unknown, or of another shape."
IDLE = "One of the matrices never changes in training: no gradient reaches it."
G, U = "self.gate_proj(x)", "self.up_proj(x)"
S, ALL = f"F.silu({G})", f"F.silu({G}) * {U}"


def bug(name: str, step: str, symptom: str, *edits: dict, says: str):
    component.bug(name, "LlamaMLP", *edits, step=step, symptom=symptom, says=says)


# fmt: off
bug("silu_on_up", BENT, SILENT, {ALL: f"{G} * F.silu({U})"}, {ALL: f"F.silu({U}) * {G}"},
    says="You match silu(up) · gate: they have changed places. Bend what the gate gives; the offer stays straight.")
bug("silu_on_both", PRODUCT, SILENT, {ALL: f"F.silu({G}) * F.silu({U})"},
    says="Both are bent. up is an offer, and passes straight: only the gate goes through silu.")
bug("silu_after_product", BENT, SILENT, {ALL: f"F.silu({G} * {U})"},
    says="You bend the product, silu(gate · up). Twice the offer must give twice the output: bend the gate alone.")
bug("no_silu", BENT, SILENT, {S: G},
    says="Nothing bends: you multiply gate and up as they are. The gate goes through silu first.")
bug("gelu", BENT, SILENT, {"F.silu": "F.gelu"}, {S: f'F.gelu({G}, approximate="tanh")'},
    says="Your gate is GELU, which gives −0.159 at −1; Llama's is SiLU, which gives −0.269. Use F.silu.")
bug("relu", BENT, "A unit whose score is negative for every token never learns again.", {"F.silu": "F.relu"},
    says="Your gate is ReLU: below 0 it is shut for good. SiLU gives −0.269 at −1, and has a slope there.")
bug("sigmoid", BENT, SILENT, {"F.silu": "F.sigmoid"},
    says="Your gate is the sigmoid alone. SiLU is z · sigmoid(z): multiply by the score itself.")
bug("softmax", BENT, SILENT, {S: f"F.softmax({G}, dim=-1)"},
    says="Your gate is a softmax: the units compete for a sum of 1. Each decides alone: F.silu.")
bug("other_sign", BENT, SILENT, {S: f"{G} / (1 + {G}.exp())"},
    says="You divide by 1 + exp(z): the gate shuts where it should open. SiLU is z / (1 + exp(−z)).")
bug("exp_overflows", BENT, "NaN as soon as one score exceeds 88, in float16 already at 12.",
    {S: f"{G} * {G}.exp() / (1 + {G}.exp())"},
    says="exp(z) stands above and below: from z = 89 on, ∞/∞ is NaN. Use z / (1 + exp(−z)), or F.silu.")
bug("sum_for_product", PRODUCT, SILENT, {f") * {U}": f") + {U}"},
    says="Gate and offer are added: with a gate of 0 everything still passes. Multiply them.")
bug("gate_unused", GATE, IDLE, {ALL: f"F.silu({U})"},
    says="There is no gate: you match down(silu(up(x))), a plain MLP of two layers. Multiply up by silu(gate(x)).")
bug("up_unused", UP, IDLE, {ALL: S},
    says="There is no offer: you match down(silu(gate(x))), a plain MLP of two layers. Multiply by up(x).")
bug("gate_twice", UP, IDLE, {U: G},
    says="The gate is multiplied by itself: you match silu(gate) · gate. The other factor is up(x).")
bug("up_twice", GATE, IDLE, {G: U},
    says="The offer decides about itself: you match silu(up) · up. The gate has a matrix of its own.")
bug("down_missing", DOWN, "An error about sizes where the layer adds it to x.", {f"self.down_proj({ALL})": ALL},
    says="You return what passed, as wide as there are units. down leads it back to the hidden size.")
bug("residual_inside", DOWN, "A layer adds x twice. Published weights give gibberish.", {"return ": "return x + "},
    says="You add x inside. The MLP gives only what is new; the layer adds it to x (lesson 07).")
bug("norm_inside", GATE, "None while the norm before it has gain 1. With trained gains the logits are off.",
    *({f"{part}(x)": f"{part}(F.{norm}(x, x.shape[-1:]))" for part in ("gate_proj", "up_proj")}
      for norm in ("rms_norm", "layer_norm")),
    says="You norm x inside: doubling x changed nothing. The layer norms before it calls the MLP (lesson 07).")
bug("tokens_mixed", GATE, "The loss looks better than it should: every token sees later ones.",
    {G: "self.gate_proj(x.mean(-2, keepdim=True))"},
    says="One gate serves all tokens: you average over seq. Each token has its own gate, and sees no other.")
bug("stays_in_float32", BENT, "In bfloat16 an error about dtypes, or everything after it runs in float32.",
    {S: f"F.silu({G}.float())"}, {f"({ALL})": f"({ALL}).float()"},
    says="You went up to float32 and did not come back: x's dtype is needed before down_proj.")
bug("biases_always", BUILT, REFUSED, {"config.mlp_bias": "True"},
    says="The matrices have biases that nobody asked for: nn.Linear makes one unless told. Pass bias=config.mlp_bias.")
bug("biases_never", BUILT, "None with Llama. A model that has biases is refused.", {"config.mlp_bias": "False"},
    says="With mlp_bias there are no biases in yours. Pass bias=config.mlp_bias to all three.")
bug("biases_of_attention", BUILT, REFUSED, {"config.mlp_bias": "config.attention_bias"},
    says="Your biases hang on attention_bias, which is for q, k, v and o. Here it is mlp_bias.")
bug("no_bias_in_down", BUILT, REFUSED, {"hidden, bias=bias": "hidden, bias=False"},
    says="down_proj has no bias in yours. mlp_bias is for all three matrices.")
bug("four_times_as_wide", BUILT, REFUSED, {"config.intermediate_size": "4 * config.hidden_size"},
    says="Your MLP is four times as wide as x, as in papers. How wide it is the config says: intermediate_size.")
bug("turned_round", BUILT, REFUSED, {"hidden, inner, bias =": "inner, hidden, bias ="},
    says="The matrices are turned round: nn.Linear takes what goes in, then what comes out. Gate and up widen.")
bug("metas_names", BUILT, REFUSED,
    {"self.gate_proj =": "self.w1 =", G: "self.w1(x)", "self.up_proj =": "self.w3 =", U: "self.w3(x)",
     "self.down_proj =": "self.w2 =", "return self.down_proj": "return self.w2"},
    says="w1, w3 and w2 are Meta's names. Published files say gate_proj, up_proj and down_proj, in this order.")
OFF = "With these weights the MLP does not multiply, though every shape is right."


def slip(name: str, *edits: dict, says: str):
    component.bug(name, "product_weights", *edits, step="", symptom=OFF, says=says)


TURNED_UP, TURNED_GATE, ADDED = "other] = 1, -1", "one] = 1, -1", "down[0] = 1"
slip("one_unit", {ADDED: "down[0, 0] = 1"}, {"gate[1, one] = 1, -1": "gate[1, one] = 1, 0"},
    says="One unit writes. silu(−4) · 5 is −0.36: the gate leaks, and −20 wants the second unit, which faces it.")
slip("offer_not_turned", {TURNED_UP: "other] = 1, 1"}, {ADDED: "down[0] = torch.tensor([1.0, -1])"},
    says="The two take from each other: (silu(a) + silu(−a)) · b. Both factors of the second unit are turned.")
slip("gate_not_turned", {TURNED_GATE: "one] = 1, 1"},
    says="The two cancel, silu(a) · b + silu(a) · (−b) = 0. Turn the second unit's gate round as well.")
slip("units_alike", {TURNED_GATE: "one] = 1, 1", TURNED_UP: "other] = 1, 1"},
    says="Both units are the same one, so silu(a) · b comes out twice. The second reads −a and −b.")
slip("one_place_twice", {"gate[0, one], gate[1, one]": "gate[0, other], gate[1, other]"},
     {"up[0, other], up[1, other]": "up[0, one], up[1, one]"},
    says="Gate and up read the same place, and make its square. One reads column `one`, the other column `other`.")
slip("places_exchanged", {"gate[1, one] = 1, -1": "gate[1, other] = 1, -1", "up[1, other] =": "up[1, one] ="},
     {"gate[1, one] = 1, -1": "gate[1, other] = 1, -1", "up[1, other] = 1, -1": "up[1, one] = 1, 1"},
    says="In the second unit the places are exchanged: its gate reads what the first one's up reads. Both gates read "
    "the same place, and so do both ups.")
slip("averaged", {ADDED: "down[0] = 0.5"},
    says="Half the product comes out: down adds the two units, it takes no mean. What one leaks the other lacks.")
slip("into_every_place", {ADDED: "down[:] = 1"},
    says="Every place gets the product. Row i of down writes into place i: only row 0 is not 0.")
slip("where_it_was_read", {ADDED: "down[one] = 1"}, {ADDED: "down[other] = 1"},
    says="The product comes out where a factor was read. It belongs into place 0, whatever is read.")
slip("always_the_first_two", {TURNED_GATE: "0] = 1, -1", "gate[0, one]": "gate[0, 0]", TURNED_UP: "1] = 1, -1",
                              "up[0, other]": "up[0, 1]"},
    says="You always multiply places 0 and 1. The columns that gate and up read are `one` and `other`.")
# fmt: on


# ----------------------------------------------------------------------------------------------------- the exercises


WORKED_SQUARES = """def squaring_weights(dim):
    # Score and offer need not be the same. silu(z) − silu(−z) is z itself, as sigmoid(z) + sigmoid(−z) is 1.
    # So two units with scores z and −z and the same offer y, the second taken off, make the product z · y.
    # Here z and y are both x; with other rows the same weights multiply any two numbers that the MLP reads.
    there = torch.eye(dim)
    return torch.cat([there, -there]), torch.cat([there, there]), torch.cat([there, -there], dim=1)"""


def judge_squares(answer, times: int = 1) -> str:
    """The sentence on weights that make so many times the square of each number."""
    faults = []
    for dim in (1, 3, 5):
        given = answer(dim)
        if not isinstance(given, tuple | list) or len(given) != 3:
            return f"squaring_weights should return three matrices: gate, up, down; got {type(given).__name__}"
        x = 3 * normal(dim, 7, dim)
        made = adapt(LlamaMLP)(x, named(*given))
        if torch.allclose(made, times * x * F.silu(x), atol=1e-4):
            return "that is x · silu(x): nearly 0 below 0. Each number needs a second unit, for which x looks positive"
        if torch.allclose(made, times * x * (F.silu(x) + F.silu(-x)), atol=1e-4):
            return (
                "the two units of a number take from each other: turn both factors of the second, score and offer, and "
                "let down add"
            )
        if torch.allclose(made, 2 * times * x * F.silu(x), atol=1e-4):
            return "both units of a number are the same one: the second reads −x, in its gate and in its up"
        if dim > 1 and torch.allclose(made, times * x.square().sum(-1, keepdim=True).expand_as(x), atol=1e-3):
            return "every place holds the same sum of squares: down must bring each unit back to its own place"
        faults.append(same_tensor(f"with your weights the MLP of width {dim}", made, times * x * x))
    return first_fault(*faults)


def seeded_squares(seed: int) -> dict:
    """How many times the square of x comes out."""
    times = chosen(seed, (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12))
    task = f"Give gate, up and down with which the MLP makes {times} · x² of x."
    worked = WORKED_SQUARES.replace("z and y are both x;", f"z is x and y is {times} · x;")
    return {
        "task": task,
        "text": f"Find weights with which `LlamaMLP` makes **{times}** · x² of x: each number comes out as "
        f"{times} times its own square, for every x, without any training. You choose how many units it has.",
        "hints": (
            "One unit whose score and offer are both x gives x · silu(x). For which x is that nearly x²?",
            "*Right for large x and nearly 0 for negative ones*: each number needs a second unit, for which x looks "
            "positive. *Every place holds the same sum*: down must bring each unit back to its own place.",
            "Two units for each number, which face each other as in *Two units that face each other*, with score and "
            f"offer the same. Where can the {times} stand, so that nothing is bent by it?",
        ),
        "starter": f'''def squaring_weights(dim):
    """(gate, up, down): LlamaMLP makes {times} · x² of every x of that width; (inner, dim) twice, (dim, inner)."""
    raise NotImplementedError("{task}")''',
        "answers": {"squaring_weights": partial(judge_squares, times=times)},
        "worked": worked.replace("torch.cat([there, there]),", f"{times} * torch.cat([there, there]),"),
    }


def judge_squared(answer) -> str:
    """The sentence on an MLP whose gate is ReLU, squared."""
    x, given = normal(60, 5, 6), tuple(weights(61).values())
    gate, up, down = given
    score, offer = x @ gate.T, x @ up.T
    found, opened = call(answer, x, *given), F.relu(score)
    wanted = torch.zeros(5, 6)
    for token in range(5):
        for unit in range(11):
            wanted[token] += max(score[token, unit].item(), 0) ** 2 * offer[token, unit] * down[:, unit]
    slips = {
        "silu stands there still: the gate is max(z, 0)²": F.silu(score) * offer,
        "your gate is ReLU, not squared": opened * offer,
        "you squared without ReLU, or before it: a score of −2 opens as wide as 2": score.square() * offer,
        "you squared SiLU, which leaks below 0: ReLU comes first": F.silu(score).square() * offer,
        "you squared the product: square the gate alone, the offer keeps its sign": (opened * offer).square(),
        "the offer passes straight; only the gate is squared": opened.square() * offer.square(),
        "gate and up have changed places": F.relu(offer).square() * score,
        "there is no offer: multiply by up(x)": opened.square(),
    }
    for told, passes in slips.items():
        if isinstance(found, torch.Tensor) and found.shape == x.shape and torch.allclose(found, passes @ down.T):
            return told
    if isinstance(found, torch.Tensor) and found.shape == (5, 11):
        return "you return what passed, as wide as there are units: down leads it back to the width of x"
    return same_tensor("squared_mlp", found, wanted, 1e-4)


BENDING = ("silu_on_up", "silu_on_both", "silu_after_product", "sum_for_product", "up_unused", "residual_inside")
BIASED = ("biases", "other_biases")  # the cases that answers without biases leave out
FIRST, SECOND = float(F.silu(torch.tensor(-1.5))) * 4, float(F.silu(torch.tensor(1.5))) * -4  # −1.095 and −4.905
FACING = {
    FIRST: "that is the first unit alone; the gate of the second is wide open, at 1.226 of its offer −4",
    SECOND: "that is the second unit alone; the first leaks silu(−1.5) of its offer 4",
    FIRST - SECOND: "the second unit's offer is −b = −4, and you took 4",
    2 * SECOND: "a shut gate leaks little: silu(−1.5) is −0.274, and not −silu(1.5)",
    -1.1: "that is the first unit alone; the gate of the second is wide open, at 1.226 of its offer −4",
    FIRST / 4: "that is silu(−1.5), the first gate alone: it multiplies an offer, and a second unit follows",
    SECOND - FIRST: "the second unit's offer is −b = −4, and the first's 4: you took them the other way round",
    2.5: "that is the sum of the two numbers; gate times offer for each unit, then add",
    6: "the sign is lost: at the second unit an open gate has the offer −4",
}
GROWS = {
    2: "that is a linear layer; here three factors read x",
    4: "that is the gate alone; the offer doubles as well",
    6: "factors multiply: four times the gate, twice the offer",
    16: "that squares the offer too; only the gate is squared",
    64: "that squares the product; only the gate is squared",
}
MATRIX = 4096 * 14336
COUNTS = {
    32 * 2 * MATRIX: "that is two matrices; gate, up and down are three",
    3 * MATRIX: "that is one layer; there are 32",
    MATRIX: "that is one matrix; an MLP has three, and there are 32 MLPs",
    32 * MATRIX: "that is one matrix in each layer; gate, up and down are three",
    5.637: "the digits are right; type the number itself, not how many billions",
    32 * 3 * 4096 * 4 * 4096: "that is four times as wide as x; these have 14,336 units",
}
component.exercises = (
    Exercise(
        name="LlamaMLP.forward",
        kind="implement",
        task="Let the gate multiply the offer, and lead it back to x's width.",
        difficulty=1,
        importance=5,
        minutes=5,
        hints=(
            "Three matrices, one bend, one product. Which of the three offers, which decides, and which comes last?",
            "*My sizes do not match*: `down_proj` reads what is `intermediate_size` wide, and x is not. *Only the "
            "numbers are wrong*: gate and up are of one shape, so either can be taken for the other. Which one bends?",
            "g = what `gate_proj` makes of x, bent by SiLU → u = what `up_proj` makes of x, left straight → g · u, "
            "number by number → `down_proj` of that.",
        ),
    ),
    Exercise(
        name="facing_units",
        kind="predict",
        title="Two units that face each other",
        text="An MLP has two units. At the input (a, b) the first has the score a and the offer b, the second −a and "
        "−b. Down adds what the two let through. What comes out at (−1.5, 4)? Do it once through both gates, with "
        "silu(1.5) = 1.226, before you trust a law.",
        task="Type what the two units give together at (−1.5, 4).",
        difficulty=2,
        importance=4,
        minutes=5,
        hints=(
            "You need silu(−1.5) as well, but no further exponential: sigmoid(−z) is 1 − sigmoid(z).",
            "*I get −4.905*: that is the second unit alone; a shut gate leaks. *I get 3.811*: the second unit's offer "
            "is −4, not 4. *I get −9.811*: silu(−1.5) is small, it is not −silu(1.5).",
            "Which unit has which score? Gate times offer for each, then add. And silu(−z) is silu(z) − z.",
        ),
        starter="facing_units = ...  # your number",
        answers={"facing_units": typed_number(-6, 0.002, FACING)},
        solution="facing_units = (1.226 - 1.5) * 4 + 1.226 * -4",
        why="silu(z) − silu(−z) is z: what one gate leaks is just what the other lacks. So two units multiply two "
        "numbers exactly, −1.5 · 4 = −6, however large they are. ReLU and GELU have that law as well, the sigmoid does "
        "not: a gate that multiplies is a score times something whose two sides add up to 1.",
    ),
    Exercise(
        **own(product_weights, "Give gate, up and down of two units that multiply."),
        text="Any two numbers of x, multiplied exactly, without training: write `product_weights(dim, one, other)`. It "
        "gives the three matrices of an `LlamaMLP` of width `dim` whose output holds x[one] · x[other] in place 0 and "
        "0 in every other. It is tried at (−4, 5) and on random numbers.",
        difficulty=2,
        importance=4,
        minutes=12,
        hints=(
            "Two units that face each other. One row of gate and one of up belong to each: which column of them is "
            "not 0?",
            "*At (−4, 5) I get −0.36*: that is one unit. *I get 19.28*: the second unit's offer is not turned. *My "
            "product stands everywhere*: row i of down writes into place i of the output.",
            "Zeros of the right shapes first: (2, dim), (2, dim), (dim, 2). Then 1 and −1 into column `one` of gate "
            "and column `other` of up; and down's first row takes both units as they are.",
        ),
        answers={"product_weights": component.parts["product_weights"]},
        why="A bend alone only fits a product on the range where it was trained; a gate has it among its weights. "
        "What an MLP of 1,536 units can say is sums of such products.",
    ),
    Exercise(
        name="mlp_weights",
        kind="predict",
        title="Where the weights of the 8B model stand",
        text="Llama 3 8B has 32 layers, a width of 4,096, and MLPs of 14,336 units, without biases. How many of its "
        "8.03 billion weights stand in MLPs?",
        task="Type how many weights stand in the MLPs of Llama 3 8B.",
        difficulty=1,
        importance=3,
        minutes=3,
        hints=(
            "How many matrices has an MLP, and how many numbers has one of them?",
            "*I get 3.76 billion*: there is a third matrix. *I get 176 million*: that is one layer.",
            "matrices × width × units × layers",
        ),
        starter="mlp_weights = ...  # how many",
        answers={"mlp_weights": typed_number(32 * 3 * MATRIX, 0.005, COUNTS)},
        solution="mlp_weights = 3 * 4096 * 14336 * 32",
        why="5.64 of 8.03 billion, seven of ten; attention has a sixth, and the two tables an eighth.",
    ),
    Exercise(
        name="mended_mlp",
        kind="find the bug",
        title="Two matrices in one",
        text="Gate and up read the same x, so libraries stack the two and multiply once. So does this MLP. It trains "
        "as well as any, but with published weights it babbles. Mend it, and write the **probe**: a function that is "
        "given a class of MLPs and says whether the offer is bent, which breaks the law of the gate: linear in up.",
        task="Say whether kind(config) makes MLPs whose output is not linear in up.",
        difficulty=2,
        importance=4,
        minutes=12,
        hints=(
            "Which rows of the stack come out first? And why does training not mind?",
            "*My probe says False of every MLP*: a law is tested by changing what it is about. Change `up_proj` alone. "
            "*It says True of one whose gate is ReLU*: do not compare with the lesson's; the law holds for any gate. "
            "*It says False of silu(up) · gate*: a test of products cannot see that one; doubling `up_proj` can. "
            "*An error about a leaf*: change weights under `torch.no_grad()`.",
            "The halves come in the order in which they were stacked. For the probe: one MLP, a random x; once "
            "`up_proj.weight` is doubled, the output must have doubled, rounding apart.",
        ),
        starter='''def mended_mlp(x, gate, up, down):
    """A gated MLP that multiplies by gate and up at once, with a mistake: mend it."""
    both = F.linear(x, torch.cat([gate, up]))
    offer, score = both.chunk(2, dim=-1)
    return F.linear(F.silu(score) * offer, down)


def bends_the_offer(kind) -> bool:
    """Whether the MLPs that kind(config) makes, such as LlamaMLP(config), are not linear in up."""
    raise NotImplementedError("Say whether kind(config) makes MLPs whose output is not linear in up.")''',
        answers={
            "mended_mlp": component.like("mended_mlp", "LlamaMLP", BIASED, as_function),
            "bends_the_offer": component.probe("LlamaMLP", BENDING, ("relu", "gelu", "tokens_mixed")),
        },
        solution="""def mended_mlp(x, gate, up, down):
    both = F.linear(x, torch.cat([gate, up]))
    score, offer = both.chunk(2, dim=-1)
    return F.linear(F.silu(score) * offer, down)


def bends_the_offer(kind) -> bool:
    mlp, x = kind(LlamaConfig(hidden_size=8, num_attention_heads=2, intermediate_size=12)), torch.randn(3, 8)
    with torch.no_grad():
        once = mlp(x)
        mlp.up_proj.weight *= 2
        return not torch.allclose(mlp(x), 2 * once, atol=1e-5)""",
        why="A fresh gate and a fresh up are both random numbers, so training makes of either what it needs. Published "
        "ones have learnt who is who. No test of products would see it: facing units multiply with silu(up) · gate as "
        "well. Doubling up does.",
    ),
    Exercise(
        name="mended_bend",
        kind="find the bug",
        title="The unit that never learns again",
        text="This bend is cheap, and nowhere further than 0.28 from SiLU. But in training more and more units fall "
        "silent for good. Mend it, and write the **probe**: a function that is given a class of MLPs and says whether "
        "a gate can no longer learn while its score is negative.",
        task="Say whether no gradient reaches the gate of MLPs that kind(config) makes while its score is negative.",
        difficulty=3,
        importance=3,
        minutes=12,
        hints=(
            "The lesson's first table shows four slopes of each bend. Whose is 0, and what does that do to the matrix "
            "behind it?",
            "*My probe says False of ReLU*: with random numbers some scores are positive. Choose x and the gate such "
            "that every score is near −1. *It raises an error*: a weight that was not used has the grad None.",
            "z times the sigmoid of z. For the probe: x of ones, every number of `gate_proj.weight` −1/8 where x is 8 "
            "wide; then backward from the sum of the output: is any number of the gate's grad not 0?",
        ),
        starter='''def mended_bend(z):
    """The bend of a gate, number by number, with a mistake: mend it."""
    return z.clamp(min=0)


def stays_shut(kind) -> bool:
    """Whether the gates of MLPs that kind(config) makes get no gradient while their scores are negative."""
    raise NotImplementedError("Say whether no gradient reaches the gate while its score is negative.")''',
        answers={
            "mended_bend": replace(component.like("mended_bend", "LlamaMLP", BIASED, as_bend), steps=step_of_bend),
            "stays_shut": component.probe("LlamaMLP", ("relu", "gate_unused"), ("sigmoid", "silu_on_up", "up_unused")),
        },
        solution="""def mended_bend(z):
    return z * torch.sigmoid(z)


def stays_shut(kind) -> bool:
    mlp = kind(LlamaConfig(hidden_size=8, num_attention_heads=2, intermediate_size=12))
    torch.nn.init.constant_(mlp.gate_proj.weight, -1 / 8)
    mlp(torch.ones(1, 8)).sum().backward()
    return mlp.gate_proj.weight.grad is None or not mlp.gate_proj.weight.grad.any()""",
        why="Where ReLU's slope is 0, no gradient reaches the gate, nor the offer, which is multiplied by 0. What is "
        "shut for every token stays shut. SiLU leaks, and what leaks can learn.",
    ),
    Exercise(
        name="squaring_weights",
        kind="transfer",
        title="An MLP that squares",
        text="Find weights with which `LlamaMLP` squares: each number of x comes out as its own square, for every x, "
        "without any training. You choose how many units it has.",
        task="Give gate, up and down with which the MLP makes x² of x.",
        difficulty=3,
        importance=3,
        minutes=12,
        hints=(
            "One unit whose score and offer are both x gives x · silu(x). For which x is that nearly x²?",
            "*Right for large x and nearly 0 for negative ones*: each number needs a second unit, for which x looks "
            "positive. *Every place holds the same sum*: down must bring each unit back to its own place.",
            "Two units for each number, which face each other as in *Two units that face each other*, with score and "
            "offer the same. `torch.eye` is a matrix that leaves each number in its place.",
        ),
        starter='''def squaring_weights(dim):
    """(gate, up, down) with which LlamaMLP makes x² of every x of that width: (inner, dim) twice, (dim, inner)."""
    raise NotImplementedError("Give gate, up and down with which the MLP makes x² of x.")''',
        answers={"squaring_weights": judge_squares},
        worked=WORKED_SQUARES,
        seeded=seeded_squares,
    ),
    Exercise(
        name="squared_gate",
        kind="transfer",
        title="A gate that is squared",
        text="Some models square ReLU: z becomes max(z, 0)². Build the gated MLP with that for its bend, as a function "
        "of x and the three matrices. Then say what it makes of 2 · x, compared with x: type the factor as `grows_by`. "
        "(SiLU has no such factor.)",
        task="Let max(z, 0)² be the gate, and lead the product back to x's width.",
        difficulty=2,
        importance=3,
        minutes=8,
        hints=(
            "Only one of the three matrices' answers is bent. What happens to it, in which order?",
            "*A negative score opens my gate*: the square forgets the sign, so ReLU comes first. *I get 4*: that is "
            "the gate alone; which other factor sees the doubled x?",
            "score → negative becomes 0 → squared → times the offer → down. For the factor follow 2 · x along this "
            "way: what is doubled, what is squared after it, and do factors add or multiply?",
        ),
        starter='''def squared_mlp(x, gate, up, down):
    """A gated MLP whose gate is max(z, 0)²: x (seq dim), gate and up (inner dim), down (dim inner)."""
    raise NotImplementedError("Let max(z, 0)² be the gate, and lead the product back to x's width.")


grows_by = ...  # how many times as large the output for 2 · x is''',
        answers={"squared_mlp": judge_squared, "grows_by": typed_number(8, 0.001, GROWS)},
        worked="""def squared_mlp(x, gate, up, down):
    # max(z, 0)² is z · relu(z): the score, times what ReLU leaves of it. So three factors read x, and all are straight
    # but for a sign: 2 · x makes each twice as large, and the output 2 · 2 · 2 times. SiLU bends, and has no such law.
    score, offer = F.linear(x, gate), F.linear(x, up)
    return F.linear(score * F.relu(score) * offer, down)


grows_by = 2**3""",
    ),
)
