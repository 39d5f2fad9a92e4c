"""Text as a sequence: the numbers of its tokens in a vocabulary of the training rows. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from headway_api.base import StatusSection
from headway_api.model import TokenOptions
from headway_trainer.data.transform.counting import BoundedCounts
from headway_trainer.data.transform.graph import Graph, Tensor

Floats = npt.NDArray[np.float64]
Unit = Literal["word", "character"]

PADDING, UNKNOWN, FIRST = 0, 1, 2
"""What stands after a text's end; a token that is not in the vocabulary; the most frequent token."""
FEWEST = 2
"""A token that is there once says which row it is, and nothing of others."""
_MOST_FORMS = 8
"""Ways to write a word that are kept, the most frequent ones."""
_ROWS = 4096
"""Rows whose texts are held as Python's at once."""
_SPACE = " \t\n\r\x0b\x0c\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_ASCII = r"""!"#$%&()*+,./:;<=>?@\[\]\\^`{|}~"""
_SIGNS = "\xa1\xab\xb7\xbb\xbf\u2010-\u2018\u201a-\u2027"
_WIDE_SIGNS = "\u3001\u3002\u3008-\u3011\uff01\uff08\uff09\uff0c\uff0e\uff1a\uff1b\uff1f"
SEPARATORS = f"[{_SPACE}{_ASCII}{_SIGNS}{_WIDE_SIGNS}]"
"""What no word holds, as a class of a regular expression: listed, as Unicode's tables differ by version."""
_WORD = re.compile(f"[^{SEPARATORS[1:]}+")
_EDGES = "'-_\N{RIGHT SINGLE QUOTATION MARK}"
"""Signs that belong to a word within it, as in `don't`, and not at its ends."""


class Tokens(StatusSection):
    """One column of text, as the numbers of its first tokens; 0 after its end. A missing text has no token.

    How a word is written is told from the training rows, as with a bag of words: `Great` and `GREAT` are one word, and
    it is known in lower case, with a capital, in capitals, and in each other way in which it was seen often. So no
    locale has to agree between training and serving.
    """

    kind: Literal["tokens"] = "tokens"
    inputs: tuple[str]
    """The column."""
    unit: Unit = "word"
    """What a token is."""
    length: int
    """The tokens of a text that are kept."""
    vocabulary: int
    """The tokens that are known: their numbers are from 2 to vocabulary + 1; 1 is any other."""
    forms: dict[str, int] = Field(default_factory=dict, exclude=True)
    """How a token may be written, and its number. Not in the record, but in a file beside it."""
    seen: int = 0
    """The training rows that have a text."""
    cut: int = 0
    """Of them, those with more tokens than are kept."""
    letters: float = 0.0
    """The characters of a token, on average over the training rows."""

    @staticmethod
    def fit(name: str, train: pa.ChunkedArray, options: TokenOptions) -> Tokens:
        """By the column's values in the training rows; equally frequent words go by the alphabet.

        Counts are exact up to MOST_COUNTED different words, and then off by as little as BoundedCounts says.
        """
        split, counts = partial(tokens_of, options.tokens), BoundedCounts()
        seen = cut = letters = tokens = 0
        for text in _texts(train):
            found = split(text)
            counts.add(found)
            seen += 1
            cut += len(found) > options.length
            tokens += len(found)
            letters += len(text) - text.count(" ")
        vocabulary, forms = _numbered(counts.counts, options.vocabulary)
        return Tokens(
            inputs=(name,),
            unit=options.tokens,
            length=options.length,
            vocabulary=vocabulary,
            forms=forms,
            seen=seen,
            cut=cut,
            letters=letters / max(1, tokens),
        )

    @property
    def outputs(self) -> tuple[str, ...]:
        """`column[0]`, `column[1]`, ... for the tokens."""
        return tuple(f"{self.inputs[0]}[{index}]" for index in range(self.length))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """A text for each row, empty where it is missing."""
        return (Tensor(name=self.inputs[0], type="string", shape=(1,)),)

    @property
    def quantities(self) -> tuple[bool, ...]:
        """Numbers of tokens are names, so none of them is scaled."""
        return (False,) * self.length

    def apply(self, table: pa.Table) -> Floats:
        """(rows, length)."""
        return self.numbers(table[self.inputs[0]].fill_null("").to_pylist())

    def numbers(self, texts: Iterable[str]) -> Floats:
        """(texts, length). Raises ValueError where the vocabulary was not read."""
        forms, split = self._known(), partial(tokens_of, self.unit)
        rows = [[forms.get(token, UNKNOWN) for token in split(text)[: self.length]] for text in texts]
        out = np.full((len(rows), self.length), float(PADDING))
        for index, row in enumerate(rows):
            out[index, : len(row)] = row
        return out

    def onnx(self, graph: Graph) -> str:
        """The value (rows, length), double."""
        flat = graph.node("Reshape", graph.input(self.tensors[0]), _integers(graph, -1))
        # ONNX's own StringSplit knows blanks alone, and a line's end would glue two words together.
        tokens = graph.tokens(flat, SEPARATORS if self.unit == "word" else "")
        forms = self._known()
        numbers = graph.node(
            "LabelEncoder",
            tokens,
            domain="ai.onnx.ml",
            keys_strings=["", *forms],
            values_int64s=[PADDING, *forms.values()],
            default_int64=UNKNOWN,
        )
        padded = graph.node("Pad", numbers, _integers(graph, 0, 0, 0, self.length), _integer(graph, PADDING))
        kept = graph.node("Slice", padded, _integers(graph, 0), _integers(graph, self.length), _integers(graph, 1))
        return graph.node("Cast", kept, to="double")

    def _known(self) -> Mapping[str, int]:
        if self.vocabulary and not self.forms:
            raise ValueError(f"the vocabulary of {self.inputs[0]} was not read")
        return self.forms


