"""Bad input: every public door answers a mistake with its rule, the value it got and, where there is one, the cure.

A mistake must be refused by a line of this package, never by a traceback from inside torch.
"""

import json
import math
import traceback
from functools import cache
from pathlib import Path

import numpy
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
    Tokenizer,
)
from llama_tutorial.causal_lm import next_token_loss
from llama_tutorial.generation import load_directory, stream, stream_text
from llama_tutorial.kv_cache import make_cache
from llama_tutorial.rotary import rotary_frequencies
from llama_tutorial.runs.checkpoints import load_checkpoint, save_checkpoint
from llama_tutorial.runs.directory import train_directory, write_directory
from llama_tutorial.runs.steps import steps_within
from llama_tutorial.runs.texts import Text, text_of_files
from llama_tutorial.sampling import sample
from llama_tutorial.training import Recipe, Trainer, bits_per_byte

PACKAGE = Path(llama_tutorial.__file__).parent
SMALL = {
    "vocab_size": 61,
    "hidden_size": 42,
    "intermediate_size": 37,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 10,
}
NAN, INF = math.nan, math.inf


def refused(call, *words):
    """The mistake is refused by a line of ours, with a kind of error that fits and the words that explain it."""
    with pytest.raises((ValueError, TypeError, IndexError, KeyError, FileNotFoundError)) as caught:
        call()
    said = str(caught.value)
    where = Path(traceback.extract_tb(caught.tb)[-1].filename).parent
    assert where in [PACKAGE / name for name in ("", "doors", "published", "runs")], f"refused from outside: {said}"
    assert [word for word in words if word not in said] == [], said
    assert caught.value.__cause__ is None and (caught.value.__context__ is None or caught.value.__suppress_context__)


def cases(*rows):
    """Parameters (call, words) from rows of name, call, words that the message holds, and perhaps a mark."""
    parameters = []
    for name, call, *words in rows:
        marks = [word for word in words if not isinstance(word, str)]
        words = [word for word in words if isinstance(word, str)]
        parameters.append(pytest.param(call, words, id=name, marks=marks))
    return pytest.mark.parametrize("call, words", parameters)


@cache
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(SMALL).eval()


@cache
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["the for statement is used to iterate"], 257)


def ids(batch=2, seq=5):
    return torch.arange(batch * seq).view(batch, seq)


def x(*shape, dtype=torch.float32):
    return torch.zeros(shape, dtype=dtype)


# --------------------------------------------------------------------------------------------------------- the config

SIZES = [
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "max_position_embeddings",
]  # fmt: skip


@pytest.mark.parametrize("value", [0, -3, 2.0, NAN, INF, "3", True, [3], torch.tensor(3)], ids=repr)
@pytest.mark.parametrize("name", SIZES)
def test_an_impossible_size_is_refused_by_name(name, value):
    refused(lambda: LlamaConfig({name: value}), name, str(value))


@pytest.mark.parametrize("value", [-1e-5, NAN, INF, -INF, "1e-5", True, [1.0]], ids=repr)
@pytest.mark.parametrize("name", ["rms_norm_eps", "rope_theta", "initializer_range"])
def test_an_impossible_number_is_refused_by_name(name, value):
    refused(lambda: LlamaConfig({name: value}), name, str(value))


@pytest.mark.parametrize("value", [1, 0, "true", [], 1.0], ids=repr)
@pytest.mark.parametrize("name", ["attention_bias", "mlp_bias", "tie_word_embeddings"])
def test_a_switch_is_true_or_false(name, value):
    refused(lambda: LlamaConfig({name: value}), name, "True or False", repr(value))


@cases(
    ("misspelt", lambda: LlamaConfig(hiden_size=3), "hiden_size", "did you mean 'hidden_size'"),
    ("in a dict", lambda: LlamaConfig({"num_attention_head": 3}), "num_attention_head'", "num_attention_heads"),
    ("no name near", lambda: LlamaConfig(zzz=3), "zzz", "vocab_size"),
    ("read", lambda: LlamaConfig()["hidden"], "hidden", "did you mean"),
    ("a key that is no text", lambda: LlamaConfig({3: 4}), "3"),
    ("read by number", lambda: LlamaConfig()[0], "0"),
)
def test_an_unknown_field_is_named_with_the_nearest_known_one(call, words):
    refused(call, *words)


@cases(
    ("theta of zero", lambda: LlamaConfig(rope_theta=0), "rope_theta", "0"),
    ("heads that do not divide the width", lambda: LlamaConfig(hidden_size=10, num_attention_heads=3), "10", "3"),
    ("key-value heads", lambda: LlamaConfig(num_attention_heads=9, num_key_value_heads=2), "multiple", "9", "2"),
    ("more key-value heads than heads", lambda: LlamaConfig({**SMALL, "num_key_value_heads": 12}), "6", "12"),
    ("odd head", lambda: LlamaConfig(head_dim=5), "head_dim", "even", "5"),
    ("odd head by division", lambda: LlamaConfig(hidden_size=15, num_attention_heads=3), "even", "5"),
    ("a list", lambda: LlamaConfig([1, 2]), "dict", "list"),
    ("a path", lambda: LlamaConfig("config.json"), "dict", "str"),
    ("another architecture", lambda: LlamaConfig(model_type="mistral"), "model_type", "'llama'", "'mistral'"),
    ("another activation", lambda: LlamaConfig(hidden_act="gelu"), "hidden_act", "'silu'", "'gelu'"),
    ("scaling of text", lambda: LlamaConfig(rope_scaling="linear"), "rope_scaling", "str"),
    ("scaling of a number", lambda: LlamaConfig(rope_scaling=2.0), "rope_scaling", "float"),
)
def test_sizes_that_do_not_fit_together_are_refused(call, words):
    refused(call, *words)


@pytest.mark.parametrize("kind", [LlamaAttention, LlamaMLP, LlamaDecoderLayer, LlamaModel, LlamaForCausalLM])
@pytest.mark.parametrize("config", [{"hidden": 3}, [("hidden_size", 3)], 576, "config.json"], ids=repr)
def test_every_part_refuses_what_is_no_config(kind, config):
    refused(lambda: kind(config), "hidden_size" if isinstance(config, dict) else type(config).__name__)


LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3["original_max_position_embeddings"] = 64


@cases(
    ("odd", lambda: LlamaRotaryEmbedding(7), "even", "7"),
    ("zero", lambda: LlamaRotaryEmbedding(0), "0"),
    ("negative", lambda: LlamaRotaryEmbedding(-2), "-2"),
    ("a fraction", lambda: LlamaRotaryEmbedding(8.0), "dim", "8.0"),
    ("text", lambda: LlamaRotaryEmbedding("8"), "dim", "'8'"),
    ("nothing", lambda: LlamaRotaryEmbedding(None), "dim", "None"),
    ("a config", lambda: LlamaRotaryEmbedding(LlamaConfig()), "dim"),
    ("theta of zero", lambda: LlamaRotaryEmbedding(8, 0.0), "theta", "0"),
    ("negative theta", lambda: LlamaRotaryEmbedding(8, -1.0), "theta", "-1"),
    ("theta that is no number", lambda: LlamaRotaryEmbedding(8, NAN), "theta", "nan"),
    ("infinite theta", lambda: LlamaRotaryEmbedding(8, INF), "theta", "inf"),
    ("theta of text", lambda: LlamaRotaryEmbedding(8, "10000"), "theta", "'10000'"),
    ("no theta", lambda: LlamaRotaryEmbedding(8, None), "theta", "None"),
    ("unknown kind", lambda: rotary_frequencies(8, scaling={"rope_type": "longrope"}), "longrope", "llama3"),
    ("dynamic without a factor", lambda: rotary_frequencies(8, scaling={"rope_type": "dynamic"}), "dynamic", "factor"),
    ("yarn waits", lambda: rotary_frequencies(8, scaling={"rope_type": "yarn", "factor": 4.0}), "yarn"),
    ("kind that is no text", lambda: rotary_frequencies(8, scaling={"rope_type": ["linear"]}), "linear"),
    ("scaling of text", lambda: rotary_frequencies(8, scaling="linear"), "scaling", "linear"),
    ("scaling of a number", lambda: rotary_frequencies(8, scaling=2.0), "scaling", "2.0"),
    ("no factor", lambda: rotary_frequencies(8, scaling={"rope_type": "linear"}), "factor"),
    ("in a config", lambda: LlamaAttention({**SMALL, "rope_scaling": {"rope_type": "yarm"}}), "yarm", "linear"),
    ("factor without kind", lambda: rotary_frequencies(8, scaling={"factor": 2.0}), "rope_type", "linear"),
    ("factor of text", lambda: rotary_frequencies(8, scaling={"rope_type": "linear", "factor": "2"}), "factor", "2"),
    ("factor True", lambda: rotary_frequencies(8, scaling={"rope_type": "linear", "factor": True}), "factor", "True"),
    ("factor zero", lambda: rotary_frequencies(8, scaling={"rope_type": "linear", "factor": 0}), "(0, ∞)", "0"),
    ("factor negative", lambda: rotary_frequencies(8, scaling={"type": "linear", "factor": -2.0}), "(0, ∞)", "-2"),
    ("factor nan", lambda: rotary_frequencies(8, scaling={"type": "linear", "factor": NAN}), "(0, ∞)", "nan"),
    ("factor infinite", lambda: rotary_frequencies(8, scaling={"type": "linear", "factor": INF}), "inf"),
    *(
        (f"llama3 without {name}", lambda name=name: rotary_frequencies(8, scaling={**LLAMA3, name: None}), name)
        for name in list(LLAMA3)[1:]
    ),
    (
        "low not below high",
        lambda: rotary_frequencies(8, scaling={**LLAMA3, "low_freq_factor": 4.0}),
        "low_freq_factor",
    ),
)
def test_impossible_rotary_settings_are_refused(call, words):
    refused(call, *words)


@cases(
    ("zero", lambda: LlamaRMSNorm(0), "hidden_size", "0"),
    ("negative", lambda: LlamaRMSNorm(-3), "hidden_size", "-3"),
    ("a fraction", lambda: LlamaRMSNorm(3.0), "hidden_size", "3.0"),
    ("text", lambda: LlamaRMSNorm("3"), "hidden_size", "'3'"),
    ("a config", lambda: LlamaRMSNorm(LlamaConfig()), "hidden_size"),
    ("negative eps", lambda: LlamaRMSNorm(3, -1e-5), "eps", "-1e-05"),
    ("eps that is no number", lambda: LlamaRMSNorm(3, NAN), "eps", "nan"),
    ("eps of text", lambda: LlamaRMSNorm(3, "1e-5"), "eps", "1e-5"),
)
def test_impossible_norm_settings_are_refused(call, words):
    refused(call, *words)


# -------------------------------------------------------------------------------------------------- vectors and masks

READERS = {
    "LlamaRMSNorm": lambda: LlamaRMSNorm(42),
    "LlamaMLP": lambda: LlamaMLP(SMALL),
    "LlamaAttention": lambda: LlamaAttention(SMALL),
    "LlamaDecoderLayer": lambda: LlamaDecoderLayer(SMALL),
    "LlamaRotaryEmbedding": lambda: LlamaRotaryEmbedding(42),
}
NO_VECTORS = {
    "another width": (lambda: x(2, 5, 41), "42", "(2, 5, 41)"),
    "an empty text": (lambda: x(2, 0, 42), "(2, 0, 42)"),
    "an empty batch": (lambda: x(0, 5, 42), "(0, 5, 42)"),
    "a number": (lambda: torch.tensor(3.0), "42", "()"),
    "integers": (lambda: x(2, 5, 42, dtype=torch.long), "float", "int64"),
    "bool": (lambda: x(2, 5, 42, dtype=torch.bool), "float", "bool"),
    "complex": (lambda: x(2, 5, 42, dtype=torch.complex64), "float", "complex64"),
    "numpy": (lambda: numpy.zeros((2, 5, 42)), "tensor"),
    "a list": (lambda: [[[0.0] * 42]], "tensor", "list"),
    "nothing": (lambda: None, "tensor", "NoneType"),
    "text": (lambda: "abc", "tensor", "str"),
    "a module": (lambda: torch.nn.Linear(2, 2), "tensor", "Linear"),
}


