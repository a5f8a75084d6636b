"""What must hold of RMSNorm. A subject is called as norm(x, weight, eps)."""

import torch

from ...rms_norm import LlamaRMSNorm, rms_norm
from ..guard import call
from . import Case, Exercise, built, collect, normal, own_weights, reached, run_with, tells_gradient, wrong_versions

CASES: list[Case] = []
case = collect(CASES)
ONES = torch.ones(7)


@case("vectors are divided by their root mean square", "batch seq dim")
def divides(norm):
    x = normal(1, 2, 11, 7)
    return norm(3 * (x - x.mean(-1, keepdim=True)), ONES, 1e-6)


@case("the mean is not subtracted", "batch seq dim")
def keeps_the_mean(norm):
    return norm(normal(2, 2, 11, 7) + 5, ONES, 1e-6)


@case("eps is added to the mean square, inside the root", "batch seq dim")
def eps_inside(norm):
    return norm(0.3 * normal(3, 2, 11, 7), ONES, 0.1)


@case("a vector of zeros stays zeros", "batch seq dim")
def zeros(norm):
    return norm(torch.zeros(2, 3, 7), ONES, 1e-5)


@case("the gain multiplies each dimension", "batch seq dim")
def gain(norm):
    return norm(normal(4, 2, 11, 7), normal(5, 7), 1e-5)


def _tells_leak(found, wanted):
    return "I edited token 5 alone, and others moved too: they share something."


@case("every token is normed alone", "batch seq dim", tell=_tells_leak)
def alone(norm):
    x = normal(6, 2, 11, 7)
    edited = x.clone()
    edited[:, 5] *= 3
    edited[:, 5, 0] += 4
    moved = norm(edited, ONES, 1e-5) - norm(x, ONES, 1e-5)
    return torch.cat([moved[:, :5], moved[:, 6:]], dim=1)


@case("311 tokens, with gain and eps", "batch seq dim")
def whole(norm):
    return norm(normal(7, 2, 311, 13) + 0.5, normal(8, 13), 0.1)


@case("any number of axes may stand before the last")
def any_axes(norm):
    weight = normal(9, 7)
    return tuple(norm(normal(10, *shape), weight, 1e-3) for shape in ((7,), (5, 7), (2, 3, 5, 7)))


@case("bfloat16: squares in float32, and back", "row", tolerance=7e-4)
def bfloat16(norm):
    """How long each output is beside the exact one, so that the rounding of single numbers averages out."""
    x, weight = (normal(11, 23, 577).bfloat16(), torch.ones(577).bfloat16())
    x[:, 0] *= 3
    found = norm(x, weight, 1e-5)
    if found.dtype != torch.bfloat16:
        return found
    exact = rms_norm(x.double(), weight.double(), 1e-5)
    return (found.double() * exact).sum(-1) / exact.square().sum(-1)


@case("float16: large vectors do not overflow", "seq dim", tolerance=5e-3)
def float16(norm):
    return norm((300 * normal(12, 5, 17)).half(), torch.ones(17).half(), 1e-5)


@case("float64 comes back as float64", "seq dim")
def float64(norm):
    return norm(normal(13, 5, 7, dtype=torch.float64), normal(14, 7, dtype=torch.float64), 1e-5)


@case("gradients reach the input and the gain", tolerance=1e-3, tell=tells_gradient)
def gradients(norm):
    x, weight = normal(15, 2, 5, 7).requires_grad_(), normal(16, 7).requires_grad_()
    return reached((norm(x, weight, 1e-3) * normal(17, 2, 5, 7)).sum(), x=x, weight=weight)


CLASS_CASES = [*CASES]
case = collect(CLASS_CASES)


@case("a fresh norm has gain 1 and eps 1e-5", "seq dim")
def fresh(norm):
    return norm(0.003 * normal(18, 5, 7), None, None)


# ------------------------------------------------------------------------------------------------------ both forms


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


def module_with(wrong):
    """The lesson's module around a wrong function."""

    class Wrong(LlamaRMSNorm):
        def forward(self, x):
            return wrong(x, self.weight, self.eps)

    return Wrong


LIFT = {("rms_norm", "LlamaRMSNorm"): module_with}  # how a wrong part (first) becomes a wrong version (second)

EXERCISES = (
    Exercise("rms_norm", rms_norm, adapt_function, tuple(CASES), wrong_versions("rms_norm")),
    Exercise("LlamaRMSNorm", LlamaRMSNorm, adapt_class, tuple(CLASS_CASES), wrong_versions("LlamaRMSNorm", LIFT)),
)
