"""Lines on their way to the storage: nobody waits for it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from headway_api import wire
from headway_api.status import MAX_ATTEMPTS_KEPT
from headway_trainer.errors import StorageError
from headway_trainer.logs import parts as parts_module
from headway_trainer.logs import retention, shipper
from headway_trainer.logs.shipper import FIRST_SECONDS, PERIOD_SECONDS, RETRY_SECONDS, Shipper
from headway_trainer.logs.sources import DRIVER, Source, pod, rank
from headway_trainer.storage import Store
from markdown_blocks import ROOT, blocks
from training_runs import Ticks

PAGE = ROOT / "docs/how-to/troubleshoot.md"


class Clock:
    """A time that stands until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def made(folder: Path, clock: Callable[[], float], own: Source = DRIVER, attempt: int = 2) -> Shipper:
    return Shipper(own, lambda: Store.open(str(folder)), attempt, clock=clock)


def text(folder: Path, name: str, attempt: int = 2) -> str:
    return (folder / "logs" / f"attempt-{attempt}" / name).read_text()


def test_each_source_has_a_file_of_its_own_and_lines_of_nobody_are_the_process_own(
    tmp_path: Path, clock: Clock
) -> None:
    logs = made(tmp_path, clock, pod("job-worker-0-0"))
    logs.add(None, ["joined"])
    logs.add(rank(0), ["step 1", "step 2"])
    logs.add(rank(3, 1), ["again"])
    assert logs.ship()
    assert text(tmp_path, "pod-job-worker-0-0.log") == "joined\n"
    assert text(tmp_path, "rank-0.log") == "step 1\nstep 2\n"
    assert text(tmp_path, "rank-3.001-00000.log") == "again\n"


def test_the_command_of_the_page_shows_the_whole_log(tmp_path: Path, clock: Clock) -> None:
    logs = made(tmp_path, clock, attempt=1)
    line = "x" * 1000
    logs.add(rank(0), [f"{index} {line}" for index in range(1000)])
    logs.add(rank(0, 1), ["once more"])
    logs.add(rank(1), ["of another"])
    assert logs.ship()
    (command,) = (one.text for one in blocks(PAGE) if one.text.startswith("cat attempt-1/"))
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path / "logs", capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [*(f"{index} {line}" for index in range(1000)), "once more"]


def test_nothing_is_opened_before_there_is_a_line(clock: Clock) -> None:
    opened = mock.Mock()
    logs = Shipper(DRIVER, opened, 1, clock=clock)
    assert logs.pause() is None
    assert logs.ship()
    logs.start()
    logs.close()
    assert not (opened.return_value.child.return_value.open_output.called)


