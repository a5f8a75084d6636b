"""Start here

The one description of a Llama that every part reads: its sizes, checked once.
"""

# Exported from notebooks/00_start_here.ipynb; edit the lesson, not this file.

__all__ = [
    "IGNORED_FIELDS", "REQUIRED_VALUES", "SWITCHES", "REALS", "Fields", "nearest", "LlamaConfig", "ignored",
    "check_mapping", "settled", "complete", "check_field", "check_number", "check_shape", "check_tensor",
    "has_shape", "check_hidden",
]

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch


class Fields(Mapping):
    """A dataclass that reads like a dict: `config["vocab_size"]`, `dict(config)`, `{**config}`."""

    def __getitem__(self, name):
        if name not in self:
            raise KeyError(f"{type(self).__name__} has no field {name!r}{nearest(name, list(self))}")
        return getattr(self, name)

    def __contains__(self, name):
        return name in self.__dataclass_fields__

    def __iter__(self):
        return iter(self.__dataclass_fields__)

    def __len__(self):
        return len(self.__dataclass_fields__)


def nearest(name, known):
    """The hint ': did you mean ...?' for a misspelt name, or the list of names."""
    match = difflib.get_close_matches(str(name), known, n=1)
    return f": did you mean {match[0]!r}?" if match else f"; its fields are {', '.join(known)}"


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
    max_position_embeddings: int = 2048  # the length it was trained on; longer input is not refused
    rms_norm_eps: float = 1e-5  # keeps a vector of zeros from dividing by zero
    rope_theta: float = 10000.0  # base of the rotary wavelengths
    rope_scaling: dict | None = None  # how the wavelengths are stretched; None leaves them
    attention_bias: bool = False  # biases in q, k, v and o
    mlp_bias: bool = False  # biases in gate, up and down
    tie_word_embeddings: bool = True  # input and output embedding are one tensor
    initializer_range: float = 0.02  # standard deviation of fresh weights

    def __init__(self, config: Mapping | None = None, /, **given):
        for name, value in settled({**check_mapping(config), **given}, fields(self)).items():
            object.__setattr__(self, name, value)
        check_shape(self)


# What published config.json files also carry and what changes no number here.
IGNORED_FIELDS = frozenset(
    "architectures model_type torch_dtype dtype transformers_version use_cache pretraining_tp attention_dropout "
    "bos_token_id eos_token_id pad_token_id hidden_act rope_interleaved _name_or_path is_llama_config "
    "output_attentions output_hidden_states return_dict chunk_size_feed_forward is_encoder_decoder".split()
)
# Of those, the ones that would change the numbers if they had another value.
REQUIRED_VALUES = {"model_type": "llama", "hidden_act": "silu", "rope_interleaved": False, "is_encoder_decoder": False}


def ignored(name, value):
    """Whether a published field can be left out; ValueError where its value would change the numbers."""
    if name in REQUIRED_VALUES and value != REQUIRED_VALUES[name]:
        raise ValueError(f"{name} must be {REQUIRED_VALUES[name]!r}, got {value!r}: this package builds Llama only")
    return name in IGNORED_FIELDS


def check_mapping(config, name="config"):
    """The given fields as a dict, {} for None; TypeError for anything that is not a mapping."""
    if config is None:
        return {}
    if not isinstance(config, Mapping):
        kinds = "a LlamaConfig or a dict" if name == "config" else "a dict"
        raise TypeError(f"{name} must be {kinds}, got {type(config).__name__} {config!r:.80}")
    return dict(config)


def settled(given, known):
    """The value of every known field, each checked: given, following from a given one, or the default."""
    given = {name: value for name, value in given.items() if not ignored(name, value)}
    names = [field.name for field in known]
    for name in given:
        if name not in names:
            raise TypeError(f"LlamaConfig has no field {name!r}{nearest(name, names)}")
    values = {field.name: field.default for field in known} | complete(given)
    return {name: check_field(name, value) for name, value in values.items()}