@pytest.mark.parametrize("given", NO_VECTORS)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_tensor_of_vectors_of_the_width_is_refused(reader, given):
    make, *words = NO_VECTORS[given]
    name = "LlamaRMSNorm" if reader == "LlamaDecoderLayer" else reader  # a layer's first reader is its norm
    refused(lambda: READERS[reader]()(make()), name, *words)


@pytest.mark.parametrize("reader", ["LlamaMLP", "LlamaAttention", "LlamaDecoderLayer"])
def test_another_dtype_than_that_of_the_weights_is_refused(reader):
    refused(lambda: READERS[reader]()(x(2, 5, 42, dtype=torch.float64)), "float64", "float32", ".to(dtype)")
    if reader != "LlamaDecoderLayer":  # a layer's norm goes up to the dtype of its gain
        refused(lambda: READERS[reader]()(x(2, 5, 42, dtype=torch.bfloat16)), "bfloat16", "float32", ".to(dtype)")


def test_mixed_precision_is_no_mistake():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model()(ids()).isfinite().all()
        assert LlamaMLP(SMALL)(x(2, 5, 42, dtype=torch.bfloat16)).dtype == torch.bfloat16


@cases(
    ("attention, two axes", lambda: LlamaAttention(SMALL)(x(5, 42)), "batch, seq, 42", "(5, 42)"),
    ("attention, four axes", lambda: LlamaAttention(SMALL)(x(2, 3, 5, 42)), "batch, seq, 42", "(2, 3, 5, 42)"),
    ("layer, two axes", lambda: LlamaDecoderLayer(SMALL)(x(5, 42)), "batch, seq, 42", "(5, 42)"),
    ("rotary, one axis", lambda: LlamaRotaryEmbedding(6)(x(6)), "seq", "(6,)"),
)
def test_a_wrong_number_of_axes_is_refused(call, words):
    refused(call, *words)


def turn(positions, shape=(2, 5, 6)):
    return lambda: LlamaRotaryEmbedding(6)(x(*shape), positions)


@cases(
    ("too short", turn(torch.arange(4)), "(2, 5)", "(4,)"),
    ("too long", turn(torch.arange(6)), "(6,)"),
    ("another batch", turn(torch.zeros(3, 5)), "(3, 5)"),
    ("three axes", turn(torch.zeros(2, 1, 5)), "(2, 1, 5)"),
    ("one number", turn(torch.tensor(3)), "()"),
    ("a list", turn([0, 1, 2, 3, 4]), "positions", "list"),
    ("a whole number", turn(3), "positions", "int"),
    ("numpy", turn(numpy.arange(5)), "positions", "ndarray"),
    ("bool", turn(torch.ones(5, dtype=torch.bool)), "positions", "bool"),
    ("complex", turn(torch.ones(5, dtype=torch.complex64)), "positions", "complex"),
    ("angles of a list", lambda: LlamaRotaryEmbedding(6).angles([1, 2]), "positions", "list"),
    ("angles of one number", lambda: LlamaRotaryEmbedding(6).angles(torch.tensor(3)), "positions", "()"),
)
def test_positions_that_do_not_fit_are_refused_by_rotary(call, words):
    refused(call, *words)


MASKS = {
    "floats": (torch.zeros(5, 5), "bool", "float32"),
    "integers": (torch.ones(5, 5, dtype=torch.long), "bool", "int64"),
    "too wide": (torch.ones(5, 6, dtype=torch.bool), "(2, 6, 5, 5)", "(5, 6)"),
    "too short": (torch.ones(4, 5, dtype=torch.bool), "(2, 6, 5, 5)", "(4, 5)"),
    "another batch": (torch.ones(3, 1, 5, 5, dtype=torch.bool), "(2, 6, 5, 5)", "(3, 1, 5, 5)"),
    "another number of heads": (torch.ones(3, 5, 5, dtype=torch.bool), "(2, 6, 5, 5)", "(3, 5, 5)"),
    "five axes": (torch.ones(1, 2, 6, 5, 5, dtype=torch.bool), "(2, 6, 5, 5)", "(1, 2, 6, 5, 5)"),
    "a list": ([[True] * 5] * 5, "mask", "list"),
    "numpy": (numpy.ones((5, 5), dtype=bool), "mask", "ndarray"),
    "True": (True, "mask", "bool"),
    "text": ("causal", "mask", "str"),
}


@pytest.mark.parametrize("given", MASKS)
@pytest.mark.parametrize("reader", ["LlamaAttention", "LlamaDecoderLayer"])
def test_a_mask_that_does_not_fit_is_refused(reader, given):
    mask, *words = MASKS[given]
    refused(lambda: READERS[reader]()(x(2, 5, 42), mask=mask), "mask", *words)


def test_a_mask_of_the_queries_alone_is_refused_beside_a_cache():
    attention, cache = LlamaAttention(SMALL), KVCache()
    attention(x(2, 3, 42), cache=cache)
    refused(lambda: attention(x(2, 5, 42), mask=torch.ones(5, 5, dtype=torch.bool), cache=cache), "(2, 6, 5, 8)")


@cases(
    ("too short", lambda: (x(4, 5), x(4, 5)), "rotation", "(4, 5)"),
    ("another width", lambda: (x(5, 21), x(5, 21)), "rotation", "(5, 21)"),
    ("another batch", lambda: (x(3, 5, 5), x(3, 5, 5)), "rotation", "(3, 5, 5)"),
    ("positions", lambda: torch.arange(5), "rotation"),
    ("cos alone", lambda: (x(5, 5),), "rotation"),
    ("three parts", lambda: (x(5, 5),) * 3, "rotation"),
    ("text", lambda: "rotate", "rotation"),
    ("lists", lambda: ([0.0] * 5, [0.0] * 5), "rotation"),
)
def test_a_rotation_that_does_not_fit_is_refused(call, words):
    refused(lambda: LlamaAttention(SMALL)(x(2, 5, 42), rotation=call()), *words)


# ---------------------------------------------------------------------------------------------------------------- ids

NO_IDS = {
    "floats": (lambda: x(2, 5), "integers", "float32"),
    "bool": (lambda: x(2, 5, dtype=torch.bool), "integers", "bool"),
    "complex": (lambda: x(2, 5, dtype=torch.complex64), "integers", "complex64"),
    "a list": (lambda: [[1, 2]], "tensor", "list"),
    "numpy": (lambda: numpy.zeros((2, 5), dtype=int), "tensor", "ndarray"),
    "text": (lambda: "the for statement", "tensor", "str"),
    "nothing": (lambda: None, "tensor", "NoneType"),
    "one axis": (lambda: torch.arange(5), "(batch, seq)", "(5,)"),
    "three axes": (lambda: ids()[None], "(batch, seq)", "(1, 2, 5)"),
    "a number": (lambda: torch.tensor(3), "(batch, seq)", "()"),
    "an empty text": (lambda: ids(2, 0), "no empty axis", "(2, 0)"),
    "an empty batch": (lambda: ids(0, 5), "(0, 5)"),
    "negative": (lambda: ids() - 3, "0 … 60", "-3"),
    "one past the vocabulary": (lambda: ids() + 52, "0 … 60", "61"),
    "far past it": (lambda: ids() * 10_000, "0 … 60", "90000"),
}


@pytest.mark.parametrize("given", NO_IDS)
@pytest.mark.parametrize("door", ["LlamaModel", "LlamaForCausalLM", "generate", "stream"])
def test_what_are_no_ids_is_refused_with_the_id_and_the_vocabulary(door, given):
    make, *words = NO_IDS[given]
    doors = {
        "LlamaModel": lambda: model().model(make()),
        "LlamaForCausalLM": lambda: model()(make()),
        "generate": lambda: model().generate(make(), max_new_tokens=2),
        "stream": lambda: next(stream(model(), make())),
    }
    refused(doors[door], "input_ids", *words)


@pytest.mark.parametrize("new", [0, 1])
@pytest.mark.parametrize("given", ["floats", "a list", "one axis", "an empty text", "negative"])
def test_generate_refuses_what_are_no_ids_however_little_it_writes(given, new):
    make, *words = NO_IDS[given]
    refused(lambda: model().generate(make(), max_new_tokens=new), "input_ids", *words)


def with_mask(mask, past=0):
    def call():
        caches = make_cache(2)
        if past:
            model()(ids(2, past), cache=caches)
        return model()(ids(), mask, cache=caches if past else None)

    return call


@cases(
    ("floats", with_mask(torch.ones(2, 5)), "attention_mask", "float32"),
    ("a list", with_mask([[1] * 5] * 2), "attention_mask", "list"),
    ("numpy", with_mask(numpy.ones((2, 5), dtype=int)), "attention_mask"),
    ("too short", with_mask(torch.ones(2, 4).long()), "(2, 5)", "(2, 4)"),
    ("another batch", with_mask(torch.ones(3, 5).long()), "(2, 5)", "(3, 5)"),
    ("one row", with_mask(torch.ones(5).long()), "(2, 5)", "(5,)"),
    ("already four axes", with_mask(torch.ones(2, 1, 5, 5).bool()), "(2, 5)", "(2, 1, 5, 5)"),
    ("the new tokens alone", with_mask(torch.ones(2, 5).long(), past=3), "(batch, past + seq)", "(2, 8)", "(2, 5)"),
    ("text", with_mask("causal"), "attention_mask", "str"),
    ("True", with_mask(True), "attention_mask", "bool"),
)
def test_an_attention_mask_that_does_not_fit_is_refused(call, words):
    refused(call, *words)


def at(positions):
    return lambda: model()(ids(), positions=positions)


@cases(
    ("floats", at(torch.arange(5.0)), "positions", "float32"),
    ("bool", at(torch.ones(5).bool()), "positions", "bool"),
    ("a list", at([0, 1, 2, 3, 4]), "positions", "list"),
    ("a number", at(7), "positions", "int"),
    ("numpy", at(numpy.arange(5)), "positions", "ndarray"),
    ("too short", at(torch.arange(4)), "(5,)", "(4,)"),
    ("too long", at(torch.arange(9)), "(5,)", "(9,)"),
    ("another batch", at(torch.arange(15).view(3, 5)), "(2, 5)", "(3, 5)"),
    ("three axes", at(torch.arange(10).view(2, 1, 5)), "(2, 1, 5)"),
    ("negative", at(torch.arange(5) - 2), "positions", "-2"),
)
def test_positions_that_do_not_fit_are_refused(call, words):
    refused(call, *words)


# ---------------------------------------------------------------------------------------------------------- the cache


def filled(batch=2, seq=4, max_length=None):
    caches = make_cache(2, max_length)
    model()(ids(batch, seq), cache=caches)
    return caches


@cases(
    ("past its length", lambda: model()(ids(), cache=filled(max_length=7)), "7", "5", "4"),
    ("too short for the first text", lambda: model()(ids(), cache=make_cache(2, 3)), "3", "5"),
    ("another batch", lambda: model()(ids(1), cache=filled()), "cache", "(2, 3, new, 10)", "(1, 3, 5, 10)"),
    ("too few", lambda: model()(ids(), cache=make_cache(1)), "one cache per layer", "2", "make_cache"),
    ("too many", lambda: model()(ids(), cache=make_cache(3)), "one cache per layer", "2", "make_cache"),
    ("none", lambda: model()(ids(), cache=[]), "one cache per layer", "2", "make_cache"),
    ("one for all", lambda: model()(ids(), cache=KVCache()), "one cache per layer", "make_cache"),
    ("True", lambda: model()(ids(), cache=True), "one cache per layer", "make_cache"),
    ("names", lambda: model()(ids(), cache=["a", "b"]), "one cache per layer"),
    ("nothing in a list", lambda: model()(ids(), cache=[None, None]), "one cache per layer"),
    ("of different lengths", lambda: model()(ids(), cache=[filled()[0], KVCache()]), "cache", "4", "0"),
    ("the same twice", lambda: model()(ids(), cache=[KVCache()] * 2), "one cache per layer", "make_cache"),
    ("attention, a list", lambda: LlamaAttention(SMALL)(x(2, 5, 42), cache=make_cache(1)), "cache", "list"),
    ("attention, True", lambda: LlamaAttention(SMALL)(x(2, 5, 42), cache=True), "cache", "bool"),
    (
        "attention, another model's",
        lambda: LlamaAttention({**SMALL, "head_dim": 8})(x(2, 5, 42), cache=filled()[0]),
        "8",
    ),
)
def test_a_cache_that_does_not_fit_is_refused(call, words):
    refused(call, *words)


def test_a_refused_text_leaves_the_caches_as_they_were():
    for bad in (ids(3, 2), ids(2, 5)):
        caches = filled(max_length=7)
        refused(lambda bad=bad, caches=caches: model()(bad, cache=caches))
        assert [len(cache) for cache in caches] == [4, 4]


def update(k, v, then=None):
    def call():
        cache = KVCache()
        cache.update(k, v)
        if then:
            cache.update(*then)

    return call


@cases(
    ("length zero", lambda: KVCache(0), "max_length", "0"),
    ("length negative", lambda: KVCache(-1), "max_length", "-1"),
    ("length of a fraction", lambda: KVCache(3.0), "max_length", "3.0"),
    ("length True", lambda: KVCache(True), "max_length", "True"),
    ("length of text", lambda: KVCache("3"), "max_length", "'3'"),
    ("layers negative", lambda: make_cache(-1), "layers", "-1"),
    ("layers of a fraction", lambda: make_cache(2.0), "layers", "2.0"),
    ("layers of a model", lambda: make_cache(model()), "layers"),
    ("three axes", update(x(3, 4, 7), x(3, 4, 7)), "(3, 4, 7)"),
    ("keys and values of different lengths", update(x(2, 3, 4, 7), x(2, 3, 5, 7)), "(2, 3, 4, 7)", "(2, 3, 5, 7)"),
    ("lists", update([1.0], [1.0]), "list"),
    ("other heads", update(x(2, 3, 4, 7), x(2, 3, 4, 7), (x(2, 1, 4, 7), x(2, 1, 4, 7))), "3", "1"),
    ("another width", update(x(2, 3, 4, 7), x(2, 3, 4, 7), (x(2, 3, 4, 5), x(2, 3, 4, 5))), "7", "5"),
    ("another batch", update(x(2, 3, 4, 7), x(2, 3, 4, 7), (x(1, 3, 4, 7), x(1, 3, 4, 7))), "2", "1"),
)
def test_impossible_caches_and_keys_are_refused(call, words):
    refused(call, *words)


# ----------------------------------------------------------------------------------------------------------- the loss


@cases(
    ("one token", lambda: next_token_loss(x(2, 1, 61), ids(2, 1)), "seq ≥ 2", "(2, 1)"),
    ("other lengths", lambda: next_token_loss(x(2, 4, 61), ids()), "(2, 4, 61)", "(2, 5)"),
    ("other batches", lambda: next_token_loss(x(3, 5, 61), ids()), "(3, 5, 61)", "(2, 5)"),
    ("one axis", lambda: next_token_loss(x(5, 61), torch.arange(5)), "(batch, seq, vocab)", "(5, 61)"),
    ("no vocabulary", lambda: next_token_loss(x(2, 5), ids()), "(batch, seq, vocab)", "(2, 5)"),
    ("ids of floats", lambda: next_token_loss(x(2, 5, 61), x(2, 5)), "integers", "float32"),
    ("logits of integers", lambda: next_token_loss(x(2, 5, 61, dtype=torch.long), ids()), "float", "int64"),
    ("an id past the vocabulary", lambda: next_token_loss(x(2, 5, 7), ids()), "0 … 6", "9"),
    ("a negative id", lambda: next_token_loss(x(2, 5, 61), ids() - 3), "0 … 60", "-3"),
    ("lists", lambda: next_token_loss([[1.0]], [[1]]), "list"),
    ("nothing", lambda: next_token_loss(x(2, 5, 61), None), "NoneType"),
    ("an empty batch", lambda: next_token_loss(x(0, 5, 61), ids(0, 5)), "(0, 5, 61)"),
)
def test_a_loss_without_meaning_is_refused(call, words):
    refused(call, *words)


# --------------------------------------------------------------------------------------------- sampling, generation

HOW = {
    "negative temperature": ({"temperature": -0.5}, "temperature", "-0.5"),
    "temperature that is no number": ({"temperature": NAN}, "temperature", "nan"),
    "infinite temperature": ({"temperature": INF}, "temperature", "inf"),
    "temperature of text": ({"temperature": "hot"}, "temperature", "'hot'"),
    "no temperature": ({"temperature": None}, "temperature", "None"),
    "temperature True": ({"temperature": True}, "temperature", "True"),
    "top_k zero": ({"top_k": 0}, "top_k", "0"),
    "top_k negative": ({"top_k": -1}, "top_k", "-1"),
    "top_k of a fraction": ({"top_k": 3.0}, "top_k", "3.0"),
    "top_k True": ({"top_k": True}, "top_k", "True"),
    "top_k of text": ({"top_k": "3"}, "top_k", "'3'"),
    "top_p zero": ({"top_p": 0.0}, "top_p", "(0, 1]", "0.0"),
    "top_p negative": ({"top_p": -0.1}, "top_p", "(0, 1]", "-0.1"),
    "top_p above one": ({"top_p": 1.1}, "top_p", "(0, 1]", "1.1"),
    "top_p that is no number": ({"top_p": NAN}, "top_p", "(0, 1]", "nan"),
    "top_p of text": ({"top_p": "0.9"}, "top_p", "'0.9'"),
    "top_p True": ({"top_p": True}, "top_p", "True"),
}
MORE = {
    "a negative number of tokens": ({"max_new_tokens": -1}, "max_new_tokens", "-1"),
    "a fraction of tokens": ({"max_new_tokens": 2.0}, "max_new_tokens", "2.0"),
    "tokens of text": ({"max_new_tokens": "2"}, "max_new_tokens", "'2'"),
    "no number of tokens": ({"max_new_tokens": None}, "max_new_tokens", "None"),
    "tokens True": ({"max_new_tokens": True}, "max_new_tokens", "True"),
    "a seed of text": ({"seed": "lucky"}, "seed", "'lucky'"),
    "a seed of a fraction": ({"seed": 1.5}, "seed", "1.5"),
    "a mask that does not fit": ({"attention_mask": torch.ones(2, 4).long()}, "attention_mask", "(2, 4)"),
    "a mask of floats": ({"attention_mask": torch.ones(2, 5)}, "attention_mask", "float32"),
    "a mask in a list": ({"attention_mask": [[1] * 5] * 2}, "attention_mask", "list"),
    "a mask padded on the right": ({"attention_mask": torch.arange(5).expand(2, 5) < 4}, "attention_mask", "left"),
}
ENDS = {
    "an end of text": ({"eos_token_id": "</s>"}, "eos_token_id", "'</s>'"),
    "an end of a fraction": ({"eos_token_id": 2.0}, "eos_token_id", "2.0"),
    "an end past the vocabulary": ({"eos_token_id": 61}, "eos_token_id", "61"),
    "a negative end": ({"eos_token_id": -1}, "eos_token_id", "-1"),
    "ends of text": ({"eos_token_id": ["</s>"]}, "eos_token_id", "'</s>'"),
    "an end True": ({"eos_token_id": True}, "eos_token_id", "True"),
}


