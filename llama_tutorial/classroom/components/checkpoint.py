"""Names, shapes and the order of rows between a file and a model: what must hold, what goes wrong, the exercises.

Subjects are called as tensor_shapes(config) and to_halves(weight, heads). What the lesson does not export, the first
module that is off, is called as first_off(ours, theirs) and gives the place of the name; −1 is none.
"""

import re
from functools import cache, partial

import torch

from ...causal_lm import LlamaForCausalLM
from ...checkpoint import tensor_shapes, to_halves, translate_config
from ...config import LlamaConfig
from ...generation import load_shipped
from ..course.exercise import Exercise, chosen, first_fault, own, said, same_tensor, typed_number
from ..judge.guard import Fault, call
from ..judge.parts import Cases, Component, Step
from ..judge.subjects import normal
from ..judge.tracing import Group, locate_names

component = Component("checkpoint")
SIZES = {
    "vocab_size": 37, "hidden_size": 24, "intermediate_size": 52, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "head_dim": 10,
}  # fmt: skip
BIAS = r"\.bias$"
AGREE = torch.ones(1)  # what a case gives where every name has its shape


# ------------------------------------------------------------------------------------------------- what must hold

SHAPES = Cases()


def listed(shapes, config) -> dict:
    """What the learner's function gives; Fault where it is no dict of tuples by name."""
    found = call(shapes, config)
    if not isinstance(found, dict):
        raise Fault(f"It returned a {type(found).__name__}, where a dict of shapes by name belongs.")
    for name, shape in found.items():
        if not isinstance(name, str) or not isinstance(shape, tuple):
            raise Fault(f"A name is a str and a shape a tuple, such as (37, 24); it gave {name!r:.60}: {shape!r:.60}.")
    return found


def agree(shapes, part: str, **fields):
    """AGREE where the names that hold the pattern `part` have the model's shapes; Fault that names what differs."""
    config = LlamaConfig(SIZES, **fields)
    found, wanted = ({name: shape for name, shape in each.items() if re.search(part, name)}
                     for each in (listed(shapes, config), tensor_shapes(config)))  # fmt: skip
    told = [f"{name} is missing" for name in wanted if name not in found]
    told += [f"{name} belongs to no tensor of this model" for name in sorted(found) if name not in wanted]
    told += [f"{name} is {tuple(found[name])}, where the model holds {shape}"
             for name, shape in wanted.items() if name in found and found[name] != shape]  # fmt: skip
    if told:
        raise Fault("; ".join(told[:2]) + (f"; and {len(told) - 2} more." if len(told) > 2 else "."))
    return AGREE


def agrees(name: str, says: str, part: str, **fields):
    """Enter the case `name`: the names that hold the pattern `part` agree with those of a model of these fields."""
    SHAPES(says)(lambda shapes: agree(shapes, part, **fields)).__name__ = name


agrees("outside", "the table of tokens and the last norm stand outside the layers", r"embed_tokens|^(model\.)?norm")


@SHAPES("layers are numbered from 0")
def numbered(shapes):
    found = [re.search(r"layers\.(\d+)\.", name) for name in listed(shapes, LlamaConfig(SIZES))]
    numbers = sorted({int(number[1]) for number in found if number})
    if numbers != [0, 1, 2]:
        raise Fault(f"Three layers are numbered {numbers or 'not at all'}, where 0, 1, 2 belong.")
    return AGREE


agrees("norms", "each layer has two norms, each a gain for every dimension", "layernorm")
agrees("queries", "q has a row for each number of each head", "q_proj")
agrees("keys_and_values", "k and v have rows for num_key_value_heads", "[kv]_proj")
agrees("leads_back", "o leads from the heads back to the hidden size", "o_proj")
agrees("mlp", "gate and up lead into the MLP, down leads back", "mlp")
agrees("attention_biases", "attention_bias: q, k, v and o have biases, the MLP has none", BIAS, attention_bias=True)
agrees("mlp_biases", "mlp_bias: gate, up and down have biases, attention has none", BIAS, mlp_bias=True)
agrees("no_biases", "no biases unless they are asked for", BIAS)
agrees("tied", "tables that are tied: there is no lm_head", "lm_head", tie_word_embeddings=True)
agrees("untied", "tables that are not tied: lm_head is one of its own", "lm_head", tie_word_embeddings=False)
ALL = {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False}
agrees("everything", "every name of an untied model with all biases", "", **ALL)

ROWS = Cases()


def moves(name: str, says: str, rows: int, columns: int, heads: int, *dtypes: torch.dtype):
    """Enter the case `name`: so many rows of so many heads are moved."""
    weights = [normal(rows, rows, columns, dtype=dtype) for dtype in dtypes or (torch.float32,)]
    ROWS(says, "row column")(lambda move: tuple(move(weight, heads) for weight in weights)).__name__ = name


moves("one_head", "one head of three pairs: first numbers, then second numbers", 6, 4, 1)
moves("many_heads", "every head by itself", 30, 20, 5)
moves("square", "columns stay in their places", 24, 24, 4)
moves("few_heads", "two heads, as k has", 20, 8, 2)
moves("wide_heads", "a head of 64 numbers", 192, 12, 3)
moves("dtypes", "bfloat16 and float64 stay what they are", 12, 8, 2, torch.bfloat16, torch.float64)


def plainly(function):
    return partial(call, function)


TABLE_OF_TOKENS, NUMBERING, NORMS = "the table of tokens", "the numbering of the layers", "the norms of a layer"
Q, K_AND_V, O_BACK, MLP = "q", "k and v", "o, which leads back", "gate, up and down"
ATTENTION_BIASES, MLP_BIASES = "the biases of attention, if asked for", "the biases of the MLP, if asked for"
LAST_NORM, LM_HEAD = "the last norm", "lm_head, if the tables are not tied"
GROUPS = {
    TABLE_OF_TOKENS: "embed_tokens", NUMBERING: r"layers\.(\d+)\.", NORMS: r"layers\.\d+\..*norm", Q: r"q_proj\.weight",
    K_AND_V: r"[kv]_proj\.weight", O_BACK: r"o_proj\.weight", MLP: r"(?:gate|up|down)_proj\.weight",
    ATTENTION_BIASES: r"[qkvo]_proj\.bias", MLP_BIASES: r"(?:gate|up|down)_proj\.bias", LAST_NORM: "norm",
    LM_HEAD: "lm_head", "no other names": "",
}  # fmt: skip


def groups(config):
    """The names and shapes of a model, in groups."""
    left, found = tensor_shapes(config), []
    for name, pattern in GROUPS.items():
        value = {each: left.pop(each) for each in list(left) if name != NUMBERING and re.search(pattern, each)}
        value = dict.fromkeys(range(config.num_hidden_layers), ()) if name == NUMBERING else value
        found.append(Group(name, value, pattern=pattern))
    return found


AS_PAIRS, NUMBERED, ORDER = "the rows as (head pair two)", "the rows' numbers", "the rows' numbers in their new order"
MOVED = "the rows as (head two pair): in each head the first of every pair, then the second"


def steps(weight, heads):
    """What is done to the rows, or by some to the numbers of the rows first."""
    pairs, numbers = weight.reshape(heads, -1, 2, weight.shape[1]), torch.arange(len(weight))
    return [
        Step(AS_PAIRS, pairs, (), waypoint=True, shaped=True, ordered=True),
        Step(NUMBERED, numbers, (), waypoint=True, ordered=True),
        Step(ORDER, to_halves(numbers[:, None], heads)[:, 0], waypoint=True, ordered=True),
        Step(MOVED, to_halves(weight, heads), (AS_PAIRS, ORDER), axes="row column", ordered=True),
    ]


component.part(tensor_shapes, plainly, SHAPES, groups, locate_names)
component.part(to_halves, plainly, ROWS, steps)


# What no lesson exports: the first module that is off.


def first_off(ours, theirs):
    """The first module whose numbers are off, at some token, by more than 1e-5 of their size; None if none is."""
    for name, wanted in theirs.items():
        off = (ours[name] - wanted).norm(dim=-1)
        if not (off <= 1e-5 * wanted.norm(dim=-1)).all():  # asked like this, a NaN is off as well
            return name
    return None


FIRST = Cases()
MODULES = "norm embed q attention mlp scores".split()  # not in the order of the alphabet


def records(count: int = 5) -> dict:
    """What six modules give, of very different sizes, in the order of computing."""
    return {name: 10.0 ** (i - 3) * normal(60 + i, 1, count, 8) for i, name in enumerate(MODULES)}


