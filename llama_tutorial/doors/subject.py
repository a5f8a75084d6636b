"""What `diagnose` stands on: any language model behind one call, how a probe of it ends, the table of what it found.

The probes themselves are lesson 13, notebooks/13_loss_lies.ipynb.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call


class Fails(Exception):
    """A probe found a fault: what, where, and what to look at."""


class NotAsked(Exception):
    """A probe does not apply to this model: why."""


class Told(str):
    """What a probe tells without judging it."""


def ask(probe: Callable, subject: "Subject", ids: Tensor) -> tuple[str, str]:
    """The state that a probe finds, and its sentence; whatever else it raises is a fault, too."""
    try:
        says = probe(subject, ids)
        return ("told" if isinstance(says, Told) else "holds"), says
    except NotAsked as why:
        return "not asked", str(why)
    except Fails as fault:
        return "fails", str(fault)
    except Exception as error:
        return "fails", f"it raises {type(error).__name__}: {error}"


# --------------------------------------------------------------------------------------------------- the subject


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
        self.new_cache, self.answers = new_cache, {}
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

    def once(self, question: Callable, ids: Tensor) -> Tensor:
        """What question(subject, ids) gives, computed when it is first asked for; ids are those of one diagnosis."""
        if question not in self.answers:
            self.answers[question] = question(self, ids)
        return self.answers[question]

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

    def must_not_round(self):
        """Raise NotAsked where the dtype is too coarse to say that something does not move."""
        if self.rounding > 1e-3:
            raise NotAsked(f"{self.dtype} rounds away what this would move: try model.float()")

    # ------------------------------------------------------------------------------------ other ways of a call

    def at(self, ids: Tensor, more) -> Tensor:
        """The logits with `more` added to the positions; raises NotAsked where a call takes none."""
        name = self.takes("positions", "position_ids")
        if name is None:
            raise NotAsked("a call takes no positions")
        positions = torch.arange(ids.shape[1], device=ids.device) + more
        return self(ids, **{name: positions if name == "positions" else positions.expand(ids.shape)})

    def masked(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The logits with an attention mask of ones and zeros; raises NotAsked where a call takes none."""
        if not self.takes("attention_mask"):
            raise NotAsked("a call takes no attention_mask")
        more = {"attention_mask": mask}
        if self.takes("position_ids"):  # transformers' models count padding, unless they are told
            more["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)
        return self(ids, **more)

    def piecewise(self, pieces: Sequence[Tensor], make_cache: Callable) -> Tensor:
        """The logits of a text read in pieces: ours take a list of caches, `transformers` hands one back."""
        if self.takes("cache"):
            kept = self.new_cache() if self.new_cache else make_cache(self.setting("num_hidden_layers", 1))
            return torch.cat([self(piece, cache=kept) for piece in pieces], dim=1)
        if not self.takes("past_key_values"):
            raise NotAsked("a call takes no cache")
        found, kept = [], None
        for piece in pieces:
            given = self.whole(piece, kept=True, past_key_values=kept, use_cache=True)
            kept = getattr(given, "past_key_values", None)
            if kept is None:
                raise NotAsked("a call gives no past_key_values")
            found.append(given.logits.float())
        return torch.cat(found, dim=1)

    # --------------------------------------------------------------------------------------- what a module holds

    def modules(self) -> dict[str, nn.Module]:
        """The modules by name; raises NotAsked for a function, which shows none."""
        if self.module is None:
            raise NotAsked("a function shows no parameters")
        return dict(self.module.named_modules())

    def learned_positions(self) -> str:
        """The name of a learned table of positions, or nothing."""
        named = self.module.named_modules() if self.module is not None else ()
        return next((name for name, each in named
                     if isinstance(each, nn.Embedding) and ("pos" in name or name.endswith("wpe"))), "")  # fmt: skip

    def norms(self) -> dict[str, nn.Module]:
        """The modules that hold a gain and nothing else, by name; raises NotAsked for none."""
        norms = {name: each for name, each in self.modules().items() if not [*each.children()]}
        norms = {name: each for name, each in norms.items() if [w.ndim for w in each.parameters()] in ([1], [1, 1])}
        if not norms:
            raise NotAsked("no module holds a gain")
        return norms

    def called(self, modules: dict[str, nn.Module], ids: Tensor) -> list[str]:
        """The names of these modules, in the order of their work."""
        calls = []
        hooks = [each.register_forward_hook(lambda *_, name=name: calls.append(name)) for name, each in modules.items()]
        try:
            self(ids)
        finally:
            for hook in hooks:
                hook.remove()
        return calls

    def with_another_gain(self, name: str, ids: Tensor) -> tuple[str, Tensor]:
        """The name of that norm's gain, and the logits with another one in its place."""
        key, gain = next(self.module.get_submodule(name).named_parameters())
        other = gain.detach() + torch.randn(gain.shape).to(gain) / 2
        after = functional_call(self.module, {f"{name}.{key}": other}, (ids,))
        after = getattr(after, "logits", after)
        return f"{name}.{key}", after.to(torch.promote_types(after.dtype, torch.float32))

    def learners(self) -> dict[str, nn.Parameter]:
        """The parameters that ask for a gradient, by name; raises NotAsked for none."""
        self.modules()
        named = {name: each for name, each in self.module.named_parameters() if each.requires_grad}
        if not named:
            raise NotAsked("no parameter asks for a gradient")
        return named

    def table_and_head(self) -> tuple[Tensor, Tensor]:
        """The weights of the embedding and of the head; raises NotAsked where I find none."""
        named = self.modules()
        table = next((each for each in named.values() if isinstance(each, nn.Embedding)), None)
        head = named.get("lm_head") or getattr(self.module, "get_output_embeddings", lambda: None)()
        if table is None or getattr(head, "weight", None) is None:
            raise NotAsked("I find no embedding, or no lm_head")
        return table.weight, head.weight

    def some_text(self) -> Tensor:
        """Two rows of tokens, as different from one another as the vocabulary allows; as long as the model takes."""
        longest = self.setting("max_position_embeddings", self.setting("n_positions", 100))
        count = max(4, min(12, longest - 5))
        rows = [torch.randperm(max(self.vocab, count))[:count] % self.vocab for _ in range(2)]
        return torch.stack(rows).to(self.device)


def arguments_of(model) -> set[str]:
    """The names that a call takes."""
    try:
        return set(inspect.signature(model.forward if isinstance(model, nn.Module) else model).parameters)
    except (TypeError, ValueError):  # what is written in C has no signature
        return set()


# ---------------------------------------------------------------------------------------- what two calls have to say


def apart(found: Tensor, wanted: Tensor) -> Tensor:
    """How far two logits lie apart at each place, in units of their spread."""
    if found.shape != wanted.shape:
        raise Fails(f"logits are {tuple(found.shape)} where {tuple(wanted.shape)} belong")
    return (found - wanted).abs().amax(dim=(0, 2)) / wanted.std()


def the_same(subject: Subject, found: Tensor, wanted: Tensor, told: str) -> str:
    """How near two logits are; raises Fails at the first place where they are not the same."""
    gap = apart(found, wanted)
    place = next((place for place, each in enumerate(gap.tolist()) if not each <= subject.rounding), None)
    if place is not None:
        raise Fails(f"first at place {place}, by {gap[place]:.2g} of the logits' spread: {told}")
    return f"the same, within {subject.rounding:.0e} of the logits' spread"


def matters(subject: Subject, found: Tensor, wanted: Tensor, told: str) -> str:
    """How far the last place moves; raises Fails where it does not, NotAsked where rounding would hide it."""
    gap = apart(found, wanted)[-1].item()
    if not gap > subject.rounding:
        subject.must_not_round()
    if not gap > subject.rounding / 10:
        raise Fails(told)
    return f"yes, it moves the last place by {gap:.2g} of the logits' spread"


def surprise(logits: Tensor, ids: Tensor) -> Tensor:
    """The mean surprise at the next tokens in nats, with a gradient."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


# ------------------------------------------------------------------------------------------------------- the table


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
