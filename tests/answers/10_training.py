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


def lower_rate(model, optimizer, pages):
    for group in optimizer.param_groups:
        group["lr"] *= 0.1
    losses = []
    for page in pages:
        loss = next_token_loss(model(page), page)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def shifts_twice(model, optimizer, pages):
    losses = []
    for page in pages:
        optimizer.zero_grad()
        loss = next_token_loss(model(page[:, :-1]), page[:, 1:])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


SMALL = {"vocab_size": 20, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}


def moved(train, times, model=None, kind=torch.optim.SGD, rate=1e-2, clone=True):
    torch.manual_seed(0)
    model = model or LlamaForCausalLM(SMALL)
    before = [weight.detach().clone() if clone else weight.detach() for weight in model.parameters()]
    train(model, kind(model.parameters(), lr=rate), [torch.arange(20).view(2, 10)] * times)
    pairs = zip(model.parameters(), before)
    return sum((weight - old).pow(2).sum() for weight, old in pairs).sqrt().item()


def far(**more):
    return lambda train: moved(train, 2, **more) > 2.5 * moved(train, 1, **more)


def one_model(train):
    model = LlamaForCausalLM(SMALL)
    return moved(train, 2, model) > 2.5 * moved(train, 1, model)


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


def one_backward(model, page, most):
    total = sum(next_token_loss(model(part), part) * len(part) / len(page) for part in page.split(most))
    total.backward()
    return total.item()


def takes_steps(model, page, most):
    total, optimizer = 0.0, torch.optim.SGD(model.parameters(), lr=0.1)
    for part in page.split(most):
        loss = next_token_loss(model(part), part) * len(part) / len(page)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total


def along_seq(model, page, most):
    total = 0.0
    for part in page.split(most, dim=1):
        loss = next_token_loss(model(part), part) * part.shape[1] / page.shape[1]
        loss.backward()
        total += loss.item()
    return total


def full_parts_only(model, page, most):
    return gathered(lambda part, page, parts: 1 / len(parts))(model, page[: len(page) // most * most], most)


WRONG = [
    ("blind_price", math.log(2048) / 3.1, "in nats"),
    ("blind_price", 34.1, "you multiply"),
    ("blind_price", 11, "for a token"),
    ("blind_price", 11 / 2.6, "this page's tokens"),
    ("exam_targets", 1024, "fills the last window up"),
    ("exam_targets", 896, "not full"),
    ("exam_targets", 1001, "nothing predicts it"),
    ("exam_targets", 993, "one target at every window"),
    ("mended_loop", cleared_once, "outside the loop, does not help"),
    ("mended_loop", lower_rate, "the rate is not at fault"),
    ("mended_loop", shifts_twice, "shifts by itself"),
    ("mended_loop", cleared_too_early, "no weight moves"),
    ("mended_loop", says_nothing, "is a `return` missing"),
    ("keeps_old_gradients", lambda train: False, "should say True of one that never clears"),
    ("keeps_old_gradients", looks_at_grad, "a `grad` that is there at the end proves nothing"),
    ("keeps_old_gradients", lambda train: moved(train, 2) / moved(train, 1) > 2.5, "they do not move at all"),
    ("keeps_old_gradients", lambda train: moved(train, 2) / moved(train, 1) > 1.5, "where between them"),
    ("keeps_old_gradients", lambda train: torch.tensor(moved(train, 2)), "True or False, got"),
    ("keeps_old_gradients", lambda train: moved(train, 2) / max(moved(train, 1), 1e-9), "True or False, got"),
    ("keeps_old_gradients", lambda train: moved(train, 2) <= 2.5 * moved(train, 1), "the contrary"),
    ("keeps_old_gradients", lambda train: moved(train, 2) > 1.5 * moved(train, 1), "where between them"),
    ("keeps_old_gradients", far(kind=torch.optim.AdamW), "AdamW divides by the size"),
    ("keeps_old_gradients", far(rate=10.0), "with a rate of 10"),
    ("keeps_old_gradients", far(clone=False), "`clone()` it before"),
    ("keeps_old_gradients", one_model, "goes on with the model of the first"),
    ("keeps_old_gradients", lambda train: True, "it trains nothing"),
    ("accumulated", gathered(lambda part, page, parts: 1), "means are added up"),
    ("accumulated", gathered(lambda part, page, parts: 1 / len(parts)), "a mean of means"),
    ("accumulated", gathered(lambda part, page, parts: len(part) / len(page), clear=True), "only the last part"),
    ("accumulated", all_at_once, "you read 8 at once"),
    ("accumulated", gathered(lambda part, page, parts: len(parts[0]) / len(page)), "its own number of windows"),
    ("accumulated", one_backward, "out of memory all the same"),
    ("accumulated", takes_steps, "the weights have moved"),
    ("accumulated", along_seq, "along its windows, the first axis"),
    ("accumulated", full_parts_only, "the last part may be smaller"),
]
