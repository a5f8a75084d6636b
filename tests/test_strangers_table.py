"""Whole directories of strangers, side by side: what transformers makes of the same files is the reference.

Each directory is made up: a tiny model with random weights, a tokenizer, and the small files in which the world says
what they mean. Compared are ids, special tokens, decoded texts, rendered chats, logits, and the likeliest text up to
where ours ends; where a text ends differs on purpose, see docs/strangers.md.
"""

import json
import os
import shutil
import warnings

import pytest
import torch
import transformers
from strangers import FAST, TEXTS, begun, object_of, written

from llama_tutorial import LlamaForCausalLM, PublishedTokenizer
from llama_tutorial.published import template, words

ROWS = 352  # of the model's table, more than any of the tokenizers has ids
CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": ROWS, "hidden_size": 16,
          "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
          "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "eos_token_id": 2,
          "bos_token_id": 1}  # fmt: skip
GENERATION = {"eos_token_id": 2, "bos_token_id": 1}
CHATML = "{{ bos_token }}{% for m in messages %}<turn>{{ m.role }}\n{{ m.content }}<end>{% endfor %}"
OTHER = "other: {{ messages[0].content }}{% if tools %}{{ tools | tojson }}{% endif %}"
CHAT = [{"role": "user", "content": "The for é<end>"}, {"role": "assistant", "content": "x", "thinking": "y"}]
TOOLS = [{"type": "function", "function": {"name": "f", "description": "é <"}}]
LLAMA = {"tokenizer_class": "LlamaTokenizer"}
BYTES, PIECES, WORDS = "byte level", "pieces with a space in front", "word pieces"
MADE_UP = "<new><newer><four><ninety-nine><m><p><c><i><j><o><t><a><b><x>"  # every token that a file below may add
NEW = {"300": object_of("<new>")}


def of(kind=BYTES, change=begun, templates=(), **files):
    """A directory's recipe: its tokenizer, its small files by name, its chat templates' files by path."""
    files = {"tokenizer_config": FAST, "config": CONFIG, "generation_config": GENERATION, **files}
    return {"kind": kind, "change": change, "templates": dict(templates), "files": files}


def config(**fields):
    return {"config": {**CONFIG, **fields}}


def settings(**fields):
    return {"tokenizer_config": {**FAST, **fields}}


def cut(inner):
    inner.enable_truncation(3)
    inner.enable_padding(length=8, pad_id=4, pad_token="<end>")


LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
JINJA, FOLDER = "chat_template.jinja", "additional_chat_templates/"
CASES = {
    "as Llama 3 has it": of(templates={JINJA: CHATML}, **settings(bos_token="<s>", chat_template=OTHER)),
    "as Llama 2 has it": of(PIECES, tokenizer_config={**LLAMA, "legacy": True, "add_bos_token": True}),
    "as TinyLlama has it": of(PIECES, tokenizer_config={**LLAMA, "legacy": False, "pad_token": "</s>"}),
    "pieces, and no space in front": of(PIECES, tokenizer_config={**LLAMA, "add_prefix_space": False}),
    "pieces that keep their own way": of(PIECES),
    "whole words": of(WORDS, **settings(clean_up_tokenization_spaces=True)),
    "Metaspace": of("Metaspace"),
    "words with ends": of("words with ends", None),
    "no post-processor": of(BYTES, None),
    "truncated and padded": of(BYTES, cut),
    "as GPT-2 names it, with all its tokens": of(
        tokenizer_config={"tokenizer_class": "GPT2Tokenizer", "bos_token": "<s>", "eos_token": "</s>",
                          "unk_token": "<unk>"}),
    "as GPT-2 names it, without": of(BYTES, None, tokenizer_config={"tokenizer_class": "GPT2Tokenizer"}),
    "as GPT-NeoX names it": of(BYTES, None, tokenizer_config={"tokenizer_class": "GPTNeoXTokenizerFast"}),
    "as Qwen names it": of(BYTES, None, tokenizer_config={"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<end>"}),
    "a class that nobody has": of(tokenizer_config={"tokenizer_class": "TomorrowsTokenizer", "eos_token": "</s>"}),
    "a class in config.json alone": of(PIECES, tokenizer_config={}, **config(tokenizer_class="LlamaTokenizer")),
    "no tokenizer_config.json": of(tokenizer_config=None),
    "no generation_config.json": of(generation_config=None),
    "added_tokens_decoder": of(**settings(added_tokens_decoder=NEW)),
    "added_tokens.json and its map": of(
        added_tokens={"<new>": 300, "<newer>": 301},
        special_tokens_map={"eos_token": "<end>", "additional_special_tokens": ["<new>"]}),
    "added_tokens.json beside roles of pieces": of(
        PIECES, tokenizer_config=LLAMA, added_tokens={"<new>": 340}, special_tokens_map={"pad_token": "<new>"}),
    "a map of objects": of(
        special_tokens_map={"bos_token": object_of("<s>"), "pad_token": object_of("<new>", lstrip=True)}),
    "a map that the settings overrule": of(
        special_tokens_map={"eos_token": "<end>"}, **settings(added_tokens_decoder=NEW, eos_token="</s>")),
    "roles out of order": of(**settings(mask_token="<m>", eot_token="<new>", pad_token="<p>", cls_token="<c>")),
    "roles of one's own in both files": of(
        special_tokens_map={"image_token": "<i>", "eos_token": "</s>", "other_token": "<o>"},
        **settings(image_token="<j>", extra_special_tokens={"third_token": "<t>"})),
    "more tokens in both files": of(
        special_tokens_map={"extra_special_tokens": ["<a>", {"content": "<b>", "lstrip": True}]},
        **settings(extra_special_tokens=["<new>"])),
    "special tokens are text": of(**settings(split_special_tokens=True)),
    "a tokenizer by version": of(**settings(fast_tokenizer_files=["tokenizer.json", "tokenizer.4.0.0.json"])),
    "a tokenizer of tomorrow": of(**settings(fast_tokenizer_files=["tokenizer.json", "tokenizer.99.0.0.json"])),
    "no version but the plain one": of(**settings(fast_tokenizer_files=[])),
    "template: text": of(**settings(chat_template=CHATML, bos_token="<s>")),
    "template: a list": of(
        **settings(chat_template=[{"name": "default", "template": CHATML}, {"name": "tool_use", "template": OTHER}])),
    "template: an object": of(**settings(chat_template={"default": OTHER, "rag": CHATML})),
    "template: a file and a folder": of(templates={JINJA: CHATML, FOLDER + "tool_use.jinja": OTHER}),
    "template: a folder with the default": of(templates={JINJA: CHATML, FOLDER + "default.jinja": OTHER}),
    "template: a folder alone": of(templates={FOLDER + "tool_use.jinja": OTHER, FOLDER + "rag.jinja": CHATML}),
    "template: a folder beats the settings": of(
        templates={FOLDER + "rag.jinja": OTHER}, **settings(chat_template=CHATML)),
    "template: a folder with nothing in it": of(
        templates={FOLDER + "README.md": "x"}, **settings(chat_template=CHATML)),
    "template: a file, with the line ends of Windows": of(templates={JINJA: "a\r\n{{ messages[0].content }}\r\n"}),
    "several ends": of(generation_config={"eos_token_id": [5, 2]}, **config(eos_token_id=[7, 9])),
    "ends and pad of -1": of(generation_config={"pad_token_id": -1}, **config(eos_token_id=-1, pad_token_id=-1)),
    "an end beyond the table": of(**settings(eos_token="<new>"), **config(vocab_size=ROWS, eos_token_id=[2, 99999])),
    "how to sample": of(
        generation_config={**GENERATION, "temperature": 0.6, "top_p": 0.9, "do_sample": True, "max_length": 4096}),
    "stop strings": of(generation_config={**GENERATION, "stop_strings": ["\n\nUser:"]}),
    "the dtype of today": of(**config(dtype="float16")),
    "the dtype of yesterday": of(**config(torch_dtype="bfloat16")),
    "both dtypes": of(**config(dtype="float32", torch_dtype="float16")),
    "a dtype by its other name": of(**config(torch_dtype="half")),
    "linear scaling": of(**config(rope_scaling={"type": "linear", "factor": 2})),
    "llama3 scaling": of(**config(rope_scaling=LLAMA3, rope_theta=500000)),
    "yarn scaling": of(**config(rope_parameters={"rope_type": "yarn", "factor": 4.0, "rope_theta": 1000.0})),
    "dynamic scaling, within its length": of(**config(rope_scaling={"type": "dynamic", "factor": 2.0})),
    "wider heads": of(**config(head_dim=8)),
    "fields that are left out": of(
        config={name: value for name, value in CONFIG.items() if name not in ("rms_norm_eps", "max_position_embeddings",
                                                                              "eos_token_id", "architectures")}),
    "old fields": of(**config(pretraining_tp=2, use_cache=False, torch_dtype="float32", temperature=0.3)),
}  # fmt: skip
FIELDS = {
    "config": {
        **CONFIG, "hidden_act": "silu", "initializer_range": 0.02, "head_dim": 8, "rope_theta": 1000.0,
        "rope_scaling": {"rope_type": "linear", "factor": 2.0}, "rope_parameters": {"rope_type": "yarn", "factor": 4.0},
        "original_max_position_embeddings": 32, "attention_bias": False, "mlp_bias": False, "torch_dtype": "float32",
        "dtype": "float32", "pad_token_id": 3, "tokenizer_class": "PreTrainedTokenizerFast", "use_cache": True,
        "layer_types": ["full_attention"], "sliding_window": None, "partial_rotary_factor": 1.0,
        "pretraining_tp": 1, "attention_dropout": 0.0, "quantization_config": None, "transformers_version": "4.50.0",
    },
    "generation_config": {
        **GENERATION, "pad_token_id": 3, "stop_strings": ["\n\nUser:"], "temperature": 0.7, "top_k": 5, "top_p": 0.9,
        "do_sample": True, "max_length": 64, "max_new_tokens": 9, "transformers_version": "4.50.0",
        "_from_model_config": True, "use_cache": True, "repetition_penalty": 1.0, "num_beams": 1, "min_length": 0,
    },
    "tokenizer_config": {
        **FAST, "bos_token": "<s>", "unk_token": "<unk>", "pad_token": "<p>", "sep_token": "<end>", "cls_token": "<c>",
        "mask_token": "<m>", "eot_token": "<end>", "image_token": "<new>", "add_bos_token": True, "legacy": True,
        "add_eos_token": False, "add_prefix_space": True, "clean_up_tokenization_spaces": True,
        "split_special_tokens": True, "additional_special_tokens": ["<turn>"], "extra_special_tokens": ["<x>"],
        "added_tokens_decoder": NEW, "chat_template": CHATML, "fast_tokenizer_files": ["tokenizer.4.0.0.json"],
        "model_max_length": 512, "padding_side": "left", "truncation_side": "right", "use_fast": True,
        "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": True,
        "model_input_names": ["input_ids"], "name_or_path": "x", "special_tokens_map_file": None,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Files of weights by the width of a head; the directories hold links to them, as the hub's cache does."""
    place = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**CONFIG))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, 0.0, 0.4)
    model.save_pretrained(place)
    return place / "model.safetensors"


