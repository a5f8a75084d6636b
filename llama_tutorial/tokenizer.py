"""Text, tokens and an honest split

Text becomes bytes, bytes become tokens, and a fair exam keeps its pages out of the textbook.
"""

# Exported from notebooks/02_tokens.ipynb; edit the lesson, not this file.

__all__ = [
    "END_OF_TEXT", "byte_symbols", "learn_bpe", "read_bpe", "check_token_ids", "TokenizerFile", "Tokenizer",
]

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from .doors import check_number


def byte_symbols() -> dict[int, str]:
    """The printable character that stands for each byte in a tokenizer.json (Radford et al. 2019): 32 is Ġ."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


END_OF_TEXT = "<|endoftext|>"


def learn_bpe(texts: Iterable[str], vocab_size: int):
    """A `tokenizers.Tokenizer` with the 256 bytes, the end of text as id 0, and merges learnt from texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    return inner


def read_bpe(path: Path):
    """The `tokenizers.Tokenizer` in a tokenizer.json; the errors are those of `Tokenizer.load`."""
    from tokenizers import Tokenizer

    if not path.is_file():
        raise FileNotFoundError(f"no tokenizer at {path}")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise ValueError(f"{path} is not a tokenizer.json: {error}") from None


def check_token_ids(ids, size):
    """The ids as a list; TypeError unless whole numbers in a row, ValueError unless each is in 0 … size − 1."""
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise TypeError(f"ids must be whole numbers in a row, got {ids!r}")
    ids = [i.tolist() if hasattr(i, "tolist") else i for i in ids]  # numbers out of tensors and arrays
    return [check_number("each of the ids", i, f"[0, {size})", whole=True) for i in ids]


class TokenizerFile:
    """Where a tokenizer comes from and goes to: learnt from texts, or kept in a `tokenizer.json`."""

    def __init__(self, inner):
        self.inner = inner  # a tokenizers.Tokenizer
        self.inner.encode_special_tokens = True  # "<|endoftext|>" written in a text is text, not an end
        self.end_of_text = inner.token_to_id(END_OF_TEXT)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> "Tokenizer":
        """Learn vocab_size − 257 merges from texts; ValueError for fewer than 257 ids (256 bytes and the end)."""
        if isinstance(texts, str) or not isinstance(texts, Iterable):
            raise TypeError(f"train takes a list of texts, each a str, got {type(texts).__name__}")
        if check_number("vocab_size", vocab_size, whole=True) < 257:
            raise ValueError(f"vocab_size must be at least 257 (256 bytes and the end of text), got {vocab_size}")
        return cls(learn_bpe(texts, vocab_size))

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """Read a tokenizer.json; FileNotFoundError where there is none, ValueError where it cannot be read."""
        tokenizer = cls(read_bpe(Path(path)))
        if tokenizer.end_of_text is None:
            raise ValueError(f"{path} has no token {END_OF_TEXT}, which this package ends texts with")
        return tokenizer

    def save(self, path: str | Path):
        """Write tokenizer.json."""
        Path(path).write_text(json.dumps(json.loads(self.inner.to_str()), ensure_ascii=False), encoding="utf-8")


class Tokenizer(TokenizerFile):
    """Byte-pair tokens: text ↔ ids, kept in one `tokenizer.json` that every library of the field reads.

    Id 0 is the end of a text. Any text survives `decode(encode(text))`, because the smallest tokens are the 256 bytes.
    Source: Sennrich et al. 2016, on bytes after Radford et al. 2019.
    """

    def __len__(self):
        return self.inner.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        if not isinstance(text, str):
            raise TypeError(f"encode takes a str, got {type(text).__name__}")
        try:
            return self.inner.encode(text, add_special_tokens=False).ids
        except TypeError:
            raise ValueError(f"encode takes text that UTF-8 can hold, got half a pair in {text!a:.80}") from None

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids; the end of text is left out, half a character shows as �."""
        return self.inner.decode(check_token_ids(ids, len(self)), skip_special_tokens=True)

    def pieces(self, ids: Sequence[int]) -> list[bytes]:
        """The bytes of every id by itself: where a text is cut."""
        table = {symbol: byte for byte, symbol in byte_symbols().items()}
        names = [self.inner.id_to_token(i) for i in check_token_ids(ids, len(self))]
        return [b"" if name == END_OF_TEXT else bytes(table[symbol] for symbol in name) for name in names]
