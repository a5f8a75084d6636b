"""The story of a forward pass: its steps, and how they read in a terminal and in Jupyter."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import groupby

import numpy as np

from .inside import Part, leading

HEADS = ("", "module", "operation", "pattern", "shapes", "", "where")
NOTHING = "no einops call on a tensor was heard in this thread"
ENOUGH = 1_250_000                       # bytes of HTML after which a story in a notebook breaks off
DRAWN = ("rearrange", "reduce", "repeat", "einsum")
WHOLE = "white-space:nowrap"
KERNEL = "scaled_dot_product_attention"
BAND = "text-align:center;font-weight:bold;background:rgba(68,119,170,.16);padding:.5em"     # layers that repeat


@dataclass
class Step:
    """One operation of a story: what was done, to which shapes, in which module, and where it stands in the source.

    `pattern` is as written ("" for an operation of torch). `inputs` and `output` are shapes; `output` is a list of
    them for unpack, and None for a call that failed. `sizes` has every named axis, `given` those that the call spelt
    out. `module` is the name in the model, the class for the model itself, "" outside of it. `where` is (function,
    line, file). `how` is the reduction of a reduce. `view` says whether the result shares its input's memory, None
    that it is not known. `number` counts from 1. `names` are those of an einsum's tensors in the source. `parts` are
    the steps that a kernel does at once; `then` holds what else ran before the next step, without numbers.
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
    names: tuple[str, ...] = ()
    parts: list[Part] = field(default_factory=list)
    then: list[Step] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether the call raised."""
        return self.output is None

    def row(self) -> tuple[str, ...]:
        """The step as text, one for each of HEADS."""
        kind = "failed here" if self.failed else {True: "view", False: "copy", None: ""}[self.view]
        operation, place = f"{self.op} {self.how}".strip(), f"{self.where[0]}:{self.where[1]}"
        if self.op == KERNEL:
            operation, pattern = "kernel", KERNEL
        else:
            pattern = self.pattern
        return str(self.number or ""), self.module, operation, pattern, _arrow(self), kind, place

    def inner_rows(self):
        """What runs within the step or after it, before the next: rows of text without a number."""
        rows = [("", "", f"· {part.op}", part.pattern, _arrow(part), "", "") for part in self.parts]
        for step in self.then:
            _, _, operation, *rest = step.row()
            rows += [("", "", f"↳ {operation}", *rest), *step.inner_rows()]
        return rows


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
        rows = [(step, [tuple(map(spelt, each)) for each in (row, *step.inner_rows())]) for step, row in self._rows()]
        if not rows:
            return NOTHING
        widths = [max(map(len, column)) for column in zip(HEADS, *(each for _, found in rows for each in found))]
        lines = [_aligned(HEADS, widths)]
        for step, found in rows:
            lines += [_aligned(row, widths) for row in found]
            lines += [f"{'':{widths[0]}}  ↳ {note}" for note in step.notes]
        return "\n".join(lines)

    def _repr_html_(self):
        rows, seen, size = [] if self.steps else [_below(NOTHING)], set(), 0
        for step, row in self._rows():
            if size > ENOUGH:
                rows.append(_below(f"… and {len(self) - step.number + 1} more steps; print the story to see them"))
                break
            below, words = [], ""
            if (step.op, step.pattern) not in seen:
                words = stillness_of(step)
                picture = "" if words else drawing(step)
                below += [_below(f"<details><summary>drawn</summary>{picture}</details>")] if picture else []
            seen.add((step.op, step.pattern))
            below += [*_kernel(step), *(line for each in step.then for line in _then(each))]
            below += [_below(html.escape(note), BAND if note.endswith("the same") else "") for note in step.notes]
            rows += [_cells("td", row, words), *below]
            size += sum(map(len, rows[-1 - len(below) :]))
        return f"<table><thead>{_cells('th', HEADS)}</thead><tbody>{''.join(rows)}</tbody></table>"


# ---------------------------------------------------------------------------------------------- layers that repeat


def _layer(step):
    """The layer to which a step belongs, ("model.layers", 3), or None."""
    found = re.match(r"(?:(.+?)\.)?(\d+)(?:\.|$)", step.module)
    return (found[1] or "", int(found[2])) if found else None


def _alike(steps):
    """What two equal layers have in common."""
    return [replace(step, module=re.sub(r"\d+", "", step.module, count=1), number=0, notes=[], then=_alike(step.then))
            for step in steps]


# ---------------------------------------------------------------------------------------------- text and HTML


def _text(shapes):
    """Shapes as text: one, or several side by side."""
    several = shapes if isinstance(shapes, list) else [shapes]
    if len(several) > 3 and len(set(several)) == 1:
        return f"{len(several)} × {several[0]}"
    return ", ".join(map(str, several))


def _aligned(row, widths):
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()


def _arrow(step):
    """The shapes that went in and came out, one where it stays."""
    if isinstance(step, Part) and step.inputs == [step.output]:
        return str(step.output)
    return f"{_text(step.inputs)} → {'…' if step.output is None else _text(step.output)}"


def _cells(tag, row, words=""):
    """A row of the table, `words` below its pattern; no shape is broken, and an arrow stays with what follows it."""
    cells = [html.escape(cell) for cell in row]
    if tag == "td":
        cells[3] = f"<code>{cells[3]}</code>" * bool(cells[3]) + f"<br><i>{html.escape(words)}</i>" * bool(words)
        cells[4] = re.sub(r"(?:→ )?(?:\d+ × )?\([\d, ]*\),?|→ …", rf'<span style="{WHOLE}">\g<0></span>', cells[4])
    return "<tr>" + "".join(f'<{tag} style="text-align:left">{cell}</{tag}>' for cell in cells) + "</tr>"


def _below(line, style=""):
    """A row of its own for what stands below a step."""
    style = style or "text-align:left;padding-top:0"
    return f'<tr><td></td><td colspan="{len(HEADS) - 1}" style="{style}">{line}</td></tr>'


def _then(step):
    """The rows of what ran after a step, without a number."""
    if not step.parts:
        _, _, operation, *rest = step.row()
        return [_cells("td", ("", "", f"↳ {operation}", *rest))]
    return [_below(_folded(step, f"↳ kernel <code>{KERNEL}</code>, five steps at once"))]


def _kernel(step):
    """The row of a kernel's own steps, if it has any."""
    return [_below(_folded(step, "five steps at once"))] if step.parts else []


