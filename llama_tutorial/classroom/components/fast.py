"""The faster model: what must hold of fused and of whole-number weights, what goes wrong in them, and the exercises.

Subjects are called as quantized(weight), which gives numbers and scales, and as fused(weights, biases), which gives the
joined weight, the joined bias and the layers that were handed in.
"""

import ast
from functools import cache
from itertools import combinations
from statistics import fmean, median
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from ...fast import fuse_linears, quantize
from ..course.exercise import Exercise, first_fault, said, same_tensor, typed_number
from ..judge.guard import Fault, call
from ..judge.parts import Cases, Component, Step
from ..judge.subjects import normal

component = Component("fast")
bug = component.bug


def shortened(*names: str) -> str:
    """The module's text less the definitions of which these are not made: wrong versions of them are made sooner."""
    lines, needed = component.text.splitlines(keepends=True), set(names).union(*map(component.made_of.get, names))
    for name, node in reversed(component.nodes.items()):
        if name not in needed and isinstance(node, ast.ClassDef | ast.FunctionDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            del lines[first - 1 : node.end_lineno]
    del component.nodes, component.made_of
    return "".join(lines)


component.text = shortened("fuse_linears", "quantize")


# ------------------------------------------------------------------------------- what must hold of whole-number weights

CASES = Cases()
AXES = "out in"


@CASES("numbers that are whole stay, where the largest is 127", AXES, degenerate=True)
def whole_numbers(quantized):
    return quantized(torch.tensor([[127.0, -3, 64, 0, 1], [5, -127, 2, 90, -8]]))


@CASES("the largest of a row becomes 127, and the others in proportion", AXES)
def in_proportion(quantized):
    return quantized(torch.tensor([[200.0, 90, 50, -150, 0], [-310, 600, 110, 200, -400]]))


@CASES("what lies between two numbers becomes the nearer one", AXES, degenerate=True)
def nearest(quantized):
    return quantized(torch.tensor([[127.0, 2.7, 2.3, -2.7, -2.3], [0.6, 127, -0.6, 0.4, -0.4]]))


@CASES("the largest counts by its size: it may be negative", AXES)
def negative(quantized):
    return quantized(torch.tensor([[-8.0, 2, 1, -3, 0], [-1, -2.2, -4, -3, -0.6]]))


@CASES("each row has a scale of its own", AXES)
def own_scale(quantized):
    return quantized(normal(1, 3, 5) * torch.tensor([[10.0], [100], [1000]]))


@CASES("as many rows as columns: scales belong to rows", AXES)
def square(quantized):
    return quantized(normal(2, 5, 5) * torch.tensor([[1.0], [2], [3], [40], [5]]))


@CASES("one very large number spoils its own row alone", AXES)
def outlier(quantized):
    weight = normal(3, 4, 7)
    weight[2, 3] = 1000
    return quantized(weight)


@CASES("a row of tiny numbers is as fine as the others", AXES)
def tiny(quantized):
    numbers, scale = quantized(normal(4, 3, 5) * torch.tensor([[1.0], [1e-7], [1]]))
    return numbers, scale * torch.tensor([1.0, 1e7, 1])


@CASES("a row of zeros becomes zeros, with a scale that can be divided by", AXES, degenerate=True)
def zeros(quantized):
    numbers, scale = quantized(normal(5, 3, 5) * torch.tensor([[1.0], [0], [1]]))
    return numbers, scale.flatten()[[0, -1]], (scale > 0).all()


@CASES("bfloat16 is reckoned in float32", AXES)
def half(quantized):
    return quantized(normal(6, 9, 33).bfloat16())


@CASES("float16 up to its largest", AXES)
def large(quantized):
    return quantized((30000 * normal(7, 5, 11).clamp(-2, 2)).half())


@CASES("ninety rows", AXES)
def whole(quantized):
    return quantized(normal(8, 90, 17))


def adapt_quantize(function):
    """A function that quantizes, as the subject of the cases."""

    def quantized(weight):
        found = call(function, weight)
        if not isinstance(found, tuple | list) or [type(each) for each in found] != [torch.Tensor] * 2:
            raise Fault(f"It should return two tensors, the numbers and the scales; got {type(found).__name__}.")
        numbers, scale = found
        if numbers.dtype != torch.int8:
            kind = str(numbers.dtype).removeprefix("torch.")
            raise Fault(f"The numbers are {kind}, and int8 is asked for: one byte each, with a sign.")
        if scale.ndim == 0:
            raise Fault("One scale came back, a single number; a weight has one for each row.")
        if tuple(scale.shape) == (len(weight), 1):
            raise Fault(f"The scales are ({len(weight)}, 1); one number for each row is asked for, ({len(weight)},).")
        return numbers.float(), scale

    return quantized


LARGEST, SCALE = "the largest size in each row", "the scales, largest / 127"
DIVIDED, ROUNDED = "the weight in units of its scale", "rounded to whole numbers"


def steps(weight):
    """What is computed on the way, in its order."""
    weight = weight.float()
    largest = weight.abs().amax(dim=1)
    scale = (largest / 127).clamp(min=torch.finfo(torch.float32).tiny)
    divided = weight / rearrange(scale, "out -> out 1")
    return [
        Step(LARGEST, largest, (), waypoint=True, axes="out"),
        Step(SCALE, scale, axes="out"),
        Step(DIVIDED, divided, waypoint=True, axes=AXES),
        Step(ROUNDED, divided.round(), axes=AXES),
    ]


component.part(quantize, adapt_quantize, CASES, steps)


# ----------------------------------------------------------------------------------- what must hold of fused weights

FUSED = Cases()


def layers(seed: int, *rows: int, width: int = 5, bias: bool = True, dtype=torch.float32):
    """(weights, biases) of layers with so many rows."""
    weights = [normal(seed + i, many, width, dtype=dtype) for i, many in enumerate(rows)]
    return weights, [normal(seed + 50 + i, many, dtype=dtype) if bias else None for i, many in enumerate(rows)]


@FUSED("the rows of two layers of one size, one below the other", AXES)
def two(fused):
    return fused(*layers(10, 4, 4)).weight


@FUSED("three layers of unlike sizes, in their order", AXES)
def unlike(fused):
    return fused(*layers(11, 6, 2, 3)).weight


@FUSED("the biases, one behind the other")
def biases(fused):
    return fused(*layers(12, 6, 2, 3)).bias


@FUSED("one product gives what all of them give", "seq out")
def one_product(fused):
    given = fused(*layers(13, 6, 2, 3))
    return F.linear(normal(14, 7, 5), given.weight, given.bias)


@FUSED("without biases there is none: None", AXES)
def no_biases(fused):
    given = fused(*layers(15, 6, 2, 3, bias=False))
    if given.bias is not None:
        raise Fault(f"The layers have no bias, and a {type(given.bias).__name__} came back where None belongs.")
    return given.weight


@FUSED("each layer still has its own numbers and its shape", AXES)
def kept(fused):
    given = fused(*layers(16, 6, 2, 3))
    return tuple(each for layer in given.layers for each in (layer.weight, layer.bias))


def _tells_copy(found, wanted):
    return "What I wrote into one does not stand in the other: there are two copies in memory, and one is meant."


@FUSED("what is written into the joined weight stands in the layers", AXES, tell=_tells_copy)
def down(fused):
    given = fused(*layers(17, 6, 2, 3))
    with torch.no_grad():
        given.weight.add_(torch.arange(11.0)[:, None])
    return tuple(layer.weight for layer in given.layers)


@FUSED("what is written into a layer stands in the joined weight", AXES, tell=_tells_copy)
def up(fused):
    given = fused(*layers(18, 6, 2, 3))
    with torch.no_grad():
        given.layers[1].weight.mul_(3)
    return given.weight


@FUSED("biases are views of one, too", tell=_tells_copy)
def biases_too(fused):
    given = fused(*layers(19, 6, 2, 3))
    with torch.no_grad():
        given.bias.add_(torch.arange(11.0))
    return tuple(layer.bias for layer in given.layers)


@FUSED("bfloat16 stays bfloat16", AXES)
def stays_half(fused):
    return fused(*layers(20, 6, 2, 3, dtype=torch.bfloat16)).weight


@FUSED("fused once more: the same memory, and no copy", AXES, tell=_tells_copy)
def again(fused):
    given = fused(*layers(21, 6, 2, 3))
    second = given.once_more()
    with torch.no_grad():
        second.weight.mul_(3)
    return given.weight


@FUSED("ninety rows, with biases", AXES)
def long(fused):
    given = fused(*layers(22, 50, 20, 20))
    return given.weight, given.bias


def adapt_fuse(function):
    """A function that fuses layers, as the subject of the cases."""

    def run(linears):
        found = call(function, linears)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise Fault(f"It should return the weight and the bias, a tuple of two; got {type(found).__name__}.")
        if not isinstance(found[0], torch.Tensor):
            raise Fault(f"The joined weight should be a tensor, got {type(found[0]).__name__}.")
        for linear in linears:
            names = [name for name, _ in linear.named_parameters()]
            if names != ["weight", "bias"][: 1 + (linear.bias is not None)]:
                raise Fault(f"A layer has the parameters {', '.join(names) or 'none'} now: what is saved has changed.")
        weight, bias = (None if each is None else each.detach() for each in found)
        return SimpleNamespace(weight=weight, bias=bias, layers=linears, once_more=lambda: run(linears))

    def fused(weights, biases):
        linears = []
        for weight, bias in zip(weights, biases):
            linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype)
            linear.weight.data = weight.clone()
            if bias is not None:
                linear.bias.data = bias.clone()
            linears.append(linear)
        return run(linears)

    return fused


