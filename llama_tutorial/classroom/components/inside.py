"""Looking inside: scores that name a head, a head set to its mean, and when the right token takes the lead.

A subject is called as the function itself: previous_score(probs), mean_ablated(heads, which), induction_score(probs,
ids), with probs (batch head query key), heads (batch head query dim) and ids (batch seq).
"""

import torch
import torch.nn.functional as F
from torch import nn

from ...causal_lm import LlamaForCausalLM
from ..course.exercise import Exercise, first_fault, own, said, same_tensor, typed_number
from ..judge.guard import Fault, call
from ..judge.parts import Cases, Component, Step
from ..judge.subjects import normal

component = Component("inside", lesson="12_looking_inside")


def previous_score(probs):
    """How much each head looks at the token before: (batch, head, query, key) → (head)."""
    seq = probs.shape[-1]
    queries = torch.arange(1, seq)
    return probs[:, :, queries, queries - 1].mean(dim=(0, 2))


def mean_ablated(heads, which):
    """The same with one head at its mean over texts and places: (batch, head, query, dim) → the same shape."""
    changed = heads.clone()
    changed[:, which] = heads[:, which].mean(dim=(0, 1))
    return changed


def induction_score(probs, ids):
    """How much each head looks at what followed this token before: probs and ids → a number for each head."""
    query, key = ids[:, :, None], ids[:, None, :]
    stood = (query == key).tril(-1)
    marked = F.pad(stood[:, :, :-1], (1, 0)).tril(-1)
    there = (probs * marked[:, None]).sum(dim=-1)
    copying = marked.any(dim=-1)
    return there.sum(dim=(0, 2)) / copying.sum()


# ------------------------------------------------------------------------------------------------- what must hold

BACK, MEANS, COPIES = Cases(), Cases(), Cases()


def attention(seed: int, batch: int, heads: int, seq: int):
    """Attention of random scores, causal: (batch head query key)."""
    scores = 2 * normal(seed, batch, heads, seq, seq)
    return scores.masked_fill(torch.ones(seq, seq).triu(1) > 0, -torch.inf).softmax(dim=-1)


def shifted(seq: int, by: int):
    """One head that looks so many tokens back, and at the first token where there is none: (1 1 query key)."""
    keys = (torch.arange(seq) - by).clamp(min=0)
    return F.one_hot(keys, seq).float()[None, None]


def alike(seq: int):
    """One head that looks everywhere alike: (1 1 query key)."""
    return (torch.ones(seq, seq).tril() / torch.arange(1, seq + 1)[:, None])[None, None]


@BACK("a head that looks at the token before, and at nothing else, has the score 1", "head", degenerate=True)
def always(score):
    return score(shifted(5, 1))


@BACK("a head that looks everywhere alike", "head", degenerate=True)
def everywhere(score):
    return score(alike(4))


@BACK("a number for each head", "head", degenerate=True)
def three_heads(score):
    return score(attention(1, 1, 3, 6))


@BACK("two texts", "head")
def two_texts(score):
    return score(attention(2, 2, 3, 6))


@BACK("more texts than heads, longer ones", "head")
def long_texts(score):
    return score(attention(3, 5, 2, 40))


@MEANS("one text, one place: a head is its own mean, and all stays as it is", "batch head query dim", degenerate=True)
def one_place(ablated):
    return ablated(normal(4, 1, 3, 1, 4), 1)


@MEANS("one text of three places", "batch head query dim")
def places(ablated):
    return ablated(normal(5, 1, 2, 3, 4), 0)


@MEANS("one place in four texts", "batch head query dim")
def texts(ablated):
    return ablated(normal(6, 4, 2, 1, 4), 1)


@MEANS("texts and places", "batch head query dim")
def both(ablated):
    return ablated(normal(7, 3, 4, 5, 6), 2)


@MEANS("what was given stays as it is", "batch head query dim")
def given_stays(ablated):
    heads = normal(8, 2, 3, 4, 5)
    ablated(heads, 1)
    return heads


SAID = torch.tensor([[3, 1, 4, 3, 5, 3], [2, 2, 7, 8, 2, 7]])  # one after another, and side by side


@COPIES("a head that looks at what followed has the score 1: 3 1 4 3, and 1 followed 3", "head", degenerate=True)
def copied(score):
    return score(F.one_hot(torch.tensor([0, 0, 0, 1]), 4).float()[None, None], torch.tensor([[3, 1, 4, 3]]))


@COPIES("a token that came twice before: both places count", "head")
def twice(score):
    return score(attention(9, 1, 2, 6), SAID[:1])


@COPIES("a token that follows itself", "head")
def side_by_side(score):
    return score(attention(10, 1, 3, 6), SAID[1:])


@COPIES("two texts, one of which repeats less", "head")
def uneven(score):
    ids = torch.tensor([[1, 2, 3, 4, 5, 1], [1, 2, 1, 2, 1, 2]])
    return score(attention(11, 2, 3, 6), ids)


@COPIES("long texts of few tokens", "head")
def many(score):
    ids = torch.randint(0, 12, (4, 30), generator=torch.Generator().manual_seed(12))
    return score(attention(12, 4, 3, 30), ids)


def adapt(answer):
    """A function of tensors as the subject of the cases; Fault where it returns none."""

    def subject(*given):
        found = call(answer, *given)
        if found is None:
            raise Fault("It returned None: is a `return` missing?")
        if not isinstance(found, torch.Tensor):
            raise Fault(f"It should return a tensor, and returned {type(found).__name__}.")
        return found

    return subject


