"""The command line in any terminal: narrow encodings, prompts from a pipe, marks before texts, devices, configs."""

import ast
import io
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import transformers

from llama_tutorial import checkpoint, cli, terminal
from llama_tutorial.classroom.course import by_name, solution
from llama_tutorial.commands import narrating, talking
from llama_tutorial.runs import directory
from llama_tutorial.terminal import reading

MARK = b"\xef\xbb\xbf"  # with which some files of UTF-8 begin
NARROW = ["cp1252", "cp850", "ascii", "cp437", "cp932", "gbk", "koi8-r", "latin-1"]


@pytest.fixture
def run(monkeypatch):
    """Runs a command line on streams of one encoding, as a terminal or a pipe has them; gives status and texts."""

    def run(*words, encoding="utf-8", stdin=b"", asks=None, errors="strict"):
        streams = {
            "stdin": io.TextIOWrapper(io.BytesIO(stdin), asks or encoding),
            "stdout": io.TextIOWrapper(io.BytesIO(), encoding, errors, newline="\n"),
            "stderr": io.TextIOWrapper(io.BytesIO(), encoding, "backslashreplace", newline="\n"),
        }
        with monkeypatch.context() as patch:
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            status = cli.run_command([str(word) for word in words])
            told = []
            for name in ("stdout", "stderr"):
                streams[name].flush()
                told.append(streams[name].buffer.getvalue())
        return status, *told

    return run


# ------------------------------------------------------------------------------------------------- narrow encodings


def test_the_commands_of_a_narrow_terminal_end_well():
    """The whole way once, in a process of its own, as Windows starts it where its output goes into a file."""
    for encoding in ("cp850", "ascii"):
        for words in (["narrate", "--tokens", "2"], ["train", "--help"]):
            command = [sys.executable, "-m", "llama_tutorial", *words]
            done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding})
            assert (done.returncode, done.stderr) == (0, b"")
            assert done.stdout.decode(encoding)


@pytest.mark.parametrize("encoding", NARROW)
def test_a_narration_stays_aligned_whatever_the_encoding(run, encoding):
    status, out, err = run("narrate", "--tokens", "2", encoding=encoding)
    assert (status, err) == (0, b"")
    lines = out.decode(encoding).splitlines()
    dot = "." if encoding in ("ascii", "cp932") else "·"
    assert lines[0].split() == f"parameters 134,515,008 {dot} layers 30 {dot} tokens 2 {dot} steps 125".split()
    arrow = "→" if encoding in ("cp932", "gbk") else "->"
    assert f"(1, 2, 576) {arrow} (1, 9, 2, 64)" in out.decode(encoding)
    dots = "…" if encoding in ("cp1252", "cp932", "gbk") else "..."
    assert lines[-1].strip().endswith(f"layers 1 {dots} 29 the same")
    where = lines[2].index("where")
    rows = [line for line in lines[3:] if re.match(r"\d", line)]
    assert len(rows) == len(lines) - 4 - 6                 # the kernel and its five steps have no number
    assert all(re.match(r" \w+:\d+$", row[where - 1 :]) for row in rows)


@pytest.mark.parametrize("encoding, begin", [
    ("utf-8", "naïve → 日本"), ("cp1252", r"naïve -> \u65e5\u672c"), ("cp850", r"naïve -> \u65e5\u672c"),
    ("ascii", r"naive -> \u65e5\u672c"), ("cp932", "naive → 日本"), ("utf-16", "naïve → 日本"),
])  # fmt: skip
def test_a_prompt_is_never_half_a_text(run, encoding, begin):
    words = ["generate", "naïve → 日本", "--max-new-tokens", "3", "--temperature", "0"]
    status, out, err = run(*words, encoding=encoding)
    assert (status, err.strip(b"\xff\xfe")) == (0, b"")
    rest = run(*words)[1].decode().removeprefix("naïve → 日本")
    assert out.decode(encoding) == begin + (rest.replace("”", '"') if encoding in ("cp850", "ascii") else rest)


def test_every_page_of_help_is_ascii(run):
    """The library that prints help writes UTF-8 into a terminal of ASCII, so help has no other characters."""
    import typer

    for name in [None, *typer.main.get_command(cli.app).commands]:
        status, out, err = run(*([name] if name else []), "--help", encoding="ascii")
        assert (status, err) == (0, b"") and out.isascii() and b"Usage: llama-tutorial" in out


def test_a_mistake_stays_one_line(run):
    status, out, err = run("generate", "x", "--model", "no/→日", encoding="ascii")
    assert (status, out, err.count(b"\n")) == (2, b"", 1) and rb"no/->\u65e5" in err


