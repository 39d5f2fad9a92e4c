"""Refuses a sampler that would divide a worker's own rows among all workers once more, as `ray.train.torch.
prepare_data_loader` does unless it is told not to: each worker would train on a part of its part, in silence.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DistributedSampler

from headway_trainer.errors import UserError

_DEEP = 5
"""How far below a data set its tensors are looked for."""

_given: list[torch.Tensor] = []
"""What this worker was given as its own rows. It is kept, so that no other tensor comes to lie there."""


def divided(*tensors: torch.Tensor) -> None:
    """Remember that these are one worker's own rows, and refuse samplers over them from now on."""
    if not _given:
        _watch()
    _given.extend(tensors)


def _watch() -> None:
    begin = DistributedSampler.__init__

    @functools.wraps(begin)
    def checked(self: Any, dataset: Any, num_replicas: int | None = None, *rest: Any, **named: Any) -> None:
        if num_replicas != 1 and any(_is_given(found) for found in _arrays(dataset, _DEEP)):
            raise UserError(
                "a DistributedSampler would divide the rows of data_shard() again, and they are this worker's own "
                "already: take batches from data_batches(), or call prepare_data_loader(..., add_dist_sampler=False)"
            )
        begin(self, dataset, num_replicas, *rest, **named)

    DistributedSampler.__init__ = checked  # type: ignore[method-assign]


def _arrays(holder: Any, deep: int) -> Iterator[torch.Tensor | np.ndarray[Any, Any]]:
    """The tensors and arrays that an object holds, or that its first parts do."""
    if isinstance(holder, torch.Tensor | np.ndarray):
        yield holder
    elif deep > 0:
        parts = (
            holder if isinstance(holder, list | tuple) else vars(holder).values() if hasattr(holder, "__dict__") else ()
        )
        for part in list(parts)[:8]:
            yield from _arrays(part, deep - 1)


def _is_given(found: torch.Tensor | np.ndarray[Any, Any]) -> bool:
    address = found.data_ptr() if isinstance(found, torch.Tensor) else found.__array_interface__["data"][0]
    return any(one.data_ptr() <= address < one.data_ptr() + max(1, one.nbytes) for one in _given)
