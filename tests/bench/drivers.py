"""`python -m bench.drivers KUBECONFIG`: speaks for the drivers of all jobs that run, until it is told to stop.

A process of its own, so that what the operator uses is the operator's. Each driver patches its progress ConfigMap as
often as that says, whatever became of the patch before; they begin at any time within their interval, as jobs do.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.crowd import CONFIG_MAPS, MERGE_PATCH, session_of
from headway_api import wire
from headway_api.status import Progress
from headway_operator.engine.times import to_text

BEGUN = "speaking"
"""What it prints once it has begun."""
METRICS = 8


@dataclass(slots=True)
class Load:
    """What has been sent, and how long it took."""

    patches: int = 0
    failures: int = 0
    seconds: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    """How much later than due a patch was sent: more than a little, and this process is what limits."""


def word(uid: str, attempt: int, step: int) -> str:
    """What a driver says."""
    now = to_text(time.time())
    progress = Progress(
        percent=step % 100,
        stage="Training",
        epoch=1 + step // 100,
        step=step,
        eta_seconds=1000,
        samples_per_second=1234.5,
        metrics={f"train/metric-{number}": f"{step / (number + 1):.5g}" for number in range(METRICS)},
        update_time=now,
    )
    said = wire.ProgressFile(uid=uid, attempt=attempt, heartbeat_time=now, progress=progress, resumed_from_step=0)
    return said.model_dump_json(by_alias=True, exclude_none=True)


async def speak(session: Any, config: dict[str, Any], load: Load) -> None:
    """One driver."""
    meta = config["metadata"]
    labels = meta["labels"]
    interval = float((meta.get("annotations") or {}).get(wire.ANNOTATION_PROGRESS_SECONDS, wire.PROGRESS_SECONDS))
    due = time.monotonic() + random.uniform(0, interval)  # noqa: S311 - no secret
    step = 0
    while True:
        await asyncio.sleep(due - time.monotonic())
        step += 10
        data = {"data": {wire.KEY_PROGRESS: word(labels[wire.LABEL_JOB_UID], int(labels[wire.LABEL_ATTEMPT]), step)}}
        began = time.monotonic()
        load.late.append(began - due)
        async with session.patch(f"{CONFIG_MAPS}/{meta['name']}", json=data, headers=MERGE_PATCH) as answer:
            await answer.read()
        load.patches += 1
        load.failures += answer.status >= 300
        load.seconds.append(time.monotonic() - began)
        due += interval


async def _run(kubeconfig: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    load = Load()
    async with session_of(kubeconfig) as session:
        labels = f"{wire.LABEL_MANAGED_BY}={wire.MANAGED_BY}"
        async with session.get(CONFIG_MAPS, params={"labelSelector": labels}) as answer:
            configs = (await answer.json())["items"]
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(speak(session, config, load)) for config in configs]
        began = time.monotonic()
        sys.stdout.write(BEGUN + "\n")
        sys.stdout.flush()
        ended: asyncio.Task[Any] = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
        seconds = time.monotonic() - began
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done - {ended}:
        task.result()
    sys.stdout.write(json.dumps(told(load, seconds)) + "\n")


def told(load: Load, seconds: float) -> dict[str, float]:
    """What was sent, for whoever measures."""
    return {
        "perSecond": load.patches / seconds,
        "failures": load.failures,
        "p99Seconds": percentile(load.seconds, 99),
        "p99Late": percentile(load.late, 99),
    }


def percentile(values: list[float], percent: float) -> float:
    """The value below which so many of them are, by the nearest rank."""
    ranked = sorted(values)
    return ranked[max(0, -int(-percent * len(ranked) // 100) - 1)] if ranked else 0.0


if __name__ == "__main__":
    asyncio.run(_run(Path(sys.argv[1])))
