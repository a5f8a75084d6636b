"""Text in, text out, as a published model expects it: its tokenizer, its chat template, its ends."""

import copy
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

ROLES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
LLAMA_TOKENS = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}  # what LlamaTokenizer takes for granted


class PublishedTokenizer:
    """The tokenizer of a published model: text ↔ ids, chats → ids, and ids → text as they come.

    `special` holds its special tokens by role ("bos_token" …), `ends` the ids that end a text, `template` the chat
    template or None, `tool_template` another one for chats with tools. Make one with `from_pretrained`.
    """

    def __init__(
        self,
        inner,
        special: Mapping[str, str],
        ends: Sequence[int],
        template: str | None = None,
        tool_template: str | None = None,
        clean_up_tokenization_spaces: bool = False,
    ):
        if inner.truncation or inner.padding:  # they were of use to the training, here they would change texts
            inner = copy.deepcopy(inner)
            inner.no_truncation()
            inner.no_padding()
        self.inner = inner  # a tokenizers.Tokenizer
        self.special, self.ends = dict(special), tuple(ends)
        self.template, self.tool_template = template, tool_template
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces

    @classmethod
    def from_pretrained(cls, source: str | Path, revision: str | None = None) -> "PublishedTokenizer":
        """Read tokenizer.json and what belongs to it from a directory or the hub.

        Raises FileNotFoundError where there is none, ValueError where it cannot be read, and as the model's does.
        """
        directory = locate(source, revision, ["*.json", "*.jinja"])
        path = find_file(directory, "tokenizer.json")
        inner = read_tokenizer(path)
        settings, config = (optional_json(directory, name) for name in ("tokenizer_config.json", "config.json"))
        if inner.padding:
            settings = {"pad_token": inner.padding["pad_token"], **settings}
        if is_llama_tokenizer(inner, settings, config):
            settings = {**LLAMA_TOKENS, **settings}
            held, inner = inner, llama_tokenizer(inner, settings, path)
        else:
            held = inner
        settings = {name: value for name, value in settings.items() if value is not None}
        try:
            special = add_tokens(inner, held, settings, directory)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ValueError(f"the added tokens of {directory} cannot be read: {error!s:.200}") from None
        inner.encode_special_tokens = bool(settings.get("split_special_tokens"))
        ends = special_ids(directory, {"eos_token_id": None, **config})["eos_token_id"]
        ends = [] if ends is None else list(ends) if isinstance(ends, list) else [ends]
        ends += [inner.token_to_id(special[role]) for role in ("eos_token", "eot_token") if role in special]
        templates = chat_templates(directory, settings)
        return cls(
            inner,
            special,
            [end for end in dict.fromkeys(ends) if end is not None],
            templates.get("default"),
            templates.get("tool_use"),
            cleans_up(inner, settings),
        )

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

    def decode(
        self, ids: Iterable[int], skip_special: bool = True, clean_up_tokenization_spaces: bool | None = None
    ) -> str:
        """The text of some ids; special tokens are left out, and spaces cleaned up, as asked for or as published."""
        text = self.inner.decode([int(i) for i in ids], skip_special_tokens=skip_special)
        clean = clean_up_tokenization_spaces
        return cleaned_up(text) if (self.clean_up_tokenization_spaces if clean is None else clean) else text

    def render(self, messages: Sequence[Mapping], add_generation_prompt: bool = True, **variables) -> str:
        """A chat as the model has learnt to read it. `messages` are {"role": …, "content": …}.

        Raises ValueError where there is no template or no message, or as `template.render` does.
        """
        has_tools = variables.get("tools") is not None and self.tool_template is not None
        template = self.tool_template if has_tools else self.template
        if template is None:
            raise ValueError("this model has no chat template, so it was not taught to chat: let it write on instead")
        if not messages:
            raise ValueError("a chat must have at least one message, got none")
        if variables.get("continue_final_message"):
            raise ValueError("continue_final_message is not supported: join the last message to the rendered chat")
        usual = {"messages": as_templates_read(messages), "add_generation_prompt": add_generation_prompt}
        return render(template, {**self.special, **usual, "tools": None, "documents": None, **variables})

    def encode_chat(self, messages: Sequence[Mapping], **variables) -> list[int]:
        """The ids of a chat up to where the model answers; the template itself writes the special tokens."""
        return self.encode(self.render(messages, **variables), special=False)

    def stream(self, ids: Iterable[int], stops: Iterable[str] = (), after: Iterable[int] = ()) -> Iterator[str]:
        """Text of ids as they come, never half a character; it ends before an id of `ends` or a text of `stops`.

        It goes on from the text of the ids `after`, such as a prompt, which is not told again: joined to it, the pieces
        are what all ids decode to. Without `after` they are a text of their own.
        """
        after = [int(i) for i in after]
        pieces = whole_pieces(self, takewhile(lambda token: token not in self.ends, ids), after)
        if self.clean_up_tokenization_spaces:
            pieces = clean_pieces(pieces, self.decode(after, clean_up_tokenization_spaces=False))
        return until(pieces, stops)


