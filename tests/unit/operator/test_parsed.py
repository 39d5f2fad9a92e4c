"""What packed JSON says is read once, until it says something else."""

from __future__ import annotations

from typing import Any

import pytest

from headway_operator.engine.packed import Packed, pack
from headway_operator.engine.parsed import Parsed


class _Reader:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, packed: Packed) -> Any:
        self.count += 1
        value = packed.value()
        if value == "unreadable":
            raise ValueError(value)
        return value


def test_what_has_not_changed_is_read_once_and_what_has_is_read_again() -> None:
    parsed, read = Parsed[Any](4), _Reader()
    assert parsed.get("a", pack({"step": 1}), read) == {"step": 1}
    assert parsed.get("a", pack({"step": 1}), read) == {"step": 1}
    assert read.count == 1
    assert parsed.get("a", pack({"step": 2}), read) == {"step": 2}
    assert parsed.get("a", pack({"step": 1}), read) == {"step": 1}
    assert read.count == 3


def test_what_says_the_same_of_another_object_is_read_for_itself() -> None:
    parsed, read = Parsed[Any](4), _Reader()
    parsed.get("a", pack("same"), read)
    parsed.get("b", pack("same"), read)
    assert read.count == 2


def test_those_that_were_not_asked_for_longest_are_forgotten() -> None:
    parsed, read = Parsed[Any](2), _Reader()
    for uid in ("a", "b", "a", "c"):
        parsed.get(uid, pack(uid), read)
    assert len(parsed) == 2
    assert read.count == 3
    parsed.get("a", pack("a"), read)
    assert read.count == 3
    parsed.get("b", pack("b"), read)
    assert read.count == 4


def test_what_cannot_be_read_is_raised_each_time_and_takes_nothing_from_the_others() -> None:
    parsed, read = Parsed[Any](2), _Reader()
    parsed.get("a", pack("fine"), read)
    for _ in range(2):
        with pytest.raises(ValueError, match="unreadable"):
            parsed.get("b", pack("unreadable"), read)
    assert parsed.get("a", pack("fine"), read) == "fine"
    assert read.count == 3
