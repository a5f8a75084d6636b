"""A model made faster for the command line, with a line that says what was done and how long it took."""

import sys
import time
import warnings

ROOM = 1024  # tokens for which there is room at the beginning of a chat


class Quick:
    """A model and how it is made faster; `for_tokens` gives one with room for so many."""

    def __init__(self, model, bits: int | None = None):
        self.model, self.bits, self.quick = model, bits, None
        self.lm_head = model.lm_head

    def for_tokens(self, tokens: int):
        """The faster model, made anew where a text has outgrown its room, and twice as large then."""
        if self.quick is None or tokens > self.quick.max_length:
            self.quick = self.made(max(tokens, ROOM) if self.quick is None else 2 * tokens)
        return self.quick

    def made(self, room):
        from ..fast import LARGE, faster

        config, on_gpu = self.model.config, self.model.lm_head.weight.is_cuda
        small = config.hidden_size * config.intermediate_size < LARGE  # where launches take longer than products
        compile = "layers" if on_gpu else small
        layers = "a layer" if on_gpu else f"one step of {config.num_hidden_layers} layers"
        what = f"compiling {layers}" if compile else "not compiled, for its weights are large: fusing its products"
        what += ", with weights of 8 bits" if self.bits else ""
        tell(f"--fast: {what} …", end="")
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", UserWarning)
            quick = faster(self.model, compile=compile, bits=self.bits, max_length=room)
        tell(f" {time.perf_counter() - start:.1f} s")
        for warning in told:
            if "compiled" in str(warning.message):
                tell(f"--fast: {warning.message}")
        return quick


def tell(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)
