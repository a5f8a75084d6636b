"""RMSNorm: what must hold of it, the way to it, what goes wrong in it, and its exercises.

A subject is called as norm(x, weight, eps).
"""

from functools import partial

import torch
import torch.nn.functional as F

from ...rms_norm import LlamaRMSNorm, rms_norm
from ..course.exercise import Exercise, chosen, first_fault, own, same_tensor, typed_number
from ..judge.guard import Fault, call, own_line
from ..judge.parts import Cases, Component, Step
from ..judge.subjects import built, normal, own_weights, reached, run_with, tells_gradient

component = Component(
    "rms_norm",
    by_hand={
        "self.weight * F.rms_norm(x, self.weight.shape, eps=self.eps)": "rms_norm(x, self.weight, self.eps)",
    },
)
bug = component.bug
ONES = torch.ones(7)


# ------------------------------------------------------------------------------------------------- what must hold

CASES = Cases()


@CASES("vectors are divided by their root mean square", "batch seq dim")
def divides(norm):
    x = normal(1, 2, 11, 7)
    return norm(3 * (x - x.mean(-1, keepdim=True)), ONES, 1e-6)


@CASES("the mean is not subtracted", "batch seq dim")
def keeps_the_mean(norm):
    return norm(normal(2, 2, 11, 7) + 5, ONES, 1e-6)


@CASES("eps is added to the mean square, inside the root", "batch seq dim")
def eps_inside(norm):
    return norm(0.3 * normal(3, 2, 11, 7), ONES, 0.1)


@CASES("a vector of zeros stays zeros", "batch seq dim")
def zeros(norm):
    return norm(torch.zeros(2, 3, 7), ONES, 1e-5)


@CASES("the gain multiplies each dimension", "batch seq dim")
def gain(norm):
    return norm(normal(4, 2, 11, 7), normal(5, 7), 1e-5)


def _tells_leak(found, wanted):
    return "I edited token 5 alone, and others moved too: they share something."


@CASES("every token is normed alone", "batch seq dim", tell=_tells_leak)
def alone(norm):
    x = normal(6, 2, 11, 7)
    edited = x.clone()
    edited[:, 5] *= 3
    edited[:, 5, 0] += 4
    moved = norm(edited, ONES, 1e-5) - norm(x, ONES, 1e-5)
    return torch.cat([moved[:, :5], moved[:, 6:]], dim=1)


@CASES("311 tokens, with gain and eps", "batch seq dim")
def whole(norm):
    return norm(normal(7, 2, 311, 13) + 0.5, normal(8, 13), 0.1)


@CASES("any number of axes may stand before the last")
def any_axes(norm):
    weight = normal(9, 7)
    return tuple(norm(normal(10, *shape), weight, 1e-3) for shape in ((7,), (5, 7), (2, 3, 5, 7)))


@CASES("bfloat16: squares in float32, and back", "row", tolerance=7e-4)
def bfloat16(norm):
    """How long each output is beside the exact one, so that the rounding of single numbers averages out."""
    x, weight = (normal(11, 23, 577).bfloat16(), torch.ones(577).bfloat16())
    x[:, 0] *= 3
    found = norm(x, weight, 1e-5)
    if found.dtype != torch.bfloat16:
        raise Fault(f"It returned {str(found.dtype).removeprefix('torch.')}, where bfloat16 belongs.")
    exact = rms_norm(x.double(), weight.double(), 1e-5)
    return (found.double() * exact).sum(-1) / exact.square().sum(-1)


@CASES("float16: large vectors do not overflow", "seq dim", tolerance=5e-3)
def float16(norm):
    return norm((300 * normal(12, 5, 17)).half(), torch.ones(17).half(), 1e-5)


@CASES("float64 comes back as float64", "seq dim")
def float64(norm):
    return norm(normal(13, 5, 7, dtype=torch.float64), normal(14, 7, dtype=torch.float64), 1e-5)


@CASES("gradients reach the input and the gain", tolerance=1e-3, tell=tells_gradient)
def gradients(norm):
    x, weight = normal(15, 2, 5, 7).requires_grad_(), normal(16, 7).requires_grad_()
    return reached((norm(x, weight, 1e-3) * normal(17, 2, 5, 7)).sum(), x=x, weight=weight)


OF_CLASS = Cases(CASES)


@OF_CLASS("a fresh norm has gain 1 and eps 1e-5", "seq dim")
def fresh(norm):
    return norm(0.003 * normal(18, 5, 7), None, None)


def adapt_function(function):
    def norm(x, weight, eps):
        return call(function, x, weight, eps)

    return norm


def adapt_class(kind):
    def norm(x, weight, eps):
        module = built(kind, x.shape[-1]) if eps is None else built(kind, x.shape[-1], eps=eps)
        if weight is None:
            own_weights(module, {"weight": torch.ones(x.shape[-1])})
            return call(module, x)
        return run_with(module.to(x.dtype), {"weight": weight}, x)

    return norm


def steps(x, weight, eps):
    """What is computed on the way, in its order."""
    weight = torch.ones(x.shape[-1]) if weight is None else weight
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    mean_square = wide.pow(2).mean(-1, keepdim=True)
    root = (mean_square + (1e-5 if eps is None else eps)).rsqrt()
    normed = (wide * root).to(x.dtype)
    return [
        Step("x²", wide.pow(2), (), waypoint=True, axes="batch seq dim"),
        Step("the mean of the squares", mean_square, axes="batch seq one", inside="rms_norm", shaped=True),
        Step("mean + eps", root**-2, waypoint=True, axes="batch seq one", inside="rms_norm", shaped=True),
        Step("1 / √(mean + eps)", root, waypoint=True, axes="batch seq one", inside="rms_norm", shaped=True),
        Step("x / √(mean + eps)", normed, axes="batch seq dim"),
        Step("the gain times the normed vector", weight * normed, axes="batch seq dim"),
    ]


component.part(rms_norm, adapt_function, CASES, steps)
component.part(LlamaRMSNorm, adapt_class, OF_CLASS, steps)


# ---------------------------------------------------------------------------------- what flows back through a norm


def norm_backward(x, weight, eps, gradient):
    """How the loss moves with x, where `gradient` is how it moves with y = rms_norm(x, weight, eps)."""
    size = torch.sqrt(x.square().mean(dim=-1, keepdim=True) + eps)
    pull = weight * gradient
    shared = (pull * x).mean(dim=-1, keepdim=True)
    return pull / size - x * shared / size**3


BACK = Cases()


@BACK("at (3, 4) the first number sends back what the lesson found", "batch seq dim")
def back_on_paper(backward):
    return backward(torch.tensor([[[3.0, 4.0]]]), torch.ones(2), 0.0, torch.tensor([[[1.0, 0.0]]]))


