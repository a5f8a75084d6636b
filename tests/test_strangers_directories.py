"""Directories of strangers: the same model under another spelling is read to the same numbers, or its kind is named.

What transformers reads is the reference, on the same files. What it fills with random numbers, ignores or reads
differently from what its author can have meant is refused here, with the cure in the message.
"""

import json
import pickle
import shutil
import warnings

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from test_checkpoint import written_as_meta

from llama_tutorial import LlamaForCausalLM, PublishedTokenizer
from llama_tutorial.published import fields as fields_of
from llama_tutorial.published.files import plain_name

SIZES = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 41, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}  # fmt: skip
TABLE, HEAD, Q = "model.embed_tokens.weight", "lm_head.weight", "model.layers.0.self_attn.q_proj"
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
IDS = torch.arange(40)[None]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Two models as transformers writes them, one with tied tables and one without."""
    found = {}
    for tied in (True, False):
        torch.manual_seed(tied)
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES, tie_word_embeddings=tied))
        for weight in model.parameters():
            torch.nn.init.normal_(weight, 0.0, 0.3)
        found[tied] = tmp_path_factory.mktemp("source") / str(tied)
        model.save_pretrained(found[tied])
    return found


@pytest.fixture
def changed(sources, tmp_path):
    """Makes a copy of a source with other weights, other fields of config.json, or other files."""

    def make(weights=None, tied=True, remove=(), **fields):
        directory = tmp_path / "model"
        shutil.copytree(sources[tied], directory, dirs_exist_ok=True)
        if weights is not None:
            held = {name: weight.clone() for name, weight in load_file(directory / "model.safetensors").items()}
            save_file(weights(held), directory / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((directory / "config.json").read_text()) | fields
        (directory / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k not in remove}))
        return directory

    return make


def ours(directory, warned=False, **options):
    """The logits of the model in a directory; no warning comes unless one is awaited."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if warned else "error")
        with torch.inference_mode():
            return LlamaForCausalLM.from_pretrained(directory, **options)(IDS)


def theirs(directory):
    with torch.inference_mode():
        return transformers.LlamaForCausalLM.from_pretrained(directory)(IDS).logits


def same(one, other):
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    return True


def refusal(directory, read=LlamaForCausalLM):
    with pytest.raises((ValueError, FileNotFoundError)) as refused:
        read.from_pretrained(directory)
    return str(refused.value)


# ------------------------------------------------------------------------------------------------ names of tensors


def renamed(rename):
    return lambda held: {rename(name): weight for name, weight in held.items()}


def by_the_head(held):
    held[HEAD] = held.pop(TABLE)
    return held


SPELLINGS = {
    "without model.": lambda name: name.removeprefix("model."),
    "model. twice": lambda name: "model." + name,
    "model. twice but the head": lambda name: name if name == HEAD else "model." + name,
    "some without model.": lambda name: name.removeprefix("model.") if "norm" in name else name,
}
WRAPPERS = {
    "torch.compile": lambda name: "_orig_mod." + name,
    "torch.compile of each layer": lambda name: name.replace("layers.0.", "layers.0._orig_mod."),
    "torch.compile of the inner model": lambda name: name.replace("model.", "model._orig_mod.", 1),
    "DistributedDataParallel": lambda name: "module." + name,
    "both": lambda name: "module._orig_mod." + name,
    "FSDP": lambda name: "_fsdp_wrapped_module." + name.replace("layers.1.", "layers.1._fsdp_wrapped_module."),
    "checkpointed layers": lambda name: name.replace("layers.1.", "layers.1._checkpoint_wrapped_module."),
}


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("case", SPELLINGS | WRAPPERS)
def test_the_same_tensors_under_other_names(case, tied, sources, changed):
    directory = changed(renamed((SPELLINGS | WRAPPERS)[case]), tied)
    assert same(ours(directory), theirs(sources[tied]))
    if case in SPELLINGS:  # a wrapper's names are foreign to transformers, which fills them with random numbers
        assert same(ours(directory), theirs(directory))


def test_other_names_are_read_from_shards_too(sources, changed):
    directory = changed()
    held = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    names, placed = sorted(held), {}
    for i, part in enumerate((names[:9], names[9:]), start=1):
        file = f"model-{i:05}-of-00002.safetensors"
        save_file({"_orig_mod." + name: held[name] for name in part}, directory / file)
        placed |= {"_orig_mod." + name: file for name in part}
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    assert same(ours(directory), theirs(sources[True]))


