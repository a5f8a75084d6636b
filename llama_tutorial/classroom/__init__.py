"""The classroom: exercises cut from the lessons, and a check that says which mistake was made.

Nothing is loaded here; `from llama_tutorial import check` loads what it needs.
"""
