"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

import torch
from einops import rearrange, reduce

# These stand nowhere in the package.
TRANSFER = {
    "pool": """from einops import reduce


def pool(pictures):
    return reduce(pictures, "batch (row down) (column across) -> batch row column", "mean", down=2, across=2)""",
}


def half_mended(asks, answers):
    grouped = rearrange(asks, "batch (kv group) query dim -> batch kv group query dim", kv=answers.shape[1])
    fits = torch.einsum("bkgqd,bkwd->bkgqw", grouped, answers)
    return rearrange(fits, "batch kv group query key -> batch (group kv) query key")


def pooled_apart(pictures):
    return reduce(pictures, "batch (down row) (across column) -> batch row column", "mean", down=2, across=2)


def split_by_reshape(x, heads):
    return x.reshape(len(x), heads, x.shape[1], -1).clone()


WRONG = [
    ("second_head", [6, 7, 8], "a mere reshape"),
    ("second_head", torch.tensor([1, 3, 5]), "(dim head)"),
    ("second_head", [3, 4], "3 numbers"),
    ("second_head", 3, "a list of numbers"),
    ("its_number", 2, "the diagonal"),
    ("its_number", 35, "over query too"),
    ("split_by_hand", split_by_reshape, "what `reshape` gives"),
    ("split_by_hand", lambda x, heads: torch.stack([x[..., head::heads] for head in range(heads)], 1), "dealt out"),
    ("merge_by_hand", lambda x: torch.cat(x.unbind(1), dim=1), "along seq"),
    ("merge_by_hand", lambda x: torch.stack(x.unbind(1), dim=-1).flatten(2), "interleaved"),
    ("second_head", [[3, 4, 5]], "a list of numbers"),
    ("wrong_heads", {0, 1, 2, 3, 4, 5}, "ot all: 0 1"),
    ("wrong_heads", [0, 2, 3, 5], "the right ones"),
    ("mended_fits", half_mended, "the merge is not"),
    ("mended_fits", lambda asks, answers: asks @ answers[:, :1].mT, "these are wrong: 3, 4, 5"),
    ("deals_in_turn", lambda fit: False, "should say True of the one that you mended"),
    ("deals_in_turn", lambda fit: True, "should say False of the right one"),
    ("pool", pooled_apart, "far apart"),
    ("pool", lambda pictures: pictures.reshape(2, len(pictures[0]) // 2, -1, 4).mean(-1), "a mere reshape"),
    ("pool", lambda pictures: pictures[:, ::2, ::2], "one number of each patch"),
]
