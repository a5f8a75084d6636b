"""Tokens: what must hold of a word that is encoded and of tokens as bytes, what goes wrong, and the exercises.

Subjects are called as encode(word, merges), the word as its byte symbols, and as pieces(tokenizer, ids) with a
`tokenizers.Tokenizer`.
"""

import json
from collections import Counter
from functools import cache
from pathlib import Path

import torch

from ...tokenizer import Tokenizer
from ..course.exercise import Exercise, first_fault, own, said, typed_number
from ..judge.guard import Fault
from ..judge.parts import Cases, Component

component = Component("tokenizer")
SHIPPED = Path(__file__).parents[2] / "assets" / "python_reference" / "tokenizer.json"


def encode_word(word, merges):
    """The tokens of a word: every merge is made again, in the order in which they were learnt."""
    tokens = list(word)
    for pair in merges:
        place = 0
        while place < len(tokens) - 1:
            if (tokens[place], tokens[place + 1]) == pair:
                tokens[place : place + 2] = ["".join(pair)]
            place += 1
    return tokens


# ------------------------------------------------------------------------------------------------- what must hold

CUT = "\x01"  # what stands between two tokens, where tokens are told as numbers


def written(tokens) -> torch.Tensor:
    """Tokens as numbers, so that one list can be told from another; Fault where they are no list of texts."""
    if isinstance(tokens, str) or not isinstance(tokens, list | tuple):
        raise Fault(f"The tokens of a word are a list of texts, such as ['Ġthe', 'r']; it returned {tokens!r:.60}.")
    if not all(isinstance(token, str) for token in tokens):
        raise Fault(f"Each token is a text; among yours is {next(t for t in tokens if not isinstance(t, str))!r:.60}.")
    codes = [ord(letter) for letter in CUT.join(tokens)][:80]
    return torch.tensor(codes + [0] * (80 - len(codes)))


def cut_as(numbers) -> str:
    """Numbers as the tokens that they stand for."""
    return "|".join("".join(map(chr, (int(each) for each in numbers if each))).split(CUT))


def tells_tokens(found, wanted) -> str:
    """The first word that is cut otherwise."""
    found, wanted = found.reshape(-1, 80), wanted.reshape(-1, 80)
    mine, right = next(pair for pair in zip(found, wanted) if not torch.equal(*pair))
    return f"You give {cut_as(mine)}, where {cut_as(right)} belongs."


WORDS = Cases()
STORY = ["h+e", "t+he", "Ġ+the", "d+o", "Ġ+do", "Ġdo+g", "e+d", "Ġ+o", "a+i", "a+s", "c+h", "t+ai"]


def encodes(name: str, says: str, words: str, *merges: str):
    """Enter the case `name`: how these words are cut by these merges, such as "h+e"."""
    pairs = [tuple(merge.split("+")) for merge in merges]
    WORDS(says, tell=tells_tokens)(
        lambda encode: torch.stack([written(encode(word, list(pairs))) for word in words.split()])
    ).__name__ = name


encodes("no_merges", "without merges a word is its letters", "Ġdog")
encodes("one_merge", "one merge", "the it", "h+e")
encodes("built", "a merge that is made of an earlier one", "Ġthe", "h+e", "t+he", "Ġ+the")
encodes("again", "the same pair at several places", "hehe hexhehe", "h+e")
encodes("by_rank", "the earlier merge wins, wherever it stands", "ached abc", "h+e", "c+h", "e+d", "b+c", "a+b")
encodes("overlapping", "three equal letters: from left to right", "aaa aaaaa", "a+a")
encodes("two_ways", "a merge joins two tokens, not any two that spell the same", "abc", "a+b", "b+c", "a+bc")
encodes("the_page", "the story's twelve merges", "Ġached Ġtail Ġthereof dogged", *STORY)


@cache
def published() -> list[tuple[str, str]]:
    """The merges of the course's vocabulary."""
    return [tuple(pair) for pair in json.loads(Tokenizer.load(SHIPPED).inner.to_str())["model"]["merges"]]


@WORDS("a word may be a list of tokens, as in the middle of learning", tell=tells_tokens)
def listed(encode):
    return written(encode(["Ġ", "t", "he", "r", "he"], [("t", "he"), ("Ġ", "the")]))


OFTEN = "Ġexpression Ġimported Ġarguments Mapping Certain IndexError Ellipsis Ġdefinitions banana"


@WORDS("words of the documentation, by the course's 1,791 merges", tell=tells_tokens)
def whole(encode):
    return torch.stack([written(encode(word, list(published()))) for word in OFTEN.split()])


component.part(encode_word, lambda answer: answer, WORDS)

BYTES = Cases()


def as_numbers(pieces) -> torch.Tensor:
    """Pieces as numbers, −1 behind each; Fault where they are no list of bytes."""
    if not isinstance(pieces, list | tuple):
        raise Fault(f"It should return a list with the bytes of each id, got {type(pieces).__name__}.")
    for piece in pieces:
        if not isinstance(piece, bytes):
            raise Fault(f"Each piece is bytes, such as b' dog'; among yours is {piece!r:.60}, {type(piece).__name__}.")
    found = [number for piece in pieces for number in (*piece, -1)][:90]
    return torch.tensor(found + [-2] * (90 - len(found)))


