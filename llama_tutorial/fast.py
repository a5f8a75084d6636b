"""The same model, faster

The same numbers with fewer launches, less to read, and one step that is compiled.
"""

# Exported from notebooks/15_fast.ipynb; edit the lesson, not this file.

__all__ = [
    "ONEDNN", "LARGE", "product", "Product", "quickly", "quick_products", "beside", "fuse_linears",
    "FusedLinear", "turn_wide", "FastLayer", "Apart", "side_by_side", "quantize", "Int8Linear", "Faster",
    "of_its_own", "compiled", "check_model", "faster",
]

import time
import types
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange, reduce, repeat
from jaxtyping import Bool, Float, Int, Int8, Integer
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .causal_lm import LlamaForCausalLM
from .doors import Later, check_attention_mask, check_ids, check_number
from .model import positions_and_mask
from .sampling import check_logits

ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
LARGE = 2**18  # from so many multiplications on, oneDNN's call is worth its time


def product(x: Float[Tensor, "*batch in"], weight: Float[Tensor, "out in"], bias=None) -> Float[Tensor, "*batch out"]:
    """`F.linear`, in float32 on the CPU by whoever does it quickest there.

    PyTorch has two libraries, MKL and oneDNN, and asks MKL for float32, which is slow on some processors; of small
    products oneDNN's call alone takes longer. The compiler does not know that call, and writes a small product of one
    vector itself, into one loop with what stands around it.
    """
    work = x.numel() * len(weight)
    if x.dtype == torch.float32 and x.device.type == "cpu":
        if torch.compiler.is_compiling() and x.numel() == x.shape[-1] and work < LARGE:
            out = (x.unsqueeze(-2) * weight).sum(dim=-1)
            return out if bias is None else out + bias
        if ONEDNN and work >= LARGE and not torch.compiler.is_compiling():
            return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


class Product(torch.autograd.Function):
    """`product` for training: its two gradients are products, too, and computed by the same library."""

    @staticmethod
    def forward(context, x, weight):
        context.save_for_backward(x, weight)
        return product(x, weight)

    @staticmethod
    def backward(context, slope):
        x, weight = context.saved_tensors
        rows, slopes = (each.reshape(-1, each.shape[-1]) for each in (x, slope))
        return product(slope, weight.T), product(slopes.T, rows.T)


def quickly(x, weight, bias=None) -> bool:
    """Whether a linear layer is one of those for which `product` knows a quicker way."""
    narrow = torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling()
    return not narrow and x.device.type == weight.device.type == "cpu" and x.dtype == weight.dtype == torch.float32


