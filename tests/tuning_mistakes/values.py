"""Paths, values and conditions of `tuning.parameters`: wrong ones, and what is said of each."""

from __future__ import annotations

from typing import Any

from tuning_jobs import DROPOUT, EPOCHS, FORMS, HIDDEN, LR, MOMENTUM, NAME, RATES, Mistake, of, several

TABLE: dict[str, Any] = {
    "source": {"uri": "flats.csv", "format": "csv"},
    "target": "price",
    "columns": {"day": {"role": "time"}},
}
PATHS = (
    "parameters are fields of model and training, as training.optimizer.lr is, of data.columns, and data.scale,"
    " data.forecast.history, data.forecast.every: take out what is none of these"
)

VALUES = [
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
]
