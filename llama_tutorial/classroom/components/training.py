"""Training: the size of a step, the exam in bits per byte, the step that Muon takes, and the exercises of the lesson.

Subjects are called as the lesson's functions are: step_size(step, recipe), bits_per_byte(model, ids, byte_count,
context, batch) and orthogonalize(update, steps).
"""

import copy
import math
from functools import cache

import torch
from torch import nn

from ...causal_lm import LlamaForCausalLM, next_token_loss
from ...training import Recipe, bits_per_byte, orthogonalize, step_size
from ..course.exercise import Exercise, first_fault, said, typed_number
from ..judge.guard import Fault, call
from ..judge.parts import Cases, Component, Step
from ..judge.subjects import normal

component = Component("training")


# ------------------------------------------------------------------------------------ what must hold of a step's size

CASES = Cases()


def sizes(function, recipe, steps):
    """The share of the full size at each of some steps."""
    return torch.tensor([function(step, recipe) for step in steps], dtype=torch.float64)


def tells_at(steps):
    """How a share of the step size differs, first of all, said with the number of its step."""

    def tell(found, wanted) -> str:
        for step, mine, right in zip(steps, found.tolist(), wanted.tolist()):
            if not math.isclose(mine, right, rel_tol=1e-6, abs_tol=1e-9):
                return f"At step {step} the share is {mine:.4g}, and {right:.4g} belongs there."
        return ""

    return tell


def shares(name: str, says: str, recipe: Recipe, steps):
    """Enter the case `name`: the shares at some steps of a recipe."""
    says = f"{says} ({recipe.steps} steps, warmup {recipe.warmup:g})"
    run = CASES(says, "step", tolerance=1e-6, tell=tells_at(steps))
    run(lambda function: sizes(function, recipe, steps)).__name__ = name


TEN = Recipe(steps=100, warmup=0.1)
shares("top", "the full size when the rise is over", TEN, (9, 10))
shares("first", "the first step is no lost one", TEN, (0,))
shares("rise", "the rise goes by equal parts", TEN, range(10))
shares("fall", "the fall is a straight line", TEN, range(10, 100, 15))
shares("last", "the last step is short, and not 0", TEN, (98, 99))
shares("after", "behind the last step there is nothing left", TEN, (100, 101, 150))
shares("lesson", "the lesson's recipe", Recipe(), (0, 1, 25, 26, 27, 500, 879))
shares("rounded", "the warm-up is rounded to whole steps", Recipe(steps=99, warmup=0.05), range(0, 99, 4))
shares("no_rise", "no warm-up", Recipe(steps=7, warmup=0.0), range(8))
shares("all_rise", "nothing but warm-up", Recipe(steps=7, warmup=1.0), range(8))
shares("one", "a run of one step", Recipe(steps=1), range(2))
shares("other_rates", "a share, whatever the rates are", Recipe(steps=50, lr=0.5, matrix_lr=0.3), range(0, 50, 7))


def adapt_size(function):
    """A function as the subject of the cases; Fault where it gives no number."""

    def size(step, recipe):
        found = call(function, step, recipe)
        found = found.item() if isinstance(found, torch.Tensor) and found.ndim == 0 else found
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise Fault(f"A share is a number; it returned {found!r:.60}.")
        return float(found)

    return size


component.part(step_size, adapt_size, CASES)


# ----------------------------------------------------------------------------------------- what must hold of an exam

EXAM = Cases()
VOCAB = 50
SIZES = {"vocab_size": VOCAB, "hidden_size": 12, "intermediate_size": 16, "num_hidden_layers": 1,
         "num_attention_heads": 3, "num_key_value_heads": 1}  # fmt: skip


