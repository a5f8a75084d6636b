"""Figures of tokens: counted pairs, a text under several vocabularies, a word built by merges, a looked-up row and its
neighbours, an exam and its textbook."""

import numpy as np

from ..kit.canvas import (
    BLUE,
    CYAN,
    FAINT,
    GOLD,
    GREEN,
    GREY,
    MAUVE,
    ORANGE,
    PURPLE,
    RED,
    RIGHT,
    WHITE,
    WRONG,
    canvas,
    dark,
    on,
    printable,
    signed,
    tint,
)

WORDS = (MAUVE, BLUE, RED, GREEN, CYAN, GOLD, PURPLE, ORANGE)            # the hues of the first, second … word


def chips(cuts):
    """One text cut by several vocabularies: a chip per token, as wide as the bytes that it covers.

    `cuts` maps a vocabulary's name to its tokens as bytes; joined, every list of them is the same text.
    """
    texts = {b"".join(tokens) for tokens in cuts.values()}
    if len(texts) != 1 or not 1 <= len(next(iter(texts))) <= 48 or len(cuts) > 5:
        raise ValueError(f"chips cuts one text of 1 to 48 bytes in up to 5 ways, got {sorted(texts)[:2]}: give each "
                         "name the tokens of that text as bytes")
    text, counts = texts.pop(), [len(tokens) for tokens in cuts.values()]
    wide, hues = 740 / len(text), _word_hues(text)
    said = f"{', '.join(map(str, counts[:-1]))} or {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    spread = _spread(text)
    y = 104 + 30 * bool(spread)
    c = canvas(y + 88 * len(cuts) - 10, f"The same {len(text)} bytes cost {said} positions",
               "Chip = one token, as wide as its bytes; colour = word, darker = longer. ␣ = " +
               ("a space, C3 = a byte that is no letter." if spread else "the space that starts a word."))
    for start, end, letter in spread:
        left, right = 126 + wide * start, 126 + wide * end - 3
        c.curve([left, left, right, right], [y - 6, y - 11, y - 11, y - 6], GREY, 1.2)
        c.say((left + right) / 2, y - 18, letter, 12, ha="center", weight="bold")
    for row, (name, tokens) in enumerate(cuts.items()):
        name, _, note = name.partition(", ")
        c.say(26, y + (24 if note else 31), name, 12, weight="bold")
        c.say(26, y + 42, note, 10, GREY)
        ends = np.cumsum([len(token) for token in tokens])
        for token, end in zip(tokens, ends):
            left = 126 + wide * (end - len(token))
            fill = tint(hue := hues[end - 1], max(0.0, 0.72 - 0.145 * (len(token) - 1)))
            c.box(left, y, wide * len(token) - 3, 52, fill)
            label = _label(token)
            size = min(13, 13 * (wide * len(token) - 6) / max(c.measure(label, 13, "bold", True), 1))
            c.say(left + wide * len(token) / 2 - 1.5, y + 26, label, size, WHITE if fill == hue.lower() else
                  dark(dark(hue)), "center", "center_baseline", "bold", True)
            if row + 1 < len(cuts) and end in np.cumsum([len(token) for token in list(cuts.values())[row + 1]])[:-1]:
                c.line(126 + wide * end - 1.5, y + 57, 126 + wide * end - 1.5, y + 83, FAINT, 1.6)
        c.say(928, y + 26, f"{len(tokens)}", 20, ha="center", weight="bold")
        c.say(928, y + 48, f"{len(text) / len(tokens):.1f} bytes each", 10, GREY, "center")
        y += 88
    told = "; ".join(f"{name}: {' '.join(map(_label, tokens))}" for name, tokens in cuts.items())
    return c.done(f"The text {text.decode(errors='replace')!r} as chips, one per token, {said} of them: {told}.")


def _label(token):
    """A token as words: its text, or its bytes in hexadecimal where they are no whole letters."""
    try:
        return printable(token.decode())
    except UnicodeDecodeError:
        return token.hex(" ").upper()


def _word_hues(text):
    """The hue of every byte: one per word, the space before a word belongs to it, punctuation is grey."""
    hues, word = [], 0
    for i, byte in enumerate(text):
        word += i > 0 and byte == 32
        letter = byte >= 128 or chr(byte).isalnum() or byte == 32
        hues.append(WORDS[word % len(WORDS)] if letter else MAUVE)
    return hues


def _spread(text):
    """(start, end, letter) of the letters that take several bytes."""
    found, start = [], 0
    for letter in text.decode(errors="ignore"):
        end = start + len(letter.encode())
        found += [(start, end, letter)] if end - start > 1 else []
        start = end
    return found