def rounded(theirs: dict) -> dict:
    """The same numbers, rounded a little otherwise at every token."""
    return {name: x + 1e-7 * x.norm(dim=-1, keepdim=True) * normal(70 + i, *x.shape)
            for i, (name, x) in enumerate(theirs.items())}  # fmt: skip


def moved(theirs: dict, name: str, tokens, by: float) -> dict:
    """The numbers of one module made larger by a share, at some tokens."""
    x = theirs[name].clone()
    x[:, tokens] *= 1 + by
    return {**theirs, name: x}


def tells_first(found, wanted) -> str:
    """Which module is named, and which one should be."""
    mine, right = (None if place < 0 else MODULES[int(place)] for place in (found, wanted))
    belongs = "none is off" if right is None else f"the first that is off is {right!r}"
    return f"The modules are {', '.join(map(repr, MODULES))}. You give {mine!r}; {belongs}."


def finds(name: str, says: str, ours: dict, theirs: dict, degenerate: bool = False):
    """Enter the case `name`: where in their order the first module stands that is off."""
    FIRST(says, tell=tells_first, degenerate=degenerate)(lambda first: first(ours, theirs)).__name__ = name


SOUND, ALL = records(), slice(None)
finds("nothing_off", "two models that are equal: None", SOUND, SOUND)
finds("one_off", "one module is off at every token", moved(SOUND, "q", ALL, 0.5), SOUND)
FOUR = SOUND
for part, by in {"q": 0.01, "attention": 0.5, "mlp": 0.9, "scores": 0.1}.items():
    FOUR = moved(FOUR, part, ALL, by)
finds("four_off", "four are off, later ones by more: the first is named", FOUR, SOUND, degenerate=True)
finds("their_order", "ours come in another order: theirs counts", dict(sorted(FOUR.items())), SOUND, degenerate=True)
finds("small_numbers", "numbers of a thousandth, off by a hundredth of that", moved(SOUND, "norm", ALL, 0.01), SOUND)
finds("rounding", "rounding alone, in small numbers and in large: None", rounded(SOUND), SOUND)
finds("one_token", "one token of five is off, and by little", moved(SOUND, "attention", 3, 3e-5), SOUND)
finds("first_token", "the first token alone is off", moved(SOUND, "attention", 0, 0.2), SOUND)
finds("last_token", "the last token alone is off", moved(SOUND, "mlp", -1, -0.2), SOUND)
finds("too_low", "every number of a module is too low", {**SOUND, "q": SOUND["q"] - 0.1}, SOUND)
UNEVEN = {name: x * torch.tensor([1, 1, 1e-4, 1, 1])[:, None] for name, x in SOUND.items()}
UPSIDE_DOWN = {**SOUND, "attention": SOUND["attention"].flip(-1)}
finds("other_places", "the numbers of a module in other places, as with a wrong pairing", UPSIDE_DOWN, SOUND)
finds("small_token", "a token whose numbers are small beside the others' is off", moved(UNEVEN, "q", 2, 0.03), UNEVEN)
finds("zeros", "a token of zeros in both is not off", *2 * (moved(SOUND, "q", 1, -1.0),), degenerate=True)
finds("not_a_number", "a NaN is off", moved(SOUND, "mlp", 2, torch.nan), SOUND, degenerate=True)
LONG = records(300)
finds("whole", "300 tokens, one of them off by 5e-5 of its size", moved(rounded(LONG), "mlp", 217, 5e-5), LONG)


def adapt_first(function):
    """A function that names a module, on copies, as the place of that name; −1 for None."""

    def first(ours, theirs):
        found = function(*({name: x.clone() for name, x in each.items()} for each in (ours, theirs)))
        if found is not None and (not isinstance(found, str) or found not in theirs):
            raise Fault(f"It should return a module's name, or None where none is off; it gave {found!r:.60}.")
        return torch.tensor(-1.0 if found is None else float([*theirs].index(found)))

    return first


DIFFERENCE = "what the two give, one less the other"
GAP, LENGTH = "the length of the difference, one number a token", "the length of theirs, one number a token"


def steps_first(ours, theirs):
    """What is asked of the first module that is off, or of the first of all; others are on the way, and no step.

    Where several are off, it is the order that is judged, and no step has to be there.
    """
    asked = first_off(ours, theirs) or next(iter(theirs))
    several = sum(first_off(ours, {name: x}) is not None for name, x in theirs.items()) > 1

    def of(name):
        off = ours[name] - theirs[name]
        return zip((DIFFERENCE, GAP, LENGTH), (off, off.norm(dim=-1), theirs[name].norm(dim=-1)))

    others = [Step("another module's", value, (), waypoint=True)
              for name in theirs if name != asked for _, value in of(name)]  # fmt: skip
    after = {DIFFERENCE: (), GAP: (DIFFERENCE,), LENGTH: ()}
    steps = [Step(name, value, after[name], waypoint=several or name == DIFFERENCE)
             for name, value in of(asked)]  # fmt: skip
    answer = Step("the name", torch.empty(0), (GAP, LENGTH), waypoint=True)  # no tensor: numbers end before it
    return [*others, *steps, answer]


component.part(first_off, adapt_first, FIRST, steps_first)


# ------------------------------------------------------------------------------------------------- what goes wrong

bug = component.bug
REFUSED = "A sound file is refused: a tensor is missing, unknown, or of another shape."
EVERY = '{name}": shape'  # of each layer's tensors, biases among them


def turned(names: str) -> dict:
    """The edit that turns the shapes of matrices whose name holds one of `names`, once their biases are made."""
    return {EVERY: f'{EVERY}[::-1] if any(part in name for part in "{names}".split()) else shape'}


