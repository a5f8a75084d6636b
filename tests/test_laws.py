"""Laws: what must hold of every piece whatever its sizes, each checked without any other implementation of Llama."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from functools import cache

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llama_tutorial import (
    LlamaAttention,
    LlamaDecoderLayer,
    LlamaForCausalLM,
    LlamaMLP,
    LlamaRMSNorm,
    LlamaRotaryEmbedding,
    Tokenizer,
    generation,
)
from llama_tutorial import corpus as books
from llama_tutorial import training as school
from llama_tutorial.causal_lm import next_token_loss
from llama_tutorial.kv_cache import KVCache, make_cache
from llama_tutorial.rms_norm import rms_norm
from llama_tutorial.rotary import rotary_frequencies
from llama_tutorial.runs import checkpoints, texts
from llama_tutorial.runs import directory as runs
from llama_tutorial.runs import steps as stepping
from llama_tutorial.sampling import keep_top_k, keep_top_p, sample

law = settings(deadline=None, max_examples=15, derandomize=True, database=None)
seeds = st.integers(0, 2**31 - 1)

SMALL = {
    "vocab_size": 61,
    "hidden_size": 42,
    "intermediate_size": 37,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 10,
}


def perturbed(module):
    """The module in float64 with large random weights, gains and biases: ones and zeros would hide faults."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in module.double().named_parameters():
            gain = "norm" in name or isinstance(module, LlamaRMSNorm)
            weight.normal_(1.0 if gain else 0.0, 0.3, generator=generator)
    return module.eval()


@cache
def small_model() -> LlamaForCausalLM:
    """One model for all laws; no law may change it."""
    return perturbed(LlamaForCausalLM({**SMALL, "tie_word_embeddings": False, "attention_bias": True}))


def random_ids(seed, batch, seq):
    return torch.randint(61, (batch, seq), generator=torch.Generator().manual_seed(seed))