JOINED, JOINED_BIASES = "the weights, one below the other", "the biases, one behind the other"


def steps_of_fuse(weights, biases):
    """What is joined on the way."""
    made = [Step(JOINED, torch.cat(weights), (), axes=AXES, ordered=True)]
    return made + [Step(JOINED_BIASES, torch.cat(biases), (), axes="out", ordered=True)] * (biases[0] is not None)


component.part(fuse_linears, adapt_fuse, FUSED, steps_of_fuse)


# ------------------------------------------------------------------------------------------------- what goes wrong

WORSE = "The text is worse than it need be; nothing else tells."
BABBLE = "The text is nonsense."
AMAX, ROUND, TINY = "weight.abs().amax(dim=1)", ".round().to(torch.int8)", "torch.finfo(torch.float32).tiny"
RETURNED = '(weight / rearrange(scale, "out -> out 1")).round().to(torch.int8), scale'

# fmt: off
bug("one_scale", "quantize", {AMAX: "weight.abs().amax().expand(len(weight))"}, {AMAX: "weight.abs().amax()",
    'rearrange(scale, "out -> out 1")': "scale", "to(torch.int8), scale": "to(torch.int8), scale.expand(len(weight))"},
    step=(LARGEST, SCALE), symptom=WORSE,
    says="One scale serves the whole weight, so that one large number makes all rows coarse. Each row has its own: "
    "take the largest along the row.")
bug("one_scale_alone", "quantize", {AMAX: "weight.abs().amax()", 'rearrange(scale, "out -> out 1")': "scale"},
    step=(LARGEST, SCALE), symptom=WORSE,
    says="One scale, a single number, serves the whole weight. Each row has its own: take the largest along the row.")
bug("columns", "quantize", {"amax(dim=1)": "amax(dim=0)", '"out -> out 1"': '"out -> 1 out"'},
    {"amax(dim=1)": "amax(dim=0)", '"out -> out 1"': '"out -> 1 out"', "weight = weight.float()":
     "weight = weight.float().contiguous()"},
    step=(LARGEST, SCALE), symptom="The scales do not fit what the layer gives, unless the weight is square.",
    says="Your scales belong to columns. A row gives one number of the output, which can be multiplied by its scale "
    "afterwards; a column cannot. The largest along a row is asked for: dim=1.")
bug("columns_for_rows", "quantize", {"amax(dim=1)": "amax(dim=0)"},
    step=(LARGEST, SCALE), symptom="An error about sizes; a square weight gives nonsense.",
    says="You take the largest of each column, and divide rows by it. `dim` is the axis that goes: dim=1 leaves rows.")
bug("over_128", "quantize", {"/ 127": "/ 128"}, step=SCALE,
    symptom="Each row's largest positive number becomes −128: whole sentences tip over.",
    says="You divide by 128: the largest becomes 128, int8 ends at 127, and 128 turns into −128. Divide by 127.")
bug("over_128_clamped", "quantize", {"/ 127": "/ 128", ".round()": ".round().clamp(-128, 127)"}, step=SCALE,
    symptom=WORSE, says="You divide by 128 and clamp: the largest of each row, which matters most, is cut off. "
    "Divide by 127, and nothing needs to be clamped.")
bug("over_255", "quantize", {"/ 127": "/ 255"}, {"/ 127": "/ 256"}, step=SCALE, symptom=BABBLE,
    says="You divide by 255 or 256, the numbers that a byte has. With a sign they go from −127 to 127: divide by 127.")
bug("over_127_and_a_half", "quantize", {"/ 127": "/ 127.5"}, step=SCALE, symptom=WORSE,
    says="You divide by 127.5. The largest becomes 127.5, which rounds to 128, and int8 ends at 127. Divide by 127.")
bug("half_the_range", "quantize", {"/ 127": "/ 63"}, {"/ 127": "/ 64"}, {"/ 127": "/ 7"}, {"/ 127": "/ 100"},
    step=SCALE, symptom=WORSE, says="The largest of a row does not become 127: a part of the range is not used.")
bug("truncated", "quantize", {".round()": ""}, {".round()": ".trunc()"}, {ROUND: ".to(torch.int8).round()"},
    step=ROUNDED, symptom=WORSE,
    says="What stands behind the point is cut off: .to(torch.int8) does not round. Round first, then change the dtype.")
bug("floored", "quantize", {".round()": ".floor()"}, step=ROUNDED, symptom=WORSE,
    says="You always go down to the next whole number. The nearer one is asked for: round.")
bug("up", "quantize", {".round()": ".ceil()"}, step=ROUNDED, symptom=WORSE,
    says="You always go up to the next whole number. The nearer one is asked for: round.")
bug("signs_lost", "quantize", {".round()": ".abs().add(0.5).floor()"}, step=ROUNDED, symptom=BABBLE,
    says="The signs are lost on the way to whole numbers.")
bug("largest_without_size", "quantize", {"weight.abs().amax(dim=1)": "weight.amax(dim=1)"},
    {"weight.abs().amax(dim=1)": "weight.max(dim=1).values"}, {"weight.abs().amax(dim=1)": "weight.amax(dim=1).abs()"},
    step=(LARGEST, SCALE), symptom="A few rows are nonsense: their negative numbers run over.",
    says="You take the largest number, not the largest size: a row's −8 beside a 2 runs over. Take abs first.")
bug("smallest_too", "quantize", {AMAX: "(weight.amax(dim=1) - weight.amin(dim=1))"}, step=(LARGEST, SCALE),
    symptom=WORSE,
    says="You take from the smallest to the largest. Zero stays zero here: the largest size is asked for.")
bug("asymmetric", "quantize", {RETURNED: '((weight - weight.amin(dim=1, keepdim=True)) / (weight.amax(dim=1, '
    'keepdim=True) - weight.amin(dim=1, keepdim=True)).clamp(min=1e-30) * 255 - 128).round().to(torch.int8), '
    "((weight.amax(dim=1) - weight.amin(dim=1)) / 255).clamp(min=1e-30)"},
    step=(DIVIDED, ROUNDED), symptom=BABBLE,
    says="Your numbers begin at the smallest of the row, so that they need a second number beside the scale. Here "
    "weight ≈ numbers · scale, and 0 stays 0.")
