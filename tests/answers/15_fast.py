"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

import time
from statistics import fmean

import torch
import torch.nn.functional as F

from llama_tutorial.classroom.components import fast as known
from llama_tutorial.fast import beside, quantize

# These stand nowhere in the package.
TRANSFER = {
    "look_up": """def look_up(model, ids, new, n, guesses):
    text = ids[0].tolist()
    end = len(text) + new
    while len(text) < end:
        guess = []
        for place in range(len(text) - n - 1, -1, -1):
            if text[place : place + n] == text[-n:]:
                guess = text[place + n : place + n + guesses]
                break
        logits = model(torch.tensor([text + guess]))[0, len(text) - 1 :]
        for i, token in enumerate(logits.argmax(dim=-1).tolist()):
            text.append(token)
            if i < len(guess) and token != guess[i]:
                break
    return text[ids.shape[1] : end]""",
}


def of_columns(weight):
    scale = weight.float().abs().amax(0) / 127
    return (weight.float() / scale).round().to(torch.int8), scale


def cut_off(weight):
    scale = (weight.float().abs().amax(1) / 127).clamp(min=1e-30)
    return (weight.float() / scale[:, None]).to(torch.int8), scale


def zero_over_zero(weight):
    largest = weight.float().abs().max(dim=1).values
    return torch.round(weight.float() * 127 / largest[:, None]).to(torch.int8), largest / 127


def not_the_size(weight):
    scale = (weight.float().max(dim=1).values / 127).clamp(min=torch.finfo(torch.float32).tiny)
    return torch.round(weight.float() / scale[:, None]).to(torch.int8), scale


def with_the_axis(weight):
    numbers, scale = quantize(weight)
    return numbers, scale[:, None]


def one_for_all(weight):
    scale = weight.abs().max() / 127
    return (weight / scale).round().to(torch.int8), scale


def in_two_bytes(weight):
    scale = (weight.abs().amax(1) / 127).clamp(min=torch.finfo(weight.dtype).tiny)
    return (weight / scale[:, None]).round().to(torch.int8), scale


def unsigned(weight):
    numbers, scale = quantize(weight)
    return (numbers + 128).to(torch.uint8), scale


def fused_by(join, view=lambda part, whole: whole, bias=True):
    """A function that fuses layers by `join`, each of which keeps what `view` makes of its rows."""

    def fuse(linears):
        with torch.no_grad():
            joined = []
            for name in ("weight", "bias"):
                parts = [getattr(linear, name) for linear in linears]
                if parts[0] is None or (name == "bias" and not bias):
                    joined.append(None)
                    continue
                joined.append(join(parts))
                start = 0
                for part in parts:
                    part.data = view(part.data, joined[-1][start : start + len(part)])
                    start += len(part)
            return tuple(joined)

    return fuse


def side_by_side(linears):
    with torch.no_grad():
        return torch.cat([linear.weight for linear in linears], dim=1), None


def in_thirds(linears):
    found = []
    with torch.no_grad():
        for name in ("weight", "bias"):
            parts = [getattr(linear, name) for linear in linears]
            found.append(None if parts[0] is None else beside(parts))
            for part, view in zip(parts, [] if found[-1] is None else found[-1].chunk(len(parts))):
                part.data = view
    return tuple(found)


def from_the_top(linears):
    joined = quiet(linears)
    for linear in linears:
        linear.weight.data = joined[0][: linear.out_features]
        if joined[1] is not None:
            linear.bias.data = joined[1][: linear.out_features]
    return joined


def quiet(linears):
    bias = None if linears[0].bias is None else beside([linear.bias for linear in linears])
    return beside([linear.weight for linear in linears]), bias


def in_zeros_and_ones(heard):
    q, keys, values = torch.randn(2, 1, 4), torch.randn(2, 8, 4), torch.randn(2, 8, 4)
    fresh = [each.clone() for each in (keys, values)]
    for each in fresh:
        each[:, 5:] = 0
    return not torch.allclose(heard(q, keys, values, 3), heard(q, *fresh, 3))


def everything_else(heard):
    q, at = torch.randn(2, 1, 4), 3
    stores = torch.randn(2, 2, 2, 8, 4)
    return not torch.allclose(heard(q, *stores[0], at), heard(q, *stores[1], at))


def only_zeros(heard):
    q, keys, values = torch.randn(2, 1, 4), torch.zeros(2, 8, 4), torch.zeros(2, 8, 4)
    keys[:, :4], values[:, :4] = torch.randn(2, 4, 4), torch.randn(2, 4, 4)
    return not torch.allclose(heard(q, keys, values, 3), known.right(q, keys, values, 3))


def heads_for_places(q, keys, values, at):
    return F.scaled_dot_product_attention(q, keys[: at + 1], values[: at + 1])


def wiped(q, keys, values, at):
    keys = keys.clone()
    keys[:, at + 1 :] = 0
    return F.scaled_dot_product_attention(q, keys, values)


def by_its_own_clock(old, new, clock):
    start = time.perf_counter()
    old()
    middle = time.perf_counter()
    new()
    return (middle - start) / (time.perf_counter() - middle)


def without_a_first(ratio):
    now = [0.0]

    def step(takes):
        return lambda: now.append(now.pop() + takes)

    return abs(ratio(step(4), step(1), lambda: now[0]) - 4) > 0.1


def against_one(ratio):
    machine = known.Machine(first=10)
    return ratio(machine.old, machine.new, machine.clock) != 1


def slip(name):
    """A way to look guesses up that makes this mistake."""
    return lambda *given: known.guessed(*given, name)


