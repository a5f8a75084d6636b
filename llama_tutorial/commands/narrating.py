"""A forward pass told in named axes: narrate."""

from ..terminal import as_written


def tell_forward(config, torch_ops, tokens) -> None:
    """Print the story of a forward pass; it runs on shapes alone, so that a model of any size takes seconds."""
    import torch

    from .. import LlamaForCausalLM
    from ..viz import narrate

    shape = {} if config is None else published_shape(config)
    with torch.device("meta"):
        model, ids = LlamaForCausalLM(shape), torch.zeros(1, tokens, dtype=torch.long)
    with narrate(model, torch_ops=torch_ops) as story:
        model(ids)
    size = sum(weight.numel() for weight in model.parameters())
    layers = model.config.num_hidden_layers
    print(f"parameters {size:,} · layers {layers} · tokens {tokens} · steps {len(story)}\n")
    print(story.folded().table(as_written))


def published_shape(path):
    """The LlamaConfig of a published config.json, as `from_pretrained` understands it; ValueError with its name."""
    import json
    from difflib import get_close_matches

    from ..checkpoint import translate_config
    from ..config import LlamaConfig

    try:
        if path.stat().st_size > 16_000_000:
            raise ValueError("it has more than 16 MB")
        fields = json.loads(path.read_bytes())  # which also reads the mark with which some files begin
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be a config.json: {error}") from None
    try:
        if not isinstance(fields, dict):
            raise ValueError(f"it must be a LlamaConfig or a dict, written in braces, got a {type(fields).__name__}")
        if fields.get("model_type") not in (None, "llama"):
            told = f"{fields['model_type']!r:.80}: this package builds Llama only"
            raise ValueError(f"model_type must be 'llama', got {told}")
        if "dim" in fields and "n_layers" in fields:
            raise ValueError("it is Meta's params.json, which says too little without its weights: give a config.json")
        for name in fields.keys() - LlamaConfig.__dataclass_fields__.keys():
            if meant := get_close_matches(name, LlamaConfig.__dataclass_fields__, 1, cutoff=0.9):
                raise ValueError(f"it has a field {name!r}: did you mean {meant[0]!r}?")
        return translate_config(fields)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: {error}") from None