def _folded(step, summary):
    """A kernel's steps, folded."""
    rows = "".join(_cells("td", ("", "", part.op, part.pattern, _arrow(part))) for part in step.parts)
    return f"<details><summary>{summary}</summary><table><tbody>{rows}</tbody></table></details>"


def stillness_of(step):
    """Why nothing moves in a step, in one line; "" where something does, or where nobody can tell."""
    from .plan import stillness

    op = step.op.lower()
    try:
        return stillness(*_shaped(step), step.how or op, step.given) if op in DRAWN and step.inputs else ""
    except ValueError:
        return ""


def _shaped(step):
    """The pattern of a step without an ellipsis, and an array of each of its shapes that takes no memory."""
    shapes = step.inputs if len(step.inputs) == 1 or step.op == "einsum" else [(len(step.inputs), *step.inputs[0])]
    x = [np.broadcast_to(0, shape) for shape in shapes]
    return spelt_out(step.pattern, shapes), x if len(x) > 1 else x[0]


def drawing(step):
    """The pattern of a step drawn, as an <img> with its description, or "" where it cannot be drawn."""
    op = step.op.lower()
    if op not in DRAWN or step.failed:
        return ""
    return _drawing(step.op, step.pattern, step.how or op, tuple(step.inputs), tuple(step.given.items()), step.names)


@lru_cache(64)
def _drawing(op, pattern, how, inputs, given, names):
    from ..kit.cards import Picture
    from .drawing import draw_plan
    from .plan import plan_small

    shaped = _shaped(Step(op, pattern, list(inputs), None, {}, "", ("", 0, "")))
    try:
        return Picture(draw_plan(plan_small(*shaped, how, dict(given)), names))._repr_html_()
    except ValueError:
        return ""


def spelt_out(pattern, shapes):
    """The pattern with words in the place of an ellipsis, as many as the shapes have axes there."""
    for part, shape in zip(pattern.split("->")[0].split(","), shapes):
        if "..." in part:
            words = leading(len(shape) - len(axes_of(part)) + 1, re.findall(r"\w+", pattern))
            return " ".join(pattern.replace("...", " ".join(words)).split())
    return pattern


def axes_of(side):
    """The axes of one side of a pattern as lists of what they hold: "seq (head 2)" → [["seq"], ["head", "2"]]."""
    return [axis.strip("()").split() for axis in re.findall(r"\([^)]*\)|[^\s()]+", side)]
