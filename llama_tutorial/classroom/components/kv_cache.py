"""The cache of keys and values: what must hold of it, what goes wrong in it, and its exercises.

A subject is called as cached(pieces, max_length): pieces of keys, (batch kv new dim), one after another. It gives what
each update gave, keys and values in turn, and the cache's length at the end.
"""

from contextlib import contextmanager

import torch

from ...kv_cache import KVCache
from ..course.exercise import Exercise, typed_number
from ..judge.guard import Fault
from ..judge.parts import Cases, Component
from ..judge.subjects import normal

component = Component("kv_cache")


def pieces(seed: int, *lengths: int, batch: int = 2, kv: int = 3, dim: int = 7) -> list:
    """Keys of so many new tokens each; their values are the keys, moved by 100."""
    return [normal(seed + i, batch, kv, new, dim) for i, new in enumerate(lengths)]


# ------------------------------------------------------------------------------------------------- what must hold

CASES = Cases()
AXES = "batch kv key dim"


@CASES("the first keys and values come back, and no room behind them", AXES)
def first(cached):
    return cached(pieces(1, 5))[:2]


@CASES("new keys and values stand behind the old ones", AXES)
def behind(cached):
    return cached(pieces(2, 5, 1))[2:4]


@CASES("one token at a time, past the room that waits", AXES)
def one_by_one(cached):
    return cached(pieces(3, 5, *[1] * 8))[-3:-1]


@CASES("three pieces of several tokens", AXES)
def several(cached):
    return cached(pieces(9, 4, 3, 2))[-3:-1]


@CASES("with max_length, up to the last place", AXES)
def full(cached):
    return cached(pieces(13, 5, 4, 2), 11)[-3:-1]


@CASES("the length is the number of tokens kept")
def length(cached):
    return cached(pieces(17, 5, 2, 1))[-1]


@CASES("bfloat16 stays bfloat16", AXES)
def half(cached):
    return cached([each.bfloat16() for each in pieces(21, 3, 2)])[-3:-1]


@CASES("gradients reach the keys of every update", "batch kv new dim", tolerance=1e-3)
def gradients(cached):
    given = [each.requires_grad_() for each in pieces(23, 3, 1)]
    with torch.enable_grad():
        keys = cached(given)[-3]
        if not keys.requires_grad:
            raise Fault("No gradient flows through the keys that it gives: they are detached.")
        found = torch.autograd.grad((keys * normal(25, *keys.shape)).sum(), given, allow_unused=True)
    if any(grad is None for grad in found):
        raise Fault("No gradient reaches the keys of an update.")
    return found


@CASES("two caches know nothing of each other", AXES)
def two(cached):
    cached(pieces(31, 4, 2))
    return cached(pieces(33, 4, 2))[-3:-1]


@contextmanager
def nan_in_empty():
    """What nobody has written is NaN, so that a cache that gives it gives the same each time."""
    before, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)


def adapt(kind):
    """A class of caches as the subject of the cases."""

    @nan_in_empty()
    def cached(given, max_length=None):
        cache, found = kind(max_length), []
        for k in given:
            both = cache.update(k, k + 100)
            if not isinstance(both, tuple | list) or len(both) != 2:
                raise Fault(f"update should return keys and values, a tuple of two; got {type(both).__name__}.")
            if not all(isinstance(each, torch.Tensor) for each in both):
                raise Fault("update should return two tensors.")
            found += [each.clone() for each in both]
        return (*found, torch.tensor(len(cache)))

    return cached


component.part(KVCache, adapt, CASES)


# ------------------------------------------------------------------------------------------------- what goes wrong

LOST = "The first token after the prompt is right or nearly so; then the text has forgotten how it began."
K, V = "written(self.k, start, k, self.max_length)", "written(self.v, start, v, self.max_length)"
COUNT = "start, self.length = self.length, self.length + k.shape[2]"
KEYS, VALUES = "self.k[:, :, : self.length]", "self.v[:, :, : self.length]"


def bug(name: str, symptom: str, *edits: dict, says: str):
    component.bug(name, "KVCache", *edits, step="", symptom=symptom, says=says)


# fmt: off
bug("only_the_new", LOST, {f"return {KEYS}, {VALUES}": "return k, v"},
    {f"return {KEYS}, {VALUES}": "return self.k[:, :, start : self.length], self.v[:, :, start : self.length]"},
    says="You return the new keys and values alone, so a token sees only itself. All tokens so far belong.")
