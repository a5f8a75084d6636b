"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

# These stand nowhere in the package.
TRANSFER = {
    "rotate_part": """def rotate_part(x, rotation):
    turned = 2 * rotation[0].shape[-1]
    return torch.cat([rotate(x[..., :turned], rotation), x[..., turned:]], dim=-1)


laws_that_hold = {"identity at 0", "length", "distance only"}""",
    "stretched_base": """def stretched_base(theta, dim, factor):
    return theta * factor ** (dim / (dim - 2))""",
}

WRONG = [
    ("slowest_turn", 500000, "a turn is 2π"),
    ("slowest_turn", 7.0, "times the right number"),
    ("slowest_turn", "many", "is a number"),
    ("laws_that_hold", {"length"}, "holds as well"),
    ("keeps_lengths", lambda turn: True, "should say False of a turn"),
    ("knows_distance_only", lambda scores: False, "should say True of"),
    ("stretched_base", lambda theta, dim, factor: theta * factor, "times slower, not 4 times"),
    ("mended_rotate", lambda x, rotation: x, "an angle of 0 leaves the vector as it is"),
    ("rotate_part", lambda x, rotation: x * 2, "come out as they went in"),
]
