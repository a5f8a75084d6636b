"""From a lesson's notebook to the student's: bodies cut out, hints and checks put in."""

import ast
import hashlib
import io
import re
import tokenize
from html import escape

from ... import _HOME
from .cut import cut, functions, leaks
from .exercise import Exercise, dots
from .pieces import bound, defined, defined_in, free_names, is_import, lesson_of, modules

HERE = "llama_tutorial"
YOURS = "my_llama"
# What students call their helpers, after implementations that they know or by what they do. No function of the page's
# may take such a name from them: their code would call the page's.
LIKELY = frozenset(
    "rotate_half rotate_every_two rotate_pairs apply_rotary apply_rotary_emb apply_rotary_pos_emb precompute_freqs_cis "
    "reshape_for_broadcast repeat_kv repeat_heads expand_kv rms mean_square norm normalize normalise inv_rms softmax "
    "masked_softmax scores scaled_scores weights mask split_heads merge_heads to_heads from_heads split_halves halves "
    "pairs turn turn_pairs turned swap interleave deinterleave helper helpers inv_freq ramp interpolate shapes "
    "layer_shapes swiglu silu gate project".split()
)
LAST_WORDS = re.compile(r"^## (to )?remember|^## three sentences", re.IGNORECASE | re.MULTILINE)


# ------------------------------------------------------------------------------------------------ what is marked


def is_exported(cell: dict) -> bool:
    """Whether a cell goes into the package."""
    nbdev = cell.get("metadata", {}).get("nbdev", {})
    return cell["cell_type"] == "code" and ("export" in nbdev or bool(re.match(r"#\s*\|\s*export", cell["source"])))


def marked(notebook: dict, exercises) -> dict[int, list[Exercise]]:
    """The exercises to cut from each cell, by the cell's place: those that its metadata names under `exercise`.

    A lesson without any such mark is cut where its exported cells define what the exercises of kind "implement" are
    named after. Raises ValueError for a mark without a text or on a cell that is not exported, for an exercise that
    no exported cell defines, and for a text without a mark in a lesson that has marks. The lesson's own functions,
    which no cell exports, are cut where the page defines them, and need no mark.
    """
    texts = {exercise.name: exercise for exercise in exercises if exercise.exported}
    cells = notebook["cells"]
    marks = {place: list(cell["metadata"]["exercise"]) for place, cell in enumerate(cells) if _mark(cell)}
    if not marks:
        for place, cell in enumerate(cells):
            if is_exported(cell):
                names = [name for name in functions(cell["source"]) if name in texts]
                marks |= {place: names} if names else {}
    named = [name for names in marks.values() for name in names]
    for place, names in marks.items():
        if not is_exported(cells[place]):
            raise ValueError(f"the cell with the mark exercise={names} is not exported: mark the cell that is")
        unknown = [name for name in names if name not in texts]
        if unknown:
            raise ValueError(f"exercise={unknown[0]!r} has no text: write one in classroom/exercises")
    for name in texts:
        if named.count(name) != 1:
            told = "more than one exported cell defines" if name in named else "no exported cell defines or marks"
            raise ValueError(f"{told} {name}, of which there is an exercise")
    places = {place: [texts[name] for name in names] for place, names in marks.items()}
    own = {exercise.name: exercise for exercise in exercises if exercise.kind == "implement" and exercise.answers}
    for place, cell in enumerate(cells):
        if cell["cell_type"] == "code" and not is_exported(cell) and own:
            here = [own[name] for name in functions(_readable(cell["source"])) if name in own]
            places |= {place: here} if here else {}
    return places


def _mark(cell: dict):
    return cell["cell_type"] == "code" and cell.get("metadata", {}).get("exercise")


# ------------------------------------------------------------------------------------------------ the student's copy


