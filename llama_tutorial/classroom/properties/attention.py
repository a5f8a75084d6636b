"""What must hold of attention: of the mask, of its arithmetic, and of the module."""

import math
from functools import cache

import torch

from ...attention import LlamaAttention, attend, attend_by_hand, causal_mask
from ...config import LlamaConfig
from ...kv_cache import KVCache
from ...rotary import LlamaRotaryEmbedding
from ..bugs.attention import Steps
from ..guard import call
from . import Case, Exercise, built, collect, normal, reached, run_with, tells_gradient, wrong_versions

# ---------------------------------------------------------------------------------------------------------- the mask
# A subject is called as mask(queries, keys).

MASK: list[Case] = []
case = collect(MASK)


@case("a query sees keys up to its own place", "query key")
def square(mask):
    return mask(5, 5)


@case("queries are the last of the keys", "query key")
def last(mask):
    return mask(3, 7)


@case("a single query sees all keys", "query key")
def single(mask):
    return mask(1, 7)


@case("331 tokens", "query key")
def long_mask(mask):
    return mask(331, 331)


def adapt_mask(function):
    return lambda queries, keys: call(function, queries, keys)


# ------------------------------------------------------------------------------------------------------------- attend
# A subject is called as attend(q, k, v, mask).

ATTEND: list[Case] = []
case = collect(ATTEND)
MIXED = "batch head query dim"


def _qkv(seed, head=6, kv=3, query=11, key=None, dim=14):
    """Random q, k and v; their scores spread enough to tell a scale from another."""
    key = query if key is None else key
    return normal(seed, 2, head, query, dim), normal(seed + 1, 2, kv, key, dim), normal(seed + 2, 2, kv, key, dim)


def _weights(attend, q, k, mask=None):
    """The weights themselves: value i is a one at place i, so what is mixed is the row of weights."""
    places = torch.eye(k.shape[2]).expand(*k.shape[:2], -1, -1)
    return attend(q, k, places.clone(), mask)


def _tells_weights(found, wanted):
    future = torch.ones(found.shape[-2:]).triu(1 + found.shape[-1] - found.shape[-2]).bool()
    sums, leak = found.sum(-1), found.masked_fill(~future, 0.0).sum(-1)
    if not found.isfinite().all():
        return ""
    if (sums - 1).abs().max() > 1e-3:
        return f"The weights of a query must sum to 1; yours sum to {sums.min():.3f} … {sums.max():.3f}."
    if leak.max() > 1e-3:
        return f"Up to {leak.max():.0%} of a query's weight lies on keys that come after it."
    return ""


@case("one key gets all the weight", MIXED)
def one_key(attend):
    return attend(*_qkv(1, query=1))


@case("equal scores share the weight among the keys so far", "batch head query key", tell=_tells_weights)
def equal_scores(attend):
    q, k, _ = _qkv(2, query=7, dim=7)
    return _weights(attend, torch.zeros_like(q), k)


@case("the weights are softmax(q·k / √dim), over the keys", "batch head query key", tell=_tells_weights)
def weights(attend):
    q, k, _ = _qkv(3, head=3, query=11, dim=11)
    return _weights(attend, q, k)


@case("as many key-value heads as heads", MIXED)
def multi_head(attend):
    return attend(*_qkv(4, head=3))


@case("neighbouring heads share a key-value head", MIXED)
def grouped(attend):
    return attend(*_qkv(5))


@case("all heads share one key-value head", MIXED)
def multi_query(attend):
    return attend(*_qkv(6, head=5, kv=1))


def _tells_leak(found, wanted):
    moved = [i for i in range(5) if not found[..., i, :].abs().max() < 1e-5]
    return f"I edited token 5, and the earlier token {moved[0]} moved: it sees the future." if moved else ""


@case("editing token 5 moves nothing before it", MIXED, tell=_tells_leak)
def causal(attend):
    (q, k, v), (q2, k2, v2) = _qkv(7), _qkv(70)
    for old, new in ((q, q2), (k, k2), (v, v2)):
        new[:, :, :5], new[:, :, 6:] = old[:, :, :5], old[:, :, 6:]
    return (attend(q2, k2, v2) - attend(q, k, v))[:, :, :5]


@case("a mask that is given replaces causality", MIXED)
def given_mask(attend):
    return attend(*_qkv(8, query=7), _any_mask(9, 2, 1, 7, 7))