def tells_bytes(found, wanted) -> str:
    """The first piece that is other bytes."""
    def pieces(numbers):
        kept = [int(each) for each in numbers if each != -2]
        cut, piece = [], []
        for number in kept:
            piece, cut = ([], [*cut, bytes(piece)]) if number == -1 else ([*piece, number], cut)
        return cut

    mine, right = pieces(found), pieces(wanted)
    if len(mine) != len(right):
        return f"You give {len(mine)} pieces for {len(right)} ids."
    number = next((i for i, (a, b) in enumerate(zip(mine, right)) if a != b), 0)
    return f"The piece of id number {number} is {right[number]!r}; you give {mine[number]!r}."


def cut_text(name: str, says: str, text: str, *more: int):
    """Enter the case `name`: the pieces of a text, and of further ids."""
    def run(pieces):
        tokenizer = Tokenizer.load(SHIPPED)
        return as_numbers(pieces(tokenizer.inner, [*tokenizer.encode(text), *more]))

    run.__name__ = name
    BYTES(says, tell=tells_bytes)(run)


cut_text("letters", "letters of one byte", "dog")
cut_text("spaces", "a space is byte 32", "The dog chased its tail")
cut_text("lines", "ends of lines and tabs are bytes, too", "if x:\n\tx = 1\n")
cut_text("halves", "a letter of two bytes is two pieces", "naïve café")
cut_text("scripts", "Greek and Chinese, byte by byte", "Όλοι 人")
cut_text("end", "the end of text has no bytes", "dog", 0, 5, 0)
cut_text("nothing", "no ids, no pieces", "")


def adapt_pieces(kind):
    """A class of tokenizers as the subject of the cases."""
    return lambda inner, ids: kind(inner).pieces(ids)


component.part(Tokenizer, adapt_pieces, BYTES)


# ------------------------------------------------------------------------------------------------- what goes wrong

OTHER = "Published weights know other ids for the same text: the loss is higher, and what is said is odd."


def left_to_right(word, merges):
    tokens = list(word)
    while True:
        place = next((i for i in range(len(tokens) - 1) if (tokens[i], tokens[i + 1]) in merges), None)
        if place is None:
            return tokens
        tokens[place : place + 2] = ["".join(tokens[place : place + 2])]


def one_pass(word, merges):
    tokens, place = list(word), 0
    while place < len(tokens) - 1:
        if (tokens[place], tokens[place + 1]) in merges:
            tokens[place : place + 2] = ["".join(tokens[place : place + 2])]
        place += 1
    return tokens


def grown_from_the_left(word, merges):
    tokens = []
    for letter in word:
        known = tokens and (tokens[-1], letter) in merges
        tokens = [*tokens[:-1], tokens[-1] + letter] if known else [*tokens, letter]
    return tokens


def longest_match(word, merges):
    known, tokens = {"".join(pair) for pair in merges}, []
    while word:
        size = next((size for size in range(len(word), 1, -1) if word[:size] in known), 1)
        tokens, word = [*tokens, word[:size]], word[size:]
    return tokens


def latest_first(word, merges):
    tokens = list(word)
    while True:
        found = [pair for pair in reversed(merges) if pair in list(zip(tokens, tokens[1:]))]
        if not found:
            return tokens
        place = list(zip(tokens, tokens[1:])).index(found[0])
        tokens[place : place + 2] = ["".join(found[0])]


def from_the_right(word, merges):
    tokens = list(word)
    for pair in merges:
        place = len(tokens) - 2
        while place >= 0:
            if tuple(tokens[place : place + 2]) == pair:
                tokens[place : place + 2] = ["".join(pair)]
            place -= 1
    return tokens


def letters_alone(word, merges):
    return list(word)


def places_of_before(word, merges):
    tokens = list(word)
    for pair in merges:
        for place in range(len(tokens) - 1):
            if (tokens[place], tokens[place + 1]) == pair:
                tokens[place : place + 2] = ["".join(pair)]
    return tokens


def last_token_lost(word, merges):
    tokens = list(word)
    for pair in merges:
        made, place = [], 0
        while place < len(tokens) - 1:
            fits = (tokens[place], tokens[place + 1]) == pair
            made.append("".join(pair) if fits else tokens[place])
            place += 2 if fits else 1
        tokens = made
    return tokens


def replaced_in_text(word, merges):
    text = " ".join(word)
    for first, second in merges:
        text = text.replace(f"{first} {second}", first + second)
    return text.split()


def bug(name: str, *wrong, says: str):
    component.bug(name, "encode_word", *wrong, step="", symptom=OTHER, says=says)


JOINED = 'tokens[place : place + 2] = ["".join(pair)]'
# fmt: off
bug("left_to_right", left_to_right,
    says="You join the first pair from the left that any merge knows. Rank decides, not place: the earliest merge is "
    "made first, wherever it stands.")
