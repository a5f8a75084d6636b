"""The faster model writes the same text, reads fewer bytes, leaves the model as it was, and goes when it goes."""

import copy
import gc
import os
import subprocess
import sys
import weakref
from contextlib import nullcontext
from itertools import product as every_pair
from pathlib import Path

import pytest
import torch
from test_compile import needs_compiler

from llama_tutorial import LlamaForCausalLM, fast, faster, load_shipped
from llama_tutorial.causal_lm import next_token_loss
from llama_tutorial.commands.quick import Quick
from llama_tutorial.corpus import python_corpus
from llama_tutorial.fast import LARGE, Faster, Int8Linear, product, quantize, quick_products
from llama_tutorial.generation import stream
from llama_tutorial.training import bits_per_byte, token_ids

SHAPE = {
    "vocab_size": 61,
    "hidden_size": 48,
    "intermediate_size": 37,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 10,
    "max_position_embeddings": 64,
}
KINDS = {
    "untied": {},
    "tied": {"tie_word_embeddings": True},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "one group": {"num_key_value_heads": 6},
    "one kv": {"num_key_value_heads": 1},
    "linear": {"rope_scaling": {"rope_type": "linear", "factor": 3.0}},
    "yarn": {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}},
    "wide": {"hidden_size": 144, "intermediate_size": 600, "vocab_size": 1900},  # for oneDNN's products
}


def made(kind="untied", dtype=torch.float32):
    """A model whose weights are large enough to tell the terms apart."""
    torch.manual_seed(0)
    model = LlamaForCausalLM({**SHAPE, **KINDS[kind]})
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return model.to(dtype).eval()


@pytest.fixture(scope="module")
def prompts():
    """Ids and a mask of three prompts of 7, 4 and 1 tokens, padded on the left; one has a hole."""
    torch.manual_seed(1)
    mask = torch.tensor([[1] * 7, [0, 0, 0, 1, 1, 1, 1], [0] * 6 + [1]])
    return torch.randint(61, (3, 7)), mask


# ------------------------------------------------------------------------------------------------- the same text


@pytest.mark.parametrize(("kind", "fuse"), [*every_pair(KINDS, (True, False))])
def test_text_and_logits_are_those_of_the_model(kind, fuse, prompts):
    ids, mask = prompts
    model = made(kind)
    plain = model.generate(ids, 20), model.generate(ids, 20, attention_mask=mask), model(ids), model(ids, mask)
    quick = faster(model, fuse=fuse)
    assert torch.equal(quick.generate(ids, 20), plain[0])
    assert torch.equal(quick.generate(ids, 20, attention_mask=mask), plain[1])
    assert torch.equal(quick.generate(ids, 6, use_cache=False), plain[0][:, :13])
    torch.testing.assert_close(quick(ids), plain[2])
    torch.testing.assert_close(quick(ids, mask)[mask.bool()], plain[3][mask.bool()])


@pytest.mark.parametrize("kind", ["tied", "biases", "yarn"])
def test_in_float64_the_logits_are_equal_to_1e_9(kind, prompts):
    model = made(kind, torch.float64)
    gap = (faster(model)(prompts[0]) - model(prompts[0])).abs().max()
    assert gap / model(prompts[0]).abs().max() < 1e-9


def test_draws_with_a_seed_are_the_same(prompts):
    model, how = made(), {"temperature": 1.3, "top_k": 20, "top_p": 0.9, "seed": 5}
    assert torch.equal(faster(model).generate(prompts[0], 15, **how), model.generate(prompts[0], 15, **how))


def test_an_end_of_text_ends_it(prompts):
    model = made()
    end = model.generate(prompts[0], 8)[0, -1].item()
    wanted = model.generate(prompts[0], 20, eos_token_id=end)
    assert torch.equal(faster(model).generate(prompts[0], 20, eos_token_id=end), wanted)


def test_two_texts_at_once_and_one_that_is_left_do_not_meet(prompts):
    model = made()
    quick, ids = faster(model), prompts[0]
    quick.generate(ids[2:], 12)  # leaves a store of one row behind
    first, second = quick.stream(ids[:1], 12), quick.stream(ids[1:2], 12)
    pairs = [(int(a), int(b)) for a, b in zip(first, second)]
    for row in (0, 1):
        assert [pair[row] for pair in pairs] == model.generate(ids[row : row + 1], 12)[0, 7:].tolist()
    left = quick.stream(ids, 12)
    next(left), left.close()
    assert torch.equal(quick.generate(ids[:, :3], 12), model.generate(ids[:, :3], 12))  # a shorter text after a longer


