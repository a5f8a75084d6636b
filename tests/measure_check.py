"""How well a check sees what it has never seen: `python tests/measure_check.py [COMPONENT …]`.

Each mistake is left out of the catalogue in turn, and every spelling of it, in every part that it reaches, is judged
without it: named by another entry that is the same by its numbers, or located at the step that the mistake's author
gives, with the line inside the edited statement. Then 200 random pairs of mistakes, the mistakes in another hand of
check_mistakes.py with their own entry left out, and the right variants of check_variants.py, none of which may be
blamed. The numbers stand in docs/checks.md.
"""

import ast
import contextlib
import copy
import difflib
import inspect
import itertools
import linecache
import random
import sys
import textwrap
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def without(part, *names):
    """The part as a check would know it whose catalogue lacks these mistakes."""
    component = copy.copy(part.component)
    component.bugs = {name: bug for name, bug in component.bugs.items() if name not in names}
    return replace(part, component=component)


CELLS = itertools.count()


def as_a_cell(wrong):
    """A wrong version that stands in the catalogue whole, as if a notebook's cell had defined it, and what it closes
    over as well."""
    source, name, file = textwrap.dedent(inspect.getsource(wrong)), wrong.__name__, f"<cell {next(CELLS)}>"
    if name == "<lambda>":
        nodes = ast.walk(ast.parse(inspect.getsource(inspect.getmodule(wrong))))
        first = wrong.__code__.co_firstlineno
        (made,) = [node for node in nodes if isinstance(node, ast.Lambda) and node.lineno == first]
        source, name = f"answer = {ast.unparse(made)}\n", "answer"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space = dict(vars(inspect.getmodule(wrong)), __name__="__main__")
    if inspect.isfunction(wrong):
        space |= {held: as_a_cell(value) if inspect.isfunction(value) else value
                  for held, value in inspect.getclosurevars(wrong).nonlocals.items()}  # fmt: skip
    exec(compile(source, file, "exec"), space)
    return space[name]


def edited_statements(component, spelling) -> set[int] | None:
    """The lines of the statements that an edit of the lesson has touched; None for a whole version."""
    where, wrong = spelling
    if callable(wrong):
        return None
    text = component.edited(component.text, where, wrong, "measured")
    before, after = component.text.splitlines(), text.splitlines()
    touched = set()
    for tag, _, _, first, last in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "delete":
            touched |= {first, first + 1}  # the statements about the gap
        elif tag != "equal":
            touched |= set(range(first + 1, last + 1))
    statements = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.stmt)]
    simple = [node for node in statements if not hasattr(node, "body")]
    spans = [range(node.lineno, node.end_lineno + 1) for node in simple]
    for node in statements:
        if getattr(node, "body", None):  # whoever edits the head of an `if` has edited all of it; of a def, the head
            last = node.end_lineno if not hasattr(node, "name") else node.body[0].lineno - 1
            if touched & set(range(node.lineno, node.body[0].lineno)):
                spans.append(range(node.lineno, last + 1))
    return {line for span in spans if touched & set(span) for line in span}


def leave_one_out(part):
    """For every spelling of every mistake of a part: what became of it, and whether the line was right."""
    from llama_tutorial.classroom.judge.check import judge

    component = part.component
    reach = component.made_of[part.name] | {part.name}
    for bug in component.bugs.values():
        for spelling in bug.spellings:
            if spelling[0] not in reach:
                continue
            wrong = (spelling[0], as_a_cell(spelling[1])) if callable(spelling[1]) else spelling
            version = component.version(part.name, wrong, told=bug.name)
            report = judge(version, without(part, bug.name))
            lines, line = edited_statements(component, spelling), report.line
            fits = None if lines is None or line is None else line[0] in lines
            if report.passed:
                yield bug, "passed", None, report
            elif report.bugs and not report.both:
                yield bug, "named", fits, report
            elif report.step in bug.steps:
                yield bug, "located", fits, report
            else:
                yield bug, "elsewhere" if report.step else "neither", fits, report


def two_at_once(parts, many=200, seed=0):
    """For random pairs of mistakes that both show alone: whether both are named, or the earlier one is located."""
    from llama_tutorial.classroom.judge.check import judge

    draw, found, shown = random.Random(seed), 0, {}
    pool = []
    for part in parts:
        reach = part.component.made_of[part.name] | {part.name}
        spellings = [(bug, each) for bug in part.component.bugs.values() for each in bug.spellings if each[0] in reach]
        pairs = ((one, two) for i, one in enumerate(spellings) for two in spellings[i + 1 :])
        pool += [(part, one, two) for one, two in pairs if one[0] is not two[0]]
    draw.shuffle(pool)
    for part, (one, first), (two, second) in pool:
        if found == many:
            return
        try:
            version = part.component.version(part.name, first, second, told=f"{one.name} and {two.name}")
        except (ValueError, SyntaxError):
            continue
        report = judge(version, part)
        if report.passed:
            continue
        alone = shown.setdefault(part.name, _steps_in_order(part))
        found += 1
        sooner = min(one.steps, two.steps, key=lambda steps: min(alone.get(step, 99) for step in steps))
        if set(report.bugs) >= {one.name, two.name}:
            yield "both named", part, one, two, report
        elif report.step in sooner:
            named = "one named and " if set(report.bugs) & {one.name, two.name} else ""
            yield f"{named}located at the earlier", part, one, two, report
        elif set(report.bugs) & {one.name, two.name}:
            yield "one named, which explains all", part, one, two, report
        elif report.step in (*one.steps, *two.steps):
            yield "located at the later", part, one, two, report
        else:
            yield "wrongly named" if report.bugs else "elsewhere", part, one, two, report


