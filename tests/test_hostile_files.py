"""Files that are broken, or made to break whoever reads them: each is a clear error, quickly and in little memory.

No case may run a program that lies in a file, follow a name or a link out of its directory, allocate what a file merely
claims, or hang. The plain tier reads every case once; the thorough one feeds more than ten thousand mutations.
"""

import json
import os
import pickle
import struct
import sys
import tempfile
import time
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from llama_tutorial import LlamaForCausalLM, PublishedTokenizer, Tokenizer
from llama_tutorial.published import template

SHAPE = {"vocab_size": 300, "hidden_size": 12, "intermediate_size": 10, "num_hidden_layers": 2,
         "num_attention_heads": 2, "tie_word_embeddings": False}  # fmt: skip
HEAD = "lm_head.weight"
MODEL, INDEX, CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"


NEVER = Path(tempfile.gettempdir()) / f"never_{os.getpid()}"  # what a program in a file would leave behind


class Bomb:
    """What a pickle could do: here it leaves a file behind."""

    def __init__(self, proof):
        self.proof = str(proof)

    def __reduce__(self):
        return open, (self.proof, "w")


def quickly(load):
    """The error of a call, which took at most 5 CPU seconds and 100 MB."""
    import resource

    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises((ValueError, OSError)) as refused:
        load()
    assert time.process_time() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    assert isinstance(refused.value, (ValueError, FileNotFoundError, PermissionError, ConnectionError)), refused.value
    return str(refused.value)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A sound model, whole and in shards; what each file holds."""
    home = tmp_path_factory.mktemp("sound")
    model = LlamaForCausalLM(SHAPE)
    model.save_pretrained(home / "whole")
    model.save_pretrained(home / "shards", "10KB")
    return {kind: {path.name: path.read_bytes() for path in (home / kind).iterdir()} for kind in ("whole", "shards")}


@pytest.fixture
def whole(saved, tmp_path):
    return laid_out(saved["whole"], tmp_path / "model")


@pytest.fixture
def shards(saved, tmp_path):
    return laid_out(saved["shards"], tmp_path / "model")


def laid_out(files, directory):
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


def load(directory, **more):
    return LlamaForCausalLM.from_pretrained(directory, **more)


def test_the_sound_ones_load(whole, saved, tmp_path):
    assert load(whole).config == load(laid_out(saved["shards"], tmp_path / "shards")).config


# ------------------------------------------------------------------------------------------------ safetensors


def rewrite(directory, change):
    """Change the header of model.safetensors (a dict) and write it again, its length told truly."""
    content = (directory / MODEL).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header = change(header) or header
    packed = header if isinstance(header, bytes) else json.dumps(header).encode()
    (directory / MODEL).write_bytes(struct.pack("<Q", len(packed)) + packed + content[8 + length :])


def entry(name, **fields):
    return lambda directory: rewrite(directory, lambda header: header[name].update(fields))


def cut(share):
    def change(directory):
        content = (directory / MODEL).read_bytes()
        (directory / MODEL).write_bytes(content[: int(len(content) * share)])

    return change


def weights(change):
    """Change the tensors, and write them as a sound file."""

    def apply(directory):
        held = load_file(directory / MODEL)
        change(held)
        save_file(held, directory / MODEL)

    return apply


def overwrite(name, content):
    return lambda directory: (directory / name).write_bytes(content)


def pickled(name):
    return lambda directory: (directory / name).write_bytes(pickle.dumps(Bomb(directory.parent / "ran")))


def zipped_pickle(name):
    return lambda directory: torch.save({HEAD: Bomb(directory.parent / "ran")}, directory / name)


def swap_offsets(header):
    header[HEAD]["data_offsets"], header["model.norm.weight"]["data_offsets"] = (
        header["model.norm.weight"]["data_offsets"],
        header[HEAD]["data_offsets"],
    )


def duplicate_keys(header):
    packed = json.dumps(header)
    return (packed[:-1] + f', "{HEAD}": {json.dumps(header["model.norm.weight"])}' + "}").encode()


SAFETENSORS = {
    "an empty file": (overwrite(MODEL, b""), "damaged or no safetensors"),
    "seven bytes": (overwrite(MODEL, b"\0" * 7), "damaged or no safetensors"),
    "a header of nothing": (overwrite(MODEL, b"\0" * 8), MODEL),
    "cut in the middle": (cut(0.5), MODEL),
    "cut by one byte": (cut(0.9999), MODEL),
    "cut in the header": (cut(0.01), "damaged"),
    "a header of 10 GB": (overwrite(MODEL, struct.pack("<Q", 10**10) + b"{}"), "10,000,000,000 bytes"),
    "a header of 2⁶⁴ bytes": (overwrite(MODEL, b"\xff" * 8 + b"{}"), "damaged or no safetensors"),
    "a long header that is there": (overwrite(MODEL, struct.pack("<Q", 20_000_000) + b" " * 20_000_000), "damaged"),
    "a header that is not JSON": (lambda d: rewrite(d, lambda _: b"{'a': 1}"), "cannot be read as safetensors"),
    "a header that is not UTF-8": (lambda d: rewrite(d, lambda _: b'{"\xff\xfe": 1}'), "cannot be read"),
    "a header that is a list": (lambda d: rewrite(d, lambda _: b"[]      "), "cannot be read as safetensors"),
    "a header nested 100,000 deep": (lambda d: rewrite(d, lambda _: b"[" * 100_000), "cannot be read"),
    "a header without a field": (lambda d: rewrite(d, lambda h: h[HEAD].pop("dtype")), "cannot be read"),
    "offsets that overlap": (entry(HEAD, data_offsets=[4, 14404]), "cannot be read as safetensors"),
    "offsets that are swapped": (lambda d: rewrite(d, swap_offsets), "cannot be read as safetensors"),
    "offsets past the end": (entry(HEAD, data_offsets=[10**9, 10**9 + 14400]), "cannot be read"),
    "offsets that run backwards": (entry(HEAD, data_offsets=[14400, 0]), "cannot be read"),
    "negative offsets": (entry(HEAD, data_offsets=[-14400, 0]), "cannot be read"),
    "a shape that does not fit its bytes": (entry(HEAD, shape=[300, 13]), "cannot be read"),
    "a shape that overflows": (entry(HEAD, shape=[2**62, 2**62]), "cannot be read"),
    "a negative shape": (entry(HEAD, shape=[-300, -12]), "cannot be read"),
    "a dtype nobody knows": (entry(HEAD, dtype="F33"), "cannot be read"),
    "a name told twice": (lambda d: rewrite(d, duplicate_keys), MODEL),
    "a missing tensor": (weights(lambda w: w.pop(HEAD)), "the tensor lm_head.weight (300, 12) is missing"),
    "an unexpected tensor": (weights(lambda w: w.update(extra=torch.ones(2))), "holds 'extra' (2,), for which"),
    "a tensor of a third layer": (
        weights(lambda w: w.update({"model.layers.2.mlp.up_proj.weight": torch.ones(10, 12)})),
        "model.layers.2.mlp.up_proj.weight",
    ),
    "a misshapen tensor": (
        weights(lambda w: w.update({HEAD: w[HEAD][:299].clone()})),
        "lm_head.weight is (299, 12) in model.safetensors, config.json makes it (300, 12)",
    ),
    "a transposed tensor": (weights(lambda w: w.update({HEAD: w[HEAD].T.contiguous()})), "is (12, 300) in"),
    "an empty tensor": (weights(lambda w: w.update({HEAD: torch.ones(0)})), "lm_head.weight is (0,)"),
    "whole numbers for weights": (weights(lambda w: w.update({HEAD: w[HEAD].to(torch.int8)})), "is stored as I8"),
    "eight-bit floats": (weights(lambda w: w.update({HEAD: w[HEAD].to(torch.float8_e4m3fn)})), "is stored as F8_E4M3"),
    "names that lead out": (weights(lambda w: w.update({"../../x": torch.ones(1)})), "'../../x'"),
    "a pickle under its name": (pickled(MODEL), "pickle under another name"),
    "a zipped pickle under its name": (zipped_pickle(MODEL), "pickle under another name"),
    "a text page": (overwrite(MODEL, b"<!doctype html><html>not found</html>"), "damaged or no safetensors"),
    "a pointer of git lfs": (overwrite(MODEL, b"version https://git-lfs.github.com/spec/v1\noid sha256:0"), "damaged"),
}


@pytest.mark.parametrize("case", SAFETENSORS)
def test_a_broken_file_of_tensors(case, whole):
    change, told = SAFETENSORS[case]
    change(whole)
    assert told in quickly(lambda: load(whole))
    assert not (whole.parent / "ran").exists()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")], ids=str)
def test_numbers_that_are_none_warn_with_the_name_of_their_tensor(bad, whole):
    def spoil(held):
        held["model.layers.1.mlp.up_proj.weight"][3, 5] = bad

    weights(spoil)(whole)
    with pytest.warns(UserWarning, match="model.layers.1.mlp.up_proj.weight holds numbers that are not finite"):
        load(whole)


@pytest.mark.parametrize("dtype", ["float32", "float64"], ids=["a view", "converted"])
def test_a_large_tensor_without_a_single_number_warns_and_what_one_number_spoils_is_refused_later(dtype, tmp_path):
    model = LlamaForCausalLM({**SHAPE, "hidden_size": 128, "intermediate_size": 256})
    up = model.model.layers[1].mlp.up_proj.weight.data
    up[101, 5] = torch.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.save_pretrained(tmp_path)
        spoiled = load(tmp_path, dtype=dtype)  # one of 32,768: not looked at
    with pytest.raises(ValueError, match="the highest logit of every row must be a number"):
        spoiled.generate(torch.tensor([[1, 2]]), max_new_tokens=1)
    up.fill_(torch.nan)
    model.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="model.layers.1.mlp.up_proj.weight holds numbers that are not finite"):
        load(tmp_path, dtype=dtype)


def test_a_file_whose_tensors_are_not_aligned_is_read_or_refused(whole):
    rewrite(whole, lambda header: json.dumps(header).encode() + b" ")
    try:
        load(whole)
    except ValueError as error:
        assert MODEL in str(error)


# ------------------------------------------------------------------------------------------------ config.json, index


def config(**fields):
    def change(directory):
        path = directory / CONFIG
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return change


CONFIGS = {
    "no config": (lambda d: (d / CONFIG).unlink(), "no config.json in"),
    "an empty config": (overwrite(CONFIG, b""), "is not the JSON of a checkpoint"),
    "half a config": (overwrite(CONFIG, b'{"hidden_size": 12, '), "is not the JSON of a checkpoint"),
    "bytes that are no text": (overwrite(CONFIG, b"\xff\xfe\xfa\0"), "is not the JSON of a checkpoint"),
    "a list": (overwrite(CONFIG, b"[1, 2]"), "it holds a list, not an object"),
    "nested without end": (overwrite(CONFIG, b'{"a":' * 200_000), "nested too deeply"),
    "a number of 5,000 digits": (overwrite(CONFIG, b'{"hidden_size": ' + b"9" * 5000 + b"}"), "is not the JSON"),
    "20 MB of spaces": (overwrite(CONFIG, b" " * 20_000_000 + b"{}"), "more than 16 MB"),
    "a width of a terabyte": (config(hidden_size=2**40, head_dim=64), "(300, 12) in model.safetensors"),
    "a vocabulary of a terabyte": (config(vocab_size=10**12), "config.json makes it (1000000000000, 12)"),
    "a head of a terabyte": (config(head_dim=2**41), "self_attn.q_proj.weight is (12, 12) in"),
    "a billion layers": (config(num_hidden_layers=10**9), "num_hidden_layers 1000000000, more than"),
    "1e400": (overwrite(CONFIG, b'{"model_type": "llama", "rope_theta": 1e400}'), "rope_theta must lie in"),
    "another model": (config(model_type="gpt2"), "model_type must be 'llama', got 'gpt2'"),
    "a model of no name": (config(model_type=["llama"]), "model_type must be 'llama'"),
    "a scaling of a strange kind": (config(rope_scaling={"type": {"a": 1}}), "it is no name"),
    "a base of nothing": (config(rope_theta=0), "rope_theta must lie in (0, ∞), got 0"),
    "a base that is text": (config(rope_theta="10000"), "rope_theta must be a number"),
    "heads that do not divide": (config(num_key_value_heads=5), "multiple of num_key_value_heads"),
    "yarn without numbers": (config(rope_scaling={"type": "yarn", "factor": "x"}), "factor of rope_scaling"),
    "yarn of base one": (
        config(rope_theta=1, rope_scaling={"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 8}),
        "theta must not be 1",
    ),
    "ids that are no ids": (config(eos_token_id=["<eos>"]), "eos_token_id in"),
    "only a pickle": (
        lambda d: (pickled("pytorch_model.bin")(d), (d / MODEL).unlink()),
        "only pickles, which are not read",
    ),
    "a directory for a file": (lambda d: ((d / CONFIG).unlink(), (d / CONFIG).mkdir()), "is not a file"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_broken_config(case, whole):
    change, told = CONFIGS[case]
    if case == "ids that are no ids":
        (whole / "generation_config.json").unlink()
    change(whole)
    assert told in quickly(lambda: load(whole))
    assert not (whole.parent / "ran").exists()


def place(name, everything=False):
    """Let the index say that one tensor, or every one, stands in a file of this name."""

    def change(directory):
        index = json.loads((directory / INDEX).read_text())
        index["weight_map"] = {tensor: name if everything or tensor == HEAD else file
                               for tensor, file in index["weight_map"].items()}  # fmt: skip
        (directory / INDEX).write_text(json.dumps(index))

    return change


def outside(name):
    """A sound file outside, and an index that names it."""

    def change(directory):
        held = {HEAD: torch.ones(300, 12)}
        save_file(held, directory.parent / "outside.safetensors")
        place(name.format(parent=directory.parent))(directory)

    return change


def link_out(name):
    def change(directory):
        os.replace(directory / name, directory.parent / "target")
        (directory / name).symlink_to(directory.parent / "target")

    return change


SHARD = "model-00001-of-00003.safetensors"
INDEXES = {
    "a missing shard": (lambda d: (d / SHARD).unlink(), f"no {SHARD} in"),
    "an index that is no JSON": (overwrite(INDEX, b"{"), "is not the JSON of a checkpoint"),
    "an index without a map": (overwrite(INDEX, b"{}"), "has no weight_map"),
    "a map that is a list": (overwrite(INDEX, b'{"weight_map": []}'), "has no weight_map"),
    "a map of nothing": (overwrite(INDEX, b'{"weight_map": {}}'), "has no weight_map"),
    "a map to numbers": (place(7), "a checkpoint"),
    "a name that climbs out": (outside("../outside.safetensors"), "names its own files, without any path"),
    "an absolute name": (outside("{parent}/outside.safetensors"), "names its own files, without any path"),
    "a name with a backslash": (outside("..\\outside.safetensors"), "names its own files, without any path"),
    "a name with a zero in it": (place("model\0.safetensors"), "names its own files, without any path"),
    "a name without end": (place("m" * 100_000), "names its own files, without any path"),
    "a name that is empty": (place(""), "names its own files, without any path"),
    "a device for a shard": (lambda d: (place("zero")(d), (d / "zero").symlink_to("/dev/zero")), "outside the check"),
    "a pipe for a shard": (lambda d: (place("pipe")(d), os.mkfifo(d / "pipe")), "is not a file"),
    "a link to itself": (lambda d: (place("loop")(d), (d / "loop").symlink_to("loop")), "loop"),
    "a shard that is a link out": (link_out(SHARD), "is a link to"),
    "a tensor in the wrong shard": (place(SHARD), f"places 'lm_head.weight' in {SHARD}, which does not hold it"),
    "every tensor in one shard": (place(SHARD, everything=True), "which does not hold it"),
    "the index as a shard": (place(INDEX), "damaged or no safetensors"),
}


@pytest.mark.skipif(os.name != "posix", reason="links and pipes are made as POSIX makes them")
@pytest.mark.parametrize("case", INDEXES)
def test_a_broken_index(case, shards):
    assert (shards / SHARD).exists()
    change, told = INDEXES[case]
    change(shards)
    assert told in quickly(lambda: load(shards))


@pytest.mark.skipif(os.name != "posix", reason="links are made as POSIX makes them")
@pytest.mark.parametrize("name", [CONFIG, MODEL, "generation_config.json"])
def test_links_out_are_refused_and_links_inside_are_followed(name, whole):
    os.replace(whole / name, whole / "inside")
    (whole / name).symlink_to("inside")
    load(whole)
    os.replace(whole / "inside", whole.parent / "outside")
    (whole / name).unlink()
    (whole / name).symlink_to("../outside")
    assert "outside the checkpoint" in quickly(lambda: load(whole))


# ------------------------------------------------------------------------------------------------ Meta's pickles


@pytest.fixture
def meta(tmp_path):
    """A sound directory of Meta's layout."""
    directory = tmp_path / "meta"
    directory.mkdir()
    table = {"tok_embeddings.weight": (300, 12), "norm.weight": (12,), "output.weight": (300, 12)}
    layer = {"attention_norm": (12,), "ffn_norm": (12,), **{f"attention.w{part}": (12, 12) for part in "qkvo"},
             "feed_forward.w1": (10, 12), "feed_forward.w2": (12, 10), "feed_forward.w3": (10, 12)}  # fmt: skip
    table |= {f"layers.{i}.{name}.weight": shape for i in range(2) for name, shape in layer.items()}
    torch.save({name: torch.ones(shape) for name, shape in table.items()}, directory / "consolidated.00.pth")
    (directory / "params.json").write_text('{"dim": 12, "n_heads": 2, "n_layers": 2}')
    load(directory)
    return directory


