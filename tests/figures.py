"""The stored figures, for maintainers.

    python tests/figures.py write            draw every figure of test_viz.py anew into tests/figures/
    python tests/figures.py sheet DIR        contact sheets of all of them: light, dark, grey, and for a deuteranope

Look at the sheets before what was written is committed.
"""

import re
import sys
from pathlib import Path

import numpy as np
from matplotlib.testing.compare import calculate_rms
from PIL import Image

from llama_tutorial.viz.kit.cards import pixels

STORED = Path(__file__).parent / "figures"
DPI = 40                                 # enough to see that a bar moved, and some 5 KB a figure
# What a deuteranope sees of linear light, after Viénot, Brettel and Mollon (1999).
DEUTERANOPE = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])


def stored(name: str) -> Path:
    """Where the figure of that name lies."""
    return STORED / (re.sub(r"\W+", "_", name) + ".png")


def small(fig) -> np.ndarray:
    """A figure in grey (height, width), 0 … 255, as it is stored."""
    return np.asarray(Image.fromarray(pixels(fig, DPI)).convert("L")).astype(np.int16)


def unlike(fig, name: str) -> float:
    """How far a figure is from the stored one, as a root mean square of 255; infinite for another size."""
    wanted, found = np.asarray(Image.open(stored(name)).convert("L")).astype(np.int16), small(fig)
    return calculate_rms(wanted, found) if wanted.shape == found.shape else float("inf")


def write(figures) -> None:
    """Store every figure, and delete what belongs to none."""
    STORED.mkdir(exist_ok=True)
    for file in set(STORED.glob("*.png")) - {stored(name) for name in figures}:
        file.unlink()
    for name, make in figures.items():
        Image.fromarray(small(make()).astype(np.uint8)).quantize(96).save(stored(name), optimize=True)


def deuteranope(rgb: np.ndarray) -> np.ndarray:
    """Bytes (height, width, 3) as a deuteranope sees them."""
    light = (rgb / 255.0) ** 2.2 @ DEUTERANOPE.T
    return (255 * light.clip(0, 1) ** (1 / 2.2)).round().astype(np.uint8)


def sheet(figures, directory: Path, columns=5, width=500) -> None:
    """Four contact sheets of all figures."""
    directory.mkdir(parents=True, exist_ok=True)
    tiles = []
    for make in figures.values():
        image = Image.fromarray(pixels(make(), 100))
        tiles.append(image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS))
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    high = sum(max(tile.height for tile in row) + 20 for row in rows)
    for look, ground in (("light", "#ffffff"), ("dark", "#111111"), ("grey", "#ffffff"), ("deuteranope", "#ffffff")):
        page, y = Image.new("RGB", (columns * (width + 20), high), ground), 0
        for row in rows:
            for place, tile in enumerate(row):
                page.paste(tile, (place * (width + 20) + 10, y + 10))
            y += max(tile.height for tile in row) + 20
        if look == "grey":
            page = page.convert("L")
        if look == "deuteranope":
            page = Image.fromarray(deuteranope(np.asarray(page)))
        page.save(directory / f"{look}.png", optimize=True)


if __name__ == "__main__":
    from test_viz import FIGURES

    if sys.argv[1:] == ["write"]:
        write(FIGURES)
    elif len(sys.argv) == 3 and sys.argv[1] == "sheet":
        sheet(FIGURES, Path(sys.argv[2]))
    else:
        sys.exit(__doc__)
