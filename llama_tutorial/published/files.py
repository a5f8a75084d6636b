"""Files of strangers: each is checked before it is believed, and none of them is run."""

import fnmatch
import json
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

MEGABYTE = 1_000_000


def shown(value):
    """A value for a message: its first 200 characters."""
    return repr(value)[:200]


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
    if not real.is_relative_to(repository_of(home)):
        raise ValueError(f"{path} is a link to {real}, outside the checkpoint: put a copy of the file in its place")
    if path.is_file():
        if path.stat().st_size < 1000 and path.read_bytes().startswith(b"version https://git-lfs"):
            told = "a pointer of Git LFS in the file's place: fetch it with `git lfs pull`"
            raise ValueError(f"{path} is damaged, {told}")
        return path
    if needed or path.exists():
        raise FileNotFoundError(
            f"no {name} in {directory}: {kind_of(directory, name)}" if not path.exists() else f"{path} is not a file"
        )
    return None


def repository_of(home: Path) -> Path:
    """How far links may lead: within the directory, or within its repository where it lies in the hub's own cache.

    There `models--OWNER--NAME/snapshots/REVISION/` and its subfolders hold links to `models--OWNER--NAME/blobs/`.
    """
    for at in (home, *home.parents):
        if at.parent.name == "snapshots" and at.parents[1].name.startswith("models--"):
            return at.parents[1]
    return home


MERGE = "merge it first, with peft's merge_and_unload, and save the whole model"
# What a directory is where a file of a checkpoint is missing, by a file that tells, and what to do then.
TELLTALES = {
    "adapter_*": f"it is a LoRA adapter, the changes to another model alone: {MERGE}",
    "*.gguf": "it holds a GGUF file, which llama.cpp reads: take the safetensors from which it was made",
    "consolidated*.safetensors": "it has Mistral's layout: take the one that transformers reads",
    "consolidated*.pth": "it has Meta's layout, to which params.json belongs: fetch that as well",
    "model-*-of-*.safetensors": "it has the shards without model.safetensors.index.json: fetch that as well",
    "pytorch_model*.bin": "only pickles, which are not read: convert them with transformers",
    "*.bin": "only pickles, which are not read: convert them with transformers",
    "*.safetensors": "its weights have another name than model.safetensors: rename the file if they are a Llama's",
    "*.npz": "it has MLX's layout of NumPy files: take the one that transformers reads",
    "*.h5": "it has TensorFlow's layout: convert it with transformers",
    "*.msgpack": "it has Flax's layout: convert it with transformers",
    "*.onnx": "it has ONNX's layout: take the one that transformers reads",
}  # fmt: skip


WRITE_IT = "open it with transformers' AutoTokenizer, whose save_pretrained writes a tokenizer.json"
TOKENIZERS = {
    "tokenizer.model": f"only tokenizer.model, which is not read: {WRITE_IT}",
    "tekken.json": f"only Mistral's tekken.json, which is not read: {WRITE_IT}",
    "vocab.json": f"only vocab.json and what belongs to it, which are not read: {WRITE_IT}",
}


def kind_of(directory: Path, name: str) -> str:
    """Why a file is missing in a directory, as far as its other files tell, and the cure."""
    if name == "config.json":
        inside = [path.parent for pattern in ("*", "snapshots/*") for path in directory.glob(f"{pattern}/{name}")]
        if (directory / "model.safetensors").exists() or (directory / "model.safetensors.index.json").exists():
            return "the weights are there, what they mean is not: fetch it from where they come"
        if inside:
            return f"there is one in {max(inside, key=lambda one: (len(one.name), one.name))}: give that directory"
    return kind_among([path.name for path in directory.glob("*")], name) or "a checkpoint's directory has one"


def kind_among(names: Iterable[str], name: str) -> str | None:
    """Why a file is missing where there are files of these names, and the cure; None where they do not tell."""
    if name == "tokenizer.json":
        tells = TOKENIZERS
    else:
        tells = TELLTALES if name in ("config.json", "model.safetensors") else {}
    return next((told for pattern, told in tells.items() if fnmatch.filter(names, pattern)), None)


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


class Stored(NamedTuple):
    """Where a tensor stands, what its file's header says of it, and by which name the file has it."""

    path: Path
    shape: tuple[int, ...]
    dtype: str
    name: str


DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def check_dtype(dtype) -> torch.dtype | None:
    """A torch.dtype from itself or its name, None from None; ValueError unless weights can have it."""
    known = {str(kind).removeprefix("torch."): kind for kind in DTYPES.values()}
    name = str(dtype).removeprefix("torch.")
    if dtype is not None and name not in known:
        raise ValueError(f"dtype must be one of {', '.join(known)}, got {dtype!r:.80}")
    return known.get(name)


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
            return {
                name: Stored(path, tuple(part.get_shape()), str(part.get_dtype()), name) for name, part in parts.items()
            }
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError) as error:
        cure = "" if isinstance(error, OSError) else "; fetch it again"
        raise ValueError(f"{path} cannot be read as safetensors: {error}{cure}") from None


