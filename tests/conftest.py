"""How the two tiers run.

`pytest` collects tests/ and, through nbval, every lesson in notebooks/: each code cell is one test, executed
in its lesson's own kernel and compared with the output stored on the page (the options stand in
pyproject.toml). `pytest -m thorough` runs the other tier.

Signatures are checked at run time (jaxtyping with beartype) in child processes only, see test_house.py: the
check reports a wrong shape before our own, better worded ValueError, and cannot stand inside a compiled graph.
"""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def pytest_configure(config):
    # nbval looks for this file from wherever pytest was started
    patterns = getattr(config.option, "nbval_sanitize_with", None)
    if patterns and not Path(patterns).is_absolute():
        config.option.nbval_sanitize_with = str(config.rootpath / patterns)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT
