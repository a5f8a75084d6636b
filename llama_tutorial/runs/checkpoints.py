"""A checkpoint: all that a run needs to go on, in one file, which is whole at any moment."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from ..causal_lm import LlamaForCausalLM
from ..config import LlamaConfig
from ..published.saving import flush, write_tensors
from ..training import Recipe, Trainer


def atomic_write(path: Path, write):
    """Write a file so that a kill at any moment leaves the old one or the new one: write(temporary), then swap.

    An OSError names the file, also where the system, as of a disk that is full, only said what was wrong.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no directory {path.parent} to write {path.name} into")
    temporary = path.with_name(path.name + ".partial")
    try:
        write(temporary)
        flush(temporary)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = str(temporary)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def weights_once(model: LlamaForCausalLM) -> dict[str, Tensor]:
    """The model's tensors by name, a tied head only once, as published files hold them."""
    tied = model.config.tie_word_embeddings
    return {name: w.contiguous() for name, w in model.state_dict().items() if not (tied and name == "lm_head.weight")}


def fingerprint(sources: Sequence[Int[Tensor, " tokens"]]) -> str:
    """A short name for the text of a run: the same for the same tokens only."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.to(torch.int64).numpy().tobytes() + b"|")
    return digest.hexdigest()[:16]


def save_checkpoint(trainer: Trainer, path: str | Path):
    """Write all that a run needs to go on: weights, optimisers, losses so far and the recipe, in one safetensors file.

    The place in the text and the state of chance are the step's number, because both follow from it. Raises OSError
    where the disk does not take the file; the one before then stays.
    """
    tensors = {f"model.{name}": tensor for name, tensor in weights_once(trainer.model).items()}
    for i, optimizer in enumerate(trainer.optimizers):
        for weight, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{weight}.{name}": tensor.clone() for name, tensor in state.items()}
    run = {"recipe": asdict(trainer.recipe), "losses": trainer.losses, "text": fingerprint(trainer.sources)}
    run["asked"] = trainer.asked
    metadata = {"run": json.dumps(run), "config": json.dumps(dict(trainer.model.config))}
    atomic_write(Path(path), lambda temporary: write_tensors(tensors, temporary, metadata))


def kept_run(path: str | Path) -> dict:
    """What a checkpoint says of its run, read without its tensors: recipe, losses, text, asked and config."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            run, config = (json.loads(file.metadata()[name]) for name in ("run", "config"))
        kept = {"recipe": Recipe(**run["recipe"]), "losses": [*run["losses"]], "text": run["text"]}
        return {**kept, "asked": {**run.get("asked", {})}, "config": dict(LlamaConfig(config))}
    except Exception as error:
        raise ValueError(f"the checkpoint {path} cannot be read ({error}): delete it to start anew") from None


def load_checkpoint(path: str | Path, sources: Sequence[Int[Tensor, " tokens"]]) -> Trainer:
    """Go on from a checkpoint on the same text; ValueError for a file that cannot be read or for another text."""
    from safetensors.torch import load_file

    run = kept_run(path)
    try:
        tensors, model = load_file(path), LlamaForCausalLM(run["config"])
        weights = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        if model.config.tie_word_embeddings:
            weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
        model.load_state_dict(weights)
    except Exception as error:
        raise ValueError(f"the checkpoint {path} cannot be read ({error}): delete it to start anew") from None
    if run["text"] != fingerprint(sources):
        raise ValueError(f"the checkpoint {path} was made on another text: give that text, or start elsewhere")
    trainer = Trainer(model, sources, run["recipe"])
    for i, optimizer in enumerate(trainer.optimizers):
        state: dict[int, dict] = {}
        for name, tensor in tensors.items():
            if name.startswith(f"optimizer.{i}."):
                weight, part = name.split(".")[2:]
                state.setdefault(int(weight), {})[part] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    trainer.losses, trainer.asked = run["losses"], run["asked"]
    return trainer
