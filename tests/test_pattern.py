"""Drawn patterns: the numbers are the operation's, the crosses are the reshape's, and nothing lies on anything else."""

import ast
import re
from itertools import product

import numpy as np
import pytest
from einops import einsum, rearrange, reduce, repeat
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.text import Text

from llama_tutorial import viz
from llama_tutorial.viz.kit.canvas import plain_text
from llama_tutorial.viz.patterns.drawing import _contrast
from llama_tutorial.viz.patterns.plan import HIGH, MANY, WIDE, parse, plan

SPLIT = "batch seq (head dim) -> batch head seq dim"
SCORES = "batch head query dim, batch head key dim -> batch head query key"
GROUPED = "batch kv group query dim, batch kv key dim -> batch kv group query key"
VALUES = "batch kv group query key, batch kv key dim -> batch kv group query dim"


class Shaped:
    """Anything with a shape will do."""

    def __init__(self, *shape):
        self.shape = shape


FIGURES = {
    "split": (SPLIT, dict(batch=1, seq=3, head=3, dim=2, wrong=True)),
    "split, large": (SPLIT, dict(x=Shaped(8, 128, 576), head=9, wrong=True)),
    "merge": ("batch head seq dim -> batch seq (head dim)", dict(batch=1, seq=3, head=3, dim=2, wrong=True)),
    "halves": ("(two pair) -> two pair", dict(two=2, pair=4, color="pair")),
    "stack": ("two head seq pair -> head seq (two pair)", dict(x=[Shaped(2, 3, 2)] * 2, wrong=True)),
    "five": ("batch seq (head two pair) -> two batch head seq pair",
             dict(batch=1, seq=2, head=2, two=2, pair=3, color="pair", shade="two")),
    "flat": ("batch seq vocab -> (batch seq) vocab", dict(batch=2, seq=3, vocab=4, wrong=True)),
    "windows": ("(window seq) -> window seq", dict(x=Shaped(100), seq=25)),
    "ones": ("batch key -> batch 1 1 key", dict(batch=2, key=4)),
    "column": ("query -> query 1", dict(query=5)),
    "transposed": ("seq dim -> dim seq", dict(seq=3, dim=4, wrong=True)),
    "swapped": ("batch head seq dim -> batch seq head dim", dict(batch=1, head=2, seq=3, dim=2, wrong=True)),
    "groups": ("batch (kv group) query dim -> batch kv group query dim", dict(x=Shaped(2, 9, 64, 64), kv=3)),
    "six": ("a b c d e f -> f e d c b a", dict.fromkeys("abcdef", 2)),
    "a long name": ("representation dim -> dim representation", dict(representation=2, dim=9, wrong=True)),
    "many numbers": ("row column -> column row", dict(row=12, column=12)),
    "nothing": ("-> 1", {}),
    "copies": ("kv seq dim -> (kv group) seq dim", dict(kv=2, group=3, seq=2, dim=3)),
    "new axis": ("dim -> batch seq dim", dict(batch=2, seq=2, dim=3)),
    "mean": ("batch seq dim -> batch seq", dict(batch=2, seq=3, dim=4)),
    "mean of columns": ("batch seq dim -> batch dim", dict(batch=2, seq=5, dim=3)),
    "pooled": ("batch (seq two) dim -> batch seq dim", dict(batch=1, seq=3, two=2, dim=4, op="max")),
    "all": ("seq dim ->", dict(seq=3, dim=9, op="sum")),
    "sum by einsum": ("seq dim -> dim", dict(seq=2, dim=3, op="einsum")),
    "scores": (SCORES, dict(batch=1, head=2, query=3, dim=5, key=4)),
    "grouped": (GROUPED, dict(batch=1, kv=2, group=2, query=2, dim=2, key=3)),
    "values": (VALUES, dict(batch=1, kv=2, group=2, query=2, dim=2, key=3)),
    "linear": ("out dim, seq dim -> seq out", dict(out=4, dim=2, seq=3)),
    "to query": ("query dim, key dim -> query", dict(query=3, dim=2, key=4)),
    "to nothing": ("seq dim, seq dim ->", dict(seq=2, dim=3)),
    "wide einsum": ("seq dim, seq dim -> seq dim", dict(seq=2, dim=14)),
    "pairs": (["(two pair) -> two pair", "(pair two) -> two pair"], dict(two=2, pair=4, color="pair")),
    "pairs, large": (["(two pair) -> two pair", "(pair two) -> two pair"], dict(x=Shaped(64), two=2)),
    "heads": (["batch kv -> batch (kv group)", "batch kv -> batch (group kv)"], dict(batch=1, kv=2, group=3)),
    "means": (["batch seq dim -> batch seq", "batch seq dim -> batch dim"], dict(batch=2, seq=3, dim=4)),
    "wide pair": (["(a b) -> a b", "(b a) -> a b"], dict(a=4, b=6)),
}


@pytest.fixture(scope="module")
def figures():
    made = {}

    def make(name):
        if name not in made:
            pattern, options = FIGURES[name]
            made[name] = viz.draw_pattern(pattern, **options)
        return made[name]
    return make


# ---------------------------------------------------------------------------------------------- the numbers


def package_patterns(root):
    """Every pattern of rearrange and repeat in the package's modules, its `...` written out."""
    found = {}
    for path in sorted((root / "llama_tutorial").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            name = isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", None))
            if name in ("rearrange", "repeat") and len(node.args) > 1:
                for text in literal(node.args[1]):
                    found[text.replace("...", "some more")] = name
    return found


def literal(node):
    """What a pattern in the source may be: a string, or an f-string whose gap is empty or an axis of size 1."""
    if isinstance(node, ast.Constant):
        return [node.value]
    assert isinstance(node, ast.JoinedStr), ast.dump(node)
    return ["".join(part.value if isinstance(part, ast.Constant) else gap for part in node.values)
            for gap in ("", "1 ")]


def small_sizes(pattern):
    names = dict.fromkeys(name for name in re.findall(r"[a-z]+", pattern))
    return {name: 3 if k == 1 else 1 if k == 0 and len(names) > 4 else 2 for k, name in enumerate(names)}


def needed(pattern, sizes):
    """The sizes that einops has to be told."""
    before = pattern.split("->")[0]
    inside = [name for group in re.findall(r"\(([^)]*)\)", before) for name in group.split()]
    return {name: size for name, size in sizes.items() if name in inside or name not in before.split()}


def x_of(pattern, sizes):
    before = parse(pattern)[0][0]
    shape = [int(np.prod([sizes[name] for name in axis])) for axis in before]
    return np.arange(np.prod(shape, dtype=int)).reshape(shape)


def numbers_drawn(fig):
    """The numbers that stand in the cells of a figure, cell by cell in the order drawn."""
    cells = [patch.get_bbox() for patch in fig.axes[0].patches if is_cell(patch)]
    said = [(text.get_position(), text.get_text()) for text in fig.axes[0].texts]
    inside = [[text for (x, y), text in said if cell.x0 < x < cell.x1 and cell.y0 < y < cell.y1] for cell in cells]
    return [int(texts[0]) for texts in inside]


def is_cell(patch):
    return isinstance(patch, FancyBboxPatch) and patch.get_facecolor()[3] > 0


def test_the_numbers_drawn_are_those_of_every_pattern_of_the_package(root):
    patterns = package_patterns(root)
    assert len(patterns) > 15 and SPLIT in patterns and "some more (two pair) -> two some more pair" in patterns
    drawn = set()
    for pattern, name in patterns.items():
        sizes = small_sizes(pattern)
        x = x_of(pattern, sizes)
        expected = {"rearrange": rearrange, "repeat": repeat}[name](x, pattern, **needed(pattern, sizes))
        p = plan(pattern, x, **needed(pattern, sizes))
        assert p.op == name and p.out.shape == expected.shape, pattern
        assert [cell.number for cell in p.out.cells] == [*expected.flat], pattern
        form = tuple([*sizes].index(word) if word in sizes else word for word in re.findall(r"[a-z]+|\S", pattern))
        if form not in drawn:            # (head dim) and (kv dim) are one drawing with other words
            assert numbers_drawn(viz.draw_pattern(pattern, **sizes)) == [*x.flat, *expected.flat], pattern
        drawn.add(form)


@pytest.mark.parametrize("pattern", [
    "kv seq dim -> (kv group) seq dim", "kv seq dim -> (group kv) seq dim", "seq dim -> seq two dim",
    "dim -> (batch seq) dim two", "(a b) -> b new a", "-> seq"])
def test_copies_say_what_they_copy(pattern):
    sizes = small_sizes(pattern)
    p, x = plan(pattern, **sizes), x_of(pattern, sizes)
    expected = repeat(x, pattern, **needed(pattern, sizes))
    assert p.op == "repeat" and [cell.number for cell in p.out.cells] == [*expected.flat]
    assert len(p.out.cells) - sum(cell.copy for cell in p.out.cells) == x.size
    dashed = [patch for patch in viz.draw_pattern(pattern, **sizes).axes[0].patches
              if is_cell(patch) and patch.get_linestyle() != "solid"]
    assert len(dashed) == expected.size - x.size


@pytest.mark.parametrize("pattern", [
    "batch seq dim -> batch seq", "batch seq dim -> dim", "some more dim -> some more 1", "(a b) c -> c a", "a b ->"])
def test_reduced_cells_say_what_they_are_made_of(pattern):
    sizes = small_sizes(pattern)
    p, x = plan(pattern, op="sum", **sizes), x_of(pattern, sizes)
    (before,), after = parse(pattern)
    names, kept = [name for axis in before for name in axis], [name for axis in after for name in axis]
    for cell, index in zip(p.out.cells, product(*(range(sizes[name]) for name in kept)), strict=True):
        made_of, flat = [], x.reshape([sizes[name] for name in names])
        for at in product(*(range(sizes[name]) for name in names)):
            if all(dict(zip(names, at))[name] == place for name, place in zip(kept, index)):
                made_of.append(flat[at])
        assert list(cell.sources) == made_of
    expected = reduce(x, pattern, "sum", **needed(pattern, sizes))
    assert [sum(cell.sources) for cell in p.out.cells] == [*expected.flat]


EINSUMS = [SCORES, GROUPED, VALUES, "out dim, seq dim -> seq out", "query dim, key dim -> query", "a b, b a -> b",
           "query dim, key dim -> dim", "a, b -> b a", "a b c, c a -> c b", "a b, a b ->"]


@pytest.mark.parametrize("pattern", EINSUMS)
def test_results_of_einsum_say_what_they_are_made_of(pattern):
    sizes, (inputs, result) = small_sizes(pattern), parse(pattern)
    p = plan(pattern, **sizes)
    names = sorted(sizes)
    made_of = {}
    for at in product(*(range(sizes[name]) for name in names)):
        index = dict(zip(names, at))
        places = [np.ravel_multi_index([index[n] for n, in axes], [sizes[n] for n, in axes]) if axes else 0
                  for axes in (*inputs, result)]
        made_of.setdefault(places[2], set()).add((places[0], places[1]))
    assert {cell.place: {*cell.sources} for cell in p.out.cells} == made_of
    x, y = (np.arange(len(board.cells)).reshape(board.shape) for board in p.boards[:2])
    expected = np.asarray(einsum(x, y, pattern)).reshape(-1)
    assert [sum(x.flat[i] * y.flat[j] for i, j in cell.sources) for cell in p.out.cells] == [*expected]


@pytest.mark.parametrize("pattern", EINSUMS)
def test_the_boxed_cells_are_the_sources_of_the_boxed_result(pattern):
    sizes = small_sizes(pattern)
    p, fig = plan(pattern, **sizes), viz.draw_pattern(pattern, **sizes)
    cells = [patch.get_bbox() for patch in fig.axes[0].patches if is_cell(patch)]
    frames = [patch.get_bbox() for patch in fig.axes[0].patches
              if isinstance(patch, FancyBboxPatch) and not is_cell(patch)]
    boxed = [any(f.x0 < c.x0 and c.x1 < f.x1 and f.y0 < c.y0 and c.y1 < f.y1 for f in frames) for c in cells]
    first, second = len(p.boards[0].cells), len(p.boards[0].cells) + len(p.boards[1].cells)
    chosen, = np.flatnonzero(boxed[second:])
    of = p.out.cells[chosen]
    assert [*np.flatnonzero(boxed[:first])] == sorted({i for i, _ in of.sources})
    assert [*np.flatnonzero(boxed[first:second])] == sorted({j for _, j in of.sources})
    said = " ".join(f"{name}{of.index[name]}" for name in p.out.names if sizes[name] > 1)
    assert f"boxed: out[{said}] = " in fig.alt


# ---------------------------------------------------------------------------------------------- the wrong reshape


@st.composite
def moves(draw):
    """A random rearrange with sizes that a page holds."""
    names = draw(st.lists(st.sampled_from(["head", "seq", "dim", "kv", "two"]), min_size=1, max_size=5, unique=True))
    sizes = {name: draw(st.integers(1, 4)) for name in names}

    def side(order):
        words, k = [], 0
        while k < len(order):
            n = draw(st.integers(1, len(order) - k))
            words.append(order[k] if n == 1 else f"({' '.join(order[k : k + n])})")
            words += ["1"] * draw(st.booleans())
            k += n
        return " ".join(words)
    assume(np.prod([*sizes.values()]) <= MANY)
    return f"{side(names)} -> {side(draw(st.permutations(names)))}", sizes


@settings(max_examples=60, deadline=None, database=None)
@given(moves())
def test_misplaced_are_exactly_the_elements_in_which_reshape_differs(move):
    pattern, sizes = move
    x = x_of(pattern, sizes)
    right = rearrange(x, pattern, **needed(pattern, sizes))
    try:
        p = plan(pattern, **sizes)
    except ValueError:
        assert max(len(axis) for axes in (parse(pattern)[0][0], parse(pattern)[1]) for axis in axes) > 1
        return
    assert [cell.number for cell in p.out.cells] == [*right.flat]
    assert p.misplaced == (right != x.reshape(right.shape)).sum()
    for board in p.boards:
        assert board.width <= WIDE and board.height <= HIGH
        assert len({(cell.column, cell.row) for cell in board.cells}) == x.size


@pytest.mark.parametrize("name", [name for name, (_, options) in FIGURES.items() if options.get("wrong")])
def test_crosses_are_drawn_and_counted(figures, name):
    pattern, options = FIGURES[name]
    p = plan(pattern, **{key: value for key, value in options.items() if key != "wrong"})
    said = [text.get_text() for text in figures(name).axes[0].texts]
    assert said.count("×") == p.misplaced
    numbers, count = numbers_drawn(figures(name)), len(p.out.cells)
    right = [cell.number for cell in p.out.cells]
    assert numbers[: 2 * count] == [*range(count), *right]
    if p.misplaced:
        assert numbers[2 * count :] == list(range(count)) and f"not x.reshape{p.out.full}" in said
        assert f"same shape, {p.misplaced} of {count} numbers" in said
        assert f"puts {p.misplaced} of {count} numbers in the wrong place" in figures(name).alt
        patches = figures(name).axes[0].patches
        hues = {k: to_hex(cell.get_facecolor()) for k, cell in zip(range(count), filter(is_cell, patches))}
        assert [hues[k] for k in numbers] == [to_hex(cell.get_facecolor()) for cell in patches if is_cell(cell)]
        strips = [to_hex(bar.get_facecolor()) for bar in patches if isinstance(bar, Rectangle)]
        assert strips == [hues[k] for k in (*range(count), *right, *range(count))]
    else:
        assert len(numbers) == 2 * count and "does the same" in " ".join(said)


# ---------------------------------------------------------------------------------------------- the layout


def ways(board):
    return dict.fromkeys((axis.name for axis in board.across), "across") | dict.fromkeys(
        (axis.name for axis in board.down), "down")


@pytest.mark.parametrize("pattern", EINSUMS)
def test_axes_of_an_einsum_run_one_way_in_all_tensors_but_the_summed_one(pattern):
    p = plan(pattern, **small_sizes(pattern))
    for name in [name for name, size in p.sizes.items() if size > 1]:
        found = {way[name] for way in map(ways, p.boards) if name in way}
        assert len(found) == 1 or p.corner and name in p.lost, (name, found)
    if p.corner:                         # rows of the left one and columns of the upper one are those of the result
        left, above = (p.boards[k] for k in p.corner)
        assert left.down == p.out.down and above.across == p.out.across


def test_rows_columns_and_panels():
    p = plan(SPLIT, batch=2, seq=3, head=2, dim=2)
    x, out = p.boards
    assert [axis.name for axis in x.across] == ["head", "dim"] and [axis.name for axis in x.down] == ["batch", "seq"]
    assert ways(x) == ways(out)
    assert x.across[0].gap < out.across[0].gap          # merged axes stand closer than panels
    p = plan("a b c d -> b a c d", a=2, b=2, c=2, d=2)  # panels across, then down; what can keep its way keeps it
    assert {"c": "down", "d": "across"}.items() <= ways(p.out).items() and ways(p.boards[0]) == ways(p.out)
    assert ways(p.out)["a"] != ways(p.out)["b"]
    assert ways(plan("a b -> b a", a=2, b=3).out) == {"a": "across", "b": "down"}
    p = plan("batch seq vocab -> (batch seq) vocab", batch=2, seq=3, vocab=4)
    assert ways(p.boards[0]) == ways(p.out)
    assert ways(plan("query -> query 1", query=3).out) == {"query": "down"}
    assert ways(plan("seq -> 1 seq", seq=3).out) == {"seq": "across"}


def test_colours_are_chosen_or_given():
    sizes = dict(seq=3, head=3, dim=2)
    assert (plan(SPLIT, batch=1, **sizes).color, plan(SPLIT, batch=1, **sizes).shade) == ("head", "seq")
    p = plan(SPLIT, batch=1, color="seq", shade="dim", **sizes)
    assert (p.color, p.shade) == ("seq", "dim")
    assert plan("two seq pair -> seq (two pair)", two=2, seq=3, pair=4).color == "pair"
    assert plan("kv seq dim -> (kv group) seq dim", kv=2, group=2, seq=2, dim=2).color == "kv"
    fig = viz.draw_pattern(SPLIT, batch=1, **sizes)
    colors = [to_hex(patch.get_facecolor()) for patch in fig.axes[0].patches if is_cell(patch)]
    assert colors[0] == colors[1] != colors[2] and len({*colors}) == 9
    by_number = [dict(zip(part, color)) for part, color in (
        (numbers_drawn(fig)[:18], colors[:18]), (numbers_drawn(fig)[18:], colors[18:]))]
    assert by_number[0] == by_number[1]


def word_colors(fig, name):
    """The colours in which an axis' name is written, alone or before the number of its place."""
    return {text.get_color() for text in fig.axes[0].texts if re.fullmatch(rf"{name}\d*", text.get_text())}


def test_an_axis_has_one_hue_in_every_einsum(figures):
    found = {name: [word_colors(figures(each), name) for each in ("scores", "grouped", "values", "to query", "linear")]
             for name in ("query", "key", "dim", "kv", "group", "head", "seq", "out")}
    hues = {name: set().union(*colors) for name, colors in found.items()}
    assert all(len(colors) == 1 for colors in hues.values()), hues
    assert len(set.union(*(hues[name] for name in ("query", "key", "dim", "kv", "group", "head")))) == 6
    one, other = (viz.draw_pattern(f"{before} -> b a", a=2, b=2, color="b") for before in ("a b", "(b a)"))
    assert word_colors(one, "b") == word_colors(other, "b")


def test_the_places_of_words_are_the_words_hues_and_others_begin_with_the_axis_own():
    from llama_tutorial.viz.kit.cells import AXIS_HUES, TOKEN_HUES, axis_hues, place_hues

    assert place_hues("seq", AXIS_HUES["seq"], 5) == TOKEN_HUES[:5]
    for name, hue in AXIS_HUES.items():
        places = place_hues(name, hue, 8)
        assert len({*places}) == 8 and (places[0] == hue or places == TOKEN_HUES)
        assert len({*place_hues(name, hue, 16)}) == 16
    unknown = axis_hues(["batch", "red", "key", "blue", *"abcdefgh"])
    assert unknown["key"] == AXIS_HUES["key"] and unknown == axis_hues([*unknown][::-1])
    assert len({unknown[name] for name in ("a", "b", "c", "key", "batch")}) == 5


@pytest.mark.parametrize("name", ["scores", "grouped", "values", "linear", "to query", "wide einsum"])
def test_a_deuteranope_tells_the_operands_apart_and_sees_what_is_summed(figures, name):
    from figures import deuteranope

    from llama_tutorial.viz.patterns.drawing import _Look

    options = {key: size for key, size in FIGURES[name][1].items() if key != "wrong"}
    look = _Look(plan(FIGURES[name][0], **options))
    x, y = (np.array([int(look.fills[each][k : k + 2], 16) for k in (1, 3, 5)]) for each in "xy")
    seen = deuteranope(np.array([[x, y]], np.uint8))[0].astype(int)
    assert np.abs(seen[0] - seen[1]).max() > 60
    slanted = [line for line in figures(name).axes[0].lines
               if len({*line.get_xdata()}) == 2 == len({*line.get_ydata()}) and line.get_color() != "#ffffff"]
    assert len(slanted) >= 20 * len(look.gone) and bool(slanted) == bool(look.gone)


def test_the_tensors_of_an_einsum_wear_the_callers_names():
    q, k, a_rather_long_name = np.zeros((2, 3)), np.zeros((4, 3)), np.zeros((4, 3))
    pattern = "query dim, key dim -> query key"
    fig = viz.draw_pattern(pattern, (q, k))
    words = " ".join(said(fig))
    assert 'einsum(q, k, "' in "".join(said(fig)) and "Blue = q, orange = k" in words
    twice = viz.draw_pattern(pattern, (q, k), names=("k / 2", "k / 2"))
    assert "Blue = k / 2 as it stands first, orange = k / 2 as it stands second, and" in " ".join(said(twice))
    assert "of (k / 2)[query1 dim] × (k / 2)[key1 dim]" in twice.alt
    assert fig.alt.startswith('einsum(q, k, "') and "of q[query1 dim] × k[key1 dim]" in fig.alt
    for x, names, told in [((q, k), ("one", "two"), "one, two"), ((q, a_rather_long_name), None, "x, y"),
                           ((q + 1, k), None, "x, y"), ((q, k), ("q / 2", "c"), "q / 2, c"),
                           ((k, k), None, "k, k"), ((q, k), ("out", "k"), "x, y")]:
        assert viz.draw_pattern(pattern, x, names=names).alt.startswith(f"einsum({told}, ")


def test_the_description_recites_only_what_moves(figures):
    assert "; 12 of 18 numbers move: 6 at 2, 7 at 3, 12 at 4, 13 at 5 …" in figures("split").alt
    assert figures("ones").alt.endswith("becomes (2, 1, 1, 4); no number changes its place.")
    assert "batch 1" not in figures("split").alt and "drawn with seq 3, head 3, dim 2" in figures("split").alt
    assert "24 of its 36 numbers are copies, so that it holds 0 at 6, 1 at 7" in figures("copies").alt
    for name, (pattern, options) in FIGURES.items():
        for alt in figures(name).alt.split("; ") if isinstance(pattern, str) else ():
            for number, place in re.findall(r"(\d+) at (\d+)", alt):
                p = plan(pattern, **{key: size for key, size in options.items() if key != "wrong"})
                assert p.out.cells[int(place)].number == int(number)


def boxes(fig):
    """Bounding boxes of all words, and of all cells and lines; of words without the room kept for tails."""
    renderer = FigureCanvasAgg(fig).get_renderer()
    with plain_text():
        said = {text: text.get_window_extent(renderer) for text in fig.findobj(Text) if text.get_text().strip()}
    words = [(text.get_text(), box.x0 + 1, box.y0 + 0.2 * box.height, box.x1 - 1, box.y1 - 0.18 * box.height)
             for text, box in said.items()]
    shapes = [patch.get_window_extent(renderer) for patch in fig.axes[0].patches
              if is_cell(patch) or isinstance(patch, Rectangle)]
    things = [("cell", box.x0, box.y0, box.x1, box.y1) for box in shapes]
    for line in fig.axes[0].lines:       # bars, arrows and dividers; not the diagonals of split cells
        (left, right), (below, above) = np.sort(line.get_xdata()), fig.bbox.y1 - np.sort(line.get_ydata())[::-1]
        if left == right or below == above:
            things.append(("line", left - 0.4, below - 0.4, right + 0.4, above + 0.4))
    return words, things


def collisions(fig):
    """What lies on what, or beyond the edge; a word may lie within a cell."""
    words, cells = boxes(fig)
    all_ = np.array([box[1:] for box in (*words, *cells)])
    outside = [(*words, *cells)[k] for k in np.flatnonzero(
        (all_[:, :2].min(1) < 0) | (all_[:, 2] > fig.bbox.x1) | (all_[:, 3] > fig.bbox.y1))]
    low, high = np.maximum(all_[:, None, :2], all_[None, :, :2]), np.minimum(all_[:, None, 2:], all_[None, :, 2:])
    within = (all_[:, None, :2] >= all_[None, :, :2]).all(-1) & (all_[:, None, 2:] <= all_[None, :, 2:]).all(-1)
    n, touching = len(words), (high - low > 0.5).all(-1)
    touching[:n, n:] &= ~within[:n, n:]
    pairs = [((*words, *cells)[i], (*words, *cells)[j]) for i, j in np.argwhere(np.triu(touching, 1))]
    return outside + pairs


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_lies_outside_or_on_anything_else(figures, name):
    fig = figures(name)
    assert collisions(fig) == []
    assert fig.bbox.x1 <= 1300


def test_collisions_are_found():
    c = viz.canvas(100)
    c.box(10, 10, 40, 40, "#4477AA")
    c.say(30, 30, "0", ha="center")
    assert collisions(c.done("A cell.")) == []
    c.say(45, 30, "on an edge")
    c.say(995, 80, "out")
    out, (word, cell) = collisions(c.done("A cell."))
    assert out[0] == "out" and (word[0], cell[0]) == ("on an edge", "cell")


@pytest.mark.parametrize("name", FIGURES)
def test_words_can_be_read(figures, name):
    fig = figures(name)
    cells = [(patch.get_bbox(), to_hex(patch.get_facecolor())) for patch in fig.axes[0].patches
             if is_cell(patch) or isinstance(patch, Rectangle)]
    edges = np.array([(box.x0, box.y0, box.x1, box.y1) for box, _ in cells]).reshape(-1, 4)
    for text in [text for text in fig.axes[0].texts if text.get_text()]:
        at = np.array([*text.get_position()])
        behind = np.flatnonzero(((edges[:, :2] < at) & (at < edges[:, 2:])).all(1))
        ground = cells[behind[0]][1] if len(behind) else "#ffffff"
        assert _contrast(text.get_color(), ground) >= (3.8 if len(behind) else 4.5), text.get_text()


# ---------------------------------------------------------------------------------------------- words and errors


@pytest.mark.parametrize("name", FIGURES)
def test_alt_is_one_sentence_from_the_pattern(figures, name):
    alt, pattern = figures(name).alt, FIGURES[name][0]
    assert all(f'"{each}"' in alt for each in ([pattern] if isinstance(pattern, str) else pattern))
    assert alt.endswith(".") and "\n" not in alt and not re.search(r"\. [A-Z]", alt) and "None" not in alt


def said(fig):
    return [text.get_text().replace("\N{NO-BREAK SPACE}", " ") for text in fig.axes[0].texts if text.get_text()]


def test_a_large_tensor_is_drawn_small_and_says_so(figures):
    words = " ".join(said(figures("split, large")))
    assert "Drawn smaller than it is: batch 1 of 8, seq 3 of 128, head 3 of 9, dim 2 of 64." in words
    assert "(8, 128, 576)" in words and "drawn (1, 3, 6)" in words and "(8, 9, 128, 64)" in words
    whole = plan(SPLIT, Shaped(1, 3, 6), head=3)
    assert whole.sizes == whole.full == dict(batch=1, seq=3, head=3, dim=2)
    assert "Drawn smaller" not in " ".join(said(figures("split")))


def test_the_call_can_be_copied(figures):
    for name in ("split", "merge", "copies", "mean", "pooled", "sum by einsum", "scores"):
        line = "".join(said(figures(name)))
        call = re.match(r'\w+\([^"]*"[^"]+"[^)]*\)', line)[0]
        options = {key: size for key, size in FIGURES[name][1].items() if isinstance(size, int)}
        operands = [np.zeros([int(np.prod([options[n] for n in axis])) for axis in axes])
                    for axes in parse(FIGURES[name][0])[0]]
        out = eval(call, {"rearrange": rearrange, "reduce": reduce, "repeat": repeat, "einsum": einsum,
                          **dict(zip("xy", operands))})
        assert np.shape(out) == plan(FIGURES[name][0], **{
            key: value for key, value in FIGURES[name][1].items() if key != "wrong"}).out.shape, call


def test_axes_of_one_place_are_named_and_not_drawn(figures):
    words = said(figures("split"))
    assert any("(batch = 1: not drawn)" in text for text in words) and "batch0" not in words
    assert "(axes of size 1: not drawn)" in " ".join(said(figures("ones")))


def test_two_patterns_are_counted_against_each_other(figures):
    x = np.arange(8)
    differ = (rearrange(x, "(two pair) -> two pair", two=2) != rearrange(x, "(pair two) -> two pair", two=2)).sum()
    assert f"Both give (2, 4), and {differ} of 8 numbers stand elsewhere" in said(figures("pairs"))
    assert f"Both give (2, 32), and {differ} of 8 numbers drawn stand elsewhere" in said(figures("pairs, large"))
    assert "Two shapes from one: (2, 3) and (2, 4)" in said(figures("means"))
    same = viz.draw_pattern(["(a b) -> b a", "(a b) -> (b a) 1"], a=2, b=3, color="b")
    assert "Two shapes from one: (3, 2) and (6, 1)" in said(same)
    same = viz.draw_pattern(["a b -> (a b)", "a b -> (a b)"], a=2, b=3)
    assert "Both give (6,), number for number the same" in said(same)
    far = viz.draw_pattern(["(a b) -> a b", "(c d e) -> c (d e)"], Shaped(60), a=6, c=6, d=5)
    assert "Two ways from (60,) to (6, 10)" in said(far)
    assert re.search("Above: .*dim is gone.* Below: .*seq is gone", " ".join(said(figures("means"))))


@pytest.mark.parametrize("make, rule", [
    (lambda: plan("... dim -> ... 1", dim=3), "write them out"),
    (lambda: plan("a b", a=2, b=2), "one arrow"),
    (lambda: plan("a 2 -> a", a=2), "its size, word=2"),
    (lambda: plan("(a (b)) -> a b", a=2, b=2), "open and close once"),
    (lambda: plan("(a b -> a b", a=2, b=2), "stays open"),
    (lambda: plan("a) -> a", a=2), "open and close once"),
    (lambda: plan("a a -> a", a=2), "a twice"),
    (lambda: plan("a-b -> a", a=2), "use letters"),
    (lambda: plan("a b -> b a", a=2), "b has none: give b=3, or a tensor"),
    (lambda: plan("(a b) -> b a", Shaped(6)), "give a=3, b=3"),
    (lambda: plan("a b -> b a", a=2, b=2, c=1), "leave c=1 out"),
    (lambda: plan("a b -> b a", a=0, b=2), "whole number from 1, got a=0"),
    (lambda: plan("a b -> b a", a=2.0, b=2), "whole number from 1"),
    (lambda: plan("a b -> b a", a=30, b=20), "smaller sizes"),
    (lambda: plan("(a b) -> b a", a=6, b=5), "28 across"),
    (lambda: plan("a b -> b a", Shaped(2, 3, 4)), "names 2: name as many"),
    (lambda: plan("(a b) -> b a", Shaped(6), a=4), "not a=4 · b"),
    (lambda: plan("a b, b c -> a c", (Shaped(2, 3), Shaped(5, 4))), "not b=3"),
    (lambda: plan("a 1 -> a", Shaped(2, 2)), "which is not 1"),
    (lambda: plan("a b, b c -> a c", Shaped(2, 3)), r"x=\(first, second\)"),
    (lambda: plan("two a -> a two", [Shaped(2), Shaped(3)]), "one shape"),
    (lambda: plan("a -> b", a=2, b=2), "name it on both"),
    (lambda: plan("a b -> a", a=2, b=2, op="rearrange"), "choose another op"),
    (lambda: plan("a b -> a", a=2, b=2, op="median"), "op is one of"),
    (lambda: plan("a b, b c, c d -> a d", a=2, b=2, c=2, d=2), "at most two tensors"),
    (lambda: plan("a (b c), b -> a", a=2, b=2, c=2), "plain names"),
    (lambda: plan("a b -> b a", a=2, b=2, color="c"), "axes of x"),
    (lambda: plan("a b -> b a", a=2, b=1, shade="b"), "more than one place"),
    (lambda: plan("a b -> b a", a=2, b=2, color="a", shade="a"), "leave one out"),
    (lambda: plan("a b, b c -> a c", a=2, b=2, c=2, color="a"), "leave color and shade out"),
    (lambda: viz.draw_pattern("a b -> a", a=2, b=2, wrong=True), "is for reduce"),
    (lambda: viz.draw_pattern(["a b -> b a"] * 3, a=2, b=2), "one by one"),
    (lambda: viz.draw_pattern(["a b -> b a"] * 2, a=2, b=2, untitled=True), "for one pattern"),
    (lambda: viz.draw_pattern("a b, b c -> a c", a=2, b=2, c=2, untitled=True), "for one tensor"),
    (lambda: viz.draw_pattern(["a b, b c -> a c"] * 2, a=2, b=2, c=2), "not for einsum"),
    (lambda: viz.draw_pattern(["(a b) -> b a", "(c a) -> a c"], a=2, b=3, c=2), "the same x"),
    (lambda: viz.draw_pattern("word" * 50 + " b -> b " + "word" * 50, Shaped(2, 2)), "shorter names"),
])
def test_errors_say_what_to_change(make, rule):
    with pytest.raises(ValueError, match=rule):
        make()


def test_the_plan_needs_nothing_that_draws(root):
    tree = ast.parse((root / "llama_tutorial" / "viz" / "patterns" / "plan.py").read_text())
    loaded = {each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names}
    loaded |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert loaded == {"re", "dataclasses", "itertools", "math", "numpy"}
