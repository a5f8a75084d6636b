"""Diagnosis: what must hold of an edit and of a count of leaked text, the way to them, what goes wrong, the exercises.

Three mysteries are taken apart by `record` and `replace` whenever an answer about them is judged.
Subjects are called as moves(score, ids, place), where `score` is a function of ids that gives logits, and as
seen(ids, read, length).
"""

from functools import cache, partial

import torch
from einops import rearrange
from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from ...diagnosis import moves
from ...viz import record
from ..course.exercise import Exercise, first_fault, own, said, typed_number
from ..judge.guard import call
from ..judge.parts import Cases, Component, Step
from ..judge.subjects import normal
from ..mysteries import RULES, digits, mystery, share_right

component = Component("diagnosis")

# --------------------------------------------------------------------------------------------- models for a probe
#
# Nobody needs a Llama to try a probe: a model is told by who hears whom, a matrix (place, heard).

WORDS = 11


def hearing(matrix, loud: float = 1.0):
    """A model whose scores at a place are made of the words that its row of the matrix hears."""
    table, head = normal(901, WORDS, 5), normal(902, 5, WORDS)

    def score(ids):
        return loud * (matrix @ table[ids]) @ head

    return score


def some(seed: int, seq: int, keep=None) -> Tensor:
    """A matrix of numbers between 1 and 2, and 0 where `keep` is False."""
    matrix = 1 + torch.rand(seq, seq, generator=torch.Generator("cpu").manual_seed(seed))
    return matrix if keep is None else matrix * keep


def past(seq: int) -> Tensor:
    """Every place hears itself and what stands before it."""
    return torch.ones(seq, seq).tril()


def window(seq: int, width: int) -> Tensor:
    """Every place hears the last `width` tokens, itself included."""
    return past(seq).triu(1 - width)


def words(seed: int, *shape: int) -> Tensor:
    """Random ids that are the same on every call."""
    return torch.randint(WORDS - 1, shape, generator=torch.Generator("cpu").manual_seed(seed))


# ------------------------------------------------------------------------------------------- what must hold of an edit

CASES = Cases()
AXES = "seq"


def edits(name: str, says: str, score, ids, place: int, tell=None):
    """Enter the case `name`: what moves in these ids."""
    CASES(says, AXES, tell=tell)(lambda moves: moves(score, ids, place)).__name__ = name


edits("one_token", "one token, one place", hearing(some(1, 1)), words(2, 1, 1), 0)
edits("itself", "who hears only itself moves alone", hearing(torch.eye(6)), words(3, 1, 6), 2)
edits("causal", "nothing before the edit moves", hearing(some(4, 6, past(6))), words(5, 1, 6), 3)
edits("leaking", "whoever hears the edited token moves, earlier ones too", hearing(some(6, 6)), words(7, 1, 6), 3)
edits("window", "whoever does not hear it any more stays", hearing(some(8, 9, window(9, 3))), words(9, 1, 9), 2)
edits("first", "the first token edited", hearing(some(10, 5, past(5))), words(11, 1, 5), 0)
edits("last", "the last token edited", hearing(some(12, 5, past(5))), words(13, 1, 5), 4)
edits("in_units", "scores a hundred times as loud: the same", hearing(some(14, 6), 100.0), words(15, 1, 6), 3)
edits("downward", "a score that falls has moved, too", hearing(-some(16, 6)), words(17, 1, 6), 3)
edits("rows", "three rows: the one that moves most counts", hearing(some(18, 6)), words(19, 3, 6), 3)
edits("last_word", "after the last word of the vocabulary comes the first", hearing(some(20, 6)),
      torch.full((2, 6), WORDS - 1), 3)  # fmt: skip


@CASES("the ids that were handed in stay as they are")
def untouched(moves):
    ids = words(21, 2, 6)
    before = ids.clone()
    moves(hearing(some(22, 6)), ids, 3)
    return ids - before


edits("long", "seventy places", hearing(some(23, 70, past(70))), words(24, 2, 70), 40)


def adapt_moves(function):
    return lambda score, ids, place: call(function, score, ids, place)


OTHER, APART, LARGEST, UNITS = (
    "the ids with another token at the place", "what each score has moved by", "the largest move at each place",
    "the moves in units of the scores' spread")  # fmt: skip


def steps(score, ids, place):
    """What is computed on the way, in its order."""
    edited = ids.clone()
    edited[:, place] = (ids[:, place] + 1) % score(ids).shape[-1]
    gap = (score(edited) - score(ids)).abs()
    return [
        Step(OTHER, edited, (), axes="batch seq"),
        Step(APART, gap, axes="batch seq vocab"),
        Step(LARGEST, gap.amax(dim=(0, 2)), axes="seq"),
        Step(UNITS, gap.amax(dim=(0, 2)) / score(ids).std(), axes="seq"),
    ]


