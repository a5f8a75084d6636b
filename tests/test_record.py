"""`viz.record` keeps what ran by name and changes no bit; `replace` changes one part; `explain` adds up."""

import gc
import re
import threading
import weakref

import pytest
import torch
import transformers
from torch import nn
from torch.overrides import _get_current_function_mode_stack

from llama_tutorial import LlamaConfig, LlamaDecoderLayer, LlamaForCausalLM
from llama_tutorial import attention as ours
from llama_tutorial.viz import explain, record
from llama_tutorial.viz.patterns import tap
from llama_tutorial.viz.patterns.record import NotRecorded

SHAPE = dict(vocab_size=31, hidden_size=24, intermediate_size=37, num_attention_heads=6, num_key_value_heads=2,
             num_hidden_layers=2, rms_norm_eps=1e-5,
             tie_word_embeddings=True)  # fmt: skip
ALL = {"embed_tokens", "norm.in", "norm", "lm_head"} | {
    f"layers.{layer}.{part}"
    for layer in range(2)
    for part in ("input_layernorm.in", "input_layernorm", "queries", "keys", "values", "scores", "probs", "heads",
                 "self_attn", "after_attention", "post_attention_layernorm.in", "post_attention_layernorm", "gates",
                 "mlp", "after_mlp")
}  # fmt: skip


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE)).eval()
    for weight in model.parameters():
        weight.data.mul_(4)  # attention that is not flat
    return model


@pytest.fixture
def published():
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE, max_position_embeddings=64)).eval()


@pytest.fixture
def ids():
    return torch.randint(0, 31, (3, 7), generator=torch.Generator().manual_seed(1))


def hooks(model):
    return sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in model.modules())


def test_everything_is_kept_by_name_and_no_bit_changes(model, ids):
    before = hooks(model)
    plain = model(ids)
    plain.sum().backward()
    grads = [each.grad.clone() for each in model.parameters()]
    model.zero_grad()
    with record(model) as trace:
        again = model(ids)
    again.sum().backward()
    assert torch.equal(plain, again) and set(trace) == ALL
    assert all(torch.equal(each.grad, grad) for each, grad in zip(model.parameters(), grads))
    assert hooks(model) == before and _get_current_function_mode_stack() == []
    assert trace.proof < 1e-6
    assert not any(value.requires_grad for value in trace.values())


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_published_model_has_the_same_names_with_the_same_values(published, model, ids, implementation):
    model.load_state_dict(published.state_dict())
    published.set_attn_implementation(implementation)
    plain = published(ids).logits
    with record(published) as theirs:
        again = published(ids).logits
    with record(model) as mine:
        model(ids)
    assert torch.equal(plain, again) and set(theirs) == ALL
    for name in ALL:
        a, b = mine[name], theirs[name]
        if a.shape != b.shape:  # their keys are copied for every head of a group
            a = a.repeat_interleave(3, dim=1)
        hidden = torch.isfinite(a) if name.endswith("scores") else torch.ones_like(a, dtype=torch.bool)
        torch.testing.assert_close(a[hidden], b[hidden], atol=1e-5, rtol=1e-4, msg=name)


def test_attention_written_by_hand_is_heard_too(model, ids, monkeypatch):
    with record(model) as kernel:
        model(ids)
    monkeypatch.setattr(ours, "attend", ours.attend_by_hand)
    plain = model(ids)
    with record(model) as trace:
        again = model(ids)
    assert torch.equal(plain, again) and set(trace) == ALL
    for part in ("queries", "keys", "values", "probs", "heads"):
        torch.testing.assert_close(trace[part], kernel[part], atol=1e-5, rtol=1e-4)
    with torch.no_grad(), trace.replace("layers.1.heads.3", 0), record(model, "heads") as cut:
        model(ids)
    assert cut["layers.1.heads.3"].abs().max() == 0 < cut["layers.1.heads.2"].abs().max()


