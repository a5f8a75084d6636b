"""Written beside and swapped in: whatever interrupts a save, a whole directory stands there, the old or the new one."""

import json
import os
import platform
import re
import shutil
import signal
import threading
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
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
    shards = in_shards(weights, limit)
    one = len(shards) == 1
    numbers = [f"-{i:05}-of-{len(shards):05}" for i in range(1, len(shards) + 1)]
    files = ["model.safetensors"] if one else [f"model{number}.safetensors" for number in numbers]
    for path, names in zip((directory / file for file in files), shards):
        write_tensors({name: weights[name].cpu().contiguous() for name in names}, path, {"format": "pt"})
        flush(path)
    if not one:
        placed = {name: file for file, names in zip(files, shards) for name in names}
        total = {"total_size": sum(weight.nbytes for weight in weights.values())}
        write_json(directory / "model.safetensors.index.json", {"metadata": total, "weight_map": placed})


def write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Tensors by name, as safetensors, with the mode of any new file; OSError where the disk does not take them."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path.unlink(missing_ok=True)
    path.touch()
    mode = path.stat().st_mode  # the library would keep the file to its owner
    try:
        save_file(dict(tensors), path, metadata=dict(metadata))
    except SafetensorError as error:
        raise system_error(error, path) from None
    if path.stat().st_mode != mode:
        path.chmod(mode)


def system_error(error: Exception, path: Path) -> Exception:
    """The OSError that a library tells of in words of its own, such as a full disk; another error as it is."""
    found = re.search(r"\bos error (\d+)|\bcode: (\d+)", str(error))
    if not found:
        return error
    number = int(found[1] or found[2])
    return OSError(number, os.strerror(number), str(path), number)  # the last one counts on Windows only


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


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Nobody else writes into a directory while the block runs; BlockingIOError, with the process, where another does.

    The system lets go of the lock when a process ends, however it ends, so a lock file that a kill left behind binds
    nobody. A disk that knows no locks is warned of.
    """
    path = directory / "training.lock"
    while True:
        file = path.open("a+", encoding="utf-8")
        if not locked(file):
            with file:
                raise BlockingIOError(
                    f"{holder(path)} is training into {directory}: wait until it is done, or choose another directory"
                )
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        file.close()  # whoever held it took it away in this moment
    try:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield
    finally:
        if os.name == "nt":  # where an open file cannot be removed
            file.close()
        with suppress(OSError):
            path.unlink()
        file.close()


def locked(file) -> bool:
    """Whether the lock of a file is ours now; it does not wait for another's."""
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(2**20)  # far from the name of the process, which others read
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        warnings.warn(
            f"{file.name} cannot be locked ({error.strerror}): see to it that nothing else trains there", stacklevel=4
        )
    return True


def holder(path):
    """The process that a lock's file names; it may be just about to write its name."""
    for _ in range(20):
        with suppress(OSError):
            if name := path.read_text(encoding="utf-8"):
                return name
        time.sleep(0.05)
    return "another process"


@contextmanager
def signals_wait() -> Iterator[list[int]]:
    """Ctrl-C, a polite kill or a closed terminal wait for the end of the block; a second one is obeyed at once.

    Yields a list which is empty until such a signal has come, so that the block can end early. Outside the main thread,
    which alone hears signals, nothing needs to wait. Signals that are ignored stay so.
    """
    heard, before = [], {}

    def hear(number, _):
        heard.append(number)
        hear_as_before()

    def hear_as_before():
        for number, handler in before.items():
            signal.signal(number, handler)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    try:
        if threading.current_thread() is threading.main_thread():
            for number in numbers:
                if (handler := signal.getsignal(number)) not in (signal.SIG_IGN, None):
                    before[number] = handler
                    signal.signal(number, hear)
        yield heard
    finally:
        hear_as_before()
    if heard:
        signal.raise_signal(heard[0])


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
