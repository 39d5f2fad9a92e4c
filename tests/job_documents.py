"""Hypothesis strategies for TrainingJob documents: any valid one, and any valid one with random damage."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Values = st.SearchStrategy[Any]

NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
TEXTS = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f"), min_size=1, max_size=30
)
METRICS = st.sampled_from(["validation/loss", "validation/f1", "train/loss"])
ENTRYPOINTS = st.from_regex(r"[a-z_]{1,8}(\.[a-z_]{1,8})?:[a-z_]{1,8}", fullmatch=True)
QUANTITIES = st.integers(1, 10**6) | st.from_regex(r"[1-9][0-9]{0,3}(\.[0-9]{1,3})?(m|k|Ki|M|Mi|G|Gi)?", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e6, 1e6) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FREE_FORMS = st.dictionaries(st.text(min_size=1, max_size=8), JSON, max_size=3)
SECRETS = st.fixed_dictionaries({"name": NAMES})
CLAIMS = st.fixed_dictionaries({"name": NAMES}, optional={"path": st.sampled_from(["", "runs", "a/b..c"])})


def _some(**fields: Values) -> Values:
    return st.fixed_dictionaries({}, optional=fields)


def _bounded(least: float, most: float, *, exclude_min: bool = False, exclude_max: bool = False) -> Values:
    """Numbers between two bounds, whole ones among them."""
    whole = st.integers(math.ceil(least) + exclude_min, math.floor(most) - exclude_max)
    reals = st.floats(least, most, exclude_min=exclude_min, exclude_max=exclude_max)
    return reals | whole if math.ceil(least) + exclude_min <= math.floor(most) - exclude_max else reals


@st.composite
def _splits(draw: Callable[[Values], Any]) -> dict[str, Any]:
    """Shares in percent, with something to validate on."""
    validation, test = draw(st.integers(1, 40)), draw(st.integers(0, 40))
    return {"train": (100 - validation - test) / 100, "validation": validation / 100, "test": test / 100}


_FORMATS = st.sampled_from(["csv", "parquet", "jsonl", "npz", "imageFolder"])
_LOCAL = TEXTS.filter(lambda text: "://" not in text)
_SOURCES = st.one_of(
    st.fixed_dictionaries({"builtin": st.fixed_dictionaries({"name": st.sampled_from(["digits", "iris"])})}),
    st.fixed_dictionaries({"uri": _LOCAL}, optional={"format": _FORMATS}),
    st.fixed_dictionaries({"uri": st.sampled_from(["s3://lake/a", "gs://b/*.csv"])}, optional={"secretRef": SECRETS}),
    st.fixed_dictionaries({"persistentVolumeClaim": CLAIMS}, optional={"format": _FORMATS}),
    st.fixed_dictionaries(
        {"parts": st.fixed_dictionaries({"train": st.just("a"), "test": st.just("b")})}, optional={"format": _FORMATS}
    ),
)
_COLUMNS = st.dictionaries(
    st.just("") | TEXTS.map(lambda text: f"column {text}"),
    _some(kind=st.sampled_from(["number", "category"]), role=st.sampled_from(["feature", "ignore"])).filter(bool),
    max_size=3,
)
_DATA = st.fixed_dictionaries(
    {"source": _SOURCES, "target": TEXTS.filter(lambda text: not text.startswith("column "))},
    optional={
        "columns": _COLUMNS,
        "read": _some(encoding=st.sampled_from(["utf-8", "latin-1"]), decimal=st.just(","), nullValues=st.just(["-"])),
        "task": st.sampled_from(["classification", "regression"]),
        "split": _splits(),
        "scale": st.sampled_from(["standard", "minMax", "none"]),
    },
)
_WIDTHS = st.lists(st.integers(1, 65536), min_size=1, max_size=4)
_MODELS = st.one_of(
    st.fixed_dictionaries(
        {"name": st.just("mlp")},
        optional={"options": _some(hidden=_WIDTHS, dropout=_bounded(0, 1, exclude_max=True))},
    ),
    st.fixed_dictionaries(
        {"name": st.just("cnn")}, optional={"options": _some(channels=_WIDTHS, hidden=st.integers(1, 99))}
    ),
    st.fixed_dictionaries({"entrypoint": ENTRYPOINTS}, optional={"options": FREE_FORMS}),
)
_CHECKPOINTS = st.one_of(
    _some(everySteps=st.integers(1, 10**9), keepLast=st.integers(1, 100), metric=METRICS),
    _some(everySeconds=st.integers(1, 604_800), mode=st.just("min")),
)
_LOOP = {
    "epochs": st.integers(1, 10**6),
    "batchSize": st.integers(1, 2**24),
    "optimizer": _some(
        name=st.sampled_from(["adamw", "sgd"]),
        lr=_bounded(0, 10, exclude_min=True),
        momentum=_bounded(0, 1, exclude_max=True),
    ),
    "schedule": _some(name=st.sampled_from(["constant", "cosine"]), warmupSteps=st.integers(0, 10**7)),
    "clip": st.fixed_dictionaries({"norm": _bounded(0, 100, exclude_min=True)}),
    "earlyStopping": _some(metric=METRICS, patience=st.integers(1, 100), minDelta=_bounded(0, 1)),
    "precision": st.sampled_from(["fp32", "bf16", "fp16"]),
    "checkpoint": _CHECKPOINTS,
}
_WHOLE = st.fixed_dictionaries({"min": st.integers(1, 5), "max": st.integers(6, 99)})
_VALUES = st.lists(st.integers(1, 100), min_size=1, max_size=4, unique=True).map(lambda values: {"choice": values})
_PARAMETERS = _some(
    **{
        "training.optimizer.lr": st.fixed_dictionaries(
            {"logUniform": st.fixed_dictionaries({"min": _bounded(0.001, 0.1), "max": _bounded(0.2, 1)})}
        ),
        "training.optimizer.weightDecay": st.just({"uniform": {"min": 0, "max": 1}}) | _VALUES,
        "training.clip.norm": _VALUES,
        "training.schedule.warmupSteps": st.fixed_dictionaries({"int": _WHOLE}) | _VALUES,
        "training.schedule.name": st.just({"choice": ["constant", "cosine"]}),
    }
).filter(bool)
_TUNING = st.fixed_dictionaries(
    {"parameters": _PARAMETERS},
    optional={
        "search": _some(name=st.sampled_from(["random", "tpe", "gp"])),
        "scheduler": _some(name=st.sampled_from(["none", "median", "asha", "hyperband"])),
        "trials": st.integers(1, 10_000),
        "maxConcurrent": st.just(1),
        "budget": _some(seconds=st.integers(1, 10**6)),
        "stopWhen": _some(value=_bounded(0.1, 0.9)),
    },
)
_RESOURCES = _some(
    cpu=QUANTITIES,
    memory=QUANTITIES,
    gpu=st.integers(0, 1),
    gpuResource=st.sampled_from(["nvidia.com/gpu", "amd.com/gpu"]),
)
_TEMPLATES = _some(metadata=FREE_FORMS, spec=FREE_FORMS)
_REST = {
    "image": st.sampled_from(["a", "example.com:5000/a/b:c", "a@sha256:0"]),
    "evaluation": _some(
        metrics=st.lists(st.sampled_from(["accuracy", "f1", "mse", "confusionMatrix"]), min_size=1, unique=True)
    ),
    "export": _some(formats=st.lists(st.sampled_from(["safetensors", "onnx"]), min_size=1, unique=True)),
    "head": _some(resources=_RESOURCES, template=_TEMPLATES),
    "workers": _some(replicas=st.integers(1, 10_000), processes=st.just(1), resources=_RESOURCES, template=_TEMPLATES),
    "storage": st.one_of(
        st.fixed_dictionaries({"uri": TEXTS}, optional={"secretRef": SECRETS}),
        st.fixed_dictionaries({"persistentVolumeClaim": CLAIMS}),
    ),
    "scheduling": _some(
        startupDeadlineSeconds=st.integers(10, 604_800),
        gang=st.sampled_from(["Auto", "PodGroup", "Release"]),
        releaseSeconds=st.integers(5, 86_400),
    ),
    "retry": _some(
        **{
            name: st.integers(0, 1000)
            for name in ("preempted", "infrastructure", "nodeLost", "unschedulable", "hang", "internal", "userError")
        }
    ),
    "suspend": st.booleans(),
    "activeDeadlineSeconds": st.integers(1, 31_536_000),
    "ttlSecondsAfterFinished": st.integers(0, 31_536_000),
    "seed": st.integers(0, 2**31 - 1),
}
_CODE = st.one_of(
    st.fixed_dictionaries({"configMap": SECRETS}),
    st.fixed_dictionaries(
        {
            "git": st.fixed_dictionaries(
                {
                    "url": st.sampled_from(["https://example.com/a.git", "ssh://git@example.com/a", "git://a/b"]),
                    "revision": st.sampled_from(["main", "v1.0", "4f2c1e9"]),
                },
                optional={"path": st.sampled_from(["src", "a/b"]), "secretRef": SECRETS},
            )
        }
    ),
)
_OWN = st.fixed_dictionaries(
    {"entrypoint": ENTRYPOINTS},
    optional={"arguments": FREE_FORMS, "checkpoint": _some(keepLast=st.integers(1, 100))},
)
SPECS = st.one_of(
    st.fixed_dictionaries(
        {"data": _DATA, "model": _MODELS, "training": _some(**_LOOP)}, optional={**_REST, "tuning": _TUNING}
    ),
    st.fixed_dictionaries({"training": _OWN}, optional={**_REST, "code": _CODE, "data": _DATA, "model": _MODELS}),
)
METADATA = st.fixed_dictionaries(
    {"name": NAMES}, optional={"labels": st.dictionaries(NAMES, NAMES | st.just(""), max_size=2)}
)
_TASKS = {"digits": "classification", "iris": "classification", "imageFolder": "classification"}
_TEXT_FORMATS = ("csv", "jsonl")


def _coherent(document: dict[str, Any]) -> dict[str, Any]:
    """A job whose sections were drawn by themselves, without what they contradict each other in."""
    document = copy.deepcopy(document)
    spec = document["spec"]
    training = spec.get("training", {})
    task = _coherent_data(spec["data"], spec.get("model", {})) if "data" in spec else None
    metrics = {"accuracy", "f1", "confusionMatrix"} if task == "classification" else {"mse"} if task else set()
    chosen = [name for name in spec.get("evaluation", {}).get("metrics", []) if name in metrics]
    spec.pop("evaluation", None)
    if "entrypoint" in training:
        spec.pop("export", None)
    elif chosen:
        spec["evaluation"] = {"metrics": chosen}
    for watching in (training.get("earlyStopping", {}), training.get("checkpoint", {})):
        if task == "regression" and watching.get("metric") == "validation/f1":
            watching["metric"] = "validation/loss"
    if training.get("optimizer", {}).get("name") != "sgd":
        training.get("optimizer", {}).pop("momentum", None)
    if "tuning" in spec:
        training.get("checkpoint", {}).pop("metric", None)
        if training.get("epochs") == 1:
            spec["tuning"].pop("scheduler", None)
    replicas = spec.get("workers", {}).get("replicas", 1)
    if "entrypoint" not in training and training.get("batchSize", 64) < replicas:
        training["batchSize"] = replicas
    return document


def _coherent_data(data: dict[str, Any], model: dict[str, Any]) -> str | None:
    """Take out of the data what its source does not have; the task, where the source or the user tells it."""
    source = data["source"]
    kind = source.get("builtin", {}).get("name") or source.get("format")
    if kind in _TASKS:
        data.pop("target", None)
        data.pop("columns", None)
        data.update({"task": _TASKS[kind]} if "task" in data else {})
    if kind not in _TEXT_FORMATS:
        data.pop("read", None)
    if kind == "npz":  # its arrays have kinds of their own
        data.pop("columns", None)
    tables = kind in ("iris", "csv", "parquet", "jsonl") or "*.csv" in source.get("uri", "")
    if tables and model.get("name") == "cnn":
        model.update(name="mlp", options={})
    return _TASKS.get(kind) or data.get("task")


JOBS: Values = st.fixed_dictionaries(
    {
        "apiVersion": st.just("headway.dev/v1alpha1"),
        "kind": st.just("TrainingJob"),
        "metadata": METADATA,
        "spec": SPECS,
    }
).map(_coherent)
"""Valid TrainingJobs."""

_JUNK = JSON | st.sampled_from([-1, 0, 2**63, "", "x" * 3000, [], {}, {"a": 1}, True, 1.5, "1", "\x00", "é"])


def _places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(node, dict):
        for key, value in node.items():
            found += _places(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            found += _places(value, (*path, index))
    return found


@st.composite
def damaged(draw: Callable[[Values], Any], junk: Values = _JUNK) -> dict[str, Any]:
    """A valid job with one to three things replaced, taken away, renamed or added; it may still be valid."""
    document: dict[str, Any] = copy.deepcopy(draw(JOBS))
    for _ in range(draw(st.integers(1, 3))):
        places = _places(document)
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        node: Any = document
        for part in way:
            node = node[part]
        what = draw(st.sampled_from(["replace", "remove", "rename", "add"]))
        if what == "replace":
            node[last] = draw(junk)
        elif what == "add" and isinstance(node, dict):
            node[draw(st.text(max_size=10))] = draw(junk)
        elif what == "rename" and isinstance(node, dict):
            node[f"{last}s"] = node.pop(last)
        else:
            del node[last]
    return document
