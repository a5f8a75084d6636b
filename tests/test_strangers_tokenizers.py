"""Tokenizers as strangers publish them: whatever a directory holds, it means here what it means in transformers."""

import functools
import json
from types import SimpleNamespace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strangers import FAST, KINDS, SPECIALS, begun, object_of, same_as_transformers, written
from tokenizers import Tokenizer, models

from llama_tutorial import LlamaForCausalLM, PublishedTokenizer, cli

# ------------------------------------------------------------------------------------------------ every kind


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
            assert "".join(tokenizer.stream(all_ids, after=())) == whole


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", range(1, 6))
def test_what_a_model_wrote_keeps_the_space_before_it_without_its_prompt(kind, first):
    """As a reader of a model's ids has them: the prompt is on the page already, and its ids are not handed in."""
    tokenizer = made(kind)
    text = "The for statement is used to iterate over"
    prompt = " ".join(text.split()[:first])
    ids, begin = tokenizer.encode(text), tokenizer.encode(prompt)
    assert ids[: len(begin)] == begin
    assert tokenizer.decode(begin) + "".join(tokenizer.stream(ids[len(begin) :])) == tokenizer.decode(ids)


@pytest.mark.parametrize("kind", ["pieces with a space in front", "Metaspace", "byte level"])
def test_a_text_that_begins_as_encode_begins_one_is_a_text_of_its_own(kind):
    inner = KINDS[kind]()
    begun(inner)
    tokenizer = PublishedTokenizer(inner, {}, [2])
    ids = tokenizer.encode("The for statement")
    assert "".join(tokenizer.stream(iter([*ids, 2, *ids]))) == "The for statement"
    assert "".join(tokenizer.stream([])) == "".join(tokenizer.stream([2, 5])) == ""


