"""What PPMd needs for a byte of lesson 10's exam: `python tests/measure_ppmd.py` (about a second).

PPMd is the classical compressor of plain text (Cleary and Witten 1984, Shkarin 2002). Python brings none along, so the
lesson holds its two numbers, and test_ppmd.py measures them again, with `pyppmd` from the test extra. The order and the
memory are those that 7-Zip and pyppmd take when nobody asks, not the best for the exam: order 16 would be better (1.70
after the textbook), order 4 worse (1.93).
"""

from llama_tutorial.corpus import python_corpus

ORDER, MEMORY = 6, 16 << 20  # the longest context in bytes, and the room of the tree of contexts


def ppmd(text: str, memory: int = MEMORY) -> int:
    """The bits that PPMd, variant H as in 7z, makes of a text; raises ValueError where they do not give it back."""
    import pyppmd

    plain = text.encode()
    packed = pyppmd.compress(plain, max_order=ORDER, mem_size=memory, variant="H")
    if pyppmd.Ppmd7Decoder(ORDER, memory).decode(packed, len(plain)) != plain:
        raise ValueError(f"{len(plain):,} bytes did not come back from PPMd")
    return 8 * len(packed)


def rivals(memory: int = MEMORY) -> dict[str, float]:
    """Bits per byte of the exam as lesson 10 measures xz: alone, and after the textbook."""
    corpus = python_corpus()
    textbook = "".join([*corpus.reference.values(), *corpus.docstrings.values()])
    exam = "".join(corpus.held_out.values())
    size = len(exam.encode())
    after = ppmd(textbook + exam, memory) - ppmd(textbook, memory)
    return {"PPMd alone": ppmd(exam, memory) / size, "PPMd after the textbook": after / size}


if __name__ == "__main__":
    for name, bits in rivals().items():
        print(f"{name}: {bits:.4f} bits per byte")
