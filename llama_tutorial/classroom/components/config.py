"""The config: what its numbers cost, what goes wrong in counting them, and the exercises of the first lesson.

A subject is called as count(config) with a LlamaConfig, and gives a whole number.
"""

from functools import partial
from itertools import combinations

import torch

from ...config import LlamaConfig
from ..course.exercise import Exercise, chosen, first_fault, own, said, typed_number
from ..judge.guard import Fault
from ..judge.parts import Cases, Component

component = Component("config")


def count(config):
    """How many numbers a model of that config is made of: the table of words once, layers, and the last norm."""
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    attention = config.hidden_size * (2 * queries + 2 * keys)
    mlp = 3 * config.hidden_size * config.intermediate_size
    layer = attention + mlp + 2 * config.hidden_size
    tables = 1 if config.tie_word_embeddings else 2
    table = config.vocab_size * config.hidden_size
    return tables * table + config.num_hidden_layers * layer + config.hidden_size


# ------------------------------------------------------------------------------------------------- what must hold

CASES = Cases()
SMALL = {"hidden_size": 4, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
         "num_key_value_heads": 2, "head_dim": 2, "vocab_size": 10}  # fmt: skip


def tells_count(found, wanted) -> str:
    """How far off a count is."""
    found, wanted = int(found), int(wanted)
    off, which = abs(found - wanted), "many" if found > wanted else "few"
    told = f"You count {found:,}, where {wanted:,} belong: {off:,} too {which}."
    if found < 8 * wanted:
        return told
    return f"{told} Does a size of the 135M shape stand there as a number? Take all of them from the config."


def counts(name: str, says: str, **fields):
    """Enter the case `name`: how many numbers a small model with these fields has."""
    CASES(says, tell=tells_count)(lambda count: torch.tensor(count(LlamaConfig(SMALL | fields)))).__name__ = name


counts("one_layer", "one layer")
counts("six_layers", "six layers", num_hidden_layers=6)
counts("shared", "shared heads: keys and values are made for fewer", num_key_value_heads=1)
counts("wide_heads", "heads that are not hidden_size / heads wide", head_dim=6)
counts("untied", "an output table of its own", tie_word_embeddings=False)
counts("whole", "a larger model", hidden_size=12, intermediate_size=30, num_hidden_layers=3, num_attention_heads=6,
       num_key_value_heads=3, vocab_size=101)  # fmt: skip


def adapt(answer):
    """A function of a config as the subject of the cases; Fault where it gives no whole number."""

    def count(config):
        found = answer(config)
        if found is None:
            raise Fault("It returned None: is a `return` missing?")
        if isinstance(found, bool) or not isinstance(found, int | float) or found != int(found):
            raise Fault(f"A count is a whole number; it returned {found!r:.60}.")
        return int(found)

    return count


component.part(count, adapt, CASES)


# ------------------------------------------------------------------------------------------------- what goes wrong

COUNTED = "The number on the box is another one, and the memory that you planned for is not enough, or too much."


def bug(name: str, *edits: dict, says: str):
    component.bug(name, "count", *edits, step="", symptom=COUNTED, says=says)


# fmt: off
bug("table_twice", {"tables = 1 if config.tie_word_embeddings else 2": "tables = 2"},
    says="The table of words is counted twice: with tie_word_embeddings the output table is the input table.")
bug("table_once", {"tables = 1 if config.tie_word_embeddings else 2": "tables = 1"},
    says="Without tie_word_embeddings there is an output table of its own, as large as the first.")
bug("no_table", {"tables * table + ": ""},
    says="The table of words is missing: vocab_size rows of hidden_size numbers.")
bug("keys_for_all", {"keys = config.num_key_value_heads": "keys = config.num_attention_heads"},
    says="Keys and values are counted for every head. They are made for num_key_value_heads, which share them.")
bug("keys_only", {"2 * keys": "keys"},
    says="One of two is missing: k_proj and v_proj are of the same size, and both are there.")
bug("no_output", {"2 * queries": "queries"},
    says="One of two is missing: q_proj leads to the heads, and o_proj of the same size back from them.")
bug("square", {"queries = config.num_attention_heads * config.head_dim": "queries = config.hidden_size"},
    says="q_proj need not be square: it gives num_attention_heads times head_dim numbers.")
