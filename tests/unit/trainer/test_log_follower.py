"""What training processes print reaches the pod's output."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from headway_trainer.logs.sources import Source, mark, rank
from headway_trainer.ray import log_follower
from headway_trainer.ray.log_follower import BURST, RATE, Follower


def test_whole_lines_are_copied_once_and_rays_own_marks_left_out(tmp_path: Path) -> None:
    output = io.StringIO()
    follower = Follower(tmp_path, output)
    log = tmp_path / "worker-1.out"
    log.write_bytes(b":job_id:01000000\n:actor_name:RayTrainWorker\nhello\nhalf a li")
    (tmp_path / "raylet.out").write_bytes(b"not ours\n")
    follower.copy()
    assert output.getvalue() == "hello\n"
    with log.open("ab") as file:
        file.write(b"ne\nlast without an end")
    (tmp_path / "worker-1.err").write_bytes(b"an \xff error\n")
    follower.copy()
    assert sorted(output.getvalue().splitlines()) == ["an \ufffd error", "half a line", "hello"]
    follower.copy(rest=True)
    assert output.getvalue().endswith("last without an end\n")
    assert output.getvalue().count("hello") == 1


def test_lines_are_kept_as_those_of_the_rank_that_a_mark_names(tmp_path: Path) -> None:
    kept: list[tuple[Source | None, list[str]]] = []
    output = io.StringIO()
    follower = Follower(tmp_path, output, keep=lambda source, lines: kept.append((source, lines)))
    log, errors = tmp_path / "worker-1.out", tmp_path / "worker-1.err"
    log.write_text(f":job_id:01000000\nwaiting\n{mark(3, 0)}one\n")
    errors.write_text(f"{mark(3, 0)}an error\n")
    follower.copy()
    with log.open("a") as file:
        file.write("two\n")
    follower.copy()
    (tmp_path / "worker-2.out").write_text(f"{mark(0, 1)}of another process\n")
    follower.copy()
    assert sorted(kept, key=str) == sorted(
        [
            (None, ["waiting"]),
            (rank(3), ["one"]),
            (rank(3), ["an error"]),
            (rank(3), ["two"]),
            (rank(0, 1), ["of another process"]),
        ],
        key=str,
    )
    assert "headway_rank" not in output.getvalue()


def test_the_thread_copies_what_is_left_when_it_is_closed(tmp_path: Path) -> None:
    output = io.StringIO()
    follower = Follower(tmp_path, output)
    follower.start()
    (tmp_path / "worker-7.out").write_bytes(b"the last word")
    follower.close()
    assert output.getvalue() == "the last word\n"


def test_lines_that_no_head_takes_are_kept_all_the_same_and_do_not_keep_a_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_follower, "CLOSE_SECONDS", 0.01)
    monkeypatch.setattr(log_follower, "PERIOD_SECONDS", 0.001)
    stuck, free = threading.Event(), threading.Event()

    def relay(_: list[str]) -> None:
        stuck.set()
        free.wait(30)

    kept: list[str] = []
    follower = Follower(tmp_path, io.StringIO(), relay=relay, keep=lambda _, lines: kept.extend(lines))
    (tmp_path / "worker-1.out").write_bytes(b"hello\n")
    follower.start()
    assert stuck.wait(30)
    assert kept == ["hello"], "what is kept waits for no head"
    follower.close()
    assert not free.is_set()
    free.set()


def test_a_flood_is_left_out_and_counted_and_takes_neither_memory_nor_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_follower, "KEEP_BYTES", 3 * BURST)
    now = [0.0]
    output = io.StringIO()
    follower = Follower(tmp_path, output, clock=lambda: now[0])
    log = tmp_path / "worker-1.out"
    line = b"x" * 1023 + b"\n"
    longest = 0
    with log.open("ab", buffering=0) as file:  # as Ray opens it
        for _ in range(40):
            file.write(line * (BURST // 1024))
            longest = max(longest, log.stat().st_size)
            follower.copy()
            now[0] += 0.5
        now[0] += 60
        file.write(b"after the flood\n")
        follower.copy()
    follower.copy(rest=True)
    text = output.getvalue()
    assert text.endswith("after the flood\n") or "\nafter the flood\n" in text
    assert len(text) <= BURST + RATE * 21 + 1000
    assert longest <= 4 * BURST
    counted = sum(int(one.split()[1]) for one in text.splitlines() if one.startswith("[headway]"))
    copied = sum(len(one) + 1 for one in text.splitlines() if not one.startswith("[headway]"))
    assert counted + copied == 40 * BURST + len("after the flood\n")


def test_a_line_that_never_ends_is_copied_in_pieces(tmp_path: Path) -> None:
    output = io.StringIO()
    follower = Follower(tmp_path, output)
    log = tmp_path / "worker-1.out"
    log.write_bytes(b"x" * 100_000)
    follower.copy()
    assert len(output.getvalue()) == 100_001