def tower(word, merges, vocabularies):
    """How merges build a word: blocks that live from the merge that makes them to the one that swallows them.

    `word` in bytes; `merges` are pairs of bytes, the earliest first; `vocabularies` maps a size to how many of
    them it has made.
    """
    steps, blocks = _built(word, merges)
    if not 2 <= len(word) <= 14 or not steps:
        raise ValueError(f"tower builds a word of 2 to 14 bytes by the merges that it needs, got {word!r}, to which "
                         f"{len(steps)} of {len(merges)} merges apply")
    wide, high, bottom = 640 / len(word), 41, 104 + 41 * (len(steps) + 1)
    c = canvas(bottom + 24, f"{len(steps)} merges build “{_label(word)}”; the vocabulary decides where the building "
               "stops", "Read upward: each merge joins two neighbours, a block lives until it is merged. Cut across at "
               "a line and read off the tokens.")
    for start, end, born, dies in blocks:
        fill = tint(BLUE, max(0.0, 0.84 - 0.115 * (end - start - 1))) if end - start > 1 else tint(GREY, 0.86)
        top = bottom - high * (dies if dies is not None else len(steps) + 1)
        c.box(168 + wide * start, top, wide * (end - start) - 4, bottom - high * born - top - 4, fill)
        c.say(168 + wide * (start + end) / 2 - 2, bottom - high * (born + 0.5) - 2, _label(word[start:end]), 13,
              on(fill), "center", "center_baseline", "bold", True)
    c.say(26, bottom - high / 2, "bytes", 10.5, va="center_baseline")
    for row, rank in enumerate(steps, start=1):
        c.say(26, bottom - high * (row + 0.5), f"merge {rank + 1:,}", 10.5, va="center_baseline")
    rows = {}
    for size, count in vocabularies.items():
        rows.setdefault(sum(rank < count for rank in steps) + 1, []).append(f"{size:,}")
    told = []
    for row, sizes in rows.items():
        cut = [_label(word[s:e]) for s, e, born, dies in sorted(blocks) if born < row and (dies is None or dies >= row)]
        y, name = bottom - high * row - 2, f"vocabulary {sizes[0]}" if len(sizes) == 1 else " and ".join(sizes)
        c.line(160, y, 818, y, RED, 2.4)
        c.say(828, y - 2, name, 11, dark(RED), weight="bold")
        line = f"{len(cut)}: {' '.join(cut)}"
        c.say(828, y + 15, line, min(10, 1600 / c.measure(line, 10, mono=True)), mono=True)
        told.append(f"{name}: {' '.join(cut)}")
    return c.done(f"A tower of blocks: merges {', '.join(f'{rank + 1}' for rank in steps)} build {_label(word)}; "
                  f"cut across, {'; '.join(told)}.")


def _built(word, merges):
    """The ranks of the merges that a word undergoes, and its blocks (start, end, row born, row swallowed or None)."""
    ranks = {pair: rank for rank, pair in reversed([*enumerate(merges)])}
    spans, done, steps = [(i, i + 1, 0) for i in range(len(word))], [], []
    while True:
        pairs = [(ranks.get((word[a:b], word[b:d]), len(merges)), i)
                 for i, ((a, b, _), (_, d, _)) in enumerate(zip(spans, spans[1:]))]
        rank, i = min(pairs, default=(len(merges), 0))
        if rank == len(merges):
            return steps, done + [(*span, None) for span in spans]
        steps.append(rank)
        (a, b, first), (_, d, second) = spans[i : i + 2]
        done += [(a, b, first, len(steps)), (b, d, second, len(steps))]
        spans[i : i + 2] = [(a, d, len(steps))]


