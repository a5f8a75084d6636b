"""Running a learner's code so that it can harm neither the check nor the notebook around it."""

import functools
import importlib
import inspect
import io
import linecache
import os
import random
import signal
import sys
import sysconfig
import threading
import time
import types
import warnings
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import torch
from torch.utils._pytree import tree_leaves, tree_map

from .parts import EDITED

try:
    import resource
except ImportError:  # Windows
    resource = None

PACKAGE = Path(__file__).parents[2]


class Fault(Exception):
    """Something found wrong that is no number: the sentence to tell the learner."""


class Written(Fault):
    """An input that was written to: it is told before all else, for whatever follows may follow from it."""


class Misnamed(Fault):
    """A parameter that is missing, superfluous, of another shape, or that starts wrong; `parameter` is looked for."""

    def __init__(self, told: str, parameter: str):
        super().__init__(told)
        self.parameter = parameter


# ------------------------------------------------------------------------------------------------------ one call


def call(function, *args, **kwargs):
    """function(*args, **kwargs) on copies of its tensors; Fault where it gives nothing, wrote into a tensor of the
    caller's, or returned one as it came in."""
    given_args, given_kwargs = tree_map(_copy, (args, kwargs))
    result = function(*given_args, **given_kwargs)
    for before, after in zip(tree_leaves((args, kwargs)), tree_leaves((given_args, given_kwargs))):
        if isinstance(before, torch.Tensor) and (after._version or not _equal(before, after)):
            raise Written(
                f"It wrote into a tensor that it was given, of shape {tuple(before.shape)}. Whoever called still needs "
                "that tensor: make a new one (x = x * 2, not x *= 2; clone before writing into it)."
            )
    if result is None:
        raise Fault("It returned None (is a `return` missing?).")
    if any(result is value for value in tree_leaves((given_args, given_kwargs)) if isinstance(value, torch.Tensor)):
        raise Fault("It returned its input, as it came in.")
    return result


def _copy(value):
    return value.clone() if isinstance(value, torch.Tensor) else value


def _equal(before, after):
    return before.shape == after.shape and before.dtype == after.dtype and torch.equal(before, after)


# ------------------------------------------------------------------------------------------------------ all calls


SECONDS = 20.0  # what one case of a learner's code may take
PATIENCE = 3  # times as long where it got less than half of a processor: a busy machine is no endless loop
MEMORY = 4 * 2**30  # bytes that it may ask for


class Stopped(BaseException):
    """Ends code that runs too long; not an Exception, so that nobody's `except Exception` keeps it."""


@contextmanager
def limits():
    """Ends a case that runs for more than SECONDS, and refuses more than MEMORY where the system can.

    Where it gets less than half of a processor, or sleeps, it is waited for PATIENCE times as long.
    In the main thread of systems with alarm signals (not on Windows) and, for memory, on Linux. One long call inside a
    library is ended when it comes back; on the command line the process has a limit as well.
    """
    if not _has_alarm():
        yield
        return
    before = signal.signal(signal.SIGALRM, _too_long)
    left = _start()[0]
    limit = _limit_memory()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_AS, limit)


def _has_alarm() -> bool:
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()


_case = {"began": 0.0, "waits": 0}  # the processor time at which the case began, and how often it was waited for


def _start():
    """Let a case have SECONDS from here on."""
    _case.update(began=time.process_time(), waits=1)
    return signal.setitimer(signal.ITIMER_REAL, SECONDS)


def _too_long(number, frame):
    used = time.process_time() - _case["began"]
    if used < _case["waits"] * SECONDS / 2 and _case["waits"] < PATIENCE:
        _case["waits"] += 1
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        return
    raise Stopped(frame_line(frame))


def _limit_memory():
    """Lower what this process may map to MEMORY more than it has; returns the limits before, None where it cannot."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = pages * resource.getpagesize() + MEMORY
        if soft != resource.RLIM_INFINITY and soft <= wanted:
            return None
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
        return soft, hard
    except (OSError, ValueError, AttributeError):
        return None


def out_of_memory(error) -> bool:
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error)


@contextmanager
def sandbox():
    """Usual settings while a learner's code runs, and the caller's afterwards; yields what the code printed.

    Random numbers are forked, float32 is the default, gradients are on, and nothing is written to the screen.
    """
    printed, state = io.StringIO(), (random.getstate(), np.random.get_state())
    settings = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    exact = torch.are_deterministic_algorithms_enabled()
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.random.fork_rng(devices=[]))
            stack.enter_context(warnings.catch_warnings())
            stack.enter_context(redirect_stdout(printed))
            stack.enter_context(redirect_stderr(printed))
            if torch.get_default_device().type != "cpu":
                stack.enter_context(torch.device("cpu"))
            warnings.simplefilter("ignore")
            usual()
            yield printed
    finally:
        dtype, grad, threads = settings
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if torch.are_deterministic_algorithms_enabled() != exact:  # asked first: setting it loads half of torch
            torch.use_deterministic_algorithms(exact)
        random.setstate(state[0])
        np.random.set_state(state[1])


def usual(seed=0):
    """The settings under which every case runs; returns what the case before had left changed, in words.

    A case has SECONDS from here on, where `limits` hold.
    """
    if _has_alarm() and signal.getsignal(signal.SIGALRM) is _too_long:
        _start()
    changed = []
    if torch.get_default_dtype() != torch.float32:
        changed.append(f"the default dtype ({torch.get_default_dtype()})")
    if not torch.is_grad_enabled():
        changed.append("whether gradients are kept")
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    return changed


# ------------------------------------------------------------------------------------------------------ other hands

BY_HAND = ("__init__", "__main__", "cli")
WATCHED = ("torch", "torch.nn", "torch.nn.functional", "torch.nn.init", "einops", "math")
TYPES = (torch.Tensor, torch.nn.Module, torch.nn.Linear, torch.nn.Parameter)


@functools.cache
def installed_folders():
    """The folders in which installed code lies; a function from elsewhere in torch was put there by hand."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {Path(sysconfig.get_path(name)) for name in names} | {PACKAGE, Path(torch.__file__).parents[1]}
    return tuple(f"{folder}{os.sep}" for folder in folders)