class quick_products(TorchFunctionMode):
    """`with quick_products():` has every linear layer of any model use `product`, forward and backward.

    For training in float32 on the CPU; elsewhere, and under autocast, it changes nothing. The model needs no change.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is F.linear and quickly(*args, **(kwargs or {})):
            x, weight, bias = (*args, None)[:3]
            out = Product.apply(x, weight)
            return out if bias is None else out + bias
        return function(*args, **(kwargs or {}))


def beside(parts: list[Tensor]) -> Tensor:
    """The tensors joined along their first axis; where they already are views of one tensor, that one."""
    first, end = parts[0], 0
    for part in parts:
        if part.untyped_storage().data_ptr() != first.untyped_storage().data_ptr() or part.storage_offset() != end:
            return torch.cat([part.detach() for part in parts])
        end = part.storage_offset() + part.numel()
    return first.detach().as_strided((sum(len(part) for part in parts), *first.shape[1:]), first.stride(), 0)


@torch.no_grad()
def fuse_linears(linears: list[nn.Linear]) -> tuple[Float[Tensor, "out in"], Float[Tensor, " out"] | None]:
    """One weight and one bias for layers that read the same vector: their rows, one below the other.

    Each layer goes on with its own rows of it, as a view: its numbers, names and shapes stay, and so does what is
    saved and loaded. Nothing lies in memory twice.
    """
    rows = [linear.out_features for linear in linears]
    fused = []
    for name in ("weight", "bias"):
        parts = [getattr(linear, name) for linear in linears]
        whole = None if parts[0] is None else beside(parts)
        for part, view in zip(parts, [] if whole is None else whole.split(rows)):
            part.data = view
        fused.append(whole)
    return tuple(fused)


class FusedLinear(nn.Module):
    """One product of matrices in the place of several: (..., in) → (..., out)."""

    def __init__(self, weight: Float[Tensor, "out in"], bias: Float[Tensor, " out"] | None = None):
        super().__init__()
        self.register_buffer("weight", weight.detach())
        self.register_buffer("bias", None if bias is None else bias.detach())

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        return product(x, self.weight, self.bias)


def turn_wide(x: Float[Tensor, "batch head seq dim"], cos: Tensor, sin: Tensor) -> Float[Tensor, "batch head seq dim"]:
    """`rotate` with cos and sin as wide as a head: each number times cos, its partner half a head away times sin."""
    return x * cos + x.roll(x.shape[-1] // 2, dims=-1) * sin


class FastLayer(nn.Module):
    """A decoder layer of few, large steps, which writes its keys and values into room that is there already.

    `places` are the new tokens' places in the store, `seen` those that are read, `mask` which of them may be seen;
    without a mask, one new token sees them all, and a text is causal.
    """

    def __init__(self, layer: nn.Module, config, make: Callable, join: Callable, dtype: torch.dtype):
        super().__init__()
        attention, mlp = layer.self_attn, layer.mlp
        self.heads, self.kv, self.dim = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        self.inner, self.eps = config.intermediate_size, config.rms_norm_eps
        self.register_buffer("gain", layer.input_layernorm.weight.detach().to(dtype))
        self.register_buffer("mlp_gain", layer.post_attention_layernorm.weight.detach().to(dtype))
        self.qkv = join([attention.q_proj, attention.k_proj, attention.v_proj])
        self.o = make(attention.o_proj.weight, attention.o_proj.bias)
        self.gate_up = join([mlp.gate_proj, mlp.up_proj])
        self.down = make(mlp.down_proj.weight, mlp.down_proj.bias)

    def forward(self, x, cos, sin, keys, values, places, seen, mask) -> Float[Tensor, "batch seq hidden"]:
        x = x + self.o(self.attend(self.norm(x, self.gain), cos, sin, keys, values, places, seen, mask))
        gate, up = self.gate_up(self.norm(x, self.mlp_gain)).split(self.inner, dim=-1)
        return x + self.down(F.silu(gate) * up)

    def norm(self, x, gain):
        return gain * F.rms_norm(x, gain.shape, eps=self.eps)

    def attend(self, x, cos, sin, keys, values, places, seen, mask):
        batch, seq = x.shape[:2]
        all_heads = self.qkv(x).view(batch, seq, -1, self.dim).transpose(1, 2)  # batch (heads + kv + kv) seq dim
        turned = turn_wide(all_heads[:, : self.heads + self.kv], cos, sin)  # queries and keys at once
        q, k = turned.split([self.heads, self.kv], dim=1)
        keys.index_copy_(2, places, k)
        values.index_copy_(2, places, all_heads[:, self.heads + self.kv :])
        k, v = keys[:, :, : len(seen)], values[:, :, : len(seen)]
        if seq == 1:  # the queries of a group are the rows of one small matrix, as in lesson 05
            q = q.reshape(batch, self.kv, -1, self.dim)
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).reshape(batch, 1, -1)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=True)
        return mixed.transpose(1, 2).reshape(batch, seq, -1)


class Apart(nn.ModuleList):
    """The outputs of several linear layers, one beside the other, each computed by itself."""

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        return torch.cat([linear(x) for linear in self], dim=-1)


def side_by_side(linears: list[nn.Linear], make: Callable, fuse: bool) -> nn.Module:
    """One module that computes what several linear layers compute of the same vector, one beside the other."""
    if not fuse:
        return Apart(make(linear.weight, linear.bias) for linear in linears)
    if make is FusedLinear:
        return make(*fuse_linears(linears))
    biases = None if linears[0].bias is None else torch.cat([linear.bias for linear in linears])
    return make(torch.cat([linear.weight for linear in linears]), biases)


def quantize(weight: Float[Tensor, "out in"]) -> tuple[Int8[Tensor, "out in"], Float[Tensor, " out"]]:
    """A weight as whole numbers from −127 to 127 and one scale for each row: weight ≈ numbers · scale.

    The largest number of a row becomes ±127, so an error is at most half a scale. Source: Dettmers et al. 2022,
    section 2, with rows for the output channels.
    """
    weight = weight.float()
    scale = (weight.abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.float32).tiny)
    return (weight / rearrange(scale, "out -> out 1")).round().to(torch.int8), scale


class Int8Linear(nn.Module):
    """A linear layer whose weight is read as int8: (..., in) → (..., out), computed in the dtype of x.

    For a few rows on the CPU PyTorch's own kernel reads the numbers as they are; for many, they are widened first,
    which is then a small part of the work. So they are where the kernel would read past a row's end: it takes sixteen
    numbers at a time, and does not look.
    """

    FEW = 32

    def __init__(self, weight: Float[Tensor, "out in"], bias: Float[Tensor, " out"] | None = None):
        super().__init__()
        numbers, scale = quantize(weight)
        self.register_buffer("weight", numbers)
        self.register_buffer("scale", scale.to(torch.bfloat16))
        self.register_buffer("bias", None if bias is None else bias.detach().to(torch.bfloat16))

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        rows = x.reshape(-1, x.shape[-1])
        if len(rows) <= self.FEW and rows.shape[1] % 16 == 0 and x.device.type == "cpu":
            out = torch._weight_int8pack_mm(rows, self.weight, self.scale)
        else:
            out = F.linear(rows, self.weight.to(x.dtype)) * self.scale
        out = out if self.bias is None else out + self.bias
        return out.view(*x.shape[:-1], -1)


class Faster(nn.Module):
    """A model that writes the text of the one that it was made of, faster. `faster` makes it, and says how.

    `generate` and `stream` take what those of lesson 11 take. A call takes ids (batch, seq) and an attention mask,
    and gives logits (batch, seq, vocab), without gradients. `compile_seconds` is what the compiler has taken so far.
    """

    ROUND = 64  # how much of the store a compiled step reads: the next multiple of so many tokens

    generate = Later("generation")
    stream = Later("generation")

    def __init__(self, model: nn.Module, fuse: bool, bits: int | None, max_length: int):
        super().__init__()
        self.config, self.max_length = model.config, max_length
        self.generation_config = getattr(model, "generation_config", {})
        table, head = model.model.embed_tokens.weight, model.lm_head.weight
        self.dtype = head.dtype
        dtype, make = (head.dtype, FusedLinear) if bits is None else (torch.bfloat16, Int8Linear)
        join = partial(side_by_side, make=make, fuse=fuse)
        self.layers = nn.ModuleList(FastLayer(layer, model.config, make, join, dtype) for layer in model.model.layers)
        self.lm_head = make(head)
        self.register_buffer("table", self.lm_head.weight if table is head else table.detach())
        self.register_buffer("gain", model.model.norm.weight.detach().to(dtype))
        size = (max_length // self.ROUND + 2) * self.ROUND  # more than is ever read, so that one step fits all lengths
        self.register_buffer("places", torch.arange(size, device=head.device))
        cos, sin = model.model.rotary_emb.angles(self.places)
        self.register_buffer("cos", repeat(cos, "seq pair -> seq (two pair)", two=2).to(dtype))
        self.register_buffer("sin", rearrange([-sin, sin], "two seq pair -> seq (two pair)").to(dtype))
        self.kept, self.steps, self.prefixes = None, {}, {}
        self.compile, self.compile_seconds = False, 0.0

    def read(self, ids, positions, places, seen, mask, store, layers=None):
        """Hidden states (batch, seq, hidden) of new tokens, whose keys and values go into the store."""
        x = self.embed(ids)
        cos, sin = (rearrange(part[positions], "... seq dim -> ... 1 seq dim") for part in (self.cos, self.sin))
        for layer, (keys, values) in zip(layers or self.layers, store):
            x = layer(x, cos, sin, keys, values, places, seen, mask)
        return x

    def embed(self, ids):
        """The rows of the table; where it is the head's, and whole numbers, each with its scale."""
        rows = F.embedding(ids, self.table)
        if rows.dtype == torch.int8:
            return rows * rearrange(self.lm_head.scale[ids], "... seq -> ... seq 1")
        return rows.to(self.gain.dtype)

    def scores(self, hidden):
        """The logits, in the dtype of the model's own."""
        normed = self.gain * F.rms_norm(hidden, self.gain.shape, eps=self.config.rms_norm_eps)
        return self.lm_head(normed).to(self.dtype)

    def step(self, ids, at, seen, real, padding, store, layers=None):
        """Logits of one new token a row, in shapes that stay the same from token to token.

        `at` (1) is its place, `seen` the places that are read, more than are filled; `real` (batch key) is
        False at padding, `padding` (batch 1) the number of those, None where there is none.
        """
        mask = seen <= at
        mask = rearrange(mask if real is None else mask & real[:, : len(seen)], "... key -> (...) 1 1 key")
        if layers:  # one compiled layer serves every length
            torch._dynamo.maybe_mark_dynamic(mask, 3)
        positions = at if padding is None else at - padding
        return self.scores(self.read(ids, positions, at, seen, mask, store, layers)[:, -1])

    @torch.inference_mode()
    def forward(
        self,
        input_ids: Integer[Tensor, "batch seq"],
        attention_mask: Bool[Tensor, "batch seq"] | Integer[Tensor, "batch seq"] | None = None,
    ) -> Float[Tensor, "batch seq vocab"]:
        check_ids(input_ids, self.config.vocab_size)
        if attention_mask is not None:
            check_attention_mask(attention_mask, tuple(input_ids.shape))
        self.check_fits(input_ids.shape[1], 0)
        self.kept = store = self.room(len(input_ids))
        return self.scores(self.read_text(input_ids, attention_mask, store))

    def read_text(self, ids, attention_mask, store):
        """Hidden states of a text from its beginning, in one pass."""
        seq = ids.shape[1]
        positions, mask = positions_and_mask(attention_mask, 0, seq, ids.device)
        return self.read(ids.long(), positions, self.places[:seq], self.places[:seq], mask, store)

    @torch.inference_mode()
    def write_on(
        self,
        unread: Integer[Tensor, "batch seq"],
        max_new_tokens: int,
        choose: Callable[[Tensor], Tensor],
        attention_mask: Tensor | None = None,
        use_cache: bool = True,
    ) -> Iterator[Int[Tensor, " batch"]]:
        """The loop of `stream`, as in lesson 11: the text in one pass, and then one step for every token."""
        (batch, start), device = unread.shape, unread.device
        self.check_fits(start, max_new_tokens)
        real = padding = None
        if attention_mask is not None and not attention_mask.all():
            real = torch.ones(batch, len(self.places), dtype=torch.bool, device=device)
            real[:, :start] = attention_mask
            padding = reduce(~real, "batch key -> batch 1", "sum")
        store = self.room(batch)
        for at in range(start, start + max_new_tokens):
            if at == start or not use_cache:
                seen = None if real is None else real[:, :at]
                logits = self.scores(self.read_text(unread, seen, store)[:, -1])
            else:
                logits = self.one_more(unread, at - 1, real, padding, store)
            if (device.type == "cpu" or at % 32 == 0) and not logits.amax(dim=-1).isfinite().all():
                check_logits(logits)
            chosen = choose(logits)
            yield chosen
            newest = chosen[:, None]  # batch -> batch 1; in words it would take longer than a small product
            unread = newest if use_cache else torch.cat([unread, newest], dim=1)
        self.kept = store

    def one_more(self, ids, at, real, padding, store):
        """Logits of one new token: by the compiled step, where there is one, or reading only what is filled."""
        if self.compile:
            return self.compiled_step(ids, at, real, padding, store)
        place = self.places[at : at + 1]
        mask = None if real is None else rearrange(real[:, : at + 1], "batch key -> batch 1 1 key")
        positions = place if padding is None else place - padding
        return self.scores(self.read(ids, positions, place, self.places[: at + 1], mask, store)[:, -1])

    def room(self, batch):
        """For every layer the keys and values (batch kv key dim) of `max_length` tokens, to be written over.

        What the last text leaves is taken again; two texts at once have one each.
        """
        store, self.kept = self.kept, None
        if store is None or len(store[0][0]) != batch:
            shape = (batch, self.config.num_key_value_heads, len(self.places), self.config.head_dim)
            store = [(self.gain.new_zeros(shape), self.gain.new_zeros(shape)) for _ in self.layers]
            if self.compile and self.gain.is_cuda:  # a recorded graph writes where it was recorded
                for part in (part for pair in store for part in pair):
                    torch._dynamo.mark_static_address(part)
        return store

    def _apply(self, fn, recurse=True):
        raise RuntimeError("a faster model stays as it was made: move the model, and make it anew with faster(model)")

    def check_fits(self, tokens, new):
        """ValueError where a text is longer than the store."""
        if tokens + new > self.max_length:
            more = f" and {new} more are asked for, {tokens + new} together" if new else ""
            raise ValueError(
                f"the text has {tokens} tokens{more}, and there is room for {self.max_length}: make one with more, "
                f"faster(model, max_length={tokens + new})"
            )

    def compiled_step(self, ids, at, real, padding, store):
        """The step, compiled for that many rows; the first waits for the compiler, and its time is kept."""
        kind = (len(ids), real is None)
        given = (ids, self.places[at : at + 1], self.filled(at + 1), real, padding, store)
        if kind in self.steps:
            return self.steps[kind](*given)
        start = time.perf_counter()
        try:
            step = compiled(self, whole=self.compile is True)
            logits = step(*given)
        except Exception as error:  # each compiler fails in its own way
            self.compile = False
            why = str(error).strip().split("\n")[0]
            warnings.warn(f"the step cannot be compiled here, and runs as it is ({why:.160})", stacklevel=2)
            return self.one_more(ids, at, real, padding, store)
        self.steps[kind] = step
        self.compile_seconds += time.perf_counter() - start
        return logits

    def filled(self, length):
        """The places up to a length, rounded up: what is read of the store. Its size may change without compiling."""
        length = -(-length // self.ROUND) * self.ROUND
        if length not in self.prefixes:
            self.prefixes[length] = self.places[:length].clone()
            torch._dynamo.mark_dynamic(self.prefixes[length], 0)
        return self.prefixes[length]


def of_its_own(function: Callable) -> Callable:
    """The same function with code of its own, at which the compiler keeps what it makes: it goes when this goes."""
    return types.FunctionType(function.__code__.replace(), function.__globals__, argdefs=function.__defaults__)


def compiled(quick: Faster, whole: bool) -> Callable:
    """The step of a Faster, compiled whole, or layer by layer with what is made for the first serving for all.

    On the CPU it is called from C++ and runs in one thread where it multiplies no matrices, for there a second costs
    more than it brings; on a GPU it is one graph.
    """
    cpu = quick.gain.device.type == "cpu"
    how = {"options": {"cpp_wrapper": True, "cpp.threads": 1}} if cpu else {"mode": "reduce-overhead"}
    function = torch.compile(of_its_own(Faster.step if whole else FastLayer.forward), fullgraph=True, **how)
    if whole:
        return partial(function, quick)
    return partial(quick.step, layers=[partial(function, layer) for layer in quick.layers])


def check_model(model):
    """TypeError unless it is a LlamaForCausalLM, ours or a student's; ValueError where its weights hold no numbers."""
    if not all(hasattr(model, name) for name in ("config", "model", "lm_head")) or isinstance(model, Faster):
        raise TypeError(f"faster takes a LlamaForCausalLM, got {type(model).__name__}")
    if model.lm_head.weight.is_meta:
        raise ValueError("faster takes a model whose weights are loaded: these are on the device meta")


def faster(
    model: LlamaForCausalLM,
    fuse: bool = True,
    compile: bool | str = False,
    bits: int | None = None,
    max_length: int = 2048,
) -> Faster:
    """A model that writes the same text, faster: `faster(model).generate(ids)`. The model stays as it was.

    `fuse`: queries, keys and values are one product of matrices, gate and up another; the model's own layers keep
    their weights as views of them. `compile`: the step for one token is compiled, True the whole, "layers" one layer
    that serves for all, which takes less time. `bits=8`: weights are read as int8 and the rest is computed in
    bfloat16; the text can differ. `max_length`: how many tokens a prompt and its text may have, for which there is
    room from the start. After training the model, make it anew.
    Raises TypeError for what is not a LlamaForCausalLM, TypeError or ValueError for options that mean nothing.
    Source: Pope et al. 2022; Dettmers et al. 2022.
    """
    check_model(model)
    if compile not in (True, False, "layers"):
        raise ValueError(f"compile must be True, False or 'layers', got {compile!r}")
    if bits not in (None, 8):
        raise ValueError(f"bits must be 8 or None, got {bits!r}: the weights are read as int8 or as they are")
    check_number("max_length", max_length, whole=True)
    with torch.no_grad():
        quick = Faster(model, fuse, bits, max_length).eval()
    if compile:
        quick.compile = compile
        with torch.inference_mode():
            first = torch.zeros(1, 1, dtype=torch.long, device=quick.gain.device)
            quick.one_more(first, 0, None, None, quick.room(1))
    return quick
