"""What a trial costs beside the work of its training loop: many short trials on two workers of one core each,
beside stock Ray Tune, which trains the same model by the same loop on the same rows.

Loops are timed in the processes that run them (`loop_times`). What is counted begins when both workers train, and ends
with the last trial: how long Ray takes to start is not in it, what lies between two trials is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import stock_tune
from bench.report import Goal, Measured, Reference
from bench.trials import job
from pods import Pods

WORKERS = 2
SECONDS = 900.0
TIMING = Path(__file__).with_name("loop_times")


def _spec(trials: int, epochs: int) -> dict[str, Any]:
    resources = {"cpu": "1", "memory": "2Gi"}
    return {
        "data": {"source": {"builtin": {"name": "digits"}}},
        "model": {"name": "mlp", "options": {"hidden": [64]}},
        "training": {"epochs": epochs, "batchSize": 64},
        "tuning": {
            "parameters": {stock_tune.PARAMETER: {"logUniform": {"min": 0.0001, "max": 0.1}}},
            "metric": "validation/accuracy",
            "search": {"name": "random"},
            "trials": trials,
        },
        "export": {"formats": ["safetensors"]},
        "head": {"resources": {"cpu": "1", "memory": "2Gi"}},
        "workers": {"replicas": WORKERS, "resources": resources},
        "scheduling": {"startupDeadlineSeconds": 300},
        "seed": 7,
    }


@dataclass(frozen=True)
class Times:
    """When the loops of trials ran, in seconds since the epoch, from when all workers train."""

    loops: list[tuple[float, float]]
    began: float

    @classmethod
    def read(cls, file: Path, trials: int) -> Times:
        """The first so many loops of a file: after them, the model that is kept goes through one without an epoch."""
        lines = file.read_text().splitlines() if file.exists() else []
        loops = sorted((float(began), float(ended)) for began, ended in map(str.split, lines))[:trials]
        assert len(loops) == trials, f"{len(loops)} of {trials} trials were trained"
        return cls(loops, loops[min(WORKERS, trials) - 1][0])

    @property
    def wall(self) -> float:
        """From when all workers train to the end of the last loop."""
        return max(ended for _, ended in self.loops) - self.began

    @property
    def loop_seconds(self) -> float:
        """Of all loops together, since then."""
        return sum(max(0.0, ended - max(began, self.began)) for began, ended in self.loops)

    @property
    def overhead(self) -> float:
        """The workers' time that is no loop's, as a part of that which is."""
        return WORKERS * self.wall / self.loop_seconds - 1

    @property
    def of_a_trial(self) -> float:
        """Seconds of a worker's."""
        return WORKERS * self.wall / len(self.loops)


@contextmanager
def _timed(folder: Path) -> Iterator[Path]:
    """The file that the loops of processes that are started meanwhile are timed in."""
    file, before = folder / "loops", dict(os.environ)
    paths = [str(TIMING), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ.update({"LOOP_TIMES": str(file), "PYTHONPATH": os.pathsep.join(paths)})
    try:
        yield file
    finally:
        os.environ.clear()
        os.environ.update(before)


def _ours(trials: int, epochs: int, turn: Callable[[Pods, Path], None] = lambda *_: None) -> Times:
    """A job's pods, as processes of this machine. turn: is called now and then, with the file of loops."""
    with tempfile.TemporaryDirectory() as name, _timed(Path(name)) as loops:
        with Pods(Path(name) / "job", _spec(trials, epochs)) as pods:
            pods.start_all()
            deadline = time.monotonic() + SECONDS
            while not pods.ended("head"):
                assert time.monotonic() < deadline, pods.log("head")
                turn(pods, loops)
                time.sleep(0.1)
            assert pods.wait("head") == 0, pods.log("head")
        return Times.read(loops, trials)


def _stock(trials: int, epochs: int, *, reuse: bool) -> Times:
    """Ray Tune, with a process for each trial as it comes, or with those that stay."""
    spec = _spec(trials, epochs)
    with tempfile.TemporaryDirectory() as name, job(spec) as work, _timed(Path(name)) as loops:
        (Path(name) / "spec").write_text(json.dumps(spec))
        (Path(name) / "info").write_text(work.info.model_dump_json())
        words = [f"{name}/spec", work.rows.uri, f"{name}/info", str(trials), str(int(reuse))]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(TIMING), *sys.path])}
        done = subprocess.run(
            [sys.executable, "-m", stock_tune.__name__, *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return Times.read(loops, trials)


def speed(trials: int = 100, epochs: int = 36, stock: int = 16) -> Iterator[Measured]:
    """Trials of about a second each on two workers, beside Ray Tune as it comes and with processes that stay."""
    ours = _ours(trials, epochs)
    stays = _stock(trials, epochs, reuse=True)
    anew = _stock(stock, epochs, reuse=False)
    yield Measured("loop of a trial", ours.loop_seconds / trials, "s")
    yield Measured(
        f"time of {trials} trials beside their loops, 2 workers",
        ours.overhead,
        "of the loops",
        Reference("Ray Tune, reuse_actors", stays.overhead),
        Goal("at most", 0.15, "value"),
    )
    yield Measured(
        "a trial, loop and all",
        ours.of_a_trial,
        "s",
        Reference(f"Ray Tune as it comes, {stock} trials", anew.of_a_trial),
        Goal("at most", 0.1, "ratio"),
    )
    yield Measured(
        "a trial, loop and all, beside processes that stay",
        ours.of_a_trial,
        "s",
        Reference("Ray Tune, reuse_actors", stays.of_a_trial),
    )


def memory(trials: int = 500, epochs: int = 10, first: int = 100) -> Iterator[Measured]:
    """What processes hold after many short trials, beside what they held after some."""
    held: dict[int, dict[str, float]] = {}

    def look(pods: Pods, loops: Path) -> None:
        count = loops.read_bytes().count(b"\n") if loops.exists() else 0
        for mark in first, trials - WORKERS:
            if count >= mark and mark not in held:
                held[mark] = _held(pods)

    _ours(trials, epochs, look)
    for name, after in held[trials - WORKERS].items():
        yield Measured(
            f"memory of {name} after {trials} trials",
            after,
            "MB",
            Reference(f"after {first}", held[first][name]),
            Goal("at most", 1.05, "ratio"),
        )


def _held(pods: Pods) -> dict[str, float]:
    """MB that are no file's."""
    workers = [f"worker-{index}" for index in range(WORKERS)]
    everything = [pid for name in ("head", *workers) for pid in pods.pids(name)]
    return {
        "the driver": _anonymous(pods.pids("head")[0]),
        "the training processes": sum(_anonymous(pods.training_pid(name)) for name in workers),
        "all processes of the job": sum(map(_anonymous, everything)),
    }


def _anonymous(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:  # it has just ended
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 1000


PARTS = {"speed": speed, "memory": memory}