component.part(moves, adapt_moves, CASES, steps)

# ----------------------------------------------------------------------------------- what must hold of a leaking exam


def seen_before(ids: Int[Tensor, "window seq"], read: Int[Tensor, " tokens"], length: int = 32) -> float:
    """The share of the pieces of `length` tokens in the windows that stand in what was read, too."""
    known = {tuple(piece) for piece in read.unfold(0, length, 1).tolist()}
    asked = rearrange(ids.unfold(1, length, 1), "window piece length -> (window piece) length").tolist()
    return sum(tuple(piece) in known for piece in asked) / len(asked)


SEEN_CASES = Cases()
READ = words(31, 60)


def counts(name: str, says: str, ids, read, length: int):
    """Enter the case `name`: what share of these windows was read."""
    SEEN_CASES(says)(lambda seen: seen(ids, read, length)).__name__ = name


def cut_out(*starts: int, seq: int = 8) -> Tensor:
    """Windows of what was read."""
    return torch.stack([READ[start : start + seq] for start in starts])


HALF = torch.cat([READ[3:9], torch.full((5,), WORDS - 1)])[None]
counts("all_of_it", "windows cut out of what was read: all of it", cut_out(0, 17, 52), READ, 4)
counts("nothing", "words that were never read: nothing", torch.full((2, 8), WORDS - 1), READ, 4)
counts("half", "half of a window was read: the pieces that lie within it", HALF, READ, 4)
counts("whole_window", "one piece, as long as the window", torch.cat([cut_out(5, 20), HALF[:, :8]]), READ, 8)
counts("shuffled", "the same words in another order are no piece that was read", cut_out(11).flip(1), READ, 5)
counts("scattered", "words that were read far apart are no piece", torch.tensor([[0, 5, 2, 7], [3, 2, 1, 0]]),
       torch.arange(8), 4)
counts("again", "a piece that comes twice counts twice", torch.cat([cut_out(7, 7), HALF[:, :8]]), READ, 4)
counts("odd_start", "what was read is cut at every place", cut_out(1, 2, 3, seq=5), READ, 4)


def adapt_seen(function):
    return lambda ids, read, length: torch.as_tensor(float(call(function, ids, read, length)))


component.part(seen_before, adapt_seen, SEEN_CASES)

# ------------------------------------------------------------------------------------------------- what goes wrong

EDIT = "edited[:, place] = (ids[:, place] + 1) % before.shape[-1]"


def bug(name: str, step, symptom: str, *wrong: dict, says: str):
    component.bug(name, "moves", *wrong, step=step, symptom=symptom, says=says)


# fmt: off
bug("edits_the_first", OTHER, "A leak of the last token alone is not found; a right model seems right.",
    {EDIT: EDIT.replace(":, place", ":, 0")},
    says="You edit the first token, whatever `place` is. Nothing stands before it, so no leak can show.")
bug("edits_all_after", OTHER, "Later places move more than one edit can move them.",
    {EDIT: EDIT.replace("place]", "place:]")},
    says="You edit every token from the place on. One edit tells which token was heard.")
bug("edits_one_row", OTHER, "With one row it is right.", {EDIT: EDIT.replace(":, place", "0, place")},
    says="You edit the first row only. Each row gets another token at the place.")
bug("edits_a_row", OTHER, "An IndexError, or a whole row is another text.", {EDIT: EDIT.replace(":, place", "place")},
    says="`ids[place]` is a row. Places are the second axis, and every row gets another token.")
bug("edits_in_place", UNITS, "Nothing ever moves, and whoever called has other ids.", {"ids.clone()": "ids"},
    says="You write into the ids that were handed in. Copy them first.")
bug("compares_with_itself", APART, "No model leaks.", {"score(edited) - before": "score(ids) - before"},
    says="You compare the scores of the same ids. Score the edited ones.")
bug("beyond_the_vocabulary", OTHER, "An IndexError, when the last word of the vocabulary comes.",
    {" % before.shape[-1]": ""},
    says="After the last word of the vocabulary there is none. Take the remainder by the vocabulary's size.")
bug("signed", APART, "Half of the moves are lost.", {".abs()": ""},
    says="A score that falls has moved as well. Take the absolute value.")
bug("mean_for_largest", LARGEST, "A small leak drowns in the mean.", {".amax(dim=(0, 2))": ".mean(dim=(0, 2))"},
    says="You take the mean over rows and words. The one that moves most counts.")
bug("smallest", LARGEST, "Hardly anything moves.", {".amax(dim=(0, 2))": ".amin(dim=(0, 2))"},
    says="You take the smallest move. The one that moves most counts.")