@pytest.fixture
def here(monkeypatch):
    """Chats are rendered in this process: that each has one of its own, with limits, is tested elsewhere."""

    def render(text, variables):
        return template.sandbox().from_string(text).render(**json.loads(json.dumps(dict(variables))))

    monkeypatch.setattr(words, "render", render)


def directory_of(case, directory, weights):
    """The directory that a recipe makes; with a tokenizer for another version of the library beside the plain one."""
    directory.mkdir(exist_ok=True)
    written(directory, case["kind"], case["change"], **case["files"])
    for version, token in (("4.0.0", "<four>"), ("99.0.0", "<ninety-nine>")):
        told = (directory / "tokenizer.json").read_text().replace("<turn>", token)
        (directory / f"tokenizer.{version}.json").write_text(told)
    for name, text in case["templates"].items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_bytes(text.encode())
    os.link(weights, directory / "model.safetensors")
    return directory


def compare(directory, reference=None):
    """Everything that the two libraries make of a directory, or transformers of another one for reference."""
    reference = reference or directory
    ours, theirs = PublishedTokenizer.from_pretrained(directory), transformers.AutoTokenizer.from_pretrained(reference)
    assert ours.special == theirs.special_tokens_map and len(ours) == len(theirs)
    for text in [*TEXTS, MADE_UP]:
        ids = theirs(text)["input_ids"]
        assert ours.encode(text) == ids, text
        for skip in (True, False):
            assert ours.decode(ids, skip) == theirs.decode(ids, skip_special_tokens=skip), text
    for more in ({}, {"tools": TOOLS}, {"add_generation_prompt": False}):
        try:
            wanted = theirs.apply_chat_template(CHAT, tokenize=False, **{"add_generation_prompt": True, **more})
        except ValueError:
            with pytest.raises(ValueError, match="chat template"):
                ours.render(CHAT, **more)
        else:
            assert ours.render(CHAT, **more) == wanted
    model = LlamaForCausalLM.from_pretrained(directory)
    other = transformers.LlamaForCausalLM.from_pretrained(reference)
    assert next(model.parameters()).dtype == other.dtype
    model, other = model.float(), other.float().eval()
    ids = torch.tensor([ours.encode("The for statement") or [1]])
    with torch.inference_mode():
        torch.testing.assert_close(model(ids), other(ids).logits, atol=1e-4, rtol=1e-4)
    other.generation_config.stop_strings = None  # it asks for a tokenizer, and then ends after one, not before
    how = {"do_sample": False, "max_new_tokens": 12, "pad_token_id": 0}
    wanted = other.generate(ids, attention_mask=torch.ones_like(ids), **how)[0].tolist()
    got = model.generate(ids, 12, eos_token_id=ours.ends)[0].tolist()
    assert got == wanted[: len(got)] and (len(got) == ids.shape[1] + 12 or got[-1] in ours.ends)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:.*stop_strings")
