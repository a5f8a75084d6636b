"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

import torch

from llama_tutorial.checkpoint import to_halves

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
    return torch.allclose(ours["gate_proj"], theirs["up_proj"], rtol=1e-4, atol=1e-7)


def exact_is_zero(first, later, q):
    if first == 0:
        return "fine" if later == 0 else "pairing" if q > 0 else "angles"
    return "eps" if first < 1e-2 else "weights"


def blind_to_q(first, later, q):
    return "fine" if later < 1e-5 else "angles" if first < 1e-5 else "eps" if first < 1e-2 else "weights"


def blind_to_size(first, later, q):
    return "fine" if later < 1e-5 else "weights" if first > 1e-5 else "pairing" if q > 1e-5 else "angles"

WRONG = [
    ("bytes_tied", 2 * 525336576, "tied is one table"),
    ("bytes_untied", 525336576, "hat is one table"),
    ("mended_pairing", lambda theirs, config: {}, "every tensor under the name"),
    ("mended_pairing", lambda theirs, config: theirs, "q_proj.weight differs in"),
    ("reads_alike", lambda one, other: True, "in the other pairing"),
    ("reads_alike", lambda one, other: torch.equal(*(f(torch.arange(9)[None]) for f in (one, other))), "rounds"),
    ("reads_alike", lambda one, other: one(IDS).allclose(other(IDS), atol=1e-3), "the 17th token"),
    ("reads_alike", lambda one, other: one(ALL).allclose(other(ALL), atol=1e-3), "near 0.001"),
    ("first_off", lambda ours, theirs: None, "one module is off"),
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
    ("name_mistake", exact_is_zero, "misread was nothing"),
    ("name_mistake", blind_to_q, "the pairing of q and k"),
    ("name_mistake", blind_to_size, "eps, taken for 1e-6"),
    ("mended_sizes", lambda fields: (1e-6, 12, 8), "its publisher meant (1e-05, 4, 16)"),
    ("part_to_halves", lambda weight, heads, turned: to_halves(weight, heads), "1 heads of 8 rows"),
]
