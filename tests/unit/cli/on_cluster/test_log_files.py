"""Kept logs: which files there are and in which order, what of them is shown, and how they are followed."""

from __future__ import annotations

import io
import os
import tracemalloc
from pathlib import Path
from typing import ClassVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_cli.cluster import job_logs
from headway_cli.cluster.errors import MOST_WORDS, ClusterError, NotFoundError
from headway_cli.cluster.folders import CHUNK, MOST_LOG_BYTES, InPod
from headway_cli.cluster.following import Following
from headway_cli.cluster.kubectl import Stream
from headway_cli.cluster.log_files import MOST_LINE_BYTES, harmless, part_of, parts, wanted
from headway_trainer.logs.parts import PART_BYTES, PARTS_KEPT
from headway_trainer.logs.sources import DRIVER, Source, pod, rank
from local_folder import Local


@given(
    st.sampled_from(
        [DRIVER, pod("churn-f5438-1-worker-0-0"), *(rank(n, g) for n in (0, 2, 10, 1234) for g in (0, 3, 1200))]
    ),
    st.lists(st.integers(0, 120_000), unique=True, max_size=30),
)
def test_parts_are_found_and_ordered_as_the_trainer_names_them(source: Source, numbers: list[int]) -> None:
    names = [source.file(number) for number in numbers]
    names.reverse()
    found = parts([*names, "notes.txt", "rank-0.log.tmp", "../driver.log", "rank-0.1-1.log"])
    assert [part.file for part in found.get(source.name, [])] == [source.file(number) for number in sorted(numbers)]
    assert set(found) <= {source.name}


@pytest.mark.parametrize(
    "name", ["a/rank-0.log", "rank-0.log\n", "pod-../x.log", "rank-x.log", ".driver.log", "driver.logs"]
)
def test_a_name_that_leads_elsewhere_is_no_part(name: str) -> None:
    assert part_of(name) is None or "/" not in name


def test_sources_come_as_driver_ranks_by_number_and_pods() -> None:
    found = parts(["pod-b.log", "rank-10.log", "rank-9.log", "driver.log"])
    assert list(found) == ["driver", "rank-9", "rank-10", "pod-b"]
    assert wanted(found, None) == ["driver"]
    assert wanted(found, "all") == ["rank-9", "rank-10"]
    assert wanted(found, "09") == ["rank-9"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("step 1\tloss 2", "step 1\tloss 2"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("  0%|\r 50%|#\r100%|##", "100%|##"),
        ("done\r", "done"),
        ("  0%|\r100%|##\x1b[0m\r\x1b[0m\r", "100%|##"),
        ("\x1b]0;title\x07x", "\\u001b]0;title\\u0007x"),
        ("\x1b[2J\x1b[Hfake", "\\u001b[2J\\u001b[Hfake"),
        ("a\u202eb", "a\\u202eb"),
        ("\x9b31m", "\\u009b31m"),
        ("", ""),
    ],
)
def test_a_line_on_a_terminal_steers_nothing(line: str, shown: str) -> None:
    assert harmless(line) == shown


def test_of_a_long_progress_bar_the_last_state_is_shown_and_not_the_first_that_fits() -> None:
    assert harmless("\r".join(f"{percent}% {'#' * 50}" for percent in range(101)), 60) == f"100% {'#' * 50}"
    assert harmless("x" * 99, 60) == "x" * 60


@pytest.mark.parametrize("name", [f"rank-{'1' * 5000}.log", "rank-\u0663.log", f"pod-{'a' * 300}.log", "rank-1.log"])
def test_a_number_that_no_rank_has_is_none(name: str) -> None:
    assert list(parts([name, "driver.log"])) == ["driver", *(["rank-1"] if name == "rank-1.log" else [])]


