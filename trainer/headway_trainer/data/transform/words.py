"""Text: a feature for each of the words that stand in most of the training rows. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headway_api.base import StatusSection
from headway_trainer.data.transform.counting import BoundedCounts
from headway_trainer.data.transform.graph import Graph, Tensor, rows_of_constant

Floats = npt.NDArray[np.float64]

MAX_WORDS = 100
"""Words that get a feature of their own."""
FEWEST_ROWS = 2
"""A word of a single row says which row it is, and nothing of others."""
_MOST_FORMS = 20
"""Ways to write a word that are kept, the most frequent ones."""
_SEPARATOR = " "
_ROWS_AT_ONCE = 2**14
_REMEMBERED = 2**16
"""Ways to write words of which it is remembered which word they are: most of a text are frequent ones."""
_WORD = re.compile(r"\w+")


class Words(StatusSection):
    """One column of text, as a bag of words: 1 where a row has the word, else 0. A missing text has no word.

    How a word is written is told from the training rows: `Great`, `great!` and `GREAT` are one word, and each way of
    writing it that was seen is kept. So nothing depends on a locale or on a regular expression where the model runs.
    """

    kind: Literal["text"] = "text"
    inputs: tuple[str]
    """The column."""
    words: tuple[str, ...]
    """The words, in lower case: the one that stands in most training rows first."""
    forms: dict[str, int]
    """How a word may be written between two blanks, and its index in `words`."""

    @staticmethod
    def fit(name: str, train: pa.ChunkedArray) -> Words:
        """By the column's values in the training rows; words in equally many rows go by the alphabet.

        Counts are exact up to MOST_COUNTED different words, and then off by as little as BoundedCounts says.
        """
        rows, seen = BoundedCounts(), BoundedCounts()
        word = lru_cache(_REMEMBERED)(word_of)
        for text in _texts(train):
            tokens = {token: plain for token in set(text.split(_SEPARATOR)) if (plain := word(token)) is not None}
            rows.add(set(tokens.values()))
            seen.add(tokens.keys())
        words = tuple(word for word, count in _most(rows.counts, MAX_WORDS) if count >= FEWEST_ROWS)
        return Words(inputs=(name,), words=words, forms=dict(_forms(words, seen.counts)))

    @property
    def outputs(self) -> tuple[str, ...]:
        """`column~word` for each word; the column's own name where there is none."""
        return tuple(f"{self.inputs[0]}~{word}" for word in self.words) or self.inputs

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """A text for each row, empty where it is missing."""
        return (Tensor(name=self.inputs[0], type="string", shape=(1,)),)

    @property
    def quantities(self) -> tuple[bool, ...]:
        """None of its features is scaled."""
        return (False,) * len(self.outputs)

    def apply(self, table: pa.Table) -> Floats:
        """(rows, words), or (rows, 1) of zeros where there is none."""
        texts = table[self.inputs[0]].fill_null("").to_pylist()
        out = np.zeros((len(texts), len(self.outputs)))
        for row, text in enumerate(texts):
            for token in text.split(_SEPARATOR):
                if (index := self.forms.get(token)) is not None:
                    out[row, index] = 1.0
        return out

    def onnx(self, graph: Graph) -> str:
        """The value (rows, words), double."""
        count = len(self.words)
        text = graph.input(self.tensors[0])
        if not count:
            return graph.node("Cast", graph.node("Not", graph.node("Equal", text, text)), to="double")
        flat = graph.node("Reshape", text, graph.constant(np.array([-1], dtype=np.int64)))
        tokens, _ = graph.outputs(2, "StringSplit", flat, delimiter=_SEPARATOR)
        ids = [graph.node("LabelEncoder", value, domain="ai.onnx.ml", **self._codes()) for value in (tokens, text)]
        # The whole text stands beside its tokens: a batch may have no token, and of nothing there is no maximum.
        rows = graph.node("Gather", graph.constant(rows_of_constant(count)), graph.node("Concat", *ids, axis=1), axis=0)
        return graph.node("ReduceMax", rows, graph.constant(np.array([1], dtype=np.int64)), keepdims=0)

    def _codes(self) -> dict[str, list[str] | list[int] | int]:
        return {
            "keys_strings": list(self.forms),
            "values_int64s": list(self.forms.values()),
            "default_int64": len(self.words),
        }


def _texts(values: pa.ChunkedArray) -> Iterator[str]:
    """The texts that are there, a few of them at once as Python has them."""
    for start in range(0, len(values), _ROWS_AT_ONCE):
        yield from values.slice(start, _ROWS_AT_ONCE).drop_null().to_pylist()


def word_of(token: str) -> str | None:
    """The word in what stands between two blanks, in lower case; none where it is no word, or more than one."""
    found = _WORD.findall(token)
    return found[0].casefold() if len(found) == 1 else None


def _most(counts: Mapping[str, int], most: int) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most]


def _forms(words: tuple[str, ...], seen: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    """The ways to write each word: as is, and as it was seen most often. seen: all tokens, and the rows of each."""
    forms: dict[str, dict[str, int]] = {word: {} for word in words}
    for token, rows in seen.items():
        # Told anew, as it is kept of the few words alone: a dict for each word of all texts takes most of the memory.
        if (plain := word_of(token)) in forms:
            forms[plain][token] = rows
    for index, word in enumerate(words):
        yield word, index
        for form, _ in _most(forms[word], _MOST_FORMS):
            yield form, index
