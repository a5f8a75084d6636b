"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

from collections import Counter

# These stand nowhere in the package.
TRANSFER = {
    "wordpiece_pair": """def wordpiece_pair(words):
    counts = Counter(token for word in words for token in word)
    together = Counter(pair for word in words for pair in zip(word, word[1:]))
    return min(together, key=lambda pair: (-together[pair] / (counts[pair[0]] * counts[pair[1]]), pair))""",
}


def scored(score, last=False):
    """A choice of the best pair by another score."""

    def wordpiece_pair(words):
        counts = Counter(token for word in words for token in word)
        found = Counter(pair for word in words for pair in zip(word, word[1:]))
        best = max(score(found[p], counts[p[0]], counts[p[1]]) for p in found)
        ties = sorted(p for p in found if score(found[p], counts[p[0]], counts[p[1]]) > best - 1e-9)
        return ties[-1 if last else 0]

    return wordpiece_pair


def at_the_end(tokenizer, ids):
    yield tokenizer.decode(ids)


def dropped(tokenizer, ids):
    for piece in tokenizer.pieces(ids):
        yield piece.decode(errors="ignore")


def alone(tokenizer, ids):
    for i in ids:
        yield tokenizer.decode([i])


WRONG = [
    ("first_merges", ["i+n", "n+Ġ", "a+in"], "reaches from one word into the next"),
    ("first_merges", ["i+n", "Ġ+t", "h+e"], "the earlier token wins"),
    ("first_merges", ["i+n", "t+h", "Ġ+t"], "no t left before the h"),
    ("first_merges", ["i+n", "Ġ+t", "a+i"], "has gone into the token in"),
    ("first_merges", ["h+e", "t+he", "Ġ+the"], "the story's first merge"),
    ("first_merges", ["Ġ+t", "i+n", "a+in"], "in another order"),
    ("first_merges", "i+n", "a list of texts"),
    ("greek_tokens", 110, "two bytes"),
    ("greek_tokens", 220, "the spaces, the comma"),
    ("greek_tokens", 38, "what English of this length costs"),
    ("greek_tokens", 154, "the sentence before"),
    ("greek_tokens", 1000, "times the right number"),
    ("mended_stream", alone, "half a letter was decoded"),
    ("mended_stream", dropped, "bytes were lost"),
    ("mended_stream", at_the_end, "all comes at once"),
    ("loses_letters", lambda stream, tokenizer: False, "should say True of the one above"),
    ("loses_letters", lambda stream, tokenizer: True, "should say False of one that lets half a letter wait"),
    ("mended_request", lambda task: f"Task: {task} Answer: ", "still ends in a space"),
    ("mended_request", lambda task: f"Task:{task}Answer:".strip(), "only the"),
    ("leaves_a_space", lambda build: build("x")[-1].isspace(), "should say False of one that ends in a new line"),
    ("leaves_a_space", lambda build: build("x").endswith(": "), "should say True of one that ends in two spaces"),
    ("wordpiece_pair", scored(lambda n, a, b: n), "as in byte-pair encoding"),
    ("wordpiece_pair", scored(lambda n, a, b: n / (a + b)), "their product belongs below"),
    ("wordpiece_pair", scored(lambda n, a, b: n / a), "the second's belongs below as well"),
    ("wordpiece_pair", scored(lambda n, a, b: n / (a * b), last=True), "the first in the alphabet wins"),
    ("wordpiece_pair", lambda words: "he", "should return a pair"),
]
