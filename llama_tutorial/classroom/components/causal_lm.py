"""The language model: what must hold of its head and its loss, the way to them, what goes wrong, and the exercises.

The model is called as lm(input_ids, config, seed=…, dtype=…, ask=…, **more): `seed` draws the weights, and `ask`, a
function of a fresh model, is answered instead of the call. The loss is called as loss(logits, input_ids).
"""

import math
from functools import cache, partial

import torch
import torch.nn.functional as F
from einops import rearrange
from torch.func import functional_call

from ...causal_lm import LlamaForCausalLM, next_token_loss
from ...config import LlamaConfig
from ...kv_cache import KVCache
from ...model import LlamaModel
from ..course.exercise import Exercise, chosen, typed_number
from ..judge.guard import call
from ..judge.parts import Cases, Component, Step
from ..judge.steps import BUILT
from ..judge.subjects import built, normal, reached, run_with, tells_gradient

component = Component("causal_lm")


# ------------------------------------------------------------------------------------------------- what must hold

MODEL_CASES = Cases()
AXES = "batch seq vocab"
SHAPE = dict(vocab_size=17, hidden_size=10, intermediate_size=14, num_hidden_layers=2, num_attention_heads=3,
             num_key_value_heads=1, head_dim=4)  # fmt: skip
TIED, UNTIED = LlamaConfig(SHAPE), LlamaConfig(SHAPE, tie_word_embeddings=False)


@cache
def shapes(config) -> dict:
    """The published names, and the shapes that belong to them."""
    return {name: weight.shape for name, weight in LlamaForCausalLM(config).state_dict().items()}


def weights(config, seed: int, dtype=torch.float32) -> dict:
    """Random weights by their published names; every gain is its own, and a tied table is one tensor."""
    made = {}
    for i, (name, shape) in enumerate(shapes(config).items()):
        drawn = normal(seed + i, *shape)
        made[name] = 1 + drawn / 2 if len(shape) == 1 else 1.5 * drawn / shape[1] ** 0.5
    made = {name: weight.to(dtype) for name, weight in made.items()}
    return made | ({"lm_head.weight": made["model.embed_tokens.weight"]} if config.tie_word_embeddings else {})


def ids(seed: int, *shape: int, vocab: int = 17):
    """Random ids that are the same on every call."""
    return torch.randint(vocab, shape, generator=torch.Generator("cpu").manual_seed(seed))


def runs(name: str, says: str, words, config=TIED, tolerance: float = 3e-4, **more):
    """Enter the case `name`: the logits of these ids."""
    MODEL_CASES(says, AXES, tolerance=tolerance)(lambda lm: lm(words, config, **more)).__name__ = name


def asks(name: str, says: str, config, ask, told):
    """Enter the case `name`: what a fresh model is found to be; `told` may ask what was found."""
    tell = told if callable(told) else lambda found, wanted: told
    MODEL_CASES(says, tell=tell)(lambda lm: lm(None, config, ask=ask)).__name__ = name


def one_table(model):
    """1 where head and table are one tensor, 1/2 where they are two with equal numbers."""
    head, table = model.lm_head.weight, model.model.embed_tokens.weight
    return torch.tensor(1.0 if head is table else 0.5 if torch.equal(head, table) else 0.0)


def rows_that_learn(model):
    """1 for every row of the table that a gradient reaches, after a text of three words."""
    model(torch.tensor([[1, 2, 3]])).square().sum().backward()
    return (model.model.embed_tokens.weight.grad.abs().sum(dim=-1) > 0).float()


def spread(model):
    """The standard deviation of a fresh head, in units of initializer_range, to the next whole number."""
    return (model.lm_head.weight.std() / model.config.initializer_range).round()


def tied_again(model):
    """1 where head and table are one tensor after a move and after a call of tie_weights."""
    model = model.double()
    model.tie_weights()
    return one_table(model)


COPIED = "Tied is one tensor, not two equal ones: lm_head.weight is embed_tokens.weight should be True."
NEVER = "tie_word_embeddings is True here, and head and table are two tensors with numbers of their own."


def not_one(found, wanted):
    return COPIED if found == 0.5 else NEVER


PARTED = "tie_word_embeddings is False here, and head and table are one tensor all the same."
HALF_LEARNT = "In a tied model every row of the table learns, for every word is scored. In yours not all do."
SIZE = "A fresh head of its own should be as small as initializer_range says."
runs("any_text", "ten texts of two words, head and table one", ids(1, 10, 2))
runs("own_head", "a head of its own", ids(2, 2, 5), UNTIED)
asks("tied", "tied: one tensor", TIED, one_table, not_one)
asks("untied", "not tied: two tensors", UNTIED, one_table, PARTED)
asks("tied_again", "one tensor after a move", TIED, tied_again, not_one)
asks("learns", "a tied table learns from both ends", TIED, rows_that_learn, HALF_LEARNT)
asks(
    "fresh_head",
    "how large a fresh head is",
    LlamaConfig(SHAPE, vocab_size=500, tie_word_embeddings=False),
    spread,
    SIZE,
)
PADDED = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
runs("mask", "the attention mask reaches the model", ids(3, 2, 5), attention_mask=PADDED)
runs("positions", "positions reach the model", ids(4, 2, 5), positions=torch.tensor([3, 9, 12, 40, 41]))


@MODEL_CASES("the cache reaches the model: part by part gives the same", AXES, tolerance=1e-3)
def cached(lm):
    words, kept = ids(5, 2, 7), [KVCache(), KVCache()]
    return torch.cat([lm(part, TIED, cache=kept) for part in words.split([4, 1, 2], dim=1)], dim=1)


runs("bfloat16", "bfloat16 comes back as bfloat16", ids(6, 2, 5), dtype=torch.bfloat16, tolerance=1e-1)
runs("float64", "float64 comes back as float64", ids(7, 2, 5), dtype=torch.float64)


@MODEL_CASES("gradients reach every weight", tolerance=2e-3, tell=tells_gradient)
def model_gradients(lm):
    given = {name: weight.requires_grad_() for name, weight in weights(UNTIED, 20).items()}
    return reached((lm(ids(8, 2, 5), UNTIED, given=given) * normal(9, 2, 5, 17)).sum(), **given)


runs("whole", "three texts of 70 words, a head of its own", ids(10, 3, 70), UNTIED, tolerance=1e-3)


