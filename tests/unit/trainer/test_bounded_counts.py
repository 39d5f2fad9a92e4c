"""Words of any number of texts are counted in bounded memory, off by no more than is told."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from functools import partial

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api.model import TokenOptions
from headway_trainer.data.transform import Words, fit_tokens, tokens, words
from headway_trainer.data.transform.counting import BoundedCounts

TEXTS = st.lists(st.lists(st.sampled_from([f"w{index}" for index in range(30)]), max_size=8), max_size=60)


@given(texts=TEXTS, most=st.integers(2, 40))
def test_no_count_is_above_the_true_one_or_below_it_by_more_than_is_told(texts: list[list[str]], most: int) -> None:
    bounded = BoundedCounts(most)
    for text in texts:
        bounded.add(text)
    true = Counter(word for text in texts for word in text)
    off = {word: count - bounded.counts[word] for word, count in true.items()}
    assert all(0 <= one <= 2 * true.total() / most for one in off.values())
    assert len(bounded.counts) <= most
    assert len(true) > most or bounded.counts == true, "few different words are counted exactly"


def test_words_of_a_column_are_those_of_all_its_rows_however_many_rare_ones_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = [f"Good tea rare{index} odd{index}" for index in range(500)] + ["bad tea"] * 90
    column = pa.chunked_array([texts])
    exact = Words.fit("t", column)
    monkeypatch.setattr(words, "BoundedCounts", partial(BoundedCounts, 50))
    assert exact.words == Words.fit("t", column).words == ("tea", "good", "bad")
    assert exact.forms == Words.fit("t", column).forms == {"tea": 0, "good": 1, "Good": 1, "bad": 2}


def test_memory_does_not_grow_with_the_words_of_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "BoundedCounts", partial(BoundedCounts, 1000))
    monkeypatch.setattr(words, "_REMEMBERED", 100)

    def peak(rows: int) -> int:
        column = pa.chunked_array([pa.array([f"word{index} of tea{index}" for index in range(rows)])])
        tracemalloc.start()
        try:
            Words.fit("t", column)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # As many rows as are Python's at once, and four times as many.
    assert peak(2**16) < 1.2 * peak(2**14)


def test_a_vocabulary_is_counted_in_as_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "BoundedCounts", partial(BoundedCounts, 20))
    column = pa.chunked_array([[f"tea rare{index} tea" for index in range(200)]])
    fitted = fit_tokens(TokenOptions(length=2))("t", column)
    assert fitted.apply(pa.table({"t": ["tea rare7"]})).tolist() == [[2, 1]]
