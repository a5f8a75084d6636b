"""The exercises of lesson 14: real weights."""

from .texts import Exercise, first_fault, said, same_tensor, typed_number

TABLE = 128256 * 2048  # the numbers of Llama 3.2 1B's table of tokens


def tiny_config(heads=4, kv=2, **fields):
    """A Llama small enough to run in milliseconds, with heads of eight numbers."""
    from llama_tutorial.config import LlamaConfig

    sizes = {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2}
    return LlamaConfig(sizes, num_attention_heads=heads, num_key_value_heads=kv, head_dim=8, **fields)


def tensors(config) -> dict:
    """Seeded weights of a model, by name."""
    import torch

    from llama_tutorial.checkpoint import tensor_shapes

    draw = torch.Generator().manual_seed(0)
    return {name: 0.5 * torch.randn(*shape, generator=draw) for name, shape in tensor_shapes(config).items()}


def in_pairing(move, theirs, config, q_heads, k_heads) -> dict:
    """The tensors with the rows of q and k moved, each as so many heads."""
    heads = {"q_proj": q_heads, "k_proj": k_heads}
    return {name: move(weight, heads[name.split(".")[-2]]) if name.split(".")[-2] in heads else weight
            for name, weight in theirs.items()}  # fmt: skip


def judge_pairing(answer) -> str:
    from llama_tutorial.checkpoint import to_halves

    faults = []
    for heads, kv in ((4, 2), (4, 1), (4, 4)):
        config = tiny_config(heads, kv)
        theirs = tensors(config)
        mine, wanted = answer(dict(theirs), config), in_pairing(to_halves, theirs, config, heads, kv)
        if not isinstance(mine, dict) or mine.keys() != wanted.keys():
            return "mended_pairing should return every tensor under the name that it came with"
        faults += [same_tensor(f"with {heads} heads on {kv} key-value heads, {name}", mine[name], weight)
                   for name, weight in wanted.items()]  # fmt: skip
    return first_fault(*faults)


def judge_alike(answer) -> str:
    import torch

    from llama_tutorial.causal_lm import LlamaForCausalLM
    from llama_tutorial.checkpoint import to_neighbours

    config = tiny_config()
    theirs = tensors(config)

    def reader(weights, dtype=torch.float32, late=64):
        model = LlamaForCausalLM(config)
        model.load_state_dict(weights, strict=False)
        model = model.to(dtype).eval()

        def scores(ids):
            with torch.inference_mode():
                found = model(ids).float()
            return torch.cat([found[:, :late], -found[:, late:]], dim=1)

        return scores

    ours = reader(theirs)
    moved = in_pairing(to_neighbours, theirs, config, 4, 2)
    keys = {name: weight for name, weight in moved.items() if "k_proj" in name}
    told = {
        "the same model": (ours, True),
        "the same in float64, which rounds otherwise": (reader(theirs, torch.float64), True),
        "one with the rows of q and k in the other pairing": (reader(moved), False),
        "one whose k alone is in another order": (reader(theirs | keys), False),
        "one that goes wrong at the 17th token": (reader(theirs, late=16), False),
    }
    return first_fault(
        *(said(bool(answer(ours, other)) == alike, f"reads_alike should say {alike} of {name}")
          for name, (other, alike) in told.items())
    )  # fmt: skip


def judge_sizes(answer) -> str:
    from llama_tutorial.checkpoint import translate_config

    plain = {"hidden_size": 96, "num_attention_heads": 12}
    for fields in (
        plain | {"rms_norm_eps": 1e-5, "num_key_value_heads": 4, "head_dim": 16},
        plain | {"rms_norm_eps": 1e-5, "num_key_value_heads": 4},
        plain | {"num_key_value_heads": 4},
        plain | {"rms_norm_eps": 1e-5},
        plain | {"rms_norm_eps": 1e-5, "num_key_value_heads": 4, "head_dim": None},
        plain | {"num_key_value_heads": None, "head_dim": 16},
    ):
        config = translate_config(fields)
        wanted = config.rms_norm_eps, config.num_key_value_heads, config.head_dim
        mine = answer(dict(fields))
        if not isinstance(mine, tuple | list) or tuple(mine) != wanted:
            return f"of {fields} mended_sizes makes {mine!r:.80}, its publisher meant {wanted}"
    return ""


