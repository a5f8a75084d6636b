"""Which probe of `diagnose` sees which mistake of the catalogue: `python tests/measure_diagnosis.py [--write]`.

Every wrong version that the components list, and that can stand in a model, is put into a small one with random weights
and gains, and the probes run on it. Beside them stands what a reference with the same weights sees: parity of the
logits of 40 tokens, once with fresh weights and once with random ones. With --write docs/diagnose.md is written anew.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from textwrap import fill
from unittest.mock import patch

import torch

import llama_tutorial.attention
from llama_tutorial import LlamaForCausalLM
from llama_tutorial.classroom import discovered
from llama_tutorial.diagnosis import PROBES, diagnose

PAGE = Path(__file__).parents[1] / "docs" / "diagnose.md"
SHAPE = dict(vocab_size=61, hidden_size=42, intermediate_size=37, num_hidden_layers=2, num_attention_heads=6,
             num_key_value_heads=3, head_dim=10, rms_norm_eps=1e-3)  # fmt: skip
PARTS = (
    ("rms_norm", "LlamaRMSNorm"), ("rotary", "LlamaRotaryEmbedding"), ("rotary", "rotate"),
    ("attention", "LlamaAttention"), ("mlp", "LlamaMLP"), ("decoder_layer", "LlamaDecoderLayer"),
    ("model", "LlamaModel"), ("causal_lm", "LlamaForCausalLM"), ("kv_cache", "KVCache"),
)  # fmt: skip
BUILT = "raises"
NAMES = [probe.__name__.replace("_", " ") for probe in PROBES]
FAMILIES = "Llama Mistral Qwen2 Qwen3 Gemma Gemma2 Phi3 Olmo2 Cohere GPTNeoX GPT2 Granite Starcoder2 OPT Bloom Falcon"


def drawn(model, seed=0):
    """The model with random weights and gains in the place of fresh ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight.copy_(1 + noise / 2 if weight.ndim == 1 else 1.5 * noise / weight.shape[1] ** 0.5)
    return model


def right(**more):
    """A small fresh model without a mistake."""
    torch.manual_seed(0)
    return LlamaForCausalLM(SHAPE | more).eval()


def spoilt(part, kind):
    """A small fresh model in which a wrong version stands."""
    torch.manual_seed(0)
    if part == "LlamaForCausalLM":
        return kind(SHAPE).eval()
    model = right()
    config, layers = model.config, model.model.layers
    if part == "LlamaModel":
        model.model = kind(config)
        model.tie_weights()
    elif part == "LlamaRotaryEmbedding":
        model.model.rotary_emb = kind(config.head_dim, config.rope_theta, None)
    elif part == "LlamaRMSNorm":
        model.model.norm = kind(42, 1e-3)
    for i, layer in enumerate(layers):
        if part == "LlamaDecoderLayer":
            layers[i] = kind(config)
        elif part == "LlamaAttention":
            layer.self_attn = kind(config)
        elif part == "LlamaMLP":
            layer.mlp = kind(config)
        elif part == "LlamaRMSNorm":
            layer.input_layernorm, layer.post_attention_layernorm = kind(42, 1e-3), kind(42, 1e-3)
    return model.eval()


def in_place(part, kind):
    """For a wrong `rotate`: where attention turns queries and keys, it stands."""
    if part != "rotate":
        return nullcontext()
    return patch.object(llama_tutorial.attention, "rotate", lambda x, rotation: kind(x, tuple(rotation)))


def wrong_versions() -> Iterator[tuple[str, str, object]]:
    """(mistake, part, wrong version), for every spelling that can stand in a model."""
    for component, part in PARTS:
        yield from ((bug.name, part, kind) for bug, kind in discovered()[component].wrong(part))


def caught(part, kind) -> list[str]:
    """The probes that fail with this version; BUILT where the model can be neither made nor called."""
    with in_place(part, kind):
        try:
            model = drawn(spoilt(part, kind))
            return diagnose(model, new_cache=(lambda: [kind(), kind()]) if part == "KVCache" else None).failed
        except (TypeError, ValueError, AttributeError, RuntimeError):
            return [BUILT]


