"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

import torch

from llama_tutorial.checkpoint import to_halves, to_neighbours

IDS = torch.arange(9)[None]
ALL = torch.arange(64)[None]

# These stand nowhere in the package.
TRANSFER = {
    "part_to_halves": """def part_to_halves(weight, heads, turned):
    rows = rearrange(weight, "(head dim) hidden -> head dim hidden", head=heads)
    moved = rearrange(rows[:, :turned], "head (pair two) hidden -> head (two pair) hidden", two=2)
    return rearrange(torch.cat([moved, rows[:, turned:]], dim=1), "head dim hidden -> (head dim) hidden")""",
    "name_mistake": """def name_mistake(first, later, q):
    if max(first, later) <= 1e-5:
        return "fine"
    if first <= 1e-5:
        return "pairing" if q > 1e-5 else "angles"
    return "weights" if first > 1e-2 else str("eps")""",
}

SIX = {
    "k alone in the other pairing": True, "v in the other pairing": False, "q twice as large": True,
    "the two heads of k exchanged": True, "the two heads of v exchanged": False, "the last norm forgotten": False,
}  # fmt: skip
THREE = {"gate_proj": "sorted", "up_proj": "sorted", "down_proj": "equal"}


def turned_parts(theirs):
    return {"gate_proj.weight": theirs["w1"], "up_proj.weight": theirs["w2"], "down_proj.weight": theirs["w3"]}


def differ(ours, theirs):
    return not all(torch.equal(ours[name], theirs[name]) for name in ("gate_proj", "up_proj"))


def exactly(ours, theirs):
    return torch.equal(ours["gate_proj"], theirs["up_proj"]) and torch.equal(ours["up_proj"], theirs["gate_proj"])


def absolutely(ours, theirs):
    pairs = ((ours[one], theirs[two]) for one, two in (("gate_proj", "up_proj"), ("up_proj", "gate_proj")))
    return all(torch.allclose(one, two, atol=1e-3) for one, two in pairs)


def half_exchanged(ours, theirs):
    return torch.allclose(ours["gate_proj"], theirs["up_proj"], rtol=1e-4, atol=1e-5)


def down_alike_too(ours, theirs):
    return half_exchanged(ours, theirs) and torch.equal(ours["down_proj"], theirs["down_proj"])


def each_number_alone(ours, theirs):
    return torch.allclose(ours["gate_proj"], theirs["up_proj"]) and torch.allclose(ours["up_proj"], theirs["gate_proj"])


def exact_is_zero(first, later, q):
    if first == 0:
        return "fine" if later == 0 else "pairing" if q > 0 else "angles"
    return "eps" if first < 1e-2 else "weights"


def blind_to_q(first, later, q):
    return "fine" if later < 1e-5 else "angles" if first < 1e-5 else "eps" if first < 1e-2 else "weights"


def eps_by_q(first, later, q):
    if first < 1e-5:
        return "fine" if later < 1e-5 else "pairing" if q > 1e-5 else "angles"
    return "eps" if q > 1e-5 else "weights"


def blind_to_size(first, later, q):
    return "fine" if later < 1e-5 else "weights" if first > 1e-5 else "pairing" if q > 1e-5 else "angles"

def turned_by(theirs, **heads):
    parts = {name: name.split(".")[-2].removesuffix("_proj") for name in theirs}
    return {name: to_halves(weight, heads[parts[name]]) if parts[name] in heads else weight
            for name, weight in theirs.items()}  # fmt: skip


def back_by(theirs, config):
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    parts = {name: name.split(".")[-2] for name in theirs}
    return {name: to_neighbours(weight, heads[parts[name]]) if parts[name] in heads else weight
            for name, weight in theirs.items()}  # fmt: skip


def best_alike(one, other):
    return torch.equal(one(ALL).argmax(-1), other(ALL).argmax(-1))


def last_alike(one, other):
    return torch.allclose(one(ALL)[:, -1], other(ALL)[:, -1], rtol=1e-3, atol=1e-6)


def part_by(order):
    """A move of rows: `order` says of each head's places which rows come there, given dim and turned."""
    def move(weight, heads, turned):
        dim = len(weight) // heads
        return weight.unflatten(0, (heads, dim))[:, order(dim, turned)].flatten(0, 1)

    return move


def first_rows_of_all(weight, heads, turned):
    return torch.cat([to_halves(weight[: heads * turned], heads), weight[heads * turned :]])