bug("two_matrices", {"mlp = 3": "mlp = 2"},
    says="The MLP has three matrices, gate, up and down; you count two.")
bug("no_norms", {" + 2 * config.hidden_size": ""},
    says="Each layer has two norms of hidden_size gains.")
bug("one_norm", {" + 2 * config.hidden_size": " + config.hidden_size"},
    says="Each layer has two norms, one before attention and one before the MLP; you count one.")
bug("one_gain", {" + 2 * config.hidden_size": " + 2", " * layer + config.hidden_size": " * layer + 1"},
    says="A norm has more than one number: a gain for each of the hidden_size numbers of a token.")
bug("no_last_norm", {" * layer + config.hidden_size": " * layer"},
    says="After the last layer stands one more norm, of hidden_size gains.")
bug("table_in_layer", {"tables * table + ": "", "layers * layer": "layers * (tables * table + layer)"},
    says="The table of words is counted in every layer. It is there once, before the first layer and after the last.")
bug("narrow", {"queries = config.num_attention_heads * config.head_dim": "queries = config.hidden_size",
               "keys = config.num_key_value_heads * config.head_dim":
               "keys = config.hidden_size // config.num_attention_heads * config.num_key_value_heads"},
    says="A head need not be hidden_size / num_attention_heads wide: head_dim says how wide it is.")
bug("all_square", {"queries = config.num_attention_heads * config.head_dim": "queries = config.hidden_size",
                   "keys = config.num_key_value_heads * config.head_dim": "keys = config.hidden_size"},
    says="The four matrices of attention are not all square: q_proj gives num_attention_heads · head_dim numbers, "
    "k_proj and v_proj give num_key_value_heads · head_dim.")
bug("no_width", {"keys = config.num_key_value_heads * config.head_dim": "keys = config.num_key_value_heads"},
    says="Each key-value head has head_dim numbers, not one.")
bug("no_width_of_queries", {"queries = config.num_attention_heads * config.head_dim":
                            "queries = config.num_attention_heads"},
    says="Each head has head_dim numbers, not one.")
bug("one_mlp_matrix", {"mlp = 3 * ": "mlp = "}, says="The MLP has three matrices, gate, up and down; you count one.")
bug("one_layer", {"config.num_hidden_layers * layer": "layer"},
    says="You count one layer. There are num_hidden_layers of them, each with weights of its own.")
# fmt: on


# ------------------------------------------------------------------------------------------------------- the answers

SHIPPED = LlamaConfig(vocab_size=2048, hidden_size=128, intermediate_size=352, num_hidden_layers=5,
                      num_attention_heads=4, num_key_value_heads=2, head_dim=32)  # fmt: skip
UNIT = 128 * 352  # the numbers of one matrix of its MLPs
WHOLE = count(SHIPPED)
SHARES = {
    15 * UNIT / WHOLE: "That is a share of 1. In percent it is a hundred times as much.",
    15 * UNIT: "That is how many numbers stand in MLPs. Divide by those of the whole model, times 100.",
    1000 * UNIT / WHOLE: "That is two matrices for each MLP. It has three: gate, up and down.",
    1000 * UNIT / (WHOLE - 5 * UNIT): "That is two matrices for each MLP. It has three: gate, up and down.",
    59.195: "That is the 135M shape, which has 30 layers and a larger table. Reckon with these sizes.",
    500 * UNIT / WHOLE: "That is one matrix for each MLP. It has three: gate, up and down.",
    22.12: "That is the table of words.",
    20.74: "That is attention.",
    300 * UNIT / WHOLE: "That is the MLP of one layer. There are 5 of them.",
    300 * UNIT / (3 * UNIT + 49152 + 256): "That is the share of one layer. The table of words counts as well.",
    300 * UNIT / (3 * UNIT + 49152): "That is the share of one layer. The table of words counts as well.",
}
OTHER_PARTS = {
    "embed": "The table of words comes to mind first, and it is 22 %: it is there once, the layers are there 5 times.",
    "table": "The table of words comes to mind first, and it is 22 %: it is there once, the layers are there 5 times.",
    "att": "Attention has the fame, and 21 %: its four matrices are 128 wide or less, the MLP's three are 352 wide.",
    "norm": "A norm has 128 numbers, one for each number of a token: all 11 of them together are a thousandth.",
}