bug(
    "lists_lm_head_when_tied", "tensor_shapes", {"{} if config.tie_word_embeddings else ": ""},
    step=LM_HEAD, symptom="A model with tied tables cannot be loaded: the file holds no lm_head.weight.",
    says="You list lm_head.weight although the tables are tied: then one tensor serves both, and the file holds it "
    "once. List it only without tie_word_embeddings.",
)  # fmt: skip
bug(
    "forgets_lm_head", "tensor_shapes", {'{} if config.tie_word_embeddings else {"lm_head.weight": table}': "{}"},
    step=LM_HEAD, symptom="A model with two tables is refused for a lm_head.weight that nobody has a place for.",
    says="lm_head.weight is never listed. Without tie_word_embeddings there is a second table, (vocab, hidden).",
)  # fmt: skip
bug(
    "lm_head_turned", "tensor_shapes", {'"lm_head.weight": table': '"lm_head.weight": table[::-1]'},
    step=LM_HEAD, symptom=REFUSED,
    says="lm_head.weight is turned round: nn.Linear keeps (out, in), and out is the vocabulary.",
)  # fmt: skip
bug(
    "table_turned", "tensor_shapes", {'_tokens.weight": table': '_tokens.weight": table[::-1]'},
    step=TABLE_OF_TOKENS, symptom=REFUSED,
    says="The table of tokens is turned round: it has a row for each token, (vocab, hidden).",
)  # fmt: skip
bug(
    "forgets_biases", "with_biases", {"biases if biased else {}": "{}"},
    step=ATTENTION_BIASES,
    symptom="None with Llama, which has no biases. A model that has them is refused for unknown tensors.",
    says="There are no biases. attention_bias gives q, k, v and o one each, mlp_bias gate, up and down.",
)  # fmt: skip
bug(
    "biases_always", "with_biases", {"biases if biased else {}": "biases"},
    step=ATTENTION_BIASES, symptom="Every Llama is refused: a bias is missing.",
    says="You list biases that nobody asked for: only attention_bias and mlp_bias bring them.",
)  # fmt: skip
BOTH = "config.attention_bias or config.mlp_bias"
bug(
    "one_switch_for_all_biases", "tensor_shapes",
    {"attention, config.attention_bias": f"attention, {BOTH}", "mlp, config.mlp_bias": f"mlp, {BOTH}"},
    {"config.mlp_bias": "config.attention_bias"},
    step=MLP_BIASES, symptom="A model with biases in one half of its layers only is refused.",
    says="One switch turns on all biases. attention_bias is for q, k, v and o; mlp_bias for gate, up and down.",
)  # fmt: skip
bug(
    "no_bias_in_o", "with_biases", {"weights.items()}": 'weights.items() if "o_proj" not in name}'},
    step=ATTENTION_BIASES, symptom="A Llama with attention_bias is refused: the file holds a bias of o_proj.",
    says="o_proj has no bias in your list. That is Qwen's way; Llama's attention_bias is for all four.",
)  # fmt: skip
bug(
    "bias_as_long_as_the_input", "with_biases", {"shape[:1]": "shape[1:]"}, step=ATTENTION_BIASES, symptom=REFUSED,
    says="A bias is as long as its matrix has columns in your list. It is added to what comes out, so it is as long "
    "as there are rows: the first number of the shape.",
)  # fmt: skip
bug(
    "norms_with_biases", "tensor_shapes",
    {f'"{name}.weight": (hidden,)': f'"{name}.weight": (hidden,), "{name}.bias": (hidden,)'
     for name in ("input_layernorm", "post_attention_layernorm", "model.norm")}, step=NORMS, symptom=REFUSED,
    says="The norms have biases in your list. RMSNorm has a gain and nothing else.",
)  # fmt: skip
bug(
    "o_like_q", "tensor_shapes", turned("o_proj"), {'"o": (hidden, q)': '"o": (q, hidden)'},
    step=O_BACK, symptom="None while heads · head_dim is hidden_size, as in Llama: then o_proj is square.",
    says="o_proj has the shape of q_proj. It leads back: hidden rows, and a column for each number of each head.",
)  # fmt: skip
bug(
    "down_like_up", "tensor_shapes", turned("down"), {'"down": (hidden, ffn)': '"down": (ffn, hidden)'},
    step=MLP, symptom=REFUSED,
    says="down_proj has the shape of gate and up. It leads back: (hidden, intermediate).",
)  # fmt: skip
bug(
    "all_turned", "tensor_shapes", turned("_proj"), step=Q, symptom=REFUSED,
    says="The matrices are turned round: you have (in, out), as in x W. nn.Linear keeps (out, in).",
)  # fmt: skip
IN_OUT = "weights = {name: shape[::-1] for name, shape in weights.items()}"
component.also("all_turned", "with_biases", {"    biases =": f"    {IN_OUT}\n    biases ="})
bug(
    "head_dim_from_hidden", "tensor_shapes", {"config.head_dim": "config.hidden_size // config.num_attention_heads"},
    step=Q, symptom="None with Llama, where head_dim is hidden_size / heads. Models that choose another are refused.",
    says="You take head_dim to be hidden_size / num_attention_heads. A config may say another: use its head_dim.",
)  # fmt: skip
bug(
    "as_many_kv_heads", "tensor_shapes", {"config.num_key_value_heads": "config.num_attention_heads"},
    step=K_AND_V, symptom="None with Llama 2 7B, which has as many key-value heads as heads. Every Llama 3 is refused.",
    says="k and v have as many heads as q in your list. They have num_key_value_heads.",
)  # fmt: skip
DEPTH = "range(config.num_hidden_layers)"
bug(
    "layers_from_one", "tensor_shapes", {DEPTH: "range(1, config.num_hidden_layers + 1)"},
    step=NUMBERING, symptom=REFUSED,
    says="Your layers are numbered from 1. The first is model.layers.0.",
)  # fmt: skip
bug(
    "one_layer", "tensor_shapes", {DEPTH: "range(1)"},
    step=NUMBERING, symptom="A file with more layers is refused for unknown tensors.",
    says="Only one layer is listed. There are num_hidden_layers of them, each with the same names.",
)  # fmt: skip
bug(
    "without_model", "tensor_shapes",
    {"model.embed_tokens": "embed_tokens", "model.layers": "layers", "model.norm": "norm"},
    step=TABLE_OF_TOKENS, symptom=REFUSED,
    says="The names lack their beginning: all but lm_head stand inside `model.`.",
)  # fmt: skip
bug(
    "forgets_the_last_norm", "tensor_shapes", {', "model.norm.weight": (hidden,)': ""},
    step=LAST_NORM, symptom="Every file is refused for a model.norm.weight that nobody has a place for.",
    says="The last norm is missing: model.norm.weight stands after the layers.",
)  # fmt: skip

LATER = "The first token is right, all others are not."
ONE_HEAD = "None with one head. With several, the first token is right and all others are not."
PATTERN = '"(head pair two) hidden -> (head two pair) hidden"'
MOVE = f"rearrange(weight, {PATTERN}, head=heads, two=2)"
CUT = "weight.reshape(heads, -1, 2, weight.shape[1])"
bug(
    "the_way_back", "to_halves", {PATTERN: '"(head two pair) hidden -> (head pair two) hidden"'},
    step=MOVED, symptom="The first token is right, all others are not: pairs are turned that do not belong together.",
    says="You go the other way: halves become neighbours. Read rows as (head pair two), write them as "
    "(head two pair).",
)  # fmt: skip
bug(
    "one_head_for_all", "to_halves", {f"{PATTERN}, head=heads": '"(pair two) h -> (two pair) h"'},
    step=MOVED, symptom=ONE_HEAD,
    says="All rows are taken for one head: the first half of yours holds first numbers of all heads. "
    "Keep each head together: (head two pair).",
)  # fmt: skip
bug(
    "columns", "to_halves", {PATTERN: '"rows (head pair two) -> rows (head two pair)"'},
    {MOVE: 'rearrange(weight.T, "(pair two) rows -> (two pair) rows", two=2).T'},
    step=MOVED, symptom="The first token is right, all others are not: q and k read other numbers than they learnt to.",
    says="You move columns. What a head gives stands in rows; columns are what comes in, and stay.",
)  # fmt: skip
bug(
    "heads_taken_for_pairs", "to_halves", {"head=heads": "pair=heads"}, step=MOVED, symptom=LATER,
    says="You count `heads` pairs in each head, where there are `heads` heads. Name it: head=heads.",
)  # fmt: skip
bug(
    "reshaped_only", "to_halves", {MOVE: f"{CUT}.reshape(heads, 2, -1, weight.shape[1]).reshape(weight.shape).clone()"},
    step=MOVED, symptom="The first token is right, all others are not, as if nothing had been done.",
    says="Every row stands where it stood: a reshape alone moves nothing. Exchange the axes pair and two in between.",
)  # fmt: skip
bug(
    "halves_exchanged", "to_halves", {MOVE: f"{CUT}.transpose(1, 2).flip(1).reshape(weight.shape)"},
    step=MOVED, symptom="The first token is right; the others are off, since every angle turns the other way.",
    says="The halves are exchanged: the second number of each pair comes first in yours.",
)  # fmt: skip
bug(
    "heads_moved", "to_halves", {MOVE: f"{CUT}.transpose(0, 1).reshape(weight.shape)"},
    {MOVE: f"{CUT}.transpose(0, 2).reshape(weight.shape)"}, step=MOVED, symptom=ONE_HEAD,
    says="You exchange heads with something else. Heads stay in their order; pair and two change places within each.",
)  # fmt: skip
bug(
    "in_float32", "to_halves", {"rearrange(weight": "rearrange(weight.float()"},
    step=MOVED,
    symptom="An error about dtypes in a bfloat16 model; where something converts back, only time and memory.",
    says="It returns float32 whatever it is given. Moving rows changes no number: keep the weight's dtype.",
)  # fmt: skip

OFF, SIZE = "(ours[name] - wanted).norm(dim=-1)", "1e-5 * wanted.norm(dim=-1)"
NOT_ALL = f"not (off <= {SIZE}).all()"


def of_first(name: str, symptom: str, *edits, says: str, step=""):
    bug(name, "first_off", *edits, step=step, symptom=symptom, says=says)


