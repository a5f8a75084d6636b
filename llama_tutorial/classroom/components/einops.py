"""Named axes: what must hold of heads that are split and merged by hand, what goes wrong, and the lesson's exercises.

A subject is called as split(x, heads) or as merge(x); the numbers of x count from 1 and so say where they stood.
"""

import math
from functools import partial

import torch
from einops import rearrange, reduce, repeat

from ..course.exercise import Exercise, chosen, first_fault, own, said, same_tensor, typed_number
from ..judge.guard import Fault, call
from ..judge.parts import Cases, Component, Step
from ..judge.subjects import normal

component = Component("einops", lesson="01_einops")


def split_by_hand(x, heads):
    """Cut each word into heads, one behind the other: (batch, seq, head · dim) → (batch, head, seq, dim)."""
    batch, seq, width = x.shape
    dim = width // heads
    out = x.new_zeros(batch, heads, seq, dim)
    for head in range(heads):
        for place in range(dim):
            out[:, head, :, place] = x[:, :, head * dim + place]
    return out


def merge_by_hand(x):
    """Lay the heads of each word one behind the other: (batch, head, seq, dim) → (batch, seq, head · dim)."""
    batch, heads, seq, dim = x.shape
    out = x.new_zeros(batch, seq, heads * dim)
    for head in range(heads):
        for place in range(dim):
            out[:, :, head * dim + place] = x[:, head, :, place]
    return out


# ------------------------------------------------------------------------------------------------- what must hold


def counted(*shape, dtype=torch.int64):
    """Whole numbers from 1 on: each says where it stood, and 0 is what nobody wrote."""
    return torch.arange(1, 1 + math.prod(shape), dtype=dtype).reshape(shape)


def tells(named, place_of):
    """What to say of the first number that stands in a wrong place: which it is, and where it came from."""

    def tell(found, wanted) -> str:
        place = [int(each) for each in (found != wanted).nonzero()[0]]
        got, right = found[tuple(place)].item(), int(wanted[tuple(place)])
        told = f"{named(*place)} should be {right}, {place_of(right)}, and is {got:g}"
        if got == 0:
            return f"{told}: nothing was written there."
        return f"{told}, {place_of(int(got))}." if got == int(got) and 0 < got <= wanted.numel() else f"{told}."

    return tell


def entering(cases, axes, named, origin):
    """What enters a case of an input of a shape: `named` says a place of the output, `origin` one of the input."""

    def enter(name, says, shape, *more, dtype=torch.int64):
        def place_of(number):
            return origin(*(int(each) for each in torch.unravel_index(torch.tensor(number - 1), shape)))

        cases(says, axes, tell=tells(named, place_of))(
            lambda subject: subject(counted(*shape, dtype=dtype), *more)
        ).__name__ = name

    return enter


SPLIT, MERGED = Cases(), Cases()
splits = entering(
    SPLIT, "batch head seq dim",
    lambda batch, head, seq, dim: f"Number {dim} of head {head} of word {seq}",
    lambda batch, seq, place: f"which x holds in word {seq} at place {place}",
)  # fmt: skip
splits("one_word", "one word: its numbers in their order, so many to a head", (1, 1, 6), 3)
splits("one_head", "one head holds all of every word", (1, 4, 3), 1)
splits("two_words", "two words: a head holds its numbers of both", (1, 2, 6), 2)
splits("the_page", "five words in three heads, as on the page", (1, 5, 6), 3)
splits("wider_heads", "heads of five numbers", (1, 3, 10), 2)
splits("as_many", "as many words as heads", (1, 3, 12), 3)
splits("texts", "two texts at once", (2, 3, 8), 4)
splits("floats", "what comes in as float64 comes out as float64", (1, 3, 6), 2, dtype=torch.float64)
splits("whole", "two texts of 70 words in six heads", (2, 70, 24), 6)

merges = entering(
    MERGED, "batch seq dim",
    lambda batch, seq, place: f"Place {place} of word {seq}",
    lambda batch, head, seq, dim: f"which x holds in head {head} of word {seq} as number {dim}",
)  # fmt: skip
merges("one_word", "one word: its heads one behind the other", (1, 3, 1, 2))
merges("one_head", "one head is all of every word", (1, 1, 4, 3))
merges("two_words", "two words: each gets its numbers of both heads", (1, 2, 2, 3))
merges("the_page", "five words in three heads, as on the page", (1, 3, 5, 2))
merges("wider_heads", "heads of five numbers", (1, 2, 3, 5))
merges("as_many", "as many words as heads", (1, 3, 3, 4))
merges("texts", "two texts at once", (2, 4, 3, 2))
merges("floats", "what comes in as float64 comes out as float64", (1, 2, 3, 3), dtype=torch.float64)
merges("whole", "two texts of 70 words in six heads", (2, 6, 70, 4))


