"""What must hold of names, shapes and the order of rows. Subjects: tensor_shapes(config), to_halves(weight, heads)."""

import re

import torch

from ...checkpoint import tensor_shapes, to_halves
from ...config import LlamaConfig
from ..guard import Fault, call
from . import Case, Exercise, collect, normal, wrong_versions

SIZES = {
    "vocab_size": 37, "hidden_size": 24, "intermediate_size": 52, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "head_dim": 10,
}  # fmt: skip
AGREE = torch.ones(1)  # what a case gives where every name has its shape

SHAPES: list[Case] = []
case = collect(SHAPES)


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


@case("the table of tokens and the last norm stand outside the layers")
def outside(shapes):
    return agree(shapes, r"embed_tokens|^(model\.)?norm")


@case("layers are numbered from 0")
def numbered(shapes):
    found = [re.search(r"layers\.(\d+)\.", name) for name in listed(shapes, LlamaConfig(SIZES))]
    numbers = sorted({int(number[1]) for number in found if number})
    if numbers != [0, 1, 2]:
        raise Fault(f"Three layers are numbered {numbers or 'not at all'}, where 0, 1, 2 belong.")
    return AGREE


@case("each layer has two norms, each a gain for every dimension")
def norms(shapes):
    return agree(shapes, "layernorm")


@case("q has a row for each number of each head")
def queries(shapes):
    return agree(shapes, r"q_proj")


@case("k and v have rows for num_key_value_heads")
def keys_and_values(shapes):
    return agree(shapes, r"[kv]_proj")


@case("o leads from the heads back to the hidden size")
def leads_back(shapes):
    return agree(shapes, r"o_proj")


@case("gate and up lead into the MLP, down leads back")
def mlp(shapes):
    return agree(shapes, r"mlp")


@case("attention_bias: q, k, v and o have biases, the MLP has none")
def attention_biases(shapes):
    return agree(shapes, r"\.bias$", attention_bias=True)


@case("mlp_bias: gate, up and down have biases, attention has none")
def mlp_biases(shapes):
    return agree(shapes, r"\.bias$", mlp_bias=True)


@case("no biases unless they are asked for")
def no_biases(shapes):
    return agree(shapes, r"\.bias$")


@case("tables that are tied: there is no lm_head")
def tied(shapes):
    return agree(shapes, "lm_head", tie_word_embeddings=True)


@case("tables that are not tied: lm_head is one of its own")
def untied(shapes):
    return agree(shapes, "lm_head", tie_word_embeddings=False)


@case("every name of an untied model with all biases")
def everything(shapes):
    return agree(shapes, "", attention_bias=True, mlp_bias=True, tie_word_embeddings=False)


ROWS: list[Case] = []
case = collect(ROWS)


@case("one head of three pairs: first numbers, then second numbers", "row column")
def one_head(move):
    return move(normal(1, 6, 4), 1)


@case("every head by itself", "row column")
def many_heads(move):
    return move(normal(2, 30, 20), 5)


@case("columns stay in their places", "row column")
def square(move):
    return move(normal(3, 24, 24), 4)


@case("two heads, as k has", "row column")
def few_heads(move):
    return move(normal(4, 20, 8), 2)


@case("a head of 64 numbers", "row column")
def wide_heads(move):
    return move(normal(5, 192, 12), 3)


@case("bfloat16 and float64 stay what they are")
def dtypes(move):
    return tuple(move(normal(6, 12, 8, dtype=dtype), 2) for dtype in (torch.bfloat16, torch.float64))


def plainly(function):
    def subject(*args):
        return call(function, *args)

    return subject


EXERCISES = (
    Exercise("tensor_shapes", tensor_shapes, plainly, tuple(SHAPES), wrong_versions("tensor_shapes")),
    Exercise("to_halves", to_halves, plainly, tuple(ROWS), wrong_versions("to_halves")),
)
