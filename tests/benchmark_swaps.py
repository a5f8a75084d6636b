"""From GPT-2 to Llama, one swap at a time: `python tests/benchmark_swaps.py [--recipe R] [--seeds N]` (not a test).

Trains the small models of lesson 08, each step of its staircase with every seed, by the lesson's own definitions, and
prints bits per byte of unseen text and the paired change of each swap: the mean over seeds of what a seed gains, and
its standard deviation. `muon` is lesson 10's recipe; `adamw-low` and `adamw-high` are AdamW at 0.003 and 0.01. One
recipe takes about 80 CPU seconds a seed.
"""

import argparse
import ast
import json
import math
import statistics
import time
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from llama_tutorial.corpus import python_corpus
from llama_tutorial.model import LlamaModel, init_weights
from llama_tutorial.tokenizer import Tokenizer
from llama_tutorial.training import Muon

LESSON = Path(__file__).parents[1] / "notebooks/08_model.ipynb"
SPACE = {"torch": torch, "nn": nn, "F": F, "partial": partial, "LlamaModel": LlamaModel, "init_weights": init_weights}
SWAPS = ("RMSNorm", "rotary", "SwiGLU", "grouped heads", "no biases")


def defined(*names: str) -> list:
    """Definitions of the lesson, by their names."""
    cells = [cell["source"] for cell in json.loads(LESSON.read_text())["cells"] if cell["cell_type"] == "code"]
    for cell in cells:
        source = cell if isinstance(cell, str) else "".join(cell)
        if any(name in source for name in names):
            for node in ast.parse(source).body:
                if getattr(node, "name", "") in names:
                    exec(ast.unparse(node), SPACE)
    return [SPACE[name] for name in names]


def optimizers_of(model, recipe: str) -> list:
    """AdamW alone, or Muon on the layers' matrices and AdamW on all else."""
    if recipe != "muon":
        return [torch.optim.AdamW(model.parameters(), {"adamw-low": 0.003, "adamw-high": 0.01}[recipe], (0.9, 0.99))]
    matrices = [weight for weight in model.layers.parameters() if weight.ndim == 2]
    rest = [weight for weight in model.parameters() if not any(weight is matrix for matrix in matrices)]
    return [Muon(matrices, 0.02), torch.optim.AdamW(rest, 0.01, (0.9, 0.99), weight_decay=0.0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", choices=("muon", "adamw-low", "adamw-high"), default="muon")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=400)
    given = parser.parse_args()
    _, _, swapped, read_loss, learn = defined("Placed", "older_parts", "swapped", "read_loss", "learn")
    corpus = python_corpus()
    texts, unseen = [*corpus.reference.values()], "\n".join(corpus.held_out.values())
    tokenizer = Tokenizer.train(texts, 512)
    text = torch.tensor(tokenizer.encode("\n".join(texts)))
    exam = torch.tensor(tokenizer.encode(unseen))
    windows = exam[: (len(exam) - 1) // 128 * 128 + 1].unfold(0, 129, 128)
    per_byte = len(windows) * 128 / math.log(2) / len(tokenizer.decode(windows[:, 1:].flatten().tolist()).encode())
    before, start = [], time.process_time()
    for count in range(len(SWAPS) + 1):
        bits = []
        for seed in range(given.seeds):
            torch.manual_seed(seed)
            model = swapped(*SWAPS[:count])
            learn(model, text, optimizers_of(model, given.recipe), given.steps, seed)
            with torch.no_grad():
                bits.append(read_loss(model, windows).item() * per_byte)
        changes = [after - earlier for after, earlier in zip(bits, before)]
        print(f"{('GPT-2', *SWAPS)[count]:<14} {sum(map(torch.numel, model.parameters())):>9,} parameters  "
              f"{statistics.mean(bits):.3f} bits per byte"
              + (f"  {statistics.mean(changes):+.3f} ± {statistics.stdev(changes) if len(changes) > 1 else 0:.3f}"
                 f"  ({' '.join(f'{change:+.3f}' for change in changes)})" if changes else ""), flush=True)
        before = bits
    print(f"{given.recipe}, {given.seeds} seeds, {given.steps} steps: {time.process_time() - start:.0f} CPU seconds")


if __name__ == "__main__":
    main()