def test_a_solution_is_the_same_program_in_ascii():
    def bones(source):
        return ast.dump(ast.parse(re.sub(r"^\s+", "", source)), annotate_fields=False)

    def without_texts(dump):
        return re.sub(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", "''", dump)

    assert len(by_name()) > 20
    for name in by_name():
        text = solution(name)
        plain = text.encode("ascii", "llama-tutorial.nearest").decode()
        try:
            wanted = bones(text)
        except SyntaxError:  # an answer in words
            continue
        assert without_texts(bones(plain)) == without_texts(wanted), name


@pytest.mark.parametrize("text, wanted", [
    ("10⁻⁶ and d²", "10^-6 and d^2"), ("2½", "2 1/2"), ("√dim ≠ 3", "sqrt dim != 3"), ("[0, ∞)", "[0, inf)"),
    ("“two” ‘one’ – — −1", '"two" \'one\' - - -1'),
    ("Ångström, Łódź, straße, cœur, ﬁn", "Angstrom, Lodz, strasse, coeur, fin"),
    ("e\u0301\u00a0x\u2009y", "e x y"), ("（１）", "(1)"), ("✓ ✗ ○ …", "+ x o ..."), ("5 µs 5 μs", "5 us 5 us"),
    ("日 😀 \ufffd", r"\u65e5 \U0001f600 ?"), ("\ud800", r"\ud800"), ("नि", r"\u0928\u093f"),
])  # fmt: skip
def test_what_is_nearest(text, wanted):
    terminal.never_fail()
    assert text.encode("ascii", "llama-tutorial.nearest").decode() == wanted


def test_no_character_fails_and_what_can_be_written_stays():
    terminal.never_fail()
    every = [chr(i) for i in (*range(0x3000), *range(0xA000, 0xA100), *range(0xD7F0, 0xE010), *range(0xF900, 0x10000))]
    for encoding in NARROW:
        for character in every:
            written = character.encode(encoding, "llama-tutorial.nearest")
            try:
                assert written == character.encode(encoding)
            except UnicodeEncodeError:
                assert written.isascii() or "\udc80" <= character <= "\udcff"


def test_a_byte_in_the_name_of_a_file_stays_that_byte(run, monkeypatch):
    monkeypatch.setattr(cli, "tell_versions", lambda: print("runs/\udcff"))
    for encoding in ("utf-8", "cp1252", "ascii"):
        assert run("version", encoding=encoding) == (0, b"runs/\xff\n", b"")


def test_who_chose_how_to_replace_keeps_it(run, monkeypatch):
    monkeypatch.setattr(cli, "tell_versions", lambda: print("a → b"))
    assert run("version", encoding="ascii", errors="replace") == (0, b"a ? b\n", b"")


def test_a_closed_stdout_is_no_error(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.run_command(["version"]) == 0
    assert capsys.readouterr().err == ""


# -------------------------------------------------------------------------------------------------- what comes on stdin


@pytest.mark.parametrize("words", [["-"], []])
@pytest.mark.parametrize("stdin", [b"The for", b"The for\n", b"The for\r\n", MARK + b"The for\n"])
def test_a_prompt_from_stdin_is_that_prompt(run, words, stdin):
    how = ["--max-new-tokens", "6", "--temperature", "0"]
    for locale in ("utf-8", "cp1252"):
        assert run("generate", *words, *how, stdin=stdin, asks=locale) == run("generate", "The for", *how)


@pytest.mark.parametrize("stdin, locale, wanted", [
    ("a\n\nnaïve → 日\n\n".encode(), "utf-8", "a\n\nnaïve → 日\n"), ("naïve".encode(), "cp1252", "naïve"),
    ("naïve".encode("cp1252"), "cp1252", "naïve"), ("naïve".encode("cp850"), "cp850", "naïve"),
    (MARK + b"a\r\nb\rc", "ascii", "a\nb\nc"),
])  # fmt: skip
def test_what_a_pipe_hands_in(monkeypatch, stdin, locale, wanted):
    monkeypatch.setenv("PYTHONIOENCODING", locale)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), locale))
    assert talking.prompt_from_stdin("-") == wanted


def test_on_windows_the_locale_does_not_name_the_encoding_of_a_pipe(monkeypatch):
    """A pipe there is of another encoding than the locale says, and read by it é would become a comma."""
    monkeypatch.setattr(reading, "os", SimpleNamespace(name="nt", environ={}))
    with pytest.raises(ValueError, match="the prompt on stdin must be UTF-8, got byte 0x82 at 0: save it as UTF-8"):
        reading.decoded("é".encode("cp850"), "the prompt on stdin", "cp1252")


