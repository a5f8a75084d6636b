"""The interface: the calls that users write, and the seams on which later lessons stand."""

import copy
import dataclasses
import inspect
import subprocess
import sys

import pytest
import torch

import llama_tutorial
from llama_tutorial import (
    KVCache,
    LlamaAttention,
    LlamaConfig,
    LlamaDecoderLayer,
    LlamaForCausalLM,
    LlamaMLP,
    LlamaModel,
    LlamaRMSNorm,
    LlamaRotaryEmbedding,
)
from llama_tutorial.attention import attend, attend_by_hand
from llama_tutorial.kv_cache import make_cache
from llama_tutorial.model import positions_and_mask
from llama_tutorial.rotary import rotary_frequencies

SMALL = {
    "vocab_size": 61,
    "hidden_size": 42,
    "intermediate_size": 37,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 10,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return LlamaForCausalLM(SMALL).eval()


@pytest.fixture
def ids():
    return torch.randint(61, (3, 11), generator=torch.Generator().manual_seed(0))


# ---------------------------------------------------------------------------------------------- the calls users write


@pytest.fixture(params=[LlamaConfig, lambda: dict(LlamaConfig())], ids=["LlamaConfig", "dict"])
def config(request):
    """The 135M shape, as a config and as a plain dict."""
    return request.param()


def test_rotary_turns_and_keeps_the_shape():
    x = torch.randn(2, 10, 576)
    turned = LlamaRotaryEmbedding(dim=576, theta=10000.0)(x)
    assert turned.shape == x.shape and not torch.equal(turned, x)


def test_attention_keeps_the_shape(config):
    assert LlamaAttention(config)(torch.randn(2, 10, 576)).shape == (2, 10, 576)


def test_mlp_keeps_the_shape(config):
    assert LlamaMLP(config)(torch.randn(2, 10, 576)).shape == (2, 10, 576)


def test_decoder_layer_keeps_the_shape_and_reads_ten_texts_of_two(config):
    layer, x = LlamaDecoderLayer(config), torch.randn(10, 2, 576)
    out = layer(x)
    assert out.shape == (10, 2, 576)
    torch.testing.assert_close(out[3:4], layer(x[3:4]), rtol=1e-4, atol=1e-4)  # the first axis is the batch


def test_model_gives_hidden_states_and_causal_lm_logits_at_full_size():
    config = LlamaConfig()
    causal_lm = LlamaForCausalLM(config)
    ids = torch.randint(0, config["vocab_size"], (10, 2))
    with torch.no_grad():
        assert isinstance(causal_lm.model, LlamaModel)
        assert causal_lm.model(ids).shape == (10, 2, 576)
        assert causal_lm(ids).shape == (10, 2, config["vocab_size"])
    assert causal_lm.lm_head.weight is causal_lm.model.embed_tokens.weight
    assert sum(weight.numel() for weight in causal_lm.parameters()) == 134_515_008


def test_model_and_causal_lm_take_a_plain_dict():
    config = dict(LlamaConfig(num_hidden_layers=2))
    ids = torch.randint(0, config["vocab_size"], (10, 2))
    assert LlamaModel(config)(ids).shape == (10, 2, 576)
    assert LlamaForCausalLM(config)(ids).shape == (10, 2, config["vocab_size"])


def test_rms_norm_takes_a_width_and_an_eps():
    norm = LlamaRMSNorm(7)
    assert norm.eps == 1e-5 and torch.equal(norm.weight, torch.ones(7))
    assert LlamaRMSNorm(hidden_size=7, eps=0.1)(torch.randn(2, 3, 7)).shape == (2, 3, 7)
    assert norm(torch.randn(7)).shape == (7,)


def test_the_package_shows_what_it_promises():
    names = (
        "LlamaConfig LlamaRMSNorm LlamaRotaryEmbedding LlamaAttention LlamaMLP LlamaDecoderLayer LlamaModel "
        "LlamaForCausalLM KVCache Tokenizer generate load_shipped talk"
    )
    assert set(names.split()) <= set(llama_tutorial.__all__) & set(dir(llama_tutorial))


def test_asking_for_any_public_name_gives_the_model_its_methods():
    code = (
        "import sys, llama_tutorial; assert 'torch' not in sys.modules\n"
        "from llama_tutorial import LlamaConfig\n"
        "from llama_tutorial.causal_lm import LlamaForCausalLM; LlamaForCausalLM.generate"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --------------------------------------------------------------------------------------------------------- the config


def test_the_default_config_is_the_135m_shape():
    wanted = {
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "head_dim": 64,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "initializer_range": 0.02,
    }
    assert dict(LlamaConfig()) == dict(LlamaConfig({})) == wanted


def test_key_value_heads_follow_the_heads_where_only_these_are_given():
    assert LlamaConfig(num_attention_heads=4).num_key_value_heads == 4
    assert LlamaConfig(num_attention_heads=4, num_key_value_heads=2).num_key_value_heads == 2
    assert LlamaConfig(num_attention_heads=4, num_key_value_heads=None).num_key_value_heads == 4
    assert LlamaConfig(hidden_size=18).num_key_value_heads == 3


def test_head_dim_is_width_over_heads_unless_given():
    assert LlamaConfig(hidden_size=36, num_attention_heads=6).head_dim == 6
    assert LlamaConfig(hidden_size=36, num_attention_heads=6, head_dim=None).head_dim == 6
    assert LlamaConfig(hidden_size=37, num_attention_heads=6, head_dim=10).head_dim == 10


def test_a_config_reads_like_a_dict():
    config = LlamaConfig(SMALL)
    assert config["vocab_size"] == config.vocab_size == config.get("vocab_size") == 61
    assert "vocab_size" in config and "vocab" not in config and config.get("vocab") is None
    assert {**config} == dict(config) and len(config) == len(dataclasses.fields(config)) == 15
    assert list(config) == [field.name for field in dataclasses.fields(config)]


def test_names_win_over_the_given_config_which_stays_as_it_was():
    base = LlamaConfig(SMALL)
    assert LlamaConfig(base, vocab_size=67) == LlamaConfig({**SMALL, "vocab_size": 67}) != base
    assert base.vocab_size == 61 and LlamaConfig(base) == base


def test_a_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        LlamaConfig().hidden_size = 3


def test_the_fields_of_published_files_that_change_nothing_are_left_out():
    published = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "hidden_act": "silu",
        "bos_token_id": 1, "eos_token_id": [2, 3], "use_cache": True, "transformers_version": "4.40.1",
        "attention_dropout": 0.0, "pretraining_tp": 1, "rope_interleaved": False, "is_llama_config": True,
    }  # fmt: skip
    assert LlamaConfig({**SMALL, **published}) == LlamaConfig(SMALL)


# -------------------------------------------------------------------------------------------------------- the weights


def test_fresh_weights_are_normal_with_the_spread_of_the_config():
    torch.manual_seed(0)
    shape = {**SMALL, "tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True}
    for spread in (0.02, 0.3):
        model = LlamaForCausalLM({**shape, "initializer_range": spread})
        for name, weight in model.named_parameters():
            if "norm" in name:
                assert torch.equal(weight, torch.ones_like(weight)), name
            elif name.endswith("bias"):
                assert not weight.any(), name
            else:
                assert abs(weight.mean()) < 5 * spread / weight.numel() ** 0.5, name
                assert abs(weight.std() / spread - 1) < 5 / weight.numel() ** 0.5, name
                assert weight.abs().max() > 2.5 * spread, name  # no uniform or cut-off draw


def test_the_seed_fixes_fresh_weights():
    first, second, other = ((torch.manual_seed(seed), LlamaForCausalLM(SMALL))[1] for seed in (3, 3, 4))
    assert torch.equal(first.lm_head.weight, second.lm_head.weight)
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)


def is_tied(model):
    return model.lm_head.weight is model.model.embed_tokens.weight


@pytest.mark.parametrize(
    "move",
    [
        lambda model: model.to(torch.bfloat16),
        lambda model: model.double(),
        lambda model: model.half(),
        lambda model: model.to("meta").to_empty(device="cpu"),
        copy.deepcopy,
    ],
    ids=["bfloat16", "double", "half", "to_empty", "deepcopy"],
)
def test_tied_embeddings_stay_one_tensor(model, move):
    moved = move(model)
    assert is_tied(model) and is_tied(moved)
    assert len(list(moved.parameters())) == len(list(LlamaForCausalLM(SMALL).parameters()))
    with torch.no_grad():
        moved.lm_head.weight.fill_(3)
    assert (moved.model.embed_tokens.weight == 3).all()


def test_a_copy_is_a_copy_and_an_untied_model_has_two_tables(model):
    assert copy.deepcopy(model).lm_head.weight is not model.lm_head.weight
    untied = LlamaForCausalLM({**SMALL, "tie_word_embeddings": False})
    assert not is_tied(untied) and not torch.equal(untied.lm_head.weight, untied.model.embed_tokens.weight)
    assert not is_tied(untied.double())


def test_a_tied_state_dict_names_the_table_twice_and_loads_either_way(model, ids):
    state = model.state_dict()
    assert state["lm_head.weight"].data_ptr() == state["model.embed_tokens.weight"].data_ptr()
    fresh = LlamaForCausalLM(SMALL).eval()
    assert fresh.load_state_dict(state).missing_keys == []
    assert torch.equal(fresh(ids), model(ids))
    assert not [name for name in state if "inv_freq" in name]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_outputs_take_the_dtype_of_the_weights(model, ids, dtype):
    logits = model.to(dtype)(ids)
    assert logits.dtype == dtype and logits.isfinite().all()


@pytest.mark.parametrize("scaling", [None, {"rope_type": "linear", "factor": 3.0}, LLAMA3])
@pytest.mark.parametrize("move", ["bfloat16", "half", "double", "from meta"])
def test_frequencies_stay_float32_and_right(scaling, move):
    shape = {**SMALL, "rope_scaling": scaling}
    if move == "from meta":
        with torch.device("meta"):
            model = LlamaForCausalLM(shape)
        model.to_empty(device="cpu")
    else:
        model = getattr(LlamaForCausalLM(shape), move)()
    wanted, factor = rotary_frequencies(10, 10000.0, scaling)
    found = [module for module in model.modules() if isinstance(module, LlamaRotaryEmbedding)]
    assert len(found) == 1  # the model's: it turns for all layers
    for rotary in found:
        assert rotary.inv_freq.dtype == torch.float32 and torch.equal(rotary.inv_freq, wanted)
        assert rotary.attention_factor == factor == 1.0


def test_a_model_from_meta_that_is_filled_gives_the_same_logits(model, ids):
    with torch.device("meta"):
        empty = LlamaForCausalLM(SMALL)
    empty.to_empty(device="cpu").load_state_dict(model.state_dict())
    assert torch.equal(empty.eval()(ids), model(ids))


def test_shapes_can_be_known_without_numbers_on_the_meta_device():
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig())
    ids = torch.zeros(2, 5, dtype=torch.long, device="meta")
    mask = torch.ones(2, 5, dtype=torch.bool, device="meta")
    for logits in (model(ids), model(ids, mask), model(ids, cache=make_cache(30))):
        assert logits.is_meta and logits.shape == (2, 5, 49152)
    assert sum(weight.numel() for weight in model.parameters()) == 134_515_008