def normal(seed, *shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def assert_same(found, wanted, atol=1e-10):
    torch.testing.assert_close(found, wanted, rtol=0, atol=atol)


# --------------------------------------------------------------------------------------------------------------- norm


@law
@given(seeds, st.integers(1, 29), st.floats(1e-3, 1e3))
def test_rms_norm_forgets_the_length_of_a_vector(seed, dim, scale):
    x, gain = normal(seed, 3, dim), normal(seed + 1, dim)
    assert_same(rms_norm(scale * x, gain, 0.0), rms_norm(x, gain, 0.0))


@law
@given(seeds, st.integers(1, 29), st.floats(0.1, 9))
def test_rms_norm_gives_every_vector_the_root_mean_square_of_its_gain(seed, dim, gain):
    out = rms_norm(normal(seed, 2, 5, dim), torch.full((dim,), gain, dtype=torch.float64), 0.0)
    assert_same(out.square().mean(dim=-1).sqrt(), torch.full((2, 5), gain, dtype=torch.float64))


@law
@given(seeds, st.integers(1, 29), st.sampled_from([1e-6, 0.1, 2.0]))
def test_rms_norm_is_the_plain_loop_with_eps_inside_the_root(seed, dim, eps):
    x, gain = normal(seed, 3, dim), normal(seed + 1, dim)
    out = rms_norm(x, gain, eps)
    for row in range(3):
        root = math.sqrt(sum(value**2 for value in x[row].tolist()) / dim + eps)
        for i in range(dim):
            assert math.isclose(out[row, i].item(), x[row, i].item() / root * gain[i].item(), abs_tol=1e-12)


def test_rms_norm_keeps_zeros_and_does_not_center():
    norm = LlamaRMSNorm(7, eps=0.1).double()
    assert not norm(torch.zeros(2, 3, 7, dtype=torch.float64)).any()
    x = normal(0, 2, 7)
    assert not torch.allclose(norm(x + 5), norm(x))


def test_rms_norm_reads_each_token_alone_and_applies_its_gain():
    norm, x = perturbed(LlamaRMSNorm(7)), normal(0, 2, 5, 7)
    edited = x.clone()
    edited[1, 4] += 1
    assert torch.equal(norm(edited)[0], norm(x)[0]) and torch.equal(norm(edited)[1, :4], norm(x)[1, :4])
    plain = rms_norm(x, torch.ones(7, dtype=torch.float64), norm.eps)
    assert_same(norm(x), plain * norm.weight)


def test_rms_norm_squares_in_float32_and_comes_back_before_the_gain():
    x, gain = (300 * normal(0, 3, 577)).bfloat16(), normal(1, 577).bfloat16()
    exact = rms_norm(x.float(), torch.ones(577), 1e-5).bfloat16()
    assert torch.equal(rms_norm(x, gain, 1e-5), gain * exact)
    assert rms_norm(x.half(), gain.half(), 1e-5).isfinite().all()  # 300² · 577 would overflow float16


# ------------------------------------------------------------------------------------------------------------- rotary


@law
@given(seeds, st.integers(1, 17), st.sampled_from([100.0, 1e4, 5e5]))
def test_rotary_at_position_zero_is_the_identity(seed, pairs, theta):
    x = normal(seed, 2, 3, 5, 2 * pairs)
    assert torch.equal(LlamaRotaryEmbedding(2 * pairs, theta)(x, torch.zeros(5)), x)
    assert torch.equal(LlamaRotaryEmbedding(2 * pairs, theta)(x)[:, :, 0], x[:, :, 0])


@law
@given(seeds, st.integers(1, 17), st.integers(1, 10_000))
def test_rotary_keeps_the_length_of_every_pair(seed, pairs, start):
    x = normal(seed, 3, 5, 2 * pairs)
    turned = LlamaRotaryEmbedding(2 * pairs)(x, torch.arange(start, start + 5))
    assert_same(turned.unflatten(-1, (2, pairs)).norm(dim=-2), x.unflatten(-1, (2, pairs)).norm(dim=-2), 1e-5)
    assert not torch.allclose(turned, x)


@law
@given(seeds, st.integers(1, 32), st.integers(0, 256), st.integers(0, 256), st.integers(1, 256))
def test_scores_of_turned_vectors_depend_on_distance_only(seed, pairs, query, key, shift):
    rotary, (q, k) = LlamaRotaryEmbedding(2 * pairs), normal(seed, 2, 1, 2 * pairs)

    def score(*places):
        return (rotary(q, torch.tensor(places[:1])) * rotary(k, torch.tensor(places[1:]))).sum()

    assert abs(score(query, key) - score(query + shift, key + shift)) < 1e-3


@law
@given(seeds, st.integers(1, 17), st.integers(0, 512), st.sampled_from([100.0, 1e4, 5e5]))
def test_rotary_multiplies_pair_i_and_i_plus_half_by_a_complex_number(seed, pairs, position, theta):
    x = normal(seed, 2 * pairs)
    turned = LlamaRotaryEmbedding(2 * pairs, theta)(x[None], torch.tensor([position]))[0]
    for i in range(pairs):
        angle = position * theta ** (-2 * i / (2 * pairs))
        wanted = complex(x[i], x[i + pairs]) * complex(math.cos(angle), math.sin(angle))
        assert abs(complex(turned[i], turned[i + pairs]) - wanted) < 1e-3


def test_rotary_turns_every_row_and_head_by_the_position_of_its_token():
    rotary, x = LlamaRotaryEmbedding(6), normal(0, 2, 3, 5, 6)
    positions = torch.tensor([[0, 1, 2, 3, 4], [7, 7, 0, 30, 2]])
    turned = rotary(x, positions)
    for row in range(2):
        for head in range(3):
            assert_same(turned[row, head], rotary(x[row, head], positions[row]))
    assert torch.equal(rotary(x, positions[:1]), rotary(x)) and torch.equal(rotary(x, positions[0]), rotary(x))


def test_positions_count_tokens_not_heads():
    x = normal(0, 2, 3, 5, 6)
    heads_swapped = LlamaRotaryEmbedding(6)(x[:, [2, 0, 1]])
    assert torch.equal(heads_swapped, LlamaRotaryEmbedding(6)(x)[:, [2, 0, 1]])


@pytest.mark.parametrize("dim, theta", [(2, 1e4), (14, 100.0), (64, 1e4), (96, 5e5)])
def test_hands_turn_from_one_radian_down_by_a_constant_ratio(dim, theta):
    inv_freq, factor = rotary_frequencies(dim, theta)
    wanted = [theta ** (-2 * i / dim) for i in range(dim // 2)]
    torch.testing.assert_close(inv_freq, torch.tensor(wanted), rtol=1e-5, atol=0)
    assert inv_freq[0] == 1 and factor == 1


@law
@given(st.integers(1, 48), st.sampled_from([1.5, 2.0, 8.0]))
def test_linear_scaling_slows_every_hand_by_the_factor(pairs, factor):
    plain, _ = rotary_frequencies(2 * pairs)
    slowed, attention_factor = rotary_frequencies(2 * pairs, scaling={"rope_type": "linear", "factor": factor})
    assert torch.equal(slowed, plain / factor) and attention_factor == 1


@law
@given(st.integers(4, 64), st.sampled_from([1e4, 5e5]), st.sampled_from([2.0, 8.0, 32.0]), st.integers(64, 8192))
def test_llama3_scaling_keeps_fast_hands_and_slows_slow_ones_by_the_factor(pairs, theta, factor, length):
    numbers = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": length}
    scaled, attention_factor = rotary_frequencies(
        2 * pairs, theta, {"rope_type": "llama3", "factor": factor, **numbers}
    )
    plain, _ = rotary_frequencies(2 * pairs, theta)
    turns = plain * length / (2 * math.pi)
    fast, slow = turns > 4.001, turns < 0.999
    assert torch.equal(scaled[fast], plain[fast]) and torch.equal(scaled[slow], plain[slow] / factor)
    between = ~fast & ~slow
    assert (scaled[between] <= plain[between]).all() and (scaled[between] >= plain[between] / factor * 0.9999).all()
    share = ((turns - 1) / 3)[between].clamp(0, 1)
    wanted = share * plain[between] + (1 - share) * plain[between] / factor
    torch.testing.assert_close(scaled[between], wanted, rtol=1e-4, atol=0)
    assert fast.any() and attention_factor == 1


def test_older_files_write_type_for_rope_type_and_default_is_no_scaling():
    for scaling in ({"type": "linear", "factor": 2.0}, {"rope_type": "linear", "factor": 2.0}):
        assert torch.equal(rotary_frequencies(8, scaling=scaling)[0], rotary_frequencies(8)[0] / 2)
    assert torch.equal(rotary_frequencies(8, scaling={"rope_type": "default"})[0], rotary_frequencies(8)[0])


def test_scaling_reaches_the_model():
    ids, state = random_ids(0, 2, 40), small_model().state_dict()
    shape = {**small_model().config, "rope_scaling": {"rope_type": "linear", "factor": 4.0}}
    scaled = LlamaForCausalLM(shape).double().eval()
    scaled.load_state_dict(state)
    assert not torch.allclose(scaled(ids), small_model()(ids))
    assert_same(scaled(ids, positions=torch.arange(40) * 4), small_model()(ids))


# ---------------------------------------------------------------------------------------------- attention, MLP, layer


def test_values_do_not_depend_on_position_and_scores_do():
    attention, x = perturbed(LlamaAttention(SMALL)), normal(0, 2, 1, 42)
    far = attention.rotary_emb.angles(torch.tensor([100]))
    assert_same(attention(x, far), attention(x))  # one token looks at itself alone: its value passes
    x = normal(0, 2, 5, 42)
    spread = attention.rotary_emb.angles(torch.arange(5) * 9)
    assert not torch.allclose(attention(x, spread), attention(x))


def test_scores_are_divided_by_the_root_of_the_heads_width():
    """With known projections, the weights of two keys say what the score was divided by."""
    attention = LlamaAttention({**SMALL, "num_attention_heads": 1, "num_key_value_heads": 1}).double()
    with torch.no_grad():
        for weight in attention.parameters():
            weight.zero_()
        attention.q_proj.weight[4, 0] = attention.k_proj.weight[4, 1] = 1  # a slow hand: turned by next to nothing
        attention.v_proj.weight[0, 2] = attention.o_proj.weight[0, 0] = 1
    x = torch.zeros(1, 2, 42, dtype=torch.float64)
    x[0, 1, 0], x[0, 0, 1], x[0, 0, 2] = 3.0, 5.0, 1.0  # query 3, key 5 of the first token, which alone has a value
    found = attention(x)[0, 1, 0].item()
    assert math.isclose(found, 1 / (1 + math.exp(-15 / math.sqrt(10))), abs_tol=1e-6)


def test_attention_answers_only_through_its_output_projection():
    attention, x = perturbed(LlamaAttention(SMALL)), normal(0, 2, 5, 42)
    with torch.no_grad():
        attention.o_proj.weight.zero_()
    assert not attention(x).any()


def test_neighbouring_query_heads_share_a_key_value_head():
    attention, x = perturbed(LlamaAttention(SMALL)), normal(0, 2, 5, 42)

    seen = []
    attention.o_proj.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].unflatten(-1, (6, 10))))

    def heads_that_change(weight, kv):
        attention(x)
        with torch.no_grad():
            weight[10 * kv : 10 * kv + 10] += 1
        attention(x)
        return [head for head in range(6) if not torch.equal(seen[-2][:, :, head], seen[-1][:, :, head])]

    for weight in (attention.k_proj.weight, attention.v_proj.weight):
        assert [heads_that_change(weight, kv) for kv in range(3)] == [[0, 1], [2, 3], [4, 5]]