bug("not_in_units", UNITS, "A loud model seems to leak, where it only rounds.", {" / before.std()": ""},
    says="The moves are in units of the scores' spread: divide by their standard deviation.")
bug("variance_for_spread", UNITS, "The same model, twice as loud, moves half as far.", {"before.std()": "before.var()"},
    says="You divide by the variance. The spread is its root.")
bug("per_word", LARGEST, "One number for each word.", {"dim=(0, 2)": "dim=(0, 1)"},
    says="You give a number for each word. Rows and words are summed up; places stay.")
PIECES, KNOWN = "ids.unfold(1, length, 1)", "read.unfold(0, length, 1)"
ASKED = f'rearrange({PIECES}, "window piece length -> (window piece) length")'
SHARE = "sum(tuple(piece) in known for piece in asked) / len(asked)"
SHORT_READ = "[read[i : i + length].tolist() for i in range(len(read) - length)]"
SHORT_ASKED = "[row[i : i + length].tolist() for row in ids for i in range(len(row) - length)]"


def slip(name: str, symptom: str, *wrong: dict, says: str):
    component.bug(name, "seen_before", *wrong, step="", symptom=symptom, says=says)


slip("pieces_side_by_side", "Of a window one piece in `length` is asked for.",
     {PIECES: "ids.unfold(1, length, length)"},
     says="Your pieces of the windows stand side by side. One begins at every place.")
slip("read_side_by_side", "Hardly anything was seen, whatever was read.", {KNOWN: "read.unfold(0, length, length)"},
     says="What was read is cut side by side, so that most pieces of it are unknown. One begins at every place.")
slip("words_for_pieces", "Everything was seen: each word stands in the textbook.",
     {"tuple(piece) in known": "set(piece) <= set(read.tolist())"},
     {SHARE: "torch.isin(ids, read).float().mean().item()"},
     says="You ask whether the words were read. Ask for the piece, in its order.")
slip("in_any_order", "A little too much was seen.",
     {"{tuple(piece) for": "{tuple(sorted(piece)) for", "tuple(piece) in": "tuple(sorted(piece)) in"},
     says="You forget the order within a piece.")
slip("each_piece_once", "Repeated text counts too little.",
     {"return sum(tuple(piece) in known for piece in asked) / len(asked)":
      "once = {tuple(piece) for piece in asked}\n    return len(once & known) / len(once)"},
     says="A piece that comes twice in the exam counts twice.")
slip("counted", "A number far above 1.", {" / len(asked)": ""}, says="You count the pieces. A share is asked for.")
slip("per_window", "Always 0 or 1 for a window.", {PIECES: "ids.unfold(1, ids.shape[1], 1)"},
     says="You ask whether whole windows were read. Ask for pieces of `length`.")
slip("any_piece", "A window counts as soon as one piece of it was read.",
     {SHARE: f"sum(any(tuple(piece) in known for piece in row) for row in {PIECES}.tolist()) / len(ids)"},
     says="You count windows that hold a piece that was read. Count the pieces.")
slip("across_windows", "Pieces that stand in no window are asked for.", {ASKED: "ids.flatten().unfold(0, length, 1)"},
     says="Your pieces run on from one window into the next. Cut each window for itself.")
slip("share_of_what_was_read", "A long textbook makes every exam look clean.", {" / len(asked)": " / len(known)"},
     says="You divide by the number of pieces that were read. It is the share of the windows' pieces.")
slip("tuples_of_tensors", "Nothing was ever seen.",
     {f"{KNOWN}.tolist()": KNOWN, f"{ASKED}.tolist()": ASKED},
     says="A tuple of tensors is found in no set: each tensor is an object of its own. Make numbers of them, with "
     "`.tolist()`.")
slip("last_piece_missing", "A division by zero, where a window is one piece.",
     {f"{KNOWN}.tolist()": SHORT_READ, f"{ASKED}.tolist()": SHORT_ASKED}, {f"{ASKED}.tolist()": SHORT_ASKED},
     {f"{KNOWN}.tolist()": SHORT_READ},
     says="The last piece is missing: count the pieces of 4 in a row of 4.")
# fmt: on

# ------------------------------------------------------------------------------------------------ answers by hand

SEES_NOTHING = {
    "is causal": "turning reads no later token: the mask stands",
    "reads in pieces": "keys in the cache are the same as those made at once, turned or not",
    "uses gains": "every gain is read",
    "learns everywhere": "the loss reaches every weight",
    "stands alone": "rows do not meet",
    "moves together": "",
}


