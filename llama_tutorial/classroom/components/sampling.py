"""The choice of a token: what must hold of it, what goes wrong in it, and its exercises.

A subject that cuts is called as keep(logits, most): the number k or the share p. One that draws is called as
draws(logits, temperature, top_k, top_p) and gives how often each token was drawn, row by row.
"""

from functools import partial

import torch

from ...sampling import draw, keep_top_k, keep_top_p
from ..course.exercise import Exercise, chosen, typed_number
from ..judge.guard import Fault, call
from ..judge.parts import Cases, Component, Step
from ..judge.subjects import normal

component = Component("sampling")
INF = torch.inf
FOUR = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
MIXED = FOUR[:, [2, 0, 3, 1]]


# ------------------------------------------------------------------------------------------------- what must hold


def adapt_cut(function):
    """A function that cuts, on copies; what keeps everything may return what it was given."""

    def keep(logits, most):
        def once(logits):
            found = function(logits, most)
            return found + 0 if isinstance(found, torch.Tensor) else found

        return call(once, logits)

    return keep


TOP_K = Cases()


@TOP_K("the two highest of four stay as they are, the others become −inf", "batch vocab")
def two_of_four(keep):
    return keep(MIXED, 2)


@TOP_K("k = 1 keeps the favourite", "batch vocab")
def favourite(keep):
    return keep(MIXED, 1)


@TOP_K("every row is cut by itself", "batch vocab")
def rows_of_k(keep):
    return keep(normal(1, 4, 11) + 3 * torch.arange(4.0)[:, None], 3)


@TOP_K("equals of the last one stay too", "batch vocab")
def equals(keep):
    return keep(torch.tensor([[2.0, 1, 1, 0, 1]]), 2)


@TOP_K("a k beyond the vocabulary keeps all", "batch vocab")
def beyond(keep):
    return keep(MIXED, 9)


@TOP_K("64 rows of 300, k = 40", "batch vocab")
def whole_k(keep):
    return keep(3 * normal(2, 64, 300), 40)


LIMIT, CUT = "the lowest logit that stays, one a row", "−inf below it"


def steps_of_k(logits, most):
    """What is computed on the way to the k highest."""
    least = logits.topk(min(most, logits.shape[-1]), dim=-1).values[:, -1:]
    return [
        Step(LIMIT, least, (), axes="batch one", shaped=True, waypoint=True),
        Step(CUT, keep_top_k(logits, most), (LIMIT,), axes="batch vocab"),
    ]


component.part(keep_top_k, adapt_cut, TOP_K, steps_of_k)

TOP_P = Cases()


@TOP_P("p = 0.6: the token that crosses p is kept", "batch vocab")
def crossing(keep):
    return keep(FOUR, 0.6)


@TOP_P("p = 0.4: the favourite always stays", "batch vocab")
def never_empty(keep):
    return keep(FOUR, 0.4)


@TOP_P("two tokens of 0.5 each: one holds p = 0.5", "")
def just_enough(keep):
    return keep(torch.zeros(1, 2), 0.5).isfinite().sum()


@TOP_P("each logit comes back in its own place", "batch vocab")
def own_place(keep):
    return keep(MIXED, 0.9)


@TOP_P("every row is cut by itself", "batch vocab")
def rows_of_p(keep):
    return keep(normal(3, 4, 11) * torch.tensor([0.1, 1, 3, 9])[:, None], 0.8)


@TOP_P("what is cut already stays cut", "batch vocab")
def cut_before(keep):
    return keep(torch.tensor([[-INF, 1.0, 0.5, -INF, 0.0]]), 0.95)


@TOP_P("p = 1 keeps all, whatever the sum is rounded to", "batch vocab")
def all_of_it(keep):
    return keep(torch.cat([torch.zeros(1, 3), torch.full((1, 997), -30.0)], dim=1), 1.0)


@TOP_P("bfloat16: small shares still raise the sum", "")
def half_precision(keep):
    found = keep(torch.zeros(1, 999).bfloat16(), 0.9022)
    if found.dtype != torch.bfloat16:
        raise Fault(f"It returned {str(found.dtype).removeprefix('torch.')}, where bfloat16 belongs.")
    return found.isfinite().sum()


@TOP_P("64 rows of 300, p = 0.9", "batch vocab")
def whole_p(keep):
    return keep(3 * normal(4, 64, 300), 0.9)


SORTED, SHARES, HELD = "the logits, highest first", "their shares", "what the tokens before each one hold"
CUT_OFF = "whether that is p or more"
RETURNED = "−inf where that is p or more, and each logit in its own place"


