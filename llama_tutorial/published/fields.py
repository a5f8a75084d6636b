"""The fields of config.json: what omitting them means, which change a number, and in which spellings they come."""

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path

from .files import UNQUANTISED, check_dtype, find_file, read_json, shown

# What Hugging Face's Llama takes where a config.json says nothing.
PUBLISHED_DEFAULTS = {
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32, "max_position_embeddings": 2048, "initializer_range": 0.02, "rms_norm_eps": 1e-6,
    "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False,
}  # fmt: skip
# Fields that change no number here: about training, about generation, about other tasks.
HARMLESS = frozenset(
    """architectures torch_dtype dtype transformers_version use_cache pretraining_tp attention_dropout bos_token_id
    eos_token_id pad_token_id sep_token_id decoder_start_token_id _name_or_path name_or_path is_llama_config
    output_attentions output_hidden_states output_scores return_dict return_dict_in_generate chunk_size_feed_forward
    attn_implementation _attn_implementation _attn_implementation_autoset _flash_attn_2_enabled torchscript
    use_bfloat16 id2label label2id problem_type num_labels finetuning_task task_specific_params prefix
    tokenizer_class model_max_length max_length min_length do_sample early_stopping num_beams num_beam_groups
    diversity_penalty temperature top_k top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size
    encoder_no_repeat_ngram_size bad_words_ids num_return_sequences forced_bos_token_id forced_eos_token_id
    remove_invalid_values suppress_tokens begin_suppress_tokens exponential_decay_length_penalty pruned_heads
    tf_legacy_loss gradient_checkpointing max_window_layers use_sliding_window _from_model_config unsloth_version
    unsloth_fixed
    """.split()
)
# Fields that would change the numbers, and the only value of each with which this Llama gives the right ones.
ONLY = {
    "model_type": "llama", "hidden_act": "silu", "rope_interleaved": False, "is_encoder_decoder": False,
    "sliding_window": None, "layer_types": None, "quantization_config": None, "partial_rotary_factor": 1.0,
    "add_cross_attention": False, "cross_attention_hidden_size": None, "tie_encoder_decoder": False,
    "no_rope_layers": None, "attn_logit_softcapping": None, "final_logit_softcapping": None, "quantization": None,
    "per_layer_config": None,
}  # fmt: skip
ROPE_FIELDS = {"rope_theta", "rope_scaling", "rope_parameters", "original_max_position_embeddings"}
# Fields that are floats here, although a file may write them as whole numbers.
FLOATS = {
    "rms_norm_eps", "rope_theta", "initializer_range", "factor", "original_max_position_embeddings",
    "low_freq_factor", "high_freq_factor", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim",
    "truncate",
}  # fmt: skip
ZERO_IS_DEFAULT = {"beta_fast", "beta_slow", "mscale", "mscale_all_dim"}  # numbers of yarn
# Fields of generation_config.json that change the likeliest token, and the value of each with which it does not.
UNHEEDED = {
    "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "bad_words_ids": None, "suppress_tokens": None,
    "begin_suppress_tokens": None, "forced_bos_token_id": None, "forced_eos_token_id": None, "min_length": 0,
    "min_new_tokens": 0, "sequence_bias": None, "num_beams": 1, "guidance_scale": 1.0, "penalty_alpha": None,
    "exponential_decay_length_penalty": None, "watermarking_config": None,
}  # fmt: skip
SPECIAL_IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}  # and what omitting them means


def known_fields(published: Mapping, known: Collection[str]) -> tuple[dict, dict]:
    """The fields of a config.json that say something, parted into the `known` ones and the rest.

    Unknown ones that may matter warn. Raises ValueError for one that would change the numbers and is not supported.
    """
    given = {name: value for name, value in published.items() if value is not None}
    for name, value in given.items():
        if name in ONLY and value != ONLY[name] and not means_the_same(name, value):
            needed = "absent" if ONLY[name] is None else repr(ONLY[name])
            told = "it changes what this package computes"
            if name.startswith("quantization"):
                method = value.get("quant_method") if isinstance(value, Mapping) else None
                by = shown(method) if method else "MLX" if name == "quantization" else "an unknown method"
                told = f"the weights are quantised by {by}; {UNQUANTISED}"
            raise ValueError(f"{name} must be {needed}, got {shown(value)}: {told}")
    warn_of_unknown("config.json", given, HARMLESS | ONLY.keys() | ROPE_FIELDS | set(known))
    kept = {name: as_read(name, value) for name, value in given.items() if name in known}
    return kept, {name: value for name, value in given.items() if name not in known}


def means_the_same(name, value):
    """Whether another value of a field of `ONLY` changes nothing: a second name of silu, layers of full attention."""
    if ONLY[name] is None and value in ([], {}):
        return True
    if name == "layer_types":
        return isinstance(value, list) and all(kind == "full_attention" for kind in value)
    return name == "hidden_act" and value == "swish"


def as_read(name, value):
    """A field as LlamaConfig takes it; ValueError for a whole number too large to be a float."""
    try:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) and name in FLOATS else value
    except OverflowError:
        raise ValueError(f"{name} must be a number that a float can hold, got a far larger one") from None


def warn_of_unknown(where, fields, known):
    """Name the fields that nobody here knows."""
    unknown = sorted(set(fields) - set(known))
    if unknown:
        named = ", ".join(unknown)[:300]
        warnings.warn(f"{where} has fields that this package does not know and leaves out: {named}", stacklevel=3)


def rope_fields(given: Mapping, kinds: Collection[str]) -> dict:
    """How positions turn, from `rope_theta` and `rope_scaling` or from `rope_parameters`, in one spelling.

    Its kind stands under `rope_type` or, in older files, `type`; it must be one of `kinds`. Raises ValueError for a
    kind that is not supported, saying why, for what is no object, and for two entries that disagree.
    """
    scaling, parameters = given.get("rope_scaling"), given.get("rope_parameters")
    for entry in (scaling, parameters):
        if not isinstance(entry, dict | None):
            raise ValueError(f"rope_scaling and rope_parameters must be objects in braces, got {shown(entry)}")
    outside = {"rope_theta": given.get("rope_theta", 10000.0)}
    rope, other = (outside | one_spelling(entry or {}) for entry in (scaling or parameters, parameters))
    if scaling and parameters and rope != other:
        raise ValueError(f"rope_scaling and rope_parameters disagree, remove one of them: {scaling}, {parameters}")
    kind = rope["rope_type"]
    if not isinstance(kind, str) or kind not in kinds:
        why = "this package does not compute it" if isinstance(kind, str) else "it is no name"
        known = ", ".join(kinds)
        raise ValueError(f"rope_scaling of type {shown(kind)} is not supported, because {why}; {known} are")
    nested = [name for name, value in rope.items() if isinstance(value, dict)]
    if nested:
        told = "all layers of this Llama turn alike, write its fields without that name"
        raise ValueError(f"rope_parameters must be one entry for all layers, got one for {shown(nested[0])}: {told}")
    if rope.pop("partial_rotary_factor", 1.0) != 1.0:
        raise ValueError("partial_rotary_factor must be 1.0: this package turns all pairs of a head")
    return rope


def one_spelling(entry):
    """A rope entry, its kind under `rope_type`, without what says nothing: null, or 0 where that means the default."""
    given = {name: value for name, value in entry.items() if value is not None and name not in ("type", "rope_type")}
    kept = {name: value for name, value in given.items() if value != 0 or name not in ZERO_IS_DEFAULT}
    return {**kept, "rope_type": entry.get("rope_type") or entry.get("type") or "default"}


OTHER_NAMES = {"double": "float64", "float": "float32", "half": "float16"}  # PyTorch has two names for these


def published_dtype(fields):
    """The dtype that a config.json names under `dtype` or, in older files, `torch_dtype`; None where it names none."""
    named = fields.get("dtype") or fields.get("torch_dtype")
    try:
        return check_dtype(OTHER_NAMES.get(named, named) if isinstance(named, str) else named)
    except ValueError:
        return None


def special_ids(directory: Path, fields: Mapping) -> dict[str, int | list[int] | None]:
    """The ids that begin, end and fill a text, from generation_config.json or else config.json.

    Every id that either of them names as an end is one. A null names nothing, and nor does the -1 of some conversions.
    """
    path = find_file(directory, "generation_config.json", needed=False)
    sources = ({} if path is None else read_json(path), fields)
    found = {}
    for name, usual in SPECIAL_IDS.items():
        given = [source[name] for source in sources if source.get(name) not in (None, -1)]
        for ids in given:
            for one in ids if isinstance(ids, list) else [ids]:
                check_id(f"{name} in {directory}", one)
        found[name] = given[0] if given else None if name in fields else usual
        if name == "eos_token_id" and len(given) == 2:
            found[name] = joined(*given)
    return found


def stop_strings(directory: Path) -> list[str]:
    """The texts that end a text, as `stop_strings` of generation_config.json names them; ValueError for anything else.

    One may stand there without a list.
    """
    path = find_file(directory, "generation_config.json", needed=False)
    given = None if path is None else read_json(path).get("stop_strings")
    given = [] if given is None else [given] if isinstance(given, str) else given
    if not isinstance(given, list) or not all(isinstance(stop, str) and stop for stop in given):
        told = f"must be a text with at least one character, or a list of them, got {shown(given)}"
        raise ValueError(f"stop_strings of generation_config.json in {directory} {told}")
    return given


def joined(one, other):
    """The ids of both, each an id or a list of ids; the first as it is where the other adds nothing."""
    ids, more = (given if isinstance(given, list) else [given] for given in (one, other))
    return one if set(more) <= set(ids) else list(dict.fromkeys([*ids, *more]))


def check_id(name, value):
    """ValueError unless the value is a whole number from 0 up, which every id is."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be a whole number from 0 up, or a list of them, got {value!r:.80}")


def ids_of(model):
    """The ids that begin, end and fill a text, None for what nobody said."""
    return {**dict.fromkeys(SPECIAL_IDS), **getattr(model, "special_ids", {})}


def published_config(model):
    """The config.json of a model, in the fields and the spelling that every library reads."""
    kind = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu"}
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    fields = {**kind, **dict(model.config), **ids_of(model), "torch_dtype": dtype}
    pad = fields["pad_token_id"]
    if isinstance(pad, int) and pad >= model.config.vocab_size:  # no row of the table: nothing uses it
        fields["pad_token_id"] = None
    return fields


def generation_fields(directory: Path) -> dict:
    """What generation_config.json says, to be kept and written again; {} where there is none.

    Warns of fields with which other libraries would write another text even where nothing is drawn.
    """
    path = find_file(directory, "generation_config.json", needed=False)
    fields = {} if path is None else read_json(path)
    unlike = [name for name, usual in UNHEEDED.items() if fields.get(name) not in (None, usual, [])]
    told = [f"{name} {shown(fields[name]):.60}" for name in unlike]
    if told:
        asked = f"generation_config.json asks for {', '.join(told)}"
        warnings.warn(f"{asked}: this package has no such thing and writes without", stacklevel=3)
    return fields


def published_generation(model):
    """The generation_config.json of a model: what its own said when it was read, with the special ids it has now."""
    read = {name: value for name, value in getattr(model, "generation_config", {}).items() if name not in SPECIAL_IDS}
    return {**read, **{name: value for name, value in ids_of(model).items() if value is not None}}
