"""Attention in words: shaded text to hover over, one line per head, without scripts."""

import html
import math

from .canvas import printable
from .cells import checked_weights, is_causal


def attention_html(weights, tokens, query=-1, more=None):
    """One line per head with the words shaded by their weight: hover for numbers, unfold for more queries.

    `weights` (query key) or (head query key), queries = keys; `query` is the number of the word that asks,
    `more` those to unfold, by default the four before it. No scripts: it survives in an untrusted notebook.
    """
    weights, tokens = checked_weights(weights, tokens, (2, 3))
    weights = weights.reshape(-1, *weights.shape[-2:])
    if weights.shape[1] != len(tokens) or not -len(tokens) <= query < len(tokens):
        raise ValueError("attention_html needs one row per token and a query among them, got "
                         f"{weights.shape} and query={query} for {len(tokens)} tokens: pass all rows, and a "
                         "token's number")
    query %= len(tokens)
    more = range(max(0, query - 4), query) if more is None else [each % len(tokens) for each in more]
    return HoverText(weights, [printable(token) for token in tokens], query, list(more))


class HoverText:
    """Attention in words: HTML for a notebook (`_repr_html_`), and one line per head as its repr."""

    def __init__(self, weights, words, query, more):
        self.weights, self.words, self.query, self.more = weights, words, query, more
        self.most = [int(head[query].argmax()) for head in weights]

    def _title(self):
        best = max(self.most, key=lambda most: (most != self.query, self.most.count(most)))
        how = f"in {self.most.count(best)} of {len(self.most)} heads"
        if len(self.most) == 1:
            how = f"with {self.weights[0, self.query, best]:.2f} of its attention"
        return f"“{self.words[self.query]}” looks most at “{self.words[best]}” {how}"

    def __repr__(self):
        lines = [f"head {number}: {self.words[self.query]} → {self.words[most]} {head[self.query, most]:.2f}"
                 for number, (head, most) in enumerate(zip(self.weights, self.most))]
        return "\n".join([self._title(), *lines])

    def _repr_html_(self):
        lines = ['<div style="font-family:sans-serif;font-size:14px;line-height:2.1">'
                 f'<div style="font-size:17px">{html.escape(self._title())}</div>'
                 '<div style="opacity:0.7">One line is one head; framed = who asks; deeper blue = more '
                 'weight; hover over a word for its number, ▾ unfolds.</div>']
        names = html.escape(", ".join(self.words[query] for query in self.more))
        hint = f'<span style="opacity:0.5;padding-left:24px">▾ {names}</span>' if self.more else ""
        for number, head in enumerate(self.weights):
            others = "".join(f'<div>{_NAME % ""}{self._line(head, query)}</div>' for query in self.more)
            lines.append(f'<details><summary style="display:block;cursor:pointer">{_NAME % f"head {number}"}'
                         f'{self._line(head, self.query)}{hint}</summary>{others}</details>')
        return "\n".join(lines) + "</div>"

    def _line(self, head, query):
        causal, most = is_causal(head), int(head[query].argmax())
        spans = [self._span(word, head[query, key], query, key, causal and key > query)
                 for key, word in enumerate(self.words)]
        return "".join(spans) + ('<span style="opacity:0.7;padding-left:12px">→ '
                                 f'{html.escape(self.words[most])} {head[query, most]:.2f}</span>')

    def _span(self, word, weight, query, key, unseen):
        frame = "#8a8f98" if key == query else "transparent"
        shade = "opacity:0.35" if unseen else f"background-color:rgba(23,79,148,{weight:.2f})"
        shade += ";color:#ffffff" if weight > 0.5 else ""
        note = "not yet said" if unseen else f"{self.words[query]} → {word}: {weight:.3f}"
        return (f'<span title="{html.escape(note)}" style="{shade};border:2px solid {frame};'
                f'border-radius:4px;padding:1px 5px;margin:1px">{html.escape(word)}</span>')


def surprise_html(tokens, surprises, repeated=None, name=""):
    """A text whose tokens are shaded by how much each surprised a reader: hover for the numbers.

    `surprises` in nats, −ln of what the reader gave the token; `repeated` True where a run was said before: underlined.
    """
    tokens, surprises = list(tokens), [float(each) for each in surprises]
    repeated = [False] * len(tokens) if repeated is None else [bool(each) for each in repeated]
    if not tokens or not len(tokens) == len(surprises) == len(repeated):
        raise ValueError("surprise_html takes as many surprises, and marks of repeats, as tokens, got "
                         f"{len(tokens)} tokens, {len(surprises)} surprises and {len(repeated)} marks")
    return SurprisedText(tokens, surprises, repeated, name)


class SurprisedText:
    """A text shaded by surprise: HTML for a notebook (`_repr_html_`), and one line as its repr."""

    def __init__(self, tokens, surprises, repeated, name):
        self.tokens, self.surprises, self.repeated, self.name = tokens, surprises, repeated, name

    def __repr__(self):
        mean = sum(self.surprises) / len(self.surprises)
        return f"{self.name}: {mean:.2f} nats of surprise a token, {sum(self.repeated)} tokens said before"

    def _repr_html_(self):
        spans = "".join(self._span(*each) for each in zip(self.tokens, self.surprises, self.repeated))
        return (f'<div style="font-family:sans-serif;font-size:14px;font-weight:bold">{html.escape(repr(self))}</div>'
                f'<div style="font-family:monospace;font-size:13px;line-height:1.9;white-space:pre-wrap">{spans}</div>')

    def _span(self, token, surprise, repeated):
        share = min(surprise / 8, 1) * 0.9
        shade = f"background-color:rgba(23,79,148,{share:.2f})" + (";color:#ffffff" if share > 0.5 else "")
        shade += ";border-bottom:2px solid #EE6677" if repeated else ""
        said = math.exp(-surprise)
        note = f"{printable(token)}: given {said:.3f}, surprise {surprise:.2f}" + (", said before" if repeated else "")
        return f'<span title="{html.escape(note)}" style="{shade}">{html.escape(token)}</span>'


_NAME = '<span style="display:inline-block;width:64px;font-weight:bold">%s</span>'
