"""Searchers, schedulers and the metric: wrong ones, and what is said of each."""

from __future__ import annotations

from tuning_jobs import DATA, DROPOUT, HIDDEN, LR, NAME, RATES, Mistake, of, pbt, rates, several

CHANGED = (
    "pbt changes values in the middle of a trial, which can be done with training.optimizer.lr,"
    " training.optimizer.weightDecay, training.optimizer.momentum, training.clip.norm and model.options.dropout: take"
    " the others out, or write another scheduler.name"
)

SEARCHES = [
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
]
