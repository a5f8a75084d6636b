"""Training

From raw text to a model that writes: windows of text, a loss, a step downhill, and a fair exam.
"""

# Exported from notebooks/10_training.ipynb; edit the lesson, not this file.

__all__ = [
    "equal_shares", "token_ids", "exam_windows", "bits_per_byte", "Recipe", "draw_windows", "window",
    "check_sources", "orthogonalize", "Muon", "make_optimizers", "step_size", "lent_dropout", "Trainer",
]

import math
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from .causal_lm import LlamaForCausalLM, next_token_loss
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
