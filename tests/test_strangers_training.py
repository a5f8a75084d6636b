"""What `train` meets in the world: other processes, a full disk, Ctrl-C, options that contradict what stands there."""

import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from llama_tutorial import LlamaForCausalLM, cli
from llama_tutorial import training as school
from llama_tutorial.published import saving
from llama_tutorial.runs import checkpoints, texts
from llama_tutorial.runs import directory as runs
from llama_tutorial.runs import steps as stepping

posix = pytest.mark.skipif(os.name != "posix", reason="signals, modes and limits are another thing on Windows")
SHAPE = {"hidden_size": 8, "intermediate_size": 13, "num_hidden_layers": 2, "num_attention_heads": 2}
RECIPE = school.Recipe(steps=11, batch=2, context=13, dropout=0.1)
STORY = texts.Text([["the cat sat on the mat. " * 20]], ["the dog sat. " * 9], "a test")
HOW = {"text": STORY, "recipe": RECIPE, "shape": SHAPE, "vocab_size": 270}
WRITTEN = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "training.json"]

# The command in a process of its own, with a small model; BEFORE may lay something in its way.
CHILD = f"""
import os, signal, sys, time
from llama_tutorial import cli, training
from llama_tutorial.runs import checkpoints, directory as runs
runs.SHIPPED_SHAPE, runs.SHIPPED_VOCAB = {SHAPE!r}, 270
runs.SHIPPED_RECIPE = training.{RECIPE!r}
BEFORE
cli.main(["train", *sys.argv[1:]])
"""
# In the middle of a step, when some weights have moved and others not.
IN_STEP = """
step = training.Muon.step
def interrupted(self):
    step(self)
    training.count = getattr(training, "count", 0) + 1
    if training.count == {at}:
        {do}
training.Muon.step = interrupted
"""
# Says on stdout when it has begun to step.
SAYS_STEPS = """
advance = training.Trainer.advance
def told(self):
    print("a step", flush=True)
    training.Trainer.advance = advance
    return advance(self)
training.Trainer.advance = told
"""


def hear():
    """Let a process hear Ctrl-C and the end of its terminal, also in a background job of a shell, or after nohup."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def started(words, before="", **how):
    """The command, started; it hears what is pressed."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", CHILD.replace("BEFORE", before), *map(str, words)]
    return subprocess.Popen(command, **{"preexec_fn": hear if os.name == "posix" else None, **pipes, **how})


def ended(process):
    """The exit status and the last line that a process said."""
    out, err = process.communicate(timeout=120)
    return process.returncode, ["", *(out + err).replace("\r", "\n").strip().splitlines()][-1]


def holds(process, directory):
    """Whether a process has the lock of a directory."""
    lock = directory / "training.lock"
    return lock.exists() and f"process {process.pid} " in lock.read_text()


def kept(directory):
    return len(checkpoints.kept_run(directory / "training.safetensors")["losses"])


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def prose(tmp_path):
    """A text to learn from."""
    (tmp_path / "prose.txt").write_text("the cat sat on the mat and the dog ran to the log. " * 30)
    return tmp_path / "prose.txt"


@pytest.fixture
def small(monkeypatch):
    """The command's own model, made small."""
    monkeypatch.setattr(runs, "SHIPPED_SHAPE", SHAPE)
    monkeypatch.setattr(runs, "SHIPPED_VOCAB", 270)
    monkeypatch.setattr(runs, "SHIPPED_RECIPE", RECIPE)


@pytest.fixture
def train(small, prose, capsys):
    """`train(directory, *words)` runs the command in this process: its status and the last line on stderr."""

    def run(directory, *words):
        status = cli.run_command(["train", "--text", str(prose), "--out", str(directory), *words])
        return status, capsys.readouterr().err.replace("\r", "\n").strip().splitlines()[-1]

    return run


@pytest.fixture
def cut_off(train, monkeypatch):
    """`cut_off(directory, *words)` runs the command, with a Ctrl-C after its third step."""
    run_to_end = stepping.run_to_end

    def press(trainer):
        if trainer.step == 3:
            signal.raise_signal(signal.SIGINT)

    def run(directory, *words):
        with monkeypatch.context() as patch:
            patch.setattr(runs, "run_to_end", lambda *given, **how: run_to_end(*given, watch=press, **how))
            return train(directory, *words)

    return run


# ------------------------------------------------------------------------------------------------ modes


@pytest.fixture
def umask():
    before = os.umask(0)
    yield os.umask
    os.umask(before)


@posix
@pytest.mark.parametrize("mask", [0o022, 0o002, 0o027, 0o077], ids=oct)
def test_files_have_the_mode_that_any_program_gives_them(mask, umask, tmp_path):
    umask(mask)
    runs.train_directory(tmp_path / "run", **HOW)
    trainer = school.Trainer(LlamaForCausalLM({**SHAPE, "vocab_size": 31}), [torch.arange(31)], RECIPE)
    checkpoints.save_checkpoint(trainer, tmp_path / "checkpoint")
    trainer.model.save_pretrained(tmp_path / "model", "2KB")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in files} == {
        path.name: oct(0o666 & ~mask) for path in files
    }
    folders = {path.stat().st_mode & 0o777 for path in tmp_path.iterdir() if path.is_dir()}
    assert folders == {0o777 & ~mask}


