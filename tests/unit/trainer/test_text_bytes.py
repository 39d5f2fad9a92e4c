"""The bytes of texts tell the same as patterns do, value by value."""

from __future__ import annotations

import re

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from headway_trainer.data.read.text_bytes import TextBytes

TEXTS = st.lists(st.text("0123x.+-eX9ä", min_size=1, max_size=20), min_size=1, max_size=30)


@given(TEXTS, st.integers(0, 5), st.integers(0, 5))
def test_what_the_bytes_tell_is_what_patterns_tell_of_any_slice_of_a_column(
    texts: list[str], before: int, after: int
) -> None:
    told = TextBytes(
        pa.array(["0123."] * before + texts + ["+0.55555555555555555555555"] * after)[before:][: len(texts)]
    )
    assert told.leading_zeros == sum(re.match(r"0[\dxX]", one, re.ASCII) is not None for one in texts)
    assert told.longest == max(len(one.encode()) for one in texts)
    assert told.has_point == any("." in one for one in texts)
    assert told.has_plus == any(one.startswith("+") for one in texts)
