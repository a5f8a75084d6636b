"""A file of weights as it lies on the disk: a header that names, then numbers."""

import re

from ..kit.canvas import BLUE, FAINT, GREEN, GREY, INK, MAUVE, ORANGE, PURPLE, WHITE, canvas, dark, tint

LEFT, RIGHT, HIGH = 26, 974, 64
KINDS = {"embed_tokens": (MAUVE, "embedding", "02"), "self_attn": (BLUE, "attention", "05"),
         "mlp": (ORANGE, "MLP", "06"), "norm": (GREEN, "norms", "03"), "lm_head": (PURPLE, "head", "09")}  # fmt: skip


def checkpoint_file(header, header_bytes, opened=None):
    """A safetensors file as a strip of bytes, one of its layers opened beneath, and one line of its header read.

    `header` maps a tensor's name to its "shape", "dtype" and "data_offsets", as the file says; `header_bytes` is the
    header's own length with the eight bytes that tell it; `opened` the layer to open, by default one in the middle.
    """
    told = {name: entry for name, entry in header.items() if name != "__metadata__"}
    if not told or not all("data_offsets" in entry for entry in told.values()):
        raise ValueError(f"checkpoint_file takes the header of a safetensors file, got the keys {list(header)[:5]}")
    numbers = max(entry["data_offsets"][1] for entry in told.values())
    layers = {int(found[1]) for name in told if (found := re.search(r"layers\.(\d+)\.", name))}
    opened = sorted(layers)[len(layers) // 2] if opened is None and layers else opened
    inside = {name: entry for name, entry in told.items() if f"layers.{opened}." in name}
    c = canvas(470, f"A checkpoint is {header_bytes:,} bytes that name and {numbers:,} bytes of numbers",
               f"{len(told)} tensors in the order of the file; width = bytes, a ring = the lesson that builds it.")
    _strip(c, 122, told, numbers, header_bytes)
    if inside:
        _opened(c, 250, inside, opened, numbers, header_bytes)
        _entry(c, 408, max(inside.items(), key=lambda item: _length(item[1])))
    shares = ", ".join(f"{label} {share:.0%}" for label, share in _shares(told, numbers).items())
    return c.done(f"A file of {header_bytes + numbers:,} bytes as a strip: a header, then {len(told)} tensors "
                  f"({shares}); layer {opened} is opened beneath, and the header's line of one tensor is read.")


def _length(entry):
    return entry["data_offsets"][1] - entry["data_offsets"][0]


def _kind(name):
    """Colour, label and lesson of a tensor."""
    return next((told for part, told in KINDS.items() if part in name), (INK, "other", ""))


def _shares(told, numbers):
    shares = {}
    for name, entry in told.items():
        label = _kind(name)[1]
        shares[label] = shares.get(label, 0) + _length(entry) / numbers
    return shares


def _strip(c, y, told, numbers, header_bytes):
    """The whole file to scale, and above it what each colour is."""
    scale = (RIGHT - LEFT) / (header_bytes + numbers)
    c.bar(LEFT, y, max(header_bytes * scale, 1.5), HIGH, INK)
    start = LEFT + header_bytes * scale
    for name, entry in told.items():
        wide = _length(entry) * scale
        c.bar(start + entry["data_offsets"][0] * scale, y, wide - min(0.8, wide / 4), HIGH, _kind(name)[0])
    x, y = LEFT, y - 16
    c.bar(x, y - 11, 12, 12, INK)
    x = c.run(x + 20, y, [("header ", INK, "bold"), ("names", GREY)]) + 24
    shares = _shares(told, numbers)
    for color, label, lesson in KINDS.values():
        if label not in shares:
            continue
        c.ring(x + 12, y - 4, 12, color, 1.8, WHITE)
        c.say(x + 12, y - 4, lesson, 9.5, dark(color), "center", "center_baseline", "bold")
        x = c.run(x + 32, y, [(f"{label} ", dark(color), "bold"), (f"{shares[label]:.1%}", GREY)]) + 18


def _opened(c, y, inside, opened, numbers, header_bytes):
    """One layer, magnified: a row of its matrices, with their names and shapes."""
    first = min(entry["data_offsets"][0] for entry in inside.values())
    last = max(entry["data_offsets"][1] for entry in inside.values())
    scale = (RIGHT - LEFT) / (header_bytes + numbers)
    from_x, to_x = (LEFT + (header_bytes + byte) * scale for byte in (first, last))
    c.ribbon((from_x, to_x), y - 62, (LEFT, RIGHT), y - 2, tint(FAINT, 0.4))
    magnified = (RIGHT - LEFT) / (last - first)
    for name, entry in inside.items():
        color, (rows, *columns) = _kind(name)[0], entry["shape"]
        x, wide = LEFT + (entry["data_offsets"][0] - first) * magnified, _length(entry) * magnified
        c.bar(x, y, max(wide - 2, 1), HIGH, color)
        label = name.split(".")[-2].replace("_proj", "")
        if columns and wide > 50:
            c.say(x + wide / 2, y + 28, label, 11.5, WHITE, "center", weight="bold")
            c.say(x + wide / 2, y + 46, f"{rows} × {columns[0]}", 9.5, WHITE, "center")
        elif columns:
            c.say(x + wide / 2, y + 36, label, 10, WHITE, "center", weight="bold")
    told = f"layer {opened}, magnified {magnified / scale:.0f} times; its two norms are too thin to see"
    c.say(LEFT, y + HIGH + 24, told, 10.5, GREY)


def _entry(c, y, item):
    """The header's line of one tensor, read aloud."""
    name, entry = item
    first, last = entry["data_offsets"]
    color = dark(_kind(name)[0])
    c.line(LEFT, y - 34, RIGHT, y - 34, FAINT)
    c.say(LEFT, y - 8, "The header says of one of them:", 10.5, GREY)
    rest = f'{{"dtype": "{entry["dtype"]}", "shape": {entry["shape"]}, "data_offsets": [{first}, {last}]}}'
    line = [(f'"{name}": ', color, "bold"), (rest, INK)]
    size = min(10, 10 * (RIGHT - LEFT) / sum(c.measure(text, 10, *weight, mono=True) for text, _, *weight in line))
    c.run(LEFT, y + 20, line, size, mono=True)
    rows, *columns = entry["shape"]
    size = (last - first) // (rows * (columns[0] if columns else 1))
    c.say(LEFT, y + 44, f"{last - first:,} bytes = {' × '.join(map(str, entry['shape']))} numbers of {size} bytes, "
          f"from byte {first:,} after the header", 10.5, GREY)
