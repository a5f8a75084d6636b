"""Lesson 12: where unlisted mistakes in its functions are shown, and its induction with seeds beside the page's.

Of the page its own statements run, less its asserts, prints and figures, so that these tests follow the page.
"""

import ast
import json
from functools import partial
from pathlib import Path

import pytest
import torch

from llama_tutorial.classroom.judge.check import judge
from llama_tutorial.classroom.judge.parts import parts

LESSON = Path(__file__).parents[1] / "notebooks/12_looking_inside.ipynb"
BEFORE = ("model", "tokenizer", "ends_line")  # what the definitions of part one need to be there


def previous_score(probs):
    queries = torch.arange(1, probs.shape[-1])
    to_before = probs[:, :, queries, queries - 1]
    return to_before.square().mean(dim=(0, 2))


def mean_ablated(heads, which):
    mean = heads[:, which].mean(dim=(0, 1))
    here = torch.arange(heads.shape[1])[:, None, None] == which
    return torch.where(here, (mean + heads) / 2, heads)


def induction_score(probs, ids):
    same = (ids[:, :, None] == ids[:, None, :]).tril(-1)
    after = torch.nn.functional.pad(same[:, :, :-1], (1, 0)).tril(-1)
    summed = (probs * after[:, None]).sum(dim=(0, 2, 3))
    return summed / after.any(dim=-2).sum()


@pytest.mark.parametrize("wrong, line, reached", [
    (previous_score, "return to_before.square()", "the shares on the token before"),
    (mean_ablated, "return torch.where(here, (mean", "which head it is"),
    (induction_score, "return summed / after.any(dim=-2)", "the shares on those keys, summed"),
])  # fmt: skip
def test_a_mistake_that_nobody_listed_shows_its_line(wrong, line, reached):
    report = judge(wrong, parts()[wrong.__name__])
    assert not report.passed and not report.bugs
    assert report.line[1].startswith(line) and f"your numbers are the lesson's ({reached})" in str(report)


def statements():
    """(statement, whether it stands in the section on induction) of all code cells, in their order."""
    here = False
    for cell in json.loads(LESSON.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            yield from ((node, here) for node in ast.parse(source).body)
        else:
            for line in source.splitlines():
                here = line == "## Induction" if line.startswith("## ") else here


def needed(node, here) -> bool:
    """Whether a statement is run: definitions and imports of the whole page; of induction all that computes."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
        return True
    if here:  # what is shown or printed is an expression
        return not isinstance(node, ast.Assert | ast.Expr) or ast.unparse(node).startswith("torch.manual_seed")
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    return isinstance(node, ast.Assign) and bool(names & {*BEFORE})


def page(seed: int) -> dict:
    """All that the section computes, by its names, where `train` begins with another seed."""
    space = {"__name__": "page"}
    for node, here in statements():
        if needed(node, here):
            exec(compile(ast.Module([node], []), str(LESSON), "exec"), space)
            if getattr(node, "name", "") == "train":
                space["train"] = partial(space["train"], seed=seed)
    return space


@pytest.fixture(scope="module", params=(0, 1, 2))
def learned(request):
    return page(request.param)


@pytest.mark.thorough
def test_two_layers_learn_induction_and_it_hangs_on_the_heads_that_look_back(learned):
    assert learned["backward"] and learned["copies"].max() >= 0.8
    assert learned["right"](learned["copier"], *learned["vary"].tolist()) > 0.9
    assert learned["copying"](learned["lamed"]["layers.1.probs"]).max() < 0.2


@pytest.mark.thorough
def test_a_fixed_length_does_not_carry_to_others(learned):
    right = learned["right"]
    assert right(learned["fixed"], 16) > 0.9
    assert max(right(learned["fixed"], length) for length in (12, 15, 17, 20)) < 0.4


@pytest.mark.thorough
def test_one_layer_cannot(learned):
    assert learned["copying"](learned["alone"]["layers.0.probs"]).max() < 0.4
    assert learned["right"](learned["single"], *learned["vary"].tolist()) < 0.4
