"""What PyTorch's own operations do, in named axes: the pattern of a product, the steps within attention's kernel."""

from dataclasses import dataclass

LEADING = ("batch", "head", "seq")       # what an ellipsis or the first axes of a tensor stand for
PROJECTIONS = {                          # the last part of a module's name → the axis that goes in, that comes out
    "q_proj": ("hidden", "(head dim)"), "k_proj": ("hidden", "(kv dim)"), "v_proj": ("hidden", "(kv dim)"),
    "o_proj": ("(head dim)", "hidden"), "gate_proj": ("hidden", "inner"), "up_proj": ("hidden", "inner"),
    "down_proj": ("inner", "hidden"), "lm_head": ("hidden", "vocab"),
}


@dataclass
class Part:
    """One of the steps that a kernel does at once: its name, its pattern or rule, the shapes, the shape it gives."""

    op: str
    pattern: str
    inputs: list
    output: tuple


def leading(count, used=()):
    """Words for that many first axes: batch seq, batch head seq; letters where the words do not suffice."""
    words = [word for word in LEADING if word not in used]
    if count < len(words):
        words = [word for word in words if word != "head"]
    if count == 1 and "seq" in words:
        return ["seq"]
    free = [letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter not in used]
    return [*free[: max(count - len(words), 0)], *words[:count]]


def _outer(count):
    """Words for the axes before the two of a matrix."""
    return ["batch", "head"][:count] if count < 3 else [*leading(count - 2, ("batch", "head", "seq")), "batch", "head"]


def product(op, inputs, equation, module):
    """The pattern of a linear layer, a product of matrices, an einsum or a product number by number; else ""."""
    name, shapes = module.rpartition(".")[2], [*inputs]
    if op == "einsum":
        return equation
    if op == "linear" and len(shapes) > 1 and shapes[0]:
        before, after = PROJECTIONS.get(name, ("dim", "out"))
        first = " ".join(leading(len(shapes[0]) - 1))
        return f"{first} {before}, {after} {before} -> {first} {after}".strip()
    if op in ("matmul", "mm", "bmm") and len(shapes) == 2 and min(map(len, shapes)) > 1:
        sides = [" ".join([*_outer(len(shape) - 2), ""]) for shape in shapes]
        most = max(sides, key=len)
        return f"{sides[0]}rows dim, {sides[1]}dim cols -> {most}rows cols"
    if op == "mul":
        last = "inner" if name.lower().endswith("mlp") else "dim"
        axes = " ".join([*leading(len(shapes[0]) - 1), last])
        return f"{axes}, {axes} -> {axes}"
    return ""


def within_attention(q, k, v, mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    """The five steps of scaled_dot_product_attention, from its arguments; [] where their axes have no names."""
    if min(len(each.shape) for each in (q, k, v)) < 2 or len({len(each.shape) for each in (q, k, v)}) > 1:
        return []
    *many, query, dim = q.shape
    *fewer, key, _ = k.shape
    first, other = _outer(len(many)), _outer(len(fewer))
    if many:
        first[-1] = other[-1] = "head"
    if enable_gqa and many and many[-1] != fewer[-1] and many[-1] % fewer[-1] == 0:
        first, other = first[:-1] + ["kv", "group"], other[:-1] + ["kv"]
        many = [*many[:-1], fewer[-1], many[-1] // fewer[-1]]
    first, other = (" ".join([*axes, ""]) for axes in (first, other))
    asked, scores = (*many, query, dim), (*many, query, key)
    hidden = "−∞ where key > query" if is_causal else "nothing hidden"
    if mask is not None:
        hidden = "−∞ where False" if not mask.dtype.is_floating_point else "+ mask"
    told = f"× {scale:g}" if scale is not None else f"× {dim**-0.5:.3g} = 1/√{dim}"
    return [
        Part("scores", f"{first}query dim, {other}key dim -> {first}query key", [asked, tuple(k.shape)], scores),
        Part("scale", told, [scores], scores),
        Part("mask", hidden, [scores] if mask is None else [scores, tuple(mask.shape)], scores),
        Part("softmax", "over key", [scores], scores),
        Part("weighted sum", f"{first}query key, {other}key dim -> {first}query dim", [scores, tuple(v.shape)],
             (*many, query, v.shape[-1])),
    ]