def student_notebook(notebook: dict, lesson: str, exercises) -> dict:
    """The exercise notebook of a lesson, given as plain JSON with every source one string.

    Raises ValueError where something cannot be cut, or where a line that was cut out still stands on the page.
    """
    places = marked(notebook, exercises)
    cut_out = {exercise.name for here in places.values() for exercise in here}
    cells, removed = [], []
    for place, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code":
            cells.append(_markdown(cell["source"], cell.get("metadata", {})))
            continue
        source = re.sub(r"\A(\s*#\s*\|[^\n]*\n)+", "", cell["source"])
        here = places.get(place, [])
        if here:
            result = cut(source, {exercise.name: exercise.task for exercise in here})
            source, removed = result.source, [*removed, *result.removed]
            before = [cell["source"] for cell in notebook["cells"][:place] if cell["cell_type"] == "code"]
            after = [cell["source"] for cell in notebook["cells"][place + 1 :] if cell["cell_type"] == "code"]
            text = sheet(here) + "\n\n" + way_round(source, lesson, before, after, here)
            cells.append(_markdown(text, {"exercise": "text"}))
        metadata = {key: cell["metadata"][key] for key in ("tags", "jupyter") if key in cell.get("metadata", {})}
        metadata |= {"exercise": [exercise.name for exercise in here]} if here else {}
        cells.append(_code(to_my_package(source), metadata))
        if here:
            names = dict.fromkeys(exercise.name.split(".")[0] for exercise in here)
            cells.append(_code("\n".join(f"check({name})" for name in names)))
    others = [exercise for exercise in exercises if not exercise.exported and exercise.name not in cut_out]
    for exercise in others:
        if exercise.kind == "implement":
            removed += cut(exercise.solution, {exercise.name: exercise.task}).removed
    told = leaks(removed, [cell["source"] for cell in cells])
    if told:
        raise ValueError(f"{lesson}: a line that was cut out stands elsewhere on the student's page: {told[0]!r}")
    spare_helpers(cells, lesson)
    cells[1:1] = opening(lesson)
    if others:
        place = _room_for_exercises(cells)
        cells[place:place] = [cell for exercise in others for cell in stand_alone(exercise)]
    for place, cell in enumerate(cells):
        cell["id"] = hashlib.sha256(f"{place}:{cell['source']}".encode()).hexdigest()[:8]
    metadata = {key: value for key, value in notebook["metadata"].items() if key in ("kernelspec", "language_info")}
    return {"cells": cells, "metadata": metadata | {"exercises": lesson}, "nbformat": 4, "nbformat_minor": 5}


def _room_for_exercises(cells: list[dict]) -> int:
    """Where the exercises that are not cut from the lesson go: below its heading "Exercises", which is made if need be.

    What the lesson says there, for readers who have no exercises before them, is left out.
    """
    for place, cell in enumerate(cells):
        before, found, after = cell["source"].partition("## Exercises\n")
        if found and cell["cell_type"] == "markdown":
            _, next_heading, rest = after.partition("\n## ")
            parts = [before + "## Exercises", (next_heading + rest).strip()]
            cells[place : place + 1] = [_markdown(part, {}) for part in parts if part]
            return place + 1
    end = [place for place, cell in enumerate(cells) if LAST_WORDS.search(cell["source"])]
    place = end[-1] if end else len(cells)
    cells.insert(place, _markdown("## Exercises", {}))
    return place + 1


def opening(lesson: str) -> list[dict]:
    """The two cells that every exercise notebook begins with, below its title."""
    text = (
        f"**This is your copy of lesson `{lesson}`, with parts left for you to write.** Each of them has a task, three "
        "hints that fold out, and a `check` that says which mistake was made. What passes is put into the package "
        f"`{YOURS}` beside this notebook, and the next notebook builds on it. Nothing blocks you: `{YOURS}` lends "
        "every part that you have not written, and below the hints stands how to go on without it.\n\n"
        f"The lesson itself, with everything written, is `{lesson}.ipynb`: `llama-tutorial lab` opens the lessons."
    )
    return [
        _markdown(text, {}),
        _code("from llama_tutorial import check\nfrom llama_tutorial.classroom import begin\n\nbegin()"),
    ]


