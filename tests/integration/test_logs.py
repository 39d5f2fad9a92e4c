"""Logs outlive pods: what each rank printed is on the storage, whatever was killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pods import Pods

pytestmark = pytest.mark.ray

WITHIN_SECONDS = 10.0
"""What was printed longer ago than this before a kill is there."""
BUSY_SECONDS = 5.0
"""What a machine with too few cores may add."""
CODE = """
import os, sys, time
import ray.train

def train(config):
    rank = ray.train.get_context().get_world_rank()
    sys.stderr.write(f"rank {rank} began\\n")
    number, printed = 0, open(f"{config['stop']}.{rank}", "a", buffering=1)
    while not os.path.exists(config["stop"]):
        print(f"line {number} of rank {rank} at {time.time():.3f}")
        printed.write(f"{number}\\n")
        number += 1
        time.sleep(0.05)
"""

FAILS = """
from torch import distributed

def train():
    print("the last words")
    distributed.barrier()
    raise KeyError("none")
"""


def spec(root: Path) -> dict[str, Any]:
    return {
        "code": {"configMap": {"name": "mine"}},
        "training": {"entrypoint": "mine:train", "arguments": {"stop": str(root / "stop")}},
        "workers": {"replicas": 2, "resources": {"cpu": "300m"}},
        "scheduling": {"startupDeadlineSeconds": 300},
    }


def kept(pods: Pods, name: str) -> str:
    """A source's log, as `cat NAME.log NAME.*.log` gives it."""
    folder = pods.store / "logs" / f"attempt-{pods.attempt}"
    files = [folder / f"{name}.log", *sorted(folder.glob(f"{name}.*.log"))]
    return "".join(path.read_text() for path in files if path.exists())


def numbers(text: str) -> list[int]:
    return [int(line.split()[1]) for line in text.splitlines() if line.startswith("line ")]


def last_time(text: str) -> float:
    return float([line for line in text.splitlines() if line.startswith("line ")][-1].split()[-1])


def wait_for(condition: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)


def test_all_ranks_logs_are_readable_after_sigkill_of_a_worker_and_then_of_the_head(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(CODE)
    with Pods(tmp_path, spec(tmp_path), code=tmp_path) as pods:
        pods.start_all()
        wait_for(lambda: all(len(numbers(kept(pods, f"rank-{rank}"))) > 100 for rank in range(2)))
        first = time.time()
        pods.kill("worker-1")
        for rank in range(2):
            text = kept(pods, f"rank-{rank}")
            assert numbers(text) == list(range(len(numbers(text)))), "each line once, in order"
            assert last_time(text) > first - WITHIN_SECONDS - BUSY_SECONDS
            assert f"rank {rank} began\n" in text, "stderr, too"
        pods.start("worker-2")
        wait_for(lambda: all(kept(pods, f"rank-{rank}").count(" began\n") == 2 for rank in range(2)))
        folder = pods.store / "logs/attempt-1"
        assert {path.name for path in folder.glob("rank-*")} >= {
            f"rank-{rank}{part}.log" for rank in range(2) for part in ("", ".001-00000")
        }, "a new group of processes has files of its own"
        wait_for(lambda: all(last_time(kept(pods, f"rank-{rank}")) > first + 12 for rank in range(2)))
        printed = [int((tmp_path / f"stop.{rank}").read_text().splitlines()[-1]) for rank in range(2)]
        pods.kill("head")
        assert pods.wait("worker-0") == 0, pods.log("worker-0")
        assert pods.wait("worker-2") == 0, pods.log("worker-2")
        for rank in range(2):
            assert numbers(kept(pods, f"rank-{rank}"))[-1] >= printed[rank], "workers that live tell all"
        driver = kept(pods, "driver")
        assert "attempt 1 of default/job begins" in driver
        assert "2 workers have joined" in driver
        assert "was lost after step" in driver
        assert "line 1 of rank" not in driver, "what the head prints for others is kept as theirs"
        assert "joined" in kept(pods, "pod-worker-0")
        assert "the head is gone: the work is over" in kept(pods, "pod-worker-0")


def test_the_last_words_of_a_function_that_fails_are_kept_in_the_folder_of_its_attempt(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FAILS)
    asked = spec(tmp_path) | {"training": {"entrypoint": "mine:train"}}
    with Pods(tmp_path, asked, code=tmp_path, attempt=2) as pods:
        before = pods.store / "logs/attempt-1/rank-0.log"
        before.parent.mkdir(parents=True)
        before.write_text("of the attempt before\n")
        pods.start_all()
        assert pods.wait("head") == 64, pods.log("head")
        for index in range(2):
            assert pods.wait(f"worker-{index}") == 0
        for rank in range(2):
            assert kept(pods, f"rank-{rank}").startswith("the last words\n")
        assert "Failed: mine.py:7 in train raised KeyError: 'none'" in kept(pods, "driver")
    assert before.read_text() == "of the attempt before\n"