def right_for(answer, shape, heads) -> bool:
    """Whether a function splits words of that shape rightly."""
    try:
        return torch.equal(call(answer, counted(*shape), heads), split_by_hand(counted(*shape), heads))
    except Exception:
        return False


def adapt(answer):
    """A function of tensors as the subject of the cases; Fault where it works for words of one size only."""

    def subject(*given):
        try:
            return call(answer, *given)
        except Fault:
            raise
        except Exception as error:
            if isinstance(error, TypeError) and ("float" in str(error) or "slice indices" in str(error)):
                raise Fault("A size is a whole number: `width / heads` is 2.0, `width // heads` is 2.") from error
            if len(given) == 2 and right_for(answer, (1, 5, 6), 3):
                raise Fault("It is right for the page's five words of six numbers: a 1, 2, 3, 5 or 6 of the page "
                            "stands in it. Take all sizes from x.shape.") from error  # fmt: skip
            if len(given) == 2 and right_for(answer, (1, 2, 9), 3):
                raise Fault("You make heads that are `heads` numbers wide. There are `heads` of them, each width / "
                            "heads numbers wide.") from error  # fmt: skip
            raise

    return subject


MOVED = "each number moved to its place"


def steps(x, *heads):
    """All that is done on the way: every number is moved, once."""
    made = split_by_hand(x, *heads) if heads else merge_by_hand(x)
    return [Step(MOVED, made, (), axes="batch head seq dim" if heads else "batch seq dim", ordered=True)]


component.part(split_by_hand, adapt, SPLIT, steps)
component.part(merge_by_hand, adapt, MERGED, steps)


# ------------------------------------------------------------------------------------------------- what goes wrong

SILENT = "None in training from scratch, if split and merge make it alike. Published weights give gibberish."
LEAKS = "The loss looks better than it should: words carry numbers of later ones."
REFUSED = "An error about shapes, a line or two later."
COUNTING = "head * dim + place"


def bug(name: str, where: str, symptom: str, *wrong, says: str):
    component.bug(name, where, *wrong, step=MOVED, symptom=symptom, says=says)


def split_by_reshape(x, heads):
    return x.reshape(len(x), heads, x.shape[1], -1).clone()


def split_only(x, heads):
    return x.unflatten(-1, (heads, -1)).clone()


def split_along_seq(x, heads):
    return torch.cat(x.chunk(heads, dim=-1), dim=1)


def split_words_last(x, heads):
    return x.unflatten(-1, (heads, -1)).permute(0, 2, 3, 1).clone()


def merged_by_reshape(x):
    return x.reshape(len(x), x.shape[2], -1).clone()


def merged_along_seq(x):
    return torch.cat(x.unbind(1), dim=1)


def moved_only(x):
    return x.transpose(1, 2).clone()


def merged_as_split(x):
    return x.flatten(2).clone()


def merged_words_last(x):
    return x.permute(0, 1, 3, 2).flatten(1, 2).clone()


def summed(x):
    return x.sum(dim=1)


# fmt: off
bug("dealt_out", "split_by_hand", SILENT, {COUNTING: "place * heads + head"},
    says="The numbers are dealt out in turn, one to each head, then again: `(dim head)`. A head gets neighbours.")
bug("reshaped", "split_by_hand", LEAKS, split_by_reshape,
    says="That is what `reshape` gives: the reading order, cut elsewhere. So a head holds several heads of one word, "
    "where it should hold one of every word.")
bug("words_first", "split_by_hand", REFUSED, split_only,
    says="Each word is cut rightly, but its heads stay inside it: (batch, seq, head, dim). Head comes before seq.")
bug("along_seq", "split_by_hand", REFUSED, split_along_seq,
    says="The heads are laid one behind the other along seq: `(head seq)`. Head is to be an axis of its own, before "
    "seq: where `torch.cat` makes an axis longer, `torch.stack` makes a new one.")
bug("dim_before_seq", "split_by_hand", REFUSED,
    split_words_last,
    says="The last two axes have changed places: you return (batch, head, dim, seq).")
bug("heads_for_dim", "split_by_hand", REFUSED, {"dim = width // heads": "dim, heads = heads, width // heads"},
    says="You make heads that are `heads` numbers wide. There are `heads` of them, each width / heads numbers wide.")