@pytest.mark.parametrize("given", HOW)
def test_sampling_refuses_settings_without_meaning(given):
    how, *words = HOW[given]
    refused(lambda: sample(x(2, 7), **how), *words)


@pytest.mark.parametrize("given", [*HOW, *MORE])
@pytest.mark.parametrize("door", ["generate", "stream", "stream_text"])
def test_generation_refuses_settings_without_meaning(door, given):
    how, *words = {**HOW, **MORE}[given]
    doors = {
        "generate": lambda: model().generate(ids(), **{"max_new_tokens": 3, **how}),
        "stream": lambda: next(stream(model(), ids(), **how)),
        "stream_text": lambda: next(stream_text(talker(), tokenizer(), "abcde", **how)),
    }
    if door == "stream_text" and "mask" in given:
        words = words[:1]
    refused(doors[door], *words)


@pytest.mark.parametrize("given", ENDS)
def test_generate_refuses_an_end_without_meaning(given):
    how, *words = ENDS[given]
    refused(lambda: model().generate(ids(), max_new_tokens=3, **how), *words)


@cache
def talker() -> LlamaForCausalLM:
    return LlamaForCausalLM({**SMALL, "vocab_size": 257})


@cases(
    ("one axis", lambda: sample(x(7)), "(batch, vocab)", "(7,)"),
    ("three axes", lambda: sample(x(2, 5, 7)), "(batch, vocab)", "(2, 5, 7)"),
    ("no vocabulary", lambda: sample(x(2, 0)), "(2, 0)"),
    ("integers", lambda: sample(x(2, 7, dtype=torch.long)), "float", "int64"),
    ("a list", lambda: sample([[1.0, 2.0]]), "tensor", "list"),
    ("not numbers", lambda: sample(x(2, 7) * NAN), "nan"),
    ("nothing possible", lambda: sample(x(2, 7) - INF), "-inf"),
)
def test_sampling_refuses_what_are_no_logits(call, words):
    refused(call, *words)


def test_a_top_k_beyond_the_vocabulary_keeps_everything():
    assert sample(x(2, 7), 1.0, top_k=1000).shape == (2,)
    assert model().generate(ids(), max_new_tokens=1, temperature=1.0, top_k=1000, seed=0).shape == (2, 6)


@cases(
    ("bytes", lambda: next(stream_text(talker(), tokenizer(), b"abc")), "str", "bytes"),
    ("nothing", lambda: next(stream_text(talker(), tokenizer(), None)), "str", "NoneType"),
    ("ids", lambda: next(stream_text(talker(), tokenizer(), [1, 2])), "str", "list"),
    ("half a pair", lambda: next(stream_text(talker(), tokenizer(), "a\ud800")), "\\ud800"),
    ("a tokenizer of another model", lambda: next(stream_text(model(), tokenizer(), "abc")), "0 … 60"),
)
def test_what_is_no_prompt_is_refused(call, words):
    refused(call, *words)


# ---------------------------------------------------------------------------------------------------------- tokenizer


