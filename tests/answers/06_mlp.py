"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

# These stand nowhere in the package.
TRANSFER = {
    "squaring_weights": """def squaring_weights(dim):
    there = torch.eye(dim)
    both = torch.cat([there, -there])
    return both, both, torch.cat([there, there], dim=1)""",
}

WRONG = []