def test_probabilities_are_those_of_the_formula(model, ids):
    with record(model) as trace:
        model(ids)
    q, k, v = trace["layers.0.queries"], trace["layers.0.keys"], trace["layers.0.values"]
    k, v = (each.repeat_interleave(3, dim=1) for each in (k, v))
    scores = q @ k.mT / 2
    hidden = torch.ones(7, 7, dtype=torch.bool).triu(1)
    torch.testing.assert_close(trace["layers.0.scores"][:, :, ~hidden], scores[:, :, ~hidden])
    assert (trace["layers.0.scores"][:, :, hidden] == -torch.inf).all()
    probs = scores.masked_fill(hidden, -torch.inf).softmax(-1)
    torch.testing.assert_close(trace["layers.0.probs"], probs)
    torch.testing.assert_close(trace["layers.0.heads"], probs @ v)
    assert trace["probs"].shape == (2, 3, 6, 7, 7) and trace["layers.0.heads.4"].shape == (3, 7, 4)
    assert torch.equal(trace["layers.0.after_attention"], trace["embed_tokens"] + trace["layers.0.self_attn"])
    assert torch.equal(trace["layers.1.after_mlp"], trace["norm.in"])


def test_only_what_was_asked_for_is_kept(model, ids):
    with record(model, "scores", layers=[0]) as trace:
        model(ids)
    assert list(trace) == ["layers.0.scores"] and trace.proof is None
    with record(model, "q_proj", "layers.1.mlp") as trace:
        model(ids)
    assert set(trace) == {"layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj", "layers.1.mlp"}
    with record(model) as trace:
        model(ids)
    kept, of = weakref.ref(trace["norm"]), weakref.ref(model.model.norm)
    del trace, model
    gc.collect()
    assert kept() is None and (of() is None or not vars(tap._THREAD)["ears"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_generation_is_a_run_for_each_token(model, ids, dtype):
    model.to(dtype)
    plain = model.generate(ids[:1], max_new_tokens=5)
    with record(model) as trace:
        assert torch.equal(model.generate(ids[:1], max_new_tokens=5), plain)
    assert len(trace.runs) == 5 and trace.proof < (1e-5 if dtype == torch.float32 else 0.1)
    for step in range(1, 5):
        assert trace.of_run(step, "layers.0.scores").shape == (1, 6, 1, 7 + step)
        assert trace.of_run(step, "layers.0.heads").shape == (1, 6, 1, 4)
    with record(model) as whole, torch.no_grad():
        model(plain[:, :-1])
    tolerance = dict(atol=1e-5, rtol=1e-4) if dtype == torch.float32 else dict(atol=0.1, rtol=0.1)
    torch.testing.assert_close(trace["layers.1.probs"][0, :, 0], whole["layers.1.probs"][0, :, -1], **tolerance)


def test_names_are_told(model, ids):
    with record(model) as trace:
        assert repr(trace) == "nothing was recorded: call the model inside the with block"
        with pytest.raises(NotRecorded, match="call the model inside the with block"):
            trace["probs"]
        model(ids)
    for wrong, right in (("prob", "probs"), ("layers.0.mpl", "layers.0.mlp"), ("layer.1.scores", "layers.1.scores")):
        with pytest.raises(NotRecorded, match=f"the nearest name is '{re.escape(right)}'"):
            trace[wrong]
        with pytest.raises(NotRecorded, match=right), trace.replace(wrong, 0):
            pass
    with pytest.raises(NotRecorded, match="heads 0 to 5"):
        trace["layers.0.heads.6"]
    with pytest.raises(TypeError, match=r"torch.nn.Module"), record("model"):
        pass
    table, page = repr(trace), trace._repr_html_()
    assert "layers.0…1.scores" in table and "batch head query key" in table and "3 × 6 × 7 × 7" in table
    assert "probs · values is what attention gave out" in table and "<table>" in page and "batch kv key dim" in page


PARTS = ["layers.1.heads.3", "layers.0.heads", "layers.0.mlp", "layers.1.self_attn", "layers.0.after_attention",
         "layers.0.after_mlp", "layers.1.gates", "layers.0.queries.2", "layers.1.keys", "layers.0.input_layernorm",
         "layers.0.post_attention_layernorm.in", "norm.in", "embed_tokens", "lm_head"]  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("part", PARTS)
def test_a_part_replaced_by_itself_changes_no_bit_and_by_zero_does(model, ids, part):
    plain = model(ids)
    with record(model) as trace:
        model(ids)
    with trace.replace(part, trace):
        assert torch.equal(model(ids), plain)
    with trace.replace(part, 0), record(model) as cut:
        changed = model(ids)
    assert cut[part].abs().max() == 0 and not torch.equal(changed, plain)
    assert torch.equal(model(ids), plain) and hooks(model) == 0


@torch.no_grad()
def test_what_replaces(model, ids):
    plain = model(ids)
    with record(model) as trace:
        model(ids)
    with record(model) as other:
        model(ids.flip(0))
    with trace.replace({"layers.0.heads.1": other, "mlp": lambda x: 2 * x}), record(model) as seen:
        model(ids)
    assert torch.equal(seen["layers.0.heads.1"], other["layers.0.heads.1"])
    assert torch.equal(seen["layers.0.heads.2"], trace["layers.0.heads.2"])
    with trace.replace("layers.1.heads.3", "mean"), record(model) as seen:
        model(ids)
    mean = trace["layers.1.heads.3"].mean((0, 1))
    torch.testing.assert_close(seen["layers.1.heads.3"], mean.expand(3, 7, 4))
    with trace.replace("layers.1.heads", "mean"), record(model) as seen:
        model(ids)
    torch.testing.assert_close(seen["layers.1.heads.3"], mean.expand(3, 7, 4))
    with trace.replace("layers.0.probs", trace):  # computed by hand from here on
        torch.testing.assert_close(model(ids), plain, atol=1e-5, rtol=1e-5)
    uniform = torch.full((7, 7), 1.0).tril() / torch.arange(1, 8.0)[:, None]
    with trace.replace("probs", uniform), record(model, "probs", "heads", "values") as seen:
        model(ids)
    torch.testing.assert_close(seen["layers.0.heads"], uniform @ seen["layers.0.values"].repeat_interleave(3, 1))
    with trace.replace("scores", 0), record(model, "probs") as seen:
        model(ids)
    torch.testing.assert_close(seen["probs"], torch.full_like(seen["probs"], 1 / 7))
    # by the ablation of all: the stream is the embedding
    with trace.replace({"self_attn": 0, "mlp": 0}), record(model, "norm.in", "embed_tokens") as seen:
        model(ids)
    assert torch.equal(seen["norm.in"], seen["embed_tokens"])


@torch.no_grad()
def test_a_replacement_holds_under_generation(model, ids):
    with record(model) as trace:
        model(ids[:1])
    with trace.replace("layers.1.heads.0", 0), record(model, "heads") as seen:
        model.generate(ids[:1], max_new_tokens=3)
    assert len(seen.runs) == 3
    assert all(run["layers.1.heads"][:, 0].abs().max() == 0 < run["layers.1.heads"][:, 1].abs().max()
               for run in seen.runs)  # fmt: skip


def test_wrong_replacements_are_refused(model, ids):
    with record(model) as trace:
        model(ids)
    for value, told in (("median", "'mean'"), ([1], "got list"), (None, "got NoneType")):
        with pytest.raises(ValueError, match=told), trace.replace("layers.0.mlp", value):
            pass
    with pytest.raises(ValueError, match=r"\(3, 7, 24\).*\(5,\)"), trace.replace("layers.0.mlp", torch.ones(5)):
        model(ids)
    with pytest.raises(ValueError, match="look at later ones"), trace.replace("layers.0.probs", "mean"):
        pass
    with pytest.raises(ValueError, match="was replaced by nothing"), trace.replace("layers.0.mlp", 0):
        pass
    assert hooks(model) == 0 and _get_current_function_mode_stack() == []


def test_an_exception_leaves_nothing_behind(model, ids):
    with pytest.raises(ValueError), record(model) as trace:  # noqa: PT011
        model(ids[0])
    assert hooks(model) == 0 and _get_current_function_mode_stack() == []
    with pytest.raises(ZeroDivisionError), trace_of(model, ids).replace("layers.0.mlp", lambda x: 1 / 0):
        model(ids)
    assert hooks(model) == 0 and _get_current_function_mode_stack() == []
    with record(model) as trace:
        model(ids)
    assert set(trace) == ALL


def trace_of(model, ids):
    with record(model) as trace:
        model(ids)
    return trace


def test_threads_do_not_hear_each_other(model, ids):
    """While one thread records, another runs the same model, and a third records a text of its own."""
    plain, kept, go = model(ids), {}, threading.Barrier(3)

    def recorder(name, text):
        with record(model) as trace:
            go.wait()
            for _ in range(5):
                model(text)
        kept[name] = trace

    def runner():
        go.wait()
        for _ in range(5):
            assert torch.equal(model(ids), plain)

    threads = [threading.Thread(target=recorder, args=each) for each in (("a", ids), ("b", ids[:1]))]
    threads.append(threading.Thread(target=runner))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sizes = {name: (len(trace.runs), trace["norm"].shape[0]) for name, trace in kept.items()}
    assert sizes == {"a": (5, 3), "b": (5, 1)}
    assert all(set(run) == ALL for trace in kept.values() for run in trace.runs) and hooks(model) == 0


def test_a_part_alone_and_a_model_without_mlps(model, ids):
    x = torch.randn(2, 5, 24, generator=torch.Generator().manual_seed(3))
    layer = LlamaDecoderLayer(LlamaConfig(**SHAPE))
    with record(layer) as trace:
        layer(x)
    assert {"scores", "heads", "gates", "after_attention", "after_mlp", "mlp"} <= set(trace)
    assert torch.equal(trace["after_attention"], x + trace["self_attn"])
    with record(layer.self_attn) as trace:
        layer.self_attn(x)
    assert trace["probs"].shape == (2, 6, 5, 5)

    class Nothing(nn.Module):
        def forward(self, x):
            return torch.zeros_like(x)

    for each in model.model.layers:
        each.mlp = Nothing()
    with record(model) as trace:
        model(ids)
    assert "layers.0.gates" not in trace and torch.equal(trace["layers.0.after_attention"], trace["layers.0.after_mlp"])


def test_explain_adds_up(model, ids):
    with record(model) as trace:
        model(ids)
    words = "a b c d e f g".split()
    fig = explain(trace, "scores", layer=1, head=4, query=5, key=2, words=words)
    q, k = trace["layers.1.queries"][0, 4, 5], trace["layers.1.keys"][0, 1, 2]
    total, score, prob = float(q @ k), float(trace["layers.1.scores"][0, 4, 5, 2]), trace["layers.1.probs"][0, 4, 5, 2]
    told = fig.alt.replace("−", "-")
    assert "“f” asks and “c” answers" in told and f"sums to {total:.2f}" in told
    assert f"divided by √4 {score:.2f}" in told and f"{100 * prob:.1f} % of the attention" in told
    pairs = (q * k).reshape(2, -1).sum(0)
    assert all(f"pair {i} {value:+.2f}" in told for i, value in enumerate(pairs.tolist()))
    with pytest.raises(ValueError, match="comes after"):
        explain(trace, "scores", layer=0, query=2, key=5, words=words)
    with pytest.raises(ValueError, match="there are 6"):
        explain(trace, "scores", head=6)
    with pytest.raises(ValueError, match="'scores' and 'probs'"):
        explain(trace, "gates")
    with pytest.raises(ValueError, match="7 keys"):
        explain(trace, "scores", words=["a"])
    with pytest.raises(NotRecorded, match="no 'layers.9.queries' was recorded; the nearest name is 'layers"):
        explain(trace, "scores", layer=9)
    with record(model.model.layers[0].self_attn) as alone:
        model(ids)
    assert "“5” asks and “2” answers" in explain(alone, "scores", head=4, query=5, key=2).alt
