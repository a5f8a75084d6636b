"""Real weights

Published checkpoints come in, give the numbers that the large libraries give, and go out again.
"""

# Exported from notebooks/14_real_weights.ipynb; edit the lesson, not this file.

__all__ = [
    "tensor_shapes", "with_biases", "translate_config", "translate_rope", "to_halves", "to_neighbours",
    "check_tensors", "fill", "from_pretrained", "read_config", "settle_tie", "meta_reader", "read_meta",
    "save_pretrained",
]

import os
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor, nn

from llama_tutorial.published.fields import (
    PUBLISHED_DEFAULTS,
    as_read,
    generation_fields,
    known_fields,
    published_config,
    published_dtype,
    published_generation,
    rope_fields,
    special_ids,
    warn_of_unknown,
)
from llama_tutorial.published.files import (
    DTYPES,
    Stored,
    check_dtype,
    find_file,
    read_json,
    shown,
    stored_tensors,
    tensor_reader,
)
from llama_tutorial.published.filling import NothingDrawn, not_finite, nothing_collected
from llama_tutorial.published.hub import locate
from llama_tutorial.published.meta import join, meta_name, open_shards, parts_of, published_name, translate_params
from llama_tutorial.published.saving import bytes_of, swapped_in, write_json, write_weights

from .causal_lm import LlamaForCausalLM
from .config import LlamaConfig
from .doors import check_number, numbers_of
from .rotary import SCALINGS, check_scaling


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


def translate_config(published: Mapping) -> LlamaConfig:
    """The LlamaConfig of a published config.json: omitted fields take Hugging Face's defaults, all spellings are read.

    Fields that change nothing here are left out, unknown ones warn. Raises ValueError for one that would change the
    numbers and is not supported, and for a value that is impossible.
    """
    known, others = known_fields(published, LlamaConfig.__dataclass_fields__)
    theta, scaling = translate_rope(known | others)
    try:
        return LlamaConfig({**PUBLISHED_DEFAULTS, **known, "rope_theta": theta, "rope_scaling": scaling})
    except TypeError as error:
        raise ValueError(str(error)) from None


def translate_rope(given: Mapping) -> tuple[float, dict | None]:
    """Base and scaling of the rotary embedding, from the fields of a config.json in any spelling.

    Where a length of training is needed and not given, it is `max_position_embeddings`. With `dynamic` scaling it must
    be that, because libraries let the scaling begin there, whatever the entry says.
    """
    rope, original = rope_fields(given, SCALINGS), "original_max_position_embeddings"
    kind = rope.pop("rope_type")
    theta = as_read("rope_theta", rope.pop("rope_theta"))
    longest = given.get("max_position_embeddings", PUBLISHED_DEFAULTS["max_position_embeddings"])
    length = given.get(original) or rope.get(original) or longest
    takes = numbers_of(SCALINGS[kind])
    if original in takes:
        rope[original] = length
    if kind == "yarn" and rope.get("factor") is None:
        check_number("max_position_embeddings", longest), check_number("the length of training", length)
        rope["factor"] = longest / length
    if kind == "dynamic" and length != longest:
        raise ValueError(
            f"{original} must be absent or max_position_embeddings = {longest} with dynamic scaling, "
            f"got {length!r:.40}: remove it to read the model as other libraries do, or make the two equal"
        )
    warn_of_unknown("rope_scaling", rope, {*takes, original, "factor", "finetuned"})
    numbers = {name: as_read(name, value) for name, value in rope.items() if name in takes and value is not None}
    check_scaling({"rope_type": kind, **numbers})
    return theta, None if kind == "default" else {"rope_type": kind, **numbers}


def to_halves(weight: Tensor, heads: int) -> Tensor:
    """Rows of q or k from Meta's pairing, neighbours (0, 1), to the published one, (0, dim/2)."""
    return rearrange(weight, "(head pair two) hidden -> (head two pair) hidden", head=heads, two=2)


def to_neighbours(weight: Tensor, heads: int) -> Tensor:
    """The way back from `to_halves`."""
    return rearrange(weight, "(head two pair) hidden -> (head pair two) hidden", head=heads, two=2)


def check_tensors(stored: Mapping[str, Stored], config: LlamaConfig):
    """ValueError naming the first tensor that is missing, unknown, misshapen or no plain float.

    What rotary embedding once stored is left out: it follows from the config.
    """
    if config.num_hidden_layers > len(stored):  # before a list of that length is made
        layers, held = config.num_hidden_layers, len(stored)
        raise ValueError(f"config.json has num_hidden_layers {layers}, more than the {held} tensors of the files")
    wanted = tensor_shapes(config)
    stored = {name: found for name, found in stored.items() if "rotary_emb." not in name}
    for name, shape in wanted.items():
        if name not in stored:
            cure = "; if it is to be the input's table, set tie_word_embeddings" if name == "lm_head.weight" else ""
            raise ValueError(f"the tensor {name} {shape} is missing: config.json asks for it, no file holds it{cure}")
        if stored[name].shape != shape:
            held, file = stored[name].shape, stored[name].path.name
            raise ValueError(f"{name} is {held} in {file}, config.json makes it {shape}")
    for name, found in stored.items():
        if name not in wanted:
            held = f"{found.path.name} holds {shown(name)} {found.shape}"
            raise ValueError(f"{held}, for which config.json has no place")
        if found.dtype not in DTYPES:
            kinds = ", ".join(DTYPES)
            raise ValueError(f"{name} is stored as {found.dtype}: {kinds} can be read, quantized weights cannot")


