"""Meta's own layout: its names of the tensors, and its shards, each cut along one axis."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from .fields import as_read, warn_of_unknown
from .files import UNQUANTISED, find_file, open_pickle, shown

META_NAMES = {
    "tok_embeddings": "model.embed_tokens", "norm": "model.norm", "output": "lm_head",
    "attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attention.wq": "self_attn.q_proj", "attention.wk": "self_attn.k_proj", "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj", "feed_forward.w1": "mlp.gate_proj", "feed_forward.w3": "mlp.up_proj",
    "feed_forward.w2": "mlp.down_proj",
}  # fmt: skip

# Fields of params.json that would change the numbers, each with what it asks for.
PARAMS_REFUSED = {
    "vision_chunk_size": "pictures", "vision_num_cross_attention_layers": "pictures", "vision_args": "pictures",
    "vision_model": "pictures", "moe_args": "experts", "attention_chunk_size": "attention in chunks",
    "nope_layer_interval": "layers without rotary embedding", "use_qk_norm": "norms of queries and keys",
    "attn_temperature_tuning": "another temperature in long texts", "quantization_args": "quantised weights",
    "lora_args": "an adapter beside the weights",
}  # fmt: skip
# Those that act, and those that change no number: the sizes of matrices are read off the files.
PARAMS_KNOWN = frozenset(
    """dim n_layers n_heads n_kv_heads head_dim vocab_size norm_eps rope_theta use_scaled_rope rope_scaling_factor
    rope_high_freq_factor max_seq_len
    multiple_of ffn_dim_multiplier ffn_exp max_batch_size vision_max_num_chunks floor_scale attn_scale
    """.split()
)


def published_name(name: str) -> str:
    """Meta's name of a tensor → Hugging Face's; ValueError for one that no Llama has."""
    found = re.fullmatch(r"(layers\.\d+\.)?([\w.]+)\.weight", name)
    if not found or found[2] not in META_NAMES:
        raise ValueError(f"the file holds the tensor {shown(name)}, which no Llama of Meta's layout has")
    return ("model." + found[1] if found[1] else "") + META_NAMES[found[2]] + ".weight"


def meta_name(name: str) -> str:
    """Hugging Face's name of a tensor → Meta's."""
    layer, inner = re.fullmatch(r"(?:model\.(layers\.\d+\.))?(.+)\.weight", name).groups()
    return (layer or "") + {ours: meta for meta, ours in META_NAMES.items()}[inner] + ".weight"


def translate_params(params: Mapping, shapes: Mapping[str, tuple[int, ...]], shards: int) -> dict:
    """Meta's params.json in Hugging Face's fields; sizes that it leaves open are read off the tensors' `shapes`.

    `dim`, `n_heads` and `n_layers` are known to be whole numbers from 1 up.

    `use_scaled_rope` rarely says by which factor: it is then 32 up to width 3072 (Llama 3.2 with 1B and 3B), else 8.
    Unknown fields warn. Raises ValueError for one that would change the numbers and is not supported.
    """
    params = {name: value for name, value in params.items() if value is not None}  # null says nothing
    for name, asked in PARAMS_REFUSED.items():
        if params.get(name) and params[name] != -1:
            cure = f"; {UNQUANTISED}" if name == "quantization_args" else ""
            cure = "; merge it first" if name == "lora_args" else cure
            told = f"it asks for {asked}, which this package does not compute{cure}"
            raise ValueError(f"{name} must be absent, got {shown(params[name])}: {told}")
    if not isinstance(params.get("use_scaled_rope", False), bool):
        raise ValueError(f"use_scaled_rope must be true or false, got {shown(params['use_scaled_rope'])}")
    warn_of_unknown("params.json", params, PARAMS_KNOWN | PARAMS_REFUSED.keys())
    table, gate = shapes.get("tok_embeddings.weight", ()), shapes.get("layers.0.feed_forward.w1.weight", ())
    if len(table) != 2 or len(gate) != 2:
        raise ValueError("the files hold no tok_embeddings.weight or no layers.0.feed_forward.w1.weight")
    hidden = params["dim"]
    words = table[0] * table[1] * shards // hidden
    if params.get("vocab_size", -1) not in (-1, words):
        raise ValueError(f"vocab_size is {shown(params['vocab_size'])}, the table in the files has {words} rows")
    factors = {"factor": params.get("rope_scaling_factor", 32.0 if hidden <= 3072 else 8.0), "low_freq_factor": 1.0,
               "high_freq_factor": params.get("rope_high_freq_factor", 4.0)}  # fmt: skip
    scaling = {"rope_type": "llama3", **{name: as_read(name, value) for name, value in factors.items()},
               "original_max_position_embeddings": 8192.0}  # fmt: skip
    width = {"head_dim": params["head_dim"]} if "head_dim" in params else {}
    return {
        **width,
        "vocab_size": words,
        "hidden_size": hidden,
        "intermediate_size": gate[0] * shards,
        "num_hidden_layers": params["n_layers"],
        "num_attention_heads": params["n_heads"],
        "num_key_value_heads": params.get("n_kv_heads") or params["n_heads"],
        "max_position_embeddings": params.get("max_seq_len") or 2048,
        "rms_norm_eps": params.get("norm_eps", 1e-5),
        "rope_theta": as_read("rope_theta", params.get("rope_theta", 10000.0)),
        "rope_scaling": scaling if params.get("use_scaled_rope") else None,
        "tie_word_embeddings": "output.weight" not in shapes,
    }


def join(name: str, parts: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    """The shards of a tensor, side by side along the axis that was cut; where none was, all hold the same.

    Raises ValueError, with its name, where they do not fit together.
    """
    if tuple(parts[0].shape) == shape:
        return parts[0]
    for axis in range(len(shape)):
        sizes = [tuple(part.shape[:axis]) + tuple(part.shape[axis + 1 :]) for part in parts]
        whole = sum(part.shape[axis] if part.ndim == len(shape) else 0 for part in parts)
        if whole == shape[axis] and set(sizes) == {shape[:axis] + shape[axis + 1 :]}:
            return torch.cat(parts, dim=axis)
    held = " + ".join(str(tuple(part.shape)) for part in parts)
    raise ValueError(f"{name} is {held} in the files, params.json makes it {shape}")


def open_shards(directory: Path) -> list[dict[str, Tensor]]:
    """The tensors of consolidated.00.pth, consolidated.01.pth …, by shard; FileNotFoundError where one is missing."""
    files = [find_file(directory, file.name) for file in sorted(directory.glob("consolidated.*.pth"))]
    if not files:
        raise FileNotFoundError(f"no consolidated.00.pth in {directory}, which params.json asks for")
    if [file.name for file in files] != [f"consolidated.{i:02}.pth" for i in range(len(files))]:
        raise FileNotFoundError(f"a shard is missing in {directory}: it has {', '.join(file.name for file in files)}")
    return [open_pickle(file) for file in files]


def parts_of(name: str, shards: list[Mapping[str, Tensor]]) -> list[Tensor]:
    """A tensor's part in every shard, by Meta's name; ValueError where one is missing or is no plain float."""
    if any(name not in shard for shard in shards):
        raise ValueError(f"the tensor {name} is missing: params.json asks for it")
    parts = [shard[name] for shard in shards]
    if not all(part.is_floating_point() and part.layout == torch.strided for part in parts):
        raise ValueError(f"{name} is stored as {parts[0].dtype}: only floats can be read, not quantized weights")
    return parts
