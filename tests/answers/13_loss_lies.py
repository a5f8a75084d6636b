"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

import torch

from llama_tutorial.classroom.components import diagnosis as known
from llama_tutorial.classroom.mysteries import RULES, digits, mystery
from llama_tutorial.diagnosis import moves, who_hears
from llama_tutorial.viz import record


def found(name: str) -> str:
    """A learner's way to a mystery's three answers: all rules, then all heads, one after another."""
    return f"""from llama_tutorial.classroom.mysteries import RULES, mystery, share_right
from llama_tutorial.viz import record
model = mystery("{name}")
with record(model) as trace:
    rule_{name.lower()} = max(RULES, key=lambda rule: share_right(model, rule))
left = {{}}
for layer in range(2):
    for head in range(2):
        with trace.replace(f"layers.{{layer}}.heads.{{head}}", "mean"):
            left[layer, head] = share_right(model, rule_{name.lower()})
head_{name.lower()} = min(left, key=left.get)
left_{name.lower()} = left[head_{name.lower()}]"""


def left(name: str, part: str, value="mean", at=0) -> float:
    """What is left of a mystery with a part replaced: of known places, of all places, or its loss."""
    truth = known.taken_apart(name)
    model, wanted = mystery(name), RULES[truth["rule"]](digits())
    with torch.no_grad(), record(model) as trace:
        model(digits())
    with torch.no_grad(), trace.replace(part, value):
        scores = model(digits())
    right, said = scores.argmax(dim=-1) == wanted, wanted >= 0
    loss = torch.nn.functional.cross_entropy(scores[said], wanted[said])
    return (right[said].float().mean(), right.float().mean(), loss)[at].item()


# These stand nowhere in the package.
TRANSFER = {
    "window_holds": """def window_holds(score, ids, width):
    from llama_tutorial.diagnosis import moves
    for edited in range(ids.shape[1]):
        for place, far in enumerate(moves(score, ids, edited).tolist()):
            if (far > 1e-4) != (0 <= place - edited < width):
                return False
    return True""",
    "mystery_x": found("X"),
    "mystery_y": found("Y"),
    "mystery_z": found("Z"),
}


def window(mask):
    """A probe of windows that holds the map against a mask."""
    return lambda score, ids, width: bool(((who_hears(score, ids) > 1e-4) == mask(ids.shape[1], width)).all())


def too_far_only(score, ids, width):
    return not (who_hears(score, ids).triu(width) > 1e-4).any()


def causal_only(score, ids, width):
    return not (who_hears(score, ids).tril(-1) > 1e-4).any() and not (who_hears(score, ids).triu(width) > 1e-4).any()


def side_by_side(ids, read, length):
    pieces = {tuple(read[i : i + length].tolist()) for i in range(0, len(read), length)}
    asked = [tuple(row[i : i + length].tolist()) for row in ids for i in range(ids.shape[1] - length + 1)]
    return sum(piece in pieces for piece in asked) / len(asked)


def counted(ids, read, length):
    return known.seen_before(ids, read, length) * len(ids) * (ids.shape[1] - length + 1)


def across(ids, read, length):
    pieces = {tuple(piece) for piece in read.unfold(0, length, 1).tolist()}
    asked = ids.flatten().unfold(0, length, 1).tolist()
    return sum(tuple(piece) in pieces for piece in asked) / len(asked)


def of_the_read(ids, read, length):
    return counted(ids, read, length) / len({tuple(piece) for piece in read.unfold(0, length, 1).tolist()})


def of_tensors(ids, read, length):
    pieces = {tuple(read[i : i + length]) for i in range(len(read) - length + 1)}
    asked = [tuple(row[i : i + length]) for row in ids for i in range(len(row) - length + 1)]
    return sum(piece in pieces for piece in asked) / len(asked)


def one_short(ids, read, length):
    pieces = {tuple(read[i : i + length].tolist()) for i in range(len(read) - length)}
    asked = [tuple(row[i : i + length].tolist()) for row in ids for i in range(len(row) - length)]
    return sum(piece in pieces for piece in asked) / len(asked)


def any_piece(ids, read, length):
    pieces = {tuple(piece) for piece in read.unfold(0, length, 1).tolist()}
    return sum(any(tuple(piece) in pieces for piece in row) for row in ids.unfold(1, length, 1).tolist()) / len(ids)


