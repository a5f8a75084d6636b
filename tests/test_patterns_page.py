"""docs/patterns.md shows exactly the patterns of the package, each with its picture."""

import ast
import re

import pytest

from llama_tutorial.authoring import __main__ as command
from llama_tutorial.authoring import patterns

PAGE = patterns.DOCS / "patterns.md"
FIXED = "run `python -m llama_tutorial.authoring patterns`"


def written_in_the_source():
    """Every string with an arrow in a call of einops, by any name of it, an f-string as it is written."""
    for path in patterns.PACKAGE.rglob("*.py"):
        if "classroom" in path.parts:  # wrong patterns, on purpose
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node, "func", None)
            if getattr(name, "attr", getattr(name, "id", "")) in patterns.OPERATIONS:
                for text in map(ast.unparse, node.args):
                    if "->" in text and (found := re.fullmatch(r"f?(['\"])(.*)\1", text)):
                        yield found[2]


def test_the_page_lists_exactly_the_patterns_of_the_source():
    page = PAGE.read_text(encoding="utf-8")
    listed = re.findall(r"^### `(.+)`$", page, re.M)
    assert sorted(listed) == sorted(set(written_in_the_source())), FIXED
    missing = [use.pattern for use in patterns.uses() if patterns.section(use) not in page]
    assert missing == [], FIXED


def test_every_pattern_has_a_small_picture_with_a_description():
    images = re.findall(r"^!\[(.+)\]\(patterns/([\w-]+\.png)\)$", PAGE.read_text(encoding="utf-8"), re.M)
    assert len(images) == len({name for _, name in images}) == len(patterns.uses()), FIXED
    assert {name for _, name in images} == {path.name for path in (patterns.DOCS / "patterns").iterdir()}, FIXED
    assert all(len(alt) > 40 for alt, _ in images)
    assert all(path.stat().st_size < 60_000 for path in (patterns.DOCS / "patterns").iterdir())


def test_a_small_package_and_its_page(tmp_path, monkeypatch, capsys):
    package, docs = tmp_path / "package", tmp_path / "docs"
    package.mkdir()
    (package / "turn.py").write_text(
        "# Exported from notebooks/01_turn.ipynb; edit the lesson, not this file.\n"
        "class Turn:\n    def forward(self, x, n):\n"
        "        return reduce(rearrange(x, 'row column -> column row'), 'a b -> a', 'max')\n"
        "def again(x, ones):\n    return rearrange(rearrange(x, 'row column -> column row'), f'... a -> ... {ones}a')\n"
    )
    (package / "by_hand.py").write_text("rearrange(x, pattern), repeat(x, 'a -> a b', b=2)\n")
    found = [(use.pattern, use.op, use.places, use.lesson) for use in patterns.uses(package)]
    assert found == [
        ("a b -> a", "reduce max", ["`Turn.forward`"], "01_turn"),
        ("row column -> column row", "rearrange", ["`Turn.forward`", "`again`"], "01_turn"),
        ("... a -> ... {ones}a", "rearrange", ["`again`"], "01_turn"),
        ("a -> a b", "repeat", ["the module"], "~"),
    ]
    (docs / "patterns").mkdir(parents=True)
    (docs / "patterns" / "stray.png").write_bytes(b"")
    monkeypatch.setattr(patterns.write, "__defaults__", (docs, package))
    assert command.main(["patterns"]) == 0
    assert capsys.readouterr().out == "docs/patterns.md: 4 patterns drawn\n"
    assert len(list((docs / "patterns").iterdir())) == 4
    assert "### `a b -> a`\n\n`reduce max` in `Turn.forward`\n\n![reduce(x, " in (docs / "patterns.md").read_text()


@pytest.mark.thorough
def test_the_page_is_what_the_command_writes(tmp_path):
    patterns.write(tmp_path)
    assert (tmp_path / "patterns.md").read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8"), FIXED
