"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

import torch

from llama_tutorial.classroom.components import kv_cache
from llama_tutorial.kv_cache import KVCache
from llama_tutorial.sampling import draw, keep_top_k, keep_top_p

# These stand nowhere in the package.
TRANSFER = {
    "keep_min_p": """def keep_min_p(logits, min_p):
    shares = logits.softmax(dim=-1)
    return logits.masked_fill(shares < min_p * shares.amax(dim=-1, keepdim=True), -torch.inf)


kept_at_1 = 3
kept_at_2 = 4""",
}


def min_p(limit):
    return lambda logits, min_p: logits.masked_fill(limit(logits.softmax(dim=-1), min_p), -torch.inf)


def limit_gone(logits, k):
    return logits.masked_fill(logits <= logits.topk(min(k, logits.shape[1])).values[:, -1:], -torch.inf)


def one_limit(logits, k):
    return logits.masked_fill(logits < logits.topk(min(k, logits.shape[1])).values.min(), -torch.inf)


def crossing_gone(logits, p):
    ordered, order = logits.sort(descending=True)
    gone = ordered.softmax(-1, dtype=torch.float32).cumsum(-1) > p
    return torch.full_like(logits, -torch.inf).scatter(-1, order, ordered.masked_fill(gone, -torch.inf))


def still_sorted(logits, p):
    ordered = logits.sort(descending=True).values
    chance = ordered.softmax(-1, dtype=torch.float32)
    gone = (chance.cumsum(-1) - chance >= p) & (p < 1)
    return ordered.masked_fill(gone, -torch.inf)


def multiplied(logits, temperature, top_k, top_p, generator):
    return draw(logits, 1 / temperature if temperature else 0, top_k, top_p, generator)


def cut_first(logits, temperature, top_k, top_p, generator):
    logits = logits if top_k is None else keep_top_k(logits, top_k)
    logits = logits if top_p is None else keep_top_p(logits, top_p)
    return draw(logits, temperature, None, None, generator)


class OnlyNew(KVCache):
    def update(self, k, v):
        super().update(k, v)
        return k, v


class WithRoom(KVCache):
    def update(self, k, v):
        super().update(k, v)
        return self.k, self.v


def never(given):
    return False


def differs_from_ours(keep):
    logits = torch.randn(20, 50, generator=torch.Generator().manual_seed(0))
    return not torch.allclose(keep(logits, 0.5), keep_top_p(logits, 0.5))


def of_equal_lengths(choose):
    from llama_tutorial import load_shipped

    prompts = [[500, 600, 700], [800, 900, 1000]]
    together = choose(load_shipped()[0], prompts).tolist()
    return together != [choose(load_shipped()[0], [prompt]).item() for prompt in prompts]


def zeros_masked(model, prompts):
    ids, _ = kv_cache.padded(prompts, right=False)
    return model(ids, attention_mask=ids != 0)[:, -1].argmax(dim=-1)


WRONG = [
    ("keep_top_k", limit_gone, "goes as well"),
    ("keep_top_k", one_limit, "Each row has its own"),
    ("keep_top_p", crossing_gone, "crosses p is gone"),
    ("keep_top_p", still_sorted, "do not go back"),
    ("draw", multiplied, "You multiply by T"),
    ("draw", cut_first, "cut first"),
    ("tokens_kept", 2, "Flatten first"),
    ("tokens_kept", 4, "all of them"),
    ("greedy_share", 0.36, "greedy begins with A"),
    ("greedy_share", 0.5, "A alone"),
    ("best_share", 0.2, "surer second"),
    ("best_share", 0.9, "B holds 0.4"),
    ("mended_top_p", still_sorted, "do not go back"),
    ("mended_top_p", crossing_gone, "crosses p is gone"),
    ("keeps_the_less_likely", never, "should say True of one with this mistake: You cut in the sorted order"),
    ("keeps_the_less_likely", differs_from_ours, "should say False of one with this mistake: The token that crosses"),
    ("keep_min_p", min_p(lambda shares, least: shares < least), "The limit moves"),
    ("keep_min_p", min_p(lambda shares, least: shares < least * shares.max()), "Each row has its own"),
    ("keep_min_p", lambda logits, min_p: keep_top_k(logits, 3), "keeps ["),
    ("kept_at_1", 2, "0.15 stays"),
    ("kept_at_2", 3, "that is at T = 1"),
    ("KVCache.update", OnlyNew, "new keys and values alone"),
    ("KVCache.update", WithRoom, "It returned the shape (2, 3, 10, 7)"),
    ("read_without", 600, "one token more"),
    ("read_without", 50, "read again at every step"),
    ("read_with", 50, "never read"),
    ("read_with", 30, "prompt must be read"),
    ("token_bytes", 5120, "two hold keys"),
    ("token_bytes", 1280, "values are kept as well"),
    ("next_tokens", kv_cache.right_padded, "those that are padded"),
    ("next_tokens", kv_cache.nothing_masked, "those that are padded"),
    ("next_tokens", zeros_masked, "hold the padding's id 0"),
    ("company_matters", of_equal_lengths, "should say True of one that pads on the right"),
    ("company_matters", never, "should say True of one that pads on the right"),
]
