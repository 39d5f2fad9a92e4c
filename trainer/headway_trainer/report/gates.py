"""Whether a finished model reaches the gates of `spec.evaluation`. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from headway_api.evaluation import Gate
from headway_trainer.report.model import GateResult, Metrics


def judge(gates: Sequence[Gate], metrics: Metrics) -> list[GateResult]:
    """How a model with these metrics does at each gate. A metric that is not there, or no number, passes none."""
    return [_judge(gate, _value(gate, metrics)) for gate in gates]


def failed(results: Sequence[GateResult]) -> str | None:
    """A sentence that names the gates that were not passed; none where all were."""
    missed = [f"{one.name} ({_told(one)})" for one in results if not one.passed]
    if not missed:
        return None
    gates = "the gate" if len(missed) == 1 else "the gates"
    return f"the model did not pass {gates} {', '.join(missed)}; it is kept, with its report"


def _value(gate: Gate, metrics: Metrics) -> float | None:
    part, name = gate.part_and_name
    values: dict[str, float | None] = getattr(metrics, part, {})
    # A training function of the user's own reports by names of its own.
    return values.get(name, metrics.reported.get(gate.metric))


def _judge(gate: Gate, value: float | None) -> GateResult:
    enough = value is not None and (gate.min is None or value >= gate.min) and (gate.max is None or value <= gate.max)
    return GateResult(
        name=gate.name, metric="/".join(gate.part_and_name), value=value, min=gate.min, max=gate.max, passed=enough
    )


def _told(result: GateResult) -> str:
    bounds = [f"at least {result.min:g}" if result.min is not None else ""]
    bounds += [f"at most {result.max:g}" if result.max is not None else ""]
    is_what = "has no value" if result.value is None else f"is {result.value:.6g}"
    return f"{result.metric} {is_what}, {' and '.join(bound for bound in bounds if bound)} is asked for"
