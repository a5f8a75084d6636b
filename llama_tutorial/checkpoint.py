"""Real weights

Published checkpoints come in, give the numbers that the large libraries give, and go out again.
"""

# Exported from notebooks/14_real_weights.ipynb; edit the lesson, not this file.

__all__ = [
    "MEGABYTE", "PUBLISHED_DEFAULTS", "HARMLESS", "ONLY", "ROPE_FIELDS", "YARN_OPTIONS", "FLOATS", "REFUSED",
    "DTYPES", "META_NAMES", "ALL_FILES", "SPECIAL_IDS", "find_file", "read_json", "tensor_shapes",
    "with_biases", "translate_config", "as_read", "shown", "warn_of_unknown", "translate_rope", "check_ropes",
    "yarn_frequencies", "grown", "rotary_frequencies", "Stored", "read_header", "stored_tensors",
    "check_tensors", "tensor_reader", "NothingDrawn", "nothing_collected", "fill", "looks_finite",
    "check_dtype", "published_name", "meta_name", "translate_params", "open_pickle", "join", "meta_reader",
    "read_meta", "locate", "download", "from_pretrained", "read_config", "published_dtype", "settle_tie",
    "special_ids", "check_id", "to_halves", "to_neighbours", "save_pretrained", "write_weights", "ids_of",
    "published_config", "bytes_of", "write_json", "flush", "written_anew", "link", "swap",
]

import gc
import json
import math
import os
import re
import shutil
import sys
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
import torch.overrides
from einops import rearrange
from torch import Tensor, nn

from .causal_lm import LlamaForCausalLM
from .config import LlamaConfig, check_number
from .rotary import SCALINGS, LlamaRotaryEmbedding, check_scaling

MEGABYTE = 1_000_000


