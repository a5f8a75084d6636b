"""One hue for each word and each axis, through the whole course."""

from .canvas import BLUE, CYAN, GOLD, GREEN, HUES, MAUVE, ORANGE, PURPLE, RED

WORD_HUES = {"the": MAUVE, "dog": BLUE, "chased": RED, "its": GREEN, "tail": CYAN}
AXIS_HUES = {"batch": GOLD, "seq": BLUE, "query": BLUE, "key": GREEN, "head": RED, "kv": ORANGE, "group": PURPLE,
             "dim": MAUVE, "pair": CYAN, "two": PURPLE}


def word_hue(word: str, place: int = 0) -> str:
    """The hue of a word of the course's sentence; of any other word, the hue of its place."""
    return WORD_HUES.get(word.strip().lower(), HUES[place % len(HUES)])


def axis_hue(axis: str, place: int = 0) -> str:
    """The hue of an axis of the course's legend; of any other, the hue of its place."""
    return AXIS_HUES.get(axis, HUES[place % len(HUES)])
