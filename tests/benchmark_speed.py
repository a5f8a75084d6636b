"""How fast the model is, beside transformers: `python tests/benchmark_speed.py [ROW ...] [--rounds N]` (not a test).

Both have the same weights and write the same greedy text, which is checked first. They run in turn, in an order that
alternates, so that whatever else the machine does meets both. A row says the ratio of the medians (above 1 is faster
than transformers), the ratios of single rounds (from the lower to the upper quartile), and how near ours comes to what
the machine can do: for a decoded token the bytes that must be read over the bandwidth of a plain copy, for many tokens
at once the multiplications over the rate of a large product of matrices. Where there is a GPU, its rows run on it.
"""

import argparse
import statistics
import time
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import torch
import transformers

from llama_tutorial import LlamaForCausalLM
from llama_tutorial.causal_lm import next_token_loss
from llama_tutorial.fast import faster, quick_products
from llama_tutorial.generation import stream

TINY = {
    "vocab_size": 2048, "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True,
}  # fmt: skip
SMALL = {}  # the 135M shape, which is LlamaConfig's own
ONE = {
    "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8, "tie_word_embeddings": True,
}  # fmt: skip
EIGHT = {**ONE, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "tie_word_embeddings": False}
F32, BF16 = torch.float32, torch.bfloat16



class Row(NamedTuple):
    """What is measured, with which shape, dtype and device; what it should reach; how ours and theirs are made fast."""

    kind: str
    shape: dict
    dtype: torch.dtype
    batch: int
    seq: int  # tokens of the prompt
    new: int  # tokens written
    device: str = "cpu"
    aim: float | None = None
    fast: dict | None = None  # the options of `faster`; of training, {} with quick products, or {"compile": True}
    theirs: str = ""  # "static": with a static cache, "compiled": and compiled


DECODE = Row("decode", TINY, F32, 1, 32, 128, aim=1.4)
SMALL_DECODE = Row("decode", SMALL, F32, 1, 32, 24, aim=1.03)
LONG = Row("decode", SMALL, BF16, 1, 1500, 16, aim=1.2)
BATCH = Row("decode", SMALL, BF16, 8, 512, 12, aim=2.5)
FIRST = Row("first", SMALL, F32, 1, 512, 1)
TRAIN = Row("train", TINY, F32, 16, 128, 0, aim=1.03)
LARGE = Row("decode", EIGHT, BF16, 1, 512, 64, "cuda")

