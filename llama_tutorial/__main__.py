"""`python -m llama_tutorial` is the command `llama-tutorial`."""

from .cli import main

main()