def test_a_tied_table_is_found_under_either_of_its_names(sources, changed):
    wanted = theirs(sources[True])
    for weights in (by_the_head, lambda held: SPELL(by_the_head(held))):
        directory = changed(weights)
        assert same(ours(directory), wanted) and same(theirs(directory), wanted)
        model = LlamaForCausalLM.from_pretrained(directory)
        assert model.lm_head.weight is model.model.embed_tokens.weight


SPELL = renamed(SPELLINGS["without model."])


def test_a_head_that_is_not_there_is_never_drawn_at_random(changed):
    told = refusal(changed(lambda held: {name: held[name] for name in held if name != HEAD}, tied=False))
    assert "lm_head.weight (97, 32) is missing" in told and "set tie_word_embeddings" in told


def test_one_tensor_under_two_names_is_refused(changed):
    told = refusal(changed(lambda held: held | {"_orig_mod." + TABLE: held[TABLE] + 1}))
    assert TABLE in told and "two names of one tensor" in told and "remove one of them" in told


def test_what_rotary_embedding_once_stored_is_left_out(changed, sources):
    old = {"rotary_emb.inv_freq": (4,), "rotary_emb.cos_cached": (1, 1, 64, 8), "rotary_emb.sin_cached": (1, 1, 64, 8)}
    extra = {f"model.layers.{i}.self_attn.{name}": torch.rand(shape) for i in (0, 1) for name, shape in old.items()}
    directory = changed(lambda held: held | extra | {"model.rotary_emb.inv_freq": torch.rand(4)})
    assert same(ours(directory), theirs(directory)) and same(ours(directory), theirs(sources[True]))


def test_a_name_that_no_llama_has_stays_as_it_is():
    for name in ("score.weight", "model.score.weight", "transformer.h.0.attn.weight", "lm_head.bias", TABLE):
        assert plain_name(name) == name


# ------------------------------------------------------------------------------------------------ fields of config.json

EQUAL = {
    "silu by its other name": {"hidden_act": "swish"},
    "full attention, layer by layer": {"layer_types": ["full_attention"] * 2},
    "nothing in a list": {"no_rope_layers": [], "layer_types": None},
    "nothing in braces": {"rope_parameters": {}, "rope_scaling": {}},
    "null": {"head_dim": None, "num_key_value_heads": 2, "rope_scaling": None, "quantization_config": None},
    "no id for padding": {"pad_token_id": None, "bos_token_id": None},
    "a base outside the entry": {"rope_parameters": {"rope_type": "default"}, "rope_theta": 500.0},
    "two bases": {"rope_parameters": {"rope_type": "default", "rope_theta": 1000.0}, "rope_theta": 500.0},
    "a base inside rope_scaling": {"rope_parameters": None, "rope_scaling": {"type": "default", "rope_theta": 900.0}},
    "both entries, alike": {"rope_parameters": {"rope_type": "linear", "factor": 2, "rope_theta": 500.0},
                            "rope_scaling": {"type": "linear", "factor": 2.0}, "rope_theta": 500},
    "llama3 without a length": {"rope_parameters": LLAMA3},
    "llama3 with a length outside": {"rope_parameters": LLAMA3, "original_max_position_embeddings": 32},
    "llama3 with two lengths": {"rope_parameters": LLAMA3 | {"original_max_position_embeddings": 16},
                                "original_max_position_embeddings": 32},
    "dynamic": {"rope_parameters": {"rope_type": "dynamic", "factor": 4.0}},
    "dynamic, as it was once written": {"rope_parameters": None, "rope_scaling": {"type": "dynamic", "factor": 2},
                                        "rope_theta": 500.0},
    "dynamic in rope_scaling by its newer name": {"rope_parameters": None,
                                                  "rope_scaling": {"rope_type": "dynamic", "factor": 1.0}},
    "dynamic with a base inside": {"rope_parameters": {"rope_type": "dynamic", "factor": 8.0, "rope_theta": 500.0}},
    "dynamic with its length": {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0,
                                                    "original_max_position_embeddings": 64},
                                "original_max_position_embeddings": 64.0},
    "yarn without a length": {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}},
    "yarn without a length, as it was once written": {"rope_parameters": None,
                                                      "rope_scaling": {"type": "yarn", "factor": 4.0}},
    "yarn without a factor": {"rope_parameters": {"rope_type": "yarn", "factor": None,
                                                  "original_max_position_embeddings": 16}},
    "yarn with a length outside": {"rope_parameters": {"rope_type": "yarn", "factor": 4.0,
                                                       "original_max_position_embeddings": 16},
                                   "original_max_position_embeddings": 32},
    "yarn with zeros for its defaults": {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "mscale": 0,
                                                             "mscale_all_dim": 0.3, "beta_fast": None, "beta_slow": 0,
                                                             "original_max_position_embeddings": 16}},
}  # fmt: skip