bug("overlapping", "split_by_hand", SILENT, {COUNTING: "head + place"},
    says="Heads overlap: head 1 begins one number after head 0. It begins dim numbers after it.")
bug("heads_apart", "split_by_hand", SILENT, {COUNTING: "head * heads + place"},
    {COUNTING: "(head * heads + place) % width"},
    says="A head begins `heads` numbers after the one before it. What lies between is the width of a head: dim.")
bug("page_size", "split_by_hand", "An error, or heads that overlap, as soon as a head is not two numbers wide.",
    {COUNTING: "head * 2 + place"}, {"range(dim)": "range(2)"},
    {COUNTING: "head * 2 + place", "range(dim)": "range(2)"},
    says="There is a 2 in it, the page's: there a head is two numbers wide. Compute dim, and use it everywhere.")
bug("first_text", "split_by_hand", "All texts of a batch but the first are zeros, or whatever lay in memory.",
    {"out[:, head, :, place] = x[:, :,": "out[0, head, :, place] = x[0, :,"},
    says="Only the first text of the batch is written: the page's loop says 0 where `:` takes all of them.")
bug("first_text_for_all", "split_by_hand", "All texts of a batch give what the first one gives.",
    {"= x[:, :,": "= x[0, :,"}, says="Every text of the batch gets the numbers of the first: x[0] where x[:] belongs.")
bug("backwards", "split_by_hand", SILENT, {COUNTING: "(heads - 1 - head) * dim + place"},
    says="The heads come in the opposite order: head 0 holds the first numbers of a word.")
bug("made_float", "split_by_hand", "Half precision or whole numbers go in, and float32 comes out.",
    {"x.new_zeros(batch, heads, seq, dim)": "torch.zeros(batch, heads, seq, dim)"},
    says="`torch.zeros` and `torch.empty` make float32. The numbers only move: say dtype=x.dtype, or x.new_zeros(…).")

bug("interleaved", "merge_by_hand", SILENT, {COUNTING: "place * heads + head"},
    says="The heads are interleaved: one number of each, then the next: `(dim head)`. A head stays whole.")
bug("merged_by_reshape", "merge_by_hand", LEAKS,
    merged_by_reshape,
    says="That is what `reshape` gives: it reads head 0 of all words first, so words get one another's numbers. Each "
    "word collects its own from every head.")
bug("heads_in_a_row", "merge_by_hand", REFUSED, merged_along_seq,
    says="The heads are laid one behind the other along seq: `(head seq) dim`. Lay them along the last axis.")
bug("not_merged", "merge_by_hand", REFUSED, moved_only,
    says="Head stands behind seq now, and is still an axis of its own: (batch, seq, head, dim). Make one of the two.")
bug("axes_misread", "merge_by_hand", REFUSED, merged_as_split,
    says="You read x as (batch, seq, head, dim), and merge its last two axes. It comes as (batch, head, seq, dim): "
    "each word collects its numbers from all heads.")
bug("seq_last", "merge_by_hand", REFUSED, merged_words_last,
    says="Seq comes last in yours, (batch, head · dim, seq). Each word is to be a row: seq before head and dim.")
bug("heads_summed", "merge_by_hand", REFUSED, summed,
    says="The heads are added: a word comes out as narrow as one head. Every number is kept; lay them in a row.")
bug("merged_overlapping", "merge_by_hand", SILENT, {COUNTING: "head + place"},
    says="Heads overwrite each other: head 1 begins one number after head 0. It begins dim numbers after it.")
bug("merged_heads_apart", "merge_by_hand", SILENT, {COUNTING: "head * heads + place"},
    {COUNTING: "(head * heads + place) % (heads * dim)"},
    says="A head begins `heads` numbers after the one before it. What lies between is the width of a head: dim.")
bug("merged_page_size", "merge_by_hand", "Right where a head is two numbers wide, and nowhere else.",
    {COUNTING: "head * 2 + place"}, {"range(dim)": "range(2)"},
    {COUNTING: "head * 2 + place", "range(dim)": "range(2)"},
    says="There is a 2 in it, the page's: there a head is two numbers wide. Take dim everywhere.")
bug("merged_first_text", "merge_by_hand", "All texts of a batch but the first are zeros, or whatever lay in memory.",
    {"out[:, :, head * dim + place] = x[:, head,": "out[0, :, head * dim + place] = x[0, head,"},
    says="Only the first text of the batch is written: the page's loop says 0 where `:` takes all of them.")
