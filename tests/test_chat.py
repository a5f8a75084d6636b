"""Words as people use a model: its tokenizer, its chat template and its ends, the same as in transformers, streamed."""

import io
import json
import random
import shutil

import pytest
import torch
import transformers
from test_checkpoint import FAMILIES, SMALL, theirs_of

from llama_tutorial import LlamaForCausalLM, PublishedTokenizer, cli
from llama_tutorial.published import template
from llama_tutorial.published.words import until, whole_pieces

TEXT = ["The for statement is used to iterate over a sequence.", "naïve 象 ☃ 👩‍🚀 é", "  two  spaces\n\tand a tab"]
CHAT_TOKENS = ["<|begin|>", "<|end|>", "<|user|>", "<|assistant|>"]
CHATML = """{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|begin|>system
You help.<|end|>
{% endif %}<|begin|>{{ message['role'] }}
{{ message['content'] }}<|end|>
{% endfor %}{% if add_generation_prompt %}<|begin|>assistant
{% endif %}"""
HEADERS = """{{- bos_token }}
{%- set ns = namespace(system='') %}
{%- if messages[0]['role'] == 'system' %}
    {%- set ns.system = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- endif %}
{{- "<|user|>system\\n" + ns.system + "<|end|>" }}
{%- for message in messages %}
    {%- if message.role not in ['user', 'assistant'] %}{{ raise_exception('role ' + message.role) }}{% endif %}
    {%- if loop.index0 > 8 %}{% break %}{% endif %}
    {%- generation %}
    {{- '<|user|>' + message['role'] + '\\n' + message['content'] | trim + '<|end|>' }}
    {%- endgeneration %}
{%- endfor %}
{%- if tools is not none %}{{ tools | tojson(indent=2) }}{% endif %}
{%- if date_string is not defined %}{% set date_string = strftime_now('%Y') %}{% endif %}
{{- date_string }}
{%- if add_generation_prompt %}{{- '<|user|>assistant\\n\\n' }}{% endif %}
"""
TEMPLATES = {"chatml": CHATML, "headers": HEADERS}
CHAT = [
    {"role": "system", "content": " Be “brief” & true <b>. "},
    {"role": "user", "content": "Say é象☃"},
    {"role": "assistant", "content": "é"},
    {"role": "user", "content": "Again  "},
]


def byte_level():
    """A tokenizer as Llama 3 and SmolLM have it: pieces of bytes, and a post-processor that begins every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    specials = ["<s>", *CHAT_TOKENS]
    how = {"vocab_size": 300, "special_tokens": specials, "initial_alphabet": alphabet, "show_progress": False}
    inner.train_from_iterator(TEXT * 3, trainers.BpeTrainer(**how))
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return inner


def sentence_pieces():
    """A tokenizer as Llama 2 and TinyLlama have it: ▁ for spaces, one added in front, and bytes for what it lacks."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers

    inner = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    inner.decoder = decoders.Sequence(steps)
    specials = ["<unk>", "<s>", *CHAT_TOKENS]
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    words = ["▁The ▁for ▁statement ▁is ▁used ▁to ▁iterate ▁a ▁sequence".replace(" ", "")]
    trainer = trainers.BpeTrainer(vocab_size=360, special_tokens=specials + pieces, show_progress=False)
    inner.train_from_iterator(words * 3, trainer)
    inner = json.loads(inner.to_str())  # bytes are ordinary tokens
    inner["added_tokens"] = [token for token in inner["added_tokens"] if not token["content"].startswith("<0x")]
    inner = Tokenizer.from_str(json.dumps(inner))
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return inner


KINDS = {"byte level": byte_level, "sentence pieces": sentence_pieces}


@pytest.fixture(params=KINDS)
def words(request, tmp_path):
    return words_of(request.param, tmp_path)