def judge_part(answer) -> str:
    """The sentence on a word for the part that has most of the shipped model's numbers."""
    if not isinstance(answer, str):
        return f"the answer is a word: embedding, attention, MLP or norms; got {answer!r:.60}"
    word = answer.strip().lower()
    if word.startswith(("mlp", "the mlp", "feed")):
        return ""
    told = (says for name, says in OTHER_PARTS.items() if name in word)
    return next(told, f"{answer!r} is none of the four: embedding, attention, MLP, norms")


ONE = 64 * 576 * 30  # the keys of one head, in all layers
SAVED = {
    2 * ONE: "That is what one head has, the one that stays; or what two have, and only their keys. Two go, and each "
    "answers with keys and with values, from a matrix each.",
    ONE: "That is one head, and its keys only. Two heads go, and each has keys and values.",
    3 * ONE: "That is the keys of three heads. Values are missing, and one of the three stays.",
    4 * ONE / 576: "That counts what comes out of the matrices. Each of those numbers is made of all 576 that go in.",
    4 * ONE / 64: "That is one number for each head. A head has 64.",
    4 * ONE / 30: "That is one layer. There are 30.",
    2 * ONE / 30: "That is the keys, or the values, of one layer. There are both, and 30 layers.",
    6 * ONE: "That is what three heads have. One of them stays.",
    8 * ONE: "You shrink q_proj and o_proj as well. Nine heads still ask: only k_proj and v_proj become smaller.",
}


def judge_saved(answer) -> str:
    """The sentence on how many numbers fewer there are, with or without a minus sign."""
    number = isinstance(answer, int | float) and not isinstance(answer, bool)
    return typed_number(4 * ONE, 0.0005, SAVED)(abs(answer) if number else answer)


def told_of(settle, kv: int | None, heads: int = 9):
    """How many key-value heads a function makes of what is given; None stands for what is not given."""
    return settle({"num_attention_heads": heads} | ({} if kv is None else {"num_key_value_heads": kv}))


def judge_heads(answer) -> str:
    """The sentence on a function that gives the number of key-value heads."""
    try:
        nothing = told_of(answer, None)
    except KeyError:
        return "where only the 9 heads are given, it raised a KeyError: square brackets ask for what may be missing"
    try:
        zero = told_of(answer, 0)
    except (ValueError, AssertionError):
        return "it refuses the 0 itself. That is the task of a later check: here what is given comes out, 0 as well"
    three, same = told_of(answer, 3), told_of(answer, 9)
    return first_fault(
        said(nothing == 9, f"where only 9 heads are given, each gets one of its own: 9, got {nothing!r}"),
        said((three, same) == (3, 9), f"3 and 9 were given and should stay, got {three!r} and {same!r}"),
        said(zero != 9, "0 is given and becomes 9: `or` asks whether a value is true, and 0 is not. Ask whether it is "
             "there"),
        said(zero == 0, f"0 is given and should stay 0, for a later check to refuse; got {zero!r}"),
    )  # fmt: skip


def present(given, otherwise=None):
    return given.get("num_key_value_heads", otherwise or given["num_attention_heads"])


SETTLERS = (
    (False, "one that asks whether the number is there", present),
    (False, "one that asks so, and makes 1 of what is not there", lambda given: present(given, 1)),
    (True, "the one above", lambda given: given.get("num_key_value_heads") or given["num_attention_heads"]),
    (True, "one that makes 1 of what is not there, and of 0", lambda given: given.get("num_key_value_heads") or 1),
)


def judge_zero(answer) -> str:
    """The sentence on a probe for functions that take a 0 for what is missing."""
    asked = []

    def spied(settle):
        return lambda given: settle(asked.append(given.get("num_key_value_heads")) or given)

    found = [bool(answer(spied(settle))) for _, _, settle in SETTLERS]
    if found == [not wanted for wanted, _, _ in SETTLERS]:
        return "it says the opposite: True is for one that takes the 0 for missing, False for one that keeps it"
    if asked and 0 not in asked and found != [wanted for wanted, _, _ in SETTLERS]:
        return "your probe never gives a 0: where no 0 is given, right ones and wrong ones do the same"
    return first_fault(*(said(mine == wanted, f"it should say {wanted} of {name}")
                         for mine, (wanted, name, _) in zip(found, SETTLERS)))  # fmt: skip


