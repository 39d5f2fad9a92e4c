"""Asks the queries of a rollout, each at its interval, while the candidate gets requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from headway_api import rollout_wire as wire
from headway_server.judge import prometheus
from headway_server.judge.metrics import Metrics
from headway_server.judge.prometheus import NoValue
from headway_server.judge.rollout import Judge

LOOK_SECONDS = 1.0
"""So often it is looked which queries are due."""
Ask = Callable[[wire.QueryGate, Path], Awaitable[float]]

log = logging.getLogger(__name__)


class Asker:
    """One question for each query at a time, so one that is slow keeps no other from being asked."""

    def __init__(
        self,
        judge: Judge,
        metrics: Metrics,
        secrets: Path,
        clock: Callable[[], float],
        *,
        urgent: Callable[[], None] = lambda: None,
        ask: Ask = prometheus.ask,
    ) -> None:
        """secrets: the folder with the Secrets that queries name. urgent: as that of Reports."""
        self._judge, self._metrics, self._secrets, self._clock = judge, metrics, secrets, clock
        self._urgent, self._ask = urgent, ask
        self._asked: dict[str, tuple[wire.QueryGate, float]] = {}
        """By name: the query, and when it was asked last."""
        self._running: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                self.look()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            for one in self._running.values():
                one.cancel()

    def look(self) -> list[asyncio.Task[None]]:
        """Ask what is due; the questions that were begun."""
        now, begun = self._clock(), []
        due = {gate.name: gate for gate in self._judge.to_ask()}
        self._asked = {name: last for name, last in self._asked.items() if name in due}
        for name, gate in due.items():
            last = self._asked.get(name)
            if name in self._running or (
                last is not None and last[0] == gate and now - last[1] < gate.interval_seconds
            ):
                continue
            self._asked[name] = gate, now
            task = self._running[name] = asyncio.create_task(self._answered(gate))
            begun.append(task)
        return begun

    async def _answered(self, gate: wire.QueryGate) -> None:
        epoch = self._judge.route.epoch if self._judge.route is not None else 0
        value, why = None, ""
        try:
            value = await self._ask(gate, self._secrets)
        except NoValue as error:
            why = str(error)
        except Exception:
            # The address is a tenant's: whatever is there, the judge goes on.
            log.exception("%s could not be asked", wire.query_gate(gate.name))
            why = "it could not be asked: the judge's log says why"
        finally:
            self._running.pop(gate.name, None)
        self._metrics.asked("value" if value is not None else "none")
        self._judge.learn(gate, epoch, value, why, self._clock())
        if self._judge.urgent:
            self._urgent()
