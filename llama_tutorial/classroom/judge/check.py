"""The door: `check(LlamaRMSNorm)` says whether it is right, and if not, which mistake was made.

docs/checks.md tells how it judges.
"""

import functools
import inspect
import itertools
import sys
import time
import types
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from . import guard
from .compare import Outcome, describe, names_of, raised, same
from .parts import Part, answers, find, parts
from .report import NOT_WRITTEN, CheckFailed, NotWritten, Property, Report
from .steps import locate, passes_through, where_built
from .subjects import handed_in, takes

__all__ = ["CheckFailed", "NotWritten", "Report", "check"]

MARKER = ".exercises.json"  # llama-tutorial exercises leaves it in the my_llama/ it makes
HALF = 8e-3  # one step of bfloat16: two ways to the same numbers may round apart
PAIRS = 200  # of mistakes that are tried at most, about one CPU-second; a number, so that all machines say the same


def check(obj, exercise: str | None = None, *, save=None, seed: int | None = None) -> Report:
    """Judge what a learner wrote: a class, one of its methods, or a function, against the lesson's.

    `exercise` names what it is to be, such as "LlamaRotaryEmbedding.forward"; unless given, it is found from the
    object's name. `save`: a pass is kept in the my_llama/ of the exercises beside this notebook (None: where there is
    one; False: never; a path: that folder). `seed`: whose numbers an exercise that varies has (None: those of the
    my_llama/ beside this notebook).

    Returns the report. Raises CheckFailed (an AssertionError), whose message is the diagnosis and whose `bug` is the
    identifier of the mistake in the catalogue, or None; NotWritten while the exercise raises NotImplementedError;
    ValueError for an exercise that there is not.
    """
    answer = exercise or getattr(obj, "__name__", None)
    if isinstance(answer, str) and answer in answers():
        report = judge_answer(obj, answer, _seed_beside(save) if seed is None else seed)
    else:
        known, method = find(obj, exercise)
        report = judge(obj, known, method)
        report.exercise = f"{known.name}.{method}" if method else known.name
    others = renamed(obj, parts()[report.exercise]) if report.passed and report.exercise in parts() else []
    report.notes += others
    if not report.passed:
        error = (CheckFailed if report.written else NotWritten)(report)
        if _in_notebook() and report.written:
            from IPython.display import display

            display(report)
            error.shown = True
        raise error from None
    if not others:
        _keep(obj, report.exercise, save)
    return report


# -------------------------------------------------------------------------------------------------------- judging


def judge(obj, part: Part, method: str = "") -> Report:
    """The report on `obj`, without raising or saving."""

    def judged():
        kind = handed_in(obj, part, method)
        with lent(obj, part) as borrowed:
            report = verdict(kind, part)
        if borrowed and not report.passed and report.written:
            alone = verdict(kind, part)
            report = alone if alone.passed or (alone.bugs and not report.bugs) else report
        return report

    return guarded(judged, part.name)


def renamed(obj, part: Part) -> list[str]:
    """What to tell of a right function whose arguments have other names than the lesson's, which calls them by name."""
    if not inspect.isfunction(obj) or not inspect.isfunction(inspect.unwrap(part.reference)):
        return []
    theirs, ours = (list(inspect.signature(each).parameters.values()) for each in (obj, part.reference))
    others = [f"{mine.name} is {own.name}" for own, mine in zip(theirs, ours)
              if own.kind is own.POSITIONAL_OR_KEYWORD and own.name != mine.name]  # fmt: skip
    told = f"The lesson calls it with other names ({', '.join(others)} in yours), as in {part.name}("
    return [f"{told}…, {others[-1].split()[0]}=…): rename yours, or the next cells fail."] if others else []


def judge_answer(answer, name: str, seed: int | None = None) -> Report:
    """The report on an answer that stands nowhere in the package; a right one is told what it teaches.

    `seed` is the learner's, where the exercise varies with it.
    """
    exercise = answers()[name][0].of(seed)
    how = exercise.answers[name]
    if answer is ...:
        return Report(name, False, f"{name} {NOT_WRITTEN}")

    def judged():
        if isinstance(how, Part):
            return verdict(answer, how) if callable(answer) else Report(name, False, f"{name} should be a function.")
        told = told_by(how, answer, name)
        sentence = told if told.split(" ")[0].rstrip(",:") in exercise.answers else told[:1].upper() + told[1:]
        return Report(name, not told, sentence + "." * bool(told and told[-1] not in ".!?"))

    report = guarded(judged, name)
    report.exercise = name
    if report.passed and exercise.why:
        report.notes.append(exercise.why)
    return report


