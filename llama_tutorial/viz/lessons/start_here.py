"""A text through the machine, turn by turn; and the map of the lessons: a whole Llama, each part with its number."""

from ..kit.canvas import (
    BLUE,
    CYAN,
    FAINT,
    GREEN,
    GREY,
    INK,
    MAUVE,
    ORANGE,
    PURPLE,
    RED,
    WHITE,
    canvas,
    dark,
    printable,
    tint,
)

WORDS = (MAUVE, BLUE, RED, GREEN, CYAN)
LEFT, RIGHT, TOP, HIGH = 26, 974, 172, 120               # the strip whose area is the parameters
CHOSEN = (GREEN, PURPLE, CYAN, RED, BLUE)                # the words that the machine has said, in their order


def turns_of_the_machine(turns, vocab=2048, layers=5):
    """A text that grows by a word in each turn: what is read, the machine, its likeliest answers, the one appended.

    A turn is (tokens, {token: chance, ...}), as strings, the likeliest first; it is the one that is appended.
    """
    begin, last = len(turns[0][0]), [*turns[-1][0], next(iter(turns[-1][1]))]
    text, whole = "".join(turns[0][0]), "".join(last)
    pitch, first, base = 158, 104, 96
    c = canvas(first + pitch * len(turns) + 84, f"“{text}” becomes “{whole}”: in every turn, one word is appended",
               f"Each turn reads the whole text and gives each of {vocab:,} tokens a chance; the likeliest are drawn, "
               "the first is appended.")
    scale = 78 / max(max(chances.values()) for _, chances in turns)
    for i, (tokens, chances) in enumerate(turns):
        y, hue = first + i * pitch, CHOSEN[i % len(CHOSEN)]
        c.say(LEFT, y + 14, f"turn {i + 1}", 10.5, GREY)
        end, _ = _chips(c, tokens, y + 32, begin)
        c.arrow(end + 6, y + 46, 452, y + 46, GREY, 2, 11)
        _machine(c, 462, y + 10, layers)
        c.arrow(586, y + 46, 622, y + 46, GREY, 2, 11)
        c.say(508, y + 100, "the same numbers in every turn" * (i == 0), 9.5, GREY, "center")
        for j, (token, chance) in enumerate(chances.items()):
            x, color, bold = 640 + 68 * j, tint(MAUVE, 0.5) if j else hue, "normal" if j else "bold"
            c.bar(x, y + base - 12 - chance * scale, 52, chance * scale, color)
            c.say(x + 26, y + base - 17 - chance * scale, f"{chance:.3f}", 9.5, GREY if j else dark(hue), "center",
                  weight=bold)
            name, size = printable(token.strip(" ") or token), 11
            size = min(size, size * 64 / max(c.measure(name, size, "bold"), 1))
            c.say(x + 26, y + base + 6, name, size, GREY if j else dark(hue), "center", weight=bold)
        c.line(634, y + base - 12, 634 + 68 * len(chances), y + base - 12, FAINT, 1)
        _, x = _chips(c, [*tokens, next(iter(chances))], y + pitch + 32, begin, drawn=i == len(turns) - 1)
        c.rope(666, y + base + 16, x, y + pitch + 28, 9, tint(hue, 0.45))
    c.say(LEFT, c.height - 70, "and so on", 10.5, GREY)
    told = [f"after {''.join(tokens)!r} come " + ", ".join(f"{token.strip() or token!r} {chance:.3f}"
            for token, chance in chances.items()) for tokens, chances in turns]  # fmt: skip
    return c.done(f"A text through a language model, {len(turns)} turns: {'; '.join(told)}; each time the first is "
                  f"appended, until {whole!r} stands there.")


def _chips(c, tokens, y, begin, drawn=True):
    """The tokens of a text in a row, those beyond `begin` in their hues; the right end, and the last one's middle."""
    x = LEFT
    for i, token in enumerate(tokens):
        hue, name = MAUVE if i < begin else CHOSEN[(i - begin) % len(CHOSEN)], printable(token.strip(" ") or token)
        wide = c.measure(name, 12, "bold") + 20
        if drawn:
            c.box(x, y, wide, 30, tint(hue, 0.72))
            c.say(x + wide / 2, y + 15, name, 12, dark(hue), "center", "center_baseline", "bold")
        x += wide + 5
    return x - 5, x - 5 - wide / 2


