"""The command line: a thin door onto the lessons, the trained model and the trainer."""

import codecs
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

# Nothing heavy is imported up here, so that --help answers at once; every command loads what it needs.

PROGRAM = "llama-tutorial"
app = typer.Typer(
    help="Llama in PyTorch, component by component. Start with: llama-tutorial lab",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


MODEL = {"metavar": "DIR_OR_ID"}  # a directory, or an id of the hub such as HuggingFaceTB/SmolLM2-135M-Instruct
STOP = typer.Option(metavar="TEXT", help="Stop before this text; may be given more than once.")
DTYPE = typer.Option(metavar="NAME", help="Such as bfloat16 [default: as stored, on the CPU float32]")
DEVICE = typer.Option(metavar="NAME", help="Such as cpu or cuda:1 [default: cuda where there is one]")


@app.callback(invoke_without_command=True)
def door(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of a mistake.")] = False,
    version: Annotated[bool, typer.Option("--version", help="The same as the command version.")] = False,
):
    # No docstring: the application's help stands above. `--debug` is read in run_command.
    if version:
        tell_versions()
        raise typer.Exit()
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def lab(
    directory: Annotated[
        Path | None,
        typer.Argument(help="Where your copies live [default: here; in a checkout its my_lessons/]"),
    ] = None,
    browser: Annotated[bool, typer.Option(help="--no-browser only prints the address.")] = True,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="[default: 8888 or the next free one]")
    ] = None,
):
    """Open the lessons in JupyterLab. Ctrl-C ends it; your edits stay."""
    from .lab import open_lab

    return open_lab(directory, browser=browser, port=port)


@app.command()
def generate(
    prompt: Annotated[
        str | None, typer.Argument(help='How the text begins, such as "The for statement"; - reads it from stdin.')
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(help="How many tokens to write at most.")] = 120,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token, more is bolder.")] = 0.8,
    top_k: Annotated[int | None, typer.Option(help="Choose among the k likeliest only.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Choose among the likeliest that hold this share.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed writes the same text.")] = None,
    model: Annotated[str | None, typer.Option(**MODEL, help="A model [default: the one shipped]")] = None,
    stop: Annotated[list[str] | None, STOP] = None,
    dtype: Annotated[str | None, DTYPE] = None,
    device: Annotated[str | None, DEVICE] = None,
):
    """Let a trained model write on from a prompt; offline, unless --model is an id of the hub."""
    how = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    prompt = prompt_from_stdin(prompt) if prompt in (None, "-") else prompt
    write_text(prompt, load_voice(model, dtype, device), stop or (), how)


@app.command()
def chat(
    model: Annotated[str, typer.Option(**MODEL, help="A model that was taught to chat.")],
    system: Annotated[str | None, typer.Option(help="What the model is told before the first message.")] = None,
    max_new_tokens: Annotated[int, typer.Option(help="How many tokens an answer has at most.")] = 512,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token, more is bolder.")] = 0.6,
    top_k: Annotated[int | None, typer.Option(help="Choose among the k likeliest only.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Choose among the likeliest that hold this share.")
    ] = 0.9,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same answers.")] = None,
    stop: Annotated[list[str] | None, STOP] = None,
    dtype: Annotated[str | None, DTYPE] = None,
    device: Annotated[str | None, DEVICE] = None,
):
    """Talk with a model that was taught to: one line is one message, an empty one or Ctrl-D ends it."""
    how = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    hold_chat(load_voice(model, dtype, device), system, stop or (), how)


