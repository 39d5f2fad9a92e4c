"""Kubernetes quantities."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api import quantities


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", "0.5"),
        ("2", "2"),
        (2, "2"),
        (0, "0"),
        ("0.5", "0.5"),
        ("1k", "1000"),
        ("1Ki", "1024"),
        ("1M", "1e6"),
        ("8Gi", str(8 * 2**30)),
        ("1.5Gi", str(3 * 2**29)),
        ("1T", "1e12"),
        ("1Ti", str(2**40)),
        ("1P", "1e15"),
        ("1Pi", str(2**50)),
    ],
)
def test_a_quantity_is_read_in_its_base_unit(text: str | int, value: str) -> None:
    assert quantities.parse(text) == Decimal(value)


@pytest.mark.parametrize(
    "text", ["", "Gi", "1GB", "1e3", "-1", " 1", "1 ", "1Gi\n", "1,5", "½", "0x1", ".5", True, -1, "9" * 33]
)
def test_what_is_no_quantity_is_refused_with_the_allowed_form(text: str | int) -> None:
    with pytest.raises(ValueError, match="500m, 2 or 8Gi"):
        quantities.parse(text)


@given(st.from_regex(quantities.PATTERN, fullmatch=True).filter(lambda text: len(text) <= quantities.MAX_LENGTH))
def test_what_the_pattern_of_the_schema_allows_can_be_read(text: str) -> None:
    if not re.search(r"[^\x00-\x7f]", text):
        assert quantities.parse(text) >= 0