@BACK("each number is pulled by all, through the size", "batch seq dim")
def back_shared(backward):
    return backward(normal(30, 2, 11, 7) + 1, ONES, 0.0, normal(31, 2, 11, 7))


@BACK("the gain multiplies what comes back first", "batch seq dim")
def back_gained(backward):
    return backward(normal(32, 2, 11, 7), normal(33, 7), 0.0, normal(34, 2, 11, 7))


@BACK("eps is part of the size", "batch seq dim")
def back_eps(backward):
    return backward(0.3 * normal(35, 2, 11, 7), ONES, 0.1, normal(36, 2, 11, 7))


def _tells_rest(found, wanted):
    return "A gradient along x should vanish, since no step along x changes what is read. Something is left of yours."


@BACK("what pulls along x comes back as 0", "batch seq dim", tell=_tells_rest, degenerate=True)
def back_along(backward):
    x = normal(37, 2, 5, 7)
    return backward(x, ONES, 0.0, 2 * x)


@BACK("every token by itself", "batch seq dim", tell=_tells_leak)
def back_alone(backward):
    x, gradient = normal(38, 2, 11, 7), normal(39, 2, 11, 7)
    edited = gradient.clone()
    edited[:, 5] *= 3
    moved = backward(x, ONES, 1e-5, edited) - backward(x, ONES, 1e-5, gradient)
    return torch.cat([moved[:, :5], moved[:, 6:]], dim=1)


@BACK("311 tokens, with gain and eps", "batch seq dim")
def back_whole(backward):
    return backward(normal(40, 2, 311, 13) + 0.5, normal(41, 13), 0.1, normal(42, 2, 311, 13))


@BACK("any number of axes may stand before the last")
def back_any_axes(backward):
    shapes = ((7,), (5, 7), (2, 3, 5, 7))
    return tuple(backward(normal(43, *shape), normal(44, 7), 1e-3, normal(45, *shape)) for shape in shapes)


def adapt_backward(function):
    def backward(x, weight, eps, gradient):
        with torch.no_grad():  # by hand: nothing is recorded
            return call(function, x, weight, eps, gradient)

    return backward


def steps_back(x, weight, eps, gradient):
    """What is computed on the way back, in its order."""
    size = torch.sqrt(x.square().mean(dim=-1, keepdim=True) + eps)
    pull = weight * gradient
    shared = (pull * x).mean(dim=-1, keepdim=True)
    return [
        Step("the size of each vector", size, (), waypoint=True, axes="batch seq one", shaped=True),
        Step("the gain times the gradient", pull, (), axes="batch seq dim"),
        Step(
            "the mean of that times x", shared, ("the gain times the gradient",), waypoint=True,
            axes="batch seq one", shaped=True,
        ),
        Step(
            "what the size takes away", x * shared / size**3,
            ("the size of each vector", "the mean of that times x"), waypoint=True, axes="batch seq dim",
        ),
        Step(
            "what comes back to x", pull / size - x * shared / size**3,
            ("the size of each vector", "the gain times the gradient", "what the size takes away"),
            axes="batch seq dim",
        ),
    ]  # fmt: skip


component.part(norm_backward, adapt_backward, BACK, steps_back)


# ------------------------------------------------------------------------------------------------- what goes wrong

SILENT = "None; the loss curve looks like that of the right norm."
MEAN, NORMED, GAINED = "the mean of the squares", "x / √(mean + eps)", "the gain times the normed vector"

bug(
    "eps_outside_root", "rms_norm", {"rsqrt(mean_square + eps)": "reciprocal(mean_square.sqrt() + eps)"},
    step=NORMED,
    symptom="None while the vectors are large. Published weights give slightly other logits.",
    says="eps stands outside the square root: with eps = 0.1 you match x / (rms + eps). "
    "Move it inside: x / sqrt(mean(x²) + eps).",
)  # fmt: skip
bug(
    "no_eps", "rms_norm",
    {"mean_square + eps": "mean_square"}, {"torch.rsqrt(mean_square + eps)": "1 / mean_square.sqrt()"},
    step=NORMED,
    symptom="A row of zeros, such as padding, becomes NaN, and NaN spreads to every token that looks at it.",
    says="There is no eps: a vector of zeros gives 0/0. Add eps to the mean square, before the root.",
)  # fmt: skip
bug(
    "eps_left_to_pytorch", "LlamaRMSNorm",
    {"rms_norm(x, self.weight, self.eps)": "self.weight * F.rms_norm(x, self.weight.shape)"},
    {"rms_norm(x, self.weight, self.eps)": "F.rms_norm(x, self.weight.shape, self.weight)"},
    step=NORMED,
    symptom="None while the vectors are large. Published weights give slightly other logits.",
    says="F.rms_norm is not told your eps, so it takes its own, 1.2e-7 in float32. Hand it eps=self.eps.",
)  # fmt: skip
bug(
    "eps_hard_coded", "rms_norm", {"square + eps": "square + 1e-5"}, {"square + eps": "square + 1e-6"},
    step=NORMED,
    symptom="None with the usual eps. A model whose config gives another eps is slightly off.",
    says="The eps you were given is not used: a fixed 1e-5 (or 1e-6) stands in its place. Use eps.",
)  # fmt: skip


def layer_norm(x, weight, eps):
    return F.layer_norm(x, x.shape[-1:], weight, eps=eps)


