"""Any text on any terminal or into any file: what it cannot hold is written by what is nearest to it."""

import codecs
import sys

ERRORS = "llama-tutorial.nearest"  # the name under which codecs know `in_place`
# What stands for a character that a terminal or a file cannot hold, where Unicode itself names nothing near.
_PAIRS = r"""
    → -> ← <- ↔ <-> ↑ ^ ↓ v ⇒ => ↳ `- ▸ > ▾ v − - ‐ - – - — - … ... · . • * × x ÷ / ⁄ / ± +- ∓ -+ ≤ <= ≥ >= ≠ != ≈ ~
    ∞ inf ∈ in π pi θ theta “ " ” " „ " « " » " ‘ ' ’ ' ‚ ' ¡ ! ¿ ? ✓ + ✗ x ○ o ● * ␣ _ ↵ \n ⇥ \t ° deg € EUR
    æ ae Æ AE œ oe Œ OE ø o Ø O ß ss ł l Ł L đ d Đ D ð d Ð D þ th Þ Th ı i © (c) ® (R) μ u
""".split()
NEAREST = {**dict(zip(_PAIRS[::2], _PAIRS[1::2])), "√": "sqrt ", "\ufffd": "?", "\ufeff": "", "\u200b": ""}


def nearest(character: str, before: str = " ") -> str:
    """A character in ASCII: what is nearest to it, and its number as Python writes it where nothing is near.

    A raised digit is told from its neighbour: 10⁻⁶ becomes 10^-6. `before` is the character that stands before it.
    """
    from unicodedata import combining, decomposition, normalize

    if character in NEAREST:
        return NEAREST[character]
    raised, halved = (decomposition(character).startswith(kind) for kind in ("<super>", "<fraction>"))
    first = "^" if raised and not decomposition(before).startswith("<super>") else " " if halved else ""
    parts = normalize("NFKD", character)
    text = "".join(NEAREST.get(part, part) for part in parts if not combining(part) or part > "\u036f")
    return first + text if text.isascii() else character.encode("ascii", "backslashreplace").decode()


def in_place(error: UnicodeEncodeError):
    """What is written where a stream cannot hold a character; a byte of a file's name that is no text stays a byte."""
    here, text = error.start, error.object
    if "\udc80" <= text[here] <= "\udcff":
        return bytes([ord(text[here]) - 0xDC00]), here + 1
    return nearest(text[here], text[here - 1 : here] or " "), here + 1


def never_fail(*streams) -> None:
    """Have the streams write the nearest character for one that they cannot hold, unless someone chose otherwise."""
    codecs.register_error(ERRORS, in_place)
    for stream in streams:
        if getattr(stream, "errors", None) in ("strict", "surrogateescape") or stream is sys.stderr:
            getattr(stream, "reconfigure", lambda **_: None)(errors=ERRORS)


def as_written(text: str) -> str:
    """A text as it will read on stdout, so that a table can be aligned by it."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, ERRORS).decode(encoding, "replace")
