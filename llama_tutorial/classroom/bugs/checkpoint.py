"""What goes wrong between a file and a model: names, shapes, and the order of rows.

`tensor_shapes` takes a LlamaConfig; `to_halves` takes a weight (rows, hidden) and how many heads its rows make.
"""

import torch
from einops import rearrange

from ...checkpoint import tensor_shapes
from ...config import LlamaConfig
from . import also, bug

REFUSED = "A sound file is refused: a tensor is missing, unknown, or of another shape."

MATRICES = [f"{part}_proj" for part in "q k v o gate up down".split()]


def _without(config, end):
    return {name: shape for name, shape in tensor_shapes(config).items() if not name.endswith(end)}


def _turned(config, *parts):
    """The shapes with those of some matrices the other way round."""
    shapes = tensor_shapes(config)
    return {name: shape[::-1] if name.split(".")[-2] in parts else shape for name, shape in shapes.items()}


def _turned_with_biases(config, *parts):
    """The same, and each bias as long as its matrix has rows then."""
    shapes = _turned(config, *parts)
    biases = {name: shapes[name.replace(".bias", ".weight")][:1] for name in shapes if name.endswith(".bias")}
    return shapes | biases


@bug(
    "tensor_shapes",
    symptom="A model with tied tables cannot be loaded: the file holds no lm_head.weight.",
    says="You list lm_head.weight although the tables are tied: then one tensor serves both, and the file holds it "
    "once. List it only without tie_word_embeddings.",
)
def lists_lm_head_when_tied(config):
    return {**tensor_shapes(config), "lm_head.weight": (config.vocab_size, config.hidden_size)}


@bug(
    "tensor_shapes",
    symptom="A model with two tables is refused for a lm_head.weight that nobody has a place for.",
    says="lm_head.weight is never listed. Without tie_word_embeddings there is a second table, (vocab, hidden).",
)
def forgets_lm_head(config):
    return _without(config, "lm_head.weight")


@bug(
    "tensor_shapes",
    symptom=REFUSED,
    says="lm_head.weight is turned round: nn.Linear keeps (out, in), and out is the vocabulary.",
)
def lm_head_turned(config):
    return _turned(config, "lm_head")


@bug(
    "tensor_shapes",
    symptom=REFUSED,
    says="The table of tokens is turned round: it has a row for each token, (vocab, hidden).",
)
def table_turned(config):
    return _turned(config, "embed_tokens")


@bug(
    "tensor_shapes",
    symptom="None with Llama, which has no biases. A model that has them is refused for unknown tensors.",
    says="There are no biases. attention_bias gives q, k, v and o one each, mlp_bias gate, up and down.",
)
def forgets_biases(config):
    return _without(config, ".bias")


@bug(
    "tensor_shapes",
    symptom="Every Llama is refused: a bias is missing.",
    says="You list biases that nobody asked for: only attention_bias and mlp_bias bring them.",
)
def biases_always(config):
    return tensor_shapes(LlamaConfig(config, attention_bias=True, mlp_bias=True))


@bug(
    "tensor_shapes",
    symptom="A model with biases in one half of its layers only is refused.",
    says="One switch turns on all biases. attention_bias is for q, k, v and o; mlp_bias for gate, up and down.",
)
def one_switch_for_all_biases(config):
    both = config.attention_bias or config.mlp_bias
    return tensor_shapes(LlamaConfig(config, attention_bias=both, mlp_bias=both))


@also("one_switch_for_all_biases", "tensor_shapes")
def attention_switch_for_all_biases(config):
    return tensor_shapes(LlamaConfig(config, mlp_bias=config.attention_bias))


@bug(
    "tensor_shapes",
    symptom="A Llama with attention_bias is refused: the file holds a bias of o_proj.",
    says="o_proj has no bias in your list. That is Qwen's way; Llama's attention_bias is for all four.",
)
def no_bias_in_o(config):
    return _without(config, "o_proj.bias")


@bug(
    "tensor_shapes",
    symptom=REFUSED,
    says="A bias is as long as its matrix has columns in your list. It is added to what comes out, so it is as long "
    "as there are rows: the first number of the shape.",
)
def bias_as_long_as_the_input(config):
    shapes = tensor_shapes(config)
    inputs = {name: shapes[name.replace(".bias", ".weight")][1:] for name in shapes if name.endswith(".bias")}
    return shapes | inputs


@bug(
    "tensor_shapes",
    symptom=REFUSED,
    says="The norms have biases in your list. RMSNorm has a gain and nothing else.",
)
def norms_with_biases(config):
    shapes = tensor_shapes(config)
    return shapes | {name.replace(".weight", ".bias"): shape for name, shape in shapes.items() if "norm" in name}


@bug(
    "tensor_shapes",
    symptom="None while heads · head_dim is hidden_size, as in Llama: then o_proj is square.",
    says="o_proj has the shape of q_proj. It leads back: hidden rows, and a column for each number of each head.",
)
def o_like_q(config):
    return _turned(config, "o_proj")


@also("o_like_q", "tensor_shapes")
def o_like_q_and_its_bias(config):
    return _turned_with_biases(config, "o_proj")


@bug(
    "tensor_shapes",
    symptom=REFUSED,
    says="down_proj has the shape of gate and up. It leads back: (hidden, intermediate).",
)
def down_like_up(config):
    return _turned(config, "down_proj")


@also("down_like_up", "tensor_shapes")
def down_like_up_and_its_bias(config):
    return _turned_with_biases(config, "down_proj")


