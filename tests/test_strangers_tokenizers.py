"""Tokenizers as strangers publish them: whatever a directory holds, it means here what it means in transformers."""

import functools
import json
from types import SimpleNamespace

import pytest
import torch
import transformers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from llama_tutorial import LlamaForCausalLM, PublishedTokenizer, cli

TRAINED_ON = ["The for statement is used to iterate over a sequence.", "don't, he 's said it . 12 naïve  ☃"] * 3
TEXTS = ["The for statement", " The  for ☃é👩‍🚀", "don 't , iterate . over\n\n\tit ",
         "<turn>user<end> The<end> <new>for", ""]  # fmt: skip
SPECIALS = ["<unk>", "<s>", "</s>", "<turn>", "<end>"]


# ------------------------------------------------------------------------------------------------ every kind


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
made = functools.cache(lambda kind: PublishedTokenizer(KINDS[kind](), {}, []))
SOME_TEXT = st.text(
    st.sampled_from("The for statement .,'!? \n\t▁é☃👩\u200d🚀�don't 's") | st.characters(exclude_categories=["Cs"]),
    max_size=40,
)


@pytest.mark.parametrize("kind", KINDS)
@given(text=SOME_TEXT, where=st.integers(0, 60), special=st.sampled_from(SPECIALS[1:]))
@example(text="The for statement", where=2, special="</s>")
@example(text="   The", where=1, special="</s>")
@example(text="�", where=0, special="</s>")
@settings(max_examples=120, deadline=None)
def test_what_is_streamed_after_a_prompt_is_the_rest_of_the_whole(kind, text, where, special):
    tokenizer = made(kind)
    ids = tokenizer.encode(text)
    where = min(where, len(ids))
    for all_ids in (ids, [*ids[:where], tokenizer.inner.token_to_id(special), *ids[where:]]):
        begin, rest = all_ids[:where], all_ids[where:]
        whole, prompt = tokenizer.decode(all_ids), tokenizer.decode(begin)
        if not whole.startswith(prompt):  # it was cut inside a character, or right before such a cut
            prompt = prompt.rstrip("\ufffd")
        if not whole.startswith(prompt):  # a special token stands inside a character
            assert "\ufffd" in whole
            continue
        if "\ufffd" not in whole or "\ufffd" in text:
            assert prompt + "".join(tokenizer.stream(rest, after=begin)) == whole
            assert "".join(tokenizer.stream(all_ids)) == whole


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_ids_stream_as_they_decode(kind, data):
    """Whatever a model writes, unless it is half a character, which a later byte can still change."""
    tokenizer = made(kind)
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=30))
    where = data.draw(st.integers(0, len(ids)))
    whole, prompt = tokenizer.decode(ids), tokenizer.decode(ids[:where])
    if "\ufffd" not in whole:
        prompt = prompt if whole.startswith(prompt) else prompt.rstrip("\ufffd")
        assert prompt + "".join(tokenizer.stream(ids[where:], after=ids[:where])) == whole


@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_piece_by_piece(kind):
    tokenizer = made(kind)
    ids = tokenizer.encode("The for statement is used to iterate over a sequence")
    assert len(list(tokenizer.stream(ids[2:], after=ids[:2]))) > 5


@given(text=st.text(alphabet="a.?!,'nstmver \n", max_size=30), cut=st.lists(st.integers(0, 30), max_size=6))
@example(text="a .", cut=[2])
@example(text="it 's", cut=[3, 4])
@example(text="a ' b", cut=[1, 2, 3, 4])
@example(text="do n't", cut=[5])
@settings(max_examples=300, deadline=None)
def test_spaces_are_cleaned_up_across_pieces(text, cut):
    from llama_tutorial.published.words import clean_pieces, cleaned_up

    places = sorted({0, len(text), *(min(place, len(text)) for place in cut)})
    parts = [text[one:two] for one, two in zip(places, places[1:])]
    assert "".join(clean_pieces(parts, "")) == cleaned_up(text)


# ------------------------------------------------------------------------------------------------ every place


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
            assert "".join(ours.stream(ids)) == ours.decode(ids)
    return ours, theirs


