"""Text in, text out, as a published model expects it: its tokenizer, its chat template, its ends."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from .fields import special_ids
from .files import MEGABYTE, find_file, read_json, shown
from .hub import locate
from .template import render


class PublishedTokenizer:
    """The tokenizer of a published model: text ↔ ids, chats → ids, and ids → text as they come.

    `special` holds its special tokens by role ("bos_token" …), `ends` the ids that end a text, `template` the chat
    template or None. Make one with `from_pretrained`.
    """

    def __init__(self, inner, special: Mapping[str, str], ends: Sequence[int], template: str | None = None):
        self.inner = inner  # a tokenizers.Tokenizer
        self.special, self.ends, self.template = dict(special), tuple(ends), template

    @classmethod
    def from_pretrained(cls, source: str | Path, revision: str | None = None) -> "PublishedTokenizer":
        """Read tokenizer.json and what belongs to it from a directory or the hub.

        Raises FileNotFoundError where there is none, ValueError where it cannot be read, and as the model's does.
        """
        directory = locate(source, revision, ["*.json", "*.jinja"])
        inner = read_tokenizer(find_file(directory, "tokenizer.json"))
        settings, config = (optional_json(directory, name) for name in ("tokenizer_config.json", "config.json"))
        special = special_tokens(settings)
        config.setdefault("eos_token_id", inner.token_to_id(special.get("eos_token", "")))
        ends = special_ids(directory, config)["eos_token_id"]
        ends = [] if ends is None else ends if isinstance(ends, list) else [ends]
        return cls(inner, special, ends, chat_template(directory, settings))

    def __len__(self):
        return self.inner.get_vocab_size()

    def encode(self, text: str, special: bool = True) -> list[int]:
        """The ids of a text; with `special`, begun as the model expects a text to begin."""
        if not isinstance(text, str):
            raise TypeError(f"encode takes a str, got {type(text).__name__}")
        try:
            return self.inner.encode(text, add_special_tokens=special).ids
        except TypeError:
            raise ValueError(f"encode takes text that UTF-8 can hold, got half a pair in {text!a:.80}") from None

    def encode_batch(self, texts: Iterable[str]) -> tuple[Int[Tensor, "batch seq"], Bool[Tensor, "batch seq"]]:
        """Several texts as one batch: ids, padded on the left, and which of them are real."""
        rows = [self.encode(text) for text in texts]
        if not all(rows):
            raise ValueError("encode_batch takes texts with at least one token each")
        longest = max(map(len, rows))
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
        return ids, torch.arange(longest) >= torch.tensor([[longest - len(row)] for row in rows])

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """The text of some ids; special tokens are left out unless asked for."""
        return self.inner.decode([int(i) for i in ids], skip_special_tokens=skip_special)

    def render(self, messages: Sequence[Mapping], add_generation_prompt: bool = True, **variables) -> str:
        """A chat as the model has learnt to read it. `messages` are {"role": …, "content": …}.

        Raises ValueError where there is no template, or as `template.render` does.
        """
        if self.template is None:
            raise ValueError("this model has no chat template, so it was not taught to chat: let it write on instead")
        usual = {"messages": list(messages), "add_generation_prompt": add_generation_prompt}
        return render(self.template, {**self.special, **usual, "tools": None, "documents": None, **variables})

    def encode_chat(self, messages: Sequence[Mapping], **variables) -> list[int]:
        """The ids of a chat up to where the model answers; the template itself writes the special tokens."""
        return self.encode(self.render(messages, **variables), special=False)

    def stream(self, ids: Iterable[int], stops: Iterable[str] = ()) -> Iterator[str]:
        """Text of ids as they come, never half a character; it ends before an id of `ends` or a text of `stops`."""
        return until(whole_pieces(self, takewhile(lambda token: token not in self.ends, ids)), stops)


def whole_pieces(tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """What each id adds to the text, held back until its last character is whole.

    Decoded with the piece before it, because some tokenizers drop a space where a text begins; and with all pieces
    since one that can stand alone, because bytes of one run are decoded together.
    """
    kept, shown = [], ""
    for token in ids:
        kept.append(token)
        text = tokenizer.decode(kept)
        if len(text) > len(shown) and not text.endswith("\ufffd"):
            yield text[len(shown) :]
            alone = tokenizer.decode([token])
            kept, shown = (kept, text) if "\ufffd" in alone else ([token], alone)
    rest = tokenizer.decode(kept)[len(shown) :]
    if rest:
        yield rest


def until(pieces: Iterable[str], stops: Iterable[str]) -> Iterator[str]:
    """The pieces up to the first text of `stops`; what may be the beginning of one is held back until it is clear."""
    stops = stops if isinstance(stops, str) else tuple(stops)
    if isinstance(stops, str) or not all(isinstance(stop, str) and stop for stop in stops):
        raise ValueError(f"stops must be texts with at least one character each, got {shown(stops)}")
    return cut(pieces, stops)


def cut(pieces, stops):
    """The loop of `until`."""
    held = ""
    for piece in pieces:
        held += piece
        found = [held.index(stop) for stop in stops if stop in held]
        if found:
            held = held[: min(found)]
            break
        begun = max((n for stop in stops for n in range(1, len(stop)) if held.endswith(stop[:n])), default=0)
        if begun < len(held):
            yield held[: len(held) - begun]
            held = held[len(held) - begun :]
    if held:
        yield held


def read_tokenizer(path: Path):
    """The `tokenizers.Tokenizer` of a tokenizer.json; ValueError where it cannot be read."""
    from tokenizers import Tokenizer

    try:
        if path.stat().st_size > 100 * MEGABYTE:
            raise ValueError("it has more than 100 MB")
        return Tokenizer.from_file(str(path))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library raises bare Exception, and panics where it was not careful
        raise ValueError(f"{path} is not a tokenizer.json: {error!s:.200}") from None


def optional_json(directory, name):
    """The object in a JSON file of a directory, {} where there is no such file."""
    path = find_file(directory, name, needed=False)
    return {} if path is None else read_json(path)


def special_tokens(settings):
    """The special tokens of a tokenizer_config.json, as text by role."""
    roles = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
    found = {role: settings.get(role) for role in roles}
    found = {role: token.get("content") if isinstance(token, dict) else token for role, token in found.items()}
    return {role: token for role, token in found.items() if isinstance(token, str)}


def chat_template(directory, settings):
    """The template in chat_template.jinja, else that of tokenizer_config.json, of several the default; or None."""
    path = find_file(directory, "chat_template.jinja", needed=False)
    if path is not None:
        if path.stat().st_size > MEGABYTE:
            raise ValueError(f"{path} has more than 1 MB: it is no chat template")
        try:
            return path.read_text(encoding="utf-8")
        except ValueError as error:
            raise ValueError(f"{path} is not text: {error}") from None
    template = settings.get("chat_template")
    if isinstance(template, list):
        named = {one.get("name"): one.get("template") for one in template if isinstance(one, dict)}
        template = named.get("default")
    if not isinstance(template, str | None):
        raise ValueError(f"the chat_template in {directory} must be text, got {repr(template)[:80]}")
    return template
