"""The fields of config.json: what omitting them means, which change a number, and in which spellings they come."""

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path

from .files import check_dtype, find_file, read_json, shown

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
    "no_rope_layers": None, "attn_logit_softcapping": None, "final_logit_softcapping": None,
}  # fmt: skip
ROPE_FIELDS = {"rope_theta", "rope_scaling", "rope_parameters", "original_max_position_embeddings"}
# Fields that are floats here, although a file may write them as whole numbers.
FLOATS = {
    "rms_norm_eps", "rope_theta", "initializer_range", "factor", "original_max_position_embeddings",
    "low_freq_factor", "high_freq_factor", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim",
    "truncate",
}  # fmt: skip
REFUSED = {"dynamic": "its wavelengths change as the text grows, so that keys in the cache become wrong"}
SPECIAL_IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}  # and what omitting them means


def known_fields(published: Mapping, known: Collection[str]) -> tuple[dict, dict]:
    """The fields of a config.json that say something, parted into the `known` ones and the rest.

    Unknown ones that may matter warn. Raises ValueError for one that would change the numbers and is not supported.
    """
    given = {name: value for name, value in published.items() if value is not None}
    for name, value in given.items():
        if name in ONLY and value != ONLY[name]:
            needed = "absent" if ONLY[name] is None else repr(ONLY[name])
            raise ValueError(f"{name} must be {needed}, got {shown(value)}: it changes what this package computes")
    warn_of_unknown("config.json", given, HARMLESS | ONLY.keys() | ROPE_FIELDS | set(known))
    kept = {name: as_read(name, value) for name, value in given.items() if name in known}
    return kept, {name: value for name, value in given.items() if name not in known}


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
    if scaling and parameters and any(parameters.get(name, value) != value for name, value in scaling.items()):
        raise ValueError(f"rope_scaling and rope_parameters disagree, remove one of them: {scaling}, {parameters}")
    rope = {"rope_theta": given.get("rope_theta", 10000.0), **(parameters or {}), **(scaling or {})}
    new, old = rope.pop("rope_type", None), rope.pop("type", None)
    rope["rope_type"] = kind = new or old or "default"
    if not isinstance(kind, str) or kind not in kinds:
        why = REFUSED.get(kind, "this package does not compute it") if isinstance(kind, str) else "it is no name"
        known = ", ".join(kinds)
        raise ValueError(f"rope_scaling of type {shown(kind)} is not supported, because {why}; {known} are")
    if rope.pop("partial_rotary_factor", 1.0) != 1.0:
        raise ValueError("partial_rotary_factor must be 1.0: this package turns all pairs of a head")
    return rope


def published_dtype(fields):
    """The dtype that a config.json names, or None."""
    try:
        return check_dtype(fields.get("torch_dtype") or fields.get("dtype"))
    except ValueError:
        return None


def special_ids(directory: Path, fields: Mapping) -> dict[str, int | list[int] | None]:
    """The ids that begin, end and fill a text, from generation_config.json or else config.json."""
    path = find_file(directory, "generation_config.json", needed=False)
    preferred = {} if path is None else read_json(path)
    found = {name: preferred.get(name, fields.get(name, usual)) for name, usual in SPECIAL_IDS.items()}
    for name, ids in found.items():
        for one in ids if isinstance(ids, list) else [ids]:
            if one is not None:
                check_id(f"{name} in {directory}", one)
    return found


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
    return {**kind, **dict(model.config), **ids_of(model), "torch_dtype": dtype}
