"""The steps of a run: how many fit into some minutes, and the loop that takes them and keeps checkpoints."""

import time
from copy import deepcopy
from pathlib import Path

from ..doors import check_number
from ..published.saving import signals_wait
from ..training import Trainer
from .checkpoints import save_checkpoint


def steps_within(minutes: float, trainer: Trainer, tries: int = 5) -> int:
    """How many steps fit into some minutes on this machine, from the median time of a few on a copy."""
    check_number("minutes", minutes)
    copy = Trainer(deepcopy(trainer.model), trainer.sources, trainer.recipe)
    seconds = []
    for _ in range(tries + 1):
        start = time.perf_counter()
        copy.advance()
        seconds.append(time.perf_counter() - start)
    return max(1, int(minutes * 60 / sorted(seconds[1:])[tries // 2]))


def run_to_end(trainer: Trainer, checkpoint: str | Path | None = None, every: int = 100, watch=None, progress=None):
    """Take all steps that are left, with a checkpoint every so many; returns the trainer.

    `watch(trainer)` is called at the start and after every step. `progress` is the stream (`sys.stdout` in a
    notebook) for a bar with tokens per second and the time that is left; None draws none. Ctrl-C is heard at the end
    of a step, which is then in the checkpoint; a second Ctrl-C is heard at once.
    """
    from tqdm import tqdm

    last, tokens = trainer.recipe.steps, trainer.recipe.batch * trainer.recipe.context
    watch = watch or (lambda trainer: None)
    total, done = last * tokens, trainer.step * tokens
    bar = tqdm(total=total, initial=done, unit=" tokens", unit_scale=True, file=progress, disable=progress is None)
    watch(trainer)
    with bar:
        while trainer.step < last:  # a second time only where something else than KeyboardInterrupt came of a signal
            with signals_wait() as stopped:
                while trainer.step < last and not stopped:
                    loss = trainer.advance()
                    bar.set_description(f"step {trainer.step:,} of {last:,}, loss {loss:.2f}", refresh=False)
                    bar.update(tokens)
                    if checkpoint and (trainer.step % every == 0 or trainer.step == last):
                        save_checkpoint(trainer, checkpoint)
                    watch(trainer)
                if checkpoint and stopped:
                    save_checkpoint(trainer, checkpoint)
    return trainer