ASKING, KEYS = "the queries that have a token before", "the keys of the tokens before"
BEFORE, TO_BEFORE = "which key is the token before", "the shares on the token before"
TO_ANY, BY_QUERY = "the shares on it, 0 elsewhere", "the share on it, for each query"
BACK_SUM, BACK_SCORE = "the shares on it, summed", "each head's mean share"


def steps_back(probs):
    """What is computed on the way to the score of the token before: its places picked, or all others left out."""
    seq = probs.shape[-1]
    before = torch.ones(seq, seq).tril(-1).triu(-1) > 0
    queries = torch.arange(1, seq)
    return [
        Step(ASKING, queries, (), axes="query", waypoint=True),
        Step(KEYS, queries - 1, (), axes="query", waypoint=True),
        Step(BEFORE, before, (), axes="query key", waypoint=True),
        Step(TO_ANY, probs * before, (BEFORE,), axes="batch head query key", waypoint=True),
        Step(BY_QUERY, (probs * before).sum(dim=-1), (TO_ANY,), axes="batch head query", waypoint=True),
        Step(TO_BEFORE, probs[:, :, queries, queries - 1], (ASKING, KEYS), axes="batch head query", waypoint=True),
        Step(BACK_SUM, (probs * before).sum(dim=(0, 2, 3)), (), axes="head", waypoint=True),
        Step(BACK_SCORE, previous_score(probs), (BY_QUERY, TO_BEFORE, BACK_SUM), axes="head"),
    ]


NUMBERS, WHICH = "the heads' numbers", "which head it is"
HEAD, HEAD_SUM = "what that head says", "what it says, summed over texts and places"
MEAN, ABLATED = "the head's mean over texts and places", "the head at its mean, the others as they are"


def steps_to_mean(heads, which):
    """What is computed on the way to a head at its mean."""
    head, numbers = heads[:, which], torch.arange(heads.shape[1])
    return [
        Step(NUMBERS, numbers, (), axes="head", waypoint=True),
        Step(WHICH, numbers == which, (), axes="head", waypoint=True),
        Step(HEAD, head, (), axes="batch query dim", waypoint=True),
        Step(HEAD_SUM, head.sum(dim=(0, 1)), (HEAD,), axes="dim", waypoint=True),
        Step(MEAN, head.mean(dim=(0, 1)), (HEAD, HEAD_SUM), axes="dim"),
        Step(ABLATED, mean_ablated(heads, which), (WHICH, MEAN), axes="batch head query dim"),
    ]


STOOD, FOLLOWED = "where the same token stood earlier", "which keys followed it there"
MARKED_SHARES, THERE = "the shares on those keys, 0 elsewhere", "what each query gives to those keys"
COPYING, SUMMED = "which queries have such a key", "the shares on those keys, summed"
COPY_SCORE = "each head's mean over the queries that have one"


def steps_of_copying(probs, ids):
    """What is computed on the way to the score for induction."""
    stood = (ids[:, :, None] == ids[:, None, :]).tril(-1)
    marked = F.pad(stood[:, :, :-1], (1, 0)).tril(-1)
    shares = probs * marked[:, None]
    there = shares.sum(dim=-1)
    return [
        Step(STOOD, stood, (), axes="batch query key", waypoint=True),
        Step(FOLLOWED, marked, (STOOD,), axes="batch query key"),
        Step(MARKED_SHARES, shares, (FOLLOWED,), axes="batch head query key", waypoint=True),
        Step(THERE, there, (MARKED_SHARES,), axes="batch head query", waypoint=True),
        Step(COPYING, marked.any(dim=-1), (), axes="batch query", waypoint=True),
        Step(SUMMED, there.sum(dim=(0, 2)), (THERE,), axes="head", waypoint=True),
        Step(COPY_SCORE, induction_score(probs, ids), (FOLLOWED, SUMMED), axes="head"),
    ]


component.part(previous_score, adapt, BACK, steps_back)
component.part(mean_ablated, adapt, MEANS, steps_to_mean)
component.part(induction_score, adapt, COPIES, steps_of_copying)


# ------------------------------------------------------------------------------------------------- what goes wrong

WRONG_NAME = "A head gets a name that it does not deserve, or none, and nobody sees it from the number."
WRONG_COST = "What the head costs comes out too large or too small; no error says so."


LAST = {"previous_score": BACK_SCORE, "mean_ablated": ABLATED, "induction_score": COPY_SCORE}


def bug(name: str, part: str, *edits, says: str, step: str = ""):
    symptom = WRONG_COST if part == "mean_ablated" else WRONG_NAME
    component.bug(name, part, *edits, step=step or LAST[part], symptom=symptom, says=says)


def divided_by_all(probs):
    return probs.diagonal(offset=-1, dim1=-2, dim2=-1).sum(dim=-1).mean(dim=0) / probs.shape[-1]


def mean_of_texts(probs, ids):
    same = (ids[:, :, None] == ids[:, None, :]).tril(-1)
    marked = F.pad(same[:, :, :-1], (1, 0)).tril(-1)
    there = (probs * marked[:, None]).sum(dim=(-1, -2))
    return (there / marked.any(dim=-1).sum(dim=-1)[:, None]).mean(dim=0)


# fmt: off
bug("the_diagonal", "previous_score", {"queries - 1]": "queries]"},
    says="You count what a token gives to itself, the diagonal. The token before stands one key to the left.")
