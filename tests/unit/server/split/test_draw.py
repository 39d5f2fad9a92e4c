"""Who meets which version: shares are exact, and a unit stays where it is."""

from __future__ import annotations

import os
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api.rollout_wire import Unit
from headway_server.split.draw import Assignment, fraction, set_cookie, unit_value

UNITS = 20_000
COOKIE = Unit(cookie="ab")


@given(st.binary(min_size=8, max_size=8))
def test_a_lot_is_a_number_from_0_up_to_1(data: bytes) -> None:
    assert 0.0 <= fraction(data) < 1.0


def test_lots_are_exact_to_far_below_a_ten_thousandth() -> None:
    assert fraction(b"\xff" * 8) == 1.0 - 2.0**-53
    assert fraction(bytes(6) + b"\x08\x00") == 2.0**-53


@pytest.mark.parametrize("share", [0.0005, 0.05, 0.5, 0.95])
def test_a_share_of_the_units_is_the_candidate_s(share: float) -> None:
    assignment = Assignment("salt")
    met = sum(assignment.of(b"user-%d" % index)[0] < share for index in range(UNITS))
    assert abs(met - UNITS * share) <= 4.5 * (UNITS * share * (1 - share)) ** 0.5


@given(st.binary(max_size=200), st.text(max_size=64))
def test_servers_that_know_the_salt_assign_a_unit_alike(unit: bytes, salt: str) -> None:
    number, name = Assignment(salt).of(unit)
    assert (number, name) == Assignment(salt).of(unit)
    assert 0.0 <= number < 1.0
    assert len(name) == 32


def test_another_salt_assigns_anew() -> None:
    units = [os.urandom(8) for _ in range(UNITS)]
    both = sum(Assignment("a").of(one)[0] < 0.5 and Assignment("b").of(one)[0] < 0.5 for one in units)
    assert abs(both - UNITS / 4) <= 4.5 * (UNITS * 3 / 16) ** 0.5


@pytest.mark.parametrize(
    ("unit", "headers", "found"),
    [
        (Unit(header="x-user"), [(b"x-user", b" 7 ")], b"7"),
        (Unit(header="x-user"), [(b"x-other", b"7")], None),
        (Unit(header="x-user"), [(b"x-user", b"")], None),
        (Unit(header="łódź"), [(b"x-user", b"7")], None),
        (Unit(), [(b"", b"7"), (b"x", b"7")], b"7"),
        (COOKIE, [(b"cookie", b"a=1; ab=7; b=2")], b"7"),
        (COOKIE, [(b"cookie", b'ab="7"')], b"7"),
        (COOKIE, [(b"cookie", b"xab=1;abx=2; ab")], None),
        (COOKIE, [(b"cookie", b"a=1"), (b"cookie", b"ab=2")], b"2"),
        (COOKIE, [(b"cookie", b"ab=")], None),
        (COOKIE, [(b"ab", b"7")], None),
    ],
)
def test_a_unit_is_read_from_the_header_or_cookie_that_the_route_names(
    unit: Unit, headers: list[tuple[bytes, bytes]], found: bytes | None
) -> None:
    assert unit_value(unit, headers) == found


def test_a_browser_gives_back_the_cookie_that_it_was_given() -> None:
    given_one = set_cookie("ab", "0f")
    assert given_one.startswith(b"ab=0f; Path=/;")
    assert unit_value(COOKIE, [(b"cookie", given_one)]) == b"0f"
    with pytest.raises(ValueError, match="no cookie"):
        set_cookie("ab", "a;b")
    with pytest.raises(ValueError, match="no cookie"):
        set_cookie("ab\r\nx", "0f")


@pytest.mark.parametrize("part", [b";", b"; ", b"ab;", b"a=1;"])
def test_a_cookie_is_found_without_taking_apart_all_that_a_client_has_sent(part: bytes) -> None:
    header = part * (30_000 // len(part)) + b"ab=7"
    unit_value(COOKIE, [(b"cookie", header)])
    tracemalloc.start()
    try:
        assert unit_value(COOKIE, [(b"cookie", header)]) == b"7"
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
