"""Text, tokens and an honest split

Text becomes bytes, bytes become tokens, and a fair exam keeps its pages out of the textbook.
"""

# Exported from notebooks/02_tokens.ipynb; edit the lesson, not this file.

__all__ = [
    "windows", "share_inside", "drop_copies", "held_out", "docstrings_of", "library_docstrings", "drop_exam",
    "Corpus", "python_corpus",
]

import ast
import hashlib
import sysconfig
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path


def windows(text: str, width: int) -> set[int]:
    """Every run of `width` characters in a text, as hashes."""
    return {hash(text[i : i + width]) for i in range(len(text) - width + 1)}


def share_inside(text: str, seen: set[int], width: int) -> float:
    """The share of a text's characters that lie in a run of `width` characters which `seen` holds too."""
    covered = bytearray(len(text))
    for i in range(len(text) - width + 1):
        if hash(text[i : i + width]) in seen:
            covered[i : i + width] = b"\x01" * width
    return sum(covered) / max(len(text), 1)


def drop_copies(texts: dict[str, str], width: int = 50, most: float = 0.3) -> dict[str, str]:
    """Keep a text when at most `most` of it stands in those kept before it; the longest choose first."""
    kept, seen = {}, set()
    for name in sorted(texts, key=lambda name: (-len(texts[name]), name)):
        if share_inside(texts[name], seen, width) <= most:
            kept[name] = texts[name]
            seen |= windows(texts[name], width)
    return {name: kept[name] for name in texts if name in kept}


def held_out(name: str) -> bool:
    """Whether a topic is kept for the exam: one in eight, by a hash of its name that never changes."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 8 == 7


def docstrings_of(source: str) -> list[str]:
    """The docstrings of a module's source, read by `ast`: nothing is imported or run."""
    with warnings.catch_warnings():  # old escapes such as "\\d" in a docstring
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            return []
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
    return [text for text in found if text]


def library_docstrings() -> dict[str, list[str]]:
    """The docstrings of the standard library, file by file, without tests and installed packages."""
    root = Path(sysconfig.get_path("stdlib"))
    found = {}
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        if not {"site-packages", "dist-packages", "test", "tests", "idle_test", "pydoc_data"} & set(name.parts):
            found[name.as_posix()] = docstrings_of(path.read_bytes().decode("utf-8", errors="replace"))
    return found


def drop_exam(files: dict[str, list[str]], exam: dict[str, str], width: int = 40) -> dict[str, str]:
    """Join the docstrings of each file, leaving out copies and whatever shares a run with the exam."""
    pages = set().union(*(windows(text, width) for text in exam.values()))
    clean = {f"{name}:{i}": text for name, texts in files.items() for i, text in enumerate(texts)}
    clean = {name: text for name, text in clean.items() if not windows(text, width) & pages}
    joined: dict[str, list[str]] = {}
    for name, text in drop_copies(clean).items():
        joined.setdefault(name.partition(":")[0], []).append(text)
    return {name: "\n\n".join(texts) for name, texts in joined.items()}


@dataclass(frozen=True)
class Corpus:
    """Text to learn from and text to be examined on, topic by topic."""

    reference: dict[str, str]  # topics of Python's reference to learn from
    docstrings: dict[str, str]  # docstrings of the standard library, module by module, to learn from
    held_out: dict[str, str]  # whole topics that are only ever read in the exam


@cache
def python_corpus() -> Corpus:
    """The English that every CPython carries: its reference topics and the docstrings of its standard library."""
    from pydoc_data.topics import topics

    kept = drop_copies(topics)
    exam = {name: text for name, text in kept.items() if held_out(name)}
    reference = {name: text for name, text in kept.items() if not held_out(name)}
    return Corpus(reference, drop_exam(library_docstrings(), exam), exam)