def adapt_model(kind):
    """A class as the subject of the cases."""

    def lm(input_ids, config, seed=60, dtype=torch.float32, ask=None, given=None, **more):
        model = built(kind, config)
        if ask is not None:
            return call(ask, model)
        return run_with(model.to(dtype), given or weights(config, seed, dtype), input_ids, **more)

    return lm


HIDDEN, LOGITS = "hidden states of the model", "logits"


def steps(input_ids, config, seed=60, dtype=torch.float32, ask=None, given=None, cache=None, **more):
    """What is computed on the way, in its order."""
    if ask is not None or cache is not None:  # by now the cache holds other keys than when it was given
        return []
    given = given or weights(config, seed, dtype)
    own = {name.removeprefix("model."): weight for name, weight in given.items() if name.startswith("model.")}
    hidden = functional_call(LlamaModel(config).to(dtype), own, (input_ids,), more)
    return [
        Step(HIDDEN, hidden, (), axes="batch seq hidden"),
        Step(LOGITS, F.linear(hidden, given["lm_head.weight"]), axes=AXES),
    ]


component.part(LlamaForCausalLM, adapt_model, MODEL_CASES, steps)


LOSS_CASES = Cases()


def costs(name: str, says: str, logits, words, tolerance: float = 3e-4, tell=None):
    """Enter the case `name`: the loss of these logits and ids."""
    LOSS_CASES(says, tolerance=tolerance, tell=tell)(lambda loss: loss(logits, words)).__name__ = name


def certain(words, vocab: int = 17):
    """Logits that are all but sure of the right next word; the last place is sure of word 0."""
    return 30 * F.one_hot(F.pad(words[:, 1:], (0, 1)), vocab).float()


costs("blind", "no opinion, 17 words: ln 17", torch.zeros(2, 5, 17), ids(1, 2, 5))
costs("certain_and_right", "sure and right: nothing", certain(ids(2, 2, 5)), ids(2, 2, 5))
costs(
    "certain_and_wrong", "sure and wrong: thirty, place by place", certain(ids(3, 1, 6)).roll(1, dims=-1), ids(3, 1, 6)
)
costs("one_question", "two words, one question", normal(4, 1, 2, 17), ids(5, 1, 2))
costs("one_text", "one text of six words", 3 * normal(6, 1, 6, 17), ids(7, 1, 6))


@LOSS_CASES("nothing comes after the last place: what it says is not judged")
def last_place(loss):
    logits, words = normal(8, 2, 5, 17), ids(9, 2, 5)
    return loss(logits + 9 * F.pad(normal(10, 2, 1, 17), (0, 0, 4, 0)), words) - loss(logits, words)


@LOSS_CASES("the first word is given, and never asked for")
def first_word(loss):
    logits, words = normal(11, 2, 5, 17), ids(12, 2, 5)
    other = words.clone()
    other[:, 0] = (words[:, 0] + 5) % 17
    return loss(logits, other) - loss(logits, words)


@LOSS_CASES("a batch costs what its texts cost alone, on average")
def texts_apart(loss):
    logits, words = 2 * normal(13, 3, 5, 17), ids(14, 3, 5)
    alone = [loss(logits[[i]], words[[i]]) for i in range(3)]
    return loss(logits, words), torch.stack(alone).mean()


@LOSS_CASES("the same number added to all scores of a place changes nothing")
def louder_place(loss):
    logits, words = normal(15, 2, 5, 17), ids(16, 2, 5)
    return loss(logits + normal(17, 2, 5, 1) * 4, words)


costs("every_word", "word 0 counts as any other", normal(18, 2, 7, 3), ids(19, 2, 7, vocab=3))
costs("short_ids", "ids in int32", normal(20, 2, 5, 17), ids(21, 2, 5).int())
costs(
    "bfloat16", "bfloat16 logits: a float32 loss", (4 * normal(22, 2, 5, 17)).bfloat16(), ids(23, 2, 5), tolerance=1e-4
)
costs("float64", "float64 logits: a float64 loss", normal(24, 2, 5, 17).double(), ids(25, 2, 5))


@LOSS_CASES("a gradient reaches the logits", tolerance=1e-3, tell=tells_gradient)
def gradients(loss):
    logits = normal(26, 2, 5, 17).requires_grad_()
    return reached(loss(logits, ids(27, 2, 5)), logits=logits)


costs("all_of_it", "four texts of 70 words", 3 * normal(28, 4, 70, 50), ids(29, 4, 70, vocab=50))


def adapt_loss(answer):
    """A function of logits and ids as the subject of the cases."""
    return lambda logits, input_ids: call(answer, logits, input_ids)


NEXT, SURPRISE, MEAN = "the ids of the next places", "the surprise at each of them", "the mean of the surprises"


def loss_steps(logits, input_ids):
    """What is computed on the way, in its order."""
    asked = input_ids[:, 1:].long()
    raised = logits.to(torch.promote_types(logits.dtype, torch.float32))[:, :-1]
    surprise = -raised.log_softmax(dim=-1).gather(-1, asked[..., None])[..., 0]
    return [
        Step("the scores where something is asked", raised, (), waypoint=True, axes=AXES),
        Step(NEXT, asked, (), axes="batch seq"),
        Step("the same, and nothing asked at the last place", F.pad(asked, (0, 1), value=-100), waypoint=True),
        Step(SURPRISE, surprise, (NEXT,), inside="cross_entropy", axes="batch seq"),
        Step(MEAN, surprise.mean()),
    ]


component.part(next_token_loss, adapt_loss, LOSS_CASES, loss_steps)


# ------------------------------------------------------------------------------------------------- what goes wrong

HEAD, THROUGH = "self.lm_head(self.model(", "self.model(input_ids, attention_mask, positions, cache)"
ALL = f"return self.lm_head({THROUGH})"
TIE_IF, TIE = "if self.config.tie_word_embeddings:", "self.lm_head.weight = self.model.embed_tokens.weight"
INIT = "init_weights(self.lm_head, self.config.initializer_range)"
BABBLES = "Published weights give gibberish."
CLEAR = "The model writes well, and its loss cannot be compared with any other."


def bug(name: str, step, symptom: str, *edits: dict, says: str):
    component.bug(name, "LlamaForCausalLM", *edits, step=step, symptom=symptom, says=says)


