"""A trained model that writes: generate and chat."""

import sys
from pathlib import Path

from ..terminal import PROGRAM, from_stdin, read_line
from .quick import Quick


def load_voice(source, dtype, device, fast=False, bits=None):
    """A model and its tokenizer from a directory, from the hub, or as shipped; `fast` as lesson 15 makes it."""
    from importlib.resources import files

    from .. import LlamaForCausalLM, PublishedTokenizer

    if bits is not None and (bits != 8 or not fast):
        raise ValueError(f"--bits can be 8, with --fast, got {bits}{'' if fast else ' without it'}")
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
    return Quick(model, bits) if fast else model, tokenizer


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

    from ..generation import stream

    model, tokenizer = voice
    if not ids:
        raise ValueError("the prompt must have at least one token, for this model has none with which a text begins")
    if isinstance(model, Quick):
        model = model.for_tokens(len(ids) + how["max_new_tokens"])
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


def prompt_from_stdin(given) -> str:
    """The prompt that a pipe or a file hands in, without the line break at its end; - also asks at the keyboard."""
    such = 'such as "The for statement"'
    if given is None and sys.stdin and sys.stdin.isatty():
        raise ValueError(f"generate needs a prompt: give one, {such}, or - to write it on stdin")
    prompt = from_stdin("the prompt").removesuffix("\n")
    if not prompt:
        raise ValueError(f'there is no prompt on stdin: give one there or as an argument, {such}; "" is one too')
    return prompt
