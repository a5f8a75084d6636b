"""What a run reads, and what it is examined on: Python's reference, or files of text."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..corpus import python_corpus, share_inside, windows


@dataclass(frozen=True)
class Text:
    """What a run reads and what it is examined on: parts to take windows from in turn, and held-out text."""

    parts: list[list[str]]
    held_out: list[str]
    note: str

    @property
    def byte_count(self) -> int:
        """The length of the held-out text in bytes of UTF-8."""
        return sum(len(text.encode()) for text in self.held_out)


def reference_text() -> Text:
    """Python's reference and the standard library's docstrings, half of the windows from each."""
    corpus = python_corpus()
    parts = [list(corpus.reference.values()), list(corpus.docstrings.values())]
    version = ".".join(map(str, sys.version_info[:3]))
    note = (
        f"Trained on the reference topics and the standard library's docstrings of Python {version}, which are under "
        "the Python Software Foundation License Version 2; examined on whole topics that were held out."
    )
    return Text(parts, list(corpus.held_out.values()), note)


def text_of_files(paths: Sequence[str | Path]) -> Text:
    """Files of UTF-8 text; the last tenth of each is held out, and the note says how much of that stands in the rest.

    Raises FileNotFoundError for a missing file and ValueError for one that is not UTF-8 or empty.
    """
    kept, exam = [], []
    paths = [paths] if isinstance(paths, str | Path) else paths
    if not paths:
        raise ValueError("training needs at least one file of text, got none")
    for path in map(Path, paths):
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}")
        try:
            text = path.read_text(encoding="utf-8").removeprefix("\ufeff")  # the mark that some editors write
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not UTF-8 at byte {error.start}: save it as UTF-8") from None
        if len(text) < 10:
            raise ValueError(f"{path} holds {len(text)} characters: there is nothing to learn from it")
        kept.append(text[: -(len(text) // 10)])
        exam.append(text[-(len(text) // 10) :])
    seen = set().union(*(windows(text, 40) for text in kept))
    shared = sum(share_inside(text, seen, 40) * len(text) for text in exam) / sum(map(len, exam))
    names = ", ".join(Path(path).name for path in paths)
    note = f"Trained on {names}; examined on the last tenth, of which {shared:.1%} stands in the rest."
    return Text([kept], exam, note)
