"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

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


WRONG = [
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
    ("leaks", lambda attend: False, "should say True of"),
    ("window_of", lambda attend: 3, "a window of 1"),
    ("window_mask", lambda queries, keys, window: 1, "should return a tensor"),
    ("attend_softly", lambda q, k, v, cap: 1 / 0, "raised ZeroDivisionError"),
]
