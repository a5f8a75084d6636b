"""`python -m llama_tutorial.authoring`: the maintainer's steps, one word each."""

import argparse
import sys
from pathlib import Path

from . import lessons, patterns


def main(argv: list[str] | None = None) -> int:
    """Run one step over the lessons named (by default all); the exit status is 1 when a check fails."""
    parser = argparse.ArgumentParser(prog="python -m llama_tutorial.authoring", description=__doc__)
    step = parser.add_subparsers(dest="step", required=True)
    text = step.add_parser("from-text", help="notebooks/NAME.ipynb from jupytext percent files NAME.py")
    text.add_argument("files", nargs="+", type=Path)
    text.add_argument("--run", action="store_true", help="then execute, tidy and store the outputs")
    text.add_argument("--export", action="store_true", help="then write the lesson's modules")
    for word, told in [
        ("run", "execute top to bottom, tidy, store the outputs"),
        ("tidy", "take out what differs from run to run"),
        ("export", "write the modules of the lessons into llama_tutorial/"),
    ]:
        step.add_parser(word, help=told).add_argument("lessons", nargs="*", help="a path, 04 or 04_rotary")
    step.add_parser("check", help="say what is out of step")
    step.add_parser("patterns", help="draw every pattern of the package into docs/patterns.md")
    given = parser.parse_args(argv)

    if given.step == "check":
        problems = lessons.check_in_step()
        print("\n".join(problems) or "everything is in step")
        return 1 if problems else 0
    if given.step == "patterns":
        print(f"docs/patterns.md: {patterns.write()} patterns drawn")
        return 0
    if given.step == "from-text":
        paths = [lessons.from_text(file) for file in given.files]
    else:
        paths = lessons.lesson_files(given.lessons)
    for path in paths:
        if given.step == "run" or getattr(given, "run", False):
            print(f"{path.name}: {lessons.run(path)} cells executed", flush=True)
        if given.step == "tidy":
            lessons.tidy(path)
            print(f"{path.name}: tidy", flush=True)
        if given.step == "export" or getattr(given, "export", False):
            modules = ", ".join(module.name for module in lessons.export(path))
            print(f"{path.name}: {modules or 'exports nothing'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