bug("length_stays", LOST, {COUNT: "start = self.length"},
    {COUNT: "start, self.length = self.length, max(self.length, k.shape[2])"},
    {COUNT: "start = self.length", f"return {KEYS}, {VALUES}":
     "return self.k[:, :, : start + k.shape[2]], self.v[:, :, : start + k.shape[2]]"},
    says="The length is not raised by the new tokens: the next ones are written over them.")
bug("one_each_time", "Right for one token at a time, wrong for a prompt.",
    {"self.length + k.shape[2]": "self.length + 1"},
    says="The length rises by 1, however many tokens are new. There are k.shape[2] of them.")
bug("room_given_back", "An error about sizes, or attention to places that nobody wrote.",
    {f"return {KEYS}, {VALUES}": "return self.k, self.v"},
    says="The room that waits comes back too. Cut keys and values at the length, along the axis of tokens.")
bug("behind_a_gap", "The text is nonsense, and another each time.", {COUNT: "self.length += k.shape[2]\n"
    "        start = self.length"},
    says="The new tokens stand behind a gap: the length is raised before they are written. Remember where they start.")
bug("heads_counted", "Right or wrong by the size of the model.",
    {"self.length + k.shape[2]": "self.length + k.shape[1]"}, {"self.length + k.shape[2]": "self.length + k.shape[0]"},
    {"self.length + k.shape[2]": "self.length + k.shape[3]"}, {"self.length + k.shape[2]": "self.length + len(k)"},
    says="The length rises by the size of another axis. In (batch, kv, new, dim) the new tokens are axis 2.")
bug("not_kept", "The text has forgotten how it began.",
    {"self.k, self.v = written": "keys, values = written", f"return {KEYS}, {VALUES}":
     "return keys[:, :, : self.length], values[:, :, : self.length]"},
    says="What `written` gives is not kept, so the next update finds no store: self.k and self.v must hold it.")
bug("keys_for_values", "The text is nonsense from the second token on.",
    {V: "written(self.v, start, k, self.max_length)"}, {V: K},
    says="The values are keys. Each has its own store, and v is written into its own.")
bug("exchanged", "The text is nonsense.", {"self.k, self.v = written": "self.v, self.k = written"},
    {f"return {KEYS}, {VALUES}": f"return {VALUES}, {KEYS}"},
    says="Keys and values have changed places.")
bug("newest_first", "The text is nonsense: keys and positions no longer belong together.",
    {f"return {KEYS}, {VALUES}": f"return {KEYS}.roll(k.shape[2], 2), {VALUES}.roll(k.shape[2], 2)"},
    says="The new tokens stand before the old ones. They belong behind: the order is that of the text.")
bug("cut_off_from_training", "None while writing. Nothing is learnt through the cache.",
    {K: "written(self.k, start, k.detach(), self.max_length)",
     V: "written(self.v, start, v.detach(), self.max_length)"},
    says="Keys and values are detached, and gradients end here. Keep them as they came.")
# fmt: on


# ----------------------------------------------------------------------------------------------------- the exercises

WITHOUT = {
    600: "that is 20 thirty times; each step reads one token more than the step before",
    1065: "that counts one reading too many: after the last token nothing is read",
    1050: "every step is counted one too long: the first reads 20, the last 49",
    1085: "31 steps are counted; 30 tokens need 30",
    50: "that is the text at its end; it was read again at every step",
    49: "that is with a cache",
    1275: "that begins with one token; the prompt has 20",
    1225: "that begins with no token; the prompt has 20",
    1500: "that reads the whole text at each of 30 steps; at the first it has 20 tokens",
    465: "that leaves out the prompt, which is read again at every step too",
    435: "that leaves out the prompt, which is read again at every step too",
    30: "that is one a step; without a cache each step reads all",
    20: "that is the first step; each of the others reads one token more",
}
WITH = {
    50: "the last token is written and never read",
    30: "the prompt must be read as well, once",
    31: "the prompt has 20 tokens, and each of them is a position",
    29: "the prompt must be read as well, once",
    20: "that is the prompt; the new tokens are read as well, all but the last",
    21: "that is the prompt and one; the new tokens are read as well, all but the last",
    1035: "that is without a cache",
}
BYTES = {
    5120: "that counts a key for each of the four heads that ask; two hold keys",
    1280: "that is keys alone, or two bytes a number; values are kept as well, in float32",
    512: "that is one layer; each of the five has its own cache",
    640: "that is how many numbers; each takes four bytes",
    320: "that is how many numbers in keys alone",
    256: "that is one head of one layer",
    7680: "that counts heads that ask and heads that hold keys; those that ask keep nothing",
    20480: "that is bits; a byte has eight",
    2.56: "that is thousands of bytes",
}