def steps_of_p(logits, most):
    """What is computed on the way to the tokens that hold a share."""
    ordered = logits.sort(dim=-1, descending=True, stable=True).values
    chance = ordered.softmax(dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))
    before = chance.cumsum(dim=-1) - chance
    return [
        Step(SORTED, ordered, (), axes="batch vocab", waypoint=True, ordered=True),
        Step(SHARES, chance, (), axes="batch vocab"),
        Step(HELD, before, (SHARES,), axes="batch vocab", waypoint=True),
        Step(CUT_OFF, (before >= most) & (most < 1), (HELD,), axes="batch vocab", waypoint=True),
        Step(RETURNED, keep_top_p(logits, most), (SORTED, HELD), axes="batch vocab", ordered=True),
    ]


component.part(keep_top_p, adapt_cut, TOP_P, steps_of_p)

DRAWS, OF = Cases(), 40_000


def adapt_draw(function):
    """A function that draws, as the shares in which it draws each token."""

    def draws(logits, temperature, top_k=None, top_p=None):
        rows = logits.repeat_interleave(OF, dim=0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            found = call(function, rows, temperature, top_k, top_p, torch.Generator().manual_seed(1))
        if not isinstance(found, torch.Tensor) or found.shape != (len(rows),):
            shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise Fault(f"It should return one token a row, ({len(rows)},) for {len(rows)} rows, got {shape}.")
        if found.is_floating_point():
            raise Fault(f"It should return the numbers of tokens, got {found.dtype}.")
        shares = [row.bincount(minlength=logits.shape[1]) / OF for row in found.view(len(logits), OF)]
        return torch.stack(shares).float()

    draws.function = function
    return draws


def drawn(name: str, says: str, logits, *how, **more):
    """Enter the case `name`: how often each token is drawn."""
    alike = how == (1.0,) and not more  # at T = 1, without a cut, the first steps have one another's numbers
    enter = DRAWS(says, "batch vocab", tolerance=0.015, degenerate=alike)
    enter(lambda draws: draws(logits, *how, **more)).__name__ = name


drawn("as_it_is", "T = 1: as often as softmax says", MIXED, 1.0)
drawn("sharper", "T = 0.5: the favourite more often", MIXED, 0.5)
drawn("flatter", "T = 2: the favourite less often", MIXED, 2.0)
drawn("greedy", "T = 0: always the favourite", MIXED, 0.0)
drawn("two_alone", "top_k = 2: two tokens, rescaled to 1", MIXED, 1.0, top_k=2)
drawn("share_alone", "top_p = 0.6: two tokens, rescaled to 1", MIXED, 1.0, top_p=0.6)
drawn("favourite_alone", "top_p = 0.4: the favourite alone", MIXED, 1.0, top_p=0.4)
drawn("flat_and_cut", "T = 2 and top_p = 0.7: flattened first, then cut", MIXED, 2.0, top_p=0.7)
drawn("k_then_p", "top_k = 2, and then top_p = 0.6 of what that left", MIXED, 1.0, 2, 0.6)
drawn("rows_of_draw", "every row has its own shares", 2 * normal(5, 3, 4), 0.8)
ROWS = torch.cat([MIXED, MIXED.flip(1) - 9, FOUR + 5])
drawn("rows_cut", "every row is cut by itself", ROWS, 1.0, top_k=2)
drawn("k_of_nine", "a top_k beyond the vocabulary cuts nothing", MIXED, 1.0, top_k=9)


@DRAWS("the same generator, the same tokens")
def same_again(draws):
    rows = torch.zeros(50, 7)
    found = []
    for seed in (3, 4):  # the global generator must have no say
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            found.append(draws.function(rows.clone(), 1.0, None, None, torch.Generator().manual_seed(9)))
    return (found[0] == found[1]).float()


OF_OTHERS = "lowest_first sums_of_logits k_equals_dropped p_reached_is_not_enough sums_in_half one_cuts".split()
BEST, HEATED, FROM = "the favourite of each row", "the logits over T", "the shares of what is left"
K_LEFT, P_LEFT = "the k highest of them, the others −inf", "those that hold p, the others −inf"


def steps_of_draw(logits, temperature, top_k=None, top_p=None):
    """What is computed on the way to the tokens that are drawn, for the many rows of which they are drawn."""
    drawn_by_ours = adapt_draw(draw)(logits, temperature, top_k, top_p)
    often = Step("how often each token is drawn", drawn_by_ours, (), waypoint=True)
    rows = logits.repeat_interleave(OF, dim=0)
    if temperature == 0:
        return [Step(BEST, rows.argmax(dim=-1), (), axes="batch"), often]
    scores = rows / temperature
    steps = [Step(HEATED, scores, (), axes="batch vocab")]
    if top_k is not None:
        scores = keep_top_k(scores, top_k)
        steps.append(Step(K_LEFT, scores, axes="batch vocab"))
    if top_p is not None:
        scores = keep_top_p(scores, top_p)
        steps.append(Step(P_LEFT, scores, axes="batch vocab"))
    return [*steps, Step(FROM, scores.softmax(dim=-1), axes="batch vocab"), often]


component.part(draw, adapt_draw, DRAWS, steps_of_draw, unseen=tuple(OF_OTHERS))


# ------------------------------------------------------------------------------------------------- what goes wrong

TAIL = "Texts with cuts look like texts without: now and then a token comes from nowhere."
NARROW = "Texts repeat themselves more than the settings should let them."
SKEWED = "No error. Thousands of draws do not match softmax(logits / T)."
FILL = "logits.masked_fill(logits < least, -torch.inf)"


def of_k(name: str, symptom: str, *edits, says: str, step=CUT):
    component.bug(name, "keep_top_k", *edits, step=(step, K_LEFT), symptom=symptom, says=says)


def of_p(name: str, symptom: str, *edits, says: str, step=RETURNED):
    component.bug(name, "keep_top_p", *edits, step=(step, P_LEFT), symptom=symptom, says=says)


def of_draw(name: str, symptom: str, *edits, says: str, step=HEATED):
    component.bug(name, "draw", *edits, step=step, symptom=symptom, says=says)


BACK = "torch.full_like(logits, -torch.inf).scatter(-1, order, ordered.masked_fill(beyond, -torch.inf))"
BEYOND = "(before >= top_p) & (before > 0) & (top_p < 1)"
BEFORE = "chance.cumsum(dim=-1) - chance"
CUT_K = "    if top_k is not None:\n        scores = keep_top_k(scores, top_k)\n"
CUT_P = "    if top_p is not None:\n        scores = keep_top_p(scores, top_p)\n"

# fmt: off
of_k("k_lowest", "The model writes nonsense.", {"dim=-1).values": "dim=-1, largest=False).values"},
     {"logits < least": "logits > least"}, {"logits < least": "logits >= least"},
     step=CUT,
     says="You cut the highest and keep the rest. Lower than the k-th highest is what goes.")
of_k("k_one_too_few", NARROW, {"logits < least": "logits <= least"},
     says="The k-th highest goes as well: k = 1 leaves nothing. Cut only what is lower than it.")
of_k("k_one_too_many", TAIL, {"min(top_k, logits.shape[-1])": "min(top_k + 1, logits.shape[-1])"},
     step=CUT,
     says="k + 1 stay. The k-th highest has the index k − 1.")
of_k("k_for_all_rows", "In a batch, some rows lose tokens that they keep when alone.",
     {"values[:, -1:]": "values.min()"}, {"values[:, -1:]": "values[:1, -1:]"},
     step=CUT,
     says="One limit serves all rows. Each row has its own k-th highest: keep the axis of the batch.")
of_k("k_axis_lost", "An error about sizes; where the batch is as large as the vocabulary, a wrong cut.",
     {"[:, -1:]": "[:, -1]"}, step=CUT,
     says="The limits lost an axis: (batch) beside (batch, vocab) is read as one for each token. Keep (batch, 1).")
of_k("k_filled_with_zero", TAIL, {"-torch.inf": "0"},
     says="What is cut is 0, and exp(0) = 1 is a weight. Only −inf gives the weight 0.")
of_k("k_gives_shares", "The temperature acts twice.", {f"return {FILL}": f"return {FILL}.softmax(dim=-1)"},
     says="You return shares. Logits come back, so that p can be cut after k and softmax comes once, at the end.")
of_k("k_equals_dropped", "Rarely seen. Equal logits are not treated equally.",
     {f"return {FILL}": "chosen = logits.topk(min(top_k, logits.shape[-1]), dim=-1)\n"
      "    return torch.full_like(logits, -torch.inf).scatter(-1, chosen.indices, chosen.values)"},
     says="Of equal logits you keep some and drop others. Keep everything that is not lower than the k-th highest.")
of_k("k_beyond_vocabulary", "An error: selected index k out of range.",
     {"min(top_k, logits.shape[-1])": "top_k"},
     step=CUT,
     says="topk refuses a k beyond the vocabulary: ask for at most as many as there are.")

of_p("crossing_dropped", NARROW, {"(before >= top_p) & (before > 0)": "(before + chance > top_p)"},
     {BEFORE: "chance.cumsum(dim=-1)"},
     step=RETURNED,
     says="The token that crosses p is gone, for a small p even the favourite. Ask what was held before each token.")
of_p("one_too_many", TAIL, {"before >= top_p": "before - chance >= top_p"}, {BEFORE: f"{BEFORE} - chance"},
     step=RETURNED,
     says="One more than needed stays: once the tokens before it hold p, a token is beyond.")
of_p("p_reached_is_not_enough", TAIL, {"before >= top_p": "before > top_p"},
     says="Where p is held exactly, you take one token more. Beyond is what has p or more before it: >=.")
of_p("order_not_undone", "None while the logits are sorted already. In a vocabulary, tokens change places.",
     {BACK: "ordered.masked_fill(beyond, -torch.inf)"}, {BACK: "logits.masked_fill(beyond, -torch.inf)"},
     step=RETURNED,
     says="You cut in the sorted order and do not go back: what is cut belongs to other tokens. Use `order`.")
of_p("order_undone_wrongly", "With more than two tokens, logits change places.",
     {"scatter(-1, order, ": "scatter(-1, order.argsort(dim=-1), "},
     {BACK: "logits.masked_fill(beyond.gather(-1, order), -torch.inf)"},
     step=RETURNED,
     says="You undo the order by its inverse. `order` says where each sorted logit came from: scatter "
          "with it, or gather with its argsort.")
of_p("lowest_first", "The model writes nonsense.", {"descending=True": "descending=False"},
     step=SHARES,
     says="The lowest are counted first, so that the tail stays and the favourites go. Sort descending.")
of_p("sums_of_logits", "How much is cut depends on the size of the logits.",
     {"ordered.softmax(dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))": "ordered.float()"},
     step=SHARES,
     says="You add up logits. p is a share of probability: softmax first.")
of_p("sums_in_half", "None in float32. In bfloat16 the cut falls elsewhere.",
     {", dtype=torch.promote_types(logits.dtype, torch.float32)": ""},
     step=SHARES,
     says="In bfloat16 a share of 1/999 leaves a sum near 1 as it was. Add up in float32.")
of_p("one_cuts", "Rarely seen: with top_p = 1, tokens of the tail can never come.",
     {" & (top_p < 1)": ""},
     says="p = 1 cuts: rounded, the sum reaches 1 before the last token. 1 keeps all.")
of_p("p_filled_with_zero", TAIL, {"full_like(logits, -torch.inf)": "full_like(logits, 0)",
     "masked_fill(beyond, -torch.inf)": "masked_fill(beyond, 0)"},
     step=RETURNED,
     says="What is cut is 0, and exp(0) = 1 is a weight. Only −inf gives the weight 0.")
of_p("p_gives_shares", "The temperature acts twice.",
     {"ordered.masked_fill(beyond, -torch.inf)": "chance.to(logits.dtype).masked_fill(beyond, 0)",
      "full_like(logits, -torch.inf)": "full_like(logits, 0)"},
     step=RETURNED,
     says="You return shares. Logits come back; softmax comes once, at the end.")

of_draw("temperature_multiplied", "High temperatures write like low ones, and low ones like high ones.",
        {"/ temperature": "* temperature"},
        says="You multiply by T: 0.5 flattens and 2 sharpens. Divide.")
of_draw("temperature_ignored", "All temperatures write alike.", {" / temperature": ""},
        says="The temperature changes nothing. Divide the logits by it.")
of_draw("temperature_of_shares", "Texts are far wilder than the setting.",
        {"logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature":
         "logits.softmax(dim=-1) / temperature"},
        says="You divide shares by T and take softmax again. Divide the logits; softmax comes once, at the end.")
of_draw("cut_before_temperature", NARROW,
        {"torch.float32)) / temperature": "torch.float32))", "scores.softmax": "(scores / temperature).softmax"},
        says="You cut first and then apply T. p is a share of what T has made: divide before you cut.")
of_draw("p_before_k", TAIL, {CUT_K + CUT_P: CUT_P + CUT_K},
        step=(K_LEFT, P_LEFT),
        says="You cut p before k. p then is a share of all, not of what k left: k comes first.")
of_draw("k_without_asking", "An error about None.", {CUT_K: "    scores = keep_top_k(scores, top_k)\n"},
        step=FROM,
        says="top_k may be None, and then nothing is cut to k: ask first.")
of_draw("p_without_asking", "An error about None.", {CUT_P: "    scores = keep_top_p(scores, top_p)\n"},
        step=FROM,
        says="top_p may be None, and then nothing is cut to p: ask first.")
of_draw("scores_drawn", "An error about inf, nan or a negative element.", {"scores.softmax(dim=-1)": "scores"},
        step=FROM,
        says="You draw from scores, and some are negative. multinomial asks for shares: softmax first.")
of_draw("k_forgotten", TAIL, {CUT_K: ""}, step=K_LEFT, says="top_k changes nothing: cut to k where it is given.")
of_draw("p_forgotten", TAIL, {CUT_P: ""}, step=P_LEFT, says="top_p changes nothing: cut to p where it is given.")
of_draw("always_greedy", "The same text whatever the seed.",
        {"torch.multinomial(scores.softmax(dim=-1), 1, generator=generator)[:, 0]": "scores.argmax(dim=-1)"},
        step=FROM,
        says="The favourite comes out every time. Draw: torch.multinomial of the shares.")
of_draw("zero_divides", "An error about NaN or inf at temperature 0.",
        {"    if temperature < 1e-20:  # so little is 0: the division would overflow\n"
         "        return logits.argmax(dim=-1)\n": ""},
        step=BEST,
        says="At temperature 0 you divide by 0. 0 means: the likeliest, without a draw.")
of_draw("generator_unused", "The same seed gives other texts.", {", generator=generator": ""},
        step="",
        says="The generator has no say: the same seed draws other tokens. Hand it to the draw.")
of_draw("column_left", "An error about shapes, or (batch, 1) where one number a row belongs.", {")[:, 0]": ")"},
        step="",
        says="multinomial gives (batch, draws), one column for one draw. Take that column out.")
# fmt: on


# ----------------------------------------------------------------------------------------------------- the exercises

ORDER = ("order_not_undone", "order_undone_wrongly")
STRAIGHT = ("crossing_dropped", "one_too_many", "p_reached_is_not_enough", "sums_in_half", "one_cuts")

OF_ROWS = "Of each row by itself, and of the logits handed in: does the lowest that stays lie below the highest cut?"
PROBED = {
    "": OF_ROWS,
    **dict.fromkeys(ORDER, f"With sorted logits nobody is caught. {OF_ROWS}"),
    **dict.fromkeys(STRAIGHT, "How many stay is not the question, so do not compare with the lesson's"),
}


def min_p_loop(logits, min_p, least=1):
    """What min-p keeps, token by token; the `least` likeliest stay in any case."""
    found = torch.full_like(logits, -INF)
    for row, shares in enumerate(logits.softmax(dim=-1).tolist()):
        floor = sorted(shares)[-min(least, len(shares))]
        for token, share in enumerate(shares):
            if share >= min_p * max(shares) or share >= floor:
                found[row, token] = logits[row, token]
    return found


def judge_min_p(answer, least=1) -> str:
    """The sentence on a function that cuts by a share of the favourite's, and keeps the `least` likeliest."""
    batch = torch.cat([2 * normal(6, 1, 30), 0.3 * normal(7, 1, 30), 5 * normal(8, 1, 30)])
    for logits, min_p in ((MIXED, 0.2), (MIXED, 0.5), (MIXED, 1.0), (batch[:1], 0.1), (batch, 0.1), (batch, 0.9)):
        wanted = min_p_loop(logits, min_p, least)
        try:
            found = call(answer, logits, min_p)
        except RuntimeError as error:
            if len(logits) > 1 and "size of tensor" in str(error):
                return "of one row it is right; for a batch keep the favourite's axis, (batch, 1): one limit a row"
            raise
        if not isinstance(found, torch.Tensor) or found.shape != logits.shape:
            got = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            return f"keep_min_p should return logits of shape {tuple(logits.shape)}, got {got}"
        if torch.allclose(found, wanted):
            continue
        stays, shares = found.isfinite(), logits.softmax(dim=-1)
        most = shares.amax(dim=-1, keepdim=True)
        floor = (logits >= logits.topk(min(least, logits.shape[1])).values[:, -1:]) & (least > 1)
        slips = {
            "the right tokens stay, but not as they were: logits come back": wanted.isfinite(),
            "what holds exactly the limit goes as well; at least min_p times the favourite's share stays":
                shares > min_p * most,
            "you cut below min_p itself. The limit moves: it is min_p times the favourite's share": shares >= min_p,
            "one favourite sets the limit for all rows. Each row has its own": shares >= min_p * shares.max(),
            "you compare logits. min_p is a share of a share: softmax first":
                logits >= min_p * logits.amax(dim=-1, keepdim=True),
        }  # fmt: skip
        for told, mask in slips.items():
            if torch.equal(stays, mask | floor):
                return told
        if torch.equal(stays, shares >= min_p * most):
            return f"the limit alone says who stays. The {least} likeliest stay in any case"
        if stays.all():
            return "what is cut must be −inf; yours are all numbers, and each of them can still be drawn"
        kept = stays.sum(dim=-1).tolist()
        return f"for min_p = {min_p} it keeps {kept} tokens of {len(logits)} rows, and should keep " + str(
            wanted.isfinite().sum(dim=-1).tolist()
        )
    return ""


KEPT_AT = {
    "kept_at_1": typed_number(
        3,
        0.001,
        {
            1: "0.2 is no limit by itself: 0.15 stays, it is more than 0.2 · 0.5",
            2: "0.2 is no limit by itself: 0.15 stays, it is more than 0.2 · 0.5",
            4: "0.05 is less than 0.2 · 0.5",
        },
    ),
    "kept_at_2": typed_number(
        4,
        0.001,
        {
            3: "that is at T = 1; at T = 2 the last holds 0.22 / 0.71 of the favourite",
            2: "the limit moves with the favourite: 0.2 · 0.38 at T = 2",
        },
    ),
}
FAVOURITE = (
    "Top-k keeps a fixed number, top-p a fixed share. **Min-p** (Nguyen et al. 2024) asks each token: do you "
    "hold at least `min_p` times what the favourite holds?"
)
MIN_P_STEPS = "shares → the row's highest, with its axis kept → limit → −inf where a share is lower, logits elsewhere."
ROOTS = "For T = 2 take the roots: scaling them to 1 changes nothing about who is how many times the favourite."
WORKED_MIN_P = """def keep_min_p(logits, min_p):
    # No softmax is needed. A share over the favourite's is exp(logit − the favourite's logit), because both are
    # divided by the same sum. So the question is whether a logit lies at most log(1 / min_p) below the favourite's.
    distance = logits.amax(dim=-1, keepdim=True) - logits
    return logits.masked_fill(distance > -torch.tensor(min_p).log(), -torch.inf)


kept_at_1, kept_at_2 = 3, 4"""


def seeded_min_p(seed: int) -> dict:
    """How many tokens stay in any case: min_tokens_to_keep of the transformers library."""
    least = chosen(seed, (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12))
    task = f"Cut below min_p times the favourite's share, but none of the {least} likeliest."
    cut = "return logits.masked_fill(distance > -torch.tensor(min_p).log(), -torch.inf)"
    return {
        "task": task,
        "text": f"{FAVOURITE} Yours keeps the **{least} likeliest** of a row in any case (all, where there are fewer). "
        "Write `keep_min_p(logits, min_p)` for a batch, as `keep_top_k` is called, and type how many of 0.5, 0.3, "
        "0.15, 0.05 the limit alone, min_p = 0.2, keeps at T = 1 and at T = 2.",
        "hints": (
            f"The limit is a number for each row: at T = 1, in the example, 0.2 · 0.5. And how does `keep_top_k` know "
            f"the {least} likeliest?",
            "*It keeps too few*: min_p is multiplied by the favourite's share. *In a batch it goes wrong*: each row "
            "has its own favourite. *An error about an index*: a vocabulary may be smaller than the number that stays. "
            "*I get 3 at T = 2*: the favourite shrinks as well, and so does the limit.",
            f"{MIN_P_STEPS} Who is among the {least} likeliest is not cut: two conditions, and both must hold. {ROOTS}",
        ),
        "starter": f'''def keep_min_p(logits, min_p):
    """Set to −inf what holds less than min_p times its row's favourite's share; the {least} likeliest stay."""
    raise NotImplementedError("{task}")


kept_at_1 = ...  # how many tokens min_p = 0.2 alone keeps at T = 1
kept_at_2 = ...  # and at T = 2''',
        "answers": {"keep_min_p": partial(judge_min_p, least=least), **KEPT_AT},
        "worked": WORKED_MIN_P.replace(
            cut,
            f"rank = logits.argsort(dim=-1, descending=True).argsort(dim=-1)  # below {least}: stays\n"
            f"    return logits.masked_fill((distance > -torch.tensor(min_p).log()) & (rank >= {least}), -torch.inf)",
        ),
    }


KEPT = {
    2: "that is what p = 0.7 keeps at T = 1, or without the token that crosses p. Flatten first, then count with it",
    4: "that is all of them: the first three hold 0.88 and were enough",
    1: "the favourite holds 0.38 at T = 2: not enough",
}
component.exercises = (
    Exercise(
        name="keep_top_k",
        kind="implement",
        task="Set all logits but the k highest of each row to −inf.",
        difficulty=1,
        importance=4,
        minutes=6,
        hints=(
            "What is the lowest logit that stays? `topk` gives the k highest, sorted. Then everything lower goes.",
            "*In a batch, other tokens stay than alone*: each row has its own limit, so keep an axis of length 1 for "
            "it. *An error about an index out of range*: k may exceed the vocabulary. *k = 1 keeps none*: the limit "
            "itself stays.",
            "limit = the last of each row's k highest, as (batch, 1), with k at most the vocabulary's size → fill "
            "with −inf where a logit is lower than its row's limit.",
        ),
    ),
    Exercise(
        name="keep_top_p",
        kind="implement",
        task="Keep the likeliest tokens of each row until they hold a share p.",
        difficulty=3,
        importance=5,
        minutes=15,
        hints=(
            "Sort the highest first, take softmax, add up. Of each token ask: how much did those before it hold?",
            "*p = 0.4 keeps nothing, or p = 0.6 one token too few*: the running sum holds the token itself; take its "
            "share off again. *Right for sorted logits only*: you are still in the sorted order; `sort` also gives "
            "the places that the numbers came from.",
            "sorted logits and their places → shares, in float32 at least → running sum less the share itself → "
            "beyond where that is p or more (none where p is 1) → −inf there → back into the places with `scatter`.",
        ),
    ),
    Exercise(
        name="draw",
        kind="implement",
        task="Divide by the temperature, cut to k, then to p, draw one token a row.",
        difficulty=2,
        importance=5,
        minutes=8,
        hints=(
            "Four things in one order: temperature, k, p, the draw. Which of them can be missing, and what does "
            "temperature 0 mean?",
            "*Error: probability tensor contains inf or nan*: temperature 0 divides by 0; it means the favourite, no "
            "draw. *Of T = 2 and p = 0.7 too few are drawn*: you cut before you flatten. *Sizes (batch, 1)*: the draw "
            "gives a column for each draw.",
            "temperature nearly 0 → argmax. Else: logits in float32 at least, over temperature → keep_top_k where k "
            "is given → keep_top_p where p is given → softmax → `torch.multinomial`, with the generator → its column.",
        ),
    ),
    Exercise(
        name="tokens_kept",
        kind="predict",
        title="Flattened, then cut",
        text="At T = 1 four tokens hold 0.5, 0.3, 0.15 and 0.05. You set T = 2 and top_p = 0.7. How many tokens can "
        "come? Dividing logits by 2 takes the square root of each share, before all are scaled to 1.",
        task="Type how many tokens can come at T = 2 and top_p = 0.7.",
        difficulty=2,
        importance=4,
        minutes=4,
        hints=(
            "Roots first: 0.71, 0.55, 0.39, 0.22. What is their sum, and so what does each hold?",
            "*I get 2*: either you counted at T = 1, or the token that crosses 0.7 is missing. *I get 4*: the first "
            "three are enough.",
            "shares at T = 2 → add up from the favourite on → stop at the token with which 0.7 is reached.",
        ),
        starter="tokens_kept = ...  # how many",
        answers={"tokens_kept": typed_number(3, 0.001, KEPT)},
        solution="roots = [0.5**0.5, 0.3**0.5, 0.15**0.5, 0.05**0.5]\n"
        "held = [sum(roots[:i]) / sum(roots) for i in range(4)]  # before each token\n"
        "tokens_kept = sum(before < 0.7 for before in held)",
        why="At T = 2 they hold 0.38, 0.29, 0.21 and 0.12: two hold 0.67, the third crosses 0.7. So the same top_p "
        "keeps more tokens at a higher temperature: the two settings pull against each other.",
    ),
    Exercise(
        name="likeliest_pair",
        kind="predict",
        title="The likeliest first is not the likeliest text",
        text="Three tokens can come first: A with 0.5, B with 0.4, C with 0.1. After A three tokens hold 0.4, 0.3 and "
        "0.3; after B two hold 0.9 and 0.1; after C ten hold 0.1 each. What share has the pair that greedy writes, and "
        "what share has the likeliest pair of all?",
        task="Type the share of greedy's pair, and that of the likeliest pair.",
        difficulty=1,
        importance=3,
        minutes=4,
        hints=(
            "The share of a pair is that of its first token, times what the second holds after it.",
            "*Both of mine are equal*: greedy looks one token ahead. Which first token leads somewhere sure? *I get "
            "0.9*: that is the second token alone.",
            "Greedy takes A and its best successor. Compare with B and its best successor.",
        ),
        starter="greedy_share = ...  # of the pair that greedy writes\nbest_share = ...  # of the likeliest pair",
        answers={
            "greedy_share": typed_number(
                0.2,
                0.001,
                {
                    0.5: "that is A alone; a pair has two",
                    0.4: "that is the second token alone",
                    0.9: "shares of a pair are multiplied",
                    0.36: "that is the likeliest pair; greedy begins with A",
                    0.15: "that is A and the second best after it; greedy takes the best, 0.4",
                    20: "that is in percent; a share lies between 0 and 1",
                },
            ),
            "best_share": typed_number(
                0.36,
                0.001,
                {
                    0.2: "that is greedy's; B leads to a surer second token",
                    0.9: "that is the second token alone; B holds 0.4",
                    1.3: "shares of a pair are multiplied, not added",
                    0.4: "that is B alone; a pair has two",
                    0.45: "0.9 comes after B, and B holds 0.4",
                    36: "that is in percent; a share lies between 0 and 1",
                },
            ),
        },
        solution="greedy_share = 0.5 * 0.4\nbest_share = 0.4 * 0.9",
        why="0.20 against 0.36: greedy does not even find the likeliest text. *Beam search* does better: it keeps "
        "several beginnings at once; for open-ended text it still finds circles, as those are likely.",
    ),
    Exercise(
        name="mended_top_p",
        kind="find the bug",
        title="Right on the page's four tokens",
        text="This top-p gives what the lesson's gives on its four tokens, favourite first. With the model's 2,048 "
        "tokens texts turn to noise, and no error says so. Mend it, and write the **probe**: a function that is given "
        "such a function and says whether it can cut a token and keep one that was less likely.",
        task="Say whether keep(logits, top_p) cuts a token and keeps a less likely one.",
        difficulty=2,
        importance=4,
        minutes=12,
        hints=(
            "Whom does the third place of `held` speak of: the vocabulary's third token, or the third likeliest?",
            "*My probe says False of everything*: with sorted logits nobody is caught. Take some in disorder. *It says "
            "True of one that drops the token that crosses p*: do not compare with the lesson's; ask only whether the "
            "lowest that stays lies above the highest that goes.",
            "`sort` gives values and places. What is cut in sorted order must be scattered back into the places. For "
            "the probe: random logits, with a seed, cut; of the original logits, the lowest kept and the highest cut.",
        ),
        starter='''def mended_top_p(logits, top_p):
    """Logits cut to the share top_p, with a mistake: mend it."""
    ordered, order = logits.sort(dim=-1, descending=True)
    chance = ordered.softmax(dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))
    held = chance.cumsum(dim=-1) - chance
    return logits.masked_fill((held >= top_p) & (top_p < 1), -torch.inf)


def keeps_the_less_likely(keep) -> bool:
    """Whether keep, called as keep(logits, top_p), can cut a token and keep one that was less likely."""
    raise NotImplementedError("Say whether keep(logits, top_p) cuts a token and keeps a less likely one.")''',
        answers={
            "mended_top_p": component.like("mended_top_p", "keep_top_p"),
            "keeps_the_less_likely": component.probe("keep_top_p", ORDER, STRAIGHT, PROBED),
        },
        solution="""def mended_top_p(logits, top_p):
    ordered, order = logits.sort(dim=-1, descending=True)
    chance = ordered.softmax(dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))
    held = chance.cumsum(dim=-1) - chance
    cut = ordered.masked_fill((held >= top_p) & (top_p < 1), -torch.inf)
    return torch.full_like(logits, -torch.inf).scatter(-1, order, cut)


def keeps_the_less_likely(keep) -> bool:
    logits = torch.randn(20, 50, generator=torch.Generator().manual_seed(0))
    stays = keep(logits.clone(), 0.5).isfinite()
    lowest = logits.masked_fill(~stays, torch.inf).amin(dim=-1)
    highest = logits.masked_fill(stays, -torch.inf).amax(dim=-1)
    return bool((lowest < highest).any())""",
        why="A test whose input is sorted cannot see a sort that is not undone. Shuffle what you test with.",
    ),
    Exercise(
        name="keep_min_p",
        kind="transfer",
        title="A limit that moves with the favourite",
        text=f"{FAVOURITE} Write `keep_min_p(logits, min_p)` for a batch, as "
        "`keep_top_k` is called, and type how many of 0.5, 0.3, 0.15, 0.05 min_p = 0.2 keeps at T = 1 and at T = 2.",
        task="Keep what holds at least min_p times the favourite's share.",
        difficulty=2,
        importance=3,
        minutes=12,
        hints=(
            "The limit is a number for each row. At T = 1, in the example, it is 0.2 · 0.5.",
            "*It keeps too few*: min_p is no limit by itself, it is multiplied by the favourite's share. *In a batch "
            "it goes wrong*: each row has its own favourite. *I get 3 at T = 2*: the favourite shrinks as well, and "
            "so does the limit.",
            f"{MIN_P_STEPS} {ROOTS}",
        ),
        starter='''def keep_min_p(logits, min_p):
    """Set to −inf the logits of tokens that hold less than min_p times the share of their row's favourite."""
    raise NotImplementedError("Keep what holds at least min_p times the favourite's share.")


kept_at_1 = ...  # how many tokens min_p = 0.2 keeps at T = 1
kept_at_2 = ...  # and at T = 2''',
        answers={"keep_min_p": judge_min_p, **KEPT_AT},
        worked=WORKED_MIN_P,
        seeded=seeded_min_p,
    ),
)
