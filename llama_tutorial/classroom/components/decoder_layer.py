"""The decoder layer: what must hold of it, the way to it, what goes wrong in it, and its exercises.

A subject is called as layer(x, config, seed=…, change={…}, rotation=…, mask=…, cache=…): `seed` draws the weights, and
`change` sets some of them, by the names that are published.
"""

import inspect
import math
from functools import cache, partial

import torch
from torch.func import functional_call

from ...attention import LlamaAttention
from ...config import LlamaConfig
from ...decoder_layer import LlamaDecoderLayer
from ...kv_cache import KVCache
from ...mlp import LlamaMLP
from ...rotary import LlamaRotaryEmbedding
from ..course.exercise import Exercise, chosen, same_tensor, typed_number
from ..judge.parts import Cases, Component, Step
from ..judge.steps import BUILT
from ..judge.subjects import built, normal, reached, run_with, tells_gradient

component = Component("decoder_layer")


# ------------------------------------------------------------------------------------------------- what must hold

CASES = Cases()
AXES = "batch seq hidden"
FIRST, SECOND = "input_layernorm.weight", "post_attention_layernorm.weight"
EVEN = {FIRST: 1.0, SECOND: 1.0}
NO_ATTENTION, NO_MLP = {"self_attn.o_proj.weight": 0.0}, {"mlp.down_proj.weight": 0.0}