def object_of(text, **more):
    how = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    return {"content": text, **how, **more}


FAST = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"}
PLACES = {
    "added_tokens_decoder": {"tokenizer_config": {**FAST, "added_tokens_decoder": {"300": object_of("<new>")}}},
    "two of them, out of order": {
        "tokenizer_config": {
            **FAST, "added_tokens_decoder": {"301": object_of("<new>", lstrip=True), "300": object_of("<newer>")}
        }
    },
    "one with fields of tomorrow": {
        "tokenizer_config": {**FAST, "added_tokens_decoder": {"300": {"content": "<new>", "wide": True}}}
    },
    "one that is not special": {
        "tokenizer_config": {**FAST, "added_tokens_decoder": {"300": object_of("<new>", special=False)}}
    },
    "other ways than in tokenizer.json": {
        "tokenizer_config": {**FAST, "added_tokens_decoder": {"4": object_of("<end>", rstrip=True, special=False)}}
    },
    "added_tokens.json": {"added_tokens": {"<new>": 300, "<newer>": 301}},
    "added_tokens.json beside added_tokens_decoder": {
        "tokenizer_config": {**FAST, "added_tokens_decoder": {"300": object_of("<new>")}},
        "added_tokens": {"<turn>user": 301},
        "special_tokens_map": {"pad_token": "<turn>user"},
    },
    "added_tokens.json and a role": {"added_tokens": {"<new>": 300}, "special_tokens_map": {"pad_token": "<new>"}},
    "special_tokens_map.json, text": {"special_tokens_map": {"bos_token": "<s>", "pad_token": "<new>"}},
    "special_tokens_map.json, objects": {
        "special_tokens_map": {"eos_token": object_of("<end>"), "pad_token": object_of("<new>", lstrip=True)}
    },
    "special_tokens_map.json, a list": {
        "special_tokens_map": {"additional_special_tokens": ["<new>", "<turn>"], "eos_token": "<end>"}
    },
    "special_tokens_map.json alone": {"tokenizer_config": None, "special_tokens_map": {"eos_token": "<new>"}},
    "a role": {"tokenizer_config": {**FAST, "mask_token": "<new>"}},
    "a role as an object": {
        "tokenizer_config": {**FAST, "pad_token": {"__type": "AddedToken", **object_of("<new>", lstrip=True)}}
    },
    "a role of its own": {"tokenizer_config": {**FAST, "image_token": "<new>"}},
    "more special tokens": {"tokenizer_config": {**FAST, "additional_special_tokens": ["<new>", "<newer>"]}},
    "more special tokens, as they are called now": {"tokenizer_config": {**FAST, "extra_special_tokens": ["<new>"]}},
    "more special tokens by name": {"tokenizer_config": {**FAST, "extra_special_tokens": {"image_token": "<new>"}}},
    "special tokens are text": {"tokenizer_config": {**FAST, "split_special_tokens": True}},
    "nothing else": {"tokenizer_config": None},
    "nulls": {
        "tokenizer_config": {**FAST, "pad_token": None, "chat_template": None, "extra_special_tokens": None,
                             "clean_up_tokenization_spaces": None, "model_max_length": None, "legacy": None}
    },
    "a tokenizer that asks to begin and end": {
        "tokenizer_config": {**FAST, "bos_token": "<s>", "add_bos_token": True, "add_eos_token": True}
    },
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_tokens_named_anywhere_are_tokens(place, tmp_path):
    written(tmp_path, **PLACES[place])
    ours, _ = same_as_transformers(tmp_path)
    if any("<new>" in json.dumps(told) for told in PLACES[place].values()):
        assert ours.inner.token_to_id("<new>") >= 300 and ours.inner.token_to_id("<new>") in ours.encode("a<new>b")


def test_a_field_of_null_is_a_missing_one(tmp_path):
    nulls = {"added_tokens_decoder": None, "bos_token": None, "additional_special_tokens": None, "eot_token": None}
    more = {"special_tokens_map": {"eos_token": None, "pad_token": "<new>"}, "added_tokens": {"<newer>": 300}}
    more["config"] = {"eos_token_id": None, "tokenizer_class": None}
    written(tmp_path, tokenizer_config={**FAST, **nulls}, **more)
    ours = PublishedTokenizer.from_pretrained(tmp_path)
    assert ours.special == {"eos_token": "</s>", "pad_token": "<new>"} and ours.ends == (2,)
    assert ours.inner.token_to_id("<newer>") == 300 and ours.inner.token_to_id("<new>") == 301


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("clean", [False, True])
def test_decoded_text_of_every_kind(kind, clean, tmp_path):
    written(tmp_path, kind, tokenizer_config={**FAST, "clean_up_tokenization_spaces": clean})
    ours, _ = same_as_transformers(tmp_path)
    ids = ours.encode("don 't , iterate . over is 's", special=False)
    assert ours.decode(ids[:4]) + "".join(ours.stream(ids[4:], after=ids[:4])) == ours.decode(ids)


def test_clean_up_for_pieces_only_where_it_is_insisted_on(tmp_path):
    insist = {"clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": True}
    written(tmp_path, tokenizer_config={**FAST, **insist, "clean_up_tokenization_spaces": True})
    ours, _ = same_as_transformers(tmp_path)
    ids = ours.encode("over . it")
    assert ours.decode(ids) == "over. it" == "".join(ours.stream(ids))


def cut_and_padded(inner):
    inner.enable_truncation(3)
    inner.enable_padding(length=8, pad_id=4, pad_token="<end>")


@pytest.mark.parametrize("kind", KINDS)
def test_stored_truncation_and_padding_do_not_act(kind, tmp_path):
    written(tmp_path, kind, cut_and_padded)
    ours, theirs = same_as_transformers(tmp_path)
    assert len(ours.encode("The for " * 20)) > 20
    texts = ["The", "The for"]
    assert ours.encode_batch(texts)[1].sum(1).tolist() == [len(theirs.encode(text)) for text in texts]
    inner = KINDS[kind]()
    cut_and_padded(inner)
    assert len(PublishedTokenizer(inner, {}, []).encode("The for " * 20)) > 20 and inner.truncation


def begun(inner):
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])


