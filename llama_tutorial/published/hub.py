"""A checkpoint by its id on the hub: fetched once, with progress bars, the cache, a token and offline mode."""

import re
from collections.abc import Iterable
from pathlib import Path

from .files import kind_among

ALL_FILES = ("*.json", "*.jinja", "model*.safetensors")


def locate(
    source: str | Path,
    revision: str | None = None,
    patterns: Iterable[str] = ALL_FILES,
    needed: str = "model*.safetensors",
) -> Path:
    """The directory of a checkpoint: the one given, or what the hub has under an id "owner/name", downloaded.

    A directory wins over an id. The errors are those of `from_pretrained`; where the hub has no file that fits
    `needed`, what it has instead is named.
    """
    if not isinstance(source, str | Path):
        raise TypeError(f"a checkpoint is a directory or an id of the hub, got {type(source).__name__}")
    directory = Path(source).expanduser()
    if directory.is_dir():
        return directory
    if directory.is_file():
        gguf = directory.suffix == ".gguf"
        told = "a GGUF file, take the safetensors from which it was made" if gguf else "a file, give its directory"
        raise FileNotFoundError(f"no config.json in {source}: it is {told}{'' if gguf else f', {directory.parent}'}")
    if isinstance(source, Path) or not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source, re.ASCII):
        page = re.match(r"https?://[^/]+/([\w.-]+/[\w.-]+)", str(source))
        told = 'there is no such directory, and an id of the hub is "owner/name"'
        told = f'it is an address, and an id of the hub is "owner/name": give "{page[1]}"' if page else told
        raise FileNotFoundError(f"no config.json in {source}: {told}")
    directory = download(source, revision, patterns)
    if next(directory.glob(needed), None) is None:
        tell_kind(source, revision, needed)
    return directory


def tell_kind(name, revision, needed):
    """FileNotFoundError with what the hub has in the place of a file, as far as it can be asked and its names tell."""
    from huggingface_hub import HfApi

    try:
        names = HfApi().list_repo_files(name, revision=revision)
    except Exception:  # there is no connection: what is in the cache speaks for itself
        return
    file = needed.replace("*", "")
    if told := kind_among([path for path in names if "/" not in path], file):
        raise FileNotFoundError(f"the hub has no {file} under {name}: {told}")


def download(name, revision, patterns):
    """What the hub has under a name, in its cache: only what is missing is fetched, with its progress bars.

    Of its folders only chat templates are, which are small.
    """
    from huggingface_hub import constants, errors, snapshot_download

    where = f"{name}{f' at revision {revision}' if revision else ''}"
    login = "log in with `hf auth login`, or set HF_TOKEN"
    try:
        inside = [f"*/{pattern}" for pattern in patterns if pattern != "*.jinja"]
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns), ignore_patterns=inside))
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