def told_by(how, answer, name: str) -> str:
    """What a hand-written judge says of an answer; functions get copies, so that what they write into is told."""
    try:
        return how(_on_copies(answer, name) if callable(answer) else answer)
    except guard.Fault as fault:
        return str(fault)
    except NotImplementedError as error:
        return f"{name} {NOT_WRITTEN}" if guard.from_learner(error) else raised(name, error)
    except (Exception, SystemExit) as error:
        return raised(name, error)


def _on_copies(answer, name: str):
    @functools.wraps(answer)
    def copied(*args, **kwargs):
        return guard.call(answer, *args, **kwargs)

    return copied


def guarded(judged, name: str) -> Report:
    """The report that `judged` gives, made where a learner's code can do no harm."""
    start = time.process_time()
    replaced = guard.patched()
    if replaced:
        names = ", ".join(replaced[:4])
        told = f"{names} is not the library's own: your notebook has replaced it. Restart the kernel, or put it back."
        return Report(name, False, told)
    with guard.names_restored() as replaced, guard.sandbox() as printed:
        try:
            with guard.limits():
                report = judged()
        except guard.Stopped as stopped:
            where = f", in your {stopped}" if str(stopped) else ""
            told = f"It was still running after {guard.SECONDS:.0f} seconds{where}. Does a loop end?"
            report = Report(name, False, told)
    if replaced:
        told = f"Your code replaces {', '.join(replaced[:4])} while it runs. I put it back; write it without."
        report = replace(report, passed=False, diagnosis=told, bugs=(), symptom="", place=None)
    report.printed = " ".join(printed.getvalue().split())[:200]
    report.seconds = time.process_time() - start
    return report


def verdict(kind, part: Part) -> Report:
    """Run every case on what was handed in and on the lesson's own, and compare."""
    ours, yours = part.adapt(part.reference), part.adapt(kind)
    cases = [case for case in part.cases if takes(kind, case.needs)]
    wanted, found, changed = [], [], []
    for case in cases:
        guard.usual()
        wanted.append(Outcome.of(case, ours))
        guard.usual()
        found.append(Outcome.of(case, yours))
        changed += guard.usual()
        if isinstance(found[-1].error, NotImplementedError) and guard.from_learner(found[-1].error):
            return Report(part.name, False, f"{guard.raised_in(found[-1].error)} {NOT_WRITTEN}")
    lines = [_line(*each) for each in zip(cases, wanted, found)]
    report = Report(part.name, lines=lines)
    if changed:
        report.notes.append(f"Your code changed {', '.join(dict.fromkeys(changed))}; I set it back.")
    failed = [i for i, line in enumerate(lines) if line.held is False]
    if not failed:
        if any(line.held is None for line in lines):
            _later(report, part, cases, wanted, found)
        return report if _repeats(cases[0], yours, found[0]) else unsteady(report)
    report.passed = False
    failed.sort(key=lambda i: not isinstance(found[i].error, guard.Written))  # it comes first, the rest as it stands
    judged = [(case, right, theirs) for case, right, theirs in zip(cases, wanted, found) if not case.later]
    report.pair = _pair(*(each[failed[0]] for each in (cases, wanted, found)))
    bugs, besides = explain(part, judged), ""
    if not bugs:
        bugs, besides = explain_the_formed(part, judged)
    formed = found[failed[0]].formed_like(wanted[failed[0]])  # another shape says more than numbers that change
    if not bugs and formed and not _repeats(cases[failed[0]], yours, found[failed[0]]):
        return unsteady(report)
    first, error = lines[failed[0]], found[failed[0]].error
    if isinstance(error, guard.Misnamed):  # the mistake stands where the module is built
        report.place = where_built(kind, error.parameter)
    report.place = report.place or locate(part, kind, [cases[i] for i in failed])
    if report.place and report.place.pair:
        report.pair = _plane(*report.place.pair, report.place.step.axes, report.place.step.name) or report.pair
    if bugs:
        report.bugs, report.twins = tuple(bug.name for bug in bugs), tuple(bug.says for bug in bugs[1:])
        report.diagnosis, report.symptom = bugs[0].says + besides, bugs[0].symptom
        return report
    both = explain_by_two(part, judged, report.place)
    if both:
        report.bugs, report.both = tuple(bug.name for bug in both), True
        report.diagnosis = f"Two mistakes at once. One: {both[0].says} The other: {both[1].says}"
    elif report.place is None:
        report.diagnosis = f"Not so: {first.says}. {first.seen}"
    elif isinstance(error, guard.Misnamed):
        report.diagnosis = f"Not so: {first.says}. {first.seen} Look at {report.place.line}."
    elif error:
        report.diagnosis = f"Not so: {first.says}. {first.seen}" + (f" {report.place}" if report.place.until else "")
    else:
        report.diagnosis = f"{report.place} What it breaks first: {first.says}."
    return report


