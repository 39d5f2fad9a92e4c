"""Batches of prepared rows, ready on the device: large ones are gathered by threads, two ahead of the one in use.

Images of 8 bits stay so on the storage, in memory and on their way to the device; what the training rows' statistics do
to them is done there, with the numbers that `Scale.apply` gives.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np
import torch

from headway_trainer.data.info import DataInfo
from headway_trainer.data.order import epoch_order
from headway_trainer.data.stored import StoredRows
from headway_trainer.data.transform.scale import LARGEST_SCALED

Rows = tuple[torch.Tensor, torch.Tensor]
"""x, float32 or uint8 (rows, *input_shape), and y, as `data.read_split` gives them."""
AnyRows = tuple[torch.Tensor | StoredRows, torch.Tensor]
"""The same, where x may be left on the store, as `data.shards.stored_split` gives them."""

AHEAD = 2
"""Batches that are gathered while one is worked on."""
LEAST_BYTES = 1 << 20
"""A batch with fewer bytes is gathered at once when it is due: a thread would take longer to be asked."""
THREADS = 4
"""Threads that gather one batch: pages of a file come from a disk or a network, which serves several readers."""
_GPU_SHARE = 0.25
"""A shard that takes less than this share of a GPU's free memory is kept there; else each batch is copied."""


class Batch(NamedTuple):
    """Some rows, on the device."""

    x: torch.Tensor
    """float32 (rows, *input_shape)."""
    y: torch.Tensor
    weights: torch.Tensor | None
    """The rows' weights, float32 (rows,); none where rows have no weights."""


class Feed:
    """Puts stored rows on a device as a model takes them: float32."""

    def __init__(self, info: DataInfo, device: torch.device, series: torch.Tensor | None = None) -> None:
        """series: of a forecast, the rows that its windows are made of, float32 (rows, features)."""
        self._device = device
        self._windows = None
        if info.forecast is not None:
            if series is None:
                raise ValueError("windows are made of series, and there are none")
            self._windows = _Windows(series, info.forecast.history, device)
            return
        self._scaled = info.scaling.method != "none"
        if self._scaled:
            offset, divisor = info.scaling.statistics(info.input_shape, np.dtype(np.float32))
            self._offset, self._divisor = (torch.from_numpy(part.copy()).to(device) for part in (offset, divisor))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """x (rows, *input_shape) on the device, float32. uint8 is scaled; everything else was when it was stored. Of a
        forecast, x is where windows begin, int64 (rows,)."""
        if self._windows is not None:
            return self._windows(x)
        x = x.to(self._device, non_blocking=True)
        if x.dtype != torch.uint8:
            return x
        x = x.float()
        if self._scaled:
            x.sub_(self._offset).div_(self._divisor)
        return x.clamp_(-LARGEST_SCALED, LARGEST_SCALED)


class _Windows:
    """Makes windows of rows that are there once: only a batch of them takes `history` times the memory."""

    def __init__(self, series: torch.Tensor, history: int, device: torch.device) -> None:
        self._device = device
        rows = (series.to(device) if _takes_little(series.nbytes, device) else series).contiguous()
        count, features = rows.shape
        self._shape = (history, features)
        # The rows of a window follow each other in memory: seen so, a window is one piece of it, and copied as one.
        self._windows = rows.as_strided((count - history + 1, history * features), (features, 1))

    def __call__(self, starts: torch.Tensor) -> torch.Tensor:
        """starts: int64 (rows,). float32 (rows, history, features) on the device."""
        windows = self._windows.index_select(0, starts.to(self._windows.device))
        return windows.view(-1, *self._shape).to(self._device, non_blocking=True)


class Source(Protocol):
    """A shard's rows as batches."""

    waited: float
    """Seconds that whoever works on the batches has waited for them, and for what is done to them on a CPU."""

    def __len__(self) -> int: ...

    def epoch(self, bounds: Iterable[tuple[int, int]], *, seed: int, epoch: int, rank: int) -> Iterator[Batch]:
        """The batches that bounds cut from the order of an epoch (counted from 0), on the device."""

    def in_order(self, bounds: Iterable[tuple[int, int]]) -> Iterator[Batch]:
        """The batches that bounds cut from the shard as it is."""


def batches(
    rows: AnyRows,
    info: DataInfo,
    device: torch.device,
    weights: torch.Tensor | None = None,
    *,
    series: torch.Tensor | None = None,
) -> Source:
    """The batches of a shard, whether memory holds it or not. series: of a forecast, as `Feed` has it."""
    x, y = rows
    if isinstance(x, torch.Tensor):
        return Batches((x, y), info, device, weights, series=series)
    from headway_trainer.data.block_batches import BlockBatches

    return BlockBatches(x, y, info, device, weights=weights)