def words_of(kind, directory, text=CHATML, where="chat_template.jinja"):
    """A directory with a tokenizer, as published ones lie there."""
    KINDS[kind]().save(str(directory / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>"}
    settings |= {"eos_token": {"__type": "AddedToken", "content": "<|end|>"}}
    if where == "chat_template.jinja":
        (directory / where).write_text(text)
    else:
        named = [{"name": "rag", "template": "no"}, {"name": "default", "template": text}]
        settings["chat_template"] = named if where == "list" else text
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return directory


def texts(count):
    chance = random.Random(0)
    letters = "abc xyz .\n\té象☃👩🚀\u200d ▁<|end|>"
    return TEXT + ["".join(chance.choices(letters, k=chance.randrange(30))) for _ in range(count)]


def test_texts_and_ids_are_those_of_transformers(words):
    ours, theirs = PublishedTokenizer.from_pretrained(words), transformers.AutoTokenizer.from_pretrained(words)
    assert ours.special == {"bos_token": "<s>", "eos_token": "<|end|>"} and len(ours) == len(theirs)
    for text in texts(100):
        ids = ours.encode(text)
        assert ids == theirs.encode(text) and ids[0] == theirs.bos_token_id
        assert ours.encode(text, special=False) == theirs.encode(text, add_special_tokens=False) == ids[1:]
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def test_streaming_is_decoding_and_never_gives_half_a_character(words):
    ours = PublishedTokenizer.from_pretrained(words)
    for text in texts(100):
        ids = ours.encode(text)
        pieces = list(whole_pieces(ours, ids))
        assert "".join(pieces) == ours.decode(ids)
        assert "\ufffd" not in "".join(pieces) and all(pieces)
    assert len(list(whole_pieces(ours, ours.encode(TEXT[0])))) > 10  # it does come piece by piece
    broken = "".join(whole_pieces(ours, ours.encode("é☃")[:-1]))
    assert broken.startswith("é") and "\ufffd" in broken  # at the very end the rest comes as it is


def test_a_stream_ends_before_an_end_of_the_model(words):
    (words / "generation_config.json").write_text('{"eos_token_id": [2, 5, 77777]}')
    ours = PublishedTokenizer.from_pretrained(words)
    ids = ours.encode(TEXT[0])
    assert ours.ends == tuple(dict.fromkeys([2, 5, 77777, ours.inner.token_to_id("<|end|>")]))
    assert "".join(ours.stream([*ids, 5, *ids])) == TEXT[0] == "".join(ours.stream(iter([*ids, 77777])))


@pytest.mark.parametrize(
    "files, ends",
    [
        ({"generation_config.json": {"eos_token_id": [5, 6]}, "config.json": {"eos_token_id": 7}}, (5, 6, 7, 2)),
        ({"generation_config.json": {}, "config.json": {"eos_token_id": 7}}, (7, 2)),
        ({"generation_config.json": {"eos_token_id": None}, "config.json": {"eos_token_id": 7}}, (7, 2)),
        ({}, (2,)),  # the eos_token of tokenizer_config.json
    ],
)
def test_where_the_ends_are_told(files, ends, tmp_path):
    words_of("byte level", tmp_path)
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    assert PublishedTokenizer.from_pretrained(tmp_path).ends == ends


@pytest.mark.parametrize(
    "stops, pieces, wanted",
    [
        (["END"], ["one E", "ND two"], "one "),
        (["END"], ["one E", "N", "x"], "one ENx"),
        (["END"], ["E", "E", "ND"], "E"),
        (["\n\n", "User:"], ["a\n", "b\nUser", ":c"], "a\nb\n"),
        (["b", "ab"], ["xa", "b"], "x"),
        (["aab"], ["a", "a", "a", "b", "c"], "a"),
        ([], ["a", "b"], "ab"),
        (["z"], ["a", "bEN"], "abEN"),
    ],
)
def test_stop_texts_end_it_also_across_pieces(stops, pieces, wanted):
    assert "".join(until(pieces, stops)) == wanted


def test_nothing_is_held_back_that_cannot_be_a_stop_text():
    assert list(until(["one", " two", " E", "x"], ["END"])) == ["one", " two", " ", "Ex"]


@pytest.mark.parametrize("stops", ["END", [""], [7], [None]])
def test_what_is_no_stop_text_is_refused_at_once(stops):
    with pytest.raises(ValueError, match="stops must be texts"):
        until([], stops)


# ------------------------------------------------------------------------------------------------ chats


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_chat_is_rendered_as_transformers_does(name, tmp_path):
    directory = words_of("byte level", tmp_path, TEMPLATES[name])
    ours, theirs = PublishedTokenizer.from_pretrained(directory), transformers.AutoTokenizer.from_pretrained(directory)
    assert ours.render(CHAT) == theirs.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    ids = theirs.apply_chat_template(CHAT, add_generation_prompt=True, return_dict=False)
    assert ours.encode_chat(CHAT) == ids


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["chat_template.jinja", "text", "list"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_chats_and_their_ids_in_every_place_of_a_template(name, where, kind, tmp_path):
    directory = words_of(kind, tmp_path, TEMPLATES[name], where)
    ours, theirs = PublishedTokenizer.from_pretrained(directory), transformers.AutoTokenizer.from_pretrained(directory)
    tools = [{"type": "function", "function": {"name": "f", "description": "é <"}}]
    for chat in (CHAT, CHAT[1:2], CHAT[:2]):
        for more in ({}, {"add_generation_prompt": False}, {"tools": tools}, {"date_string": "26 Jul 2024"}):
            how = {"add_generation_prompt": True, **more}
            assert ours.render(chat, **more) == theirs.apply_chat_template(chat, tokenize=False, **how)
    assert ours.encode_chat(CHAT) == theirs.apply_chat_template(CHAT, add_generation_prompt=True, return_dict=False)


def test_a_template_that_refuses_says_what_it_says_and_none_is_told(tmp_path):
    ours = PublishedTokenizer.from_pretrained(words_of("byte level", tmp_path, HEADERS))
    with pytest.raises(ValueError, match="the chat template failed: TemplateError: role tool"):
        ours.render([{"role": "tool", "content": "x"}])
    ours.template = None
    with pytest.raises(ValueError, match="no chat template"):
        ours.render(CHAT)


def test_a_template_sees_plain_values_only():
    with pytest.raises(TypeError):
        template.render("", {"messages": [object()]})


# ------------------------------------------------------------------------------------------------ batches


def test_a_batch_padded_on_the_left_writes_what_each_writes_alone(tmp_path):
    tokenizer = PublishedTokenizer.from_pretrained(words_of("byte level", tmp_path))
    shape = {**SMALL, **FAMILIES["llama-3"], "vocab_size": len(tokenizer)}
    torch.manual_seed(0)
    model = LlamaForCausalLM({key: value for key, value in shape.items() if key != "rope_parameters"}).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(float(weight.ndim == 1), 0.25)
    prompts = ["The", "The for statement is used to iterate over", "☃"]
    ids, real = tokenizer.encode_batch(prompts)
    assert real.sum(dim=1).tolist() == [len(tokenizer.encode(prompt)) for prompt in prompts]
    written = model.generate(ids, 12, attention_mask=real)
    with torch.inference_mode():
        scores = model(ids, attention_mask=real)
        for prompt, row, row_scores in zip(prompts, written, scores):
            alone = torch.tensor([tokenizer.encode(prompt)])
            n = alone.shape[1]
            wanted = model(alone)[0]
            assert ((row_scores[-n:] - wanted).abs().max() / wanted.abs().max().clamp(min=1)).item() <= 1e-9
            assert row[-n - 12 :].tolist() == model.generate(alone, 12)[0].tolist()


# ------------------------------------------------------------------------------------------------ the command line


@pytest.fixture(scope="module")
def speaker(tmp_path_factory):
    """A model with a template, written by transformers as published ones are, in shards."""
    directory = tmp_path_factory.mktemp("speaker")
    theirs = theirs_of("llama-3.2")
    theirs.resize_token_embeddings(300, mean_resizing=False)
    with torch.no_grad():
        theirs.get_input_embeddings().weight.normal_(0, 0.5)
    theirs.config.eos_token_id = theirs.generation_config.eos_token_id = [2, 3]
    theirs.save_pretrained(directory, max_shard_size="30KB")
    words_of("byte level", directory, "{% for m in messages %}<|user|>{{ m.content }}{% endfor %}<|assistant|>")
    return directory


def written_by_transformers(directory, ids, count):
    model = transformers.LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32)
    reader = transformers.AutoTokenizer.from_pretrained(directory)
    ids = torch.tensor([ids])
    told = {"attention_mask": torch.ones_like(ids), "pad_token_id": 0}
    out = model.generate(ids, max_new_tokens=count, do_sample=False, **told)
    return reader.decode(out[0, ids.shape[1] :], skip_special_tokens=True, clean_up_tokenization_spaces=False)


def test_generate_writes_what_transformers_writes(speaker, capsys):
    words = ["generate", "The for", "--model", str(speaker), "--temperature", "0", "--max-new-tokens", "20"]
    assert cli.run_command(words) == 0
    out, err = capsys.readouterr()
    ids = PublishedTokenizer.from_pretrained(speaker).encode("The for")
    wanted = "The for" + written_by_transformers(speaker, ids, 20)
    assert (out, err) == (wanted + "\n", "") and len(wanted) > 12
    stop = wanted[-4:-2]
    assert cli.run_command([*words, "--stop", stop, "--dtype", "float64"]) == 0
    assert capsys.readouterr().out == "The for" + wanted[7:].split(stop)[0] + "\n"


def test_a_chat_keeps_what_was_said_before(speaker, capsys, monkeypatch):
    typed = "The for\nis used\n\nnever read\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    words = ["chat", "--model", str(speaker), "--temperature", "0", "--max-new-tokens", "9", "--system", "Be brief"]
    assert cli.run_command(words) == 0
    out, err = capsys.readouterr()
    tokenizer = PublishedTokenizer.from_pretrained(speaker)
    begin = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "The for"}]
    first = written_by_transformers(speaker, tokenizer.encode_chat(begin), 9)
    more = [{"role": "assistant", "content": first.strip()}, {"role": "user", "content": "is used"}]
    second = written_by_transformers(speaker, tokenizer.encode_chat(begin + more), 9)
    assert (out, err) == (f"{first}\n{second}\n", "")


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
def test_the_pipeline_of_transformers_runs_what_we_save(kind, tmp_path, capsys):
    """An engine that others wrote: ours trained or loaded, saved in float32, writes the same text there."""
    tokenizer = PublishedTokenizer.from_pretrained(words_of(kind, tmp_path))
    torch.manual_seed(0)
    model = LlamaForCausalLM({"vocab_size": len(tokenizer), "hidden_size": 48, "intermediate_size": 40,
                              "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
                              "tie_word_embeddings": False})  # fmt: skip
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(float(weight.ndim == 1), 0.25)
    model.save_pretrained(tmp_path)
    engine = transformers.pipeline("text-generation", model=str(tmp_path), dtype=torch.float32)
    told = engine("The for", do_sample=False, max_new_tokens=20, return_full_text=False)[0]["generated_text"]
    ids = torch.tensor([tokenizer.encode("The for")])
    written = model.generate(ids, 20)[0, ids.shape[1] :].tolist()
    assert told == tokenizer.decode(written) and len(set(written)) > 3


@pytest.mark.parametrize(
    "words, told",
    [
        (["--dtype", "int4"], "dtype must be one of float64, float32, float16, bfloat16, got 'int4'"),
        (["--device", "abacus"], "--device abacus cannot be used here"),
        (["--stop", ""], "stops must be texts"),
        (["--temperature", "-1"], "temperature must lie in"),
        (["--model", "no/such/place"], "no config.json in no/such/place"),
    ],
)
@pytest.mark.parametrize("command", ["generate", pytest.param("chat", marks=pytest.mark.thorough)])
def test_a_mistake_is_one_line(command, words, told, speaker, capsys):
    prompt = ["The"] if command == "generate" else []
    assert cli.run_command([command, *prompt, "--model", str(speaker), *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("llama-tutorial: ") and err.count("\n") == 1 and told in err


def test_a_model_that_cannot_chat_says_so(speaker, tmp_path, capsys):
    for path in speaker.iterdir():
        if path.name != "chat_template.jinja":
            (tmp_path / path.name).symlink_to(tmp_path / "files" / path.name)
    shutil.copytree(speaker, tmp_path / "files")
    assert cli.run_command(["chat", "--model", str(tmp_path)]) == 2
    assert "not taught to chat" in capsys.readouterr().err