def a_row(score, ids, place):
    edited = ids.clone()
    edited[place] = (ids[place] + 1) % score(ids).shape[-1]
    return (score(edited) - score(ids)).abs().amax(dim=(0, 2)) / score(ids).std()


def never_moves(probe):
    """The score that it hands in is the same for every text."""
    return bool(probe(lambda ids: torch.arange(7.0).expand(*ids.shape, 7), torch.tensor([[1, 2, 3]])))


WRONG = [
    ("first_to_move", 8, "after one layer"),
    ("first_to_move", 9, "a right model"),
    ("first_to_move", 0, "one place only"),
    ("first_to_move", 13, "look before the edit"),
    ("probes_that_fail", {"is causal"}, "the mask stands"),
    ("probes_that_fail", {"moves together", "reads in pieces"}, "turned or not"),
    ("probes_that_fail", set(), "keys that stay as they are"),
    ("probes_that_fail", {"positions"}, "none of the six"),
    ("seen_before", side_by_side, "One begins at every place"),
    ("seen_before", counted, "A share is asked for"),
    ("seen_before", across, "into the next"),
    ("seen_before", of_the_read, "divide by the number of pieces that were read"),
    ("seen_before", of_tensors, "A tuple of tensors"),
    ("seen_before", one_short, "The last piece is missing"),
    ("seen_before", any_piece, "Count the pieces"),
    ("seen_before", lambda ids, read, length: torch.isin(ids, read).float().mean().item(), "Ask for the piece"),
    ("moves", a_row, "is a row"),
    ("mended_leak", lambda score, ids: False, "One such edit is enough"),
    ("mended_leak", known.looks_after, "Look before it"),
    ("mended_leak", known.looks_at_itself_too, "Look before it"),
    ("mended_leak", lambda score, ids: bool((moves(score, ids, 1)[:1] > 1e-4).any()), "one place after another"),
    ("blames_the_right", never_moves, "does anything move after the edit"),
    ("blames_the_right", lambda probe: True, "never moves before the edit"),
    ("window_holds", window(lambda seq, width: torch.ones(seq, seq).triu().bool()), "the 3 after it"),
    ("window_holds", window(lambda seq, width: known.window(seq, width + 1).T.bool()), "the 3 after it"),
    ("window_holds", too_far_only, "a window of 3"),
    ("window_holds", causal_only, "stays there, and should move"),
    ("rule_x", "two back", "none back"),
    ("rule_x", "induction", "the answer is one of"),
    ("rule_y", "the highest so far", "says the same in 48%"),
    ("rule_z", "the highest so far", "says the same in 42%"),
    ("head_x", (0, 0), "no map of the four is clearly sharper"),
    ("head_x", (1, 0), "nobody misses it"),
    ("head_x", "0.1", "is (layer, head)"),
    ("head_y", (1, 0), "no map of the four is clearly sharper"),
    ("head_z", (0, 0), "nobody misses it"),
    ("left_y", left("Y", "layers.0.heads.0", 0), "Its mean was asked for"),
    ("head_y", (0, 1), "another head is missed more"),
    ("head_z", (1, 0), "no map of the four is clearly sharper"),
    ("head_z", (0, 1), "nobody misses it"),
    ("left_x", left("X", "layers.0.heads.1", 0), "Its mean was asked for"),
    ("left_x", left("X", "layers.0.heads.0"), "or a head that nobody misses"),
    ("left_x", left("X", "layers.0.heads"), "both heads of the layer"),
    ("left_x", 1 - left("X", "layers.0.heads.1"), "how many are wrong"),
    ("left_y", left("Y", "layers.0.heads.1"), "head 1 of layer 0, which is not missed most"),
    ("left_y", left("Y", "layers.0.heads.0", "mean", 2), "that is the loss"),
    ("left_y", 100 * left("Y", "layers.0.heads.0"), "in per cent"),
    ("left_z", left("Z", "layers.1.heads.1", "mean", 1), "leave them out"),
    ("left_z", left("Z", "layers.1.heads.1", 0), "Its mean was asked for"),
    ("left_z", left("Z", "layers.1.heads.1", 0, 1), "over all places"),
    ("left_z", left("Z", "layers.1.heads.0"), "a head that nobody misses"),
]