@bug(
    "tensor_shapes",
    symptom=REFUSED,
    says="The matrices are turned round: you have (in, out), as in x W. nn.Linear keeps (out, in).",
)
def all_turned(config):
    return _turned(config, *MATRICES)


@also("all_turned", "tensor_shapes")
def all_turned_and_their_biases(config):
    return _turned_with_biases(config, *MATRICES)


@bug(
    "tensor_shapes",
    symptom="None with Llama, where head_dim is hidden_size / heads. Models that choose another are refused.",
    says="You take head_dim to be hidden_size / num_attention_heads. A config may say another: use its head_dim.",
)
def head_dim_from_hidden(config):
    return tensor_shapes(LlamaConfig(config, head_dim=config.hidden_size // config.num_attention_heads))


@bug(
    "tensor_shapes",
    symptom="None with Llama 2 7B, which has as many key-value heads as heads. Every Llama 3 is refused.",
    says="k and v have as many heads as q in your list. They have num_key_value_heads.",
)
def as_many_kv_heads(config):
    return tensor_shapes(LlamaConfig(config, num_key_value_heads=config.num_attention_heads))


@bug(
    "tensor_shapes",
    symptom=REFUSED,
    says="Your layers are numbered from 1. The first is model.layers.0.",
)
def layers_from_one(config):
    shapes = tensor_shapes(config)
    for i in reversed(range(config.num_hidden_layers)):
        shapes = {name.replace(f"layers.{i}.", f"layers.{i + 1}."): shape for name, shape in shapes.items()}
    return shapes


@bug(
    "tensor_shapes",
    symptom="A file with more layers is refused for unknown tensors.",
    says="Only one layer is listed. There are num_hidden_layers of them, each with the same names.",
)
def one_layer(config):
    return tensor_shapes(LlamaConfig(config, num_hidden_layers=1))


@bug(
    "tensor_shapes",
    symptom=REFUSED,
    says="The names lack their beginning: all but lm_head stand inside `model.`.",
)
def without_model(config):
    return {name.removeprefix("model."): shape for name, shape in tensor_shapes(config).items()}


@bug(
    "tensor_shapes",
    symptom="Every file is refused for a model.norm.weight that nobody has a place for.",
    says="The last norm is missing: model.norm.weight stands after the layers.",
)
def forgets_the_last_norm(config):
    return _without(config, "model.norm.weight")


# ------------------------------------------------------------------------------------------------- order of the rows


@bug(
    "to_halves",
    symptom="The first token is right, all others are not: pairs are turned that do not belong together.",
    says="You go the other way: halves become neighbours. Read rows as (head pair two), write them as "
    "(head two pair).",
)
def the_way_back(weight, heads):
    return rearrange(weight, "(head two pair) hidden -> (head pair two) hidden", head=heads, two=2)


@bug(
    "to_halves",
    symptom="None with one head. With several, the first token is right and all others are not.",
    says="All rows are taken for one head: the first half of yours holds first numbers of all heads. "
    "Keep each head together: (head two pair).",
)
def one_head_for_all(weight, heads):
    return rearrange(weight, "(pair two) hidden -> (two pair) hidden", two=2)


@bug(
    "to_halves",
    symptom="The first token is right, all others are not: q and k read other numbers than they learnt to.",
    says="You move columns. What a head gives stands in rows; columns are what comes in, and stay.",
)
def columns(weight, heads):
    return rearrange(weight, "rows (head pair two) -> rows (head two pair)", head=heads, two=2)


@also("columns", "to_halves")
def columns_by_transposing(weight, heads):
    return one_head_for_all(weight.T, heads).T


@bug(
    "to_halves",
    symptom="The first token is right, all others are not.",
    says="You count `heads` pairs in each head, where there are `heads` heads. Name it: head=heads.",
)
def heads_taken_for_pairs(weight, heads):
    return rearrange(weight, "(head pair two) hidden -> (head two pair) hidden", pair=heads, two=2)


@bug(
    "to_halves",
    symptom="The first token is right, all others are not, as if nothing had been done.",
    says="Every row stands where it stood: a reshape alone moves nothing. Exchange the axes pair and two in between.",
)
def reshaped_only(weight, heads):
    cut = weight.reshape(heads, -1, 2, weight.shape[1])
    return cut.reshape(heads, 2, -1, weight.shape[1]).reshape(weight.shape).clone()


@bug(
    "to_halves",
    symptom="The first token is right; the others are off, since every angle turns the other way.",
    says="The halves are exchanged: the second number of each pair comes first in yours.",
)
def halves_exchanged(weight, heads):
    first, second = rearrange(weight, "(head pair two) hidden -> two head pair hidden", head=heads, two=2)
    return rearrange([second, first], "two head pair hidden -> (head two pair) hidden")


@bug(
    "to_halves",
    symptom="None with one head. With several, the first token is right and all others are not.",
    says="You exchange heads with something else. Heads stay in their order; pair and two change places within each.",
)
def heads_moved(weight, heads):
    return weight.reshape(heads, -1, 2, weight.shape[1]).transpose(0, 1).reshape(weight.shape)


@also("heads_moved", "to_halves")
def heads_moved_last(weight, heads):
    return weight.reshape(heads, -1, 2, weight.shape[1]).transpose(0, 2).reshape(weight.shape)


@bug(
    "to_halves",
    symptom="An error about dtypes in a bfloat16 model; where something converts back, only time and memory.",
    says="It returns float32 whatever it is given. Moving rows changes no number: keep the weight's dtype.",
)
def in_float32(weight, heads):
    return rearrange(weight.to(torch.float32), "(head pair two) hidden -> (head two pair) hidden", head=heads, two=2)
