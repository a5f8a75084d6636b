"""What PyTorch would pass over in silence, and what we say instead; docs/silent_mistakes.md lists the same names.

Each case has two halves: the bare computation, which must give numbers without a word (else nothing of ours is needed),
and the call at our door, which must refuse.
"""

import math
import re

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Shaped
from torch.utils._python_dispatch import TorchDispatchMode

from llama_tutorial import (
    KVCache,
    LlamaAttention,
    LlamaConfig,
    LlamaDecoderLayer,
    LlamaForCausalLM,
    LlamaMLP,
    LlamaRMSNorm,
    LlamaRotaryEmbedding,
)
from llama_tutorial.causal_lm import next_token_loss
from llama_tutorial.generation import stream
from llama_tutorial.kv_cache import make_cache
from llama_tutorial.rotary import rotary_frequencies
from llama_tutorial.sampling import sample

SHAPE = {
    "vocab_size": 61, "hidden_size": 42, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 6,
    "num_key_value_heads": 3, "head_dim": 10,
}  # fmt: skip
torch.manual_seed(0)
MODEL, ATTENTION, ROTARY = LlamaForCausalLM(SHAPE).eval(), LlamaAttention(SHAPE), LlamaRotaryEmbedding(10)
IDS, X, HEAD = torch.arange(10).view(2, 5), torch.randn(2, 5, 42), torch.randn(2, 5, 10)
Q = torch.randn(2, 6, 5, 10)
DYNAMIC = LlamaForCausalLM({**SHAPE, "max_position_embeddings": 4,
                            "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}).eval()  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}  # fmt: skip
WHOLE = torch.ones(2, 5, dtype=torch.long)


def filled(batch=2, dtype=torch.float32, then=None):
    """A cache with room, and what it does with a second update."""
    cache = KVCache()
    cache.update(torch.zeros(batch, 3, 4, 10, dtype=dtype), torch.zeros(batch, 3, 4, 10, dtype=dtype))
    return cache if then is None else cache.update(*then)


def into_room(new):
    """What writing into a larger tensor does with another batch or dtype."""
    room = torch.zeros(2, 3, 8, 10)
    room[:, :, 4:5] = new
    return room


def nan_model():
    model = LlamaForCausalLM(SHAPE).eval()
    with torch.no_grad():
        model.model.norm.weight.fill_(math.nan)
    return model


def one(*shape, **how):
    return torch.ones(*shape, **how)


# name: what PyTorch makes of it, the call at our door, the error, words of its message
SILENT = {
    # settings
    "an odd width to turn": (
        lambda: 1.0 / 10000.0 ** (torch.arange(0, 7, 2).float() / 7),
        lambda: LlamaRotaryEmbedding(7), ValueError, "dim must be even, got 7"),
    "a base that is not positive": (
        lambda: 1.0 / torch.tensor(-10.0) ** torch.arange(0, 4, 2),
        lambda: rotary_frequencies(8, -10.0), ValueError, "theta must lie in (0, ∞), got -10.0"),
    "a negative eps": (
        lambda: F.rms_norm(X, (42,), eps=-1e-5),
        lambda: LlamaRMSNorm(42, -1e-5), ValueError, "eps must lie in [0, ∞), got -1e-05"),
    "scaling bounds that leave nothing between them": (
        lambda: (torch.arange(5.0) - 4.0) / (4.0 - torch.tensor(4.0)),
        lambda: LlamaAttention({**SHAPE, "rope_scaling": LLAMA3}), ValueError, "low_freq_factor < high_freq_factor"),
    "heads that are no multiple of the key-value heads": (
        lambda: (torch.zeros(9 // 2 * 2 * 8), 9 % 2),
        lambda: LlamaConfig(num_attention_heads=9, num_key_value_heads=2), ValueError, "multiple"),
    "a switch that is a number": (
        lambda: torch.nn.Linear(3, 3, bias=1)(one(3)),
        lambda: LlamaConfig(attention_bias=1), TypeError, "attention_bias must be True or False, got 1"),
    # vectors
    "an empty text": (
        lambda: F.linear(X[:, :0], ATTENTION.q_proj.weight),
        lambda: LlamaMLP(SHAPE)(X[:, :0]), ValueError, "no empty axis, got (2, 0, 42)"),
    "whole numbers to turn": (
        lambda: torch.arange(10).view(1, 10) * ROTARY.angles(torch.arange(1))[0].long().repeat(1, 2),
        lambda: ROTARY(torch.arange(50).view(1, 5, 10)), TypeError, "must be a tensor of floats, got torch.int64"),
    # positions and rotations
    "positions of one token for all": (
        lambda: HEAD * ROTARY.angles(torch.tensor([3]))[0].repeat(1, 2),
        lambda: ROTARY(HEAD, torch.tensor([3])), ValueError, "positions must be (5,)"),
    "positions that are true or false": (
        lambda: torch.ones(5, dtype=torch.bool).float(),
        lambda: ROTARY(HEAD, torch.ones(5, dtype=torch.bool)), TypeError, "got torch.bool"),
    "fractions for a model's positions": (
        lambda: (torch.arange(5) / 2).float(),
        lambda: MODEL(IDS, positions=torch.arange(5) / 2), TypeError, "positions must be a tensor of integers"),
    "negative positions": (
        lambda: ROTARY.angles(torch.tensor([-2, -1])),
        lambda: MODEL(IDS, positions=torch.arange(5) - 2), ValueError, "positions must not be negative, got -2"),
    "a rotation of one token for all": (
        lambda: Q * one(1, 10),
        lambda: ATTENTION(X, rotation=(one(1, 5), one(1, 5))), ValueError, "each part of rotation must be (5, 5)"),
    "a text beyond the length of dynamic scaling": (
        lambda: torch.cat([ROTARY.angles(torch.arange(4))[0], ROTARY.angles(torch.arange(4, 5) / 2)[0]]),
        lambda: DYNAMIC(IDS[:1]), ValueError, "at most max_position_embeddings = 4 tokens"),
    # masks
    "a mask of floats": (
        lambda: F.scaled_dot_product_attention(Q, Q, Q, attn_mask=one(5, 5)),
        lambda: ATTENTION(X, mask=one(5, 5)), TypeError, "mask must be a tensor of bool"),
    "an attention_mask of floats": (
        lambda: one(2, 5).bool(),
        lambda: MODEL(IDS, one(2, 5)), TypeError, "attention_mask (batch, past + seq) must be a tensor of bool or 0/1"),
    "an attention_mask of one row": (
        lambda: WHOLE[:1].bool() & one(2, 5).bool(),
        lambda: MODEL(IDS, WHOLE[:1]), ValueError, "must be (2, 5)"),
    "an attention_mask of one token": (
        lambda: WHOLE[:, :1].bool() & one(2, 5).bool(),
        lambda: MODEL(IDS, WHOLE[:, :1]), ValueError, "must be (2, 5)"),
    # caches
    "too few caches": (
        lambda: torch.stack([x for x, _ in zip([one(3), one(3)], [KVCache()])]),
        lambda: MODEL(IDS, cache=make_cache(1)), ValueError, "one cache per layer"),
    "one cache for two layers": (
        lambda: filled(then=(one(2, 3, 4, 10), one(2, 3, 4, 10))),
        lambda: MODEL(IDS, cache=[KVCache()] * 2), ValueError, "one cache per layer"),
    "caches of different lengths": (
        lambda: filled(),
        lambda: MODEL(IDS, cache=[filled(), KVCache()]), ValueError, "must hold the same tokens, got [4, 0]"),
    "one row for the cache of two": (
        lambda: into_room(one(1, 3, 1, 10)),
        lambda: filled(then=(one(1, 3, 1, 10), one(1, 3, 1, 10))), ValueError, "must be (2, 3, new, 10)"),
    "another dtype for the cache": (
        lambda: into_room(one(2, 3, 1, 10, dtype=torch.bfloat16)),
        lambda: filled(then=(one(2, 3, 1, 10).bfloat16(),) * 2), TypeError, "the cache holds torch.float32"),
    "values of one token beside keys of two": (
        lambda: into_room(one(2, 3, 1, 10)),
        lambda: filled(then=(one(2, 3, 2, 10), one(2, 3, 1, 10))), ValueError, "v, beside k, must be (2, 3, 2, 10)"),
    # ids and losses
    "ids of floats": (
        lambda: F.embedding((IDS + 0.5).long(), one(61, 3)),
        lambda: MODEL(IDS + 0.5), TypeError, "input_ids must be a tensor of integers, got torch.float32"),
    "a target of −100": (
        lambda: F.cross_entropy(one(3, 7), torch.tensor([1, -100, 2])),
        lambda: next_token_loss(one(1, 3, 7), torch.tensor([[1, -100, 2]])), ValueError, "0 … 6, got -100"),
    "logits and ids of as many places in other rows": (
        lambda: F.cross_entropy(one(2, 3, 7).reshape(6, 7), torch.zeros(3, 2).long().reshape(6)),
        lambda: next_token_loss(one(2, 3, 7), torch.zeros(3, 2).long()), ValueError, "(2, 3, 7) and (3, 2)"),
    "a text of one token": (
        lambda: F.cross_entropy(one(0, 7), torch.zeros(0).long()),
        lambda: next_token_loss(one(1, 1, 7), torch.zeros(1, 1).long()), ValueError, "seq ≥ 2"),
    # generation
    "padding on the right": (
        lambda: MODEL(IDS, torch.tensor([[1, 1, 1, 1, 0]] * 2))[:, -1],
        lambda: MODEL.generate(IDS, 1, attention_mask=torch.tensor([[1, 1, 1, 1, 0]] * 2)), ValueError, "on the left"),
    "logits that are no numbers, at temperature 0": (
        lambda: torch.full((2, 7), math.nan).argmax(-1).float(),
        lambda: sample(torch.full((2, 7), math.nan), 0.0), ValueError, "must be a number, got [nan, nan]"),
    "a model that gives no numbers": (
        lambda: nan_model()(IDS)[:, -1].argmax(-1).float(),
        lambda: nan_model().generate(IDS, 3), ValueError, "look at the model"),
    "a top_k of True": (
        lambda: one(2, 7)[:, -True:],
        lambda: sample(one(2, 7), top_k=True), TypeError, "top_k must be a whole number"),
    "a share above 1": (
        lambda: one(2, 7).softmax(-1).cumsum(-1) <= 1.1,
        lambda: sample(one(2, 7), top_p=1.1), ValueError, "top_p must lie in (0, 1], got 1.1"),
    "an end that no token has": (
        lambda: torch.isin(IDS, torch.tensor([61])).float(),
        lambda: MODEL.generate(IDS, 3, eos_token_id=61), ValueError, "eos_token_id must lie in [0, 61), got 61"),
}  # fmt: skip


@pytest.mark.parametrize("name", SILENT)
def test_pytorch_is_silent_and_we_are_not(name):
    plain, call, kind, words = SILENT[name]
    plain()  # gives something, and no error
    with pytest.raises(kind, match=re.escape(words)):
        call()


def test_the_page_lists_these_and_no_others(root):
    page = (root / "docs" / "silent_mistakes.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")][1:]
    assert sorted(rows) == sorted([*SILENT, BEYOND])


# ------------------------------------------------------------------------------------------------ on another device

BEYOND = "an id outside the vocabulary, on a GPU"


class Elsewhere(torch.Tensor):
    """Ids that say they are on a GPU: there an embedding would not complain, but end the process later."""

    device = torch.device("cuda")
    is_cuda = True


@pytest.mark.parametrize("bad", [61, -1])
def test_ids_are_looked_at_before_the_embedding_reads_them(bad, monkeypatch):
    """The door speaks first, wherever the ids are: the embedding is not asked. (On the CPU it would raise itself.)"""
    asked = []
    monkeypatch.setattr(MODEL.model.embed_tokens, "forward", lambda ids: asked.append(ids))
    here = IDS.clone()
    here[1, 2] = bad
    for ids in (here, here.as_subclass(Elsewhere)):
        for door in (MODEL, MODEL.model, lambda ids: MODEL.generate(ids, 2)):
            with pytest.raises(ValueError, match=f"input_ids must lie in 0 … 60, got {bad}"):
                door(ids)
    assert asked == []


def test_what_the_model_wrote_is_not_looked_at_again(monkeypatch):
    """One look at the prompt, and none for each token: on a GPU each would wait for the device."""
    from llama_tutorial.doors import checks

    looks, check = [], checks.check_ids
    monkeypatch.setattr(checks, "check_ids", lambda *given: looks.append(given) or check(*given))
    MODEL.generate(IDS, 5)
    assert looks == []
    MODEL(IDS)
    assert len(looks) == 1


# ------------------------------------------------------------------------------------------------ dynamic scaling

ROOM = torch.arange(7)[None]
PADDED = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1, 1]])  # 7 columns, at most 4 tokens
SHORT = torch.tensor([[0, 0, 0, 1, 1], [0, 0, 0, 0, 1]])  # 5 columns, at most 2 tokens
FULL = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1, 1]])  # a row of 5 tokens