bug(
    "subtracts_mean", "rms_norm",
    {"    mean_square": "    wide = wide - wide.mean(-1, keepdim=True)\n    mean_square"},
    {"    wide =": "    x = x - x.mean(-1, keepdim=True)\n    wide ="},
    layer_norm,
    step=MEAN,
    symptom=SILENT,
    says="The mean is subtracted: adding 5 to x changed nothing. That is LayerNorm; RMSNorm keeps the mean.",
)  # fmt: skip
bug(
    "sum_for_mean", "rms_norm", {'"mean"': '"sum"'},
    step=MEAN,
    symptom="Training is much slower: every layer reads numbers that are √dim too small.",
    says="The squares are summed, not averaged: your output is √dim too small. Use the mean.",
)  # fmt: skip
bug(
    "eps_in_the_sum", "rms_norm", {"mean_square + eps": "mean_square + eps / x.shape[-1]"},
    {'"mean"': '"sum"', "(wide * inv_rms).to(x.dtype)": "(wide * inv_rms).to(x.dtype) * x.shape[-1] ** 0.5"},
    step=NORMED,
    symptom="None with the usual eps. Small vectors come out larger than they should.",
    says="eps is added to the sum of the squares, or to the length, so that it counts dim times less. Add it to "
    "their mean.",
)  # fmt: skip
bug(
    "divided_after_the_root", "rms_norm",
    {'"mean"': '"sum"', "torch.rsqrt(mean_square + eps)": "x.shape[-1] * torch.rsqrt(mean_square + eps)"},
    {'"mean"': '"sum"', "torch.rsqrt(mean_square + eps)": "1 / (torch.sqrt(mean_square + eps) / x.shape[-1])"},
    step=NORMED,
    symptom="Every layer reads numbers that are √dim too large.",
    says="The sum is divided by dim after the root, where it counts twice: your output is √dim too large. Divide "
    "first, then take the root: that is the root of the mean.",
)  # fmt: skip
bug(
    "no_root", "rms_norm", {"torch.rsqrt(mean_square + eps)": "1 / (mean_square + eps)"},
    step=NORMED,
    symptom="It trains, if not as well. Published weights give gibberish.",
    says="The square root is missing: doubling x halves your output, and it should not change it. "
    "Divide by the root of the mean square.",
)  # fmt: skip
bug(
    "multiplied", "rms_norm", {"torch.rsqrt(mean_square + eps)": "torch.sqrt(mean_square + eps)"},
    step=NORMED,
    symptom="Large vectors come out larger still, and small ones vanish.",
    says="You multiply by the size, where x is divided by it: doubling x makes your output four times as large. "
    "Divide, or take the inverse root, rsqrt.",
)  # fmt: skip
SQUARES = 'reduce(wide * wide, "... dim -> ... 1", "mean")'
bug(
    "square_of_mean", "rms_norm", {SQUARES: 'reduce(wide, "... dim -> ... 1", "mean") ** 2'},
    step=MEAN,
    symptom="Outputs are huge where a vector's mean is near 0.",
    says="You square the mean, in which numbers of both signs cancel. Square first, then take the mean: mean(x²).",
)  # fmt: skip
bug(
    "variance", "rms_norm", {SQUARES: "wide.var(-1, keepdim=True)"},
    step=MEAN,
    symptom=SILENT,
    says="You divide by the variance's root: it differs from the mean square where the mean is not 0, "
    "and var() divides by dim − 1 besides. Square x itself: mean(x²).",
)  # fmt: skip
bug(
    "variance_biased", "rms_norm", {SQUARES: "wide.var(-1, keepdim=True, unbiased=False)"},
    step=MEAN,
    symptom=SILENT,
    says="You divide by the root of the variance, which forgets the mean: it differs from the mean square "
    "where the mean is not 0. Square x itself: mean(x²).",
)  # fmt: skip
bug(
    "over_sequence", "rms_norm",
    {SQUARES: "(wide * wide).mean(1, keepdim=True)"}, {SQUARES: "(wide * wide).mean(-2, keepdim=True)"},
    step=MEAN,
    symptom="The loss is as good or better, because every token sees later ones; a cache gives other logits.",
    says="The mean runs over the sequence: token 0 moved when I edited token 5. Average the last axis, dim.",
)  # fmt: skip
bug(
    "over_everything", "rms_norm", {SQUARES: "(wide * wide).mean()"},
    step=MEAN,
    symptom="Every token sees all others, of other texts too. The loss looks good, generation does not.",
    says="The mean runs over all axes at once, so that tokens share one size. Average the last axis only: "
    "mean(-1, keepdim=True).",
)  # fmt: skip
bug(
    "axis_dropped", "rms_norm",
    {"... dim -> ... 1": "... dim -> ..."}, {"... dim -> ... 1": "... dim -> ...", "wide * inv_rms": "inv_rms * wide"},
    step=MEAN,
    symptom="An error about sizes, or, where they happen to fit, tokens divided by the size of another.",
    says="The mean drops the axis that it runs over, so that sizes no longer line up with their vectors. "
    "Keep it as 1: keepdim=True, or `... dim -> ... 1`.",
)  # fmt: skip
bug(
    "axes_counted", "rms_norm",
    {"... dim -> ... 1": "seq dim -> seq 1"}, {"... dim -> ... 1": "batch seq dim -> batch seq 1"},
    step=MEAN,
    symptom="An error about the number of dims, as soon as a batch, or a single vector, comes in.",
    says="Your pattern counts the axes of x, so that it fits x with just as many. Any number may stand before dim: "
    "write `...` for all of them, `... dim -> ... 1`.",
)  # fmt: skip
bug(
    "gain_ignored", "rms_norm", {"weight * (": "("},
    step=GAINED,
    symptom="None while the gain is 1, as in a fresh model. Trained weights lose what they learned here.",
    says="The gain is not used: I set weight to random numbers and nothing changed. Multiply by it.",
)  # fmt: skip
bug(
    "one_plus_gain", "rms_norm", {"weight * (": "(1 + weight) * ("},
    step=GAINED,
    symptom="The first loss is worse, and published Llama weights give gibberish.",
    says="You multiply by 1 + weight, as Gemma does. Llama's gain is weight itself, which starts at 1.",
)  # fmt: skip
WIDE = "x.to(torch.promote_types(x.dtype, torch.float32))"
bug(
    "squares_in_own_dtype", "rms_norm", {WIDE: "x"},
    {WIDE: "x", "torch.rsqrt(mean_square + eps)": "1 / torch.sqrt(mean_square + eps)"},
    {WIDE: "x", "weight * (wide * inv_rms)": "weight * (wide / torch.sqrt(mean_square + eps))"},
    {WIDE: "x", "weight * (wide * inv_rms)": "weight * wide / torch.sqrt(mean_square + eps)"},
    step=MEAN,
    symptom="In bfloat16 the logits drift; in float16 large vectors turn into zeros.",
    says="The squares are taken in x's own dtype: in bfloat16 the mean square has two good digits, and in "
    "float16 it overflows. Go up to float32 first, and come back before the gain.",
)  # fmt: skip
bug(
    "stays_in_float32", "rms_norm", {"(wide * inv_rms).to(x.dtype)": "wide * inv_rms"},
    {WIDE: "x.float()", "weight * (wide * inv_rms).to(x.dtype)": "weight.float() * wide * inv_rms"},
    step=NORMED,
    symptom="In bfloat16 the next layer refuses its input, or everything runs in float32, at twice the memory.",
    says="You went up to float32 and did not come back: the output must have x's dtype. Add .to(x.dtype).",
)  # fmt: skip


SIZE, PULL, SHARED = "the size of each vector", "the gain times the gradient", "the mean of that times x"
TAKEN, BACK_AT_X = "what the size takes away", "what comes back to x"
MEAN_OF_ALL = "(pull * x).mean(dim=-1, keepdim=True)"
SLOW = "It learns, if more slowly: what is sent back is not the slope of the loss."


def back(name: str, *edits: dict, step, says: str, symptom: str = SLOW):
    component.bug(f"back_{name}", "norm_backward", *edits, step=step, symptom=symptom, says=says)


# fmt: off
back("size_fixed", {" - x * shared / size**3": ""}, step=BACK_AT_X,
     says="The size is held fixed. It grows with every number of x, and what it takes away is missing.")
