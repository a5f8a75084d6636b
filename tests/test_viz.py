"""Figures: words stay inside, numbers are the tensors', and a notebook gets them with a description."""

import math
import re
import subprocess
import sys
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle, Wedge
from matplotlib.text import Text

from llama_tutorial import viz
from llama_tutorial.viz import canvas as new_canvas
from llama_tutorial.viz.kit.canvas import (
    GREY,
    HUES,
    Scale,
    dark,
    on,
    plain_text,
    printable,
    probability,
    signed,
    tint,
)
from llama_tutorial.viz.kit.cards import CARD, LIMIT, Picture, pixels

WORDS = "The dog chased its tail until it fell asleep in the warm sun".split()


def inv_freq(dim=64, theta=10000.0):
    return 1 / theta ** (torch.arange(0, dim, 2).float() / dim)


def attention(*shape, causal=True):
    scores = 2 * torch.randn(shape, generator=torch.Generator().manual_seed(7))
    hidden = torch.ones(shape[-2:]).triu(1 + shape[-1] - shape[-2]).bool() & causal
    return scores.masked_fill(hidden, -math.inf).softmax(-1)


def rotation(seq, dim=64):
    angles = torch.arange(seq).float()[:, None] * inv_freq(dim)
    return angles.cos(), angles.sin()


def unit():
    x = torch.tensor([(-2, -2), (2, 2), (1, -1), (-2, 2), (2, -2)]).float()
    return x, torch.tensor([1, 0.5]), torch.tensor([-0.5, 1])


def vocabulary(size, spread=2.0):
    return spread * torch.randn(size, generator=torch.Generator().manual_seed(7)), [f" w{i}" for i in range(size)]


def after_a_prompt(steps, prompt):
    step, position = torch.arange(steps)[:, None], torch.arange(prompt + steps - 1)
    here = position < prompt + step
    return here, here & ((position >= prompt + step - 1) | (step == 0))


def a_stack(layers, size=0.3):
    torch.manual_seed(7)
    return torch.randn(1, 5, 7), *(size * torch.randn(2, layers, 1, 5, 7)).unbind()


def shapes(hidden=576, inner=1536, layers=30, kv=192, vocab=49152, tied=True):
    with torch.device("meta"):
        weights = {"embed_tokens": (vocab, hidden), "norm": (hidden,)} | ({} if tied else {"lm_head": (vocab, hidden)})
        for i in range(layers):
            sizes = {"q": (hidden, hidden), "k": (kv, hidden), "v": (kv, hidden), "o": (hidden, hidden)}
            weights |= {f"layers.{i}.self_attn.{name}_proj": size for name, size in sizes.items()}
            sizes = {"gate": (inner, hidden), "up": (inner, hidden), "down": (hidden, inner)}
            weights |= {f"layers.{i}.mlp.{name}_proj": size for name, size in sizes.items()}
            weights |= {f"layers.{i}.{name}_layernorm": (hidden,) for name in ("input", "post_attention")}
        return {f"model.{name}.weight": torch.empty(size) for name, size in weights.items()}


SAID = "The dog chased its tail and he fell asleep .".split()
CHANCE = torch.tensor([0.997, 0.08, 0.17, 0.99, 0.14, 0.3, 0.0014, 0.19, 0.996, 1.0])
SHIFTS = {"once": (1, 0.88, "The queen lost her"), "not": (0, 0.0, "The queen queen"), "twice": (2, 1.0, "The ran")}


def some_slow(speeds):
    return torch.where(torch.arange(len(speeds)) > 17, speeds / 8, speeds)


def eased(speeds, kept):
    """Speeds of which the first are kept, those after 18 slowed by 8, and those between by less."""
    slower = (torch.arange(len(speeds)) - kept + 1).clamp(0) / (19 - kept)
    return speeds / 8 ** slower.clamp(max=1)


WRITTEN = {0: ["\ufffdN\x03 implem\nent.__typecal"], 25: [" Thestr implement:cal. withysoable by neII a with"],
           150: [" The *i* is used as a slice the", " by the foo"], 880: [" compiledution ordering with the following"]}


def normed(x, gain=(1.5, 0.5)):
    x = torch.tensor(x).float()
    unit = x / x.square().mean(-1, keepdim=True).sqrt()
    return x, unit, unit * torch.tensor(gain)


def topics(start, end):
    """Topics of 200 letters each, no two alike."""
    draw = [torch.randint(97, 123, (200,), generator=torch.Generator().manual_seed(seed)) for seed in range(start, end)]
    return {f"topic {start + i}": "".join(map(chr, letters)) for i, letters in enumerate(draw)}