def judge_probes(answer) -> str:
    """The sentence on the probes that fail where only queries are turned."""
    if isinstance(answer, str):
        answer = {answer}
    if not isinstance(answer, set | list | tuple | frozenset):
        return f"the answer is a set of names, got {answer!r:.60}"
    given = {str(name).replace("_", " ") for name in answer}
    unknown = given - SEES_NOTHING.keys()
    if unknown:
        return f"{min(unknown)!r} is none of the six: {', '.join(SEES_NOTHING)}"
    wrong = sorted(name for name in given if SEES_NOTHING[name])
    if wrong:
        return f"“{wrong[0]}” holds: {SEES_NOTHING[wrong[0]]}"
    return said(given, "one of them fails: which law do keys that stay as they are break?")


LEAKS = (
    (False, "who hears the past and itself", hearing(some(41, 8, past(8)))),
    (False, "who hears itself alone", hearing(torch.eye(8))),
    (False, "who hears the past, very loudly", hearing(some(42, 8, past(8)), 1000.0)),
    (True, "who hears everything", hearing(some(43, 8))),
    (True, "who hears one token too many", hearing(some(44, 8, torch.ones(8, 8).tril(1)))),
    (True, "who hears the last token, as well as the past", hearing(
        some(45, 8, past(8).index_fill(1, torch.tensor([7]), 1)))),
)  # fmt: skip


def judge_leak(answer) -> str:
    """The sentence on a function that says whether a model reads ahead."""
    ids = words(46, 2, 8)
    for wanted, name, score in LEAKS:
        found = bool(call(answer, score, ids))
        if found != wanted and not wanted:
            return f"it says True of one {name}: what moves at the edit, or after it, may move. Look before it"
        if found != wanted:
            more = (": an edit moves an earlier place there. One such edit is enough" if name == "who hears everything"
                    else ". Edit one place after another")  # fmt: skip
            return f"it says False of one {name}{more}"
    return ""


def looks_before(score, ids):
    return any(bool((moves(score, ids, place)[:place] > 1e-4).any()) for place in range(ids.shape[1]))


def looks_after(score, ids):
    return any(bool((moves(score, ids, place)[place:] > 1e-4).any()) for place in range(ids.shape[1]))


def looks_everywhere(score, ids):
    return any(bool((moves(score, ids, place) > 1e-4).any()) for place in range(ids.shape[1]))


def looks_at_itself_too(score, ids):
    return any(bool((moves(score, ids, place)[: place + 1] > 1e-4).any()) for place in range(ids.shape[1]))


def edits_the_first(score, ids):
    return bool((moves(score, ids, 0)[:0] > 1e-4).any())


PROBES = (
    (False, "one that looks before the edit", looks_before),
    (False, "one that edits the first token only, and so blames nobody", edits_the_first),
    (True, "one that looks after the edit", looks_after),
    (True, "one that looks everywhere", looks_everywhere),
    (True, "one that counts the edited place itself", looks_at_itself_too),
)


def judge_blame(answer) -> str:
    """The sentence on a probe of probes: whether one blames a right model."""
    found = [bool(answer(probe)) for _, _, probe in PROBES]
    if found == [not wanted for wanted, _, _ in PROBES]:
        return "it says the opposite: True is for a probe that blames a right model"
    more = {True: ": does anything move after the edit in the model that you hand in?",
            False: ": is the model that you hand in one that never moves before the edit, and the same on each call?"}
    return first_fault(*(said(mine == wanted, f"it should say {wanted} of {name}{more[wanted]}")
                         for mine, (wanted, name, _) in zip(found, PROBES)))  # fmt: skip


def windows(width: int, seq: int = 12):
    """(whether it has that window, its name, the model)"""
    ahead = window(seq, width) + torch.eye(seq).roll(1, dims=1).triu(1)
    gap = window(seq, width)
    gap[:, 2] *= torch.arange(seq) != 3  # place 3 does not hear token 2
    first = window(seq, width).index_fill(1, torch.tensor([0]), 1) * past(seq)
    return (
        (True, f"with a window of {width}: the edited place moves there, and the {width - 1} after it, and no other",
         some(51, seq, window(seq, width))),
        (False, f"with a window of {width + 1}: a place moves there that is {width} after the edit",
         some(52, seq, window(seq, width + 1))),
        (False, f"with a window of {width - 1}: what is {width - 1} places after the edit stays there, and should move",
         some(53, seq, window(seq, width - 1))),
        (False, "that hears all that came before", some(54, seq, past(seq))),
        (False, "that hears one token ahead as well", some(55, seq, ahead.clamp(max=1))),
        (False, "in whose window one token is not heard", some(56, seq, gap)),
        (False, "that hears the first token always, beside its window", some(57, seq, first)),
    )


def judge_window(answer, width: int) -> str:
    """The sentence on a probe of windows."""
    ids = words(58, 2, 12)
    told = [(wanted, name, bool(call(answer, hearing(matrix), ids, width))) for wanted, name, matrix in windows(width)]
    return first_fault(*(said(mine == wanted, f"it should say {wanted} of a model {name}")
                         for wanted, name, mine in told))  # fmt: skip


