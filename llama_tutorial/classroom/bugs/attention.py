"""What goes wrong in attention, in the part where it goes wrong.

`causal_mask` takes (queries, keys); `attend` takes q (batch, head, query, dim), k and v (batch, kv, key, dim) and a
mask that is True where a query may look; `LlamaAttention` is the lesson's forward in steps, one of them wrong.
"""

import math

import torch
from einops import einsum, rearrange
from torch import nn

from ...attention import LlamaAttention, attend, causal_mask
from ...config import LlamaConfig
from ...rotary import rotate
from . import also, bug

SILENT = "None that the loss shows: trained from scratch, it is the same. Published weights give gibberish."
LEAK = "The loss is far too good, because every token sees what it is to predict; generation is gibberish."


# -------------------------------------------------------------------------------------------------------- causal_mask


def _places(queries, keys, device=None):
    return torch.arange(keys - queries, keys, device=device)[:, None], torch.arange(keys, device=device)


@bug(
    "causal_mask",
    symptom=LEAK,
    says="There is no causal mask: editing token 5 changed what earlier tokens saw. "
    "Let a query look only at keys up to its own place.",
)
def mask_absent(queries, keys, device=None):
    return torch.ones(queries, keys, dtype=torch.bool, device=device)


@bug(
    "causal_mask",
    symptom=LEAK,
    says="The mask is transposed: queries look at the future and not at the past. Swap query and key (tril, not triu).",
)
def mask_transposed(queries, keys, device=None):
    query, key = _places(queries, keys, device)
    return key >= query


@bug(
    "causal_mask",
    symptom=LEAK,
    says="The mask is off by one: every query also sees the next token, which it is to predict. key <= query.",
)
def mask_one_late(queries, keys, device=None):
    query, key = _places(queries, keys, device)
    return key <= query + 1


@bug(
    "causal_mask",
    symptom="NaN in the first step, or a first token that hears nothing.",
    says="The diagonal is masked: query 0 has no key left, and a softmax over nothing is NaN. "
    "A token sees itself: key <= query.",
)
def diagonal_masked(queries, keys, device=None):
    query, key = _places(queries, keys, device)
    return key < query


@bug(
    "causal_mask",
    symptom=LEAK,
    says="True and False have changed places: True means that a query may look.",
)
def mask_inverted(queries, keys, device=None):
    return ~causal_mask(queries, keys, device)


@bug(
    "causal_mask",
    symptom="None in training. With a cache every new token sees the first keys only.",
    says="Queries are counted from key 0. With a cache there are more keys than queries, and the queries are the last "
    "of them: query i stands at keys − queries + i.",
)
def counted_from_key_zero(queries, keys, device=None):
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril()


# ------------------------------------------------------------------------------------------------------------- attend


def _shared(q, k, v):
    """Keys and values as often as there are query heads: each for a group of neighbours."""
    group = q.shape[1] // k.shape[1]
    return k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)


def _mixed(
    q, k, v, mask, scale=None, softmax_over=-1, hidden=-math.inf, zeroed=False, shared=_shared, by=causal_mask
):
    """Attention in plain steps. One of them is wrong in each of the functions below."""
    k, v = shared(q, k, v)
    mask = by(q.shape[2], k.shape[2], q.device) if mask is None else mask
    scores = einsum(q, k, "batch head query dim, batch head key dim -> batch head query key")
    scores = scores / math.sqrt(q.shape[-1]) if scale is None else scores * scale
    if not zeroed:
        scores = scores.masked_fill(~mask, hidden)
    weights = scores.softmax(softmax_over)
    if zeroed:
        weights = weights.masked_fill(~mask, 0.0)
    return einsum(weights, v, "batch head query key, batch head key dim -> batch head query dim")


@bug(
    "attend",
    symptom="None, or a better loss, in a toy. With wide heads the softmax picks one key and stops learning.",
    says="The scores are not divided by √dim: their spread is about √head_dim, and it should be about 1.",
)
def no_scale(q, k, v, mask=None):
    return _mixed(q, k, v, mask, scale=1.0)


