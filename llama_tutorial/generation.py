"""Generation

Choose a token, feed it back, and never compute the same key twice.
"""

# Exported from notebooks/11_generation.ipynb; edit the lesson, not this file.

__all__ = ["stream", "generate", "load_directory", "load_shipped", "stream_text", "talk"]

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Bool, Int, Integer
from torch import Tensor

from .causal_lm import LlamaForCausalLM
from .config import LlamaConfig
from .kv_cache import make_cache
from .sampling import check_sampling, sample
from .tokenizer import Tokenizer


@torch.inference_mode()
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
    """Yield the next token of every row, again and again: read, choose, yield, feed the one back.

    Rows of different lengths are padded on the left, with False or 0 in `attention_mask`. With `use_cache=False` the
    whole text is read anew for every token, which gives the same tokens, slowly. `seed` fixes the draws; None draws
    from PyTorch's global generator. Raises ValueError as `sample` does, and for a negative `max_new_tokens`.
    """
    check_sampling(temperature, top_k, top_p)
    if not isinstance(max_new_tokens, int) or max_new_tokens < 0:
        raise ValueError(f"max_new_tokens must be a whole number of at least 0, got {max_new_tokens!r}")
    generator = None if seed is None else torch.Generator(input_ids.device).manual_seed(seed)
    kept = make_cache(len(model.model.layers)) if use_cache else None
    unread = input_ids
    for _ in range(max_new_tokens):
        hidden = model.model(unread, attention_mask=attention_mask, cache=kept)
        chosen = sample(model.lm_head(hidden[:, -1]), temperature, top_k, top_p, generator)
        yield chosen
        newest = rearrange(chosen, "batch -> batch 1")
        unread = newest if use_cache else torch.cat([unread, newest], dim=1)
        if attention_mask is not None:
            attention_mask = torch.cat([attention_mask, torch.ones_like(attention_mask[:, :1])], dim=1)


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

    It stops early when every row has written an id of `eos_token_id`; a row that has goes on with that id.
    The other arguments and the errors are those of `stream`.
    """
    ends = torch.tensor([eos_token_id] if isinstance(eos_token_id, int) else list(eos_token_id or ()))
    ends = ends.to(input_ids)
    written, done = [input_ids], torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
    for chosen in stream(
        model, input_ids, max_new_tokens, temperature, top_k, top_p, attention_mask, seed, use_cache
    ):
        chosen = chosen.to(input_ids.dtype)
        if len(ends):
            chosen = torch.where(done, ends[0], chosen)
            done = done | torch.isin(chosen, ends)
        written.append(rearrange(chosen, "batch -> batch 1"))
        if done.all():
            break
    return torch.cat(written, dim=1)


LlamaForCausalLM.generate = generate


def load_directory(directory: str | Path) -> tuple[LlamaForCausalLM, Tokenizer]:
    """A model in float32 and its tokenizer from a directory with config.json, model.safetensors and tokenizer.json.

    Raises FileNotFoundError for a missing file and ValueError for one that cannot be read or does not fit.
    """
    from safetensors.torch import load_file

    directory = Path(directory)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (directory / name).is_file():
            raise FileNotFoundError(f"no {name} in {directory}: a model's directory has one")
    try:
        config = LlamaConfig(json.loads((directory / "config.json").read_text(encoding="utf-8")))
        weights = load_file(directory / "model.safetensors")
    except Exception as error:
        raise ValueError(f"the model in {directory} cannot be read: {error}") from None
    model = LlamaForCausalLM(config)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    missing = [name for name in missing if not (name == "lm_head.weight" and config.tie_word_embeddings)]
    if missing or unexpected:
        raise ValueError(f"{directory} does not fit its config: missing {missing}, unknown {unexpected}")
    return model.eval(), Tokenizer.load(directory / "tokenizer.json")


@cache
def load_shipped() -> tuple[LlamaForCausalLM, Tokenizer]:
    """The small model that comes with this package, trained on Python's own documentation, and its tokenizer."""
    return load_directory(Path(__file__).parent / "assets" / "python_reference")


def stream_text(model: LlamaForCausalLM, tokenizer: Tokenizer, prompt: str, **how) -> Iterator[str]:
    """Yield what the model writes after a prompt, piece by piece, never half a character; stops at an end of text.

    The keyword arguments are those of `stream`. An empty prompt starts a new text.
    """
    ids = tokenizer.encode(prompt) or [tokenizer.end_of_text]
    unfinished = []
    for chosen in stream(model, torch.tensor([ids]), **how):
        if chosen.item() == tokenizer.end_of_text:
            break
        unfinished.append(chosen.item())
        text = tokenizer.decode(unfinished)
        if not text.endswith("\ufffd"):
            yield text
            unfinished = []
    if unfinished:
        yield tokenizer.decode(unfinished)


def talk(prompt: str, max_new_tokens: int = 60, temperature: float = 0.0, seed: int | None = 0, **how):
    """Print a prompt and how the shipped model goes on with it, word by word. `how` is as in `stream`."""
    print(prompt, end="", flush=True)
    for piece in stream_text(
        *load_shipped(), prompt, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed, **how
    ):
        print(piece, end="", flush=True)
    print()
