"""Records are written beside the requests: none waits for them, and memory and disk stay bounded."""

from __future__ import annotations

import gzip
import os
import threading
from collections import Counter
from pathlib import Path

import pytest

from headway_server.errors import BadModel
from headway_server.records import files, writer
from headway_server.records.files import Files
from headway_server.records.writer import MOST_WAITING, MOST_WAITING_BYTES, Writer


class Sink:
    """Keeps lines, until it is full."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.full = False
        self.tries = 0

    def write(self, lines: bytes) -> None:
        """As a disk."""
        self.tries += 1
        if self.full:
            raise OSError(28, "No space left on device")
        self.lines.append(lines)

    def close(self) -> None:
        """Nothing to do."""


class World:
    """A writer whose thread is the test."""

    def __init__(self) -> None:
        self.sink, self.counts, self.now = Sink(), Counter[tuple[str, str]](), 0.0
        self.writer = Writer(self.sink, self.count, lambda: self.now)

    def count(self, kind: str, result: str, lines: int) -> None:
        """As the metrics."""
        self.counts[kind, result] += lines

    def offer(self, size: int = 10, line: bytes = b"x\n") -> bool:
        """A record."""
        return self.writer.offer("request", size, lambda: line)


def test_beyond_what_may_wait_records_are_dropped_and_counted_and_later_ones_taken() -> None:
    world = World()
    assert all(world.offer() for _ in range(MOST_WAITING))
    assert not world.offer()
    world.writer.write_waiting()
    assert world.counts == {("request", "dropped"): 1, ("request", "written"): MOST_WAITING}
    assert world.offer()


def test_large_records_are_bounded_by_their_bytes() -> None:
    world = World()
    taken = sum(world.offer(2**20) for _ in range(100))
    assert taken == MOST_WAITING_BYTES // 2**20
    world.writer.write_waiting()
    assert world.offer(2**20)


def test_lines_are_made_a_few_at_a_time_however_many_wait() -> None:
    world = World()
    for _ in range(10):
        world.offer(10, b"x" * (600 * 1024))
    world.writer.write_waiting()
    assert len(world.sink.lines) == 5
    assert max(map(len, world.sink.lines)) == 2 * 600 * 1024


def test_a_full_disk_loses_records_for_a_while_and_is_not_asked_again_and_again() -> None:
    world = World()
    world.sink.full = True
    for _ in range(5):
        world.offer()
        world.writer.write_waiting()
    assert (world.sink.tries, world.writer.failing) == (1, True)
    assert world.counts == {("request", "failed"): 5}
    world.sink.full, world.now = False, 11.0
    assert not world.writer.failing
    world.offer()
    world.writer.write_waiting()
    assert world.sink.lines == [b"x\n"]


def test_a_record_that_cannot_be_made_costs_no_other() -> None:
    world = World()
    world.writer.offer("request", 1, lambda: b"%d" % (1 // 0))
    world.offer()
    world.writer.write_waiting()
    assert world.sink.lines == [b"x\n"]
    assert world.counts == {("request", "failed"): 1, ("request", "written"): 1}


def test_what_waits_at_the_end_is_written(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.writer.start()
    world.offer()
    world.writer.close()
    assert world.sink.lines == [b"x\n"]
    assert not caplog.records


def test_a_disk_that_hangs_holds_neither_requests_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_CLOSE_SECONDS", 0.01)
    world, free = World(), threading.Event()

    def hang(_: bytes) -> None:
        free.wait()

    monkeypatch.setattr(world.sink, "write", hang)
    world.writer.start()
    taken = sum(world.offer() for _ in range(3 * MOST_WAITING))
    assert taken < 3 * MOST_WAITING
    world.writer.close()
    free.set()


def read(folder: Path) -> list[bytes]:
    """All lines, the oldest file's first."""
    return [line for file in sorted(folder.iterdir()) for line in gzip.decompress(file.read_bytes()).splitlines()]


def test_files_can_be_read_while_they_are_written_and_begin_anew_by_time_and_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_764_428_400.0
    sink = Files(str(tmp_path), 2**30, lambda: now)
    sink.write(b"1\n")
    assert read(tmp_path) == [b"1"]
    sink.write(b"2\n")
    assert (read(tmp_path), len(list(tmp_path.iterdir()))) == ([b"1", b"2"], 1)
    now += 3601
    sink.write(b"3\n")
    assert (read(tmp_path), len(list(tmp_path.iterdir()))) == ([b"1", b"2", b"3"], 2)
    monkeypatch.setattr(files, "MOST_FILE_BYTES", 30)
    sink.write(b"4\n")
    sink.close()
    assert (read(tmp_path)[-1], len(list(tmp_path.iterdir()))) == (b"4", 3)
    assert all((file.stat().st_mode & 0o777) == 0o640 for file in tmp_path.iterdir())


def test_the_oldest_files_of_all_servers_go_and_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_FILE_BYTES", 100)
    others = [f"2025010{day}T000000Z-other-{day}-1.jsonl.gz" for day in (1, 2, 3)]
    for name in (*others, "labels.jsonl.gz", "notes.txt"):
        (tmp_path / name).write_bytes(b"x" * 100)
    outside = tmp_path.parent / "outside"
    outside.write_bytes(b"x" * 500)
    (tmp_path / "20240101T000000Z-other-1-1.jsonl.gz").symlink_to(outside)
    sink = Files(str(tmp_path), 300, lambda: 1_764_428_400.0)
    sink.write(b"1\n")
    sink.close()
    left = {file.name for file in tmp_path.iterdir()}
    assert set(others) & left == set(others[1:])
    assert {"labels.jsonl.gz", "notes.txt", "20240101T000000Z-other-1-1.jsonl.gz"} <= left
    assert outside.stat().st_size == 500


def test_a_write_that_fails_half_way_leaves_what_was_written_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Files(str(tmp_path), 2**30)
    sink.write(b"1\n")
    real = os.write

    def half(file: int, data: memoryview) -> int:
        if len(data) > 10:
            return real(file, data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space left"):
        sink.write(b"2\n")
    monkeypatch.undo()
    sink.write(b"3\n")
    sink.close()
    assert read(tmp_path) == [b"1", b"3"]


def test_a_folder_that_cannot_be_written_to_is_told_before_any_request(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadModel, match=r"records: the folder .*file/a cannot be made"):
        Files(str(tmp_path / "file/a"), 2**30).check()
    Files(str(tmp_path / "a/b"), 2**30).check()
    assert (tmp_path / "a/b").is_dir()