@bug(
    "attend",
    symptom="Nearly none. Published weights look at everything alike.",
    says="The scores are divided by head_dim, not by its root: they are √dim times too small.",
)
def divided_by_dim(q, k, v, mask=None):
    return _mixed(q, k, v, mask, scale=1 / q.shape[-1])


@bug(
    "attend",
    symptom="Nearly none. Published weights look at everything alike.",
    says="The scores are divided by the root of the model's width. Each score is a sum over one head: divide by "
    "√head_dim.",
)
def divided_by_root_of_width(q, k, v, mask=None):
    return _mixed(q, k, v, mask, scale=1 / math.sqrt(q.shape[1] * q.shape[-1]))


@bug(
    "attend",
    symptom="Training is slow: the softmax picks one key from the start.",
    says="The scores are multiplied by √dim instead of divided by it.",
)
def times_root(q, k, v, mask=None):
    return _mixed(q, k, v, mask, scale=math.sqrt(q.shape[-1]))


@bug(
    "attend",
    symptom="The loss is far too good: a later query changes what earlier ones get.",
    says="The softmax runs over the queries: your columns sum to 1, not your rows. A query shares its 1 among the "
    "keys: softmax over the last axis.",
)
def softmax_over_queries(q, k, v, mask=None):
    return _mixed(q, k, v, mask, softmax_over=-2)


@bug(
    "attend",
    symptom="The loss is a little worse, and heads lose their meaning.",
    says="The softmax runs over the heads: dim=1 is the head axis. Use the last axis, the keys.",
)
def softmax_over_heads(q, k, v, mask=None):
    return _mixed(q, k, v, mask, softmax_over=1)


@also("mask_absent", "attend")
def no_mask_at_all(q, k, v, mask=None):
    return _mixed(q, k, v, torch.ones(q.shape[2], k.shape[2], dtype=torch.bool))


@also("diagonal_masked", "attend")
def diagonal_masked_by_infinity(q, k, v, mask=None):
    return _mixed(q, k, v, mask, by=diagonal_masked)


@also("diagonal_masked", "attend")
def diagonal_masked_by_a_large_number(q, k, v, mask=None):
    return _mixed(q, k, v, mask, hidden=torch.finfo(q.dtype).min, by=diagonal_masked)


@also("diagonal_masked", "attend")
def diagonal_masked_by_a_billion(q, k, v, mask=None):
    return _mixed(q, k, v, mask, hidden=-1e9, by=diagonal_masked)


@bug(
    "attend",
    symptom="The loss is better than it should be: a part of every token's weight lies in the future.",
    says="Hidden scores are filled with 0, and exp(0) is 1: the future still gets weight. Fill with −inf.",
)
def filled_with_zero(q, k, v, mask=None):
    return _mixed(q, k, v, mask, hidden=0.0)


@also("filled_with_zero", "attend")
def multiplied_by_the_mask(q, k, v, mask=None):
    if mask is None:
        mask = causal_mask(q.shape[2], k.shape[2], q.device)
    k, v = _shared(q, k, v)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) * mask
    return scores.softmax(-1) @ v


@bug(
    "attend",
    symptom="The loss is better than it should be: a part of every token's weight lies in the future.",
    says="Hidden scores are filled with a tiny number (−1e−9), and its exp is 1: the future still gets weight. "
    "Fill with −inf (or −1e9: a large one).",
)
def filled_with_a_tiny_number(q, k, v, mask=None):
    return _mixed(q, k, v, mask, hidden=-1e-9)


@bug(
    "attend",
    symptom="The loss is better than it should be: what is hidden still leaks through the denominator.",
    says="The weights are set to 0 after the softmax: your rows do not sum to 1, and their sum tells of the future. "
    "Fill the scores with −inf before.",
)
def zeroed_after_softmax(q, k, v, mask=None):
    return _mixed(q, k, v, mask, zeroed=True)


