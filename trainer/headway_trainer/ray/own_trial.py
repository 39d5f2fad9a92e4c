"""In a training process of a trial with a function of the user's own: its reports are counted and judged, and end it.

All ways to report of Ray Train lead through `DistributedTrainFnUtils.report`. That is no public interface of Ray, which
is pinned to one minor version; a test drives it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

import ray.train
from ray.train.collective import broadcast_from_rank_zero
from ray.train.v2._internal.execution.train_fn_utils import DistributedTrainFnUtils

from headway_trainer.api import TrialStopped
from headway_trainer.entrypoints import is_own
from headway_trainer.ray.kv_link import WorkerLink
from headway_trainer.ray.reports import NUMBER, number_of
from headway_trainer.training.link import Answer, Question, Request

_METADATA = "headwayReports"
"""In a checkpoint's metadata: how many reports had been made when it was reported, itself among them."""
_REPORT = DistributedTrainFnUtils.report
"""Ray's own."""


@contextlib.contextmanager
def judged(scope: str, metric: str, at: Set[int]) -> Iterator[None]:
    """Let reports within this be counted, told to the scheduler where it judges, and end in TrialStopped once the trial
    is to end; on all ranks at the same report.

    metric: the name of what trials are compared by. at: the numbers of the reports that are judged, from 1 on; a
    function that goes on from a checkpoint goes on with the number that was kept in it.
    """
    link = WorkerLink(scope) if ray.train.get_context().get_world_rank() == 0 else None
    counter = _Counter(metric, at, link, _reports_behind())

    def report(utils: Any, metrics: Any, checkpoint: Any = None, *arguments: Any, **keywords: Any) -> None:
        counter.count += 1
        if checkpoint is not None:
            with contextlib.suppress(OSError):  # Ray says what is wrong with it
                checkpoint.update_metadata({_METADATA: counter.count})
        told = {**metrics, NUMBER: counter.count} if isinstance(metrics, dict) else metrics
        _REPORT(utils, told, checkpoint, *arguments, **keywords)
        if broadcast_from_rank_zero(counter.is_over(metrics)):
            raise TrialStopped("the trial is to end: others are better, or the search is over")

    DistributedTrainFnUtils.report = report
    try:
        yield
    finally:
        DistributedTrainFnUtils.report = _REPORT
        if link is not None:
            link.close()


class _Counter:
    """Counts reports; on rank 0 it knows whether the trial is to end."""

    def __init__(self, metric: str, at: Set[int], link: WorkerLink | None, count: int) -> None:
        self.count = count
        self._metric, self._at, self._link = metric, at, link
        self._over = False

    def is_over(self, metrics: Any) -> bool:
        """Whether the trial is to end after what was reported last; it may take until the driver has answered."""
        if self._link is not None and not self._over:
            self._over = self._link.request() is Request.STOP or self._is_refused(self._link, metrics)
        return self._over

    def _is_refused(self, link: WorkerLink, metrics: Any) -> bool:
        if self.count not in self._at:
            return False
        value = number_of(metrics.get(self._metric)) if isinstance(metrics, dict) else None
        return link.ask(Question(epoch=self.count, value=value)) is not Answer.GO_ON


def _reports_behind() -> int:
    """How many reports had been made at the checkpoint that the function goes on from; 0 for one that begins."""
    checkpoint = ray.train.get_checkpoint()
    count = checkpoint.get_metadata().get(_METADATA, 0) if checkpoint is not None else 0
    return count if isinstance(count, int) else 0


@contextlib.contextmanager
def of_its_own(folder: str | None, entrypoint: str) -> Iterator[None]:
    """Let what is run within this leave the next trial of the process its environment, its working directory, its path,
    and no module of the user's: each trial imports them anew, as a fresh process would."""
    environment, path, place, there = dict(os.environ), list(sys.path), Path.cwd(), set(sys.modules)
    try:
        yield
    finally:
        root = entrypoint.partition(":")[0].partition(".")[0]
        for name in set(sys.modules) - there:
            if name.partition(".")[0] == root or _is_users(name, folder):
                del sys.modules[name]
        sys.path[:] = path
        os.chdir(place)
        os.environ.clear()
        os.environ.update(environment)


def _is_users(name: str, folder: str | None) -> bool:
    file = getattr(sys.modules[name], "__file__", None)
    return isinstance(file, str) and is_own(Path(file), Path(folder) if folder else None)
