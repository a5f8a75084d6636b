"""Attention: what must hold of the mask, of its arithmetic and of the module, the way to them, what goes wrong, and
its exercises.

Subjects are called as mask(queries, keys, device), attend(q, k, v, mask), bare(x, dim, seed=…, change={…}), and
attention(x, config, seed=…, change={…}, rotation=…, mask=…, cache=…).
"""

import math
from dataclasses import replace
from functools import cache, partial

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from torch import nn

from ...attention import LlamaAttention, attend, attend_by_hand, causal_mask
from ...config import LlamaConfig
from ...kv_cache import KVCache
from ...rotary import LlamaRotaryEmbedding, rotate
from ..course.exercise import Exercise, chosen, first_fault, own, said, same_tensor, typed_number
from ..judge.guard import Fault, call
from ..judge.parts import Cases, Component, Step
from ..judge.subjects import built, normal, reached, run_with, tells_gradient

component = Component(
    "attention",
    by_hand={
        "if mask is None and q.shape[2] == k.shape[2]:\n"
        "        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)": (
            "return attend_by_hand(q, k, v, mask)"
        ),
    },
)
bug, also = component.bug, component.also


class BareAttention(nn.Module):
    """Causal attention in heads, and nothing besides: (batch, seq, hidden) → the same shape."""

    def __init__(self, hidden=576, dim=64):
        super().__init__()
        self.dim, self.rotary = dim, LlamaRotaryEmbedding(dim)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(hidden, hidden, bias=False) for _ in "qkvo")

    def forward(self, x):
        made, split = (self.q_proj(x), self.k_proj(x), self.v_proj(x)), "batch seq (head dim) -> batch head seq dim"
        q, k, v = (rearrange(each, split, dim=self.dim) for each in made)
        q, k = self.rotary(q), self.rotary(k)
        scores = einsum(q, k, "batch head query dim, batch head key dim -> batch head query key") / math.sqrt(self.dim)
        scores = scores.masked_fill(~causal_mask(x.shape[1], x.shape[1]), -math.inf)
        told = einsum(scores.softmax(dim=-1), v, "batch head query key, batch head key dim -> batch head query dim")
        return self.o_proj(rearrange(told, "batch head seq dim -> batch seq (head dim)"))


# ------------------------------------------------------------------------------------- what must hold of the mask

MASK_CASES = Cases()


@MASK_CASES("a query sees keys up to its own place", "query key")
def square(mask):
    return mask(5, 5)


@MASK_CASES("queries are the last of the keys, and a single one sees them all", "query key")
def last(mask):
    return mask(3, 7), mask(1, 7)


@MASK_CASES("331 tokens", "query key")
def long_mask(mask):
    return mask(331, 331)


@MASK_CASES("it is made on the device that is asked for")
def on_a_device(mask):
    return _on_meta(mask(3, 5, "meta"))


def _on_meta(found):
    """The shape of what was made on the device that holds no numbers; Fault where it lies elsewhere."""
    if not found.is_meta:
        raise Fault(f"I asked for the device meta, and it came on {found.device}: hand `device` on.")
    return torch.tensor(found.shape)


def adapt_mask(function):
    def mask(queries, keys, device=None):
        found = call(function, queries, keys, **({} if device is None else {"device": device}))
        if isinstance(found, torch.Tensor) and found.is_floating_point() and found.isinf().any():
            raise Fault("It holds −∞, to be added to the scores. Here a mask is of bool, True where a query may look.")
        return found

    return mask


# ------------------------------------------------------------------------------------- what must hold of attend

CASES = Cases()
MIXED_AXES, WEIGHT_AXES = "batch head query dim", "batch head query key"


def _qkv(seed, head=6, kv=3, query=11, key=None, dim=14):
    """Random q, k and v; their scores spread enough to tell a scale from another."""
    key = query if key is None else key
    return normal(seed, 2, head, query, dim), normal(seed + 1, 2, kv, key, dim), normal(seed + 2, 2, kv, key, dim)


def _weights(attend, q, k):
    """The weights themselves: value i is a one at place i, so what is mixed is the row of weights."""
    return attend(q, k, torch.eye(k.shape[2]).expand(*k.shape[:2], -1, -1).clone())


def _any_mask(seed, *shape):
    """A mask that hides about a third, and never a token from itself."""
    return (normal(seed, *shape) > -0.4) | torch.eye(shape[-2], shape[-1]).bool()


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


def _tells_leak(found, wanted):
    moved = [i for i in range(5) if not found[..., i, :].abs().max() < 1e-5]
    return f"I edited token 5, and the earlier token {moved[0]} moved: it sees the future." if moved else ""


def runs(name: str, says: str, seed: int, tolerance: float = 3e-4, **sizes):
    """Enter the case `name`: what is made of random q, k and v of these sizes."""
    CASES(says, MIXED_AXES, tolerance=tolerance)(lambda attend: attend(*_qkv(seed, **sizes))).__name__ = name


runs("one_key", "one key gets all the weight", 1, query=1)


@CASES("the weights are softmax(q·k / √dim), over the keys", WEIGHT_AXES, tell=_tells_weights)
def weights(attend):
    q, k, _ = _qkv(3, head=3, query=11, dim=11)
    return _weights(attend, q, k)


runs("multi_head", "as many key-value heads as heads", 4, head=3)
runs("grouped", "neighbouring heads share a key-value head", 5)
runs("multi_query", "all heads share one key-value head", 6, head=5, kv=1)


@CASES("editing token 5 moves nothing before it", MIXED_AXES, tell=_tells_leak)
def causal(attend):
    (q, k, v), (q2, k2, v2) = _qkv(7), _qkv(70)
    for old, new in ((q, q2), (k, k2), (v, v2)):
        new[:, :, :5], new[:, :, 6:] = old[:, :, :5], old[:, :, 6:]
    return (attend(q2, k2, v2) - attend(q, k, v))[:, :, :5]


@CASES("a mask that is given replaces causality", MIXED_AXES)
def given_mask(attend):
    """A mask for every row, and one for all."""
    return tuple(attend(*_qkv(8, query=7), _any_mask(9, *shape)) for shape in ((2, 1, 7, 7), (7, 7)))


@CASES("fewer queries than keys: they are the last, and a single one sees all", MIXED_AXES)
def fewer_queries(attend):
    return tuple(attend(*_qkv(12, query=query, key=8)) for query in (3, 1))


runs("long", "307 tokens", 14, tolerance=5e-4, head=2, kv=1, query=307)


@CASES("bfloat16 comes back as bfloat16", MIXED_AXES, tolerance=3e-2)
def bfloat16(attend):
    return attend(*(part.bfloat16() for part in _qkv(15)))


@CASES("bfloat16: the weights sum to 1, as they do when the softmax works in float32", MIXED_AXES, tolerance=3e-3)
def bfloat16_sums(attend):
    """What is mixed of ones: the sum of so many weights that the rounding of each averages out."""
    q, k, _ = (part.bfloat16() for part in _qkv(18, query=64))
    return attend(q, k, torch.ones_like(k))[:, :, 32:]


@CASES("gradients reach q, k and v", tolerance=1e-3, tell=tells_gradient)
def gradients(attend):
    q, k, v = (part.requires_grad_() for part in _qkv(16, query=5))
    return reached((attend(q, k, v) * normal(17, 2, 6, 5, 14)).sum(), q=q, k=k, v=v)


@CASES("a query that may look at nothing gets zeros", MIXED_AXES, later=True)
def nothing_to_see(attend):
    """One row of the mask is False throughout, as padding makes it."""
    mask = torch.ones(7, 7).tril().bool()
    mask[2] = False
    return attend(*_qkv(21, query=7), mask)


@CASES("on another device: the mask is made where q is", later=True)
def elsewhere(attend):
    return _on_meta(attend(*(part.to("meta") for part in _qkv(19))))


def adapt_attend(function):
    def attend(q, k, v, mask=None):
        given = (q, k, v) if mask is None else (q, k, v, mask)
        return function(*given) if q.is_meta else call(function, *given)  # without numbers there is nothing to compare

    return attend


# ------------------------------------------------------------------------------------- what must hold of the module

OF_CLASS = Cases()
HIDDEN_AXES = "batch seq hidden"


@cache
def _config(head=6, kv=3, hidden=34, **more):
    return LlamaConfig(hidden_size=hidden, num_attention_heads=head, num_key_value_heads=kv, head_dim=10, **more)


def _angles(positions):
    return LlamaRotaryEmbedding(10).angles(torch.as_tensor(positions))


ALIKE = torch.full((11, 5), 0.6), torch.full((11, 5), 0.8)


def of_x(name, says, seed, seq, head=6, kv=3, hidden=34, tolerance=3e-4, degenerate=False, **more):
    """Enter the case `name`: what the module makes of random x of these sizes."""
    x, config = normal(seed, 2, seq, hidden), _config(head, kv, hidden)
    enter = OF_CLASS(says, HIDDEN_AXES, tolerance=tolerance, degenerate=degenerate)
    enter(lambda attention: attention(x, config, **more)).__name__ = name


LONE = "a token alone, wherever it stands, passes its value through v_proj and o_proj"
of_x("alone", LONE, 20, seq=1, kv=6, rotation=_angles([3]))
of_x("projected", "zeroing o_proj zeroes the output", 21, seq=5, degenerate=True, change={"o_proj.weight": 0.0})
SPLITS = "all tokens turned alike: heads are split, mixed, merged and projected"
of_x("turned_alike", SPLITS, 23, seq=11, head=3, rotation=ALIKE)
of_x("grouped_module", "neighbouring heads share a key-value head", 24, seq=11, rotation=ALIKE)


@OF_CLASS("editing token 5 moves nothing before it", HIDDEN_AXES, tell=_tells_leak)
def causal_module(attention):
    x = normal(25, 2, 11, 34)
    edited = x.clone()
    edited[:, 5] = normal(26, 2, 34)
    return (attention(edited, _config()) - attention(x, _config()))[:, :5]


MEANS, APART = "with equal scores a token gets the mean of the values so far, wherever they stand", [3, 50, 100, 7, 0]
of_x("values_unturned", MEANS, 27, seq=5, change={"q_proj.weight": 0.0}, rotation=_angles(APART))


