"""The classroom: exercises cut from the lessons, and a check that says which mistake was made.

Nothing is loaded here; `from llama_tutorial import check` loads what it needs. A student's notebooks and modules call
`begin` and `stand_in` by these names.
"""

import pkgutil
from functools import cache
from importlib import import_module


@cache
def discovered() -> dict:
    """The component of every file in `components/`, by name, in the order of the lessons: found, never listed."""
    home = import_module(f"{__name__}.components")
    found = [import_module(f"{home.__name__}.{each.name}").component for each in pkgutil.iter_modules(home.__path__)]
    return {component.name: component for component in sorted(found, key=lambda component: component.lesson)}


def begin() -> None:
    """Make a student's notebook ready: `my_llama` can be imported, and what is not yet written says so in one line."""
    from .my_llama.desk import begin

    begin()


def stand_in(name: str) -> None:
    """Execute the lesson's module of the same name as the module `name` of a student's package."""
    from .my_llama.package import stand_in

    stand_in(name)