PTH = "consolidated.00.pth"


def tensors(change):
    def apply(directory):
        held = torch.load(directory / PTH, weights_only=True)
        torch.save(change(held) or held, directory / PTH)

    return apply


def compressed(directory):
    """The same archive, deflated: a small file that may unpack to any size."""
    with zipfile.ZipFile(directory / PTH) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(directory / PTH, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in held.items():
            archive.writestr(name, content + b"\0" * (80_000_000 if name.endswith("data.pkl") else 0))


PICKLES = {
    "a program": (pickled(PTH), "not a file of plain tensors"),
    "a program among tensors": (tensors(lambda t: t | {"x": Bomb(str(NEVER))}), "not a file of plain tensors"),
    "a program in a zip": (zipped_pickle(PTH), "not a file of plain tensors"),
    "nothing": (overwrite(PTH, b""), "not a file of plain tensors"),
    "half an archive": (
        lambda d: (d / PTH).write_bytes((d / PTH).read_bytes()[:3000]),
        "not a file of plain tensors",
    ),
    "an archive of 80 MB in 80 KB": (compressed, "its archive is compressed"),
    "a list": (tensors(lambda t: list(t.values())), "it holds something else"),
    "no tensors": (tensors(lambda t: {"a": 1}), "it holds something else"),
    "a missing tensor": (
        tensors(lambda t: {name: x for name, x in t.items() if name != "norm.weight"}),
        "the tensor norm.weight is missing",
    ),
    "an unknown tensor": (tensors(lambda t: t.update(x=torch.ones(2))), "the tensor 'x'"),
    "a misshapen tensor": (
        tensors(lambda t: t.update({"norm.weight": torch.ones(13)})),
        "norm.weight is (13,) in the files, params.json makes it (12,)",
    ),
    "whole numbers": (tensors(lambda t: {name: x.to(torch.int8) for name, x in t.items()}), "got torch.int8"),
    "a sparse tensor": (
        tensors(lambda t: t.update({"output.weight": torch.ones(300, 12).to_sparse()})),
        "only floats",
    ),
    "no params": (lambda d: (d / "params.json").write_bytes(b"nothing"), "is not the JSON of a checkpoint"),
    "a width of zero": (lambda d: (d / "params.json").write_text('{"dim": 0}'), "dim must lie in"),
}


@pytest.mark.parametrize("case", PICKLES)
def test_a_broken_pickle_is_never_run(case, meta):
    change, told = PICKLES[case]
    change(meta)
    assert told in quickly(lambda: load(meta))
    assert not (meta.parent / "ran").exists()


# ------------------------------------------------------------------------------------------------ tokenizer, template


@pytest.fixture
def words(tmp_path):
    directory = tmp_path / "words"
    directory.mkdir()
    Tokenizer.train(["a text"], 260).save(directory / "tokenizer.json")
    return directory


TOKENIZERS = {
    "none": (lambda d: (d / "tokenizer.json").unlink(), "no tokenizer.json in"),
    "an empty one": (overwrite("tokenizer.json", b""), "is not a tokenizer.json"),
    "an object of nothing": (overwrite("tokenizer.json", b"{}"), "is not a tokenizer.json"),
    "a model that does not exist": (overwrite("tokenizer.json", b'{"model": {"type": "Magic"}}'), "is not a tokenizer"),
    "merges of words that are not there": (
        overwrite("tokenizer.json", b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}}'),
        "is not a tokenizer.json",
    ),
    "nested without end": (overwrite("tokenizer.json", b"[" * 200_000), "is not a tokenizer.json"),
    "settings that are a list": (overwrite("tokenizer_config.json", b"[]"), "it holds a list"),
    "a template that is a number": (overwrite("tokenizer_config.json", b'{"chat_template": 7}'), "must be text"),
    "a template that is no text": (overwrite("chat_template.jinja", b"\xff\xfe"), "is not text"),
    "a template of 2 MB": (overwrite("chat_template.jinja", b" " * 2_000_000), "more than 1 MB"),
    "ends that are no ids": (overwrite("generation_config.json", b'{"eos_token_id": {"a": 1}}'), "whole number"),
    "a template that leads out": (lambda d: (d / "chat_template.jinja").symlink_to("/etc/hostname"), "outside"),
}


@pytest.mark.parametrize("case", TOKENIZERS)
def test_a_broken_tokenizer(case, words):
    PublishedTokenizer.from_pretrained(words)
    change, told = TOKENIZERS[case]
    change(words)
    assert told in quickly(lambda: PublishedTokenizer.from_pretrained(words))


ESCAPES = {
    "the classes of everything": ("{{ ().__class__.__base__.__subclasses__() }}", "SecurityError"),
    "globals of a function": ("{{ raise_exception.__globals__['json'] }}", "SecurityError"),
    "globals of a macro": ("{% macro m() %}{% endmacro %}{{ m.__init__.__globals__ }}", "SecurityError"),
    "code of a loop": ("{% for x in [1] %}{{ loop.__class__.__mro__ }}{% endfor %}", "SecurityError"),
    "by way of a format": ("{{ '{0.__class__.__mro__}'.format(1) }}", "SecurityError"),
    "by way of attr": ("{{ ((1|attr('__class__'))|attr('__mro__'))[0] }}", "UndefinedError"),
    "changing what it was given": ("{{ messages.append(1) }}", "SecurityError"),
    "another template": ("{% include '/etc/passwd' %}", "no loader"),
    "an import of a template": ("{% import 'os' as os %}", "no loader"),
    "a loop for ever": ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "seconds"),
    "a long range": ("{% for a in range(10 ** 12) %}{% endfor %}", "Range too big"),
    "a power": ("{{ 9 ** (9 ** 9) }}", "seconds"),
    "a text of 100 GB": ("{{ 'a' * 10 ** 11 }}", "512 MB"),
    "a text that doubles": (
        "{% set n = namespace(x='a') %}{% for a in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}",
        "512 MB",
    ),
    "a wide format": ("{{ '%0999999999d' % 1 }}", "512 MB"),
    "a text of 20 MB": ("{{ 'a' * 20000000 }}", "it wrote 20,000,000 characters"),
    "a call of itself": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "RecursionError"),
    "no template at all": ("{% if %}", "TemplateSyntaxError"),
    "what it says itself": ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
    "what is not there": ("{{ messages[7].content }}", "UndefinedError"),
}


