"""Written beside and swapped in: whatever interrupts a save, a whole directory stands there, the old or the new one."""

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from .files import shown


@contextmanager
def swapped_in(directory: Path) -> Iterator[Path]:
    """A directory beside the one given, to write into; it takes its place at once when the block ends without an error.

    It begins with the other files of the old one, such as a tokenizer. Raises NotADirectoryError where a file stands in
    the place, ValueError where it is the current directory or holds it, and OSError where it cannot be written.
    """
    directory = directory.resolve()
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
        yield beside
        swap(beside, directory)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_weights(weights: Mapping[str, Tensor], directory: Path, limit: int) -> None:
    """Tensors by name, in one file or in shards of at most `limit` bytes with an index."""
    from safetensors.torch import save_file

    shards = in_shards(weights, limit)
    one = len(shards) == 1
    numbers = [f"-{i:05}-of-{len(shards):05}" for i in range(1, len(shards) + 1)]
    files = ["model.safetensors"] if one else [f"model{number}.safetensors" for number in numbers]
    for path, names in zip((directory / file for file in files), shards):
        path.touch()
        mode = path.stat().st_mode  # that of any new file: the library would keep it to its owner
        save_file({name: weights[name].cpu().contiguous() for name in names}, path, metadata={"format": "pt"})
        path.chmod(mode)
        flush(path)
    if not one:
        placed = {name: file for file, names in zip(files, shards) for name in names}
        total = {"total_size": sum(weight.nbytes for weight in weights.values())}
        write_json(directory / "model.safetensors.index.json", {"metadata": total, "weight_map": placed})


def in_shards(weights: Mapping[str, Tensor], limit: int) -> list[list[str]]:
    """The names of tensors, in their order, in groups of at most `limit` bytes; a larger tensor stands alone."""
    shards, room = [], 0
    for name, weight in weights.items():
        if not shards or weight.nbytes > room:
            shards.append([])
            room = limit
        shards[-1].append(name)
        room -= weight.nbytes
    return shards


def write_json(path, content):
    """Write an object as JSON, to the disk itself."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    flush(path)


def bytes_of(size):
    """A size in bytes, from a number of them or from a text such as "500MB"; ValueError for anything else."""
    units = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}
    found = re.fullmatch(r"(\d+) ?([KMG]I?)?B?", str(size).upper())
    if isinstance(size, bool) or not found or int(found[1]) == 0:
        raise ValueError(f'max_shard_size must be a number of bytes, or such as "500MB" or "5GB", got {shown(size)}')
    return int(found[1]) * units[found[2] or ""]


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
