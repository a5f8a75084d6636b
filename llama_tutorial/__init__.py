"""Llama in PyTorch, component by component: every module here is the export of a lesson in notebooks/.

Names load on first use, so `import llama_tutorial` is quick:

    from llama_tutorial import LlamaConfig, LlamaForCausalLM
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .attention import LlamaAttention
    from .causal_lm import LlamaForCausalLM
    from .classroom.judge.check import CheckFailed, NotWritten, check
    from .config import LlamaConfig
    from .decoder_layer import LlamaDecoderLayer
    from .diagnosis import diagnose
    from .fast import faster
    from .generation import generate, load_shipped, talk
    from .kv_cache import KVCache
    from .mlp import LlamaMLP
    from .model import LlamaModel
    from .published.words import PublishedTokenizer
    from .rms_norm import LlamaRMSNorm
    from .rotary import LlamaRotaryEmbedding
    from .tokenizer import Tokenizer

__version__ = "0.1.0"

# In which module each public name is defined.
_HOME = {
    "LlamaConfig": "config",
    "LlamaRMSNorm": "rms_norm",
    "LlamaRotaryEmbedding": "rotary",
    "LlamaAttention": "attention",
    "LlamaMLP": "mlp",
    "LlamaDecoderLayer": "decoder_layer",
    "LlamaModel": "model",
    "LlamaForCausalLM": "causal_lm",
    "KVCache": "kv_cache",
    "Tokenizer": "tokenizer",
    "diagnose": "diagnosis",
    "faster": "fast",
    "generate": "generation",
    "load_shipped": "generation",
    "talk": "generation",
    "check": "classroom.judge.check",
    "CheckFailed": "classroom.judge.check",
    "NotWritten": "classroom.judge.check",
    "PublishedTokenizer": "published.words",
}

__all__ = [
    "CheckFailed",
    "KVCache",
    "LlamaAttention",
    "LlamaConfig",
    "LlamaDecoderLayer",
    "LlamaForCausalLM",
    "LlamaMLP",
    "LlamaModel",
    "LlamaRMSNorm",
    "LlamaRotaryEmbedding",
    "NotWritten",
    "PublishedTokenizer",
    "Tokenizer",
    "__version__",
    "check",
    "diagnose",
    "faster",
    "generate",
    "load_shipped",
    "talk",
]


def __getattr__(name: str):
    """Load a public name from its module on first use; AttributeError names the nearest known one."""
    if name not in _HOME:
        from difflib import get_close_matches

        near = get_close_matches(name, __all__, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(_HOME))}"
        raise AttributeError(f"module {__name__!r} has no name {name!r}{hint}", name=name)
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