of_first(
    "absolute_gap", "A broken module with small numbers passes, and a sound one with large numbers does not.",
    {SIZE: "1e-5"}, {SIZE: "1e-3"}, {NOT_ALL: "not torch.allclose(ours[name], wanted, rtol=0, atol=1e-3)"},
    {NOT_ALL: "not torch.allclose(ours[name], wanted, atol=1e-3)"},
    {NOT_ALL: "not torch.allclose(ours[name], wanted, atol=1e-5)"}, {NOT_ALL: "(off > 1e-5).any()"},
    step=LENGTH,
    says="You compare the gap itself with a limit. Small numbers then hide a mistake, and large ones are called off "
    "for their rounding: divide by the size of theirs, or make the limit a share of it.",
)  # fmt: skip
of_first(
    "each_number_alone", "Sound modules are called off.",
    {NOT_ALL: "not torch.allclose(ours[name], wanted, rtol=1e-5, atol=0)"},
    {NOT_ALL: "not torch.allclose(ours[name], wanted)"},
    {NOT_ALL: "not ((ours[name] - wanted).abs() <= 1e-5 * wanted.abs()).all()"},
    {NOT_ALL: "((ours[name] - wanted).abs() > 1e-5 * wanted.abs()).any()"},
    step=(GAP, LENGTH),
    says="You compare each number with its own size. A number near 0 among large ones is rounded as they are: take "
    "the size of the token's whole vector.",
)  # fmt: skip
of_first(
    "all_tokens_at_once", "A mistake at one token of a long text is missed.",
    {OFF: "(ours[name] - wanted).norm()", SIZE: "1e-5 * wanted.norm()"}, {SIZE: "1e-5 * wanted.norm()"},
    {NOT_ALL: "(ours[name] - wanted).norm() > 1e-5 * wanted.norm()"},
    {NOT_ALL: f"not off.mean() <= ({SIZE}).mean()"}, {NOT_ALL: f"off.mean() > ({SIZE}).mean()"},
    step=(GAP, LENGTH),
    says="You take one size for all tokens. One token that is off drowns among the others: norm(dim=-1) gives each "
    "token its own.",
)  # fmt: skip
of_first(
    "norm_over_tokens", "A token with small numbers drowns among the others.",
    {OFF: "(ours[name] - wanted).norm(dim=1)", SIZE: "1e-5 * wanted.norm(dim=1)"},
    {OFF: "(ours[name] - wanted).norm(dim=-2)", NOT_ALL: "(off > 1e-5 * wanted.norm(dim=-2)).any()"},
    step=GAP,
    says="Your norms run over the tokens and leave a number for each dimension. They run over dim, the last axis, and "
    "leave one for each token.",
)  # fmt: skip
of_first(
    "difference_of_lengths", "A wrong pairing is not seen: it moves numbers, and their length stays.",
    {OFF: "(ours[name].norm(dim=-1) - wanted.norm(dim=-1)).abs()"},
    {NOT_ALL: "((ours[name].norm(dim=-1) / wanted.norm(dim=-1) - 1).abs() > 1e-5).any()"},
    step=GAP,
    says="You compare two lengths. Vectors of one length can point anywhere: take the difference first, then its "
    "length.",
)  # fmt: skip
of_first(
    "too_large_a_limit", "A mistake that is only somewhat larger than rounding passes.",
    {SIZE: "1e-3 * wanted.norm(dim=-1)"}, {SIZE: "1e-4 * wanted.norm(dim=-1)"},
    {OFF: "(ours[name] - wanted).pow(2).sum(dim=-1)", SIZE: "1e-5 * wanted.pow(2).sum(dim=-1)"},
    says="Your limit is more than 1e-5 of the length. Where squares are compared, it is the root of 1e-5, 0.3 %.",
)  # fmt: skip
of_first(
    "names_nothing", "No mistake is ever found.", {"return name": "pass"},
    says="It gives None, whatever is off. Return the name from within the loop.",
)  # fmt: skip
of_first(
    "stops_at_the_first", "Only a mistake in the first module is ever found.",
    {"\n    return None": "\n        return None"},
    says="You say None as soon as one module agrees. That is known only after the last: behind the loop.",
)  # fmt: skip
of_first(
    "off_only_if_everywhere", "What is right at the first token, as with a wrong pairing, is not seen.",
    {".all()": ".any()"}, {NOT_ALL: f"(off > {SIZE}).all()"},
    says="You ask that every token be off. One is enough.",
)  # fmt: skip
of_first(
    "one_token_looked_at", "What goes wrong at other tokens is not seen.",
    {f"(off <= {SIZE}).all()": f"(off <= {SIZE})[..., -1].all()"},
    {f"(off <= {SIZE}).all()": f"(off <= {SIZE})[..., 0].all()"},
    says="You look at one token. Any token may be the one that is off.",
)  # fmt: skip
of_first(
    "signed_gap", "Modules whose numbers are too low pass.", {OFF: "(ours[name] - wanted).amax(dim=-1)"},
    says="The sign of the difference counts in yours: what is too low, or too low in most places, passes.",
)  # fmt: skip
of_first(
    "nan_passes", "A model full of NaN is said to agree.", {NOT_ALL: f"(off > {SIZE}).any()"},
    {NOT_ALL: "(off / wanted.norm(dim=-1).clamp(min=1e-30) > 1e-5).any()"},
    says="A NaN passes: every comparison with it is False. Ask whether all are within the limit, and deny that.",
)  # fmt: skip
of_first(
    "nothing_by_nothing", "A token of zeros is called off.", {f"off <= {SIZE}": "off / wanted.norm(dim=-1) <= 1e-5"},
    says="A token of zeros is 0/0, which is NaN. Compare off with a share of the size, and nothing is divided.",
)  # fmt: skip
of_first(
    "last_off", "It names a module far behind the mistake.", {"in theirs.items()": "in reversed(theirs.items())"},
    says="You name the last module that is off. Behind a mistake all are; the first one stands at it.",
)  # fmt: skip
of_first(
    "by_alphabet", "It names a module far behind the mistake.", {"theirs.items()": "sorted(theirs.items())"},
    {"name, wanted in theirs.items()": "name, wanted in ((name, theirs[name]) for name in ours)"},
    says="You go through the names in another order than theirs, which is the order of computing.",
)  # fmt: skip


def most_off(ours, theirs):
    """The mistake of naming the module whose gap is the largest."""
    off = {name: ((ours[name] - right).norm(dim=-1) / right.norm(dim=-1)).max() for name, right in theirs.items()}
    worst = max(off, key=off.get)
    return worst if off[worst] > 1e-5 else None


of_first(
    "most_off", "It names the scores, or whatever grows.", most_off,
    says="You name the module with the largest gap. A gap grows on its way: the first one stands at the mistake.",
)  # fmt: skip


# ----------------------------------------------------------------------------------------------------- the exercises

TABLE = 128256 * 2048  # the numbers of Llama 3.2 1B's table of tokens
TIED = {
    TABLE: "that is how many numbers there are; each takes two bytes",
    4 * TABLE: "that is two tables, or four bytes a number; tied is one table, of two bytes a number",
}
UNTIED = {
    2 * TABLE: "that is one table; untied, the head has its own",
    8 * TABLE: "that is in float32; bfloat16 has two bytes a number",
}


def tiny(heads: int, kv: int) -> tuple[LlamaConfig, dict]:
    """A Llama small enough to run in milliseconds, with heads of eight numbers, and its weights by name."""
    config = LlamaConfig(vocab_size=100, hidden_size=32, intermediate_size=24, num_hidden_layers=2, head_dim=8,
                         num_attention_heads=heads, num_key_value_heads=kv)  # fmt: skip
    shapes = tensor_shapes(config)
    return config, {name: 0.5 * normal(seed, *shape) for seed, (name, shape) in enumerate(shapes.items())}


def in_pairing(move, theirs, **heads) -> dict:
    """The tensors with the rows of q and k moved, each cut into so many heads."""
    parts = {name: name.split(".")[-2].removesuffix("_proj") for name in theirs}
    return {name: move(weight, heads[parts[name]]) if parts[name] in heads else weight
            for name, weight in theirs.items()}  # fmt: skip


def to_neighbours(weight, heads):
    """Rows from halves to neighbours: the way back."""
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).reshape(weight.shape)


def judge_pairing(answer) -> str:
    faults = []
    for heads, kv in ((4, 2), (4, 1), (4, 4)):
        config, theirs = tiny(heads, kv)
        mine, wanted = answer(dict(theirs), config), in_pairing(to_halves, theirs, q=heads, k=kv)
        if not isinstance(mine, dict) or mine.keys() != wanted.keys():
            return "mended_pairing should return every tensor under the name that it came with"
        slips = {
            "v is moved as well: nothing turns it, so its rows stay": in_pairing(
                to_halves, theirs, q=heads, k=kv, v=kv),
            "k stays as it came: it is turned as q is, and comes in Meta's pairing, too": in_pairing(
                to_halves, theirs, q=heads),
            "that is the way back, from halves to neighbours": in_pairing(to_neighbours, theirs, q=heads, k=kv),
            "now k is right, and q is cut as k should be: each has its own number": in_pairing(
                to_halves, theirs, q=kv, k=kv),
        }  # fmt: skip
        faults += [same_tensor(f"with {heads} heads on {kv} key-value heads, {name}", mine[name], weight)
                   for name, weight in wanted.items()]  # fmt: skip
        if any(faults):
            same = (told for told, slip in slips.items() if all(equal(mine[name], slip[name]) for name in slip))
            return next(same, first_fault(*faults))
    return ""


