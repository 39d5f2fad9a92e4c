"""Jobs with trials, and what is wrong with them: what tests of wrong sections of `spec.tuning` share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headway_api.validate import problems_of

LR, NAME, HIDDEN = "training.optimizer.lr", "training.optimizer.name", "model.options.hidden"
DROPOUT, EPOCHS, MOMENTUM = "model.options.dropout", "training.epochs", "training.optimizer.momentum"
RATES: dict[str, Any] = {"logUniform": {"min": 0.0001, "max": 0.1}}
DATA: dict[str, Any] = {"source": {"builtin": {"name": "digits"}}}
FORMS = "uniform, logUniform, int, logInt, choice, grid"


def job(tuning: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A job with trials."""
    sections = {"data": DATA, "model": {"name": "mlp"}, "training": {}, "workers": {"replicas": 4}}
    return {
        "apiVersion": "headway.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "trials"},
        "spec": {**sections, **spec, "tuning": tuning},
    }


@dataclass(frozen=True)
class Mistake:
    """A wrong section, and all that is said of it."""

    tuning: dict[str, Any]
    where: str
    """The field, below `spec`."""
    message: str
    spec: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"[:80]


def of(path: str, values: Any, **tuning: Any) -> dict[str, Any]:
    """Tuning of one field."""
    return {"parameters": {path: values}, **tuning}


def rates(**tuning: Any) -> dict[str, Any]:
    """Tuning of the learning rate."""
    return of(LR, RATES, **tuning)


def pbt(path: str, values: Any, **tuning: Any) -> dict[str, Any]:
    """A population with one field that changes."""
    return of(path, values, **{"search": {"name": "random"}, "scheduler": {"name": "pbt"}, **tuning})


def several(*more: tuple[str, Any], **tuning: Any) -> dict[str, Any]:
    """Tuning of the learning rate and other fields."""
    return {"parameters": {LR: RATES, **dict(more)}, **tuning}


def is_told(mistake: Mistake) -> None:
    """Assert that a mistake is told in one sentence, where it is to be corrected."""
    problems = problems_of(job(mistake.tuning, **mistake.spec))
    assert [(problem.field, problem.message) for problem in problems] == [(f"spec.{mistake.where}", mistake.message)]