SMALL_GPT2 = {"vocab_size": 50257, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
              "num_attention_heads": 12}  # fmt: skip
OLDER = (
    LlamaConfig(vocab_size=10, hidden_size=4, intermediate_size=7, num_hidden_layers=1, num_attention_heads=2),
    LlamaConfig(vocab_size=101, hidden_size=12, intermediate_size=31, num_hidden_layers=3, num_attention_heads=3),
    LlamaConfig(SMALL_GPT2),
)


def older(config, positions: int = 1024) -> int:
    """How many numbers a model in the fashion of GPT-2 has, matrix by matrix."""
    h, inner = config.hidden_size, config.intermediate_size
    matrices = [(h, h)] * 4 + [(h, inner), (inner, h)]
    layer = sum(into * out + out for into, out in matrices) + 2 * 2 * h
    return (config.vocab_size + positions) * h + config.num_hidden_layers * layer + 2 * h


def slips_of_older(c, positions: int) -> dict[str, int]:
    """What an answer has too much, or too little, where it makes a slip, by the sentence on it."""
    h, inner, layers = c.hidden_size, c.intermediate_size, c.num_hidden_layers
    return {
        f"The table of positions is missing: {positions:,} rows of hidden_size numbers.": -positions * h,
        "The MLP has two matrices here; you count a gate as well.": layers * h * inner,
        "The four matrices of attention have biases, hidden_size numbers each.": -layers * 4 * h,
        "The MLP's two matrices have biases: a bias has as many numbers as come out.": -layers * (inner + h),
        "Each norm has a bias as well as gains: twice hidden_size numbers, the last one too.": -(2 * layers + 1) * h,
        "Each norm in a layer has a bias as well as gains: twice hidden_size numbers.": -2 * layers * h,
        "The last norm has a bias as well.": -h,
        "After the last layer stands one more norm, with gains and a bias.": -2 * h,
        "A bias has as many numbers as come out, and out of down come hidden_size.": layers * (inner - h),
        "A bias has as many numbers as come out, and out of up come intermediate_size.": layers * (h - inner),
        f"There are {positions:,} positions, whatever max_position_embeddings says.": (
            c.max_position_embeddings - positions
        )
        * h,
        "There is one table of words, at both ends; you count two.": c.vocab_size * h,
        "The gate is gone, and its bias too.": layers * inner,
    }


def judge_older(answer, positions: int = 1024) -> str:
    """The sentence on a count of models in the fashion of GPT-2: what is missing, or too much, in all of them."""
    found = [answer(config) for config in OLDER]
    wrong = next((each for each in found if isinstance(each, bool) or not isinstance(each, int | float)), None)
    if wrong is not None:
        return f"count_older should return a whole number, got {wrong!r:.60}"
    off = [mine - older(config, positions) for mine, config in zip(found, OLDER)]
    if not any(off):
        return ""
    sizes = [slips_of_older(config, positions) for config in OLDER]
    for many in (1, 2, 3, 4, 5):
        for names in combinations(sizes[0], many):
            if [sum(each[name] for name in names) for each in sizes] == off:
                return ("Several things at once. " if many > 1 else "") + " ".join(names)
    rows = {each / config.hidden_size for each, config in zip(off, OLDER)}
    if len(rows) == 1 and positions + min(rows) > 0:
        return f"You count {positions + min(rows):,.10g} positions, where {positions:,} belong."
    more = "more" if off[-1] > 0 else "fewer"
    return f"GPT-2's small shape has {older(OLDER[-1], positions):,} numbers here; yours are {abs(off[-1]):,} {more}"


TASK_OLDER = "Count the numbers of a model with positions, biases and a plain MLP."
WORKED_OLDER = """def count_older(config):
    # Let PyTorch count: make each part once, and add up the sizes of what was made. On the device "meta" a tensor
    # has a shape and no numbers, so that a model of any size takes no memory. What nn makes has biases, unless told.
    width, inner = config.hidden_size, config.intermediate_size

    def layer():
        mlp = [nn.Linear(width, inner), nn.Linear(inner, width)]
        return [*(nn.Linear(width, width) for _ in range(4)), *mlp, nn.LayerNorm(width), nn.LayerNorm(width)]

    with torch.device("meta"):
        made = [nn.Embedding(config.vocab_size, width), nn.Embedding(1024, width), nn.LayerNorm(width)]
        made += [part for _ in range(config.num_hidden_layers) for part in layer()]
    return sum(tensor.numel() for part in made for tensor in part.parameters())"""