def equal(mine, wanted) -> bool:
    """Whether both are the same tensor."""
    return isinstance(mine, torch.Tensor) and torch.equal(mine, wanted)


def judge_alike(answer) -> str:
    config, ours = tiny(4, 2)
    way_back = component.version("to_halves", component.bugs["checkpoint.the_way_back"].spellings[0])

    def reader(weights, dtype=torch.float32, wrong=slice(64, None), times=1.0):
        model = LlamaForCausalLM(config).to(dtype).eval()
        model.load_state_dict(weights, strict=False)

        @torch.inference_mode()
        def scores(ids):
            found = times * model(ids).float()
            found[:, wrong] *= -1
            return found

        return scores

    swapped, small = in_pairing(way_back, ours, q=4, k=2), {"times": 1e-4}
    told = {
        "the same model": (True, reader(ours), reader(ours)),
        "the same in float64, which rounds otherwise": (True, reader(ours), reader(ours, torch.float64)),
        "one with the rows of q and k in the other pairing": (False, reader(ours), reader(swapped)),
        "one whose k alone is in another order": (False, reader(ours), reader(in_pairing(way_back, ours, k=2))),
        "one that goes wrong at the 17th token": (False, reader(ours), reader(ours, wrong=slice(16, None))),
        "one that is wrong at the third token alone": (False, reader(ours), reader(ours, wrong=slice(2, 3))),
        "one whose scores are all a hundredth too large, so that the best token stays the best": (
            False, reader(ours), reader(ours, times=1.01)),
        "one in the other pairing whose scores are all near 0.001": (
            False, reader(ours, **small), reader(swapped, **small)),
        "the same model in float64 whose scores are near 10,000": (
            True, reader(ours, times=1e3), reader(ours, torch.float64, times=1e3)),
    }  # fmt: skip
    return first_fault(*(said(bool(answer(one, other)) == alike, f"reads_alike should say {alike} of {name}")
                         for name, (alike, one, other) in told.items()))  # fmt: skip


KEEPS = {
    "k alone in the other pairing": (True, "whatever k says, a token that sees only itself gives itself the weight 1"),
    "v in the other pairing": (False, "v is what attention passes on, at the first token as well"),
    "q twice as large": (True, "q only makes scores, and of one score softmax makes 1, however large it is"),
    "the two heads of k exchanged": (True, "k only makes scores, and of one score softmax makes 1"),
    "the two heads of v exchanged": (False, "then each query head passes on what belongs to another"),
    "the last norm forgotten": (False, "a norm acts on each token by itself, on the first as on any other"),
}


def other_head_first(weight, heads):
    """The rows of two heads, the second head's first."""
    return torch.cat(weight.chunk(heads)[::-1])


@cache
def keeps_first() -> dict:
    """Which mistakes leave the scores of a tiny model's first token as they are."""
    config, ours = tiny(4, 2)
    doubled = {name: 2 * weight if "q_proj" in name else weight for name, weight in ours.items()}
    plain = {name: torch.ones_like(weight) if name == "model.norm.weight" else weight for name, weight in ours.items()}
    ways = (in_pairing(to_halves, ours, k=2), in_pairing(to_halves, ours, v=2), doubled,
            in_pairing(other_head_first, ours, k=2), in_pairing(other_head_first, ours, v=2), plain)  # fmt: skip

    @torch.inference_mode()
    def first(weights):
        model = LlamaForCausalLM(config).eval()
        model.load_state_dict(weights, strict=False)
        return model(torch.arange(9)[None])[0, 0]

    return {name: torch.allclose(first(weights), first(ours)) for name, weights in zip(KEEPS, ways, strict=True)}


def judge_first(answer) -> str:
    if not isinstance(answer, dict) or answer.keys() != KEEPS.keys():
        return "first_is_exact should keep its six names, each with True or False"
    if not all(isinstance(mine, bool) for mine in answer.values()):
        return "each of the six is True or False"
    return first_fault(*(said(answer[name] == truth, f"{name}: {str(truth)}, because {KEEPS[name][1]}")
                         for name, truth in keeps_first().items()))  # fmt: skip


PARTS = "gate_proj up_proj down_proj".split()
WHY = {
    ("together", "gate_proj"): "its rows come in another order, so its numbers do",
    ("together", "up_proj"): "its rows come in another order, so its numbers do",
    ("together", "down_proj"): "its columns moved along with the units that they belong to, so each unit still writes "
    "what it wrote",
    ("alone", "gate_proj"): "the same numbers stand in other places",
    ("alone", "up_proj"): "nothing has moved in it, nor in what it reads",
    ("alone", "down_proj"): "each gate now opens for another unit's offer, so the products are new numbers",
}


@cache
def seen_sorted() -> dict:
    """What is seen of an MLP whose units are reordered together, and of one whose gate alone is."""
    x, gate, up, down = normal(90, 5, 6), normal(91, 11, 6), normal(92, 11, 6), normal(93, 6, 11)
    order = torch.arange(11).flip(0)

    def gives(gate, up, down):
        one, other = x @ gate.T, x @ up.T
        return dict(zip(PARTS, (one, other, (torch.nn.functional.silu(one) * other) @ down.T)))

    theirs = gives(gate, up, down)
    ways = {"together": gives(gate[order], up[order], down[:, order]), "alone": gives(gate[order], up, down)}
    return {(way, part): "equal" if torch.allclose(mine, theirs[part], atol=1e-4) else "sorted"
            if torch.allclose(mine.sort().values, theirs[part].sort().values, atol=1e-4) else "off"
            for way, ours in ways.items() for part, mine in ours.items()}  # fmt: skip


def judge_sorted(answer, way: str) -> str:
    words = ("equal", "sorted", "off")
    if not isinstance(answer, dict) or [*answer] != PARTS or not all(word in words for word in answer.values()):
        return 'each of the three is "equal", "sorted" or "off"'
    truth = {part: seen_sorted()[way, part] for part in PARTS}
    return first_fault(*(said(answer[part] == truth[part], f"{part} is {truth[part]!r}: {WHY[way, part]}")
                         for part in PARTS))  # fmt: skip


def judge_parts(answer) -> str:
    theirs = {"w1": normal(94, 11, 6), "w2": normal(95, 6, 11), "w3": normal(96, 11, 6)}
    mine = answer(dict(theirs))
    names = {"gate_proj.weight": "w1", "up_proj.weight": "w3", "down_proj.weight": "w2"}
    if not isinstance(mine, dict) or mine.keys() != names.keys():
        return f"mended_parts should give the three names {', '.join(sorted(names))}"
    return first_fault(*(same_tensor(f"of mended_parts, {name}", mine[name], theirs[part])
                         for name, part in names.items()))  # fmt: skip


def judge_exchanged(answer) -> str:
    gate, up, down = normal(97, 9, 11), normal(98, 9, 11), normal(99, 9, 6)
    theirs, near = dict(zip(PARTS, (gate, up, down))), {name: 1e-4 * x for name, x in zip(PARTS, (gate, up, down))}
    swapped = {"gate_proj": up, "up_proj": gate, "down_proj": down.flip(0)}
    again = {name: x + 1e-7 * x.norm(dim=-1, keepdim=True) * normal(100, *x.shape) for name, x in swapped.items()}
    late = {"gate_proj": torch.cat([gate[:5], up[5:]]), "up_proj": torch.cat([up[:5], gate[5:]]), "down_proj": down}
    told = {
        "a sound one": (False, theirs, theirs),
        "one whose gate and up are exchanged": (True, swapped, theirs),
        "the same, rounded otherwise: a number near 0 by as much as a large one beside it": (True, again, theirs),
        "one that has up twice, and no gate": (False, theirs | {"gate_proj": up}, theirs),
        "one that has gate twice, and no up": (False, theirs | {"up_proj": gate}, theirs),
        "one whose units are reordered": (False, theirs | {"gate_proj": gate.flip(1), "up_proj": up.flip(1)}, theirs),
        "one whose down alone is wrong": (False, theirs | {"down_proj": -down}, theirs),
        "one that is exchanged at the last tokens only": (False, late, theirs),
        "a sound one whose numbers are all near 0.0001": (False, near, near),
    }
    return first_fault(*(said(bool(answer(ours, right)) == yes, f"gate_up_exchanged should say {yes} of {name}")
                         for name, (yes, ours, right) in told.items()))  # fmt: skip