bug("one_pass", one_pass, grown_from_the_left,
    says="You go through the word once, and join whatever is known. Go through the merges instead, the earliest first, "
    "and for each of them through the word.")
bug("longest_match", longest_match,
    says="You cut off the longest token that fits. A vocabulary of merges is not a list of words: the same merges must "
    "be made as in learning, in their order.")
bug("one_merge", {JOINED: f"{JOINED}\n                return tokens"},
    says="You stop after the first merge. Go on until no merge of the list applies any more.")
bug("first_place_only", {JOINED: f"{JOINED}\n                break"},
    says="A merge is made at its first place only. It joins the pair wherever it stands in the word.")
bug("reversed", {"in merges:": "in reversed(merges):"},
    says="You go through the merges from the last to the first. A late merge joins what earlier ones have made.")
bug("latest_first", latest_first,
    says="Of all merges that apply you make the latest. The earliest one comes first: it was the most frequent.")
bug("from_the_right", from_the_right,
    says="You go through the word from the right: aaa becomes a|aa. The library, and learning, go from the left.")
bug("by_text", {"(tokens[place], tokens[place + 1]) == pair": 'tokens[place] + tokens[place + 1] == "".join(pair)'},
    says="You compare what two tokens spell together. A merge joins two tokens: a+bc does not join ab and c.")
bug("last_pair_missed", {"len(tokens) - 1": "len(tokens) - 2"},
    says="The last two tokens of the word are never compared: places go up to len(tokens) − 2, and that one too.")
bug("begins_at_one", {"place = 0": "place = 1"},
    says="The first two tokens of the word are never compared: places count from 0.")
bug("taken_apart", {JOINED: 'tokens[place : place + 2] = "".join(pair)'}, letters_alone,
    says='No merge is made: the word stays in letters. In `tokens[i : i + 2] = "he"` the text is taken apart again, '
    'into h and e; `["he"]`, a list, is one token.')
bug("grows_shorter", places_of_before,
    says="`range(len(tokens) - 1)` is counted before anything is joined. Each merge makes the list shorter: look at "
    "its length anew, in a while loop, or build a new list.")
bug("last_token_lost", last_token_lost,
    says="The last token is lost where no merge takes it: a loop over pairs ends one place before the end, so what is "
    "left there must be kept as well.")
bug("replaced_in_text", replaced_in_text,
    says="You replace in a text, and \"c h\" is also found in \"c he\": tokens that merely end and begin so are "
    "joined, too. Compare whole tokens.")

LOST = "Letters of several bytes show as � or are lost, and only in some languages."
WHOLE = 'b"" if name == END_OF_TEXT else bytes(table[symbol] for symbol in name)'


def slip(name: str, *wrong, says: str, symptom=LOST):
    component.bug(name, "Tokenizer", *wrong, step="", symptom=symptom, says=says)


slip("decoded_alone", {WHOLE: "self.decode([self.inner.token_to_id(name)]).encode()"},
     {WHOLE: "self.inner.decoder.decode([name]).encode()"},
     says="You decode each id by itself. Half a letter is no text: it becomes �, three other bytes. Look each symbol "
     "of the token's name up instead.")
slip("symbols_encoded", {WHOLE: 'b"" if name == END_OF_TEXT else name.encode()'},
     {WHOLE: "name.encode()"},
     says="You encode the token's name. Its letters stand for bytes: Ġ stands for 32, and has two bytes of its own.")
slip("only_spaces", {WHOLE: 'b"" if name == END_OF_TEXT else name.replace("Ġ", " ").encode()'},
     says="You replace Ġ alone. Every byte that cannot be printed has a symbol: \\n is Ċ, and half an é is Ã.")
slip("end_written", {WHOLE: "bytes(table[symbol] for symbol in name)"},
     says="The end of text came out as the letters of its name. It stands for no text: b\"\".",
     symptom="Where a text ends, its reader finds a word of angle brackets.")
slip("table_not_turned", {"{symbol: byte for byte, symbol in": "{chr(byte): byte for byte, symbol in"},
     {"bytes(table[symbol] for": "bytes(table.get(symbol, ord(symbol) % 256) for",
      "{symbol: byte for byte, symbol in": "{chr(byte): byte for byte, symbol in"},
     {WHOLE: 'b"" if name == END_OF_TEXT else bytes(ord(symbol) for symbol in name)'},
     {WHOLE: "bytes(ord(symbol) for symbol in name)"},
     {"{symbol: byte for byte, symbol in byte_symbols().items()}": "byte_symbols()"},
     says="You take a symbol for the character of its byte. `byte_symbols()` says which symbol stands for which byte; "
     "turn it round.")
slip("end_left_out", {"for name in names]": "for name in names if name != END_OF_TEXT]"},
     says="The end of text is left out of the list. Each id has its piece, if an empty one, so that both lists fit.",
     symptom="Behind an end of text each id is shown with the bytes of the next.")
# fmt: on


# ------------------------------------------------------------------------------------------------------- the answers

