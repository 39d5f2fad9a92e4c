"""The rows that a training process learns from. Of an object store they are read once for all trials that follow each
other in it; local files are mapped, so their pages are there anyway."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from headway_trainer.data.batches import AnyRows
from headway_trainer.data.info import Split
from headway_trainer.data.shards import read_series, read_weights, stored_split
from headway_trainer.estimators.base import Place

Read = TypeVar("Read")


def split_of(place: Place, split: Split) -> AnyRows:
    """This rank's rows of a part, as `data.shards.stored_split` has them. Raises StorageError."""
    rank, world_size = place.group.rank, place.group.world_size
    return _OF_TRIALS.read(place, split, lambda: stored_split(place.rows, place.info, split, rank, world_size))


def weights_of(place: Place, split: Split) -> torch.Tensor | None:
    """The weights of these rows, as `data.shards.read_weights` has them. Raises StorageError."""
    rank, world_size = place.group.rank, place.group.world_size
    name = f"weights of {split}"
    return _OF_TRIALS.read(place, name, lambda: read_weights(place.rows, place.info, split, rank, world_size))


def series_of(place: Place) -> torch.Tensor | None:
    """What windows are made of, as `data.shards.read_series` has it. Raises StorageError."""
    return _OF_TRIALS.read(place, "series", lambda: read_series(place.rows, place.info))


class RowsOfTrials:
    """What was read for the trial before. Nothing changes it: processes stay for the next trial only where all code is
    Headway's (`process_resources.processes_can_stay`)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: tuple[Any, ...] = ()
        """Whose rows they are, and which rank's."""
        self._kept: dict[str, Any] = {}

    def read(self, place: Place, name: str, read: Callable[[], Read]) -> Read:
        """What read gives, or has given to an earlier trial of the same rows and rank."""
        if not place.is_trial or place.rows.local_path() is not None:
            return read()
        info, group = place.info, place.group
        of = (place.rows.uri, info.digest, info.content_hash, group.rank, group.world_size)
        with self._lock:
            if of != self._of:
                self._of, self._kept = of, {}
            if name not in self._kept:
                self._kept[name] = read()
            found: Read = self._kept[name]
        return found


_OF_TRIALS = RowsOfTrials()