def test_names_of_the_weights_are_those_of_published_files():
    names = LlamaForCausalLM({**SMALL, "num_hidden_layers": 1, "mlp_bias": True}).state_dict().keys()
    layer = (
        "self_attn.q_proj.weight self_attn.k_proj.weight self_attn.v_proj.weight self_attn.o_proj.weight "
        "mlp.gate_proj.weight mlp.up_proj.weight mlp.down_proj.weight mlp.gate_proj.bias mlp.up_proj.bias "
        "mlp.down_proj.bias input_layernorm.weight post_attention_layernorm.weight"
    )
    assert names == {
        "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight",
        *(f"model.layers.0.{name}" for name in layer.split()),
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- the seams


@pytest.mark.parametrize(
    "function, wanted",
    [
        (LlamaRMSNorm, "hidden_size, eps=1e-05"),
        (LlamaRMSNorm.forward, "self, x"),
        (LlamaRotaryEmbedding, "dim, theta=10000.0, scaling=None"),
        (LlamaRotaryEmbedding.forward, "self, x, positions=None"),
        (LlamaRotaryEmbedding.angles, "self, positions"),
        (rotary_frequencies, "dim, theta=10000.0, scaling=None"),
        (LlamaMLP, "config"),
        (LlamaMLP.forward, "self, x"),
        (LlamaAttention, "config"),
        (LlamaAttention.forward, "self, x, rotation=None, mask=None, cache=None"),
        (LlamaDecoderLayer, "config"),
        (LlamaDecoderLayer.forward, "self, x, rotation=None, mask=None, cache=None"),
        (LlamaModel, "config"),
        (LlamaModel.forward, "self, input_ids, attention_mask=None, positions=None, cache=None"),
        (LlamaForCausalLM, "config"),
        (LlamaForCausalLM.forward, "self, input_ids, attention_mask=None, positions=None, cache=None"),
        (attend, "q, k, v, mask=None"),
        (attend_by_hand, "q, k, v, mask=None"),
        (KVCache.update, "self, k, v"),
    ],
)
def test_signatures_are_the_agreed_ones(function, wanted):
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        assert parameter.kind == parameter.POSITIONAL_OR_KEYWORD
        found.append(name + default)
    assert ", ".join(found) == wanted


def test_generate_begins_with_the_ids_and_is_greedy_unless_asked():
    parameters = inspect.signature(LlamaForCausalLM.generate).parameters
    assert list(parameters)[:4] == ["model", "input_ids", "max_new_tokens", "temperature"]
    assert parameters["temperature"].default == 0


def test_positions_count_on_from_the_past():
    positions, mask = positions_and_mask(None, past=5, seq=3)
    assert positions.tolist() == [5, 6, 7] and mask is None


def test_positions_of_a_padded_text_count_its_real_tokens_only():
    attention_mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]])
    whole = (attention_mask.cumsum(dim=-1) - 1).clamp(min=0)
    assert whole.tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 3, 4], [0, 0, 0, 0, 0]]
    for past in range(5):
        positions, mask = positions_and_mask(attention_mask, past, 5 - past)
        assert torch.equal(positions, whole[:, past:])
        assert mask.shape == (3, 1, 5 - past, 5) and mask.dtype == torch.bool