# fmt: off
bug("no_head", LOGITS, "An error about sizes in the loss.", {ALL: f"return {THROUGH}"},
    says="You return hidden states, one vector for each word. The head scores every word of the vocabulary with them.")
bug("best_word", LOGITS, "The loss cannot be computed: there is one number a place, and no scores.",
    {ALL: f"{ALL}.argmax(dim=-1)"},
    says="You return the word that fits best. The loss wants the scores of all words; choosing comes later.")
bug("table_in_place_of_the_head", LOGITS, "A head of its own never learns, and is never asked.",
    {ALL: f"return {THROUGH} @ self.model.embed_tokens.weight.T"},
    says="You score with the embedding table, whatever the config says. self.lm_head is that table where they are "
    "tied, and a head of its own where they are not.")
bug("chances", LOGITS, "Training is slow, and the loss never comes near 0.",
    {ALL: ALL.replace("return ", "return torch.softmax(") + ", dim=-1)"},
    says="You return chances. A model gives logits: the loss makes chances of them itself.")
bug("log_chances", LOGITS, "None in training. Logits differ from published ones by a number for each place.",
    {ALL: ALL.replace("return ", "return torch.log_softmax(") + ", dim=-1)"},
    says="You return the logarithms of chances. A model gives the scores as the head makes them.")
bug("last_place_only", LOGITS, "Generation works, and there is nothing to learn from.",
    {ALL: f"{ALL}[:, -1:]"}, {ALL: f"{ALL}[:, -1]"},
    says="You score the last place only, which is all that writing needs. Learning asks at every place.")
bug("one_place_less", LOGITS, "The loss shifts once more, and one place is missing.", {ALL: f"{ALL}[:, :-1]"},
    says="You cut the last place off. The model scores every place; what has no next word is the loss's business.")
bug("normed_twice", LOGITS, "None while the last norm has gain 1.",
    {ALL: f"return self.lm_head(self.model.norm({THROUGH}))"},
    says="You norm once more: the model's last norm stands in the model already.")
bug("head_scaled", LOGITS, "The first loss is above a blind guess.",
    {ALL: f"{ALL} * self.config.hidden_size**0.5"}, {ALL: f"{ALL} / self.config.hidden_size**0.5"},
    says="You scale the logits. Llama's head is a matrix product and no more.")
bug("only_ids_go_in", HIDDEN, "Padding counts, given positions change nothing, and writing with a cache forgets.",
    {THROUGH: "self.model(input_ids)"},
    says="Only the ids reach the model. attention_mask, positions and cache come in, too, and get lost: pass all four.")
bug("mask_lost", HIDDEN, "Padding changes what short texts say.",
    {THROUGH: "self.model(input_ids, positions=positions, cache=cache)"},
    says="attention_mask does not reach the model, so words look at padding. Pass it on.")
bug("positions_lost", HIDDEN, "Given positions change nothing.",
    {THROUGH: "self.model(input_ids, attention_mask, cache=cache)"},
    says="positions do not reach the model. Pass them on.")
bug("cache_lost", HIDDEN, "Writing forgets all but the newest word.",
    {THROUGH: "self.model(input_ids, attention_mask, positions)"},
    says="The cache does not reach the model, so a new word sees nothing before it. Pass it on.")
bug("mask_and_positions_swapped", HIDDEN, "An error about shapes, or padding that counts.",
    {THROUGH: "self.model(input_ids, positions, attention_mask, cache)"},
    says="attention_mask and positions have changed places. The model takes the mask first.")
bug("tied_by_copying", BUILT, "Table and head drift apart after one step of training.",
    {TIE: "self.lm_head.weight.data.copy_(self.model.embed_tokens.weight)"},
    {TIE: "self.lm_head.weight = nn.Parameter(self.model.embed_tokens.weight.detach().clone())"},
    {TIE: "self.lm_head.weight.data = self.model.embed_tokens.weight.data"},
    says="You copy numbers, or share storage: two parameters that learn separately. Give the head the table's own "
    "parameter, so that both names mean one object.")
bug("embedding_in_place_of_the_head", BUILT, "An error: the embedding wants ids, and is given vectors.",
    {TIE: "self.lm_head = self.model.embed_tokens"},
    says="You put the embedding in the place of the head. The head stays a Linear; its weight alone becomes the "
    "embedding's weight.")
bug("never_tied", BUILT, "The head of a tied model stays random when weights are loaded.", {TIE_IF: "if False:"},
    says="Head and table are two tensors, though the config says tie_word_embeddings. Make them one.")
bug("always_tied", BUILT, "The head of a large model is lost when weights are loaded.", {TIE_IF: "if True:"},
    says="You tie whatever the config says. Larger models have a head of their own: ask tie_word_embeddings.")
bug("tied_the_other_way", BUILT, BABBLES, {TIE_IF: "if not self.config.tie_word_embeddings:"},
    says="You tie where the config says not to, and the other way round.")
bug("head_not_small", BUILT, "The first loss of a large untied model is not ln V + s²/2.", {INIT: "pass"},
    says="The head keeps nn.Linear's own size. Draw it as all others, with initializer_range.")
bug("head_with_bias", BUILT, "Published weights cannot be loaded: lm_head.bias is missing.",
    {"bias=False": "bias=True"},
    says="The head has a bias, of which published weights know nothing. Pass bias=False.")
bug("cut_off", LOGITS, "Only the head learns.", {ALL: f"return self.lm_head({THROUGH}.detach())"},
    says="You detach the hidden states: no gradient reaches the model behind the head.")

TARGETS = "F.pad(input_ids[:, 1:].long(), (0, 1), value=-100)"
FLAT = 'rearrange(targets, "batch seq -> (batch seq)")'
SCORES = 'rearrange(logits, "batch seq vocab -> (batch seq) vocab")'
RAISED = "scores.to(torch.promote_types(logits.dtype, torch.float32))"
CROSS = f"F.cross_entropy(scores, {FLAT}, ignore_index=-100)"


ADDED_UP = ("summed", "summed_over_a_text", "last_place_in_the_mean", "in_bits", "perplexity", "sign_lost")
STEP = dict.fromkeys(("backwards", "shifted_twice"), NEXT) | dict.fromkeys(ADDED_UP, MEAN)


def slip(name: str, symptom: str, *edits: dict, says: str):
    step = (STEP[name],) if name in STEP else (NEXT, SURPRISE, MEAN)
    component.bug(name, "next_token_loss", *edits, step=step, symptom=symptom, says=says)


slip("unshifted", "The loss falls to 0, and the model repeats its last word.",
     {TARGETS: "input_ids.long()"}, {TARGETS: "F.pad(input_ids[:, 1:].long(), (1, 0), value=-100)"},
     {TARGETS: "F.pad(input_ids[:, :-1].long(), (0, 1), value=-100)"},
     says="Each place is asked for the word that stands there: copying is perfect. Ask for the next one.")
slip("backwards", "The loss falls to 0, and the model writes what came before.",
     {TARGETS: "F.pad(input_ids[:, :-1].long(), (1, 0), value=-100)"},
     {TARGETS: "F.pad(input_ids.long(), (1, 0), value=-100)[:, :-1]"},
     says="You shift backwards: each place is asked for the word before it, which it has seen. Ask for the next one.")
slip("shifted_twice", "The loss looks fine, and the model skips every other word.",
     {TARGETS: "F.pad(input_ids[:, 2:].long(), (0, 2), value=-100)"},
     says="You shift twice: each place is asked for the word after the next. Shift once.")
slip("seq_batch", "The loss stops where word frequencies alone bring it, and every text is the commonest word.",
     {FLAT: 'rearrange(targets, "batch seq -> (seq batch)")'}, {FLAT: "targets.T.flatten()"},
     {SCORES: 'rearrange(logits, "batch seq vocab -> (seq batch) vocab")'},
     says="Logits and targets are laid in a row in different orders, so places are judged by other texts' words. Both "
     "are (batch seq).")
slip("softmax_first", "The loss never gets below 1.9 or so, though the model writes well.",
     {RAISED: f"{RAISED}.softmax(dim=-1)"},
     says="You hand chances to cross_entropy, which makes chances of them once more. Pass the logits.")
slip("softmax_over_seq", CLEAR,
     {CROSS: f'F.nll_loss(rearrange(logits.float().log_softmax(1), "b s v -> (b s) v"), {FLAT}, ignore_index=-100)'},
     {CROSS: f"F.nll_loss(scores.log_softmax(0), {FLAT}, ignore_index=-100)"},
     says="The softmax runs over the places: what a place says of one word competes with other places, not with other "
     "words. It runs over vocab, the last axis.")
slip("softmax_over_batch", CLEAR,
     {CROSS: f'F.nll_loss(rearrange(logits.float().log_softmax(0), "b s v -> (b s) v"), {FLAT}, ignore_index=-100)'},
     says="The softmax runs over the texts of the batch. It runs over vocab, the last axis.")
slip("no_softmax", "The loss falls below 0 and never stops.",
     {CROSS: f"F.nll_loss(scores, {FLAT}, ignore_index=-100)"},
     says="Scores are taken for logarithms of chances: nothing keeps them from growing. A softmax belongs before.")
slip("chances_for_logarithms", "The loss lies between −1 and 0.",
     {CROSS: f"F.nll_loss(scores.softmax(-1), {FLAT}, ignore_index=-100)"},
     says="You take chances off, and not their logarithms. Surprise is −ln of the chance.")
slip("summed", "The loss is large and grows with the batch.",
     {"ignore_index=-100)": 'ignore_index=-100, reduction="sum")'},
     says="You add all surprises. The loss is their mean, so that batches of any size can be compared.")
slip("summed_over_a_text", "The loss grows with the length of the texts.",
     {"ignore_index=-100)": "ignore_index=-100) * (input_ids.shape[1] - 1)"},
     says="You add the surprises of a text and average over texts. The mean is over all next words.")
slip("last_place_in_the_mean", "The loss is a little too low, most in short texts.",
     {"ignore_index=-100)": 'ignore_index=-100, reduction="sum") / targets.numel()'},
     says="You divide by all places. The last of each text is not asked for anything, so it does not count.")
slip("rolled_round", "The loss is a little too high, most in short texts.",
     {TARGETS: "input_ids.long().roll(-1, 1)"},
     says="The last place is judged by the first word of the text, which does not come after it. Leave it out.")
slip("rolled_into_the_next_text", "The loss is a little too high: texts are asked for each other's beginnings.",
     {TARGETS: "input_ids.long().flatten().roll(-1).view_as(input_ids)"},
     says="The last place is judged by the first word of the next text. Shift within each text first.")
slip("last_place_asked_for_0", "The loss is too high, and texts end in word 0.", {"value=-100": "value=0"},
     says="The last place is asked for word 0. Give it a target that cross_entropy leaves out.")
slip("word_0_left_out", "Word 0 is never learnt.", {"value=-100": "value=0", "ignore_index=-100": "ignore_index=0"},
     says="Word 0 is a word, and you leave it out. −100 is no id, so it can mark what does not count.")
slip("only_the_last_word", "Training is as slow as if texts were fewer.",
     {CROSS: "F.cross_entropy(logits[:, -2].to(scores.dtype), input_ids[:, -1].long())"},
     says="Only the last word of each text is asked for. Every place is a question.")
slip("in_bits", "The loss is 1.44 times too large.", {CROSS: f"{CROSS} / torch.tensor(2.0).log()"},
     says="That is bits. The loss is in nats: natural logarithms, as cross_entropy gives them.")
slip("perplexity", "The loss begins as large as the vocabulary.", {CROSS: f"{CROSS}.exp()"},
     says="That is perplexity, exp of the loss. Training wants the loss itself.")
slip("sign_lost", "The loss is negative, and training makes everything worse.", {CROSS: f"-{CROSS}"},
     says="The sign is lost: surprise is −ln of a chance, and never below 0.")
slip("stays_in_bfloat16", "Losses come in steps of 1/64.", {RAISED: "scores"},
     says="In bfloat16 the loss stays in bfloat16, whose numbers near 3 are 1/64 apart. Go up to float32 first.")
slip("always_float32", "A float64 check of gradients fails.", {RAISED: "scores.float()"},
     says="float64 comes down to float32. Go up to float32 at least, and stay higher where logits are.")
slip("ids_as_they_are", "An error about dtypes with ids in int32.", {"input_ids[:, 1:].long()": "input_ids[:, 1:]"},
     says="cross_entropy wants 64-bit ids: .long(). Look at the dtype of the scores, too: float32 at least.")
slip("not_in_a_row", "An error about the size of the targets.", {SCORES: "logits", FLAT: "targets"},
     says="cross_entropy takes the second axis of the scores for the words, and there stands seq. Lay batch and seq in "
     "one row, in scores and targets alike.")
