"""Mistakes in another hand: solutions in the style of well-known code, each spoilt in one place.

The catalogue was not written from these texts; the check must name the mistakes all the same.
"""

NORM = """
import torch
from torch import nn
class RMSNorm(nn.Module):
    def __init__(self, dim, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))
    def forward(self, x):
        norm = x.float().pow(2).mean(-1, keepdim=True)
        y = x.float() * torch.rsqrt(norm + self.eps)
        return y.type_as(x) * self.weight
"""

ROTARY = """
import torch, math
from torch import nn
class LlamaRotaryEmbedding(nn.Module):
    def __init__(self, dim, theta=10000.0, scaling=None):
        super().__init__()
        self.dim = dim
        inv = 1.0 / (theta ** (torch.arange(0, dim, 2).float() / dim))
        if scaling is not None:
            kind = scaling.get("rope_type", scaling.get("type"))
            if kind == "linear":
                inv = inv / scaling["factor"]
            elif kind == "llama3":
                f, lo, hi = scaling["factor"], scaling["low_freq_factor"], scaling["high_freq_factor"]
                old = scaling["original_max_position_embeddings"]
                wl = 2 * math.pi / inv
                smooth = (old / wl - lo) / (hi - lo)
                mid = (1 - smooth) * inv / f + smooth * inv
                inv = torch.where(wl > old / lo, inv / f, torch.where(wl < old / hi, inv, mid))
        self.inv = inv
    def angles(self, positions):
        a = positions.float()[..., None] * self.inv
        return a.cos(), a.sin()
    def forward(self, x, positions=None):
        if positions is None:
            positions = torch.arange(x.shape[-2])
        cos, sin = self.angles(positions)
        if positions.ndim == 2 and x.ndim == 4:
            cos, sin = cos[:, None], sin[:, None]
        cos, sin = torch.cat([cos, cos], -1), torch.cat([sin, sin], -1)
        h = self.dim // 2
        rot = torch.cat([-x[..., h:], x[..., :h]], -1)
        return (x * cos + rot * sin).to(x.dtype)
"""

ATTENTION = """
import math, torch, torch.nn as nn, torch.nn.functional as F
from llama_tutorial import LlamaConfig, LlamaRotaryEmbedding
from llama_tutorial.rotary import rotate
class LlamaAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        config = LlamaConfig(config)
        self.n_heads, self.n_kv = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = config.head_dim
        self.hidden = config.hidden_size
        b = config.attention_bias
        self.q_proj = nn.Linear(self.hidden, self.n_heads * self.head_dim, bias=b)
        self.k_proj = nn.Linear(self.hidden, self.n_kv * self.head_dim, bias=b)
        self.v_proj = nn.Linear(self.hidden, self.n_kv * self.head_dim, bias=b)
        self.o_proj = nn.Linear(self.n_heads * self.head_dim, self.hidden, bias=b)
        self.rotary_emb = LlamaRotaryEmbedding(self.head_dim, config.rope_theta, config.rope_scaling)
    def forward(self, x, rotation=None, mask=None, cache=None):
        B, T, C = x.shape
        if rotation is None:
            rotation = self.rotary_emb.angles(torch.arange(T))
        q = self.q_proj(x).view(B, T, self.n_heads, self.head_dim).transpose(1, 2)
        k = self.k_proj(x).view(B, T, self.n_kv, self.head_dim).transpose(1, 2)
        v = self.v_proj(x).view(B, T, self.n_kv, self.head_dim).transpose(1, 2)
        q, k = rotate(q, rotation), rotate(k, rotation)
        k = k.repeat_interleave(self.n_heads // self.n_kv, dim=1)
        v = v.repeat_interleave(self.n_heads // self.n_kv, dim=1)
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(self.head_dim))
        if mask is None:
            mask = torch.tril(torch.ones(T, T)).bool()
        att = att.masked_fill(mask == 0, float('-inf'))
        att = F.softmax(att, dim=-1)
        y = att @ v
        y = y.transpose(1, 2).contiguous().view(B, T, -1)
        return self.o_proj(y)
"""

