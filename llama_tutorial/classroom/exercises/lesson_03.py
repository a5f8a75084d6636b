"""The exercises of lesson 03: RMSNorm."""

from .texts import Exercise, first_fault, said, same_tensor, typed_number


def tensor(*shape, seed=0):
    """Seeded random numbers around 1, so that a mean is seen."""
    import torch

    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 1


def judge_mended_norm(answer) -> str:
    import torch

    from llama_tutorial.rms_norm import rms_norm

    x, weight = tensor(2, 3, 5), tensor(5, seed=1)
    mine, wanted = answer(x.clone(), weight.clone(), 1e-5), rms_norm(x, weight, 1e-5)
    if torch.allclose(mine, planted_norm(x, weight, 1e-5), atol=1e-6):
        return "this still divides by how far the numbers lie from their mean; the size of a vector knows no mean"
    return same_tensor("mended_norm", mine, wanted)


def planted_norm(x, weight, eps):
    """The mistake of the exercise: the variance for the mean square."""
    import torch

    return weight * x * torch.rsqrt(x.var(dim=-1, unbiased=False, keepdim=True) + eps)


def judge_mean_probe(answer) -> str:
    import torch

    from llama_tutorial.rms_norm import rms_norm

    def without_mean(x, weight, eps):
        return rms_norm(x - x.mean(dim=-1, keepdim=True), weight, eps)

    told = {
        "RMSNorm": (rms_norm, False),
        "LayerNorm": (lambda x, weight, eps: torch.nn.functional.layer_norm(x, (x.shape[-1],), weight, eps=eps), True),
        "the planted norm": (planted_norm, True),
        "a norm that subtracts the mean first": (without_mean, True),
    }
    faults = [
        said(bool(answer(norm)) == looks, f"looks_at_the_mean should say {looks} of {name}")
        for name, (norm, looks) in told.items()
    ]
    return first_fault(*faults)


def judge_head_norm(answer) -> str:
    import torch

    faults = []
    for heads, dim in ((3, 5), (1, 7), (4, 2)):
        x, weight = tensor(2, 3, heads * dim), tensor(dim, seed=1)
        wanted = torch.empty_like(x)
        for head in range(heads):
            here = slice(head * dim, (head + 1) * dim)
            size = (x[..., here].square().sum(dim=-1, keepdim=True) / dim + 0.1).sqrt()
            wanted[..., here] = x[..., here] / size * weight
        faults.append(same_tensor(f"head_norm with {heads} heads", answer(x.clone(), weight.clone(), 0.1), wanted))
    return first_fault(*faults)


EXERCISES = (
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
                    8 / 12.5: "that divides by the mean square itself; its root is the size",
                },
            )
        },
        solution="size_three_four = 2 * 4 / ((3**2 + 4**2) / 2) ** 0.5",
        why="The size is the root of the mean of the squares, √12.5; the gain comes last.",
    ),
    Exercise(
        name="mended_norm",
        kind="find the bug",
        title="A norm that is right on the test data",
        text="On `torch.randn(1000, 512)` this norm is within about one per cent of the lesson's; on the vectors "
        "inside a model it is far off. Mend it, and write the **probe** that exposes it: a function that is given any "
        "norm and says whether it looks at the mean of a vector, which RMSNorm never does.",
        task="Say whether a norm looks at the mean of a vector: True for LayerNorm, False for RMSNorm.",
        difficulty=3,
        importance=3,
        minutes=10,
        hints=(
            "Which vectors would tell the two apart? Random ones around zero will not.",
            "*My probe says True of RMSNorm as well*: of course its output changes when x changes. Ask for something "
            "that RMSNorm promises about the size of what comes out, on a vector that is all one number.",
            "Give the norm vectors of constant fives. RMSNorm makes them ones. What has no spread comes out huge, or "
            "as zeros, where the mean was taken away.",
        ),
        starter='''def mended_norm(x, weight, eps):
    """RMSNorm with a mistake: mend it."""
    return weight * x * torch.rsqrt(x.var(dim=-1, unbiased=False, keepdim=True) + eps)


def looks_at_the_mean(norm) -> bool:
    """Whether norm(x, weight, eps) looks at the mean of a vector, as LayerNorm does and RMSNorm does not."""
    raise NotImplementedError("Say whether a norm looks at the mean of a vector.")''',
        answers={"mended_norm": judge_mended_norm, "looks_at_the_mean": judge_mean_probe},
        solution='''def mended_norm(x, weight, eps):
    return weight * x * torch.rsqrt(reduce(x * x, "... dim -> ... 1", "mean") + eps)


def looks_at_the_mean(norm) -> bool:
    fives = torch.full((1, 8), 5.0)
    return not torch.allclose(norm(fives, torch.ones(8), 1e-5), torch.ones(1, 8), atol=1e-3)''',
        why="A variance is the mean square of what is left without the mean. Where the mean is 0 the two are one; "
        "real vectors have one. Elsewhere the mean of squares is called `variance`, and this bug comes from the name.",
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
    ),
)