SPLIT = torch.arange(30).reshape(1, 5, 3, 2).transpose(1, 2)
MOVED = {"x": torch.arange(8) - 3.0, "10 · x": 10 * torch.arange(8) - 30.0, "x + 5": torch.arange(8) + 2.0}
LLAMA = {"vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "head_dim": 64,
         "num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True}
VALUES = torch.tensor([(0, 1), (3, 1), (2, 2), (0, 2), (1, 3)]).float()
LEAK = {"no mask": [0, 0, 0.0004, 3.454, 15.06, 2.2, 0, 0], "a mask": [0, 0, 0, 0, 0, 5.04, 0.002, 0]}
ONE, TWO = [[0.5, 0, 0.5, 0]], [[0.96, 0.02, 0.01, 0.01], [0.02, 0.02, 0.94, 0.02]]
CHASED = {"dog chased cat because": [(ONE, [1.5, 1.5]), (TWO, [0.98, 1.90])],
          "cat chased dog because": [(ONE, [1.5, 1.5]), (TWO, [1.93, 0.98])]}
LARGE = {"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}


def fillings(query, count=5):
    """A row of scores after each of three ways to forbid, and its weights."""
    scores, later = torch.linspace(2, -1, count), torch.arange(count) > query
    with_0, with_inf = (scores.masked_fill(later, fill) for fill in (0, -math.inf))
    return {"fill with 0": (with_0, with_0.softmax(0)), "0 after the softmax": (scores, scores.softmax(0) * ~later),
            "fill with −∞": (with_inf, with_inf.softmax(0))}


def random_scores(*dims):
    draw = torch.Generator().manual_seed(7)
    return {dim: (torch.randn(200, dim, generator=draw)[:, None] * torch.randn(200, 16, dim, generator=draw)).sum(-1)
            for dim in dims}


PLACES = [(3, 0), (10, 7), (103, 100)]


def clock_hands(places=PLACES, a_turn=15):
    angles = 2 * math.pi * torch.tensor(places) / a_turn
    return torch.stack([angles.cos(), angles.sin()], dim=-1)


def with_index(places=PLACES):
    return torch.tensor([[[1.0 + m, m], [1.0 + n, n]] for m, n in places])


def llama3(theta=5e5, low=1, high=4, factor=8, trained=8192):
    speeds = inv_freq(theta=theta)
    keep = ((trained * speeds / (2 * math.pi) - low) / (high - low)).clamp(0, 1)
    return (1 - keep) * speeds / factor + keep * speeds


HEARD, ORDER = torch.tensor([[1.0, 2], [3, 4], [5, 6], [7, 8], [9, 10]]), [0, 4, 2, 3, 1]
WRONG_PAIRS = {0: 0.0, 1: 0.36, 10: 1.03, 100: 1.18}
def an_mlp(units=11):
    """Five words, six numbers wide, and the three matrices of an MLP."""
    draw = torch.Generator().manual_seed(285)
    x, gate, up, down = (torch.randn(*shape, generator=draw) for shape in ((5, 6), (units, 6), (units, 6), (6, units)))
    return x, gate / 2, up / 2, down


def some_planes(count=31):
    along = torch.linspace(-3, 3, count)
    a, b = torch.meshgrid(along, along, indexing="ij")
    return {"two linear layers": a - b, "one gated unit": torch.nn.functional.silu(2 * a) * b, "product": a * b}


SCALED = {"linear": inv_freq(theta=5e5) / 8, "llama3": llama3()}


def held(**shapes):
    """The header of a file of float16 tensors, each behind the one before."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name.replace("__", ".")] = {"dtype": "F16", "shape": [*shape], "data_offsets": [start, end]}
    return header


LAYER = {"input_layernorm": (576,), "mlp__down_proj": (576, 1536), "mlp__up_proj": (1536, 576),
         "self_attn__q_proj": (576, 576), "self_attn__k_proj": (192, 576)}
FILE = {"lm_head__weight": (9999, 576), "model__embed_tokens__weight": (9999, 576),
        **{f"model__layers__{i}__{name}__weight": shape for i in range(9) for name, shape in LAYER.items()}}


ASKED = {
    "right": (0.891, 0.869, 0.891, "The queen found her key and she went home", True),
    "unshifted": (0.004, 0.0, 9.445, "The queen queen queen queen queen queen queen queen queen", False),
    "backwards": (0.005, 0.0, 10.893, "The queen The . sing to began it and", False),
    "shifted twice": (1.039, 1.027, 9.388, "The queen her and felt . witch her and", False),
    "targets (seq batch)": (3.600, 3.595, 3.581, "The queen The The The The The The The", False),
    "softmax first": (3.292, 2.865, 2.055, "The queen found her tail and she went home", True),
    "softmax over seq": (0.817, None, 1.020, "The queen chased her hat while she began to", True),
}


def a_film(first, steps):
    """What `film_strip` draws: words, weights of each step, candidates."""
    weights = [attention(first + i, first + i)[-1] for i in range(steps)]
    return WORDS[: first + steps - 1], weights, [[(WORDS[i], 0.4), ("cat", 0.3), (" for", 0.1)] for i in range(steps)]


def calm(length, size, repeats=True):
    """What `surprise_along` draws of a text: surprises, smaller where it repeats itself."""
    drawn = -torch.rand(length, generator=torch.Generator().manual_seed(length)).log() * size
    said = (torch.arange(length) > length // 2) & repeats
    return torch.where(said, drawn / 9, drawn), said


NAMED = [[("all alike", 0.99)] * 4, [("mixed", 0.0)] * 2 + [("previous", 0.4), ("line end", 0.3)],
         [("previous", 0.7)] + [("mixed", 0.0)] * 3, [("mixed", 0.0)] * 4, [("induction", 0.2)] * 4]  # fmt: skip
EARLY = [" the file is open".split(), "of is is .".split(), "file is not .".split()]


FIGURES = {
    "checkpoint_file": lambda: viz.checkpoint_file(held(**FILE), 5000),
    "checkpoint_file, one tensor": lambda: viz.checkpoint_file(held(model__norm__weight=(7,)), 90),
    "gaps_by_token": lambda: viz.gaps_by_token(
        SAID[:5], {"wrong pairing": [0, 0.04, 0.07, 0.09, 0.12], "theta 500,000": [0, 0.004, 0.013, 0.016, 0.02],
                   "eps 1e-6": [5e-5, 5e-5, 6e-5, 6e-5, 5e-5], "gate and up exchanged": [0.25, 0.3, 0.47, 0.3, 0.4]},
        [2e-7] * 5),
    "sorted_values": lambda: viz.sorted_values([3, 4, -1, 2, 0.5, -2], [3, -1, 0.5, 4, 2, -2]),
    "dials": lambda: viz.dials(inv_freq()),
    "dials, few": lambda: viz.dials(inv_freq(dim=10), positions=(0, 3), pairs=3),
    "dials, far": lambda: viz.dials(inv_freq(theta=5e6), positions=(0, 1, 10, 100, 1000, 10000)),
    "wavelengths": lambda: viz.wavelengths(inv_freq(theta=5e5), {
        "linear, by 8": inv_freq(theta=5e5) / 8, "llama3, by 8": some_slow(inv_freq(theta=5e5))}),
    "wavelengths, eased": lambda: viz.wavelengths(inv_freq(theta=5e5), {
        "llama3": eased(inv_freq(theta=5e5), 15), "yarn": eased(inv_freq(theta=5e5), 10)}),
    "wavelengths, base": lambda: viz.wavelengths(inv_freq(), {"base × 50": inv_freq(theta=5e5)}, 2048, 4),
    "two_hands": lambda: viz.two_hands(inv_freq()),
    "two_hands, few": lambda: viz.two_hands(inv_freq(dim=10), apart=((3, 0), (1000, 997), (5, 2)), pairs=3),
    "distance_only": lambda: viz.distance_only(PLACES, clock_hands(), with_index()),
    "distance_only, one": lambda: viz.distance_only([(9, 2)], clock_hands([(9, 2)]), with_index([(9, 2)])),
    "any_two_hands": lambda: viz.any_two_hands(torch.tensor([1.0, 1]), torch.tensor([0.0, 2]), 2 * math.pi / 15),
    "shuffled": lambda: viz.shuffled(WORDS[:5], ORDER, HEARD, HEARD[ORDER]),
    "shuffled, other": lambda: viz.shuffled(WORDS[:3], [2, 1, 0], HEARD[:3], 1 - HEARD[:3]),
    "two_pairings": lambda: viz.two_pairings(WRONG_PAIRS, 10 * inv_freq(dim=8)),
    "two_pairings, few": lambda: viz.two_pairings({0: 0, 7: 0.5}, torch.tensor([1.0, 0.5])),
    "bases": lambda: viz.bases({10_000: inv_freq(), 500_000: inv_freq(theta=5e5)}, {10_000: 2048, 500_000: 8192}),
    "bases, near": lambda: viz.bases({1000: inv_freq(8, 1000), 2000: inv_freq(8, 2000)}, {1000: 64, 2000: 64}),
    "beyond_training": lambda: viz.beyond_training(inv_freq(theta=5e5), SCALED),
    "beyond_training, one": lambda: viz.beyond_training(inv_freq(), {"linear": inv_freq() / 4}, 2048, 4, pairs=3),
    "frequencies": lambda: viz.frequencies(*rotation(128)),
    "frequencies, few": lambda: viz.frequencies(*rotation(23, dim=10), position=5),
    "inside_heads": lambda: viz.inside_heads(attention(5, 4, 20, 20), NAMED),
    "score_and_cost": lambda: viz.score_and_cost(NAMED, torch.linspace(0.49, -0.03, 20).view(5, 4) ** 2),
    "inside_lens": lambda: viz.inside_lens(EARLY[0], EARLY, attention(3, 4, 4)[:, -1],
                                           [[0.98, 0], [0.4, 0.1], [0, 0.3]]),
    "dials_by_use": lambda: viz.dials_by_use(10000 ** -(torch.arange(16) / 16), {"all heads": torch.arange(1, 17) / 136,
        "2.2": torch.arange(16, 0, -1) / 136}, {"not turned": torch.arange(16, 0, -1) / 100, "taken": torch.ones(16)}),
    "inside_induction": lambda: viz.inside_induction(range(101), torch.full((101,), 4.2), 4 / (1 + torch.arange(101.0)),
        {step: (attention(1, 16, 16)[0], step / 100) for step in (0, 40, 70, 100)}, torch.arange(8.0).view(2, 4) / 9,
        0.1, (["0.1", "0.2"], 4.7), 4.16, "1.2"),
    "patched": lambda: viz.patched(["The", " open", " list", " is"], torch.eye(4).flip(0) * 0.7, torch.eye(3, 4) * 0.4,
        (2, " file"), " file"),
    "attention_map": lambda: viz.attention_map(attention(5, 5), WORDS[:5]),
    "attention_map, 13": lambda: viz.attention_map(attention(13, 13), [f" {word}" for word in WORDS]),
    "attention_map, 52": lambda: viz.attention_map(attention(52, 52), WORDS * 4),
    "attention_map, all": lambda: viz.attention_map(attention(5, 5, causal=False), WORDS[:5], "Unmasked"),
    "attention_map, one query": lambda: viz.attention_map(attention(1, 7), WORDS[:7]),
    "attention_map, heads": lambda: viz.attention_map(attention(9, 13, 13), WORDS),
    "attention_map, many": lambda: viz.attention_map(attention(8, 39, 39), WORDS * 3),
    "attention_map, heads, all": lambda: viz.attention_map(attention(3, 5, 7, causal=False), WORDS[:7]),
    "ropes": lambda: viz.ropes(attention(5, 5), WORDS[:5], highlight=3),
    "ropes, one": lambda: viz.ropes(torch.ones(1, 1), ["dog"]),
    "one_query": lambda: viz.one_query(attention(5, 5)[3], VALUES, WORDS[:5], query=3),
    "one_query, last": lambda: viz.one_query([0.3, 0.7], [[2.5], [0]], ["a", "b"]),
    "one_head_or_two": lambda: viz.one_head_or_two(CHASED, {"dog": 1, "cat": 2}),
    "leak": lambda: viz.leak(LEAK, WORDS[:8], 5, "because"),
    "leak, both": lambda: viz.leak({"one": [0.004, 3, 1], "two": [0.0002, 2, 5]}, WORDS[:3], 2, "x"),
    "fills": lambda: viz.fills(fillings(1), WORDS[:5], 1),
    "fills, eight": lambda: viz.fills(fillings(3, 8), WORDS[:8], 3),
    "root_dim": lambda: viz.root_dim(random_scores(4, 64, 1024)),
    "root_dim, one": lambda: viz.root_dim(random_scores(7)),
    "shelves": lambda: viz.shelves({"135M": LLAMA, "8B": LARGE}),
    "shelves, even": lambda: viz.shelves(
        {"tiny": LLAMA | {"num_attention_heads": 4, "num_key_value_heads": 2}}, tokens=100, bytes_each=4),
    "done_again": lambda: viz.done_again(attention(100, 100)[:99, :99], attention(100, 100)),
    "done_again, three": lambda: viz.done_again(attention(3, 3)[:2, :2], attention(3, 3)),
    "residual_road": lambda: viz.residual_road(*a_stack(6)),
    "read_early": lambda: viz.read_early(["Vqx u", "liqt ", "liat "], "liat ", [0.02, 0.6, 1.0]),
    "residual_road, one layer": lambda: viz.residual_road(*a_stack(1, size=3.0)),
    "model_area": lambda: viz.model_area({
        "135M": shapes(), "1B": shapes(2048, 8192, 16, 512, 128256),
        "8B": shapes(4096, 14336, 32, 1024, 128256, tied=False)}),
    "model_area, untied": lambda: viz.model_area({"8B": shapes(4096, 14336, 32, 1024, 128256, tied=False)}),
    "model_area, tiny": lambda: viz.model_area({"tiny": shapes(48, 128, 4, 16, 64)}, opened=1),
    "staircase": lambda: viz.staircase(
        ("GPT-2", "RMSNorm", "rotary", "SwiGLU", "grouped heads", "no biases"),
        (2.631, 2.633, 2.297, 2.277, 2.308, 2.429),
        (0.002, -0.337, -0.019, 0.031, 0.121),
        (0.007, 0.016, 0.010, 0.019, 0.033),
    ),
    "loss_hung": lambda: viz.loss_hung(SAID, CHANCE, 46, SHIFTS),
    "loss_hung, good": lambda: viz.loss_hung(SAID[:7], CHANCE[:7].clip(0.2), 50257, {"once": SHIFTS["once"]}),
    "seven_ways": lambda: viz.seven_ways(ASKED, 0.869),
    "cache_times": lambda: viz.cache_times([1, 250, 500, 1000], [0.9, 8.6, 17.6, 34.7], [1.0, 1.1, 1.2, 1.4]),
    "cache_times, close": lambda: viz.cache_times([2, 9, 30], [100, 180, 250], [90, 130, 200]),
    "film_strip": lambda: viz.film_strip(*a_film(8, 4)),
    "film_strip, two": lambda: viz.film_strip(*a_film(1, 2)),
    "padded_rows": lambda: viz.padded_rows([WORDS[:3], WORDS[:7]]),
    "padded_rows, right": lambda: viz.padded_rows([WORDS[:3], WORDS[:7], WORDS[:1]], "right"),
    "surprise_along": lambda: viz.surprise_along(
        {"greedy": calm(120, 0.3), "T = 1": calm(150, 3), "human": calm(140, 3.4, False)}),
    "surprise_along, one": lambda: viz.surprise_along({"short": calm(9, 1)}),
    "recomputed": lambda: viz.recomputed(torch.ones(100, 100).tril() > 0, torch.eye(100) > 0),
    "recomputed, long prompt": lambda: viz.recomputed(*after_a_prompt(20, 31)),
    "sampling_strips": lambda: viz.sampling_strips(*vocabulary(2048), prompt="The method should return"),
    "sampling_strips, few": lambda: viz.sampling_strips(*vocabulary(4), (0.3, 2), top_k=2, top_p=0.6),
    "sampling_strips, many": lambda: viz.sampling_strips(*vocabulary(50_000, 0.5), (0.5, 1, 2, 3), 50, 0.95, "x" * 99),
    "gate_doors": lambda: viz.gate_doors(WORDS[:5], *unit()),
    "gate_planes": lambda: viz.gate_planes(WORDS[:5], *unit()),
    "whole_mlp": lambda: viz.whole_mlp(WORDS[:5], *an_mlp(), word=1),
    "landscapes": lambda: viz.landscapes(some_planes(), 3),
    "product_planes": lambda: viz.product_planes({"plain": torch.ones(9, 9), "gated": 36 * torch.eye(9)}, 6, 2),
    "gate_doors, two": lambda: viz.gate_doors(["dog", "\n"], torch.tensor([[2.0, 1], [1, 0]]), *unit()[1:]),
    "chips": lambda: viz.chips({"bytes": [*map(str.encode, "The dog")], "BPE, 3 merges": [b"The", b" dog"]}),
    "chips, half a letter": lambda: viz.chips({"a": [b"na", b"\xc3", b"\xaf", b"ve"], "b": ["na\u00efve".encode()]}),
    "pair_counts": lambda: viz.pair_counts([["t", "h", "e"], ["Ġ", "t", "h", "e"], ["Ġ", "d", "o", "g"]] * 3,
        {("h", "e"): 6, ("t", "h"): 6, ("Ġ", "t"): 3, ("o", "g"): 3}),
    "lookup": lambda: viz.lookup(["The", " dog"], [340, 1990], torch.linspace(-2, 2, 10240).reshape(2048, 5)),
    "neighbours": lambda: viz.neighbours({" True": [(" False", 0.84), (" None", 0.75)], "returns": [("\n", 0.6)]}),
    "tower": lambda: viz.tower(b" its", [(b"t", b"s"), (b" ", b"i"), (b" i", b"ts")], {258: 1, 259: 2, 2048: 3}),
    "tower, unfinished": lambda: viz.tower(b"unfinished it", [(b"i", b"t"), (b"u", b"n")], {256: 0, 300: 2}),
    "exam_splits": lambda: viz.exam_splits({
        "by topic": (topics(0, 5), topics(5, 7)), "copied": (topics(0, 5), topics(3, 7))}),
    "expected_and_yours": lambda: viz.expected_and_yours(
        torch.eye(7), attention(7, 7), "hands of many turns are kept, hands of less than one are slowed by the factor",
        ["query", "key"]),
    "expected_and_yours, broken": lambda: viz.expected_and_yours(
        torch.zeros(331, 2), torch.tensor([[math.nan, math.inf]]).expand(331, 2)),
    "exam_splits, one": lambda: viz.exam_splits({"the end": (topics(0, 2), topics(2, 3))}, width=9),
    "norm_circle": lambda: viz.norm_circle(WORDS[:3], *normed([[3, 4], [0.1, -0.2], [-1, -1]])),
    "norm_circle, one": lambda: viz.norm_circle(["dog"], *normed([[0, 1e-3]])),
    "norm_pulled": lambda: viz.norm_pulled([3, 4], [1, 0], [0.181, -0.136]),
    "norms_swapped": lambda: viz.norms_swapped({"right": 4.01, "LayerNorm": 4.0, "no root": 7.1, "none": 7.72}, 7.62),
    "same_or_changed": lambda: viz.same_or_changed(
        MOVED, {"plain": torch.stack([*MOVED.values()]), "none": torch.ones(3, 8)}),
    "stream_growth": lambda: viz.stream_growth({"× 1.1": 1.1 ** torch.arange(31)}, {"× 1.1": torch.ones(31)}),
    "stream_growth, shrinks": lambda: viz.stream_growth({"× 0.5": 0.5 ** torch.arange(4)}, {"× 0.5": torch.ones(4)}),
    "in_memory": lambda: viz.in_memory({"split": SPLIT, "its copy": SPLIT.contiguous()}, WORDS[:5], 1),
    "in_memory, one": lambda: viz.in_memory({"one": torch.zeros(1, 1, 1, 2)}, ["dog"], 0),
    "riddle": lambda: viz.riddle(2), "riddle, answered": lambda: viz.riddle(0, "seq (head dim) -> head seq dim"),
    "turns_of_the_machine": lambda: viz.turns_of_the_machine([
        (["If", " the", " file"], {" is": 0.499, " was": 0.101, "\n": 0.03}),
        (["If", " the", " file", " is"], {" not": 0.09, " readable": 0.078})]),
    "map_of_lessons": lambda: viz.map_of_lessons(LLAMA),
    "learning_curve": lambda: viz.learning_curve(
        [0, 12, 25, 50, 80, 150, 330, 600, 880], [3.85, 3.4, 3.31, 2.9, 2.65, 2.45, 2.2, 1.97, 1.82],
        {"xz alone": 2.6, "xz after the textbook": 2.02, "PPMd after the textbook": 1.78}, WRITTEN,
        set("the is used as a by with for i".split()), "The for statement"),
    "learning_rates": lambda: viz.learning_rates(
        [1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 1], [3.62, 3.17, 2.95, 3.11, 3.31, 3.33, 8.21], {"Muon": (0.02, 2.62)},
        {"knowing nothing": 3.84, "xz alone": 2.6}),
    "blind_curves": lambda: viz.blind_curves(range(0, 151, 25), {
        letter: [[4.81, 2.95, 2.7, 2.62, 2.55, 2.47, end + off] for off in (-0.03, 0, 0.04)]
        for letter, end in zip("ABCDEFG", (2.25, 2.41, 2.43, 2.23, 2.41, 2.42, 2.42))}),
    "blind_curves, two": lambda: viz.blind_curves([0, 10], {"A": [[3.0, 2.0]], "B": [[3.0, 2.5]]}),
    "edit_maps": lambda: viz.edit_maps({
        "right": np.triu(np.ones((12, 12))), "the mask one late": np.triu(np.full((12, 12), 0.1), -1),
        "everything": np.full((12, 12), 0.01), "nothing": np.eye(12)}),
    "token_times": lambda: viz.token_times(
        {"small": {"ours": 0.69, "transformers": 1.0, "fused": 0.47, "compiled": 0.34, "8 bits": 0.4},
         "large": {"ours": 40.7, "transformers": 42, "fused": 40.2, "8 bits": 8.5}},
        {"small": {"bare, 4 bytes": 0.2, "bare, 1 byte": 0.05}, "large": {"bare, 4 bytes": 35, "bare, 1 byte": 8.7}}),
    "token_times, first": lambda: viz.token_times(
        {"small": {"ours": 0.69, "other": 1}}, {"small": {"a copy": 0.1, "one product": 0.2}}),
    "rows_below": lambda: viz.rows_below(
        [{"q_proj": 128, "k_proj": 64, "v_proj": 64}, {"gate_proj": 352, "up_proj": 352}], 128),
    "places_read": lambda: viz.places_read(
        60, {"all places": (2048, 0.24), "rounded up": (64, 0.045), "what is filled": (60, 0.032)}),
    "kernel_lanes": lambda: viz.kernel_lanes({
        name: [(("products", "attention", "the rest")[i % 3] if count > 8 else "merged", apart * i, apart * i + 4)
               for i in range(count)]
        for name, count, apart in (("ours", 47, 12), ("fused", 34, 9), ("compiled", 8, 6))}),
    "whole_numbers": lambda: viz.whole_numbers(
        [[1.27, -0.5, 0.004], [0.254, 0.101, -0.2]], [[127, -50, 0], [127, 50, -100]], [0.01, 0.002]),
    "scale_errors": lambda: viz.scale_errors(
        [0.3, 0.31, 0.28, 0.35, 0.005, 0.3, 0.29, 0.33], [0.006] * 8, outlier=4),
    "crossing": lambda: viz.crossing([1, 4, 16, 64], {
        "float32": [0.112, 0.16, 0.3, 0.8], "int8, the kernel": [0.053, 0.11, 0.4, 1.56],
        "int8, widened first": [0.3, 0.33, 0.4, 0.82]}),
    "probes_and_bugs": lambda: viz.probes_and_bugs({
        name: SimpleNamespace(rows=[SimpleNamespace(probe=probe, state=state) for probe, state in zip(
            ("gives scores", "is causal", "learns everywhere", "ignores padding", "first guess"), states)])
        for name, states in {"right": ("holds", "holds", "holds", "not asked", "told"),
                             "the mask one late": ("holds", "fails", "holds", "not asked", "told"),
                             "no √dim": ("holds", "holds", "holds", "not asked", "told"),
                             "chances": ("fails", *["not asked"] * 4)}.items()}),
    "you_are_here": lambda: viz.you_are_here("05"),
    "you_are_here, whole": lambda: viz.you_are_here("08"),
    "map_of_lessons, small": lambda: viz.map_of_lessons(
        LLAMA | {"num_hidden_layers": 1, "vocab_size": 97, "tie_word_embeddings": False}),
}


@pytest.fixture(scope="module")
def figures():
    return {name: make() for name, make in FIGURES.items()}


def texts(fig):
    return [text for text in fig.findobj(Text) if text.get_text()]


def outside(fig):
    """The words of a figure that reach beyond its edge."""
    fig.canvas.draw()
    renderer = FigureCanvasAgg(fig).get_renderer()
    with plain_text():
        boxes = {text: text.get_window_extent(renderer) for text in texts(fig)}
    return [text.get_text() for text, box in boxes.items()
            if box.x0 < 0 or box.y0 < 0 or box.x1 > fig.bbox.x1 or box.y1 > fig.bbox.y1]


@pytest.mark.parametrize("name", FIGURES)
def test_words_stay_inside_and_are_described(figures, name):
    assert outside(figures[name]) == []
    assert figures[name].alt.endswith(".") and len(figures[name].alt) > 60
    assert "nan" not in " ".join([figures[name].alt, *(text.get_text() for text in texts(figures[name]))])


def test_words_outside_are_found():
    c = new_canvas(100)
    c.say(990, 50, "too far right")
    assert outside(c.done("A word that leaves its canvas.")) == ["too far right"]


@pytest.mark.parametrize("name", ["dials", "beyond_training", "attention_map, 13"])
def test_the_heaviest_figures_are_light_and_carry_their_alt(figures, name):
    picture = Picture(figures[name])
    assert len(picture.png) <= LIMIT == 150_000
    page = re.fullmatch(rf'<img alt="([^"]+)" width="1000" style="{CARD}" '
                        r'src="data:image/png;base64,[A-Za-z0-9+/=]+">', picture._repr_html_())
    assert page and page[1] == picture.alt == repr(picture) == figures[name].alt


def test_show_displays_once_and_returns_nothing(figures, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *objects: shown.extend(objects))
    assert viz.show(figures["ropes, one"]) is None
    assert [type(each) for each in shown] == [Picture]


def test_a_figure_without_description_is_refused(figures):
    fig = new_canvas(40).fig
    with pytest.raises(ValueError, match="description"):
        viz.show(fig)
    assert repr(Picture(fig, alt="An\n empty canvas.")) == "An empty canvas."


def test_alt_is_escaped_and_hues_stay_exact(tmp_path):
    c = new_canvas(200)
    for i, hue in enumerate(HUES):
        c.bar(20 + 100 * i, 20, 8, 4, hue)
        c.say(20 + 100 * i, 90, "words", color=dark(hue), weight="bold")
    c.image(20, 120, 900, 60, signed(np.linspace(-1, 1, 900))[None])
    picture = Picture(c.done('a < b & "c"'))
    assert 'alt="a &lt; b &amp; &quot;c&quot;"' in picture._repr_html_()
    viz.save(c.fig, tmp_path / "hues.png")
    assert (tmp_path / "hues.png").read_bytes() == picture.png
    from PIL import Image
    with Image.open(tmp_path / "hues.png") as image:
        assert image.size == (2000, 400) and len(image.getcolors()) <= 256
        stored = {color for _, color in image.convert("RGB").getcolors()}
        error = np.abs(np.asarray(image.convert("RGB")).astype(int) - pixels(c.fig, 200)).mean()
    assert {tuple(int(hue[i : i + 2], 16) for i in (1, 3, 5)) for hue in (*HUES, *map(dark, HUES))} <= stored
    assert error < 1


def test_no_setting_of_the_user_changes_and_none_shows():
    odd_taste = {"font.size": 31, "lines.marker": "o", "savefig.bbox": "tight", "text.hinting": "native"}
    with matplotlib.rc_context(odd_taste):
        before = dict(matplotlib.rcParams)
        odd = Picture(viz.ropes(attention(3, 3), WORDS[:3])).png
        assert dict(matplotlib.rcParams) == before
    assert odd == Picture(viz.ropes(attention(3, 3), WORDS[:3])).png


def test_importing_viz_loads_nothing():
    code = ("import sys; from llama_tutorial import viz; viz.__all__; "
            "print({'matplotlib', 'PIL'} & set(sys.modules))")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_public_names_are_found_where_they_are_defined():
    import llama_tutorial.viz.lessons.attention as room

    assert viz.ropes is room.ropes and callable(viz.show) and callable(viz.canvas)
    assert list(viz._HOME) == sorted(viz._HOME) and dir(viz) == viz.__all__
    with pytest.raises(AttributeError, match="no 'nothing'"):
        viz.nothing  # noqa: B018


def test_dials_tell_turns_and_scores(figures):
    speeds = inv_freq().double()
    fig, said = figures["dials"], {text.get_text() for text in texts(figures["dials"])}
    turns = [2 * math.pi / float(speed) for speed in speeds[::4]]
    assert {f"{turn:,.0f}" for turn in turns[1:]} | {f"{turns[0]:.1f}"} <= said
    assert {"+15", "+5"} <= said and "+6" not in said
    for position in (0, 1, 10, 100):
        score = f"{torch.cos(position * speeds).mean():.2f}"
        assert score in said and f"{score} at {position}" in fig.alt
    assert "6.3 to 19,869" in fig.alt


def test_the_smoothed_score_passes_through_the_middle_of_the_exact_one():
    from llama_tutorial.viz.kit.dials import score_at, smooth
    speeds, distances = inv_freq().double().numpy(), np.arange(100, 900)
    line = smooth(speeds, distances)
    exact = score_at(speeds, distances)
    assert abs((exact - line).mean()) < 0.01
    bell = 1 + 0.3 * np.random.default_rng(0).standard_normal(100_000)
    for distance in (3, 10, 30):
        assert abs(score_at(speeds, distance * bell).mean() - smooth(speeds, np.array([distance]))[0]) < 0.001


def test_wavelengths_count_what_scaling_does(figures):
    alt, title = figures["wavelengths"].alt, texts(figures["wavelengths"])[0].get_text()
    slow = int((2 * math.pi / inv_freq(theta=5e5) > 8192).sum())
    assert title.startswith(f"{slow} of 32 hands")
    assert "every hand slows by 8" in alt and "by 7° at most, no longer 57°" in alt
    assert "18 hands keep their speed, 14 slow by 8" in alt


def test_two_hands_keep_their_angle(figures):
    said = {text.get_text() for text in texts(figures["two_hands"])}
    cosines = torch.cos(10 * inv_freq().double())
    assert {f"{cosine:+.2f}".replace("-", "\u2212") for cosine in cosines[::4]} <= said
    assert f"{cosines.mean():.2f}" in said and f"the mean cosine is {cosines.mean():.2f}" in figures["two_hands"].alt
    wedges = [wedge for wedge in figures["two_hands"].findobj(Wedge)]
    sizes = [(wedge.theta2 - wedge.theta1) % 360 for wedge in wedges]
    turned = [math.degrees(10 * speed) % 360 for speed in inv_freq().double()[::4]]
    assert sizes == pytest.approx(turned + turned)


def test_distance_only_tells_the_scores(figures):
    said = [text.get_text() for text in texts(figures["distance_only"])]
    assert said.count(f"{math.cos(2 * math.pi * 3 / 15):.3f}") == 3 and said.count("72°") == 3
    assert {"4", "158", "20,804"} <= set(said)


def test_shuffled_compares_each_word_with_itself(figures):
    said = [text.get_text() for text in texts(figures["shuffled"])]
    assert said[0].endswith("every word hears what it heard before") and said.count("= as before") == 5
    moved = HEARD[ORDER].clone()
    moved[1] += 0.1                      # at the second place, where the fifth word stands
    mixed = viz.shuffled(WORDS[:5], ORDER, HEARD, moved)
    assert "4 of 5 words hear" in texts(mixed)[0].get_text() and mixed.alt.count("another one") == 1
    assert f"“{WORDS[4]}” another one" in mixed.alt and f"“{WORDS[1]}” the same" in mixed.alt
    assert "no word hears" in texts(figures["shuffled, other"])[0].get_text()


def test_bars_of_the_wrong_pairing_are_as_high_as_the_error(figures):
    said = {text.get_text() for text in texts(figures["two_pairings"])}
    assert {"0.00", "0.36", "1.03", "1.18", "100 apart"} <= said
    bars = [bar for bar in figures["two_pairings"].findobj(Rectangle) if bar.get_width() == 48]
    assert [bar.get_height() for bar in bars] == pytest.approx([100 * error for error in WRONG_PAIRS.values()])


def test_bases_tell_where_the_score_is_gone(figures):
    from llama_tutorial.viz.kit.dials import smooth
    for theta, told in ((1e4, 5800), (5e5, 280_000)):
        before, after = smooth(inv_freq(theta=theta).double().numpy(), np.array([told * 0.95, told * 1.05]))
        assert before > 0 > after and f"about {told:,}" in figures["bases"].alt
    slow = [int((2 * math.pi / inv_freq(theta=theta) > longest).sum()) for theta, longest in ((1e4, 2048), (5e5, 8192))]
    assert [f"{count} hands do not get round" in " ".join(text.get_text() for text in texts(figures["bases"]))
            for count in slow] == [True, True]


def test_beyond_training_counts_new_angles(figures):
    late = int((2 * math.pi / inv_freq(theta=5e5) > 8192).sum())
    fig = figures["beyond_training"]
    assert f"none {late}, linear 0, llama3 0" in fig.alt and texts(fig)[0].get_text().endswith("scaled, none does")
    raised = viz.beyond_training(inv_freq(), {"base": inv_freq(theta=2e4)}, 2048, 4)
    new = (inv_freq() * 2048 < 2 * math.pi) & (inv_freq(theta=2e4) * 4 > inv_freq())
    assert f"base {int(new.sum())};" in raised.alt and not texts(raised)[0].get_text().endswith("none does")


def test_folded_pages_open_in_a_notebook_and_read_as_text(figures, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    viz.fold("guessed <?", "a < b", figures["shuffled"])
    question = ("How much?", 3, {4: "counts twice", 5: "guesses"}, "counted & found")
    for seed in range(9):
        viz.quiz(question, seed=seed)
    folded, *quizzes = (each._repr_html_() for each in shown)
    assert "<pre>a &lt; b</pre>" in folded and f'alt="{figures["shuffled"].alt}"' in folded
    assert folded.startswith("<details><summary") and "guessed &lt;?" in folded
    assert repr(shown[0]).splitlines() == ["guessed <?", "a < b", figures["shuffled"].alt]
    asked, keys = zip(*(quiz.split("<details>") for quiz in quizzes))
    right = [re.search(r"([abc])\) 3<", page)[1] for page in asked]
    assert all(f"✓ {letter}) counted &amp; found<" in key for letter, key in zip(right, keys))
    assert set(right) == set("abc") and "twice" not in "".join(asked) and "   answer: ✓" in repr(shown[1])
    with pytest.raises(ValueError, match="read otherwise"):
        viz.quiz(("How much?", 3, {"3": "the same"}, ""))


def test_frequencies_count_fast_and_slow_columns(figures):
    turns = 2 * math.pi / inv_freq().double()
    fast, slow = int((2 * turns <= 127).sum()), int((turns >= 8 * 127).sum())
    assert f"at least twice: {fast};" in figures["frequencies"].alt
    assert f"an eighth of a turn: {slow}." in figures["frequencies"].alt


def test_attention_map_names_the_largest_weight_on_another_word(figures):
    weights = attention(5, 5)
    others = weights.tril(-1)
    row, column = divmod(int(others.argmax()), 5)
    look = f"“{WORDS[row]}” gives “{WORDS[column]}” {others.max():.2f}"
    fig = figures["attention_map"]
    said = [text.get_text() for text in texts(fig)]
    assert said[0].startswith(look) and look in fig.alt
    cells = [text for text in said if re.fullmatch(r"\d\.\d\d", text)]
    assert cells[:15] == [f"{weights[i, j]:.2f}" for i in range(5) for j in range(i + 1)]
    assert "later words: weight 0" in said
    assert "later words: weight 0" not in [text.get_text() for text in texts(figures["attention_map, all"])]
    assert texts(figures["attention_map, all"])[0].get_text() == "Unmasked"


def test_small_maps_name_the_habits_of_heads():
    n = 7
    first = torch.zeros(n, n)
    first[:, 0] = 1
    previous = torch.eye(n).roll(-1, 1)
    previous[0] = torch.eye(n)[0]
    even = torch.ones(n, n).tril() / torch.arange(1, n + 1)[:, None]
    fig = viz.attention_map(torch.stack([torch.eye(n), previous, first, even]), WORDS[:n])
    assert "head 0: itself 1.00; head 1: previous 1.00; head 2: first 1.00; head 3: mixed" in fig.alt
    assert texts(fig)[0].get_text() == "3 of 4 heads have one habit each: itself, the word before it, the first word"


def test_ropes_are_as_thick_as_the_weights(figures):
    weights = attention(5, 5)
    paths = [patch for patch in figures["ropes"].axes[0].patches if not patch.get_fill()]
    thick = [patch.get_linewidth() / 0.72 / 54 for patch in paths]
    assert thick == pytest.approx([float(weight) for weight in weights[weights > 0.002]], abs=1e-6)
    assert f"by {weights[3].max():.2f}" in texts(figures["ropes"])[0].get_text()


def test_one_query_adds_up_what_its_ropes_bring(figures):
    weights, fig = attention(5, 5)[3], figures["one_query"]
    said = [text.get_text() for text in texts(fig)]
    best, answer = WORDS[int(weights.argmax())], weights @ VALUES
    assert said[0] == f"“its” asks, and “{best}” answers loudest, with weight {weights.max():.2f}"
    assert {f"{part:.2f}" for part in answer} < set(said) and f"({answer[0]:.2f}, {answer[1]:.2f})" in fig.alt
    paths = [patch.get_linewidth() / 0.72 / 130 for patch in fig.axes[0].patches if not patch.get_fill()]
    assert paths == pytest.approx([float(weight) for weight in weights[:4] for _ in range(2)], abs=1e-6)
    assert "not yet said:\nno rope" in said
    assert "not yet said:\nno rope" not in [text.get_text() for text in texts(figures["one_query, last"])]


def test_one_head_loses_what_two_keep(figures):
    said = [text.get_text() for text in texts(figures["one_head_or_two"])]
    assert said[0].startswith("One head mixes the two animals")
    assert said.count("1.50") == 4 and {"0.98", "1.90", "1.93"} <= set(said)
    assert "✗ the same answer for both sentences" in said
    swapped = dict(zip(CHASED, list(CHASED.values())[:1] * 2))
    told = texts(viz.one_head_or_two(swapped, {"dog": 1, "cat": 2}))[0].get_text()
    assert told == "What the last word hears through one head, and through two"


def test_the_leak_tells_exact_zeros_from_small_numbers(figures):
    said = [text.get_text() for text in texts(figures["leak"])]
    assert said[0] == "Change word 5, and the guess before it moves: by 15.06 with no mask, by 0 with a mask"
    assert said.count("<0.001") == 1 and said.count("0.002") == 1 and said.count("3.45") == 1
    assert any(text.startswith("Exactly 0 before the edit") for text in said)
    assert any(text.startswith("Not 0 before the edit") for text in map(Text.get_text, texts(figures["leak, both"])))
    bars = [bar.get_height() for bar in figures["leak"].axes[0].patches if getattr(bar, "get_width", float)() == 54]
    assert bars[4] / bars[8 + 5] == pytest.approx(15.06 / 5.04)


def test_each_filling_gets_its_verdict(figures):
    ways, fig = fillings(1), figures["fills"]
    future = ways["fill with 0"][1][2:].sum()
    row = ways["0 after the softmax"][1].sum()
    assert f"“dog” gives {future:.0%} to words not yet said" in texts(fig)[0].get_text()
    said = [text.get_text() for text in texts(fig)]
    assert {f"✗ {future:.0%} lies in the future", f"✗ the row adds up to {row:.2f}, not 1",
            "✓ all weight lies in the past"} <= set(said)
    assert said.count("−∞") == 3


def test_undivided_scores_pick_one_key(figures):
    scores = random_scores(4, 64, 1024)
    for dim, part in scores.items():
        for name, by in (("q · k", 1), ("q · k / √dim", dim**0.5)):
            weights = (part / by).double().softmax(-1)
            like = torch.exp(-(weights * weights.clamp(1e-300).log()).sum(-1).mean())
            told = f"{name} at {dim:,}: best key {weights.amax(-1).mean():.2f}, like {like:.1f} keys"
            assert told in figures["root_dim"].alt


def test_shelves_weigh_keys_and_values(figures):
    said = {text.get_text() for text in texts(figures["shelves"])}
    assert {"69,120 B", "23,040 B", "7,680 B", "524,288 B", "131,072 B", "16,384 B", "540 MiB", "1 GiB"} <= said
    assert "3 times smaller" in texts(figures["shelves"])[0].get_text()
    assert f"{2 * 30 * 2 * 64 * 4:,} B" in {text.get_text() for text in texts(figures["shelves, even"])}


def test_work_done_again_is_counted_from_the_weights(figures):
    assert "4,950 of 5,050 weights" in texts(figures["done_again"])[0].get_text()
    after = attention(10, 10)
    before = after[:9, :9].clone()
    before[4] = 0                        # one row of ten differs: its 5 weights are new as well
    fig = viz.done_again(before, after)
    assert f"{55 - 10 - 5} of 55 weights" in texts(fig)[0].get_text() and "8 of 10 keys" in fig.alt


def test_doors_open_by_the_product_of_gate_and_offer(figures):
    x, gate, up = unit()
    lift, offer = torch.nn.functional.silu(x @ gate), x @ up
    fig = figures["gate_doors"]
    opening = [bar for bar in fig.axes[0].patches if getattr(bar, "get_y", float)() == 298]
    area = torch.tensor([-bar.get_height() * bar.get_width() for bar in opening])
    passed = (lift * offer.abs()).double()
    assert torch.allclose(area / area[1], passed / passed[1], atol=1e-4)
    assert texts(fig)[0].get_text().endswith("2.9 at “dog”, −0.8 at “its”") and "its −0.27 × 3.0 = −0.8" in fig.alt


def test_ropes_of_an_mlp_are_as_thick_as_what_passes(figures):
    x, gate, up, down = an_mlp()
    passed = torch.nn.functional.silu(x[1] @ gate.T) * (x[1] @ up.T)
    fig = figures["whole_mlp"]
    block = [bar for bar in fig.axes[0].patches if getattr(bar, "get_height", float)() == 20]
    widths = torch.tensor([bar.get_width() for bar in block[::6]]).double()
    shares = passed.abs().double() / passed.abs().sum()
    assert len(block) == 66 and torch.allclose(widths / widths.sum(), shares, atol=1e-4)
    assert f"the thickest rope is {100 * shares.max():.0f} %" in texts(fig)[0].get_text()
    assert f"the sum is {', '.join(f'{n:.1f}'.replace('-', '−') for n in (passed @ down.T).tolist())}" in fig.alt
    assert "Flat: two linear layers. Bent: one gated unit, product" in figures["landscapes"].alt


def test_attention_html_carries_numbers_without_scripts():
    weights = attention(2, 5, 5)
    hover = viz.attention_html(weights, ["<s>", *WORDS[1:5]], query=3, more=(4,))
    page = hover._repr_html_()
    assert page.count("<details>") == page.count("</details>") == page.count("<summary") == 2
    assert page.count("title=") == 2 * 2 * 5 and page.count("not yet said") == 2
    assert not re.search(r"<script|<style|class=|<s>", page)
    for head in range(2):
        best = int(weights[head, 3].argmax())
        assert f"its → {['&lt;s&gt;', *WORDS[1:5]][best]}: {weights[head, 3, best]:.3f}" in page
        assert f"head {head}: its → {['<s>', *WORDS[1:5]][best]} {weights[head, 3, best]:.2f}" in repr(hover)
        assert f"rgba(23,79,148,{weights[head, 3, best]:.2f})" in page


def test_surprise_html_carries_numbers_without_scripts():
    hover = viz.surprise_html(["<s>", " dog", " dog"], [0.0, 3.0, 12.0], [False, False, True], name="greedy")
    page = hover._repr_html_()
    assert repr(hover) == "greedy: 5.00 nats of surprise a token, 1 tokens said before"
    assert page.count("title=") == 3 and page.count("said before\"") == 1 and "dog: given 0.050, surprise 3.00" in page
    assert not re.search(r"<script|<style|class=|<s>", page)


def test_the_road_is_the_sum_of_the_ropes(figures):
    x, attention_added, mlp_added = a_stack(6)
    end = (x + attention_added.sum(0) + mlp_added.sum(0)).square().mean().sqrt()
    fig = figures["residual_road"]
    said = [text.get_text() for text in texts(fig)]
    assert said[0].endswith(f"{x.square().mean().sqrt():.2f} at the start, {end:.2f} at the end")
    assert {f"{part.square().mean().sqrt():.2f}" for part in (*attention_added, *mlp_added)} <= set(said)
    plain = sum(part.square().mean().sqrt() for part in (x, *attention_added, *mlp_added))
    assert any(f"{plain:.2f}" in text for text in said)


def test_areas_are_parameters(figures):
    fig = figures["model_area"]
    said = [text.get_text() for text in texts(fig)]
    assert said[0].startswith("134,515,008 parameters: one table of words, 30 equal layers")
    assert {"134,515,008", "1,235,814,400", "8,030,261,248", "all 61 norms: 35,136"} <= set(said)
    assert "MLP 59%" in fig.alt and "head 7%" in fig.alt
    table, attention_slab, mlp_slab = (bar.get_width() * bar.get_height() for bar in fig.axes[0].patches[:3])
    assert mlp_slab / table == pytest.approx(3 * 576 * 1536 / (49152 * 576), rel=0.02)
    assert attention_slab / mlp_slab == pytest.approx((2 * 576 + 2 * 192) / (3 * 1536), rel=0.02)


def test_bars_of_the_loss_are_as_deep_as_the_surprise(figures):
    fig = figures["loss_hung"]
    deep = [bar.get_height() for bar in fig.axes[0].patches if getattr(bar, "get_y", float)() == 136]
    cost = -CHANCE.double().log()
    assert np.array(deep)[1:8] / deep[1] == pytest.approx((cost[1:8] / cost[1]).numpy(), abs=0.02)
    said = [text.get_text() for text in texts(fig)]
    assert said[0] == "A confident mistake costs more than a blind guess: “he” costs 6.6, guessing 3.8"
    assert any(text == f"mean of the 10 words = the loss: {cost.mean():.2f}" for text in said)
    assert "still less than a blind guess" in texts(figures["loss_hung, good"])[0].get_text()


@pytest.mark.parametrize("make, rule", [
    (lambda: viz.residual_road(*a_stack(7)), "1 to 6 layers"),
    (lambda: viz.residual_road(torch.zeros(2, 3), *a_stack(2)[1:]), "shaped like x"),
    (lambda: viz.model_area({"small": shapes(layers=3)}), "number 12 is opened"),
    (lambda: viz.loss_hung(SAID, CHANCE[:9], 46, SHIFTS), "each with its chance"),
    (lambda: viz.loss_hung(SAID, 0 * CHANCE, 46, SHIFTS), "above 0"),
    (lambda: viz.loss_hung(SAID, CHANCE, 46, {"thrice": (3, 1.0, "The")}), "each 0, 1 or 2"),
    (lambda: viz.dials(torch.ones(4, 8)), r"one axis \(pair\)"),
    (lambda: viz.dials(inv_freq(), pairs=9), "2 to 8 pairs"),
    (lambda: viz.dials(inv_freq(), positions=(-1,)), "positions from 0"),
    (lambda: viz.you_are_here("00"), "builds no part"),
    (lambda: viz.wavelengths(inv_freq(), {}), "1 to 4 ways"),
    (lambda: viz.wavelengths(inv_freq(), {"half": inv_freq()[:16]}), "32 hands"),
    (lambda: viz.frequencies(*rotation(8), position=8), "a row for position 8"),
    (lambda: viz.two_hands(inv_freq(), apart=((3, 0), (9, 5))), "equally far"),
    (lambda: viz.distance_only(PLACES, clock_hands(), with_index()[:2]), "place two dim"),
    (lambda: viz.shuffled(WORDS[:5], [0, 0, 1, 2, 3], HEARD, HEARD), "an order of them"),
    (lambda: viz.two_pairings(WRONG_PAIRS, inv_freq()), "2 to 4 angles"),
    (lambda: viz.bases({10_000: inv_freq()}, {10_000: 2048}), "two bases"),
    (lambda: viz.beyond_training(inv_freq(), {"half": inv_freq()[:16]}), "32 hands"),
    (lambda: viz.attention_map(attention(2, 2, 5, 5), WORDS[:5]), "query key"),
    (lambda: viz.attention_map(attention(5, 5), WORDS[:4]), "one token per key"),
    (lambda: viz.attention_map(attention(65, 65), WORDS * 5), "at most 64 tokens"),
    (lambda: viz.attention_map(attention(17, 5, 5), WORDS[:5]), "at most 16 heads"),
    (lambda: viz.attention_map(attention(5, 5) - 0.1, WORDS[:5]), "softmax"),
    (lambda: viz.attention_map(attention(5, 5) + 0.1, WORDS[:5]), "softmax"),
    (lambda: viz.ropes(attention(7, 7), WORDS[:7]), "at most 6 tokens"),
    (lambda: viz.attention_html(attention(5, 5), WORDS[:5], query=5), "query=5"),
    (lambda: viz.one_query(torch.ones(4), VALUES, WORDS[:5]), "one_query takes weights"),
    (lambda: viz.one_query(torch.ones(5), -VALUES, WORDS[:5]), "none negative"),
    (lambda: viz.one_head_or_two({"a b": [(ONE, [1, 2])]}, {}), "two sentences"),
    (lambda: viz.leak(LEAK, WORDS[:7], 5, "x"), "one number for 2 to 10 tokens"),
    (lambda: viz.leak(LEAK, WORDS[:8], 0, "x"), "after the first"),
    (lambda: viz.fills(fillings(1), WORDS[:5], 4), "not the last"),
    (lambda: viz.root_dim({4: torch.ones(3)}), r"scores \(query key\)"),
    (lambda: viz.shelves({"8B": LARGE}), "at most 9 query heads"),
    (lambda: viz.done_again(attention(5, 5), attention(5, 5)), "n − 1 words and of n"),
    (lambda: viz.gate_doors(WORDS[:4], *unit()), "one hidden unit"),
    (lambda: viz.gate_doors(WORDS[:5], torch.zeros(5, 2), *unit()[1:]), "for every word"),
    (lambda: viz.gate_planes(WORDS[:4], *unit()), "gate_planes draws 2 to 5 words"),
    (lambda: viz.whole_mlp(WORDS[:5], *an_mlp(13), word=1), "pass a smaller MLP"),
    (lambda: viz.whole_mlp(WORDS[:5], 0 * an_mlp()[0], *an_mlp()[1:], word=1), "got 0 from all 11"),
    (lambda: viz.landscapes({"one": torch.ones(5, 5)}, 3), "two or three square planes"),
    (lambda: viz.chips({"bytes": [b"a"], "other": [b"b"]}), "one text"),
    (lambda: viz.tower(b"word", [(b"x", b"y")], {}), "0 of 1 merges"),
    (lambda: viz.pair_counts([["a", "b"]], {("a", "b"): 1, ("b", "c"): 2}), "the winner first"),
    (lambda: viz.lookup(["a"], [0, 1], torch.ones(4, 2)), "an id each"),
    (lambda: viz.neighbours({"a": []}), "1 to 5"),
    (lambda: viz.exam_splits({"nothing held out": (topics(0, 2), {})}), "an empty one"),
    (lambda: viz.norm_circle(WORDS[:2], *normed([[3, 4]])), r"three tensors \(word 2\)"),
    (lambda: viz.norm_pulled([0, 0], [1, 0], [0, 0]), r"three tensors \(2\)"),
    (lambda: viz.same_or_changed(MOVED, {"one": torch.ones(2, 8)}), r"\(input dim\)"),
    (lambda: viz.stream_growth({"one": [1, 2]}, {"two": [1, 2, 3]}), "one RMS per layer"),
])
def test_errors_say_the_rule(make, rule):
    with pytest.raises(ValueError, match=rule):
        make()


def test_colours_and_scales():
    assert tint("#000000", 0.25) == "#404040" and dark("#ffffff") == "#b8b8b8"
    assert signed([-1, 0, 1]).tolist() == pytest.approx(np.array(
        [[0xD9, 0x77, 0x1A], [255, 255, 255], [0x17, 0x4F, 0x94]]) / 255)
    assert probability(torch.tensor([0.0, 2.0])).shape == (2, 3)
    assert (on(probability(1.0)), on(probability(0.1))) == ("#ffffff", "#22262e")
    assert Scale((1, 1000), (50, 450), log=True)(10) == pytest.approx(183.333, abs=1e-3)
    assert [printable(token) for token in (" dog", "\n", "  ", "a\x07 b")] == ["␣dog", "↵", "␣␣", "a\\x07 b"]


def test_runs_of_text_do_not_overlap():
    c = new_canvas(60)
    end = c.run(20, 40, [("dog ", GREY), ("0.54", HUES[0], "bold"), (" × 3", GREY)], mono=True)
    with plain_text():
        boxes = [text.get_window_extent() for text in c.ax.texts[2:]]
    assert all(left.x1 <= right.x0 + 0.5 for left, right in zip(boxes, boxes[1:]))
    assert boxes[-1].x1 <= end < boxes[-1].x1 + 8


def test_strips_hold_the_shares_and_the_cuts_of_the_logits(figures):
    logits, labels = vocabulary(2048)
    alt, said = figures["sampling_strips"].alt, {text.get_text() for text in texts(figures["sampling_strips"])}
    assert f"“␣{labels[int(logits.argmax())].strip()}”" in alt
    for t in (0.5, 1.0, 1.5):
        shares = (logits.double() / t).softmax(0)
        assert f"favourite {100 * shares.max():.0f} %" in said
        assert f"like {torch.exp(-(shares * shares.log()).sum()):,.0f} equal tokens" in said
    held = logits.double().softmax(0).sort(descending=True).values.cumsum(0)
    in_p = int((held < 0.9).sum()) + 1
    assert f"{in_p:,} tokens, rescaled to 1" in said and f"keeps {100 * held[4]:.0f} %" in said
    assert f"top-k = 5 keeps 5 tokens with {100 * held[4]:.0f} %, top-p = 0.9 keeps {in_p:,} tokens with 90 %" in alt


def test_strips_are_as_wide_as_the_shares(figures):
    shares = vocabulary(4)[0].double().softmax(0).sort(descending=True).values
    bars = [bar for bar in figures["sampling_strips, few"].axes[0].patches if hasattr(bar, "get_width")]
    last_row = [bar for bar in bars if bar.get_y() == max(each.get_y() for each in bars if each.get_height() == 44)]
    starts = sorted({round((bar.get_x() - 165) / 600, 5) for bar in last_row})
    assert starts == pytest.approx([0, *shares.cumsum(0)[:-1].tolist()], abs=1e-4)


@pytest.mark.parametrize("name, without, again, cached", [
    ("recomputed", "5,050", "4,950", "100"), ("recomputed, long prompt", "810", "760", "50")])
def test_recomputed_counts_the_cells(figures, name, without, again, cached):
    said = {text.get_text() for text in texts(figures[name])}
    assert {without, f"{again} of them not for the first time", cached, "each of them once"} <= said
    assert f"without a cache {without}, {again} of them" in figures[name].alt


@pytest.mark.parametrize("call", [
    lambda: viz.film_strip(WORDS[:3], [[1.0], [1.0]], [[("a", 1.0)]] * 2),
    lambda: viz.padded_rows([["a"], []]),
    lambda: viz.surprise_along({"greedy": ([1.0, 2.0], [True])}),
    lambda: viz.surprise_html(["a", "b"], [1.0]),
    lambda: viz.sampling_strips(torch.zeros(5), ["a"] * 4),
    lambda: viz.sampling_strips(torch.zeros(2), ["a", "b"], temperatures=(0, 1)),
    lambda: viz.recomputed(torch.ones(3, 3), torch.ones(3, 4)),
    lambda: viz.recomputed(torch.zeros(3, 3), torch.ones(3, 3)),
    lambda: viz.cache_times([3, 2, 1], [1, 1, 1], [1, 1, 1]),
    lambda: viz.cache_times([1, 2], [1, 1], [1, 1]),
])
def test_figures_of_generation_refuse_what_they_cannot_draw(call):
    with pytest.raises(ValueError, match="takes"):
        call()
