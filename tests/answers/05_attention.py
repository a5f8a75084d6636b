"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

import torch
import torch.nn.functional as F

# These stand nowhere in the package.
TRANSFER = {
    "window_mask": """def window_mask(queries, keys, window):
    causal = causal_mask(queries, keys)
    return causal & ~causal.tril(keys - queries - window)


def window_of(attend):
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, 12, 4, generator=draw) for _ in range(3))
    before = attend(q, k, v)
    v[:, :, 2] += 1
    return int((attend(q, k, v) != before).any(dim=-1).any(dim=1).sum())""",
    "attend_softly": """def attend_softly(q, k, v, cap):
    group = q.shape[1] // k.shape[1]
    k, v = (repeat(each, "batch kv key dim -> batch (kv group) key dim", group=group) for each in (k, v))
    scores = einsum(q, k, "batch head query dim, batch head key dim -> batch head query key") / math.sqrt(q.shape[-1])
    scores = (cap * torch.tanh(scores / cap)).masked_fill(~causal_mask(q.shape[2], k.shape[2]), -math.inf)
    return einsum(scores.softmax(dim=-1), v, "batch head query key, batch head key dim -> batch head query dim")""",
}

# The bare component in another hand, which is right, and what is changed in it.
BARE = """import math

import torch
import torch.nn.functional as F
from torch import nn

from llama_tutorial.rotary import LlamaRotaryEmbedding


class BareAttention(nn.Module):
    def __init__(self, hidden=576, dim=64):
        super().__init__()
        self.dim, self.rotary = dim, LlamaRotaryEmbedding(dim)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(hidden, hidden, bias=False) for _ in "qkvo")

    def forward(self, x):
        batch, seq, hidden = x.shape
        q = self.q_proj(x).view(batch, seq, -1, self.dim).transpose(1, 2)
        k = self.k_proj(x).view(batch, seq, -1, self.dim).transpose(1, 2)
        v = self.v_proj(x).view(batch, seq, -1, self.dim).transpose(1, 2)
        scores = self.rotary(q) @ self.rotary(k).transpose(-2, -1) / self.dim**0.5
        later = torch.ones(seq, seq, dtype=torch.bool).triu(1)
        weights = F.softmax(scores.masked_fill(later, float("-inf")), dim=-1)
        return self.o_proj((weights @ v).transpose(1, 2).reshape(batch, seq, hidden))
"""


def bare(old="", new=""):
    assert old in BARE
    space = {"__name__": "another_hand"}
    exec(BARE.replace(old, new) if old else BARE, space)
    return space["BareAttention"]


def window(rule):
    """A mask by the places of the queries, those of the keys, and the window."""
    def window_mask(queries, keys, window):
        return rule(torch.arange(keys - queries, keys)[:, None], torch.arange(keys), window)

    return window_mask


def leaks(parts="kv", at=-1, last=-1):
    """A probe that edits these parts at one place, and compares the answers up to `last`."""
    def leaks(attend):
        draw = torch.Generator().manual_seed(0)
        given = {name: torch.randn(1, 2, 6, 4, generator=draw) for name in "qkv"}
        before = attend(**given)
        for name in parts:
            given[name][:, :, at] += 1
        return not torch.equal(attend(**given)[:, :, :last], before[:, :, :last])

    return leaks


def moved(at, length=12, part="v"):
    """A probe that edits one part at one place, and counts the answers that move."""
    def window_of(attend):
        draw = torch.Generator().manual_seed(0)
        q, k, v = (torch.randn(1, 1, length, 4, generator=draw) for _ in range(3))
        before = attend(q, k, v)
        {"q": q, "k": k, "v": v}[part][:, :, at] += 1
        return int((attend(q, k, v) != before).any(dim=-1).sum())

    return window_of


def softly(*lines):
    """Attention whose scores `s` go through these lines, in which `later` is the causal mask's other half."""
    def attend_softly(q, k, v, cap):
        k, v = (each.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for each in (k, v))
        space = {"s": q @ k.mT, "cap": cap, "root": q.shape[-1] ** 0.5, "torch": torch,
                 "later": torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).triu(1)}
        for line in lines:
            space["s"] = eval(line, space)
        return space["s"].softmax(dim=-1) @ v

    return attend_softly


