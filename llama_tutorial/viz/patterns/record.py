"""What a model computed, by name, and how it runs on when a part of it is changed; the model stays as it is.

    with record(model) as trace:
        model(ids)
    trace                                # a table of all names, with shapes in axis words
    trace["layers.0.probs"]              # (batch head query key)
    trace["probs"]                       # of all layers: (layer batch head query key)
    with trace.replace("layers.1.heads.3", "mean"):
        model(ids)
"""

import difflib
import html
import re
from collections.abc import Mapping
from contextlib import contextmanager

import torch

from .tap import BY_HEAD, COMPUTED, Names, layer_of, tap, weighted

WHOLE = "white-space:nowrap"


@contextmanager
def record(model: torch.nn.Module, *names: str, layers: list[int] | None = None):
    """Keep what `model` computes in this thread while the block runs; gives the Trace.

    Without names, everything: queries, keys, values, scores, probs and heads of every attention, the gates, the
    residual stream after each part, what goes into each norm, and each part's output under its own path. With names
    ("scores", "layers.0.mlp", any module's path) and numbers of `layers`, these alone. Outputs and gradients are as
    without it, to the bit. Where attention runs in one kernel, scores and probs are computed from its queries and
    keys, and proved: probs · values is what came out. Raises TypeError for a model that is none.
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"record takes the model whose parts it names, a torch.nn.Module, got {type(model).__name__}")
    layers = None if layers is None else {int(each) for each in layers}
    trace = Trace(model)

    def keep(name, value):
        if _wanted(name, names, layers, trace.containers):
            trace._keep(name, value() if callable(value) else value)
        return value

    with tap(model, keep, trace._again):
        yield trace
    trace._proved()


def _wanted(name, names, layers, containers):
    if layers is not None and layer_of(name) not in layers:
        return False
    if names:
        return any(name == each or name.endswith(f".{each}") for each in names)
    return name not in containers


def _plain(name, module):
    """Whether an output is kept only when it is asked for by name: of projections, curves, angles, whole layers."""
    kind = type(module)
    return (isinstance(module, torch.nn.Linear) and not name.endswith("lm_head")
            or kind.__module__ == "torch.nn.modules.activation" or "act" in name.rpartition(".")[2].split("_")
            or "rotary" in kind.__name__.lower() or re.search(r"(^|\.)\d+$", name) is not None
            or any(isinstance(each, torch.nn.ModuleList) for each in module.children()))


class NotRecorded(KeyError):
    """A name that a trace does not hold."""

    def __str__(self):
        return self.args[0]


class Trace(Mapping):
    """What one run computed: name → tensor. Of several runs (generation), the last; `trace.runs` has them all."""

    def __init__(self, model):
        self.model, self.runs, self.proof = model, [{}], None
        names = Names(model)
        self.prefix = names.prefix
        self.containers = {names(path) for path, module in model.named_modules() if _plain(names(path), module)}

    def _keep(self, name, value):
        self.runs[-1][name] = value.detach().clone()

    def _again(self):
        if self.runs[-1]:
            self.runs.append({})

    def _proved(self):
        """The largest difference between probs · values and what attention gave out, where all three are kept."""
        gaps = []
        for run in self.runs:
            for name, heads in run.items():
                layer = name.removesuffix("heads")
                if name.endswith("heads") and {f"{layer}probs", f"{layer}values"} <= run.keys():
                    probs, values = run[f"{layer}probs"], run[f"{layer}values"]
                    if probs.shape[-3] % values.shape[-3] == 0 and probs.shape[-1] == values.shape[-2]:
                        gaps.append(float((weighted(probs.to(values.dtype), values) - heads).abs().max()))
        self.proof = max(gaps, default=None)

    # ------------------------------------------------------------------------------------------ reading

    def __getitem__(self, name):
        return self.of_run(-1, name)

    def of_run(self, run: int, name: str) -> torch.Tensor:
        """A value of the run with that number, 0 the first."""
        kept, asked = self.runs[run], name.removeprefix(self.prefix)
        if asked in kept:
            return kept[asked]
        whole, _, index = asked.rpartition(".")
        if index.isdecimal() and whole.rpartition(".")[2] in BY_HEAD and whole in kept:
            if int(index) < kept[whole].shape[1]:
                return kept[whole][:, int(index)]
            raise NotRecorded(f"{whole} has the heads 0 to {kept[whole].shape[1] - 1}, and no {index}")
        layers = [each for each in kept if each.endswith(f".{asked}") and layer_of(each) is not None]
        values = [kept[each] for each in sorted(layers, key=layer_of)]
        if len(values) == 1:
            return values[0]
        if values and len({each.shape for each in values}) == 1 and len({*map(layer_of, layers)}) == len(layers):
            return torch.stack(values)
        raise NotRecorded(self._unknown(name, kept))

    def __iter__(self):
        return iter(self.runs[-1])

    def __len__(self):
        return len(self.runs[-1])

    def _unknown(self, name, kept):
        if not kept:
            return f"nothing was recorded under {name!r} or any other name: call the model inside the with block"
        short = sorted({each.rpartition(".")[2] for each in kept})
        near = difflib.get_close_matches(name, [*kept, *short], 1, 0)
        return f"no {name!r} was recorded; the nearest name is {near[0]!r}. All names: print(trace)"

    # ------------------------------------------------------------------------------------------ changing

    @contextmanager
    def replace(self, part, value=None):
        """Have the model run, while the block lasts and in this thread, with a part's value replaced.

        `part`: a name ("layers.1.heads.3", "layers.0.mlp", "layers.0.probs") or a dict name → value for several.
        `value`: a number; "mean", the part's mean over the recorded batch and positions; a tensor that broadcasts to
        the part's shape; another Trace, whose value is taken; a function of the value. Raises NotRecorded for a name
        that was not recorded and ValueError for a value that does not fit.
        """
        parts = part if isinstance(part, Mapping) and not isinstance(part, Trace) else {part: value}
        rules = {name: self._rule(name, rule) for asked, rule in parts.items() for name in self._named(asked)}
        used = set()

        def change(name, now):
            for asked in rules.keys() & {name, *(f"{name}.{head}" for head in range(_heads(name, self)))}:
                now = now() if callable(now) else now
                if asked == name:
                    now = _fitting(asked, rules[asked], now)
                else:
                    now, head = now.clone(), int(asked.rpartition(".")[2])
                    now[:, head] = _fitting(asked, rules[asked], now[:, head])
                used.add(asked)
            return now

        with tap(self.model, change):
            yield self
        if unused := rules.keys() - used:
            raise ValueError(f"{min(unused)} was replaced by nothing, as it was not computed while the block ran: "
                             "call the model inside it")

    def _named(self, asked):
        """The recorded names that a name stands for: itself, or the same part of every layer."""
        asked = asked.removeprefix(self.prefix)
        whole, _, index = asked.rpartition(".")
        head = f".{index}" if index.isdecimal() and whole.rpartition(".")[2] in BY_HEAD else ""
        part = whole if head else asked
        found = [name for name in self if name == part] or [name for name in self if name.endswith(f".{part}")]
        if not found:
            raise NotRecorded(self._unknown(asked, self.runs[-1]))
        return [name + head for name in found]

    def _rule(self, name, rule):
        """A function from what is computed to what takes its place."""
        recorded = self[name]                                  # the name is known, or the nearest is told
        if isinstance(rule, Trace):
            other = rule[name]
            return lambda now: other
        if isinstance(rule, str):
            if rule != "mean":
                raise ValueError(f"{name} can be replaced by a number, a tensor, a function, another trace or the "
                                 f"word 'mean', got {rule!r}")
            if name.rpartition(".")[2] in ("scores", "probs") or re.search(r"\.(scores|probs)\.\d+$", name):
                raise ValueError(f"the mean of {name} over queries would let a word look at later ones: take the mean "
                                 "of heads, or a function")
            by_head = name.rpartition(".")[2] in BY_HEAD
            middle = recorded.mean(dim=(0, 2) if by_head else tuple(range(recorded.ndim - 1)), keepdim=True)
            return lambda now: middle
        if callable(rule) and not isinstance(rule, torch.Tensor):
            return rule
        if isinstance(rule, int | float | torch.Tensor) and not isinstance(rule, bool):
            return lambda now: rule
        raise ValueError(f"{name} can be replaced by a number, a tensor, a function, another trace or the word 'mean', "
                         f"got {type(rule).__name__}")

    # ------------------------------------------------------------------------------------------ telling

    def rows(self):
        """The table: name, axes, shape, what it is; layers that hold the same are told once."""
        told = {}
        for name, value in self.runs[-1].items():
            layer = layer_of(name)
            general = name if layer is None else re.sub(rf"(^|\.){layer}(\.|$)", r"\1{}\2", name, count=1)
            told.setdefault((general, tuple(value.shape)), []).append(layer)
        rows = []
        for (general, shape), layers in told.items():
            span = f"{layers[0]}…{layers[-1]}" if len(layers) > 1 else f"{layers[0]}"
            axes, meaning = COMPUTED.get(general.rpartition(".")[2], (None, ""))
            axes = axes or {2: "batch seq", 3: "batch seq hidden"}.get(len(shape), "")
            if general.endswith("lm_head"):
                axes, meaning = "batch seq vocab", "the scores of every next token"
            if general.endswith(".in") or general == "in":
                meaning = "what goes into the norm"
            rows.append((general.format(span) if layers[0] is not None else general, axes if len(axes.split()) ==
                         len(shape) else "", " × ".join(f"{size:,}" for size in shape), meaning))
        return rows

    def _title(self):
        runs = f", the last of {len(self.runs)} runs" if len(self.runs) > 1 else ""
        proof = "" if self.proof is None else f"; probs · values is what attention gave out, to {self.proof:.0e}"
        return f"{len(self)} values of {type(self.model).__name__}{runs}{proof}"

    def __repr__(self):
        rows = self.rows()
        if not rows:
            return "nothing was recorded: call the model inside the with block"
        wide = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = ("  ".join(cell.ljust(size) for cell, size in zip(row, [*wide, 0])).rstrip() for row in rows)
        return "\n".join([self._title(), *lines])

    def _repr_html_(self):
        rows = "".join("<tr>" + "".join(f'<td style="text-align:left;{WHOLE if i < 3 else ""}">{html.escape(cell)}</td>'
                                        for i, cell in enumerate(row)) + "</tr>" for row in self.rows())
        heads = "".join(f'<th style="text-align:left">{head}</th>' for head in ("name", "axes", "shape", "what it is"))
        return f"<p>{html.escape(self._title())}</p><table><tr>{heads}</tr>{rows}</table>"


def _heads(name, trace):
    """How many heads a recorded value has, 0 for one that has none."""
    value = trace.runs[-1].get(name) if name.rpartition(".")[2] in BY_HEAD else None
    return 0 if value is None else value.shape[1]


def _fitting(name, rule, now):
    """What takes the place of `now`, in its shape, dtype and place."""
    new = rule(now)
    if not isinstance(new, torch.Tensor):
        if not isinstance(new, int | float):
            raise ValueError(f"{name} needs a number or a tensor in its place, got {type(new).__name__}")
        return torch.full_like(now, new)
    new = new.to(now.device, now.dtype)
    if new.ndim == now.ndim + 1 and new.shape[0] == 1:
        new = new[0]
    try:
        return new.expand(now.shape).clone()
    except RuntimeError:
        raise ValueError(f"{name} has the shape {tuple(now.shape)}, and what is to take its place "
                         f"{tuple(new.shape)}, which does not spread to it") from None
