"""What a wrong call is told, without a line of it on a component's page.

`explained` puts an error into words after it has come, from the signature's shapes. `checks` refuse what PyTorch would
pass over in silence (docs/silent_mistakes.md lists it). `Fields` is what lets a config be read like a dict, and `Later`
gives a class the methods of a later lesson. `subject` is the door of `diagnose`, any language
model behind one call. This folder imports nothing of ours.
"""

from .checks import (
    believed,
    check_attention_mask,
    check_call,
    check_choice,
    check_even,
    check_ids,
    check_mapping,
    check_mask,
    check_next,
    check_number,
    check_positions,
    check_room,
    check_rotation,
    check_update,
    numbers_of,
)
from .explained import Cache, check_tensor, explained
from .fields import Fields
from .later import Later

__all__ = [
    "Cache",
    "Fields",
    "Later",
    "believed",
    "check_attention_mask",
    "check_call",
    "check_choice",
    "check_even",
    "check_ids",
    "check_mapping",
    "check_mask",
    "check_next",
    "check_number",
    "check_positions",
    "check_room",
    "check_rotation",
    "check_tensor",
    "check_update",
    "explained",
    "numbers_of",
]