def find_file(directory: Path, name: str, needed: bool = True) -> Path | None:
    """A file of a checkpoint, or None where there is none and none is needed.

    Raises ValueError for a name that is not that of a file in the directory, or for a link that leads out of it (save
    into the hub's own cache, whose snapshots are links); FileNotFoundError where a needed file is missing.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[\w][\w.+-]{0,199}", name, re.ASCII):
        raise ValueError(f"a checkpoint names its own files, without any path, got {shown(name)} in {directory}")
    path = directory / name
    try:
        home, real = directory.resolve(), path.resolve()
    except (OSError, RuntimeError) as error:  # a link to itself
        raise ValueError(f"{path} cannot be followed: {error}") from None
    in_cache = home.parent.name == "snapshots" and home.parents[1].name.startswith("models--")
    if not real.is_relative_to(home.parents[2] if in_cache else home):
        raise ValueError(f"{path} is a link to {real}, outside the checkpoint: put a copy of the file in its place")
    if path.is_file():
        return path
    if needed or path.exists():
        raise FileNotFoundError(f"no {name} in {directory}: a checkpoint's directory has one" if not path.exists()
                                else f"{path} is not a file")
    return None


def read_json(path: Path, megabytes: int = 16) -> dict:
    """The object in a JSON file; ValueError where it is too large, not JSON, or no object."""
    try:
        if path.stat().st_size > megabytes * MEGABYTE:
            raise ValueError(f"it has more than {megabytes} MB")
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}, not an object in braces")
    except RecursionError:
        raise ValueError(f"{path} is not the JSON of a checkpoint: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not the JSON of a checkpoint: {error}") from None
    return content


def tensor_shapes(config: LlamaConfig) -> dict[str, tuple[int, ...]]:
    """The name and shape of every tensor of a Llama, in the order in which it reads them."""
    hidden, ffn = config.hidden_size, config.intermediate_size
    q, kv = (heads * config.head_dim for heads in (config.num_attention_heads, config.num_key_value_heads))
    parts = {"q": (q, hidden), "k": (kv, hidden), "v": (kv, hidden), "o": (hidden, q)}
    attention = {f"self_attn.{part}_proj.weight": shape for part, shape in parts.items()}
    sizes = {"gate": (ffn, hidden), "up": (ffn, hidden), "down": (hidden, ffn)}
    mlp = {f"mlp.{part}_proj.weight": shape for part, shape in sizes.items()}
    layer = {"input_layernorm.weight": (hidden,), **with_biases(attention, config.attention_bias)}
    layer |= {"post_attention_layernorm.weight": (hidden,), **with_biases(mlp, config.mlp_bias)}
    table = (config.vocab_size, hidden)
    depth = range(config.num_hidden_layers)
    layers = {f"model.layers.{i}.{name}": shape for i in depth for name, shape in layer.items()}
    head = {} if config.tie_word_embeddings else {"lm_head.weight": table}
    return {"model.embed_tokens.weight": table, **layers, "model.norm.weight": (hidden,), **head}


def with_biases(weights, biased):
    """The shapes of some weights and, where they have biases, of those."""
    biases = {name.replace(".weight", ".bias"): shape[:1] for name, shape in weights.items()}
    return weights | (biases if biased else {})


# What Hugging Face's Llama takes where a config.json says nothing.
PUBLISHED_DEFAULTS = {
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32, "max_position_embeddings": 2048, "initializer_range": 0.02, "rms_norm_eps": 1e-6,
    "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False,
}  # fmt: skip
# Fields that change no number here: about training, about generation, about other tasks.
HARMLESS = frozenset(
    """architectures torch_dtype dtype transformers_version use_cache pretraining_tp attention_dropout bos_token_id
    eos_token_id pad_token_id sep_token_id decoder_start_token_id _name_or_path name_or_path is_llama_config
    output_attentions output_hidden_states output_scores return_dict return_dict_in_generate chunk_size_feed_forward
    attn_implementation _attn_implementation _attn_implementation_autoset _flash_attn_2_enabled torchscript
    use_bfloat16 id2label label2id problem_type num_labels finetuning_task task_specific_params prefix
    tokenizer_class model_max_length max_length min_length do_sample early_stopping num_beams num_beam_groups
    diversity_penalty temperature top_k top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size
    encoder_no_repeat_ngram_size bad_words_ids num_return_sequences forced_bos_token_id forced_eos_token_id
    remove_invalid_values suppress_tokens begin_suppress_tokens exponential_decay_length_penalty pruned_heads
    tf_legacy_loss gradient_checkpointing max_window_layers use_sliding_window _from_model_config unsloth_version
    unsloth_fixed
    """.split()
)
# Fields that would change the numbers, and the only value of each with which this Llama gives the right ones.
ONLY = {
    "model_type": "llama", "hidden_act": "silu", "rope_interleaved": False, "is_encoder_decoder": False,
    "sliding_window": None, "layer_types": None, "quantization_config": None, "partial_rotary_factor": 1.0,
    "add_cross_attention": False, "cross_attention_hidden_size": None, "tie_encoder_decoder": False,
    "no_rope_layers": None, "attn_logit_softcapping": None, "final_logit_softcapping": None,
}  # fmt: skip


def translate_config(published: Mapping) -> LlamaConfig:
    """The LlamaConfig of a published config.json: omitted fields take Hugging Face's defaults, all spellings are read.

    Fields that change nothing here are left out, unknown ones warn. Raises ValueError for one that would change the
    numbers and is not supported, and for a value that is impossible.
    """
    given = {name: value for name, value in published.items() if value is not None}
    for name, value in given.items():
        if name in ONLY and value != ONLY[name]:
            needed = "absent" if ONLY[name] is None else repr(ONLY[name])
            raise ValueError(f"{name} must be {needed}, got {shown(value)}: it changes what this package computes")
    theta, scaling = translate_rope(given)
    known = {name: given.pop(name) for name in LlamaConfig.__dataclass_fields__ if name in given}
    known |= {"rope_theta": theta, "rope_scaling": scaling}
    warn_of_unknown("config.json", given, HARMLESS | ONLY.keys() | ROPE_FIELDS)
    try:
        return LlamaConfig({**PUBLISHED_DEFAULTS, **{name: as_read(name, value) for name, value in known.items()}})
    except TypeError as error:
        raise ValueError(str(error)) from None


def as_read(name, value):
    """A field as LlamaConfig takes it; ValueError for a whole number too large to be a float."""
    try:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) and name in FLOATS else value
    except OverflowError:
        raise ValueError(f"{name} must be a number that a float can hold, got a far larger one") from None


def shown(value):
    """A value for a message: its first 200 characters."""
    return repr(value)[:200]


def warn_of_unknown(where, fields, known):
    """Name the fields that nobody here knows."""
    unknown = sorted(set(fields) - set(known))
    if unknown:
        named = ", ".join(unknown)[:300]
        warnings.warn(f"{where} has fields that this package does not know and leaves out: {named}", stacklevel=3)


ROPE_FIELDS = {"rope_theta", "rope_scaling", "rope_parameters", "original_max_position_embeddings"}
YARN_OPTIONS = ("attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate")
FLOATS = {"rms_norm_eps", "rope_theta", "initializer_range", "factor", "low_freq_factor", "high_freq_factor",
          "original_max_position_embeddings", *YARN_OPTIONS}
REFUSED = {"dynamic": "its wavelengths change as the text grows, so that keys in the cache become wrong"}


def translate_rope(given: Mapping) -> tuple[float, dict | None]:
    """Base and scaling of the rotary embedding, from `rope_theta` and `rope_scaling` or from `rope_parameters`.

    Its kind stands under `rope_type` or, in older files, `type`. Where a length of training is needed and not given,
    it is `max_position_embeddings`. Raises ValueError for a kind that is not supported, saying why.
    """
    rope = check_ropes(given.get("rope_scaling"), given.get("rope_parameters"))
    theta = as_read("rope_theta", rope.pop("rope_theta", given.get("rope_theta", 10000.0)))
    kind, old = rope.pop("rope_type", None), rope.pop("type", None)
    kind = kind or old or "default"
    if not isinstance(kind, str) or kind not in SCALINGS:
        why = REFUSED.get(kind, "this package does not compute it") if isinstance(kind, str) else "it is no name"
        known = ", ".join(SCALINGS)
        raise ValueError(f"rope_scaling of type {shown(kind)} is not supported, because {why}; {known} are")
    if rope.pop("partial_rotary_factor", 1.0) != 1.0:
        raise ValueError("partial_rotary_factor must be 1.0: this package turns all pairs of a head")
    length = given.get("original_max_position_embeddings") or rope.get("original_max_position_embeddings")
    longest = given.get("max_position_embeddings", PUBLISHED_DEFAULTS["max_position_embeddings"])
    if "original_max_position_embeddings" in SCALINGS[kind]:
        rope["original_max_position_embeddings"] = length or longest
    if kind == "yarn" and rope.get("factor") is None:
        check_number("max_position_embeddings", longest), check_number("the length of training", length or longest)
        rope["factor"] = longest / (length or longest)
    known = {*SCALINGS[kind], *(YARN_OPTIONS if kind == "yarn" else ())}
    warn_of_unknown("rope_scaling", rope, known | {"original_max_position_embeddings", "factor", "finetuned"})
    numbers = {name: as_read(name, value) for name, value in rope.items() if name in known and value is not None}
    scaling = {"rope_type": kind, **numbers}
    check_scaling(scaling)
    return theta, None if kind == "default" else scaling


def check_ropes(scaling, parameters):
    """The entry that says how positions turn, as a dict; ValueError for no dict, or for two that disagree."""
    for entry in (scaling, parameters):
        if not isinstance(entry, dict | None):
            raise ValueError(f"rope_scaling and rope_parameters must be objects in braces, got {shown(entry)}")
    if scaling and parameters and any(parameters.get(name, value) != value for name, value in scaling.items()):
        raise ValueError(f"rope_scaling and rope_parameters disagree, remove one of them: {scaling}, {parameters}")
    return {**(parameters or {}), **(scaling or {})}


def yarn_frequencies(
    dim: int,
    theta: float,
    factor: float,
    original_max_position_embeddings: float,
    beta_fast: float = 32.0,
    beta_slow: float = 1.0,
    truncate: bool = True,
    attention_factor: float | None = None,
    mscale: float | None = None,
    mscale_all_dim: float | None = None,
) -> tuple[Tensor, float]:
    """YaRN: hands that turn at least `beta_fast` times within the training length stay, those of at most `beta_slow`
    turns slow by `factor`, between them a ramp over the hands; and all scores grow a little, by the attention factor.

    Returns inv_freq (dim/2, float32) and the attention factor. Source: Peng et al. 2023, section 3.2 and 3.4.
    """
    low, high = (
        dim * math.log(original_max_position_embeddings / (turns * 2 * math.pi)) / (2 * math.log(theta))
        for turns in (beta_fast, beta_slow)
    )
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    high = high + 0.001 if high == low else high
    ramp = ((torch.arange(dim // 2, device="cpu").float() - low) / (high - low)).clamp(0, 1)
    wavelength = theta ** (torch.arange(0, dim, 2, device="cpu").float() / dim)  # divided by 2π
    keep = 1 - ramp
    inv_freq = 1.0 / (factor * wavelength) * (1 - keep) + 1.0 / wavelength * keep
    if attention_factor is None:
        both = mscale and mscale_all_dim
        attention_factor = grown(factor, mscale) / grown(factor, mscale_all_dim) if both else grown(factor)
    return inv_freq, attention_factor


def grown(factor, mscale=1.0):
    """By how much YaRN lets scores grow: 0.1 · mscale · ln(factor) + 1."""
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


SCALINGS["yarn"] = ("factor", "original_max_position_embeddings")
_rotary = sys.modules[LlamaRotaryEmbedding.__module__]
_without_yarn = _rotary.rotary_frequencies


def rotary_frequencies(dim: int, theta: float = 10000.0, scaling: Mapping | None = None) -> tuple[Tensor, float]:
    """The function of this name of lesson 04, with one kind of scaling more: yarn."""
    kind, numbers = check_scaling(scaling)
    if kind != "yarn":
        return _without_yarn(dim, theta, scaling)
    _without_yarn(dim, theta)  # refuses what is no width or no base
    options = {name: scaling[name] for name in YARN_OPTIONS if scaling.get(name) is not None}
    for name in options.keys() - {"truncate"}:
        check_number(f"{name} of rope_scaling", options[name])
    if theta == 1:
        raise ValueError("theta must not be 1 with yarn: all hands would turn alike")
    return yarn_frequencies(dim, theta, **numbers, **options)


_rotary.rotary_frequencies = rotary_frequencies


class Stored(NamedTuple):
    """Where a tensor stands and what its file's header says of it."""

    path: Path
    shape: tuple[int, ...]
    dtype: str


DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def read_header(path: Path) -> dict[str, Stored]:
    """What is in a safetensors file, from its header alone; ValueError where it is damaged or something else."""
    from safetensors import SafetensorError, safe_open

    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, 16 * MEGABYTE):
        if start.startswith((b"PK", b"\x80")):
            raise ValueError(f"{path} is a pickle under another name, which could run any program: it is not opened")
        said = f"its header should have {length:,} bytes, the file has {size:,}"
        raise ValueError(f"{path} is damaged or no safetensors: {said}; fetch it again")
    try:
        with safe_open(path, framework="pt") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}
            return {name: Stored(path, tuple(part.get_shape()), str(part.get_dtype())) for name, part in parts.items()}
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as safetensors: {error}") from None


def stored_tensors(directory: Path) -> dict[str, Stored]:
    """What is in the safetensors files of a directory: one, or the shards that an index names."""
    one, index = (find_file(directory, f"model.safetensors{end}", needed=False) for end in ("", ".index.json"))
    if one is not None:
        return read_header(one)
    if index is None:
        pickled = any(directory.glob("*.bin"))
        told = ", only pickles, which are not read: convert them with transformers" if pickled else ""
        raise FileNotFoundError(f"no model.safetensors and no model.safetensors.index.json in {directory}{told}")
    placed = read_json(index).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        raise ValueError(f"{index} has no weight_map, which says in which file each tensor stands")
    found = {}
    for name in dict.fromkeys(map(str, placed.values())):
        found |= {tensor: stored for tensor, stored in read_header(find_file(directory, name)).items()
                  if placed.get(tensor, name) == name}
    for tensor, name in placed.items():
        if tensor not in found:
            raise ValueError(f"{index} places {shown(tensor)} in {name}, which does not hold it")
    return found


