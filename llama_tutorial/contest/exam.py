"""The exam of the contest: a text that no entry was given, and a probe for models that read ahead."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange

from ..corpus import python_corpus
from ..tokenizer import Tokenizer
from ..training import equal_shares, exam_windows, token_ids

VOCAB, CONTEXT, BATCH = 1024, 128, 32  # as in lesson 10
NEAR = 1e-3  # how far logits may lie apart that are to be the same, beside the largest of them


class Refused(RuntimeError):
    """Why an entry does not count, in one sentence."""


def textbook() -> tuple[Tokenizer, list[torch.Tensor]]:
    """Lesson 10's tokenizer and the ids to learn from, in two sources; nothing of the exam is in them."""
    corpus = python_corpus()
    parts = [list(corpus.reference.values()), list(corpus.docstrings.values())]
    tokenizer = Tokenizer.train(equal_shares(parts), VOCAB)
    return tokenizer, [token_ids(tokenizer, part) for part in parts]


@torch.no_grad()
def examine(model, tokenizer: Tokenizer, seed: int = 0, texts=None) -> float:
    """The model's bits per byte of the held-out text; Refused for a model whose logits cannot be believed."""
    texts = list(python_corpus().held_out.values()) if texts is None else texts
    chance, surprise = torch.Generator().manual_seed(seed), 0.0
    for inputs, targets in exam_windows(token_ids(tokenizer, texts), CONTEXT, BATCH):
        scores = rearrange(honest_logits(model, inputs, chance), "batch seq vocab -> (batch seq) vocab")
        surprise += F.cross_entropy(scores, rearrange(targets, "batch seq -> (batch seq)"), reduction="sum").item()
    return surprise / math.log(2) / sum(len(text.encode()) for text in texts)


def honest_logits(model, inputs, chance):
    """What a model says of some windows, which it reads once more with all that follows a random place changed.

    Refused unless its logits up to there are the same, or where they are no logits.
    """
    cut = torch.randint(1, inputs.shape[1] + 1, (len(inputs), 1), generator=chance)
    early = torch.arange(inputs.shape[1]) < cut
    others = (inputs + torch.randint(1, VOCAB, inputs.shape, generator=chance)) % VOCAB
    readings = [inputs, torch.where(early, inputs, others)]
    changed_first = bool(torch.randint(2, (), generator=chance))
    said = [logits_of(model, reading) for reading in (reversed(readings) if changed_first else readings)]
    logits, beside = reversed(said) if changed_first else said
    if apart(logits[early], beside[early]):
        if apart(logits, logits_of(model, inputs)):
            raise Refused("it says another thing of the same tokens when asked again: an exam needs one answer")
        raise Refused(
            "its logits change when only later tokens, or other windows, do: it reads the answers of the exam. "
            "A causal mask keeps it from that"
        )
    return logits


def logits_of(model, ids):
    """The logits of some ids, as float32 on the CPU; the model gets a copy, so that nothing lies behind it."""
    parameter = next(model.parameters(), ids)
    logits = model(ids.clone().to(parameter.device))
    if not isinstance(logits, torch.Tensor):
        raise Refused(f"it must return logits (batch, seq, {VOCAB}), got a {type(logits).__name__}")
    if tuple(logits.shape) != (*ids.shape, VOCAB):
        raise Refused(f"it must return logits {(*ids.shape, VOCAB)} for ids {tuple(ids.shape)}, got "
                      f"{tuple(logits.shape)}")  # fmt: skip
    if not logits.is_floating_point() or not torch.isfinite(logits).all():
        raise Refused("not all of its logits are numbers: some are infinite or nan, or none are floats")
    return logits.float().cpu()


def apart(one, other) -> bool:
    """Whether logits that are to be the same differ by more than arithmetic does."""
    return len(one) > 0 and bool((one - other).abs().max() > NEAR * max(1.0, one.abs().max().item()))


def parameter_count(model) -> int:
    """How many numbers the model keeps, buffers that are saved with it included; a shared table counts once."""
    kept = {(tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape): tensor.numel()
            for tensor in model.state_dict().values() if isinstance(tensor, torch.Tensor)}  # fmt: skip
    return sum(kept.values())
