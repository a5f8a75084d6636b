"""Parity with Hugging Face's Llama: the same weights give the same numbers, in float64, on random small shapes.

Two casts to float32 inside transformers (in its norm and its eager softmax) are lifted here, on its side only; ours
stays in float64 by itself. `python tests/test_parity.py` prints the worst difference.
"""

import random
from functools import cache
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
import transformers
from transformers.models.llama import modeling_llama

from llama_tutorial import LlamaConfig, LlamaForCausalLM, LlamaRotaryEmbedding, Tokenizer
from llama_tutorial.runs.directory import write_directory

CASES = range(30)
TOLERANCE = 1e-9  # times max(1, the largest number of the reference)
HEADS = {"MHA": [(2, 2), (3, 3), (5, 5)], "GQA": [(4, 2), (6, 2), (6, 3)], "MQA": [(2, 1), (3, 1), (7, 1)]}
SCALINGS = {
    "none": None,
    "linear": {"rope_type": "linear", "factor": 2.5},
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
}


@cache
def draw(case: int):
    """One random small shape, by its number: every kind of heads meets every scaling, tied and untied."""
    chance = random.Random(case)
    kind = list(HEADS)[case % 3]
    scaling = list(SCALINGS)[case // 3 % 3]
    heads, kv_heads = chance.choice(HEADS[kind])
    per_head = chance.choice([6, 10] if case % 5 == 0 else [5, 7, 11])  # transformers wants heads to divide the width
    config = {
        "vocab_size": chance.choice([89, 97, 101, 103]),
        "hidden_size": heads * per_head,
        "intermediate_size": chance.choice([31, 37, 41, 43]),
        "num_hidden_layers": chance.choice([1, 2, 3]),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "rope_theta": chance.choice([100.0, 10000.0, 500000.0]),
        "rope_scaling": SCALINGS[scaling],
        "rms_norm_eps": chance.choice([1e-6, 1e-5, 0.1]),
        "attention_bias": chance.random() < 0.5,
        "mlp_bias": chance.random() < 0.5,
        "tie_word_embeddings": case % 2 == 0,
    }
    if case % 5:
        config["head_dim"] = chance.choice([8, 14, 22])  # never width / heads
    return SimpleNamespace(
        config=config,
        kind=kind,
        scaling=scaling,
        batch=chance.choice([1, 2, 3]) if case % 6 else 2,
        seq=chance.choice([307, 311]) if case % 7 == 3 else chance.choice([13, 17, 19]),
        padded=case % 4 < 2,
        fresh=case % 3 == 2 or case % 11 == 0,  # small weights, where eps weighs; the others are large
    )


def theirs_of(config: dict) -> transformers.LlamaForCausalLM:
    """Hugging Face's model of one of our configs, with random weights."""
    fields = {"head_dim": None, **config}
    rope = {"rope_type": "default", **(fields.pop("rope_scaling") or {}), "rope_theta": fields.pop("rope_theta")}
    quiet = {"eos_token_id": None, "bos_token_id": None}
    shape = transformers.LlamaConfig(**fields, **quiet, rope_parameters=rope, attn_implementation="eager")
    return transformers.LlamaForCausalLM(shape).double().eval()


def pair(case: int):
    """Ours and theirs with the same weights, every gain and bias perturbed."""
    torch.manual_seed(case)
    drawn = draw(case)
    ours, theirs = LlamaForCausalLM(drawn.config).double().eval(), theirs_of(drawn.config)
    with torch.no_grad():
        for name, weight in theirs.named_parameters():
            middle, spread = (1.0, 0.3) if "norm" in name else (0.0, 0.02 if drawn.fresh else 0.25)
            weight.normal_(middle, spread)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    ours.load_state_dict(theirs.state_dict())
    return drawn, ours, theirs


def text(case: int):
    """Ids and, in padded cases, which of them are real: every row starts at another place."""
    drawn = draw(case)
    generator = torch.Generator().manual_seed(case)
    ids = torch.randint(drawn.config["vocab_size"], (drawn.batch, drawn.seq), generator=generator)
    if not drawn.padded:
        return ids, None
    return ids, torch.arange(drawn.seq) >= torch.tensor([[5], [0], [2]])[: drawn.batch]


def positions_of(real, seq):
    """What transformers' `generate` counts and its forward leaves to the caller: real tokens only."""
    return torch.arange(seq)[None] if real is None else (real.long().cumsum(dim=-1) - 1).clamp(min=0)


def difference(ours, theirs) -> float:
    """The largest difference, as a share of max(1, the largest number of the reference)."""
    assert ours.dtype == theirs.dtype == torch.float64 and ours.shape == theirs.shape
    return ((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1)).item()


def measure(case: int) -> dict[str, float]:
    """The differences of one case: hidden states, logits and the gradient of every parameter."""
    drawn, ours, theirs = pair(case)
    ids, real = text(case)
    kept = torch.ones_like(ids, dtype=torch.bool) if real is None else real  # padding's outputs are not compared
    positions = positions_of(real, drawn.seq)
    told = {} if real is None else {"attention_mask": real.long()}
    reference = theirs(ids, position_ids=positions, **told).logits
    hidden = theirs.model(ids, position_ids=positions, **told).last_hidden_state
    logits = ours(ids, real)
    pull = torch.randn(*logits.shape, dtype=torch.float64) * kept[..., None] / kept.sum()
    (logits * pull).sum().backward()
    (reference * pull).sum().backward()
    wanted = dict(theirs.named_parameters())
    assert dict(ours.named_parameters()).keys() == wanted.keys()
    assert all(weight.grad.any() for weight in wanted.values())
    return {
        "hidden states": difference(ours.model(ids, real)[kept], hidden[kept]),
        "logits": difference(logits[kept], reference[kept]),
        **{f"gradient of {name}": difference(w.grad, wanted[name].grad) for name, w in ours.named_parameters()},
    }


def without_casts(patch: pytest.MonkeyPatch):
    """Let transformers compute in the dtype it is given, as ours does."""

    def norm(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

    softmax = F.softmax
    patch.setattr(modeling_llama.LlamaRMSNorm, "forward", norm)
    patch.setattr(modeling_llama.nn.functional, "softmax", lambda x, dim, dtype=None: softmax(x, dim))


@pytest.fixture(autouse=True)
def lifted(monkeypatch):
    without_casts(monkeypatch)


@pytest.mark.parametrize("case", CASES)
def test_hidden_states_logits_and_gradients_are_those_of_hugging_face(case, record_property):
    found = measure(case)
    record_property("worst_difference", max(found.values()))
    assert {name: gap for name, gap in found.items() if not gap <= TOLERANCE} == {}


@pytest.mark.parametrize("case", CASES)
def test_greedy_generation_is_that_of_hugging_face_token_for_token(case):
    drawn, ours, theirs = pair(case)
    ids, real = text(case)
    told = torch.ones_like(ids) if real is None else real.long()
    how = {"max_new_tokens": 11, "do_sample": False, "pad_token_id": 0}
    reference = theirs.generate(ids, attention_mask=told, **how)
    written = ours.generate(ids, max_new_tokens=11, temperature=0, attention_mask=real)
    assert written.tolist() == reference.tolist()
    if not drawn.fresh:  # small tied weights repeat one token
        assert len({tuple(row[-11:]) for row in written.tolist()}) == len(ids)


def test_a_row_that_ends_waits_for_the_others_as_in_hugging_face():
    _, ours, theirs = pair(1)
    ids, told = torch.randint(3, 89, (3, 13)), torch.ones(3, 13, dtype=torch.long)
    free = ours.generate(ids, max_new_tokens=11)[:, 13:]
    end = next(token for token in free[0].tolist() if not (free == token).any(dim=1).all())  # no end in every row
    reference = theirs.generate(ids, attention_mask=told, max_new_tokens=11, eos_token_id=end, pad_token_id=end)
    assert ours.generate(ids, max_new_tokens=11, eos_token_id=end).tolist() == reference.tolist()
    assert (reference[:, 13:] != free).any()


def test_the_cases_cover_what_differs_between_llamas():
    cases = [draw(case) for case in CASES]
    configs = [LlamaConfig(drawn.config) for drawn in cases]
    assert len(cases) >= 25
    assert {(drawn.kind, drawn.scaling) for drawn in cases} == {(kind, name) for kind in HEADS for name in SCALINGS}
    for name in ("tie_word_embeddings", "attention_bias", "mlp_bias"):
        assert {config[name] for config in configs} == {True, False}
    assert len({config.rope_theta for config in configs}) >= 3
    assert {config.head_dim * config.num_attention_heads == config.hidden_size for config in configs} == {True, False}
    assert max(config.rms_norm_eps for config in configs) == 0.1
    assert sum(drawn.seq >= 300 for drawn in cases) >= 3
    assert any(drawn.seq >= 300 and drawn.padded for drawn in cases)
    assert any(drawn.padded and drawn.batch > 1 for drawn in cases) and any(drawn.batch == 1 for drawn in cases)
    assert {drawn.fresh for drawn in cases} == {True, False}


@pytest.mark.parametrize("case", [0, 7], ids=["tied", "untied-llama3"])
def test_a_directory_that_we_write_is_read_by_transformers(case, tmp_path):
    """config.json, model.safetensors and tokenizer.json, in float32: the same ids, logits and greedy text."""
    tokenizer = Tokenizer.train(["the for statement is used to iterate over the elements of a sequence ☃"] * 2, 271)
    shape = {**draw(case).config, "vocab_size": len(tokenizer)}
    torch.manual_seed(case)
    ours = LlamaForCausalLM(shape).eval()
    write_directory(ours, tokenizer, tmp_path, torch.float32)
    theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation="eager")
    reader = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    words = "for the sequence ☃, é"
    ids = tokenizer.encode(words)
    assert reader.encode(words) == ids and reader.decode(ids) == words == tokenizer.decode(ids)
    prompt = torch.tensor([ids])
    torch.testing.assert_close(ours(prompt), theirs.eval()(prompt).logits, rtol=1e-5, atol=1e-6)
    assert (theirs.lm_head.weight is theirs.model.embed_tokens.weight) == shape["tie_word_embeddings"]
    written = theirs.generate(prompt, max_new_tokens=7, do_sample=False, attention_mask=torch.ones_like(prompt))
    assert written.tolist() == ours.generate(prompt, 7, eos_token_id=tokenizer.end_of_text).tolist()


def test_int32_ids_give_exactly_what_int64_ids_give():
    _, ours, _ = pair(0)
    ids, real = text(0)
    assert torch.equal(ours(ids.int(), real), ours(ids, real))
    assert ours.generate(ids.int(), max_new_tokens=3).tolist() == ours.generate(ids, max_new_tokens=3).tolist()


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("theta", [100.0, 10000.0, 500000.0, 1e6])
@pytest.mark.parametrize("dim", [2, 14, 64, 96, 128])
def test_frequencies_and_angles_are_bit_equal_to_hugging_face(dim, theta, scaling):
    rope = {"rope_type": "default", **(SCALINGS[scaling] or {}), "rope_theta": theta}
    if scaling == "llama3" and dim > 14:
        rope["original_max_position_embeddings"] = 8192
    shape = transformers.LlamaConfig(hidden_size=dim * 3, num_attention_heads=3, head_dim=dim, rope_parameters=rope)
    theirs = modeling_llama.LlamaRotaryEmbedding(shape)
    ours = LlamaRotaryEmbedding(dim, theta, None if scaling == "none" else rope)
    assert ours.inv_freq.dtype == torch.float32 and torch.equal(ours.inv_freq, theirs.inv_freq)
    positions = torch.tensor([[0, 1, 7, 511], [8191, 3, 3, 100_003]])
    reference = theirs(torch.zeros(1), positions)
    for part, wanted in zip(ours.angles(positions), reference):
        assert torch.equal(part, wanted[..., : dim // 2]) and torch.equal(part, wanted[..., dim // 2 :])


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        without_casts(patch)
        gap, where, case = max((gap, name, case) for case in CASES for name, gap in measure(case).items())
    print(f"{len(CASES)} configs; the worst difference is {gap:.1e}, in the {where} of case {case}")