WORKED_WINDOW = """def window_holds(score, ids, width):
    # No map: only the last place is asked, of texts that end at every place. All that lies outside its window may be
    # exchanged at once, and it must not move; each token inside the window alone must move it. What lies ahead is cut
    # off, so the cut itself may change nothing either.
    whole = score(ids)
    for end in range(1, ids.shape[1] + 1):
        text, start = ids[:, :end], max(0, end - width)
        rest = ids.clone()
        rest[:, :start] = (rest[:, :start] + 1) % whole.shape[-1]
        rest[:, end:] = (rest[:, end:] + 1) % whole.shape[-1]
        if not torch.allclose(score(rest)[:, end - 1], whole[:, end - 1], atol=1e-4 * whole.std().item()):
            return False
        if not all((moves(score, ids, place)[end - 1] > 1e-4) for place in range(start, end)):
            return False
    return True"""


def fields_of_window(width: int) -> dict:
    """Text, starter and answers of the exercise, for that window."""
    task = "Say whether every place hears the last `width` tokens, and nothing else."
    return {
        "task": task,
        "text": "Some models hear only the last `width` tokens, themselves included: a **sliding window**. A config "
        "says so; whether the code does is another thing. Write the probe, with `moves`: `window_holds(score, ids, "
        "width)` is True where every place hears each token of its window, and none outside it, behind or ahead. Yours "
        f"will be tried with a width of {width}, on models with a right window, a wide, a narrow one, or a hole in it.",
        "starter": f'''def window_holds(score, ids, width):
    """Whether the model that gives these scores hears the last `width` tokens and nothing else."""
    raise NotImplementedError("{task}")''',
        "answers": {"window_holds": partial(judge_window, width=width)},
        "worked": WORKED_WINDOW,
    }


# ------------------------------------------------------------------------------------------------- the mysteries

HEADS = tuple((layer, head) for layer in range(2) for head in range(2))


@cache
def taken_apart(name: str) -> dict:
    """What is true of a mystery, measured: its rule, what is left without each head, and how sharply each looks."""
    model, ids = mystery(name), digits()
    with torch.no_grad(), record(model) as trace:
        whole = {rule: share_right(model, rule) for rule in RULES}
        model(ids)
    rule = max(whole, key=whole.get)
    wanted = RULES[rule](ids)

    def left(value, *heads) -> tuple[float, float, float]:
        """Right answers with these heads replaced: the share of known places, that of all places, and the loss."""
        parts = {f"layers.{layer}.heads.{head}": value for layer, head in heads}
        with torch.no_grad(), trace.replace(parts):
            scores = model(ids)
        right, known = scores.argmax(dim=-1) == wanted, wanted >= 0
        loss = cross_entropy(scores[known], wanted[known]).item()
        return right[known].float().mean().item(), right.float().mean().item(), loss

    mean = {each: left("mean", each) for each in HEADS}
    sharp = {(layer, head): trace[f"layers.{layer}.probs"][:, head, 4:].amax(dim=-1).mean().item()
             for layer, head in HEADS}  # fmt: skip
    head = min(HEADS, key=lambda each: mean[each][0])
    layer_off = left("mean", (head[0], 0), (head[0], 1))
    return {"rule": rule, "whole": whole, "head": head, "mean": mean, "zero": left(0, head), "sharp": sharp,
            "layer": layer_off}  # fmt: skip


def judge_rule(answer, name: str) -> str:
    """The sentence on the rule of a mystery."""
    truth = taken_apart(name)
    if answer not in [*RULES]:
        return f"the answer is one of {', '.join(map(repr, RULES))}, got {answer!r:.60}"
    more = " The place itself is none back." if {answer, truth["rule"]} == {"two back", "three back"} else ""
    return said(answer == truth["rule"],
                f"of the places where {answer!r} says a digit, {name} says the same in {truth['whole'][answer]:.0%}; "
                f"its own rule it keeps in {truth['whole'][truth['rule']]:.0%}.{more}")  # fmt: skip


def judge_head(answer, name: str) -> str:
    """The sentence on the head that does the work of a mystery."""
    truth = taken_apart(name)
    if not isinstance(answer, tuple | list) or tuple(answer) not in HEADS:
        return f"the answer is (layer, head), each 0 or 1, got {answer!r:.60}"
    answer = tuple(answer)
    if answer == truth["head"]:
        return ""
    left, whole = truth["mean"][answer][0], truth["whole"][truth["rule"]]
    idle = whole - left < 0.01
    if idle and truth["sharp"][answer] > 0.9 * max(truth["sharp"].values()):
        return (f"no map of the four is clearly sharper, its largest weight holds {truth['sharp'][answer]:.2f} on "
                f"average, but nobody misses it: with its mean in its place {left:.1%} are right, as before")
    if idle:
        return f"nobody misses it: with its mean in its place {left:.1%} are right, as before"
    return f"it helps, with its mean in its place {left:.1%} are right; but another head is missed more"


