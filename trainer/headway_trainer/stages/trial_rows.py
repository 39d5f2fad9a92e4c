"""The rows that a trial learns from: the run's own, or others where its values change how rows are prepared.

A trial that tunes a field of `data`, or how texts become tokens, has rows of its own, which all trials with the same
values share (docs/decisions/0097).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_api.model import tokens_of
from headway_trainer.data import DataInfo
from headway_trainer.data.prepared import CHILDREN, by_scope, data_digest, prepared_folds
from headway_trainer.errors import UserError
from headway_trainer.run import Run
from headway_trainer.stages.prepare import prepare_rows
from headway_trainer.training.link import TrainEnd

MOST_KEPT = 8
"""Rows that are kept beside the run's own, and those of the trials that run."""
_FOLDER = "rows-"


@dataclass(frozen=True)
class Rows:
    """Prepared rows."""

    uri: str
    """The folder of the run that has them."""
    info: DataInfo
    folds: Mapping[str, DataInfo]
    """By the scope of a fold; empty where trials have none."""


class TrialRows:
    """The rows of a run's trials. For several threads."""

    def __init__(self, run: Run, info: DataInfo, uri: str) -> None:
        """info and uri: of the rows that trials learn from whose values change none. Raises StorageError."""
        self._run, self._lock = run, threading.Lock()
        folds = prepared_folds(run.store) if run.spec.has_folds else []
        self.own = Rows(uri, info, by_scope(folds))
        """Those of trials whose values change none."""
        self._own_digest = rows_digest(run.spec)
        self._known: dict[str, Rows] = {}
        """By folder; the one that was used last is the last."""
        self._used: Counter[str] = Counter()
        self._tidy()

    @contextmanager
    def of(self, spec: TrainingJobSpec) -> Iterator[Rows]:
        """The rows of a trial, which stay as long as it is trained. Raises UserError, and StorageError."""
        digest = rows_digest(spec)
        if digest == self._own_digest:
            yield self.own
            return
        name = f"{_FOLDER}{digest[:16]}"
        with self._lock:  # one preparation at a time: each takes the memory that the job was judged to have
            rows = self._known.pop(name, None) or self._prepared(name, spec)
            self._known[name] = rows
            self._used[name] += 1
            self._evict()
        try:
            yield rows
        finally:
            with self._lock:
                self._used[name] -= 1
                self._evict()

    def _prepared(self, name: str, spec: TrainingJobSpec) -> Rows:
        store = self._run.store.child(CHILDREN, name)
        info = prepare_rows(self._run, spec, store)
        folds = prepared_folds(store) if spec.has_folds else []
        return Rows(wire.below(self._run.file.storage_uri, f"{CHILDREN}/{name}"), info, by_scope(folds))

    def _evict(self) -> None:
        unused = [name for name in self._known if not self._used[name]]
        for name in unused[: max(0, len(unused) - MOST_KEPT)]:
            del self._known[name]
            self._run.fence()
            self._run.store.delete(f"{CHILDREN}/{name}")

    def _tidy(self) -> None:
        """Of the rows that an attempt before has left, keep as many as are kept of this one's."""
        left = [name for name in self._run.store.list(CHILDREN) if name.startswith(_FOLDER)]
        for name in left[MOST_KEPT:]:
            self._run.fence()
            self._run.store.delete(f"{CHILDREN}/{name}")


def train_on(rows: Rows, trial: Run) -> TrainEnd:
    """What training a trial on rows came to. Raises as Run.on_workers, and what ends a training."""
    from headway_trainer.ray.train_stage import train

    trial.rows_uri = rows.uri
    return trial.on_workers(lambda stage: train(stage, rows.info))


def rows_digest(spec: TrainingJobSpec) -> str:
    """Identifies how rows are prepared for a spec. Raises UserError where it has no data."""
    if spec.data is None:
        raise UserError("set data: trials have nothing to learn from")
    return data_digest(spec.data, spec.seed, tokens_of(spec.model))