def pair_counts(words, pairs, most=6):
    """One step of byte-pair encoding: the most frequent pairs as bars, and the winner fused in the text.

    `words` are lists of tokens; `pairs` maps a pair to how often it occurs, the winner first.
    """
    shown = [*pairs.items()][:most]
    if not shown or not words or shown[0][1] != max(pairs.values()):
        raise ValueError(f"pair_counts needs words and the count of each pair, the winner first, got {shown[:2]}")
    winner, count = shown[0]
    rows = _wrapped(words, 44)
    c = canvas(112 + 34 * len(shown) + 34 * len(rows) + 34,
               f"{_joined(winner)} occurs {count} times, and becomes one token",
               "Bar = how often two neighbours occur; below, the text, with the winner fused wherever it stood.")
    for row, (pair, times) in enumerate(shown):
        y = 100 + 34 * row
        c.say(110, y + 17, _joined(pair), 13, ha="right", va="center_baseline", weight="bold", mono=True)
        c.bar(124, y + 3, 640 * times / count, 26, BLUE if row == 0 else tint(BLUE, 0.6))
        c.say(132 + 640 * times / count, y + 17, f"{times}", 12, va="center_baseline")
    y = 118 + 34 * len(shown)
    for row in rows:
        x = 26
        for word in row:
            place = 0
            while place < len(word):
                fused = tuple(word[place : place + 2]) == tuple(winner)
                text = printable("".join(word[place : place + 1 + fused]).replace("Ġ", " "))
                wide = 18 * max(len(text), 1)
                fill = BLUE if fused else tint(GREY, 0.86)
                c.box(x, y, wide - 3, 26, fill)
                c.say(x + wide / 2 - 1.5, y + 13, text, 11, on(fill), "center", "center_baseline", "bold", True)
                x, place = x + wide, place + 1 + fused
            x += 4
        y += 34
    told = ", ".join(f"{_joined(pair)} {times}" for pair, times in shown)
    return c.done(f"Bars of how often pairs of neighbours occur: {told}; below, the text with {_joined(winner)} fused.")


def _joined(pair):
    return "+".join(printable(token.replace("Ġ", " ")) for token in pair)


def _wrapped(words, most):
    """Words in rows of at most so many letters."""
    rows, room = [[]], most
    for word in words:
        size = len("".join(word))
        if size > room:
            rows, room = [*rows, []], most
        rows[-1].append(word)
        room -= size
    return rows


def lookup(tokens, ids, table):
    """Rows of a table lifted out by number, and beneath it that a one-hot vector times the table gives the same row.

    `tokens` are the texts of up to six `ids`; `table` is (vocab dim) with few numbers to a row.
    """
    table = np.asarray(table.detach() if hasattr(table, "detach") else table, dtype=float)
    if not 1 <= len(ids) <= 6 or len(tokens) != len(ids) or table.ndim != 2 or not 1 <= table.shape[1] <= 8:
        raise ValueError(f"lookup shows 1 to 6 tokens with an id each, and a table (vocab dim) of at most 8 columns, "
                         f"got {len(tokens)} tokens, {len(ids)} ids and a table of {table.shape}")
    size, dim = table.shape
    limit, tall, top = np.abs(table[list(ids)]).max(), 372, 128
    c = canvas(top + tall + 148, f"{len(ids)} ids lift {len(ids)} rows out of {size:,}",
               "An id says which row; blue = positive, orange = negative, deeper = larger. Nothing is computed.")
    beside = max(150, 26 + max(c.measure(printable(token), 13, "bold", True) for token in tokens) + 16 + 12)
    heads = {26: "token", beside: "id", 286: f"the table: {size:,} rows", 590: f"lifted out: {len(ids)} × {dim}"}
    for x, text in heads.items():
        c.say(x, top - 16, text, 10.5, GREY)
    c.box(300, top, 96, tall, tint(GREY, 0.9), 3)
    wide = min(56, 340 / dim)
    for row, (token, i) in enumerate(zip(tokens, ids)):
        hue, y, at = WORDS[row], top + tall * (row + 0.5) / len(ids), top + 3 + (tall - 8) * i / max(size - 1, 1)
        c.box(26, y - 17, max(c.measure(printable(token), 13, "bold", True) + 16, 40), 34, tint(hue, 0.72))
        c.say(34, y, printable(token), 13, dark(dark(hue)), va="center_baseline", weight="bold", mono=True)
        c.say(beside, y, f"{i:,}", 13, dark(hue), va="center_baseline", weight="bold")
        c.curve([beside + 64, max(246, beside + 74), 296], [y, y, at + 1], hue, 1.8)
        c.bar(300, at - 1.5, 96, 5, hue)
        c.curve([400, 470, 582], [at + 1, y, y], hue, 1.8)
        for column, value in enumerate(table[i]):
            fill = signed(value / limit)
            c.box(590 + wide * column, y - 19, wide - 4, 38, fill)
            c.say(588 + wide * (column + 0.5), y, _short(value), 11, on(fill), "center", "center_baseline")
    c.say(292, top + 8, "0", 9.5, GREY, "right", "center_baseline")
    c.say(292, top + tall - 5, f"{size - 1:,}", 9.5, GREY, "right", "center_baseline")
    y, i, hue = top + tall + 78, ids[0], WORDS[0]
    c.say(26, y - 34, f"The same by multiplying, for {printable(tokens[0])}:", 11, weight="bold")
    marks = [("0", GREY), ("…", GREY), ("0", GREY), ("1", WHITE), ("0", GREY), ("…", GREY), ("0", GREY)]
    for column, (text, color) in enumerate(marks):
        c.box(26 + 34 * column, y - 15, 30, 30, hue if text == "1" else tint(GREY, 0.86))
        c.say(41 + 34 * column, y, text, 12, color if text == "1" else dark(GREY), "center", "center_baseline", "bold")
    c.say(41 + 34 * 3, y + 30, f"place {i:,}", 9.5, dark(hue), "center")
    c.say(286, y, "×", 16, ha="center", va="center_baseline")
    c.box(318, y - 24, 60, 48, tint(GREY, 0.9), 3)
    c.bar(318, y - 24 + 46 * i / max(size - 1, 1), 60, 4, hue)
    c.say(348, y + 40, "the table", 9.5, GREY, "center")
    c.say(560, y, "=", 16, ha="center", va="center_baseline")
    for column, value in enumerate(table[i]):
        fill = signed(value / limit)
        c.box(590 + wide * column, y - 19, wide - 4, 38, fill)
        c.say(588 + wide * (column + 0.5), y, _short(value), 11, on(fill), "center", "center_baseline")
    named = ", ".join(f"{printable(token)} {i}" for token, i in zip(tokens, ids))
    return c.done(f"Tokens with their ids, {named}, each leading to its row of a tall table, the rows lifted out "
                  f"beside it; below, a vector with a single 1 at place {i} times the table gives the row of "
                  f"{printable(tokens[0])}.")