def fields_of_older(positions: int) -> dict:
    """Text, hints, starter and worked answer of the exercise, for a table of that many positions."""
    whole = f"{older(OLDER[-1], positions):,}"
    has = "has" if positions == 1024 else "would have"
    task = TASK_OLDER if positions == 1024 else TASK_OLDER.replace("positions", f"{positions:,} positions")
    return {
        "task": task,
        "text": "GPT-2 is the older sister: attention with as many key-value heads as heads (`hidden_size` in and out, "
        "all four), an MLP of **two** matrices (up and down, no gate), and a **bias** in each of these six, one number "
        "for each that comes out. Its norms have a bias beside their gains. Nothing turns, so a second table says "
        f"where a word stands: **{positions:,}** positions. Tables are there once; a last norm follows. Its small "
        f"shape, `LlamaConfig({', '.join(f'{name}={value}' for name, value in SMALL_GPT2.items())})`, {has} {whole}.",
        "hints": (
            "Begin with your `count`, and go through it line by line: what is new, what is gone, what is doubled?",
            "*A little too few*: biases. A matrix from `hidden_size` to `intermediate_size` has `intermediate_size` "
            "of them, and one more for each norm's gain. *Far too many*: is the gate still there?",
            "Six matrices in a layer, each into · out + out; two norms of 2 · hidden. All that times the layers. Then "
            f"a norm more, and two tables, `vocab_size` rows and {positions:,} rows, each hidden wide.",
        ),
        "starter": f'''def count_older(config):
    """How many numbers a model in the fashion of GPT-2 is made of, with {positions:,} positions."""
    raise NotImplementedError("{task}")''',
        "answers": {"count_older": partial(judge_older, positions=positions)},
        "worked": WORKED_OLDER.replace("1024", str(positions)),
    }


def seeded_older(seed: int) -> dict:
    """How many positions the model knows."""
    return fields_of_older(chosen(seed, (256, 384, 512, 640, 768, 896, 1280, 1536, 1792, 2048, 3072)))


# ----------------------------------------------------------------------------------------------------- the exercises

