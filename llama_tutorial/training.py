"""Training

From raw text to a model that writes: windows of text, a loss, a step downhill, and a fair exam.
"""

# Exported from notebooks/10_training.ipynb; edit the lesson, not this file.

__all__ = [
    "SHIPPED_SHAPE", "SHIPPED_VOCAB", "SHIPPED_RECIPE", "equal_shares", "token_ids", "exam_windows",
    "bits_per_byte", "Recipe", "draw_windows", "window", "check_sources", "orthogonalize", "Muon",
    "make_optimizers", "step_size", "lent_dropout", "Trainer", "run_to_end", "atomic_write", "weights_once",
    "fingerprint", "save_checkpoint", "kept_run", "load_checkpoint", "steps_within", "write_directory",
    "Text", "reference_text", "text_of_files", "train_directory", "place_of_a_run", "check_place",
    "check_agreement", "finish",
]

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from llama_tutorial.published.saving import alone_in, flush, signals_wait, write_tensors

from .causal_lm import LlamaForCausalLM, next_token_loss
from .config import LlamaConfig
from .corpus import python_corpus, share_inside, windows
from .doors import check_number, check_tensor
from .tokenizer import Tokenizer


def equal_shares(parts: Sequence[Sequence[str]]) -> list[str]:
    """All texts, the shorter parts repeated until they are about as long as the longest: windows read them alike."""
    sizes = [sum(map(len, part)) for part in parts]
    return [text for part, size in zip(parts, sizes) for _ in range(round(max(sizes) / max(size, 1))) for text in part]


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> Int[Tensor, " tokens"]:
    """The ids of some texts, one after the other, each closed by the end of text."""
    return torch.tensor([i for text in texts for i in (*tokenizer.encode(text), tokenizer.end_of_text)])


def exam_windows(ids, context, batch):
    """Inputs and targets (batch, seq) that walk through a text once: full windows in batches, then the remainder."""
    full = (len(ids) - 1) // context * context
    inputs = rearrange(ids[:full], "(window seq) -> window seq", seq=context)
    targets = rearrange(ids[1 : full + 1], "(window seq) -> window seq", seq=context)
    if full:
        yield from zip(inputs.split(batch), targets.split(batch), strict=True)
    if full < len(ids) - 1:
        yield rearrange(ids[full:-1], "seq -> 1 seq"), rearrange(ids[full + 1 :], "seq -> 1 seq")


@torch.inference_mode()
def bits_per_byte(
    model: LlamaForCausalLM, ids: Int[Tensor, " tokens"], byte_count: int, context: int = 128, batch: int = 32
) -> float:
    """How many bits the model needs per byte of a text, read in windows that do not overlap.

    `ids` are the text's tokens, `byte_count` its length in UTF-8. Every token but the first is predicted once, from
    at most `context` tokens before it. Lower is better; a model that knows nothing needs log2(vocab) per token.
    """
    check_tensor("ids", ids, "integers", ("tokens",))
    for name, value in (("byte_count", byte_count), ("context", context), ("batch", batch)):
        check_number(name, value, whole=True)
    if len(ids) < 2:
        raise ValueError(f"an exam needs at least two tokens, got {len(ids)}")
    surprise = 0.0
    for inputs, targets in exam_windows(ids.long(), context, batch):
        logits = model(inputs.to(model.lm_head.weight.device))
        scores = rearrange(logits.float(), "batch seq vocab -> (batch seq) vocab").cpu()
        surprise += F.cross_entropy(scores, rearrange(targets, "batch seq -> (batch seq)"), reduction="sum").item()
    return surprise / math.log(2) / byte_count


@dataclass(frozen=True)
class Recipe:
    """How a model is trained. Randomness is a function of `seed` and the step's number, nothing else."""

    steps: int = 880
    batch: int = 8  # windows per step
    context: int = 128  # tokens predicted per window
    optimizer: str = "muon"  # "muon" (on the layers' matrices, AdamW on the rest) or "adamw"
    matrix_lr: float = 0.02  # Muon's step
    lr: float = 0.01  # AdamW's step
    weight_decay: float = 0.1  # how fast Muon's matrices shrink, times the step
    warmup: float = 0.03  # the share of the steps in which the step size grows; after it, it falls to zero
    clip: float = 1.0  # the longest gradient
    dropout: float = 0.0  # lent to the model while it trains; Llama itself has none
    seed: int = 0

    def __post_init__(self):
        for name, interval in {
            **{"steps": "[1, ∞)", "batch": "[1, ∞)", "context": "[1, ∞)", "seed": "[0, 4294967296)"},
            **{"matrix_lr": "(0, ∞)", "lr": "(0, ∞)", "clip": "(0, ∞)"},
            **{"weight_decay": "[0, ∞)", "warmup": "[0, 1]", "dropout": "[0, 1)"},
        }.items():
            check_number(name, getattr(self, name), interval, whole=name in ("steps", "batch", "context", "seed"))
        if self.optimizer not in ("muon", "adamw"):
            raise ValueError(f"optimizer must be 'muon' or 'adamw', got {self.optimizer!r}")


