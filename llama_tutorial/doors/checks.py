"""What PyTorch would not notice, refused once, at the front doors: docs/silent_mistakes.md lists it with its tests."""

from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import Parameter, signature

import torch
from torch import Tensor
from torch._C._functorch import is_batchedtensor

from .explained import check_tensor

PASSED = ("inv_freq", "theta")  # what `rotary_frequencies` hands to a scaling besides its own numbers

# --------------------------------------------------------------------------------------------------------- of settings


def check_mapping(config, name="config"):
    """The given fields as a dict, {} for None; TypeError for anything that is not a mapping."""
    if config is None:
        return {}
    if not isinstance(config, Mapping):
        kinds = "a LlamaConfig or a dict" if name == "config" else "a dict"
        raise TypeError(f"{name} must be {kinds}, got {type(config).__name__} {config!r:.80}")
    return dict(config)


def check_number(name, value, interval="(0, ∞)", whole=False):
    """The value; TypeError unless it is a number (`whole`: a whole one), ValueError unless it lies in the interval."""
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise TypeError(f"{name} must be a {'whole ' * whole}number in {interval}, got {value!r}")
    low, high = (float(end) for end in interval[1:-1].replace("∞", "inf").split(","))
    at_an_end = (value == low and interval[0] == "[") or (value == high and interval[-1] == "]")
    if not (low < value < high or at_an_end):
        raise ValueError(f"{name} must lie in {interval}, got {value}")
    return value


def check_even(name, value):
    """The value; TypeError unless it is a whole number, ValueError unless it can be cut into pairs."""
    if check_number(name, value, whole=True) % 2:
        raise ValueError(f"{name} must be even, got {value}: rotary embeddings turn pairs of numbers")
    return value


def check_choice(name, given, functions):
    """The kind that a mapping names by `rope_type` or `type`, and the numbers that the function of that kind takes.

    What has a default in the function's signature may be left out. ValueError for what is unknown, missing, impossible.
    """
    given = check_mapping(given, name) or {"rope_type": "default"}
    kind = kind_of(given)
    if not isinstance(kind, str) or kind not in functions:
        raise ValueError(f"{name} must give its rope_type, one of {', '.join(functions)}, got {given}")
    takes = numbers_of(functions[kind])
    missing = [one for one, default in takes.items() if default is Parameter.empty and given.get(one) is None]
    if missing:
        raise ValueError(f"{name} of type {kind!r} needs the numbers {', '.join(missing)}, got {given}")
    numbers = {one: given[one] for one in takes if given.get(one) is not None}
    for one, value in numbers.items():
        if not isinstance(takes[one], bool):
            check_number(f"{one} of {name}", value)
    if "low_freq_factor" in numbers and not numbers["low_freq_factor"] < numbers["high_freq_factor"]:
        raise ValueError(f"{name} needs low_freq_factor < high_freq_factor, got {numbers}")
    return kind, numbers


def kind_of(scaling):
    """The kind that a scaling of the rotary frequencies names, by `rope_type` or, in older files, `type`."""
    return scaling.get("rope_type", scaling.get("type"))


def numbers_of(function):
    """The numbers that a scaling of the rotary frequencies takes, by name, with their defaults or Parameter.empty."""
    return {name: each.default for name, each in signature(function).parameters.items() if name not in PASSED}


# ------------------------------------------------------------------------------------------------------- of a rotation


def check_positions(positions, x):
    """TypeError unless numbers, ValueError unless (seq) or (batch, seq) for x (batch, ..., seq, dim)."""
    seq, rows = x.shape[-2], [1, len(x)] if x.ndim > 2 else []
    check_tensor("positions", positions, "integers or floats", (seq,), *((batch, seq) for batch in rows))