bug("mean_size", "quantize", {AMAX: "weight.abs().mean(dim=1)"}, step=(LARGEST, SCALE), symptom=BABBLE,
    says="You take the mean size, so that all larger numbers run over. The largest size of the row is asked for.")
bug("length", "quantize", {AMAX: "weight.norm(dim=1)"}, step=(LARGEST, SCALE), symptom=WORSE,
    says="You take the length of a row. It is larger than its largest number, so that a part of the range is not used.")
bug("inverted", "quantize", {"to(torch.int8), scale": "to(torch.int8), 1 / scale"}, step="", symptom=BABBLE,
    says="The scale that you give back is upside down: weight ≈ numbers · scale, so it is largest / 127.")
bug("the_largest_given_back", "quantize", {"to(torch.int8), scale": "to(torch.int8), scale * 127"}, step="",
    symptom="All layers give 127 times too much.",
    says="You give back the largest of each row. The scale is what one step of the numbers is worth: largest / 127.")
bug("multiplied", "quantize", {"weight / rearrange": "weight * rearrange"}, step=(DIVIDED, ROUNDED),
    symptom="All numbers are 0, or nearly.",
    says="You multiply by the scale, where the weight is divided by it: the largest must become 127.")
bug("not_divided", "quantize", {'(weight / rearrange(scale, "out -> out 1"))': "weight"}, step=(DIVIDED, ROUNDED),
    symptom="All numbers are 0: weights are smaller than 1.",
    says="You round the weight itself. Divide it by its row's scale first.")
bug("no_clamp", "quantize", {".clamp(min=torch.finfo(torch.float32).tiny)": ""}, step="",
    symptom="Nothing here; where NaN becomes another whole number, a row of zeros is nonsense.",
    says="A row of zeros has the scale 0, and 0/0 is NaN, which no int8 can hold. Keep the scale from being 0: "
    "clamp it at a tiny number.")
bug("clamped_high", "quantize", {TINY: "1e-5"}, {TINY: "1e-3"}, {TINY: "1e-6"}, {TINY: "1e-8"},
    step=(SCALE, ROUNDED), symptom=WORSE,
    says="The least scale is too large: a row of small numbers becomes zeros. Take a number that no weight needs, "
    "such as the smallest of float32.")
bug("added", "quantize", {".clamp(min=torch.finfo(torch.float32).tiny)": " + 1e-6"},
    {".clamp(min=torch.finfo(torch.float32).tiny)": " + 1e-5"},
    {".clamp(min=torch.finfo(torch.float32).tiny)": " + 1e-8"}, step=(SCALE, ROUNDED), symptom=WORSE,
    says="You add to every scale, where only a scale of 0 needs help: a row of small numbers becomes zeros. Clamp it.")
bug("in_its_own_dtype", "quantize", {"weight = weight.float()": "weight = weight + 0"},
    {"weight = weight.float()": "weight = weight + 0", "to(torch.int8), scale": "to(torch.int8), scale.float()"},
    step=(SCALE, DIVIDED, ROUNDED),
    symptom="With bfloat16 weights the text is a little worse.",
    says="You reckon in the dtype of the weight. bfloat16 has 8 bits, and the quotient is rounded before you round it: "
    "make the weight float32 first.")
bug("scale_in_half", "quantize", {"to(torch.int8), scale": "to(torch.int8), scale.bfloat16()"},
    {"to(torch.int8), scale": "to(torch.int8), scale.half()"}, step="", symptom=WORSE,
    says="The scales come back in two bytes; they are float32 here, and whoever reads them decides.")
bug("keeps_the_axis", "quantize", {"to(torch.int8), scale": 'to(torch.int8), rearrange(scale, "out -> out 1")'},
    step="", symptom="An error about sizes, or a matrix where a row belongs.",
    says="The scales come back as (out, 1). One number for each row is asked for: (out).")
bug("negative_lost", "quantize", {".round()": ".round().clamp(min=0)"}, {".round()": ".round().clamp(0, 127)"},
    step=ROUNDED, symptom=BABBLE,
    says="Negative numbers become 0: int8 holds numbers from −127 to 127.")
# fmt: on


VIEWED, LOOP = "part.data = view", "for part, view in zip(parts, [] if whole is None else whole.split(rows)):"
TWICE = "Memory: all fused weights lie there twice. The text is right until a weight is changed."


def slip(name: str, symptom: str, *wrong, step="", says: str):
    bug(name, "fuse_linears", *wrong, step=step, symptom=symptom, says=says)


# fmt: off
slip("side_by_side", "An error about sizes in the first product.",
     {"beside(parts)": "torch.cat([part.detach() for part in parts], dim=-1)"}, step=JOINED,
     says="The weights stand side by side. A weight is (out, in), and all layers read the same `in`: join the rows, "
     "along the first axis.")
slip("stacked", "An error about sizes, as soon as two layers differ.",
     {"beside(parts)": "torch.stack([part.detach() for part in parts])"}, step=JOINED,
     says="The weights are stacked along a new axis. One matrix is asked for: their rows, one below the other.")
slip("backwards", BABBLE, {"beside(parts)": "beside(parts[::-1])"}, {"beside(parts)":
     "torch.cat([part.detach() for part in parts[::-1]])"}, step=JOINED,
     says="The last layer stands first. Whoever splits the output expects the order of the list.")
slip("backwards_consistently", BABBLE,
     {"linears]\n    fused": "linears][::-1]\n    fused", "for linear in linears]\n        whole":
      "for linear in linears[::-1]]\n        whole"}, step=JOINED,
     says="The layers stand in the opposite order. Whoever splits the output expects the order of the list.")
slip("transposed", "An error about sizes in the first product.",
     {"fused.append(whole)": "fused.append(whole if whole is None else whole.T)"}, step="",
     says="The joined weight comes back as (in, out). A linear layer's is (out, in).")
slip("copied", TWICE, {VIEWED: "part.data = view.clone()"}, {LOOP: "for part, view in ():"},
     {VIEWED: "part.data.copy_(view)"}, {VIEWED: "part.data = view.contiguous().clone()"},
     says="The layers have weights of their own, beside the joined one. Let each layer's weight be its rows of the "
     "joined one, a view: put it into `.data`.")
slip("weights_only_viewed", TWICE, {VIEWED: "part.data = view if name == 'weight' else view.clone()"},
     says="The weights are views, and the biases are copies. Do the same with both.")
slip("first_only", TWICE, {"in zip(parts, []": "in zip(parts[:1], []"},
     says="Only the first layer's weight is a view of the joined one. Every layer gets its rows.")
slip("bias_forgotten", "What had biases has none any more.",
     {"whole = None if parts[0] is None else": 'whole = None if parts[0] is None or name == "bias" else'},
     step=JOINED_BIASES, says="The biases are gone. Join them as the weights, one behind the other.")
slip("biases_summed", "An error about sizes, or biases that are all wrong.",
     {"fused.append(whole)": "fused.append(whole if whole is None or name == 'weight' else "
      "sum(part.detach().sum() for part in parts).expand(sum(rows)).clone())"}, step=JOINED_BIASES,
     says="The biases are added up. Each row of the joined weight has a bias of its own: one behind the other.")
slip("bias_of_the_first", "Keys and values get no bias.",
     {"fused.append(whole)": "fused.append(whole if whole is None or name == 'weight' else parts[0].detach())"},
     says="Only the first layer's bias comes back. Join all of them, one behind the other.")
slip("bias_as_given", "An AttributeError: most of these layers have no bias.",
     {"None if parts[0] is None else beside(parts)": "beside(parts)"},
     says="A layer without a bias has None there, and None cannot be joined. Ask first, and give None back.")
slip("zeros_for_none", "A product that adds zeros.", {"whole = None if parts[0] is None else beside(parts)":
     "whole = torch.zeros(sum(rows)) if parts[0] is None else beside(parts)",
     "[] if whole is None else": "[] if parts[0] is None else"},
     says="Where the layers have no bias you give zeros. None says that there is nothing to add.")
