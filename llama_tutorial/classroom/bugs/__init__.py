"""The catalogue of mistakes: each a small function that is wrong in one way, as a learner would write it.

A bug has an identifier (`norm.eps_outside_root`), a symptom (what one sees while training or loading weights) and a
sentence (what to do). The same mistake can be spelled in several ways; each spelling replaces one part of a component,
named like the lesson's export: a function ("rotate") or a class ("LlamaAttention").

    @bug("rms_norm", symptom="…", says="…")
    def no_eps(x, weight, eps): ...

    @also("no_eps", "rms_norm")
    def no_eps_by_norm(x, weight, eps): ...
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module

COMPONENTS = ("norm", "rotary", "attention", "checkpoint")


@dataclass(frozen=True)
class Bug:
    """One mistake: its identifier, what one sees of it, what to do, and the wrong parts that make it."""

    name: str
    symptom: str
    says: str
    spellings: list[tuple[str, Callable]] = field(default_factory=list)


_BUGS: dict[str, Bug] = {}


def bug(part: str, *, symptom: str, says: str):
    """Enter the decorated function under its own name, as a wrong version of `part`."""

    def enter(wrong):
        name = f"{wrong.__module__.rpartition('.')[2]}.{wrong.__name__}"
        if name in _BUGS:
            raise ValueError(f"a bug has one name, and {name} is there already: spell it again with also()")
        _BUGS[name] = Bug(name, symptom, says, [(part, wrong)])
        return wrong

    return enter


def also(name: str, part: str):
    """Enter the decorated function as another spelling of the bug `name` of the same file."""

    def enter(wrong):
        _BUGS[f"{wrong.__module__.rpartition('.')[2]}.{name}"].spellings.append((part, wrong))
        return wrong

    return enter


def catalogue() -> dict[str, Bug]:
    """All bugs by identifier, component after component."""
    for component in COMPONENTS:
        import_module(f"{__name__}.{component}")
    return dict(_BUGS)


def find(name: str) -> Bug:
    """The bug of that identifier; KeyError that names the nearest one."""
    from difflib import get_close_matches

    bugs = catalogue()
    if name not in bugs:
        near = get_close_matches(name, bugs, n=1)
        raise KeyError(f"no bug is called {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return bugs[name]