def test_the_mask_of_a_padded_text_hides_padding_and_what_is_later_and_never_oneself():
    attention_mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]]).bool()
    _, mask = positions_and_mask(attention_mask, 1, 3)
    for row in range(2):
        for query in range(3):
            for key in range(4):
                itself, earlier = key == query + 1, key <= query + 1
                wanted = itself or (earlier and attention_mask[row, key].item())
                assert mask[row, 0, query, key].item() == wanted


@pytest.mark.parametrize("positions", [torch.arange(7, 18), torch.arange(33).view(3, 11), torch.arange(11)[None] * 3])
def test_given_positions_replace_counted_ones(model, ids, positions):
    rotary = model.model.rotary_emb
    seen = []
    for layer in model.model.layers:
        layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    model(ids, positions=positions)
    for rotation in seen:
        assert torch.equal(rotation[0], rotary.angles(positions)[0])
        assert torch.equal(rotation[1], rotary.angles(positions)[1])
    assert len(seen) == 2


def test_moving_all_positions_together_changes_no_logit(model, ids):
    model.double()
    shifted = model(ids, positions=torch.arange(23, 34))
    torch.testing.assert_close(shifted, model(ids), rtol=0, atol=1e-4)
    spread = model(ids, positions=torch.arange(11) * 3)
    assert not torch.allclose(spread, model(ids), rtol=0, atol=1e-4)