def stored_tensors(directory: Path) -> dict[str, Stored]:
    """What is in the safetensors files of a directory: one, or the shards that an index names.

    The tensors have the names of a Llama with its head, in whichever spelling the files have them. Raises ValueError
    for an adapter's and for quantised weights, with their kind; warns of an adapter beside a whole model.
    """
    one, index = (find_file(directory, f"model.safetensors{end}", needed=False) for end in ("", ".index.json"))
    if one is None and index is None:
        both = "no model.safetensors and no model.safetensors.index.json"
        raise FileNotFoundError(f"{both} in {directory}: {kind_of(directory, 'model.safetensors')}")
    if (directory / "adapter_config.json").exists():
        told = "its adapter is not applied, merge it if it is not merged yet"
        warnings.warn(f"{directory} holds a whole model and a LoRA adapter: {told}", stacklevel=3)
    return by_plain_names(read_header(one) if one is not None else read_shards(directory, index))


def read_shards(directory: Path, index: Path) -> dict[str, Stored]:
    """What is in the shards that an index names; ValueError where it does not tell the truth."""
    placed = read_json(index).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        raise ValueError(f"{index} has no weight_map, which says in which file each tensor stands")
    found = {}
    for name in dict.fromkeys(map(str, placed.values())):
        found |= {
            tensor: stored
            for tensor, stored in read_header(find_file(directory, name)).items()
            if placed.get(tensor, name) == name
        }
    for tensor, name in placed.items():
        if tensor not in found:
            raise ValueError(f"{index} places {shown(tensor)} in {name}, which does not hold it")
    return found


# How the names of tensors tell what was made of the weights.
QUANTISED = {
    "GPTQ or AWQ": ("qweight", "qzeros", "g_idx"),
    "bitsandbytes": ("SCB", "absmax", "quant_map", "nested_absmax", "bitsandbytes__nf4", "bitsandbytes__fp4"),
    "compressed-tensors": ("weight_packed", "weight_zero_point"),
    "FP8": ("weight_scale", "weight_scale_inv", "input_scale"),
    "HQQ": ("W_q",),
    "AQLM": ("codes", "codebooks"),
    "MLX": ("scales",),
}
UNQUANTISED = "take the checkpoint from which they were made, or dequantise them with what wrote them and save that"
ADAPTED = re.compile(r"\b(lora_\w+|base_layer|base_model|ia3_l)\b")
WRAPPED = re.compile(r"\b(_orig_mod|module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")


def by_plain_names(stored: Mapping[str, Stored]) -> dict[str, Stored]:
    """Tensors by the names of a Llama with its head; ValueError for other kinds, and for one tensor under two names."""
    ends = {name.rsplit(".", 1)[-1]: name for name in stored}
    for name in stored:
        if ADAPTED.search(name):
            raise ValueError(f"{stored[name].path.name} holds {shown(name)} of a LoRA adapter: {MERGE}")
    for kind, marks in QUANTISED.items():
        for mark in marks:
            if mark in ends:
                raise ValueError(f"{stored[ends[mark]].path.name} holds {shown(ends[mark])}, the weights are quantised "
                                 f"by {kind}: {UNQUANTISED}")  # fmt: skip
    plain = {}
    for name, found in stored.items():
        known = plain.setdefault(plain_name(name), found)
        if known is not found:
            both = f"{shown(known.name)} and {shown(name)}"
            raise ValueError(f"the files hold {both}, two names of one tensor of a Llama: remove one of them")
    return plain


def plain_name(name: str) -> str:
    """A tensor's name in a Llama with its head, from that in a file.

    What wrapped the model is left out (torch.compile's `_orig_mod`, data parallelism's `module`); files of the model
    without its head lack `model.`, and some have it twice.
    """
    inner = re.sub(r"^(model\.)+", "", WRAPPED.sub("", name))
    if inner.startswith("lm_head."):
        return inner
    return f"model.{inner}" if re.match(r"(embed_tokens|layers|norm|rotary_emb)\.", inner) else name


def tensor_reader(stored: Mapping[str, Stored]) -> Callable[[str], Tensor]:
    """What gives each tensor by its name, as a view of its file: no memory before it is changed or converted."""
    from safetensors import safe_open

    files = {path: safe_open(path, framework="pt") for path in {found.path for found in stored.values()}}
    return lambda name: files[stored[name].path].get_tensor(stored[name].name)


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
