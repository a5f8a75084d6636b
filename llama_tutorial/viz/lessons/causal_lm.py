"""The loss: one bar hung under every word, and the shift between what goes in and what is asked for."""

import numpy as np

from ..kit.canvas import (
    BLUE,
    CYAN,
    FAINT,
    GOLD,
    GREEN,
    GREY,
    INK,
    MAUVE,
    PURPLE,
    RED,
    RIGHT,
    WHITE,
    WRONG,
    Scale,
    canvas,
    dark,
    numbers,
    printable,
    tint,
)

WORDS = (MAUVE, BLUE, RED, GREEN, CYAN, GOLD, PURPLE)    # the hues of the first words, as in every lesson

RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"
SHIFTS = {0: "asked for the word it has: it copies", 1: "asked for the next word: it writes",
          2: "asked for the next but one: it skips"}


def loss_hung(words, chance, vocab, shifts):
    """What every word of a text cost, −ln of the chance the model gave it, and what other shifts would teach.

    `words` (7 to 12) and `chance`, one each; `vocab`: how many words there were to guess among; `shifts`: 1 to 3
    names, each with (shift, loss, what a model trained so writes), shift 0, 1 or 2, where 1 is right.
    """
    words, chance = [printable(word) for word in words], numbers(chance)
    if not 7 <= len(words) <= 12 or chance.shape != (len(words),) or not ((chance > 0) & (chance <= 1)).all():
        raise ValueError("loss_hung draws 7 to 12 words, each with its chance above 0 and up to 1, got "
                         f"{len(words)} words and chances {chance.shape}: pass what softmax gave each word")
    if not 1 <= len(shifts) <= 3 or any(shift not in SHIFTS for shift, _, _ in shifts.values()):
        raise ValueError(f"loss_hung draws 1 to 3 shifts, each 0, 1 or 2, got {shifts}")
    cost, blind = -np.log(chance), np.log(vocab)
    worst = int(cost.argmax())
    over = cost[worst] > blind
    c = canvas(718, f"A confident mistake costs more than a blind guess: “{words[worst]}” costs {cost[worst]:.1f}, "
               f"guessing {blind:.1f}" if over else
               f"“{words[worst]}” costs most, {cost[worst]:.1f}, and still less than a blind guess, {blind:.1f}",
               "Hung under each word: −ln(chance the model gave it). Below: a thread joins a word with itself, so its "
               "slope is the shift.")
    _bars(c, words, chance, cost, blind, vocab)
    apart, lowest = 956 / len(shifts), min(loss for _, loss, _ in shifts.values())
    for i, (name, (shift, loss, written)) in enumerate(shifts.items()):
        _threads(c, (84 if i == 0 else 66) + i * apart, words, name, shift, loss, written, loss == lowest)
    c.say(26, 564, "input", color=GREY)
    c.say(26, 646, "target", color=GREY)
    told = ", ".join(f"{word} {each:.2f}" for word, each in zip(words, cost))
    return c.done(f"The loss of every word: {told}; mean {cost.mean():.2f}, a blind guess {blind:.2f}. " + "; ".join(
        f"{name}: loss {loss:.2f}, writes “{written}”" for name, (_, loss, written) in shifts.items()) + ".")


def seven_ways(ways, floor):
    """Losses of models that were asked in different ways, against what paper says, each with what its model writes.

    `ways`: 2 to 8 names, the right one first, each with (loss, floor on paper, true next-word loss, what it writes,
    whether that is a sentence); a loss that is no surprise has no floor on paper, None. `floor`: what the language
    allows, for the next word.
    """
    if not 2 <= len(ways) <= 8 or any(len(way) != 5 for way in ways.values()):
        raise ValueError("seven_ways draws 2 to 8 ways, each with (loss, paper, true loss, text, whether that is a "
                         f"sentence), got {ways}")
    told = [(printable(name), *(None if each is None else float(numbers(each)) for each in way[:3]),
             printable(way[3])[:45], bool(way[4])) for name, way in ways.items()]
    wrong = told[1:]
    c = canvas(168 + 66 * len(told), f"Seen by reading: {sum(not way[5] for way in wrong)} of {len(wrong)} wrong ways. "
               "The floor shows the others",
               "Bar: the loss it was trained with. Black tick: the least that paper says of it. Dashed: the least for "
               "the next word.")
    deep, left, right, top = max(*(way[1] for way in told), *(way[2] or 0 for way in told), floor) * 1.04, 190, 500, 116
    x = Scale((0, deep), (left, right))
    c.say(left, 100, "loss it was trained with", 10, GREY, weight="bold")
    c.say(right + 104, 100, "true loss", 10, GREY, "right", weight="bold")
    c.say(right + 128, 100, "what it writes", 10, GREY, weight="bold")
    for i, (name, loss, paper, true, written, fine) in enumerate(told):
        y, good = top + 66 * i, i == 0
        hue = RIGHT if good else GOLD if fine else WRONG
        c.say(left - 14, y + 21, name, 10.5, INK, "right", "center_baseline", "bold")
        c.bar(left, y + 8, max(x(loss) - left, 2), 26, hue)
        if paper is not None:
            c.line(x(paper), y + 2, x(paper), y + 40, INK, 3)
        c.say(max(x(loss), x(paper or 0), x(floor) if loss < floor else 0) + 9, y + 21, f"{loss:.3f}", 11, dark(hue),
              va="center_baseline", weight="bold", halo=WHITE)
        off = INK if true < 2 * floor else dark(RED)
        c.say(right + 104, y + 21, f"{true:.2f}", 11, off, "right", "center_baseline")
        c.say(right + 128, y + 13, written, 9, dark(hue), va="center_baseline", weight="bold", mono=True)
        c.say(right + 128, y + 31, _verdict(loss, floor, fine), 9.5, GREY, va="center_baseline")
    c.line(x(floor), top - 6, x(floor), top + 66 * len(told) - 14, INK, 1.4, (4, 2.5))
    c.say(x(floor), top + 66 * len(told) + 8, f"{floor:.3f}, the least for the next word", 10, INK, "center")
    return c.done(f"Losses of {len(told)} ways to ask; the floor of the language is {floor:.3f}. " + "; ".join(
        f"{name}: loss {loss:.3f}, on paper {'nothing' if paper is None else f'{paper:.3f}'}, "
        f"true loss {true:.2f}, writes “{written}”"
        for name, loss, paper, true, written, _ in told) + ".")