def test_a_part_of_nothing_but_ends_of_lines_takes_no_more_than_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "driver.log").write_bytes(b"\n" * (4 << 20) + b"a\nb")
    tracemalloc.start()
    try:
        found = job_logs.last(Local(tmp_path), parts(["driver.log"])["driver"], 2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == ([b"", b"a"], b"b", (4 << 20) + 3)
    assert peak < 24 << 20


class Pod:
    """A pod that answers what its tenant likes."""

    def __init__(self, *answers: bytes) -> None:
        self._said = io.BytesIO(b"".join(answers))

    def write(self, data: bytes) -> None:
        """It does not listen."""

    def line(self) -> bytes:
        """The next line."""
        return self._said.readline(1 << 20)

    def read(self, size: int) -> bytes:
        """So many bytes."""
        return self._said.read(size)

    def end(self) -> tuple[int, str]:
        """It says nothing more."""
        return 1, ""


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"\n", b"nothing\n", b"[1]\n", b"{}\n", b'{"bytes": "2"}\n{}', b'{"bytes": null}\n', b'{"bytes": true}\n{',
        b'{"bytes": -1}\n', b'{"bytes": 1e999}\n', b'{"bytes": 99999999999}\n', b'{"bytes": 9}\n{}',
        b'{"bytes": 3}\n{"a', b'{"bytes": 9}\n{"a": "b"}', b'{"bytes": 8}\n{"a": -1}', b'{"bytes": 11}\n{"a": 1e999}',
        b'{"bytes": 2}\n[]', b'{"error": {"a": [1]}}\n', b'{"error": "' + b"x" * 100_000 + b'"}\n',
        b'{"a":' * 5000 + b"\n", b'{"bytes": 5000}\n' + b"[" * 5000,
    ],
)  # fmt: skip
def test_whatever_a_tenant_s_pod_answers_is_one_short_sentence(answer: bytes) -> None:
    with pytest.raises(ClusterError) as told:
        InPod(cast("Stream", Pod(answer))).files()
    assert 0 < len(str(told.value)) <= MOST_WORDS


@given(st.text(max_size=60))
def test_no_line_whatever_is_in_it_has_a_control_character_on_a_terminal(line: str) -> None:
    assert all(char == "\t" or char.isprintable() for char in harmless(line))