@posix
def test_what_a_kill_left_behind_does_not_lend_its_mode(umask, tmp_path):
    umask(0o022)
    (tmp_path / "checkpoint.partial").write_bytes(b"half")
    (tmp_path / "checkpoint.partial").chmod(0o600)
    trainer = school.Trainer(LlamaForCausalLM({**SHAPE, "vocab_size": 31}), [torch.arange(31)], RECIPE)
    checkpoints.save_checkpoint(trainer, tmp_path / "checkpoint")
    assert names(tmp_path) == ["checkpoint"] and (tmp_path / "checkpoint").stat().st_mode & 0o777 == 0o644


# ------------------------------------------------------------------------------------------------ a disk that is full

# No file may grow beyond some bytes: to every library the system answers as it does where a disk is full.
FULL = f"""
import resource, sys
from pathlib import Path
import torch
from llama_tutorial import LlamaForCausalLM, training
from llama_tutorial.runs import checkpoints, directory as runs
place, model = Path(sys.argv[1]), LlamaForCausalLM({{**{SHAPE!r}, "vocab_size": 3000}})
tokenizer = runs.Tokenizer.train(["the cat sat"], 270)
trainer = training.Trainer(model, [torch.arange(31)], training.Recipe(context=13))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for write in (
    lambda: model.save_pretrained(place),
    lambda: model.save_pretrained(place, "50KB"),
    lambda: runs.write_directory(model, tokenizer, place),
    lambda: checkpoints.save_checkpoint(trainer, place / "run"),
):
    try:
        write()
    except OSError as error:
        print(error.errno, Path(error.filename).name)
"""


@posix
def test_a_disk_that_is_full_is_an_oserror_whichever_library_wrote(tmp_path):
    place = tmp_path / "model"
    place.mkdir()
    for old in ("model.safetensors", "run"):
        (place / old).write_text("the old one")
    done = subprocess.run([sys.executable, "-c", FULL, str(place)], capture_output=True, text=True, timeout=120)
    wrote = ["model", "model-00001-of-00002", "model", "run"]
    ending = [".safetensors", ".safetensors", ".safetensors.partial", ".partial"]
    wanted = [f"{errno.EFBIG} {name}{end}" for name, end in zip(wrote, ending)]
    assert done.stdout.splitlines() == wanted, done.stderr[-600:]
    assert {(place / old).read_text() for old in ("model.safetensors", "run")} == {"the old one"}
    assert not [name for name in names(place) if name.endswith(".partial")] and names(tmp_path) == ["model"]


@posix
def test_a_full_disk_ends_the_command_in_one_line_and_the_last_checkpoint_stays(prose, cut_off, tmp_path):
    out = tmp_path / "run"
    cut_off(out)
    before = contents(out)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    status, said = ended(started(["--text", prose, "--out", out, "--resume"], limit))
    assert status == 2 and said.startswith(f"llama-tutorial: {os.strerror(errno.EFBIG)}: {out}"), said
    assert contents(out) == before


@pytest.mark.parametrize(
    "said, number",
    [
        ("Error while serializing: I/O error: No space left on device (os error 28)", errno.ENOSPC),
        ('Error while serializing: IoError(Os { code: 28, kind: StorageFull, message: "No space" })', errno.ENOSPC),
        ("Error while serializing: I/O error: Permission denied (os error 13)", errno.EACCES),
    ],
)
@posix
def test_every_wording_of_a_system_error_becomes_it(said, number, tmp_path):
    error = saving.system_error(RuntimeError(said), tmp_path / "x")
    assert isinstance(error, OSError) and error.errno == number and error.filename == str(tmp_path / "x")
    assert isinstance(error, PermissionError) == (number == errno.EACCES)


def test_an_error_that_is_not_the_systems_stays_what_it_is(tmp_path):
    error = RuntimeError("Error while serializing: invalid shape, os errors: 3")
    assert saving.system_error(error, tmp_path) is error


@pytest.mark.thorough
@posix
def test_a_disk_of_three_megabytes(tmp_path):
    code = "import sys; from llama_tutorial.cli import load_voice\n"
    code += "try: load_voice(None, 'float32', 'cpu')[0].save_pretrained(sys.argv[1] + '/m')\n"
    code += "except OSError as error: print(error.errno)"
    mount = f'mount -t tmpfs -o size=3m none "{tmp_path}" && exec "{sys.executable}" -c "$0" "{tmp_path}"'
    done = subprocess.run(["unshare", "-m", "sh", "-c", mount, code], capture_output=True, text=True)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip("nobody but root may mount a disk")
    assert done.stdout == f"{errno.ENOSPC}\n", done.stderr


# ------------------------------------------------------------------------------------------------ two at once


@pytest.mark.parametrize("words", [[], ["--resume"]], ids=["anew", "resumed"])
def test_the_second_run_into_a_directory_is_refused_with_the_first_ones_process(words, train, cut_off, tmp_path):
    out = tmp_path / "run"
    if words:
        cut_off(out)
    out.mkdir(exist_ok=True)
    before = contents(out)
    with saving.alone_in(out):
        start = time.perf_counter()
        status, said = train(out, *words)
        assert time.perf_counter() - start < 10  # it does not wait for the other
        assert status == 2 and f"process {os.getpid()} " in said and str(out) in said and "choose another" in said
        assert {**before, "training.lock": (out / "training.lock").read_bytes()} == contents(out)
    assert train(out, *words)[0] == 0 and names(out) == WRITTEN


