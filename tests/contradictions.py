"""Specs whose sections contradict each other, one contradiction each: what can be told from the file alone."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

TABLE: dict[str, Any] = {
    "data": {"source": {"uri": "s3://lake/churn/*.parquet"}, "target": "churned"},
    "model": {"name": "mlp"},
    "training": {"epochs": 2},
}
CSV: dict[str, Any] = {**TABLE, "data": {"source": {"uri": "churn.csv"}, "target": "churned"}}
DIGITS: dict[str, Any] = {**TABLE, "data": {"source": {"builtin": {"name": "digits"}}}}
IRIS: dict[str, Any] = {**TABLE, "data": {"source": {"builtin": {"name": "iris"}}}}
DIABETES: dict[str, Any] = {**TABLE, "data": {"source": {"builtin": {"name": "diabetes"}}}}
IMAGES: dict[str, Any] = {**TABLE, "data": {"source": {"uri": "s3://lake/cats", "format": "imageFolder"}}}
LABELLED: dict[str, Any] = {
    **TABLE,
    "data": {"source": {"uri": "s3://lake/cats", "labels": {"file": "labels.csv"}}, "target": "species"},
}
ARRAYS: dict[str, Any] = {**TABLE, "data": {"source": {"uri": "s3://lake/waves.npz"}}}
PARTS: dict[str, Any] = {
    **TABLE,
    "data": {
        "source": {"parts": {"train": "a/train.csv", "validation": "a/val.csv", "test": "a/test.csv"}},
        "target": "churned",
    },
}
FOREST: dict[str, Any] = {**TABLE, "model": {"name": "randomForest"}, "training": {}}
SALES: dict[str, Any] = {
    **TABLE,
    "data": {
        "source": {"uri": "sales.csv"},
        "target": "sold",
        "task": "forecasting",
        "forecast": {"history": 28, "horizon": 7},
        "columns": {"day": {"role": "time"}, "store": {"role": "group"}},
    },
}
UNLABELLED: dict[str, Any] = {
    **TABLE,
    "data": {"source": {"uri": "churn.csv"}, "task": "reconstruction"},
    "model": {"name": "autoencoder"},
}
OWN_LOOP: dict[str, Any] = {"training": {"entrypoint": "train:main"}}
OWN_TUNER: dict[str, Any] = {"tuning": {"entrypoint": "search:main"}}


@dataclass(frozen=True)
class Contradiction:
    """A spec with one contradiction."""

    spec: dict[str, Any]
    field: str
    """Where it is told, below `spec.`."""
    words: tuple[str, ...]
    """What the message says among other things: the value, and what is allowed."""

    def __str__(self) -> str:
        return f"{self.field}: {self.words[0]}"


def _made(base: dict[str, Any], changes: dict[str, Any], field: str, *words: str) -> Contradiction:
    """The base with other values at some paths, whose parts are divided by `/`."""
    spec = copy.deepcopy(base)
    for path, value in changes.items():
        *way, last = path.split("/")
        node = spec
        for part in way:
            node = node.setdefault(part, {})
        node[last] = value
    return Contradiction(spec, field, words)


def _column(base: dict[str, Any], name: str, said: dict[str, str], place: str, *words: str) -> Contradiction:
    """The base with one word on a column."""
    return _made(base, {"data/columns": {name: said}}, f"data.columns.{name}.{place}", *words)


def _gate(base: dict[str, Any], gate: dict[str, Any], place: str, *words: str) -> Contradiction:
    """The base with one gate."""
    gates = {"evaluation/gates": [{"name": "quality", **gate}]}
    return _made(base, gates, f"evaluation.gates[0].{place}", *words)


_STOP = "training/earlyStopping"
_KEEP = "training/checkpoint"
_OF_THE_LOOP: dict[str, Any] = {
    "epochs": 3,
    "batchSize": 8,
    "optimizer": {"name": "sgd", "momentum": 0.5},
    "schedule": {"name": "cosine"},
    "clip": {"norm": 1.0},
    "earlyStopping": {"metric": "train/nothing"},
    "precision": "bf16",
    "checkpoint": {"everySteps": 5},
}
_ALL_TO_TRAINING = {"train": 1, "validation": 0, "test": 0}
_NO_TEST = {"train": 0.8, "validation": 0.2, "test": 0}
_NO_VALIDATION = {"train": 0.8, "validation": 0, "test": 0.2}

OF_METRICS = [
    _made(TABLE, {_STOP: {"metric": "validation/acurracy"}}, "training.earlyStopping.metric", "acurracy", "accuracy?"),
    _made(TABLE, {_STOP: {"metric": "validation/auc"}}, "training.earlyStopping.metric", '"auc" is no metric'),
    _made(TABLE, {_STOP: {"metric": "accuracy"}}, "training.earlyStopping.metric", "validation/accuracy"),
    _made(TABLE, {_STOP: {"metric": "test/loss"}}, "training.earlyStopping.metric", "validation/loss"),
    _made(TABLE, {_STOP: {"metric": "val/loss"}}, "training.earlyStopping.metric", '"val"', "validation/loss"),
    _made(TABLE, {_STOP: {"metric": "dev/f1"}}, "training.earlyStopping.metric", '"dev" is no part', "train or"),
    _made(TABLE, {_STOP: {"metric": "train/f1"}}, "training.earlyStopping.metric", "train/loss", "validation/f1"),
    _made(IRIS, {_STOP: {"metric": "validation/mae"}}, "training.earlyStopping.metric", "mae is no metric of class"),
    _made(DIABETES, {_STOP: {"metric": "validation/f1"}}, "training.earlyStopping.metric", "f1 is no metric of regr"),
    _made(
        TABLE, {_STOP: {"metric": "validation/confusionMatrix"}}, "training.earlyStopping.metric", "no", "single number"
    ),
    _made(TABLE, {_KEEP: {"metric": "test/loss"}}, "training.checkpoint.metric", "validation/loss"),
    _made(TABLE, {_KEEP: {"metric": "loss"}}, "training.checkpoint.metric", "validation/loss"),
    _made(TABLE, {_KEEP: {"metric": "validation/Accuracy"}}, "training.checkpoint.metric", "did you mean accuracy?"),
    _made(TABLE, {_KEEP: {"metric": "validation/roc_auc"}}, "training.checkpoint.metric", "did you mean rocAuc?"),
    _made(TABLE, {_KEEP: {"metric": "train/accuracy"}}, "training.checkpoint.metric", "only train/loss"),
    _made(
        TABLE,
        {_KEEP: {"metric": "validation/f1"}, "data/task": "regression"},
        "training.checkpoint.metric",
        "f1 is no metric of regression",
        "rmse",
    ),
    _made(IMAGES, {_KEEP: {"metric": "validation/r2"}}, "training.checkpoint.metric", "r2 is no metric of classific"),
    _made(
        TABLE,
        {_KEEP: {"metric": "validation/f1"}, "data/split": _NO_VALIDATION},
        "training.checkpoint.metric",
        "the validation part is empty",
    ),
    _made(TABLE, {_STOP: {}, "data/split": _NO_VALIDATION}, "training", "data.split.validation"),
    _made(
        TABLE,
        {_STOP: {"metric": "validation/f1"}, "data/split": _NO_VALIDATION, "data/columns": {"age": {"kind": "number"}}},
        "training.earlyStopping.metric",
        "the validation part is empty",
    ),
    _made(TABLE, {_KEEP: {"metric": "validation/accuracy", "mode": "min"}}, "training.checkpoint.mode", "min", "max"),
    _made(TABLE, {_KEEP: {"mode": "max"}}, "training.checkpoint.mode", "less validation/loss is better", "write min"),
    _made(TABLE, {_STOP: {"mode": "max"}}, "training.earlyStopping.mode", "write min"),
    _made(TABLE, {_STOP: {"metric": "validation/r2", "mode": "min"}}, "training.earlyStopping.mode", "write max"),
    _made(TABLE, {"data/task": "classification", "evaluation/metrics": ["mse"]}, "evaluation.metrics[0]", "mse", "f1"),
    _made(IRIS, {"evaluation/metrics": ["f1", "r2"]}, "evaluation.metrics[1]", "r2 is no metric of classification"),
    _made(DIABETES, {"evaluation/metrics": ["mae", "accuracy"]}, "evaluation.metrics[1]", "accuracy", "rmse"),
    _made(IMAGES, {"evaluation/metrics": ["rmse"]}, "evaluation.metrics[0]", "rmse is no metric of classification"),
    _made(DIABETES, {"evaluation/metrics": ["confusionMatrix"]}, "evaluation.metrics[0]", "confusionMatrix"),
    _made(
        TABLE,
        {"evaluation/metrics": ["f1"], "data/split": _ALL_TO_TRAINING},
        "evaluation.metrics",
        "nothing to compute them on",
    ),
    _gate(TABLE, {"metric": "f2", "min": 0.5}, "metric", '"f2" is no metric', "write one of"),
    _gate(TABLE, {"metric": "test/f11", "min": 0.5}, "metric", "did you mean f1?"),
    _gate(TABLE, {"metric": "holdout/f1", "min": 0.5}, "metric", '"holdout" is no part'),
    _gate(TABLE, {"metric": "confusionMatrix", "min": 1}, "metric", "not a single number"),
    _gate(TABLE, {"metric": "train/f1", "min": 0.5}, "metric", "train/loss"),
    _gate(IRIS, {"metric": "test/mae", "max": 3}, "metric", "mae is no metric of classification"),
    _gate(DIABETES, {"metric": "accuracy", "min": 0.9}, "metric", "accuracy is no metric of regression"),
    _gate(TABLE, {"metric": "accuracy", "min": 95}, "min", "95", "at most 1", "write 0.95"),
    _gate(TABLE, {"metric": "test/r2", "min": 1.5}, "min", "1.5 is never reached"),
    _gate(TABLE, {"metric": "rmse", "max": -1}, "max", "-1 is never met", "at least 0"),
    _made(
        TABLE,
        {
            "evaluation/gates": [
                {"name": "good", "metric": "f1", "min": 0.9},
                {"name": "bad", "metric": "test/f1", "max": 0.5},
            ]
        },
        "evaluation.gates[1].max",
        "0.5 contradicts the gate good",
        "at least 0.9",
    ),
    _gate(TABLE, {"metric": "f1", "min": 0.9, "max": 0.1}, "min", "min is above max"),
    _gate(TABLE, {"metric": "f1", "min": 0.1, "minDelta": 0.1}, "minDelta", "minDelta needs against"),
    _gate(TABLE, {"metric": "f1", "against": {}}, "against", "set exactly one of baseline, job, uri"),
    _gate(TABLE, {"metric": "f1", "against": {"baseline": True, "job": "a"}}, "against", "set exactly one"),
    _gate(TABLE, {"metric": "f1", "against": {"baseline": False}}, "against.baseline", "baseline is true"),
    _gate(
        TABLE,
        {"metric": "validation/f1", "against": {"baseline": True}},
        "against.baseline",
        "the test part alone",
        "test/f1",
    ),
    _gate(OWN_LOOP, {"metric": "f1", "against": {"baseline": True}}, "against.baseline", "reports its own metrics"),
    _gate(OWN_LOOP, {"metric": "reward", "against": {"job": "a"}}, "against", "nobody knows whether more or less"),
    _gate(TABLE, {"metric": "f1", "against": {"uri": "http://a/result.json"}}, "against.uri", "http://", "s3://"),
    _gate(TABLE, {"metric": "f1", "against": {"uri": "s3://k:s@a/result.json"}}, "against.uri", "storage.secretRef"),
    _made(
        TABLE,
        {"evaluation": {"metrics": ["accuracy"], "gates": [{"name": "q", "metric": "f1", "min": 0.5}]}},
        "evaluation.gates[0].metric",
        "evaluation.metrics does not name it",
    ),
    _made(
        TABLE,
        {"data/split": _NO_TEST, "evaluation/gates": [{"name": "q", "metric": "f1", "min": 0.5}]},
        "evaluation.gates[0].metric",
        "the test part is empty",
        "data.split.test",
    ),
    _made(
        TABLE,
        {"data/split": _NO_VALIDATION, "evaluation/gates": [{"name": "q", "metric": "validation/f1", "min": 0.5}]},
        "evaluation.gates[0].metric",
        "the validation part is empty",
    ),
]

OF_SOURCES = [
    _made(TABLE, {"data/source/uri": "http://example.com/a.parquet"}, "data.source.uri", "http://", "local path"),
    _made(TABLE, {"data/source/uri": "hdfs://lake/a.parquet"}, "data.source.uri", "hdfs://", "s3://"),
    _made(TABLE, {"data/source/uri": "s4://lake/a.parquet"}, "data.source.uri", "s4://", "s3://"),
    _made(TABLE, {"data/source/uri": "s3://key:secret@lake/a.parquet"}, "data.source.uri", "data.source.secretRef"),
    _made(TABLE, {"storage": {"uri": "https://results.example.com"}}, "storage.uri", "https://", "s3://"),
    _made(TABLE, {"storage": {"uri": "s3://key:secret@models"}}, "storage.uri", "credentials", "storage.secretRef"),
    _made(TABLE, {"data/source": {"uri": "a.csv", "secretRef": {"name": "s"}}}, "data.source.secretRef", "a.csv"),
    _made(PARTS, {"data/source/secretRef": {"name": "s"}}, "data.source.secretRef", "local path"),
    _made(PARTS, {"data/source/parts/test": "a/train.csv"}, "data.source.parts.test", "also the train part"),
    _made(PARTS, {"data/source/parts/validation": "a/test.csv"}, "data.source.parts.test", "also the validation part"),
    _made(PARTS, {"data/source/parts/test": "a/test.parquet"}, "data.source.parts.test", "parquet", "csv"),
    _made(PARTS, {"data/source/parts/train": "ftp://a/train.csv"}, "data.source.parts.train", "ftp://"),
    _made(IRIS, {"data/target": "species"}, "data.target", "the built-in iris", "take target out"),
    _made(DIGITS, {"data/targets": ["a", "b"]}, "data.targets", "the built-in digits"),
    _made(IMAGES, {"data/target": "class"}, "data.target", "a folder of images"),
    _made(IMAGES, {"data/columns": {"width": {"role": "ignore"}}}, "data.columns", "a folder of images"),
    _made(DIABETES, {"data/columns": {"bmi": {"role": "ignore"}}}, "data.columns", "the built-in diabetes"),
    _made(DIGITS, {"data/task": "regression"}, "data.task", "regression does not fit", "write classification"),
    _made(DIABETES, {"data/task": "classification"}, "data.task", "write regression"),
    _made(IMAGES, {"data/task": "regression"}, "data.task", "a folder of images"),
    _made(TABLE, {"data/read": {"delimiter": ";"}}, "data.read", "parquet", "take read out"),
    _made(ARRAYS, {"data/read": {"decimal": ","}}, "data.read", "npz"),
    _made(IMAGES, {"data/read": {"encoding": "latin-1"}}, "data.read", "a folder of images"),
    _made(IRIS, {"data/read": {"header": True}}, "data.read", "the built-in iris"),
    _made(CSV, {"data/source/uri": "a.jsonl", "data/read": {"delimiter": ";"}}, "data.read.delimiter", "jsonl"),
    _made(CSV, {"data/source/uri": "a.jsonl.gz", "data/read": {"header": False}}, "data.read.header", "jsonl"),
    _made(CSV, {"data/source/uri": "A.NDJSON", "data/read": {"comment": "#"}}, "data.read.comment", "jsonl"),
    _made(CSV, {"data/read": {"decimal": ",", "thousands": ","}}, "data.read.thousands", "must differ"),
    _made(CSV, {"data/read": {"delimiter": "|", "quote": "|"}}, "data.read.quote", "must differ"),
    _made(CSV, {"data": {"source": {"uri": "a.csv.gz"}}}, "data.target", "target is missing"),
]

OF_COLUMNS = [
    _column(TABLE, "churned", {"role": "feature"}, "role", "feature contradicts data.target"),
    _column(TABLE, "churned", {"role": "ignore"}, "role", "ignore contradicts data.target"),
    _column(TABLE, "churned", {"role": "weight"}, "role", "weight contradicts data.target"),
    _column(TABLE, "left", {"role": "target"}, "role", "data.target names", "churned", "data.targets"),
    _column(TABLE, "churned", {"kind": "time"}, "kind", "time cannot be a target", "category"),
    _column(TABLE, "churned", {"kind": "id"}, "kind", "id cannot be a target"),
    _column(TABLE, "churned", {"kind": "vector"}, "kind", "vector cannot be a target"),
    _column(TABLE, "day", {"kind": "category", "role": "time"}, "kind", "category cannot be a time"),
    _column(TABLE, "w", {"kind": "category", "role": "weight"}, "kind", "category cannot be a weight", "number"),
    _column(TABLE, "fold", {"kind": "time", "role": "fold"}, "kind", "time cannot be a fold"),
    _column(TABLE, "customer", {"kind": "vector", "role": "group"}, "kind", "vector cannot be a group"),
    _column(TABLE, "row", {"kind": "id", "role": "feature"}, "kind", "id is not learnt from"),
    _column(TABLE, "photo", {"kind": "image"}, "kind", "image is nothing that a column of parquet can be"),
    _column(CSV, "wave", {"kind": "series"}, "kind", "series is nothing that a column of csv can be"),
    _column(CSV, "embedding", {"kind": "vector"}, "kind", "vector is nothing that a column of csv can be"),
    _column(ARRAYS, "w", {"role": "weight"}, "role", "weight is a role of a table's column", "npz"),
    _column(ARRAYS, "subject", {"role": "group"}, "role", "group is a role of a table's column"),
    _made(ARRAYS, {"data/targets": ["y1", "y2"]}, "data.targets", "2 targets are named", "one array"),
    _made(
        ARRAYS,
        {"data/columns": {"a": {"role": "feature"}, "b": {"role": "feature"}}},
        "data.columns.b.role",
        "one array holds all features",
    ),
    _column(ARRAYS, "y", {"kind": "category"}, "kind", "category is nothing", "image, series", "data.task"),
    _column(ARRAYS, "words", {"kind": "text"}, "kind", "text is nothing that a column of npz can be"),
    _made(
        TABLE,
        {"data/task": "regression", "data/columns": {"churned": {"kind": "category"}}},
        "data.columns.churned.kind",
        "category does not fit data.task regression",
    ),
    _made(
        TABLE,
        {"data/task": "classification", "data/columns": {"churned": {"kind": "number"}}},
        "data.columns.churned.kind",
        "number does not fit data.task classification",
    ),
    _made(
        TABLE,
        {"data/columns": {"a": {"role": "weight"}, "b": {"role": "weight"}}},
        "data.columns.b.role",
        'weight is already the role of "a"',
    ),
    _made(
        TABLE,
        {"data/columns": {"a": {"role": "group"}, "b": {"role": "group"}}},
        "data.columns.b.role",
        'group is already the role of "a"',
    ),
    _made(
        CSV,
        {"data": {"source": {"uri": "a.csv"}, "targets": ["x", "y"], "columns": {"z": {"role": "target"}}}},
        "data.columns.z.role",
        'data.targets names "x", "y"',
    ),
]

OF_SPLITS = [
    _made(TABLE, {"data/split/method": "group"}, "data.split.method", "a column with the role group"),
    _made(TABLE, {"data/split/method": "time"}, "data.split.method", "a column with the role time"),
    _made(TABLE, {"data/split/method": "fold"}, "data.split.method", "a column with the role fold"),
    _made(IRIS, {"data/split/method": "group"}, "data.split.method", "the built-in iris", "random"),
    _made(IMAGES, {"data/split/method": "time"}, "data.split.method", "a folder of images"),
    _made(
        TABLE,
        {"data/columns": {"a": {"role": "group"}, "b": {"role": "time"}}},
        "data.split.method",
        "auto cannot choose",
        '"a" (group)',
    ),
    _made(
        TABLE,
        {"data/columns": {"a": {"role": "group"}}, "data/split/method": "random"},
        "data.columns.a.role",
        "group has no effect",
    ),
    _made(
        TABLE,
        {"data/columns": {"a": {"role": "time"}}, "data/split/seed": 3},
        "data.split.seed",
        "a split by time draws nothing",
    ),
    _made(
        TABLE,
        {"data/columns": {"a": {"role": "fold"}}, "data/split": {"method": "fold", "seed": 3}},
        "data.split.seed",
        "a split by fold draws nothing",
    ),
    _made(PARTS, {"data/split/seed": 3}, "data.split.seed", "nothing is left to divide"),
    _made(PARTS, {"data/split/method": "random"}, "data.split.method", "random has no effect"),
    _made(PARTS, {"data/columns": {"a": {"role": "fold"}}}, "data.columns.a.role", "fold has no effect"),
    _made(TABLE, {"data/split/train": 0.9}, "data.split", "must add up to 1"),
    _made(SALES, {"data/split/folds": 5}, "data.split.folds", "windows"),
    _made(PARTS, {"data/split/folds": 5}, "data.split.folds", "source.parts.validation gives the latter"),
    _made(
        OWN_LOOP,
        {"data": {"source": {"builtin": {"name": "iris"}}, "split": {"folds": 5}}},
        "data.split.folds",
        "built-in loop",
        "training.entrypoint",
    ),
    _made(
        TABLE,
        {"data/columns": {"a": {"role": "fold"}}, "data/split": {"folds": 5}},
        "data.split.folds",
        '"a" with the role fold',
        "the role group",
    ),
]

OF_TRAINING = [
    _made(TABLE, {"model/name": "cnn"}, "model.name", "cnn is for images", "parquet", "mlp"),
    _made(CSV, {"model/name": "cnn"}, "model.name", "csv"),
    _made(IRIS, {"model/name": "cnn"}, "model.name", "the built-in iris"),
    _made(PARTS, {"model/name": "cnn"}, "model.name", "csv"),
    _made(
        TABLE,
        {"model/name": "cnn", "data/source": {"persistentVolumeClaim": {"name": "a"}, "format": "jsonl"}},
        "model.name",
        "jsonl",
    ),
    *(
        _made(FOREST, {f"training/{field}": value}, f"training.{field}", "randomForest is fitted by scikit-learn")
        for field, value in _OF_THE_LOOP.items()
    ),
    _made(FOREST, {"model": {"name": "linear", "options": {"trees": 5}}}, "model.options.trees", "alpha"),
    _made(FOREST, {"export": {"formats": ["safetensors"]}}, "export.formats", "randomForest", "onnx"),
    _made({**FOREST, **OWN_LOOP}, {}, "model.name", "randomForest is fitted by scikit-learn", "training.entrypoint"),
    _made(TABLE, {"model/name": "resnet"}, "model.name", '"resnet" is not one of mlp, cnn, gru'),
    _made(IRIS, {"model/name": "lstm"}, "model.name", "lstm is for tables with a column of text", "iris", "write mlp"),
    _made(IMAGES, {"model/name": "transformer"}, "model.name", "a folder of images holds images", "mlp or cnn"),
    _made(
        CSV,
        {"model": {"name": "transformer", "options": {"width": 64, "heads": 5}}},
        "model.options.heads",
        "5 heads cannot have equal shares of the width 64",
        "write heads: 4",
    ),
    _made(CSV, {"model": {"name": "transformer", "options": {"width": 50}}}, "model.options.width", "4 heads", "2"),
    _made(CSV, {"model": {"name": "lstm", "options": {"heads": 4}}}, "model.options.heads", "unknown field `heads`"),
    _made(
        CSV, {"model": {"name": "lstm", "options": {"tokens": "words"}}}, "model.options.tokens", "word", "character"
    ),
    _made(CSV, {"model": {"name": "mlp", "options": {"length": 9}}}, "model.options.length", "unknown field `length`"),
    _made(DIGITS, {"model": {"name": "mlp", "options": {"channels": [8]}}}, "model.options.channels", "hidden"),
    _made(TABLE, {"training/batchSize": 2, "workers": {"replicas": 4}}, "training.batchSize", "2 rows", "4 workers"),
    _made(
        TABLE,
        {"training/batchSize": 3, "workers": {"replicas": 2, "processes": 2}},
        "training.batchSize",
        "3 rows",
        "the 4 training processes (2 pods of 2)",
        "at least 4",
        "or workers.processes",
    ),
    _made(TABLE, {"training/batchSize": 4, "workers": {"resources": {"gpu": 8}}}, "training.batchSize", "at least 8"),
    _made(TABLE, {"workers": {"replicas": 65}}, "training.batchSize", "64 rows", "at least 65"),
    _made(DIABETES, {"training/classWeights": "balanced"}, "training.classWeights", "balanced", "regression"),
    _made(TABLE, {"training/optimizer": {"momentum": 0.5}}, "training.optimizer.momentum", "adamw", "sgd"),
    _made(TABLE, {_KEEP: {"everySteps": 5, "everySeconds": 5}}, "training.checkpoint", "at most one"),
    _made(TABLE, {"training/arguments": {"lr": 1}}, "training.arguments", "entrypoint"),
    _made(OWN_LOOP, {"training/epochs": 5}, "training.epochs", "epochs has no effect", "training.arguments"),
    _made(OWN_LOOP, {"training/batchSize": 32}, "training.batchSize", "batchSize has no effect"),
    _made(OWN_LOOP, {"training/optimizer": {"lr": 0.1}}, "training.optimizer", "training.entrypoint", "take it out"),
    _made(OWN_TUNER, {"training": {"epochs": 3}}, "training.epochs", "tuning.entrypoint", "tuning.arguments"),
    _made(OWN_TUNER, {"tuning/trials": 30}, "tuning.trials", "a Tuner of its own", "tuning.arguments"),
    _made(
        OWN_TUNER, {"tuning/parameters": {"training.optimizer.lr": {"choice": [1]}}}, "tuning.parameters", "take it out"
    ),
    _made(OWN_TUNER, {"tuning/scheduler": {"name": "asha"}}, "tuning.scheduler", "take it out"),
    _made(OWN_TUNER, {"data": TABLE["data"]}, "data", "bring their own", "take it out"),
    _made(OWN_TUNER, {"model": TABLE["model"]}, "model", "bring their own", "take it out"),
    _made(OWN_TUNER, {"evaluation": {"metrics": ["f1"]}}, "evaluation.metrics", "tuning.entrypoint", "take them out"),
    _made(OWN_TUNER, {"export": {"formats": ["onnx"]}}, "export.formats", "tuning.entrypoint", "take formats out"),
    _made(
        OWN_TUNER,
        {"evaluation": {"gates": [{"name": "g", "metric": "loss", "against": {"baseline": True}}]}},
        "evaluation.gates[0].against.baseline",
        "tuning.entrypoint",
        "write min or max",
    ),
    _made(OWN_LOOP, {"training/earlyStopping": {"patience": 3}}, "training.earlyStopping", "no effect"),
    _made(OWN_LOOP, {_KEEP: {"metric": "reward"}}, "training.checkpoint.metric", "only keepLast is Headway's"),
    _made(OWN_LOOP, {_KEEP: {"everySteps": 10}}, "training.checkpoint.everySteps", "saves its checkpoints itself"),
    _made(OWN_LOOP, {"evaluation/metrics": ["f1"]}, "evaluation.metrics", "reports its own"),
    _made(OWN_LOOP, {"export": {"formats": ["onnx"]}}, "export.formats", "saves its model itself", "take formats out"),
]

_IN_PARTS = {"parts": {"train": "a.csv", "test": "b.csv"}}

OF_FORECASTS = [
    _made(SALES, {"data/forecast": None}, "data.forecast", "is missing", "history: 48"),
    _made(SALES, {"data/task": None}, "data.forecast", "data.task is not set", "forecasting"),
    _made(
        SALES,
        {"data/task": "regression", "data/columns": None},
        "data.forecast",
        "data.task is regression",
        "forecasting",
    ),
    _made(SALES, {"data/columns": {"store": {"role": "group"}}}, "data.columns", "the role time", "NAME: {role: time}"),
    _made(SALES, {"data/columns": None}, "data.columns", "the role time"),
    _made(SALES, {"data/source/uri": "sales.npz", "data/columns": None}, "data.task", "npz", "csv, parquet or jsonl"),
    _made(DIABETES, {"data/task": "forecasting", "data/forecast": {"history": 4, "horizon": 2}}, "data.task", "regr"),
    _made(SALES, {"data/source": _IN_PARTS}, "data.source.parts", "parts cannot be given", "one uri"),
    _made(SALES, {"data/split/method": "random"}, "data.split.method", "random would let the model see", "write time"),
    _made(SALES, {"data/split/method": "group"}, "data.split.method", "group would let the model see"),
    _made(SALES, {"data/split/seed": 3}, "data.split.seed", "a split by time draws nothing"),
    _made(SALES, {"data/columns/part": {"role": "fold"}}, "data.columns.part.role", "fold has no use"),
    _made(SALES, {"data/columns/w": {"role": "weight"}}, "data.columns.w.role", "weight has no use", "many rows"),
    _made(SALES, {"data/columns/sold": {"kind": "category"}}, "data.columns.sold.kind", "forecasting", "number"),
    _made(SALES, {"data/missingTargets": "drop"}, "data.missingTargets", "take steps out", "fill in the targets"),
    _made(SALES, {"data/forecast/season": 52}, "data.forecast.season", "52", "the history of 28"),
    _made(SALES, {"training/classWeights": "balanced"}, "training.classWeights", "a forecast has none"),
    _made(SALES, {"model/name": "cnn"}, "model.name", "cnn is for images", "mlp or gru"),
    _made(TABLE, {"model/name": "gru"}, "model.name", "gru is for series", "parquet holds a table", "mlp"),
    _made(SALES, {"evaluation/metrics": ["mase", "f1"]}, "evaluation.metrics[1]", "f1 is no metric of forecasting"),
    _made(DIABETES, {"evaluation/metrics": ["mase"]}, "evaluation.metrics[0]", "mase is no metric of regression"),
]

OF_RECONSTRUCTIONS = [
    _made(UNLABELLED, {"data/target": "churned"}, "data.target", '"churned"', "learns the features themselves"),
    _made(UNLABELLED, {"data/targets": ["a", "b"]}, "data.targets", '"a", "b" cannot', "take targets out"),
    _column(UNLABELLED, "churned", {"role": "target"}, "role", "target is no role in a reconstruction", "ignore"),
    _made(UNLABELLED, {"data/missingTargets": "drop"}, "data.missingTargets", "drop", "has no target"),
    _made(UNLABELLED, {"model/name": "mlp"}, "model.name", "mlp is for classification", "autoencoder"),
    _made(DIGITS, {"data/task": "reconstruction"}, "model.name", "data.task is reconstruction", "autoencoder"),
    _made(TABLE, {"model/name": "autoencoder"}, "model.name", "never guessed", "set data.task to reconstruction"),
    _made(DIGITS, {"model/name": "autoencoder", "data/task": "classification"}, "model.name", "classification", "mlp"),
    _made(UNLABELLED, {"model/options": {"beta": 0.5}}, "model.options.beta", "variational"),
    _made(UNLABELLED, {"training/classWeights": "balanced"}, "training.classWeights", "a reconstruction has none"),
    _made(UNLABELLED, {"evaluation/metrics": ["accuracy"]}, "evaluation.metrics[0]", "accuracy", "mse"),
    _made(UNLABELLED, {"training/checkpoint": {"metric": "validation/f1"}}, "training.checkpoint.metric", "f1", "mse"),
]

OF_LABELS = [
    _made(LABELLED, {"data/source/labels/file": "labels.txt"}, "data.source.labels.file", '"labels.txt"', "csv"),
    _made(LABELLED, {"data/source/labels/file": "a.png"}, "data.source.labels.file", "imageFolder", "parquet or jsonl"),
    _made(LABELLED, {"data/source/labels/file": "http://a/b.csv"}, "data.source.labels.file", "http://", "local path"),
    _made(
        LABELLED,
        {"data/source/labels/imageColumn": "species"},
        "data.source.labels.imageColumn",
        '"species" is the target',
        "another column",
    ),
    _made(
        {**LABELLED, "model": {"name": "autoencoder"}},
        {"data/task": "reconstruction", "data/target": None},
        "data.source.labels",
        "learns the images themselves",
        "take labels out",
    ),
    _made(
        LABELLED, {"data/columns": {"age": {"role": "feature"}}}, "data.columns.age", "from the images alone", "ignore"
    ),
    _made(
        LABELLED, {"data/columns": {"age": {"kind": "number"}}}, "data.columns.age", "from the images alone", "weight"
    ),
    _made(
        LABELLED,
        {"data/source/labels/imageColumn": "file", "data/columns": {"file": {"kind": "text"}}},
        "data.columns.file",
        "names the images",
        "take it out of columns",
    ),
    _column(LABELLED, "note", {"kind": "image", "role": "ignore"}, "kind", "image", "csv", "category"),
    _made(LABELLED, {"data/source/labels/file": "../labels.csv"}, "data.source.labels.file", "'..'", "full path"),
    _made(LABELLED, {"data/source/format": "npz"}, "data.source.labels", "the source is npz", "take labels out"),
    _made(
        DIGITS,
        {"data/source/labels": {"file": "a.csv"}},
        "data.source.labels",
        "the source is the built-in digits",
        "take labels out",
    ),
    _made(LABELLED, {"data/target": None}, "data.target", "target is missing", "name the column of the labels"),
    _made(
        LABELLED,
        {"data/source/labels/file": "labels.parquet", "data/read": {"delimiter": ";"}},
        "data.read",
        "the labels are parquet",
        "take read out",
    ),
    _made(LABELLED, {"model/name": "gru"}, "model.name", "gru is for series", "holds images"),
]

_BOOSTING: dict[str, Any] = {**FOREST, "model": {"name": "gradientBoosting"}}
_XGBOOST: dict[str, Any] = {**FOREST, "model": {"name": "xgboost"}}
_LINEAR: dict[str, Any] = {**DIABETES, "model": {"name": "linear"}, "training": {}}
_HERE = {"history": 4, "horizon": 2}
_TWO = {"source": {"uri": "a.csv"}, "targets": ["x", "y"]}

ACROSS_SECTIONS = [
    # Gates against what is learnt, and against what a metric can be.
    _gate(UNLABELLED, {"metric": "accuracy", "min": 0.9}, "metric", "accuracy is no metric of reconstruction", "mse"),
    _gate(UNLABELLED, {"metric": "validation/f1", "min": 0.9}, "metric", "f1 is no metric of reconstruction"),
    _gate(UNLABELLED, {"metric": "mase", "max": 1}, "metric", "mase is no metric of reconstruction"),
    _gate(SALES, {"metric": "accuracy", "min": 0.9}, "metric", "accuracy is no metric of forecasting", "mase"),
    _gate(SALES, {"metric": "rocAuc", "against": {"baseline": True}}, "metric", "rocAuc is no metric of forecasting"),
    _gate(DIABETES, {"metric": "mase", "max": 1}, "metric", "mase is no metric of regression", "rmse"),
    _gate(_BOOSTING, {"metric": "train/accuracy", "min": 0.9}, "metric", "only train/loss", "validation/accuracy"),
    _gate(TABLE, {"metric": "f1", "min": 0}, "min", "0 is always met, as f1 is at least 0", "write more"),
    _gate(TABLE, {"metric": "validation/rocAuc", "max": 1}, "max", "1 is always met", "at most 1", "write less"),
    _gate(SALES, {"metric": "mae", "min": -1}, "min", "-1 is always met", "at least 0"),
    _gate(
        TABLE, {"metric": "accuracy", "against": {"baseline": True}, "minDelta": 5}, "minDelta", "5 is never", "0.05"
    ),
    _gate(TABLE, {"metric": "f1", "against": {"job": "a"}, "minDelta": 1.5}, "minDelta", "from 0 to 1", "write 0.015"),
    _gate(TABLE, {"metric": "f1", "against": {"job": "a"}, "minDelta": -2}, "minDelta", "-2 is always met"),
    _gate(
        {**SALES, "evaluation": {}},
        {"metric": "validation/mase", "against": {"baseline": True}},
        "against.baseline",
        "the test part alone",
    ),
    # Forecasts of what has no time, and by what cannot forecast.
    _made(IMAGES, {"data/task": "forecasting", "data/forecast": _HERE}, "data.task", "a folder of images"),
    _made(IMAGES, {"data/task": "forecasting"}, "data.task", "forecasting does not fit", "write classification"),
    _made(IMAGES, {"data/forecast": _HERE}, "data.forecast", "a folder of images", "take forecast out"),
    _made(IRIS, {"data/forecast": _HERE}, "data.forecast", "the built-in iris", "take forecast out"),
    _made(UNLABELLED, {"data/forecast": _HERE}, "data.forecast", "data.task is reconstruction", "forecasting"),
    _made(SALES, {"model/name": "gradientBoosting", "training": {}}, "model.name", "series to forecast", "mlp or gru"),
    _made(SALES, {"model/name": "linear", "training": {}}, "model.name", "linear is for images and tables"),
    _made(SALES, {"model/name": "lstm"}, "model.name", "tables with a column of text", "mlp or gru"),
    _made(SALES, {"model/name": "autoencoder"}, "model.name", "autoencoder is for images and tables", "gru"),
    _made(SALES, {"data/split/stratify": "never"}, "data.split.stratify", "a forecast has no classes"),
    _made(SALES, {"data/columns/store": {"role": "time"}}, "data.columns.store.role", "time is already the role"),
    _made(SALES, {"data/columns/sold": {"role": "group"}}, "data.columns.sold.role", "group contradicts data.target"),
    _made(SALES, {"data/columns/day": {"role": "time", "kind": "text"}}, "data.columns.day.kind", "text cannot be"),
    _made(
        SALES,
        {"data/split": _NO_VALIDATION, _STOP: {}},
        "training.earlyStopping.metric",
        "the validation part is empty",
        "train/loss",
    ),
    _made(
        TABLE,
        {"data/split": _NO_VALIDATION, "data/columns": {"age": {"kind": "number"}}, _STOP: {}},
        "training.earlyStopping.metric",
        "the validation part is empty",
    ),
    # Reconstructions.
    _made(UNLABELLED, {"data/split/stratify": "never"}, "data.split.stratify", "a reconstruction has no classes"),
    _made(UNLABELLED, {"model/name": "randomForest", "training": {}}, "model.name", "data.task is reconstruction"),
    _made(UNLABELLED, {"model/name": "lstm"}, "model.name", "lstm is for classification and regression", "autoencoder"),
    _made(
        {**UNLABELLED, **ARRAYS, "model": {"name": "autoencoder"}},
        {"data/task": "reconstruction", "data/target": "y"},
        "data.target",
        '"y"',
        "take target out",
    ),
    # Models that scikit-learn fits.
    _made(_BOOSTING, {"training/checkpoint": {"keepBest": 3}}, "training.checkpoint", "fitted by scikit-learn"),
    _made(_BOOSTING, {"training/precision": "fp16"}, "training.precision", "gradientBoosting", "take it out"),
    _made(
        _BOOSTING, {"workers": {"resources": {"gpu": 2}}}, "workers.resources.gpu", "2 has no effect", "take gpu out"
    ),
    _made(_BOOSTING, {"workers": {"processes": 4}}, "workers.processes", "4 have no effect", "workers.resources.cpu"),
    _made(_XGBOOST, {"training/epochs": 3}, "training.epochs", "xgboost is fitted by XGBoost", "take it out"),
    _made(_XGBOOST, {"workers/resources": {"gpu": 1}}, "workers.resources.gpu", "fitted by XGBoost in one process"),
    _made(_XGBOOST, {"model/options": {"maxDepth": 0}}, "model.options.maxDepth", "0 is no bound", "write maxLeaves"),
    _made(_XGBOOST, {"model/options": {"eta": 0.3}}, "model.options.eta", "unknown field `eta`"),
    _made(
        _XGBOOST,
        {"model/options": {"earlyStoppingRounds": 5}, "data/split": _NO_VALIDATION},
        "model.options.earlyStoppingRounds",
        "the validation part, which is empty",
        "set data.split.validation above 0",
    ),
    _made(FOREST, {"training/gradientAccumulation": 4}, "training.gradientAccumulation", "unknown field"),
    _made(_LINEAR, {"model/options": {"maxIterations": 50}}, "model.options.maxIterations", "solved at once"),
    _made(_LINEAR, {"training/classWeights": "balanced"}, "training.classWeights", "a regression has none"),
    _made(ARRAYS, {"model/name": "lstm"}, "model.name", "npz holds arrays of numbers", "mlp or cnn"),
    _made(ARRAYS, {"model/name": "transformer", "data/columns": {"w": {"kind": "series"}}}, "model.name", "series"),
    _made(ARRAYS, {"model/name": "cnn", "data/columns": {"w": {"kind": "series"}}}, "model.name", "cnn is for images"),
    _made(ARRAYS, {"model/name": "gru", "data/columns": {"w": {"kind": "image"}}}, "model.name", "gru is for series"),
    _made(IMAGES, {"model/name": "gru"}, "model.name", "a folder of images holds images", "cnn"),
    _made(IMAGES, {"model/name": "autoencoder"}, "model.name", "set data.task to reconstruction"),
    _made(TABLE, {"model/options": {"hidden": [], "dropout": 0.5}}, "model.options.dropout", "hidden is empty"),
    # Ways to divide the rows.
    _made(DIABETES, {"data/split/stratify": "never"}, "data.split.stratify", "a regression has no classes"),
    _made(PARTS, {"data/split/stratify": "never"}, "data.split.stratify", "nothing is left to divide"),
    _made(
        TABLE,
        {"data/columns": {"a": {"role": "group"}}, "data/split/stratify": "never"},
        "data.split.stratify",
        "a split by group goes by its column alone",
    ),
    _made(
        CSV,
        {"data/source": _IN_PARTS, "data/columns": {"a": {"role": "fold"}}},
        "data.columns.a.role",
        "fold divides the rows into parts, and so does data.source.parts",
    ),
    _made(
        CSV,
        {"data/source": {"parts": {"train": "a.csv", "validation": "b.csv"}}, "data/split/folds": 3},
        "data.split.folds",
        "data.source.parts.validation",
    ),
    _made(IRIS, {"data/missingTargets": "drop"}, "data.missingTargets", "each row of the built-in iris has a target"),
    _made(IMAGES, {"data/missingTargets": "drop"}, "data.missingTargets", "a folder of images"),
    _made(
        CSV,
        {"data": {**_TWO, "columns": {"y": {"kind": "category"}}}},
        "data.columns.y.kind",
        "category cannot be one of 2 targets",
        "numbers",
    ),
    # Forms of the model.
    _made(_BOOSTING, {"export": {"formats": ["safetensors"]}}, "export.formats", "left as onnx alone"),
    _made(TABLE, {"export": {"formats": ["pickle"]}}, "export.formats[0]", "safetensors", "onnx"),
    _made(SALES, {"export": {"formats": ["onnx", "onnx"]}}, "export.formats", "onnx twice"),
]

CONTRADICTIONS = [
    *OF_METRICS,
    *OF_SOURCES,
    *OF_COLUMNS,
    *OF_SPLITS,
    *OF_TRAINING,
    *OF_FORECASTS,
    *OF_RECONSTRUCTIONS,
    *OF_LABELS,
    *ACROSS_SECTIONS,
]
