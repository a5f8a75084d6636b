"""The config: what its numbers cost, what goes wrong in counting them, and the exercises of the first lesson.

A subject is called as count(config) with a LlamaConfig, and gives a whole number.
"""

import torch

from ...config import LlamaConfig
from ..course.exercise import Exercise, own
from ..judge.guard import call
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


def counts(name: str, says: str, **fields):
    """Enter the case `name`: how many numbers a small model with these fields has."""
    CASES(says)(lambda count: torch.tensor(count(LlamaConfig(SMALL | fields)))).__name__ = name


counts("no_layer", "no layer: a table and the last norm", num_hidden_layers=0)
counts("one_layer", "one layer")
counts("six_layers", "six layers", num_hidden_layers=6)
counts("shared", "shared heads: keys and values are made for fewer", num_key_value_heads=1)
counts("wide_heads", "heads that are not hidden_size / heads wide", head_dim=6)
counts("untied", "an output table of its own", tie_word_embeddings=False)
counts("whole", "a larger model", hidden_size=12, intermediate_size=30, num_hidden_layers=3, num_attention_heads=6,
       num_key_value_heads=3, vocab_size=101)  # fmt: skip


def adapt(answer):
    """A function of a config as the subject of the cases."""
    return lambda config: call(answer, config)


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
bug("no_last_norm", {" * layer + config.hidden_size": " * layer"},
    says="After the last layer stands one more norm, of hidden_size gains.")
bug("one_layer", {"config.num_hidden_layers * layer": "layer"},
    says="You count one layer. There are num_hidden_layers of them, each with weights of its own.")
# fmt: on


# ----------------------------------------------------------------------------------------------------- the exercises

component.exercises = (
    Exercise(
        **own(count, "Count the numbers that a model of that config is made of."),
        text="How many numbers is a model made of? Write `count(config)`: one table of words, the layers, and a last "
        "norm. Each layer has attention (`q_proj`, `k_proj`, `v_proj`, `o_proj`), an MLP (`gate_proj`, `up_proj`, "
        "`down_proj`) and two norms. A matrix has as many numbers as it takes in times as it gives out; a norm has "
        "`hidden_size`. There are no biases. The 135M shape, `count(LlamaConfig())`, has 134,515,008.",
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
)