bug("first_counted", "previous_score", divided_by_all,
    says="The first token has nobody before it: divide by the queries that have one, one fewer than tokens.")
bug("wraps_round", "previous_score", {"torch.arange(1, seq)": "torch.arange(seq)"},
    says="For query 0 the index of its key is −1, and in Python that is the last one. Begin with query 1.")
bug("two_back", "previous_score", {"torch.arange(1, seq)": "torch.arange(2, seq)", "queries - 1]": "queries - 2]"},
    says="That looks two tokens back. One is asked for.")
bug("turned_round", "previous_score", {"queries, queries - 1]": "queries - 1, queries]"},
    says="Query and key are exchanged: what an earlier token gives to a later one is 0.")
bug("one_number", "previous_score", {"dim=(0, 2)": "dim=(0, 1, 2)"},
    says="That is one number for all heads. Average over texts and queries, and keep the heads.")
bug("added_up", "previous_score", {".mean(dim=(0, 2))": ".mean(dim=0).sum(dim=-1)"},
    says="You add up over the queries. Average over them, as over the texts: a perfect head has 1.")
bug("texts_kept", "previous_score", {"dim=(0, 2)": "dim=2"},
    says="That is a number for each text and head. Average over the texts as well.")

bug("changes_what_was_given", "mean_ablated", {"heads.clone()": "heads"},
    says="You write into the tensor that was given, so whoever measures with it again measures the ablated one: "
    "clone it first.")
bug("one_for_all_dims", "mean_ablated", {".mean(dim=(0, 1))": ".mean()"},
    step=MEAN,
    says="That is one number for the whole head. Each of its dims has a mean of its own.")
bug("mean_of_each_text", "mean_ablated", {".mean(dim=(0, 1))": ".mean(dim=1, keepdim=True)"},
    step=MEAN,
    says="That is a mean for each text, which still says something about it. Average over the texts as well.")
bug("mean_of_each_place", "mean_ablated", {".mean(dim=(0, 1))": ".mean(dim=0)"},
    step=MEAN,
    says="That is a mean for each place, which still says where a token stands. Average over the places as well.")
bug("set_to_zero", "mean_ablated", {"heads[:, which].mean(dim=(0, 1))": "0"},
    step=MEAN,
    says="That is zero: it takes away what the head always says, too. Put its mean there.")
bug("mean_of_all_heads", "mean_ablated", {"heads[:, which].mean(dim=(0, 1))": "heads.mean(dim=(0, 1, 2))"},
    step=MEAN,
    says="That is the mean of all heads. Average only what this head says.")
bug("mean_taken_off", "mean_ablated", {"changed[:, which] = ": "changed[:, which] -= "},
    says="You take the mean off and keep what varies. It is the other way round: keep the mean.")
bug("a_token", "mean_ablated",
    {"changed[:, which] =": "changed[:, :, which] =", "heads[:, which].mean(dim=(0, 1))": "heads.mean(dim=(0, 2))"},
    step=MEAN,
    says="The third axis is the place in the text. Heads are the second.")
bug("each_head", "mean_ablated",
    {"changed[:, which] = heads[:, which].mean(dim=(0, 1))": "changed[:] = heads.mean(dim=(0, 2), keepdim=True)"},
    step=MEAN,
    says="All heads say their mean. Only the one that `which` names should.")
bug("all_heads", "mean_ablated", {"changed[:, which]": "changed[:]"},
    says="All heads are replaced. Only the one that `which` names should be.")

bug("the_token_again", "induction_score", {"F.pad(stood[:, :, :-1], (1, 0)).tril(-1)": "stood"},
    step=FOLLOWED,
    says="That looks at the same token again. What *followed* it is asked for: one key to the right.")
bug("what_stood_before", "induction_score", {"F.pad(stood[:, :, :-1], (1, 0))": "F.pad(stood[:, :, 1:], (0, 1))"},
    step=FOLLOWED,
    says="That looks at what stood before the earlier place. What followed it is asked for.")
bug("itself", "induction_score", {"(1, 0)).tril(-1)": "(1, 0))"},
    step=FOLLOWED,
    says="Where a token follows itself, as in 2 2, the key after the first is the query's own place. Leave it out.")
bug("all_queries", "induction_score", {"/ copying.sum()": "/ copying.numel()"},
    says="Most queries have no earlier place to copy from. Divide by those that have one.")
bug("by_marks", "induction_score", {"/ copying.sum()": "/ marked.sum()"},
    says="You divide by the number of marked keys. A query with two of them counts once: divide by the queries.")
bug("query_moved", "induction_score", {"F.pad(stood[:, :, :-1], (1, 0))": "F.pad(stood[:, :-1], (0, 0, 1, 0))"},
    step=FOLLOWED,
    says="You move the marks along the queries. It is the key that goes one on: shift the last axis.")
bug("mean_over_keys", "induction_score", {".sum(dim=-1)": ".mean(dim=-1)"},
    says="Shares of attention are added up over the marked keys, not averaged over all keys.")
bug("each_text_alike", "induction_score", mean_of_texts,
    says="You average the texts' scores. A text with one repeat then counts as much as one with many: add up first, "
    "divide once.")
# fmt: on


# ------------------------------------------------------------------------------------------------------- the answers