def check_tensors(stored: Mapping[str, Stored], config: LlamaConfig):
    """ValueError naming the first tensor that is missing, unknown, misshapen or no plain float."""
    if config.num_hidden_layers > len(stored):  # before a list of that length is made
        layers, held = config.num_hidden_layers, len(stored)
        raise ValueError(f"config.json has num_hidden_layers {layers}, more than the {held} tensors of the files")
    wanted = tensor_shapes(config)
    stored = {name: found for name, found in stored.items() if not name.endswith("rotary_emb.inv_freq")}
    for name, shape in wanted.items():
        if name not in stored:
            raise ValueError(f"the tensor {name} {shape} is missing: config.json asks for it, no file holds it")
        if stored[name].shape != shape:
            path, held, _ = stored[name]
            raise ValueError(f"{name} is {held} in {path.name}, config.json makes it {shape}")
    for name, (path, shape, dtype) in stored.items():
        if name not in wanted:
            raise ValueError(f"{path.name} holds {shown(name)} {shape}, for which config.json has no place")
        if dtype not in DTYPES:
            raise ValueError(f"{name} is stored as {dtype}: {', '.join(DTYPES)} can be read, quantized weights cannot")


def tensor_reader(stored: Mapping[str, Stored]) -> Callable[[str], Tensor]:
    """What gives each tensor by its name, as a view of its file: no memory before it is changed or converted."""
    from safetensors import safe_open

    files = {path: safe_open(path, framework="pt") for path in {found.path for found in stored.values()}}
    return lambda name: files[stored[name].path].get_tensor(name)


class NothingDrawn(torch.overrides.TorchFunctionMode):
    """Inside it, fresh weights are not drawn: they are about to be replaced."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


@contextmanager
def nothing_collected():
    """Inside it the garbage collector rests: a thousand new modules would send it through all of PyTorch's objects."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


