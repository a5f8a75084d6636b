"""Compile: the model is one graph without a break, and compiled it gives the same numbers."""

import os
import shutil
import sys

import pytest
import torch

from llama_tutorial import LlamaForCausalLM
from llama_tutorial.causal_lm import next_token_loss

SHAPE = {
    "vocab_size": 61,
    "hidden_size": 42,
    "intermediate_size": 37,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 10,
    "attention_bias": True,
}
USUAL = {"win32": "cl", "darwin": "clang++"}.get(sys.platform, "g++")
COMPILER = os.environ.get("CXX", USUAL)  # the one that torch itself calls

needs_compiler = pytest.mark.skipif(
    shutil.which(COMPILER) is None,
    reason=f"torch.compile on the CPU needs a C++ compiler, and there is no {COMPILER}: install it, or name one in CXX",
)


def tiny(layers):
    """A model whose weights are large enough to tell the terms apart."""
    torch.manual_seed(0)
    torch.compiler.reset()
    model = LlamaForCausalLM({**SHAPE, "num_hidden_layers": layers})
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model


def assert_same(found, wanted):
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


IDS = torch.arange(33).view(3, 11) * 7 % 61
REAL = torch.arange(11) >= torch.tensor([[4], [0], [1]])


@needs_compiler
@torch.no_grad()
def test_the_compiled_model_gives_the_same_logits():
    model = tiny(layers=1)
    assert_same(torch.compile(model, fullgraph=True)(IDS), model(IDS))


@needs_compiler
@pytest.mark.thorough
@torch.no_grad()
def test_the_compiled_model_gives_the_same_logits_for_padded_and_placed_texts_of_two_lengths():
    model = tiny(layers=3)
    compiled = torch.compile(model, fullgraph=True)
    assert_same(compiled(IDS, REAL)[REAL], model(IDS, REAL)[REAL])
    assert_same(compiled(IDS[:, :7], positions=torch.arange(3, 10)), model(IDS[:, :7], positions=torch.arange(3, 10)))
    assert_same(compiled(IDS[:, :5]), model(IDS[:, :5]))


@torch.no_grad()
def test_with_padding_the_model_is_one_graph_too():
    model = tiny(layers=2)
    compiled = torch.compile(model, fullgraph=True, backend="eager")  # traced whole, run as it stands: no C++
    assert_same(compiled(IDS, REAL)[REAL], model(IDS, REAL)[REAL])


@pytest.mark.thorough
def test_training_is_one_graph_too_and_gives_the_same_gradients():
    model = tiny(layers=1)

    def loss(ids):
        return next_token_loss(model(ids), ids)

    wanted = torch.autograd.grad(loss(IDS), list(model.parameters()))
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")  # forward and backward traced: no C++
    for found, gradient in zip(torch.autograd.grad(compiled(IDS), list(model.parameters())), wanted):
        assert_same(found, gradient)