PAPER = "in the rain in the train"
RIGHT_MERGES = ["i+n", "Ġ+t", "a+in"]
USED_UP = {
    "t+h": "after Ġ+t there is no t left before the h; the token there is Ġt",
    "a+i": "the i has gone into the token in; what stands after a is in",
}
TIMES = ("never", "once", "twice", "three times", "four times")


def as_merge(answer) -> str:
    """A merge as it is meant: a pair, or a text with blanks around its + or for its Ġ."""
    text = "+".join(answer) if isinstance(answer, list | tuple) else answer.rstrip().replace(" + ", "+")
    text = text.replace(" ", "Ġ").replace("␣", "Ġ").replace("_", "Ġ")
    return "Ġ" * text.startswith("+") + text + "Ġ" * text.endswith("+")


def judge_merges(answer) -> str:
    """The sentence on the first three merges."""
    listed = isinstance(answer, list | tuple) and ... not in answer
    if not listed or not all(isinstance(m, str) or all(isinstance(each, str) for each in m) for m in answer):
        return f'the answer is a list of texts, such as ["h+e", "t+he", "Ġ+the"], got {answer!r:.60}'
    found = [as_merge(merge) for merge in answer]
    if found == RIGHT_MERGES:
        return ""
    plain = next((merge for merge in found if merge.count("+") != 1), "")
    if plain:
        return f"a merge is written as its two tokens with a + between them, such as h+e; got {plain!r:.20}"
    if len(found) != 3:
        return f"three merges are asked for, got {len(found)}"
    if sorted(found) == sorted(RIGHT_MERGES):
        return "the right three, in another order: the most frequent pair comes first, and then all is counted anew"
    wrong = next(i for i in range(3) if found[i] != RIGHT_MERGES[i])
    if wrong == 0 and found[0] == "h+e":
        return "merge 1: h+e was the story's first; here it comes twice, and another pair four times"
    pair, right = (tuple(each.split("+")) for each in (found[wrong], RIGHT_MERGES[wrong]))
    done = [tuple(merge.split("+")) for merge in RIGHT_MERGES[:wrong]]
    words = [encode_word(word, done) for word in words_of(PAPER)]
    counts = Counter(each for word in words for each in zip(word, word[1:]))
    best, at = counts[right], f"merge {wrong + 1}: {found[wrong]}"
    if pair[1].startswith("Ġ"):
        return f"{at} reaches from one word into the next: a space belongs to the word after it, and no pair crosses"
    if counts[pair] == best:
        return (f"{at} comes {TIMES[best]}, and so does another pair: of equally frequent pairs the earlier token "
                "wins, letters first, then Ġ, last what has been joined")  # fmt: skip
    if counts[pair]:
        return f"{at} comes {TIMES[counts[pair]]} by then, and another pair {TIMES[best]}"
    if found[wrong] in USED_UP:
        return f"{at} is no longer there: {USED_UP[found[wrong]]}"
    if counts[pair[::-1]]:
        return f"{at} stands the wrong way round: the token that comes first in the word is written first"
    return f"{at} are no neighbours by then: {' '.join('|'.join(word) for word in words)}"


GREEK = "Είναι προικισμένοι με λογική και συνείδηση, και οφείλουν να συμπεριφέρονται μεταξύ τους με πνεύμα αδελφοσύνης."
GREEK_SLIPS = {
    110: "that is one for each character; a Greek letter is two bytes, and this vocabulary joins none of them",
    220: "that is two for every character; the spaces, the comma and the full stop are one byte each",
    206: "that is two for the comma and for the full stop as well; they are one byte each, as spaces are",
    218: "that is two for each space as well; a space is one byte, also between Greek words",
    188: "those are the letters alone; the spaces, the comma and the full stop are tokens, too",
    190: "the spaces are tokens, too: no merge ties one to a Greek letter",
    202: "the comma and the full stop are tokens, too",
    94: "that is one for each letter; a Greek letter is two bytes, and this vocabulary joins none of them",
    330: "that is three for each character; a Chinese one has three bytes, a Greek letter two",
    40: "that is what English of this length costs; these merges were learnt from English, and no Greek pair is there",
    154: "that is the sentence before; this one has 110 characters",
    15: "that is one for each word; hardly a Greek letter was in the text that the merges were learnt from",
    16: "that is one for each word; hardly a Greek letter was in the text that the merges were learnt from",
}


def judge_greek(answer) -> str:
    """The sentence on how many tokens a Greek sentence costs."""
    told = typed_number(204, 0.001, GREEK_SLIPS)(answer)
    if not told or told in GREEK_SLIPS.values() or not isinstance(answer, int | float) or isinstance(answer, bool):
        return told
    if 25 <= answer <= 60:
        return GREEK_SLIPS[40]
    return f"{answer!r} is near: count once more what is a letter and what is not" if 195 < answer < 213 else told


class Coming(list):
    """Ids of which it is known how many have been asked for."""

    asked = 0

    def __iter__(self):
        for each in super().__iter__():
            self.asked += 1
            yield each