def prompts_of(tokenizer, *texts):
    return [tokenizer.encode(text) for text in texts]


def in_company():
    """Models and prompts on which functions that go on with many texts are tried: those that are told of first are
    the easiest."""
    from ...generation import load_shipped

    model, tokenizer = load_shipped()
    several = (
        ("three prompts of one length", [[500, 600, 700], [800, 900, 1000], [3, 4, 5]]),
        ("two prompts of unlike lengths", prompts_of(tokenizer, "The for statement", "Return a new list of the")),
        ("the same two, the longer first", prompts_of(tokenizer, "Return a new list of the", "The for statement")),
        ("three prompts of unlike lengths", prompts_of(tokenizer, "If", "A function definition is an executable",
                                                       "New in version")),
        ("prompts that hold the padding's id 0 themselves", [[500, 0, 600], [700, 0, 0], [800, 900, 1000, 0, 0]]),
    )  # fmt: skip
    return model, several


def alone(model, prompts):
    """The next token of each prompt, read by itself."""
    with torch.inference_mode():
        return [model(torch.tensor([prompt]))[0, -1].argmax().item() for prompt in prompts]


def judge_next(answer) -> str:
    """The sentence on a function that goes on with many texts at once."""
    model, several = in_company()
    for told, prompts in several:
        found = gone_on(answer, model, prompts)
        found = found.tolist() if isinstance(found, torch.Tensor) else found
        found = [each[0] if isinstance(each, list) and len(each) == 1 else each for each in found or []]
        if len(found) != len(prompts):
            return f"next_tokens should return one token for each of {len(prompts)} prompts, got {found!r:.60}"
        wanted = alone(model, prompts)
        wrong = [row for row, (mine, theirs) in enumerate(zip(found, wanted)) if mine != theirs]
        if wrong:
            longest = max(map(len, prompts))
            short = all(len(prompts[row]) < longest for row in wrong)
            where = "the shorter ones, those that are padded," if short else f"rows {wrong}"
            saw = f"of {told}, {where} go on otherwise than each does alone: {found} where {wanted} belong"
            return f"{saw}. {why_otherwise(answer)}".rstrip(". ")
    return ""


def gone_on(choose, model, prompts):
    """What a function chooses after these prompts, which it may change."""
    with torch.inference_mode():
        return choose(model, [list(prompt) for prompt in prompts])


def why_otherwise(answer) -> str:
    """The reason, where a known mistake gives the same tokens after all prompts."""
    model, several = in_company()
    for says, known in OTHERWISE:
        if all(torch.equal(torch.as_tensor(gone_on(answer, model, prompts)).flatten(), gone_on(known, model, prompts))
               for _, prompts in several):  # fmt: skip
            return says
    return ""


def padded(prompts, right: bool):
    longest = max(map(len, prompts))
    rows = [[0] * (longest - len(p)) for p in prompts]
    ids = torch.tensor([p + zeros if right else zeros + p for p, zeros in zip(prompts, rows)])
    real = torch.tensor([[1] * len(p) + zeros if right else zeros + [1] * len(p) for p, zeros in zip(prompts, rows)])
    return ids, real


def right_padded(model, prompts):
    ids, real = padded(prompts, right=True)
    return model(ids, attention_mask=real)[:, -1].argmax(dim=-1)


def nothing_masked(model, prompts):
    return model(padded(prompts, right=False)[0])[:, -1].argmax(dim=-1)


def left_padded(model, prompts):
    ids, real = padded(prompts, right=False)
    return model(ids, attention_mask=real)[:, -1].argmax(dim=-1)


def unlike_sides(zeros_right: bool):
    """Ids padded on one side, with the mask of the other."""
    def choose(model, prompts):
        ids, real = padded(prompts, zeros_right)[0], padded(prompts, not zeros_right)[1]
        return model(ids, attention_mask=real)[:, -1].argmax(dim=-1)

    return choose


