"""Names, shapes and the order of rows between a file and a model: what must hold, what goes wrong, the exercises.

Subjects are called as tensor_shapes(config) and to_halves(weight, heads).
"""

import re
from functools import partial

import torch

from ...causal_lm import LlamaForCausalLM
from ...checkpoint import tensor_shapes, to_halves, translate_config
from ...config import LlamaConfig
from ..course.exercise import Exercise, chosen, first_fault, said, same_tensor, typed_number
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


def judge_pairing(answer) -> str:
    faults = []
    for heads, kv in ((4, 2), (4, 1), (4, 4)):
        config, theirs = tiny(heads, kv)
        mine, wanted = answer(dict(theirs), config), in_pairing(to_halves, theirs, q=heads, k=kv)
        if not isinstance(mine, dict) or mine.keys() != wanted.keys():
            return "mended_pairing should return every tensor under the name that it came with"
        faults += [same_tensor(f"with {heads} heads on {kv} key-value heads, {name}", mine[name], weight)
                   for name, weight in wanted.items()]  # fmt: skip
    return first_fault(*faults)


def judge_alike(answer) -> str:
    config, ours = tiny(4, 2)
    way_back = component.version("to_halves", component.bugs["checkpoint.the_way_back"].spellings[0])

    def reader(weights, dtype=torch.float32, late=64):
        model = LlamaForCausalLM(config).to(dtype).eval()
        model.load_state_dict(weights, strict=False)

        @torch.inference_mode()
        def scores(ids):
            found = model(ids).float()
            return torch.cat([found[:, :late], -found[:, late:]], dim=1)

        return scores

    told = {
        "the same model": (True, reader(ours)),
        "the same in float64, which rounds otherwise": (True, reader(ours, torch.float64)),
        "one with the rows of q and k in the other pairing": (False, reader(in_pairing(way_back, ours, q=4, k=2))),
        "one whose k alone is in another order": (False, reader(in_pairing(way_back, ours, k=2))),
        "one that goes wrong at the 17th token": (False, reader(ours, late=16)),
    }
    return first_fault(*(said(bool(answer(reader(ours), other)) == alike, f"reads_alike should say {alike} of {name}")
                         for name, (alike, other) in told.items()))  # fmt: skip


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
        fault = same_tensor(name, answer(weight, heads, turned), torch.cat(moved))
        if fault:
            return fault
    return ""


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
            "late. *It says False of the same model in float64*: compare with a tolerance.",
            "k has its own number of heads. For the probe: some dozens of different tokens, the scores at all of "
            "them, equal within a thousandth.",
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
    return torch.allclose(one(ids), other(ids), atol=1e-3)""",
        why="k has num_key_value_heads. Cut into more heads than it has, its rows still fit, and only a text of "
        "several different words tells.",
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
)
