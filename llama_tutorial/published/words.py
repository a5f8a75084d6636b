"""Text in, text out, as a published model expects it: its tokenizer, its chat template, its ends."""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, takewhile
from pathlib import Path

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from .fields import special_ids, stop_strings
from .files import MEGABYTE, find_file, read_json, repository_of, shown
from .hub import locate
from .template import render

ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
EXTRA = ("extra_special_tokens", "additional_special_tokens")  # special tokens beyond the roles, and as it was called
END_OF_TEXT = "<|endoftext|>"
# The special tokens that a tokenizer_class takes for granted, where the files do not name them.
TAKEN_FOR_GRANTED = {
    "LlamaTokenizer": {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
    "GPT2Tokenizer": {"unk_token": END_OF_TEXT, "bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT},
    "GPTNeoXTokenizer": {"unk_token": END_OF_TEXT, "bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT,
                         "pad_token": "<|padding|>"},
    "Qwen2Tokenizer": {"unk_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "pad_token": END_OF_TEXT},
}  # fmt: skip
TEMPLATES = "additional_chat_templates"  # a folder of chat templates, each by the name of its file
READ_AS = (5, 23)  # the version of transformers as which we read files that are told apart by version


class PublishedTokenizer:
    """The tokenizer of a published model: text ↔ ids, chats → ids, and ids → text as they come.

    `special` holds its special tokens by role ("bos_token" …), `ends` the ids and `stops` the texts that end a text,
    `template` the chat template or None, `tool_template` another one for chats with tools. Make one with
    `from_pretrained`.
    """

    def __init__(
        self,
        inner,
        special: Mapping[str, str],
        ends: Sequence[int],
        template: str | None = None,
        tool_template: str | None = None,
        clean_up_tokenization_spaces: bool = False,
        stops: Sequence[str] = (),
    ):
        if inner.truncation or inner.padding:  # they were of use to the training, here they would change texts
            inner = copy.deepcopy(inner)
            inner.no_truncation()
            inner.no_padding()
        self.inner = inner  # a tokenizers.Tokenizer
        self.special, self.ends, self.stops = dict(special), tuple(ends), tuple(stops)
        self.template, self.tool_template = template, tool_template
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces

    @classmethod
    def from_pretrained(cls, source: str | Path, revision: str | None = None) -> "PublishedTokenizer":
        """Read tokenizer.json and what belongs to it from a directory or the hub.

        Raises FileNotFoundError where there is none, ValueError where it cannot be read, and as the model's does.
        """
        directory = locate(source, revision, ["*.json", "*.jinja"], needed="tokenizer.*json")
        settings, config = (optional_json(directory, name) for name in ("tokenizer_config.json", "config.json"))
        path = find_file(directory, tokenizer_file(settings))
        inner = read_tokenizer(path)
        if inner.padding:
            settings = {"pad_token": inner.padding["pad_token"], **settings}
        asked = asked_class(settings, config)
        pieces = is_of_pieces(inner)
        if (asked == "LlamaTokenizer") == pieces:
            settings = {**TAKEN_FOR_GRANTED.get(asked, {}), **settings}
        held, inner = inner, llama_tokenizer(inner, settings, path) if asked == "LlamaTokenizer" and pieces else inner
        settings = {name: value for name, value in settings.items() if value is not None}
        try:
            special = add_tokens(inner, held, settings, directory)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ValueError(f"the added tokens of {directory} cannot be read: {error!s:.300}") from None
        inner.encode_special_tokens = flag(settings, "split_special_tokens")
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
            stop_strings(directory),
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

    def stream(
        self, ids: Iterable[int], stops: Iterable[str] = (), after: Iterable[int] | None = None
    ) -> Iterator[str]:
        """Text of ids as they come, never half a character; it ends before an id of `ends` or a text of `stops`.

        It goes on from the text of the ids `after`, such as a prompt, which is not told again: joined to it, the pieces
        are what all ids decode to. With `after=()` they are a text of their own. Where `after` is not given, they go on
        from a prompt that is not known, so that the space before its next word is kept, unless their first is one with
        which `encode` begins a text.
        """
        after = None if after is None else [int(i) for i in after]
        pieces = pieces_after(self, takewhile(lambda token: token not in self.ends, ids), after)
        return until(until(pieces, self.stops), stops)


def pieces_after(tokenizer, ids: Iterable[int], after: Sequence[int] | None) -> Iterator[str]:
    """What each id adds to the text of the ids `after`, with the spaces cleaned up where the tokenizer does so."""
    if after is None:
        ids = iter(ids)
        first = list(islice(ids, 1))
        after = () if set(first) & set(tokenizer.encode("")) else a_word(tokenizer)
        ids = chain(first, ids)
    pieces = whole_pieces(tokenizer, ids, after)
    if tokenizer.clean_up_tokenization_spaces:
        pieces = clean_pieces(pieces, tokenizer.decode(after, clean_up_tokenization_spaces=False))
    yield from pieces


def a_word(tokenizer) -> Sequence[int]:
    """The ids of some word, to stand for a prompt that is not known; none where no id is a word."""
    for ids in chain([tokenizer.encode("a", special=False)], ([i] for i in range(len(tokenizer)))):
        text = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        if text.strip() and "\ufffd" not in text:
            return ids
    return ()


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


def tokenizer_file(settings):
    """The name of the tokenizer's file: tokenizer.json, or the one for our version among `fast_tokenizer_files`."""
    names, best = settings.get("fast_tokenizer_files"), ((), "tokenizer.json")
    names = [] if names is None else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        told = f"must be a list of names such as tokenizer.4.0.0.json, got {shown(names)}"
        raise ValueError(f"fast_tokenizer_files of tokenizer_config.json {told}")
    for name in names:
        if found := re.fullmatch(r"tokenizer\.(\d+(?:\.\d+)*)\.json", name):
            version = tuple(map(int, found[1].split(".")))
            best = max(best, (version, name)) if version[:2] <= READ_AS else best
    return best[1]


def asked_class(settings, config):
    """The tokenizer_class that a directory asks for, without the Fast at its end."""
    for name, fields in (("tokenizer_config.json", settings), ("config.json", config)):
        asked = fields.get("tokenizer_class")
        if not isinstance(asked, str | None):
            raise ValueError(f"tokenizer_class of {name} must be a name, got {shown(asked)}")
        if asked:
            return asked.removesuffix("Fast")
    return None


def is_of_pieces(inner):
    """Whether it is a BPE tokenizer of pieces with ▁, as LlamaTokenizer makes one, and not of bytes."""
    parts = (inner.normalizer, inner.pre_tokenizer, inner.decoder)
    return type(inner.model).__name__ == "BPE" and not any("ByteLevel" in str(part) for part in parts)


def llama_tokenizer(inner, settings, path):
    """The tokenizer that LlamaTokenizer makes of the pieces in a tokenizer.json, still without its added tokens.

    A space is put in front of a text, or with `legacy` after every special token too.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    model = read_json(path, megabytes=100)["model"]
    merges = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in model["merges"]]
    built = Tokenizer(models.BPE(vocab=model["vocab"], merges=merges, fuse_unk=True, byte_fallback=True))
    prefix = flag(settings, "add_prefix_space", usual=True)
    scheme = ("always" if flag(settings, "legacy") else "first") if prefix else "never"
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
    be text or an object. Those of the seven known roles come first, then those of other names, then those without.
    """
    given = settings.get(EXTRA[0]) or settings.get(EXTRA[1], settings.get(EXTRA[0]))
    own, extra = several(settings, "tokenizer_config.json", given)
    roles = {name: value for name, value in settings.items() if name in ROLES}
    objects, texts = (
        {name: value for name, value in settings.items() if is_name(name) and isinstance(value, kind)}
        for kind in (dict, str)
    )
    if "added_tokens_decoder" in settings:
        added = by_id(settings["added_tokens_decoder"])
    else:
        older = optional_json(directory, "special_tokens_map.json")
        older = {name: value for name, value in older.items() if value is not None}
        tokens = {name: as_token(name, value, special=True) if isinstance(value, dict) else value
                  for name, value in older.items() if is_name(name) or name in ROLES}  # fmt: skip
        roles |= {name: value for name, value in tokens.items() if name in ROLES}
        objects |= {name: value for name, value in tokens.items() if is_name(name)}
        file, last = "special_tokens_map.json", [] if isinstance(given, list) else older.get(EXTRA[1])
        named, more = several(older, file, older.get(EXTRA[0], last))
        special = {content(name, value) for name, value in roles.items()}
        special |= {one for one in extra if isinstance(one, str)}
        if EXTRA[0] in older:
            more = [as_token(EXTRA[0], one, special=True) if isinstance(one, dict) else one for one in more]
            special |= {content(EXTRA[0], one) for one in more}
        own = own | named
        extra = several(older, file, last)[1] if isinstance(older.get(EXTRA[0]), dict) else [*extra, *more]
        added = from_older(optional_json(directory, "added_tokens.json"), special) | held.get_added_tokens_decoder()
    roles = {name: roles[name] for name in ROLES if name in roles} | objects | texts | own
    special = {name: content(name, value) for name, value in roles.items()}
    tokens = [token for _, token in sorted(added.items())]
    there = {token.content for token in [*inner.get_added_tokens_decoder().values(), *tokens]}
    for name, value in [*roles.items(), *(("extra_special_tokens", one) for one in extra)]:
        if content(name, value) not in there:
            there.add(content(name, value))
            tokens.append(as_token(name, {"content": value, "special": True} if isinstance(value, str) else value))
    for token in tokens:
        token.special = token.special or token.content in special.values()
    inner.add_tokens(tokens)
    return special


def is_name(field):
    """Whether a field names a special token beyond the known roles, such as image_token."""
    return field.endswith("_token") and field not in ROLES and field not in ("add_bos_token", "add_eos_token")


def several(fields, file, given):
    """Further special tokens of a file: those by name, and those without, from what is `given` of two fields."""
    for name in EXTRA:
        if not isinstance(fields.get(name, []), list | dict):
            raise ValueError(
                f"{name} must be a list of tokens, or tokens by name, in {file}, got {shown(fields[name])}"
            )
    given = given or []
    for one in given.values() if isinstance(given, dict) else given:
        content(f"extra_special_tokens of {file}", one)
    return (given, []) if isinstance(given, dict) else ({}, given)


def by_id(listed):
    """The tokens of added_tokens_decoder by their ids."""
    if not isinstance(listed, dict):
        raise ValueError(f"added_tokens_decoder must be an object of tokens by id, got {shown(listed)}")
    for i in listed:
        if not re.fullmatch(r"\d{1,9}", i, re.ASCII):
            raise ValueError(f"added_tokens_decoder must have whole numbers from 0 up as its ids, got {shown(i)}")
    return {int(i): as_token(f"{i} of added_tokens_decoder", token) for i, token in listed.items()}


def from_older(ids, special):
    """The tokens of added_tokens.json by their ids; those of `special` texts are special."""
    from tokenizers import AddedToken

    for text, i in ids.items():
        if isinstance(i, bool) or not isinstance(i, int) or i < 0:
            raise ValueError(f"added_tokens.json must give {shown(text)} a whole number from 0 up, got {shown(i)}")
    return {i: AddedToken(text, normalized=text not in special, special=text in special) for text, i in ids.items()}


def as_token(name, value, **more):
    """An AddedToken from the object that stands for it in a file under a name."""
    from tokenizers import AddedToken

    if isinstance(value, AddedToken):
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get("content"), str):
        raise ValueError(f"{name}: a token must be an object with its content, got {shown(value)}")
    ways = ("single_word", "lstrip", "rstrip", "normalized", "special")
    given = {way: part for way, part in {**value, **more}.items() if way in ways and part is not None}
    if wrong := next((way for way, part in given.items() if not isinstance(part, bool)), None):
        raise ValueError(f"{name}: {wrong} of a token must be true or false, got {shown(value[wrong])}")
    return AddedToken(value["content"], **given)


def content(name, token):
    """The text of a token that is text, an AddedToken or the object that stands for one."""
    return token if isinstance(token, str) else as_token(name, token).content


def flag(settings, name, usual=False):
    """A field of tokenizer_config.json that is true or false; what leaving it out means where it is not there."""
    value = settings.get(name)
    if not isinstance(value, bool | None):
        raise ValueError(f"{name} of tokenizer_config.json must be true or false, got {shown(value)}")
    return usual if value is None else value


def cleans_up(inner, settings):
    """Whether decoded text is cleaned up: where the settings say so, but for BPE only where they insist."""
    insists = flag(settings, "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output")
    return flag(settings, "clean_up_tokenization_spaces") and (type(inner.model).__name__ != "BPE" or insists)


def chat_templates(directory, settings):
    """Chat templates by name: those in files, of which chat_template.jinja is the default, or in the settings."""
    path, folder = find_file(directory, "chat_template.jinja", needed=False), directory / TEMPLATES
    found = {} if path is None else {"default": template_in(path)}
    if folder.is_dir():
        if not folder.resolve().is_relative_to(repository_of(directory.resolve())):
            raise ValueError(f"{folder} is a link out of the checkpoint: put a copy of the folder in its place")
        found |= {path.stem: template_in(find_file(folder, path.name)) for path in sorted(folder.glob("*.jinja"))}
    if found:
        return found
    given = settings.get("chat_template")
    if isinstance(given, list):
        if not all(isinstance(one, dict) and isinstance(one.get("name"), str) and "template" in one for one in given):
            raise ValueError(f"the chat_template in {directory} must be text, or a list of objects with name and "
                             f"template, got {shown(given)}")  # fmt: skip
        given = {one["name"]: one["template"] for one in given}
    elif not isinstance(given, dict):
        given = {"default": given}
    for template in given.values():
        if not isinstance(template, str | None):
            raise ValueError(f"the chat_template in {directory} must be text, got {repr(template)[:80]}")
    return given


def template_in(path):
    """The text of a chat template's file; ValueError where it is no text, or far too long."""
    if path.stat().st_size > MEGABYTE:
        raise ValueError(f"{path} has more than 1 MB: it is no chat template")
    try:
        return path.read_text(encoding="utf-8")
    except ValueError as error:
        raise ValueError(f"{path} is not text: {error}") from None


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