def mask_of_ids(model, prompts):
    ids, _ = padded(prompts, right=False)
    return model(ids, attention_mask=(ids != 0).long())[:, -1].argmax(dim=-1)


def first_column(model, prompts):
    ids, real = padded(prompts, right=False)
    return model(ids, attention_mask=real)[:, 0].argmax(dim=-1)


def own_last(model, prompts):
    ids, _ = padded(prompts, right=True)
    ends = torch.tensor([len(prompt) - 1 for prompt in prompts])
    return model(ids)[torch.arange(len(ids)), ends].argmax(dim=-1)


def cut_to_shortest(model, prompts):
    shortest = min(map(len, prompts))
    return model(torch.tensor([prompt[:shortest] for prompt in prompts]))[:, -1].argmax(dim=-1)


def ends_of_all(model, prompts):
    shortest = min(map(len, prompts))
    return model(torch.tensor([prompt[-shortest:] for prompt in prompts]))[:, -1].argmax(dim=-1)


OTHERWISE = (
    ("In a shorter row the last column still holds padding", right_padded),
    ("The zeros stand on the left, and no mask hides them: they are read as words", nothing_masked),
    ("The zeros stand on the left and the mask's on the right: it hides words and shows padding", unlike_sides(False)),
    ("The mask's zeros stand on the left and those of the ids on the right", unlike_sides(True)),
    ("The mask is made of the ids, and so it hides a 0 that belongs to a prompt", mask_of_ids),
    ("You read the first column: the next token follows the last", first_column),
    ("The longer prompts are cut to the shortest: nothing of a prompt may be lost", cut_to_shortest),
    ("The longer prompts are cut to the shortest: nothing of a prompt may be lost", ends_of_all),
)
COMPANY = (
    (False, "one that pads on the left and masks", left_padded),
    (False, "one that pads on the right and reads each row's own last token", own_last),
    (False, "one that reads each prompt alone", lambda model, prompts: torch.tensor(alone(model, prompts))),
    (True, "one that pads on the right and reads the last column", right_padded),
    (True, "one that pads on the left and masks nothing", nothing_masked),
    (True, "one that cuts all prompts to the shortest", cut_to_shortest),
)


def judge_company(answer) -> str:
    """The sentence on a probe for functions in which a prompt's company has a say."""
    for wanted, name, function in COMPANY:
        handed = []
        with torch.inference_mode():
            if bool(answer(noting(function, handed))) != wanted:
                return f"it should say {wanted} of {name}. {what_it_tried(handed, wanted)}"
    return ""


def noting(function, handed: list):
    """The function, which notes the lengths of the prompts that it is given."""

    def choose(model, prompts):
        handed.append([len(prompt) for prompt in prompts])
        return function(model, prompts)

    return choose


def what_it_tried(handed, wanted: bool) -> str:
    """What a probe forgot, by the lengths of the prompts that it handed in."""
    if not handed:
        return "It never calls the function that it is given"
    if not any(len(lengths) > 1 for lengths in handed):
        return "It hands in one prompt at a time: company is several at once"
    if all(len(set(lengths)) == 1 for lengths in handed):
        return "The prompts that it hands in at once have one length, so nothing is padded"
    if not any(len(lengths) == 1 for lengths in handed):
        return "It hands in no prompt alone, so there is nothing to compare with"
    if wanted:
        return "Look at every row, of several prompts: one that goes on otherwise is enough"
    return "True means that a prompt goes on otherwise than alone"