def test_the_second_run_in_another_thread_is_refused_too(tmp_path):
    told = []

    def second():
        try:
            runs.train_directory(tmp_path, **HOW)
        except BlockingIOError as error:
            told.append(str(error))

    with saving.alone_in(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(told) == 1 and "is training into" in told[0]


@posix
def test_what_a_killed_run_leaves_behind_binds_nobody(prose, train, tmp_path):
    out = tmp_path / "run"
    kill = IN_STEP.format(at=3, do="os.kill(os.getpid(), signal.SIGKILL)")
    process = started(["--text", prose, "--out", out], kill)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL and "training.lock" in names(out) and kept(out) == 0
    assert "cut off" in train(out)[1]
    assert train(out, "--resume")[0] == 0 and names(out) == WRITTEN


@posix
def test_a_disk_that_knows_no_locks_is_warned_of(tmp_path, monkeypatch):
    import fcntl

    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.warns(UserWarning, match="No locks available"):
        runs.train_directory(tmp_path / "run", **HOW)
    assert names(tmp_path / "run") == WRITTEN


def test_a_holder_that_has_not_yet_said_its_name_is_waited_for(tmp_path):
    lock = tmp_path / "training.lock"
    lock.touch()
    threading.Timer(0.2, lambda: lock.write_text("process 7 on earth")).start()
    assert saving.holder(lock) == "process 7 on earth"
    assert saving.holder(tmp_path / "none") == "another process"


@pytest.mark.thorough
@posix
def test_of_two_runs_started_at_once_one_ends_and_one_is_refused(tmp_path):
    words = {}
    for name in "ab":
        text = " ".join(f"{name}{i * 7919 % 977} and" for i in range(900))
        (tmp_path / f"{name}.txt").write_text(text)
        words[name] = ["--text", tmp_path / f"{name}.txt", "--out"]
        assert ended(started([*words[name], tmp_path / f"alone_{name}"]))[0] == 0
    for attempt in range(8):
        out = tmp_path / f"both{attempt}"
        processes = {name: started([*words[name], out]) for name in "ab"}
        said = {name: ended(process) for name, process in processes.items()}
        assert sorted(status for status, _ in said.values()) == [0, 2], said
        first, second = sorted(said, key=lambda name: said[name][0])
        # where the first had ended before the second looked, its run is finished
        assert f"process {processes[first].pid} " in said[second][1] or "finished run" in said[second][1]
        assert contents(out) == contents(tmp_path / f"alone_{first}")


@pytest.mark.thorough
@posix
def test_never_are_two_inside_at_once(tmp_path):
    code = """
import os, sys
from pathlib import Path
from llama_tutorial.published.saving import alone_in
place, inside = Path(sys.argv[1]), 0
while inside < 300:
    try:
        with alone_in(place):
            os.close(os.open(place / "inside", os.O_CREAT | os.O_EXCL))
            os.unlink(place / "inside")
            inside += 1
    except BlockingIOError as error:
        assert "process" in str(error)
"""
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [(child.communicate(timeout=300)[1], child.returncode) for child in children] == [("", 0)] * 4
    assert names(tmp_path) == []


# ------------------------------------------------------------------------------------------------ what stands there

STRANGERS = {
    "a checkpoint": {"config.json": "{}", "model.safetensors": "theirs", "tokenizer.json": "{}"},
    "a tokenizer": {"tokenizer.json": "theirs"},
    "what only tells of a tokenizer": {"tokenizer_config.json": "{}"},
    "what a reader would take for the chat template": {"chat_template.jinja": "{{ theirs }}"},
    "lessons": {"00_start_here.ipynb": "{}", ".llama_tutorial.json": "{}", "my_llama/__init__.py": "theirs"},
    "a package": {"__init__.py": "x = 1", "attention.py": "x = 1", "rotary.py": "x = 1"},
    "other runs": {"first/training.json": "{}", "second/training.safetensors": "theirs"},
    "an empty folder": {"figures/": ""},
    "a text": {"prose.txt": "theirs"},
    "half of a stranger's file": {"model.safetensors.partial": "theirs"},
}


def laid_out(place, files):
    for name, text in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name.endswith("/") else path.write_text(text)


def everything(place):
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in sorted(place.rglob("*"))}


@pytest.mark.parametrize("words", [[], ["--resume"]], ids=["anew", "resumed"])
@pytest.mark.parametrize("what", STRANGERS)
def test_what_others_left_in_a_directory_is_named_and_not_touched(what, words, train, tmp_path):
    out = tmp_path / "theirs"
    out.mkdir()
    laid_out(out, STRANGERS[what])
    before = everything(out)
    status, said = train(out, *words)
    assert status == 2 and str(out) in said and everything(out) == before
    if words:
        assert "no run was cut off" in said and "choose the directory of one" in said
    else:
        first = next(name for name in sorted(os.listdir(out)) if not name.startswith("."))
        assert f"holds {first}" in said and "a run begins in a new directory or an empty one, choose such a one" in said


def test_a_link_that_leads_nowhere_is_somebodys_too(train, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "tokenizer.json").symlink_to("disk_that_is_away")
    status, said = train(tmp_path / "theirs")
    assert status == 2 and "holds tokenizer.json" in said and (tmp_path / "theirs" / "tokenizer.json").is_symlink()


@pytest.mark.parametrize("place", ["notes", "notes/run", "nowhere"])
@pytest.mark.parametrize("words", [[], ["--resume"]], ids=["anew", "resumed"])
def test_a_file_is_no_directory(place, words, train, tmp_path):
    (tmp_path / "notes").write_text("theirs")
    (tmp_path / "nowhere").symlink_to("disk_that_is_away")
    status, said = train(tmp_path / place, *words)
    assert status == 2 and f"{tmp_path / place.split('/')[0]} is a file: choose a directory to train into" in said
    assert (tmp_path / "notes").read_text() == "theirs"


