"""The loss lies

A wrong model learns, too. What tells it from a right one is not how well it does, but what it does when
it is touched.
"""

# Exported from notebooks/13_loss_lies.ipynb; edit the lesson, not this file.

__all__ = [
    "PROBES", "moves", "who_hears", "Subject", "arguments_of", "Fails", "NotAsked", "the_same", "apart",
    "matters", "gives_scores", "repeats", "is_causal", "hears_all", "stands_alone", "ignores_padding",
    "moves_together", "minds_order", "minds_distance", "at_positions", "learned_positions", "reads_in_pieces",
    "uses_gains", "modules_of", "learns_everywhere", "is_tied", "first_guess", "surprise", "Finding",
    "Diagnosis", "diagnose", "ask", "some_text",
]

import inspect
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

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


class Subject:
    """A language model behind one call: ids (batch, seq), and what else it takes, give logits in float32 at least.

    Raises TypeError for what cannot be called or gives no tensor, ValueError where a call fails.
    """

    def __init__(self, model, vocab: int | None = None, new_cache: Callable | None = None):
        if isinstance(model, type) or not callable(model):
            told = f"the class {model.__name__}: give an instance" if isinstance(model, type) else f"{model!r:.60}"
            raise TypeError(f"model must be a module, or a function of ids (batch, seq) that gives logits, got {told}")
        self.model, self.module = model, model if isinstance(model, nn.Module) else None
        self.config, self.names = getattr(model, "config", None), arguments_of(model)
        weight = next(self.module.parameters(), None) if self.module is not None else None
        self.device = torch.device("cpu") if weight is None else weight.device
        self.new_cache = new_cache or (lambda: make_cache(self.setting("num_hidden_layers", 1)))
        logits = self.first_call()
        self.vocab = vocab or self.setting("vocab_size") or logits.shape[-1]
        dtypes = [logits.dtype] if weight is None or not weight.is_floating_point() else [logits.dtype, weight.dtype]
        self.dtype = min(dtypes, key=lambda dtype: dtype.itemsize)

    def first_call(self) -> Tensor:
        """The logits of two tokens, or an error in words."""
        try:
            with torch.no_grad():
                logits = self.whole(torch.zeros(1, 2, dtype=torch.long, device=self.device))
        except Exception as error:
            raise ValueError(
                f"model(ids), with ids (1, 2), raises {type(error).__name__}: {error}. "
                "A causal language model takes ids (batch, seq), and gives logits"
            ) from error
        if not isinstance(logits, Tensor) or not logits.is_floating_point():
            raise TypeError(f"model(ids) must give logits (batch, seq, vocab), got {type(logits).__name__}")
        return logits

    def __call__(self, ids, **more):
        found = self.whole(ids, **more)
        return found.to(torch.promote_types(found.dtype, torch.float32))

    def whole(self, ids, kept: bool = False, **more):
        """The logits as they come, or with `kept` all that the model gives."""
        found = self.model(ids, **more)
        return found if kept else getattr(found, "logits", found)

    def setting(self, name: str, default=None):
        """A field of the model's config; the default where there is none."""
        found = getattr(self.config, name, None)
        return default if found is None else found

    def takes(self, *names: str) -> str | None:
        """The first of these arguments that a call takes."""
        return next((name for name in names if name in self.names), None)

    @property
    def rounding(self) -> float:
        """What is no difference, in units of the logits' spread: what the dtype rounds away on the way."""
        return {torch.float16: 0.03, torch.bfloat16: 0.15}.get(self.dtype, 1e-4)

    def moved(self, ids) -> Tensor:
        """Who hears whom; two probes ask, and it is reckoned once."""
        if not hasattr(self, "heard"):
            self.heard = who_hears(self, ids)
        return self.heard


def arguments_of(model) -> set[str]:
    """The names that a call takes."""
    try:
        return set(inspect.signature(model.forward if isinstance(model, nn.Module) else model).parameters)
    except (TypeError, ValueError):  # what is written in C has no signature
        return set()


class Fails(Exception):
    """A probe found a fault: what, where, and what to look at."""


class NotAsked(Exception):
    """A probe does not apply to this model: why."""


def the_same(subject: Subject, found: Tensor, wanted: Tensor, told: str) -> str:
    """How near two logits are; raises Fails at the first place where they are not the same."""
    gap = apart(found, wanted)
    place = next((place for place, each in enumerate(gap.tolist()) if not each <= subject.rounding), None)
    if place is not None:
        raise Fails(f"first at place {place}, by {gap[place]:.2g} of the logits' spread: {told}")
    return f"the same, within {subject.rounding:.0e} of the logits' spread"