def test_where_no_id_is_a_word_all_of_them_stream():
    tokenizer = PublishedTokenizer(Tokenizer(models.WordLevel({"</s>": 0, " ": 1}, unk_token="</s>")), {}, [])
    tokenizer.inner.add_special_tokens(["</s>"])
    assert "".join(tokenizer.stream([1, 0, 1])) == tokenizer.decode([1, 0, 1])


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
    assert ours.decode(ids) == "over. it" == "".join(ours.stream(ids, after=()))


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
        ({"added_tokens_decoder": {"300": object_of("<new>", lstrip="no")}}, "lstrip of a token must be true or false"),
        ({"pad_token": {"content": None}}, "pad_token: a token must be an object with its content"),
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
        assert "".join(ours.stream([*answer, end, *more], after=())) == "The for"


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
    LlamaForCausalLM(SMALL).save_pretrained(tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    fields.pop("eos_token_id")
    (tmp_path / "config.json").write_text(json.dumps({**fields, **config, "pad_token_id": -1}))
    (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    model = LlamaForCausalLM.from_pretrained(tmp_path)
    assert model.special_ids["eos_token_id"] == wanted and model.special_ids["pad_token_id"] is None
    model.save_pretrained(tmp_path)
    assert LlamaForCausalLM.from_pretrained(tmp_path).special_ids == model.special_ids


SMALL = {"vocab_size": 300, "hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 1,
         "num_attention_heads": 2, "num_key_value_heads": 1}  # fmt: skip


@pytest.mark.parametrize(
    "stops, wanted",
    [("for", "The "), (["is", "for"], "The "), (["no"], "The for statement"), ([], "The for statement"),
     (None, "The for statement")],
)  # fmt: skip
def test_stop_strings_of_generation_config_end_a_text(stops, wanted, tmp_path):
    ours = PublishedTokenizer.from_pretrained(written(tmp_path, generation_config={"stop_strings": stops}))
    ids = ours.encode("The for statement")
    assert "".join(ours.stream(ids, after=())) == wanted
    assert "".join(ours.stream(ids, ["h"], after=())) == "T"


@pytest.mark.parametrize("stops", ["", [""], [7], {"a": "b"}, 0, False])
def test_what_is_no_stop_string_is_told(stops, tmp_path):
    written(tmp_path, generation_config={"stop_strings": stops})
    with pytest.raises(ValueError, match="stop_strings of generation_config.json .* must be a text"):
        PublishedTokenizer.from_pretrained(tmp_path)


def test_generate_tells_of_stop_strings_that_it_cannot_see(tmp_path):
    LlamaForCausalLM(SMALL).save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text('{"stop_strings": ["END"], "temperature": 0.6}')
    model = LlamaForCausalLM.from_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"stop_strings \['END'\], and generate sees no text") as told:
        model.generate(torch.tensor([[1]]), 1)
    assert len(told) == 1 and told[0].filename == __file__


@pytest.mark.parametrize("field, value", [("repetition_penalty", 1.2), ("num_beams", 4), ("suppress_tokens", [5])])
def test_what_else_a_file_asks_of_the_writing_is_told(field, value, tmp_path, recwarn):
    LlamaForCausalLM(SMALL).save_pretrained(tmp_path)
    usual = {"repetition_penalty": 1.0, "num_beams": 1, "suppress_tokens": None, "top_p": 0.9, "min_length": 0}
    (tmp_path / "generation_config.json").write_text(json.dumps(usual))
    LlamaForCausalLM.from_pretrained(tmp_path)
    assert not recwarn.list
    (tmp_path / "generation_config.json").write_text(json.dumps({**usual, field: value}))
    with pytest.warns(UserWarning, match=f"generation_config.json asks for {field} .*: this package has no such thing"):
        LlamaForCausalLM.from_pretrained(tmp_path)


def test_all_ends_of_a_tokenizer_may_be_handed_to_generate(tmp_path):
    """Also one beyond the model's table: nothing writes it."""
    torch.manual_seed(0)
    LlamaForCausalLM(SMALL).save_pretrained(tmp_path)
    written(tmp_path, tokenizer_config={**FAST, "eos_token": "<new>"}, generation_config={"eos_token_id": [99999]})
    model, ours = LlamaForCausalLM.from_pretrained(tmp_path), PublishedTokenizer.from_pretrained(tmp_path)
    ids = torch.tensor([ours.encode("The for"), ours.encode("The for")[::-1]])
    free = model.generate(ids, 6)
    assert ours.ends == (99999, 300)
    end = free[0, ids.shape[1] + 1].item()
    stopped = model.generate(ids, 6, eos_token_id=[*ours.ends, end]).tolist()
    assert stopped == model.generate(ids, 6, eos_token_id=end).tolist()
    assert torch.equal(model.generate(ids, 6, eos_token_id=(300, 99999)), free)
    for wrong, kind in (([300, -1], ValueError), ([300, "</s>"], TypeError), ([2.0], TypeError), (300, ValueError)):
        with pytest.raises(kind, match="eos_token_id must"):
            model.generate(ids, 6, eos_token_id=wrong)


# ------------------------------------------------------------------------------------------------ several files


@pytest.mark.parametrize("names, token", [
    (None, "<turn>"), ([], "<turn>"), (["tokenizer.json"], "<turn>"), (["tokenizer.4.0.0.json"], "<4.0.0>"),
    (["tokenizer.4.0.0.json", "tokenizer.json", "tokenizer.4.10.json"], "<4.10>"),
    (["tokenizer.99.0.json", "tokenizer.4.0.0.json"], "<4.0.0>"), (["tokenizer.99.0.json"], "<turn>"),
])  # fmt: skip
def test_the_tokenizer_for_our_version_is_read(names, token, tmp_path):
    written(tmp_path, tokenizer_config={**FAST, "fast_tokenizer_files": names})
    for version in ("4.0.0", "4.10", "99.0"):
        told = (tmp_path / "tokenizer.json").read_text().replace("<turn>", f"<{version}>")
        (tmp_path / f"tokenizer.{version}.json").write_text(told)
    ours = PublishedTokenizer.from_pretrained(tmp_path)
    assert ours.encode(token) == [3]


@pytest.mark.parametrize("names", ["tokenizer.4.0.0.json", 0, [7], {"a": "b"}, [["tokenizer.json"]]])
def test_what_is_no_list_of_tokenizers_is_told(names, tmp_path):
    written(tmp_path, tokenizer_config={**FAST, "fast_tokenizer_files": names})
    with pytest.raises(ValueError, match="fast_tokenizer_files of tokenizer_config.json must be a list of names"):
        PublishedTokenizer.from_pretrained(tmp_path)


def test_a_tokenizer_that_is_named_and_not_there_is_told(tmp_path):
    written(tmp_path, tokenizer_config={**FAST, "fast_tokenizer_files": ["tokenizer.4.0.json"]})
    with pytest.raises(FileNotFoundError, match="no tokenizer.4.0.json in"):
        PublishedTokenizer.from_pretrained(tmp_path)


def test_a_folder_of_templates_that_leads_away_is_refused(tmp_path):
    (tmp_path / "away").mkdir(), (tmp_path / "model").mkdir()
    (tmp_path / "away" / "default.jinja").write_text("secret")
    directory = written(tmp_path / "model")
    (directory / "additional_chat_templates").symlink_to(tmp_path / "away")
    with pytest.raises(ValueError, match="additional_chat_templates is a link out of the checkpoint"):
        PublishedTokenizer.from_pretrained(directory)
    (directory / "additional_chat_templates").unlink()
    (directory / "additional_chat_templates").mkdir()
    (directory / "additional_chat_templates" / "rag.jinja").symlink_to(tmp_path / "away" / "default.jinja")
    with pytest.raises(ValueError, match="outside the checkpoint"):
        PublishedTokenizer.from_pretrained(directory)


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
    LlamaForCausalLM(SMALL).save_pretrained(tmp_path)
    written(tmp_path, tokenizer_config={**FAST, "pad_token": "<new>"})
    how = ["--model", str(tmp_path), "--max-new-tokens", "2"]
    assert cli.run_command(["generate", "The for", *how]) == 0
    assert capsys.readouterr().out.startswith("The for")
    assert cli.run_command(["generate", "The<new>", *how]) == 2
    assert "300" in capsys.readouterr().err