def test_an_empty_directory_is_free_also_with_a_log_that_was_just_opened(train, tmp_path):
    out, beside = tmp_path / "run", {".gitkeep": "theirs", "log.txt": ""}
    out.mkdir()
    laid_out(out, beside | {"training.safetensors.partial": "half", "training.lock": "process 1 on earth"})
    assert train(out)[0] == 0 and train(tmp_path / "whole")[0] == 0
    assert contents(out) == contents(tmp_path / "whole") | {name: text.encode() for name, text in beside.items()}


def test_a_second_run_is_refused_before_it_reads_its_text(train, tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "text_of_files", lambda paths: pytest.fail("the text was read"))
    with saving.alone_in(tmp_path):
        status, said = train(tmp_path)
    assert status == 2 and "is training into" in said


@pytest.mark.parametrize("text, told", [("none.txt", "no file"), ("short.txt", "3 characters"), ("latin.txt", "UTF-8")])
def test_a_run_that_is_refused_leaves_no_directory_behind(text, told, train, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "short.txt").write_text("abc")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 and more of it")
    for out in ("new", "there", "there/new/run"):
        before = everything(tmp_path)
        status, said = train(tmp_path / out, "--text", tmp_path / text)
        assert status == 2 and told in said and everything(tmp_path) == before


def test_a_text_that_is_made_when_the_directory_is_free_is_that_text(tmp_path):
    runs.train_directory(tmp_path / "run", **{**HOW, "text": lambda: STORY})
    runs.train_directory(tmp_path / "whole", **HOW)
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_what_is_made_must_be_a_text(tmp_path):
    for wrong in ("book.txt", lambda: "book.txt"):
        with pytest.raises(TypeError, match="text must be a Text, as text_of_files makes it, got str"):
            runs.train_directory(tmp_path / "run", wrong)
    assert names(tmp_path) == []


def test_a_kill_between_the_first_checkpoint_and_its_tokenizer_is_made_good(tmp_path, monkeypatch):
    """The tokenizer is trained again, in the size that the run began with."""
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(runs.Tokenizer, "save", lambda *_: signal.raise_signal(signal.SIGINT))
        runs.train_directory(tmp_path / "run", **HOW)
    assert names(tmp_path / "run") == ["training.safetensors"]
    runs.train_directory(tmp_path / "run", STORY, resume=True)
    runs.train_directory(tmp_path / "whole", **HOW)
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


# ------------------------------------------------------------------------------------------------ Ctrl-C

others = [pytest.param(name, status, marks=pytest.mark.thorough) for name, status in (("SIGTERM", -15), ("SIGHUP", -1))]
SIGNALS = [("SIGINT", 130), *others]


@posix
@pytest.mark.parametrize("name, status", SIGNALS)
def test_a_signal_in_the_middle_of_a_step_waits_for_its_end_and_the_checkpoint(name, status, prose, train, tmp_path):
    out, whole = tmp_path / "run", tmp_path / "whole"
    press = IN_STEP.format(at=7, do=f"os.kill(os.getpid(), signal.{name})")
    code, said = ended(started(["--text", prose, "--out", out], press))
    assert code == status and kept(out) == 7
    if name == "SIGINT":
        assert said == (
            "llama-tutorial: stopped at step 7 of 11, which is kept: the same command with --resume goes on"
        )
        assert names(out) == ["tokenizer.json", "training.safetensors"]
    assert train(out, "--resume")[0] == 0 and train(whole)[0] == 0
    assert contents(out) == contents(whole)


@pytest.fixture
def press_in_step(monkeypatch):
    """`press_in_step(times)` sends a Ctrl-C in the middle of the seventh step, after its matrices have moved."""
    step, count = school.Muon.step, []

    def press(times):
        def interrupted(self):
            step(self)
            count.append(1)
            for _ in range(times if len(count) == 7 else 0):
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(school.Muon, "step", interrupted)

    return press


def test_a_second_ctrl_c_is_obeyed_at_once(train, press_in_step, tmp_path):
    out = tmp_path / "run"
    press_in_step(2)
    status, said = train(out)
    assert status == 130 and "stopped at step 0 of 11" in said and kept(out) == 0  # the last checkpoint stands
    assert names(out) == ["tokenizer.json", "training.safetensors"]


def test_a_ctrl_c_that_is_ignored_stays_so(train, press_in_step, tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        press_in_step(1)
        assert train(tmp_path / "run")[0] == 0
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert train(tmp_path / "whole")[0] == 0
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_where_a_handler_of_ones_own_only_notes_the_signal_all_steps_are_taken(tmp_path, press_in_step):
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(trainer.step))
    trainer = school.Trainer(LlamaForCausalLM({**SHAPE, "vocab_size": 31}), [torch.arange(31)], RECIPE)
    try:
        press_in_step(1)
        stepping.run_to_end(trainer, tmp_path / "run")
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [7] and trainer.step == 11


@pytest.mark.parametrize(
    "where, told",
    [
        ("token_ids", "stopped before the first step: nothing is kept"),
        ("finish", "stopped at step 11 of 11, which is kept: the same command with --resume goes on"),
    ],
)
def test_a_ctrl_c_before_or_after_the_steps_says_what_is_kept(where, told, train, tmp_path, monkeypatch):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(runs, where, lambda *_: signal.raise_signal(signal.SIGINT))
        assert train(out) == (130, f"llama-tutorial: {told}")
    assert train(out, *(["--resume"] if where == "finish" else []))[0] == 0
    assert names(out) == WRITTEN