ROWS = {
    # as the lessons have it
    "tiny-decode": DECODE,
    "tiny-first": DECODE._replace(kind="first", new=1, aim=1.15),
    "tiny-train": TRAIN,
    "135m-decode": SMALL_DECODE,
    "135m-decode-bf16": LONG,
    "135m-decode-bf16-batch": BATCH,
    "135m-prefill": Row("prefill", SMALL, F32, 1, 512, 0, aim=1.0),
    "135m-first": SMALL_DECODE._replace(kind="first", new=1, aim=1.15),
    "135m-train": Row("train", SMALL, F32, 1, 128, 0, aim=1.03),
    "135m-train-long": Row("train", SMALL, F32, 1, 512, 0),
    "8b-decode-bf16": LARGE,
    "1b-train-bf16": Row("train", ONE, BF16, 8, 1024, 0, "cuda"),
    # by lesson 15
    "tiny-decode-fast": DECODE._replace(fast={}, aim=1.7),
    "tiny-decode-compiled": DECODE._replace(fast={"compile": True}, aim=4),
    "tiny-decode-static": DECODE._replace(fast={}, aim=None, theirs="static"),
    "tiny-decode-compiled-both": DECODE._replace(fast={"compile": True}, aim=None, theirs="compiled"),
    "135m-decode-fast": SMALL_DECODE._replace(fast={}, aim=None),
    "135m-decode-compiled": SMALL_DECODE._replace(fast={"compile": True}, aim=None),
    "135m-decode-compiled-both": SMALL_DECODE._replace(fast={"compile": True}, aim=None, theirs="compiled"),
    "135m-decode-int8": SMALL_DECODE._replace(fast={"bits": 8}, aim=2.0),
    "135m-decode-int8-compiled": SMALL_DECODE._replace(fast={"bits": 8, "compile": True}, aim=2.6),
    "135m-decode-bf16-fast": LONG._replace(fast={}, aim=None),
    "135m-decode-bf16-int8": LONG._replace(fast={"bits": 8}, aim=None),
    "135m-decode-bf16-short-int8": LONG._replace(seq=32, new=24, fast={"bits": 8}, aim=2.0),
    "135m-decode-bf16-batch-fast": BATCH._replace(fast={}),
    "135m-decode-bf16-batch-int8": BATCH._replace(fast={"bits": 8}, aim=None),
    "135m-first-long": FIRST,
    "135m-first-long-fast": FIRST._replace(fast={}, aim=1.2),
    "135m-first-long-int8": FIRST._replace(fast={"bits": 8}),
    "tiny-train-fast": TRAIN._replace(fast={}, aim=1.15),
    "135m-train-fast": Row("train", SMALL, F32, 1, 128, 0, fast={}),
    "tiny-train-compiled": TRAIN._replace(fast={"compile": True}, aim=1.15),
    "tiny-train-compiled-both": TRAIN._replace(fast={"compile": True}, aim=None, theirs="compiled"),
    "8b-decode-bf16-compiled": LARGE._replace(fast={"compile": True}),
    "8b-decode-int8-compiled": LARGE._replace(fast={"compile": True, "bits": 8}),
}
TABLES = ("cos", "sin", "places")
SAYS = {
    "decode": "a decoded token", "first": "the first token",
    "prefill": "reading a prompt", "train": "loss and gradients",
}  # fmt: skip


# -------------------------------------------------------------------------------------------------------- the two


def the_two(shape, dtype, device):
    """Our model and transformers' with the same weights."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    with torch.device(device):
        ours = LlamaForCausalLM(shape)
        fields = {name: value for name, value in dict(ours.config).items() if not name.startswith("rope")}
        rope = {"rope_type": "default", "rope_theta": ours.config.rope_theta}
        ids = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
        theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**fields, **ids, rope_parameters=rope))
    torch.set_default_dtype(before)
    theirs.load_state_dict(ours.state_dict())
    theirs.generation_config.eos_token_id = None
    return ours.eval(), theirs.eval()


def settle(device):
    """Wait for a device that computes beside the processor."""
    if device == "cuda":
        torch.cuda.synchronize()


class Clock:
    """What transformers calls with every token it has written: keeps the times."""

    def __init__(self):
        self.times = []

    def put(self, ids):
        self.times.append(time.perf_counter())

    def end(self):
        pass


def written_by_ours(model, ids, new):
    """The times of the start and of every token, and the tokens."""
    times, tokens = [time.perf_counter()], []
    for chosen in stream(model, ids, new):
        tokens.append(chosen.cpu())  # as transformers gives its tokens to whoever reads along
        times.append(time.perf_counter())
    return times, torch.stack(tokens, dim=1)


def written_by_theirs(model, ids, new):
    """The same for transformers."""
    clock, start, mask = Clock(), time.perf_counter(), torch.ones_like(ids)
    how = {"max_new_tokens": new, "min_new_tokens": new, "do_sample": False, "attention_mask": mask}
    if hasattr(model, "kept_as"):
        how["cache_implementation"] = model.kept_as
    if len(ids) == 1:
        written = model.generate(ids, streamer=clock, **how)
        return [start, *clock.times[1:]], written[:, ids.shape[1] :].cpu()
    clock = Steps(clock)  # a streamer takes one row only
    written = model.generate(ids, stopping_criteria=[clock], **how)
    return [start, *clock.times], written[:, ids.shape[1] :].cpu()


class Steps(transformers.StoppingCriteria):
    """Never stops; is asked after every token, and keeps the times."""

    def __init__(self, clock):
        self.times = clock.times

    def __call__(self, ids, scores, **_):
        self.times.append(time.perf_counter())
        return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)


# ------------------------------------------------------------------------------------------------------ one measure


def made_fast(row, ours, theirs):
    """Both, made fast as the row says; training is compiled where it is timed."""
    if row.kind != "train":
        if row.theirs:
            theirs.kept_as = "static"
        if row.theirs == "compiled":
            theirs.forward = torch.compile(theirs.forward)
        if row.fast is not None:
            ours = faster(ours, **row.fast, max_length=row.seq + max(row.new, 16))
    return ours, theirs


def runs(kind, ours, theirs, ids, new, device, fast=None, compiled=False):
    """Two functions that each give the seconds of one measurement, ours and transformers'."""
    if kind in ("decode", "first"):
        same = written_by_ours(ours, ids, max(new, 16))[1], written_by_theirs(theirs, ids, max(new, 16))[1]
        share = (same[0] == same[1]).float().mean().item()
        kinds = {ours.lm_head.weight.dtype, theirs.lm_head.weight.dtype}
        if share < (1.0 if kinds == {F32} else 0.5 if len(kinds) == 1 else 0.0):  # int8 writes another text
            raise RuntimeError(f"the greedy texts differ: {share:.0%} of the tokens are equal")
        pick = (lambda times: times[1] - times[0]) if kind == "first" else (lambda times: mean_step(times))
        return (
            lambda: pick(written_by_ours(ours, ids, new)[0]),
            lambda: pick(written_by_theirs(theirs, ids, new)[0]),
        ), share
    if kind == "prefill":
        return (
            timed(lambda: ours(ids), device, torch.inference_mode()),
            timed(lambda: theirs(ids, use_cache=False), device, torch.inference_mode()),
        ), None
    ours.train(), theirs.train()
    fast and ours.compile(), compiled and theirs.compile()
    quick = quick_products() if fast == {} else nullcontext()

    def step(model, loss):
        """Forward, loss and backward; what an optimizer does is PyTorch's own, and the same for both."""
        model.zero_grad(set_to_none=True)
        loss().backward()

    return (
        timed(lambda: step(ours, lambda: next_token_loss(ours(ids), ids)), device, quick),
        timed(lambda: step(theirs, lambda: theirs(ids, labels=ids, use_cache=False).loss), device),
    ), None