def shared(of_k, of_v):
    """Attention with keys and values made as many as the queries' heads by these methods."""
    def mended_sharing(q, k, v):
        k, v = (way(each, q.shape[1] // each.shape[1]) for way, each in ((of_k, k), (of_v, v)))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    return mended_sharing


def masked(scores_to_weights):
    def mended_attend(q, k, v):
        scores = q @ k.mT / q.shape[-1] ** 0.5
        return scores_to_weights(scores, torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril()) @ v

    return mended_attend


DIVIDE, CAP, MASK = "s / root", "cap * torch.tanh(s / cap)", "s.masked_fill(later, float('-inf'))"

WRONG = [
    ("BareAttention", bare("self.dim**0.5", "8"), "the root of 64"),
    ("window_mask", window(lambda q, k, w: (k <= q) & (q - k <= w)), "yours sees one more"),
    ("window_mask", window(lambda q, k, w: q - k < w), "sees the future"),
    ("window_mask", window(lambda q, k, w: (q - k).abs() < w), "as far ahead as back"),
    ("window_mask", window(lambda q, k, w: (k <= q) & (k - q < w)), "too far back"),
    ("window_mask", window(lambda q, k, w: (k <= q - q[0]) & (q - q[0] - k < w)), "the last of the keys"),
    ("window_of", lambda attend: moved(0)(attend) - 1, "own answer counts"),
    ("window_of", moved(0, length=6), "fewer than 7 answers"),
    ("attend_softly", softly(DIVIDE, MASK, CAP), "Cap before the mask"),
    ("attend_softly", softly(CAP, DIVIDE, MASK), "belongs after it"),
    ("attend_softly", softly(DIVIDE, CAP), "no causal mask"),
    ("attend_softly", softly(CAP, MASK), "not divided by √dim"),
    ("attend_softly", softly(DIVIDE, "torch.tanh(s / cap)", MASK), "not yet multiplied by cap"),
    ("attend_softly", softly(DIVIDE, "s.clamp(-cap, cap)", MASK), "with a corner"),
    ("mended_sharing", shared(lambda k, n: k.repeat_interleave(n, dim=1), lambda v, n: v.repeat(1, n, 1, 1)),
     "the values are still dealt out"),
    ("mended_sharing", shared(lambda k, n: k.repeat(1, n, 1, 1), lambda v, n: v.repeat_interleave(n, dim=1)),
     "the keys are still dealt out"),
    ("mended_attend", masked(lambda s, may: (s + ~may * float("-inf")).softmax(-1)), "0 times ∞"),
    ("mended_attend", masked(lambda s, may: s.softmax(-1) * may), "to 0 after the softmax"),
    ("weight_of_its", 1.414, "That is its score"),
    ("weight_of_its", 0.27, "the row of “its”"),
    ("bytes_a_token", 8 * 128 * 80, "two bytes"),
    ("bytes_a_token", 64 * 128 * 80 * 2, "both keys and values"),
    ("bytes_a_token", 320, "not KiB"),
    ("BareAttention", bare("self.dim**0.5", "hidden**0.5"), "the root of the model's width"),
    ("BareAttention", bare(".view(batch, seq, -1, self.dim).transpose(1, 2)", ".view(batch, -1, seq, self.dim)"),
     "cuts across tokens"),
    ("BareAttention", bare("triu(1)", "tril(-1)"), "mask is transposed"),
    ("BareAttention", bare("float(\"-inf\")", "0.0"), "exp(0) is 1"),
    ("BareAttention", bare(").transpose(1, 2).reshape(b", ").reshape(b"), "merged without swapping"),
    ("weight_of_its", 0.505, "may hear itself"),
    ("weight_of_its", 0.56, "by √2 first"),
    ("weight_of_its", 4.11, "divide it by the sum"),
    ("bytes_a_token", 2621440, "nly the 8 key-value heads"),
    ("moved_words", {"chased", "its"}, "'tail' looks at"),
    ("moved_words", {"The", "chased", "its", "tail"}, "the mask forbids"),
    ("moved_words", 3, "a set of some of"),
    ("leaks", lambda attend: False, "It never calls attend"),
    ("leaks", leaks(last=None), "may move: compare those before"),
    ("leaks", leaks(parts="v"), "the value alone"),
    ("leaks", leaks(parts="k"), "the key alone"),
    ("leaks", leaks(parts="qkv", last=None), "You changed queries"),
    ("leaks", leaks(at=0), "You edited the first token"),
    ("leaks", leaks(parts=""), "the same q, k and v"),
    ("leaks", leaks(at=slice(None)), "every token from the first on"),
    ("window_of", moved(0, part="k"), "you edited the key"),
    ("window_of", moved(0, part="q"), "you edited the query"),
    ("window_of", lambda attend: 4 * moved(0)(attend), "4 times as many"),
    ("window_mask", window(lambda q, k, w: (k <= q) & (q - q[0] - k < w)), "for a square only"),
    ("weight_of_its", 0.6698, "e to the 0 is 1"),
    ("weight_of_its", 0.22, "the weight of “dog”"),
    ("weight_of_its", 0.08, "the first number of each key"),
    ("bytes_a_token", 2048, "the keys of one layer"),
    ("bytes_a_token", 40960, "one head in each layer"),
    ("bytes_a_token", 327.68, "not thousands"),
    ("window_of", lambda attend: 3, "a window of 1"),
    ("window_mask", lambda queries, keys, window: 1, "should return a tensor"),
    ("attend_softly", lambda q, k, v, cap: 1 / 0, "raised ZeroDivisionError"),
]