def fit_tokens(options: TokenOptions) -> Callable[[str, pa.ChunkedArray], Tokens]:
    """What fits a column of text to become tokens of these options."""
    return partial(Tokens.fit, options=options)


def tokens_of(unit: Unit, text: str) -> list[str]:
    """The tokens of a text, as they are written."""
    return list(text) if unit == "character" else _WORD.findall(text)


def _texts(column: pa.ChunkedArray) -> Iterator[str]:
    """The texts that are there, few at a time."""
    for start in range(0, len(column), _ROWS):
        yield from (text for text in column.slice(start, _ROWS).to_pylist() if text)


def _plain(form: str) -> str:
    """The token that a way to write it stands for."""
    return form.strip(_EDGES).casefold() or form


def _numbered(counts: Counter[str], most: int) -> tuple[int, dict[str, int]]:
    """How many tokens are known, and the number of each way to write them."""
    tokens: Counter[str] = Counter()
    written: defaultdict[str, list[str]] = defaultdict(list)
    for form, count in counts.most_common():
        tokens[_plain(form)] += count
        written[_plain(form)].append(form)
    frequent = [(token, count) for token, count in tokens.items() if count >= FEWEST]
    known = sorted(frequent, key=lambda pair: (-pair[1], pair[0]))[:most]
    forms: dict[str, int] = {}
    for number, (token, _) in enumerate(known, start=FIRST):
        common = sorted(written[token], key=lambda form: (-counts[form], form))[:_MOST_FORMS]
        # The capital of the Turkish i without a dot is that of the other i, too, and stands for that.
        cases = [form for form in (token.capitalize(), token.upper()) if _plain(form) == token]
        for form in (token, *cases, *common):
            forms.setdefault(form, number)
    return len(known), forms


def _integers(graph: Graph, *values: int) -> str:
    return graph.constant(np.array(values, dtype=np.int64))


def _integer(graph: Graph, value: int) -> str:
    return graph.constant(np.array(value, dtype=np.int64))
