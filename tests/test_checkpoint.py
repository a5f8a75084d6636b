"""Published checkpoints load to the numbers of Hugging Face's Llama, and ours load there, in every layout.

Every family is a random small model of its published shape, written by transformers itself and read by us, compared in
float64 (two casts to float32 inside transformers are lifted, see test_parity.py). `python tests/test_checkpoint.py`
prints the worst difference of each.
"""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import test_parity
import torch
import transformers
from test_parity import difference, without_casts
from transformers.models.llama import modeling_llama

from llama_tutorial import LlamaConfig, LlamaForCausalLM, LlamaRotaryEmbedding, checkpoint
from llama_tutorial.published import saving

TOLERANCE = test_parity.TOLERANCE
LLAMA3 = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
SMALL = {"vocab_size": 97, "intermediate_size": 41, "num_hidden_layers": 2, "max_position_embeddings": 128}
GQA = {"hidden_size": 48, "num_attention_heads": 6, "num_key_value_heads": 2}
MHA = {"hidden_size": 40, "num_attention_heads": 4, "num_key_value_heads": 4}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}

NINE = {"hidden_size": 54, "num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True}

# What is special of each family's config.json, at a size that a test can have.
FAMILIES = {
    "llama-1": {**MHA, "rms_norm_eps": 1e-6},
    "llama-2": {**MHA, "rms_norm_eps": 1e-5, "max_position_embeddings": 4096},
    "llama-2-70b": {**GQA, "rms_norm_eps": 1e-5},
    "llama-3": {**GQA, "rms_norm_eps": 1e-5, "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
    "llama-3.1": {
        **GQA,
        "rope_parameters": {**LLAMA3, "factor": 8.0, "original_max_position_embeddings": 64, "rope_theta": 500000.0},
        "eos_token_id": [91, 92, 93],
    },
    "llama-3.2": {
        **GQA,
        "head_dim": 16,
        "tie_word_embeddings": True,
        "rope_parameters": {**LLAMA3, "factor": 32.0, "original_max_position_embeddings": 64, "rope_theta": 500000.0},
    },
    "smollm": NINE,
    "smollm2": {
        **NINE,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
        "eos_token_id": 2,
    },
    "tinyllama": {**GQA, "num_attention_heads": 8, "num_key_value_heads": 1, "rms_norm_eps": 1e-5},
    "linear": {**GQA, "rope_parameters": {"rope_type": "linear", "factor": 2.5, "rope_theta": 10000.0}},
    "yarn": {**GQA, "rope_parameters": {**YARN, "rope_theta": 10000.0}},
    "yarn-factor-given": {**GQA, "rope_parameters": {**YARN, "attention_factor": 1.3, "rope_theta": 500000.0}},
    "yarn-all-options": {
        **GQA,
        "rope_parameters": {**YARN, "rope_theta": 10000.0, "beta_fast": 16.0, "beta_slow": 2.0, "mscale": 0.7,
                            "mscale_all_dim": 1.1, "truncate": False},
    },
    "biases": {**GQA, "attention_bias": True, "mlp_bias": True},
}  # fmt: skip


PLAIN = ("llama-2", "llama-3.1", "llama-3.2", "tinyllama", "yarn", "biases")


def some_in_the_plain_tier(cases, *plain):
    """All cases, those that are not `plain` in the thorough tier."""
    return [case if case in plain else pytest.param(case, marks=pytest.mark.thorough) for case in cases]


def theirs_of(family: str, seed: int = 0) -> transformers.LlamaForCausalLM:
    """Hugging Face's model of a family, every weight random, gains and biases perturbed."""
    torch.manual_seed(seed)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL | FAMILIES[family]))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.normal_(float("norm" in name), 0.25)
    return model.eval()


def ids_of(seed: int = 0, seq: int = 61) -> torch.Tensor:
    return torch.randint(97, (2, seq), generator=torch.Generator().manual_seed(seed))


