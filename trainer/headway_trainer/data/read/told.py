"""What reading did that people should know, as sentences. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from headway_trainer.data.content import ColumnFacts
from headway_trainer.data.read.yaml_keys import key

MOST = 10
"""Columns that a kind of sentence is said of one by one; the others are counted."""


def column_warnings(facts: Mapping[str, ColumnFacts], text: frozenset[str]) -> list[str]:
    """What may have cost values. text are the columns that hold text."""
    words, written, inexact, zeros = [], [], [], []
    for name, fact in facts.items():
        if fact.empty_words and name in text:
            words.append(
                f"Column {name!r}: {' and '.join(fact.words)} without quotes, in {fact.empty_words} rows, was taken as "
                "an empty value; data.read.nullValues: [] keeps it as text."
            )
        if fact.written:
            written.append(
                f"Column {name!r} holds {fact.written}; data.columns: {{{key(name)}: {{kind: text}}}} keeps the text."
            )
        if fact.inexact:
            inexact.append(_inexact(name, fact, is_text=name in text))
        if fact.leading_zeros and name in text:
            zeros.append(
                f"Column {name!r} stayed text, as {fact.leading_zeros} of its numbers begin with a zero, like codes; "
                f"data.columns: {{{key(name)}: {{kind: number}}}} makes numbers of them."
            )
    return [sentence for kind in (words, written, inexact, zeros) for sentence in _bounded(kind)]


def _inexact(name: str, fact: ColumnFacts, *, is_text: bool) -> str:
    if is_text:
        return (
            f"Column {name!r} stayed text, as {fact.inexact} of its whole numbers have more digits than numbers can "
            f"hold; data.columns: {{{key(name)}: {{kind: number}}}} rounds them."
        )
    return (
        f"Column {name!r} has {fact.inexact} whole numbers beyond 2^53, which are rounded where it is a feature; "
        f"if they name something, write data.columns: {{{key(name)}: {{kind: id}}}}."
    )


def _bounded(sentences: list[str]) -> list[str]:
    more = len(sentences) - MOST
    return sentences[:MOST] + ([f"The same holds for {more} more columns."] if more > 0 else [])