slip("targets_not_in_a_row", "An error about two batch sizes.", {FLAT: "targets"},
     says="The scores lie in one row, and the targets do not yet. Lay them in the same order.")
slip("scores_of_no_question", "An error about two batch sizes.", {TARGETS: "input_ids[:, 1:].long()"},
     says="There is one place more in the logits of each text than there are next words. Cut the last place off, or "
     "give it a target of −100.")
slip("minus_one_at_the_end", "An error about a target that is out of bounds.",
     {"value=-100": "value=-1"},
     says="−1 is no id, and cross_entropy does not leave it out: −100 is what it leaves out unasked.")
slip("ids_first", "An error about dtypes.", {CROSS: f"F.cross_entropy({FLAT}, scores)"},
     says="cross_entropy takes the scores first, and then the ids that should have come.")
slip("every_surprise", "An error in backward: there are many losses.",
     {"ignore_index=-100)": 'ignore_index=-100, reduction="none")'},
     says="You return the surprise of every place. The loss is one number, their mean.")
slip("logarithm_of_the_mean", "The loss is too low, most where a few words surprise much.",
     {CROSS: f"-F.nll_loss(scores[{FLAT} >= 0].softmax(-1), {FLAT}[{FLAT} >= 0]).neg().log()"},
     says="You take the logarithm of the mean chance. Surprise is −ln of each chance, and the mean comes last.")
slip("texts_shifted", "Each text is asked for the words of the text after it.",
     {CROSS: "F.cross_entropy(logits[:-1].flatten(0, 1).to(scores.dtype), input_ids[1:].long().flatten())"},
     says="You shift the first axis, which is the batch: each text is asked for another one. The words stand on the "
     "second: [:, :-1] and [:, 1:].")
slip("detached", "Nothing learns.", {RAISED: f"{RAISED}.detach()"},
     says="You detach the logits: no gradient comes back.")
# fmt: on


def shortened_then_crossed(logits, input_ids):
    """The same order mistaken, where the last place is cut off first."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), input_ids[:, 1:].long().T.flatten())


def shortened_then_over_places(logits, input_ids):
    return -logits[:, :-1].float().log_softmax(1).gather(-1, input_ids[:, 1:, None].long()).mean()


def laid_in_a_row_then_shifted(logits, input_ids):
    """The same step over the border of two texts, where all places are in one row before the shift."""
    return F.cross_entropy(logits.flatten(0, 1)[:-1].float(), input_ids.flatten()[1:].long())


def plain_ids_and_float32(logits, input_ids):
    """Right with the ids and logits of most models: neither .long() nor float64."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), input_ids[:, 1:].flatten())


def plain_ids_and_bfloat16(logits, input_ids):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), input_ids[:, 1:].flatten())


def cut(kind):
    """`kind` of logits and ids that are cut to the places that ask and the words that are asked for, as many write it:
    with .long() and without."""
    return [lambda logits, input_ids: kind(logits[:, :-1].float(), input_ids[:, 1:].long()),
            lambda logits, input_ids: kind(logits[:, :-1].float(), input_ids[:, 1:])]  # fmt: skip


def scores_turned(given, asked):
    return F.cross_entropy(rearrange(given, "batch seq vocab -> (seq batch) vocab"), asked.flatten())


def one_each(given, asked):
    return F.cross_entropy(given.flatten(0, 1), asked.flatten(), reduction="none")


component.also("not_in_a_row", "next_token_loss", *cut(F.cross_entropy))
component.also("targets_not_in_a_row", "next_token_loss",
               *cut(lambda given, asked: F.cross_entropy(given.flatten(0, 1), asked)))  # fmt: skip
component.also("ids_first", "next_token_loss",
               *cut(lambda given, asked: F.cross_entropy(asked.flatten(), given.flatten(0, 1))))  # fmt: skip
component.also("every_surprise", "next_token_loss", *cut(one_each))
component.also("seq_batch", "next_token_loss", *cut(scores_turned))
component.also("rolled_into_the_next_text", "next_token_loss", laid_in_a_row_then_shifted)
component.also("ids_as_they_are", "next_token_loss", plain_ids_and_float32, plain_ids_and_bfloat16)
component.also("seq_batch", "next_token_loss", shortened_then_crossed)
component.also("softmax_over_seq", "next_token_loss", shortened_then_over_places)


# ----------------------------------------------------------------------------------------------------- the exercises

BLIND_8B, SPREAD_8B = math.log(128256), 0.02 * 64
FIRST_LOSSES = {
    BLIND_8B: "that is a blind guess; fresh logits are not all alike, they spread by s = 1.28",
    BLIND_8B + SPREAD_8B: "that adds s itself; what the spread costs is s²/2",
    BLIND_8B + SPREAD_8B**2: "that adds s²; what the spread costs is half of that",
    BLIND_8B + 0.02**2 / 2: "that is the spread of one weight; a logit adds 4,096 products",
    BLIND_8B + (0.02 * 4096) ** 2 / 2: "4,096 products spread by √4096 = 64 times one of them",
    math.log2(128256): "that is in bits; the loss is in nats",
    math.log2(128256) + SPREAD_8B**2 / 2: "the blind guess is in bits there; the loss is in nats, ln",
    math.log10(128256) + SPREAD_8B**2 / 2: "the logarithm is the natural one, ln, and not of base 10",
    SPREAD_8B**2 / 2: "that is what the spread costs; it comes on top of a blind guess",
    BLIND_8B - SPREAD_8B**2 / 2: "the spread of the logits costs something: the loss is above a blind guess",
    math.log(49152) + 0.48**2 / 2: "that is the 135M shape; this one has more words and is wider",
}
CHOICES = math.log(10 * 6 * 8 * 3 * 5)
FLOORS = {
    CHOICES / 10.2: "that is the floor of one telling; nothing in the second one is a choice",
    2 * CHOICES / 10.2: "the second telling adds no choice: it is the first one again",
    CHOICES / 10: "that divides by 10, the words of one telling or the choices of both; divide by all words of both "
    "tellings, 20.4 on average",
    0.44: "this example has 20 words, and sentences have 10.2 on average; or keep more digits until the end",
    CHOICES / 20: "this example has 20 words, and sentences have 10.2 on average: one of the ends has three words",
    CHOICES / 20.4 / math.log(2): "that is in bits; the loss is in nats",
    CHOICES / 10.2 / math.log(2): "that is one telling, and in bits; the loss is in nats",
    math.exp(CHOICES / 20.4): "that is the perplexity, exp of the loss",
    CHOICES / 5: "that is per choice; the loss is the mean over all words, and a word without a choice costs 0",
    CHOICES: "that is the sum; the loss is the mean over 20.4 words",
    math.log(46): "that is a blind guess; a model that knows the language does better",
    0: "the first telling has five choices that nobody can know",
}