LLAMA = {"tokenizer_class": "LlamaTokenizer"}


@pytest.mark.parametrize("legacy", [{}, {"legacy": None}, {"legacy": True}, {"legacy": False}])
@pytest.mark.parametrize("prefix", [{}, *({"add_prefix_space": value} for value in (None, True, False))])
@pytest.mark.parametrize("kind", ["pieces with a space in front", "pieces without one", "byte level"])
def test_what_asks_for_llama_tokenizer_gets_it(kind, prefix, legacy, tmp_path):
    written(tmp_path, kind, begun, tokenizer_config={**LLAMA, **prefix, **legacy})
    same_as_transformers(tmp_path)


@pytest.mark.parametrize(
    "files",
    [
        {"tokenizer_config": {**LLAMA, "bos_token": None, "pad_token": "<new>"}},
        {"tokenizer_config": {"tokenizer_class": "LlamaTokenizerFast", "eos_token": "<end>"}},
        {"tokenizer_config": {}, "config": {"model_type": "llama", "tokenizer_class": "LlamaTokenizer"}},
        {"tokenizer_config": None, "config": {"model_type": "llama"}},
        {"tokenizer_config": {**LLAMA, "added_tokens_decoder": {str(i): object_of(text) for i, text in
                                                                 enumerate([*SPECIALS[:3], "<new>"])}}},
        {"tokenizer_config": LLAMA, "added_tokens": {"<new>": 340}, "special_tokens_map": {"eos_token": "<end>"}},
    ],
)  # fmt: skip
def test_llama_tokenizer_and_its_tokens(files, tmp_path):
    written(tmp_path, "pieces with a space in front", begun, **files)
    same_as_transformers(tmp_path)