def test_numbers_that_are_none_do_not_outlive_their_text(prompts):
    model = made()
    quick, weight = faster(model), model.model.layers[0].self_attn.v_proj.weight
    good = weight.detach().clone()
    weight.data.fill_(torch.nan)
    with pytest.raises(ValueError, match="look at the model"):
        quick.generate(prompts[0], 5)
    weight.data.copy_(good)
    assert torch.equal(quick.generate(prompts[0][:, :2], 9), model.generate(prompts[0][:, :2], 9))


@pytest.mark.parametrize("work", [LARGE // 2, 2 * LARGE])
@pytest.mark.parametrize("bias", [False, True])
def test_a_product_is_the_linear_layer(work, bias):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 4, 64), torch.randn(work // 512, 64)
    bias = torch.randn(len(weight)) if bias else None
    torch.testing.assert_close(product(x, weight, bias), torch.nn.functional.linear(x, weight, bias))


@pytest.mark.parametrize("kind", ["tied", "biases", "wide"])
def test_quick_products_train_alike(kind, prompts):
    model, other = made(kind), made(kind)
    for each, mode in ((model, nullcontext()), (other, quick_products())):
        with mode:
            loss = next_token_loss(each(prompts[0]), prompts[0])
            loss.backward()
    for (name, weight), theirs in zip(model.named_parameters(), other.parameters()):
        torch.testing.assert_close(theirs.grad, weight.grad, msg=lambda told, name=name: f"{name}: {told}")


def test_quick_products_are_used_where_they_can_be_and_nowhere_else(monkeypatch):
    asked = []
    monkeypatch.setattr(fast, "product", lambda *args: asked.append(len(args[0])) or product(*args))
    linear, x = torch.nn.Linear(7, 5), torch.randn(3, 7, requires_grad=True)
    with quick_products():
        with torch.autocast("cpu"):
            assert linear(x).dtype == torch.bfloat16
        linear.double()(x.double())
        assert not asked
        out = torch.nn.functional.linear(x, linear.float().weight, bias=linear.bias)
    assert asked == [3]
    out.sum().backward()
    assert asked == [3, 3, 5] and linear(x).shape == (3, 5) and len(asked) == 3


# ------------------------------------------------------------------------------------- the model stays as it was


def test_the_model_keeps_its_parameters_and_lies_in_memory_once(prompts):
    model = made("tied")
    before, parameters = copy.deepcopy(model.state_dict()), dict(model.named_parameters())
    quick = faster(model)
    assert all(parameter is parameters[name] for name, parameter in model.named_parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    ours = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    own = {name for name, each in quick.named_buffers() if each.untyped_storage().data_ptr() not in ours}
    assert own == {"places", "cos", "sin"}
    again = faster(model)
    assert again.layers[1].qkv.weight.data_ptr() == quick.layers[1].qkv.weight.data_ptr()


def test_it_saves_and_loads_as_the_plain_one(tmp_path, prompts):
    model = made("biases")
    model.save_pretrained(tmp_path / "before")
    quick = faster(model)
    model.save_pretrained(tmp_path / "after")
    for path in (tmp_path / "before").iterdir():
        assert path.read_bytes() == (tmp_path / "after" / path.name).read_bytes(), path.name
    other = made("biases")
    other.load_state_dict({name: value + 0.1 for name, value in other.state_dict().items()})
    model.load_state_dict(other.state_dict())
    torch.testing.assert_close(quick(prompts[0]), other(prompts[0]))


def test_what_is_trained_on_is_trained_on(prompts):
    model, other = made(), made()
    quick = faster(model)
    for each in (model, other):
        each(prompts[0]).logsumexp(dim=-1).sum().backward()
        torch.optim.SGD(each.parameters(), lr=0.01).step()
    torch.testing.assert_close(model(prompts[0]), other(prompts[0]))
    torch.testing.assert_close(quick(prompts[0]), other(prompts[0]))


@pytest.mark.parametrize("how", [{}, {"bits": 8}, {"fuse": False}])
def test_it_is_freed(how, prompts):
    quick = faster(made(), **how)
    quick.generate(prompts[0], 3)
    kept = [weakref.ref(each) for each in (quick, quick.layers[0], quick.layers[0].qkv, quick.kept[0][0])]
    del quick
    gc.collect()
    assert not [each for each in kept if each() is not None]


# -------------------------------------------------------------------------------------------------------- int8


def test_int8_is_off_by_half_a_step_at_most():
    torch.manual_seed(0)
    weight = torch.randn(30, 50) * torch.logspace(-6, 3, 30)[:, None]
    weight[4] = 0
    numbers, scale = quantize(weight)
    assert numbers.dtype == torch.int8 and numbers.abs().amax(dim=1).tolist() == [127] * 4 + [0] + [127] * 25
    assert (scale > 0).all() and ((numbers * scale[:, None] - weight).abs() <= 0.5001 * scale[:, None]).all()


@pytest.mark.parametrize("rows", [1, Int8Linear.FEW, Int8Linear.FEW + 1])
@pytest.mark.parametrize("width", [64, 48, 40, 37])  # the kernel reads sixteen numbers at a time, past a row's end
def test_both_ways_to_read_int8_agree(rows, width):
    torch.manual_seed(0)
    weight, bias, x = torch.randn(48, width), torch.randn(48), torch.randn(rows, width, dtype=torch.bfloat16)
    numbers, scale = quantize(weight)
    wanted = x.double() @ (numbers * scale[:, None]).double().T + bias
    torch.testing.assert_close(Int8Linear(weight, bias)(x).double(), wanted, atol=0.2, rtol=0.02)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["tied", "biases"])
def test_int8_answers_in_the_dtype_of_the_model_and_is_near(kind, dtype, prompts):
    model = made(kind, dtype)
    quick = faster(model, bits=8)
    wanted, found = model(prompts[0]), quick(prompts[0])
    assert found.dtype == dtype and (found - wanted).std() < 0.05 * wanted.std()
    assert quick.generate(*prompts[:1], 5, attention_mask=prompts[1]).shape == (3, 12)


def test_int8_reads_a_quarter_and_costs_the_text_next_to_nothing():
    model, tokenizer = load_shipped()
    quick = faster(model, bits=8)
    matrices = [each for name, each in quick.named_buffers() if each.ndim == 2 and name not in ("cos", "sin")]
    assert {each.dtype for each in matrices} == {torch.int8}
    texts = list(python_corpus().held_out.values())
    exam, size = token_ids(tokenizer, texts)[:4000], sum(len(text.encode()) for text in texts)
    plain, read = bits_per_byte(model, exam, size), bits_per_byte(quick, exam, size)
    share = len(token_ids(tokenizer, texts)) / 4000  # the bits are those of a part of the text
    assert abs(read - plain) * share < 0.005


# ----------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda quick: faster(3), TypeError, "takes a LlamaForCausalLM, got int"),
        (lambda quick: faster(quick), TypeError, "got Faster"),
        (lambda quick: faster(LlamaForCausalLM(SHAPE).to("meta")), ValueError, "meta"),
        (lambda quick: faster(made(), bits=4), ValueError, "bits must be 8 or None, got 4"),
        (lambda quick: faster(made(), compile="all"), ValueError, "compile must be True, False or 'layers'"),
        (lambda quick: faster(made(), max_length=0), ValueError, "max_length must lie in"),
        (lambda quick: faster(made(), max_length=2.5), TypeError, "max_length must be a whole number"),
        (lambda quick: quick.generate(torch.zeros(1, 5, dtype=torch.long), 40), ValueError, "max_length=45"),
        (lambda quick: quick(torch.zeros(1, 31, dtype=torch.long)), ValueError, "the text has 31 tokens"),
        (lambda quick: quick(torch.tensor([[61]])), ValueError, "0 … 60"),
        (lambda quick: quick.generate(torch.tensor([[1.0]])), TypeError, "integers"),
        (lambda quick: quick.generate(torch.tensor([[1]]), temperature=-1), ValueError, "temperature"),
        (
            lambda quick: quick.generate(torch.tensor([[1, 2]]), attention_mask=torch.tensor([[1, 0]])),
            ValueError,
            "padded on the left",
        ),
        (lambda quick: quick.half(), RuntimeError, "make it anew"),
    ],
)
def test_a_mistake_is_told_in_words(call, error, told):
    quick = faster(made(), max_length=30)
    with pytest.raises(error, match=told.replace("(", r"\(")):
        call(quick)
    assert torch.equal(quick.generate(torch.tensor([[1, 2]]), 4), made().generate(torch.tensor([[1, 2]]), 4))