def test_a_line_waits_for_its_period_and_a_full_part_does_not(tmp_path: Path, clock: Clock) -> None:
    logs = made(tmp_path, clock)
    logs.add(None, ["first"])
    assert logs.pause() == FIRST_SECONDS
    clock.now = FIRST_SECONDS
    assert logs.pause() == 0
    assert logs.ship()
    assert logs.pause() is None
    logs.add(None, ["second"])
    clock.now += 2
    logs.add(None, ["third"])
    assert logs.pause() == PERIOD_SECONDS - 2
    logs.add(None, ["x" * 1000] * (parts_module.PART_BYTES // 1000 + 1))
    assert logs.pause() == 0
    assert FIRST_SECONDS <= 10
    assert PERIOD_SECONDS <= 10


def test_a_storage_that_is_away_is_tried_ever_more_rarely_and_then_has_everything(tmp_path: Path, clock: Clock) -> None:
    away = tmp_path / "away"
    away.write_text("a file where a folder should be")
    logs = made(away, clock)
    pauses = []
    for _ in range(6):
        logs.add(None, [f"at {clock.now:.0f}"])
        assert not logs.ship()
        pauses.append(logs.pause())
        clock.now += pauses[-1] or 0
    assert pauses == [5, 10, 20, 40, RETRY_SECONDS, RETRY_SECONDS]
    away.unlink()
    assert logs.ship()
    assert text(away, "driver.log").splitlines() == ["at 0", "at 5", "at 15", "at 35", "at 75", "at 135"]
    assert logs.lost == 0


def test_an_outage_costs_lines_that_are_counted_and_told_and_no_memory(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(parts_module, "PART_BYTES", 1000)
    store = Store.open(str(tmp_path))
    logs = Shipper(DRIVER, lambda: store, 1, clock=clock)
    with mock.patch.object(Store, "open_output", side_effect=StorageError("away")):
        for index in range(2000):
            logs.add(rank(0), [f"{index:09d}"])
            if index % 500 == 0:
                assert not logs.ship()
    assert [record.message for record in caplog.records] == [
        "logs are not kept on the storage until it can be written again: away"
    ]
    assert logs.ship()
    lost = 2000 - (parts_module.PARTS_WAITING + 1) * 100
    assert logs.lost == lost
    assert f"{lost} lines of output were not kept" in caplog.text
    kept = "".join(path.read_text() for path in sorted((tmp_path / "logs/attempt-1").iterdir()))
    assert kept.splitlines()[0] == f"[headway] {lost} lines are missing here: the storage did not take them in time"
    assert kept.splitlines()[1:] == [f"{index:09d}" for index in range(lost, 2000)]


def test_a_storage_that_hangs_keeps_neither_who_prints_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipper, "CLOSE_SECONDS", 0.05)
    monkeypatch.setattr(shipper, "FIRST_SECONDS", 0.0)
    inside, free = threading.Event(), threading.Event()

    def hang() -> Store:
        inside.set()
        free.wait(60)
        raise StorageError("it never answered")

    logs = Shipper(DRIVER, hang, 1)
    logs.start()
    logs.add(None, ["one"])
    assert inside.wait(60)
    began = time.monotonic()
    for index in range(1000):
        logs.add(rank(0), [f"line {index}"])
    logs.close()
    assert time.monotonic() - began < 10
    free.set()


def test_the_last_lines_are_there_once_it_is_closed(tmp_path: Path) -> None:
    logs = made(tmp_path, time.monotonic)
    logs.start()
    logs.add(rank(1), ["the last words"])
    logs.close()
    assert text(tmp_path, "rank-1.log") == "the last words\n"


def test_a_storage_that_nobody_can_open_ends_nothing(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    logs = Shipper(DRIVER, lambda: Store.open("ftp://nowhere/at/all"), 1, clock=clock)
    logs.add(None, ["one"])
    assert not logs.ship()
    assert "ftp:// is not known" in caplog.text


def test_a_process_with_too_many_sources_counts_the_lines_of_the_others(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipper, "SOURCES", 2)
    logs = made(tmp_path, clock)
    for number in range(4):
        logs.add(rank(number), ["one", "two"])
    assert logs.lost == 4
    assert logs.ship()
    assert sorted(path.name for path in (tmp_path / "logs/attempt-2").iterdir()) == ["rank-0.log", "rank-1.log"]


def test_an_attempt_writes_in_its_own_folder_alone(tmp_path: Path, clock: Clock) -> None:
    before, after = made(tmp_path, clock, attempt=1), made(tmp_path, clock, attempt=2)
    after.add(rank(0), ["the new one"])
    assert after.ship()
    before.add(rank(0), ["one that was thought dead"])
    assert before.ship()
    assert text(tmp_path, "rank-0.log", 2) == "the new one\n"
    assert text(tmp_path, "rank-0.log", 1) == "one that was thought dead\n"


def test_logs_of_old_attempts_go_and_nothing_that_is_not_ours(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    for attempt in (1, 2, 3, MAX_ATTEMPTS_KEPT + 2):
        store.write(f"{wire.logs_dir(attempt)}/rank-0.log", b"")
    store.write(f"{wire.logs_dir(2)}/mine.txt", b"")
    store.write("logs/attempt-x/rank-0.log", b"")
    retention.tidy(store, MAX_ATTEMPTS_KEPT + 2)
    files = [path for path, _ in store.walk("logs")]
    assert files == [
        "attempt-2/mine.txt",
        f"attempt-{MAX_ATTEMPTS_KEPT + 2}/rank-0.log",
        "attempt-3/rank-0.log",
        "attempt-x/rank-0.log",
    ]
    assert "attempt-1" not in store.list("logs")


def test_the_folder_is_tidied_once_in_a_while_and_a_failure_of_that_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tidied: list[int] = []

    def tidy(_: Store, attempt: int) -> None:
        tidied.append(attempt)
        raise StorageError("not listed")

    logs = Shipper(DRIVER, lambda: Store.open(str(tmp_path)), 7, tidy=tidy, clock=Ticks(100.0))
    for _ in range(10):
        logs.add(None, ["x"])
        assert logs.ship()
        logs._tidy_up()
    assert 1 < len(tidied) < 10
    assert "old logs were left where they are: not listed" in caplog.text
