"""Pictures: the figures of the lessons and what draws them. Nothing is loaded before it is asked for."""

import sys
from importlib import import_module
from types import ModuleType

_HOME = {                                # name → the file that defines it; one a line, sorted
    "attention_html": "hover",
    "attention_map": "attention",
    "bases": "stretch",
    "beyond_training": "stretch",
    "cache_times": "generation",
    "canvas": "canvas",
    "checkpoint_file": "checkpoint",
    "chips": "tokens",
    "dials": "rotary",
    "distance_only": "rotary",
    "done_again": "again",
    "draw_pattern": "pattern",
    "exam_splits": "tokens",
    "expected_and_yours": "check",
    "fills": "mask",
    "fold": "fold",
    "frequencies": "rotary",
    "gate_doors": "mlp",
    "layer_gradients": "residual",
    "leak": "mask",
    "learning_curve": "training",
    "loss_hung": "loss",
    "map_of_lessons": "start",
    "model_area": "model",
    "narrate": "narrate",
    "norm_circle": "norm",
    "one_query": "rope",
    "quiz": "fold",
    "recomputed": "generation",
    "residual_road": "residual",
    "root_dim": "scores",
    "ropes": "rope",
    "same_or_changed": "norm",
    "sampling_strips": "generation",
    "save": "show",
    "shelves": "shelves",
    "show": "show",
    "shuffled": "pairing",
    "stream_growth": "norm",
    "tower": "tokens",
    "two_hands": "rotary",
    "two_pairings": "pairing",
    "wavelengths": "stretch",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"llama_tutorial.viz has no {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__


class _Package(ModuleType):
    """Keeps `viz.show` the function: importing show.py would otherwise put the module in its place."""

    def __setattr__(self, name, value):
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
