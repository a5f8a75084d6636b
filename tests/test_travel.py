"""Whole wherever it travels: a model met in a fresh process, moved, copied, loaded or exported is the one that left."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from torch import nn

from llama_tutorial import KVCache, LlamaAttention, LlamaForCausalLM, LlamaMLP, LlamaModel, LlamaRMSNorm
from llama_tutorial.causal_lm import next_token_loss
from llama_tutorial.kv_cache import make_cache

SHAPE = {
    "vocab_size": 61, "hidden_size": 42, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 6,
    "num_key_value_heads": 3, "head_dim": 10,
}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
SCALINGS = {"none": None, "yarn": YARN}
IDS = torch.arange(22).view(2, 11) * 7 % 61


def made(scaling=None, **more) -> LlamaForCausalLM:
    torch.manual_seed(0)
    model = LlamaForCausalLM({**SHAPE, "rope_scaling": scaling, **more}).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model


def is_tied(model) -> bool:
    return model.lm_head.weight is model.model.embed_tokens.weight


def run_fresh(code: str, *words: str) -> str:
    """What a fresh process prints that has imported torch and nothing of ours by name."""
    done = subprocess.run([sys.executable, "-c", f"import sys, torch\n{code}", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ------------------------------------------------------------------------------------------------- a fresh process

MEET = """
def meet(model):
    ids = torch.arange(22).view(2, 11) * 7 % 61
    print(model.generate(ids, max_new_tokens=5).tolist())
    print(model.lm_head.weight is model.model.embed_tokens.weight)
    print(callable(model.save_pretrained), callable(type(model).from_pretrained))
    rotary = model.half().float().model.rotary_emb
    print(rotary.inv_freq.dtype, rotary.attention_factor, rotary.inv_freq.sum().item())
"""


def expected(model) -> str:
    """What `meet` prints here."""
    rotary = model.model.rotary_emb
    said = [model.generate(IDS, max_new_tokens=5).tolist(), True, "True True"]
    said.append(f"{rotary.inv_freq.dtype} {rotary.attention_factor} {rotary.inv_freq.sum().item()}")
    return "".join(f"{each}\n" for each in said)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("way", ["torch.save", "pickle", "a deep copy that was saved"])
def test_a_model_met_in_a_fresh_process_has_all_its_methods(way, scaling, tmp_path):
    model = made(SCALINGS[scaling])
    file, wanted = tmp_path / "model", expected(model)
    if way == "pickle":
        file.write_bytes(pickle.dumps(model))
        read = "import pickle; meet(pickle.load(open(sys.argv[1], 'rb')))"
    else:
        torch.save(copy.deepcopy(model) if "copy" in way else model, file)
        read = "meet(torch.load(sys.argv[1], weights_only=False))"
    assert run_fresh(MEET + read, str(file)) == wanted


SPAWN = """
import torch.multiprocessing as processes
from llama_tutorial.causal_lm import LlamaForCausalLM

def child(model):
    meet(model)

if __name__ == "__main__":
    model = torch.load(sys.argv[1], weights_only=False)
    worker = processes.get_context("spawn").Process(target=child, args=(model,))
    worker.start()
    worker.join(120)
    sys.exit(worker.exitcode)
"""


def test_a_spawned_worker_meets_the_whole_model(tmp_path):
    model = made(YARN)
    torch.save(model, tmp_path / "model")
    (tmp_path / "script.py").write_text("import sys, torch\n" + MEET + SPAWN)
    words = [sys.executable, "script.py", "model"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected(model)


def test_a_subclass_of_somebody_else_has_the_methods_too():
    class Mine(LlamaForCausalLM):
        pass

    torch.manual_seed(0)
    assert Mine(SHAPE).generate(IDS, max_new_tokens=2).shape == (2, 13)
    assert Mine.from_pretrained.__self__ is Mine


def test_the_methods_keep_their_names_and_signatures():
    from inspect import signature

    from llama_tutorial import checkpoint, generation

    assert LlamaForCausalLM.generate is generation.generate
    assert LlamaForCausalLM.save_pretrained is checkpoint.save_pretrained
    assert str(signature(LlamaForCausalLM.from_pretrained)).startswith("(source: ")


# ----------------------------------------------------------------------------------------------- loaded and moved


@pytest.mark.parametrize("held", ["both names", "the table alone", "the head alone"])
@pytest.mark.parametrize("from_meta", [True, False])
def test_loading_by_assignment_keeps_the_tables_one(from_meta, held):
    source = made(YARN)
    weights = {name: weight.clone() for name, weight in source.state_dict().items()}
    if held != "both names":
        del weights["lm_head.weight" if held == "the table alone" else "model.embed_tokens.weight"]
    with torch.device("meta" if from_meta else "cpu"):
        model = LlamaForCausalLM(source.config)
    model.load_state_dict(weights, assign=True)
    assert is_tied(model) and len(list(model.parameters())) == len(list(source.parameters()))
    assert torch.equal(model.eval()(IDS), source(IDS))
    before = model.lm_head.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    next_token_loss(model(IDS), IDS).backward()
    optimizer.step()
    assert is_tied(model) and not torch.equal(model.lm_head.weight, before)


def test_inside_another_module_loading_by_assignment_keeps_them_one_too():
    source, model = nn.ModuleDict({"lm": made()}), nn.ModuleDict({"lm": LlamaForCausalLM(SHAPE)})
    model.load_state_dict({name: weight.clone() for name, weight in source.state_dict().items()}, assign=True)
    assert is_tied(model["lm"])


def test_an_untied_model_keeps_two_tables():
    source = made(tie_word_embeddings=False)
    model = LlamaForCausalLM(source.config)
    model.load_state_dict({name: weight.clone() for name, weight in source.state_dict().items()}, assign=True)
    assert not is_tied(model) and torch.equal(model.eval()(IDS), source(IDS))


@pytest.mark.parametrize("scaling", SCALINGS)
def test_from_meta_by_to_empty_or_assignment_the_frequencies_are_right(scaling):
    source = made(SCALINGS[scaling])
    for fill in (lambda model: model.to_empty(device="cpu"), lambda model: model):
        with torch.device("meta"):
            model = LlamaForCausalLM(source.config)
        model = fill(model)
        model.load_state_dict(source.state_dict(), assign=True)
        assert torch.equal(model.model.rotary_emb.inv_freq, source.model.rotary_emb.inv_freq)
        assert torch.equal(model.half().float().model.rotary_emb.inv_freq, source.model.rotary_emb.inv_freq)
        assert is_tied(model)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_the_usual_dtype_makes_a_model_in_it_with_exact_frequencies(dtype):
    wanted = made().model.rotary_emb.inv_freq
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        model = LlamaForCausalLM(SHAPE)
    finally:
        torch.set_default_dtype(before)
    assert model.lm_head.weight.dtype == dtype and is_tied(model)
    assert model.model.rotary_emb.inv_freq.dtype == torch.float32
    assert torch.equal(model.model.rotary_emb.inv_freq, wanted)
    assert model(IDS).dtype == dtype


def test_frequencies_are_made_on_the_device_where_the_model_is_made(monkeypatch):
    """There is no second device here: the one of new tensors is asked for, and the frequencies are sent there."""
    sent = []
    to = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda x, *where, **how: sent.append(where) or to(x, *where, **how))
    LlamaModel(SHAPE)
    assert (torch.device("cpu"),) in sent


# --------------------------------------------------------------------------------------------- exported, vmapped


def test_export_gives_the_same_logits():
    model = made(YARN)
    program = torch.export.export(model, (IDS,))
    assert torch.equal(program.module()(IDS), model(IDS))


def test_a_batch_is_a_vmap_over_its_rows():
    model = made()
    parameters = dict(model.named_parameters())

    def row(ids):
        with torch.no_grad():
            return torch.func.functional_call(model, parameters, (ids[None],))[0]

    torch.testing.assert_close(torch.vmap(row)(IDS), model(IDS))


# ------------------------------------------------------------------------------------ other hands' linears and caches


class Wrapped(nn.Module):
    """A linear with nothing of a linear's but its call, as adapters and quantisers make it."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


def test_a_wrapped_linear_in_any_place_works_and_mistakes_are_still_told():
    model, plain = made(), made()
    for module in [*model.modules()]:
        for name, child in [*module.named_children()]:
            if isinstance(child, nn.Linear) and name != "lm_head":
                setattr(module, name, Wrapped(child))
    assert torch.equal(model(IDS), plain(IDS))
    assert torch.equal(model.generate(IDS, max_new_tokens=3), plain.generate(IDS, max_new_tokens=3))
    with pytest.raises(ValueError, match=r"x of LlamaAttention must be \(batch, seq, 42\)"):
        model.model.layers[0].self_attn(torch.zeros(5, 42))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_quantised_linears_work():
    if not torch.backends.quantized.supported_engines or torch.backends.quantized.engine == "none":
        pytest.skip("this build of PyTorch has no quantised kernels")
    model = made()
    quantised = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model.model), {nn.Linear}, dtype=torch.qint8)
    found, wanted = quantised(IDS), model.model(IDS)
    assert found.shape == wanted.shape and (found - wanted).square().mean() < 0.1 * wanted.square().mean()