def _any_mask(seed, *shape):
    """A mask that hides about a third, and never a token from itself."""
    return (normal(seed, *shape) > -0.4) | torch.eye(shape[-2], shape[-1]).bool()


@case("a given mask may be one for all heads and rows", MIXED)
def one_mask(attend):
    return attend(*_qkv(10, query=7), _any_mask(11, 7, 7))


@case("fewer queries than keys: they are the last", MIXED)
def fewer_queries(attend):
    return attend(*_qkv(12, query=3, key=8))


@case("a single query sees all keys", MIXED)
def single_query(attend):
    return attend(*_qkv(13, query=1, key=8))


@case("307 tokens", MIXED, tolerance=5e-4)
def long(attend):
    return attend(*_qkv(14, query=307))


@case("bfloat16 comes back as bfloat16", MIXED, tolerance=3e-2)
def bfloat16(attend):
    return attend(*(part.bfloat16() for part in _qkv(15)))


@case("gradients reach q, k and v", tolerance=1e-3, tell=tells_gradient)
def gradients(attend):
    q, k, v = (part.requires_grad_() for part in _qkv(16, query=5))
    return reached((attend(q, k, v) * normal(17, 2, 6, 5, 14)).sum(), q=q, k=k, v=v)


def adapt_attend(function):
    def attend(q, k, v, mask=None):
        return call(function, q, k, v) if mask is None else call(function, q, k, v, mask)

    return attend


# --------------------------------------------------------------------------------------------------------- the module
# A subject is called as attention(x, config, seed=…, change={…}, rotation=…, mask=…, cache=…).

MODULE: list[Case] = []
case = collect(MODULE)
HIDDEN = "batch seq hidden"


@cache
def _config(head=6, kv=3, hidden=34, **more):
    return LlamaConfig(hidden_size=hidden, num_attention_heads=head, num_key_value_heads=kv, head_dim=10, **more)


def _angles(positions, dim=10, theta=10000.0):
    return LlamaRotaryEmbedding(dim, theta).angles(torch.as_tensor(positions))


@case("a token alone passes its value through v_proj and o_proj", HIDDEN)
def alone(attention):
    return attention(normal(20, 2, 1, 34), _config(kv=6))


@case("zeroing o_proj zeroes the output", HIDDEN)
def projected(attention):
    return attention(normal(21, 2, 5, 34), _config(), change={"o_proj.weight": 0.0})


@case("with equal scores a token gets the mean of the values so far", HIDDEN)
def mean_of_values(attention):
    return attention(normal(22, 2, 11, 34), _config(), change={"q_proj.weight": 0.0})


@case("without rotation: heads are split, mixed, merged and projected", HIDDEN)
def unturned(attention):
    return attention(normal(23, 2, 11, 34), _config(head=3), rotation=(torch.ones(11, 5), torch.zeros(11, 5)))


@case("neighbouring heads share a key-value head", HIDDEN)
def grouped_module(attention):
    return attention(normal(24, 2, 11, 34), _config(), rotation=(torch.ones(11, 5), torch.zeros(11, 5)))


@case("editing token 5 moves nothing before it", HIDDEN, tell=_tells_leak)
def causal_module(attention):
    x = normal(25, 2, 11, 34)
    edited = x.clone()
    edited[:, 5] = normal(26, 2, 34)
    return (attention(edited, _config()) - attention(x, _config()))[:, :5]


@case("values do not depend on positions", HIDDEN)
def values_unturned(attention):
    x, config, rotation = normal(27, 2, 5, 34), _config(), _angles([3, 50, 100, 7, 0])
    return attention(x, config, change={"q_proj.weight": 0.0}, rotation=rotation)


@case("moving all positions together changes nothing", HIDDEN)
def moved_together(attention):
    x, config = normal(28, 2, 7, 34), _config(head=3)
    return attention(x, config, rotation=_angles(range(40, 47))) - attention(x, config, rotation=_angles(range(7)))


@case("the rotation that is given turns q and k", HIDDEN)
def given_rotation(attention):
    return attention(normal(29, 2, 7, 34), _config(), rotation=_angles([0, 5, 6, 30, 31, 80, 200]))


@case("unless given, positions count from 0", HIDDEN)
def own_positions(attention):
    return attention(normal(30, 2, 23, 34), _config())


@case("hidden size = heads · head_dim, one key-value head per head", HIDDEN)
def multi_head_module(attention):
    return attention(normal(31, 2, 11, 30), _config(head=3, kv=3, hidden=30))


