"""Where a model can be listened to and changed while it runs: every part's output, and what attention computes inside.

A tap hears module calls by hooks and torch functions by a mode, both only in the thread that opened it, and offers
each value by name to `touch`, which gives it back or puts another in its place. Nothing in the model is patched.
"""

import math
import re
import threading
from contextlib import ExitStack, contextmanager

import torch
from torch.overrides import TorchFunctionMode

from .narrate import _uncompiled

COMPUTED = {                             # what no module gives out: its name, its axes, what it is
    "queries": ("batch head query dim", "what each token asks, as attention compares it: split into heads and turned"),
    "keys": ("batch kv key dim", "what each token is found by, split into heads and turned"),
    "values": ("batch kv key dim", "what each token hands on, split into heads"),
    "scores": ("batch head query key", "query · key, scaled; −∞ where a query may not look"),
    "probs": ("batch head query key", "softmax of the scores: the attention probabilities"),
    "heads": ("batch head query dim", "what each head gathers, before the output projection"),
    "after_attention": ("batch seq hidden", "the residual stream once attention is added"),
    "after_mlp": ("batch seq hidden", "the residual stream once the MLP is added"),
    "gates": ("batch seq inner", "the gate's activations, after the curve"),
}
BY_HEAD = ("queries", "keys", "values", "scores", "probs", "heads")
_KERNEL = "scaled_dot_product_attention"
_CURVES = ("silu", "gelu", "relu", "sigmoid", "tanh", "mish", "relu6", "leaky_relu", "elu")
_PRODUCTS = ("matmul", "__matmul__", "bmm", "einsum")
_SUMS = ("add", "__add__", "__radd__", "__iadd__", "add_")


_THREAD = threading.local()


@contextmanager
def tap(model, touch, again=None):
    """Offer what `model` computes in this thread to `touch(name, value)`; `again()` is called as a new pass begins.

    A touch with an `again` only listens: it hears what those without one have put in a value's place.
    """
    ears = vars(_THREAD).setdefault("ears", {})
    with ExitStack() as undo:
        undo.enter_context(_uncompiled())
        ear = ears.get(id(model)) or _Ear(model)
        if not ear.touches:
            for path, module in ear.paths:
                hooks = (module.register_forward_pre_hook(ear.enter(path, module), with_kwargs=True),
                         module.register_forward_hook(ear.leave(path), with_kwargs=True, always_call=True))
                for hook in hooks:
                    ear.undo.callback(hook.remove)
            ear.undo.enter_context(ear)
            ears[id(model)] = ear
        mine = (again is not None, touch, again)
        ear.touches.append(mine)
        undo.callback(ear.let_go, mine)
        yield


class Names:
    """How the parts of a model are called: their paths, less what stands before the list of layers."""

    def __init__(self, model):
        paths = [path.replace("_orig_mod.", "").replace("_orig_mod", "") for path, _ in model.named_modules()]
        lists = [found[1] for path in paths if (found := re.match(r"(.*?)[^.]+\.\d+(\.|$)", path))]
        self.prefix = min(lists, key=len, default="")

    def __call__(self, path):
        """The name of the module at a path."""
        path = path.replace("_orig_mod.", "").replace("_orig_mod", "")
        return path.removeprefix(self.prefix)


def layer_of(name):
    """The number of the layer that a name belongs to, or None."""
    found = re.search(r"(?:^|\.)(\d+)(?:\.|$)", name)
    return int(found[1]) if found else None


