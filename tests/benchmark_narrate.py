"""What narration costs: `python tests/benchmark_narrate.py [--torch-ops] [--rounds N]` (not a test).

Times a forward pass of the 135M shape over 128 tokens, plain and narrated in turn, so that whatever else the machine
does falls on both alike, and prints the ratio of the two medians. The promise is at most 1.25.
"""

import argparse
import statistics
import time

import torch

from llama_tutorial import LlamaConfig, LlamaForCausalLM
from llama_tutorial.viz import narrate


def seconds(run) -> float:
    """CPU seconds of this process, which another process cannot lengthen by taking its turn."""
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-ops", action="store_true")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--tokens", type=int, default=128)
    given = parser.parse_args()
    model, ids = LlamaForCausalLM(LlamaConfig()).eval(), torch.arange(given.tokens)[None]

    def plain():
        model(ids)

    def narrated():
        with narrate(model, torch_ops=given.torch_ops):
            model(ids)

    plain(), narrated()
    with torch.inference_mode():
        rounds = [(seconds(plain), seconds(narrated)) for _ in range(given.rounds)]
    off, on = (statistics.median(times) for times in zip(*rounds))
    print(f"{torch.get_num_threads()} threads, {given.tokens} tokens, {given.rounds} rounds: "
          f"plain {off:.3f} s, narrated {on:.3f} s, ratio {on / off:.3f}")


if __name__ == "__main__":
    main()