def _machine(c, x, y, layers):
    """A model in small: the table of words at both ends, and its layers of attention and MLP."""
    c.box(x, y, 118, 72, WHITE, 8, edge=INK, px=1.6)
    for left in (x + 6, x + 118 - 6 - 11):
        c.bar(left, y + 7, 11, 58, MAUVE)
    for layer in range(layers):
        left = x + 19 + layer * (118 - 38) / layers
        c.bar(left, y + 7, (118 - 38) / layers - 2, 15, BLUE)
        c.bar(left, y + 24, (118 - 38) / layers - 2, 41, ORANGE)


def map_of_lessons(config, opened=None, words=("The", "dog", "chased", "its", "tail")):
    """A Llama as an area of parameters, one layer opened, and on every part the lesson that builds it.

    `config` is a mapping with the sizes of a Llama; `opened` the layer to open, by default one in the middle;
    of `words`, the last is the one that the model is to say.
    """
    hidden, layers, vocab = (config[name] for name in ("hidden_size", "num_hidden_layers", "vocab_size"))
    query, kv = (config[name] * config["head_dim"] for name in ("num_attention_heads", "num_key_value_heads"))
    table, attention, mlp = vocab * hidden, 2 * hidden * (query + kv), 3 * hidden * config["intermediate_size"]
    heads = 1 if config["tie_word_embeddings"] else 2
    whole = heads * table + layers * (attention + mlp + 2 * hidden) + hidden
    c = canvas(750, f"What you will have built: {whole:,} numbers, and the lesson for each of them",
               f"Area = parameters; a ring = a lesson. One of {layers} equal layers is opened below, "
               "its matrices in their true shapes.")
    scale = (RIGHT - LEFT) / (heads * table + layers * (attention + mlp))
    start, opened = LEFT + table * scale, layers // 2 if opened is None else opened
    end, wide = start + layers * (attention + mlp) * scale, (attention + mlp) * scale
    _sentence(c, words)
    for x, name, told in ((LEFT, "embedding", "used twice: in and out" * (heads == 1)), (end, "head", ""))[:heads]:
        c.bar(x, TOP, table * scale - 2, HIGH, MAUVE)
        for line, text in enumerate((name, f"{vocab:,} × {hidden}", told)):
            size = min(12 - 2 * (line > 0), 12 * (table * scale - 8) / c.measure("used twice: in and", 12))
            c.say(x + table * scale / 2, TOP + (50, 72, 92)[line], text if size > 4 else "", max(size, 4), WHITE,
                  "center", weight="normal" if line else "bold")
    share = attention / (attention + mlp)
    for layer in range(layers):
        x, pale = start + layer * wide, 0 if layer == opened else 0.42
        gap = min(1.6, wide / 4)
        c.bar(x, TOP, wide - gap, HIGH * share - 1, tint(BLUE, pale))
        c.bar(x, TOP + HIGH * share, wide - gap, HIGH * (1 - share), tint(ORANGE, pale))
    pieces = [("attention ", dark(BLUE), "bold"), (f"{layers * attention / 1e6:.1f} M    ", GREY),
              ("MLP ", dark(ORANGE), "bold"), (f"{layers * mlp / 1e6:.1f} M    ", GREY),
              (f"{2 * layers + 1} norms ", INK, "bold"), (f"{(2 * layers + 1) * hidden:,}, too few to see", GREY)]
    c.run(min(start + 8, 240), TOP + HIGH + 20, pieces)
    _lesson(c, RIGHT - 168, TOP + HIGH + 16, "08", "the stack of layers")
    y, x = TOP + HIGH + 46, start + (opened + 0.5) * wide
    c.ribbon((x - wide / 2, x + wide / 2), TOP + HIGH + 26, (LEFT, RIGHT), y + 14, tint(FAINT, 0.5))
    _layer(c, y + 20, hidden, query, kv, config["intermediate_size"])
    _lesson(c, LEFT + 12, c.height - 36, "01", "named axes: how every arrow is written")
    _lesson(c, 386, c.height - 36, "10", "training: all these numbers, learnt from text")
    return c.done(f"A Llama of {whole:,} parameters as areas: the embedding of {vocab:,} by {hidden} (lesson 02), "
                  f"{layers} layers (07, stacked in 08) of norm (03), rotary (04), attention (05) and MLP (06), the "
                  "scores and their loss (09), training (10), and the loop that feeds the next word back (11).")


