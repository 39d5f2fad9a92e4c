"""Several objectives, and constraints: wrong ones, and what is said of each."""

from __future__ import annotations

from typing import Any

from tuning_jobs import DATA, Mistake, of, rates

ACCURACY, SIZE = {"metric": "validation/accuracy"}, {"metric": "model/bytes"}


def both(*more: dict[str, Any], **tuning: Any) -> dict[str, Any]:
    """Tuning of the learning rate by two objectives, and others."""
    return rates(**{"search": {"name": "nsga2"}, "objectives": [ACCURACY, SIZE, *more], **tuning})


def kept(*constraints: dict[str, Any], **tuning: Any) -> dict[str, Any]:
    """Tuning of the learning rate by one metric under constraints."""
    return rates(**{"metric": "validation/accuracy", "constraints": list(constraints), **tuning})


OBJECTIVES = [
    # several objectives
    Mistake(
        both(metric="validation/accuracy"),
        "tuning",
        "set at most one of metric, objectives: the metrics of objectives are what trials are compared by",
    ),
    Mistake(both(mode="max"), "tuning", "set at most one of mode, objectives: each objective has a mode of its own"),
    Mistake(
        both(objectives=[ACCURACY]),
        "tuning.objectives",
        "has 1 entries: at least 2 are needed",
    ),
    Mistake(
        both(objectives=[SIZE, {"metric": "validation/acuracy"}]),
        "tuning.objectives[1].metric",
        '"acuracy" is no metric; did you mean accuracy?',
    ),
    Mistake(
        both({"metric": "model/size"}),
        "tuning.objectives[2].metric",
        '"model/size" is no metric: write model/bytes, or one of the validation part',
    ),
    Mistake(
        both({"metric": "f1"}), "tuning.objectives[2].metric", '"f1" does not say of which part: write validation/f1'
    ),
    Mistake(
        both({"metric": "train/loss"}),
        "tuning.objectives[2].metric",
        "train/loss is of rows that trials have been trained on, and they are compared by others: write"
        " validation/loss",
    ),
    Mistake(both(ACCURACY), "tuning.objectives", "names validation/accuracy twice: take one out"),
    Mistake(
        both({"metric": "validation/rocAuc"}),
        "tuning.objectives[2].metric",
        "rocAuc is computed after an epoch only where it chooses the checkpoint, and validation/accuracy does: make it"
        " the first of objectives, or take it out",
    ),
    Mistake(
        of(
            "model.options.alpha",
            {"logUniform": {"min": 0.1, "max": 9}},
            search={"name": "nsga2"},
            objectives=[ACCURACY, {"metric": "validation/f1"}],
        ),
        "tuning.objectives[1].metric",
        "f1 is not computed, as evaluation.metrics does not name it: add it there",
        {"model": {"name": "linear"}, "evaluation": {"metrics": ["accuracy"]}},
    ),
    Mistake(
        both(objectives=[ACCURACY, {**SIZE, "mode": "max"}]),
        "tuning.objectives[1].mode",
        "max would take the worst for the best, as less model/bytes is better: write min, or take mode out",
    ),
    Mistake(
        both(objectives=[SIZE, ACCURACY]),
        "tuning.objectives[1].metric",
        "validation/accuracy chooses the checkpoint that is kept of a trial, and training.checkpoint.metric says"
        " validation/f1: write the same in both, or take one out",
        {"training": {"checkpoint": {"metric": "validation/f1"}}},
    ),
    Mistake(
        both(),
        "tuning.objectives",
        "trials are compared by the validation part, which is empty: set data.split.validation above 0",
        {"data": {**DATA, "split": {"train": 0.9, "validation": 0, "test": 0.1}}},
    ),
    Mistake(
        rates(search={"name": "nsga2"}),
        "tuning.search.name",
        "nsga2 is for several objectives: write objectives, or another search.name",
    ),
    Mistake(
        both(search={"name": "tpe"}),
        "tuning.search.name",
        "tpe learns from one value of a trial, and objectives are several: write nsga2, random or grid",
    ),
    Mistake(
        both(search={"name": "random", "population": 20}),
        "tuning.search.population",
        "population is for nsga2: take it out, or write another name",
    ),
    Mistake(
        both(search={"name": "nsga2", "population": 500}),
        "tuning.search.population",
        "500 is above the greatest allowed value 200",
    ),
    Mistake(
        both(search={"name": "nsga2", "population": 20}),
        "tuning.search.population",
        "20 trials are the first generation of 20, which is drawn at random, so none descends from others: write more,"
        " or a population of at most 19",
    ),
    Mistake(
        both(trials=4),
        "tuning.trials",
        "4 trials are the first generation of 10, which is drawn at random, so none descends from others: write more",
    ),
    Mistake(
        both(scheduler={"name": "asha"}),
        "tuning.scheduler.name",
        "asha goes by one value after an epoch, and objectives are several: write none, or metric in place of"
        " objectives",
    ),
    Mistake(
        both(stopWhen={"value": 0.9}),
        "tuning.stopWhen.value",
        "a value of one metric says nothing of the other objectives: take it out, or write budget or trials",
    ),
    Mistake(
        both(stopWhen={"noImprovementTrials": 5}),
        "tuning.stopWhen.noImprovementTrials",
        "goes by the best trial, and with objectives others make the front better, too: take it out, or write budget or"
        " trials",
    ),
    Mistake(
        kept({**SIZE, "max": 100}, warmStart=[{"job": "a"}]),
        "tuning.warmStart",
        "of earlier trials one value is known, and not whether they keep constraints: take warmStart out",
    ),
    Mistake(
        both(seeds=3),
        "tuning.seeds",
        "repeats of a trial have the mean of one metric, and objectives go by the values of one model: take seeds out",
    ),
    Mistake(
        both(),
        "tuning.objectives",
        "go by the values of one model of each trial, and over folds it has several: take objectives out, or"
        " data.split.folds",
        {"data": {**DATA, "split": {"folds": 3}}},
    ),
    # constraints
    Mistake(kept(SIZE), "tuning.constraints[0]", "set min or max: a constraint without a bound holds nothing back"),
    Mistake(
        kept({**ACCURACY, "min": 95}),
        "tuning.constraints[0].min",
        "95 is never reached, as validation/accuracy is at most 1: write 0.95",
    ),
    Mistake(
        kept({"metric": "validation/loss", "max": -1}),
        "tuning.constraints[0].max",
        "-1 is never met, as validation/loss is at least 0: write more",
    ),
    Mistake(
        kept({**SIZE, "min": 1}),
        "tuning.constraints[0].min",
        "1 is always met, as model/bytes is at least 1: write more, or take it out",
    ),
    Mistake(
        kept({**ACCURACY, "max": 1}),
        "tuning.constraints[0].max",
        "1 is always met, as validation/accuracy is at most 1: write less, or take it out",
    ),
    Mistake(
        kept({**SIZE, "max": 100}, {**SIZE, "max": 200}),
        "tuning.constraints",
        "names model/bytes twice: take one out",
    ),
    Mistake(
        kept({**SIZE, "max": 100, "min": 200}),
        "tuning.constraints[0].min",
        "min is above max, and no value is between them: correct one of the two",
    ),
    Mistake(
        kept({"metric": "validation/averagePrecision", "min": 0.5}),
        "tuning.constraints[0].metric",
        "averagePrecision is computed after an epoch only where it chooses the checkpoint, and validation/accuracy"
        " does: make it tuning.metric, or take it out",
    ),
    Mistake(
        kept({**SIZE, "max": 100}, search={"name": "cmaes"}),
        "tuning.search.name",
        "cmaes knows no constraints: write tpe, random or grid, or take constraints out",
    ),
    Mistake(
        kept({**SIZE, "max": 100}, scheduler={"name": "median"}),
        "tuning.scheduler.name",
        "median goes by one value after an epoch, and constraints are judged at a trial's end: write none, or take"
        " constraints out",
    ),
    Mistake(
        kept({**SIZE, "max": 100}, stopWhen={"value": 0.9}),
        "tuning.stopWhen.value",
        "a value of one metric may be that of a trial that breaks a constraint: take it out, or write budget or trials",
    ),
]