def test_a_directory_is_read_as_transformers_reads_it(case, weights, here, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compare(directory_of(CASES[case], tmp_path, weights))


# Where transformers fails over a null, a field of null is one that is not there, and is held against that.
NULL_FAILS_THERE = """attention_bias mlp_bias hidden_act initializer_range max_position_embeddings rms_norm_eps
    tie_word_embeddings use_cache rope_theta added_tokens_decoder fast_tokenizer_files split_special_tokens
    padding_side truncation_side model_input_names""".split()


@pytest.mark.thorough
@pytest.mark.parametrize("kind", [BYTES, PIECES, WORDS])
@pytest.mark.parametrize("how", ["present", "absent", "null"])
@pytest.mark.parametrize("file, field", [(file, field) for file in FIELDS for field in FIELDS[file]])
@pytest.mark.filterwarnings("ignore")
def test_every_field_there_missing_and_null(file, field, how, kind, weights, here, tmp_path):
    usual = {"tokenizer_config": LLAMA if kind == PIECES else FAST, "config": CONFIG, "generation_config": GENERATION}
    told = dict(usual[file])
    told |= {field: FIELDS[file][field]} if how == "present" else {field: None} if how == "null" else {}
    if how == "absent":
        told.pop(field, None)
    directory = directory_of(of(kind, **{**usual, file: told}), tmp_path / "model", weights)
    sizes = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
             "num_key_value_heads")  # fmt: skip
    if field in sizes and how != "present":  # the default does not fit the weights
        with pytest.raises(ValueError, match="config.json"):
            LlamaForCausalLM.from_pretrained(directory)
    elif how == "null" and field in NULL_FAILS_THERE:
        compare(directory, reference=without(field, file, directory, tmp_path))
    else:
        compare(directory)


def without(field, file, directory, place):
    """A copy of a directory whose file lacks a field."""
    shutil.copytree(directory, place / "without", copy_function=os.link)
    path = place / "without" / f"{file}.json"
    told = json.loads(path.read_text())
    path.unlink()
    path.write_text(json.dumps({name: value for name, value in told.items() if name != field}))
    return place / "without"