def gap(ours, theirs) -> float:
    """The worst difference of the logits in float64."""
    theirs.config._attn_implementation = "eager"
    with torch.inference_mode():
        return difference(ours.double()(ids_of()), theirs.double()(ids_of()).logits)


def read(directory, dtype=None):
    """Ours, with no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return LlamaForCausalLM.from_pretrained(directory, dtype=dtype)


@pytest.fixture(autouse=True)
def lifted(monkeypatch):
    without_casts(monkeypatch)


# ------------------------------------------------------------------------------------------------ from transformers


def written_by_transformers(family, directory, dtype=torch.float32, sharded=False):
    """Their model, saved by their library, and read by it in float64 (which keeps their frequencies in float32)."""
    theirs_of(family).to(dtype).save_pretrained(directory, **({"max_shard_size": "30KB"} if sharded else {}))
    return transformers.LlamaForCausalLM.from_pretrained(directory, dtype=torch.float64).eval()


@pytest.mark.parametrize("family", some_in_the_plain_tier(FAMILIES, *PLAIN))
def test_every_family_gives_the_same_logits_and_the_same_greedy_text(family, tmp_path, record_property):
    case = list(FAMILIES).index(family)
    dtype, sharded = [torch.float32, torch.bfloat16][case % 2], case % 3 == 0
    theirs = written_by_transformers(family, tmp_path, dtype, sharded)
    assert (tmp_path / "model.safetensors.index.json").exists() == sharded
    ours = read(tmp_path)
    assert {weight.dtype for weight in ours.parameters()} == {dtype} and not ours.training
    assert (ours.lm_head.weight is ours.model.embed_tokens.weight) == theirs.config.tie_word_embeddings
    worst = gap(ours, theirs)
    record_property("worst_difference", worst)
    assert worst <= TOLERANCE
    prompt, ours = ids_of(1, 7)[:1], ours.double()
    ends = ours.special_ids["eos_token_id"]
    assert ends == theirs.config.eos_token_id
    written = theirs.generate(prompt, max_new_tokens=9, do_sample=False, attention_mask=torch.ones_like(prompt))
    assert written.tolist() == ours.generate(prompt, 9, eos_token_id=ends).tolist()


@pytest.mark.thorough
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("wanted", ["float32", "torch.bfloat16", torch.float16, torch.float64], ids=str)
def test_any_dtype_is_read_as_any_other_exactly_as_torch_converts(stored, wanted, tmp_path):
    theirs = written_by_transformers("smollm2", tmp_path, stored)
    ours, kind = read(tmp_path, wanted), checkpoint.check_dtype(wanted)
    for name, weight in theirs.named_parameters():
        assert torch.equal(ours.get_parameter(name), weight.to(kind)), name
    assert {weight.dtype for weight in ours.parameters()} == {kind}
    assert {buffer.dtype for buffer in ours.buffers()} == {torch.float32}


@pytest.mark.parametrize("layout", ["one file", "Meta"])
def test_weights_that_were_loaded_can_be_trained_and_leave_the_file_as_it_was(layout, tmp_path):
    if layout == "Meta":
        written_as_meta("llama-3", tmp_path)
    else:
        written_by_transformers("llama-3.2", tmp_path)
    file = next(path for path in tmp_path.iterdir() if path.suffix in (".pth", ".safetensors"))
    before = file.read_bytes()
    with torch.inference_mode():
        ours = read(tmp_path)
    step = torch.optim.SGD(ours.parameters(), lr=1.0)
    ours(ids_of()).square().mean().backward()
    step.step()
    assert file.read_bytes() == before
    assert not torch.equal(ours.lm_head.weight, read(tmp_path).lm_head.weight)


# ------------------------------------------------------------------------------------------------ config.json


def old_spelling(config: dict) -> dict:
    """config.json as transformers 4 wrote it."""
    rope = dict(config.pop("rope_parameters"))
    theta, kind = rope.pop("rope_theta"), rope.pop("rope_type")
    return {**config, "rope_theta": theta, "rope_scaling": None if kind == "default" else {"type": kind, **rope}}


@pytest.mark.parametrize("family", ["llama-3", "llama-3.1", "linear", "yarn", "yarn-all-options"])
@pytest.mark.parametrize("spelling", some_in_the_plain_tier(["rope_type", "type", "both"], "type"))
def test_the_spellings_of_transformers_4_are_read(family, spelling, tmp_path):
    theirs = written_by_transformers(family, tmp_path)
    path = tmp_path / "config.json"
    config = old_spelling(json.loads(path.read_text()))
    scaling = config["rope_scaling"]
    if scaling:
        kind = scaling.pop("type")
        names = ("rope_type", "type") if spelling == "both" else (spelling,)
        config["rope_scaling"] = {**dict.fromkeys(names, kind), **scaling}
    path.write_text(json.dumps(config))
    assert gap(read(tmp_path), theirs) <= TOLERANCE


def test_what_a_config_omits_is_what_hugging_face_takes():
    theirs, ours = transformers.LlamaConfig(), checkpoint.translate_config({"model_type": "llama"})
    for name in set(LlamaConfig.__dataclass_fields__) - {"rope_theta", "rope_scaling"}:
        assert ours[name] == getattr(theirs, name), name
    assert (ours.rope_theta, ours.rope_scaling) == (10000.0, None)
    assert checkpoint.translate_config({"num_attention_heads": 8, "hidden_size": 64}).num_key_value_heads == 8


def test_null_means_omitted():
    nulls = dict.fromkeys([*LlamaConfig.__dataclass_fields__, "sliding_window", "quantization_config", "hidden_act"])
    assert checkpoint.translate_config(nulls) == checkpoint.translate_config({})


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"model_type": "mistral"}, "model_type must be 'llama', got 'mistral'"),
        ({"hidden_act": "gelu"}, "hidden_act must be 'silu', got 'gelu'"),
        ({"sliding_window": 4096}, "sliding_window must be absent, got 4096"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config must be absent"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"rope_interleaved": True}, "rope_interleaved must be False"),
        ({"final_logit_softcapping": 30.0}, "final_logit_softcapping"),
        ({"rope_scaling": {"type": "dynamic"}}, "needs the numbers factor"),
        ({"rope_scaling": {"rope_type": "longrope"}}, "'longrope' is not supported"),
        ({"rope_parameters": {"rope_type": "proportional"}}, "'proportional' is not supported"),
        ({"rope_scaling": {"rope_type": ["linear"]}}, "is no name"),
        ({"rope_scaling": {"rope_type": "linear"}}, "needs the numbers factor"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8}}, "low_freq_factor"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 0}}, "factor of rope_scaling"),
        ({"rope_scaling": "linear"}, "must be objects in braces"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.25}}, "partial_rotary_factor"),
        (
            {"rope_scaling": {"rope_type": "linear", "factor": 2}, "rope_parameters": {"rope_type": "default"}},
            "disagree",
        ),
        ({"num_attention_heads": 7}, "hidden_size must divide"),
        ({"num_attention_heads": 8, "num_key_value_heads": 3}, "multiple of num_key_value_heads"),
        ({"hidden_size": "4096"}, "hidden_size must be a whole number"),
        ({"hidden_size": -4096}, "hidden_size must lie in"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps"),
        ({"rope_theta": 10**400}, "rope_theta must be a number that a float can hold"),
        ({"attention_bias": 1}, "attention_bias must be True or False"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings"),
    ],
)
def test_what_would_change_the_numbers_is_refused_by_name(fields, told, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", **fields}))
    with pytest.raises(ValueError, match="config.json: ") as refused:
        LlamaForCausalLM.from_pretrained(tmp_path)
    assert told in str(refused.value)


def test_an_unknown_field_warns_and_a_harmless_one_does_not():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint.translate_config({"use_cache": True, "pretraining_tp": 2, "temperature": 0.6, "dtype": "float16"})
    with pytest.warns(UserWarning, match="config.json has fields that .* leaves out: mup_scale, zebra"):
        checkpoint.translate_config({"zebra": 1, "mup_scale": 2.0})
    with pytest.warns(UserWarning, match="rope_scaling has fields .*: zebra"):
        checkpoint.translate_config({"rope_scaling": {"type": "linear", "factor": 2.0, "zebra": 1}})


@pytest.mark.parametrize("dim", [8, 14, 64, 128])
@pytest.mark.parametrize("theta", [100.0, 10000.0, 500000.0])
@pytest.mark.parametrize(
    "more",
    [
        {"factor": 4.0, "original_max_position_embeddings": 2048},
        {"factor": 16.0, "original_max_position_embeddings": 4096, "attention_factor": 0.9},
        {"factor": 32.0, "original_max_position_embeddings": 64, "beta_fast": 8.0, "beta_slow": 0.5, "truncate": False},
        {"factor": 8.0, "original_max_position_embeddings": 512, "mscale": 0.707, "mscale_all_dim": 1.3},
        {"factor": 0.5, "original_max_position_embeddings": 512},
    ],
)
def test_yarn_is_bit_equal_to_hugging_face(dim, theta, more):
    rope = {"rope_type": "yarn", **more, "rope_theta": theta}
    shape = transformers.LlamaConfig(hidden_size=dim, num_attention_heads=1, head_dim=dim, rope_parameters=dict(rope))
    theirs = modeling_llama.LlamaRotaryEmbedding(shape)
    ours = LlamaRotaryEmbedding(dim, theta, {name: value for name, value in rope.items() if name != "rope_theta"})
    assert torch.equal(ours.inv_freq, theirs.inv_freq)
    assert ours.attention_factor == theirs.attention_scaling
    assert torch.equal(ours.double().inv_freq, theirs.inv_freq)  # made again, and still float32
    positions = torch.tensor([[0, 1, 511, 8191]])
    for part, wanted in zip(ours.angles(positions), theirs(torch.zeros(1), positions)):
        assert torch.equal(part, wanted[..., : dim // 2])


def test_yarn_slows_the_slow_hands_by_its_factor_and_leaves_the_fast_ones():
    plain = LlamaRotaryEmbedding(64).inv_freq
    slowed = LlamaRotaryEmbedding(64, scaling={**YARN, "original_max_position_embeddings": 512})
    assert torch.equal(slowed.inv_freq[:4], plain[:4])
    torch.testing.assert_close(slowed.inv_freq[-4:], plain[-4:] / 4)
    assert slowed.attention_factor == pytest.approx(1.1386, abs=1e-4)
    with pytest.raises(ValueError, match="beta_fast of rope_scaling must lie in"):
        LlamaRotaryEmbedding(64, scaling={**YARN, "beta_fast": -1.0})


# ------------------------------------------------------------------------------------------------ names and ties


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_the_table_of_names_is_that_of_the_model(biased, tied):
    config = LlamaConfig(**GQA, **SMALL, attention_bias=biased, mlp_bias=biased, tie_word_embeddings=tied)
    held = {name: tuple(weight.shape) for name, weight in LlamaForCausalLM(config).named_parameters()}
    assert checkpoint.tensor_shapes(config) == held


def test_inv_freq_of_old_files_is_skipped(tmp_path):
    from safetensors.torch import load_file, save_file

    theirs = written_by_transformers("llama-2", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights |= {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.zeros(5) for i in range(2)}
    save_file(weights, tmp_path / "model.safetensors")
    assert gap(read(tmp_path), theirs) <= TOLERANCE


@pytest.mark.parametrize("equal", [True, False])
def test_two_tables_in_a_tied_file_are_one_if_equal_and_two_if_not(equal, tmp_path):
    from safetensors.torch import load_file, save_file

    written_by_transformers("smollm2", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"] + (0 if equal else 0.5)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path)
    if equal:
        ours = read(tmp_path)
    else:
        with pytest.warns(UserWarning, match="two that differ: they are kept apart"):
            ours = LlamaForCausalLM.from_pretrained(tmp_path)
    assert (ours.lm_head.weight is ours.model.embed_tokens.weight) == equal == ours.config.tie_word_embeddings
    assert gap(ours, theirs) <= TOLERANCE


# ------------------------------------------------------------------------------------------------ into transformers


@pytest.mark.parametrize("family", some_in_the_plain_tier(FAMILIES, "llama-3.1", "smollm2"))
def test_what_we_save_is_read_by_transformers_and_by_us(family, tmp_path):
    case = list(FAMILIES).index(family)
    dtype, sharded = [torch.bfloat16, torch.float32][case % 2], case % 3 == 1
    written_by_transformers(family, tmp_path / "theirs", dtype)
    ours = read(tmp_path / "theirs")
    ours.save_pretrained(tmp_path / "ours", **({"max_shard_size": "30KB"} if sharded else {}))
    assert len(list((tmp_path / "ours").glob("*.safetensors"))) > sharded
    their_reader = transformers.LlamaForCausalLM.from_pretrained
    theirs, told = their_reader(tmp_path / "ours", output_loading_info=True)
    assert not any(told.values()) and {weight.dtype for weight in theirs.parameters()} == {dtype}
    theirs = their_reader(tmp_path / "ours", dtype=torch.float64)
    again = read(tmp_path / "ours")
    assert again.config == ours.config and again.special_ids == ours.special_ids
    assert theirs.config.eos_token_id == ours.special_ids["eos_token_id"]
    assert gap(ours, theirs.eval()) <= TOLERANCE and gap(again, theirs) == gap(ours, theirs)


def test_a_model_of_our_own_has_no_ends_and_transformers_adds_none(tmp_path):
    ours = LlamaForCausalLM({**GQA, **SMALL})
    ours.save_pretrained(tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert theirs.config.eos_token_id is theirs.generation_config.eos_token_id is None
    held = json.loads((tmp_path / "config.json").read_text())
    assert (held["architectures"], held["model_type"]) == (["LlamaForCausalLM"], "llama")
    from safetensors import safe_open

    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"} and "lm_head.weight" not in file.keys()


# ------------------------------------------------------------------------------------------------ saving


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


def test_shards_hold_at_most_what_they_may_and_the_index_names_all(tmp_path):
    from safetensors.torch import load_file

    ours = LlamaForCausalLM({**GQA, **SMALL})
    ours.save_pretrained(tmp_path, 30_000)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["weight_map"].keys() == dict(ours.named_parameters()).keys()
    assert index["metadata"]["total_size"] == sum(weight.nbytes for weight in ours.parameters())
    for path in tmp_path.glob("model-*.safetensors"):
        held = load_file(path)
        assert sum(weight.nbytes for weight in held.values()) <= 30_000 or len(held) == 1
        assert {index["weight_map"][name] for name in held} == {path.name}


@pytest.mark.skipif(os.name != "posix", reason="only there have files such modes")
def test_whoever_may_read_the_config_may_read_the_weights(tmp_path):
    LlamaForCausalLM({**GQA, **SMALL}).save_pretrained(tmp_path / "model", "20KB")
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "model").iterdir()}
    assert len(modes) > 4 and set(modes.values()) == {modes["config.json"]}, modes


def test_saving_again_keeps_other_files_and_leaves_no_old_shards(tmp_path):
    ours, place = LlamaForCausalLM({**GQA, **SMALL}), tmp_path / "model"
    ours.save_pretrained(place, 30_000)
    (place / "tokenizer.json").write_text("theirs")
    (place / "sub").mkdir()
    (place / "sub" / "note").write_text("kept")
    ours.save_pretrained(place)
    assert sorted(contents(place)) == ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"]
    assert (place / "tokenizer.json").read_text() == "theirs" and (place / "sub" / "note").read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_model_can_be_saved_where_it_was_loaded_from(tmp_path):
    written_by_transformers("smollm2", tmp_path / "model")
    ours = read(tmp_path / "model")  # its weights still lie in the file
    with torch.no_grad():
        ours.model.norm.weight.fill_(0.5)
    before = ours(ids_of())
    ours.save_pretrained(tmp_path / "model")
    assert torch.equal(ours(ids_of()), before) and torch.equal(read(tmp_path / "model")(ids_of()), before)


@pytest.mark.parametrize("step", ["write_json", "write_weights", "swap", "link"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "ctrl-c"])
def test_a_save_that_is_interrupted_changes_nothing(step, error, tmp_path, monkeypatch):
    ours, place = LlamaForCausalLM({**GQA, **SMALL}), tmp_path / "model"
    ours.save_pretrained(place)
    (place / "tokenizer.json").write_text("theirs")
    before = contents(place)

    def fail(*_):
        raise error

    monkeypatch.setattr(checkpoint if hasattr(checkpoint, step) else saving, step, fail)
    with pytest.raises(type(error)):
        LlamaForCausalLM({**GQA, **SMALL}).save_pretrained(place)
    assert contents(place) == before and [path.name for path in tmp_path.iterdir()] == ["model"]


def test_without_a_swap_in_one_step_the_old_one_is_put_aside_and_back(tmp_path, monkeypatch):
    import ctypes

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: None)  # as on a system without renameat2
    place, first, second = tmp_path / "model", LlamaForCausalLM({**GQA, **SMALL}), LlamaForCausalLM({**GQA, **SMALL})
    first.save_pretrained(place)
    second.save_pretrained(place)
    assert torch.equal(read(place).lm_head.weight, second.lm_head.weight)
    rename = Path.rename

    def fail_at_the_second(self, target):
        if self.name.endswith(".saving"):
            raise OSError("cut off")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_at_the_second)
    with pytest.raises(OSError, match="cut off"):
        first.save_pretrained(place)
    assert torch.equal(read(place).lm_head.weight, second.lm_head.weight)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="the swap in one step is Linux's")
def test_a_save_that_is_killed_leaves_the_old_directory_whole(tmp_path):
    """Killed without warning while the weights are being written; the directory still loads."""
    ours, place = LlamaForCausalLM({**GQA, **SMALL}), tmp_path / "model"
    ours.save_pretrained(place)
    before = contents(place)
    code = (
        "import os, sys; from llama_tutorial import LlamaForCausalLM\n"
        "from llama_tutorial.published import saving\n"
        "saving.swap = lambda *_: os.kill(os.getpid(), 9)\n"
        "LlamaForCausalLM.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[1])"
    )
    assert subprocess.run([sys.executable, "-c", code, str(place)], env=os.environ).returncode == -9
    assert contents(place) == before and torch.equal(read(place).lm_head.weight, ours.lm_head.weight)


@pytest.mark.parametrize("size", [0, -1, "", "many", "5 TB", 1.5, None, True, "0MB"])
def test_an_impossible_shard_size_is_refused(size, tmp_path):
    with pytest.raises(ValueError, match="max_shard_size must be"):
        LlamaForCausalLM({**GQA, **SMALL}).save_pretrained(tmp_path / "model", size)
    assert not list(tmp_path.iterdir())


def test_sizes_are_read_as_people_write_them():
    sizes = {5: 5, "7": 7, "2KB": 2000, "500 MB": 5e8, "5GB": 5e9, "1KiB": 1024, "2mb": 2e6, "1GiB": 2**30}
    assert {size: checkpoint.bytes_of(size) for size in sizes} == sizes


def test_a_file_or_the_place_where_one_stands_is_refused(tmp_path, monkeypatch):
    ours = LlamaForCausalLM({**GQA, **SMALL})
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match="file is a file"):
        ours.save_pretrained(tmp_path / "file")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="where you stand"):
        ours.save_pretrained(".")
    assert contents(tmp_path) == {"file": b"mine"}


# ------------------------------------------------------------------------------------------------ Meta's layout

META = {
    "llama-2": {},
    "llama-2-70b": {},
    "llama-3": {"rope_theta": 500000.0},
    "llama-3.1": {"rope_theta": 500000.0, "use_scaled_rope": True},
}


def written_as_meta(family, directory, shards=1, cut_table=1, dtype=torch.float32):
    """The same weights as Meta would have published them: its names, its pairing, its shards, its params.json."""
    theirs = theirs_of(family)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.copy_(weight.to(dtype))
    if family == "llama-3.1":  # what use_scaled_rope stands for at this width
        rope = {**LLAMA3, "factor": 32.0, "original_max_position_embeddings": 8192, "rope_theta": 500000.0}
        shape = transformers.LlamaConfig(**SMALL | FAMILIES[family] | {"rope_parameters": rope})
        made = transformers.LlamaForCausalLM(shape)
        made.load_state_dict(theirs.state_dict())
        theirs = made.eval()
    config, files = theirs.config, [{} for _ in range(shards)]
    for name, weight in theirs.state_dict().items():
        weight = weight.to(dtype)
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
        weight = checkpoint.to_neighbours(weight, heads) if heads else weight
        across = 1 if any(part in name for part in ("o_proj", "down_proj")) else cut_table if "embed" in name else 0
        parts = [weight] * shards if "norm" in name else weight.chunk(shards, dim=across)
        for file, part in zip(files, parts):
            file[checkpoint.meta_name(name)] = part.clone()
    directory.mkdir(exist_ok=True)
    for i, file in enumerate(files):
        torch.save({**file, "rope.freqs": torch.zeros(4)}, directory / f"consolidated.{i:02}.pth")
    params = {"dim": config.hidden_size, "n_layers": config.num_hidden_layers, "n_heads": config.num_attention_heads,
              "multiple_of": 256, "norm_eps": config.rms_norm_eps, "vocab_size": -1, **META[family]}  # fmt: skip
    if config.num_key_value_heads != config.num_attention_heads:
        params["n_kv_heads"] = config.num_key_value_heads
    (directory / "params.json").write_text(json.dumps(params))
    return theirs


@pytest.mark.parametrize("family", some_in_the_plain_tier(META, "llama-2", "llama-3.1"))
@pytest.mark.parametrize("shards, cut_table", [(1, 1), (2, 1), (2, 0)], ids=["one-file", "llama-2-cut", "llama-3-cut"])
def test_metas_layout_gives_the_same_logits(family, shards, cut_table, tmp_path, monkeypatch, record_property):
    monkeypatch.setitem(SMALL, "vocab_size", 98)
    monkeypatch.setitem(SMALL, "intermediate_size", 42)
    theirs = written_as_meta(family, tmp_path, shards, cut_table, torch.bfloat16)
    ours = read(tmp_path)
    assert {weight.dtype for weight in ours.parameters()} == {torch.bfloat16}
    worst = gap(ours, theirs)
    record_property("worst_difference", worst)
    assert worst <= TOLERANCE


def test_the_wrong_pairing_is_right_at_the_first_token_only(tmp_path):
    theirs = written_as_meta("llama-3", tmp_path)
    ours = read(tmp_path, torch.float64)
    with torch.no_grad():
        for layer in ours.model.layers:
            for part, heads in ((layer.self_attn.q_proj, 6), (layer.self_attn.k_proj, 2)):
                part.weight.copy_(checkpoint.to_neighbours(part.weight, heads))
    with torch.inference_mode():
        wrong, right = ours(ids_of()), theirs.double()(ids_of()).logits
    assert difference(wrong[:, :1], right[:, :1]) <= TOLERANCE < 0.05 < difference(wrong[:, 5:], right[:, 5:])


def test_the_pairings_are_each_others_inverse_and_say_which_rows_are_partners():
    rows = torch.arange(2 * 6)[:, None]
    assert checkpoint.to_halves(rows, 2).flatten().tolist() == [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]
    assert torch.equal(checkpoint.to_neighbours(checkpoint.to_halves(rows, 2), 2), rows)


@pytest.mark.parametrize(
    "change, error, told",
    [
        (lambda d: (d / "consolidated.00.pth").unlink(), FileNotFoundError, "a shard is missing"),
        (lambda d: [path.unlink() for path in d.glob("*.pth")], FileNotFoundError, "no consolidated.00.pth"),
        (lambda d: edit(d, n_heads=None), ValueError, "n_heads"),
        (lambda d: edit(d, n_layers=5), ValueError, "layers.2.attention_norm.weight is missing"),
        (lambda d: edit(d, n_layers=10**9), ValueError, "n_layers is 1000000000"),
        (lambda d: edit(d, n_layers=1), ValueError, "layers.1"),
        (lambda d: edit(d, n_kv_heads=3), ValueError, "attention.wk.weight is (8, 48) + (8, 48) in the files"),
        (lambda d: edit(d, moe_args={"num_experts": 8}), ValueError, "moe_args must be absent"),
        (lambda d: edit(d, dim=6 * 10**30), ValueError, "vocab_size"),
    ],
)
def test_a_broken_directory_of_meta_is_told(change, error, told, tmp_path, monkeypatch):
    monkeypatch.setitem(SMALL, "vocab_size", 98)
    monkeypatch.setitem(SMALL, "intermediate_size", 42)
    written_as_meta("llama-3", tmp_path, shards=2)
    change(tmp_path)
    with pytest.raises(error) as refused:
        LlamaForCausalLM.from_pretrained(tmp_path)
    assert told in str(refused.value)


def edit(directory, **fields):
    path = directory / "params.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


# ------------------------------------------------------------------------------------------------ memory


WATCHED_LOAD = """
import sys, threading, time
from llama_tutorial import LlamaForCausalLM
def now():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) * 1024
def watch():
    while not done:
        peak.append(now())
        time.sleep(0.001)