@cases(
    ("encode bytes", lambda: tokenizer().encode(b"abc"), "str", "bytes"),
    ("encode nothing", lambda: tokenizer().encode(None), "str", "NoneType"),
    ("encode a list", lambda: tokenizer().encode(["abc"]), "str", "list"),
    ("encode half a pair", lambda: tokenizer().encode("a\ud800b"), "\\ud800"),
    ("decode text", lambda: tokenizer().decode("abc"), "ids", "'abc'"),
    ("decode a number", lambda: tokenizer().decode(3), "ids", "3"),
    ("decode nothing", lambda: tokenizer().decode(None), "ids", "None"),
    ("decode fractions", lambda: tokenizer().decode([1.5]), "ids", "1.5"),
    ("decode a negative id", lambda: tokenizer().decode([-1]), "-1", "[0, 257)"),
    ("decode an unknown id", lambda: tokenizer().decode([257]), "257", "[0, 257)"),
    ("decode a batch", lambda: tokenizer().decode(ids()), "ids", "[0, 1, 2, 3, 4]"),
    ("pieces of an unknown id", lambda: tokenizer().pieces([257]), "257", "[0, 257)"),
    ("pieces of a negative id", lambda: tokenizer().pieces([-1]), "-1", "[0, 257)"),
    ("a vocabulary below the bytes", lambda: Tokenizer.train(["abc"], 256), "257", "256"),
    ("a vocabulary of a fraction", lambda: Tokenizer.train(["abc"], 300.5), "vocab_size", "300.5"),
    ("a vocabulary of text", lambda: Tokenizer.train(["abc"], "300"), "vocab_size", "'300'"),
    ("training on one text", lambda: Tokenizer.train("abc", 300), "texts", "str"),
    ("training on nothing", lambda: Tokenizer.train(None, 300), "texts", "NoneType"),
    ("no file", lambda: Tokenizer.load("/nowhere/tokenizer.json"), "/nowhere/tokenizer.json"),
    ("a directory", lambda: Tokenizer.load(PACKAGE), str(PACKAGE)),
)
def test_the_tokenizer_refuses_what_it_cannot_read(call, words):
    refused(call, *words)


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b"\xff\xfe", b"[1, 2]"], ids=repr)
def test_a_file_that_is_no_tokenizer_is_refused(content, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    refused(lambda: Tokenizer.load(path), str(path), "tokenizer.json")


def test_a_tokenizer_of_another_kind_is_refused(tmp_path):
    """A published word-piece tokenizer loads in the library, but has neither our end of text nor bytes."""
    from tokenizers import Tokenizer as Inner
    from tokenizers import models

    Inner(models.WordLevel({"a": 0, "b": 1}, unk_token="a")).save(str(tmp_path / "tokenizer.json"))
    refused(lambda: Tokenizer.load(tmp_path / "tokenizer.json"), "<|endoftext|>")


# ----------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("value", [0, -1, 2.0, NAN, "3", None, True], ids=repr)
@pytest.mark.parametrize("name", ["steps", "batch", "context"])
def test_a_recipe_refuses_impossible_counts(name, value):
    refused(lambda: Recipe(**{name: value}), name, repr(value))


@pytest.mark.parametrize("value", [-0.1, NAN, INF, "3", None, True], ids=repr)
@pytest.mark.parametrize("name", ["lr", "matrix_lr", "warmup", "clip", "dropout"])
def test_a_recipe_refuses_impossible_numbers(name, value):
    refused(lambda: Recipe(**{name: value}), name, str(value))


@cases(
    ("dropout of everything", lambda: Recipe(dropout=1.0), "dropout", "1.0"),
    ("warm-up longer than the run", lambda: Recipe(warmup=1.5), "warmup", "1.5"),
    ("no gradient", lambda: Recipe(clip=0.0), "clip", "0.0"),
    ("unknown optimiser", lambda: Recipe(optimizer="sgd"), "optimizer", "'muon'", "'sgd'"),
    ("an optimiser's class", lambda: Recipe(optimizer=torch.optim.AdamW), "optimizer", "'muon'"),
    ("a seed of text", lambda: Recipe(seed="0"), "seed", "'0'"),
    ("a seed of a fraction", lambda: Recipe(seed=0.5), "seed", "0.5"),
    ("a negative seed", lambda: Recipe(seed=-1), "seed", "-1"),
)
def test_a_recipe_refuses_nonsense(call, words):
    refused(call, *words)


RECIPE = Recipe(steps=2, batch=2, context=11)
LONG = torch.arange(60)


def trained_on(*sources, recipe=RECIPE, shape=SMALL):
    return lambda: Trainer(LlamaForCausalLM(shape), sources, recipe)


@cases(
    ("too short", trained_on(torch.arange(11)), "11", "smaller context"),
    ("one of two too short", trained_on(LONG, torch.arange(3)), "11", "3"),
    ("no text", trained_on(), "at least one"),
    ("empty", trained_on(torch.arange(0)), "(tokens,)", "(0,)"),
    ("a text that is not in a list", lambda: Trainer(model(), LONG, RECIPE), "(tokens,)", "()"),
    ("floats", trained_on(LONG.float()), "integers", "float32"),
    ("two axes", trained_on(LONG.view(2, 30)), "(2, 30)"),
    ("a list", trained_on(list(range(60))), "tensor", "list"),
    ("an id past the vocabulary", lambda: trained_on(LONG + 10)().advance(), "0 … 60"),
    ("minutes zero", lambda: steps_within(0, trained_on(LONG)()), "minutes", "0"),
    ("minutes negative", lambda: steps_within(-1.0, trained_on(LONG)()), "minutes", "-1.0"),
    ("minutes nan", lambda: steps_within(NAN, trained_on(LONG)()), "minutes", "nan"),
    ("minutes infinite", lambda: steps_within(INF, trained_on(LONG)()), "minutes", "inf"),
    ("minutes of text", lambda: steps_within("2", trained_on(LONG)()), "minutes", "'2'"),
)
def test_training_refuses_what_it_cannot_read(call, words):
    refused(call, *words)


@cases(
    ("one token", lambda: bits_per_byte(model(), LONG[:1], 3), "two tokens", "1"),
    ("no token", lambda: bits_per_byte(model(), LONG[:0], 3), "0"),
    ("no bytes", lambda: bits_per_byte(model(), LONG, 0), "byte_count", "0"),
    ("negative bytes", lambda: bits_per_byte(model(), LONG, -3), "byte_count", "-3"),
    ("no context", lambda: bits_per_byte(model(), LONG, 3, context=0), "context", "0"),
    ("no batch", lambda: bits_per_byte(model(), LONG, 3, batch=0), "batch", "0"),
    ("a list", lambda: bits_per_byte(model(), [1, 2, 3], 3), "tensor", "list"),
    ("two axes", lambda: bits_per_byte(model(), ids(), 3), "(2, 5)"),
    ("floats", lambda: bits_per_byte(model(), LONG.float(), 3), "integers", "float32"),
    ("an id past the vocabulary", lambda: bits_per_byte(model(), LONG + 10, 3), "0 … 60"),
)
def test_an_exam_without_meaning_is_refused(call, words):
    refused(call, *words)


@cases(
    ("missing", lambda path: text_of_files([path / "no.txt"]), "no.txt"),
    ("a directory", lambda path: text_of_files([path]), "no file"),
    ("not UTF-8", lambda path: text_of_files([path / "latin.txt"]), "latin.txt", "UTF-8", "byte 13"),
    ("empty", lambda path: text_of_files([path / "empty.txt"]), "empty.txt", "0 characters"),
    ("short", lambda path: text_of_files([path / "short.txt"]), "short.txt", "3 characters"),
    ("no files", lambda path: text_of_files([]), "at least one file"),
    ("one path", lambda path: text_of_files(str(path / "short.txt")), "short.txt", "3 characters"),
    ("shorter than a window", lambda path: train_on(path, "hello.txt"), "tokens", "smaller context"),
    ("half a pair", lambda path: train_directory(path / "new", Text([["a\ud800"]], ["b"], "")), "\\ud800"),
)
def test_a_text_that_cannot_be_learnt_from_is_refused(call, words, tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"caf\xc3\xa9 and caf\xe9 and more")
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "short.txt").write_bytes(b"abc")
    (tmp_path / "hello.txt").write_bytes(b"hello, hello, hello")
    refused(lambda: call(tmp_path), *words)