back("own_number_only", {MEAN_OF_ALL: "pull * x / x.shape[-1]"}, {MEAN_OF_ALL: "pull * x / 2"},
     {MEAN_OF_ALL: "pull * x"},
     step=(SHARED, BACK_AT_X),
     says="Each number takes away only what it does to itself. It moves the size, and the size moves *all* the "
     "others: pull times x is averaged over dim.")
back("sum_for_mean", {"(pull * x).mean": "(pull * x).sum"}, step=(SHARED, BACK_AT_X),
     says="What the size takes away is dim times too much: the size is the root of a mean, so that pull times x is "
     "averaged.")
back("pull_alone", {"(pull * x)": "pull"}, step=(SHARED, BACK_AT_X),
     says="The mean is that of the pull alone, as if a mean were subtracted. Multiply by x first: how far the size "
     "moves y depends on x.")
back("gain_ignored", {"weight * gradient": "gradient"}, step=PULL,
     says="The gain is not used: on the way forward it multiplied last, so it multiplies first on the way back.")
back("gain_last", {"weight * gradient": "gradient", "return pull": "return weight * (pull", "size**3": "size**3)"},
     step=PULL,
     says="The gain multiplies last. It did so on the way forward, so it comes first on the way back: before the "
     "numbers are gathered over dim, where each has a gain of its own.")
back("gain_in_one_path", {"(pull * x)": "(gradient * x)"}, {"pull / size": "gradient / size"},
     step=(SHARED, BACK_AT_X),
     says="The gain is in one of the two paths only. Both begin with the gain times the gradient.")
back("power", {"size**3": "size**2"}, {"size**3": "size"}, step=(TAKEN, BACK_AT_X),
     says="What the size takes away is divided by a power of it that is too low. One size is there because y is x / "
     "size, two more because that is a fraction's slope and a root's.")
back("added", {" - x * shared": " + x * shared"}, step=BACK_AT_X,
     says="What the growth of the size does is added. A larger size makes y smaller: take it away.")
back("twice_a_mean", {" / size**3": " / (x.shape[-1] * size**3)"}, {" / size**3": " / (2 * size**3)"}, step=BACK_AT_X,
     says="What the size takes away is divided by dim twice: it is a mean over dim already. On paper the 2 was dim.")
back("two_for_dim", {MEAN_OF_ALL: "(pull * x).sum(dim=-1, keepdim=True) / 2"}, step=(SHARED, BACK_AT_X),
     says="The 2 is dim on paper, where the vector has two numbers. Here divide by dim: take the mean.")
back("not_along_x", {" - x * shared": " - shared"}, step=(TAKEN, BACK_AT_X),
     says="What is taken away is the same for all numbers. A number moves the size as far as it is large: times x.")
back("not_divided", {"pull / size": "pull"}, step=BACK_AT_X,
     says="The direct path is not divided by the size: y is x / size, so its slope is 1 / size.")
back("eps_in_one_place", {"x * shared / size**3": "x * shared / x.square().mean(dim=-1, keepdim=True) / size"},
     step=(TAKEN, BACK_AT_X),
     says="The part along x is all taken away, as if eps were 0. eps holds the size back from growing with x, so a "
     "little of it comes back: take x · s / r² away, where r² has eps in it.")
back("eps_forgotten", {" + eps": ""}, step=(SIZE, BACK_AT_X),
     symptom="A row of zeros, such as padding, sends back NaN.",
     says="The size lacks eps, with which the way forward was computed.")
back("over_everything", {MEAN_OF_ALL: "(pull * x).mean()"}, {MEAN_OF_ALL: "(pull * x).mean(dim=-2, keepdim=True)"},
     step=(SHARED, BACK_AT_X),
     says="Tokens pull one another: the mean runs over other axes than dim. Average the last axis only.")
back("axis_dropped", {MEAN_OF_ALL: "(pull * x).mean(dim=-1)"}, step=(SHARED, BACK_AT_X),
     symptom="An error about sizes.",
     says="The mean drops its axis, so that it no longer lines up with x. Keep it as 1: keepdim=True.")
# fmt: on


# ----------------------------------------------------------------------------------------------------- the exercises


WORKED_HEADS = """def head_norm(x, weight, eps):
    # Nothing is cut. A square matrix says which numbers stand in one head: 1 / dim where two do, 0 elsewhere.
    # The squares times that matrix bring every number the mean square of its own head, in one product.
    # The zeros are what keeps heads apart; other zeros would norm any other groups of numbers.
    dim = len(weight)
    heads = x.shape[-1] // dim
    together = torch.block_diag(*[torch.full((dim, dim), 1 / dim)] * heads)
    return x * torch.rsqrt(x.square() @ together + eps) * weight.repeat(heads)"""


def _unlike_sizes(error: RuntimeError, told: str) -> str:
    """What is said where two tensors do not line up, with the learner's line; any other error is raised again."""
    if "must match the size" not in str(error):
        raise error
    line = own_line(error)
    return f"the sizes do not match{f', in your {line}' if line else ''}: {told}"


def judge_head_norm(answer, values: int = 0) -> str:
    """The sentence on a norm of heads, after which so many heads of values come out as they went in."""
    faults, besides = [], f" and {values} of values" * bool(values)
    for heads, dim in ((3, 5), (1, 7), (4, 2)):
        x, weight = normal(20, 2, 3, (heads + values) * dim) + 1, normal(21, dim)
        wanted = x.clone()
        for head in range(heads):
            here = slice(head * dim, (head + 1) * dim)
            size = (x[..., here].square().sum(dim=-1, keepdim=True) / dim + 0.1).sqrt()
            wanted[..., here] = x[..., here] / size * weight
        try:
            mine = answer(x.clone(), weight, 0.1)
        except RuntimeError as error:
            return _unlike_sizes(
                error,
                f"the gain has the width of one head, here {dim}, so what it multiplies ends in {dim}, too: cut "
                "x into heads of as many numbers first",
            )
        for told, wrong in _heads_norms(x, weight).items():
            if not values and isinstance(mine, torch.Tensor) and mine.shape == x.shape and heads > 1:
                if torch.allclose(mine, wrong, atol=1e-5):
                    return told
        faults.append(same_tensor(f"head_norm with {heads} heads{besides}", mine, wanted))
    return first_fault(*faults)


def _heads_norms(x, weight) -> dict:
    """Norms of heads that are not quite right, under what is said of them."""
    dim = len(weight)
    cut, heads = x.unflatten(-1, (-1, dim)), x.shape[-1] // dim
    strided = x.unflatten(-1, (dim, -1))
    mixed = strided * torch.rsqrt(strided.square().mean(dim=-2, keepdim=True) + 0.1) * weight[:, None]
    return {
        "all heads share one size; each head has its own": rms_norm(x, weight.repeat(heads), 0.1),
        "the heads are cut the wrong way: a head's numbers stand next to one another, so head comes before dim in "
        "(head dim)": mixed.flatten(-2),
        "the gain is not used": rms_norm(cut, torch.ones(dim), 0.1).flatten(-2),
        "eps is left out": rms_norm(cut, weight, 0.0).flatten(-2),
    }