@pytest.mark.parametrize("case", EQUAL)
def test_fields_that_transformers_reads_give_its_numbers(case, changed):
    directory = changed(**EQUAL[case])
    assert same(ours(directory), theirs(directory))


REFUSED = {
    "two entries that disagree about the base": (
        {"rope_parameters": {"rope_theta": 500.0}, "rope_scaling": {"rope_type": "linear", "factor": 4.0}},
        "rope_scaling and rope_parameters disagree, remove one of them",
    ),
    "an entry for each kind of layer": (
        {"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1000.0}}},
        "one entry for all layers, got one for 'full_attention'",
    ),
    "layers that see a window": ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types must be"),
    "GPTQ": ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "the weights are quantised by 'gptq'"),
    "a method without its name": ({"quantization_config": {"bits": 4}}, "the weights are quantised by an unknown"),
    "MLX": ({"quantization": {"group_size": 64, "bits": 4}}, "the weights are quantised by MLX"),
    "dynamic without a factor": ({"rope_parameters": {"rope_type": "dynamic"}}, "needs the numbers factor"),
    "dynamic from another length on": (
        {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 16}},
        "original_max_position_embeddings must be absent or max_position_embeddings = 64 with dynamic scaling, got 16",
    ),
    "dynamic from another length on, outside": (
        {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}, "original_max_position_embeddings": 128},
        "must be absent or max_position_embeddings = 64 with dynamic scaling, got 128: remove it",
    ),
    "a scaling that is not computed": (
        {"rope_parameters": {"rope_type": "longrope", "factor": 2.0}},
        "type 'longrope' is not supported, because this package does not compute it; default, dynamic, linear, llama3,",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_fields_that_ask_for_something_else_name_it(case, changed):
    fields, told = REFUSED[case]
    assert told in refusal(changed(**fields))


DYNAMIC = [
    {"rope_parameters": None, "rope_scaling": {"type": "dynamic", "factor": 2.0}},
    {"rope_parameters": None, "rope_scaling": {"rope_type": "dynamic", "factor": 4.0}, "rope_theta": 500.0},
    {"rope_parameters": {"rope_type": "dynamic", "factor": 8.0, "rope_theta": 500.0}},
]


@pytest.mark.parametrize("fields", DYNAMIC, ids=str)
def test_dynamic_scaling_is_read_and_saved_as_transformers_reads_it_up_to_its_length(fields, changed, tmp_path):
    directory, ids = changed(**fields), torch.arange(65)[None]
    model, other = LlamaForCausalLM.from_pretrained(directory), transformers.LlamaForCausalLM.from_pretrained(directory)
    model.save_pretrained(tmp_path / "again")
    again = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "again")
    with torch.inference_mode():
        assert same(model(ids[:, :64]), other(ids[:, :64]).logits)
        assert same(again(ids[:, :64]).logits, other(ids[:, :64]).logits)
        torch.testing.assert_close(again(ids).logits, other(ids).logits, atol=1e-5, rtol=0)  # its factor is kept too
        plain = LlamaForCausalLM({**model.config, "rope_scaling": None})
        plain.load_state_dict(model.state_dict())
        assert (plain(ids) - other(ids).logits).abs().max() > 1e-3  # what is refused would be other numbers
        with pytest.raises(ValueError, match="at most max_position_embeddings = 64 tokens"):
            model(ids)


