"""For maintainers: run a lesson, tidy it, export its modules, and say what is out of step.

Needs a checkout and the test extra; nothing here is loaded by a reader's code. `docs/editing_a_lesson.md`
tells the steps, `python -m llama_tutorial.authoring --help` the commands.
"""

from .lessons import check_in_step, core_lines, export, from_text, lesson_files, run, tidy

__all__ = ["check_in_step", "core_lines", "export", "from_text", "lesson_files", "run", "tidy"]