slip("equal_parts", "An error about sizes, or queries that have rows of the keys.",
     {"whole.split(rows)": "whole.chunk(len(parts))"},
     says="The joined weight is cut into equal parts. Queries have more rows than keys: cut by each layer's own rows.")
slip("cut_by_columns", "An error about sizes.", {"linear.out_features": "linear.in_features"},
     says="You cut by the layers' in_features. A layer has out_features rows.")
slip("wrong_rows", BABBLE, {"whole.split(rows)": "whole.split(rows[::-1])"},
     {"whole.split(rows)": "whole.split(rows)[::-1]"},
     says="The layers get the rows of another one. Cut in the order in which you joined.")
slip("from_the_top", BABBLE, {"whole.split(rows)": "[whole[:many] for many in rows]"},
     says="Each layer gets rows from the top, those of the first one. The next one's begin where the one before ends.")
slip("a_copy_each_time", "Two faster models of one model hold its weights twice.",
     {"beside(parts)": "torch.cat([part.detach() for part in parts])"},
     says="Fused once more, the layers get a new copy, and the first one stays in memory too. `beside` gives the "
     "tensor itself where the parts are views of one already.")
# fmt: on


# --------------------------------------------------------------------- the least that a token can take: bytes, and time

LARGE = {"numbers": 1_100_048_384, "table": 32000 * 2048, "layers": 22, "heads": 32, "kv": 4, "dim": 64}
TOKENS = 2000


def bytes_read(embedding=0, tables=1, kv=LARGE["kv"], both=2, layers=LARGE["layers"], tokens=TOKENS, size=2) -> float:
    """What one token reads, in GB: all numbers but the embedding's, and the keys and values that are kept."""
    weights = LARGE["numbers"] + (embedding + tables - 2) * LARGE["table"]
    kept = layers * kv * LARGE["dim"] * both * tokens
    return (weights + kept) * size / 1e9


SLIPS = {
    "the embedding is counted: of that table one row is read, the token's own": {"embedding": 1},
    "the output table is missing: the head is a product with all of its rows": {"tables": 0},
    "the cache is missing: every token reads the keys and values of all tokens so far": {"tokens": 0},
    "the cache of one token only: all 2,000 are read": {"tokens": 1},
    "keys and values are kept for 4 heads, not for the 32 that ask": {"kv": 32},
    "keys alone: values are read as well": {"both": 1},
    "the cache of one layer: each of the 22 has its own": {"layers": 1},
    "the cache of one head: there are 4 of them": {"kv": 1},
    "four bytes a number: bfloat16 takes two": {"size": 4},
    "one byte a number: bfloat16 takes two": {"size": 1},
    "that is bits: a byte has eight": {"size": 16},
}
READ = bytes_read()


def told_values(scale: float, alone: dict | None = None) -> dict[float, str]:
    """The values that one or two slips give, each with its sentence; what is nearest the truth is told first."""
    values = dict(alone or {})
    for many in (1, 2):
        for names in combinations(SLIPS, many):
            how = {key: value for name in names for key, value in SLIPS[name].items()}
            if len(how) == many:
                told = ("two things: " if many > 1 else "") + "; ".join(names)
                values.setdefault(scale * bytes_read(**how), told)
    return values


READ_SLIPS = told_values(1, {
    READ / 1.073741824: "that is GiB, 2³⁰ bytes; here a GB is 10⁹ bytes",
    READ * 1000: "that is MB", READ * 1e9: "that is bytes; a GB is 10⁹ of them",
})  # fmt: skip
MS_SLIPS = told_values(20, {
    READ / 50: "that is seconds", 50 / READ: "that is how many tokens come in a second; how long does one take?",
    READ * 50: "you multiply by the bandwidth: bytes are divided by bytes a second",
    20 * READ / 1.073741824: "that is 50 GiB a second; a GB is 10⁹ bytes",
    160 * READ: "that is 50 Gbit a second: a byte has eight bits, and the machine reads bytes",
    2 * READ: "that is ten times too fast: GB over GB a second gives seconds, and a second has 1,000 ms",
})  # fmt: skip


# ----------------------------------------------------------------------------------- what helps a small, a large model

LAUNCH, RATE = 4e-6, 20e9
SIZES = {"tiny": (5, 4.74e6), "large": (30, 538e6)}
WAYS = {"nothing": (24, 1), "fuse": (21, 1), "compile": (7, 1), "int8": (24, 0.25)}


def milliseconds(model: str, way: str) -> float:
    """What a step takes: the launches of its layers and of the rest, and then its bytes."""
    layers, many = SIZES[model]
    launches, share = WAYS[way]
    return 1000 * ((layers * launches + 6) * LAUNCH + share * many / RATE)


def judge_way(model: str):
    """A judge of a word: what helps that model most."""
    took = {way: milliseconds(model, way) for way in WAYS if way != "nothing"}
    bytes_ms, launch_ms = (1000 * SIZES[model][1] / RATE, 1000 * LAUNCH * (24 * SIZES[model][0] + 6))

    def judge(answer) -> str:
        if not isinstance(answer, str):
            return f"the answer is a word: fuse, compile or int8; got {answer!r:.60}"
        word = answer.strip().lower()
        if word not in took:
            return f"{answer!r} is none of the three: fuse, compile, int8"
        if word == min(took, key=took.get):
            return ""
        what = "launches" if word != "int8" else "bytes"
        share = (bytes_ms if word == "int8" else launch_ms) / (bytes_ms + launch_ms)
        more = " Of two that save launches, take the one that saves more" if word == "fuse" and model == "tiny" else ""
        return f"{word} saves {what}, and they are {share:.0%} of what a step of the {model} model takes.{more}"

    return judge


TIMES = milliseconds("large", "nothing") / milliseconds("large", "int8")
TIMES_SLIPS = {
    4: "that is the bytes alone: the launches are as many as before, and take their time",
    1 / TIMES: "that is the share of the time that is left; how many times as fast is its inverse",
    1 - 1 / TIMES: "that is the share that is saved; how many times as fast is old / new",
    milliseconds("large", "nothing") / milliseconds("large", "compile"): "that is what compile does",
    milliseconds("tiny", "nothing") / milliseconds("tiny", "int8"): "that is the tiny model",
    milliseconds("large", "int8"): "that is the time of the new step in ms; old / new is asked for",
    milliseconds("large", "nothing") - milliseconds("large", "int8"): "that is how many ms are saved",
    (26.9 + 0.12) / (6.725 + 0.12): "that counts the launches of one layer: there are 30",
    milliseconds("large", "nothing") / 6.725: "the launches are missing from the new step: they are as many as before",
    26.9 / milliseconds("large", "int8"): "the launches are missing from the old step",
    milliseconds("large", "nothing") / (milliseconds("large", "nothing") - 26.9 / 4): "int8 reads a quarter of the "
    "bytes; yours saves a quarter, and still reads three",
}  # fmt: skip


# --------------------------------------------------------------------------------------- what a store lets be heard


def store(seed: int, filled: int, old: bool, heads: int = 2, places: int = 8, dim: int = 4):
    """(q, keys, values) of a store with so many places filled; behind them zeros, or what an old text has left."""
    q, (keys, values) = normal(seed, heads, 1, dim), normal(seed + 1, 2, heads, places, dim)
    if not old:
        keys[:, filled:], values[:, filled:] = 0, 0
    return q, keys, values


def heard_up_to(q, keys, values, end: int, start: int = 0):
    return F.scaled_dot_product_attention(q, keys[:, start:end], values[:, start:end])


def right(q, keys, values, at):
    return heard_up_to(q, keys, values, at + 1)


def what_is_not_zero(q, keys, values, at):
    filled = (keys != 0).any(dim=-1)
    return F.scaled_dot_product_attention(q, keys, values, attn_mask=rearrange(filled, "head place -> head 1 place"))


def all_of_it(q, keys, values, at):
    return F.scaled_dot_product_attention(q, keys, values)


def masked(keep):
    def heard(q, keys, values, at):
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=keep(torch.arange(keys.shape[1]), at)[None])

    return heard