@pytest.mark.parametrize("stdin, told", [
    ("naïve".encode("latin-1"), "the prompt on stdin must be UTF-8, got byte 0xef at 2: save it as UTF-8"),
    ("The".encode("utf-16"), "the prompt on stdin must be UTF-8, got byte 0xff at 0"),
    (b"", "there is no prompt on stdin"), (b"\n", "there is no prompt on stdin"), (MARK, "there is no prompt on stdin"),
])  # fmt: skip
@pytest.mark.parametrize("words", [["-"], []])
def test_no_prompt_on_stdin_is_one_line(run, words, stdin, told):
    status, out, err = run("generate", *words, stdin=stdin)
    assert (status, out, err.count(b"\n")) == (2, b"", 1) and told in err.decode()


def test_utf_16_is_refused_in_a_locale_that_would_take_it_for_letters(run):
    status, out, err = run("generate", "-", stdin="The".encode("utf-16"), asks="latin-1")
    assert (status, out) == (2, b"") and b"must be UTF-8" in err


def test_who_sits_at_the_keyboard_is_told_of_the_prompt(monkeypatch, capsys):
    typed = io.TextIOWrapper(io.BytesIO(b"The"), "utf-8")
    typed.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", typed)
    assert cli.run_command(["generate"]) == 2
    assert "generate needs a prompt: give one" in capsys.readouterr().err
    assert talking.prompt_from_stdin("-") == "The"


@pytest.mark.parametrize("stdin", [None, io.StringIO()])
def test_no_stdin_at_all_is_an_empty_one(monkeypatch, capsys, stdin):
    monkeypatch.setattr(sys, "stdin", stdin)
    assert cli.run_command(["generate"]) == 2 and terminal.read_line() == ""
    assert "there is no prompt on stdin" in capsys.readouterr().err


def test_messages_from_a_pipe_come_line_by_line(monkeypatch):
    stdin = MARK + "The for\r\nnaïve\n".encode() + "naïve".encode("latin-1")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
    assert [terminal.read_line(), terminal.read_line()] == ["The for", "naïve"]
    with pytest.raises(ValueError, match="a message on stdin must be UTF-8, got byte 0xef at 2"):
        terminal.read_line()
    assert terminal.read_line() == ""


def test_the_mark_of_a_file_is_not_learnt(run, tmp_path, monkeypatch):
    seen, text = [], "The for statement is used to iterate. " * 9
    monkeypatch.setattr(directory, "train_directory", lambda out, text, *_, **__: seen.append(text()) or {
        "held_out_bits_per_byte": 1.0})  # fmt: skip
    for mark in (b"", MARK):
        (tmp_path / "a.txt").write_bytes(mark + text.encode())
        assert run("train", "--text", tmp_path / "a.txt", "--out", tmp_path / "out")[0] == 0
    assert seen[0] == seen[1] and seen[0].parts[0][0].startswith("The for")


# ------------------------------------------------------------------------------------------------------------- devices


@pytest.mark.parametrize("name", ["abacus", "cuda:99", "cuda:-1", "meta", "vulkan", "hpu", "mkldnn", "", "CPU"])
def test_a_device_that_is_not_there_is_one_line(name, capsys, recwarn):
    assert cli.run_command(["generate", "The", "--device", name]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and not recwarn.list
    told = f"--device {name or repr(name)} cannot be used here: name one that PyTorch has, cpu"
    assert err.startswith(f"llama-tutorial: {told}") and "ASSERT" not in err


def test_the_cpu_by_its_number_is_the_cpu(run):
    words = ["generate", "The for", "--max-new-tokens", "6", "--temperature", "0", "--device"]
    assert run(*words, "cpu:0") == run(*words, "cpu")
    assert talking.load_voice(None, None, "cpu:0")[0].lm_head.weight.dtype == torch.float32
    assert talking.device_of(None).type == ("cuda" if torch.cuda.is_available() else "cpu")


# ------------------------------------------------------------------------------------------------- published configs

SMALL = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 99}
SEVEN = {"hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32, "num_hidden_layers": 32}
ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192}  # fmt: skip
PUBLISHED = {
    "nothing": {}, "one layer": {"num_hidden_layers": 1}, "no vocabulary": SEVEN, "small": SMALL,
    "no table of its own": SMALL | {"tie_word_embeddings": True},
    "biases": SMALL | {"attention_bias": True, "mlp_bias": True},
    "groups": SMALL | {"num_key_value_heads": 2}, "wide heads": SMALL | {"head_dim": 32},
    "nulls": SMALL | {"num_key_value_heads": None, "rope_scaling": None, "pad_token_id": None, "head_dim": None},
    "old fields": SMALL | {"pad_token_id": -1, "pretraining_tp": 1, "max_sequence_length": 2048, "use_cache": True},
    "llama 3": SMALL | {"rope_theta": 5e5, "rope_scaling": ROPE, "max_position_embeddings": 131072},
}  # fmt: skip


