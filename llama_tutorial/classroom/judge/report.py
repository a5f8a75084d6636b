"""What a check found, as text in a terminal and as a small page in a notebook."""

import html
import re
from dataclasses import dataclass, field

from torch import Tensor

from .steps import Place

NOT_WRITTEN = "is not written yet."
SHOWN = 2  # of so many properties that do not hold a report says what was seen
GREEN, RED, GREY = "#1a6626", "#a33a47", "#5f6672"  # the figures' hues as text, on a card of its own, so that it
CARD = "background:#ffffff;color:#1c1e21;padding:8px 12px;border-radius:4px"  # reads the same on a dark page
CODE = "background:#eef0f3;color:inherit;padding:0 3px"
MARKED = "background:#fbe9eb"
CONTEXT = 14  # lines of the learner's code shown above and below the marked one


@dataclass(frozen=True)
class Property:
    """One property: whether it held (None: told only), its sentence, and what was seen where it did not."""

    held: bool | None
    says: str
    seen: str = ""

    @property
    def mark(self):
        return {True: "✓", False: "✗", None: "·"}[self.held]


@dataclass
class Report:
    """What a check found of one exercise; it shows itself in Jupyter, and prints as text.

    `passed`; `diagnosis`, one or two sentences; `bug`, the catalogue's identifier or None, and `bugs`, all that cannot
    be told apart from it, or the two that were made at once (`both`); `place`, where the code leaves the lesson's way;
    `lines`, one per property; `seconds` of CPU time; `written`, False while the exercise raises NotImplementedError.
    """

    exercise: str
    passed: bool = True
    diagnosis: str = ""
    bugs: tuple[str, ...] = ()
    symptom: str = ""
    lines: list[Property] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pair: tuple[Tensor, Tensor, str, list[str]] | None = None  # expected, found, title, axes
    place: Place | None = None
    both: bool = False  # whether `bugs` are two mistakes at once
    twins: tuple[str, ...] = ()  # what to do about the others of `bugs`
    printed: str = ""
    seconds: float = 0.0

    @property
    def bug(self):
        return self.bugs[0] if self.bugs else None

    @property
    def step(self):
        """The name of the missing step, or None."""
        return self.place.step.name if self.place else None

    @property
    def line(self):
        """The learner's line where it goes wrong, (number, text), or None."""
        return (self.place.line.number, self.place.line.text) if self.place else None

    @property
    def written(self):
        return not self.diagnosis.endswith(NOT_WRITTEN)

    @property
    def headline(self):
        held = sum(line.held is True for line in self.lines)
        judged = sum(line.held is not None for line in self.lines)
        if self.passed:
            if not judged:
                return f"{self.exercise}: right."
            return f"{self.exercise}: all {judged} properties hold."
        return f"{self.exercise}: not yet" + (f", {held} of {judged} properties hold." if judged else ".")

    def told(self) -> list[str]:
        """What stands between the headline and the properties, a paragraph each."""
        told = [self.diagnosis] if self.diagnosis else []
        if self.symptom:
            lower = self.symptom[:3].istitle()  # NaN stays what it is
            told.append(f"Symptom: {self.symptom[0].lower() if lower else self.symptom[0]}{self.symptom[1:]}")
        if self.place and self.bugs and not self.both:
            told.append(f"It shows first in {self.place.line}, on the way to this: {self.place.step.name}.")
        if len(self.bugs) > 1 and not self.both:
            told.append("By its numbers it cannot be told apart from this: " + " Or: ".join(self.twins))
        if self.printed and not self.passed:
            told.append(f"Your code printed: {self.printed}")
        return told + self.notes

    def _seen(self):
        """Every property with what was seen: of the first few that do not hold, the others mostly follow from them."""
        shown = [line for line in self.lines if line.held is False][:SHOWN]
        return [(line, line.seen if line.held is None or line in shown else "") for line in self.lines]

    def __repr__(self):
        lines = [("✓ " if self.passed else "✗ ") + self.headline, *(f"  {part}" for part in self.told())]
        for line, seen in self._seen():
            lines.append(f"  {line.mark} {line.says}" + (f": {seen}" if seen else ""))
        return "\n".join(lines)

    def _repr_html_(self):
        color = GREEN if self.passed else RED
        head = f'<b style="color:{color}">{"✓" if self.passed else "✗"} {html.escape(self.headline)}</b>'
        style = f"color:{GREY};background:none"
        bug = "".join(f' <code style="{style}">{html.escape(each)}</code>' for each in self._named())
        told = "".join(f'<div style="margin:4px 0 0 18px">{_with_code(part)}</div>' for part in self.told())
        lines = "".join(self._line(line, seen) for line, seen in self._seen())
        fold = _folded("the properties, one by one", lines, opened=not self.passed) if self.lines else ""
        page = f"{head}{bug}{told}{self._code()}{self._picture()}{fold}"
        return f'<div style="max-width:1000px;line-height:1.45;{CARD}">{page}</div>'

    def _named(self):
        return self.bugs if self.both else self.bugs[:1]

    def _code(self):
        """The learner's code, folded, with the line marked where it goes wrong."""
        if self.place is None:
            return ""
        rows = []
        for number, text in self.place.line.around(CONTEXT):
            mark = f' style="{MARKED};font-weight:bold"' if number == self.place.line.number else ""
            rows.append(f"<div{mark}>{'▸' if mark else ' '} {number:3} {html.escape(text)}</div>")
        code = f'<pre style="margin:4px 0;color:inherit;background:inherit;line-height:1.3">{"".join(rows)}</pre>'
        return _folded("your code, with the line", code)

    @staticmethod
    def _line(line, seen):
        color = {True: GREEN, False: RED, None: GREY}[line.held]
        seen = f': <span style="color:{GREY}">{html.escape(seen)}</span>' if seen else ""
        return f'<div><b style="color:{color}">{line.mark}</b> {html.escape(line.says)}{seen}</div>'

    def _picture(self):
        """Expected, difference, yours, where two tensors of one shape stand against each other."""
        if self.pair is None:
            return ""
        from ...viz import expected_and_yours
        from ...viz.kit.cards import Picture

        return Picture(expected_and_yours(*self.pair))._repr_html_()


def _with_code(text: str) -> str:
    """Text as HTML, what stands in backticks as code."""
    return re.sub("`([^`]+)`", rf'<code style="{CODE}">\1</code>', html.escape(text))


def _folded(summary: str, inside: str, opened: bool = False) -> str:
    head = f'<summary style="display:block;color:{GREY};cursor:pointer">{summary} ▾</summary>'
    return f'<details {"open" if opened else ""} style="margin:6px 0 0 18px">{head}{inside}</details>'


class CheckFailed(AssertionError):
    """A check that did not pass: its message is the diagnosis.

    `bug` is the catalogue's identifier or None, `step` the missing step or None, `line` where it goes wrong as
    (number, text), or None. `report` holds the rest; `bugs` lists all identifiers that the numbers cannot tell apart,
    or the two mistakes that were made at once.
    """

    def __init__(self, report: Report):
        super().__init__(report.diagnosis)
        self.report, self.bug, self.bugs = report, report.bug, report.bugs
        self.step, self.line = report.step, report.line

    shown = False  # whether the report stands above already

    def _render_traceback_(self):
        """What IPython shows in place of a traceback: the way through our code helps nobody."""
        return [f"{type(self).__name__}: {self}" if self.shown else repr(self.report)]


class NotWritten(CheckFailed):
    """The exercise still raises NotImplementedError."""

    def _render_traceback_(self):
        return [f"· {self}"]