@cache
def examined() -> LlamaForCausalLM:
    """A small model with opinions: what it expects differs from token to token."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = LlamaForCausalLM(SIZES | {"hidden_size": 24, "intermediate_size": 32})
        with torch.no_grad():
            for weight in model.parameters():
                if weight.ndim == 2:
                    weight.copy_(torch.randn_like(weight) / 4)
    return model.eval()


@cache
def ignorant() -> LlamaForCausalLM:
    """The same with a table of zeros: every token is as likely as any other."""
    model = copy.deepcopy(examined())
    with torch.no_grad():
        model.model.embed_tokens.weight.zero_()
    return model


def text(seed: int, count: int):
    return torch.randint(VOCAB, (count,), generator=torch.Generator().manual_seed(seed))


def tells_bits(found, wanted) -> str:
    """By which factor bits per byte are off."""
    mine, right = found.flatten()[0].item(), wanted.flatten()[0].item()
    told = f"You get {mine:.4f} bits per byte, where {right:.4f} belong"
    return f"{told}: {mine / right:.4g} times as many." if math.isfinite(mine) and mine != right else ""


def reads(name: str, says: str, model, ids, byte_count: int, context: int, batch: int = 32):
    """Enter the case `name`: how many bits per byte a text costs."""
    run = EXAM(says, tolerance=1e-4, tell=tells_bits)
    run(lambda exam: torch.tensor(exam(model(), ids, byte_count, context, batch))).__name__ = name


reads("blind", "a model that knows nothing pays log2(vocab) for each token that it guesses", ignorant, text(1, 9), 8, 8)
reads("bytes", "the same, and the text has three times as many bytes", ignorant, text(1, 9), 24, 8)
reads("one_window", "one full window", examined, text(2, 9), 20, 8)
reads("two_windows", "two full windows in one batch", examined, text(3, 17), 40, 8)
reads("two_batches", "five full windows, two at a time", examined, text(4, 41), 100, 8, 2)
reads("remainder", "a window that is not full", examined, text(5, 14), 30, 8)
reads("short", "a text that is shorter than a window", examined, text(6, 5), 11, 8)
reads("whole", "many windows, and a remainder", examined, text(7, 203), 517, 16, 5)


def adapt_exam(function):
    """A function as the subject of the cases; Fault where it gives no number."""

    def exam(model, ids, byte_count, context, batch):
        with torch.no_grad():
            found = call(function, model, ids, byte_count, context, batch)
        found = found.item() if isinstance(found, torch.Tensor) and found.numel() == 1 else found
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise Fault(f"Bits per byte are one number; it returned {found!r:.60}.")
        return float(found)

    return exam


component.part(bits_per_byte, adapt_exam, EXAM)


# ---------------------------------------------------------------------------------- what must hold of Muon's direction

TURNED = Cases()
AXES = "rows cols"


def turned(name: str, says: str, update, steps: int = 5, axes: str = AXES, **more):
    """Enter the case `name`: what becomes of a matrix."""
    TURNED(says, axes, tolerance=1e-3, **more)(lambda function: function(update, steps)).__name__ = name


turned("unscaled", "no step at all: divided by the root of the sum of its squares", normal(1, 3, 5), 0)
turned("one_step", "one step", normal(2, 3, 5), 1)
turned("five_steps", "five steps", normal(3, 3, 5))
turned("square", "a square one", normal(4, 4, 4))
turned("tall", "more rows than columns", normal(5, 7, 3))
turned("scaled", "a thousand times smaller: the same comes out", normal(6, 3, 5) / 1000)
turned("batch", "two matrices at once, each by itself", torch.stack([normal(7, 3, 5), 9 * normal(8, 3, 5)]),
       axes="batch rows cols")  # fmt: skip
turned("larger", "70 by 40", normal(9, 70, 40))


def adapt_turned(function):
    return lambda update, steps: call(function, update, steps)


NORMED, GRAM, STEPPED, TURNED_BACK = (
    "the matrix, divided by its norm", "x times x transposed", "x after a step", "the result, as it came"
)  # fmt: skip


def steps_turned(update, steps):
    """What is computed on the way, in its order."""
    tall = update.shape[-2] > update.shape[-1]
    x = update.mT if tall else update
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    told = [Step(NORMED, x, (), axes="rows cols")]
    before = NORMED
    for i in range(steps):
        gram, stepped = f"{GRAM}, step {i + 1}", f"{STEPPED}, step {i + 1}"
        product = x @ x.mT
        x = 3.4445 * x + (2.0315 * product @ product - 4.7750 * product) @ x
        told += [Step(gram, product, (before,), waypoint=True), Step(stepped, x, (before, gram))]
        before = stepped
    return [*told, Step(TURNED_BACK, x.mT if tall else x, (before,), shaped=True)]


component.part(orthogonalize, adapt_turned, TURNED, steps_turned)


# ------------------------------------------------------------------------------------------------- what goes wrong

RISE, FALL = "rise = (step + 1) / warmup", "fall = (recipe.steps - step) / max(1, recipe.steps - warmup)"
SHARE, LEAST = "max(1, round(recipe.warmup * recipe.steps))", "return max(0.0, min(rise, fall, 1.0))"
LOUD, QUIET = "The first steps throw the weights about, and some runs never recover.", "None that a loss would show."


def bug(name: str, symptom: str, *edits: dict, says: str, where: str = "step_size", step=""):
    component.bug(name, where, *edits, step=step, symptom=symptom, says=says)


# fmt: off
bug("first_step_lost", "Nothing is learnt in the first step.",
    {RISE: "rise = step / warmup"},
    says="Step 0 has the share 0: it is computed and then not taken. Count it as the first of the rise: (step + 1).")
bug("no_rise", LOUD, {LEAST: "return max(0.0, min(fall, 1.0))"},
    says="There is no rise: the first step has the full size at once. Take the smallest of rise, fall and 1.")
bug("no_fall", "The loss trembles to the end and stays higher.", {LEAST: "return max(0.0, min(rise, 1.0))"},
    says="There is no fall: the last steps are as large as any. Take the smallest of rise, fall and 1.")
bug("fall_from_the_start", "The full size is never reached.",
    {FALL: "fall = (recipe.steps - step) / recipe.steps"},
    says="The fall is spread over all steps, so it has begun before the rise is over. It goes from 1 to 0 in the "
    "steps that are left: steps − warmup.")
bug("last_step_lost", "Nothing is learnt in the last step.",
    {"(recipe.steps - step) /": "(recipe.steps - 1 - step) /"},
    {"(recipe.steps - step) /": "(recipe.steps - step - 1) /"},
    says="The last step has the share 0: it is computed and then not taken. The share is 0 one step later.")
bug("falls_too_fast", "The run stands still long before its end.",
    {"(recipe.steps - step) /": "(recipe.steps - warmup - step) /"},
    says="The warm-up is taken away twice: at the top of the rise `steps − step` steps are left, and that is 1 when "
    "divided by steps − warmup.")
bug("below_zero", "A run that is driven on climbs uphill.", {LEAST: "return min(rise, fall, 1.0)"},
    says="Behind the last step the share is negative: uphill. It should stay at 0.")
bug("warmup_in_steps", LOUD, {SHARE: "max(1, round(recipe.warmup))"},
    says="warmup is a share of the steps, such as 0.03, and you took it for a number of steps.")
bug("warmup_of_none", "Short runs end with a ZeroDivisionError.", {SHARE: "round(recipe.warmup * recipe.steps)"},
    says="Where the warm-up is less than half a step, it is rounded to 0 and divides. Let it be 1 at least.")
bug("warmup_of_all", "Where all is warm-up, a ZeroDivisionError.", {"max(1, recipe.steps - warmup)":
                                                                  "(recipe.steps - warmup)"},
    says="Where all steps are warm-up, the fall is divided by 0. Let it take one step at least.")
bug("cut_off", QUIET, {SHARE: "max(1, int(recipe.warmup * recipe.steps))"},
    says="The warm-up is cut off to whole steps; it is rounded.")
bug("multiplied", "The full size is never reached.", {LEAST: "return max(0.0, min(1.0, rise) * fall)"},
    {LEAST: "return max(0.0, rise * fall)"},
    says="Rise and fall are multiplied. Of the two lines the lower one counts.")
bug("higher_one", "The steps are largest where they should be small.",
    {LEAST: "return max(0.0, min(max(rise, fall), 1.0))"}, {LEAST: "return max(rise, fall)"},
    says="You take the higher of the two lines, rise and fall. The lower one counts.")
bug("cosine", QUIET,
    {LEAST: "return rise if rise < 1 else 0.5 + 0.5 * math.cos(math.pi * (1 - max(0.0, min(fall, 1.0))))"},
    {LEAST: "return rise if rise <= 1 else 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / max(1, recipe.steps - "
            "warmup))"},
    says="You fall along half a cosine, as many runs do; here the fall is a straight line.")
bug("rate_itself", "The rate is multiplied twice, and nothing is learnt.",
    {LEAST: "return recipe.lr * max(0.0, min(rise, fall, 1.0))"},
    {LEAST: "return recipe.matrix_lr * max(0.0, min(rise, fall, 1.0))"},
    says="That is a rate. Asked for is its share, 1 at the top: two optimisers with rates of their own multiply by it.")
bug("steps_whole", "Nothing is learnt until the rise is over.", {RISE: "rise = (step + 1) // warmup"},
    {FALL: "fall = (recipe.steps - step) // max(1, recipe.steps - warmup)"},
    says="`//` leaves whole numbers only: 0 or 1, and no line between them. Divide with `/`.")
bug("rise_backwards", LOUD, {RISE: "rise = 1 - step / warmup"},
    says="The first step is the largest, and it sinks from there: the rise is upside down.")
bug("not_rounded", QUIET, {SHARE: "max(1, recipe.warmup * recipe.steps)"},
    {SHARE: "recipe.warmup * recipe.steps", RISE: "rise = (step + 1) / max(1, warmup)"},
    says="The warm-up takes whole steps: 26.4 of them are rounded to 26.")

LOGITS, SUMMED = "rearrange(logits.float(), \"batch seq vocab -> (batch seq) vocab\")", 'reduction="sum"'
TARGETS, BITS = "rearrange(targets, \"batch seq -> (batch seq)\")", "return surprise / math.log(2) / byte_count"
exam = {"where": "bits_per_byte"}
bug("mean_for_sum", "The better a text is cut, the better the score.", {SUMMED: 'reduction="mean"'}, **exam,
    says="cross_entropy gives the mean over a batch of windows unless told otherwise. Add up every token's surprise.")
bug("mean_of_means", "It is near to the bits of a token, and differs from text to text.",
    {SUMMED: 'reduction="mean"', BITS: "return surprise / math.log(2) / max(1, -(-len(ids) // context))"}, **exam,
    says="A mean of means over windows of differing length: add up all surprises, and divide once, by bytes.")
bug("in_nats", "The model looks a third better than it is.", {BITS: "return surprise / byte_count"}, **exam,
    says="That is in nats, 0.693 of what it should be: cross_entropy takes the natural logarithm. A bit is ln 2 nats.")
bug("times_ln2", "The model looks twice as good as it is.", {BITS: "return surprise * math.log(2) / byte_count"},
    **exam, says="You multiply by ln 2. A nat is 1.44 bits: divide by ln 2.")
bug("per_token", "Vocabularies cannot be compared any more.",
    {BITS: "return surprise / math.log(2) / (len(ids) - 1)"}, {BITS: "return surprise / math.log(2) / len(ids)"},
    **exam, says="Those are bits per token. Divide by the bytes of the text, which are the same for every tokenizer.")
bug("not_divided", "A number in the tens of thousands.", {BITS: "return surprise / math.log(2)"}, **exam,
    says="Those are all the bits of the text. Divide by its bytes.")
bug("multiplied_by_bytes", "A number in the millions.", {BITS: "return surprise / math.log(2) * byte_count"}, **exam,
    says="You multiply by the bytes; the bits are spread over them: divide.")
bug("mixed_targets", "The score is far worse than knowing nothing.",
    {TARGETS: TARGETS.replace("(batch seq)", "(seq batch)")},
    {LOGITS: LOGITS.replace("-> (batch seq)", "-> (seq batch)")}, **exam,
    says="Scores and targets are laid out in different orders, so each token is compared with the target of another. "
    "One order for both: (batch seq).")
bug("softmax_first", "Every model is near a blind guess, the best one too.",
    {LOGITS: LOGITS.replace("logits.float()", "logits.float().softmax(dim=-1)")}, **exam,
    says="A softmax before cross_entropy, which takes one itself. Pass the logits.")
bug("last_window_only", "The score is many times too good.", {"surprise += ": "surprise = "}, **exam,
    says="Only the last batch of windows counts: add each surprise to what there is.")
bug("returns_early", "The score is many times too good.", {
    BITS: "    return surprise / math.log(2) / byte_count"}, **exam,
    says="The return stands in the loop: only the first batch of windows counts.")
ASKED = "F.cross_entropy(scores, rearrange(targets, \"batch seq -> (batch seq)\"), reduction=\"sum\").item()"
bug("shifts_again", "The scores are near the right ones, and each window loses a token.",
    {ASKED: "next_token_loss(logits.float(), targets).item() * targets.numel()"},
    {ASKED: "next_token_loss(logits.float(), targets).item() * (targets.shape[1] - 1) * len(targets)"}, **exam,
    says="`next_token_loss` shifts by itself, and these targets are shifted already: each token is judged by the one "
    "after the next. Compare with cross_entropy.")
bug("one_window", "The model sees further back than it was trained to.",
    {"exam_windows(ids.long(), context, batch)": "exam_windows(ids.long(), len(ids), batch)"}, **exam,
    says="The whole text is read as one window. Let `exam_windows` cut it: no token sees more than `context` before "
    "it.")

windows = {"where": "exam_windows"}
bug("no_shift", "The model looks worse than it is; one trained so would copy its input.",
    {"ids[1 : full + 1]": "ids[:full]", "ids[full + 1 :]": "ids[full:-1]"}, **windows,
    says="Each token is to predict itself. Targets stand one further on.")
bug("shifted_twice", "The score is worse than knowing nothing.",
    {"ids[1 : full + 1]": "ids[2 : full + 2]", "full = (len(ids) - 1)": "full = (len(ids) - 2)",
     "ids[full + 1 :]": "ids[full + 2 :]", "ids[full:-1]": "ids[full:-2]", "< len(ids) - 1": "< len(ids) - 2"},
    **windows,
    says="The targets stand two tokens further on. One is the next token.")
bug("remainder_dropped", "A short text costs nothing.",
    {"    if full < len(ids) - 1:": "    if False:"}, **windows,
    says="The window that is not full is left out: 1,001 tokens have 1,000 targets, and not 896.")

POLY = "x = 3.4445 * x + (2.0315 * gram @ gram - 4.7750 * gram) @ x"
turn = {"where": "orthogonalize"}
UNEQUAL = "A few directions get nearly the whole step, as without Muon."
bug("not_normed", "After a few steps everything is inf or NaN.",
    {"x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)": "x = x * 1"}, **turn, step=NORMED,
    says="The matrix is not divided by its norm. The polynomial works for singular values up to 1 and bursts beyond.")
bug("normed_by_rows", "Directions are mixed anew, before anything is done about their sizes.",
    {"dim=(-2, -1)": "dim=-1"}, **turn, step=NORMED,
    says="Each row is divided by its own norm, which changes the directions. One number for the whole matrix.")
bug("normed_all_together", "Right for one matrix, wrong for several at once.",
    {"x.norm(dim=(-2, -1), keepdim=True)": "x.norm()"}, **turn, step=NORMED,
    says="All matrices are divided by one norm. Each has a norm of its own: dim=(-2, -1), keepdim=True.")
bug("left_lying", "The step of tall matrices has the wrong shape.", {"return x.mT if tall else x": "return x"}, **turn,
    step=TURNED_BACK, says="A tall matrix was turned and stays so: turn it back at the end.")
bug("coefficients_swapped", "Singular values leave the neighbourhood of 1.",
    {"(2.0315 * gram @ gram - 4.7750 * gram)": "(2.0315 * gram - 4.7750 * gram @ gram)"}, **turn,
    step=f"{STEPPED}, step 1",
    says="The factors are exchanged: −4.7750 belongs to gram, and 2.0315 to gram · gram.")
bug("plus_for_minus", "Everything becomes inf or NaN.", {"- 4.7750": "+ 4.7750"}, **turn, step=f"{STEPPED}, step 1",
    says="The middle term is subtracted: 3.4445 x − 4.7750 gram x + 2.0315 gram gram x.")
bug("x_left_out", "Small directions get smaller still.", {"x = 3.4445 * x + (": "x = 3.4445 * ("}, **turn,
    step=f"{STEPPED}, step 1", says="The first term is missing: 3.4445 x, to which the others are added.")
bug("one_step_only", UNEQUAL, {"for _ in range(steps):": "for _ in range(min(1, steps)):"}, **turn,
    step=f"{STEPPED}, step 2", says="You take one step, however many are asked for: repeat it.")
bug("one_step_less", UNEQUAL, {"for _ in range(steps):": "for _ in range(1, steps):"}, **turn,
    step=(f"{STEPPED}, step 1", f"{STEPPED}, step 5"), says="That is one step too few.")
# fmt: on


# ------------------------------------------------------------------------------------------------------- the answers

BYTES = 3.1
BLIND = {
    math.log(2048) / BYTES: "that is in nats; a bit is 0.693 nats, and 2¹¹ is 2,048",
    math.log(2048): "that is for a token, in nats; in bits it is 11, and it is spread over 3.1 bytes",
    11: "that is for a token; it is spread over the 3.1 bytes that a token stands for",
    11 * BYTES: "you multiply; what a token costs is spread over its bytes",
    2048 / BYTES: "that spreads the tokens; a choice among 2,048 costs log2(2048) bits",
    10 / BYTES: "that is for 1,024 tokens; twice as many cost a bit more",
    8: "that is a blind guess of a byte; here tokens are guessed, and a text of them is shorter",
    BYTES / 11: "that is upside down: bytes per bit",
    11 / 2.6: "that is spread over the 2.6 bytes of this page's tokens; these stand for 3.1",
    11 / 2.61: "that is spread over the 2.61 bytes of this page's tokens; these stand for 3.1",
}
TARGETS_OF = {
    896: "that leaves out the last 104 targets, whose window is not full",
    1001: "nothing stands before the first token, so nothing predicts it",
    993: "that loses one target at every window; the target of a window's last token is the first of the next window",
    889: "that loses one at every window, and the window that is not full",
    128000: "that counts a target anew for each token before it; each is predicted once",
    1024: "that fills the last window up; it has no more than 104 targets",
    873: "windows that overlap are not read here; each target is predicted once",
    1000 - 128: "tokens with less than a whole window before them count as well",
    7: "that is how many windows are full; a window has 128 targets",
    8: "that is how many windows there are; a full one has 128 targets",
}


RATE = 0.05


def learner(seed: int = 5) -> LlamaForCausalLM:
    """A small model to be trained, the same on every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(SIZES)


