"""Wrong sections of `spec.tuning`: each is told in one clear sentence, at the place that is to be corrected."""

from __future__ import annotations

from typing import Any

import pytest

from headway_api import trials
from headway_api.consistency import objectives, populations, tuning
from headway_api.consistency.trial_values import MOST_COMBINATIONS
from headway_api.job import TrainingJob
from headway_api.parameters import Parameter
from headway_api.understand import understand
from headway_api.validate import problems_of
from tuning_jobs import (
    DATA,
    DROPOUT,
    EPOCHS,
    FORMS,
    HIDDEN,
    LR,
    MOMENTUM,
    NAME,
    RATES,
    Mistake,
    is_told,
    job,
    of,
    pbt,
    rates,
    several,
)

TABLE: dict[str, Any] = {
    "source": {"uri": "flats.csv", "format": "csv"},
    "target": "price",
    "columns": {"day": {"role": "time"}},
}
PATHS = (
    "parameters are fields of model and training, as training.optimizer.lr is, of data.columns, and data.scale,"
    " data.forecast.history, data.forecast.every: take out what is none of these"
)
LEVEL = "training.arguments.level"
OWN: dict[str, Any] = {"training": {"entrypoint": "train:main"}, "model": None, "data": None}
ACCURACY, SIZE = {"metric": "validation/accuracy"}, {"metric": "model/bytes"}


def both(*more: dict[str, Any], **tuning: Any) -> dict[str, Any]:
    """Tuning of the learning rate by two objectives, and others."""
    return rates(**{"search": {"name": "nsga2"}, "objectives": [ACCURACY, SIZE, *more], **tuning})


def kept(*constraints: dict[str, Any], **tuning: Any) -> dict[str, Any]:
    """Tuning of the learning rate by one metric under constraints."""
    return rates(**{"metric": "validation/accuracy", "constraints": list(constraints), **tuning})


CHANGED = (
    "pbt changes values in the middle of a trial, which can be done with training.optimizer.lr,"
    " training.optimizer.weightDecay, training.optimizer.momentum, training.clip.norm and model.options.dropout: take"
    " the others out, or write another scheduler.name"
)