@nothing_collected()
def fill(config: LlamaConfig, read: Callable[[str], Tensor], dtype, device, views: bool = False) -> LlamaForCausalLM:
    """A model of the tensors that `read` gives by name: made without memory, then each is put in its place.

    Unless they stay `views` of their files, a few are prepared at a time, so that disk and processor share the work.
    Warns of a tensor that is not finite.
    """
    with torch.device("meta"), NothingDrawn():
        model = LlamaForCausalLM(config)

    def prepared(name):
        weight = read(name)
        return nn.Parameter(weight.detach().to(device=device, dtype=dtype)), looks_finite(weight, views)

    names = list(tensor_shapes(config))
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for name, (weight, finite) in zip(names, (map if views else pool.map)(prepared, names)):
            module, kind = name.rsplit(".", 1)
            setattr(model.get_submodule(module), kind, weight)
            if not finite:
                warnings.warn(f"{name} holds numbers that are not finite: the model will write nonsense", stacklevel=5)
    model.tie_weights()
    return (model if device.type == "cpu" else model.to(device)).eval()


def looks_finite(weight: Tensor, view: bool = False) -> bool:
    """Whether there is no NaN and no infinity in a tensor, or in some rows of one of more than 16,384 numbers.

    They stand at equal distances. Of a `view` it is the first alone: no more of the file is read before it is needed.
    """
    large = weight.numel() > 16384
    some = weight[:1] if view and large else weight[:: 1 + weight.numel() // 16384]
    return all(end.isfinite() for end in some.aminmax())


def check_dtype(dtype) -> torch.dtype | None:
    """A torch.dtype from itself or its name, None from None; ValueError unless weights can have it."""
    known = {str(kind).removeprefix("torch."): kind for kind in DTYPES.values()}
    name = str(dtype).removeprefix("torch.")
    if dtype is not None and name not in known:
        raise ValueError(f"dtype must be one of {', '.join(known)}, got {dtype!r:.80}")
    return known.get(name)


META_NAMES = {
    "tok_embeddings": "model.embed_tokens", "norm": "model.norm", "output": "lm_head",
    "attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attention.wq": "self_attn.q_proj", "attention.wk": "self_attn.k_proj", "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj", "feed_forward.w1": "mlp.gate_proj", "feed_forward.w3": "mlp.up_proj",
    "feed_forward.w2": "mlp.down_proj",
}  # fmt: skip


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


def translate_params(params: Mapping, shapes: Mapping[str, tuple[int, ...]], shards: int) -> LlamaConfig:
    """The LlamaConfig of Meta's params.json; sizes that it leaves open are read off the tensors' `shapes`.

    `use_scaled_rope` does not say by which factor: it is 32 up to width 3072 (Llama 3.2 with 1B and 3B), else 8.
    """
    for name in ("vision_chunk_size", "moe_args", "quantization_args", "lora_args"):
        if params.get(name) not in (None, -1):
            raise ValueError(f"{name} must be absent, got {shown(params[name])}: this package does not compute it")
    hidden, heads, layers = (check_number(n, params.get(n), whole=True) for n in ("dim", "n_heads", "n_layers"))
    table, gate = shapes.get("tok_embeddings.weight", ()), shapes.get("layers.0.feed_forward.w1.weight", ())
    if len(table) != 2 or len(gate) != 2:
        raise ValueError("the files hold no tok_embeddings.weight or no layers.0.feed_forward.w1.weight")
    scaling = {"rope_type": "llama3", "factor": 32.0 if hidden <= 3072 else 8.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 8192.0}  # fmt: skip
    return LlamaConfig(
        vocab_size=table[0] * table[1] * shards // hidden,
        hidden_size=hidden,
        intermediate_size=gate[0] * shards,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=params.get("n_kv_heads") or heads,
        max_position_embeddings=params.get("max_seq_len") or 2048,
        rms_norm_eps=params.get("norm_eps", 1e-5),
        rope_theta=as_read("rope_theta", params.get("rope_theta", 10000.0)),
        rope_scaling=scaling if params.get("use_scaled_rope") else None,
        tie_word_embeddings="output.weight" not in shapes,
    )


def open_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors of a .pth file, as views of it; nothing in it is run. ValueError for anything but plain tensors."""
    import pickle
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(path) as archive:
            entries = archive.infolist()
        if any(one.compress_type or "/data/" not in one.filename and one.file_size > 64 * MEGABYTE for one in entries):
            raise ValueError("its archive is compressed")
        tensors = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except (BadZipFile, pickle.UnpicklingError, OSError, RuntimeError, ValueError, TypeError, KeyError, EOFError,
            AttributeError, IndexError, OverflowError, RecursionError, NotImplementedError) as error:  # fmt: skip
        told = str(error).split("\n")[0]
        raise ValueError(f"{path} is not a file of plain tensors, and nothing else is read: {told:.200}") from None
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise ValueError(f"{path} is not a file of plain tensors: it holds something else")
    return {str(name): tensor for name, tensor in tensors.items() if name != "rope.freqs"}


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


def meta_reader(shards: list[dict[str, Tensor]], config: LlamaConfig) -> Callable[[str], Tensor]:
    """What gives each tensor of Meta's layout by its published name: joined, q and k in the published pairing."""
    shapes = tensor_shapes(config)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}

    def read(name):
        theirs = meta_name(name)
        if any(theirs not in shard for shard in shards):
            raise ValueError(f"the tensor {theirs} is missing: params.json asks for it")
        parts = [shard[theirs] for shard in shards]
        if not all(part.is_floating_point() and part.layout == torch.strided for part in parts):
            raise ValueError(f"{theirs} is stored as {parts[0].dtype}: only floats can be read, not quantized weights")
        weight = join(theirs, parts, shapes[name])
        part = name.split(".")[-2]
        return to_halves(weight, heads[part]) if part in heads else weight

    return read


