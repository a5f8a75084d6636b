"""What a page keeps folded until the reader asks: an answer, a drawing beside the road, the key of a quiz.

Made of <details>, which JupyterLab keeps in stored and untrusted outputs, without a script.
"""

import html
import random

from .cards import Picture

SUMMARY = '<summary style="display:block;cursor:pointer;font-weight:bold">▸ {}</summary>'


def fold(summary, *contents):
    """Display `summary` as a line that opens: beneath it figures, narrations, and texts as they would be printed."""
    parts = [Picture(each) if hasattr(each, "savefig") else each for each in contents]
    _display(Page(_details(summary, "".join(_html(part) for part in parts)), "\n".join(map(str, [summary, *parts]))))


def quiz(*questions, seed=0):
    """Display questions with options in an order that `seed` shuffles; each answer folds out.

    A question is (text, right option, {wrong option: the mistake that gives it, …}), and a reason if one is needed.
    Raises ValueError for one without a wrong option, or with two options that read the same.
    """
    pages, texts, shuffle = [], [], random.Random(seed).shuffle
    for number, (question, right, wrong, *reason) in enumerate(questions, start=1):
        told = {str(option): mistake for option, mistake in wrong.items()}
        options = [str(right), *told]
        if not told or str(right) in told or len(told) != len(wrong):
            raise ValueError(f"a question has one right option and wrong ones that read otherwise, got {right!r} and "
                             f"{[*wrong]} for {question!r}")
        shuffle(options)
        letters = dict(zip(options, "abcdefgh"))
        listed = [f"{letter}) {option}" for option, letter in letters.items()]
        answer = [f"✓ {letters[str(right)]}) {reason[0] if reason else right}"]
        answer += sorted(f"✗ {letters[option]}) {why}" for option, why in told.items())
        lines = "<br>".join(f"&emsp;{html.escape(line)}" for line in listed)
        key = "".join(f"<div>&emsp;{html.escape(line)}</div>" for line in answer)
        asked = f'<p style="margin-top:1.2em"><b>{number}.</b> {html.escape(question)}<br>{lines}</p>'
        pages.append(asked + _details("answer", key))
        texts += [f"{number}. {question}", *(f"   {line}" for line in listed), f"   answer: {'; '.join(answer)}"]
    _display(Page("".join(pages), "\n".join(texts)))


class Page:
    """HTML for a notebook, and the same as text for a terminal."""

    def __init__(self, page, text):
        self.page, self.text = page, text

    def _repr_html_(self):
        return self.page

    def __repr__(self):
        return self.text


def _display(page):
    try:
        from IPython.display import display
    except ImportError:
        display = print
    display(page)


def _details(summary, inner):
    return f"<details>{SUMMARY.format(html.escape(summary))}{inner}</details>"


def _html(part):
    """What shows itself as HTML, such as a Picture or a narration, or text as it would be printed."""
    return part._repr_html_() if hasattr(part, "_repr_html_") else f"<pre>{html.escape(str(part))}</pre>"