@case("all heads share one key-value head", HIDDEN)
def multi_query_module(attention):
    return attention(normal(32, 2, 11, 34), _config(head=5, kv=1))


@case("307 tokens", HIDDEN, tolerance=1e-3)
def long_module(attention):
    return attention(normal(33, 1, 307, 34), _config())


@case("a mask that is given replaces causality", HIDDEN)
def masked_module(attention):
    return attention(normal(34, 2, 7, 34), _config(), mask=_any_mask(35, 2, 1, 7, 7))


@case("the config's theta, scaling and biases are used", HIDDEN, tolerance=1e-3)
def from_config(attention):
    x, scaled = normal(36, 2, 41, 34), LlamaConfig(_config(), rope_scaling={"rope_type": "linear", "factor": 4.0})
    return tuple(attention(x, each) for each in (_config(rope_theta=100.0), scaled, _config(attention_bias=True)))


@case("bfloat16 comes back as bfloat16", HIDDEN, tolerance=4e-2)
def bfloat16_module(attention):
    return attention(normal(37, 2, 11, 34).bfloat16(), _config())


@case("gradients reach the input and every weight", tolerance=2e-3, tell=tells_gradient)
def gradients_module(attention):
    x, weights = normal(38, 2, 5, 34).requires_grad_(), _weights_of(_config(), 39)
    weights = {name: weight.requires_grad_() for name, weight in weights.items()}
    value = (attention(x, _config(), change=weights) * normal(40, 2, 5, 34)).sum()
    return reached(value, x=x, **weights)


@case("lesson 11: with a cache, token by token gives the same", HIDDEN, tolerance=1e-3, later=True)
def cached(attention):
    x, cache = normal(41, 2, 9, 34), KVCache()
    parts = [attention(part, _config(), cache=cache) for part in x.split([4, 1, 3, 1], dim=1)]
    return torch.cat(parts, dim=1)


def _weights_of(config, seed):
    """Random weights in the published names and shapes: queries and keys large enough for scores that differ."""
    hidden, wide = config.hidden_size, config.num_attention_heads * config.head_dim
    narrow = config.num_key_value_heads * config.head_dim
    sizes = {"q_proj": (wide, hidden), "k_proj": (narrow, hidden), "v_proj": (narrow, hidden), "o_proj": (hidden, wide)}
    shapes = {f"{name}.weight": size for name, size in sizes.items()}
    if config.attention_bias:
        shapes |= {f"{name}.bias": size[:1] for name, size in sizes.items()}
    scale = {name: (1.5 if name[0] in "qk" else 1.0) / math.sqrt(shape[-1]) for name, shape in shapes.items()}
    return {name: scale[name] * normal(seed + i, *shape) for i, (name, shape) in enumerate(shapes.items())}


def adapt_class(kind):
    def attention(x, config, seed=50, change=None, **more):
        weights = _weights_of(config, seed)
        for name, value in (change or {}).items():
            weights[name] = value if isinstance(value, torch.Tensor) else torch.full_like(weights[name], value)
        weights = {name: weight.to(x.dtype) for name, weight in weights.items()}
        return run_with(built(kind, config).to(x.dtype), weights, x, **more)

    return attention


# ----------------------------------------------------------------------------------------------------- wrong versions


def attend_with(mask):
    """The lesson's arithmetic under another causal mask."""

    def wrong(q, k, v, given=None):
        made = mask(q.shape[2], k.shape[2], q.device) if given is None else given
        return attend_by_hand(q, k, v, made)

    return wrong


def module_with(wrong):
    """The lesson's module with other arithmetic."""

    class Wrong(Steps):
        def attend(self, q, k, v, mask):
            return wrong(q, k, v, mask)

    return Wrong


LIFT = {  # how a wrong part (first) becomes a wrong version of an exercise (second)
    ("causal_mask", "attend"): attend_with,
    ("causal_mask", "attend_by_hand"): attend_with,
    ("causal_mask", "LlamaAttention"): lambda wrong: module_with(attend_with(wrong)),
    ("attend", "attend_by_hand"): lambda wrong: wrong,
    ("attend", "LlamaAttention"): module_with,
}


EXERCISES = tuple(
    Exercise(reference.__name__, reference, adapt, tuple(cases), wrong_versions(reference.__name__, LIFT))
    for reference, adapt, cases in (
        (causal_mask, adapt_mask, MASK),
        (attend_by_hand, adapt_attend, ATTEND),
        (attend, adapt_attend, ATTEND),
        (LlamaAttention, adapt_class, MODULE),
    )
)
