"""Start here

The one description of a Llama that every part reads: its sizes, checked once.
"""

# Exported from notebooks/00_start_here.ipynb; edit the lesson, not this file.

__all__ = ["LlamaConfig", "what_follows", "check_shape"]

from collections.abc import Mapping
from dataclasses import dataclass

from .doors import Fields, check_mapping


@dataclass(frozen=True, init=False)
class LlamaConfig(Fields):
    """The sizes of a Llama, under the names that published checkpoints use.

    Give fields by name (`LlamaConfig(hidden_size=64, ...)`), or one dict or LlamaConfig, or both: names win.
    A field that is not given takes the value below, which is the 135M shape; `num_key_value_heads` follows
    `num_attention_heads` where only that is given, and `head_dim` is `hidden_size / num_attention_heads`.
    It reads like a dict: `config["vocab_size"]`, `dict(config)`.

    Raises TypeError for a name that is not a field (it says the nearest one) and ValueError for an impossible size.
    Source: Touvron et al. 2023, and the `config.json` of Hugging Face's Llama.
    """

    vocab_size: int = 49152  # how many different tokens there are
    hidden_size: int = 576  # numbers per token in the residual stream
    intermediate_size: int = 1536  # numbers per token inside the MLP
    num_hidden_layers: int = 30  # decoder layers, one after the other
    num_attention_heads: int = 9  # heads that ask (queries)
    num_key_value_heads: int = 3  # heads that answer (keys and values), shared by groups of queries
    head_dim: int = 64  # numbers per head
    max_position_embeddings: int = 2048  # the length it was trained on; only `dynamic` scaling refuses longer input
    rms_norm_eps: float = 1e-5  # keeps a vector of zeros from dividing by zero
    rope_theta: float = 10000.0  # base of the rotary wavelengths
    rope_scaling: dict | None = None  # how the wavelengths are stretched; None leaves them
    attention_bias: bool = False  # biases in q, k, v and o
    mlp_bias: bool = False  # biases in gate, up and down
    tie_word_embeddings: bool = True  # input and output embedding are one tensor
    initializer_range: float = 0.02  # standard deviation of fresh weights

    def __init__(self, config: Mapping | None = None, /, **given):
        known = self.known({**check_mapping(config), **given})
        self.settle(known | what_follows(known))
        check_shape(self)


def what_follows(given: Mapping) -> dict[str, int]:
    """The fields that follow from others where they are not given: key-value heads, and the width of a head."""
    heads = given.get("num_attention_heads", LlamaConfig.num_attention_heads)
    hidden = given.get("hidden_size", LlamaConfig.hidden_size)
    kv_heads = given.get("num_key_value_heads", given.get("num_attention_heads", LlamaConfig.num_key_value_heads))
    if "head_dim" not in given and hidden % heads:
        raise ValueError(
            f"hidden_size must divide into num_attention_heads equal heads, got {hidden} / {heads}: "
            "change one of them, or give head_dim"
        )
    return {"num_key_value_heads": kv_heads, "head_dim": given.get("head_dim", hidden // heads)}


def check_shape(config: Mapping):
    """ValueError where the sizes do not fit together."""
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    if heads % kv_heads:
        raise ValueError(
            f"num_attention_heads must be a multiple of num_key_value_heads, got {heads} and {kv_heads}: "
            "every key-value head serves an equal group of queries"
        )
    if config["head_dim"] % 2:
        raise ValueError(f"head_dim must be even, got {config['head_dim']}: rotary embeddings turn pairs of numbers")