@pytest.mark.parametrize(
    "told, said",
    [
        ({"added_tokens_decoder": []}, "added_tokens_decoder must be an object of tokens by id"),
        ({"added_tokens_decoder": {"x": object_of("<new>")}}, "'x'"),
        ({"added_tokens_decoder": {"300": "<new>"}}, "a token must be an object with its content, got '<new>'"),
        ({"added_tokens_decoder": {"300": {"content": 7}}}, "a token must be an object with its content"),
        ({"eos_token": 7}, "a token must be an object with its content, got 7"),
        ({"extra_special_tokens": [7]}, "a token must be an object with its content, got 7"),
        ({"extra_special_tokens": 7}, "extra_special_tokens must be a list"),
    ],
)
def test_what_is_no_token_is_told(told, said, tmp_path):
    written(tmp_path, tokenizer_config={**FAST, **told})
    with pytest.raises(ValueError, match="the added tokens of .* cannot be read: ") as caught:
        PublishedTokenizer.from_pretrained(tmp_path)
    assert said in str(caught.value)


# ------------------------------------------------------------------------------------------------ rendered chats

TEMPLATE = (
    "{% for m in messages %}<turn>{{ m.role }}{{ bos_token }}{% if m.content is defined %}{{ m.content }}{% endif %}"
    "{% if m.reasoning_content is defined %}[{{ m.reasoning_content }}]{% endif %}{% if m.thinking is defined %}"
    "({{ m.thinking }}){% endif %}{{ eos_token }}{% endfor %}{{ image_token }}{{ unk_token }}"
    "{% if add_generation_prompt %}<turn>{% endif %}{% if tools %}{{ tools | tojson }}{% endif %}"
)
CHATS = [
    [{"role": "user", "content": "The ☃"}],
    [{"role": "user", "content": "The"}, {"role": "assistant", "content": None, "tool_calls": None}],
    [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "thinking": "z"}],
    [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "reasoning": "z", "thinking": None}],
]
WITH_TOOLS = "tools: {{ tools | tojson }}{{ messages[0].content }}"
NAMED = {"default": TEMPLATE, "tool_use": WITH_TOOLS, "rag": "no"}
WHERE = {
    "text": TEMPLATE,
    "a list": [{"name": name, "template": text} for name, text in NAMED.items()],
    "an object": NAMED,
}


@pytest.mark.parametrize("where", WHERE)
def test_chats_are_rendered_as_by_transformers(where, tmp_path):
    roles = {"bos_token": "<s>", "image_token": "<new>", "unk_token": None, "chat_template": WHERE[where]}
    written(tmp_path, tokenizer_config={**FAST, **roles})
    ours, theirs = same_as_transformers(tmp_path)
    tools = [{"type": "function", "function": {"name": "f", "description": "é <"}}]
    for chat in CHATS:
        for more in ({}, {"tools": tools}):
            wanted = theirs.apply_chat_template(chat, tokenize=False, add_generation_prompt=True, **more)
            assert ours.render(chat, **more) == wanted
    assert ours.encode_chat(CHATS[0]) == theirs.apply_chat_template(
        CHATS[0], add_generation_prompt=True, return_dict=False
    )


def test_what_a_chat_cannot_be_is_told(tmp_path):
    ours = PublishedTokenizer.from_pretrained(written(tmp_path, tokenizer_config={**FAST, "chat_template": TEMPLATE}))
    with pytest.raises(ValueError, match="at least one message, got none"):
        ours.render([])
    with pytest.raises(ValueError, match="continue_final_message is not supported"):
        ours.encode_chat(CHATS[0], continue_final_message=True)


# ------------------------------------------------------------------------------------------------ where a text ends