def train_on(path, name):
    shape = {key: value for key, value in SMALL.items() if key != "vocab_size"}
    recipe = Recipe(steps=2, batch=2, context=64)
    return train_directory(path / "model", text_of_files([path / name]), recipe, shape=shape, vocab_size=257)


@cases(
    ("a finished run", lambda path: train_directory(path), "finished"),
    ("minutes zero", lambda path: train_directory(path / "new", STORY, minutes=0), "minutes", "0"),
    ("minutes nan", lambda path: train_directory(path / "new", STORY, minutes=NAN), "minutes", "nan"),
    ("a path for a text", lambda path: train_directory(path / "new", "book.txt"), "text", "str"),
    ("a small vocabulary", lambda path: train_directory(path / "new", STORY, vocab_size=100), "257", "100"),
    ("a shape that is none", lambda path: train_directory(path / "new", STORY, shape={"heads": 3}), "heads"),
)
def test_a_training_directory_that_cannot_be_is_refused(call, words, tmp_path):
    (tmp_path / "training.json").write_text("{}")
    refused(lambda: call(tmp_path), *words)


def test_a_refused_run_does_not_stand_in_the_way_of_the_next(tmp_path):
    """The tokenizer of the text that was refused is not taken for the text that comes after it."""
    shape = {key: value for key, value in SMALL.items() if key != "vocab_size"}
    how = {"recipe": RECIPE, "shape": shape, "vocab_size": 270}
    for bad in ({"shape": {"heads": 3}}, {"text": Text([["xyz xyz"]], ["xyz"], "")}, {"minutes": 0}):
        refused(lambda bad=bad: train_directory(tmp_path / "new", **{"text": STORY, **how, **bad}))
    train_directory(tmp_path / "fresh", STORY, **how)
    train_directory(tmp_path / "new", STORY, **how)
    for name in ("tokenizer.json", "model.safetensors"):
        assert (tmp_path / "new" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()


STORY = Text([["the cat sat on the mat. " * 40]], ["the dog sat on the log."], "a test")


@pytest.fixture
def checkpoint(tmp_path):
    trainer = trained_on(LONG)()
    trainer.advance()
    save_checkpoint(trainer, tmp_path / "run.safetensors")
    return tmp_path / "run.safetensors"


@pytest.mark.parametrize("damage", ["empty", "half", "text", "no run", "another recipe", "tensors gone", "a byte"])
def test_a_corrupt_checkpoint_is_refused_with_its_path_and_the_cure(damage, checkpoint):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    whole, tensors = checkpoint.read_bytes(), load_file(checkpoint)
    with safe_open(checkpoint, framework="pt") as file:
        metadata = file.metadata()
    if damage == "empty":
        checkpoint.write_bytes(b"")
    elif damage == "half":
        checkpoint.write_bytes(whole[: len(whole) // 2])
    elif damage == "text":
        checkpoint.write_text("no checkpoint at all")
    elif damage == "no run":
        save_file(tensors, checkpoint, metadata={"format": "pt"})
    elif damage == "another recipe":
        run = json.loads(metadata["run"])
        run["recipe"]["speed"] = 3
        save_file(tensors, checkpoint, metadata={**metadata, "run": json.dumps(run)})
    elif damage == "tensors gone":
        kept = {name: tensor for name, tensor in tensors.items() if "q_proj" not in name}
        save_file(kept, checkpoint, metadata=metadata)
    else:
        checkpoint.write_bytes(b"\0" + whole[1:])
    refused(lambda: load_checkpoint(checkpoint, [LONG]), str(checkpoint), "delete it")


@cases(
    ("missing", lambda path: load_checkpoint(path.with_name("no.safetensors"), [LONG]), "no.safetensors"),
    ("a directory", lambda path: load_checkpoint(path.parent, [LONG])),
    ("another text", lambda path: load_checkpoint(path, [LONG + 1]), "another text", "run.safetensors"),
    ("another number of texts", lambda path: load_checkpoint(path, [LONG, LONG]), "another text"),
    ("no folder", lambda path: save_checkpoint(trained_on(LONG)(), path.parent / "no" / "x"), "no directory"),
)
def test_a_checkpoint_that_does_not_fit_is_refused(call, words, checkpoint):
    refused(lambda: call(checkpoint), *words)


# ------------------------------------------------------------------------------------------------------- a directory


@pytest.fixture
def directory(tmp_path):
    write_directory(talker(), tokenizer(), tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "noise", "a directory"])
def test_a_directory_with_a_missing_or_corrupt_file_is_refused_by_name(name, damage, directory):
    path = directory / name
    path.unlink()
    if damage == "a directory":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes(b"" if damage == "empty" else b"\xff\x00noise")
    refused(lambda: load_directory(directory), name, str(directory))


def change(directory, **fields):
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, **fields}))


@cases(
    ("a list for a config", lambda path: (path / "config.json").write_text("[1]"), "config", "list"),
    ("another width", lambda path: change(path, hidden_size=48), "48", "42"),
    ("another number of layers", lambda path: change(path, num_hidden_layers=3), "layers.2"),
    ("fewer layers", lambda path: change(path, num_hidden_layers=1), "layers.1"),
    ("untied without a head", lambda path: change(path, tie_word_embeddings=False), "lm_head.weight"),
    ("another architecture", lambda path: change(path, model_type="gpt2"), "model_type", "gpt2"),
    ("an unknown scaling", lambda path: change(path, rope_scaling={"rope_type": "longrope"}), "longrope"),
    ("an unknown field", lambda path: change(path, sliding_window=3), "sliding_window"),
)
def test_a_directory_that_does_not_fit_its_config_is_refused(call, words, directory):
    call(directory)
    refused(lambda: load_directory(directory), *words)


def test_no_directory_is_refused():
    refused(lambda: load_directory("/nowhere"), "/nowhere")


@cases(
    ("a misspelt name", lambda: llama_tutorial.LlamaConfg, "LlamaConfg", "LlamaConfig"),
    ("an unknown name", lambda: llama_tutorial.zzz, "zzz", "LlamaForCausalLM"),
)
def test_an_unknown_public_name_says_the_nearest(call, words):
    with pytest.raises(AttributeError) as caught:
        call()
    assert all(word in str(caught.value) for word in words)
