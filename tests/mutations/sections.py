"""Mistakes of a section: fields that contradict each other, and what no schema can tell."""

from __future__ import annotations

from typing import Any

from mutations.job import ABSENT, MEGABYTE, Rows

DEEP = 70


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


CONTRADICTIONS: Rows = [
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

CODE: Rows = [
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

BEYOND_SCHEMA: Rows = [
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

OBJECT: Rows = [
    ("another version", {"apiVersion": "headway.dev/v1"}, "apiVersion"),
    ("another group", {"apiVersion": "headway.example.com/v1alpha1"}, "apiVersion"),
    ("a misspelt kind", {"kind": "Trainingjob"}, "kind"),
    ("no kind", {"kind": ABSENT}, "kind"),
    ("no version", {"apiVersion": ABSENT}, "apiVersion"),
    ("no metadata", {"metadata": ABSENT}, "metadata"),
    ("no name", {"metadata": {}}, "metadata"),
    ("a label that is a number", {"metadata.labels": {"team": 5}}, "metadata.labels"),
]

LABELS: Rows = [
    ("a label with spaces", {"metadata.labels": {"team": "a b"}}, "metadata.labels"),
    ("an endless label", {"metadata.labels": {"team": "a" * 64}}, "metadata.labels"),
    ("a label without a name", {"metadata.labels": {"a/b/c": "x"}}, "metadata.labels"),
]
