"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

import math

import torch
import torch.nn.functional as F

from llama_tutorial.causal_lm import LlamaForCausalLM, next_token_loss

# These stand nowhere in the package.
TRANSFER = {
    "padded_loss": """def padded_loss(logits, input_ids, attention_mask):
    real = attention_mask.bool()
    targets = input_ids[:, 1:].masked_fill(~(real[:, 1:] & real[:, :-1]), -100)
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten())""",
}


def crossed(logits, ids):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].T.flatten())


def as_it_stands(logits, ids):
    return F.cross_entropy(logits.flatten(0, 1), ids.flatten())


def over_places(logits, ids):
    return -logits[:, :-1].log_softmax(dim=1).gather(-1, ids[:, 1:, None]).mean()


def over_scores(logits, ids):
    return -logits[:, :-1].softmax(dim=-1).gather(-1, ids[:, 1:, None]).mean()


def flat_before_the_shift(logits, ids):
    return F.cross_entropy(logits.flatten(0, 1)[:-1].float(), ids.flatten()[1:])


def one_place_too_many(logits, ids):
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def one_text_only(loss):
    torch.manual_seed(0)
    logits, ids = torch.randn(1, 5, 7), torch.randint(7, (1, 5))
    return not torch.allclose(loss(logits, ids), loss(logits[[0]], ids[[0]]), atol=1e-4)


def sum_of_both(loss):
    torch.manual_seed(0)
    logits, ids = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
    return not torch.allclose(loss(logits, ids), loss(logits[:1], ids[:1]) + loss(logits[1:], ids[1:]), atol=1e-4)


def differs_from_ours(loss):
    torch.manual_seed(0)
    logits, ids = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
    return not torch.allclose(loss(logits, ids), next_token_loss(logits, ids), atol=1e-4)


def all_places_louder(loss):
    torch.manual_seed(0)
    logits, ids = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
    return not torch.allclose(loss(logits + 5, ids), loss(logits, ids), atol=1e-4)


def last_place_louder(loss):
    torch.manual_seed(0)
    logits, ids = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
    louder = logits.clone()
    louder[:, -1] += 5
    return not torch.allclose(loss(louder, ids), loss(logits, ids), atol=1e-4)


def one_word_louder(loss):
    torch.manual_seed(0)
    logits, ids = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
    louder = logits.clone()
    louder[:, 1, 3] += 5
    return not torch.allclose(loss(louder, ids), loss(logits, ids), atol=1e-4)


def asked(logits, ids, keep):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].masked_fill(~keep, -100).flatten())


def by_what_is_asked_for(logits, ids, mask):
    return asked(logits, ids, mask[:, 1:].bool())


def by_who_asks(logits, ids, mask):
    return asked(logits, ids, mask[:, :-1].bool())


def mean_of_means(logits, ids, mask):
    return torch.stack([next_token_loss(s[m][None], i[m][None]) for s, i, m in zip(logits, ids, mask.bool())]).mean()


def over_all_places(logits, ids, mask):
    real = (mask[:, 1:] * mask[:, :-1]).bool()
    every = F.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
    return (every * real).mean()


def by_the_ids(logits, ids, mask):
    return asked(logits, ids, (ids[:, 1:] != 0) & (ids[:, :-1] != 0))


def real_words_in_a_row(logits, ids, mask):
    return F.cross_entropy(logits[mask.bool()][:-1], ids[mask.bool()][1:])


def rows_by_number(logits, ids, mask):
    real = mask[:, 1:] & mask[:, :-1]
    return F.cross_entropy(logits[:, :-1][real], ids[:, 1:][real])


class Model(LlamaForCausalLM):
    """The lesson's, for versions with one mistake."""


class OnlyIds(Model):
    def forward(self, input_ids, attention_mask=None, positions=None, cache=None):
        return self.lm_head(self.model(input_ids))


class ByTheTable(Model):
    def forward(self, input_ids, attention_mask=None, positions=None, cache=None):
        return self.model(input_ids, attention_mask, positions, cache) @ self.model.embed_tokens.weight.T


class NeverTied(Model):
    def tie_weights(self):
        return self.config.tie_word_embeddings


class EmbeddingAsHead(Model):
    def tie_weights(self):
        if self.config.tie_word_embeddings:
            self.lm_head = self.model.embed_tokens


WRONG = [
    ("LlamaForCausalLM", OnlyIds, "only the ids reach the model"),
    ("LlamaForCausalLM", ByTheTable, "you score with the embedding table"),
    ("LlamaForCausalLM", NeverTied, "head and table are two tensors"),
    ("LlamaForCausalLM", EmbeddingAsHead, "the head stays a Linear"),
    ("first_loss_8b", 0.8192, "on top of a blind guess"),
    ("floor_twice", 8.882 / 20, "sentences have 10.2 on average"),
    ("floor_twice", 0.628, "in bits"),
    ("next_token_loss", flat_before_the_shift, "shift within each text first. Besides: cross_entropy wants 64-bit ids"),
    ("next_token_loss", lambda logits, ids: F.cross_entropy(logits[:, :-1].float(), ids[:, 1:]), "there stands seq"),
    ("next_token_loss", one_place_too_many, "one place more"),
    ("mixes_texts", sum_of_both, "not their sum"),
    ("places_compete", last_place_louder, "not the last"),
    ("padded_loss", by_the_ids, "only the mask knows"),
    ("padded_loss", real_words_in_a_row, "a text's last word asks for the next text's first"),
    ("padded_loss", rows_by_number, "begin with attention_mask.bool()"),
    ("first_loss_8b", 11.76, "a blind guess"),
    ("first_loss_8b", 13.04, "what the spread costs is s²/2"),
    ("first_loss_8b", 13.4, "half of that"),
    ("floor_twice", 0.871, "nothing in the second one is a choice"),
    ("floor_twice", 0.888, "that divides by 10"),
    ("floor_twice", math.log(46), "a blind guess"),
    ("next_token_loss", as_it_stands, "copying is perfect"),
    ("next_token_loss", lambda logits, ids: crossed(logits.float(), ids.long()), "in different orders"),
    ("next_token_loss", lambda logits, ids: next_token_loss(logits.softmax(dim=-1), ids), "once more"),
    ("mended_rows", crossed, "in different orders"),
    ("mended_rows", as_it_stands, "copying is perfect"),
    ("mixes_texts", one_text_only, "should say True of one with this mistake: Logits and targets"),
    ("mixes_texts", differs_from_ours, "should say False of one with this mistake: Each place is asked"),
    ("mended_axis", over_places, "The softmax runs over the places"),
    ("mended_axis", over_scores, "not their logarithms"),
    ("places_compete", all_places_louder, "should say True of one with this mistake: The softmax runs over the places"),
    ("places_compete", one_word_louder, "should say False of the lesson's own"),
    ("padded_loss", lambda logits, ids, mask: next_token_loss(logits, ids), "padding counts in it"),
    ("padded_loss", by_who_asks, "the place before padding is asked for it"),
    ("padded_loss", by_what_is_asked_for, "alone, nothing asks for it"),
    ("padded_loss", mean_of_means, "you average the texts' means"),
    ("padded_loss", over_all_places, "you divide by all places"),
]
