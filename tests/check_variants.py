"""Right solutions, written as differently as learners write them. None of them may be blamed."""

import math

import torch
import torch.nn.functional as F
from check_mistakes import MLP
from einops import einsum, rearrange, reduce
from torch import nn

from llama_tutorial import LlamaAttention, LlamaConfig, LlamaMLP, LlamaRMSNorm, LlamaRotaryEmbedding
from llama_tutorial.causal_lm import LlamaForCausalLM
from llama_tutorial.fast import beside
from llama_tutorial.rotary import rotary_frequencies, rotate

RIGHT = []  # (object, exercise)


def right(exercise):
    def enter(obj):
        RIGHT.append((obj, exercise))
        return obj

    return enter


# --------------------------------------------------------------------------------------------------------------- heads


@right("split_by_hand")
def split_by_chunks(x, heads):
    return torch.stack(x.chunk(heads, dim=-1), dim=1)


@right("split_by_hand")
def split_by_view_and_transpose(x, heads):
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


@right("split_by_hand")
def split_by_names(x, heads):
    return rearrange(x, "batch seq (head dim) -> batch head seq dim", head=heads)


@right("split_by_hand")
def split_by_windows(x, heads):
    dim = x.shape[-1] // heads
    return x.unfold(-1, dim, dim).movedim(2, 1)