@pytest.mark.parametrize("positions", [torch.arange(5), torch.arange(10).view(2, 5), torch.arange(5).int()])
def test_a_rotation_is_cos_and_sin_in_float32_one_number_a_pair(positions):
    for dtype in (torch.bfloat16, torch.float64):
        cos, sin = LlamaRotaryEmbedding(14).to(dtype).angles(positions)
        assert cos.dtype == sin.dtype == torch.float32
        assert cos.shape == sin.shape == (*positions.shape, 7)
        torch.testing.assert_close(cos**2 + sin**2, torch.ones_like(cos))


def test_attention_alone_counts_from_zero_or_from_its_cache():
    attention, x = LlamaAttention(SMALL).double(), torch.randn(2, 7, 42, dtype=torch.float64)
    whole = attention(x)
    given = attention(x, attention.rotary_emb.angles(torch.arange(7)))
    torch.testing.assert_close(given, whole, rtol=0, atol=0)
    cache = KVCache()
    parts = [attention(part, cache=cache) for part in x.split([3, 1, 3], dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-12)


def test_a_layer_hands_rotation_mask_and_cache_to_its_attention():
    layer, x = LlamaDecoderLayer(SMALL).double(), torch.randn(2, 5, 42, dtype=torch.float64)
    rotation = layer.self_attn.rotary_emb.angles(torch.arange(5) * 7)
    mask, cache = torch.eye(5, dtype=torch.bool), KVCache()
    added = layer.self_attn(layer.input_layernorm(x), rotation, mask)
    wanted = x + added + layer.mlp(layer.post_attention_layernorm(x + added))
    assert torch.equal(layer(x, rotation, mask, cache), wanted)
    assert len(cache) == 5


def test_a_true_mask_lets_look_and_replaces_causality():
    attention, x = LlamaAttention(SMALL).double(), torch.randn(2, 5, 42, dtype=torch.float64)
    everything, nothing_else = torch.ones(5, 5, dtype=torch.bool), torch.eye(5, dtype=torch.bool)
    causal = everything.tril()
    torch.testing.assert_close(attention(x, mask=causal), attention(x), rtol=0, atol=1e-12)
    later = x.clone()
    later[:, 4] += 1
    assert not torch.allclose(attention(later, mask=everything)[:, 0], attention(x, mask=everything)[:, 0])
    alone = attention(x, mask=nothing_else)
    v = torch.nn.functional.linear(x, attention.v_proj.weight).unflatten(-1, (3, 10)).repeat_interleave(2, dim=2)
    torch.testing.assert_close(alone, attention.o_proj(v.flatten(2)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 5), (1, 5), (2, 1, 5, 5), (1, 6, 5, 5), (2, 6, 1, 5), (6, 1, 5)])