def _short(value):
    return f"{value:.1f}".replace("-0.0", "0.0").replace("-", "−")


def neighbours(found):
    """Tokens whose rows of a table point nearly the same way: `found` maps a token to [(token, cosine), …]."""
    if not found or len(found) > 9 or any(not 1 <= len(near) <= 5 for near in found.values()):
        raise ValueError("neighbours shows 1 to 9 tokens with 1 to 5 (token, cosine) each, got "
                         f"{[(token, len(near)) for token, near in found.items()]}")
    first, ((closest, cosine), *_) = next(iter(found.items()))
    c = canvas(92 + 58 * len(found) + 20, f"Nearest to “{first.strip()}” stands “{closest.strip()}”: nobody told the "
               "model that they are alike",
               "Left, a token; right, whose rows of the trained table point most nearly its way. Number = cosine; "
               "deeper = nearer to 1.")
    for row, (token, near) in enumerate(found.items()):
        y = 92 + 58 * row
        _chip(c, 26, y, 150, printable(token), MAUVE, WHITE)
        c.arrow(184, y + 21, 214, y + 21, GREY, 1.6)
        for column, (other, value) in enumerate(near):
            fill = tint(BLUE, 1 - min(max(value, 0), 1) ** 1.5)
            _chip(c, 226 + 150 * column, y, 142, printable(other), fill, on(fill), f"{value:.2f}")
    told = "; ".join(f"{printable(token)}: {', '.join(f'{printable(o)} {v:.2f}' for o, v in near)}"
                     for token, near in found.items())
    return c.done(f"Tokens and those whose vectors point most nearly the same way, with their cosines. {told}.")


def _chip(c, x, y, wide, text, fill, color, note=""):
    """A box with a token, and a number at its right end."""
    c.box(x, y, wide, 42, fill)
    room = wide - 16 - (c.measure(note, 10) + 6 if note else 0)
    size = min(13, 13 * room / max(c.measure(text, 13, "bold", True), 1))
    c.say(x + 8, y + 21, text, size, color, va="center_baseline", weight="bold", mono=True)
    c.say(x + wide - 8, y + 21, note, 10, color, "right", "center_baseline")


