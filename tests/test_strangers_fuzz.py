"""Thousands of small JSON files as strangers might write them: read as transformers reads them, or refused by name.

Each case changes some fields of a sound file: absent, null, another type, another spelling, an extreme. The law: what
both libraries read means the same, and what is refused here is refused with a ValueError, TypeError, KeyError or
OSError whose one sentence names the field. Where transformers fails and we read, it is because the value changes
nothing, or has one meaning only: written in the spelling that transformers reads (`meant`), it means the same there. A
case that fails is printed as JSON.
"""

import json
import logging
import random
import re
import warnings

import pytest
import torch
import transformers
from strangers import KINDS, TEXTS, begun, object_of, written

from llama_tutorial import LlamaForCausalLM, PublishedTokenizer

pytestmark = pytest.mark.thorough
REFUSALS = (ValueError, TypeError, KeyError, OSError)
ABSENT = object()
# What a field may hold that no file should: other types, other spellings of a value, extremes.
ODD = [None, True, False, 0, 1, -1, 2, 3, 8, 16, 0.0, 0.5, 1.0, 8.0, -2.5, 1e-9, 1e9, 10**30, 2**63, 1e308,
       float("inf"), float("nan"), "", "8", "1e-5", "null", "None", "true", "false", "é☃", "x" * 300, [], {},
       [None], [1], [2, 3], ["</s>"], {"a": 1}, [[]], {"": None}]  # fmt: skip


def changed(fields, likely, chance):
    """A sound file with one to four of its fields changed; `likely` holds values of each field that may well occur."""
    fields = json.loads(json.dumps(fields))
    for name in chance.sample(sorted(likely), min(len(likely), chance.choice([1, 1, 1, 2, 2, 3, 4]))):
        pick = chance.random()
        value = ABSENT if pick < 0.12 else chance.choice(ODD) if pick < 0.5 else chance.choice([*likely[name], None])
        if value is ABSENT:
            fields.pop(name, None)
        else:
            fields[name] = json.loads(json.dumps(value))
    return fields


def names_in(value):
    """Every name of a field in some JSON, also of those inside of fields."""
    if isinstance(value, dict):
        return {*value, *(name for inner in value.values() for name in names_in(inner))}
    return {name for inner in value for name in names_in(inner)} if isinstance(value, list) else set()