@bug(
    "attend",
    symptom=SILENT,
    says="The keys and values are tiled, 0 1 2 0 1 2, where each should serve neighbours, 0 0 1 1 2 2: "
    "query heads 0 and 1 share key-value head 0. `(kv group)`, or repeat_interleave.",
)
def kv_tiled(q, k, v, mask=None):
    def tiled(q, k, v):
        group = q.shape[1] // k.shape[1]
        return k.repeat(1, group, 1, 1), v.repeat(1, group, 1, 1)

    return _mixed(q, k, v, mask, shared=tiled)


@also("kv_tiled", "attend")
def queries_grouped_the_other_way(q, k, v, mask=None):
    kv = k.shape[1]
    group = q.shape[1] // kv
    q = rearrange(q, "batch (group kv) query dim -> batch (kv group) query dim", kv=kv)
    mixed = attend(q, k, v, mask)
    return rearrange(mixed, "batch (kv group) query dim -> batch (group kv) query dim", group=group)


@bug(
    "attend",
    symptom="An error about sizes where heads are shared; none where the sizes happen to fit.",
    says="The keys are repeated along time, not along the heads. Make batch, seq, head and dim distinct while testing, "
    "and repeat dim=1, the head axis.",
)
def repeats_time(q, k, v, mask=None):
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, dim=2), v.repeat_interleave(group, dim=2)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    mask = causal_mask(q.shape[2], k.shape[2] // group, q.device) if mask is None else mask
    return scores.masked_fill(~mask, -math.inf).softmax(-1) @ v


@also("repeats_time", "attend")
def repeats_time_and_reshapes(q, k, v, mask=None):
    batch, head, _, dim = q.shape
    group = head // k.shape[1]
    k, v = (part.repeat_interleave(group, dim=2).reshape(batch, head, -1, dim) for part in (k, v))
    return attend(q, k, v, mask)


@bug(
    "attend",
    symptom="None in training. Padding and other masks have no effect.",
    says="The mask that you were given is not used. A given mask replaces causality.",
)
def mask_ignored(q, k, v, mask=None):
    return attend(q, k, v)


@also("mask_ignored", "attend")
def is_causal_and_nothing_else(q, k, v, mask=None):
    return nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


@bug(
    "attend",
    symptom="None with causal masks. A mask that lets tokens look ahead, as within a prompt, has no effect.",
    says="A given mask is combined with causality. It should replace it: whoever gives a mask says all of it.",
)
def mask_and_causality(q, k, v, mask=None):
    causal = causal_mask(q.shape[2], k.shape[2], q.device)
    return attend(q, k, v, causal if mask is None else causal & mask)


@bug(
    "attend",
    symptom="The loss is far too good with a mask; generation is gibberish.",
    says="The given mask is read the wrong way round: True means that a query may look. Fill where it is False.",
)
def given_mask_inverted(q, k, v, mask=None):
    return attend(q, k, v, None if mask is None else ~mask)


@bug(
    "attend",
    symptom="None in training. With a cache every new token sees the first keys only, or the future.",
    says="PyTorch's is_causal counts queries from key 0. Where there are more keys than queries, give a mask.",
)
def is_causal_always(q, k, v, mask=None):
    return nn.functional.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None, enable_gqa=True)


# --------------------------------------------------------------------------------------------------------- the module


