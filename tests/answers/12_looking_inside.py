"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

import torch

from llama_tutorial.classroom.components import inside

# These stand nowhere in the package.
TRANSFER = {
    "takes_the_lead": """def takes_the_lead(guesses, right):
    still = (guesses == right).flip(0).int().cumprod(dim=0)
    return len(guesses) - still.sum(dim=0)""",
}


def written_into(heads, which):
    heads[:, which] = heads[:, which].mean(dim=(0, 1))
    return heads


def all_the_same(heads, which):
    changed = heads.clone()
    changed[:, which] = heads[:, which].mean()
    return changed


def silent(heads, which):
    changed = heads.clone()
    changed[:, which] = 0
    return changed


def diagonal(probs):
    return probs.diagonal(dim1=-2, dim2=-1)[..., 1:].mean(dim=(0, 2))


def first_too(probs):
    return probs.diagonal(offset=-1, dim1=-2, dim2=-1).sum(dim=(0, 2)) / (len(probs) * probs.shape[-1])


def duplicates(probs, ids):
    return inside.same_word(probs, ids)


def of_all_queries(probs, ids):
    same = (ids[:, :, None] == ids[:, None, :]).tril(-1)
    after = torch.cat([torch.zeros_like(same[:, :, :1]), same[:, :, :-1]], dim=2).tril(-1)
    return (probs * after[:, None]).sum(dim=-1).mean(dim=(0, 2))


def with_itself(probs, ids):
    return inside.same_word(probs, ids, 0)


def never(score):
    return False


def on_the_diagonal(score):
    return bool(score(torch.eye(4)[None, None], torch.arange(4)[None]).abs().max() > 0)


WRONG = [
    ("zero_off", 36, "square of the mean"),
    ("zero_off", 6, "without the square"),
    ("mean_off", 0, "differences cancel"),
    ("mean_off", 2, "without the square"),
    ("its_score", 3, "divided by √dim"),
    ("its_score", 0.75, "divided by √4"),
    ("pair_0_adds", 4, "pairs neighbours"),
    ("pair_0_adds", 1, "pair 1"),
    ("previous_score", diagonal, "the diagonal"),
    ("previous_score", first_too, "has nobody before it"),
    ("mean_ablated", written_into, "clone it first"),
    ("mean_ablated", all_the_same, "a mean of its own"),
    ("mean_ablated", silent, "That is zero"),
    ("mended_same", with_itself, "still counts"),
    ("mended_same", inside.undivided, "divide by all"),
    ("counts_itself", never, "should say True of the one above"),
    ("counts_itself", on_the_diagonal, "twice side by side"),
    ("induction_score", duplicates, "the same token again"),
    ("induction_score", of_all_queries, "Divide by those that have one"),
    ("takes_the_lead", inside.first_time, "lose the lead again"),
    ("takes_the_lead", lambda guesses, right: (guesses == right).sum(dim=0), "number of rows in which it leads"),
]
