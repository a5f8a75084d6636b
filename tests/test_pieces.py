"""What single pieces of the core promise beyond the laws: empty rows, half precision, and the fast beside the plain."""

import math

import pytest
import torch

from llama_tutorial import LlamaForCausalLM, LlamaRMSNorm, LlamaRotaryEmbedding
from llama_tutorial.attention import attend, attend_by_hand, attend_with_one_query, causal_mask
from llama_tutorial.causal_lm import next_token_loss
from llama_tutorial.kv_cache import make_cache
from llama_tutorial.rms_norm import rms_norm
from llama_tutorial.rotary import SCALINGS, Prepared, rotary_frequencies, rotate
from llama_tutorial.sampling import keep_top_p

HALF = (torch.bfloat16, torch.float16)
SHAPE = {
    "vocab_size": 61, "hidden_size": 42, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 6,
    "num_key_value_heads": 3, "head_dim": 10,
}  # fmt: skip


def qkv(heads=6, kv=3, queries=7, keys=7, dtype=torch.float32, dim=16):
    torch.manual_seed(0)
    sizes = ((heads, queries), (kv, keys), (kv, keys))
    return [torch.randn(2, count, length, dim).to(dtype) for count, length in sizes]


# ---------------------------------------------------------------------------------------------------------- attention


@pytest.mark.parametrize("way", [attend_by_hand, attend])
@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
def test_a_query_that_may_look_at_nothing_gets_zeros(way, dtype):
    q, k, v = qkv(dtype=dtype)
    mask = causal_mask(7, 7)
    mask[2] = False
    answer = way(q, k, v, mask)
    assert not answer[:, :, 2].any() and answer.isfinite().all()
    others = torch.arange(7) != 2
    assert torch.equal(answer[:, :, others], way(q, k, v, causal_mask(7, 7))[:, :, others])


def test_an_empty_row_spoils_no_gradient():
    parts = [part.requires_grad_() for part in qkv()]
    mask = causal_mask(7, 7)
    mask[2] = False
    for gradient in torch.autograd.grad(attend_by_hand(*parts, mask).square().sum(), parts):
        assert gradient.isfinite().all() and gradient.any()


MASKS = {
    "none": None,
    "one row for all": torch.arange(11) > 3,
    "a row for the query": (torch.arange(11) % 3 > 0)[None],
    "a row for each text": torch.stack([torch.arange(11) > 3, torch.arange(11) < 8])[:, None, None],
    "a row for each head": (torch.arange(66).view(1, 6, 1, 11) % 5 > 0),
    "three axes, a row for each head": (torch.arange(66).view(6, 1, 11) % 5 > 0),
    "all of it": (torch.arange(132).view(2, 6, 1, 11) % 5 > 0),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kv", [1, 2, 3, 6])
@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
def test_one_query_is_answered_as_by_hand(dtype, kv, mask):
    q, k, v = qkv(kv=kv, queries=1, keys=11, dtype=dtype)
    wanted = attend_by_hand(*(part.double() for part in (q, k, v)), MASKS[mask])
    found = attend(q, k, v, MASKS[mask])
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=3e-2 if dtype in HALF else 1e-5)
    if dtype in HALF and "head" not in mask and mask != "all of it":  # this is the way that it took
        given = None if MASKS[mask] is None else torch.atleast_2d(MASKS[mask])
        assert torch.equal(attend_with_one_query(q, k, v, given), found)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("padded", [False, True])
@torch.inference_mode()
def test_in_half_precision_token_by_token_gives_what_all_at_once_gives(dtype, padded):
    torch.manual_seed(0)
    model = LlamaForCausalLM(SHAPE).eval()
    for weight in model.parameters():
        weight.add_(0.2 * torch.randn_like(weight))
    model, ids = model.to(dtype), torch.arange(22).view(2, 11) * 7 % 61
    real = torch.arange(11) >= torch.tensor([[3], [0]]) if padded else torch.ones(2, 11, dtype=torch.bool)
    caches = make_cache(2)
    steps = [model(ids[:, i : i + 1], real[:, : i + 1] if padded else None, cache=caches) for i in range(11)]
    found, wanted = torch.cat(steps, dim=1)[real], model(ids, real if padded else None)[real]
    assert (found - wanted).abs().max() < 0.02 * wanted.abs().max()


# ------------------------------------------------------------------------------------------------------ norm, rotary


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *HALF])
def test_the_norms_one_call_is_its_definition(dtype):
    torch.manual_seed(0)
    norm, x = LlamaRMSNorm(42, eps=0.1).to(dtype), torch.randn(2, 5, 42).to(dtype)
    with torch.no_grad():
        norm.weight.normal_()
    torch.testing.assert_close(norm(x), rms_norm(x, norm.weight, 0.1), rtol=1e-12 if dtype == torch.float64 else None,
                               atol=0.0 if dtype == torch.float64 else None)  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *HALF])
@pytest.mark.parametrize("positions", [torch.arange(5), torch.tensor([[0, 1, 2, 3, 4], [7, 9, 11, 300, 2]])])
def test_a_prepared_rotation_turns_as_the_pair_does(dtype, positions):
    torch.manual_seed(0)
    x, pair = torch.randn(2, 3, 5, 10).to(dtype), LlamaRotaryEmbedding(10).angles(positions)
    prepared = Prepared(pair, dtype)
    assert torch.equal(rotate(x, prepared), rotate(x, pair))
    assert all(torch.equal(mine, given) for mine, given in zip(prepared, pair))
    other = torch.float32 if dtype == torch.float64 else torch.float64  # not what it was prepared for: as by hand
    assert torch.equal(rotate(x.to(other), prepared), rotate(x.to(other), pair))
    if positions.ndim == 1:
        assert torch.equal(rotate(x[:, 0], prepared), rotate(x[:, 0], pair))


def test_what_a_scaling_needs_stands_in_its_signature(monkeypatch):
    monkeypatch.setitem(SCALINGS, "halves", lambda inv_freq, share, extra=1.0: inv_freq * share * extra)
    plain = rotary_frequencies(8)[0]
    assert torch.equal(rotary_frequencies(8, scaling={"rope_type": "halves", "share": 0.5})[0], plain / 2)
    with pytest.raises(ValueError, match="of type 'halves' needs the numbers share"):
        rotary_frequencies(8, scaling={"rope_type": "halves", "extra": 2.0})


# -------------------------------------------------------------------------------------------------- half precision


@pytest.mark.parametrize("dtype", HALF)
def test_the_loss_of_half_logits_is_that_of_the_same_logits_in_float32(dtype):
    torch.manual_seed(0)
    logits, ids = (4 * torch.randn(16, 512, 61)).to(dtype), torch.randint(61, (16, 512))
    loss = next_token_loss(logits, ids)
    assert loss.dtype == torch.float32 and loss.isfinite()
    assert loss == next_token_loss(logits.float(), ids)


@pytest.mark.parametrize("dtype", HALF)
def test_the_share_of_top_p_is_added_up_in_float32(dtype):
    torch.manual_seed(0)
    logits = torch.randn(3, 20_000).to(dtype)
    kept = keep_top_p(logits, 0.9) > -math.inf
    assert torch.equal(kept, keep_top_p(logits.float(), 0.9) > -math.inf)