class Steps(LlamaAttention):
    """The lesson's forward in steps; each class below replaces one of them."""

    def __init__(self, config):
        super().__init__(config)
        self.config = config

    def forward(self, x, rotation=None, mask=None, cache=None):
        past = 0 if cache is None else len(cache)
        if rotation is None:
            rotation = self.angles(torch.arange(past, past + x.shape[1], device=x.device))
        q, k, v = (self.split(proj(x)) for proj in (self.q_proj, self.k_proj, self.v_proj))
        q, k, v = self.turn(q, k, v, rotation)
        if cache is not None:
            k, v = cache.update(k, v)
        return self.project(self.merge(self.attend(q, k, v, mask)))

    def angles(self, positions):
        return self.rotary_emb.angles(positions)

    def split(self, x):
        return rearrange(x, "batch seq (head dim) -> batch head seq dim", dim=self.head_dim)

    def turn(self, q, k, v, rotation):
        return rotate(q, rotation), rotate(k, rotation), v

    def attend(self, q, k, v, mask):
        return attend(q, k, v, mask)

    def merge(self, mixed):
        return rearrange(mixed, "batch head seq dim -> batch seq (head dim)")

    def project(self, merged):
        return self.o_proj(merged)


@bug(
    "LlamaAttention",
    symptom=SILENT,
    says="The rotary frequencies are made for the model's width, so that the slowest wavelength is too short. Rotary "
    "turns one head: LlamaRotaryEmbedding(head_dim).",
)
class model_width(Steps):
    def __init__(self, config):
        super().__init__(config)
        self.rope = (config.hidden_size, config.rope_theta, config.rope_scaling)