component.exercises = (
    Exercise(
        name="largest_part",
        kind="predict",
        title="Where most of the numbers stand",
        text="The model that talks on this page has 1,185,152 numbers: `vocab_size=2048, hidden_size=128, "
        "intermediate_size=352, num_hidden_layers=5, num_attention_heads=4, num_key_value_heads=2, head_dim=32`, one "
        "table of words for both ends. Which part has most of them: embedding, attention, MLP or norms? And what "
        "percent of the whole is that? Say the word before you reckon.",
        task="Type the largest part, and its share of the whole in percent.",
        difficulty=1,
        importance=3,
        minutes=5,
        hints=(
            "The table of words is there once. What is there in every layer, and which matrices of it are widest?",
            "*I get 11 percent*: that is one layer. *I get 38 or 47 percent*: the MLP has a third matrix, the gate. "
            "*I get 73 percent*: a layer is not the whole model.",
            "matrices · hidden_size · intermediate_size · layers, divided by the whole, times 100",
        ),
        starter='largest_part = ...  # "embedding", "attention", "MLP" or "norms"\nits_percent = ...  # a number',
        answers={"largest_part": judge_part, "its_percent": typed_number(1500 * UNIT / WHOLE, 0.009, SHARES)},
        solution='largest_part = "MLP"\nits_percent = 100 * 3 * 128 * 352 * 5 / 1185152',
        why="57 %. The table has 22, attention 21, the norms a tenth of one. In the 135M shape the MLP has 59 %, and "
        "more in larger models: the table does not grow with the layers.",
    ),
    Exercise(
        name="heads_saved",
        kind="predict",
        title="One head that answers, for nine that ask",
        text="In the 135M shape (`hidden_size=576`, 30 layers, 9 heads that ask, 3 that answer, 64 numbers in each) "
        "you change `num_key_value_heads` from 3 to 1. How many numbers does the model have fewer?",
        task="Type how many numbers fewer the model has.",
        difficulty=2,
        importance=3,
        minutes=4,
        hints=(
            "Which matrices make what the answering heads hold ready? What goes into them, and what comes out?",
            "*I get 2,211,840*: a head answers with keys and with values. *I get 147,456*: that is one layer. *I get "
            "6,635,520*: one of the three heads stays.",
            "heads that go · 64 · hidden_size · 2 matrices · layers",
        ),
        starter="heads_saved = ...  # how many numbers",
        answers={"heads_saved": judge_saved},
        solution="heads_saved = (3 - 1) * 64 * 576 * 2 * 30",
        why="4,423,680, about 3 % of the model. Nobody shares heads for that: what a running model must remember of "
        "each token, its keys and values, shrinks to a third (lesson 05).",
    ),
    Exercise(
        **own(count, "Count the numbers that a model of that config is made of."),
        text="How many numbers is a model made of? Write `count(config)`: one table of words (two where "
        "`tie_word_embeddings` is False), the layers, and a last norm. What stands in a layer, and in which shapes, "
        "the page has printed: q, k, v and o of attention, gate, up and down of the MLP, two norms. Take no biases "
        "into account. The 135M shape, `count(LlamaConfig())`, has 134,515,008.",
        difficulty=2,
        importance=4,
        minutes=12,
        hints=(
            "Count one layer first. Which of its seven matrices lead from `hidden_size` to somewhere, and which back?",
            "*Too many in a model whose heads share keys*: k_proj and v_proj give `num_key_value_heads · head_dim` "
            "numbers, fewer than q_proj. *Off by a whole table*: is there a second one? `tie_word_embeddings` says so.",
            "Attention: hidden · (2 · query heads + 2 · key-value heads) · head_dim. MLP: 3 · hidden · intermediate. "
            "Two norms. All of that times the layers; then the table, once if it is tied, and one norm more.",
        ),
        answers={"count": component.parts["count"]},
        why="Most of a small model is its MLP and its table; the norms are next to nothing.",
    ),
    Exercise(
        name="mended_heads",
        kind="find the bug",
        title="One step too far, and memory is full",
        text="A script halves the key-value heads of a model until it fits into memory: 8, 4, 2, 1. One step later, "
        "`1 // 2`, no error stops it, and the model is larger than ever. Here is the function that settles the number. "
        "Mend it, so that a given number stays what it is and a check can refuse it. And write the **probe**: a "
        "function that is given such a function and says whether it takes a 0 for what is missing.",
        task="Say whether settle(given) takes a given 0 for a number that is not given.",
        difficulty=2,
        importance=4,
        minutes=8,
        hints=(
            "What is `0 or 9` in Python? And `3 or 9`?",
            "*My probe says True of the mended one*: what comes out is right where nothing is given. Give a 0. *My "
            "probe misses one that makes 1 of the 0*: do not ask whether 9 comes out; ask whether 0 does.",
            "A dict can say whether a name is in it, and `get` takes a second value for what is not there. For the "
            "probe: call settle with two entries, one of them 0, and compare what comes out.",
        ),
        starter='''def mended_heads(given):
    """How many key-value heads: what is given, or one for each head. With a mistake: mend it."""
    return given.get("num_key_value_heads") or given["num_attention_heads"]


def takes_zero_for_missing(settle) -> bool:
    """Whether settle, a function such as mended_heads, takes a given 0 for a number that is not given."""
    raise NotImplementedError("Say whether settle(given) takes a given 0 for a number that is not given.")''',
        answers={"mended_heads": judge_heads, "takes_zero_for_missing": judge_zero},
        solution="""def mended_heads(given):
    return given.get("num_key_value_heads", given["num_attention_heads"])


def takes_zero_for_missing(settle) -> bool:
    return settle({"num_attention_heads": 9, "num_key_value_heads": 0}) != 0""",
        why="`or` asks whether a value is true; whether it is there is another question. Wherever 0, False or an empty "
        "list may be meant, ask for presence.",
    ),
    Exercise(
        name="count_older",
        kind="transfer",
        title="The older sister, counted",
        why="In the small shape biases and norms together are a tenth of a percent, and the table of words is 31 %. "
        "What Llama left out saves hardly a number: its norm and its missing biases are for other reasons.",
        difficulty=3,
        importance=3,
        minutes=10,
        seeded=seeded_older,
        **fields_of_older(1024),
    ),
)
