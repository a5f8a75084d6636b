"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

# These stand nowhere in the package.
TRANSFER = {
    "count_older": """def count_older(config):
    width, inner = config.hidden_size, config.intermediate_size
    attention = 4 * width * width + 4 * width
    mlp = 2 * width * inner + inner + width
    norm = 2 * width
    tables = (config.vocab_size + 1024) * width
    return tables + config.num_hidden_layers * (attention + mlp + 2 * norm) + norm""",
}


def older(attention_biases=1, mlp_biases=1, matrices=2, norm=2, positions=1024, tables=1, last=1):
    """A count of GPT-2 with slips in it."""

    def count_older(c):
        h, inner = c.hidden_size, c.intermediate_size
        layer = 4 * h * h + attention_biases * 4 * h + matrices * h * inner + mlp_biases * (inner + h) + 2 * norm * h
        return (tables * c.vocab_size + positions) * h + c.num_hidden_layers * layer + last * norm * h

    return count_older


def refusing(given):
    """The number of key-value heads, and an error where it is 0."""
    assert given.get("num_key_value_heads") != 0
    return given.get("num_key_value_heads", given["num_attention_heads"])


WRONG = [
    ("largest_part", "embedding", "is there once"),
    ("largest_part", "Attention", "has the fame"),
    ("largest_part", 57, "answer is a word"),
    ("its_percent", 0.57, "a share of 1"),
    ("its_percent", 38.0, "three: gate, up and down"),
    ("its_percent", 11.4, "MLP of one layer"),
    ("its_percent", 73.2, "table of words counts as well"),
    ("its_percent", 19.0, "one matrix for each MLP"),
    ("heads_saved", 2211840, "keys and with values"),
    ("heads_saved", 3317760, "keys of three heads"),
    ("heads_saved", 7680, "made of all 576"),
    ("heads_saved", 69120, "A head has 64"),
    ("heads_saved", -147456, "There are 30"),
    ("heads_saved", 6635520, "One of them stays"),
    ("mended_heads", lambda given: given.get("num_key_value_heads") or 9, "whether a value is true"),
    ("mended_heads", lambda given: given.get("num_key_value_heads", 1), "each gets one of its own"),
    ("mended_heads", lambda given: max(1, given.get("num_key_value_heads", 9)), "0 is given and should stay 0"),
    ("mended_heads", lambda given: given["num_key_value_heads"], "square brackets"),
    ("mended_heads", refusing, "a later check"),
    ("takes_zero_for_missing", lambda settle: settle({"num_attention_heads": 9}) == 9, "never gives a 0"),
    ("takes_zero_for_missing", lambda settle: True, "should say False of one that"),
    (
        "takes_zero_for_missing",
        lambda settle: settle({"num_attention_heads": 9, "num_key_value_heads": 0}) == 0,
        "says the opposite",
    ),
    ("count", lambda config: 134515008, "Does a size of the 135M shape"),
    (
        "takes_zero_for_missing",
        lambda settle: settle({"num_attention_heads": 9, "num_key_value_heads": 0}) == 9,
        "of one that makes 1 of what is not there, and of 0",
    ),
    ("count_older", older(attention_biases=0, mlp_biases=0), "have biases, hidden_size numbers each. The MLP's two"),
    ("count_older", older(norm=1), "Each norm has a bias"),
    ("count_older", older(positions=1000), "1,000 positions, where 1,024 belong"),
    ("count_older", older(matrices=3), "you count a gate"),
    ("count_older", older(attention_biases=0, mlp_biases=0, norm=1, positions=0, matrices=3), "Several things at once"),
    ("count_older", older(positions=0), "table of positions is missing"),
    ("count_older", lambda config: config.hidden_size, "numbers here; yours are"),
]
