"""A run of `llama-tutorial train` that is killed twenty times ends as one that nobody disturbed, bit for bit."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGKILL"),
]
STEPS, KILLS = 300, 20
# The command in a process of its own: a small model, a checkpoint after every second step. It says when it begins to
# step, and at its end what it has learnt: the losses, and the weights in float32. With KILL="FILE n" it kills itself at
# the n-th writing of that file, when a part of it is written and not yet swapped in.
CHILD = """
import hashlib, json, os, signal, sys
from llama_tutorial import cli, training
from llama_tutorial.runs import checkpoints, directory

directory.SHIPPED_SHAPE = {"hidden_size": 8, "intermediate_size": 13, "num_hidden_layers": 2, "num_attention_heads": 2}
directory.SHIPPED_VOCAB, directory.SHIPPED_RECIPE = 270, training.Recipe(batch=2, context=13, dropout=0.1)
run_to_end, finish, flush, writes = directory.run_to_end, directory.finish, checkpoints.flush, []

def run(trainer, checkpoint, **how):
    print("steps from", trainer.step, flush=True)
    return run_to_end(trainer, checkpoint, every=2, **how)

def told(trainer, *rest):
    weights = b"".join(weight.detach().numpy().tobytes() for weight in trainer.model.parameters())
    learnt = {"losses": trainer.losses, "weights": hashlib.sha256(weights).hexdigest()}
    report = finish(trainer, *rest)
    print(json.dumps(learnt), flush=True)
    return report

def flushed(path):
    name, count = os.environ.get("KILL", "none 0").split()
    if path.name == name + ".partial":
        writes.append(path)
        if len(writes) == int(count):
            os.truncate(path, int(path.stat().st_size * float(os.environ["SHARE"])))
            os.kill(os.getpid(), signal.SIGKILL)
    flush(path)

directory.run_to_end, directory.finish, checkpoints.flush = run, told, flushed
BEFORE
cli.main(["train", *sys.argv[1:]])
"""
FORGETS = "import torch; torch.optim.Optimizer.load_state_dict = lambda self, state: None"


class Run:
    """A run into a directory, whose process may be killed and started again."""

    def __init__(self, directory: Path, before: str = ""):
        self.directory, self.child = directory, CHILD.replace("BEFORE", before)
        (directory.parent / "prose.txt").write_text("the cat sat on the mat and the dog ran to the log. " * 30)

    def start(self, **environment: str) -> subprocess.Popen:
        """The command, with --resume where there is something to go on with."""
        words = ["--text", self.directory.parent / "prose.txt", "--out", self.directory, "--steps", STEPS]
        words += ["--resume"] if (self.directory / "training.safetensors").exists() else []
        command = [sys.executable, "-c", self.child, *map(str, words)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
        )

    def ended(self) -> dict:
        """What it has learnt, and the files that it wrote, when nobody disturbs it any more."""
        out, err = self.start().communicate(timeout=300)
        learnt = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        assert len(learnt) == 1, err
        return learnt[0] | {path.name: path.read_bytes() for path in self.directory.iterdir()}

    def killed_by_itself(self, write: int, share: float, file: str = "training.safetensors") -> str:
        """Killed amid the writing of a file, by default the checkpoint: what was said before."""
        process = self.start(KILL=f"{file} {write}", SHARE=str(share))
        out, err = process.communicate(timeout=300)
        assert process.returncode == -9, err
        assert (self.directory / f"{file}.partial").exists()
        return out.strip()

    def killed_after(self, seconds: float, stepping: bool) -> str:
        """Killed some time after it began, or after its first step began: what was said before."""
        process = self.start()
        said = process.stdout.readline() if stepping else ""
        time.sleep(seconds)
        process.kill()
        rest, err = process.communicate(timeout=300)
        assert process.returncode == -9, err
        return (said + rest).strip()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """What a run learns that nobody disturbs, and how many seconds its process takes to begin and to step."""
    run, begun = Run(tmp_path_factory.mktemp("unbroken") / "run"), time.perf_counter()
    process = run.start()
    process.stdout.readline()
    to_begin, begun = time.perf_counter() - begun, time.perf_counter()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    files = {path.name: path.read_bytes() for path in run.directory.iterdir()}
    return json.loads(out.splitlines()[0]) | files, to_begin, (time.perf_counter() - begun) / STEPS


def test_a_run_that_is_killed_twenty_times_ends_as_an_unbroken_one(unbroken, tmp_path):
    wanted, to_begin, a_step = unbroken
    seed = int(os.environ.get("SEED", random.randrange(10**6)))
    chance, run = random.Random(seed), Run(tmp_path / "run")
    kinds = ["beginning"] * 4 + ["writing"] * 6 + ["stepping"] * (KILLS - 11)
    chance.shuffle(kinds)
    print(f"SEED={seed} draws the same kills, {to_begin:.1f} s to begin, {1000 * a_step:.0f} ms a step")
    for kind in kinds:
        if kind == "writing":
            write, share = chance.randint(1, 6), chance.random()  # the first is that of a fresh run
            said = run.killed_by_itself(write, share)
            print(f"killed in writing number {write}, at {share:.0%}: {said}")
        else:
            seconds = chance.uniform(0, to_begin if kind == "beginning" else 12 * a_step)
            said = run.killed_after(seconds, kind == "stepping")
            print(f"killed {kind}, after {seconds:.3f} s: {said}")
    run.killed_by_itself(1, chance.random(), "model.safetensors")  # when all steps are done
    found = run.ended()
    assert len(found["losses"]) == STEPS
    assert found == wanted


def test_a_resume_that_forgets_would_be_seen(unbroken, tmp_path):
    run = Run(tmp_path / "run", FORGETS)
    run.killed_by_itself(4, 0.5)
    found, wanted = run.ended(), unbroken[0]
    assert found["losses"][:5] == wanted["losses"][:5] and found["losses"] != wanted["losses"]
    assert found["weights"] != wanted["weights"]