TOKENS = "model.embed_tokens.weight"


@cache
def patients() -> tuple:
    """(what was read wrongly, its name, three gaps) of the shipped model, read in ten ways, beside it in float64."""
    shipped, tokenizer = load_shipped()
    weights = {name: weight.detach() for name, weight in shipped.named_parameters()}
    ids = torch.tensor([tokenizer.encode("A dictionary is a mapping from keys to values, and the keys")])
    back = component.version("to_halves", component.bugs["checkpoint.the_way_back"].spellings[0])
    swapped = {name.replace("gate_proj", "?").replace("up_proj", "gate_proj").replace("?", "up_proj"): weight
               for name, weight in weights.items()}  # fmt: skip
    turned = {name: weight.T if "o_proj" in name else weight for name, weight in weights.items()}

    @torch.inference_mode()
    def reads(weights, dtype=torch.float32, **fields):
        model = LlamaForCausalLM(LlamaConfig(shipped.config, **fields)).eval()
        model.load_state_dict(weights, strict=False)
        seen = {}
        model.to(dtype).model.layers[0].self_attn.q_proj.register_forward_hook(
            lambda module, given, found: seen.update(q=found[0].double())
        )
        return {"scores": model(ids)[0].double(), **seen}

    theirs = reads(weights, torch.float64)
    by_2, by_8 = ({"rope_type": "linear", "factor": factor} for factor in (2.0, 8.0))
    ways = (
        ("nothing", "fine", reads(weights)),
        ("the pairing of q and k", "pairing", reads(in_pairing(back, weights, q=4, k=2))),
        ("theta, taken for 20,000", "angles", reads(weights, rope_theta=20000.0)),
        ("theta, taken for 1,000,000", "angles", reads(weights, rope_theta=1e6)),
        ("the scaling, taken for linear by 2", "angles", reads(weights, rope_scaling=by_2)),
        ("the scaling, taken for linear by 8", "angles", reads(weights, rope_scaling=by_8)),
        ("eps, taken for 1e-6", "eps", reads(weights, rms_norm_eps=1e-6)),
        ("gate and up, exchanged", "weights", reads(swapped)),
        ("o, turned round", "weights", reads(turned)),
        ("the table of tokens, one row too far", "weights", reads(weights | {TOKENS: weights[TOKENS].roll(1, 0)})),
    )
    found = []
    for told, name, ours in ways:
        gaps, q = ((ours[part] - theirs[part]).norm(dim=-1) / theirs[part].norm(dim=-1) for part in ("scores", "q"))
        found.append((told, name, (gaps[0].item(), gaps[1:].max().item(), q.max().item())))
    return tuple(found)


def judge_mistake(answer) -> str:
    for told, name, gaps in patients():
        mine = answer(*gaps)
        if mine != name:
            numbers = ", ".join(f"{gap:.1g}" for gap in gaps)
            return f"misread was {told}: of the gaps {numbers} you say {mine!r:.30}, and {name!r} belongs"
    return ""


WORKED_MISTAKE = """def name_mistake(first, later, q):
    # Each gap is one of three digits: 0 for rounding, 1 for little, 2 for much. Three digits are a number, and the
    # diagnosis is a table. What no row names touches weights; a table shows at a glance what was never thought of.
    digits = "".join(str((gap > 1e-5) + (gap > 1e-2)) for gap in (first, later, q))
    table = {"000": "fine", "022": "pairing", "012": "pairing", "010": "angles", "020": "angles", "111": "eps"}
    return table.get(digits, "weights")"""


def judge_sizes(answer) -> str:
    eps, kv, dim = {"rms_norm_eps": 1e-5}, {"num_key_value_heads": 4}, {"head_dim": 16}
    nulls = {"num_key_value_heads": None, "head_dim": None}
    for said_by_it in (eps | kv | dim, eps | kv, eps, kv, nulls | eps | kv, nulls | dim):
        fields = {"hidden_size": 96, "num_attention_heads": 12} | said_by_it
        config = translate_config(fields)
        wanted = config.rms_norm_eps, config.num_key_value_heads, config.head_dim
        mine = answer(dict(fields))
        if not isinstance(mine, tuple | list) or tuple(mine) != wanted:
            return f"of {fields} mended_sizes makes {mine!r:.80}, its publisher meant {wanted}"
        if any(isinstance(number, float) for number in mine[1:]):
            return f"of {fields} mended_sizes makes {mine!r:.80}: heads and their width are whole numbers, made with //"
    return ""


WORKED_ROWS = """def part_to_halves(weight, heads, turned):
    # A move of rows is a list: at each place, the row that comes there; the rows that are not turned count up.
    # Of those that are, the first of each pair come before the second. The list can be read and tested: sorted, it
    # counts up, and all heads are moved by the same one.
    # To go back, ask it where each row went: list.index, or torch.argsort.
    dim = len(weight) // heads
    order = [*range(0, turned, 2), *range(1, turned, 2), *range(turned, dim)]
    return weight.unflatten(0, (heads, dim))[:, order].flatten(0, 1)"""


def judge_part(answer, start: int = 0) -> str:
    """The sentence on a move of the rows that are turned, which stand after `start` others in every head."""
    where = f" after the first {start}" * bool(start)
    for heads, wide, turned in ((1, 8, 6), (3, 10, 6), (2, 8, 8), (4, 12, 2)):
        dim = start + wide
        weight = normal(dim, heads * dim, 7)
        cut = [head.split((start, turned, wide - turned)) for head in weight.split(dim)]
        moved = [torch.cat([before, to_halves(rows, 1), after]) for before, rows, after in cut]
        name = f"with {heads} heads of {dim} rows, of which {turned} are turned{where}, part_to_halves"
        mine = answer(weight, heads, turned)
        fault = same_tensor(name, mine, torch.cat(moved))
        if fault:
            same = (told for told, slip in slips_of_part(weight, cut).items() if equal(mine, slip))
            return f"{fault}. {next(same, '')}".removesuffix(". ")
    return ""