@nothing_collected()
def fill(config: LlamaConfig, read: Callable[[str], Tensor], dtype, device, views: bool = False) -> LlamaForCausalLM:
    """A model of the tensors that `read` gives by name: made without memory, then each is put in its place.

    Unless they stay `views` of their files, a few are prepared at a time, so that disk and processor share the work.
    Warns of a tensor that is not finite, or that the conversion to `dtype` makes so.
    """
    with torch.device("meta"), NothingDrawn():
        model = LlamaForCausalLM(config)

    def prepared(name):
        weight = read(name)
        new = nn.Parameter(weight.detach().to(device=device, dtype=dtype))
        return new, not_finite(weight, new.detach(), views)

    names = list(tensor_shapes(config))
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for name, (weight, told) in zip(names, (map if views else pool.map)(prepared, names)):
            module, kind = name.rsplit(".", 1)
            setattr(model.get_submodule(module), kind, weight)
            if told:
                warnings.warn(f"{name} holds {told}: the model will write nonsense", stacklevel=5)
    model.tie_weights()
    return (model if device.type == "cpu" else model.to(device)).eval()


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
    the file until they are touched. `model.special_ids` are the ids that begin and end a text; the fields of
    generation_config.json stay in `model.generation_config`, to be saved with it.
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
    model.generation_config = generation_fields(directory)
    return model


def read_config(directory: Path) -> tuple[dict, LlamaConfig]:
    """The fields of a directory's config.json and what they mean; ValueError with the file's name."""
    path = find_file(directory, "config.json")
    fields = read_json(path)
    try:
        return fields, translate_config(fields)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: {error}") from None


def settle_tie(config, stored):
    """Config and tensors where the tables are tied and the files hold the second: one table unless both differ."""
    two = ("model.embed_tokens.weight", "lm_head.weight")
    if not config.tie_word_embeddings or two[1] not in stored:
        return config, stored
    if two[0] not in stored:
        return config, {two[0] if name == two[1] else name: found for name, found in stored.items()}
    table, head = map(tensor_reader({name: stored[name] for name in two}), two)
    if table.shape == head.shape and torch.equal(table, head):
        return config, {name: found for name, found in stored.items() if name != two[1]}
    warnings.warn("config.json ties the embeddings, the files hold two that differ: they are kept apart", stacklevel=3)
    return LlamaConfig(config, tie_word_embeddings=False), stored


def meta_reader(shards: list[dict[str, Tensor]], config: LlamaConfig) -> Callable[[str], Tensor]:
    """What gives each tensor of Meta's layout by its published name: joined, q and k in the published pairing."""
    shapes = tensor_shapes(config)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}

    def read(name):
        weight = join(meta_name(name), parts_of(meta_name(name), shards), shapes[name])
        part = name.split(".")[-2]
        return to_halves(weight, heads[part]) if part in heads else weight

    return read


def read_meta(directory: Path, dtype, device) -> LlamaForCausalLM:
    """A model in Meta's layout: params.json and consolidated.00.pth, consolidated.01.pth …"""
    path, shards = find_file(directory, "params.json"), open_shards(directory)
    shapes = {name: tuple(tensor.shape) for name, tensor in shards[0].items()}
    try:
        params = read_json(path)
        for name in ("dim", "n_heads", "n_layers"):
            check_number(name, params.get(name), whole=True)
        config = LlamaConfig(translate_params(params, shapes, len(shards)))
        if config.num_hidden_layers > len(shapes):
            raise ValueError(f"n_layers is {config.num_hidden_layers}, the files hold {len(shapes)} tensors")
        strangers = {published_name(name) for name in shapes} - set(tensor_shapes(config))
        if strangers:
            raise ValueError(f"the files hold {sorted(strangers)[0]}, for which params.json has no place")
        kind = check_dtype(dtype or shards[0]["tok_embeddings.weight"].dtype)
        model = fill(config, meta_reader(shards, config), kind, device)
    except (TypeError, OverflowError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    model.special_ids = {}
    return model


def save_pretrained(model: LlamaForCausalLM, directory: str | Path, max_shard_size: int | str = "5GB"):
    """Write a model as the libraries read it: config.json, generation_config.json and safetensors, in its own dtype.

    A file that would be larger than `max_shard_size` (bytes, or such as "500MB") is cut into shards with an index.
    Other files of the directory, such as its tokenizer, stay. All is written beside and swapped in at once: whatever
    interrupts it, the directory is the one before or the new one. Raises ValueError for an impossible size,
    NotADirectoryError where a file stands in the place, and OSError where it cannot be written.
    """
    limit = bytes_of(max_shard_size)
    weights = {name: weight.detach() for name, weight in model.named_parameters()}  # a tied one has one name here
    with swapped_in(Path(directory)) as beside:
        write_json(beside / "config.json", published_config(model))
        write_json(beside / "generation_config.json", published_generation(model))
        write_weights(weights, beside, limit)
