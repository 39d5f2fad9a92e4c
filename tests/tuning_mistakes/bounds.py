"""How many trials and for how long, what is not for trials, and trials of a training function of one's own: wrong ones,
and what is said of each."""

from __future__ import annotations

from typing import Any

from tuning_jobs import DATA, LR, Mistake, of, rates
from tuning_mistakes.objectives import SIZE
from tuning_mistakes.searches import CHANGED

LEVEL = "training.arguments.level"
OWN: dict[str, Any] = {"training": {"entrypoint": "train:main"}, "model": None, "data": None}

BOUNDS = [
    # how many, and how long
    Mistake(rates(trials=0), "tuning.trials", "0 is below the least allowed value 1"),
    Mistake(
        rates(workersPerTrial=5),
        "tuning",
        "tuning.workersPerTrial is above workers.replicas, so no trial could ever begin: lower it, or raise"
        " workers.replicas",
    ),
    Mistake(
        rates(workersPerTrial=2, maxConcurrent=3),
        "tuning.maxConcurrent",
        "3 trials at once are more than the 2 that workers.replicas 4 suffices for, with 2 for each: write at most 2,"
        " or raise workers.replicas",
    ),
    Mistake(
        rates(trialsPerWorker=2, workersPerTrial=2),
        "tuning.trialsPerWorker",
        "trialsPerWorker lets trials share a worker, and workersPerTrial gives each trial several: take one of the two"
        " out",
    ),
    Mistake(rates(trialsPerWorker=0), "tuning.trialsPerWorker", "0 is below the least allowed value 1"),
    Mistake(rates(trialsPerWorker=17), "tuning.trialsPerWorker", "17 is above the greatest allowed value 16"),
    Mistake(
        rates(trialsPerWorker=3),
        "tuning.trialsPerWorker",
        "3 trials cannot have equal parts of the 4 GPUs (workers.resources.gpu) of each worker: write 1, 2, 4, 8, 12"
        " or 16",
        {"workers": {"resources": {"gpu": 4}}},
    ),
    Mistake(
        rates(trialsPerWorker=4),
        "tuning.trialsPerWorker",
        "4 trials cannot have equal parts of the 6 training processes (workers.processes) of each worker: write 1, 2,"
        " 3, 6 or 12",
        {"workers": {"processes": 6}},
    ),
    Mistake(
        rates(trialsPerWorker=4, maxConcurrent=17),
        "tuning.maxConcurrent",
        "17 trials at once are more than the 16 that workers.replicas 4 suffices for, with 4 on each: write at most 16,"
        " or raise workers.replicas",
    ),
    Mistake(
        {"entrypoint": "search:main", "trialsPerWorker": 2},
        "tuning.trialsPerWorker",
        "trialsPerWorker has no effect, as tuning.entrypoint runs a Tuner of its own, which decides that: hand it over"
        " in tuning.arguments, or take it out",
        {"training": None, "model": None, "data": None},
    ),
    Mistake(
        rates(trialsPerWorker=4, final="retrain", metric="validation/loss"),
        "training.batchSize",
        "2 rows a step are fewer than the 4 training processes (1 pods of 4), and each needs a row: write at least 4,"
        " or lower tuning.workersPerTrial or workers.processes",
        {"workers": {"processes": 4}, "training": {"batchSize": 2}},
    ),
    Mistake(
        rates(budget={"epochs": 5}),
        "tuning.budget.epochs",
        "5 epochs for all trials are fewer than the 10 of one, so none could be completed: write at least 10, or lower"
        " training.epochs",
    ),
    Mistake(
        rates(budget={"gpuHours": 2}),
        "tuning.budget.gpuHours",
        "trials take no GPU hours, as workers.resources.gpu is 0: write seconds, or give the workers GPUs",
    ),
    Mistake(
        rates(budget={"gpuHours": 0}),
        "tuning.budget.gpuHours",
        "0 is too small: it must be above 0",
        spec={"workers": {"replicas": 4, "resources": {"gpu": 1}}},
    ),
    Mistake(
        rates(trials=8, stopWhen={"noImprovementTrials": 8}),
        "tuning.stopWhen.noImprovementTrials",
        "8 trials without improvement are never reached with 8 trials, the first of which is the best so far: write at"
        " most 7, or take it out",
    ),
    Mistake(
        rates(metric="validation/accuracy", stopWhen={"value": 95}),
        "tuning.stopWhen.value",
        "95 is never reached, as validation/accuracy is at most 1: write 0.95",
    ),
    # what is not for trials
    Mistake(
        rates(scheduler={"name": "median"}),
        "tuning",
        "with data.split.folds a trial is a training for each fold, and tuning.scheduler compares trials epoch by"
        " epoch: set tuning.scheduler.name to none, or take data.split.folds out",
        {"data": {**DATA, "split": {"folds": 3}}},
    ),
    # a training function of one's own
    Mistake(
        of(LEVEL, {"choice": [1, 2]}, metric="loss", constraints=[{**SIZE, "max": 100}]),
        "tuning.constraints",
        "trials of training.entrypoint are compared by the one metric that it reports: take constraints out",
        OWN,
    ),
    Mistake(
        of(LEVEL, {"choice": [1, 2]}),
        "tuning",
        "training.entrypoint reports by names of its own, and trials are compared by one of them: write metric, the"
        " name as the function reports it",
        OWN,
    ),
    Mistake(
        of(LEVEL, {"choice": [1, 2]}, metric="val_acc"),
        "tuning",
        "val_acc is a name of the function's own, and whether more of it is better is not known: write mode min or max",
        OWN,
    ),
    Mistake(
        rates(metric="loss"),
        f"tuning.parameters.{LR}",
        f"{LR} is not handed to training.entrypoint, as arguments are: write training.arguments.NAME",
        OWN,
    ),
    Mistake(
        of("training.arguments", {"choice": [1]}, metric="loss"),
        "tuning.parameters.training.arguments",
        "training.arguments is not handed to training.entrypoint, as arguments are: write training.arguments.NAME",
        OWN,
    ),
    Mistake(
        of("training.arguments.net.depth", {"choice": [1]}, metric="loss"),
        "tuning.parameters.training.arguments.net.depth",
        "training.arguments.net is a number and has no fields: write the path of a field that is there",
        {**OWN, "training": {"entrypoint": "train:main", "arguments": {"net": 3}}},
    ),
    Mistake(
        of(LEVEL, {"choice": [1, 2]}, metric="loss", search={"name": "random"}, scheduler={"name": "pbt"}),
        f"tuning.parameters.{LEVEL}",
        CHANGED,
        OWN,
    ),
    Mistake(
        of(LEVEL, {"choice": [1, 2]}, metric="loss", final="retrain"),
        "tuning.final",
        "training.entrypoint takes the rows of each part itself, so it cannot be trained on the validation part, too:"
        " take final out",
        OWN,
    ),
    Mistake(
        of(LEVEL, {"choice": [1, 2]}, metric="loss", seeds=3),
        "tuning.seeds",
        "what training.entrypoint makes of a seed is not known, so repeats of a trial may be the same: take seeds out",
        OWN,
    ),
    Mistake(
        of(LEVEL, {"choice": [1, 2]}, metric="loss", warmStart=[{"job": "a"}]),
        "tuning.warmStart",
        "whether earlier trials were trained by the same training.entrypoint is not known, so they may not be compared:"
        " take warmStart out",
        OWN,
    ),
    Mistake(
        of(LEVEL, {"choice": [1, 2]}, metric="loss", maxConcurrent=5),
        "tuning.maxConcurrent",
        "5 trials at once are more than the 4 that workers.replicas 4 suffices for, with 1 for each: write at most 4,"
        " or raise workers.replicas",
        OWN,
    ),
    Mistake(
        of(LEVEL, {"choice": [1, 2]}, metric="loss", scheduler={"name": "asha"}),
        "training.epochs",
        "epochs has no effect, as training.entrypoint trains in place of Headway's own loop: hand it over in"
        " training.arguments, or take it out",
        {**OWN, "training": {"entrypoint": "train:main", "epochs": 27}},
    ),
]