def _later(report, part, cases, wanted, found):
    """A pass that lacks what a later lesson asks for is told so, with the mistake's name where it is known."""
    for bug in explain(part, list(zip(cases, wanted, found))):
        report.notes.append(f"For later ({bug.name}): {bug.says}")


def _line(case, wanted, found) -> Property:
    if same(found, wanted, case.tolerance):
        return Property(True, case.says)
    return Property(None if case.later else False, case.says, describe(case, found, wanted))


def _repeats(case, subject, first) -> bool:
    """Whether a case gives the same under other random numbers and after all other cases."""
    guard.usual(seed=1)
    return same(Outcome.of(case, subject), first, 1e-5)


def unsteady(report) -> Report:
    told = (
        "The same input gave another output the second time. Is there dropout or another random number in it, "
        "or something that it remembers from call to call?"
    )
    return replace(report, passed=False, diagnosis=told)


def explain(part: Part, judged) -> list:
    """The catalogue's bugs whose wrong versions give, in every case, what was found.

    What differs from the lesson's is compared first: there most bugs part ways at once.
    """
    judged = sorted(judged, key=lambda each: same(each[2], each[1], each[0].tolerance))
    bugs = []
    for bug, wrong in part.wrong():
        subject = part.adapt(wrong)
        if bug not in bugs and all(_gives(subject, *each) for each in judged):
            bugs.append(bug)
    return bugs


def explain_the_formed(part: Part, judged) -> tuple[list, str]:
    """The bugs that give what was found in every case where that has the right shape and dtype, and what is not so.

    So a mistake is named though the code also refuses some inputs, or returns another dtype. Most cases must be left,
    and two of them wrong.
    """
    formed = [each for each in judged if each[2].formed_like(each[1])]
    wrong = [each for each in formed if not same(each[2], each[1], each[0].tolerance)]
    if len(formed) == len(judged) or 2 * len(formed) < len(judged) or len(wrong) < 2:
        return [], ""
    rest = [each for each in judged if not each[2].formed_like(each[1])]
    refused = [each for each in rest if each[2].error]
    named = explain(part, refused + [(case, right, right) for case, right, _ in formed]) if refused else []
    case, right, theirs = rest[0]
    more = named[0].says if len(named) == 1 else f"not so: {case.says}. {describe(case, theirs, right)}"
    return explain(part, formed), f" Besides{':' if len(named) == 1 else ','} {more}"


def explain_by_two(part: Part, judged, place) -> tuple:
    """Two mistakes of the catalogue that together give, in every case, what was found; () where no two do.

    At most PAIRS are tried: first those with a mistake that gives the learner's numbers where they leave the way.
    """
    judged = sorted(judged, key=lambda each: (same(each[2], each[1], each[0].tolerance), _size(each[2])))
    owner, component = part.of or part.name, part.component
    reach = component.made_of[owner] | {owner}
    spellings = [(bug, each) for bug in component.bugs.values() for each in bug.spellings if each[0] in reach]
    here = [each for each in spellings if place and place.step.name in each[0].steps]
    here.sort(key=lambda each: not passes_through(part, component.version(owner, each[1]), place.case, place.value))
    pairs = itertools.chain(itertools.product(here, spellings), itertools.combinations(spellings, 2))
    pairs = (pair for pair in pairs if pair[0][0] is not pair[1][0])  # two mistakes, not two spellings of one
    for (one, first), (other, second) in itertools.islice(pairs, PAIRS):
        try:
            subject = part.adapt(component.version(owner, first, second))
        except (ValueError, SyntaxError):  # both write in the same place
            continue
        if all(_gives(subject, *each) for each in judged):
            return one, other
    return ()


