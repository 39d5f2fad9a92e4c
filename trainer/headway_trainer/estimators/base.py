"""What every way to fit a model has in common: what it is given, and what it leaves to be judged and exported."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch

from headway_api import wire
from headway_trainer.data.info import DataInfo
from headway_trainer.evaluation.evaluate import JUDGED_ROWS
from headway_trainer.export.record import Export
from headway_trainer.programs import Program
from headway_trainer.storage import Store
from headway_trainer.training.link import Link, TrainEnd
from headway_trainer.training.process_group import Group


@dataclass(frozen=True)
class Place:
    """What one training process works with."""

    run: wire.RunFile
    info: DataInfo
    store: Store
    device: torch.device
    group: Group
    link: Link
    threads: int = 1
    """What it computes with on the CPU."""
    code_dir: str = wire.CODE_DIR
    """Where the user's own code is, if there is any."""
    scope: str = ""
    """Of the run that this process trains for; not empty for a child."""
    rows_of: Store | None = None
    """The run whose rows a trial learns from; none where the rows are the run's own."""
    compared_at: frozenset[int] = frozenset()
    """The epochs, counted from 1, after which a trial asks whether it goes on."""
    until: int | None = None
    """The epoch, counted from 1, after which a trial ends for now; none if it has all its epochs."""

    @property
    def rows(self) -> Store:
        """Where the prepared rows are."""
        return self.rows_of or self.store

    @property
    def is_trial(self) -> bool:
        """Whether what is fitted is one of several that are compared by the validation part: nothing else of it is
        judged, and nothing is exported."""
        return self.rows_of is not None

    @property
    def is_fold(self) -> bool:
        """Whether what is fitted is one of the folds of cross-validation: no sample of its rows was taken, as nothing
        of it is exported."""
        return self.scope.rpartition("/")[2].startswith("fold-")


@dataclass(frozen=True)
class Fitted:
    """A finished model as it is judged: the same on every rank."""

    program: Program
    """How rows are judged; its model takes features, float32 (rows, *input_shape), to outputs as the task has them."""
    end: TrainEnd
    """What there is to tell of the fit."""
    export: Callable[[], Export]
    """Writes model.onnx. Rank 0 calls it, once all have judged."""
    remedy: str
    """What to do about a model that gives no finite numbers."""
    batch_size: int = JUDGED_ROWS
    """Rows that this process can take at once, as the fit has shown."""
    context: Callable[[], AbstractContextManager[None]] = nullcontext
    """What each forward pass runs in."""


class Estimator(Protocol):
    """A way to fit a model. Every rank makes the same calls."""

    def fit(self, place: Place) -> Fitted | TrainEnd:
        """Fit the job's model to the training part, or go on where an earlier attempt of the run ended.

        A TrainEnd alone where there is nothing to judge: not finished, as the driver has asked to stop, or of a trial
        that was judged while it was trained. Raises UserError and StorageError.
        """