class _Ear(TorchFunctionMode):
    """The hooks and the mode of one tap, and where in the model the thread stands."""

    def __init__(self, model):
        super().__init__()
        self.names, self.touches, self.undo = Names(model), [], ExitStack()
        self.key, self.thread = id(model), threading.get_ident()
        self.paths = [(self.names(path), module) for path, module in model.named_modules()
                      if not isinstance(module, torch.nn.ModuleList | torch.nn.ModuleDict)]
        self.stack, self.tops, self.sums, self.asked, self.products = [], set(), {}, {}, {}

    def touch(self, name, value):
        """A value, or what takes its place: first those that change it, then those that listen."""
        for _, touch, _ in sorted(self.touches, key=lambda each: each[0]):
            value = touch(name, value)
        return value

    def let_go(self, mine):
        """One tap less; with the last, hooks and mode go."""
        self.touches.remove(mine)
        if not self.touches:
            vars(_THREAD)["ears"].pop(self.key, None)
            self.undo.close()

    # ------------------------------------------------------------------------------------------ modules

    def enter(self, path, module):
        """The hook before a module: where we are, and a norm's input."""
        norm = "norm" in type(module).__name__.lower()

        def hook(module, args, kwargs):
            if threading.get_ident() != self.thread:
                return None
            if not self.stack:
                if path in self.tops:
                    for _, _, again in self.touches:
                        if again is not None:
                            again()
                    self.tops.clear()
                self.tops.add(path)
            self.stack.append(path)
            self.sums.pop(path, None)
            if norm and args and isinstance(args[0], torch.Tensor):
                value = self.touch(_joined(path, "in"), args[0])
                if value is not args[0]:
                    return (value, *args[1:]), kwargs
            return None

        return hook

    def leave(self, path):
        """The hook after a module: what it gave out."""
        def hook(module, args, kwargs, output):
            if threading.get_ident() != self.thread:
                return None
            while self.stack and self.stack.pop() != path:
                pass
            whole = output
            first = output[0] if isinstance(output, tuple) and output else output
            if not isinstance(first, torch.Tensor) or not path:
                return None
            value = self.touch(path, first)
            if value is first:
                return None
            return (value, *whole[1:]) if isinstance(whole, tuple) else value

        return hook

    # ------------------------------------------------------------------------------------------ functions

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, op = kwargs or {}, getattr(func, "__name__", "")
        if not self.stack or threading.get_ident() != self.thread:
            return func(*args, **kwargs)
        here = self.stack[-1]
        if op == _KERNEL:
            return self._kernel(here, func, *args, **kwargs)
        if op == "softmax" and _scores_like(args):
            return self._softmax(here, func, args, kwargs)
        if op in _PRODUCTS:
            return self._product(here, func, args, kwargs)
        result = func(*args, **kwargs)
        if op in _CURVES and "attn" not in here and "attention" not in here:
            layer = re.match(r"(.*?\d+)(?:\.|$)", here)
            return self.touch(_joined(layer[1] if layer else "", "gates"), result)
        if op in _SUMS and here in self.sums and isinstance(result, torch.Tensor):
            self.sums[here] += 1
            if self.sums[here] <= 2:
                return self.touch(_joined(here, ("after_attention", "after_mlp")[self.sums[here] - 1]), result)
        return result

    def _kernel(self, here, func, query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None,
                enable_gqa=False):
        """PyTorch's attention: its inputs and output as they are, scores and probabilities computed from them."""
        layer, wide = self._attention(here), query.shape[-1]
        rows = self._rows(here, query)                         # the heads of a group as the rows of one matrix
        fold = (lambda x: x.flatten(1, 2).unsqueeze(2)) if rows else (lambda x: x)
        unfold = (lambda x: x.squeeze(2).unflatten(1, query.shape[1:3])) if rows else (lambda x: x)
        q = fold(query)
        asked = self.touch(f"{layer}queries", q)
        query = query if asked is q else unfold(asked)
        key, value = self.touch(f"{layer}keys", key), self.touch(f"{layer}values", value)

        def by_hand():
            return scores_of(asked, key, attn_mask, is_causal and not rows, scale or 1 / math.sqrt(wide))

        changed = self.touch(f"{layer}scores", by_hand)
        scores = by_hand if changed is by_hand else lambda: changed

        def shares():
            return torch.nan_to_num(scores().softmax(-1), nan=0.0)       # a query that may look at nothing gets 0

        probs = self.touch(f"{layer}probs", shares)
        if changed is by_hand and probs is shares:
            out = func(query, key, value, attn_mask=attn_mask, dropout_p=dropout_p, is_causal=is_causal, scale=scale,
                       enable_gqa=enable_gqa)
            heads = fold(out)
        else:
            weights = shares() if probs is shares else probs
            heads = weighted(weights.to(value.dtype), value)
            out = unfold(heads)
        gathered = self.touch(f"{layer}heads", heads)
        return out if gathered is heads else unfold(gathered)

    def _rows(self, here, query):
        """Whether this is one new token's call in which a group's queries are the rows of a small matrix."""
        module = next((module for path, module in self.paths if path == here), None)
        out = getattr(module, "o_proj", None)
        heads = getattr(out, "in_features", 0) // query.shape[-1]
        return query.ndim == 4 and query.shape[1] != heads and query.shape[1] * query.shape[2] == heads

    def _attention(self, here):
        """What names begin with within the attention module that is being called; its parent is a layer."""
        layer = here.rpartition(".")[0]
        self.sums[layer] = 0
        return f"{layer}." if layer else ""

    def _product(self, here, func, args, kwargs):
        """A product: of queries and keys until a softmax has said so, of probabilities and values after one."""
        tensors = [each for each in args if isinstance(each, torch.Tensor)]
        if here in self.asked and len(tensors) == 2:
            layer = self.asked.pop(here)
            self.touch(f"{layer}values", _four(tensors[1]))
            result = func(*args, **kwargs)
            heads = _four(result)
            value = self.touch(f"{layer}heads", heads)
            return result if value is heads else value.reshape(result.shape)
        result = func(*args, **kwargs)
        if len(tensors) == 2:
            self.products[here] = (*tensors, result.shape[-2:])
        return result

    def _softmax(self, here, func, args, kwargs):
        """A softmax over keys, written out by hand: what went in are scores, what comes out are probabilities."""
        layer, given = self._attention(here), args[0]
        query, key, shape = self.products.pop(here, (None, None, None))
        if query is not None and shape == given.shape[-2:]:
            if key.shape[-1] != query.shape[-1] or key.shape[-2] == query.shape[-1] != key.shape[-1]:
                key = key.transpose(-1, -2)
            self.touch(f"{layer}queries", _four(query))
            self.touch(f"{layer}keys", _four(key))
        scores = self.touch(f"{layer}scores", _four(given))
        if scores.shape != given.shape:
            scores = scores.reshape(given.shape)
        result = func(scores, *args[1:], **kwargs)
        probs = _four(result)
        value = self.touch(f"{layer}probs", probs)
        self.asked[here] = layer
        return result if value is probs else value.reshape(result.shape)


def scores_of(query, key, mask, causal, scale):
    """query · key · scale over (batch, head, query, key), −∞ where the mask hides; groups share their keys."""
    scores = (query @ spread(key, query.shape[-3]).transpose(-1, -2)) * scale
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    return scores


def weighted(probs, value):
    """Probabilities (…, head, query, key) times values: what each head gathers."""
    return probs @ spread(value, probs.shape[-3])


def spread(shared, heads):
    """Keys or values (…, kv, key, dim) as each of `heads` heads sees them: a group shares."""
    groups = heads // shared.shape[-3]
    return shared if groups == 1 else shared.repeat_interleave(groups, dim=-3)


def _scores_like(args):
    return bool(args) and isinstance(args[0], torch.Tensor) and args[0].ndim >= 3


def _four(x):
    """(batch, kv, group, …, …) as (batch, head, …, …); what has four axes or fewer as it is."""
    return x.flatten(1, 2) if x.ndim == 5 else x


def _joined(path, name):
    return f"{path}.{name}" if path else name
