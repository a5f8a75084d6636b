"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

import torch

from llama_tutorial.classroom.components import kv_cache
from llama_tutorial.kv_cache import KVCache, written
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


class BehindAGap(KVCache):
    def update(self, k, v):
        self.length += k.shape[2]
        self.k = written(self.k, self.length, k, self.max_length)
        self.v = written(self.v, self.length, v, self.max_length)
        return self.k[:, :, : self.length], self.v[:, :, : self.length]


class NotKept(KVCache):
    def update(self, k, v):
        start, self.length = self.length, self.length + k.shape[2]
        k, v = written(self.k, start, k, self.max_length), written(self.v, start, v, self.max_length)
        return k[:, :, : self.length], v[:, :, : self.length]


class OfHeads(KVCache):
    def update(self, k, v):
        start, self.length = self.length, self.length + k.shape[1]
        self.k, self.v = written(self.k, start, k, self.max_length), written(self.v, start, v, self.max_length)
        return self.k[:, :, : self.length], self.v[:, :, : self.length]


def no_axis(logits, k):
    return logits.masked_fill(logits < logits.topk(min(k, logits.shape[-1])).values[:, -1], -torch.inf)


def gathered(logits, p):
    ordered, order = logits.sort(descending=True)
    chance = ordered.softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
    gone = (chance.cumsum(-1) - chance >= p) & (p < 1)
    return logits.masked_fill(gone.gather(-1, order), -torch.inf)


def p_first(logits, temperature, top_k, top_p, generator):
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits / temperature
    logits = logits if top_p is None else keep_top_p(logits, top_p)
    logits = logits if top_k is None else keep_top_k(logits, top_k)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]


def no_question(logits, temperature, top_k, top_p, generator):
    if temperature == 0:
        return logits.argmax(-1)
    logits = keep_top_k(logits / temperature, top_k)
    logits = logits if top_p is None else keep_top_p(logits, top_p)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]


def of_the_longest(choose):
    from llama_tutorial import load_shipped

    prompts = [[500, 600, 700, 800], [900, 1000]]
    return (choose(load_shipped()[0], prompts)[0] != choose(load_shipped()[0], prompts[:1])[0]).item()


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
    ("keep_top_k", no_axis, "lost an axis"),
    ("keep_top_p", crossing_gone, "crosses p is gone"),
    ("keep_top_p", still_sorted, "do not go back"),
    ("draw", multiplied, "You multiply by T"),
    ("draw", cut_first, "cut first"),
    ("draw", p_first, "p before k"),
    ("draw", no_question, "may be None"),
    ("tokens_kept", 2, "Flatten first"),
    ("tokens_kept", 4, "all of them"),
    ("greedy_share", 0.36, "greedy begins with A"),
    ("greedy_share", 0.5, "A alone"),
    ("greedy_share", 0.15, "second best"),
    ("best_share", 0.2, "surer second"),
    ("best_share", 0.9, "B holds 0.4"),
    ("best_share", 0.45, "comes after B"),
    ("mended_top_p", still_sorted, "do not go back"),
    ("mended_top_p", crossing_gone, "crosses p is gone"),
    ("mended_top_p", gathered, "by its inverse"),
    ("keeps_the_less_likely", never, "should say True of one with this mistake: You cut in the sorted order"),
    ("keeps_the_less_likely", differs_from_ours, "should say False of one with this mistake: The token that crosses"),
    ("keep_min_p", min_p(lambda shares, least: shares < least), "The limit moves"),
    ("keep_min_p", min_p(lambda shares, least: shares < least * shares.max()), "Each row has its own"),
    ("keep_min_p", min_p(lambda shares, least: shares <= least * shares.amax(-1, keepdim=True)), "exactly the limit"),
    ("keep_min_p", min_p(lambda shares, least: shares < least * shares.amax(-1)), "keep the favourite's axis"),
    ("keep_min_p", lambda logits, min_p: keep_top_k(logits, 3), "keeps ["),
    ("kept_at_1", 2, "0.15 stays"),
    ("kept_at_2", 3, "that is at T = 1"),
    ("KVCache.update", OnlyNew, "new keys and values alone"),
    ("KVCache.update", WithRoom, "The room that waits comes back"),
    ("KVCache.update", BehindAGap, "behind a gap"),
    ("KVCache.update", NotKept, "is not kept"),
    ("KVCache.update", OfHeads, "another axis"),
    ("read_without", 600, "one token more"),
    ("read_without", 50, "read again at every step"),
    ("read_with", 50, "never read"),
    ("read_with", 30, "prompt must be read"),
    ("read_with", 20, "that is the prompt"),
    ("read_without", 1225, "begins with no token"),
    ("token_bytes", 5120, "two hold keys"),
    ("token_bytes", 1280, "values are kept as well"),
    ("token_bytes", 20480, "a byte has eight"),
    ("next_tokens", kv_cache.right_padded, "last column still holds padding"),
    ("next_tokens", kv_cache.nothing_masked, "no mask hides them"),
    ("next_tokens", kv_cache.unlike_sides(False), "hides words and shows padding"),
    ("next_tokens", kv_cache.unlike_sides(True), "those of the ids on the right"),
    ("next_tokens", kv_cache.ends_of_all, "cut to the shortest"),
    ("next_tokens", zeros_masked, "hides a 0 that belongs to a prompt"),
    ("company_matters", of_equal_lengths, "have one length, so nothing is padded"),
    ("company_matters", of_the_longest, "Look at every row"),
    ("company_matters", never, "never calls the function"),
    ("company_matters", never, "should say True of one that pads on the right"),
]