def differs(part, kind, random: bool) -> bool:
    """Whether a reference with the same weights gives other logits."""
    reference = drawn(right()) if random else right()
    ids = torch.randint(61, (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), in_place(part, kind):
        with patch.object(llama_tutorial.attention, "rotate", ROTATE):
            wanted = reference(ids)
        try:
            model = spoilt(part, kind)
            model.load_state_dict(reference.state_dict())
            return not torch.allclose(model(ids), wanted, atol=1e-4 * wanted.std().item())
        except Exception:
            return True


ROTATE = llama_tutorial.attention.rotate


def measured(versions=None) -> dict[str, tuple[set[str], bool, bool]]:
    """For each mistake: the probes that see a spelling, and whether parity does, with fresh and with random weights."""
    found = {}
    for mistake, part, kind in versions or wrong_versions():
        probes, fresh, random = found.get(mistake, (set(), False, False))
        probes = probes | set(caught(part, kind))
        found[mistake] = (probes, fresh or differs(part, kind, False), random or differs(part, kind, True))
    return found


def row(mistake, probes, fresh, random) -> str:
    """A mistake's line of the table."""
    listed = ", ".join(name for name in [BUILT, *NAMES] if name in probes)
    parity = "yes" if fresh else "with random gains" if random else ""
    return f"| `{mistake}` | {listed} | {parity} |"


def page(found) -> str:
    """The page docs/diagnose.md."""
    by_probe = Counter(name for probes, _, _ in found.values() for name in probes)
    seen = {mistake: each for mistake, each in found.items() if each[0]}
    beside = {mistake: each for mistake, each in found.items() if not each[0] and each[2]}
    hidden = [mistake for mistake, each in found.items() if not each[0] and not each[2]]
    gains = sum(random and not fresh for _, fresh, random in found.values())
    asked = "\n".join(f"| {name} | {probe.__doc__} | {by_probe[name] or ''} |" for name, probe in zip(NAMES, PROBES))
    table = "\n".join(row(mistake, *each) for mistake, each in (seen | beside).items())
    return f"""# What `diagnose` sees

    from llama_tutorial import diagnose
    diagnose(model)            # ours, yours, one of transformers, or a function of ids that gives logits

Fourteen probes, none of which needs a reference. A row says what was found: it holds (✓), it fails (✗), it could not be
asked (–), or it is told and not judged (·). `.failed` lists the names of those that fail, `["is causal"]` is one row.
The model is left as it was. Lesson 13 builds all of it.

| Probe | Question | Mistakes that it sees |
|---|---|---|
{asked}

## Measured on the catalogue

Of the catalogue's mistakes {len(found)} can stand in a model. Each was put into a small one with random weights, in all
its spellings (`python tests/measure_diagnosis.py --write` writes this page, a test holds it).

- {len(seen)} are seen by at least one probe, {by_probe[BUILT]} of these because the model cannot be built or called.
- {len(beside)} are seen only beside a reference with the same weights: no law is broken, it is another model.
- {gains} pass parity with fresh weights, and fail it with random ones.
- {len(hidden)} change no logit of this model in float32: they show in another dtype, with scaling or biases, in a fresh
  model's spread, or not at all. They are left out of the table.

No probe blames a right model: none of ours (grouped queries, one key-value head, biases, an untied head, bfloat16), nor
small random models of {len(FAMILIES.split())} families of transformers:
{fill(", ".join(FAMILIES.split()) + ".", 120)}
A dropout that is left on fails `repeats`; a table of learned positions is not asked whether it `moves together`.

| Mistake | Probes that fail | A reference sees it |
|---|---|---|
{table}
"""


if __name__ == "__main__":
    text = page(measured())
    if "--write" in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
    print(text.partition("| Mistake |")[0])
