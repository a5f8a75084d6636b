"""The model: what must hold of its positions and mask, and of the whole, what goes wrong, and its exercises.

Subjects are called as place(attention_mask, past, seq, device) and give (positions, mask); and as model(ids, config,
seed=…, change={…}, attention_mask=…, positions=…, cache=…): `seed` draws the weights, by the names that are published.
"""


import torch
from torch import nn
from torch.func import functional_call

from ...attention import causal_mask
from ...config import LlamaConfig
from ...decoder_layer import LlamaDecoderLayer
from ...kv_cache import KVCache
from ...model import LlamaModel, positions_and_mask
from ...rotary import LlamaRotaryEmbedding
from ..course.exercise import Exercise, first_fault, said, same_tensor, typed_number
from ..judge.guard import Fault, Misnamed, call
from ..judge.parts import Cases, Component, Step
from ..judge.steps import BUILT
from ..judge.subjects import built, normal, reached, run_with, tells_gradient
from .decoder_layer import weights as weights_of_layer

component = Component("model")


# --------------------------------------------------------------------------- what must hold of positions and mask

PLACES = Cases()
LEFT = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
HOLES = torch.tensor([[1, 0, 1, 1, 0, 1], [0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
LATER = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1]])
MASK_AXES = "batch head query key"


@PLACES("without a mask positions count on from the past, and each token sees those before it")
def unmasked(place):
    return (*place(None, 0, 5), *place(None, 3, 2))


@PLACES("a position is the number of real tokens before it", "batch seq")
def counted(place):
    return place(LEFT, 0, 5)[0], place(HOLES, 0, 6)[0]


@PLACES("a real token sees the real ones up to itself", "batch head query key")
def real_rows(place):
    seen = place(LEFT, 0, 5)[1]
    return seen[0, :, 2:], seen[1]


@PLACES("padding sees itself, and only what is real besides", MASK_AXES)
def padded_rows(place):
    return place(LEFT, 0, 5)[1], place(HOLES, 0, 6)[1]


@PLACES("with a past: the queries are the last of the keys", MASK_AXES, degenerate=True)
def after_a_past(place):
    return (*place(LATER, 4, 3), *place(LATER, 6, 1))


@PLACES("padding among what is new, behind a past", MASK_AXES)
def padded_late(place):
    return place(HOLES, 2, 4)


@PLACES("a mask of bool says the same as one of 0 and 1", MASK_AXES)
def of_bool(place):
    return place(LEFT.bool(), 0, 5)


@PLACES("unless a mask says where, positions are made on the device that is asked for")
def on_a_device(place):
    found = place(None, 3, 5, "meta")[0]
    if not found.is_meta:
        raise Fault(f"I asked for the device meta, and the positions came on {found.device}: hand `device` on.")
    return torch.tensor(found.shape)


@PLACES("331 tokens", MASK_AXES)
def long_text(place):
    return place(normal(1, 2, 331) > -0.4, 100, 231)


def alike_at_padding(positions, real, seq: int):
    """Positions in which padding behind a word stands where the lesson puts it, also if all real ones are counted."""
    ours, before = (real.cumsum(-1) - 1).clamp(min=0)[:, -seq:], (real.cumsum(-1) - real.long())[:, -seq:]
    if positions.shape != ours.shape or positions.dtype != ours.dtype:
        return positions
    return torch.where(~real[:, -seq:] & (positions == before), ours, positions)


def adapt_places(function):
    """A function as the subject; no mask at all is told as the causal one, which attention makes of it."""

    def place(attention_mask, past, seq, device=None):
        given = (attention_mask, past, seq) if device is None else (attention_mask, past, seq, device)
        found = function(*given) if device else call(function, *given)
        if not isinstance(found, tuple | list) or len(found) != 2 or not isinstance(found[0], torch.Tensor):
            raise Fault("It should return two things: the positions, a tensor, and the mask.")
        positions, mask = found
        if attention_mask is not None:
            return alike_at_padding(positions, attention_mask.bool(), seq), mask
        if device:
            return positions, mask
        if mask is not None:
            mask = mask.reshape(mask.shape[-2:]) if mask.numel() == seq * (past + seq) else mask
        return positions, causal_mask(seq, past + seq) if mask is None else mask

    return place


POSITIONS, SEEN = "the positions", "what each may see"


def beside_the_mask(attention_mask, past: int, seq: int) -> list[Step]:
    """What right ways may pass through: the real keys and the padding, as numbers, and the masks that are combined."""
    if attention_mask is None:
        return []
    real, causal = attention_mask.bool(), causal_mask(seq, past + seq)
    made = {"the real keys": real.long(), "the padding": (~real).long(), "the causal mask": causal}
    made["oneself, before it is moved"] = torch.eye(seq, past + seq, dtype=torch.bool)
    made["oneself"] = torch.eye(past + seq, dtype=torch.bool)[past:]
    made["the real ones up to oneself"] = causal & real[:, None, None]
    return [Step(name, value, (), waypoint=True) for name, value in made.items()]


def steps_of_places(attention_mask, past, seq, device=None):
    """What is computed on the way, in its order."""
    positions, mask = positions_and_mask(attention_mask, past, seq)
    if mask is None:
        return [Step(POSITIONS, positions, (), axes="seq")]
    first, last = Step(POSITIONS, positions, (), axes="batch seq"), Step(SEEN, mask, (), axes=MASK_AXES, shaped=True)
    return [first, *beside_the_mask(attention_mask, past, seq), last]


component.part(positions_and_mask, adapt_places, PLACES, steps_of_places)


# ------------------------------------------------------------------------------------ what must hold of the model

CASES = Cases()
AXES = "batch seq hidden"
VOCAB, HIDDEN = 23, 10


