"""What a benchmark says: figures with their references and goals, the table of them, and the file that keeps them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from bench.yardstick import loop_ms

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Scaled:
    """How a reference that was taken on another machine was brought to this one."""

    by: str
    """The yardstick."""
    value: float
    """The reference as it was taken there."""
    then: float
    """What the yardstick took there."""
    now: float
    """What it takes here."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a figure is compared with."""

    name: str
    value: float
    scaled: Scaled | None = None
    """None where it was measured in the same call."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached, of the ratio where there is a reference and `of` does not say otherwise."""

    bound: Literal["at most", "at least"]
    number: float
    of: Literal["ratio", "value"]

    def reached(self, value: float, ratio: float | None) -> bool:
        """Whether it is."""
        judged = value if self.of == "value" or ratio is None else ratio
        return judged <= self.number if self.bound == "at most" else judged >= self.number


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure, as a benchmark yields it."""

    name: str
    """Stays the same from run to run: it is how the last figure is found."""
    value: float
    unit: str
    reference: Reference | None = None
    goal: Goal | None = None

    @property
    def ratio(self) -> float | None:
        """The value as a part of its reference."""
        return self.value / self.reference.value if self.reference is not None and self.reference.value else None


@dataclass(frozen=True, slots=True)
class Row:
    """One figure, as it is kept."""

    name: str
    value: float
    unit: str
    reference: dict[str, Any] | None
    ratio: float | None
    goal: dict[str, Any] | None
    reached: bool | None
    command: str
    machine: dict[str, Any]
    date: str


def row(measured: Measured, *, command: str, machine: Mapping[str, Any], date: datetime) -> Row:
    """A figure with how, where and when it was measured."""
    goal, ratio = measured.goal, measured.ratio
    return Row(
        name=measured.name,
        value=round(measured.value, 4),
        unit=measured.unit,
        reference=_reference(measured.reference),
        ratio=round(ratio, 4) if ratio is not None else None,
        goal=asdict(goal) if goal is not None else None,
        reached=goal.reached(measured.value, ratio) if goal is not None else None,
        command=command,
        machine=dict(machine),
        date=date.astimezone(UTC).isoformat(timespec="seconds"),
    )


def _reference(reference: Reference | None) -> dict[str, Any] | None:
    if reference is None:
        return None
    scaled = {"scaled": asdict(reference.scaled)} if reference.scaled is not None else {}
    return {"name": reference.name, "value": round(reference.value, 4), **scaled}


def kept(path: Path) -> list[Row]:
    """The rows of a results file; none if there is no such file."""
    return [Row(**entry) for entry in json.loads(path.read_text())] if path.exists() else []


def keep(path: Path, fresh: Iterable[Row]) -> None:
    """Put rows into a results file, each in the place of the one of its name; the others stay."""
    rows = {entry.name: entry for entry in kept(path)} | {entry.name: entry for entry in fresh}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(entry) for entry in rows.values()], indent=1) + "\n")


def table(rows: Iterable[Row]) -> str:
    """The rows for people."""
    lines = [("what", "value", "reference", "ratio", "goal", "")]
    for entry in rows:
        reference = entry.reference
        lines.append(
            (
                entry.name,
                f"{entry.value:.4g} {entry.unit}".strip(),
                _shown(reference) if reference else "-",
                f"{entry.ratio:.2f}" if entry.ratio is not None else "-",
                _goal(entry.goal),
                {True: "reached", False: "MISSED", None: ""}[entry.reached],
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _shown(reference: Mapping[str, Any]) -> str:
    scaled = reference.get("scaled")
    by = (
        f", {scaled['value']:.4g} scaled by {scaled['by']} {scaled['then']:.4g} -> {scaled['now']:.4g}"
        if scaled
        else ""
    )
    return f"{reference['value']:.4g} ({reference['name']}{by})"


def _goal(goal: Mapping[str, Any] | None) -> str:
    if goal is None:
        return "-"
    sign = {"at most": "<=", "at least": ">="}[goal["bound"]]
    return f"{goal['of']} {sign} {goal['number']:.4g}"


class Machine:
    """The machine, without its name, and how much of it others took while something was measured."""

    def __init__(self) -> None:
        self._loop = loop_ms()
        self._load = os.getloadavg()[0]
        self._ticks = _ticks()

    def describe(self) -> dict[str, Any]:
        """As kept: what it is and is worth, the load when it began, the share of CPU that its host withheld since."""
        ticks = [now - before for now, before in zip(_ticks(), self._ticks, strict=True)]
        return {
            "cpu": _cpu_model(),
            "cores": len(os.sched_getaffinity(0)),
            "memoryGiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "kernel": platform.release(),
            "pythonLoopMs": round(self._loop, 1),
            "loadBefore": round(self._load, 2),
            "stolenPercent": round(100 * ticks[_STEAL] / max(1, sum(ticks)), 1),
        }


_STEAL = 7
"""The place of stolen time in /proc/stat."""


def _ticks() -> list[int]:
    with Path("/proc/stat").open() as stat:
        return [int(word) for word in stat.readline().split()[1:9]]


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