def joined_too_late(weight, heads, turned):
    rows = weight.unflatten(0, (heads, -1))
    moved = to_halves(rows[:, :turned].flatten(0, 1), heads)
    return torch.cat([moved, rows[:, turned:].flatten(0, 1)])


def as_long(ours, theirs):
    for name in theirs:
        mine, right = ours[name].norm(dim=-1), theirs[name].norm(dim=-1)
        if not ((mine - right).abs() <= 1e-5 * right).all():
            return name
    return None


def squares(ours, theirs):
    for name in theirs:
        if not ((ours[name] - theirs[name]).square().sum(-1) <= 1e-5 * theirs[name].square().sum(-1)).all():
            return name
    return None


def too_early(ours, theirs):
    for name in theirs:
        if not ((ours[name] - theirs[name]).norm(dim=-1) <= 1e-5 * theirs[name].norm(dim=-1)).all():
            return name
        return None


WRONG = [
    ("bytes_tied", 2 * 525336576, "tied is one table"),
    ("bytes_untied", 525336576, "hat is one table"),
    ("mended_pairing", lambda theirs, config: {}, "every tensor under the name"),
    ("mended_pairing", lambda theirs, config: theirs, "q_proj.weight differs in"),
    ("mended_pairing", lambda theirs, config: turned_by(theirs, q=4, k=2, v=2), "v is moved as well"),
    ("mended_pairing", lambda theirs, config: turned_by(theirs, q=4), "k stays as it came"),
    ("mended_pairing", back_by, "the way back"),
    ("reads_alike", best_alike, "the best token stays the best"),
    ("reads_alike", last_alike, "wrong at the third token alone"),
    ("reads_alike", lambda one, other: True, "in the other pairing"),
    ("reads_alike", lambda one, other: torch.equal(*(f(torch.arange(9)[None]) for f in (one, other))), "rounds"),
    ("reads_alike", lambda one, other: one(IDS).allclose(other(IDS), atol=1e-3), "the 17th token"),
    ("reads_alike", lambda one, other: one(ALL).allclose(other(ALL), atol=1e-3), "near 0.001"),
    ("first_off", lambda ours, theirs: None, "It gives None, whatever is off"),
    ("first_off", as_long, "You compare two lengths"),
    ("first_off", squares, "more than 1e-5 of the length"),
    ("first_off", too_early, "as soon as one module agrees"),
    ("first_is_exact", {**SIX, "v in the other pairing": True}, "v is what attention passes on"),
    ("first_is_exact", {**SIX, "q twice as large": False}, "softmax makes 1"),
    ("first_is_exact", {}, "keep its six names"),
    ("units_together", {**THREE, "down_proj": "sorted"}, "each unit still writes"),
    ("units_together", {**THREE, "down_proj": "off"}, "each unit still writes"),
    ("gate_alone", {"gate_proj": "sorted", "up_proj": "equal", "down_proj": "equal"}, "another unit's offer"),
    ("mended_parts", turned_parts, "up_proj.weight"),
    ("mended_parts", lambda theirs: theirs, "should give the three names"),
    ("gate_up_exchanged", differ, "should say False of one that has up twice"),
    ("gate_up_exchanged", exactly, "should say True of the same, rounded otherwise"),
    ("gate_up_exchanged", half_exchanged, "should say False of one that has up twice"),
    ("gate_up_exchanged", absolutely, "near 0.0001"),
    ("gate_up_exchanged", each_number_alone, "should say True of the same, rounded otherwise"),
    ("gate_up_exchanged", down_alike_too, "should say True of one whose gate and up are exchanged"),
    ("name_mistake", exact_is_zero, "misread was nothing"),
    ("name_mistake", blind_to_q, "the pairing of q and k"),
    ("name_mistake", blind_to_size, "eps, taken for 1e-6"),
    ("name_mistake", eps_by_q, "the table of tokens, one row too far"),
    ("mended_sizes", lambda fields: (1e-6, 12, 8), "its publisher meant (1e-05, 4, 16)"),
    ("mended_sizes", lambda fields: (1e-5, 4, fields["head_dim"] / 1), "whole numbers"),
    ("part_to_halves", lambda weight, heads, turned: to_halves(weight, heads), "You move all rows of a head"),
    ("part_to_halves", part_by(lambda dim, n: [*range(n, dim), *range(0, n, 2), *range(1, n, 2)]), "have come before"),
    ("part_to_halves", first_rows_of_all, "before you cut into heads"),
    ("part_to_halves", joined_too_late, "join each head before the heads"),
]
