"""Generation

Choose a token, feed it back, and never compute the same key twice.
"""

# Exported from notebooks/11_generation.ipynb; edit the lesson, not this file.

__all__ = [
    "RESERVED", "check_prompt", "check_length", "end_ids", "tell_of_stops", "write_on", "stream", "generate",
    "whole_characters", "stream_text", "talk", "load_directory", "read_config", "load_weights",
    "load_shipped",
]

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from importlib.resources import files
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Bool, Int, Integer
from torch import Tensor

from .causal_lm import LlamaForCausalLM
from .config import LlamaConfig
from .doors import believed, check_attention_mask, check_ids, check_number, check_room
from .kv_cache import make_cache
from .sampling import check_logits, check_sampling
from .sampling import draw as draw_token
from .tokenizer import Tokenizer


def check_prompt(model, input_ids, attention_mask):
    """Refuse ids or a mask that the model cannot read, and padding on the right."""
    check_ids(input_ids, model.config.vocab_size)
    if attention_mask is None:
        return
    check_attention_mask(attention_mask, tuple(input_ids.shape))
    if not attention_mask[:, -1].all():
        raise ValueError(
            "a prompt must be padded on the left, because the next token follows the last one; got an attention_mask "
            "whose last column has a False or 0"
        )


def check_length(max_new_tokens, seed):
    """TypeError or ValueError unless both are whole numbers from 0 on, or seed is None."""
    check_number("max_new_tokens", max_new_tokens, "[0, ∞)", whole=True)
    if seed is not None:
        check_number("seed", seed, f"[0, {2**63})", whole=True)


def end_ids(eos_token_id, vocab_size):
    """The ids that end a text, as a list; TypeError or ValueError for one that no token has.

    Of several, those beyond the vocabulary are left out: a tokenizer may know them, no model writes them.
    """
    if isinstance(eos_token_id, Sequence) and not isinstance(eos_token_id, str):
        ends = [check_number("eos_token_id", end, "[0, ∞)", whole=True) for end in eos_token_id]
        return [end for end in ends if end < vocab_size]
    alone = [] if eos_token_id is None else [eos_token_id]
    return [check_number("eos_token_id", end, f"[0, {vocab_size})", whole=True) for end in alone]


def tell_of_stops(model):
    """Warn where a published model's file names texts that end a text: `generate` sees ids only."""
    stops = getattr(model, "generation_config", {}).get("stop_strings")
    if stops:
        told = f"generation_config.json names stop_strings {stops!r:.80}, and generate sees no text"
        warnings.warn(f"{told}: the `stream` of PublishedTokenizer ends there", stacklevel=3)


RESERVED = 16384  # up to so many tokens the cache gets all of its room at once


@torch.inference_mode()
def write_on(
    model: LlamaForCausalLM,
    unread: Integer[Tensor, "batch seq"],
    max_new_tokens: int,
    choose: Callable[[Tensor], Tensor],
    attention_mask: Tensor | None = None,
    use_cache: bool = True,
) -> Iterator[Int[Tensor, " batch"]]:
    """The loop of `stream`: read what is unread, choose from the last logits, yield the choice and read it next.

    The model does not look again at ids that it wrote itself. `check_logits` looks for NaN at every step on the CPU,
    and at every 32nd elsewhere, because there each look waits for all that the device still computes.
    """
    start, end = unread.shape[1], unread.shape[1] + max_new_tokens
    kept = make_cache(len(model.model.layers), end if end <= RESERVED else None) if use_cache else None
    if attention_mask is not None:  # all that will be written is real
        attention_mask = torch.cat([attention_mask, attention_mask.new_ones(len(unread), max_new_tokens)], dim=1)
    for step in range(max_new_tokens):
        mask = None if attention_mask is None else attention_mask[:, : start + step]
        with believed():
            hidden = model.model(unread, attention_mask=mask, cache=kept)
        logits = model.lm_head(hidden[:, -1])
        if logits.device.type == "cpu" or step % 32 == 0:
            check_logits(logits)
        chosen = choose(logits)
        yield chosen
        newest = rearrange(chosen, "batch -> batch 1")
        unread = newest if use_cache else torch.cat([unread, newest], dim=1)


def stream(
    model: LlamaForCausalLM,
    input_ids: Integer[Tensor, "batch seq"],
    max_new_tokens: int = 50,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    attention_mask: Integer[Tensor, "batch seq"] | Bool[Tensor, "batch seq"] | None = None,
    seed: int | None = None,
    use_cache: bool = True,
) -> Iterator[Int[Tensor, " batch"]]:
    """Yield the next token of every row, again and again: read, choose, yield the choice and read it next.

    Rows of different lengths are padded on the left, with False or 0 in `attention_mask`. With `use_cache=False` the
    whole text is read anew for every token, which gives the same tokens, slowly. `seed` fixes the draws; None draws
    from PyTorch's global generator. Raises, at once, TypeError or ValueError as `sample` and the model do, and
    ValueError for a negative `max_new_tokens`, an impossible seed, padding on the right, or, with `dynamic` scaling,
    more new tokens than fit into `max_position_embeddings` with the prompt.
    """
    check_sampling(temperature, top_k, top_p)
    check_length(max_new_tokens, seed)
    check_prompt(model, input_ids, attention_mask)
    check_room(model.config, input_ids, attention_mask, max_new_tokens)
    generator = None if seed is None else torch.Generator(input_ids.device).manual_seed(seed)
    choose = partial(draw_token, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)
    loop = getattr(model, "write_on", partial(write_on, model))  # lesson 15's models have a loop of their own
    return loop(input_ids, max_new_tokens, choose, attention_mask, use_cache)


