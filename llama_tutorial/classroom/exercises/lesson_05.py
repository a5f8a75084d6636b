"""The exercises of lesson 05: attention."""

import math

from .texts import Exercise, first_fault, said, same_tensor, typed_number


def queries_keys_values(batch=2, heads=6, kv=3, queries=5, keys=5, dim=4, seed=0):
    """Seeded q (batch, heads, queries, dim), k and v (batch, kv, keys, dim)."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    shapes = (batch, heads, queries, dim), (batch, kv, keys, dim), (batch, kv, keys, dim)
    return [torch.randn(*shape, generator=draw) for shape in shapes]


def judge_moved(answer) -> str:
    words = "The dog chased its tail".split()
    if not isinstance(answer, set | frozenset | list | tuple) or not set(answer) <= set(words):
        return f"the answer is a set of some of {words}, got {answer!r:.80}"
    answer = set(answer)
    if "The" in answer or "dog" in answer:
        return "a word that stands before “chased” cannot see it: the mask forbids"
    missing = [word for word in words[2:] if word not in answer]
    return said(not missing, f"{''.join(missing[:1])!r} looks at “chased” as well, as may every word from it on")


def judge_mended_fill(answer) -> str:
    import torch

    from llama_tutorial.attention import attend_by_hand

    q, k, v = queries_keys_values(heads=3, queries=7, keys=7)
    mine, wanted = answer(q.clone(), k.clone(), v.clone()), attend_by_hand(q, k, v)
    if isinstance(mine, torch.Tensor) and mine.isnan().any():
        return "some query has no key left: every word may look at itself"
    return same_tensor("mended_attend", mine, wanted)


def judge_leak_probe(answer) -> str:
    import torch

    from llama_tutorial.attention import attend_by_hand

    def with_mask(q, k, v, fill=-math.inf, after=False, offset=0, both=False):
        seq = q.shape[2]
        mask = torch.ones(seq, seq, dtype=torch.bool).tril(offset)
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        if after:
            return (scores.softmax(dim=-1) * mask) @ v
        return scores.masked_fill(~mask, fill).softmax(dim=-1) @ v

    told = {
        "the lesson's attention": (attend_by_hand, False),
        "attention without a mask": (lambda q, k, v: with_mask(q, k, v, offset=99), True),
        "the planted one, which fills with 0": (lambda q, k, v: with_mask(q, k, v, fill=0.0), True),
        "one that sees one word too far": (lambda q, k, v: with_mask(q, k, v, offset=1), True),
        "one that masks after the softmax": (lambda q, k, v: with_mask(q, k, v, after=True), True),
        "one that sees itself alone": (lambda q, k, v: v.clone(), False),
    }
    return first_fault(
        *(said(bool(answer(attend)) == leaky, f"of {name}, leaks should say {leaky}")
          for name, (attend, leaky) in told.items())
    )  # fmt: skip


def judge_mended_sharing(answer) -> str:
    from llama_tutorial.attention import attend_by_hand

    faults = []
    for heads, kv in ((6, 3), (4, 4), (6, 1)):
        q, k, v = queries_keys_values(heads=heads, kv=kv, queries=7, keys=7)
        mine = answer(q.clone(), k.clone(), v.clone())
        faults.append(same_tensor(f"with {heads} heads on {kv} key-value heads, it", mine, attend_by_hand(q, k, v)))
    return first_fault(*faults)


def judge_window(answer) -> str:
    import torch

    faults = []
    for queries, keys, window in ((7, 7, 3), (2, 5, 2), (5, 5, 1), (3, 3, 9)):
        wanted = torch.zeros(queries, keys, dtype=torch.bool)
        for query in range(queries):
            place = keys - queries + query
            for key in range(keys):
                wanted[query, key] = place - window < key <= place
        name = f"your window_mask({queries}, {keys}, {window})"
        faults.append(same_tensor(name, answer(queries, keys, window), wanted))
    return first_fault(*faults)


def judge_window_probe(answer) -> str:
    from llama_tutorial.attention import attend_by_hand

    def windowed(window, shift=0):
        import torch

        def attend(q, k, v):
            seq = torch.arange(q.shape[2])
            distance = seq[:, None] - seq[None, :] + shift
            return attend_by_hand(q, k, v, (distance >= 0) & (distance < window))

        return attend

    told = {
        "a window of 3": (windowed(3), 3),
        "a window of 1": (windowed(1), 1),
        "a window of 5": (windowed(5), 5),
    }
    return first_fault(
        *(said(answer(attend) == width, f"for {name}, window_of should find {width}, it found {answer(attend)!r:.40}")
          for name, (attend, width) in told.items())
    )  # fmt: skip


def judge_softcap(answer) -> str:
    import torch

    faults = []
    for cap, heads, kv in ((2.0, 6, 3), (50.0, 2, 2)):
        q, k, v = queries_keys_values(heads=heads, kv=kv, queries=6, keys=6)
        q = 3 * q
        wanted = torch.zeros_like(q)
        for head in range(heads):
            shared = head // (heads // kv)
            for place in range(6):
                scores = (k[:, shared, : place + 1] * q[:, head, place, None]).sum(dim=-1) / math.sqrt(q.shape[-1])
                powers = (cap * (scores / cap).tanh()).exp()
                weights = powers / powers.sum(dim=-1, keepdim=True)
                wanted[:, head, place] = (weights[..., None] * v[:, shared, : place + 1]).sum(dim=-2)
        name = f"your attend_softly with cap {cap:g}, {heads} heads on {kv},"
        mine = answer(q.clone(), k.clone(), v.clone(), cap)
        if isinstance(mine, torch.Tensor) and mine.isnan().any():
            return "some outputs are not numbers: was −inf put through the cap, or a whole row forbidden?"
        faults.append(same_tensor(name, mine, wanted))
    return first_fault(*faults)


EXERCISES = (
    Exercise(
        name="causal_mask",
        kind="implement",
        task="Return a boolean (query, key): True where the key is no later than the query.",
        difficulty=2,
        importance=5,
        minutes=8,
        hints=(
            "Give every query and every key its place in the text, and compare.",
            "*With 2 queries and 5 keys my triangle stands in the wrong corner*: the queries are the **last** of the "
            "keys, so their places are 3 and 4, not 0 and 1.",
            "places of the queries: keys − queries … keys − 1, with an axis of 1 after them → places of the keys: "
            "0 … keys − 1 → compare with ≤.",
        ),
    ),
    Exercise(
        name="attend_by_hand",
        kind="implement",
        task="Group the queries, score, divide by √dim, mask, softmax, mix the values, ungroup.",
        difficulty=4,
        importance=5,
        minutes=30,
        hints=(
            "Seven steps, and the lesson did each of them alone above. Write down the axes after each step before you "
            "write its line. One line more is for a query that may look at nothing: softmax gives it no numbers, and "
            "its weights are to be 0.",
            "*My sizes do not match*: q has `kv · group` heads and k has `kv`. Name the two parts of q's heads in a "
            "pattern, kv first, and the keys fit without being copied. The mask wants the heads as one axis again: "
            "(batch, head, query, key).",
            "mask, where None: the causal one, on q's device → q's heads cut into (kv group) → scores: sum over dim, "
            "keys shared by the group → heads joined, divided by √dim → −inf where the mask is False → softmax over "
            "the keys, in float32 at least → 0 where the mask is False → heads cut again → sum over the keys of weight "
            "times value → join.",
        ),
    ),
    Exercise(
        name="attend",
        kind="implement",
        task="Let F.scaled_dot_product_attention give what attend_by_hand gives.",
        difficulty=3,
        importance=4,
        minutes=10,
        hints=(
            "The kernel has three arguments that matter here: `attn_mask`, `is_causal`, `enable_gqa`.",
            "*It is right for a whole text and wrong for its last word alone*: `is_causal=True` counts queries from "
            "key 0. It may be used only where there are as many keys as queries. One query alone sees everything.",
            "as many keys as queries and no mask: is_causal → fewer queries, more than one, and no mask: the causal "
            "mask → hand the mask over. enable_gqa in every case. (For a single query in half precision ours calls "
            "`attend_with_one_query`, which only saves time: you may leave it out.)",
        ),
    ),
    Exercise(
        name="LlamaAttention.forward",
        kind="implement",
        task="Project, cut into heads, rotate q and k, attend, join the heads, project back.",
        difficulty=4,
        importance=5,
        minutes=25,
        hints=(
            "Read the four projections in `__init__`: each tells how many heads of `head_dim` numbers come out. And "
            "three things are optional: a rotation, a mask, a cache.",
            "*The shapes agree and the numbers do not*: did you cut heads by pattern, `(head dim)` and never a "
            "reshape? Did you rotate q **and** k, and left v alone? Did the heads go back behind seq before they were "
            "joined? With a cache, do your positions begin at its length, asked before it grows?",
            "rotation, where None: the angles, by `rotary_emb`, of the tokens' `places` → q, k, v: projected, cut into "
            "(batch head seq dim) → q and k rotated → with a mask: `check_mask` → with a cache: k and v from its "
            "update → attend, with the mask → join the heads → project. (Ours also cuts the mask to the last keys, for "
            "a cache that forgets the first ones; you may leave that out.)",
        ),
    ),
    Exercise(
        name="weight_of_its",
        kind="predict",
        title="Whom does “tail” hear?",
        text="Take the hand-set vectors of the lesson: the query of “tail” is (0, 1), the keys of *The dog chased its "
        "tail* are (0, 0), (2, 1), (1, 0), (0, 2), (2, 0), and scores are divided by √2. How much weight does “tail” "
        "give to “its”? On paper, to two places.",
        task="Type the weight that “tail” gives to “its”.",
        difficulty=2,
        importance=4,
        minutes=8,
        hints=(
            "Five scores, one for each key: only the second number of a key counts for the query (0, 1).",
            "*I get 0.56*: the division by √2 comes before the softmax. *I get 0.67*: a softmax takes powers of e, not "
            "shares of the scores.",
            "scores 0, 1, 0, 2, 0, divided by √2; e to each; the fourth divided by the sum.",
        ),
        starter="weight_of_its = ...  # between 0 and 1",
        answers={
            "weight_of_its": typed_number(
                math.exp(2 / math.sqrt(2)) / (3 + math.exp(1 / math.sqrt(2)) + math.exp(2 / math.sqrt(2))),
                0.02,
                {
                    math.exp(2) / (3 + math.exp(1) + math.exp(2)): "divide the scores by √2 first",
                    2 / 3: "a softmax takes e to the power of each score, then shares; you shared the scores",
                    math.exp(1) / (3 + math.exp(0.5) + math.exp(1)): "that divides by dim = 2; divide by its root",
                },
            )
        },
        solution="""powers = [math.exp(score / math.sqrt(2)) for score in (0, 1, 0, 2, 0)]
