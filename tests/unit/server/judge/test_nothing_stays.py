"""A judge that has seen ten thousand windows and a thousand versions holds no more than one that has seen a few."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headway_api import drift_wire
from headway_api import rollout_wire as wire
from headway_server.judge import gates
from headway_server.judge.load import Loads
from headway_server.judge.metrics import Metrics
from headway_server.judge.process import Writer
from headway_server.judge.rollout import Judge
from headway_server.judge.store import FileStore
from held_things import held, used_by
from rollouts import UID, counts, report, route

FEW = 20
"""Versions that are watched and judged, one after the other."""
WINDOWS = 10
"""Of each."""
FILE_THREADS = 2
"""Which read and write for the loop; the second one may begin at any time."""
REFERENCE = drift_wire.WatchedReference(
    features=[drift_wire.WatchedFeature(name="town", kind="values", cells=[700, 300, 0])], left_out=0
)


class Life:
    """A judge whose servers and versions come and go."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.judge, self.metrics = Judge("judge-1", Loads(0.0)), Metrics()
        self.route, self.watch = folder / "route", folder / "route.monitoring"
        self.writer = Writer(self.judge, FileStore(self.route, folder / "verdict"), self.metrics, lambda: self.now)

    async def version(self, number: int) -> None:
        """One of them, from its first request to its end."""
        watch = drift_wire.Watch(uid=UID, version=number, sample=0.1, rows=100)
        self.watch.write_text(watch.model_dump_json())
        self.route.write_text(route(number, stable=number, candidate=number + 1).model_dump_json())
        await self.writer.exchange()
        boot = f"server-{number}"
        told = {"uid": UID, "boot": boot, "version": number, "digest": REFERENCE.digest}
        answer = self.judge.take_batch(drift_wire.Batch(**told, reference=REFERENCE), self.now)
        told["judge"] = drift_wire.BatchReply.model_validate_json(answer).judge
        for window in range(1, WINDOWS + 1):
            self.now += 20.0
            some = [drift_wire.FeatureCounts(cells=[60 + number % 30, 40 - number % 30, 0])]
            batch = drift_wire.Batch(**told, number=window, rows=100, counts=some)
            assert drift_wire.BatchReply.model_validate_json(self.judge.take_batch(batch, self.now)).taken == window
            few = gates.Counts(90 * window, window), gates.Counts(10 * window, window)
            seen = counts(number, rollout=number + 1, stable=few[0], candidate=few[1])
            busy = report(seen, boot=boot, version=number, busy_seconds=self.now, asked=100 * window)
            assert wire.Reply.model_validate_json(self.judge.take(busy, self.now)).judging
        await self.writer.exchange()
        word = self.judge.drifts.word()
        assert word is not None
        assert word.windows == WINDOWS
        self.metrics.tell(self.judge.verdict)
        self.metrics.tell_drift(word)

    def holds(self) -> Counter[str]:
        """By where it does."""
        found = held("headway_server", self.judge, self.writer)
        return found + Counter({"lines for Prometheus": len(self.metrics.text().splitlines())})


@pytest.mark.parametrize("many", [120, pytest.param(1000, marks=pytest.mark.long)])
async def test_what_a_judge_holds_does_not_grow_with_the_windows_and_versions_that_it_has_seen(
    many: int, tmp_path: Path
) -> None:
    life = Life(tmp_path)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(FILE_THREADS))
    for number in range(1, FEW + 1):
        await life.version(number)
    few, used = life.holds(), used_by()
    for number in range(FEW + 1, many + 1):
        await life.version(number)
    assert life.holds() == few
    assert used_by().files <= used.files
    assert used_by().threads < used.threads + FILE_THREADS