PAGES = [text(20 + i, 18).view(2, 9) for i in range(4)]


def loop(model, optimizer, pages, clear="before", shift=False):
    """The right loop, and wrong ones: gradients cleared never, once, or before they are used; a page shifted twice."""
    losses = []
    if clear == "once":
        optimizer.zero_grad()
    for page in pages:
        if clear == "before":
            optimizer.zero_grad()
        loss = next_token_loss(model(page[:, :-1]), page[:, 1:]) if shift else next_token_loss(model(page), page)
        loss.backward()
        if clear == "too early":
            optimizer.zero_grad()
        optimizer.step()
        if clear == "after":
            optimizer.zero_grad()
        if clear == "model":
            model.zero_grad()
        losses.append(loss.item())
    return losses


def trained(train, pages, kind=torch.optim.AdamW):
    """The weights after some pages, in one row, and what the loop returned.

    In float64: AdamW divides by the size of a gradient, so what is rounded in a tiny one would move a weight.
    """
    model = learner().double()
    optimizer = kind(model.parameters(), lr=RATE)
    told = train(model, optimizer, pages)
    if any(group["lr"] != RATE for group in optimizer.param_groups):
        raise Fault("The rate is not at fault: leave it, and look at what the step goes along.")
    return nn.utils.parameters_to_vector(model.parameters()).detach(), told