def whole_pieces(tokenizer, ids: Iterable[int], after: Sequence[int] = ()) -> Iterator[str]:
    """What each id adds to the text of the ids `after`, held back until its last character is whole.

    Decoded with what came before it, because some tokenizers drop a space where a text begins: with the last piece that
    is a word and whole by itself, and all since, because bytes of one run are decoded together. Spaces are cleaned up
    by nobody here.
    """
    kept = list(after)
    text = shown = tokenizer.decode(kept, clean_up_tokenization_spaces=False)
    for token in ids:
        kept.append(token)
        text = tokenizer.decode(kept, clean_up_tokenization_spaces=False)
        if text.endswith("\ufffd"):
            continue
        if piece := beyond(text, shown):
            yield piece
        alone = tokenizer.decode([token], clean_up_tokenization_spaces=False)
        kept, shown = ([token], alone) if alone.strip() and "\ufffd" not in alone else (kept, text)
        text = shown
    if piece := beyond(text, shown):
        yield piece


def beyond(text: str, shown: str) -> str:
    """What a text has beyond its beginning, which is shown; of half a character in it, the whole one."""
    if text.startswith(shown):
        return text[len(shown) :]
    return text[len(shown.rstrip("\ufffd")) :]


def clean_pieces(pieces: Iterable[str], before: str) -> Iterator[str]:
    """The pieces after a text with the spaces cleaned up; the end is held back until nothing can change it."""
    text, shown = before, len(cleaned_up(before))
    for piece in pieces:
        text += piece
        clean = cleaned_up(text)[:-8]  # the longest of what is replaced has four characters
        if len(clean) > shown:
            yield clean[shown:]
            shown = len(clean)
    if rest := cleaned_up(text)[shown:]:
        yield rest