MISTAKES = [
    # paths
    Mistake(
        of("training.optimiser.lr", RATES),
        "tuning.parameters.training.optimiser.lr",
        "unknown field `optimiser`: did you mean `optimizer`?",
    ),
    Mistake(
        of("training.lr", RATES),
        "tuning.parameters.training.lr",
        "unknown field `lr`: it belongs to training.optimizer",
    ),
    Mistake(
        of("model.options.hiden", {"choice": [[64]]}),
        "tuning.parameters.model.options.hiden",
        "unknown field `hiden`: did you mean `hidden`?",
    ),
    Mistake(
        of("training.epochs.most", {"choice": [3]}),
        "tuning.parameters.training.epochs.most",
        "training.epochs is a number and has no fields: write the path of a field that is there",
    ),
    Mistake(
        of("training.optimizer", {"choice": ["sgd", "adamw"]}),
        "tuning.parameters.training.optimizer",
        "training.optimizer is a section, and a parameter is one field: write one of training.optimizer.name,"
        " training.optimizer.lr, training.optimizer.weightDecay, training.optimizer.momentum",
    ),
    Mistake(
        of("model.options", {"choice": [3]}),
        "tuning.parameters.model.options",
        "model.options is a mapping, and a parameter is one of its values: write model.options.NAME",
    ),
    Mistake(
        of("lr", RATES),
        "tuning.parameters.lr",
        '"lr" must be the path of a field in spec, for example training.optimizer.lr',
    ),
    Mistake(
        of("data.split.train", {"uniform": {"min": 0.5, "max": 0.8}}),
        "tuning.parameters.data.split.train",
        PATHS,
    ),
    Mistake(of("data.split.seed", {"choice": [1, 2]}), "tuning.parameters.data.split.seed", PATHS),
    Mistake(of("data.forecast.horizon", {"choice": [1, 2]}), "tuning.parameters.data.forecast.horizon", PATHS),
    Mistake(
        of("data.scale", {"choice": ["standard", "minmax"]}),
        "tuning.parameters.data.scale.choice[1]",
        '"minmax" is not one of standard, minMax, none; did you mean minMax?',
    ),
    Mistake(
        of("data.columns.income.role", {"choice": ["feature", "group"]}),
        "tuning.parameters.data.columns.income.role",
        '"group" changes which rows trials are compared by: write feature or ignore',
        {"data": TABLE},
    ),
    Mistake(
        of("data.columns.price.kind", {"choice": ["number", "category"]}),
        "tuning.parameters.data.columns.price.kind",
        "price has the role target, and trials with other kinds of it could not be compared: take it out",
        {"data": TABLE},
    ),
    Mistake(
        of("data.columns.day.role", {"choice": ["feature", "ignore"]}),
        "tuning.parameters.data.columns.day.role",
        "day has the role time, and trials with other roles of it could not be compared: take it out",
        {"data": TABLE},
    ),
    Mistake(
        of("training.checkpoint.metric", {"choice": ["validation/loss"]}),
        "tuning.parameters.training.checkpoint.metric",
        "checkpoints do not change what is learnt, and trials are compared by their metric: take it out",
    ),
    Mistake(
        of("training.entrypoint", {"choice": ["train:main"]}),
        "tuning.parameters.training.entrypoint",
        "training.entrypoint is of a training function of your own, and trials are trained by the built-in loop: take"
        " it out",
    ),
    Mistake(
        {"parameters": {"model.options.net": {"choice": [1]}, "model.options.net.depth": {"choice": [2]}}},
        "tuning.parameters.model.options.net",
        "model.options.net.depth is a part of it and a parameter, too: take one of the two out",
        {"model": {"name": "acme.net"}},
    ),
    # values
    Mistake(
        of(LR, {}), f"tuning.parameters.{LR}", f"set exactly one of {FORMS}: they are the forms of a parameter's values"
    ),
    Mistake(
        of(LR, {"loguniform": {"min": 0.001, "max": 0.1}}),
        f"tuning.parameters.{LR}.loguniform",
        "unknown field `loguniform`: did you mean `logUniform`?",
    ),
    Mistake(
        of(LR, {"choice": [0.1], **RATES}),
        f"tuning.parameters.{LR}",
        f"set exactly one of {FORMS}: they are the forms of a parameter's values",
    ),
    Mistake(
        of(LR, {"logUniform": {"min": 0, "max": 0.1}}),
        f"tuning.parameters.{LR}.logUniform.min",
        "0 is too small: it must be above 0",
    ),
    Mistake(
        of(LR, {"uniform": {"min": 0.1, "max": 0.01}}),
        f"tuning.parameters.{LR}.uniform.min",
        "min must be below max: correct one of the two",
    ),
    Mistake(
        of(EPOCHS, {"int": {"min": 2, "max": 5, "step": 4}}),
        f"tuning.parameters.{EPOCHS}.int.step",
        "step is greater than max - min, so that min is the only value: write a smaller step",
    ),
    Mistake(
        of(EPOCHS, {"uniform": {"min": 2, "max": 9}}),
        f"tuning.parameters.{EPOCHS}",
        "holds whole numbers alone: write int in place of uniform",
    ),
    Mistake(
        of(MOMENTUM, {"uniform": {"min": 0.5, "max": 1}}),
        f"tuning.parameters.{MOMENTUM}.uniform.max",
        "1 is too large: it must be below 1",
        {"training": {"optimizer": {"name": "sgd"}}},
    ),
    Mistake(
        of(NAME, {"choice": ["sgd", "adam", "adamw"]}),
        f"tuning.parameters.{NAME}.choice[1]",
        '"adam" is not one of adamw, sgd; did you mean adamw?',
    ),
    Mistake(
        of("training.batchSize", {"choice": ["32", 64]}),
        "tuning.parameters.training.batchSize.choice[0]",
        '"32" is a string, but this must be a whole number: take the quotes away, or correct the value',
    ),
    Mistake(
        of(HIDDEN, {"choice": [[64], [64, 0], [32]]}),
        f"tuning.parameters.{HIDDEN}.choice[1][1]",
        "0 is below the least allowed value 1",
    ),
    Mistake(
        of(HIDDEN, {"choice": [[64], {"first": 64}]}),
        f"tuning.parameters.{HIDDEN}.choice[1]",
        "a mapping is no value of a parameter: write a number, a text, true, false, or a list of these",
    ),
    Mistake(
        of(EPOCHS, {"choice": [3, 5, 3]}),
        f"tuning.parameters.{EPOCHS}.choice",
        "holds 3 more than once: write each value once",
    ),
    Mistake(
        of("training.batchSize", {"choice": [1, 64]}, workersPerTrial=2),
        "tuning.parameters.training.batchSize.choice[0]",
        "1 rows a step are fewer than the 2 workers, and each needs a row: write at least 2, or lower workers.replicas",
    ),
    # values beside each other
    Mistake(
        several((HIDDEN, {"choice": [[], [64]]}), (DROPOUT, {"choice": [0, 0.5]})),
        f"tuning.parameters.{DROPOUT}.choice[1]",
        "dropout is after each hidden layer, and hidden is empty: give it a width, or take dropout out. That is so"
        " beside model.options.hidden []: correct one of them, or limit the parameter with when",
    ),
    Mistake(
        several((MOMENTUM, {"choice": [0.5, 0.99]}), (NAME, {"choice": ["sgd", "adamw"]})),
        f"tuning.parameters.{MOMENTUM}",
        "momentum is for sgd, and adamw has none: take it out, or set optimizer.name to sgd. That is so beside"
        ' training.optimizer.name "adamw": correct one of them, or limit the parameter with when',
    ),
    Mistake(
        {"parameters": {"model.name": {"choice": ["mlp", "cnn"]}, HIDDEN: {"choice": [[64], [32]]}}},
        f"tuning.parameters.{HIDDEN}",
        'a list, but this must be a whole number. That is so beside model.name "cnn": correct one of them, or limit the'
        " parameter with when",
    ),
    # conditions
    Mistake(
        of(LR, {**RATES, "when": {"training.optimizer.nam": ["sgd"]}}),
        f"tuning.parameters.{LR}.when.training.optimizer.nam",
        "training.optimizer.nam is no parameter of this job, so nothing depends on it: name one that is in"
        " tuning.parameters, or take it out",
    ),
    Mistake(
        {"parameters": {NAME: {"choice": ["sgd", "adamw"]}, MOMENTUM: {"choice": [0.5], "when": {NAME: ["SGD"]}}}},
        f"tuning.parameters.{MOMENTUM}.when.{NAME}[0]",
        '"SGD" is no value of training.optimizer.name: write one of "sgd", "adamw"',
    ),
    Mistake(
        several((EPOCHS, {"choice": [3, 5], "when": {LR: [0.01]}})),
        f"tuning.parameters.{EPOCHS}.when.{LR}[0]",
        "training.optimizer.lr is a range of real numbers, and no condition is met by chance: give it choice",
    ),
    Mistake(
        {
            "parameters": {
                NAME: {"choice": ["sgd"], "when": {EPOCHS: [3]}},
                EPOCHS: {"choice": [3], "when": {NAME: ["sgd"]}},
            }
        },
        f"tuning.parameters.{EPOCHS}.when",
        "training.epochs depends on training.optimizer.name depends on training.epochs, so none of them has a value:"
        " take one when out",
    ),
    # the search
    Mistake(
        rates(search={"name": "bayes"}),
        "tuning.search.name",
        '"bayes" is not one of grid, random, tpe, gp, cmaes, nsga2; did you mean cmaes?',
    ),
    Mistake(
        rates(search={"name": "grid"}),
        f"tuning.parameters.{LR}.logUniform",
        "a grid has values that are written one by one: write grid or choice, or another search.name",
    ),
    Mistake(
        of(LR, {"grid": [0.1, 0.01]}),
        f"tuning.parameters.{LR}.grid",
        "grid is for search.name grid: write choice, or set search.name to grid",
    ),
    Mistake(
        of(LR, {"grid": [0.1, 0.01]}, search={"name": "grid"}, trials=5),
        "tuning.trials",
        "5 trials are more than the 2 combinations of the grid: write at most 2, or take trials out",
    ),
    Mistake(
        {
            "parameters": {f"model.options.a{number}": {"grid": list(range(10))} for number in range(5)},
            "search": {"name": "grid"},
        },
        "tuning.parameters",
        "the grid has more than 10000 combinations, and no more trials are allowed: take values out, or write trials,"
        " which then are the first ones of the grid",
        {"model": {"name": "acme.net"}},
    ),
    Mistake(
        several((NAME, {"choice": ["sgd", "adamw"]}), search={"name": "cmaes"}),
        f"tuning.parameters.{NAME}.choice",
        "cmaes searches numbers alone: write a range, such as int or logUniform, or another search.name",
    ),
    Mistake(
        rates(search={"name": "random", "startupTrials": 20}),
        "tuning.search.startupTrials",
        "startupTrials is for tpe and gp: take it out, or write another name",
    ),
    # the scheduler
    Mistake(
        rates(scheduler={"name": "asha", "graceEpochs": 10}),
        "tuning.scheduler.graceEpochs",
        "10 epochs of grace are all that a trial has, which is 10, so none is ever stopped: write at most 9, or raise"
        " training.epochs",
    ),
    Mistake(
        rates(scheduler={"name": "median"}),
        "tuning.scheduler.name",
        "median stops trials before their last epoch, and theirs is the first: raise training.epochs, or write none",
        {"training": {"epochs": 1}},
    ),
    Mistake(
        rates(scheduler={"graceEpochs": 2}),
        "tuning.scheduler.graceEpochs",
        "graceEpochs is of a scheduler, and name is none: set name, or take graceEpochs out",
    ),
    Mistake(
        rates(scheduler={"name": "median", "reductionFactor": 2}),
        "tuning.scheduler.reductionFactor",
        "reductionFactor is for asha and hyperband: set name to one of them, or take it out",
    ),
    Mistake(
        of("model.options.iterations", {"int": {"min": 10, "max": 90}}, scheduler={"name": "asha"}),
        "tuning.scheduler.name",
        "asha stops trials by their epochs, and gradientBoosting is fitted without any: write none",
        {"model": {"name": "gradientBoosting"}},
    ),
    # a population
    Mistake(
        pbt(HIDDEN, {"choice": [[8], [16]]}),
        "tuning.parameters.model.options.hidden",
        CHANGED,
    ),
    Mistake(
        {**pbt(LR, RATES), "search": {"name": "tpe"}},
        "tuning.search",
        "pbt begins with values that are drawn or listed, and changes them by itself: set search.name to random or"
        " grid",
    ),
    Mistake(
        pbt(LR, RATES, trials=1),
        "tuning.trials",
        "1 trial has none to take over from: write 2 or more, or another scheduler.name",
    ),
    Mistake(
        pbt(LR, {"grid": [0.1]}, search={"name": "grid"}),
        "tuning.parameters",
        "1 trial has none to take over from: write 2 or more, or another scheduler.name",
    ),
    Mistake(
        pbt(LR, RATES, trials=2000),
        "tuning.trials",
        "2000 trials are more than a population may have, as the checkpoint of each is kept: write at most 1000",
    ),
    Mistake(
        pbt(LR, RATES, scheduler={"name": "pbt", "intervalEpochs": 10}),
        "tuning.scheduler.intervalEpochs",
        "after 10 epochs, the first time that trials are compared, they have all their epochs, which are 10, so none"
        " ever takes over: write at most 9, or raise training.epochs",
    ),
    Mistake(
        pbt(LR, RATES, scheduler={"name": "pbt", "graceEpochs": 2}),
        "tuning.scheduler.graceEpochs",
        "graceEpochs is for median, asha, hyperband, and pbt stops no trial: write intervalEpochs",
    ),
    Mistake(
        pbt(LR, RATES, scheduler={"name": "pbt", "reductionFactor": 2}),
        "tuning.scheduler.reductionFactor",
        "reductionFactor is for asha and hyperband: set name to one of them, or take it out",
    ),
    Mistake(
        pbt(LR, RATES, scheduler={"name": "pbt", "quantile": 0.6}),
        "tuning.scheduler.quantile",
        "0.6 is above the greatest allowed value 0.5",
    ),
    Mistake(
        rates(scheduler={"name": "asha", "quantile": 0.5}),
        "tuning.scheduler.quantile",
        "quantile is for pbt: set name to it, or take quantile out",
    ),
    Mistake(
        rates(scheduler={"intervalEpochs": 5}),
        "tuning.scheduler.intervalEpochs",
        "intervalEpochs is for pbt: set name to it, or take intervalEpochs out",
    ),
    Mistake(
        rates(scheduler={"resampleProbability": 0}),
        "tuning.scheduler.resampleProbability",
        "resampleProbability is for pbt: set name to it, or take resampleProbability out",
    ),
    Mistake(
        pbt(DROPOUT, {"uniform": {"min": 0, "max": 0.5}}),
        "tuning.parameters.model.options.dropout.uniform.min",
        "0 is a model without this layer, and pbt gives one model's checkpoint to another: write values above 0",
    ),
    Mistake(
        pbt(DROPOUT, {"choice": [0.1, 0.0]}),
        "tuning.parameters.model.options.dropout.choice[1]",
        "0 is a model without this layer, and pbt gives one model's checkpoint to another: write values above 0",
    ),
    Mistake(
        pbt(LR, RATES),
        "training.earlyStopping",
        "earlyStopping ends a trial that no longer gets better, and with pbt it takes over from a better one: take"
        " earlyStopping out, or write another tuning.scheduler.name",
        {"training": {"earlyStopping": {}}},
    ),
    Mistake(
        pbt(LR, RATES, stopWhen={"noImprovementTrials": 3}),
        "tuning.stopWhen.noImprovementTrials",
        "counts trials that end one after another, and those of pbt all end together: take it out, or write value",
    ),
    Mistake(
        {
            **pbt(LR, {"choice": [0.1, 0.2]}),
            "parameters": {
                LR: {"choice": [0.1, 0.2]},
                "training.clip.norm": {"uniform": {"min": 1, "max": 2}, "when": {LR: [0.1]}},
            },
        },
        "tuning.parameters.training.clip.norm.when",
        "pbt changes all parameters together, so none may have conditions: take when out, or write another"
        " scheduler.name",
    ),
    # the metric
    Mistake(
        rates(metric="validation/acurracy"),
        "tuning.metric",
        '"acurracy" is no metric; did you mean accuracy?',
    ),
    Mistake(rates(metric="f1"), "tuning.metric", '"f1" does not say of which part: write validation/f1'),
    Mistake(
        rates(metric="test/f1"),
        "tuning.metric",
        "the test part is not looked at before the end, so it chooses nothing: write validation/f1",
    ),
    Mistake(
        rates(metric="train/loss"),
        "tuning.metric",
        "train/loss is of rows that trials have been trained on, and they are compared by others: write"
        " validation/loss",
    ),
    Mistake(
        rates(),
        "tuning.metric",
        "is missing, and training.checkpoint.metric is train/loss, but trials are compared by rows that they have not"
        " been trained on: write validation/loss there",
        {"training": {"checkpoint": {"metric": "train/loss"}}},
    ),
    Mistake(
        rates(),
        "tuning.metric",
        "trials are compared by the validation part, which is empty: set data.split.validation above 0",
        {"data": {**DATA, "split": {"train": 0.9, "validation": 0, "test": 0.1}}},
    ),
    Mistake(
        rates(metric="validation/f1"),
        "tuning.metric",
        "validation/f1 chooses the checkpoint that is kept of a trial, and training.checkpoint.metric says"
        " validation/accuracy: write the same in both, or take one out",
        {"training": {"checkpoint": {"metric": "validation/accuracy"}}},
    ),
    Mistake(
        of("model.options.alpha", {"logUniform": {"min": 0.1, "max": 9}}, metric="validation/f1"),
        "tuning.metric",
        "f1 is not computed, as evaluation.metrics does not name it: add it there",
        {"model": {"name": "linear"}, "evaluation": {"metrics": ["accuracy"]}},
    ),
    Mistake(
        rates(metric="validation/accuracy", mode="min"),
        "tuning.mode",
        "min would take the worst for the best, as more validation/accuracy is better: write max, or take mode out",
    ),
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


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_wrong_section_is_told_in_one_sentence_where_it_is_to_be_corrected(mistake: Mistake) -> None:
    is_told(mistake)


def test_there_are_mistakes_of_all_kinds() -> None:
    assert len(MISTAKES) >= 40
    specs = [understand(TrainingJob, job(each.tuning, **each.spec)).spec for each in MISTAKES]
    unused = [
        check.__name__
        for check in (*tuning.CHECKS, *populations.CHECKS, *objectives.CHECKS)
        if not any(list(check(spec)) for spec in specs)
    ]
    assert unused == []


@pytest.mark.parametrize(
    "tuning",
    [
        rates(),
        rates(metric="validation/f1", mode="max", trials=1, maxConcurrent=4),
        several((NAME, {"choice": ["sgd", "adamw"]}), (MOMENTUM, {"choice": [0.5, 0.99], "when": {NAME: ["sgd"]}})),
        several(
            ("model.name", {"choice": ["mlp", "cnn"]}),
            (HIDDEN, {"choice": [[8], [9]], "when": {"model.name": ["mlp"]}}),
        ),
        several(
            (EPOCHS, {"int": {"min": 2, "max": 9, "step": 3}}), (MOMENTUM, {"choice": [0.9], "when": {EPOCHS: [5]}})
        ),
        of(HIDDEN, {"grid": [[64], [64, 32], []]}, search={"name": "grid"}),
        of(HIDDEN, {"grid": [[64], [32]]}, search={"name": "grid"}, trials=1),
        of(EPOCHS, {"choice": [1, 50]}, scheduler={"name": "asha", "graceEpochs": 49}, budget={"epochs": 1}),
        of(EPOCHS, {"logInt": {"min": 1, "max": 80}}, scheduler={"name": "hyperband", "reductionFactor": 4}),
        several((EPOCHS, {"int": {"min": 1, "max": 80}}), search={"name": "cmaes"}),
        rates(search={"name": "gp", "startupTrials": 3}, stopWhen={"value": 0.01, "noImprovementTrials": 19}),
        of("training.clip.norm", {"uniform": {"min": 1, "max": 5}}),
        of("training.earlyStopping.patience", {"int": {"min": 1, "max": 5}}),
        of("training.batchSize", {"choice": [2]}),
        both(),
        both({"metric": "validation/f1", "mode": "max"}, search={"name": "random"}, budget={"epochs": 50}),
        both(objectives=[SIZE, {"metric": "validation/rocAuc"}], constraints=[{**ACCURACY, "min": 0.9}]),
        of(HIDDEN, {"grid": [[64], [8]]}, search={"name": "grid"}, objectives=[ACCURACY, SIZE]),
        kept({**SIZE, "max": 50_000, "min": 100}, stopWhen={"noImprovementTrials": 5}),
        rates(trialsPerWorker=16, maxConcurrent=64),
    ],
    ids=str,
)
def test_what_only_looks_wrong_is_valid(tuning: dict[str, Any]) -> None:
    assert problems_of(job(tuning)) == []


def test_a_value_that_no_model_takes_is_not_told_as_one_that_some_do() -> None:
    names = {"model.name": {"choice": ["mlp", "cnn", "resnet"]}}
    problems = problems_of(job({"parameters": {**names, DROPOUT: {"choice": [0.5, 1.5]}}}))
    assert {problem.field: problem.message for problem in problems} == {
        f"spec.tuning.parameters.{DROPOUT}.choice[1]": "1.5 is too large: it must be below 1",
        "spec.tuning.parameters.model.name.choice[2]": '"resnet" is not one of mlp, cnn, gru, linear, randomForest,'
        " gradientBoosting, xgboost, lstm, transformer, autoencoder",
    }


def test_an_option_is_judged_by_the_model_that_each_trial_has() -> None:
    options = {"model.options.width": {"choice": [60, 64]}, "model.options.heads": {"choice": [3, 4]}}
    text = {"data": {"source": {"uri": "a.csv"}, "target": "y"}, "model": {"name": "transformer"}}
    (problem,) = problems_of(job({"parameters": options}, **text))
    assert problem.field == "spec.tuning.parameters.model.options.heads.choice[0]"
    assert "3 heads cannot have equal shares of the width 64" in problem.message
    assert problem.message.endswith(
        "That is so beside model.options.width 64: correct one of them, or limit the parameter with when"
    )


def many(**more: Any) -> dict[str, Any]:
    """Parameters with more combinations than are judged together."""
    wide = {f"model.options.{name}": {"choice": list(range(1, 21))} for name in ("latent", "beta")}
    return {"parameters": {**wide, "training.batchSize": {"choice": [16, 32]}, **more}}


AUTOENCODER: dict[str, Any] = {
    "model": {"name": "autoencoder", "options": {"variational": True}},
    "data": {**DATA, "task": "reconstruction"},
}


def test_where_combinations_are_many_each_value_is_judged_all_the_same() -> None:
    parameters = many(**{LR: {"choice": [0.1, 0, 0.2]}, "model.options.hidden": {"choice": [[8], [0]]}})
    fields = {problem.field: problem.message for problem in problems_of(job(parameters, **AUTOENCODER))}
    assert fields == {
        f"spec.tuning.parameters.{LR}.choice[1]": "0 is too small: it must be above 0",
        "spec.tuning.parameters.model.options.hidden.choice[1][0]": "0 is below the least allowed value 1",
    }


def test_where_combinations_are_many_a_value_that_goes_with_some_of_the_others_is_left_to_its_trial() -> None:
    switch = {"model.options.variational": {"choice": [True, False]}}
    assert problems_of(job(many(**switch), **AUTOENCODER)) == []


def test_of_values_without_end_the_number_is_bounded() -> None:
    wide = {f"model.options.a{number}": {"choice": list(range(256))} for number in range(3)}
    (problem,) = problems_of(job({"parameters": wide}, model={"name": "acme.net"}))
    assert problem.field == "spec.tuning.parameters"
    assert problem.message == (
        "have 768 values together: at most 512 are allowed; write fewer, or a range in place of choice"
    )


def test_combinations_are_the_same_in_whatever_order_the_parameters_are_written() -> None:
    parameters = {
        MOMENTUM: Parameter.model_validate({"choice": [1, 2], "when": {NAME: ["sgd"]}}),
        NAME: Parameter.model_validate({"choice": ["adamw", "sgd"]}),
        EPOCHS: Parameter.model_validate({"grid": [3]}),
    }
    found = list(trials.combinations(parameters, lambda one: one.listed or ()))
    assert found == [
        {EPOCHS: 3, NAME: "adamw"},
        {EPOCHS: 3, NAME: "sgd", MOMENTUM: 1},
        {EPOCHS: 3, NAME: "sgd", MOMENTUM: 2},
    ]
    assert list(trials.combinations(dict(reversed(parameters.items())), lambda one: one.listed or ())) == found
    assert len(found) < MOST_COMBINATIONS


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ("1", 1, False),
        ([1], [1.0], True),
        ([1], [True], False),
        ([1], 1, False),
    ],
)
def test_a_condition_is_met_by_the_same_value_and_by_no_other(one: Any, other: Any, same: bool) -> None:
    assert trials.same(one, other) is same


def test_conditions_on_many_parameters_that_have_conditions_too_are_ordered_in_one_pass() -> None:
    paths = [f"model.options.a{number:02}" for number in range(64)]
    parameters = {
        path: Parameter.model_validate(
            {"choice": [1], "when": {other: [1] for other in paths[number + 1 : number + 9]}}
        )
        for number, path in enumerate(paths)
    }
    assert trials.ordered(parameters) == paths[::-1]
    assert list(trials.combinations(parameters, lambda one: one.listed or ())) == [dict.fromkeys(paths[::-1], 1)]