def like(name, answer, reference, given, slips):
    """The sentence on a function of tensors: what slip gives the same everywhere, or where it differs."""

    def is_like(slip):
        return all(not same_tensor(name, answer(*(x.clone() for x in each)), slip(*each)) for each in given)

    for each in given:
        mine, wanted = answer(*(x.clone() for x in each)), reference(*each)
        fault = same_tensor(name, mine, wanted)
        if fault:
            told = (says for says, slip in slips.items() if is_like(slip))
            return next(told, fault)
    return ""


def same_word(probs, ids, least=1):
    """How much each head looks at earlier places of the same token; with least=0 at its own place as well."""
    marked = (ids[:, :, None] == ids[:, None, :]).tril(-least)
    return (probs * marked[:, None]).sum(dim=(0, 2, 3)) / marked.any(dim=-1).sum()


def undivided(probs, ids):
    marked = (ids[:, :, None] == ids[:, None, :]).tril(-1)
    return (probs * marked[:, None]).sum(dim=(0, 2, 3)) / ids.numel()


def by_marks(probs, ids):
    marked = (ids[:, :, None] == ids[:, None, :]).tril(-1)
    return (probs * marked[:, None]).sum(dim=(0, 2, 3)) / marked.sum()


def not_beside(probs, ids):
    return same_word(probs, ids, 2)


def later(probs, ids):
    return torch.zeros(probs.shape[1])


WORDS = [(attention(20, 2, 3, 6), SAID), (attention(21, 1, 2, 9), torch.tensor([[1, 2, 1, 3, 1, 2, 9, 9, 9]]))]
SAME_SLIPS = {
    "it still counts what a token gives to itself": lambda probs, ids: same_word(probs, ids, 0),
    "only the queries that have an earlier place count: you divide by all": undivided,
    "you divide by the number of marked keys; a query with two of them counts once": by_marks,
    "the token right before may be the same one, too: leave out the diagonal and nothing else": not_beside,
    "nothing is left: earlier keys lie below the diagonal, and above it attention is 0": later,
}


def judge_same(answer) -> str:
    """The sentence on a score of a head that looks at the same word."""
    return like("mended_same", answer, same_word, WORDS, SAME_SLIPS)


SCORERS = (
    (False, "a score that leaves a token's own place out", same_word),
    (True, "the one above", lambda probs, ids: same_word(probs, ids, 0)),
    (True, "one that looks for what followed, and counts its own place where a token follows itself",
     component.version("induction_score", ("induction_score", {"(1, 0)).tril(-1)": "(1, 0))"}))),
    (False, "the lesson's score for induction", induction_score),
)  # fmt: skip


def judge_probe(answer) -> str:
    """The sentence on a probe for scores that count a token's own place."""
    found = [bool(answer(score)) for _, _, score in SCORERS]
    if found == [not wanted for wanted, _, _ in SCORERS]:
        return "it says the opposite: True is for a score that counts a token's own place"
    if not found[0] and found[1] and not found[2]:
        return ("it should say True of one that looks for what followed, where a token follows itself: give ids in "
                "which a token stands twice side by side, and attention that lies on the diagonal")  # fmt: skip
    return first_fault(*(said(mine == wanted, f"it should say {wanted} of {name}")
                         for mine, (wanted, name, _) in zip(found, SCORERS)))  # fmt: skip


def takes_lead(guesses, right):
    """For each place the row from which on the right token leads up to the end; as many as rows where it does not."""
    rows, found = len(guesses), torch.zeros_like(right)
    for place in torch.cartesian_prod(*(torch.arange(size) for size in right.shape)):
        at, row = tuple(place.tolist()), rows
        while row and guesses[(row - 1, *at)] == right[at]:
            row -= 1
        found[at] = row
    return found


def first_time(guesses, right):
    good = guesses == right
    return torch.where(good.any(dim=0), good.int().argmax(dim=0), len(guesses))


def first_of_winners(guesses, right):
    return torch.where(guesses[-1] == right, first_time(guesses, right), len(guesses))


def from_the_front(guesses, right):
    return (guesses == right).int().cumprod(dim=0).sum(dim=0)


LEADS = [
    (torch.tensor([[[7, 1, 2]], [[5, 1, 9]], [[5, 4, 9]]]), torch.tensor([[5, 1, 9]])),
    (torch.randint(0, 2, (6, 3, 8), generator=torch.Generator().manual_seed(5)), torch.ones(3, 8, dtype=torch.long)),
]
LEAD_SLIPS = {
    "that is the first row in which it leads. It may lose the lead again: count from the end": first_time,
    "leading at the end and once before is not enough: it may lose the lead between. Count from the end":
        first_of_winners,
    "that counts the rows from the front, the embedding, in which it leads. Turn the rows round first": from_the_front,
    "that is the number of rows in which it does not lead, wherever they stand": lambda guesses, right:
        (guesses != right).sum(dim=0),
    "that is one row too early": lambda guesses, right: takes_lead(guesses, right) - 1,
    "that is the number of rows in which it leads": lambda guesses, right: (guesses == right).sum(dim=0),
    "that counts the rows at the end in which it leads: the row where they begin is asked for":
        lambda guesses, right: len(guesses) - takes_lead(guesses, right),
    "where it does not lead in the end the number of rows is asked for": lambda guesses, right: torch.where(
        guesses[-1] == right, takes_lead(guesses, right), -1),
}  # fmt: skip


def judge_lead(answer) -> str:
    """The sentence on a function that says from which row on the right token leads."""
    def whole(guesses, right):
        found = answer(guesses, right)
        return found.long() if isinstance(found, torch.Tensor) and not found.is_floating_point() else found

    return like("takes_the_lead", whole, takes_lead, LEADS, LEAD_SLIPS)