@OF_CLASS("moving all positions together changes nothing", HIDDEN_AXES)
def moved_together(attention):
    x, config = normal(28, 2, 7, 34), _config(head=3)
    return attention(x, config, rotation=_angles(range(40, 47))) - attention(x, config, rotation=_angles(range(7)))


of_x("given_rotation", "the rotation that is given turns q and k", 29, seq=5, rotation=_angles(APART))
of_x("own_positions", "unless given, positions count from 0", 30, seq=23)
of_x("multi_head_module", "hidden size = heads · head_dim, one key-value head per head", 31, 11, 3, 3, hidden=30)
of_x("multi_query_module", "all heads share one key-value head", 32, seq=11, head=5, kv=1)
of_x("long_module", "307 tokens", 33, seq=307, head=2, kv=1, tolerance=1e-3)
of_x("masked_module", "a mask that is given replaces causality", 34, seq=7, mask=_any_mask(35, 2, 1, 7, 7))


@OF_CLASS("a mask of floats is refused, and never added to the scores", later=True)
def refuses_floats(attention):
    """An error, or the same as with the mask of bool."""
    x, mask = normal(43, 1, 7, 34), _any_mask(46, 7, 7)
    try:
        found = attention(x, _config(), mask=mask.float())
    except Exception:
        return torch.tensor(True)
    if not torch.allclose(found, attention(x, _config(), mask=mask), atol=1e-4):
        raise Fault("A mask of floats came through, and was added to the scores; check_mask refuses all but bool.")
    return torch.tensor(True)


@OF_CLASS("the config's theta, scaling and biases are used", HIDDEN_AXES, tolerance=1e-3)
def from_config(attention):
    x, scaled = normal(36, 2, 41, 34), LlamaConfig(_config(), rope_scaling={"rope_type": "linear", "factor": 4.0})
    return tuple(attention(x, each) for each in (_config(rope_theta=100.0), scaled, _config(attention_bias=True)))


@OF_CLASS("bfloat16 comes back as bfloat16", HIDDEN_AXES, tolerance=4e-2)
def bfloat16_module(attention):
    return attention(normal(37, 2, 11, 34).bfloat16(), _config())


@OF_CLASS("bfloat16: the weights sum to 1, as they do when the softmax works in float32", HIDDEN_AXES, tolerance=3e-3)
def bfloat16_sums_module(attention):
    """Every value is 1, and o_proj lets the first of each head through: the sums of the weights."""
    change = {"v_proj.weight": 0.0, "v_proj.bias": 1.0, "o_proj.bias": 0.0, "o_proj.weight": torch.eye(60)[::10]}
    x = (normal(42, 2, 64, 6) / 2).bfloat16()
    return attention(x, _config(hidden=6, attention_bias=True), change=change)[:, 32:]


@OF_CLASS("gradients reach the input and every weight", tolerance=2e-3, tell=tells_gradient)
def gradients_module(attention):
    x = normal(38, 2, 5, 34).requires_grad_()
    change = {name: weight.requires_grad_() for name, weight in _weights_of(_config(), 39).items()}
    return reached((attention(x, _config(), change=change) * normal(40, 2, 5, 34)).sum(), x=x, **change)


@OF_CLASS("lesson 11: with a cache, token by token gives the same", HIDDEN_AXES, tolerance=1e-3, later=True)
def cached(attention):
    x, cache = normal(41, 2, 9, 34), KVCache()
    return torch.cat([attention(part, _config(), cache=cache) for part in x.split([4, 1, 3, 1], dim=1)], dim=1)


@OF_CLASS("lesson 11: with a cache, a mask tells of all its keys", HIDDEN_AXES, tolerance=1e-3, later=True)
def cached_and_masked(attention):
    x, cache, mask = normal(44, 2, 7, 34), KVCache(), _any_mask(45, 7, 7)
    first = attention(x[:, :4], _config(), cache=cache, mask=mask[:4, :4])
    return torch.cat([first, attention(x[:, 4:], _config(), cache=cache, mask=mask[4:])], dim=1)


@OF_CLASS("on another device: the mask is made where x is", later=True)
def elsewhere_module(attention):
    return _on_meta(attention(normal(47, 2, 5, 34).to("meta"), _config()))


def _weights_of(config, seed, change=None, dtype=torch.float32):
    """Random weights in the published names and shapes: queries and keys large enough for scores that differ."""
    hidden, wide = config.hidden_size, config.num_attention_heads * config.head_dim
    narrow = config.num_key_value_heads * config.head_dim
    sizes = {"q_proj": (wide, hidden), "k_proj": (narrow, hidden), "v_proj": (narrow, hidden), "o_proj": (hidden, wide)}
    shapes = {f"{name}.weight": size for name, size in sizes.items()}
    if config.attention_bias:
        shapes |= {f"{name}.bias": size[:1] for name, size in sizes.items()}
    scale = {name: (1.5 if name[0] in "qk" else 1.0) / math.sqrt(shape[-1]) for name, shape in shapes.items()}
    made = {name: scale[name] * normal(seed + i, *shape) for i, (name, shape) in enumerate(shapes.items())}
    for name, value in (change or {}).items():
        made[name] = value if isinstance(value, torch.Tensor) else torch.full_like(made[name], value)
    return {name: weight.to(dtype) for name, weight in made.items()}


def adapt_class(kind):
    def attention(x, config, seed=50, change=None, **more):
        if x.is_meta:
            return built(kind, config).to("meta")(x)
        return run_with(built(kind, config).to(x.dtype), _weights_of(config, seed, change, x.dtype), x, **more)

    return attention


# ----------------------------------------------------------------------------------- what must hold of the bare module

OF_BARE = Cases()


@cache
def _bare_config(hidden, dim):
    return LlamaConfig(hidden_size=hidden, num_attention_heads=hidden // dim, num_key_value_heads=hidden // dim,
                       head_dim=dim)  # fmt: skip


def of_bare(name, says, seed, seq, hidden=30, tolerance=3e-4, degenerate=False, **more):
    """Enter the case `name`: what the bare module makes of random x, in heads of 10."""
    x, enter = normal(seed, 2, seq, hidden), OF_BARE(says, HIDDEN_AXES, tolerance=tolerance, degenerate=degenerate)
    enter(lambda bare: bare(x, 10, **more)).__name__ = name


of_bare("bare_alone", "a token alone passes its value through v_proj and o_proj", 71, seq=1)
of_bare("bare_projected", "zeroing o_proj zeroes the output", 72, 5, degenerate=True, change={"o_proj.weight": 0.0})
MEAN = "with equal scores a token gets the mean of the values so far"
of_bare("bare_mean", MEAN, 73, 5, change={"q_proj.weight": 0.0})
of_bare("bare_head", "one head: the weights are softmax(q·k / √dim), over the keys", 74, 11, hidden=10)


@OF_BARE("editing token 5 moves nothing before it", HIDDEN_AXES, tell=_tells_leak)
def bare_causal(bare):
    x = normal(75, 2, 11, 30)
    edited = x.clone()
    edited[:, 5] = normal(76, 2, 30)
    return (bare(edited, 10) - bare(x, 10))[:, :5]


of_bare("bare_heads", "three heads, each on its own", 77, 11)
of_bare("bare_long", "307 tokens", 78, 307, hidden=20, tolerance=1e-3)


@OF_BARE("gradients reach the input and every weight", tolerance=2e-3, tell=tells_gradient)
def bare_gradients(bare):
    x = normal(79, 2, 5, 30).requires_grad_()
    change = {name: weight.requires_grad_() for name, weight in _weights_of(_bare_config(30, 10), 80).items()}
    return reached((bare(x, 10, change=change) * normal(84, 2, 5, 30)).sum(), x=x, **change)


def adapt_bare(kind):
    def bare(x, dim, seed=50, change=None):
        return run_with(built(kind, x.shape[-1], dim), _weights_of(_bare_config(x.shape[-1], dim), seed, change), x)

    return bare


# ------------------------------------------------------------------------------------------------------- the steps

QUERIES, KEYS, VALUES = "the queries", "the keys", "the values"
TURNED_Q, TURNED_K = "the turned queries", "the turned keys"
QUERY_PLACES, KEY_PLACES, MASK = "the places of the queries", "the places of the keys", "the mask"
RAW, SCALED, MASKED = "q · k", "q · k / √dim", "the scores, −∞ where a query may not look"
WEIGHTS, MIXED, OUTPUT = "the weights (softmax over the keys)", "the mixed values", "the output of o_proj"
KERNEL = "scaled_dot_product_attention"


def mask_steps(queries, keys, device=None):
    """What the causal mask is made of, and the mask."""
    return [
        Step(QUERY_PLACES, torch.arange(keys - queries, keys), (), waypoint=True),
        Step(KEY_PLACES, torch.arange(keys), (), waypoint=True),
        Step(MASK, causal_mask(queries, keys, device), (QUERY_PLACES,), inside=KERNEL, axes="query key"),
    ]


