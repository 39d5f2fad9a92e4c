"""Job files with one mistake each: what nobody may get into the queue as work.

Each names the field that the message has to name. `schema` says that the API server itself has to refuse it with that
field in its message; the rest is beyond a schema (the options of a registry's model, the size of what is kept as it
comes) or beyond JSON (NaN), and is for `headway validate`, `headway run` and the operator.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

BASE: dict[str, Any] = {
    "apiVersion": "headway.dev/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "mutant", "labels": {"team": "vision"}},
    "spec": {
        "image": "example.com/trainer:1",
        "data": {"source": {"builtin": {"name": "digits"}}, "split": {"train": 0.7, "validation": 0.2, "test": 0.1}},
        "model": {"name": "mlp", "options": {"hidden": [32], "dropout": 0.1}},
        "training": {
            "epochs": 2,
            "batchSize": 32,
            "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.8},
            "schedule": {"name": "cosine", "warmupSteps": 10},
            "clip": {"norm": 1.0},
            "earlyStopping": {"patience": 3},
            "checkpoint": {"everySteps": 100},
        },
        "evaluation": {"metrics": ["accuracy", "f1"]},
        "head": {"resources": {"cpu": "500m", "memory": "2Gi"}},
        "workers": {"replicas": 2, "resources": {"cpu": 1, "memory": "4Gi", "gpu": 0}},
        "storage": {"persistentVolumeClaim": {"name": "models", "path": "runs"}},
        "retry": {"userError": 1},
        "seed": 7,
    },
}
"""A job without a mistake."""

USER_CODE: dict[str, Any] = {
    "code": {"git": {"url": "https://example.com/team/code.git", "revision": "main", "path": "src"}},
    "training": {"entrypoint": "train:main", "arguments": {"lr": 0.1}},
    "evaluation": {},
}
"""Sections of a spec that runs the user's own code, to be laid over BASE's."""

MEGABYTE = "x" * 1_000_000
DEEP = 70


class _Absent:
    """Takes a field away."""


ABSENT = _Absent()


@dataclass(frozen=True)
class Mutation:
    """A job file with one mistake."""

    name: str
    text: str
    """The file."""
    field: str
    """What the message has to name."""
    schema: bool
    """Whether the API server has to refuse it, naming that field."""
    document: dict[str, Any] | None
    """The file's one object; None where the mistake is in the text itself."""

    @property
    def silent_in_kubectl(self) -> bool:
        """Whether kubectl takes the file without a word: of two values of a key it keeps the last."""
        return self.name.startswith("a key twice")