def seeded_head_norm(seed: int) -> dict:
    """How many heads of values stand behind the heads that are normed."""
    values = chosen(seed, (2, 3, 4, 5, 6))
    task = f"Norm every head of x by itself, but for the last {values}; the gain has the width of a head."
    return {
        "task": task,
        "text": "Some models norm queries and keys head by head, with one gain that all heads share (it is called "
        f"QK-norm). In yours one projection gives queries, keys and values in a row: the last **{values}** heads of "
        "the vector are values and come out as they went in. Every head before them comes out with its own size 1 "
        "before the gain.",
        "hints": (
            "You have a function that norms the last axis. What must the last axis be, and what is left out of it?",
            "*My sizes do not match*: the gain has the width of one head, x that of all. Cut x into heads first; the "
            "gain tells you how wide one is.",
            f"Split the last axis into (head dim), norm all but the last {values} of head, put those behind them as "
            "they are, and join head and dim again.",
        ),
        "starter": f'''from einops import rearrange


def head_norm(x, weight, eps):
    """Norm each head but the last {values}: x (batch, seq, head · dim) and weight (dim) → the shape of x."""
    raise NotImplementedError("{task}")''',
        "answers": {"head_norm": partial(judge_head_norm, values=values)},
        "worked": WORKED_HEADS.replace("return ", "normed = ")
        + f"\n    return torch.cat([normed[..., : -{values} * dim], x[..., -{values} * dim :]], dim=-1)",
    }


def slope(x: float, other: float, by_sum: bool = False) -> float:
    """How fast the first number of the normed pair (x, other) grows with x, without gain and eps."""
    count = 1 if by_sum else 2
    r = ((x * x + other * other) / count) ** 0.5
    return 1 / r - x * x / (count * r**3)


R = 1250**0.5
FAR = (
    slope(30, 40),
    {
        slope(3, 4): "0.181 is the slope at (3, 4); here r is ten times as large, and so the slope is another",
        1 / R: "1 / r is what x₁ does directly; r grows with x₁ too, and takes some of it away",
        900 / (2 * R**3): "that is what the growth of r takes away; from what is it taken?",
        1 / R + 900 / (2 * R**3): "what the growth of r does is taken away, not added: y₁ is x₁ divided by r",
        1 / R - 900 / R**3: "the size is the root of a mean over two numbers: what r takes away is halved",
        1 / R - 1600 / (2 * R**3): "that is how fast y₂ grows with x₂: the second term has the square of x₁, 900",
        -1200 / (2 * R**3): "that is how fast y₁ grows with x₂; asked is the first number of the gradient",
        slope(30, 40, by_sum=True): "that divides by the length 50, the root of the sum; take the root of the mean",
        10 * slope(3, 4): "ten times 0.181: farther out, the same step in x turns it less, not more",
        0.64: "that is what is left of the pull across x; it is still to be divided by r",
        0.64 / 50: "that divides by the length 50, the root of the sum; take the root of the mean",
        0.0: "the length itself is forgotten, so along x the slope is 0; a step in x₁ alone also turns x",
        slope(3, 4) / 100: "a hundredth is too little: both terms shrink as 1 / r does",
    },
)


KNOWS_ROOT_DIM = component.probe(
    "rms_norm", ("sum_for_mean",), ("no_root", "one_plus_gain", "gain_ignored", "variance", "eps_outside_root")
)


def judge_too_small(answer) -> str:
    """The sentence on a probe that finds a size of 1/√dim, and no other that is too small."""
    told = "it should say False of a norm whose output is 33 times too small, whatever dim is"
    return KNOWS_ROOT_DIM(answer) or told * bool(answer(lambda x, weight, eps: 0.03 * rms_norm(x, weight, eps)))


WORKED_FOLD = """def gain_folded(matrix, gain):
    # A gain is a matrix, too, with nothing but zeros beside its diagonal; and two matrices in a row are one.
    # The gain acts first, so it stands on the right: its numbers meet the columns, which are what is read.
    # A table of words that is also the last matrix cannot take the last gain: the same rows are looked up at first.
    return matrix @ torch.diag(gain)"""


def judge_gain_folded(answer, plus: float = 0) -> str:
    """The sentence on a matrix that has taken in the gain of the norm before it, which multiplies by plus + gain."""
    for out, dim in ((5, 5), (7, 4), (1, 6)):
        matrix, gain = normal(22, out, dim), normal(23, dim)
        full, wanted = plus + gain, torch.empty(out, dim)
        mine = answer(matrix.clone(), gain.clone())
        for row in range(out):
            for column in range(dim):
                wanted[row, column] = matrix[row, column] * full[column]
        if isinstance(mine, torch.Tensor) and mine.ndim == 1 and out > 1:
            return "the gain was multiplied with the matrix, and one vector is left; asked is a matrix (out, dim)"
        if isinstance(mine, torch.Tensor) and mine.shape == wanted.shape:
            slips = {"it is divided by the gain; what the norm no longer does, the matrix must do": matrix / full}
            if plus:
                slips[f"that folds in the gain itself; this norm multiplies by {plus:g} more"] = matrix * gain
            if out == dim:
                rows = "the rows were scaled, which are what comes out; the gain acts on what the matrix reads"
                slips[rows] = full[:, None] * matrix
                slips["rows and columns are exchanged: each number that comes out has a row"] = (matrix * full).T
                slips["the matrix was turned: each number that comes out has a row"] = matrix.T * full
            for told, wrong in slips.items():
                if torch.allclose(mine, wrong, atol=1e-5):
                    return told
        fault = same_tensor(f"gain_folded of a matrix {(out, dim)}", mine, wanted)
        if fault:
            return fault
    return ""


