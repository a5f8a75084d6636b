"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

import torch

from llama_tutorial.classroom.components import inside

# These stand nowhere in the package.
TRANSFER = {
    "takes_the_lead": """def takes_the_lead(guesses, right):
    still = (guesses == right).flip(0).int().cumprod(dim=0)
    return len(guesses) - still.sum(dim=0)""",
    "read_early": """def read_early(model, ids, layers, norm, head):
    kept = []
    hooks = [layers[0].register_forward_pre_hook(lambda part, given: kept.append(given[0]))]
    hooks += [layer.register_forward_hook(lambda part, given, found: kept.append(found)) for layer in layers]
    with torch.no_grad():
        model(ids)
    for hook in hooks:
        hook.remove()
    return torch.stack([head(norm(stream)) for stream in kept])""",
}


def written_into(heads, which):
    heads[:, which] = heads[:, which].mean(dim=(0, 1))
    return heads


def all_the_same(heads, which):
    changed = heads.clone()
    changed[:, which] = heads[:, which].mean()
    return changed


def silent(heads, which):
    changed = heads.clone()
    changed[:, which] = 0
    return changed


def diagonal(probs):
    return probs.diagonal(dim1=-2, dim2=-1)[..., 1:].mean(dim=(0, 2))


def first_too(probs):
    return probs.diagonal(offset=-1, dim1=-2, dim2=-1).sum(dim=(0, 2)) / (len(probs) * probs.shape[-1])


def duplicates(probs, ids):
    return inside.same_word(probs, ids)


def of_all_queries(probs, ids):
    same = (ids[:, :, None] == ids[:, None, :]).tril(-1)
    after = torch.cat([torch.zeros_like(same[:, :, :1]), same[:, :, :-1]], dim=2).tril(-1)
    return (probs * after[:, None]).sum(dim=-1).mean(dim=(0, 2))


def with_itself(probs, ids):
    return inside.same_word(probs, ids, 0)


def added_up(probs):
    return probs.diagonal(offset=-1, dim1=-2, dim2=-1).sum(dim=-1).mean(dim=0)


def of_all_heads(heads, which):
    changed = heads.clone()
    changed[:, which] = heads.mean(dim=(0, 1, 2))
    return changed


def taken_off(heads, which):
    changed = heads.clone()
    changed[:, which] -= heads[:, which].mean(dim=(0, 1))
    return changed


def each_at_its_mean(heads, which):
    return heads.mean(dim=(0, 2), keepdim=True).expand_as(heads)


def of_all_marks(probs, ids):
    same = (ids[:, :, None] == ids[:, None, :]).tril(-1)
    after = torch.cat([torch.zeros_like(same[:, :, :1]), same[:, :, :-1]], dim=2).tril(-1)
    return (probs * after[:, None]).sum(dim=(0, 2, 3)) / after.sum()


def queries_moved(probs, ids):
    same = (ids[:, :, None] == ids[:, None, :]).tril(-1)
    after = torch.cat([torch.zeros_like(same[:, :1]), same[:, :-1]], dim=1).tril(-1)
    return (probs * after[:, None]).sum(dim=(0, 2, 3)) / after.any(dim=-1).sum()


def above(probs, ids):
    marked = (ids[:, :, None] == ids[:, None, :]).triu(1)
    return (probs * marked[:, None]).sum(dim=(0, 2, 3)) / marked.any(dim=-1).sum()


def never(score):
    return False


def on_the_diagonal(score):
    return bool(score(torch.eye(4)[None, None], torch.arange(4)[None]).abs().max() > 0)


def kept_of(model, ids, layers, outputs=True, inputs=True):
    """The streams that a hook on every layer keeps."""
    kept = []

    def keep(part, given, found):
        if inputs and (part is layers[0] or not outputs):
            kept.append(given[0])
        if outputs:
            kept.append(found)

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    model(ids)
    for hook in hooks:
        hook.remove()
    return kept


def no_norm(model, ids, layers, norm, head):
    return torch.stack([head(stream) for stream in kept_of(model, ids, layers)])


def norm_of_layer_0(model, ids, layers, norm, head):
    first = next(iter(layers[0].children()))
    if not hasattr(layers[0], "before"):
        first = layers[0].input_layernorm
    return torch.stack([head(first(stream)) for stream in kept_of(model, ids, layers)])


def with_the_table(model, ids, layers, norm, head):
    embedding = model.model.embed_tokens if hasattr(model, "model") else model.words
    return torch.stack([norm(stream) @ embedding.weight.T for stream in kept_of(model, ids, layers)])


def chances_of(model, ids, layers, norm, head):
    return torch.stack([head(norm(stream)).softmax(dim=-1) for stream in kept_of(model, ids, layers)])


def place_before(model, ids, layers, norm, head):
    return torch.stack([head(norm(stream)).roll(1, dims=1) for stream in kept_of(model, ids, layers)])


def what_goes_in(model, ids, layers, norm, head):
    return torch.stack([head(norm(stream)) for stream in kept_of(model, ids, layers, outputs=False)])


