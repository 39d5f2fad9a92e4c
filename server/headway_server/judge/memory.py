"""What a judge wants to know again after a restart, as the text of `judge.json`: bounded, whatever was counted. Pure.

Servers that are there tell their totals again, so where there is no room it is they that are left out. What would be
lost with it is what a server counted that ends while no judge is there: evidence, of both versions alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from pydantic import ValidationError

from headway_api import rollout_wire as wire
from headway_api.base import StatusSection
from headway_server.judge.tally import DEPARTED_SECONDS, HEARD_SECONDS, MOST_GONE, ROW, Boot, Epoch, Tally, key
from headway_server.judge.units import FirstEvents

_SLACK = 64
"""Bytes of brackets and commas."""


class _Told(StatusSection):
    """A server: its process, its version, its counts by epoch."""

    boot: str
    version: int
    rows: dict[int, list[wire.Count]]


class _Memory(StatusSection):
    """The text's form. Epochs are keys; rows are as `tally.Row`."""

    uid: str
    candidate: int
    salt: str
    first: int
    epochs: dict[int, tuple[wire.Mode, wire.Fraction, bool, bool] | tuple[wire.Mode, wire.Fraction, bool, bool, bool]]
    """The fifth is there only where a gateway split."""
    folded: dict[int, list[wire.Count]]
    gone: list[str]
    units: dict[int, list[wire.Count]]
    filter: str
    events: int
    slow: float | None
    failed: wire.Verdict | None
    """The verdict that the candidate fails, which stands."""
    boots: list[_Told]


def dump(tally: Tally, failed: wire.Verdict | None, now: float) -> str:
    """All that fits. Where servers that are gone don't fit, it puts their counts into the tally's sums for good."""
    while True:
        base = _base(tally, failed)
        kept, left_out = _fitting(tally, wire.MEMORY_MAX_BYTES - len(_json(base)) - _SLACK)
        departed = sum(now - boot.last >= DEPARTED_SECONDS for boot in left_out)
        if not sum(tally.forget(now) for _ in range(departed)):
            return _json({**base, "boots": kept}).decode()


def _fitting(tally: Tally, room: int) -> tuple[list[dict[str, Any]], list[Boot]]:
    """Servers for so many bytes, and the others: those come first that were not heard for longest, and may be gone."""
    kept: list[dict[str, Any]] = []
    waiting = sorted((item for item in tally.boots.items() if item[1].rows), key=lambda item: item[1].last)
    for index, (name, boot) in enumerate(waiting):
        told = {"boot": name, "version": boot.version, "rows": boot.rows}
        room -= len(_json(told)) + 1
        if room < 0:
            return kept, [boot for _, boot in waiting[index:]]
        kept.append(told)
    return kept, []


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)


def load(text: str, route: wire.Route, now: float) -> tuple[Tally, wire.Verdict | None]:
    """The tally of the route's rollout and, if it was found to fail, that verdict: from a memory of it, or new."""
    memory = _read(text)
    if memory is None:
        return Tally(route), None
    if (memory.uid, memory.candidate, memory.salt) != key(route):
        again = (memory.uid, memory.candidate) == (route.uid, route.candidate)
        return Tally(route, route.epoch if again else 0), None
    tally = Tally(route, memory.first)
    for epoch, known in memory.epochs.items():
        if epoch != route.epoch:
            tally.epochs[epoch] = Epoch(*known)
    tally.folded = {epoch: tuple(row) for epoch, row in _known(tally, memory.folded, ROW)}
    tally.gone = dict.fromkeys(memory.gone[-MOST_GONE:])
    tally.unit_rows = {epoch: tuple(row) for epoch, row in _known(tally, memory.units, 4)}
    tally.units = FirstEvents.of(memory.filter, memory.events)
    tally.slow_seconds = memory.slow
    tally.restore((told.boot, _boot(tally, told, now)) for told in memory.boots)
    return tally, memory.failed


def _base(tally: Tally, failed: wire.Verdict | None) -> dict[str, Any]:
    uid, candidate, salt = key(tally.route)
    return {
        "uid": uid,
        "candidate": candidate,
        "salt": salt,
        "first": tally.first_epoch,
        "epochs": {
            epoch: (one.mode, one.share, one.baking, one.sure, *([True] if one.gateway else []))
            for epoch, one in tally.epochs.items()
        },
        "folded": tally.folded,
        "gone": list(tally.gone),
        "units": tally.unit_rows,
        "filter": tally.units.text(),
        "events": tally.units.events,
        "slow": tally.slow_seconds,
        "failed": failed.model_dump(mode="json", exclude_none=True) if failed else None,
        "boots": [],
    }


def _read(text: str) -> _Memory | None:
    """None for what is no memory: it is the judge's own, and nobody else is to write it."""
    try:
        memory = _Memory.model_validate_json(text)
        FirstEvents.of(memory.filter, memory.events)
    except (ValidationError, ValueError):
        return None
    return memory


def _known(tally: Tally, rows: dict[int, list[int]], width: int) -> Iterator[tuple[int, list[int]]]:
    return ((epoch, row) for epoch, row in rows.items() if epoch in tally.epochs and len(row) == width)


def _boot(tally: Tally, told: _Told, now: float) -> Boot:
    """A server that is not taken for one that is there, nor for one that has departed."""
    rows = {epoch: tuple(row) for epoch, row in _known(tally, told.rows, ROW)}
    return Boot(now - HEARD_SECONDS - 1.0, told.version, rows=rows)