def sizes(layers: int = 2, **more) -> LlamaConfig:
    """A config whose axes all differ."""
    heads = {"num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 4}
    shape = {"vocab_size": VOCAB, "hidden_size": HIDDEN, "intermediate_size": 14, "num_hidden_layers": layers}
    return LlamaConfig(**{**shape, **heads, **more})


def weights(config, seed: int, change=None, dtype=torch.float32) -> dict:
    """Random weights by their published names; every gain is its own."""
    made = {"embed_tokens.weight": normal(seed, config.vocab_size, config.hidden_size)}
    for i in range(config.num_hidden_layers):
        layer = weights_of_layer(config, seed + 40 * (i + 1))
        made |= {f"layers.{i}.{name}": weight for name, weight in layer.items()}
    made["norm.weight"] = 1 + normal(seed + 1, config.hidden_size) / 2
    for name in made:
        for ending, value in (change or {}).items():
            if name.endswith(ending):
                made[name] = value if isinstance(value, torch.Tensor) else torch.full_like(made[name], value)
    return {name: weight.to(dtype) for name, weight in made.items()}


def words(seed: int, *shape: int):
    """Random ids that are the same on every call."""
    return torch.randint(VOCAB, shape, generator=torch.Generator("cpu").manual_seed(seed))


def runs(name: str, says: str, ids, config=None, tolerance: float = 5e-4, degenerate: bool = False, **more):
    """Enter the case `name`: what the model makes of these ids."""
    enter = CASES(says, AXES, tolerance=tolerance, degenerate=degenerate)
    enter(lambda model: model(ids, config or sizes(), **more)).__name__ = name


SILENT = {"o_proj.weight": 0.0, "down_proj.weight": 0.0}
runs("looked_up", "all layers silenced: the words' vectors, normed", words(1, 2, 5), change=SILENT, degenerate=True)
runs("one_layer", "one layer", words(2, 2, 5), sizes(1))
runs("two_layers", "two layers, each with weights of its own", words(3, 2, 5))
runs("even_gain", "the last norm with a gain of 1", words(4, 2, 5), change={"layers.0.norm": 1.0, "norm.weight": 1.0})


@CASES("every layer has weights of its own")
def own_layers(model):
    return torch.tensor(model(None, sizes(3), ask="count"))


@CASES("fresh: every matrix and table starts with the standard deviation of the config, biases with 0, gains with 1")
def fresh(model):
    wide = {"hidden_size": 96, "intermediate_size": 120, "head_dim": 32, "vocab_size": 500}
    return tuple(model(None, sizes(attention_bias=True, mlp_bias=True, initializer_range=size, **wide), ask="fresh")
                 for size in (0.02, 0.2))  # fmt: skip


@CASES("editing word 5 moves nothing before it", AXES)
def causal(model):
    edited = words(5, 2, 9)
    edited[:, 5] = (edited[:, 5] + 1) % VOCAB
    return (model(edited, sizes()) - model(words(5, 2, 9), sizes()))[:, :5]


runs("any_batch", "ten texts of two words", words(6, 10, 2))
runs("int32", "ids of int32", words(7, 2, 5).int())


@CASES("with padding, the words' vectors", AXES)
def padded(model):
    found = model(words(8, 2, 5), sizes(), attention_mask=LEFT)
    return found[0, 2:], found[1]


@CASES("padding between words: the words' vectors", AXES)
def gaps(model):
    found = model(words(22, 3, 6), sizes(), attention_mask=HOLES)
    return tuple(each[real.bool()] for each, real in zip(found, HOLES))


runs("positions", "positions that are given turn the words", words(9, 2, 5), positions=torch.tensor([3, 50, 100, 7, 0]))


BEHIND = {"past": words(23, 3, 4), "tolerance": 1e-3}
runs("behind", "behind a past that is cached", words(24, 3, 3), **BEHIND)
runs("behind_padded", "behind a cached past, with padding in it", words(24, 3, 3), **BEHIND, attention_mask=LATER)


@CASES("the cache reaches every layer: word by word gives the same", AXES, tolerance=1e-3)
def cached(model):
    ids, kept = words(10, 2, 7), [KVCache(), KVCache()]
    return torch.cat([model(part, sizes(), cache=kept) for part in ids.split([4, 1, 2], dim=1)], dim=1)


@CASES("padding and a cache together", AXES, tolerance=1e-3)
def cached_and_padded(model):
    ids, kept, real = words(11, 3, 7), [KVCache(), KVCache()], LATER
    first = model(ids[:, :4], sizes(), attention_mask=real[:, :4], cache=kept)
    rest = model(ids[:, 4:], sizes(), attention_mask=real, cache=kept)
    return torch.cat([first[:, 2:], rest], dim=1)


runs("eps", "the last norm has the eps of the config", words(12, 2, 5), sizes(rms_norm_eps=2.0))
SCALED = sizes(rope_theta=100.0, rope_scaling={"rope_type": "linear", "factor": 4.0})
runs("rotation", "the config's theta and scaling turn the words", words(13, 2, 41), SCALED)
runs("biases", "the config reaches the layers", words(14, 2, 5), sizes(attention_bias=True, mlp_bias=True))
runs("bfloat16", "in bfloat16 it gives bfloat16", words(15, 2, 5), dtype=torch.bfloat16, tolerance=1e-1)
runs("float64", "in float64 it gives float64", words(16, 2, 5), dtype=torch.float64)


@CASES("a mask of floats, 0 for “look” and −∞ for “do not”, is refused", later=True)
def refuses_floats(model):
    try:
        model(words(17, 1, 3), sizes(), attention_mask=torch.tensor([[0.0, 0.0, -torch.inf]]))
    except Exception:
        return torch.tensor(True)
    raise Fault("A mask of floats came through, where 0 means look: read as true or false it means the opposite.")


@CASES("gradients reach every weight", tolerance=3e-3, tell=tells_gradient)
def gradients(model):
    change = {name: weight.requires_grad_() for name, weight in weights(sizes(), 18).items()}
    return reached((model(words(19, 2, 5), sizes(), change=change) * normal(20, 2, 5, HIDDEN)).sum(), **change)


runs("whole", "three layers, 70 words", words(21, 3, 70), sizes(3), tolerance=2e-3)


def refuse_start(module) -> None:
    """Fault where a fresh matrix is not of the size that the config asks for, or a bias not 0; told at init_weights."""
    spread, wrong = module.config.initializer_range, []
    for name, weight in module.named_parameters():
        size = float(weight.std()) / spread
        if weight.ndim == 2 and not 0.9 < size < 1.1:
            wrong.append(f"{name} {size:.2g}")
    if wrong:
        more = f" and {len(wrong) - 2} more" if len(wrong) > 2 else ""
        told = f"Fresh standard deviations in units of initializer_range: {', '.join(wrong[:2])}{more}."
        raise Misnamed(told, "init_weights")
    for name, weight in module.named_parameters():
        if name.endswith("bias") and weight.any():
            raise Misnamed(f"A fresh {name} is not 0.", "init_weights")


def fresh_sizes(module) -> torch.Tensor:
    """How large the numbers of a fresh model are, in units of the config's own size: its widest tensors, the rest."""
    spread = module.config.initializer_range if hasattr(module, "config") else 0.02
    matrices = [weight.std() / spread for weight in module.parameters() if weight.ndim == 2]
    others = [weight.mean() if weight.eq(weight.round()).all() else torch.tensor(torch.pi)
              for weight in module.parameters() if weight.ndim == 1]  # fmt: skip
    return torch.stack([*matrices, *others]).detach().mul(5).round() / 5  # chance moves them by a few percent


def read_before(config, given: dict, past, attention_mask=None) -> list[KVCache]:
    """The caches of a model that has read `past`, of which the mask may tell."""
    kept = [KVCache() for _ in range(config.num_hidden_layers)]
    real = None if attention_mask is None else attention_mask[:, : past.shape[1]]
    functional_call(LlamaModel(config).to(given["norm.weight"].dtype), given, (past, real), {"cache": kept})
    return kept


def adapt(kind):
    """A class as the subject of the cases."""

    def model(ids, config, seed=60, change=None, dtype=torch.float32, ask="", past=None, **more):
        module = built(kind, config)
        if ask == "count":
            return sum(weight.numel() for weight in module.parameters())
        if ask == "fresh":
            module.config = config
            refuse_start(module)
            return fresh_sizes(module)
        seen = {}
        for name, weight in module.named_parameters(remove_duplicate=False):
            if seen.setdefault(id(weight), name) != name:
                raise Misnamed(f"Two of its parameters are one and the same: {seen[id(weight)]} and {name}.", name)
        given = weights(config, seed, change, dtype)
        if past is not None:
            more["cache"] = read_before(config, given, past, more.get("attention_mask"))
        return run_with(module.to(dtype), given, ids, **more)

    return model


EMBEDDED, FIRST, SECOND = "the words' vectors", "what layer 0 makes", "what layer 1 makes"
OUTPUT = "that, normed by the last norm"


def steps(ids, config, seed=60, change=None, dtype=torch.float32, ask="", attention_mask=None, positions=None,
          cache=None, past=None):  # fmt: skip
    """What is computed on the way, in its order."""
    if cache is not None or ids is None:  # by now a cache holds other keys than when it was given
        return []
    given, before = weights(config, seed, change, dtype), 0 if past is None else past.shape[1]
    kept = read_before(config, given, past, attention_mask) if before else [None] * config.num_hidden_layers
    counted, mask = positions_and_mask(attention_mask, before, ids.shape[1])
    rotary = LlamaRotaryEmbedding(config.head_dim, config.rope_theta, config.rope_scaling)
    rotation = rotary.angles(counted if positions is None else positions)
    x = given["embed_tokens.weight"][ids.long()]
    cos, sin = rotation
    ready = {"cosines": cos, "sines": sin}
    ready |= {"cosines, twice": torch.cat([cos, cos], -1), "both signs": torch.cat([-sin, sin], -1)}
    beside = {"smallest id": ids.min(), "largest id": ids.max(), "positions": counted, "mask": mask, **ready}
    made = [Step(name, value, (), waypoint=True) for name, value in beside.items() if value is not None]
    made += beside_the_mask(attention_mask, before, ids.shape[1])
    made.append(Step(EMBEDDED, x, (), axes=AXES))
    layer = LlamaDecoderLayer(config).to(dtype)
    for i in range(config.num_hidden_layers):
        own = {name.removeprefix(f"layers.{i}."): weight for name, weight in given.items()
               if name.startswith(f"layers.{i}.")}  # fmt: skip
        x = functional_call(layer, own, (x, rotation, mask, kept[i]))
        made.append(Step(f"what layer {i} makes", x, (made[-1].name if i else EMBEDDED,), axes=AXES))
    wide = x if dtype == torch.float64 else x.float()
    size = wide.square().mean(-1, keepdim=True)
    made.append(Step(OUTPUT, (wide / (size + config.rms_norm_eps).sqrt()).to(dtype) * given["norm.weight"], axes=AXES))
    return made


# Nobody reads the vectors of padding: what spoils them alone never shows in the whole model.
UNHEARD = ("before_zero", "on_cpu", "empty_row")
component.part(LlamaModel, adapt, CASES, steps, unseen=UNHEARD)


# ------------------------------------------------------------------------------------------------- what goes wrong

PADDED = "None without padding. With it, a word's vector depends on what else is in the batch."
SHIFTED = "None by itself: rotary hears distances only. Long padded texts run past the positions that were trained."
LOOKS_FINE = "The training loss looks as good. Published weights give gibberish."
COUNT = "(real.long().cumsum(dim=-1) - 1).clamp(min=0)[:, past:]"
ITSELF = "torch.eye(seq, past + seq, dtype=torch.bool, device=real.device).roll(past, dims=1)"
CAUSAL, KEYS = "causal_mask(seq, past + seq, device=real.device)", 'rearrange(real, "batch key -> batch 1 1 key")'


def slip(name: str, symptom: str, *edits: dict, says: str, step=(SEEN, FIRST)):
    component.bug(name, "positions_and_mask", *edits, step=step, symptom=symptom, says=says)


LOOP = "x = layer(x, rotation, mask, layer_cache)"
LAST = "return self.norm(x)"
LAYERS = "nn.ModuleList(LlamaDecoderLayer(config) for _ in range(config.num_hidden_layers))"
LOOKED_UP, NORM = "self.embed_tokens(input_ids.long())", "LlamaRMSNorm(config.hidden_size, config.rms_norm_eps)"
ROTARY = "LlamaRotaryEmbedding(config.head_dim, config.rope_theta, config.rope_scaling)"
START = "self.apply(partial(init_weights, std=config.initializer_range))"
REFUSED = "Published weights cannot be loaded: a tensor is missing, unknown, or of another shape."


def bug(name: str, step, symptom: str, *edits: dict, says: str):
    component.bug(name, "LlamaModel", *edits, step=step, symptom=symptom, says=says)


# fmt: off
bug("no_last_norm", OUTPUT, "The loss is worse, and norm.weight.grad is None.", {LAST: "return x"},
    says="There is no last norm: self.norm changes nothing. Norm what leaves the last layer.")
bug("norm_in_the_loop", (SECOND, OUTPUT), LOOKS_FINE, {LOOP: f"x = self.norm({LOOP[4:]})", LAST: "return x"},
    says="The last norm stands behind every layer. It comes once, after the last.")
bug("norm_first", FIRST, LOOKS_FINE, {f"x = {LOOKED_UP}": f"x = self.norm({LOOKED_UP})", LAST: "return x"},
    {f"x = {LOOKED_UP}": f"x = self.norm({LOOKED_UP})"},
    says="The words' vectors are normed before the first layer. A layer norms what it reads; self.norm comes last.")
bug("normed_twice", OUTPUT, "None while the gain is 1.", {LAST: "return self.norm(self.norm(x))"},
    says="The last norm is applied twice: its gain counts double.")
bug("one_layer_for_all", BUILT, "It trains, a little worse. It has 31,852,224 parameters where 134,515,008 belong.",
    {LAYERS: "nn.ModuleList([LlamaDecoderLayer(config)] * config.num_hidden_layers)"},
    says="All your layers are one and the same object: [layer] * n repeats a reference. Make each one anew.")
bug("layers_in_a_list", BUILT, "The layers never learn: parameters() does not know them.",
    {LAYERS: "[LlamaDecoderLayer(config) for _ in range(config.num_hidden_layers)]"},
    says="Your layers stand in a plain list, which PyTorch does not look into. Use nn.ModuleList.")
bug("one_layer", BUILT, REFUSED, {LAYERS: "nn.ModuleList([LlamaDecoderLayer(config)])"},
    says="There is one layer. The config says how many: num_hidden_layers.")
bug("lost", (FIRST, OUTPUT), "The loss is that of a model that sees one word.",
    {LOOP: LOOP[4:]}, {LOOP: f"y = {LOOP[4:]}"},
    says="What a layer gives is thrown away: each must read what the one before it made.")
bug("all_read_the_words", SECOND, LOOKS_FINE, {LOOP: f"x = layer({LOOKED_UP}, rotation, mask, layer_cache)"},
    says="Every layer reads the words' vectors, and only the last one counts. Each reads what the one before it made.")
bug("added_outside", (FIRST, SECOND, OUTPUT), "The stream doubles in every layer. Published weights give gibberish.",
    {LOOP: f"x = x + {LOOP[4:]}"},
    says="You add x to what a layer gives. The layer has added it already (lesson 07).")
ZIPPED = "zip(self.layers, cache"
bug("reversed_layers", FIRST, LOOKS_FINE, {ZIPPED: "zip(reversed(self.layers), cache"},
    says="The layers run from last to first.")
bug("last_layer_missing", (SECOND, FIRST, OUTPUT), LOOKS_FINE, {ZIPPED: "zip(self.layers[:-1], cache"},
    says="The last layer does not run. All of them do, in their order.")
bug("first_layer_missing", (FIRST, OUTPUT), LOOKS_FINE, {ZIPPED: "zip(self.layers[1:], cache"},
    says="The first layer does not run. All of them do, in their order.")
bug("first_layer_only", (SECOND, FIRST, OUTPUT), LOOKS_FINE, {LOOP: LOOP.replace("layer(", "self.layers[0](")},
    says="The first layer runs every time. Each layer has its turn.")
bug("scaled_words", (FIRST, OUTPUT, EMBEDDED), LOOKS_FINE,
    {f"x = {LOOKED_UP}": f"x = {LOOKED_UP} * self.config.hidden_size**0.5"},
    says="You multiply the words' vectors by the root of the hidden size, as Gemma does. Llama takes them as they are.")
bug("mask_not_passed", FIRST, PADDED, {LOOP: LOOP.replace("mask", "None")},
    says="The mask does not reach the layers, and words look at the padding. Hand it on.")
bug("rotation_not_passed", FIRST, "Word by word gives other answers than all at once: each new word stands at 0.",
    {LOOP: LOOP.replace("rotation", "None")},
    says="The rotation does not reach the layers, which then count from 0. Hand it on.")
bug("cache_not_passed", FIRST, "In generation each new word sees itself alone.",
    {LOOP: LOOP.replace(", layer_cache", "")},
    says="The caches do not reach the layers: a new word sees no earlier one. Hand each layer its own.")
bug("one_cache", FIRST, "In generation every layer reads the keys of all the others.",
    {LOOP: LOOP.replace("layer_cache", "cache and cache[0]")},
    says="All layers share the first cache. There is one for each layer.")
bug("positions_ignored", FIRST, "None until positions are given.",
    {"counted if positions is None else positions": "counted"},
    says="The positions that are given change nothing. They replace the counted ones.")
bug("past_ignored", FIRST, "Word by word gives other answers than all at once: positions restart at 0.",
    {"past, seq = 0 if cache is None else len(cache[0]), input_ids.shape[1]": "past, seq = 0, input_ids.shape[1]"},
    says="Positions restart at 0 with every call. The past is the length of the cache.")
bug("batch_for_seq", FIRST, "An error about sizes, unless there are as many texts as words.",
    {"input_ids.shape[1]": "input_ids.shape[0]"},
    says="You take the batch for the sequence: ids are (batch, seq), so the number of words is shape[1].")
bug("padding_ignored", FIRST, PADDED, {"positions_and_mask(attention_mask,": "positions_and_mask(None,"},
    says="The attention_mask changes nothing: words look at the padding.")
bug("eps_of_config_ignored", OUTPUT, "None while the stream is large.",
    {NORM: NORM.replace(", config.rms_norm_eps", "")},
    says="The last norm has its own eps. The config says it: rms_norm_eps.")
bug("theta_ignored", FIRST, "The error grows with the position.", {ROTARY: "LlamaRotaryEmbedding(config.head_dim)"},
    {ROTARY: ROTARY.replace("config.rope_theta", "10000.0")},
    says="The config's rope_theta is not used. Published models of long reach have another.")
bug("scaling_ignored", FIRST, "Short texts are right, long ones are not.",
    {ROTARY: ROTARY.replace(", config.rope_scaling", "")},
    says="The config's rope_scaling is read and not used.")
bug("pytorchs_start", BUILT, "The first loss is far above ln(vocab): a fresh model should have no opinion.",
    {f"        {START}\n": ""},
    says="Fresh weights are PyTorch's own: the table has a standard deviation of 1. Apply init_weights to all.")
bug("start_of_another_size", BUILT, "None with the default.", {"config.initializer_range": "0.02"},
    says="Fresh weights have the size 0.02 whatever the config says: initializer_range.")
bug("metas_names", BUILT, REFUSED,
    {"self.embed_tokens =": "self.tok_embeddings =", LOOKED_UP: "self.tok_embeddings(input_ids.long())"},
    says="tok_embeddings is Meta's name. Published files say embed_tokens, layers and norm.")
bug("gpt2s_names", BUILT, REFUSED,
    {"self.embed_tokens =": "self.wte =", LOOKED_UP: "self.wte(input_ids.long())",
     f"self.norm = {NORM}": f"self.ln_f = {NORM}", LAST: "return self.ln_f(x)"},
    {f"self.norm = {NORM}": f"self.ln_f = {NORM}", LAST: "return self.ln_f(x)"},
    says="wte and ln_f are GPT-2's names. Published Llamas say embed_tokens, layers and norm.")
BIAS = "nn.init.zeros_(module.bias)"
component.bug("biases_not_zero", "init_weights", {BIAS: "nn.init.ones_(module.bias)"}, {BIAS: "pass"},
    step=BUILT, symptom="None with Llama, which has no biases.",
    says="Fresh biases are not 0.")
component.bug("table_left_out", "init_weights", {"nn.Linear | nn.Embedding": "nn.Linear"},
    step=BUILT, symptom="The first loss is about 62 where the table reads out, too.",
    says="The table keeps PyTorch's start, a standard deviation of 1. Embeddings start as matrices do.")
bug("past_counts_layers", FIRST, "Word by word gives other answers than all at once.",
    {"len(cache[0])": "len(cache)"},
    says="len(cache) is how many layers there are. The past is how many tokens one layer's cache holds: len(cache[0]).")
bug("whole_cache", FIRST, "An error, as soon as there is a cache.", {LOOP: LOOP.replace("layer_cache", "cache")},
    says="Every layer gets the list of all caches. The first layer gets the first of them, and so on.")
bug("no_list_of_none", FIRST, "An error where there is no cache.",
    {"cache or [None] * len(self.layers)": "cache"},
    {"layer, layer_cache in zip(self.layers, cache or [None] * len(self.layers))": "i, layer in enumerate(self.layers)",
     LOOP: LOOP.replace("layer_cache", "cache[i]")},
    says="Without a cache there is nothing to share out: cache is None, and then every layer gets None.")
bug("mask_of_ones_and_zeros", FIRST, "An error, as soon as there is padding.",
    {LOOP: LOOP.replace("mask", "attention_mask")},
    says="The layers get the attention_mask, ones and zeros. They want what positions_and_mask makes of it: a row per "
    "query.")
bug("asks_a_tensor", FIRST, "An error, as soon as positions are given.",
    {"counted if positions is None else positions": "positions or counted"},
    says="`or` asks a tensor of many numbers whether it is true. Ask whether positions is None.")
bug("positions_turned", FIRST, "An error: x must be a tensor of floats.", {"rotary_emb.angles(": "rotary_emb("},
    {"Prepared(self.rotary_emb.angles(counted if positions is None else positions), x.dtype)":
     "self.rotary_emb(counted if positions is None else positions)"},
    says="rotary_emb itself turns queries and keys. Its method `angles` makes angles of positions (lesson 05).")
bug("one_layer_twice", BUILT, "It trains, a little worse, and has a layer too few.",
    {LAYERS: f"{LAYERS}\n        self.layers[-1] = self.layers[0]"},
    says="Your last layer is the first one once more: two names of one object. Make each one anew.")
slip("counts_padding", SHIFTED,
    {COUNT: "torch.arange(past, past + seq).expand(len(real), -1)"},
    step=(POSITIONS, FIRST),
    says="Your positions count the padding. A position is the number of real tokens before it: cumsum over the mask.")
slip("from_one", SHIFTED, {"real.long().cumsum(dim=-1) - 1)": "real.long().cumsum(dim=-1))"},
    step=(POSITIONS, FIRST),
    says="Your positions count the token itself: the first real one stands at 0. Take 1 off.")
slip("before_zero", "Padding stands at −1, which a table of positions does not have.", {".clamp(min=0)": ""},
    step=(POSITIONS, FIRST),
    says="Padding before the first word stands at −1. No position is negative: clamp at 0.")
slip("first_of_the_mask", "With a cache, a new word stands where the text began.", {"[:, past:]": "[:, :seq]"},
    step=(POSITIONS, FIRST),
    says="You hand out the first positions of the mask. The new tokens are its last: leave out the past.")
slip("restarts_at_zero", "Word by word gives other answers than all at once.",
    {"torch.arange(past, past + seq, device=device)": "torch.arange(seq, device=device)"},
    step=(POSITIONS, FIRST),
    says="Without a mask your positions start at 0 whatever the past. They count on from past.")
slip("on_cpu", "An error on a GPU: tensors on two devices.",
    {"torch.arange(past, past + seq, device=device)": "torch.arange(past, past + seq)"},
    says="The positions are made on the CPU. Hand `device` on.")
slip("sees_the_future", "The loss looks better than it should, wherever there is padding.", {f"{CAUSAL} & ": ""},
    {f"{CAUSAL} & {KEYS}": f"{KEYS}.repeat(1, 1, seq, 1)"},
    says="With padding your mask shows the future. A token sees real ones *up to itself*: combine it with causal_mask.")
slip("sees_padding", PADDED, {f"{CAUSAL} & {KEYS}": f"{CAUSAL} & torch.ones_like({KEYS})"},
    says="Your mask shows the padding. A key that is not real is hidden from every other token.")
slip("empty_row", "NaN, with an attention that is not on its guard.", {"visible | itself": "visible"},
    says="A padded token in front sees nobody, and the softmax of an empty row is 0/0. Every query sees itself.")
slip("itself_at_the_front", PADDED, {".roll(past, dims=1)": ""},
    says="With a past, “itself” is shifted: query i is key past + i. Move the diagonal by past.")
slip("only_itself", "Every word stands alone.", {"visible | itself": "visible & itself"},
    says="“Itself” narrows your mask to its diagonal. It is one more key that may be seen: or, not and.")
slip("queries_first", "With a cache, a new word does not see the one before it.",
    {CAUSAL: "causal_mask(past + seq, past + seq, device=real.device)[:seq]"},
    {CAUSAL: "torch.ones(seq, past + seq).tril().bool()"},
    says="Your queries stand at the front of the keys. They are the last ones: query i stands at past + i.")
slip("upside_down", PADDED, {"real = attention_mask.bool()": "real = ~attention_mask.bool()"},
    step=(POSITIONS, SEEN, FIRST),
    says="You read the mask the other way round: 1 and True are real, 0 and False are padding.")
slip("no_axis_for_heads", "An error about sizes, or, with as many texts as heads, another mask for every head.",
    {"batch key -> batch 1 1 key": "batch key -> batch 1 key"},
    says="Your mask has no axis for the heads: it is (batch, 1, query, key), and the 1 serves all heads.")
slip("future_of_padding", "Padding sees the future; nobody reads it.", {ITSELF: f"(~{KEYS}).any(-1, keepdim=True)"},
    says="You open whole rows because a text has padding. A query sees itself besides, and no more.")
slip("sum_not_cut", "With a cache, an error about sizes.", {"[:, past:]": ""},
    step=(POSITIONS, FIRST),
    says="You hand out the positions of all keys. The new tokens are the last seq of them: leave out the past.")
slip("no_columns_for_the_past", "With a cache, an error about sizes.",
    {CAUSAL: "causal_mask(seq, seq, device=real.device)"},
    says="Your causal mask has no columns for the past: seq queries look at past + seq keys.")
slip("rows_for_columns", PADDED,
    {KEYS: 'rearrange(real[:, past:], "batch query -> batch 1 query 1")'},
    says="You hide the rows of the padding. It is hidden as a *key*, a column: key is the last axis.")
# fmt: on


# ----------------------------------------------------------------------------------------------------- the exercises

SMALL = {"vocab_size": 11, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 4, "num_attention_heads": 2}


def judge_layers(answer) -> str:
    """The sentence on a function that makes the layers of a model."""
    for many in (1, 3):
        config = LlamaConfig(SMALL, num_hidden_layers=many)
        made = answer(config)
        if not isinstance(made, nn.ModuleList):
            return f"mended_layers should return an nn.ModuleList, which knows its weights; got {type(made).__name__}"
        fault = first_fault(
            said(len(made) == many, f"num_hidden_layers is {many}, and the list has {len(made)}"),
            said(len({id(each) for each in made}) == len(made), "the layers are still one and the same object: "
                 "what is multiplied, or appended again and again, is a reference"),
            said(len({id(weight) for each in made for weight in each.parameters()})
                 == sum(len(list(each.parameters())) for each in made), "two layers share a weight"),
            said({type(each).__name__ for each in made} <= {"LlamaDecoderLayer"}, "each should be a LlamaDecoderLayer"),
        )  # fmt: skip
        if fault:
            return fault
        first = [each.self_attn.q_proj.weight for each in made]
        if any(torch.equal(first[0], other) for other in first[1:]):
            return "the layers are copies with equal numbers: each should start with its own"
    return ""


def judge_early(answer) -> str:
    """The sentence on a model that stops after some layers: beside a plain loop."""
    config = sizes(4)
    for batch, seq, depth in ((2, 5, 2), (3, 7, 1), (2, 5, 4), (1, 4, 0), (2, 6, 3)):
        model, ids = LlamaModel(config), words(30 + depth, batch, seq)
        model.load_state_dict(weights(config, 70))
        streams = []
        with torch.no_grad():
            x = model.embed_tokens(ids)
            streams.append(x)
            for layer in model.layers:
                x = layer(x)
                streams.append(x)
            mine = answer(model, ids, depth)
        if len(model.layers) != 4:
            return f"afterwards the model has {len(model.layers)} layers where it had 4: leave it as it was"
        with torch.no_grad():
            fault = same_tensor("early_exit", mine, model.norm(streams[depth]), 1e-4)
            known = {"the last norm is missing: the norm reads the stream, wherever one stops": streams[depth]}
            known |= {f"you stop after {many} layers where {depth} were asked for": model.norm(streams[many])
                      for many in range(5) if many != depth}  # fmt: skip
            if depth < 4:
                known["you skip the first layers; stop before the last ones"] = model.norm(
                    nn.Sequential(*model.layers[4 - depth :])(streams[0])
                )
            norms = streams[0]
            for layer in model.layers[:depth]:
                norms = model.norm(layer(norms))
            known["you norm behind every layer; the norm comes once, where you stop"] = norms
            known["the norm is applied twice: once is enough"] = model.norm(model.norm(streams[depth]))
            for i in range(max(depth - 1, 0), min(depth + 1, 4)):
                alone = model.norm(model.layers[i](streams[0]))
                known.setdefault(f"only layer {i} runs; all before it should, too", alone)
        if fault:
            alike = (told for told, wrong in known.items() if not same_tensor("", mine, wrong, 1e-4))
            return next(alike, fault)
    return ""


WORKED_EARLY = """def early_exit(model, ids, depth):
    # The model runs as it is, all its layers; a hook listens to what the layer at that depth reads.
    # What layer 2 reads is what two layers made; behind the last layer the same stands before the norm.
    # It costs the whole way, and leaves nothing to get wrong about masks, positions or rotation.
    heard, parts = [], [*model.layers, model.norm]
    hook = parts[depth].register_forward_pre_hook(lambda part, inputs: heard.append(inputs[0]))
    try:
        model(ids)
    finally:
        hook.remove()
    return model.norm(heard[0])"""

NEXT = {
    5: "that counts the padding: two of the five are not real",
    0: "that is what padding stands at; a written token is real, and three real ones stand before it",
    2: "that is where the last word stands; the new one comes after it",
    4: "positions count from 0, so the fourth real token does not stand at 4",
}
PAIRS_SEEN = {
    10: "padding sees itself: three more",
    28: "that is causal, without padding: the first three columns are hidden from all but themselves",
    16: "real tokens see real ones up to themselves, not all four; and padding sees itself",
    19: "real tokens see real ones up to themselves, not all four",
    49: "that is everything",
    7: "that is the diagonal: a real token also sees the real ones before it",
    25: "padding hides from the words, too: the last four rows are 1, 2, 3 and 4",
    22: "the last four rows see no padding: they are 1, 2, 3 and 4",
}
component.exercises = (
    Exercise(
        name="positions_and_mask",
        kind="implement",
        task="Count real tokens for the positions; show real tokens up to oneself, and oneself.",
        difficulty=3,
        importance=5,
        minutes=15,
        hints=(
            "Two questions, one mask. How many real tokens stand before each? And for a query: which keys are real, "
            "not in the future, or the query itself?",
            "*The first real token stands at 1, padding at −1*: a running sum counts the token itself, so take 1 off, "
            "and let nothing fall below 0. *Shapes do not match with a past*: the sum runs over all keys, and only the "
            "last seq of them are queries. *Padding's rows are empty*: a query sees itself, at key past + i.",
            "Positions: running sum of the mask, less 1, at least 0, the last seq of them. Mask: causal_mask of seq "
            "queries and past + seq keys, and the real keys, (batch, 1, 1, key); or the diagonal, moved by past. "
            "Without a mask: past … past + seq − 1, and None.",
        ),
    ),
    Exercise(
        name="LlamaModel.forward",
        kind="implement",
        task="Look the ids up, pass them through all layers, and norm once.",
        difficulty=3,
        importance=5,
        minutes=12,
        hints=(
            "What is the same for all layers, and made once before the first? What does each layer read, and what is "
            "done with what it gives?",
            "*Word by word differs from all at once*: the past is the length of the first cache, and each layer gets a "
            "cache of its own. *rotary_emb wants floats*: its method angles takes positions. "
            "*Only given positions are wrong*: they replace the counted ones. *Everything is nearly right*: is the "
            "norm behind the last layer, and nowhere else?",
            "Check the call; past and seq; positions and mask; vectors of the ids; a Prepared rotation of the angles "
            "in x's dtype; each layer with its cache (None where there is none) takes x, rotation, mask; the norm.",
        ),
    ),
    Exercise(
        name="next_position",
        kind="predict",
        title="A word is written behind a padded text",
        text="A text has the attention mask `0 0 1 1 1`. The model writes one more token, and reads it, with a mask "
        "that is one longer. At which position does the new token stand?",
        task="Type the position of the token that is written.",
        difficulty=1,
        importance=4,
        minutes=2,
        hints=(
            "How many real tokens stand before it?",
            "*I get 5*: the padding is not counted. *I get 2*: that is where the last word stands.",
            "The words stand at 0, 1, 2.",
        ),
        starter="next_position = ...  # a whole number",
        answers={"next_position": typed_number(3, 0.001, NEXT)},
        solution="next_position = positions_and_mask(torch.tensor([[0, 0, 1, 1, 1, 1]]), past=5, seq=1)[0].item()",
        why="The mask grows by a 1, and its running sum by 1. That is why the mask is handed on with every token that "
        "is written: without it the model would count the cache, padding and all.",
    ),
    Exercise(
        name="seen_pairs",
        kind="predict",
        title="How many may be seen",
        text="Three padding tokens and four words: `0 0 0 1 1 1 1`. `positions_and_mask` makes a 7 × 7 mask of it, a "
        "row per query. How many of its 49 entries are True?",
        task="Type how many of the 49 entries are True.",
        difficulty=2,
        importance=4,
        minutes=4,
        hints=(
            "Go row by row. Whom does a word see? Whom does padding see?",
            "*I get 28*: that is causal alone; padding is hidden from the words. *I get 10*: no row is empty.",
            "Each of the three padding rows has one. The words' rows have 1, 2, 3 and 4.",
        ),
        starter="seen_pairs = ...  # a whole number",
        answers={"seen_pairs": typed_number(13, 0.001, PAIRS_SEEN)},
        solution="real = torch.tensor([[0, 0, 0, 1, 1, 1, 1]])\n"
        "seen_pairs = positions_and_mask(real, past=0, seq=7)[1].sum().item()",
        why="3 + 10. The three that nobody needs are there so that the softmax of no row divides 0 by 0.",
    ),
    Exercise(
        name="mended_layers",
        kind="find the bug",
        title="Thirty layers, and a quarter of the parameters",
        text="A model with these layers trains, its loss falls, and `len(model.layers)` is 30. Its file is far too "
        "small. Mend the function, and write the **probe**: a function that is given a class of models, makes a model "
        "or two (of a small config, or it takes long: `small` has four layers), and says whether two of its layers "
        "are one.",
        task="Say whether two layers of a model that kind(config) makes share their weights.",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "What does `[[]] * 3` make in Python? Append something to the first of the three, and print all.",
            "*My probe says False of the broken one*: the layers differ in nothing, so ask whether they are the same "
            "object, or count: `parameters()` names a shared weight once. *It says True of the lesson's own*: equal "
            "shapes are not equal weights.",
            "Make one layer for each number of a range. The probe: a model with one layer and one with four; four "
            "times as many numbers in the layers, or not?",
        ),
        starter='''def mended_layers(config):
    """The layers of a model, with a mistake: mend it."""
    return nn.ModuleList([LlamaDecoderLayer(config)] * config.num_hidden_layers)


def has_shared_layers(kind) -> bool:
    """Whether two layers of kind(config), such as LlamaModel(config), are one and the same."""
    raise NotImplementedError("Say whether two layers of a model that kind(config) makes share their weights.")''',
        answers={
            "mended_layers": judge_layers,
            "has_shared_layers": component.probe(
                "LlamaModel",
                yes=("one_layer_for_all", "one_layer_twice"),
                no=("no_last_norm", "first_layer_only", "reversed_layers", "all_read_the_words", "pytorchs_start"),
                because={
                    "": "Numbers that are equal, as all gains of fresh norms are, need not be one tensor; and the "
                    "table and the last norm do not grow with the layers",
                    "one_layer_for_all": "`len`, `state_dict()` and a sum over the layers count a shared weight once "
                    "for each of its names",
                    "one_layer_twice": "The first and the last are one: neighbours are not",
                },
            ),
        },
        solution="""def mended_layers(config):
    return nn.ModuleList(LlamaDecoderLayer(config) for _ in range(config.num_hidden_layers))


def has_shared_layers(kind) -> bool:
    layers = kind(LlamaConfig(num_hidden_layers=3, hidden_size=8, num_attention_heads=2, vocab_size=11)).layers
    return len({id(weight) for weight in layers.parameters()}) < 3 * len(list(layers[0].parameters()))""",
        why="The 135M shape would have 31,852,224 parameters. A loop over the layers, `len`, and even the names in "
        "`state_dict()` see thirty; only identity, or a count of `parameters()`, sees one. ALBERT does "
        "it on purpose: one layer, run twelve times.",
    ),
    Exercise(
        name="early_exit",
        kind="transfer",
        title="A model that stops early",
        text="Not every word is worth all the layers. Write `early_exit(model, ids, depth)`: the hidden states of ids "
        "(batch, seq) after the first `depth` layers of a `LlamaModel`, read as the last ones are. With a depth of 0 "
        "no layer runs, and with all of them it is the model's own answer. The model stays as it is.",
        task="Read the stream after `depth` layers, as the model reads its last.",
        difficulty=3,
        importance=3,
        minutes=10,
        hints=(
            "What stands between the last layer and whoever reads the model? And between the ids and layer 0?",
            "*The last norm is missing*: whoever reads the stream reads it through the norm. *The model has fewer "
            "layers afterwards*: cut a copy of the list, or put the layers back.",
            "The vectors of the ids; each of the first `depth` layers in turn; the model's norm, once.",
        ),
        starter='''def early_exit(model, ids, depth):
    """What a LlamaModel makes of ids (batch, seq) with its first `depth` layers only, after its norm."""
    raise NotImplementedError("Read the stream after `depth` layers, as the model reads its last.")''',
        answers={"early_exit": judge_early},
        why="In this lesson's shipped model the loss falls with every layer that is read this way. Models that are to "
        "stop early are trained to be read early, too; then a few layers can draft what all of them check.",
        worked=WORKED_EARLY,
    ),
)