def _lesson(c, x, y, number, text="", color=INK):
    """A lesson's number in a ring, and what it builds beside it."""
    c.ring(x, y, 12, color, 1.8, WHITE)
    c.say(x, y, number, 9.5, color, "center", "center_baseline", "bold")
    c.say(x + 18, y, text, 10.5, color, va="center_baseline")


def _sentence(c, words):
    """The words that go in, the one that comes out, and the loop that feeds it back."""
    x = LEFT
    for word, hue in zip(words[:-1], WORDS):
        wide = c.measure(word, 11, "bold") + 18
        c.box(x, 88, wide, 28, tint(hue, 0.72))
        c.say(x + wide / 2, 102, word, 11, dark(hue), "center", "center_baseline", "bold")
        x += wide + 4
    c.arrow(LEFT + 40, 120, LEFT + 40, TOP - 4, GREY, 2, 11)
    _lesson(c, LEFT + 66, 145, "02", "text to ids to vectors")
    last = c.measure(words[-1], 11, "bold") + 18
    c.box(x, 88, last, 28, WHITE, edge=CYAN, px=1.6, dash=(3, 2))
    c.say(x + last / 2, 102, words[-1], 11, dark(CYAN), "center", "center_baseline", "bold")
    right = RIGHT - 26
    c.curve([right, right, x + last + 16], [TOP - 4, 102, 102], GREY, 2)
    c.arrow(x + last + 18, 102, x + last + 6, 102, GREY, 2, 11)
    text = "choose the next word, add it, go on"
    begin = (x + last + right - c.measure(text, 10.5)) / 2
    c.bar(begin - 24, 88, c.measure(text, 10.5) + 50, 28, WHITE)
    _lesson(c, begin, 102, "11", text)
    _lesson(c, right - 212, 145, "09", "a score for every word")


def _layer(c, y, hidden, query, kv, ffn):
    """One decoder layer: the stream a straight road, beside it the matrices in their true shapes, in high, out wide."""
    s = min(560 / (query + 2 * kv + 2 * hidden + ffn), 250 / max(ffn, 2 * hidden))
    middle, road, x = y + 160, y + 324, LEFT + 62
    spare = (RIGHT - 60 - x - s * (query + 2 * kv + 2 * hidden + ffn) - 46) / 4
    c.bar(LEFT, road - 7, RIGHT - LEFT, 14, tint(MAUVE, 0.55))

    def matrix(x, y, rows, columns, color, name, told=True):
        c.bar(x, y, columns * s, rows * s, color, edge=WHITE, px=2)
        x, y, told = x + columns * s / 2, y + rows * s / 2, f"{rows} × {columns}" if told else ""
        c.say(x, y - (6 if told else 0), name, 12, WHITE, "center", "center_baseline", "bold")
        size = min(9.5, 9.5 * (columns * s - 6) / max(c.measure(told, 9.5), 1))
        c.say(x, y + 14, told, size, WHITE, "center", "center_baseline")

    def read(x, into, color):
        c.curve([x, x, into], [road, middle, middle], tint(color, 0.35), 2.5)
        c.ring(x, road - 52, 4, INK, 2, INK)
        _lesson(c, x + 24, road - 52, "03", "norm")

    def write(out, x, color):
        c.curve([out, x, x], [middle, middle, road - 13], tint(color, 0.35), 6)
        c.ring(x, road, 12, INK, 1.8, WHITE)
        c.say(x, road, "+", 14, ha="center", va="center_baseline")

    a = x + spare * 0.55
    o = a + s * (query + 2 * kv) + spare
    plus = o + s * hidden + 34
    gate = plus + 46 + spare * 0.55
    down = gate + ffn * s + spare * 0.6
    read(x, a, BLUE)
    c.line(a + s * (query + 2 * kv), middle, o, middle, tint(BLUE, 0.35), 2.5)
    write(o + s * hidden, plus, BLUE)
    read(plus + 46, gate, ORANGE)
    c.line(gate + ffn * s, middle, down, middle, tint(ORANGE, 0.35), 2.5)
    write(down + s * hidden, down + hidden * s + 30, ORANGE)
    for left, columns, name in ((a, query, "q"), (a + query * s, kv, "k"), (a + (query + kv) * s, kv, "v")):
        matrix(left, middle - hidden * s / 2, hidden, columns, BLUE, name, name == "q")
    matrix(o, middle - query * s / 2, query, hidden, BLUE, "o")
    matrix(gate, middle - hidden * s, hidden, ffn, ORANGE, "gate")
    matrix(gate, middle, hidden, ffn, ORANGE, "up")
    matrix(down, middle - ffn * s / 2, ffn, hidden, ORANGE, "down")
    _lesson(c, a + 12, middle - s * hidden / 2 - 24, "05", "attention: who looks at whom", dark(BLUE))
    _lesson(c, a + 12, middle + s * hidden / 2 + 22, "04", "rotary turns q and k", dark(PURPLE))
    _lesson(c, gate + 12, middle - s * hidden - 20, "06", "MLP: each word by itself", dark(ORANGE))
    _lesson(c, LEFT + 12, y + 12, "07", "one layer: it reads the stream twice, and adds to it twice")


