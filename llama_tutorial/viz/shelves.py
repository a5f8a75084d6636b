"""Grouped queries as shelves: which query heads share keys and values, and what a cache of them weighs."""

from .canvas import BLUE, FAINT, GREY, HUES, INK, canvas, dark, on, tint

NAMES = {"MHA": "multi-head", "GQA": "grouped-query", "MQA": "multi-query"}


def shelves(models, tokens=8192, bytes_each=2):
    """Query heads on the shelves that hold their keys and values, for MHA, GQA and MQA, and the bytes of a cache.

    `models` maps a name to a config with `num_hidden_layers`, `num_attention_heads`, `num_key_value_heads` and
    `head_dim`, 1 to 3 of them; the shelves are those of the first, which has at most 9 query heads in groups.
    """
    first = next(iter(models.values()))
    heads, shared = first["num_attention_heads"], first["num_key_value_heads"]
    if not 1 <= len(models) <= 3 or not 1 < shared < heads <= 9 or heads % shared:
        raise ValueError("shelves draws 1 to 3 models, the first with at most 9 query heads in more groups than one, "
                         f"got {heads} query heads and {shared} key-value heads: put such a model first")
    saved, many = heads // shared, [heads, shared, 1]
    c = canvas(274 + 116 * len(models), f"{heads} query heads share {shared} shelves of keys and values: "
               f"the cache is {saved} times smaller",
               f"Heads on a plank ask the same K and V. Bars: bytes of one token (right: {tokens:,} tokens); "
               "dark = as published.")
    told = []
    for column, (kind, kv) in enumerate(zip(NAMES, many)):
        left = 26 + 326 * column
        end = c.run(left, 116, [(kind, INK, "bold")], 15)
        c.say(end + 12, 116, f"{NAMES[kind]}: {kv} shel{'f' if kv == 1 else 'ves'}", color=GREY)
        _planks(c, left, heads, kv)
    for row, (name, config) in enumerate(models.items()):
        y = 288 + 116 * row
        end = c.run(26, y + 4, [(f"{name}", INK, "bold"), ("   ", INK)], 11)
        c.line(end, y, 974, y, FAINT)
        for column, (kind, kv) in enumerate(zip(NAMES, _kinds(config))):
            told.append(f"{name} {kind} " + _cache(c, 26 + 326 * column, y, config, kv, tokens, bytes_each))
    return c.done(f"{heads} query heads over {', '.join(map(str, many))} shelves of keys and values; a token takes "
                  f"{', '.join(told)}.")


def _kinds(config):
    """How many key-value heads a model would have with MHA, as published, and with MQA."""
    return config["num_attention_heads"], config["num_key_value_heads"], 1


def _planks(c, left, heads, kv):
    """The query heads as discs, a plank under each group, and under it one K and one V."""
    group, gap = heads // kv, 12 if 1 < kv < heads else 7
    wide = (296 - gap * (kv - 1)) / kv
    for shelf in range(kv):
        x, hue = left + shelf * (wide + gap), HUES[shelf % len(HUES)]
        if shelf >= len(HUES):
            hue = "#99AA55"
        for i in range(group):
            at = x + wide * (i + 0.5) / group
            c.ring(at, 158, 12.5, hue, 0, hue)
            c.say(at, 158, f"{shelf * group + i}", 10, on(hue), "center", "center_baseline", "bold")
        c.bar(x, 174, wide, 6, INK)
        for y, name, pale in ((185, "K", 0.25), (215, "V", 0.55)):
            c.box(x, y, wide, 26, tint(hue, pale), 3)
            c.say(x + wide / 2, y + 13, name, 10.5, INK, "center", "center_baseline", "bold", mono=True)


def _cache(c, left, y, config, kv, tokens, bytes_each):
    """The bytes that one token takes, as a bar against one shelf for each query head; returns them in words."""
    layers, dim = config["num_hidden_layers"], config["head_dim"]
    size, published = 2 * layers * kv * dim * bytes_each, kv == config["num_key_value_heads"]
    color, weight = (INK, "bold") if published else (GREY, "normal")
    c.say(left, y + 34, f"{size:,} B", 15, color, weight="bold")
    c.say(left + 296, y + 34, _binary(size * tokens), 11, color, "right", weight=weight)
    share = kv / config["num_attention_heads"]
    c.bar(left, y + 44, 296, 14, "#eceef2")
    c.bar(left, y + 44, 296 * share, 14, dark(BLUE) if published else tint(BLUE, 0.5))
    c.say(left, y + 77, f"2 × {layers} layers × {kv} KV head{'s' * (kv > 1)} × {dim} × {bytes_each} B", 10, color)
    return f"{size:,} bytes"


def _binary(size):
    """Bytes in MiB or GiB."""
    unit, name = (2**30, "GiB") if size >= 2**30 else (2**20, "MiB")
    return f"{size / unit:,.3g} {name}"