def _steps_in_order(part):
    """The place of each step of a part, as its first case makes them."""
    from llama_tutorial.classroom.judge import guard
    from llama_tutorial.classroom.judge.steps import _Watched

    if part.steps is None:
        return {}
    watched = _Watched(part.adapt(part.reference))
    for case in part.cases:
        guard.usual()
        case.run(watched)
        if watched.calls:
            args, kwargs = watched.calls[0][:2]
            with contextlib.suppress(ValueError):  # a case that shows no step
                return {step.name: i for i, step in enumerate(part.steps(*args, **kwargs))}
            watched.calls.clear()
    return {}


def in_another_hand(names):
    """For every mistake of check_mistakes.py: what becomes of it while its own entry is left out."""
    from check_mistakes import MISTAKES

    from llama_tutorial.classroom.judge.check import judge
    from llama_tutorial.classroom.judge.parts import parts

    for name, (source, mistakes) in MISTAKES.items():
        part = parts()[name]
        if part.component.name not in names:
            continue
        for i, (bug, there, instead) in enumerate(mistakes):
            text, file = source.replace(there, instead), f"<{name}, spoilt {i}>"
            linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
            space = {"__name__": "__main__"}
            exec(compile(text, file, "exec"), space)
            obj = [value for value in space.values() if getattr(value, "__module__", "") == "__main__"][-1]
            report = judge(obj, without(part, *filter(None, [bug])))
            touched = {line for line, (a, b) in enumerate(zip(text.splitlines(), source.splitlines()), 1) if a != b}
            fits = None if report.line is None or len(text.splitlines()) != len(source.splitlines()) else (
                report.line[0] in touched
            )
            kind = "named" if report.bugs else "located" if report.step else "neither"
            yield name, bug, there, kind, fits, report


def main():
    import torch

    torch.set_num_threads(1)
    from check_variants import RIGHT

    from llama_tutorial.classroom import discovered
    from llama_tutorial.classroom.judge.check import judge
    from llama_tutorial.classroom.judge.parts import find

    names = [name for name in sys.argv[1:] if not name.startswith("-")] or list(discovered())
    talks = "-v" in sys.argv
    print(f"{'each mistake left out in turn':34} spellings    named  located elsewhere  neither   passed   right lines")
    total = Counter()
    for name in names:
        counts, lines = Counter(), []
        for part in discovered()[name].parts.values():
            for bug, kind, fits, report in leave_one_out(part):
                counts[kind] += 1
                lines += [fits] if fits is not None else []
                if talks and (kind not in ("named", "located") or fits is False):
                    told = f"{bug.name} ({bug.step}) → {kind}: {report.line} {report.step} {report.bugs}"
                    print(f"   {part.name}: {told}")
        total += counts | Counter(lines=sum(lines), of=len(lines))
        _row(name, counts, sum(lines), len(lines))
    _row("all", total, total["lines"], total["of"])
    hand = defaultdict(Counter)
    for name, bug, there, kind, fits, report in in_another_hand(names):
        hand[name][kind] += 1
        hand[name]["lines"] += fits is True
        hand[name]["of"] += fits is not None
        if talks and (kind == "neither" or fits is False):
            print(f"   {name}: {bug} {there!r} → {kind}, {report.line}, {report.step}")
    print("in another hand, its entry left out")
    for name, counts in hand.items():
        _row(name, counts, counts["lines"], counts["of"])
    pairs = Counter()
    for kind, part, one, two, report in two_at_once([p for n in names for p in discovered()[n].parts.values()]):
        pairs[kind] += 1
        if talks and kind in ("elsewhere", "wrongly named", "located at the later"):
            print(f"   {part.name}: {one.name} and {two.name} → {kind}: {report.bugs} {report.step}")
    print("two mistakes at once:", ", ".join(f"{kind} {many}" for kind, many in pairs.most_common()))
    blamed, seconds = [], []
    for obj, exercise in RIGHT:
        part, method = find(obj, exercise)
        if part.component.name in names:
            report = judge(obj, part, method)
            seconds.append(report.seconds)
            blamed += [] if report.passed else [obj.__name__]
    print(f"right variants: {len(seconds)}, blamed: {blamed or 'none'}")


def _row(name, counts, lines, of):
    kinds = ("named", "located", "elsewhere", "neither", "passed")
    many = sum(counts[kind] for kind in kinds)
    print(f"{name:34} {many:9} " + " ".join(f"{counts[kind]:8}" for kind in kinds) + f"   {lines} of {of}", flush=True)


if __name__ == "__main__":
    main()