def judge_padded(answer, cap: float | None = None) -> str:
    """The sentence on a loss that leaves padding out, perhaps of scores that are capped."""
    for side in ("the right", "the left", "both sides"):
        raw, words = (2 if cap is None else 5) * normal(70, 3, 7, 11), ids(71, 3, 7, vocab=11)
        logits = raw if cap is None else cap * (raw / cap).tanh()
        mask = torch.ones(3, 7, dtype=torch.long)
        mask[1, 4:], mask[2, 2:] = 0, 0
        if side == "the left":
            mask = mask.flip(1)
        if side == "both sides":
            mask[0, :3] = 0
        surprise, alone = [], []
        for text in range(3):
            own = []
            for place in range(6):
                cost = logits[text, place].logsumexp(dim=-1) - logits[text, place, words[text, place + 1]]
                own += [cost] if mask[text, place] and mask[text, place + 1] else []
            surprise += own
            alone.append(torch.stack(own).mean())
        every = -logits[:, :-1].log_softmax(-1).gather(-1, words[:, 1:, None])[..., 0]
        wanted, both = torch.stack(surprise).mean(), (mask[:, 1:] * mask[:, :-1]).bool()
        ways = (raw, logits / (cap or 1))
        bare, tanh = (F.cross_entropy(scores[:, :-1][both], words[:, 1:][both]) for scores in ways)
        slips = {} if cap is None else {
            "the scores are asked as they came: cap them before softmax": bare,
            f"all scores lie between −1 and 1: what tanh gives is multiplied by {cap}": tanh,
        }  # fmt: skip
        slips |= {
            "padding counts in it: each place whose next word is padding is asked for it": every.mean(),
            "you average the texts' means, so that a word of a short text counts more: the mean is over all words":
                torch.stack(alone).mean(),
            "you add without dividing: it is a mean": torch.stack(surprise).sum(),
            "you divide by all places: only those that count are in the mean": (every * both).mean(),
            "you divide by the number of words: each text has one question less": every[both].sum() / mask.sum(),
            "the place before padding is asked for it: look at the mask of what is asked for, too":
                every[mask[:, :-1].bool()].mean(),
            "a text's first word is asked for by the padding before it: alone, nothing asks for it":
                every[mask[:, 1:].bool()].mean(),
            "logits of padding are made 0, and then count as a blind guess: leave these places out": F.cross_entropy(
                (logits[:, :-1] * both[..., None]).flatten(0, 1), words[:, 1:].flatten()),
            "you go by the ids, and word 0 is a word as any other: only the mask knows what is padding":
                every[(words[:, 1:] != 0) & (words[:, :-1] != 0)].mean(),
            "you leave word 0 out, which is a word as any other: only the mask knows what is padding":
                every[words[:, 1:] != 0].mean(),
            "you lay the real words of all texts in one row and shift there: a text's last word asks for the next "
            "text's first": F.cross_entropy(logits[mask.bool()][:-1], words[mask.bool()][1:]),
            "each place is asked for the word that stands there; shift first":
                F.cross_entropy(logits[mask.bool()], words[mask.bool()]),
            "logits of padding are made 0, and then count as a blind guess: take these places out": F.cross_entropy(
                (logits * mask[..., None])[:, :-1].flatten(0, 1), words[:, 1:].flatten()),
            "padding is asked for word 0: give it a target that cross_entropy leaves out": F.cross_entropy(
                logits[:, :-1].flatten(0, 1), (words[:, 1:] * both).flatten()),
        }  # fmt: skip
        try:
            found = call(answer, raw, words, mask)
        except (RuntimeError, IndexError):
            call(answer, raw, words, mask.bool())  # where this goes wrong as well, the error is told
            return ("it works with a mask of True and False, and this one has 1 and 0: as an index they are rows, and "
                    "~1 is −2. Begin with attention_mask.bool()")
        if not isinstance(found, torch.Tensor) or found.numel() != 1:
            return "padded_loss should return one number, as a tensor"
        found = found.float().reshape(())
        if not torch.allclose(found, wanted, atol=1e-4):
            told = next((told for told, value in slips.items() if torch.allclose(found, value, atol=1e-4)), "")
            return told or f"with padding on {side} it is {found:.3f}, and the texts alone {wanted:.3f}"
    if not torch.allclose(call(answer, raw, words, mask.bool()).float(), wanted, atol=1e-4):
        return "a mask of True and False gives another loss than one of 1 and 0"
    return ""


WORKED_PADDED = """def padded_loss(logits, input_ids, attention_mask):
    # Nothing is marked: each text is taken out of the batch, and the loss of the lesson is asked about it alone.
    # A text of n words has n − 1 questions, so the means are weighted with that, or short texts would count too much.
    texts = [(scores[real], words[real]) for scores, words, real in zip(logits, input_ids, attention_mask.bool())]
    texts = [(scores, words) for scores, words in texts if len(words) > 1]
    costs = [(len(words) - 1) * next_token_loss(scores[None], words[None]) for scores, words in texts]
    return sum(costs) / sum(len(words) - 1 for _, words in texts)"""

LENGTHS_TEXT = (
    "Padding may stand on the right or on the left, and the law is this: "
    "the loss of the batch is what its texts would give alone, each next word counted once."
)
LENGTHS_HINTS = (
    "A question has two ends: the place that asks, and the word that is asked for. Which of them must be real?",
    "*Right with padding on the right and wrong on the left*: there a text's first word has padding before "
    "it, which cannot ask. *A short text counts too much*: do not average the texts' means.",
    "Mark as not asked, with −100, every target that is padding or is asked for by padding; or take the real "
    "places out with a mask of both ends, and average.",
)


