"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

import math

import torch

from llama_tutorial.causal_lm import LlamaForCausalLM, next_token_loss

# These stand nowhere in the package.
TRANSFER = {
    "accumulated": """def accumulated(model, page, most):
    total = 0.0
    for part in page.split(most):
        loss = next_token_loss(model(part), part) * len(part) / len(page)
        loss.backward()
        total += loss.item()
    return total""",
}


def cleared_once(model, optimizer, pages):
    optimizer.zero_grad()
    losses = []
    for page in pages:
        loss = next_token_loss(model(page), page)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def cleared_too_early(model, optimizer, pages):
    losses = []
    for page in pages:
        loss = next_token_loss(model(page), page)
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()
        losses.append(loss.item())
    return losses


def says_nothing(model, optimizer, pages):
    for page in pages:
        optimizer.zero_grad()
        next_token_loss(model(page), page).backward()
        optimizer.step()


def looks_at_grad(train):
    model = LlamaForCausalLM({"vocab_size": 20, "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2})
    train(model, torch.optim.SGD(model.parameters(), lr=0.0), [torch.arange(20).view(2, 10)] * 2)
    return model.lm_head.weight.grad is not None


def gathered(weigh, clear=False):
    def accumulated(model, page, most):
        total = 0.0
        parts = page.split(most)
        for part in parts:
            if clear:
                model.zero_grad()
            loss = next_token_loss(model(part), part) * weigh(part, page, parts)
            loss.backward()
            total += loss.item()
        return total

    return accumulated


def all_at_once(model, page, most):
    loss = next_token_loss(model(page), page)
    loss.backward()
    return loss.item()


def full_parts_only(model, page, most):
    return gathered(lambda part, page, parts: 1 / len(parts))(model, page[: len(page) // most * most], most)


WRONG = [
    ("blind_price", math.log(2048) / 3.1, "in nats"),
    ("blind_price", 34.1, "you multiply"),
    ("blind_price", 11, "for a token"),
    ("exam_targets", 896, "not full"),
    ("exam_targets", 1001, "nothing predicts it"),
    ("exam_targets", 993, "one target at every window"),
    ("mended_loop", cleared_once, "before the loop, clears nothing"),
    ("mended_loop", cleared_too_early, "no weight moves"),
    ("mended_loop", says_nothing, "is a `return` missing"),
    ("keeps_old_gradients", lambda train: False, "should say True of one that never clears"),
    ("keeps_old_gradients", looks_at_grad, "should say False of a loop that clears them before"),
    ("accumulated", gathered(lambda part, page, parts: 1), "means are added up"),
    ("accumulated", gathered(lambda part, page, parts: 1 / len(parts)), "a mean of means"),
    ("accumulated", gathered(lambda part, page, parts: len(part) / len(page), clear=True), "only the last part"),
    ("accumulated", all_at_once, "you read 8 at once"),
    ("accumulated", full_parts_only, "the last part may be smaller"),
]