bug("merged_backwards", "merge_by_hand", SILENT, {COUNTING: "(heads - 1 - head) * dim + place"},
    says="The heads come in the opposite order: head 0 holds the first numbers of a word.")
bug("merged_as_float", "merge_by_hand", "Half precision or whole numbers go in, and float32 comes out.",
    {"x.new_zeros(batch, seq, heads * dim)": "torch.zeros(batch, seq, heads * dim)"},
    says="`torch.zeros` and `torch.empty` make float32. The numbers only move: say dtype=x.dtype, or x.new_zeros(…).")
# fmt: on


# ----------------------------------------------------------------------------------------------------- the exercises

ROW = {
    (6, 7, 8): "those are the first numbers of word 1, where a mere reshape would cut; the second index is the head",
    (1, 3, 5): "that is `(dim head)`, every second number; in `(head dim)` dim runs fastest, so a head gets neighbours",
    (0, 1, 2): "that is head 0; the second index counts heads from 0, so 1 is the other one",
    (9, 10, 11): "that is head 1 of word 1; the third index is the word, and it is 0",
    (2, 3): "those would be heads of two numbers; head=2 says that there are two heads",
}


def judge_row(answer) -> str:
    """The sentence on the three numbers of head 1 of word 0."""
    answer = answer.tolist() if isinstance(answer, torch.Tensor) else answer
    if not isinstance(answer, list | tuple) or not all(isinstance(each, int | float) for each in answer):
        return f"the answer is a list of numbers, such as [1, 2, 3], got {answer!r:.60}"
    if list(answer) == [3, 4, 5]:
        return ""
    told = ROW.get(tuple(answer), "which six numbers has word 0, and which of them are head 1's")
    return told if tuple(answer) in ROW else said(len(answer) == 3, "a head has 6 / 2 = 3 numbers") or f"{told}?"


def judge_wrong_heads(answer) -> str:
    """The sentence on the heads that meet the wrong one."""
    if not isinstance(answer, set | list | tuple) or not all(isinstance(each, int) for each in answer):
        return f"the answer is a set of heads, such as {{0, 5}}, got {answer!r:.60}"
    if set(answer) == {1, 4}:
        return ""
    if set(answer) == set(range(6)):
        return "not all: 0 1 0 1 0 1 and 0 0 0 1 1 1 agree in some places; write them below each other"
    if set(answer) == {0, 2, 3, 5}:
        return "those are the right ones: they meet the same head either way"
    if set(answer) == {1, 2, 3, 4}:
        return "those are wrong once only the split is mended; as it stands, most heads are right"
    if set(answer) == {1, 3, 5}:
        return "those get kv 1 by `(group kv)`; wrong is where the two ways differ, and for some of these they agree"
    if answer and set(answer) < {1, 4}:
        return f"{sorted(set(answer))} is right so far, and not all: write the kv of each head, both ways"
    if not answer:
        return "some heads do meet the wrong one: write the kv of each head, both ways"
    return f"of {sorted(set(answer))} at least one meets the right one either way: write the kv of each head, both ways"


ASKED = {
    2: "that is *its* with *its* alone, the diagonal; key is another name than query, so all five keys are summed over",
    5: "that is the sum of the keys' first numbers; the second ones are multiplied by 1 too, and summed as well",
    3: "that is its best fit, or the sum of the keys' second numbers; all that key and dim name is summed",
    35: "that is summed over query too; query stands on the right, so each word keeps its own number",
    1.6: "that is the mean; a name that is missing on the right is summed over",
    11: "that is *chased*; *its* is the fourth word, and its row of q is (1, 1)",
}

PRODUCTS = {
    (0, 3, 1, 2, 2): "that is the row of scores, one for each key; key is missing on the right as well, so they are "
    "summed",
    (5, 3): "those are the sums for each dim; dim is missing on the right as well, so they are summed",
}


def judge_asked(answer) -> str:
    """The sentence on what is left of *its*: one number, the sum of ten products."""
    listed = answer.tolist() if isinstance(answer, torch.Tensor) else answer
    if isinstance(listed, list | tuple) and tuple(listed) in PRODUCTS:
        return PRODUCTS[tuple(listed)]
    told = typed_number(8, 0.001, ASKED)(answer)
    unknown = f"{answer!r} is not the sum of its ten products, two for each key: write them down one by one"
    return unknown if told.endswith("times the right number") or told.endswith("not the right number") else told


def fits_of(asks, answers, split="kv group", merge="kv group"):
    """How well every word of every head that asks fits every word of the head that answers it."""
    grouped = rearrange(asks, f"batch ({split}) query dim -> batch kv group query dim", kv=answers.shape[1])
    fits = torch.einsum("bkgqd,bkwd->bkgqw", grouped, answers)
    return rearrange(fits, f"batch kv group query key -> batch ({merge}) query key")


