"""Showing a figure in a notebook: an image that carries its description, small enough to keep in history."""

import base64
import hashlib
import html
import io
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from .canvas import GREY, HUES, INK, PROBABILITY, SIGNED, WIDTHS, dark, plain_text

VECTORS = None                           # a folder in which each figure is left as SVG too, named by its PNG's hash
LIMIT = 150_000                          # bytes of a figure's PNG
CARD = "max-width:100%;background:#fff;border:1px solid #d5d9e0;border-radius:12px;padding:10px;box-sizing:border-box"
STEPS = ((200, 256), (200, 128), (150, 256), (150, 64), (100, 64))    # (dots per inch, colours) until it fits

PALETTE = np.array([[int(hue[i : i + 2], 16) for i in (1, 3, 5)]
                    for hue in (INK, GREY, *HUES, *map(dark, HUES), *SIGNED, *PROBABILITY)], np.uint8)


def show(fig, alt=None):
    """Display `fig` once, as an <img> with its description; needs `fig.alt` or `alt`, else a ValueError."""
    picture = Picture(fig, alt)
    try:
        from IPython.display import display
    except ImportError:
        display = print
    display(picture)


def save(fig, path):
    """Write `fig` to `path` as the same small PNG that `show` puts into a notebook."""
    with open(path, "wb") as file:
        file.write(png(fig))


class Picture:
    """A figure as HTML (`_repr_html_`) and, where no picture can be shown, as its description (`repr`)."""

    def __init__(self, fig, alt=None):
        alt = alt or getattr(fig, "alt", None)
        if not alt or not alt.strip():
            raise ValueError("a figure needs a description for readers who cannot see it, and this one "
                             "has none: set fig.alt, or call show(fig, alt='one sentence on what it shows')")
        self.alt, self.png = " ".join(alt.split()), png(fig)
        self.width = min(round(100 * fig.get_figwidth()), WIDTHS[-1])

    def _repr_html_(self):
        data = base64.b64encode(self.png).decode("ascii")
        return (f'<img alt="{html.escape(self.alt)}" width="{self.width}" style="{CARD}" '
                f'src="data:image/png;base64,{data}">')

    def __repr__(self):
        return self.alt


def png(fig):
    """The bytes of `fig` as PNG of at most 150 KB, at 200 dpi in 256 colours unless that is too large."""
    for dpi, colors in STEPS:
        image, buffer = few_colors(pixels(fig, dpi), colors), io.BytesIO()
        image.save(buffer, format="PNG", optimize=True)
        if buffer.tell() <= LIMIT:
            if VECTORS is not None:
                leave_vector(fig, Path(VECTORS, f"{hashlib.sha256(buffer.getvalue()).hexdigest()}.svg"))
            return buffer.getvalue()
    raise ValueError(f"a figure may take {LIMIT:,} bytes so that notebooks stay light, and this one takes "
                     f"{buffer.tell():,} even at {dpi} dpi in {colors} colours: draw less in it")


def leave_vector(fig, path):
    """Write a figure as SVG, its letters as outlines."""
    with plain_text(), matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "llama_tutorial"}):
        fig.savefig(path, format="svg", facecolor="white", metadata={"Date": None})


def pixels(fig, dpi):
    """The figure as an array (height, width, 3) of bytes."""
    buffer = io.BytesIO()
    with plain_text():
        fig.savefig(buffer, format="png", dpi=dpi, facecolor="white", pil_kwargs={"compress_level": 1})
    return np.asarray(Image.open(buffer).convert("RGB"))


def few_colors(rgb, count):
    """An image (height, width, 3) in at most `count` colours, not dithered; ours and the commonest stay.

    Median cut alone averages flat areas with the gradient beside them, which once turned gold into orange.
    """
    seen = Image.fromarray(rgb).getcolors(rgb.shape[0] * rgb.shape[1])
    counts, colors = (np.array(each) for each in zip(*sorted(seen, reverse=True)))
    kept = (colors[:, None] == PALETTE).all(-1).any(-1)
    kept |= (counts > counts.sum() / 2000) & (np.cumsum(~kept) <= count // 3)
    palette, rest = colors[kept], colors[~kept]
    if len(rest):
        often = np.repeat(rest, np.ceil(np.sqrt(counts[~kept])).astype(int), axis=0).astype(np.uint8)
        cut = Image.fromarray(often[None]).quantize(count - len(palette), Image.Quantize.MEDIANCUT, kmeans=3)
        palette = np.concatenate([palette, np.reshape(cut.getpalette(), (-1, 3))])
    nearest = np.zeros(1 << 24, np.uint8)
    for block in np.array_split(colors, len(colors) // 4096 + 1):
        nearest[_code(block)] = np.square(block[:, None] - palette).sum(-1).argmin(1)
    image = Image.fromarray(nearest[_code(rgb)])
    image.putpalette(palette.astype(np.uint8).tobytes())
    return image


def _code(rgb):
    """Colours (..., 3) as one number each."""
    red, green, blue = np.moveaxis(rgb.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue
