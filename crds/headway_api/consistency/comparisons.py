"""Gates that compare: with the baseline, or with the result of another run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway_api import metrics
from headway_api.base import BrokenRule
from headway_api.consistency.facts import own_function, own_loop
from headway_api.wording import shown

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec


def baseline_of_what_has_none(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A comparison with the baseline of a metric for which there is none."""
    for index, gate in enumerate(spec.evaluation.gates or ()):
        if gate.against is None or not gate.against.baseline:
            continue
        here = ("evaluation", "gates", index, "against", "baseline")
        part, name = gate.part_and_name
        if own_loop(spec):
            yield BrokenRule(
                f"{own_function(spec)} reports its own metrics, and Headway knows no baseline of them: write min or"
                " max",
                here,
            )
        elif part != "test":
            yield BrokenRule(f"the baseline is known of the test part alone: set metric to test/{name}", here)


def comparison_without_direction(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A metric of which nobody knows whether more or less of it is better."""
    for index, gate in enumerate(spec.evaluation.gates or ()):
        if gate.against is not None and own_loop(spec) and metrics.better(gate.metric) is None:
            yield BrokenRule(
                f"{shown(gate.metric)} is none of Headway's metrics, so nobody knows whether more or less of it is "
                "better: write min or max in place of against",
                ("evaluation", "gates", index, "against"),
            )


CHECKS = (baseline_of_what_has_none, comparison_without_direction)
