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


def split_as_on_the_page(x, heads):
    out = torch.zeros(1, heads, 5, 2, dtype=x.dtype)
    for seq in range(5):
        for head in range(heads):
            out[0, head, seq] = x[0, seq, head * 2 : head * 2 + 2]
    return out


def split_as_wide_as_many(x, heads):
    out = x.new_zeros(len(x), heads, x.shape[1], heads)
    for head in range(heads):
        out[:, head] = x[:, :, head * heads : (head + 1) * heads]
    return out


def fits_of_two(asks, answers):
    grouped = rearrange(asks, "batch (kv group) query dim -> batch kv group query dim", kv=2)
    return torch.einsum("bkgqd,bkwd->bkgqw", grouped, answers).flatten(1, 2)


def neighbours_differ(fit, asks, first):
    """Whether heads 0 and 1 fit differently, where the first that answers holds this number and the second ones."""
    answers = torch.ones(1, 2, 1, 4)
    answers[:, 0] = first
    fits = fit(asks, answers)
    return not torch.equal(fits[:, 0], fits[:, 1])


def pooled_inside(pictures):
    return reduce(pictures, "batch (row down) (column across) -> batch down across", "mean", down=2, across=2)


def merged_too_far_apart(x):
    batch, heads, seq, dim = x.shape
    out = x.new_zeros(batch, seq, heads * dim)
    for head in range(heads):
        for place in range(dim):
            out[:, :, head * heads + place] = x[:, head, :, place]
    return out


def fits_turned(asks, answers):
    grouped = rearrange(asks, "batch (kv group) query dim -> batch group kv query dim", kv=answers.shape[1])
    return torch.einsum("bkgqd,bkwd->bkgqw", grouped, answers).flatten(1, 2)


def all_ask_alike(fit):
    answers = torch.ones(1, 2, 1, 4)
    answers[:, 0] = 0
    return fit(torch.ones(1, 6, 1, 4), answers)


def unlike_the_right_one(fit):
    asks, answers = torch.randn(1, 6, 3, 4), torch.randn(1, 2, 3, 4)
    right = asks @ answers.repeat_interleave(3, dim=1).mT
    return not torch.allclose(fit(asks, answers), right, atol=1e-4)


WRONG = [
    ("second_head", [6, 7, 8], "a mere reshape"),
    ("second_head", torch.tensor([1, 3, 5]), "(dim head)"),
    ("second_head", [3, 4], "3 numbers"),
    ("second_head", 3, "a list of numbers"),
    ("its_number", 2, "the diagonal"),
    ("its_number", 35, "over query too"),
    ("its_number", 7, "one by one"),
    ("its_number", [0, 3, 1, 2, 2], "the row of scores"),
    ("its_number", torch.tensor([5.0, 3.0]), "the sums for each dim"),
    ("split_by_hand", lambda x, heads: x.new_zeros(len(x), heads, x.shape[1], x.shape[2] / heads), "width // heads"),
    ("merge_by_hand", merged_too_far_apart, "the width of a head"),
    ("mended_fits", fits_turned, "comes before group"),
    ("deals_in_turn", lambda fit: torch.equal(*all_ask_alike(fit)[:, [0, 2]].unbind(1)), "True of all, right and"),
    ("deals_in_turn", unlike_the_right_one, "the numbers of another fit"),
    ("pool", lambda pictures: reduce(pictures, "b (row down) (column across) -> b row column", "mean"), "cannot know"),
    ("pool", lambda pictures: pictures.unflatten(1, (-1, 2)).unflatten(3, (-1, 2)).mean((2, 4)).flatten(1), "one axis"),
    ("split_by_hand", split_by_reshape, "what `reshape` gives"),
    ("split_by_hand", lambda x, heads: torch.stack([x[..., head::heads] for head in range(heads)], 1), "dealt out"),
    ("split_by_hand", lambda x, heads: torch.cat(x.chunk(heads, dim=-1), dim=1), "`torch.stack` makes a new one"),
    ("split_by_hand", split_as_on_the_page, "right for the page's"),
    ("split_by_hand", split_as_wide_as_many, "`heads` numbers wide"),
    ("merge_by_hand", lambda x: x.flatten(2).clone(), "You read x as (batch, seq, head, dim)"),
    ("merge_by_hand", lambda x: torch.cat(x.unbind(1), dim=1), "along seq"),
    ("merge_by_hand", lambda x: torch.stack(x.unbind(1), dim=-1).flatten(2), "interleaved"),
    ("second_head", [[3, 4, 5]], "a list of numbers"),
    ("wrong_heads", {0, 1, 2, 3, 4, 5}, "ot all: 0 1"),
    ("wrong_heads", [0, 2, 3, 5], "the right ones"),
    ("wrong_heads", {1, 3, 5}, "get kv 1"),
    ("wrong_heads", {4}, "right so far"),
    ("wrong_heads", {1, 2, 4, 5}, "at least one meets the right one"),
    ("wrong_heads", set(), "heads do meet the wrong one"),
    ("mended_fits", half_mended, "the merge is not"),
    ("mended_fits", lambda asks, answers: asks @ answers[:, :1].mT, "these are wrong: 3, 4, 5"),
    ("mended_fits", fits_of_two, "where 2 answer for 6; with 6 heads that ask and 3"),
    ("deals_in_turn", lambda fit: neighbours_differ(fit, torch.randn(1, 6, 1, 4), 2.0), "ask different things"),
    ("deals_in_turn", lambda fit: neighbours_differ(fit, torch.ones(1, 6, 1, 4), 1.0), "are alike"),
    ("deals_in_turn", lambda fit: not neighbours_differ(fit, torch.ones(1, 6, 1, 4), 0.0), "says the opposite"),
    ("deals_in_turn", lambda fit: False, "should say True of the one that you mended"),
    ("deals_in_turn", lambda fit: True, "should say False of the right one"),
    ("pool", pooled_apart, "far apart"),
    ("pool", lambda pictures: pictures.unfold(1, 2, 1).unfold(2, 2, 1).mean(dim=(-1, -2)), "patches overlap"),
    ("pool", pooled_inside, "stay, and the patches are averaged"),
    ("pool", lambda pictures: pictures.reshape(2, len(pictures[0]) // 2, -1, 4).mean(-1), "a mere reshape"),
    ("pool", lambda pictures: pictures[:, ::2, ::2], "one number of each patch"),
]
