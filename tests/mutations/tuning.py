"""Mistakes in the search of hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mutations.job import Rows


def _tuned(path: str, *, spec: Mapping[str, Any] | None = None, **tuning: Any) -> dict[str, Any]:
    """Changes for trials with a parameter at a path, other sections of tuning, and other changes of the spec."""
    values = tuning.pop("values", {"choice": [1, 2]})
    return {"spec.tuning": {"parameters": {path: values}, **tuning}, **(spec or {})}


_LR, _TUNED = "training.optimizer.lr", "spec.tuning.parameters"

_OBJECTIVES = [{"metric": "validation/f1"}, {"metric": "model/bytes"}]

TUNING: Rows = [
    ("tuning of the split", _tuned("data.split.train"), _TUNED),
    ("a parameter in two forms", _tuned(_LR, values={"choice": [1], "uniform": {"min": 1, "max": 2}}), _TUNED),
    ("a parameter with conditions alone", _tuned(_LR, values={"when": {"model.name": ["mlp"]}}), _TUNED),
    ("a range upside down", _tuned(_LR, values={"uniform": {"min": 2, "max": 1}}), "uniform.min"),
    ("a range of one number", _tuned("training.epochs", values={"int": {"min": 5, "max": 5}}), "int.min"),
    ("a step too far", _tuned("training.epochs", values={"int": {"min": 5, "max": 9, "step": 5}}), "int.step"),
    ("a logarithm of nothing", _tuned(_LR, values={"logUniform": {"min": 0, "max": 1}}), "logUniform.min"),
    ("values without any", _tuned(_LR, values={"choice": []}), _TUNED),
    ("a grid of a range", _tuned(_LR, values={"uniform": {"min": 1, "max": 2}}, search={"name": "grid"}), _TUNED),
    ("a grid that is drawn", _tuned(_LR, values={"grid": [1, 2]}, search={"name": "random"}), _TUNED),
    ("a start of random", _tuned(_LR, search={"name": "random", "startupTrials": 5}), "search.startupTrials"),
    ("a population of random", _tuned(_LR, search={"name": "random", "population": 5}), "search.population"),
    ("a population of three", _tuned(_LR, search={"name": "nsga2", "population": 3}), "search.population"),
    ("a metric beside objectives", _tuned(_LR, metric="validation/f1", objectives=_OBJECTIVES), "spec.tuning"),
    ("a direction beside objectives", _tuned(_LR, mode="max", objectives=_OBJECTIVES), "spec.tuning"),
    ("one objective", _tuned(_LR, objectives=_OBJECTIVES[:1]), "spec.tuning.objectives"),
    ("a constraint without a bound", _tuned(_LR, constraints=[{"metric": "model/bytes"}]), "constraints[0]"),
    (
        "bounds upside down",
        _tuned(_LR, constraints=[{"metric": "model/bytes", "min": 2, "max": 1}]),
        "constraints[0].min",
    ),
    ("one objective twice", _tuned(_LR, objectives=_OBJECTIVES[:1] * 2), "spec.tuning.objectives"),
    ("a bound beyond all", _tuned(_LR, constraints=[{"metric": "model/bytes", "max": 10**16}]), "constraints[0].max"),
    ("grace of nobody", _tuned(_LR, scheduler={"graceEpochs": 5}), "scheduler.graceEpochs"),
    (
        "a reduction of the median",
        _tuned(_LR, scheduler={"name": "median", "reductionFactor": 4}),
        "scheduler.reductionFactor",
    ),
    ("an interval of nobody", _tuned(_LR, scheduler={"intervalEpochs": 5}), "scheduler.intervalEpochs"),
    ("a quantile of nobody", _tuned(_LR, scheduler={"name": "asha", "quantile": 0.5}), "scheduler.quantile"),
    ("drawing anew for nobody", _tuned(_LR, scheduler={"resampleProbability": 1}), "scheduler.resampleProbability"),
    ("grace in a population", _tuned(_LR, scheduler={"name": "pbt", "graceEpochs": 2}), "scheduler.graceEpochs"),
    ("more than half of a population", _tuned(_LR, scheduler={"name": "pbt", "quantile": 0.6}), "scheduler.quantile"),
    (
        "earlier trials for chance",
        _tuned(_LR, search={"name": "random"}, warmStart=[{"job": "a"}]),
        "spec.tuning.warmStart",
    ),
    (
        "an earlier study of two places",
        _tuned(_LR, warmStart=[{"job": "a", "uri": "a"}]),
        "spec.tuning.warmStart[0]",
    ),
    (
        "a population that is repeated",
        _tuned(_LR, scheduler={"name": "pbt"}, search={"name": "random"}, seeds=2),
        "spec.tuning.seeds",
    ),
    (
        "a population that is retrained",
        _tuned(_LR, scheduler={"name": "pbt"}, search={"name": "random"}, final="retrain"),
        "spec.tuning.final",
    ),
    ("a population that is proposed", _tuned(_LR, scheduler={"name": "pbt"}), "spec.tuning.search"),
    (
        "a population of shapes",
        _tuned("training.batchSize", search={"name": "random"}, scheduler={"name": "pbt"}),
        _TUNED,
    ),
    ("trials of more workers than there are", _tuned(_LR, workersPerTrial=3), "spec.tuning"),
    (
        "trials of several workers of which each has several trials",
        _tuned(_LR, workersPerTrial=2, trialsPerWorker=2, spec={"spec.workers.replicas": 2}),
        "spec.tuning",
    ),
    (
        "trials over folds that are stopped early",
        _tuned(_LR, scheduler={"name": "asha"}, spec={"spec.data.split.folds": 3}),
        "spec.tuning",
    ),
    ("an unknown searcher", _tuned(_LR, search={"name": "hyperopt"}), "spec.tuning.search.name"),
    ("no trials", _tuned(_LR, trials=0), "spec.tuning.trials"),
    ("no parameters", {"spec.tuning": {"parameters": {}}}, "spec.tuning.parameters"),
    ("nothing to tune", {"spec.tuning": {"trials": 3}}, "spec.tuning.parameters"),
    ("arguments for no function of one's own", _tuned(_LR, arguments={"epochs": 3}), "spec.tuning.arguments"),
]
