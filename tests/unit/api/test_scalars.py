"""What plain YAML scalars mean; the expected values are what sigs.k8s.io/yaml 1.6.0 makes of them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api.scalars import resolve

_SAME: list[tuple[str, Any]] = [
    ("", None),
    ("~", None),
    ("null", None),
    ("NULL", None),
    ("nUll", "nUll"),
    ("y", True),
    ("Yes", True),
    ("on", True),
    ("TRUE", True),
    ("n", False),
    ("No", False),
    ("OFF", False),
    ("tRue", "tRue"),
    ("1", 1),
    ("+1", 1),
    ("-0", 0),
    ("1_000", 1000),
    ("017", 15),
    ("08", 8),
    ("0o17", 15),
    ("0x1F", 31),
    ("-0b11", -3),
    ("1e3", 1000),
    ("1e-3", 0.001),
    ("1E5", 100_000),
    ("1.", 1),
    ("10.0", 10),
    (".5", 0.5),
    ("-.5", -0.5),
    ("1.5e3", 1500),
    ("1e400", "1e400"),
    ("9223372036854775807", 2**63 - 1),
    ("18446744073709551615", 2**64 - 1),
    ("18446744073709551616", float(2**64)),
    ("12:30", "12:30"),
    ("2001-01-01", "2001-01-01"),
    ("1e", "1e"),
    ("0x", "0x"),
    ("-", "-"),
    ("+", "+"),
    (".", "."),
    ("½", "½"),
    ("٣", "٣"),
    ("digits", "digits"),
    ("1Gi", "1Gi"),
]


@pytest.mark.parametrize(("text", "value"), _SAME)
def test_a_plain_scalar_means_what_it_means_to_kubectl(text: str, value: Any) -> None:
    assert (type(resolve(text)), resolve(text)) == (type(value), value)


@pytest.mark.parametrize(("text", "value"), [(".inf", math.inf), ("+.Inf", math.inf), ("-.INF", -math.inf)])
def test_infinity_is_read_so_that_it_can_be_refused(text: str, value: float) -> None:
    assert resolve(text) == value


def test_nan_is_read_so_that_it_can_be_refused() -> None:
    assert math.isnan(float(str(resolve(".nan"))))


def test_a_number_of_a_million_digits_is_a_string_and_takes_no_time() -> None:
    digits = "9" * 1_000_000
    assert resolve(digits) == digits


@given(st.text(alphabet="0123456789+-._eExXoObBaAfFinNyY~", max_size=12))
def test_no_scalar_raises(text: str) -> None:
    value = resolve(text)
    assert value is None or isinstance(value, str | bool | int | float)


@given(st.integers(-(2**63), 2**63 - 1))
def test_an_integer_is_read_as_it_was_written(number: int) -> None:
    assert resolve(str(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_read_as_it_was_written(number: float) -> None:
    assert resolve(repr(number)) == number
