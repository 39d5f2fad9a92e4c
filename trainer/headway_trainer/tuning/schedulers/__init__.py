"""Which trials are stopped before their last epoch. Pure: a verdict depends on what was reported before it, in order.

A report is of a loss: the metric's value, negated where more is better.
"""

from __future__ import annotations

from typing import Protocol

from headway_api import schedulers
from headway_trainer.tuning.schedulers.asha import Asha
from headway_trainer.tuning.schedulers.hyperband import Hyperband
from headway_trainer.tuning.schedulers.median import Median


class Scheduler(Protocol):
    """Judges trials by their losses."""

    def judged_at(self, trial: int, epochs: int) -> frozenset[int]:
        """The epochs after which a trial of so many epochs reports."""

    def judge(self, trial: int, epoch: int, loss: float) -> bool:
        """Take a report in; whether the trial goes on. A trial reports each epoch once, and in order."""


class NoScheduler:
    """Stops none."""

    def judged_at(self, trial: int, epochs: int) -> frozenset[int]:  # noqa: ARG002 - as of Scheduler
        """None."""
        return frozenset()

    def judge(self, trial: int, epoch: int, loss: float) -> bool:  # noqa: ARG002 - as of Scheduler
        """It goes on."""
        return True


def scheduler(spec: schedulers.Scheduler, epochs: int) -> Scheduler:
    """The scheduler of `spec.tuning.scheduler`. epochs: the most that a trial has."""
    match spec.name:
        case "asha":
            return Asha(spec.grace_epochs, spec.reduction_factor)
        case "hyperband":
            return Hyperband(spec.grace_epochs, spec.reduction_factor, epochs)
        case "median":
            return Median(spec.grace_epochs)
        case "none" | "pbt":  # what a population does is told to its trials between epochs, and stops none
            return NoScheduler()