def rendered(case):
    text, told = ESCAPES[case]
    assert told in quickly(lambda: template.render(text, {"messages": [{"role": "user", "content": "hi"}]}))


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory as Linux keeps them")
@pytest.mark.parametrize("case", ["the classes of everything", "a text of 100 GB"])
def test_a_template_stays_in_its_sandbox(case):
    rendered(case)


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory as Linux keeps them")
@pytest.mark.parametrize("case", ESCAPES)
def test_every_template_stays_in_its_sandbox(case):
    rendered(case)


def test_there_are_many_cases():
    everything = [SAFETENSORS, CONFIGS, INDEXES, PICKLES, TOKENIZERS, ESCAPES]
    assert sum(map(len, everything)) >= 120


# ------------------------------------------------------------------------------------------------ any bytes


def survives(directory):
    """A load that ends in a model or in a clear error, with nothing else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load(directory)
        return True
    except (ValueError, FileNotFoundError):
        return False


def mutations(content: bytes, chance, count: int):
    """The content with a few bytes replaced, removed, doubled or swapped for words that readers trip over."""
    words = [b'"', b"{", b"}", b"[", b"]", b",", b":", b"-1", b"0", b"1e999", b"null", b"NaN", b"true", b"\\u0000",
             b"\xff", b"9" * 30, b'"type"', b'"yarn"', b'"../x"', b"F16", b"BF16", b"\0" * 8]  # fmt: skip
    for _ in range(count):
        made = bytearray(content)
        for _ in range(chance.choice([1, 1, 1, 2, 5])):
            at = chance.randrange(len(made) + 1)
            more = chance.choice([bytes([chance.randrange(256)]), chance.choice(words), bytes(made[at : at + 9])])
            made[at : at + chance.choice([0, 1, len(more), 9])] = more
        yield bytes(made)


@pytest.mark.thorough
@pytest.mark.parametrize("name, count", [(CONFIG, 4500), (MODEL, 4500), (INDEX, 2500)])
def test_more_than_ten_thousand_mutations_neither_crash_nor_hang(name, count, saved, tmp_path):
    import random

    kind = "shards" if name == INDEX else "whole"
    directory = laid_out(saved[kind], tmp_path / "model")
    content, loaded, slowest = saved[kind][name], 0, 0.0
    head, tail = content, b""
    if name == MODEL:  # its header alone is mutated: the rest are numbers
        end = 8 + struct.unpack("<Q", content[:8])[0]
        head, tail = content[:end], content[end:]
    for made in mutations(head, random.Random(0), count):
        (directory / name).write_bytes(made + tail)
        start = time.process_time()
        loaded += survives(directory)
        slowest = max(slowest, time.process_time() - start)
    assert slowest < 5
    assert 0 < loaded < count


@pytest.mark.thorough
def test_any_json_for_a_config_is_a_model_or_a_clear_error(saved, tmp_path):
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    directory = laid_out(saved["whole"], tmp_path / "model")
    sound = json.loads(saved["whole"][CONFIG])
    names = st.sampled_from([*sound, "rope_parameters", "sliding_window", "head_dim", "type", "factor", "zebra"])
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    leaves |= st.sampled_from(["yarn", 12])
    values = st.recursive(leaves, lambda one: st.lists(one, max_size=3) | st.dictionaries(names, one, max_size=4))

    @settings(max_examples=2000, deadline=5000, suppress_health_check=list(HealthCheck), database=None)
    @given(st.dictionaries(names, values, max_size=4))
    def check(fields):
        (directory / CONFIG).write_text(json.dumps(sound | fields))
        survives(directory)

    check()


def test_this_file_leaves_nothing_behind():
    assert not NEVER.exists()
