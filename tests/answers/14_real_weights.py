"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

import torch

from llama_tutorial.checkpoint import to_halves

IDS = torch.arange(9)[None]

# These stand nowhere in the package.
TRANSFER = {
    "part_to_halves": """def part_to_halves(weight, heads, turned):
    rows = rearrange(weight, "(head dim) hidden -> head dim hidden", head=heads)
    moved = rearrange(rows[:, :turned], "head (pair two) hidden -> head (two pair) hidden", two=2)
    return rearrange(torch.cat([moved, rows[:, turned:]], dim=1), "head dim hidden -> (head dim) hidden")""",
}

WRONG = [
    ("bytes_tied", 2 * 525336576, "tied is one table"),
    ("bytes_untied", 525336576, "hat is one table"),
    ("mended_pairing", lambda theirs, config: {}, "every tensor under the name"),
    ("mended_pairing", lambda theirs, config: theirs, "q_proj.weight differs in"),
    ("reads_alike", lambda one, other: True, "in the other pairing"),
    ("reads_alike", lambda one, other: torch.equal(*(f(torch.arange(9)[None]) for f in (one, other))), "rounds"),
    ("reads_alike", lambda one, other: one(IDS).allclose(other(IDS), atol=1e-3), "the 17th token"),
    ("mended_sizes", lambda fields: (1e-6, 12, 8), "its publisher meant (1e-05, 4, 16)"),
    ("part_to_halves", lambda weight, heads, turned: to_halves(weight, heads), "1 heads of 8 rows"),
]
