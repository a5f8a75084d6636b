"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

# These stand nowhere in the package.
TRANSFER = {
    "head_norm": """from einops import rearrange


def head_norm(x, weight, eps):
    heads = rearrange(x, "batch seq (head dim) -> batch seq head dim", dim=len(weight))
    return rearrange(rms_norm(heads, weight, eps), "batch seq head dim -> batch seq (head dim)")""",
}

WRONG = [
    ("looks_at_the_mean", lambda norm: False, "should say True of"),
]