def read_meta(directory: Path, dtype, device) -> LlamaForCausalLM:
    """A model in Meta's layout: params.json and consolidated.00.pth, consolidated.01.pth …"""
    path = find_file(directory, "params.json")
    files = [find_file(directory, file.name) for file in sorted(directory.glob("consolidated.*.pth"))]
    if not files:
        raise FileNotFoundError(f"no consolidated.00.pth in {directory}, which params.json asks for")
    if [file.name for file in files] != [f"consolidated.{i:02}.pth" for i in range(len(files))]:
        raise FileNotFoundError(f"a shard is missing in {directory}: it has {', '.join(file.name for file in files)}")
    shards = [open_pickle(file) for file in files]
    params, shapes = read_json(path), {name: tuple(tensor.shape) for name, tensor in shards[0].items()}
    try:
        config = translate_params(params, shapes, len(shards))
        if config.num_hidden_layers > len(shapes):
            raise ValueError(f"n_layers is {config.num_hidden_layers}, the files hold {len(shapes)} tensors")
        strangers = {published_name(name) for name in shapes} - set(tensor_shapes(config))
        if strangers:
            raise ValueError(f"the files hold {sorted(strangers)[0]}, for which params.json has no place")
        kind = dtype or shards[0]["tok_embeddings.weight"].dtype
        model = fill(config, meta_reader(shards, config), check_dtype(kind), device)
    except (TypeError, OverflowError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    model.special_ids = {}
    return model


ALL_FILES = ("*.json", "*.jinja", "model*.safetensors")


def locate(source: str | Path, revision: str | None = None, patterns: Iterable[str] = ALL_FILES) -> Path:
    """The directory of a checkpoint: the one given, or what the hub has under an id "owner/name", downloaded.

    A directory wins over an id. The errors are those of `from_pretrained`.
    """
    if not isinstance(source, str | Path):
        raise TypeError(f"a checkpoint is a directory or an id of the hub, got {type(source).__name__}")
    directory = Path(source).expanduser()
    if directory.is_dir():
        return directory
    if isinstance(source, Path) or not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source, re.ASCII):
        told = 'there is no such directory, and an id of the hub is "owner/name"'
        raise FileNotFoundError(f"no config.json in {source}: {told}")
    return download(source, revision, patterns)


def download(name, revision, patterns):
    """What the hub has under a name, in its cache: only what is missing is fetched, with its progress bars."""
    from huggingface_hub import constants, errors, snapshot_download

    where = f"{name}{f' at revision {revision}' if revision else ''}"
    login = "log in with `hf auth login`, or set HF_TOKEN"
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns), ignore_patterns=["*/*"]))
    except errors.GatedRepoError:
        page = f"{constants.ENDPOINT}/{name}"
        raise PermissionError(f"{where} is gated: accept its terms at {page}, then {login}") from None
    except errors.RevisionNotFoundError:
        told = "look at its branches and tags"
        raise FileNotFoundError(f"the hub has {name}, but no revision {revision!r}: {told}") from None
    except errors.RepositoryNotFoundError:
        raise FileNotFoundError(
            f"there is no directory {name} here, and the hub has no such model or it is private: "
            f"mind the spelling, or {login}"
        ) from None
    except errors.HFValidationError as error:
        raise ValueError(f"{name} cannot be an id of the hub: {error}") from None
    except Exception as error:  # what carries the bytes has errors of its own, by another name in every version
        told = " ".join(str(error).split())[:300]
        raise ConnectionError(
            f"{where} is not in the cache and could not be fetched: check the connection and HF_HUB_OFFLINE; the same "
            f"call goes on where this one ended ({told})"
        ) from None