def test_a_ctrl_c_while_watching_is_kept_too_and_the_handlers_are_put_back(tmp_path):
    trainer = school.Trainer(LlamaForCausalLM({**SHAPE, "vocab_size": 31}), [torch.arange(31)], RECIPE)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def press(trainer):
        if trainer.step == 5:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        stepping.run_to_end(trainer, tmp_path / "run", watch=press)
    assert trainer.step == 5 and checkpoints.load_checkpoint(tmp_path / "run", trainer.sources).losses == trainer.losses
    with pytest.raises(ZeroDivisionError):
        stepping.run_to_end(trainer, watch=lambda _: 1 / 0)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert stepping.run_to_end(trainer).step == 11  # and it goes on in the same process


# What a lesson's reader does: a cell that trains, the kernel interrupted, the same cell again.
CELL = f"""
import sys, torch
from llama_tutorial import LlamaForCausalLM
from llama_tutorial.runs.checkpoints import load_checkpoint
from llama_tutorial.runs.steps import run_to_end
from llama_tutorial.training import Recipe, Trainer

def watch(trainer):
    if trainer.step == 3:
        print("three steps", flush=True)

torch.set_num_threads(1)
sources, recipe = [torch.arange(31)], Recipe(steps=10**6, batch=2, context=13)
trainer = Trainer(LlamaForCausalLM({{**{SHAPE!r}, "vocab_size": 31}}), sources, recipe)
run_to_end(trainer, "run", every=10**6, watch=watch)
"""


