"""Which metrics and labels a PromQL expression speaks of. It reads names only: promtool judges the grammar. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r'(?P<text>"(?:\\.|[^"\\])*")|(?P<range>\[[^\]]*\])|(?P<number>\d[\w.]*)|(?P<name>[a-zA-Z_:][\w:]*)|(?P<other>\S)'
)
_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan", "atan2"}
_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
BUILT_IN = {"__rate_interval": "1m", "__range": "6h", "__interval": "30s"}
"""Grafana's own variables in expressions, and what they may be."""


@dataclass
class Names:
    """What an expression speaks of."""

    selects: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    """Each metric, with the labels that it is selected by."""
    grouped: set[str] = field(default_factory=set)
    """Labels that series are grouped, matched or joined by."""
    made: set[str] = field(default_factory=set)
    """Labels that label_replace makes."""
    counted: set[str] = field(default_factory=set)
    """Metrics that stand alone in a range, as what rate and increase take does."""


def filled(expr: str, values: Mapping[str, str]) -> str:
    """An expression with values in place of `$name` and `${name}`, as Grafana puts them there."""
    return re.sub(r"\$\{(\w+)\}|\$([a-zA-Z_]\w*)", lambda found: values[found[1] or found[2]], expr)


def made_up(expr: str) -> str:
    """An expression with some value in place of each variable."""
    return filled(expr, dict.fromkeys(variables(expr), "1") | BUILT_IN)


def variables(text: str) -> set[str]:
    """The names of the variables in a text, without the parts behind a dot or a colon."""
    return {one or other for one, other in re.findall(r"\$\{(\w+)[^}]*\}|\$([a-zA-Z_]\w*)", text)}


def names(expr: str) -> Names:
    """What an expression speaks of; its variables have to be filled in."""
    found = Names()
    tokens = list(_tokens(expr))
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        if kind != "name" or text in _WORDS:
            at += 1
        elif text in _LISTS:
            at = _list(tokens, at + 1, found)
        elif following == "(":
            if text == "label_replace":
                found.made |= _made(tokens, at + 1)
            at += 1
        elif following in _LISTS:  # sum by (...)
            at += 1
        else:
            at = _selector(tokens, at, found)
    return found


def ranges(expr: str) -> list[str]:
    """The lengths of time in an expression, without brackets."""
    return [text[1:-1] for kind, text in _tokens(expr) if kind == "range"]


def _tokens(expr: str) -> Iterator[tuple[str, str]]:
    for match in _TOKEN.finditer(expr):
        yield match.lastgroup or "", match.group()


def _list(tokens: list[tuple[str, str]], at: int, found: Names) -> int:
    if at >= len(tokens) or tokens[at][1] != "(":
        return at
    while tokens[at][1] != ")":
        if tokens[at][0] == "name":
            found.grouped.add(tokens[at][1])
        at += 1
    return at + 1


def _made(tokens: list[tuple[str, str]], at: int) -> set[str]:
    """The second argument of a label_replace whose parenthesis opens at a place."""
    depth, comma = 0, 0
    for kind, text in tokens[at:]:
        if text in "({":
            depth += 1
        elif text in ")}":
            depth -= 1
        elif text == "," and depth == 1:
            comma += 1
        elif kind == "text" and depth == 1 and comma == 1:
            return {text.strip('"')}
    return set()


def _selector(tokens: list[tuple[str, str]], at: int, found: Names) -> int:
    metric, labels = tokens[at][1], set()
    at += 1
    if at < len(tokens) and tokens[at][1] == "{":
        while tokens[at][1] != "}":
            if tokens[at][0] == "name":
                labels.add(tokens[at][1])
            at += 1
        at += 1
    found.selects.append((metric, frozenset(labels)))
    if at < len(tokens) and tokens[at][0] == "range":
        found.counted.add(metric)
    return at