def only_agreeing(model, ids, new, n, guesses):
    text, start = ids[0].tolist(), ids.shape[1]
    while len(text) < start + new:
        guess = (known.last_match(text, n) or [])[:guesses]
        chosen = model(torch.tensor([text + guess]))[0, len(text) - 1 :].argmax(-1).tolist()
        while guess and guess[0] == chosen[0]:
            text.append(guess.pop(0))
            chosen.pop(0)
    return text[start : start + new]


def plain(model, ids, new, n, guesses):
    return model.generate(ids, max_new_tokens=new)[0, ids.shape[1] :].tolist()


def with_the_prompt(model, ids, new, n, guesses):
    return ids[0].tolist() + known.guessed(model, ids, new, n, guesses)


def too_long(model, ids, new, n, guesses):
    return known.guessed(model, ids, new + 2, n, guesses)


WRONG = [
    ("read_gb", 2.2, "of that table one row is read"),
    ("read_gb", 2.245, "of that table one row is read"),
    ("read_gb", 2.069, "the cache is missing"),
    ("read_gb", 2.4294, "not for the 32 that ask"),
    ("read_gb", 2.0916, "values are read as well"),
    ("read_gb", 4.2282, "bfloat16 takes two"),
    ("read_gb", 16.9126, "a byte has eight"),
    ("read_gb", 1.9689, "2³⁰"),
    ("read_gb", 2114, "that is MB"),
    ("ms_at_least", 41.38, "the cache is missing"),
    ("ms_at_least", 44.9, "of that table one row is read"),
    ("ms_at_least", 0.04228, "that is seconds"),
    ("ms_at_least", 23.65, "tokens come in a second"),
    ("ms_at_least", 338.25, "eight"),
    ("fuse_linears", side_by_side, "side by side"),
    ("fuse_linears", fused_by(torch.cat, lambda part, rows: part), "weights of their own"),
    ("fuse_linears", fused_by(torch.cat), "stays in memory too"),
    ("fuse_linears", fused_by(lambda parts: torch.cat(parts[::-1])), "The last layer stands first"),
    ("fuse_linears", fused_by(beside, bias=False), "The biases are gone"),
    ("fuse_linears", from_the_top, "those of the first one"),
    ("fuse_linears", in_thirds, "equal parts"),
    ("mended_heard", known.what_is_not_zero, "Ask for places"),
    ("mended_heard", known.all_of_it, "e⁰ is 1"),
    ("mended_heard", known.masked(lambda place, at: place < at), "does not hear itself"),
    ("mended_heard", known.masked(lambda place, at: place <= at + 1), "one place too far"),
    ("mended_heard", known.first_row, "place 0 alone"),
    ("mended_heard", heads_for_places, "the first axis is cut"),
    ("mended_heard", wiped, "a key of zeros is still heard"),
    ("hears_old_text", in_zeros_and_ones, "right behind the token"),
    ("hears_old_text", everything_else, "differ only behind place"),
    ("hears_old_text", only_zeros, "nothing but zeros"),
    ("hears_old_text", lambda heard: False, "never calls"),
    ("quantize", of_columns, "columns"),
    ("quantize", cut_off, "cut off"),
    ("quantize", zero_over_zero, "0/0 is NaN"),
    ("quantize", not_the_size, "not the largest size"),
    ("quantize", one_for_all, "a single number"),
    ("quantize", with_the_axis, "(out, 1)"),
    ("quantize", in_two_bytes, "dtype of the weight"),
    ("quantize", unsigned, "int8 is asked for"),
    ("tiny_wants", "int8", "saves bytes"),
    ("tiny_wants", "fuse", "the one that saves more"),
    ("tiny_wants", "cache", "none of the three"),
    ("large_wants", "compile", "saves launches, and they are 10%"),
    ("int8_times", 4, "as many as before"),
    ("int8_times", 4.43, "missing from the new step"),
    ("int8_times", 0.323, "its inverse"),
    ("int8_times", 1.0735, "what compile does"),
    ("int8_times", 3.947, "one layer"),
    ("int8_times", 2.794, "missing from the old step"),
    ("int8_times", 1.2914, "saves a quarter"),
    ("mended_ratio", known.as_given, "call both once before"),
    ("mended_ratio", known.stopwatch(True, True, fmean), "the median"),
    ("mended_ratio", known.stopwatch(True, False), "in turns"),
    ("mended_ratio", lambda old, new, clock: 1 / known.stopwatch(True, True)(old, new, clock), "upside down"),
    ("mended_ratio", lambda old, new, clock: 4.0, "calls neither"),
    ("mended_ratio", by_its_own_clock, "never looks at the clock"),
    ("misled_by_first", lambda ratio: True, "never calls"),
    ("misled_by_first", without_a_first, "Does the first call of your step take long"),
    ("misled_by_first", against_one, "Compare with that"),
    ("look_up", plain, "No guess is ever kept"),
    ("look_up", slip("itself"), "Does the end of the text find itself"),
    ("look_up", slip("disagreeing"), "does not agree with is kept"),
    ("look_up", slip("unchecked"), "without a look"),
    ("look_up", slip("shifted"), "one place too late"),
    ("look_up", slip("late"), "said one place before"),
    ("look_up", slip("anywhere"), "wherever they stand"),
    ("look_up", slip("no_bonus"), "you throw that away"),
    ("look_up", slip("prompt"), "in the prompt alone"),
    ("look_up", slip("first"), "The last one before the end"),
    ("look_up", slip("one"), "one guess a call"),
    ("look_up", slip("all_or_nothing"), "all guesses or none"),
    ("look_up", slip("last"), "not its token after all guesses"),
    ("look_up", known.not_rolled_back, "set its length back"),
    ("look_up", only_agreeing, "must still be added"),
    ("look_up", with_the_prompt, "the prompt comes back"),
    ("look_up", too_long, "cut what a last pass gives"),
]
