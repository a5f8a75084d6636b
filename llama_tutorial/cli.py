"""The command line: a thin door onto the lessons, the trained model and the trainer."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .commands.classroom import judge_exercises, lay_out_exercises, open_lab_of, put_back, show_solution
from .commands.contest import hold_contest
from .commands.drawing import write_figures
from .commands.narrating import tell_forward
from .commands.talking import hold_chat, load_voice, prompt_from_stdin, write_text
from .commands.training import train_model
from .terminal import run

# Nothing heavy is imported up here, so that --help answers at once; every command loads what it needs.

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
FAST = typer.Option("--fast", help="Write faster, as lesson 15 does; a small model is compiled first.")
BITS = typer.Option(metavar="8", help="With --fast: read the weights as int8, for a text that may differ.")
EXERCISE = "An exercise, such as rotate or LlamaRMSNorm.forward."
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
    """Open the lessons in JupyterLab, or the exercises in DIR. Ctrl-C ends it; your edits stay."""
    return open_lab_of(directory, browser, port)


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
    fast: Annotated[bool, FAST] = False,
    bits: Annotated[int | None, BITS] = None,
):
    """Let a trained model write on from a prompt; offline, unless --model is an id of the hub."""
    how = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    prompt = prompt_from_stdin(prompt) if prompt in (None, "-") else prompt
    write_text(prompt, load_voice(model, dtype, device, fast, bits), stop or (), how)


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
    fast: Annotated[bool, FAST] = False,
    bits: Annotated[int | None, BITS] = None,
):
    """Talk with a model that was taught to: one line is one message, an empty one or Ctrl-D ends it."""
    how = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    hold_chat(load_voice(model, dtype, device, fast, bits), system, stop or (), how)


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
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Numbers of your own in some exercises.")
    ] = None,
):
    """Write the exercise notebooks and the package my_llama/ that grows from them; never over a file of yours."""
    lay_out_exercises(directory, seed)


@app.command()
def solution(
    name: Annotated[str, typer.Argument(help=EXERCISE)],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where your exercise notebooks live.")] = Path("."),
):
    """Show our solution of an exercise; that of a transfer exercise once yours has passed."""
    show_solution(name, directory)


@app.command()
def check(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where your exercise notebooks live.")],
    json: Annotated[bool, typer.Option("--json", help="Write one JSON object, for programs.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say what was not judged again.")] = False,
):
    """Judge all exercises in DIR, in fresh processes, and build my_llama/ from what passes."""
    return judge_exercises(directory, json, verbose)


@app.command()
def reset(
    name: Annotated[str, typer.Argument(help=EXERCISE)],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where your exercise notebooks live.")] = Path("."),
):
    """Put an exercise back as it was handed out; what you had is kept beside it."""
    put_back(name, directory)


@app.command()
def challenge(
    package: Annotated[
        str | None, typer.Option(metavar="DIR", help="Yours, such as my_llama [default: the course's own]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, metavar="N", help="Of the weights and the windows.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Write one JSON object, for programs.")] = False,
    seconds: Annotated[float | None, typer.Option(min=0.1, hidden=True)] = None,  # another budget, for a short try
):
    """Train a model for 110 CPU-seconds and examine it: bits per byte, beside the course's own."""
    hold_contest(package, seed, json, seconds)


@app.command()
def figures(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files go.")],
    lesson: Annotated[list[str] | None, typer.Option(metavar="05", help="Of this lesson alone; repeatable.")] = None,
    svg: Annotated[bool, typer.Option("--svg", help="Run the lessons, minutes each, and draw SVG too.")] = False,
):
    """Write all figures of the course as PNG, for slides, with a page that says what each shows."""
    write_figures(directory, lesson or (), svg)


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


def main(argv: list[str] | None = None) -> None:
    """Run a command line and exit: 0 done, 1 failed, 2 a mistake in what was given, 130 interrupted."""
    sys.exit(run_command(sys.argv[1:] if argv is None else argv))


def run_command(argv: list[str]) -> int:
    """Run a command line and return its exit status (130 after Ctrl-C); a mistake is one line on stderr."""
    return run(app, argv)
