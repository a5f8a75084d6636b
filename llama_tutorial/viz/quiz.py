"""A quiz whose key is computed: options in a shuffled order, answers that fold out, no scripts."""

import html
import random


def quiz(*questions, seed=0):
    """Questions with their options shuffled; the answer folds out and says which mistake leads to each wrong one.

    A question is (text, right, {wrong: the mistake that gives it}); `right` and the wrong options are what a cell has
    computed, shown as text. ValueError where a wrong option equals the right one: then the question decides nothing.
    """
    shuffle, asked = random.Random(seed).sample, []
    for text, right, wrong in questions:
        options = {str(right): "right", **{str(option): mistake for option, mistake in wrong.items()}}
        if len(options) != 1 + len(wrong) or not wrong:
            raise ValueError(f"a question needs options that differ, and {text!r} has {[str(right), *map(str, wrong)]}:"
                             " change its numbers")
        asked.append((text, str(right), {option: options[option] for option in shuffle(sorted(options), len(options))}))
    return Quiz(asked)


class Quiz:
    """The questions as HTML for a notebook and as plain text elsewhere."""

    def __init__(self, questions):
        self.questions = questions       # (text, right, {option: "right" or the mistake})

    def __repr__(self):
        lines, key = [], []
        for number, (text, right, options) in enumerate(self.questions, start=1):
            lines += [f"{number}. {text}", *(f"   {letter}) {option}" for letter, option in zip("abcdef", options))]
            key.append(f"{number}{'abcdef'[[*options].index(right)]}")
        return "\n".join([*lines, f"Key: {', '.join(key)}"])

    def _repr_html_(self):
        told = []
        for number, (text, right, options) in enumerate(self.questions, start=1):
            lines = [f"{letter}) {html.escape(option)}" for letter, option in zip("abcdef", options)]
            why = [f"<b>{line}</b> ✓" if option == right else f"{line} ✗ {html.escape(options[option])}"
                   for line, option in zip(lines, options)]
            told.append(f'<div style="margin:12px 0"><b>{number}.</b> {html.escape(text)}<br>'
                        f'{" &nbsp; ".join(lines)}<details><summary style="cursor:pointer;opacity:0.7">answer</summary>'
                        f'{"<br>".join(why)}</details></div>')
        return f'<div style="font-family:sans-serif;font-size:14px;line-height:1.6">{"".join(told)}</div>'
