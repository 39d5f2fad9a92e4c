"""Training functions that nobody should write: each ends the run in bounded time, with its cause and its line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

import pytest

from commands import clean_environment
from pods import Pods

pytestmark = pytest.mark.ray

CODE = Path(__file__).parent / "hostile"
QUICK = 5.0
"""Seconds without a step after which the watchdog acts here."""


class Stage:
    """A process with an embedded Ray, which runs one function after the other as the driver would."""

    def __init__(self, folder: Path) -> None:
        environment = clean_environment()
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        self._log = (folder / "log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stage_runs", str(folder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _pipe(self._process.stdin).close()
        try:
            self._process.wait(60)
        finally:
            self._process.kill()
            self._process.wait()
            _pipe(self._process.stdout).close()
            self._log.close()

    def run(self, function: str, *, seconds: float = 60, **arguments: Any) -> dict[str, Any]:
        """Run `mine:function`; how the driver would end."""
        asked = {"function": f"mine:{function}", "arguments": arguments, "code": str(CODE), "seconds": seconds}
        stdin = _pipe(self._process.stdin)
        stdin.write(f"{json.dumps(asked)}\n")
        stdin.flush()
        line = _pipe(self._process.stdout).readline()
        assert line, f"it ended without an answer:\n{self.log()}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def log(self) -> str:
        """What was printed to stderr."""
        self._log.seek(0)
        return self._log.read()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.mark.long
def test_a_worker_that_ends_itself_with_status_0_is_no_success(stage: Stage) -> None:
    ended = stage.run("leaves", status=0)
    assert (ended["code"], ended["cause"]) == (64, "UserError")
    assert "rank 1: mine.py:" in ended["message"]
    assert "in leaves called os._exit(0)" in ended["message"]


def test_sys_exit_is_no_success(stage: Stage) -> None:
    ended = stage.run("exits", status=0)
    assert (ended["code"], ended["cause"]) == (64, "UserError")
    assert "in exits called sys.exit(0)" in ended["message"]


def test_an_endless_loop_after_the_first_report_is_a_hang_and_the_line_is_named(stage: Stage) -> None:
    ended = stage.run("spins", seconds=QUICK)
    assert (ended["code"], ended["cause"]) == (70, "Hang")
    assert "after step 7: rank 1 (" in ended["message"]
    assert "in spins, and the others wait for it" in ended["message"]
    assert "rank 1:" in stage.log()
    assert "while ray.train.get_context()" in stage.log(), "the stack is in the log"


@pytest.mark.long
def test_a_data_loader_that_blocks_is_a_hang_and_named(stage: Stage) -> None:
    ended = stage.run("blocks", seconds=QUICK)
    assert ended["cause"] == "Hang"
    assert "in __getitem__" in ended["message"]


@pytest.mark.long
def test_a_deadlocked_collective_is_a_hang_of_all_ranks(stage: Stage) -> None:
    ended = stage.run("waits_for_itself", seconds=QUICK)
    assert ended["cause"] == "Hang"
    assert "all ranks wait for each other: rank 0 (" in ended["message"]
    assert "the same collective calls in the same order" in ended["message"]


def test_a_storage_that_is_full_when_a_checkpoint_is_reported_is_no_error_of_the_function(stage: Stage) -> None:
    ended = stage.run("reports_in_vain")
    assert (ended["code"], ended["cause"]) == (74, "StorageError")
    assert "could not save a checkpoint to " in ended["message"]
    assert "training.checkpoint.keepLast" in ended["message"]


def test_a_process_that_crashes_again_and_again_is_told_as_a_crash(stage: Stage) -> None:
    ended = stage.run("crashes")
    assert (ended["code"], ended["cause"]) == (64, "UserError")
    assert "ended without an exception 3 times, and came no further than step 0" in ended["message"]


@pytest.mark.long
def test_workers_that_live_and_cannot_talk_to_each_other_are_no_lost_node(stage: Stage) -> None:
    ended = stage.run("falls_out")
    assert (ended["code"], ended["cause"]) == (70, "Internal")
    assert "failed 3 times, and came no further than step 0, while all workers lived; rank " in ended["message"]
    assert "raised RuntimeError: NCCL error: remote process exited" in ended["message"]
    assert "in falls_out" in stage.log(), "the trace is in the driver's log"


@pytest.mark.long
def test_a_frozen_process_is_a_hang_and_its_rank_is_named(stage: Stage) -> None:
    # The last one: Ray cannot end what is frozen.
    ended = stage.run("freezes", seconds=QUICK)
    assert ended["cause"] == "Hang"
    assert "rank 1 (" in ended["message"]
    assert "did not answer: a process that is frozen" in ended["message"]


@pytest.mark.long
def test_a_flood_of_output_is_survived_and_fills_neither_log_nor_disk(tmp_path: Path) -> None:
    training = {"entrypoint": "mine:floods", "arguments": {"seconds": 4}}
    spec = {"training": training, "workers": {"replicas": 1, "resources": {"cpu": "300m"}}}
    with Pods(tmp_path, spec, code=CODE) as pods:
        pods.start_all()
        assert pods.wait("head") == 0, pods.log("head")
        assert pods.wait("worker-0") == 0
        kept = sum(path.stat().st_size for path in pods.folder("worker-0").rglob("worker-*.out"))
    log = pods.log("worker-0")
    assert "bytes of output were left out: too much for the log" in log
    assert len(log) < 40 * 2**20, "of 200 MB"
    assert kept < 150 * 2**20
    assert pods.log_file("head").stat().st_size < 40 * 2**20