def write(folder: Path, name: str, *lines: str) -> None:
    """A part."""
    (folder / name).write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Two ranks, the first of which has had two groups."""
    write(tmp_path, "driver.log", "began", "ended")
    write(tmp_path, "rank-0.log", "a", "b")
    write(tmp_path, "rank-0.000-00001.log", "c")
    write(tmp_path, "rank-0.001-00000.log", "d")
    (tmp_path / "rank-1.log").write_bytes(b"x\nno end\xff")
    return tmp_path


@pytest.mark.parametrize(
    ("rank", "tail", "lines"),
    [
        (None, None, [("driver", "began"), ("driver", "ended")]),
        ("0", None, [("rank-0", line) for line in "abcd"]),
        ("0", 3, [("rank-0", line) for line in "bcd"]),
        ("0", 9, [("rank-0", line) for line in "abcd"]),
        ("0", 0, []),
        ("1", 1, [("rank-1", "no end\ufffd")]),
        ("all", 1, [("rank-0", "d"), ("rank-1", "no end\ufffd")]),
    ],
)
def test_kept_lines_are_those_of_all_parts_in_order(
    logs: Path, rank: str | None, tail: int | None, lines: list[tuple[str, str]]
) -> None:
    assert list(job_logs.kept(Local(logs), rank, tail)) == lines


def test_the_last_lines_are_read_from_the_last_parts_alone(logs: Path) -> None:
    class Counting(Local):
        opened: ClassVar[list[str]] = []

        def read(self, name: str, start: int, most: int) -> bytes:
            self.opened.append(name)
            return super().read(name, start, most)

    folder = Counting(logs)
    assert [line for _, line in job_logs.kept(folder, "0", 1)] == ["d"]
    assert set(folder.opened) <= {"rank-0.001-00000.log", "rank-0.000-00001.log"}


def test_a_rank_that_has_none_is_told_with_those_that_have_some(logs: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no log of rank 7, but of the ranks 0 to 1: .*leave out --rank"):
        list(job_logs.kept(Local(logs), "7", None))
    with pytest.raises(NotFoundError, match="no log of the driver: a process that has printed nothing has none"):
        list(job_logs.kept(Local(logs / "nowhere"), None, None))


@given(
    st.lists(st.lists(st.text("ab\u00e9", max_size=9), max_size=6), max_size=12),
    st.one_of(st.none(), st.integers(0, 5)),
    st.integers(0, 5),
    st.integers(3, 40),
)
def test_whoever_follows_gets_each_line_once_however_it_is_written(
    writes: list[list[str]], tail: int | None, before: int, most: int
) -> None:
    class Memory:
        content: ClassVar[dict[str, bytes]] = {}

        def files(self) -> dict[str, int]:
            return {name: len(data) for name, data in self.content.items()}

        def read(self, name: str, start: int, most: int) -> bytes:
            return self.content[name][start : start + most]

    folder = Memory()
    folder.content.clear()
    number, text = 0, b""

    def put(lines: list[str]) -> None:
        nonlocal number, text
        for line in lines:
            data = f"{line}\n".encode()
            if len(text) + len(data) > most and text:
                number, text = number + 1, b""
            text += data
            folder.content[rank(0).file(number)] = text

    for lines in writes[:before]:
        put(lines)
    following = Following(folder, "0")
    early = [line for lines in writes[:before] for line in lines]
    found = [line for _, line in following.begin(tail)]
    assert found == (early if tail is None else early[-tail:] if tail else [])
    for lines in writes[before:]:
        put(lines)
        assert [line for _, line in following.new()] == lines
    assert following.new() == following.rest() == []


def test_a_line_that_never_ends_comes_in_pieces(logs: Path) -> None:
    (logs / rank(7).file(0)).write_bytes(b"x" * (2 * MOST_LINE_BYTES + 5))
    assert [len(line) for _, line in job_logs.kept(Local(logs), "7", None)] == [MOST_LINE_BYTES, MOST_LINE_BYTES, 5]
    following = Following(Local(logs), "7")
    assert [len(line) for _, line in following.new()] == [MOST_LINE_BYTES, MOST_LINE_BYTES]
    assert [len(line) for _, line in following.rest()] == [5]


def test_a_log_that_never_ends_fills_neither_memory_nor_disk(tmp_path: Path) -> None:
    class Endless:
        def files(self) -> dict[str, int]:
            return {rank(0).file(0): 1 << 60}

        def read(self, name: str, start: int, most: int) -> bytes:  # noqa: ARG002 - it is the same everywhere
            return zeros[:most]

    zeros = bytes(CHUNK)
    with pytest.raises(ClusterError, match="more than 64 MiB"):
        list(job_logs.download(Endless(), None, tmp_path / "out"))
    with pytest.raises(ClusterError, match="more than 64 MiB"):
        list(job_logs.kept(Endless(), "0", 5))
    following = Following(Endless(), "0")
    assert sum(len(line) for _, line in following.new()) <= MOST_LOG_BYTES


def test_the_last_lines_are_looked_for_in_no_more_than_a_bounded_part_of_a_log_without_ends_of_lines(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_logs, "MOST_LOG_BYTES", 25)
    for number in range(9):
        (logs / rank(8).file(number)).write_bytes(b"x" * 10)
    assert [len(line) for _, line in job_logs.kept(Local(logs), "8", 3)] == [30]


def test_a_log_of_full_size_is_downloaded_byte_by_byte_and_nothing_is_replaced(tmp_path: Path) -> None:
    source, target = tmp_path / "logs", tmp_path / "out"
    source.mkdir()
    expected = b""
    for number in range(PARTS_KEPT):
        data = os.urandom(PART_BYTES // 16)
        (source / rank(3).file(number)).write_bytes(data)
        expected += data
    told = list(job_logs.download(Local(source), None, target))
    assert told == [(str(target / "rank-3.log"), len(expected))]
    assert (target / "rank-3.log").read_bytes() == expected
    with pytest.raises(ClusterError, match=r"rank-3\.log is there already"):
        list(job_logs.download(Local(source), None, target))