def apart(found: Tensor, wanted: Tensor) -> Tensor:
    """How far two logits lie apart at each place, in units of their spread."""
    if found.shape != wanted.shape:
        raise Fails(f"logits are {tuple(found.shape)} where {tuple(wanted.shape)} belong")
    return (found - wanted).abs().amax(dim=(0, 2)) / wanted.std()


def matters(subject: Subject, gap: float, told: str) -> str:
    """How much something matters; raises Fails where it does not, NotAsked where rounding would hide it."""
    coarse = subject.rounding > 1e-3
    if coarse and not gap > subject.rounding:
        raise NotAsked(f"{subject.dtype} rounds away what this would move: try model.float()")
    if not gap > subject.rounding / 10:
        raise Fails(told)
    return f"yes, it moves the last place by {gap:.2g} of the logits' spread"


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
    for place, row in enumerate(subject.moved(ids)):
        earlier = [i for i in range(place) if not row[i] <= subject.rounding]
        if earlier:
            raise Fails(f"I edited token {place}, and place {earlier[0]} moved, by {row[earlier[0]]:.2g} of the "
                        "logits' spread: it reads what it is to guess. Look at the mask and what it is filled with, at "
                        "the axis of the softmax, at reshapes where axes should be swapped")  # fmt: skip
    return f"{len(ids[0])} edits, and nothing earlier moved"


def hears_all(subject: Subject, ids: Tensor) -> str:
    """Does every place hear itself and all that stands before it?"""
    moved, window = subject.moved(ids), subject.setting("sliding_window")
    if window and window < ids.shape[1]:
        raise NotAsked(f"a window of {window} hides earlier tokens, as the config says")
    deaf = [(edited, place) for edited in range(ids.shape[1]) for place in range(edited, ids.shape[1])
            if not moved[edited, place] > subject.rounding / 10]  # fmt: skip
    if deaf and subject.rounding > 1e-3:
        raise NotAsked(f"{subject.dtype} rounds away what this would move: try model.float()")
    if deaf:
        raise Fails(f"I edited token {deaf[0][0]}, and place {deaf[0][1]} did not move ({len(deaf)} such pairs): look "
                    "at the mask, and whether attention is added to the stream")  # fmt: skip
    return "each edit moves its own place and all later ones"


def stands_alone(subject: Subject, ids: Tensor) -> str:
    """Is a row the same alone as among others?"""
    rows = torch.stack([ids[0], ids[0].flip(0), ids[0].roll(1)])
    whole, told = subject(rows), "a row says something else alone: axes have changed places, or the batch is mixed"
    return [the_same(subject, subject(rows[i : i + 1]), whole[i : i + 1], told) for i in range(3)][-1]