@app.command()
def train(
    files: Annotated[list[Path] | None, typer.Argument(hidden=True)] = None,  # what follows the first --text
    text: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE ...", help="UTF-8 text [default: Python's reference and docstrings]"),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="As many steps as fit, measured once.")] = None,
    steps: Annotated[int | None, typer.Option(help="[default: those of the shipped model]")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the model goes.")] = Path("runs/model"),
    seed: Annotated[int | None, typer.Option(help="[default: that of the shipped model]")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was cut off in DIR.")] = False,
):
    """Train a model on text. As it stands, it makes the model that is shipped."""
    train_model([*(text or ()), *(files or ())], minutes, steps, out, seed, resume)


@app.command()
def narrate(
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Its config.json [default: the 135M shape]")
    ] = None,
    torch_ops: Annotated[bool, typer.Option("--torch-ops", help="Also the matrix products and norms between.")] = False,
    tokens: Annotated[int, typer.Option(min=1, metavar="N", help="How many tokens the model reads.")] = 16,
):
    """Tell a forward pass in named axes: every change of shape, where it stands and what it does."""
    tell_forward(config, torch_ops, tokens)


@app.command()
def exercises(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where your notebooks and my_llama/ live.")],
):
    """Write the exercise notebooks and the package my_llama/ that grows from them; never over a file of yours."""
    from .classroom.desk import write_exercises

    told = write_exercises(directory)
    print("\n".join(told) or f"nothing to do: {directory} has them all")


@app.command()
def solution(
    name: Annotated[str, typer.Argument(help="An exercise, such as rotate or LlamaRMSNorm.forward.")],
):
    """Show our solution of an exercise."""
    from .classroom.exercises import solution

    print(solution(name))


@app.command()
def check(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where your exercise notebooks live.")],
):
    """Judge all exercises in DIR again, in fresh processes, and build my_llama/ from what passes."""
    from .classroom.judging import judge_folder, told

    verdicts = judge_folder(directory)
    print("\n".join(told(verdicts)))
    return int(any(verdict.state == "failed" for verdict in verdicts))


@app.command()
def export(
    lessons: Annotated[
        list[str] | None, typer.Argument(help="04, 04_rotary or a path [default: all]", show_default=False)
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="First execute them and store their outputs.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; say what is out of step.")] = False,
):
    """For maintainers: write the package from the lessons."""
    try:
        import nbdev  # noqa: F401
    except ImportError:
        raise ValueError('export needs the test extra: pip install -c constraints.txt -e ".[test]"') from None
    from .authoring import check_in_step, export, lesson_files
    from .authoring import run as execute

    if check:
        problems = check_in_step()
        print("\n".join(problems) or "everything is in step")
        return int(bool(problems))
    for path in lesson_files(lessons or ()):
        if run:
            print(f"{path.name}: {execute(path)} cells executed", flush=True)
        modules = ", ".join(module.name for module in export(path))
        print(f"{path.name}: {modules or 'exports nothing'}", flush=True)


@app.command()
def version():
    """Say which versions are installed."""
    tell_versions()


def tell_versions() -> None:
    """Print the versions, without importing what they are of."""
    from importlib.metadata import version

    from . import __version__

    print(f"llama_tutorial {__version__}, Python {sys.version.split()[0]}, torch {version('torch')}")


def load_voice(source, dtype, device):
    """A model and its tokenizer from a directory, from the hub, or as shipped."""
    from importlib.resources import files

    from . import LlamaForCausalLM, PublishedTokenizer

    device = device_of(device)
    source = source or Path(str(files("llama_tutorial"))) / "assets" / "python_reference"
    model = LlamaForCausalLM.from_pretrained(source, dtype or ("float32" if device.type == "cpu" else None), device)
    tokenizer = PublishedTokenizer.from_pretrained(source)
    size = tokenizer.inner.get_vocab_size(with_added_tokens=False)  # one that is added may lie beyond, and never occur
    if size > model.config.vocab_size:
        raise ValueError(
            f"the tokenizer in {source} has {size} ids and the model {model.config.vocab_size}: "
            "they do not belong together"
        )
    return model, tokenizer


def device_of(name):
    """The device of that name, by default cuda where there is one; ValueError for one that cannot compute here."""
    import warnings

    import torch

    there_are = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    there_are += ["mps"] if torch.backends.mps.is_available() else []
    name = ("cuda" if torch.cuda.is_available() else "cpu") if name is None else name
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns of names that it has given up, before it fails
            device = torch.device(name)
            torch.zeros(1, device=device).item()  # fails on the device meta too, whose tensors hold no numbers
    except Exception as error:  # each kind of device has errors of its own
        why = str(error).split("\n")[0]  # of the other kinds it only says that PyTorch was not built for them
        why = f" ({why:.160})" if name.split(":")[0] in ("cuda", "mps", "xpu") else ""
        cure = f"name one that PyTorch has, {' or '.join(there_are)}, or leave --device out"
        raise ValueError(f"--device {name or repr(name)} cannot be used here: {cure}{why}") from None
    return device


def answer_to(voice, ids, stop, how, after=()):
    """What a model writes after some ids, piece by piece; a mistake is refused before the first.

    `after` are the ids whose text it continues on the screen.
    """
    import torch

    from .generation import stream

    model, tokenizer = voice
    if not ids:
        raise ValueError("the prompt must have at least one token, for this model has none with which a text begins")
    tokens = stream(model, torch.tensor([ids], device=model.lm_head.weight.device), **how)
    return tokenizer.stream((token.item() for token in tokens), stop, after)


def write_text(prompt, voice, stop, how) -> None:
    """Print the prompt and what the model writes after it, piece by piece."""
    tokenizer = voice[1]
    ids = tokenizer.encode(prompt) or list(tokenizer.ends[:1])
    pieces = answer_to(voice, ids, stop, how, after=ids)
    print(prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print(flush=True)


def hold_chat(voice, system, stop, how) -> None:
    """Read a line, print the answer piece by piece, and again, the whole chat so far before the model's eyes."""
    tokenizer = voice[1]
    if tokenizer.template is None:
        raise ValueError(f"this model was not taught to chat, it has no chat template: try {PROGRAM} generate")
    messages = [] if system is None else [{"role": "system", "content": system}]
    answer_to(voice, [0], stop, how)  # a mistake in the options is told before anything is typed
    while line := read_line():
        messages.append({"role": "user", "content": line})
        said = []
        for piece in answer_to(voice, tokenizer.encode_chat(messages), stop, how):
            said.append(piece)
            print(piece, end="", flush=True)
        print(flush=True)
        messages.append({"role": "assistant", "content": "".join(said).strip()})


def read_line() -> str:
    """A line from the user, asked for where someone sits at the keyboard; empty at the end."""
    if sys.stdin is None or not sys.stdin.isatty():
        return from_stdin("a message", one_line=True).strip()
    try:
        return input("> ").strip()
    except EOFError:
        return ""


def prompt_from_stdin(given) -> str:
    """The prompt that a pipe or a file hands in, without the line break at its end; - also asks at the keyboard."""
    such = 'such as "The for statement"'
    if given is None and sys.stdin and sys.stdin.isatty():
        raise ValueError(f"generate needs a prompt: give one, {such}, or - to write it on stdin")
    prompt = from_stdin("the prompt").removesuffix("\n")
    if not prompt:
        raise ValueError(f'there is no prompt on stdin: give one there or as an argument, {such}; "" is one too')
    return prompt


def from_stdin(what: str, one_line: bool = False) -> str:
    """What stands on stdin as text, all of it or its next line, without the mark with which some files begin.

    It is read as UTF-8, and what is not UTF-8 in the encoding that the locale or PYTHONIOENCODING names. Windows pipes
    in another encoding than the one that its locale names, so there only PYTHONIOENCODING counts.
    """
    source = getattr(sys.stdin, "buffer", sys.stdin)
    try:
        given = "" if source is None else source.readline() if one_line else source.read()
    except OSError as error:
        raise ValueError(f"{what} cannot be read from stdin: {error}") from None
    if isinstance(given, bytes):
        given = decoded(given, f"{what} on stdin", sys.stdin.encoding)
    return given.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def decoded(given: bytes, what: str, otherwise: str) -> str:
    """Bytes of UTF-8, or else of the encoding that someone has named, as text; ValueError where they are neither."""
    try:
        return given.decode()
    except UnicodeDecodeError as error:
        told = f"{what} must be UTF-8, got byte {given[error.start]:#04x} at {error.start}: save it as UTF-8"
    named = os.name != "nt" or "PYTHONIOENCODING" in os.environ
    try:
        if named and b"\0" not in given:  # in UTF-16, which every one of the old encodings would take for letters
            return given.decode(otherwise)
    except UnicodeDecodeError:
        pass
    raise ValueError(f"{told}, or name its encoding in PYTHONIOENCODING")


def train_model(files, minutes, steps, out, seed, resume) -> None:
    """Train into a directory, with a progress bar, and say how well the model does on text held out."""
    if minutes is not None and steps is not None:
        raise ValueError("--minutes and --steps both say how long: give one of them")
    from .training import Recipe, text_of_files, train_directory

    given = {name: value for name, value in {"steps": steps, "seed": seed}.items() if value is not None}
    Recipe(**given)  # a wrong number is told before any text is read
    try:
        text = text_of_files(files) if files else None
        report = train_directory(out, text, given, minutes=minutes, progress=sys.stderr, resume=resume)
    except KeyboardInterrupt:
        print(f"\n{PROGRAM}: {what_is_kept(out)}", file=sys.stderr)
        raise
    print(f"{report['held_out_bits_per_byte']:.3f} bits per byte on text held out; the model is in {out}")
    print(f'try: {PROGRAM} generate "…" --model {out}')


def what_is_kept(out) -> str:
    """What a run leaves behind that Ctrl-C has stopped."""
    from .training import kept_run

    if (out / "training.json").exists():
        return f"stopped, but the model in {out} is whole"
    if not (out / "training.safetensors").exists():
        return "stopped before the first step: nothing is kept"
    run = kept_run(out / "training.safetensors")
    done, steps = len(run["losses"]), run["recipe"].steps
    return f"stopped at step {done:,} of {steps:,}, which is kept: the same command with --resume goes on"


def tell_forward(config, torch_ops, tokens) -> None:
    """Print the story of a forward pass; it runs on shapes alone, so that a model of any size takes seconds."""
    import torch

    from . import LlamaForCausalLM
    from .viz import narrate

    shape = {} if config is None else published_shape(config)
    with torch.device("meta"):
        model, ids = LlamaForCausalLM(shape), torch.zeros(1, tokens, dtype=torch.long)
    with narrate(model, torch_ops=torch_ops) as story:
        model(ids)
    size = sum(weight.numel() for weight in model.parameters())
    layers = model.config.num_hidden_layers
    print(f"parameters {size:,} · layers {layers} · tokens {tokens} · steps {len(story)}\n")
    print(story.folded().table(as_written))


def published_shape(path):
    """The LlamaConfig of a published config.json, as `from_pretrained` understands it; ValueError with its name."""
    import json
    from difflib import get_close_matches

    from .checkpoint import translate_config
    from .config import LlamaConfig

    try:
        if path.stat().st_size > 16_000_000:
            raise ValueError("it has more than 16 MB")
        fields = json.loads(path.read_bytes())  # which also reads the mark with which some files begin
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be a config.json: {error}") from None
    try:
        if not isinstance(fields, dict):
            raise ValueError(f"it must be a LlamaConfig or a dict, written in braces, got a {type(fields).__name__}")
        if fields.get("model_type") not in (None, "llama"):
            told = f"{fields['model_type']!r:.80}: this package builds Llama only"
            raise ValueError(f"model_type must be 'llama', got {told}")
        if "dim" in fields and "n_layers" in fields:
            raise ValueError("it is Meta's params.json, which says too little without its weights: give a config.json")
        for name in fields.keys() - LlamaConfig.__dataclass_fields__.keys():
            if meant := get_close_matches(name, LlamaConfig.__dataclass_fields__, 1, cutoff=0.9):
                raise ValueError(f"it has a field {name!r}: did you mean {meant[0]!r}?")
        return translate_config(fields)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: {error}") from None


# What stands for a character that a terminal or a file cannot hold, where Unicode itself names nothing near.
_PAIRS = r"""
    → -> ← <- ↔ <-> ↑ ^ ↓ v ⇒ => ↳ `- ▸ > ▾ v − - ‐ - – - — - … ... · . • * × x ÷ / ⁄ / ± +- ∓ -+ ≤ <= ≥ >= ≠ != ≈ ~
    ∞ inf ∈ in π pi θ theta “ " ” " „ " « " » " ‘ ' ’ ' ‚ ' ¡ ! ¿ ? ✓ + ✗ x ○ o ● * ␣ _ ↵ \n ⇥ \t ° deg € EUR
    æ ae Æ AE œ oe Œ OE ø o Ø O ß ss ł l Ł L đ d Đ D ð d Ð D þ th Þ Th ı i © (c) ® (R) μ u
""".split()
NEAREST = {**dict(zip(_PAIRS[::2], _PAIRS[1::2])), "√": "sqrt ", "\ufffd": "?", "\ufeff": "", "\u200b": ""}


def nearest(character: str, before: str = " ") -> str:
    """A character in ASCII: what is nearest to it, and its number as Python writes it where nothing is near.

    A raised digit is told from its neighbour: 10⁻⁶ becomes 10^-6. `before` is the character that stands before it.
    """
    from unicodedata import combining, decomposition, normalize

    if character in NEAREST:
        return NEAREST[character]
    raised, halved = (decomposition(character).startswith(kind) for kind in ("<super>", "<fraction>"))
    first = "^" if raised and not decomposition(before).startswith("<super>") else " " if halved else ""
    parts = normalize("NFKD", character)
    text = "".join(NEAREST.get(part, part) for part in parts if not combining(part) or part > "\u036f")
    return first + text if text.isascii() else character.encode("ascii", "backslashreplace").decode()


def in_place(error: UnicodeEncodeError):
    """What is written where a stream cannot hold a character; a byte of a file's name that is no text stays a byte."""
    here, text = error.start, error.object
    if "\udc80" <= text[here] <= "\udcff":
        return bytes([ord(text[here]) - 0xDC00]), here + 1
    return nearest(text[here], text[here - 1 : here] or " "), here + 1


def never_fail(*streams) -> None:
    """Have the streams write the nearest character for one that they cannot hold, unless someone chose otherwise."""
    codecs.register_error(f"{PROGRAM}.nearest", in_place)
    for stream in streams:
        if getattr(stream, "errors", None) in ("strict", "surrogateescape") or stream is sys.stderr:
            getattr(stream, "reconfigure", lambda **_: None)(errors=f"{PROGRAM}.nearest")


def as_written(text: str) -> str:
    """A text as it will read on stdout, so that a table can be aligned by it."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, f"{PROGRAM}.nearest").decode(encoding, "replace")


def main(argv: list[str] | None = None) -> None:
    """Run a command line and exit: 0 done, 1 failed, 2 a mistake in what was given, 130 interrupted."""
    sys.exit(run_command(sys.argv[1:] if argv is None else argv))


def run_command(argv: list[str]) -> int:
    """Run a command line and return its exit status (130 after Ctrl-C); a mistake is one line on stderr."""
    never_fail(sys.stdout, sys.stderr)
    debug = "--debug" in argv
    argv = [word for word in argv if word != "--debug"]
    try:
        status = app(argv, prog_name=PROGRAM, standalone_mode=False)
        if sys.stdout:  # None where it was closed from the start
            sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except BrokenPipeError:  # whoever read us has stopped, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            raise
        print(f"{PROGRAM}: {in_one_line(error)}", file=sys.stderr)
        mistake = isinstance(error, (ValueError, TypeError, KeyError, IndexError, OSError))
        return getattr(error, "exit_code", 2 if mistake else 1)


def in_one_line(error: Exception) -> str:
    """What an error says, in one line."""
    if hasattr(error, "format_message"):  # a mistake in the options
        command = getattr(getattr(error, "ctx", None), "command_path", PROGRAM)
        text = f"{error.format_message()} ({command} --help)"
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror + (f": {error.filename}" if error.filename else "")
    elif isinstance(error, KeyError) and error.args:
        text = str(error.args[0])
    else:
        text = str(error)
    return " ".join(text.split()) or type(error).__name__