def generate(
    model: LlamaForCausalLM,
    input_ids: Integer[Tensor, "batch seq"],
    max_new_tokens: int = 50,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    attention_mask: Integer[Tensor, "batch seq"] | Bool[Tensor, "batch seq"] | None = None,
    eos_token_id: int | Sequence[int] | None = None,
    seed: int | None = None,
    use_cache: bool = True,
) -> Integer[Tensor, "batch longer"]:
    """The prompt and what the model writes after it: (batch, seq) → (batch, seq + at most max_new_tokens).

    It stops early when every row has written an id of `eos_token_id`; a row that has is filled up with the first of
    them. Of several, ids beyond the vocabulary do nothing. The other arguments and the errors are those of `stream`;
    ValueError for an eos_token_id that no token has. A model whose file names `stop_strings` warns of them.
    """
    how = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed, "use_cache": use_cache}
    tokens = stream(model, input_ids, max_new_tokens, attention_mask=attention_mask, **how)  # refuses, and waits
    ends = torch.tensor(end_ids(eos_token_id, model.config.vocab_size)).to(input_ids)
    tell_of_stops(model)
    done = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
    written = []
    for chosen in tokens:
        written.append(chosen.to(input_ids.dtype))
        if len(ends):
            written[-1] = torch.where(done, ends[0], written[-1])
            done = done | torch.isin(written[-1], ends)
            if done.all():
                break
    new = rearrange(written, "new batch -> batch new") if written else input_ids[:, :0]
    return torch.cat([input_ids, new], dim=1)


def whole_characters(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Decode ids as they come, each piece held back until its last character is whole; stop at the end of text."""
    unfinished = []
    for token in ids:
        if token == tokenizer.end_of_text:
            break
        unfinished.append(token)
        text = tokenizer.decode(unfinished)
        if not text.endswith("\ufffd"):
            yield text
            unfinished = []
    if unfinished:
        yield tokenizer.decode(unfinished)


def stream_text(model: LlamaForCausalLM, tokenizer: Tokenizer, prompt: str, **how) -> Iterator[str]:
    """Yield what the model writes after a prompt, piece by piece, never half a character; stops at an end of text.

    The keyword arguments and the errors are those of `stream`; TypeError unless the prompt is a str. An empty prompt
    starts a new text.
    """
    ids = torch.tensor([tokenizer.encode(prompt) or [tokenizer.end_of_text]], device=model.lm_head.weight.device)
    return whole_characters(tokenizer, (chosen.item() for chosen in stream(model, ids, **how)))


def talk(prompt: str, max_new_tokens: int = 60, temperature: float = 0.0, seed: int | None = 0, **how):
    """Print a prompt and how the shipped model goes on with it, word by word. `how` is as in `stream`."""
    how = {"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed, **how}
    pieces = stream_text(*load_shipped(), prompt, **how)
    print(prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()


def load_directory(directory: str | Path) -> tuple[LlamaForCausalLM, Tokenizer]:
    """A model in float32 and its tokenizer from a directory with config.json, model.safetensors and tokenizer.json.

    Raises FileNotFoundError for a missing file and ValueError for one that cannot be read or does not fit.
    """
    if not isinstance(directory, str | Path):
        raise TypeError(f"directory must be a path, got {directory!r}")
    directory = Path(directory)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (directory / name).is_file():
            raise FileNotFoundError(f"no {name} in {directory}: a model's directory has one")
    model = LlamaForCausalLM(read_config(directory / "config.json"))
    load_weights(model, directory / "model.safetensors")
    tokenizer = Tokenizer.load(directory / "tokenizer.json")
    if len(tokenizer) > model.config.vocab_size:
        raise ValueError(
            f"the tokenizer in {directory} has {len(tokenizer)} ids and the model {model.config.vocab_size}: "
            "they do not belong together"
        )
    return model.eval(), tokenizer


def read_config(path):
    """The LlamaConfig of a config.json; ValueError where it cannot be read or is not that of a Llama."""
    try:
        return LlamaConfig(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is not the config.json of a Llama: {error}") from None


def load_weights(model, path):
    """Put the tensors of a safetensors file into the model; ValueError naming the first that does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read as safetensors: {error}") from None
    wanted = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    if model.config.tie_word_embeddings and "lm_head.weight" not in weights:
        del wanted["lm_head.weight"]
    found = {name: tuple(weight.shape) for name, weight in weights.items()}
    for name in [*wanted, *found]:
        if wanted.get(name) != found.get(name):
            asked, held = wanted.get(name, "not be there"), found.get(name, "nothing")
            asked = f"be {asked}" if name in wanted else asked
            raise ValueError(f"{path} does not fit its config.json: {name} should {asked}, the file has {held}")
    model.load_state_dict(weights, strict=False)


@cache
def load_shipped() -> tuple[LlamaForCausalLM, Tokenizer]:
    """The small model that comes with this package, trained on Python's own documentation, and its tokenizer.

    It is read once; every call gives the same two objects, so change a copy.
    """
    return load_directory(Path(str(files("llama_tutorial"))) / "assets" / "python_reference")
