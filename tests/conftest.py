"""How the two tiers run.

`pytest` collects tests/ and, through nbval, every lesson in notebooks/: each code cell is one test, executed
in its lesson's own kernel and compared with the output stored on the page (the options stand in
pyproject.toml). `pytest -m thorough` runs the other tier.

Signatures are checked at run time (jaxtyping with beartype) in child processes only, see test_house.py: the
check reports a wrong shape before our own, better worded ValueError, and cannot stand inside a compiled graph.
"""

import functools
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

# One thread for every kernel and child: small tensors gain nothing from more, and on a busy machine threads that wait
# for one another take minutes where one takes seconds. The stored outputs were made so as well.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

ROOT = Path(__file__).parents[1]


def pytest_configure(config):
    # nbval looks for this file from wherever pytest was started
    patterns = getattr(config.option, "nbval_sanitize_with", None)
    if patterns and not Path(patterns).is_absolute():
        config.option.nbval_sanitize_with = str(config.rootpath / patterns)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


class Lab:
    """A `llama-tutorial lab` in a process of its own, with a home of its own."""

    def __init__(self, folder: Path, home: Path, *arguments: str, **environment: str):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = home / "lab.log"
        command = [sys.executable, "-m", "llama_tutorial", "lab", *arguments, "--no-browser", f"--port={self.port}"]
        theirs = {key: value for key, value in os.environ.items() if not key.startswith("JUPYTER")}
        own = {"HOME": str(home), "USERPROFILE": str(home)}
        # A background job of a shell inherits a Ctrl-C that is ignored; a reader's terminal does not.
        hear_ctrl_c = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=theirs | own | environment,
                stdout=log,
                stderr=log,
                preexec_fn=hear_ctrl_c if os.name == "posix" else None,
            )

    def printed(self, seconds: float = 300) -> str:
        """The address that the lab prints once it is up."""
        end = time.monotonic() + seconds
        while not (found := re.search(rf"http://127\.0\.0\.1:{self.port}/\S+", self.log.read_text())):
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"the lab did not start:\n{self.log.read_text()}")
            time.sleep(0.2)
        return found[0]

    def address(self, path: str) -> str:
        """The address of a path of the server, with the token that lets us in."""
        return f"http://127.0.0.1:{self.port}/{path}?{self.printed().split('?')[1]}"

    def get(self, path: str) -> bytes:
        """What the server answers."""
        with urllib.request.urlopen(self.address(path), timeout=30) as answer:
            return answer.read()

    def stop(self) -> int:
        """Ctrl-C, and the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=120)


@pytest.fixture
def start_lab(tmp_path):
    """`start_lab(folder, *arguments, **environment)` starts a lab that ends with the test."""
    running = []

    def start(folder: Path, *arguments: str, **environment: str) -> Lab:
        home = tmp_path / f"home{len(running)}"
        home.mkdir()
        running.append(Lab(folder, home, *arguments, **environment))
        return running[-1]

    yield start
    for lab in running:
        if lab.process.poll() is None:
            lab.process.kill()
            lab.process.wait()