def test_a_mask_broadcasts_to_batch_head_query_key(shape):
    torch.manual_seed(0)
    attention, x = LlamaAttention(SMALL).double(), torch.randn(2, 5, 42, dtype=torch.float64)
    mask = torch.rand(shape) < 0.6
    mask[..., 2] = True  # no query is left without a key
    full = mask.expand(2, 6, 5, 5)
    torch.testing.assert_close(attention(x, mask=mask), attention(x, mask=full), rtol=0, atol=1e-12)
    assert not torch.allclose(attention(x, mask=mask), attention(x))


def test_a_cache_returns_all_keys_and_values_and_its_length_is_the_position():
    cache, kept_k, kept_v = KVCache(), [], []
    assert len(cache) == 0
    for new in (3, 1, 1, 5, 2):
        k, v = torch.randn(2, 3, new, 7), torch.randn(2, 3, new, 7)
        kept_k.append(k), kept_v.append(v)
        all_k, all_v = cache.update(k, v)
        assert torch.equal(all_k, torch.cat(kept_k, dim=2)) and torch.equal(all_v, torch.cat(kept_v, dim=2))
        assert len(cache) == all_k.shape[2]


def test_a_cache_with_a_length_refuses_what_is_past_it_and_stays_whole():
    cache = KVCache(max_length=5)
    k = torch.randn(2, 3, 4, 7)
    cache.update(k, k)
    with pytest.raises(ValueError, match="5"):
        cache.update(k, k)
    assert len(cache) == 4
    assert cache.update(k[:, :, :1], k[:, :, :1])[0].shape[2] == len(cache) == 5