def zeroed(both):
    def heard(q, keys, values, at):
        empty = (torch.arange(keys.shape[1]) > at)[:, None]
        return all_of_it(q, keys.masked_fill(empty, 0), values.masked_fill(empty, 0) if both else values, at)

    return heard


def cut_heads(q, keys, values, at):
    return all_of_it(q, keys[: at + 1], values[: at + 1], at)


def first_row(q, keys, values, at):
    return F.scaled_dot_product_attention(q, keys, values, is_causal=True)


HEARS = (
    ("it still looks at what is not zero: an old text's keys are not zero either. Ask for places, not for numbers",
     what_is_not_zero),
    ("nothing is hidden: zeros count as well, since e⁰ is 1, and an old text counts in full", all_of_it),
    ("a key of zeros is still heard: its score is 0, and e⁰ is 1. Hide the place by a mask, or cut it off",
     zeroed(False)),
    ("a key of zeros is still heard: its score is 0, and e⁰ is 1. Hide the place by a mask, or cut it off",
     zeroed(True)),
    ("the first axis is cut, and that is heads: the store is (head place dim), and places are asked for", cut_heads),
    ("the token does not hear itself: `at` is its own place, and belongs", masked(lambda place, at: place < at)),
    ("one place too far is heard: the last is `at` itself", masked(lambda place, at: place <= at + 1)),
    ("the mask is the wrong way round: what is ahead is heard, and the past is not",
     masked(lambda place, at: place >= at)),
    ("the mask is the wrong way round: what is ahead is heard, and the past is not",
     masked(lambda place, at: place > at)),
    ("only the token itself is heard", masked(lambda place, at: place == at)),
    ("is_causal takes the query for the first token of the text, so that it hears place 0 alone", first_row),
)  # fmt: skip
STORES = (
    ("a fresh store, place 3", store(70, 4, False), 3),
    ("a fresh store, place 0", store(73, 1, False), 0),
    ("a full store, its last place", store(76, 8, False), 7),
    ("a store in which a longer text stood, place 3", store(79, 4, True), 3),
    ("the same, place 0", store(82, 1, True), 0),
)


def judge_heard(answer) -> str:
    """The sentence on an attention that reads a store."""
    found = [answer(*given, at) for _, given, at in STORES]
    for (told, given, at), mine in zip(STORES, found):
        wrong = same_tensor("mended_heard", mine, right(*given, at))
        if wrong:
            return f"of {told}: {why_heard(found) or wrong}"
    return ""


def why_heard(found) -> str:
    """The sentence of a known mistake that gives the same of all stores."""
    for says, known in HEARS:
        theirs = [known(*given, at) for _, given, at in STORES]
        if all(isinstance(mine, torch.Tensor) and mine.shape == other.shape
               and torch.allclose(mine, other, atol=1e-5, equal_nan=True) for mine, other in zip(found, theirs)):
            return says
    return ""


READERS = (
    (False, "the right one", right),
    (False, "one by which a token does not hear itself: another mistake", masked(lambda place, at: place < at)),
    (False, "one that hears the token alone", masked(lambda place, at: place == at)),
    (True, "one that hears what is not zero", what_is_not_zero),
    (True, "one that hears everything", all_of_it),
    (True, "one that hears one place too many, behind the token", masked(lambda place, at: place <= at + 1)),
    (True, "one that hears all but the place behind the token", masked(lambda place, at: place != at + 1)),
)


def judge_old_text(answer) -> str:
    """The sentence on a probe for attentions that hear an old text."""
    asked = []

    def noting(heard):
        def noted(q, keys, values, at):
            asked.append((keys.clone(), at))
            return heard(q, keys, values, at)

        return noted

    found = [bool(answer(noting(reader))) for _, _, reader in READERS]
    wanted = [each for each, _, _ in READERS]
    if found == wanted:
        return ""
    if found == [not each for each in wanted]:
        return "it says the opposite: True is for one that hears the old text"
    if not asked:
        return "it never calls what it is given"
    if not any(at + 1 < keys.shape[1] and bool(keys[:, at + 1 :].any()) for keys, at in asked):
        return "behind the token nothing but zeros ever stands in your stores: put the keys of an old text there"
    more = {True: ". Is there an old text right behind the token, and also further on? And do you hand in two stores "
            "that differ only there?",
            False: ". Your two stores may differ only behind place `at`: what stands up to it is the new text. Take a "
            "place that is not the first: where nothing is heard at all NaN comes out, which equals none"}  # fmt: skip
    return first_fault(*(said(mine == each, f"it should say {each} of {name}{more[each]}")
                         for mine, (each, name, _) in zip(found, READERS)))  # fmt: skip


# ------------------------------------------------------------------------------------------- a stopwatch that misleads


class Machine:
    """Two steps, `old` four times as slow as `new`, and a clock that only they move.

    `first`: what the first call of `new` takes more; `every` so many calls one takes longer; `heat`: by how much each
    call makes all later ones slower.
    """

    def __init__(self, first: float = 0, every: int = 0, heat: float = 0):
        self.first, self.every, self.heat = first, every, heat
        self.now, self.calls, self.news, self.looks = 100.0, 0, 0, 0

    def clock(self) -> float:
        self.looks += 1
        return self.now

    def run(self, takes: float):
        self.calls += 1
        disturbed = self.every and self.calls % self.every == 0
        self.now += takes * (1 + self.heat * self.calls) + (0.08 if disturbed else 0)
        if self.calls > 20000:
            raise Fault("It calls the two steps more than 20,000 times: some dozens are enough.")

    def old(self):
        self.run(0.004)

    def new(self):
        self.news += 1
        self.run(0.001 + (self.first if self.news == 1 else 0))


MACHINES = (
    ("where nothing disturbs", {}, "divide the old time by the new one"),
    ("where the first call of new() takes 300 ms, since it is compiled then", {"first": 0.3},
     "That is paid once, and no later call pays it: call both once before the watch starts"),
    ("where every seventh call takes 80 ms more, for another program runs", {"every": 7},
     "A mean takes in what does not belong to the step: take the time of each call, and the median"),
    ("that grows slower from call to call, as it becomes hot", {"heat": 0.02},
     "Whoever is measured last is measured hot: let the two run in turns"),
)  # fmt: skip


def judge_ratio(answer) -> str:
    """The sentence on a stopwatch for two steps."""
    for where, how, says in MACHINES:
        machine = Machine(**how)
        found = answer(machine.old, machine.new, machine.clock)
        if isinstance(found, bool) or not isinstance(found, int | float):
            return f"mended_ratio should return a number, got {found!r:.60}"
        if machine.calls == 0:
            return "it calls neither of the two steps"
        if machine.looks == 0:
            return "it never looks at the clock that it is given: clock() says how late it is"
        if abs(found - 0.25) < 0.03:
            return "it is upside down: how many times as fast is the old time divided by the new one"
        if abs(found - 4) > 0.4:
            return f"on a machine {where}, new() is 4 times as fast as old(), and it says {found:.3g}. {says}"
    return ""


def timed(step, clock) -> float:
    start = clock()
    step()
    return clock() - start


def stopwatch(warm: bool, turns: bool, of=median):
    """A way to measure two steps."""

    def ratio(old, new, clock):
        for step in (old, new) if warm else ():
            step()
        if turns:
            pairs = [(timed(old, clock), timed(new, clock)) for _ in range(15)]
            return of([one for one, _ in pairs]) / of([other for _, other in pairs])
        return of([timed(old, clock) for _ in range(15)]) / of([timed(new, clock) for _ in range(15)])

    return ratio


def as_given(old, new, clock):
    def took(step):
        start = clock()
        for _ in range(10):
            step()
        return (clock() - start) / 10

    return took(old) / took(new)


WATCHES = (
    (False, "one that calls both before, and takes medians in turns", stopwatch(True, True)),
    (False, "one that calls both before, and takes a mean", stopwatch(True, False, fmean)),
    (False, "one that takes medians, to which one call of many does nothing", stopwatch(False, True)),
    (True, "the one above", as_given),
    (True, "one that takes a mean in turns, without a call before", stopwatch(False, True, fmean)),
    (True, "one that takes the longest call", stopwatch(False, True, max)),
)


