"""Loading, ours against transformers': `python tests/benchmark_checkpoint.py [--billion] [--cold] [--rounds N]`.

Writes a model of the 135M shape (or that of Llama 3.2 1B) in bfloat16, whole and in shards, then loads it with each
library in turn, in a fresh process each time, after both have loaded a tiny one: seconds on the clock and the peak of
anonymous memory above that baseline. Before each, the files are read, so that the system has them in memory, or with
`--cold` forgotten by it. The promises are 1.2 times their time, and 1.2 times the larger of file and model.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CHILD = """
import json, sys, threading, time, torch
library, tiny, directory, dtype = sys.argv[1:]
if library == "ours":
    from llama_tutorial import LlamaForCausalLM
else:
    import transformers
    transformers.utils.logging.disable_progress_bar()
    from transformers import LlamaForCausalLM
load = lambda place: LlamaForCausalLM.from_pretrained(place, dtype=getattr(torch, dtype))
load(tiny)
now = lambda: next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) / 1024
start, peak, done = now(), [0], []
def watch():
    while not done:
        peak.append(now())
        time.sleep(0.005)
thread = threading.Thread(target=watch)
thread.start()
clock = time.perf_counter()
model = load(directory)
seconds = time.perf_counter() - clock
done.append(1)
thread.join()
print(json.dumps([seconds, max(*peak, now()) - start, sum(w.nbytes for w in model.parameters()) / 2**20]))
"""
BILLION = {"vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
           "num_attention_heads": 32, "num_key_value_heads": 8}  # fmt: skip


def write(directory: Path, billion: bool) -> None:
    """A tiny model, and the one to load, whole and in shards."""
    import torch

    from llama_tutorial import LlamaForCausalLM

    tiny = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
    LlamaForCausalLM(tiny).save_pretrained(directory / "tiny")
    torch.set_default_dtype(torch.bfloat16)
    model = LlamaForCausalLM(BILLION if billion else {})
    model.save_pretrained(directory / "whole", "50GB")
    model.save_pretrained(directory / "shards", "500MB" if billion else "60MB")


def prepare(directory: Path, cold: bool) -> None:
    """Have the system keep the files of a checkpoint in its memory, or forget them."""
    for path in directory.glob("*.safetensors"):
        with path.open("rb") as file:
            if cold:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            else:
                while file.read(1 << 24):
                    pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--billion", action="store_true")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        write(Path(directory), given.billion)
        os.sync()
        print("form    dtype     library       seconds (median, least)  peak MiB  model MiB")
        for form in ("whole", "shards"):
            for dtype in ("bfloat16", "float32"):
                found = {"ours": [], "transformers": []}
                for one in range(given.rounds):
                    for library in sorted(found, reverse=one % 2 == 1):
                        prepare(Path(directory, form), given.cold)
                        places = [f"{directory}/tiny", f"{directory}/{form}"]
                        command = [sys.executable, "-c", CHILD, library, *places, dtype]
                        done = subprocess.run(command, capture_output=True, check=True)
                        found[library].append(json.loads(done.stdout))
                for library, rounds in found.items():
                    seconds = [one[0] for one in rounds]
                    told = f"{statistics.median(seconds):12.3f} {min(seconds):9.3f} {max(r[1] for r in rounds):11.0f}"
                    print(f"{form:7} {dtype:9} {library:13} {told} {rounds[0][2]:10.0f}")
                ours, theirs = (statistics.median(one[0] for one in rounds) for rounds in found.values())
                print(f"{'':18}ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