weight_of_its = powers[3] / sum(powers)""",
        why="“tail” spends nearly half of its weight on “its”; the three keys that score 0 still get a tenth each.",
    ),
    Exercise(
        name="moved_words",
        kind="predict",
        title="Edit a word in the middle",
        text="In *The dog chased its tail* the key and value of “chased” are exchanged. The attention is causal. Which "
        "words' answers move?",
        task="Type the set of words whose answers move when “chased” is edited.",
        difficulty=1,
        importance=5,
        minutes=3,
        hints=(
            "Who may look at “chased”?",
            "*I left out “chased” itself*: a word may look at its own place as well.",
            "Every query from the place of “chased” on has its key in the row.",
        ),
        starter="moved_words = ...  # a set, such as {\"The\", \"dog\"}",
        answers={"moved_words": judge_moved},
        solution='moved_words = {"chased", "its", "tail"}',
        why="This is the probe for every leak: edit a token, and nothing before it may move.",
    ),
    Exercise(
        name="bytes_a_token",
        kind="predict",
        title="What a token costs to remember",
        text="Llama 3.1 70B has 80 layers, 64 query heads, 8 key-value heads of 128 numbers, 16 bits a number. How "
        "many bytes does a cache of keys and values need for each token?",
        task="Type the bytes of cache for each token.",
        difficulty=2,
        importance=4,
        minutes=5,
        hints=(
            "What is kept of a token, in every layer?",
            "*I am off by two*: both keys and values are kept, and 16 bits are two bytes. *I am off by eight*: queries "
            "are not kept, so only the key-value heads count.",
            "2 (keys, values) × 8 × 128 numbers × 80 layers × 2 bytes.",
        ),
        starter="bytes_a_token = ...  # bytes",
        answers={
            "bytes_a_token": typed_number(
                2 * 8 * 128 * 80 * 2,
                1e-9,
                {
                    2 * 64 * 128 * 80 * 2: "only the 8 key-value heads are kept; and 8 bits are a byte",
                    8 * 128 * 80 * 2: "twice that: keys and values are both kept, and 16 bits are two bytes",
                    2 * 8 * 128 * 2: "that is one layer; there are 80",
                },
            )
        },
        solution="bytes_a_token = 2 * 8 * 128 * 80 * 2",
        why="320 KiB a token. With a key-value head for each of the 64 query heads it would be 2.5 MiB.",
    ),
    Exercise(
        name="mended_attend",
        kind="find the bug",
        title="The loss looks better than it should",
        text="With this attention a model reaches a lower loss than the reference, and writes nonsense. Mend it, and "
        "write the **probe**: a function that is given any attention and says whether the future leaks into the past.",
        task="Say whether attend(q, k, v) lets a later token change an earlier answer.",
        difficulty=2,
        importance=5,
        minutes=12,
        hints=(
            "What is exp(0)?",
            "*My probe says False of the broken one*: edit both the key and the value of the last token, and compare "
            "all answers before it, not the last one.",
            "Only exp(−∞) is 0. For the probe: the same q, k, v twice, the last key and value changed the second time; "
            "any earlier answer that moved is a leak.",
        ),
        starter='''def mended_attend(q, k, v):
    """Causal attention; q, k and v are (batch, head, seq, dim). It has a mistake: mend it."""
    scores = einsum(q, k, "batch head query dim, batch head key dim -> batch head query key") / math.sqrt(q.shape[-1])
    mask = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril()
    weights = (scores * mask).softmax(dim=-1)
    return einsum(weights, v, "batch head query key, batch head key dim -> batch head query dim")


def leaks(attend) -> bool:
    """Whether attend(q, k, v), each (batch, head, seq, dim), lets a later token change an earlier answer."""
    raise NotImplementedError("Say whether attend(q, k, v) lets a later token change an earlier answer.")''',
        answers={"mended_attend": judge_mended_fill, "leaks": judge_leak_probe},
        solution='''def mended_attend(q, k, v):
    scores = einsum(q, k, "batch head query dim, batch head key dim -> batch head query key") / math.sqrt(q.shape[-1])
    mask = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril()
    weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)
    return einsum(weights, v, "batch head query key, batch head key dim -> batch head query dim")


def leaks(attend) -> bool:
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, 6, 4, generator=draw) for _ in range(3))
    before = attend(q, k, v)
    k[:, :, -1], v[:, :, -1] = -k[:, :, -1], 5.0
    return not torch.equal(attend(q, k, v)[:, :, :-1], before[:, :, :-1])''',
        why="A score of 0 is a score like any other, and its weight is a share like any other. The probe needs no "
        "right answer: it edits the future and looks at the past.",
    ),
    Exercise(
        name="mended_sharing",
        kind="find the bug",
        title="Silent until real weights are loaded",
        text="Trained from scratch, a model with this grouped attention is as good as any. With published weights it "
        "babbles from the first word on. With as many key-value heads as query heads it is right.",
        task="Give every query head the key-value head that published weights expect.",
        difficulty=3,
        importance=4,
        minutes=10,
        hints=(
            "With 6 query heads on 3 key-value heads, which of the 3 does query head 1 share? Write down the list that "
            "this code gives, and the one that `(kv group)` gives.",
            "*My sizes match and always did*: both orders have the same shape. Query heads 0 and 1 share key-value "
            "head 0: neighbours share.",
            "In the pattern that makes the copies, which of the two words comes first: `(group kv)` or `(kv group)`?",
        ),
        starter='''def mended_sharing(q, k, v):
    """Causal attention with grouped queries: q (batch, head, seq, dim), k and v (batch, kv, seq, dim). Mend it."""
    group = q.shape[1] // k.shape[1]
    k, v = (repeat(each, "batch kv key dim -> batch (group kv) key dim", group=group) for each in (k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)''',
        answers={"mended_sharing": judge_mended_sharing},
        solution='''def mended_sharing(q, k, v):
    group = q.shape[1] // k.shape[1]
    k, v = (repeat(each, "batch kv key dim -> batch (kv group) key dim", group=group) for each in (k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)''',
        why="`(kv group)` makes neighbours share, `(group kv)` deals the heads out in turn. Both learn equally well; "
        "published weights know one of them.",
    ),
    Exercise(
        name="window_mask",
        kind="transfer",
        title="A sliding window",
        text="Some models look back only `window` tokens, their own place included. Write the mask. Then write a "
        "**probe** that finds the width of a window from outside, by editing tokens and seeing what moves.",
        task="Return a boolean (query, key), True where a query sees a key: the last `window` places up to its own.",
        difficulty=3,
        importance=3,
        minutes=20,
        hints=(
            "Begin with the causal mask. How far back is a key: what is the difference of the two places?",
            "*With 2 queries and 5 keys it is wrong*: as in the causal mask, the queries are the last of the keys. *I "
            "am off by one*: a window of 1 sees its own place and nothing else.",
            "The mask: causal, and the distance less than the window. The probe: in a text long enough, edit one token "
            "early on and count the answers that move.",
        ),
        starter='''def window_mask(queries, keys, window):
    """A boolean (query, key): True at the last `window` places up to the query's own."""
    raise NotImplementedError("True where a query sees a key: the last `window` places up to its own.")