def like(mine, wanted) -> bool:
    return torch.allclose(mine, wanted, rtol=1e-4, atol=1e-5)


def judge_loop(answer) -> str:
    """The sentence on a training loop."""
    mine, told = trained(answer, PAGES)
    right, losses = trained(loop, PAGES)
    still = nn.utils.parameters_to_vector(learner().double().parameters()).detach()
    shifted = trained(lambda *given: loop(*given, shift=True), PAGES)[0]
    old = trained(lambda *given: loop(*given, clear="once"), PAGES)[0]
    first = trained(loop, PAGES[:1])[0]
    if like(mine, right):
        fits = isinstance(told, list) and len(told) == len(losses)
        fits = fits and all(abs(float(each) - loss) < 1e-4 for each, loss in zip(told, losses))
        return said(fits, f"the weights are right; returned should be the loss of each page, got {told!r:.60}")
    return first_fault(
        said(not like(mine, still), "no weight moves: the gradients are cleared between `backward` and `step`"),
        said(not like(mine, old), "each step still goes along the sum of all gradients so far: clearing them once, "
             "outside the loop, does not help"),
        said(not like(mine, shifted), "`next_token_loss` shifts by itself: give it all the scores and the page as it "
             "is"),
        said(not like(mine, first), "only the first page moves the weights: is the return in the loop?"),
        "after four pages the weights are others than with a fresh gradient for each page",
    )  # fmt: skip


