"""The loss lies

A wrong model learns, too. What tells it from a right one is not how well it does, but what it does when
it is touched.
"""

# Exported from notebooks/13_loss_lies.ipynb; edit the lesson, not this file.

__all__ = [
    "PROBES", "moves", "who_hears", "gives_scores", "repeats", "is_causal", "hears_all", "minds_order",
    "minds_distance", "moves_together", "stands_alone", "ignores_padding", "reads_in_pieces",
    "learns_everywhere", "uses_gains", "is_tied", "first_guess", "diagnose",
]

import math
import time
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from llama_tutorial.doors.subject import (
    Diagnosis,
    Fails,
    Finding,
    NotAsked,
    Subject,
    Told,
    apart,
    ask,
    matters,
    surprise,
    the_same,
)

from .doors import check_number, check_tensor
from .kv_cache import make_cache


def moves(score: Callable, ids: Int[Tensor, "batch seq"], place: int) -> Float[Tensor, " seq"]:
    """How far the scores at each place move when the token at `place` is another, in units of the scores' spread.

    `score` takes ids and gives logits (batch, seq, vocab). Of rows and words the one that moves most counts.
    """
    before = score(ids)
    edited = ids.clone()
    edited[:, place] = (ids[:, place] + 1) % before.shape[-1]
    return (score(edited) - before).abs().amax(dim=(0, 2)) / before.std()


def who_hears(score: Callable, ids: Int[Tensor, "batch seq"]) -> Float[Tensor, "edited moved"]:
    """For each place that is edited, a row: how far every place moves."""
    return torch.stack([moves(score, ids, place) for place in range(ids.shape[1])])


def gives_scores(subject: Subject, ids: Tensor) -> str:
    """Are they logits: at each place a score for each word, finite, and not yet chances?"""
    found, wanted = subject(ids), (*ids.shape, subject.vocab)
    if found.shape != wanted:
        raise Fails(f"they are {tuple(found.shape)} where (batch, seq, vocab) = {wanted} belong: is the head there, "
                    "and does it score every place?")  # fmt: skip
    if not found.isfinite().all():
        row, place = (~found.isfinite()).any(dim=-1).nonzero()[0].tolist()
        raise Fails(f"NaN or ∞, first in row {row} at place {place}: a query without a key, 0/0, or a broken weight")
    if found.std() == 0:
        raise Fails("all logits are one and the same number")
    if (found.logsumexp(dim=-1)).abs().max() < 1e-2:
        raise Fails("these are logarithms of chances: a log_softmax stands in the model, where the loss makes one")
    if found.min() >= 0 and (found.sum(dim=-1) - 1).abs().max() < 1e-2:
        raise Fails("each row sums to 1: these are chances, and the loss would make chances of them once more")
    return f"{tuple(found.shape)}, their spread is {found.std():.2g}"


def repeats(subject: Subject, ids: Tensor) -> str:
    """Does the same call give the same, with another text in between?"""
    first = subject(ids)
    subject(ids.flip(1))
    told = "it draws by chance, or keeps something of an earlier text"
    if subject.module is not None and subject.module.training:
        told = "it draws by chance: dropout is on, call model.eval()"
    return the_same(subject, subject(ids), first, told)


def is_causal(subject: Subject, ids: Tensor) -> str:
    """Does editing a token leave all earlier places as they are?"""
    moved = subject.once(who_hears, ids)
    early = (~(moved <= subject.rounding)).tril(-1).nonzero().tolist()  # NaN has moved, too
    if early:
        edited, place = early[0]
        raise Fails(f"I edited token {edited}, and place {place} moved, by {moved[edited, place]:.2g} of the "
                    "logits' spread: it reads what it is to guess. Look at the mask and what it is filled with, at "
                    "the axis of the softmax, at reshapes where axes should be swapped")  # fmt: skip
    return f"{len(ids[0])} edits, and nothing earlier moved"