def ignores_padding(subject: Subject, ids: Tensor) -> str:
    """Does padding on the left change nothing?"""
    if not subject.takes("attention_mask"):
        raise NotAsked("a call takes no attention_mask")
    text, pad = ids[:1], ids[:1, :3]
    rows = torch.cat([torch.cat([pad, text], dim=1), torch.cat([text, pad], dim=1)])
    mask = torch.ones_like(rows)
    mask[0, :3] = 0
    more = {"attention_mask": mask}
    if subject.takes("position_ids"):  # transformers' models count padding, unless they are told
        more["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)
    told = "padding is heard, or counted in the positions: does the mask reach attention, and does it hide keys?"
    return the_same(subject, subject(rows, **more)[:1, 3:], subject(text), told)


def moves_together(subject: Subject, ids: Tensor) -> str:
    """Do positions that all move on together change nothing?"""
    table = learned_positions(subject)
    if table:
        raise NotAsked(f"{table} is a learned table of positions: a text further on is another text")
    told = "queries and keys must turn alike, their lengths stay, and nothing else may turn"
    return the_same(subject, at_positions(subject, ids, 5), at_positions(subject, ids, 0), told)


def minds_order(subject: Subject, ids: Tensor) -> str:
    """Does it matter in which order earlier words stand?"""
    swapped = ids.clone()
    swapped[:, :2] = ids[:, :2].flip(1)
    gap = apart(subject(swapped), subject(ids))[-1].item()
    return matters(subject, gap, "two earlier words change places, and the last place does not notice: a bag of words")


def minds_distance(subject: Subject, ids: Tensor) -> str:
    """Does a gap in the positions matter?"""
    wider = 3 * (torch.arange(ids.shape[1], device=ids.device) >= ids.shape[1] // 2)
    gap = apart(at_positions(subject, ids, wider), at_positions(subject, ids, 0))[-1].item()
    return matters(subject, gap, "it changes nothing: positions do not reach queries and keys, or do not turn them")


def at_positions(subject: Subject, ids: Tensor, more) -> Tensor:
    """The logits with `more` added to the positions; raises NotAsked where a call takes none."""
    name = subject.takes("positions", "position_ids")
    if name is None:
        raise NotAsked("a call takes no positions")
    positions = torch.arange(ids.shape[1], device=ids.device) + more
    return subject(ids, **{name: positions if name == "positions" else positions.expand(ids.shape)})


def learned_positions(subject: Subject) -> str:
    """The name of a learned table of positions, or nothing."""
    named = subject.module.named_modules() if subject.module is not None else ()
    return next((name for name, each in named
                 if isinstance(each, nn.Embedding) and ("pos" in name or name.endswith("wpe"))), "")  # fmt: skip


def reads_in_pieces(subject: Subject, ids: Tensor) -> str:
    """Does reading in pieces, with a cache, give what reading at once gives?"""
    pieces = ids.split([4, *[1] * (ids.shape[1] - 7), 3], dim=1) if ids.shape[1] > 7 else ids.split(1, dim=1)
    if subject.takes("cache"):
        kept = subject.new_cache()
        found = [subject(piece, cache=kept) for piece in pieces]
    elif subject.takes("past_key_values"):
        found, kept = [], None
        for piece in pieces:
            given = subject.whole(piece, kept=True, past_key_values=kept, use_cache=True)
            kept = getattr(given, "past_key_values", None)
            if kept is None:
                raise NotAsked("a call gives no past_key_values")
            found.append(given.logits.float())
    else:
        raise NotAsked("a call takes no cache")
    told = ("the pieces are 4 tokens, then one at a time, then 3. Wrong from place 4 on: positions that do not count "
            "the past; wrong in the last piece alone: the mask of several new tokens")  # fmt: skip
    return the_same(subject, torch.cat(found, dim=1), subject(ids), told)


def uses_gains(subject: Subject, ids: Tensor) -> str:
    """Does each norm work once in a call, and does its own gain reach the logits?"""
    norms = {name: each for name, each in modules_of(subject).items() if not [*each.children()]}
    norms = {name: each for name, each in norms.items() if [w.ndim for w in each.parameters()] in ([1], [1, 1])}
    if not norms:
        raise NotAsked("no module holds a gain")
    calls, before = [], subject(ids)
    hooks = [each.register_forward_hook(lambda *_, name=name: calls.append(name)) for name, each in norms.items()]
    try:
        subject(ids)
    finally:
        for hook in hooks:
            hook.remove()
    faults = [f"{name} works {calls.count(name)} times" for name in norms if calls.count(name) > 1]
    for name, each in norms.items():
        key, gain = next(each.named_parameters())
        other = gain.detach() + torch.randn(gain.shape).to(gain) / 2
        after = functional_call(subject.module, {f"{name}.{key}": other}, (ids,))
        after = getattr(after, "logits", after).to(before.dtype)
        fine = subject.rounding < 1e-3  # a coarse dtype rounds away what a small gain moves
        if fine and not apart(after, before).max() > subject.rounding / 10:
            faults.append(f"another {name}.{key} changes nothing")
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise Fails("; ".join(faults[:3]) + more + ". A norm is left out, or stands where another belongs")
    return f"{len(norms)} norms"


def modules_of(subject: Subject) -> dict[str, nn.Module]:
    """The modules by name; raises NotAsked for a function, which shows none."""
    if subject.module is None:
        raise NotAsked("a function shows no parameters")
    return dict(subject.module.named_modules())


def learns_everywhere(subject: Subject, ids: Tensor) -> str:
    """Does the loss reach every parameter?"""
    modules_of(subject)
    named = {name: each for name, each in subject.module.named_parameters() if each.requires_grad}
    if not named:
        raise NotAsked("no parameter asks for a gradient")
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


def is_tied(subject: Subject, ids: Tensor) -> str:
    """Is the table of words also the head where the config says so, and only there?"""
    named, says = modules_of(subject), subject.setting("tie_word_embeddings")
    if says is None:
        raise NotAsked("no config says whether")
    table = next((each for each in named.values() if isinstance(each, nn.Embedding)), None)
    head = named.get("lm_head") or getattr(subject.module, "get_output_embeddings", lambda: None)()
    if table is None or getattr(head, "weight", None) is None:
        raise NotAsked("I find no embedding, or no lm_head")
    if (table.weight is head.weight) != bool(says):
        two = "they are two tensors: a copy drifts away in training"
        raise Fails(f"the config says {says}, and {two if says else 'they are one tensor'}")
    return "one tensor, as the config says" if says else "two tensors, as the config says"


def first_guess(subject: Subject, ids: Tensor) -> str:
    """What does a guess at random tokens cost, beside ln V + s²/2 of a fresh model?"""
    rows = torch.randint(subject.vocab, (8, ids.shape[1]), device=ids.device)
    logits = subject(rows)
    spread = logits.var(dim=-1).mean().sqrt().item()
    fresh = math.log(subject.vocab) + spread**2 / 2
    return f"{surprise(logits, rows):.2f}; fresh, ln {subject.vocab} + {spread:.2g}²/2 = {fresh:.2f}"


def surprise(logits: Tensor, ids: Tensor) -> Tensor:
    """The mean surprise at the next tokens in nats, with a gradient."""
    told = rearrange(logits[:, :-1], "batch seq vocab -> (batch seq) vocab")
    return F.cross_entropy(told, rearrange(ids[:, 1:], "batch seq -> (batch seq)"))


PROBES = (gives_scores, repeats, is_causal, hears_all, minds_order, minds_distance, moves_together, stands_alone,
          ignores_padding, reads_in_pieces, uses_gains, learns_everywhere, is_tied, first_guess)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """What one probe found: `state` is "holds", "fails", "not asked" or "told"."""

    probe: str
    asks: str
    state: str
    says: str
    milliseconds: float


class Diagnosis:
    """What all probes found: `rows` holds a Finding for each, `failed` the names of those that fail."""

    MARKS = {"holds": ("✓", "#228833"), "fails": ("✗", "#c0392b"), "told": ("·", "#5f6672"),
             "not asked": ("–", "#5f6672")}  # fmt: skip

    def __init__(self, rows: Sequence[Finding]):
        self.rows = tuple(rows)

    @property
    def failed(self) -> list[str]:
        """The probes that fail."""
        return [row.probe for row in self.rows if row.state == "fails"]

    def __getitem__(self, probe: str) -> Finding:
        """The finding of the probe with that name; KeyError where there is none."""
        found = {row.probe: row for row in self.rows}
        if probe not in found:
            raise KeyError(f"no probe is called {probe!r}; there are {', '.join(found)}")
        return found[probe]

    def __repr__(self):
        return "\n".join(f"{self.MARKS[row.state][0]} {row.probe:17} {row.says}" for row in self.rows)

    def _repr_html_(self):
        cells = []
        for row in self.rows:
            mark, color = self.MARKS[row.state]
            cells.append(f'<tr><td style="color:{color}">{mark}</td><td style="text-align:left"><b>{row.probe}</b></td>'
                         f'<td style="text-align:left">{escape(row.asks)}</td>'
                         f'<td style="text-align:left">{escape(row.says)}</td></tr>')  # fmt: skip
        return f"<table>{''.join(cells)}</table>"


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
        ids = some_text(subject) if ids is None else ids.long().to(subject.device)
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


def ask(probe: Callable, subject: Subject, ids: Tensor) -> tuple[str, str]:
    """The state that a probe finds, and its sentence."""
    try:
        return ("told" if probe is first_guess else "holds"), probe(subject, ids)
    except NotAsked as why:
        return "not asked", str(why)
    except Fails as fault:
        return "fails", str(fault)
    except Exception as error:
        return "fails", f"it raises {type(error).__name__}: {error}"


def some_text(subject: Subject) -> Tensor:
    """Two rows of tokens, as different from one another as the vocabulary allows; as long as the model takes."""
    longest = subject.setting("max_position_embeddings", subject.setting("n_positions", 100))
    count = max(4, min(12, longest - 5))
    rows = [torch.randperm(max(subject.vocab, count))[:count] % subject.vocab for _ in range(2)]
    return torch.stack(rows).to(subject.device)
