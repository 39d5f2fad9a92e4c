"""A thread that counts rows, so that no request waits for it: what it cannot keep up with is dropped, and told."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from headway_api.drift_wire import BATCH_ROWS, FeatureCounts
from headway_server.drift.plan import Plan
from headway_server.drift.rows import Taken, counted, size_of

logger = logging.getLogger(__name__)
MOST_WAITING = 1000
"""Requests whose rows wait to be counted."""
MOST_WAITING_BYTES = 16 * 1024 * 1024
"""What they hold in memory."""
_MOST_AT_ONCE = 64
"""Requests whose rows are counted together."""
_PERIOD_SECONDS = 0.5
_CLOSE_SECONDS = 5.0


class Counter:
    """`offer` and `next` belong to the event loop. count: is told of rows, and what became of them."""

    def __init__(self, plan: Plan, count: Callable[[str, int], None]) -> None:
        self._plan = plan
        self._count = count
        self._widths = [one.width for one in plan.features]
        self._sums = np.zeros(sum(self._widths), dtype=np.int64)
        self._rows = 0
        self._lock = threading.Lock()
        """Of the sums and their rows."""
        self._waiting: deque[tuple[Taken, int, int]] = deque()
        # Each is written by one thread alone, so that no lock is needed.
        self._offered = self._done = 0
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to count."""
        self._thread = threading.Thread(target=self._work, name="drift", daemon=True)
        self._thread.start()

    def offer(self, taken: Taken, rows: int) -> None:
        """Have these rows counted, if there is room for them."""
        size = size_of(taken)
        if len(self._waiting) >= MOST_WAITING or self._offered - self._done + size > MOST_WAITING_BYTES:
            self._count("dropped", rows)
            return
        self._offered += size
        self._waiting.append((taken, rows, size))

    def next(self) -> tuple[int, list[FeatureCounts]]:
        """What was counted since the last time: rows, and each feature's counts."""
        with self._lock:
            rows, sums = self._rows, self._sums
            self._rows, self._sums = 0, np.zeros_like(sums)
        ends = list(itertools.accumulate(self._widths))
        parts = [sums[end - width : end].tolist() for end, width in zip(ends, self._widths, strict=True)]
        return rows, [
            FeatureCounts(cells=cells, missing=missing, below=below, above=above, unseen=unseen)
            for *cells, missing, below, above, unseen in parts
        ]

    def close(self) -> None:
        """Count what waits, and end."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)

    def _work(self) -> None:
        while not self._ending.wait(_PERIOD_SECONDS):
            self.count_waiting()
        self.count_waiting()

    def count_waiting(self) -> None:
        """Count all that waits now: the thread's work, once."""
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(_MOST_AT_ONCE, len(self._waiting)))]
            rows = sum(one[1] for one in some)
            try:
                self._add(rows, some)
            except Exception:
                logger.exception("rows could not be counted")
                self._count("failed", rows)
            self._done += sum(one[2] for one in some)

    def _add(self, rows: int, some: list[tuple[Taken, int, int]]) -> None:
        parts = []
        for part in counted(self._plan, [one[0] for one in some]):
            parts.append(part)
            time.sleep(0)  # the event loop may have the interpreter: some thousand rows of a feature take 0.1 ms
        sums = np.concatenate(parts)
        with self._lock:
            room = self._rows + rows <= BATCH_ROWS
            if room:
                self._sums += sums
                self._rows += rows
        self._count("counted" if room else "dropped", rows)