class Block(nn.Module):
    """A layer of a stranger: every token looks at all up to itself alike."""

    def __init__(self, dim: int):
        super().__init__()
        self.before, self.mix = nn.LayerNorm(dim), nn.Linear(dim, dim)

    def forward(self, stream, shares):
        return stream + torch.tanh(self.mix(shares @ self.before(stream)))


class Stranger(nn.Module):
    """A language model of which nothing but the shape is a Llama's: other names, positions added, a LayerNorm last."""

    def __init__(self, vocab: int = 13, dim: int = 8, layers: int = 2):
        super().__init__()
        self.words, self.places = nn.Embedding(vocab, dim), nn.Embedding(16, dim)
        self.blocks = nn.ModuleList(Block(dim) for _ in range(layers))
        self.last, self.out = nn.LayerNorm(dim, eps=0.05), nn.Linear(dim, vocab)

    def forward(self, ids):
        seq = ids.shape[1]
        shares = torch.ones(seq, seq).tril() / torch.arange(1, seq + 1)[:, None]
        stream = self.words(ids) + self.places.weight[:seq]
        for block in self.blocks:
            stream = block(stream, shares)
        return self.out(self.last(stream))


def filled(model, seed: int):
    """The model with random numbers in all its weights, gains and biases included."""
    with torch.no_grad():
        for number, weight in enumerate({id(each): each for each in model.parameters()}.values()):
            weight.copy_(normal(seed + number, *weight.shape) / 2)
    return model


def llama(seed: int, **more):
    """A small Llama, with what a lens needs of it: (model, ids, layers, norm, head)."""
    shape = {"vocab_size": 11, "hidden_size": 8, "intermediate_size": 12, "num_attention_heads": 2,
             "num_key_value_heads": 1, "num_hidden_layers": 3}  # fmt: skip
    model = filled(LlamaForCausalLM(shape | more), seed)
    return model, SAID, model.model.layers, model.model.norm, model.lm_head


def stranger():
    model = filled(Stranger(), 90)
    return model, SAID, model.blocks, model.last, model.out


READERS = {
    "a Llama whose head is its table of words": lambda: llama(30, tie_word_embeddings=True),
    "one with a head of its own and eps = 0.1": lambda: llama(60, tie_word_embeddings=False, rms_norm_eps=0.1),
    "a model with other names that is no Llama": stranger,
}


def streams(model, ids, layers, norm):
    """What goes into the first layer, what comes out of each, and what the norm makes of the last."""
    kept = []
    handles = [layers[0].register_forward_pre_hook(lambda layer, given: kept.append(given[0]))]
    handles += [each.register_forward_hook(lambda part, given, found: kept.append(found)) for each in [*layers, norm]]
    model(ids)
    for handle in handles:
        handle.remove()
    return kept[:-1], kept[-1]


def reads_early(model, ids, layers, norm, head):
    return torch.stack([head(norm(stream)) for stream in streams(model, ids, layers, norm)[0]])


def read_with(read):
    """A slip: read(stream, norm, head, model) instead of what belongs there."""
    return lambda model, ids, layers, norm, head: torch.stack(
        [read(stream, norm, head, model) for stream in streams(model, ids, layers, norm)[0]])  # fmt: skip


def first_norm(model):
    return next(part for name, part in model.named_modules() if name.endswith(("input_layernorm", "before")))


def table(model):
    return next(part for part in model.modules() if isinstance(part, nn.Embedding))


def own_norm(eps, gain=True):
    def read(stream, norm, head, model):
        scaled = stream * (stream.square().mean(dim=-1, keepdim=True) + eps).rsqrt()
        return head(scaled * norm.weight if gain else scaled)

    return read_with(read)


def normed_twice(model, ids, layers, norm, head):
    before, after = streams(model, ids, layers, norm)
    return torch.stack([head(norm(stream)) for stream in [*before[:-1], after]])


def words_alone(model, ids, layers, norm, head):
    return torch.cat([head(norm(table(model)(ids)))[None], reads_early(model, ids, layers, norm, head)[1:]])


BY_HAND = "you write the norm yourself, and its {} is not this model's: call the norm that is given"
MOVED = ("every row belongs to the place {}: you move the places by one. A stream at a place guesses what comes next, "
         "and stands where it is")  # fmt: skip
EARLY_SLIPS = (
    ("the norm is missing: the head was made for a stream that the last norm has scaled",
     read_with(lambda stream, norm, head, model: head(stream))),
    ("that is the norm before the first layer's attention. The head was made for what the last norm gives",
     read_with(lambda stream, norm, head, model: head(first_norm(model)(stream)))),
    ("you read with the table of words. That is the head only where both are tied: call the head that is given",
     read_with(lambda stream, norm, head, model: norm(stream) @ table(model).weight.T)),
    ("those are probabilities. Scores are asked for, before the softmax",
     read_with(lambda stream, norm, head, model: head(norm(stream)).softmax(dim=-1))),
    ("those are logarithms of probabilities. Scores are asked for, before the softmax",
     read_with(lambda stream, norm, head, model: head(norm(stream)).log_softmax(dim=-1))),
    (MOVED.format("before"), read_with(lambda stream, norm, head, model: head(norm(stream)).roll(1, dims=1))),
    (MOVED.format("after"), read_with(lambda stream, norm, head, model: head(norm(stream)).roll(-1, dims=1))),
    ("the last row is normed twice: what you keep last has been through the norm already", normed_twice),
    ("the first row is the word alone; this model adds positions to it. Take what goes into the first layer",
     words_alone),
    ("the rows stand the wrong way round: what goes into the first layer comes first",
     lambda *given: reads_early(*given).flip(0)),
    (BY_HAND.format("eps"), own_norm(1e-6)),
    (BY_HAND.format("eps"), own_norm(1e-5)),
    (BY_HAND.format("gain"), own_norm(1e-6, gain=False)),
)  # fmt: skip