def watched():
    """(name, object) of every library, type and lesson module whose names a learner might have replaced."""
    yield from ((name, importlib.import_module(name)) for name in WATCHED)
    for name, module in lesson_modules().items():
        yield name, module
        classes = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == name]
        yield from ((f"{name}.{each.__name__}", each) for each in classes)
    yield from ((f"torch.{'nn.' * (kind is not torch.Tensor)}{kind.__name__}", kind) for kind in TYPES)


def lesson_modules():
    """The modules of the lessons that are loaded, and all that components are made of."""
    loaded = {name: module for name, module in sys.modules.items() if name.count(".") == 1}
    return {name: module for name, module in loaded.items() if is_lesson(name, module)}


def is_lesson(name, module):
    """Whether a loaded module is one that a lesson exports: a file at the package's top."""
    file = getattr(module, "__file__", None) or ""
    return name.startswith("llama_tutorial.") and Path(file).parent == PACKAGE and not name.endswith(BY_HAND)


def snapshot():
    """What every watched name stands for now."""
    return [(name, home, dict(vars(home))) for name, home in watched()]


@contextmanager
def names_restored():
    """Puts back what code replaces of the watched names; yields a list that holds their names afterwards."""
    before, replaced = snapshot(), []
    try:
        yield replaced
    finally:
        replaced += restored(before)


def restored(before):
    """Put back what was replaced since the snapshot `before`; returns the names of what was."""
    replaced = []
    for name, home, names in before:
        now = vars(home)
        for key in [key for key in now if key not in names and callable(now[key])]:
            if isinstance(home, type):
                delattr(home, key)
                replaced.append(f"{name}.{key}")
        for key, value in names.items():
            if callable(value) and _other(key, now.get(key), value):
                setattr(home, key, value)
                replaced.append(f"{name}.{key}")
    return replaced


def patched():
    """Names of torch, einops, math and the lessons that stand for something else than when this file was loaded,
    or for a function written elsewhere."""
    changed = [f"{name}.{key}" for name, home, names in ORIGINAL for key, value in names.items()
               if callable(value) and _other(key, vars(home).get(key), value)]
    foreign = [f"{name}.{key}" for name, home in watched() for key, value in list(vars(home).items())
               if not key.startswith("__") and _foreign(value)]
    return list(dict.fromkeys(changed + foreign))


def _other(key, now, before):
    """Whether a name stands for something else than before; torch itself wraps some of its own on first use."""
    wrapped = isinstance(now, types.FunctionType) and now.__name__ == key and not _foreign(now)
    return now is not before and not wrapped and not key.startswith("__")


def _foreign(value):
    function = getattr(value, "__func__", value) if isinstance(value, staticmethod | classmethod) else value
    if not isinstance(function, types.FunctionType):
        return False
    file = inspect.unwrap(function).__code__.co_filename
    return not file.startswith((*installed_folders(), "<frozen", "<string", "<@"))


ORIGINAL = [each for each in snapshot() if not each[0].startswith("llama_tutorial")]


# ------------------------------------------------------------------------------------------------------ tracebacks


def installed(file):
    """Whether code lies in an installed folder, or is the lesson's own with a mistake made in it."""
    return file.startswith((*installed_folders(), EDITED))


@functools.cache
def lent(file):
    """Whether code lies in an installed folder, or is the copy of ours that a student's package stands on."""
    path = Path(file)
    copied = path.parent.name in ("doors", "published") and (PACKAGE / path.parent.name / path.name).is_file()
    return copied or file.startswith(installed_folders())


def own_line(error):
    """The learner's own line in which `error` was raised, "line 3: `x = x + y`": the last frame of theirs. Or ""."""
    place, trace = "", error.__traceback__
    while trace is not None:
        if not lent(trace.tb_frame.f_code.co_filename):
            place = _told_line(trace.tb_frame.f_code.co_filename, trace.tb_lineno)
        trace = trace.tb_next
    return place


def frame_line(frame):
    """The learner's own line that runs in a frame, or that called what does. Or ""."""
    while frame is not None and lent(frame.f_code.co_filename):
        frame = frame.f_back
    return _told_line(frame.f_code.co_filename, frame.f_lineno) if frame else ""


def _told_line(file, number):
    text = linecache.getline(file, number).strip()
    return f"line {number}: `{text}`" if text else ""


def from_learner(error):
    """Whether `error` was raised outside of torch and its kin: by the learner's own line, or an unwritten forward."""
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return not code.co_filename.startswith(installed_folders()) or code.co_name == "_forward_unimplemented"


def raised_in(error):
    """The name of the function in which `error` was raised: "LlamaRMSNorm.forward"."""
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    name = trace.tb_frame.f_code.co_qualname.rpartition("<locals>.")[2]
    return "forward" if name == "_forward_unimplemented" else name