@pytest.mark.parametrize("fields", DYNAMIC, ids=str)
@pytest.mark.parametrize("padded", [0, 3])
def test_dynamic_scaling_writes_the_text_of_transformers_up_to_its_length(fields, padded, changed):
    directory = changed(**fields, eos_token_id=None)
    model, other = LlamaForCausalLM.from_pretrained(directory), transformers.LlamaForCausalLM.from_pretrained(directory)
    ids = torch.stack([torch.arange(40), torch.arange(5, 45)])
    real = torch.ones(2, 40, dtype=torch.long)
    ids, real = torch.nn.functional.pad(ids, (padded, 0)), torch.nn.functional.pad(real, (padded, 0))
    real[1, : padded + 7] = 0
    how = {"do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    wanted = other.generate(ids, attention_mask=real, max_new_tokens=24, **how)
    assert wanted.shape == (2, 64 + padded)
    assert torch.equal(model.generate(ids, 24, attention_mask=real), wanted)
    with pytest.raises(ValueError, match="the prompt has 40 and leaves room for 24 more, got max_new_tokens=25"):
        model.generate(ids, 25, attention_mask=real)


@pytest.mark.parametrize("ids", [{"pad_token_id": -1}, {"pad_token_id": -1, "bos_token_id": -1, "eos_token_id": -1}])
def test_minus_one_means_none(ids, changed, tmp_path):
    directory = changed(**ids)
    (directory / "generation_config.json").write_text(json.dumps(ids | {"temperature": 0.5}))
    model = LlamaForCausalLM.from_pretrained(directory)
    assert same(model(IDS).detach(), theirs(directory))
    assert not any(model.special_ids[name] for name in ids)
    model.save_pretrained(tmp_path / "again")
    for name in ("config.json", "generation_config.json"):
        assert -1 not in json.loads((tmp_path / "again" / name).read_text()).values()


def test_a_pad_token_beyond_the_table_is_read_and_not_written_for_the_table(changed, tmp_path):
    directory = changed(pad_token_id=97)
    model = LlamaForCausalLM.from_pretrained(directory)
    assert same(model(IDS).detach(), ours(changed(pad_token_id=None)))
    model.save_pretrained(tmp_path / "again")  # where the id were kept, transformers could not make its table
    assert same(theirs(tmp_path / "again"), ours(tmp_path / "again"))


# ------------------------------------------------------------------------------------------------ other kinds

zeros = torch.zeros
KINDS = {
    "MLX": (lambda held: held | {Q + ".weight": zeros(32, 4, dtype=torch.uint32), Q + ".scales": zeros(32, 1),
                                 Q + ".biases": zeros(32, 1)}, "quantised by MLX"),
    "GPTQ": (lambda held: held | {Q + ".qweight": zeros(4, 32, dtype=torch.int32), Q + ".scales": zeros(1, 32),
                                  Q + ".qzeros": zeros(1, 4, dtype=torch.int32)}, "quantised by GPTQ or AWQ"),
    "bitsandbytes, 8 bits": (lambda held: held | {Q + ".weight": zeros(32, 32, dtype=torch.int8),
                                                  Q + ".SCB": zeros(32)}, "quantised by bitsandbytes"),
    "bitsandbytes, 4 bits": (lambda held: held | {Q + ".weight.quant_state.bitsandbytes__nf4": zeros(9).byte()},
                             "quantised by bitsandbytes"),
    "FP8": (lambda held: held | {Q + ".weight": zeros(32, 32).to(torch.float8_e4m3fn), Q + ".weight_scale": zeros(1)},
            "quantised by FP8"),
    "compressed-tensors": (lambda held: held | {Q + ".weight_packed": zeros(32, 4, dtype=torch.int32),
                                                Q + ".weight_scale": zeros(1)}, "quantised by compressed-tensors"),
    "a LoRA adapter, not merged": (lambda held: held | {Q + ".lora_A.default.weight": zeros(4, 32)}, "LoRA adapter"),
    "a base with an adapter around it": (renamed(lambda name: "base_model.model." + name), "LoRA adapter: merge it"),
    "eight bits without more": (lambda held: held | {Q + ".weight": zeros(32, 32).to(torch.float8_e4m3fn)},
                                "is stored as F8_E4M3"),
}  # fmt: skip


@pytest.mark.parametrize("case", KINDS)
def test_tensors_of_another_kind_name_it(case, changed):
    weights, told = KINDS[case]
    assert told in refusal(changed(weights))


def emptied(*names):
    def change(directory):
        (directory / "model.safetensors").unlink()
        for name in names:
            (directory / name).write_bytes(b"something")

    return change


def inside(name):
    def change(directory):
        shutil.copytree(directory, directory / name)
        (directory / "config.json").unlink(), (directory / "model.safetensors").unlink()

    return change


def adapter(directory):
    (directory / "config.json").rename(directory / "adapter_config.json")
    (directory / "model.safetensors").rename(directory / "adapter_model.safetensors")


DIRECTORIES = {
    "a LoRA adapter": (adapter, "it is a LoRA adapter"),
    "a GGUF file": (emptied("model.Q4_K_M.gguf"), "it holds a GGUF file"),
    "pickles": (emptied("pytorch_model.bin"), "only pickles, which are not read: convert them with transformers"),
    "Mistral's layout": (emptied("consolidated.safetensors"), "it has Mistral's layout"),
    "shards without their index": (emptied("model-00001-of-00002.safetensors"), "without model.safetensors.index.json"),
    "another name": (emptied("weights.safetensors"), "another name than model.safetensors"),
    "Flax": (emptied("flax_model.msgpack"), "it has Flax's layout"),
    "nothing": (emptied(), "a checkpoint's directory has one"),
    "no config.json": (lambda directory: (directory / "config.json").unlink(), "the weights are there"),
    "a run with checkpoints": (inside("checkpoint-500"), "checkpoint-500: give that directory"),
    "the hub's cache": (inside("snapshots/0123"), "snapshots/0123: give that directory"),
}


@pytest.mark.parametrize("case", DIRECTORIES)
def test_directories_of_another_kind_name_it(case, changed):
    change, told = DIRECTORIES[case]
    directory = changed()
    change(directory)
    assert told in refusal(directory)


def test_the_newest_of_several_checkpoints_is_named(changed):
    directory = changed()
    for step in (500, 1000, 900):
        (directory / f"checkpoint-{step}").mkdir()
        shutil.copy(directory / "config.json", directory / f"checkpoint-{step}")
    (directory / "config.json").unlink(), (directory / "model.safetensors").unlink()
    assert "checkpoint-1000: give that directory" in refusal(directory)


def test_only_a_tokenizer_model_is_named(changed):
    directory = changed()
    (directory / "tokenizer.model").write_bytes(b"\n\x0e")
    told = refusal(directory, PublishedTokenizer)
    assert "no tokenizer.json in" in told and "only tokenizer.model" in told and "AutoTokenizer" in told


@pytest.mark.parametrize("read", [LlamaForCausalLM, PublishedTokenizer])
def test_a_file_or_an_address_in_the_place_of_a_directory(read, changed):
    directory = changed()
    for file in (directory / "model.safetensors", str(directory / "config.json")):
        assert f"it is a file, give its directory, {directory}" in refusal(file, read)
    (directory / "some.gguf").write_bytes(b"GGUF")
    assert "it is a GGUF file" in refusal(directory / "some.gguf", read)
    told = refusal("https://huggingface.co/HuggingFaceTB/SmolLM2-135M/tree/main", read)
    assert 'give "HuggingFaceTB/SmolLM2-135M"' in told


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "generation_config.json"])
def test_a_pointer_of_git_lfs_is_named(name, changed):
    directory = changed()
    (directory / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "pointer of Git LFS" in refusal(directory) and "git lfs pull" in refusal(directory)


def test_an_adapter_beside_a_whole_model_is_told(changed):
    directory = changed()
    (directory / "adapter_config.json").write_text("{}")
    with pytest.warns(UserWarning, match="a whole model and a LoRA adapter: its adapter is not applied"):
        LlamaForCausalLM.from_pretrained(directory)


# ------------------------------------------------------------------------------------------------ the hub's own cache


def in_the_cache(source, repository, inner):
    """The files of a directory as the hub's cache holds them: links from a snapshot's subfolder to the blobs."""
    directory = repository / "snapshots" / ("0" * 40) / inner
    (repository / "blobs").mkdir(parents=True), directory.mkdir(parents=True)
    up = "../" * len(directory.relative_to(repository).parts)
    for i, path in enumerate(sorted(source.iterdir())):
        shutil.copy(path, repository / "blobs" / str(i))
        (directory / path.name).symlink_to(f"{up}blobs/{i}")
    return directory


@pytest.mark.parametrize("inner", ["", "original", "a/b"])
@pytest.mark.parametrize("layout", ["transformers", "Meta"])
def test_links_inside_a_repository_of_the_cache_are_followed(layout, inner, sources, tmp_path):
    source = sources[True]
    if layout == "Meta":
        source = tmp_path / "meta"
        written_as_meta("llama-3", source)
    directory = in_the_cache(source, tmp_path / "hub/models--me--mine", inner)
    assert torch.equal(ours(directory), ours(source))
    (tmp_path / "short").symlink_to(directory)
    assert torch.equal(ours(tmp_path / "short"), ours(source))


@pytest.mark.parametrize("inner", ["", "original"])
def test_links_out_of_the_repository_are_refused(inner, sources, tmp_path):
    directory = in_the_cache(sources[True], tmp_path / "hub/models--me--mine", inner)
    blob = (directory / "config.json").resolve()
    for outside in (tmp_path / "hub/config.json", tmp_path / "hub/models--you--yours/config.json"):
        outside.parent.mkdir(exist_ok=True)
        shutil.copy(blob, outside)
        (directory / "config.json").unlink()
        (directory / "config.json").symlink_to(outside)
        assert "outside the checkpoint: put a copy of the file in its place" in refusal(directory)


# ------------------------------------------------------------------------------------------------ numbers that change


@pytest.mark.parametrize(
    "stored, kind, value",
    [
        (torch.float32, "float16", 70000.0),
        (torch.float32, "float16", -1e20),
        (torch.bfloat16, "float16", 1e6),
        (torch.float64, "float32", 1e300),
        (torch.float64, "bfloat16", -1e39),
        (torch.float32, "bfloat16", 3.4e38),
    ],
)
def test_a_conversion_that_makes_a_weight_infinite_warns_with_its_name(stored, kind, value, changed):
    def weights(held):
        held = {name: weight.to(stored) for name, weight in held.items()}
        held["model.layers.1.mlp.up_proj.weight"][17, 5] = value
        return held

    directory = changed(weights)
    with pytest.warns(UserWarning, match=rf"layers\.1\.mlp\.up_proj\.weight holds .* {kind} has no room") as told:
        model = LlamaForCausalLM.from_pretrained(directory, dtype=kind)
    assert len(told) == 1 and f"{abs(torch.tensor(value, dtype=stored).item()):.6g}" in str(told[0].message)
    assert model.model.layers[1].mlp.up_proj.weight.isinf().sum() == 1
    ours(directory, dtype=str(stored).removeprefix("torch."))  # its own dtype has room


def test_one_number_in_a_large_table_is_not_overlooked(tmp_path):
    sizes = SIZES | {"vocab_size": 5001}
    model = LlamaForCausalLM(sizes)
    with torch.no_grad():
        model.model.embed_tokens.weight[4001, 3] = 1e5
    model.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="model.embed_tokens.weight holds 100000, for which float16 has no room"):
        LlamaForCausalLM.from_pretrained(tmp_path, dtype="float16")
    fields = json.loads((tmp_path / "config.json").read_text()) | {"torch_dtype": "float16"}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    with pytest.warns(UserWarning, match="100000, for which float16 has no room"):  # also where the file asks for it
        LlamaForCausalLM.from_pretrained(tmp_path)