LOOPS = (
    (False, "a loop that clears them before each `backward`", "before"),
    (True, "one that never clears them", "never"),
    (False, "one that clears them after each step", "after"),
    (False, "one that calls `model.zero_grad()` after each step", "model"),
    (True, "one that clears them once, before the first page", "once"),
    (False, "one that clears them before `step`, and so never moves", "too early"),
)


BOOLEANS = ("bool", "bool_")  # Python's and those of numpy


def judge_keeps(answer) -> str:
    """The sentence on a probe for loops that go on along old gradients."""
    found, given, divided = [], [], False
    for _, _, clear in LOOPS:
        given.append([])

        def train(model, optimizer, pages, clear=clear):
            given[-1].append((model, optimizer))
            return loop(model, optimizer, pages, clear)

        try:
            told = answer(train)
        except ZeroDivisionError:
            told, divided = False, True
        if not (told.dtype == torch.bool if isinstance(told, torch.Tensor) else type(told).__name__ in BOOLEANS):
            return f"it should say True or False, got {told!r:.40}"
        found.append(bool(told))
    return suspected(found, given) or said(
        not divided, "you divide by how far the weights move, and in one loop, which clears between `backward` and "
        "`step`, they do not move at all: multiply instead"
    )  # fmt: skip


def suspected(found: list[bool], given: list[list]) -> str:
    """What is wrong with a probe that said `found` of the loops, and trained those models with those optimisers."""
    wanted = [each for each, _, _ in LOOPS]
    slips = [f"it should say {right} of {name}" for (right, name, _), told in zip(LOOPS, found) if told != right]
    first = slips[0] if slips else ""
    models, optimizers = {id(model) for model, _ in given[0]}, [optimizer for _, optimizer in given[0]]
    rates = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    return first and first + first_fault(
        said(optimizers, ", and it trains nothing: call `train` with a model, an optimizer and pages"),
        said(found != [not each for each in wanted], ", and says the contrary of every loop"),
        said(len(optimizers) == 1 or len(models) > 1, ": the second run goes on with the model of the first, its "
             "weights and its gradients. A new one for each, made alike"),
        said(all(isinstance(each, torch.optim.SGD) for each in optimizers), ": "
             f"{type(optimizers[0]).__name__ if optimizers else ''} divides by the size of the gradient, so one that "
             "has doubled goes hardly further. Take SGD"),
        said(max(rates, default=0) < 0.5, f": with a rate of {max(rates, default=0):g} the gradient of the second "
             "page is another one. Take a small one"),
        said(any(found), ", and says False of every loop. How far did the weights move? What `detach()` gives changes "
             "along with them: `clone()` it before"),
        said(not all(found), ", and says True of every loop"),
        said(found != [True] * 5 + [False], ": two pages move the weights twice as far in every loop, and three times "
             "where the old gradient is still there. Where between them is your limit?"),
        said(found != [True, True, False, False, True, False], ": a `grad` that is there at the end proves nothing. "
             "Compare how far the weights move"),
    )  # fmt: skip