def exam_splits(splits, width=40):
    """How much of an exam stands in its textbook: topics as blocks, ribbons to the runs of text that both share.

    `splits` maps a title to (textbook, exam), each a dict from a topic's name to its text; runs have at least
    `width` characters.
    """
    if not splits or any(not book or not exam for book, exam in splits.values()):
        raise ValueError(f"exam_splits needs topics in every textbook and exam, got an empty one among {[*splits]}")
    found = {name: (*_shared(*map("\0".join, (book.values(), exam.values())), width), book, exam)
             for name, (book, exam) in splits.items()}
    shares = {name: share for name, (share, *_) in found.items()}
    worst, best = max(shares.values()), min(shares.values())
    c = canvas(76 + 308 * len(found), f"{_percent(worst)} of the exam is in the textbook" +
               (f", or {_percent(best)}: it depends on the split" if len(found) > 1 else ""),
               "Block = topic, as wide as its text; hatched = the exam, magnified below; ribbon = a run of "
               f"{width} characters or more that both hold.")
    for row, (name, (share, runs, book, exam)) in enumerate(found.items()):
        y, color = 116 + 308 * row, WRONG if share > 0.05 else RIGHT
        c.say(26, y, name, 12, weight="bold")
        c.say(974, y, f"{_percent(share)} shared", 14, dark(color), "right", weight="bold")
        whole = sum(map(len, book.values())) + sum(map(len, exam.values()))
        upper = _blocks(c, 26, y + 40, 948 / whole, book, FAINT)
        middle = 26 + 948 * sum(map(len, book.values())) / whole
        _blocks(c, middle, y + 40, 948 / whole, exam, None)
        c.ribbon((middle, 974), y + 70, (26, 974), y + 188, tint(FAINT, 0.6))
        lower = _blocks(c, 26, y + 188, 948 / sum(map(len, exam.values())), exam, None)
        _ribbons(c, y, runs, upper, lower, 948 / whole, 948 / sum(map(len, exam.values())))
        for topic, (start, end) in lower.items():
            if c.measure(topic, 10) < end - start:
                c.say((start + end) / 2, y + 234, topic, 10, GREY, "center")
    told = "; ".join(f"{name}: {_percent(share)} of the exam" for name, share in shares.items())
    return c.done(f"A textbook's topics and an exam's, joined by ribbons where they share text. {told}.")


def _percent(share):
    return f"{100 * share:.1f} %"


def _blocks(c, x, y, scale, topics, fill):
    """A row of topics, each as wide as its text; returns (left, right) of each."""
    found = {}
    for name, text in topics.items():
        wide = len(text) * scale
        if fill:
            c.bar(x, y, max(wide - 0.8, 0.4), 30, fill)
        else:
            c.bar(x, y, max(wide - 0.8, 0.4), 30, tint(FAINT, 0.5))
            c.hatch(x, y, max(wide - 0.8, 0.4), 30, tint(GREY, 0.35), 8)
        found[name], x = (x, x + wide), x + wide
    return found


def _ribbons(c, y, runs, upper, lower, small, large):
    """Ribbons from the textbook's topics, the five that share most in colour, to the magnified exam."""
    def at(place, blocks, scale):
        for name, (left, right) in blocks.items():
            wide = round((right - left) / scale)
            if place < wide:
                return name, left + place * scale
            place -= wide + 1
    taken = {}
    for start, _, length in runs:
        name = at(start, upper, small)[0]
        taken[name] = taken.get(name, 0) + length
    hues = dict(zip(sorted(taken, key=taken.get, reverse=True)[:5], (RED, BLUE, GOLD, PURPLE, GREEN)))
    for name, hue in hues.items():
        left, right = upper[name]
        c.bar(left, y + 40, max(right - left - 0.8, 1), 30, hue)
    for start, end, length in sorted(runs):
        (name, x0), (_, x1) = at(start, upper, small), at(end, lower, large)
        hue = hues.get(name, MAUVE)
        c.ribbon((x0, x0 + max(length * small, 1)), y + 70, (x1, x1 + max(length * large, 1.6)), y + 188, hue,
                 alpha=0.55)
        c.bar(x1, y + 188, max(length * large, 1.6), 30, hue)
    ends = 0
    for name in sorted(hues, key=lambda name: upper[name]):
        left, right = upper[name]
        if right - left > 12 and left > ends:
            c.say(left, y + 34, name, 10, dark(hues[name]))
            ends = left + c.measure(name, 10) + 8


def _shared(book, exam, width):
    """The share of `exam` that lies in windows of `book`, and the runs (place in book, place in exam, length)."""
    places = {}
    for i in range(len(book) - width, -1, -1):
        places[hash(book[i : i + width])] = i
    covered, runs, i = bytearray(len(exam)), [], 0
    for k in range(len(exam) - width + 1):
        if hash(exam[k : k + width]) in places:
            covered[k : k + width] = b"\1" * width
    while i <= len(exam) - width:
        start = places.get(hash(exam[i : i + width]))
        length, most = 0, 0 if start is None else min(len(exam) - i, len(book) - start)
        while length < most and exam[i + length] == book[start + length]:
            length += 1
        runs += [(start, i, length)] if length >= width else []
        i += max(length, 1)
    return sum(covered) / (len(exam) - exam.count("\0")), runs
