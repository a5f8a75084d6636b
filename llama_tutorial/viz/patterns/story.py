"""The story of a forward pass: its steps, and how they read in a terminal and in Jupyter."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import groupby

HEADS = ("", "module", "operation", "pattern", "shapes", "", "where")
NOTHING = "no einops call on a tensor was heard in this thread"
ENOUGH = 1_250_000                       # bytes of HTML after which a story in a notebook breaks off
DRAWN = ("rearrange", "reduce", "repeat", "einsum")


@dataclass
class Step:
    """One operation of a story: what was done, to which shapes, in which module, and where it stands in the source.

    `pattern` is as written ("" for an operation of torch). `inputs` and `output` are shapes; `output` is a list of
    them for unpack, and None for a call that failed. `sizes` has every named axis, `given` those that the call spelt
    out. `module` is the name in the model, the class for the model itself, "" outside of it. `where` is (function,
    line, file). `how` is the reduction of a reduce. `view` says whether the result shares its input's memory, None
    that it is not known. `number` counts from 1.
    """

    op: str
    pattern: str
    inputs: list[tuple[int, ...]]
    output: tuple[int, ...] | list[tuple[int, ...]] | None
    sizes: dict[str, int]
    module: str
    where: tuple[str, int, str]
    how: str = ""
    given: dict[str, int] = field(default_factory=dict)
    view: bool | None = None
    notes: list[str] = field(default_factory=list)
    number: int = 0

    @property
    def failed(self) -> bool:
        """Whether the call raised."""
        return self.output is None

    def row(self) -> tuple[str, ...]:
        """The step as text, one for each of HEADS."""
        shapes = f"{_text(self.inputs)} → {'…' if self.failed else _text(self.output)}"
        kind = "failed here" if self.failed else {True: "view", False: "copy", None: ""}[self.view]
        operation, place = f"{self.op} {self.how}".strip(), f"{self.where[0]}:{self.where[1]}"
        return str(self.number), self.module, operation, self.pattern, shapes, kind, place


class Story(Sequence):
    """The steps of a forward pass, in order: an aligned table in a terminal, one with drawings in Jupyter."""

    def __init__(self, steps=()):
        self.steps = list(steps)

    def __len__(self):
        return len(self.steps)

    def __getitem__(self, index):
        found = self.steps[index]
        return Story(found) if isinstance(index, slice) else found

    def folded(self):
        """The same story, with layers that do what the layer before them did told in one line."""
        kept = []                        # [a layer, its steps, the last layer that equals it]
        for layer, found in groupby(self.steps, _layer):
            steps, before = list(found), kept[-1] if kept else [None]
            if layer and before[0] and layer[0] == before[0][0] and _alike(steps) == _alike(before[1]):
                before[2] = layer
            else:
                kept.append([layer, steps, layer])
        for layer, steps, last in kept:
            if last != layer:
                first, name = layer[1] + 1, layer[0].rpartition(".")[2]
                told = f"{name} {first} … {last[1]}" if first < last[1] else f"{layer[0]}.{first}"
                steps[-1] = replace(steps[-1], notes=[*steps[-1].notes, f"{told} the same".strip()])
        return Story(step for _, steps, _ in kept for step in steps)

    def _rows(self):
        """Every step and its row, in which a module is named where it changes."""
        module = None
        for step in self.steps:
            number, name, *rest = step.row()
            yield step, (number, "" if name == module else name, *rest)
            module = name

    def __repr__(self):
        return self.table()

    def table(self, spelt=str):
        """The story as an aligned table; `spelt` puts each cell in the characters that its reader can show."""
        rows = [(step, tuple(map(spelt, row))) for step, row in self._rows()]
        if not rows:
            return NOTHING
        widths = [max(map(len, column)) for column in zip(HEADS, *(row for _, row in rows))]
        lines = [_aligned(HEADS, widths)]
        for step, row in rows:
            lines += [_aligned(row, widths), *(f"{'':{widths[0]}}  ↳ {note}" for note in step.notes)]
        return "\n".join(lines)

    def _repr_html_(self):
        rows, seen, size = [] if self.steps else [_below(NOTHING)], set(), 0
        for step, row in self._rows():
            if size > ENOUGH:
                rows.append(_below(f"… and {len(self) - step.number + 1} more steps; print the story to see them"))
                break
            below = [html.escape(note) for note in step.notes]
            if (step.op, step.pattern) not in seen and (picture := drawing(step)):
                below.append(f"<details><summary>drawn</summary>{picture}</details>")
            seen.add((step.op, step.pattern))
            rows += [_cells("td", row), *map(_below, below)]
            size += sum(map(len, rows[-1 - len(below) :]))
        return f"<table><thead>{_cells('th', HEADS)}</thead><tbody>{''.join(rows)}</tbody></table>"


# ---------------------------------------------------------------------------------------------- layers that repeat


def _layer(step):
    """The layer to which a step belongs, ("model.layers", 3), or None."""
    found = re.match(r"(?:(.+?)\.)?(\d+)(?:\.|$)", step.module)
    return (found[1] or "", int(found[2])) if found else None


def _alike(steps):
    """What two equal layers have in common."""
    return [replace(step, module=re.sub(r"\d+", "", step.module, count=1), number=0, notes=[]) for step in steps]


# ---------------------------------------------------------------------------------------------- text and HTML


def _text(shapes):
    """Shapes as text: one, or several side by side."""
    several = shapes if isinstance(shapes, list) else [shapes]
    if len(several) > 3 and len(set(several)) == 1:
        return f"{len(several)} × {several[0]}"
    return ", ".join(map(str, several))


def _aligned(row, widths):
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()


def _cells(tag, row):
    """A row of the table."""
    cells = [f"<code>{html.escape(cell)}</code>" if place == 3 and tag == "td" and cell else html.escape(cell)
             for place, cell in enumerate(row)]
    return "<tr>" + "".join(f'<{tag} style="text-align:left">{cell}</{tag}>' for cell in cells) + "</tr>"


def _below(line):
    """A row of its own for what stands below a step."""
    return f'<tr><td></td><td colspan="{len(HEADS) - 1}" style="text-align:left">{line}</td></tr>'


def drawing(step):
    """The pattern of a step drawn, as an <img> with its description, or "" where it cannot be drawn."""
    op = step.op.lower()
    if op not in DRAWN:
        return ""
    shapes = step.inputs if len(step.inputs) == 1 or op == "einsum" else [(len(step.inputs), *step.inputs[0])]
    return _drawing(spelt_out(step.pattern, shapes), step.how or op, tuple(shapes), tuple(step.given.items()))


@lru_cache(64)
def _drawing(pattern, op, shapes, given):
    import torch

    from ..kit.cards import Picture
    from .drawing import draw_pattern

    x = [torch.empty(shape, device="meta") for shape in shapes]
    try:
        return Picture(draw_pattern(pattern, x if len(x) > 1 else x[0], op=op, **dict(given)))._repr_html_()
    except (ValueError, TypeError):      # a TypeError from an axis that is called x, say
        return ""


def spelt_out(pattern, shapes):
    """The pattern with letters in the place of an ellipsis, as many as the shapes have axes there."""
    for part, shape in zip(pattern.split("->")[0].split(","), shapes):
        if "..." in part:
            count = len(shape) - len(axes_of(part)) + 1
            free = [letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter not in re.findall(r"\w+", pattern)]
            return " ".join(pattern.replace("...", " ".join(free[: max(count, 0)])).split())
    return pattern


def axes_of(side):
    """The axes of one side of a pattern as lists of what they hold: "seq (head 2)" → [["seq"], ["head", "2"]]."""
    return [axis.strip("()").split() for axis in re.findall(r"\([^)]*\)|[^\s()]+", side)]