def _size(outcome: Outcome) -> int:
    return sum(part.numel() for part in outcome.tensors)


def _gives(subject, case, right, found) -> bool:
    guard.usual()
    half = any(part.dtype in (torch.bfloat16, torch.float16) for part in found.tensors)
    wide = half and not same(found, right, HALF)  # far from right, so that a rounding says nothing
    return same(Outcome.of(case, subject), found, max(case.tolerance, HALF) if wide else case.tolerance)


def _pair(case, wanted: Outcome, found: Outcome):
    """What the picture shows: the first pair of tensors that differ, where both are numbers of one shape."""
    for right, yours in zip(wanted.tensors, found.tensors):
        if right.shape == yours.shape and right.ndim > 1 and not same(
            Outcome((yours,)), Outcome((right,)), case.tolerance
        ):
            return _plane(right, yours, case.axes, case.says)
    return None


def _plane(wanted: Tensor, found: Tensor, axes: str, says: str):
    """Expected, found, title and axes: the last two, at the place along the others where they differ most."""
    if wanted.ndim < 2:
        return None
    wanted, found = wanted.detach().double(), found.detach().double()
    axes, at = names_of(axes, wanted), []
    while wanted.ndim > 2:
        worst = int((found - wanted).nan_to_num(1e9, 1e9, 1e9).abs().flatten(1).amax(1).argmax())
        at.append(f"{axes[len(at)]} {worst}")
        wanted, found = wanted[worst], found[worst]
    return wanted, found, says + (f" ({', '.join(at)})" if at else ""), axes[-2:]


# -------------------------------------------------------------------------------------------------- collaborators


@contextmanager
def lent(obj, part: Part):
    """The lesson's own versions in place of what else the learner wrote: one component is judged at a time.

    A name is lent only where the learner's object has the lesson's parameters: another function of the same name is
    a helper of theirs. Yields whether anything was.
    """
    others = {name: each.reference for name, each in parts().items() if name != part.name}
    taken = []
    for namespace in _namespaces(obj):
        for name, reference in others.items():
            theirs = namespace.get(name)
            if callable(theirs) and theirs is not reference and _alike(theirs, reference):
                taken.append((namespace, name, theirs))
                namespace[name] = reference
    try:
        yield bool(taken)
    finally:
        for namespace, name, theirs in taken:
            namespace[name] = theirs


def _namespaces(obj) -> list[dict]:
    """The global names that the functions of a learner's object see, outside of installed code."""
    kinds = [obj if isinstance(obj, type) else type(obj)]
    parts = [part for kind in kinds for base in kind.__mro__ for part in vars(base).values()] + [obj]
    functions = [inspect.unwrap(part) for part in parts if isinstance(part, types.FunctionType)]
    theirs = [function for function in functions if not guard.installed(function.__code__.co_filename)]
    return list({id(function.__globals__): function.__globals__ for function in theirs}.values())


def _alike(theirs, reference) -> bool:
    """Whether two functions, or the makers of two classes, take parameters of the same names."""
    if inspect.isclass(theirs) != inspect.isclass(reference):
        return False
    try:
        return list(inspect.signature(theirs).parameters) == list(inspect.signature(reference).parameters)
    except (TypeError, ValueError):
        return False


# ------------------------------------------------------------------------------------------------------- the notebook


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    if "IPython" not in sys.modules:  # importing it costs as much as a check
        return False
    return hasattr(sys.modules["IPython"].get_ipython(), "kernel")


def _seed_beside(save) -> int | None:
    """The seed of the exercises beside this notebook, or of those in whose my_llama/ a pass is to be kept."""
    from ..my_llama.package import seed_of

    folder = Path.cwd() / "my_llama" if save in (None, True, False) else Path(save)
    return seed_of(folder.parent if folder.name == "my_llama" else folder)


def _keep(obj, exercise, save):
    """Let the exercises keep what passed, where they have made a my_llama/ for it, and print what they say."""
    if save is False or (save is None and not _in_notebook()):
        return
    folder = Path("my_llama" if save in (None, True) else save)
    if not (folder / MARKER).is_file():
        if save is not None:
            raise ValueError(f"{folder} was not made by `llama-tutorial exercises`: it has no {MARKER}")
        return
    from ..my_llama.keeping import keep

    said = keep(obj, exercise, folder)
    if said:
        print(said)