def test_the_model_takes_the_list_of_caches_and_anything_with_their_two_words(model, ids):
    class Plain:
        """The least that a cache must be."""

        def __init__(self):
            self.k = self.v = torch.empty(3, 3, 0, 10)

        def __len__(self):
            return self.k.shape[2]

        def update(self, k, v):
            self.k, self.v = torch.cat([self.k, k], dim=2), torch.cat([self.v, v], dim=2)
            return self.k, self.v

    ours, plain = make_cache(2), [Plain(), Plain()]
    for chunk in ids.split([4, 1, 6], dim=1):
        torch.testing.assert_close(model(chunk, cache=ours), model(chunk, cache=plain), rtol=0, atol=1e-6)
    assert [len(cache) for cache in ours] == [len(cache) for cache in plain] == [11, 11]


def test_asking_leaves_the_arguments_as_they_were(model, ids):
    mask, positions = torch.ones(3, 11, dtype=torch.long), torch.arange(11)
    kept = ids.clone(), mask.clone(), positions.clone()
    model(ids, mask, positions), model.generate(ids, max_new_tokens=2, attention_mask=mask)
    assert all(torch.equal(now, then) for now, then in zip((ids, mask, positions), kept))


HEADS = {"MHA": (5, 5), "GQA": (6, 3), "MQA": (7, 1)}
VIEWS = {"all": (7, 7), "one query": (1, 7), "three of seven": (3, 7), "one key": (1, 1)}


@pytest.mark.parametrize("masked", [None, "(query, key)", "(batch, 1, query, key)", "(batch, head, query, key)"])
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", HEADS)
def test_the_fused_attention_equals_the_one_by_hand_and_a_plain_loop(kind, view, masked):
    torch.manual_seed(0)
    (heads, kv_heads), (queries, keys), batch, dim = HEADS[kind], VIEWS[view], 2, 11
    q = torch.randn(batch, heads, queries, dim, dtype=torch.float64)
    k, v = torch.randn(2, batch, kv_heads, keys, dim, dtype=torch.float64)
    shapes = {"(query, key)": (), "(batch, 1, query, key)": (batch, 1), "(batch, head, query, key)": (batch, heads)}
    mask = None
    if masked:
        mask = torch.rand(*shapes[masked], queries, keys) < 0.5
        mask[..., keys // 2] = True
    fused, by_hand = attend(q, k, v, mask), attend_by_hand(q, k, v, mask)
    assert fused.shape == by_hand.shape == q.shape
    torch.testing.assert_close(fused, by_hand, rtol=0, atol=1e-12)
    for b in range(batch):
        for head in range(heads):
            kv = head // (heads // kv_heads)  # neighbouring heads share
            for query in range(queries):
                causal = torch.arange(keys) <= keys - queries + query
                look = causal if mask is None else mask.expand(batch, heads, queries, keys)[b, head, query]
                scores = (k[b, kv] @ q[b, head, query]) / dim**0.5
                weights = scores.exp() * look
                wanted = (weights / weights.sum()) @ v[b, kv]
                torch.testing.assert_close(by_hand[b, head, query], wanted, rtol=0, atol=1e-12)


def test_softmax_by_hand_is_float32_at_least():
    q, k, v = torch.randn(3, 2, 3, 5, 10).bfloat16()
    close = attend_by_hand(q, k, v)
    assert close.dtype == torch.bfloat16
    torch.testing.assert_close(close.float(), attend_by_hand(q.float(), k.float(), v.float()), rtol=0.05, atol=0.02)