def check_rotation(rotation, x):
    """TypeError unless it is (cos, sin), ValueError unless each is (seq, pair) or (batch, seq, pair).

    x is (batch, ..., seq, dim). For what stands between batch and seq there may be axes of 1.
    """
    if not isinstance(rotation, tuple | list) or len(rotation) != 2:
        raise TypeError(f"rotation must be the pair (cos, sin) that `angles` gives, got {type(rotation).__name__}")
    here = (x.shape[-2], x.shape[-1] // 2)
    rows = dict.fromkeys([(1, *here), (len(x) if x.ndim > 2 else 1, *here)])
    for part in rotation:
        heads = getattr(part, "ndim", 0) - 3
        check_tensor("each part of rotation", part, "floats", here, *((row[0], *(1,) * heads, *here) for row in rows))


# ------------------------------------------------------------------------------------------------- of masks and caches


def check_mask(mask, q, cache):
    """TypeError unless the mask is bool, ValueError unless it broadcasts to (batch, head, query, key).

    The keys are those that the cache holds and as many as there are queries. Asked before the cache takes new ones.
    """
    shape = (*q.shape[:3], q.shape[2] + (0 if cache is None else len(cache)))
    check_tensor("mask", mask, "bool, True where a query may look", ("...",))
    if mask.ndim > 4 or any(m not in (1, n) for m, n in zip(mask.shape[::-1], shape[::-1], strict=False)):
        raise ValueError(f"mask must broadcast to (batch, head, query, key) = {shape}, got {tuple(mask.shape)}")


def check_attention_mask(attention_mask, shape):
    """TypeError unless bool or integers, ValueError unless (batch, past + seq)."""
    check_tensor("attention_mask (batch, past + seq)", attention_mask, "bool or 0/1 integers", shape)


def check_cache(cache, layers):
    """ValueError unless there is one cache for each layer, none of them twice, and all hold the same tokens."""
    own = isinstance(cache, list | tuple) and len({id(one) for one in cache if hasattr(one, "update")})
    if own != layers or len(cache) != layers:
        raise ValueError(f"cache must be a list with one cache per layer, {layers} of them: make it with make_cache")
    if len({len(one) for one in cache}) > 1:
        raise ValueError(f"the caches of all layers must hold the same tokens, got {[len(one) for one in cache]}")


def check_update(cache, k, v):
    """Refuse keys and values that are not alike, do not fit what the cache holds, or are too many.

    Written into a larger store, another batch or another dtype would pass without a word.
    """
    kept, new = cache.k, k.shape if isinstance(k, Tensor) else ()
    if kept is not None and len(new) == 4 and new[2] and (cache.max_length or kept.shape[2]) - len(cache) >= new[2]:
        batch, kv, _, dim = kept.shape
        if v.shape == new == (batch, kv, new[2], dim) and k.dtype == v.dtype == kept.dtype == cache.v.dtype:
            return  # the usual case, without a look at each part
    check_tensor("k", k, "floats", ("batch", "kv", "new", "dim"))
    check_tensor("v, beside k,", v, "floats", tuple(k.shape))
    end = len(cache) + k.shape[2]
    if cache.max_length is not None and end > cache.max_length:
        raise ValueError(f"the cache holds {cache.max_length} tokens, got {k.shape[2]} more after {len(cache)}")
    if cache.k is None:
        return
    batch, kv, _, dim = cache.k.shape
    check_tensor("k, beside what the cache holds,", k, "floats", (batch, kv, "new", dim))
    if not cache.k.dtype == cache.v.dtype == k.dtype == v.dtype:
        raise TypeError(f"the cache holds {cache.k.dtype}, got {k.dtype} and {v.dtype}: use one dtype for one cache")


# ------------------------------------------------------------------------------------- of texts under dynamic scaling


def longest_text(config):
    """How many tokens a text may have: `max_position_embeddings` with scaling of type "dynamic", else None, any number.

    Up to there it changes nothing. Beyond, it would slow all hands anew with every token.
    """
    return config.max_position_embeddings if kind_of(config.rope_scaling or {}) == "dynamic" else None


def too_long(limit, got):
    """The error for a text beyond what dynamic scaling leaves as it is: why, what was given, what to do."""
    return ValueError(
        f"with rope_scaling of type 'dynamic' a text has at most max_position_embeddings = {limit} tokens, because "
        f"a longer one changes the rotary wavelengths, and keys in a cache would keep the old ones; {got}: give a "
        "shorter text, or a config whose rope_scaling is yarn or linear"
    )


def check_reach(config, tokens, attention_mask, positions):
    """ValueError where a text of so many tokens, those in the cache included, is too long for dynamic scaling.

    Values are looked at only where lengths do not settle it: in the mask of a text that is too long with its padding,
    and in given positions. On the meta device there are none, and nothing is computed. In a compiled graph, or under
    vmap, they cannot be seen, so what they might hide is refused.
    """
    limit = longest_text(config)
    if limit is None or (positions is None and tokens <= limit):
        return
    if positions is None and attention_mask is None:
        raise too_long(limit, f"got {tokens}")
    given = attention_mask if positions is None else positions
    if torch.compiler.is_compiling() or is_batchedtensor(given):
        cure = "cut off columns that are padding in every row" if positions is None else "leave positions out"
        raise too_long(limit, f"how many these are cannot be seen in torch.compile or vmap ({cure}, or call without)")
    if given.is_meta:
        return
    last = real_tokens(attention_mask) - 1 if positions is None else positions.max().item()
    if last >= limit:
        raise too_long(limit, f"got one at position {last}, counted from 0")


def check_room(config, input_ids, attention_mask, max_new_tokens):
    """ValueError where a prompt and so many new tokens are too long for dynamic scaling; it says how many fit."""
    limit, tokens = longest_text(config), input_ids.shape[1]
    if limit is None or tokens + max_new_tokens <= limit:
        return
    tokens = tokens if attention_mask is None else real_tokens(attention_mask)
    if tokens + max_new_tokens > limit:
        room = max(limit - tokens, 0)
        raise too_long(limit, f"the prompt has {tokens} and leaves room for {room} more, got {max_new_tokens=}")


def real_tokens(attention_mask):
    """How many tokens the longest row of a batch has, without its padding."""
    return attention_mask.bool().sum(dim=-1).max().item()


# -------------------------------------------------------------------------------------------------------------- of ids

BELIEVED = ContextVar("BELIEVED", default=False)


@contextmanager
def believed():
    """Inside it a model's call is not looked at again: what it reads, it wrote itself."""
    before = BELIEVED.set(True)
    try:
        yield
    finally:
        BELIEVED.reset(before)


def check_call(model, input_ids, attention_mask, positions, cache):
    """Refuse what a model would read without a word, and take for something else.

    Ids outside the vocabulary stop an embedding on the CPU; on another device they would end the process later.
    """
    if not torch.compiler.is_compiling() and BELIEVED.get():
        return
    check_ids(input_ids, model.config.vocab_size)
    if cache is not None or attention_mask is not None or positions is not None or model.config.rope_scaling:
        check_beside(model, input_ids, attention_mask, positions, cache)


def check_beside(model, input_ids, attention_mask, positions, cache):
    """Refuse what does not belong to these ids: a mask, positions, or caches, or a text that is too long."""
    batch, seq = input_ids.shape
    if cache is not None:
        check_cache(cache, len(model.layers))
    tokens = seq if cache is None else len(cache[0]) + seq
    if attention_mask is not None:
        check_attention_mask(attention_mask, (batch, tokens))
    if positions is not None:
        check_tensor("positions", positions, "integers", (seq,), (1, seq), (batch, seq))
        if not torch.compiler.is_compiling() and not positions.is_meta and positions.min() < 0:
            raise ValueError(f"positions must not be negative, got {positions.min().item()}")
    check_reach(model.config, tokens, attention_mask, positions)


def check_ids(ids, vocab_size):
    """TypeError unless integers; ValueError unless (batch, seq), not empty, every id in 0 … vocab_size − 1."""
    if not (isinstance(ids, Tensor) and ids.dtype == torch.long and ids.ndim == 2 and ids.numel()):
        check_tensor("input_ids", ids, "integers", ("batch", "seq"))
    if not torch.compiler.is_compiling() and not ids.is_meta and not is_batchedtensor(ids):
        low, high = (end.item() for end in ids.aminmax())
        if low < 0 or high >= vocab_size:
            raise ValueError(f"input_ids must lie in 0 … {vocab_size - 1}, got {low if low < 0 else high}")


def check_next(logits, input_ids):
    """Refuse logits and ids that do not stand side by side, or where no id has a next one."""
    check_tensor("logits", logits, "floats", ("batch", "seq", "vocab"))
    check_ids(input_ids, logits.shape[-1])
    if logits.shape[:-1] != input_ids.shape or input_ids.shape[1] < 2:
        raise ValueError(
            f"next_token_loss takes logits (batch, seq, vocab) and ids (batch, seq) with seq ≥ 2, "
            f"got {tuple(logits.shape)} and {tuple(input_ids.shape)}"
        )