# ------------------------------------------------------------------------------------------------ where a lesson stands

PLACES = {
    "01": ("named axes", "how every arrow is written", CYAN),
    "02": ("tokens", "text becomes ids, and ids become vectors", MAUVE),
    "03": ("norm", "what every part reads is brought to one size", INK),
    "04": ("rotary", "positions, as angles of queries and keys", PURPLE),
    "05": ("attention", "words look at each other", BLUE),
    "06": ("MLP", "each word by itself", ORANGE),
    "07": ("layer", "two parts, each added to the stream", GREEN),
    "08": ("model", "a stack of layers", GREEN),
    "09": ("scores", "a score for every next word, and the loss", RED),
    "10": ("training", "all numbers, learnt from text", RED),
    "11": ("generation", "choose a word, add it, go on", GREY),
    "12": ("inside", "what the heads, layers and angles of a trained model do", PURPLE),
    "13": ("diagnosis", "laws that a right model keeps", RED),
    "14": ("real weights", "numbers that others have trained", GREY),
    "15": ("faster", "the same numbers, with less to read and to start", CYAN),
}


def you_are_here(lesson):
    """A small machine with the part lit that a lesson builds: `lesson` is its number, such as "05".

    Raises ValueError for a lesson that builds no part.
    """
    if lesson not in PLACES:
        raise ValueError(f"lesson {lesson!r} builds no part of the machine; those that do are {', '.join(PLACES)}")
    name, says, hue = PLACES[lesson]
    c = canvas(222, f"You are here: {name}", f"Lesson {lesson}: {says}.", width=620)
    road, back = 130, 192

    def frame(x, wide, top, bottom, number):
        color, px = (hue, 2.4) if number == lesson else (tint(GREY, 0.55), 1.2)
        c.box(x, top, wide, bottom - top, tint(hue, 0.86) if number == lesson else WHITE, 8, edge=color, px=px)
        c.say(x + 8, top + 14, PLACES[number][0], 9, dark(hue) if number == lesson else GREY,
              weight="bold" if number == lesson else "normal")

    frame(112, 390, 80, 166, "08")
    frame(164, 330, 88, 158, "07")
    c.bar(26, road - 3, 568, 6, tint(MAUVE, 0.55))
    c.curve([566, 566, 69, 69], [road, back, back, road + 18], tint(GREY, 0.45), 2)
    c.arrow(69, road + 22, 69, road + 14, tint(GREY, 0.45), 2, 8)
    at = {"02": 69, "03": 211, "04": 283, "05": 368, "06": 447, "09": 548, "11": 150, "10": 470}
    at |= {lesson: 310} if lesson not in (*at, "07", "08") else {}
    for number, x in at.items():
        text, color = PLACES[number][0], hue if number == lesson else WHITE
        y = back if number in ("01", "10", "11", "12", "13", "14", "15") else road
        wide = c.measure(text, 9, "bold") + 14
        c.box(x - wide / 2, y - 12, wide, 24, color, edge=hue if number == lesson else tint(GREY, 0.55), px=1.2)
        c.say(x, y, text, 9, WHITE if number == lesson else GREY, "center", "center_baseline",
              "bold" if number == lesson else "normal")
    return c.done("A small machine: tokens, a model of layers made of norm, rotary, attention and MLP, scores, and the "
                  f"way back; lit is {name}.")
