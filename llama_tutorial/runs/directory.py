"""A run in a directory of its own: begun, cut off, gone on with, and finished as a model that others read."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

import torch

from ..causal_lm import LlamaForCausalLM
from ..config import LlamaConfig
from ..doors import check_number
from ..published.saving import alone_in, write_tensors
from ..tokenizer import Tokenizer
from ..training import Recipe, Trainer, bits_per_byte, equal_shares, token_ids
from .checkpoints import atomic_write, kept_run, load_checkpoint, save_checkpoint, weights_once
from .steps import run_to_end, steps_within
from .texts import Text, reference_text

# The shape and the recipe of the model that comes with this package.
SHIPPED_SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
SHIPPED_VOCAB = 2048
SHIPPED_RECIPE = Recipe(steps=4000, batch=4, context=256, dropout=0.2, lr=0.005, weight_decay=0.2)


def train_directory(
    directory: str | Path,
    text: Text | Callable[[], Text] | None = None,
    recipe: Recipe | Mapping | None = None,
    minutes: float | None = None,
    shape: Mapping | None = None,
    vocab_size: int | None = None,
    progress=None,
    resume: bool | None = None,
) -> dict:
    """Train a model into a directory, or go on with a run that was cut off there; returns what training.json says.

    What is not given, be it a field of the recipe, is as in the model that comes with this package, or as in the run
    that goes on. `minutes` replaces the recipe's steps by what fits, measured once and kept, so that a run which is
    resumed ends like an unbroken one. `resume` says that there must be a run to go on with (True) or none (False).
    Where `text` is a function that makes one, it is called when the directory is this run's alone.

    A new run begins in a new directory or an empty one. Raises ValueError where the directory holds something else,
    where something given differs from how the run began, or where there is nothing to do as asked, and BlockingIOError
    where another process trains there.
    """
    directory = Path(directory)
    if minutes is not None:
        check_number("minutes", minutes)
    given = asdict(recipe) if isinstance(recipe, Recipe) else dict(recipe or {})
    recipe = replace(SHIPPED_RECIPE, **given)
    asked = {"minutes": minutes, "vocab_size": SHIPPED_VOCAB if vocab_size is None else vocab_size}
    tokenizer_file, checkpoint = directory / "tokenizer.json", directory / "training.safetensors"
    with place_of_a_run(directory, resume):
        fresh = not checkpoint.exists()
        if not fresh:
            run = kept_run(checkpoint)
            check_agreement(directory, run, given, minutes, shape, vocab_size)
            asked |= run["asked"]
        text = reference_text if text is None else text
        text = text() if callable(text) else text
        if not isinstance(text, Text):
            raise TypeError(f"text must be a Text, as text_of_files makes it, got {type(text).__name__}")
        known = not fresh and tokenizer_file.exists()  # a kill right after the first checkpoint leaves none
        if known:
            tokenizer = Tokenizer.load(tokenizer_file)
        else:
            tokenizer = Tokenizer.train(equal_shares(text.parts), asked["vocab_size"])
        sources = [token_ids(tokenizer, part) for part in text.parts]
        if fresh:
            torch.manual_seed(recipe.seed)
            shape = {**(SHIPPED_SHAPE if shape is None else shape), "vocab_size": len(tokenizer)}
            trainer = Trainer(LlamaForCausalLM(shape), sources, recipe)
            trainer.asked = asked
            if minutes is not None:
                trainer.recipe = replace(recipe, steps=steps_within(minutes, trainer))
            save_checkpoint(trainer, checkpoint)
        else:
            trainer = load_checkpoint(checkpoint, sources)
        if not known:  # the checkpoint came first: nobody could tell whose a tokenizer without one is
            atomic_write(tokenizer_file, tokenizer.save)
        run_to_end(trainer, checkpoint, progress=progress)
        return finish(trainer, tokenizer, text, directory)


@contextmanager
def place_of_a_run(directory, resume):
    """A directory is made, locked and looked at, and while the block runs it is ours; if it stays empty, it goes."""
    for place in (directory, *directory.parents):
        if os.path.lexists(place) and not place.is_dir():
            raise NotADirectoryError(f"{place} is a file: choose a directory to train into, a new or an empty one")
    made = [place for place in (directory, *directory.parents) if not place.exists()]
    if made and resume:
        raise ValueError(f"no run was cut off in {directory}: without resume a new one starts there")
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with alone_in(directory):
            check_place(directory, resume)
            yield
    finally:
        with suppress(OSError):  # what holds something stays
            for place in made:
                place.rmdir()


def check_place(directory, resume):
    """ValueError where a run can neither begin nor go on: a finished one, one cut off or none, files of others."""
    if (directory / "training.json").exists():
        raise ValueError(f"{directory} holds a finished run: choose another directory")
    if (directory / "training.safetensors").exists():
        if resume is False:
            raise ValueError(f"{directory} holds a run that was cut off: resume it, or choose another directory")
        return
    ours = ("training.lock", "training.safetensors.partial")  # a run that a kill has ended before its first checkpoint
    others = [path for path in directory.iterdir() if path.name not in ours and not path.name.startswith(".")]
    others = sorted(path.name for path in others if path.is_dir() or path.lstat().st_size)  # a log is just being opened
    if resume:
        cure = "choose the directory of one" if others else "without resume a new one starts there"
        raise ValueError(f"no run was cut off in {directory}: {cure}")
    if others:
        more = f" and {len(others) - 2} more" if len(others) > 2 else ""
        told = f"{directory} holds {', '.join(others[:2])}{more}"
        raise ValueError(f"{told}: a run begins in a new directory or an empty one, choose such a one")


def check_agreement(directory, run, given, minutes, shape, vocab_size):
    """ValueError where something given differs from how the run in a directory began; it names both."""
    began = {**run["config"], **asdict(run["recipe"]), **run["asked"]}
    now = {**given, "vocab_size": vocab_size}
    if minutes is not None:  # the steps follow from them
        now |= {"steps": None, "minutes": float(minutes)}
    now = {name: value for name, value in now.items() if value is not None}
    if shape is not None:
        now |= {name: value for name, value in LlamaConfig(shape).items() if name != "vocab_size"}
    differ = [name for name in now if now[name] != began.get(name)]
    if differ:
        there, here = (
            ", ".join(f"no {name}" if of.get(name) is None else f"{name} {of[name]}" for name in differ)
            for of in (began, now)
        )
        raise ValueError(
            f"{directory} holds a run with {there}, not with {here}: leave the latter out to go on with it, "
            "or choose another directory"
        )


def finish(trainer: Trainer, tokenizer: Tokenizer, text: Text, directory: Path) -> dict:
    """Write the trained model in float16, examine it as written, and leave training.json in place of the checkpoint."""
    model = trainer.model.half().float()
    write_directory(model, tokenizer, directory)
    exam = token_ids(tokenizer, text.held_out)
    report = {
        "note": text.note,
        "held_out_bits_per_byte": round(bits_per_byte(model, exam, text.byte_count, trainer.recipe.context), 4),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "recipe": asdict(trainer.recipe),
        "torch": torch.__version__.partition("+")[0],
    }
    report_text = json.dumps(report, indent=2) + "\n"
    atomic_write(directory / "training.json", lambda temporary: temporary.write_text(report_text, encoding="utf-8"))
    (directory / "training.safetensors").unlink(missing_ok=True)
    return report


def write_directory(
    model: LlamaForCausalLM, tokenizer: Tokenizer, directory: str | Path, dtype: torch.dtype = torch.float16
):
    """Write config.json, generation_config.json, tokenizer.json and model.safetensors, as the libraries read them."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    end = {"bos_token_id": tokenizer.end_of_text, "eos_token_id": tokenizer.end_of_text}
    kind = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu"}
    config = {**kind, **dict(model.config), **end, "torch_dtype": str(dtype).removeprefix("torch.")}
    for name, content in (("config.json", config), ("generation_config.json", end)):
        text = json.dumps(content, indent=2) + "\n"
        atomic_write(directory / name, lambda temporary, text=text: temporary.write_text(text, encoding="utf-8"))
    atomic_write(directory / "tokenizer.json", tokenizer.save)
    weights = {name: weight.to(dtype) for name, weight in weights_once(model).items()}
    atomic_write(
        directory / "model.safetensors",
        lambda temporary: write_tensors(weights, temporary, {"format": "pt"}),
    )
