"""A config that reads like a dict, knows its fields, and says the nearest name for one that it does not know."""

import difflib
from collections.abc import Mapping
from dataclasses import fields

from .checks import check_mapping, check_number

# What published config.json files also carry and what changes no number here.
IGNORED_FIELDS = frozenset(
    "architectures model_type torch_dtype dtype transformers_version use_cache pretraining_tp attention_dropout "
    "bos_token_id eos_token_id pad_token_id hidden_act rope_interleaved _name_or_path is_llama_config "
    "output_attentions output_hidden_states return_dict chunk_size_feed_forward is_encoder_decoder".split()
)
# Of those, the ones that would change the numbers if they had another value.
REQUIRED_VALUES = {"model_type": "llama", "hidden_act": "silu", "rope_interleaved": False, "is_encoder_decoder": False}
MAY_BE_ZERO = ("rms_norm_eps", "initializer_range")


class Fields(Mapping):
    """A frozen dataclass that reads like a dict: `config["vocab_size"]`, `dict(config)`, `{**config}`."""

    def __getitem__(self, name):
        if name not in self:
            raise KeyError(f"{type(self).__name__} has no field {name!r}{nearest(name, list(self))}")
        return getattr(self, name)

    def __contains__(self, name):
        return name in self.__dataclass_fields__

    def __iter__(self):
        return iter(self.__dataclass_fields__)

    def __len__(self):
        return len(self.__dataclass_fields__)

    @classmethod
    def known(cls, given: Mapping) -> dict:
        """The fields that are given, each checked, without those of None and those that change no number.

        Raises TypeError for a name that is not a field and for a wrong kind of value, ValueError for an impossible one.
        """
        names = [name for name, value in given.items() if not ignored(name, value)]
        for name in names:
            if name not in cls.__dataclass_fields__:
                raise TypeError(f"{cls.__name__} has no field {name!r}{nearest(name, list(cls.__dataclass_fields__))}")
        kinds = {field.name: field.type for field in fields(cls)}
        return {name: possible(name, given[name], kinds[name]) for name in names if given[name] is not None}

    def settle(self, values: Mapping):
        """Keep these values, and the defaults of the other fields. What is frozen is set once, here."""
        for field in fields(self):
            object.__setattr__(self, field.name, values.get(field.name, field.default))


def nearest(name, known):
    """The hint ': did you mean ...?' for a misspelt name, or the list of names."""
    match = difflib.get_close_matches(str(name), known, n=1)
    return f": did you mean {match[0]!r}?" if match else f"; its fields are {', '.join(known)}"


def ignored(name, value):
    """Whether a published field can be left out; ValueError where its value would change the numbers."""
    if name in REQUIRED_VALUES and value != REQUIRED_VALUES[name]:
        raise ValueError(f"{name} must be {REQUIRED_VALUES[name]!r}, got {value!r}: this package builds Llama only")
    return name in IGNORED_FIELDS


def possible(name, value, kind):
    """The value of a field of that kind; TypeError for a wrong kind, ValueError for an impossible size."""
    if kind is bool:
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, got {value!r}")
        return value
    if kind in (int, float):
        return check_number(name, value, "[0, ∞)" if name in MAY_BE_ZERO else "(0, ∞)", whole=kind is int)
    return check_mapping(value, name) or None