def what_comes_out(model, ids, layers, norm, head):
    return torch.stack([head(norm(stream)) for stream in kept_of(model, ids, layers, inputs=False)])


def as_a_list(model, ids, layers, norm, head):
    return [head(norm(stream)) for stream in kept_of(model, ids, layers)]


def by_names(model, ids, layers, norm, head):
    return torch.stack([model.lm_head(model.model.norm(stream)) for stream in kept_of(model, ids, layers)])


def hooks_left(model, ids, layers, norm, head):
    kept = []
    layers[0].register_forward_pre_hook(lambda part, given: kept.append(given[0]))
    for layer in layers:
        layer.register_forward_hook(lambda part, given, found: kept.append(found))
    model(ids)
    return torch.stack([head(norm(stream)) for stream in kept])


def last_normed_twice(model, ids, layers, norm, head):
    kept = kept_of(model, ids, layers)
    return torch.stack([head(norm(stream)) for stream in [*kept[:-1], norm(kept[-1])]])


def norm_by_hand(model, ids, layers, norm, head):
    kept = [x * (x.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt() * norm.weight for x in kept_of(model, ids, layers)]
    return torch.stack([head(stream) for stream in kept])


def words_only(model, ids, layers, norm, head):
    embedding = model.model.embed_tokens if hasattr(model, "model") else model.words
    kept = [embedding(ids), *kept_of(model, ids, layers, inputs=False)]
    return torch.stack([head(norm(stream)) for stream in kept])


def noisy(model, ids, layers, norm, head):
    return torch.stack([head(norm(stream * 1.01 + 0.1)) for stream in kept_of(model, ids, layers)])


def once_a_layer(model, ids, layers, norm, head):
    return torch.cat([no_norm(model, ids, layers, norm, lambda stream: head(norm(stream))) for _ in layers])


WRONG = [
    ("read_early", no_norm, "the norm is missing"),
    ("read_early", norm_of_layer_0, "before the first layer's attention"),
    ("read_early", with_the_table, "only where both are tied"),
    ("read_early", chances_of, "probabilities"),
    ("read_early", place_before, "the place before"),
    ("read_early", what_goes_in, "after the last layer is missing"),
    ("read_early", what_comes_out, "before the first layer is missing"),
    ("read_early", as_a_list, "stack the rows"),
    ("read_early", once_a_layer, "run the model once"),
    ("read_early", by_names, "nothing by its name"),
    ("read_early", hooks_left, "still has hooks"),
    ("read_early", last_normed_twice, "normed twice"),
    ("read_early", norm_by_hand, "its eps is not this model's"),
    ("read_early", words_only, "adds positions"),
    ("read_early", noisy, "what the model says itself"),
    ("zero_off", 36, "square of the mean"),
    ("zero_off", 6, "without the square"),
    ("mean_off", 0, "differences cancel"),
    ("mean_off", 2, "without the square"),
    ("its_score", 3, "divided by √dim"),
    ("its_score", 0.75, "divided by √4"),
    ("pair_0_adds", 4, "pairs neighbours"),
    ("pair_0_adds", 1, "pair 1"),
    ("pair_0_adds", 1.0, "after the division"),
    ("its_score", 3 / 2**0.5, "the root of the number of pairs"),
    ("mean_off", (14 / 3) ** 0.5, "the root of it"),
    ("zero_off", (122 / 3) ** 0.5, "the root of it"),
    ("previous_score", added_up, "add up over the queries"),
    ("mean_ablated", of_all_heads, "mean of all heads"),
    ("mean_ablated", each_at_its_mean, "All heads say their mean"),
    ("mean_ablated", taken_off, "keep the mean"),
    ("induction_score", of_all_marks, "number of marked keys"),
    ("induction_score", queries_moved, "along the queries"),
    ("mended_same", inside.by_marks, "number of marked keys"),
    ("mended_same", inside.not_beside, "the diagonal and nothing else"),
    ("mended_same", above, "nothing is left"),
    ("takes_the_lead", inside.first_of_winners, "lose the lead between"),
    ("takes_the_lead", inside.from_the_front, "Turn the rows round"),
    ("takes_the_lead", lambda guesses, right: (guesses != right).sum(dim=0), "wherever they stand"),
    ("takes_the_lead", lambda guesses, right: inside.takes_lead(guesses, right) - 1, "one row too early"),
    ("previous_score", diagonal, "the diagonal"),
    ("previous_score", first_too, "has nobody before it"),
    ("mean_ablated", written_into, "clone it first"),
    ("mean_ablated", all_the_same, "a mean of its own"),
    ("mean_ablated", silent, "That is zero"),
    ("mended_same", with_itself, "still counts"),
    ("mended_same", inside.undivided, "divide by all"),
    ("counts_itself", never, "should say True of the one above"),
    ("counts_itself", on_the_diagonal, "twice side by side"),
    ("induction_score", duplicates, "the same token again"),
    ("induction_score", of_all_queries, "Divide by those that have one"),
    ("takes_the_lead", inside.first_time, "lose the lead again"),
    ("takes_the_lead", lambda guesses, right: (guesses == right).sum(dim=0), "number of rows in which it leads"),
]