def mean_step(times):
    """Seconds a token, from the second on."""
    return (times[-1] - times[1]) / (len(times) - 2)


def timed(run, device, mode=None):
    """A function that runs once and gives the seconds."""

    def once():
        settle(device)
        start = time.perf_counter()
        with mode or torch.enable_grad():
            run()
        settle(device)
        return time.perf_counter() - start

    return once


def measure(row, rounds):
    """The seconds of every round, ours and transformers', the share of equal tokens, ours' work, memory, compiling."""
    plain, theirs = the_two(row.shape, row.dtype, row.device)
    ids = torch.randint(plain.config.vocab_size, (row.batch, row.seq), device=row.device)
    amount, before = work(plain, row), weights_of(plain)
    ours, theirs = made_fast(row, plain, theirs)
    amount -= before - weights_of(ours) if row.kind == "decode" else 0
    two, share = runs(row.kind, ours, theirs, ids, row.new, row.device, row.fast, bool(row.theirs))
    seconds, peaks = ([], []), []
    for run in two:
        run()  # once to warm up
        peaks.append(peak_of(run))
    for number in range(rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            seconds[which].append(two[which]())
    memory = [(weights_of(model), peak) for model, peak in zip((ours, theirs), peaks)]
    return seconds, share, amount, memory, getattr(ours, "compile_seconds", 0.0)


def weights_of(model):
    """The bytes of a model's weights, each counted once; for a faster model not its tables of angles."""
    tensors = [*model.parameters(), *(each for name, each in model.named_buffers() if name not in TABLES)]
    return sum({each.data_ptr(): each.numel() * each.element_size() for each in tensors}.values())


def peak_of(run):
    """The most memory that one run adds, in bytes; None where the system does not tell."""
    if torch.cuda.is_available():
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated() - before
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = resident("VmRSS")
        run()
        return max(resident("VmHWM") - before, 0)
    except OSError:
        return None


def resident(what):
    """What the system says of this process's memory, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(what))


# ------------------------------------------------------------------------------------------------ the machine's limit


def work(model, row):
    """The bytes that a decoded token must read, or the floating-point operations of many tokens at once."""
    (kind, batch, seq, new), config = (row.kind, row.batch, row.seq, row.new), model.config
    element = next(model.parameters()).element_size()
    table = config.vocab_size * config.hidden_size
    weights = sum(weight.numel() for weight in model.parameters()) - (0 if config.tie_word_embeddings else table)
    if kind == "decode":
        kept = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
        return (weights + batch * (seq + new / 2) * kept) * element
    scores = config.num_hidden_layers * config.num_attention_heads * config.head_dim * seq / 2
    forward = 2 * batch * seq * (weights + 2 * scores)
    return 3 * forward if kind == "train" else forward


def fastest(run, device, rounds=7):
    """The least seconds of a few runs."""
    once = timed(run, device, torch.inference_mode())
    return min(once() for _ in range(rounds))


def limits(device, dtype):
    """Bytes a second of a plain copy, read and written, and floating-point operations a second of a large product."""
    large = torch.zeros((1 << 28) if device == "cuda" else (1 << 26), dtype=F32, device=device)
    target = torch.empty_like(large)
    bandwidth = 2 * large.numel() * 4 / fastest(lambda: target.copy_(large), device)
    n = 8192 if device == "cuda" else 1536
    a, b = torch.randn(n, n, dtype=dtype, device=device), torch.randn(n, n, dtype=dtype, device=device)
    return bandwidth, 2 * n**3 / fastest(lambda: a @ b, device)


def told(name, row, rounds):
    """One line of the table."""
    (ours, theirs), share, amount, memory, waited = measure(row, rounds)
    ratios = sorted(b / a for a, b in zip(ours, theirs))
    quarter = len(ratios) // 4
    median = statistics.median(ours)
    bandwidth, rate = limits(row.device, row.dtype)
    limit = amount / (bandwidth if row.kind == "decode" else rate)
    most = "a copy" if row.kind == "decode" else "a product"
    reached = "" if row.kind == "first" else f"{limit / median:.0%} of {most}"
    unit = f"{1e3 * median:.3g} ms / {1e3 * statistics.median(theirs):.3g} ms"
    equal = "" if share in (None, 1.0) else f" ({share:.0%} of the tokens equal)"
    compiling = f", {waited:.0f} s to compile" if waited else ""
    ratio = statistics.median(theirs) / median
    spread = f"{ratios[quarter]:.2f} … {ratios[-1 - quarter]:.2f}"
    aim = "" if row.aim is None else f"≥ {row.aim}"
    against = {"static": " against their static cache", "compiled": " against theirs compiled"}.get(row.theirs, "")
    size = f"{row.batch} × {row.seq}, {str(row.dtype).removeprefix('torch.')}, {row.device}"
    bytes_told = " / ".join(f"{weights / 1e6:.4g} + {(peak or 0) / 1e6:.3g}" for weights, peak in memory)
    return (f"| `{name}` | {SAYS[row.kind]}{against}{equal}{compiling} | {size} | {unit} | **{ratio:.2f}** | {spread} "
            f"| {aim} | {reached} | {bytes_told} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = [name for name, row in ROWS.items() if row.device == "cpu" or torch.cuda.is_available()]
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"some of {', '.join(ROWS)}; all that can run here")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    unknown = [name for name in asked.rows if name not in ROWS]
    if unknown:
        parser.error(f"there is no row {unknown[0]}: choose from {', '.join(ROWS)}")
    torch.set_num_threads(asked.threads)
    transformers.logging.set_verbosity_error()
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"PyTorch {torch.__version__}, transformers {transformers.__version__}, {asked.threads} threads, {where}\n")
    print("| row | what | batch × tokens | ours / theirs | ratio | quartiles | aim | of the machine | MB |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in asked.rows or here:
        print(told(name, ROWS[name], asked.rounds), flush=True)


if __name__ == "__main__":
    main()