def judge_misled(answer) -> str:
    """The sentence on a probe for stopwatches that count what only the first call takes."""
    asked = []

    def noting(watch):
        return lambda *given: asked.append(0) or watch(*given)

    found = [bool(answer(noting(watch))) for _, _, watch in WATCHES]
    wanted = [each for each, _, _ in WATCHES]
    if found == [not each for each in wanted]:
        return "it says the opposite: True is for a stopwatch that is misled"
    if not asked:
        return "it never calls what it is given"
    more = {True: ". Does the first call of your step take long, by your clock, and do later ones not? It must be a "
            "new step for each stopwatch",
            False: ". Which ratio do your two steps have after their first calls? Compare with that"}  # fmt: skip
    return first_fault(*(said(mine == each, f"it should say {each} of {name}{more[each]}")
                         for mine, (each, name, _) in zip(found, WATCHES)))  # fmt: skip


# ----------------------------------------------------------------------------------------- guesses out of the text


def last_match(text: list[int], n: int, itself: bool = False, first: bool = False, prompt: int | None = None):
    """What follows the last earlier place at which the last n tokens of a text stand; None where there is none."""
    known = text if prompt is None else text[:prompt]
    places = range(len(known) - n + (1 if itself else 0))
    found = [i for i in places if known[i : i + n] == text[-n:]]
    return known[(found[0] if first else found[-1]) + n :] if found else None


def guessed(model, ids, new: int, n: int, guesses: int, slip: str = "") -> list[int]:
    """The greedy text by guesses out of the text itself, with a known slip."""
    text, end, start = ids[0].tolist(), ids.shape[1] + new, ids.shape[1]
    while len(text) < end:
        prompt = start if slip == "prompt" else None
        guess = last_match(text, n, slip == "itself", slip == "first", prompt) or []
        guess = guess[: 1 if slip == "one" else guesses]
        chosen = model(torch.tensor([text + guess]))[0, len(text) - 1 :].argmax(dim=-1).tolist()
        if slip == "shifted":
            chosen = chosen[1:] or chosen
        agrees = [one == other for one, other in zip(guess, chosen[1:] if slip == "late" else chosen)]
        agreed = sum(agrees) if slip == "anywhere" else [*agrees, False].index(False)
        text += {
            "unchecked": guess + chosen[-1:],
            "disagreeing": guess[: agreed + 1] or chosen[:1],
            "no_bonus": guess[:agreed] or chosen[:1],
            "all_or_nothing": guess + chosen[-1:] if agreed == len(guess) else chosen[:1],
            "last": guess[:agreed] + chosen[-1:],
        }.get(slip, guess[:agreed] + chosen[min(agreed, len(chosen) - 1) : agreed + 1])
    return text[start:end]


def not_rolled_back(model, ids, new: int, n: int, guesses: int) -> list[int]:
    """The same with a cache that keeps the guesses that were thrown away."""
    from ...kv_cache import make_cache

    text, start, kept = ids[0].tolist(), ids.shape[1], make_cache(len(model.model.layers))
    unread = list(text)
    while len(text) < start + new:
        guess = (last_match(text, n) or [])[:guesses]
        chosen = model(torch.tensor([unread + guess]), cache=kept)[0, len(unread) - 1 :].argmax(dim=-1).tolist()
        agreed = next((i for i, pair in enumerate(zip(guess, chosen)) if pair[0] != pair[1]), len(guess))
        unread = chosen[agreed : agreed + 1]
        text += guess[:agreed] + unread
    return text[start : start + new]