def way_round(source: str, lesson: str, before, after, here) -> str:
    """How to go on without writing a cell, folded: a line that imports all that the cell defines.

    `before` and `after` are the code of the cells around it: what the cell alone imports and later ones use comes too.
    `here` are the exercises of the cell.
    """
    known = {name for cell in before for name in _bound_in(cell)}
    used = {name for cell in after for name in free_names(_readable(cell))}
    lines = []
    for node in filter(is_import, ast.parse(source).body):
        names = [alias for alias, name in zip(node.names, bound(node)) if name in used - known]
        if names:
            node.names = names
            lines.append(ast.unparse(node))
    mine = defined_in(source)
    home = next((each for each in modules() if lesson_of(each) == lesson and set(mine) <= set(defined(each))), "")
    if home:
        lines.append(f"from {YOURS}.{home} import {', '.join(mine)}")
    for name, part in {name: part for exercise in here for name, part in exercise.answers.items()}.items():
        lines.append(f"from {part.reference.__module__} import {name}")
    code = to_my_package("\n".join(lines))
    return (
        "<details><summary>Go on without it</summary>\n\nRun this in place of the next cell, or in a new one below. "
        f"It takes ours, which `{YOURS}` lends; the exercise stays open until you write it.\n\n"
        f"```python\n{code}\n```\n</details>"
    )


def spare_helpers(cells: list[dict], lesson: str) -> None:
    """Rename the page's functions that have a name that a student is likely to give a helper.

    Only those count that stand below the first exercise: of what stands above it, the student's own is the last.
    Raises ValueError for one that the lesson exports, which keeps its name.
    """
    theirs = [cell["cell_type"] == "code" and "exercise" in cell["metadata"] for cell in cells]
    first = theirs.index(True) if True in theirs else len(cells)
    later = [cell for cell in cells[first:] if cell["cell_type"] == "code" and "exercise" not in cell["metadata"]]
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    nodes = [node for cell in later for node in ast.parse(_readable(cell["source"])).body if isinstance(node, kinds)]
    exported = {name for each in modules() if lesson_of(each) == lesson for name in defined(each)}
    for name in dict.fromkeys(node.name for node in nodes if node.name in LIKELY):
        if name in exported:
            raise ValueError(f"{lesson} exports {name}, as a student is likely to call a helper: give it another name")
        for cell in later:
            if name in free_names(_readable(cell["source"])) | _bound_in(cell["source"]):
                cell["source"] = _renamed(cell["source"], name)


def _renamed(source: str, name: str) -> str:
    """Code in which a name begins with `lesson_`, in the braces of f-strings too; keywords and attributes stay."""
    lines, depth, before = source.splitlines(), 0, ""
    tokens = list(tokenize.generate_tokens(io.StringIO(source + "\n").readline))
    places = []
    for token, after in zip(tokens, [*tokens[1:], tokens[-1]]):
        depth += (token.string in "([{") - (token.string in ")]}") if token.type == tokenize.OP else 0
        keyword = depth and after.string == "="
        if token.type == tokenize.NAME and token.string == name and before != "." and not keyword:
            places.append(token.start)
        elif token.type == tokenize.STRING and "f" in re.match(r"\w*", token.string)[0].lower():
            for braces in re.finditer(r"\{[^{}]*\}", token.string):
                for word in re.finditer(rf"(?<![\w.]){name}(?!\w)", braces[0]):
                    head = token.string[: braces.start() + word.start()]
                    row = head.count("\n")
                    column = len(head.rpartition("\n")[2]) + (0 if row else token.start[1])
                    places.append((token.start[0] + row, column))
        before = token.string
    for row, column in sorted(places, reverse=True):
        line = lines[row - 1]
        lines[row - 1] = f"{line[:column]}lesson_{line[column:]}"
    return "\n".join(lines)