def _verdict(loss, floor, fine):
    """What gives a model away: its loss beside the floor of the language, and its sentences."""
    where = "below the floor" if loss < 0.98 * floor else "near the floor" if loss < 1.1 * floor else \
        "above the floor" if loss < 1.5 * floor else "far above the floor"
    return f"{where}; {'writes sentences' if fine else 'no sentence'}"


def _bars(c, words, chance, cost, blind, vocab, top=136):
    """The bars, losses at the left, chances at the right, and the line of a blind guess."""
    deep = max(np.ceil(cost.max() / 2) * 2, np.ceil(blind / 2) * 2)
    y, x = Scale((0, deep), (top, top + 284)), Scale((0, len(words)), (72, 918))
    c.say(58, top - 20, "loss", color=GREY, ha="right", weight="bold")
    c.say(932, top - 20, "chance", color=GREY, weight="bold")
    for loss in np.arange(0, deep + 1, 2):
        if abs(y(loss) - y(blind)) > 6:
            c.line(66, y(loss), 924, y(loss), FAINT)
        c.say(58, y(loss), f"{loss:.0f}", 9.5, GREY, "right", "center_baseline")
        c.say(932, y(loss), _tick(loss), 9.5, GREY, va="center_baseline")
    wide, worst = min(0.6 * (x(1) - x(0)), 56), int(cost.argmax())
    low = {i: max(cost[i], 0.03) for i in range(len(words))}
    for i, word in enumerate(words):
        bad = i == worst and cost[i] > blind
        middle, hue = x(i + 0.5), RED if bad else BLUE
        c.say(middle, top - 18, word, 13, dark(RED) if bad else INK, "center", weight="bold", mono=True)
        c.bar(middle - wide / 2, top, wide, y(low[i]) - top, hue)
    c.line(66, y(blind), 924, y(blind), INK, 1.6, (4, 2.5))
    c.say(66, y(blind) + 19, f"a blind guess among {vocab} words: ln {vocab} = {blind:.2f}", 10.5, INK, halo=WHITE)
    for i in range(len(words)):
        hue, under = RED if i == worst and cost[i] > blind else BLUE, y(low[i])
        if y(blind) - 34 < under < y(blind) + 4:            # no number on the line: beneath it
            under = y(blind) + 24 * (x(i + 0.5) < 400)
        c.say(x(i + 0.5), under + 20, f"{cost[i]:.2f}", 12, dark(hue), "center", weight="bold", halo=WHITE)
        c.say(x(i + 0.5), under + 36, _percent(chance[i]), 9.5, GREY, "center", halo=WHITE)
    rest = np.delete(cost, worst).mean()
    c.run(66, top + 318, [(f"mean of the {len(words)} words = the loss: {cost.mean():.2f}", INK, "bold"),
                          (f"   without “{words[worst]}”: {rest:.2f}", GREY)], 11)


def _threads(c, left, words, name, shift, loss, written, lowest):
    """Five words in, the five that are asked for, and threads between a word and itself."""
    right = shift == 1
    color, step, ins, outs = dark(RIGHT if right else WRONG), 57, range(5), range(shift, shift + 5)
    c.run(left, 526, [(f"{'✓' if right else '✗'} {name}  ", color, "bold"), (f"loss {loss:.2f}", INK, "bold")], 12)
    for row, (places, y) in enumerate(((ins, 564), (outs, 646))):
        for column, place in enumerate(places):
            hue = WORDS[place]
            c.say(left + 20 + step * column, y, words[place], 11, dark(hue), "center", weight="bold", mono=True)
            if row == 0 and place in outs:
                c.rope(left + 20 + step * column, 574, left + 20 + step * (place - shift), 630, 7, tint(hue, 0.2))
    said = SHIFTS[shift] if not lowest or right else "the lowest loss, the worst model: it copies"
    c.say(left, 677, said, 10, GREY)
    c.say(left, 699, written, 10.5, color, weight="bold", mono=True)


def _tick(loss):
    """The chance whose surprise is `loss`: in per cent, or as a power of e where that is too small to read."""
    short = float(f"{100 * np.exp(-loss):.2g}")
    return f"{short:g} %" if short > 0.01 else f"e⁻{f'{loss:.0f}'.translate(dict(zip(map(ord, '0123456789'), RAISED)))}"


def _percent(chance):
    """A chance in per cent, or as 1 in many where it is small."""
    if chance < 0.005:
        return f"1 in {1 / chance:,.0f}"
    return f"{100 * chance:.0f} %" if chance < 0.995 else f"{100 * chance:.1f} %"