def slips_of_part(weight, cut) -> dict:
    """What likely mistakes give for rows cut into (before, turned, after) in every head, with what is said of each."""
    heads, turned, start = len(cut), len(cut[0][1]), len(cut[0][0])
    rows = heads * turned
    before, moved, after = zip(*((one, to_halves(two, 1), three) for one, two, three in cut))
    back = [torch.cat([one, to_neighbours(two, 1), three]) for one, two, three in cut]
    behind = [torch.cat(each) for each in zip(before, after, moved)]
    first = [torch.cat([before[0], moved[0], after[0]]), weight[len(weight) // heads :]]
    at_front = [torch.cat([to_halves(head[:turned], 1), head[turned:]]) for head in weight.chunk(heads)]
    at_end = [torch.cat([head[:-turned], to_halves(head[-turned:], 1)]) for head in weight.chunk(heads)]
    slips = {
        "That is the way back, from halves to neighbours.": torch.cat(back),
        "The rows that stay have come before those that are turned.": torch.cat(behind),
        "You move rows of the first head alone.": torch.cat(first),
        "You move the last rows of each head.": torch.cat(at_end),
        "All turned rows stand in front now, those of all heads: join each head before the heads.": torch.cat(
            [*before, *moved, *after]),
        "You cut off turned rows before you cut into heads: the first rows of all are mostly the first head's.":
            torch.cat([to_halves(weight[:rows], heads), weight[rows:]]),
    }  # fmt: skip
    if len(weight) // heads % 2 == 0:
        slips["You move all rows of a head, those that are not turned as well."] = to_halves(weight, heads)
    return slips | ({"You begin at the first row of each head.": torch.cat(at_front)} if start else {})


def seeded_part(seed: int) -> dict:
    """How many rows of each head stand before those that are turned."""
    start = chosen(seed, (2, 3, 4))
    end = f"{start} + turned"
    order = f"[*range({start}), *range({start}, {end}, 2), *range({start + 1}, {end}, 2), *range({end}, dim)]"
    worked = WORKED_ROWS.replace("[*range(0, turned, 2), *range(1, turned, 2), *range(turned, dim)]", order)
    return {
        "task": f"Move `turned` rows of every head, after its first {start}, to halves; the others stay.",
        "text": f"Some models turn only a part of each head. Yours leaves the first **{start}** numbers as they are, "
        "turns the next `turned`, and leaves the rest. Its q comes with the turned rows as neighbours. Move them to "
        "halves, within the turned part, in every head.",
        "hints": (
            "What does `to_halves` do to one head whose rows are all turned? And where are the others meanwhile?",
            "*Rows of one head have come to another*: cut into heads before you cut off the turned rows, and join in "
            f"the reverse order. *Row {start} is right and the next is not*: pairs are counted from row {start} on.",
            f"rows cut into (head, dim) → of dim, `turned` rows after the first {start}, moved → the {start} before "
            "them and the rest behind them → head and dim joined again.",
        ),
        "starter": f'''def part_to_halves(weight, heads, turned):
    """Rows (head · dim, hidden): of every head, `turned` rows after its first {start} from neighbours to halves."""
    raise NotImplementedError("Move `turned` rows of every head, after its first {start}; the others stay.")''',
        "answers": {"part_to_halves": partial(judge_part, start=start)},
        "worked": worked,
    }


component.exercises = (
    Exercise(
        name="bytes_tied",
        kind="predict",
        title="What the tables weigh",
        text="Llama 3.2 1B has a vocabulary of 128,256 tokens and a width of 2,048. Its file is in bfloat16. How many "
        "bytes of it are tables, the embedding and the head, tied as they are? And how many would they be untied?",
        task="Type the bytes of the tables, tied and untied.",
        difficulty=1,
        importance=3,
        minutes=5,
        hints=(
            "Both tables have a row for each token. What does tied mean for the file?",
            "*My number for tied is twice too large*: a tied table stands in the file once. *It is half of what it "
            "should be*: sixteen bits are two bytes.",
            "rows × columns × 2 bytes; for the second answer, twice that.",
        ),
        starter="bytes_tied = ...  # bytes\nbytes_untied = ...  # bytes",
        answers={
            "bytes_tied": typed_number(2 * TABLE, 0.005, TIED),
            "bytes_untied": typed_number(4 * TABLE, 0.005, UNTIED),
        },
        solution="bytes_tied = 128256 * 2048 * 2\nbytes_untied = 2 * bytes_tied",
        why="The one table is 525 MB, a fifth of the whole file of 2.5 GB: so small models tie, and large ones, in "
        "which tables weigh little, do not.",
    ),
    Exercise(
        name="tensor_shapes",
        kind="implement",
        task="List the name and the shape of every tensor of a Llama, from its config alone.",
        difficulty=3,
        importance=5,
        minutes=20,
        hints=(
            "Print `LlamaForCausalLM(small_config)`: its lines are the names. Then ask of every matrix how many "
            "numbers come out of it and how many go in. nn.Linear keeps (out, in).",
            "*A small model agrees and a published one does not*: are q's rows heads · head_dim, k's and v's "
            "kv heads · head_dim, and is o the other way round? *A biased one does not*: `with_biases` adds what one "
            "switch asks for, and there are two switches.",
            "sizes of q and of k, v → shapes of q, k, v, o, by name, with biases → gate, up, down, with biases → a "
            "layer: norm, attention, norm, MLP → that for each i under model.layers.i → the table before it all, the "
            "last norm after it, and lm_head.weight unless tied.",
        ),
    ),
    Exercise(
        name="to_halves",
        kind="implement",
        task="Move the rows of every head from neighbours (0, 1) to halves (0, dim/2).",
        difficulty=2,
        importance=5,
        minutes=8,
        hints=(
            "Number the rows of one head of six, and write down in which order they must come out. Which three names "
            "does a row's number fall into? The way back stands below, in `to_neighbours`.",
            "*One head is right and several are not*: the pattern must keep each head together, so `head` comes first "
            "on both sides, and its size is given. *Everything is wrong but the first token*: did you go the way back?",
            "rows are (head, pair, which of the two), the last running fastest → exchange the last two of these.",
        ),
    ),
    Exercise(
        **own(first_off, "Name the first module that is off at some token; None if none is."),
        text="The tool of this lesson. `ours` and `theirs` map names of modules to what they give, (batch seq dim), "
        "theirs in the order of computing. A module is off where at *some token* the difference is longer than 1e-5 of "
        "the length of theirs; lengths are norms over dim. A NaN is off; where both are zeros, nothing is.",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "How long is the difference at each token, and how long is theirs? One number a token, twice.",
            "*A broken module with small numbers passes*: the limit is a share of the size, not a number. *One token "
            "of 300 is missed*: the norm runs over the last axis alone. *A NaN passes*: NaN > 1e-5 is False, and so is "
            "NaN <= 1e-5; which of the two questions do you want to deny?",
            "for each name of theirs, in its order: length of the difference, a token → length of theirs, a token → "
            "unless all of the first are within 1e-5 times the second, this is the name. After the loop: none.",
        ),
        answers={"first_off": component.parts["first_off"]},
        why="A mistake spoils all that follows, and mostly grows: the largest gap says nothing about where it began.",
    ),
    Exercise(
        name="first_is_exact",
        kind="predict",
        title="What the first token cannot see",
        text="Six more ways to misread a file: four query heads, two key-value heads, all else is right. In which are "
        "the scores at the *first* token exact all the same?",
        task="Say of each of six mistakes whether the first token stays exact.",
        difficulty=3,
        importance=4,
        minutes=6,
        hints=(
            "The first token sees itself alone. Which weight does it give itself?",
            "*I took all of attention for harmless*: q and k make only the weights, v is what is weighed. *I took "
            "size to matter*: softmax over one score is 1, whatever the score.",
            "True where q and k alone are touched, False where anything else is.",
        ),
        starter="first_is_exact = {\n" + "".join(f'    "{name}": ...,\n' for name in KEEPS) + "}  # True or False",
        answers={"first_is_exact": judge_first},
        solution="first_is_exact = {\n" + "".join(f'    "{name}": {keeps},\n' for name, (keeps, _) in KEEPS.items())
        + "}",
        why="First token exact means q, k or their turning: all that makes weights. Half of attention cannot be tested "
        "with one token, and many a port was.",
    ),
    Exercise(
        name="units_together",
        kind="predict",
        title="The same units in another order",
        text="A tool has stored the units of an MLP in reverse order. One did it **together**: rows of gate, rows of "
        "up, columns of down. One did it to the rows of gate **alone**. Compare what the three modules give with the "
        'original, for the same input: `"equal"`, `"sorted"` (equal only once sorted), or `"off"`.',
        task="Say what is equal, equal once sorted, or off, for two new orders.",
        difficulty=3,
        importance=4,
        minutes=8,
        hints=(
            "A row of gate and a row of up make one unit, a column of down is what it writes. What does a sum care "
            "about the order of its terms?",
            "*I said that down is sorted*: its rows have not moved, and its numbers are sums over units. *I said that "
            "down is equal when gate alone moves*: which offer does each gate open for, then?",
            "Together, every unit is whole, and stands in another place. Alone, every unit is a mixture of two.",
        ),
        starter="units_together = {\n" + "".join(f'    "{part}": ...,\n' for part in PARTS) + "}\n"
        "gate_alone = {\n" + "".join(f'    "{part}": ...,\n' for part in PARTS) + "}",
        answers={
            "units_together": partial(judge_sorted, way="together"),
            "gate_alone": partial(judge_sorted, way="alone"),
        },
        solution='units_together = {"gate_proj": "sorted", "up_proj": "sorted", "down_proj": "equal"}\n'
        'gate_alone = {"gate_proj": "sorted", "up_proj": "equal", "down_proj": "off"}',
        why="Units have no names: any order that is the same in all three matrices is the same MLP. So a gap inside "
        "is not yet a mistake, and *sorted* says so; what counts is whether it survives to where it is read.",
    ),
    Exercise(
        name="mended_pairing",
        kind="find the bug",
        title="Right with one word, lost with two",
        text="This loader brings Meta's q and k into the published pairing. With Llama 2 7B all is well. With Llama 3 "
        "no name is missing, every shape fits, the scores at the first token agree with the reference, and the model "
        "babbles. Mend it, and write the **probe**: a function that is given two models and says whether they read a "
        "text alike.",
        task="Say whether one(ids) and other(ids) give the same scores, rounding apart.",
        difficulty=3,
        importance=5,
        minutes=15,
        hints=(
            "What do Llama 2 7B and Llama 3 8B not have in common, when you look at the shapes of q and of k?",
            "*My probe says True of a broken one*: at the first token each word looks at itself alone, and q and k do "
            "not matter. Where all tokens are the same, it does not matter at whom they look. And some errors begin "
            "late. *It says False of the same model in float64*: compare with a tolerance. *It says True where scores "
            "are small*: the tolerance is a share of their size.",
            "k has its own number of heads. For the probe: some dozens of different tokens, the scores at all of "
            "them; at each token the gap is at most a hundred-thousandth of the scores' own size.",
        ),
        starter='''def mended_pairing(theirs, config):
    """Tensors by published names, q and k in Meta's pairing → the same in the published one. Mend it."""
    heads = config.num_attention_heads
    turned = ("q_proj.weight", "k_proj.weight")
    return {name: to_halves(weight, heads) if name.endswith(turned) else weight for name, weight in theirs.items()}


def reads_alike(one, other) -> bool:
    """Whether two models give the same scores; each takes ids (1, seq) below 100, up to 64 of them."""
    raise NotImplementedError("Say whether one(ids) and other(ids) give the same scores, rounding apart.")''',
        answers={"mended_pairing": judge_pairing, "reads_alike": judge_alike},
        solution="""def mended_pairing(theirs, config):
    heads = {"q_proj.weight": config.num_attention_heads, "k_proj.weight": config.num_key_value_heads}
    ends = {name: ".".join(name.split(".")[-2:]) for name in theirs}
    return {name: to_halves(weight, heads[ends[name]]) if ends[name] in heads else weight
            for name, weight in theirs.items()}


def reads_alike(one, other) -> bool:
    ids = torch.arange(40)[None]
    mine, theirs = one(ids), other(ids)
    return bool(((mine - theirs).norm(dim=-1) <= 1e-5 * theirs.norm(dim=-1)).all())""",
        why="k has num_key_value_heads. Cut into more heads than it has, its rows still fit, and only a text of "
        "several different words tells.",
    ),
    Exercise(
        name="mended_parts",
        kind="find the bug",
        title="Gate and up, exchanged",
        text="Meta's MLP is w2(silu(w1(x)) · w3(x)). This reader gives the three their published names. Every shape "
        "fits, and the scores are off by a third, at the first token too; attention in layer 0 is exact. Mend it, and "
        "write the **probe**: given what the modules of one MLP give in both models, for the same x, it says whether "
        "gate and up are exchanged, and no other mistake.",
        task="Say whether ours and theirs have gate_proj and up_proj exchanged.",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "Which of the two is bent by silu in the formula, and which is called so in lesson 06?",
            "*It says True of one that has up twice*: two equalities belong to an exchange. *It says True of a sound "
            "one with small numbers*: the tolerance is a share of the size. *It says False of one that is rounded "
            "otherwise*: equal to the last bit is too strict.",
            "Our gate is their up, and our up is their gate, each at every token, within 1e-5 of its size.",
        ),
        starter='''def mended_parts(theirs):
    """Matrices of an MLP by Meta's names, w1, w2 and w3 → by the published ones. Mend it."""
    names = {"w1": "up_proj", "w2": "down_proj", "w3": "gate_proj"}
    return {f"{names[name]}.weight": weight for name, weight in theirs.items()}


def gate_up_exchanged(ours, theirs) -> bool:
    """Whether gate and up are exchanged; each maps gate_proj, up_proj, down_proj to what they give, (seq dim)."""
    raise NotImplementedError("Say whether ours and theirs have gate_proj and up_proj exchanged.")''',
        answers={"mended_parts": judge_parts, "gate_up_exchanged": judge_exchanged},
        solution="""def mended_parts(theirs):
    names = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
    return {f"{names[name]}.weight": weight for name, weight in theirs.items()}


def gate_up_exchanged(ours, theirs) -> bool:
    def alike(one, other):
        return bool(((one - other).norm(dim=-1) <= 1e-5 * other.norm(dim=-1)).all())

    return alike(ours["gate_proj"], theirs["up_proj"]) and alike(ours["up_proj"], theirs["gate_proj"])""",
        why="Two matrices of one shape can always be exchanged in silence: gate and up, k and v, q and o where they "
        "are square. Ask of each whose numbers it gives.",
    ),
    Exercise(
        name="mended_sizes",
        kind="find the bug",
        title="What was left out was meant",
        text="This reader of config.json is right for files that say everything. Others leave fields out, or write "
        "null. Give each the value that its publisher meant: Hugging Face's default.",
        task="Read rms_norm_eps, num_key_value_heads and head_dim as their publisher meant them.",
        difficulty=2,
        importance=4,
        minutes=8,
        hints=(
            "The section *What the file does not say* names two defaults. Neither is the one that stands here.",
            "*None comes out*: `get` with a default helps where the name is absent, not where the file says null. "
            "Both mean the same.",
            "Leave the nulls out first. Then eps is 1e-6 where absent, there is a key-value head for each head, and "
            "head_dim is hidden_size / num_attention_heads.",
        ),
        starter='''def mended_sizes(fields):
    """(rms_norm_eps, num_key_value_heads, head_dim) of the fields of a published config.json. Mend it."""
    heads = fields["num_attention_heads"]
    eps = fields.get("rms_norm_eps", 1e-5)
    kv = fields.get("num_key_value_heads", 8)
    return eps, kv, fields.get("head_dim", fields["hidden_size"] // heads)''',
        answers={"mended_sizes": judge_sizes},
        solution="""def mended_sizes(fields):
    given = {name: value for name, value in fields.items() if value is not None}
    heads = given["num_attention_heads"]
    width = given["hidden_size"] // heads
    return given.get("rms_norm_eps", 1e-6), given.get("num_key_value_heads", heads), given.get("head_dim", width)""",
        why="A wrong number of heads is seen at once, by the shapes. A wrong eps never is: the scores are slightly "
        "off, at every token.",
    ),
    Exercise(
        name="part_to_halves",
        kind="transfer",
        title="Where only a part is turned",
        text="Some models turn only the first `turned` numbers of each head and leave the rest as they are. Their q "
        "comes with the turned rows as neighbours. Move them to halves, within the turned part, in every head.",
        task="Move the first `turned` rows of every head from neighbours to halves; the others stay.",
        difficulty=3,
        importance=3,
        minutes=15,
        hints=(
            "What does `to_halves` do to one head whose rows are all turned? And where are the others meanwhile?",
            "*Rows of one head have come to another*: cut into heads before you cut off the turned rows, and join in "
            "the reverse order. *With 6 of 10 I am off*: half of the turned part is 3, not 5.",
            "rows cut into (head, dim) → the first `turned` of dim, moved → the rest behind them → head and dim "
            "joined again.",
        ),
        starter='''def part_to_halves(weight, heads, turned):
    """Rows (head · dim, hidden) of q or k: the first `turned` of every head from neighbours to halves."""
    raise NotImplementedError("Move the first `turned` rows of every head; the others stay.")''',
        answers={"part_to_halves": judge_part},
        worked=WORKED_ROWS,
        seeded=seeded_part,
    ),
    Exercise(
        name="name_mistake",
        kind="transfer",
        title="Three gaps, one diagnosis",
        text="A port comes with three relative gaps beside a float64 reference: of the scores at the **first** token, "
        "the largest of the scores at **later** ones, and the largest of **q** in layer 0, before it is turned. Name "
        'what was misread: `"fine"`, `"pairing"` (of q and k), `"angles"` (theta or a scaling), `"eps"`, or '
        '`"weights"` (anything worse). Rounding stays below 1e-5, and a wrong eps below 1e-2. Real ports are tried.',
        task="Name what was misread, from three relative gaps.",
        difficulty=3,
        importance=4,
        minutes=10,
        hints=(
            "Which mistakes leave the first token exact, and which of those leave q exact as well?",
            "*I call a sound one wrong, or miss a pairing*: a float64 reference rounds otherwise, so an exact gap is "
            "below 1e-5, not 0. *I call gate and up eps*: both are off at the first token; only the size tells.",
            "Is anything above rounding? If not, fine. Is the first? If not: q decides between two. If so: its size "
            "decides between the other two.",
        ),
        starter='''def name_mistake(first, later, q):
    """What was misread, "fine", "pairing", "angles", "eps" or "weights", from three relative gaps."""
    raise NotImplementedError("Name what was misread, from three relative gaps.")''',
        answers={"name_mistake": judge_mistake},
        worked=WORKED_MISTAKE,
    ),
)