def judge_left(answer, name: str) -> str:
    """The sentence on the share of right answers that is left without the head that does the work."""
    truth = taken_apart(name)
    head, whole = truth["head"], truth["whole"][truth["rule"]]
    right, all_places, loss = truth["mean"][head]
    slips = {
        100 * right: "that is in per cent; a share lies between 0 and 1",
        truth["zero"][1]: "that is with zero in the head's place, and over all places",
        truth["zero"][0]: "that is with zero in the head's place. Its mean was asked for",  # Y knows all places
        all_places: "the places at which the rule has nothing to say (−1) count as wrong there: leave them out",
        whole: "that is the whole model, or a head that nobody misses: is the model called inside `replace`'s block?",
        whole - right: "that is how much is lost. What is left was asked for",
        1 - right: "that is how many are wrong. The share that is right was asked for",
        loss: "that is the loss. The share of right answers was asked for",
        truth["layer"][0]: "that is with both heads of the layer replaced",
    }  # fmt: skip
    for other, (left, *_) in truth["mean"].items():
        slips.setdefault(left, f"that is without head {other[1]} of layer {other[0]}, which is not missed most")
    return typed_number(right, 0.003, slips)(answer)


def keeps(name: str, hints: tuple[str, str, str], difficulty: int, minutes: int, **more) -> Exercise:
    """The exercise on a mystery."""
    low = name.lower()
    task = f"Type the rule of {name}, the head that does the work, and what is left without it."
    judges = {f"rule_{low}": judge_rule, f"head_{low}": judge_head, f"left_{low}": judge_left}
    return Exercise(
        name=f"mystery_{low}",
        kind="transfer",
        task=task,
        difficulty=difficulty,
        importance=4,
        minutes=minutes,
        hints=hints,
        starter=f"""model_{low} = mystery("{name}")  # look into it with record, change it with replace
rule_{low} = ...  # one of RULES, such as "the first"
head_{low} = ...  # (layer, head), such as (0, 0)
left_{low} = ...  # the share that is right with that head's mean in its place, three digits or more""",
        answers={answer: partial(judge, name=name) for answer, judge in judges.items()},
        **more,
    )


# ----------------------------------------------------------------------------------------------------- the exercises

WORKED_X = """# Without `replace`: what a head says goes into its 16 columns of o_proj. A hook that runs before that
# matrix puts the mean there. And the other way round: the other three say their mean, and the rule still holds.
model_x, at = mystery("X"), torch.arange(32) // 16


def said_mean(layer, *heads):
    def change(_, args):
        (x,) = args
        off = sum(at == head for head in heads).bool()
        return (torch.where(off, x.mean(dim=(0, 1)), x),)

    return model_x.model.layers[layer].self_attn.o_proj.register_forward_pre_hook(change)


shares = {}
for head_x in ((0, 0), (0, 1), (1, 0), (1, 1)):
    hook = said_mean(*head_x)
    shares[head_x] = share_right(model_x, "three back")
    hook.remove()
rule_x, head_x = "three back", min(shares, key=shares.get)
left_x = shares[head_x]
hooks = said_mean(head_x[0], 1 - head_x[1]), said_mean(1 - head_x[0], 0, 1)
print(f"with this head alone: {share_right(model_x, rule_x):.1%}")
for hook in hooks:
    hook.remove()"""

WORKED_Y = """# A head that counts can be replaced by one that cannot choose: with all its weights alike, Y answers as
# before. So what the head does is not in its map, which has no pattern, but in what it hands on: a mean of all digits.
model_y = mystery("Y")
with torch.no_grad(), record(model_y) as trace:
    shares = {rule: share_right(model_y, rule) for rule in RULES}
rule_y = max(shares, key=shares.get)
alike = torch.ones(16, 16).tril() / torch.arange(1, 17)[:, None]
with trace.replace("layers.0.probs", alike):
    print(f"with all weights of layer 0 alike: {share_right(model_y, rule_y):.1%}")
left = {}
for part in ("layers.0.heads.0", "layers.0.heads.1"):
    with trace.replace(part, "mean"):
        left[part] = share_right(model_y, rule_y)
part = min(left, key=left.get)
head_y, left_y = (0, int(part[-1])), left[part]"""