@also("model_width", "LlamaAttention")
class model_width_cut_to_the_head(model_width):
    def angles(self, positions):
        cos, sin = self.rotary_emb.angles(positions)
        return cos[..., : self.head_dim // 2], sin[..., : self.head_dim // 2]


@bug(
    "LlamaAttention",
    symptom="None with the usual base. Llama 3 (theta = 500,000) is right at position 0 and worse with every token.",
    says="The config's rope_theta is not used: hand it to LlamaRotaryEmbedding.",
)
class theta_of_config_ignored(Steps):
    def __init__(self, config):
        super().__init__(config)
        self.rope = (self.head_dim, LlamaConfig.rope_theta, config.rope_scaling)


@bug(
    "LlamaAttention",
    symptom="None in short prompts. In long ones Llama 3.1 and later lose the thread.",
    says="The config's rope_scaling is not used: hand it to LlamaRotaryEmbedding.",
)
class scaling_of_config_ignored(Steps):
    def __init__(self, config):
        super().__init__(config)
        self.rope = (self.head_dim, config.rope_theta, None)


@bug(
    "LlamaAttention",
    symptom="The loss is clearly worse.",
    says="Only the queries are turned: a score changed when both positions moved together. Turn the keys too.",
)
class only_q_turned(Steps):
    def turn(self, q, k, v, rotation):
        return rotate(q, rotation), k, v


@bug(
    "LlamaAttention",
    symptom="The loss is clearly worse.",
    says="Only the keys are turned: a score changed when both positions moved together. Turn the queries too.",
)
class only_k_turned(Steps):
    def turn(self, q, k, v, rotation):
        return q, rotate(k, rotation), v


@bug(
    "LlamaAttention",
    symptom=SILENT,
    says="The values are turned too. Positions decide who looks where; what is passed on must not depend on them.",
)
class v_turned(Steps):
    def turn(self, q, k, v, rotation):
        return rotate(q, rotation), rotate(k, rotation), rotate(v, rotation)


@bug(
    "LlamaAttention",
    symptom="The loss is that of a model without positions.",
    says="Nothing is turned: permuting the tokens permutes the outputs. Turn q and k before the scores.",
)
class never_turned(Steps):
    def turn(self, q, k, v, rotation):
        return q, k, v


@bug(
    "LlamaAttention",
    symptom="The same as no rotary at all, or an error about sizes.",
    says="The angles run along the head axis: permuting heads changed the scores, permuting positions did not. "
    "Bring q and k to (batch, head, seq, dim) before turning them.",
)
class head_axis(Steps):
    def turn(self, q, k, v, rotation):
        q, k = (rearrange(part, "batch head seq dim -> batch seq head dim") for part in (q, k))
        q, k = self.rotary_emb(q), self.rotary_emb(k)
        return *(rearrange(part, "batch seq head dim -> batch head seq dim") for part in (q, k)), v


@also("head_axis", "LlamaAttention")
class head_axis_with_given_angles(Steps):
    def turn(self, q, k, v, rotation):
        q, k = (rearrange(part, "batch head seq dim -> batch seq head dim") for part in (q, k))
        q, k = rotate(q, rotation), rotate(k, rotation)
        return *(rearrange(part, "batch seq head dim -> batch head seq dim") for part in (q, k)), v


@bug(
    "LlamaAttention",
    symptom="None in training. With padding, or a cache, tokens stand at the wrong positions.",
    says="The rotation that you were given is not used: you always count from 0. Use `rotation` where it is given.",
)
class rotation_ignored(Steps):
    def turn(self, q, k, v, rotation):
        rotation = self.rotary_emb.angles(torch.arange(q.shape[2], device=q.device))
        return rotate(q, rotation), rotate(k, rotation), v


@also("divided_by_root_of_width", "LlamaAttention")
class divided_by_root_of_hidden_size(Steps):
    def attend(self, q, k, v, mask):
        return _mixed(q, k, v, mask, scale=1 / math.sqrt(self.config.hidden_size))


def _reshaped(x, dim):
    return x.reshape(len(x), -1, x.shape[1], dim)


@bug(
    "LlamaAttention",
    symptom="The loss is far too good: every head mixes several tokens, later ones too.",
    says="(batch, seq, hidden) is reshaped into (batch, head, seq, dim) directly, which cuts across tokens. "
    "`batch seq (head dim) -> batch head seq dim`: split first, then swap.",
)
class heads_by_reshape(Steps):
    def split(self, x):
        return _reshaped(x, self.head_dim)


@also("heads_by_reshape", "LlamaAttention")
class queries_by_reshape(Steps):
    def turn(self, q, k, v, rotation):
        q = _reshaped(rearrange(q, "batch head seq dim -> batch seq (head dim)"), self.head_dim)
        return rotate(q, rotation), rotate(k, rotation), v


@also("heads_by_reshape", "LlamaAttention")
class heads_by_reshape_and_back(Steps):
    def split(self, x):
        return _reshaped(x, self.head_dim)

    def merge(self, mixed):
        batch, _, seq, _ = mixed.shape
        return mixed.reshape(batch, seq, -1)


@bug(
    "LlamaAttention",
    symptom=SILENT,
    says="A vector is cut as (dim head): a head takes every n-th number. Published weights lay the heads one after "
    "the other: (head dim).",
)
class dim_before_head(Steps):
    def split(self, x):
        return rearrange(x, "batch seq (dim head) -> batch head seq dim", dim=self.head_dim)

    def merge(self, mixed):
        return rearrange(mixed, "batch head seq dim -> batch seq (dim head)")


@bug(
    "LlamaAttention",
    symptom="The loss is far too good: token 0 gets a part of what later tokens see.",
    says="The heads are merged without swapping back: output token 0 mixes several tokens. "
    "`batch head seq dim -> batch seq (head dim)`.",
)
class merged_without_swap(Steps):
    def merge(self, mixed):
        batch, _, seq, _ = mixed.shape
        return mixed.reshape(batch, seq, -1)


@bug(
    "LlamaAttention",
    symptom=SILENT,
    says="The output projection is missing: I set o_proj to zeros and nothing changed. "
    "The merged heads go through o_proj.",
)
class no_output_projection(Steps):
    def project(self, merged):
        return merged


@bug(
    "LlamaAttention",
    symptom="The loss is worse: what a token passes on is what it is found by.",
    says="The values are made by k_proj. Keys and values have projections of their own: v_proj.",
)
class values_from_keys(Steps):
    def turn(self, q, k, v, rotation):
        return rotate(q, rotation), rotate(k, rotation), k
