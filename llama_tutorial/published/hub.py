"""A checkpoint by its id on the hub: fetched once, with progress bars, the cache, a token and offline mode."""

import re
from collections.abc import Iterable
from pathlib import Path

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
    if directory.is_file():
        gguf = directory.suffix == ".gguf"
        told = "a GGUF file, take the safetensors from which it was made" if gguf else "a file, give its directory"
        raise FileNotFoundError(f"no config.json in {source}: it is {told}{'' if gguf else f', {directory.parent}'}")
    if isinstance(source, Path) or not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source, re.ASCII):
        page = re.match(r"https?://[^/]+/([\w.-]+/[\w.-]+)", str(source))
        told = 'there is no such directory, and an id of the hub is "owner/name"'
        told = f'it is an address, and an id of the hub is "owner/name": give "{page[1]}"' if page else told
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