@right("split_by_hand")
def split_number_by_number(x, heads):
    batch, seq, width = x.shape
    out = torch.empty(batch, heads, seq, width // heads, dtype=x.dtype)
    for text in range(batch):
        for word in range(seq):
            for place in range(width):
                out[text, place // (width // heads), word, place % (width // heads)] = x[text, word, place]
    return out


@right("merge_by_hand")
def merge_by_cat(x):
    return torch.cat(x.unbind(1), dim=-1)


@right("merge_by_hand")
def merge_by_transpose_and_reshape(x):
    return x.transpose(1, 2).reshape(len(x), x.shape[2], -1)


@right("merge_by_hand")
def merge_by_names(x):
    return rearrange(x, "batch head seq dim -> batch seq (head dim)")


@right("merge_by_hand")
def merge_by_lists(x):
    words = [[[number for head in text for number in head[word]] for word in range(x.shape[2])] for text in x.tolist()]
    return torch.tensor(words, dtype=x.dtype)


# --------------------------------------------------------------------------------------------------------------- norm


@right("rms_norm")
def by_pytorch(x, weight, eps):
    return weight * F.rms_norm(x.float(), x.shape[-1:], eps=eps).to(x.dtype)


@right("rms_norm")
def in_float64(x, weight, eps):
    wide = x.double()
    return weight * (wide / torch.sqrt((wide**2).mean(-1, keepdim=True) + eps)).to(x.dtype)


@right("rms_norm")
def gain_in_float32(x, weight, eps):
    wide = x.float()
    return (weight.float() * wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)


@right("rms_norm")
def by_a_dot_product(x, weight, eps):
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    square = einsum(wide, wide, "... dim, ... dim -> ...")
    return weight * (wide / (square[..., None] / x.shape[-1] + eps) ** 0.5).to(x.dtype)


@right("norm_backward")
def back_by_autograd(x, weight, eps, gradient):
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        y = weight * leaf / torch.sqrt(leaf.square().mean(-1, keepdim=True) + eps)
        return torch.autograd.grad(y, leaf, gradient)[0]


@right("norm_backward")
def back_by_what_was_normed(x, weight, eps, gradient):
    inverse = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
    normed, pull = x * inverse, gradient * weight
    return inverse * (pull - normed * (pull * normed).sum(-1, keepdim=True) / x.shape[-1])


@right("rms_norm")
def in_place_on_a_copy(x, weight, eps):
    y = torch.zeros_like(x, dtype=torch.promote_types(x.dtype, torch.float32))
    y += x
    y /= x.to(y.dtype).pow(2).mean(-1, keepdim=True).add_(eps).sqrt()
    return y.to(x.dtype) * weight


@right("rms_norm")
def one_vector_at_a_time(x, weight, eps):
    flat = x.reshape(-1, x.shape[-1]).float()
    rows = [row / math.sqrt(float(row @ row) / len(row) + eps) for row in flat.detach()]
    out = torch.stack(rows) + 0 * flat
    if x.requires_grad:  # a loop that leaves the graph would be wrong: by the formula where gradients are asked for
        out = flat / (flat.pow(2).mean(-1, keepdim=True) + eps).sqrt()
    return weight * out.reshape(x.shape).to(x.dtype)


@right("LlamaRMSNorm")
class PublishedNorm(nn.Module):
    def __init__(self, hidden_size, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.variance_epsilon = eps

    def forward(self, hidden_states):
        input_dtype = hidden_states.dtype
        hidden_states = hidden_states.to(torch.float32)
        variance = hidden_states.pow(2).mean(-1, keepdim=True)
        hidden_states = hidden_states * torch.rsqrt(variance + self.variance_epsilon)
        return self.weight * hidden_states.to(input_dtype)


@right("LlamaRMSNorm.forward")
def norm_of_self(self, x):
    wide = x.float()
    return self.weight * (wide * (reduce(wide**2, "... dim -> ... 1", "mean") + self.eps).rsqrt()).to(x.dtype)


@right("LlamaRMSNorm.forward")
def norm_as_a_function(x, weight, eps):
    return by_pytorch(x, weight, eps)


@right("LlamaRMSNorm")
def make_a_norm(hidden_size, eps=1e-5):
    return PublishedNorm(hidden_size, eps)


@right("rms_norm")
def by_a_norm(x, weight, eps):
    wide = x if x.dtype == torch.float64 else x.float()
    length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    return weight * (wide / torch.sqrt(length**2 / x.shape[-1] + eps)).to(x.dtype)


@right("LlamaRMSNorm")
class WithPow(LlamaRMSNorm):
    def forward(self, x):
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return self.weight * (wide * (wide.square().mean(-1, True) + self.eps) ** -0.5).type_as(x)


# ------------------------------------------------------------------------------------------------------------- rotary


def _with_heads(part, x):
    while part.ndim < x.ndim:
        part = part.unsqueeze(-3)
    return part


@right("rotate")
def by_complex_numbers(x, rotation):
    cos, sin = (_with_heads(part, x) for part in rotation)
    first, second = x.float().chunk(2, dim=-1)
    turned = torch.complex(first, second) * torch.complex(cos.float(), sin.float())
    return torch.cat([turned.real, turned.imag], dim=-1).to(x.dtype)


@right("rotate")
def by_rotate_half(x, rotation):
    cos, sin = (_with_heads(torch.cat([part, part], dim=-1), x).to(x.dtype) for part in rotation)
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * sin


@right("rotate")
def by_view_and_transpose(x, rotation):
    cos, sin = (_with_heads(part, x) for part in rotation)
    pairs = x.view(*x.shape[:-1], 2, -1).transpose(-1, -2)
    out = torch.stack([pairs[..., 0] * cos - pairs[..., 1] * sin, pairs[..., 1] * cos + pairs[..., 0] * sin], dim=-1)
    return out.transpose(-1, -2).reshape(x.shape).to(x.dtype)


@right("rotate")
def by_matrices(x, rotation):
    cos, sin = (_with_heads(part, x).double() for part in rotation)
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    pairs = rearrange(x.double(), "... (two pair) -> ... pair two", two=2)
    return rearrange((turn @ pairs[..., None])[..., 0], "... pair two -> ... (two pair)").to(x.dtype)


@right("rotary_frequencies")
def by_exp_of_log(dim, theta=10000.0, scaling=None):
    if scaling:
        return LlamaRotaryEmbedding(dim, theta, scaling).inv_freq, 1
    i = torch.arange(dim // 2, dtype=torch.float64)
    return torch.exp(-math.log(theta) * 2 * i / dim).float(), 1


@right("slow_the_slow_hands")
def hand_by_hand(inv_freq, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings):
    new = []
    for freq in inv_freq.tolist():
        wavelength = 2 * math.pi / freq
        if wavelength < original_max_position_embeddings / high_freq_factor:
            new.append(freq)
        elif wavelength > original_max_position_embeddings / low_freq_factor:
            new.append(freq / factor)
        else:
            smooth = original_max_position_embeddings / wavelength - low_freq_factor
            smooth = smooth / (high_freq_factor - low_freq_factor)
            new.append((1 - smooth) * freq / factor + smooth * freq)
    return torch.tensor(new)


@right("LlamaRotaryEmbedding")
class InFloat64(LlamaRotaryEmbedding):
    def angles(self, positions):
        plain = self.theta ** (-torch.arange(0, self.dim, 2, dtype=torch.float64) / self.dim)
        exact = self.inv_freq.double() if self.scaling else plain
        angles = positions.double()[..., None] * exact
        return (angles.cos() * self.attention_factor).float(), (angles.sin() * self.attention_factor).float()


@right("LlamaRotaryEmbedding")
class FromATable(LlamaRotaryEmbedding):
    def __init__(self, dim, theta=10000.0, scaling=None):
        super().__init__(dim, theta, scaling)
        self.table = torch.polar(torch.ones(512, dim // 2), torch.outer(torch.arange(512.0), self.inv_freq))

    def forward(self, x, positions=None):
        positions = torch.arange(x.shape[-2]) if positions is None else positions
        turn = _with_heads(self.table[positions], x)
        first, second = x.float().chunk(2, dim=-1)
        out = torch.complex(first, second) * turn
        return torch.cat([out.real, out.imag], -1).to(x.dtype)


@right("LlamaRotaryEmbedding.forward")
def rope(x, positions=None, theta=10000.0):
    half = x.shape[-1] // 2
    positions = torch.arange(x.shape[-2]) if positions is None else positions
    angles = positions[..., None].double() / theta ** (torch.arange(half) / half)
    cos, sin = (_with_heads(part, x) for part in (angles.cos(), angles.sin()))
    a, b = x[..., :half].double(), x[..., half:].double()
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


@right("LlamaRotaryEmbedding.forward")
def rope_without_theta(x, positions=None):
    return rope(x, positions)


@right("LlamaRotaryEmbedding.forward")
def rope_of_self(self, x, positions=None):
    if positions is None:
        positions = torch.arange(x.shape[-2])
    return by_rotate_half(x, self.angles(positions))


@right("LlamaRotaryEmbedding.angles")
def outer_product(self, positions):
    angles = torch.einsum("...s,p->...sp", positions.float(), self.inv_freq)
    return torch.cos(angles) * self.attention_factor, torch.sin(angles) * self.attention_factor


@right("rotate")
def by_stacked_pairs(x, rotation):
    cos, sin = (part.to(x.dtype) for part in rotation)
    while cos.ndim < x.ndim:
        cos, sin = cos.unsqueeze(-3), sin.unsqueeze(-3)
    pairs = x.unflatten(-1, (2, -1))
    crossed = torch.stack([-pairs[..., 1, :], pairs[..., 0, :]], dim=-2)
    return (pairs * cos.unsqueeze(-2) + crossed * sin.unsqueeze(-2)).flatten(-2)


@right("rotary_frequencies")
def by_exp_and_log(dim, theta=10000.0, scaling=None):
    if scaling is not None:
        return rotary_frequencies(dim, theta, scaling)
    return torch.exp(-torch.arange(0, dim, 2).float() / dim * math.log(theta)), 1.0


@right("slow_the_slow_hands")
def by_cases(inv_freq, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings):
    slowed = []
    for speed in inv_freq.tolist():
        turns = original_max_position_embeddings * speed / (2 * math.pi)
        keep = min(1.0, max(0.0, (turns - low_freq_factor) / (high_freq_factor - low_freq_factor)))
        slowed.append((1 - keep) * speed / factor + keep * speed)
    return torch.tensor(slowed)


# ---------------------------------------------------------------------------------------------------------- attention


@right("causal_mask")
def by_counting(queries, keys, device=None):
    seen = torch.arange(keys - queries + 1, keys + 1, device=device)
    return torch.arange(keys, device=device).expand(queries, keys) < seen[:, None]


@right("attend")
@right("attend_by_hand")
def one_head_at_a_time(q, k, v, mask=None):
    group, heads = q.shape[1] // k.shape[1], []
    mask = _mask(q, k, mask).expand(len(q), q.shape[1], q.shape[2], k.shape[2])
    for head in range(q.shape[1]):
        scores = q[:, head] @ k[:, head // group].mT / math.sqrt(q.shape[-1])
        weights = scores.float().masked_fill(~mask[:, head], -math.inf).softmax(-1).to(q.dtype)
        heads.append(weights @ v[:, head // group])
    return torch.stack(heads, dim=1)


@right("causal_mask")
def by_tril(queries, keys, device=None):
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(diagonal=keys - queries)


@right("causal_mask")
def by_rows(queries, keys, device=None):
    rows = [[j <= keys - queries + i for j in range(keys)] for i in range(queries)]
    return torch.tensor(rows, device=device)


def _mask(q, k, mask):
    return by_tril(q.shape[2], k.shape[2]) if mask is None else mask


@right("attend")
@right("attend_by_hand")
def explicit_softmax(q, k, v, mask=None):
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    scores = scores.masked_fill(~_mask(q, k, mask), float("-inf")).float()
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    return (weights / weights.sum(-1, keepdim=True)).to(q.dtype) @ v


@right("attend")
def expanded_keys(q, k, v, mask=None):
    batch, kv, key, dim = k.shape
    group = q.shape[1] // kv
    k, v = (part[:, :, None].expand(batch, kv, group, key, dim).reshape(batch, -1, key, dim) for part in (k, v))
    scores = torch.matmul(q, k.transpose(2, 3)) * dim**-0.5
    scores = scores + torch.zeros(scores.shape[-2:]).masked_fill(~_mask(q, k, mask), float("-inf"))
    return torch.matmul(scores.softmax(-1, dtype=torch.float32).to(q.dtype), v)


@right("attend")
def filled_with_the_least_number(q, k, v, mask=None):
    k, v = (part.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for part in (k, v))
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k) / q.shape[-1] ** 0.5
    scores = torch.where(_mask(q, k, mask), scores, torch.finfo(scores.dtype).min)
    return torch.einsum("bhqk,bhkd->bhqd", torch.softmax(scores, dim=3), v)


@right("attend")
def filled_with_minus_a_billion(q, k, v, mask=None):
    return explicit_softmax(q, k, v, _mask(q, k, mask)).clone()


@right("attend_by_hand")
@right("attend")
def fused(q, k, v, mask=None):
    return F.scaled_dot_product_attention(q, k, v, _mask(q, k, mask), enable_gqa=True)


@right("attend")
def attend_in_float64(q, k, v, mask=None):
    return explicit_softmax(q.double(), k.double(), v.double(), mask).to(q.dtype)


@right("attend")
def head_by_head(q, k, v, mask=None):
    group, mask = q.shape[1] // k.shape[1], _mask(q, k, mask)
    mask = mask.expand(len(q), q.shape[1], q.shape[2], k.shape[2])
    heads = []
    for head in range(q.shape[1]):
        scores = q[:, head] @ k[:, head // group].mT / math.sqrt(q.shape[-1])
        weights = scores.masked_fill(~mask[:, head], -1e9).softmax(-1)
        heads.append(weights @ v[:, head // group])
    return torch.stack(heads, dim=1)


@right("LlamaAttention")
class ByViewAndTranspose(nn.Module):
    def __init__(self, config):
        super().__init__()
        config = LlamaConfig(config)
        self.heads, self.kv, self.dim = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        hidden, bias = config.hidden_size, config.attention_bias
        self.q_proj = nn.Linear(hidden, self.heads * self.dim, bias=bias)
        self.k_proj = nn.Linear(hidden, self.kv * self.dim, bias=bias)
        self.v_proj = nn.Linear(hidden, self.kv * self.dim, bias=bias)
        self.o_proj = nn.Linear(self.heads * self.dim, hidden, bias=bias)
        self.rotary_emb = LlamaRotaryEmbedding(self.dim, config.rope_theta, config.rope_scaling)
        self.register_buffer("bias", torch.ones(2048, 2048, dtype=torch.bool).tril())

    def forward(self, x, rotation=None, mask=None, cache=None):
        batch, seq, _ = x.size()
        past = len(cache) if cache is not None else 0
        if rotation is None:
            rotation = self.rotary_emb.angles(torch.arange(past, past + seq))
        q = self.q_proj(x).view(batch, seq, self.heads, self.dim).transpose(1, 2)
        k = self.k_proj(x).view(batch, seq, self.kv, self.dim).transpose(1, 2)
        v = self.v_proj(x).view(batch, seq, self.kv, self.dim).transpose(1, 2)
        q, k = rotate(q, rotation), rotate(k, rotation)
        if cache is not None:
            k, v = cache.update(k, v)
        k, v = (part.repeat_interleave(self.heads // self.kv, dim=1) for part in (k, v))
        scores = q @ k.transpose(-2, -1) / self.dim**0.5
        mask = self.bias[past : past + seq, : past + seq] if mask is None else mask
        weights = F.softmax(scores.masked_fill(~mask, -math.inf), dim=-1)
        return self.o_proj((weights @ v).transpose(1, 2).contiguous().view(batch, seq, -1))


@right("LlamaAttention.forward")
def attention_without_a_cache(self, x, rotation=None, mask=None, cache=None):
    rotation = self.rotary_emb.angles(torch.arange(x.shape[1])) if rotation is None else rotation
    q, k, v = (proj(x).unflatten(-1, (-1, self.head_dim)).movedim(1, 2) for proj in (
        self.q_proj, self.k_proj, self.v_proj))  # fmt: skip
    return self.o_proj(fused(by_rotate_half(q, rotation), by_rotate_half(k, rotation), v, mask).mT.flatten(1, 2).mT)


@right("LlamaAttention")
class CountedFromOne(LlamaAttention):
    """Harmless: scores know distance only."""

    def forward(self, x, rotation=None, mask=None, cache=None):
        if rotation is None:
            past = 0 if cache is None else len(cache)
            rotation = self.rotary_emb.angles(torch.arange(past, past + x.shape[1]) + 1)
        return super().forward(x, rotation, mask, cache)


@right("LlamaAttention")
class PositionsInFloat64(LlamaAttention):
    def __init__(self, config):
        super().__init__(config)
        self.rotary_emb = InFloat64(self.head_dim, config["rope_theta"], config["rope_scaling"])


# ---------------------------------------------------------------------------------------------------------------- mlp

for name, there, instead in (
    ("InSteps", "a = self", "a = self"),
    ("BySigmoid", "self.act_fn(g)", "g * torch.sigmoid(g)"),
    ("ByExp", "self.act_fn(g)", "g / (1 + torch.exp(-g))"),
    ("SiluInFloat32", "self.act_fn(g)", "F.silu(g.float()).to(g.dtype)"),
    ("InPlaceOnItsOwn", "h = a * u", "a *= u\n        h = a"),
    ("SiluInPlace", "a = self.act_fn(g)", "a = F.silu(g, inplace=True)"),
    ("Flattened", "self.down_proj(h)", "self.down_proj(h.reshape(-1, h.shape[-1])).reshape(x.shape)"),
    ("UpFirst", "h = a * u", "h = u * a"),
):
    assert there in MLP
    space = {"__name__": __name__}
    exec(MLP.replace("LlamaMLP", name).replace(there, instead), space)
    right("LlamaMLP")(space[name])


@right("LlamaMLP")
class UnitByUnit(LlamaMLP):
    def forward(self, x):
        def one(part, i):
            return x @ part.weight[i] + (0 if part.bias is None else part.bias[i])

        units = range(len(self.up_proj.weight))
        y = sum((F.silu(one(self.gate_proj, i)) * one(self.up_proj, i))[..., None] * self.down_proj.weight[:, i]
                for i in units)  # fmt: skip
        return y if self.down_proj.bias is None else y + self.down_proj.bias


@right("LlamaMLP.forward")
def mlp_in_one_line(self, x):
    return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


# --------------------------------------------------------------------------------------------------------- checkpoints


@right("tensor_shapes")
def shapes_of_the_state_dict(config):
    with torch.device("meta"):
        kept = LlamaForCausalLM(config).state_dict()
    return {name: tuple(weight.shape) for name, weight in kept.items()
            if not (config.tie_word_embeddings and name == "lm_head.weight")}  # fmt: skip


@right("to_halves")
def halves_by_one_pattern(weight, heads):
    return rearrange(weight, "(head pair two) hidden -> (head two pair) hidden", head=heads, two=2)


@right("tensor_shapes")
def shapes_of_a_model_without_memory(config):
    with torch.device("meta"):
        return {name: weight.shape for name, weight in LlamaForCausalLM(config).named_parameters()}


@right("to_halves")
def halves_by_view_and_transpose(weight, heads):
    rows, hidden = weight.shape
    return weight.view(heads, rows // heads // 2, 2, hidden).transpose(1, 2).reshape(rows, hidden)


@right("to_halves")
def halves_by_a_list_of_rows(weight, heads):
    dim = len(weight) // heads
    order = [head * dim + row for head in range(heads) for row in (*range(0, dim, 2), *range(1, dim, 2))]
    return weight[order]


@right("to_halves")
def halves_head_by_head(weight, heads):
    return torch.cat([part for head in weight.chunk(heads) for part in (head[0::2], head[1::2])])


# ---------------------------------------------------------------------------------------------------- language model


@right("next_token_loss")
def loss_of_what_is_cut(logits, input_ids):
    given = logits[:, :-1].to(torch.promote_types(logits.dtype, torch.float32)).flatten(0, 1)
    return F.cross_entropy(given, input_ids[:, 1:].flatten().long())


@right("next_token_loss")
def loss_by_gathering(logits, input_ids):
    given = logits[:, :-1].to(torch.promote_types(logits.dtype, torch.float32))
    scored = given.gather(-1, input_ids[:, 1:, None].long())[..., 0]
    return (given.logsumexp(dim=-1) - scored).mean()


@right("next_token_loss")
def loss_text_by_text(logits, input_ids):
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    texts = zip(logits, input_ids.long())
    return torch.stack([F.cross_entropy(given[:-1], text[1:]) for given, text in texts]).mean()


@right("LlamaForCausalLM.tie_weights")
class TheTableIsTheHead(LlamaForCausalLM):
    def tie_weights(self):
        if self.config.tie_word_embeddings:
            self.model.embed_tokens.weight = self.lm_head.weight


# ---------------------------------------------------------------------------------------------------- looking inside


@right("previous_score")
def scores_on_the_line_below(probs):
    return probs.diagonal(offset=-1, dim1=-2, dim2=-1).mean(dim=(0, 2))


@right("previous_score")
def scores_of_what_is_shifted(probs):
    return torch.stack([probs[:, head, 1:, :-1].diagonal(dim1=1, dim2=2).mean() for head in range(probs.shape[1])])


@right("mean_ablated")
def ablated_head_by_head(heads, which):
    parts = [head.mean(dim=(0, 1)).expand_as(head) if i == which else head for i, head in enumerate(heads.unbind(1))]
    return torch.stack(parts, dim=1)


@right("induction_score")
def induction_query_by_query(probs, ids):
    total, asked = torch.zeros(probs.shape[1]), 0
    for text, row in enumerate(ids.tolist()):
        for query, token in enumerate(row):
            keys = [key for key in range(1, query) if row[key - 1] == token]
            total, asked = total + probs[text, :, query, keys].sum(dim=-1), asked + bool(keys)
    return total / asked


# ------------------------------------------------------------------------------------------------- the faster model


@right("quantize")
def quantized_where_nothing_is_zero(weight):
    largest = torch.max(torch.abs(weight.to(torch.float32)), dim=-1, keepdim=True)[0]
    scale = torch.where(largest == 0, 1.0, largest / 127)
    return torch.clamp(torch.round(weight.float() / scale), -127, 127).to(torch.int8), scale.squeeze(1)


@right("quantize")
def quantized_row_by_row(weight):
    scales = [max(row.abs().max().item(), 1e-30) / 127 for row in weight.float()]
    rows = [(row / scale).round().char() for row, scale in zip(weight.float(), scales)]
    return torch.stack(rows), torch.tensor(scales)


@right("quantize")
def quantized_by_a_product(weight):
    largest = weight.float().abs().amax(dim=1).clamp(min=1e-30)
    return einsum(weight.float(), 127 / largest, "out in, out -> out in").round().to(torch.int8), largest / 127


@right("fuse_linears")
def fused_by_slices(linears):
    weight = beside([linear.weight for linear in linears])
    bias = None if linears[0].bias is None else beside([linear.bias for linear in linears])
    start = 0
    for linear in linears:
        linear.weight.data = weight[start : start + linear.out_features]
        if bias is not None:
            linear.bias.data = bias[start : start + linear.out_features]
        start += linear.out_features
    return weight, bias


@right("fuse_linears")
def fused_with_new_parameters(linears):
    weight = beside([linear.weight for linear in linears])
    for linear, rows in zip(linears, torch.split(weight, [len(linear.weight) for linear in linears])):
        linear.weight = nn.Parameter(rows)
    if linears[0].bias is None:
        return weight, None
    bias = beside([linear.bias for linear in linears])
    for linear, rows in zip(linears, torch.split(bias, [len(linear.bias) for linear in linears])):
        linear.bias = nn.Parameter(rows)
    return weight, bias