def seeded_padded(seed: int) -> dict:
    """The number by which scores are capped, as Gemma 2 does with 30."""
    cap = chosen(seed, (8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18))
    task = f"Give the mean surprise of the real next words, of scores capped at {cap}."
    first, second, third = LENGTHS_HINTS
    return {
        "task": task,
        "text": f"`next_token_loss` asks padding, too. And Gemma 2 lets no score grow without end: it takes "
        f"c · tanh(score / c) before softmax; yours has **c = {cap}**. Write `padded_loss(logits, input_ids, "
        f"attention_mask)`: the mean surprise of the real next words alone, of capped scores. {LENGTHS_TEXT}",
        "hints": (first, f"{second} *Everything is a little off*: cap first, then softmax.",
                  f"Every score divided by {cap}, then tanh, then times {cap}. {third}"),
        "starter": f'''def padded_loss(logits, input_ids, attention_mask):
    """The mean surprise of real next words, scores capped at {cap}: (batch seq vocab), ids and mask, 0 at padding."""
    raise NotImplementedError("{task}")''',
        "answers": {"padded_loss": partial(judge_padded, cap=cap)},
        "worked": WORKED_PADDED.replace("    texts = [(scores[real]", f"    logits = {cap} * (logits / {cap}).tanh()\n"
                                        "    texts = [(scores[real]"),
    }  # fmt: skip


PLAIN = ("short_ids", "bfloat16", "float64")  # the cases that answers in the logits' own dtype leave out
MIXING = "Say whether what a text costs depends on the texts beside it."
COMPETING = "Say whether a number added to all scores of one place changes the loss."

