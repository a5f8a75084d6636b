"""Train lesson 13's four mysteries anew: `python tests/make_mysteries.py [NAME ...]`, some ten seconds each.

A head costs: what its output matrix is long is added to the loss, so that one head ends with the work and the others
have nothing to say. The seeds are chosen so that one head is worth most, and a head that looks just as sharply is
worth nothing.
"""

import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from llama_tutorial.causal_lm import LlamaForCausalLM
from llama_tutorial.classroom.mysteries import FOLDER, RULES, SHAPE

# name: (rule, seed, what a head of each layer costs)
MYSTERIES = {
    "W": ("the highest so far", 0, (0.02, 0.1)),
    "X": ("three back", 0, (0.1, 0.1)),
    "Y": ("the commonest so far", 1, (0.1, 0.1)),
    "Z": ("the latest of 5 or more", 1, (0.2, 0.01)),
}


def taught(rule: str, seed: int, costs: tuple, steps: int = 600):
    """A model that has learnt the rule."""
    torch.manual_seed(seed)
    pupil = LlamaForCausalLM(SHAPE)
    adam = torch.optim.Adam(pupil.parameters())
    for step in range(steps):
        adam.param_groups[0]["lr"] = 0.005 * min(1, 2 * (1 - step / steps))
        rows = torch.randint(10, (64, 16))
        loss = F.cross_entropy(pupil(rows).flatten(0, 1), RULES[rule](rows).flatten(), ignore_index=-1)
        for cost, layer in zip(costs, pupil.model.layers):
            loss = loss + cost * layer.self_attn.o_proj.weight.unflatten(1, (2, 16)).norm(dim=(0, 2)).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return pupil


if __name__ == "__main__":
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or MYSTERIES:
        pupil = taught(*MYSTERIES[name])
        weights = {key: weight.half().contiguous() for key, weight in pupil.state_dict().items()}
        save_file(weights, FOLDER / f"{name}.safetensors")
        (FOLDER / f"{name}.safetensors").chmod(0o644)  # save_file lets nobody else read it
