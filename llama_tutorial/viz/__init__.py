"""Pictures: the figures of the lessons and what draws them. Nothing is loaded before it is asked for.

    kit/       canvas, palette, the hues of tokens, dials, cards, folds
    patterns/  draw_pattern and narrate
    lessons/   the figures, one file for each lesson: a public function there is found by itself
"""

import re
from functools import cache
from importlib import import_module
from pathlib import Path

_HOME = {                                # name → the file that defines it; the figures of lessons/ are found
    "attention_html": "kit.hover",
    "canvas": "kit.canvas",
    "draw_pattern": "patterns.drawing",
    "expected_and_yours": "kit.compared",
    "explain": "patterns.explain",
    "fold": "kit.fold",
    "narrate": "patterns.narrate",
    "quiz": "kit.fold",
    "record": "patterns.record",
    "save": "kit.cards",
    "show": "kit.cards",
    "surprise_html": "kit.hover",
}


@cache
def _homes() -> dict[str, str]:
    """Every public name and the file that defines it, read from the files without importing them."""
    found = dict(_HOME)
    for file in sorted((Path(__file__).parent / "lessons").glob("[a-z]*.py")):
        for name in re.findall(r"^def ([a-z]\w*)", file.read_text(encoding="utf-8"), re.MULTILINE):
            found[name] = f"lessons.{file.stem}"
    return dict(sorted(found.items()))


def __getattr__(name):
    if name == "__all__":
        return list(_homes())
    if name.startswith("__") or name not in _homes():
        raise AttributeError(f"llama_tutorial.viz has no {name!r}; it has {', '.join(_homes())}")
    value = getattr(import_module(f"{__name__}.{_homes()[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return list(_homes())
