"""Every figure looks as it did when somebody looked at it: drawn again, it equals the one that is stored."""

import pytest
from figures import STORED, stored, unlike
from test_viz import FIGURES

from llama_tutorial.viz.kit.canvas import Canvas

pytestmark = pytest.mark.thorough
LIMIT = 2.5                              # of 255: fonts and versions move edges by less, a bar by more


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_looks_as_it_did(name):
    found = unlike(FIGURES[name](), name)
    assert found <= LIMIT, f"{name} looks otherwise ({found:.1f}): look at it, then `python tests/figures.py write`"


def test_no_stored_figure_is_left_over():
    assert {file.name for file in STORED.glob("*.png")} == {stored(name).name for name in FIGURES}


@pytest.mark.parametrize("name", ["same_or_changed", "stream_growth", "attention_map", "loss_hung", "model_area"])
def test_bars_and_cells_of_equal_height_are_noticed(monkeypatch, name):
    for method in ("bar", "box", "band", "curve", "cells"):
        plain = getattr(Canvas, method)

        def flat(self, x, y, *rest, plain=plain, method=method, **style):
            if method in ("bar", "box"):
                w, _, *rest = rest
                return plain(self, x, y, w, 30, *rest, **style)
            if method == "curve":
                y = [y[0]] * len(y)
            if method == "cells":
                y = y + 12
            return plain(self, x, y, *rest, **style)

        monkeypatch.setattr(Canvas, method, flat)
    assert unlike(FIGURES[name](), name) > LIMIT