def draw_windows(sources: Sequence[Int[Tensor, " tokens"]], recipe: Recipe, step: int) -> Int[Tensor, "batch seq"]:
    """The windows of one step: context + 1 tokens each, taking the sources in turn.

    The same recipe and step always give the same windows, so a run that is resumed reads on where it stopped.
    """
    counts = range(step * recipe.batch, (step + 1) * recipe.batch)
    return torch.stack([window(sources[n % len(sources)], n // len(sources), recipe) for n in counts]).long()


def window(source: Int[Tensor, " tokens"], turn: int, recipe: Recipe) -> Int[Tensor, " seq"]:
    """The window that a source gives at its turn: all of them in a shuffled order before any comes again."""
    there_are = (len(source) - 1) // recipe.context
    round_, place = divmod(turn, there_are)
    chance = torch.Generator().manual_seed(recipe.seed * 1_000_003 + round_)
    shift = torch.randint(recipe.context, (), generator=chance)
    start = torch.randperm(there_are, generator=chance)[place] * recipe.context + shift
    start = min(start, len(source) - recipe.context - 1)
    return source[start : start + recipe.context + 1]


def check_sources(sources, recipe):
    """ValueError where there is no text or one is too short to cut a window from, TypeError unless tensors of ids."""
    if len(sources) == 0:
        raise ValueError("training needs at least one source of text, got none")
    for source in sources:
        check_tensor("a training text", source, "integers", ("tokens",))
        if len(source) <= recipe.context:
            raise ValueError(
                f"a training text needs more than {recipe.context} tokens, one window, got {len(source)}: "
                "give more text or a smaller context"
            )


def orthogonalize(update: Float[Tensor, "*batch rows cols"], steps: int = 5) -> Float[Tensor, "*batch rows cols"]:
    """Bring all singular values of a matrix near 1 by Newton–Schulz steps: every direction gets a similar step.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
    """
    tall = update.shape[-2] > update.shape[-1]
    x = update.mT if tall else update
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (2.0315 * gram @ gram - 4.7750 * gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised; for the matrices of the layers only. Source: Jordan et al. 2024."""

    def __init__(self, params, lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.1):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                average = state.setdefault("momentum", torch.zeros_like(weight))
                average.lerp_(weight.grad, 1 - group["momentum"])
                update = orthogonalize(torch.lerp(weight.grad, average, group["momentum"]))
                scale = max(1, weight.shape[0] / weight.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)


def make_optimizers(model: LlamaForCausalLM, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """One or two optimisers: Muon for the layers' matrices where the recipe says so, AdamW for everything else."""
    matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    if recipe.optimizer == "adamw":
        return [torch.optim.AdamW(model.parameters(), lr=recipe.lr, betas=(0.9, 0.99), weight_decay=0.0)]
    chosen = {id(weight) for weight in matrices}
    rest = [weight for weight in model.parameters() if id(weight) not in chosen]
    return [
        Muon(matrices, lr=recipe.matrix_lr, weight_decay=recipe.weight_decay),
        torch.optim.AdamW(rest, lr=recipe.lr, betas=(0.9, 0.99), weight_decay=0.0),
    ]


def step_size(step: int, recipe: Recipe) -> float:
    """The share of the full step size at a step: a short rise, then a straight line to zero."""
    warmup = max(1, round(recipe.warmup * recipe.steps))
    rise = (step + 1) / warmup
    fall = (recipe.steps - step) / max(1, recipe.steps - warmup)
    return max(0.0, min(rise, fall, 1.0))


@contextmanager
def lent_dropout(model: nn.Module, share: float):
    """Drop a share of what the embedding and every layer's two parts write, for as long as the block runs."""

    def drop(module, inputs, output):
        return F.dropout(output, share)

    names = ("embed_tokens", "o_proj", "down_proj") if share else ()
    writers = [module for name, module in model.named_modules() if name.endswith(names)] if names else []
    hooks = [module.register_forward_hook(drop) for module in writers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class Trainer:
    """A model, its optimisers and how far they have come; `advance()` is one step and returns its loss in nats."""

    def __init__(self, model: LlamaForCausalLM, sources: Sequence[Int[Tensor, " tokens"]], recipe: Recipe):
        check_sources(sources, recipe)
        self.model, self.sources, self.recipe = model, list(sources), recipe
        self.optimizers = make_optimizers(model, recipe)
        self.losses: list[float] = []
        self.asked: dict = {}  # what was asked for beside the recipe, such as minutes; a checkpoint keeps it

    @property
    def step(self) -> int:
        """How many steps are done."""
        return len(self.losses)

    def advance(self) -> float:
        """One step: windows, loss, gradients, a step downhill."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                full = group.setdefault("full_lr", group["lr"])
                group["lr"] = full * step_size(self.step, self.recipe)
        loss = self.backward(draw_windows(self.sources, self.recipe, self.step))
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.losses.append(loss)
        return loss

    def backward(self, windows: Int[Tensor, "batch seq"]) -> float:
        """The loss of some windows, with gradients; dropout's chances depend on the step alone."""
        device = self.model.lm_head.weight.device
        with torch.random.fork_rng(devices=[]), lent_dropout(self.model, self.recipe.dropout):
            torch.manual_seed(self.recipe.seed * 1_000_003 + self.step)
            windows = windows.to(device)
            loss = next_token_loss(self.model(windows), windows)
            loss.backward()
        if not math.isfinite(loss.item()):
            raise ValueError(f"the loss is {loss.item()} at step {self.step}: try a smaller lr")
        return loss.item()


def run_to_end(trainer: Trainer, checkpoint: str | Path | None = None, every: int = 100, watch=None, progress=None):
    """Take all steps that are left, with a checkpoint every so many; returns the trainer.

    `watch(trainer)` is called at the start and after every step. `progress` is the stream (`sys.stdout` in a
    notebook) for a bar with tokens per second and the time that is left; None draws none. Ctrl-C is heard at the end
    of a step, which is then in the checkpoint; a second Ctrl-C is heard at once.
    """
    from tqdm import tqdm

    last, tokens = trainer.recipe.steps, trainer.recipe.batch * trainer.recipe.context
    watch = watch or (lambda trainer: None)
    total, done = last * tokens, trainer.step * tokens
    bar = tqdm(total=total, initial=done, unit=" tokens", unit_scale=True, file=progress, disable=progress is None)
    watch(trainer)
    with bar:
        while trainer.step < last:  # a second time only where something else than KeyboardInterrupt came of a signal
            with signals_wait() as stopped:
                while trainer.step < last and not stopped:
                    loss = trainer.advance()
                    bar.set_description(f"step {trainer.step:,} of {last:,}, loss {loss:.2f}", refresh=False)
                    bar.update(tokens)
                    if checkpoint and (trainer.step % every == 0 or trainer.step == last):
                        save_checkpoint(trainer, checkpoint)
                    watch(trainer)
                if checkpoint and stopped:
                    save_checkpoint(trainer, checkpoint)
    return trainer


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


def steps_within(minutes: float, trainer: Trainer, tries: int = 5) -> int:
    """How many steps fit into some minutes on this machine, from the median time of a few on a copy."""
    check_number("minutes", minutes)
    copy = Trainer(deepcopy(trainer.model), trainer.sources, trainer.recipe)
    seconds = []
    for _ in range(tries + 1):
        start = time.perf_counter()
        copy.advance()
        seconds.append(time.perf_counter() - start)
    return max(1, int(minutes * 60 / sorted(seconds[1:])[tries // 2]))


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


@dataclass(frozen=True)
class Text:
    """What a run reads and what it is examined on: parts to take windows from in turn, and held-out text."""

    parts: list[list[str]]
    held_out: list[str]
    note: str

    @property
    def byte_count(self) -> int:
        """The length of the held-out text in bytes of UTF-8."""
        return sum(len(text.encode()) for text in self.held_out)


def reference_text() -> Text:
    """Python's reference and the standard library's docstrings, half of the windows from each."""
    corpus = python_corpus()
    parts = [list(corpus.reference.values()), list(corpus.docstrings.values())]
    version = ".".join(map(str, sys.version_info[:3]))
    note = (
        f"Trained on the reference topics and the standard library's docstrings of Python {version}, which are under "
        "the Python Software Foundation License Version 2; examined on whole topics that were held out."
    )
    return Text(parts, list(corpus.held_out.values()), note)


def text_of_files(paths: Sequence[str | Path]) -> Text:
    """Files of UTF-8 text; the last tenth of each is held out, and the note says how much of that stands in the rest.

    Raises FileNotFoundError for a missing file and ValueError for one that is not UTF-8 or empty.
    """
    kept, exam = [], []
    paths = [paths] if isinstance(paths, str | Path) else paths
    if not paths:
        raise ValueError("training needs at least one file of text, got none")
    for path in map(Path, paths):
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}")
        try:
            text = path.read_text(encoding="utf-8").removeprefix("\ufeff")  # the mark that some editors write
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not UTF-8 at byte {error.start}: save it as UTF-8") from None
        if len(text) < 10:
            raise ValueError(f"{path} holds {len(text)} characters: there is nothing to learn from it")
        kept.append(text[: -(len(text) // 10)])
        exam.append(text[-(len(text) // 10) :])
    seen = set().union(*(windows(text, 40) for text in kept))
    shared = sum(share_inside(text, seen, 40) * len(text) for text in exam) / sum(map(len, exam))
    names = ", ".join(Path(path).name for path in paths)
    note = f"Trained on {names}; examined on the last tenth, of which {shared:.1%} stands in the rest."
    return Text([kept], exam, note)


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