def seeded_gain_folded(seed: int) -> dict:
    """What is added to the stored gain before it multiplies."""
    plus = chosen(seed, (1, 2, 0.5, 3, 1.5))
    task = f"Give the matrix that needs no gain before it; the norm multiplies by {plus:g} + gain."
    return {
        "task": task,
        "text": "To run a little faster, an engine leaves all gains out of its norms and builds them into the matrices "
        f"behind them, once. Your model's norms multiply by **{plus:g} + gain** (Gemma's store what is added to 1). "
        "Give the matrix that makes of the plainly normed vector what `matrix` made of the gained one. As in "
        "`nn.Linear`, a matrix (out, dim) has a row for each number that comes out.",
        "hints": (
            f"What does the first number that comes out depend on? Write it as a sum over dim, with {plus:g} + gain "
            "in it.",
            "*My sizes do not match*, or only a square matrix runs, and wrongly: the gain has a number for each "
            "number that the matrix *reads*. Is that a row or a column of (out, dim)?",
            f"out[o] is the sum over i of matrix[o, i] · ({plus:g} + gain[i]) · y[i]. What of that does not depend on "
            "y?",
        ),
        "starter": f'''def gain_folded(matrix, gain):
    """The matrix (out, dim) behind a norm without gain that does what `matrix` did behind {plus:g} + gain (dim)."""
    raise NotImplementedError("{task}")''',
        "answers": {"gain_folded": partial(judge_gain_folded, plus=plus)},
        "worked": WORKED_FOLD.replace("torch.diag(gain)", f"torch.diag({plus:g} + gain)"),
    }


PARTS = {2: "half", 3: "third", 5: "fifth", 6: "sixth", 8: "eighth"}
WORKED_PARTIAL = """def partial_norm(x, weight, eps):
    # The plain norm has one answer for every vector; a partial one is that norm, corrected by one factor.
    # The factor compares two sizes: of the whole vector, by which the norm divides, and of the part that is looked at.
    # So what is not looked at still comes out divided, by a size that it had no say in.
    seen = x[..., : x.shape[-1] // 4]
    whole, part = (each.square().mean(dim=-1, keepdim=True) + eps for each in (x, seen))
    return rms_norm(x, weight, eps) * torch.sqrt(whole / part)"""


def judge_partial_norm(answer, of: int = 4) -> str:
    """The sentence on a norm that divides whole vectors by the size of the first `of`-th of their numbers."""
    for dim in (3 * of, of, 7 * of):
        x, weight = normal(24, 2, 3, dim) + 0.5, normal(25, dim)
        seen = dim // of
        total = torch.zeros(2, 3, 1)
        for i in range(seen):
            total += x[..., i : i + 1] ** 2
        wanted = x / torch.sqrt(total / seen + 0.1) * weight
        try:
            mine = answer(x.clone(), weight, 0.1)
        except RuntimeError as error:
            told = "a mean takes its axis away unless a 1 is left (keepdim=True), and the gain is as wide as x"
            return _unlike_sizes(error, told)
        if isinstance(mine, torch.Tensor) and mine.shape == wanted.shape:
            few, mean = x[..., :seen].square(), total / seen
            narrow = "only the first numbers are divided; divide all of them, by the size of the first"
            slips = (
                (torch.cat([wanted[..., :seen], x[..., seen:]], dim=-1), narrow),
                (torch.cat([wanted[..., :seen], (weight * x)[..., seen:]], dim=-1), narrow),
                (
                    rms_norm(x, weight, 0.1),
                    "that is the plain norm: it looks at all the numbers "
                    "(x[:n] cuts the first axis, x[..., :n] the last)",
                ),
                (
                    weight * x * torch.rsqrt(x[..., ::of].square().mean(dim=-1, keepdim=True) + 0.1),
                    f"the size is that of every {of}th number; take the first of {of} equal parts",
                ),
                (
                    weight * x * torch.rsqrt(few.sum(dim=-1, keepdim=True) / dim + 0.1),
                    "the sum over the first numbers is divided by dim; divide it by as many as you look at",
                ),
                (
                    weight * x * torch.rsqrt(x[..., -seen:].square().mean(dim=-1, keepdim=True) + 0.1),
                    "the size is that of the last numbers; take the first",
                ),
                (
                    weight * x * torch.rsqrt(x[..., :of].square().mean(dim=-1, keepdim=True) + 0.1),
                    f"the size is that of the first {of} numbers; take the first of {of} equal parts",
                ),
                (weight * x / torch.sqrt(total + 0.1), "the squares are summed; their mean is the size, squared"),
                (
                    weight * x / (mean.sqrt() + 0.1),
                    "the place of eps is inside the root, beside the mean of the squares",
                ),
                (x / torch.sqrt(mean + 0.1), "the gain is not used"),
            )
            for wrong, told in slips:
                if torch.allclose(mine, wrong, atol=1e-5) and not torch.allclose(wanted, wrong, atol=1e-5):
                    return told
        fault = same_tensor(f"partial_norm of {dim} numbers", mine, wanted)
        if fault:
            return fault
    return ""


def seeded_partial_norm(seed: int) -> dict:
    """Which part of a vector is looked at."""
    of = chosen(seed, (2, 3, 5, 6, 8))
    task = f"Divide each vector by the root mean square of its first {PARTS[of]}."
    return {
        "task": task,
        "text": PARTIAL_TEXT.replace("quarter", PARTS[of]),
        "hints": tuple(hint.replace("quarter", PARTS[of]) for hint in PARTIAL_HINTS),
        "starter": PARTIAL_STARTER.replace("quarter", PARTS[of]),
        "answers": {"partial_norm": partial(judge_partial_norm, of=of)},
        "worked": WORKED_PARTIAL.replace("// 4", f"// {of}"),
    }


PARTIAL_TASK = "Divide each vector by the root mean square of its first quarter."
PARTIAL_TEXT = (
    "The paper of RMSNorm goes a step further: if the size is only a matter of scale, a part of the numbers may be "
    "enough to tell it. Write `partial_norm`: the **first quarter** of a vector's numbers gives the size by which all "
    "of it is divided. eps and the gain stay as they were. Once it passes, enter it in `swaps` above and "
    "run the next cell again: what does the trained model say?"
)
PARTIAL_HINTS = (
    "Which line of `rms_norm` looks at the whole vector and need not?",
    "*The later numbers come out as they went in*: you normed a part of the vector. Only the *looking* is partial; "
    "the dividing is not. *Everything is too large*: how many squares is the mean over? *My sizes do not match*: "
    "leave a `1` where the axis was.",
    "seen = the first quarter of the last axis → m = the mean of the squares of seen, with a 1 left → all of x divided "
    "by √(m + eps), times the gain.",
)
PARTIAL_STARTER = f'''def partial_norm(x, weight, eps):
    """RMSNorm that looks at the first quarter of each vector: x (..., dim), weight (dim) → the shape of x."""
    raise NotImplementedError("{PARTIAL_TASK}")'''


