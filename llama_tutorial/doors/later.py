"""Methods of a class that a later lesson writes."""

from importlib import import_module


class Later:
    """A method that is a function of the same name in a module of a later lesson, read when it is first asked for.

    So it is there wherever the class is, in a fresh process too. `of="class"` binds it as a classmethod.
    """

    def __init__(self, module: str, of: str = "object"):
        self.module, self.of = module, of

    def __set_name__(self, owner, name):
        package = owner.__module__.rpartition(".")[0] or __name__.partition(".")[0]  # a student's package has its own
        self.home, self.name = f"{package}.{self.module}", name

    def __get__(self, instance, owner=None):
        function = getattr(import_module(self.home), self.name)
        if self.of == "class":
            return function.__get__(owner)
        return function if instance is None else function.__get__(instance)