class Batches:
    """A shard's rows, in any order."""

    def __init__(
        self,
        rows: Rows,
        info: DataInfo,
        device: torch.device,
        weights: torch.Tensor | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
        series: torch.Tensor | None = None,
    ) -> None:
        """series: of a forecast, the rows that its windows are made of, as `Feed` has them."""
        x, self._y = on_device(rows, device)
        assert isinstance(x, torch.Tensor)  # noqa: S101 - as it was
        self._x = x
        self._weights = None if weights is None else weights.to(self._y.device)
        self._device = device
        self._feed = Feed(info, device, series)
        self._clock = clock
        self._pool: ThreadPoolExecutor | None = None
        self.waited = 0.0
        """Seconds that whoever works on the batches has waited for them, and for what is done to them on a CPU."""

    def __len__(self) -> int:
        return len(self._y)

    def epoch(self, bounds: Iterable[tuple[int, int]], *, seed: int, epoch: int, rank: int) -> Iterator[Batch]:
        """The batches that bounds cut from the order of an epoch (counted from 0), on the device."""
        return self.over(epoch_order(len(self), seed=seed, epoch=epoch, rank=rank), bounds)

    def in_order(self, bounds: Iterable[tuple[int, int]]) -> Iterator[Batch]:
        """The batches that bounds cut from the shard as it is."""
        return self.over(torch.arange(len(self)), bounds)

    def over(self, order: torch.Tensor, bounds: Iterable[tuple[int, int]]) -> Iterator[Batch]:
        """The batches that bounds cut from order, rows' numbers, int64 (rows,), on the device, one after the other."""
        order = order.to(self._y.device)
        ahead: deque[Callable[[], Batch]] = deque()
        for part in (order[start:stop] for start, stop in bounds):
            ahead.append(self._gather(part))
            if len(ahead) > AHEAD:
                yield self._ready(ahead.popleft())
        while ahead:
            yield self._ready(ahead.popleft())

    def _ready(self, gathered: Callable[[], Batch]) -> Batch:
        began = self._clock()
        x, y, weights = gathered()
        weights = None if weights is None else weights.to(self._device, non_blocking=True)
        batch = Batch(self._feed(x), y.to(self._device, non_blocking=True), weights)
        self.waited += self._clock() - began
        return batch

    def _gather(self, part: torch.Tensor) -> Callable[[], Batch]:
        """Begin to gather the rows of these numbers; what waits for them."""
        x, count = self._x, len(part)
        if x.device.type != "cpu" or count * x[:1].nbytes < LEAST_BYTES:
            return lambda: self._with(part, x[part])
        gathered = torch.empty((count, *x.shape[1:]), dtype=x.dtype, pin_memory=self._device.type == "cuda")
        copies = [
            self._threads().submit(_take, x, part[start:stop], gathered[start:stop])
            for start, stop in _ranges(count, THREADS)
        ]
        return lambda: self._with(part, _when_done(copies, gathered))

    def _with(self, part: torch.Tensor, x: torch.Tensor) -> Batch:
        return Batch(x, self._y[part], None if self._weights is None else self._weights[part])

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="headway-batches")
        return self._pool


def _take(x: torch.Tensor, index: torch.Tensor, out: torch.Tensor) -> None:
    # numpy's lets other threads run meanwhile, and takes no threads of its own; "clip" writes into out at once.
    np.take(x.numpy(), index.numpy(), axis=0, out=out.numpy(), mode="clip")


def _when_done(copies: list[Future[None]], gathered: torch.Tensor) -> torch.Tensor:
    for copy in copies:
        copy.result()
    return gathered


def _ranges(count: int, parts: int) -> Iterator[tuple[int, int]]:
    """Cut range(count) into at most `parts` ranges, none of them empty."""
    bounds = [count * part // parts for part in range(parts + 1)]
    return ((start, stop) for start, stop in itertools.pairwise(bounds) if start < stop)


def on_device(rows: AnyRows, device: torch.device) -> AnyRows:
    """The rows on the device, if they take little of its memory; else where they are."""
    x, y = rows
    if isinstance(x, torch.Tensor) and _takes_little(x.nbytes + y.nbytes, device):
        return x.to(device), y.to(device)
    return rows


def _takes_little(size: int, device: torch.device) -> bool:
    """Whether a GPU has room for so many bytes beside all else. Never of a CPU: there they are already."""
    return device.type == "cuda" and size < _GPU_SHARE * torch.cuda.mem_get_info(device)[0]