def after(past, seq, **how):
    """Reads `past` tokens into a cache, then `seq` more."""
    cache = make_cache(2)
    DYNAMIC(ROOM[:, :past], cache=cache)
    return DYNAMIC(ROOM[:, past : past + seq], cache=cache, **how)


# what is read, within the 4 tokens; what is refused, and the words about what was given
REACH = {
    "at once": (lambda: DYNAMIC(ROOM[:, :4]), lambda: DYNAMIC(ROOM[:, :5]), "got 5:"),
    "without a head": (lambda: DYNAMIC.model(ROOM[:, :4]), lambda: DYNAMIC.model(ROOM[:, :5]), "got 5:"),
    "one more after a cache": (lambda: after(3, 1), lambda: after(4, 1), "got 5:"),
    "two after a cache": (lambda: after(2, 2), lambda: after(3, 2), "got 5:"),
    "padded": (
        lambda: DYNAMIC(ROOM.repeat(2, 1), PADDED), lambda: DYNAMIC(ROOM.repeat(2, 1), FULL), "got one at position 4"),
    "padded, by bool": (
        lambda: DYNAMIC(ROOM.repeat(2, 1), PADDED.bool()), lambda: DYNAMIC(ROOM.repeat(2, 1), FULL.bool()),
        "got one at position 4"),
    "padded, after a cache": (
        lambda: after(3, 4, attention_mask=PADDED[:1]), lambda: after(3, 4, attention_mask=FULL[:1]),
        "got one at position 4"),
    "given positions": (
        lambda: DYNAMIC(ROOM[:, :2], positions=torch.tensor([2, 3])),
        lambda: DYNAMIC(ROOM[:, :2], positions=torch.tensor([3, 4])), "got one at position 4, counted from 0"),
    "positions of two packed texts": (
        lambda: DYNAMIC(ROOM, positions=torch.tensor([[0, 1, 2, 0, 1, 2, 3]])),
        lambda: DYNAMIC(ROOM, positions=torch.tensor([[0, 1, 0, 1, 2, 3, 4]])), "got one at position 4"),
    "generate": (
        lambda: DYNAMIC.generate(ROOM[:, :1], 3), lambda: DYNAMIC.generate(ROOM[:, :1], 4),
        "the prompt has 1 and leaves room for 3 more, got max_new_tokens=4:"),
    "generate, as many as usual": (
        lambda: DYNAMIC.generate(ROOM[:, :4], 0), lambda: DYNAMIC.generate(ROOM[:, :2]),
        "the prompt has 2 and leaves room for 2 more, got max_new_tokens=50:"),
    "generate without a cache": (
        lambda: DYNAMIC.generate(ROOM[:, :3], 1, use_cache=False),
        lambda: DYNAMIC.generate(ROOM[:, :3], 2, use_cache=False), "leaves room for 1 more, got max_new_tokens=2:"),
    "generate after too long a prompt": (
        lambda: DYNAMIC.generate(ROOM[:, :4], 0), lambda: DYNAMIC.generate(ROOM, 1), "leaves room for 0 more"),
    "generate, padded": (
        lambda: DYNAMIC.generate(ROOM[:, :5].repeat(2, 1), 2, attention_mask=SHORT),
        lambda: DYNAMIC.generate(ROOM.repeat(2, 1), 1, attention_mask=PADDED),
        "the prompt has 4 and leaves room for 0 more"),
    "stream": (
        lambda: list(stream(DYNAMIC, ROOM[:, :2], 2)), lambda: stream(DYNAMIC, ROOM[:, :2], 3),
        "leaves room for 2 more, got max_new_tokens=3:"),
}  # fmt: skip


