"""`llama-tutorial generate`: it streams, ends cleanly, answers a mistake in one line, and needs no network."""

import os
import signal
import socket
import string
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from llama_tutorial import LlamaForCausalLM, Tokenizer, cli
from llama_tutorial.runs.directory import write_directory

LETTERS = string.ascii_lowercase


@pytest.fixture(scope="module")
def alphabet(tmp_path_factory) -> Path:
    """A model whose only thought is the next letter of the alphabet, and "a" after anything else."""
    directory = tmp_path_factory.mktemp("alphabet")
    tokenizer = Tokenizer.train(["a"], 257)
    sizes = {"hidden_size": 260, "intermediate_size": 1, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM({**sizes, "head_dim": 2, "vocab_size": 257, "tie_word_embeddings": False})
    letter = [tokenizer.encode(each)[0] for each in LETTERS]
    then = {a: b for a, b in zip(letter, letter[1:] + letter[:1])}
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(float(weight.ndim == 1))
        for token in range(257):
            model.model.embed_tokens.weight[token, token] = 1
            model.lm_head.weight[then.get(token, letter[0]), token] = 1
    write_directory(model, tokenizer, directory)
    return directory


def started(*words: str) -> subprocess.Popen:
    """The command as a user starts it, its output read byte by byte."""
    command = [sys.executable, "-m", "llama_tutorial", "generate", *words]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    # Where the tests run in the background of a shell, Ctrl-C is ignored from birth; a user's command is not born so.
    born = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)} if os.name == "posix" else {}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, bufsize=0, **born
    )


def test_it_goes_on_with_the_prompt(alphabet, capsys):
    words = ["generate", "abc", "--model", str(alphabet), "--temperature", "0", "--max-new-tokens", "30"]
    assert cli.run_command(words) == 0
    assert capsys.readouterr() == (LETTERS + LETTERS[:7] + "\n", "")


@pytest.mark.skipif(os.name != "posix", reason="Windows interrupts and closes pipes otherwise")
def test_it_streams_and_ctrl_c_ends_it_without_a_traceback(alphabet):
    with started("xyz", "--model", str(alphabet), "--temperature", "0", "--max-new-tokens", "100000000") as process:
        assert process.stdout.read(1) + process.stdout.read(1) == b"xy"  # text comes while it is still writing
        written = b"".join(process.stdout.read(1) for _ in range(40))
        process.send_signal(signal.SIGINT)
        rest, told = process.communicate(timeout=60)
    assert written == ("z" + LETTERS + LETTERS)[:40].encode()
    assert process.returncode == 130 and told == b""


@pytest.mark.skipif(os.name != "posix", reason="Windows interrupts and closes pipes otherwise")
def test_a_reader_that_stops_reading_ends_it_without_a_traceback(alphabet):
    with started("xyz", "--model", str(alphabet), "--temperature", "0", "--max-new-tokens", "100000000") as process:
        assert process.stdout.read(1) == b"x"
        process.stdout.close()
        told = process.stderr.read()
        process.wait(timeout=60)
    assert process.returncode == 1 and told == b""


def test_a_seed_writes_the_same_again_and_no_seed_does_not(alphabet, capsys):
    def written(*more: str) -> str:
        bold = ["--temperature", "8", "--max-new-tokens", "40"]
        assert cli.run_command(["generate", "abc", "--model", str(alphabet), *bold, *more]) == 0
        return capsys.readouterr().out

    assert written("--seed", "1") == written("--seed", "1") != written("--seed", "2")
    assert written() != written()
    assert written("--top-k", "1") == written("--top-p", "0.000001") == LETTERS + LETTERS[:17] + "\n"


@pytest.mark.parametrize(
    "words, told",
    [
        (["--temperature", "-1"], "temperature must lie in [0, ∞), got -1.0"),
        (["--top-k", "0"], "top_k must lie in [1, ∞), got 0"),
        (["--top-p", "1.5"], "top_p must lie in (0, 1], got 1.5"),
        (["--max-new-tokens", "-3"], "max_new_tokens must lie in [0, ∞), got -3"),
        (["--max-new-tokens", "many"], "--max-new-tokens"),
        (["--seed", "99999999999999999999"], "seed must lie in"),
        (["--model", "no/such/place"], "no config.json in no/such/place"),
        (["--wings"], "--wings"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_status_2(words, told, alphabet, capsys):
    assert cli.run_command(["generate", "abc", "--model", str(alphabet), *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("llama-tutorial: ") and err.count("\n") == 1 and told in err


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_model_is_named_in_one_line(name, alphabet, tmp_path, capsys):
    for file in alphabet.iterdir():
        (tmp_path / file.name).write_bytes(b"\0" if file.name == name else file.read_bytes())
    assert cli.run_command(["generate", "abc", "--model", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and name in err


def test_the_traceback_is_there_when_asked_for(tmp_path):
    with started("abc", "--model", str(tmp_path)) as process:
        quiet = process.communicate(timeout=120)
    with started("abc", "--model", str(tmp_path), "--debug") as process:
        asked = process.communicate(timeout=120)
    assert quiet[0] == asked[0] == b""
    assert b"Traceback" not in quiet[1] and quiet[1].count(b"\n") == 1
    assert asked[1].startswith(b"Traceback") and b"FileNotFoundError: no config.json" in asked[1]


def test_the_shipped_model_writes_words_without_a_network(capsys, monkeypatch):
    def refuse(*_):
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    words = ["generate", "The for statement", "--seed", "0", "--max-new-tokens", "60"]
    assert cli.run_command(words) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.startswith("The for statement") and "\ufffd" not in out
    assert len(set(out.split())) > 12
    assert cli.run_command(words) == 0
    assert capsys.readouterr().out == out