def judge_accumulated(answer) -> str:
    """The sentence on gradients that are gathered from parts of a page."""
    for rows, most in ((8, 4), (6, 2), (7, 4), (5, 5)):
        page = text(30 + rows, rows * 9).view(rows, 9)
        one, many = learner(), learner()
        loss = next_token_loss(one(page), page)
        loss.backward()
        read, gone, kept, whole = [], [], [], learner()

        def reads_part(module, given, read=read, gone=gone, kept=kept):
            if given[0].shape[1] != 9:
                raise Fault("A page is (batch, seq): split it along its windows, the first axis, and read each whole.")
            kept.append(len(read) - len(gone))  # parts whose `backward` has not come yet
            read.append(len(given[0]))

        def lets_go(module, given, logits, gone=gone):
            if logits.requires_grad:
                logits.register_hook(lambda gradient: gone.append(1))

        hooks = many.register_forward_pre_hook(reads_part), many.register_forward_hook(lets_go)
        told = answer(many, page, most)
        for hook in hooks:
            hook.remove()
        about = f"{rows} windows, at most {most} at a time"
        if not read or any(weight.grad is None for weight in many.parameters()):
            return f"{about}: no gradient reaches the weights; call `backward` for every part"
        if max(read) > most:
            return f"{about}: you read {max(read)} at once"
        if sum(read) != rows:
            return f"{about}: you read {sum(read)} in all; the last part may be smaller, and belongs to it"
        if not all(map(torch.equal, many.parameters(), whole.parameters())):
            return f"{about}: the weights have moved; only gradients are asked for, and no step"
        mine, wanted = (torch.cat([w.grad.flatten() for w in m.parameters()]).double() for m in (many, one))
        if not like(mine, wanted):
            return f"{about}: {slip(mine, wanted, page.split(most), page)}"
        if any(kept):
            return (
                f"{about}: the gradients are right, and it runs out of memory all the same: what a part has kept for "
                "its `backward` is still there when the next is read; call `backward` for each part at once"
            )
        if not isinstance(told, float | int | torch.Tensor) or abs(float(told) - loss.item()) > 1e-4:
            return f"{about}: the gradients are right; return the loss of them all, {loss.item():.4f}, not {told!r:.40}"
    return ""