@pytest.mark.parametrize("spelling", ["as published", "transformers 5", "with a mark", "UTF-16"])
@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.filterwarnings("ignore:config.json has fields")
def test_a_published_config_is_what_from_pretrained_makes_of_it(name, spelling, tmp_path):
    fields = PUBLISHED[name]
    theirs = transformers.LlamaConfig(**{k: v for k, v in fields.items() if v is not None})
    text = json.dumps(theirs.to_dict() if spelling == "transformers 5" else {"model_type": "llama", **fields})
    path = tmp_path / "config.json"
    path.write_bytes(text.encode({"with a mark": "utf-8-sig", "UTF-16": "utf-16"}.get(spelling, "utf-8")))
    found = narrating.published_shape(path)
    assert found == checkpoint.read_config(tmp_path)[1]
    for field in """vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads mlp_bias rms_norm_eps
                    num_key_value_heads max_position_embeddings attention_bias tie_word_embeddings""".split():
        assert found[field] == getattr(theirs, field), field
    assert found.head_dim == (theirs.head_dim or theirs.hidden_size // theirs.num_attention_heads)
    assert found.rope_theta == theirs.rope_parameters["rope_theta"]
    assert (found.rope_scaling or {"rope_type": "default"})["rope_type"] == theirs.rope_parameters["rope_type"]


@pytest.mark.parametrize("name", ["one layer", "groups", "wide heads", "no table of its own", "biases", "llama 3"])
def test_a_published_config_has_the_parameters_of_transformers(run, name, tmp_path):
    theirs = transformers.LlamaConfig(**PUBLISHED[name])
    with torch.device("meta"):
        size = sum(weight.numel() for weight in transformers.LlamaForCausalLM(theirs).parameters())
    for fields in (PUBLISHED[name], theirs.to_dict()):
        (tmp_path / "config.json").write_text(json.dumps(fields))
        status, out, err = run("narrate", "--config", tmp_path / "config.json", "--tokens", "2")
        assert (status, err) == (0, b"") and out.decode().startswith(f"parameters {size:,} · ")


def test_without_a_config_it_is_the_shape_of_the_course(run):
    assert run("narrate", "--tokens", "1")[1].decode().startswith("parameters 134,515,008 · ")


@pytest.mark.parametrize("text, told", [
    ("null", "must be a LlamaConfig or a dict, written in braces, got a NoneType"), ("", "must be a config.json: "),
    ("[" * 100_000, "must be a config.json: "), ('{"hidden_sizes": 8}', "did you mean 'hidden_size'?"),
    ('{"dim": 64, "n_layers": 2, "n_heads": 4}', "it is Meta's params.json"),
    ('{"model_type": "mistral"}', "model_type must be 'llama', got 'mistral'"),
    ('{"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}', "rope_scaling of type 'longrope' is not supported"),
    ('{"hidden_size": 65}', "hidden_size must divide into num_attention_heads equal heads"),
    ('{"hidden_size": "64"}', "hidden_size must be a whole number"), ('{"rms_norm_eps": NaN}', "rms_norm_eps must"),
    ('{"quantization_config": {"bits": 4}}', "quantization_config must be absent"),
])  # fmt: skip
def test_a_config_that_is_no_llama_is_one_line_with_its_name(run, tmp_path, text, told):
    path = tmp_path / "config.json"
    path.write_text(text)
    status, out, err = run("narrate", "--config", path)
    assert (status, out, err.count(b"\n")) == (2, b"", 1)
    assert err.decode().startswith(f"llama-tutorial: {path}") and told in err.decode()


def test_what_is_too_large_for_a_config_is_not_read(run, tmp_path):
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(17_000_000)
    status, out, err = run("narrate", "--config", tmp_path / "model.safetensors")
    assert (status, out) == (2, b"") and b"must be a config.json: it has more than 16 MB" in err
    assert run("narrate", "--config", tmp_path)[0] == 2
