"""The two numbers of PPMd that lesson 10 holds, measured again."""

import ast
import json
import sys

import measure_ppmd


def test_lesson_10_holds_what_ppmd_needs(root):
    cells = json.loads((root / "notebooks/10_training.ipynb").read_text(encoding="utf-8"))["cells"]
    lines = [line.strip() for cell in cells if cell["cell_type"] == "code" for line in cell["source"]]
    (held,) = [line.partition("PPMD = ")[2].partition("#")[0] for line in lines if line.startswith("PPMD = ")]
    held, measured = ast.literal_eval(held.strip()), measure_ppmd.rivals()
    within = 0.006 if sys.version_info[:2] == (3, 11) else 0.1  # every Python brings its own text
    assert held.keys() == measured.keys()
    for name, bits in measured.items():
        assert abs(held[name] - bits) < within, f"the page says {held[name]} for {name}, measured: {bits:.4f}"
    alone, primed = measured.values()
    assert primed < alone - 0.2, "what PPMd read before no longer helps: is its memory full?"
