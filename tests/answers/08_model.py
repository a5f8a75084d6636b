"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

# These stand nowhere in the package.
TRANSFER = {
    "early_exit": """def early_exit(model, ids, depth):
    x = model.embed_tokens(ids)
    for layer in model.layers[:depth]:
        x = layer(x)
    return model.norm(x)""",
}


SMALL = {"vocab_size": 11, "hidden_size": 8, "intermediate_size": 12, "num_attention_heads": 2, "num_hidden_layers": 3}


def without_norm(model, ids, depth):
    x = model.embed_tokens(ids)
    for layer in model.layers[:depth]:
        x = layer(x)
    return x


def one_more(model, ids, depth):
    x = model.embed_tokens(ids)
    for layer in model.layers[: depth + 1]:
        x = layer(x)
    return model.norm(x)


def cuts_the_model(model, ids, depth):
    model.layers = model.layers[:depth]
    return model(ids)


def norms_each(model, ids, depth):
    x = model.embed_tokens(ids)
    for layer in model.layers[:depth]:
        x = model.norm(layer(x))
    return x


def still_one(config):
    from torch import nn

    from llama_tutorial.decoder_layer import LlamaDecoderLayer

    layer = LlamaDecoderLayer(config)
    return nn.ModuleList(layer for _ in range(config.num_hidden_layers))


def copies(config):
    from copy import deepcopy

    from torch import nn

    from llama_tutorial.decoder_layer import LlamaDecoderLayer

    layer = LlamaDecoderLayer(config)
    return nn.ModuleList(deepcopy(layer) for _ in range(config.num_hidden_layers))


def one_for_any(config):
    from torch import nn

    from llama_tutorial.decoder_layer import LlamaDecoderLayer

    return nn.ModuleList(LlamaDecoderLayer(config) for _ in range(30))


def neighbours(kind):
    layers = kind(SMALL).layers
    return layers[0] is layers[1]


def equal_gains(kind):
    import torch

    layers = kind(SMALL).layers
    return torch.equal(layers[0].input_layernorm.weight, layers[1].input_layernorm.weight)


def two_norms(model, ids, depth):
    x = model.embed_tokens(ids)
    for layer in model.layers[:depth]:
        x = layer(x)
    return model.norm(model.norm(x))


def one_alone(model, ids, depth):
    return model.norm(model.layers[max(depth - 1, 0)](model.embed_tokens(ids)))


def plain_list(config):
    from llama_tutorial.decoder_layer import LlamaDecoderLayer

    return [LlamaDecoderLayer(config) for _ in range(config.num_hidden_layers)]


WRONG = [
    ("next_position", 5, "counts the padding"),
    ("next_position", 0, "three real ones stand before it"),
    ("next_position", 2, "where the last word stands"),
    ("seen_pairs", 10, "adding sees itself"),
    ("seen_pairs", 28, "hat is causal"),
    ("seen_pairs", 12, "too small"),
    ("mended_layers", one_for_any, "num_hidden_layers is 1, and the list has 30"),
    ("has_shared_layers", neighbours, "first and the last are one"),
    ("has_shared_layers", equal_gains, "need not be one tensor"),
    ("early_exit", two_norms, "applied twice"),
    ("early_exit", one_alone, "only layer 1 runs"),
    ("mended_layers", still_one, "one and the same object"),
    ("mended_layers", copies, "copies with equal numbers"),
    ("mended_layers", plain_list, "an nn.ModuleList"),
    ("has_shared_layers", lambda kind: False, "should say True of one with this mistake: All your layers are one"),
    ("has_shared_layers", lambda kind: True, "should say False of the lesson's own"),
    ("early_exit", without_norm, "last norm is missing"),
    ("early_exit", one_more, "ou stop after 3 layers where 2"),
    ("early_exit", cuts_the_model, "where it had 4"),
    ("early_exit", norms_each, "norm behind every layer"),
]