component.exercises = (
    Exercise(
        name="KVCache.update",
        kind="implement",
        task="Write the new keys and values behind the old ones, and return all so far.",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "Where do the new tokens start, and how long is the cache afterwards? Who writes is there: `written`.",
            "*The keys that come back have places that nobody wrote*: `written` gives the store with its room; cut at "
            "the length. *Right for one token and wrong for a prompt*: how many are new stands in k's shape.",
            "start = the length so far; length = start + the new tokens → each store = what `written` gives for "
            "(store, start, new, max_length) → both, cut at the length along the axis of tokens.",
        ),
    ),
    Exercise(
        name="positions_read",
        kind="predict",
        title="What a cache saves",
        text="A prompt of 20 tokens, then 30 new ones. How many positions pass through the model without a cache, and "
        "how many with one?",
        task="Type how many positions pass through the model, without a cache and with one.",
        difficulty=2,
        importance=4,
        minutes=5,
        hints=(
            "Write down how many tokens the model reads for the first new token, the second, the last.",
            "*I get 600*: the text grows. *I get 50 with a cache*: after the last token has been written, who reads "
            "it? *I get 1,050 or 1,065*: the first step reads 20, the last 49.",
            "Without: 20 + 21 + … + 49. With: the prompt once, then one each for all new tokens but the last.",
        ),
        starter="read_without = ...  # positions without a cache\nread_with = ...  # positions with one",
        answers={"read_without": typed_number(1035, 1e-6, WITHOUT), "read_with": typed_number(49, 1e-6, WITH)},
        solution="read_without = sum(range(20, 50))\nread_with = 20 + 29",
        why="1,035 against 49. The first token costs the same: the prompt must be read in any case. So a chat's first "
        "word takes its time, and the others flow.",
    ),
    Exercise(
        name="token_bytes",
        kind="predict",
        title="What the shipped model remembers of a token",
        text="The shipped model has 5 layers, 4 heads that ask, 2 key-value heads and a `head_dim` of 32, in float32. "
        "How many bytes does its cache take for one token?",
        task="Type the bytes of cache that one token takes in the shipped model.",
        difficulty=1,
        importance=4,
        minutes=4,
        hints=(
            "Which heads hold something that later tokens ask for? And what do they hold?",
            "*I get 5,120*: those that ask keep nothing. *I get 1,280*: keys and values, and float32 takes four bytes. "
            "*I get 512*: that is one layer.",
            "layers · key-value heads · head_dim · 2 for keys and values · bytes a number",
        ),
        starter="token_bytes = ...  # how many",
        answers={"token_bytes": typed_number(2560, 1e-6, BYTES)},
        solution="token_bytes = 5 * 2 * 32 * 2 * 4",
        why="2,560 bytes, for a token whose text has about 3. The 256 tokens on which it was trained take 0.66 MB, "
        "the weights 4.7.",
    ),
    Exercise(
        name="next_tokens",
        kind="find the bug",
        title="Company changes what is said",
        text="This function chooses the next token of several prompts at once. Each prompt alone goes on as it "
        "should. In company, the shorter ones babble, and no error says so. Mend it, and write the **probe**: a "
        "function that is given such a function and says whether company has a say.",
        task="Say whether choose(model, prompts) goes on otherwise with a prompt in company.",
        difficulty=2,
        importance=5,
        minutes=15,
        hints=(
            "Which token stands in the last column of a shorter row?",
            "*Still wrong after I moved the zeros to the left*: the mask must move with them. *Wrong where a prompt "
            "holds a 0 itself*: the mask comes from lengths, not from the ids. *My probe says False of everything*: "
            "the prompts need unlike lengths; with equal ones nothing is padded.",
            "Zeros before the prompt, in the mask 0 for them and 1 for the rest. For the probe: some prompts at once, "
            "and each alone as a list of one; are the tokens equal? Take several, since a wrong way may be lucky once.",
        ),
        starter='''def next_tokens(model, prompts):
    """The likeliest next token of each prompt, a list of ids; (batch). With a mistake: mend it."""
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([prompt + [0] * (longest - len(prompt)) for prompt in prompts])
    real = torch.tensor([[1] * len(prompt) + [0] * (longest - len(prompt)) for prompt in prompts])
    return model(ids, attention_mask=real)[:, -1].argmax(dim=-1)


def company_matters(choose) -> bool:
    """Whether choose(model, prompts), such as next_tokens, goes on otherwise with a prompt in company than alone."""
    raise NotImplementedError("Say whether choose(model, prompts) goes on otherwise with a prompt in company.")''',
        answers={"next_tokens": judge_next, "company_matters": judge_company},
        solution="""def next_tokens(model, prompts):
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    real = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return model(ids, attention_mask=real)[:, -1].argmax(dim=-1)


def company_matters(choose) -> bool:
    from llama_tutorial import load_shipped

    model, tokenizer = load_shipped()
    texts = ("If", "The for statement", "Return a new list of the elements in", "New in version")
    prompts = [tokenizer.encode(text) for text in texts]
    together = choose(model, prompts).tolist()
    return together != [choose(model, [prompt]).tolist()[0] for prompt in prompts]""",
        why="The next token follows the last one, so the last one must stand last. The other cure keeps the right "
        "padding and reads each row at its own end; it stops working with a cache, where all rows grow at one place.",
    ),
)