def slip(mine, wanted, parts, page) -> str:
    """Which slip gave gradients that are not those of the page."""

    def gathered(weights):
        model = learner()
        for part, weight in zip(parts, weights):
            (weight * next_token_loss(model(part), part)).backward()
        return torch.cat([w.grad.flatten() for w in model.parameters()]).double()

    count = len(parts)
    share = [len(part) / len(page) for part in parts]
    return first_fault(
        said(not like(mine, gathered([1] * count)), f"the gradients of {count} means are added up, so they are "
             "too large; each part counts by its share of the windows"),
        said(not like(mine, gathered([1 / count] * count)), "the last part has fewer windows and counts as much as the "
             "others: a mean of means. Weigh each part by its share of the windows"),
        said(not like(mine, gathered([0] * (count - 1) + [1])), "only the last part's gradients are there: nothing is "
             "cleared between parts"),
        said(not like(mine, gathered([0] * (count - 1) + share[-1:])), "only the last part's gradients are there: "
             "nothing is cleared between parts"),
        said(not like(mine, gathered([len(part) for part in parts])), "each part counts by its number of windows; "
             "divide by that of all"),
        said(not like(mine, gathered([len(parts[0]) / len(page)] * count)), "the last part counts as if it were as "
             "long as the others; its own number of windows belongs there"),
        said(not like(mine, gathered([1 / len(page)] * count)), "you divide by the number of windows; a part's loss "
             "is already a mean over its own"),
        f"the gradients are {float(mine.norm() / wanted.norm()):.3g} times as long as those of the whole page",
    )  # fmt: skip


# ----------------------------------------------------------------------------------------------------- the exercises

