"""What we save, in llama.cpp: `python tests/check_llama_cpp.py PATH_OF_ITS_SOURCES` (not a test).

It needs `pip install llama-cpp-python sentencepiece`, which builds the engine, and llama.cpp's sources, for its
converter convert_hf_to_gguf.py; the source package of llama-cpp-python has them under vendor/llama.cpp. Random small
models are saved by us with a small tokenizer, converted to float32 and run: the largest difference of the logits,
relative to the largest logit, and whether 60 greedy tokens are the same.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from llama_tutorial import LlamaForCausalLM

SIZES = {"hidden_size": 128, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 512}  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64}
CASES = {
    "untied": {"tie_word_embeddings": False},
    "tied": {"tie_word_embeddings": True},
    "llama3": {"rope_scaling": LLAMA3, "rope_theta": 500000.0},
    "linear": {"rope_scaling": {"rope_type": "linear", "factor": 2.0}},
    "yarn": {"rope_scaling": YARN},
    "wide heads": {"head_dim": 64},
    "biases": {"attention_bias": True},
    "shards": {},
}
# The converter knows a tokenizer by its hash, and ours is new: it is told which kind it is.
CONVERT = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/gguf-py"]
import convert_hf_to_gguf
from conversion import base
base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
sys.argv[1:] = sys.argv[2:]
convert_hf_to_gguf.main()
"""


def small_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Byte-level BPE of 500 tokens, learnt from our own modules."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    inner.train_from_iterator((path.read_text() for path in Path("llama_tutorial").glob("*.py")), trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")


def compare(model: LlamaForCausalLM, path: Path, prompt: torch.Tensor, count: int = 60) -> tuple[float, bool]:
    """The largest relative difference of the prompt's logits, and whether the greedy continuations are equal."""
    import llama_cpp

    engine = llama_cpp.Llama(str(path), n_ctx=256, logits_all=True, verbose=False, type_k=0, type_v=0)  # float32 cache
    engine.eval(prompt[0].tolist())
    with torch.inference_mode():
        ours = model(prompt)[0].numpy()
    theirs, written = numpy.array(engine.scores[: len(ours)]), []
    for _ in range(count):
        written.append(int(numpy.argmax(engine.scores[engine.n_tokens - 1])))
        engine.eval(written[-1:])
    wanted = model.generate(prompt, count)[0, prompt.shape[1] :].tolist()
    return float(abs(theirs - ours).max() / abs(ours).max()), written == wanted


def main() -> None:
    tokenizer = small_tokenizer()
    prompt = torch.randint(2, len(tokenizer), (1, 40), generator=torch.Generator().manual_seed(0))
    for name, special in CASES.items():
        torch.manual_seed(0)
        model = LlamaForCausalLM({"vocab_size": len(tokenizer), **SIZES, **special})
        with torch.no_grad():
            for part, weight in model.named_parameters():
                weight.normal_(float("norm" in part), 0.25 if weight.ndim == 1 else 0.12)
        with tempfile.TemporaryDirectory() as directory:
            saved, converted = Path(directory) / "saved", Path(directory) / "model.gguf"
            model.save_pretrained(saved, "200KB" if name == "shards" else "5GB")
            tokenizer.save_pretrained(saved)
            words = [sys.executable, "-c", CONVERT, sys.argv[1], str(saved), "--outtype", "f32", "--outfile"]
            subprocess.run([*words, str(converted)], check=True, capture_output=True)
            gap, same = compare(model, converted, prompt)
        print(f"{name:12} {gap:.1e}  {'the same greedy text' if same else 'OTHER TEXT'}")


if __name__ == "__main__":
    main()
