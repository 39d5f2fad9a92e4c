"""Lines cut into parts: what is on the storage is what was printed, in order, up to the cap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_trainer.logs import parts as parts_module
from headway_trainer.logs.parts import Part, Parts
from headway_trainer.logs.sources import rank

PART, KEPT, WAITING = 64, 4, 3
LONGEST = 150
"""Bytes of a line. At once it fills no more parts than may wait: else a storage that never fails loses lines too."""
LINES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=LONGEST).map(
        lambda line: line.encode()[:LONGEST].decode(errors="ignore")
    ),
    max_size=8,
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "PART_BYTES", PART)
    monkeypatch.setattr(parts_module, "PARTS_KEPT", KEPT)
    monkeypatch.setattr(parts_module, "PARTS_WAITING", WAITING)


class Disk:
    """A folder that takes parts."""

    def __init__(self) -> None:
        self.source = rank(0)
        self.files: dict[str, bytes] = {}

    def write(self, parts: Parts, *, fails: bool = False) -> bool:
        """Write one part; whether there was one that could be written."""
        part = parts.take()
        if part is None:
            return False
        if fails:
            parts.failed(part)
            return False
        self.files[self.source.file(part.number)] = part.data
        for number in parts.written(part):
            self.files.pop(self.source.file(number), None)
        return True

    def write_all(self, parts: Parts) -> None:
        while parts.is_due:
            assert self.write(parts)

    def read(self) -> bytes:
        """As `cat rank-0.log rank-0.*.log` gives it."""
        first = self.source.file(0)
        return b"".join(self.files[name] for name in sorted(self.files, key=lambda name: (name != first, name)))


def text_of(lines: list[str]) -> bytes:
    return b"".join(line.encode() + b"\n" for line in lines)


@given(batches=st.lists(LINES, max_size=12), data=st.data())
def test_what_is_written_is_what_was_printed_in_order_and_nothing_is_lost_below_the_cap(
    batches: list[list[str]], data: st.DataObject
) -> None:
    parts, disk, printed = Parts(), Disk(), list[str]()
    for batch in batches:
        for line in batch:
            parts.add([line])
            printed.append(line)
            # The storage may fail, but never for so long that too much waits.
            for fails in data.draw(st.lists(st.booleans(), max_size=2)):
                disk.write(parts, fails=fails)
            while len(parts._waiting) >= WAITING - 2:
                disk.write(parts)
    disk.write_all(parts)
    assert parts.lost == 0
    whole = text_of(printed)
    if not any(number > 0 for number in range(1, parts._deleted + 1)):
        assert disk.read() == whole
    first = disk.files.get("rank-0.log", b"")
    rest = disk.read()[len(first) :]
    assert whole.startswith(first)
    assert whole.endswith(rest)
    assert len(disk.files) <= KEPT
    assert all(len(content) <= PART for content in disk.files.values())


@given(lines=st.lists(st.integers(0, 40), min_size=1, max_size=80), fails=st.lists(st.booleans(), max_size=80))
def test_each_line_is_kept_or_counted_where_it_is_missing(lines: list[int], fails: list[bool]) -> None:
    parts, told = Parts(), list[Part]()
    for index, length in enumerate(lines):
        parts.add([f"{index:03d}" + "." * length])
        if index < len(fails) and (part := parts.take()) is not None:
            if fails[index]:
                parts.failed(part)
            else:
                parts.written(part)
                told.append(part)
    while (part := parts.take()) is not None:
        parts.written(part)
        told.append(part)
    newest = {part.number: part for part in told}
    seen = missing = 0
    for _, part in sorted(newest.items()):
        for line in part.data.decode().splitlines():
            if line.startswith("[headway] "):
                missing += int(line.split()[1])
            else:
                assert int(line[:3]) == seen + missing, "lines are in order, and each gap is as long as it says"
                seen += 1
    assert seen + missing == len(lines)
    assert missing == parts.lost


def test_while_the_storage_is_away_memory_is_bounded() -> None:
    parts = Parts()
    for index in range(10_000):
        parts.add([f"line {index}"])
        if (part := parts.take()) is not None:
            parts.failed(part)
    assert sum(len(part.text) for part in parts._waiting) + len(parts._newest) <= (WAITING + 1) * PART
    assert parts.lost > 9_000


def test_the_first_part_and_the_newest_stay() -> None:
    parts, disk = Parts(), Disk()
    for index in range(100):
        parts.add([f"{index:07d}"])
        disk.write_all(parts)
    assert sorted(disk.files) == [
        "rank-0.000-00010.log",
        "rank-0.000-00011.log",
        "rank-0.000-00012.log",
        "rank-0.log",
    ]
    assert disk.read() == text_of([f"{index:07d}" for index in [*range(8), *range(80, 100)]])


def test_a_line_that_is_longer_than_a_part_is_cut_and_whole_when_joined() -> None:
    parts, disk = Parts(), Disk()
    parts.add(["short", "x" * 150, "after"])
    disk.write_all(parts)
    assert disk.read() == text_of(["short", "x" * 150, "after"])


def test_the_newest_part_is_written_again_only_when_it_has_grown() -> None:
    parts, disk = Parts(), Disk()
    parts.add(["one"])
    assert disk.write(parts)
    assert not parts.is_due
    assert not disk.write(parts)
    parts.add(["two"])
    assert disk.write(parts)
    assert disk.files == {"rank-0.log": b"one\ntwo\n"}


def test_what_comes_while_a_part_is_written_is_due_after_it() -> None:
    parts = Parts()
    parts.add(["one"])
    part = parts.take()
    assert part is not None
    parts.add(["two"])
    parts.written(part)
    assert parts.is_due
    again = parts.take()
    assert again is not None
    assert again.data == b"one\ntwo\n"