# (the bug, what stands there, what is written instead)
SHAPES = """
def tensor_shapes(c):
    q, kv = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
    shapes = {"model.embed_tokens.weight": (c.vocab_size, c.hidden_size)}
    for i in range(c.num_hidden_layers):
        at = f"model.layers.{i}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{at}{norm}.weight"] = (c.hidden_size,)
        for part, rows, columns, block in (
            ("q", q, c.hidden_size, "self_attn"), ("k", kv, c.hidden_size, "self_attn"),
            ("v", kv, c.hidden_size, "self_attn"), ("o", c.hidden_size, q, "self_attn"),
            ("gate", c.intermediate_size, c.hidden_size, "mlp"), ("up", c.intermediate_size, c.hidden_size, "mlp"),
            ("down", c.hidden_size, c.intermediate_size, "mlp"),
        ):
            shapes[f"{at}{block}.{part}_proj.weight"] = (rows, columns)
            if c.attention_bias if block == "self_attn" else c.mlp_bias:
                shapes[f"{at}{block}.{part}_proj.bias"] = (rows,)
    shapes["model.norm.weight"] = (c.hidden_size,)
    if not c.tie_word_embeddings:
        shapes["lm_head.weight"] = (c.vocab_size, c.hidden_size)
    return shapes
"""

HALVES = """
def to_halves(w, n_heads):
    rows, columns = w.shape
    return w.view(n_heads, rows // n_heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)
"""

MLP = """
import torch
import torch.nn.functional as F
from torch import nn
class LlamaMLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.hidden_size = config.hidden_size
        self.intermediate_size = config.intermediate_size
        self.gate_proj = nn.Linear(self.hidden_size, self.intermediate_size, bias=config.mlp_bias)
        self.up_proj = nn.Linear(self.hidden_size, self.intermediate_size, bias=config.mlp_bias)
        self.down_proj = nn.Linear(self.intermediate_size, self.hidden_size, bias=config.mlp_bias)
        self.act_fn = nn.SiLU()
    def forward(self, x):
        g = self.gate_proj(x)
        a = self.act_fn(g)
        u = self.up_proj(x)
        h = a * u
        y = self.down_proj(h)
        return y
"""

PREVIOUS = """
import torch
def previous_score(probs):
    seq = probs.shape[-1]
    mask = torch.eye(seq - 1)
    mask = torch.nn.functional.pad(mask, (0, 1, 1, 0))
    there = (probs * mask).sum(-1)
    total = there.sum(-1).sum(0)
    return total / ((seq - 1) * len(probs))
"""

ABLATED = """
import torch
def mean_ablated(heads, which):
    head = heads[:, which]
    avg = head.sum(dim=(0, 1)) / (head.shape[0] * head.shape[1])
    here = torch.arange(heads.shape[1]).view(1, -1, 1, 1) == which
    return torch.where(here, avg, heads)
"""

INDUCTION = """
import torch
def induction_score(probs, ids):
    before = torch.roll(ids, 1, dims=1)
    before[:, 0] = -1
    hit = ids.unsqueeze(2) == before.unsqueeze(1)
    hit = torch.tril(hit, diagonal=-1)
    share = torch.einsum('bhqk,bqk->bhq', probs, hit.float())
    asked = hit.any(-1)
    score = (share * asked.unsqueeze(1)).sum((0, 2))
    return score / asked.sum()
"""