def window_of(attend) -> int:
    """How many places a query of attend(q, k, v), each (batch, head, seq, dim), sees: at most 8."""
    raise NotImplementedError("Find the width of a window from outside, by editing a token.")''',
        answers={"window_mask": judge_window, "window_of": judge_window_probe},
    ),
    Exercise(
        name="attend_softly",
        kind="transfer",
        title="Scores with a soft ceiling",
        text="Gemma 2 keeps scores from growing without bound: after the division by √dim, each score s becomes "
        "cap · tanh(s / cap), which is nearly s while s is small and never more than cap. Write causal attention with "
        "grouped queries and this ceiling.",
        task="Attend with each score s replaced by cap · tanh(s / cap).",
        difficulty=4,
        importance=3,
        minutes=20,
        hints=(
            "One line more than `attend_by_hand`. The question is between which two.",
            "*The future leaks*: tanh(−∞) is −1, so a cap after the mask makes −∞ to −cap, which is a score like any "
            "other. Cap first.",
            "scores / √dim → cap → mask → softmax → mix.",
        ),
        starter='''def attend_softly(q, k, v, cap):
    """Causal attention with a soft ceiling: q (batch, head, seq, dim), k and v (batch, kv, seq, dim)."""
    raise NotImplementedError("Attend with each score s replaced by cap · tanh(s / cap).")''',
        answers={"attend_softly": judge_softcap},
    ),
)
