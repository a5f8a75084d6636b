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


def at_once(tokenizer, ids):
    for piece in tokenizer.pieces(ids):
        yield piece.decode()


def said_again(tokenizer, ids):
    collected = b""
    for piece in tokenizer.pieces(ids):
        collected += piece
        try:
            yield collected.decode()
        except UnicodeDecodeError:
            continue


def too_late(tokenizer, ids):
    waiting = b""
    for piece in tokenizer.pieces(ids):
        waiting += piece
        try:
            text, waiting = waiting.decode(), b""
        except UnicodeDecodeError:
            continue
        yield text


def joined(stream, tokenizer):
    return "".join(stream(tokenizer, tokenizer.encode("é")))


def on_its_side(words):
    found = Counter(pair for word in words for pair in zip(word, word[1:]))
    firsts, seconds = (Counter(pair[side] for word in words for pair in zip(word, word[1:])) for side in (0, 1))
    return min(found, key=lambda pair: (-found[pair] / (firsts[pair[0]] * seconds[pair[1]]), pair))


def once_a_word(words):
    counts = Counter(token for word in words for token in set(word))
    found = Counter(pair for word in words for pair in set(zip(word, word[1:])))
    return min(found, key=lambda pair: (-found[pair] / (counts[pair[0]] * counts[pair[1]]), pair))


WRONG = [
    ("first_merges", ["i+n", "n+Ġ", "a+in"], "reaches from one word into the next"),
    ("first_merges", ["i+n", "Ġ+t", "h+e"], "the earlier token wins"),
    ("first_merges", ["i+n", "t+h", "Ġ+t"], "comes twice by then, and another pair three times"),
    ("first_merges", ["i+n", "h+e", "Ġ+t"], "merge 2: h+e comes twice by then"),
    ("first_merges", ["i+n", "Ġ+t", "t+h"], "no t left before the h"),
    ("first_merges", [("i", "n"), ("Ġ", "t"), ("Ġt", "h")], "last what has been joined"),
    ("first_merges", ["n+i", "t+Ġ", "in+a"], "the wrong way round"),
    ("first_merges", ["in", "Ġt", "ain"], "with a + between them"),
    ("first_merges", ["i+n", " +t", "Ġ+in"], "merge 3: Ġ+in comes once by then, and another pair twice"),
    ("first_merges", ["i+n", "Ġ+t", "x+y"], "no neighbours by then"),
    ("first_merges", ["i+n", "Ġ+t", ...], "a list of texts"),
    ("first_merges", ["i+n", "Ġ+t", "a+i"], "has gone into the token in"),
    ("first_merges", ["h+e", "t+he", "Ġ+the"], "was the story's first"),
    ("first_merges", ["Ġ+t", "i+n", "a+in"], "in another order"),
    ("first_merges", "i+n", "a list of texts"),
    ("greek_tokens", 110, "two bytes"),
    ("greek_tokens", 220, "the spaces, the comma"),
    ("greek_tokens", 38, "what English of this length costs"),
    ("greek_tokens", 154, "the sentence before"),
    ("greek_tokens", 188, "the letters alone"),
    ("greek_tokens", 206, "two for the comma"),
    ("greek_tokens", 205, "count once more what is a letter"),
    ("greek_tokens", 1000, "times the right number"),
    ("mended_stream", alone, "half a letter was decoded"),
    ("mended_stream", dropped, "bytes were lost"),
    ("mended_stream", at_the_end, "all comes at once"),
    ("mended_stream", at_once, "half a letter is no text yet"),
    ("mended_stream", said_again, "is said again"),
    ("mended_stream", too_late, "asks for the last id before"),
    ("loses_letters", lambda stream, tokenizer: False, "letters of several bytes, and the stream to ask"),
    ("loses_letters", lambda stream, tokenizer: True, "join the texts of the stream"),
    ("loses_letters", lambda stream, tokenizer: joined(stream, tokenizer) == "é", "the opposite of what it should"),
    ("loses_letters", lambda stream, tokenizer: "�" in joined(stream, tokenizer), "one that drops what is no whole"),
    ("mended_request", lambda task: f"Task: {task} Answer: ", "still ends in a space"),
    ("mended_request", lambda task: f"Task:{task}Answer:".strip(), "only the"),
    ("leaves_a_space", lambda build: build("x")[-1].isspace(), "should say False of one that ends in a new line"),
    ("leaves_a_space", lambda build: " " in build("x"), "look at its end alone"),
    ("leaves_a_space", lambda build: not build("x").endswith(" "), "the opposite of what it should"),
    ("leaves_a_space", lambda build: build("x").endswith(": "), "should say True of one that ends in two spaces"),
    ("wordpiece_pair", scored(lambda n, a, b: n), "as in byte-pair encoding"),
    ("wordpiece_pair", scored(lambda n, a, b: n / (a + b)), "their product belongs below"),
    ("wordpiece_pair", scored(lambda n, a, b: n / a), "the second's belongs below as well"),
    ("wordpiece_pair", scored(lambda n, a, b: n / a * b), "multiplies by the second part's count"),
    ("wordpiece_pair", on_its_side, "on its own side of a pair alone"),
    ("wordpiece_pair", once_a_word, "comes twice in a word once"),
    ("wordpiece_pair", scored(lambda n, a, b: n / (a * b), last=True), "the first in the alphabet wins"),
    ("wordpiece_pair", lambda words: "he", "should return a pair"),
]