DEALT = {"split": "group kv", "merge": "group kv"}
HALF_MENDED = {
    "so it splits still by `(group kv)`, and only the merge is mended: heads come out in their places, but met others":
        {"split": "group kv"},
    "so the split is mended and the merge is not: what belongs to head 3 comes out as head 1": {"merge": "group kv"},
}  # fmt: skip


def judge_fits(answer) -> str:
    """The sentence on the fits of heads that share, with the heads that are wrong by number."""
    for heads, kv in ((6, 2), (6, 3), (4, 4), (3, 1)):
        asks, answers = normal(heads, 1, heads, 5, 4), normal(kv, 1, kv, 7, 4)
        wanted = torch.zeros(1, heads, 5, 7)
        for head in range(heads):
            wanted[0, head] = asks[0, head] @ answers[0, head // (heads // kv)].T
        try:
            made = answer(asks, answers)
        except Exception as error:
            if heads == 6 and kv == 2 and "subscript" in str(error):
                return ("einsum meets a kv of another size than that of answers, 2: after the split kv comes before "
                        "group, and kv=kv says how many there are")  # fmt: skip
            if heads == 6 and kv == 2:
                raise
            told = f"right where 2 answer for 6; with {heads} heads that ask and {kv} that answer it raised "
            return f"{told}{type(error).__name__}: does a 2, 3 or 6 stand in it? answers.shape says how many answer"
        told = same_tensor(f"mended_fits with {heads} heads that ask and {kv} that answer", made, wanted, 1e-4)
        if told and getattr(made, "shape", None) == wanted.shape:
            wrong = [head for head in range(heads) if not torch.allclose(made[0, head], wanted[0, head], atol=1e-4)]
            told = f"of {heads} heads that ask, with {kv} that answer, these are wrong: {str(wrong)[1:-1]}"
            known = {"as at first: (group kv) deals the heads out in turn, where neighbours should share": DEALT}
            for says, how in (known | HALF_MENDED).items():
                if torch.allclose(made, fits_of(asks, answers, **how), atol=1e-4):
                    told += f", {says}"
                    break
        if told:
            return told
    return ""


def copied(asks, answers, axes="kv group"):
    """The fits by copying: the heads that answer are repeated, and each that asks gets its own."""
    group = asks.shape[1] // answers.shape[1]
    answers = repeat(answers, f"batch kv key dim -> batch ({axes}) key dim", group=group)
    return torch.einsum("bhqd,bhwd->bhqw", asks, answers)


def judge_probe(answer) -> str:
    """The sentence on a probe that says whether heads that ask are dealt out in turn."""
    versions = [
        (False, "the right one", fits_of),
        (False, "one that copies, neighbours sharing", copied),
        (False, "one whose fits are all halved, neighbours sharing", lambda asks, answers: fits_of(asks, answers) / 2),
        (True, "the one that you mended, as it was", partial(fits_of, **DEALT)),
        (True, "one that copies and deals out", partial(copied, axes="group kv")),
        (True, "one that deals out, its fits all halved", lambda asks, answers: fits_of(asks, answers, **DEALT) / 2),
    ]  # fmt: skip
    alike = []

    def spied(fit):
        def asked(asks, answers):
            fits = fit(asks, answers)
            alike.append((torch.equal(asks[:, 0], asks[:, 1]), torch.equal(answers[:, 0], answers[:, 1])))
            return fits

        return asked

    found = [bool(answer(spied(fit))) for _, _, fit in versions]
    if found[0] and all(found) and alike and not any(asks for asks, _ in alike):
        return "it says True of all, the right one too: heads that ask different things fit differently with anybody"
    if not any(found) and alike and all(answers for _, answers in alike):
        return "it says False of all: where those that answer are alike, it makes no difference which of them is met"
    if found == [not wanted for wanted, _, _ in versions]:
        return "it says the opposite: True is for one that deals out in turn, False where neighbours share"
    if len(set(found)) == 1 and alike and all(asks and not answers for asks, answers in alike):
        return (f"it says {found[0]} of all, right and wrong: the two heads that you compare share one that answers "
                "by both ways, or by neither; write the kv of each head, both ways")  # fmt: skip
    if found == [False, False, True, True, True, True]:
        return (f"it says True of {versions[2][1]}: it compares with the numbers of another fit; compare two heads of "
                "the one that is given")  # fmt: skip
    return first_fault(*(said(mine == wanted, f"it should say {wanted} of {name}")
                         for mine, (wanted, name, _) in zip(found, versions)))  # fmt: skip


POOLS = ((2, 3), (3, 2), (2, 4), (4, 2), (3, 4), (4, 3), (2, 5), (5, 2), (3, 5), (5, 3), (4, 5))
NAMED_POOLS = {
    "the rows are counted as `(down row)`: you average rows that lie far apart, and a patch has neighbours":
        ("batch (down row) (column across) -> batch row column", "mean"),
    "the columns are counted as `(across column)`: you average columns that lie far apart, and a patch has neighbours":
        ("batch (row down) (across column) -> batch row column", "mean"),
    "you average numbers that lie far apart: in `(down row)` row runs fastest, and in a patch down does":
        ("batch (down row) (across column) -> batch row column", "mean"),
    "those are the sums of the patches, not their means":
        ("batch (row down) (column across) -> batch row column", "sum"),
    "those are the largest of the patches, not their means":
        ("batch (row down) (column across) -> batch row column", "max"),
    "rows and columns have changed places: (batch, row, column) is asked for":
        ("batch (row down) (column across) -> batch column row", "mean"),
    "every mean is right, and `(row column)` makes one axis of two: without parentheses each stays its own":
        ("batch (row down) (column across) -> batch (row column)", "mean"),
    "down and across, the places inside a patch, stay, and the patches are averaged; row and column should stay":
        ("batch (row down) (column across) -> batch down across", "mean"),
}  # fmt: skip


def judge_pool(answer, down: int = 2, across: int = 2) -> str:
    """The sentence on means of patches that are so many numbers high and wide."""
    for rows, columns in ((60 // down, 120 // across), (60 // down, 60 // across), (2, 2), (1, 3)):
        pictures = torch.arange(2.0 * rows * down * columns * across).reshape(2, rows * down, columns * across)
        wanted = torch.zeros(2, rows, columns)
        for row in range(rows):
            for column in range(columns):
                patch = pictures[:, row * down : (row + 1) * down, column * across : (column + 1) * across]
                wanted[:, row, column] = patch.sum(dim=(1, 2)) / (down * across)
        try:
            made = answer(pictures)
        except Exception as error:
            if "Could not infer sizes" in str(error):
                return "einops cannot know how large a patch is: give the two sizes of one, as `head=3` on the page"
            if "Identifiers only on one side" in str(error) and "rearrange" in str(error):
                return "rearrange keeps every number, so each name stands on both sides; for a mean, reduce"
            raise
        told = same_tensor(f"pool of pictures of {tuple(pictures.shape[1:])}", made, wanted, 1e-4)
        for says, (pattern, how) in NAMED_POOLS.items() if told and isinstance(made, torch.Tensor) else ():
            slip = reduce(pictures, pattern, how, down=down, across=across)
            if made.shape == slip.shape and torch.allclose(made.float(), slip, rtol=1e-4):
                return says
        large = reduce(
            pictures, "batch (row down) (column across) -> batch row column", "mean", row=down, column=across
        )
        every = pictures.unfold(1, down, 1).unfold(2, across, 1).mean(dim=(-1, -2))
        others = {
            "that is a mere reshape: it averages numbers that follow one another in a row, not a patch": (
                pictures.reshape(2, rows, columns, -1).mean(dim=-1)
            ),
            "that keeps one number of each patch and drops the others": pictures[:, ::down, ::across],
            "the patches overlap: each begins one number after the one before it": every,
            "each patch begins one number after the one before it, where it should begin a whole patch after": (
                every[:, :rows, :columns]
            ),
            f"you cut a picture into {down} × {across} patches; those are the sizes of one, down and across": large,
        }
        for says, slip in others.items() if told else ():
            if getattr(made, "shape", None) == slip.shape and torch.allclose(made.float(), slip, rtol=1e-4):
                return says
        if told:
            return told
    return ""


def pooling(down: int = 2, across: int = 2) -> dict:
    """The exercise for patches of that height and width."""
    task = f"Average every patch of {down} × {across} numbers."
    return {
        "task": task,
        "text": "A picture is made smaller when each patch of it becomes one number. `pool(pictures)` takes pictures, "
        f"(batch, height, width), and gives the mean of every patch that is **{down}** numbers high and **{across}** "
        "wide, without overlap: (batch, row, column), where row and column count the patches. Height and width can "
        "be divided by those sizes.",
        "hints": (
            "Which two axes are each made of two? Give all four a name, and say for each whether it stays.",
            "*The shape is right and the numbers are not*: `(row down)` and `(down row)` give one shape. Which of the "
            "two runs fastest when you walk down the picture? Try it on the picture `torch.arange(16.0)` of 4 × 4, "
            "whose patches of 2 × 2 have the means 2.5, 4.5, 10.5 and 12.5.",
            "The height is made of rows of patches and, inside each, of numbers down; the width of columns and of "
            "numbers across. The inside names are missing on the right, and *mean* says what becomes of them.",
        ),
        "starter": f'''from einops import reduce


def pool(pictures):
    """The mean of every patch, {down} high and {across} wide: (batch, height, width) → (batch, row, column)."""
    raise NotImplementedError("{task}")''',
        "answers": {"pool": partial(judge_pool, down=down, across=across)},
        "worked": f"""def pool(pictures):
    # No axis is split: of {down} rows and {across} columns one is taken, from each start: {down * across} pictures.
    # Where they begin is what a pattern calls down and across; their mean, place by place, is that of a patch.
    parts = [pictures[:, down::{down}, across::{across}] for down in range({down}) for across in range({across})]
    return torch.stack(parts).mean(dim=0)""",
    }


component.exercises = (
    Exercise(
        name="second_head",
        kind="predict",
        title="Head 1 of word 0",
        text="`x = torch.arange(12).reshape(1, 2, 6)` holds two words of six numbers, and `out` is `rearrange(x, "
        '"batch seq (head dim) -> batch head seq dim", head=2)`. What is `out[0, 1, 0]`? Type a list first.',
        task="Type the numbers that out[0, 1, 0] holds.",
        difficulty=1,
        importance=4,
        minutes=3,
        hints=(
            "Write x as two rows of six. What do the three indices of `out` count, in this order?",
            "*I get [6, 7, 8]*: that is word 1; the second index is no longer the word. *I get [1, 3, 5]*: in "
            "`(head dim)` the last name runs fastest.",
            "Text 0, head 1, word 0: the first word, cut in two; the second piece of it.",
        ),
        starter="second_head = ...  # a list of numbers",
        answers={"second_head": judge_row},
        solution="second_head = [3, 4, 5]",
        why="Word 0 is 0 … 5, and `(head dim)` cuts it into 0, 1, 2 and 3, 4, 5. [6, 7, 8] is word 1's.",
    ),
    Exercise(
        name="its_number",
        kind="predict",
        title="What is left of *its*",
        text='With `q` and `k` as they stand on this page, `einsum(q, k, "query dim, key dim -> query")` gives one '
        "number for each word. Which one does *its* get, the fourth? On paper; its row of `q` is (1, 1).",
        task="Type the number that *its* gets.",
        difficulty=2,
        importance=4,
        minutes=4,
        hints=(
            "Which names are missing on the right? Over those, all products are summed.",
            "*I get 2*: that takes only the key of *its*. `query` and `key` are two names, so every word meets every "
            "word. *I get 35*: `query` stands on the right, and is not summed.",
            "Multiply (1, 1) with each of the five rows of `k`, number by number, and add up all ten products.",
        ),
        starter="its_number = ...  # your number",
        answers={"its_number": judge_asked},
        solution="its_number = (1 * 0 + 1 * 0) + (1 * 2 + 1 * 1) + (1 * 1 + 1 * 0) + (1 * 0 + 1 * 2) + (1 * 2 + 1 * 0)",
        why="0 + 3 + 1 + 2 + 2: the row of scores, summed. Had both called their words `query`, it would be 2.",
    ),
    Exercise(
        **own(split_by_hand, "Move every number of x into its head."),
        text="Write `split_by_hand(x, heads)`, what this lesson's first `rearrange` does, for texts, words and heads "
        "of any number and size. Decide yourself where each number goes: loops and slices, no `reshape` and no einops.",
        difficulty=2,
        importance=4,
        minutes=8,
        hints=(
            "How wide is one head? Make an empty result of the right shape first, then fill it place by place.",
            "*Right on the page and wrong elsewhere*: the page's loop holds a 2, a 3, a 5 and a text 0. Take all of "
            "them from the shape of x. *Another output the second time*: `torch.empty` holds whatever lay "
            "there; start from zeros, of x's dtype.",
            "For each head and each place in it: all texts, all words, that head, that place = all texts, all words "
            "of x, so many whole heads further and that place.",
        ),
        answers={"split_by_hand": component.parts["split_by_hand"]},
        why="Head by head, the count head · dim + place is what `(head dim)` says: the last name runs fastest.",
    ),
    Exercise(
        **own(merge_by_hand, "Move every number of every head back into its word."),
        text="Write `merge_by_hand(x)`, the way back: x is (batch, head, seq, dim), and the heads of each word lie one "
        "behind the other again. No `reshape` and no einops here either.",
        difficulty=2,
        importance=4,
        minutes=5,
        hints=(
            "Every number of a head has one place in its word. Which, counted from the word's beginning?",
            "*The shape is right, and words hold numbers of others*: x stands in the order of its heads, and each word "
            "must collect its own from all of them. *Numbers are missing*: two heads were written to one place.",
            "The line of `split_by_hand`, its two sides exchanged; or a `torch.cat` of the heads: along which axis?",
        ),
        answers={"merge_by_hand": component.parts["merge_by_hand"]},
        why="Do not test the two by each other alone: split and merged as `(dim head)`, x comes back just as well.",
    ),
    Exercise(
        name="mended_fits",
        kind="find the bug",
        title="Right heads and wrong heads",
        text="Six heads that ask share two that answer: 0, 1, 2 belong to the first, 3, 4, 5 to the second. So `asks` "
        "is split into `kv`, which of the two, and `group`, which of its three; all fits are computed at once, and "
        "merged again. No shape is wrong, and most heads are right. First write down which are not, before you run it. "
        "Then mend it, and write the **probe**: a function that is given any such `fit` and says whether it deals the "
        "heads out in turn.",
        task="Say whether fit(asks, answers) deals the heads that ask out in turn.",
        difficulty=3,
        importance=5,
        minutes=12,
        hints=(
            "Write 0 to 5 in a row, and under each its `kv`, once for `(group kv)` and once for `(kv group)`.",
            "*One name mended, and now more heads are wrong*: the way in and the way back must agree. *My probe says "
            "True of the right one*: heads that ask different things fit differently anyway. Let all ask the same. "
            "*It says False of the wrong one*: then look at heads 0 and 1, and let the two that answer differ.",
            "`(group kv)` gives 0 1 0 1 0 1, where 0 0 0 1 1 1 is asked for; they agree in four places. For the probe: "
            "`asks` of ones, `answers` of zeros for the first and ones for the second; do heads 0 and 1 fit alike?",
        ),
        starter='''from einops import einsum, rearrange


wrong_heads = ...  # of 0 to 5, those that meet the wrong one: a set


def mended_fits(asks, answers):
    """Fits of heads that share: asks (batch, head, query, dim), answers (batch, kv, key, dim). Mend the mistake."""
    kv = answers.shape[1]
    grouped = rearrange(asks, "batch (group kv) query dim -> batch kv group query dim", kv=kv)
    fits = einsum(grouped, answers, "batch kv group query dim, batch kv key dim -> batch kv group query key")
    return rearrange(fits, "batch kv group query key -> batch (group kv) query key")


def deals_in_turn(fit) -> bool:
    """Whether fit(asks, answers) deals the heads that ask out in turn, where neighbours should share."""
    raise NotImplementedError("Say whether fit(asks, answers) deals the heads that ask out in turn.")''',
        answers={"wrong_heads": judge_wrong_heads, "mended_fits": judge_fits, "deals_in_turn": judge_probe},
        solution="""from einops import einsum, rearrange

wrong_heads = {1, 4}


def mended_fits(asks, answers):
    kv = answers.shape[1]
    grouped = rearrange(asks, "batch (kv group) query dim -> batch kv group query dim", kv=kv)
    fits = einsum(grouped, answers, "batch kv group query dim, batch kv key dim -> batch kv group query key")
    return rearrange(fits, "batch kv group query key -> batch (kv group) query key")


def deals_in_turn(fit) -> bool:
    asks, answers = torch.ones(1, 6, 1, 4), torch.ones(1, 2, 1, 4)
    answers[:, 0] = 0
    fits = fit(asks, answers)
    return not torch.equal(fits[:, 0], fits[:, 1])""",
        why="Heads 0, 2, 3 and 5 have the same kv either way; 1 and 4 meet the wrong one. A look at the first head, or "
        "at the last, shows nothing: only heads that should share, and ask the same, do.",
    ),
    Exercise(
        name="pool",
        kind="transfer",
        title="Smaller pictures",
        why="Two names are missing on the right, so the mean runs over both at once: over a patch. Networks for "
        "pictures call this average pooling.",
        difficulty=2,
        importance=3,
        minutes=8,
        seeded=lambda seed: pooling(*chosen(seed, POOLS)),
        **pooling(),
    ),
)