@pytest.mark.parametrize(
    "files, ends",
    [
        ({"generation_config": {"eos_token_id": [5, 6]}, "config": {"eos_token_id": 7}}, (5, 6, 7, 2)),
        ({"generation_config": {"eos_token_id": 5}, "config": {"eos_token_id": [7, 5]}}, (5, 7, 2)),
        ({"generation_config": {}, "config": {"eos_token_id": 7}}, (7, 2)),
        ({"generation_config": {"eos_token_id": None}, "config": {"eos_token_id": 7}}, (7, 2)),
        ({"generation_config": {"eos_token_id": 7}, "config": {"eos_token_id": None}}, (7, 2)),
        ({"config": {"eos_token_id": -1, "pad_token_id": -1}}, (2,)),
        ({"config": {}}, (2,)),
        ({}, (2,)),
        ({"tokenizer_config": None, "config": {"eos_token_id": 3}}, (3,)),
        ({"tokenizer_config": None}, ()),
        ({"special_tokens_map": {"eos_token": "<end>"}, "config": {"eos_token_id": 2}}, (2, 4)),
        ({"tokenizer_config": {"eot_token": "<end>", "eos_token": object_of("</s>")}}, (2, 4)),
        ({"tokenizer_config": {"eos_token": "<new>"}, "config": {"vocab_size": 300, "eos_token_id": 2}}, (2, 300)),
    ],
)
def test_what_any_file_names_as_the_end_is_one(files, ends, tmp_path):
    ours = PublishedTokenizer.from_pretrained(written(tmp_path, **files))
    assert ours.ends == ends
    answer, more = ours.encode("The for"), ours.encode("<turn>and on")
    for end in ends:
        assert "".join(ours.stream([*answer, end, *more])) == "The for"


@pytest.mark.parametrize(
    "generation, config, wanted",
    [
        ({"eos_token_id": [5, 6]}, {"eos_token_id": 7}, [5, 6, 7]),
        ({"eos_token_id": [5, 7]}, {"eos_token_id": 7}, [5, 7]),
        ({"eos_token_id": None}, {"eos_token_id": 7}, 7),
        ({}, {"eos_token_id": None}, None),
        ({}, {"eos_token_id": -1}, None),
        ({}, {}, 2),
    ],
)
def test_a_model_knows_the_ends_of_both_its_files(generation, config, wanted, tmp_path):
    small = {"vocab_size": 300, "hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 1,
             "num_attention_heads": 2, "num_key_value_heads": 1}  # fmt: skip
    LlamaForCausalLM(small).save_pretrained(tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    fields.pop("eos_token_id")
    (tmp_path / "config.json").write_text(json.dumps({**fields, **config, "pad_token_id": -1}))
    (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    model = LlamaForCausalLM.from_pretrained(tmp_path)
    assert model.special_ids["eos_token_id"] == wanted and model.special_ids["pad_token_id"] is None
    model.save_pretrained(tmp_path)
    assert LlamaForCausalLM.from_pretrained(tmp_path).special_ids == model.special_ids


# ------------------------------------------------------------------------------------------------ the command line


@pytest.mark.parametrize("kind", KINDS)
def test_generate_keeps_the_space_between_prompt_and_text(kind, monkeypatch, capsys):
    tokenizer = made(kind)
    whole = tokenizer.encode("The for statement is used")
    prompt = tokenizer.decode(whole[: len(tokenizer.encode("The for"))])
    assert tokenizer.encode(prompt) == whole[: len(tokenizer.encode(prompt))]
    assert tokenizer.decode(whole)[len(prompt)] == " "
    rest = whole[len(tokenizer.encode(prompt)) :]
    monkeypatch.setattr("llama_tutorial.generation.stream", lambda model, ids, **how: map(torch.tensor, rest))
    model = SimpleNamespace(lm_head=SimpleNamespace(weight=torch.zeros(1)))
    cli.write_text(prompt, (model, tokenizer), (), {})
    assert capsys.readouterr().out == tokenizer.decode(whole) + "\n"


def test_a_token_beyond_the_table_of_the_model_does_no_harm(tmp_path, capsys):
    small = {"vocab_size": 300, "hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 1,
             "num_attention_heads": 2, "num_key_value_heads": 1}  # fmt: skip
    LlamaForCausalLM(small).save_pretrained(tmp_path)
    written(tmp_path, tokenizer_config={**FAST, "pad_token": "<new>"})
    how = ["--model", str(tmp_path), "--max-new-tokens", "2"]
    assert cli.run_command(["generate", "The for", *how]) == 0
    assert capsys.readouterr().out.startswith("The for")
    assert cli.run_command(["generate", "The<new>", *how]) == 2
    assert "300" in capsys.readouterr().err