def judge_early(answer) -> str:
    """The sentence on a lens for any model."""
    found = {}
    for name, build in READERS.items():
        model, *given = build()
        try:
            mine = answer(model, *given)
        except Exception as error:
            if not found:
                raise
            return (f"it runs on {', on '.join(found)}; on {name} it raised {type(error).__name__}: {error}. Ask the "
                    "model for nothing by its name: layers, norm and head are given")  # fmt: skip
        if isinstance(mine, list | tuple):
            return "it should return one tensor: stack the rows"
        if not isinstance(mine, torch.Tensor):
            return f"it should return a tensor, got {type(mine).__name__}"
        if any(part._forward_hooks or part._forward_pre_hooks for part in model.modules()):
            return "after the call the model still has hooks: whoever runs it next runs them, too. Remove each of them"
        found[name] = mine.detach()
    for name, build in READERS.items():
        given = build()
        with torch.no_grad():
            wanted, own = reads_early(*given), given[0](given[1])
        rows, mine = len(wanted), found[name]
        if mine.shape == wanted[1:].shape:
            lacks = "before the first layer" if same_tensor("", mine[0], wanted[0], 1e-4) else "after the last layer"
            return f"{rows - 1} layers have {rows} rows, and you have {len(mine)}: the one {lacks} is missing"
        if mine.ndim == wanted.ndim and len(mine) > rows and len(mine) % rows == 0:
            return f"you have {len(mine)} rows, {len(mine) // rows} for each one: run the model once, all hooks hear it"
        fault = same_tensor("read_early", mine, wanted, 1e-4)
        if fault:
            law = mine.shape == wanted.shape and same_tensor("", mine[-1], own, 1e-4)
            more = ". The last row should be what the model says itself" if law else ""
            return next((says for says, slip in EARLY_SLIPS if slips_so(slip, found)), f"of {name}: {fault}{more}")
    return ""


def slips_so(slip, found) -> bool:
    """Whether a slip gives what was found, for every model."""
    with torch.no_grad():
        return all(not same_tensor("", found[name], slip(*build()), 1e-4) for name, build in READERS.items())


ZERO_OFF = {
    36.0: "That is the square of the mean. Each of the three is off by itself: square first, then average.",
    6.0: "That is how far it is off on average, without the square.",
    122.0: "That is the sum of the squares. Divide by how many there are.",
    (122 / 3) ** 0.5: "That is the root of it. The mean of the squares is asked for.",
    14 / 3: "That is off by when the head says its mean.",
}
MEAN_OFF = {
    0.0: "Without the squares the differences cancel: that is what makes it the mean. Square each one.",
    2.0: "That is how far it is off on average, without the square.",
    14.0: "That is the sum of the squares. Divide by how many there are.",
    7.0: "That divides by two. There are three places.",
    (14 / 3) ** 0.5: "That is the root of it. The mean of the squares is asked for.",
    122 / 3: "That is off by when the head says nothing.",
    36.0: "That is the square of the mean: by so much zero is worse.",
}
PAPER = {
    3.0: "That is the sum of the products. It is divided by √dim, and dim is 4.",
    0.75: "That is divided by 4. It is divided by √4.",
    1.0: "Check the last product: −1 · 1.",
    2.5: "Check the last product: −1 · 1 is −1.",
    2.1213203435596424: "That is divided by √2, the root of the number of pairs. dim is 4.",
    1.2247448713915892: "That is the root of 1.5. Only dim is under the root.",
}
PAIR = {
    4.0: "That pairs neighbours, number 0 with number 1. In Llama number 0 goes with number 0 + dim / 2.",
    -1.0: "That is the other half taken as neighbours. In Llama number 0 goes with number 0 + dim / 2.",
    1.0: "That is pair 1, numbers 1 and 3, or pair 0 after the division. Pair 0 is asked for, before it.",
    3.0: "That is both pairs together.",
}


# ----------------------------------------------------------------------------------------------------- the exercises