@cache
def sizes(hidden: int = 10, **more) -> LlamaConfig:
    """A config whose axes all differ."""
    heads = {"num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 4}
    return LlamaConfig(hidden_size=hidden, intermediate_size=14, **heads, **more)


def weights(config, seed: int, change=None, dtype=torch.float32) -> dict:
    """Random weights by their published names: each part adds about as much as x holds, and each gain is its own."""
    hidden, inner, wide = config.hidden_size, config.intermediate_size, config.num_attention_heads * config.head_dim
    narrow = config.num_key_value_heads * config.head_dim
    attention = {"q_proj": (wide, hidden), "k_proj": (narrow, hidden), "v_proj": (narrow, hidden)}
    mlp = {"gate_proj": (inner, hidden), "up_proj": (inner, hidden), "down_proj": (hidden, inner)}
    shapes = {f"self_attn.{name}": shape for name, shape in (attention | {"o_proj": (hidden, wide)}).items()}
    shapes |= {f"mlp.{name}": shape for name, shape in mlp.items()}
    made = {f"{name}.weight": 1.5 * normal(seed + i, *shape) / math.sqrt(shape[1])
            for i, (name, shape) in enumerate(shapes.items())}  # fmt: skip
    biased = {"self_attn": config.attention_bias, "mlp": config.mlp_bias}
    made |= {f"{name}.bias": normal(seed + 10 + i, shape[0])
             for i, (name, shape) in enumerate(shapes.items()) if biased[name.partition(".")[0]]}  # fmt: skip
    made |= {name: 1 + normal(seed + 20 + i, hidden) / 2 for i, name in enumerate((FIRST, SECOND))}
    for name, value in (change or {}).items():
        made[name] = value if isinstance(value, torch.Tensor) else torch.full_like(made[name], value)
    return {name: weight.to(dtype) for name, weight in made.items()}


def runs(name: str, says: str, x, config=None, tolerance: float = 3e-4, degenerate: bool = False, tell=None, **more):
    """Enter the case `name`: what the layer makes of x."""
    enter = CASES(says, AXES, tolerance=tolerance, degenerate=degenerate, tell=tell)
    enter(lambda layer: layer(x, config or sizes(), **more)).__name__ = name


def tells_silence(found, wanted) -> str:
    return "I silenced both parts, and x did not come back: a layer only adds to what it is given."


SILENT = NO_ATTENTION | NO_MLP
runs("silent", "both parts silenced: x comes back", normal(1, 2, 5, 10), change=SILENT, degenerate=True,
     tell=tells_silence)  # fmt: skip
runs("attention_alone", "the MLP silenced: x + attention, which reads the normed x", normal(2, 2, 5, 10), change=NO_MLP,
     degenerate=True)  # fmt: skip
runs("mlp_alone", "attention silenced: x + what the MLP makes of the normed x", normal(3, 2, 5, 10),
     change=NO_ATTENTION, degenerate=True)  # fmt: skip


def tells_deaf(found, wanted) -> str:
    together = "With both parts on, what comes out is what each adds alone, together"
    deaf = f"{together}: the MLP does not hear what attention wrote."
    return deaf if found.shape == wanted.shape and found.abs().max() < 1e-4 else ""


@CASES("the MLP reads what attention wrote", AXES, tell=tells_deaf, degenerate=True)
def hears(layer):
    x, config = normal(4, 2, 5, 10), sizes()
    alone = layer(x, config, change=EVEN | NO_MLP) + layer(x, config, change=EVEN | NO_ATTENTION)
    return layer(x, config, change=EVEN) - alone + x


runs("fresh", "both parts, the norms with a gain of 1", normal(5, 2, 5, 10), change=EVEN)
runs("learnt", "each norm has a gain of its own", normal(6, 2, 5, 10))


@CASES("any size of x: attention and MLP read its direction only", AXES)
def sized(layer):
    return layer(normal(7, 2, 5, 10) / 30, sizes()), layer(30 * normal(8, 2, 5, 10), sizes())


LEAK = "I edited one text of the batch, and another moved."


@CASES("ten texts of two words, none of which sees another", AXES, tell=lambda found, wanted: LEAK)
def texts_apart(layer):
    x, config = normal(9, 10, 2, 10), sizes()
    moved = layer(x + torch.eye(10)[3, :, None, None], config) - layer(x, config)
    return torch.cat([moved[:3], moved[4:]])


runs("any_batch", "one text, and one word", normal(10, 1, 1, 10))


def angles(places):
    return LlamaRotaryEmbedding(4).angles(torch.as_tensor(places))


APART = angles([3, 50, 100, 7, 0])
MASK = (normal(13, 5, 5) > -0.4) | torch.eye(5).bool()
runs("given_rotation", "the rotation that is given reaches attention", normal(11, 2, 5, 10), rotation=APART)
runs("given_mask", "the mask that is given reaches attention", normal(12, 2, 5, 10), mask=MASK)


@CASES("the cache reaches attention: token by token gives the same", AXES, tolerance=1e-3)
def cached(layer):
    x, kept = normal(14, 2, 7, 10), KVCache()
    return torch.cat([layer(part, sizes(), cache=kept) for part in x.split([4, 1, 2], dim=1)], dim=1)


LARGE_EPS, BIASED = sizes(rms_norm_eps=2.0), sizes(attention_bias=True, mlp_bias=True)
runs("eps", "both norms have the eps of the config", normal(15, 2, 5, 10), LARGE_EPS)
runs("biases", "the config reaches attention and the MLP", normal(16, 2, 5, 10), BIASED)
runs("bfloat16", "bfloat16 comes back as bfloat16", normal(17, 2, 5, 10).bfloat16(), tolerance=6e-2)
runs("float64", "float64 comes back as float64", normal(18, 2, 5, 10).double())


@CASES("gradients reach the input and every weight", tolerance=2e-3, tell=tells_gradient)
def gradients(layer):
    x = normal(19, 2, 5, 10).requires_grad_()
    change = {name: weight.requires_grad_() for name, weight in weights(sizes(), 20).items()}
    return reached((layer(x, sizes(), change=change) * normal(50, 2, 5, 10)).sum(), x=x, **change)


runs("whole", "70 tokens, 18 wide", normal(51, 3, 70, 18), sizes(18), tolerance=1e-3)


def adapt(kind):
    """A class as the subject of the cases."""

    def layer(x, config, seed=60, change=None, **more):
        return run_with(built(kind, config).to(x.dtype), weights(config, seed, change, x.dtype), x, **more)

    return layer


def as_function(kind):
    """The same, where an answer is a function of a layer and x; all else is still a class."""
    if inspect.isclass(kind):
        return adapt(kind)

    class Answered(LlamaDecoderLayer):
        running = False

        def forward(self, x):
            if self.running:
                raise RuntimeError("the layer itself was called, which is what you write: call its parts and its norms")
            self.running = True
            try:
                return kind(self, x)
            finally:
                self.running = False

    return adapt(Answered)


NORMED, HEARD = "x, normed by input_layernorm", "what attention makes of it"
BETWEEN = "x + what attention made"
NORMED_AGAIN, THOUGHT = "that sum, normed by post_attention_layernorm", "what the MLP makes of it"
OUTPUT = "that sum + what the MLP made"


def steps(x, config, seed=60, change=None, rotation=None, mask=None, cache=None):
    """What is computed on the way, in its order."""
    if cache is not None:  # by now it holds other keys than when it was given
        return []
    given = weights(config, seed, change, x.dtype)

    def through(kind, name, *args):
        own = {key.removeprefix(f"{name}."): value for key, value in given.items() if key.startswith(f"{name}.")}
        return functional_call(kind(config).to(x.dtype), own, args)

    def normed(x, gain):
        size = x.float().square().mean(-1, keepdim=True) if x.dtype != torch.float64 else x.square().mean(-1, True)
        return (x / (size + config.rms_norm_eps).sqrt()).to(x.dtype) * given[gain]

    first = normed(x, FIRST)
    heard = through(LlamaAttention, "self_attn", first, rotation, mask)
    second = normed(x + heard, SECOND)
    thought = through(LlamaMLP, "mlp", second)
    return [
        Step(NORMED, first, (), axes=AXES),
        Step(HEARD, heard, axes=AXES),
        Step(BETWEEN, x + heard, axes=AXES),
        Step(NORMED_AGAIN, second, axes=AXES),
        Step(THOUGHT, thought, axes=AXES),
        Step(OUTPUT, x + heard + thought, (BETWEEN, THOUGHT), axes=AXES),
    ]


component.part(LlamaDecoderLayer, adapt, CASES, steps)


# ------------------------------------------------------------------------------------------------- what goes wrong

UNSEEN = "None in training, where the loss is as good or nearly so. Published weights give gibberish."
REFUSED = "Published weights cannot be loaded: a tensor is missing, unknown, or of another shape."
DEEP = "One layer learns, many do not: every word ends as the same vector, and the loss stays at a blind guess."
DEAF = "The loss is a little worse. Published weights give gibberish."
ATTEND = "self.self_attn(self.input_layernorm(x), rotation, mask, cache)"
THINK = "self.mlp(self.post_attention_layernorm(x))"
ADD_ATTENTION, ADD_THOUGHT = f"x = x + {ATTEND}", f"return x + {THINK}"
NORMED_X, NORMED_SUM = "self.input_layernorm(x)", "self.post_attention_layernorm(x)"
GIVEN = "rotation, mask, cache)"
MAKE_NORM = "LlamaRMSNorm(config.hidden_size, config.rms_norm_eps)"
MAKE_FIRST, MAKE_SECOND = (f"self.{name} = {MAKE_NORM}" for name in ("input_layernorm", "post_attention_layernorm"))


def bug(name: str, step, symptom: str, *edits: dict, says: str):
    component.bug(name, "LlamaDecoderLayer", *edits, step=step, symptom=symptom, says=says)


# fmt: off
bug("post_norm", (NORMED, NORMED_AGAIN), "The loss is worse, and many layers need a slow start.",
    {ADD_ATTENTION: f"x = self.input_layernorm(x + self.self_attn(x, {GIVEN})",
     ADD_THOUGHT: "return self.post_attention_layernorm(x + self.mlp(x))"},
    {ADD_ATTENTION: f"x = self.input_layernorm(x + self.self_attn(x, {GIVEN})"},
    {ADD_THOUGHT: "return self.post_attention_layernorm(x + self.mlp(x))"},
    says="You norm the sum, behind a part: that is a post-norm, which rescales the stream even when a layer is silent. "
    "Norm what a part reads, and add to x itself.")
bug("norm_behind_part", (NORMED, BETWEEN, NORMED_AGAIN), UNSEEN,
    {ATTEND: f"self.input_layernorm(self.self_attn(x, {GIVEN})", THINK: "self.post_attention_layernorm(self.mlp(x))"},
    {ATTEND: f"self.post_attention_layernorm({ATTEND})", THINK: "self.mlp(x)"},
    {ATTEND: f"self.input_layernorm(self.self_attn(x, {GIVEN})"},
    {THINK: "self.post_attention_layernorm(self.mlp(x))"},
    says="You norm what a part gives, before you add it. In Llama a norm stands before a part, and norms what it "
    "reads; post_attention_layernorm is the MLP's.")
bug("no_plus", BETWEEN, DEEP, {ADD_ATTENTION: f"x = {ATTEND}", ADD_THOUGHT: f"return {THINK}"},
    says="There is no plus: each part replaces what it read, and x is lost. Add to x what a part gives, twice.")
bug("one_plus", BETWEEN, DEEP,
    {ADD_ATTENTION: f"heard = {ATTEND}", ADD_THOUGHT: "return x + self.mlp(self.post_attention_layernorm(heard))"},
    says="There is one plus where there should be two: x + attention is what the MLP reads, and what it adds to.")
bug("each_part_twice", NORMED_AGAIN, UNSEEN,
    {ADD_THOUGHT: f"x = x + self.mlp({NORMED_X})\n        x = x + self.self_attn({NORMED_SUM}, {GIVEN}\n        "
     f"return x + {THINK}"},
    says="Each part is asked twice, once behind either norm. A part has one norm, and adds once: attention behind "
    "input_layernorm, the MLP behind post_attention_layernorm.")
bug("no_plus_at_attention", BETWEEN, DEEP, {ADD_ATTENTION: f"x = {ATTEND}"},
    says="What attention gives replaces x. Add it to x.")
bug("no_plus_at_mlp", OUTPUT, DEEP, {ADD_THOUGHT: f"return {THINK}"},
    says="What the MLP gives is returned alone. Add it to the x that it read, before the norm.")
bug("residual_from_normed_x", BETWEEN, "The loss is clearly worse. Published weights give gibberish.",
    {ADD_ATTENTION: f"x = self.input_layernorm(x)\n        x = x + self.self_attn(x, {GIVEN}"},
    {ADD_ATTENTION: f"x = self.input_layernorm(x)\n        x = x + self.self_attn(x, {GIVEN}",
     ADD_THOUGHT: "x = self.post_attention_layernorm(x)\n        return x + self.mlp(x)"},
    says="What attention gives is added to the normed x, and x itself is lost. Keep x, and add to that.")
bug("mlp_residual_from_normed_x", OUTPUT, "The loss is clearly worse. Published weights give gibberish.",
    {ADD_THOUGHT: "x = self.post_attention_layernorm(x)\n        return x + self.mlp(x)"},
    says="What the MLP gives is added to the normed sum. Add it to the sum itself.")
bug("residual_not_renewed", OUTPUT, "The loss is worse: what attention finds reaches the MLP, and nobody else.",
    {ADD_ATTENTION: f"residual = x\n        {ADD_ATTENTION}", ADD_THOUGHT: f"return residual + {THINK}"},
    says="The MLP's part is added to the x from before attention: what attention wrote is lost from the stream. "
    "Add to the sum that attention made.")
bug("x_added_again", OUTPUT, "The stream doubles in every layer. Published weights give gibberish.",
    {ADD_ATTENTION: f"residual = x\n        {ADD_ATTENTION}", ADD_THOUGHT: f"return residual + x + {THINK}"},
    says="x is in the sum twice: once by attention's plus, and once more at the end. Add only what the MLP gives.")
bug("one_norm_twice", (NORMED_AGAIN, NORMED), "None while both gains are 1. Published weights give gibberish.",
    {NORMED_SUM: NORMED_X}, {NORMED_X: NORMED_SUM},
    says="One norm serves both parts: equal while the gains are 1, and wrong once they have learnt. Attention is read "
    "through input_layernorm, the MLP through post_attention_layernorm.")
bug("norms_swapped", NORMED, UNSEEN,
    {ATTEND: ATTEND.replace(NORMED_X, NORMED_SUM), THINK: f"self.mlp({NORMED_X})"},
    says="The two norms have changed places. input_layernorm stands before attention, post_attention_layernorm after "
    "it: before the MLP.")
bug("no_norm_before_attention", NORMED, "Training jumps about as the stream grows.",
    {NORMED_X: "x"},
    says="Attention reads x as it is. It reads it through input_layernorm.")
bug("no_norm_before_mlp", NORMED_AGAIN, "Training jumps about as the stream grows.", {NORMED_SUM: "x"},
    says="The MLP reads the stream as it is. It reads it through post_attention_layernorm.")
bug("normed_twice", NORMED_AGAIN, "None while the gains are 1.",
    {NORMED_SUM: f"self.post_attention_layernorm({NORMED_X})"},
    says="The MLP's input goes through both norms. post_attention_layernorm alone reads the stream.")
bug("mlp_reads_the_blocks_input", (NORMED_AGAIN, OUTPUT), DEAF,
    {ADD_ATTENTION: f"return x + {ATTEND} + {THINK}"},
    {ADD_ATTENTION: f"start = x\n        {ADD_ATTENTION}", THINK: "self.mlp(self.post_attention_layernorm(start))"},
    {ADD_ATTENTION: "normed = self.input_layernorm(x)",
     ADD_THOUGHT: f"return x + self.self_attn(normed, {GIVEN} + self.mlp(normed)"},
    says="The two parts stand side by side: the MLP reads the layer's input and does not hear what attention found. It "
    "reads x + attention.")
bug("mlp_reads_attention_alone", NORMED_AGAIN, "The loss is a little worse, and the MLP does not know its own word.",
    {ADD_ATTENTION: f"heard = {ATTEND}",
     ADD_THOUGHT: "return x + heard + self.mlp(self.post_attention_layernorm(heard))"},
    says="The MLP reads only what attention gave. It reads the sum of that and x.")
bug("mlp_first", HEARD, DEAF,
    {ADD_ATTENTION: f"x = x + {THINK}", ADD_THOUGHT: f"return x + {ATTEND}"},
    {ADD_ATTENTION: "x = x + self.mlp(self.input_layernorm(x))",
     ADD_THOUGHT: f"return x + self.self_attn(self.post_attention_layernorm(x), {GIVEN}"},
    says="The MLP comes first. Words meet in attention, and then the MLP thinks about each.")
bug("mlp_missing", NORMED_AGAIN, "The loss is worse; the MLP's weights never change.", {ADD_THOUGHT: "return x"},
    says="The MLP is missing: its weights change nothing. Add what it makes of the normed sum.")
bug("attention_missing", HEARD, "The loss is that of a model that sees one word.", {f"        {ADD_ATTENTION}\n": ""},
    says="Attention is missing: editing a word moved no other. Begin with x + attention of the normed x.")
bug("rotation_not_passed", HEARD, "None in training. With padding tokens stand at the wrong positions.",
    {GIVEN: "None, mask, cache)"}, {GIVEN: "mask=mask, cache=cache)"},
    says="The rotation that the layer is given does not reach attention, which then counts from 0. Hand it on.")
bug("mask_not_passed", HEARD, "None without padding. With it, words look at the padding.",
    {GIVEN: "rotation, None, cache)"}, {GIVEN: "rotation, cache=cache)"},
    says="The mask that the layer is given does not reach attention. Hand it on.")
bug("cache_not_passed", HEARD, "None in training. In generation each new word sees itself alone.",
    {GIVEN: "rotation, mask)"},
    says="The cache that the layer is given does not reach attention: a new word sees no earlier one. Hand it on.")
bug("nothing_passed", HEARD, "None in training. Padding is seen, and generation loses the thread.",
    {f", {GIVEN}": ")"},
    says="rotation, mask and cache do not reach attention. Hand on all three.")
bug("given_in_another_order", HEARD, "An error that takes the mask for a rotation, or the rotation for a mask.",
    {GIVEN: "mask, rotation, cache)"},
    says="What attention is given stands in another order: rotation, mask, cache. Or name each: mask=mask.")
bug("eps_of_config_ignored", (NORMED, NORMED_AGAIN), "None while the stream is large. Small vectors come out larger.",
    {MAKE_FIRST: MAKE_FIRST.replace(", config.rms_norm_eps", ""),
     MAKE_SECOND: MAKE_SECOND.replace(", config.rms_norm_eps", "")},
    {MAKE_FIRST: MAKE_FIRST.replace(", config.rms_norm_eps", "")},
    {MAKE_SECOND: MAKE_SECOND.replace(", config.rms_norm_eps", "")},
    says="A norm has its own eps. The config says it: rms_norm_eps, for both.")
bug("metas_names", BUILT, REFUSED,
    {MAKE_FIRST: f"self.attention_norm = {MAKE_NORM}", MAKE_SECOND: f"self.ffn_norm = {MAKE_NORM}",
     "self.self_attn = ": "self.attention = ", "self.mlp = ": "self.feed_forward = ",
     ATTEND: f"self.attention(self.attention_norm(x), {GIVEN}", THINK: "self.feed_forward(self.ffn_norm(x))"},
    says="attention_norm, attention, ffn_norm and feed_forward are Meta's names. Published files say input_layernorm, "
    "self_attn, post_attention_layernorm and mlp, in this order.")
bug("own_names", BUILT, REFUSED,
    {MAKE_FIRST: f"self.norm1 = {MAKE_NORM}", MAKE_SECOND: f"self.norm2 = {MAKE_NORM}",
     NORMED_X: "self.norm1(x)", NORMED_SUM: "self.norm2(x)"},
    {"self.self_attn = ": "self.attn = ", "self.self_attn(": "self.attn("},
    {"self.self_attn = ": "self.attention = ", "self.self_attn(": "self.attention("},
    says="The names of the parts are your own. Published weights are found by name: input_layernorm, self_attn, "
    "post_attention_layernorm, mlp.")
# fmt: on


# ----------------------------------------------------------------------------------------------------- the exercises

READS, WRITES = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"), ("o_proj", "down_proj")


def judge_first_to_learn(answer) -> str:
    """The sentence on the matrices of a silent layer that a first gradient reaches."""
    if not isinstance(answer, set | frozenset | list | tuple) or not set(answer) <= {*READS, *WRITES}:
        return f"the answer is a set of some of {[*READS, *WRITES]}, got {answer!r:.80}"
    if not answer:
        return "a part that gives 0 is not dead: the gradient of its last matrix is made of what that matrix reads"
    behind = [name for name in READS if name in answer]
    if behind:
        last = WRITES[0] if behind[0] in READS[:3] else WRITES[1]
        return f"whatever comes back to {behind[0]} comes through {last}, and every number of {last} is 0"
    missing = [name for name in WRITES if name not in answer]
    return f"one more learns: {missing[0]}; what it reads is not 0" if missing else ""


MISSED = {
    3: "that is the one that is missed least: without layer 3 the loss is hardly another",
    4: "the last one is missed, too, but more is lost with one on which all the others build",
    2: "without layer 2 it guesses a little worse; look for one on which more of the others build",
    1: "without layer 1 it guesses a little worse; look for one on which more of the others build",
}


def judge_most_missed(answer) -> str:
    """The sentence on the layer of the shipped model without which its loss is the largest."""
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer <= 4:
        return f"the answer is the number of a layer, 0 to 4, got {answer!r:.60}"
    return MISSED.get(answer, "")


def judge_parallel(answer, times: float = 1.0) -> str:
    """The sentence on a layer whose two parts read the same x, what they add multiplied by `times`."""
    for batch, seq, seed in ((2, 5, 70), (10, 2, 80), (1, 1, 90)):
        layer, x = LlamaDecoderLayer(sizes()), normal(seed, batch, seq, 10)
        layer.load_state_dict(weights(sizes(), seed))
        with torch.no_grad():
            mine = answer(layer, x)
            first, second = layer.input_layernorm(x), layer.post_attention_layernorm(x)
            heard, thought = layer.self_attn(first), layer.mlp(second)
            after, by_first = layer.mlp(layer.post_attention_layernorm(x + times * heard)), layer.mlp(first)
            of_heard = layer.mlp(layer.post_attention_layernorm(heard))
            known = {
                "its MLP still reads what attention wrote: that is one after the other": x + times * (heard + after),
                "its MLP reads what attention gave, and not x": x + times * (heard + of_heard),
                "its MLP gives its own part alone: what attention gave is not in the sum": x + times * of_heard,
                "its MLP reads x through attention's norm; it has one of its own": x + times * (heard + by_first),
                "your sum holds x twice, once for each part": 2 * x + times * (heard + thought),
                "your sum lacks x itself": times * (heard + thought),
                "the two norms have changed places": x + times * (layer.self_attn(second) + by_first),
                "the parts read x without their norms": x + times * (layer.self_attn(x) + layer.mlp(x)),
                "the MLP's norm reads what attention's norm gave; it reads x": x
                + times * (heard + layer.mlp(layer.post_attention_layernorm(first))),
                "what the parts give is added to the normed x: add it to x itself": first + times * (heard + thought),
                "you halve the sum; nothing is averaged, both are added to x": x + times * (heard + thought) / 2,
            }
            if times != 1:
                known["what the parts add is to be multiplied, and is not"] = x + heard + thought
                known["you multiply x as well; multiply only what the parts add"] = times * (x + heard + thought)
        wanted = x + times * (heard + thought)
        fault = same_tensor("your parallel_layer", mine, wanted, 1e-4)
        if fault:
            alike = (told for told, wrong in known.items() if not same_tensor("", mine, wrong, 1e-4))
            return next(alike, fault)
    return ""


WORKED_PARALLEL = """def parallel_layer(layer, x):
    # No part and no norm is called by name: Llama's own layer runs twice, each time with one part silenced.
    # With attention silent the MLP reads x as it came in, which is all that “parallel” means.
    # Each run gives x and what one part adds, so x is taken off once.
    silent = {name: torch.zeros_like(layer.get_parameter(name))
              for name in ("self_attn.o_proj.weight", "mlp.down_proj.weight")}
    thinks, hears = (torch.func.functional_call(layer, {name: zeros}, x) for name, zeros in silent.items())
    return hears + thinks - x


def deaf_mlp(kind):
    # Nothing is edited: the gradient of what the MLP reads at the last word says whether it hears the first.
    # Where no path leads from the first word to it, that gradient is exactly 0.
    layer = kind(LlamaConfig(hidden_size=8, num_attention_heads=2, intermediate_size=12))
    x, read = torch.randn(1, 5, 8, requires_grad=True), []
    layer.mlp.register_forward_pre_hook(lambda mlp, inputs: read.append(inputs[0]))
    layer(x)
    return not torch.autograd.grad(read[0][0, -1].square().sum(), x)[0][0, 0].any().item()"""

DEAF_STEPS = (
    "The probe: a hook (`layer.mlp.register_forward_pre_hook`; it is called with the MLP and a tuple of what the MLP "
    "reads) keeps what the MLP reads; run x, edit its first word, run again; did what it reads at the last word move?"
)
DEAF_TASK = "Say whether an earlier word moves nothing that the MLP reads at a later one."


def seeded_parallel(seed: int) -> dict:
    """By how much what the parts add is multiplied, as Granite does with 0.22."""
    times = chosen(seed, (0.22, 0.24, 0.26, 0.28, 0.3, 0.32, 0.34, 0.36, 0.38, 0.4, 0.42))
    task = f"Let both parts read the same x, and add {times} times what they give."
    return {
        "task": task,
        "text": "GPT-NeoX lets attention and the MLP work at the same time: both read the x that comes in, each "
        f"through its own norm. Yours adds **{times}** times what they give, as Granite does. Write it, of the parts "
        "of a `LlamaDecoderLayer`. And since silence cannot tell it from Llama's, write the **probe** that does.",
        "hints": (
            "Which x does each of the two norms read? Which x is added to, and what is multiplied?",
            "*It gives what Llama's layer gives*: x was overwritten before the MLP read it. *x is in the sum twice*: "
            "each part adds to the same x, once. *My probe says False of all*: the first word moves by itself; what "
            "the MLP reads of it is no news. Look at a later word.",
            f"attention of x normed, and the MLP of x normed, each by its own norm; x, and {times} times the sum of "
            f"both. {DEAF_STEPS}",
        ),
        "starter": f'''def parallel_layer(layer, x):
    """What layer's two parts make of x (batch, seq, hidden) at once; {times} times what they give is added."""
    raise NotImplementedError("{task}")


def deaf_mlp(kind) -> bool:
    """Whether an earlier word moves nothing that the MLP reads at a later one, in the layers kind(config) makes."""
    raise NotImplementedError("{DEAF_TASK}")''',
        "answers": {"parallel_layer": partial(judge_parallel, times=times), "deaf_mlp": DEAF_MLP},
        "worked": WORKED_PARALLEL.replace("so x is taken off once.", f"so x is taken off; {times} of both is added.")
        .replace("return hears + thinks - x", f"return x + {times} * (hears - x + thinks - x)"),
    }


DEAF_MLP = component.probe(
    "LlamaDecoderLayer",
    yes=("mlp_reads_the_blocks_input", "mlp_first", "attention_missing"),
    no=("no_plus", "post_norm", "one_norm_twice", "mlp_reads_attention_alone"),
    because={
        "": "There the edit of an earlier word does reach what the MLP reads: edit a copy of x, run both, and look "
        "at a word that stands after the edited one",
        "no_plus": "The MLP hears an earlier word there, whatever else is wrong: do not compare with Llama's layer",
        "mlp_reads_the_blocks_input": "The edited word moves at its own place, and what the layer gives moves by "
        "attention: look at what the MLP reads, at a later word only",
    },
)
SLIPS = {
    1.1: "that is the stream after one part; six layers have twelve",
    1.21: "that is the stream after one layer; there are six",
    1.1**11: "eleven parts; six layers have twelve",
    1.1**6: "six layers have twelve parts",
    1.2**6: "the MLP reads what attention has added already: a layer makes 1.21 of 1, not 1.2",
    1.1**12 - 1: "that is what all parts have added; the stream began at 1",
    1 + 12 * 0.1: "each part reads the stream as it has become, not as it was at the start",
    1 + 6 * 0.1: "six layers have twelve parts, and each reads the stream as it has become",
    0.1**12: "that is without the plus: a part adds to the stream what it makes of it",
    0.1**6: "that is without the plus, and six layers have twelve parts",
}
component.exercises = (
    Exercise(
        name="LlamaDecoderLayer.forward",
        kind="implement",
        task="Add to x what attention makes of it, then what the MLP makes of that.",
        difficulty=2,
        importance=5,
        minutes=8,
        hints=(
            "Two steps of one form. For each: which norm, which part, and to what is its answer added?",
            "*A silent layer does not return x*: what a norm gives is only for the part to read; add to the x from "
            "before the norm. *Silence is right and the rest is not*: each part has a norm of its own, and the MLP "
            "reads the sum. *Masked or cached words are wrong*: attention takes three things besides x.",
            "x normed by the first norm → attention, with rotation, mask and cache → added to x → that sum normed by "
            "the second norm → the MLP → added to that sum.",
        ),
    ),
    Exercise(
        name="grown_stream",
        kind="predict",
        title="A stream of one number",
        text="Let the stream be one number, and leave the norms out. It begins at 1. Each part, attention or MLP, "
        "gives a tenth of what it reads, and adds it. What is in the stream after six layers? To two places.",
        task="Type what the stream of one number holds after six layers.",
        difficulty=2,
        importance=4,
        minutes=4,
        hints=(
            "What does one part make of 1? And the next part of that?",
            "*I get 1.77*: a layer has two parts. *I get 2.2*: a part reads what the stream is by then, with all that "
            "others have added. *I get nearly 0*: the part does not replace what it read.",
            "1.1 to the power of the number of parts.",
        ),
        starter="grown_stream = ...  # your number",
        answers={"grown_stream": typed_number(1.1**12, 0.005, SLIPS)},
        solution="""grown_stream = 1.0
for part in range(12):
    grown_stream = grown_stream + 0.1 * grown_stream""",
        why="1.1¹² = 3.14. Multiplied out, it is 1 + 12 · 0.1 + 66 · 0.01 + …: the start itself, then what each part "
        "made of the start alone, then each pair of parts, one after the other. Without the plus only the last of the "
        "terms is left, 0.1¹². A gradient goes the same ways back, and finds the 1.",
    ),
    Exercise(
        name="first_to_learn",
        kind="predict",
        title="What a silent layer learns first",
        text="Some train deep models whose layers all begin silent: every number of `o_proj` and `down_proj` is 0, so "
        "that each layer returns x. Then a loss on what comes out is computed, and its gradients. Which of the seven "
        "matrices `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`, `up_proj`, `down_proj` get one that is not 0?",
        task="Type the set of matrices that get a gradient other than 0.",
        difficulty=3,
        importance=4,
        minutes=5,
        hints=(
            "The gradient of a matrix is made of two things: what it reads, and what comes back to its output.",
            "*I have none*: the output is 0, but the loss still asks in which direction it should move. *I have all "
            "seven*: on the way back to q, k and v a gradient passes through `o_proj` itself.",
            "`o_proj` reads mixed values, which are not 0, and something comes back to it from the stream. What comes "
            "back to `v_proj` is multiplied by `o_proj` first. The same with the MLP.",
        ),
        starter='first_to_learn = ...  # a set, such as {"q_proj", "k_proj"}',
        answers={"first_to_learn": judge_first_to_learn},
        solution="""def with_a_gradient():
    silent = LlamaDecoderLayer(LlamaConfig(hidden_size=48, num_attention_heads=3))
    nn.init.zeros_(silent.self_attn.o_proj.weight)
    nn.init.zeros_(silent.mlp.down_proj.weight)
    silent(torch.randn(2, 5, 48)).square().sum().backward()
    matrices = {name.split(".")[1]: weight for name, weight in silent.named_parameters() if "proj" in name}
    return {name for name, weight in matrices.items() if weight.grad.any()}


first_to_learn = with_a_gradient()""",
        why="Only the two that write. After one step they are not 0 any more, and everything behind them learns: a "
        "silent layer is not a dead one. It begins as the identity, which is a good place to begin in a deep model.",
    ),
    Exercise(
        name="most_missed",
        kind="predict",
        title="A layer of a real model is deleted",
        text="The model that `talk` lets speak has five layers, 0 to 4. Delete one, change nothing else, and let it "
        "read a text. Without which one does it guess the next token worst?",
        task="Type the number of the layer that is missed most, 0 to 4.",
        difficulty=1,
        importance=3,
        minutes=3,
        hints=(
            "All five read one stream. Whose words do the others read, and who writes last?",
            "*I said 4*: the last layer is near the readout, but nothing reads it besides. Which layer does every "
            "other one read?",
            "The first layers find in the stream nothing but single tokens, each by itself.",
        ),
        starter="most_missed = ...  # 0, 1, 2, 3 or 4",
        answers={"most_missed": judge_most_missed},
        solution='''def losses_without_one(text):
    from copy import deepcopy

    from llama_tutorial import load_shipped

    shipped, tokenizer = load_shipped()
    model = deepcopy(shipped)  # others use the shipped one, too
    tokens, whole, losses = torch.tensor([tokenizer.encode(text)]), list(model.model.layers), []
    for i in range(5):
        model.model.layers = nn.ModuleList(whole[:i] + whole[i + 1 :])
        with torch.no_grad():
            losses.append(F.cross_entropy(model(tokens)[0, :-1], tokens[0, 1:]).item())
    return losses


losses = losses_without_one(
    "A generator is a function that gives its values one after another. When the function is called, its body does "
    "not run yet; a generator object is returned instead. Each call of next() runs the body up to the next yield "
    "statement, and the value of the expression is handed to the caller."
)
most_missed = losses.index(max(losses))''',
        why="On the lesson's text the whole model has a loss of 4.2. Without layer 0 it is 7.2, nearly a blind guess "
        "(ln 2048 = 7.6): it is the only one that all the others have learnt to read. Without layer 4 it is 5.8, and "
        "without layer 3 hardly anything changes.",
    ),
    Exercise(
        name="mended_layer",
        kind="find the bug",
        title="Right until it has learnt",
        text="Fresh, this layer gives what Llama's gives, and silenced it returns x. With published weights the model "
        "babbles. Mend it, and write the **probe**: a function that is given a class of layers and says whether one "
        "of their two norms is of no use, so that its gain can be anything.",
        task="Say whether kind(config) makes layers in which one norm's gain changes nothing.",
        difficulty=2,
        importance=4,
        minutes=12,
        hints=(
            "What do the two norms hold when they are fresh, and what once they have learnt?",
            "*My probe says False of every layer*: doubling both gains at once always changes something. One gain at a "
            "time. *It says True of one whose norms have changed places*: both are of use there; ask about use, and "
            "do not compare with Llama's. *An error about a leaf*: change weights under `torch.no_grad()`.",
            "Each part has a norm of its own. For the probe: run x, double the gain of one norm, run x again; nothing "
            "moved? Then the same with the other norm.",
        ),
        starter='''def mended_layer(layer, x):
    """What layer's parts make of x (batch, seq, hidden), with a mistake: mend it."""
    norm = layer.input_layernorm
    for part in (layer.self_attn, layer.mlp):
        x = x + part(norm(x))
    return x


def has_an_idle_norm(kind) -> bool:
    """Whether in the layers that kind(config) makes, such as LlamaDecoderLayer(config), one norm changes nothing."""
    raise NotImplementedError("Say whether kind(config) makes layers in which one norm's gain changes nothing.")''',
        answers={
            "mended_layer": component.like(
                "mended_layer", "LlamaDecoderLayer", ("given_rotation", "given_mask", "cached"), as_function
            ),
            "has_an_idle_norm": component.probe(
                "LlamaDecoderLayer",
                yes=("one_norm_twice", "no_norm_before_attention", "no_norm_before_mlp", "mlp_missing"),
                no=("norms_swapped", "norm_behind_part", "normed_twice", "no_plus"),
                because={
                    "": "Both of its norms are of use: each gain, doubled, moves what the layer gives",
                    "norms_swapped": "Both are of use there, in the wrong place: do not compare with Llama's layer",
                    "one_norm_twice": "Try both norms, one at a time: give the same x before and after one gain alone "
                    "is doubled",
                },
            ),
        },
        solution="""def mended_layer(layer, x):
    for norm, part in ((layer.input_layernorm, layer.self_attn), (layer.post_attention_layernorm, layer.mlp)):
        x = x + part(norm(x))
    return x


def has_an_idle_norm(kind) -> bool:
    layer, x = kind(LlamaConfig(hidden_size=8, num_attention_heads=2, intermediate_size=12)), torch.randn(1, 5, 8)
    for norm in (layer.input_layernorm, layer.post_attention_layernorm):
        with torch.no_grad():
            before = layer(x)
            norm.weight *= 2
            if torch.equal(layer(x), before):
                return True
    return False""",
        why="Two fresh norms are one and the same function, so no test of a fresh layer can tell them apart. Give each "
        "a gain of its own before you test, and ask of every weight whether it matters.",
    ),
    Exercise(
        name="parallel_layer",
        kind="transfer",
        title="Both at once",
        text="GPT-NeoX lets attention and the MLP work at the same time: both read the x that comes in, each "
        "through its own norm, and both add to it. Write it, of the parts of a `LlamaDecoderLayer`. And since silence "
        "cannot tell it from Llama's, write the **probe** that does.",
        task="Let both parts read the same x, each through its own norm.",
        difficulty=3,
        importance=3,
        minutes=15,
        hints=(
            "Which x does each of the two norms read? And how often is x itself in the sum?",
            "*It gives what Llama's layer gives*: x was overwritten before the MLP read it. *x is in the sum twice*: "
            "each part adds to the same x, once. *My probe says False of all*: the first word moves by itself; what "
            "the MLP reads of it is no news. Look at a later word.",
            "attention of x normed, and the MLP of x normed, each by its own norm; the sum of both and x. "
            f"{DEAF_STEPS}",
        ),
        starter=f'''def parallel_layer(layer, x):
    """What layer's two parts make of x (batch, seq, hidden), both at once."""
    raise NotImplementedError("Let both parts read the same x, each through its own norm.")


def deaf_mlp(kind) -> bool:
    """Whether an earlier word moves nothing that the MLP reads at a later one, in the layers kind(config) makes."""
    raise NotImplementedError("{DEAF_TASK}")''',
        answers={"parallel_layer": judge_parallel, "deaf_mlp": DEAF_MLP},
        worked=WORKED_PARALLEL,
        seeded=seeded_parallel,
    ),
)