def hears_all(subject: Subject, ids: Tensor) -> str:
    """Does every place hear itself and all that stands before it?"""
    window = subject.setting("sliding_window")
    if window and window < ids.shape[1]:
        raise NotAsked(f"a window of {window} hides earlier tokens, as the config says")
    deaf = (~(subject.once(who_hears, ids) > subject.rounding / 10)).triu().nonzero().tolist()
    if deaf:
        subject.must_not_round()
        raise Fails(f"I edited token {deaf[0][0]}, and place {deaf[0][1]} did not move ({len(deaf)} such pairs): look "
                    "at the mask, and whether attention is added to the stream")  # fmt: skip
    return "each edit moves its own place and all later ones"


def minds_order(subject: Subject, ids: Tensor) -> str:
    """Does it matter in which order earlier words stand?"""
    swapped = ids.clone()
    swapped[:, :2] = ids[:, :2].flip(1)
    told = "two earlier words change places, and the last place does not notice: a bag of words"
    return matters(subject, subject(swapped), subject(ids), told)


def minds_distance(subject: Subject, ids: Tensor) -> str:
    """Does a gap in the positions matter?"""
    wider = 3 * (torch.arange(ids.shape[1], device=ids.device) >= ids.shape[1] // 2)
    told = "it changes nothing: positions do not reach queries and keys, or do not turn them"
    return matters(subject, subject.at(ids, wider), subject.at(ids, 0), told)


def moves_together(subject: Subject, ids: Tensor) -> str:
    """Do positions that all move on together change nothing?"""
    table = subject.learned_positions()
    if table:
        raise NotAsked(f"{table} is a learned table of positions: a text further on is another text")
    told = "queries and keys must turn alike, their lengths stay, and nothing else may turn"
    return the_same(subject, subject.at(ids, 5), subject.at(ids, 0), told)


def stands_alone(subject: Subject, ids: Tensor) -> str:
    """Is a row the same alone as among others?"""
    rows = torch.stack([ids[0], ids[0].flip(0), ids[0].roll(1)])
    whole, told = subject(rows), "a row says something else alone: axes have changed places, or the batch is mixed"
    return [the_same(subject, subject(rows[i : i + 1]), whole[i : i + 1], told) for i in range(3)][-1]


def ignores_padding(subject: Subject, ids: Tensor) -> str:
    """Does padding on the left change nothing?"""
    text, pad = ids[:1], ids[:1, :3]
    rows = torch.cat([torch.cat([pad, text], dim=1), torch.cat([text, pad], dim=1)])
    mask = torch.ones_like(rows)
    mask[0, :3] = 0
    told = "padding is heard, or counted in the positions: does the mask reach attention, and does it hide keys?"
    return the_same(subject, subject.masked(rows, mask)[:1, 3:], subject(text), told)


def reads_in_pieces(subject: Subject, ids: Tensor) -> str:
    """Does reading in pieces, with a cache, give what reading at once gives?"""
    pieces = ids.split([4, *[1] * (ids.shape[1] - 7), 3], dim=1) if ids.shape[1] > 7 else ids.split(1, dim=1)
    told = ("the pieces are 4 tokens, then one at a time, then 3. Wrong from place 4 on: positions that do not count "
            "the past; wrong in the last piece alone: the mask of several new tokens")  # fmt: skip
    return the_same(subject, subject.piecewise(pieces, make_cache), subject(ids), told)


def learns_everywhere(subject: Subject, ids: Tensor) -> str:
    """Does the loss reach every parameter?"""
    named = subject.learners()
    with torch.enable_grad():
        loss = surprise(subject(ids), ids)
    if not loss.requires_grad:
        raise Fails("it reaches none: a detach, a no_grad or a new tensor stands between loss and parameters")
    found = torch.autograd.grad(loss, [*named.values()], allow_unused=True)
    missed = [name for name, grad in zip(named, found) if grad is None or not grad.any()]
    missed = [name for name in missed if "expert" not in name]  # a router need not ask all of them
    if missed:
        listed = ", ".join(missed[:3]) + " …" * (len(missed) > 3)
        raise Fails(f"{len(missed)} of {len(named)} get no gradient: {listed}. They take no part in the logits, or are "
                    "cut off from them")  # fmt: skip
    return f"{len(named)} parameters"


def uses_gains(subject: Subject, ids: Tensor) -> str:
    """Does each norm work once in a call, and does its own gain reach the logits?"""
    norms, before = subject.norms(), subject(ids)
    calls = subject.called(norms, ids)
    faults = [f"{name} works {calls.count(name)} times" for name in norms if calls.count(name) > 1]
    for name in norms:
        gain, after = subject.with_another_gain(name, ids)
        fine = subject.rounding < 1e-3  # a coarse dtype rounds away what a small gain moves
        if fine and not apart(after, before).max() > subject.rounding / 10:
            faults.append(f"another {gain} changes nothing")
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise Fails("; ".join(faults[:3]) + more + ". A norm is left out, or stands where another belongs")
    return f"{len(norms)} norms"


def is_tied(subject: Subject, ids: Tensor) -> str:
    """Is the table of words also the head where the config says so, and only there?"""
    (table, head), says = subject.table_and_head(), subject.setting("tie_word_embeddings")
    if says is None:
        raise NotAsked("no config says whether")
    if (table is head) != bool(says):
        two = "they are two tensors: a copy drifts away in training"
        raise Fails(f"the config says {says}, and {two if says else 'they are one tensor'}")
    return "one tensor, as the config says" if says else "two tensors, as the config says"


def first_guess(subject: Subject, ids: Tensor) -> str:
    """What does a guess at random tokens cost, beside ln V + s²/2 of a fresh model?"""
    rows = torch.randint(subject.vocab, (8, ids.shape[1]), device=ids.device)
    logits = subject(rows)
    spread = logits.var(dim=-1).mean().sqrt().item()
    fresh = math.log(subject.vocab) + spread**2 / 2
    return Told(f"{surprise(logits, rows):.2f}; fresh, ln {subject.vocab} + {spread:.2g}²/2 = {fresh:.2f}")


PROBES = (gives_scores, repeats, is_causal, hears_all, minds_order, minds_distance, moves_together, stands_alone,
          ignores_padding, reads_in_pieces, uses_gains, learns_everywhere, is_tied, first_guess)  # fmt: skip


def diagnose(
    model, ids: Int[Tensor, "batch seq"] | None = None, vocab: int | None = None, new_cache: Callable | None = None
) -> Diagnosis:
    """Put any causal language model through all probes; none needs a reference, and none changes the model.

    `model` is a module or a function of ids (batch, seq) that gives logits, or an object that holds them as `logits`.
    `ids` are two rows of different tokens unless given; `vocab` is the config's, or as wide as the logits;
    `new_cache` makes the list of caches that a call takes as `cache`. A module that is training is asked whether it
    repeats, and then set to eval until the end. Raises TypeError or ValueError for what is no such model.
    """
    if vocab is not None:
        check_number("vocab", vocab, whole=True)
    modes = {each: each.training for each in model.modules()} if isinstance(model, nn.Module) else {}
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        subject, rows, blocked = Subject(model, vocab, new_cache), [], ""
        if ids is not None:
            check_tensor("ids", ids, "integers", ("batch", "seq"))
        ids = subject.some_text() if ids is None else ids.long().to(subject.device)
        try:
            for probe in PROBES:
                began = time.perf_counter()
                state, says = ("not asked", blocked) if blocked else ask(probe, subject, ids)
                if state == "fails" and probe is gives_scores:
                    blocked = "there are no scores to look at"
                if probe is repeats and modes:
                    model.eval()
                name, spent = probe.__name__.replace("_", " "), 1000 * (time.perf_counter() - began)
                rows.append(Finding(name, probe.__doc__, state, says, spent))
        finally:
            for module, training in modes.items():
                module.training = training
    return Diagnosis(rows)