component.exercises = (
    Exercise(
        name="zero_or_mean",
        kind="predict",
        title="Zero or mean?",
        text="A head of one number says 4, 5 and 9 at three places. The layers after it have learned to expect that. "
        "Set to zero, it is off by what it would have said; set to its mean, by the difference. By how much is the "
        "stream off in each case, as the mean of the squares?",
        task="Type how far off the stream is with zero, and with the mean.",
        difficulty=2,
        importance=4,
        minutes=6,
        hints=(
            "What is the mean of the three? And how far is each of them from it, and from zero?",
            "*With the mean I get 0*: the differences cancel before they are squared. *I get 36*: that is the square "
            "of the mean, not the mean of the squares.",
            "Three squares each time, added up and divided by 3.",
        ),
        starter="zero_off = ...  # a number\nmean_off = ...  # a number",
        answers={"zero_off": typed_number(122 / 3, 0.001, ZERO_OFF), "mean_off": typed_number(14 / 3, 0.001, MEAN_OFF)},
        solution="zero_off = (4**2 + 5**2 + 9**2) / 3\nmean_off = ((4 - 6) ** 2 + (5 - 6) ** 2 + (9 - 6) ** 2) / 3",
        why="The difference is 36, the square of the mean: zero pays for what the head *always* says as well, "
        "although "
        "that told nobody anything.",
    ),
    Exercise(
        name="score_on_paper",
        kind="predict",
        title="A score on paper",
        text="A head of four numbers: the query, already turned, is (1, 2, 0, −1), the key (2, 1, 3, 1). What is the "
        "score that goes into the softmax? And what does rotary's pair 0 add to the sum, before the division?",
        task="Type the score, and what pair 0 adds to the sum of products.",
        difficulty=2,
        importance=4,
        minutes=6,
        hints=(
            "Four products, one sum. What is it divided by before the softmax?",
            "*My pair 0 adds 4*: neighbours are paired in other models. Here a number's partner stands half a head "
            "away. *My score is 3*: something is missing after the sum.",
            "Pair 0 are the numbers 0 and 2. The score is the sum of both pairs, divided by the root of the head's "
            "size.",
        ),
        starter="its_score = ...  # what goes into the softmax\npair_0_adds = ...  # its part of the sum",
        answers={"its_score": typed_number(1.5, 0.001, PAPER), "pair_0_adds": typed_number(2.0, 0.001, PAIR)},
        solution="its_score = (1 * 2 + 2 * 1 + 0 * 3 - 1 * 1) / 2\npair_0_adds = 1 * 2 + 0 * 3",
        why="`explain` draws just that: products pair by pair, one sum, one division, one softmax.",
    ),
    Exercise(
        **own(previous_score, "Say how much of its attention each head gives to the token before."),
        text="Write `previous_score(probs)`: attention probabilities (batch head query key) become one number for "
        "each "
        "head, the mean share that a query gives to the token before it, over all texts and over all queries that "
        "have "
        "one. A head that always looks one back has 1.",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "Which key is the token before query 5? And which query has none?",
            "*A perfect head gets 0.8 of 5 tokens*: the first one is counted, and has nobody before it. *All is 0*: "
            "are query and key exchanged? *It is too large*: is an index −1 among them?",
            "Pick from the last two axes the places (1, 0), (2, 1), (3, 2), … and average over texts and places.",
        ),
        answers={"previous_score": component.parts["previous_score"]},
        why="`probs.diagonal(offset=-1, dim1=-2, dim2=-1)` picks the same places.",
    ),
    Exercise(
        **own(mean_ablated, "Set one head to its mean over all texts and places, and leave the others."),
        text="Write `mean_ablated(heads, which)`: of what all heads gather, (batch head query dim), the head with "
        "the "
        "number `which` says its mean instead, one vector for all texts and places. The others, and what was given, "
        "stay as they are.",
        difficulty=3,
        importance=5,
        minutes=10,
        hints=(
            "Which axes does one vector for all texts and places no longer have?",
            "*It is right the first time and wrong the second*: you write into what was given. *All numbers of the "
            "head "
            "are equal*: the mean goes over its dims, too.",
            "Copy first. Then put into the second axis, at that number, the mean over the first and the third axis.",
        ),
        answers={"mean_ablated": component.parts["mean_ablated"]},
        why="That is what `trace.replace(part, \"mean\")` puts into a running model.",
    ),
    Exercise(
        name="mended_same",
        kind="find the bug",
        title="The word that is always the same",
        text="A score for heads that look at an earlier place of the same token. It finds such heads everywhere, "
        "even in "
        "a model without any: whoever looks at itself passes. Mend it, so that only earlier places count, and only "
        "queries that have one. And write the **probe**: a function that is given such a score and says whether it "
        "counts what a token gives to itself.",
        task="Say whether score(probs, ids) counts what a token gives to itself.",
        difficulty=3,
        importance=4,
        minutes=12,
        hints=(
            "Every token is the same as itself. Which places of a square of queries and keys say so?",
            "*My mended score is far too small*: each query had a marked key before, and now most have none. *My "
            "probe "
            "misses one*: a score may look for what followed; then a token that follows itself leads to its own "
            "place.",
            "For the probe, make attention that lies on the diagonal only, and ids in which a token stands twice "
            "side by "
            "side. A score that leaves the own place out is then 0.",
        ),
        starter='''def mended_same(probs, ids):
    """How much each head looks at the same token, earlier: (head). With a mistake: mend it."""
    marked = (ids[:, :, None] == ids[:, None, :]).tril()
    return (probs * marked[:, None]).sum(dim=(0, 2, 3)) / marked.any(dim=-1).sum()


def counts_itself(score) -> bool:
    """Whether score(probs, ids) counts what a token gives to itself."""
    raise NotImplementedError("Say whether score(probs, ids) counts what a token gives to itself.")''',
        answers={"mended_same": judge_same, "counts_itself": judge_probe},
        solution="""def mended_same(probs, ids):
    marked = (ids[:, :, None] == ids[:, None, :]).tril(-1)
    return (probs * marked[:, None]).sum(dim=(0, 2, 3)) / marked.any(dim=-1).sum()


def counts_itself(score) -> bool:
    probs = torch.eye(6)[None, None]
    return bool(score(probs, torch.tensor([[1, 1, 2, 2, 1, 1]])).abs().max() > 0)""",
        why="The page's table says that no head looks at the same word: 0.04 at most. With the diagonal every head "
        "that "
        "looks at itself would have had that name.",
    ),
    Exercise(
        **own(induction_score, "Say how much each head looks at what followed the same token before."),
        text="Write `induction_score(probs, ids)`: for each head the mean share of attention on the keys that "
        "*followed* "
        "an earlier place of the query's token: after 3 1 4 3, the second 3 should look at 1. Only queries that have "
        "such "
        "a key count, those of all texts alike; a query's own place never does.",
        difficulty=4,
        importance=5,
        minutes=15,
        hints=(
            "First mark where the same token stood earlier, a square of True and False. What moves each mark to the "
            "key "
            "that followed?",
            "*A perfect head gets 0*: your marks stand on the token itself, or one key to the left. *Too small*: do "
            "all "
            "queries count, or those with a mark? *Wrong only for 2 2*: is the query's own place among the marks?",
            "Compare ids with ids, keep what lies below the diagonal, shift along the keys by one, drop the "
            "diagonal. Sum "
            "the marked shares over texts, queries and keys; divide by how many queries have a mark.",
        ),
        answers={"induction_score": component.parts["induction_score"]},
        why="In the shipped model that score names two of twenty heads, and the page's last figure finds the same "
        "two.",
    ),
    Exercise(
        name="takes_the_lead",
        kind="transfer",
        title="Who takes the lead, and when",
        text="`guesses` (row batch seq) holds the leading token of every depth, as the page's lens gives it, the "
        "embedding "
        "first; `right` (batch seq) the token that comes next. Write `takes_the_lead(guesses, right)`: for each "
        "place the "
        "number of the row from which on the right token leads **up to the end**; where it does not lead in the end, "
        "the "
        "number of rows. In the figure that is where a box begins.",
        task="Say from which row on the right token leads up to the end.",
        difficulty=3,
        importance=3,
        minutes=15,
        hints=(
            "A token may lead early, lose, and lead again. From which side do you count?",
            "*I get a row that is too early*: leading once is not enough. *I get how many*: the rows at the end in "
            "which it "
            "leads, and the row in which they begin, add up to all rows.",
            "Compare, turn the rows round, and let a running product keep 1 only as long as all so far were right. "
            "Its sum "
            "says how many rows at the end are right.",
        ),
        starter='''def takes_the_lead(guesses, right):
    """The row from which the right token leads up to the end: (row batch seq), (batch seq) → (batch seq)."""
    raise NotImplementedError("Say from which row on the right token leads up to the end.")''',
        answers={"takes_the_lead": judge_lead},
        why="Averaged over much text it says how deep a model has to think: try it on one of your own.",
        worked="""def takes_the_lead(guesses, right):
    # The answer is one behind the last row that is wrong. So number the rows, from 1 on, keep the numbers of the wrong
    # ones, and take the largest; where no row is wrong, nothing but zeros is left. No order, no loop, no product.
    numbers = torch.arange(1, len(guesses) + 1).view(-1, 1, 1)
    return (numbers * (guesses != right)).amax(dim=0)""",
    ),
    Exercise(
        name="read_early",
        kind="transfer",
        title="A lens for your own model",
        text="For your model of `my_llama`, or anybody's: write `read_early(model, ids, layers, norm, head)`. The last "
        "three are parts of that model, whatever it calls them. What comes out are the logits, (row batch seq vocab), "
        "read before the first layer and after each one. `record` knows Llama's names only; PyTorch has a "
        "**hook**: after `part.register_forward_hook(hook)`, `hook(part, given, found)` is called whenever that part "
        "has run. The law: the last row is what the model says itself.",
        task="Read the stream early, in a model of any names.",
        difficulty=4,
        importance=4,
        minutes=20,
        hints=(
            "Whose norm and whose head do you read with? And how many rows do three layers have?",
            "*Sizes do not match*: are the norm and the head the shipped model's, as in the page's `lens`? *The last "
            "row is not what the model says*: is the norm there, and only once? *It works for one Llama only*: do "
            "you read with the table of words, which is the head only where both are tied? *`stack` finds two "
            "sizes*: `given` is a tuple, `found` is not.",
            "Hang a hook on every layer that keeps what comes out, and one before the first layer that keeps what goes "
            "in: `register_forward_pre_hook`, with `hook(part, given)`. `given` is a tuple. Run the model, remove the "
            "hooks, and read each thing that was kept.",
        ),
        starter='''def read_early(model, ids, layers, norm, head):
    """The logits before the first layer and after each: (batch seq) → (row batch seq vocab)."""
    raise NotImplementedError("Read the stream early, in a model of any names.")''',
        answers={"read_early": judge_early},
        why="Of a Llama: `read_early(model, ids, model.model.layers, model.model.norm, model.lm_head)`. Where a layer "
        "gives a tuple, as GPT-2's does in some libraries, the stream is its first.",
        worked="""def read_early(model, ids, layers, norm, head):
    # Do not read the stream at all: let the model stop. A hook that returns something puts it in the place of what the
    # layer gave, so a layer that gives back what came in is not there. Norm and head are then the model's own business,
    # and the law holds by itself: with no layer skipped it is the model.
    rows = []
    for kept in range(len(layers) + 1):
        skips = [layer.register_forward_hook(lambda layer, given, found: given[0]) for layer in layers[kept:]]
        rows.append(model(ids))
        for skip in skips:
            skip.remove()
    return torch.stack(rows)""",
    ),
)
