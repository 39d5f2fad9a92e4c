"""Whatever stands in an object, or in a file of a tenant's, is read as the type that was asked for, or as nothing."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from headway_cli.cluster.fields import entries, number, numbers, text, texts, whole

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=2), inner))


@given(ANYTHING)
@example(10**400)
@example(-(10**400))
@example(math.inf)
def test_whatever_stands_there_is_of_the_type_that_was_asked_for_or_none(value: Any) -> None:
    found = {"a": value}
    assert isinstance(text(found, "a"), str)
    for told in (number(found, "a"), *numbers(found, "a").values()):
        assert told is None or isinstance(float(told), float), "and can be drawn"
    assert isinstance(whole(found, "a"), int | None)
    assert all(isinstance(each, dict) for each in entries(found, "a"))
    assert all(isinstance(each, str) for each in texts(found, "a").values())


def test_a_step_of_four_hundred_digits_in_a_file_is_no_step() -> None:
    assert whole(json.loads(f'{{"step": {"9" * 400}}}'), "step") is None
    assert whole({"step": 2**63}, "step") == 2**63