def changed(changes: Mapping[str, Any], spec: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """BASE with other values at some dotted paths, after whole sections of the spec were replaced."""
    document = copy.deepcopy(BASE)
    document["spec"].update(copy.deepcopy(dict(spec or {})))
    for path, value in changes.items():
        *way, last = path.split(".")
        node = document
        for part in way:
            node = node.setdefault(part, {})
        if value is ABSENT:
            del node[last]
        else:
            node[last] = value
    return document


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


_WRONG_TYPES: list[tuple[str, Any]] = [
    ("spec", "train it"),
    ("spec.image", 5),
    ("spec.data", []),
    ("spec.data.source", "digits"),
    ("spec.data.source.builtin", "digits"),
    ("spec.data.split", 0.7),
    ("spec.data.split.train", "0.7"),
    ("spec.model", "mlp"),
    ("spec.model.options", ["hidden"]),
    ("spec.training", True),
    ("spec.training.epochs", "2"),
    ("spec.training.epochs", 2.5),
    ("spec.training.epochs", True),
    ("spec.training.batchSize", [32]),
    ("spec.training.batchSize", {"size": 32}),
    ("spec.training.optimizer", "sgd"),
    ("spec.training.optimizer.lr", "0.1"),
    ("spec.training.optimizer.lr", False),
    ("spec.training.clip", 1.0),
    ("spec.training.earlyStopping.patience", 1.5),
    ("spec.training.checkpoint.everySteps", "100"),
    ("spec.evaluation.metrics", "accuracy"),
    ("spec.head", []),
    ("spec.head.template", "small"),
    ("spec.head.template", {"spec": []}),
    ("spec.workers.replicas", "2"),
    ("spec.workers.replicas", 1.5),
    ("spec.workers.resources.gpu", "1"),
    ("spec.workers.resources.memory", 1.5),
    ("spec.workers.resources.cpu", True),
    ("spec.workers.resources.memory", ["4Gi"]),
    ("spec.storage", "s3://models"),
    ("spec.storage.persistentVolumeClaim", "models"),
    ("spec.retry", 3),
    ("spec.suspend", "no"),
    ("spec.suspend", 0),
    ("spec.seed", "seven"),
    ("spec.activeDeadlineSeconds", "1h"),
    ("spec.ttlSecondsAfterFinished", 3600.5),
]

_OUT_OF_BOUNDS: list[tuple[str, Any]] = [
    ("spec.training.epochs", 0),
    ("spec.training.epochs", -1),
    ("spec.training.epochs", 1_000_001),
    ("spec.training.batchSize", -32),
    ("spec.training.batchSize", 0),
    ("spec.training.batchSize", 10**18),
    ("spec.training.optimizer.lr", 0),
    ("spec.training.optimizer.lr", -0.1),
    ("spec.training.optimizer.weightDecay", -1),
    ("spec.training.optimizer.momentum", 1),
    ("spec.training.optimizer.momentum", -0.1),
    ("spec.training.schedule.warmupSteps", -10),
    ("spec.training.clip.norm", 0),
    ("spec.training.clip.norm", -1.0),
    ("spec.training.earlyStopping.patience", 0),
    ("spec.training.earlyStopping.minDelta", -0.5),
    ("spec.training.checkpoint.everySteps", 0),
    ("spec.training.checkpoint.keepLast", 0),
    ("spec.training.checkpoint.keepBest", 101),
    ("spec.data.split.train", -0.1),
    ("spec.data.split.train", 1.1),
    ("spec.data.split.test", 1),
    ("spec.workers.replicas", 0),
    ("spec.workers.replicas", -2),
    ("spec.workers.replicas", 10_001),
    ("spec.workers.processes", 0),
    ("spec.workers.processes", 65),
    ("spec.workers.resources.gpu", -1),
    ("spec.workers.resources.gpu", 65),
    ("spec.workers.resources.cpu", -1),
    ("spec.workers.resources.cpu", 0),
    ("spec.workers.resources.memory", "0Gi"),
    ("spec.head.resources.memory", "0.0"),
    ("spec.retry.preempted", -1),
    ("spec.retry.infrastructure", 1001),
    ("spec.retry.nodeLost", -1),
    ("spec.retry.hang", 1001),
    ("spec.scheduling.gang", "Sometimes"),
    ("spec.scheduling.releaseSeconds", 4),
    ("spec.seed", -1),
    ("spec.seed", 2**31),
    ("spec.activeDeadlineSeconds", 0),
    ("spec.ttlSecondsAfterFinished", -1),
    ("spec.scheduling.startupDeadlineSeconds", 9),
    ("spec.evaluation.metrics", []),
]

_WRONG_FORMS: list[tuple[str, Any]] = [
    ("spec.image", ""),
    ("spec.image", "trainer image"),
    ("spec.image", MEGABYTE),
    ("spec.data.source.builtin.name", "mnist"),
    ("spec.data.source.builtin.name", "Digits"),
    ("spec.data.scale", "minmax"),
    ("spec.data.split.stratify", "always"),
    ("spec.data.task", "clasification"),
    ("spec.data.target", ""),
    ("spec.data.target", "two\nlines"),
    ("spec.data.target", MEGABYTE),
    ("spec.model.name", "resnet"),
    ("spec.training.optimizer.name", "adam"),
    ("spec.training.schedule.name", "linear"),
    ("spec.training.precision", "bfloat16"),
    ("spec.training.earlyStopping.metric", "validation loss"),
    ("spec.training.earlyStopping.metric", "a/b/c"),
    ("spec.training.earlyStopping.mode", "lower"),
    ("spec.training.checkpoint.metric", MEGABYTE),
    ("spec.head.resources.cpu", "half"),
    ("spec.head.resources.cpu", "1e3"),
    ("spec.head.resources.memory", "2GB"),
    ("spec.workers.resources.memory", "-4Gi"),
    ("spec.workers.resources.memory", "4 Gi"),
    ("spec.workers.resources.memory", "9" * 1_000_000),
    ("spec.workers.resources.gpuResource", "gpu"),
    ("spec.storage.persistentVolumeClaim.name", "Models"),
    ("spec.storage.persistentVolumeClaim.name", "a" * 254),
    ("spec.storage.persistentVolumeClaim.path", "/runs"),
    ("spec.storage.persistentVolumeClaim.path", "runs/../../other"),
]

_UNKNOWN: list[str] = [
    "specs",
    "spec.epochs",
    "spec.Data",
    "spec.workers.replica",
    "spec.workers.resources.gpus",
    "spec.workers.resources.limits",
    "spec.workers.template.nodeSelector",
    "spec.head.replicas",
    "spec.data.sources",
    "spec.data.source.path",
    "spec.data.source.builtin.version",
    "spec.data.split.valid",
    "spec.model.layers",
    "spec.training.batchsize",
    "spec.training.batch_size",
    "spec.training.lr",
    "spec.training.optimizer.learningRate",
    "spec.training.checkpoint.every",
    "spec.training.early_stopping",
    "spec.evaluation.metric",
    "spec.storage.path",
    "spec.retry.maxRetries",
    "spec.scheduling.queue",
    "metadata.lables",
]

_NAMES: list[str] = [
    "a" * 39,
    "a" * 64,
    "a" * 253,
    "Digits",
    "1digits",
    "digits-",
    "-digits",
    "dig.its",
    "dig_its",
    "dig its",
    "digits\n",
    "ziffern-ä",
    "",
    MEGABYTE,
]

_MISSING: list[str] = [
    "spec",
    "spec.data.source",
    "spec.data.source.builtin.name",
    "spec.training.clip.norm",
    "spec.storage.persistentVolumeClaim.name",
]

_Rows = list[tuple[str, dict[str, Any], str]]
_CONTRADICTIONS: _Rows = [
    ("split that adds up to less than 1", {"spec.data.split.train": 0.5}, "spec.data.split"),
    ("split that adds up to more than 1", {"spec.data.split.validation": 0.9}, "spec.data.split"),
    ("nothing to train on", {"spec.data.split": {"train": 0, "validation": 0.5, "test": 0.5}}, "spec.data.split.train"),
    ("two sources", {"spec.data.source.uri": "s3://lake/a.npz"}, "spec.data.source"),
    ("no source", {"spec.data.source": {}}, "spec.data.source"),
    ("a format for a builtin set", {"spec.data.source.format": "npz"}, "spec.data.source.format"),
    ("credentials without a uri", {"spec.data.source.secretRef": {"name": "lake"}}, "spec.data.source.secretRef"),
    ("a table without a target", {"spec.data.source": {"uri": "s3://lake/a.csv"}}, "spec.data.target"),
    ("parquet without a target", {"spec.data.source": {"uri": "a", "format": "parquet"}}, "spec.data.target"),
    ("early stopping on nothing", {"spec.data.split": {"train": 0.9, "validation": 0, "test": 0.1}}, "spec.training"),
    ("two rhythms of checkpoints", {"spec.training.checkpoint.everySeconds": 60}, "spec.training.checkpoint"),
    ("several GPUs for one process", {"spec.workers.resources.gpu": 8, "spec.workers.processes": 4}, "spec.workers"),
    ("GPUs that cannot be divided", {"spec.workers.resources.gpu": 3, "spec.workers.processes": 2}, "spec.workers"),
    ("two processes for one GPU", {"spec.workers.resources.gpu": 1, "spec.workers.processes": 2}, "spec.workers"),
    ("an account of one's own", {"spec.head.template.spec.serviceAccountName": "mine"}, "spec.head.template"),
    ("a label of umlauts", {"spec.head.template": {"metadata": {"labels": {"a": "größe"}}}}, "metadata.labels"),
    ("an annotation of a number", {"spec.head.template": {"metadata": {"annotations": {"a": 1}}}}, "annotations.a"),
    ("arguments without an entrypoint", {"spec.training.arguments": {"lr": 0.1}}, "spec.training.arguments"),
    ("no model", {"spec.model": ABSENT}, "spec.model"),
    ("a model without a name", {"spec.model.name": ABSENT}, "spec.model"),
    ("two models", {"spec.model.entrypoint": "nets:build"}, "spec.model"),
    ("no data", {"spec.data": ABSENT}, "spec.data"),
    ("nothing to run", {"spec.training": ABSENT}, "spec.training"),
    ("code that nothing calls", {"spec.code": {"configMap": {"name": "code"}}}, "spec.code"),
    ("two storages", {"spec.storage.uri": "s3://models"}, "spec.storage"),
    ("no storage in storage", {"spec.storage": {}}, "spec.storage"),
    ("a secret for a volume", {"spec.storage.secretRef": {"name": "writer"}}, "spec.storage.secretRef"),
    ("a metric twice", {"spec.evaluation.metrics": ["f1", "accuracy", "f1"]}, "spec.evaluation.metrics"),
    ("an unknown metric", {"spec.evaluation.metrics": ["accuracy", "auc"]}, "spec.evaluation.metrics[1]"),
    ("a part without training rows", {"spec.data.source": {"parts": {"test": "a"}}}, "spec.data.source.parts.train"),
    ("parts and a file", {"spec.data.source": {"uri": "a.npz", "parts": {"train": "a"}}}, "spec.data.source"),
    ("parts of a table without a target", {"spec.data.source": {"parts": {"train": "a.csv"}}}, "spec.data.target"),
    ("a target and targets", {"spec.data.target": "y", "spec.data.targets": ["z"]}, "spec.data"),
    ("a target twice", {"spec.data.targets": ["y", "x", "y"]}, "spec.data.targets"),
    ("a column of nothing", {"spec.data.columns": {"x": {}}}, "spec.data.columns"),
    ("a column of an unknown kind", {"spec.data.columns": {"x": {"kind": "date"}}}, "spec.data.columns"),
    ("a column of an unknown role", {"spec.data.columns": {"x": {"role": "label"}}}, "spec.data.columns"),
    ("columns without end", {"spec.data.columns": {str(i): {"role": "ignore"} for i in range(5000)}}, "columns"),
    ("one sign for two things", {"spec.data.read": {"decimal": ",", "thousands": ","}}, "spec.data.read.thousands"),
    ("a delimiter that quotes", {"spec.data.read": {"delimiter": "'", "quote": "'"}}, "spec.data.read.quote"),
    ("a delimiter of comments", {"spec.data.read": {"delimiter": ";", "comment": ";"}}, "spec.data.read.comment"),
    ("a quote of comments", {"spec.data.read": {"quote": "#", "comment": "#"}}, "spec.data.read.comment"),
    ("a delimiter of two characters", {"spec.data.read.delimiter": "||"}, "spec.data.read.delimiter"),
    ("a letter for a delimiter", {"spec.data.read.delimiter": "t"}, "spec.data.read.delimiter"),
    ("no delimiter", {"spec.data.read.delimiter": ""}, "spec.data.read.delimiter"),
    ("an unknown encoding", {"spec.data.read.encoding": "utf8"}, "spec.data.read.encoding"),
    ("an English decimal", {"spec.data.read.decimal": "point"}, "spec.data.read.decimal"),
    ("a date without directives", {"spec.data.read.dateFormat": "DD.MM.YYYY"}, "spec.data.read.dateFormat"),
    ("an unknown directive", {"spec.data.read.dateFormat": "%Q"}, "spec.data.read.dateFormat"),
    ("a null value twice", {"spec.data.read.nullValues": ["-", "-"]}, "spec.data.read.nullValues"),
    ("an unknown way to split", {"spec.data.split.method": "kfold"}, "spec.data.split.method"),
    ("a negative seed of a split", {"spec.data.split.seed": -1}, "spec.data.split.seed"),
    ("a gate without a bound", {"spec.evaluation.gates": [{"name": "a", "metric": "f1"}]}, "spec.evaluation.gates[0]"),
    (
        "a gate that nothing passes",
        {"spec.evaluation.gates": [{"name": "a", "metric": "f1", "min": 0.9, "max": 0.5}]},
        "spec.evaluation.gates[0].min",
    ),
    (
        "a gate twice",
        {
            "spec.evaluation.gates": [
                {"name": "a", "metric": "f1", "min": 0.5},
                {"name": "a", "metric": "f1", "max": 0.9},
            ]
        },
        "spec.evaluation.gates",
    ),
    (
        "a gate against no baseline",
        {"spec.evaluation.gates": [{"name": "a", "metric": "f1", "against": {"baseline": False}}]},
        "spec.evaluation.gates[0].against.baseline",
    ),
    (
        "a gate against nothing",
        {"spec.evaluation.gates": [{"name": "a", "metric": "f1", "against": {}}]},
        "spec.evaluation.gates[0].against",
    ),
    ("a gate without a name", {"spec.evaluation.gates": [{"metric": "f1", "min": 0.5}]}, "gates[0].name"),
    ("no form of a model", {"spec.export.formats": []}, "spec.export.formats"),
    ("an unknown form of a model", {"spec.export.formats": ["onnx", "pickle"]}, "spec.export.formats[1]"),
    ("a form of a model twice", {"spec.export.formats": ["onnx", "onnx"]}, "spec.export.formats"),
    (
        "a model for servers that they cannot load",
        {"spec.export.formats": ["safetensors"], "spec.publish": {"deployment": "churn"}},
        "spec.publish",
    ),
    ("a model published to nobody", {"spec.publish": {}}, "spec.publish.deployment"),
    ("a deployment of another namespace", {"spec.publish.deployment": "prod/churn"}, "spec.publish.deployment"),
    ("a form of a model that is no list", {"spec.export.formats": "onnx"}, "spec.export.formats"),
    ("a tracker in a file", {"spec.tracking": {"mlflow": {"uri": "file:///tmp/runs"}}}, "tracking.mlflow.uri"),
    ("a tracker's password", {"spec.tracking": {"mlflow": {"uri": "http://me:a@mlflow"}}}, "tracking.mlflow.uri"),
    ("a tracker without a project", {"spec.tracking": {"wandb": {}}}, "tracking.wandb.project"),
    ("a project that climbs", {"spec.tracking": {"wandb": {"project": "../p"}}}, "tracking.wandb.project"),
    (
        "an experiment of two lines",
        {"spec.tracking": {"mlflow": {"uri": "http://a", "experiment": "a\nb"}}},
        "experiment",
    ),
    ("an endless workspace", {"spec.tracking": {"comet": {"project": "p", "workspace": MEGABYTE}}}, "comet.workspace"),
    ("metrics without end", {"spec.evaluation.metrics": ["accuracy"] * 1000}, "spec.evaluation.metrics"),
]


def _tuned(path: str, *, spec: Mapping[str, Any] | None = None, **tuning: Any) -> dict[str, Any]:
    """Changes for trials with a parameter at a path, other sections of tuning, and other changes of the spec."""
    values = tuning.pop("values", {"choice": [1, 2]})
    return {"spec.tuning": {"parameters": {path: values}, **tuning}, **(spec or {})}


_LR, _TUNED = "training.optimizer.lr", "spec.tuning.parameters"

_OBJECTIVES = [{"metric": "validation/f1"}, {"metric": "model/bytes"}]

_CODE: _Rows = [
    ("a Tuner beside a training function", {"spec.tuning": {"entrypoint": "search:main"}}, "spec.tuning"),
    ("a Tuner that is a file", {"spec.tuning": {"entrypoint": "search.py"}}, "spec.tuning.entrypoint"),
    ("an empty code section", {"spec.code": {}}, "spec.code"),
    ("two kinds of code", {"spec.code.configMap": {"name": "code"}}, "spec.code"),
    ("a local repository", {"spec.code.git.url": "/srv/code.git"}, "spec.code.git.url"),
    ("a password in a URL", {"spec.code.git.url": "https://me:secret@example.com/code.git"}, "spec.code.git.url"),
    ("a revision that is an option", {"spec.code.git.revision": "--upload-pack=sh"}, "spec.code.git.revision"),
    ("no revision", {"spec.code.git.revision": ABSENT}, "spec.code.git.revision"),
    ("a path out of the repository", {"spec.code.git.path": "../etc"}, "spec.code.git.path"),
    ("an absolute path", {"spec.code.git.path": "/etc"}, "spec.code.git.path"),
    ("an entrypoint without a function", {"spec.training.entrypoint": "train"}, "spec.training.entrypoint"),
    ("an entrypoint that is a file", {"spec.training.entrypoint": "src/train.py:main"}, "spec.training.entrypoint"),
    ("an entrypoint beyond ASCII", {"spec.training.entrypoint": "träin:main"}, "spec.training.entrypoint"),
    ("an endless entrypoint", {"spec.training.entrypoint": f"train:{MEGABYTE}"}, "spec.training.entrypoint"),
    ("arguments that are a list", {"spec.training.arguments": [1, 2]}, "spec.training.arguments"),
]

_TUNING: _Rows = [
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

_BEYOND_SCHEMA: _Rows = [
    ("an unknown option", {"spec.model.options.layers": 3}, "spec.model.options.layers"),
    ("an option of the other model", {"spec.model.options.channels": [8]}, "spec.model.options.channels"),
    ("an option of the wrong type", {"spec.model.options.hidden": "32"}, "spec.model.options.hidden"),
    ("a layer without neurons", {"spec.model.options.hidden": [32, 0]}, "spec.model.options.hidden[1]"),
    ("everything dropped", {"spec.model.options.dropout": 1.0}, "spec.model.options.dropout"),
    ("a template of a megabyte", {"spec.head.template": {"spec": {"hostname": MEGABYTE}}}, "spec.head.template"),
    ("a template without a floor", {"spec.head.template": {"spec": {"x": _nested(DEEP)}}}, "spec.head.template"),
    ("a pod without names", {"spec.head.template": {"spec": {"containers": [{"name": {}}]}}}, "containers[0].name"),
    ("a label's key of umlauts", {"spec.head.template": {"metadata": {"labels": {"größe": "a"}}}}, "metadata.labels"),
    ("a NaN learning rate", {"spec.training.optimizer.lr": float("nan")}, "spec.training.optimizer.lr"),
    ("an infinite norm", {"spec.training.clip.norm": float("inf")}, "spec.training.clip.norm"),
    ("NaN epochs", {"spec.training.epochs": float("nan")}, "spec.training.epochs"),
    ("a NaN option", {"spec.model.options.dropout": float("nan")}, "spec.model.options.dropout"),
]

_OBJECT: _Rows = [
    ("another version", {"apiVersion": "headway.dev/v1"}, "apiVersion"),
    ("another group", {"apiVersion": "headway.example.com/v1alpha1"}, "apiVersion"),
    ("a misspelt kind", {"kind": "Trainingjob"}, "kind"),
    ("no kind", {"kind": ABSENT}, "kind"),
    ("no version", {"apiVersion": ABSENT}, "apiVersion"),
    ("no metadata", {"metadata": ABSENT}, "metadata"),
    ("no name", {"metadata": {}}, "metadata"),
    ("a label that is a number", {"metadata.labels": {"team": 5}}, "metadata.labels"),
]

_LABELS: _Rows = [
    ("a label with spaces", {"metadata.labels": {"team": "a b"}}, "metadata.labels"),
    ("an endless label", {"metadata.labels": {"team": "a" * 64}}, "metadata.labels"),
    ("a label without a name", {"metadata.labels": {"a/b/c": "x"}}, "metadata.labels"),
]

_TEXTS: list[tuple[str, str, str]] = [
    ("a key twice", "  training: {epochs: 1}\n  training: {epochs: 2}\n", "spec.training"),
    ("a key twice in a mapping", "  training: {epochs: 1, epochs: 2}\n", "spec.training.epochs"),
    ("a merge of nothing", "  <<: none\n", "spec"),
    ("an alias of nothing", "  training: *missing\n", "spec.training"),
    ("an alias of itself", "  training: &loop {clip: *loop}\n", "spec.training"),
    ("a Python object", "  training: !!python/object/apply:os.system [ls]\n", "spec.training"),
    ("a key that is a list", "  ? [training]\n  : {}\n", "spec"),
    ("yes for a number", "  training: {epochs: yes}\n", "spec.training.epochs"),
    ("no for a name", "  model: {name: no}\n", "spec.model.name"),
    ("an octal that is none of ours", "  seed: 0x1FFFFFFFF\n", "spec.seed"),
    ("infinity", "  training: {optimizer: {lr: .inf}}\n", "spec.training.optimizer.lr"),
    ("a number that overflows", "  training: {optimizer: {lr: 1e999}}\n", "spec.training.optimizer.lr"),
    ("a bomb of aliases", "", "values"),
    ("a mapping without a floor", "  training: " + "{a: " * 3000 + "1" + "}" * 3000 + "\n", "spec.training"),
    ("a tab", "  training:\n\tepochs: 1\n", "line 7"),
    ("a missing bracket", "  training: {epochs: 1\n", "YAML"),
    ("a control character", "  image: a\x00b\n", "line 6"),
]

_HEAD = "apiVersion: headway.dev/v1alpha1\nkind: TrainingJob\nmetadata: {name: mutant}\nspec:\n"
_HEAD += "  data: {source: {builtin: {name: iris}}}\n"
_REST = {"model": "  model: {name: mlp}\n", "training": "  training: {epochs: 1}\n"}


def _bomb() -> str:
    lines = ["  a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"  {b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    return "\n".join(lines) + "\n"


_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Quoting(_Dumper):  # type: ignore[misc]  # one of two classes
    """Quotes each string, so that no reader takes one for a number."""


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def _from_document(name: str, document: dict[str, Any], field: str, *, schema: bool = True) -> Mutation:
    text = yaml.dump(document, Dumper=_Quoting, allow_unicode=True)
    return Mutation(name, text, field, schema, document)


def _from_text(name: str, body: str, field: str) -> Mutation:
    rest = "".join(line for key, line in _REST.items() if f"{key}:" not in body)
    return Mutation(name, _HEAD + (body or _bomb()) + rest, field, False, None)


def _all() -> Iterator[Mutation]:
    for what, table in (("type", _WRONG_TYPES), ("bound", _OUT_OF_BOUNDS), ("form", _WRONG_FORMS)):
        for path, value in table:
            yield _from_document(f"{what} {path} {json.dumps(value)[:24]}", changed({path: value}), path)
    for path in _UNKNOWN:
        yield _from_document(f"unknown {path}", changed({path: {}}), path)
    for name in _NAMES:
        document = changed({"metadata.name": name})
        yield _from_document(f"name of {len(name)}: {name[:20]!r}", document, "metadata.name")
    for path in _MISSING:
        yield _from_document(f"missing {path}", changed({path: ABSENT}), path)
    for name, changes, field in (*_CONTRADICTIONS, *_LABELS, *_TUNING):
        yield _from_document(name, changed(changes), field)
    for name, changes, field in _CODE:
        yield _from_document(name, changed(changes, USER_CODE), field)
    for name, changes, field in (*_BEYOND_SCHEMA, *_OBJECT):
        yield _from_document(name, changed(changes), field, schema=False)
    for name, body, field in _TEXTS:
        yield _from_text(name, body, field)


MUTATIONS: tuple[Mutation, ...] = tuple(_all())
"""All of them; their names are unique."""
