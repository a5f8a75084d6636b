"""The exercises of lesson 04: rotary position embeddings."""

import math

from .texts import Exercise, first_fault, said, same_tensor, typed_number


def tensor(*shape, seed=0):
    """Seeded random numbers."""
    import torch

    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def turn_by(seq, pairs, theta=10000.0):
    """The rotation of `seq` positions for vectors of 2 · pairs numbers."""
    import torch

    from llama_tutorial.rotary import LlamaRotaryEmbedding

    return LlamaRotaryEmbedding(2 * pairs, theta).angles(torch.arange(seq))


def judge_mended_rotate(answer) -> str:
    from llama_tutorial.rotary import rotate

    faults = []
    for shape in ((5, 6), (2, 3, 7, 10)):
        x, rotation = tensor(*shape), turn_by(shape[-2], shape[-1] // 2)
        faults.append(same_tensor(f"mended_rotate of x {shape}", answer(x.clone(), rotation), rotate(x, rotation)))
    return first_fault(*faults)


def judge_length_probe(answer) -> str:
    import torch

    from llama_tutorial.rotary import rotate

    def lost_sign(x, rotation):
        first, second = x.chunk(2, dim=-1)
        cos, sin = rotation
        return torch.cat([first * cos + second * sin, second * cos + first * sin], dim=-1)

    def backwards(x, rotation):
        return rotate(x, (rotation[0], -rotation[1]))

    told = {
        "the lesson's rotate": (rotate, True),
        "a turn the other way, which keeps lengths too": (backwards, True),
        "the planted one": (planted_rotate, False),
        "one that lost its minus": (lost_sign, False),
        "one that returns x doubled": (lambda x, rotation: 2 * x, False),
    }
    return first_fault(
        *(said(bool(answer(turn)) == keeps, f"keeps_lengths should say {keeps} of {name}")
          for name, (turn, keeps) in told.items())
    )  # fmt: skip


def planted_rotate(x, rotation):
    """The mistake of the exercise: a minus too many."""
    import torch

    first, second = x.chunk(2, dim=-1)
    cos, sin = rotation
    return torch.cat([first * cos - second * sin, second * cos - first * sin], dim=-1)


def judge_mended_scores(answer) -> str:
    from llama_tutorial.rotary import rotate

    q, k, rotation = tensor(7, 6), tensor(7, 6, seed=1), turn_by(7, 3)
    wanted = rotate(q, rotation) @ rotate(k, rotation).mT
    return same_tensor("mended_scores", answer(q.clone(), k.clone(), rotation), wanted)


def judge_distance_probe(answer) -> str:
    from llama_tutorial.rotary import rotate

    def turned(*, q=True, k=True, back=False, length=1.0):
        def scores(queries, keys, rotation):
            cos, sin = rotation
            there = (cos * length, sin * length)
            queries = rotate(queries, there) if q else queries
            keys = rotate(keys, (cos, -sin) if back else there) if k else keys
            return queries @ keys.mT

        return scores

    told = {
        "scores of queries and keys that are both turned": (turned(), True),
        "the planted one": (turned(k=False), False),
        "scores with turned keys only": (turned(q=False), False),
        "scores with keys that turn the other way": (turned(back=True), False),
        "scores where nothing turns, which know no distance but keep the law": (turned(q=False, k=False), True),
    }
    return first_fault(
        *(said(bool(answer(scores)) == holds, f"knows_distance_only should say {holds} of {name}")
          for name, (scores, holds) in told.items())
    )  # fmt: skip


def judge_mended_frequencies(answer) -> str:
    from llama_tutorial.rotary import rotary_frequencies

    faults = []
    for dim, theta in ((10, 10000.0), (64, 500000.0)):
        mine, wanted = answer(dim, theta), rotary_frequencies(dim, theta)[0]
        faults.append(same_tensor(f"mended_frequencies({dim}, {theta:.0f})", mine, wanted))
    return first_fault(*faults)


def judge_rotate_part(answer) -> str:
    import torch

    faults = []
    for dim, pairs in ((10, 2), (8, 4), (14, 3)):
        x, (cos, sin) = tensor(2, 5, dim), turn_by(5, pairs)
        wanted = x.clone()
        for position in range(5):
            for i in range(pairs):
                c, s = cos[position, i], sin[position, i]
                up, right = x[:, position, i], x[:, position, i + pairs]
                wanted[:, position, i] = c * up - s * right
                wanted[:, position, i + pairs] = c * right + s * up
        name = f"rotate_part, {pairs} pairs of {dim} numbers,"
        mine = answer(x.clone(), (cos, sin))
        faults.append(same_tensor(name, mine, wanted))
        if isinstance(mine, torch.Tensor) and mine.shape == x.shape and not torch.equal(mine[..., 2 * pairs :], x[..., 2 * pairs :]):  # noqa: E501
            faults.insert(0, "the numbers after the turned ones should come out as they went in")
    return first_fault(*faults)


def judge_law(answer) -> str:
    laws = {"identity at 0", "length", "distance only"}
    if not isinstance(answer, set | frozenset | list | tuple) or not set(answer) <= laws:
        return f"the answer is a set of some of {sorted(laws)}, got {answer!r:.80}"
    missing = sorted(laws - set(answer))
    return said(not missing, f"{missing[0] if missing else ''!r} holds as well: try it on your rotate_part")


def judge_stretched_base(answer) -> str:
    from llama_tutorial.rotary import rotary_frequencies

    faults = []
    for dim, theta, factor in ((64, 10000.0, 4.0), (128, 500000.0, 8.0), (10, 100.0, 3.0)):
        before, after = rotary_frequencies(dim, theta)[0], rotary_frequencies(dim, float(answer(theta, dim, factor)))[0]
        slower = (before[-1] / after[-1]).item()
        where = f"with theta {theta:.0f}, dim {dim} and factor {factor:g}"
        faults += [
            said(before[0] == after[0], f"{where} the fastest hand changed its speed"),
            said(
                math.isclose(slower, factor, rel_tol=1e-3),
                f"{where} the slowest hand became {slower:.4g} times slower, not {factor:g} times",
            ),
        ]
    return first_fault(*faults)


EXERCISES = (
    Exercise(
        name="rotate",
        kind="implement",
        task="Turn every pair (i, i + dim/2) of x by its angle.",
        difficulty=3,
        importance=5,
        minutes=15,
        hints=(
            "`turn_hands` does it for x (seq, dim): cut x into its halves, turn them, put them together again. What "
            "must its patterns begin with, so that x may have more axes?",
            "*The size of tensor a (3) must match the size of tensor b (2)*: 3 are the heads, which x may have between "
            "batch and seq. cos and sin, (seq, pair) or (batch, seq, pair), lack that axis, so their batch is set "
            "beside x's heads. Give them an axis of length 1 for each axis that they lack there. If sizes do match "
            "and the numbers are wrong from position 1 on, look at the order of the two words in your pattern: "
            "`(two pair)` or `(pair two)`?",
            "cos, sin → x's dtype, with 1s for the heads → first, second = the halves → new first = first · cos − "
            "second · sin → new second = second · cos + first · sin → join, first half first.",
        ),
    ),
    Exercise(
        name="slow_the_slow_hands",
        kind="implement",
        task="Keep the fast hands, slow the slow ones by the factor, and blend those between.",
        difficulty=4,
        importance=2,
        minutes=20,
        hints=(
            "How many turns does a hand make in the text that the model was trained on? That number decides.",
            "*The fast hands became slow*: a wavelength is 2π / speed, so a fast hand has a short one and *many* "
            "turns. Many turns (at least `high_freq_factor`) means kept, few means slowed.",
            "turns = trained length / wavelength → keep = (turns − low) / (high − low), held between 0 and 1 → "
            "keep of the speed as it was, and the rest of it divided by the factor.",
        ),
    ),
    Exercise(
        name="rotary_frequencies",
        kind="implement",
        task="Compute the speeds, slowed as the scaling says; return them and the attention factor.",
        difficulty=3,
        importance=4,
        minutes=15,
        hints=(
            "First without any scaling: a hand that needs 10 tokens for one radian turns a tenth of a radian a token. "
            "Who knows the tokens? And what does hand 1 turn for dim = 4?",
            "*My slowest hand is much too fast*: `tokens_per_radian` gives tokens, and a speed is one divided by them. "
            "*`theta` is missing*, or *my speeds are a pair*: yarn takes the base as well, and gives back the speeds "
            "with the attention factor; the other functions give the speeds alone, and their factor is 1.",
            "refuse an odd dim and a base that is not positive, with `check_even` and `check_number` → speeds = 1 / "
            "tokens per radian → ask `check_scaling` for the kind and its numbers → yarn, of the speeds, the base and "
            "the numbers, gives both results → any other kind: its function in `SCALINGS`, of the speeds and the "
            "numbers, gives the speeds; with them goes 1.0.",
        ),
    ),
    Exercise(
        name="LlamaRotaryEmbedding.angles",
        kind="implement",
        task="Return cosines and sines of position times speed, times the attention factor.",
        difficulty=2,
        importance=4,
        minutes=8,
        hints=(
            "Every position meets every hand: the result has one axis more than `positions`.",
            "*My sizes do not match*: positions are (seq) or (batch, seq). Give them a last axis of 1, with a pattern "
            "that begins with `...`, and the hands line up along it.",
            "angles = positions as floats, with a 1 at the end, times inv_freq on the same device → the pair of "
            "their cosines and sines, each times the attention factor.",
        ),
    ),
    Exercise(
        name="LlamaRotaryEmbedding.forward",
        kind="implement",
        task="Turn x to the positions, counting from 0 where none are given.",
        difficulty=1,
        importance=4,
        minutes=5,
        hints=(
            "Two parts are ready: one makes the rotation, the other turns.",
            "*It works on short text and fails on a GPU*, or *position 0 is not left alone*: make the positions on x's "
            "device, and count them along seq, the last axis but one, from 0.",
            "where positions are None: 0 … seq − 1 → check them → rotate x by the angles of the positions.",
        ),
    ),
    Exercise(
        name="slowest_turn",
        kind="predict",
        title="The slowest hand of Llama 3",
        text="Llama 3.1 8B has heads of 128 numbers and the base 500,000. In how many tokens does its slowest hand "
        "turn once round? Within one per cent.",
        task="Type the number of tokens in which the slowest of 64 hands turns once.",
        difficulty=2,
        importance=4,
        minutes=5,
        hints=(
            "Which i has the slowest hand, and how fast does it turn?",
            "*I get 500,000, or a sixth of what is right*: the slowest hand has i = 63, not 64, and a turn is 2π "
            "radians, not one.",
            "speed = 500,000 to the power −2·63/128; tokens = 2π / speed.",
        ),
        starter="slowest_turn = ...  # tokens",
        answers={
            "slowest_turn": typed_number(
                2 * math.pi * 500000 ** (126 / 128),
                0.01,
                {
                    500000.0: "500,000 is the base; the slowest hand has i = 63, and a turn is 2π radians",
                    2 * math.pi * 500000: "that is i = 64; the hands are counted from 0, so the last is 63",
                    500000 ** (126 / 128): "that many tokens turn it by one radian; a turn is 2π of them",
                    2 * math.pi * 500000 ** (62 / 64): "that is a head of 64 numbers; here it has 128",
                    2 * math.pi * 500000 ** (63 / 128): "the exponent is 2i/dim: you left out the 2",
                },
            )
        },
        solution="slowest_turn = 2 * math.pi * 500000 ** (2 * 63 / 128)",
        why="More than two and a half million tokens: in a text of 8,192 that hand hardly moves, which is why it is "
        "free to tell of meaning rather than of place.",
    ),
    Exercise(
        name="hands_round",
        kind="predict",
        title="How many hands get round?",
        text="The same model was trained on texts of 8,192 tokens. How many of the 64 hands of a head turn at least "
        "once round within such a text?",
        task="Type how many of 64 hands turn at least once in 8,192 tokens.",
        difficulty=3,
        importance=3,
        minutes=8,
        hints=(
            "A hand gets round if its wavelength is at most 8,192 tokens.",
            "*I get 43 or 44*: that asks for one radian, and a turn is 2π of them. *I am off by one*: the first hand "
            "has i = 0 and counts.",
            "2π · 500,000^(2i/128) ≤ 8,192; take logarithms, solve for i, and count from 0.",
        ),
        starter="hands_round = ...  # a whole number",
        answers={
            "hands_round": typed_number(
                35,
                1e-9,
                {
                    34: "nearly: the first hand has i = 0 and counts as well",
                    43: "that many turn by one radian; a turn is 2π of them",
                    44: "that many turn by one radian; a turn is 2π of them",
                    18: "that is a head of 64 numbers; here it has 128",
                    29: "those are the hands that do not get round",
                },
            )
        },
        solution="hands_round = sum(2 * math.pi * 500000 ** (2 * i / 128) <= 8192 for i in range(64))",
        why="29 of 64 hands never went round in training. Where they point in longer text the model has never seen: "
        "that is what the scalings are for.",
    ),
    Exercise(
        name="two_hands_score",
        kind="predict",
        title="Two hands, 100 tokens apart",
        text="A vector of 4 numbers has two hands. The base is 10,000. Query and key are the same vector (1, 1, 0, 0), "
        "both hands at twelve, 100 tokens apart. What is their score, the **sum** over both hands, to two places?",
        task="Type the score of (1, 1, 0, 0) with itself, 100 tokens apart: the sum over both hands, not the mean.",
        difficulty=2,
        importance=3,
        minutes=5,
        hints=(
            "How far does each hand turn in 100 tokens? A score of a hand with itself is the cosine of its turn.",
            "*I get 2 · cos 100*: the second hand is slower. With dim = 4 its exponent is 2/4.",
            "cos(100 · 1) + cos(100 · 10,000^(−2/4)), in radians.",
        ),
        starter="two_hands_score = ...  # your number",
        answers={
            "two_hands_score": typed_number(
                math.cos(100) + math.cos(1),
                0.01,
                {
                    2 * math.cos(100): "the second hand is slower: 10,000^(−2/4) is a hundredth of a radian a token",
                    math.cos(100) + math.cos(10): "10,000^(−2/4) is 0.01, not 0.1",
                    math.cos(math.radians(100)) + math.cos(math.radians(1)): "the angles are radians, not degrees",
                    math.cos(100): "that is the fast hand alone; the slow one scores as well",
                    (math.cos(100) + math.cos(1)) / 2: "that is the mean; a dot product is the sum over both hands",
                },
            )
        },
        solution="two_hands_score = math.cos(100 * 1) + math.cos(100 * 10000 ** (-2 / 4))",
        why="The fast hand has made nearly sixteen turns and looks near; the slow one, one radian on, says otherwise.",
    ),
    Exercise(
        name="mended_rotate",
        kind="find the bug",
        title="Right at position 0, and too long or too short elsewhere",
        text="A model with this function trains, a little worse than it should. Position 0 is perfect. Mend it, and "
        "write the **probe** that exposes it without knowing the right answer: a law that every turn keeps.",
        task="Say whether a function keeps the length of the vectors that it turns.",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "Turn (1, 0) by a quarter on paper, with the function as it stands. Then turn (0, 1).",
            "*My probe says True of the broken one*: at position 0 nothing turns, so it cannot fail there; and for a "
            "vector with one half zero the mistake does not show. Take random vectors at positions from 1 on.",
            "A turn of (first, second) is (first · cos − second · sin, second · cos + first · sin): the one minus "
            "stands in the first half. The probe compares the norms along the last axis before and after.",
        ),
        starter='''def mended_rotate(x, rotation):
    """Turn every pair (i, i + dim/2) of x; rotation is (cos, sin), each (seq, dim/2). It has a mistake: mend it."""
    cos, sin = rotation
    up, right = rearrange(x, "... (two pair) -> two ... pair", two=2)
    return rearrange([up * cos - right * sin, right * cos - up * sin], "two ... pair -> ... (two pair)")


def keeps_lengths(turn) -> bool:
    """Whether turn(x, rotation) leaves the length of every vector of x (seq, dim) as it was."""
    raise NotImplementedError("Say whether a function keeps the length of the vectors that it turns.")''',
        answers={"mended_rotate": judge_mended_rotate, "keeps_lengths": judge_length_probe},
        solution='''def mended_rotate(x, rotation):
    cos, sin = rotation
    up, right = rearrange(x, "... (two pair) -> two ... pair", two=2)
    return rearrange([up * cos - right * sin, right * cos + up * sin], "two ... pair -> ... (two pair)")


def keeps_lengths(turn) -> bool:
    x = torch.randn(7, 8, generator=torch.Generator().manual_seed(0))
    angles = torch.arange(7.0)[:, None] * torch.tensor([1.0, 0.5, 0.1, 0.01])
    turned = turn(x, (angles.cos(), angles.sin()))
    return torch.allclose(turned.norm(dim=-1), x.norm(dim=-1), atol=1e-4)''',
        why="With two minus signs the map is a reflection mixed with a stretch, not a turn. A law needs no right "
        "answer to compare with: lengths stay.",
    ),
    Exercise(
        name="mended_scores",
        kind="find the bug",
        title="The same two words, the same distance, another score",
        text="With these scores a model learns, but worse: the same two words at the same distance score one thing at "
        "the beginning of a text and another at its end. Mend them, and write the **probe**.",
        task="Say whether scores depend on how far apart query and key stand, and on nothing else of their places.",
        difficulty=2,
        importance=4,
        minutes=12,
        hints=(
            "What is turned, and what is not?",
            "*My probe says True of the broken one*: move **all** positions by the same number, some tens of tokens, "
            "and compare all scores; moved by nothing, nothing can show.",
            "The probe: random q and k at positions 0 … 6 and the same at 50 … 56; the scores must agree to a small "
            "tolerance.",
        ),
        starter='''def mended_scores(q, k, rotation):
    """The score of every query and key, each (seq, dim), with positions turned in. It has a mistake: mend it."""
    return einsum(rotate(q, rotation), k, "query dim, key dim -> query key")


def knows_distance_only(scores) -> bool:
    """Whether scores(q, k, rotation) stay the same when all positions move; rotation is (cos, sin), (seq, dim/2)."""
    raise NotImplementedError("Say whether scores depend on the distance of query and key, not on their places.")''',
        answers={"mended_scores": judge_mended_scores, "knows_distance_only": judge_distance_probe},
        solution='''def mended_scores(q, k, rotation):
    return einsum(rotate(q, rotation), rotate(k, rotation), "query dim, key dim -> query key")


def knows_distance_only(scores) -> bool:
    draw = torch.Generator().manual_seed(0)
    q, k = torch.randn(7, 8, generator=draw), torch.randn(7, 8, generator=draw)
    speeds = torch.tensor([1.0, 0.3, 0.1, 0.02])
    here, there = (torch.arange(start, start + 7.0)[:, None] * speeds for start in (0, 50))
    one, other = (scores(q, k, (angles.cos(), angles.sin())) for angles in (here, there))
    return torch.allclose(one, other, atol=1e-3)''',
        why="Only where both are turned does the turn of the one cancel against the turn of the other, up to their "
        "distance. Values are never turned: what a word tells must not depend on where it stands.",
    ),
    Exercise(
        name="mended_frequencies",
        kind="find the bug",
        title="Works from scratch, babbles with published weights",
        text="A model trained with these frequencies is as good as any. Given published weights it writes a few good "
        "words and then nonsense. The check says when yours are the published ones.",
        task="Mend the frequencies: hand i turns theta^(−2i/dim).",
        difficulty=2,
        importance=4,
        minutes=8,
        hints=(
            "Compute the first three speeds for dim = 6 and theta = 1,000 by hand: they should be 1, 0.1 and 0.01.",
            "*Only the first is right now*: at i = 0 every wrong exponent gives 1. Compare hand 1.",
            "The exponent of hand i is 2i/dim. What does `arange(dim // 2)` count?",
        ),
        starter='''def mended_frequencies(dim, theta=10000.0):
    """The speed of each of the dim/2 hands, in radians a token (float32). It has a mistake: mend it."""
    hand = torch.arange(dim // 2).float()
    return theta ** (-hand / dim)''',
        answers={"mended_frequencies": judge_mended_frequencies},
        solution='''def mended_frequencies(dim, theta=10000.0):
    hand = torch.arange(dim // 2).float()
    return theta ** (-2 * hand / dim)''',
        why="Without the 2 the slowest hand is nearly a hundred times too fast. Nothing in training tells: the weights "
        "learn around it. Weights that were trained with other hands do not.",
    ),
    Exercise(
        name="rotate_part",
        kind="transfer",
        title="Turn a part only",
        text="Some models turn only the first numbers of a head and leave the others free of position. Write it. Then "
        "say which laws still hold for the whole vector: `identity at 0`, `length`, `distance only` (the score of two "
        "vectors depends on how far apart they are).",
        task="Turn the first 2 · pair numbers of x and leave the others as they are.",
        difficulty=3,
        importance=3,
        minutes=15,
        hints=(
            "How many numbers are to be turned stands in the rotation: cos has one for each pair.",
            "*My sizes do not match*, or *it agrees only where all is turned*: number i is paired with i + pair "
            "**within the turned part**, not with i + dim/2.",
            "Cut x into the part that is turned and the part that is not, turn the first with `rotate`, put the two "
            "together. For the laws: a score is a sum over the two parts.",
        ),
        starter='''def rotate_part(x, rotation):
    """Turn the first numbers of x (..., seq, dim); rotation is (cos, sin), each (seq, pair) with pair ≤ dim/2."""
    raise NotImplementedError("Turn the first 2 · pair numbers of x and leave the others as they are.")


laws_that_hold = ...  # a set, such as {"length"}''',
        answers={"rotate_part": judge_rotate_part, "laws_that_hold": judge_law},
    ),
    Exercise(
        name="stretched_base",
        kind="transfer",
        title="Longer text by another base",
        text="There is a third way to longer text: leave the formula and raise the base, so that the **slowest** hand "
        "becomes exactly `factor` times slower while the fastest keeps its speed, and all between are stretched more "
        "the slower they are. Which base does it?",
        task="Return the base with which the slowest hand is exactly `factor` times slower.",
        difficulty=4,
        importance=2,
        minutes=15,
        hints=(
            "Write down the speed of the slowest hand, with its exponent as a fraction of dim. Then the same with the "
            "new base, and set them in the ratio that is asked.",
            "*theta · factor is nearly right*: the last exponent is (dim − 2)/dim, not 1, so the base must grow by a "
            "little more than the factor.",
            "new^((dim − 2)/dim) = factor · theta^((dim − 2)/dim); solve for new.",
        ),
        starter='''def stretched_base(theta, dim, factor) -> float:
    """The base that makes the slowest of the dim/2 hands `factor` times slower and leaves the fastest."""
    raise NotImplementedError("Return the base with which the slowest hand is exactly `factor` times slower.")''',
        answers={"stretched_base": judge_stretched_base},
    ),
)