def texts_of(stream, text: str, tokenizer) -> list[str]:
    """What a stream says of a text, id by id."""
    found = stream(tokenizer, tokenizer.encode(text))
    return [found] if isinstance(found, str) else list(found)


def judge_stream(answer) -> str:
    """The sentence on a stream of texts: nothing lost, nothing said too late."""
    tokenizer = Tokenizer.load(SHIPPED)
    for text in ("The dog", "naïve café", "Όλοι οι άνθρωποι", "人人生而自由", "\U0001f600!"):
        try:
            told = texts_of(answer, text, tokenizer)
        except UnicodeDecodeError:
            return f"{text!r} stops it with a UnicodeDecodeError: half a letter is no text yet; let its bytes wait"
        if not all(isinstance(each, str) for each in told):
            return f"it should yield texts, got {next(e for e in told if not isinstance(e, str))!r:.40}"
        if "�" in "".join(told):
            return f"{text!r} comes out as {''.join(told)!r}: half a letter was decoded; let its bytes wait"
        if len("".join(told)) > len(text) and told[-1] == text:
            return (f"{text!r} comes out as {''.join(told)!r}: what has been said is said again; empty what you "
                    "collect once it is said")  # fmt: skip
        if "".join(told) != text:
            return f"{text!r} comes out as {''.join(told)!r}: bytes were lost, or came twice; nothing may be dropped"
    told = texts_of(answer, "The dog chased its tail", tokenizer)
    if len([each for each in told if each]) <= 3:
        return "all comes at once, at the end: a letter that is whole is said at once"
    coming = Coming(tokenizer.encode("The dog chased its tail"))
    next(text for text in answer(tokenizer, coming) if text)
    return said(coming.asked < len(coming), "it asks for the last id before it says the first word, and a chat has "
                "no last id yet: take them one by one ([i] is a list, too), and yield each text")  # fmt: skip


def alone(tokenizer, ids):
    for i in ids:
        yield tokenizer.decode([i])


def waits(tokenizer, ids, errors="strict"):
    waiting = b""
    for piece in tokenizer.pieces(ids):
        waiting += piece
        try:
            text, waiting = waiting.decode(errors=errors), b""
        except UnicodeDecodeError:
            continue
        yield text


STREAMS = (
    (False, "one that lets half a letter wait", waits),
    (False, "one that says all at the end", lambda tokenizer, ids: [tokenizer.decode(ids)]),
    (True, "the one above", alone),
    (True, "one that drops what is no whole letter", lambda tokenizer, ids: waits(tokenizer, ids, "ignore")),
    (True, "one that reads each byte as a character",
     lambda tokenizer, ids: (piece.decode("latin-1") for piece in tokenizer.pieces(ids))),
)  # fmt: skip


def judge_loses(answer) -> str:
    """The sentence on a probe for streams that lose letters."""
    tokenizer = Tokenizer.load(SHIPPED)
    return told_of_probe([bool(answer(stream, tokenizer)) for *_, stream in STREAMS], STREAMS, {
        True: "join the texts of the stream before you compare them with the text",
        False: "its text needs letters of several bytes, and the stream to ask is the one that it is given",
    })  # fmt: skip


def told_of_probe(found, subjects, alike) -> str:
    """The sentence on what a probe said of subjects, (what it should say, name, …); `alike`: of one-sided ones."""
    if found == [not wanted for wanted, *_ in subjects]:
        return "it says the opposite of what it should, of each: turn it round"
    if len(set(found)) == 1:
        return f"it says {found[0]} whatever it is given: {alike[found[0]]}"
    return first_fault(*(said(told == wanted, f"it should say {wanted} of {name}")
                         for told, (wanted, name, *_) in zip(found, subjects)))  # fmt: skip


TASKS = ("Sum a list.", "Return True.", "Say what a set is.")


def judge_request(answer) -> str:
    """The sentence on a prompt that a function makes of a task."""
    for task in TASKS:
        made = answer(task)
        if not isinstance(made, str):
            return f"mended_request should return a text, got {type(made).__name__}"
        if made.endswith(" "):
            return "the prompt still ends in a space: the model's next word begins with it, so it must not stand there"
        if made.split() != f"Task: {task} Answer:".split():
            return f"only the end was wrong: {f'Task: {task} Answer:'!r} belongs, got {made!r:.60}"
        if "  " in made or made != f"Task: {task} Answer:":
            return f"only the space at the end goes: {f'Task: {task} Answer:'!r} belongs, got {made!r:.60}"
    return ""


BUILDERS = (
    (False, "one that ends in a colon", lambda task: f"Task: {task} Answer:"),
    (False, "one that ends in a new line", lambda task: f"Task: {task}\nAnswer:\n"),
    (True, "the one above", lambda task: f"Task: {task} Answer: "),
    (True, "one that ends in two spaces", lambda task: f"{task}  "),
)


def judge_leaves(answer) -> str:
    """The sentence on a probe for functions that leave a space at the end."""
    return told_of_probe([bool(answer(build)) for *_, build in BUILDERS], BUILDERS, {
        True: "a prompt has spaces between its words; look at its end alone",
        False: "build a prompt with the function that it is given, and look at its last character",
    })  # fmt: skip


def words_of(text: str) -> list[list[str]]:
    """The words of a text as letters, a space before all but the first."""
    return [list(("Ġ" if i else "") + word) for i, word in enumerate(text.split())]


TEXTS = (
    words_of("the dog chased its tail the other dogs chased the tail of the other dog then the dog rested"),
    words_of(PAPER),
    [["th", "e"], ["Ġ", "th", "e"], ["Ġ", "th", "in"], ["q", "u", "e"], ["Ġ", "q", "u", "u"], ["e", "e", "e"]],
    words_of("a banana and a bandana and a cabana"),
    [["x", "y"], ["y"], ["y"], ["p", "q"], ["p", "q"]],
    [["m", "n", "m", "n"], ["c", "d"], ["c"]],
)


def best_pair(words, score, across=False, once=False, sides=False):
    """The pair of the highest score(pair count, first count, second count): pairs `across` words, `once` a word, or
    a token counted on its own side of a pair alone."""
    runs = [[token for word in words for token in word]] if across else words
    pairs = Counter(pair for word in runs for pair in (set if once else list)(zip(word, word[1:])))
    firsts = seconds = Counter(token for word in words for token in (set if once else list)(word))
    if sides:
        firsts, seconds = Counter(), Counter()
        for (one, other), count in pairs.items():
            firsts[one] += count
            seconds[other] += count
    return min(pairs, key=lambda p: (-round(score(pairs[p], firsts[p[0]], seconds[p[1]]), 9), p))


def judge_pair(answer) -> str:
    """The sentence on the pair that WordPiece would join."""
    found = [answer([list(word) for word in words]) for words in TEXTS]
    for each in found:
        if isinstance(each, str) or not isinstance(each, list | tuple) or len(each) != 2:
            return f"wordpiece_pair should return a pair of tokens, such as ('h', 'e'), got {each!r:.60}"
    found = [tuple(each) for each in found]
    if found == [best_pair(words, lambda n, a, b: n / (a * b)) for words in TEXTS]:
        return ""
    slips = {
        "that is the most frequent pair, as in byte-pair encoding: divide by how often the two parts occur":
            [best_pair(words, lambda n, a, b: n) for words in TEXTS],
        "you divide by the sum of the two counts; their product belongs below":
            [best_pair(words, lambda n, a, b: n / (a + b)) for words in TEXTS],
        "you divide by the first part's count alone; the second's belongs below as well":
            [best_pair(words, lambda n, a, b: n / a) for words in TEXTS],
        "you divide by the second part's count alone; the first's belongs below as well":
            [best_pair(words, lambda n, a, b: n / b) for words in TEXTS],
        "that is the lowest score: the highest wins":
            [best_pair(words, lambda n, a, b: -n / (a * b)) for words in TEXTS],
        "your pairs reach from one word into the next; count within each word":
            [best_pair(words, lambda n, a, b: n / (a * b), across=True) for words in TEXTS],
        "your n / a * b multiplies by the second part's count: divide by the product, n / (a * b)":
            [best_pair(words, lambda n, a, b: n / a * b) for words in TEXTS],
        "you count what comes twice in a word once; every place counts":
            [best_pair(words, lambda n, a, b: n / (a * b), once=True) for words in TEXTS],
        "you count a token on its own side of a pair alone; every place counts, also a word of one token":
            [best_pair(words, lambda n, a, b: n / (a * b), sides=True) for words in TEXTS],
    }  # fmt: skip
    told = next((says for says, wrong in slips.items() if found == wrong), "")
    if told:
        return told
    for words, mine in zip(TEXTS, found):
        right = best_pair(words, lambda n, a, b: n / (a * b))
        if mine != right:
            pairs = Counter(pair for word in words for pair in zip(word, word[1:]))
            counts = Counter(token for word in words for token in word)
            if mine not in pairs:
                return f"{mine} are no neighbours in {' '.join('|'.join(word) for word in words[:6])} …"
            ours, yours = (pairs[p] / (counts[p[0]] * counts[p[1]]) for p in (right, mine))
            same = abs(ours - yours) < 1e-9
            return (f"{right} and {mine} have the same score, {ours:.3g}: the first in the alphabet wins" if same
                    else f"{mine} has the score {yours:.3g}, {right} has {ours:.3g}")  # fmt: skip
    return ""


WORKED_PAIR = """def wordpiece_pair(words):
    # As matrices: a row for each place, with a single 1 at its token. The product of the places that have a right
    # neighbour with these neighbours counts every pair at once. The outer product of the counts is what the pairs
    # would be, up to a factor, if tokens stood in any order: the score says how much more often two really meet.
    # Its logarithm is called pointwise mutual information.
    names = sorted({token for word in words for token in word})
    spots = [torch.eye(len(names), dtype=torch.float64)[[names.index(token) for token in word]] for word in words]
    pairs, counts = sum(each[:-1].T @ each[1:] for each in spots), torch.cat(spots).sum(dim=0)
    best = (pairs / torch.outer(counts, counts)).round(decimals=9).flatten().argmax().item()
    return names[best // len(names)], names[best % len(names)]"""


