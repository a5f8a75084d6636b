"""Lesson 12's induction with seeds beside the page's: two layers learn it, one cannot, a fixed length does not carry.

The page's own statements run, less its asserts, prints and figures, so that these tests follow the page.
"""

import ast
import json
from functools import partial
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough

LESSON = Path(__file__).parents[1] / "notebooks/12_looking_inside.ipynb"
BEFORE = ("model", "tokenizer", "ends_line")  # what the definitions of part one need to be there


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


def test_two_layers_learn_induction_and_it_hangs_on_the_heads_that_look_back(learned):
    assert learned["backward"] and learned["copies"].max() >= 0.8
    assert learned["right"](learned["copier"], *learned["vary"].tolist()) > 0.9
    assert learned["copying"](learned["lamed"]["layers.1.probs"]).max() < 0.2


def test_a_fixed_length_does_not_carry_to_others(learned):
    right = learned["right"]
    assert right(learned["fixed"], 16) > 0.9
    assert max(right(learned["fixed"], length) for length in (12, 15, 17, 20)) < 0.4


def test_one_layer_cannot(learned):
    assert learned["copying"](learned["alone"]["layers.0.probs"]).max() < 0.4
    assert learned["right"](learned["single"], *learned["vary"].tolist()) < 0.4
