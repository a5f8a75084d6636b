"""Answers to this lesson's exercises: right ones to transfer exercises, and wrong ones with what is said of them."""

# These stand nowhere in the package.
TRANSFER = {
    "parallel_layer": """def parallel_layer(layer, x):
    heard = layer.self_attn(layer.input_layernorm(x))
    return x + heard + layer.mlp(layer.post_attention_layernorm(x))


def deaf_mlp(kind):
    layer = kind(LlamaConfig(hidden_size=8, num_attention_heads=2, intermediate_size=12))
    x, read = torch.randn(1, 5, 8), []
    layer.mlp.register_forward_pre_hook(lambda mlp, inputs: read.append(inputs[0][0, -1]))
    layer(x)
    x[0, 0] = -x[0, 0]
    layer(x)
    return torch.equal(*read)""",
}


def normed_by_one(layer, x):
    for part in (layer.self_attn, layer.mlp):
        x = x + part(layer.post_attention_layernorm(x))
    return x


def normed_behind(layer, x):
    x = x + layer.input_layernorm(layer.self_attn(x))
    return x + layer.post_attention_layernorm(layer.mlp(x))


def one_after_the_other(layer, x):
    x = x + layer.self_attn(layer.input_layernorm(x))
    return x + layer.mlp(layer.post_attention_layernorm(x))


def x_twice(layer, x):
    return x + layer.self_attn(layer.input_layernorm(x)) + x + layer.mlp(layer.post_attention_layernorm(x))


def through_one_norm(layer, x):
    normed = layer.input_layernorm(x)
    return x + layer.self_attn(normed) + layer.mlp(normed)


def norms_exchanged(layer, x):
    return x + layer.self_attn(layer.post_attention_layernorm(x)) + layer.mlp(layer.input_layernorm(x))


def averaged(layer, x):
    heard, thought = layer.self_attn(layer.input_layernorm(x)), layer.mlp(layer.post_attention_layernorm(x))
    return ((x + heard) + (x + thought)) / 2


def every_norm_before_every_part(layer, x):
    for norm in (layer.input_layernorm, layer.post_attention_layernorm):
        for part in (layer.self_attn, layer.mlp):
            x = x + part(norm(x))
    return x


def one_plus(layer, x):
    return x + layer.mlp(layer.post_attention_layernorm(layer.self_attn(layer.input_layernorm(x))))


def mlp_normed_behind(layer, x):
    x = x + layer.self_attn(layer.input_layernorm(x))
    return x + layer.post_attention_layernorm(layer.mlp(x))


def calls_itself(layer, x):
    return layer(x)


def mlp_reads_attention(layer, x):
    heard = layer.self_attn(layer.input_layernorm(x))
    return x + heard + layer.mlp(layer.post_attention_layernorm(heard))


def moves_at_all(kind):
    import torch

    layer, x = kind({"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12}), torch.randn(1, 5, 8)
    edited = x.clone()
    edited[0, 0] += 1
    return torch.equal(layer(x)[0, -1], layer(edited)[0, -1])


def unlike_llamas(kind):
    import torch

    from llama_tutorial import LlamaDecoderLayer

    config = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12}
    layer, x = kind(config), torch.randn(1, 5, 8)
    llamas = LlamaDecoderLayer(config)
    llamas.load_state_dict(layer.state_dict())
    with torch.no_grad():
        for each in (layer, llamas):
            each.input_layernorm.weight *= 2
        return not torch.allclose(layer(x), llamas(x), atol=1e-5)


def doubles_both_gains(kind):
    import torch

    layer, x = kind({"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12}), torch.randn(1, 5, 8)
    with torch.no_grad():
        before = layer(x)
        layer.input_layernorm.weight *= 2
        layer.post_attention_layernorm.weight *= 2
        return torch.equal(layer(x), before)


WRONG = [
    ("grown_stream", 1.21, "after one layer"),
    ("mended_layer", every_norm_before_every_part, "Each part is asked twice"),
    ("mended_layer", one_plus, "one plus where there should be two"),
    ("parallel_layer", norms_exchanged, "have changed places"),
    ("parallel_layer", averaged, "nothing is averaged"),
    ("grown_stream", 1.77, "layers have twelve parts"),
    ("grown_stream", 2.986, "a layer makes 1.21 of 1"),
    ("grown_stream", 2.2, "as it has become"),
    ("grown_stream", 1e-12, "without the plus"),
    ("first_to_learn", set(), "is not dead"),
    ("first_to_learn", {"q_proj", "o_proj", "down_proj"}, "every number of o_proj is 0"),
    ("first_to_learn", {"up_proj", "o_proj", "down_proj"}, "every number of down_proj is 0"),
    ("first_to_learn", {"o_proj"}, "ne more learns: down_proj"),
    ("first_to_learn", 7, "a set of some of"),
    ("most_missed", 4, "last one is missed, too"),
    ("most_missed", 3, "missed least"),
    ("most_missed", 5, "0 to 4"),
    ("mended_layer", normed_by_one, "One norm serves both parts"),
    ("mended_layer", normed_behind, "what a part gives"),
    ("has_an_idle_norm", lambda kind: False, "should say True of one with this mistake: One norm serves both"),
    ("has_an_idle_norm", doubles_both_gains, "one at a time"),
    ("has_an_idle_norm", unlike_llamas, "do not compare with Llama's"),
    ("has_an_idle_norm", lambda kind: True, "Both of its norms are of use"),
    ("grown_stream", 2.138, "the stream began at 1"),
    ("mended_layer", mlp_normed_behind, "norm what a part gives"),
    ("mended_layer", calls_itself, "call its parts and its norms"),
    ("parallel_layer", mlp_reads_attention, "reads what attention gave"),
    ("deaf_mlp", moves_at_all, "at a later word only"),
    ("deaf_mlp", unlike_llamas, "do not compare with Llama's"),
    ("parallel_layer", one_after_the_other, "one after the other"),
    ("parallel_layer", x_twice, "sum holds x twice"),
    ("parallel_layer", through_one_norm, "it has one of its own"),
    ("deaf_mlp", lambda kind: True, "should say False of the lesson's own"),
    ("deaf_mlp", lambda kind: False, "should say True of one with this mistake: The two parts stand side by side"),
]
