"""A model trained into a directory: train."""

import sys
from functools import partial

from ..terminal import PROGRAM


def train_model(files, minutes, steps, out, seed, resume) -> None:
    """Train into a directory, with a progress bar, and say how well the model does on text held out."""
    if minutes is not None and steps is not None:
        raise ValueError("--minutes and --steps both say how long: give one of them")
    from ..runs.directory import train_directory
    from ..runs.texts import text_of_files
    from ..training import Recipe

    given = {name: value for name, value in {"steps": steps, "seed": seed}.items() if value is not None}
    Recipe(**given)  # a wrong number is told before anything is made
    try:
        text = partial(text_of_files, files) if files else None  # read when the directory is this run's alone
        report = train_directory(out, text, given, minutes=minutes, progress=sys.stderr, resume=resume)
    except KeyboardInterrupt:
        print(f"\n{PROGRAM}: {what_is_kept(out)}", file=sys.stderr)
        raise
    print(f"{report['held_out_bits_per_byte']:.3f} bits per byte on text held out; the model is in {out}")
    print(f'try: {PROGRAM} generate "…" --model {out}')


def what_is_kept(out) -> str:
    """What a run leaves behind that Ctrl-C has stopped."""
    from ..runs.checkpoints import kept_run

    if (out / "training.json").exists():
        return f"stopped, but the model in {out} is whole"
    if not (out / "training.safetensors").exists():
        return "stopped before the first step: nothing is kept"
    run = kept_run(out / "training.safetensors")
    done, steps = len(run["losses"]), run["recipe"].steps
    return f"stopped at step {done:,} of {steps:,}, which is kept: the same command with --resume goes on"