@pytest.mark.parametrize("door", REACH)
def test_dynamic_scaling_reads_to_its_length_and_not_one_token_more(door, monkeypatch):
    within, beyond, words = REACH[door]
    within()
    asked = []
    look_up = DYNAMIC.model.embed_tokens.forward
    monkeypatch.setattr(DYNAMIC.model.embed_tokens, "forward", lambda ids: asked.append(ids.shape[1]) or look_up(ids))
    with pytest.raises(ValueError, match="a config whose rope_scaling is yarn or linear") as refused:
        beyond()
    assert words in str(refused.value)
    assert asked in ([], [3], [4])  # nothing but what a cache was given before


class Waits(TorchDispatchMode):
    """Counts how often Python asks a tensor for its number: on a GPU each waits for all that it still computes."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def waits(call):
    with Waits() as mode:
        call()
    return mode.count


def test_where_lengths_settle_it_no_tensor_is_asked():
    plain = LlamaForCausalLM({**SHAPE, "max_position_embeddings": 4}).eval()
    real = torch.tensor([[0, 1, 1]])
    for call in (
        lambda model: model(ROOM[:, :4]),
        lambda model: model(ROOM[:, :3], real),
        lambda model: model(ROOM[:, :3], cache=make_cache(2)),
        lambda model: model.generate(ROOM[:, :3], 1, attention_mask=real),
    ):
        assert waits(lambda: call(DYNAMIC)) == waits(lambda: call(plain)) > 0  # noqa: B023
    assert waits(lambda: DYNAMIC(ROOM, PADDED[:1])) == waits(lambda: plain(ROOM, PADDED[:1])) + 1


def test_a_compiled_model_refuses_it_too_and_what_it_cannot_see():
    torch.compiler.reset()
    model = LlamaForCausalLM({**DYNAMIC.config, "num_hidden_layers": 1})
    graph, broken = (torch.compile(model, fullgraph=whole, backend="eager") for whole in (True, False))
    torch.testing.assert_close(graph(ROOM[:, :4]), model(ROOM[:, :4]))
    torch.testing.assert_close(graph(ROOM[:, :4], PADDED[:1, 3:]), model(ROOM[:, :4]))
    far = (ROOM[:, :2], None, torch.tensor([3, 4]))
    for given in [(ROOM[:, :5],), (ROOM, PADDED[:1]), (ROOM, FULL[:1]), far]:
        with pytest.raises(torch._dynamo.exc.Unsupported, match="max_position_embeddings = 4 tokens"):
            graph(*given)
    for given in [(ROOM[:, :5],), (ROOM, FULL[:1]), far]:
        with pytest.raises(ValueError, match="max_position_embeddings = 4 tokens"):
            broken(*given)
    torch.testing.assert_close(broken(ROOM, PADDED[:1]), model(ROOM, PADDED[:1]))  # runs uncompiled, and is seen
    torch.compiler.reset()


def test_on_the_meta_device_lengths_are_refused_and_nothing_is_asked():
    with torch.device("meta"):
        model, ids, far = LlamaForCausalLM(DYNAMIC.config), torch.arange(7)[None], torch.arange(9, 11)
    assert model(ids[:, :4]).shape == (1, 4, 61) and model(ids, PADDED[:1].to("meta")).shape == (1, 7, 61)
    assert model(ids[:, :2], positions=far).shape == (1, 2, 61)
    with pytest.raises(ValueError, match="got 5:"):
        model(ids[:, :5])


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_under_vmap_what_cannot_be_seen_is_refused():
    ids, real = ROOM.expand(3, 1, 7), PADDED[:1].expand(3, 1, 7)
    assert torch.vmap(DYNAMIC)(ids[..., :4]).shape == (3, 1, 4, 61)
    for call in (lambda: torch.vmap(DYNAMIC)(ids[..., :5]), lambda: torch.vmap(DYNAMIC)(ids, real)):
        with pytest.raises(ValueError, match="max_position_embeddings = 4 tokens"):
            call()


def test_alone_rotary_embedding_and_attention_turn_by_dynamic_scaling_as_by_none():
    scaling = {"rope_type": "dynamic", "factor": 2.0}
    far = torch.tensor([0, 3, 4, 5, 99999])
    assert torch.equal(LlamaRotaryEmbedding(10, scaling=scaling)(HEAD, far), ROTARY(HEAD, far))
    alone = LlamaAttention(DYNAMIC.config)
    alone.load_state_dict(ATTENTION.state_dict())
    assert torch.equal(alone(X), ATTENTION(X))


# ------------------------------------------------------------------------------------------------ after the fact


def test_where_nothing_is_wrong_with_the_arguments_the_error_passes_as_it_came():
    class Broken(LlamaMLP):
        def forward(self, x):
            return x @ torch.ones(3, 3)

    class Bug(LlamaMLP):
        def forward(self, x):
            raise KeyError("mine")

    with pytest.raises(RuntimeError, match="mat1 and mat2|shapes cannot be multiplied") as caught:
        Broken(SHAPE)(X)
    assert caught.traceback[-1].name == "forward"  # it says the line in which it happened
    with pytest.raises(KeyError, match="mine"):
        Bug(SHAPE)(X)


@pytest.mark.parametrize(
    "hint",
    [
        Float[torch.Tensor, "batch ... hidden"], Shaped[torch.Tensor, "batch"], Float[torch.Tensor, "#batch 2*seq 7"],
        Int64[torch.Tensor, "batch"] | None, Float[torch.Tensor, ""], "Float[Tensor, 'batch']", torch.Tensor | None,
        list[torch.Tensor], Float[torch.Tensor, "..."], None, int,
    ],
    ids=str,
)  # fmt: skip
def test_annotations_of_other_hands_blame_nothing(hint):
    """What a signature says in words that are not read here is passed over, and the error goes as it came."""

    def forward(self, x: hint):
        return x @ torch.ones(3, 3)

    theirs = type("Theirs", (LlamaMLP,), {"forward": forward})
    with pytest.raises(RuntimeError, match="mat1 and mat2|shapes cannot be multiplied"):
        theirs(SHAPE)(torch.randn(2, 7, 42) if "2*seq" in str(hint) else X)


def test_a_missing_argument_is_pythons_own_business():
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        LlamaMLP(SHAPE)()


def test_the_outermost_call_that_was_given_something_wrong_speaks():
    with pytest.raises(ValueError, match=r"^input_ids must be \(batch, seq\) with no empty axis, got \(5,\)"):
        MODEL(torch.arange(5))
    with pytest.raises(ValueError, match=r"^x of LlamaAttention must be \(batch, seq, 42\)"):
        LlamaDecoderLayer(SHAPE)(torch.zeros(5, 42))


@pytest.mark.parametrize("bad", [one(5, 5), torch.ones(3, 3, dtype=torch.bool), [[True]]], ids=["floats", "3", "list"])
def test_a_bad_mask_leaves_the_cache_as_it_was(bad):
    cache = filled()
    for attention in (ATTENTION, LlamaDecoderLayer(SHAPE)):
        with pytest.raises((TypeError, ValueError), match="mask must"):
            attention(X, mask=bad, cache=cache)
    assert len(cache) == 4


@pytest.mark.parametrize("bad", [{}, [], True, 3, "cache", object()], ids=lambda bad: type(bad).__name__)
def test_what_is_no_cache_is_told(bad):
    with pytest.raises(TypeError, match="cache of LlamaAttention must be the cache of one layer, such as a KVCache"):
        ATTENTION(X, cache=bad)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.uint8])
def test_ids_of_any_whole_kind_are_read(dtype):
    assert torch.equal(MODEL(IDS.to(dtype)), MODEL(IDS))


def test_keys_of_integers_are_told():
    with pytest.raises(TypeError, match="k must be a tensor of floats, got torch.int64"):
        KVCache().update(torch.ones(2, 3, 4, 10).long(), torch.ones(2, 3, 4, 10).long())