@torch.inference_mode(False)  # what is loaded inside such a block can be trained outside
def from_pretrained(
    cls,
    source: str | Path,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    revision: str | None = None,
) -> LlamaForCausalLM:
    """A published Llama from a directory or, by its id "owner/name", from the hub (at a `revision`), ready to use.

    It reads Hugging Face's layout (config.json and safetensors, one file or shards) and Meta's (params.json and
    consolidated.*.pth). `dtype` is that of the file unless given; on the CPU, weights that need no conversion stay in
    the file until they are touched. `model.special_ids` are the ids that begin and end a text.
    Raises FileNotFoundError for a missing file or model, PermissionError for one that asks for a login,
    ConnectionError where the hub cannot be reached, and ValueError for what is damaged, hostile or not a Llama.
    """
    dtype, device = check_dtype(dtype), torch.device("cpu" if device is None else device)
    directory = locate(source, revision)
    if find_file(directory, "config.json", needed=False) is None and (directory / "params.json").exists():
        return read_meta(directory, dtype, device)
    fields, config = read_config(directory)
    stored = stored_tensors(directory)
    config, stored = settle_tie(config, stored)
    check_tensors(stored, config)
    kind = dtype or published_dtype(fields) or DTYPES[stored["model.embed_tokens.weight"].dtype]
    views = device.type == "cpu" and all(DTYPES.get(found.dtype) == kind for found in stored.values())
    model = fill(config, tensor_reader(stored), kind, device, views)
    model.special_ids = special_ids(directory, fields)
    return model


LlamaForCausalLM.from_pretrained = classmethod(from_pretrained)


def read_config(directory: Path) -> tuple[dict, LlamaConfig]:
    """The fields of a directory's config.json and what they mean; ValueError with the file's name."""
    path = find_file(directory, "config.json")
    fields = read_json(path)
    try:
        return fields, translate_config(fields)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: {error}") from None


def published_dtype(fields):
    """The dtype that a config.json names, or None."""
    try:
        return check_dtype(fields.get("torch_dtype") or fields.get("dtype"))
    except ValueError:
        return None


def settle_tie(config, stored):
    """Config and tensors where the files hold both tables although they are tied: one table if equal, else two."""
    two = ("model.embed_tokens.weight", "lm_head.weight")
    if not config.tie_word_embeddings or any(name not in stored for name in two):
        return config, stored
    table, head = map(tensor_reader({name: stored[name] for name in two}), two)
    if table.shape == head.shape and torch.equal(table, head):
        return config, {name: found for name, found in stored.items() if name != two[1]}
    warnings.warn("config.json ties the embeddings, the files hold two that differ: they are kept apart", stacklevel=3)
    return LlamaConfig(config, tie_word_embeddings=False), stored


SPECIAL_IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}  # and what omitting them means


def special_ids(directory: Path, fields: Mapping) -> dict[str, int | list[int] | None]:
    """The ids that begin, end and fill a text, from generation_config.json or else config.json."""
    path = find_file(directory, "generation_config.json", needed=False)
    preferred = {} if path is None else read_json(path)
    found = {name: preferred.get(name, fields.get(name, usual)) for name, usual in SPECIAL_IDS.items()}
    for name, ids in found.items():
        for one in ids if isinstance(ids, list) else [ids]:
            if one is not None:
                check_id(f"{name} in {directory}", one)
    return found


def check_id(name, value):
    """ValueError unless the value is a whole number from 0 up, which every id is."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be a whole number from 0 up, or a list of them, got {value!r:.80}")


def to_halves(weight: Tensor, heads: int) -> Tensor:
    """Rows of q or k from Meta's pairing, neighbours (0, 1), to the published one, (0, dim/2)."""
    return rearrange(weight, "(head pair two) hidden -> (head two pair) hidden", head=heads, two=2)


def to_neighbours(weight: Tensor, heads: int) -> Tensor:
    """The way back from `to_halves`."""
    return rearrange(weight, "(head two pair) hidden -> (head pair two) hidden", head=heads, two=2)