@cache
def small_model(seed: int, mixing: float):
    """A model with random weights: what it writes soon goes round in a circle, the sooner the less tokens mix."""
    from ...causal_lm import LlamaForCausalLM
    from ...config import LlamaConfig

    sizes = {"vocab_size": 31, "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 1,
             "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6}  # fmt: skip
    model = LlamaForCausalLM(LlamaConfig(sizes, tie_word_embeddings=False)).eval()
    with torch.no_grad():
        for i, (name, parameter) in enumerate(model.named_parameters()):
            if parameter.ndim > 1:
                size = 1 if "embed" in name or "head" in name else mixing
                parameter.copy_(size * normal(seed + i, *parameter.shape))
    return model


@cache
def texts():
    """(what it is, model, ids, how many new tokens, n, guesses)"""
    from ...generation import load_shipped

    model, tokenizer = load_shipped()
    code = "def first(self):\n    return self.first_name\n\ndef second(self):\n    return self."
    ids = torch.tensor([tokenizer.encode(code)])
    circle, nearly = small_model(1100, 0.1), small_model(1300, 0.2)
    return (
        ("a prompt in which nothing comes twice", circle, torch.tensor([[3, 17, 8, 22]]), 3, 2, 4),
        ("a text that goes round in a circle", circle, torch.tensor([[5, 9, 2]]), 24, 2, 4),
        ("a text that nearly repeats itself", nearly, torch.tensor([[5, 9, 2]]), 30, 2, 4),
        ("the same, looked up by its last three tokens", nearly, torch.tensor([[5, 9, 2]]), 40, 3, 3),
        ("the shipped model with code that repeats itself", model, ids, 14, 2, 5),
    )


class Endless(Exception):
    """Ends an answer that calls the model far too often."""


def counted(answer, model, ids, new: int, n: int, guesses: int):
    """What an answer writes, and how many times it calls the model."""
    calls = []

    def note(module, given):
        calls.append(0)
        if len(calls) > 3 * new + 10:
            raise Endless

    hook = model.model.register_forward_pre_hook(note)  # whoever calls generate calls this, too
    try:
        with torch.no_grad():
            found = answer(model, ids, new, n, guesses)
    finally:
        hook.remove()
    return found, len(calls)


def greedy(model, ids, new: int) -> list[int]:
    """The plain loop: one call a token."""
    text = ids
    with torch.no_grad():
        for _ in range(new):
            text = torch.cat([text, model(text)[:, -1:].argmax(dim=-1)], dim=1)
    return text[0, ids.shape[1] :].tolist()


@cache
def wanted() -> tuple:
    """For each text what a plain loop writes, and the calls that guesses need."""
    return tuple((greedy(model, ids, new), counted(guessed, model, ids, new, n, guesses)[1])
                 for _, model, ids, new, n, guesses in texts())  # fmt: skip


@cache
def of_a_slip(slip: str, which: int) -> tuple[list, int]:
    """What a known slip writes of one of the texts, and with how many calls."""

    def answer(*given):
        return not_rolled_back(*given) if slip == "cache" else guessed(*given, slip)

    return counted(answer, *texts()[which][1:])


LOOKED_UP = {
    "unchecked": "The guesses are kept without a look at what the model says of them",
    "disagreeing": "The first guess that the model does not agree with is kept, too: its own token belongs there",
    "shifted": "Your guesses are held against the scores one place too late: what the model says of the first guess "
    "stands at the last token before it",
    "late": "Each guess is held against what the model says after it. Whether it belongs is said one place before it",
    "anywhere": "You count all guesses that agree, wherever they stand. Stop at the first that does not: what the "
    "model says behind it, it says of a text that is not there",
    "last": "After the agreeing guesses comes the model's token from the same place, not its token after all guesses",
    "cache": "The cache still holds the guesses that were thrown away, so that they are heard: set its length back",
    "no_bonus": "Where guesses agree, the pass has also said what comes after them, and you throw that away",
    "itself": "No guess is ever kept. Does the end of the text find itself? Nothing follows it there: look before it",
    "first": "You take the first place where the last tokens stand. The last one before the end is asked for",
    "prompt": "You look in the prompt alone. What has been written repeats itself as well",
    "one": "You keep one guess a call. Take up to `guesses` of what follows, and keep all that agree",
    "all_or_nothing": "You keep all guesses or none. The first ones may agree though a later one does not",
}


def judge_lookup(answer) -> str:
    """The sentence on a function that writes the greedy text by guesses."""
    found = []
    for told, model, ids, new, n, guesses in texts():
        try:
            mine, many = counted(answer, model, ids, new, n, guesses)
        except Endless:
            seen = f"with {told}, it calls the model again and again and does not come to {new} tokens"
            return f"{seen}: where no guess agrees, or there is none, the model's own token must still be added"
        mine = mine.flatten().tolist() if isinstance(mine, torch.Tensor) else mine
        if not isinstance(mine, list) or not all(isinstance(each, int) for each in mine):
            return f"look_up should return a list of {new} tokens, or a tensor of them; got {mine!r:.60}"
        if len(mine) == ids.shape[1] + new and mine[: ids.shape[1]] == ids[0].tolist():
            return f"the prompt comes back as well: return the {new} new tokens"
        if len(mine) != new:
            more = ": cut what a last pass gives too much" if len(mine) > new else ""
            return f"with {told}, {len(mine)} tokens came back, where {new} belong{more}"
        found.append((mine, many))
    for (told, _, _, new, _, _), (text, calls), (mine, many) in zip(texts(), wanted(), found):
        if mine != text:
            at = next(i for i, (one, other) in enumerate(zip(mine, text)) if one != other)
            seen = f"with {told}, the text is another one from token {at} on: {mine[at]} where greedy has {text[at]}"
            return f"{seen}. {why_so(found)}".rstrip(". ")
        if many > calls:
            seen = f"with {told}, the text is right, and takes {many} calls for {new} tokens where {calls} are enough"
            return f"{seen}. {why_so(found)}".rstrip(". ")
    return ""


def why_so(found) -> str:
    """The reason, where a known slip gives the same texts with the same calls."""
    for slip, says in LOOKED_UP.items():
        if all(of_a_slip(slip, which) == each for which, each in enumerate(found)):
            return says
    return ""


WORKED = """def look_up(model, ids, new, n, guesses):
    # With a cache, so that a pass reads only what is new: the tokens that nobody has read yet, and the guesses. What
    # does not agree must be forgotten, and a cache forgets by its length: what lies behind is written over. And an
    # index instead of a search: after each run of n tokens, where does the text go on? A later place replaces an
    # earlier one. The end of the text enters the index only when something follows it, so it cannot find itself.
    from llama_tutorial.kv_cache import make_cache

    text, start, indexed, goes_on = ids[0].tolist(), ids.shape[1], n, {}
    cache, read = make_cache(len(model.model.layers)), 0
    while len(text) < start + new:
        for place in range(indexed, len(text)):
            goes_on[tuple(text[place - n : place])] = place
        indexed = len(text)
        at = goes_on.get(tuple(text[-n:]), len(text))
        guess = text[at : at + guesses]
        logits = model(torch.tensor([text[read:] + guess]), cache=cache)[0, len(text) - read - 1 :]
        chosen = logits.argmax(dim=-1)
        agrees = (chosen[:-1] == torch.tensor(guess)).long() if guess else chosen[:0]
        many = int(agrees.cumprod(dim=0).sum())
        read = len(text) + many
        text += chosen[: many + 1].tolist()
        for layer in cache:
            layer.length = read
    return text[start : start + new]"""


# ----------------------------------------------------------------------------------------------------- the exercises

OLD_TEXT = "Say whether what an old text has left behind place `at` is heard."
MISLED = "Say whether a stopwatch is misled by a first call that takes long."
LOOK_UP = "Write the greedy text with guesses that are looked up in the text itself."

component.exercises = (
    Exercise(
        name="ms_at_least",
        kind="predict",
        title="What no trick can beat",
        text="A machine reads 50 GB a second (a GB is 10⁹ bytes). On it runs a model of TinyLlama's shape, in "
        "bfloat16: `vocab_size=32000, hidden_size=2048, num_hidden_layers=22, num_attention_heads=32, "
        "num_key_value_heads=4, head_dim=64`, 1,100,048,384 numbers in all, the output table a table of its own. Its "
        "cache holds 2,000 tokens, in bfloat16, too. How many GB must be read for the next token, and how many ms does "
        "that take at least?",
        task="Type the GB that one token must read, and the least ms that it takes.",
        difficulty=2,
        importance=5,
        minutes=7,
        hints=(
            "Which of the numbers does the next token not need? One table is multiplied by, of the other a row is "
            "looked up.",
            "*I get 2.2 GB*: two things are not as you took them; all of the embedding is not read, and the cache is. "
            "*I get 2.43*: how many heads hold keys? *I get 2.09*: values are read as well.",
            "(all numbers − vocab_size · hidden_size + layers · key-value heads · head_dim · 2 · tokens) · bytes a "
            "number; then bytes divided by bytes a second, and a second has 1,000 ms.",
        ),
        starter="read_gb = ...  # how many GB\nms_at_least = ...  # how many ms",
        answers={
            "read_gb": typed_number(READ, 0.003, READ_SLIPS),
            "ms_at_least": typed_number(20 * READ, 0.003, MS_SLIPS),
        },
        solution="numbers = 1100048384 - 32000 * 2048 + 22 * 4 * 64 * 2 * 2000\n"
        "read_gb = numbers * 2 / 1e9\nms_at_least = 1000 * read_gb / 50",
        why="2.11 GB and 42 ms: 24 tokens a second at most, whatever the code. Hold what you measure against such a "
        "limit before you say that nothing can be won. Of the 2.11 GB the cache has 2 %; at 100,000 tokens more than "
        "half.",
    ),
    Exercise(
        name="fuse_linears",
        kind="implement",
        task="Join the layers' weights, and their biases; let each layer view its own rows.",
        difficulty=3,
        importance=4,
        minutes=15,
        hints=(
            "A weight is (out, in), and all of these layers read the same vector. Along which axis do they stand one "
            "below the other? And which rows of it are the second layer's?",
            "*What is written into one does not stand in the other*: a layer keeps its numbers by a view of the joined "
            "weight; put it into `.data`. *An AttributeError about None*: most layers have no bias. *Fused twice it is "
            "a copy*: look at what `beside` does with views.",
            "For weight and bias alike: `beside` joins what the layers have of it, or it is None; `split` by the "
            "layers' out_features gives the views; each parameter gets its view as its data. Both come back.",
        ),
    ),
    Exercise(
        name="mended_heard",
        kind="find the bug",
        title="The second text hears the first",
        text="A store has room for all tokens from the start, full of zeros. This attention reads all of it and hides "
        "what is still zero. Its first text is right, token for token. Then a second, shorter text is written into the "
        "same store, over the old one, and strange words turn up. Mend it. And write the **probe**: a function that is "
        "given such an attention and says whether it hears what an old text has left.",
        task=OLD_TEXT,
        difficulty=2,
        importance=5,
        minutes=12,
        hints=(
            "After the first text, which places are still zero? What else tells which places belong to the new text?",
            "*A token does not hear itself*: its key stands in the store already, at place `at`. *My probe says True "
            "of the right one*: two stores may differ behind `at` only. *My probe misses one that hears a place too "
            "many*: put an old text right behind the token.",
            "A mask of places, up to `at` and with it; or cut keys and values there. For the probe: random q, keys and "
            "values, and a copy whose keys and values behind `at` are others: is the same heard of both?",
        ),
        starter=f'''def mended_heard(q, keys, values, at):
    """What the token at place `at` hears, (head 1 dim); its own key and value stand in the store already.

    q is (head 1 dim), keys and values are the store, (head place dim). With a mistake: mend it.
    """
    filled = (keys != 0).any(dim=-1)
    mask = rearrange(filled, "head place -> head 1 place")
    return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)


def hears_old_text(heard) -> bool:
    """Whether heard(q, keys, values, at), such as mended_heard, hears what an old text has left behind `at`."""
    raise NotImplementedError("{OLD_TEXT}")''',
        answers={"mended_heard": judge_heard, "hears_old_text": judge_old_text},
        solution="""def mended_heard(q, keys, values, at):
    seen = torch.arange(keys.shape[1]) <= at
    return F.scaled_dot_product_attention(q, keys, values, attn_mask=rearrange(seen, "place -> 1 place"))


def hears_old_text(heard) -> bool:
    q, keys, values, at = torch.randn(2, 1, 4), torch.randn(2, 9, 4), torch.randn(2, 9, 4), 4
    others = [each.clone() for each in (keys, values)]
    for each in others:
        each[:, at + 1 :] += 1
    return not torch.allclose(heard(q, keys, values, at), heard(q, *others, at))""",
        why="What is filled is a matter of places, not of numbers. A test that writes one text into a fresh store "
        "cannot see it: test what is used again, used again.",
    ),
    Exercise(
        name="quantize",
        kind="implement",
        task="Give a weight as int8 numbers and one scale for each row.",
        difficulty=2,
        importance=5,
        minutes=12,
        hints=(
            "Which number of a row must become ±127? What is one step worth then?",
            "*My rows do not fit*: `dim` is the axis that goes. *It is worse than it need be*: what does "
            ".to(torch.int8) do with what stands behind the point? *A row of zeros*: 0/0 is NaN; no scale may be 0.",
            "float32 → the largest size along each row, divided by 127, at least a tiny number: the scale. The weight "
            "divided by its row's scale, rounded, and only then int8.",
        ),
    ),
    Exercise(
        name="helps_most",
        kind="predict",
        title="A small model and a large one ask for different help",
        text="Reckon with a machine on which each launch of an operation takes 4 µs, and where 20 GB come from memory "
        "in a second; a step takes both, one after the other. The **tiny** model has 5 layers and 4.74 MB of weights, "
        "the **large** one 30 layers and 538 MB. A layer takes 24 launches, and 6 stand around all layers. `fuse` "
        "saves 3 launches in each layer; `compile` leaves 7 of the 24; `int8` reads a quarter of the bytes. Which "
        "one, alone, helps the tiny model most, and which the large one? How many times as fast does int8 make that?",
        task="Type what helps each model most, and how many times as fast int8 makes the large one.",
        difficulty=2,
        importance=5,
        minutes=8,
        hints=(
            "What does a step of each model take in launches, and what in bytes? Which of the two is more?",
            "*I get 4 times*: int8 does not touch the launches. *I get 4.4*: they belong to the new step as well as "
            "to the old one. *I get 1.07*: that is compile.",
            "A step: (layers · launches + 6) · 4 µs, and bytes / 20 GB a second. Old time divided by new time.",
        ),
        starter='tiny_wants = ...  # "fuse", "compile" or "int8"\nlarge_wants = ...  # one of the same\n'
        "int8_times = ...  # how many times as fast",
        answers={"tiny_wants": judge_way("tiny"), "large_wants": judge_way("large"),
                 "int8_times": typed_number(TIMES, 0.004, TIMES_SLIPS)},
        solution="""tiny_wants, large_wants = "compile", "int8"
launches = (30 * 24 + 6) * 0.004  # ms
int8_times = (launches + 26.9) / (launches + 26.9 / 4)""",
        why="3.1 times: what is not touched sets the limit (Amdahl's law). And compile, which gave the large model 7 % "
        "before, gives it 27 % after int8. Measure again after each step: the bottleneck has moved.",
    ),
    Exercise(
        name="mended_ratio",
        kind="find the bug",
        title="The stopwatch misleads",
        text="A colleague compiles a step, holds a stopwatch to both, and finds the compiled one *slower*. Another "
        "says: on my machine it is twice as fast in the morning, and four times in the evening. Mend the stopwatch, "
        "until it is right where a first call compiles, where another program runs now and then, and where the "
        "machine grows hot. Nothing waits here: `clock` is handed in, so a test can bring a clock of its own. With it "
        "write the **probe**: a function that is given such a stopwatch and says whether a long first call misleads "
        "it.",
        task=MISLED,
        difficulty=2,
        importance=5,
        minutes=12,
        hints=(
            "What takes long once, and what takes long now and then? What changes while both are measured?",
            "*It says 0.1 where new() is compiled*: call both before the watch starts. *It is right there, and wrong "
            "where another program runs*: which number of many does one large one not move? *Still wrong on the hot "
            "machine*: old, new, old, new. *My probe says the same of all*: your step must move your clock.",
            "Both once. Then, a dozen times: the time of one old(), the time of one new(), each into its list. The "
            "median of the one by the median of the other. For the probe: a list of one number is the clock; a step "
            "adds to it, much more the first time.",
        ),
        starter=f'''def mended_ratio(old, new, clock):
    """How many times as fast new() is as old(); clock() gives seconds. With mistakes: mend them."""

    def took(step):
        start = clock()
        for _ in range(10):
            step()
        return (clock() - start) / 10

    return took(old) / took(new)


def misled_by_first(ratio) -> bool:
    """Whether ratio(old, new, clock), such as mended_ratio, is misled by a first call that takes long."""
    raise NotImplementedError("{MISLED}")''',
        answers={"mended_ratio": judge_ratio, "misled_by_first": judge_misled},
        solution="""def mended_ratio(old, new, clock):
    old(), new()
    times = {old: [], new: []}
    for _ in range(15):
        for step, took in times.items():
            start = clock()
            step()
            took.append(clock() - start)
    slow, fast = (sorted(took)[len(took) // 2] for took in times.values())
    return slow / fast


def misled_by_first(ratio) -> bool:
    now, called = [0.0], set()

    def step(name, takes):
        def run():
            now[0] += takes if name in called else 1000
            called.add(name)

        return run

    return abs(ratio(step("old", 4), step("new", 1), lambda: now[0]) - 4) > 0.1""",
        why="Warm up, take turns, and let no single call decide: so this lesson measures. On a GPU one thing more: "
        "wait until it has done its work (`torch.cuda.synchronize()`), or you time how fast work is handed in.",
    ),
    Exercise(
        name="look_up",
        kind="transfer",
        title="Guess from the text, check in one pass",
        text="A pass over ten tokens costs hardly more than one over a single token: the weights are read once. So "
        "guess, and check all guesses at once. **Prompt lookup** (Saxena 2023): find the last earlier place where the "
        "last `n` tokens of the text stand, and guess that what followed there follows here, up to `guesses` tokens. "
        "One call of `model(text and guesses)` gives the model's own choice after the text and after each guess. Keep "
        "the guesses up to the first that the model would not have chosen, and then the model's own token. Write "
        "`look_up(model, ids, new, n, guesses)`: the `new` greedy tokens after ids (1, seq), as a list. The text must "
        "be greedy's, with as few calls as this way needs. A cache is not asked for.",
        task=LOOK_UP,
        difficulty=4,
        importance=4,
        minutes=25,
        hints=(
            "Two parts. A function that finds guesses in a list; then one pass, in which scores at the last token of "
            "the text judge the first guess. Which scores judge the second?",
            "*The text is another one*: scores at a token tell of the next one, so the first guess is judged one place "
            "before where it stands. *As many calls as tokens*: the end of the text finds itself; look before it. *It "
            "never ends*: without a guess, or with a wrong one, the model's own token is still added.",
            "Until there are `new` tokens: guess (perhaps nothing); call with text and guess; argmax from the last "
            "token of the text on, one more than guesses; count how many agree from the front; add those, and the "
            "choice that stands after them. At the end cut to `new`.",
        ),
        starter=f'''def look_up(model, ids, new, n, guesses):
    """The `new` greedy tokens after ids (1, seq), with up to `guesses` guesses a call, as a list."""
    raise NotImplementedError("{LOOK_UP}")''',
        answers={"look_up": judge_lookup},
        worked=WORKED,
        why="The text is greedy's whatever is guessed: a bad guess costs a little time, never a word. Where texts "
        "repeat themselves, as in code or in summaries, that is several tokens a call; a small model that guesses "
        "(speculative decoding, Leviathan et al. 2023) helps with any text.",
    ),
)
