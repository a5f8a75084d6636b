"""The contest on the command line: challenge."""

import sys

from ..terminal import PROGRAM


def hold_contest(package, seed, as_json, seconds) -> None:
    """Train an entry within the budget, and print what it reached beside the course's own."""
    from ..contest.standing import BUDGET, compete

    budget = BUDGET if seconds is None else seconds

    def begun():
        print(f"{PROGRAM}: it trains for {budget:g} CPU-seconds, then it is examined", file=sys.stderr, flush=True)

    try:
        result = compete(package, seed, budget, to=sys.stderr, begun=begun)
    except KeyboardInterrupt:
        print(f"\n{PROGRAM}: stopped: an entry counts when its training has ended", file=sys.stderr)
        raise
    print(in_json(result) if as_json else "\n".join(in_words(result)))


def in_words(result) -> list[str]:
    """The table of two entries, and what is to be said of them; lines to print."""
    from dataclasses import asdict
    from statistics import median

    from ..contest.standing import AGAIN, BUDGET, SEEDS, course

    stored = course()
    rows = [("", "bits per byte", "parameters", "lines", "CPU-seconds")]
    for name, each in ((result.name, asdict(result)), ("the course's own", stored)):
        numbers = f"{each['bits_per_byte']:.3f}", f"{each['parameters']:,}", f"{each['lines']:,}"
        rows.append((name, *numbers, f"{each['cpu_seconds']:.1f}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    told = ["  ".join([row[0].ljust(widths[0]), *(text.rjust(w) for text, w in zip(row[1:], widths[1:]))]).rstrip()
            for row in rows]  # fmt: skip
    told.append("")
    if result.own_lines == result.lines:
        told.append(f"All {result.lines:,} lines are {result.name}'s own.")
    elif result.own_lines:
        told.append(f"{result.own_lines:,} of the {result.lines:,} lines are {result.name}'s own; the rest is lent.")
    elif result.name != "llama_tutorial":
        told.append(f"All {result.lines:,} lines are lent: what you pass in the exercises takes their place.")
    if result.over:
        told.append(
            f"Training took {result.cpu_seconds:.1f} of {result.budget:g} CPU-seconds, {result.over:.1f} too many: "
            "beside entries that kept to the budget it does not count."
        )
    elif result.budget != BUDGET:
        told.append(f"This one had {result.budget:g} CPU-seconds, the course's own {BUDGET:g}.")
    scores = ", ".join(f"{score:.3f} with seed {seed}" for seed, score in SEEDS.items())
    scores += f", the median {median(SEEDS.values()):.3f}"
    told.append(f"The course's own is stored, from Python {stored['python']}: {scores}. Measure it here: {AGAIN}")
    return told


def in_json(result) -> str:
    """The result as one JSON object, the course's own beside it."""
    import json
    from dataclasses import asdict

    from ..contest.standing import course

    return json.dumps({"entry": asdict(result), "course": course()}, indent=1, ensure_ascii=False)