LlamaForCausalLM.from_pretrained(sys.argv[1])
peak, done = [now()], []
thread = threading.Thread(target=watch)
thread.start()
model = LlamaForCausalLM.from_pretrained(sys.argv[2], dtype=sys.argv[3] or None)
done.append(1)
thread.join()
print(max(*peak, now()) - peak[0], sum(weight.nbytes for weight in model.parameters()))
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="anonymous memory is counted as Linux counts it")
@pytest.mark.parametrize("wanted, most", [(None, 0.2), ("float32", 1.2)])
def test_loading_takes_no_more_memory_than_the_model(wanted, most, tmp_path):
    """Peak anonymous memory above the imported baseline, as a share of the larger of file and model."""
    config = {"hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 8}
    LlamaForCausalLM({**config, "vocab_size": 8192}).bfloat16().save_pretrained(tmp_path)
    tiny = {"hidden_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1}
    LlamaForCausalLM(tiny).save_pretrained(tmp_path / "tiny")
    words = [sys.executable, "-c", WATCHED_LOAD, str(tmp_path / "tiny"), str(tmp_path), wanted or ""]
    used, size = map(int, subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())
    assert used <= most * max(size, (tmp_path / "model.safetensors").stat().st_size), (used, size)


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with pytest.MonkeyPatch.context() as patch:
        without_casts(patch)
        for family in FAMILIES:
            for sharded in (False, True):
                with TemporaryDirectory() as directory:
                    theirs = written_by_transformers(family, directory, sharded=sharded)
                    print(f"{family:20} {'shards  ' if sharded else 'one file'} {gap(read(directory), theirs):.1e}")
        for family in META:
            with TemporaryDirectory() as directory:
                theirs = written_as_meta(family, Path(directory))
                print(f"{family:20} Meta     {gap(read(directory), theirs):.1e}")