def quietly(read):
    """What a reader gives, or the error that it raises; its warnings are not the matter here."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except Exception as error:
        return error
    finally:
        logging.disable(logging.NOTSET)


def check_refusal(error, known):
    """Whether an error of ours is one that a reader may see: a kind of mistake, one sentence, the name of a field."""
    assert isinstance(error, REFUSALS), f"{type(error).__name__}: {error}"
    told = str(error)
    assert "\n" not in told and len(told) < 1000, told
    if re.search(r"the tensor [\w.]+ \(.*\) is missing: config.json asks for it", told):
        return  # a size or a bias of which there is nothing in the file
    assert any(name and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", told) for name in known), (
        f"names no field: {told}"
    )


# ------------------------------------------------------------------------------------------------ config.json

SIZES = {"vocab_size": 16, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
         "num_key_value_heads": 1, "max_position_embeddings": 32, "tie_word_embeddings": False}  # fmt: skip
SOUND = {**SIZES, "model_type": "llama", "architectures": ["LlamaForCausalLM"], "rms_norm_eps": 1e-5}
IDS = torch.arange(12)[None]
ROPES = [
    {"rope_type": "default"}, {"type": "linear", "factor": 2}, {"rope_type": "linear", "factor": 4.0},
    {"rope_type": "linear", "factor": "2"}, {"rope_type": "linear"}, {"factor": 2.0},
    {"rope_type": "linear", "factor": 0.5}, {"rope_type": "default", "rope_theta": 500}, {"rope_theta": 100.0},
    {"rope_type": "linear", "factor": None},
    {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
     "original_max_position_embeddings": 16},
    {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0},
    {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 2.0, "high_freq_factor": 2.0},
    {"rope_type": "yarn", "factor": 4.0}, {"type": "yarn", "factor": 4, "original_max_position_embeddings": 16},
    {"rope_type": "yarn", "factor": 4.0, "attention_factor": 0.7, "beta_fast": 16, "beta_slow": 2},
    {"rope_type": "yarn", "factor": 4.0, "mscale": 0.5, "mscale_all_dim": 0.7}, {"rope_type": "yarn"},
    {"rope_type": "yarn", "factor": 4.0, "truncate": False}, {"rope_type": "yarn", "factor": 4.0, "truncate": None},
    {"rope_type": "yarn", "factor": 4.0, "mscale": None, "attention_factor": None},
    {"rope_type": "dynamic", "factor": 2.0}, {"type": "dynamic", "factor": 4}, {"rope_type": "longrope", "factor": 2.0},
    {"rope_type": None, "type": "linear", "factor": 2.0}, {"rope_type": "LINEAR", "factor": 2.0},
    {"rope_type": "llama3", "type": "linear", "factor": 2.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    {"full_attention": {"rope_type": "linear", "factor": 2.0}}, {"rope_type": "default", "partial_rotary_factor": 0.5},
    {"rope_type": "default", "partial_rotary_factor": 1.0}, {"rope_type": "proportional"}, {"rope_theta": None},
    {"rope_type": "linear", "factor": True}, {"rope_type": "linear", "factor": 1e300}, {"rope_theta": "10000"},
]  # fmt: skip
LIKELY = {
    "vocab_size": [16, 16.0, "16", 17], "hidden_size": [8, 8.0, "8", 16], "intermediate_size": [8, 8.0, 12],
    "num_hidden_layers": [1, 1.0, "1", 2, 0], "num_attention_heads": [2, 4, 1, 8, 2.0, 3],
    "num_key_value_heads": [1, 2, 1.0, "1", 4], "head_dim": [4, 2, 8, 4.0, 3, "4"],
    "hidden_act": ["silu", "swish", "gelu", "relu", "SiLU"], "max_position_embeddings": [32, 16, 64, 2048, 32.0, "32"],
    "initializer_range": [0.02, 1, 0, 2], "rms_norm_eps": [1e-5, 1e-6, 0, 1, 0.1, "1e-5", 1e-20],
    "tie_word_embeddings": [True, False, 1, 0], "rope_theta": [10000, 500000.0, 100, 1, 0.5, "10000", 0],
    "rope_scaling": ROPES, "rope_parameters": ROPES, "original_max_position_embeddings": [16, 32, 16.0, "16", 64],
    "attention_bias": [True, False, 0, "no"], "mlp_bias": [True, False, 0], "attention_dropout": [0.0, 0.1, 0, 1],
    "model_type": ["llama", "LLAMA", "mistral", "gpt2", "Llama"], "architectures": [["LlamaForCausalLM"], "Llama", []],
    "torch_dtype": ["float32", "float16", "bfloat16", "torch.float16", "float", "int8", "half", "auto", "double"],
    "dtype": ["float32", "float16", "bfloat16", "torch.float16", "float", "int8", "half", "auto", "double"],
    "layer_types": [["full_attention"], ["sliding_attention"], ["full_attention"] * 2, "full_attention"],
    "sliding_window": [4096, 8, None], "use_sliding_window": [True, False], "partial_rotary_factor": [0.5, 1.0, 1],
    "quantization_config": [{"quant_method": "gptq", "bits": 4}, {"bits": 4}, {}], "is_encoder_decoder": [True, False],
    "bos_token_id": [1, 0, -1, 15, 16, [1], "1"], "eos_token_id": [2, [2, 3], -1, 99, [], "2", [2, -1], [None]],
    "pad_token_id": [0, -1, 15, 16, 2.0], "pretraining_tp": [1, 2, 4], "use_cache": [True, False],
    "per_layer_config": [{"0": {"intermediate_size": 8}}, {}, [{"hidden_act": "relu"}]],
    "text_config": [{"hidden_size": 8}, {"rope_theta": 7.0, "vocab_size": 16}, {"model_type": "llama"}],
    "n_layer": [1, 2], "d_model": [8, 16], "num_heads": [2], "ffn_dim": [8], "norm_eps": [1e-6], "rope_base": [100],
    "rotary_dim": [4], "logit_scale": [2.0], "embedding_multiplier": [3.0], "residual_multiplier": [0.5],
    "logits_scaling": [8.0], "attention_multiplier": [0.5], "use_qk_norm": [True, False], "qk_layernorm": [True],
    "final_logit_softcapping": [30.0], "attn_logit_softcapping": [50.0], "no_rope_layers": [[0], [1]],
    "num_experts": [4], "num_local_experts": [8], "moe": [{}], "clip_qkv": [8.0], "hidden_activation": ["gelu", "silu"],
    "activation_function": ["gelu"], "attention_in_bias": [True], "use_bias": [True], "attention_out_bias": [True],
    "rope_interleaved": [False, True], "interleaved": [True], "pruned_heads": [{}, {"0": [0]}],
    "id2label": [{"0": "a"}],
    "chunk_size_feed_forward": [0, 4], "return_dict": [True, False], "output_hidden_states": [True],
    "tie_encoder_decoder": [True], "add_cross_attention": [True], "output_attentions": [True, False],
    "transformers_version": ["4.30.0", "5.0.0", 4], "_name_or_path": ["x", 7], "auto_map": [{"AutoConfig": "x.Y"}, {}],
    "torchscript": [True], "attn_implementation": ["eager", "sdpa"], "_attn_implementation": ["eager", "flash"],
    "max_length": [20], "temperature": [0.6], "repetition_penalty": [1.2], "do_sample": [True], "problem_type": ["x"],
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A directory with a tiny model, whose config.json is written anew for each case."""
    directory = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    made = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))
    for weight in made.parameters():
        torch.nn.init.normal_(weight, 0.0, 0.5)
    made.save_pretrained(directory)
    (directory / "generation_config.json").unlink()
    return directory


def logits_of(read, directory):
    """The dtype and the logits of a model as a library reads it, in float32."""

    def run():
        model = read(directory)
        with torch.inference_mode():
            told = model.float().eval()(IDS)
        return model, told if isinstance(told, torch.Tensor) else told[0]  # theirs is an object or a tuple

    return run


def our_model(directory):
    model = LlamaForCausalLM.from_pretrained(directory)
    model.kind = next(model.parameters()).dtype
    return model


def their_model(directory):
    """As transformers reads it; what it had to draw at random, or left out, is not read."""
    model, told = transformers.LlamaForCausalLM.from_pretrained(directory, output_loading_info=True)
    if told["missing_keys"] or told["unexpected_keys"] or told["mismatched_keys"]:
        raise ValueError(f"the weights do not fit: {told}")
    model.kind = model.dtype
    return model


# Fields that change no number, whatever they hold: transformers may fail over an odd value, we do not look at them.
IDLE = """architectures attention_dropout attn_implementation _attn_implementation chunk_size_feed_forward id2label
    initializer_range max_position_embeddings output_attentions output_hidden_states pretraining_tp
    problem_type pruned_heads return_dict text_config torch_dtype dtype use_cache auto_map transformers_version
    _name_or_path bos_token_id eos_token_id pad_token_id layer_types quantization_config per_layer_config
    sliding_window""".split()


def meant(fields):
    """A config.json that says the same in the spelling of today: without nulls, and without what changes no number."""
    told = {name: value for name, value in fields.items() if value is not None and name not in IDLE}
    for name in ("rms_norm_eps", "rope_theta"):
        told |= {name: float(told[name])} if name in told else {}
    for name in ("rope_scaling", "rope_parameters"):
        if name in told:
            rope = {inner: value for inner, value in told[name].items() if value is not None}
            rope.setdefault("rope_type", rope.pop("type", "default"))
            told[name] = {**rope, **({"factor": None} if rope["rope_type"] == "yarn" and "factor" not in rope else {})}
    return {**told, "max_position_embeddings": fields.get("max_position_embeddings") or 2048}


def check_config(fields, directory):
    """The law, for one config.json; gives how it went."""
    (directory / "config.json").write_text(json.dumps(fields))
    ours = quietly(logits_of(our_model, directory))
    if isinstance(ours, Exception):
        check_refusal(ours, {*names_in(fields), *LIKELY, "model.safetensors"})
        return "refused"
    theirs, how = quietly(logits_of(their_model, directory)), "read"
    if isinstance(theirs, Exception):
        (directory / "config.json").write_text(json.dumps(meant(fields)))
        again, how = quietly(logits_of(their_model, directory)), "read on purpose"
        assert not isinstance(again, Exception), f"read here, there {theirs!r} and {again!r}"
        theirs = again
    else:
        assert ours[0].kind == theirs[0].kind, f"{ours[0].kind} here, {theirs[0].kind} there"
    near = 1e-4 if ours[0].kind == theirs[0].kind else 1e-2  # of a dtype that they refuse their weights are not rounded
    torch.testing.assert_close(ours[1], theirs[1], atol=near, rtol=near, equal_nan=True)
    return how


# ------------------------------------------------------------------------------------------------ the tokenizer's files

TOKENS = ["<s>", "</s>", "<new>", "<turn>", "▁", "a", object_of("<new>"), object_of("</s>", rstrip=True),
          {"__type": "AddedToken", **object_of("<newer>", lstrip=True)}, {"content": "<end>"}, {"lstrip": True},
          object_of("<end>", special="yes")]  # fmt: skip
ROLES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
TEMPLATE = "{{ bos_token }}{{ messages[0].content }}"
TOKENIZER = {
    **{role: TOKENS for role in (*ROLES, "eot_token", "image_token")},
    "tokenizer_class": ["PreTrainedTokenizerFast", "LlamaTokenizer", "LlamaTokenizerFast", "TokenizersBackend",
                        "PreTrainedTokenizer", "Nobodys", "llamatokenizer"],
    "add_prefix_space": [True, False, 0, 1, "false"], "legacy": [True, False, 0, 1, "false"],
    "add_bos_token": [True, False], "add_eos_token": [True, False], "split_special_tokens": [True, False, 0, "false"],
    "clean_up_tokenization_spaces": [True, False, 1, "false"], "model_max_length": [16, 1e30, 2],
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": [True, False, 1],
    "padding_side": ["left", "right", "middle"], "truncation_side": ["left", "right"], "use_fast": [True, False],
    "additional_special_tokens": [[], ["<new>"], ["<new>", "<turn>"], [object_of("<new>")], [{"content": "<x>"}]],
    "extra_special_tokens": [[], ["<new>"], {"image_token": "<new>"}, {"a": "b"}, [object_of("<new>")], {"a": 7}],
    "added_tokens_decoder": [{}, {"400": object_of("<new>")}, {"4": object_of("<end>", lstrip=True)}, {"1": None},
                             {"400": object_of("<new>"), "399": object_of("<newer>", special=False)},
                             {"x": object_of("<new>")}, {"-1": object_of("<new>")},
                             {"400": {"content": "<new>", "a": 1}},
                             {"400": object_of("<new>", lstrip=None)}, {"400": "<new>"}, {"400": object_of("")}],
    "chat_template": [TEMPLATE, [{"name": "default", "template": TEMPLATE}, {"name": "tool_use", "template": "x"}],
                      {"default": TEMPLATE}, {"rag": "x"}, [{"name": "default"}], [{"template": "x"}],
                      [{"name": [], "template": "x"}], [{"name": "default", "template": None}], {"default": 7}],
    "fast_tokenizer_files": [[], ["tokenizer.json"], ["tokenizer.4.0.0.json"], ["tokenizer.99.0.json"],
                             ["tokenizer.4.0.0.json", "tokenizer.json", "tokenizer.99.0.json"]],
    "name_or_path": ["x"], "sp_model_kwargs": [{}], "tokenizer_file": ["x.json", "../x"], "vocab_file": ["x"],
    "use_default_system_prompt": [True], "spaces_between_special_tokens": [True, False], "errors": ["replace"],
    "processor_class": ["x"], "model_input_names": [["input_ids"]], "max_length": [4], "stride": [0],
    "truncation_strategy": ["longest_first"], "response_schema": [{}], "trim_offsets": [True], "do_lower_case": [True],
}  # fmt: skip
OLDER = {**{role: TOKENS for role in ROLES}, "additional_special_tokens": TOKENIZER["additional_special_tokens"],
         "extra_special_tokens": TOKENIZER["extra_special_tokens"], "image_token": TOKENS}  # fmt: skip
ADDED = {"<new>": [340, 300, 341, 0, -1], "<newer>": [341, 301], "<end>": [4], "": [342]}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Directories with a tokenizer each, whose small files are written anew for each case."""
    place = tmp_path_factory.mktemp("tokenizers")
    for kind in ("byte level", "pieces with a space in front", "word pieces"):
        (place / kind).mkdir()
        written(place / kind, kind, begun)
        for other in ("tokenizer.4.0.0.json", "tokenizer.99.0.json"):
            how = (lambda inner: None) if "99" in other else (lambda inner: inner.add_special_tokens(["<four>"]))
            told = KINDS[kind]()
            how(told)
            told.save(str(place / kind / other))
    return place


# Fields of tokenizer_config.json that change neither ids nor texts, over whose odd values transformers may fail.
IDLE_WORDS = ("padding_side", "truncation_side", "model_input_names", "model_max_length", "response_schema")
EXTRA = ("extra_special_tokens", "additional_special_tokens")
NULL_IS_ABSENT = ("added_tokens_decoder", "fast_tokenizer_files", "split_special_tokens", "extra_special_tokens",
                  "additional_special_tokens")  # fmt: skip


def dict_of(token):
    """A token's object without nulls, and without the fields of tomorrow."""
    return {way: part for way, part in token.items() if part is not None and way in object_of("")}


def token_meant(value):
    """A token in a file: an object says that it is one."""
    return {"__type": "AddedToken", **dict_of(value)} if isinstance(value, dict) and "content" in value else value


def older_meant(fields):
    """A special_tokens_map.json without nulls and with its objects as transformers reads them."""
    told = {name: value for name, value in fields.items() if value is not None and (name, value) != (EXTRA[1], {})}
    for name, value in told.items():
        if name == EXTRA[0] and isinstance(value, list):
            told[name] = [
                {way: part for way, part in dict_of(one).items() if way != "special"} if isinstance(one, dict) else one
                for one in value
            ]
        if name == EXTRA[1] and isinstance(value, list):
            told[name] = [token_meant(one) for one in value]
    return told


def words_meant(fields, kind):
    """A tokenizer_config.json in the spelling that transformers reads.

    Tokens as objects have their kind, and LlamaTokenizer is for pieces: what else asks for it is read as it is written.
    """
    told = {name: value for name, value in fields.items()
            if name not in IDLE_WORDS and (value is not None or name not in NULL_IS_ABSENT)}  # fmt: skip
    for name, value in told.items():
        if name.endswith("_token"):
            told[name] = token_meant(value)
        if name in EXTRA and isinstance(value, list):
            told[name] = [token_meant(one) for one in value]
    listed = told.get("added_tokens_decoder")
    told |= {"added_tokens_decoder": {i: dict_of(token) for i, token in listed.items()}} if listed else {}
    if kind == "word pieces" and str(told.get("tokenizer_class")).startswith("Llama"):
        told["tokenizer_class"] = "PreTrainedTokenizerFast"
    return told


def tokenizer_files(chance):
    """The small files of a tokenizer, by name: one of them always, the older ones now and then."""
    files = {"tokenizer_config": changed({"tokenizer_class": "PreTrainedTokenizerFast"}, TOKENIZER, chance)}
    if chance.random() < 0.4:
        files["special_tokens_map"] = changed({"eos_token": "</s>"}, OLDER, chance)
    if chance.random() < 0.2:
        files["added_tokens"] = changed({}, ADDED, chance)
    return files


def check_tokenizer(files, directory):
    """The law, for the small files of a tokenizer; gives how it went."""
    for name in ("tokenizer_config", "special_tokens_map", "added_tokens", "config", "generation_config"):
        path = directory / f"{name}.json"
        path.write_text(json.dumps(files[name])) if name in files else path.unlink(missing_ok=True)
    ours = quietly(lambda: our_words(directory))
    if isinstance(ours, Exception):
        check_refusal(ours, {*names_in(files), *TOKENIZER})
        return "refused"
    (directory / "tokenizer_config.json").write_text(json.dumps(words_meant(files["tokenizer_config"], directory.name)))
    if "special_tokens_map" in files:
        (directory / "special_tokens_map.json").write_text(json.dumps(older_meant(files["special_tokens_map"])))
    theirs = quietly(lambda: their_words(directory))
    assert not isinstance(theirs, Exception), f"read here, there {theirs!r}"
    for what, wanted in theirs.items():
        assert ours[what] == wanted, f"{what}: {ours[what]!r} here, {wanted!r} there"
    return "read"


def our_words(directory):
    """What a tokenizer means here: its special tokens, how many it has, ids and texts, and its template."""
    tokenizer = PublishedTokenizer.from_pretrained(directory)
    ids = [tokenizer.encode(text) for text in TEXTS]
    texts = [tokenizer.decode(row) for row in ids]
    told = {"special": tokenizer.special, "length": len(tokenizer), "ids": ids, "texts": texts}
    return {**told, "template": tokenizer.template}


def their_words(directory):
    """The same in transformers."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    ids = [tokenizer(text)["input_ids"] for text in TEXTS]
    texts = [tokenizer.decode(row, skip_special_tokens=True) for row in ids]
    template = quietly(tokenizer.get_chat_template)
    told = {"special": tokenizer.special_tokens_map, "length": len(tokenizer), "ids": ids, "texts": texts}
    return {**told, "template": None if isinstance(template, Exception) else template}


# ------------------------------------------------------------------------------------------------ where a text ends

IDS_OF_ENDS = [2, 0, 5, [2], [5, 6], [2, -1], -1, [], [None], ["2"], "2", 2.0, 99999, [5, 5], True]
GENERATION = {
    "eos_token_id": IDS_OF_ENDS, "bos_token_id": [1, -1, 7, "1", [1]], "pad_token_id": [0, -1, 3, 2.0],
    "stop_strings": ["END", ["END"], ["END", "\n"], [], "", [""], [7], ["x", None]], "temperature": [0.6, 0, 2],
    "top_p": [0.9, 2], "top_k": [50, -1], "do_sample": [True, False], "max_length": [20, -1], "max_new_tokens": [3],
    "transformers_version": ["4.30.0"], "_from_model_config": [True], "use_cache": [True, False],
}  # fmt: skip
SOUND_ENDS = {"eos_token_id": 2, "bos_token_id": 1}


def ends_files(chance):
    """A generation_config.json and the fields of config.json that say the same things."""
    files = {"generation_config": changed(SOUND_ENDS, GENERATION, chance)}
    likely = {name: GENERATION[name] for name in ("eos_token_id", "bos_token_id", "pad_token_id")}
    return {**files, "config": changed({**SOUND, **SOUND_ENDS, "vocab_size": 300}, likely, chance)}


def check_ends(files, directory):
    """The law for what ends a text: whatever transformers would stop at is an end here, and no id is made up."""
    for name, told in files.items():
        (directory / f"{name}.json").write_text(json.dumps(told))
    ours = quietly(lambda: PublishedTokenizer.from_pretrained(directory))
    if isinstance(ours, Exception):
        check_refusal(ours, GENERATION)
        return "refused"
    told = [
        files[name].get("eos_token_id", 2 if name == "config" else None) for name in ("generation_config", "config")
    ]
    named = [one for ids in told for one in (ids if isinstance(ids, list) else [ids])]
    assert set(ours.ends) == {one for one in named if one not in (None, -1)} | {2}, f"{ours.ends} of {named}"
    told = {name: told for name, told in files["generation_config"].items() if name in ("eos_token_id", "stop_strings")}
    (directory / "generation_config.json").write_text(json.dumps(told))  # over the others it may fail
    theirs = quietly(lambda: transformers.GenerationConfig.from_pretrained(directory))
    assert not isinstance(theirs, Exception), f"read here, there {theirs!r}"
    ids = theirs.eos_token_id if isinstance(theirs.eos_token_id, list) else [theirs.eos_token_id]
    assert set(ids) - {None, -1} <= set(ours.ends), f"{ours.ends} here, {ids} there"
    stops = theirs.stop_strings or []
    assert list(ours.stops) == ([stops] if isinstance(stops, str) else stops), f"{ours.stops} here, {stops} there"
    return "read"


# ------------------------------------------------------------------------------------------------ the cases


def run(cases, make, check, seed):
    """So many cases of a seed; a case that breaks the law fails with its JSON. Gives how many were read."""
    chance, read = random.Random(seed), 0
    for _ in range(cases):
        case = make(chance)
        try:
            read += check(case) != "refused"
        except (AssertionError, Exception) as error:
            pytest.fail(f"{json.dumps(case)}\n{type(error).__name__}: {error!s:.600}")
    return read


@pytest.mark.parametrize("seed", range(10))
def test_any_config_json_is_read_as_by_transformers_or_refused(seed, model):
    read = run(220, lambda chance: changed(SOUND, LIKELY, chance), lambda fields: check_config(fields, model), seed)
    assert read > 80  # the law is not kept by refusing


@pytest.mark.parametrize("kind", ["byte level", "pieces with a space in front", "word pieces"])
@pytest.mark.parametrize("seed", range(3))
def test_any_files_of_a_tokenizer_are_read_as_by_transformers_or_refused(seed, kind, shelf):
    assert run(280, tokenizer_files, lambda files: check_tokenizer(files, shelf / kind), seed) > 80


@pytest.mark.parametrize("seed", range(2))
def test_any_generation_config_json_is_read_as_by_transformers_or_refused(seed, shelf):
    for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        (shelf / "byte level" / name).unlink(missing_ok=True)
    (shelf / "byte level" / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    assert run(400, ends_files, lambda files: check_ends(files, shelf / "byte level"), seed) > 80