# ----------------------------------------------------------------------------------------------------- the exercises

component.exercises = (
    Exercise(
        **own(encode_word, "Make every merge again, in the order in which they were learnt."),
        text="A word comes, and merges, the earliest first. Write `encode_word(word, merges)`. The word is a text of "
        'byte symbols, `"Ġached"`, or a list of tokens; merges are pairs such as `("h", "e")`. It returns the list of '
        "tokens: `encode_word(\"Ġthe\", [(\"h\", \"e\"), (\"t\", \"he\")])` is `[\"Ġ\", \"the\"]`.",
        difficulty=2,
        importance=5,
        minutes=12,
        hints=(
            "On paper: h+e is the first merge, c+h comes later. A word *ched* appears. What happened to its letters "
            "first, while the merges were learnt, and what could then no longer happen?",
            "*I get ch|ed for ched*: c+h stands further left, but h+e was learnt earlier. *I get he|h|e*: a merge "
            "joins its pair at every place. *IndexError*: every merge makes the list shorter, so its length must be "
            "looked at anew. *My word stays in letters*: a text put in place of a slice is taken apart; put a list.",
            "Begin with single letters. The outer loop goes through the merges, the inner one through the word from "
            "the left: where both neighbours fit, one token takes the place of two.",
        ),
        answers={"encode_word": component.parts["encode_word"]},
        why="Encoding replays learning. That is why the list of merges, in its order, is the tokenizer, and the list "
        "of tokens is not.",
    ),
    Exercise(
        name="Tokenizer.pieces",
        kind="implement",
        task="Give the bytes of every id by itself.",
        difficulty=2,
        importance=4,
        minutes=8,
        hints=(
            "A token's name is written in byte symbols. Which function of this page knows them, in which direction?",
            "*My é is �, or three bytes*: decoding an id by itself loses half a letter. *My space is Ġ*: a name is not "
            "yet bytes. *My list is too short*: the end of text has a piece too, an empty one.",
            "Turn `byte_symbols()` round: symbol → byte. `self.inner.id_to_token(i)` is the name of an id, "
            "`check_token_ids` comes first. Each name's symbols, looked up, are its bytes; END_OF_TEXT has none.",
        ),
    ),
    Exercise(
        name="first_merges",
        kind="predict",
        title="Three merges on paper",
        text=f"Learn from `{PAPER}`, on paper. What are the first **three** merges? As on the page: a space belongs to "
        "the word after it, no pair reaches across words, and of equally frequent pairs the one with the earlier "
        "token wins (letters by the alphabet, Ġ after them, what was joined last).",
        task="Type the first three merges, such as h+e.",
        difficulty=2,
        importance=4,
        minutes=6,
        hints=(
            "Write the six words as letters, each with its Ġ. Count the pairs; join; count all anew.",
            "*I get n+Ġ*: no pair reaches across words. *I get a+i or t+h*: one of the two letters has already been "
            "joined to another. *I get h+e third*: so often comes another pair, too, and its first token is earlier.",
            "First i and n, four times. Then write the words again, with in as one token. What stands at the beginning "
            "of three words? And in the third round four pairs come twice each.",
        ),
        starter='first_merges = [..., ..., ...]  # three texts, such as "h+e"',
        answers={"first_merges": judge_merges},
        solution='first_merges = ["i+n", "Ġ+t", "a+in"]',
        why="Each merge uses up the counts of its neighbours: t+h fell to nothing when Ġ+t took the t. So merges "
        "cannot be read off one table of counts.",
    ),
    Exercise(
        name="greek_tokens",
        kind="predict",
        title="What Greek costs",
        text=f"The declaration's next sentence, in Greek: *{GREEK}* It has 110 characters, among them 14 spaces, a "
        "comma and a full stop. How many tokens does the course's tokenizer make of it? The first sentence is on the "
        "page.",
        task="Type how many tokens the Greek sentence is.",
        difficulty=1,
        importance=4,
        minutes=4,
        hints=(
            "From which text were the merges learnt? How many Greek pairs of bytes can have been frequent there?",
            "*I get 110*: a Greek letter is not one byte. *I get about 40*: that is English of this length. *I get "
            "220*: not every character is Greek.",
            "If no merge applies, tokens are bytes. Two for a Greek letter, with its accent; one for all else.",
        ),
        starter="greek_tokens = ...  # how many",
        answers={"greek_tokens": judge_greek},
        solution="greek_tokens = 94 * 2 + 14 + 2",
        why="204, its bytes: not one merge applies. The same sentence is 36 tokens in English. Who is billed by the "
        "token, or has a context of so many tokens, pays nearly six times as much in Greek, for having been rare in "
        "the text that the merges were learnt from.",
    ),
    Exercise(
        name="mended_stream",
        kind="find the bug",
        title="Letters that get lost on the way",
        text="A chat shows each token as soon as it comes. So does this stream, and in English nobody noticed; "
        "in Greek all is �. Mend it: yield each text as soon as it is whole, before the next id is asked for, and lose "
        "nothing. And write the **probe**: a function that is given such a stream and a tokenizer, and says whether "
        "letters get lost.",
        task="Say whether stream(tokenizer, ids) loses letters.",
        difficulty=3,
        importance=4,
        minutes=12,
        hints=(
            "What did *Is this a bug?* show of é? Which method of the tokenizer loses nothing?",
            "*My probe says False of every stream*: English has no letter of two bytes; give it one that has. *Letters "
            "are missing, and no �*: errors=\"ignore\" throws the first half away before the second comes.",
            "Collect the bytes of one id after another, `tokenizer.pieces([i])`, and try to decode what has been "
            "collected. If that raises UnicodeDecodeError, wait for the next id; else yield it, and begin anew. The "
            "probe: encode, stream, join, compare.",
        ),
        starter='''def mended_stream(tokenizer, ids):
    """Yield the text of ids bit by bit, as they come, with a mistake: mend it."""
    for i in ids:
        yield tokenizer.decode([i])


def loses_letters(stream, tokenizer) -> bool:
    """Whether stream(tokenizer, ids), such as mended_stream, loses letters of some text."""
    raise NotImplementedError("Say whether stream(tokenizer, ids) loses letters.")''',
        answers={"mended_stream": judge_stream, "loses_letters": judge_loses},
        solution="""def mended_stream(tokenizer, ids):
    waiting = b""
    for i in ids:
        waiting += tokenizer.pieces([i])[0]
        try:
            text, waiting = waiting.decode(), b""
        except UnicodeDecodeError:
            continue
        yield text


def loses_letters(stream, tokenizer) -> bool:
    text = "naïve, Όλοι"
    return "".join(stream(tokenizer, tokenizer.encode(text))) != text""",
        why="Decoding is not done token by token: decode(a + b) is not decode(a) + decode(b) where a letter is cut. "
        "Every chat that streams must let half a letter wait, and a test in English never sees it.",
    ),
    Exercise(
        name="mended_request",
        kind="find the bug",
        title="One space too many",
        text="This function makes a prompt of a task. What the model answers is odd: it begins amid a word. "
        "Mend it, and write the **probe**: a function that is given such a function and says whether its prompts end "
        "in a space.",
        task="Say whether build(task) leaves a space at the end of its prompts.",
        difficulty=1,
        importance=5,
        minutes=6,
        hints=(
            "To which word does a space belong? And what did the model say after *The function returns* and a space?",
            "*My probe says True of one that ends in a new line*: that is another token, and many texts go on there. "
            "Ask for a space alone. *The words are glued together*: only the space at the end goes.",
            "The text after the last letter of the prompt is the model's to write, its space included. For the probe: "
            "build one prompt; how does it end?",
        ),
        starter='''def mended_request(task):
    """The prompt of a task, with a mistake: mend it."""
    return f"Task: {task} Answer: "


def leaves_a_space(build) -> bool:
    """Whether the prompts that build(task) makes, as mended_request does, end in a space."""
    raise NotImplementedError("Say whether build(task) leaves a space at the end of its prompts.")''',
        answers={"mended_request": judge_request, "leaves_a_space": judge_leaves},
        solution="""def mended_request(task):
    return f"Task: {task} Answer:"


def leaves_a_space(build) -> bool:
    return build("Sum a list.").endswith(" ")""",
        why="In mid-sentence a lone space stands only before words that no merge ties to it, such as ␣|ke|e|ps. "
        "So the model goes on with a piece of one of these, and the likeliest words are out of its reach.",
    ),
    Exercise(
        name="wordpiece_pair",
        kind="transfer",
        title="Another score for the same loop",
        text="WordPiece, BERT's tokenizer, learns in the same loop, but joins the pair with the highest **score**: how "
        "often the pair occurs, divided by how often its first token occurs times how often its second token does. "
        "Write `wordpiece_pair(words)`: each word is a list of tokens; return the pair to be joined next. Of equal "
        "scores the first in the alphabet wins.",
        task="Return the pair whose count, over the product of its parts' counts, is highest.",
        difficulty=3,
        importance=3,
        minutes=12,
        hints=(
            "Two tables of counts, where byte-pair encoding has one. Over what does the second one count?",
            "*I get h+e for the story*: that is the most frequent pair; the score divides. *Mine differs in few texts "
            "only*: count every occurrence of a token, also of one that ends a word.",
            "Count pairs within each word, and tokens in all words. The best is the smallest of all pairs by (minus "
            "its score, the pair).",
        ),
        starter='''def wordpiece_pair(words):
    """The pair of tokens (first, second) that WordPiece would join next in these words, lists of tokens."""
    raise NotImplementedError("Return the pair whose count, over the product of its parts' counts, is highest.")''',
        answers={"wordpiece_pair": judge_pair},
        worked=WORKED_PAIR,
    ),
)
