"""The lessons in JupyterLab: where they are, how a reader gets a copy, and how the lab starts."""

from .lessons import copy_lessons, find_lessons, lab_command, open_lab, trust

__all__ = ["copy_lessons", "find_lessons", "lab_command", "open_lab", "trust"]