def cleaned_up(text: str) -> str:
    """A text without the spaces that a tokenizer of words leaves before punctuation, as transformers cleans it up."""
    for spaced in (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"):
        text = text.replace(spaced, spaced.strip())
    return text


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


def is_llama_tokenizer(inner, settings, config):
    """Whether a directory asks for LlamaTokenizer, which is for pieces with ▁: a tokenizer of bytes stays as it is."""
    asked = settings.get("tokenizer_class") or config.get("tokenizer_class")
    if asked not in ("LlamaTokenizer", "LlamaTokenizerFast") or type(inner.model).__name__ != "BPE":
        return False
    return not any("ByteLevel" in str(part) for part in (inner.normalizer, inner.pre_tokenizer, inner.decoder))


def llama_tokenizer(inner, settings, path):
    """The tokenizer that LlamaTokenizer makes of the pieces in a tokenizer.json, still without its added tokens.

    A space is put in front of a text, or with `legacy` after every special token too.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    model = read_json(path, megabytes=100)["model"]
    merges = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in model["merges"]]
    built = Tokenizer(models.BPE(vocab=model["vocab"], merges=merges, fuse_unk=True, byte_fallback=True))
    prefix = settings.get("add_prefix_space") in (None, True)
    scheme = ("always" if settings.get("legacy") else "first") if prefix else "never"
    built.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=False)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    built.decoder = decoders.Sequence([*steps, decoders.Strip(content=" ", left=1)] if prefix else steps)
    if inner.post_processor is not None:
        built.post_processor = inner.post_processor
    return built


def add_tokens(inner, held, settings, directory):
    """Add to a tokenizer what its settings or the older files name; gives its special tokens, as text by role.

    The tokens stand in added_tokens_decoder of tokenizer_config.json, by id; where there is none, in
    special_tokens_map.json, added_tokens.json and tokenizer.json itself, whose tokenizer is `held`. A special token may
    be text or an object.
    """
    from tokenizers import AddedToken

    extra = settings.get("extra_special_tokens") or settings.get("additional_special_tokens") or []
    if not isinstance(extra, list | dict):
        raise ValueError(f"extra_special_tokens must be a list of tokens, or tokens by name, got {shown(extra)}")
    if "added_tokens_decoder" in settings:
        listed = settings["added_tokens_decoder"]
        if not isinstance(listed, dict):
            raise ValueError(f"added_tokens_decoder must be an object of tokens by id, got {shown(listed)}")
        added = {int(i): as_token(token) for i, token in listed.items()}
    else:
        older = optional_json(directory, "special_tokens_map.json")
        older = {name: value for name, value in older.items() if value is not None}
        settings = {**settings, **{name: as_token(value, special=True) if isinstance(value, dict) else value
                                   for name, value in older.items() if name != "extra_special_tokens"}}  # fmt: skip
        more = older.get("extra_special_tokens", [])
        if isinstance(more, dict) or isinstance(extra, dict):
            extra = {**named(extra), **named(more)}
        else:
            extra = [*extra, *more]
        special = {content(settings[role]) for role in ROLES if role in settings}
        special |= {content(one) for one in (extra.values() if isinstance(extra, dict) else extra)}
        added = {
            int(i): AddedToken(text, normalized=text not in special, special=text in special)
            for text, i in optional_json(directory, "added_tokens.json").items()
        }
        added |= held.get_added_tokens_decoder()
        extra = extra or older.get("additional_special_tokens") or []
    kinds = (str, dict, AddedToken)
    roles = {name: value for name, value in settings.items()
             if name in ROLES or name.endswith("_token") and isinstance(value, kinds)} | named(extra)  # fmt: skip
    special = {name: content(value) for name, value in roles.items()}
    tokens = [token for _, token in sorted(added.items())]
    there = {token.content for token in [*inner.get_added_tokens_decoder().values(), *tokens]}
    for value in [*roles.values(), *(() if isinstance(extra, dict) else extra)]:
        if content(value) not in there:
            there.add(content(value))
            tokens.append(AddedToken(value, special=True) if isinstance(value, str) else as_token(value))
    for token in tokens:
        token.special = token.special or token.content in special.values()
    inner.add_tokens(tokens)
    return special


def as_token(value, **more):
    """An AddedToken from the object that stands for it in a file."""
    from tokenizers import AddedToken

    if isinstance(value, AddedToken):
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get("content"), str):
        raise ValueError(f"a token must be an object with its content, got {shown(value)}")
    known = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(**{name: part for name, part in {**value, **more}.items() if name in known and part is not None})


def content(token):
    """The text of a token that is text, an AddedToken or the object that stands for one."""
    return token if isinstance(token, str) else as_token(token).content


def named(tokens):
    """Tokens by name where they have names, else none."""
    return tokens if isinstance(tokens, dict) else {}


def cleans_up(inner, settings):
    """Whether decoded text is cleaned up: where the settings say so, but for BPE only where they insist."""
    insists = settings.get("clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output")
    return bool(settings.get("clean_up_tokenization_spaces")) and (type(inner.model).__name__ != "BPE" or bool(insists))


def chat_templates(directory, settings):
    """Chat templates by name: chat_template.jinja as the default, else those of tokenizer_config.json."""
    path = find_file(directory, "chat_template.jinja", needed=False)
    if path is not None:
        if path.stat().st_size > MEGABYTE:
            raise ValueError(f"{path} has more than 1 MB: it is no chat template")
        try:
            return {"default": path.read_text(encoding="utf-8")}
        except ValueError as error:
            raise ValueError(f"{path} is not text: {error}") from None
    given = settings.get("chat_template")
    if isinstance(given, list):
        given = {one.get("name"): one.get("template") for one in given if isinstance(one, dict)}
    elif not isinstance(given, dict):
        given = {"default": given}
    for template in given.values():
        if not isinstance(template, str | None):
            raise ValueError(f"the chat_template in {directory} must be text, got {repr(template)[:80]}")
    return given


def as_templates_read(messages):
    """Messages as transformers hands them to a template: without nulls, what was thought under each of its names."""
    told = []
    for message in messages:
        message = {name: value for name, value in message.items() if value is not None}
        names = ("reasoning_content", "thinking", "reasoning")
        thought = next((message[name] for name in names if name in message), None)
        if thought is not None:
            message = {"thinking": thought, **message, "reasoning_content": thought}
        told.append(message)
    return told