@law
@given(seeds)
def test_the_mlp_is_down_of_silu_gate_times_up(seed):
    mlp, x = perturbed(LlamaMLP({**SMALL, "mlp_bias": True})), normal(seed, 3, 42)
    gate, up = mlp.gate_proj(x), mlp.up_proj(x)
    assert_same(mlp(x), mlp.down_proj(gate / (1 + torch.exp(-gate)) * up))


def test_a_layer_with_silent_parts_hands_on_what_it_read():
    layer, x = perturbed(LlamaDecoderLayer(SMALL)), normal(0, 2, 5, 42)
    with torch.no_grad():
        layer.self_attn.o_proj.weight.zero_()
        assert_same(layer(x), x + layer.mlp(layer.post_attention_layernorm(x)))
        layer.mlp.down_proj.weight.zero_()
    assert torch.equal(layer(x), x)


# ---------------------------------------------------------------------------------------------------------- the model


@law
@given(seeds, st.integers(1, 2), st.integers(2, 19), st.data())
def test_editing_a_token_leaves_all_earlier_logits_alone(seed, batch, seq, data):
    place = data.draw(st.integers(1, seq - 1))
    ids = random_ids(seed, batch, seq)
    edited = ids.clone()
    edited[:, place] = (edited[:, place] + 1) % 61
    before, after = small_model()(ids), small_model()(edited)
    assert_same(after[:, :place], before[:, :place], 1e-11)
    assert (after[:, place:] - before[:, place:]).abs().amax(dim=-1).gt(1e-9).all()  # and every later one sees it


def test_causality_holds_in_a_long_text():
    ids = random_ids(0, 1, 331)
    edited = ids.clone()
    edited[:, 200] = (edited[:, 200] + 1) % 61
    before, after = small_model()(ids), small_model()(edited)
    assert_same(after[:, :200], before[:, :200], 1e-11)
    assert not torch.allclose(after[:, 200:], before[:, 200:])


@law
@given(seeds, st.integers(1, 3))
def test_rows_of_a_batch_do_not_know_each_other(seed, batch):
    ids = random_ids(seed, batch, 11)
    logits = small_model()(ids)
    for row in range(batch):
        assert_same(logits[row : row + 1], small_model()(ids[row : row + 1]))


chunkings = st.lists(st.integers(1, 6), min_size=1, max_size=6)


