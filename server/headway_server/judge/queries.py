"""How a rollout's queries stand: values that come one by one, and when they fail it or let it go on. Pure.

A value is no evidence in the sense of the other gates: what it was made of, and how it scatters, nobody knows here. So
a single one decides nothing. A scrape that failed, or a burst of a minute, is in the windows of two evaluations that
follow each other closely; a version fails by three in a row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from headway_api import rollout_wire as wire

FAILURES = 3
"""Evaluations in a row whose values are beyond a limit fail a query. One without a value is not among them, and does
not end the row."""
SILENT = 10
"""Evaluations in a row without a value fail one whose onNoData is rollback: by default five minutes, in which a
Prometheus is restarted, and a new pod's first rate is known."""
MOST_SAID = 1000
"""Characters of what all queries lack."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one query stands."""

    value: float | None = None
    """The last one that there was."""
    beyond: int = 0
    """The newest values in a row that are beyond a limit."""
    silent: int = 0
    """The newest evaluations in a row without a value."""
    epoch: int = -1
    """In which the last value came."""
    said: str = ""
    """Why the newest evaluation has no value."""

    def took(self, gate: wire.QueryGate, value: float, epoch: int) -> Standing:
        """A value has come."""
        beyond = self.beyond + 1 if _broken(gate, value) is not None else 0
        return Standing(value, beyond, 0, epoch)

    def missed(self, why: str) -> Standing:
        """An evaluation has given none."""
        return replace(self, silent=self.silent + 1, said=why)


class Queries:
    """The queries of one rollout."""

    def __init__(self, gates: Sequence[wire.QueryGate], known: Sequence[wire.GateState] = ()) -> None:
        """known: how they stood when another process of the judge last said so."""
        rows = {one.name: one for one in known}
        self._gates = {gate.name: gate for gate in gates}
        self._standings = {gate.name: _restored(rows.get(wire.query_gate(gate.name))) for gate in gates}

    @property
    def gates(self) -> Sequence[wire.QueryGate]:
        """What is to be asked."""
        return tuple(self._gates.values())

    def follow(self, gates: Sequence[wire.QueryGate]) -> None:
        """Take the newest queries: one that was changed begins anew."""
        before = self._gates
        self._gates = {gate.name: gate for gate in gates}
        self._standings = {
            name: self._standings[name] if before.get(name) == gate else Standing()
            for name, gate in self._gates.items()
        }

    def take(self, gate: wire.QueryGate, epoch: int, value: float | None, why: str = "") -> None:
        """What came of asking: a number, or None and why there is none. What is not asked any more is nobody's."""
        if self._gates.get(gate.name) != gate:
            return
        before = self._standings[gate.name]
        if value is None or math.isnan(value):
            self._standings[gate.name] = before.missed(why or "its value is NaN")
        else:
            self._standings[gate.name] = before.took(gate, value, epoch)

    def states(self, epoch: int) -> list[wire.GateState]:
        """How they stand, as the other gates do."""
        return [self._state(gate, self._standings[name], epoch) for name, gate in self._gates.items()]

    def failure(self, candidate: int) -> str | None:
        """Which query has failed, in a sentence with all numbers."""
        for name, gate in self._gates.items():
            standing = self._standings[name]
            if _fails(gate, standing):
                return f"{wire.query_gate(name)}: version {candidate} fails, as {_failure(gate, standing)}"
        return None

    def missing(self, epoch: int) -> str:
        """What keeps them from passing, in words; empty where nothing does."""
        said = [_missing(gate, self._standings[name], epoch) for name, gate in self._gates.items()]
        told = "; ".join(words for words in said if words)
        return told if len(told) <= MOST_SAID else f"{told[: MOST_SAID - 1]}…"

    def _state(self, gate: wire.QueryGate, standing: Standing, epoch: int) -> wire.GateState:
        verdict: Literal["fail", "pass", "open"] = "open"
        if _fails(gate, standing):
            verdict = "fail"
        elif not _missing(gate, standing, epoch):
            verdict = "pass"
        broken = None if standing.value is None else _broken(gate, standing.value)
        limit = gate.min if broken == "min" or gate.max is None else gate.max
        shown = standing.value if standing.value is not None and math.isfinite(standing.value) else None
        return wire.GateState(
            name=wire.query_gate(gate.name),
            verdict=verdict,
            value=shown,
            limit=limit,
            evidence=standing.beyond,
            needed=FAILURES,
        )


def _restored(state: wire.GateState | None) -> Standing:
    """What a query stood at: the row goes on, and a pass is to be shown again."""
    if state is None:
        return Standing()
    return Standing(state.value, int(max(0, min(FAILURES - 1, state.evidence))))


def _broken(gate: wire.QueryGate, value: float) -> Literal["min", "max"] | None:
    """Which limit a value is beyond."""
    if gate.min is not None and value < gate.min:
        return "min"
    return "max" if gate.max is not None and value > gate.max else None


def _fails(gate: wire.QueryGate, standing: Standing) -> bool:
    return standing.beyond >= FAILURES or (gate.on_no_data == "rollback" and standing.silent >= SILENT)


def _failure(gate: wire.QueryGate, standing: Standing) -> str:
    if standing.beyond >= FAILURES:
        return (
            f"its value was {_compared(gate, standing)} in {standing.beyond} evaluations in a row,"
            f" {gate.interval_seconds} s apart"
        )
    return f"{standing.silent} evaluations in a row gave no value (onNoData: rollback); the last one: {standing.said}"


def _compared(gate: wire.QueryGate, standing: Standing) -> str:
    value = 0.0 if standing.value is None else standing.value
    if _broken(gate, value) == "min":
        return f"{value:.6g}, below its min {gate.min:.6g},"
    return f"{value:.6g}, above its max {gate.max:.6g},"


def _missing(gate: wire.QueryGate, standing: Standing, epoch: int) -> str:
    name = wire.query_gate(gate.name)
    if standing.silent:
        return f"{name} has no value: {standing.said}"
    if standing.beyond:
        return f"{name} is beyond its limit ({standing.beyond} of {FAILURES} evaluations in a row that fail it)"
    return "" if standing.epoch == epoch else f"{name} has had no value in this step yet"
