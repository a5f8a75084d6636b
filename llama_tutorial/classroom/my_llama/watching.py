"""While a student's notebook runs: a helper of theirs to which a cell of the page gives another meaning is told."""

import types
from functools import cache

from .. import course


class Watcher:
    """Knows, for each part that a student has defined, the functions of theirs that it calls by name."""

    def __init__(self, names, say=print):
        self.names, self.say, self.known = names, say, {}

    def after(self, space: dict, cell: str) -> None:
        """After a cell has run: say which of its names an earlier part of the student's takes for its helper."""
        for name in self.names:
            part = space.get(name)
            if not _is_theirs(part):
                continue
            if name not in self.known or self.known[name][0] is not part:
                called = _called(part) & space.keys() - self.names
                self.known[name] = part, {each: space[each] for each in called if _is_theirs(space[each])}
                continue
            meant = self.known[name][1]
            changed = [helper for helper in meant if space.get(helper) is not meant[helper]]
            for helper in changed:
                meant[helper] = space.get(helper)
                if cell in pages():  # and no cell of the student's, who may change a helper
                    told = f"○ This cell gives {helper} another meaning, and your {name} calls it: give your {helper}"
                    self.say(f"{told} another name, and run its cell and that of {name} again.")


def _is_theirs(value) -> bool:
    return isinstance(value, types.FunctionType | type) and value.__module__ == "__main__"


def _called(value) -> set[str]:
    """The global names that a function, or the functions of a class, may look up."""
    functions = [value, *vars(value).values()] if isinstance(value, type) else [value]
    codes = [each.__code__ for each in functions if isinstance(each, types.FunctionType)]
    names = set()
    while codes:
        code = codes.pop()
        names |= set(code.co_names)
        codes += [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return names


@cache
def pages() -> frozenset[str]:
    """The code that stands in the exercise notebooks as they were handed out, and is nobody's to write."""
    cells = [each for lesson in course.lessons() for each in course.build(lesson)["cells"]]
    return frozenset(each["source"] for each in cells if "exercise" not in each["metadata"])


def watch(shell, say=print) -> None:
    """Have a notebook's shell tell, after each cell, what became of the student's helpers."""
    for callback in list(shell.events.callbacks["post_run_cell"]):
        if getattr(callback, "__name__", "") == "_tell_of_helpers":
            shell.events.unregister("post_run_cell", callback)
    names = {each.name.split(".")[0] for here in course.lessons().values() for each in here if each.exported}
    watcher = Watcher(names, say)

    def _tell_of_helpers(result):
        watcher.after(shell.user_ns, result.info.raw_cell)

    shell.events.register("post_run_cell", _tell_of_helpers)
