"""Files of strangers: each is checked before it is believed, and none of them is run."""

import json
import re
from collections.abc import Callable, Mapping
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


class Stored(NamedTuple):
    """Where a tensor stands and what its file's header says of it."""

    path: Path
    shape: tuple[int, ...]
    dtype: str


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
            return {name: Stored(path, tuple(part.get_shape()), str(part.get_dtype())) for name, part in parts.items()}
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError) as error:
        cure = "" if isinstance(error, OSError) else "; fetch it again"
        raise ValueError(f"{path} cannot be read as safetensors: {error}{cure}") from None


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


def tensor_reader(stored: Mapping[str, Stored]) -> Callable[[str], Tensor]:
    """What gives each tensor by its name, as a view of its file: no memory before it is changed or converted."""
    from safetensors import safe_open

    files = {path: safe_open(path, framework="pt") for path in {found.path for found in stored.values()}}
    return lambda name: files[stored[name].path].get_tensor(name)


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