@law
@given(seeds, chunkings, st.booleans())
@example(0, [1] * 9, False)
@example(0, [7, 1, 3, 1], True)
def test_cached_equals_uncached_in_any_chunking(seed, chunks, padded):
    seq = sum(chunks)
    ids = random_ids(seed, 3, seq)
    real = (torch.arange(seq) >= torch.tensor([[0], [seq // 2], [1]]).clamp(max=seq - 1)) if padded else None
    caches, parts, end = make_cache(3), [], 0
    for chunk in chunks:
        start, end = end, end + chunk
        told = None if real is None else real[:, :end]
        parts.append(small_model()(ids[:, start:end], told, cache=caches))
        assert [len(cache) for cache in caches] == [end] * 3
    kept = torch.ones_like(ids, dtype=torch.bool) if real is None else real
    assert_same(torch.cat(parts, dim=1)[kept], small_model()(ids, real)[kept])


def test_a_new_cache_remembers_nothing():
    first, second = random_ids(0, 2, 7), random_ids(1, 2, 7)
    small_model()(first, cache=make_cache(3))
    assert torch.equal(small_model()(second, cache=make_cache(3)), small_model()(second))


def test_a_cache_grows_without_copying_at_every_token():
    k = torch.zeros(1, 2, 1, 4)
    stores, cache = set(), KVCache()
    for _ in range(300):
        kept, _ = cache.update(k, k)
        stores.add(kept.untyped_storage().data_ptr())
    assert len(stores) <= 12


@law
@given(seeds, st.lists(st.integers(1, 9), min_size=2, max_size=4), st.booleans())
def test_left_padding_changes_nothing(seed, lengths, as_integers):
    longest = max(lengths)
    ids = random_ids(seed, len(lengths), longest)
    real = torch.arange(longest) >= longest - torch.tensor(lengths)[:, None]
    logits = small_model()(ids, real.long() if as_integers else real)
    assert logits.isfinite().all()  # at padding too: a NaN there would reach real tokens one layer later
    for row, length in enumerate(lengths):
        alone = small_model()(ids[row : row + 1, longest - length :])
        assert_same(logits[row : row + 1, longest - length :], alone)


def test_what_stands_in_the_padding_does_not_matter():
    real = torch.arange(9) >= torch.tensor([[4], [0]])
    ids = random_ids(0, 2, 9)
    other = torch.where(real, ids, (ids + 7) % 61)
    assert_same(small_model()(other, real)[real], small_model()(ids, real)[real], 1e-12)


def test_gradients_are_finite_with_a_row_of_mere_padding():
    model = perturbed(LlamaForCausalLM(SMALL))
    real = torch.tensor([[0] * 7, [0, 0, 0, 1, 1, 1, 1]])
    logits = model(random_ids(0, 2, 7), real)
    logits[real.bool()].square().sum().backward()
    assert logits.isfinite().all() and all(weight.grad.isfinite().all() for weight in model.parameters())


def test_the_final_norm_and_both_norms_of_every_layer_take_part():
    model, ids = perturbed(LlamaForCausalLM(SMALL)), random_ids(0, 2, 7)
    model(ids).square().sum().backward()
    norms = [name for name, module in model.named_modules() if isinstance(module, LlamaRMSNorm)]
    assert len(norms) == 7
    gradients = [model.get_submodule(name).weight.grad for name in norms]
    assert all(gradient.all() for gradient in gradients)


def test_training_mode_changes_nothing():
    model, ids = perturbed(LlamaForCausalLM(SMALL)), random_ids(0, 2, 7)
    assert torch.equal(model.train()(ids), model.eval()(ids))


# ----------------------------------------------------------------------------------------------------------- the loss


@law
@given(seeds, st.integers(1, 3), st.integers(2, 9), st.integers(2, 13))
def test_the_loss_is_the_mean_surprise_at_the_next_id(seed, batch, seq, vocab):
    logits = 3 * normal(seed, batch, seq, vocab)
    ids = torch.randint(vocab, (batch, seq), generator=torch.Generator().manual_seed(seed))
    surprises = []
    for row in range(batch):
        for place in range(seq - 1):
            scores = logits[row, place].tolist()
            log_total = math.log(sum(map(math.exp, scores)))
            surprises.append(log_total - scores[ids[row, place + 1]])
    assert math.isclose(next_token_loss(logits, ids).item(), sum(surprises) / len(surprises), rel_tol=1e-9)
    assert torch.equal(next_token_loss(logits, ids.int()), next_token_loss(logits, ids))


@pytest.mark.parametrize("tied", [True, False])
def test_a_fresh_model_is_as_surprised_as_one_who_knows_nothing(tied):
    torch.manual_seed(0)
    model = LlamaForCausalLM({**SMALL, "vocab_size": 997, "tie_word_embeddings": tied})
    ids = torch.randint(997, (5, 67))
    assert abs(next_token_loss(model(ids), ids).item() - math.log(997)) < 0.1


# ----------------------------------------------------------------------------------------------------------- sampling


some_logits = st.integers(2, 23).flatmap(
    lambda size: st.lists(st.integers(-4000, 4000), min_size=size, max_size=size, unique=True)
)


@law
@given(some_logits, st.floats(0.1, 3), seeds)
def test_top_k_of_one_and_temperature_zero_take_the_likeliest(scores, temperature, seed):
    logits = torch.tensor([scores, scores[::-1]]) / 1000
    generator = torch.Generator().manual_seed(seed)
    assert torch.equal(sample(logits, temperature, top_k=1, generator=generator), logits.argmax(dim=-1))
    assert torch.equal(sample(logits, 0), logits.argmax(dim=-1))


@law
@given(some_logits, st.integers(1, 30))
def test_top_k_keeps_exactly_the_k_likeliest(scores, top_k):
    kept = keep_top_k(torch.tensor([scores]) / 1000, top_k)[0]
    best = sorted(range(len(scores)), key=lambda i: -scores[i])[:top_k]
    assert sorted(best) == kept.isfinite().nonzero()[:, 0].tolist()
    assert torch.equal(kept[best], torch.tensor(scores)[best] / 1000)


@pytest.mark.parametrize("top_p, kept", [(0.01, 1), (0.49, 1), (0.51, 2), (0.79, 2), (0.81, 3), (0.96, 4), (1.0, 4)])
def test_top_p_keeps_the_token_that_crosses_the_share(top_p, kept):
    order = torch.tensor([2, 0, 3, 1])
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert keep_top_p(logits, top_p).isfinite().sum() == kept
    shuffled = keep_top_p(logits[:, order], top_p)
    assert torch.equal(shuffled, keep_top_p(logits, top_p)[:, order])
    assert torch.equal(shuffled[shuffled.isfinite()], logits[:, order][shuffled.isfinite()])


@law
@given(some_logits, st.floats(0.02, 0.98))
def test_top_p_keeps_the_fewest_likeliest_tokens_that_hold_the_share(scores, top_p):
    logits = torch.tensor([scores], dtype=torch.float64) / 1000
    chance = logits.softmax(dim=-1)[0]
    kept = keep_top_p(logits, top_p)[0].isfinite()
    assert chance[kept].sum() >= top_p - 1e-9
    assert chance[kept].sum() - chance[kept].min() < top_p + 1e-9
    assert kept.all() or chance[kept].min() >= chance[~kept].max()


LOGITS = torch.tensor([1.0, -0.5, 2.0, 0.3, -2.0, 1.5, 0.0])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("top_k, top_p", [(None, None), (4, None), (None, 0.8), (5, 0.7)])
def test_draws_come_as_often_as_softmax_of_logits_over_temperature_says(temperature, top_k, top_p):
    draws = 20_000
    rows = LOGITS.expand(draws, 7)
    drawn = sample(rows, temperature, top_k, top_p, torch.Generator().manual_seed(0))
    assert drawn.shape == (draws,)
    chance = (LOGITS.double() / temperature).softmax(dim=0)
    order = chance.argsort(descending=True).tolist()[:top_k]
    total = chance[order].sum()  # the share p is of what the top k left
    before = 0.0
    kept = []
    for i in order:
        if top_p is None or before < top_p:
            kept.append(i)
        before += (chance[i] / total).item()
    wanted = torch.zeros(7, dtype=torch.float64)
    wanted[kept] = chance[kept] / chance[kept].sum()
    found = drawn.bincount(minlength=7) / draws
    assert ((found - wanted).abs() <= 4.5 * (wanted * (1 - wanted) / draws).sqrt()).all()


def test_a_seed_fixes_the_draws_and_leaves_the_global_chance_alone():
    model, ids = small_model(), random_ids(0, 2, 5)
    state = torch.random.get_rng_state()
    first, again, other = (model.generate(ids, 20, temperature=1.5, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(5)
    free = model.generate(ids, 20, temperature=1.5)
    torch.manual_seed(5)
    assert torch.equal(model.generate(ids, 20, temperature=1.5), free) and not torch.equal(free, first)


# --------------------------------------------------------------------------------------------------------- generation


@settings(law, max_examples=8)
@given(seeds, st.integers(1, 7), st.sampled_from([0.0, 1.0]), st.booleans())
def test_generating_with_and_without_a_cache_gives_the_same_tokens(seed, seq, temperature, padded):
    ids = random_ids(seed, 2, seq)
    mask = (torch.arange(seq) >= torch.tensor([[0], [seq // 2]])) if padded else None
    how = {"max_new_tokens": 9, "temperature": temperature, "seed": seed, "attention_mask": mask}
    cached = small_model().generate(ids, use_cache=True, **how)
    assert torch.equal(cached, small_model().generate(ids, use_cache=False, **how))
    assert cached.shape == (2, seq + 9) and torch.equal(cached[:, :seq], ids)


def test_greedy_generation_is_the_likeliest_token_again_and_again():
    ids = random_ids(0, 2, 5)
    written = small_model().generate(ids, max_new_tokens=9)
    for _ in range(9):
        ids = torch.cat([ids, small_model()(ids)[:, -1].argmax(dim=-1, keepdim=True)], dim=1)
    assert torch.equal(written, ids)
    assert len(set(written[:, 5:].flatten().tolist())) > 3


def test_padded_prompts_go_on_as_each_would_alone():
    ids, real = random_ids(0, 3, 8), torch.arange(8) >= torch.tensor([[0], [3], [6]])
    together = small_model().generate(ids, max_new_tokens=7, attention_mask=real)
    for row, start in enumerate((0, 3, 6)):
        assert torch.equal(together[row, start:], small_model().generate(ids[row : row + 1, start:], 7)[0])


def test_nothing_more_than_asked_for_is_written_and_the_ids_keep_their_dtype():
    ids = random_ids(0, 2, 5)
    assert torch.equal(small_model().generate(ids, max_new_tokens=0), ids)
    written = small_model().generate(ids.int(), max_new_tokens=3)
    assert written.dtype == torch.int32 and written.shape == (2, 8)


def test_a_row_that_has_ended_repeats_its_end_and_all_ended_stops():
    for seed in range(100):  # two rows, of which the first is the first to write its end, and no other end before it
        ids = random_ids(seed, 2, 5)
        first, second = small_model().generate(ids, max_new_tokens=12)[:, 5:].tolist()
        end, other = first[2], second[5]
        if end not in first[:2] + second and other not in second[:5] + first[:3]:
            break
    else:
        pytest.fail("no two rows that end one after the other")
    both = small_model().generate(ids, max_new_tokens=12, eos_token_id=[end, other])[:, 5:].tolist()
    assert both == [first[:3] + [end] * 3, second[:6]]
    one = small_model().generate(ids, max_new_tokens=12, eos_token_id=end)[:, 5:].tolist()
    assert one == [first[:3] + [end] * 9, second]


def test_streaming_yields_the_tokens_of_generate_one_at_a_time():
    ids = random_ids(0, 2, 5)
    tokens = generation.stream(small_model(), ids, max_new_tokens=6)
    assert torch.equal(torch.stack(list(tokens), dim=1), small_model().generate(ids, 6)[:, 5:])


# ---------------------------------------------------------------------------------------------------------- tokenizer


@cache
def tokenizer() -> Tokenizer:
    text = ["the for statement is used to iterate over the elements of a sequence · héllo ☃ 日本語 "] * 3
    return Tokenizer.train(text, 300)


@settings(law, max_examples=100)
@given(st.text())
@example("")
@example(" \n\t leading, é, 日本, 🦙‍🔥, \x00 and \ufffd")
def test_any_text_survives_encoding_and_its_pieces_are_its_bytes(text):
    ids = tokenizer().encode(text)
    assert all(0 < i < len(tokenizer()) for i in ids)
    assert tokenizer().decode(ids) == text
    assert b"".join(tokenizer().pieces(ids)) == text.encode()


def test_a_text_that_names_the_end_of_text_survives_too():
    text = "a<|endoftext|>b"
    assert tokenizer().decode(tokenizer().encode(text)) == text


def test_the_first_id_is_the_end_of_text_which_is_not_shown(tmp_path):
    assert tokenizer().end_of_text == 0
    ids = [*tokenizer().encode("a"), 0, *tokenizer().encode("b")]
    assert tokenizer().decode(ids) == "ab" and tokenizer().pieces(ids) == [b"a", b"", b"b"]
    tokenizer().save(tmp_path / "tokenizer.json")
    again = Tokenizer.load(tmp_path / "tokenizer.json")
    assert again.end_of_text == 0 and len(again) == len(tokenizer())
    assert again.encode("the for statement ☃") == tokenizer().encode("the for statement ☃")
    assert json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["model"]["type"] == "BPE"


def test_merges_shorten_what_was_seen_often():
    assert len(tokenizer().encode("the statement")) < 8 < len(tokenizer().encode("qzxvjkwpmb"))


@settings(law, max_examples=50)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\ufffd"), max_size=20), st.booleans())
@example("héllo 日本語 🦙 ☃", False)
def test_streamed_text_never_shows_half_a_character(text, ended):
    ids = tokenizer().encode(text) + [0] * ended
    chosen = [torch.tensor([i]) for i in ids]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "stream", lambda model, prompt, **how: iter(chosen))
        pieces = list(generation.stream_text(small_model(), tokenizer(), "x"))
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece or piece == "" for piece in pieces)


# ------------------------------------------------------------------------------------------------------------- corpus


@settings(law, max_examples=25)
@given(st.text("ab ", max_size=30), st.text("ab ", max_size=30), st.integers(1, 6))
def test_the_shared_share_counts_characters_in_runs_that_both_texts_hold(text, other, width):
    shared = {
        place + step
        for place in range(len(text) - width + 1)
        if text[place : place + width] in other
        for step in range(width)
    }
    found = books.share_inside(text, books.windows(other, width), width)
    assert math.isclose(found, len(shared) / max(len(text), 1))


def test_of_two_texts_that_stand_in_one_another_the_longer_is_kept():
    base = "".join(chr(97 + i * i % 26) + str(i) for i in range(300))
    other = "".join(chr(65 + i * 7 % 26) + str(i * 3) for i in range(100))
    texts = {"part": base[100:400], "other": other, "whole": base, "copy": base, "mixed": base[:100] + other}
    kept = books.drop_copies(texts)
    assert kept.keys() & {"part", "whole", "copy"} in ({"whole"}, {"copy"}) and "mixed" in kept
    assert kept == {name: texts[name] for name in texts if name in kept}  # unchanged, in the order given


def test_a_text_may_share_up_to_three_tenths_with_another():
    base, fresh = "".join(f"{i:05d}" for i in range(200)), "".join(chr(0x3000 + i) for i in range(300))
    for share, stays in ((0.25, True), (0.35, False)):
        part = base[: int(300 * share)] + fresh[: 300 - int(300 * share)]
        assert ("part" in books.drop_copies({"base": base, "part": part})) == stays


def test_the_same_eight_topics_are_held_out_everywhere():
    from pydoc_data.topics import topics

    kept = books.drop_copies(topics)
    exam = {name: text for name, text in kept.items() if books.held_out(name)}
    assert set(exam) == {
        "bltin-ellipsis-object", "comparisons", "identifiers", "import",
        "lambda", "objects", "typesfunctions", "typesmapping",
    }  # fmt: skip
    characters = sum(map(len, exam.values()))
    assert 0.08 < characters / sum(map(len, kept.values())) < 0.14
    seen = set().union(*(books.windows(text, 40) for name, text in kept.items() if name not in exam))
    shared = sum(books.share_inside(text, seen, 40) * len(text) for text in exam.values())
    assert shared / characters < 0.01
    everything = set().union(*(books.windows(text, 40) for name, text in topics.items() if name not in exam))
    naive = sum(books.share_inside(text, everything, 40) * len(text) for text in exam.values())
    assert naive > 10 * shared  # what dropping the copies is for


SOURCE = '''"""Module é."""
raise SystemExit("nothing may run")
import nowhere  # "not a docstring"
class A:
    """Class.

    Indented."""
    text = "not one either"
    async def f(self):
        "Async function."
        def inner():
            """Inner \\d."""
        return """not this"""
def g(): """One line."""
def h(): pass
'''


def test_docstrings_are_read_by_ast_and_nothing_runs(recwarn):
    found = books.docstrings_of(SOURCE)
    assert sorted(found) == ["Async function.", "Class.\n\nIndented.", "Inner \\d.", "Module é.", "One line."]
    assert not recwarn.list
    assert books.docstrings_of("def broken(:\n") == books.docstrings_of("null\0byte") == books.docstrings_of("") == []


def test_docstrings_that_touch_the_exam_are_left_out():
    exam = {"topic": "".join(f"exam {i} " for i in range(40))}
    mine = "".join(f"mine {i * 7} " for i in range(30))
    files = {"a.py": ["short", mine, "x " + exam["topic"][60:120]], "b.py": [mine + " again", "other words"]}
    clean = books.drop_exam(files, exam)
    assert clean == {"a.py": "short", "b.py": f"{mine} again\n\nother words"}
    held = books.windows(exam["topic"], 40)
    assert not any(books.windows(text, 40) & held for text in clean.values())


@pytest.mark.thorough
def test_the_whole_corpus_keeps_its_exam_apart():
    corpus = books.python_corpus()
    held = set().union(*(books.windows(text, 40) for text in corpus.held_out.values()))
    assert not any(books.windows(text, 40) & held for text in corpus.docstrings.values())
    assert not corpus.reference.keys() & corpus.held_out.keys()
    assert 300_000 < sum(map(len, corpus.reference.values())) < 450_000
    assert 1_000_000 < sum(map(len, corpus.docstrings.values())) < 2_000_000
    assert not [name for name in corpus.docstrings if "site-packages" in name or "/test/" in name]


# ----------------------------------------------------------------------------------------------------------- training


TINY = {
    "vocab_size": 31,
    "hidden_size": 12,
    "intermediate_size": 17,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 6,
}
SOURCES = [torch.arange(200) * 7 % 31, torch.arange(97) ** 2 % 31]


def trainer(**recipe) -> school.Trainer:
    torch.manual_seed(0)
    recipe = {"steps": 6, "batch": 3, "context": 11, **recipe}
    return school.Trainer(LlamaForCausalLM(TINY), SOURCES, school.Recipe(**recipe))


@settings(law, max_examples=30)
@given(seeds, st.integers(2, 13), st.floats(1.5, 4), st.booleans(), st.sampled_from([1e-3, 1.0, 1e3]))
def test_muon_brings_the_singular_values_near_one_and_keeps_the_directions(seed, rows, ratio, tall, size):
    matrix = normal(seed, rows, math.ceil(rows * ratio))
    matrix = size * (matrix.mT if tall else matrix)
    out = school.orthogonalize(matrix)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.mT @ out @ right.mT
    values = turned.diagonal()
    assert out.shape == matrix.shape and 0.6 < values.min() and values.max() < 1.3
    assert_same(turned, values.diag(), 1e-5)
    assert_same(school.orthogonalize(torch.stack([-matrix, matrix])), torch.stack([-out, out]))  # each by itself


def test_muon_steps_each_matrix_by_its_own_momentum():
    weight = torch.nn.Parameter(torch.zeros(6, 3, dtype=torch.float64))
    muon, average = school.Muon([weight], lr=0.1, momentum=0.9, weight_decay=0.2), torch.zeros_like(weight)
    wanted = weight.detach().clone()
    for step in range(3):
        weight.grad = normal(step, 6, 3)
        average = 0.9 * average.detach() + 0.1 * weight.grad
        wanted = 0.98 * wanted - 0.1 * 2**0.5 * school.orthogonalize(0.1 * weight.grad + 0.9 * average)
        muon.step()
        assert_same(weight.detach(), wanted, 1e-12)


def test_muon_takes_the_matrices_of_the_layers_and_adamw_everything_else():
    run = trainer()
    muon, adamw = run.optimizers
    names = {id(weight): name for name, weight in run.model.named_parameters()}
    matrices = {names[id(weight)] for group in muon.param_groups for weight in group["params"]}
    rest = {names[id(weight)] for group in adamw.param_groups for weight in group["params"]}
    assert matrices == {name for name in names.values() if "layers" in name and "norm" not in name}
    assert rest == set(names.values()) - matrices and "model.embed_tokens.weight" in rest
    assert len(trainer(optimizer="adamw").optimizers) == 1


@law
@given(st.integers(1, 500), st.floats(0, 0.5))
def test_the_step_size_rises_and_falls_to_zero(steps, warmup):
    recipe = school.Recipe(steps=steps, warmup=warmup)
    sizes = [school.step_size(step, recipe) for step in range(steps + 1)]
    top = sizes.index(max(sizes))
    assert sizes[:top] == sorted(sizes[:top]) and sizes[top:] == sorted(sizes[top:], reverse=True)
    assert sizes[-1] == 0 and all(0 < size <= 1 for size in sizes[:-1])
    assert top <= max(1, round(warmup * steps)) and (steps < 10 or max(sizes) > 0.85)


def test_the_step_size_grows_by_equal_parts_and_falls_in_a_straight_line():
    sizes = [school.step_size(step, school.Recipe(steps=100, warmup=0.1)) for step in range(101)]
    wanted = [(step + 1) / 10 for step in range(10)] + [(100 - step) / 90 for step in range(10, 101)]
    assert all(math.isclose(size, want, abs_tol=1e-12) for size, want in zip(sizes, wanted))


def test_a_step_past_the_last_never_goes_uphill():
    assert school.step_size(17, school.Recipe(steps=10)) == 0


def test_lent_dropout_leaves_no_hooks_and_drops_its_share():
    model, ids = perturbed(LlamaForCausalLM(TINY)), SOURCES[0][:64].view(2, 32)
    plain = model(ids)

    def hooks():
        return [module for module in model.modules() if module._forward_hooks or module._forward_pre_hooks]

    seen = []
    with school.lent_dropout(model, 0.25):
        assert len(hooks()) == 5  # the embedding and the two writers of either layer
        watch = model.model.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        assert not torch.equal(model(ids), plain)
        watch.remove()
    embedded = model.model.embed_tokens(ids)
    dropped = seen[0] == 0
    assert 0.15 < dropped.double().mean() < 0.35
    assert_same(seen[0][~dropped], (embedded / 0.75)[~dropped], 1e-12)
    assert not hooks() and torch.equal(model(ids), plain)
    with pytest.raises(RuntimeError), school.lent_dropout(model, 0.25):
        raise RuntimeError
    assert not hooks()
    with school.lent_dropout(model, 0.0):
        assert not hooks()


def test_a_run_with_dropout_takes_other_steps_and_each_step_another_draw():
    first, again, without = trainer(dropout=0.5), trainer(dropout=0.5), trainer()
    assert first.advance() == again.advance() != without.advance()
    windows = school.draw_windows(SOURCES, first.recipe, 0)
    same_step, next_step = again.backward(windows), again.backward(windows)
    assert same_step == next_step  # chance follows from the step alone
    again.advance()
    assert again.backward(windows) != same_step


def test_windows_are_runs_of_their_source_and_follow_from_seed_and_step():
    recipe = school.Recipe(batch=4, context=11)
    texts = [torch.arange(100), torch.arange(1000, 1050)]
    starts = set()
    for step in range(30):
        drawn = school.draw_windows(texts, recipe, step)
        assert drawn.shape == (4, 12) and torch.equal(drawn, school.draw_windows(texts, recipe, step))
        assert torch.equal(drawn, drawn[:, :1] + torch.arange(12))
        assert [row[0].item() >= 1000 for row in drawn] == [False, True] * 2  # the sources take turns
        starts |= {row[0].item() for row in drawn}
    assert min(starts) < 20 and len(starts) > 40 and 1030 < max(starts) <= 1050 - 12
    other = school.draw_windows(texts, school.Recipe(batch=4, context=11, seed=1), 3)
    assert not torch.equal(other, school.draw_windows(texts, recipe, 3))
    exact = school.draw_windows([torch.arange(12)], recipe, 0)
    assert torch.equal(exact, torch.arange(12).expand(4, 12))  # a text of one window has one place


def test_every_window_is_read_before_any_is_read_again():
    rows, seen = school.Recipe(batch=9, context=11), set()
    for step in range(5):  # a text of 9 windows: a step is a round
        starts = school.draw_windows([torch.arange(100)], rows, step)[:, 0].sort().values
        assert (starts.diff()[:-1] == 11).all() and starts.diff()[-1] > 0
        seen.add(starts[0].item())
    assert len(seen) > 1  # and each round is cut at other places


def test_a_step_follows_the_gradient_of_its_windows_and_cuts_it():
    run = trainer(optimizer="adamw", clip=1e-4)
    seen = []
    run.optimizers[0].register_step_pre_hook(lambda *_: seen.append([w.grad.clone() for w in run.model.parameters()]))
    before = [weight.detach().clone() for weight in run.model.parameters()]
    windows = school.draw_windows(SOURCES, run.recipe, 0)
    wanted = next_token_loss(run.model(windows), windows)
    gradients = torch.autograd.grad(wanted, list(run.model.parameters()))
    length = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    assert run.advance() == wanted.item() and run.losses == [wanted.item()] and run.step == 1
    for gradient, cut in zip(gradients, seen[0]):
        torch.testing.assert_close(cut, gradient * 1e-4 / length, rtol=1e-3, atol=1e-12)
    assert all(not torch.equal(now, then) for now, then in zip(run.model.parameters(), before))


def test_training_learns():
    run = stepping.run_to_end(trainer(steps=60, batch=8))
    assert run.step == 60 and sum(run.losses[-5:]) / 5 < run.losses[0] - 1


@pytest.mark.parametrize(
    "length, width, batch",
    [(67, 11, 2), (67, 11, 32), (66, 13, 2), (12, 11, 2), (7, 11, 2), (2, 1, 1)],
)
def test_bits_per_byte_are_those_of_an_independent_loop(length, width, batch):
    model, ids = perturbed(LlamaForCausalLM(TINY)), SOURCES[1][:length]
    bits = 0.0
    for start in range(0, length - 1, width):
        end = min(start + width, length - 1)
        chances = model(ids[None, start:end])[0].softmax(dim=-1)
        for place in range(start, end):
            bits -= math.log2(chances[place - start, ids[place + 1]].item())
    found = school.bits_per_byte(model, ids, byte_count=123, context=width, batch=batch)
    assert math.isclose(found, bits / 123, rel_tol=1e-5)


RUNS = [{"optimizer": "muon", "dropout": 0.1}, {"optimizer": "adamw", "dropout": 0.1}, {"optimizer": "muon"}]


@pytest.mark.parametrize("recipe", RUNS, ids=["muon-dropout", "adamw-dropout", "muon"])
def test_a_run_killed_at_any_step_and_resumed_ends_like_the_unbroken_one(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)  # no power is cut here, and a busy disk takes seconds
    unbroken = stepping.run_to_end(trainer(**recipe))
    wanted = unbroken.model.state_dict()
    assert len(set(unbroken.losses)) == 6
    for killed in range(7):
        run = trainer(**recipe)
        for _ in range(killed):
            run.advance()
        checkpoints.save_checkpoint(run, tmp_path / "run.safetensors")
        torch.manual_seed(killed)  # the state of chance of another process
        resumed = checkpoints.load_checkpoint(tmp_path / "run.safetensors", SOURCES)
        assert resumed.step == killed and resumed.recipe == run.recipe
        stepping.run_to_end(resumed)
        assert resumed.losses == unbroken.losses
        found = resumed.model.state_dict()
        assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)
        assert resumed.model.lm_head.weight is resumed.model.model.embed_tokens.weight


def test_training_leaves_the_global_chance_alone():
    run = trainer(dropout=0.1)
    state = torch.random.get_rng_state()
    run.advance()
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("fails", ["safetensors.torch.save_file", "os.fsync", "os.replace"])
def test_a_checkpoint_is_written_whole_or_not_at_all(fails, tmp_path, monkeypatch):
    run, path = trainer(), tmp_path / "run.safetensors"
    run.advance()
    checkpoints.save_checkpoint(run, path)
    old = path.read_bytes()
    run.advance()

    def fail(target, *arguments, **named):
        for name in [word for word in (target, *arguments) if str(word).endswith(".partial")]:
            with open(name, "wb") as file:
                file.write(b"half a file")
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(fails, fail)
        with pytest.raises(OSError, match="full"):
            checkpoints.save_checkpoint(run, path)
    assert path.read_bytes() == old
    assert checkpoints.load_checkpoint(path, SOURCES).step == 1
    checkpoints.save_checkpoint(run, path)  # what the failure left behind does not stand in the way
    assert checkpoints.load_checkpoint(path, SOURCES).step == 2
    assert [file.name for file in tmp_path.iterdir()] == ["run.safetensors"]


def test_measuring_the_speed_takes_no_step():
    run = trainer(dropout=0.1)
    before, state = {k: v.clone() for k, v in run.model.state_dict().items()}, torch.random.get_rng_state()
    assert stepping.steps_within(0.001, run, tries=3) >= 1
    assert run.step == 0 and run.losses == [] and torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(before[name], now) for name, now in run.model.state_dict().items())
    assert not run.optimizers[0].state


STORY = texts.Text(
    parts=[["the cat sat on the mat. " * 20], ["a dog ran to the log. " * 20]],
    held_out=["the dog sat. " * 9],
    note="a test",
)


def test_a_directory_whose_training_was_cut_off_ends_like_an_unbroken_one(tmp_path, monkeypatch):
    recipe = school.Recipe(steps=5, batch=2, context=13, dropout=0.1)
    shape = {**TINY}
    del shape["vocab_size"]
    how = {"text": STORY, "recipe": recipe, "shape": shape, "vocab_size": 270}
    report = runs.train_directory(tmp_path / "whole", **how)
    assert report["note"] == "a test" and 1 < report["held_out_bits_per_byte"] < 9

    def killed(trainer, checkpoint, **_):
        for _ in range(2):
            trainer.advance()
        checkpoints.save_checkpoint(trainer, checkpoint)
        trainer.advance()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(runs, "run_to_end", killed)
        runs.train_directory(tmp_path / "cut", **how)
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {"tokenizer.json", "training.safetensors"}
    assert runs.train_directory(tmp_path / "cut", **how) == report
    names = {"config.json", "generation_config.json", "tokenizer.json", "model.safetensors", "training.json"}
    for name in names:
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert {path.name for path in (tmp_path / "cut").iterdir()} == names
    model, tokens = generation.load_directory(tmp_path / "whole")
    assert next(model.parameters()).dtype == torch.float32 and not model.training
    exam = school.token_ids(tokens, STORY.held_out)
    again = school.bits_per_byte(model, exam, STORY.byte_count, 13)
    assert round(again, 4) == report["held_out_bits_per_byte"]  # measured after rounding to float16


def test_files_of_text_keep_their_last_tenth_for_the_exam(tmp_path):
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("é" * 50 + "0123456789" * 5, encoding="utf-8")  # 100 characters
    second.write_text("b" * 20, encoding="utf-8")
    text = texts.text_of_files([first, second])
    assert text.parts == [["é" * 50 + "0123456789" * 4, "b" * 18]] and text.held_out == ["0123456789", "bb"]
    assert text.byte_count == 12 and "a.txt, b.txt" in text.note
    assert texts.text_of_files([first]).byte_count == 10


CHILD = """
import sys, torch
from llama_tutorial import LlamaForCausalLM, training
from llama_tutorial.runs import checkpoints, steps as stepping
torch.set_num_threads(1)
torch.manual_seed(0)
recipe = training.Recipe(steps=10_000, batch=3, context=11, dropout=0.1)
sources = [torch.arange(200) * 7 % 31, torch.arange(97) ** 2 % 31]
shape = {shape!r}
run = training.Trainer(LlamaForCausalLM(shape), sources, recipe)
checkpoints.save_checkpoint(run, sys.argv[1])
print("ready", flush=True)
stepping.run_to_end(run, sys.argv[1], every=1)
"""


@pytest.mark.thorough
@pytest.mark.skipif(os.name != "posix", reason="a kill is another thing on Windows")
def test_a_kill_at_any_moment_leaves_a_checkpoint_that_goes_on_rightly(tmp_path):
    path = tmp_path / "run.safetensors"
    unbroken = trainer(steps=10_000, dropout=0.1)
    for attempt in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD.format(shape=TINY), str(path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.05 + 0.0373 * attempt)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        resumed = checkpoints.load_checkpoint(path, SOURCES)
        while unbroken.step < resumed.step + 3:
            unbroken.advance()
        for _ in range(3):
            resumed.advance()
        assert resumed.losses == unbroken.losses[: resumed.step]
        path.unlink()