class Window:
    """The keys and values of the last tokens alone; len() is still the position of the next one."""

    def __init__(self, width):
        self.width, self.seen, self.k, self.v = width, 0, None, None

    def __len__(self):
        return self.seen

    def update(self, k, v):
        k = k if self.k is None else torch.cat([self.k, k], dim=2)
        v = v if self.v is None else torch.cat([self.v, v], dim=2)
        self.seen += k.shape[2] - (0 if self.k is None else self.k.shape[2])
        self.k, self.v = k[:, :, -self.width :], v[:, :, -self.width :]
        return (k, v) if k.shape[2] <= self.width else (self.k, self.v)


@torch.no_grad()
def test_a_cache_that_keeps_a_window_is_attention_within_it():
    torch.manual_seed(0)
    attention, x = LlamaAttention(SHAPE).eval(), torch.randn(2, 13, 42)
    distance = torch.arange(13)[:, None] - torch.arange(13)
    wanted = attention(x, mask=(distance >= 0) & (distance < 4))
    cache = Window(4)
    found = torch.cat([attention(x[:, i : i + 1], cache=cache) for i in range(13)], dim=1)
    torch.testing.assert_close(found, wanted)


@torch.no_grad()
def test_a_mask_over_the_whole_text_fits_a_cache_that_keeps_a_window():
    model = made()
    real = torch.arange(11) >= torch.tensor([[4], [0]])
    caches = [Window(5) for _ in model.model.layers]
    for i in range(11):
        logits = model(IDS[:, i : i + 1], attention_mask=real[:, : i + 1], cache=caches)
    assert logits.isfinite().all() and {len(cache) for cache in caches} == {11}


# ------------------------------------------------------------------------------------------------ room in the cache


@torch.inference_mode()
def test_the_first_decoded_token_copies_nothing():
    model, caches = made(), make_cache(2)
    model(IDS, cache=caches)
    places = [(cache.k.data_ptr(), cache.v.data_ptr()) for cache in caches]
    model(IDS[:, :1], cache=caches)
    assert [(cache.k.data_ptr(), cache.v.data_ptr()) for cache in caches] == places


@torch.inference_mode()
def test_max_length_reserves_and_generate_passes_the_length_it_knows(monkeypatch):
    cache = KVCache(max_length=40)
    cache.update(torch.zeros(2, 3, 5, 10), torch.zeros(2, 3, 5, 10))
    assert cache.k.shape == cache.v.shape == (2, 3, 40, 10) and len(cache) == 5
    rooms = []
    init = KVCache.__init__
    monkeypatch.setattr(KVCache, "__init__", lambda self, room=None: rooms.append(room) or init(self, room))
    made().generate(IDS, max_new_tokens=7)
    assert rooms == [18, 18]


def test_where_gradients_flow_nothing_is_written_over():
    attention, x = LlamaAttention(SHAPE), torch.randn(2, 9, 42)
    wanted = torch.autograd.grad(attention(x).square().sum(), list(attention.parameters()))
    cache = KVCache()
    parts = [attention(part, cache=cache) for part in x.split([4, 1, 3, 1], dim=1)]
    found = torch.autograd.grad(torch.cat(parts, dim=1).square().sum(), list(attention.parameters()))
    for gradient, right in zip(found, wanted):
        torch.testing.assert_close(gradient, right)


# ------------------------------------------------------------------------------------------------------ in few lines


def test_a_forward_pass_executes_few_lines_of_the_package():
    from pathlib import Path

    import llama_tutorial

    package, lines, model = str(Path(llama_tutorial.__file__).parent), set(), made()
    model(IDS)

    def follow(frame, event, _):
        if not frame.f_code.co_filename.startswith(package):
            return None
        if event == "line":
            lines.add((frame.f_code.co_filename, frame.f_lineno))
        return follow

    before = sys.gettrace()
    sys.settrace(follow)
    try:
        model(IDS)
    finally:
        sys.settrace(before)
    assert 30 < len(lines) <= 50, sorted(lines)


def test_the_pieces_are_explained_alone_too():
    with pytest.raises(ValueError, match=r"x of LlamaRMSNorm must be \(\.\.\., 42\) with no empty axis, got \(2, 1\)"):
        LlamaRMSNorm(42)(torch.zeros(2, 1))
    with pytest.raises(TypeError, match="x of LlamaMLP must be a tensor of floats, got list"):
        LlamaMLP(SHAPE)([1.0] * 42)