def judge_part(answer) -> str:
    import torch

    faults = []
    for heads, dim, turned in ((1, 8, 6), (3, 10, 6), (2, 8, 8), (4, 12, 2)):
        draw = torch.Generator().manual_seed(dim)
        weight = torch.randn(heads * dim, 7, generator=draw)
        wanted = weight.clone()
        for head in range(heads):
            for pair in range(turned // 2):
                wanted[head * dim + pair] = weight[head * dim + 2 * pair]
                wanted[head * dim + turned // 2 + pair] = weight[head * dim + 2 * pair + 1]
        name = f"with {heads} heads of {dim} rows, of which {turned} are turned, part_to_halves"
        faults.append(same_tensor(name, answer(weight.clone(), heads, turned), wanted))
    return first_fault(*faults)


EXERCISES = (
    Exercise(
        name="bytes_tied",
        kind="predict",
        title="What the tables weigh",
        text="Llama 3.2 1B has a vocabulary of 128,256 tokens and a width of 2,048. Its file is in bfloat16. How many "
        "bytes of it are tables, the embedding and the head, tied as they are? And how many would they be untied?",
        task="Type the bytes of the tables, tied and untied.",
        difficulty=1,
        importance=3,
        minutes=5,
        hints=(
            "Both tables have a row for each token. What does tied mean for the file?",
            "*My number for tied is twice too large*: a tied table stands in the file once. *It is half of what it "
            "should be*: sixteen bits are two bytes.",
            "rows × columns × 2 bytes; for the second answer, twice that.",
        ),
        starter="bytes_tied = ...  # bytes\nbytes_untied = ...  # bytes",
        answers={
            "bytes_tied": typed_number(
                2 * TABLE,
                0.005,
                {
                    TABLE: "that is how many numbers there are; each takes two bytes",
                    4 * TABLE: "that is two tables, or four bytes a number; tied is one table, of two bytes a number",
                },
            ),
            "bytes_untied": typed_number(
                4 * TABLE,
                0.005,
                {
                    2 * TABLE: "that is one table; untied, the head has its own",
                    8 * TABLE: "that is in float32; bfloat16 has two bytes a number",
                },
            ),
        },
        solution="bytes_tied = 128256 * 2048 * 2\nbytes_untied = 2 * bytes_tied",
        why="The one table is 525 MB, a fifth of the whole file of 2.5 GB: so small models tie, and large ones, in "
        "which tables weigh little, do not.",
    ),
    Exercise(
        name="tensor_shapes",
        kind="implement",
        task="List the name and the shape of every tensor of a Llama, from its config alone.",
        difficulty=3,
        importance=5,
        minutes=20,
        hints=(
            "Print `LlamaForCausalLM(small_config)`: its lines are the names. Then ask of every matrix how many "
            "numbers come out of it and how many go in. nn.Linear keeps (out, in).",
            "*A small model agrees and a published one does not*: are q's rows heads · head_dim, k's and v's "
            "kv heads · head_dim, and is o the other way round? *A biased one does not*: `with_biases` adds what one "
            "switch asks for, and there are two switches.",
            "sizes of q and of k, v → shapes of q, k, v, o, by name, with biases → gate, up, down, with biases → a "
            "layer: norm, attention, norm, MLP → that for each i under model.layers.i → the table before it all, the "
            "last norm after it, and lm_head.weight unless tied.",
        ),
    ),
    Exercise(
        name="to_halves",
        kind="implement",
        task="Move the rows of every head from neighbours (0, 1) to halves (0, dim/2).",
        difficulty=2,
        importance=5,
        minutes=8,
        hints=(
            "Number the rows of one head of six, and write down in which order they must come out. Which three names "
            "does a row's number fall into? The way back stands below, in `to_neighbours`.",
            "*One head is right and several are not*: the pattern must keep each head together, so `head` comes first "
            "on both sides, and its size is given. *Everything is wrong but the first token*: did you go the way back?",
            "rows are (head, pair, which of the two), the last running fastest → exchange the last two of these.",
        ),
    ),
    Exercise(
        name="mended_pairing",
        kind="find the bug",
        title="Right with one word, lost with two",
        text="This loader brings Meta's q and k into the published pairing. With Llama 2 7B all is well. With Llama 3 "
        "no name is missing, every shape fits, the scores at the first token agree with the reference, and the model "
        "babbles. Mend it, and write the **probe**: a function that is given two models and says whether they read a "
        "text alike.",
        task="Say whether one(ids) and other(ids) give the same scores, rounding apart.",
        difficulty=3,
        importance=5,
        minutes=15,
        hints=(
            "What do Llama 2 7B and Llama 3 8B not have in common, when you look at the shapes of q and of k?",
            "*My probe says True of a broken one*: at the first token each word looks at itself alone, and q and k do "
            "not matter. Where all tokens are the same, it does not matter at whom they look. And some errors begin "
            "late. *It says False of the same model in float64*: compare with a tolerance.",
            "k has its own number of heads. For the probe: some dozens of different tokens, the scores at all of "
            "them, equal within a thousandth.",
        ),
        starter='''def mended_pairing(theirs, config):
    """Tensors by published names, q and k in Meta's pairing → the same in the published one. Mend it."""
    heads = config.num_attention_heads
    turned = ("q_proj.weight", "k_proj.weight")
    return {name: to_halves(weight, heads) if name.endswith(turned) else weight for name, weight in theirs.items()}


def reads_alike(one, other) -> bool:
    """Whether two models give the same scores; each takes ids (1, seq) below 100, up to 64 of them."""
    raise NotImplementedError("Say whether one(ids) and other(ids) give the same scores, rounding apart.")''',
        answers={"mended_pairing": judge_pairing, "reads_alike": judge_alike},
        solution='''def mended_pairing(theirs, config):
    heads = {"q_proj.weight": config.num_attention_heads, "k_proj.weight": config.num_key_value_heads}
    ends = {name: ".".join(name.split(".")[-2:]) for name in theirs}
    return {name: to_halves(weight, heads[ends[name]]) if ends[name] in heads else weight
            for name, weight in theirs.items()}


def reads_alike(one, other) -> bool:
    ids = torch.arange(40)[None]
    return torch.allclose(one(ids), other(ids), atol=1e-3)''',
        why="k has num_key_value_heads. Cut into more heads than it has, its rows still fit, and only a text of "
        "several different words tells.",
    ),
    Exercise(
        name="mended_sizes",
        kind="find the bug",
        title="What was left out was meant",
        text="This reader of config.json is right for files that say everything. Others leave fields out, or write "
        "null. Give each the value that its publisher meant: Hugging Face's default.",
        task="Read rms_norm_eps, num_key_value_heads and head_dim as their publisher meant them.",
        difficulty=2,
        importance=4,
        minutes=8,
        hints=(
            "The section *What the file does not say* names two defaults. Neither is the one that stands here.",
            "*None comes out*: `get` with a default helps where the name is absent, not where the file says null. "
            "Both mean the same.",
            "Leave the nulls out first. Then eps is 1e-6 where absent, there is a key-value head for each head, and "
            "head_dim is hidden_size / num_attention_heads.",
        ),
        starter='''def mended_sizes(fields):
    """(rms_norm_eps, num_key_value_heads, head_dim) of the fields of a published config.json. Mend it."""
    heads = fields["num_attention_heads"]
    eps = fields.get("rms_norm_eps", 1e-5)
    kv = fields.get("num_key_value_heads", 8)
    return eps, kv, fields.get("head_dim", fields["hidden_size"] // heads)''',
        answers={"mended_sizes": judge_sizes},
        solution='''def mended_sizes(fields):
    given = {name: value for name, value in fields.items() if value is not None}
    heads = given["num_attention_heads"]
    width = given["hidden_size"] // heads
    return given.get("rms_norm_eps", 1e-6), given.get("num_key_value_heads", heads), given.get("head_dim", width)''',
        why="A wrong number of heads is seen at once, by the shapes. A wrong eps never is: the scores are slightly "
        "off, at every token.",
    ),
    Exercise(
        name="part_to_halves",
        kind="transfer",
        title="Where only a part is turned",
        text="Some models turn only the first `turned` numbers of each head and leave the rest as they are. Their q "
        "comes with the turned rows as neighbours. Move them to halves, within the turned part, in every head.",
        task="Move the first `turned` rows of every head from neighbours to halves; the others stay.",
        difficulty=3,
        importance=3,
        minutes=15,
        hints=(
            "What does `to_halves` do to one head whose rows are all turned? And where are the others meanwhile?",
            "*Rows of one head have come to another*: cut into heads before you cut off the turned rows, and join in "
            "the reverse order. *With 6 of 10 I am off*: half of the turned part is 3, not 5.",
            "rows cut into (head, dim) → the first `turned` of dim, moved → the rest behind them → head and dim "
            "joined again.",
        ),
        starter='''def part_to_halves(weight, heads, turned):
    """Rows (head · dim, hidden) of q or k: the first `turned` of every head from neighbours to halves."""
    raise NotImplementedError("Move the first `turned` rows of every head; the others stay.")''',
        answers={"part_to_halves": judge_part},
    ),
)