MISTAKES = {
    "LlamaMLP": (MLP, [
        ("mlp.silu_on_up", "a = self.act_fn(g)\n        u = self.up_proj(x)",
         "a = g\n        u = self.act_fn(self.up_proj(x))"),
        ("mlp.silu_on_up", "g = self.gate_proj(x)\n        a = self.act_fn(g)\n        u = self.up_proj(x)",
         "g = self.up_proj(x)\n        a = self.act_fn(g)\n        u = self.gate_proj(x)"),
        ("mlp.silu_on_both", "u = self.up_proj(x)", "u = self.act_fn(self.up_proj(x))"),
        ("mlp.silu_after_product", "a = self.act_fn(g)\n        u = self.up_proj(x)\n        h = a * u",
         "u = self.up_proj(x)\n        h = self.act_fn(g * u)"),
        ("mlp.no_silu", "self.act_fn(g)", "g"),
        ("mlp.gelu", "nn.SiLU()", "nn.GELU()"),
        ("mlp.gelu", "nn.SiLU()", 'nn.GELU(approximate="tanh")'),
        ("mlp.relu", "nn.SiLU()", "nn.ReLU()"),
        ("mlp.sigmoid", "nn.SiLU()", "nn.Sigmoid()"),
        ("mlp.softmax", "nn.SiLU()", "nn.Softmax(-1)"),
        ("mlp.other_sign", "self.act_fn(g)", "g / (1 + torch.exp(g))"),
        ("mlp.exp_overflows", "self.act_fn(g)", "g * torch.exp(g) / (torch.exp(g) + 1)"),
        ("mlp.sum_for_product", "a * u", "a + u"),
        ("mlp.gate_unused", "h = a * u", "h = self.act_fn(u)"),
        ("mlp.up_unused", "h = a * u", "h = a"),
        ("mlp.gate_twice", "u = self.up_proj(x)", "u = self.gate_proj(x)"),
        ("mlp.up_twice", "g = self.gate_proj(x)", "g = self.up_proj(x)"),
        ("mlp.gate_twice", "a * u", "a * g"),
        ("mlp.down_missing", "y = self.down_proj(h)", "y = h"),
        ("mlp.residual_inside", "y = self.down_proj(h)", "y = x + self.down_proj(h)"),
        ("mlp.norm_inside", "g = self",
         "x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)\n        g = self"),
        ("mlp.norm_inside", "g = self", "x = F.layer_norm(x, (self.hidden_size,))\n        g = self"),
        ("mlp.tokens_mixed", "g = self.gate_proj(x)", "g = self.gate_proj(x.mean(-2, keepdim=True))"),
        ("mlp.stays_in_float32", "self.act_fn(g)", "self.act_fn(g.float())"),
        ("mlp.stays_in_float32", "return y", "return y.float()"),
        ("mlp.biases_always", ", bias=config.mlp_bias", ""),
        ("mlp.biases_never", "config.mlp_bias", "False"),
        ("mlp.biases_of_attention", "mlp_bias", "attention_bias"),
        ("mlp.no_bias_in_down", "self.intermediate_size, self.hidden_size, bias=config.mlp_bias",
         "self.intermediate_size, self.hidden_size, bias=False"),
        ("mlp.four_times_as_wide", "= config.intermediate_size", "= 4 * config.hidden_size"),
        ("mlp.turned_round", "nn.Linear(self.hidden_size, self.intermediate_size",
         "nn.Linear(self.intermediate_size, self.hidden_size"),
        (None, "a * u", "a * u / 2"),
        (None, "a * u", "a - u"),
        (None, "self.act_fn(g)", "torch.tanh(g)"),
        (None, "return y", "return 2 * y"),
        (None, "self.act_fn(g)", "self.act_fn(g) * torch.sigmoid(g)"),
        (None, "y = self.down_proj(h)", "y = self.act_fn(self.down_proj(h))"),
        (None, "return y", "return y.detach()"),
        (None, "return y", "x += y; return x"),
        (None, "return y", "return F.dropout(y)"),
        (None, "a * u", "a @ u.transpose(-1,-2)"),
        (None, "g = self.gate_proj(x)", "g = self.gate_proj(x.squeeze())"),
    ]),
    "tensor_shapes": (SHAPES, [
        ("checkpoint.lists_lm_head_when_tied", "if not c.tie_word_embeddings", "if True"),
        ("checkpoint.forgets_lm_head", "if not c.tie_word_embeddings", "if False"),
        ("checkpoint.o_like_q", '("o", c.hidden_size, q,', '("o", q, c.hidden_size,'),
        ("checkpoint.down_like_up", '("down", c.hidden_size, c.intermediate_size,',
         '("down", c.intermediate_size, c.hidden_size,'),
        ("checkpoint.all_turned", "= (rows, columns)", "= (columns, rows)"),
        ("checkpoint.forgets_biases", 'if c.attention_bias if block == "self_attn" else c.mlp_bias', "if False"),
        ("checkpoint.biases_always", 'if c.attention_bias if block == "self_attn" else c.mlp_bias', "if True"),
        ("checkpoint.one_switch_for_all_biases", 'c.attention_bias if block == "self_attn" else c.mlp_bias',
         "c.attention_bias"),
        ("checkpoint.no_bias_in_o", 'c.attention_bias if block', 'c.attention_bias and part != "o" if block'),
        ("checkpoint.bias_as_long_as_the_input", "= (rows,)", "= (columns,)"),
        ("checkpoint.head_dim_from_hidden", "    q, kv =",
         "    q, kv = c.hidden_size, c.num_key_value_heads * c.hidden_size // c.num_attention_heads; _ ="),
        ("checkpoint.as_many_kv_heads", "c.num_key_value_heads * c.head_dim", "c.num_attention_heads * c.head_dim"),
        ("checkpoint.layers_from_one", "layers.{i}", "layers.{i + 1}"),
        ("checkpoint.one_layer", "range(c.num_hidden_layers)", "range(1)"),
        ("checkpoint.forgets_the_last_norm", '    shapes["model.norm.weight"] = (c.hidden_size,)\n', ""),
        (None, "c.vocab_size, c.hidden_size)}", "c.vocab_size, q)}"),
        (None, '"self_attn"),\n            ("v", kv', '"self_attn"),\n            ("v", q'),
    ]),
    "to_halves": (HALVES, [
        ("checkpoint.the_way_back", "rows // n_heads // 2, 2,", "2, rows // n_heads // 2,"),
        ("checkpoint.one_head_for_all", "n_heads, rows // n_heads // 2,", "1, rows // 2,"),
        ("checkpoint.reshaped_only", ".transpose(1, 2).reshape(rows, columns)", ".reshape(rows, columns).clone()"),
        ("checkpoint.heads_moved", ".transpose(1, 2)", ".transpose(0, 1)"),
        ("checkpoint.heads_moved", ".transpose(1, 2)", ".transpose(0, 2)"),
        ("checkpoint.halves_exchanged", ".transpose(1, 2)", ".transpose(1, 2).flip(1)"),
        ("checkpoint.in_float32", "return w", "return w.float()"),
        (None, ".transpose(1, 2)", ".flip(1).transpose(1, 2)"),
    ]),
    "LlamaRMSNorm": (NORM, [
        ("rms_norm.eps_outside_root", "torch.rsqrt(norm + self.eps)", "1 / (norm.sqrt() + self.eps)"),
        ("rms_norm.no_eps", " + self.eps", ""),
        ("rms_norm.sum_for_mean", ".mean(", ".sum("),
        ("rms_norm.no_root", "torch.rsqrt(norm + self.eps)", "1 / (norm + self.eps)"),
        ("rms_norm.variance", "x.float().pow(2).mean(-1, keepdim=True)", "x.float().var(-1, keepdim=True)"),
        ("rms_norm.subtracts_mean", "norm = ", "x = x - x.mean(-1, keepdim=True); norm = "),
        ("rms_norm.over_sequence", ".mean(-1", ".mean(1"),
        ("rms_norm.gain_ignored", " * self.weight", ""),
        ("rms_norm.squares_in_own_dtype", ".float()", ""),
        ("rms_norm.stays_in_float32", ".type_as(x)", ""),
        ("rms_norm.axis_dropped", ", keepdim=True", ""),
        (None, "x.float().pow(2).mean(-1, keepdim=True)", "x.float().abs().amax(-1, keepdim=True)**2"),
        (None, "x.float().pow(2).mean(-1, keepdim=True)", "x.float().abs().mean(-1, keepdim=True)**2"),
        (None, "self.eps)", "self.eps**2)"),
    ]),
    "LlamaRotaryEmbedding": (ROTARY, [
        ("rotary.lost_minus", "torch.cat([-x[..., h:]", "torch.cat([x[..., h:]"),
        ("rotary.backwards", "torch.cat([-x[..., h:], x[..., :h]]", "torch.cat([x[..., h:], -x[..., :h]]"),
        ("rotary.interleaved_angles", "torch.cat([cos, cos], -1), torch.cat([sin, sin], -1)",
         "cos.repeat_interleave(2, -1), sin.repeat_interleave(2, -1)"),
        ("rotary.neighbours_with_angles_of_halves", "rot = torch.cat([-x[..., h:], x[..., :h]], -1)",
         "rot = torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)"),
        ("rotary.exponent_i_over_dim", "torch.arange(0, dim, 2)", "torch.arange(dim // 2)"),
        ("rotary.counted_from_one", "torch.arange(0, dim, 2)", "torch.arange(2, dim + 2, 2)"),
        ("rotary.theta_hard_coded", "(theta **", "(10000.0 **"),
        ("rotary.scaling_unused", "if scaling is not None", "if False"),
        ("rotary.scaling_multiplied", 'inv / scaling["factor"]', 'inv * scaling["factor"]'),
        ("rotary.exponent_positive", "1.0 / (theta", "(theta"),
        ("rotary.positions_ignored", "if positions is None", "if True"),
        ("rotary.starts_at_one", "torch.arange(x.shape[-2])", "torch.arange(1, x.shape[-2] + 1)"),
        ("rotary.comes_back_in_float32", ".to(x.dtype)", ""),
        ("rotary.frequencies_follow_dtype", "self.inv = inv", 'self.register_buffer("inv", inv)'),
        ("rotary.in_degrees", "* self.inv\n", "* self.inv * math.pi / 180\n"),
        ("rotary.cos_and_sin_swapped", "return a.cos(), a.sin()", "return a.sin(), a.cos()"),
        (None, "positions.float()", "(2 * positions.float())"),
        ("rotary.no_axis_for_heads", "if positions.ndim == 2 and x.ndim == 4", "if False"),
    ]),
    "LlamaAttention": (ATTENTION, [
        ("attention.no_scale", " * (1.0 / math.sqrt(self.head_dim))", ""),
        ("attention.divided_by_dim", "math.sqrt(self.head_dim)", "self.head_dim"),
        ("attention.divided_by_root_of_width", "math.sqrt(self.head_dim)", "math.sqrt(C)"),
        ("attention.times_root", "(1.0 / math.sqrt(self.head_dim))", "math.sqrt(self.head_dim)"),
        ("attention.softmax_over_queries", "dim=-1)", "dim=-2)"),
        ("attention.softmax_over_heads", "F.softmax(att, dim=-1)", "F.softmax(att, dim=1)"),
        ("attention.mask_absent", "        att = att.masked_fill(mask == 0, float('-inf'))\n", ""),
        ("attention.mask_absent", "torch.tril(torch.ones(T, T)).bool()", "torch.ones(T, T).bool()"),
        ("attention.mask_transposed", "torch.tril", "torch.triu"),
        ("attention.mask_one_late", "torch.ones(T, T))", "torch.ones(T, T), diagonal=1)"),
        ("attention.diagonal_masked", "torch.ones(T, T))", "torch.ones(T, T), diagonal=-1)"),
        ("attention.filled_with_zero", "float('-inf')", "0.0"),
        ("attention.filled_with_a_tiny_number", "float('-inf')", "-1e-9"),
        ("attention.zeroed_after_softmax", "float('-inf'))\n        att = F.softmax(att, dim=-1)",
         "0) * 0 + F.softmax(att, dim=-1) * mask"),
        ("attention.heads_by_reshape", ".view(B, T, self.n_heads, self.head_dim).transpose(1, 2)",
         ".view(B, self.n_heads, T, self.head_dim)"),
        ("attention.merged_without_swap", "y.transpose(1, 2).contiguous()", "y.contiguous()"),
        ("attention.kv_tiled", "repeat_interleave(self.n_heads // self.n_kv, dim=1)",
         "repeat(1, self.n_heads // self.n_kv, 1, 1)"),
        ("attention.repeats_time", "repeat_interleave(self.n_heads // self.n_kv, dim=1)",
         "repeat_interleave(self.n_heads // self.n_kv, dim=2)"),
        ("attention.no_output_projection", "return self.o_proj(y)", "return y"),
        ("attention.v_turned", "rotate(k, rotation)\n", "rotate(k, rotation); v = rotate(v, rotation)\n"),
        ("attention.only_q_turned", "q, k = rotate(q, rotation), rotate(k, rotation)", "q = rotate(q, rotation)"),
        ("attention.never_turned", "        q, k = rotate(q, rotation), rotate(k, rotation)\n", ""),
        ("attention.rotation_ignored", "if rotation is None:", "if True:"),
        ("attention.model_width", "LlamaRotaryEmbedding(self.head_dim", "LlamaRotaryEmbedding(self.hidden"),
        ("attention.mask_ignored", "if mask is None:", "if True:"),
        ("attention.theta_of_config_ignored", "config.rope_theta, config", "10000.0, config"),
        ("attention.scaling_of_config_ignored", "config.rope_theta, config.rope_scaling", "config.rope_theta"),
        ("attention.values_from_keys", "v = self.v_proj(x)", "v = self.k_proj(x)"),
        (None, "math.sqrt(self.head_dim)", "3"),
        (None, "return self.o_proj(y)", "return self.o_proj(y) + x"),
        (None, "y = att @ v", "y = att @ k"),
    ]),
    "previous_score": (PREVIOUS, [
        ("inside.the_diagonal", "mask, (0, 1, 1, 0))", "mask, (1, 0, 1, 0))"),
        ("inside.first_counted", "((seq - 1) *", "(seq *"),
        ("inside.turned_round", "(0, 1, 1, 0)", "(1, 0, 0, 1)"),
        ("inside.texts_kept", ".sum(-1).sum(0)\n    return total / ((seq - 1) * len(probs))",
         ".sum(-1)\n    return total / (seq - 1)"),
        (None, "* len(probs)", "* probs.shape[1]"),
        (None, "(probs * mask)", "(probs**2 * mask)"),
        (None, "total / (", "total.sqrt() / ("),
    ]),
    "mean_ablated": (ABLATED, [
        ("inside.one_for_all_dims", "head.sum(dim=(0, 1)) / (head.shape[0] * head.shape[1])", "head.mean()"),
        ("inside.mean_of_each_text", "head.sum(dim=(0, 1)) / (head.shape[0] * head.shape[1])",
         "head.mean(1)[:, None, None]"),
        ("inside.set_to_zero", "torch.where(here, avg, heads)", "torch.where(here, 0.0, heads)"),
        ("inside.mean_taken_off", "(here, avg, heads)", "(here, heads - avg, heads)"),
        ("inside.all_heads", "torch.where(here, avg, heads)", "avg.expand_as(heads).clone()"),
        (None, "== which", "<= which"),
        (None, "(head.shape[0] * head.shape[1])", "head.shape[1]"),
        (None, "(here, avg, heads)", "(here, (heads + avg) / 2, heads)"),
    ]),
    "induction_score": (INDUCTION, [
        ("inside.the_token_again", "before.unsqueeze(1)", "ids.unsqueeze(1)"),
        ("inside.itself", "diagonal=-1", "diagonal=0"),
        ("inside.all_queries", "score / asked.sum()", "score / asked.numel()"),
        ("inside.by_marks", "score / asked.sum()", "score / hit.sum()"),
        (None, "diagonal=-1", "diagonal=-2"),
        (None, "score / asked.sum()", "score / asked.any(0).sum()"),
        (None, "hit.float())", "hit.float()).sqrt()"),
    ]),
}
