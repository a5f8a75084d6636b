"""The canvas that every figure stands on: a picture placed in pixels, one palette, a dozen strokes.

    c = canvas(300, "Three bars, the second is highest: 0.9", "Height = weight.")
    for i, weight in enumerate([0.2, 0.9, 0.4]):
        c.bar(100 + 60 * i, 250 - 150 * weight, 40, 150 * weight, HUES[i])
    return c.done("Three bars with the heights 0.2, 0.9 and 0.4.")

Pixels run right and down from the top left corner; what is drawn later covers what was drawn before.
Figures are made without pyplot, so a notebook never shows one twice and no setting of the user's changes.
"""

from contextlib import contextmanager

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyBboxPatch, PathPatch, Polygon, Rectangle, Wedge
from matplotlib.path import Path
from matplotlib.patheffects import withStroke

INK, GREY, FAINT, WHITE = "#22262e", "#5f6672", "#dfe2e8", "#ffffff"
BLUE, RED, GREEN, GOLD, CYAN, PURPLE, ORANGE, MAUVE = HUES = (
    "#4477AA", "#EE6677", "#228833", "#CCAA22", "#33AACC", "#AA3377", "#DD8844", "#777799")
WRONG, RIGHT = RED, BLUE                 # never alone: always with a mark or words as well
SIGNED = ("#d9771a", "#f0a653", "#fbd9ae", "#ffffff", "#bcd3ea", "#5b93c9", "#174f94")   # −1 … 0 … +1
PROBABILITY = ("#ffffff", "#d3e2f1", "#86aed6", "#3b76b3", "#143d6b")                    # 0 … 1
SANS, MONO = "DejaVu Sans", "DejaVu Sans Mono"                          # both come with matplotlib
POINTS = 0.72                            # points per pixel at 100 dpi


def numbers(x):
    """The numbers of a tensor, an array or a list as a float64 array, wherever the tensor lives."""
    if hasattr(x, "detach"):
        x = x.detach().cpu().double()
    return np.asarray(x, dtype=np.float64)


def tint(hue, amount):
    """`hue` mixed with white: 0 leaves it, 1 is white."""
    return to_hex([1 - (1 - part) * (1 - amount) for part in to_rgb(hue)])


def dark(hue):
    """`hue` as a text colour: RGB × 0.72, dark enough to read on white."""
    return to_hex([0.72 * part for part in to_rgb(hue)])


def _between(stops, share):
    """Colours (..., 3) at the shares 0 … 1 of the way along `stops`; shares beyond are cut off."""
    share, stops = np.clip(numbers(share), 0, 1), np.array([to_rgb(stop) for stop in stops])
    return np.stack([np.interp(share, np.linspace(0, 1, len(stops)), part) for part in stops.T], axis=-1)


def signed(value):
    """Colours (..., 3) of signed values: −1 orange, 0 white, +1 blue; in grey, negative is the lighter."""
    return _between(SIGNED, (numbers(value) + 1) / 2)


def probability(value):
    """Colours (..., 3) of probabilities: 0 white, 1 deep blue."""
    return _between(PROBABILITY, value)


def on(color):
    """The text colour that reads best on `color`: white on dark, ink on light."""
    return WHITE if np.dot(to_rgb(color), (0.299, 0.587, 0.114)) < 0.56 else INK


def printable(token):
    """`token` as a label: edge spaces as ␣, a line's end as ↵, a tab as ⇥, the unprintable as its escape."""
    token = token.replace("\n", "↵").replace("\t", "⇥")
    inner = token.strip(" ")
    left = len(token) - len(token.lstrip(" ")) if inner else len(token)
    right = len(token) - len(inner) - left
    return "␣" * left + "".join(ch if ch.isprintable() else repr(ch)[1:-1] for ch in inner) + "␣" * right


@contextmanager
def plain_text():
    """Letters without hinting while the block lasts: the largest single gain in polish."""
    ours = {"text.hinting": "none", "savefig.bbox": "standard", "path.sketch": None}
    if matplotlib.__version_info__ < (3, 11):
        ours["text.hinting_factor"] = 1
    with matplotlib.rc_context(ours):
        yield


WIDTHS = (620, 1000)                     # of a card: half a column and a whole one, so that type keeps its size


def canvas(height, title="", subtitle="", width=1000):
    """A blank Canvas, width × height pixels, under a title (what to see) and a grey line (how to read it)."""
    c = Canvas(width, height)
    fits = (size for size in (14, 13.5, 13, 12.5) if c.measure(title, size, "bold") <= c.paper - 52)
    c.title = c.say(26, 36, title, size=next(fits, 12), weight="bold")
    c.subtitle = c.say(26, 62, subtitle, size=10.5, color=GREY)
    return c


class Canvas:
    """A figure in pixels: x runs right, y runs down, both from the top left corner."""

    def __init__(self, width, height):
        self.width, self.height, self._layer = round(width), round(height), 0
        self.paper = next((each for each in WIDTHS if self.width <= each), self.width)
        self.fig = Figure((self.paper / 100, self.height / 100), dpi=100, facecolor="white", layout="none")
        self._renderer = FigureCanvasAgg(self.fig).get_renderer()
        self.ax = self.fig.add_axes((0, 0, 1, 1), xlim=(0, self.paper), ylim=(self.height, 0))
        self.ax.axis("off")

    def done(self, alt):
        """The finished Figure, with `alt`, one sentence, as its description (`fig.alt`)."""
        self.fig.alt = alt
        return self.fig

    def _above(self):
        self._layer += 1
        return self._layer

    def _patch(self, patch, fill, edge=None, px=1.0, alpha=None, dash=None):
        patch.set(facecolor="none" if fill is None else fill, edgecolor="none" if edge is None else edge,
                  linewidth=px * POINTS if edge is not None else 0, linestyle=(0, dash) if dash else "solid",
                  alpha=alpha, antialiased=True, zorder=self._above())
        return self.ax.add_patch(patch)

    # ---- words ----

    def say(self, x, y, text, size=10.5, color=INK, ha="left", va="baseline", weight="normal", mono=False,
            halo=None, **kw):
        """Text at (x, y), by default on its baseline, `size` in points; `halo`: a rim of that colour."""
        if halo:
            kw["path_effects"] = [withStroke(linewidth=3, foreground=halo)]
        return self.ax.text(x, y, text, fontsize=size, color=color, ha=ha, va=va, weight=weight,
                            family=MONO if mono else SANS, style="normal", parse_math=False, usetex=False,
                            zorder=self._above(), **kw)

    def measure(self, text, size=10.5, weight="normal", mono=False):
        """The width in pixels of `text`, spaces at its ends included."""
        def extent(words):
            probe = self.ax.text(0, 0, words, fontsize=size, weight=weight, family=MONO if mono else SANS,
                                 parse_math=False, usetex=False)
            with plain_text():
                width = probe.get_window_extent(self._renderer).width
            probe.remove()
            return width
        return extent(f"|{text}|") - extent("||") if text else 0.0

    def run(self, x, y, pieces, size=10.5, ha="left", mono=False, va="baseline"):
        """One line of many colours: pieces (text, colour[, weight]); returns the x where it ends."""
        pieces = [(*piece, "normal")[:3] for piece in pieces]
        widths = [self.measure(text, size, weight, mono) for text, _, weight in pieces]
        x -= {"left": 0, "center": sum(widths) / 2, "right": sum(widths)}[ha]
        for (text, color, weight), width in zip(pieces, widths):
            self.say(x, y, text, size, color, va=va, weight=weight, mono=mono)
            x += width
        return x

    # ---- areas ----

    def bar(self, x, y, w, h, color, **style):
        """A plain rectangle with its top left corner at (x, y)."""
        return self._patch(Rectangle((x, y), w, h), color, **style)

    def box(self, x, y, w, h, color, radius=4, **style):
        """A rectangle with rounded corners, its top left corner at (x, y)."""
        shape = f"Round,pad=0,rounding_size={min(radius, abs(w) / 2, abs(h) / 2)}"
        return self._patch(FancyBboxPatch((x, y), w, h, boxstyle=shape), color, **style)

    def cells(self, x, y, colors, texts=None, size=40, gap=4, fontsize=10.5, weights=None, radius=4):
        """A grid of rounded squares, one per colour in `colors` (None: a hole), with their numbers."""
        w, h = (size, size) if np.isscalar(size) else size
        for row, line in enumerate(colors):
            for column, color in enumerate(line):
                left, top = x + column * (w + gap), y + row * (h + gap)
                if color is None:
                    continue
                self.box(left, top, w, h, color, radius)
                if texts is not None and texts[row][column]:
                    self.say(left + w / 2, top + h / 2, texts[row][column], fontsize, on(color), "center",
                             "center_baseline", weights[row][column] if weights is not None else "normal")

    def hatch(self, x, y, w, h, color, step=7, px=1.0):
        """Slanted lines within a rectangle: what is cut away or does not count."""
        clip = Rectangle((x, y), w, h, transform=self.ax.transData)
        for start in np.arange(x - h, x + w, step):
            self.line(start, y + h, start + h, y, color, px).set_clip_path(clip)

    def ribbon(self, top, y0, bottom, y1, color, **style):
        """A band from the interval top = (left, right) at y0 to bottom at y1, curved like a rope."""
        (a, b), (c, d), mid = top, bottom, (y0 + y1) / 2
        corners = [(a, y0), (a, mid), (c, mid), (c, y1), (d, y1), (d, mid), (b, mid), (b, y0), (a, y0)]
        codes = [Path.MOVETO] + [Path.CURVE4] * 3 + [Path.LINETO] + [Path.CURVE4] * 3 + [Path.CLOSEPOLY]
        return self._patch(PathPatch(Path(corners, codes)), color, **style)

    def band(self, xs, low, high, color, **style):
        """The area between two curves over the same xs."""
        points = np.concatenate([np.column_stack([xs, low]), np.column_stack([xs, high])[::-1]])
        return self._patch(Polygon(points, closed=True), color, **style)

    def image(self, x, y, w, h, colors):
        """A heatmap: colours (rows, columns, 3) stretched over the rectangle, without smoothing."""
        return self.ax.imshow(colors, extent=(x, x + w, y + h, y), interpolation="nearest", aspect="auto",
                              origin="upper", zorder=self._above())

    # ---- strokes ----

    def line(self, x0, y0, x1, y1, color=INK, px=1.0, dash=None):
        """A straight line; `dash` as (on, off) in units of its width."""
        return self.curve([x0, x1], [y0, y1], color, px, dash)

    def curve(self, xs, ys, color=INK, px=2.0, dash=None, alpha=None, cap="butt"):
        """A line through the points (xs, ys)."""
        return self.ax.add_line(Line2D(
            xs, ys, color=color, linewidth=px * POINTS, linestyle=(0, dash) if dash else "solid", alpha=alpha,
            marker="", solid_capstyle=cap, dash_capstyle="butt", solid_joinstyle="round", antialiased=True,
            zorder=self._above()))

    def rope(self, x0, y0, x1, y1, px, color, plumb=5, **style):
        """A rope px thick from (x0, y0) to (x1, y1): it leaves and arrives vertically, plumb ends."""
        plumb = np.copysign(min(plumb, abs(y1 - y0) / 4), y1 - y0)
        middle = (y0 + y1) / 2
        points = [(x0, y0), (x0, y0 + plumb), (x0, middle), (x1, middle), (x1, y1 - plumb), (x1, y1)]
        codes = [Path.MOVETO, Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.LINETO]
        return self._patch(PathPatch(Path(points, codes), capstyle="butt", joinstyle="round", fill=False),
                           None, color, px, **style)

    def arrow(self, x0, y0, x1, y1, color=INK, px=1.5, head=9):
        """A straight arrow whose filled head, `head` pixels long, ends in (x1, y1)."""
        end, along = np.array([x1, y1], float), np.array([x1 - x0, y1 - y0], float)
        along /= np.hypot(*along)
        across, neck = np.array([-along[1], along[0]]) * head * 0.45, end - along * head
        self.line(x0, y0, *(neck + along), color, px)
        return self._patch(Polygon([end, neck + across, neck - across], closed=True), color)

    def ring(self, x, y, r=5.0, color=INK, px=2.0, fill=WHITE):
        """A circle of radius r about (x, y); with fill=color a dot."""
        return self._patch(Circle((x, y), r), fill, color, px)

    def dial(self, x, y, r, angle, color, face=WHITE, sector=False, px=1.6, hand=None):
        """A clock: `angle` in radians, 0 at twelve, clockwise.

        `sector` shades what the hand has swept since twelve; full turns lie beneath as a paler disc.
        """
        self._patch(Circle((x, y), r), face)
        if sector:
            if angle >= 2 * np.pi:
                self._patch(Circle((x, y), r), tint(color, 0.82))
            degrees = np.degrees(angle % (2 * np.pi))
            self._patch(Wedge((x, y), r, -90, -90 + degrees), tint(color, 0.5))
        self._patch(Circle((x, y), r), None, tint(color, 0.4) if sector else color, px)
        self.line(x, y - r, x, y - 0.78 * r, GREY, 1.2)
        hand = hand or to_hex([0.85 * part for part in to_rgb(color)])
        self.line(x, y, x + 0.84 * r * np.sin(angle), y - 0.84 * r * np.cos(angle), hand, max(2.0, r / 8))
        self._patch(Circle((x, y), max(1.5, r / 12)), hand)

    # ---- axes ----

    def axis(self, scale, at, ticks, labels=None, side="bottom", label="", color=GREY, size=9.5):
        """A minimal axis along `scale` at the pixel `at`: its line, its ticks, their labels and its name.

        `side` says where the labels stand: at the "bottom" or "top" of a horizontal axis, at the "left" or
        "right" of a vertical one.
        """
        labels = [f"{tick:,.10g}" for tick in ticks] if labels is None else labels
        out = {"bottom": 1, "top": -1, "left": -1, "right": 1}[side]
        low, high = sorted(scale.pixels)
        flat, side_in = side in ("bottom", "top"), "right" if out < 0 else "left"
        self.line(*((low, at, high, at) if flat else (at, low, at, high)), color=color)
        for tick, text in zip(ticks, labels):
            p = float(scale(tick))
            if flat:
                self.line(p, at, p, at + out * 5, color)
                self.say(p, at + out * 10, text, size, GREY, "center", "top" if out > 0 else "bottom")
            else:
                self.line(at, p, at + out * 5, p, color)
                self.say(at + out * 10, p, text, size, GREY, side_in, "center_baseline")
        if label and flat:
            self.say(high, at + out * 31, label, 10.5, GREY, "right", "top" if out > 0 else "bottom")
        elif label:
            self.say(at, low - 14, label, 10.5, GREY, side_in)


class Scale:
    """A map from values to pixels: `Scale((1, 1000), (50, 450), log=True)(10)` is 183.3."""

    def __init__(self, values, pixels, log=False):
        self.values, self.pixels, self._of = values, pixels, np.log10 if log else np.asarray

    def __call__(self, value):
        low, high = (self._of(end) for end in self.values)
        return self.pixels[0] + (self._of(value) - low) / (high - low) * (self.pixels[1] - self.pixels[0])