def test_what_was_infinite_before_is_not_laid_at_the_door_of_the_conversion(changed):
    def weights(held):
        held["model.norm.weight"][3] = float("inf")
        return held

    with pytest.warns(UserWarning, match="model.norm.weight holds numbers that are not finite"):
        LlamaForCausalLM.from_pretrained(changed(weights), dtype="float16")


# ------------------------------------------------------------------------------------------------ Meta's params.json


@pytest.fixture
def meta(tmp_path):
    """Makes a directory of Meta's layout with other fields in params.json."""

    def make(family="llama-3", **fields):
        directory = tmp_path / "meta"
        reference = written_as_meta(family, directory)
        params = json.loads((directory / "params.json").read_text()) | fields
        (directory / "params.json").write_text(json.dumps(params))
        return directory, reference

    return make


NEUTRAL = {
    "multiple_of": 256, "ffn_dim_multiplier": 1.3, "ffn_exp": 4.0, "max_batch_size": 32, "floor_scale": 8192.0,
    "attn_scale": 0.1, "attn_temperature_tuning": False, "use_qk_norm": False, "moe_args": None, "lora_args": None,
    "vision_chunk_size": -1, "vision_max_num_chunks": 4, "vision_num_cross_attention_layers": -1, "head_dim": 8,
    "attention_chunk_size": None, "nope_layer_interval": None, "vocab_size": 97, "rope_scaling_factor": 16,
    "quantization_args": {}, "use_scaled_rope": False,
}  # fmt: skip


def test_fields_of_params_that_change_nothing_are_silent(meta):
    wanted = ours(meta()[0])
    assert torch.equal(ours(meta(**NEUTRAL)[0]), wanted)


@pytest.mark.parametrize(
    "fields",
    [
        {"use_qk_norm": True},
        {"attention_chunk_size": 4},
        {"nope_layer_interval": 4},
        {"attn_temperature_tuning": True},
        {"moe_args": {"num_experts": 16}},
        {"vision_args": {"dim": 8}},
        {"vision_chunk_size": 448},
        {"vision_num_cross_attention_layers": 8},
        {"quantization_args": {"group_size": 32}},
        {"lora_args": {"rank": 16, "scale": 2.0}},
        {"vocab_size": 98},
        {"use_scaled_rope": "false"},
    ],
    ids=str,
)
def test_fields_of_params_that_change_the_numbers_are_refused_by_name(fields, meta):
    told = refusal(meta(**fields)[0])
    assert "params.json: " in told and next(iter(fields)) in told


def test_a_field_of_params_that_nobody_knows_warns(meta):
    directory, _ = meta(not_known=1, zebra=None)
    with pytest.warns(UserWarning, match="params.json has fields that .* leaves out: not_known$"):
        LlamaForCausalLM.from_pretrained(directory)