component.exercises = (
    Exercise(
        name="blind_price",
        kind="predict",
        title="The price of knowing nothing",
        text="A tokenizer has 2,048 tokens, and one of its tokens stands for 3.1 bytes of the exam. What does a model "
        "that holds every token equally likely pay, in bits per byte?",
        task="Type the bits per byte of a blind guess among 2,048 tokens of 3.1 bytes.",
        difficulty=1,
        importance=4,
        minutes=3,
        hints=(
            "What does one guess among 2,048 equal choices cost, in bits? Over how many bytes is that spread?",
            "*I get 2.46*: that is in nats. *I get 11*: that is for a token. *I get 34.1*: a price that is spread gets "
            "smaller.",
            "How often can 2,048 be halved? That many bits, for 3.1 bytes.",
        ),
        starter="blind_price = ...  # bits per byte",
        answers={"blind_price": typed_number(11 / BYTES, 0.002, BLIND)},
        solution="blind_price = math.log2(2048) / 3.1",
        why="3.55, less than this lesson's tokenizer pays, though a token costs a bit more: it stands for more bytes. "
        "That is why losses per token cannot be compared across vocabularies.",
    ),
    Exercise(
        name="exam_targets",
        kind="predict",
        title="How many guesses is an exam?",
        text="A text of 1,001 tokens is read in windows of 128 that do not overlap, as `bits_per_byte` does. How many "
        "tokens are predicted?",
        task="Type how many of 1,001 tokens are predicted, in windows of 128.",
        difficulty=2,
        importance=3,
        minutes=4,
        hints=(
            "Which token has nothing before it, in the whole text? Does a window's last token have a target?",
            "*I get 896*: that is seven full windows; what remains is a window too. *I get 993*: the first token of a "
            "later window is the target of the token before it, in the window before.",
            "Every token but those that nothing stands before. Windows decide how far back the model sees, not how "
            "many guesses it makes.",
        ),
        starter="exam_targets = ...  # how many",
        answers={"exam_targets": typed_number(1000, 1e-6, TARGETS_OF)},
        solution="exam_targets = 1001 - 1",
        why="1,000. Eight of them are guessed from a single token, the first of their window: short windows make an "
        "exam harder, so its context belongs to every score.",
    ),
    Exercise(
        name="step_size",
        kind="implement",
        task="Rise by equal parts to 1, in a share `warmup` of the steps, rounded; then fall in a straight line to 0.",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "Two straight lines, one that rises and one that falls. Which of the two counts at a step?",
            "*My first step has the share 0*: it is step 0, and it is the first of the rise, not the one before. *A "
            "ZeroDivisionError*: a short run has a warm-up of 0.3 steps, and a run may be all warm-up. *It gets "
            "negative*: whoever asks for a step behind the last gets 0.",
            "w = warmup share · steps, rounded, 1 at least → rise = (which step this is, counted from 1) / w → fall = "
            "steps that are left / (steps − w), that too 1 at least → the lowest of rise, fall and 1, and never below "
            "0.",
        ),
        why="The last step is short, and not 0; the share 0 comes one later. Both optimisers multiply their own rate "
        "by it.",
    ),
    Exercise(
        name="bits_per_byte",
        kind="implement",
        task="Add up every token's surprise; say it in bits, for each byte.",
        difficulty=3,
        importance=5,
        minutes=12,
        hints=(
            "`exam_windows(ids, context, batch)` gives inputs and targets, both (batch, seq), already shifted. What "
            "does the model make of inputs, and which function compares that with targets?",
            "*My score depends on how many windows I read at once*: a mean was added up; ask cross_entropy for the "
            "sum. *It is 0.69 times what it should be*: nats. *Far worse than a blind guess*: scores and targets are "
            "laid out in different orders.",
            "For every pair: logits → one row for each target, targets in one row → the sum of their surprises, added "
            "to what there is. At the end: from nats to bits, then spread over the bytes.",
        ),
        why="A sum, divided once: means of batches of differing size would weigh the last window wrongly.",
    ),
    Exercise(
        name="orthogonalize",
        kind="implement",
        task="Divide by the norm, then step by step bring the singular values near 1.",
        difficulty=3,
        importance=3,
        minutes=15,
        hints=(
            "The polynomial stands above. It needs a matrix whose singular values are 1 at most: by what do you "
            "divide? And why should the matrix be wide, not tall?",
            "*It becomes inf*: divide by the norm first, that of each matrix. *It is right for wide ones and has the "
            "wrong shape for tall ones*: turn those before, and back after. *It fails for two at once*: the norm is "
            "over the last two axes, which stay.",
            "Tall? Then take the transposed. x = it, by its norm (plus 1e-7) → as often as `steps` says: g = x times "
            "its transposed; x = 3.4445 x − 4.7750 g x + 2.0315 g g x → turn it back if it was tall.",
        ),
        why="Two matrices that are multiplied by their own transposed again and again never need a singular value "
        "decomposition, which GPUs are slow at.",
    ),
    Exercise(
        name="mended_loop",
        kind="find the bug",
        title="It learns, only worse",
        text="This loop raises no error, and its loss falls. But with AdamW at 0.001 the exam says 3.51 after a "
        "hundred steps, where this page's loop has 3.17. Mend it, and write the **probe**: a function that is given "
        "such a loop and says whether a step still goes along the gradients of the pages before.",
        task="Say whether train(model, optimizer, pages) goes on along old gradients.",
        difficulty=2,
        importance=5,
        minutes=12,
        hints=(
            "What does `backward` do with a gradient that is there already?",
            "*My probe says False of every loop*: look at what moves, not at the loss. *It says True of a loop that "
            "clears before `backward`*: a `grad` that is there at the end proves nothing; compare how far the weights "
            "move. *No weight moves any more*: the gradients were cleared between `backward` and `step`. *My probe "
            "divides by 0*: it is given such a loop, too, and says False of it.",
            "With plain `torch.optim.SGD` and a rate so small that the gradient hardly changes: the same page once, "
            "and the same page twice, each with a new model. How many times as far do the weights move, if old "
            "gradients stay, and if not?",
        ),
        starter='''def mended_loop(model, optimizer, pages):
    """Train on one page after another, and return the loss of each. With a mistake: mend it."""
    losses = []
    for page in pages:
        loss = next_token_loss(model(page), page)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def keeps_old_gradients(train) -> bool:
    """Whether train, a loop such as mended_loop, goes on along the gradients of earlier pages."""
    raise NotImplementedError("Say whether train(model, optimizer, pages) goes on along old gradients.")''',
        answers={"mended_loop": judge_loop, "keeps_old_gradients": judge_keeps},
        solution="""def mended_loop(model, optimizer, pages):
    losses = []
    for page in pages:
        optimizer.zero_grad()
        loss = next_token_loss(model(page), page)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def keeps_old_gradients(train) -> bool:
    page, moved = torch.arange(20).view(2, 10), []
    for times in (1, 2):
        torch.manual_seed(0)
        shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        model = LlamaForCausalLM({"vocab_size": 20, **shape})
        before = model.lm_head.weight.detach().double()
        train(model, torch.optim.SGD(model.parameters(), lr=1e-2), [page] * times)
        moved.append((model.lm_head.weight.detach().double() - before).norm().item())
    return moved[1] > 2.5 * moved[0]""",
        why="`backward` adds. On the same page twice the second gradient is twice the first, so the weights go three "
        "times as far as after one step, and not twice. AdamW hides how long the sum has "
        "become, for it divides by the gradient's size. What is left is a momentum that never forgets.",
    ),
    Exercise(
        name="accumulated",
        kind="transfer",
        title="A page that does not fit",
        text="Eight windows do not fit into memory, four do. Read a page at most `most` windows at a time, and leave "
        "in the model the gradients that one `backward` over the whole page would leave. Return the loss of the whole "
        "page. The gradients are empty when it begins; the last part may be smaller.",
        task="Gather the gradients of a page, at most `most` windows at a time.",
        difficulty=3,
        importance=4,
        minutes=12,
        hints=(
            "What was a mistake in *It learns, only worse* is what you need here. Which mean does `next_token_loss` "
            "take of a part, and which would it take of the whole?",
            "*My gradients are twice as large*: two means were added up. *Right for 4 + 4 and wrong for 4 + 3*: a mean "
            "of means; three windows are not half of seven. *It runs out of memory all the same*: a `backward` for "
            "each part lets go of what was kept for it.",
            "For every part: its loss, times its share of the windows; backward at once, without clearing; and add "
            "that number to what you return.",
        ),
        starter='''def accumulated(model, page, most):
    """Leave the gradients of a page (batch, seq) in the model, reading at most `most` windows at once; its loss."""
    raise NotImplementedError("Gather the gradients of a page, at most `most` windows at a time.")''',
        answers={"accumulated": judge_accumulated},
        why="The memory is that of one part, the gradients are those of the page: this is how a model is trained with "
        "batches of millions of tokens on machines that hold a few thousand.",
        worked="""def accumulated(model, page, most):
    # Sums instead of means: a sum over parts is the sum over the whole, whatever their sizes: no part needs a weight.
    # Only at the end is divided, the gradients and the loss, by the number of targets. Libraries went this way after a
    # mean of means had for years been taken for the mean.
    total = 0.0
    for part in page.split(most):
        logits = model(part)[:, :-1]
        loss = F.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten(), reduction="sum")
        loss.backward()
        total += loss.item()
    targets = page[:, 1:].numel()
    for weight in model.parameters():
        weight.grad /= targets
    return total / targets""",
    ),
)