def attend_steps(q, k, v, mask=None, names=(QUERIES, KEYS, VALUES)):
    """What is computed on the way, in its order, after q, k and v, which bear these names."""
    if k.shape[2] == 1:
        raise ValueError("a single key gets all the weight, whatever was made before: no step shows")
    given = [Step(name, part, (), waypoint=True) for name, part in zip(names, (q, k, v))]
    k, v = (part.repeat_interleave(q.shape[1] // part.shape[1], dim=1) for part in (k, v))
    given += [Step(f"{name}, one for each head", part, (), waypoint=True) for name, part in zip(names[1:], (k, v))]
    *places, causal = mask_steps(q.shape[2], k.shape[2])
    mask = causal.value if mask is None else mask
    raw = q @ k.mT
    scores = raw / math.sqrt(q.shape[-1])
    masked = scores.masked_fill(~mask, -math.inf)
    weights = masked.softmax(-1, dtype=torch.promote_types(q.dtype, torch.float32)).to(q.dtype)
    return [
        *given,
        *places,
        Step(RAW, raw, names[:2], waypoint=True, axes=WEIGHT_AXES),
        Step(SCALED, scores, (RAW,), inside=KERNEL, axes=WEIGHT_AXES),
        replace(causal, value=mask),
        Step(MASKED, masked, (SCALED, MASK), waypoint=True, axes=WEIGHT_AXES),
        Step(WEIGHTS, weights, (MASKED,), inside=KERNEL, axes=WEIGHT_AXES),
        Step(MIXED, weights @ v, (WEIGHTS, names[2]), axes=MIXED_AXES),
    ]


def module_steps(x, config, seed=50, change=None, rotation=None, mask=None, cache=None):
    if cache is not None:  # by now it holds other keys than when it was given
        return []
    weights = _weights_of(config, seed, change, x.dtype)

    def projected(name, x):
        return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    q, k, v = (
        rearrange(projected(f"{name}_proj", x), "batch seq (head dim) -> batch head seq dim", dim=config.head_dim)
        for name in "qkv"
    )
    if rotation is None:
        rotary = LlamaRotaryEmbedding(config.head_dim, config.rope_theta, config.rope_scaling)
        rotation = rotary.angles(torch.arange(x.shape[1]))
    turned_q, turned_k = rotate(q, rotation), rotate(k, rotation)
    _, _, _, *inner = attend_steps(turned_q, turned_k, v, mask, (TURNED_Q, TURNED_K, VALUES))
    merged = rearrange(inner[-1].value, "batch head seq dim -> batch seq (head dim)")
    return [
        *(Step(name, part, (), axes="batch head seq dim") for name, part in zip((QUERIES, KEYS, VALUES), (q, k, v))),
        *(Step(f"{name} of the angles", part, (), waypoint=True) for name, part in zip(("cos", "sin"), rotation)),
        Step(TURNED_Q, turned_q, (QUERIES,), axes="batch head seq dim"),
        Step(TURNED_K, turned_k, (KEYS,), axes="batch head seq dim"),
        *inner,
        Step(OUTPUT, projected("o_proj", merged), axes=HIDDEN_AXES),
    ]


def bare_steps(x, dim, seed=50, change=None):
    return module_steps(x, _bare_config(x.shape[-1], dim), seed, change)


component.part(causal_mask, adapt_mask, MASK_CASES, mask_steps)
component.part(attend_by_hand, adapt_attend, CASES, attend_steps)
component.part(attend, adapt_attend, CASES, attend_steps)
component.part(LlamaAttention, adapt_class, OF_CLASS, module_steps, unseen=("nothing_is_no_number",))
UNSEEN = "counted_from_key_zero", "mask_on_the_usual_device"  # it has as many keys as queries, and names no device
component.part(BareAttention, adapt_bare, OF_BARE, bare_steps, unseen=UNSEEN)


# ------------------------------------------------------------------------------------------------- what goes wrong
# fmt: off

SILENT = "None that the loss shows: trained from scratch, it is the same. Published weights give gibberish."
LEAK = "The loss is far too good, because every token sees what it is to predict; generation is gibberish."
PART_LEAK = "The loss is better than it should be: a part of every token's weight lies in the future."
FLAT = "Nearly none. Published weights look at everything alike."
OWN_MASK = "causal_mask(q.shape[2], k.shape[2], device=q.device)"
PLACE = 'key <= rearrange(query, "query -> query 1")'
FILL = "    scores = scores.masked_fill(~mask, -math.inf)\n"
ZEROED = "    weights = weights.masked_fill(~mask, 0.0)  # where a query may look at nothing, softmax has no number\n"
PLAIN = {ZEROED: ""}  # without the line for queries that may look at nothing
STRICT = PLAIN | {OWN_MASK: f"{OWN_MASK}.tril(k.shape[2] - q.shape[2] - 1)"}
GROUPED = '    q = rearrange(q, "batch (kv group)'
SOFTMAX = "scores.softmax(dim=-1, dtype=torch.promote_types(q.dtype, torch.float32)).to(q.dtype)"


def by_kernel(arguments):
    """attend_by_hand by PyTorch's kernel."""
    call = f"F.scaled_dot_product_attention(q, k, v, {arguments}, enable_gqa=True)"
    return {"    if mask is None:\n": f"    return {call}\n    if mask is None:\n"}


def repeated(how):
    """Keys and values made as many as the queries' heads before they are grouped, each `part` as `how` says."""
    return {GROUPED: f"    k, v = (part.{how} for part in (k, v))\n{GROUPED}"}


bug("mask_absent", "causal_mask", {PLACE: "torch.ones(queries, keys, dtype=torch.bool, device=device)"},
    step=(MASK, WEIGHTS), symptom=LEAK,
    says="There is no causal mask: editing token 5 changed what earlier tokens saw. Let a query look only at keys up "
    "to its own place.")
also("mask_absent", "attend_by_hand", {FILL: "", ZEROED: ""})
bug("mask_transposed", "causal_mask", {PLACE: PLACE.replace("<=", ">=")}, step=MASK, symptom=LEAK,
    says="The mask is transposed: queries look at the future and not at the past. Swap query and key (tril, not triu).")
also("mask_transposed", "causal_mask", {PLACE: 'rearrange(key, "key -> key 1") <= query'})
bug("mask_one_late", "causal_mask", {PLACE: f"{PLACE} + 1"}, step=MASK, symptom=LEAK,
    says="The mask is off by one: every query also sees the next token, which it is to predict. key <= query.")
bug("diagonal_masked", "causal_mask", {PLACE: PLACE.replace("<=", "<")},
    step=(MASK, WEIGHTS), symptom="NaN in the first step, or a first token that hears nothing.",
    says="The diagonal is masked: query 0 has no key left, and a softmax over nothing is NaN. "
    "A token sees itself: key <= query.")
also("diagonal_masked", "attend_by_hand", STRICT, *(
    STRICT | {"-math.inf": number} for number in ("torch.finfo(q.dtype).min", "-1e9")))
bug("mask_inverted", "causal_mask", {PLACE: PLACE.replace("<=", ">")}, step=(MASK, WEIGHTS), symptom=LEAK,
    says="True and False have changed places: True means that a query may look.")
LOOKED_AT = FILL.replace("~mask", "mask")
also("mask_inverted", "attend_by_hand", PLAIN | {OWN_MASK: f"~{OWN_MASK}"}, PLAIN | {FILL: LOOKED_AT},
     {FILL: LOOKED_AT})
bug("counted_from_key_zero", "causal_mask", {"torch.arange(keys - queries, keys,": "torch.arange(queries,"},
    step=MASK, symptom="None in training. With a cache every new token sees the first keys only.",
    says="Queries are counted from key 0. With a cache there are more keys than queries, and the queries are the last "
    "of them: query i stands at keys − queries + i.")
bug("mask_on_the_usual_device", "causal_mask",
    {"(keys - queries, keys, device=device)": "(keys - queries, keys)", "(keys, device=device)": "(keys)"},
    step=MASK, symptom="None on the CPU. On a GPU an error: expected all tensors to be on the same device.",
    says="The mask is made on the usual device, wherever q is. Make its parts with device=device, "
    "and ask for it with device=q.device.")
bug("no_scale", "attend_by_hand", {" / math.sqrt(q.shape[-1])": ""}, step=SCALED,
    symptom="None, or a better loss, in a toy. With wide heads the softmax picks one key and stops learning.",
    says="The scores are not divided by √dim: their spread is about √head_dim, and it should be about 1.")
bug("divided_by_dim", "attend_by_hand", {"math.sqrt(q.shape[-1])": "q.shape[-1]"}, step=SCALED, symptom=FLAT,
    says="The scores are divided by head_dim, not by its root: they are √dim times too small.")
bug("divided_by_root_of_width", "attend_by_hand", {"sqrt(q.shape[-1])": "sqrt(q.shape[1] * q.shape[2] * q.shape[-1])"},
    step=SCALED, symptom=FLAT,
    says="The scores are divided by the root of the model's width. Each score is a sum over one head: divide by "
    "√head_dim.")
also("divided_by_root_of_width", "LlamaAttention", {
    "attend(q, k": "attend(q * math.sqrt(self.head_dim / self.hidden_size), k"})
bug("divided_by_eight", "attend_by_hand", {"math.sqrt(q.shape[-1])": "math.sqrt(64)"}, step=SCALED,
    symptom="None while a head has 64 numbers. With any other size published weights are worse.",
    says="The scores are divided by 8, the root of 64, whatever the size of a head. Divide by the root of the size "
    "that the queries have.")
bug("times_root", "attend_by_hand", {"/ math.sqrt(q": "* math.sqrt(q"},
    step=SCALED, symptom="Training is slow: the softmax picks one key from the start.",
    says="The scores are multiplied by √dim instead of divided by it.")
bug("softmax_over_queries", "attend_by_hand", {"softmax(dim=-1": "softmax(dim=-2"},
    step=WEIGHTS, symptom="The loss is far too good: a later query changes what earlier ones get.",
    says="The softmax runs over the queries: your columns sum to 1, not your rows. A query shares its 1 among the "
    "keys: softmax over the last axis.")
bug("softmax_over_heads", "attend_by_hand",
    PLAIN | {"softmax(dim=-1": "softmax(dim=1"}, {"softmax(dim=-1": "softmax(dim=1"},
    step=WEIGHTS, symptom="The loss is a little worse, and heads lose their meaning.",
    says="The softmax runs over the heads: dim=1 is the head axis. Use the last axis, the keys.")
bug("softmax_in_own_dtype", "attend_by_hand",
    {SOFTMAX: "(scores - scores.amax(-1, keepdim=True)).exp()\n    weights = weights / weights.sum(-1, keepdim=True)"},
    step=WEIGHTS, symptom="None in float32. In bfloat16 the weights of a query sum to anything from 0.996 to 1.004.",
    says="The softmax works in the dtype of q: in bfloat16 its sum has two good digits. Let it work in float32 "
    "(softmax(dim=-1, dtype=torch.float32)), and come back after it.")
bug("stays_in_float32", "attend_by_hand",
    {SOFTMAX: SOFTMAX.replace(".to(q.dtype)", ""), "(weights, v,": "(weights, v.float(),"},
    {SOFTMAX: SOFTMAX.replace(".to(q.dtype)", "")},
    step=WEIGHTS, symptom="In bfloat16 an error about dtypes, or everything after it in float32, at twice the memory.",
    says="You went up to float32 and did not come back: what is mixed must have q's dtype. Add .to(q.dtype).")
bug("filled_with_zero", "attend_by_hand",
    PLAIN | {"-math.inf": "0.0"}, PLAIN | {FILL: "    scores = scores * mask\n"},
    step=WEIGHTS, symptom=PART_LEAK,
    says="Hidden scores are filled with 0, and exp(0) is 1: the future still gets weight. Fill with −inf.")
bug("zero_times_infinity", "attend_by_hand",
    PLAIN | {FILL: "    scores = scores * mask + ~mask * -math.inf\n"},
    {FILL: "    scores = scores * mask + ~mask * -math.inf\n"},
    PLAIN | {FILL: "    scores = scores + ~mask * -math.inf\n"}, {FILL: "    scores = scores + ~mask * -math.inf\n"},
    step=(MASKED, WEIGHTS), symptom="NaN in the first step.",
    says="0 times ∞ is no number (NaN), and that is what you add where a query may look. Fill instead: "
    "masked_fill puts −inf where the mask says, and leaves the rest.")
bug("nothing_is_no_number", "attend_by_hand", PLAIN, PLAIN | {"-math.inf": "-1e9"}, step=WEIGHTS,
    symptom="None, until padding leaves a query nothing to look at: then NaN, which spreads to the whole text.",
    says="A query that may look at nothing gets no zeros: softmax of nothing is NaN, and of equal numbers a mean. "
    "Fill the weights with 0 where the mask is False, after the softmax.")
bug("filled_with_zero_and_zeroed", "attend_by_hand", {"-math.inf": "0.0"}, {"-math.inf": "-1e-9"}, step=WEIGHTS,
    symptom="The loss is a little worse: early tokens pass on less than late ones.",
    says="Hidden scores are filled with 0, whose exp is 1, and their weights are set to 0 after the softmax: your rows "
    "do not sum to 1. Fill with −inf, which takes no share.")
bug("filled_with_a_tiny_number", "attend_by_hand", PLAIN | {"-math.inf": "-1e-9"}, step=WEIGHTS, symptom=PART_LEAK,
    says="Hidden scores are filled with a tiny number (−1e−9), and its exp is 1: the future still gets weight. "
    "Fill with −inf (or −1e9: a large one).")
bug("zeroed_after_softmax", "attend_by_hand", {FILL: ""}, step=WEIGHTS,
    symptom="The loss is better than it should be: what is hidden still leaks through the denominator.",
    says="The weights are set to 0 after the softmax: your rows do not sum to 1, and their sum tells of the future. "
    "Fill the scores with −inf before.")
bug("kv_tiled", "attend_by_hand", repeated("repeat(1, q.shape[1] // part.shape[1], 1, 1)"),
    {f'"batch {old}"': f'"batch {old}"'.replace("(kv group)", "(group kv)") for old in (
        "(kv group) query dim -> batch kv group query dim", "kv group query key -> batch (kv group) query key",
        "(kv group) query key -> batch kv group query key", "kv group query dim -> batch (kv group) query dim")},
    step=SCALED, symptom=SILENT,
    says="The keys and values are tiled, 0 1 2 0 1 2, where each should serve neighbours, 0 0 1 1 2 2: "
    "query heads 0 and 1 share key-value head 0. `(kv group)`, or repeat_interleave.")
NEIGHBOURS, DEALT = "repeat_interleave({}, dim=1)", "repeat(1, {}, 1, 1)"
GROUP = "q.shape[1] // v.shape[1]"
for name, here, other, of_k, of_v in (
    ("only_keys_shared", "keys", "values", NEIGHBOURS, DEALT),
    ("only_values_shared", "values", "keys", DEALT, NEIGHBOURS),
):
    made = f"k, v = k.{of_k.format(GROUP)}, v.{of_v.format(GROUP)}"
    bug(name, "attend_by_hand", {GROUPED: f"    {made}\n{GROUPED}"}, step=(SCALED, MIXED), symptom=SILENT,
        says=f"Neighbours share the {here}, and the {other} are still dealt out in turn, 0 1 2 0 1 2: a query weighs "
        "with one head and hears another. Both need the same order, 0 0 1 1 2 2.")
LONGER = "repeat_interleave(q.shape[1] // part.shape[1], dim=2)"
bug("repeats_time", "attend_by_hand",
    {GROUPED: repeated(LONGER)[GROUPED].replace(GROUPED, f"    q @ k.mT\n{GROUPED}")},
    repeated(f"{LONGER}.reshape(len(q), q.shape[1], -1, part.shape[-1])"),
    step=SCALED, symptom="An error about sizes where heads are shared; none where the sizes happen to fit.",
    says="The keys are repeated along time, not along the heads. Make batch, seq, head and dim distinct while testing, "
    "and repeat dim=1, the head axis.")
bug("mask_ignored", "attend_by_hand", {"if mask is None:": "if True:"}, by_kernel("is_causal=True"),
    step=(MASK, MIXED), symptom="None in training. Padding and other masks have no effect.",
    says="The mask that you were given is not used. A given mask replaces causality.")
bug("mask_and_causality", "attend_by_hand",
    {f"{OWN_MASK}\n": f"{OWN_MASK}\n    else:\n        mask = mask & {OWN_MASK}\n"},
    by_kernel("mask, is_causal=True"), by_kernel("mask, is_causal=q.shape[2] == k.shape[2]"), step=(MASK, MIXED),
    symptom="None with causal masks. A mask that lets tokens look ahead, as within a prompt, has no effect.",
    says="A given mask is combined with causality. It should replace it: whoever gives a mask says all of it.")
bug("given_mask_inverted", "attend_by_hand", {f"{OWN_MASK}\n": f"{OWN_MASK}\n    else:\n        mask = ~mask\n"},
    step=WEIGHTS, symptom="The loss is far too good with a mask; generation is gibberish.",
    says="The given mask is read the wrong way round: True means that a query may look. Fill where it is False.")
bug("is_causal_always", "attend_by_hand", by_kernel("mask, is_causal=mask is None"),
    step=MIXED, symptom="None in training. With a cache every new token sees the first keys only, or the future.",
    says="PyTorch's is_causal counts queries from key 0. Where there are more keys than queries, give a mask.")

bug("fewer_see_all", "attend_by_hand", by_kernel("mask, is_causal=mask is None and q.shape[2] == k.shape[2]"),
    step=MIXED, symptom="None in training. Where several tokens are added to a cache at once, they see each other.",
    says="With fewer queries than keys and no mask, yours hides nothing. One query alone sees every key; of several "
    "each sees the keys up to its own place: give the causal mask.")

# In the module.
ROPE = "config.head_dim, config.rope_theta, config.rope_scaling)"
ROTATION = "self.rotary_emb.angles(places(x, cache))"
TURN = "q, k = rotate(q, rotation), rotate(k, rotation)"
SPLIT = {
    part: f'rearrange(self.{part}_proj(x), "batch seq ({axis} dim) -> batch {axis} seq dim", dim=self.head_dim)'
    for part, axis in (("q", "head"), ("k", "kv"), ("v", "kv"))
}
RESHAPED = {old: f"self.{part}_proj(x).reshape(len(x), -1, x.shape[1], self.head_dim)" for part, old in SPLIT.items()}
MERGE = 'rearrange(mixed, "batch head seq dim -> batch seq (head dim)")'
MERGED = "mixed.reshape(len(x), x.shape[1], -1)"
CHECKED = "if mask is not None:\n            check_mask(mask, q, cache)"
WHY = "  # a mask of floats would be added to the scores\n"
ATTEND = "mixed = attend(q, k, v, mask)"


def along_heads(turned):
    """Rotary turns along the head axis."""
    there, back = "batch head seq dim -> batch seq head dim", "batch seq head dim -> batch head seq dim"
    swapped = f'q, k = (rearrange(part, "{there}") for part in (q, k))'
    return {TURN: f'{swapped}\n        q, k = {turned}\n        q, k = (rearrange(part, "{back}") for part in (q, k))'}


bug("model_width", "LlamaAttention", {f"({ROPE}": f"({ROPE}".replace("head_dim", "hidden_size")},
    {f"({ROPE}": f"({ROPE}".replace("head_dim", "hidden_size"),
     ROTATION: f"tuple(part[..., : self.head_dim // 2] for part in {ROTATION})"}, step=TURNED_Q, symptom=SILENT,
    says="The rotary frequencies are made for the model's width, so that the slowest wavelength is too short. Rotary "
    "turns one head: LlamaRotaryEmbedding(head_dim).")
bug("theta_of_config_ignored", "LlamaAttention", {ROPE: ROPE.replace("config.rope_theta", "10000.0")}, step=TURNED_Q,
    symptom="None with the usual base. Llama 3 (theta = 500,000) is right at position 0 and worse with every token.",
    says="The config's rope_theta is not used: hand it to LlamaRotaryEmbedding.")
bug("scaling_of_config_ignored", "LlamaAttention", {ROPE: ROPE.replace("config.rope_scaling", "None")},
    step=TURNED_Q, symptom="None in short prompts. In long ones Llama 3.1 and later lose the thread.",
    says="The config's rope_scaling is not used: hand it to LlamaRotaryEmbedding.")
bug("only_q_turned", "LlamaAttention", {TURN: "q = rotate(q, rotation)"},
    step=TURNED_K, symptom="The loss is clearly worse.",
    says="Only the queries are turned: a score changed when both positions moved together. Turn the keys too.")
bug("only_k_turned", "LlamaAttention", {TURN: "k = rotate(k, rotation)"},
    step=TURNED_Q, symptom="The loss is clearly worse.",
    says="Only the keys are turned: a score changed when both positions moved together. Turn the queries too.")
bug("v_turned", "LlamaAttention", {TURN: f"{TURN}\n        v = rotate(v, rotation)"}, step=MIXED, symptom=SILENT,
    says="The values are turned too. Positions decide who looks where; what is passed on must not depend on them.")
bug("never_turned", "LlamaAttention", {f"        {TURN}\n": ""},
    step=TURNED_Q, symptom="The loss is that of a model without positions.",
    says="Nothing is turned: permuting the tokens permutes the outputs. Turn q and k before the scores.")
bug("head_axis", "LlamaAttention", along_heads("self.rotary_emb(q), self.rotary_emb(k)"),
    along_heads("rotate(q, rotation), rotate(k, rotation)"),
    step=TURNED_Q, symptom="The same as no rotary at all, or an error about sizes.",
    says="The angles run along the head axis: permuting heads changed the scores, permuting positions did not. "
    "Bring q and k to (batch, head, seq, dim) before turning them.")
bug("rotation_ignored", "LlamaAttention", {"if rotation is None:": "if True:"},
    step=TURNED_Q, symptom="None in training. With padding, or a cache, tokens stand at the wrong positions.",
    says="The rotation that you were given is not used: you always count from 0. Use `rotation` where it is given.")
bug("heads_by_reshape", "LlamaAttention", RESHAPED, {SPLIT["q"]: RESHAPED[SPLIT["q"]]}, RESHAPED | {MERGE: MERGED},
    step=(TURNED_Q, SCALED), symptom="The loss is far too good: every head mixes several tokens, later ones too.",
    says="(batch, seq, hidden) is reshaped into (batch, head, seq, dim) directly, which cuts across tokens. "
    "`batch seq (head dim) -> batch head seq dim`: split first, then swap.")
bug("dim_before_head", "LlamaAttention",
    {old: old.replace("(head dim)", "(dim head)").replace("(kv dim)", "(dim kv)") for old in (*SPLIT.values(), MERGE)},
    step=TURNED_Q, symptom=SILENT,
    says="A vector is cut as (dim head): a head takes every n-th number. Published weights lay the heads one after "
    "the other: (head dim).")
bug("merged_without_swap", "LlamaAttention", {MERGE: MERGED},
    step=OUTPUT, symptom="The loss is far too good: token 0 gets a part of what later tokens see.",
    says="The heads are merged without swapping back: output token 0 mixes several tokens. "
    "`batch head seq dim -> batch seq (head dim)`.")
bug("joined_dim_first", "LlamaAttention", {MERGE: MERGE.replace("(head dim)", "(dim head)")}, step=OUTPUT,
    symptom=SILENT,
    says="The heads are joined as (dim head), which shuffles them like cards. They were cut as (head dim), and are "
    "joined so: one after the other.")
bug("no_output_projection", "LlamaAttention", {f"self.o_proj({MERGE})": MERGE}, step=OUTPUT, symptom=SILENT,
    says="The output projection is missing: I set o_proj to zeros and nothing changed. "
    "The merged heads go through o_proj.")
bug("values_from_keys", "LlamaAttention", {"self.v_proj(x)": "self.k_proj(x)"},
    step=VALUES, symptom="The loss is worse: what a token passes on is what it is found by.",
    says="The values are made by k_proj. Keys and values have projections of their own: v_proj.")
bug("mask_unchecked", "LlamaAttention", {f"        {CHECKED}{WHY}": "",
     ATTEND: "mixed = F.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None, enable_gqa=True)"},
    step=WEIGHTS, symptom="None with masks of bool. One of 0.0 and 1.0 hides nothing, and nothing says so.",
    says="A mask of floats is not refused: the kernel adds it to the scores. Ask check_mask(mask, q, cache) first.")
bug("mask_checked_too_late", "LlamaAttention",
    {f"        {CHECKED}{WHY}": "", f"        {ATTEND}": f"        {CHECKED}\n        {ATTEND}"},
    step=SCALED, symptom="With a cache, every mask is refused, and its tokens are in the cache all the same.",
    says="The mask is checked after the cache has taken the new keys, which are then counted twice. "
    "check_mask comes before cache.update.")

TRIMMED = ("            mask = mask if mask is None else mask[..., -k.shape[2] :]"
           "  # a cache may have let go of the first keys\n")
bug("counts_on_from_zero", "LlamaAttention",
    {"places(x, cache)": "places(x, None)"},
    {ROTATION: "self.rotary_emb.angles(torch.arange(x.shape[1]))"}, step=TURNED_Q,
    symptom="None in training. With a cache every new token is turned as if it stood first.",
    says="With a cache your positions begin at 0 again. The new tokens stand after those that it "
    "holds: places(x, cache).")
bug("cache_not_read", "LlamaAttention", {"k, v = cache.update(k, v)": "cache.update(k, v)"},
    {"k, v = cache.update(k, v)": "cache.update(k, v)", TRIMMED: ""}, step=MIXED,
    symptom="None in training. With a cache a new token hears itself alone.",
    says="The cache is given the new keys and values, and its answer is thrown away: k and v are to be "
    "all so far.")

bug("cache_left_out", "LlamaAttention", {"k, v = cache.update(k, v)": "pass", TRIMMED: ""}, step=MIXED,
    symptom="None in training. With a cache a new token hears itself alone, and the next one, too.",
    says="The cache is never given the new keys and values: k and v are what cache.update(k, v) returns, all so far.")

# In the bare module.
BARE_MASK = "~causal_mask(x.shape[1], x.shape[1])"
BARE_FILL = f"        scores = scores.masked_fill({BARE_MASK}, -math.inf)\n"
BARE_TURN = "q, k = self.rotary(q), self.rotary(k)"
BARE_MADE = "made, split = (self.q_proj(x), self.k_proj(x), self.v_proj(x))"
BARE_MERGE = 'rearrange(told, "batch head seq dim -> batch seq (head dim)")'
BARE_CUT = "rearrange(each, split, dim=self.dim)"
KEEP = "causal_mask(x.shape[1], x.shape[1])"
BARE = {
    "no_scale": [{" / math.sqrt(self.dim)": ""}],
    "divided_by_dim": [{"math.sqrt(self.dim)": "self.dim"}],
    "divided_by_root_of_width": [{"math.sqrt(self.dim)": "math.sqrt(x.shape[-1])"}],
    "divided_by_eight": [{"math.sqrt(self.dim)": "math.sqrt(64)"}],
    "times_root": [{"/ math.sqrt(self.dim)": "* math.sqrt(self.dim)"}],
    "mask_absent": [{BARE_FILL: ""}],
    "mask_transposed": [{BARE_MASK: f"{BARE_MASK}.mT"}],
    "mask_inverted": [{BARE_MASK: KEEP}],
    "zero_times_infinity": [{BARE_FILL: f"        scores = scores + ~{KEEP} * -math.inf\n"},
                            {BARE_FILL: f"        scores = scores * {KEEP} + ~{KEEP} * -math.inf\n"}],
    "mask_one_late": [{BARE_MASK: f"{BARE_MASK}.triu(2)"}],
    "diagonal_masked": [{BARE_MASK: f"~{KEEP}.tril(-1)"}],
    "filled_with_zero": [{"-math.inf": "0.0"}, {BARE_FILL: f"        scores = scores * {KEEP}\n"}],
    "zeroed_after_softmax": [{BARE_FILL: "", "scores.softmax(dim=-1)": f"(scores.softmax(dim=-1) * {KEEP})"}],
    "softmax_over_queries": [{"softmax(dim=-1)": "softmax(dim=-2)"}],
    "softmax_over_heads": [{"softmax(dim=-1)": "softmax(dim=1)"}],
    "only_q_turned": [{BARE_TURN: "q = self.rotary(q)"}],
    "only_k_turned": [{BARE_TURN: "k = self.rotary(k)"}],
    "v_turned": [{BARE_TURN: f"{BARE_TURN}\n        v = self.rotary(v)"}],
    "never_turned": [{f"        {BARE_TURN}\n": ""}],
    "heads_by_reshape": [{BARE_CUT: "each.reshape(len(x), -1, x.shape[1], self.dim)"}],
    "dim_before_head": [{"batch seq (head dim) -> batch head": "batch seq (dim head) -> batch head",
                         "batch seq (head dim)\")": "batch seq (dim head)\")"},
                        {"batch seq (head dim) -> batch head": "batch seq (dim head) -> batch head"}],
    "joined_dim_first": [{"batch seq (head dim)\")": "batch seq (dim head)\")"}],
    "head_axis": [{"batch seq (head dim) -> batch head seq dim": "batch seq (head dim) -> batch seq head dim"}],
    "merged_without_swap": [{BARE_MERGE: "told.reshape(len(x), x.shape[1], -1)"}],
    "no_output_projection": [{f"self.o_proj({BARE_MERGE})": BARE_MERGE}],
    "values_from_keys": [{BARE_MADE: BARE_MADE.replace("v_proj", "k_proj")}],
    "keys_from_values": [{BARE_MADE: BARE_MADE.replace("k_proj", "v_proj")}],
}
bug("keys_from_values", "LlamaAttention", {"self.k_proj(x)": "self.v_proj(x)"},
    step=(KEYS, TURNED_K), symptom="The loss is worse: what a token is found by is what it passes on.",
    says="The keys are made by v_proj. Keys and values have projections of their own: k_proj.")
for name, spellings in BARE.items():
    also(name, "BareAttention", *spellings)
# fmt: on


# ----------------------------------------------------------------------------------------------------- the exercises

SQUARE = "given_mask", "fewer_queries", "elsewhere"  # what a causal attend(q, k, v) is not


HALF = "bfloat16", "bfloat16_sums"  # nothing in a bug to be found is about precision


def adapt_ungrouped(function):
    """An attention that knows no groups: whoever calls makes the keys and values as many as the queries' heads."""

    def attend(q, k, v):
        return call(function, q, *(part.repeat_interleave(q.shape[1] // part.shape[1], dim=1) for part in (k, v)))

    return attend


def judge_moved(answer) -> str:
    words = "The dog chased its tail".split()
    if not isinstance(answer, set | frozenset | list | tuple) or not set(answer) <= set(words):
        return f"the answer is a set of some of {words}, got {answer!r:.80}"
    answer = set(answer)
    if "The" in answer or "dog" in answer:
        return "a word that stands before “chased” cannot see it: the mask forbids"
    missing = [word for word in words[2:] if word not in answer]
    return said(not missing, f"{''.join(missing[:1])!r} looks at “chased” as well, as may every word from it on")


tries_leaks = component.probe(
    "attend",
    yes=("mask_absent", "mask_one_late", "mask_transposed", "filled_with_zero", "filled_with_a_tiny_number",
         "zeroed_after_softmax"),
    no=("no_scale", "kv_tiled"),
)  # fmt: skip


def edited(probe, attend) -> tuple[int, dict[str, list[int]]]:
    """How often a probe called attend, and at which places each of q, k and v differed between its first two calls."""
    seen = []

    def watched(q, k, v):
        seen.append([part.clone() for part in (q, k, v)])
        return attend(q, k, v)

    probe(watched)
    places = {}
    for name, *pair in zip("qkv", *seen[:2]) if len(seen) > 1 else ():
        old, new = pair
        if old.shape != new.shape:
            return len(seen), {}
        places[name] = [i for i in range(old.shape[2]) if not torch.equal(old[:, :, i], new[:, :, i])]
    return len(seen), places


def judge_leaks(answer) -> str:
    """The sentence on a probe for leaks: where it says the wrong thing, what it did to the tokens is looked at."""
    told = tries_leaks(answer)
    if not told:
        return ""
    told = told.replace("the lesson's own", "the lesson's own attention, in which nothing leaks")
    calls, places = edited(answer, attend_by_hand)
    if calls == 0:
        return f"{told}. It never calls attend, so it cannot tell one from another"
    if calls == 1:
        return f"{told}. It calls attend once: call it twice, the second time with the last token edited, and compare"
    if not places:
        return told
    if places["q"]:
        return f"{told}. You changed queries, too, and then answers move without any leak: edit a key and a value"
    moved = sorted({*places["k"], *places["v"]})
    if not moved:
        return f"{told}. Both calls were given the same q, k and v: edit a later token (axis 2) before the second"
    if not places["k"] or not places["v"]:
        only, other = ("value", "key") if places["v"] else ("key", "value")
        return f"{told}. You edited the {only} alone, and some leaks show by the {other} only: edit both"
    if len(moved) > 1 and moved[0] == 0:
        return f"{told}. You edited every token from the first on: edit the last alone (axis 2), and look before it"
    if moved[0] == 0:
        return f"{told}. You edited the first token, which all may hear: edit the last, and look before it"
    if told.startswith("it should say False"):
        return f"{told}. The answer of the edited token {moved[0]}, and those after it, may move: compare those before"
    return told


WORKED_WINDOW = """def window_mask(queries, keys, window):
    # No causal mask to begin with: both rules are about one number, how far back a key stands.
    # A table of distances is made first, and the mask is read off it: not negative, and less than the window.
    places = torch.arange(keys)
    back = places[keys - queries :, None] - places
    return (back >= 0) & (back < window)


def window_of(attend):
    # Nothing is edited: the gradient of the last answer says of every value whether that answer hears it.
    # It is exactly 0 where the mask forbids, and the weight of the key elsewhere, which softmax makes no zero.
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 1, 12, 4, generator=draw) for _ in range(3))
    attend(q, k, v.requires_grad_())[0, 0, -1].sum().backward()
    return int(v.grad.any(dim=-1).sum())"""


def _window_slips(sinks):
    """What a mask by (query, key, window) may be in place of the right one, and what is said of it."""
    causal, first = (lambda q, k: k <= q), (lambda k: k < sinks)
    return {
        "a window of 1 sees its own place and nothing else: yours sees one more": (
            lambda q, k, w: causal(q, k) & ((k >= q - w) | first(k))),
        "it sees the future: a key later than the query is hidden, however near": (
            lambda q, k, w: (k > q - w) | first(k)),
        "it sees as far ahead as back: the future is hidden, so the distance has a sign": (
            lambda q, k, w: ((q - k).abs() < w) | first(k)),
        "True and False have changed places: True means that a query may look": (
            lambda q, k, w: ~(causal(q, k) & ((k > q - w) | first(k)))),
        "it is the causal mask: nothing is hidden for being too far back": lambda q, k, w: causal(q, k) & (k <= q),
        "the queries are the last of the keys: query i stands at keys − queries + i": (
            lambda q, k, w: causal(q - q[0], k) & ((k > q - q[0] - w) | first(k))),
        "it is right for a square only: for the distance, too, query i stands at keys − queries + i": (
            lambda q, k, w: causal(q, k) & ((k > q - q[0] - w) | first(k))),
        **({"the first tokens are seen at any distance: yours hides them": lambda q, k, w: causal(q, k) & (k > q - w),
            "the first query sees a token after it: the first ones, too, must not be later than the query": (
                lambda q, k, w: (causal(q, k) & (k > q - w)) | first(k))} if sinks else {}),
    }  # fmt: skip


def judge_window(answer, sinks: int = 0) -> str:
    """The sentence on the mask of a window, through which the first tokens of the text, so many, are seen as well."""
    sizes = (7, 7, 3), (2, 5, 2), (5, 5, 1), (3, 3, 9), (3, 9, 2)
    besides = f" that sees the first {sinks}" * bool(sinks)
    found, wanted, slips, faults = [], [], {told: [] for told in _window_slips(sinks)}, []
    for queries, keys, window in sizes:
        query, key = torch.arange(keys - queries, keys)[:, None], torch.arange(keys)
        found.append(answer(queries, keys, window))
        wanted.append((key <= query) & ((key > query - window) | (key < sinks)))
        for told, slip in _window_slips(sinks).items():
            slips[told].append(slip(query, key, window))
        name = f"your window_mask({queries}, {keys}, {window}){besides}"
        faults.append(same_tensor(name, found[-1], wanted[-1]))
    told = "" if not any(faults) else next((told for told, made in slips.items() if _all_equal(found, made)), "")
    return told or first_fault(*faults)


def _all_equal(found, made):
    return all(isinstance(one, torch.Tensor) and one.dtype == torch.bool and torch.equal(one, other)
               for one, other in zip(found, made))  # fmt: skip


def seeded_window(seed: int) -> dict:
    """How many tokens at the beginning of the text are seen through every window."""
    sinks = chosen(seed, (2, 3, 4))
    task = f"True where a query sees a key: the last `window` places up to its own, and the first {sinks} of the text."
    rule = f"than the window.\n    # The first {sinks} keys are seen by their place, at any distance.\n"
    worked = WORKED_WINDOW.replace("than the window.\n", rule)
    return {
        "task": task,
        "text": f"Some models look back only `window` tokens, their own place included. Yours sees the first "
        f"**{sinks}** tokens of the text as well, though none that is later than the query. Write the mask. Then write "
        "a **probe** that finds the width of a window from outside, by editing tokens and seeing what moves; the "
        "attentions that it is given have the window alone.",
        "hints": (
            "Begin with the causal mask. How far back is a key: what is the difference of the two places? And which "
            "keys are seen at any distance?",
            "*With 2 queries and 5 keys it is wrong*: as in the causal mask, the queries are the last of the keys. *I "
            "am off by one*: a window of 1 sees its own place and the first ones. *The future leaks*: the first query "
            "does not see the second token.",
            f"The mask: causal, and either the distance less than the window or the key's place less than {sinks}. The "
            "probe: in a text long enough, edit one token early on and count the answers that move.",
        ),
        "starter": f'''def window_mask(queries, keys, window):
    """A boolean (query, key): True at the last `window` places up to the query's own, and at the first {sinks}."""
    raise NotImplementedError(
        "{task}"
    )


def window_of(attend) -> int:
    """How many places a query of attend(q, k, v), each (batch, head, seq, dim), sees: at most 8."""
    raise NotImplementedError("Find the width of a window from outside, by editing a token.")''',
        "answers": {"window_mask": partial(judge_window, sinks=sinks), "window_of": judge_window_probe},
        "worked": worked.replace("(back < window)", f"((back < window) | (places < {sinks}))"),
    }


def judge_window_probe(answer) -> str:
    def windowed(width, by):
        return lambda q, k, v: by(q, k, v, causal_mask(len(q[0, 0]), len(k[0, 0])).triu(1 - width))

    for by in (attend_by_hand, attend):
        found = [answer(windowed(width, by)) for width in range(1, 9)]
        wrong = [width for width in range(1, 9) if found[width - 1] != width]
        if not wrong:
            continue
        width, got = wrong[0], found[wrong[0] - 1]
        told = f"for a window of {width}, window_of should find {width}, it found {got!r:.40}"
        numbers = all(isinstance(each, int | float) for each in found)
        calls, places = edited(answer, windowed(4, by))
        if places and not places["v"] and (places["q"] or places["k"]):
            named = "query" if places["q"] else "key"
            return (f"{told}; you edited the {named}, which may leave an answer as it was: where one place is seen, it "
                    "gets all the weight, whatever its key. Edit the value")  # fmt: skip
        if numbers and all(each == width - 1 for width, each in enumerate(found, 1)):
            return f"{told}: one less each time; the edited token's own answer counts, too"
        if numbers and all(each == width + 1 for width, each in enumerate(found, 1)):
            return f"{told}: one more each time; count the answers that move"
        if numbers and got > 1 and all(each == got * width for width, each in enumerate(found, 1)):
            return f"{told}, {got} times as many each time; count an answer once, over its numbers and the heads"
        if numbers and width > 1 and all(each == width - 1 for each in found[width - 1 :]):
            return f"{told}, and never more: fewer than {width} answers stand at or after the token that you edit"
        return told
    return ""


SOFT_SLIPS = {  # what is said of it, and the cap written before the division, before the mask or after it
    "the future leaks: −inf went through the cap, which made it −cap, a score like any other. Cap before the mask": (
        "",
        "",
        "CAP * (scores / CAP).tanh()",
    ),
    "the cap comes before the division by √dim; it belongs after it": ("CAP * (scores / CAP).tanh()", "", ""),
    "the scores have no cap at all": ("", "", ""),
    "the tanh is given s and not s / cap: small scores must stay nearly as they are": ("", "CAP * scores.tanh()", ""),
    "the tanh of s / cap is not yet multiplied by cap: it never leaves −1 … 1": ("", "(scores / CAP).tanh()", ""),
    "the scores are cut off at cap, with a corner; tanh bends them": ("", "scores.clamp(-CAP, CAP)", ""),
}


def _softly(cap, early="", inside="", late=""):
    """attend_by_hand with lines about the scores: before they are divided, before they are masked, and after it."""
    scale = " / math.sqrt(q.shape[-1])\n"
    before, between, after = (each.replace("CAP", f"{cap}") for each in (early, inside, late))
    edits = {scale: (f"\n    scores = {before}" if before else "") + "\n    scores = scores" + scale
             + (f"    scores = {between}\n" if between else "")}  # fmt: skip
    if after:
        edits |= {FILL: f"{FILL}    scores = {after}\n", ZEROED: ""}
    return component.version("attend", ("attend_by_hand", edits))


def judge_softcap(answer) -> str:
    faults, found, given = [], [], []
    right = ("", "CAP * (scores / CAP).tanh()", "")
    for cap, heads, kv in ((2.0, 6, 3), (50.0, 2, 2)):
        q, k, v = _qkv(60, heads, kv, query=6, dim=4)
        mine = answer(3 * q, k, v, cap)
        if isinstance(mine, torch.Tensor) and mine.isnan().any():
            return "some outputs are not numbers: was −inf put through the cap, or a whole row forbidden?"
        name = f"your attend_softly with cap {cap:g}, {heads} heads on {kv},"
        faults.append(same_tensor(name, mine, _softly(cap, *right)(3 * q, k, v)))
        found.append(mine)
        given.append((cap, 3 * q, k, v))
    if not any(faults) or not all(isinstance(mine, torch.Tensor) for mine in found):
        return first_fault(*faults)

    def are(made):
        return not any(same_tensor("", one, other) for one, other in zip(found, made))

    for told, slip in SOFT_SLIPS.items():
        if are([_softly(cap, *slip)(q, k, v) for cap, q, k, v in given]):
            return told
    if are([_softly(cap, *right)(q, *(_dealt(each, q) for each in (k, v))) for cap, q, k, v in given]):
        return component.bugs["attention.kv_tiled"].says.rstrip(".")
    if are([_softly(cap, *right)(q, k, v, torch.ones(6, 6).bool()) for cap, q, k, v in given]):
        return "the future leaks: there is no causal mask"
    if are([_softly(cap, *right)(q * math.sqrt(q.shape[-1]), k, v) for cap, q, k, v in given]):
        return "the scores are not divided by √dim before the cap"
    return first_fault(*faults)


def _dealt(x, q):
    return x.repeat(1, q.shape[1] // x.shape[1], 1, 1)


# fmt: off
component.exercises = (
    Exercise(
        name="causal_mask", kind="implement",
        task="Return a boolean (query, key): True where the key is no later than the query.",
        difficulty=2, importance=5, minutes=8,
        hints=(
            "Give every query and every key its place in the text, and compare.",
            "*With 2 queries and 5 keys my triangle stands in the wrong corner*: the queries are the **last** of the "
            "keys, so their places are 3 and 4, not 0 and 1.",
            "places of the queries: keys − queries … keys − 1, with an axis of 1 after them → places of the keys: "
            "0 … keys − 1 → compare with ≤.",
        ),
    ),
    Exercise(
        **own(BareAttention, "Project, cut into heads, rotate q and k, score, mask, softmax, mix, join, project.",
              "forward"),
        text="Write the forward of the bare component: all of part one, in the order in which the lesson came to it. "
        "The four matrices, the rotation and the size `dim` of a head are there; `causal_mask` is yours.",
        difficulty=3, importance=5, minutes=20,
        hints=(
            "Write down the axes of each thing before its line: x, what a projection gives, a head's queries, the "
            "scores, what the heads heard, the output. Two of them are given: the first and the last.",
            "*The shapes agree and the numbers do not*: did you cut heads by pattern, the head before the dim, never "
            "by a reshape? Is the root that of a head's size, not of x's width? *Rows of NaN, or an early token that "
            "moves with a later one*: where the mask is True a query **may** look; what is filled is the rest.",
            "q, k, v: projected and cut into (batch head seq dim) → q and k rotated, v not → scores: for each head "
            "the sum over dim, query by key, divided by the root of `dim` → −∞ where the causal mask is not True → "
            "softmax over the keys → the mean of the values, weighted → heads joined behind seq → `o_proj`.",
        ),
        answers={"BareAttention": component.parts["BareAttention"]},
        why="These few lines are attention in every transformer. What comes in part two changes none of them.",
    ),
    Exercise(
        name="attend_by_hand", kind="implement",
        task="Group the queries, score, divide by √dim, mask, softmax, mix the values, ungroup.",
        difficulty=4, importance=5, minutes=25,
        hints=(
            "Seven steps, and the lesson did each of them alone above. Write down the axes after each step before you "
            "write its line. One line more is for a query that may look at nothing: softmax gives it no numbers, and "
            "its weights are to be 0.",
            "*My sizes do not match*: q has `kv · group` heads and k has `kv`. Name the two parts of q's heads in a "
            "pattern, kv first, and the keys fit without being copied. The mask wants the heads as one axis again: "
            "(batch, head, query, key).",
            "mask, where None: the causal one, on q's device → q's heads cut into (kv group) → scores: sum over dim, "
            "keys shared by the group → heads joined, divided by √dim → −inf where the mask is False → softmax over "
            "the keys, in float32 at least → 0 where the mask is False → heads cut again → sum over the keys of weight "
            "times value → join.",
        ),
    ),
    Exercise(
        name="attend", kind="implement",
        task="Let F.scaled_dot_product_attention give what attend_by_hand gives.",
        difficulty=3, importance=4, minutes=10,
        hints=(
            "The kernel has three arguments that matter here: `attn_mask`, `is_causal`, `enable_gqa`.",
            "*It is right for a whole text and wrong for its last word alone*: `is_causal=True` counts queries from "
            "key 0. It may be used only where there are as many keys as queries. One query alone sees everything.",
            "as many keys as queries and no mask: is_causal → fewer queries, more than one, and no mask: the causal "
            "mask → hand the mask over. enable_gqa in every case. (For a single query in half precision ours calls "
            "`attend_with_one_query`, which only saves time: you may leave it out.)",
        ),
    ),
    Exercise(
        name="LlamaAttention.forward", kind="implement",
        task="Project, cut into heads, rotate q and k, attend, join the heads, project back.",
        difficulty=4, importance=5, minutes=20,
        hints=(
            "Read the four projections in `__init__`: each tells how many heads of `head_dim` numbers come out. And "
            "three things are optional: a rotation, a mask, a cache.",
            "*The shapes agree and the numbers do not*: did you cut heads by pattern, `(head dim)` and never a "
            "reshape? Did you rotate q **and** k, and left v alone? Did the heads go back behind seq before they were "
            "joined? With a cache, do your positions begin at its length, asked before it grows?",
            "rotation, where None: the angles, by `rotary_emb`, of the tokens' `places` → q, k, v: projected, cut into "
            "(batch head seq dim) → q and k rotated → with a mask: `check_mask` → with a cache: k and v from its "
            "update → attend, with the mask → join the heads → project. (Ours also cuts the mask to the last keys, for "
            "a cache that forgets the first ones; you may leave that out.)",
        ),
    ),
    Exercise(
        name="weight_of_its", kind="predict",
        title="Whom does “tail” hear?",
        text="Take the hand-set vectors of the lesson: the query of “tail” is (0, 1), the keys of *The dog chased its "
        "tail* are (0, 0), (2, 1), (1, 0), (0, 2), (2, 0), and scores are divided by √2. How much weight does “tail” "
        "give to “its”? On paper, to two places.",
        task="Type the weight that “tail” gives to “its”.",
        difficulty=2, importance=4, minutes=8,
        hints=(
            "Five scores, one for each key: only the second number of a key counts for the query (0, 1).",
            "*I get 0.56*: the division by √2 comes before the softmax. *I get 0.67*: a softmax takes powers of e, not "
            "shares of the scores.",
            "scores 0, 1, 0, 2, 0, divided by √2; e to each; the fourth divided by the sum.",
        ),
        starter="weight_of_its = ...  # between 0 and 1",
        answers={
            "weight_of_its": typed_number(
                math.exp(2 / math.sqrt(2)) / (3 + math.exp(1 / math.sqrt(2)) + math.exp(2 / math.sqrt(2))),
                0.02,
                {
                    math.exp(2) / (3 + math.exp(1) + math.exp(2)): "divide the scores by √2 first",
                    2 / 3: "a softmax takes e to the power of each score, then shares: did you share the scores "
                    "themselves, or leave out the keys whose score is 0? e to the 0 is 1, and counts",
                    math.exp(1) / (3 + math.exp(0.5) + math.exp(1)): "that divides by dim = 2; divide by its root",
                    math.exp(2 / math.sqrt(2)) / (2 + math.exp(1 / math.sqrt(2)) + math.exp(2 / math.sqrt(2))): (
                        "that leaves out a key: “tail” may hear itself as well, which makes five"
                    ),
                    math.exp(2 / math.sqrt(2)): "that is its power of e alone; divide it by the sum of all five",
                    math.sqrt(2): "that is its score; the weights are the softmax of all five",
                    2: "that is its dot product; divide by √2, then take the softmax of all five",
                    math.exp(1 / math.sqrt(2)) / (3 + math.exp(1 / math.sqrt(2)) + math.exp(2 / math.sqrt(2))): (
                        "that is the weight of “dog”; “its” has the fourth key, (0, 2)"
                    ),
                    1 / (2 + 2 * math.exp(2 / math.sqrt(2)) + math.exp(1 / math.sqrt(2))): (
                        "you took the first number of each key; the query (0, 1) takes the second"
                    ),
                    0.266: "that is the row of “its”; here “tail” asks",
                },
            )
        },
        solution="""powers = [math.exp(score / math.sqrt(2)) for score in (0, 1, 0, 2, 0)]
weight_of_its = powers[3] / sum(powers)""",
        why="“tail” spends nearly half of its weight on “its”; the three keys that score 0 still get a tenth each.",
    ),
    Exercise(
        name="moved_words", kind="predict",
        title="Edit a word in the middle",
        text="In *The dog chased its tail* “chased” gets another key and value. The attention is causal. Which words' "
        "answers move?",
        task="Type the set of words whose answers move when “chased” is edited.",
        difficulty=1, importance=5, minutes=3,
        hints=(
            "Who may look at “chased”?",
            "*I left out “chased” itself*: a word may look at its own place as well.",
            "Every query from the place of “chased” on has its key in the row.",
        ),
        starter="moved_words = ...  # a set, such as {\"The\", \"dog\"}",
        answers={"moved_words": judge_moved},
        solution='moved_words = {"chased", "its", "tail"}',
        why="This is the probe for every leak: edit a token, and nothing before it may move.",
    ),
    Exercise(
        name="bytes_a_token", kind="predict",
        title="What a token costs to remember",
        text="Llama 3.1 70B has 80 layers, 64 query heads, 8 key-value heads of 128 numbers, 16 bits a number. How "
        "many bytes does a cache of keys and values need for each token?",
        task="Type the bytes of cache for each token.",
        difficulty=2, importance=4, minutes=5,
        hints=(
            "What is kept of a token, in every layer?",
            "*I am off by two*: both keys and values are kept, and 16 bits are two bytes. *I am off by eight*: queries "
            "are not kept, so only the key-value heads count.",
            "keys and values × the heads that are kept × the numbers of each × the layers × the bytes of a number.",
        ),
        starter="bytes_a_token = ...  # bytes",
        answers={
            "bytes_a_token": typed_number(
                2 * 8 * 128 * 80 * 2,
                1e-9,
                {
                    2 * 64 * 128 * 80 * 2: "only the 8 key-value heads are kept; and 8 bits are a byte",
                    8 * 128 * 80 * 2: "twice that: keys and values are both kept, and 16 bits are two bytes",
                    8 * 128 * 80: "keys and values are both kept, and a number of 16 bits takes two bytes",
                    64 * 128 * 80 * 2: "only the 8 key-value heads are kept, and of each both keys and values",
                    2 * 8 * 128 * 80 * 4: "16 bits are two bytes, not four",
                    2 * 8 * 128 * 2: "that is one layer; there are 80",
                    8 * 128 * 2: "that is the keys of one layer; there are values, too, and 80 layers",
                    2 * 128 * 80 * 2: "that is one head in each layer; 8 heads keep keys and values",
                    327.68: "bytes, not thousands of them",
                    320: "bytes, not KiB: 1,024 times as many",
                },
            )
        },
        solution="bytes_a_token = 2 * 8 * 128 * 80 * 2",
        why="320 KiB a token. With a key-value head for each of the 64 query heads it would be 2.5 MiB.",
    ),
    Exercise(
        name="mended_attend", kind="find the bug",
        title="The loss looks better than it should",
        text="With this attention a model reaches a lower loss than the reference, and writes nonsense. Mend it, and "
        "write the **probe**: a function that is given any attention and says whether the future leaks into the past.",
        task="Say whether attend(q, k, v) lets a later token change an earlier answer.",
        difficulty=2, importance=5, minutes=12,
        hints=(
            "What is exp(0)?",
            "*My probe says False of the broken one*: edit both the key and the value of the last token, and compare "
            "all answers before it. *It says True of the right one*: the last answer may move, so leave it out.",
            "Only exp(−∞) is 0. For the probe: the same q, k, v twice, the last key and value changed the second time; "
            "any earlier answer that moved is a leak.",
        ),
        starter='''def mended_attend(q, k, v):
    """Causal attention; q, k and v are (batch, head, seq, dim). It has a mistake: mend it."""
    scores = einsum(q, k, "batch head query dim, batch head key dim -> batch head query key") / math.sqrt(q.shape[-1])
    mask = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril()
    weights = (scores * mask).softmax(dim=-1)
    return einsum(weights, v, "batch head query key, batch head key dim -> batch head query dim")


def leaks(attend) -> bool:
    """Whether attend(q, k, v), each (batch, head, seq, dim), lets a later token change an earlier answer."""
    raise NotImplementedError("Say whether attend(q, k, v) lets a later token change an earlier answer.")''',
        answers={
            "mended_attend": component.like(
                "mended_attend", "attend", (*SQUARE, *HALF, "nothing_to_see", "grouped", "multi_query"),
                adapt_ungrouped,
            ),
            "leaks": judge_leaks,
        },
        solution='''def mended_attend(q, k, v):
    scores = einsum(q, k, "batch head query dim, batch head key dim -> batch head query key") / math.sqrt(q.shape[-1])
    mask = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril()
    weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)
    return einsum(weights, v, "batch head query key, batch head key dim -> batch head query dim")


def leaks(attend) -> bool:
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, 6, 4, generator=draw) for _ in range(3))
    before = attend(q, k, v)
    k[:, :, -1], v[:, :, -1] = -k[:, :, -1], 5.0
    return not torch.equal(attend(q, k, v)[:, :, :-1], before[:, :, :-1])''',
        why="A score of 0 is a score like any other, and its weight is a share like any other. The probe needs no "
        "right answer: it edits the future and looks at the past.",
    ),
    Exercise(
        name="mended_sharing", kind="find the bug",
        title="Silent until real weights are loaded",
        text="Trained from scratch, a model with this grouped attention is as good as any. With published weights it "
        "babbles from the first word on. With as many key-value heads as query heads it is right.",
        task="Give every query head the key-value head that published weights expect.",
        difficulty=3, importance=4, minutes=10,
        hints=(
            "With 6 query heads on 3 key-value heads, which of the 3 does query head 1 share? Write down the list that "
            "this code gives, and the one that `(kv group)` gives.",
            "*My sizes match and always did*: both orders have the same shape. Query heads 0 and 1 share key-value "
            "head 0: neighbours share.",
            "In the pattern that makes the copies, which of the two words comes first: `(group kv)` or `(kv group)`?",
        ),
        starter='''def mended_sharing(q, k, v):
    """Causal attention with grouped queries: q (batch, head, seq, dim), k and v (batch, kv, seq, dim). Mend it."""
    group = q.shape[1] // k.shape[1]
    k, v = (repeat(each, "batch kv key dim -> batch (group kv) key dim", group=group) for each in (k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)''',
        answers={"mended_sharing": component.like("mended_sharing", "attend", (*SQUARE, *HALF, "nothing_to_see"))},
        solution='''def mended_sharing(q, k, v):
    group = q.shape[1] // k.shape[1]
    k, v = (repeat(each, "batch kv key dim -> batch (kv group) key dim", group=group) for each in (k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)''',
        why="`(kv group)` makes neighbours share, `(group kv)` deals the heads out in turn. Both learn equally well; "
        "published weights know one of them.",
    ),
    Exercise(
        name="window_mask", kind="transfer",
        title="A sliding window",
        text="Some models look back only `window` tokens, their own place included. Write the mask. Then write a "
        "**probe** that finds the width of a window from outside, by editing tokens and seeing what moves.",
        task="Return a boolean (query, key), True where a query sees a key: the last `window` places up to its own.",
        difficulty=3, importance=3, minutes=20,
        hints=(
            "Begin with the causal mask. How far back is a key: what is the difference of the two places?",
            "*With 2 queries and 5 keys it is wrong*: as in the causal mask, the queries are the last of the keys. *I "
            "am off by one*: a window of 1 sees its own place and nothing else.",
            "The mask: causal, and the distance less than the window. The probe: in a text long enough, edit one token "
            "early on and count the answers that move.",
        ),
        starter='''def window_mask(queries, keys, window):
    """A boolean (query, key): True at the last `window` places up to the query's own."""
    raise NotImplementedError("True where a query sees a key: the last `window` places up to its own.")


def window_of(attend) -> int:
    """How many places a query of attend(q, k, v), each (batch, head, seq, dim), sees: at most 8."""
    raise NotImplementedError("Find the width of a window from outside, by editing a token.")''',
        answers={"window_mask": judge_window, "window_of": judge_window_probe},
        worked=WORKED_WINDOW,
        seeded=seeded_window,
    ),
    Exercise(
        name="attend_softly", kind="transfer",
        title="Scores with a soft ceiling",
        text="Gemma 2 keeps scores from growing without bound: after the division by √dim, each score s becomes "
        "cap · tanh(s / cap), which is nearly s while s is small and never more than cap. Write causal attention with "
        "grouped queries and this ceiling.",
        task="Attend with each score s replaced by cap · tanh(s / cap).",
        difficulty=4, importance=3, minutes=20,
        hints=(
            "One line more than `attend_by_hand`. The question is between which two.",
            "*The future leaks*: tanh(−∞) is −1, so a cap after the mask makes −∞ to −cap, which is a score like any "
            "other. Cap first.",
            "scores / √dim → cap → mask → softmax → mix.",
        ),
        starter='''def attend_softly(q, k, v, cap):
    """Causal attention with a soft ceiling: q (batch, head, seq, dim), k and v (batch, kv, seq, dim)."""
    raise NotImplementedError("Attend with each score s replaced by cap · tanh(s / cap).")''',
        answers={"attend_softly": judge_softcap},
        worked="""def attend_softly(q, k, v, cap):
    # One query at a time, as when a model writes: each is given the keys up to its own place and no others.
    # What is not there needs no mask, and there is no −inf that the cap could make a score of.
    # The queries of a group are the rows of one small matrix, so that they share their keys uncopied.
    q = rearrange(q, "batch (kv group) query dim -> batch kv group query dim", kv=k.shape[1])
    mixed = []
    for query in range(q.shape[3]):
        seen = k.shape[2] - q.shape[3] + query + 1
        scores = q[:, :, :, query] @ k[:, :, :seen].mT / math.sqrt(q.shape[-1])
        mixed.append((cap * torch.tanh(scores / cap)).softmax(dim=-1) @ v[:, :, :seen])
    return rearrange(mixed, "query batch kv group dim -> batch (kv group) query dim")""",
    ),
)
