"""Whether a finished model reaches the gates of `spec.evaluation`. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from pydantic import Field

from headway_api import metrics as catalogue
from headway_api.base import StatusSection
from headway_api.evaluation import Gate
from headway_api.metrics import Better, Task
from headway_trainer.report.model import GateResult, Metrics

BASELINE = "the baseline"


class Standard(StatusSection):
    """What a gate compares a metric with."""

    what: str
    """What it is, in words."""
    value: float | None
    """Its value of the gate's metric; null where there is none."""
    content_hash: str | None = None
    """sha256 over the source's content that it was measured on; null where that is not known."""
    task: Task | None = None
    """What was learnt there; null where that is not known."""


class Standards(StatusSection):
    """What gates compare with that is not of the run itself."""

    by_gate: dict[str, Standard] = Field(default_factory=dict)
    """By the gates' names."""


def judge(
    gates: Sequence[Gate],
    metrics: Metrics,
    standards: Mapping[str, Standard] | None = None,
    better_of: Callable[[str], Better | None] = catalogue.better,
) -> list[GateResult]:
    """How a model with these metrics does at each gate. A metric that is not there, or no number, passes none.

    standards: what gates compare with, by their names, but for the baseline, which the metrics hold; better_of: which
    values of a metric are better.
    """
    known = {name: Standard(what=BASELINE, value=value) for name, value in metrics.baseline.items()}
    return [
        _judge(
            gate,
            value_of(gate, metrics),
            known.get(gate.part_and_name[1], Standard(what=BASELINE, value=None))
            if gate.against is not None and gate.against.baseline
            else (standards or {}).get(gate.name),
            better_of(gate.metric),
        )
        for gate in gates
    ]


def of_other_data(standards: Standards, content_hash: str) -> list[str]:
    """A sentence for each standard that was measured on another source than this one."""
    return [
        f"The gate {name} compares with {one.what}, which was measured on other data: part of the difference may be "
        "the data's."
        for name, one in standards.by_gate.items()
        if one.content_hash not in (None, content_hash)
    ]


def of_another_task(standards: Standards, task: Task) -> str | None:
    """The sentence for a standard of another task than this one, whose metrics only have the same name; none if there
    is none."""
    for name, one in standards.by_gate.items():
        if one.task not in (None, task):
            return (
                f"evaluation.gates: {name} compares with {one.what}, which learns a {one.task}, and this job a {task}: "
                f"its metrics are not comparable, so name a job that learns a {task}"
            )
    return None


def failed(results: Sequence[GateResult]) -> str | None:
    """A sentence that names the gates that were not passed; none where all were."""
    missed = [f"{one.name} ({_told(one)})" for one in results if not one.passed]
    if not missed:
        return None
    gates = "the gate" if len(missed) == 1 else "the gates"
    return f"the model did not pass {gates} {', '.join(missed)}; it is kept, with its report"


def value_of(gate: Gate, metrics: Metrics) -> float | None:
    """The value of a gate's metric among those of a run; none where there is none."""
    part, name = gate.part_and_name
    values: dict[str, float | None] = getattr(metrics, part, {})
    # A training function of the user's own reports by names of its own.
    return values.get(name, metrics.reported.get(gate.metric))


def _judge(gate: Gate, value: float | None, standard: Standard | None, better: Better | None) -> GateResult:
    enough = value is not None and (gate.min is None or value >= gate.min) and (gate.max is None or value <= gate.max)
    delta = (gate.min_delta or 0.0) if gate.against is not None else None
    other = standard.value if standard is not None else None
    if delta is not None:
        enough = enough and value is not None and other is not None and _better_by(better, value, other, delta)
    return GateResult(
        name=gate.name,
        metric="/".join(gate.part_and_name),
        value=value,
        min=gate.min,
        max=gate.max,
        against=standard.what if standard is not None else None,
        against_value=other,
        min_delta=delta,
        passed=enough,
    )


def _better_by(better: Better | None, value: float, other: float, delta: float) -> bool:
    """Whether a value is better than another by at least delta; what only rounding parts from it counts as equal."""
    gain = other - value if better == "min" else value - other
    return gain >= delta or math.isclose(gain, delta, rel_tol=1e-9, abs_tol=1e-12)


def _told(result: GateResult) -> str:
    bounds = [f"at least {result.min:g}" if result.min is not None else ""]
    bounds += [f"at most {result.max:g}" if result.max is not None else ""]
    bounds += [compared(result) or ""]
    is_what = "has no value" if result.value is None else f"is {result.value:.6g}"
    return f"{result.metric} {is_what}, {' and '.join(bound for bound in bounds if bound)} is asked for"


def compared(result: GateResult) -> str | None:
    """What a gate asks for beside something else, in words; none where it does not compare."""
    if result.min_delta is None:
        return None
    delta = result.min_delta
    by = "as good as" if delta == 0 else f"{abs(delta):g} {'better' if delta > 0 else 'worse'} than"
    least = "at most" if delta < 0 else "at least"
    value = "no value" if result.against_value is None else f"{result.against_value:.6g}"
    return f"{least} {by} the {value} of {result.against}"
