"""Made-up files of strangers, for the tests that read them here and in transformers: tokenizers, and directories."""

import json

import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from llama_tutorial import PublishedTokenizer

TRAINED_ON = ["The for statement is used to iterate over a sequence.", "don't, he 's said it . 12 naïve  ☃"] * 3
TEXTS = ["The for statement", " The  for ☃é👩‍🚀", "don 't , iterate . over\n\n\tit ",
         "<turn>user<end> The<end> <new>for", ""]  # fmt: skip
SPECIALS = ["<unk>", "<s>", "</s>", "<turn>", "<end>"]


def pieces(*steps, split="metaspace", scheme="always"):
    """A tokenizer of pieces with ▁ for spaces and with bytes, whose decoder takes the steps given."""
    inner = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if split == "metaspace":
        inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    else:
        begun = [normalizers.Prepend("▁")] if scheme == "always" else []
        inner.normalizer = normalizers.Sequence([*begun, normalizers.Replace(" ", "▁")])
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), *steps])
    letters = [f"<0x{byte:02X}>" for byte in range(256)]
    how = {"vocab_size": 340, "special_tokens": SPECIALS + letters, "show_progress": False}
    front = " " if scheme == "never" else ""
    words = [front + word for text in TRAINED_ON for word in text.replace("☃", "").split()]  # no piece spans two
    inner.train_from_iterator(words, trainers.BpeTrainer(limit_alphabet=40, **how))
    told = json.loads(inner.to_str())  # bytes are ordinary tokens
    told["added_tokens"] = [token for token in told["added_tokens"] if not token["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(told))


def byte_level():
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    how = {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet(), "show_progress": False}
    inner.train_from_iterator(TRAINED_ON, trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIALS, **how))
    return inner


def metaspace(scheme="always"):
    inner = Tokenizer(models.Unigram())
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    inner.decoder = decoders.Metaspace(prepend_scheme=scheme)
    how = {"vocab_size": 80, "special_tokens": SPECIALS, "unk_token": "<unk>", "show_progress": False}
    inner.train_from_iterator(TRAINED_ON, trainers.UnigramTrainer(**how))
    return inner


def word_pieces(cleanup=True):
    inner = Tokenizer(models.WordPiece(unk_token="<unk>"))
    inner.normalizer, inner.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece(cleanup=cleanup)
    how = {"vocab_size": 120, "special_tokens": SPECIALS, "show_progress": False}
    inner.train_from_iterator(TRAINED_ON, trainers.WordPieceTrainer(**how))
    return inner


def words_with_ends():
    """Every word ends in </w>, which the decoder makes a space."""
    inner = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.Whitespace(), decoders.BPEDecoder()
    how = {"vocab_size": 120, "special_tokens": SPECIALS, "show_progress": False, "end_of_word_suffix": "</w>"}
    inner.train_from_iterator(TRAINED_ON, trainers.BpeTrainer(**how))
    return inner


def plain_words():
    """Whole words and no decoder: a space between each two."""
    inner = Tokenizer(models.WordLevel(unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(special_tokens=SPECIALS, show_progress=False)
    inner.train_from_iterator(TRAINED_ON, trainer)
    return inner


FUSED, STRIPPED = (decoders.Fuse(),), (decoders.Fuse(), decoders.Strip(" ", 1, 0))
KINDS = {
    "byte level": byte_level,
    "pieces with a space in front": lambda: pieces(*STRIPPED, split="normalizer"),
    "pieces without one": lambda: pieces(*FUSED, split="normalizer", scheme="never"),
    "pieces of which two spaces are dropped": lambda: pieces(decoders.Fuse(), decoders.Strip(" ", 2, 0)),
    "pieces split by Metaspace": lambda: pieces(*STRIPPED, scheme="first"),
    "Metaspace": metaspace,
    "Metaspace at the first": lambda: metaspace("first"),
    "Metaspace never": lambda: metaspace("never"),
    "word pieces": word_pieces,
    "word pieces as they are": lambda: word_pieces(cleanup=False),
    "words with ends": words_with_ends,
    "plain words": plain_words,
}


def object_of(text, **more):
    how = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    return {"content": text, **how, **more}


FAST = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"}


def written(directory, kind="byte level", change=None, **files):
    """A directory with a tokenizer and the JSON files given, by name without the end; None leaves one out."""
    inner = KINDS[kind]()
    if change is not None:
        inner = change(inner) or inner
    inner.save(str(directory / "tokenizer.json"))
    files = {"tokenizer_config": {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"}, **files}
    for name, told in files.items():
        if told is not None:
            (directory / f"{name}.json").write_text(json.dumps(told))
    return directory


def same_as_transformers(directory):
    """Check ids, special tokens and decoded text; gives both tokenizers."""
    ours = PublishedTokenizer.from_pretrained(directory)
    theirs = transformers.AutoTokenizer.from_pretrained(directory)
    assert len(ours) == len(theirs) and ours.special == theirs.special_tokens_map
    for text in TEXTS:
        ids = theirs(text)["input_ids"]
        assert ours.encode(text) == ids, text
        assert ours.encode(text, special=False) == theirs(text, add_special_tokens=False)["input_ids"]
        for skip in (True, False):
            assert ours.decode(ids, skip) == theirs.decode(ids, skip_special_tokens=skip), text
        if not set(ids) & set(ours.ends):
            assert "".join(ours.stream(ids, after=())) == ours.decode(ids)
    return ours, theirs


def begun(inner):
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