def complete(given):
    """The given fields and those that follow from them: key-value heads and the width of a head."""
    given = {name: value for name, value in given.items() if value is not None}
    heads = given.get("num_attention_heads", LlamaConfig.num_attention_heads)
    hidden = given.get("hidden_size", LlamaConfig.hidden_size)
    if "num_attention_heads" in given:
        given.setdefault("num_key_value_heads", heads)
    if "head_dim" not in given:
        check_field("num_attention_heads", heads), check_field("hidden_size", hidden)
        if hidden % heads:
            raise ValueError(
                f"hidden_size must divide into num_attention_heads equal heads, got {hidden} / {heads}: "
                "change one of them, or give head_dim"
            )
        given["head_dim"] = hidden // heads
    return given


SWITCHES = ("attention_bias", "mlp_bias", "tie_word_embeddings")
REALS = ("rms_norm_eps", "rope_theta", "initializer_range")


def check_field(name, value):
    """The value of one field; TypeError for a wrong kind, ValueError for an impossible size."""
    if name == "rope_scaling":
        return check_mapping(value, name) or None
    if name in SWITCHES:
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, got {value!r}")
        return value
    may_be_zero = name in ("rms_norm_eps", "initializer_range")
    return check_number(name, value, "[0, ∞)" if may_be_zero else "(0, ∞)", whole=name not in REALS)


def check_number(name, value, interval="(0, ∞)", whole=False):
    """The value; TypeError unless it is a number (`whole`: a whole one), ValueError unless it lies in the interval."""
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise TypeError(f"{name} must be a {'whole ' * whole}number in {interval}, got {value!r}")
    low, high = (float(end) for end in interval[1:-1].replace("∞", "inf").split(","))
    at_an_end = (value == low and interval[0] == "[") or (value == high and interval[-1] == "]")
    if not (low < value < high or at_an_end):
        raise ValueError(f"{name} must lie in {interval}, got {value}")
    return value


def check_shape(config):
    """ValueError where the sizes do not fit together."""
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    if heads % kv_heads:
        raise ValueError(
            f"num_attention_heads must be a multiple of num_key_value_heads, got {heads} and {kv_heads}: "
            "every key-value head serves an equal group of queries"
        )
    if config.head_dim % 2:
        raise ValueError(f"head_dim must be even, got {config.head_dim}: rotary embeddings turn pairs of numbers")


def check_tensor(name, x, kinds, *shapes):
    """TypeError unless x is a tensor of `kinds`, such as "floats or integers"; ValueError unless it has a given shape.

    A shape holds sizes, and words where any size but zero will do; it may begin with "..." for any further axes.
    """
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name} must be a tensor of {kinds}, got {type(x).__name__}")
    kind = "floats" if x.is_floating_point() else "complex" if x.is_complex() else "integers"
    if ("bool" if x.dtype == torch.bool else kind) not in kinds:
        raise TypeError(f"{name} must be a tensor of {kinds}, got {x.dtype}")
    if 0 in x.shape or not any(has_shape(tuple(x.shape), shape) for shape in shapes):
        told = " or ".join(str(shape).replace("'", "") for shape in shapes)
        raise ValueError(f"{name} must be {told} with no empty axis, got {tuple(x.shape)}")


def has_shape(found, shape):
    """Whether sizes fit a shape as `check_tensor` takes it."""
    if shape[0] == "...":
        found, shape = found[len(found) + 1 - len(shape) :], shape[1:]
    return len(found) == len(shape) and all(isinstance(want, str) or size == want for size, want in zip(found, shape))


def check_hidden(x, width, owner, weight=None, axes=("...",)):
    """Refuse vectors that `owner` cannot read: no floats, another width, other axes, a dtype not that of `weight`."""
    check_tensor(f"the input of {owner}", x, "floats", (*axes, width))
    if weight is not None and x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
        raise TypeError(f"{owner} has weights of {weight.dtype}, got an input of {x.dtype}: move one with .to(dtype)")