def _bound_in(cell: str) -> set[str]:
    return {name for node in ast.parse(_readable(cell)).body for name in bound(node)}


def _readable(cell: str) -> str:
    """A cell as Python, its magics blank; nothing where it is none."""
    text = "\n".join("" if re.match(r"\s*[%!?]", line) else line for line in cell.splitlines())
    try:
        ast.parse(text)
    except SyntaxError:
        return ""
    return text


def stand_alone(exercise: Exercise) -> list[dict]:
    """The cells of an exercise that is not cut from the lesson."""
    written = functions(exercise.starter)  # a function is known by its name, a value is not
    checks = [f"check({name})" if name in written else f'check({name}, "{name}")' for name in exercise.answers]
    return [_markdown(sheet([exercise]), {"exercise": "text"}), _code(exercise.starter), *map(_code, checks)]


def sheet(exercises) -> str:
    """The task of each exercise, what it asks of the student, and its folded hints, in markdown."""
    parts = []
    for exercise in exercises:
        title = exercise.title or f"`{exercise.name}`"
        parts += [
            f"### Exercise, {exercise.kind}: {title}",
            exercise.text or exercise.task,
            f"Difficulty {dots(exercise.difficulty)} · importance {dots(exercise.importance)} · "
            f"about {exercise.minutes} minutes",
            ladder(exercise.hints),
        ]
    return "\n\n".join(parts)


def ladder(hints) -> str:
    """Three hints in markdown, each folded inside the one before it."""
    names = ("A first hint", "If it goes wrong", "Step by step")
    text = ""
    for name, hint in reversed(list(zip(names, hints))):
        text = f"<details><summary>{name}</summary>\n\n{hint}\n\n{text}</details>\n"
    return text.rstrip()


def to_my_package(source: str) -> str:
    """A cell that takes what lessons define from the student's own package; `check` and the figures stay ours.

    Turned are imports, and strings that name a place in a module, as `unittest.mock.patch` takes them.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a magic
        return source
    lines = source.splitlines()
    for node in ast.walk(tree):
        if _leads_to_a_lesson(node):
            for number in range(node.lineno - 1, node.end_lineno):
                lines[number] = re.sub(rf"\b{HERE}\b", YOURS, lines[number], count=1)
    return "\n".join(lines)


def _leads_to_a_lesson(node: ast.AST) -> bool:
    """Whether a piece of code names a module that a lesson exports, or imports only what such modules define."""
    if isinstance(node, ast.ImportFrom) and node.module == HERE:
        return all(_HOME.get(alias.name, alias.name) in modules() for alias in node.names)
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []
    parts = [name.split(".") for name in names]
    return any(part[0] == HERE and part[1:] and part[1] in modules() for part in parts)


def side_by_side(name: str, yours: str, ours: str) -> str:
    """The student's code beside the lesson's, folded, as HTML that needs no script and no style sheet."""
    cell = 'style="text-align:left;vertical-align:top;width:50%"'
    row = "".join(f'<td {cell}><pre style="white-space:pre-wrap">{escape(code)}</pre></td>' for code in (yours, ours))
    head = f"<tr><th {cell}>yours</th><th {cell}>ours</th></tr>"
    table = f'<table style="width:100%">{head}<tr>{row}</tr></table>'
    return f"<details><summary>{escape(name)}: ours beside yours</summary>{table}</details>"


def _markdown(source: str, metadata: dict) -> dict:
    kept = {key: value for key, value in metadata.items() if key not in ("nbdev",)}
    return {"cell_type": "markdown", "id": "", "metadata": kept, "source": source}


def _code(source: str, metadata: dict | None = None) -> dict:
    usual = {"cell_type": "code", "id": "", "execution_count": None, "outputs": []}
    return usual | {"metadata": dict(metadata or {}), "source": source}