WORKED_Z = """# By what a head writes, not by what it reads: whoever always says the same has little to say. The two
# that look alike differ in how far their words spread about their mean, and the one with the wider spread is missed.
model_z, rule_z = mystery("Z"), "the latest of 5 or more"
with torch.no_grad(), record(model_z) as trace:
    model_z(digits())
spread = {}
for layer in (0, 1):
    matrix = model_z.model.layers[layer].self_attn.o_proj.weight.detach()
    for head in (0, 1):
        written = trace[f"layers.{layer}.heads.{head}"] @ matrix[:, 16 * head : 16 * head + 16].T
        spread[layer, head] = written.std(dim=(0, 1)).norm().item()
head_z = max(spread, key=spread.get)
with trace.replace("layers.{}.heads.{}".format(*head_z), "mean"):
    kept = share_right(model_z, rule_z)
left_z = kept"""


TRY = "Say whether a probe blames a model that does not leak."

component.exercises = (
    Exercise(
        name="first_to_move",
        kind="predict",
        title="A token that slips through the layers",
        text="In a model of **four** layers the mask comes one late: each layer lets a token be heard one place too "
        "early. Token 9 of a long text is edited. Which is the first place whose scores move?",
        task="Type the first place that moves.",
        difficulty=2,
        importance=4,
        minutes=4,
        hints=(
            "Which place hears token 9 in the first layer? Who hears that place in the second?",
            "*I get 8*: that is after one layer. *I get 9*: that is a right model. *I get 0*: who looks so far?",
            "Each layer carries the news one place towards the beginning.",
        ),
        starter="first_to_move = ...  # a place, counted from 0",
        answers={"first_to_move": typed_number(5, 1e-6, {
            8: "that is after one layer; the next one lets place 7 hear place 8", 9: "that is a right model's",
            0: "a layer lets a token slip by one place only", 4: "one place too far: a layer, a place",
            6: "that is after three layers", 13: "later places move in any model; look before the edit"})},
        solution="first_to_move = 9 - 4",
        why="Depth widens every leak. The page's model has two layers, and its map two diagonals that should be empty.",
    ),
    Exercise(
        name="probes_that_fail",
        kind="predict",
        title="Only queries are turned",
        text="Somebody writes `q = rotate(q)` and forgets the keys. Which of these six probes fail: `is causal`, "
        "`reads in pieces`, `uses gains`, `learns everywhere`, `stands alone`, `moves together`?",
        task="Type the set of those probes that fail.",
        difficulty=2,
        importance=4,
        minutes=4,
        hints=(
            "What does a score depend on now: on a distance, or on a place?",
            "*I want to name several*: go through them one by one. What would a probe have to see move, or stay?",
            "Turned queries with keys at rest: move the whole text, and the angle between the two changes.",
        ),
        starter='probes_that_fail = {...}  # names, such as "is causal"',
        answers={"probes_that_fail": judge_probes},
        solution='probes_that_fail = {"moves together"}',
        why="Most bugs break one law, or two. So a checklist must be long, and each entry cheap.",
    ),
    Exercise(
        name="moves",
        kind="implement",
        task="Edit one token; say how far the scores at each place move.",
        difficulty=2,
        importance=5,
        minutes=12,
        hints=(
            "Two calls of `score`: with which ids? What is to be compared, and over which axes is the largest taken?",
            "*Nothing ever moves*: do you edit a copy, and score that copy? *An IndexError*: what comes after the last "
            "word of the vocabulary? *My numbers are too large by one factor*: the scores' spread is the unit.",
            "Copy the ids; at the place of every row put the next word, the first after the last. The absolute "
            "difference of the scores, largest over rows and words, divided by the scores' standard deviation.",
        ),
    ),
    Exercise(
        **own(seen_before, "Give the share of the exam's pieces that stand in what was read."),
        text="How much of an exam has been read? Write `seen_before(ids, read, length)`: `ids` are the exam's windows "
        "(window, seq), `read` is one long row of tokens. A **piece** is `length` tokens in a row, and one begins at "
        "every place, in the windows and in what was read. What share of the windows' pieces stands in `read`?",
        difficulty=2,
        importance=4,
        minutes=14,
        hints=(
            "How many pieces of 4 does a window of 8 have? And a text of 60? What knows quickly whether it holds one?",
            "*Hardly anything is seen*: is `read` cut at every place, or side by side? *Everything is seen*: a word "
            "alone is no piece. *It is slow*: a set of tuples knows at once what it holds.",
            "`unfold(axis, length, 1)` gives all pieces. Those of `read` as tuples into a set; count those of the "
            "windows that are in it, divided by how many there are.",
        ),
        answers={"seen_before": component.parts["seen_before"]},
        why="Before any loss is believed, this number should be near 0. On shuffled, overlapping windows it is not.",
    ),
    Exercise(
        name="mended_leak",
        kind="find the bug",
        title="It blames everybody",
        text="A colleague's causality probe says that *every* model reads ahead, ours as well. It edits a place, and "
        "looks. Mend it. And write the probe of probes: a function that is given such a probe, called as "
        "`probe(score, ids)`, and says whether it blames a model that does not leak. You will have to make one.",
        task=TRY,
        difficulty=2,
        importance=5,
        minutes=14,
        hints=(
            "Which places may move when token 5 is edited, and which may not? Is the place itself among them?",
            "*It still blames the right one*: the edited place may move; it has read its own token. *It misses the "
            "leak of the last token*: edit one place after another. *My probe of probes never says True*: hand in a "
            "`score` that hears the past, so that something moves after the edit.",
            "Look at what comes before `place`. For the other: a running sum of one-hot words hears the past and "
            "itself, and nothing ahead.",
        ),
        starter=f'''def mended_leak(score, ids):
    """Whether the model that gives these scores reads ahead. With a mistake: mend it."""
    return any(bool((moves(score, ids, place)[place:] > 1e-4).any()) for place in range(ids.shape[1]))


def blames_the_right(probe) -> bool:
    """Whether probe(score, ids), such as mended_leak, says that a model leaks which does not."""
    raise NotImplementedError("{TRY}")''',
        answers={"mended_leak": judge_leak, "blames_the_right": judge_blame},
        solution="""def mended_leak(score, ids):
    return any(bool((moves(score, ids, place)[:place] > 1e-4).any()) for place in range(ids.shape[1]))


def blames_the_right(probe) -> bool:
    def hears_the_past(ids):
        return torch.nn.functional.one_hot(ids, 7).float().cumsum(dim=1)

    return bool(probe(hears_the_past, torch.tensor([[1, 2, 3, 4, 5]])))""",
        why="A probe is code, too. Try it on a model that is right by construction, and on one that is wrong.",
    ),
    Exercise(
        name="window_holds",
        kind="transfer",
        title="Does the window hold?",
        why="A window one too wide costs memory and nobody notices; one with a hole loses words. The map shows both.",
        difficulty=3,
        importance=4,
        minutes=22,
        hints=(
            "Take the map of who hears whom. Which cells must be empty, and which must not, for a width of 3?",
            "*It says True of a model that hears everything*: look at what is too far back, too. *It says True of one "
            "with a hole*: inside the window each cell must move. *False of the right one*: the place itself counts.",
            "For each edited place and each other place: it may move if, and must move if, it is the same or up to "
            "width − 1 places later.",
        ),
        **fields_of_window(4),
    ),
    keeps(
        "X",
        title="Mystery X",
        text="X is a model like W, with another rule. Find three things: the **rule**, one of `RULES`; the **head** "
        "that does the work, as (layer, head); and what is **left** without it: the share of right answers to `asked` "
        "with that head's mean in its place, among the places where the rule has something to say.",
        difficulty=2,
        minutes=10,
        hints=(
            "How did the page find W's rule? And what did it do with each head, one after another?",
            "*Two heads look at the same place*: a map says where a head looks, not whether anybody uses it. *Nothing "
            "changes when I replace*: is the model called inside the `with` block? *My share is a little too low*: at "
            "some places the rule says −1.",
            "Try all `RULES` with `share_right`. Record a run on `asked`. Then, for each of four heads, put its mean "
            "in its place and take `share_right` anew, inside the block.",
        ),
        worked=WORKED_X,
    ),
    keeps(
        "Y",
        title="Mystery Y",
        text="The same three things of Y: its **rule**, the **head** that does the work, and what is **left** with "
        "that head's mean in its place. Before you measure: which of the four maps would you bet on?",
        difficulty=3,
        minutes=10,
        hints=(
            "What does a rule need that must know all digits so far, and none in particular?",
            "*The sharpest map costs nothing*: then it is not used. What would a head look like that counts? *Two "
            "heads cost something*: the one that costs more is asked for.",
            "A head that gives every digit the same weight is a mean, and a mean of one-hot digits is a count. Its map "
            "is dull. Measure all four.",
        ),
        worked=WORKED_Y,
    ),
    keeps(
        "Z",
        title="Mystery Z",
        text="The same three things of Z: its **rule**, the **head** that does the work, and what is **left** with "
        "that head's mean in its place. Here zero and mean differ by a lot, and two heads look alike.",
        difficulty=3,
        minutes=10,
        hints=(
            "At some places this rule has nothing to say. Which, and does `share_right` count them?",
            "*Both heads of a layer have the same map*: replace them one at a time. *I get more than is asked for*: is "
            "it zero that stands in the head's place? *My share is too low*: leave out the places with −1.",
            "As for X: all rules, then all four heads. Take `share_right`, which leaves out −1, and `\"mean\"`, not 0.",
        ),
        worked=WORKED_Z,
    ),
)