def save_pretrained(model: LlamaForCausalLM, directory: str | Path, max_shard_size: int | str = "5GB"):
    """Write a model as the libraries read it: config.json, generation_config.json and safetensors, in its own dtype.

    A file that would be larger than `max_shard_size` (bytes, or such as "500MB") is cut into shards with an index.
    Other files of the directory, such as its tokenizer, stay. All is written beside and swapped in at once: whatever
    interrupts it, the directory is the one before or the new one. Raises ValueError for an impossible size,
    NotADirectoryError where a file stands in the place, and OSError where it cannot be written.
    """
    limit, directory = bytes_of(max_shard_size), Path(directory).resolve()
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(f"{directory} is a file: save_pretrained writes a directory")
    if Path.cwd().is_relative_to(directory):
        raise ValueError(f"{directory} is where you stand, and it will be swapped for a new one: name one inside it")
    beside = directory.parent / f".{directory.name}.{uuid.uuid4().hex[:8]}.saving"
    directory.parent.mkdir(parents=True, exist_ok=True)
    try:
        if directory.exists():
            shutil.copytree(directory, beside, symlinks=True, copy_function=link, ignore=written_anew)
        beside.mkdir(exist_ok=True)
        write_json(beside / "config.json", published_config(model))
        write_json(beside / "generation_config.json", {k: v for k, v in ids_of(model).items() if v is not None})
        write_weights(model, beside, limit)
        swap(beside, directory)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


LlamaForCausalLM.save_pretrained = save_pretrained


def write_weights(model: LlamaForCausalLM, directory: Path, limit: int):
    """The tensors, tied ones once, in one file or in shards of at most `limit` bytes with an index."""
    from safetensors.torch import save_file

    shards, room = [], 0
    weights = {name: weight.detach() for name, weight in model.named_parameters()}  # a tied one has one name here
    for name, weight in weights.items():
        if not shards or weight.nbytes > room:
            shards.append([])
            room = limit
        shards[-1].append(name)
        room -= weight.nbytes
    one = len(shards) == 1
    numbers = [f"-{i:05}-of-{len(shards):05}" for i in range(1, len(shards) + 1)]
    files = ["model.safetensors"] if one else [f"model{number}.safetensors" for number in numbers]
    for file, names in zip(files, shards):
        plain = {name: weights[name].cpu().contiguous() for name in names}
        save_file(plain, directory / file, metadata={"format": "pt"})
        flush(directory / file)
    if not one:
        placed = {name: file for file, names in zip(files, shards) for name in names}
        total = {"total_size": sum(weight.nbytes for weight in weights.values())}
        write_json(directory / "model.safetensors.index.json", {"metadata": total, "weight_map": placed})


def ids_of(model):
    """The ids that begin, end and fill a text, None for what nobody said."""
    return {**dict.fromkeys(SPECIAL_IDS), **getattr(model, "special_ids", {})}


def published_config(model):
    """The config.json of a model, in the fields and the spelling that every library reads."""
    kind = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu"}
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    return {**kind, **dict(model.config), **ids_of(model), "torch_dtype": dtype}


def bytes_of(size):
    """A size in bytes, from a number of them or from a text such as "500MB"; ValueError for anything else."""
    units = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}
    found = re.fullmatch(r"(\d+) ?([KMG]I?)?B?", str(size).upper())
    if isinstance(size, bool) or not found or int(found[1]) == 0:
        raise ValueError(f'max_shard_size must be a number of bytes, or such as "500MB" or "5GB", got {shown(size)}')
    return int(found[1]) * units[found[2] or ""]


def write_json(path, content):
    """Write an object as JSON, to the disk itself."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    flush(path)


def flush(path):
    """Wait until a file is on the disk, so that no power cut leaves half of it."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def written_anew(directory, names):
    """What a save writes, and what is left of an earlier one."""
    ours = re.compile(r"(config|generation_config)\.json|model(-\d+-of-\d+)?\.safetensors(\.index\.json)?")
    return [name for name in names if ours.fullmatch(name)]


def link(source, target):
    """A second name for a file, or a copy where that cannot be."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target)


def swap(new, old):
    """Put `new` in the place of `old`, and `old`, where there was one, in that of `new`, at once or not at all."""
    if not old.exists():
        new.rename(old)
        return
    try:  # Linux swaps two names in one step
        import ctypes

        here, at_once = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        if ctypes.CDLL(None, use_errno=True).renameat2(here, os.fsencode(new), here, os.fsencode(old), at_once) == 0:
            return
    except (AttributeError, OSError, TypeError):
        pass
    aside = new.with_suffix(".before")
    old.rename(aside)
    try:
        new.rename(old)
    except BaseException:
        aside.rename(old)
        raise
    aside.rename(new)