component.exercises = (
    Exercise(
        name="rms_norm",
        kind="implement",
        task="Divide each vector by its root mean square, then multiply by the gain.",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "Four steps, a line each: go up to float32, take the mean of the squares, take the inverse root, multiply. "
            "Which axis is averaged, and which of the steps may be done in the narrow dtype again?",
            "*My sizes do not match*, or *every token got the same size*: a mean over `dim` takes that axis away, and "
            "what is left no longer fits against x. Leave a `1` where the axis was. And only `dim` is averaged: "
            "everything before it passes through as `...`.",
            "wide = x in float32 (float64 stays) → m = the mean of wide · wide over dim, with a 1 left → "
            "r = 1 / √(m + eps) → (wide · r), back in x's dtype, times the gain.",
        ),
    ),
    Exercise(
        name="LlamaRMSNorm.forward",
        kind="implement",
        task="Norm x with this module's gain and eps.",
        difficulty=1,
        importance=4,
        minutes=3,
        hints=(
            "You need two of the things that `__init__` stored. Which?",
            "*My gain changes nothing*: it is 1 at first, so a forgotten gain shows only after training. Set "
            "`norm.weight` to 2 and see whether the output doubles.",
            "One line, and either way is right: the definition above, given x, the gain and eps; or the gain times "
            "what PyTorch's `F.rms_norm` makes of x, given the shape of the gain and eps.",
        ),
    ),
    Exercise(
        name="size_three_four",
        kind="predict",
        title="The vector (3, 4), normed",
        text="The gain is (1, 2) and eps is 0. What is the **second** number of the normed vector? On paper, "
        "to two places.",
        task="Type the second number of rms_norm((3, 4), gain (1, 2), eps 0).",
        difficulty=1,
        importance=3,
        minutes=3,
        hints=(
            "First the size of (3, 4): the *mean* of the squares, then the root.",
            "*I get 1.6*: that divides by the length 5, the root of the sum. The size is 3.54, the root of the mean.",
            "4 / √((9 + 16) / 2), then times its gain.",
        ),
        starter="size_three_four = ...  # your number",
        answers={
            "size_three_four": typed_number(
                2 * 4 / (25 / 2) ** 0.5,
                0.005,
                {
                    1.6: "1.6 comes from the length 5, the root of the sum of the squares; take the root of their mean",
                    4 / 12.5**0.5: "so far right; now the gain of the second number, which is 2",
                    0.8: "0.8 comes from the length 5, the root of the sum of the squares; take the root of their "
                    "mean, and then the gain",
                    4 / 12.5: "that divides by the mean square itself, not by its root, and the gain is missing",
                    3 / 12.5**0.5: "that is the first number, (3 / size) times its gain 1; asked is the second",
                    8 / 12.5: "that divides by the mean square itself; its root is the size",
                },
            )
        },
        solution="size_three_four = 2 * 4 / ((3**2 + 4**2) / 2) ** 0.5",
        why="The size is the root of the mean of the squares, √12.5; the gain comes last.",
    ),
    Exercise(
        name="slope_far_out",
        kind="predict",
        title="The same direction, ten times as far out",
        text="The lesson worked out at (3, 4) how fast the first number of the normed vector grows with the first "
        "number of x. How fast at **(30, 40)**? The gain is 1 and eps is 0. To three digits.",
        task="Type how fast y₁ grows with x₁ at (30, 40), gain 1, eps 0.",
        difficulty=2,
        importance=3,
        minutes=4,
        hints=(
            "Two steps led to 0.181: the pull was split, and what was left of it was divided. Which of the two is "
            "another at (30, 40)? Guess first: more, less or the same?",
            "*I get 0.0283*: that is 1 / r alone. When x₁ grows, r grows with it and takes some of that away. *I get "
            "0.181*: that holds at (3, 4), where r is 3.536.",
            "(30, 40) points where (3, 4) does, so the pull is split alike, and 0.64 of it is left for x₁. Divide "
            "that by r = √((900 + 1600) / 2). In two terms: 1 / r − x₁ · x₁ / (2 r³).",
        ),
        starter="slope_far_out = ...  # your number",
        answers={"slope_far_out": typed_number(FAR[0], 0.01, FAR[1])},
        solution="""r = ((30**2 + 40**2) / 2) ** 0.5
slope_far_out = 1 / r - 30 * 30 / (2 * r**3)""",
        why="A tenth of 0.181. The norm forgets length on the way forward; on the way back it does not: a vector ten "
        "times as long gets a tenth of the gradient, so a long vector is hard to turn.",
    ),
    Exercise(
        **own(norm_backward, "Send the gradient back through a norm, by hand."),
        text="Fast kernels have the way back written out. You are given x, gain and eps, and `gradient`: how the loss "
        "moves with each number that the norm gave. Return how it moves with each number of x, without autograd "
        "(while it is judged, nothing is recorded). The lesson sent the pull (1, 0) back to (3, 4). Here any pull "
        "goes back to any number of numbers, through a gain, and eps is part of the size.",
        difficulty=4,
        importance=3,
        minutes=20,
        hints=(
            "As in the picture: of the pull, the part along x is lost, and the rest is divided by the size r. How do "
            "you get the part along x from pull and x? And where does the gain come in, if it came last on the way "
            "forward?",
            "*Right at (3, 4), wrong with more numbers*, or *what pulls along x is not 0*: the part along x is "
            "gathered from *all* numbers: on paper 0.6 was (1 · 3 + 0 · 4) / 5, a sum over both, and each x then got "
            "a share of it as large as itself. Those two fives are 25 = 2 · r². What stands there for the 2 with more "
            "numbers?",
            "pull = gain · gradient, and r = √(mean of x² + eps). s = the mean over dim of pull · x, with a 1 left; "
            "the part along x is x · s / r². What is left of pull is divided by r.",
        ),
        answers={"norm_backward": component.parts["norm_backward"]},
        why="What is taken away is just the part of the pull that points along x: a norm lets back what turns a vector "
        "and holds back what would stretch it.",
    ),
    Exercise(
        name="mended_norm",
        kind="find the bug",
        title="A norm that is right on the test data",
        text="On `torch.randn(1000, 512)` this norm is within one per cent of the lesson's, and swapped into the "
        "trained model it costs nothing; on vectors whose mean is not 0 it is far off. Mend it, and write the "
        "**probe** that exposes it: a function that is given any norm and says whether it looks at the mean of a "
        "vector, which RMSNorm never does.",
        task="Say whether a norm looks at the mean of a vector: True for LayerNorm, False for RMSNorm.",
        difficulty=3,
        importance=3,
        minutes=10,
        hints=(
            "Which vectors would tell the two apart? Random ones around zero will not.",
            "*My probe says True of RMSNorm as well*: of course its output changes when x + 5 comes in, whose squares "
            "are others. *It says True of other wrong norms*: that the output is not the lesson's may have any "
            "reason. How do you change the mean of a vector and leave all its squares as they are?",
            "Give the norm two vectors: fives throughout, and fives and minus fives in turn. Their squares are the "
            "same, their means are 5 and 0. A norm that does not look at the mean gives both the same numbers, but "
            "for signs.",
        ),
        starter='''def mended_norm(x, weight, eps):
    """RMSNorm with a mistake: mend it."""
    wide = x if x.dtype == torch.float64 else x.float()
    spread = wide.var(dim=-1, unbiased=False, keepdim=True)
    return weight * (wide / torch.sqrt(spread + eps)).to(x.dtype)


def looks_at_the_mean(norm) -> bool:
    """Whether norm(x, weight, eps) looks at the mean of a vector, as LayerNorm does and RMSNorm does not."""
    raise NotImplementedError("Say whether a norm looks at the mean of a vector.")''',
        answers={
            "mended_norm": component.like("mended_norm", "rms_norm"),
            "looks_at_the_mean": component.probe(
                "rms_norm",
                yes=("subtracts_mean", "variance", "variance_biased"),
                no=("eps_outside_root", "gain_ignored", "sum_for_mean", "no_root", "multiplied"),
            ),
        },
        solution="""def mended_norm(x, weight, eps):
    wide = x if x.dtype == torch.float64 else x.float()
    squares = reduce(wide * wide, "... dim -> ... 1", "mean")
    return weight * (wide / torch.sqrt(squares + eps)).to(x.dtype)


def looks_at_the_mean(norm) -> bool:
    fives, ones = torch.full((1, 8), 5.0), torch.ones(8)
    in_turn = fives * torch.tensor([1.0, -1.0] * 4)
    return not torch.allclose(norm(fives, ones, 1e-5), norm(in_turn, ones, 1e-5).abs(), atol=1e-3)""",
        why="A variance is the mean square of what is left without the mean. Where the mean is 0 the two are one, "
        "and nothing keeps it there. Elsewhere the mean of squares is called `variance`, and this bug comes from the "
        "name.",
    ),
    Exercise(
        name="mended_size",
        kind="find the bug",
        title="One size for all vectors, and the wrong one",
        text="This norm brings all vectors to one size, keeps their direction and never warns; and a trained model "
        "with it babbles. Mend it, and write the **probe** that exposes it: a "
        "function that is given any norm and says whether what comes out is too small by the factor √dim.",
        task="Say whether the output of a norm is √dim too small.",
        difficulty=2,
        importance=4,
        minutes=8,
        hints=(
            "Norm (3, 4) on paper with this function. Which size comes out, and which should?",
            "*My probe says True of other wrong norms, too*: a size other than 1 is not enough; some norms give 2, or "
            "what depends on x. Which size, exactly, has a vector of length 1? *It says False of all*: with dim 1 "
            "there is nothing to tell apart.",
            "Random x of 100 numbers, a gain of ones, a small eps: measure the root mean square of the output, and "
            "compare it with 1 / √100.",
        ),
        starter='''def mended_size(x, weight, eps):
    """RMSNorm with a mistake: mend it."""
    wide = x if x.dtype == torch.float64 else x.float()
    power = wide.square().sum(dim=-1, keepdim=True)
    return weight * (wide / torch.sqrt(power + eps)).to(x.dtype)


def too_small_by_root_dim(norm) -> bool:
    """Whether vectors come out of norm(x, weight, eps) with the size 1/√dim in place of 1, before the gain."""
    raise NotImplementedError("Say whether the output of a norm is √dim too small.")''',
        answers={
            "mended_size": component.like("mended_size", "rms_norm"),
            "too_small_by_root_dim": judge_too_small,
        },
        solution="""def mended_size(x, weight, eps):
    wide = x if x.dtype == torch.float64 else x.float()
    power = wide.square().mean(dim=-1, keepdim=True)
    return weight * (wide / torch.sqrt(power + eps)).to(x.dtype)


def too_small_by_root_dim(norm) -> bool:
    x = torch.randn(5, 100, generator=torch.Generator().manual_seed(0))
    size = norm(x, torch.ones(100), 1e-6).square().mean(dim=-1).sqrt()
    return bool(torch.allclose(size, torch.full((5,), 0.1), atol=0.005))""",
        why="Length 1 is not size 1: of 576 numbers, each would be 24 times too small. The mean makes the size "
        "independent of the width, so the next layer reads numbers near 1 in a narrow model and in a wide one.",
    ),
    Exercise(
        name="head_norm",
        kind="transfer",
        title="A norm for every head",
        text="Some models norm queries and keys head by head, with one gain that all heads share (it is called "
        "QK-norm). A vector of `head · dim` numbers goes in, and every head of it comes out with its own size 1 "
        "before the gain.",
        task="Norm every head of x by itself; the gain has the width of a head.",
        difficulty=3,
        importance=3,
        minutes=10,
        hints=(
            "You have a function that norms the last axis. What must the last axis be?",
            "*My sizes do not match*: the gain has the width of one head, x that of all. Cut x into heads first; the "
            "gain tells you how wide one is.",
            "Split the last axis into (head dim), norm, and put it together again.",
        ),
        starter='''from einops import rearrange


def head_norm(x, weight, eps):
    """Norm each head: x (batch, seq, head · dim) and weight (dim) → the shape of x."""
    raise NotImplementedError("Norm every head of x by itself; the gain has the width of a head.")''',
        answers={"head_norm": judge_head_norm},
        worked=WORKED_HEADS,
        seeded=seeded_head_norm,
    ),
    Exercise(
        name="gain_folded",
        kind="transfer",
        title="A gain that is built in",
        text="To run a little faster, an engine leaves all gains out of its norms and builds them into the matrices "
        "behind them, once. Give the matrix that makes of the plainly normed vector what `matrix` made of the gained "
        "one. As in `nn.Linear`, a matrix (out, dim) has a row for each number that comes out.",
        task="Give the matrix that needs no gain before it.",
        difficulty=2,
        importance=3,
        minutes=8,
        hints=(
            "What does the first number that comes out depend on? Write it as a sum over dim, with the gain in it.",
            "*My sizes do not match*, or only a square matrix runs, and wrongly: the gain has a number for each number "
            "that the matrix *reads*. Is that a row or a column of (out, dim)?",
            "out[o] is the sum over i of matrix[o, i] · gain[i] · y[i]. What of that does not depend on y?",
        ),
        starter='''def gain_folded(matrix, gain):
    """The matrix (out, dim) behind a norm without gain that does what `matrix` did behind the gain (dim)."""
    raise NotImplementedError("Give the matrix that needs no gain before it.")''',
        answers={"gain_folded": judge_gain_folded},
        worked=WORKED_FOLD,
        seeded=seeded_gain_folded,
    ),
    Exercise(
        name="partial_norm",
        kind="transfer",
        title="A norm that looks at a quarter",
        text=PARTIAL_TEXT,
        task=PARTIAL_TASK,
        difficulty=2,
        importance=2,
        minutes=8,
        hints=PARTIAL_HINTS,
        starter=PARTIAL_STARTER,
        answers={"partial_norm": judge_partial_norm},
        worked=WORKED_PARTIAL,
        seeded=seeded_partial_norm,
    ),
)