FACTORS = [{"rope_scaling_factor": 16}, {"rope_scaling_factor": 4.5, "rope_high_freq_factor": 2}]


@pytest.mark.parametrize("fields", FACTORS, ids=str)
def test_the_scaling_of_params_acts(fields, meta):
    directory, reference = meta(use_scaled_rope=True, **fields)
    rope = {"rope_type": "llama3", "factor": float(fields["rope_scaling_factor"]), "low_freq_factor": 1.0,
            "high_freq_factor": float(fields.get("rope_high_freq_factor", 4.0)), "rope_theta": 500000.0,
            "original_max_position_embeddings": 8192}  # fmt: skip
    shape = transformers.LlamaConfig.from_dict({**reference.config.to_dict(), "rope_parameters": rope})
    scaled = transformers.LlamaForCausalLM(shape).eval()
    scaled.load_state_dict(reference.state_dict())
    with torch.inference_mode():
        assert same(ours(directory), scaled(IDS).logits)
    model = LlamaForCausalLM.from_pretrained(directory)
    frequencies = scaled.model.rotary_emb.inv_freq
    torch.testing.assert_close(model.model.rotary_emb.inv_freq, frequencies, rtol=1e-6, atol=0)


def test_null_in_params_says_nothing(meta):
    wanted = ours(meta()[0])
    assert torch.equal(ours(meta(norm_eps=None, max_seq_len=None, head_dim=None, vocab_size=None)[0]), wanted)


# ------------------------------------------------------------------------------------------------ how to generate

WISHES = {"eos_token_id": [0, 5], "temperature": 0.6, "top_p": 0.9, "do_sample": True, "_from_model_config": False}


def test_generation_config_survives_loading_and_saving(changed, tmp_path):
    directory = changed(eos_token_id=[0, 5])
    (directory / "generation_config.json").write_text(json.dumps(WISHES))
    model = LlamaForCausalLM.from_pretrained(directory)
    for one, place in ((model, directory), (pickle.loads(pickle.dumps(model)).half(), tmp_path / "elsewhere")):
        one.save_pretrained(place)
        written = json.loads((place / "generation_config.json").read_text())
        assert {name: written.get(name) for name in WISHES} == WISHES
        reread = transformers.GenerationConfig.from_pretrained(place)
        assert (reread.temperature, reread.top_p, reread.eos_token_id) == (0.6, 0.9, [0, 5])
        assert LlamaForCausalLM.from_pretrained(place).generation_config == written


def test_the_special_ids_that_a_model_has_now_are_the_ones_written(changed):
    directory = changed()
    (directory / "generation_config.json").write_text(json.dumps(WISHES))
    model = LlamaForCausalLM.from_pretrained(directory)
    model.special_ids["eos_token_id"] = 7
    assert fields_of.published_generation(model)["eos_token_id"] == 7
    assert fields_of.published_generation(model)["temperature"] == 0.6
    assert "temperature" not in fields_of.published_generation(LlamaForCausalLM(SIZES))
