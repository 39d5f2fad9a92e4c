"""What the protocols share: the model, its batcher, and whether it takes requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import numpy as np

from headway_server.batching import Batcher
from headway_server.cache import Cache
from headway_server.drift.watching import Watching
from headway_server.errors import NotReady, TooLarge
from headway_server.metrics import Metrics, Protocol
from headway_server.model import Array, ServedModel, Tensors
from headway_server.records.recorder import Recorder
from headway_server.settings import Settings
from headway_server.split.splitter import Splitter
from headway_server.typical import typical_rows

LONGEST_INLINE_SECONDS = 0.002
"""A run that takes longer would keep the event loop from all else: it gets a thread."""
_SLOWEST = 99


class Service:
    """Made on the event loop that serves. `state` is what health tells."""

    def __init__(self, model: ServedModel, settings: Settings, *, inline: bool) -> None:
        self.model = model
        self.settings = settings
        self.metrics = Metrics(model)
        self.batcher = Batcher(model.run, settings.batching, inline=inline, observe=self.metrics.ran)
        self.metrics.watch(self.batcher)
        self._loop = asyncio.get_running_loop()
        self._cache = None if settings.cache is None else Cache(model, settings.cache, self._loop.time)
        self._asked = self.metrics.watch_cache(self._cache) if self._cache is not None else None
        self.split: Splitter | None = None
        """What hands requests over to other versions; none for a server that stands alone."""
        self.watching: Watching | None = None
        """What counts rows for those who watch for drift; none for a server that reports to no judge."""
        self.recorder = self._recorder()
        """What keeps records of requests, where they are asked for."""
        self.draining = False
        """Whether requests are still answered, but those who send them shall go elsewhere."""
        self._ready = False
        self._keyed: tuple[Tensors, bytes] | None = None
        """Tensors that were looked for and are not submitted yet, with their key: making one takes as long as the rest
        of an answer from the cache, or longer."""

    def _recorder(self) -> Recorder | None:
        told = self.settings.records
        return Recorder(self.model, told, self.metrics.watch_records()) if told is not None else None

    @property
    def ready(self) -> bool:
        """Whether new requests are welcome."""
        return self._ready and not self.draining

    def begin(self) -> None:
        """Take requests from now on."""
        self._ready = True
        self.metrics.ready.set(1)

    def drain(self) -> None:
        """Not be ready any more, and answer nevertheless."""
        self.draining = True
        self.metrics.ready.set(0)

    def check_taking(self) -> None:
        """Raise NotReady before the model is warm."""
        if not self._ready:
            raise NotReady(f"the model {self.model.name} is not ready yet")

    def check_ready(self) -> None:
        """Raise NotReady where new requests are not welcome."""
        self.check_taking()
        if self.draining:
            raise NotReady("the server is about to end")

    def named(self, request_id: str | None) -> str | None:
        """The id that the answer has: the request's own; or one that is made, where records are kept."""
        return request_id if self.recorder is None else self.recorder.named(request_id)

    def record(
        self, protocol: Protocol, start: float, request_id: str | None, feeds: Tensors, outputs: Tensors
    ) -> None:
        """An inference request that this model has an answer for. start: perf_counter() when its headers had come."""
        if self.watching is not None and self.watching.share:
            self.watching.answered(feeds, outputs)
        if self.recorder is not None and request_id is not None:
            self.recorder.answered(protocol, request_id, time.perf_counter() - start, feeds, outputs)

    def submit(self, feeds: Tensors, rows: int, timeout: float | None = None) -> asyncio.Future[dict[str, Array]]:
        """The batcher's answer, or the one that the same tensors had before, which is not to be written to.

        timeout: seconds that the client gives, at most the settings'.

        Raises TooLarge for rows whose answer would be, and what the batcher raises.
        """
        each, values = self.model.values_per_row, self.settings.bounds.values
        if rows > 1 and rows * each > values:
            raise TooLarge(
                f"the answer for {rows} rows would have {rows * each} values, and at most {values} are given at once: "
                "send fewer rows"
            )
        key = self._key(feeds)
        self._keyed = None
        if key is None:
            return self._run(feeds, rows, timeout)
        return self._cached(key) or self._kept(key, self._run(feeds, rows, timeout))

    def remembers(self, feeds: Tensors) -> bool:
        """Whether these tensors have been answered before, and would be so without a run."""
        key = self._key(feeds)
        if self._cache is None or key is None:
            return False
        self._keyed = feeds, key
        return self._cache.has(key)

    def _key(self, feeds: Tensors) -> bytes | None:
        """The cache's key for these tensors; None where they are not for it."""
        if self._keyed is not None and self._keyed[0] is feeds:
            return self._keyed[1]
        return None if self._cache is None else self._cache.key(feeds)

    def _run(self, feeds: Tensors, rows: int, timeout: float | None) -> asyncio.Future[dict[str, Array]]:
        most = self.settings.timeout_seconds
        seconds = most if timeout is None or timeout > most else timeout
        return self.batcher.submit(feeds, rows, self._loop.time() + seconds)

    def _cached(self, key: bytes) -> asyncio.Future[dict[str, Array]] | None:
        found = self._cache.get(key) if self._cache is not None else None
        if self._asked is not None:
            self._asked(found is not None)
        if found is None:
            return None
        future: asyncio.Future[dict[str, Array]] = self._loop.create_future()
        future.set_result(found)
        return future

    def _kept(self, key: bytes, future: asyncio.Future[dict[str, Array]]) -> asyncio.Future[dict[str, Array]]:
        def keep(done: asyncio.Future[dict[str, Array]]) -> None:
            if self._cache is not None and not done.cancelled() and done.exception() is None:
                self._cache.put(key, done.result())

        future.add_done_callback(keep)
        return future


def warm_up(model: ServedModel, runs: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Run the model on rows like those that it was trained on, one at a time, and return the seconds that its slower
    runs take: the 99th percentile. Raises ModelFailed."""
    rows = typical_rows(model, runs)
    seconds: list[float] = []
    # The first runs reserve memory and choose kernels: that they take longer is why there are others before them.
    for index in range(max(1, runs)):
        feeds = rows[index % len(rows)]
        start = clock()
        model.run(feeds)
        seconds.append(clock() - start)
    steady = seconds[len(seconds) // 2 :]
    return float(np.percentile(steady, _SLOWEST))