@pytest.mark.thorough
@posix
def test_an_interrupted_kernel_leaves_a_checkpoint_and_a_trainer_that_go_on_alike(tmp_path):
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(cwd=str(tmp_path))
    try:
        pressed = []

        def press(message):
            if message["content"].get("text") == "three steps\n" and not pressed:
                pressed.append(True)
                manager.interrupt_kernel()

        reply = client.execute_interactive(CELL, output_hook=press, timeout=120)
        assert pressed and reply["content"]["ename"] == "KeyboardInterrupt"
        code = """
kept = load_checkpoint("run", sources)
assert kept.step == trainer.step >= 3 and kept.losses == trainer.losses
assert [kept.advance() for _ in range(3)] == [trainer.advance() for _ in range(3)]
"""
        reply = client.execute_interactive(code, output_hook=lambda _: None, timeout=120)
        assert reply["content"]["status"] == "ok", reply["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_a_run_in_a_thread_needs_no_signals(tmp_path):
    thread = threading.Thread(target=runs.train_directory, args=[tmp_path / "run"], kwargs=HOW)
    thread.start()
    thread.join()
    assert names(tmp_path / "run") == WRITTEN


@pytest.mark.thorough
@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_whenever_it_is_stopped_it_goes_on_and_ends_like_an_unbroken_run(number, prose, tmp_path):
    words = ["--text", prose, "--steps", "150", "--out"]
    assert ended(started([*words, tmp_path / "whole"]))[0] == 0
    out, resume, told = tmp_path / "run", [], []
    for attempt in range(8):
        process = started([*words, out, *resume], "" if attempt == 0 else SAYS_STEPS)
        while process.poll() is None and not holds(process, out):
            time.sleep(0.01)
        if attempt:  # the first one hears it before it steps
            process.stdout.readline()
        time.sleep(0.02 + 0.037 * attempt)
        process.send_signal(number)
        said = ended(process)[1]
        if (out / "training.json").exists():
            break
        if number == signal.SIGINT:
            found = re.search(r"stopped at step (\d+) of 150", said)
            assert process.returncode == 130 and (found or "nothing is kept" in said), said
            assert not found or int(found[1]) == kept(out)
        resume = ["--resume"] if (out / "training.safetensors").exists() else []
        told.append(kept(out) if resume else 0)
    else:
        assert ended(started([*words, out, *resume]))[0] == 0
    (out / "training.lock").unlink(missing_ok=True)  # a kill after the last file leaves it
    (out / "training.safetensors").unlink(missing_ok=True)
    assert told == sorted(told) and contents(out) == contents(tmp_path / "whole")
    if number != signal.SIGKILL:
        assert any(step % 100 for step in told), told


# ------------------------------------------------------------------------------------------------ at every moment

# A process that has everything imported, and forks a run for each line that it reads. A moment is a line of our code
# which the run is about to execute, counted from its start: the same moment is the same place every time.
WARM = f"""
import functools, json, os, signal, sys, tempfile, threading, traceback
from pathlib import Path
import safetensors.torch, torch, tqdm
from llama_tutorial import cli, training
from llama_tutorial.commands import training as command
from llama_tutorial.published import saving
from llama_tutorial.runs import checkpoints, directory as runs, steps as stepping, texts

torch.set_num_threads(1)
tqdm.tqdm.set_lock(threading.RLock())  # its own one is shared by all processes that are forked, and so is its fate
runs.SHIPPED_SHAPE, runs.SHIPPED_VOCAB = {SHAPE!r}, 270
runs.SHIPPED_RECIPE = training.{RECIPE!r}
runs.run_to_end = functools.partial(runs.run_to_end, every=2)
OURS = {{module.__file__ for module in (command, training, saving, checkpoints, stepping, texts, runs)}}
PHASES = {{"run_to_end": "step", "save_checkpoint": "save", "second_half": "half a file", "finish": "end"}}
passed = []  # of each moment: the phase, and how many steps are saved for certain

def at(moment, do):
    count, saved, phase, ended = 0, -1, ["start"], False

    def enter(frame, event, arg):
        nonlocal ended
        if frame.f_code.co_filename in OURS or frame.f_code is second_half.__code__:
            phase.append(PHASES.get(frame.f_code.co_name, phase[-1]))
            ended = ended or phase[-1] == "end"
            return line

    def line(frame, event, arg):
        nonlocal count, saved
        if event == "line":
            passed.append(("end" if ended and phase[-1] != "half a file" else phase[-1], saved))
            if count == moment:
                do()
            count += 1
        if event == "return":
            phase.pop()
            if frame.f_code.co_name == "save_checkpoint":
                saved = frame.f_locals["trainer"].step
        return line

    safetensors.torch.save_file = lambda tensors, path, metadata: in_halves(
        path, safetensors.torch.save(tensors, metadata))
    Path.write_text = lambda path, text, encoding: in_halves(path, text.encode(encoding))
    sys.settrace(enter)

def in_halves(path, content):
    with open(path, "wb", buffering=0) as file:
        file.write(content[:len(content) // 2])
        second_half(file, content)

def second_half(file, content):
    file.write(content[len(content) // 2:])

def run(words, before, beside):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    finish = runs.finish

    @functools.wraps(finish)
    def noted(trainer, *rest):
        Path(beside, "losses").write_bytes(json.dumps(trainer.losses).encode())
        return finish(trainer, *rest)

    runs.finish, status = noted, 1
    exec(before, globals())
    try:
        status = cli.run_command(["train", *words])
        sys.settrace(None)
        if passed:
            Path(beside, "passed").write_bytes(json.dumps(passed).encode())
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)  # the end of the process itself takes a second, and is nothing of ours

with tempfile.TemporaryDirectory() as place:  # PyTorch imports much only on the way
    runs.train_directory(Path(place, "run"), texts.Text([["the cat " * 99]], ["the dog"], ""))
for request in sys.stdin:
    hear, say = os.pipe()
    child = os.fork()
    if not child:
        sys.stdout = sys.stderr = open(say, "w")
        run(**json.loads(request))
    os.close(say)
    print(child, flush=True)
    stopped = True
    while stopped:
        _, status = os.waitpid(child, os.WUNTRACED)
        stopped = os.WIFSTOPPED(status)
        if stopped:
            print(json.dumps(["stopped", ""]), flush=True)
    with open(hear) as said:
        print(json.dumps([os.waitstatus_to_exitcode(status), said.read()]), flush=True)
"""


class Warm:
    """That process. `run(words, before)` is a run's status and what it said; `begin` and `wait` are halves of it."""

    def __init__(self, beside, command=(sys.executable, "-c")):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self.beside, self.process = beside, subprocess.Popen([*command, WARM], env=environment, **pipes)

    def begin(self, words, before=""):
        request = {"words": [str(word) for word in words], "before": before, "beside": str(self.beside)}
        print(json.dumps(request), file=self.process.stdin)
        self.child = int(self.process.stdout.readline())

    def wait(self):
        return json.loads(self.process.stdout.readline())

    def run(self, words, before=""):
        self.begin(words, before)
        return self.wait()

    def noted(self, what):
        return json.loads((self.beside / what).read_text())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    process = Warm(tmp_path_factory.mktemp("warm"))
    yield process
    process.close()


@pytest.fixture(scope="module")
def unbroken(warm, tmp_path_factory):
    """A run that nothing disturbs: its words, files, losses, and of each moment what `passed` says."""
    place = tmp_path_factory.mktemp("unbroken")
    (place / "prose.txt").write_text("the cat sat on the mat and the dog ran to the log. " * 30)
    words = ["--text", place / "prose.txt", "--out"]
    assert warm.run([*words, place / "run"], "at(None, None)")[0] == 0
    losses, passed = warm.noted("losses"), warm.noted("passed")
    assert len(losses) == 11 and names(place / "run") == WRITTEN
    return SimpleNamespace(words=words, files=contents(place / "run"), losses=losses, passed=passed)


def moments(unbroken, each):
    """Some moments of every phase, always the same ones, and three times as many in which half of a file is written."""
    chance, chosen = random.Random(15), []
    for phase in ("start", "step", "save", "half a file", "end"):
        found = [i for i, (of, _) in enumerate(unbroken.passed) if of == phase]
        chosen += [(phase, i) for i in chance.sample(found, min(len(found), each * (1 + 2 * (phase == "half a file"))))]
    return chosen


def losses_kept(directory):
    """The losses of a run that was cut off; None where none has begun."""
    path = directory / "training.safetensors"
    return checkpoints.kept_run(path)["losses"] if path.exists() else None


def goes_on(warm, unbroken, out):
    """What stands there is the beginning or the end of the unbroken run, and the fitting command goes on to its end."""
    done, kept = (out / "training.json").exists(), losses_kept(out)
    assert kept is None or kept == unbroken.losses[: len(kept)]
    wrong, right = (["--resume"], []) if kept is None else ([], ["--resume"])
    status, said = warm.run([*unbroken.words, out, *wrong])
    assert status == 2 and ("finished run" if done else "cut off") in said, said
    status, said = warm.run([*unbroken.words, out, *right])
    assert status == (2 if done else 0), said
    assert done or warm.noted("losses") == unbroken.losses
    for left in ("training.lock", "training.safetensors") if done else ():  # of a kill after the last file
        (out / left).unlink(missing_ok=True)
    assert contents(out) == unbroken.files


@pytest.mark.thorough
@posix
@pytest.mark.parametrize(
    "name, each, times", [("SIGKILL", 5, 1), ("SIGINT", 3, 1), ("SIGTERM", 3, 1), ("SIGINT", 2, 2)]
)
def test_whatever_ends_a_run_at_whatever_moment_nothing_saved_is_lost(name, each, times, warm, unbroken, tmp_path):
    """Ended at moments of every phase, ended once more while it goes on, and then left to its end."""
    number, chance = getattr(signal, name), random.Random(name)
    for case, (phase, moment) in enumerate(moments(unbroken, each)):
        out, surely, resume = tmp_path / f"run{case}", unbroken.passed[moment][1], []
        for place in (moment, chance.randrange(len(unbroken.passed) // 2)):
            end = f"at({place}, lambda: [os.kill(os.getpid(), {int(number)}) for _ in range({times})])"
            status, said = warm.run([*unbroken.words, out, *resume], end)
            if status == 0 or (out / "training.json").exists():
                break
            kept = losses_kept(out)
            steps = -1 if kept is None else len(kept)
            assert status == (130 if name == "SIGINT" else -number), (phase, place, said)
            assert steps >= surely, (phase, place)
            if name == "SIGINT":
                assert not [path for path in out.glob("*") if path.suffix in (".partial", ".lock")], (phase, place)
            surely, resume = steps, [] if kept is None else ["--resume"]
        goes_on(warm, unbroken, out)


@pytest.mark.thorough
@posix
def test_a_second_run_at_whatever_moment_of_the_first_disturbs_nothing(warm, unbroken, tmp_path):
    """The first is halted at moments of every phase while a second comes: one of them ends, the other is refused."""
    other = Warm(tmp_path)
    assert other.run([*unbroken.words, tmp_path / "alone", "--seed", "1"])[0] == 0
    for case, (phase, moment) in enumerate(moments(unbroken, 4)):
        out = tmp_path / f"run{case}"
        warm.begin([*unbroken.words, out], f"at({moment}, lambda: os.kill(os.getpid(), signal.SIGSTOP))")
        assert warm.wait()[0] == "stopped"
        before = contents(out) if out.exists() else {}
        refused = [other.run([*unbroken.words, out, *more, "--seed", "1"]) for more in (["--resume"], [])]
        status, said = refused[1]
        if status == 2:
            assert contents(out) == before
        os.kill(warm.child, signal.SIGCONT)
        first, told = warm.wait()
        assert refused[0][0] == 2 and sorted([first, status]) == [0, 2], (phase, moment, said, told)
        if status == 0:
            assert phase == "start" and "finished run" in told and contents(out) == contents(tmp_path / "alone")
        else:
            holder = f"process {warm.child} on"
            assert any(word in said for word in (holder, "another process is", "finished run")), (phase, moment, said)
            assert contents(out) == unbroken.files, (phase, moment)
    other.close()


# The file that is being written when a disk is full, and how many steps are then kept.
KINDS = [
    ("training.safetensors", 1, None),
    ("tokenizer.json", 1, 0),
    ("training.safetensors", 2, 0),
    ("training.safetensors", 4, 4),
    ("config.json", 1, 11),
    ("generation_config.json", 1, 11),
    ("tokenizer.json", 2, 11),
    ("model.safetensors", 1, 11),
    ("training.json", 1, 11),
]
FILLED = """
atomic_write, times = checkpoints.atomic_write, {times}
def filled(path, write):
    global times
    if path.name == {name!r}:
        times -= 1
        if times == 0:
            {fill}
    return atomic_write(path, write)
checkpoints.atomic_write = runs.atomic_write = filled
"""


# To every library the system answers as it does where a disk is full, or the disk is filled.
LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
FILLER = """
def fill():
    with open("{filler}", "wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError:
                return
"""


@pytest.fixture(params=["a limit", "a disk of one megabyte"])
def filling(request, warm, tmp_path):
    """A warm process, a place to train, code before a run, code that lets no file grow, what is then said, its end."""
    if request.param == "a limit":
        yield warm, tmp_path, "", LIMIT, errno.EFBIG, lambda: None
        return
    mount = f'mount -t tmpfs -o size=1m none "{tmp_path}" && exec "{sys.executable}" -c "$0"'
    try:
        process = Warm(warm.beside, ["unshare", "-m", "sh", "-c", mount])
        process.run(["--help"])
    except (OSError, ValueError):
        pytest.skip("nobody but root may mount a disk")
    place = Path(f"/proc/{process.process.pid}/root{tmp_path}")  # as it looks to that process
    yield process, place, FILLER.format(filler=place / "filler"), "fill()", errno.ENOSPC, (place / "filler").unlink
    process.close()


@pytest.mark.thorough
@posix
def test_a_disk_that_is_full_for_whatever_file_loses_nothing_saved(filling, unbroken):
    process, place, prepare, fill, number, free = filling
    for name, times, steps in KINDS:
        out = place / f"{name}{times}"
        status, said = process.run([*unbroken.words, out], prepare + FILLED.format(name=name, times=times, fill=fill))
        told = f"llama-tutorial: {os.strerror(number)}: {out / name}.partial"
        assert (status, said.strip().splitlines()[-1]) == (2, told), said
        assert out.exists() == (steps is not None) and len(losses_kept(out) or []) == (steps or 0)
        free()
        goes_on(process, unbroken, out)
    status, said = process.run([*unbroken.words, place / "lock"], prepare + fill)
    assert status == 2 and os.strerror(number) in said and not (place / "lock").exists()
    free()
    goes_on(process, unbroken, place / "lock")


@pytest.mark.thorough
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_a_log_that_cannot_be_written_loses_nothing_saved(warm, unbroken, tmp_path):
    log = "sys.stdout = sys.stderr = open('/dev/full', 'w', buffering=1)"
    assert warm.run([*unbroken.words, tmp_path / "run"], log)[0] != 0
    goes_on(warm, unbroken, tmp_path / "run")


# ------------------------------------------------------------------------------------------------ going on


@pytest.mark.parametrize(
    "first, then, told",
    [
        ([], ["--steps", "5"], ["steps 11", "steps 5"]),
        ([], ["--seed", "7"], ["seed 0", "seed 7"]),
        (["--steps", "12"], ["--steps", "5", "--seed", "7"], ["steps 12, seed 0", "steps 5, seed 7"]),
        ([], ["--minutes", "1"], ["no minutes", "minutes 1.0"]),
        (["--minutes", "0.03"], ["--minutes", "0.04"], ["minutes 0.03", "minutes 0.04"]),
        (["--minutes", "0.03"], ["--steps", "1"], ["steps 1"]),
    ],
    ids=lambda words: " ".join(words) or "as shipped",
)
def test_options_that_contradict_the_run_are_refused_and_named(first, then, told, train, cut_off, tmp_path):
    assert cut_off(tmp_path / "run", *first)[0] == 130
    before = contents(tmp_path / "run")
    status, said = train(tmp_path / "run", "--resume", *then)
    assert status == 2 and str(tmp_path / "run") in said and "leave the latter out" in said
    assert all(word in said for word in told), said
    assert contents(tmp_path / "run") == before


@pytest.mark.parametrize("then", [[], ["--steps", "12"], ["--seed", "3", "--steps", "12"]], ids=" ".join)
def test_the_same_options_or_none_go_on_as_it_began(then, train, cut_off, tmp_path):
    began = ["--steps", "12", "--seed", "3"]
    assert cut_off(tmp_path / "run", *began)[0] == 130 and kept(tmp_path / "run") == 3
    assert train(tmp_path / "run", "--resume", *then)[0] == 0 and train(tmp_path / "whole", *began)[0] == 0
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_minutes_are_measured_once(train, cut_off, tmp_path, monkeypatch):
    cut_off(tmp_path / "run", "--minutes", "0.03")
    steps = checkpoints.kept_run(tmp_path / "run" / "training.safetensors")["recipe"].steps
    monkeypatch.setattr(runs, "steps_within", lambda *_: 1 / 0)
    assert train(tmp_path / "run", "--minutes", "0.03", "--resume")[0] == 0
    assert json.loads((tmp_path / "run" / "training.json").read_text())["recipe"]["steps"] == steps


def test_another_text_is_refused(train, cut_off, prose, tmp_path):
    cut_off(tmp_path / "run")
    prose.write_text(prose.read_text().replace("cat", "cow"))
    status, said = train(tmp_path / "run", "--resume")
    assert status == 2 and "another text" in said


@pytest.mark.parametrize("there", ["nothing", "a folder", "other files", "a finished run"])
def test_where_no_run_was_cut_off_none_goes_on(there, train, tmp_path):
    out = tmp_path / "run"
    if there != "nothing":
        out.mkdir()
    if there == "other files":
        (out / "tokenizer.json").write_text("theirs")
    if there == "a finished run":
        (out / "training.json").write_text("{}")
    before = names(out) if out.exists() else None
    status, said = train(out, "--resume")
    assert status == 2 and str(out) in said
    assert ("finished run" if there == "a finished run" else "no run was cut off") in said
    assert (names(out) if out.exists() else None) == before


def test_a_run_that_was_cut_off_is_not_begun_anew_unasked(train, cut_off, tmp_path):
    cut_off(tmp_path / "run")
    before = contents(tmp_path / "run")
    status, said = train(tmp_path / "run")
    assert status == 2 and "cut off" in said and "resume" in said and contents(tmp_path / "run") == before


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"recipe": school.Recipe(steps=11, batch=2, context=13, dropout=0.1, lr=0.5)}, ["lr 0.01", "lr 0.5"]),
        ({"recipe": {"dropout": 0.0}}, ["dropout 0.1", "dropout 0.0"]),
        ({"shape": {**SHAPE, "hidden_size": 16}}, ["hidden_size 8", "hidden_size 16", "head_dim 4", "head_dim 8"]),
        ({"shape": {**SHAPE, "rope_theta": 500.0}}, ["rope_theta 10000.0", "rope_theta 500.0"]),
        ({"vocab_size": 300}, ["vocab_size 270", "vocab_size 300"]),
        ({"minutes": 3}, ["no minutes", "minutes 3.0"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_is_given_in_python_is_held_against_the_run_as_well(changed, told, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(runs, "finish", lambda *_: signal.raise_signal(signal.SIGINT))
        runs.train_directory(tmp_path, **HOW)
    with pytest.raises(ValueError, match="leave the latter out") as refused:
        runs.train_directory(tmp_path, **{**HOW, **changed})
    assert all(word in str(refused.value) for word in told), refused.value
    assert runs.train_directory(tmp_path, STORY)["recipe"]["steps"] == 11  # nothing given: as it began


def test_the_mark_with_which_some_editors_begin_a_file_is_no_text(tmp_path):
    for encoding in ("utf-8", "utf-8-sig"):
        (tmp_path / encoding).write_text("0123456789" * 3, encoding=encoding)
    with_mark, without = (texts.text_of_files([tmp_path / encoding]) for encoding in ("utf-8-sig", "utf-8"))
    assert (with_mark.parts, with_mark.held_out) == (without.parts, without.held_out)