def test_dynamic_scaling_refuses_what_the_model_refuses():
    model = LlamaForCausalLM({**SHAPE, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}})
    ids = torch.zeros(1, 60, dtype=torch.long)
    assert torch.equal(faster(model).generate(ids, 4), model.generate(ids, 4))
    with pytest.raises(ValueError, match="max_position_embeddings"):
        faster(model).generate(ids, 5)


def test_without_a_compiler_one_sentence_and_the_same_text():
    code = (
        "import torch, warnings; from llama_tutorial import faster, load_shipped\n"
        "with warnings.catch_warnings(record=True) as told:\n"
        "    warnings.simplefilter('always')\n"
        "    quick = faster(load_shipped()[0], compile=True)\n"
        "ids = torch.tensor([[5, 6]])\n"
        "assert torch.equal(quick.generate(ids, 9), load_shipped()[0].generate(ids, 9)) and not quick.compile\n"
        "print([str(each.message) for each in told if 'compiled' in str(each.message)])\n"
    )
    there = {**os.environ, "CXX": "no-such-compiler", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=there, capture_output=True, text=True, check=True)
    assert done.stdout.count("the step cannot be compiled here, and runs as it is (") == 1 and "C++" in done.stdout


# -------------------------------------------------------------------------------------------------------- compiled