component.exercises = (
    Exercise(
        name="LlamaForCausalLM.tie_weights",
        kind="implement",
        task="Where the config ties them, make head and table one tensor.",
        difficulty=1,
        importance=4,
        minutes=4,
        hints=(
            "Which two modules hold the matrices, and which field of the config says that they are one?",
            "*They are equal, and drift apart*: you copied numbers. A module's weight is an attribute, and can be set "
            "to another module's parameter. *It is tied in every model*: ask the config first.",
            "If `tie_word_embeddings`: the head's `weight` becomes the very object that `embed_tokens` holds.",
        ),
    ),
    Exercise(
        name="LlamaForCausalLM.forward",
        kind="implement",
        task="Give a score to every word of the vocabulary, at every place.",
        difficulty=1,
        importance=5,
        minutes=3,
        hints=(
            "What does the model give for each id, and which layer makes scores of that?",
            "*It works, and padding or a cache does not*: the model takes four things, all of which come in here. "
            "*The loss is too high*: scores go out as they are, no softmax.",
            "ids, mask, positions and cache → `self.model` → `self.lm_head`.",
        ),
    ),
    Exercise(
        name="next_token_loss",
        kind="implement",
        task="Judge the logits at each place by the next id; give the mean surprise.",
        difficulty=2,
        importance=5,
        minutes=12,
        hints=(
            "A text of five words asks four questions. Which place asks for which word, and which place asks nothing?",
            "*My loss is nearly 0 where it should not be*: each place is asked for its own word. *It is a little too "
            "high*: what is the last place asked for? *It is hundreds*: a mean, not a sum. *It is wrong with two texts "
            "and right with one*: logits and targets must be laid in a row in one order. *An error about dtypes*: ids "
            "come in int32, too, and want `.long()`.",
            "Targets: the ids from the second on, and −100 at the end. Scores: batch and seq in one row, in float32 "
            "at least: `torch.promote_types` names the larger of two dtypes. Then `F.cross_entropy` of the two.",
        ),
    ),
    Exercise(
        name="first_loss_8b",
        kind="predict",
        title="The first loss of an 8B model",
        text="The 8B shape has `vocab_size=128256`, `hidden_size=4096` and a head of its own. All its weights start "
        "with a standard deviation of 0.02. What loss do you expect before the first step? To two places.",
        task="Type the loss that a fresh model of the 8B shape should have.",
        difficulty=2,
        importance=4,
        minutes=5,
        hints=(
            "What is a blind guess among so many words? And how far do fresh logits spread?",
            "*I get 11.76*: that is the blind guess alone. *I get 13.04*: you added s, and not s²/2.",
            "s = 0.02 times the root of the hidden size; ln of the vocabulary plus half of s².",
        ),
        starter="first_loss_8b = ...  # a number",
        answers={"first_loss_8b": typed_number(BLIND_8B + SPREAD_8B**2 / 2, 0.0012, FIRST_LOSSES)},
        solution="""import math

s = 0.02 * math.sqrt(4096)
first_loss_8b = math.log(128256) + s**2 / 2""",
        why="11.76 + 0.82 = 12.58. A wider model starts worse with the same weights: s grows as √hidden. Who expects "
        "ln V and sees 12.58 need not look for a bug; who sees 13 should.",
    ),
    Exercise(
        name="floor_twice",
        kind="predict",
        title="Every sentence is told twice",
        text="In another little world each sentence of ours is told twice in a row: *The dog chased its tail and it "
        "fell asleep . The dog chased its tail and it fell asleep .* One sentence has 10.2 words. How low can the loss "
        "go, for a model that sees all words before? To three places.",
        task="Type the floor of the loss where every sentence is told twice.",
        difficulty=2,
        importance=4,
        minutes=5,
        hints=(
            "Which words of the second telling could be others? How much do they cost a model that looks back?",
            "*I get 0.871*: that is for one telling. *I get 0.888*: divided by 10; count the words of both tellings.",
            "ln 10 + ln 6 + ln 8 + ln 3 + ln 5, over the words of both tellings.",
        ),
        starter="floor_twice = ...  # a number",
        answers={"floor_twice": typed_number(CHOICES / 20.4, 0.004, FLOORS)},
        solution="""import math

floor_twice = math.log(10 * 6 * 8 * 3 * 5) / (2 * 10.2)""",
        why="8.88 over 20.4 words, 0.435: the second telling is free for whoever can look back, and attention can. So "
        "texts that repeat themselves have a low loss, and no better model.",
    ),
    Exercise(
        name="mended_rows",
        kind="find the bug",
        title="Right with one text, lost with two",
        text="With a single text this loss is right. With a batch it stops falling at 3.6, which word frequencies "
        "alone can reach, and the model writes *The The The*. Mend it. And write the **probe**: a function that is "
        "given such a loss and says whether what a text costs depends on the texts beside it.",
        task=MIXING,
        difficulty=2,
        importance=5,
        minutes=12,
        hints=(
            "Both tensors are laid in one row. Which word stands fourth in the one, and which in the other?",
            "*My probe says False of every loss*: with one text nothing can mix. Take two that differ. *It says True "
            "of a loss that is shifted wrongly*: do not compare with a right loss; compare a loss with itself.",
            "The order of the axes within the brackets. For the probe: draw logits and ids of two texts, with a seed; "
            "their loss should be the mean of the losses of each alone, up to rounding.",
        ),
        starter=f'''def mended_rows(logits, input_ids):
    """The loss of the next words: logits (batch seq vocab), ids (batch seq). With a mistake: mend it."""
    rows = rearrange(logits[:, :-1], "batch seq vocab -> (batch seq) vocab")
    return F.cross_entropy(rows, rearrange(input_ids[:, 1:], "batch seq -> (seq batch)"))


def mixes_texts(loss) -> bool:
    """Whether loss(logits, ids), such as next_token_loss, judges a text by the texts beside it."""
    raise NotImplementedError("{MIXING}")''',
        answers={
            "mended_rows": component.like("mended_rows", "next_token_loss", PLAIN),
            "mixes_texts": component.probe(
                "next_token_loss",
                yes=("seq_batch", "softmax_over_batch", "rolled_into_the_next_text"),
                no=("unshifted", "backwards", "shifted_twice", "softmax_first", "rolled_round", "in_bits"),
                because={
                    "": "There two texts cost the mean of what each costs alone: not their sum, not what one of them "
                    "costs, and not to the last digit",
                    "unshifted": "It is wrong, and yet judges each text by itself: do not compare with a right loss",
                    "backwards": "It is wrong, and yet judges each text by itself, up to rounding: allow for 1e-4",
                    "seq_batch": "Its two texts together do not cost the mean of each alone: try two that differ, and "
                    "with logits that differ",
                    "softmax_over_batch": "There the order of the texts does not matter, and their company does: "
                    "compare with each text alone",
                },
            ),
        },
        solution="""def mended_rows(logits, input_ids):
    rows = rearrange(logits[:, :-1], "batch seq vocab -> (batch seq) vocab")
    return F.cross_entropy(rows, rearrange(input_ids[:, 1:], "batch seq -> (batch seq)"))


def mixes_texts(loss) -> bool:
    torch.manual_seed(0)
    logits, words = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
    alone = [loss(logits[[i]], words[[i]]) for i in range(2)]
    return not torch.allclose(loss(logits, words), sum(alone) / 2, atol=1e-4)""",
        why="Every shape is right, and only the order is wrong, so no error speaks. A batch is several texts at once "
        "and nothing else: what holds of one text must hold in company.",
    ),
    Exercise(
        name="mended_axis",
        kind="find the bug",
        title="It writes well, so it is fine",
        text="Trained with this loss, the model writes whole sentences, and the loss falls to 0.82, below what anyone "
        "can know of this language. “It writes well, so it is fine.” Mend it. And write the **probe**: a function that "
        "is given such a loss and says whether a number added to all scores of one place changes it. Among words alone "
        "that shifts everybody alike, and changes nothing.",
        task=COMPETING,
        difficulty=3,
        importance=4,
        minutes=12,
        hints=(
            "The chances of what add up to 1 here? Of what should they?",
            "*My probe says False of every loss*: you raised all places alike; raise one. *It says True of every one*: "
            "you raised one word's score; raise all words of that place. And allow for rounding.",
            "The softmax names an axis; the words stand on another. For the probe: logits drawn with a seed, the "
            "loss; 5 added to `logits[:, 1]`, the loss again.",
        ),
        starter=f'''def mended_axis(logits, input_ids):
    """The loss of the next words: logits (batch seq vocab), ids (batch seq). With a mistake: mend it."""
    log_chances = logits[:, :-1].log_softmax(dim=1)
    return -log_chances.gather(-1, input_ids[:, 1:, None]).mean()


def places_compete(loss) -> bool:
    """Whether loss(logits, ids), such as next_token_loss, changes with a number added to all scores of a place."""
    raise NotImplementedError("{COMPETING}")''',
        answers={
            "mended_axis": component.like("mended_axis", "next_token_loss", PLAIN),
            "places_compete": component.probe(
                "next_token_loss",
                yes=("softmax_over_seq", "no_softmax"),
                no=("unshifted", "shifted_twice", "seq_batch", "softmax_first", "summed", "perplexity"),
                because={
                    "": "There nothing changes if all words of a place gain the same: raise no single word, "
                    "multiply nothing, and allow for rounding",
                    "unshifted": "It is wrong, and yet no place competes with another: compare a loss with itself, "
                    "before and after",
                    "shifted_twice": "There a text of two words has no question at all: draw longer ones",
                    "softmax_over_seq": "There a place that is raised takes chances from the other places of its text: "
                    "raise one place, not all, by much, on a copy; and not the last, which is asked for nothing",
                },
            ),
        },
        solution="""def mended_axis(logits, input_ids):
    log_chances = logits[:, :-1].log_softmax(dim=-1)
    return -log_chances.gather(-1, input_ids[:, 1:, None]).mean()


def places_compete(loss) -> bool:
    torch.manual_seed(0)
    logits, words = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
    louder = logits.clone()
    louder[:, 1] += 5
    return not torch.allclose(loss(louder, words), loss(logits, words), atol=1e-4)""",
        why="A place that waits for *its* need only give *its* more than other places do: that teaches the language, "
        "too. But the number is no surprise any more, and cannot be held against a floor, another model, or ln V.",
    ),
    Exercise(
        name="padded_loss",
        kind="transfer",
        title="Texts of different lengths",
        text="`next_token_loss` asks padding, too. Write `padded_loss(logits, input_ids, attention_mask)`: the mean "
        "surprise of the real next words alone. "
        + LENGTHS_TEXT,
        task="Give the mean surprise of the real next words alone.",
        difficulty=3,
        importance=4,
        minutes=12,
        hints=LENGTHS_HINTS,
        starter='''def padded_loss(logits, input_ids, attention_mask):
    """The mean surprise of real next words: logits (batch seq vocab), ids and mask (batch seq), mask 0 at padding."""
    raise NotImplementedError("Give the mean surprise of the real next words alone.")''',
        answers={"padded_loss": judge_padded},
        worked=WORKED_PADDED,
        seeded=seeded_padded,
    ),
)
