"""Which probe of `diagnose` catches which mistake of the catalogue: `python tests/measure_diagnosis.py [--write]`.

Every wrong version that the components list is put into a small model, whose weights and gains are random, and the
probes run on it. Beside them stands what a second, right model with the same weights sees: parity, once with fresh
weights and once with random ones. With --write the table goes into docs/diagnose.md.
"""

import sys
from collections import Counter
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest.mock import patch

import torch

import llama_tutorial.attention
from llama_tutorial import LlamaForCausalLM
from llama_tutorial.classroom import discovered
from llama_tutorial.diagnosis import PROBES, diagnose

PAGE = Path(__file__).parents[1] / "docs" / "diagnose.md"
SHAPE = dict(vocab_size=61, hidden_size=42, intermediate_size=37, num_hidden_layers=2, num_attention_heads=6,
             num_key_value_heads=3, head_dim=10, rms_norm_eps=1e-3)  # fmt: skip
PARTS = {  # what is replaced, and whether it takes a config
    "rms_norm": "LlamaRMSNorm", "rotary": "LlamaRotaryEmbedding", "attention": "LlamaAttention", "mlp": "LlamaMLP",
    "decoder_layer": "LlamaDecoderLayer", "model": "LlamaModel", "causal_lm": "LlamaForCausalLM", "kv_cache": "KVCache",
}  # fmt: skip


def drawn(model, seed=0):
    """Random weights and gains in the place of fresh ones; a tied table is drawn once."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight.copy_(1 + noise / 2 if weight.ndim == 1 else 1.5 * noise / weight.shape[1] ** 0.5)
    return model


def right(seed=0):
    torch.manual_seed(seed)
    return LlamaForCausalLM(SHAPE).eval()


def spoilt(part, kind):
    """A small fresh model with one part replaced by a wrong version, and a function that makes its caches."""
    if part == "LlamaForCausalLM":
        torch.manual_seed(0)
        return kind(SHAPE).eval(), None
    model = right()
    config, layers = model.config, model.model.layers
    if part == "LlamaModel":
        model.model = kind(config)
        model.tie_weights()
    for i in range(len(layers)):
        if part == "LlamaDecoderLayer":
            layers[i] = kind(config)
        if part == "LlamaAttention":
            layers[i].self_attn = kind(config)
        if part == "LlamaMLP":
            layers[i].mlp = kind(config)
        if part == "LlamaRMSNorm":
            layers[i].input_layernorm = kind(42, 1e-3)
            layers[i].post_attention_layernorm = kind(42, 1e-3)
    if part == "LlamaRMSNorm":
        model.model.norm = kind(42, 1e-3)
    if part == "LlamaRotaryEmbedding":
        model.model.rotary_emb = kind(10, config.rope_theta, None)
    return model.eval(), (lambda: [kind(), kind()]) if part == "KVCache" else None


@contextmanager
def in_place(part, kind):
    """A function of the catalogue stands where attention calls ours, for as long as the block runs."""
    if part == "rotate":
        with patch.object(llama_tutorial.attention, "rotate", kind):
            yield
    else:
        yield


def wrong_versions():
    """(mistake, part, wrong version) of every spelling that can stand in a model."""
    for name, part in PARTS.items():
        component = discovered()[name]
        found = [(bug.name, part, kind) for bug, kind in component.wrong(part)]
        if name == "rotary":
            found += [(bug.name, "rotate", kind) for bug, kind in component.wrong("rotate")]
        yield from found


def parity(model, cache, random):
    """Whether a right model with the same weights gives other logits, once at once and once with padding and a cache."""
    ids = torch.randint(61, (2, 40), generator=torch.Generator().manual_seed(1))
    try:
        ours = right()
        if random:
            drawn(model), drawn(ours)
        ours.load_state_dict(model.state_dict())
        with torch.no_grad():
            return not torch.allclose(model(ids), ours(ids), atol=1e-4, rtol=1e-3)
    except Exception:
        return True


def seen(mistake, part, kind):
    """The probes that fail for this version, and "fresh" and "random" where parity sees it."""
    with in_place(part, kind):
        try:
            model, cache = spoilt(part, kind)
        except Exception:
            return ["built"]
        try:
            found = diagnose(drawn(model), cache=cache).failed
        except (TypeError, ValueError):
            return ["built"]
    found += ["fresh"] if differs(part, kind, False) else []
    return found + (["random"] if differs(part, kind, True) else [])


def differs(part, kind, random):
    """Parity: whether the logits of 40 tokens differ from those of a right model with the same weights."""
    ids = torch.randint(61, (2, 40), generator=torch.Generator().manual_seed(1))
    ours = drawn(right()) if random else right()
    with torch.no_grad():
        wanted = ours(ids)
        with in_place(part, kind):
            model, _ = spoilt(part, kind)
            try:
                model.load_state_dict(ours.state_dict())
                return not torch.allclose(model(ids), wanted, atol=1e-4 * wanted.std().item())
            except Exception:
                return True