@pytest.mark.thorough
@needs_compiler
@pytest.mark.parametrize(("kind", "how"), [*every_pair(("tied", "biases", "wide"), (True, "layers"))])
def test_compiled_it_writes_the_same_at_every_length_with_one_compilation(kind, how, prompts):
    ids, mask = prompts
    model = made(kind)
    quick = faster(model, compile=how, max_length=320)
    waited = quick.compile_seconds
    assert waited > 0 and quick.compile == how
    with torch.compiler.set_stance("fail_on_recompile"):
        assert torch.equal(quick.generate(ids[:1], 313), model.generate(ids[:1], 313))  # to the last place
    assert quick.compile_seconds == waited
    assert torch.equal(quick.generate(ids, 100, attention_mask=mask), model.generate(ids, 100, attention_mask=mask))
    assert quick.compile == how and quick.compile_seconds > waited  # another number of rows, another compilation


@pytest.mark.thorough
@needs_compiler
def test_many_compiled_ones_do_not_crowd_each_other_out_and_are_freed():
    kept, ids = [], torch.tensor([[1, 2, 3]])
    for width in range(20, 42, 2):  # more than the compiler keeps for one function
        model = LlamaForCausalLM({**SHAPE, "intermediate_size": width, "num_hidden_layers": 1})
        quick = faster(model, compile=True, max_length=32)
        assert quick.compile is True and torch.equal(quick.generate(ids, 9), model.generate(ids, 9))
        kept.append(weakref.ref(quick))
    del quick
    gc.collect()
    assert not [each for each in kept if each() is not None]


@pytest.mark.thorough
@needs_compiler
def test_int8_compiled_is_int8():
    model, ids = load_shipped()[0], torch.arange(5)[None]
    plain, quick = faster(model, bits=8), faster(model, bits=8, compile=True)
    first = next(iter(stream(plain, ids, 1)))
    assert quick.compile is True and torch.equal(next(iter(stream(quick, ids, 1))), first)
    with torch.inference_mode():
        ours, theirs = (each.one_more(first[:, None], 5, None, None, filled(each, ids)) for each in (plain, quick))
    torch.testing.assert_close(ours, theirs, atol=0.3, rtol=0)


def filled(quick: Faster, ids):
    """A store into which the ids were read."""
    store = quick.room(len(ids))
    quick.read_text(ids, None, store)
    return store


# ------------------------------------------------------------------------------------------------ the command line


def command(*words, **environment):
    there = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    words = [sys.executable, "-m", "llama_tutorial", *words]
    return subprocess.run(words, env=there, capture_output=True, text=True, cwd=Path(__file__).parent)


def test_the_command_says_what_it_does_and_writes_the_same(tmp_path):
    how = ["generate", "The for statement", "--max-new-tokens", "12", "--temperature", "0"]
    plain, fast = command(*how), command(*how, "--fast", CXX="no-such-compiler")
    assert plain.returncode == fast.returncode == 0 and plain.stdout == fast.stdout
    assert "--fast: compiling one step of 5 layers …" in fast.stderr and "cannot be compiled here" in fast.stderr


def test_a_chat_that_outgrows_its_room_gets_twice_as_much(monkeypatch, capsys):
    model = made()
    monkeypatch.setattr(fast, "faster", lambda model, compile, **how: faster(model, **how))
    quick = Quick(model)
    first = quick.for_tokens(10)
    assert quick.for_tokens(first.max_length) is first
    larger = quick.for_tokens(first.max_length + 1)
    assert larger.max_length == 2 * (first.max_length + 1)
    assert capsys.readouterr().err.count("--fast: compiling one step of 3 layers …") == 2
    monkeypatch.setattr(fast, "LARGE", 1)
    assert quick.made(8).max_length == 8 and "not compiled, for its weights are large" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "told"), [(["--bits", "8"], "without it"), (["--fast", "--bits", "4"], "got 4")])
def test_bits_are_eight_and_fast(words, told):
    done = command("generate", "x", *words)
    assert done.returncode == 2 and told in done.stderr and len(done.stderr.splitlines()) == 1
